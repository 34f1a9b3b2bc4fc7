//! How well a model reads faces: the figures of every table. Pure.
//!
//! Definitions, the same everywhere:
//! * **accuracy**: pictures whose most probable class is the right one, over all pictures. Where the detector found no
//!   face, nothing was said, and that is wrong. `accuracy_found` is that over the found faces alone.
//! * **macro-F1**: the plain mean of F1 over the classes that have at least one picture; a picture without a found face
//!   misses in its class's recall. A class without a picture has no F1 and does not count; a face wrongly taken for it
//!   misses in its own class's recall all the same.
//! * **NLL**: the mean negative natural logarithm of the right class's probability, over the found faces.
//! * **ECE** (Guo et al., ICML 2017): the found faces are sorted into 15 bins of equal width by the probability of their
//!   most probable class; the mean over the bins of |accuracy - mean probability|, weighted by their faces.
//! * **mAP** of cross-view retrieval: [`retrieval()`].

mod bootstrap;
mod calibration;
mod figures;
mod retrieval;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use bootstrap::{Difference, paired_bootstrap};
pub use calibration::{BINS, Bin, ece, fit_temperature, nll, reliability};
pub use figures::{Answers, Figures, Fused};
pub use retrieval::{Pictured, Retrieval, retrieval};

use crate::config::Rule;
use crate::fuse::rules::{Opinion, fuse};
use crate::scene::{Expression, Logits};
use crate::train::faces::ANGLES;

/// What a model said of one picture of a face whose expression is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Who it is, where that is known.
    pub subject: Option<usize>,
    /// The instant: pictures of one scene are views of the same face.
    pub scene: usize,
    /// From where.
    pub view: usize,
    /// How it looks.
    pub truth: Expression,
    /// The model's class scores; none where no face was found.
    pub logits: Option<Logits>,
}

impl Answer {
    /// The class that the model names.
    #[must_use]
    pub fn named(&self) -> Option<Expression> {
        self.logits.as_ref().map(Expression::most_probable)
    }

    /// Whether it is the right one.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.named() == Some(self.truth)
    }
}

/// How often which class was taken for which; classes in the order of [`Expression::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Found faces by true class (row) and named class (column).
    pub confusion: [[u64; Expression::COUNT]; Expression::COUNT],
    /// Pictures without a found face by true class.
    pub missed: [u64; Expression::COUNT],
}

impl Counts {
    /// Counts `answers`.
    #[must_use]
    pub fn of(answers: &[Answer]) -> Self {
        let mut counts = Self::default();
        for answer in answers {
            match answer.named() {
                Some(named) => counts.confusion[answer.truth as usize][named as usize] += 1,
                None => counts.missed[answer.truth as usize] += 1,
            }
        }
        counts
    }

    /// How many faces were found.
    #[must_use]
    pub fn found(&self) -> u64 {
        self.confusion.iter().flatten().sum()
    }

    /// How many pictures there are.
    #[must_use]
    pub fn faces(&self) -> u64 {
        self.found() + self.missed.iter().sum::<u64>()
    }

    /// How many were named rightly.
    #[must_use]
    pub fn right(&self) -> u64 {
        (0..Expression::COUNT).map(|class| self.confusion[class][class]).sum()
    }

    /// The mean of F1 over the classes that have a picture; 0 without one.
    #[must_use]
    pub fn macro_f1(&self) -> f64 {
        let f1 = |class: usize| {
            let true_ones = self.confusion[class].iter().sum::<u64>() + self.missed[class];
            let named_ones: u64 = self.confusion.iter().map(|row| row[class]).sum();
            (true_ones > 0).then(|| 2.0 * self.confusion[class][class] as f64 / (true_ones + named_ones) as f64)
        };
        let scores: Vec<f64> = (0..Expression::COUNT).filter_map(f1).collect();
        share(scores.iter().sum(), scores.len() as u64)
    }
}

/// `part / whole`; 0 of nothing.
fn share(part: f64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part / whole as f64 }
}

/// One answer a scene: the views' distributions fused by the mean of their logarithms, as the live pipeline does where
/// views weigh the same. Views in which no face was found say nothing; a scene without any found face has no logits. In
/// order of the scenes; the view is that of the scene's first picture.
#[must_use]
pub fn fused(answers: &[Answer]) -> Vec<Answer> {
    let mut scenes: BTreeMap<usize, Vec<&Answer>> = BTreeMap::new();
    for answer in answers {
        scenes.entry(answer.scene).or_default().push(answer);
    }
    let fuse_scene = |views: Vec<&Answer>| {
        let opinion = |answer: &&Answer| answer.logits.map(|logits| Opinion { logits, weight: 1.0 });
        let opinions: Vec<Opinion> = views.iter().filter_map(opinion).collect();
        let logits =
            fuse(Rule::LogLinear, &opinions, 1.0).map(|probabilities| probabilities.map(|p| p.max(1e-12).ln()));
        Some(Answer { logits, ..**views.first()? })
    };
    scenes.into_values().filter_map(fuse_scene).collect()
}

/// The figures of one set of answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// How many pictures they are of.
    pub faces: u64,
    /// In how many of them the face was found.
    pub found: u64,
    /// Share of right ones; a face that was not found is wrong.
    pub accuracy: f64,
    /// Share of right ones of the found faces.
    pub accuracy_found: f64,
    /// Mean F1 over the classes with a picture.
    pub macro_f1: f64,
    /// Mean negative log-likelihood of the found faces.
    pub nll: f64,
    /// Expected calibration error of the found faces.
    pub ece: f64,
    /// Accuracy of each view that has a picture.
    pub per_angle: PerAngle<f64>,
    /// Pictures of each such view.
    pub faces_per_angle: PerAngle<u64>,
    /// What was taken for what.
    #[serde(flatten)]
    pub counts: Counts,
    /// What the calibration error is made of.
    pub reliability: Vec<Bin>,
}

impl Metrics {
    /// The figures of `answers`, whose views have the names `views`; `None` without an answer.
    #[must_use]
    pub fn of(answers: &[Answer], views: &[String]) -> Option<Self> {
        if answers.is_empty() {
            return None;
        }
        let counts = Counts::of(answers);
        let reliability = reliability(answers);
        let seen_from = |view: usize| -> Vec<Answer> { answers.iter().filter(|a| a.view == view).copied().collect() };
        let named: Vec<(&String, Counts)> = in_order(views)
            .map(|(view, name)| (name, Counts::of(&seen_from(view))))
            .filter(|(_, counts)| counts.faces() > 0)
            .collect();
        let accuracy = |counts: &Counts| share(counts.right() as f64, counts.faces());
        Some(Self {
            faces: counts.faces(),
            found: counts.found(),
            accuracy: accuracy(&counts),
            accuracy_found: share(counts.right() as f64, counts.found()),
            macro_f1: counts.macro_f1(),
            nll: nll(answers, 1.0),
            ece: ece(&reliability),
            per_angle: PerAngle(named.iter().map(|(name, counts)| ((*name).clone(), accuracy(counts))).collect()),
            faces_per_angle: PerAngle(named.iter().map(|(name, counts)| ((*name).clone(), counts.faces())).collect()),
            counts,
            reliability: reliability.to_vec(),
        })
    }
}

/// From the full left profile to the full right one; views that have other names keep their order behind them.
fn in_order(views: &[String]) -> impl Iterator<Item = (usize, &String)> {
    let mut ordered: Vec<(usize, &String)> = views.iter().enumerate().collect();
    ordered.sort_by_key(|(_, name)| ANGLES.iter().position(|angle| angle == name).unwrap_or(ANGLES.len()));
    ordered.into_iter()
}

/// One value a view, by the views' names; a map in JSON.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PerAngle<T>(pub Vec<(String, T)>);

impl<T: Copy> PerAngle<T> {
    /// The value of `view`.
    #[must_use]
    pub fn get(&self, view: &str) -> Option<T> {
        self.0.iter().find(|(name, _)| name == view).map(|(_, value)| *value)
    }
}

impl<T: Serialize> Serialize for PerAngle<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for PerAngle<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = PerAngle<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from views to values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PerAngle<T>, A::Error> {
                std::iter::from_fn(|| map.next_entry().transpose()).collect::<Result<_, _>>().map(PerAngle)
            }
        }
        deserializer.deserialize_map(InOrder(PhantomData))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::fuse::rules::softmax;
    use proptest::prelude::*;

    use Expression::{Angry, Happy, Sad};

    /// An answer that gives `named` the probability `p` and the others equal parts of the rest.
    pub(in crate::train) fn answer(truth: Expression, named: Expression, p: f32) -> Answer {
        let mut logits = [((1.0 - p) / 6.0).ln(); Expression::COUNT];
        logits[named as usize] = p.ln();
        Answer { subject: Some(0), scene: 0, view: 0, truth, logits: Some(logits) }
    }

    pub(in crate::train) fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-6, "{a} is not {b}");
    }

    #[test]
    fn accuracy_and_macro_f1_are_the_hand_computed_ones() {
        // Angry: 2 of 3 found, 2 named. Happy: 1 of 1 found, 2 named. The other five classes have no face.
        let pairs = [(Angry, Angry), (Angry, Angry), (Angry, Happy), (Happy, Happy)];
        let answers = pairs.map(|(truth, named)| answer(truth, named, 0.9));
        let counts = Counts::of(&answers);
        assert_eq!(counts.confusion[Angry as usize][Happy as usize], 1);
        assert_eq!((counts.right(), counts.faces()), (3, 4));
        near(counts.macro_f1(), f64::midpoint(4.0 / 5.0, 2.0 / 3.0));
        // A face taken for a class without faces costs recall in its own class alone.
        let more = [&answers[..], &[answer(Angry, Sad, 0.9)]].concat();
        near(Counts::of(&more).macro_f1(), f64::midpoint(4.0 / 6.0, 2.0 / 3.0));
    }

    #[test]
    fn a_face_that_is_not_found_is_wrong_and_says_so() {
        let missed = Answer { logits: None, ..answer(Angry, Angry, 0.9) };
        let answers = [answer(Angry, Angry, 0.9), missed, missed, answer(Happy, Happy, 0.9)];
        let metrics = Metrics::of(&answers, &["S".to_owned()]).expect("there are answers");
        assert_eq!((metrics.faces, metrics.found, metrics.counts.missed[Angry as usize]), (4, 2, 2));
        near(metrics.accuracy, 0.5);
        near(metrics.accuracy_found, 1.0);
        near(metrics.macro_f1, f64::midpoint(2.0 / 4.0, 1.0));
        assert_eq!(metrics.per_angle.get("S"), Some(0.5));
        near(metrics.ece, 0.1);
    }

    #[test]
    fn a_scene_is_fused_by_the_mean_of_logarithms() {
        let of = |scene, named, p| Answer { scene, ..answer(Angry, named, p) };
        let missed = |scene| Answer { scene, logits: None, ..answer(Angry, Angry, 0.5) };
        let fused = fused(&[of(3, Angry, 0.6), of(1, Sad, 0.5), missed(3), missed(2), of(3, Happy, 0.9)]);
        assert_eq!(fused.iter().map(|answer| answer.scene).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(fused[1].logits, None);
        let angry = (0.6_f64 * 0.1 / 6.0).sqrt();
        let happy = (0.4 / 6.0 * 0.9_f64).sqrt();
        let others = 5.0 * (0.4 / 6.0 * 0.1_f64 / 6.0).sqrt();
        let said = softmax(&fused[2].logits.expect("two views saw it"));
        near(f64::from(said[Happy as usize]), happy / (angry + happy + others));
    }

    #[test]
    fn figures_are_told_apart_by_view_from_left_to_right() {
        let of = |view, named| Answer { view, ..answer(Angry, named, 0.9) };
        let views = ["FR", "up", "S", "FL"].map(str::to_owned);
        let answers = [of(0, Angry), of(0, Sad), of(1, Angry), of(3, Angry)];
        let metrics = Metrics::of(&answers, &views).expect("there are answers");
        let told = serde_json::to_string(&metrics.per_angle).expect("it is a map");
        assert_eq!(told, r#"{"FL":1.0,"FR":0.5,"up":1.0}"#);
        assert_eq!(metrics.faces_per_angle.get("FR"), Some(2));
        assert_eq!(Metrics::of(&[], &views), None);
    }

    #[test]
    fn figures_are_read_again_as_they_were_written() {
        let views = ["S".to_owned()];
        let metrics = Metrics::of(&[answer(Angry, Sad, 0.9)], &views).expect("there is an answer");
        let json = serde_json::to_string(&metrics).expect("written");
        assert_eq!(serde_json::from_str::<Metrics>(&json).expect("read"), metrics, "{json}");
        assert!(json.contains(r#""confusion":[[0,0,0,0,1,0,0],"#), "{json}");
    }

    pub(in crate::train) fn any_answer() -> impl Strategy<Value = Answer> {
        let class = (0..Expression::COUNT).prop_map(|class| Expression::ALL[class]);
        let logits = prop::option::weighted(0.9, prop::array::uniform7(-5.0_f32..5.0));
        (prop::option::of(0..4_usize), 0..6_usize, 0..5_usize, class, logits)
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
                [m.accuracy, m.accuracy_found, m.macro_f1, m.nll, m.ece, f64::from(fit_temperature(answers))]
            };
            for (a, b) in of(&answers).into_iter().zip(of(&turned)) {
                prop_assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }

        #[test]
        fn what_is_right_throughout_scores_one(answers in prop::collection::vec(any_answer(), 1..40)) {
            let certain: Vec<Answer> =
                answers.into_iter().map(|a| Answer { logits: answer(a.truth, a.truth, 0.9999).logits, ..a }).collect();
            let metrics = Metrics::of(&certain, &[]).expect("there are answers");
            prop_assert!(metrics.accuracy == 1.0 && metrics.macro_f1 == 1.0 && metrics.ece < 2e-4);
        }

        #[test]
        fn figures_lie_between_zero_and_one(answers in prop::collection::vec(any_answer(), 1..40)) {
            let m = Metrics::of(&answers, &[]).expect("there are answers");
            let figures = [m.accuracy, m.accuracy_found, m.macro_f1, m.ece];
            prop_assert!(figures.iter().all(|figure| (0.0..=1.0).contains(figure)), "{m:?}");
        }
    }
}
