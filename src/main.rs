//! The `vultus` command: parses the command line and hands over to the verb.

mod commands;

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::run()
}
