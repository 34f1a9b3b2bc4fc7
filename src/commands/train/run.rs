use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use burn::tensor::Device;
use vultus::config::{Config, DeviceChoice};
use vultus::infer::Runtime;
use vultus::network::{Network, device};
use vultus::train::datasets::DatasetSpec;
use vultus::train::evaluate::{Evaluation, Evaluator};
use vultus::train::export::{Check, Export};
use vultus::train::faces::Faces;
use vultus::train::folds;
use vultus::train::model;
use vultus::train::recipe::Recipe;
use vultus::train::run::{Parts, Run, RunError, default_folder, sets};
use vultus::train::trainer::{StageName, Watch};

use super::dashboard::Dashboard;
use super::material::{Options, check_unlearnt, follow, provenance};
use crate::commands::signal::stop_on_signal;

/// Follow a recipe from its data to a model: pre-train, fine-tune, evaluate, export
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus train run models/recipes/cl-mex.toml --data ~/faces
  vultus train run models/recipes/cl-mex.toml --data ~/faces --set seed=2 --output runs/second
  vultus train run models/recipes/cl-mex.toml --data ~/faces --evaluate kdef:$HOME/other/kdef

The same command again goes on where it was broken off.")]
pub(super) struct Args {
    #[command(flatten)]
    stage: StageArgs,

    /// Evaluate the model on this set too, which nobody learns from: KIND:PATH; may be given again
    #[arg(long, value_name = "KIND:PATH")]
    evaluate: Vec<DatasetSpec>,
}

/// The first stage alone: representations from views
#[derive(clap::Args)]
#[command(after_help = "Example:
  vultus train pretrain models/recipes/cl-mex.toml --data ~/faces --output runs/a")]
pub(super) struct PretrainArgs {
    #[command(flatten)]
    stage: StageArgs,
}

/// The second stage alone: classes, from the weights of a first stage or from nothing
#[derive(clap::Args)]
#[command(after_help = "Example:
  vultus train finetune models/recipes/cl-mex.toml --data ~/faces --from runs/a/pretrain/network.safetensors")]
pub(super) struct FinetuneArgs {
    #[command(flatten)]
    stage: StageArgs,

    /// Begin with these weights [default: those that the first stage left in the folder, otherwise fresh ones]
    #[arg(long, value_name = "FILE.safetensors")]
    from: Option<PathBuf>,
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

    /// What computes
    #[arg(long, value_enum, default_value_t)]
    device: DeviceChoice,

    #[command(flatten)]
    options: Options,
}

impl StageArgs {
    fn recipe(&self) -> anyhow::Result<Recipe> {
        self.options.recipe(&self.recipe)
    }
}

/// The weights that a stage leaves in its folder.
const WEIGHTS: &str = "network.safetensors";

/// A recipe with all that is needed to follow it.
struct Begun {
    recipe: Recipe,
    folder: PathBuf,
    faces: Faces,
    parts: Parts,
    device: Device,
    dashboard: Dashboard,
}

impl Begun {
    /// Prepares what `recipe`, which is that of `args`, needs.
    fn of(args: &StageArgs, recipe: Recipe, config: &Config) -> anyhow::Result<Self> {
        let folder = args.output.clone().unwrap_or_else(|| default_folder(&recipe));
        let device = device::open(args.device)?;
        let (faces, parts) = args.options.parts(&recipe, config)?;
        tracing::info!("split {}: {}", folds::division(&faces), parts.describe());
        Run { recipe: &recipe, faces: &faces, parts: &parts, device: &device, folder: &folder }.check_folder()?;
        write(&folder, "recipe.toml", &recipe.to_toml()?)?;
        write(&folder, "data.txt", &faces.report())?;
        let dashboard = Dashboard::new(&recipe.name, stop_on_signal()?);
        Ok(Self { recipe, folder, faces, parts, device, dashboard })
    }

    fn fresh(&self) -> Network {
        Network::new(&self.recipe.network, self.recipe.seed, &self.device)
    }

    fn pretrain(&mut self) -> anyhow::Result<Network> {
        let fresh = self.fresh();
        self.stage(StageName::Pretrain, fresh, |run, network, watch| run.pretrain(network, watch))
    }

    fn finetune(&mut self, network: Network) -> anyhow::Result<Network> {
        self.stage(StageName::Finetune, network, |run, network, watch| run.finetune(network, watch))
    }

    /// One stage, after which its weights lie in its folder.
    fn stage(
        &mut self,
        name: StageName,
        network: Network,
        stage: impl FnOnce(&Run<'_>, Network, &mut dyn Watch) -> Result<Network, RunError>,
    ) -> anyhow::Result<Network> {
        let Self { recipe, folder, faces, parts, device, dashboard } = self;
        let network = stage(&Run { recipe, faces, parts, device, folder }, network, dashboard)?;
        let name = name.as_str();
        let file = folder.join(name).join(WEIGHTS);
        network.save(&file)?;
        tracing::info!("the weights after {name}: {}", file.display());
        Ok(network)
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
    let recipe = args.stage.recipe()?;
    if recipe.pretrain.is_none() {
        anyhow::bail!("{} has no first stage (a table `[pretrain]`)", args.stage.recipe.display());
    }
    Begun::of(&args.stage, recipe, config)?.pretrain()?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn finetune(args: &FinetuneArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let recipe = args.stage.recipe()?;
    recipe.check_second_stage(&args.stage.recipe)?;
    let mut begun = Begun::of(&args.stage, recipe, config)?;
    let left = begun.folder.join(StageName::Pretrain.as_str()).join(WEIGHTS);
    let from = args.from.clone().or_else(|| left.is_file().then_some(left));
    let network = match &from {
        Some(file) => {
            tracing::info!("begins with the weights of {}", file.display());
            begun.fresh().load(file)?
        }
        None => {
            tracing::info!("begins with fresh weights");
            begun.fresh()
        }
    };
    begun.finetune(network)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let recipe = args.stage.recipe()?;
    recipe.check_second_stage(&args.stage.recipe)?;
    check_unlearnt("--evaluate", &args.evaluate, &sets([&recipe], &args.stage.options.data))?;
    let mut begun = Begun::of(&args.stage, recipe, config)?;
    let pretrained = match begun.recipe.pretrain {
        Some(_) => begun.pretrain()?,
        None => begun.fresh(),
    };
    let network = begun.finetune(pretrained)?;
    let Begun { recipe, folder, faces, parts, device, .. } = &begun;

    let apart = &parts.finetune_validation;
    let temperature = model::temperature(&network, faces, apart);
    let graph = network.graph();
    let weights = std::fs::read(folder.join(StageName::Finetune.as_str()).join(WEIGHTS))?;
    let runtime = Runtime::start(args.stage.options.runtime(config))?;
    let check = Check::of(&network, &runtime, faces, apart);
    let made = provenance(recipe.seed, device);
    let write_model = |figures: Vec<Evaluation>| {
        let card = model::card(recipe, &network, temperature, made.clone(), figures);
        Export { graph: &graph, weights: Some(&weights), card: &card, check: &check }.write(&folder.join("model"))
    };
    let models = write_model(Vec::new())?;
    let evaluator = Evaluator {
        models: &models,
        runtime: &runtime,
        detection: config.detection,
        threads: config.inference.threads(),
    };
    let evaluations = args.evaluate.iter().map(|set| follow(|on_progress| evaluator.evaluate(set, on_progress)));
    let mut all = model::evaluations(&network, temperature, faces, apart, &recipe.name, &models.encoder.sha256);
    for evaluation in evaluations {
        all.push(evaluation?);
    }
    write_model(all.clone())?;
    let told = all.iter().map(|evaluation| format!("\n{}", evaluation.to_markdown()));
    let title = format!("# {}\n\n{}\n", recipe.name, made.to_markdown());
    let plots = [
        ("Loss of the second stage", "finetune/loss.svg"),
        ("Accuracy on what is kept apart", "finetune/accuracy.svg"),
    ];
    let plots = plots.iter().filter(|(_, file)| folder.join(file).is_file());
    let plots = plots.map(|(about, file)| format!("\n![{about}]({file})\n"));
    write(folder, "report.md", &std::iter::once(title).chain(told).chain(plots).collect::<String>())?;
    tracing::info!(
        "the model: {}; to run it: `[models] folder = \"{}\"` in vultus.toml",
        folder.join("model").join(format!("{}.onnx", recipe.name)).display(),
        folder.join("model").display()
    );
    Ok(ExitCode::SUCCESS)
}
