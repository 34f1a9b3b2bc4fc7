//! The 3x3 convolution of stride 1 with 4 multiplications a pixel instead of 9 (S. Winograd's minimal filtering, as
//! F(2x2, 3x3) of A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", 2016).
//!
//! A tile is 2x2 pixels of the output. The 4x4 pixels of the input that it depends on, and each 3x3 filter, are
//! transformed to 4x4 numbers; the products of these, summed over the channels, are transformed back. In the transformed
//! domain it is 16 convolutions of 1x1. Both gradients go the same way.

mod gradient;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

pub use gradient::weight_gradient;

use super::tile::{Pass, Sums, Tiled, WIDTH};

/// Numbers of a transformed tile.
const POINTS: usize = 16;
/// Tiles that are transformed at once: what comes of them stays in a core's first cache.
const CHUNK: usize = 16;
/// Values between the points of a chunk: without them they would all fall into the same lines of the cache.
const GAP: usize = 16;
/// Tiles of a task at least, so that weights are read seldom.
const TASK: usize = 64;

/// The pixels of the input that a tile depends on: their numbers among those of all images, where they are inside. The
/// tile's own are the four in the middle.
type Pixels = [[Option<usize>; 4]; 4];

/// Tiles of pictures of this size, counted through all images.
#[derive(Clone, Copy)]
struct Tiles {
    size: [usize; 2],
}

impl Tiles {
    fn of_image(self) -> usize {
        self.size[0].div_ceil(2) * self.size[1].div_ceil(2)
    }

    fn pixels(self, tile: usize) -> Pixels {
        let (image, tile) = (tile / self.of_image(), tile % self.of_image());
        let columns = self.size[1].div_ceil(2);
        let (row, column) = (2 * (tile / columns), 2 * (tile % columns));
        let mut pixels = [[None; 4]; 4];
        for (i, pixels) in pixels.iter_mut().enumerate() {
            let Some(row) = (row + i).checked_sub(1).filter(|row| *row < self.size[0]) else { continue };
            for (j, pixel) in pixels.iter_mut().enumerate() {
                let column = (column + j).checked_sub(1).filter(|column| *column < self.size[1]);
                *pixel = column.map(|column| (image * self.size[0] + row) * self.size[1] + column);
            }
        }
        pixels
    }
}

/// The convolution of `x` with the weights `weight(filter, channel, tap)`, for pictures of `size`.
pub fn convolve(
    size: [usize; 2],
    [channels, filters]: [usize; 2],
    x: &[f32],
    weight: impl Fn(usize, usize, usize) -> f32 + Sync,
) -> Vec<f32> {
    let tiles = Tiles { size };
    let image = size[0] * size[1];
    let images = x.len() / (image * channels);
    let step = POINTS * channels * WIDTH;
    let mut weights = vec![0.0; filters / WIDTH * step];
    weights.par_chunks_mut(step).enumerate().for_each(|(block, points)| {
        let mut taps = vec![[[0.0; WIDTH]; 9]; channels];
        for (channel, taps) in taps.iter_mut().enumerate() {
            for (tap, weights) in taps.iter_mut().enumerate() {
                for (j, value) in weights.iter_mut().enumerate() {
                    *value = weight(block * WIDTH + j, channel, tap);
                }
            }
        }
        Arch::new().dispatch(WeightsToPoints { weights: &taps, points });
    });
    let passes: Vec<Pass> = (0..POINTS)
        .map(|point| {
            let source = |tile: usize, _| Some(point * between(channels) + tile * channels);
            Pass::new(
                CHUNK,
                1,
                source,
                |tile| point * between(filters) + tile * filters,
                (point * channels * WIDTH, step),
            )
        })
        .collect();
    let group = TASK.div_ceil(tiles.of_image()).min(images.div_ceil(rayon::current_num_threads())).max(1);
    let mut y = vec![0.0; images * image * filters];
    y.par_chunks_mut(group * image * filters).zip(x.par_chunks(group * image * channels)).for_each(|(y, x)| {
        let (passes, weights) = (&passes, &weights);
        Arch::new().dispatch(Filter { tiles, passes, weights, x, channels, y, filters });
    });
    y
}

/// Values from one point of a chunk to the next.
fn between(channels: usize) -> usize {
    CHUNK * channels + GAP
}

/// Transforms the filters of a block, G g G'.
struct WeightsToPoints<'a> {
    /// (channel, tap, filter).
    weights: &'a [[[f32; WIDTH]; 9]],
    /// (point, channel, filter).
    points: &'a mut [f32],
}

impl WithSimd for WeightsToPoints<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let channels = self.weights.len();
        for (channel, weights) in self.weights.iter().enumerate() {
            let mut rows = [[[0.0; WIDTH]; 3]; 4];
            for column in 0..3 {
                for j in 0..WIDTH {
                    let values = from_weights([weights[column][j], weights[3 + column][j], weights[6 + column][j]]);
                    for row in 0..4 {
                        rows[row][column][j] = values[row];
                    }
                }
            }
            for (row, [a, b, c]) in rows.iter().enumerate() {
                let mut columns = [[0.0; WIDTH]; 4];
                for j in 0..WIDTH {
                    let values = from_weights([a[j], b[j], c[j]]);
                    for column in 0..4 {
                        columns[column][j] = values[column];
                    }
                }
                for (column, values) in columns.iter().enumerate() {
                    self.points[((4 * row + column) * channels + channel) * WIDTH..][..WIDTH].copy_from_slice(values);
                }
            }
        }
    }
}

/// G g of three weights.
#[inline(always)]
fn from_weights([a, b, c]: [f32; 3]) -> [f32; 4] {
    [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c]
}

/// A convolution of a few images.
struct Filter<'a> {
    tiles: Tiles,
    passes: &'a [Pass],
    weights: &'a [f32],
    x: &'a [f32],
    channels: usize,
    y: &'a mut [f32],
    filters: usize,
}

impl WithSimd for Filter<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiles, passes, weights, x, channels, y, filters } = self;
        let count = x.len() / (tiles.size[0] * tiles.size[1] * channels) * tiles.of_image();
        let mut points = vec![0.0; POINTS * between(channels)];
        let mut sums = vec![0.0; POINTS * between(filters)];
        let mut pixels = Vec::with_capacity(CHUNK);
        for first in (0..count).step_by(CHUNK) {
            pixels.clear();
            pixels.extend((first..count.min(first + CHUNK)).map(|tile| tiles.pixels(tile)));
            input_to_points(simd, &pixels, x, channels, &mut points);
            let (source, target, tiles) = (&points, &mut sums, pixels.len());
            Sums { passes, weights, source, depth: channels, target, width: filters, pixels: tiles }.run_tiled(simd);
            sums_to_output(simd, &pixels, &sums, filters, y);
        }
    }
}

/// Transforms the input of some tiles, B' d B: (point, tile of [`CHUNK`], channel).
#[inline(always)]
fn input_to_points<S: Simd>(simd: S, pixels: &[Pixels], x: &[f32], channels: usize, points: &mut [f32]) {
    let zero = simd.splat_f32s(0.0);
    let vectors = channels / S::F32_LANES;
    let between = between(channels) / S::F32_LANES;
    let (x, points) = (S::as_simd_f32s(x).0, S::as_mut_simd_f32s(points).0);
    for (t, pixels) in pixels.iter().enumerate() {
        for c in 0..vectors {
            let mut rows = [[zero; 4]; 4];
            for row in 0..4 {
                let mut values = [zero; 4];
                for column in 0..4 {
                    if let Some(pixel) = pixels[row][column] {
                        values[column] = x[pixel * vectors + c];
                    }
                }
                rows[row] = from_input(simd, values);
            }
            for column in 0..4 {
                let values = from_input(simd, [rows[0][column], rows[1][column], rows[2][column], rows[3][column]]);
                for row in 0..4 {
                    points[(4 * row + column) * between + t * vectors + c] = values[row];
                }
            }
        }
    }
}

/// B' d of four values of the input.
#[inline(always)]
fn from_input<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 4] {
    [simd.sub_f32s(a, c), simd.add_f32s(b, c), simd.sub_f32s(c, b), simd.sub_f32s(b, d)]
}

/// Transforms the sums of some tiles back to the output, A' m A.
#[inline(always)]
fn sums_to_output<S: Simd>(simd: S, pixels: &[Pixels], sums: &[f32], filters: usize, y: &mut [f32]) {
    let zero = simd.splat_f32s(0.0);
    let vectors = filters / S::F32_LANES;
    let between = between(filters) / S::F32_LANES;
    let (sums, y) = (S::as_simd_f32s(sums).0, S::as_mut_simd_f32s(y).0);
    for (t, pixels) in pixels.iter().enumerate() {
        for c in 0..vectors {
            let mut rows = [[zero; 2]; 4];
            for row in 0..4 {
                let mut values = [zero; 4];
                for column in 0..4 {
                    values[column] = sums[(4 * row + column) * between + t * vectors + c];
                }
                rows[row] = from_sums(simd, values);
            }
            for column in 0..2 {
                let values = from_sums(simd, [rows[0][column], rows[1][column], rows[2][column], rows[3][column]]);
                for row in 0..2 {
                    if let Some(pixel) = pixels[row + 1][column + 1] {
                        y[pixel * vectors + c] = values[row];
                    }
                }
            }
        }
    }
}

/// A' m of four sums.
#[inline(always)]
fn from_sums<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 2] {
    [simd.add_f32s(simd.add_f32s(a, b), c), simd.sub_f32s(simd.sub_f32s(b, c), d)]
}
