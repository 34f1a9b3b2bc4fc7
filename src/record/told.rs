//! What the run tells the recorder of a set that was looked at. Its memory is used again and again.

use crate::frame::{CameraId, Frame, PerCamera};
use crate::scene::{FaceCuts, FusedExpression, Scene};
use crate::time::Timestamp;

/// When a frame was taken and arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub seq: u64,
    pub captured_at: Timestamp,
    pub received_at: Timestamp,
}

impl Seen {
    pub(super) fn of(frame: &Frame) -> Self {
        Self { seq: frame.seq, captured_at: frame.captured_at, received_at: frame.received_at }
    }
}

/// One set's results.
#[derive(Default)]
pub(crate) struct Told {
    pub(super) at: Timestamp,
    /// The result records, one a line.
    pub(super) records: Vec<u8>,
    /// The frame of each camera that took part.
    pub(super) frames: PerCamera<Option<Seen>>,
    pub(super) people: Vec<FusedExpression>,
    /// The faces themselves, if they are to be recorded.
    pub(super) cuts: FaceCuts,
}

impl Told {
    /// Takes over what `scene` says, and its `records`.
    pub(super) fn fill(&mut self, scene: &Scene, records: &[u8]) {
        self.at = scene.at;
        self.records.clear();
        self.records.extend_from_slice(records);
        self.frames = scene.frames.iter().map(|frame| frame.as_ref().map(Seen::of)).collect();
        self.people.clone_from(&scene.people);
        self.cuts.clone_from(&scene.cuts);
    }

    /// How many records there are.
    pub(super) fn record_count(&self) -> u64 {
        self.lines().count() as u64
    }

    /// The records, one by one.
    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.records.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
    }

    /// The frames that took part, with their cameras.
    pub(super) fn seen(&self) -> impl Iterator<Item = (CameraId, Seen)> {
        self.frames.iter().enumerate().filter_map(|(n, seen)| Some((CameraId(n as u8), (*seen)?)))
    }

    /// Whose face a track in a view is.
    pub(super) fn person_of(&self, camera: CameraId, track: u32) -> Option<u32> {
        let is_it = |person: &&FusedExpression| {
            person.views.iter().any(|view| view.face.camera == camera && view.face.track == track)
        };
        self.people.iter().find(is_it).map(|person| person.person)
    }
}
