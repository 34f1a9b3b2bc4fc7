//! `vultus bench`: what the machine makes of the program.

mod end_to_end;
mod material;
mod pipeline;
mod scale;
mod stages;
mod text;

use std::process::ExitCode;

use vultus::bench::BenchError;
use vultus::config::Config;
use vultus::pipeline::vision::VisionError;

/// Measure this program on this machine: latency, cost and drops, stage by stage, by the number of cameras
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus bench pipeline                           four cameras of the built-in take, 10 s
  vultus bench pipeline TAKE --cameras 8 --size 1280x720 --json
  vultus bench pipeline --budget budget.toml      exit code 4 when a figure is beyond its limit
  vultus bench scale --plots plots                1, 2, … 16 cameras, with plots (SVG)
  vultus bench stages                             every stage alone
  vultus bench end-to-end                         from a screen through the cameras to the result

Nothing else should run beside it. What the figures are: docs/reference/bench.md")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Pipeline(pipeline::Args),
    Stages(stages::Args),
    Scale(scale::Args),
    EndToEnd(end_to_end::Args),
}

/// What went wrong itself, by which the exit code is told.
fn cause(error: BenchError) -> anyhow::Error {
    match error {
        BenchError::Capture(error) => error.into(),
        BenchError::Vision(error) => error.into(),
        BenchError::View(error) => VisionError::from(error).into(),
        BenchError::Manifest(error) => error.into(),
        BenchError::Infer(error) => error.into(),
        other => other.into(),
    }
}

pub(super) fn run(args: &Args, config: Config) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Pipeline(args) => pipeline::run(args, config),
        Verb::Stages(args) => stages::run(args, config),
        Verb::Scale(args) => scale::run(args, config),
        Verb::EndToEnd(args) => end_to_end::run(args, config),
    }
}
