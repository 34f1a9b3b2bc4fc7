//! The handle by which any thread starts, stops and watches recordings.
//!
//! A file is opened on the thread that asks for it, so that a refusal is told at once, and then handed to the recorder's
//! thread, which alone writes and closes it. Nothing here locks; who waits parks.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crossbeam_queue::{ArrayQueue, SegQueue};
use crossbeam_utils::sync::{Parker, Unparker};

use super::{About, RecordError, SetNote, State, Status, TakeWriter, Told, disk};
use crate::config::{Record, RecordContent};
use crate::frame::FrameSet;
use crate::scene::Scene;

/// Sets, and what was made of them, that may wait for the recorder's thread: seconds, at any usual rate.
const WAITING_SETS: usize = 256;
/// How long [`Recorder::stop`] waits for the disk.
const PATIENCE: Duration = Duration::from_secs(10);
/// A rate over less than this says nothing.
const SHORTEST_RATE: Duration = Duration::from_secs(2);
/// Stands for what was not measured, or cannot be.
const UNKNOWN: u64 = u64::MAX;

/// Where a recording stands. Who asks moves it on from `OFF` and `ON`, the recorder's thread brings it back to `OFF`.
mod phase {
    pub(super) const OFF: u8 = 0;
    /// The file is being opened.
    pub(super) const OPENING: u8 = 1;
    pub(super) const ON: u8 = 2;
    /// Nothing is taken any more; the recorder's thread is to close the file, or is at it.
    pub(super) const CLOSING: u8 = 3;
}

/// Starts, stops and watches the recordings of one run. Clones are one and the same.
#[derive(Clone)]
pub struct Recorder {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Record,
    about: About,
    phase: AtomicU8,
    /// A file that was opened and that the recorder's thread has not taken up.
    opened: ArrayQueue<TakeWriter>,
    /// The number of the recording that takes frames and records; 0 if none does.
    taking: AtomicU64,
    /// Recordings so far. Only the recorder's thread counts.
    number: AtomicU64,
    run_ended: AtomicBool,
    thread: OnceLock<Unparker>,
    /// Who waits for a file to be closed.
    waiting: SegQueue<Unparker>,
    sets: ArrayQueue<SetNote>,
    told: ArrayQueue<Box<Told>>,
    free_told: ArrayQueue<Box<Told>>,
    bytes: AtomicU64,
    /// When so many bytes were safe: milliseconds since the recording began.
    synced_ms: AtomicU64,
    free_bytes: AtomicU64,
    dropped: AtomicU64,
    shown: ArcSwap<Shown>,
    /// Why the first recording ended before it was told to, once it has ended.
    first_failure: OnceLock<Option<String>>,
}

/// What changes only when a recording begins or ends.
#[derive(Default)]
struct Shown {
    state: State,
    file: Option<PathBuf>,
    began: Option<Instant>,
    ended: Option<Instant>,
    error: Option<String>,
}

impl Recorder {
    /// A recorder that writes takes as `settings` says, each with `about`.
    #[must_use]
    pub fn new(settings: Record, about: About) -> Self {
        let inner = Inner {
            settings,
            about,
            phase: AtomicU8::new(phase::OFF),
            opened: ArrayQueue::new(1),
            taking: AtomicU64::new(0),
            number: AtomicU64::new(0),
            run_ended: AtomicBool::new(false),
            thread: OnceLock::new(),
            waiting: SegQueue::new(),
            sets: ArrayQueue::new(WAITING_SETS),
            told: ArrayQueue::new(WAITING_SETS),
            free_told: ArrayQueue::new(WAITING_SETS),
            bytes: AtomicU64::new(0),
            synced_ms: AtomicU64::new(0),
            free_bytes: AtomicU64::new(UNKNOWN),
            dropped: AtomicU64::new(0),
            shown: ArcSwap::default(),
            first_failure: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Begins to record into a new file in the folder of the settings; otherwise as [`Recorder::start_file`].
    ///
    /// # Errors
    /// As [`Recorder::start_file`].
    pub fn start(&self) -> Result<PathBuf, RecordError> {
        self.start_at(None)
    }

    /// Makes `file` and begins to record into it; before a run has begun, from its first frame on.
    ///
    /// # Errors
    /// [`RecordError::AlreadyOn`], [`RecordError::StillClosing`], [`RecordError::RunEnded`], and when the file cannot be
    /// made: [`RecordError::Exists`], [`RecordError::Folder`], [`RecordError::DiskFull`], [`RecordError::Write`].
    pub fn start_file(&self, file: &Path) -> Result<(), RecordError> {
        self.start_at(Some(file)).map(|_| ())
    }

    fn start_at(&self, file: Option<&Path>) -> Result<PathBuf, RecordError> {
        let inner = &*self.inner;
        if self.run_has_ended() {
            return Err(RecordError::RunEnded);
        }
        self.advance(phase::OFF, phase::OPENING, RecordError::AlreadyOn)?;
        let take = self.create(file).inspect_err(|_| self.set_off())?;
        let file = take.path().to_owned();
        inner.bytes.store(take.synced_bytes(), Ordering::Relaxed);
        inner.synced_ms.store(0, Ordering::Relaxed);
        inner.dropped.store(0, Ordering::Relaxed);
        inner.shown.store(Arc::new(Shown {
            state: State::On,
            file: Some(file.clone()),
            began: Some(Instant::now()),
            ..Shown::default()
        }));
        // Before the recorder's thread can have closed it again.
        inner.phase.store(phase::ON, Ordering::SeqCst);
        let _ = inner.opened.push(take);
        self.wake();
        // The recorder's thread may have looked for files for the last time just before.
        if self.run_has_ended()
            && let Some(take) = inner.opened.pop()
        {
            self.closed(take.finish(0).ok(), Some(&RecordError::RunEnded));
            return Err(RecordError::RunEnded);
        }
        tracing::info!("recording into {}", file.display());
        Ok(file)
    }

    fn create(&self, file: Option<&Path>) -> Result<TakeWriter, RecordError> {
        self.check_room(file.map_or(&self.inner.settings.folder, |file| disk::folder_of(file)))?;
        TakeWriter::create(file, &self.inner.settings, &self.inner.about)
    }

    /// Ends the recording: nothing is added to it from now on. Returns when its file is complete, with how it went.
    ///
    /// # Errors
    /// [`RecordError::NotOn`], and [`RecordError::StillClosing`] when the disk takes too long: then the recording has
    /// ended all the same, and its file is completed as soon as the disk can.
    pub fn stop(&self) -> Result<Status, RecordError> {
        self.stop_within(PATIENCE)
    }

    fn stop_within(&self, patience: Duration) -> Result<Status, RecordError> {
        self.advance(phase::ON, phase::CLOSING, RecordError::NotOn)?;
        self.refuse();
        let parker = Parker::new();
        self.inner.waiting.push(parker.unparker().clone());
        self.wake();
        let deadline = Instant::now() + patience;
        while self.is_to_close() {
            if Instant::now() >= deadline {
                return Err(self.still_closing());
            }
            parker.park_deadline(deadline);
        }
        Ok(self.status())
    }

    /// How the recording goes, or how the last one went. Asks no disk.
    #[must_use]
    pub fn status(&self) -> Status {
        let inner = &*self.inner;
        // Looked at before the rest: a file that is closed meanwhile is then off, and not on again.
        let is_closing = self.is_to_close();
        let shown = inner.shown.load();
        let lasted = shown.began.map_or(Duration::ZERO, |began| shown.ended.unwrap_or_else(Instant::now) - began);
        let bytes = inner.bytes.load(Ordering::Relaxed);
        let free_bytes = Some(inner.free_bytes.load(Ordering::Relaxed)).filter(|bytes| *bytes != UNKNOWN);
        let state = if is_closing && shown.state == State::On { State::Closing } else { shown.state };
        let synced_after = Duration::from_millis(inner.synced_ms.load(Ordering::Relaxed));
        let has_rate = state == State::On && synced_after >= SHORTEST_RATE;
        let left_s = free_bytes.filter(|_| has_rate).map(|free| {
            let usable = disk::usable_bytes(free, &inner.settings);
            (usable as f64 / bytes as f64 * synced_after.as_secs_f64()) as u64
        });
        Status {
            state,
            content: inner.settings.content,
            file: shown.file.clone(),
            seconds: (lasted.as_secs_f64() * 10.0).round() / 10.0,
            bytes,
            dropped: self.dropped(),
            left_s,
            free_bytes,
            error: shown.error.clone(),
        }
    }

    /// Why the first recording of the run ended before it was told to, if it did.
    #[must_use]
    pub fn first_failure(&self) -> Option<&str> {
        self.inner.first_failure.get()?.as_deref()
    }

    /// Takes in that `set` was looked at, or was not. Without a recording it costs one atomic load.
    pub(crate) fn set(&self, set: &FrameSet, analysed: bool) {
        // Nobody is woken: the frames do that, and a set has frames.
        if self.recording().is_some() && self.inner.sets.push(SetNote::of(set, analysed)).is_err() {
            self.count_dropped(1);
        }
    }

    /// Takes in what was made of a set, and its result records, one a line. Without a recording it costs one atomic load.
    pub fn scene(&self, scene: &Scene, records: &[u8]) {
        if self.recording().is_none() {
            return;
        }
        let mut told = self.inner.free_told.pop().unwrap_or_default();
        told.fill(scene, records);
        if let Err(refused) = self.inner.told.push(told) {
            self.count_dropped(refused.record_count());
        }
    }

    /// Whether faces are to be cut out for the recording.
    pub(crate) fn wants_faces(&self) -> bool {
        self.inner.settings.content == RecordContent::Faces && self.recording().is_some()
    }

    /// The number of the recording that takes frames and records, if one does.
    pub(crate) fn recording(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.inner.taking.load(Ordering::Acquire))
    }

    /// Wakes the recorder's thread.
    pub(crate) fn wake(&self) {
        if let Some(thread) = self.inner.thread.get() {
            thread.unpark();
        }
    }

    /// Counts what the recording lacks.
    pub(crate) fn count_dropped(&self, n: u64) {
        self.inner.dropped.fetch_add(n, Ordering::Relaxed);
    }

    /// Frames and records that it lacks so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.inner.dropped.load(Ordering::Relaxed)
    }

    /// Says how to wake the recorder's thread.
    pub(crate) fn attach(&self, thread: Unparker) {
        let _ = self.inner.thread.set(thread);
    }

    /// For the recorder's thread: a file that was opened, and the number of its recording. From now on frames and records
    /// are taken.
    pub(crate) fn take_up(&self) -> Option<(TakeWriter, NonZeroU64)> {
        let take = self.inner.opened.pop()?;
        while self.next_set().is_some() {}
        while self.next_told().is_some() {}
        let number = NonZeroU64::MIN.saturating_add(self.inner.number.fetch_add(1, Ordering::Relaxed));
        self.inner.taking.store(number.get(), Ordering::Release);
        Some((take, number))
    }

    /// For the recorder's thread: whether the file is to be closed.
    pub(crate) fn is_to_close(&self) -> bool {
        self.inner.phase.load(Ordering::SeqCst) == phase::CLOSING
    }

    /// For the recorder's thread: nothing is taken any more, the file is being closed.
    pub(crate) fn closing(&self) {
        // Unless it was told to.
        let _ = self.advance(phase::ON, phase::CLOSING, RecordError::NotOn);
        self.refuse();
    }

    /// For the recorder's thread: how many sets wait, and how much of what was made of them.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.inner.sets.len(), self.inner.told.len())
    }

    /// For the recorder's thread: a set that waits.
    pub(crate) fn next_set(&self) -> Option<SetNote> {
        self.inner.sets.pop()
    }

    /// For the recorder's thread: what was made of a set, and waits.
    pub(crate) fn next_told(&self) -> Option<Box<Told>> {
        self.inner.told.pop()
    }

    /// For the recorder's thread: its memory, to be used again.
    pub(crate) fn give_back(&self, told: Box<Told>) {
        let _ = self.inner.free_told.push(told);
    }

    /// For the recorder's thread: so much is safe on the disk.
    ///
    /// # Errors
    /// [`RecordError::DiskFull`] when there should not be more.
    pub(crate) fn synced(&self, bytes: u64) -> Result<(), RecordError> {
        let lasted = self.inner.shown.load().began.map_or(Duration::ZERO, |began| began.elapsed());
        self.inner.bytes.store(bytes, Ordering::Relaxed);
        self.inner.synced_ms.store(lasted.as_millis() as u64, Ordering::Relaxed);
        let shown = self.inner.shown.load();
        self.check_room(shown.file.as_deref().map_or(&self.inner.settings.folder, disk::folder_of))
    }

    /// Measures the disk of `folder`, which may take as long as the disk likes.
    fn check_room(&self, folder: &Path) -> Result<(), RecordError> {
        let Inner { settings, free_bytes, .. } = &*self.inner;
        let free = disk::free_bytes(folder);
        free_bytes.store(free.unwrap_or(UNKNOWN), Ordering::Relaxed);
        free.map_or(Ok(()), |free| disk::check_room(free, folder, settings))
    }

    /// For the recorder's thread: the file is closed, at its full size if it is complete, and with an error if it had
    /// to be.
    pub(crate) fn closed(&self, bytes: Option<u64>, error: Option<&RecordError>) {
        if let Some(bytes) = bytes {
            self.inner.bytes.store(bytes, Ordering::Relaxed);
        }
        let was = self.inner.shown.load();
        let _ = self.inner.first_failure.set(error.map(ToString::to_string));
        self.inner.shown.store(Arc::new(Shown {
            state: if error.is_some() { State::Failed } else { State::Off },
            file: was.file.clone(),
            began: was.began,
            ended: Some(Instant::now()),
            error: error.map(ToString::to_string),
        }));
        self.set_off();
    }

    /// For the pipeline: ends the recorder's thread when dropped.
    pub(crate) fn end_of_run(&self) -> EndOfRun<'_> {
        EndOfRun(self)
    }

    /// Whether no frames and no records come any more.
    pub(crate) fn run_has_ended(&self) -> bool {
        self.inner.run_ended.load(Ordering::SeqCst)
    }

    /// Moves on, or tells why not: `otherwise`, unless a file is being closed.
    fn advance(&self, from: u8, to: u8, otherwise: RecordError) -> Result<(), RecordError> {
        match self.inner.phase.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => Ok(()),
            Err(phase::CLOSING) => Err(self.still_closing()),
            Err(_) => Err(otherwise),
        }
    }

    fn still_closing(&self) -> RecordError {
        RecordError::StillClosing { path: self.inner.shown.load().file.clone().unwrap_or_default() }
    }

    fn refuse(&self) {
        self.inner.taking.store(0, Ordering::Release);
    }

    fn set_off(&self) {
        self.inner.phase.store(phase::OFF, Ordering::SeqCst);
        while let Some(waiting) = self.inner.waiting.pop() {
            waiting.unpark();
        }
    }
}

/// Tells the recorder's thread, when it is dropped, that the run has ended.
pub(crate) struct EndOfRun<'a>(&'a Recorder);

impl Drop for EndOfRun<'_> {
    fn drop(&mut self) {
        self.0.inner.run_ended.store(true, Ordering::SeqCst);
        self.0.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder(folder: &tempfile::TempDir) -> Recorder {
        let settings = Record { folder: folder.path().to_owned(), keep_free_mb: 10, ..Record::default() };
        Recorder::new(settings, About::default())
    }

    #[test]
    fn a_stop_that_the_disk_keeps_waiting_is_a_stop_all_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let recorder = recorder(&folder);
        let file = recorder.start().expect("starts");
        let (take, _) = recorder.take_up().expect("a file was opened");
        assert!(recorder.recording().is_some());

        let still_closing = |error: RecordError| {
            let message = error.to_string();
            assert!(matches!(error, RecordError::StillClosing { path } if path == file), "{message}");
        };
        still_closing(recorder.stop_within(Duration::ZERO).expect_err("nobody closes the file"));
        assert_eq!((recorder.recording(), recorder.status().state), (None, State::Closing));
        recorder.scene(&Scene::default(), b"{}\n");
        assert!(recorder.next_told().is_none(), "nothing is taken any more");
        still_closing(recorder.stop().expect_err("it is being closed"));
        still_closing(recorder.start().expect_err("it is being closed"));

        recorder.closed(take.finish(0).ok(), None);
        assert_eq!((recorder.status().state, recorder.status().dropped), (State::Off, 0));
        assert!(matches!(recorder.stop(), Err(RecordError::NotOn)));
        recorder.start().expect("starts again");
        let (_, number) = recorder.take_up().expect("a file was opened");
        assert_eq!((number.get(), recorder.recording()), (2, Some(number)));
    }

    #[test]
    fn the_time_left_does_not_rise_while_the_disk_hangs_and_status_asks_no_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let recorder = recorder(&folder);
        assert_eq!(recorder.status().free_bytes, None, "never measured");
        recorder.start().expect("starts");
        // Two seconds in, there were a megabyte on the disk and room for another; it has hung for a minute since.
        let now = Instant::now();
        let Some(began) = now.checked_sub(Duration::from_secs(62)) else { return };
        let shown = Shown { state: State::On, began: Some(began), ..Shown::default() };
        recorder.inner.shown.store(Arc::new(shown));
        recorder.inner.bytes.store(1_000_000, Ordering::Relaxed);
        recorder.inner.synced_ms.store(2_000, Ordering::Relaxed);
        recorder.inner.free_bytes.store(11_000_000, Ordering::Relaxed);
        let status = recorder.status();
        assert!(status.seconds >= 62.0);
        assert_eq!((status.left_s, status.free_bytes), (Some(2), Some(11_000_000)));
    }

    #[test]
    fn records_that_find_no_room_are_counted_one_by_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let recorder = recorder(&folder);
        recorder.start().expect("starts");
        let (_take, _) = recorder.take_up().expect("a file was opened");
        for _ in 0..WAITING_SETS + 2 {
            recorder.scene(&Scene::default(), b"{}\n{}\n{}\n");
        }
        assert_eq!(recorder.status().dropped, 6);
    }
}
