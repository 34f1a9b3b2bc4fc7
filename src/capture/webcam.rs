//! Live cameras, through nokhwa.
//!
//! A device is read by a thread of its own (`device`); a [`Webcam`] is that thread's reader, and waits no longer
//! than it wants.

mod device;

use std::sync::Arc;
use std::time::Duration;

use device::{DeviceThread, Picture};

use super::devices::{self, Device, Mode};
use super::{CaptureError, Event, Source, Stream, check_names};
use crate::config;
use crate::frame::{CameraId, Frame, FramePool, MAX_CAMERAS, PixelFormat, StampKind};
use crate::image::decode::{DecodeError, jpeg_picture, raw_picture};
use crate::time::{Timestamp, monotonic_now};

/// Opens `cameras`, or all that are attached and can be opened if it is empty.
///
/// # Errors
/// [`CaptureError::NoCamera`], or why a camera cannot be found or opened.
pub fn open_all(cameras: &[config::Camera], asked: config::Capture) -> Result<Vec<Webcam>, CaptureError> {
    let attached = devices::attached()?;
    if cameras.is_empty() {
        return open_any(&attached, asked);
    }
    let mut wanted: Vec<(&Device, Arc<str>)> = Vec::new();
    for (n, camera) in cameras.iter().enumerate() {
        let device = devices::find(&attached, &camera.id)?;
        if wanted.iter().any(|(other, _)| other.id == device.id) {
            return Err(CaptureError::SameCamera { id: camera.id.clone() });
        }
        wanted.push((device, camera.name.as_deref().map_or_else(|| default_name(n), Arc::from)));
    }
    check_names(wanted.iter().map(|(_, name)| &**name))?;
    let open = |(n, (device, name))| Webcam::open(device, CameraId(n as u8), name, asked);
    let mut webcams = wanted.into_iter().enumerate().map(open).collect::<Result<Vec<_>, _>>()?;
    webcams.iter_mut().for_each(Webcam::learn_stamp);
    Ok(webcams)
}

fn open_any(attached: &[Device], asked: config::Capture) -> Result<Vec<Webcam>, CaptureError> {
    let mut webcams = Vec::new();
    let mut failed = None;
    for device in attached {
        let n = webcams.len();
        if n == MAX_CAMERAS {
            tracing::warn!("{} cameras are attached; the first {n} are used", attached.len());
            break;
        }
        match Webcam::open(device, CameraId(n as u8), default_name(n), asked) {
            Ok(webcam) => webcams.push(webcam),
            Err(error) => {
                tracing::warn!("left out: {error}");
                failed = Some(error);
            }
        }
    }
    webcams.iter_mut().for_each(Webcam::learn_stamp);
    if webcams.is_empty() { Err(failed.unwrap_or(CaptureError::NoCamera)) } else { Ok(webcams) }
}

fn default_name(n: usize) -> Arc<str> {
    format!("cam{n}").into()
}

/// How long the first picture is waited for.
const FIRST_PICTURE: Duration = Duration::from_secs(2);
/// A camera that delivers nothing useful for so long is closed and opened again.
const HOPELESS: Duration = Duration::from_secs(4);

/// A live camera.
pub struct Webcam {
    stream: Stream,
    /// The device's stable id: its path may change while it is unplugged.
    id: String,
    asked: config::Capture,
    mode: Mode,
    device: DeviceThread,
    /// The next frame's.
    seq: u64,
    /// What the device's own count, which begins anew when it is opened again, lacks to `seq`.
    ahead: Option<u64>,
    /// When it delivered something that could be used, or was opened.
    useful_at: Timestamp,
}

impl Webcam {
    /// Opens `device` in the mode nearest to `asked`. It delivers at once, so that its exposure has settled when
    /// the first frame is wanted.
    ///
    /// # Errors
    /// [`CaptureError::Open`]: why, and what to do.
    pub fn open(
        device: &Device,
        camera: CameraId,
        name: Arc<str>,
        asked: config::Capture,
    ) -> Result<Self, CaptureError> {
        let (thread, mode) = start(device, &name, asked)?;
        let stream = stream(device, mode, camera, name);
        Ok(Self {
            stream,
            id: device.id.clone(),
            asked,
            mode,
            device: thread,
            seq: 0,
            ahead: None,
            useful_at: monotonic_now(),
        })
    }

    /// How long a camera may be silent before it is said to have stalled.
    fn patience(&self) -> Duration {
        (self.stream.period * 3).clamp(Duration::from_millis(500), Duration::from_secs(1))
    }

    /// What its stamps rest on: as its first picture says, which is then let go.
    fn learn_stamp(&mut self) {
        let deadline = monotonic_now() + FIRST_PICTURE;
        while monotonic_now() < deadline && self.device.ended().is_none() {
            if let Some(picture) = self.device.pop() {
                self.stream.stamp = picture.stamp;
                return;
            }
            self.device.wait(deadline);
        }
    }

    /// The event, or the camera given up, if it has delivered nothing useful for long.
    fn unless_hopeless(&mut self, event: Event) -> Result<Event, CaptureError> {
        let now = monotonic_now();
        match event {
            Event::Stalled | Event::Corrupt(_) if now.since(self.useful_at) > HOPELESS => {
                let reason = format!("nothing useful came from it for {} s", HOPELESS.as_secs());
                Err(CaptureError::Lost { camera: self.stream.name.to_string(), reason })
            }
            Event::Stalled | Event::Corrupt(_) => Ok(event),
            _ => {
                self.useful_at = now;
                Ok(event)
            }
        }
    }

    fn event(&mut self, picture: &Picture, pool: &FramePool) -> Event {
        let seq = picture.number.wrapping_add(*self.ahead.get_or_insert(self.seq.wrapping_sub(picture.number)));
        self.seq = seq + 1;
        let mode = self.mode;
        let bytes = match picture_of(picture.buffer.buffer(), &mode) {
            Ok(bytes) => bytes,
            Err(error) => return Event::Corrupt(format!("frame {seq}: {error}")),
        };
        let Some(bytes) = pool.copy(bytes) else { return Event::NoBuffer };
        Event::Frame(Frame {
            camera: self.stream.camera,
            seq,
            captured_at: picture.captured_at,
            received_at: picture.received_at,
            stamp: picture.stamp,
            format: mode.format,
            width: mode.width,
            height: mode.height,
            bytes,
            file: None,
        })
    }

    fn cannot_open(&self, reason: String) -> CaptureError {
        CaptureError::Open { camera: self.stream.name.to_string(), reason }
    }
}

fn start(device: &Device, name: &str, asked: config::Capture) -> Result<(DeviceThread, Mode), CaptureError> {
    let started = match &device.error {
        Some(reason) => Err(reason.clone()),
        None => DeviceThread::start(device, name, asked),
    };
    let with_path = |reason| format!("{}: {reason}", device.path);
    started.map_err(|reason| CaptureError::Open { camera: name.to_owned(), reason: with_path(reason) })
}

fn stream(device: &Device, mode: Mode, camera: CameraId, name: Arc<str>) -> Stream {
    // A JPEG can be twice as large as is usual.
    let frame_bytes = mode.frame_bytes() * if mode.format == PixelFormat::Mjpeg { 2 } else { 1 };
    let description = format!("{} ({}), {mode}", device.name, device.path);
    Stream { camera, name, description, period: mode.period(), stamp: StampKind::Device, frame_bytes }
}

impl Source for Webcam {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn next(&mut self, pool: &FramePool) -> Result<Event, CaptureError> {
        let deadline = monotonic_now() + self.patience();
        loop {
            // In this order: what was handed over before the end is still delivered.
            let ended = self.device.ended();
            if let Some(picture) = self.device.pop() {
                let event = self.event(&picture, pool);
                return self.unless_hopeless(event);
            }
            if let Some(reason) = ended {
                return Err(CaptureError::Lost { camera: self.stream.name.to_string(), reason });
            }
            if !self.device.wait(deadline) {
                return self.unless_hopeless(Event::Stalled);
            }
        }
    }

    fn reopen(&mut self) -> Result<(), CaptureError> {
        // nokhwa would hand out a device again that is still open: the old one has to be closed first.
        if !self.device.stop(self.patience()) {
            let reason = "its driver does not answer and cannot be closed; unplug the camera and plug it in again";
            return Err(self.cannot_open(reason.to_owned()));
        }
        let Some(device) = devices::find_again(&self.id)? else {
            return Err(self.cannot_open("it is not attached; plug it in".to_owned()));
        };
        (self.device, self.mode) = start(&device, &self.stream.name, self.asked)?;
        self.stream = stream(&device, self.mode, self.stream.camera, self.stream.name.clone());
        self.ahead = None;
        self.useful_at = monotonic_now();
        Ok(())
    }
}

/// The picture in a device's buffer, which may be longer.
fn picture_of<'a>(buffer: &'a [u8], mode: &Mode) -> Result<&'a [u8], DecodeError> {
    if mode.format == PixelFormat::Mjpeg {
        return jpeg_picture(buffer);
    }
    raw_picture(buffer, mode.format, mode.width, mode.height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_picture_is_cut_to_its_size_and_a_short_one_refused() {
        let mode = Mode { format: PixelFormat::Yuyv, width: 4, height: 2, fps: 30 };
        assert_eq!(picture_of(&[7; 100], &mode).expect("long enough").len(), 16);
        assert!(matches!(picture_of(&[7; 15], &mode), Err(DecodeError::Size { needed: 16, found: 15, .. })));
        assert!(matches!(picture_of(&[], &mode), Err(DecodeError::Size { .. })));
    }

    #[test]
    fn a_jpeg_picture_without_an_end_is_refused() {
        let mode = Mode { format: PixelFormat::Mjpeg, width: 4, height: 2, fps: 30 };
        let whole = [0xff, 0xd8, 0xff, 0xda, 0, 2, 1, 2, 3, 0xff, 0xd9, 0, 0];
        assert_eq!(picture_of(&whole, &mode).expect("whole").len(), 11);
        assert!(matches!(picture_of(&whole[..9], &mode), Err(DecodeError::Truncated)));
        assert!(matches!(picture_of(&[], &mode), Err(DecodeError::Empty)));
    }
}
