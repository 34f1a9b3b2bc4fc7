//! What the program says of one instant: faces, people, and the result record (`docs/reference/results.md`).

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};

use crate::frame::{CameraId, MAX_CAMERAS, PerCamera};
use crate::time::Timestamp;

/// The seven classes, in the order that holds everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Expression {
    Angry,
    Disgusted,
    Afraid,
    Happy,
    Sad,
    Surprised,
    Neutral,
}

impl Expression {
    /// How many there are.
    pub const COUNT: usize = 7;

    /// All of them, in order.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Angry, Self::Disgusted, Self::Afraid, Self::Happy, Self::Sad, Self::Surprised, Self::Neutral];

    /// The name in records and configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Angry => "angry",
            Self::Disgusted => "disgusted",
            Self::Afraid => "afraid",
            Self::Happy => "happy",
            Self::Sad => "sad",
            Self::Surprised => "surprised",
            Self::Neutral => "neutral",
        }
    }

    /// The most probable class, the first of equals.
    #[must_use]
    pub fn most_probable(probabilities: &Probabilities) -> Self {
        let mut best = Self::Angry;
        for class in Self::ALL {
            if probabilities[class as usize] > probabilities[best as usize] {
                best = class;
            }
        }
        best
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One value a class, in the order of [`Expression::ALL`].
pub type PerClass = [f32; Expression::COUNT];
/// Class probabilities; they sum to 1.
pub type Probabilities = PerClass;
/// Class scores before the softmax, up to a constant.
pub type Logits = PerClass;

/// A point in pixels of the full frame, pixel centres at integers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Point {
    pub x: f32,
    pub y: f32,
}

impl Point {
    /// The point half way between two.
    #[must_use]
    pub fn midpoint(self, other: Self) -> Self {
        Self { x: (self.x + other.x) / 2.0, y: (self.y + other.y) / 2.0 }
    }

    /// Distance in pixels.
    #[must_use]
    pub fn distance(self, other: Self) -> f32 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

/// Right eye, left eye, nose tip, right mouth corner, left mouth corner; right and left are the subject's.
pub type Landmarks = [Point; 5];

/// An upright rectangle in pixels of the full frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Rect {
    pub x: f32,
    pub y: f32,
    pub w: f32,
    pub h: f32,
}

impl Rect {
    /// The middle.
    #[must_use]
    pub fn center(&self) -> Point {
        Point { x: self.x + self.w / 2.0, y: self.y + self.h / 2.0 }
    }

    /// Intersection over union, 0 to 1.
    #[must_use]
    pub fn iou(&self, other: &Self) -> f32 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        if w <= 0.0 || h <= 0.0 {
            return 0.0;
        }
        w * h / (self.w * self.h + other.w * other.h - w * h)
    }

    /// The same rectangle elsewhere.
    #[must_use]
    pub fn shifted(self, dx: f32, dy: f32) -> Self {
        Self { x: self.x + dx, y: self.y + dy, ..self }
    }
}

/// Where a head points, in degrees of the camera's frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HeadPose {
    /// Positive: the nose points to the image's right.
    pub yaw_deg: f32,
    /// Positive: the face points up in the image.
    pub pitch_deg: f32,
    /// Positive: the head leans clockwise as the image shows it.
    pub roll_deg: f32,
}

/// A face in one view.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaceView {
    /// Which camera saw it.
    pub camera: CameraId,
    /// The frame's sequence number.
    pub seq: u64,
    /// When the frame was taken.
    pub captured_at: Timestamp,
    /// The face's track in this view; ids are never used twice.
    pub track: u32,
    /// Where it is.
    pub rect: Rect,
    /// Its five landmarks.
    pub landmarks: Landmarks,
    /// The detector's confidence, 0 to 1.
    pub score: f32,
    /// Where the head points.
    pub pose: HeadPose,
    /// How much the view can tell, 0 to 1.
    pub quality: f32,
}

/// A view's part in a person's result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution {
    /// The face as this view saw it.
    pub face: FaceView,
    /// Its share in the fusion; a person's weights sum to 1.
    pub weight: f32,
    /// What this view alone says.
    pub probabilities: Probabilities,
}

/// The result for one person at one instant.
#[derive(Clone, Debug)]
pub struct FusedExpression {
    /// The person's id, the same over time.
    pub person: u32,
    /// Fused over the views, then smoothed.
    pub probabilities: Probabilities,
    /// The class, or `None` for an abstention (*unsure*).
    pub expression: Option<Expression>,
    /// Probability of the most probable class.
    pub confidence: f32,
    /// Who said so: one entry a view that saw the person.
    pub views: ArrayVec<Contribution, MAX_CAMERAS>,
}

/// All that is known of one frame set.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// The set's number.
    pub set: u64,
    /// The set's instant.
    pub at: Timestamp,
    /// The frame of each camera that took part.
    pub frames: PerCamera<Option<u64>>,
    /// Of stills: the picture's file.
    pub file: Option<Arc<str>>,
    /// Spread of the capture times in the set.
    pub skew: Duration,
    /// From the reference frame's arrival until the set was emitted.
    pub waited: Duration,
    /// From the set's emission until this result was published.
    pub latency: Duration,
    /// From the reference frame's capture until this result was published, milliseconds.
    pub age_ms: f64,
    /// Everybody that is or was just now there.
    pub people: Vec<FusedExpression>,
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
        row.serialize_field("frames", &Frames { seqs: &scene.frames, cameras: self.cameras })?;
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
    seqs: &'a [Option<u64>],
    cameras: &'a [Arc<str>],
}

impl Serialize for Frames<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, seq) in self.cameras.iter().zip(self.seqs) {
            if let Some(seq) = seq {
                map.serialize_entry(&**name, seq)?;
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
    use super::*;

    fn names() -> Vec<Arc<str>> {
        vec!["left".into(), "middle".into(), "right".into()]
    }

    fn scene() -> Scene {
        Scene {
            set: 17,
            at: Timestamp::from_ns(3_735_954_447_242),
            frames: [Some(512), None, Some(509)].into_iter().collect(),
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
        scene.people[0].expression = None;
        assert!(written(&scene).contains("\"expression\":\"unsure\""));
    }
}
