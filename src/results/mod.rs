//! The result record (`docs/reference/results.md`): a header, then a line a person and frame set.

mod line;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};

use crate::frame::{Frame, StampKind};
use crate::scene::{Contribution, Expression, FusedExpression, PerClass, Rect, Scene};

pub use line::{Line, LineView, per_class};

/// The first line of results: what ran.
#[derive(Clone, Debug, Serialize)]
pub struct Header {
    /// This program's version.
    pub vultus: &'static str,
    /// What ran the encoder.
    pub runtime: &'static str,
    /// Where the encoder ran.
    pub device: &'static str,
    /// Why there.
    pub device_reason: String,
    /// Name and sha256 of each model.
    pub models: BTreeMap<String, String>,
    /// Names of the views.
    pub cameras: Vec<Arc<str>>,
    /// The calibrated rig's file.
    pub rig: Option<PathBuf>,
    /// What tells who is who across views; nothing with one camera.
    pub identity: Option<Identity>,
    /// What the cameras' stamps rest on.
    pub clock: Clock,
}

/// What people are known by across views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// By where they are, as a calibrated rig tells; looks decide in doubt.
    Geometry,
    /// By their looks alone.
    Appearance,
}

/// What the stamps of all cameras rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// Every camera's driver stamps its exposures.
    Device,
    /// At least one camera's frames are stamped on arrival.
    Arrival,
}

impl Clock {
    /// What stamps of these kinds make together.
    #[must_use]
    pub fn of(stamps: impl IntoIterator<Item = StampKind>) -> Self {
        if stamps.into_iter().all(|stamp| stamp == StampKind::Device) { Self::Device } else { Self::Arrival }
    }
}

impl Scene {
    /// Writes the scene's records, one line a person or one for an empty set.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn write_records(&self, cameras: &[Arc<str>], out: &mut impl io::Write) -> io::Result<()> {
        let mut line = |person| {
            serde_json::to_writer(&mut *out, &Record { scene: self, person, cameras })?;
            out.write_all(b"\n")
        };
        if self.people.is_empty() {
            return line(None);
        }
        self.people.iter().try_for_each(|person| line(Some(person)))
    }
}

/// One line of results.
struct Record<'a> {
    scene: &'a Scene,
    person: Option<&'a FusedExpression>,
    cameras: &'a [Arc<str>],
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let scene = self.scene;
        let mut row = serializer.serialize_struct("Record", 13)?;
        row.serialize_field("set", &scene.set)?;
        row.serialize_field("at_ns", &scene.at)?;
        row.serialize_field("frames", &Frames { frames: &scene.frames, cameras: self.cameras })?;
        if let Some(file) = &scene.file {
            row.serialize_field("file", &**file)?;
        }
        row.serialize_field("person", &self.person.map(|person| person.person))?;
        if let Some(person) = self.person {
            row.serialize_field("expression", person.expression.map_or("unsure", Expression::name))?;
            row.serialize_field("confidence", &Rounded::<4>(person.confidence.into()))?;
            row.serialize_field("probabilities", &Classes(&person.probabilities))?;
        } else {
            row.serialize_field("expression", &None::<&str>)?;
        }
        row.serialize_field("skew_ms", &Rounded::<3>(scene.skew.as_secs_f64() * 1e3))?;
        row.serialize_field("wait_ms", &Rounded::<3>(scene.waited.as_secs_f64() * 1e3))?;
        row.serialize_field("latency_ms", &Rounded::<3>(scene.latency.as_secs_f64() * 1e3))?;
        row.serialize_field("age_ms", &Rounded::<3>(scene.age_ms))?;
        let views = self.person.map_or(&[][..], |person| &person.views);
        row.serialize_field("views", &Views { views, cameras: self.cameras })?;
        row.end()
    }
}

struct Frames<'a> {
    frames: &'a [Option<Frame>],
    cameras: &'a [Arc<str>],
}

impl Serialize for Frames<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, frame) in self.cameras.iter().zip(self.frames) {
            if let Some(frame) = frame {
                map.serialize_entry(&**name, &frame.seq)?;
            }
        }
        map.end()
    }
}

struct Classes<'a>(&'a PerClass);

impl Serialize for Classes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entries = Expression::ALL.iter().zip(self.0);
        serializer.collect_map(entries.map(|(class, p)| (class.name(), Rounded::<4>((*p).into()))))
    }
}

struct Views<'a> {
    views: &'a [Contribution],
    cameras: &'a [Arc<str>],
}

impl Serialize for Views<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.views.len()))?;
        for view in self.views {
            seq.serialize_element(&View { view, cameras: self.cameras })?;
        }
        seq.end()
    }
}

struct View<'a> {
    view: &'a Contribution,
    cameras: &'a [Arc<str>],
}

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Contribution { face, weight, probabilities } = self.view;
        let px = |value: f32| Rounded::<2>(value.into());
        let Rect { x, y, w, h } = face.rect;
        let mut view = serializer.serialize_struct("View", 9)?;
        view.serialize_field("camera", self.cameras.get(face.camera.index()).map_or("?", |name| name))?;
        view.serialize_field("seq", &face.seq)?;
        view.serialize_field("captured_ns", &face.captured_at)?;
        view.serialize_field("box", &[px(x), px(y), px(w), px(h)])?;
        view.serialize_field("landmarks", &face.landmarks.map(|point| [px(point.x), px(point.y)]))?;
        view.serialize_field("yaw_deg", &Rounded::<1>(face.pose.yaw_deg.into()))?;
        view.serialize_field("quality", &Rounded::<3>(face.quality.into()))?;
        view.serialize_field("weight", &Rounded::<4>((*weight).into()))?;
        view.serialize_field("probabilities", &Classes(probabilities))?;
        view.end()
    }
}

/// A number written with at most `DIGITS` digits behind the point.
struct Rounded<const DIGITS: i32>(f64);

impl<const DIGITS: i32> Serialize for Rounded<DIGITS> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let scale = 10_f64.powi(DIGITS);
        // Adding zero turns -0.0 into 0.0.
        serializer.serialize_f64((self.0 * scale).round() / scale + 0.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::frame::{CameraId, PixelFormat};
    use crate::scene::{FaceView, HeadPose, Point};
    use crate::time::Timestamp;

    fn frame(seq: u64) -> Frame {
        Frame { seq, ..Frame::of_bytes(PixelFormat::Gray, 1, 1, vec![0]) }
    }

    fn names() -> Vec<Arc<str>> {
        vec!["left".into(), "middle".into(), "right".into()]
    }

    fn scene() -> Scene {
        Scene {
            set: 17,
            at: Timestamp::from_ns(3_735_954_447_242),
            frames: [Some(frame(512)), None, Some(frame(509))].into_iter().collect(),
            skew: Duration::from_micros(3_200),
            waited: Duration::from_millis(4),
            latency: Duration::from_micros(11_400),
            age_ms: 48.9,
            ..Scene::default()
        }
    }

    fn written(scene: &Scene) -> String {
        let mut out = Vec::new();
        scene.write_records(&names(), &mut out).expect("a Vec takes everything");
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn an_empty_set_says_so_in_one_line() {
        assert_eq!(
            written(&scene()),
            "{\"set\":17,\"at_ns\":3735954447242,\"frames\":{\"left\":512,\"right\":509},\"person\":null,\
             \"expression\":null,\"skew_ms\":3.2,\"wait_ms\":4.0,\"latency_ms\":11.4,\"age_ms\":48.9,\"views\":[]}\n"
        );
    }

    #[test]
    fn a_person_is_written_as_documented() {
        let mut scene = scene();
        let probabilities = [0.01, 0.01, 0.02, 0.81, 0.03, 0.02, 0.10];
        let face = FaceView {
            camera: CameraId(0),
            seq: 512,
            captured_at: scene.at,
            track: 3,
            rect: Rect { x: 296.9, y: 112.8, w: 94.4, h: 143.6 },
            landmarks: [(351.2, 165.6), (368.5, 165.8), (390.9, 189.9), (351.3, 221.2), (366.1, 217.0)]
                .map(|(x, y)| Point { x, y }),
            score: 0.9,
            pose: HeadPose { yaw_deg: -31.0, ..HeadPose::default() },
            quality: 0.7,
        };
        let view = Contribution { face, weight: 0.4, probabilities };
        scene.people.push(FusedExpression {
            person: 1,
            probabilities,
            expression: Some(Expression::Happy),
            confidence: 0.81,
            views: [view].into_iter().collect(),
        });
        let classes = "{\"angry\":0.01,\"disgusted\":0.01,\"afraid\":0.02,\"happy\":0.81,\"sad\":0.03,\
                       \"surprised\":0.02,\"neutral\":0.1}";
        assert_eq!(
            written(&scene),
            format!(
                "{{\"set\":17,\"at_ns\":3735954447242,\"frames\":{{\"left\":512,\"right\":509}},\"person\":1,\
                 \"expression\":\"happy\",\"confidence\":0.81,\"probabilities\":{classes},\"skew_ms\":3.2,\
                 \"wait_ms\":4.0,\"latency_ms\":11.4,\"age_ms\":48.9,\"views\":[{{\"camera\":\"left\",\"seq\":512,\
                 \"captured_ns\":3735954447242,\"box\":[296.9,112.8,94.4,143.6],\"landmarks\":[[351.2,165.6],\
                 [368.5,165.8],[390.9,189.9],[351.3,221.2],[366.1,217.0]],\"yaw_deg\":-31.0,\"quality\":0.7,\
                 \"weight\":0.4,\"probabilities\":{classes}}}]}}\n"
            )
        );
        let line: Line = serde_json::from_str(&written(&scene)).expect("a record can be read back");
        assert_eq!((line.set, line.person, line.expression.as_deref()), (17, Some(1), Some("happy")));
        assert_eq!(per_class(&line.views[0].probabilities)[3], Some(0.81));
        scene.people[0].expression = None;
        assert!(written(&scene).contains("\"expression\":\"unsure\""));
    }
}
