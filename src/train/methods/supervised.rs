//! Learning classes from labels: the second stage of every recipe, and the baseline that has no first one.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand_distr::{Beta, Distribution};
use serde::{Deserialize, Serialize};

use super::{Loss, Method};
use crate::network::Outputs;
use crate::scene::{Expression, PerClass};
use crate::train::batch::{Batch, Change, Mix, Shot};
use crate::train::faces::Faces;
use crate::train::fault;
use crate::train::losses::cross_entropy::{Label, cross_entropy};

/// How classes are learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Pictures a batch.
    pub pictures: usize,
    /// Share of each label that is spread over all classes.
    pub label_smoothing: f32,
    /// Pictures and their labels are mixed in pairs, by shares drawn from Beta(mixup, mixup) (H. Zhang and others, "mixup",
    /// ICLR 2018); 0 leaves them whole.
    pub mixup: f32,
    /// How far rare classes are drawn as often as frequent ones: 0 leaves them as they come, 1 draws all equally often.
    pub balance: f32,
    /// Weights of the classes' losses: angry, disgusted, afraid, happy, sad, surprised, neutral.
    pub class_weights: PerClass,
}

impl Default for Settings {
    fn default() -> Self {
        Self { pictures: 128, label_smoothing: 0.1, mixup: 0.0, balance: 0.5, class_weights: [1.0; Expression::COUNT] }
    }
}

impl Settings {
    /// The first value that makes no sense, as `table.key`, and what it must be.
    #[must_use]
    pub fn fault(&self, table: &str) -> Option<(String, String)> {
        let weights_hold = self.class_weights.iter().all(|weight| (1e-3..=1e3).contains(weight));
        fault::first(
            table,
            &[
                ((1..=16_384).contains(&self.pictures), "pictures", "between 1 and 16384"),
                ((0.0..=0.9).contains(&self.label_smoothing), "label_smoothing", "between 0 and 0.9"),
                ((0.0..=10.0).contains(&self.mixup), "mixup", "between 0 and 10"),
                ((0.0..=1.0).contains(&self.balance), "balance", "between 0 and 1"),
                (weights_hold, "class_weights", "seven numbers between 0.001 and 1000"),
            ],
        )
    }

    /// Whether classes can be learnt from these faces; what is missing if not.
    ///
    /// # Errors
    /// What is missing.
    pub(super) fn check(&self, faces: &Faces, pool: &[usize]) -> Result<(), String> {
        match by_class(faces, pool).iter().filter(|class| !class.is_empty()).count() {
            0 => Err("none of them has a label. Name a set with labels in `data.finetune`".to_owned()),
            1 => Err("all of them have the same label, which teaches nothing".to_owned()),
            _ => Ok(()),
        }
    }
}

/// The labelled faces of a pool, class by class.
pub(super) fn by_class(faces: &Faces, pool: &[usize]) -> [Vec<usize>; Expression::COUNT] {
    let mut classes: [Vec<usize>; Expression::COUNT] = Default::default();
    for &index in pool {
        if let Some(expression) = faces.faces.get(index).and_then(|face| face.expression) {
            classes[expression as usize].push(index);
        }
    }
    classes
}

/// `count` labelled faces of `pool`, some perhaps twice: rare classes as often as `balance` says.
pub(super) fn draw_balanced(faces: &Faces, pool: &[usize], balance: f32, count: usize, rng: &mut StdRng) -> Vec<usize> {
    let classes = by_class(faces, pool);
    let weight = |class: &&Vec<usize>| if class.is_empty() { 0.0 } else { (class.len() as f32).powf(1.0 - balance) };
    let classes: Vec<&Vec<usize>> = classes.iter().collect();
    let draw = || classes.choose_weighted(rng, weight).ok()?.choose(rng).copied();
    std::iter::repeat_with(draw).take(count).flatten().collect()
}

impl Method for Settings {
    fn pictures(&self) -> usize {
        self.pictures
    }

    fn draw(&self, faces: &Faces, pool: &[usize], rng: &mut StdRng) -> Batch {
        let mut batch = Batch::default();
        let drawn = draw_balanced(faces, pool, self.balance, self.pictures, rng);
        let shares = Beta::new(self.mixup, self.mixup).ok();
        for (n, &face) in drawn.iter().enumerate() {
            // What is drawn is in random order: the next one is any one.
            let other = drawn[(n + 1) % drawn.len()];
            let mix = |share| Mix { face: other, expression: faces.faces[other].expression, share };
            let change = shares.map_or(Change::None, |shares| Change::Mix(mix(shares.sample(rng))));
            batch.push(faces, Shot { face, seed: rng.next_u64(), change }, face);
        }
        batch
    }

    fn loss(&self, outputs: &Outputs, batch: &Batch) -> Loss {
        let labels: Vec<Label> = shown(batch)
            .filter_map(|Shown { row, expression, share, .. }| Some((row, expression? as usize, share)))
            .collect();
        Loss::single(cross_entropy(outputs.logits.clone(), &labels, self.label_smoothing, &self.class_weights))
    }
}

/// A face that a picture shows, alone or mixed with another.
pub(super) struct Shown {
    /// The picture's row.
    pub(super) row: usize,
    /// The face's index.
    pub(super) face: usize,
    /// How it looks, where that is known.
    pub(super) expression: Option<Expression>,
    /// Its share of the picture, 0 to 1.
    pub(super) share: f32,
}

/// What the pictures of a batch show.
pub(super) fn shown(batch: &Batch) -> impl Iterator<Item = Shown> {
    batch.label.iter().zip(&batch.shots).enumerate().flat_map(|(row, (&expression, shot))| {
        let other = match shot.change {
            Change::Mix(Mix { face, expression, share }) => Some(Shown { row, face, expression, share }),
            _ => None,
        };
        let share = 1.0 - other.as_ref().map_or(0.0, |other| other.share);
        std::iter::once(Shown { row, face: shot.face, expression, share }).chain(other)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::rng;
    use super::*;
    use crate::train::sample;

    /// 40 neutral faces for each of the others, some without a label.
    fn uneven() -> Faces {
        let mut faces = sample::stills(4, 1);
        let neutral = faces.faces.iter().find(|face| face.expression == Some(Expression::Neutral)).unwrap().clone();
        faces.faces.extend(std::iter::repeat_n(neutral.clone(), 156));
        faces.faces.extend(std::iter::repeat_n(crate::train::faces::Face { expression: None, ..neutral }, 50));
        faces
    }

    fn share_of_neutral(balance: f32) -> f32 {
        let faces = uneven();
        let settings = Settings { balance, pictures: 4000, ..Settings::default() };
        let batch = settings.draw(&faces, &faces.all(), &mut rng(3));
        assert!(batch.label.iter().all(Option::is_some), "faces without a label teach no class");
        let neutral = batch.label.iter().filter(|label| **label == Some(Expression::Neutral)).count();
        neutral as f32 / batch.label.len() as f32
    }

    #[test]
    fn rare_classes_are_drawn_as_often_as_asked_for() {
        let near = |share: f32, expected: f32| assert!((share - expected).abs() < 0.03, "{share} is not {expected}");
        near(share_of_neutral(0.0), 160.0 / 184.0);
        near(share_of_neutral(0.5), 160.0_f32.sqrt() / (160.0_f32.sqrt() + 6.0 * 2.0));
        near(share_of_neutral(1.0), 1.0 / 7.0);
    }

    #[test]
    fn mixed_pictures_have_the_labels_of_both_faces() {
        let faces = sample::stills(4, 1);
        let settings = Settings { mixup: 0.4, pictures: 400, ..Settings::default() };
        let batch = settings.draw(&faces, &faces.all(), &mut rng(5));
        let mixes: Vec<Mix> = batch
            .shots
            .iter()
            .map(|shot| match shot.change {
                Change::Mix(mix) => mix,
                _ => panic!("{shot:?}"),
            })
            .collect();
        assert!(mixes.iter().all(|mix| mix.expression == faces.faces[mix.face].expression));
        let mean = mixes.iter().map(|mix| mix.share).sum::<f32>() / 400.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
        let whole = mixes.iter().filter(|mix| mix.share < 0.1 || mix.share > 0.9).count();
        assert!((120..280).contains(&whole), "most are nearly whole: {whole}");
    }

    #[test]
    fn a_face_that_stands_in_the_pool_twice_is_drawn_twice_as_often() {
        let faces = sample::stills(2, 1);
        let pool: Vec<usize> = faces.all().into_iter().chain(7..14).collect();
        let settings = Settings { pictures: 3000, ..Settings::default() };
        let batch = settings.draw(&faces, &pool, &mut rng(1));
        let second = batch.shots.iter().filter(|shot| shot.face >= 7).count();
        assert!((1900..2100).contains(&second), "{second}");
    }

    #[test]
    fn faces_of_one_class_alone_are_refused() {
        let faces = sample::stills(3, 1);
        let neutral: Vec<usize> = (0..3).map(|subject| 7 * subject + 6).collect();
        assert!(Settings::default().check(&faces, &neutral).unwrap_err().contains("same label"));
    }
}
