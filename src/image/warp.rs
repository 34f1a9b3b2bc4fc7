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

    /// The same for a cut-out whose origin lies at (`u`, `v`) of this one.
    #[must_use]
    pub fn moved(&self, u: f32, v: f32) -> Self {
        let (tx, ty) = self.apply(u, v);
        Self { tx, ty, ..*self }
    }

    /// Maps points of the picture to points of the cut-out; the scale must not be 0.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let turn = Self { a: self.a / square, b: -self.b / square, tx: 0.0, ty: 0.0 };
        turn.moved(-self.tx, -self.ty)
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
    let taps = (picture_from_cut.scale() / 2.0).ceil().clamp(1.0, 8.0) as usize;
    let gain = 1.0 / (layout.std * (taps * taps) as f32 * SAMPLE_ONE);
    let region = Region { sampler: Sampler { image, border }, picture_from_cut, width, height, taps };
    out.fill(-layout.mean / layout.std);
    match layout.channels {
        Channels::Bgr => {
            let (blue, rest) = out.split_at_mut(width * height);
            let (green, red) = rest.split_at_mut(width * height);
            region.each_sample(|at, [r, g, b]| {
                blue[at] += b as f32 * gain;
                green[at] += g as f32 * gain;
                red[at] += r as f32 * gain;
            });
        }
        // BT.601 luma, as OpenCV and JPEG have it.
        Channels::Gray => region.each_sample(|at, [r, g, b]| {
            out[at] += (0.299 * r as f32 + 0.587 * g as f32 + 0.114 * b as f32) * gain;
        }),
    }
}

/// A region of a picture, and the grid of samples that it is read by.
struct Region<'a> {
    sampler: Sampler<'a>,
    picture_from_cut: Similarity,
    width: usize,
    height: usize,
    /// Samples a side of each pixel of the cut-out.
    taps: usize,
}

impl Region<'_> {
    /// Calls `take` with every sample and the pixel of the cut-out that it belongs to.
    #[inline]
    fn each_sample(&self, mut take: impl FnMut(usize, [u32; 3])) {
        let offset = |n: usize| (n as f32 + 0.5) / self.taps as f32 - 0.5;
        let (dx, dy) = (fixed(self.picture_from_cut.a), fixed(self.picture_from_cut.b));
        for v in 0..self.height {
            for tap in 0..self.taps * self.taps {
                let (u, v_tap) = (offset(tap % self.taps), v as f32 + offset(tap / self.taps));
                let (x, y) = self.picture_from_cut.apply(u, v_tap);
                let (mut x, mut y) = (fixed(x), fixed(y));
                let last = self.width as i64 - 1;
                let all_inside = self.sampler.is_inside(x, y) && self.sampler.is_inside(x + dx * last, y + dy * last);
                for at in v * self.width..(v + 1) * self.width {
                    take(at, if all_inside { self.sampler.inner(x, y) } else { self.sampler.outer(x, y) });
                    (x, y) = (x + dx, y + dy);
                }
            }
        }
    }
}

/// Coordinates are in fixed point: without SSE 4.1, which a portable x86-64 build may not assume, `floor` is a
/// function call, and the loop took several times as long.
const FRACTION_BITS: u32 = 20;
/// Bits of a bilinear weight; two weights and a pixel fill 24 bits, which `f32` holds exactly.
const WEIGHT_BITS: u32 = 8;
/// A sample of brightness 1.
const SAMPLE_ONE: f32 = (1 << (2 * WEIGHT_BITS)) as f32;

fn fixed(coordinate: f32) -> i64 {
    (f64::from(coordinate) * f64::from(1 << FRACTION_BITS)) as i64
}

/// The part of a coordinate behind the point, as a bilinear weight.
fn weight(coordinate: i64) -> u32 {
    ((coordinate >> (FRACTION_BITS - WEIGHT_BITS)) & ((1 << WEIGHT_BITS) - 1)) as u32
}

fn blend(a: u32, b: u32, share_of_b: u32) -> u32 {
    a * ((1 << WEIGHT_BITS) - share_of_b) + b * share_of_b
}

struct Sampler<'a> {
    image: &'a Image,
    border: Border,
}

impl Sampler<'_> {
    /// Whether all four pixels around the point are in the picture.
    fn is_inside(&self, x: i64, y: i64) -> bool {
        let (x, y) = (x >> FRACTION_BITS, y >> FRACTION_BITS);
        x >= 0 && y >= 0 && x + 1 < self.image.width as i64 && y + 1 < self.image.height as i64
    }

    /// Red, green and blue, in units of 1 / [`SAMPLE_ONE`], at a point that is inside.
    #[inline]
    fn inner(&self, x: i64, y: i64) -> [u32; 3] {
        let row = self.image.width * 3;
        let at = (y >> FRACTION_BITS) as usize * row + (x >> FRACTION_BITS) as usize * 3;
        let (top, bottom) = (&self.image.rgb[at..at + 6], &self.image.rgb[at + row..at + row + 6]);
        let (fx, fy) = (weight(x), weight(y));
        // Written out: `map` on an array is not inlined here, which costs as much again.
        let channel = |c: usize| {
            let along = |pair: &[u8]| blend(pair[c].into(), pair[c + 3].into(), fx);
            blend(along(top), along(bottom), fy)
        };
        [channel(0), channel(1), channel(2)]
    }

    /// The same at any point.
    fn outer(&self, x: i64, y: i64) -> [u32; 3] {
        let (left, top) = (x >> FRACTION_BITS, y >> FRACTION_BITS);
        let (p00, p10) = (self.pixel(left, top), self.pixel(left + 1, top));
        let (p01, p11) = (self.pixel(left, top + 1), self.pixel(left + 1, top + 1));
        let (fx, fy) = (weight(x), weight(y));
        [0, 1, 2].map(|c| blend(blend(p00[c], p10[c], fx), blend(p01[c], p11[c], fx), fy))
    }

    fn pixel(&self, x: i64, y: i64) -> [u32; 3] {
        let (right, bottom) = (self.image.width as i64 - 1, self.image.height as i64 - 1);
        if self.border == Border::Black && (x < 0 || y < 0 || x > right || y > bottom) {
            return [0; 3];
        }
        let at = (y.clamp(0, bottom) as usize * self.image.width + x.clamp(0, right) as usize) * 3;
        [0, 1, 2].map(|c| self.image.rgb[at + c].into())
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
        // Weights have eight bits.
        assert!((found - expected).abs() < 1.0 / 64.0, "{found} is not {expected}");
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
