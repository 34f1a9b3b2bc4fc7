//! How far the cameras' clocks are apart, from a light that all of them see change.
//!
//! A camera sees that the light has changed between two of its frames, so each change bounds the time on its clock. Where
//! the times of the changes are known (a page that flashes notes them) the bounds of all changes together leave little
//! more than a millisecond of the camera's offset to that light, for every exposure time that fits. Without them only
//! cameras can be compared: every bound has the form `o_a - o_b <= w`, chains of cameras tighten each other (shortest
//! paths, Floyd and Warshall), and half of what is left between the lower and the upper bound is the error.

use serde::Serialize;

/// Fewer changes tell too little.
pub const LEAST_CHANGES: usize = 6;
/// Clocks are sought this far apart.
const FURTHEST_NS: i64 = 500_000_000;
/// A change is at least this share of the largest one ...
const LEAST_SHARE: f64 = 0.15;
/// ... and this many levels of 255.
const LEAST_LEVELS: f64 = 2.0;
/// Exposure times that are tried, at most: no webcam's frame takes longer.
const LONGEST_EXPOSURE_MS: i64 = 70;
/// How well a partly exposed frame tells where in its exposure the light changed.
const WITHIN_EXPOSURE_NS: i64 = 600_000;

/// Brightness over time, as one camera sees it.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Time on the camera's clock in nanoseconds, and the picture's mean, 0 to 255; in the order of time.
    pub samples: Vec<(i64, f64)>,
}

/// A change of the light at a known time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// When, nanoseconds.
    pub at_ns: i64,
    /// By how much that may be wrong at most, nanoseconds.
    pub within_ns: i64,
    /// Whether it became brighter.
    pub rises: bool,
}

/// How a camera's clock stands to the first one's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Offset {
    /// How much later its stamps are.
    pub offset_ms: f64,
    /// The truth is not further away than this, if every frame is exposed as a whole (a rolling shutter is not).
    pub error_ms: f64,
    /// Changes that it rests on.
    pub changes: usize,
}

/// Why offsets cannot be told.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum OffsetsError {
    #[error(
        "saw the light change {changes} times; at least {LEAST_CHANGES} are needed: let the light fill more of its picture, darken the room, or record longer"
    )]
    TooFew { camera: usize, changes: usize },
    #[error(
        "what it saw does not fit what the others saw: do all look at one light, and at nothing else that changes?"
    )]
    NoFit { camera: usize },
    #[error("the light changed {changes} times; at least {LEAST_CHANGES} are needed")]
    TooFewKnown { changes: usize },
}

impl OffsetsError {
    /// The place of the camera that it is about, if it is about one.
    #[must_use]
    pub fn camera(&self) -> Option<usize> {
        match self {
            Self::TooFew { camera, .. } | Self::NoFit { camera } => Some(*camera),
            Self::TooFewKnown { .. } => None,
        }
    }
}

/// A change of the light, on a camera's clock in nanoseconds: not before, and not after.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Change {
    earliest: i64,
    latest: i64,
    rises: bool,
}

/// What the difference of two clocks lies between, nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Range {
    least: i64,
    most: i64,
    changes: usize,
}

impl Trace {
    /// The usual time between two frames.
    fn period_ns(&self) -> i64 {
        let mut gaps: Vec<i64> = self.samples.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        gaps.sort_unstable();
        gaps.get(gaps.len() / 2).copied().unwrap_or_default()
    }

    /// The changes that can be told: the light is steady for a frame before and after. Frames are exposed for
    /// `exposure_ns` about their stamps; `None`: for anything up to their period.
    fn changes(&self, exposure_ns: Option<i64>) -> Vec<Change> {
        let step = |n: usize| self.samples[n + 1].1 - self.samples[n].1;
        let count = self.samples.len().saturating_sub(1);
        let largest = (0..count).map(|n| step(n).abs()).fold(0.0, f64::max);
        let least = (LEAST_SHARE * largest).max(LEAST_LEVELS);
        let is_step = |n: usize| n < count && step(n).abs() >= least;
        let mut changes = Vec::new();
        let mut n = 0;
        while n < count {
            if !is_step(n) {
                n += 1;
                continue;
            }
            // A frame whose exposure the change falls into shows a part of it: two steps the same way.
            let is_split = is_step(n + 1) && step(n + 1).signum() == step(n).signum();
            let last = if is_split { n + 1 } else { n };
            let is_steady = (n == 0 || !is_step(n - 1)) && !is_step(last + 1);
            if is_steady {
                let (before, after) = (self.samples[n].0, self.samples[last + 1].0);
                // A frame that shows less of the change than can be told may have been exposed during it.
                let unseen = (least / step(n).abs()).min(0.5);
                let clear = (exposure_ns.unwrap_or_default() as f64 * (0.5 - unseen)) as i64;
                let (earliest, latest) = if is_split {
                    let shown = step(n) / (step(n) + step(n + 1));
                    within_exposure(self.samples[n + 1].0, (after - before) / 2, exposure_ns, shown)
                } else {
                    (before + clear, after - clear)
                };
                changes.push(Change { earliest, latest, rises: step(n) > 0.0 });
            }
            n = last + 1;
        }
        changes
    }
}

/// Where in a frame's exposure the light changed, if that frame shows so much of the change.
fn within_exposure(stamp: i64, period: i64, exposure_ns: Option<i64>, shown: f64) -> (i64, i64) {
    let at = |exposure: i64| stamp + (exposure as f64 * (0.5 - shown)) as i64;
    match exposure_ns {
        Some(exposure) => (at(exposure) - WITHIN_EXPOSURE_NS, at(exposure) + WITHIN_EXPOSURE_NS),
        None => {
            let furthest = at(period);
            (stamp.min(furthest) - WITHIN_EXPOSURE_NS, stamp.max(furthest) + WITHIN_EXPOSURE_NS)
        }
    }
}

/// How late the stamps of each camera are against the first one's; `light` has the changes where they are known.
///
/// # Errors
/// [`OffsetsError`].
pub fn offsets(traces: &[Trace], light: Option<&[Step]>) -> Result<Vec<Offset>, OffsetsError> {
    let changes: Vec<Vec<Change>> = traces.iter().map(|trace| trace.changes(None)).collect();
    if let Some((camera, changes)) = changes.iter().enumerate().find(|(_, changes)| changes.len() < LEAST_CHANGES) {
        return Err(OffsetsError::TooFew { camera, changes: changes.len() });
    }
    if let Some(light) = light.filter(|light| light.len() < LEAST_CHANGES) {
        return Err(OffsetsError::TooFewKnown { changes: light.len() });
    }
    match light {
        Some(light) => against_light(traces, light),
        None => among_cameras(&changes),
    }
}

fn against_light(traces: &[Trace], light: &[Step]) -> Result<Vec<Offset>, OffsetsError> {
    let change = |step: &Step| Change {
        earliest: step.at_ns - step.within_ns,
        latest: step.at_ns + step.within_ns,
        rises: step.rises,
    };
    let light: Vec<Change> = light.iter().map(change).collect();
    let mut to_light = Vec::new();
    for (camera, trace) in traces.iter().enumerate() {
        let longest = (trace.period_ns() / 1_000_000).clamp(1, LONGEST_EXPOSURE_MS);
        let tried = (1..=longest).map(|ms| trace.changes(Some(ms * 1_000_000)));
        let ranges: Vec<Range> = tried.filter_map(|changes| difference(&changes, &light)).collect();
        let best = ranges.iter().map(|range| range.changes).max().ok_or(OffsetsError::NoFit { camera })?;
        // A change that was told wrongly may be the one that a wrong exposure has more than the true one.
        let fitting = || ranges.iter().filter(|range| range.changes + 1 >= best);
        let least = fitting().map(|range| range.least).min().unwrap_or_default();
        let most = fitting().map(|range| range.most).max().unwrap_or_default();
        to_light.push(Range { least, most, changes: best });
    }
    let ms = |range: &Range, sign: i64| (range.most + sign * range.least) as f64 / 2e6;
    let first = to_light[0];
    let offset = |(camera, range): (usize, &Range)| Offset {
        offset_ms: ms(range, 1) - ms(&first, 1),
        error_ms: if camera == 0 { 0.0 } else { ms(range, -1) + ms(&first, -1) },
        changes: range.changes,
    };
    Ok(to_light.iter().enumerate().map(offset).collect())
}

fn among_cameras(changes: &[Vec<Change>]) -> Result<Vec<Offset>, OffsetsError> {
    let count = changes.len();
    // The most that camera a's clock is ahead of b's.
    let mut most = vec![vec![i64::MAX / 4; count]; count];
    let mut shared = vec![changes[0].len(); count];
    for a in 0..count {
        most[a][a] = 0;
        for b in a + 1..count {
            match difference(&changes[b], &changes[a]) {
                Some(range) => {
                    (most[b][a], most[a][b]) = (range.most, -range.least);
                    if a == 0 {
                        shared[b] = range.changes;
                    }
                }
                None if a == 0 => return Err(OffsetsError::NoFit { camera: b }),
                None => {}
            }
        }
    }
    for via in 0..count {
        for a in 0..count {
            for b in 0..count {
                most[a][b] = most[a][b].min(most[a][via] + most[via][b]);
            }
        }
    }
    let offset = |camera: usize| {
        let (upper, lower) = (most[camera][0], -most[0][camera]);
        if upper < lower {
            return Err(OffsetsError::NoFit { camera });
        }
        // Cameras of one rate see changes at the same few places of their periods, so bounds may stay wide: then the
        // mean over all changes is nearer than the middle.
        let mean = mean_difference(&changes[camera], &changes[0], lower, upper);
        let error = (upper - mean).max(mean - lower);
        Ok(Offset { offset_ms: mean as f64 / 1e6, error_ms: error as f64 / 1e6, changes: shared[camera] })
    };
    (0..count).map(offset).collect()
}

/// The mean difference of the middles of changes that fit bounds, itself within them.
fn mean_difference(a: &[Change], b: &[Change], lower: i64, upper: i64) -> i64 {
    let middle = |change: &Change| (change.earliest + change.latest) / 2;
    let differences: Vec<i64> = a
        .iter()
        .flat_map(|one| b.iter().map(move |other| (one, other)))
        .filter(|(one, other)| {
            one.rises == other.rises && one.earliest - other.latest <= lower && one.latest - other.earliest >= upper
        })
        .map(|(one, other)| middle(one) - middle(other))
        .collect();
    let mean = differences.iter().sum::<i64>() / (differences.len() as i64).max(1);
    if differences.is_empty() { (lower + upper) / 2 } else { mean.clamp(lower, upper) }
}

/// How much `a`'s clock is ahead of `b`'s: the range that the most changes agree on.
fn difference(a: &[Change], b: &[Change]) -> Option<Range> {
    // Every pair of changes the same way allows a range of differences; where most of them overlap is the truth.
    let mut edges = Vec::new();
    for (one, other) in a.iter().flat_map(|one| b.iter().map(move |other| (one, other))) {
        let (least, most) = (one.earliest - other.latest, one.latest - other.earliest);
        if one.rises == other.rises && least < most && least.abs().min(most.abs()) <= FURTHEST_NS {
            edges.extend([(least, 1), (most, -1)]);
        }
    }
    edges.sort_unstable();
    let (mut depth, mut deepest, mut found) = (0_usize, 0, None);
    for pair in edges.windows(2) {
        depth = if pair[0].1 > 0 { depth + 1 } else { depth.saturating_sub(1) };
        if depth > deepest && pair[1].0 > pair[0].0 {
            (deepest, found) = (depth, Some((pair[0].0, pair[1].0)));
        }
    }
    let (least, most) = found?;
    let enough = (a.len().min(b.len()) * 2 / 3).max(LEAST_CHANGES - 1);
    (deepest >= enough).then_some(Range { least, most, changes: deepest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;

    /// The light: it changes at these times, from 60 to 180 and back.
    fn level(changes: &[i64], at: i64) -> f64 {
        if changes.iter().filter(|change| **change <= at).count() % 2 == 1 { 180.0 } else { 60.0 }
    }

    /// What a camera of 30 frames a second sees that is exposed for 8 ms about its true times, its clock `offset` ahead.
    fn trace(changes: &[i64], phase: i64, offset: i64) -> Trace {
        exposed(changes, phase, offset, 8)
    }

    /// The same, exposed for so many milliseconds.
    fn exposed(changes: &[i64], phase: i64, offset: i64, exposure_ms: i64) -> Trace {
        let sample = |n: i64| {
            let at = phase + n * 33_333_333;
            let parts = (0..80).map(|k| level(changes, at - exposure_ms * MS / 2 + k * exposure_ms * MS / 80));
            (at + offset, parts.sum::<f64>() / 80.0)
        };
        Trace { samples: (0..120).map(sample).collect() }
    }

    fn light(gaps_ms: &[i64]) -> Vec<i64> {
        let mut at = 200 * MS;
        gaps_ms
            .iter()
            .map(|gap| {
                at += gap * MS + 137_000;
                at
            })
            .collect()
    }

    proptest! {
        #[test]
        fn the_truth_is_within_the_error_that_is_told(
            gaps in prop::collection::vec(110_i64..240, 18),
            phases in prop::array::uniform3(0..33 * MS),
            offsets_ms in prop::array::uniform3(-60_i64..60),
            exposures_ms in prop::array::uniform3(2_i64..32),
            noticed_late in prop::collection::vec(-3_900..3_900_i64, 18),
        ) {
            let changes = light(&gaps);
            let cameras = phases.iter().zip(offsets_ms).zip(exposures_ms);
            let traces: Vec<Trace> = cameras
                .map(|((phase, offset), exposure_ms)| exposed(&changes, *phase, offset * MS, exposure_ms))
                .collect();
            let noticed = changes.iter().zip(&noticed_late).enumerate();
            let steps: Vec<Step> = noticed
                .map(|(n, (at, late_us))| Step { at_ns: at + late_us * 1_000, within_ns: 4 * MS, rises: n % 2 == 0 })
                .collect();
            for light in [Some(&steps[..]), None] {
                let found = offsets(&traces, light).expect("all see the light");
                for (found, offset_ms) in found.iter().zip(offsets_ms) {
                    let off = (found.offset_ms - (offset_ms - offsets_ms[0]) as f64).abs();
                    prop_assert!(off <= found.error_ms + 0.3, "{found:?} is off by {off}");
                }
            }
        }
    }

    #[test]
    fn irregular_changes_at_known_times_tell_offsets_to_a_millisecond() {
        let gaps: Vec<i64> = (0..30).map(|n| 110 + (n * 89) % 97).collect();
        let changes = light(&gaps);
        let traces = [(0, 0), (9, 23), (17, -41), (26, 12)].map(|(phase, ms)| trace(&changes, phase * MS, ms * MS));
        let steps: Vec<Step> =
            changes.iter().enumerate().map(|(n, at)| Step { at_ns: *at, within_ns: 0, rises: n % 2 == 0 }).collect();
        let found = offsets(&traces, Some(&steps)).expect("all see the light");
        for (found, truth) in found.iter().zip([0.0, 23.0, -41.0, 12.0]) {
            assert!((found.offset_ms - truth).abs() < 1.0 && found.error_ms < 3.0, "{found:?}, truly {truth}");
        }
    }

    #[test]
    fn a_camera_that_sees_no_light_or_another_is_named() {
        let changes = light(&[150; 18]);
        let dark = Trace { samples: (0..120).map(|n| (n * 33 * MS, 60.0)).collect() };
        let sees = trace(&changes, 0, 0);
        assert_eq!(offsets(&[sees.clone(), dark], None), Err(OffsetsError::TooFew { camera: 1, changes: 0 }));
        let gaps: Vec<i64> = (0..18).map(|n| 120 + (n * 37) % 90).collect();
        let other: Vec<i64> = (0..18).map(|n| 115 + (n * 53) % 110).collect();
        let traces = [trace(&light(&gaps), 0, 0), trace(&light(&other), 0, 0)];
        assert_eq!(offsets(&traces, None), Err(OffsetsError::NoFit { camera: 1 }));
    }
}
