//! Batch normalisation with what follows it in a residual network: `y = max(0, norm(x) * gamma + beta + residual)`.
//!
//! One pass over memory finds the statistics, one writes the output; two more do the way back. Rows (pixels) are split
//! into parts of a fixed size whose sums are added up in order, so that the number of threads changes nothing.

use pulp::Arch;
use rayon::prelude::*;

/// Two sums of each channel.
type Sums = (Vec<f32>, Vec<f32>);

/// Values of a part: small enough for a core's second cache.
const PART: usize = 32 * 1024;

/// Mean and variance of each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Means.
    pub mean: Vec<f32>,
    /// Variances, of the batch as it is (divided by the number of pixels).
    pub variance: Vec<f32>,
}

/// What the loss's gradient by the output becomes.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// By the input.
    pub input: Vec<f32>,
    /// By gamma.
    pub gamma: Vec<f32>,
    /// By beta.
    pub beta: Vec<f32>,
}

/// Rows of a part.
fn part_rows(channels: usize) -> usize {
    (PART / channels).max(1)
}

/// Statistics over the rows of `x`, (row, channel); parts are joined by the formula of T. F. Chan, G. H. Golub and
/// R. J. LeVeque ("Updating formulae and a pairwise algorithm for computing sample variances", 1979).
#[must_use]
pub fn statistics(x: &[f32], channels: usize) -> Statistics {
    let rows = part_rows(channels);
    let parts: Vec<(usize, Vec<f32>, Vec<f32>)> = x
        .par_chunks(rows * channels)
        .map(|x| {
            Arch::new().dispatch(
                #[inline(always)]
                || moments(x, channels),
            )
        })
        .collect();
    let (mut count, mut mean, mut squares) = (0.0, vec![0.0; channels], vec![0.0; channels]);
    for (rows, part_mean, part_squares) in parts {
        let rows = rows as f64;
        let total = count + rows;
        for c in 0..channels {
            let delta = f64::from(part_mean[c]) - mean[c];
            mean[c] += delta * rows / total;
            squares[c] += f64::from(part_squares[c]) + delta * delta * count * rows / total;
        }
        count = total;
    }
    Statistics {
        mean: mean.into_iter().map(|mean| mean as f32).collect(),
        variance: squares.into_iter().map(|squares: f64| (squares / f64::max(count, 1.0)) as f32).collect(),
    }
}

/// Rows, means, and sums of squared distances from them.
#[inline(always)]
fn moments(x: &[f32], channels: usize) -> (usize, Vec<f32>, Vec<f32>) {
    let rows = x.len() / channels;
    let mut mean = vec![0.0; channels];
    for x in x.chunks_exact(channels) {
        for (mean, x) in mean.iter_mut().zip(x) {
            *mean += x;
        }
    }
    mean.iter_mut().for_each(|mean| *mean /= rows as f32);
    let mut squares = vec![0.0; channels];
    for x in x.chunks_exact(channels) {
        for ((squares, x), mean) in squares.iter_mut().zip(x).zip(&mean) {
            let distance = x - mean;
            *squares += distance * distance;
        }
    }
    (rows, mean, squares)
}

/// `x * scale + shift + residual`, and if `relu` nothing below 0; scale and shift are one a channel.
#[must_use]
pub fn apply(x: &[f32], scale: &[f32], shift: &[f32], residual: Option<&[f32]>, relu: bool) -> Vec<f32> {
    let channels = scale.len();
    let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
    let part = part_rows(channels) * channels;
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(part).zip(x.par_chunks(part)).enumerate().for_each(|(i, (y, x))| {
        let residual = residual.map(|residual| &residual[i * part..][..x.len()]);
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let rows = y.chunks_exact_mut(channels).zip(x.chunks_exact(channels));
                match residual {
                    None => {
                        for (y, x) in rows {
                            for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                                *y = (x * scale + shift).max(floor);
                            }
                        }
                    }
                    Some(residual) => {
                        for ((y, x), residual) in rows.zip(residual.chunks_exact(channels)) {
                            let values = y.iter_mut().zip(x).zip(scale).zip(shift).zip(residual);
                            for ((((y, x), scale), shift), residual) in values {
                                *y = (x * scale + shift + residual).max(floor);
                            }
                        }
                    }
                }
            },
        );
    });
    y
}

/// Takes away from `dy`, the loss's gradient by the output `y`, what does not get through the ReLU.
pub fn mask(dy: &mut [f32], y: &[f32]) {
    dy.par_chunks_mut(PART).zip(y.par_chunks(PART)).for_each(|(dy, y)| {
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for (dy, y) in dy.iter_mut().zip(y) {
                    *dy = if *y > 0.0 { *dy } else { 0.0 };
                }
            },
        );
    });
}

/// For each channel the sums of `dy`, and of `dy` times the distance of `x` from its mean.
#[inline(always)]
fn sums(dy: &[f32], x: &[f32], mean: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let channels = mean.len();
    let (mut sum, mut product) = (vec![0.0; channels], vec![0.0; channels]);
    for (dy, x) in dy.chunks_exact(channels).zip(x.chunks_exact(channels)) {
        let values = sum.iter_mut().zip(&mut product).zip(dy).zip(x).zip(mean);
        for ((((sum, product), dy), x), mean) in values {
            *sum += dy;
            *product += dy * (x - mean);
        }
    }
    (sum, product)
}

/// The way back through the normalisation with the batch's own statistics; `dy` is masked already. Its memory becomes the
/// input gradient's.
#[must_use]
pub fn gradients(mut dy: Vec<f32>, x: &[f32], statistics: &Statistics, gamma: &[f32], epsilon: f32) -> Gradients {
    let channels = gamma.len();
    let part = part_rows(channels) * channels;
    let inverse: Vec<f32> = statistics.variance.iter().map(|variance| 1.0 / (variance + epsilon).sqrt()).collect();
    let parts: Vec<Sums> = dy
        .par_chunks(part)
        .zip(x.par_chunks(part))
        .map(|(dy, x)| {
            Arch::new().dispatch(
                #[inline(always)]
                || sums(dy, x, &statistics.mean),
            )
        })
        .collect();
    let total = |of: fn(&Sums) -> &Vec<f32>| -> Vec<f64> {
        (0..channels).map(|c| parts.iter().map(|part| f64::from(of(part)[c])).sum()).collect()
    };
    let beta: Vec<f32> = total(|part| &part.0).into_iter().map(|sum| sum as f32).collect();
    let gamma_gradient: Vec<f32> = total(|part| &part.1)
        .into_iter()
        .zip(&inverse)
        .map(|(sum, inverse)| (sum * f64::from(*inverse)) as f32)
        .collect();
    // dx = gamma * inverse * (dy - mean(dy) - normal * mean(dy * normal)), of which the factors are one a channel.
    let rows = (x.len() / channels) as f32;
    let scale: Vec<f32> = gamma.iter().zip(&inverse).map(|(gamma, inverse)| gamma * inverse).collect();
    let by_x: Vec<f32> = (0..channels).map(|c| -scale[c] * inverse[c] * gamma_gradient[c] / rows).collect();
    let constant: Vec<f32> = (0..channels).map(|c| -scale[c] * beta[c] / rows).collect();
    let (mean, scale, by_x, constant) = (&statistics.mean, &scale, &by_x, &constant);
    dy.par_chunks_mut(part).zip(x.par_chunks(part)).for_each(|(dy, x)| {
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for (dy, x) in dy.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                    let values = dy.iter_mut().zip(x).zip(mean).zip(scale).zip(by_x).zip(constant);
                    for (((((dy, x), mean), scale), by_x), constant) in values {
                        *dy = *dy * scale + (x - mean) * by_x + constant;
                    }
                }
            },
        );
    });
    Gradients { input: dy, gamma: gamma_gradient, beta }
}
