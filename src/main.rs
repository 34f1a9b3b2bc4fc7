//! The `vultus` command: parses the command line and hands over to the verb.

mod commands;

use std::alloc::System;
use std::process::ExitCode;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// The system's allocator, counted: `vultus bench` tells what a set costs, and in the steady state nothing allocates.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    commands::run()
}
