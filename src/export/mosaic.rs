//! A mosaic so coarse that nobody is known by it.

use std::ops::Range;

use crate::image::Image;
use crate::scene::Rect;

/// The detector's box ends at brow and chin; the head is larger by this.
const HEAD_PER_FACE: f32 = 1.5;
/// At most so many blocks are left of a head's side.
const BLOCKS: f32 = 4.0;
/// At least so much of a picture's width is a block.
const LEAST_BLOCK: f32 = 1.0 / 40.0;

/// Makes a mosaic of the head around a face.
pub(super) fn mosaic(image: &mut Image, face: Rect) {
    let center = face.center();
    let (w, h) = (face.w * HEAD_PER_FACE, face.h * HEAD_PER_FACE);
    let block = |side: f32| {
        (side / BLOCKS).max(image.width as f32 * LEAST_BLOCK).ceil().clamp(1.0, image.width.max(1) as f32) as usize
    };
    let (block_w, block_h) = (block(w), block(h));
    // Detectors also report boxes that reach out of the picture; what is no number becomes 0.
    let range = |center: f32, side: f32, most: usize| {
        let at = |value: f32| (value.max(0.0) as usize).min(most);
        at((center - side / 2.0).floor())..at((center + side / 2.0).ceil())
    };
    let (columns, rows) = (range(center.x, w, image.width), range(center.y, h, image.height));
    for y in rows.clone().step_by(block_h) {
        for x in columns.clone().step_by(block_w) {
            let across = x..(x + block_w).min(columns.end);
            let down = y..(y + block_h).min(rows.end);
            flatten(image, across, down);
        }
    }
}

/// Gives a block its mean colour.
fn flatten(image: &mut Image, columns: Range<usize>, rows: Range<usize>) {
    let pixels = (columns.len() * rows.len()).max(1) as u64;
    let line = |y: usize| (y * image.width + columns.start) * 3..(y * image.width + columns.end) * 3;
    let mut sum = [0_u64; 3];
    for y in rows.clone() {
        for pixel in image.rgb[line(y)].chunks_exact(3) {
            sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += u64::from(*value));
        }
    }
    let mean = sum.map(|sum| ((sum + pixels / 2) / pixels) as u8);
    for y in rows {
        let line = line(y);
        image.rgb[line].chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&mean));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_becomes_four_blocks_a_side_and_the_rest_stays() {
        let (width, height) = (80, 60);
        let rgb: Vec<u8> = (0..width * height * 3).map(|n| (n * 7 % 251) as u8).collect();
        let mut image = Image { width, height, scale: 1.0, rgb: rgb.clone() };
        mosaic(&mut image, Rect { x: 30.0, y: 20.0, w: 16.0, h: 16.0 });
        let colours = |columns: Range<usize>, rows: Range<usize>| {
            let pixel = |x: usize, y: usize| image.rgb[(y * width + x) * 3..][..3].to_vec();
            let all: std::collections::BTreeSet<_> =
                rows.flat_map(|y| columns.clone().map(move |x| (x, y))).map(|(x, y)| pixel(x, y)).collect();
            all.len()
        };
        assert!(colours(26..50, 16..40) <= 16);
        let is_outside = |n: usize| !((26..50).contains(&(n / 3 % width)) && (16..40).contains(&(n / 3 / width)));
        assert!((0..rgb.len()).filter(|n| is_outside(*n)).all(|n| image.rgb[n] == rgb[n]));
    }

    #[test]
    fn boxes_at_and_beyond_the_edge_are_no_trouble() {
        let mut image = Image { width: 8, height: 8, scale: 1.0, rgb: vec![9; 8 * 8 * 3] };
        for (x, w) in [(-50.0, 20.0), (-5.0, 10.0), (6.0, 30.0), (f32::NAN, 5.0), (0.0, f32::INFINITY), (3.0, 0.0)] {
            mosaic(&mut image, Rect { x, y: x, w, h: w });
        }
        assert_eq!(image.rgb, vec![9; 8 * 8 * 3]);
    }
}
