//! Barlow Twins: two views of the same things are to agree in every component, and the components are to say different
//! things.

use burn::tensor::Tensor;

/// What the components' correlations with each other weigh (the usual value).
pub const LAMBDA: f32 = 5e-3;

/// `sum_k (1 - C_kk)^2 + lambda * sum_k sum_{l != k} C_kl^2`, C the correlations of the components of `first` with
/// those of `second` over the batch: both (M, D), row n of the one the same thing as row n of the other.
///
/// J. Zbontar and others, "Barlow Twins", 2021, equation 1; it is for features that are not scaled to length 1. A
/// component that is the same everywhere correlates with none.
#[must_use]
pub fn barlow(first: Tensor<2>, second: Tensor<2>, lambda: f32) -> Tensor<1> {
    let [rows, width] = first.dims();
    let device = first.device();
    let correlation = standardised(first).transpose().matmul(standardised(second)) / rows as f32;
    let same = Tensor::<2>::eye(width, &device);
    // 1 on the diagonal, lambda elsewhere.
    let weights = same.clone() * (1.0 - lambda) + lambda;
    ((correlation - same).square() * weights).sum()
}

/// Columns of mean 0 and variance 1.
fn standardised(features: Tensor<2>) -> Tensor<2> {
    let centred = features.clone() - features.mean_dim(0);
    let variance = centred.clone().square().mean_dim(0);
    centred / (variance + 1e-6).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::losses::gradient::{assert_gradient, random, vectors};

    #[test]
    fn components_that_agree_and_say_different_things_cost_nothing() {
        let rows: [&[f32]; 4] = [&[1.0, 1.0], &[1.0, -1.0], &[-1.0, 1.0], &[-1.0, -1.0]];
        let loss: f32 = barlow(vectors(&rows), vectors(&rows), LAMBDA).into_scalar();
        assert!(loss.abs() < 1e-4, "{loss}");
    }

    #[test]
    fn opposite_and_repeated_components_cost_what_one_finds_by_hand() {
        // The first component agrees, the second is the first one's opposite: C = [[1, -1], [1, -1]].
        let first: [&[f32]; 2] = [&[1.0, 1.0], &[-1.0, -1.0]];
        let second: [&[f32]; 2] = [&[1.0, -1.0], &[-1.0, 1.0]];
        let loss: f32 = barlow(vectors(&first), vectors(&second), 0.1).into_scalar();
        assert!((loss - (4.0 + 0.1 * 2.0)).abs() < 1e-4, "{loss}");
    }

    #[test]
    fn scale_and_offset_of_a_component_do_not_matter() {
        let rows = random(6, 3, 2);
        let other: Vec<Vec<f32>> = rows.iter().map(|row| row.iter().map(|x| 7.0 * x - 3.0).collect()).collect();
        let of = |rows: &[Vec<f32>]| vectors(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let same: f32 = barlow(of(&rows), of(&rows), LAMBDA).into_scalar();
        let scaled: f32 = barlow(of(&rows), of(&other), LAMBDA).into_scalar();
        assert!((same - scaled).abs() < 1e-4);
    }

    #[test]
    fn its_gradient_is_the_slope_of_its_value_and_finite_for_a_component_that_never_changes() {
        let rows = random(5, 3, 8);
        let other: Vec<Vec<f32>> = random(5, 3, 7);
        let other: Vec<&[f32]> = other.iter().map(Vec::as_slice).collect();
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        assert_gradient(&rows, |z| barlow(z, vectors(&other), 0.2));
        let constant: [&[f32]; 3] = [&[1.0, 2.0], &[1.0, 3.0], &[1.0, 5.0]];
        assert_gradient(&constant, |z| barlow(z.clone(), z, 0.2));
    }
}
