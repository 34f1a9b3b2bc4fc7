//! The recorder's thread, and the taps by which the cameras' frames reach it.
//!
//! A tap stands where a frame is taken from its camera, before matching and any drop. It shares the frame's bytes, so
//! what it costs is a place in a ring; when no recording is on, one atomic load.

use std::time::{Duration, Instant};

use crossbeam_utils::sync::Parker;
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::Shared;
use super::counters::CameraCounters;
use crate::capture::Source;
use crate::frame::{Frame, PerCamera};
use crate::record::{RecordError, Recorder, TakeWriter};

/// How long the disk may take for something before frames are missing.
const HELD: Duration = Duration::from_secs(2);
/// Frames that a ring holds at least, of a slow camera, and at most, of a very fast one.
const FRAMES: std::ops::RangeInclusive<usize> = 4..=256;
/// Time between two syncs. With what one takes, a crash costs less than a second.
const SYNC_EVERY: Duration = Duration::from_millis(500);

/// Frames that a camera's ring to the recorder holds.
pub(super) fn frames_held(period: Duration) -> usize {
    (HELD.as_secs_f64() / period.as_secs_f64()).ceil().clamp(*FRAMES.start() as f64, *FRAMES.end() as f64) as usize
}

/// A frame on its way to the recorder.
struct Tapped {
    frame: Frame,
    /// How many of its camera's did not make it just before.
    missed: u64,
}

/// The camera's end of a ring.
pub(super) struct Tap<'a> {
    ring: HeapProd<Tapped>,
    missed: u64,
    recorder: &'a Recorder,
    counters: &'a CameraCounters,
}

impl Tap<'_> {
    /// Has `frame` recorded, if a recording is on and there is room; else it is counted.
    pub(super) fn offer(&mut self, frame: &Frame) {
        if !self.recorder.is_on() {
            self.missed = 0;
            return;
        }
        if self.ring.try_push(Tapped { frame: frame.clone(), missed: self.missed }).is_ok() {
            self.missed = 0;
        } else {
            self.missed += 1;
            self.counters.record.add(1);
            self.recorder.count_dropped(1);
        }
        self.recorder.wake();
    }

    /// Whether a frame would be missing from the recording now.
    pub(super) fn is_full(&self) -> bool {
        self.recorder.is_on() && self.ring.is_full()
    }
}

/// The recorder's thread.
pub(super) struct Recording<'a> {
    shared: &'a Shared<'a>,
    lanes: PerCamera<HeapCons<Tapped>>,
    parker: Parker,
    take: Option<TakeWriter>,
    /// When the chunk that is being filled was begun.
    unsynced: Option<Instant>,
}

impl<'a> Recording<'a> {
    /// The thread's part, and a tap a camera. A recording that was asked for before the run is on from here.
    pub(super) fn new(sources: &[Box<dyn Source>], shared: &'a Shared<'a>) -> (Self, PerCamera<Tap<'a>>) {
        let recorder = shared.plan.recorder;
        let (taps, lanes) = sources
            .iter()
            .map(|source| {
                let stream = source.stream();
                let (ring, lane) = HeapRb::new(frames_held(stream.period)).split();
                (Tap { ring, missed: 0, recorder, counters: shared.plan.counters.of(stream.camera) }, lane)
            })
            .unzip();
        let parker = Parker::new();
        recorder.attach(parker.unparker().clone());
        (Self { shared, lanes, parker, take: recorder.take_up(), unsynced: None }, taps)
    }

    /// Records whenever it is asked to, until the run is over.
    pub(super) fn run(mut self) {
        let recorder = self.shared.plan.recorder;
        loop {
            // Asked before the rings are emptied: what was put in before the end is then surely seen.
            let is_over = recorder.run_has_ended();
            if self.take.is_none() {
                // What a tap put in just when the last recording was closed.
                self.lanes.iter_mut().for_each(|lane| _ = lane.clear());
                self.take = recorder.take_up();
            }
            let is_last = is_over || recorder.is_to_close();
            if is_last {
                recorder.refuse();
            }
            if let Err(error) = self.write() {
                self.close(Some(error));
            } else if is_last {
                self.close(None);
            }
            // A run as fast as possible waits for room in the rings.
            self.shared.wake_feed.unpark();
            if is_over {
                return;
            }
            match self.unsynced {
                Some(since) => self.parker.park_deadline(since + SYNC_EVERY),
                None => self.parker.park(),
            }
        }
    }

    /// Writes what waits, and syncs when it is time to.
    fn write(&mut self) -> Result<(), RecordError> {
        let Some(take) = &mut self.take else { return Ok(()) };
        let plan = self.shared.plan;
        for lane in &mut self.lanes {
            while let Some(Tapped { frame, missed }) = lane.try_pop() {
                if missed > 0 {
                    take.gap(missed, &frame)?;
                }
                if !take.frame(&frame)? {
                    plan.counters.of(frame.camera).record.add(1);
                    plan.recorder.count_dropped(1);
                }
                self.unsynced.get_or_insert_with(Instant::now);
            }
        }
        while let Some(lines) = plan.recorder.next_lines() {
            take.records(lines.at, &lines.text)?;
            plan.recorder.give_back(lines);
            self.unsynced.get_or_insert_with(Instant::now);
        }
        if self.unsynced.is_some_and(|since| since.elapsed() >= SYNC_EVERY) {
            self.unsynced = None;
            plan.recorder.synced(take.sync()?)?;
        }
        Ok(())
    }

    /// Closes the file in good order, as far as that is possible after `error`, and says so.
    fn close(&mut self, error: Option<RecordError>) {
        let Some(take) = self.take.take() else { return };
        self.unsynced = None;
        let path = take.path().to_owned();
        let (bytes, unfinished) = match take.finish() {
            Ok(bytes) => (Some(bytes), None),
            Err(error) => (None, Some(error)),
        };
        let error = error.or(unfinished);
        match &error {
            None => tracing::info!("recorded {}", path.display()),
            Some(error) => tracing::error!("the recording has ended: {error}"),
        }
        self.shared.plan.recorder.closed(bytes, error.as_ref());
    }
}

impl Drop for Recording<'_> {
    /// Also when the thread panics or was never started.
    fn drop(&mut self) {
        self.close(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Record;
    use crate::frame::{CameraId, FrameBytes, PixelFormat, StampKind};
    use crate::record::About;
    use crate::time::Timestamp;

    fn frame(seq: u64) -> Frame {
        Frame {
            camera: CameraId(0),
            seq,
            captured_at: Timestamp::default(),
            received_at: Timestamp::default(),
            stamp: StampKind::Device,
            format: PixelFormat::Mjpeg,
            width: 0,
            height: 0,
            bytes: FrameBytes::detached(Vec::new()),
            file: None,
        }
    }

    #[test]
    fn what_a_full_ring_cannot_take_is_counted_and_told_with_the_next_frame() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Record { folder: folder.path().to_owned(), ..Record::default() };
        let (recorder, counters) = (Recorder::new(settings, About::default()), CameraCounters::default());
        let (ring, mut lane) = HeapRb::new(2).split();
        let mut tap = Tap { ring, missed: 0, recorder: &recorder, counters: &counters };
        tap.offer(&frame(0));
        assert!(lane.is_empty(), "no recording is on");

        recorder.start().expect("starts");
        let _take = recorder.take_up().expect("a file was opened");
        (1..=5).for_each(|seq| tap.offer(&frame(seq)));
        assert!(tap.is_full());
        assert_eq!((counters.record.get(), recorder.status().dropped), (3, 3));
        let mut next = || lane.try_pop().map(|tapped| (tapped.frame.seq, tapped.missed));
        assert_eq!((next(), next()), (Some((1, 0)), Some((2, 0))));
        tap.offer(&frame(6));
        assert_eq!(next(), Some((6, 3)), "three are missing before it");
    }
}
