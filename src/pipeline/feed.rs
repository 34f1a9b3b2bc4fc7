//! The sync thread: from single frames to sets, by the [`Matcher`].

use crossbeam_utils::sync::Parker;

use super::Shared;
use super::capture::Lane;
use super::heads::Heads;
use crate::frame::{CameraId, Frame, PerCamera};
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
            feed.count_surplus();
            shared.put_newest(set);
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
            shared.put_in_turn(set, parker);
        }
    }
    feed.end();
}

/// Takes frames in the order in which they were received; time is what they say it is. Every set is worked on, so two
/// runs give the same results.
pub(super) fn in_turn(mut heads: Heads<'_>, matcher: Matcher, shared: &Shared<'_>, parker: &Parker) {
    let mut feed = Feed { matcher, shared };
    let mut now = shared.plan.starts_at;
    while !shared.plan.stop.is_requested() {
        let Some((arrival, camera)) = heads.first() else { break };
        while let Some(event) = feed.matcher.next_event(now).filter(|event| *event <= arrival) {
            now = event;
            feed.emit_all(now, parker);
        }
        now = now.max(arrival);
        if let Some(frame) = heads.take(camera, parker) {
            feed.push(frame);
        }
        feed.emit_all(now, parker);
    }
    while let Some(set) = feed.matcher.flush(now) {
        shared.put_in_turn(set, parker);
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

    fn emit_all(&mut self, now: Timestamp, parker: &Parker) {
        while let Some(set) = self.matcher.poll(now) {
            self.shared.put_in_turn(set, parker);
        }
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
        self.shared.end_of_work();
    }
}
