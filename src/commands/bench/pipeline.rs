use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use vultus::bench::BenchError;
use vultus::bench::limits::{Budget, Earlier, LimitsError, Missed};
use vultus::bench::pipeline::{Figures, Load, WARM_UP, run as measure};
use vultus::config::Config;
use vultus::frame::MAX_CAMERAS;
use vultus::pipeline::stop::Stop;

use super::cause;
use super::material::{Material, Options};
use super::text;
use crate::commands::signal::stop_on_signal;

/// When a figure is beyond its limit.
const BUDGET_MISSED: u8 = 4;

/// The whole pipeline under an even load: latency, CPU time, allocations, drops
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus bench pipeline --cameras 4 --size 640x360
  vultus bench pipeline TAKE --fps 60 --json > before.json
  vultus bench pipeline TAKE --fps 60 --compare before.json
  vultus bench pipeline --budget budget.toml

A budget is a TOML file in the shape of the JSON, each number the most that is allowed:
  stale_drops = 0
  latency_ms = { p50 = 12.0, p99 = 33.0 }")]
pub(super) struct Args {
    #[command(flatten)]
    options: Options,

    /// How many cameras there are; of more than the take has, several see the same [default: as many as it has]
    #[arg(long, value_name = "N", value_parser = cameras())]
    cameras: Option<u8>,

    /// Frames a second of each [default: as they were recorded]
    #[arg(long, value_parser = rate)]
    fps: Option<f64>,

    /// How long it is measured, in seconds, after two that do not count
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    seconds: Duration,

    /// Print the figures as JSON
    #[arg(long)]
    json: bool,

    /// The most that figures may be; exit code 4 when one is more
    #[arg(long, value_name = "FILE")]
    budget: Option<PathBuf>,

    /// Compare with the figures that `--json` printed earlier
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,
}

pub(super) fn run(args: &Args, config: Config) -> anyhow::Result<ExitCode> {
    // First: who waits for figures should not learn then that they cannot be judged.
    let budget = args.budget.as_deref().map(|file| parsed(file, "budget", checked_budget)).transpose()?;
    let earlier = args.compare.as_deref().map(|file| parsed(file, "figures", Earlier::parse)).transpose()?;
    let material = args.options.load(config)?;
    let cameras = args.cameras.map_or(material.input.cameras(), usize::from);
    let stop = stop_on_signal()?;
    let figures = figures(&material, cameras, args.fps, args.seconds, &stop).map_err(cause)?;
    let mut out = std::io::stdout();
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&figures)?)?,
        false => out.write_all(text::figures(&figures).as_bytes())?,
    }
    if let Some((file, earlier)) = earlier {
        let other = earlier.other_load(&figures)?;
        if !other.is_empty() {
            tracing::warn!("{} is of another load: {} differ", file.display(), other.join(", "));
        }
        let changes = text::changes(&earlier.changes(&figures)?);
        match args.json {
            true => tracing::info!("compared with {}:\n{changes}", file.display()),
            false => writeln!(out, "\ncompared with {}:\n{changes}", file.display())?,
        }
    }
    let Some((_, budget)) = budget else { return Ok(ExitCode::SUCCESS) };
    let missed = budget.missed(&figures)?;
    for Missed { figure, limit, is } in &missed {
        let is = is.map_or_else(|| "not told by this machine".to_owned(), text::number);
        tracing::error!("beyond the budget: {figure} is {is}, and may be {}", text::number(*limit));
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(BUDGET_MISSED) })
}

fn checked_budget(text: &str) -> Result<Budget, LimitsError> {
    let budget = Budget::parse(text)?;
    budget.check(&Figures::blank())?;
    Ok(budget)
}

/// What `parse` reads in the file, which has `what`.
fn parsed<'a, T>(
    file: &'a Path,
    what: &str,
    parse: impl FnOnce(&str) -> Result<T, LimitsError>,
) -> anyhow::Result<(&'a Path, T)> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok((file, parse(&text).with_context(|| format!("the {what} {}", file.display()))?))
}

/// Measures.
pub(super) fn figures(
    material: &Material,
    cameras: usize,
    fps: Option<f64>,
    lasts: Duration,
    stop: &Stop,
) -> Result<Figures, BenchError> {
    let Material { config, input, models, runtime } = material;
    let load = Load { input, cameras, fps: fps.unwrap_or_else(|| input.fps()), lasts, config, models, runtime, stop };
    // No bar: drawing it would be in the figures.
    let seconds = (WARM_UP + lasts).as_secs_f64();
    tracing::info!("measuring {} for {seconds} s", text::counted(cameras, "camera"));
    measure(load)
}

/// A rate that cameras may have.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let fps: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (1.0..=1000.0).contains(&fps) { Ok(fps) } else { Err("must be between 1 and 1000".to_owned()) }
}

/// How many cameras there may be.
pub(super) fn cameras() -> clap::builder::RangedI64ValueParser<u8> {
    clap::value_parser!(u8).range(1..=MAX_CAMERAS as i64)
}

/// A time that a measurement may last.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    crate::commands::options::seconds_within(text, 1.0)
}
