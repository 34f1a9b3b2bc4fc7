//! Whether one method beats another, or had luck with the people that it was tested on.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

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
pub fn paired_bootstrap<P: Copy + Ord>(answers: &[(P, bool, bool)], rounds: usize, seed: u64) -> Option<Difference> {
    let mut people: BTreeMap<P, (i64, i64)> = BTreeMap::new();
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
    use super::super::tests::near;
    use super::*;

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
}
