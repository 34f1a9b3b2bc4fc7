//! A whole rig from what its cameras saw of a board.

use std::collections::BTreeMap;

use nalgebra::{Isometry3, Vector3};

use super::board::Board;
use super::bundle::{Bundle, Eye, Free, Sighting};
use super::corners::Unseen;
use super::figures::{Figures, scale_error_percent};
use super::intrinsics::{self, LEAST_CORNERS};
use super::network::{Sights, chain};
use super::stills::{Pose, Still};
use crate::rig::CalibratedCamera;
use crate::rig::lens::Lens;

/// Poses of the board that a camera must see: fewer tell too little of a lens.
pub const LEAST_POSES: usize = 8;
/// Of so many poses that several cameras saw, one is kept apart to check the rig with.
const HELD_OUT: usize = 5;
/// Of the poses that two cameras saw, so many are not kept apart.
const LEAST_SHARED: usize = 2;
/// The board must be tilted by this much between poses, or a lens cannot be told from a distance.
const LEAST_TILT_DEG: f64 = 15.0;
/// Where Huber's loss turns from square to straight, pixels.
const HUBER_PX: f64 = 0.5;
/// A view whose corners are this many times further off than those of its camera's usual ones is left out.
const OUTLIER: f64 = 4.0;
/// A rig whose corners are further off than this, in pixels of a picture that is 640 wide, is none.
const WORST_PX: f64 = 2.0;

/// What one camera saw of the board.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// Its name.
    pub name: String,
    /// Width and height of its pictures.
    pub size: [u32; 2],
    /// Pictures that were looked at.
    pub frames: usize,
    /// Of those, how many showed the board.
    pub with_board: usize,
    /// Why some of the others did not.
    pub unseen: BTreeMap<Unseen, usize>,
    /// Its lens, where that is known already.
    pub lens: Option<Lens>,
}

/// Why a rig cannot be calibrated.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum CalibrateError {
    #[error("camera `{camera}` never saw the board in {frames} pictures; mostly: {advice}")]
    NeverSaw { camera: String, frames: usize, advice: &'static str },
    #[error(
        "camera `{camera}` saw the board held still in {poses} poses only; at least {LEAST_POSES} are needed. Hold it still for half a second, then move it: near and far, in every corner, tilted to all sides"
    )]
    TooFewPoses { camera: String, poses: usize },
    #[error(
        "before camera `{camera}` the board was never tilted by more than {degrees:.0} degrees, so its lens cannot be told from its distance: tilt it by 30 to 45 degrees to all sides"
    )]
    Parallel { camera: String, degrees: f64 },
    #[error(
        "no pose of the board links {groups}: hold it where cameras of both see it at the same time. Cameras that never share a view can be linked through one between them"
    )]
    Disconnected { groups: String },
    #[error("the picture of {cameras} is mirrored: turn that off in the camera's settings, and calibrate again")]
    Mirrored { cameras: String },
    #[error("no pose of the board was seen by two cameras: hold it where several see it at the same time")]
    NoneShared,
    #[error(
        "what camera `{camera}` saw does not fit the others: {error_px:.1} pixels on average. Is its picture mirrored, was it moved, or is `--board` another board?"
    )]
    NoFit { camera: String, error_px: f64 },
    #[error("OpenCV: {0}")]
    OpenCv(#[from] opencv::Error),
}

/// A calibrated rig.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// In the order in which they were given; the first one's frame is the world's.
    pub cameras: Vec<CalibratedCamera>,
    /// How good it is.
    pub figures: Figures,
    /// Views that were left out: camera, seconds after the first pose, and how far off, pixels.
    pub outliers: Vec<(String, f64, f64)>,
}

/// Calibrates cameras by `poses` of `board`.
///
/// # Errors
/// [`CalibrateError`].
pub fn calibrate(board: &Board, cameras: &[Watched], poses: &[Pose]) -> Result<Calibration, CalibrateError> {
    let found = fit(board, cameras, poses);
    // A checkerboard in a mirror looks like a checkerboard: it shows only beside other cameras.
    if matches!(found, Err(CalibrateError::NoFit { .. })) && board.marker_m.is_none() {
        let fits_mirrored = |n: &usize| fit(board, cameras, &mirrored(board, poses, *n, cameras[*n].size[0])).is_ok();
        let names: Vec<String> =
            (0..cameras.len()).filter(fits_mirrored).map(|n| format!("`{}`", cameras[n].name)).collect();
        if !names.is_empty() {
            return Err(CalibrateError::Mirrored { cameras: names.join(" or ") });
        }
    }
    found
}

/// `poses` as they would be if camera `n`, whose pictures are `width` wide, did not mirror them.
fn mirrored(board: &Board, poses: &[Pose], n: usize, width: u32) -> Vec<Pose> {
    let [columns, rows] = board.corners();
    let mut poses = poses.to_vec();
    for still in poses.iter_mut().filter_map(|pose| pose.views[n].as_mut()) {
        for (number, at) in &mut still.corners {
            *number = (rows - 1 - *number / columns) * columns + *number % columns;
            at[0] = f64::from(width) - 1.0 - at[0];
        }
    }
    poses
}

/// The lens of every camera, and where the board was in each pose, as each by itself sees it.
fn look(board: &Board, cameras: &[Watched], poses: &[Pose]) -> Result<(Vec<Lens>, Sights), CalibrateError> {
    let usable = |still: &&Still| still.corners.len() >= LEAST_CORNERS;
    let view = |pose: usize, camera: usize| poses[pose].views[camera].as_ref().filter(usable);
    let (mut lenses, mut sights) = (Vec::new(), Sights::new());
    for (n, camera) in cameras.iter().enumerate() {
        let places: Vec<usize> = (0..poses.len()).filter(|pose| view(*pose, n).is_some()).collect();
        let stills: Vec<&Still> = places.iter().filter_map(|pose| view(*pose, n)).collect();
        check_views(camera, stills.len())?;
        let lens = match camera.lens {
            Some(lens) => lens,
            None => intrinsics::lens(board, camera.size, &stills)?,
        };
        let boards = intrinsics::place(board, &lens, &stills)?;
        let degrees = tilt_deg(&boards.iter().flatten().copied().collect::<Vec<_>>());
        if camera.lens.is_none() && degrees < LEAST_TILT_DEG {
            return Err(CalibrateError::Parallel { camera: camera.name.clone(), degrees });
        }
        let mut of_camera = vec![None; poses.len()];
        for (pose, board) in places.into_iter().zip(boards) {
            of_camera[pose] = board;
        }
        lenses.push(lens);
        sights.push(of_camera);
    }
    Ok((lenses, sights))
}

/// How good `rig`, whose lenses `cameras` have, is by poses that it was not made of; and each camera's error, pixels.
///
/// # Errors
/// [`CalibrateError`].
pub fn check(
    board: &Board,
    rig: &[CalibratedCamera],
    cameras: &[Watched],
    poses: &[Pose],
) -> Result<(Figures, Vec<f64>), CalibrateError> {
    let (_, sights) = look(board, cameras, poses)?;
    // What one camera alone sees fits wherever that camera is.
    let is_shared = |pose: usize| sights.iter().filter(|camera| camera[pose].is_some()).count() > 1;
    let shared: Vec<usize> = (0..poses.len()).filter(|pose| is_shared(*pose) || cameras.len() == 1).collect();
    if shared.is_empty() {
        return Err(CalibrateError::NoneShared);
    }
    let of_shared = |camera: &Vec<Option<Isometry3<f64>>>| shared.iter().map(|pose| camera[*pose]).collect();
    let sights: Sights = sights.iter().map(of_shared).collect();
    let shared_poses: Vec<Pose> = shared.iter().map(|pose| poses[*pose].clone()).collect();
    let eye = |camera: &CalibratedCamera| Eye { lens: camera.lens(), camera_from_world: camera.camera_from_world() };
    let (mut bundle, sightings) = bundle_of(board, &shared_poses, &sights, rig.iter().map(eye).collect());
    bundle.adjust(&sightings, Free::Boards, HUBER_PX);
    let error_px = bundle.scaled_error(&sightings, |n| to_640(&cameras[n]));
    let figures = Figures {
        poses: poses.len(),
        poses_shared: shared.len(),
        reprojection_error_px: error_px,
        held_out_error_px: Some(error_px),
        scale_error_percent: scale_error_percent(board, &bundle.eyes, &sightings),
    };
    Ok((figures, errors_px(&bundle, &sightings, cameras.len())))
}

/// Root mean square distance of corners, pixels, by camera.
fn errors_px(bundle: &Bundle, sightings: &[Sighting], cameras: usize) -> Vec<f64> {
    (0..cameras).map(|n| bundle.error(sightings.iter().filter(|sighting| sighting.camera == n))).collect()
}

/// Makes pixels of a camera those of a picture that is 640 wide.
fn to_640(camera: &Watched) -> f64 {
    640.0 / f64::from(camera.size[0].max(1))
}

/// Which poses are kept apart: every so many of those that several cameras saw, if the cameras that saw it stay linked
/// well without it.
fn held_out(sights: &Sights, shared: &[usize]) -> Vec<bool> {
    let cameras = sights.len();
    let sees = |camera: usize, pose: usize| sights[camera][pose].is_some();
    let pairs = |pose: usize| {
        (0..cameras)
            .flat_map(move |a| (a..cameras).map(move |b| (a, b)))
            .filter(move |(a, b)| sees(*a, pose) && sees(*b, pose))
    };
    let mut left = vec![vec![0_usize; cameras]; cameras];
    for (a, b) in shared.iter().flat_map(|pose| pairs(*pose)) {
        left[a][b] += 1;
    }
    let poses = sights.first().map_or(0, Vec::len);
    let (mut is_held_out, mut since) = (vec![false; poses], 1);
    for pose in shared {
        if since >= HELD_OUT && pairs(*pose).all(|(a, b)| left[a][b] > LEAST_SHARED) {
            pairs(*pose).for_each(|(a, b)| left[a][b] -= 1);
            (is_held_out[*pose], since) = (true, 0);
        }
        since += 1;
    }
    is_held_out
}

fn fit(board: &Board, cameras: &[Watched], poses: &[Pose]) -> Result<Calibration, CalibrateError> {
    let (lenses, sights) = look(board, cameras, poses)?;

    let seen_by = |pose: usize| sights.iter().filter(|camera| camera[pose].is_some()).count();
    let shared: Vec<usize> = (0..poses.len()).filter(|pose| seen_by(*pose) > 1 || cameras.len() == 1).collect();
    let is_held_out = held_out(&sights, &shared);
    let learnt = |held_out: bool| {
        let of_camera = |camera: &Vec<Option<Isometry3<f64>>>| {
            camera.iter().zip(&is_held_out).map(|(board, is)| board.filter(|_| *is == held_out)).collect()
        };
        sights.iter().map(of_camera).collect::<Sights>()
    };
    let poses_of_cameras = chain(&learnt(false)).map_err(|groups| disconnected(cameras, &groups))?;
    let eyes: Vec<Eye> =
        lenses.iter().zip(poses_of_cameras).map(|(lens, pose)| Eye { lens: *lens, camera_from_world: pose }).collect();

    let (mut bundle, mut sightings) = bundle_of(board, poses, &learnt(false), eyes);
    let free = if cameras.iter().any(|camera| camera.lens.is_some()) { Free::Poses } else { Free::Everything };
    bundle.adjust(&sightings, free, HUBER_PX);
    let outliers = without_outliers(&bundle, &mut sightings, cameras, poses);
    bundle.adjust(&sightings, free, HUBER_PX);

    let errors = errors_px(&bundle, &sightings, cameras.len());
    let at_640 = |n: usize| errors[n] * to_640(&cameras[n]);
    let worst = (0..cameras.len()).max_by(|a, b| at_640(*a).total_cmp(&at_640(*b)));
    // What is no number is bad too.
    if let Some(n) = worst.filter(|n| at_640(*n).is_nan() || at_640(*n) > WORST_PX) {
        let error_px = errors[n];
        return Err(CalibrateError::NoFit { camera: cameras[n].name.clone(), error_px });
    }
    let (mut kept_apart, check) = bundle_of(board, poses, &learnt(true), bundle.eyes.clone());
    kept_apart.adjust(&check, Free::Boards, HUBER_PX);
    let figures = Figures {
        poses: bundle.boards.len(),
        poses_shared: shared.len(),
        reprojection_error_px: bundle.scaled_error(&sightings, |n| to_640(&cameras[n])),
        held_out_error_px: (!check.is_empty()).then(|| kept_apart.scaled_error(&check, |n| to_640(&cameras[n]))),
        scale_error_percent: scale_error_percent(board, &kept_apart.eyes, &check),
    };
    let cameras = cameras.iter().zip(&bundle.eyes).zip(&errors);
    let cameras = cameras.map(|((camera, eye), error)| calibrated(camera, eye, *error)).collect();
    Ok(Calibration { cameras, figures, outliers })
}

fn check_views(camera: &Watched, poses: usize) -> Result<(), CalibrateError> {
    let name = || camera.name.clone();
    if camera.with_board == 0 {
        let why = camera.unseen.iter().max_by_key(|(_, count)| **count).map_or(Unseen::Nothing, |(why, _)| *why);
        return Err(CalibrateError::NeverSaw { camera: name(), frames: camera.frames, advice: why.advice() });
    }
    if poses < LEAST_POSES && camera.lens.is_none() || poses == 0 {
        return Err(CalibrateError::TooFewPoses { camera: name(), poses });
    }
    Ok(())
}

/// The largest angle between two poses' boards.
fn tilt_deg(boards: &[Isometry3<f64>]) -> f64 {
    let normal = |board: &Isometry3<f64>| board.rotation * Vector3::z();
    let pairs = boards.iter().enumerate().flat_map(|(n, a)| boards[..n].iter().map(move |b| (a, b)));
    pairs.map(|(a, b)| normal(a).angle(&normal(b)).to_degrees()).fold(0.0, f64::max)
}

fn disconnected(cameras: &[Watched], groups: &[Vec<usize>]) -> CalibrateError {
    let group =
        |members: &Vec<usize>| members.iter().map(|n| format!("`{}`", cameras[*n].name)).collect::<Vec<_>>().join(", ");
    CalibrateError::Disconnected { groups: groups.iter().map(group).collect::<Vec<_>>().join(" with ") }
}

/// The bundle of the poses that some camera sees in `sights`.
fn bundle_of(board: &Board, poses: &[Pose], sights: &Sights, eyes: Vec<Eye>) -> (Bundle, Vec<Sighting>) {
    let (mut boards, mut sightings) = (Vec::new(), Vec::new());
    for (n, pose) in poses.iter().enumerate() {
        let views: Vec<(usize, &Still, Isometry3<f64>)> = (0..eyes.len())
            .filter_map(|camera| Some((camera, pose.views[camera].as_ref()?, sights[camera][n]?)))
            .collect();
        // The camera that sees the most of it says where it is.
        let Some((camera, _, camera_from_board)) = views.iter().max_by_key(|(_, still, _)| still.corners.len()) else {
            continue;
        };
        boards.push(eyes[*camera].camera_from_world.inverse() * camera_from_board);
        for (camera, still, _) in &views {
            let corners = still.corners.iter().map(|(number, at)| (board.corner(*number), *at)).collect();
            sightings.push(Sighting { camera: *camera, board: boards.len() - 1, pose: n, corners });
        }
    }
    (Bundle { eyes, boards }, sightings)
}

/// Takes views out that are much further off than their camera's usual ones.
fn without_outliers(
    bundle: &Bundle,
    sightings: &mut Vec<Sighting>,
    cameras: &[Watched],
    poses: &[Pose],
) -> Vec<(String, f64, f64)> {
    let begins_at = poses.iter().flat_map(|pose| pose.views.iter().flatten()).map(|still| still.from).min();
    let errors: Vec<(usize, f64)> = sightings.iter().map(|s| (s.camera, bundle.error([s]))).collect();
    let usual: Vec<f64> = (0..cameras.len())
        .map(|camera| {
            let mut of_camera: Vec<f64> =
                errors.iter().filter(|(of, _)| *of == camera).map(|(_, error)| *error).collect();
            of_camera.sort_by(f64::total_cmp);
            of_camera.get(of_camera.len() / 2).copied().unwrap_or_default()
        })
        .collect();
    let mut outliers = Vec::new();
    let mut of_sighting = errors.iter();
    sightings.retain(|sighting| {
        let Some((camera, error)) = of_sighting.next() else { return true };
        let is_outlier = *error > (OUTLIER * usual[*camera]).max(HUBER_PX);
        if is_outlier {
            let at = poses[sighting.pose].views[*camera].as_ref().map(|still| still.from);
            let seconds = at.zip(begins_at).map_or(0.0, |(at, begin)| at.since(begin).as_secs_f64());
            outliers.push((cameras[*camera].name.clone(), seconds, *error));
        }
        !is_outlier
    });
    outliers
}

fn calibrated(camera: &Watched, eye: &Eye, error_px: f64) -> CalibratedCamera {
    let ([fx, fy], [cx, cy]) = (eye.lens.focal, eye.lens.principal);
    CalibratedCamera {
        name: camera.name.clone(),
        size: camera.size,
        matrix: [[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]],
        distortions: eye.lens.distortions,
        rotation: eye.camera_from_world.rotation.scaled_axis().into(),
        translation: eye.camera_from_world.translation.vector.into(),
        reprojection_error_px: Some((error_px * 1e4).round() / 1e4),
        ..CalibratedCamera::default()
    }
}
