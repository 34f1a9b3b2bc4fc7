use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use vultus::config::Config;
use vultus::network::device;
use vultus::train::run::{Run, default_folder};
use vultus::train::sheet::sheet;

use super::material::Options;

/// Show what a recipe learns from: the pictures of a batch of each stage, as the network sees them
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus train show models/recipes/cl-mex.toml --data ~/faces
  vultus train show models/recipes/cl-mex.toml --data ~/faces --set pretrain.augment.preset='\"strong\"' --output /tmp

Frames of one colour are of one group: of one instant, of one person, of one picture, as the method has it.")]
pub(super) struct Args {
    /// Whose batches
    #[arg(value_name = "RECIPE")]
    recipe: PathBuf,

    /// Which batch, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    batch: u64,

    /// Pictures side by side
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    columns: u16,

    /// Write STAGE.png into this folder [default: runs/ and the recipe's name]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,

    #[command(flatten)]
    options: Options,
}

pub(super) fn run(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let recipe = args.options.recipe(&args.recipe)?;
    let folder = args.output.clone().unwrap_or_else(|| default_folder(&recipe));
    let (faces, parts) = args.options.parts(&recipe, config)?;
    let device = device::cpu();
    let run = Run { recipe: &recipe, faces: &faces, parts: &parts, device: &device, folder: &folder };
    let second = if recipe.data.finetune.is_empty() { None } else { Some(run.finetuning()?) };
    for stage in run.pretraining()?.into_iter().chain(second) {
        let batch = stage.draw(args.batch);
        let path = folder.join(stage.name.as_str()).with_extension("png");
        let unwritten = || format!("cannot write {}", path.display());
        std::fs::create_dir_all(&folder).with_context(unwritten)?;
        sheet(&faces, &batch, recipe.network.side, stage.augment, args.columns.into())
            .save(&path)
            .with_context(unwritten)?;
        tracing::info!("{} pictures of {}: {}", batch.shots.len(), stage.name.as_str(), path.display());
    }
    Ok(ExitCode::SUCCESS)
}
