//! What a training step works on: faces, each changed in some way, and the pictures that come of them.

use std::borrow::Cow;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rayon::prelude::*;

use super::augment::{self, Renderer};
use super::faces::Faces;
use super::swap::swap;
use super::warp_field::{Field, Warp};
use crate::scene::Expression;

/// What is subtracted from grey values before the network sees them, in training and in the pipeline. The network
/// standardises each picture itself; this only brings its input near to zero.
pub const MEAN: f32 = 127.5;
/// What the difference is divided by.
pub const STD: f32 = 64.0;

/// One picture of a batch: which face, and what is done to it before the network sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shot {
    /// An index into [`Faces::faces`](super::faces::Faces::faces).
    pub face: usize,
    /// Seed of its random changes: the same seed, the same picture.
    pub seed: u64,
    /// What is done to it beside the usual augmentation.
    pub change: Change,
}

impl Shot {
    /// The face as it is.
    #[must_use]
    pub fn plain(face: usize) -> Self {
        Self { face, seed: 0, change: Change::None }
    }
}

/// A change that is not mere augmentation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Change {
    /// None.
    #[default]
    None,
    /// A local warp that may change the expression (ContraWarping's negatives).
    LocalWarp(Warp),
    /// An affine warp about as large, which leaves the expression alone: so that being warped tells nothing.
    ShamWarp(Warp),
    /// Eyes, brows, nose and mouth of this face, in the face with this index (SSL-FER's FaceSwap).
    SwapInto(usize),
    /// Another face shines through it (mixup).
    Mix(Mix),
}

/// A face that is mixed into another one's picture, value by value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    /// Its index.
    pub face: usize,
    /// How it looks, where that is known.
    pub expression: Option<Expression>,
    /// Its share of the picture, 0 to 1.
    pub share: f32,
}

/// The pictures of one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The pictures, in the order in which the network sees them.
    pub shots: Vec<Shot>,
    /// One number a shot; equal numbers belong together (of one scene, of one picture…): what that means is the
    /// method's.
    pub group: Vec<usize>,
    /// One label a shot, where it is known.
    pub label: Vec<Option<Expression>>,
}

impl Batch {
    /// Adds a picture.
    pub fn push(&mut self, faces: &Faces, shot: Shot, group: usize) {
        self.label.push(faces.faces.get(shot.face).and_then(|face| face.expression));
        self.group.push(group);
        self.shots.push(shot);
    }
}

/// The pictures of `shots`: (M, 1, side, side), normalised by [`MEAN`] and [`STD`]. A shot of a face that is not there
/// stays blank.
///
/// Each depends on its own seed alone, not on the others nor on the number of threads.
#[must_use]
pub fn render(faces: &Faces, shots: &[Shot], side: usize, settings: &augment::Settings) -> Vec<f32> {
    let mut pixels = vec![0.0; shots.len() * side * side];
    let pictures = pixels.par_chunks_exact_mut(side * side).zip(shots);
    pictures.for_each_init(Renderer::default, |renderer, (out, shot)| {
        let Some(face) = faces.faces.get(shot.face) else { return };
        let mut rng = StdRng::seed_from_u64(shot.seed);
        let mut crop = Cow::Borrowed(&face.crop);
        let field = match shot.change {
            Change::None | Change::Mix(_) => None,
            Change::LocalWarp(warp) => Some(Field::local(&crop, warp, &mut rng)),
            Change::ShamWarp(warp) => Some(Field::sham(&crop, warp, &mut rng)),
            Change::SwapInto(outer) => {
                if let Some(swapped) = faces.faces.get(outer).and_then(|outer| swap(face, outer)) {
                    crop = Cow::Owned(swapped);
                }
                None
            }
        };
        renderer.render(&crop, field.as_ref(), side, settings, &mut rng, out);
        if let Change::Mix(Mix { face, share, .. }) = shot.change
            && let Some(other) = faces.faces.get(face)
        {
            let mut mixed = vec![0.0; out.len()];
            renderer.render(&other.crop, None, side, settings, &mut rng, &mut mixed);
            out.iter_mut().zip(mixed).for_each(|(value, other)| *value += share * (other - *value));
        }
        out.iter_mut().for_each(|value| *value = (*value - MEAN) / STD);
    });
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::sample;

    fn shots(count: usize) -> Vec<Shot> {
        let warp = Warp::default();
        let changes = [Change::None, Change::LocalWarp(warp), Change::ShamWarp(warp), Change::SwapInto(10)];
        (0..count).map(|n| Shot { face: n % 9, seed: n as u64, change: changes[n % 4] }).collect()
    }

    #[test]
    fn a_picture_depends_on_its_shot_alone_and_not_on_the_others_or_the_threads() {
        let (faces, shots) = (sample::stills(2, 1), shots(24));
        let settings = augment::Settings::strong();
        let together = render(&faces, &shots, 32, &settings);
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let one_by_one: Vec<f32> = shots
            .iter()
            .flat_map(|shot| alone.install(|| render(&faces, std::slice::from_ref(shot), 32, &settings)))
            .collect();
        assert_eq!(together, one_by_one);
        let seeded = |seed| render(&faces, &[Shot { seed, ..shots[0].clone() }], 32, &settings);
        assert_ne!(seeded(1), seeded(2));
    }

    #[test]
    fn a_mixed_picture_lies_between_its_two_faces() {
        let faces = sample::stills(2, 1);
        let of = |face, change| render(&faces, &[Shot { face, seed: 1, change }], 32, &augment::Settings::none());
        let (one, other) = (of(0, Change::None), of(5, Change::None));
        let mixed = of(0, Change::Mix(Mix { face: 5, expression: None, share: 0.25 }));
        for ((one, other), mixed) in one.iter().zip(&other).zip(&mixed) {
            assert!((0.75 * one + 0.25 * other - mixed).abs() < 1e-5);
        }
        assert_ne!(one, other);
    }

    #[test]
    fn pixels_are_normalised_and_a_face_that_is_not_there_stays_blank() {
        let mut faces = sample::stills(1, 1);
        faces.faces[0].crop.gray.fill(255);
        let pixels = render(&faces, &[Shot::plain(0), Shot::plain(99)], 16, &augment::Settings::none());
        assert!(pixels[..256].iter().all(|value| (value - 127.5 / 64.0).abs() < 1e-3));
        assert!(pixels[256..].iter().all(|value| *value == 0.0));
    }

    #[test]
    fn changes_are_seen_in_the_picture() {
        let faces = sample::stills(3, 1);
        let picture = |change| render(&faces, &[Shot { face: 0, seed: 5, change }], 64, &augment::Settings::none());
        let plain = picture(Change::None);
        // Face 13 is another person, with the widest mouth.
        for change in [Change::LocalWarp(Warp::default()), Change::ShamWarp(Warp::default()), Change::SwapInto(13)] {
            let changed = picture(change).iter().zip(&plain).filter(|(one, other)| (*one - *other).abs() > 0.1).count();
            assert!(changed > 40, "{change:?} changed {changed} pixels");
        }
        assert_eq!(picture(Change::SwapInto(99)), plain, "there is no such face to swap into");
    }
}
