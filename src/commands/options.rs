//! Options that `live` and `replay` share.

use std::net::SocketAddr;
use std::path::PathBuf;

use vultus::config::Config;
use vultus::config::{DeviceChoice, RuntimeChoice};

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
}

impl Options {
    /// The configuration with what the command line says instead.
    pub(super) fn apply(&self, mut config: Config) -> Config {
        config.inference.device = self.device.unwrap_or(config.inference.device);
        config.inference.runtime = self.runtime.unwrap_or(config.inference.runtime);
        config.serve.open &= !self.no_open;
        config
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "an address and a port, such as 127.0.0.1:7878 or 0.0.0.0:7878".to_owned())
}
