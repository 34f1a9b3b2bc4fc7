//! What all measurements need: what cameras see, and what looks at it.

use std::path::PathBuf;

use vultus::bench::input::Input;
use vultus::capture::recording::Recording;
use vultus::config::{Config, DeviceChoice, RuntimeChoice};
use vultus::infer::Runtime;
use vultus::infer::manifest::Models;

use super::cause;
use crate::commands::status::progress_bar;

#[derive(clap::Args)]
pub(super) struct Options {
    /// A take, or videos (one a camera), whose first ten seconds are played to and fro [default: the built-in take]
    #[arg(value_name = "TAKE|DIR|VIDEO")]
    input: Vec<PathBuf>,

    /// Size of the pictures; others are made it (JPEG) before anything is measured [default: as they are]
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = size)]
    size: Option<(u32, u32)>,

    /// What runs the models [default: auto]
    #[arg(long, value_enum)]
    runtime: Option<RuntimeChoice>,

    /// Where the encoder runs [default: auto]
    #[arg(long, value_enum)]
    device: Option<DeviceChoice>,
}

/// What is measured with.
pub(super) struct Material {
    pub config: Config,
    pub input: Input,
    pub models: Models,
    pub runtime: Runtime,
}

impl Options {
    /// Loads all of it.
    pub(super) fn load(&self, mut config: Config) -> anyhow::Result<Material> {
        config.inference = config.inference.with(self.runtime, self.device);
        let recording = Recording::open_or_bundled(&self.input)?;
        let models = Models::chosen(&config.models)?;
        let runtime = Runtime::start(config.inference.runtime)?;
        let bar = progress_bar(recording.frames.unwrap_or(0), "frames read");
        let input = Input::read(recording, self.size, || bar.inc(1));
        bar.finish_and_clear();
        let input = input.map_err(cause)?;
        tracing::info!("{} cameras, {:.1} s of them, to and fro", input.cameras(), input.length().as_secs_f64());
        Ok(Material { config, input, models, runtime })
    }
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let parsed = text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    let possible = 16..=8192;
    parsed
        .filter(|(width, height)| possible.contains(width) && possible.contains(height))
        .ok_or_else(|| "a size is a width and a height from 16 to 8192, such as 1280x720".to_owned())
}
