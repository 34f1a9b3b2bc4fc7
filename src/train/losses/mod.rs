//! Losses: of a batch's outputs, and of what its pictures have to do with each other. All are single numbers to be made
//! small, in nats where they are cross-entropies, and their gradients are finite whatever the batch.

pub mod barlow;
pub mod contrast;
pub mod cross_entropy;

/// Whether a gradient is the slope of its loss.
#[cfg(test)]
pub(in crate::train) mod gradient {
    use burn::tensor::{Device, Tensor, TensorData};
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    /// Rows of numbers between -1 and 1.
    pub fn random(rows: usize, width: usize, seed: u64) -> Vec<Vec<f32>> {
        let mut rng = StdRng::seed_from_u64(seed);
        (0..rows).map(|_| (0..width).map(|_| rng.random_range(-1.0..1.0)).collect()).collect()
    }

    /// Rows as a tensor whose gradient can be asked for.
    pub fn vectors(rows: &[&[f32]]) -> Tensor<2> {
        let width = rows.first().map_or(0, |row| row.len());
        let data = TensorData::new(rows.concat(), [rows.len(), width]);
        Tensor::from_data(data, &Device::flex().autodiff()).require_grad()
    }

    /// Compares the gradient at `rows` with differences of the loss.
    pub fn assert_gradient(rows: &[&[f32]], loss: impl Fn(Tensor<2>) -> Tensor<1>) {
        let z = vectors(rows);
        let gradients = loss(z.clone()).backward();
        let gradient = z.grad(&gradients).map(|gradient| gradient.into_data().iter::<f32>().collect::<Vec<_>>());
        let width = rows[0].len();
        for at in 0..rows.len() * width {
            let moved = |by: f32| -> f32 {
                let mut owned: Vec<Vec<f32>> = rows.iter().map(|row| row.to_vec()).collect();
                owned[at / width][at % width] += by;
                loss(vectors(&owned.iter().map(Vec::as_slice).collect::<Vec<_>>())).into_scalar()
            };
            let step = 1e-2;
            let slope = (moved(step) - moved(-step)) / (2.0 * step);
            let found = gradient.as_ref().map_or(0.0, |gradient| gradient[at]);
            assert!((found - slope).abs() < 1e-2 * (1.0 + slope.abs()), "at {at}: {found} is not {slope}");
        }
    }
}
