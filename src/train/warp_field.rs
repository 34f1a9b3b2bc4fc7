//! Bends a face at brows, lids, nose and mouth, so that its expression may change (ContraWarping's negatives), or
//! shifts and shears all of it by as much (the sham warp of its positives).
//!
//! That local warps of the same picture are the negatives is read in F. Xue, Y. Sun, Y. Yang, "Unsupervised Facial
//! Expression Representation Learning with Contrastive Local Warping", 2023 \[R\]; control points, amplitude and field
//! are \[O\]. A bent picture is read once, by the same sampler as any other: no blur of a second reading tells it from
//! one that is not bent.

use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::faces::Crop;
use super::fault;
use super::regions::Regions;
use crate::scene::Point;

/// Width of a control point's influence, in units of the distance between the eyes.
const SIGMA: f32 = 0.25;
/// What the stillness of all that is far from a control point weighs: the influence at two widths.
const BACKGROUND: f32 = 0.135;
/// Most that the field may change from a pixel to the next: below 1 it does not fold.
const LARGEST_GRADIENT: f32 = 0.8;
/// Least that it must move some point, in units of the largest shift: less may leave the expression as it was.
const WEAKEST: f32 = 0.3;
/// Fields that are drawn until one moves enough.
const TRIALS: usize = 16;
/// Nodes of the lattice a width of influence.
const NODES_PER_SIGMA: f32 = 3.0;
/// Widths of influence around the control points that the lattice covers: beyond, nothing moves.
const REACH: f32 = 4.0;

/// How far which points move.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Warp {
    /// Points that move, of 19; the twin of one that moves may move with it.
    pub points: usize,
    /// Largest shift along each axis, in units of the distance between the eyes. Points that stay hold their neighbours
    /// back: what moves most moves half as far, about.
    pub amplitude: f32,
}

impl Default for Warp {
    fn default() -> Self {
        Self { points: 6, amplitude: 0.2 }
    }
}

impl Warp {
    /// The first value that makes no sense, as `table.key`, and what it must be.
    #[must_use]
    pub fn fault(&self, table: &str) -> Option<(String, String)> {
        let checks = [
            ((1..=19).contains(&self.points), "points", "between 1 and 19"),
            ((0.01..=0.5).contains(&self.amplitude), "amplitude", "between 0.01 and 0.5"),
        ];
        fault::first(table, &checks)
    }
}

/// By how much each point of a crop is moved aside.
#[derive(Clone, Debug)]
pub enum Field {
    /// Bent here and there.
    Local(Lattice),
    /// Shifted, scaled and sheared as a whole: `(dx, dy) = rows * (x, y, 1)`.
    Affine([[f32; 3]; 2]),
}

/// Shifts on a lattice; between its nodes they are bilinear, outside there are none.
#[derive(Clone, Debug)]
pub struct Lattice {
    origin: Point,
    step: f32,
    columns: usize,
    rows: usize,
    shifts: Vec<(f32, f32)>,
}

impl Field {
    /// A local warp of the face in `crop`.
    #[must_use]
    pub fn local(crop: &Crop, warp: Warp, rng: &mut StdRng) -> Self {
        let regions = Regions::of(crop);
        let pairs = regions.movable();
        let eyes = crop.span / (crate::face::align::SIDE * crate::face::align::EYES_MOUTH_PER_EYES);
        let largest = warp.amplitude * eyes;
        let mut best: Option<Lattice> = None;
        for _ in 0..TRIALS {
            let lattice = Lattice::new(&pairs, &shifts(&pairs, warp.points, largest, rng), SIGMA * eyes);
            let is_stronger = best.as_ref().is_none_or(|best| lattice.largest_shift() > best.largest_shift());
            if is_stronger {
                best = Some(lattice);
            }
            if best.as_ref().is_some_and(|best| best.largest_shift() >= WEAKEST * largest) {
                break;
            }
        }
        best.map_or(Self::Affine([[0.0; 3]; 2]), Self::Local)
    }

    /// An affine warp of the face in `crop` that moves its parts about as far.
    #[must_use]
    pub fn sham(crop: &Crop, warp: Warp, rng: &mut StdRng) -> Self {
        let eyes = crop.span / (crate::face::align::SIDE * crate::face::align::EYES_MOUTH_PER_EYES);
        let largest = warp.amplitude * eyes;
        let (x, y) = crop.middle;
        let mut row = || {
            let mut part = || largest * rng.random_range(-0.5..=0.5);
            // At the face's edge, one distance between the eyes from its middle, each part of the sum is as large.
            let (along_x, along_y, shift) = (part() / eyes, part() / eyes, part());
            [along_x, along_y, shift - along_x * x - along_y * y]
        };
        Self::Affine([row(), row()])
    }

    /// By how much the point that is read for (x, y) lies beside it.
    #[must_use]
    pub fn at(&self, x: f32, y: f32) -> (f32, f32) {
        match self {
            Self::Local(lattice) => lattice.at(x, y),
            Self::Affine([across, down]) => {
                (across[0] * x + across[1] * y + across[2], down[0] * x + down[1] * y + down[2])
            }
        }
    }
}

/// Shifts of both points of each pair; at most `points` are drawn, and each drags its twin along with probability 1/2,
/// mirrored. No shift is shorter than [`WEAKEST`] of the largest.
fn shifts(pairs: &[[Point; 2]], points: usize, largest: f32, rng: &mut StdRng) -> Vec<[(f32, f32); 2]> {
    let mut shifts = vec![[(0.0, 0.0); 2]; pairs.len()];
    let count = 2 * pairs.len();
    for point in rand::seq::index::sample(rng, count, points.min(count)) {
        let (pair, side) = (point / 2, point % 2);
        let shift = loop {
            let mut along = || largest * rng.random_range(-1.0..=1.0);
            let (dx, dy) = (along(), along());
            if dx.hypot(dy) >= WEAKEST * largest {
                break (dx, dy);
            }
        };
        shifts[pair][side] = shift;
        let is_middle = pairs[pair][0] == pairs[pair][1];
        if is_middle {
            shifts[pair] = [shift; 2];
        } else if rng.random_bool(0.5) {
            shifts[pair][1 - side] = (-shift.0, shift.1);
        }
    }
    shifts
}

impl Lattice {
    /// The weighted mean of the control points' shifts, by a Gaussian of their distance; far from all it is 0. Where it
    /// would fold, all of it is made smaller.
    fn new(pairs: &[[Point; 2]], shifts: &[[(f32, f32); 2]], sigma: f32) -> Self {
        let points = || pairs.iter().flatten();
        let extent = |of: fn(&Point) -> f32| {
            let low = points().map(of).fold(f32::INFINITY, f32::min) - REACH * sigma;
            let high = points().map(of).fold(f32::NEG_INFINITY, f32::max) + REACH * sigma;
            (low, high)
        };
        let ((left, right), (top, bottom)) = (extent(|p| p.x), extent(|p| p.y));
        let step = sigma / NODES_PER_SIGMA;
        let nodes = |low: f32, high: f32| ((high - low) / step).ceil() as usize + 1;
        let (columns, rows) = (nodes(left, right), nodes(top, bottom));

        let mut sums = vec![(0.0_f32, 0.0_f32, BACKGROUND); columns * rows];
        let influence = |distance: f32| (-0.5 * (distance / sigma).powi(2)).exp();
        for (point, shift) in points().zip(shifts.iter().flatten()) {
            // The Gaussian is a product of one across and one down.
            let across: Vec<f32> = (0..columns).map(|n| influence(left + n as f32 * step - point.x)).collect();
            for (n, row) in sums.chunks_exact_mut(columns).enumerate() {
                let down = influence(top + n as f32 * step - point.y);
                if down < 1e-4 {
                    continue;
                }
                for ((dx, dy, weights), across) in row.iter_mut().zip(&across) {
                    let weight = across * down;
                    (*dx, *dy, *weights) = (*dx + weight * shift.0, *dy + weight * shift.1, *weights + weight);
                }
            }
        }
        // The point that is read lies on the other side.
        let shifts = sums.into_iter().map(|(dx, dy, weights)| (-dx / weights, -dy / weights)).collect();
        let mut lattice = Self { origin: Point { x: left, y: top }, step, columns, rows, shifts };
        let gradient = lattice.largest_gradient();
        if gradient > LARGEST_GRADIENT {
            let share = LARGEST_GRADIENT / gradient;
            lattice.shifts.iter_mut().for_each(|(dx, dy)| (*dx, *dy) = (*dx * share, *dy * share));
        }
        lattice
    }

    fn largest_shift(&self) -> f32 {
        self.shifts.iter().map(|(dx, dy)| dx * dx + dy * dy).fold(0.0, f32::max).sqrt()
    }

    /// The largest norm (Frobenius's) of the derivative in any cell: between its nodes the field is bilinear, and no
    /// derivative along an axis is larger than along one of the cell's edges.
    fn largest_gradient(&self) -> f32 {
        // Squares until the end: `hypot` would take most of the field's time.
        let between = |one: (f32, f32), other: (f32, f32)| (other.0 - one.0).powi(2) + (other.1 - one.1).powi(2);
        let rows: Vec<&[(f32, f32)]> = self.shifts.chunks_exact(self.columns).collect();
        let cells = rows.windows(2).flat_map(|rows| {
            rows[0].windows(2).zip(rows[1].windows(2)).map(|(above, below)| {
                let across = between(above[0], above[1]).max(between(below[0], below[1]));
                let down = between(above[0], below[0]).max(between(above[1], below[1]));
                across + down
            })
        });
        cells.fold(0.0, f32::max).sqrt() / self.step
    }

    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        let (x, y) = ((x - self.origin.x) / self.step, (y - self.origin.y) / self.step);
        if x < 0.0 || y < 0.0 || x >= (self.columns - 1) as f32 || y >= (self.rows - 1) as f32 {
            return (0.0, 0.0);
        }
        let (column, row) = (x as usize, y as usize);
        let (fx, fy) = (x - column as f32, y - row as f32);
        let at = row * self.columns + column;
        let blend = |a: f32, b: f32, share: f32| a + (b - a) * share;
        let along = |at: usize| {
            let ((ax, ay), (bx, by)) = (self.shifts[at], self.shifts[at + 1]);
            (blend(ax, bx, fx), blend(ay, by, fx))
        };
        let ((ax, ay), (bx, by)) = (along(at), along(at + self.columns));
        (blend(ax, bx, fy), blend(ay, by, fy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::sample;
    use proptest::prelude::*;
    use rand::SeedableRng;

    /// Distance between the eyes of the drawn face.
    const EYES: f32 = 128.0 / 2.35 / 1.05;

    fn length((dx, dy): (f32, f32)) -> f32 {
        dx.hypot(dy)
    }

    fn local(warp: Warp, seed: u64) -> Field {
        Field::local(&sample::crop(0, 3.0), warp, &mut StdRng::seed_from_u64(seed))
    }

    proptest! {
        #[test]
        fn a_local_warp_never_folds_the_face(seed: u64, points in 1_usize..=19, amplitude in 0.01_f32..=0.5) {
            let field = local(Warp { points, amplitude }, seed);
            // Neighbours in the picture stay neighbours in the same order: the map's determinant is positive.
            let step = 0.25;
            for n in 0..40 * 40 {
                let (x, y) = (16.0 + 4.0 * (n % 40) as f32, 16.0 + 4.0 * (n / 40) as f32);
                let (here, right, below) = (field.at(x, y), field.at(x + step, y), field.at(x, y + step));
                let along = |from: (f32, f32), to: (f32, f32)| ((to.0 - from.0) / step, (to.1 - from.1) / step);
                let (across, down) = (along(here, right), along(here, below));
                let determinant = (1.0 + across.0) * (1.0 + down.1) - across.1 * down.0;
                prop_assert!(determinant > 0.02, "{determinant} at {x}, {y}");
            }
        }

        #[test]
        fn a_local_warp_moves_something_by_enough_nothing_by_too_much_and_the_border_not_at_all(
            seed: u64,
            points in 4_usize..=19,
            amplitude in 0.02_f32..=0.3,
        ) {
            let field = local(Warp { points, amplitude }, seed);
            let shifts = (0..192 * 192).map(|n| length(field.at((n % 192) as f32, (n / 192) as f32)));
            let largest = shifts.fold(0.0, f32::max);
            prop_assert!(largest >= 0.95 * WEAKEST * amplitude * EYES, "{largest}");
            prop_assert!(largest <= 2.0_f32.sqrt() * amplitude * EYES, "{largest}");
            for at in 0..192 {
                let at = at as f32;
                for edge in [(at, 0.0), (0.0, at), (191.0, at)] {
                    prop_assert!(length(field.at(edge.0, edge.1)) < 0.1, "{edge:?}");
                }
            }
        }

        #[test]
        fn a_sham_warp_is_affine_and_moves_the_face_no_further_than_a_local_one(seed: u64) {
            let warp = Warp::default();
            let field = Field::sham(&sample::crop(0, 3.0), warp, &mut StdRng::seed_from_u64(seed));
            let (left, middle, right) = (field.at(60.0, 80.0), field.at(95.0, 100.0), field.at(130.0, 120.0));
            prop_assert!(((left.0 + right.0) / 2.0 - middle.0).abs() < 1e-3);
            prop_assert!(((left.1 + right.1) / 2.0 - middle.1).abs() < 1e-3);
            let bound = 2.0_f32.sqrt() * 1.5 * warp.amplitude * EYES;
            for shift in [left, middle, right] {
                prop_assert!(length(shift) <= bound, "{shift:?}");
            }
        }
    }

    #[test]
    fn twins_move_mirrored_in_about_half_of_the_warps() {
        let pairs = Regions::of(&sample::crop(0, 3.0)).movable();
        let mut rng = StdRng::seed_from_u64(1);
        let mut mirrored = 0;
        for _ in 0..1000 {
            let shifts = shifts(&pairs, 1, 5.0, &mut rng);
            let moved = shifts.iter().filter(|pair| pair[0] != (0.0, 0.0) && pair[1] != (0.0, 0.0));
            for [right, left] in moved {
                mirrored += usize::from(*left == (-right.0, right.1));
            }
        }
        // One point in four lies on the middle line and has no twin.
        assert!((300..450).contains(&mirrored), "{mirrored}");
    }

    #[test]
    fn a_point_that_is_moved_to_the_right_is_seen_further_right() {
        let crop = sample::crop(0, 3.0);
        let pairs = Regions::of(&crop).movable();
        let mut shifts = vec![[(0.0, 0.0); 2]; pairs.len()];
        shifts[6][1] = (5.0, 0.0);
        let lattice = Lattice::new(&pairs, &shifts, SIGMA * EYES);
        let corner = pairs[6][1];
        let (dx, dy) = lattice.at(corner.x + 1.0, corner.y);
        assert!(dx < -1.0 && dy.abs() < 1e-3, "the picture is read on the left: {dx}, {dy}");
    }
}
