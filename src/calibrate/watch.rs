//! What one camera shows: where the board's corners are, or how bright the picture is.

use std::time::Duration;

use super::board::Board;
use super::corners::{Finder, Gray, Seen, Unseen};
use super::offsets::Trace;
use super::rig::{CalibrateError, Watched};
use crate::capture::{CaptureError, Event, Source};
use crate::frame::{Frame, FramePool};
use crate::image::Image;
use crate::image::decode::{DecodeError, Decoder};
use crate::time::Timestamp;

/// Why a recording cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum WatchError {
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Encode(#[from] crate::image::encode::EncodeError),
    #[error(transparent)]
    Calibrate(#[from] CalibrateError),
    #[error("camera `{camera}` has no picture that can be read")]
    NoPictures { camera: String },
    #[error("camera `{camera}` has pictures of different sizes: calibrate each size by itself")]
    Sizes { camera: String },
    #[error("the page {url} was not open in a browser: open it where all cameras see it")]
    NotOpen { url: String },
    #[error("broken off")]
    BrokenOff,
    #[error("the thread that watches a camera panicked. This is a fault of vultus: please report it")]
    Panicked,
}

/// A lost camera is opened again after this time, and again.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(500);
/// Of so many pictures without a board one is asked why.
const ASKED_WHY: usize = 10;

/// A picture of a source, as it comes.
struct Picture<'a> {
    frame: &'a Frame,
    image: &'a Image,
    gray: Gray<'a>,
}

/// Decodes the pictures of a source, one after another, until `take` says that it is enough; it gets none when a camera
/// delivers nothing of use. Pictures that cannot be read are passed over, a camera that is lost is opened again.
fn each_picture(
    source: &mut dyn Source,
    decode_width: usize,
    mut take: impl FnMut(Option<Picture<'_>>) -> Result<bool, WatchError>,
) -> Result<(), WatchError> {
    let pool = FramePool::new(1, source.stream().frame_bytes);
    let (mut decoder, mut image, mut gray) = (Decoder::new(decode_width)?, Image::default(), Vec::new());
    loop {
        let event = match source.next(&pool) {
            Err(CaptureError::Lost { camera, reason }) => {
                tracing::warn!("camera `{camera}` is lost ({reason}); it is waited for");
                loop {
                    if !take(None)? {
                        return Ok(());
                    }
                    std::thread::sleep(BETWEEN_ATTEMPTS);
                    if source.reopen().is_ok() {
                        break;
                    }
                }
                continue;
            }
            event => event?,
        };
        let goes_on = match event {
            Event::End => return Ok(()),
            Event::Frame(frame) if decoder.step(&frame, &mut image).is_ok() => {
                gray.clear();
                // BT.601 luma, as OpenCV and JPEG have it.
                let luma = |rgb: &[u8]| {
                    ((299 * u32::from(rgb[0]) + 587 * u32::from(rgb[1]) + 114 * u32::from(rgb[2])) / 1000) as u8
                };
                gray.extend(image.rgb.chunks_exact(3).map(luma));
                let gray = Gray { size: [image.width, image.height], pixels: &gray };
                take(Some(Picture { frame: &frame, image: &image, gray }))?
            }
            Event::Stalled | Event::Frame(_) | Event::Corrupt(_) | Event::NoBuffer => take(None)?,
        };
        if !goes_on {
            return Ok(());
        }
    }
}

/// What a camera saw of the board so far.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    /// In figures.
    pub watched: Watched,
    /// When, and where the corners were.
    pub seen: Vec<(Timestamp, Seen)>,
}

/// What there is of the board in one picture.
#[derive(Clone, Copy, Debug)]
pub enum Sight<'a> {
    /// Its corners.
    Board(&'a Seen),
    /// It is not there, and why, as far as that was asked.
    NoBoard(Option<Unseen>),
}

/// One picture, and what is in it.
pub struct Glimpse<'a> {
    /// As it came.
    pub frame: &'a Frame,
    /// Decoded.
    pub image: &'a Image,
    /// The board in it.
    pub sight: Sight<'a>,
}

/// Where a camera sees the board, and when, is added to `sightings`. `on_picture` is told of every picture (of none, while
/// the camera delivers nothing), and says whether to go on.
///
/// # Errors
/// [`WatchError`].
pub fn boards(
    source: &mut dyn Source,
    board: Board,
    sightings: &mut Sightings,
    mut on_picture: impl FnMut(Option<Glimpse<'_>>) -> bool,
) -> Result<(), WatchError> {
    let name = source.stream().name.to_string();
    let finder = Finder::new(board);
    let Sightings { watched, seen } = sightings;
    watched.name.clone_from(&name);
    each_picture(source, usize::MAX, |picture| {
        let Some(Picture { frame, image, gray }) = picture else { return Ok(on_picture(None)) };
        let size = gray.size.map(|side| side as u32);
        if watched.frames > 0 && size != watched.size {
            return Err(WatchError::Sizes { camera: name.clone() });
        }
        (watched.size, watched.frames) = (size, watched.frames + 1);
        let found = finder.step(gray).map_err(CalibrateError::OpenCv)?;
        let mut why = None;
        if found.is_none() && (watched.frames - watched.with_board - 1).is_multiple_of(ASKED_WHY) {
            let unseen = finder.why(gray).map_err(CalibrateError::OpenCv)?;
            *watched.unseen.entry(unseen).or_default() += 1;
            why = Some(unseen);
        }
        let sight = found.as_ref().map_or(Sight::NoBoard(why), Sight::Board);
        let goes_on = on_picture(Some(Glimpse { frame, image, sight }));
        if let Some(found) = found {
            watched.with_board += 1;
            seen.push((frame.captured_at, found));
        }
        Ok(goes_on)
    })
}

/// Pictures are decoded no wider than they must be for their mean.
const TRACE_WIDTH: usize = 80;

/// How bright the pictures of a camera are over time. `on_picture` as for [`boards`].
///
/// # Errors
/// [`WatchError`].
pub fn brightness(source: &mut dyn Source, mut on_picture: impl FnMut() -> bool) -> Result<Trace, WatchError> {
    let name = source.stream().name.to_string();
    let mut trace = Trace::default();
    each_picture(source, TRACE_WIDTH, |picture| {
        if let Some(Picture { frame, gray, .. }) = picture {
            let sum: u64 = gray.pixels.iter().map(|value| u64::from(*value)).sum();
            trace.samples.push((frame.captured_at.ns(), sum as f64 / gray.pixels.len().max(1) as f64));
        }
        Ok(on_picture())
    })?;
    if trace.samples.is_empty() {
        return Err(WatchError::NoPictures { camera: name });
    }
    Ok(trace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Stream;
    use crate::frame::{CameraId, PixelFormat, StampKind};

    /// A camera of which nothing can be used.
    struct Broken {
        stream: Stream,
        says: fn() -> Result<Event, CaptureError>,
    }

    impl Source for Broken {
        fn stream(&self) -> &Stream {
            &self.stream
        }

        fn next(&mut self, _: &FramePool) -> Result<Event, CaptureError> {
            (self.says)()
        }

        fn reopen(&mut self) -> Result<(), CaptureError> {
            Ok(())
        }
    }

    #[test]
    fn a_camera_of_which_nothing_can_be_used_does_not_hold_up_the_end() {
        let lost = || Err(CaptureError::Lost { camera: "cam".to_owned(), reason: "gone".to_owned() });
        let unreadable = || Ok(Event::Frame(Frame::of_bytes(PixelFormat::Mjpeg, 8, 8, vec![0; 9])));
        for says in
            [|| Ok(Event::Corrupt(String::new())), || Ok(Event::NoBuffer), || Ok(Event::Stalled), unreadable, lost]
        {
            let stream = Stream {
                camera: CameraId(0),
                name: "cam".into(),
                description: String::new(),
                period: Duration::from_millis(33),
                stamp: StampKind::Device,
                frame_bytes: 64,
            };
            let mut camera = Broken { stream, says };
            let (mut asked, mut sightings) = (0, Sightings::default());
            let board = Board::DEFAULT.parse().expect("a board");
            let watched = boards(&mut camera, board, &mut sightings, |picture| {
                assert!(picture.is_none());
                asked += 1;
                asked < 3
            });
            watched.expect("it ends");
            assert_eq!((asked, sightings.watched.frames), (3, 0));
        }
    }
}
