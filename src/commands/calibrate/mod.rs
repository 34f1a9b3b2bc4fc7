//! `vultus calibrate`: how a rig's cameras see, where they are, and how far their clocks are apart.

mod board;
#[cfg(feature = "opencv")]
mod check;
mod exchange;
mod file;
#[cfg(feature = "opencv")]
mod offsets;
#[cfg(feature = "opencv")]
mod output;
#[cfg(feature = "opencv")]
mod rig;
#[cfg(feature = "opencv")]
mod source;

use std::process::ExitCode;

use vultus::config::Config;

/// Calibrate a rig: lenses, places of the cameras, and how far their clocks are apart
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus calibrate board --output board.pdf            a board to print, with a ruler to check the print
  vultus calibrate rig                                 lenses and places: hold the board before the cameras
  vultus calibrate offsets --rig rig.toml              how far their clocks are apart: a page flashes
  vultus live --rig rig.toml
  vultus calibrate check --rig rig.toml                weeks later: is it still good?

Step by step: calibration/README.md")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Board(board::Args),
    #[cfg(feature = "opencv")]
    Rig(rig::Args),
    #[cfg(feature = "opencv")]
    Intrinsics(rig::IntrinsicsArgs),
    #[cfg(feature = "opencv")]
    Extrinsics(rig::ExtrinsicsArgs),
    #[cfg(feature = "opencv")]
    Offsets(offsets::Args),
    #[cfg(feature = "opencv")]
    Check(check::Args),
    Import(exchange::ImportArgs),
    Export(exchange::ExportArgs),
}

/// Whether Ctrl-C ended it.
pub(super) fn is_broken_off(error: &anyhow::Error) -> bool {
    #[cfg(feature = "opencv")]
    let is = matches!(error.downcast_ref(), Some(vultus::calibrate::watch::WatchError::BrokenOff));
    #[cfg(not(feature = "opencv"))]
    let is = error.is::<std::convert::Infallible>();
    is
}

pub(super) fn run(args: &Args, config: Config) -> anyhow::Result<ExitCode> {
    #[cfg(not(feature = "opencv"))]
    drop(config);
    match &args.verb {
        Verb::Board(args) => board::run(args),
        #[cfg(feature = "opencv")]
        Verb::Rig(args) => rig::run(args, config),
        #[cfg(feature = "opencv")]
        Verb::Intrinsics(args) => rig::run_intrinsics(args, config),
        #[cfg(feature = "opencv")]
        Verb::Extrinsics(args) => rig::run_extrinsics(args, config),
        #[cfg(feature = "opencv")]
        Verb::Offsets(args) => offsets::run(args, config),
        #[cfg(feature = "opencv")]
        Verb::Check(args) => check::run(args, config),
        Verb::Import(args) => exchange::run_import(args),
        Verb::Export(args) => exchange::run_export(args),
    }
}
