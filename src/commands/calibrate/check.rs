use std::path::PathBuf;
use std::process::ExitCode;

use vultus::calibrate::guide::Task;
use vultus::calibrate::live::{CameraError, Outcome};
use vultus::calibrate::rig::check;
use vultus::config::Config;
use vultus::rig::Rig;
use vultus::rig::verdict::Verdict;

use super::output::{figures, json, print};
use super::source::{Looked, Source};
use crate::commands::table::lines;

/// Say how good a rig still is, from a board that is held before its cameras
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus calibrate check --rig rig.toml                 live cameras; a page says what to do
  vultus calibrate check board.mcap --rig rig.toml      a recording of the board

Five poses that several cameras see are enough. While faces are watched with `--rig`, vultus checks by
them that no camera has moved, and says so; the board also tells by how much lengths are off.

Exit code 1 where the rig should be calibrated again.")]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,

    /// The rig
    #[arg(long, value_name = "FILE")]
    rig: PathBuf,
}

pub(super) fn run(args: &Args, config: Config) -> anyhow::Result<ExitCode> {
    let rig = Rig::load(&args.rig)?;
    let mut verdict = Verdict::CalibrateAgain;
    args.source.run(config, Task::Check, Some(&rig), |Looked { cameras, poses }| {
        let names: Vec<&str> = cameras.iter().map(|camera| camera.name.as_str()).collect();
        let placed = rig.placed(&names)?.unwrap_or_default();
        let (found, errors) = check(&args.source.board, &placed, cameras, poses)?;
        verdict = found.verdict();
        let errors = || names.iter().copied().zip(errors.iter().map(|error| Some(*error)));
        if args.source.json {
            json(&found, errors())?;
        } else {
            let mut rows = vec![["camera", "error px"].map(str::to_owned)];
            rows.extend(errors().map(|(name, error)| [name.to_owned(), format!("{:.3}", error.unwrap_or_default())]));
            print(&format!("{}\n\n{}", lines(&rows, [true, false]).join("\n"), figures(&found)))?;
        }
        Ok(Outcome {
            verdict: verdict.name(),
            file: Some(rig.path.display().to_string()),
            was_written: false,
            figures: found,
            cameras: errors().map(|(name, error_px)| CameraError { name: name.to_owned(), error_px }).collect(),
            left_out: Vec::new(),
        })
    })?;
    Ok(if verdict == Verdict::CalibrateAgain { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
