//! CRS-CONT: learning from coarse classes (positive, negative, neutral, surprise), so that the encoder serves sets
//! whose fine classes differ.
//!
//! H. Li and others, "CRS-CONT: A Well-Trained General Encoder for Facial Expression Analysis", IEEE TIP 2022. Terms
//! and figures are those of the released code \[C\]: the contrastive loss of coarse classes, the negative one at half
//! weight; the cross-entropy of the first crop; 0.4 times the contrast of the predictions. Which expression is of which
//! coarse class is \[O\], and so is that faces of rare classes are drawn more often.

use burn::tensor::activation::softmax;
use rand::Rng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::supervised::draw_balanced;
use super::{Loss, Method, supervised};
use crate::network::Outputs;
use crate::scene::Expression;
use crate::train::batch::{Batch, Change, Shot};
use crate::train::faces::Faces;
use crate::train::fault;
use crate::train::losses::contrast::Relation::{Negative, Positive};
use crate::train::losses::contrast::{contrast, contrast_groups};
use crate::train::losses::cross_entropy;

/// A coarse class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Coarse {
    Positive,
    Negative,
    Neutral,
    Surprise,
}

impl Coarse {
    /// How many there are.
    pub const COUNT: usize = 4;

    /// That of an expression.
    #[must_use]
    pub const fn of(expression: Expression) -> Self {
        match expression {
            Expression::Happy => Self::Positive,
            Expression::Angry | Expression::Disgusted | Expression::Afraid | Expression::Sad => Self::Negative,
            Expression::Neutral => Self::Neutral,
            Expression::Surprised => Self::Surprise,
        }
    }
}

/// How CRS-CONT is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Faces a batch, two pictures of each.
    pub faces: usize,
    /// Temperature of both contrastive terms.
    pub temperature: f32,
    /// Weight of pictures of the negative class in the first term (the "weight vector"): four expressions are not to be
    /// pressed into one point.
    pub negative_weight: f32,
    /// Weight of the predictions' contrast, which keeps the pictures of a class apart.
    pub prediction_weight: f32,
    /// How far rare expressions are drawn as often as frequent ones, 0 to 1.
    pub balance: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { faces: 64, temperature: 0.07, negative_weight: 0.5, prediction_weight: 0.4, balance: 0.5 }
    }
}

impl Settings {
    pub(super) fn fault(&self, table: &str) -> Option<(String, String)> {
        fault::first(
            table,
            &[
                ((2..=8192).contains(&self.faces), "faces", "between 2 and 8192"),
                ((0.01..=10.0).contains(&self.temperature), "temperature", "between 0.01 and 10"),
                ((0.0..=10.0).contains(&self.negative_weight), "negative_weight", "between 0 and 10"),
                ((0.0..=10.0).contains(&self.prediction_weight), "prediction_weight", "between 0 and 10"),
                ((0.0..=1.0).contains(&self.balance), "balance", "between 0 and 1"),
            ],
        )
    }

    pub(super) fn check(&self, faces: &Faces, pool: &[usize]) -> Result<(), String> {
        supervised::Settings::default().check(faces, pool)
    }
}

impl Method for Settings {
    fn pictures(&self) -> usize {
        2 * self.faces
    }

    /// The two pictures of a face stand together.
    fn draw(&self, faces: &Faces, pool: &[usize], rng: &mut StdRng) -> Batch {
        let mut batch = Batch::default();
        for face in draw_balanced(faces, pool, self.balance, self.faces, rng) {
            for _ in 0..2 {
                batch.push(faces, Shot { face, seed: rng.next_u64(), change: Change::None }, face);
            }
        }
        batch
    }

    fn loss(&self, outputs: &Outputs, batch: &Batch) -> Loss {
        let coarse: Vec<Option<Coarse>> = batch.label.iter().map(|label| label.map(Coarse::of)).collect();
        let weight = |row: usize| if coarse[row] == Some(Coarse::Negative) { self.negative_weight } else { 1.0 };
        let relation = |i: usize, j: usize| if coarse[i] == coarse[j] { Positive } else { Negative };
        let classes = contrast(outputs.projection.clone(), self.temperature, weight, relation);

        let first = |(row, class): (usize, &Option<Coarse>)| class.filter(|_| row % 2 == 0).map(|class| class as usize);
        let labels = cross_entropy::whole(coarse.iter().enumerate().map(first));
        let prediction = cross_entropy::cross_entropy(outputs.coarse.clone(), &labels, 0.0, &[1.0; Coarse::COUNT]);

        let pictures = contrast_groups(softmax(outputs.coarse.clone(), 1), self.temperature, &batch.group);
        Loss::sum(vec![
            ("classes", 1.0, classes),
            ("prediction", 1.0, prediction),
            ("pictures", self.prediction_weight, pictures),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{outputs, rng};
    use super::*;
    use crate::train::losses::gradient::random;
    use crate::train::sample;

    #[test]
    fn its_terms_are_those_of_the_released_code() {
        let faces = sample::stills(6, 1);
        let settings = Settings { faces: 10, ..Settings::default() };
        let batch = settings.draw(&faces, &faces.all(), &mut rng(8));
        let rows = random(20, 5, 1);
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let outputs = outputs(&rows);
        let loss = settings.loss(&outputs, &batch);

        let coarse: Vec<usize> = batch.label.iter().map(|label| Coarse::of(label.unwrap()) as usize).collect();
        // By hand: the mean over rows of w times the supervised contrastive loss at tau = 0.07.
        let z: Vec<Vec<f64>> = rows
            .iter()
            .map(|row| {
                let length = row.iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt();
                row.iter().map(|x| f64::from(*x) / length).collect()
            })
            .collect();
        let score = |i: usize, j: usize| z[i].iter().zip(&z[j]).map(|(a, b)| a * b).sum::<f64>() / 0.07;
        let row = |i: usize| {
            let sum = (0..20).filter(|j| *j != i).map(|j| score(i, j).exp()).sum::<f64>().ln();
            let positives: Vec<usize> = (0..20).filter(|&j| j != i && coarse[j] == coarse[i]).collect();
            let mean = positives.iter().map(|&p| sum - score(i, p)).sum::<f64>() / positives.len() as f64;
            if coarse[i] == Coarse::Negative as usize { 0.5 * mean } else { mean }
        };
        let classes = (0..20).map(row).sum::<f64>() / 20.0;
        let part = |name: &str| f64::from(loss.parts.iter().find(|(known, _)| *known == name).unwrap().1);
        assert!((part("classes") - classes).abs() < 1e-3, "{} {classes}", part("classes"));

        let first_crops = cross_entropy::whole((0..20).map(|row| (row % 2 == 0).then_some(coarse[row])));
        let prediction = cross_entropy::cross_entropy(outputs.coarse, &first_crops, 0.0, &[1.0; 4]);
        let prediction: f32 = prediction.into_scalar();
        assert!((part("prediction") - f64::from(prediction)).abs() < 1e-5);
        let total: f32 = loss.total.into_scalar();
        let sum = part("classes") + part("prediction") + 0.4 * part("pictures");
        assert!((f64::from(total) - sum).abs() < 1e-4);
    }

    #[test]
    fn the_four_unpleasant_expressions_are_one_coarse_class() {
        let of =
            |class: Coarse| Expression::ALL.into_iter().filter(|expression| Coarse::of(*expression) == class).count();
        let counts = [Coarse::Positive, Coarse::Negative, Coarse::Neutral, Coarse::Surprise].map(of);
        assert_eq!(counts, [1, 4, 1, 1]);
    }
}
