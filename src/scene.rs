//! What is known of one instant: faces, people, pictures, times. Plain data.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::frame::{CameraId, Frame, MAX_CAMERAS, PerCamera};
use crate::gpu::Traffic;
use crate::infer::Place;
use crate::time::{Spent, Timestamp};
use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

/// The seven classes, in the order that holds everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

/// Width and height of a face in [`FaceCuts`], pixels.
pub const CUT_SIDE: usize = 112;

/// The aligned faces of a set as pictures, cut as for the encoder: what a recording of faces alone keeps.
#[derive(Debug, Default)]
pub struct FaceCuts {
    /// Whose they are: camera and track.
    pub of: Vec<(CameraId, u32)>,
    /// Pixels of one after another, [`CUT_SIDE`] x [`CUT_SIDE`] x 3: blue, green, red.
    pub pixels: Vec<u8>,
}

impl FaceCuts {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.of.clear();
        self.pixels.clear();
    }

    /// Each face with its pixels.
    pub fn iter(&self) -> impl Iterator<Item = (CameraId, u32, &[u8])> {
        let pixels = self.pixels.chunks_exact(CUT_SIDE * CUT_SIDE * 3);
        self.of.iter().zip(pixels).map(|((camera, track), pixels)| (*camera, *track, pixels))
    }
}

impl Clone for FaceCuts {
    fn clone(&self) -> Self {
        Self { of: self.of.clone(), pixels: self.pixels.clone() }
    }

    fn clone_from(&mut self, other: &Self) {
        self.of.clone_from(&other.of);
        self.pixels.clone_from(&other.pixels);
    }
}

/// The middle of a face's landmarks.
#[must_use]
pub fn middle(landmarks: &Landmarks) -> Point {
    let mean = |of: fn(&Point) -> f32| landmarks.iter().map(of).sum::<f32>() / landmarks.len() as f32;
    Point { x: mean(|p| p.x), y: mean(|p| p.y) }
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

/// What the stages took over one set. Views are looked at side by side, and so are parts of the encoder's batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct StageTimes {
    /// From the camera's bytes to a picture.
    pub decode: Spent,
    /// Searching the whole picture for faces.
    pub detect: Spent,
    /// Following those that are known.
    pub track: Spent,
    /// Aligning and judging them.
    pub align: Spent,
    /// The encoder.
    pub encode: Spent,
    /// Associating, fusing, smoothing.
    pub fuse: Spent,
}

impl StageTimes {
    /// How many stages there are.
    pub const COUNT: usize = 6;

    /// All of them, in the order of the pipeline.
    #[must_use]
    pub fn all(&self) -> [Spent; Self::COUNT] {
        let Self { decode, detect, track, align, encode, fuse } = *self;
        [decode, detect, track, align, encode, fuse]
    }
}

/// All that is known of one frame set, and its pictures: what a viewer needs.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// The set's number.
    pub set: u64,
    /// The set's instant.
    pub at: Timestamp,
    /// The frame of each camera that took part, with the size that it turned out to have.
    pub frames: PerCamera<Option<Frame>>,
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
    /// What that time was spent on.
    pub stages: StageTimes,
    /// Where the encoder ran.
    pub place: Place,
    /// What went on with a GPU for this set.
    pub gpu: Traffic,
    /// Everybody that is or was just now there.
    pub people: Vec<FusedExpression>,
    /// Their faces as pictures; none unless they are asked for.
    pub cuts: FaceCuts,
}
