//! Where brows, lids, nose, lips and chin are, by the proportions of a mean face around the detector's five landmarks.
//!
//! The papers take 68 landmarks of dlib; the pipeline has five. The proportions are \[O\], set by eye on pictures.

use super::faces::Crop;
use crate::face::align::{EYES_MOUTH_PER_EYES, MIDDLE, SIDE};
use crate::scene::{Landmarks, Point};

/// The parts of an upright face, in pixels of its crop.
#[derive(Clone, Copy, Debug)]
pub struct Regions {
    /// The detector's, or a mean face's.
    pub landmarks: Landmarks,
    /// Distance from the eyes to the mouth, of a face that is not tilted.
    pub scale: f32,
    /// How wide the face is seen, 1 from the front: widths shrink with it.
    pub foreshortening: f32,
}

/// An ellipse: its middle, and its halves across and down.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Ellipse {
    pub middle: Point,
    pub across: f32,
    pub down: f32,
}

impl Regions {
    /// Those of `crop`; of a mean face where there are no landmarks.
    #[must_use]
    pub fn of(crop: &Crop) -> Self {
        let scale = crop.span / SIDE;
        let eyes = scale / EYES_MOUTH_PER_EYES;
        let (x, y) = crop.middle;
        let mean = |across: f32, down: f32| Point { x: x + across * eyes, y: y + (down - MIDDLE) * scale };
        let mean_face = || [mean(-0.5, 0.0), mean(0.5, 0.0), mean(0.0, 0.55), mean(-0.38, 1.0), mean(0.38, 1.0)];
        let landmarks = crop.landmarks.unwrap_or_else(mean_face);
        let foreshortening = (landmarks[0].distance(landmarks[1]) / eyes).clamp(0.25, 1.0);
        Self { landmarks, scale, foreshortening }
    }

    /// The point `across` and `down` from `from`, in units of the face's scale.
    fn beside(&self, from: Point, across: f32, down: f32) -> Point {
        Point { x: from.x + across * self.foreshortening * self.scale, y: from.y + down * self.scale }
    }

    /// The middle of the mouth.
    #[must_use]
    pub fn mouth(&self) -> Point {
        self.landmarks[3].midpoint(self.landmarks[4])
    }

    /// The middle between the eyes.
    #[must_use]
    pub fn between_eyes(&self) -> Point {
        self.landmarks[0].midpoint(self.landmarks[1])
    }

    /// What an expression moves: pairs of the right and the left point (brow's inner end, middle and outer end, lids,
    /// wing of the nose, corner of the mouth, half lips), then those on the middle line, twice: upper lip, lower lip,
    /// chin.
    #[must_use]
    pub fn movable(&self) -> [[Point; 2]; 11] {
        let [right_eye, left_eye, nose, right_mouth, left_mouth] = self.landmarks;
        let mouth = self.mouth();
        let both = |right: Point, left: Point, outwards: f32, down: f32| {
            [self.beside(right, -outwards, down), self.beside(left, outwards, down)]
        };
        let middle = |down: f32| [self.beside(mouth, 0.0, down); 2];
        [
            both(right_eye, left_eye, -0.22, -0.30),
            both(right_eye, left_eye, 0.02, -0.36),
            both(right_eye, left_eye, 0.26, -0.28),
            both(right_eye, left_eye, 0.0, -0.09),
            both(right_eye, left_eye, 0.0, 0.10),
            both(nose, nose, 0.18, 0.06),
            both(right_mouth, left_mouth, 0.0, 0.0),
            both(right_mouth.midpoint(mouth), left_mouth.midpoint(mouth), 0.0, 0.0),
            middle(-0.10),
            middle(0.14),
            middle(0.42),
        ]
    }

    /// Corners of what holds eyes and brows.
    #[must_use]
    pub fn eyes_and_brows(&self) -> [Point; 8] {
        let [right_eye, left_eye, ..] = self.landmarks;
        [
            self.beside(right_eye, -0.42, -0.54),
            self.beside(right_eye, 0.0, -0.7),
            self.beside(left_eye, 0.0, -0.7),
            self.beside(left_eye, 0.42, -0.54),
            self.beside(left_eye, 0.42, 0.1),
            self.beside(left_eye, 0.0, 0.28),
            self.beside(right_eye, 0.0, 0.28),
            self.beside(right_eye, -0.42, 0.1),
        ]
    }

    /// Corners of what holds nose and mouth.
    #[must_use]
    pub fn nose_and_mouth(&self) -> [Point; 8] {
        let [.., nose, right_mouth, left_mouth] = self.landmarks;
        let (mouth, bridge) = (self.mouth(), self.between_eyes());
        [
            self.beside(bridge, -0.12, 0.0),
            self.beside(bridge, 0.12, 0.0),
            self.beside(nose, 0.36, 0.0),
            self.beside(left_mouth, 0.26, 0.0),
            self.beside(mouth, 0.34, 0.44),
            self.beside(mouth, -0.34, 0.44),
            self.beside(right_mouth, -0.26, 0.0),
            self.beside(nose, -0.36, 0.0),
        ]
    }

    /// What covers the right eye, the left eye, the mouth.
    #[must_use]
    pub fn covers(&self) -> [Ellipse; 3] {
        let ellipse = |middle: Point, across: f32, down: f32| Ellipse {
            middle,
            across: across * self.foreshortening * self.scale,
            down: down * self.scale,
        };
        let mouth_half = self.landmarks[3].distance(self.landmarks[4]) / 2.0;
        let mouth = ellipse(self.mouth(), 0.15, 0.26);
        [
            ellipse(self.landmarks[0], 0.34, 0.2),
            ellipse(self.landmarks[1], 0.34, 0.2),
            Ellipse { across: mouth.across + mouth_half, ..mouth },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::sample;

    #[test]
    fn a_face_without_landmarks_has_its_parts_where_the_live_cut_puts_a_mean_face() {
        let crop = Crop { landmarks: None, ..sample::crop(0, 3.0) };
        let [right_eye, left_eye, _, right_mouth, left_mouth] = Regions::of(&crop).landmarks;
        let eyes = right_eye.midpoint(left_eye);
        let scale = eyes.distance(right_mouth.midpoint(left_mouth));
        assert!((scale * SIDE - crop.span).abs() < 0.1, "the cut is {SIDE} times as wide as eyes and mouth are apart");
        assert!((scale - EYES_MOUTH_PER_EYES * right_eye.distance(left_eye)).abs() < 0.1);
        assert!((eyes.y + MIDDLE * scale - crop.middle.1).abs() < 0.1);
    }

    #[test]
    fn a_profile_has_narrow_brows_as_high_as_a_front() {
        let front = sample::crop(0, 3.0);
        let mut profile = front.clone();
        let landmarks = Regions::of(&front).landmarks;
        profile.landmarks = Some(landmarks.map(|point| Point { x: 60.0 + 0.1 * point.x, y: point.y }));
        let extent = |crop: &Crop| {
            let [inner, _, outer] = [0, 1, 2].map(|part| Regions::of(crop).movable()[part][1]);
            (outer.x - inner.x, inner.y)
        };
        let ((wide, high), (narrow, also_high)) = (extent(&front), extent(&profile));
        assert!(narrow < 0.5 * wide && (high - also_high).abs() < 1e-3, "{wide} {narrow}, {high} {also_high}");
    }
}
