//! Follows the faces of one view: finds new ones now and then, and the known ones in every frame.
//!
//! A search of the whole picture finds faces; each known face is then measured anew in every frame by running the
//! same detector on the region around where it is expected. That is a sixth of the pixels of a whole search (96 x 96
//! against 320 x 192) and a quarter of its time, and its landmarks are as good, because every face is seen at the size that YuNet reads best
//! (`docs/design/vision.md` has the figures).

use std::time::Duration;

use super::detect::{Detection, Detector, SAME_FACE_IOU};
use crate::config;
use crate::image::Image;
use crate::infer::InferError;
use crate::scene::{Point, Rect};
use crate::time::Timestamp;

/// A face overlaps the place where it was expected by more than this.
const EXPECTED_IOU: f32 = 0.2;
/// A face whose score is less than this above the threshold is about to be lost.
const UNSURE_SCORE: f32 = 0.1;
/// How long a lost face keeps its id.
const REMEMBERED: Duration = Duration::from_millis(500);

/// A face that is followed.
#[derive(Clone, Copy, Debug)]
pub struct Track {
    /// Its id in this view; never used twice.
    pub id: u32,
    /// Where it was measured last.
    pub face: Detection,
    /// When.
    seen_at: Timestamp,
    /// Pixels of the full frame a second.
    velocity: Point,
    /// Where it is measured.
    region: Rect,
}

impl Track {
    /// Where the face should be at `at`.
    fn predicted(&self, at: Timestamp) -> Rect {
        let seconds = at.since(self.seen_at).as_secs_f32().min(0.2);
        self.face.rect.shifted(self.velocity.x * seconds, self.velocity.y * seconds)
    }

    fn update(&mut self, face: Detection, at: Timestamp) {
        let seconds = at.since(self.seen_at).as_secs_f32();
        if seconds > 0.0 {
            let (from, to) = (self.face.rect.center(), face.rect.center());
            // Half of the new measurement: a single jump of the box must not throw the next region off.
            let blend = |old: f32, new: f32| 0.5 * old + 0.5 * new;
            self.velocity = Point {
                x: blend(self.velocity.x, (to.x - from.x) / seconds),
                y: blend(self.velocity.y, (to.y - from.y) / seconds),
            };
        }
        self.face = face;
        self.seen_at = at;
    }
}

/// Follows the faces of one view.
pub struct Tracker {
    detector: Detector,
    settings: config::Detection,
    tracks: Vec<Track>,
    /// Faces that were lost just now: a search that finds them again gives them their id back.
    lost: Vec<Track>,
    found: Vec<Detection>,
    next_id: u32,
    /// Frames until the next search of the whole picture.
    search_in: u32,
}

impl Tracker {
    /// A tracker whose searches fall on every k-th frame, shifted by `phase` frames, so that the views of one set
    /// do not all search at once.
    #[must_use]
    pub fn new(detector: Detector, settings: config::Detection, phase: u32) -> Self {
        let search_in = phase % settings.search_every;
        Self { detector, settings, tracks: Vec::new(), lost: Vec::new(), found: Vec::new(), next_id: 1, search_in }
    }

    /// Forgets every face: the next picture has nothing to do with the last.
    pub fn reset(&mut self) {
        self.tracks.clear();
        self.lost.clear();
        self.search_in = 0;
    }

    /// The faces that are followed.
    #[must_use]
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Measures the known faces anew in `image`, taken at `at`, and sets those that are gone aside. Whether the picture
    /// is to be searched: a face was lost, none is known, or it is time, which comes sooner while a face is unsure.
    ///
    /// # Errors
    /// [`InferError::Run`].
    pub fn follow(&mut self, image: &Image, at: Timestamp) -> Result<bool, InferError> {
        self.lost.retain(|track| at.since(track.seen_at) < REMEMBERED);
        let before = self.tracks.len();
        let mut kept = 0;
        for n in 0..before {
            let mut track = self.tracks[n];
            let expected = track.predicted(at);
            track.region = region_for(expected, Some(track.region), &self.settings);
            let others = &self.tracks[..kept];
            match measure(&mut self.detector, &self.settings, image, track.region, expected, others)? {
                Some(face) => {
                    track.update(face, at);
                    self.tracks[kept] = track;
                    kept += 1;
                }
                None => self.lost.push(track),
            }
        }
        self.tracks.truncate(kept);
        // Unsure faces may have moved on, or be none: their view is searched twice as often.
        let is_unsure = |track: &Track| track.face.score < self.settings.threshold + UNSURE_SCORE;
        let passed = if self.tracks.iter().any(is_unsure) { 2 } else { 1 };
        let is_search_due = kept < before || kept == 0 || self.search_in < passed;
        self.search_in = self.search_in.saturating_sub(passed);
        Ok(is_search_due)
    }

    /// Looks for faces that are not followed in the picture that [`Tracker::follow`] saw.
    ///
    /// # Errors
    /// [`InferError::Run`].
    pub fn search(&mut self, image: &Image, at: Timestamp) -> Result<(), InferError> {
        self.search_in = self.settings.search_every - 1;
        let (w, h) = image.full_size();
        let whole = Rect { x: -0.5, y: -0.5, w, h };
        self.found.clear();
        self.found.extend_from_slice(self.detector.step(image, whole, self.settings.search_side)?);
        for n in 0..self.found.len() {
            let rough = self.found[n];
            if self.tracks.iter().any(|track| track.face.rect.iou(&rough.rect) > SAME_FACE_IOU) {
                continue;
            }
            let region = region_for(rough.rect, None, &self.settings);
            let measured = measure(&mut self.detector, &self.settings, image, region, rough.rect, &self.tracks)?;
            // A face that only the rough look sees is still a face: of the two it has the wider view.
            let face = measured.unwrap_or(rough);
            let track = Track { region, ..self.track_of(face, at) };
            self.tracks.push(track);
        }
        Ok(())
    }

    /// The lost track that `face` goes on with, or a new one.
    fn track_of(&mut self, face: Detection, at: Timestamp) -> Track {
        let overlap = |track: &Track| track.predicted(at).iou(&face.rect);
        let nearest = (0..self.lost.len()).max_by(|&a, &b| overlap(&self.lost[a]).total_cmp(&overlap(&self.lost[b])));
        if let Some(n) = nearest.filter(|&n| overlap(&self.lost[n]) > EXPECTED_IOU) {
            let mut track = self.lost.swap_remove(n);
            track.update(face, at);
            return track;
        }
        let id = self.next_id;
        self.next_id += 1;
        Track { id, face, seen_at: at, velocity: Point::default(), region: face.rect }
    }
}

/// The region to measure a face in that is expected at `expected`: the one before, as long as the face lies well in
/// it. YuNet's answer shifts by some pixels with the place of the face in its grid of cells, so a region that followed
/// every movement would make the landmarks of a still face tremble, and feed that back into the next region.
fn region_for(expected: Rect, before: Option<Rect>, settings: &config::Detection) -> Rect {
    let side = expected.w.max(expected.h) * settings.region_scale;
    let center = expected.center();
    let fits = |region: &Rect| {
        let off = region.center().distance(center);
        off < 0.1 * region.w && (0.85..1.18).contains(&(side / region.w))
    };
    let around = Rect { x: center.x - side / 2.0, y: center.y - side / 2.0, w: side, h: side };
    before.filter(fits).unwrap_or(around)
}

/// The face in `region` that is nearest to `expected`, unless it is one of `others`.
fn measure(
    detector: &mut Detector,
    settings: &config::Detection,
    image: &Image,
    region: Rect,
    expected: Rect,
    others: &[Track],
) -> Result<Option<Detection>, InferError> {
    let candidates = detector.step(image, region, settings.region_side)?.iter();
    let mut best: Option<(f32, Detection)> = None;
    for candidate in candidates {
        let overlap = candidate.rect.iou(&expected);
        let is_other = others.iter().any(|other| candidate.rect.iou(&other.face.rect) > overlap);
        if overlap > EXPECTED_IOU && !is_other && best.is_none_or(|(most, _)| overlap > most) {
            best = Some((overlap, *candidate));
        }
    }
    Ok(best.map(|(_, face)| face))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{Session, Values};

    /// A detector's network that sees one face, in the middle of whatever it is shown.
    struct OneFace {
        score: f32,
    }

    impl Session for OneFace {
        fn run(&mut self, shape: [usize; 4], _: &[f32], outputs: &mut [Values]) -> Result<(), InferError> {
            let [_, _, height, width] = shape;
            for (n, output) in outputs.iter_mut().enumerate() {
                let (stride, values) = ([8, 16, 32][n % 3], [1, 1, 4, 10][n / 3]);
                output.clear();
                output.resize(width * height / (stride * stride) * values, 0.0);
            }
            let (columns, rows) = (width / 16, height / 16);
            let cell = rows / 2 * columns + columns / 2;
            (outputs[1][cell], outputs[4][cell]) = (self.score, self.score);
            // As large as a region of 96 pixels is meant for, so that it stays where it is.
            let side = 96.0 / config::Detection::default().region_scale;
            outputs[7][cell * 4 + 2..cell * 4 + 4].fill((side / 16.0).ln());
            Ok(())
        }

        fn runtime(&self) -> &'static str {
            "test"
        }

        fn device(&self) -> &'static str {
            "cpu"
        }
    }

    /// How many of 40 pictures are searched, the first aside.
    fn searches(score: f32) -> usize {
        let settings = config::Detection::default();
        let mut tracker = Tracker::new(Detector::new(Box::new(OneFace { score }), settings.threshold), settings, 0);
        let image = Image { width: 320, height: 320, scale: 1.0, rgb: vec![0; 320 * 320 * 3] };
        let mut searched = 0;
        for n in 0..41 {
            let at = Timestamp::from_ns(n * 33_000_000);
            if tracker.follow(&image, at).expect("it runs") {
                tracker.search(&image, at).expect("it runs");
                searched += usize::from(n > 0);
            }
            assert_eq!(tracker.tracks().len(), 1);
        }
        searched
    }

    #[test]
    fn an_unsure_face_has_its_view_searched_twice_as_often() {
        assert_eq!((searches(0.95), searches(0.65)), (4, 8));
    }
}
