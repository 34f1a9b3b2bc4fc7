//! A take's times as other programs count them: from its beginning, and in UTC.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::record::{Take, TakenView};
use crate::time::Timestamp;

/// A picture that is so far in time from those around it has a time that cannot be; so long is no usual gap.
const FAR: Duration = Duration::from_secs(3600);
/// The same for slow cameras, in their periods.
const FAR_PERIODS: u32 = 1000;

/// When the first picture of any camera was taken: zero of all videos. A clock that goes back later does not move it,
/// nor does a time that cannot be.
pub(super) fn origin(take: &Take) -> Option<Timestamp> {
    let first = |view: &TakenView| {
        let wild = wild(view);
        view.frames.iter().map(|frame| frame.captured_at).find(|at| !wild.contains(at))
    };
    take.views.iter().filter_map(first).min()
}

/// The times of a camera's pictures that cannot be: those that are far from the one before and from the one behind.
pub(super) fn wild(view: &TakenView) -> HashSet<Timestamp> {
    let far = FAR.max(view.camera.period.saturating_mul(FAR_PERIODS)).as_nanos();
    let at = |n: usize| view.frames.get(n).map(|frame| frame.captured_at);
    let are_near = |a: Option<Timestamp>, b: Option<Timestamp>| {
        a.zip(b).is_some_and(|(a, b)| u128::from(a.ns().abs_diff(b.ns())) <= far)
    };
    let is_wild = |n: &usize| {
        let before = n.checked_sub(1).and_then(at);
        !are_near(before, at(*n)) && !are_near(at(*n), at(n + 1))
    };
    let wild: HashSet<Timestamp> = (0..view.frames.len()).filter(is_wild).filter_map(at).collect();
    // A camera that takes a picture now and then is no fault.
    if 3 * wild.len() > view.frames.len() { HashSet::new() } else { wild }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::StampKind;
    use crate::record::{Camera, TakenFrame};

    #[test]
    fn only_a_time_far_from_those_around_it_is_wild() {
        let camera = Camera {
            name: "left".into(),
            description: String::new(),
            stamp: StampKind::Device,
            offset_ns: 0,
            period: Duration::from_millis(33),
        };
        let wild_of = |seconds: &[i64]| {
            let at = |seconds: &i64| Timestamp::from_ns(seconds * 1_000_000_000);
            let frame =
                |seconds| TakenFrame { seq: 0, captured_at: at(seconds), received_at: at(seconds), picture: None };
            let frames = seconds.iter().map(frame).collect();
            let camera = camera.clone();
            let mut view = TakenView::empty(camera);
            view.frames = frames;
            let mut wild: Vec<i64> = wild(&view).into_iter().map(|at| at.ns() / 1_000_000_000).collect();
            wild.sort_unstable();
            wild
        };
        assert_eq!(wild_of(&[100, 101, 1_000_000_000, 102, 103]), [1_000_000_000]);
        assert_eq!(wild_of(&[9_000_000, 101, 102, 103, 104, 0, 9_000_000]), [9_000_000; 1]);
        assert_eq!(wild_of(&[0, 1, 9000, 9001, 3, 4]), [0; 0], "gaps and clocks that are set");
        assert_eq!(wild_of(&[0, 5000, 10_000, 15_000]), [0; 0], "a picture now and then");
        assert_eq!(wild_of(&[]), [0; 0]);
    }
}
