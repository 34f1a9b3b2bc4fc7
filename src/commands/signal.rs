//! Ctrl-C and SIGTERM, for verbs that are broken off by them.

use std::time::{Duration, Instant};

use anyhow::Context;
use vultus::pipeline::stop::Stop;

/// How long an end that was asked for may take before it can be forced.
const PATIENCE: Duration = Duration::from_secs(1);
/// The exit code of what was broken off.
pub(super) const BROKEN_OFF: u8 = 130;

/// Is requested by Ctrl-C; asked again after a second, the program ends at once. Only one of a process can be.
pub(super) fn stop_on_signal() -> anyhow::Result<Stop> {
    let stop = Stop::default();
    let on_signal = stop.clone();
    let mut asked_at: Option<Instant> = None;
    let on_ctrl_c = move || {
        // Asked again: what the end waits for does not come, such as whoever reads the results. A key that bounces is no
        // second request.
        if *asked_at.get_or_insert_with(Instant::now) + PATIENCE < Instant::now() {
            std::process::exit(BROKEN_OFF.into());
        }
        on_signal.request();
    };
    ctrlc::set_handler(on_ctrl_c).context("cannot listen for Ctrl-C")?;
    Ok(stop)
}
