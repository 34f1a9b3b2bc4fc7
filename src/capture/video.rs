//! Video files, through OpenCV. Beside a video that `vultus export` made stands when each of its pictures was taken.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use opencv::core::{Mat, MatTraitConst, MatTraitConstManual};
use opencv::videoio::{self, VideoCapture, VideoCaptureTrait, VideoCaptureTraitConst};

use super::times::{self, Row};
use super::{CaptureError, Event, Source, Stream};
use crate::frame::{CameraId, Frame, FramePool, PixelFormat, StampKind};
use crate::record::file_name;
use crate::time::Timestamp;

/// Endings of files that are taken for videos.
const VIDEOS: [&str; 7] = ["mkv", "mp4", "avi", "mov", "webm", "m4v", "mpg"];

/// Whether the file's ending is that of a video.
#[must_use]
pub fn is_video(file: &Path) -> bool {
    super::has_ending(file, &VIDEOS)
}

/// When the pictures of a video were taken, by the table `NAME.timestamps.csv` beside it. `None` if there is none, or
/// another program's.
///
/// # Errors
/// [`CaptureError::Read`] and [`CaptureError::Invalid`].
pub(super) fn times_beside(video: &Path) -> Result<Option<Times>, CaptureError> {
    let path = video.with_extension("timestamps.csv");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CaptureError::Read { path, source }),
    };
    let header = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let is_ours = String::from_utf8_lossy(header).split(',').any(|column| column.trim() == "time_ns");
    let rows = if is_ours { times::rows(&text, &path)? } else { Vec::new() };
    Ok((!rows.is_empty()).then_some(Times { path, rows, next: 0 }))
}

/// When the pictures of a video were taken.
pub(super) struct Times {
    path: PathBuf,
    /// In the order of the video.
    rows: Vec<Row>,
    /// That of the next picture, if none is left out.
    next: usize,
}

impl Times {
    /// The first frame's arrival.
    pub(super) fn starts_at(&self) -> Timestamp {
        self.rows.first().map(|row| Timestamp::from_ns(row.received_ns)).unwrap_or_default()
    }

    /// The row of the next picture, which stands `time_ns` after the first one in the video. Found by time, as OpenCV
    /// passes over pictures that it cannot decode.
    fn of(&mut self, time_ns: i64, period: Duration) -> Option<Row> {
        let first_ns = self.rows.first()?.time_ns?;
        let off = |row: &Row| (row.time_ns.unwrap_or_default() - first_ns).abs_diff(time_ns);
        while self.rows.get(self.next + 1).is_some_and(|later| off(later) < off(&self.rows[self.next])) {
            self.next += 1;
        }
        let row = self.rows.get(self.next).copied().filter(|row| u128::from(off(row)) < period.as_nanos() / 2)?;
        self.next += 1;
        Some(row)
    }
}

/// The frames of one video file. Without a table of times they count from its beginning.
pub struct VideoSource {
    stream: Stream,
    path: PathBuf,
    capture: VideoCapture,
    picture: Mat,
    times: Option<Times>,
    seq: u64,
    last_ns: Option<i64>,
    /// What the container says; 0 if it does not.
    frames: u64,
    is_over: bool,
}

impl VideoSource {
    /// Opens `path`; the view is named after the file. `times` are those of [`times_beside`], if they are to be used.
    ///
    /// # Errors
    /// [`CaptureError::Invalid`] when OpenCV cannot read it.
    pub(super) fn open(path: &Path, camera: CameraId, times: Option<Times>) -> Result<Self, CaptureError> {
        let invalid = |reason: String| CaptureError::Invalid { path: path.to_owned(), reason };
        if !path.is_file() {
            return Err(invalid("there is no such file".to_owned()));
        }
        let open = || -> opencv::Result<(VideoCapture, [f64; 4])> {
            let capture = VideoCapture::from_file(path, videoio::CAP_ANY)?;
            let of = |property| capture.get(property);
            let (width, height) = (of(videoio::CAP_PROP_FRAME_WIDTH)?, of(videoio::CAP_PROP_FRAME_HEIGHT)?);
            let properties = [of(videoio::CAP_PROP_FPS)?, width, height, of(videoio::CAP_PROP_FRAME_COUNT)?];
            Ok((capture, properties))
        };
        let (capture, [fps, width, height, frames]) = open().map_err(|error| invalid(error.to_string()))?;
        if width < 1.0 || height < 1.0 {
            return Err(invalid("OpenCV cannot read this file as a video".to_owned()));
        }
        let fps = if fps.is_finite() && fps > 0.0 { fps } else { 30.0 };
        let name: Arc<str> = path.file_stem().unwrap_or_default().to_string_lossy().into();
        let stream = Stream {
            camera,
            name,
            description: format!("{}, {width}x{height}, {fps:.2} fps", file_name(path)),
            period: Duration::from_secs_f64(1.0 / fps),
            stamp: StampKind::Device,
            frame_bytes: (width * height * 3.0) as usize,
        };
        Ok(Self {
            stream,
            path: path.to_owned(),
            capture,
            picture: Mat::default(),
            times,
            seq: 0,
            last_ns: None,
            frames: frames.max(0.0) as u64,
            is_over: false,
        })
    }

    /// When it ends, if the container or the table of times says so.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        if let Some(times) = &self.times {
            return times.rows.last().map(|row| Timestamp::from_ns(row.received_ns) + self.stream.period);
        }
        (self.frames > 0).then(|| Timestamp::default() + self.stream.period.mul_f64(self.frames as f64))
    }

    /// How many frames there would be up to the last one if none had been dropped. Of many containers OpenCV's count is
    /// just that: the length times the rate.
    fn reached(&self) -> u64 {
        let intervals = |last_ns: i64| (last_ns as f64 / self.stream.period.as_nanos() as f64).round() as u64;
        self.last_ns.map_or(0, |last_ns| self.seq.max(intervals(last_ns) + 1))
    }

    /// Reads the next picture; its time in nanoseconds, or `None` at the end.
    fn read(&mut self) -> opencv::Result<Option<i64>> {
        if !self.capture.read(&mut self.picture)? || self.picture.empty() {
            return Ok(None);
        }
        let stamp_ns = (self.capture.get(videoio::CAP_PROP_POS_MSEC)? * 1e6) as i64;
        // Some containers have no times; then the rate gives them.
        let nominal = self.last_ns.map_or(0, |last| last + self.stream.period.as_nanos() as i64);
        let goes_on = self.last_ns.is_none_or(|last| stamp_ns > last);
        Ok(Some(if goes_on { stamp_ns } else { nominal }))
    }
}

impl Source for VideoSource {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn next(&mut self, pool: &FramePool) -> Result<Event, CaptureError> {
        if self.is_over {
            return Ok(Event::End);
        }
        let time_ns = match self.read() {
            Ok(Some(time_ns)) => time_ns,
            Ok(None) if self.reached() < self.frames => {
                self.is_over = true;
                let (path, seq, frames) = (self.path.display(), self.seq, self.frames);
                return Ok(Event::Corrupt(format!("{path} cannot be read beyond frame {seq} of {frames}")));
            }
            Ok(None) => return Ok(Event::End),
            Err(error) => {
                self.is_over = true;
                return Ok(Event::Corrupt(format!("{} at frame {}: {error}", self.path.display(), self.seq)));
            }
        };
        self.last_ns = Some(time_ns);
        let number = self.seq;
        self.seq += 1;
        let (seq, captured_at, received_at) = match &mut self.times {
            None => (number, Timestamp::from_ns(time_ns), Timestamp::from_ns(time_ns)),
            Some(times) => match times.of(time_ns, self.stream.period) {
                Some(row) => (row.seq, Timestamp::from_ns(row.captured_ns), Timestamp::from_ns(row.received_ns)),
                None => {
                    let (path, table) = (self.path.display(), times.path.display());
                    let told = format!("{path}: frame {number} is not in {table}; is that of another video? Remove it");
                    return Ok(Event::Corrupt(told));
                }
            },
        };
        let (width, height) = (self.picture.cols() as u32, self.picture.rows() as u32);
        let pixels = match self.picture.data_bytes() {
            Ok(pixels) => pixels,
            Err(error) => return Ok(Event::Corrupt(format!("{} at frame {number}: {error}", self.path.display()))),
        };
        let Some(bytes) = pool.copy(pixels) else { return Ok(Event::NoBuffer) };
        Ok(Event::Frame(Frame {
            camera: self.stream.camera,
            seq,
            captured_at,
            received_at,
            stamp: self.stream.stamp,
            format: PixelFormat::Bgr,
            width,
            height,
            bytes,
            file: None,
        }))
    }

    fn reopen(&mut self) -> Result<(), CaptureError> {
        let times = self.times.take().map(|times| Times { next: 0, ..times });
        *self = Self::open(&self.path, self.stream.camera, times)?;
        Ok(())
    }
}
