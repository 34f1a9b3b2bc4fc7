//! Cuts a region out of a picture: turned, scaled, filtered, and laid out as a model wants it.
//!
//! The same function feeds the detector and the encoder, when serving and when training.

use super::Image;
use crate::infer::manifest::Channels;

/// A similarity that maps points of the cut-out to points of the picture:
/// `x = a * u - b * v + tx`, `y = b * u + a * v + ty`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// Scale times the cosine of the turn.
    pub a: f32,
    /// Scale times the sine of the turn.
    pub b: f32,
    /// Where the cut-out's origin lies.
    pub tx: f32,
    /// Where the cut-out's origin lies.
    pub ty: f32,
}

impl Similarity {
    /// The point of the picture that belongs to a point of the cut-out.
    #[must_use]
    pub fn apply(&self, u: f32, v: f32) -> (f32, f32) {
        (self.a * u - self.b * v + self.tx, self.b * u + self.a * v + self.ty)
    }

    /// Pixels of the picture a pixel of the cut-out.
    #[must_use]
    pub fn scale(&self) -> f32 {
        self.a.hypot(self.b)
    }
}

/// What a cut-out shows where it reaches beyond the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// Black.
    Black,
    /// The nearest pixel of the picture.
    Nearest,
}

/// How pixel values become a tensor's.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Order of the planes.
    pub channels: Channels,
    /// Subtracted.
    pub mean: f32,
    /// Then divided by.
    pub std: f32,
}

impl Layout {
    /// Planes of one picture.
    #[must_use]
    pub fn planes(&self) -> usize {
        match self.channels {
            Channels::Bgr => 3,
            Channels::Gray => 1,
        }
    }
}

/// Fills `out` (planes of `width * height`) with the region that `picture_from_cut` names.
///
/// Bilinear; a region more than twice as large as the cut-out is averaged over a grid of samples, so that
/// nothing aliases (a bilinear sample half way between pixels already averages two by two).
pub fn warp(
    image: &Image,
    picture_from_cut: Similarity,
    (width, height): (usize, usize),
    border: Border,
    layout: Layout,
    out: &mut [f32],
) {
    let plane = width * height;
    let taps = (picture_from_cut.scale() / 2.0).ceil().clamp(1.0, 8.0) as usize;
    let (gain, bias) = (1.0 / (layout.std * (taps * taps) as f32), -layout.mean / layout.std);
    let sampler = Sampler { image, border };
    for v in 0..height {
        for u in 0..width {
            let mut sum = [0.0_f32; 3];
            for tap in 0..taps * taps {
                let offset = |n: usize| (n as f32 + 0.5) / taps as f32 - 0.5;
                let (x, y) = picture_from_cut.apply(u as f32 + offset(tap % taps), v as f32 + offset(tap / taps));
                let [r, g, b] = sampler.bilinear(x, y);
                sum = [sum[0] + r, sum[1] + g, sum[2] + b];
            }
            let at = v * width + u;
            match layout.channels {
                Channels::Bgr => {
                    out[at] = sum[2] * gain + bias;
                    out[plane + at] = sum[1] * gain + bias;
                    out[2 * plane + at] = sum[0] * gain + bias;
                }
                // BT.601 luma, as OpenCV and JPEG have it.
                Channels::Gray => out[at] = (0.299 * sum[0] + 0.587 * sum[1] + 0.114 * sum[2]) * gain + bias,
            }
        }
    }
}

struct Sampler<'a> {
    image: &'a Image,
    border: Border,
}

impl Sampler<'_> {
    fn bilinear(&self, x: f32, y: f32) -> [f32; 3] {
        let (x0, y0) = (x.floor(), y.floor());
        let (fx, fy) = (x - x0, y - y0);
        let (x0, y0) = (x0 as isize, y0 as isize);
        let inside = x0 >= 0 && y0 >= 0 && x0 + 1 < self.image.width as isize && y0 + 1 < self.image.height as isize;
        let [p00, p10, p01, p11] = if inside {
            let row = self.image.width * 3;
            let at = y0 as usize * row + x0 as usize * 3;
            let (top, bottom) = (&self.image.rgb[at..at + 6], &self.image.rgb[at + row..at + row + 6]);
            [&top[..3], &top[3..], &bottom[..3], &bottom[3..]].map(|p| [p[0], p[1], p[2]])
        } else {
            [(x0, y0), (x0 + 1, y0), (x0, y0 + 1), (x0 + 1, y0 + 1)].map(|(x, y)| self.pixel(x, y))
        };
        std::array::from_fn(|c| {
            let top = f32::from(p00[c]) + (f32::from(p10[c]) - f32::from(p00[c])) * fx;
            let bottom = f32::from(p01[c]) + (f32::from(p11[c]) - f32::from(p01[c])) * fx;
            top + (bottom - top) * fy
        })
    }

    fn pixel(&self, x: isize, y: isize) -> [u8; 3] {
        let (right, bottom) = (self.image.width as isize - 1, self.image.height as isize - 1);
        if self.border == Border::Black && (x < 0 || y < 0 || x > right || y > bottom) {
            return [0; 3];
        }
        let at = (y.clamp(0, bottom) as usize * self.image.width + x.clamp(0, right) as usize) * 3;
        [self.image.rgb[at], self.image.rgb[at + 1], self.image.rgb[at + 2]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN_GRAY: Layout = Layout { channels: Channels::Gray, mean: 0.0, std: 1.0 };

    /// A picture whose brightness grows by one a pixel to the right and two a pixel down.
    fn ramp(width: usize, height: usize) -> Image {
        let value = |n: usize| (n % width + 2 * (n / width)) as u8;
        Image { width, height, scale: 1.0, rgb: (0..width * height).flat_map(|n| [value(n); 3]).collect() }
    }

    fn cut(image: &Image, from: Similarity, size: (usize, usize), border: Border) -> Vec<f32> {
        let mut out = vec![0.0; size.0 * size.1];
        warp(image, from, size, border, PLAIN_GRAY, &mut out);
        out
    }

    fn assert_close(found: f32, expected: f32) {
        assert!((found - expected).abs() < 1e-3, "{found} is not {expected}");
    }

    #[test]
    fn a_turned_region_is_read_where_it_lies() {
        let image = ramp(50, 50);
        let quarter_turn = Similarity { a: 0.0, b: 1.0, tx: 30.5, ty: 10.0 };
        let out = cut(&image, quarter_turn, (4, 4), Border::Black);
        for (n, value) in out.into_iter().enumerate() {
            let (x, y) = quarter_turn.apply((n % 4) as f32, (n / 4) as f32);
            assert_close(value, x + 2.0 * y);
        }
    }

    #[test]
    fn a_large_region_is_averaged_not_sampled() {
        let mut image = ramp(64, 64);
        // Stripes of one pixel: sampling would see black or white, never grey.
        for (n, pixel) in image.rgb.chunks_exact_mut(3).enumerate() {
            pixel.fill(if n % 2 == 0 { 0 } else { 200 });
        }
        let eighth = Similarity { a: 8.0, b: 0.0, tx: 3.5, ty: 3.5 };
        for value in cut(&image, eighth, (8, 8), Border::Nearest) {
            assert_close(value, 100.0);
        }
    }

    #[test]
    fn beyond_the_border_is_black_or_the_nearest_pixel() {
        let image = ramp(8, 8);
        let outside = Similarity { a: 1.0, b: 0.0, tx: 20.0, ty: 7.0 };
        assert_close(cut(&image, outside, (1, 1), Border::Black)[0], 0.0);
        assert_close(cut(&image, outside, (1, 1), Border::Nearest)[0], 21.0);
    }

    #[test]
    fn planes_are_blue_green_red_and_normalised() {
        let image = Image { width: 1, height: 1, scale: 1.0, rgb: vec![10, 20, 30] };
        let mut out = [0.0; 3];
        let layout = Layout { channels: Channels::Bgr, mean: 10.0, std: 2.0 };
        let identity = Similarity { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 };
        warp(&image, identity, (1, 1), Border::Nearest, layout, &mut out);
        assert_eq!(out, [10.0, 5.0, 0.0]);
    }
}
