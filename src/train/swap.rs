//! FaceSwap: eyes, brows, nose and mouth of one face in another, so that the expression stays and the person changes.
//!
//! After Z. Shu and others, "Revisiting Self-Supervised Contrastive Learning for Facial Expression Recognition"
//! (SSL-FER), BMVC 2022; the released code \[C\] aligns the landmarks by a similarity (Procrustes), takes convex masks
//! of eyes and brows and of nose and mouth, and corrects the colour by a ratio of blurred pictures. Here the landmarks
//! are five and the masks derived from them \[O\], pictures are grey, and the masks' edges are soft \[O\]: a hard edge
//! would tell a swapped face from another.

use super::faces::{Crop, FRONTAL_YAW_DEG, Face};
use super::regions::Regions;
use crate::image::warp::{Affine, Pixels, Similarity, warp_gray};
use crate::scene::{Landmarks, Point};

/// Faces are not swapped of which one is turned so much further than the other: features would stand twice.
const MOST_DIFFERENCE_DEG: f32 = 25.0;
/// Width of the masks' soft edges, in units of the face's scale.
const EDGE: f32 = 0.12;
/// Width of the blur whose ratio corrects the light, in units of the distance between the eyes. The code has 0.6 \[C\],
/// with which an open mouth of the outer face comes through as a dark spot; this one \[O\] sees light and skin, but no
/// features.
const BLUR: f32 = 3.0;

/// Whether a face has landmarks and is not turned too far.
#[must_use]
pub fn can_swap(face: &Face) -> bool {
    face.crop.landmarks.is_some() && face.yaw_deg.is_none_or(|yaw| yaw.abs() < FRONTAL_YAW_DEG)
}

/// Whether two faces are turned alike.
#[must_use]
pub fn are_turned_alike(one: &Face, other: &Face) -> bool {
    let difference = one.yaw_deg.zip(other.yaw_deg).map(|(one, other)| (one - other).abs());
    difference.is_none_or(|difference| difference < MOST_DIFFERENCE_DEG)
}

/// The face `inner` with the outline of `outer`; `None` if one of them has no landmarks or is seen from the side, or if
/// they look in different directions.
#[must_use]
pub fn swap(inner: &Face, outer: &Face) -> Option<Crop> {
    if !can_swap(inner) || !can_swap(outer) || !are_turned_alike(inner, outer) {
        return None;
    }
    let (from, to) = (inner.crop.landmarks?, outer.crop.landmarks?);
    let outer_from_inner = fit(&from, &to)?;
    let there = |p: Point| {
        let (x, y) = outer_from_inner.apply(p.x, p.y);
        Point { x, y }
    };
    let (of_inner, of_outer) = (Regions::of(&inner.crop), Regions::of(&outer.crop));
    let hull_of = |inner: &[Point], outer: &[Point]| {
        Hull::of(inner.iter().map(|p| there(*p)).chain(outer.iter().copied()).collect())
    };
    let hulls = [
        hull_of(&of_inner.eyes_and_brows(), &of_outer.eyes_and_brows()),
        hull_of(&of_inner.nose_and_mouth(), &of_outer.nose_and_mouth()),
    ];

    let outer = &outer.crop;
    let (left, right) = extent(&hulls, |p| p.x, outer.width)?;
    let (top, bottom) = extent(&hulls, |p| p.y, outer.height)?;
    let (width, height) = (right - left, bottom - top);
    let mut moved = vec![0.0; width * height];
    let picture = Pixels { width: inner.crop.width, height: inner.crop.height, values: &inner.crop.gray };
    let window = Affine { x: [1.0, 0.0, left as f32], y: [0.0, 1.0, top as f32] };
    warp_gray(picture, Affine::from(outer_from_inner.inverse()).after(&window), (width, height), &mut moved);
    let rows = || outer.gray.chunks_exact(outer.width).skip(top).take(height);
    let still: Vec<f32> = rows().flat_map(|row| &row[left..right]).map(|value| f32::from(*value)).collect();
    let radius = (BLUR * to[0].distance(to[1]) / 2.0).max(1.0) as usize;
    let (light_moved, light_still) = (blurred(&moved, width, radius), blurred(&still, width, radius));

    let edge = EDGE * of_outer.scale;
    let mut gray = outer.gray.clone();
    for (v, row) in gray.chunks_exact_mut(outer.width).skip(top).take(height).enumerate() {
        for (u, gray) in row[left..right].iter_mut().enumerate() {
            let point = Point { x: (left + u) as f32, y: (top + v) as f32 };
            let depth = hulls[0].depth(point).max(hulls[1].depth(point));
            if depth <= 0.0 {
                continue;
            }
            let at = v * width + u;
            let corrected = moved[at] * light_still[at].max(1.0) / light_moved[at].max(1.0);
            let share = (depth / edge).min(1.0);
            *gray = (still[at] + (corrected - still[at]) * share).round().clamp(0.0, 255.0) as u8;
        }
    }
    Some(Crop { gray, ..outer.clone() })
}

/// From the first to behind the last whole pixel that the hulls reach within a picture of this length; `None` if that
/// is nothing.
fn extent(hulls: &[Hull; 2], along: fn(&Point) -> f32, length: usize) -> Option<(usize, usize)> {
    let corners = || hulls.iter().flat_map(|hull| &hull.corners).map(along);
    let first = corners().fold(f32::INFINITY, f32::min).max(0.0) as usize;
    let last = (corners().fold(f32::NEG_INFINITY, f32::max).max(0.0) as usize + 1).min(length);
    (first < last).then_some((first, last))
}

/// The similarity that brings `from` nearest to `to`, by least squares; `None` if `from` is a single point.
fn fit(from: &Landmarks, to: &Landmarks) -> Option<Similarity> {
    let mean = |points: &Landmarks| {
        let sum = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.x, y + p.y));
        (sum.0 / points.len() as f32, sum.1 / points.len() as f32)
    };
    let ((from_x, from_y), (to_x, to_y)) = (mean(from), mean(to));
    let (mut a, mut b, mut spread) = (0.0, 0.0, 0.0);
    for (p, q) in from.iter().zip(to) {
        let ((px, py), (qx, qy)) = ((p.x - from_x, p.y - from_y), (q.x - to_x, q.y - to_y));
        (a, b) = (a + px * qx + py * qy, b + px * qy - py * qx);
        spread += px * px + py * py;
    }
    let (a, b) = (a / spread, b / spread);
    let is_map = a.is_finite() && b.is_finite() && a.hypot(b) > 0.1;
    is_map.then_some(Similarity { a, b, tx: to_x - a * from_x + b * from_y, ty: to_y - b * from_x - a * from_y })
}

/// Twice the area of the triangle; positive if it turns clockwise in the picture.
fn turn(o: Point, a: Point, b: Point) -> f32 {
    (a.x - o.x) * (b.y - o.y) - (a.y - o.y) * (b.x - o.x)
}

/// A convex polygon.
struct Hull {
    corners: Vec<Point>,
    /// Of each edge (a, b, c): a * x + b * y + c is how far inside of it the point (x, y) lies.
    edges: Vec<[f32; 3]>,
}

impl Hull {
    /// The smallest around `points` (A. M. Andrew's monotone chain, 1979).
    fn of(mut points: Vec<Point>) -> Self {
        points.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
        let chain = |points: &mut dyn Iterator<Item = Point>| {
            let mut chain: Vec<Point> = Vec::new();
            for point in points {
                while let [.., o, a] = chain[..]
                    && turn(o, a, point) <= 0.0
                {
                    chain.pop();
                }
                chain.push(point);
            }
            chain.pop();
            chain
        };
        let mut corners = chain(&mut points.iter().copied());
        corners.extend(chain(&mut points.iter().rev().copied()));
        let edge = |(from, to): (&Point, &Point)| {
            let length = from.distance(*to).max(1e-6);
            let (a, b) = ((from.y - to.y) / length, (to.x - from.x) / length);
            [a, b, -a * from.x - b * from.y]
        };
        let edges = corners.iter().zip(corners.iter().cycle().skip(1)).map(edge).collect();
        Self { corners, edges }
    }

    /// How far inside a point lies; negative outside.
    fn depth(&self, point: Point) -> f32 {
        let depths = self.edges.iter().map(|[a, b, c]| a * point.x + b * point.y + c);
        depths.fold(f32::INFINITY, f32::min)
    }
}

/// Three means over squares, which together reach as far as `radius`: nearly a Gaussian.
fn blurred(values: &[f32], width: usize, radius: usize) -> Vec<f32> {
    let reach = (radius / 3).max(1);
    let height = values.len() / width;
    let mut values = values.to_vec();
    for _ in 0..3 {
        values = transposed_means(&values, width, reach);
        values = transposed_means(&values, height, reach);
    }
    values
}

/// Means along rows of `width`, written as columns; beyond an end its value goes on.
fn transposed_means(values: &[f32], width: usize, reach: usize) -> Vec<f32> {
    let height = values.len() / width;
    let mut means = vec![0.0; values.len()];
    let count = (2 * reach + 1) as f32;
    for (y, row) in values.chunks_exact(width).enumerate() {
        let at = |x: isize| row[x.clamp(0, width as isize - 1) as usize];
        let reach = reach as isize;
        let mut sum: f32 = (-reach..=reach).map(at).sum();
        for x in 0..width as isize {
            means[x as usize * height + y] = sum / count;
            sum += at(x + reach + 1) - at(x - reach);
        }
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Expression;
    use crate::train::sample;

    fn value(crop: &Crop, point: Point) -> i32 {
        i32::from(crop.gray[point.y.round() as usize * crop.width + point.x.round() as usize])
    }

    fn mouth(face: &Face) -> Point {
        Regions::of(&face.crop).mouth()
    }

    #[test]
    fn the_mouth_is_the_inner_faces_and_the_outline_the_outer_ones() {
        let closed = sample::face(0, 0, 0, Some(Expression::Angry));
        let open = sample::face(2, 1, 0, Some(Expression::Neutral));
        let swapped = swap(&closed, &open).unwrap();
        // Between the lips of the one, above those of the other: skin or mouth.
        let inside = Point { y: mouth(&open).y - 8.0, ..mouth(&open) };
        assert!(value(&swapped, inside) > value(&open.crop, inside) + 40, "the open mouth is closed");
        let (cheek, crown) = (Point { x: 48.0, y: 125.0 }, Point { x: 95.0, y: 28.0 });
        for outline in [cheek, crown] {
            assert_eq!(value(&swapped, outline), value(&open.crop, outline));
        }
        assert_eq!(swapped.landmarks, open.crop.landmarks);
    }

    #[test]
    fn the_skin_takes_the_outer_faces_brightness_without_a_hard_edge() {
        let dark = sample::face(3, 0, 0, Some(Expression::Angry));
        let bright = sample::face(0, 1, 0, Some(Expression::Angry));
        let swapped = swap(&dark, &bright).unwrap();
        let chin = Point { x: mouth(&bright).x, y: mouth(&bright).y + 9.0 };
        let cheek = Point { x: mouth(&bright).x, y: mouth(&bright).y + 28.0 };
        assert!((value(&dark.crop, chin) - value(&bright.crop, chin)).abs() > 50);
        assert!((value(&swapped, chin) - value(&bright.crop, chin)).abs() < 12);
        // Down from the mouth to the chin no pixel jumps.
        let line = (chin.y as usize..cheek.y as usize).map(|y| value(&swapped, Point { x: chin.x, y: y as f32 }));
        let line: Vec<i32> = line.collect();
        assert!(line.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 8), "{line:?}");
    }

    #[test]
    fn a_face_lands_where_the_other_ones_landmarks_are() {
        let inner = sample::face(0, 0, 0, Some(Expression::Neutral));
        let mut outer = sample::face(0, 1, 0, Some(Expression::Angry));
        // The outer face, smaller, turned a little and elsewhere.
        let moved = Similarity { a: 0.8, b: 0.1, tx: 20.0, ty: 12.0 };
        outer.crop.landmarks = outer.crop.landmarks.map(|points| {
            points.map(|point| {
                let (x, y) = moved.apply(point.x, point.y);
                Point { x, y }
            })
        });
        let found = fit(&inner.crop.landmarks.unwrap(), &outer.crop.landmarks.unwrap()).unwrap();
        let near = |one: f32, other: f32| (one - other).abs() < 1e-3;
        assert!(near(found.a, 0.8) && near(found.b, 0.1) && (found.tx - 20.0).abs() < 0.1, "{found:?}");
        let swapped = swap(&inner, &outer).unwrap();
        assert!(value(&swapped, Regions::of(&swapped).mouth()) < 110, "a dark mouth is where the landmarks say");
    }

    #[test]
    fn profiles_unlike_turns_and_faces_without_landmarks_are_left_alone() {
        let front = sample::face(0, 0, 0, None);
        let seen = |yaw_deg| Face { yaw_deg: Some(yaw_deg), ..front.clone() };
        assert!(swap(&front, &seen(-20.0)).is_some());
        assert!(swap(&front, &seen(50.0)).is_none() && swap(&seen(-50.0), &front).is_none());
        assert!(swap(&seen(20.0), &seen(-20.0)).is_none());
        let mut without = front.clone();
        without.crop.landmarks = None;
        assert!(swap(&front, &without).is_none());
        let mut one_point = front.clone();
        one_point.crop.landmarks = Some([Point { x: 90.0, y: 90.0 }; 5]);
        assert!(swap(&one_point, &front).is_none());
        let mut far_away = front.clone();
        far_away.crop.landmarks = far_away.crop.landmarks.map(|points| points.map(|p| Point { x: p.x + 900.0, ..p }));
        assert!(swap(&front, &far_away).is_none());
    }
}
