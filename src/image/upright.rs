//! Cuts upright regions out of pictures for the detector: what [`warp`](super::warp::warp) gives for a map that does
//! not turn, at a fraction of its cost.
//!
//! All samples of a row of the cut-out lie on the same lines of the picture, so these are first blended into one line,
//! which runs through memory in order, and only that line is read by columns.

use super::Image;
use super::warp::{FRACTION_BITS, SAMPLE_ONE, WEIGHT_ONE, fixed, taps, weight};

/// A map of points of a cut-out to points of a picture that only scales and moves:
/// `x = scale * u + left`, `y = scale * v + top`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Pixels of the picture a pixel of the cut-out.
    pub scale: f32,
    /// x of the centre of the cut-out's first pixel.
    pub left: f32,
    /// y of it.
    pub top: f32,
}

/// Cuts upright regions out; keeps the memory for it.
#[derive(Default)]
pub struct Cutter {
    /// A row of the cut-out, as wide as the region in the picture, red, green and blue in units of [`WEIGHT_ONE`].
    line: Vec<f32>,
    /// Where the samples of each column lie in the line, and the right pixel's share in units of [`WEIGHT_ONE`].
    samples: Vec<(usize, f32)>,
}

impl Cutter {
    /// Fills `out`, three planes of `width * height`: blue, green and red, 0 to 255; black beyond the picture.
    pub fn step(&mut self, image: &Image, placement: Placement, (width, height): (usize, usize), out: &mut [f32]) {
        let Placement { scale, left, top } = placement;
        let taps = taps(scale);
        let offset = |n: usize| scale * ((n as f32 + 0.5) / taps as f32 - 0.5);
        let dx = fixed(scale);
        let first = |tap: usize| fixed(left + offset(tap));
        let columns = Span::new(first(0), first(taps - 1) + dx * (width as i64 - 1), image.width);
        self.line.resize(columns.len * 3, 0.0);
        self.samples.clear();
        for u in 0..width as i64 {
            let of_tap = |tap| first(tap) + dx * u;
            let place = |x: i64| (((x >> FRACTION_BITS) - columns.begin) as usize * 3, weight(x) as f32);
            self.samples.extend((0..taps).map(of_tap).map(place));
        }

        let gain = 1.0 / ((taps * taps) as f32 * SAMPLE_ONE);
        let (blue, rest) = out.split_at_mut(width * height);
        let (green, red) = rest.split_at_mut(width * height);
        for v in 0..height {
            self.line.fill(0.0);
            for tap in 0..taps {
                self.add_lines(image, &columns, fixed(scale * v as f32 + top + offset(tap)));
            }
            let row = v * width..(v + 1) * width;
            let planes = red[row.clone()].iter_mut().zip(&mut green[row.clone()]).zip(&mut blue[row]);
            for (((red, green), blue), samples) in planes.zip(self.samples.chunks_exact(taps)) {
                let mut sum = [0.0; 3];
                for &(at, share) in samples {
                    let pair = &self.line[at..at + 6];
                    for c in 0..3 {
                        sum[c] += pair[c] * (WEIGHT_ONE - share) + pair[c + 3] * share;
                    }
                }
                (*red, *green, *blue) = (sum[0] * gain, sum[1] * gain, sum[2] * gain);
            }
        }
    }

    /// Adds the two lines of the picture around `y`, each by its share.
    fn add_lines(&mut self, image: &Image, columns: &Span, y: i64) {
        let (upper, share) = (y >> FRACTION_BITS, weight(y) as f32);
        let inside = |row: i64| (0..image.height as i64).contains(&row);
        if columns.pixels.is_empty() || !(inside(upper) || inside(upper + 1)) {
            return;
        }
        // A line beyond the border is black: the other one stands in for it with no share.
        let (upper_share, lower_share) =
            (if inside(upper) { WEIGHT_ONE - share } else { 0.0 }, if inside(upper + 1) { share } else { 0.0 });
        let pixels = |row: i64| {
            let row = row.clamp(0, image.height as i64 - 1) as usize * image.width;
            &image.rgb[(row + columns.pixels.start) * 3..(row + columns.pixels.end) * 3]
        };
        let line = &mut self.line[columns.before * 3..];
        for ((sum, upper), lower) in line.iter_mut().zip(pixels(upper)).zip(pixels(upper + 1)) {
            *sum += f32::from(*upper) * upper_share + f32::from(*lower) * lower_share;
        }
    }
}

/// The columns of the picture that a cut-out reads.
struct Span {
    /// The first, which may lie beyond the border.
    begin: i64,
    /// How many.
    len: usize,
    /// Those of them that are in the picture.
    pixels: std::ops::Range<usize>,
    /// How many lie beyond the border before them.
    before: usize,
}

impl Span {
    /// From the first to the last sample, of a picture of `width`.
    fn new(first: i64, last: i64, width: usize) -> Self {
        let (begin, end) = (first >> FRACTION_BITS, (last >> FRACTION_BITS) + 2);
        let pixels = begin.clamp(0, width as i64) as usize..end.clamp(0, width as i64) as usize;
        Self { begin, len: (end - begin) as usize, before: (pixels.start as i64 - begin).max(0) as usize, pixels }
    }
}

#[cfg(test)]
mod tests {
    use super::super::warp::{Border, Layout, Similarity, warp};
    use super::*;
    use crate::infer::manifest::Channels;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_what_a_warp_without_a_turn_gives(
            (width, height) in (1_usize..40, 1_usize..40),
            (scale, left, top) in (0.1_f32..9.0, -60.0_f32..60.0, -60.0_f32..60.0),
            bytes in prop::collection::vec(any::<u8>(), 40 * 40 * 3),
        ) {
            let image = Image { width, height, scale: 1.0, rgb: bytes[..width * height * 3].to_vec() };
            let size = (9, 7);
            let (mut cut, mut warped) = (vec![f32::NAN; 3 * 63], vec![f32::NAN; 3 * 63]);
            Cutter::default().step(&image, Placement { scale, left, top }, size, &mut cut);
            let layout = Layout { channels: Channels::Bgr, mean: 0.0, std: 1.0 };
            let map = Similarity { a: scale, b: 0.0, tx: left, ty: top };
            warp(&image, map, size, Border::Black, layout, &mut warped);
            for (cut, warped) in cut.into_iter().zip(warped) {
                // A coordinate may round to the next of the 256 steps between two pixels.
                prop_assert!((cut - warped).abs() < 2.1, "{} is not {}", cut, warped);
            }
        }
    }
}
