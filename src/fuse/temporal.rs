//! A steady reading over time: smoothing, hysteresis and abstention. Pure; time enters as stamps.

use std::time::Duration;

use crate::config;
use crate::fuse::rules::softmax;
use crate::scene::{Expression, Probabilities};
use crate::time::Timestamp;

/// How much surer than `unsure_below` one must be to leave *unsure* again.
const UNSURE_HYSTERESIS: f32 = 0.05;

/// The reading of one person over time.
#[derive(Clone, Copy, Debug)]
pub struct Smoother {
    /// Smoothed logarithms of the probabilities.
    logarithms: [f32; Expression::COUNT],
    /// When the person was last seen.
    seen_at: Timestamp,
    shown: Option<Expression>,
}

/// What a [`Smoother`] says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Smoothed.
    pub probabilities: Probabilities,
    /// The class, or `None` for *unsure*.
    pub expression: Option<Expression>,
    /// Probability of the most probable class.
    pub confidence: f32,
}

impl Smoother {
    /// Starts with the first distribution as it is.
    #[must_use]
    pub fn new(first: &Probabilities, at: Timestamp) -> Self {
        Self { logarithms: logarithms(first), seen_at: at, shown: None }
    }

    /// Takes the distribution of the instant `at` in: exponential smoothing of its logarithm with the time
    /// constant of `settings`, whatever the interval since the last.
    pub fn step(&mut self, probabilities: &Probabilities, at: Timestamp, settings: &config::Smoothing) -> Reading {
        let tau = settings.time_constant_ms / 1e3;
        let dt = at.since(self.seen_at).as_secs_f32();
        let share = if tau > 0.0 { 1.0 - (-dt / tau).exp() } else { 1.0 };
        for (old, new) in self.logarithms.iter_mut().zip(logarithms(probabilities)) {
            *old += share * (new - *old);
        }
        self.seen_at = at;
        let reading = self.reading();
        self.shown = choose(self.shown, &reading, settings);
        Reading { expression: self.shown, ..reading }
    }

    /// The reading while nobody sees the person: *unsure*, until `settings` let go of the person (`None`).
    pub fn unseen(&mut self, at: Timestamp, settings: &config::Smoothing) -> Option<Reading> {
        self.shown = None;
        let held = Duration::from_secs_f32(settings.hold_ms / 1e3);
        (at.since(self.seen_at) <= held).then(|| self.reading())
    }

    fn reading(&self) -> Reading {
        let probabilities = softmax(&self.logarithms);
        let best = Expression::most_probable(&probabilities);
        Reading { probabilities, expression: None, confidence: probabilities[best as usize] }
    }
}

fn logarithms(probabilities: &Probabilities) -> [f32; Expression::COUNT] {
    probabilities.map(|p| p.max(1e-4).ln())
}

/// The class to show: the shown one stays until another leads by the margin; below the threshold none is shown.
fn choose(shown: Option<Expression>, reading: &Reading, settings: &config::Smoothing) -> Option<Expression> {
    let best = Expression::most_probable(&reading.probabilities);
    match shown {
        Some(_) if reading.confidence < settings.unsure_below => None,
        Some(class) => {
            let lead = reading.confidence - reading.probabilities[class as usize];
            Some(if lead > settings.switch_margin { best } else { class })
        }
        None => (reading.confidence >= settings.unsure_below + UNSURE_HYSTERESIS).then_some(best),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SETTINGS: config::Smoothing =
        config::Smoothing { time_constant_ms: 200.0, switch_margin: 0.1, unsure_below: 0.3, hold_ms: 500.0 };

    fn at_ms(ms: i64) -> Timestamp {
        Timestamp::from_ns(ms * 1_000_000)
    }

    fn mostly(class: Expression, p: f32) -> Probabilities {
        let mut all = [(1.0 - p) / 6.0; 7];
        all[class as usize] = p;
        all
    }

    #[test]
    fn the_first_reading_is_taken_at_once() {
        let happy = mostly(Expression::Happy, 0.9);
        let reading = Smoother::new(&happy, at_ms(0)).step(&happy, at_ms(0), &SETTINGS);
        assert_eq!(reading.expression, Some(Expression::Happy));
        assert!((reading.confidence - 0.9).abs() < 1e-3);
    }

    #[test]
    fn one_odd_frame_does_not_change_the_label() {
        let happy = mostly(Expression::Happy, 0.8);
        let mut smoother = Smoother::new(&happy, at_ms(0));
        smoother.step(&happy, at_ms(0), &SETTINGS);
        let odd = smoother.step(&mostly(Expression::Sad, 0.8), at_ms(33), &SETTINGS);
        assert_eq!(odd.expression, Some(Expression::Happy));
        let mut last = odd;
        for n in 2..20 {
            last = smoother.step(&mostly(Expression::Sad, 0.8), at_ms(33 * n), &SETTINGS);
        }
        assert_eq!(last.expression, Some(Expression::Sad), "a lasting change does");
    }

    #[test]
    fn a_flat_distribution_is_unsure() {
        let flat = [1.0 / 7.0; 7];
        assert_eq!(Smoother::new(&flat, at_ms(0)).step(&flat, at_ms(0), &SETTINGS).expression, None);
    }

    #[test]
    fn who_is_unseen_is_unsure_for_half_a_second_and_then_gone() {
        let happy = mostly(Expression::Happy, 0.9);
        let mut smoother = Smoother::new(&happy, at_ms(0));
        smoother.step(&happy, at_ms(0), &SETTINGS);
        let held = smoother.unseen(at_ms(500), &SETTINGS).expect("still held");
        assert_eq!(held.expression, None);
        assert!(smoother.unseen(at_ms(501), &SETTINGS).is_none());
    }

    proptest! {
        #[test]
        fn smoothing_depends_on_time_not_on_the_frame_rate(steps in 1_i64..40) {
            let (from, to) = (mostly(Expression::Happy, 0.9), mostly(Expression::Sad, 0.9));
            let mut once = Smoother::new(&from, at_ms(0));
            let mut often = once;
            let reading = once.step(&to, at_ms(240), &SETTINGS);
            let mut last = reading;
            for n in 1..=steps {
                last = often.step(&to, Timestamp::from_ns(240_000_000 * n / steps), &SETTINGS);
            }
            for (a, b) in reading.probabilities.iter().zip(last.probabilities) {
                prop_assert!((a - b).abs() < 1e-3);
            }
        }
    }
}
