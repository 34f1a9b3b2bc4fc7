//! What a take says of a set: which frames formed it, and whether it was looked at. A replay can follow it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::frame::{CameraId, FrameSet, PerCamera};
use crate::time::Timestamp;

/// One set, without its pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct SetNote {
    /// The set's number.
    pub number: u64,
    /// Its instant.
    pub at: Timestamp,
    /// The camera that gave the instant.
    pub reference: CameraId,
    /// The number of each camera's frame, or none where it has none in the set.
    pub seqs: PerCamera<Option<u64>>,
    /// Latest less earliest corrected capture time.
    pub skew: Duration,
    /// From the arrival of the reference frame until the set was emitted.
    pub waited: Duration,
    /// Whether it was looked at; else a newer one took its place.
    pub analysed: bool,
}

/// The same as a take holds it.
#[derive(Serialize, Deserialize)]
struct Json<'a> {
    set: u64,
    at_ns: i64,
    #[serde(borrow)]
    reference: std::borrow::Cow<'a, str>,
    frames: BTreeMap<std::borrow::Cow<'a, str>, u64>,
    skew_ns: u64,
    wait_ns: u64,
    analysed: bool,
}

impl SetNote {
    /// Of `set`.
    #[must_use]
    pub fn of(set: &FrameSet, analysed: bool) -> Self {
        Self {
            number: set.number,
            at: set.at,
            reference: set.reference,
            seqs: set.views.iter().map(|view| view.as_ref().map(|frame| frame.seq)).collect(),
            skew: set.skew,
            waited: set.waited,
            analysed,
        }
    }

    /// The frames that formed it.
    pub(super) fn frames(&self) -> impl Iterator<Item = (CameraId, u64)> {
        self.seqs.iter().enumerate().filter_map(|(n, seq)| Some((CameraId(n as u8), (*seq)?)))
    }

    /// As JSON, for cameras of these names.
    pub(super) fn to_json<'a>(&self, name: impl Fn(CameraId) -> &'a str) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Json {
            set: self.number,
            at_ns: self.at.ns(),
            reference: name(self.reference).into(),
            frames: self.frames().map(|(camera, seq)| (name(camera).into(), seq)).collect(),
            skew_ns: self.skew.as_nanos() as u64,
            wait_ns: self.waited.as_nanos() as u64,
            analysed: self.analysed,
        })
    }

    /// From JSON, for cameras of these names, in their order. `None` if it is no such thing.
    pub(super) fn of_json(text: &[u8], names: &[&str]) -> Option<Self> {
        let json: Json<'_> = serde_json::from_slice(text).ok()?;
        let camera = |name: &str| names.iter().position(|known| *known == name).map(|n| CameraId(n as u8));
        json.frames.keys().all(|name| camera(name).is_some()).then_some(())?;
        Some(Self {
            number: json.set,
            at: Timestamp::from_ns(json.at_ns),
            reference: camera(&json.reference)?,
            seqs: names.iter().map(|name| json.frames.get(*name).copied()).collect(),
            skew: Duration::from_nanos(json.skew_ns),
            waited: Duration::from_nanos(json.wait_ns),
            analysed: json.analysed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_comes_back_as_it_was() {
        let names = ["left", "middle", "right"];
        let note = SetNote {
            number: 17,
            at: Timestamp::from_ns(3_735_954_447_242),
            reference: CameraId(2),
            seqs: [Some(512), None, Some(509)].into_iter().collect(),
            skew: Duration::from_nanos(3_200_001),
            waited: Duration::from_nanos(4_000_003),
            analysed: false,
        };
        let json = note.to_json(|camera| names[camera.index()]).expect("JSON");
        assert_eq!(
            String::from_utf8_lossy(&json),
            r#"{"set":17,"at_ns":3735954447242,"reference":"right","frames":{"left":512,"right":509},"skew_ns":3200001,"wait_ns":4000003,"analysed":false}"#
        );
        assert_eq!(SetNote::of_json(&json, &names), Some(note));
        assert_eq!(SetNote::of_json(&json, &["left"]), None, "a camera that the take does not know");
        assert_eq!(SetNote::of_json(b"{}", &names), None);
    }
}
