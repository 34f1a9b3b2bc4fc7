//! Drawn faces for tests.

use super::faces::tests::{face as plain, faces_of};
use super::faces::{Crop, Face, Faces};
use super::regions::Regions;
use crate::scene::{Expression, Point};

/// A face of 128 pixels with 32 pixels of room around it: darker than its surroundings by `shade`, with eyes, a nose
/// and a mouth that is `open` pixels high.
pub fn crop(shade: u8, open: f32) -> Crop {
    let (side, middle) = (192, 95.5);
    let mut crop = Crop {
        width: side,
        height: side,
        gray: vec![0; side * side],
        middle: (middle, middle),
        span: 128.0,
        landmarks: None,
    };
    let landmarks = Regions::of(&crop).landmarks;
    let [right_eye, left_eye, nose, right_mouth, left_mouth] = landmarks;
    let mouth = right_mouth.midpoint(left_mouth);
    // From the face to what lies on it: middle, halves across and down, brightness.
    let parts = [
        (Point { x: middle, y: middle + 4.0 }, 52.0, 68.0, 200 - shade),
        (right_eye, 9.0, 5.0, 40),
        (left_eye, 9.0, 5.0, 40),
        (nose, 5.0, 4.0, 150 - shade),
        (mouth, right_mouth.distance(left_mouth) / 2.0, open, 60),
    ];
    for (n, gray) in crop.gray.iter_mut().enumerate() {
        let (x, y) = ((n % side) as f32, (n / side) as f32);
        let is_in = |(p, across, down, _): &&(Point, f32, f32, u8)| {
            ((x - p.x) / across).powi(2) + ((y - p.y) / down).powi(2) <= 1.0
        };
        *gray = parts.iter().rfind(is_in).map_or(100 + (n % side / 8) as u8, |(.., value)| *value);
    }
    Crop { landmarks: Some(landmarks), ..crop }
}

/// A face of `subject` at the instant `scene`, seen from `view`, 15 degrees a view.
pub fn face(subject: usize, scene: usize, view: usize, expression: Option<Expression>) -> Face {
    let open = expression.map_or(3.0, |expression| 3.0 + 2.0 * expression as usize as f32);
    Face {
        subject: Some(subject),
        scene,
        view,
        expression,
        yaw_deg: Some(15.0 * view as f32),
        crop: crop(20 * (subject % 4) as u8, open),
        ..plain(scene)
    }
}

/// `subjects` people with all expressions from `views` sides, as KDEF has them.
pub fn stills(subjects: usize, views: usize) -> Faces {
    let scene = |subject: usize, class: usize| subject * Expression::COUNT + class;
    let of = |subject: usize| {
        Expression::ALL.into_iter().flat_map(move |expression| {
            (0..views).map(move |view| face(subject, scene(subject, expression as usize), view, Some(expression)))
        })
    };
    faces_of((0..subjects).flat_map(of).collect())
}

/// `cameras` clips of one person each second of which has `rate` pictures, without labels.
pub fn clips(cameras: usize, seconds: usize, rate: usize) -> Faces {
    let at = |n: usize| {
        (0..cameras).map(move |view| Face {
            time_s: Some(n as f64 / rate as f64),
            source: format!("take#{view}/{n}").into(),
            ..face(0, n, view, None)
        })
    };
    faces_of((0..seconds * rate).flat_map(at).collect())
}
