//! How well the frames of a recording match.

use std::time::Duration;

use serde::Serialize;

use super::Spread;
use crate::config::Config;
use crate::frame::{CameraId, Frame, FrameBytes, PixelFormat};
use crate::record::{SetNote, TakenView};
use crate::sync::{Matcher, Timing, sets_in_turn};
use crate::time::Timestamp;

/// At most so many bars in a histogram.
const MOST_BINS: usize = 12;

/// The sets of a recording.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetsSurvey {
    /// Whether the run formed them; else they are those that a replay as fast as possible would form.
    pub recorded: bool,
    /// How many.
    pub formed: u64,
    /// Of these, those that were looked at.
    pub analysed: Option<u64>,
    /// Of these, those whose place a newer one took.
    pub stale: Option<u64>,
    /// How many have frames of no camera, of one, of two…
    pub by_views: Vec<u64>,
    /// Latest less earliest corrected capture time, of sets with two views or more.
    pub skew_ms: Option<Spread>,
    /// The same, as it is distributed.
    pub skew_bins: Option<Bins>,
    /// From the arrival of the reference frame until the set was emitted.
    pub wait_ms: Option<Spread>,
}

/// How values are distributed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bins {
    /// How wide a bin is; the first begins at 0.
    pub width_ms: f64,
    /// How many values are in each.
    pub counts: Vec<u64>,
}

impl SetsSurvey {
    /// `None` without sets.
    pub(super) fn of(sets: &[SetNote], cameras: usize, recorded: bool) -> Option<Self> {
        let formed = Some(sets.len() as u64).filter(|formed| *formed > 0)?;
        let mut by_views = vec![0; cameras + 1];
        let views = |set: &SetNote| set.seqs.iter().flatten().count();
        sets.iter().for_each(|set| by_views[views(set).min(cameras)] += 1);
        let skews: Vec<i64> = sets.iter().filter(|set| views(set) > 1).map(|set| ns(set.skew)).collect();
        let analysed = sets.iter().filter(|set| set.analysed).count() as u64;
        Some(Self {
            recorded,
            formed,
            analysed: recorded.then_some(analysed),
            stale: recorded.then_some(formed - analysed),
            by_views,
            skew_bins: Bins::of(&skews),
            skew_ms: Spread::of_ns(skews),
            wait_ms: Spread::of_ns(sets.iter().map(|set| ns(set.waited)).collect()),
        })
    }
}

impl Bins {
    fn of(values_ns: &[i64]) -> Option<Self> {
        let largest = values_ns.iter().copied().max()?;
        let decades = (0..).map(|decade| 10_i64.pow(decade) * 100_000).take(12);
        let mut widths = decades.flat_map(|decade| [decade, 2 * decade, 5 * decade]);
        let width = widths.find(|width| largest / width < MOST_BINS as i64)?;
        let mut counts = vec![0; (largest / width) as usize + 1];
        values_ns.iter().for_each(|value| counts[(value.max(&0) / width) as usize] += 1);
        Some(Self { width_ms: width as f64 / 1e6, counts })
    }
}

/// The sets that a replay as fast as possible would form of these frames.
pub(super) fn would_be(views: &[TakenView]) -> Vec<SetNote> {
    let timing = |view: &TakenView| Timing { period: view.camera.period, offset_ns: view.camera.offset_ns };
    let timings: Vec<Timing> = views.iter().map(timing).collect();
    let mut frames: Vec<(Timestamp, usize, usize)> = Vec::new();
    for (camera, view) in views.iter().enumerate() {
        frames.extend((0..view.frames.len()).filter_map(|n| Some((view.plays_at(n)?, camera, n))));
    }
    frames.sort_unstable();
    let allowance = Config::default().sync.transport_allowance();
    let Some(&(start, ..)) = frames.first() else { return Vec::new() };
    let matcher = Matcher::new(&timings, allowance, start);
    let frames = frames.into_iter().map(|(_, camera, n)| frame(&views[camera], camera, n));
    sets_in_turn(matcher, start, frames).map(|set| SetNote::of(&set, false)).collect()
}

/// A frame of which nothing but the times is known.
fn frame(view: &TakenView, camera: usize, n: usize) -> Frame {
    let taken = view.frames[n];
    Frame {
        camera: CameraId(camera as u8),
        seq: taken.seq,
        captured_at: taken.captured_at,
        received_at: view.plays_at(n).unwrap_or(taken.received_at),
        stamp: view.camera.stamp,
        format: PixelFormat::Gray,
        width: 0,
        height: 0,
        bytes: FrameBytes::detached(Vec::new()),
        file: None,
    }
}

fn ns(duration: Duration) -> i64 {
    duration.as_nanos() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_of_round_widths_and_hold_all_values() {
        let bins = Bins::of(&[0, 400_000, 2_300_000, 24_000_000]).expect("there are values");
        assert_eq!((bins.width_ms, &bins.counts[..2], bins.counts.len()), (5.0, &[3, 0][..], 5));
        assert_eq!(bins.counts.iter().sum::<u64>(), 4);
        assert_eq!(Bins::of(&[0]).map(|bins| bins.counts), Some(vec![1]));
        assert_eq!(Bins::of(&[]), None);
    }
}
