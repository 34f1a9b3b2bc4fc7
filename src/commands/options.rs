//! Options that `live` and `replay` share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use vultus::config::{Config, DeviceChoice, RecordContent, RuntimeChoice};

#[derive(clap::Args)]
pub(super) struct Options {
    /// Calibrated rig; its time offsets correct the cameras' stamps
    #[arg(long, value_name = "FILE")]
    pub rig: Option<PathBuf>,

    /// Where the encoder runs [default: auto]
    #[arg(long, value_enum)]
    device: Option<DeviceChoice>,

    /// What runs the models [default: auto]
    #[arg(long, value_enum)]
    runtime: Option<RuntimeChoice>,

    /// Write results here as JSON Lines; `-` is standard output (the default unless that is a terminal)
    #[arg(long, value_name = "FILE|-")]
    pub results: Option<PathBuf>,

    /// Serve no page and draw nothing on the terminal; results stay the same
    #[arg(long, conflicts_with = "listen")]
    pub headless: bool,

    /// Serve the live page here; from other addresses than loopback it asks for a token, which is printed
    /// [default of `live`: 127.0.0.1:7878]
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    pub listen: Option<SocketAddr>,

    /// Do not open the page in a browser
    #[arg(long)]
    no_open: bool,

    /// Record into this file (MCAP) what the cameras see and what is made of it; a file that is there is never touched
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// What a recording keeps of a frame: the whole picture, aligned faces alone, or no pixel at all [default: video]
    #[arg(long, value_enum, value_name = "CONTENT")]
    record_content: Option<RecordContent>,
}

impl Options {
    /// The configuration with what the command line says instead.
    pub(super) fn apply(&self, mut config: Config) -> Config {
        config.inference = config.inference.with(self.runtime, self.device);
        config.serve.open &= !self.no_open;
        config.record.content = self.record_content.unwrap_or(config.record.content);
        config
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "an address and a port, such as 127.0.0.1:7878 or 0.0.0.0:7878".to_owned())
}

/// A time from `least` seconds to a year.
pub(super) fn seconds_within(text: &str, least: f64) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (least..=31_536_000.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(format!("must be between {least} and 31536000"))
    }
}

/// An address that other machines do not reach.
pub(super) fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse().ok().filter(|address: &SocketAddr| address.ip().is_loopback());
    address.ok_or_else(|| "a loopback address and a port, such as 127.0.0.1:7880".to_owned())
}
