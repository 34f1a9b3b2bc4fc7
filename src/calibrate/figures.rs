//! How good a calibration is, in figures and in a word.

use nalgebra::Point3;
use serde::Serialize;

use super::board::Board;
use super::bundle::{Eye, Sighting};
use crate::rig::geometry::{Ray, meeting_point};
use crate::rig::verdict::Verdict;

/// Figures of a calibration.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Poses of the board that it rests on.
    pub poses: usize,
    /// Poses that several cameras saw.
    pub poses_shared: usize,
    /// Root mean square distance of the corners from where the rig says they are, pixels of pictures 640 wide.
    pub reprojection_error_px: f64,
    /// The same of poses that were kept apart; nothing where there were too few.
    pub held_out_error_px: Option<f64>,
    /// By how much lengths on the board come out too long when two cameras measure them, per cent.
    pub scale_error_percent: Option<f64>,
}

/// Held-out errors (in pixels of pictures 640 wide) and scale errors (per cent) up to which a rig is good, and up to
/// which it is usable.
const GOOD: (f64, f64) = (0.35, 0.5);
const USABLE: (f64, f64) = (1.0, 2.0);
/// A rig that was checked by fewer poses than this is usable at best.
const LEAST_POSES: usize = 5;

impl Figures {
    /// What the rig is judged by: the error of poses that were kept apart, or else of those that it rests on.
    #[must_use]
    pub fn error_px(&self) -> f64 {
        self.held_out_error_px.unwrap_or(self.reprojection_error_px)
    }

    /// What is to be done.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let pixels = self.error_px();
        let scale = self.scale_error_percent.unwrap_or_default().abs();
        let within = |(most_px, most_percent): (f64, f64)| pixels <= most_px && scale <= most_percent;
        let is_checked = self.held_out_error_px.is_some() && self.poses_shared >= LEAST_POSES;
        match () {
            () if within(GOOD) && is_checked => Verdict::Good,
            () if within(USABLE) => Verdict::Usable,
            () => Verdict::CalibrateAgain,
        }
    }
}

/// Where the corners that several cameras saw are in the world, by pose: only their rays are used, not the board.
fn triangulated(eyes: &[Eye], sightings: &[Sighting], board: usize) -> Vec<(Point3<f64>, Point3<f64>)> {
    let of_board: Vec<&Sighting> = sightings.iter().filter(|sighting| sighting.board == board).collect();
    let Some(first) = of_board.first() else { return Vec::new() };
    let point = |(on_board, _): &(Point3<f64>, [f64; 2])| {
        let rays: Vec<Ray> = of_board
            .iter()
            .filter_map(|sighting| {
                let (_, seen) = sighting.corners.iter().find(|(other, _)| other == on_board)?;
                let eye = &eyes[sighting.camera];
                let world_from_camera = eye.camera_from_world.inverse();
                let direction = nalgebra::Unit::new_normalize(world_from_camera * eye.lens.unproject(*seen));
                Some(Ray { origin: world_from_camera.translation.vector.into(), direction })
            })
            .collect();
        Some((*on_board, meeting_point(&rays)?))
    };
    first.corners.iter().filter_map(point).collect()
}

/// By how much the distances between corners come out too long, per cent; `None` where no two cameras saw one pose.
#[must_use]
pub fn scale_error_percent(board: &Board, eyes: &[Eye], sightings: &[Sighting]) -> Option<f64> {
    // Short distances say little.
    let least = 2.5 * board.square_m;
    let boards = sightings.iter().map(|sighting| sighting.board).max()? + 1;
    let (mut measured, mut true_length) = (0.0, 0.0);
    for points in (0..boards).map(|n| triangulated(eyes, sightings, n)) {
        for (n, (a_board, a)) in points.iter().enumerate() {
            for (b_board, b) in points[..n].iter().filter(|(b, _)| (a_board - b).norm() > least) {
                measured += (a - b).norm();
                true_length += (a_board - b_board).norm();
            }
        }
    }
    (true_length > 0.0).then(|| 100.0 * (measured / true_length - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_checked_is_not_good_and_what_is_no_number_is_bad() {
        let good = Figures {
            poses: 20,
            poses_shared: 10,
            reprojection_error_px: 0.1,
            held_out_error_px: Some(0.2),
            scale_error_percent: Some(-0.1),
        };
        assert_eq!(good.verdict(), Verdict::Good);
        assert_eq!(Figures { held_out_error_px: None, ..good.clone() }.verdict(), Verdict::Usable);
        assert_eq!(Figures { poses_shared: 2, ..good.clone() }.verdict(), Verdict::Usable);
        assert_eq!(Figures { scale_error_percent: Some(1.5), ..good.clone() }.verdict(), Verdict::Usable);
        for px in [1.5, f64::INFINITY, f64::NAN] {
            assert_eq!(Figures { held_out_error_px: Some(px), ..good.clone() }.verdict(), Verdict::CalibrateAgain);
        }
    }
}
