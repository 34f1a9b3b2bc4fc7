//! ContraWarping-style learning: a picture that is otherwise framed and lit shows the same expression, a picture that
//! is bent at brows, eyes and mouth does not.
//!
//! F. Xue, Y. Sun, Y. Yang, "Unsupervised Facial Expression Representation Learning with Contrastive Local Warping",
//! 2023. That global transforms are the positives and local warps of the same picture the negatives is read in the
//! abstract \[R\]; the loss was not at hand. This is a reconstruction: InfoNCE with the picture's own warped copies as
//! negatives \[O\]. The authors' checkpoint is named after BYOL, which needs a second, averaged network: it is not done
//! here.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::index;
use serde::{Deserialize, Serialize};

use super::{Loss, Method};
use crate::network::Outputs;
use crate::train::batch::{Batch, Change, Shot};
use crate::train::faces::Faces;
use crate::train::fault;
use crate::train::losses::contrast::Relation::{Ignored, Negative, Positive};
use crate::train::losses::contrast::contrast;
use crate::train::warp_field::Warp;

/// How ContraWarping-style learning is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Faces a batch.
    pub faces: usize,
    /// Warped copies of each, beside two that are not.
    pub warped: usize,
    /// Whether other faces are negatives too: `false` leaves the warped copies alone to learn from.
    pub others: bool,
    /// Temperature of the loss.
    pub temperature: f32,
    /// How far which points move.
    pub warp: Warp,
}

impl Default for Settings {
    fn default() -> Self {
        Self { faces: 21, warped: 4, others: true, temperature: 0.1, warp: Warp::default() }
    }
}

impl Settings {
    pub(super) fn fault(&self, table: &str) -> Option<(String, String)> {
        let checks = [
            ((1..=4096).contains(&self.faces), "faces", "between 1 and 4096"),
            ((1..=64).contains(&self.warped), "warped", "between 1 and 64"),
            ((0.01..=10.0).contains(&self.temperature), "temperature", "between 0.01 and 10"),
        ];
        fault::first(table, &checks).or_else(|| self.warp.fault(&format!("{table}.warp")))
    }

    pub(super) fn prepare(self, faces: &Faces, pool: &[usize]) -> Result<ContraWarping, String> {
        if pool.is_empty() {
            return Err("there are none. Look at what was left out of the data sets".to_owned());
        }
        let found = pool.iter().filter_map(|&index| faces.faces.get(index));
        let without = found.filter(|face| face.crop.landmarks.is_none()).count();
        Ok(ContraWarping { settings: self, without, of: pool.len() })
    }
}

/// ContraWarping-style learning of some faces.
pub(super) struct ContraWarping {
    settings: Settings,
    /// Faces without landmarks, and all.
    without: usize,
    of: usize,
}

impl Method for ContraWarping {
    fn pictures(&self) -> usize {
        self.settings.faces * (2 + self.settings.warped)
    }

    fn draw(&self, faces: &Faces, pool: &[usize], rng: &mut StdRng) -> Batch {
        let Settings { faces: count, warped, warp, .. } = self.settings;
        let mut batch = Batch::default();
        for place in index::sample(rng, pool.len(), count.min(pool.len())) {
            let face = pool[place];
            for copy in 0..2 + warped {
                let change = if copy < 2 { Change::ShamWarp(warp) } else { Change::LocalWarp(warp) };
                batch.push(faces, Shot { face, seed: rng.next_u64(), change }, face);
            }
        }
        batch
    }

    fn loss(&self, outputs: &Outputs, batch: &Batch) -> Loss {
        let is_warped = |row: usize| matches!(batch.shots[row].change, Change::LocalWarp(_));
        // A warped picture is nobody's positive, not even another warped one's: each is bent in its own way.
        let relation = |i: usize, j: usize| match (is_warped(i), batch.group[i] == batch.group[j]) {
            (true, _) => Ignored,
            (false, true) if is_warped(j) => Negative,
            (false, true) => Positive,
            (false, false) if self.settings.others => Negative,
            (false, false) => Ignored,
        };
        Loss::single(contrast(outputs.projection.clone(), self.settings.temperature, |_| 1.0, relation))
    }

    fn notes(&self) -> Vec<String> {
        let Self { without, of, .. } = self;
        let note = format!("{without} of {of} faces have no landmarks: they are bent where a mean face has its parts");
        if *without > 0 { vec![note] } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{outputs, rng};
    use super::*;
    use crate::train::sample;

    fn method(settings: Settings, faces: &Faces) -> ContraWarping {
        settings.prepare(faces, &faces.all()).unwrap()
    }

    fn value(method: &ContraWarping, batch: &Batch, rows: &[&[f32]]) -> f32 {
        method.loss(&outputs(rows), batch).total.into_scalar()
    }

    /// Two faces, of each two that are not bent and one that is.
    fn small(others: bool) -> Settings {
        Settings { faces: 2, warped: 1, others, temperature: 1.0, warp: Warp::default() }
    }

    #[test]
    fn a_face_comes_twice_as_it_is_and_four_times_bent() {
        let faces = sample::stills(4, 1);
        let batch = method(Settings::default(), &faces).draw(&faces, &faces.all(), &mut rng(1));
        for (shots, groups) in batch.shots.chunks(6).zip(batch.group.chunks(6)) {
            let bent = shots.iter().map(|shot| matches!(shot.change, Change::LocalWarp(_)));
            assert_eq!(bent.collect::<Vec<_>>(), [false, false, true, true, true, true]);
            assert!(
                groups.iter().all(|group| *group == groups[0]) && shots.iter().all(|shot| shot.face == shots[0].face)
            );
            assert!(matches!(shots[0].change, Change::ShamWarp(_)), "what is not bent is warped too, but as a whole");
        }
    }

    #[test]
    fn its_value_is_what_one_finds_by_hand() {
        let faces = sample::stills(4, 1);
        // Both pictures of a face agree, its bent copy is at a right angle; the other face is opposite.
        let rows: [&[f32]; 6] = [&[1.0, 0.0], &[1.0, 0.0], &[0.0, 1.0], &[-1.0, 0.0], &[-1.0, 0.0], &[0.0, 1.0]];
        let alone = method(small(false), &faces);
        let batch = alone.draw(&faces, &faces.all(), &mut rng(2));
        let e = std::f32::consts::E;
        let expected = -(e / (e + 1.0)).ln();
        assert!((value(&alone, &batch, &rows) - expected).abs() < 1e-5);
        // With the others as negatives: two opposite pictures, and their bent copy at a right angle.
        let expected = -(e / (e + 1.0 + 2.0 / e + 1.0)).ln();
        assert!((value(&method(small(true), &faces), &batch, &rows) - expected).abs() < 1e-5);
    }

    #[test]
    fn a_picture_that_is_told_from_its_bent_copies_costs_less_than_one_that_is_not() {
        let faces = sample::stills(4, 1);
        let method = method(small(false), &faces);
        let batch = method.draw(&faces, &faces.all(), &mut rng(2));
        let blind: [&[f32]; 6] = [&[1.0, 0.0]; 6];
        let seeing: [&[f32]; 6] = [&[1.0, 0.0], &[1.0, 0.0], &[-1.0, 0.0], &[1.0, 0.0], &[1.0, 0.0], &[-1.0, 0.0]];
        assert!((value(&method, &batch, &blind) - 2.0_f32.ln()).abs() < 1e-5, "blind: one of two");
        assert!(value(&method, &batch, &seeing) < 0.2);
    }

    #[test]
    fn faces_without_landmarks_are_told_of() {
        let mut faces = sample::stills(1, 1);
        assert!(method(Settings::default(), &faces).notes().is_empty());
        faces.faces[0].crop.landmarks = None;
        assert!(method(Settings::default(), &faces).notes()[0].starts_with("1 of 7 faces"));
    }
}
