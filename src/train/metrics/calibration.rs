//! How far a model's probabilities can be believed: reliability, likelihood, and the temperature that mends them.

use serde::{Deserialize, Serialize};

use super::{Answer, share};
use crate::fuse::rules::softmax;
use crate::scene::Expression;

/// How many bins the calibration error has.
pub const BINS: usize = 15;

/// One bin of the calibration error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Faces in it.
    pub faces: u64,
    /// Share of them that was named rightly; 0 in an empty bin.
    pub accuracy: f64,
    /// Mean probability of their named class; 0 in an empty bin.
    pub confidence: f64,
}

/// The [`BINS`] bins, from the least to the most confident.
#[must_use]
pub fn reliability(answers: &[Answer]) -> [Bin; BINS] {
    let mut bins = [Bin::default(); BINS];
    for answer in answers {
        let Some(logits) = answer.logits else { continue };
        let confidence = max(&softmax(&logits).map(f64::from));
        let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        bin.faces += 1;
        bin.confidence += confidence;
        bin.accuracy += f64::from(u8::from(answer.is_right()));
    }
    for bin in bins.iter_mut().filter(|bin| bin.faces > 0) {
        bin.confidence /= bin.faces as f64;
        bin.accuracy /= bin.faces as f64;
    }
    bins
}

/// The expected calibration error of `bins`, 0 to 1; 0 without a face.
#[must_use]
pub fn ece(bins: &[Bin]) -> f64 {
    let gaps = bins.iter().map(|bin| bin.faces as f64 * (bin.accuracy - bin.confidence).abs());
    share(gaps.sum(), bins.iter().map(|bin| bin.faces).sum())
}

/// The class scores of the found faces and the right classes.
fn found(answers: &[Answer]) -> impl Iterator<Item = ([f64; Expression::COUNT], usize)> {
    answers.iter().filter_map(|answer| Some((answer.logits?.map(f64::from), answer.truth as usize)))
}

fn max(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// The mean negative log-likelihood of the found faces, their class scores divided by `temperature`; 0 without a face.
#[must_use]
pub fn nll(answers: &[Answer], temperature: f64) -> f64 {
    let losses = found(answers).map(|(scores, truth)| {
        let scores = scores.map(|score| score / temperature);
        let top = max(&scores);
        top + scores.iter().map(|score| (score - top).exp()).sum::<f64>().ln() - scores[truth]
    });
    share(losses.sum(), found(answers).count() as u64)
}

/// The range in which [`fit_temperature`] looks.
const TEMPERATURES: (f64, f64) = (0.1, 10.0);

/// The temperature between 0.1 and 10 with the lowest NLL of the found faces (Guo et al., ICML 2017); fit it on validation
/// faces, never on those that are reported. 1 without a face.
#[must_use]
pub fn fit_temperature(answers: &[Answer]) -> f32 {
    if found(answers).next().is_none() {
        return 1.0;
    }
    // The NLL is convex in 1 / temperature. Its slope there: the mean score under the model less the right one's.
    let slope = |inverse: f64| -> f64 {
        let of = |(scores, truth): ([f64; Expression::COUNT], usize)| {
            let top = max(&scores);
            let masses = scores.map(|score| ((score - top) * inverse).exp());
            let mean = masses.iter().zip(scores).map(|(mass, score)| mass * score).sum::<f64>();
            mean / masses.iter().sum::<f64>() - scores[truth]
        };
        found(answers).map(of).sum()
    };
    let (mut low, mut high) = (1.0 / TEMPERATURES.1, 1.0 / TEMPERATURES.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if slope(middle) <= 0.0 { low = middle } else { high = middle }
    }
    (1.0 / f64::midpoint(low, high)) as f32
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, any_answer, near};
    use super::*;
    use crate::scene::Expression::{Angry, Happy, Sad};
    use proptest::prelude::*;

    #[test]
    fn calibration_error_and_likelihood_are_the_hand_computed_ones() {
        // Bin of 0.9: one right, one wrong, |0.5 - 0.9|; bin of 0.5: one right, |1 - 0.5|.
        let answers = [answer(Angry, Angry, 0.9), answer(Angry, Happy, 0.9), answer(Sad, Sad, 0.5)];
        near(ece(&reliability(&answers)), (2.0 * 0.4 + 0.5) / 3.0);
        near(nll(&answers, 1.0), -(0.9_f64.ln() + (0.1_f64 / 6.0).ln() + 0.5_f64.ln()) / 3.0);
    }

    #[test]
    fn of_a_certain_model_the_last_bin_holds_all() {
        let bins = reliability(&[answer(Angry, Angry, 1.0 - 1e-7)]);
        assert_eq!(bins[BINS - 1].faces, 1);
        assert!(ece(&bins) < 1e-5);
    }

    #[test]
    fn the_fitted_temperature_makes_confidence_match_accuracy() {
        // Three in four are right, and the model says 0.99: it must be cooled down to 0.75.
        let answers: Vec<Answer> = [Angry, Angry, Angry, Happy].map(|truth| answer(truth, Angry, 0.99)).into();
        let temperature = fit_temperature(&answers);
        let logits = answers[0].logits.expect("a found face");
        let cooled = softmax(&logits.map(|logit| logit / temperature))[Angry as usize];
        assert!((cooled - 0.75).abs() < 1e-3, "{cooled} at {temperature}");
    }

    #[test]
    fn temperatures_stay_in_their_range_where_none_is_best() {
        let right = [answer(Angry, Angry, 0.9)];
        let wrong = [answer(Happy, Angry, 0.9)];
        near(f64::from(fit_temperature(&right)), TEMPERATURES.0);
        near(f64::from(fit_temperature(&wrong)), TEMPERATURES.1);
        near(f64::from(fit_temperature(&[])), 1.0);
    }

    proptest! {
        #[test]
        fn no_temperature_beats_the_fitted_one(answers in prop::collection::vec(any_answer(), 1..40), t in 0.1_f64..10.0) {
            let fitted = f64::from(fit_temperature(&answers));
            prop_assert!(nll(&answers, fitted) <= nll(&answers, t) + 1e-6);
        }
    }
}
