//! The verbs of the command line: one file each, with its arguments, its help and what it does.

mod bench;
mod calibrate;
mod cameras;
mod doctor;
mod export;
mod info;
mod live;
mod models;
mod options;
mod page;
mod repair;
mod replay;
mod results;
mod session;
mod signal;
mod status;
mod table;
#[cfg(any(feature = "train", feature = "opencv"))]
mod today;
#[cfg(feature = "train")]
mod train;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use vultus::bench::BenchError;
use vultus::capture::CaptureError;
use vultus::config::{Config, ConfigError};
use vultus::export::ExportError;
use vultus::face::view::ViewError;
use vultus::infer::InferError;
use vultus::infer::manifest::ManifestError;
use vultus::pipeline::vision::VisionError;
use vultus::record::RepairError;

#[cfg(feature = "train")]
use train::code_of_training;

/// Real-time facial expression recognition from several synchronised webcams.
///
/// Without a verb, `live` runs. Results go to standard output, everything else to standard error.
#[derive(Parser)]
#[command(
    version,
    propagate_version = true,
    after_help = "Examples:
  vultus                             watch all attached cameras
  vultus replay                      replay the take that is built in (no camera needed)
  vultus replay TAKE --results out.jsonl
  vultus doctor                      what is wrong, and what to do

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 no camera or model, 4 budget missed,
130 a measurement, a training, an export or a repair was broken off (Ctrl-C)"
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    global: Global,
}

/// Options of every verb; they may stand before or behind it.
#[derive(clap::Args)]
struct Global {
    /// Read settings from this file (docs/reference/config.md)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Say more; twice: everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,

    /// Say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Subcommand)]
enum Verb {
    Live(live::Args),
    Replay(replay::Args),
    Info(info::Args),
    Export(export::Args),
    Cameras(cameras::Args),
    Doctor(doctor::Args),
    Calibrate(calibrate::Args),
    Bench(bench::Args),
    Models(models::Args),
    #[cfg(feature = "train")]
    Train(train::Args),
}

/// Parses the command line and does what it says.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse_from(with_verb(std::env::args_os().collect()));
    start_log(&cli.global);
    match dispatch(&cli) {
        Ok(code) => code,
        // Who reads the output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            exit_code(&error)
        }
    }
}

fn dispatch(cli: &Cli) -> anyhow::Result<ExitCode> {
    let config = cli.global.config.as_deref().map_or_else(|| Ok(Config::default()), Config::load)?;
    match &cli.verb {
        Verb::Live(args) => live::run(args, config),
        Verb::Replay(args) => replay::run(args, config),
        Verb::Info(args) => info::run(args),
        Verb::Export(args) => export::run(args, &config),
        Verb::Cameras(args) => cameras::run(args),
        Verb::Doctor(args) => doctor::run(args, &config),
        Verb::Bench(args) => bench::run(args, config),
        Verb::Models(args) => models::run(args, config),
        Verb::Calibrate(args) => calibrate::run(args, config),
        #[cfg(feature = "train")]
        Verb::Train(args) => train::run(args, &config),
    }
}

/// Puts `live` in where no verb is given.
fn with_verb(mut args: Vec<OsString>) -> Vec<OsString> {
    let command = Cli::command();
    let is_verb = |arg: &OsString| arg == "help" || command.get_subcommands().any(|verb| arg == verb.get_name());
    let about = ["-h", "--help", "-V", "--version"];
    let is_about = |arg: &OsString| about.iter().any(|flag| arg == flag);
    // A verb may stand behind global options, of which only one takes a value.
    let mut at = 1;
    while let Some(arg) = args.get(at) {
        if is_verb(arg) || is_about(arg) {
            return args;
        }
        if arg == "--config" {
            at += 1;
        } else if !arg.to_string_lossy().starts_with('-') {
            // A word that is no verb: clap names it, and what it may have been.
            let follows_option = args[at - 1].to_string_lossy().starts_with("--");
            if !follows_option {
                return args;
            }
        }
        at += 1;
    }
    args.insert(1.min(args.len()), "live".into());
    args
}

fn start_log(global: &Global) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => "info,tract=warn,ort=warn",
        (false, 1) => "debug,tract=warn,ort=info",
        (false, _) => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .without_time()
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(status::log_writer)
        .init();
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The exit code that docs/reference/cli.md promises for an error.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    let no_model = |error: &InferError| !matches!(error, InferError::Run { .. });
    let code = if let Some(error) = error.downcast_ref::<CaptureError>() {
        match error {
            CaptureError::NoCamera
            | CaptureError::UnknownCamera { .. }
            | CaptureError::Open { .. }
            | CaptureError::NoCameras { .. } => 3,
            CaptureError::SameCamera { .. }
            | CaptureError::SameName { .. }
            | CaptureError::BadName { .. }
            | CaptureError::TooMany { .. } => 2,
            _ => 1,
        }
    } else if error.is::<ConfigError>()
        || matches!(error.downcast_ref(), Some(VisionError::Infer(InferError::WgpuOnCpu)))
    {
        2
    } else if let Some(code) = code_of_training(error) {
        code
    } else if calibrate::is_broken_off(error)
        || matches!(error.downcast_ref(), Some(BenchError::BrokenOff))
        || matches!(error.downcast_ref(), Some(ExportError::BrokenOff))
        || matches!(error.downcast_ref(), Some(RepairError::BrokenOff { .. }))
    {
        130
    } else if error.is::<ManifestError>()
        || error.downcast_ref::<InferError>().is_some_and(no_model)
        || error.downcast_ref::<VisionError>().is_some_and(|error| match error {
            VisionError::Infer(error) | VisionError::View(ViewError::Load(error)) => no_model(error),
            VisionError::Manifest(_) | VisionError::Unfit(_) | VisionError::View(ViewError::Unfit(_)) => true,
            VisionError::View(ViewError::Decoder(_)) | VisionError::Threads(_) => false,
        })
    {
        3
    } else {
        1
    };
    ExitCode::from(code)
}

#[cfg(not(feature = "train"))]
fn code_of_training(_: &anyhow::Error) -> Option<u8> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(args: &[&str]) -> Vec<String> {
        let all = std::iter::once("vultus").chain(args.iter().copied()).map(OsString::from).collect();
        with_verb(all).into_iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn live_is_the_default_verb() {
        assert_eq!(with(&[]), ["live"]);
        assert_eq!(with(&["--seconds", "5"]), ["live", "--seconds", "5"]);
        assert_eq!(with(&["--record", "take.mcap"]), ["live", "--record", "take.mcap"]);
        assert_eq!(with(&["--config", "replay", "-v"]), ["live", "--config", "replay", "-v"]);
        assert_eq!(with(&["--config", "x", "replay"]), ["--config", "x", "replay"]);
        assert_eq!(with(&["--help"]), ["--help"]);
        assert_eq!(with(&["raplay"]), ["raplay"]);
    }

    #[test]
    fn global_options_stand_before_or_behind_the_verb() {
        for args in [["vultus", "--quiet", "replay"], ["vultus", "replay", "--quiet"]] {
            assert!(Cli::try_parse_from(args).expect("parses").global.quiet);
        }
    }
}
