//! A take's times as other programs count them: from its beginning, and in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::record::Take;
use crate::time::Timestamp;

/// When the first picture of any camera was taken: zero of all videos. A clock that goes back later does not move it.
pub(super) fn origin(take: &Take) -> Option<Timestamp> {
    take.views.iter().filter_map(|view| view.frames.first()).map(|frame| frame.captured_at).min()
}

/// The same in nanoseconds of UTC since 1970; of a replay when that was run, as its timeline is not known in UTC.
pub(super) fn date(take: &Take) -> Option<i64> {
    let begun = origin(take).zip(utc_offset(take)).map(|(origin, offset)| origin.ns() + offset);
    begun.or_else(|| started(take))
}

/// Nanoseconds from the take's timeline to UTC since 1970; none of a replay.
pub(super) fn utc_offset(take: &Take) -> Option<i64> {
    let is_live = take.metadata.get("source").is_some_and(|source| source == "live");
    let monotonic: i64 = take.metadata.get("started_monotonic_ns")?.parse().ok()?;
    started(take).filter(|_| is_live).map(|started| started - monotonic)
}

fn started(take: &Take) -> Option<i64> {
    let started: SystemTime = humantime::parse_rfc3339(take.metadata.get("started_utc")?).ok()?;
    i64::try_from(started.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()
}
