//! The way of a set to the vision thread, and the one place where frames are dropped.

use std::sync::atomic::Ordering;

use crossbeam_utils::sync::Parker;

use super::{Shared, Work};
use crate::frame::FrameSet;

impl Shared<'_> {
    /// Hands the set over; one that still waits is dropped.
    pub(super) fn put_newest(&self, set: FrameSet) {
        self.plan.counters.sets.add(1);
        if let Some(stale) = self.work.put(self.stamped(set)) {
            self.drop_stale(&stale.set);
        }
        self.wake_vision.unpark();
    }

    /// Hands the set over as soon as there is room for it.
    pub(super) fn put_in_turn(&self, set: FrameSet, parker: &Parker) {
        self.plan.counters.sets.add(1);
        let mut work = self.stamped(set);
        while let Err(refused) = self.work.try_put(work) {
            if self.plan.stop.is_requested() {
                return;
            }
            parker.park();
            work = refused;
        }
        self.wake_vision.unpark();
    }

    /// Counts a set that nobody looked at, because a newer one was there.
    pub(super) fn drop_stale(&self, set: &FrameSet) {
        let counters = self.plan.counters;
        counters.stale_sets.add(1);
        set.frames().for_each(|frame| counters.of(frame.camera).stale.add(1));
        self.plan.recorder.set(set, false);
    }

    /// Says that no more sets come.
    pub(super) fn end_of_work(&self) {
        self.no_more_work.store(true, Ordering::Release);
        self.wake_vision.unpark();
    }

    fn stamped(&self, set: FrameSet) -> Work {
        Work { set, emitted_at: self.clock.now() }
    }
}
