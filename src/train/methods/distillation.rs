//! Learning classes from labels and from what trained networks say: a second stage with teachers.
//!
//! Knowledge distillation (G. Hinton, O. Vinyals, J. Dean, "Distilling the knowledge in a neural network", 2015) at a
//! temperature of 1 \[O\]: the cross-entropy of `(1 - w) label + w (what the teachers say)`, of the label alone where they
//! say nothing. What they say is their answer to the picture as it is, not to the changed one that the network sees: they
//! are asked once.

use rand::rngs::StdRng;

use super::supervised::{Shown, shown};
use super::{Loss, Method, supervised};
use crate::network::Outputs;
use crate::scene::PerClass;
use crate::train::batch::Batch;
use crate::train::faces::Faces;
use crate::train::losses::cross_entropy::{Label, cross_entropy};

/// Labels and teachers.
pub struct Distillation {
    /// How pictures are drawn and labels learnt.
    pub labels: supervised::Settings,
    /// What the teachers say of each face, by its index: probabilities, or nothing but zeros.
    pub said: Vec<PerClass>,
    /// How much of the target is theirs, 0 to 1.
    pub share: f32,
}

impl Method for Distillation {
    fn pictures(&self) -> usize {
        self.labels.pictures()
    }

    fn draw(&self, faces: &Faces, pool: &[usize], rng: &mut StdRng) -> Batch {
        self.labels.draw(faces, pool, rng)
    }

    fn loss(&self, outputs: &Outputs, batch: &Batch) -> Loss {
        let mut targets: Vec<Label> = Vec::new();
        for Shown { row, face, expression, share } in shown(batch) {
            let said = self.said[face];
            let theirs = self.share * said.iter().sum::<f32>();
            targets.extend(expression.map(|class| (row, class as usize, share * (1.0 - theirs))));
            targets.extend(said.iter().enumerate().map(|(class, said)| (row, class, share * self.share * said)));
        }
        let supervised::Settings { label_smoothing, class_weights, .. } = &self.labels;
        Loss::single(cross_entropy(outputs.logits.clone(), &targets, *label_smoothing, class_weights))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::activation::log_softmax;

    use super::super::tests::{any_outputs, rng};
    use super::*;
    use crate::train::batch::Change;
    use crate::train::sample;

    #[test]
    fn teachers_and_labels_count_by_their_shares_and_labels_alone_where_nothing_is_said() {
        let mut faces = sample::stills(2, 1);
        faces.faces[2].expression = None;
        let said = |face: usize| match face {
            0..7 => std::array::from_fn(|class| if class == face % 7 { 0.4 } else { 0.1 }),
            _ => [0.0; 7],
        };
        let labels = supervised::Settings { pictures: 20, mixup: 0.5, label_smoothing: 0.0, ..Default::default() };
        let method = Distillation { labels, said: (0..faces.faces.len()).map(said).collect(), share: 0.75 };
        let batch = method.draw(&faces, &faces.all(), &mut rng(2));
        let outputs = any_outputs(20);
        let logs: Vec<f32> = log_softmax(outputs.logits.clone(), 1).into_data().iter::<f32>().collect();
        let mut expected = 0.0;
        for (row, shot) in batch.shots.iter().enumerate() {
            let Change::Mix(mix) = shot.change else { panic!("{shot:?}") };
            for (face, share) in [(shot.face, 1.0 - mix.share), (mix.face, mix.share)] {
                let own = faces.faces[face].expression.expect("labelled faces alone are drawn") as usize;
                let theirs = if face < 7 { 0.75 } else { 0.0 };
                expected -= share * (1.0 - theirs) * logs[row * 7 + own] / 20.0;
                (0..7).for_each(|class| expected -= share * theirs * said(face)[class] * logs[row * 7 + class] / 20.0);
            }
        }
        let loss: f32 = method.loss(&outputs, &batch).total.into_scalar();
        assert!((loss - expected).abs() < 1e-5, "{loss} is not {expected}");
    }
}
