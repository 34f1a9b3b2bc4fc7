//! The handle by which any thread starts, stops and watches recordings.
//!
//! A file is opened on the thread that asks for it, so that a refusal is told at once, and then handed to the recorder's
//! thread, which alone writes and closes it. Nothing here locks; who waits parks.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crossbeam_queue::{ArrayQueue, SegQueue};
use crossbeam_utils::sync::{Parker, Unparker};

use super::{About, RecordError, State, Status, TakeWriter, disk};
use crate::config::Record;
use crate::time::Timestamp;

/// Sets whose records may wait for the recorder's thread: seconds, at any usual rate.
const WAITING_SETS: usize = 256;
/// How long [`Recorder::stop`] waits for the disk.
const PATIENCE: Duration = Duration::from_secs(10);
/// A rate over less than this says nothing.
const SHORTEST_RATE: Duration = Duration::from_secs(2);

/// Where a recording stands. Who asks moves it on from `OFF` and `ON`, the recorder's thread brings it back to `OFF`.
mod phase {
    pub(super) const OFF: u8 = 0;
    /// The file is being opened.
    pub(super) const OPENING: u8 = 1;
    pub(super) const ON: u8 = 2;
    /// The recorder's thread is to close the file.
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
    /// Whether the recorder's thread takes frames and records.
    is_on: AtomicBool,
    run_ended: AtomicBool,
    thread: OnceLock<Unparker>,
    /// Who waits for a file to be closed.
    waiting: SegQueue<Unparker>,
    lines: ArrayQueue<Lines>,
    free_lines: ArrayQueue<Vec<u8>>,
    bytes: AtomicU64,
    dropped: AtomicU64,
    shown: ArcSwap<Shown>,
}

/// The records of one set.
pub(crate) struct Lines {
    pub at: Timestamp,
    pub text: Vec<u8>,
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
            is_on: AtomicBool::new(false),
            run_ended: AtomicBool::new(false),
            thread: OnceLock::new(),
            waiting: SegQueue::new(),
            lines: ArrayQueue::new(WAITING_SETS),
            free_lines: ArrayQueue::new(WAITING_SETS),
            bytes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            shown: ArcSwap::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Opens a new file and begins to record into it; before a run has begun, from its first frame on. Returns the file.
    ///
    /// # Errors
    /// [`RecordError::AlreadyOn`], [`RecordError::RunEnded`], and when the file cannot be made: [`RecordError::Folder`],
    /// [`RecordError::DiskFull`], [`RecordError::Write`].
    pub fn start(&self) -> Result<PathBuf, RecordError> {
        let inner = &*self.inner;
        if self.run_has_ended() {
            return Err(RecordError::RunEnded);
        }
        self.advance(phase::OFF, phase::OPENING).map_err(|_| RecordError::AlreadyOn)?;
        let take = TakeWriter::create(&inner.settings, &inner.about).inspect_err(|_| self.set_off())?;
        let file = take.path().to_owned();
        inner.bytes.store(0, Ordering::Relaxed);
        inner.dropped.store(0, Ordering::Relaxed);
        inner.shown.store(Arc::new(Shown {
            state: State::On,
            file: Some(file.clone()),
            began: Some(Instant::now()),
            ..Shown::default()
        }));
        let _ = inner.opened.push(take);
        // Unless the recorder's thread has closed it again already.
        let _ = self.advance(phase::OPENING, phase::ON);
        self.wake();
        // The recorder's thread may have looked for files for the last time just before.
        if self.run_has_ended()
            && let Some(take) = inner.opened.pop()
        {
            self.closed(take.finish().ok(), Some(&RecordError::RunEnded));
            return Err(RecordError::RunEnded);
        }
        tracing::info!("recording into {}", file.display());
        Ok(file)
    }

    /// Ends the recording; returns when its file is complete, with how it went.
    ///
    /// # Errors
    /// [`RecordError::NotOn`], and [`RecordError::StillClosing`] when the disk takes too long.
    pub fn stop(&self) -> Result<Status, RecordError> {
        self.advance(phase::ON, phase::CLOSING).map_err(|_| RecordError::NotOn)?;
        let parker = Parker::new();
        self.inner.waiting.push(parker.unparker().clone());
        self.wake();
        let deadline = Instant::now() + PATIENCE;
        while self.is_to_close() {
            if Instant::now() >= deadline {
                return Err(RecordError::StillClosing { path: self.status().file.unwrap_or_default() });
            }
            parker.park_deadline(deadline);
        }
        Ok(self.status())
    }

    /// How the recording goes, or how the last one went.
    #[must_use]
    pub fn status(&self) -> Status {
        let inner = &*self.inner;
        let shown = inner.shown.load();
        let lasted = shown.began.map_or(Duration::ZERO, |began| shown.ended.unwrap_or_else(Instant::now) - began);
        let bytes = inner.bytes.load(Ordering::Relaxed);
        let free_bytes = disk::free_bytes(&inner.settings.folder);
        let has_rate = shown.state == State::On && lasted >= SHORTEST_RATE && bytes > 0;
        let left_s = free_bytes.filter(|_| has_rate).map(|free| {
            let usable = disk::usable_bytes(free, &inner.settings);
            (usable as f64 / bytes as f64 * lasted.as_secs_f64()) as u64
        });
        Status {
            state: shown.state,
            file: shown.file.clone(),
            seconds: (lasted.as_secs_f64() * 10.0).round() / 10.0,
            bytes,
            dropped: inner.dropped.load(Ordering::Relaxed),
            left_s,
            free_bytes,
            error: shown.error.clone(),
        }
    }

    /// Takes in the result records of the set at `at`, one a line. Without a recording it costs one atomic load.
    pub fn records(&self, at: Timestamp, lines: &[u8]) {
        if !self.is_on() {
            return;
        }
        let mut text = self.inner.free_lines.pop().unwrap_or_default();
        text.clear();
        text.extend_from_slice(lines);
        // Nobody is woken: the frames do that, and a set has frames.
        if self.inner.lines.push(Lines { at, text }).is_err() {
            self.count_dropped(1);
        }
    }

    /// Whether frames and records are taken.
    pub(crate) fn is_on(&self) -> bool {
        self.inner.is_on.load(Ordering::Acquire)
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

    /// Says how to wake the recorder's thread.
    pub(crate) fn attach(&self, thread: Unparker) {
        let _ = self.inner.thread.set(thread);
    }

    /// For the recorder's thread: a file that was opened. From now on frames and records are taken.
    pub(crate) fn take_up(&self) -> Option<TakeWriter> {
        let take = self.inner.opened.pop()?;
        while self.next_lines().is_some() {}
        self.inner.is_on.store(true, Ordering::Release);
        Some(take)
    }

    /// For the recorder's thread: whether the file is to be closed.
    pub(crate) fn is_to_close(&self) -> bool {
        self.inner.phase.load(Ordering::SeqCst) == phase::CLOSING
    }

    /// For the recorder's thread: nothing is taken any more.
    pub(crate) fn refuse(&self) {
        self.inner.is_on.store(false, Ordering::Release);
    }

    /// For the recorder's thread: records that wait.
    pub(crate) fn next_lines(&self) -> Option<Lines> {
        self.inner.lines.pop()
    }

    /// For the recorder's thread: their memory, to be used again.
    pub(crate) fn give_back(&self, lines: Lines) {
        let _ = self.inner.free_lines.push(lines.text);
    }

    /// For the recorder's thread: so much is safe on the disk.
    ///
    /// # Errors
    /// [`RecordError::DiskFull`] when there should not be more.
    pub(crate) fn synced(&self, bytes: u64) -> Result<(), RecordError> {
        self.inner.bytes.store(bytes, Ordering::Relaxed);
        disk::check_room(&self.inner.settings)
    }

    /// For the recorder's thread: the file is closed, at its full size if it is complete, and with an error if it had
    /// to be.
    pub(crate) fn closed(&self, bytes: Option<u64>, error: Option<&RecordError>) {
        self.refuse();
        if let Some(bytes) = bytes {
            self.inner.bytes.store(bytes, Ordering::Relaxed);
        }
        let was = self.inner.shown.load();
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

    fn advance(&self, from: u8, to: u8) -> Result<u8, u8> {
        self.inner.phase.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
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
