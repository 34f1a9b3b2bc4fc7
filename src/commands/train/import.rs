use std::path::PathBuf;
use std::process::ExitCode;

use vultus::network::{Network, device};
use vultus::train::recipe::Recipe;

/// Take in an encoder's weights from PyTorch, to begin a second stage with
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus train import resnet18.safetensors --recipe models/recipes/cl-mex-resnet18.toml --output runs/r/pretrain/network.safetensors
  vultus train finetune models/recipes/cl-mex-resnet18.toml --output runs/r

The state dict of torchvision's ResNet-18, or of the same layout as the recipe's network; a first layer for colour is summed
over its channels, which is the same for grey pictures. In Python: safetensors.torch.save_file(model.state_dict(), FILE).")]
pub(super) struct Args {
    /// The state dict
    #[arg(value_name = "FILE.safetensors")]
    weights: PathBuf,

    /// The recipe with the network
    #[arg(long, value_name = "RECIPE")]
    recipe: PathBuf,

    /// Write the weights here
    #[arg(short, long, value_name = "FILE.safetensors")]
    output: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let recipe = Recipe::load(&args.recipe, &[])?;
    let network = Network::new(&recipe.network, recipe.seed, &device::cpu()).import(&args.weights)?;
    if let Some(folder) = args.output.parent() {
        std::fs::create_dir_all(folder)?;
    }
    network.save(&args.output)?;
    tracing::info!("imported into {}: an encoder; its heads are fresh", args.output.display());
    Ok(ExitCode::SUCCESS)
}
