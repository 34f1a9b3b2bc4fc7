//! Ctrl-C and SIGTERM, for verbs that are broken off by them.

use anyhow::Context;
use vultus::pipeline::stop::Stop;

/// Is requested by Ctrl-C. Only one of a process can be.
pub(super) fn stop_on_signal() -> anyhow::Result<Stop> {
    let stop = Stop::default();
    let on_signal = stop.clone();
    ctrlc::set_handler(move || on_signal.request()).context("cannot listen for Ctrl-C")?;
    Ok(stop)
}
