//! A camera's lens, from poses of the board that it saw: OpenCV's `calibrateCamera` (Z. Zhang, "A Flexible New Technique
//! for Camera Calibration", 2000).

use nalgebra::{Isometry3, Vector3};
use opencv::calib3d;
use opencv::core::{Mat, Point2f, Point3f, Size, TermCriteria, TermCriteria_Type, Vec3d, Vector};
use opencv::prelude::MatTraitConst;

use super::board::Board;
use super::stills::Still;
use crate::rig::lens::Lens;

/// Poses that a lens is first estimated from: chosen to differ; more make it slow, not better.
const CHOSEN: usize = 30;
/// Corners that a pose must show.
pub(super) const LEAST_CORNERS: usize = 8;

/// The lens of a camera with pictures of `size`; its k3 is 0.
///
/// # Errors
/// OpenCV's.
pub fn lens(board: &Board, size: [u32; 2], stills: &[&Still]) -> opencv::Result<Lens> {
    let chosen = different(stills, CHOSEN);
    let mut on_board = Vector::<Vector<Point3f>>::new();
    let mut in_picture = Vector::<Vector<Point2f>>::new();
    for still in chosen.iter().map(|n| stills[*n]) {
        let (points, pixels) = corners(board, still);
        on_board.push(points);
        in_picture.push(pixels);
    }
    let [width, height] = size.map(|side| side as i32);
    let (mut matrix, mut distortions) = (Mat::default(), Mat::default());
    let (mut turns, mut shifts) = (Vector::<Vec3d>::new(), Vector::<Vec3d>::new());
    let until = TermCriteria::new(TermCriteria_Type::COUNT as i32 | TermCriteria_Type::EPS as i32, 50, 1e-9)?;
    calib3d::calibrate_camera(
        &on_board,
        &in_picture,
        Size::new(width, height),
        &mut matrix,
        &mut distortions,
        &mut turns,
        &mut shifts,
        calib3d::CALIB_FIX_K3,
        until,
    )?;
    let entry = |row: i32, column: i32| matrix.at_2d::<f64>(row, column).copied();
    let distortion = |n: i32| distortions.at::<f64>(n).copied();
    Ok(Lens {
        focal: [entry(0, 0)?, entry(1, 1)?],
        principal: [entry(0, 2)?, entry(1, 2)?],
        distortions: [distortion(0)?, distortion(1)?, distortion(2)?, distortion(3)?, 0.0],
    })
}

/// Where the board was in each of the stills: `camera_from_board`; `None` where it cannot be told from its corners.
///
/// # Errors
/// OpenCV's, of the lens.
pub fn place(board: &Board, lens: &Lens, stills: &[&Still]) -> opencv::Result<Vec<Option<Isometry3<f64>>>> {
    let ([fx, fy], [cx, cy]) = (lens.focal, lens.principal);
    let matrix = Mat::from_slice_2d(&[[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])?;
    let distortions = Vector::<f64>::from_slice(&lens.distortions);
    let place = |still: &&Still| {
        let (points, pixels) = corners(board, still);
        let (mut turn, mut shift) = (Mat::default(), Mat::default());
        let method = calib3d::SOLVEPNP_ITERATIVE;
        let is_solved =
            calib3d::solve_pnp(&points, &pixels, &matrix, &distortions, &mut turn, &mut shift, false, method).ok()?;
        let vector = |mat: &Mat| Some(Vector3::<f64>::new(*mat.at(0).ok()?, *mat.at(1).ok()?, *mat.at(2).ok()?));
        let place = Isometry3::new(vector(&shift)?, vector(&turn)?);
        Some(place).filter(|place| is_solved && place.translation.vector.iter().all(|value| value.is_finite()))
    };
    Ok(stills.iter().map(place).collect())
}

fn corners(board: &Board, still: &Still) -> (Vector<Point3f>, Vector<Point2f>) {
    let point = |(n, _): &(usize, [f64; 2])| {
        let at = board.corner(*n);
        Point3f::new(at.x as f32, at.y as f32, 0.0)
    };
    let pixel = |(_, [x, y]): &(usize, [f64; 2])| Point2f::new(*x as f32, *y as f32);
    (still.corners.iter().map(point).collect(), still.corners.iter().map(pixel).collect())
}

/// The places of `count` stills that differ most in where, how large and how oblique the board is in them.
fn different(stills: &[&Still], count: usize) -> Vec<usize> {
    let looks: Vec<[f64; 4]> = stills.iter().map(|still| look(still)).collect();
    let spread: [f64; 4] = std::array::from_fn(|k| {
        let values = || looks.iter().map(|look| look[k]);
        let range = values().fold(f64::NEG_INFINITY, f64::max) - values().fold(f64::INFINITY, f64::min);
        range.max(1e-9)
    });
    let apart = |a: usize, b: usize| (0..4).map(|k| ((looks[a][k] - looks[b][k]) / spread[k]).powi(2)).sum::<f64>();
    // The one with the most corners first, then always the one that is furthest from all chosen ones.
    let mut chosen: Vec<usize> = (0..stills.len()).max_by_key(|n| stills[*n].corners.len()).into_iter().collect();
    while chosen.len() < count.min(stills.len()) {
        let nearest = |n: &usize| chosen.iter().map(|other| apart(*n, *other)).fold(f64::INFINITY, f64::min);
        let Some(next) =
            (0..stills.len()).filter(|n| !chosen.contains(n)).max_by(|a, b| nearest(a).total_cmp(&nearest(b)))
        else {
            break;
        };
        chosen.push(next);
    }
    chosen
}

/// Where the corners' centre is, and how far they reach in both directions.
fn look(still: &Still) -> [f64; 4] {
    let count = still.corners.len().max(1) as f64;
    let mean = |k: usize| still.corners.iter().map(|(_, at)| at[k]).sum::<f64>() / count;
    let center = [mean(0), mean(1)];
    let reach =
        |k: usize| (still.corners.iter().map(|(_, at)| (at[k] - center[k]).powi(2)).sum::<f64>() / count).sqrt();
    [center[0], center[1], reach(0), reach(1)]
}
