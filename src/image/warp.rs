//! Cuts a region out of a picture: turned, scaled, filtered, and laid out as a model wants it.
//!
//! The same function feeds the encoder when serving and when training; training, whose pictures are grey already and are
//! also squeezed, mirrored and bent, has two more ways into the same sampler. The detector's regions are never turned:
//! [`upright`](super::upright) cuts them the same way, faster.

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

/// An affine map of points of the cut-out to points of the picture: a [`Similarity`] that may also squeeze and mirror.
/// `x = x[0] * u + x[1] * v + x[2]`, and so for y.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the formula says it")]
pub struct Affine {
    pub x: [f32; 3],
    pub y: [f32; 3],
}

impl From<Similarity> for Affine {
    fn from(s: Similarity) -> Self {
        Self { x: [s.a, -s.b, s.tx], y: [s.b, s.a, s.ty] }
    }
}

impl Affine {
    /// The point of the picture that belongs to a point of the cut-out.
    #[must_use]
    pub fn apply(&self, u: f32, v: f32) -> (f32, f32) {
        (self.x[0] * u + self.x[1] * v + self.x[2], self.y[0] * u + self.y[1] * v + self.y[2])
    }

    /// The map that applies `first`, then this one.
    #[must_use]
    pub fn after(&self, first: &Self) -> Self {
        let row = |r: [f32; 3]| {
            let along = |n: usize| r[0] * first.x[n] + r[1] * first.y[n];
            [along(0), along(1), along(2) + r[2]]
        };
        Self { x: row(self.x), y: row(self.y) }
    }

    /// Pixels of the picture a pixel of the cut-out, the geometric mean over the directions.
    #[must_use]
    pub fn scale(&self) -> f32 {
        (self.x[0] * self.y[1] - self.x[1] * self.y[0]).abs().sqrt()
    }
}

/// A picture in memory: `width * height` times `C` bytes, rows without padding.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Pixels<'a, const C: usize> {
    pub width: usize,
    pub height: usize,
    pub values: &'a [u8],
}

impl<'a> From<&'a Image> for Pixels<'a, 3> {
    fn from(image: &'a Image) -> Self {
        Self { width: image.width, height: image.height, values: &image.rgb }
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
        self.channels.planes()
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
    let taps = taps(picture_from_cut.scale());
    let gain = 1.0 / (layout.std * (taps * taps) as f32 * SAMPLE_ONE);
    let sampler = Sampler { picture: image.into(), border };
    let region = Region { sampler, picture_from_cut: picture_from_cut.into(), width, height, taps };
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

/// The same of a grey picture, which may also be squeezed and mirrored: `out` becomes `width * height` values from 0 to
/// 255; the nearest pixel stands beyond the border.
pub fn warp_gray(picture: Pixels<'_, 1>, picture_from_cut: Affine, (width, height): (usize, usize), out: &mut [f32]) {
    let taps = taps(picture_from_cut.scale());
    let gain = 1.0 / ((taps * taps) as f32 * SAMPLE_ONE);
    out.fill(0.0);
    let sampler = Sampler { picture, border: Border::Nearest };
    let region = Region { sampler, picture_from_cut, width, height, taps };
    region.each_sample(|at, [value]| out[at] += value as f32 * gain);
}

/// The same of a grey picture that is bent on the way: `displacement` says by how many pixels of the picture the point
/// (x, y) of it is moved aside before it is read.
pub fn warp_gray_bent(
    picture: Pixels<'_, 1>,
    picture_from_cut: Affine,
    (width, height): (usize, usize),
    displacement: impl Fn(f32, f32) -> (f32, f32),
    out: &mut [f32],
) {
    let taps = taps(picture_from_cut.scale());
    let gain = 1.0 / ((taps * taps) as f32 * SAMPLE_ONE);
    let sampler = Sampler { picture, border: Border::Nearest };
    // The field is smooth: all samples of a pixel are moved alike.
    let reach = |n: usize| (n as f32 + 0.5) / taps as f32 - 0.5;
    for v in 0..height {
        for u in 0..width {
            let (x, y) = picture_from_cut.apply(u as f32, v as f32);
            let (dx, dy) = displacement(x, y);
            let mut sum = 0;
            for tap in 0..taps * taps {
                let (x, y) = picture_from_cut.apply(u as f32 + reach(tap % taps), v as f32 + reach(tap / taps));
                let [value] = sampler.at(fixed(x + dx), fixed(y + dy));
                sum += value;
            }
            out[v * width + u] = sum as f32 * gain;
        }
    }
}

/// Samples a side of each pixel of a cut-out of this scale.
pub(super) fn taps(scale: f32) -> usize {
    (scale / 2.0).ceil().clamp(1.0, 8.0) as usize
}

/// A region of a picture, and the grid of samples that it is read by.
struct Region<'a, const C: usize> {
    sampler: Sampler<'a, C>,
    picture_from_cut: Affine,
    width: usize,
    height: usize,
    /// Samples a side of each pixel of the cut-out.
    taps: usize,
}

impl<const C: usize> Region<'_, C> {
    /// Calls `take` with every sample and the pixel of the cut-out that it belongs to.
    #[inline]
    fn each_sample(&self, mut take: impl FnMut(usize, [u32; C])) {
        let offset = |n: usize| (n as f32 + 0.5) / self.taps as f32 - 0.5;
        let (dx, dy) = (fixed(self.picture_from_cut.x[0]), fixed(self.picture_from_cut.y[0]));
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
pub(super) const FRACTION_BITS: u32 = 20;
/// Bits of a bilinear weight; two weights and a pixel fill 24 bits, which `f32` holds exactly.
const WEIGHT_BITS: u32 = 8;
/// The sum of two pixels' weights.
pub(super) const WEIGHT_ONE: f32 = (1 << WEIGHT_BITS) as f32;
/// A sample of brightness 1.
pub(super) const SAMPLE_ONE: f32 = WEIGHT_ONE * WEIGHT_ONE;

pub(super) fn fixed(coordinate: f32) -> i64 {
    (f64::from(coordinate) * f64::from(1 << FRACTION_BITS)) as i64
}

/// The part of a coordinate behind the point, as a bilinear weight.
pub(super) fn weight(coordinate: i64) -> u32 {
    ((coordinate >> (FRACTION_BITS - WEIGHT_BITS)) & ((1 << WEIGHT_BITS) - 1)) as u32
}

fn blend(a: u32, b: u32, share_of_b: u32) -> u32 {
    a * ((1 << WEIGHT_BITS) - share_of_b) + b * share_of_b
}

struct Sampler<'a, const C: usize> {
    picture: Pixels<'a, C>,
    border: Border,
}

impl<const C: usize> Sampler<'_, C> {
    /// Whether all four pixels around the point are in the picture.
    fn is_inside(&self, x: i64, y: i64) -> bool {
        let (x, y) = (x >> FRACTION_BITS, y >> FRACTION_BITS);
        x >= 0 && y >= 0 && x + 1 < self.picture.width as i64 && y + 1 < self.picture.height as i64
    }

    /// The channels, in units of 1 / [`SAMPLE_ONE`], at any point.
    #[inline]
    fn at(&self, x: i64, y: i64) -> [u32; C] {
        if self.is_inside(x, y) { self.inner(x, y) } else { self.outer(x, y) }
    }

    /// The same at a point that is inside.
    #[inline]
    fn inner(&self, x: i64, y: i64) -> [u32; C] {
        let row = self.picture.width * C;
        let at = (y >> FRACTION_BITS) as usize * row + (x >> FRACTION_BITS) as usize * C;
        let (top, bottom) = (&self.picture.values[at..at + 2 * C], &self.picture.values[at + row..at + row + 2 * C]);
        let (fx, fy) = (weight(x), weight(y));
        let along = |pair: &[u8], c: usize| blend(pair[c].into(), pair[c + C].into(), fx);
        // A bare loop: `map` on an array is not inlined here, which costs as much again; an iterator costs a twentieth.
        let mut channels = [0; C];
        let mut c = 0;
        while c < C {
            channels[c] = blend(along(top, c), along(bottom, c), fy);
            c += 1;
        }
        channels
    }

    /// The same at a point that is not.
    fn outer(&self, x: i64, y: i64) -> [u32; C] {
        let (left, top) = (x >> FRACTION_BITS, y >> FRACTION_BITS);
        let (p00, p10) = (self.pixel(left, top), self.pixel(left + 1, top));
        let (p01, p11) = (self.pixel(left, top + 1), self.pixel(left + 1, top + 1));
        let (fx, fy) = (weight(x), weight(y));
        std::array::from_fn(|c| blend(blend(p00[c], p10[c], fx), blend(p01[c], p11[c], fx), fy))
    }

    fn pixel(&self, x: i64, y: i64) -> [u32; C] {
        let (right, bottom) = (self.picture.width as i64 - 1, self.picture.height as i64 - 1);
        if self.border == Border::Black && (x < 0 || y < 0 || x > right || y > bottom) {
            return [0; C];
        }
        let at = (y.clamp(0, bottom) as usize * self.picture.width + x.clamp(0, right) as usize) * C;
        std::array::from_fn(|c| self.picture.values[at + c].into())
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

    #[test]
    fn a_grey_picture_is_cut_as_a_coloured_one_and_bent_by_nothing_stays_the_same() {
        let image = ramp(60, 50);
        let gray: Vec<u8> = image.rgb.iter().step_by(3).copied().collect();
        let picture = Pixels { width: 60, height: 50, values: &gray };
        for scale in [0.4, 1.3, 3.1] {
            let from = Similarity { a: scale, b: 0.2 * scale, tx: 3.0, ty: -2.0 };
            let coloured = cut(&image, from, (16, 16), Border::Nearest);
            let (mut plain, mut bent) = (vec![0.0; 256], vec![0.0; 256]);
            warp_gray(picture, from.into(), (16, 16), &mut plain);
            warp_gray_bent(picture, from.into(), (16, 16), |_, _| (0.0, 0.0), &mut bent);
            for ((coloured, plain), bent) in coloured.into_iter().zip(plain).zip(bent) {
                assert!((coloured - plain).abs() < 1e-3, "{coloured} is not {plain}");
                assert_close(bent, plain);
            }
        }
    }

    #[test]
    fn a_mirrored_and_squeezed_cut_reads_where_its_map_says() {
        let image = ramp(50, 50);
        let gray: Vec<u8> = image.rgb.iter().step_by(3).copied().collect();
        let mirror = Affine { x: [-1.0, 0.0, 7.0], y: [0.0, 1.0, 0.0] };
        let squeeze = Affine { x: [1.2, 0.0, 8.0], y: [0.1, 0.8, 5.0] };
        let mut out = [0.0; 64];
        warp_gray(Pixels { width: 50, height: 50, values: &gray }, squeeze.after(&mirror), (8, 8), &mut out);
        let (x, y) = squeeze.apply(7.0 - 2.0, 3.0);
        assert_close(out[3 * 8 + 2], x + 2.0 * y);
    }
}
