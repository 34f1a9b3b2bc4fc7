//! Where the heads are in the world, when the cameras' places are known: for the page's view in three dimensions.

use nalgebra::{Point3, Unit, Vector3};
use serde::Serialize;

use crate::face::placed::Placed;
use crate::rig::CalibratedCamera;
use crate::rig::geometry::{Ray, meeting_point};
use crate::scene::{FaceView, FusedExpression, Scene};

/// A head in the world.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Head {
    set: u64,
    person: u32,
    /// The middle of the landmarks, metres.
    position_m: [f64; 3],
    /// Where the face points, a unit vector.
    forward: [f64; 3],
}

/// The heads of all people whom at least two calibrated cameras see. `rig` has one entry a view of the run.
pub(super) fn heads(scene: &Scene, rig: &[CalibratedCamera]) -> Vec<Head> {
    scene.people.iter().filter_map(|person| head(scene, person, rig)).collect()
}

fn head(scene: &Scene, person: &FusedExpression, rig: &[CalibratedCamera]) -> Option<Head> {
    let mut rays = Vec::with_capacity(person.views.len());
    let mut forward = Vector3::zeros();
    for view in &person.views {
        let n = view.face.camera.index();
        let (Some(camera), Some(Some(frame))) = (rig.get(n), scene.frames.get(n)) else { continue };
        let ray = Placed::of(&view.face, camera, (frame.width.into(), frame.height.into())).ray;
        forward += facing(&view.face, camera, &ray) * f64::from(view.weight);
        rays.push(ray);
    }
    let position = meeting_point(&rays)?;
    let forward = Unit::try_new(forward, 1e-9)?;
    Some(Head {
        set: scene.set,
        person: person.person,
        position_m: coordinates(position),
        forward: forward.into_inner().into(),
    })
}

fn coordinates(point: Point3<f64>) -> [f64; 3] {
    point.coords.into()
}

/// Where a face points in the world. Its angles are relative to the line of sight, since a head at the picture's edge
/// that looks at the camera has yaw zero.
fn facing(face: &FaceView, camera: &CalibratedCamera, ray: &Ray) -> Vector3<f64> {
    let world_from_camera = camera.rotation_from_world().inverse();
    let away = ray.direction.into_inner();
    let right = world_from_camera * Vector3::x();
    let right = (right - away * away.dot(&right)).normalize();
    let down = away.cross(&right);
    let (yaw, pitch) = (f64::from(face.pose.yaw_deg).to_radians(), f64::from(face.pose.pitch_deg).to_radians());
    right * (yaw.sin() * pitch.cos()) - down * pitch.sin() - away * (yaw.cos() * pitch.cos())
}
