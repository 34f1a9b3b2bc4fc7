//! `vultus models`: what there is, whether it is whole, and whether all that can run it agrees.

mod list;
mod parity;
mod verify;

use std::process::ExitCode;

use vultus::config::Config;

/// List the models, check their files, and compare all that can run them
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus models list                  names, what they do, terms
  vultus models verify                every file against its checksum
  vultus models parity                all runtimes and devices that are here, on the same faces
  vultus models parity photos --json

All take `[models] folder` of the configuration instead of what is built in. docs/reference/models.md")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    List(list::Args),
    Verify(verify::Args),
    Parity(parity::Args),
}

pub(super) fn run(args: &Args, config: Config) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::List(args) => list::run(args, &config),
        Verb::Verify(args) => verify::run(args, &config),
        Verb::Parity(args) => parity::run(args, config),
    }
}
