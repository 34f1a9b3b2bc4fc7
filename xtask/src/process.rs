//! Running other programs.

use crate::Result;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

pub const PYTHON: &str = if cfg!(windows) { "python" } else { "python3" };

/// Whether `program ARGS…` can be run and succeeds; what it says is thrown away.
pub fn works(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs a program that shows its own progress, all of it on standard error.
pub fn run(command: &mut Command) -> Result<()> {
    command.stdout(io::stderr());
    let status = command.status().map_err(|e| not_started(command, &e))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", shown(command))) }
}

/// Runs a program quietly; what it wrote to standard error is in the error, should it fail.
pub fn run_quietly(command: &mut Command) -> Result<()> {
    let output = command.output().map_err(|e| not_started(command, &e))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{}` ended with {}:\n{}", shown(command), output.status, said.trim_end()))
}

/// Puts the program in this one's place, so that signals reach it and its exit status is ours.
/// Returns only if it cannot be started.
#[cfg(unix)]
pub fn hand_over(command: &mut Command) -> Result<Infallible> {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    Err(not_started(command, &error))
}

/// Runs the program and exits with its status. Returns only if it cannot be started.
#[cfg(not(unix))]
pub fn hand_over(command: &mut Command) -> Result<Infallible> {
    let status = command.status().map_err(|e| not_started(command, &e))?;
    std::process::exit(status.code().unwrap_or(1))
}

fn not_started(command: &Command, error: &io::Error) -> String {
    format!("cannot run `{}`: {error}", shown(command))
}

/// The command as one would type it: without the folder of the program.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let words = program.file_name().into_iter().chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
