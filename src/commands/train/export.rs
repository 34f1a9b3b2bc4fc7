use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use vultus::config::{Config, RuntimeChoice};
use vultus::infer::Runtime;
use vultus::network::weights::architecture;
use vultus::network::{Network, device};
use vultus::train::export::{Check, Export};
use vultus::train::faces::Faces;
use vultus::train::model;
use vultus::train::recipe::Recipe;

use super::material::provenance;

/// Make a model (ONNX, model card, manifest entry) of the weights that a stage left
#[derive(clap::Args)]
#[command(after_help = "Example:
  vultus train export runs/a/finetune/network.safetensors --recipe runs/a/recipe.toml --output runs/a/model")]
pub(super) struct Args {
    /// The weights
    #[arg(value_name = "FILE.safetensors")]
    weights: PathBuf,

    /// The recipe that they were made by: it names the model, its data and their terms
    #[arg(long, value_name = "RECIPE")]
    recipe: PathBuf,

    /// Divide the class scores by this: above 1 the model is less sure of itself
    #[arg(long, value_name = "T", default_value_t = 1.0)]
    temperature: f32,

    /// Write into this folder of models; its other models stay
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,

    /// What runs the exported model, to check it [default: auto]
    #[arg(long, value_enum)]
    runtime: Option<RuntimeChoice>,

    /// Change the recipe: a key and a TOML value, such as `name="mine"`; may be given again
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

pub(super) fn run(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    if !(0.01..=100.0).contains(&args.temperature) {
        anyhow::bail!("`--temperature` must be between 0.01 and 100");
    }
    let recipe = Recipe::load(&args.recipe, &args.set)?;
    let device = device::cpu();
    let network = Network::new(&architecture(&args.weights)?, recipe.seed, &device).load(&args.weights)?;
    let weights = std::fs::read(&args.weights).with_context(|| format!("cannot read {}", args.weights.display()))?;
    let card = model::card(&recipe, &network, args.temperature, provenance(recipe.seed, &device), Vec::new());
    let runtime = Runtime::start(args.runtime.unwrap_or(config.inference.runtime))?;
    let check = Check::of(&network, &runtime, &Faces::default(), &[]);
    let models =
        Export { graph: &network.graph(), weights: Some(&weights), card: &card, check: &check }.write(&args.output)?;
    tracing::info!("exported {} into {}", models.encoder.name, args.output.display());
    Ok(ExitCode::SUCCESS)
}
