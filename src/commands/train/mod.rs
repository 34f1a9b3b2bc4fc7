//! `vultus train`: one file a verb.

mod cross_validate;
mod dashboard;
mod evaluate;
mod export;
mod import;
mod material;
mod run;
mod show;

use std::process::ExitCode;

use clap::Subcommand;
use vultus::config::Config;
use vultus::network::device::DeviceError;
use vultus::train::recipe::RecipeError;
use vultus::train::run::RunError;
use vultus::train::study::StudyError;
use vultus::train::trainer::TrainError;

/// Train an encoder, evaluate it, and make it a model that the pipeline runs
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus train run models/recipes/cl-mex.toml --data ~/faces      pre-train, fine-tune, evaluate, export
  vultus train run … --output runs/a                              the same again: goes on where it was broken off
  vultus train cross-validate models/recipes/cl-mex.toml --folds 10
  vultus train evaluate --model model.onnx --data kdef:DIR --json
  vultus live --config vultus.toml                                with `[models] folder = \"runs/a/model\"` in it

docs/guide/training.md tells how; docs/reference/recipes.md explains each key of a recipe.")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Run(run::Args),
    Show(show::Args),
    Pretrain(run::PretrainArgs),
    Finetune(run::FinetuneArgs),
    CrossValidate(cross_validate::Args),
    Evaluate(evaluate::Args),
    Export(export::Args),
    Import(import::Args),
}

/// The exit code of an error that only training has, if it is not 1.
pub(super) fn code_of_training(error: &anyhow::Error) -> Option<u8> {
    let of_run = error.downcast_ref::<RunError>().or_else(|| match error.downcast_ref() {
        Some(StudyError::Run(error)) => Some(error),
        _ => None,
    });
    if error.is::<RecipeError>() {
        Some(2)
    } else if error.is::<DeviceError>() {
        Some(3)
    } else if matches!(of_run, Some(RunError::Train(TrainError::BrokenOff { .. }))) {
        Some(130)
    } else {
        None
    }
}

pub(super) fn run(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Run(args) => run::run(args, config),
        Verb::Show(args) => show::run(args, config),
        Verb::Pretrain(args) => run::pretrain(args, config),
        Verb::Finetune(args) => run::finetune(args, config),
        Verb::CrossValidate(args) => cross_validate::run(args, config),
        Verb::Evaluate(args) => evaluate::run(args, config),
        Verb::Export(args) => export::run(args, config),
        Verb::Import(args) => import::run(args),
    }
}
