use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use vultus::bench::BenchError;
use vultus::bench::scale::Scaling;
use vultus::config::Config;
use vultus::frame::MAX_CAMERAS;

use super::cause;
use super::material::Options;
use super::pipeline::{cameras, figures, rate, seconds};
use super::text::{self, number};
use crate::commands::signal::{BROKEN_OFF, stop_on_signal};
use crate::commands::table::lines;

/// What more cameras cost, all of which see what the take's first one saw, and how many are too many for this machine
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    options: Options,

    /// The most cameras
    #[arg(long, value_name = "N", default_value_t = MAX_CAMERAS as u8, value_parser = cameras())]
    cameras: u8,

    /// Frames a second of each [default: as they were recorded]
    #[arg(long, value_parser = rate)]
    fps: Option<f64>,

    /// How long each number of cameras is measured, in seconds, after two that do not count
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    seconds: Duration,

    /// Print the figures as JSON
    #[arg(long)]
    json: bool,

    /// Draw latency and cost by the number of cameras into this folder (SVG)
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
}

pub(super) fn run(args: &Args, config: Config) -> anyhow::Result<ExitCode> {
    let mut material = args.options.load(config)?;
    material.input = material.input.of_first_camera();
    let stop = stop_on_signal()?;
    let mut scaling = Scaling::default();
    for cameras in 1..=usize::from(args.cameras) {
        match figures(&material, cameras, args.fps, args.seconds, &stop) {
            Ok(figures) => scaling.points.push(figures),
            // What there is by then is told.
            Err(BenchError::BrokenOff) => break,
            Err(error) if scaling.points.is_empty() => return Err(cause(error)),
            Err(error) => {
                tracing::warn!("the series ends before {}: {error}", text::counted(cameras, "camera"));
                break;
            }
        }
    }
    let mut out = std::io::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&scaling.report())?)?;
    } else {
        let mut rows = vec![["cameras", "p50 ms", "p95", "p99", "sets", "dropped", "CPU ms a set"].map(str::to_owned)];
        rows.extend(scaling.points.iter().map(|point| {
            let [p50, p95, p99] =
                [point.latency_ms.p50, point.latency_ms.p95, point.latency_ms.p99].map(|ms| format!("{ms:.1}"));
            let (sets, dropped) = (point.sets.to_string(), point.stale_drops.to_string());
            let cpu_ms = point.cpu_ms_per_set.map_or_else(String::new, |ms| format!("{ms:.1}"));
            [point.cameras.to_string(), p50, p95, p99, sets, dropped, cpu_ms]
        }));
        writeln!(out, "{}", lines(&rows, [false; 7]).join("\n"))?;
        writeln!(out, "\nthis machine keeps up with {} of {} cameras", scaling.keeps_up_with(), args.cameras)?;
        if let Some(line) = scaling.line() {
            writeln!(
                out,
                "a camera more costs {} ms of CPU a set (straight line through those, R² {:.4})",
                number(line.cpu_ms_per_camera),
                line.r_squared
            )?;
        }
    }
    if let Some(folder) = args.plots.as_deref().filter(|_| !scaling.points.is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        for (name, svg) in scaling.plots()? {
            let file = folder.join(format!("{name}.svg"));
            std::fs::write(&file, svg).with_context(|| format!("{} cannot be written", file.display()))?;
            tracing::info!("drawn: {}", file.display());
        }
    }
    Ok(if stop.is_requested() { ExitCode::from(BROKEN_OFF) } else { ExitCode::SUCCESS })
}
