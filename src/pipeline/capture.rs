//! One thread a camera: takes its frames as they come and puts them into its ring.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_utils::sync::Parker;
use ringbuf::traits::{Consumer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::counters::CameraCounters;
use super::recording::Tap;
use super::throttle::Throttle;
use super::{Pacing, RING_FRAMES, Shared};
use crate::capture::{Event, Source};
use crate::frame::{Frame, FramePool};
use crate::time::Clock;

/// A lost camera is opened again after this, then after twice as long, and so on.
const FIRST_BACK_OFF: Duration = Duration::from_millis(250);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);

/// The sync thread's end of a camera's ring.
pub(super) struct Lane {
    ring: HeapCons<Frame>,
    ended: Arc<AtomicBool>,
}

impl Lane {
    /// The next frame.
    pub(super) fn pop(&mut self) -> Option<Frame> {
        self.ring.try_pop()
    }

    /// Whether no frame will come but those that are in the ring.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// The camera's end of it.
pub(super) struct Camera<'a> {
    source: Box<dyn Source>,
    pool: FramePool,
    tap: Tap<'a>,
    ring: HeapProd<Frame>,
    ended: Arc<AtomicBool>,
    shared: &'a Shared<'a>,
    parker: Parker,
    complaints: Throttle,
}

impl<'a> Camera<'a> {
    pub(super) fn new(source: Box<dyn Source>, pool: FramePool, tap: Tap<'a>, shared: &'a Shared<'a>) -> (Self, Lane) {
        let (ring, other_end) = HeapRb::new(RING_FRAMES).split();
        let ended = Arc::new(AtomicBool::new(false));
        let parker = Parker::new();
        shared.plan.stop.wakes(parker.unparker());
        let lane = Lane { ring: other_end, ended: ended.clone() };
        (Self { source, pool, tap, ring, ended, shared, parker, complaints: Throttle::default() }, lane)
    }

    pub(super) fn name(&self) -> String {
        format!("capture {}", self.source.stream().name)
    }

    /// Takes frames until the recording or the run is over.
    pub(super) fn run(mut self) {
        while !self.shared.plan.stop.is_requested() {
            let next = self.source.next(&self.pool).inspect(|event| self.counters().count(event));
            match next {
                Ok(Event::Frame(frame)) => self.pass_on(frame),
                Ok(Event::Corrupt(reason)) => {
                    if self.complaints.may_speak() {
                        tracing::warn!("camera `{}`: {reason}", self.source.stream().name);
                    }
                }
                Ok(Event::NoBuffer) => {}
                Ok(Event::Stalled) => tracing::warn!("camera `{}` delivers nothing", self.source.stream().name),
                Ok(Event::End) => break,
                Err(error) => {
                    self.counters().losses.add(1);
                    tracing::warn!("{error}");
                    self.bring_back();
                }
            }
        }
        self.ended.store(true, Ordering::Release);
        self.shared.wake_feed.unpark();
    }

    fn counters(&self) -> &CameraCounters {
        self.shared.plan.counters.of(self.source.stream().camera)
    }

    fn pass_on(&mut self, frame: Frame) {
        if let Pacing::RealTime(clock) = &self.shared.plan.pacing {
            // A live frame has been received already; a recorded one waits for its time.
            while clock.now() < frame.received_at && !self.shared.plan.stop.is_requested() {
                clock.wait(&self.parker, Some(frame.received_at));
            }
        }
        self.tap.offer(&frame);
        if self.ring.try_push(frame).is_err() {
            self.counters().ring_full.add(1);
        }
        self.shared.wake_feed.unpark();
    }

    /// Opens a lost device again, waiting longer from time to time.
    fn bring_back(&mut self) {
        let mut back_off = FIRST_BACK_OFF;
        loop {
            let clock = Clock::live();
            let until = clock.now() + back_off;
            while clock.now() < until {
                if self.shared.plan.stop.is_requested() {
                    return;
                }
                clock.wait(&self.parker, Some(until));
            }
            self.counters().reopen_attempts.add(1);
            match self.source.reopen() {
                Ok(()) => {
                    self.counters().returns.add(1);
                    tracing::info!("camera `{}` is back", self.source.stream().name);
                    return;
                }
                Err(error) => tracing::debug!("{error}"),
            }
            back_off = (back_off * 2).min(LONGEST_BACK_OFF);
        }
    }
}
