//! The thread that reads one device.
//!
//! nokhwa waits for a frame without a time limit, so a stalled device holds its caller for ever. Hence this thread: it
//! does nothing but open the device, wait for frames and hand them over, and it can be left behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use crossbeam_queue::ArrayQueue;
use crossbeam_utils::sync::{Parker, Unparker};
use nokhwa::utils::{CameraFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType};
use nokhwa::{Camera, NokhwaError};

use crate::capture::devices::{self, Device, Mode};
use crate::config::Capture;
use crate::frame::StampKind;
use crate::time::{Timestamp, monotonic_now};

/// How long a device may take to open. USB cameras take up to two seconds when they wake up.
const OPENING: Duration = Duration::from_secs(5);
/// Frames between the thread and its reader, who is expected to wait for them.
const HANDED_OVER: usize = 4;
/// Modes to try when a device refuses those that it has listed.
const ATTEMPTS: usize = 3;
/// An older stamp is a driver's mistake.
const OLDEST: Duration = Duration::from_secs(10);

/// A picture as it comes from the device.
pub(super) struct Picture {
    /// Counts what the device delivered.
    pub number: u64,
    pub buffer: nokhwa::Buffer,
    pub captured_at: Timestamp,
    pub received_at: Timestamp,
    pub stamp: StampKind,
}

/// What the thread and its reader share.
struct Shared {
    pictures: ArrayQueue<Picture>,
    opened: OnceLock<Mode>,
    /// Why the thread ended; the device is closed then.
    closed: OnceLock<String>,
    stop: AtomicBool,
}

/// The reader's hold on the thread.
pub(super) struct DeviceThread {
    shared: Arc<Shared>,
    handle: JoinHandle<()>,
    parker: Parker,
}

impl DeviceThread {
    /// Starts the thread and waits until it has opened `device`; says in which mode, or why not.
    pub(super) fn start(device: &Device, name: &str, asked: Capture) -> Result<(Self, Mode), String> {
        let number = device.number;
        let mut modes = devices::ranked(&device.modes, &asked);
        modes.truncate(ATTEMPTS);
        let parker = Parker::new();
        let shared = Arc::new(Shared {
            pictures: ArrayQueue::new(HANDED_OVER),
            opened: OnceLock::new(),
            closed: OnceLock::new(),
            stop: AtomicBool::new(false),
        });
        let (theirs, reader) = (shared.clone(), parker.unparker().clone());
        let thread = thread::Builder::new().name(format!("device {name}")).spawn(move || {
            let result = deliver(number, &modes, &theirs, &reader);
            // Only now is the device closed.
            let reason = result.map_or_else(|error| devices::explained(&error), |()| "it was closed".to_owned());
            let _ = theirs.closed.set(reason);
            reader.unpark();
        });
        let handle = thread.map_err(|error| format!("no thread can be started for it: {error}"))?;
        let started = Self { shared, handle, parker };
        let mode = started.opened()?;
        Ok((started, mode))
    }

    fn opened(&self) -> Result<Mode, String> {
        let deadline = monotonic_now() + OPENING;
        loop {
            if let Some(mode) = self.shared.opened.get() {
                return Ok(*mode);
            }
            if let Some(reason) = self.ended() {
                return Err(reason);
            }
            if !self.wait(deadline) {
                return Err("it does not answer; unplug it and plug it in again".to_owned());
            }
        }
    }

    /// The next picture, if there is one.
    pub(super) fn pop(&self) -> Option<Picture> {
        self.shared.pictures.pop()
    }

    /// Waits for news from the thread; false when `deadline` has passed.
    pub(super) fn wait(&self, deadline: Timestamp) -> bool {
        let left = deadline.since(monotonic_now());
        if !left.is_zero() {
            self.parker.park_timeout(left);
        }
        !left.is_zero()
    }

    /// Why the thread ended, if it has.
    pub(super) fn ended(&self) -> Option<String> {
        let finished = self.handle.is_finished();
        let panicked = || finished.then(|| "its driver failed; unplug it and plug it in again".to_owned());
        self.shared.closed.get().cloned().or_else(panicked)
    }

    /// Has the device closed; false when its thread does not come back within `patience`.
    pub(super) fn stop(&self, patience: Duration) -> bool {
        self.shared.stop.store(true, Ordering::Release);
        let deadline = monotonic_now() + patience;
        while self.ended().is_none() {
            if !self.wait(deadline) {
                return false;
            }
        }
        true
    }
}

impl Drop for DeviceThread {
    /// The thread sees it at its next frame. It is not joined: of a stalled device there is no next frame.
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
    }
}

/// The thread: opens the device and hands its frames over until it is told to stop or the device fails.
fn deliver(number: u32, modes: &[Mode], shared: &Shared, reader: &Unparker) -> Result<(), NokhwaError> {
    let (mut camera, mode) = open_first(number, modes)?;
    camera.open_stream()?;
    let _ = shared.opened.set(mode);
    reader.unpark();
    let mut count = 0;
    while !shared.stop.load(Ordering::Acquire) {
        let buffer = camera.frame()?;
        let (received_at, wall_clock) = (monotonic_now(), SystemTime::now());
        let (captured_at, stamp) = captured(buffer.capture_timestamp(), wall_clock, received_at);
        // A reader that has fallen behind loses the oldest: `number` shows the gap.
        shared.pictures.force_push(Picture { number: count, buffer, captured_at, received_at, stamp });
        reader.unpark();
        count += 1;
    }
    Ok(())
}

/// Opens a camera in the first of `modes` that it takes; if it takes none, says why it refused the best.
fn open_first(number: u32, modes: &[Mode]) -> Result<(Camera, Mode), NokhwaError> {
    let mut refused = None;
    for mode in modes {
        #[cfg(target_os = "linux")]
        let _ = devices::v4l2::set(number, mode);
        match Camera::new(CameraIndex::Index(number), exactly(mode)) {
            Ok(camera) => return Ok((camera, *mode)),
            Err(error @ (NokhwaError::GetPropertyError { .. } | NokhwaError::SetPropertyError { .. })) => {
                refused.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or_else(|| NokhwaError::GeneralError("it has no modes".to_owned())))
}

fn exactly(mode: &Mode) -> RequestedFormat<'static> {
    let known = devices::FORMATS.iter().find(|(_, ours)| *ours == mode.format);
    let format = known.map_or(FrameFormat::MJPEG, |(theirs, _)| *theirs);
    let wanted = CameraFormat::new_from(mode.width, mode.height, format, mode.fps);
    RequestedFormat::with_formats(RequestedFormatType::Exact(wanted), nokhwa::utils::frame_formats())
}

/// When a picture was taken. nokhwa gives the driver's monotonic stamp as wall-clock time, which may jump: it is
/// turned back at once, by its age. A stamp from the future, or from long ago, is not believed.
fn captured(stamp: Option<Duration>, wall_clock: SystemTime, received_at: Timestamp) -> (Timestamp, StampKind) {
    let age = stamp.and_then(|stamp| wall_clock.duration_since(SystemTime::UNIX_EPOCH + stamp).ok());
    match age.filter(|age| *age <= OLDEST) {
        Some(age) => (Timestamp::from_ns(received_at.ns() - age.as_nanos() as i64), StampKind::Device),
        None => (received_at, StampKind::Arrival),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_turned_back_by_its_age() {
        let (now, received_at) = (Duration::from_secs(1_700_000_000), Timestamp::from_ns(50_000_000_000));
        let wall_clock = SystemTime::UNIX_EPOCH + now;
        let of = |stamp: Option<Duration>| captured(stamp, wall_clock, received_at);
        let ago = |ms: u64| Some(now - Duration::from_millis(ms));
        assert_eq!(of(ago(40)), (Timestamp::from_ns(49_960_000_000), StampKind::Device));
        assert_eq!(of(ago(10_001)), (received_at, StampKind::Arrival), "too old");
        assert_eq!(of(Some(now + Duration::from_millis(1))), (received_at, StampKind::Arrival), "from the future");
        assert_eq!(of(Some(Duration::from_secs(5))), (received_at, StampKind::Arrival), "no wall clock at all");
        assert_eq!(of(None), (received_at, StampKind::Arrival));
    }
}
