//! Makes the pictures: what [`Settings`] allow and a seed decides, done to a crop.
//!
//! A picture is read once, by the sampler that also serves the live pipeline: framing, mirroring and bending are one
//! map. A smaller picture (`small`) is read at its own size, gets its noise and its JPEG there, and is then enlarged,
//! as a face far from a camera is. With [`Settings::none`] the result is what the live pipeline would cut.

use rand::RngExt;
use rand::rngs::StdRng;
use rand_distr::StandardNormal;
use turbojpeg::{Compressor, Decompressor, Subsamp};

use super::Settings;
use crate::image::warp::{Affine, Pixels, warp_gray, warp_gray_bent};
use crate::train::faces::Crop;
use crate::train::regions::{Ellipse, Regions};
use crate::train::warp_field::Field;

/// Makes pictures, one after another; it keeps what they need.
#[derive(Default)]
pub struct Renderer {
    small: Vec<u8>,
    jpeg: Option<Jpeg>,
}

impl Renderer {
    /// Makes `out` the `side * side` grey values, 0 to 255, of `crop`, changed as `settings` allow and `rng` decides,
    /// and bent by `field`.
    pub fn render(
        &mut self,
        crop: &Crop,
        field: Option<&Field>,
        side: usize,
        settings: &Settings,
        rng: &mut StdRng,
        out: &mut [f32],
    ) {
        let framing = Framing::draw(settings, rng);
        let small = settings.small_side..=side;
        let is_small = !small.is_empty() && rng.random_bool(settings.small.into());
        // As many octaves as sides: a face may be as far away as it likes.
        let read = if is_small {
            (side as f32 * between(settings.small_side as f32 / side as f32, 1.0, rng)) as usize
        } else {
            side
        };

        let values = &mut out[..read * read];
        let map = framing.map(crop, read);
        let picture = Pixels { width: crop.width, height: crop.height, values: &crop.gray };
        match field {
            None => warp_gray(picture, map, (read, read), values),
            Some(field) => warp_gray_bent(picture, map, (read, read), |x, y| field.at(x, y), values),
        }
        Light::draw(settings, rng).apply(values, read);
        add_noise(settings.noise, rng, values);

        let quality = rng.random_bool(settings.jpeg.into()).then(|| rng.random_range(settings.jpeg_quality..=90));
        if is_small || quality.is_some() {
            self.small.clear();
            self.small.extend(values.iter().map(|value| value.round().clamp(0.0, 255.0) as u8));
            if let Some(quality) = quality {
                self.pass_through_jpeg(read, quality);
            }
            let picture = Pixels { width: read, height: read, values: &self.small };
            warp_gray(picture, enlarged(read, side), (side, side), out);
        }
        if rng.random_bool(settings.erase.into()) {
            erase(settings.erase_share, side, rng, out);
        }
        if rng.random_bool(settings.cover.into()) {
            cover(crop, framing.map(crop, side), side, rng, out);
        }
    }

    /// Makes JPEG of the small picture and reads it again; if libjpeg-turbo cannot be set up, it stays as it is.
    fn pass_through_jpeg(&mut self, side: usize, quality: i32) {
        if self.jpeg.is_none() {
            self.jpeg = Jpeg::new().ok();
        }
        if let Some(jpeg) = &mut self.jpeg
            && let Err(error) = jpeg.pass(&mut self.small, side, quality)
        {
            tracing::debug!("a picture stays without JPEG: {error}");
        }
    }
}

/// A random number from `low` to `high`, uniform in its logarithm.
fn between(low: f32, high: f32, rng: &mut StdRng) -> f32 {
    (low.ln() + (high.ln() - low.ln()) * rng.random::<f32>()).exp()
}

/// A factor or its inverse: between 1 and 1 + `most`.
fn factor(most: f32, rng: &mut StdRng) -> f32 {
    between(1.0 / (1.0 + most), 1.0 + most, rng)
}

/// A random number between -1 and 1.
fn either_way(rng: &mut StdRng) -> f32 {
    rng.random_range(-1.0..=1.0)
}

/// What of the crop is seen, and how it lies.
struct Framing {
    is_mirrored: bool,
    turn: f32,
    zoom: f32,
    stretch: f32,
    shift: (f32, f32),
}

impl Framing {
    fn draw(settings: &Settings, rng: &mut StdRng) -> Self {
        Self {
            is_mirrored: rng.random_bool(settings.flip.into()),
            turn: settings.rotation_deg.to_radians() * either_way(rng),
            zoom: between(settings.zoom[0], settings.zoom[1], rng),
            stretch: factor(settings.stretch, rng).sqrt(),
            shift: (settings.shift * either_way(rng), settings.shift * either_way(rng)),
        }
    }

    /// Maps pixels of a cut of `side` x `side` to the crop's.
    fn map(&self, crop: &Crop, side: usize) -> Affine {
        let (sin, cos) = self.turn.sin_cos();
        let across = if self.is_mirrored { -self.zoom * self.stretch } else { self.zoom * self.stretch };
        let down = self.zoom / self.stretch;
        let middle = (side as f32 - 1.0) / 2.0;
        let row = |along_u: f32, along_v: f32, shift: f32| {
            [along_u, along_v, middle + shift * side as f32 - (along_u + along_v) * middle]
        };
        let jitter =
            Affine { x: row(cos * across, -sin * down, self.shift.0), y: row(sin * across, cos * down, self.shift.1) };
        Affine::from(crop.crop_from_cut(side)).after(&jitter)
    }
}

/// Maps pixels of a picture of `side` x `side` to those of one of `small` x `small`.
fn enlarged(small: usize, side: usize) -> Affine {
    let scale = small as f32 / side as f32;
    let offset = (scale - 1.0) / 2.0;
    Affine { x: [scale, 0.0, offset], y: [0.0, scale, offset] }
}

/// The light that falls on a picture, and how the camera answers to it.
struct Light {
    /// Gain on the one side is 1 - strength, on the other 1 + strength.
    strength: f32,
    direction: (f32, f32),
    /// How suddenly it changes: the share of the picture's half that the change takes.
    width: f32,
    gamma: f32,
    exposure: f32,
    contrast: f32,
}

impl Light {
    fn draw(settings: &Settings, rng: &mut StdRng) -> Self {
        let (sin, cos) = rng.random_range(0.0..std::f32::consts::TAU).sin_cos();
        Self {
            strength: settings.light * rng.random::<f32>(),
            direction: (cos, sin),
            width: between(0.15, 1.5, rng),
            gamma: factor(settings.gamma, rng),
            exposure: factor(settings.brightness, rng),
            contrast: factor(settings.contrast, rng),
        }
    }

    fn apply(&self, values: &mut [f32], side: usize) {
        if self.strength > 0.0 {
            let half = side as f32 / 2.0;
            for (v, row) in values.chunks_exact_mut(side).enumerate() {
                let down = self.direction.1 * ((v as f32 + 0.5) / half - 1.0);
                for (u, value) in row.iter_mut().enumerate() {
                    let along = down + self.direction.0 * ((u as f32 + 0.5) / half - 1.0);
                    *value *= 1.0 + self.strength * along / (self.width + along.abs());
                }
            }
        }
        if (self.gamma, self.exposure, self.contrast) == (1.0, 1.0, 1.0) {
            return;
        }
        let mean = mean(values);
        // A table of whole levels, and straight lines between them: a power a pixel costs more than all the rest.
        let curve: [f32; 257] = std::array::from_fn(|level| {
            let bent = |level: f32| 255.0 * (level / 255.0).clamp(0.0, 1.0).powf(self.gamma) * self.exposure;
            let middle = bent(mean);
            (middle + (bent(level as f32) - middle) * self.contrast).clamp(0.0, 255.0)
        });
        for value in values {
            let held = value.clamp(0.0, 255.0);
            let level = held as usize;
            *value = curve[level] + (held - level as f32) * (curve[level + 1] - curve[level]);
        }
    }
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len().max(1) as f32
}

/// Gaussian noise of a standard deviation of up to `most` times the picture's.
fn add_noise(most: f32, rng: &mut StdRng, values: &mut [f32]) {
    let share = most * rng.random::<f32>();
    if share > 0.0 {
        let mean = mean(values);
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / values.len().max(1) as f32;
        let deviation = share * variance.sqrt();
        values.iter_mut().for_each(|value| *value += deviation * rng.sample::<f32, _>(StandardNormal));
    }
}

/// Blanks a rectangle of up to `most` of the picture with one grey.
fn erase(most: f32, side: usize, rng: &mut StdRng, values: &mut [f32]) {
    let share = between(0.02, most, rng);
    let flatness = factor(1.0, rng).sqrt();
    let extent = |length: f32| ((length * side as f32) as usize).clamp(1, side);
    let (width, height) = (extent(share.sqrt() * flatness), extent(share.sqrt() / flatness));
    let (left, top) = (rng.random_range(0..=side - width), rng.random_range(0..=side - height));
    let gray = rng.random_range(0.0..255.0);
    for row in values.chunks_exact_mut(side).skip(top).take(height) {
        row[left..left + width].fill(gray);
    }
}

/// Blanks an eye or the mouth with the picture's mean.
fn cover(crop: &Crop, crop_from_cut: Affine, side: usize, rng: &mut StdRng, values: &mut [f32]) {
    let Ellipse { middle, across, down } = Regions::of(crop).covers()[rng.random_range(0..3)];
    let mean = mean(values);
    for (n, value) in values.iter_mut().enumerate() {
        let (x, y) = crop_from_cut.apply((n % side) as f32, (n / side) as f32);
        if ((x - middle.x) / across).powi(2) + ((y - middle.y) / down).powi(2) <= 1.0 {
            *value = mean;
        }
    }
}

/// Makes JPEG of pictures, and pictures of it.
struct Jpeg {
    compressor: Compressor,
    decompressor: Decompressor,
    bytes: Vec<u8>,
}

impl Jpeg {
    fn new() -> Result<Self, turbojpeg::Error> {
        let mut compressor = Compressor::new()?;
        compressor.set_subsamp(Subsamp::Gray)?;
        Ok(Self { compressor, decompressor: Decompressor::new()?, bytes: Vec::new() })
    }

    fn pass(&mut self, gray: &mut [u8], side: usize, quality: i32) -> Result<(), turbojpeg::Error> {
        let format = turbojpeg::PixelFormat::GRAY;
        self.compressor.set_quality(quality)?;
        self.bytes.resize(turbojpeg::compressed_buf_len(side, side, Subsamp::Gray)?, 0);
        let picture = turbojpeg::Image { pixels: &*gray, width: side, pitch: side, height: side, format };
        let length = self.compressor.compress_to_slice(picture, &mut self.bytes)?;
        let picture = turbojpeg::Image { pixels: gray, width: side, pitch: side, height: side, format };
        self.decompressor.decompress(&self.bytes[..length], picture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;
    use crate::image::warp::{Border, Layout, warp};
    use crate::infer::manifest::Channels;
    use crate::train::sample;
    use proptest::prelude::*;
    use rand::SeedableRng;

    fn rendered(crop: &Crop, side: usize, settings: &Settings, seed: u64) -> Vec<f32> {
        let mut out = vec![0.0; side * side];
        let mut rng = StdRng::seed_from_u64(seed);
        Renderer::default().render(crop, None, side, settings, &mut rng, &mut out);
        out
    }

    fn distance(one: &[f32], other: &[f32]) -> f32 {
        one.iter().zip(other).map(|(a, b)| (a - b).abs()).sum::<f32>() / one.len() as f32
    }

    #[test]
    fn without_changes_a_picture_is_what_the_live_pipeline_cuts() {
        let crop = sample::crop(0, 8.0);
        let rgb = crop.gray.iter().flat_map(|gray| [*gray; 3]).collect();
        let image = Image { width: crop.width, height: crop.height, scale: 1.0, rgb };
        let layout = Layout { channels: Channels::Gray, mean: 0.0, std: 1.0 };
        for side in [48, 64, 112] {
            let mut live = vec![0.0; side * side];
            warp(&image, crop.crop_from_cut(side), (side, side), Border::Nearest, layout, &mut live);
            let found = rendered(&crop, side, &Settings::none(), 3);
            assert!(live.iter().zip(&found).all(|(live, found)| (live - found).abs() < 1e-2));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_picture_and_another_one_another() {
        let crop = sample::crop(0, 8.0);
        let render = |seed| rendered(&crop, 64, &Settings::strong(), seed);
        assert_eq!(render(1), render(1));
        assert!(distance(&render(1), &render(2)) > 5.0);
    }

    #[test]
    fn a_mirrored_picture_is_the_other_way_round_and_nothing_else() {
        let crop = sample::crop(0, 8.0);
        let found = rendered(&crop, 64, &Settings { flip: 1.0, ..Settings::none() }, 1);
        let plain = rendered(&crop, 64, &Settings::none(), 1);
        let mirrored: Vec<f32> = plain.chunks_exact(64).flat_map(|row| row.iter().rev().copied()).collect();
        assert!(distance(&found, &mirrored) < 0.02);
        assert!(distance(&found, &plain) > 1.0, "the drawing's background is not symmetric");
    }

    #[test]
    fn a_small_face_loses_detail_and_stays_where_it_is() {
        let crop = sample::crop(0, 8.0);
        let small = Settings { small: 1.0, small_side: 24, ..Settings::none() };
        let plain = rendered(&crop, 64, &Settings::none(), 1);
        let detail = |picture: &[f32]| picture.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).sum::<f32>();
        let found: Vec<Vec<f32>> = (0..20).map(|seed| rendered(&crop, 64, &small, seed)).collect();
        let least = found.iter().map(|picture| detail(picture)).fold(f32::INFINITY, f32::min);
        assert!(least < 0.6 * detail(&plain), "{least} of {}", detail(&plain));
        // A shift of half a pixel of the small picture would be seen as a difference of the two sides of the face.
        let mean: Vec<f32> =
            (0..64 * 64).map(|at| found.iter().map(|picture| picture[at]).sum::<f32>() / 20.0).collect();
        let tilt = |picture: &[f32]| {
            let sides = |row: &[f32]| row[..32].iter().sum::<f32>() - row[32..].iter().sum::<f32>();
            picture.chunks_exact(64).map(sides).sum::<f32>() / (64.0 * 32.0)
        };
        assert!((tilt(&mean) - tilt(&plain)).abs() < 0.5, "{} {}", tilt(&mean), tilt(&plain));
    }

    #[test]
    fn each_change_changes_the_picture_by_itself() {
        let crop = sample::crop(0, 8.0);
        let none = Settings::none();
        let changes = [
            Settings { rotation_deg: 20.0, ..none },
            Settings { zoom: [0.7, 0.8], ..none },
            Settings { shift: 0.2, ..none },
            Settings { stretch: 0.3, ..none },
            Settings { brightness: 0.5, ..none },
            Settings { contrast: 0.5, ..none },
            Settings { gamma: 0.5, ..none },
            Settings { light: 0.8, ..none },
            Settings { noise: 0.5, ..none },
            Settings { jpeg: 1.0, jpeg_quality: 5, ..none },
            Settings { erase: 1.0, ..none },
            Settings { cover: 1.0, ..none },
        ];
        let plain = rendered(&crop, 64, &none, 0);
        for settings in changes {
            let mean = (0..8).map(|seed| distance(&rendered(&crop, 64, &settings, seed), &plain)).sum::<f32>() / 8.0;
            assert!(mean > 0.3, "{settings:?} changes {mean}");
        }
    }

    #[test]
    fn what_covers_an_eye_or_the_mouth_lies_there_however_the_picture_is_framed() {
        let crop = sample::crop(0, 8.0);
        // Dark parts of the drawing are eyes and mouth: with one of them covered, fewer are left.
        let dark =
            |settings: &Settings, seed| rendered(&crop, 64, settings, seed).iter().filter(|v| **v < 80.0).count();
        for seed in 0..12 {
            let framed = Settings { rotation_deg: 20.0, shift: 0.1, flip: 0.5, ..Settings::none() };
            let (covered, whole) = (dark(&Settings { cover: 1.0, ..framed }, seed), dark(&framed, seed));
            assert!(covered * 10 < whole * 9, "{covered} of {whole} pixels are left");
        }
    }

    proptest! {
        #[test]
        fn every_picture_is_finite_whatever_the_settings(
            seed: u64,
            side in 8_usize..80,
            shares in proptest::array::uniform8(0.0_f32..=1.0),
            factors in proptest::array::uniform3(0.0_f32..=4.0),
            zoom in 0.2_f32..3.0,
            small_side in 8_usize..100,
        ) {
            let [flip, stretch, light, small, jpeg, erase, cover, erase_share] = shares;
            let [brightness, contrast, gamma] = factors;
            let settings = Settings {
                flip,
                stretch,
                light,
                small,
                jpeg,
                erase,
                cover,
                brightness,
                contrast,
                gamma,
                small_side,
                zoom: [zoom, 3.0],
                rotation_deg: 180.0,
                shift: 0.5,
                noise: 4.0,
                jpeg_quality: 1,
                erase_share: erase_share.clamp(0.02, 0.9),
            };
            prop_assert_eq!(settings.fault("augment"), None);
            let picture = rendered(&sample::crop(0, 8.0), side, &settings, seed);
            prop_assert!(picture.iter().all(|value| value.is_finite()));
        }
    }
}
