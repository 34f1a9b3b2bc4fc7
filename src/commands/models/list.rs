use std::io::Write;
use std::process::ExitCode;

use vultus::config::Config;
use vultus::infer::manifest::{Model, Role, listed};

use crate::commands::table::lines;

/// List the models: what they do, what they read, on what terms
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print the manifest's entries as a JSON array
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let models = listed(config.models.folder.as_deref())?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&models)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let heading = ["model", "role", "input", "runtimes", "terms"].map(str::to_owned);
    let mut encoders = models.iter().filter(|model| model.role == Role::Encoder);
    let default = config.models.encoder.clone().or_else(|| encoders.next().map(|model| model.name.clone()));
    let rows = models.iter().map(|model| row(model, default.as_ref() == Some(&model.name)));
    let rows: Vec<[String; 5]> = std::iter::once(heading).chain(rows).collect();
    writeln!(out, "{}", config.models.origin())?;
    lines(&rows, [true; 5]).iter().try_for_each(|line| writeln!(out, "{line}"))?;
    Ok(ExitCode::SUCCESS)
}

fn row(model: &Model, is_default: bool) -> [String; 5] {
    let planes = if model.input.channels.planes() == 1 { "grey" } else { "colour" };
    let size = model.input.size.map_or_else(|| "any size".to_owned(), |[width, height]| format!("{width}x{height}"));
    let role = match (model.role, is_default) {
        (Role::Detector, _) => "detector",
        (Role::Encoder, true) => "encoder, the one in use",
        (Role::Encoder, false) => "encoder",
    };
    let by_wgpu = model.weights.is_some() && cfg!(feature = "train");
    let runtimes = if by_wgpu { "ort, tract, wgpu" } else { "ort, tract" };
    [model.name.clone(), role.to_owned(), format!("{size} {planes}"), runtimes.to_owned(), model.licence.clone()]
}
