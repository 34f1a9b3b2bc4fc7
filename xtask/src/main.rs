//! The two set-up commands, `cargo xtask demo` and `cargo xtask test`: from a machine that has Rust
//! and a linker to a running program, or to the finished tests, without a manual step in between.
//!
//! Each verb is a list of steps, and each step does nothing if its work is done already. Standard
//! output is left to the program that a verb ends with; all talk goes to standard error.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool without a log: it talks to its user"
)]

mod chromium;
mod demo;
mod onnxruntime;
mod packages;
mod process;
mod readers;
mod steps;
mod test;
mod vulkan;
mod workspace;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

/// The error is what the user reads: what failed, and what to do.
type Result<T, E = String> = std::result::Result<T, E>;

const HELP: &str = "\
cargo xtask demo [ARGS for vultus]
    Installs what vultus needs, builds it and runs it: live if a camera is attached, otherwise on
    the bundled take (on the live page, again and again, where a terminal is attached).
    Example: cargo xtask demo --device cpu --results results.jsonl

cargo xtask test [ARGS for cargo test]
    Installs what the tests need as well, and runs them all.
    Example: cargo xtask test sync

Both install missing system packages through apt-get on Debian and Ubuntu, and say what to install
elsewhere. The ONNX Runtime library is fetched by pip into target/onnxruntime, unless
VULTUS_ONNXRUNTIME names one that you have. The tests of the live page run in Chromium, from Debian's
package or as VULTUS_CHROMIUM and VULTUS_CHROMEDRIVER name it, and are left out without it. So are the tests in which
other people's programs read what vultus writes: Python packages in target/readers (or of the Python that
VULTUS_READERS names), and ffprobe from Debian's package ffmpeg (or as VULTUS_FFPROBE names it).
";

fn main() -> ExitCode {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    let Some((verb, args)) = words.split_first() else {
        return usage_error("no command given");
    };
    if [Some(verb), args.first()].into_iter().flatten().any(asks_for_help) {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let Err(problem) = match verb.to_str() {
        Some("demo") => demo::run(args),
        Some("test") => test::run(args),
        _ => return usage_error(&format!("no such command: {}", verb.display())),
    };
    eprintln!("\nerror: {problem}");
    ExitCode::FAILURE
}

fn asks_for_help(word: &OsString) -> bool {
    word == "--help" || word == "-h"
}

fn usage_error(problem: &str) -> ExitCode {
    eprint!("error: {problem}\n\n{HELP}");
    ExitCode::from(2)
}
