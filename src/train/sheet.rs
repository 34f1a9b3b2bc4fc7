//! A picture of what a method draws: its batch as the network sees it, side by side, pictures of one group in one
//! colour.

use image::{Rgb, RgbImage};

use super::augment;
use super::batch::{Batch, MEAN, STD, render};
use super::faces::Faces;

/// Width of the coloured frames, pixels.
const FRAME: usize = 2;

/// The pictures of `batch` in rows of `columns`, each `side` pixels wide, with a frame in the colour of its group.
#[must_use]
pub fn sheet(faces: &Faces, batch: &Batch, side: usize, settings: &augment::Settings, columns: usize) -> RgbImage {
    let pixels = render(faces, &batch.shots, side, settings);
    let (step, columns) = (side + 2 * FRAME, columns.max(1));
    let rows = batch.shots.len().div_ceil(columns);
    let mut sheet = RgbImage::new((columns * step) as u32, (rows * step) as u32);
    for (number, (picture, group)) in pixels.chunks_exact(side * side).zip(&batch.group).enumerate() {
        let (left, top) = (number % columns * step, number / columns * step);
        for (x, y) in (0..step * step).map(|n| (n % step, n / step)) {
            let inside = |at: usize| at.checked_sub(FRAME).filter(|at| *at < side);
            let pixel = match (inside(x), inside(y)) {
                (Some(u), Some(v)) => Rgb([(picture[v * side + u] * STD + MEAN).round().clamp(0.0, 255.0) as u8; 3]),
                _ => colour(*group),
            };
            sheet.put_pixel((left + x) as u32, (top + y) as u32, pixel);
        }
    }
    sheet
}

/// A bright colour; neighbouring numbers have colours far from each other.
fn colour(group: usize) -> Rgb<u8> {
    // The golden angle around the circle of hues.
    let hue = (group as f32 * 0.618_034).fract() * 6.0;
    Rgb([0.0, 4.0, 2.0].map(|offset| {
        let distance = ((hue + offset) % 6.0 - 3.0).abs() - 1.0;
        (distance.clamp(0.0, 1.0) * 255.0) as u8
    }))
}
