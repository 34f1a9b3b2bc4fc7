//! Batch normalisation with what follows it in a residual network: `y = max(0, norm(x) * gamma + beta + residual)`.
//!
//! One pass over memory finds the statistics, one writes the output; two more do the way back. Rows (pixels) are split
//! into parts of a fixed size whose sums are added up in order, so that the number of threads changes nothing.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

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

/// Values of a part of whole rows.
fn part(channels: usize) -> usize {
    (PART / channels).max(1) * channels
}

/// Statistics over the rows of `x`, (row, channel); parts are joined by the formula of T. F. Chan, G. H. Golub and
/// R. J. LeVeque ("Updating formulae and a pairwise algorithm for computing sample variances", 1979).
#[must_use]
pub fn statistics(x: &[f32], channels: usize) -> Statistics {
    let parts: Vec<[Vec<f32>; 2]> =
        x.par_chunks(part(channels)).map(|x| Arch::new().dispatch(Moments { x, channels })).collect();
    let (mut count, mut mean, mut squares) = (0.0, vec![0.0; channels], vec![0.0; channels]);
    for (x, [part_mean, part_squares]) in x.chunks(part(channels)).zip(parts) {
        let rows = (x.len() / channels) as f64;
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

/// The means of a part's channels, and the sums of squared distances from them.
struct Moments<'a> {
    x: &'a [f32],
    channels: usize,
}

impl WithSimd for Moments<'_> {
    type Output = [Vec<f32>; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let Self { x, channels } = self;
        let mut mean = vec![0.0; channels];
        for x in x.chunks_exact(channels) {
            for (mean, x) in mean.iter_mut().zip(x) {
                *mean += x;
            }
        }
        for mean in &mut mean {
            *mean /= (x.len() / channels) as f32;
        }
        let mut squares = vec![0.0; channels];
        for x in x.chunks_exact(channels) {
            for ((squares, x), mean) in squares.iter_mut().zip(x).zip(&mean) {
                *squares += (x - mean) * (x - mean);
            }
        }
        [mean, squares]
    }
}

/// `x * scale + shift + residual`, and if `relu` nothing below 0; scale and shift are one a channel.
#[must_use]
pub fn apply(x: &[f32], scale: &[f32], shift: &[f32], residual: Option<&[f32]>, relu: bool) -> Vec<f32> {
    let part = part(scale.len());
    let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(part).zip(x.par_chunks(part)).enumerate().for_each(|(i, (y, x))| {
        let residual = residual.map(|residual| &residual[i * part..][..x.len()]);
        Arch::new().dispatch(Line { x, scale, shift, residual, floor, y });
    });
    y
}

/// A part of [`apply`].
struct Line<'a> {
    x: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    residual: Option<&'a [f32]>,
    floor: f32,
    y: &'a mut [f32],
}

impl WithSimd for Line<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { x, scale, shift, residual, floor, y } = self;
        let channels = scale.len();
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
                    for ((((y, x), scale), shift), residual) in y.iter_mut().zip(x).zip(scale).zip(shift).zip(residual)
                    {
                        *y = (x * scale + shift + residual).max(floor);
                    }
                }
            }
        }
    }
}

/// The way back through the ReLU: takes away from `dy` what did not get through it to the output `y`.
pub fn mask(dy: &mut [f32], y: &[f32]) {
    dy.par_chunks_mut(PART).zip(y.par_chunks(PART)).for_each(|(dy, y)| Arch::new().dispatch(Mask { dy, y }));
}

/// A part of [`mask`].
struct Mask<'a> {
    dy: &'a mut [f32],
    y: &'a [f32],
}

impl WithSimd for Mask<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (dy, y) in self.dy.iter_mut().zip(self.y) {
            *dy = if *y > 0.0 { *dy } else { 0.0 };
        }
    }
}

/// The way back through the normalisation with the batch's own statistics; `dy` is masked already. Its memory becomes the
/// input gradient's.
#[must_use]
pub fn gradients(mut dy: Vec<f32>, x: &[f32], statistics: &Statistics, gamma: &[f32], epsilon: f32) -> Gradients {
    let channels = gamma.len();
    let part = part(channels);
    let mean = &statistics.mean;
    let parts: Vec<[Vec<f32>; 2]> = dy
        .par_chunks(part)
        .zip(x.par_chunks(part))
        .map(|(dy, x)| Arch::new().dispatch(GradientSums { dy, x, mean }))
        .collect();
    let total = |which: usize, c: usize| parts.iter().map(|part| f64::from(part[which][c])).sum::<f64>();
    let inverse: Vec<f32> = statistics.variance.iter().map(|variance| 1.0 / (variance + epsilon).sqrt()).collect();
    let by_beta: Vec<f32> = (0..channels).map(|c| total(0, c) as f32).collect();
    let by_gamma: Vec<f32> = (0..channels).map(|c| (total(1, c) * f64::from(inverse[c])) as f32).collect();
    // dx = gamma * inverse * (dy - mean(dy) - normal * mean(dy * normal)), of which the factors are one a channel.
    let rows = (x.len() / channels) as f32;
    let by_dy: Vec<f32> = gamma.iter().zip(&inverse).map(|(gamma, inverse)| gamma * inverse).collect();
    let by_x: Vec<f32> = (0..channels).map(|c| -by_dy[c] * inverse[c] * by_gamma[c] / rows).collect();
    let constant: Vec<f32> = (0..channels).map(|c| -by_dy[c] * by_beta[c] / rows).collect();
    let factors = [mean, &by_dy, &by_x, &constant].map(|values| &values[..]);
    dy.par_chunks_mut(part).zip(x.par_chunks(part)).for_each(|(dy, x)| {
        Arch::new().dispatch(GradientLine { dy, x, factors });
    });
    Gradients { input: dy, gamma: by_gamma, beta: by_beta }
}

/// Of a part's channels the sums of `dy`, and of `dy` times the distance of `x` from its mean.
struct GradientSums<'a> {
    dy: &'a [f32],
    x: &'a [f32],
    mean: &'a [f32],
}

impl WithSimd for GradientSums<'_> {
    type Output = [Vec<f32>; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let Self { dy, x, mean } = self;
        let channels = mean.len();
        let (mut sum, mut product) = (vec![0.0; channels], vec![0.0; channels]);
        for (dy, x) in dy.chunks_exact(channels).zip(x.chunks_exact(channels)) {
            for ((((sum, product), dy), x), mean) in sum.iter_mut().zip(&mut product).zip(dy).zip(x).zip(mean) {
                *sum += dy;
                *product += dy * (x - mean);
            }
        }
        [sum, product]
    }
}

/// A part of the input's gradient, in place of the output's.
struct GradientLine<'a> {
    dy: &'a mut [f32],
    x: &'a [f32],
    /// One a channel: the mean of x, what dy is multiplied by, what the distance of x from its mean, and what is added.
    factors: [&'a [f32]; 4],
}

impl WithSimd for GradientLine<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let [mean, by_dy, by_x, constant] = self.factors;
        let channels = mean.len();
        for (dy, x) in self.dy.chunks_exact_mut(channels).zip(self.x.chunks_exact(channels)) {
            let values = dy.iter_mut().zip(x).zip(mean).zip(by_dy).zip(by_x).zip(constant);
            for (((((dy, x), mean), by_dy), by_x), constant) in values {
                *dy = *dy * by_dy + (x - mean) * by_x + constant;
            }
        }
    }
}
