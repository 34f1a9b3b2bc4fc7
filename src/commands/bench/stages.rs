use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use vultus::bench::stages::{Cost, all};
use vultus::config::Config;

use super::cause;
use super::material::{Material, Options};
use super::text::number;
use crate::commands::options::seconds_within;
use crate::commands::signal::{BROKEN_OFF, stop_on_signal};
use crate::commands::status::progress_bar;
use crate::commands::table::lines;

/// Every stage alone, with nothing beside it
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    options: Options,

    /// How long each is measured, in seconds
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds)]
    seconds: Duration,

    /// Print a JSON object a stage
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    seconds_within(text, 0.01)
}

pub(super) fn run(args: &Args, config: Config) -> anyhow::Result<ExitCode> {
    let Material { config, input, models, runtime } = args.options.load(config)?;
    let stop = stop_on_signal()?;
    let mut stages = all(&input, &config, &models, &runtime).map_err(cause)?;
    let bar = progress_bar(stages.len() as u64, "stages");
    let mut costs = Vec::new();
    for stage in &mut stages {
        if stop.is_requested() {
            break;
        }
        costs.push(stage.measure(args.seconds).map_err(cause)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut out = std::io::stdout();
    if args.json {
        for cost in &costs {
            writeln!(out, "{}", serde_json::to_string(cost)?)?;
        }
    } else {
        let mut rows = vec![["stage", "", "p50 µs", "p95", "p99", "allocations"].map(str::to_owned)];
        rows.extend(costs.iter().map(|cost: &Cost| {
            let [p50, p95, p99] = [cost.p50_us, cost.p95_us, cost.p99_us].map(|us| format!("{us:.1}"));
            [cost.stage.to_owned(), cost.kind.clone(), p50, p95, p99, cost.allocations.map_or_else(String::new, number)]
        }));
        writeln!(out, "{}", lines(&rows, [true, true, false, false, false, false]).join("\n"))?;
    }
    Ok(if stop.is_requested() { ExitCode::from(BROKEN_OFF) } else { ExitCode::SUCCESS })
}
