//! Where the pipeline pins up what the server may show. Lock-free: pinning costs the pipeline the same, whoever
//! watches and however slowly, and next to nothing while nobody does.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;

use atomic_waker::AtomicWaker;
use axum::body::Bytes;
use crossbeam_queue::ArrayQueue;

use super::space::Head;
use crate::frame::{Frame, PerCamera};
use crate::pipeline::health::Report;
use crate::pipeline::latest::Latest;

/// Sets whose records may wait for the server: two seconds of a usual camera.
const WAITING: usize = 64;

/// What was found in one set.
pub(super) struct Said {
    /// Sets before it whose records nobody took down in time.
    pub missed: u64,
    /// The set's records, a line each.
    pub lines: Bytes,
    /// Where the heads are, when the rig is known.
    pub heads: Vec<Head>,
}

impl Said {
    /// The records one by one, without their line ends.
    pub(super) fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
    }
}

/// The pictures of one set.
pub(super) struct Pictures {
    pub set: u64,
    pub frames: PerCamera<Option<Frame>>,
}

/// Pinned up by the pipeline's output thread, taken down by the server's thread.
pub(super) struct Board {
    said: ArrayQueue<Said>,
    missed: AtomicU64,
    pictures: Latest<Pictures>,
    report: Latest<Report>,
    /// Pages and readers of records.
    pub watchers: Tally,
    /// Pages that could take pictures now.
    pub waiting: Tally,
    is_new: AtomicBool,
    is_over: AtomicBool,
    waker: AtomicWaker,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            said: ArrayQueue::new(WAITING),
            missed: AtomicU64::new(0),
            pictures: Latest::default(),
            report: Latest::default(),
            watchers: Tally::default(),
            waiting: Tally::default(),
            is_new: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }
}

impl Board {
    /// Pins up a set; what nobody took down in time makes room.
    pub(super) fn pin(&self, said: Said, pictures: Pictures) {
        if self.said.force_push(said).is_some() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
        let _ = self.pictures.put(pictures);
        self.notify();
    }

    /// Pins up how the run is doing.
    pub(super) fn pin_report(&self, report: Report) {
        let _ = self.report.put(report);
    }

    /// Says that nothing more will come.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.notify();
    }

    fn notify(&self) {
        self.is_new.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Waits until something is pinned up; `false` when the run is over.
    pub(super) async fn news(&self) -> bool {
        poll_fn(|context| {
            self.waker.register(context.waker());
            if self.is_new.swap(false, Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        !self.is_over.load(Ordering::Acquire)
    }

    pub(super) fn take_pictures(&self) -> Option<Pictures> {
        self.pictures.take()
    }

    pub(super) fn take_said(&self) -> Option<Said> {
        let said = self.said.pop()?;
        Some(Said { missed: self.missed.swap(0, Ordering::Relaxed), ..said })
    }

    pub(super) fn take_report(&self) -> Option<Report> {
        self.report.take()
    }
}

/// Counts those who hold it.
#[derive(Clone, Default)]
pub(super) struct Tally(Arc<AtomicUsize>);

/// Counted for as long as it lives.
pub(super) struct Held(Tally);

impl Tally {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn hold(&self) -> Held {
        self.0.fetch_add(1, Ordering::Relaxed);
        Held(self.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
