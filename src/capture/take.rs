//! The frames of a take that vultus recorded.

use std::sync::Arc;

use super::{CaptureError, Event, Source, Stream};
use crate::frame::{CameraId, Frame, FramePool, PixelFormat};
use crate::record::{Take, TakeFile, file_name};
use crate::time::Timestamp;

/// Buffers larger than this are not made beforehand.
const LARGEST_BUFFER: u64 = 4 << 20;

/// One camera of a take.
pub struct TakeSource {
    take: Arc<Take>,
    stream: Stream,
    file: TakeFile,
    /// The place of the next frame.
    at: usize,
}

/// Opens the cameras of a take, also those that have no frames in it.
///
/// # Errors
/// When the take has no pictures, or its file cannot be opened again.
pub fn open(take: &Arc<Take>) -> Result<Vec<TakeSource>, CaptureError> {
    take.check_pictures("replay")?;
    if take.views.is_empty() {
        return Err(CaptureError::NoCameras { path: take.path.clone() });
    }
    super::check_names(take.views.iter().map(|view| &*view.camera.name))?;
    if take.starts_at().is_none() {
        let reason = "there is not one frame in it".to_owned();
        return Err(CaptureError::Invalid { path: take.path.clone(), reason });
    }
    (0..take.views.len()).map(|n| TakeSource::open(take.clone(), n)).collect()
}

impl TakeSource {
    fn open(take: Arc<Take>, n: usize) -> Result<Self, CaptureError> {
        let view = &take.views[n];
        let largest = view.frames.iter().filter_map(|frame| frame.picture).map(|place| place.bytes).max();
        let stream = Stream {
            camera: CameraId(n as u8),
            name: view.camera.name.clone(),
            description: format!("{} ({})", view.camera.description, file_name(&take.path)),
            period: view.camera.period,
            stamp: view.camera.stamp,
            frame_bytes: largest.unwrap_or(0).min(LARGEST_BUFFER) as usize,
        };
        Ok(Self { file: TakeFile::open(&take.path)?, take, stream, at: 0 })
    }
}

impl Source for TakeSource {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn next(&mut self, pool: &FramePool) -> Result<Event, CaptureError> {
        let view = &self.take.views[self.stream.camera.index()];
        let Some((taken, received_at)) = view.frames.get(self.at).zip(view.plays_at(self.at)) else {
            return Ok(Event::End);
        };
        self.at += 1;
        let Some(place) = taken.picture else { return Ok(Event::Corrupt(format!("frame {}: no picture", taken.seq))) };
        let picture = match self.file.picture(place) {
            Ok(picture) => picture,
            Err(error) => return Ok(Event::Corrupt(format!("frame {}: {error}", taken.seq))),
        };
        let Some(bytes) = pool.copy(&picture) else { return Ok(Event::NoBuffer) };
        Ok(Event::Frame(Frame {
            camera: self.stream.camera,
            seq: taken.seq,
            captured_at: taken.captured_at,
            received_at,
            stamp: self.stream.stamp,
            format: PixelFormat::Mjpeg,
            width: 0,
            height: 0,
            bytes,
            file: None,
        }))
    }

    fn skip_until(&mut self, at: Timestamp) {
        let view = &self.take.views[self.stream.camera.index()];
        while view.plays_at(self.at).is_some_and(|plays_at| plays_at < at) {
            self.at += 1;
        }
    }

    fn reopen(&mut self) -> Result<(), CaptureError> {
        self.at = 0;
        Ok(())
    }
}
