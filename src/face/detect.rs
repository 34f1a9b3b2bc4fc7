//! Finds faces and their five landmarks: YuNet on a whole picture or on a region of it.
//!
//! The decoding of YuNet's outputs follows its authors' (W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level
//! Face Detector", 2023): anchors at the cells of strides 8, 16 and 32, score = sqrt(class * object).

use crate::config;
use crate::image::Image;
use crate::image::upright::{Cutter, Placement};
use crate::infer::manifest::DETECTOR_OUTPUTS;
use crate::infer::{InferError, Session, Values};
use crate::scene::{Landmarks, Point, Rect};

/// YuNet's strides, in the order of its outputs.
const STRIDES: [usize; 3] = [8, 16, 32];
/// Values a cell of each kind of output.
const PER_CELL: [usize; 4] = [1, 1, 4, 10];
/// The detector's input must be a multiple of this.
const GRID: usize = 32;
/// Two boxes that overlap more than this are one face.
pub(super) const SAME_FACE_IOU: f32 = 0.3;
/// What is larger than so many pictures is no face: another model than YuNet may say anything.
const LARGEST: f32 = 4.0;
/// Candidates that overlap the best one more than this have a say in the face.
const BLENDED_IOU: f32 = 0.5;

/// A found face, in pixels of the full frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Where it is.
    pub rect: Rect,
    /// Its landmarks.
    pub landmarks: Landmarks,
    /// 0 to 1.
    pub score: f32,
}

/// Finds faces; one per view, as its buffers are its own.
pub struct Detector {
    session: Box<dyn Session>,
    cutter: Cutter,
    /// What YuNet was trained on: blue, green, red, 0 to 255.
    input: Vec<f32>,
    outputs: Vec<Values>,
    threshold: f32,
    candidates: Vec<Detection>,
    found: Vec<Detection>,
}

impl Detector {
    /// A detector that reports faces with a score of at least `threshold`.
    #[must_use]
    pub fn new(session: Box<dyn Session>, threshold: f32) -> Self {
        Self {
            session,
            cutter: Cutter::default(),
            input: Vec::new(),
            outputs: vec![Values::new(); DETECTOR_OUTPUTS],
            threshold,
            candidates: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Runs the model once on a blank region and once on a blank 16:9 picture, so that the first frame finds memory
    /// and plans ready.
    ///
    /// # Errors
    /// [`InferError::Run`].
    pub fn warm_up(&mut self, settings: config::Detection) -> Result<(), InferError> {
        let blank = Image { width: 16, height: 9, scale: 1.0, rgb: vec![0; 16 * 9 * 3] };
        self.step(&blank, Rect { x: 0.0, y: 0.0, w: 9.0, h: 9.0 }, settings.region_side)?;
        self.step(&blank, Rect { x: 0.0, y: 0.0, w: 16.0, h: 9.0 }, settings.search_side)?;
        Ok(())
    }

    /// Looks at `region` (pixels of the full frame) of `image`, drawn so that its longer side has `side` pixels.
    /// The faces come best first.
    ///
    /// # Errors
    /// [`InferError::Run`].
    pub fn step(&mut self, image: &Image, region: Rect, side: usize) -> Result<&[Detection], InferError> {
        let longer = region.w.max(region.h);
        let scale = longer / side as f32;
        let round_up = |length: f32| ((length / scale).ceil() as usize).max(1).next_multiple_of(GRID);
        let (width, height) = (round_up(region.w), round_up(region.h));

        // Full-frame pixels a pixel of the input, then to the (perhaps smaller) decoded picture.
        let (left, top) = image.here_from_full(region.x + scale * 0.5 - 0.5, region.y + scale * 0.5 - 0.5);
        self.input.resize(3 * width * height, 0.0);
        let placement = Placement { scale: scale * image.scale, left, top };
        self.cutter.step(image, placement, (width, height), &mut self.input);
        self.session.run([1, 3, height, width], &self.input, &mut self.outputs)?;
        self.check_outputs(width * height)?;

        let (picture_width, picture_height) = image.full_size();
        let largest = LARGEST * picture_width.max(picture_height);
        self.decode(width, |x, y| Point { x: region.x + scale * x, y: region.y + scale * y }, scale, largest);
        self.blend();
        Ok(&self.found)
    }

    /// Another model than YuNet may have outputs of other sizes.
    fn check_outputs(&self, pixels: usize) -> Result<(), InferError> {
        for (n, output) in self.outputs.iter().enumerate() {
            let (kind, stride) = (n / STRIDES.len(), STRIDES[n % STRIDES.len()]);
            let wanted = pixels / (stride * stride) * PER_CELL[kind];
            if output.len() != wanted {
                let reason = format!("its output {n} has {} values; YuNet has {wanted}", output.len());
                return Err(InferError::Run { model: "detector".to_owned(), reason });
            }
        }
        Ok(())
    }

    /// Reads the candidates out of the outputs.
    fn decode(&mut self, width: usize, full_from_input: impl Fn(f32, f32) -> Point, scale: f32, largest: f32) {
        self.candidates.clear();
        for (level, stride) in STRIDES.into_iter().enumerate() {
            let of_kind = |kind: usize| &self.outputs[kind * STRIDES.len() + level];
            let (classes, objects, boxes, points) = (of_kind(0), of_kind(1), of_kind(2), of_kind(3));
            let columns = width / stride;
            for (cell, (class, object)) in classes.iter().zip(objects).enumerate() {
                let score = (class.clamp(0.0, 1.0) * object.clamp(0.0, 1.0)).sqrt();
                if score.is_nan() || score < self.threshold {
                    continue;
                }
                let (column, row) = ((cell % columns) as f32, (cell / columns) as f32);
                let step = stride as f32;
                let at = |dx: f32, dy: f32| full_from_input((column + dx) * step, (row + dy) * step);
                let b = &boxes[cell * 4..][..4];
                let center = at(b[0], b[1]);
                let (w, h) = (b[2].exp() * step * scale, b[3].exp() * step * scale);
                let is_sound = center.x.is_finite() && center.y.is_finite() && w < largest && h < largest;
                if !is_sound {
                    continue;
                }
                let k = &points[cell * 10..][..10];
                self.candidates.push(Detection {
                    rect: Rect { x: center.x - w / 2.0, y: center.y - h / 2.0, w, h },
                    landmarks: std::array::from_fn(|n| at(k[2 * n], k[2 * n + 1])),
                    score,
                });
            }
        }
    }

    /// Makes one face of the candidates that overlap: their mean, weighted by score. Taking the best alone makes the
    /// landmarks jump from cell to cell of YuNet's grid (V. Bazarevsky et al., "BlazeFace", 2019, section 3.4).
    fn blend(&mut self) {
        self.candidates.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
        self.found.clear();
        for best in &self.candidates {
            if self.found.iter().any(|face| face.rect.iou(&best.rect) > SAME_FACE_IOU) {
                continue;
            }
            let alike = self.candidates.iter().filter(|other| other.rect.iou(&best.rect) > BLENDED_IOU);
            self.found.push(mean(alike, best.score));
        }
    }
}

/// The mean of `faces` (at least one), weighted by their scores; it keeps the score of the best.
fn mean<'a>(faces: impl Iterator<Item = &'a Detection>, score: f32) -> Detection {
    let mut total = 0.0;
    let mut sum = Detection { rect: Rect::default(), landmarks: Landmarks::default(), score };
    for face in faces {
        let weight = face.score * face.score;
        total += weight;
        sum.rect.x += weight * face.rect.x;
        sum.rect.y += weight * face.rect.y;
        sum.rect.w += weight * face.rect.w;
        sum.rect.h += weight * face.rect.h;
        for (sum, point) in sum.landmarks.iter_mut().zip(&face.landmarks) {
            sum.x += weight * point.x;
            sum.y += weight * point.y;
        }
    }
    let Rect { x, y, w, h } = sum.rect;
    sum.rect = Rect { x: x / total, y: y / total, w: w / total, h: h / total };
    sum.landmarks = sum.landmarks.map(|point| Point { x: point.x / total, y: point.y / total });
    sum
}
