//! What a person looks like in one view, apart from the expression: the colours of head and clothes.
//!
//! A stand-in for geometry: without a calibrated rig the views of one person can only be told by looks and by time.

use crate::image::Image;
use crate::scene::Rect;

const CHROMA_BINS: usize = 8;
const LUMA_BINS: usize = 6;
/// Length of a descriptor.
const LENGTH: usize = 2 * (CHROMA_BINS * CHROMA_BINS + LUMA_BINS);
/// Samples a side of each region.
const SAMPLES: usize = 16;

/// Colour histograms of the head and of what is worn below it, soft-binned, each the square root of a distribution.
#[derive(Clone, Copy, Debug)]
pub struct Appearance([f32; LENGTH]);

impl Appearance {
    /// Looks at the head in `rect` (full frame) and at the clothes below it.
    #[must_use]
    pub fn of(image: &Image, rect: Rect) -> Self {
        let mut bins = [0.0; LENGTH];
        let head = rect;
        let clothes = Rect { x: rect.x - 0.3 * rect.w, y: rect.y + 1.35 * rect.h, w: 1.6 * rect.w, h: 0.8 * rect.h };
        let (of_head, of_clothes) = bins.split_at_mut(LENGTH / 2);
        fill(image, head, of_head);
        fill(image, clothes, of_clothes);
        Self(bins)
    }

    /// 1 for the same colours, 0 for none in common (mean Bhattacharyya coefficient of the regions).
    #[must_use]
    pub fn similarity(&self, other: &Self) -> f32 {
        // Two regions of two distributions each.
        self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum::<f32>() / 4.0
    }

    /// Moves towards `newer` by `share`.
    pub fn blend(&mut self, newer: &Self, share: f32) {
        for (old, new) in self.0.iter_mut().zip(&newer.0) {
            *old = ((1.0 - share) * *old * *old + share * new * new).sqrt();
        }
    }
}

/// Histograms of chromaticity and brightness of the part of `region` that lies in the picture.
fn fill(image: &Image, region: Rect, bins: &mut [f32]) {
    let (chroma, luma) = bins.split_at_mut(CHROMA_BINS * CHROMA_BINS);
    let mut samples = 0.0;
    for n in 0..SAMPLES * SAMPLES {
        let along = |k: usize| (k as f32 + 0.5) / SAMPLES as f32;
        let full = (region.x + along(n % SAMPLES) * region.w, region.y + along(n / SAMPLES) * region.h);
        let (x, y) = image.here_from_full(full.0, full.1);
        if x < 0.0 || y < 0.0 || x as usize >= image.width || y as usize >= image.height {
            continue;
        }
        let at = (y as usize * image.width + x as usize) * 3;
        let [r, g, b] = [0, 1, 2].map(|c| f32::from(image.rgb[at + c]));
        let sum = r + g + b + 30.0;
        // Opponent chromaticities, scaled so that everyday colours fill the range.
        let red_green = ((r - g) / sum * 2.5 + 0.5).clamp(0.0, 1.0);
        let yellow_blue = ((r + g - 2.0 * b) / sum * 1.25 + 0.5).clamp(0.0, 1.0);
        for (i, wi) in soft(red_green, CHROMA_BINS) {
            for (k, wk) in soft(yellow_blue, CHROMA_BINS) {
                chroma[i * CHROMA_BINS + k] += wi * wk;
            }
        }
        for (i, w) in soft((r + g + b) / 765.0, LUMA_BINS) {
            luma[i] += w;
        }
        samples += 1.0;
    }
    for bin in bins.iter_mut() {
        *bin = (*bin / f32::max(samples, 1.0)).sqrt();
    }
}

/// The two bins nearest to `value` (0 to 1) with their weights.
fn soft(value: f32, bins: usize) -> [(usize, f32); 2] {
    let at = value * (bins - 1) as f32;
    let low = (at as usize).min(bins - 2);
    let share = at - low as f32;
    [(low, 1.0 - share), (low + 1, share)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(head: [u8; 3], clothes: [u8; 3]) -> Appearance {
        let (width, height) = (100, 200);
        let rgb = (0..width * height).flat_map(|n| if n / width < 70 { head } else { clothes }).collect();
        Appearance::of(&Image { width, height, scale: 1.0, rgb }, Rect { x: 30.0, y: 10.0, w: 40.0, h: 50.0 })
    }

    #[test]
    fn clothes_tell_people_apart_and_exposure_does_not() {
        let green = person([180, 140, 120], [150, 220, 180]);
        let darker = person([160, 125, 107], [135, 198, 162]);
        let grey = person([180, 140, 120], [70, 90, 90]);
        assert!((green.similarity(&green) - 1.0).abs() < 1e-4);
        assert!(green.similarity(&darker) > green.similarity(&grey) + 0.1);
    }

    #[test]
    fn a_region_outside_of_the_picture_is_no_panic() {
        let image = Image { width: 10, height: 10, scale: 1.0, rgb: vec![9; 300] };
        let looks = Appearance::of(&image, Rect { x: -500.0, y: -500.0, w: 5.0, h: 5.0 });
        assert_eq!(looks.similarity(&looks), 0.0);
    }
}
