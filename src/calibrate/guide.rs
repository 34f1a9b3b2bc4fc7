//! What is still to be done with the board, said while it is held before live cameras.

use nalgebra::Vector3;
use serde::Serialize;

use super::board::Board;
use super::corners::{Seen, Unseen};
use super::intrinsics::{self, LEAST_CORNERS};
use super::stills::{Holding, Still, apart_px, poses};
use super::watch::Sight;
use crate::rig::lens::Lens;
use crate::time::Timestamp;

/// Poses that a camera should see, and that two neighbours should see at the same time.
const WANTED: usize = 12;
const SHARED_WANTED: usize = 5;
/// Columns and rows of the map of where in a picture the board was.
const COLUMNS: usize = 8;
const ROWS: usize = 5;
/// Of the cells of a quarter of the picture's width and height in a corner, so many are covered when the corner is.
const CORNER_CELLS: usize = 2;
/// A board is tilted from this angle on, and a camera should see it tilted to so many sides.
const TILTED_DEG: f64 = 15.0;
const SIDES_WANTED: usize = 3;
/// A pose whose corners are nearer than this to one that was seen is the same, pixels of a picture that is 640 wide.
const SAME_PX: f64 = 8.0;
/// A board is near that is so large a part of the picture's width.
const NEAR: f64 = 0.4;
/// A webcam's focal length as a share of its picture's width, to tell a tilt before the lens is known.
const USUAL_FOCAL: f64 = 0.85;

/// What the board is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Lenses and places.
    Rig,
    /// Lenses alone.
    Intrinsics,
    /// Places alone.
    Extrinsics,
    /// How good a rig is.
    Check,
}

impl Task {
    fn needs_lenses(self) -> bool {
        matches!(self, Self::Rig | Self::Intrinsics)
    }

    fn poses_wanted(self) -> usize {
        if self.needs_lenses() { WANTED } else { SHARED_WANTED }
    }

    fn needs_places(self) -> bool {
        self != Self::Intrinsics
    }
}

/// What one camera has shown.
struct Watched {
    name: String,
    size: [u32; 2],
    holding: Holding,
    held: Vec<Still>,
    now: Option<Seen>,
    why: Option<Unseen>,
    tilts: [usize; 4],
    is_near: bool,
}

/// Follows what the cameras see.
pub struct Guide {
    board: Board,
    task: Task,
    cameras: Vec<Watched>,
}

/// What is to be done, for the page.
#[derive(Clone, Debug, Serialize)]
pub struct Advice {
    board: String,
    task: Task,
    /// The one thing to do now.
    pub next: String,
    /// Whether enough has been seen.
    pub is_ready: bool,
    poses_wanted: usize,
    shared_wanted: usize,
    /// One a camera.
    pub cameras: Vec<CameraAdvice>,
    /// Cameras, by their places, that saw the board at the same time.
    pub links: Vec<Link>,
}

/// The same of one camera.
#[derive(Clone, Debug, Serialize)]
pub struct CameraAdvice {
    name: String,
    size: [u32; 2],
    /// Number of the newest picture.
    pub picture: u64,
    /// Pixels.
    pub corners: Vec<[f64; 2]>,
    is_still: bool,
    /// Poses in which the board was held still.
    pub poses: usize,
    /// By cells, row by row: poses that showed corners there.
    coverage: Vec<usize>,
    /// Poses that were tilted to the left, right, up, down.
    tilts: [usize; 4],
    /// Why no board is seen.
    pub why: Option<&'static str>,
    /// What this camera still needs.
    pub next: Option<String>,
}

/// Two cameras that saw the board at the same time.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Link {
    a: usize,
    b: usize,
    poses: usize,
}

impl Guide {
    /// For these cameras.
    #[must_use]
    pub fn new(board: Board, task: Task, names: impl IntoIterator<Item = String>) -> Self {
        let camera = |name| Watched {
            name,
            size: [0; 2],
            holding: Holding::new(640),
            held: Vec::new(),
            now: None,
            why: None,
            tilts: [0; 4],
            is_near: false,
        };
        Self { board, task, cameras: names.into_iter().map(camera).collect() }
    }

    /// Takes a picture of `size` in that camera `n` took.
    pub fn step(&mut self, n: usize, at: Timestamp, size: [u32; 2], sight: Sight<'_>) {
        let board = self.board;
        let camera = &mut self.cameras[n];
        if camera.size != size {
            (camera.size, camera.holding) = (size, Holding::new(size[0]));
        }
        match sight {
            Sight::Board(seen) => {
                (camera.now, camera.why) = (Some(seen.clone()), None);
                let ended = camera.holding.step(at, seen.clone());
                ended.into_iter().for_each(|still| camera.keep(&board, still));
            }
            Sight::NoBoard(why) => {
                camera.now = None;
                camera.why = why.or(camera.why);
            }
        }
    }

    /// The camera delivers nothing.
    pub fn lost(&mut self, n: usize) {
        (self.cameras[n].now, self.cameras[n].why) = (None, None);
    }

    /// Forgets all.
    pub fn forget(&mut self) {
        let names: Vec<String> = self.cameras.iter().map(|camera| camera.name.clone()).collect();
        *self = Self::new(self.board, self.task, names);
    }

    /// What is to be done now.
    #[must_use]
    pub fn advice(&self) -> Advice {
        // What is still now counts already.
        let stills: Vec<Vec<Still>> = self
            .cameras
            .iter()
            .map(|camera| {
                let now = camera.holding_now().filter(|still| !camera.is_known(still));
                camera.held.iter().cloned().chain(now).collect()
            })
            .collect();
        let cameras: Vec<CameraAdvice> =
            self.cameras.iter().zip(&stills).map(|(camera, stills)| camera.advice(self.task, stills)).collect();
        let links = if self.task.needs_places() { links(&stills) } else { Vec::new() };
        let unlinked = self.task.needs_places().then(|| unlinked(self.cameras.len(), &links)).flatten();
        let is_ready = unlinked.is_none() && cameras.iter().all(|camera| camera.next.is_none());
        let next = self.next(&cameras, unlinked);
        Advice {
            board: self.board.to_string(),
            task: self.task,
            next,
            is_ready,
            poses_wanted: self.task.poses_wanted(),
            shared_wanted: SHARED_WANTED,
            cameras,
            links,
        }
    }

    fn next(&self, cameras: &[CameraAdvice], unlinked: Option<(usize, usize)>) -> String {
        let seen = || cameras.iter().filter(|camera| !camera.corners.is_empty());
        let has_begun = cameras.iter().any(|camera| camera.poses > 0);
        if seen().next().is_none() {
            // The reason that tells the most.
            let whys = self.cameras.iter().filter_map(|camera| Some((camera.why?, camera)));
            let telling = whys.filter(|(why, _)| *why != Unseen::Nothing).max_by_key(|(why, _)| *why);
            return match telling {
                Some((why, camera)) => format!("`{}`: {}", camera.name, why.advice()),
                None if has_begun => format!("Next: {}", self.needed(cameras, unlinked)),
                None => "Hold the board before a camera, and keep it still for half a second".to_owned(),
            };
        }
        if seen().any(|camera| camera.is_still) {
            return format!("Got it. Next: {}", self.needed(cameras, unlinked));
        }
        format!("{}, and hold it still", sentence(&self.needed(cameras, unlinked)))
    }

    /// What the camera that has the least needs, or two that are to be linked.
    fn needed(&self, cameras: &[CameraAdvice], unlinked: Option<(usize, usize)>) -> String {
        let wanting = cameras.iter().filter_map(|camera| Some((camera, camera.next.as_ref()?)));
        // One that sees the board goes first: it is there already.
        let least = wanting.min_by_key(|(camera, _)| (camera.corners.is_empty(), camera.poses));
        let pair = unlinked.map(|(a, b)| (&self.cameras[a].name, &self.cameras[b].name));
        match (least, pair) {
            (Some((camera, next)), _) => format!("before `{}`, {next}", camera.name),
            (None, Some((a, b))) => format!("hold it where `{a}` and `{b}` both see it"),
            (None, None) if self.task == Task::Check => "enough has been seen: check".to_owned(),
            (None, None) => "enough has been seen: calibrate. More poses make it better".to_owned(),
        }
    }
}

/// With a capital letter.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

impl Watched {
    /// Whether the board was held there before.
    fn is_known(&self, still: &Still) -> bool {
        let same = SAME_PX * f64::from(self.size[0]) / 640.0;
        self.held.iter().any(|held| apart_px(&held.corners, &still.corners).is_some_and(|px| px < same))
    }

    fn keep(&mut self, board: &Board, still: Still) {
        if self.is_known(&still) {
            return;
        }
        let width = f64::from(self.size[0].max(1));
        let across = |k: usize| still.corners.iter().map(move |(_, at)| at[k]);
        let [left, right] = [f64::min, f64::max].map(|of| across(0).reduce(of).unwrap_or_default());
        self.is_near |= right - left > NEAR * width;
        if still.corners.len() >= LEAST_CORNERS {
            let lens = Lens {
                focal: [USUAL_FOCAL * width; 2],
                principal: self.size.map(|side| f64::from(side) / 2.0),
                distortions: [0.0; 5],
            };
            // A tilt that cannot be told is none.
            let place = intrinsics::place(board, &lens, &[&still]).ok().and_then(|places| *places.first()?);
            for side in place.iter().flat_map(|place| sides(place.rotation * -Vector3::z())) {
                self.tilts[side] += 1;
            }
        }
        self.held.push(still);
    }

    fn holding_now(&self) -> Option<Still> {
        self.now.as_ref().and_then(|_| self.holding.now())
    }

    fn advice(&self, task: Task, stills: &[Still]) -> CameraAdvice {
        let mut coverage = vec![0; COLUMNS * ROWS];
        for still in stills {
            let mut touched = [false; COLUMNS * ROWS];
            for (_, at) in &still.corners {
                let cell = |k: usize, cells: usize| {
                    ((at[k] / f64::from(self.size[k].max(1)) * cells as f64).max(0.0) as usize).min(cells - 1)
                };
                touched[cell(1, ROWS) * COLUMNS + cell(0, COLUMNS)] = true;
            }
            coverage.iter_mut().zip(touched).for_each(|(count, touched)| *count += usize::from(touched));
        }
        CameraAdvice {
            next: self.next(task, stills.len(), &coverage),
            name: self.name.clone(),
            size: self.size,
            picture: 0,
            corners: self.now.iter().flat_map(|seen| seen.corners.iter().map(|(_, at)| *at)).collect(),
            is_still: self.holding_now().is_some(),
            poses: stills.len(),
            coverage,
            tilts: self.tilts,
            why: self.why.map(Unseen::advice),
        }
    }

    fn next(&self, task: Task, poses: usize, coverage: &[usize]) -> Option<String> {
        if !task.needs_lenses() {
            return (poses < task.poses_wanted()).then(|| "hold it still in another place".to_owned());
        }
        let corners = [("upper left", 0, 0), ("upper right", COLUMNS - 3, 0)];
        let corners = corners.into_iter().chain([("lower left", 0, ROWS - 2), ("lower right", COLUMNS - 3, ROWS - 2)]);
        let is_covered = |column: usize, row: usize| {
            let cells = (0..6).map(|n| (row + n / 3) * COLUMNS + column + n % 3);
            cells.filter(|cell| coverage[*cell] > 0).count() >= CORNER_CELLS
        };
        let open = corners.into_iter().find(|(_, column, row)| !is_covered(*column, *row));
        let sides = ["to the left", "to the right", "up", "down"].into_iter().zip(self.tilts);
        let untilted = sides.clone().find(|(_, count)| *count == 0).map(|(side, _)| side);
        let tilted = sides.filter(|(_, count)| *count > 0).count();
        match (open, untilted) {
            _ if poses == 0 => Some("hold it still for half a second".to_owned()),
            (Some((corner, ..)), _) => Some(format!("move it to the {corner} of the picture")),
            (None, Some(side)) if tilted < SIDES_WANTED => Some(format!("tilt it {side}, by 30 to 45 degrees")),
            _ if !self.is_near => Some("bring it closer, so that it fills half of the picture".to_owned()),
            _ if poses < WANTED => Some("hold it still in other places".to_owned()),
            _ => None,
        }
    }
}

/// To which sides a board faces, whose front points so in the camera's frame: left, right, up, down.
fn sides(front: Vector3<f64>) -> impl Iterator<Item = usize> {
    let least = TILTED_DEG.to_radians().sin();
    let [x, y] = [front.x, front.y];
    let is = [x < -least, x > least, y < -least, y > least];
    is.into_iter().enumerate().filter(|(_, is)| *is).map(|(side, _)| side)
}

/// How often each two cameras saw one pose.
fn links(stills: &[Vec<Still>]) -> Vec<Link> {
    let poses = poses(stills);
    let pairs = (0..stills.len()).flat_map(|a| (a + 1..stills.len()).map(move |b| (a, b)));
    let shared =
        |a: usize, b: usize| poses.iter().filter(|pose| pose.views[a].is_some() && pose.views[b].is_some()).count();
    pairs.map(|(a, b)| Link { a, b, poses: shared(a, b) }).filter(|link| link.poses > 0).collect()
}

/// Two cameras that should be linked better: the first one that is not linked to the first camera, and the one of the
/// others that it shares the most poses with.
fn unlinked(cameras: usize, links: &[Link]) -> Option<(usize, usize)> {
    let mut linked = vec![false; cameras];
    *linked.first_mut()? = true;
    let good = || links.iter().filter(|link| link.poses >= SHARED_WANTED);
    while let Some(link) = good().find(|link| linked[link.a] != linked[link.b]) {
        (linked[link.a], linked[link.b]) = (true, true);
    }
    let alone = linked.iter().position(|linked| !linked)?;
    let shared = |other: usize| {
        let of_both = |link: &&Link| [link.a, link.b] == [alone.min(other), alone.max(other)];
        links.iter().find(of_both).map_or(0, |link| link.poses)
    };
    let others = (0..cameras).filter(|other| linked[*other]);
    // Of equals the neighbour in the order of the cameras.
    others.max_by_key(|other| (shared(*other), std::cmp::Reverse(alone.abs_diff(*other)))).map(|other| (other, alone))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOARD: &str = "checkerboard:9x6:25mm";

    fn guide(task: Task, names: &[&str]) -> Guide {
        Guide::new(BOARD.parse().expect("a board"), task, names.iter().map(|name| (*name).to_owned()))
    }

    /// The board as a camera sees it that faces it: its middle there, each square so large.
    fn seen(center: [f64; 2], square_px: f64) -> Seen {
        let board: Board = BOARD.parse().expect("a board");
        let [width, height] = board.size_m();
        let corner = |n: usize| {
            let at = board.corner(n);
            let px = |along: f64, size: f64| (along - size / 2.0) / board.square_m * square_px;
            (n, [center[0] + px(at.x, width), center[1] + px(at.y, height)])
        };
        Seen { corners: (0..board.corner_count()).map(corner).collect() }
    }

    /// Holds the board still before these cameras, for the time of pose `n`.
    fn hold(guide: &mut Guide, cameras: &[usize], n: i64, center: [f64; 2], square_px: f64) {
        for frame in 0..5 {
            for camera in cameras {
                let at = Timestamp::from_ns((n * 1_000 + frame * 50) * 1_000_000);
                guide.step(*camera, at, [640, 360], Sight::Board(&seen(center, square_px)));
            }
        }
    }

    #[test]
    fn it_leads_from_an_empty_picture_to_a_linked_rig() {
        let mut guide = guide(Task::Extrinsics, &["left", "right"]);
        assert!(guide.advice().next.contains("Hold the board before a camera"));
        guide.step(0, Timestamp::default(), [640, 360], Sight::NoBoard(Some(Unseen::Blurred)));
        assert!(guide.advice().next.contains("blurred"), "{}", guide.advice().next);
        for n in 0..5 {
            hold(&mut guide, &[0], n, [250.0 + 20.0 * n as f64, 180.0], 20.0);
            hold(&mut guide, &[1], 100 + n, [250.0 + 20.0 * n as f64, 180.0], 20.0);
        }
        let advice = guide.advice();
        assert!(!advice.is_ready && advice.next.contains("where `left` and `right` both see it"), "{}", advice.next);
        for n in 200..206 {
            hold(&mut guide, &[0, 1], n, [20.0 * n as f64 - 3750.0, 120.0], 20.0);
        }
        let advice = guide.advice();
        assert!(advice.is_ready && advice.next.contains("calibrate"), "{}", advice.next);
        assert_eq!(advice.links[0].poses, 6);
        guide.forget();
        assert_eq!(guide.advice().cameras[0].poses, 0);
    }

    #[test]
    fn a_lens_needs_the_board_in_every_corner_tilted_and_near() {
        let mut guide = guide(Task::Intrinsics, &["cam"]);
        let next = |guide: &Guide| guide.advice().cameras[0].next.clone().unwrap_or_default();
        hold(&mut guide, &[0], 0, [320.0, 180.0], 15.0);
        assert!(next(&guide).contains("upper left"), "{}", next(&guide));
        for (n, center) in (1..).zip([[90.0, 70.0], [550.0, 70.0], [90.0, 290.0], [550.0, 290.0]]) {
            hold(&mut guide, &[0], n, center, 15.0);
        }
        // It faced the camera all the time.
        assert!(next(&guide).contains("tilt it"), "{}", next(&guide));
        assert_eq!(guide.advice().cameras[0].tilts, [0; 4]);
    }

    #[test]
    fn moving_boards_are_not_counted() {
        let mut guide = guide(Task::Rig, &["cam"]);
        for frame in 0..40 {
            let at = Timestamp::from_ns(frame * 33_000_000);
            guide.step(0, at, [640, 360], Sight::Board(&seen([200.0 + 4.0 * frame as f64, 180.0], 20.0)));
        }
        let advice = guide.advice();
        assert_eq!(advice.cameras[0].poses, 0);
        assert!(advice.next.contains("hold it still"), "{}", advice.next);
    }
}
