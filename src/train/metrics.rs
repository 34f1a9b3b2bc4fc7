//! How well a model reads faces: the figures of every table. Pure.
//!
//! Definitions, the same everywhere:
//! * **accuracy**: faces whose most probable class is the right one, over all faces.
//! * **macro-F1**: the plain mean of F1 over the classes that have at least one face. A class without any has no F1 and
//!   does not count; faces wrongly taken for it still miss in their own class's recall.
//! * **NLL**: mean negative natural logarithm of the right class's probability.
//! * **ECE** (Guo et al., ICML 2017): faces are sorted into 15 bins of equal width by the probability of their most
//!   probable class; the mean over the bins of |accuracy - mean probability|, weighted by their faces.
//! * **mAP** of cross-view retrieval: [`retrieval`].

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::config::Rule;
use crate::fuse::rules::{Opinion, fuse, softmax};
use crate::scene::{Expression, Logits};

/// How many bins the calibration error has.
pub const BINS: usize = 15;

/// What a model said of one face whose expression is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// Who it is.
    pub subject: usize,
    /// The instant: faces of one scene are views of the same face.
    pub scene: usize,
    /// From where.
    pub view: usize,
    /// How it looks.
    pub truth: Expression,
    /// The model's class scores.
    pub logits: Logits,
}

impl Answer {
    /// The class that the model names.
    #[must_use]
    pub fn named(&self) -> Expression {
        Expression::most_probable(&self.logits)
    }

    /// Whether it is the right one.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.named() == self.truth
    }
}

/// Faces by true class (row) and named class (column), in the order of [`Expression::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion(pub [[u64; Expression::COUNT]; Expression::COUNT]);

impl Confusion {
    /// Counts `answers`.
    #[must_use]
    pub fn of(answers: &[Answer]) -> Self {
        let mut counts = Self::default();
        for answer in answers {
            counts.0[answer.truth as usize][answer.named() as usize] += 1;
        }
        counts
    }

    /// How many faces there are.
    #[must_use]
    pub fn faces(&self) -> u64 {
        self.0.iter().flatten().sum()
    }

    /// How many were named rightly.
    #[must_use]
    pub fn right(&self) -> u64 {
        (0..Expression::COUNT).map(|class| self.0[class][class]).sum()
    }

    /// Right ones over all, 0 to 1; not a number without a face.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        self.right() as f64 / self.faces() as f64
    }

    /// The mean of F1 over the classes that have a face; not a number without a face.
    #[must_use]
    pub fn macro_f1(&self) -> f64 {
        let f1 = |class: usize| {
            let true_ones: u64 = self.0[class].iter().sum();
            let named_ones: u64 = self.0.iter().map(|row| row[class]).sum();
            (true_ones > 0).then(|| 2.0 * self.0[class][class] as f64 / (true_ones + named_ones) as f64)
        };
        let scores: Vec<f64> = (0..Expression::COUNT).filter_map(f1).collect();
        scores.iter().sum::<f64>() / scores.len() as f64
    }
}

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
        let confidence = f64::from(softmax(&answer.logits)[answer.named() as usize]);
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

/// The expected calibration error of `bins`, 0 to 1; not a number without a face.
#[must_use]
pub fn ece(bins: &[Bin]) -> f64 {
    let gaps = bins.iter().map(|bin| bin.faces as f64 * (bin.accuracy - bin.confidence).abs());
    gaps.sum::<f64>() / bins.iter().map(|bin| bin.faces).sum::<u64>() as f64
}

/// The mean negative log-likelihood of `answers` with their class scores divided by `temperature`; not a number without
/// a face.
#[must_use]
pub fn nll(answers: &[Answer], temperature: f64) -> f64 {
    let losses = answers.iter().map(|answer| {
        let scores = answer.logits.map(|logit| f64::from(logit) / temperature);
        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        top + scores.iter().map(|score| (score - top).exp()).sum::<f64>().ln() - scores[answer.truth as usize]
    });
    losses.sum::<f64>() / answers.len() as f64
}

/// The range in which [`fit_temperature`] looks.
const TEMPERATURES: (f64, f64) = (0.1, 10.0);

/// The temperature between 0.1 and 10 with the lowest NLL (Guo et al., ICML 2017); fit it on validation faces, never on
/// those that are reported. 1 without a face.
#[must_use]
pub fn fit_temperature(answers: &[Answer]) -> f32 {
    if answers.is_empty() {
        return 1.0;
    }
    // The NLL is convex in 1 / temperature. Its slope there: the mean score under the model less the right one's.
    let slope = |inverse: f64| -> f64 {
        let of = |answer: &Answer| {
            let scores = answer.logits.map(f64::from);
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let masses = scores.map(|score| ((score - top) * inverse).exp());
            let mean = masses.iter().zip(scores).map(|(mass, score)| mass * score).sum::<f64>();
            mean / masses.iter().sum::<f64>() - scores[answer.truth as usize]
        };
        answers.iter().map(of).sum()
    };
    let (mut low, mut high) = (1.0 / TEMPERATURES.1, 1.0 / TEMPERATURES.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if slope(middle) <= 0.0 { low = middle } else { high = middle }
    }
    (1.0 / f64::midpoint(low, high)) as f32
}

/// One answer a scene: the views' distributions fused by the mean of their logarithms, as the live pipeline does where
/// views weigh the same. In order of the scenes; the view is the scene's first one's.
#[must_use]
pub fn fused(answers: &[Answer]) -> Vec<Answer> {
    let mut scenes: BTreeMap<usize, Vec<&Answer>> = BTreeMap::new();
    for answer in answers {
        scenes.entry(answer.scene).or_default().push(answer);
    }
    let fuse_scene = |views: Vec<&Answer>| {
        let opinions: Vec<Opinion> =
            views.iter().map(|answer| Opinion { logits: answer.logits, weight: 1.0 }).collect();
        let probabilities = fuse(Rule::LogLinear, &opinions, 1.0)?;
        Some(Answer { logits: probabilities.map(|p| p.max(1e-12).ln()), ..**views.first()? })
    };
    scenes.into_values().filter_map(fuse_scene).collect()
}

/// The figures of one set of answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// How many faces they are of.
    pub faces: u64,
    /// Share of right ones.
    pub accuracy: f64,
    /// Mean F1 over the classes with a face.
    pub macro_f1: f64,
    /// Mean negative log-likelihood.
    pub nll: f64,
    /// Expected calibration error.
    pub ece: f64,
    /// Faces by true and by named class.
    pub confusion: Confusion,
    /// What the calibration error is made of.
    pub reliability: Vec<Bin>,
    /// Faces and accuracy of each view, in the order of the views; a view without a face is left out.
    pub per_angle: Vec<Angle>,
}

/// The figures of one view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Angle {
    /// The view's name.
    pub view: String,
    /// How many faces it has.
    pub faces: u64,
    /// Share of right ones.
    pub accuracy: f64,
}

impl Metrics {
    /// The figures of `answers`, whose views have the names `views`; `None` without an answer.
    #[must_use]
    pub fn of(answers: &[Answer], views: &[String]) -> Option<Self> {
        if answers.is_empty() {
            return None;
        }
        let confusion = Confusion::of(answers);
        let reliability = reliability(answers);
        let angle = |(view, name): (usize, &String)| {
            let right: Vec<bool> = answers.iter().filter(|a| a.view == view).map(Answer::is_right).collect();
            let accuracy = right.iter().filter(|right| **right).count() as f64 / right.len() as f64;
            (!right.is_empty()).then(|| Angle { view: name.clone(), faces: right.len() as u64, accuracy })
        };
        Some(Self {
            faces: confusion.faces(),
            accuracy: confusion.accuracy(),
            macro_f1: confusion.macro_f1(),
            nll: nll(answers, 1.0),
            ece: ece(&reliability),
            confusion,
            reliability: reliability.to_vec(),
            per_angle: views.iter().enumerate().filter_map(angle).collect(),
        })
    }
}

/// A face in a retrieval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pictured<'a> {
    /// Who it is.
    pub subject: usize,
    /// From where.
    pub view: usize,
    /// How it looks.
    pub expression: Expression,
    /// What the model made of it; any length.
    pub embedding: &'a [f32],
}

/// Mean average precision, and over how many queries.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retrieval {
    /// Mean average precision, 0 to 1.
    pub mean_average_precision: f64,
    /// Faces that had something to be found.
    pub queries: u64,
}

/// Cross-view retrieval. Each face in turn is the query; the gallery is every face of another view than its own, of all
/// people; the same person with the same expression is what is to be found. Faces are ranked by the cosine of their
/// embeddings; equal cosines share one rank. A query with nothing to be found is left out; `None` if all are.
#[must_use]
pub fn retrieval(faces: &[Pictured<'_>]) -> Option<Retrieval> {
    let unit: Vec<Vec<f32>> = faces.iter().map(|face| of_unit_length(face.embedding)).collect();
    let precision = |query: usize| {
        let asked = &faces[query];
        let gallery = faces.iter().zip(&unit).filter(|(face, _)| face.view != asked.view);
        let mut ranked: Vec<(f32, bool)> = gallery
            .map(|(face, embedding)| {
                let cosine = unit[query].iter().zip(embedding).map(|(a, b)| a * b).sum();
                (cosine, face.subject == asked.subject && face.expression == asked.expression)
            })
            .collect();
        ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        average_precision(&ranked)
    };
    // Summed in the order of the faces, so that the number of threads does not show.
    let precisions: Vec<Option<f64>> = (0..faces.len()).into_par_iter().map(precision).collect();
    let found: Vec<f64> = precisions.into_iter().flatten().collect();
    (!found.is_empty()).then(|| Retrieval {
        mean_average_precision: found.iter().sum::<f64>() / found.len() as f64,
        queries: found.len() as u64,
    })
}

fn of_unit_length(values: &[f32]) -> Vec<f32> {
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
    values.iter().map(|value| value / length).collect()
}

/// The sum over the ranks of (gain in recall) x (precision there); `None` with nothing relevant. `ranked` is sorted, the
/// best first.
fn average_precision(ranked: &[(f32, bool)]) -> Option<f64> {
    let relevant = ranked.iter().filter(|(_, relevant)| *relevant).count();
    let (mut seen, mut hits, mut sum) = (0, 0, 0.0);
    for equals in ranked.chunk_by(|a, b| a.0 == b.0) {
        let gained = equals.iter().filter(|(_, relevant)| *relevant).count();
        seen += equals.len();
        hits += gained;
        sum += gained as f64 * hits as f64 / seen as f64;
    }
    (relevant > 0).then(|| sum / relevant as f64)
}

/// A difference of accuracies with what is known of its size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The first method's accuracy less the second's.
    pub accuracy: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
    /// Two-sided: how often drawing people anew turns the sign, doubled.
    pub p: f64,
}

/// The paired bootstrap over people: both methods answered the same faces, `(subject, first is right, second is right)`;
/// people are drawn with replacement `rounds` times, each with all of their faces. The interval holds the middle 95 % of
/// the drawn differences. `None` without a face or a round.
#[must_use]
pub fn paired_bootstrap(answers: &[(usize, bool, bool)], rounds: usize, seed: u64) -> Option<Difference> {
    let mut people: BTreeMap<usize, (i64, i64)> = BTreeMap::new();
    for (subject, first, second) in answers {
        let (gained, faces) = people.entry(*subject).or_default();
        *gained += i64::from(*first) - i64::from(*second);
        *faces += 1;
    }
    let people: Vec<(i64, i64)> = people.into_values().collect();
    if people.is_empty() || rounds == 0 {
        return None;
    }
    let share = |drawn: &mut dyn Iterator<Item = (i64, i64)>| {
        let (gained, faces) = drawn.fold((0, 0), |sum, person| (sum.0 + person.0, sum.1 + person.1));
        gained as f64 / faces as f64
    };
    let mut random = StdRng::seed_from_u64(seed);
    let mut drawn: Vec<f64> = (0..rounds)
        .map(|_| share(&mut (0..people.len()).map(|_| people[random.random_range(0..people.len())])))
        .collect();
    drawn.sort_unstable_by(f64::total_cmp);
    let at = |quantile: f64| drawn[((rounds - 1) as f64 * quantile).round() as usize];
    let at_most = drawn.iter().filter(|d| **d <= 0.0).count();
    let at_least = drawn.iter().filter(|d| **d >= 0.0).count();
    Some(Difference {
        accuracy: share(&mut people.iter().copied()),
        low: at(0.025),
        high: at(0.975),
        // One is added to both counts: no finite number of rounds shows that p is 0.
        p: (2.0 * (at_most.min(at_least) + 1) as f64 / (rounds + 1) as f64).min(1.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use Expression::{Angry, Happy, Sad};

    /// An answer that gives `named` the probability `p` and the others equal parts of the rest.
    fn answer(truth: Expression, named: Expression, p: f32) -> Answer {
        let mut logits = [((1.0 - p) / 6.0).ln(); Expression::COUNT];
        logits[named as usize] = p.ln();
        Answer { subject: 0, scene: 0, view: 0, truth, logits }
    }

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-6, "{a} is not {b}");
    }

    #[test]
    fn accuracy_and_macro_f1_are_the_hand_computed_ones() {
        // Angry: 2 of 3 found, 2 named. Happy: 1 of 1 found, 2 named. The other five classes have no face.
        let pairs = [(Angry, Angry), (Angry, Angry), (Angry, Happy), (Happy, Happy)];
        let answers = pairs.map(|(truth, named)| answer(truth, named, 0.9));
        let confusion = Confusion::of(&answers);
        assert_eq!(confusion.0[Angry as usize][Happy as usize], 1);
        near(confusion.accuracy(), 0.75);
        near(confusion.macro_f1(), f64::midpoint(4.0 / 5.0, 2.0 / 3.0));
        // A face taken for a class without faces costs recall in its own class alone.
        let more = [&answers[..], &[answer(Angry, Sad, 0.9)]].concat();
        near(Confusion::of(&more).macro_f1(), f64::midpoint(4.0 / 6.0, 2.0 / 3.0));
    }

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
        let cooled = softmax(&answers[0].logits.map(|logit| logit / temperature))[Angry as usize];
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

    #[test]
    fn a_scene_is_fused_by_the_mean_of_logarithms() {
        let of = |scene, named, p| Answer { scene, ..answer(Angry, named, p) };
        let fused = fused(&[of(3, Angry, 0.6), of(1, Sad, 0.5), of(3, Happy, 0.9)]);
        assert_eq!(fused.iter().map(|answer| answer.scene).collect::<Vec<_>>(), [1, 3]);
        let angry = (0.6_f64 * 0.1 / 6.0).sqrt();
        let happy = (0.4 / 6.0 * 0.9_f64).sqrt();
        let others = 5.0 * (0.4 / 6.0 * 0.1_f64 / 6.0).sqrt();
        near(f64::from(softmax(&fused[1].logits)[Happy as usize]), happy / (angry + happy + others));
    }

    #[test]
    fn figures_are_told_apart_by_view() {
        let of = |view, named| Answer { view, ..answer(Angry, named, 0.9) };
        let views = ["FL", "S", "FR"].map(str::to_owned);
        let metrics = Metrics::of(&[of(0, Angry), of(0, Sad), of(2, Angry)], &views).expect("there are answers");
        let told: Vec<(&str, u64, f64)> =
            metrics.per_angle.iter().map(|angle| (&*angle.view, angle.faces, angle.accuracy)).collect();
        assert_eq!(told, [("FL", 2, 0.5), ("FR", 1, 1.0)]);
        assert_eq!(Metrics::of(&[], &views), None);
    }

    fn pictured(subject: usize, view: usize, expression: Expression, embedding: &[f32]) -> Pictured<'_> {
        Pictured { subject, view, expression, embedding }
    }

    #[test]
    fn average_precision_is_the_hand_computed_one() {
        // Ranks of relevant ones: 1 and 3.
        let ranked = [(0.9, true), (0.8, false), (0.7, true), (0.6, false)];
        near(average_precision(&ranked).expect("two are relevant"), f64::midpoint(1.0, 2.0 / 3.0));
        assert_eq!(average_precision(&[(0.5, false)]), None);
    }

    #[test]
    fn retrieval_looks_at_other_views_alone() {
        // The nearest face of all is of the query's own view and person: it is not in the gallery.
        let faces = [
            pictured(0, 0, Happy, &[1.0, 0.0]),
            pictured(0, 0, Happy, &[1.0, 0.01]),
            pictured(0, 1, Happy, &[0.8, 0.6]),
            pictured(1, 1, Happy, &[0.9, 0.4]),
            pictured(0, 1, Sad, &[0.0, 1.0]),
        ];
        // The two of view 0 find theirs second; the third finds both of view 0, and nothing else is there. The last two
        // have nothing to find.
        let found = retrieval(&faces).expect("three queries");
        assert_eq!(found.queries, 3);
        near(found.mean_average_precision, (0.5 + 0.5 + 1.0) / 3.0);
    }

    #[test]
    fn embeddings_that_say_nothing_find_as_chance_does() {
        let faces: Vec<Pictured<'_>> = (0..40).map(|n| pictured(n / 4, n % 4, Happy, &[0.3, 0.4])).collect();
        // Of the 30 faces of other views, 3 are the same person's.
        near(retrieval(&faces).expect("queries").mean_average_precision, 0.1);
    }

    #[test]
    fn a_method_against_itself_differs_by_nothing() {
        let answers: Vec<_> = (0..60).map(|n| (n / 6, n % 3 > 0, n % 3 > 0)).collect();
        let told = paired_bootstrap(&answers, 1000, 7).expect("there are answers");
        assert_eq!((told.accuracy, told.low, told.high, told.p), (0.0, 0.0, 0.0, 1.0));
    }

    #[test]
    fn a_difference_that_all_people_show_is_certain_and_one_that_half_show_is_not() {
        // In everybody the first is right twice more among ten faces.
        let all: Vec<_> = (0..200).map(|n| (n / 10, n % 10 < 8, n % 10 < 6)).collect();
        let told = paired_bootstrap(&all, 2000, 7).expect("there are answers");
        near(told.accuracy, 0.2);
        near(told.low, 0.2);
        assert!(told.p < 0.001, "{told:?}");
        // One half gains what the other loses.
        let half: Vec<_> = (0..200).map(|n| (n / 10, n % 20 < 8, (n + 10) % 20 < 8)).collect();
        let told = paired_bootstrap(&half, 2000, 7).expect("there are answers");
        assert!(told.low < -0.05 && told.high > 0.05 && told.p > 0.5, "{told:?}");
    }

    fn any_answer() -> impl Strategy<Value = Answer> {
        let class = (0..Expression::COUNT).prop_map(|class| Expression::ALL[class]);
        (0..4_usize, 0..6_usize, 0..5_usize, class, prop::array::uniform7(-5.0_f32..5.0))
            .prop_map(|(subject, scene, view, truth, logits)| Answer { subject, scene, view, truth, logits })
    }

    proptest! {
        #[test]
        fn the_order_of_faces_does_not_matter(answers in prop::collection::vec(any_answer(), 1..40), by in 0..40_usize) {
            let views: Vec<String> = (0..5).map(|view| view.to_string()).collect();
            let mut turned = answers.clone();
            turned.rotate_left(by % answers.len());
            turned.reverse();
            let of = |answers: &[Answer]| {
                let m = Metrics::of(answers, &views).expect("there are answers");
                let faces: Vec<Pictured<'_>> =
                    answers.iter().map(|a| pictured(a.subject, a.view, a.truth, &a.logits)).collect();
                let found = retrieval(&faces).map_or(0.0, |found| found.mean_average_precision);
                [m.accuracy, m.macro_f1, m.nll, m.ece, found, f64::from(fit_temperature(answers))]
            };
            for (a, b) in of(&answers).into_iter().zip(of(&turned)) {
                prop_assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }

        #[test]
        fn what_is_right_throughout_scores_one(answers in prop::collection::vec(any_answer(), 1..40)) {
            let certain: Vec<Answer> = answers
                .into_iter()
                .map(|a| Answer { logits: answer(a.truth, a.truth, 0.9999).logits, ..a })
                .collect();
            let metrics = Metrics::of(&certain, &[]).expect("there are answers");
            prop_assert!(metrics.accuracy == 1.0 && metrics.macro_f1 == 1.0 && metrics.ece < 2e-4);
        }

        #[test]
        fn no_temperature_beats_the_fitted_one(answers in prop::collection::vec(any_answer(), 1..40), t in 0.1_f64..10.0) {
            let fitted = f64::from(fit_temperature(&answers));
            prop_assert!(nll(&answers, fitted) <= nll(&answers, t) + 1e-6);
        }

        #[test]
        fn figures_lie_between_zero_and_one(answers in prop::collection::vec(any_answer(), 1..40)) {
            let m = Metrics::of(&answers, &[]).expect("there are answers");
            prop_assert!([m.accuracy, m.macro_f1, m.ece].iter().all(|figure| (0.0..=1.0).contains(figure)), "{m:?}");
        }
    }
}
