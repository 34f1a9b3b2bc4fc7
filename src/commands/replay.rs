use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory;
use clap::error::ErrorKind;
use vultus::capture::recording::Recording;
use vultus::config::Config;
use vultus::record::{Take, as_argument};

use super::options::{Options, seconds_within};
use super::session::{Session, Time};
use super::status::Show;

/// Run the pipeline on something recorded, at its own pace or as fast as possible
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus replay                                   the take that is built in
  vultus replay take.mcap --results out.jsonl     a take that `--record` made, or a folder with a folder a camera
  vultus replay take.mcap --as-recorded           the sets and drops of the recorded run, and so its results
  vultus replay take.mcap --from 60 --to 90 --speed 0.5
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

    /// Form the sets that the recorded run formed, and pass over those that it dropped: the same results on the same runtime
    #[arg(long, requires = "input", conflicts_with_all = ["stills", "looped", "from", "to"])]
    as_recorded: bool,

    /// So many times as fast as it was; what is too much for the machine is dropped
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = speed, allow_negative_numbers = true,
          conflicts_with_all = ["stills", "as_fast_as_possible"])]
    speed: f64,

    /// Begin so many seconds after its beginning
    #[arg(long, value_name = "S", value_parser = offset, allow_negative_numbers = true, conflicts_with = "stills")]
    from: Option<Duration>,

    /// End so many seconds after its beginning
    #[arg(long, value_name = "S", value_parser = offset, allow_negative_numbers = true, conflicts_with = "stills")]
    to: Option<Duration>,

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
    if let Some(take) = &recording.take {
        tell(take, args.as_recorded)?;
        match (take.check_rig(), &args.options.rig) {
            (Err(error), Some(_)) => tracing::warn!("{error}; this run uses the one that you named"),
            (checked, _) => checked?,
        }
    } else if args.as_recorded {
        anyhow::bail!(
            "only a take that vultus recorded says which sets were formed; replay this one without `--as-recorded`"
        );
    }
    if args.to.is_some_and(|to| to <= args.from.unwrap_or_default()) {
        let message = "`--to` must be later than `--from`";
        super::Cli::command().error(ErrorKind::ValueValidation, message).exit();
    }
    let is_part = args.from.is_some() || args.to.is_some();
    let recording = if is_part { recording.clipped(args.from.unwrap_or_default(), args.to)? } else { recording };
    let recording = if args.looped { recording.looped()? } else { recording };
    let fast = args.as_fast_as_possible || recording.stills;
    let starts_at = recording.starts_at;
    let session = Session {
        time: if fast { Time::Ignored(starts_at) } else { Time::Replayed(starts_at, args.speed) },
        stills: recording.stills,
        ends_after: None,
        show: match (args.options.headless, fast) {
            (true, _) => Show::Nothing,
            (false, true) => Show::Progress { frames: recording.frames },
            (false, false) => Show::Status,
        },
        listen: args.options.listen,
        take: recording.take,
        as_recorded: args.as_recorded,
        sources: recording.sources,
    };
    session.run(&args.options, &config)
}

/// Says what the user may not expect of a take.
fn tell(take: &Take, as_recorded: bool) -> anyhow::Result<()> {
    let (file, argument) = (take.path.display(), as_argument(&take.path));
    let seconds = take.duration().as_secs_f64();
    if take.damaged_notes > 0 {
        tracing::warn!("{file} is damaged: {} sets or gaps in it cannot be read and are left out", take.damaged_notes);
    }
    if let Some(damage) = &take.damage {
        tracing::warn!(
            "{file} is {damage}; all else is replayed. `vultus export {argument} --repair` makes a whole file of it"
        );
    }
    if take.is_growing {
        tracing::warn!("{file} is still being recorded: the {seconds:.1} s that are there by now are replayed");
    } else if take.breaks_off.is_some() {
        tracing::warn!(
            "{file} was never closed: the {seconds:.1} s that are there are replayed. `vultus export {argument} --repair` makes a whole file of it"
        );
    }
    for view in &take.views {
        let (name, missing) = (&view.camera.name, view.gaps.iter().map(|gap| gap.frames).sum::<u64>());
        if view.frames.is_empty() {
            tracing::warn!("camera `{name}` has no frame in {file}: its view stays empty");
        } else if missing > 0 {
            tracing::warn!(
                "camera `{name}`: {missing} frames are missing in {file}, which could not be recorded in time"
            );
        }
        if view.clock_resets > 0 {
            tracing::warn!(
                "camera `{name}`: its clock went back {} times; where by more than a second, its frames are played in the order in which they were recorded",
                view.clock_resets
            );
        }
        if view.wild_frames > 0 {
            tracing::warn!(
                "camera `{name}`: {} frames in {file} have times that cannot be, and are left out",
                view.wild_frames
            );
        }
    }
    if !as_recorded {
        return Ok(());
    }
    if take.is_of_stills() {
        anyhow::bail!("{file} was recorded of stills, and each was taken by itself: replay it without `--as-recorded`");
    }
    for view in take.views.iter().filter(|view| view.format.as_deref().is_some_and(|format| format != "MJPEG")) {
        tracing::warn!(
            "camera `{}` sent no JPEG: its pictures were encoded for {file}, and the results may differ",
            view.camera.name
        );
    }
    let missing: u64 = take.sets.windows(2).map(|pair| (pair[1].number - pair[0].number).saturating_sub(1)).sum();
    if missing > 0 {
        tracing::warn!("{missing} sets could not be recorded in time: they are passed over, and the results differ");
    }
    match take.sets.first() {
        None => anyhow::bail!("{file} does not say which sets were formed; replay it without `--as-recorded`"),
        Some(first) if first.number > 0 => tracing::warn!(
            "{file} was begun in the middle of a run (set {}): whom it knew by then is not recorded, so the first results differ",
            first.number
        ),
        Some(_) => {}
    }
    Ok(())
}

fn offset(text: &str) -> Result<Duration, String> {
    seconds_within(text, 0.0)
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.01..=100.0).contains(&speed) { Ok(speed) } else { Err("must be between 0.01 and 100".to_owned()) }
}
