//! Keeps the log of a run readable when something goes wrong in every frame.

use std::time::Duration;

use crate::time::{Timestamp, monotonic_now};

/// Lines that may be said at once, and then again in every second.
const LINES: u32 = 20;
const SECOND: Duration = Duration::from_secs(1);

/// Says whether there may be another line.
#[derive(Default)]
pub(super) struct Throttle {
    since: Timestamp,
    said: u32,
}

impl Throttle {
    /// Whether to say it; what is left unsaid is in the counters.
    pub(super) fn may_speak(&mut self) -> bool {
        let now = monotonic_now();
        if now.since(self.since) >= SECOND {
            (self.since, self.said) = (now, 0);
        }
        self.said += 1;
        self.said <= LINES
    }
}
