//! How regular a camera is, and what is missing of it.

use std::collections::HashSet;

use serde::Serialize;

use super::{Spread, rounded};
use crate::frame::StampKind;
use crate::record::{SetNote, TakenFrame, TakenView};

/// One camera.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CameraSurvey {
    /// The view's name.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// How its frames came, such as MJPEG; unknown without frames.
    pub format: Option<String>,
    /// What its stamps rest on.
    pub stamps: StampKind,
    /// How much later than the truth its stamps are. The recorded times are as they came.
    pub offset_ms: f64,
    /// Frames that are there.
    pub frames: u64,
    /// Faces, where they are recorded instead of whole pictures.
    pub faces: u64,
    /// Frames a second as they should be.
    pub nominal_fps: f64,
    /// Frames a second as they arrived, over the whole recording.
    pub mean_fps: Option<f64>,
    /// Between the exposures of two frames.
    pub interval_ms: Option<Spread>,
    /// From exposure to arrival.
    pub transport_ms: Option<Spread>,
    /// Frames that were counted by the camera, but never came.
    pub never_came: u64,
    /// Frames that came, but are not in the recording.
    pub not_recorded: u64,
    /// Times that nothing came for more than one and a half periods: longer intervals than that.
    pub gaps: u64,
    /// The longest of them.
    pub longest_gap_ms: Option<f64>,
    /// Frames that are in no set.
    pub in_no_set: u64,
    /// Times that its clock stood or went back from one frame to the next.
    pub clock_back: u64,
    /// Times that the clock of arrivals did.
    pub arrivals_back: u64,
    /// What its pictures take.
    pub bytes: u64,
}

impl CameraSurvey {
    /// Of the camera that is the `n`-th in `sets`.
    pub(super) fn of(view: &TakenView, n: usize, sets: &[SetNote], bytes: u64) -> Self {
        let frames = &view.frames;
        let pairs = || frames.windows(2).map(|pair| (pair[0], pair[1]));
        let intervals = || pairs().map(|(earlier, later)| later.captured_at - earlier.captured_at);
        let longest = view.camera.period.as_nanos() as i64 * 3 / 2;
        let gaps = || intervals().filter(|interval| *interval > longest);
        let in_sets: HashSet<u64> = sets.iter().filter_map(|set| *set.seqs.get(n)?).collect();
        let skipped = |(earlier, later): (TakenFrame, TakenFrame)| later.seq.saturating_sub(earlier.seq + 1);
        let not_recorded = view.gaps.iter().map(|gap| gap.frames).sum::<u64>();
        let from_to = frames.first().zip(frames.last()).map(|(first, last)| last.received_at - first.received_at);
        let mean_fps = from_to.filter(|ns| *ns > 0).map(|ns| (frames.len() - 1) as f64 * 1e9 / ns as f64);
        Self {
            name: view.camera.name.to_string(),
            description: view.camera.description.clone(),
            format: view.format.clone(),
            stamps: view.camera.stamp,
            offset_ms: rounded(view.camera.offset_ns as f64 / 1e6),
            frames: frames.len() as u64,
            faces: view.faces.len() as u64,
            nominal_fps: rounded(1.0 / view.camera.period.as_secs_f64().max(1e-9)),
            mean_fps: mean_fps.map(rounded),
            interval_ms: Spread::of_ns(intervals().filter(|interval| *interval > 0).collect()),
            transport_ms: Spread::of_ns(frames.iter().map(|frame| frame.received_at - frame.captured_at).collect()),
            // A frame that is not recorded leaves a gap in the numbers too.
            never_came: pairs().map(skipped).sum::<u64>().saturating_sub(not_recorded),
            not_recorded,
            gaps: gaps().count() as u64,
            longest_gap_ms: gaps().max().map(|gap| rounded(gap as f64 / 1e6)),
            in_no_set: frames.iter().filter(|frame| !in_sets.contains(&frame.seq)).count() as u64,
            clock_back: intervals().filter(|interval| *interval <= 0).count() as u64,
            arrivals_back: view.clock_resets,
            bytes,
        }
    }
}
