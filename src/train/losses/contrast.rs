//! The contrastive loss that all methods share: from each picture, its positives are to be told from the rest.
//!
//! The methods differ in which pictures are positives of a picture, which are its negatives, and which are neither.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, TensorData};

/// What picture `j` is to picture `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `i` is to be near it.
    Positive,
    /// `i` is to be far from it.
    Negative,
    /// It does not count for `i`.
    Ignored,
}

use Relation::{Ignored, Negative, Positive};

/// Where a score does not count: `exp` of it is 0, and products with 0 stay 0, which those of infinity would not.
const NOWHERE: f32 = -1e9;

/// The contrastive loss with any number of positives, averaged over the pictures that have one; 0 if none has.
/// `vectors` is (M, D), of any length.
///
/// ```text
/// L = 1/|R| sum_{i in R} w(i)/|P(i)| sum_{p in P(i)} -log( exp(z_i.z_p/tau) / sum_{a in P(i)+N(i)} exp(z_i.z_a/tau) )
/// ```
/// with z the vectors scaled to length 1, R the pictures with a positive, P(i) and N(i) the positives and negatives of
/// i as `relation(i, j)` has them (a picture never counts for itself), and w(i) `weight`. P. Khosla and others,
/// "Supervised Contrastive Learning", 2020, equation 2 (their "out" form); with one positive each it is NT-Xent (T.
/// Chen and others, "SimCLR", 2020).
#[must_use]
pub fn contrast(
    vectors: Tensor<2>,
    temperature: f32,
    weight: impl Fn(usize) -> f32,
    relation: impl Fn(usize, usize) -> Relation,
) -> Tensor<1> {
    let [rows, _] = vectors.dims();
    let device = vectors.device();
    let mut shares = vec![0.0; rows * rows];
    let mut barred = vec![0.0; rows * rows];
    let mut anchors = 0;
    for (i, (shares, barred)) in shares.chunks_exact_mut(rows).zip(barred.chunks_exact_mut(rows)).enumerate() {
        for j in 0..rows {
            match if i == j { Ignored } else { relation(i, j) } {
                Positive => shares[j] = 1.0,
                Negative => {}
                Ignored => barred[j] = NOWHERE,
            }
        }
        let positives: f32 = shares.iter().sum();
        if positives > 0.0 {
            anchors += 1;
            shares.iter_mut().for_each(|share| *share *= weight(i) / positives);
        }
    }
    let matrix = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [rows, rows]), &device);
    let z = unit(vectors);
    let scores = z.clone().matmul(z.transpose()) / temperature;
    let log_shares = log_softmax(scores + matrix(barred), 1);
    -(log_shares * matrix(shares)).sum() / anchors.max(1) as f32
}

/// [`contrast`] of pictures that have a group: those of the same group are positives, all others negatives.
#[must_use]
pub fn contrast_groups(vectors: Tensor<2>, temperature: f32, groups: &[usize]) -> Tensor<1> {
    contrast(vectors, temperature, |_| 1.0, |i, j| if groups[i] == groups[j] { Positive } else { Negative })
}

/// Rows scaled to length 1; a row of zeros stays one.
fn unit(vectors: Tensor<2>) -> Tensor<2> {
    // Inside the root, so that the gradient of a row of zeros is finite.
    let length = (vectors.clone().square().sum_dim(1) + 1e-12).sqrt();
    vectors / length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::losses::gradient::{assert_gradient, random, vectors};

    fn value(rows: &[&[f32]], temperature: f32, groups: &[usize]) -> f32 {
        contrast_groups(vectors(rows), temperature, groups).into_scalar()
    }

    #[test]
    fn two_pairs_at_right_angles_give_what_one_finds_by_hand() {
        // Each row sees its partner at cosine 1, two others at 0; tau 0.5.
        let rows: [&[f32]; 4] = [&[2.0, 0.0], &[1.0, 0.0], &[0.0, 3.0], &[0.0, 1.0]];
        let expected = -(2.0_f32.exp() / (2.0_f32.exp() + 2.0)).ln();
        assert!((value(&rows, 0.5, &[0, 0, 1, 1]) - expected).abs() < 1e-5);
    }

    #[test]
    fn with_two_pictures_a_scene_it_is_nt_xent() {
        let (rows, tau) = (random(8, 5, 3), 0.2);
        let z: Vec<Vec<f32>> = rows
            .iter()
            .map(|row| {
                let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
                row.iter().map(|x| x / length).collect()
            })
            .collect();
        let score = |i: usize, j: usize| z[i].iter().zip(&z[j]).map(|(a, b)| a * b).sum::<f32>() / tau;
        // Row i of the first half pairs with row i + 4, as SimCLR lays its batch out.
        let nt_xent = |i: usize| {
            let sum: f32 = (0..8).filter(|&j| j != i).map(|j| score(i, j).exp()).sum();
            sum.ln() - score(i, (i + 4) % 8)
        };
        let expected = (0..8).map(nt_xent).sum::<f32>() / 8.0;
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        assert!((value(&rows, tau, &[0, 1, 2, 3, 0, 1, 2, 3]) - expected).abs() < 1e-5);
    }

    #[test]
    fn the_order_of_the_pictures_does_not_matter() {
        let rows = random(6, 4, 9);
        let order = [4, 0, 5, 2, 1, 3];
        let groups = [0, 0, 0, 1, 1, 2];
        let straight: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let shuffled: Vec<&[f32]> = order.iter().map(|&n| rows[n].as_slice()).collect();
        let found = value(&shuffled, 0.1, &order.map(|n| groups[n]));
        assert!((value(&straight, 0.1, &groups) - found).abs() < 1e-4);
    }

    #[test]
    fn when_all_vectors_are_equal_it_is_the_logarithm_of_the_others_number() {
        let rows = [&[0.3_f32, -0.4][..]; 6];
        assert!((value(&rows, 0.07, &[0, 0, 1, 1, 2, 2]) - 5.0_f32.ln()).abs() < 1e-4);
    }

    #[test]
    fn a_scene_of_one_picture_is_left_out_and_its_gradient_is_finite() {
        let rows: [&[f32]; 3] = [&[1.0, 0.0], &[0.0, 1.0], &[1.0, 1.0]];
        // Row 2 has no positive, yet is a negative of the others: cosine 0 to the partner, sqrt(1/2) to it.
        let expected = (1.0 + 0.5_f32.sqrt().exp()).ln();
        assert!((value(&rows, 1.0, &[0, 0, 1]) - expected).abs() < 1e-5);
        assert_gradient(&rows, |z| contrast_groups(z, 1.0, &[0, 0, 1]));
    }

    #[test]
    fn a_batch_without_any_positive_costs_nothing_and_moves_nothing() {
        let rows: [&[f32]; 2] = [&[1.0, 0.0], &[0.0, 1.0]];
        assert!(value(&rows, 0.1, &[0, 1]).abs() < 1e-12);
        assert_gradient(&rows, |z| contrast_groups(z, 0.1, &[0, 1]));
    }

    #[test]
    fn wild_vectors_and_a_vector_of_zeros_give_finite_gradients() {
        let rows: [&[f32]; 4] = [&[1e15, -1e15], &[1e-15, 0.0], &[0.0, 0.0], &[3.0, 4.0]];
        let z = vectors(&rows);
        let gradients = contrast_groups(z.clone(), 0.01, &[0, 0, 1, 1]).backward();
        let gradient: Vec<f32> = z.grad(&gradients).unwrap().into_data().iter::<f32>().collect();
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
    }

    #[test]
    fn ignored_pictures_change_neither_value_nor_gradient_and_weights_scale_rows() {
        let rows = random(5, 3, 4);
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let with_one_ignored = |z: Tensor<2>| {
            let relation = |i: usize, j: usize| match (i, j) {
                (4, _) | (_, 4) => Ignored,
                _ if i / 2 == j / 2 => Positive,
                _ => Negative,
            };
            contrast(z, 0.3, |i| if i < 2 { 0.5 } else { 1.0 }, relation)
        };
        let found: f32 = with_one_ignored(vectors(&rows)).into_scalar();
        let one = |rows: &[usize]| -> f32 {
            let keep = |i: usize| rows.contains(&i);
            let relation = |i: usize, j: usize| match i / 2 == j / 2 {
                true if keep(i) => Positive,
                true => Ignored,
                false => Negative,
            };
            contrast(vectors(&random_rows(4)), 0.3, |_| 1.0, relation).into_scalar()
        };
        assert!((found - (0.5 * one(&[0, 1]) + one(&[2, 3])) / 2.0).abs() < 1e-5);
        assert_gradient(&rows, with_one_ignored);
    }

    /// The first `count` of the rows of the test above.
    fn random_rows(count: usize) -> Vec<&'static [f32]> {
        random(5, 3, 4).into_iter().take(count).map(|row| &*row.leak()).collect()
    }

    #[test]
    fn its_gradient_is_the_slope_of_its_value() {
        let rows = random(6, 3, 1);
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        assert_gradient(&rows, |z| contrast_groups(z, 0.5, &[0, 0, 0, 1, 1, 2]));
    }
}
