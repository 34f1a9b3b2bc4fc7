//! Dark quadrilaterals in a picture: what may be a marker.

use opencv::core::{Mat, Point, Size, Vector};
use opencv::imgproc;
use opencv::prelude::MatTraitConst;

/// Neighbourhoods that a pixel is compared with, in pixels: markers are told from their square's white at several sizes.
const WINDOWS: [i32; 3] = [11, 23, 43];
/// By how many levels a dark pixel is darker than its neighbourhood.
const DARKER: f64 = 7.0;
/// Sides that are shorter cannot be read, pixels.
const SHORTEST_SIDE: f64 = 8.0;
/// Quadrilaterals whose corners are nearer than this on average are one, found at two sizes.
const SAME_PX: f64 = 4.0;

/// A quadrilateral, its corners clockwise as seen, pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quad {
    /// Pixels (centres at integers).
    pub corners: [[f64; 2]; 4],
}

impl Quad {
    /// Square pixels; negative if its corners run the other way.
    #[must_use]
    pub fn area(&self) -> f64 {
        let crossed = |n: usize| {
            let ([ax, ay], [bx, by]) = (self.corners[n], self.corners[(n + 1) % 4]);
            ax * by - bx * ay
        };
        (0..4).map(crossed).sum::<f64>() / 2.0
    }

    /// The same, its corners the other way round.
    #[must_use]
    pub fn mirrored(&self) -> Self {
        let [a, b, c, d] = self.corners;
        Self { corners: [a, d, c, b] }
    }

    fn shortest_side(&self) -> f64 {
        let side = |n: usize| {
            let ([ax, ay], [bx, by]) = (self.corners[n], self.corners[(n + 1) % 4]);
            (ax - bx).hypot(ay - by)
        };
        (0..4).map(side).fold(f64::INFINITY, f64::min)
    }

    fn distance(&self, other: &Self) -> f64 {
        let apart = |shift: usize| {
            let one = |n: usize| {
                let ([ax, ay], [bx, by]) = (self.corners[n], other.corners[(n + shift) % 4]);
                (ax - bx).hypot(ay - by)
            };
            (0..4).map(one).sum::<f64>() / 4.0
        };
        (0..4).map(apart).fold(f64::INFINITY, f64::min)
    }
}

/// Pictures up to this wide are drawn twice as large first: contours run from pixel to pixel, and a marker's cells have
/// two or three.
const SMALL: i32 = 1000;

/// The dark convex quadrilaterals of a grey picture.
///
/// # Errors
/// OpenCV's.
pub fn quads(picture: &Mat) -> opencv::Result<Vec<Quad>> {
    if picture.cols() > SMALL {
        return quads_here(picture);
    }
    let mut large = Mat::default();
    imgproc::resize(picture, &mut large, Size::default(), 2.0, 2.0, imgproc::INTER_CUBIC)?;
    let mut found = quads_here(&large)?;
    for quad in &mut found {
        // Pixel centres are at integers in both.
        quad.corners = quad.corners.map(|corner| corner.map(|place| (place + 0.5) / 2.0 - 0.5));
    }
    Ok(found)
}

fn quads_here(picture: &Mat) -> opencv::Result<Vec<Quad>> {
    let mut found: Vec<Quad> = Vec::new();
    for window in WINDOWS {
        let mut dark = Mat::default();
        let (mean, inverse) = (imgproc::ADAPTIVE_THRESH_MEAN_C, imgproc::THRESH_BINARY_INV);
        imgproc::adaptive_threshold(picture, &mut dark, 255.0, mean, inverse, window, DARKER)?;
        let mut contours = Vector::<Vector<Point>>::new();
        let (list, chain) = (imgproc::RETR_LIST, imgproc::CHAIN_APPROX_NONE);
        imgproc::find_contours(&dark, &mut contours, list, chain, Point::new(0, 0))?;
        for contour in contours.iter().filter(|contour| contour.len() as f64 >= 4.0 * SHORTEST_SIDE) {
            let mut corners = Vector::<Point>::new();
            imgproc::approx_poly_dp(&contour, &mut corners, 0.04 * contour.len() as f64, true)?;
            if corners.len() != 4 || !imgproc::is_contour_convex(&corners)? {
                continue;
            }
            let points: Vec<[f64; 2]> = corners.iter().map(|point| [point.x.into(), point.y.into()]).collect();
            let quad = Quad { corners: [points[0], points[1], points[2], points[3]] };
            let quad = if quad.area() < 0.0 { quad.mirrored() } else { quad };
            if quad.shortest_side() >= SHORTEST_SIDE && found.iter().all(|other| other.distance(&quad) > SAME_PX) {
                found.push(quad);
            }
        }
    }
    Ok(found)
}
