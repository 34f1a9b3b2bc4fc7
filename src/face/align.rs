//! The one way in which a face is cut out, for serving and for training.

use crate::image::Image;
use crate::image::warp::{Border, Layout, Similarity, warp};
use crate::scene::{FaceView, Point};

/// Side of the cut in units of the face's scale: from above the brows to below the chin, as FER2013 is cropped.
pub(crate) const SIDE: f32 = 2.35;
/// Height of the cut's middle between the eyes (0) and the mouth (1).
pub(crate) const MIDDLE: f32 = 0.45;
/// Distance between the eyes' and the mouth's middle over that between the eyes, of the mean face seen from the front.
pub(crate) const EYES_MOUTH_PER_EYES: f32 = 1.05;

/// Maps the pixels of an upright `size` x `size` cut of the face to the full frame.
///
/// The scale does not rest on the distance between the eyes, which vanishes at 90 degrees of yaw: it is the
/// distance from the eyes' middle to the mouth's, which yaw does not shorten; where pitch shortens that one, the
/// distance between the eyes takes over. Sideways the cut is centred on the box, as the landmarks of a profile
/// all lie at its front.
#[must_use]
pub fn frame_from_cut(face: &FaceView, size: usize) -> Similarity {
    let [right_eye, left_eye, _, right_mouth, left_mouth] = face.landmarks;
    let eyes = right_eye.midpoint(left_eye);
    let mouth = right_mouth.midpoint(left_mouth);
    let face_scale = eyes.distance(mouth).max(EYES_MOUTH_PER_EYES * right_eye.distance(left_eye)).max(1.0);

    let (sin, cos) = face.pose.roll_deg.to_radians().sin_cos();
    let (across, down) = (Point { x: cos, y: sin }, Point { x: -sin, y: cos });
    let along = |axis: Point, p: Point| axis.x * p.x + axis.y * p.y;
    let u = along(across, face.rect.center());
    let v = along(down, eyes) + MIDDLE * (along(down, mouth) - along(down, eyes));
    let center = Point { x: across.x * u + down.x * v, y: across.y * u + down.y * v };

    let scale = SIDE * face_scale / size as f32;
    let (a, b) = (scale * cos, scale * sin);
    let half = (size as f32 - 1.0) / 2.0;
    Similarity { a, b, tx: center.x - a * half + b * half, ty: center.y - b * half - a * half }
}

/// What the cuts for an encoder look like.
#[derive(Clone, Copy, Debug)]
pub struct CutFormat {
    /// Width and height in pixels.
    pub size: usize,
    /// Channels and normalisation.
    pub layout: Layout,
}

impl CutFormat {
    /// Planes, rows and columns of one cut.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        [self.layout.planes(), self.size, self.size]
    }

    /// Values in one cut.
    #[must_use]
    pub fn values(&self) -> usize {
        self.shape().iter().product()
    }
}

/// Cuts the face out of `image` into `out`, with `room` pixels more on each side than `format` has
/// (planes of `(format.size + 2 * room)` squared values), and says where in the full frame that lies.
pub fn cut(image: &Image, face: &FaceView, format: CutFormat, room: usize, out: &mut [f32]) -> Similarity {
    let frame = frame_from_cut(face, format.size).moved(-(room as f32), -(room as f32));
    let side = format.size + 2 * room;
    warp(image, picture_from_cut(image, frame), (side, side), Border::Nearest, format.layout, out);
    frame
}

/// The same map to `image`, which may be smaller than the full frame.
#[must_use]
pub fn picture_from_cut(image: &Image, frame_from_cut: Similarity) -> Similarity {
    let (tx, ty) = image.here_from_full(frame_from_cut.tx, frame_from_cut.ty);
    Similarity { a: frame_from_cut.a * image.scale, b: frame_from_cut.b * image.scale, tx, ty }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::CameraId;
    use crate::scene::{HeadPose, Landmarks, Rect};
    use crate::time::Timestamp;
    use proptest::prelude::*;

    fn face(landmarks: [(f32, f32); 5], rect: Rect, roll_deg: f32) -> FaceView {
        let landmarks: Landmarks = landmarks.map(|(x, y)| Point { x, y });
        FaceView {
            camera: CameraId(0),
            seq: 0,
            captured_at: Timestamp::default(),
            track: 1,
            rect,
            landmarks,
            score: 1.0,
            pose: HeadPose { roll_deg, ..HeadPose::default() },
            quality: 1.0,
        }
    }

    const FRONT: [(f32, f32); 5] = [(80.0, 100.0), (120.0, 100.0), (100.0, 120.0), (85.0, 142.0), (115.0, 142.0)];
    const BOX: Rect = Rect { x: 60.0, y: 70.0, w: 80.0, h: 100.0 };

    #[test]
    fn a_profile_is_cut_as_large_as_a_front() {
        // Both eyes on one spot, both mouth corners on another: 90 degrees of yaw.
        let profile = [(130.0, 100.0), (130.0, 100.0), (145.0, 120.0), (128.0, 142.0), (128.0, 142.0)];
        let front = frame_from_cut(&face(FRONT, BOX, 0.0), 64);
        let side = frame_from_cut(&face(profile, BOX, 0.0), 64);
        assert!((side.scale() / front.scale() - 1.0).abs() < 0.02, "{side:?} {front:?}");
        let (x, _) = side.apply(31.5, 31.5);
        assert!((x - 100.0).abs() < 0.1, "the cut is centred on the box, not on the eyes: {x}");
    }

    proptest! {
        #[test]
        fn a_leaning_head_is_cut_upright(roll in -60.0_f32..60.0) {
            let (sin, cos) = roll.to_radians().sin_cos();
            let c = BOX.center();
            let turned = FRONT.map(|(x, y)| {
                let (dx, dy) = (x - c.x, y - c.y);
                (c.x + cos * dx - sin * dy, c.y + sin * dx + cos * dy)
            });
            let cut = frame_from_cut(&face(turned, BOX, roll), 64);
            let upright = frame_from_cut(&face(FRONT, BOX, 0.0), 64);
            // Where the eyes lie in the cut does not depend on the lean.
            for (moved, at_rest) in turned.into_iter().zip(FRONT) {
                let (u, v) = cut.inverse().apply(moved.0, moved.1);
                let (u0, v0) = upright.inverse().apply(at_rest.0, at_rest.1);
                prop_assert!((u - u0).abs() < 0.1 && (v - v0).abs() < 0.1);
            }
        }
    }
}
