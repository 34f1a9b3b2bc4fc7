//! Whether the rig still is where it was when it was calibrated: landmarks of faces against their epipolar lines.
//!
//! Landmarks are a few pixels off, and not the same ones from all sides; the median over the last faces that two cameras
//! saw is 3 to 5 pixels with a true rig (of pictures 640 wide), and 9 to 13 when one camera was tilted by a degree. A
//! camera that was turned so that its points move along the lines shows in another pair alone, or not at all when all
//! cameras stand in one line.

use serde::Serialize;

use super::CalibratedCamera;
use super::geometry::Epipolar;
use super::verdict::Verdict;
use crate::frame::{CameraId, PerCamera};
use crate::scene::{Contribution, Scene};

/// Faces that a pair of cameras is judged by: the last ones.
const LAST: usize = 120;
/// Fewer say nothing.
const LEAST: usize = 30;
/// From views that are further apart than this, landmarks are not of the same places of a face.
const WIDEST_DEG: f32 = 70.0;
/// Medians up to which a rig is good, and up to which it is usable, pixels of a picture that is 640 wide.
const GOOD_PX: f32 = 6.0;
const USABLE_PX: f32 = 9.0;

/// What two cameras say of each other.
struct Pair {
    cameras: [CameraId; 2],
    epipolar: Epipolar,
    /// Pixels of the wider picture, were it 640 wide, by pixels.
    scale: f64,
    /// Distances of the last faces, in no order.
    last: Vec<f32>,
    seen: usize,
}

/// How far the faces are off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Drift {
    /// The cameras that agree least.
    #[serde(skip)]
    pub cameras: [CameraId; 2],
    /// The median distance of their landmarks from epipolar lines, pixels of a picture that is 640 wide.
    pub epipolar_px: f32,
    /// What is to be done.
    pub verdict: Verdict,
}

/// Watches a run.
pub struct DriftWatch {
    cameras: PerCamera<CalibratedCamera>,
    pairs: Vec<Pair>,
}

impl DriftWatch {
    /// For cameras of a run, in their order.
    #[must_use]
    pub fn new(cameras: &[CalibratedCamera]) -> Self {
        let pairs = (0..cameras.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
        let pair = |(a, b): (usize, usize)| Pair {
            cameras: [CameraId(a as u8), CameraId(b as u8)],
            epipolar: Epipolar::between(&cameras[a], &cameras[b]),
            scale: 640.0 / f64::from(cameras[a].size[0].max(cameras[b].size[0]).max(1)),
            last: Vec::with_capacity(LAST),
            seen: 0,
        };
        Self { pairs: pairs.map(pair).collect(), cameras: cameras.iter().cloned().collect() }
    }

    /// Takes one set's faces in.
    pub fn step(&mut self, scene: &Scene) {
        let Self { cameras, pairs } = self;
        for pair in pairs {
            // Where each of two cameras sees one face it is one person's, whatever the rig makes of it.
            let [only_a, only_b] = pair.cameras.map(|camera| only(scene, camera));
            if let (Some(a), Some(b)) = (only_a, only_b) {
                pair.add(cameras, scene, a, b);
                continue;
            }
            for person in &scene.people {
                let [a, b] = pair.cameras.map(|camera| person.views.iter().find(|view| view.face.camera == camera));
                if let (Some(a), Some(b)) = (a, b) {
                    pair.add(cameras, scene, a, b);
                }
            }
        }
    }

    /// How far the faces of the last while are off, by the pair of cameras that agrees least; `None` while there were
    /// too few that several cameras saw.
    #[must_use]
    pub fn drift(&self) -> Option<Drift> {
        let judged = self.pairs.iter().filter(|pair| pair.last.len() >= LEAST);
        let of_pairs = judged.map(|pair| (pair.cameras, median(&pair.last)));
        let (cameras, epipolar_px) = of_pairs.max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        let verdict = match epipolar_px {
            px if px <= GOOD_PX => Verdict::Good,
            px if px <= USABLE_PX => Verdict::Usable,
            _ => Verdict::CalibrateAgain,
        };
        Some(Drift { cameras, epipolar_px, verdict })
    }
}

impl Pair {
    fn add(&mut self, cameras: &[CalibratedCamera], scene: &Scene, a: &Contribution, b: &Contribution) {
        if (a.face.pose.yaw_deg - b.face.pose.yaw_deg).abs() > WIDEST_DEG {
            return;
        }
        let pixels = |view: &Contribution| {
            let n = view.face.camera.index();
            let frame = scene.frames.get(n)?.as_ref()?;
            let size = (frame.width.into(), frame.height.into());
            Some(view.face.landmarks.map(|at| cameras[n].own_pixel((at.x.into(), at.y.into()), size)))
        };
        let (Some(of_a), Some(of_b)) = (pixels(a), pixels(b)) else { return };
        let sum: f64 = of_a.into_iter().zip(of_b).map(|(a, b)| self.epipolar.distance_px(a, b)).sum();
        let mean = (sum / of_a.len() as f64 * self.scale).abs() as f32;
        if !mean.is_finite() {
            return;
        }
        match self.last.get_mut(self.seen % LAST) {
            Some(oldest) => *oldest = mean,
            None => self.last.push(mean),
        }
        self.seen += 1;
    }
}

/// The one face that a camera sees.
fn only(scene: &Scene, camera: CameraId) -> Option<&Contribution> {
    let mut faces = scene.people.iter().flat_map(|person| &person.views).filter(|view| view.face.camera == camera);
    faces.next().filter(|_| faces.next().is_none())
}

fn median(values: &[f32]) -> f32 {
    let mut sorted = values.to_vec();
    let (_, median, _) = sorted.select_nth_unstable_by(values.len() / 2, f32::total_cmp);
    *median
}

#[cfg(test)]
mod tests {
    use nalgebra::{Isometry3, Point3, Vector3};

    use super::*;
    use crate::frame::{Frame, PixelFormat};
    use crate::scene::{FaceView, FusedExpression, HeadPose, Point, Rect};
    use crate::time::Timestamp;

    /// Two cameras that look at one place from both sides.
    fn rig() -> Vec<CalibratedCamera> {
        let camera = |name: &str, x: f64, turn: f64| {
            let pose =
                Isometry3::new(Vector3::zeros(), Vector3::new(0.0, turn, 0.0)) * Isometry3::translation(-x, 0.0, 0.0);
            CalibratedCamera {
                name: name.to_owned(),
                size: [640, 360],
                matrix: [[600.0, 0.0, 320.0], [0.0, 600.0, 180.0], [0.0, 0.0, 1.0]],
                rotation: pose.rotation.scaled_axis().into(),
                translation: pose.translation.vector.into(),
                ..CalibratedCamera::default()
            }
        };
        vec![camera("left", -0.4, -0.38), camera("right", 0.4, 0.38)]
    }

    /// A head at `position` as the cameras see it, each of which may be told to be somebody else.
    fn scene(cameras: &[CalibratedCamera], position: Point3<f64>, people: [u32; 2]) -> Scene {
        let view = |n: usize| {
            let landmark = |dx: f64, dy: f64| {
                let [x, y] = cameras[n].project(&(position + Vector3::new(dx, dy, 0.0))).expect("before it");
                Point { x: x as f32, y: y as f32 }
            };
            let landmarks = [(-0.03, -0.03), (0.03, -0.03), (0.0, 0.0), (-0.02, 0.03), (0.02, 0.03)];
            Contribution {
                face: FaceView {
                    camera: CameraId(n as u8),
                    seq: 0,
                    captured_at: Timestamp::default(),
                    track: 1,
                    rect: Rect::default(),
                    landmarks: landmarks.map(|(dx, dy)| landmark(dx, dy)),
                    score: 1.0,
                    pose: HeadPose::default(),
                    quality: 1.0,
                },
                weight: 0.5,
                probabilities: [0.0; 7],
            }
        };
        let person = |id: u32| FusedExpression {
            person: id,
            probabilities: [0.0; 7],
            expression: None,
            confidence: 0.0,
            views: (0..2).filter(|n| people[*n] == id).map(view).collect(),
        };
        let frame = || Some(Frame::of_bytes(PixelFormat::Gray, 640, 360, Vec::new()));
        Scene {
            frames: (0..2).map(|_| frame()).collect(),
            people: [1, 2].into_iter().map(person).filter(|person| !person.views.is_empty()).collect(),
            ..Scene::default()
        }
    }

    fn watched(rig: &[CalibratedCamera], truth: &[CalibratedCamera], people: [u32; 2]) -> Option<Drift> {
        let mut watch = DriftWatch::new(rig);
        for n in 0..40 {
            let position = Point3::new(0.1 * f64::from(n).sin(), 0.05 * f64::from(n).cos(), 1.0);
            watch.step(&scene(truth, position, people));
        }
        watch.drift()
    }

    #[test]
    fn a_rig_is_good_where_it_was_calibrated_and_not_once_a_camera_was_moved() {
        let truth = rig();
        let drift = watched(&truth, &truth, [1, 1]).expect("faces were seen");
        assert!(drift.epipolar_px < 0.01 && drift.verdict == Verdict::Good, "{drift:?}");
        for (degrees, verdict) in [(0.7, Verdict::Usable), (1.5, Verdict::CalibrateAgain)] {
            let mut moved = rig();
            moved[1].rotation[0] += f64::to_radians(degrees);
            // Even if the moved camera's face is taken for somebody else's.
            for people in [[1, 1], [1, 2]] {
                let drift = watched(&moved, &truth, people).expect("faces were seen");
                assert_eq!(drift.verdict, verdict, "{drift:?}");
            }
        }
    }

    #[test]
    fn few_faces_say_nothing() {
        let truth = rig();
        let mut watch = DriftWatch::new(&truth);
        (0..LEAST - 1).for_each(|_| watch.step(&scene(&truth, Point3::new(0.0, 0.0, 1.0), [1, 1])));
        assert_eq!(watch.drift(), None);
    }
}
