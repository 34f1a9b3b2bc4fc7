//! What the walk knows of a chunk: how far it reaches, and what must be in it.

use std::collections::HashMap;
use std::ops::RangeInclusive;

/// A message that is outside the times of its chunk may be right, and the chunk's times wrong, if the one before it is no
/// further away.
const NEAR_NS: u64 = 10_000_000_000;

/// The chunk that the walk is in, or was in last.
pub(super) struct Chunk {
    /// Where its first record is.
    pub begins: u64,
    /// Where its last record ends; `None` if the file breaks off before.
    pub end: Option<u64>,
    /// Those of its messages.
    times: RangeInclusive<u64>,
    /// How many messages of each channel were found in it.
    found: HashMap<u16, u64>,
}

impl Chunk {
    pub(super) fn new(begins: u64, end: Option<u64>, times: RangeInclusive<u64>) -> Self {
        Self { begins, end, times, found: HashMap::new() }
    }

    /// Whether something at this place is in it.
    pub(super) fn holds(&self, at: u64) -> bool {
        self.end.is_none_or(|end| at < end)
    }

    /// Whether a message of this time, after one of the time `last`, can be in it.
    pub(super) fn may_hold(&self, time: u64, last: Option<u64>) -> bool {
        self.times.contains(&time) || last.is_some_and(|last| last.abs_diff(time) <= NEAR_NS)
    }

    /// Counts a message.
    pub(super) fn count(&mut self, channel: u16) {
        *self.found.entry(channel).or_default() += 1;
    }

    /// How many of a channel's messages, of which there are `all` in it, were not found.
    pub(super) fn lost(&self, channel: u16, all: u64) -> u64 {
        all.saturating_sub(self.found.get(&channel).copied().unwrap_or_default())
    }
}
