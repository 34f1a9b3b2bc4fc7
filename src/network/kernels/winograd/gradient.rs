//! The gradient by the weights: of each number of the transformed weights, the sum of the products of the transformed
//! inputs and the transformed output gradients, transformed back.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::super::tile::{Tiled, WIDTH, add_product};
use super::{GAP, POINTS, Pixels, Tiles, from_input};

/// Tiles whose products are summed up before they are added to the gradient.
const SUMMED: usize = 64;

/// The gradient by the weights (filter, channel, row, column), of that by the output, for pictures of `size`.
pub fn weight_gradient(size: [usize; 2], [channels, filters]: [usize; 2], x: &[f32], dy: &[f32]) -> Vec<f32> {
    let parts = [filters / WIDTH, channels / WIDTH];
    let mut sums = vec![0.0; POINTS * filters * channels];
    let share = (sums.len() / PART).div_ceil(rayon::current_num_threads());
    sums.par_chunks_mut(share * PART).enumerate().for_each(|(i, sums)| {
        Products { tiles: Tiles { size }, parts, first: i * share, x, dy, sums }.dispatch();
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
            for (row, values) in rows.iter_mut().enumerate() {
                let part = (row * filters + block) * channels + channel / WIDTH;
                let sums = &sums[part * PART + channel % WIDTH * WIDTH..];
                let column = |column: usize| &sums[column * WIDTH * WIDTH..][..WIDTH];
                let columns = [column(0), column(1), column(2), column(3)];
                for j in 0..WIDTH {
                    let found = from_points([columns[0][j], columns[1][j], columns[2][j], columns[3][j]]);
                    for column in 0..3 {
                        values[column][j] = found[column];
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

impl Tiled for Products<'_> {
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
