//! Late fusion: the rules that turn the class scores of several views into one distribution. Pure.

use crate::config::Rule;
use crate::scene::{Expression, Logits, PerClass, Probabilities};

/// What one view says.
#[derive(Clone, Copy, Debug)]
pub struct Opinion {
    /// Its class scores.
    pub logits: Logits,
    /// How much it counts, 0 or more; only ratios matter, except to [`Rule::DempsterShafer`], which reads it as a
    /// reliability from 0 to 1.
    pub weight: f32,
}

/// Each opinion's share: its weight over the sum, or equal shares if nothing has weight.
pub fn shares(weights: impl Iterator<Item = f32> + Clone) -> impl Iterator<Item = f32> {
    let count = weights.clone().count() as f32;
    let sum: f32 = weights.clone().sum();
    weights.map(move |weight| if sum > 0.0 { weight / sum } else { 1.0 / count })
}

/// The fused distribution, `temperature` applied to every view's logits first; `None` without an opinion.
#[must_use]
pub fn fuse(rule: Rule, opinions: &[Opinion], temperature: f32) -> Option<Probabilities> {
    let views = || {
        let shares = shares(opinions.iter().map(|opinion| opinion.weight));
        opinions.iter().zip(shares).map(|(o, share)| (softmax(&o.logits.map(|l| l / temperature)), o, share))
    };
    let counted = || views().filter(|(_, _, share)| *share > 0.0);
    if opinions.is_empty() {
        return None;
    }
    let logarithms = |p: &Probabilities| p.map(|p| p.max(1e-12).ln());
    Some(match rule {
        Rule::LogLinear => softmax(&sum(views().map(|(p, _, share)| logarithms(&p).map(|l| share * l)))),
        Rule::Mean => normalised(sum(views().map(|(p, ..)| p))),
        Rule::WeightedMean => normalised(sum(views().map(|(p, _, share)| p.map(|p| share * p)))),
        // A uniform prior to the power 1 - n is the same factor for every class.
        Rule::ProductOfExperts => softmax(&sum(counted().map(|(p, ..)| logarithms(&p)))),
        Rule::MaxConfidence => {
            let best = counted().max_by(|(a, ..), (b, ..)| max(a).total_cmp(&max(b)));
            best.map_or([1.0 / Expression::COUNT as f32; Expression::COUNT], |(p, ..)| p)
        }
        Rule::DempsterShafer => dempster_shafer(views().map(|(p, o, _)| (p, o.weight.clamp(0.0, 0.99)))),
    })
}

/// Masses on the classes and on "any of them"; conflict is normalised away.
fn dempster_shafer(views: impl Iterator<Item = (Probabilities, f32)>) -> Probabilities {
    let mut belief = [0.0; Expression::COUNT];
    let mut ignorance = 1.0_f32;
    for (p, reliability) in views {
        let doubt = 1.0 - reliability;
        for (mass, p) in belief.iter_mut().zip(p) {
            let said = reliability * p;
            *mass = *mass * said + *mass * doubt + ignorance * said;
        }
        ignorance *= doubt;
        let total = belief.iter().sum::<f32>() + ignorance;
        belief = belief.map(|mass| mass / total);
        ignorance /= total;
    }
    normalised(belief.map(|mass| mass + ignorance / Expression::COUNT as f32))
}

fn sum(values: impl Iterator<Item = PerClass>) -> PerClass {
    values.fold([0.0; Expression::COUNT], |mut total, value| {
        for (total, value) in total.iter_mut().zip(value) {
            *total += value;
        }
        total
    })
}

fn max(p: &Probabilities) -> f32 {
    p.iter().copied().fold(0.0, f32::max)
}

fn normalised(values: PerClass) -> Probabilities {
    let total: f32 = values.iter().sum();
    values.map(|value| value / total)
}

/// Probabilities of class scores.
#[must_use]
pub fn softmax(logits: &Logits) -> Probabilities {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    normalised(logits.map(|logit| (logit - top).exp()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: [Rule; 6] = [
        Rule::LogLinear,
        Rule::Mean,
        Rule::WeightedMean,
        Rule::ProductOfExperts,
        Rule::MaxConfidence,
        Rule::DempsterShafer,
    ];

    fn opinion() -> impl Strategy<Value = Opinion> {
        (prop::array::uniform7(-4.0_f32..4.0), 0.05_f32..1.0).prop_map(|(logits, weight)| Opinion { logits, weight })
    }

    fn near(a: Probabilities, b: Probabilities) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4)
    }

    fn fused(rule: Rule, opinions: &[Opinion]) -> Probabilities {
        fuse(rule, opinions, 1.0).expect("there are opinions")
    }

    proptest! {
        #[test]
        fn every_rule_gives_a_distribution(opinions in prop::collection::vec(opinion(), 1..8)) {
            for rule in RULES {
                let p = fused(rule, &opinions);
                prop_assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-4 && p.iter().all(|p| *p >= 0.0), "{rule:?}: {p:?}");
            }
        }

        #[test]
        fn the_order_of_views_does_not_matter(opinions in prop::collection::vec(opinion(), 1..8), by in 0_usize..8) {
            let mut turned = opinions.clone();
            turned.rotate_left(by % opinions.len());
            turned.reverse();
            for rule in RULES {
                prop_assert!(near(fused(rule, &opinions), fused(rule, &turned)), "{rule:?}");
            }
        }

        #[test]
        fn a_view_of_weight_zero_changes_nothing(opinions in prop::collection::vec(opinion(), 1..6), silent in opinion()) {
            let mut more = opinions.clone();
            more.push(Opinion { weight: 0.0, ..silent });
            for rule in RULES.into_iter().filter(|rule| *rule != Rule::Mean) {
                prop_assert!(near(fused(rule, &opinions), fused(rule, &more)), "{rule:?}");
            }
        }

        #[test]
        fn equal_views_equal_one_view(view in opinion(), count in 1_usize..8) {
            let views = vec![view; count];
            for rule in [Rule::LogLinear, Rule::Mean, Rule::WeightedMean, Rule::MaxConfidence] {
                prop_assert!(near(fused(rule, &views), softmax(&view.logits)), "{rule:?}");
            }
        }

        #[test]
        fn a_higher_temperature_is_less_sure(view in opinion()) {
            let cold = fuse(Rule::LogLinear, &[view], 1.0).expect("one view");
            let warm = fuse(Rule::LogLinear, &[view], 2.0).expect("one view");
            prop_assert!(max(&warm) <= max(&cold) + 1e-6);
        }
    }

    #[test]
    fn no_view_is_no_result() {
        for rule in RULES {
            assert!(fuse(rule, &[], 1.0).is_none());
        }
    }

    #[test]
    fn dempsters_rule_gives_the_hand_computed_masses() {
        // Two views, both 0.5 reliable, both certain of the first class: ignorance 0.25, belief 0.75.
        let mut logits = [-50.0; 7];
        logits[0] = 0.0;
        let p = fused(Rule::DempsterShafer, &[Opinion { logits, weight: 0.5 }; 2]);
        assert!((p[0] - (0.75 + 0.25 / 7.0)).abs() < 1e-4, "{p:?}");
    }
}
