//! Instead of matching: the sets that an earlier run formed, formed once more.

use crossbeam_utils::sync::Parker;

use super::heads::Heads;
use super::{Pacing, Shared};
use crate::frame::{CameraId, Frame, FrameSet, PerCamera};
use crate::record::SetNote;

/// Forms `sets`, by number. Those that were dropped are dropped again, all others worked on, at the time at which they
/// were or as soon as they can be: so the results are the same.
pub(super) fn retrace(mut heads: Heads<'_>, sets: &[SetNote], shared: &Shared<'_>, parker: &Parker) {
    let mut incomplete = 0_u64;
    for note in sets {
        if shared.plan.stop.is_requested() {
            break;
        }
        let take = |(n, seq): (usize, &Option<u64>)| heads.take_up_to(CameraId(n as u8), (*seq)?, parker);
        let views: PerCamera<Option<Frame>> = note.seqs.iter().enumerate().map(take).collect();
        let is_whole = views.iter().zip(&note.seqs).all(|(view, seq)| view.is_some() == seq.is_some());
        incomplete += u64::from(!is_whole);
        let SetNote { number, at, reference, skew, waited, .. } = *note;
        let set = FrameSet { number, at, reference, views, skew, waited };
        if let (Pacing::RealTime(clock), Some(frame)) = (&shared.plan.pacing, set.reference_frame()) {
            let emitted_at = frame.received_at + waited;
            while clock.now() < emitted_at && !shared.plan.stop.is_requested() {
                clock.wait(parker, Some(emitted_at));
            }
        }
        if note.analysed {
            shared.put_in_turn(set, parker);
        } else {
            shared.plan.counters.sets.add(1);
            shared.drop_stale(&set);
        }
    }
    // Frames that had no set to go to: they are counted, and recorded.
    while let Some((_, camera)) = heads.first().filter(|_| !shared.plan.stop.is_requested()) {
        drop(heads.take(camera, parker));
    }
    if incomplete > 0 {
        tracing::warn!(
            "{incomplete} sets lack frames that they had: those are missing in the take, and the results may differ"
        );
    }
    shared.end_of_work();
}
