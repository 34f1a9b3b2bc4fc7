use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use vultus::config::{Config, RuntimeChoice};
use vultus::infer::Runtime;
use vultus::infer::manifest::Models;
use vultus::train::datasets::DatasetSpec;
use vultus::train::evaluate::Evaluator;

use super::material::follow;

/// Evaluate an exported model on data sets, through the live pipeline's own decoding, finding, aligning and encoding
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus train evaluate --model runs/cl-mex/model/cl-mex.onnx --data kdef:$HOME/faces/kdef
  vultus train evaluate --model model.onnx --data fer2013:fer2013#validation --data cmu:faces --json | jq .accuracy
  vultus train evaluate --model model.onnx --data take:lab/session-1.mcap

The sets: kdef:DIR, ddcf:DIR, fer2013:DIR|FILE.csv, cmu:DIR, classes:DIR, take:FILE|DIR. A face that is not found counts as
wrong in `accuracy`, and not at all in `accuracy_found`.")]
pub(super) struct Args {
    /// The model; the manifest.toml beside it says how it is read
    #[arg(long, value_name = "FILE.onnx")]
    model: PathBuf,

    /// A data set: KIND:PATH; may be given again
    #[arg(long, value_name = "KIND:PATH", required = true)]
    data: Vec<DatasetSpec>,

    /// Print a JSON object a data set
    #[arg(long)]
    json: bool,

    /// What runs the models [default: auto]
    #[arg(long, value_enum)]
    runtime: Option<RuntimeChoice>,
}

pub(super) fn run(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let models = Models::of_file(&args.model)?;
    let runtime = Runtime::start(args.runtime.unwrap_or(config.inference.runtime))?;
    let evaluator = Evaluator {
        models: &models,
        runtime: &runtime,
        detection: config.detection,
        threads: config.inference.threads(),
    };
    for set in &args.data {
        let evaluation = follow(|on_progress| evaluator.evaluate(set, on_progress))?;
        let mut out = std::io::stdout();
        match args.json {
            true => writeln!(out, "{}", serde_json::to_string_pretty(&evaluation)?)?,
            false => writeln!(out, "{}", evaluation.to_text())?,
        }
    }
    Ok(ExitCode::SUCCESS)
}
