//! The recorder's thread, and the taps by which the cameras' frames reach it.
//!
//! A tap stands where a frame is taken from its camera, before matching and any drop. It shares the frame's bytes, so
//! what it costs is a place in a ring; when no recording is on, one atomic load.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_utils::sync::{Parker, Unparker};
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::Shared;
use super::counters::CameraCounters;
use crate::capture::Source;
use crate::frame::{CameraId, Frame, PerCamera};
use crate::record::{RecordError, Recorder, Room, TakeWriter, Word, time_left};

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
    /// The recording that it was taken for.
    recording: NonZeroU64,
    /// How many of its camera's that recording lacked by then.
    missed: u64,
}

/// How many of a camera's frames found no room in its ring. The tap writes it, the recorder's thread reads it: also what
/// no later frame can tell, because none came through.
#[derive(Default)]
struct Missed {
    recording: AtomicU64,
    frames: AtomicU64,
}

impl Missed {
    /// Those of `recording`.
    fn of(&self, recording: NonZeroU64) -> u64 {
        match self.recording.load(Ordering::Acquire) {
            number if number == recording.get() => self.frames.load(Ordering::Relaxed),
            _ => 0,
        }
    }

    fn set(&self, recording: NonZeroU64, frames: u64) {
        self.frames.store(frames, Ordering::Relaxed);
        self.recording.store(recording.get(), Ordering::Release);
    }
}

/// The camera's end of a ring.
pub(super) struct Tap<'a> {
    ring: HeapProd<Tapped>,
    missed: Arc<Missed>,
    recorder: &'a Recorder,
    counters: &'a CameraCounters,
}

impl Tap<'_> {
    /// Has `frame` recorded, if a recording is on and there is room; else it is counted.
    pub(super) fn offer(&mut self, frame: &Frame) {
        let Some(recording) = self.recorder.recording() else { return };
        let missed = self.missed.of(recording);
        if self.ring.try_push(Tapped { frame: frame.clone(), recording, missed }).is_err() {
            self.missed.set(recording, missed + 1);
            self.counters.record.add(1);
            self.recorder.count_dropped(1);
        }
        self.recorder.wake();
    }

    /// Whether a frame would be missing from the recording now.
    pub(super) fn is_full(&self) -> bool {
        self.recorder.recording().is_some() && self.ring.is_full()
    }
}

/// The recorder's end of it.
struct Lane {
    camera: CameraId,
    ring: HeapCons<Tapped>,
    missed: Arc<Missed>,
    /// How many of those the file has been told of.
    told: u64,
}

impl Lane {
    /// Tells the file of what it lacks by now.
    fn tell(&mut self, missed: u64, file: &mut TakeWriter) {
        file.missed(self.camera, missed - self.told);
        self.told = missed;
    }
}

fn lane<'a>(camera: CameraId, frames: usize, recorder: &'a Recorder, counters: &'a CameraCounters) -> (Tap<'a>, Lane) {
    let (ring, other_end) = HeapRb::new(frames).split();
    let missed = Arc::<Missed>::default();
    let lane = Lane { camera, ring: other_end, missed: missed.clone(), told: 0 };
    (Tap { ring, missed, recorder, counters }, lane)
}

/// The recording that is on.
struct Take {
    file: TakeWriter,
    number: NonZeroU64,
    /// When the chunk that is being filled was begun.
    unsynced: Option<Instant>,
    room: Room,
}

/// The recorder's thread.
pub(super) struct Recording<'a> {
    recorder: &'a Recorder,
    wake_feed: Unparker,
    lanes: PerCamera<Lane>,
    parker: Parker,
    take: Option<Take>,
}

impl<'a> Recording<'a> {
    /// The thread's part, and a tap a camera. A recording that was asked for before the run is on from here.
    pub(super) fn new(sources: &[Box<dyn Source>], shared: &'a Shared<'a>) -> (Self, PerCamera<Tap<'a>>) {
        let plan = shared.plan;
        let (taps, lanes) = sources
            .iter()
            .map(|source| {
                let stream = source.stream();
                lane(stream.camera, frames_held(stream.period), plan.recorder, plan.counters.of(stream.camera))
            })
            .unzip();
        (Self::with(lanes, plan.recorder, shared.wake_feed.clone()), taps)
    }

    fn with(lanes: PerCamera<Lane>, recorder: &'a Recorder, wake_feed: Unparker) -> Self {
        let parker = Parker::new();
        recorder.attach(parker.unparker().clone());
        let mut recording = Self { recorder, wake_feed, lanes, parker, take: None };
        recording.take_up();
        recording
    }

    /// Records whenever it is asked to, until the run is over.
    pub(super) fn run(mut self) {
        loop {
            // Asked before the rings are emptied: what was put in before the end is then surely seen.
            let is_over = self.recorder.run_has_ended();
            if self.take.is_none() {
                self.take_up();
            }
            if is_over || self.recorder.is_to_close() {
                self.close(None);
            } else if let Err(error) = self.write().and_then(|()| self.sync()) {
                self.close(Some(error));
            }
            // A run as fast as possible waits for room in the rings.
            self.wake_feed.unpark();
            if is_over {
                return;
            }
            match self.take.as_ref().and_then(|take| take.unsynced) {
                Some(since) => self.parker.park_deadline(since + SYNC_EVERY),
                None => self.parker.park(),
            }
        }
    }

    fn take_up(&mut self) {
        let Some((file, number)) = self.recorder.take_up() else { return };
        self.lanes.iter_mut().for_each(|lane| lane.told = 0);
        self.take = Some(Take { file, number, unsynced: None, room: Room::default() });
    }

    /// Writes what waits.
    fn write(&mut self) -> Result<(), RecordError> {
        let Some(Take { file, number, unsynced, .. }) = &mut self.take else { return Ok(()) };
        // Counted before the rings are emptied: the frames of these sets are surely there.
        let (sets, told) = self.recorder.waiting();
        for lane in &mut self.lanes {
            // No more than wait now: a camera that is too fast for the disk must not keep the others waiting.
            for _ in 0..lane.ring.occupied_len() {
                let Some(Tapped { frame, recording, missed }) = lane.ring.try_pop() else { break };
                // A tap may put in its frame just when its recording is closed.
                if recording != *number {
                    continue;
                }
                lane.tell(missed, file);
                if !file.frame(&frame)? {
                    self.recorder.count_dropped(1);
                }
                unsynced.get_or_insert_with(Instant::now);
            }
        }
        for set in (0..sets).map_while(|_| self.recorder.next_set()) {
            file.set(&set)?;
            unsynced.get_or_insert_with(Instant::now);
        }
        for told in (0..told).map_while(|_| self.recorder.next_told()) {
            file.told(&told)?;
            self.recorder.give_back(told);
            unsynced.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    /// Syncs when it is time to.
    fn sync(&mut self) -> Result<(), RecordError> {
        let Some(Take { file, unsynced, room, .. }) = &mut self.take else { return Ok(()) };
        if !unsynced.is_some_and(|since| since.elapsed() >= SYNC_EVERY) {
            return Ok(());
        }
        *unsynced = None;
        self.recorder.synced(file.sync()?)?;
        match room.step(self.recorder.status().left_s) {
            Some(Word::First(left_s)) => tracing::info!("at this rate there is room for {}", time_left(left_s)),
            Some(Word::Short(left_s)) => {
                tracing::warn!("the disk has room for {} more of recording", time_left(left_s))
            }
            None => {}
        }
        Ok(())
    }

    /// Takes nothing any more, writes what waits and closes the file: in good order, as far as that is possible after
    /// `error`. Says so.
    fn close(&mut self, mut error: Option<RecordError>) {
        if self.take.is_some() {
            self.recorder.closing();
        }
        let is_broken = |error: &Option<RecordError>| matches!(error, Some(RecordError::Write { .. }));
        if !is_broken(&error) {
            error = self.write().err().or(error);
        }
        let Some(Take { mut file, number, .. }) = self.take.take() else { return };
        let path = file.path().to_owned();
        for lane in &mut self.lanes {
            lane.tell(lane.missed.of(number), &mut file);
            // After an error; the frames go back to their pool.
            lane.ring.clear();
        }
        let (bytes, error) = if is_broken(&error) {
            file.cut_off();
            (None, error)
        } else {
            match file.finish(self.recorder.dropped()) {
                Ok(bytes) => (Some(bytes), error),
                Err(unfinished) => (None, error.or(Some(unfinished))),
            }
        };
        match &error {
            None => tracing::info!("recorded {}", path.display()),
            Some(error) => tracing::error!("the recording has ended: {error}"),
        }
        self.recorder.closed(bytes, error.as_ref());
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
    use crate::frame::{FrameSet, PixelFormat, StampKind};
    use crate::record::{About, Camera, State, Status};
    use crate::time::Timestamp;

    fn frame(seq: u64, format: PixelFormat) -> Frame {
        let captured_at = Timestamp::from_ns(seq as i64);
        let received_at = Timestamp::from_ns(seq as i64 + 1000);
        Frame { seq, captured_at, received_at, ..Frame::of_bytes(format, 0, 0, Vec::new()) }
    }

    fn recorder(folder: &tempfile::TempDir) -> Recorder {
        let camera = Camera {
            name: "left".into(),
            description: String::new(),
            stamp: StampKind::Device,
            offset_ns: 0,
            period: Duration::from_millis(33),
        };
        let settings = Record { folder: folder.path().to_owned(), keep_free_mb: 10, ..Record::default() };
        Recorder::new(settings, About { cameras: vec![camera], ..About::default() })
    }

    fn recording(lane: Lane, recorder: &Recorder) -> Recording<'_> {
        Recording::with([lane].into_iter().collect(), recorder, Parker::new().unparker().clone())
    }

    /// What a finished recording holds: the numbers of the frames, all `/gaps` with their times, and how much it lacks.
    fn contents(status: &Status) -> (Vec<u32>, Vec<(u64, String)>, String) {
        let file = std::fs::read(status.file.as_ref().expect("a file")).expect("the recording");
        assert_eq!(status.bytes, file.len() as u64);
        let (mut frames, mut gaps) = (Vec::new(), Vec::new());
        for message in mcap::MessageStream::new(&file).expect("an MCAP file") {
            let message = message.expect("whole");
            match &*message.channel.topic {
                "/gaps" => gaps.push((message.log_time, String::from_utf8(message.data.into_owned()).expect("JSON"))),
                _ => frames.push(message.sequence),
            }
        }
        let end = mcap::read::LinearReader::new(&file).expect("an MCAP file").find_map(|record| match record {
            Ok(mcap::records::Record::Metadata(end)) if end.name == "vultus.end" => {
                end.metadata.get("dropped").cloned()
            }
            _ => None,
        });
        (frames, gaps, end.expect("the end"))
    }

    #[test]
    fn all_that_a_stalled_recorder_missed_is_counted_and_told_also_at_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let (recorder, counters) = (recorder(&folder), CameraCounters::default());
        let (mut tap, lane) = lane(CameraId(0), 2, &recorder, &counters);
        tap.offer(&frame(0, PixelFormat::Mjpeg));
        assert!(tap.ring.is_empty(), "no recording is on");

        recorder.start().expect("starts");
        let mut recording = recording(lane, &recorder);
        (1..=5).for_each(|seq| tap.offer(&frame(seq, PixelFormat::Mjpeg)));
        assert!(tap.is_full());
        assert_eq!((counters.record.get(), recorder.status().dropped), (3, 3));
        recording.write().expect("writes");
        tap.offer(&frame(6, PixelFormat::Gray));
        (7..=10).for_each(|seq| tap.offer(&frame(seq, PixelFormat::Mjpeg)));
        assert_eq!((counters.record.get(), recorder.status().dropped), (6, 6));

        let stopped = std::thread::scope(|scope| {
            scope.spawn(|| recording.run());
            let stopped = recorder.stop().expect("stops");
            drop(recorder.end_of_run());
            stopped
        });
        assert_eq!((stopped.state, stopped.dropped), (State::Off, 7), "six found no room, one was no picture");
        let gap = |frames: u64, before: &str| format!(r#"{{"before_seq":{before},"camera":"left","frames":{frames}}}"#);
        let gaps = vec![(1007, gap(4, "7")), (1007, gap(3, "null"))];
        assert_eq!(contents(&stopped), (vec![1, 2, 7], gaps, "7".to_owned()));
    }

    #[test]
    fn nothing_of_a_recording_gets_into_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let (recorder, counters) = (recorder(&folder), CameraCounters::default());
        let (mut tap, lane) = lane(CameraId(0), 2, &recorder, &counters);
        recorder.start().expect("starts");
        let mut recording = recording(lane, &recorder);
        (1..=5).for_each(|seq| tap.offer(&frame(seq, PixelFormat::Mjpeg)));
        recording.close(None);
        let first = recorder.status();
        let gap = (1002, r#"{"before_seq":null,"camera":"left","frames":3}"#.to_owned());
        assert_eq!(contents(&first), (vec![1, 2], vec![gap], "3".to_owned()));

        // Between two frames the recording is stopped and the next one started.
        recorder.start().expect("starts again");
        recording.take_up();
        tap.offer(&frame(6, PixelFormat::Mjpeg));
        recording.close(None);
        let second = recorder.status();
        assert_ne!(first.file, second.file);
        assert_eq!((second.dropped, contents(&second)), (0, (vec![6], Vec::new(), "0".to_owned())));
    }

    #[test]
    fn a_set_whose_frames_came_before_the_recording_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let (recorder, counters) = (recorder(&folder), CameraCounters::default());
        let (mut tap, lane) = lane(CameraId(0), 4, &recorder, &counters);
        recorder.start().expect("starts");
        let mut recording = recording(lane, &recorder);
        tap.offer(&frame(8, PixelFormat::Mjpeg));
        for seq in [7, 8] {
            let (at, views) =
                (Timestamp::from_ns(seq as i64), [Some(frame(seq, PixelFormat::Mjpeg))].into_iter().collect());
            let (reference, skew, waited) = (CameraId(0), Duration::ZERO, Duration::ZERO);
            recorder.set(&FrameSet { number: seq, at, reference, views, skew, waited }, true);
        }
        recording.close(None);
        let take = crate::record::Take::open(recorder.status().file.as_ref().expect("a file")).expect("a take");
        assert_eq!(take.sets.iter().map(|set| set.number).collect::<Vec<_>>(), [8]);
    }

    #[test]
    fn a_recording_that_the_disk_guard_ends_is_complete_and_failed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (recorder, counters) = (recorder(&folder), CameraCounters::default());
        let (mut tap, lane) = lane(CameraId(0), 4, &recorder, &counters);
        recorder.start().expect("starts");
        let mut recording = recording(lane, &recorder);
        tap.offer(&frame(1, PixelFormat::Mjpeg));
        recording.write().expect("writes");
        tap.offer(&frame(2, PixelFormat::Mjpeg));
        let full = RecordError::DiskFull { folder: folder.path().to_owned(), free_mb: 9, keep_free_mb: 10 };
        recording.close(Some(full));
        let status = recorder.status();
        assert_eq!(status.state, State::Failed);
        assert!(status.error.as_ref().is_some_and(|error| error.contains("nearly full")), "{status:?}");
        assert_eq!(contents(&status), (vec![1, 2], Vec::new(), "0".to_owned()));
        tap.offer(&frame(3, PixelFormat::Mjpeg));
        assert!(tap.ring.is_empty() && counters.record.get() == 0, "nothing is taken any more");
        recorder.start().expect("starts again");
    }
}
