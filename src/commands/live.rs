use std::process::ExitCode;
use std::time::Duration;

use vultus::capture::{CaptureError, Source};
use vultus::config::Config;

use super::options::{Options, seconds_within};
use super::session::{Session, Time};
use super::status::Show;

/// Watch cameras and say what the faces express
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus live                                    all attached cameras, on http://127.0.0.1:7878/
  vultus live --camera left=0 --camera right=2   two of them, named
  vultus live --headless --results - | jq .expression")]
pub(super) struct Args {
    /// Camera to open, as `vultus cameras` lists it, perhaps with a name: NAME=ID [default: all]
    #[arg(long, value_name = "[NAME=]ID")]
    camera: Vec<String>,

    /// End after so many seconds
    #[arg(long, value_name = "N", value_parser = seconds, allow_negative_numbers = true)]
    seconds: Option<Duration>,

    #[command(flatten)]
    options: Options,
}

pub(super) fn run(args: &Args, config: Config) -> anyhow::Result<ExitCode> {
    let mut config = args.options.apply(config);
    choose(&args.camera, &mut config);
    let sources = open(&config)?;
    tracing::info!(
        "expressions are inferred here and nowhere else; what that means, and where it is unlawful: docs/guide/privacy.md"
    );
    let session = Session {
        sources,
        time: Time::Live,
        ends_after: args.seconds,
        stills: false,
        take: None,
        as_recorded: false,
        listen: (!args.options.headless).then(|| args.options.listen.unwrap_or(config.serve.listen)),
        show: if args.options.headless { Show::Nothing } else { Show::Status },
    };
    session.run(&args.options, &config)
}

/// Takes the cameras that the command line names, if it names any.
pub(super) fn choose(cameras: &[String], config: &mut Config) {
    if !cameras.is_empty() {
        config.camera = cameras.iter().map(|text| camera(text)).collect();
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    seconds_within(text, 0.001)
}

/// `NAME=ID` or `ID`. Stable ids of cameras hold no `=`.
fn camera(text: &str) -> vultus::config::Camera {
    let (name, id) = text.split_once('=').map_or((None, text), |(name, id)| (Some(name.to_owned()), id));
    vultus::config::Camera { id: id.to_owned(), name }
}

/// Opens the configured cameras.
#[cfg(feature = "webcam")]
pub(super) fn open(config: &Config) -> Result<Vec<Box<dyn Source>>, CaptureError> {
    let cameras = vultus::capture::webcam::open_all(&config.camera, config.capture)?;
    Ok(cameras.into_iter().map(|camera| Box::new(camera) as _).collect())
}

#[cfg(not(feature = "webcam"))]
pub(super) fn open(_config: &Config) -> Result<Vec<Box<dyn Source>>, CaptureError> {
    Err(CaptureError::NoCamera)
}
