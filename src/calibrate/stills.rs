//! Which sightings of the board belong together: those of a time during which it was held still.
//!
//! Cameras are not synchronised yet when they are calibrated, and their clocks may be apart: only what does not move
//! looks the same to all of them. The frames of such a time are averaged, corner by corner.

use std::time::Duration;

use super::corners::Seen;
use crate::time::Timestamp;

/// A board whose corners move by less than this on average from frame to frame is still, pixels of a picture that is
/// 640 wide.
const STILL_PX: f64 = 0.5;
/// Frames further apart than this say nothing of what was between them.
const LONGEST_GAP: Duration = Duration::from_millis(400);
/// A board that is held still for so many frames, and so long, is meant.
const LEAST_FRAMES: usize = 2;
const LEAST_TIME: Duration = Duration::from_millis(90);

/// The board as one camera saw it while it was still.
#[derive(Clone, Debug)]
pub struct Still {
    /// When the first frame was taken.
    pub from: Timestamp,
    /// When the last was.
    pub until: Timestamp,
    /// How many frames there are.
    pub frames: usize,
    /// The corners' numbers and their mean pixels.
    pub corners: Vec<(usize, [f64; 2])>,
}

/// A pose of the board: what each camera saw of it, if anything.
#[derive(Clone, Debug)]
pub struct Pose {
    /// In the order of the cameras.
    pub views: Vec<Option<Still>>,
}

/// Corners by their numbers, and their pixels.
pub type Corners = [(usize, [f64; 2])];

/// Mean distance of the corners that both have, pixels; `None` if they share none.
#[must_use]
pub fn apart_px(a: &Corners, b: &Corners) -> Option<f64> {
    let other = |number: usize| b.iter().find(|(n, _)| *n == number).map(|(_, at)| *at);
    let pairs = a.iter().filter_map(|(number, at)| other(*number).map(|other| (*at, other)));
    let (sum, count) = pairs.fold((0.0, 0), |(sum, count), (a, b)| (sum + (a[0] - b[0]).hypot(a[1] - b[1]), count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// A board that has been held still since a moment.
struct Run {
    from: Timestamp,
    until: Timestamp,
    frames: usize,
    first: Seen,
    last: Seen,
    /// Sums of the corners' pixels, and how many they are of.
    sums: Vec<(usize, [f64; 2], f64)>,
}

impl Run {
    fn of(at: Timestamp, seen: Seen) -> Self {
        let sums = seen.corners.iter().map(|(n, at)| (*n, *at, 1.0)).collect();
        Self { from: at, until: at, frames: 1, first: seen.clone(), last: seen, sums }
    }

    fn add(&mut self, at: Timestamp, seen: Seen) {
        for (number, at) in &seen.corners {
            match self.sums.iter_mut().find(|(n, ..)| n == number) {
                Some((_, sum, count)) => (*sum, *count) = ([sum[0] + at[0], sum[1] + at[1]], *count + 1.0),
                None => self.sums.push((*number, *at, 1.0)),
            }
        }
        (self.until, self.frames, self.last) = (at, self.frames + 1, seen);
    }

    fn averaged(&self) -> Still {
        let corners = self.sums.iter().map(|(n, [x, y], count)| (*n, [x / count, y / count])).collect();
        Still { from: self.from, until: self.until, frames: self.frames, corners }
    }
}

/// Follows the board before one camera, and tells when it is held still.
pub struct Holding {
    limit_px: f64,
    run: Option<Run>,
}

impl Holding {
    /// Before a camera whose pictures are `width` wide.
    #[must_use]
    pub fn new(width: u32) -> Self {
        Self { limit_px: STILL_PX * f64::from(width) / 640.0, run: None }
    }

    /// Takes the next sighting in; what was still before it, if it ends that.
    pub fn step(&mut self, at: Timestamp, seen: Seen) -> Option<Still> {
        if let Some(run) = &mut self.run {
            let moved = |other: &Seen| apart_px(&seen.corners, &other.corners).is_some_and(|px| px < self.limit_px);
            // Against the first frame too: a slow movement is one.
            if at.since(run.until) <= LONGEST_GAP && moved(&run.last) && moved(&run.first) {
                run.add(at, seen);
                return None;
            }
        }
        let ended = self.end();
        self.run = Some(Run::of(at, seen));
        ended
    }

    /// The board as it is held now, if it is.
    #[must_use]
    pub fn now(&self) -> Option<Still> {
        let run = self.run.as_ref()?;
        let is_still = run.frames >= LEAST_FRAMES && run.until.since(run.from) >= LEAST_TIME;
        is_still.then(|| run.averaged())
    }

    /// The same, for the last time.
    pub fn end(&mut self) -> Option<Still> {
        let still = self.now();
        self.run = None;
        still
    }
}

/// The times during which one camera, whose pictures are `width` wide, saw a still board.
#[must_use]
pub fn stills(seen: &[(Timestamp, Seen)], width: u32) -> Vec<Still> {
    let mut holding = Holding::new(width);
    let mut stills: Vec<Still> = seen.iter().filter_map(|(at, seen)| holding.step(*at, seen.clone())).collect();
    stills.extend(holding.end());
    stills
}

/// Each picture by itself, as far as its number tells what belongs together: for pictures without times.
#[must_use]
pub fn pictures(seen: &[(Timestamp, Seen)]) -> Vec<Still> {
    seen.iter().map(|(at, seen)| Run::of(*at, seen.clone()).averaged()).collect()
}

/// Which stills of the cameras are of one pose: those whose times overlap for at least half of the shorter one.
#[must_use]
pub fn poses(cameras: &[Vec<Still>]) -> Vec<Pose> {
    let mut all: Vec<(usize, &Still)> = cameras
        .iter()
        .enumerate()
        .flat_map(|(camera, stills)| stills.iter().map(move |still| (camera, still)))
        .collect();
    all.sort_by_key(|(camera, still)| (still.from, *camera));
    let mut poses: Vec<Pose> = Vec::new();
    for (camera, still) in all {
        let belongs = |pose: &&mut Pose| {
            pose.views[camera].is_none() && pose.views.iter().flatten().all(|other| overlap(still, other))
        };
        let place = poses.iter_mut().rev().take(cameras.len()).find(belongs);
        match place {
            Some(pose) => pose.views[camera] = Some(still.clone()),
            None => {
                let mut views = vec![None; cameras.len()];
                views[camera] = Some(still.clone());
                poses.push(Pose { views });
            }
        }
    }
    poses
}

/// Views that a lens should rest on; a camera that saw fewer still boards also takes single pictures of moving ones.
const VIEWS_OF_A_LENS: usize = 30;

/// Poses that one camera alone saw, while the board moved, for cameras that saw few still ones: a lens needs no other
/// camera. They are taken evenly over time.
#[must_use]
pub fn glimpses(held: &[Vec<Still>], pictures: &[Vec<Still>]) -> Vec<Pose> {
    let cameras = held.len();
    let mut glimpses = Vec::new();
    for (camera, (held, pictures)) in held.iter().zip(pictures).enumerate() {
        let is_held = |picture: &&Still| held.iter().any(|still| (still.from..=still.until).contains(&picture.from));
        let moving: Vec<&Still> = pictures.iter().filter(|picture| !is_held(picture)).collect();
        let wanted = VIEWS_OF_A_LENS.saturating_sub(held.len()).min(moving.len());
        for n in 0..wanted {
            let mut views = vec![None; cameras];
            views[camera] = Some(moving[n * moving.len() / wanted].clone());
            glimpses.push(Pose { views });
        }
    }
    glimpses
}

fn overlap(a: &Still, b: &Still) -> bool {
    let shared = a.until.min(b.until) - a.from.max(b.from);
    let shorter = (a.until - a.from).min(b.until - b.from);
    shared >= 0 && 2 * shared >= shorter
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ns(ms * 1_000_000)
    }

    /// A board of two corners, seen every 100 ms at these places.
    fn seen(first_ms: i64, places: &[f64]) -> Vec<(Timestamp, Seen)> {
        let one = |(n, x): (usize, &f64)| {
            (at(first_ms + 100 * n as i64), Seen { corners: vec![(0, [*x, 10.0]), (1, [x + 50.0, 10.0])] })
        };
        places.iter().enumerate().map(one).collect()
    }

    #[test]
    fn a_board_that_is_held_still_is_averaged_and_one_that_moves_is_not_taken() {
        let stills = stills(&seen(0, &[10.0, 10.2, 10.1, 20.0, 30.0, 40.0, 40.1]), 640);
        assert_eq!(stills.iter().map(|still| still.frames).collect::<Vec<_>>(), [3, 2]);
        assert!((stills[0].corners[0].1[0] - 10.1).abs() < 1e-9, "{stills:?}");
    }

    #[test]
    fn a_slow_movement_is_no_still() {
        let crawl: Vec<f64> = (0..20).map(|n| f64::from(n) * 0.4).collect();
        assert!(stills(&seen(0, &crawl), 640).iter().all(|still| still.frames <= 2));
    }

    #[test]
    fn what_several_cameras_saw_at_one_time_is_one_pose() {
        let first = stills(&seen(0, &[10.0, 10.0, 10.0, 90.0, 90.0, 90.0]), 640);
        let second = stills(&seen(130, &[30.0, 30.0, 60.0, 60.0, 60.0]), 640);
        let poses = poses(&[first, second]);
        assert_eq!(poses.len(), 2, "{poses:#?}");
        assert!(poses.iter().all(|pose| pose.views.iter().flatten().count() == 2));
    }
}
