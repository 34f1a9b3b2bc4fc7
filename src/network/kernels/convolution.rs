//! The 2-D convolution and its gradients.
//!
//! Nothing is unfolded and nothing is padded: a tile knows where each of its pixels' neighbours lies, and that some lie
//! outside. Every sum is taken in an order that neither the number of threads nor their timing changes.

use pulp::Simd;
use rayon::prelude::*;

use super::tile::{OUTSIDE, Pass, Sums, TILE, Tiled, WIDTH, add_product};
use super::winograd;

/// Pixels that a task works on at least, so that weights are read seldom and tiles are full.
const TASK_PIXELS: usize = 128;
/// Pixels whose products are summed up in registers before they are added to the gradient.
const SUMMED_PIXELS: usize = 512;

/// A convolution without bias, dilation or groups, of pictures stored as (image, row, column, channel).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Images of the batch.
    pub images: usize,
    /// Rows and columns of the input.
    pub size: [usize; 2],
    /// Channels of the input.
    pub channels: usize,
    /// Channels of the output.
    pub filters: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Distance between the outputs, in pixels of the input.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: usize,
}

impl Convolution {
    /// Rows and columns of the output.
    #[must_use]
    pub fn out_size(&self) -> [usize; 2] {
        self.size.map(|side| (side + 2 * self.padding - self.kernel) / self.stride + 1)
    }

    fn out_pixels(&self) -> usize {
        self.out_size().iter().product()
    }

    fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Whether it is one of those that [`winograd`] is for.
    fn is_plain(&self) -> bool {
        (self.kernel, self.stride, self.padding) == (3, 1, 1) && self.channels.is_multiple_of(WIDTH)
    }

    /// Values of the input, and of its gradient.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.images * self.size[0] * self.size[1] * self.channels
    }

    /// Values of the output, and of its gradient.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.images * self.out_pixels() * self.filters
    }

    /// Along one axis, the position in the input that a tap of the output's position `out` reads.
    fn reads(&self, axis: usize, out: usize, tap: usize) -> Option<usize> {
        (out * self.stride + tap).checked_sub(self.padding).filter(|&at| at < self.size[axis])
    }

    /// For each pixel of the output, where the inputs of `P` rows (tap, channel) of the weights lie in an image.
    fn places<const P: usize>(&self, first: usize) -> Vec<[usize; P]> {
        let [_, out_columns] = self.out_size();
        let place = |pixel: usize, row: usize| {
            let (tap, channel) = (row / self.channels, row % self.channels);
            let row = self.reads(0, pixel / out_columns, tap / self.kernel)?;
            let column = self.reads(1, pixel % out_columns, tap % self.kernel)?;
            Some((row * self.size[1] + column) * self.channels + channel)
        };
        let rows = |pixel| std::array::from_fn(|j| place(pixel, first + j).unwrap_or(OUTSIDE));
        (0..self.out_pixels()).map(rows).collect()
    }

    /// The output, `images * out_pixels * filters` values, of `x` and the weights (filter, channel, row, column).
    #[must_use]
    pub fn forward(&self, x: &[f32], weights: &[f32]) -> Vec<f32> {
        if self.is_plain() {
            return winograd::convolve(self.size, [self.channels, self.filters], x, |filter, channel, tap| {
                weights[(filter * self.channels + channel) * self.taps() + tap]
            });
        }
        let ([_, columns], [out_rows, out_columns]) = (self.size, self.out_size());
        let group = TASK_PIXELS.div_ceil(self.out_pixels()).min(self.images);
        let image = self.size[0] * columns * self.channels;
        let at = |pixel: usize, tap: usize| {
            let (g, row, column) = (pixel / self.out_pixels(), pixel / out_columns % out_rows, pixel % out_columns);
            let row = self.reads(0, row, tap / self.kernel)?;
            let column = self.reads(1, column, tap % self.kernel)?;
            Some(g * image + (row * columns + column) * self.channels)
        };
        let weights = pack(self.filters, self.channels, self.taps(), |filter, channel, tap| {
            weights[(filter * self.channels + channel) * self.taps() + tap]
        });
        let step = (0, self.taps() * self.channels * WIDTH);
        let passes = [Pass::new(group * self.out_pixels(), self.taps(), at, |pixel| pixel * self.filters, step)];
        let mut y = vec![0.0; self.output_len()];
        let groups = y.par_chunks_mut(group * self.out_pixels() * self.filters).zip(x.par_chunks(group * image));
        groups.for_each(|(y, x)| {
            Sums {
                passes: &passes,
                weights: &weights,
                source: x,
                depth: self.channels,
                target: y,
                width: self.filters,
                pixels: usize::MAX,
            }
            .dispatch();
        });
        y
    }

    /// The loss's gradient by the input, of that by the output, `dy`.
    ///
    /// Inputs that lie alike between the outputs (of a stride of 2: at even or odd rows and columns) are reached by
    /// the same taps: each such class is a small convolution of its own.
    #[must_use]
    pub fn input_gradient(&self, dy: &[f32], weights: &[f32]) -> Vec<f32> {
        if self.is_plain() {
            // Back through the same taps: the kernel is turned half round.
            return winograd::convolve(self.size, [self.filters, self.channels], dy, |channel, filter, tap| {
                weights[(filter * self.channels + channel) * self.taps() + self.taps() - 1 - tap]
            });
        }
        let ([rows, columns], [out_rows, out_columns]) = (self.size, self.out_size());
        let (image, out_image) = (rows * columns * self.channels, self.out_pixels() * self.filters);
        let group = TASK_PIXELS.div_ceil(rows * columns).min(self.images);
        // Along one axis, the taps that reach a class, and the output that tap reads the input at `at` from.
        let taps_of = |class: usize| -> Vec<usize> {
            (0..self.kernel)
                .filter(|tap| (class + self.padding + self.stride * self.kernel - tap).is_multiple_of(self.stride))
                .collect()
        };
        let written = |at: usize, tap: usize, outputs: usize| {
            (at + self.padding).checked_sub(tap).map(|from| from / self.stride).filter(|&out| out < outputs)
        };
        let (mut passes, mut packed) = (Vec::new(), Vec::new());
        for class in 0..self.stride * self.stride {
            let (class_row, class_column) = (class / self.stride, class % self.stride);
            let (row_taps, column_taps) = (taps_of(class_row), taps_of(class_column));
            let taps: Vec<(usize, usize)> =
                row_taps.iter().flat_map(|&row| column_taps.iter().map(move |&column| (row, column))).collect();
            let own_rows = rows.saturating_sub(class_row).div_ceil(self.stride);
            let own_columns = columns.saturating_sub(class_column).div_ceil(self.stride);
            if taps.is_empty() || own_rows * own_columns == 0 {
                continue;
            }
            let place = |pixel: usize| {
                let (row, column) = (pixel / own_columns % own_rows, pixel % own_columns);
                (pixel / (own_rows * own_columns), row * self.stride + class_row, column * self.stride + class_column)
            };
            passes.push(Pass::new(
                group * own_rows * own_columns,
                taps.len(),
                |pixel, tap| {
                    let (g, row, column) = place(pixel);
                    let row = written(row, taps[tap].0, out_rows)?;
                    let column = written(column, taps[tap].1, out_columns)?;
                    Some(g * out_image + (row * out_columns + column) * self.filters)
                },
                |pixel| {
                    let (g, row, column) = place(pixel);
                    g * image + (row * columns + column) * self.channels
                },
                (packed.len(), taps.len() * self.filters * WIDTH),
            ));
            packed.extend(pack(self.channels, self.filters, taps.len(), |channel, filter, tap| {
                let tap = taps[tap].0 * self.kernel + taps[tap].1;
                weights[(filter * self.channels + channel) * self.taps() + tap]
            }));
        }
        let mut dx = vec![0.0; self.input_len()];
        dx.par_chunks_mut(group * image).zip(dy.par_chunks(group * out_image)).for_each(|(dx, dy)| {
            Sums {
                passes: &passes,
                weights: &packed,
                source: dy,
                depth: self.filters,
                target: dx,
                width: self.channels,
                pixels: usize::MAX,
            }
            .dispatch();
        });
        dx
    }

    /// The loss's gradient by the weights, of that by the output, `dy`.
    #[must_use]
    pub fn weight_gradient(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        if self.is_plain() {
            return winograd::weight_gradient(self.size, [self.channels, self.filters], x, dy);
        }
        let rows = self.taps() * self.channels;
        let units = rows.div_ceil(TILE);
        let mut packed = vec![0.0; self.filters / WIDTH * units * TILE * WIDTH];
        let share = (self.filters / WIDTH * units).div_ceil(rayon::current_num_threads());
        packed.par_chunks_mut(share * TILE * WIDTH).enumerate().for_each(|(part, packed)| {
            Products { of: self, first: part * share, x, dy, packed }.dispatch();
        });
        let mut weights = vec![0.0; self.filters * rows];
        weights.par_chunks_mut(rows).enumerate().for_each(|(filter, weights)| {
            let packed = &packed[filter / WIDTH * units * TILE * WIDTH + filter % WIDTH..];
            for (channel, weights) in weights.chunks_exact_mut(self.taps()).enumerate() {
                for (tap, weight) in weights.iter_mut().enumerate() {
                    *weight = packed[(tap * self.channels + channel) * WIDTH];
                }
            }
        });
        weights
    }
}

/// Weights in the order in which [`Sums`] reads them; `weight(out, in, tap)`.
fn pack(outs: usize, ins: usize, taps: usize, weight: impl Fn(usize, usize, usize) -> f32 + Sync) -> Vec<f32> {
    let mut packed = vec![0.0; outs * ins * taps];
    packed.par_chunks_mut(ins * taps * WIDTH).enumerate().for_each(|(block, packed)| {
        // Taps lie side by side in a weight: it is read once from end to end.
        for channel in 0..ins {
            for tap in 0..taps {
                let packed = &mut packed[(tap * ins + channel) * WIDTH..][..WIDTH];
                for (j, packed) in packed.iter_mut().enumerate() {
                    *packed = weight(block * WIDTH + j, channel, tap);
                }
            }
        }
    });
    packed
}

/// Adds up the products of input and output gradient for some tiles of the weights' gradient: all images, in order.
struct Products<'a> {
    of: &'a Convolution,
    /// The first tile.
    first: usize,
    x: &'a [f32],
    dy: &'a [f32],
    /// (tile of eight rows (tap, channel), [`WIDTH`] filters).
    packed: &'a mut [f32],
}

impl Tiled for Products<'_> {
    #[inline(always)]
    fn run<S: Simd, const N: usize, const P: usize>(self, simd: S) {
        let conv = self.of;
        let units = (conv.taps() * conv.channels).div_ceil(TILE);
        let image = conv.size[0] * conv.size[1] * conv.channels;
        let out_image = conv.out_pixels() * conv.filters;
        let group = SUMMED_PIXELS.div_ceil(conv.out_pixels());
        let row_of = |part: usize| {
            let unit = self.first + part * P / TILE;
            (unit / units, unit % units * TILE + part * P % TILE)
        };
        let lies_apart = !conv.channels.is_multiple_of(TILE);
        let parts = if lies_apart { self.packed.len() / (P * WIDTH) } else { 0 };
        let places: Vec<Vec<[usize; P]>> = (0..parts).map(|part| conv.places(row_of(part).1)).collect();
        for (xs, dys) in self.x.chunks(group * image).zip(self.dy.chunks(group * out_image)) {
            for (part, packed) in self.packed.chunks_exact_mut(P * WIDTH).enumerate() {
                let (block, row) = row_of(part);
                let mut sums = [[simd.splat_f32s(0.0); N]; P];
                for (x, dy) in xs.chunks_exact(image).zip(dys.chunks_exact(out_image)) {
                    let dy = &dy[block * WIDTH..];
                    if let Some(places) = places.get(part) {
                        add_places::<S, N, P>(simd, places, conv.filters, x, dy, &mut sums);
                    } else {
                        let (tap, x) = (row / conv.channels, &x[row % conv.channels..]);
                        add_channels::<S, N, P>(simd, conv, tap, x, dy, &mut sums);
                    }
                }
                for (out, sums) in S::as_mut_simd_f32s(packed).0.iter_mut().zip(sums.as_flattened()) {
                    *out = simd.add_f32s(*out, *sums);
                }
            }
        }
    }
}

/// One image's products for the first `P` of the channels in `x` and the first [`WIDTH`] filters in `dy`.
#[inline(always)]
fn add_channels<S: Simd, const N: usize, const P: usize>(
    simd: S,
    conv: &Convolution,
    tap: usize,
    x: &[f32],
    dy: &[f32],
    sums: &mut [[S::f32s; N]; P],
) {
    let [out_rows, out_columns] = conv.out_size();
    // The columns whose tap lies inside are neighbours.
    let inside = |axis, outputs: usize, tap| {
        let mut inside = (0..outputs).filter(|&out| conv.reads(axis, out, tap).is_some());
        inside.next().map(|first| (first, inside.next_back().unwrap_or(first) + 1))
    };
    let (row_tap, column_tap) = (tap / conv.kernel, tap % conv.kernel);
    let Some((first, end)) = inside(1, out_columns, column_tap) else { return };
    for out_row in 0..out_rows {
        let (Some(row), Some(column)) = (conv.reads(0, out_row, row_tap), conv.reads(1, first, column_tap)) else {
            continue;
        };
        let x = x[(row * conv.size[1] + column) * conv.channels..].chunks(conv.stride * conv.channels);
        let dy = dy[(out_row * out_columns + first) * conv.filters..].chunks(conv.filters);
        for (x, dy) in x.zip(dy).take(end - first) {
            let (Some(x), Some(dy)) = (x.first_chunk::<P>(), dy.first_chunk::<WIDTH>()) else { return };
            add_product::<S, N, P>(simd, x, dy, sums);
        }
    }
}

/// One image's products for `P` rows of the weights that do not lie side by side in `x`: `places` tells for each pixel
/// of the output where they do.
#[inline(always)]
fn add_places<S: Simd, const N: usize, const P: usize>(
    simd: S,
    places: &[[usize; P]],
    filters: usize,
    x: &[f32],
    dy: &[f32],
    sums: &mut [[S::f32s; N]; P],
) {
    for (at, dy) in places.iter().zip(dy.chunks(filters)) {
        let Some(dy) = dy.first_chunk() else { return };
        let mut values = [0.0; P];
        for j in 0..P {
            values[j] = x.get(at[j]).copied().unwrap_or(0.0);
        }
        add_product::<S, N, P>(simd, &values, dy, sums);
    }
}
