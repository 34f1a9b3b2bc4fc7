//! Options that `live` and `replay` share.

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

    /// Draw nothing on the terminal; results stay the same
    #[arg(long)]
    pub headless: bool,
}

impl Options {
    /// The configuration with what the command line says instead.
    pub(super) fn apply(&self, mut config: Config) -> Config {
        config.inference.device = self.device.unwrap_or(config.inference.device);
        config.inference.runtime = self.runtime.unwrap_or(config.inference.runtime);
        config
    }
}
