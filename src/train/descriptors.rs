//! What eyes and mouth look like, as numbers: by them SSL-FER's MaskFN finds pictures of the same expression.
//!
//! The released code \[C\] takes a ResNet-18 that was trained on ImageNet; here it is histograms of oriented gradients
//! (N. Dalal, B. Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005) of a patch that covers both
//! eyes and one that covers the mouth \[O\]: they need no foreign weights.

use super::faces::{FRONTAL_YAW_DEG, Face};
use super::regions::Regions;
use crate::image::warp::{Affine, Pixels, warp_gray};
use crate::scene::Point;

/// Side of a cell, pixels of a patch.
const CELL: usize = 8;
/// Directions of a gradient that are told apart; opposite ones are not.
const DIRECTIONS: usize = 8;

/// A patch: cells across and down, and its width and height in units of the face's scale.
struct Patch {
    cells: (usize, usize),
    size: (f32, f32),
}

const EYES: Patch = Patch { cells: (6, 3), size: (1.7, 0.8) };
const MOUTH: Patch = Patch { cells: (4, 3), size: (1.2, 0.8) };

/// The descriptor of a face: unit vectors of eyes and mouth, one after the other; `None` for a face that is turned too
/// far or has no landmarks.
#[must_use]
pub fn descriptor(face: &Face) -> Option<Vec<f32>> {
    face.crop.landmarks?;
    if face.yaw_deg.is_some_and(|yaw| yaw.abs() >= FRONTAL_YAW_DEG) {
        return None;
    }
    let regions = Regions::of(&face.crop);
    let eyes = regions.between_eyes();
    // As much above the eyes, where the brows are, as below.
    let eyes = EYES.histograms(face, &regions, Point { x: eyes.x, y: eyes.y - 0.1 * regions.scale });
    let mouth = MOUTH.histograms(face, &regions, regions.mouth());
    Some([eyes, mouth].concat())
}

/// How alike two descriptors are: the cosine, from 0 to 1.
#[must_use]
pub fn similarity(one: &[f32], other: &[f32]) -> f32 {
    // Each is two unit vectors long.
    one.iter().zip(other).map(|(a, b)| a * b).sum::<f32>() / 2.0
}

impl Patch {
    fn histograms(&self, face: &Face, regions: &Regions, middle: Point) -> Vec<f32> {
        let (width, height) = (self.cells.0 * CELL, self.cells.1 * CELL);
        let across = self.size.0 * regions.scale * regions.foreshortening / width as f32;
        let down = self.size.1 * regions.scale / height as f32;
        let from = |middle: f32, step: f32, length: usize| middle - step * (length as f32 - 1.0) / 2.0;
        let map =
            Affine { x: [across, 0.0, from(middle.x, across, width)], y: [0.0, down, from(middle.y, down, height)] };
        let mut patch = vec![0.0; width * height];
        let crop = &face.crop;
        let picture = Pixels { width: crop.width, height: crop.height, values: &crop.gray };
        warp_gray(picture, map, (width, height), &mut patch);

        let mut bins = vec![0.0_f32; self.cells.0 * self.cells.1 * DIRECTIONS];
        for y in 1..height - 1 {
            for x in 1..width - 1 {
                let at = y * width + x;
                let (dx, dy) = (patch[at + 1] - patch[at - 1], patch[at + width] - patch[at - width]);
                let turn = dy.atan2(dx).rem_euclid(std::f32::consts::PI) / std::f32::consts::PI * DIRECTIONS as f32;
                let (direction, share) = (turn as usize, turn.fract());
                let cell = (y / CELL * self.cells.0 + x / CELL) * DIRECTIONS;
                let strength = dx.hypot(dy);
                bins[cell + direction % DIRECTIONS] += strength * (1.0 - share);
                bins[cell + (direction + 1) % DIRECTIONS] += strength * share;
            }
        }
        // The root keeps one strong edge, such as that of a beard, from being all that counts.
        let length = bins.iter().sum::<f32>().max(1e-6).sqrt();
        bins.iter().map(|bin| bin.sqrt() / length).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Expression;
    use crate::train::sample;

    fn of(subject: usize, expression: Expression) -> Vec<f32> {
        descriptor(&sample::face(subject, 0, 0, Some(expression))).unwrap()
    }

    #[test]
    fn the_same_mouth_on_another_skin_is_nearer_than_another_mouth_on_the_same() {
        let own = of(0, Expression::Angry);
        assert!((similarity(&own, &own) - 1.0).abs() < 1e-5);
        let (same_mouth, other_mouth) = (of(3, Expression::Angry), of(0, Expression::Neutral));
        let (near, far) = (similarity(&own, &same_mouth), similarity(&own, &other_mouth));
        assert!(near > far + 0.02, "{near} {far}");
    }

    #[test]
    fn light_and_place_do_not_matter() {
        let face = sample::face(0, 0, 0, Some(Expression::Happy));
        let mut other = face.clone();
        // All seven pixels further right, and half as bright.
        for row in 0..192 {
            for x in 0..192_usize {
                other.crop.gray[row * 192 + x] = face.crop.gray[row * 192 + x.saturating_sub(7)] / 2;
            }
        }
        other.crop.landmarks = face.crop.landmarks.map(|points| points.map(|p| Point { x: p.x + 7.0, ..p }));
        assert!(similarity(&descriptor(&face).unwrap(), &descriptor(&other).unwrap()) > 0.98);
    }

    #[test]
    fn profiles_and_faces_without_landmarks_have_none_and_a_blank_one_is_like_nothing() {
        let face = sample::face(0, 0, 0, None);
        assert_eq!(descriptor(&Face { yaw_deg: Some(-46.0), ..face.clone() }), None);
        let mut without = face.clone();
        without.crop.landmarks = None;
        assert_eq!(descriptor(&without), None);
        let mut blank = face.clone();
        blank.crop.gray.fill(90);
        assert!(similarity(&descriptor(&blank).unwrap(), &descriptor(&face).unwrap()) < 1e-3);
    }
}
