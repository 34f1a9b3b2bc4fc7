//! Hides faces in the pictures of a take.
//!
//! A face that is hidden in all frames but one is not hidden. So every frame is searched by itself, whole and in full
//! detail, whatever the run looked at; what the detector only suspects counts; and what is found in a frame, or what
//! the take's own results name there, is hidden in the frames of half a second around it too. That is no guarantee
//! (`docs/guide/privacy.md`).

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use rayon::prelude::*;

use super::ExportError;
use super::mosaic::mosaic;
use super::pictures::{picture, step};
use super::tables::Records;
use crate::face::detect::Detector;
use crate::image::Image;
use crate::image::decode::Decoder;
use crate::image::encode::JpegEncoder;
use crate::infer::Runtime;
use crate::infer::manifest::Model;
use crate::record::{Take, TakeError, TakeFile, TakenFrame};
use crate::scene::Rect;
use crate::time::Timestamp;

/// Below this even a guess is no face; live runs begin at 0.6.
const THRESHOLD: f32 = 0.3;
/// The longer side at which pictures are searched: small enough for near faces, and large enough for far ones.
const SIDES: [usize; 2] = [640, 1280];
/// For how long around a frame its faces are hidden.
const AROUND: Duration = Duration::from_millis(500);
/// JPEG quality of the pictures, which are encoded anew.
const QUALITY: i32 = 95;
/// The size of grey pictures of a camera of which none can be decoded.
const UNKNOWN_SIZE: (usize, usize) = (64, 64);
/// Pictures a thread that are kept in memory at once.
const AT_ONCE: usize = 16;

/// Hides faces.
pub struct Blur<'a> {
    runtime: &'a Runtime,
    detector: &'a Model,
}

impl<'a> Blur<'a> {
    /// Looks for faces with `detector`.
    #[must_use]
    pub const fn new(runtime: &'a Runtime, detector: &'a Model) -> Self {
        Self { runtime, detector }
    }

    /// Hands every picture of the `n`-th camera to `each`, in the order of arrival, with its faces hidden: also those
    /// that are `named`. A grey picture takes the place of what cannot be decoded, and `each` is told of what cannot even
    /// be read.
    ///
    /// # Errors
    /// Of the search for faces and of `each`, and [`ExportError::BrokenOff`].
    pub(super) fn of_camera(
        &self,
        take: &Take,
        n: usize,
        named: &Named,
        goes_on: &(dyn Fn() -> bool + Sync),
        mut each: impl FnMut(&TakenFrame, Result<&[u8], TakeError>) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let view = &take.views[n];
        let search = |search: &mut Search, n: usize| {
            let found = search.step(take, &view.frames[n], named)?;
            step(goes_on).map(|()| found)
        };
        let found = in_shares(0..view.frames.len(), || Search::new(self, take), search)?;
        let grey = grey(found.iter().find_map(|found| found.size).unwrap_or(UNKNOWN_SIZE))?;

        let hide = |hide: &mut Hide, n: usize| {
            let hidden = hide.step(take, &view.frames[n], found_around(&found, n))?;
            step(goes_on).map(|()| hidden)
        };
        let mut greys = 0;
        let batch = AT_ONCE * rayon::current_num_threads();
        for first in (0..view.frames.len()).step_by(batch) {
            let some = first..(first + batch).min(view.frames.len());
            for (frame, hidden) in view.frames[some.clone()].iter().zip(in_shares(some, || Hide::new(take), hide)?) {
                match hidden {
                    Ok(Some(jpeg)) => each(frame, Ok(&jpeg))?,
                    Ok(None) => {
                        greys += 1;
                        each(frame, Ok(&grey))?;
                    }
                    Err(error) => each(frame, Err(error))?,
                }
            }
        }
        if greys > 0 {
            let camera = &view.camera.name;
            tracing::warn!("camera `{camera}`: {greys} pictures cannot be decoded; in their place there is a grey one");
        }
        Ok(())
    }
}

/// A picture in which there is nothing.
fn grey((width, height): (usize, usize)) -> Result<Vec<u8>, ExportError> {
    let image = Image { width, height, scale: 1.0, rgb: vec![128; width * height * 3] };
    Ok(JpegEncoder::new(QUALITY)?.picture(&image)?)
}

/// Does `step` for every number of `range`, a share of them on every core, each with a worker of its own.
fn in_shares<W, T: Send>(
    range: Range<usize>,
    worker: impl Fn() -> Result<W, ExportError> + Sync,
    step: impl Fn(&mut W, usize) -> Result<T, ExportError> + Sync,
) -> Result<Vec<T>, ExportError> {
    let numbers: Vec<usize> = range.collect();
    let share = numbers.len().div_ceil(rayon::current_num_threads()).max(1);
    let shares = numbers.par_chunks(share).map(|share| {
        let mut worker = worker()?;
        share.iter().map(|n| step(&mut worker, *n)).collect::<Result<Vec<T>, ExportError>>()
    });
    Ok(shares.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// The faces that the take's results name in the frames of a camera, by `seq`.
pub(super) type Named = HashMap<u64, Vec<Rect>>;

/// Those of every camera.
pub(super) fn named_faces(take: &Take, goes_on: &(dyn Fn() -> bool + Sync)) -> Result<Vec<Named>, ExportError> {
    let mut named = vec![Named::new(); take.views.len()];
    let mut records = Records::open(take)?;
    while let Some(line) = records.next() {
        for view in line.views {
            let camera = take.views.iter().position(|taken| *taken.camera.name == *view.camera);
            let [x, y, w, h] = view.rect.map(|value| value as f32);
            if let Some(camera) = camera {
                named[camera].entry(view.seq).or_default().push(Rect { x, y, w, h });
            }
        }
        step(goes_on)?;
    }
    records.finish();
    Ok(named)
}

/// The faces of a frame, and when it was taken.
#[derive(Clone)]
struct Found {
    at: Timestamp,
    /// Width and height, if it can be decoded.
    size: Option<(usize, usize)>,
    faces: Vec<Rect>,
}

/// The faces of the frames around the `n`-th, and of that itself.
fn found_around(found: &[Found], n: usize) -> impl Iterator<Item = Rect> {
    let at = found[n].at;
    let is_near = move |other: &&Found| other.at.since(at).max(at.since(other.at)) <= AROUND;
    // Also the neighbour across a gap, or where the clock jumps: so at least one on each side.
    let before = found[..n].iter().rev().enumerate().take_while(move |(k, other)| *k == 0 || is_near(other));
    let after = found[n + 1..].iter().enumerate().take_while(move |(k, other)| *k == 0 || is_near(other));
    let others = before.chain(after).map(|(_, other)| other);
    std::iter::once(&found[n]).chain(others).flat_map(|found| found.faces.iter().copied())
}

/// Looks for faces.
struct Search {
    file: TakeFile,
    decoder: Decoder,
    detector: Detector,
    image: Image,
}

impl Search {
    fn new(blur: &Blur<'_>, take: &Take) -> Result<Self, ExportError> {
        Ok(Self {
            file: TakeFile::open(&take.path)?,
            decoder: Decoder::new(usize::MAX)?,
            detector: Detector::new(blur.runtime.session(blur.detector)?, THRESHOLD),
            image: Image::default(),
        })
    }

    fn step(&mut self, take: &Take, frame: &TakenFrame, named: &Named) -> Result<Found, ExportError> {
        let mut faces = named.get(&frame.seq).cloned().unwrap_or_default();
        let mut size = None;
        if picture(take, &mut self.file, frame).is_ok_and(|jpeg| self.decoder.jpeg(&jpeg, &mut self.image).is_ok()) {
            size = Some((self.image.width, self.image.height));
            faces.extend(faces_in(&mut self.detector, &self.image)?);
        }
        Ok(Found { at: frame.captured_at, size, faces })
    }
}

/// All that may be a face in a picture.
fn faces_in(detector: &mut Detector, image: &Image) -> Result<Vec<Rect>, ExportError> {
    let whole = Rect { x: 0.0, y: 0.0, w: image.width as f32, h: image.height as f32 };
    let longer = image.width.max(image.height);
    let mut faces = Vec::new();
    let mut searched = 0;
    for side in SIDES.map(|side| side.min(longer)) {
        if side > searched {
            faces.extend(detector.step(image, whole, side)?.iter().map(|face| face.rect));
            searched = side;
        }
    }
    Ok(faces)
}

/// Makes the pictures.
struct Hide {
    file: TakeFile,
    decoder: Decoder,
    encoder: JpegEncoder,
    image: Image,
}

impl Hide {
    fn new(take: &Take) -> Result<Self, ExportError> {
        Ok(Self {
            file: TakeFile::open(&take.path)?,
            decoder: Decoder::new(usize::MAX)?,
            encoder: JpegEncoder::new(QUALITY)?,
            image: Image::default(),
        })
    }

    /// The frame's picture with these faces hidden; `None` if it cannot be decoded, and why it cannot be read.
    fn step(
        &mut self,
        take: &Take,
        frame: &TakenFrame,
        faces: impl Iterator<Item = Rect>,
    ) -> Result<Result<Option<Vec<u8>>, TakeError>, ExportError> {
        let jpeg = match picture(take, &mut self.file, frame) {
            Ok(jpeg) => jpeg,
            Err(error) => return Ok(Err(error)),
        };
        if self.decoder.jpeg(&jpeg, &mut self.image).is_err() {
            return Ok(Ok(None));
        }
        faces.for_each(|face| mosaic(&mut self.image, face));
        Ok(Ok(Some(self.encoder.picture(&self.image)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faces_are_hidden_half_a_second_around() {
        let face = |n: i64| Rect { x: n as f32, y: 0.0, w: 1.0, h: 1.0 };
        let found = |ms: i64| Found { at: Timestamp::from_ns(ms * 1_000_000), size: None, faces: vec![face(ms)] };
        let all = [0, 400, 800, 900, 5000, 5100].map(found);
        let around = |n: usize| {
            let mut at: Vec<f32> = found_around(&all, n).map(|face| face.x).collect();
            at.sort_by(f32::total_cmp);
            at
        };
        assert_eq!(around(1), [0.0, 400.0, 800.0, 900.0]);
        assert_eq!(around(0), [0.0, 400.0]);
        assert_eq!(around(3), [400.0, 800.0, 900.0, 5000.0], "also across a gap");
    }
}
