use std::path::PathBuf;
use std::process::ExitCode;

use vultus::capture::recording::Recording;
use vultus::config::Config;

use super::options::Options;
use super::session::{Session, Time};
use super::status::Show;

/// Run the pipeline on something recorded, at its own pace or as fast as possible
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus replay                                   the take that is built in
  vultus replay TAKE --results out.jsonl          a folder with rig.json and a folder a camera
  vultus replay TAKE --listen 127.0.0.1:7878 --loop   on the live page, again and again
  vultus replay TAKE --as-fast-as-possible        every frame set analysed, the same results every time
  vultus replay left.mkv right.mkv                a video a camera
  vultus replay photos --stills                   every picture by itself")]
pub(super) struct Args {
    /// A take, a folder of pictures, a picture, or videos (one a camera) [default: the built-in take]
    #[arg(value_name = "TAKE|DIR|VIDEO")]
    input: Vec<PathBuf>,

    /// Take every picture by itself; a folder without time stamps is read so in any case
    #[arg(long, requires = "input")]
    stills: bool,

    /// Analyse every frame set, as fast as they can be worked on
    #[arg(long)]
    as_fast_as_possible: bool,

    /// Begin anew whenever it ends; Ctrl-C ends it
    #[arg(long = "loop", conflicts_with_all = ["stills", "as_fast_as_possible"])]
    looped: bool,

    #[command(flatten)]
    options: Options,
}

pub(super) fn run(args: &Args, config: Config) -> anyhow::Result<ExitCode> {
    let config = args.options.apply(config);
    let recording = if args.input.is_empty() {
        tracing::info!("replaying the take that is built in: a rendered head before four cameras");
        Recording::bundled()?
    } else {
        Recording::open(&args.input, args.stills)?
    };
    let recording = if args.looped { recording.looped()? } else { recording };
    let fast = args.as_fast_as_possible || recording.stills;
    let session = Session {
        time: if fast { Time::Ignored(recording.starts_at) } else { Time::Replayed(recording.starts_at) },
        stills: recording.stills,
        ends_after: None,
        show: match (args.options.headless, fast) {
            (true, _) => Show::Nothing,
            (false, true) => Show::Progress { frames: recording.frames },
            (false, false) => Show::Status,
        },
        listen: args.options.listen,
        sources: recording.sources,
    };
    session.run(&args.options, &config)
}
