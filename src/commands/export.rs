use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::ErrorKind;
use vultus::config::{Config, RuntimeChoice};
use vultus::export::blur::Blur;
use vultus::export::{Export, Format};
use vultus::infer::Runtime;
use vultus::infer::manifest::Models;
use vultus::record::{Take, as_argument};

use super::signal::stop_on_signal;
use super::status::progress_bar;

/// Make videos, pictures or tables of a take, or make a broken one whole
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus export take.mcap --to mkv               a video a camera: the camera's own pictures, at exact times
  vultus export take.mcap --to mkv --blur        the same with faces hidden; look through it before you publish
  vultus export take.mcap --to csv               tables, also as caliscope and skellycam (freemocap) have them
  vultus export take.mcap --to parquet           the same tables for data frames
  vultus export take.mcap --to frames            pictures that `vultus replay` reads
  vultus export take.mcap --repair               write the index that a crash left out")]
pub(super) struct Args {
    /// A take that `--record` made
    #[arg(value_name = "TAKE")]
    take: PathBuf,

    /// What to make of it
    #[arg(long, value_enum, value_name = "FORMAT", required_unless_present = "repair", conflicts_with = "repair")]
    to: Option<Format>,

    /// Write into this folder, which must not be there or be empty; with `--repair` a file
    /// [default: beside the take, named after it and the format]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// Hide every face that is found, also of people whom no result names. No guarantee: look through it before you
    /// publish
    #[arg(long, conflicts_with = "repair")]
    blur: bool,

    /// Make a whole file of a take that breaks off
    #[arg(long)]
    repair: bool,

    /// What runs the detector for `--blur` [default: auto]
    #[arg(long, value_enum, requires = "blur")]
    runtime: Option<RuntimeChoice>,
}

pub(super) fn run(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let Some(format) = args.to else { return super::repair::run(&args.take, args.output.as_deref()) };
    if args.blur && !format.has_pictures() {
        let message = format!("`--to {}` writes no pictures: there is nothing to blur", format.name());
        super::Cli::command().error(ErrorKind::ArgumentConflict, message).exit();
    }
    if args.take.is_dir() {
        anyhow::bail!(
            "{} is a folder; what is exported is a take that `--record` made: one file. `vultus replay {} --record \
             FILE` makes one of it",
            args.take.display(),
            as_argument(&args.take)
        );
    }
    let take = Take::open(&args.take)?;
    if let Some(damage) = &take.damage {
        tracing::warn!("{} is {damage}; all else is exported", take.path.display());
    }
    if take.is_growing {
        let file = take.path.display();
        tracing::warn!("{file} is being recorded or repaired at this moment: what is there by now is exported");
    } else if take.breaks_off.is_some() {
        let (file, seconds) = (take.path.display(), take.duration().as_secs_f64());
        tracing::warn!("{file} was never closed: the {seconds:.1} s that are there are exported");
    }
    let hider = args.blur.then(|| Hider::new(args, config)).transpose()?;

    let stop = stop_on_signal()?;
    let export = |goes_on| Export {
        take: &take,
        format,
        blur: hider.as_ref().map(|hider| Blur::new(&hider.runtime, &hider.models.detector)),
        goes_on,
    };
    let of = match (format.has_pictures(), args.blur) {
        (true, false) => "pictures",
        // Each picture is searched, and written.
        (true, true) => "steps",
        (false, _) => "rows",
    };
    let bar = progress_bar(export(&|| true).steps(), of);
    let step = || {
        bar.inc(1);
        !stop.is_requested()
    };
    let folder = args.output.clone().unwrap_or_else(|| beside(&args.take, format, args.blur));
    let outcome = export(&step).run(&folder);
    bar.finish_and_clear();
    let written = outcome?;
    let what = if format.has_pictures() { "pictures" } else { "rows" };
    tracing::info!(
        "exported to {}: {} files, {} {what}, {:.1} MB",
        folder.display(),
        written.files,
        written.entries,
        written.bytes as f64 / 1e6
    );
    if args.blur {
        tracing::warn!("no detector finds every face: look through the pictures before you give them to anyone");
    }
    Ok(ExitCode::SUCCESS)
}

/// What finds the faces that are to be hidden.
struct Hider {
    runtime: Runtime,
    models: Models,
}

impl Hider {
    fn new(args: &Args, config: &Config) -> anyhow::Result<Self> {
        let models = Models::chosen(&config.models)?;
        Ok(Self { runtime: Runtime::start(args.runtime.unwrap_or(config.inference.runtime))?, models })
    }
}

/// The folder beside a take that is named after it, the format, and what was done to faces.
fn beside(take: &Path, format: Format, blurred: bool) -> PathBuf {
    let mut name = take.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{}{}", format.name(), if blurred { "-blurred" } else { "" }));
    take.with_file_name(name)
}
