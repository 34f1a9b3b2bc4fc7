//! What every camera delivered and what was dropped, by reason. Written by the threads, read by anybody.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::capture::Event;
use crate::frame::{CameraId, PerCamera};

/// A number that many threads may add to.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The number so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets it.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }
}

/// The counters of one camera.
#[derive(Debug, Default)]
pub struct CameraCounters {
    /// Frames that arrived.
    pub received: Count,
    /// Dropped: their set had gone without them.
    pub late: Count,
    /// Dropped: empty, cut off or not decodable.
    pub corrupt: Count,
    /// Dropped: a newer set was there before this one was looked at.
    pub stale: Count,
    /// Dropped: the camera's ring, or the pool of buffers, was full.
    pub ring_full: Count,
    /// Missing from a recording, and from it alone: the disk, or the encoding of raw pictures, was too slow.
    pub record: Count,
    /// Not needed: no set to go to, such as the surplus of a faster camera.
    pub unmatched: Count,
    /// Times that nothing came for a while.
    pub stalls: Count,
    /// Times that the device was lost.
    pub losses: Count,
    /// Times that it came back.
    pub returns: Count,
    /// Attempts to open it again.
    pub reopen_attempts: Count,
}

impl CameraCounters {
    /// Counts what the camera's source said.
    pub fn count(&self, event: &Event) {
        match event {
            Event::Frame(_) => self.received.add(1),
            Event::Corrupt(_) => {
                self.received.add(1);
                self.corrupt.add(1);
            }
            Event::NoBuffer => {
                self.received.add(1);
                self.ring_full.add(1);
            }
            Event::Stalled => self.stalls.add(1),
            Event::End => {}
        }
    }

    /// Whether the device is away.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.losses.get() > self.returns.get()
    }

    /// The drops, with the reason that records and reports name.
    #[must_use]
    pub fn drops(&self) -> [(&'static str, u64); 5] {
        [
            ("late", self.late.get()),
            ("corrupt", self.corrupt.get()),
            ("stale", self.stale.get()),
            ("ring_full", self.ring_full.get()),
            ("record", self.record.get()),
        ]
    }
}

/// The counters of a run.
#[derive(Debug, Default)]
pub struct Counters {
    /// One a camera.
    pub cameras: PerCamera<CameraCounters>,
    /// Sets that were formed.
    pub sets: Count,
    /// Sets that were looked at.
    pub analysed_sets: Count,
    /// Sets that were dropped because a newer one was there.
    pub stale_sets: Count,
}

impl Counters {
    /// Counters for so many cameras, all zero.
    #[must_use]
    pub fn new(cameras: usize) -> Self {
        Self { cameras: (0..cameras).map(|_| CameraCounters::default()).collect(), ..Self::default() }
    }

    /// Those of one camera.
    #[must_use]
    pub fn of(&self, camera: CameraId) -> &CameraCounters {
        &self.cameras[camera.index()]
    }
}
