//! The messages of a take in Foxglove's schemas: pictures, what was found in them, and how the cameras see.

use foxglove::bytes::Bytes;
use foxglove::messages::points_annotation::Type;
use foxglove::messages::{
    CameraCalibration, Color, CompressedImage, ImageAnnotations, Point2, PointsAnnotation, TextAnnotation,
    Timestamp as Stamp,
};

use super::told::{Seen, Told};
use crate::frame::CameraId;
use crate::rig::CalibratedCamera;
use crate::scene::{Contribution, Expression, FusedExpression, Point, Rect};
use crate::time::Timestamp;

/// How thick lines are drawn and how large labels are written, pixels of the full frame.
const LINE: f64 = 2.0;
const LETTERS: f64 = 16.0;

const LIGHT: Color = Color { r: 0.95, g: 0.95, b: 0.95, a: 1.0 };
const DARK: Color = Color { r: 0.0, g: 0.0, b: 0.0, a: 0.6 };

/// A JPEG picture.
pub(super) fn image(at: Timestamp, frame_id: String, data: Bytes) -> CompressedImage {
    CompressedImage { timestamp: stamp(at), frame_id, data, format: "jpeg".to_owned() }
}

/// The faces that `camera` saw in a set: boxes, landmarks, and what was read of whom.
pub(super) fn annotations(told: &Told, camera: CameraId, seen: Seen) -> ImageAnnotations {
    let timestamp = stamp(seen.captured_at);
    let mut drawn = ImageAnnotations { timestamp, ..ImageAnnotations::default() };
    let faces = told.people.iter().flat_map(|person| person.views.iter().map(move |view| (person, view)));
    for (person, view) in faces.filter(|(_, view)| view.face.camera == camera) {
        let Rect { x, y, w, h } = view.face.rect;
        let corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)].map(|(x, y)| Point { x, y });
        drawn.points.push(points(timestamp, Type::LineLoop, &corners));
        drawn.points.push(points(timestamp, Type::Points, &view.face.landmarks));
        drawn.texts.push(TextAnnotation {
            timestamp,
            position: Some(point(corners[3])),
            text: label(person, view),
            font_size: LETTERS,
            text_color: Some(LIGHT),
            background_color: Some(DARK),
            ..TextAnnotation::default()
        });
    }
    drawn
}

/// Whose face it is, what all views say of it, and with which share this one.
fn label(person: &FusedExpression, view: &Contribution) -> String {
    let expression = person.expression.map_or("unsure", Expression::name);
    format!("{} {expression} {:.2} ({:.0} %)", person.person, person.confidence, view.weight * 100.0)
}

/// How a camera of the rig sees: OpenCV's model, at the size that it was calibrated for.
pub(super) fn calibration(at: Timestamp, camera: &CalibratedCamera) -> CameraCalibration {
    let [row_x, row_y, row_z] = camera.matrix;
    CameraCalibration {
        timestamp: stamp(at),
        frame_id: camera.name.clone(),
        width: camera.size[0],
        height: camera.size[1],
        distortion_model: "plumb_bob".to_owned(),
        d: camera.distortions.to_vec(),
        k: camera.matrix.concat(),
        // Pictures are as they came, not rectified.
        r: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].concat(),
        p: [row_x, row_y, row_z].iter().flat_map(|row| row.iter().copied().chain([0.0])).collect(),
    }
}

fn points(timestamp: Option<Stamp>, kind: Type, points: &[Point]) -> PointsAnnotation {
    PointsAnnotation {
        timestamp,
        r#type: kind.into(),
        points: points.iter().copied().map(point).collect(),
        outline_color: Some(LIGHT),
        fill_color: (kind == Type::Points).then_some(LIGHT),
        thickness: LINE,
        ..PointsAnnotation::default()
    }
}

/// Foxglove's pixel centres are at halves.
fn point(point: Point) -> Point2 {
    Point2 { x: f64::from(point.x) + 0.5, y: f64::from(point.y) + 0.5 }
}

/// None of times that Foxglove's cannot hold.
fn stamp(at: Timestamp) -> Option<Stamp> {
    let ns = u64::try_from(at.ns()).ok()?;
    Stamp::new_checked(u32::try_from(ns / 1_000_000_000).ok()?, (ns % 1_000_000_000) as u32)
}
