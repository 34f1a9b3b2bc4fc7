//! The request to end, heard by every thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_queue::SegQueue;
use crossbeam_utils::sync::Unparker;

/// Ends a run in good order; clones are one and the same.
#[derive(Clone, Default)]
pub struct Stop {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    requested: AtomicBool,
    sleepers: SegQueue<Unparker>,
}

impl Stop {
    /// Asks every thread to end, and wakes those that wait.
    pub fn request(&self) {
        self.inner.requested.store(true, Ordering::Release);
        while let Some(sleeper) = self.inner.sleepers.pop() {
            sleeper.unpark();
        }
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.inner.requested.load(Ordering::Acquire)
    }

    /// Has `sleeper` woken by [`Stop::request`].
    pub fn wakes(&self, sleeper: &Unparker) {
        self.inner.sleepers.push(sleeper.clone());
        if self.is_requested() {
            sleeper.unpark();
        }
    }

    /// Requests the end when dropped while panicking: a thread that fails takes the others with it.
    #[must_use]
    pub fn on_panic(&self) -> OnPanic<'_> {
        OnPanic(self)
    }
}

/// See [`Stop::on_panic`].
pub struct OnPanic<'a>(&'a Stop);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.request();
        }
    }
}
