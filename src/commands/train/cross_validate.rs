use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;
use clap::error::ErrorKind;
use vultus::config::Config;
use vultus::train::datasets::DatasetSpec;
use vultus::train::network::TrainDevice;
use vultus::train::recipe::Recipe;
use vultus::train::run::{rooted, sets};
use vultus::train::study::{Condition, Study, Wanted};

use super::dashboard::Dashboard;
use super::material::Options;
use crate::commands::signal::stop_on_signal;

/// Compare recipes on the same people: once a fold, trained on the others
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus train cross-validate models/recipes/cl-mex.toml --data ~/faces --folds 10
  vultus train cross-validate supervised.toml cl-mex.toml --data ~/faces --folds 3 --seeds 1,2,3 --labels 1,0.1
  vultus train cross-validate supervised.toml cl-mex.toml --data ~/faces --test kdef:other --leave-view-out --probe

The first recipe is what the others are compared with. The same command again goes on where it was broken off.")]
pub(super) struct Args {
    /// What to compare
    #[arg(value_name = "RECIPE", required = true)]
    recipes: Vec<PathBuf>,

    /// Split the people into so many folds
    #[arg(long, value_name = "K", default_value_t = 10, value_parser = clap::value_parser!(u16).range(2..=100))]
    folds: u16,

    /// Do these folds alone, counted from 0
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    only_folds: Vec<usize>,

    /// Train with each of these seeds [default: the recipe's]
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    seeds: Vec<u64>,

    /// Shares of the people whose labels the second stage may use
    #[arg(long, value_name = "SHARE,…", value_delimiter = ',', default_value = "1")]
    labels: Vec<f64>,

    /// Also train without each view in turn
    #[arg(long)]
    leave_view_out: bool,

    /// Also train the classifier alone on the frozen encoder
    #[arg(long)]
    probe: bool,

    /// Also test on this set, which nobody learns from: KIND:PATH; may be given again
    #[arg(long, value_name = "KIND:PATH")]
    test: Vec<DatasetSpec>,

    /// Write into this folder; what it has by now is not done again
    #[arg(short, long, value_name = "DIR", default_value = "runs/cross-validation")]
    output: PathBuf,

    /// What computes
    #[arg(long, value_enum, default_value_t)]
    device: TrainDevice,

    #[command(flatten)]
    options: Options,
}
