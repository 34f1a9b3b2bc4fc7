//! Bundle adjustment: lenses, poses of all cameras and of the board at every instant, so that the corners' projections
//! fall where they were seen, as a whole.
//!
//! Levenberg-Marquardt on the normal equations, of which the boards' poses are eliminated first (Schur complement; B.
//! Triggs et al., "Bundle Adjustment: A Modern Synthesis", 2000, section 6.1): what is left has 15 unknowns a camera.
//! Huber's loss bounds what a corner that was found wrong can do.

use nalgebra::{
    DMatrix, DVector, Isometry3, Matrix3x6, Matrix6, Point3, SMatrix, Translation3, UnitQuaternion, Vector6,
};

use crate::rig::lens::Lens;

/// Unknowns of a camera: its pose and its lens.
const OF_CAMERA: usize = 6 + Lens::PARAMETERS;
const STEPS: usize = 60;
/// A step that lessens the loss by less than this share of it is the last.
const CONVERGED: f64 = 1e-9;

/// A camera that is sought.
#[derive(Clone, Copy, Debug)]
pub struct Eye {
    /// How it draws.
    pub lens: Lens,
    /// Where it is.
    pub camera_from_world: Isometry3<f64>,
}

/// The corners of a board that a camera saw at an instant.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Which camera.
    pub camera: usize,
    /// Which board of the bundle.
    pub board: usize,
    /// Which pose of those that were given.
    pub pose: usize,
    /// Where the corners are on the board, metres, and where they were seen, pixels.
    pub corners: Vec<(Point3<f64>, [f64; 2])>,
}

/// What is sought.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The cameras; the first stands where it stands.
    pub eyes: Vec<Eye>,
    /// Where the board was at each instant: `world_from_board`.
    pub boards: Vec<Isometry3<f64>>,
}

/// What is sought; the rest stays as it is, and k3 always does: a webcam's lens hardly shows it, and the corners at the
/// edge of a picture, where it would matter, are few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Free {
    /// Lenses, and where cameras and boards are.
    Everything,
    /// Where cameras and boards are.
    Poses,
    /// Where the boards are.
    Boards,
}

/// By how much cameras and boards are moved.
type Step = (Vec<SMatrix<f64, OF_CAMERA, 1>>, Vec<Vector6<f64>>);

/// The normal equations, in blocks.
struct Normal {
    cameras: Vec<(SMatrix<f64, OF_CAMERA, OF_CAMERA>, SMatrix<f64, OF_CAMERA, 1>)>,
    boards: Vec<(Matrix6<f64>, Vector6<f64>)>,
    /// Camera, board, and what couples them.
    between: Vec<(usize, usize, SMatrix<f64, OF_CAMERA, 6>)>,
}

/// `pose` moved by a small turn (on its left) and a small shift.
fn moved(pose: &Isometry3<f64>, by: &Vector6<f64>) -> Isometry3<f64> {
    let turn = UnitQuaternion::from_scaled_axis(by.fixed_rows::<3>(0).into_owned());
    let shift = pose.translation.vector + by.fixed_rows::<3>(3);
    Isometry3::from_parts(Translation3::from(shift), turn * pose.rotation)
}

impl Bundle {
    /// Where a corner falls beside where it was seen, pixels; `None` if it is not before the camera.
    #[must_use]
    pub fn residual(&self, sighting: &Sighting, corner: &(Point3<f64>, [f64; 2])) -> Option<[f64; 2]> {
        let eye = &self.eyes[sighting.camera];
        let here = eye.camera_from_world * self.boards[sighting.board] * corner.0;
        let [u, v] = eye.lens.project(&here)?;
        Some([u - corner.1[0], v - corner.1[1]])
    }

    /// Huber's loss of all corners; `scale` is where it turns from square to straight, pixels.
    fn loss(&self, sightings: &[Sighting], scale: f64) -> f64 {
        let of_corner = |sighting: &Sighting, corner| match self.residual(sighting, corner) {
            // A corner behind the camera is as bad as one that is far off.
            None => 1e6,
            Some([x, y]) => {
                let distance = x.hypot(y);
                if distance <= scale { distance * distance } else { scale * (2.0 * distance - scale) }
            }
        };
        sightings.iter().flat_map(|s| s.corners.iter().map(move |corner| of_corner(s, corner))).sum()
    }

    /// Moves everything so that the loss is least.
    pub fn adjust(&mut self, sightings: &[Sighting], free: Free, scale: f64) {
        let mut loss = self.loss(sightings, scale);
        let mut damping = 1e-3;
        for _ in 0..STEPS {
            let normal = self.normal(sightings, scale);
            let before = loss;
            while damping < 1e9 {
                let tried = normal.solve(damping, free).map(|steps| self.stepped(&steps));
                let tried_loss = tried.as_ref().map(|bundle| bundle.loss(sightings, scale));
                if let (Some(bundle), Some(tried_loss)) = (tried, tried_loss.filter(|tried| *tried < loss)) {
                    (*self, loss) = (bundle, tried_loss);
                    damping = (damping / 5.0).max(1e-12);
                    break;
                }
                damping *= 4.0;
            }
            if before - loss <= CONVERGED * before {
                break;
            }
        }
    }

    /// Root mean square distance of all corners, pixels: infinite if one is not before its camera, and no number if there
    /// are none.
    #[must_use]
    pub fn error<'a>(&self, sightings: impl IntoIterator<Item = &'a Sighting>) -> f64 {
        self.scaled_error(sightings, |_| 1.0)
    }

    /// The same, the pixels of each camera multiplied by what `scale` says.
    #[must_use]
    pub fn scaled_error<'a>(
        &self,
        sightings: impl IntoIterator<Item = &'a Sighting>,
        scale: impl Fn(usize) -> f64,
    ) -> f64 {
        let (mut sum, mut count) = (0.0, 0);
        for sighting in sightings {
            let square = scale(sighting.camera).powi(2);
            for corner in &sighting.corners {
                let distance = self.residual(sighting, corner).map_or(f64::INFINITY, |[x, y]| x * x + y * y);
                sum += distance * square;
                count += 1;
            }
        }
        (sum / f64::from(count)).sqrt()
    }

    fn normal(&self, sightings: &[Sighting], scale: f64) -> Normal {
        let mut normal = Normal {
            cameras: vec![Default::default(); self.eyes.len()],
            boards: vec![Default::default(); self.boards.len()],
            between: Vec::with_capacity(sightings.len()),
        };
        for sighting in sightings {
            let (eye, board) = (&self.eyes[sighting.camera], &self.boards[sighting.board]);
            let turn = eye.camera_from_world.rotation.to_rotation_matrix().into_inner();
            let mut coupling = SMatrix::<f64, OF_CAMERA, 6>::zeros();
            for (on_board, seen) in &sighting.corners {
                let turned = board.rotation * on_board.coords;
                let world = turned + board.translation.vector;
                let seen_turned = turn * world;
                let here = Point3::from(seen_turned + eye.camera_from_world.translation.vector);
                let Some(projection) = eye.lens.project_with_slopes(&here) else { continue };
                let residual = nalgebra::Vector2::new(projection.pixel[0] - seen[0], projection.pixel[1] - seen[1]);
                let weight = (scale / residual.norm().max(scale)).min(1.0);

                let mut by_camera = SMatrix::<f64, 2, OF_CAMERA>::zeros();
                by_camera.fixed_view_mut::<2, 3>(0, 0).copy_from(&(-projection.by_point * seen_turned.cross_matrix()));
                by_camera.fixed_view_mut::<2, 3>(0, 3).copy_from(&projection.by_point);
                by_camera.fixed_view_mut::<2, { Lens::PARAMETERS }>(0, 6).copy_from(&projection.by_lens);
                let mut of_board = Matrix3x6::zeros();
                of_board.fixed_view_mut::<3, 3>(0, 0).copy_from(&(-turn * turned.cross_matrix()));
                of_board.fixed_view_mut::<3, 3>(0, 3).copy_from(&turn);
                let by_board = projection.by_point * of_board;

                let (camera_matrix, camera_right) = &mut normal.cameras[sighting.camera];
                *camera_matrix += weight * by_camera.transpose() * by_camera;
                *camera_right += weight * by_camera.transpose() * residual;
                let (board_matrix, board_right) = &mut normal.boards[sighting.board];
                *board_matrix += weight * by_board.transpose() * by_board;
                *board_right += weight * by_board.transpose() * residual;
                coupling += weight * by_camera.transpose() * by_board;
            }
            normal.between.push((sighting.camera, sighting.board, coupling));
        }
        normal
    }

    fn stepped(&self, (cameras, boards): &Step) -> Self {
        let eyes = self.eyes.iter().zip(cameras).map(|(eye, by)| {
            let mut lens = eye.lens.to_array();
            for (n, value) in lens.iter_mut().enumerate() {
                *value += by[6 + n];
            }
            let camera_from_world = moved(&eye.camera_from_world, &by.fixed_rows::<6>(0).into_owned());
            Eye { lens: Lens::from_array(lens), camera_from_world }
        });
        let boards = self.boards.iter().zip(boards).map(|(board, by)| moved(board, by));
        Self { eyes: eyes.collect(), boards: boards.collect() }
    }
}

impl Normal {
    /// The step of all cameras and boards; `None` if it cannot be told.
    fn solve(&self, damping: f64, free: Free) -> Option<Step> {
        let size = self.cameras.len() * OF_CAMERA;
        let mut reduced = DMatrix::<f64>::zeros(size, size);
        let mut right = DVector::<f64>::zeros(size);
        for (n, (matrix, vector)) in self.cameras.iter().enumerate() {
            let mut block = *matrix;
            for k in 0..OF_CAMERA {
                block[(k, k)] += damping * matrix[(k, k)] + 1e-12;
            }
            reduced.view_mut((n * OF_CAMERA, n * OF_CAMERA), (OF_CAMERA, OF_CAMERA)).copy_from(&block);
            right.rows_mut(n * OF_CAMERA, OF_CAMERA).copy_from(&-vector);
        }
        let inverses: Vec<Matrix6<f64>> = self
            .boards
            .iter()
            .map(|(matrix, _)| {
                let damped = matrix + Matrix6::from_diagonal(&(matrix.diagonal() * damping).add_scalar(1e-12));
                damped.try_inverse()
            })
            .collect::<Option<_>>()?;
        for (camera, board, coupling) in &self.between {
            let eliminated = coupling * inverses[*board];
            let mut rows = right.rows_mut(camera * OF_CAMERA, OF_CAMERA);
            rows += eliminated * self.boards[*board].1;
            for (other, _, theirs) in self.between.iter().filter(|(_, of, _)| of == board) {
                let mut block = reduced.view_mut((camera * OF_CAMERA, other * OF_CAMERA), (OF_CAMERA, OF_CAMERA));
                block -= eliminated * theirs.transpose();
            }
        }
        // What stays as it is has an equation of its own; the first camera's pose always does.
        let is_fixed = |row: usize| match free {
            Free::Everything => row < 6 || row % OF_CAMERA == OF_CAMERA - 1,
            Free::Poses => row < 6 || row % OF_CAMERA >= 6,
            Free::Boards => true,
        };
        for row in (0..size).filter(|row| is_fixed(*row)) {
            reduced.row_mut(row).fill(0.0);
            reduced.column_mut(row).fill(0.0);
            reduced[(row, row)] = 1.0;
            right[row] = 0.0;
        }
        let steps = reduced.cholesky()?.solve(&right);
        let cameras: Vec<SMatrix<f64, OF_CAMERA, 1>> =
            (0..self.cameras.len()).map(|n| steps.fixed_rows::<OF_CAMERA>(n * OF_CAMERA).into_owned()).collect();
        let mut boards: Vec<Vector6<f64>> = self.boards.iter().map(|(_, vector)| -vector).collect();
        for (camera, board, coupling) in &self.between {
            boards[*board] -= coupling.transpose() * cameras[*camera];
        }
        for (board, inverse) in boards.iter_mut().zip(&inverses) {
            *board = inverse * *board;
        }
        Some((cameras, boards))
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::Vector3;

    use super::*;

    fn pose(shift: [f64; 3], turn: [f64; 3]) -> Isometry3<f64> {
        Isometry3::new(Vector3::from(shift), Vector3::from(turn))
    }

    fn truth() -> Bundle {
        let lens = |focal: f64| Lens {
            focal: [focal, focal + 2.0],
            principal: [321.0, 178.0],
            distortions: [-0.08, 0.03, 0.0004, -0.0006, 0.0],
        };
        let eye = |focal, shift, turn| Eye { lens: lens(focal), camera_from_world: pose(shift, turn) };
        let board = |n: u32| {
            let k = f64::from(n);
            pose(
                [0.1 * k.sin(), 0.08 * (1.7 * k).cos(), 0.7 + 0.1 * k.cos()],
                [0.5 * (2.1 * k).sin(), 0.4 * k.cos(), 0.2],
            )
        };
        Bundle {
            eyes: vec![
                eye(600.0, [0.0; 3], [0.0; 3]),
                eye(640.0, [-0.3, 0.01, 0.1], [0.0, 0.3, 0.02]),
                eye(580.0, [0.25, 0.0, 0.1], [0.02, -0.3, 0.0]),
            ],
            boards: (0..12).map(board).collect(),
        }
    }

    /// What the cameras see of boards of 6 x 4 corners.
    fn sightings(bundle: &Bundle) -> Vec<Sighting> {
        let corners: Vec<Point3<f64>> = (0..24)
            .map(|n| Point3::new(0.03 * f64::from(n % 6) - 0.075, 0.03 * f64::from(n / 6) - 0.045, 0.0))
            .collect();
        let all = (0..bundle.eyes.len()).flat_map(|camera| (0..bundle.boards.len()).map(move |board| (camera, board)));
        let seen = |camera: usize, board: usize, corner: &Point3<f64>| {
            let eye = &bundle.eyes[camera];
            eye.lens.project(&(eye.camera_from_world * bundle.boards[board] * corner)).expect("before the camera")
        };
        all.map(|(camera, board)| Sighting {
            camera,
            board,
            pose: board,
            corners: corners.iter().map(|corner| (*corner, seen(camera, board, corner))).collect(),
        })
        .collect()
    }

    #[test]
    fn from_a_rough_start_it_finds_the_truth_past_corners_that_are_wrong() {
        let truth = truth();
        let mut seen = sightings(&truth);
        // A corner in forty is somewhere else.
        for (n, (_, at)) in seen.iter_mut().flat_map(|sighting| &mut sighting.corners).enumerate() {
            if n % 40 == 0 {
                at[0] += if n % 80 == 0 { 25.0 } else { -25.0 };
            }
        }
        let mut bundle = truth.clone();
        let moved = |pose: &Isometry3<f64>, k: f64| {
            self::moved(pose, &Vector6::new(0.02, -0.03, 0.01, 0.01, 0.02, -0.02).scale(k))
        };
        for (n, eye) in bundle.eyes.iter_mut().enumerate() {
            eye.lens.focal = eye.lens.focal.map(|focal| focal * 1.03);
            eye.lens.distortions = [0.0; 5];
            if n > 0 {
                eye.camera_from_world = moved(&eye.camera_from_world, 1.0);
            }
        }
        for (n, board) in bundle.boards.iter_mut().enumerate() {
            *board = moved(board, if n % 2 == 0 { 1.0 } else { -1.0 });
        }
        bundle.adjust(&seen, Free::Everything, 0.5);
        for (found, truth) in bundle.eyes.iter().zip(&truth.eyes) {
            assert!((found.lens.focal[0] / truth.lens.focal[0] - 1.0).abs() < 5e-3, "{found:?}");
            let apart = found.camera_from_world.inverse() * truth.camera_from_world;
            assert!(apart.translation.vector.norm() < 5e-3 && apart.rotation.angle() < 5e-3, "{found:?}");
        }
        // Boards alone, before cameras that are right: exact.
        let mut boards = Bundle { boards: bundle.boards.clone(), ..truth.clone() };
        let seen = sightings(&truth);
        boards.adjust(&seen, Free::Boards, 0.5);
        let error = boards.error(&seen);
        assert!(error < 1e-6, "{error}");
    }

    #[test]
    fn a_board_behind_a_camera_is_no_small_error() {
        let mut bundle = truth();
        let seen = sightings(&bundle);
        bundle.eyes[1].camera_from_world = pose([0.0; 3], [0.0, 3.1, 0.0]) * bundle.eyes[1].camera_from_world;
        assert!(bundle.error(&seen).is_infinite());
        assert!(bundle.error([]).is_nan());
    }
}
