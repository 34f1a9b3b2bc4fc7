//! Cross-entropy of class scores, with smoothed labels, weighted classes, rows without a label and rows with several.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, TensorData};

/// What a row shows: its number, a class below K, and how much of the picture shows it. Rows may have none, or several.
pub type Label = (usize, usize, f32);

/// A whole label a row, for those that have one.
pub fn whole(labels: impl IntoIterator<Item = Option<usize>>) -> Vec<Label> {
    labels.into_iter().enumerate().filter_map(|(row, class)| Some((row, class?, 1.0))).collect()
}

/// `-sum_k t_k log softmax(scores)_k`, averaged over the labels, by their shares and the weights of their classes; 0 if
/// there are none. `scores` is (M, K), `weights` one a class.
///
/// With smoothing s, t is 1 - s + s / K at the label and s / K elsewhere (C. Szegedy and others, "Rethinking the
/// Inception Architecture", 2016).
#[must_use]
pub fn cross_entropy(scores: Tensor<2>, labels: &[Label], smoothing: f32, weights: &[f32]) -> Tensor<1> {
    let [rows, classes] = scores.dims();
    let mut targets = vec![0.0; rows * classes];
    let mut total = 0.0;
    for &(row, class, share) in labels {
        let weight = share * weights[class];
        let targets = &mut targets[row * classes..][..classes];
        total += weight;
        targets.iter_mut().for_each(|target| *target += weight * smoothing / classes as f32);
        targets[class] += weight * (1.0 - smoothing);
    }
    let targets = Tensor::<2>::from_data(TensorData::new(targets, [rows, classes]), &scores.device());
    -(log_softmax(scores, 1) * targets).sum() / if total > 0.0 { total } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::losses::gradient::{assert_gradient, random, vectors};

    const EVEN: [f32; 3] = [1.0; 3];

    fn value(rows: &[&[f32]], labels: &[Option<usize>], smoothing: f32, weights: &[f32]) -> f32 {
        cross_entropy(vectors(rows), &whole(labels.iter().copied()), smoothing, weights).into_scalar()
    }

    #[test]
    fn even_scores_cost_the_logarithm_of_the_classes_number() {
        let rows: [&[f32]; 2] = [&[5.0; 3], &[-2.0; 3]];
        for smoothing in [0.0, 0.1] {
            assert!((value(&rows, &[Some(0), Some(2)], smoothing, &EVEN) - 3.0_f32.ln()).abs() < 1e-5);
        }
    }

    #[test]
    fn smoothing_shares_the_label_out() {
        // Log-shares of (ln 2, 0, 0): ln(1/2), ln(1/4), ln(1/4).
        let rows: [&[f32]; 1] = [&[2.0_f32.ln(), 0.0, 0.0]];
        let expected = -(0.8 * 0.5_f32.ln() + 0.2 * 0.25_f32.ln());
        assert!((value(&rows, &[Some(0)], 0.3, &EVEN) - expected).abs() < 1e-5);
    }

    #[test]
    fn rows_without_a_label_do_not_count_and_classes_count_by_their_weight() {
        let rows: [&[f32]; 3] = [&[1.0, 0.0, 0.0], &[9.0, -9.0, 3.0], &[0.0, 0.0, 2.0]];
        let one = |row: usize, label: usize| value(&rows[row..=row], &[Some(label)], 0.0, &EVEN);
        let found = value(&rows, &[Some(0), None, Some(1)], 0.0, &[3.0, 1.0, 1.0]);
        assert!((found - (3.0 * one(0, 0) + one(2, 1)) / 4.0).abs() < 1e-5);
    }

    #[test]
    fn a_row_of_two_labels_costs_their_mean_by_share() {
        let rows: [&[f32]; 1] = [&[1.0, 0.0, -2.0]];
        let of = |label: usize| value(&rows, &[Some(label)], 0.1, &EVEN);
        let mixed: f32 = cross_entropy(vectors(&rows), &[(0, 0, 0.7), (0, 2, 0.3)], 0.1, &EVEN).into_scalar();
        assert!((mixed - (0.7 * of(0) + 0.3 * of(2))).abs() < 1e-5);
    }

    #[test]
    fn its_gradient_is_the_slope_of_its_value_and_finite_without_any_label_or_at_wild_scores() {
        let rows = random(4, 3, 6);
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let labels = [(0, 0, 1.0), (2, 2, 0.4), (2, 1, 0.6), (3, 2, 1.0)];
        assert_gradient(&rows, |z| cross_entropy(z, &labels, 0.1, &[0.5, 1.0, 2.0]));
        assert_gradient(&rows, |z| cross_entropy(z, &[], 0.1, &EVEN));
        let wild: [&[f32]; 1] = [&[1e30, -1e30, 0.0]];
        let z = vectors(&wild);
        let gradients = cross_entropy(z.clone(), &[(0, 1, 1.0)], 0.0, &EVEN).backward();
        assert!(z.grad(&gradients).unwrap().into_data().iter::<f32>().all(f32::is_finite));
    }
}
