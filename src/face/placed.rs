//! Where in the world a face must be, as one calibrated camera sees it.

use crate::rig::CalibratedCamera;
use crate::rig::geometry::Ray;
use crate::scene::{FaceView, middle};

/// Height of a face's box, metres: from the chin to above the brows. YuNet's boxes of rendered heads are 0.20 m high,
/// with a standard deviation of 6 % from the front and of 17 % in profile (take `two-people`); people differ too.
const FACE_HEIGHT_M: f64 = 0.2;

/// Where a face must be.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// Through the middle of its landmarks.
    pub ray: Ray,
    /// About how far along the ray, as large as the face looks, metres.
    pub distance_m: f64,
}

impl Placed {
    /// Of a face in a frame of `size` (width, height) pixels.
    #[must_use]
    pub fn of(face: &FaceView, camera: &CalibratedCamera, size: (f64, f64)) -> Self {
        let middle = middle(&face.landmarks);
        let ray = camera.ray((middle.x.into(), middle.y.into()), size);
        let focal_px = camera.lens().focal[1] * size.1 / f64::from(camera.size[1]);
        Self { ray, distance_m: FACE_HEIGHT_M * focal_px / f64::from(face.rect.h.max(1.0)) }
    }
}
