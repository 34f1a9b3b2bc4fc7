//! What a measurement looks at: a recording held in memory, played to and fro at any rate to any number of cameras.

use std::sync::Arc;
use std::time::Duration;

use image::RgbImage;
use image::imageops::{FilterType, resize};

use super::BenchError;
use crate::capture::recording::Recording;
use crate::capture::{CaptureError, Event, Source, Stream};
use crate::frame::{CameraId, Frame, FramePool, PixelFormat};
use crate::image::Image;
use crate::image::decode::{DecodeError, Decoder};
use crate::image::encode::JpegEncoder;
use crate::time::Timestamp;

/// No more of a recording than this is held in memory, ...
const MOST: Duration = Duration::from_secs(10);
/// ... and no more of a camera than so many bytes, which is less of raw pictures.
const MOST_BYTES: usize = 500_000_000;
/// Of pictures that are made another size. High, because what is enlarged is smooth: so pictures are as large as those
/// of webcams, which have noise.
const QUALITY: i32 = 98;

/// A recording in memory.
pub struct Input {
    cameras: Vec<Camera>,
    /// Nominal time between two frames, that of the slowest camera.
    period: Duration,
    /// When the first frame of all was taken.
    begins_at: Timestamp,
}

/// The frames of one camera.
struct Camera {
    stream: Stream,
    frames: Arc<[Kept]>,
}

/// A frame.
#[derive(Clone)]
struct Kept {
    captured_at: Timestamp,
    /// How long it was on its way.
    on_its_way: Duration,
    format: PixelFormat,
    width: u32,
    height: u32,
    bytes: Arc<[u8]>,
}

impl Input {
    /// The first seconds of `recording`, its pictures made to `size` (JPEG) if that is given and they are another.
    /// `on_frame` is told of every frame.
    ///
    /// # Errors
    /// [`BenchError::Stills`], [`BenchError::NoFrames`], and those of reading it.
    pub fn read(
        recording: Recording,
        size: Option<(u32, u32)>,
        mut on_frame: impl FnMut(),
    ) -> Result<Self, BenchError> {
        if recording.stills {
            return Err(BenchError::Stills);
        }
        let mut cameras = Vec::new();
        for source in recording.clipped(Duration::ZERO, Some(MOST))?.sources {
            cameras.push(Camera::read(source, size, &mut on_frame)?);
        }
        let name = |camera: &Camera| camera.stream.name.to_string();
        if let Some(camera) = cameras.iter().find(|camera| camera.stream.period.is_zero()) {
            return Err(BenchError::NoRate { camera: name(camera) });
        }
        let period = cameras.iter().map(|camera| camera.stream.period).max().ok_or(CaptureError::NoCamera)?;
        // All end with the first that ends: or that one would be silent for the rest of each way.
        let times = |of: fn(&[Kept]) -> Option<&Kept>| {
            cameras.iter().filter_map(move |camera| of(&camera.frames)).map(|frame| frame.captured_at)
        };
        let begins_at = times(<[Kept]>::first).min().unwrap_or_default();
        let ends_at = times(<[Kept]>::last).min().unwrap_or_default() + period / 2;
        for camera in &mut cameras {
            let kept = camera.frames.iter().filter(|frame| frame.captured_at <= ends_at).cloned().collect();
            camera.frames = kept;
            if camera.frames.is_empty() {
                return Err(BenchError::NoFrames { camera: name(camera) });
            }
        }
        Ok(Self { begins_at, period, cameras })
    }

    /// The first camera alone: so that however many are played, each costs the same.
    #[must_use]
    pub fn of_first_camera(mut self) -> Self {
        self.cameras.truncate(1);
        self
    }

    /// How many cameras it was recorded with.
    #[must_use]
    pub fn cameras(&self) -> usize {
        self.cameras.len()
    }

    /// Frames a second as it was recorded, of the slowest camera.
    #[must_use]
    pub fn fps(&self) -> f64 {
        1.0 / self.period.as_secs_f64()
    }

    /// Width and height of the first camera's pictures.
    #[must_use]
    pub fn size(&self) -> [u32; 2] {
        self.cameras
            .first()
            .and_then(|camera| camera.frames.first())
            .map_or([0; 2], |frame| [frame.width, frame.height])
    }

    /// How much of the recording is held.
    #[must_use]
    pub fn length(&self) -> Duration {
        let last = self.cameras.iter().filter_map(|camera| camera.frames.last()).map(|frame| frame.captured_at).max();
        last.unwrap_or_default().since(self.begins_at)
    }

    /// So many cameras that deliver frames without end, the slowest `fps` a second; if they are more than there were,
    /// several see the same. Forward and back in turn, so that nobody in the picture jumps.
    #[must_use]
    pub fn play(&self, cameras: usize, fps: f64) -> Vec<Box<dyn Source>> {
        let stretch = self.fps() / fps;
        // The last frame of the camera that runs longest also lasts a period.
        let longest = self.cameras.iter().map(Camera::span).max().unwrap_or_default();
        let one_way = (longest + self.period).mul_f64(stretch);
        let source = |n: usize| {
            let camera = &self.cameras[n % self.cameras.len()];
            let name = match n / self.cameras.len() {
                0 => camera.stream.name.clone(),
                again => format!("{}-{}", camera.stream.name, again + 1).into(),
            };
            let period = camera.stream.period.mul_f64(stretch);
            let stream = Stream { camera: CameraId(n as u8), name, period, ..camera.stream.clone() };
            let place = |frame: &Kept| frame.captured_at.since(self.begins_at).mul_f64(stretch);
            let places = camera.frames.iter().map(place).collect();
            let frames = camera.frames.clone();
            Box::new(ToAndFro { stream, frames, places, one_way, stretch, seq: 0 }) as Box<dyn Source>
        };
        (0..cameras).map(source).collect()
    }

    /// The first frame of every camera.
    #[must_use]
    pub fn pictures(&self) -> Vec<Frame> {
        self.cameras.iter().flat_map(|camera| &camera.frames[..1]).map(Kept::frame).collect()
    }

    /// The first frames of the first camera.
    #[must_use]
    pub fn film(&self, frames: usize) -> Vec<Frame> {
        let of_first = self.cameras.first().map_or(&[][..], |camera| &camera.frames);
        of_first.iter().take(frames).map(Kept::frame).collect()
    }
}

impl Camera {
    /// From its first frame to its last.
    fn span(&self) -> Duration {
        let time = |frame: Option<&Kept>| frame.map_or_else(Timestamp::default, |frame| frame.captured_at);
        time(self.frames.last()).since(time(self.frames.first()))
    }

    fn read(
        mut source: Box<dyn Source>,
        size: Option<(u32, u32)>,
        on_frame: &mut impl FnMut(),
    ) -> Result<Self, BenchError> {
        let mut stream = source.stream().clone();
        let pool = FramePool::new(1, stream.frame_bytes);
        let mut resizer = Resizer::new()?;
        let (mut frames, mut bytes) = (Vec::new(), 0);
        while bytes < MOST_BYTES {
            let frame = match source.next(&pool)? {
                Event::Frame(frame) => frame,
                Event::End => break,
                Event::Corrupt(_) | Event::NoBuffer | Event::Stalled => continue,
            };
            on_frame();
            // A damaged picture is left out: it would be a corrupt one of a run.
            if let Ok(kept) = resizer.step(&frame, size) {
                bytes += kept.bytes.len();
                frames.push(kept);
            }
        }
        if frames.is_empty() {
            return Err(BenchError::NoFrames { camera: stream.name.to_string() });
        }
        stream.frame_bytes = frames.iter().map(|frame: &Kept| frame.bytes.len()).max().unwrap_or_default();
        Ok(Self { stream, frames: frames.into() })
    }
}

impl Kept {
    fn frame(&self) -> Frame {
        let bytes = self.bytes.to_vec();
        Frame {
            captured_at: self.captured_at,
            received_at: self.captured_at + self.on_its_way,
            ..Frame::of_bytes(self.format, self.width, self.height, bytes)
        }
    }
}

/// Makes pictures another size.
struct Resizer {
    decoder: Decoder,
    encoder: JpegEncoder,
    picture: Image,
}

impl Resizer {
    fn new() -> Result<Self, BenchError> {
        let (decoder, encoder) = (Decoder::new(usize::MAX)?, JpegEncoder::new(QUALITY)?);
        Ok(Self { decoder, encoder, picture: Image::default() })
    }

    /// What is kept of `frame`: a JPEG picture of `size` if it has another, else its own bytes.
    fn step(&mut self, frame: &Frame, size: Option<(u32, u32)>) -> Result<Kept, BenchError> {
        let Self { decoder, encoder, picture } = self;
        decoder.step(frame, picture)?;
        let kept = Kept {
            captured_at: frame.captured_at,
            on_its_way: frame.received_at.since(frame.captured_at),
            format: frame.format,
            width: picture.width as u32,
            height: picture.height as u32,
            bytes: (&*frame.bytes).into(),
        };
        let Some((width, height)) = size.filter(|size| *size != (kept.width, kept.height)) else { return Ok(kept) };
        let whole = RgbImage::from_raw(kept.width, kept.height, std::mem::take(&mut picture.rgb));
        let whole = whole.ok_or(DecodeError::Empty)?;
        picture.rgb = resize(&whole, width, height, FilterType::Triangle).into_raw();
        (picture.width, picture.height) = (width as usize, height as usize);
        Ok(Kept { width, height, format: PixelFormat::Mjpeg, bytes: encoder.picture(picture)?.into(), ..kept })
    }
}

/// A camera that shows frames forward and back in turn. Their times only run forward: if they turned, so would the
/// cameras' phases, and two sets would come at once.
struct ToAndFro {
    stream: Stream,
    frames: Arc<[Kept]>,
    /// When the frames are due on each way.
    places: Vec<Duration>,
    /// How long it takes there, or back.
    one_way: Duration,
    /// Times are so many times as long as they were, those on the way too: or frames of a faster camera would come two
    /// at once.
    stretch: f64,
    seq: u64,
}

impl Source for ToAndFro {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn next(&mut self, pool: &FramePool) -> Result<Event, CaptureError> {
        let count = self.frames.len();
        let (ways, n) = ((self.seq / count as u64) as u32, (self.seq % count as u64) as usize);
        let is_back = ways % 2 == 1;
        let kept = &self.frames[if is_back { count - 1 - n } else { n }];
        let captured_at = Timestamp::default() + self.one_way * ways + self.places[n];
        let seq = self.seq;
        self.seq += 1;
        let Some(bytes) = pool.copy(&kept.bytes) else { return Ok(Event::NoBuffer) };
        Ok(Event::Frame(Frame {
            camera: self.stream.camera,
            seq,
            captured_at,
            received_at: captured_at + self.frames[n].on_its_way.mul_f64(self.stretch),
            stamp: self.stream.stamp,
            format: kept.format,
            width: kept.width,
            height: kept.height,
            bytes,
            file: None,
        }))
    }

    fn reopen(&mut self) -> Result<(), CaptureError> {
        self.seq = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameBytes;

    fn input(size: Option<(u32, u32)>) -> Input {
        Input::read(Recording::bundled().expect("the bundled take"), size, || {}).expect("read")
    }

    fn frames(source: &mut dyn Source, count: usize) -> Vec<Frame> {
        let pool = FramePool::new(1, 0);
        let frame = |_| match source.next(&pool) {
            Ok(Event::Frame(frame)) => Frame { bytes: FrameBytes::detached(Vec::new()), ..frame },
            other => panic!("{other:?}"),
        };
        (0..count).map(frame).collect()
    }

    #[test]
    fn cameras_deliver_without_end_at_the_rate_that_is_asked_for() {
        for fps in [30.0, 60.0] {
            for mut source in input(None).play(6, fps) {
                let frames = frames(&mut *source, 500);
                let apart: Vec<f64> = frames
                    .windows(2)
                    .map(|pair| pair[1].captured_at.ms_since(pair[0].captured_at) * fps / 1e3)
                    .collect();
                let near = apart.iter().filter(|periods| (0.9..1.1).contains(*periods)).count();
                // The take lacks some frames, as those of real cameras do.
                assert!(near * 100 > apart.len() * 90, "{near} of {} are a period apart", apart.len());
                let shortest = apart.iter().copied().fold(f64::INFINITY, f64::min);
                assert!(shortest > 0.8, "{shortest} periods");
                assert!(frames.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1));
            }
        }
        let names: Vec<_> = input(None).play(6, 30.0).iter().map(|source| source.stream().name.to_string()).collect();
        assert_eq!(names, ["cam0", "cam1", "cam2", "cam3", "cam0-2", "cam1-2"]);
    }

    #[test]
    fn pictures_are_made_the_size_that_is_asked_for() {
        let input = input(Some((320, 180)));
        assert_eq!(input.size(), [320, 180]);
        for picture in input.pictures() {
            assert_eq!(crate::image::decode::jpeg_size(&picture.bytes).expect("a JPEG"), (320, 180));
        }
    }
}
