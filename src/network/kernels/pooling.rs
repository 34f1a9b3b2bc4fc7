//! The largest of neighbouring pixels, and the way back to it.

use rayon::prelude::*;

/// A window of 3x3 pixels at every other one; a border of one pixel counts for nothing.
const SIDE: usize = 3;
const STRIDE: usize = 2;

/// Pooling of pictures stored as (image, row, column, channel).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// Rows and columns of the input.
    pub size: [usize; 2],
    /// Channels.
    pub channels: usize,
}

impl Pooling {
    /// Rows and columns of the output.
    #[must_use]
    pub fn out_size(&self) -> [usize; 2] {
        self.size.map(|side| side.div_ceil(STRIDE))
    }

    fn image(&self) -> usize {
        self.size[0] * self.size[1] * self.channels
    }

    fn out_image(&self) -> usize {
        self.out_size().iter().product::<usize>() * self.channels
    }

    /// For each pixel of the output: where it begins, and where those of its window begin, with their number in it.
    fn windows(&self) -> impl Iterator<Item = (usize, impl Iterator<Item = (u8, usize)>)> {
        let ([rows, columns], [out_rows, out_columns]) = (self.size, self.out_size());
        (0..out_rows * out_columns).map(move |pixel| {
            let (row, column) = (pixel / out_columns * STRIDE, pixel % out_columns * STRIDE);
            let window = (0..SIDE * SIDE).filter_map(move |tap| {
                let row = (row + tap / SIDE).checked_sub(1).filter(|row| *row < rows)?;
                let column = (column + tap % SIDE).checked_sub(1).filter(|column| *column < columns)?;
                Some((tap as u8, (row * columns + column) * self.channels))
            });
            (pixel * self.channels, window)
        })
    }

    /// The largest values, and for each the number of its pixel in the window.
    #[must_use]
    pub fn forward(&self, x: &[f32]) -> (Vec<f32>, Vec<u8>) {
        let (c, images) = (self.channels, x.len() / self.image());
        let mut y = vec![f32::NEG_INFINITY; images * self.out_image()];
        let mut from = vec![0; y.len()];
        let outputs = y.par_chunks_mut(self.out_image()).zip(from.par_chunks_mut(self.out_image()));
        outputs.zip(x.par_chunks(self.image())).for_each(|((y, from), x)| {
            for (out, window) in self.windows() {
                let (y, from) = (&mut y[out..out + c], &mut from[out..out + c]);
                for (tap, at) in window {
                    for ((y, from), x) in y.iter_mut().zip(from.iter_mut()).zip(&x[at..at + c]) {
                        if *x > *y {
                            (*y, *from) = (*x, tap);
                        }
                    }
                }
            }
        });
        (y, from)
    }

    /// The loss's gradient by the input, of that by the output.
    #[must_use]
    pub fn gradient(&self, dy: &[f32], from: &[u8]) -> Vec<f32> {
        let (c, images) = (self.channels, dy.len() / self.out_image());
        let mut dx = vec![0.0; images * self.image()];
        let outputs = dy.par_chunks(self.out_image()).zip(from.par_chunks(self.out_image()));
        dx.par_chunks_mut(self.image()).zip(outputs).for_each(|(dx, (dy, from))| {
            for (out, window) in self.windows() {
                for (tap, at) in window {
                    let values = dx[at..at + c].iter_mut().zip(&dy[out..out + c]).zip(&from[out..out + c]);
                    for ((dx, dy), from) in values {
                        *dx += if *from == tap { *dy } else { 0.0 };
                    }
                }
            }
        });
        dx
    }
}
