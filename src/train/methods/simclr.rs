//! SimCLR, the baseline: two augmentations of a picture are to look alike, pictures of different faces not.
//!
//! T. Chen and others, "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::index;
use serde::{Deserialize, Serialize};

use super::{Loss, Method};
use crate::network::Outputs;
use crate::train::batch::{Batch, Change, Shot};
use crate::train::faces::Faces;
use crate::train::fault;
use crate::train::losses::contrast::contrast_groups;

/// How SimCLR is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Faces a batch, two pictures of each.
    pub faces: usize,
    /// Temperature of the loss.
    pub temperature: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { faces: 64, temperature: 0.1 }
    }
}

impl Settings {
    pub(super) fn fault(&self, table: &str) -> Option<(String, String)> {
        fault::first(
            table,
            &[
                ((2..=8192).contains(&self.faces), "faces", "between 2 and 8192"),
                ((0.01..=10.0).contains(&self.temperature), "temperature", "between 0.01 and 10"),
            ],
        )
    }

    pub(super) fn check(&self, pool: &[usize]) -> Result<(), String> {
        match pool.len() {
            0 | 1 => Err("it needs two faces at least. Look at what was left out of the data sets".to_owned()),
            _ => Ok(()),
        }
    }
}

impl Method for Settings {
    fn pictures(&self) -> usize {
        2 * self.faces
    }

    fn draw(&self, faces: &Faces, pool: &[usize], rng: &mut StdRng) -> Batch {
        let mut batch = Batch::default();
        for place in index::sample(rng, pool.len(), self.faces.min(pool.len())) {
            let face = pool[place];
            for _ in 0..2 {
                batch.push(faces, Shot { face, seed: rng.next_u64(), change: Change::None }, face);
            }
        }
        batch
    }

    fn loss(&self, outputs: &Outputs, batch: &Batch) -> Loss {
        Loss::single(contrast_groups(outputs.projection.clone(), self.temperature, &batch.group))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tests::rng;
    use super::*;
    use crate::train::sample;

    #[test]
    fn every_face_comes_twice_changed_in_two_ways_and_one_that_is_drawn_twice_is_no_negative_of_itself() {
        let faces = sample::stills(3, 2);
        // Every index twice, as a set of double weight has it.
        let pool = [faces.all(), faces.all()].concat();
        let batch = Settings::default().draw(&faces, &pool, &mut rng(1));
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        batch
            .shots
            .iter()
            .zip(&batch.group)
            .for_each(|(shot, group)| groups.entry(*group).or_default().push(shot.face));
        assert_eq!(batch.shots.len(), 128);
        assert!(groups.values().all(|group| group.len() >= 2 && group.iter().all(|face| *face == group[0])));
        assert!(groups.values().any(|group| group.len() == 4));
        assert_eq!(
            groups.len(),
            groups.values().map(|group| group[0]).collect::<std::collections::BTreeSet<_>>().len()
        );
    }
}
