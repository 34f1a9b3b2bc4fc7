use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use vultus::config::Config;
use vultus::train::faces::Faces;
use vultus::train::folds::{self, Split};
use vultus::train::network::Network;
use vultus::train::recipe::Recipe;
use vultus::train::run::{Parts, Run, default_folder, rooted, sets};

use super::dashboard::Dashboard;
use super::material::Options;
use crate::commands::signal::stop_on_signal;

/// Follow a recipe from its data to a model: pre-train, fine-tune, evaluate, export
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus train run models/recipes/cl-mex.toml --data ~/faces
  vultus train run models/recipes/cl-mex.toml --data ~/faces --set seed=2 --output runs/second
  vultus train run models/recipes/cl-mex.toml --data ~/faces --evaluate kdef:~/other/kdef

The same command again goes on where it was broken off.")]
pub(super) struct Args {
    #[command(flatten)]
    stage: StageArgs,

    /// Evaluate the model on this set too, which nobody learns from: KIND:PATH; may be given again
    #[arg(long, value_name = "KIND:PATH")]
    evaluate: Vec<vultus::train::datasets::DatasetSpec>,
}

/// The first stage alone: representations from views
#[derive(clap::Args)]
#[command(after_help = "Example:
  vultus train pretrain models/recipes/cl-mex.toml --data ~/faces --output runs/a")]
pub(super) struct PretrainArgs {
    #[command(flatten)]
    stage: StageArgs,
}

#[derive(clap::Args)]
struct StageArgs {
    /// What to do: a TOML file; docs/reference/recipes.md explains each key
    #[arg(value_name = "RECIPE")]
    recipe: PathBuf,

    /// Write into this folder; if it has a checkpoint of the same recipe, go on from there
    /// [default: runs/ and the recipe's name]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,

    #[command(flatten)]
    options: Options,
}

/// A recipe with all that is needed to follow it.
struct Begun {
    recipe: Recipe,
    folder: PathBuf,
    faces: Faces,
    parts: Parts,
    device: burn::tensor::Device,
    dashboard: Dashboard,
}

impl Begun {
    fn of(args: &StageArgs, config: &Config) -> anyhow::Result<Self> {
        let recipe = args.options.recipe(&args.recipe)?;
        let folder = args.output.clone().unwrap_or_else(|| default_folder(&recipe));
        let device = burn::tensor::Device::flex().autodiff();
        let faces = args.options.faces(&sets(&recipe, &args.options.data), config)?;
        let split = Split { train: faces.all(), ..Split::default() };
        let parts = Parts::of(&rooted(&recipe, &args.options.data), &faces, &split)?;
        tracing::info!("split by {}: {}", folds::division(&faces), parts.describe());
        write(&folder, "recipe.toml", &recipe.to_toml()?)?;
        write(&folder, "data.txt", &faces.report())?;
        let dashboard = Dashboard::new(&recipe.name, stop_on_signal()?);
        Ok(Self { recipe, folder, faces, parts, device, dashboard })
    }

    fn pretrain(&mut self) -> anyhow::Result<Network> {
        let Self { recipe, folder, faces, parts, device, dashboard } = self;
        let run = Run { recipe, faces, parts, device, folder };
        Ok(run.pretrain(run.fresh(), dashboard)?)
    }

    fn finetune(&mut self, network: Network) -> anyhow::Result<Network> {
        let Self { recipe, folder, faces, parts, device, dashboard } = self;
        Ok(Run { recipe, faces, parts, device, folder }.finetune(network, dashboard)?)
    }
}

/// Writes a text into the folder of a run, which is made when it is not there.
fn write(folder: &Path, file: &str, text: &str) -> anyhow::Result<()> {
    let path = folder.join(file);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, text))
        .with_context(|| format!("cannot write {}", path.display()))
}

pub(super) fn pretrain(args: &PretrainArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let mut begun = Begun::of(&args.stage, config)?;
    if begun.recipe.pretrain.is_none() {
        anyhow::bail!("{} has no first stage (a table `[pretrain]`)", args.stage.recipe.display());
    }
    begun.pretrain()?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let mut begun = Begun::of(&args.stage, config)?;
    let network = begun.pretrain()?;
    begun.finetune(network)?;
    Ok(ExitCode::SUCCESS)
}
