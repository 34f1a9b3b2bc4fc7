//! Hides faces in the pictures of a take.
//!
//! A face that is hidden in all frames but one is not hidden. So every frame is searched by itself, whole and in full detail, whatever
//! the run looked at; what the detector only suspects counts; and what is found in a frame, or what the take's own results
//! name there, is hidden in the frames of half a second around it too. That is no guarantee (`docs/guide/privacy.md`).

use std::collections::HashMap;
use std::time::Duration;

use rayon::prelude::*;

use super::ExportError;
use super::pictures::{picture, step};
use super::tables::Records;
use crate::face::detect::Detector;
use crate::image::Image;
use crate::image::decode::Decoder;
use crate::image::encode::JpegEncoder;
use crate::infer::manifest::Model;
use crate::infer::{Placement, Runtime};
use crate::record::{Take, TakeFile, TakenFrame};
use crate::scene::Rect;
use crate::time::Timestamp;

/// Below this even a guess is no face; live runs begin at 0.6.
const THRESHOLD: f32 = 0.3;
/// The longer side at which pictures are searched: small enough for near faces, and large enough for far ones.
const SIDES: [usize; 2] = [640, 1280];
/// For how long around a frame its faces are hidden.
const AROUND: Duration = Duration::from_millis(500);
/// The detector's box ends at brow and chin; the head is larger by this.
const HEAD_PER_FACE: f32 = 1.5;
/// At most so many blocks are left of a head's side.
const BLOCKS: f32 = 4.0;
/// At least so much of a picture's width is a block.
const LEAST_BLOCK: f32 = 1.0 / 40.0;
/// JPEG quality of the pictures, which are encoded anew.
const QUALITY: i32 = 95;
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

    /// Hands every picture of the `n`-th camera to `each`, in the order of arrival, with its faces hidden. Those that cannot be
    /// decoded are left out.
    ///
    /// # Errors
    /// Of the take, of the search for faces and of `each`, and [`ExportError::BrokenOff`].
    pub(super) fn of_camera(
        &self,
        take: &Take,
        n: usize,
        goes_on: &(dyn Fn() -> bool + Sync),
        mut each: impl FnMut(&TakenFrame, &[u8]) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let frames = &take.views[n].frames;
        let named = named_faces(take, &take.views[n].camera.name)?;
        let threads = rayon::current_num_threads();
        let share = frames.len().div_ceil(threads).max(1);
        let found: Vec<Vec<Found>> = frames
            .par_chunks(share)
            .map(|frames| {
                let mut search = Search::new(self, take)?;
                let search = |frame: &TakenFrame| {
                    let found = search.step(take, frame, &named)?;
                    step(goes_on).map(|()| found)
                };
                frames.iter().map(search).collect()
            })
            .collect::<Result<_, ExportError>>()?;
        let found = found.concat();

        let mut left_out = 0;
        for (batch, frames) in frames.chunks(threads * AT_ONCE).enumerate() {
            let first = batch * threads * AT_ONCE;
            let hidden: Vec<Vec<Option<Vec<u8>>>> = frames
                .par_chunks(frames.len().div_ceil(threads))
                .enumerate()
                .map(|(part, share)| {
                    let first = first + part * frames.len().div_ceil(threads);
                    let mut hide = Hide::new(take)?;
                    let hide = |(n, frame): (usize, &TakenFrame)| {
                        let hidden = hide.step(take, frame, found_around(&found, first + n))?;
                        step(goes_on).map(|()| hidden)
                    };
                    share.iter().enumerate().map(hide).collect()
                })
                .collect::<Result<_, ExportError>>()?;
            for (frame, jpeg) in frames.iter().zip(hidden.iter().flatten()) {
                match jpeg {
                    Some(jpeg) => each(frame, jpeg)?,
                    None => left_out += 1,
                }
            }
        }
        if left_out > 0 {
            let name = &take.views[n].camera.name;
            tracing::warn!("camera `{name}`: {left_out} pictures cannot be decoded, and are left out");
        }
        Ok(())
    }
}

/// The faces that the take's results name in the frames of a camera, by `seq`.
type Named = HashMap<u64, Vec<Rect>>;

fn named_faces(take: &Take, camera: &str) -> Result<Named, ExportError> {
    let mut named = Named::new();
    let mut records = Records::open(take)?;
    while let Some(line) = records.next()? {
        for view in line.views.into_iter().filter(|view| view.camera == camera) {
            let [x, y, w, h] = view.rect.map(|value| value as f32);
            named.entry(view.seq).or_default().push(Rect { x, y, w, h });
        }
    }
    Ok(named)
}

/// The faces of a frame, and when it was taken.
#[derive(Clone)]
struct Found {
    at: Timestamp,
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
            detector: Detector::new(blur.runtime.session(blur.detector, Placement::ONE_THREAD)?, THRESHOLD),
            image: Image::default(),
        })
    }

    fn step(&mut self, take: &Take, frame: &TakenFrame, named: &Named) -> Result<Found, ExportError> {
        let mut faces = named.get(&frame.seq).cloned().unwrap_or_default();
        let jpeg = picture(take, &mut self.file, frame)?;
        if self.decoder.jpeg(&jpeg, &mut self.image).is_ok() {
            faces.extend(faces_in(&mut self.detector, &self.image)?);
        }
        Ok(Found { at: frame.captured_at, faces })
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

    /// The frame's picture with these faces hidden; `None` if it cannot be decoded.
    fn step(
        &mut self,
        take: &Take,
        frame: &TakenFrame,
        faces: impl Iterator<Item = Rect>,
    ) -> Result<Option<Vec<u8>>, ExportError> {
        let jpeg = picture(take, &mut self.file, frame)?;
        if self.decoder.jpeg(&jpeg, &mut self.image).is_err() {
            return Ok(None);
        }
        faces.for_each(|face| mosaic(&mut self.image, face));
        Ok(Some(self.encoder.picture(&self.image)?))
    }
}

/// Makes a mosaic of the head around a face.
fn mosaic(image: &mut Image, face: Rect) {
    let center = face.center();
    let (w, h) = (face.w * HEAD_PER_FACE, face.h * HEAD_PER_FACE);
    let block = |side: f32| {
        (side / BLOCKS).max(image.width as f32 * LEAST_BLOCK).ceil().clamp(1.0, image.width.max(1) as f32) as usize
    };
    let (block_w, block_h) = (block(w), block(h));
    // Detectors also report boxes that reach out of the picture; what is no number becomes 0.
    let range = |center: f32, side: f32, most: usize| {
        let at = |value: f32| (value.max(0.0) as usize).min(most);
        at((center - side / 2.0).floor())..at((center + side / 2.0).ceil())
    };
    let (columns, rows) = (range(center.x, w, image.width), range(center.y, h, image.height));
    for y in rows.clone().step_by(block_h) {
        for x in columns.clone().step_by(block_w) {
            let across = x..(x + block_w).min(columns.end);
            let down = y..(y + block_h).min(rows.end);
            flatten(image, across, down);
        }
    }
}

/// Gives a block its mean colour.
fn flatten(image: &mut Image, columns: std::ops::Range<usize>, rows: std::ops::Range<usize>) {
    let pixels = (columns.len() * rows.len()).max(1) as u64;
    let line = |y: usize| (y * image.width + columns.start) * 3..(y * image.width + columns.end) * 3;
    let mut sum = [0_u64; 3];
    for y in rows.clone() {
        for pixel in image.rgb[line(y)].chunks_exact(3) {
            sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += u64::from(*value));
        }
    }
    let mean = sum.map(|sum| (sum / pixels) as u8);
    for y in rows {
        let line = line(y);
        image.rgb[line].chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&mean));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_becomes_four_blocks_a_side_and_the_rest_stays() {
        let (width, height) = (80, 60);
        let rgb: Vec<u8> = (0..width * height * 3).map(|n| (n * 7 % 251) as u8).collect();
        let mut image = Image { width, height, scale: 1.0, rgb: rgb.clone() };
        mosaic(&mut image, Rect { x: 30.0, y: 20.0, w: 16.0, h: 16.0 });
        let colours = |columns: std::ops::Range<usize>, rows: std::ops::Range<usize>| {
            let pixel = |x: usize, y: usize| image.rgb[(y * width + x) * 3..][..3].to_vec();
            let all: std::collections::BTreeSet<_> =
                rows.flat_map(|y| columns.clone().map(move |x| (x, y))).map(|(x, y)| pixel(x, y)).collect();
            all.len()
        };
        assert!(colours(26..50, 16..40) <= 16);
        let is_outside = |n: usize| !((26..50).contains(&(n / 3 % width)) && (16..40).contains(&(n / 3 / width)));
        assert!((0..rgb.len()).filter(|n| is_outside(*n)).all(|n| image.rgb[n] == rgb[n]));
    }

    #[test]
    fn boxes_at_and_beyond_the_edge_are_no_trouble() {
        let mut image = Image { width: 8, height: 8, scale: 1.0, rgb: vec![9; 8 * 8 * 3] };
        for (x, w) in [(-50.0, 20.0), (-5.0, 10.0), (6.0, 30.0), (f32::NAN, 5.0), (0.0, f32::INFINITY), (3.0, 0.0)] {
            mosaic(&mut image, Rect { x, y: x, w, h: w });
        }
        assert_eq!(image.rgb, vec![9; 8 * 8 * 3]);
    }

    #[test]
    fn faces_are_hidden_half_a_second_around() {
        let face = |n: i64| Rect { x: n as f32, y: 0.0, w: 1.0, h: 1.0 };
        let found = |ms: i64| Found { at: Timestamp::from_ns(ms * 1_000_000), faces: vec![face(ms)] };
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
