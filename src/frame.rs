//! Camera pictures on their way: [`Frame`], [`FrameSet`] and the [`FramePool`] that their bytes live in.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrayvec::ArrayVec;
use crossbeam_queue::ArrayQueue;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The most cameras that one run can have.
pub const MAX_CAMERAS: usize = 16;

/// One value a camera, in the order of configuration.
pub type PerCamera<T> = ArrayVec<T, MAX_CAMERAS>;

/// A camera's place in the order of configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CameraId(pub u8);

impl CameraId {
    /// For indexing what is kept per camera.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a frame's bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// One whole JPEG picture.
    Mjpeg,
    /// Y0 U Y1 V, two pixels in four bytes, BT.601 limited range.
    Yuyv,
    /// A plane of Y, then one of interleaved U V at half the size, BT.601 limited range.
    Nv12,
    /// Three bytes a pixel: red, green, blue.
    Rgb,
    /// Three bytes a pixel: blue, green, red.
    Bgr,
    /// One byte a pixel.
    Gray,
}

impl PixelFormat {
    /// Bytes of a picture; `None` for MJPEG, where the picture decides, and for sizes that the format cannot have
    /// (two pixels of YUYV, and four of NV12, share their colour).
    #[must_use]
    pub fn frame_bytes(self, width: u32, height: u32) -> Option<usize> {
        let pixels = width as usize * height as usize;
        match self {
            Self::Mjpeg => None,
            Self::Yuyv => width.is_multiple_of(2).then_some(pixels * 2),
            Self::Nv12 => (width.is_multiple_of(2) && height.is_multiple_of(2)).then_some(pixels * 3 / 2),
            Self::Rgb | Self::Bgr => Some(pixels * 3),
            Self::Gray => Some(pixels),
        }
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Mjpeg => "MJPEG",
            Self::Yuyv => "YUYV",
            Self::Nv12 => "NV12",
            Self::Rgb => "RGB",
            Self::Bgr => "BGR",
            Self::Gray => "GRAY",
        })
    }
}

/// Where a frame's `captured_at` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StampKind {
    /// The camera's driver (or the recording) stamped the exposure.
    Device,
    /// The driver gave no stamp; the time of arrival stands in.
    Arrival,
}

impl StampKind {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Arrival => "arrival",
        }
    }
}

/// One picture of one camera. Cheap to clone: the bytes are shared.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Which camera.
    pub camera: CameraId,
    /// Counts the camera's frames; a gap means frames that were never delivered.
    pub seq: u64,
    /// When the picture was taken, as the device or the recording says.
    pub captured_at: Timestamp,
    /// When it reached this program.
    pub received_at: Timestamp,
    /// What `captured_at` rests on.
    pub stamp: StampKind,
    /// How to read `bytes`.
    pub format: PixelFormat,
    /// Width in pixels; of MJPEG the nominal one, the picture's own header decides.
    pub width: u32,
    /// Height in pixels; as `width`.
    pub height: u32,
    /// The picture.
    pub bytes: FrameBytes,
    /// Of stills: the file, relative to the folder that was opened.
    pub file: Option<Arc<str>>,
}

impl Frame {
    /// A frame that holds `bytes`, of no camera and no time in particular.
    #[must_use]
    pub fn of_bytes(format: PixelFormat, width: u32, height: u32, bytes: Vec<u8>) -> Self {
        Self {
            camera: CameraId(0),
            seq: 0,
            captured_at: Timestamp::default(),
            received_at: Timestamp::default(),
            stamp: StampKind::Device,
            format,
            width,
            height,
            bytes: FrameBytes::detached(bytes),
            file: None,
        }
    }
}

/// The frames of one instant.
#[derive(Clone, Debug)]
pub struct FrameSet {
    /// Counts the sets from 0.
    pub number: u64,
    /// The instant: when the reference camera took its picture, corrected by its offset.
    pub at: Timestamp,
    /// The camera that gave the instant.
    pub reference: CameraId,
    /// One frame a camera, or none where it has none near enough.
    pub views: PerCamera<Option<Frame>>,
    /// Latest less earliest corrected capture time of the views.
    pub skew: Duration,
    /// From the arrival of the reference frame until the set was emitted.
    pub waited: Duration,
}

impl FrameSet {
    /// The frames that there are.
    pub fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.views.iter().flatten()
    }

    /// The frame that gave the instant.
    #[must_use]
    pub fn reference_frame(&self) -> Option<&Frame> {
        self.views.get(self.reference.index())?.as_ref()
    }
}

struct Slot {
    bytes: Vec<u8>,
    /// Holders of the frame. Kept apart from the `Arc`'s own count, because the last holder
    /// must know that it is the last while it still has the `Arc` to give back.
    holders: AtomicUsize,
}

/// A free list of frame buffers: in the steady state a frame costs no allocation.
#[derive(Clone)]
pub struct FramePool {
    home: Arc<Home>,
}

/// Where free buffers are, in queues of which each is twice as long as the one before. The first that has one gives
/// it, and the first that has room takes it back: so only about as many grow to the size of a picture as are in use at
/// once, although most pools are sized for what hardly ever happens.
struct Home {
    /// What a buffer has room for from its first use on.
    bytes: usize,
    queues: Vec<ArrayQueue<Arc<Slot>>>,
    /// Those that none of the others had room for.
    rest: ArrayQueue<Arc<Slot>>,
}

/// Buffers in the first queue.
const WARM: usize = 4;
/// Buffers that have room from the start: those of the first two queues, more than are in use while all goes well.
const PREPARED: usize = 3 * WARM;

impl Home {
    fn of(frames: usize, bytes: usize) -> Self {
        let lengths = std::iter::successors(Some(WARM), |length| Some(length * 2));
        let queues = lengths.take_while(|length| *length < frames).map(ArrayQueue::new).collect();
        Self { bytes, queues, rest: ArrayQueue::new(frames) }
    }

    fn put(&self, slot: Arc<Slot>) {
        let mut homeless = Some(slot);
        for queue in self.queues.iter().chain([&self.rest]) {
            homeless = homeless.and_then(|slot| queue.push(slot).err());
        }
    }

    fn take(&self) -> Option<Arc<Slot>> {
        self.queues.iter().find_map(ArrayQueue::pop).or_else(|| self.rest.pop())
    }
}

impl FramePool {
    /// A pool of `frames` buffers. The first have room for `bytes`, the others get it when they are first used; each
    /// grows when a frame needs more.
    #[must_use]
    pub fn new(frames: usize, bytes: usize) -> Self {
        let home = Home::of(frames.max(1), bytes);
        for n in 0..frames.max(1) {
            let room = if n < PREPARED { bytes } else { 0 };
            home.put(Arc::new(Slot { bytes: Vec::with_capacity(room), holders: AtomicUsize::new(0) }));
        }
        Self { home: Arc::new(home) }
    }

    /// Fills a free buffer by `fill` and hands it out, or `None` when all are in use.
    ///
    /// # Errors
    /// What `fill` returns; the buffer goes back to the pool.
    pub fn try_fill<E>(&self, fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<Option<FrameBytes>, E> {
        let Some(mut slot) = self.take() else { return Ok(None) };
        if let Some(free) = Arc::get_mut(&mut slot) {
            free.bytes.clear();
            free.bytes.reserve(self.home.bytes);
            if let Err(error) = fill(&mut free.bytes) {
                self.home.put(slot);
                return Err(error);
            }
            free.holders = AtomicUsize::new(1);
        }
        Ok(Some(FrameBytes { slot, home: Some(self.home.clone()) }))
    }

    /// A copy of `bytes` in a free buffer, or `None` when all are in use.
    #[must_use]
    pub fn copy(&self, bytes: &[u8]) -> Option<FrameBytes> {
        let filled = self.try_fill(|buffer| {
            buffer.extend_from_slice(bytes);
            Ok::<(), std::convert::Infallible>(())
        });
        match filled {
            Ok(bytes) => bytes,
            Err(never) => match never {},
        }
    }

    /// A slot that nobody else holds. Who gave it back, or who held it before, may still be about to let go of its
    /// `Arc` when the slot is already here; such a slot is passed over.
    fn take(&self) -> Option<Arc<Slot>> {
        for _ in 0..=WARM {
            let mut slot = self.home.take()?;
            if Arc::get_mut(&mut slot).is_some() {
                return Some(slot);
            }
            let _ = self.home.rest.push(slot);
        }
        None
    }
}

/// Shared bytes of a frame; the last holder returns the buffer to its pool.
pub struct FrameBytes {
    slot: Arc<Slot>,
    home: Option<Arc<Home>>,
}

impl FrameBytes {
    /// Bytes of their own, outside any pool: for tests and for pictures that come once.
    #[must_use]
    pub fn detached(bytes: Vec<u8>) -> Self {
        Self { slot: Arc::new(Slot { bytes, holders: AtomicUsize::new(1) }), home: None }
    }
}

impl Clone for FrameBytes {
    fn clone(&self) -> Self {
        self.slot.holders.fetch_add(1, Ordering::Relaxed);
        Self { slot: self.slot.clone(), home: self.home.clone() }
    }
}

impl Drop for FrameBytes {
    fn drop(&mut self) {
        if self.slot.holders.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(home) = &self.home
        {
            home.put(self.slot.clone());
        }
    }
}

impl std::ops::Deref for FrameBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.slot.bytes
    }
}

impl AsRef<[u8]> for FrameBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for FrameBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_holder_is_gone() {
        let pool = FramePool::new(1, 16);
        let first = pool.copy(b"abc").expect("a free buffer");
        let second = first.clone();
        assert!(pool.copy(b"x").is_none(), "the only buffer is in use");
        drop(first);
        assert!(pool.copy(b"x").is_none(), "a holder is left");
        assert_eq!(&*second, b"abc");
        drop(second);
        assert_eq!(&*pool.copy(b"x").expect("the buffer is back"), b"x");
    }

    #[test]
    fn only_as_many_buffers_take_memory_as_are_in_use_at_once() {
        let pool = FramePool::new(100, 64);
        for _ in 0..1000 {
            let _in_use: Vec<_> = (0..10).map(|_| pool.copy(&[0; 64]).expect("a free buffer")).collect();
        }
        let free: Vec<_> = std::iter::from_fn(|| pool.home.take()).collect();
        let grown = free.iter().filter(|slot| slot.bytes.capacity() > 0).count();
        assert!(free.len() == 100 && (10..=12).contains(&grown), "{grown} of {}", free.len());
    }

    #[test]
    fn a_failed_fill_keeps_the_buffer_in_the_pool() {
        let pool = FramePool::new(1, 16);
        assert!(pool.try_fill(|_| Err("unreadable")).is_err());
        assert!(pool.copy(b"x").is_some());
    }

    #[test]
    fn many_threads_lose_no_buffer() {
        let pool = FramePool::new(4, 16);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..5_000_u32 {
                        if let Some(bytes) = pool.copy(&n.to_le_bytes()) {
                            let other = bytes.clone();
                            let read = std::thread::scope(|_| other.to_vec());
                            assert_eq!(read, n.to_le_bytes());
                        }
                    }
                });
            }
        });
        let all: Vec<_> = std::iter::from_fn(|| pool.copy(b"x")).collect();
        assert_eq!(all.len(), 4);
    }
}
