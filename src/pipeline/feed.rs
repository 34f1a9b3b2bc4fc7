//! The sync thread: from single frames to sets, by the [`Matcher`].

use crossbeam_utils::sync::Parker;

use std::sync::atomic::Ordering;

use super::capture::Lane;
use super::recording::Tap;
use super::{Shared, Work};
use crate::capture::{Event, Source};
use crate::frame::{CameraId, Frame, FramePool, FrameSet, PerCamera};
use crate::sync::{Matcher, Verdict};
use crate::time::Timestamp;

/// Takes frames from the cameras' rings as they come. A set that finds another one waiting displaces it.
pub(super) fn as_they_come(mut lanes: PerCamera<Lane>, matcher: Matcher, shared: &Shared<'_>, parker: &Parker) {
    let mut feed = Feed { matcher, shared };
    loop {
        // Asked before the rings are emptied: what was put in before the end is then surely seen.
        let is_over = lanes.iter().all(Lane::has_ended);
        for lane in &mut lanes {
            while let Some(frame) = lane.pop() {
                feed.push(frame);
            }
        }
        let now = shared.clock.now();
        while let Some(set) = feed.matcher.poll(now) {
            feed.put_newest(set);
        }
        let ends_at = shared.plan.ends_at;
        if ends_at.is_some_and(|end| now >= end) {
            // Cameras deliver until they are told not to.
            shared.plan.stop.request();
        }
        if is_over || shared.plan.stop.is_requested() {
            break;
        }
        let deadline = [feed.matcher.next_event(now), ends_at].into_iter().flatten().min();
        shared.clock.wait(parker, deadline);
    }
    if !shared.plan.stop.is_requested() {
        let now = shared.clock.now();
        while let Some(set) = feed.matcher.flush(now) {
            feed.put_in_turn(set, parker);
        }
    }
    feed.end();
}

/// Takes frames from the sources themselves, in the order in which they were received; time is what they say it is.
/// Every set is worked on, so two runs give the same results.
pub(super) fn in_turn(
    mut sources: Vec<Box<dyn Source>>,
    pools: &[FramePool],
    mut taps: PerCamera<Tap<'_>>,
    matcher: Matcher,
    shared: &Shared<'_>,
    parker: &Parker,
) {
    let mut feed = Feed { matcher, shared };
    let mut heads: PerCamera<Option<Frame>> = PerCamera::new();
    for (source, pool) in sources.iter_mut().zip(pools) {
        heads.push(feed.next_of(&mut **source, pool));
    }
    let mut now = shared.plan.starts_at;
    while !shared.plan.stop.is_requested() {
        let first = heads.iter().enumerate().filter_map(|(n, head)| Some((head.as_ref()?.received_at, n))).min();
        let Some((arrival, n)) = first else { break };
        while let Some(event) = feed.matcher.next_event(now).filter(|event| *event <= arrival) {
            now = event;
            feed.emit_all(now, parker);
        }
        now = now.max(arrival);
        if let Some(frame) = heads[n].take() {
            while taps[n].is_full() && !shared.plan.stop.is_requested() {
                parker.park();
            }
            taps[n].offer(&frame);
            feed.push(frame);
        }
        feed.emit_all(now, parker);
        heads[n] = feed.next_of(&mut *sources[n], &pools[n]);
    }
    while let Some(set) = feed.matcher.flush(now) {
        feed.put_in_turn(set, parker);
    }
    feed.end();
}

struct Feed<'a> {
    matcher: Matcher,
    shared: &'a Shared<'a>,
}

impl Feed<'_> {
    fn push(&mut self, frame: Frame) {
        let camera = frame.camera;
        match self.matcher.push(frame) {
            Verdict::Accepted | Verdict::Unmatched => {}
            Verdict::Late => self.shared.plan.counters.of(camera).late.add(1),
            Verdict::ClockReset => {
                tracing::warn!("camera `{}`: its clock went back", self.shared.names[camera.index()]);
            }
        }
    }

    /// The next frame of a recording; what cannot be read is counted and passed over.
    fn next_of(&self, source: &mut dyn Source, pool: &FramePool) -> Option<Frame> {
        let (camera, name) = (source.stream().camera, source.stream().name.clone());
        let counters = self.shared.plan.counters.of(camera);
        loop {
            match source.next(pool).inspect(|event| counters.count(event)) {
                Ok(Event::Frame(frame)) => return Some(frame),
                Ok(Event::Corrupt(reason)) => tracing::warn!("camera `{name}`: {reason}"),
                Ok(Event::NoBuffer | Event::Stalled) => {}
                Ok(Event::End) => return None,
                Err(error) => {
                    tracing::warn!("{error}");
                    return None;
                }
            }
        }
    }

    fn emit_all(&mut self, now: Timestamp, parker: &Parker) {
        while let Some(set) = self.matcher.poll(now) {
            self.put_in_turn(set, parker);
        }
    }

    /// Hands the set over; one that still waits is dropped, and counted.
    fn put_newest(&self, set: FrameSet) {
        let counters = self.shared.plan.counters;
        counters.sets.add(1);
        self.count_surplus();
        if let Some(stale) = self.shared.work.put(self.stamped(set)) {
            counters.stale_sets.add(1);
            stale.set.frames().for_each(|frame| counters.of(frame.camera).stale.add(1));
        }
        self.shared.wake_vision.unpark();
    }

    /// Hands the set over as soon as there is room for it.
    fn put_in_turn(&self, set: FrameSet, parker: &Parker) {
        self.shared.plan.counters.sets.add(1);
        let mut work = self.stamped(set);
        while let Err(refused) = self.shared.work.try_put(work) {
            if self.shared.plan.stop.is_requested() {
                return;
            }
            parker.park();
            work = refused;
        }
        self.shared.wake_vision.unpark();
    }

    fn stamped(&self, set: FrameSet) -> Work {
        Work { set, emitted_at: self.shared.clock.now() }
    }

    /// Takes over what the matcher counts.
    fn count_surplus(&self) {
        for (n, camera) in self.shared.plan.counters.cameras.iter().enumerate() {
            camera.unmatched.set(self.matcher.unmatched(CameraId(n as u8)));
        }
    }

    /// Says that no more sets come.
    fn end(&self) {
        self.count_surplus();
        self.shared.no_more_work.store(true, Ordering::Release);
        self.shared.wake_vision.unpark();
    }
}
