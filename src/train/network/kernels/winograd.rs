//! The 3x3 convolution of stride 1 with 4 multiplications a pixel instead of 9 (S. Winograd's minimal filtering, as
//! F(2x2, 3x3) of A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", 2016).
//!
//! A tile is 2x2 pixels of the output. The 4x4 pixels of the input that it depends on, and each 3x3 filter, are
//! transformed to 4x4 numbers; the products of these, summed over the channels, are transformed back. In the transformed
//! domain it is 16 convolutions of 1x1. Both gradients go the same way.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::tile::{Pass, Sums, WIDTH, add_product};

/// Numbers of a transformed tile.
const POINTS: usize = 16;
/// Tiles that are transformed at once: what comes of them stays in a core's first cache.
const CHUNK: usize = 16;
/// Values between the points of a chunk: without them they would all fall into the same lines of the cache.
const GAP: usize = 16;
/// Tiles of a task at least, so that weights are read seldom.
const TASK: usize = 64;
/// Tiles whose products are summed up before they are added to the gradient.
const SUMMED: usize = 64;

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
            for (row, taps) in rows.iter().enumerate() {
                let mut columns = [[0.0; WIDTH]; 4];
                for j in 0..WIDTH {
                    let values = from_weights([taps[0][j], taps[1][j], taps[2][j]]);
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
            Sums { passes, weights, source, depth: channels, target, width: filters, pixels: tiles }.with_simd(simd);
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

/// The gradient by the weights (filter, channel, row, column), of that by the output, for pictures of `size`.
pub fn weight_gradient(size: [usize; 2], [channels, filters]: [usize; 2], x: &[f32], dy: &[f32]) -> Vec<f32> {
    let parts = [filters / WIDTH, channels / WIDTH];
    let mut sums = vec![0.0; POINTS * filters * channels];
    let share = (sums.len() / PART).div_ceil(rayon::current_num_threads());
    sums.par_chunks_mut(share * PART).enumerate().for_each(|(i, sums)| {
        Arch::new().dispatch(Products { tiles: Tiles { size }, parts, first: i * share, x, dy, sums });
    });
    let mut weights = vec![0.0; filters * channels * 9];
    weights.par_chunks_mut(WIDTH * channels * 9).enumerate().for_each(|(block, weights)| {
        Arch::new().dispatch(SumsToWeights { parts, block, sums: &sums, weights });
    });
    weights
}

/// Transforms the sums of a block's filters back, G' u G.
struct SumsToWeights<'a> {
    parts: [usize; 2],
    block: usize,
    /// As in [`Products`].
    sums: &'a [f32],
    /// (filter, channel, row, column).
    weights: &'a mut [f32],
}

impl WithSimd for SumsToWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { parts: [filters, channels], block, sums, weights } = self;
        for channel in 0..channels * WIDTH {
            let mut rows = [[[0.0; WIDTH]; 3]; 4];
            for (row, transformed) in rows.iter_mut().enumerate() {
                let part = (row * filters + block) * channels + channel / WIDTH;
                let sums = &sums[part * PART + channel % WIDTH * WIDTH..];
                let column = |column: usize| &sums[column * WIDTH * WIDTH..][..WIDTH];
                let columns = [column(0), column(1), column(2), column(3)];
                for j in 0..WIDTH {
                    let values = from_points([columns[0][j], columns[1][j], columns[2][j], columns[3][j]]);
                    for column in 0..3 {
                        transformed[column][j] = values[column];
                    }
                }
            }
            let mut taps = [[0.0; WIDTH]; 9];
            for column in 0..3 {
                for j in 0..WIDTH {
                    let rows = [rows[0][column][j], rows[1][column][j], rows[2][column][j], rows[3][column][j]];
                    let values = from_points(rows);
                    for row in 0..3 {
                        taps[3 * row + column][j] = values[row];
                    }
                }
            }
            for j in 0..WIDTH {
                for tap in 0..9 {
                    weights[(j * channels * WIDTH + channel) * 9 + tap] = taps[tap][j];
                }
            }
        }
    }
}

/// G' u of four sums.
#[inline(always)]
fn from_points([a, b, c, d]: [f32; 4]) -> [f32; 3] {
    [a + 0.5 * (b + c), 0.5 * (b - c), 0.5 * (b + c) + d]
}

/// Products of a part: one row of points, 32 channels, 32 filters.
const PART: usize = 4 * WIDTH * WIDTH;
/// For each row of points: the rows of the input that it comes from, and the second one's sign…
const INPUT_ROWS: [(usize, usize, f32); 4] = [(0, 2, -1.0), (1, 2, 1.0), (2, 1, -1.0), (1, 3, -1.0)];
/// … and its shares of the two rows of the output's gradient.
const OUTPUT_ROWS: [[f32; 2]; 4] = [[1.0, 0.0], [1.0, 1.0], [1.0, -1.0], [0.0, -1.0]];

/// Adds up the products of transformed inputs and output gradients, for some of the parts of the weights' gradient: all
/// images, in order.
struct Products<'a> {
    tiles: Tiles,
    /// Blocks of 32 filters, and of 32 channels.
    parts: [usize; 2],
    /// The first part: (row of points, block of filters, block of channels).
    first: usize,
    x: &'a [f32],
    dy: &'a [f32],
    /// (part, column of points, channel, filter).
    sums: &'a mut [f32],
}

/// Values from one column of points of a block to the next, and from one block to the next.
const COLUMN: usize = SUMMED * WIDTH + GAP;
const BLOCK: usize = 4 * COLUMN;

impl Products<'_> {
    #[inline(always)]
    fn run<S: Simd, const N: usize, const P: usize>(self, simd: S) {
        let Self { tiles, parts: [filters, channels], first, x, dy, sums } = self;
        let (x, dy) = (S::as_simd_f32s(x).0, S::as_simd_f32s(dy).0);
        let count = x.len() / (tiles.size[0] * tiles.size[1] * channels * N) * tiles.of_image();
        let (mut inputs, mut outputs) = (vec![0.0; channels * BLOCK], vec![0.0; filters * BLOCK]);
        let mut pixels = Vec::with_capacity(SUMMED);
        for begin in (0..count).step_by(SUMMED) {
            pixels.clear();
            pixels.extend((begin..count.min(begin + SUMMED)).map(|tile| tiles.pixels(tile)));
            // The row of points that each block was transformed for.
            let (mut input_rows, mut output_rows) = (vec![None; channels], vec![None; filters]);
            for (part, sums) in sums.chunks_exact_mut(PART).enumerate() {
                let part = first + part;
                let (row, filter, channel) = (part / channels / filters, part / channels % filters, part % channels);
                let input = &mut inputs[channel * BLOCK..][..BLOCK];
                if input_rows[channel].replace(row) != Some(row) {
                    input_row::<S, N>(simd, &pixels, row, x, (channel, channels), input);
                }
                let output = &mut outputs[filter * BLOCK..][..BLOCK];
                if output_rows[filter].replace(row) != Some(row) {
                    output_row::<S, N>(simd, &pixels, row, dy, (filter, filters), output);
                }
                for (i, sums) in sums.chunks_exact_mut(P * WIDTH).enumerate() {
                    let (column, channel) = (i * P / WIDTH, i * P % WIDTH);
                    let mut products = [[simd.splat_f32s(0.0); N]; P];
                    let input = input[column * COLUMN + channel..].chunks(WIDTH);
                    let output = output[column * COLUMN..].as_chunks::<WIDTH>().0;
                    for (x, dy) in input.zip(output).take(pixels.len()) {
                        let Some(x) = x.first_chunk::<P>() else { return };
                        add_product::<S, N, P>(simd, x, dy, &mut products);
                    }
                    for (sum, products) in S::as_mut_simd_f32s(sums).0.iter_mut().zip(products.as_flattened()) {
                        *sum = simd.add_f32s(*sum, *products);
                    }
                }
            }
        }
    }
}

/// One row of points of some tiles' inputs, for one of the blocks of 32 channels: (column, tile, channel).
#[inline(always)]
fn input_row<S: Simd, const N: usize>(
    simd: S,
    pixels: &[Pixels],
    row: usize,
    x: &[S::f32s],
    (block, blocks): (usize, usize),
    points: &mut [f32],
) {
    let zero = simd.splat_f32s(0.0);
    let points = S::as_mut_simd_f32s(points).0;
    let (one, other, sign) = INPUT_ROWS[row];
    let sign = simd.splat_f32s(sign);
    for (t, pixels) in pixels.iter().enumerate() {
        for n in 0..N {
            let mut values = [zero; 4];
            for column in 0..4 {
                if let Some(pixel) = pixels[one][column] {
                    values[column] = x[(pixel * blocks + block) * N + n];
                }
                if let Some(pixel) = pixels[other][column] {
                    values[column] = simd.mul_add_e_f32s(sign, x[(pixel * blocks + block) * N + n], values[column]);
                }
            }
            let values = from_input(simd, values);
            for column in 0..4 {
                points[column * COLUMN / S::F32_LANES + t * N + n] = values[column];
            }
        }
    }
}

/// One row of points of some tiles' output gradients, for one of the blocks of 32 filters: (column, tile, filter).
#[inline(always)]
fn output_row<S: Simd, const N: usize>(
    simd: S,
    pixels: &[Pixels],
    row: usize,
    dy: &[S::f32s],
    (block, blocks): (usize, usize),
    points: &mut [f32],
) {
    let zero = simd.splat_f32s(0.0);
    let points = S::as_mut_simd_f32s(points).0;
    let shares = [simd.splat_f32s(OUTPUT_ROWS[row][0]), simd.splat_f32s(OUTPUT_ROWS[row][1])];
    for (t, pixels) in pixels.iter().enumerate() {
        for n in 0..N {
            let mut values = [zero; 2];
            for column in 0..2 {
                for row in 0..2 {
                    if let Some(pixel) = pixels[row + 1][column + 1] {
                        let value = dy[(pixel * blocks + block) * N + n];
                        values[column] = simd.mul_add_e_f32s(shares[row], value, values[column]);
                    }
                }
            }
            // A y of two values.
            let [a, b] = values;
            let values = [a, simd.add_f32s(a, b), simd.sub_f32s(a, b), simd.neg_f32s(b)];
            for column in 0..4 {
                points[column * COLUMN / S::F32_LANES + t * N + n] = values[column];
            }
        }
    }
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.run::<S, 2, 8>(simd),
            8 => self.run::<S, 4, 2>(simd),
            4 => self.run::<S, 8, 2>(simd),
            _ => self.run::<S, 32, 1>(simd),
        }
    }
}
