use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use vultus::calibrate::light;
use vultus::calibrate::offsets::{Offset, Step, Trace, offsets};
use vultus::calibrate::watch::brightness;
use vultus::capture::Source;
use vultus::capture::recording::Recording;
use vultus::config::Config;
use vultus::rig::Rig;
use vultus::serve::screen::Screen;

use super::file::write;
use super::output::print;
use super::source::{Cameras, in_parallel};
use crate::commands::options::seconds_within;
use crate::commands::signal::stop_on_signal;
use crate::commands::status::progress_bar;
use crate::commands::table::lines;

/// Find how far the cameras' clocks are apart, from a light that all of them see change
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus calibrate offsets --rig rig.toml                a page turns bright and dark before live cameras
  vultus calibrate offsets light.mcap --rig rig.toml     a recording of a lamp or a screen

With live cameras, show the page as large as it can be on a screen that all of them see. In a recording, a
lamp or a screen must turn bright and dark at irregular times, two to four times a second, for ten seconds
or more. Where the times of the changes are known (the page notes them; `steps.csv` with `true_ns` and
`brightness_after` in the take's folder, or `--steps`), offsets are told to a few milliseconds; without
them to a fraction of a frame's time. The error is stated.")]
pub(super) struct Args {
    /// A take, or videos (one a camera), in which the light changes [default: live cameras and a page that flashes]
    #[arg(value_name = "TAKE|DIR|VIDEO")]
    input: Vec<PathBuf>,

    #[command(flatten)]
    cameras: Cameras,

    /// The rig that the offsets are written into; its cameras' names are the take's
    #[arg(long, value_name = "FILE")]
    rig: PathBuf,

    /// When the light changed: CSV with the columns `true_ns` (the time line of the take) and `brightness_after`
    #[arg(long, value_name = "FILE", requires = "input")]
    steps: Option<PathBuf>,

    /// With live cameras: watch for so many seconds
    #[arg(long, value_name = "N", default_value = "20", value_parser = seconds, conflicts_with = "input")]
    seconds: Duration,

    /// Write the rig here instead of over the one that was read
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Print the offsets as JSON
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    seconds_within(text, 5.0)
}

/// A measurement whose error is larger by this factor does not replace one.
const WORSE: f64 = 2.0;

/// What the cameras saw, and the changes of the light where they are known.
struct Looked {
    names: Vec<String>,
    traces: Vec<Trace>,
    light: Option<Vec<Step>>,
}

fn recorded(args: &Args, rig: &Rig) -> anyhow::Result<Looked> {
    let recording = Recording::open(&args.input, false)?;
    anyhow::ensure!(!recording.stills, "stills have no times: offsets are found in a take, or in videos");
    let names = names(&recording.sources, rig)?;
    let beside = args.input.first().map(|input| input.join("steps.csv")).filter(|file| file.is_file());
    let light = args.steps.clone().or(beside).map(|file| steps(&file)).transpose()?;
    let traces = in_parallel(recording, |source, goes_on| brightness(source, goes_on))?;
    Ok(Looked { names, traces, light })
}

fn watched(args: &Args, config: Config, rig: &Rig) -> anyhow::Result<Looked> {
    let mut sources = args.cameras.open(config)?;
    let names = names(&sources, rig)?;
    let screen = Screen::serve(args.cameras.listen, light::GAPS)?;
    tracing::info!("show this page, as large as it can be, where all cameras see it: {}", screen.url);
    args.cameras.show(&screen.url);
    let (stop, bar) = (stop_on_signal()?, progress_bar(args.seconds.as_secs(), "s"));
    let seen = light::watch(&mut sources, &screen, args.seconds, &stop, |passed| bar.set_position(passed.as_secs()));
    bar.finish_and_clear();
    let (traces, steps) = seen?;
    Ok(Looked { names, traces, light: Some(steps) })
}

/// The cameras' names, all of which are in the rig.
fn names(sources: &[Box<dyn Source>], rig: &Rig) -> anyhow::Result<Vec<String>> {
    let names: Vec<String> = sources.iter().map(|source| source.stream().name.to_string()).collect();
    for name in &names {
        rig.camera(name)?;
    }
    Ok(names)
}

pub(super) fn run(args: &Args, config: Config) -> anyhow::Result<ExitCode> {
    let rig = Rig::load(&args.rig)?;
    let Looked { names, traces, light } =
        if args.input.is_empty() { watched(args, config, &rig)? } else { recorded(args, &rig)? };
    let found = offsets(&traces, light.as_deref()).map_err(|error| match error.camera() {
        Some(camera) => anyhow::anyhow!("camera `{}`: {error}", names[camera]),
        None => error.into(),
    })?;

    // Relative to the first of those that were looked at, which the rig may know relative to another.
    let first = rig.camera(&names[0])?;
    let (base_ms, base_error_ms) = (first.time_offset_ms, first.time_offset_error_ms.unwrap_or_default());
    let mut cameras = rig.cameras.clone();
    let mut is_worse = false;
    for (name, offset) in names.iter().zip(&found) {
        if let Some(camera) = cameras.iter_mut().find(|camera| camera.name == *name) {
            let rounded = |ms: f64| (ms * 1e3).round() / 1e3;
            let error_ms = rounded(offset.error_ms + base_error_ms);
            is_worse |= camera.time_offset_error_ms.is_some_and(|before| before < error_ms / WORSE);
            camera.time_offset_ms = rounded(base_ms + offset.offset_ms);
            camera.time_offset_error_ms = Some(error_ms);
        }
    }
    if args.json {
        let by_name: serde_json::Map<_, _> = names
            .iter()
            .zip(&found)
            .map(|(name, offset)| Ok((name.clone(), serde_json::to_value(offset)?)))
            .collect::<Result<_, serde_json::Error>>()?;
        print(&format!("{}\n", serde_json::to_string_pretty(&by_name)?))?;
    } else {
        print(&text(&names, &found))?;
    }
    if light.is_none() {
        tracing::info!("the times of the light's changes are not known, so the errors are larger than they could be");
    }
    let output = args.output.as_deref().unwrap_or(&args.rig);
    if is_worse && args.output.is_none() {
        anyhow::bail!(
            "{} knows offsets with smaller errors: it stays as it is. Another file can be written (`--output`)",
            output.display()
        );
    }
    write(output, &cameras, &rig.metadata())?;
    tracing::info!("written into {}", output.display());
    Ok(ExitCode::SUCCESS)
}

fn text(names: &[String], found: &[Offset]) -> String {
    let mut rows =
        vec![["camera", "clock ahead of the first one's, ms", "error at most", "changes"].map(str::to_owned)];
    rows.extend(names.iter().zip(found).map(|(name, offset)| {
        [
            name.clone(),
            format!("{:.2}", offset.offset_ms),
            format!("{:.2}", offset.error_ms),
            offset.changes.to_string(),
        ]
    }));
    format!("{}\n", lines(&rows, [true, false, false, false]).join("\n"))
}

/// The changes of the light; the first row is the level at the beginning.
fn steps(file: &Path) -> anyhow::Result<Vec<Step>> {
    #[derive(serde::Deserialize)]
    struct Row {
        true_ns: i64,
        brightness_after: f64,
    }
    let read = || -> Result<Vec<Row>, csv::Error> { csv::Reader::from_path(file)?.deserialize().collect() };
    let rows = read().with_context(|| format!("{} cannot be read", file.display()))?;
    let step = |pair: &[Row]| Step {
        at_ns: pair[1].true_ns,
        within_ns: 0,
        rises: pair[1].brightness_after > pair[0].brightness_after,
    };
    Ok(rows.windows(2).map(step).collect())
}
