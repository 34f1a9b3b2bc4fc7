//! Which faces of the views belong to one person.
//!
//! Without a calibrated rig there are three cues: two faces in one view are two people; a track stays its person's;
//! and people look alike in all views ([`Appearance`]). Geometry will join them when a rig is calibrated.

use std::time::Duration;

use crate::face::appearance::Appearance;
use crate::frame::{CameraId, MAX_CAMERAS};
use crate::time::Timestamp;

/// Faces less alike than this are two people, even if they are the only face of their views.
const DIFFERENT: f32 = 0.45;
/// Where a view shows several people, a face must look at least this much like the person it is given to.
const ALIKE: f32 = 0.7;
/// How long somebody who is gone keeps the id.
const REMEMBERED: Duration = Duration::from_secs(5);
/// Share of the newest look in what is remembered.
const LEARNING: f32 = 0.05;

/// A face to be given to a person.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Which view.
    pub camera: CameraId,
    /// Its track there.
    pub track: u32,
    /// What it looks like there.
    pub appearance: Appearance,
}

struct Person {
    id: u32,
    seen_at: Timestamp,
    /// The track and the look in each view, kept while remembered.
    views: [Option<(u32, Appearance)>; MAX_CAMERAS],
}

impl Person {
    fn holds(&self, face: &Candidate) -> bool {
        self.views[face.camera.index()].is_some_and(|(track, _)| track == face.track)
    }

    /// How much `face` looks like this person: in the same view if it was seen there, else on average.
    fn similarity(&self, face: &Candidate) -> f32 {
        if let Some((_, look)) = &self.views[face.camera.index()] {
            return look.similarity(&face.appearance);
        }
        let looks = || self.views.iter().flatten();
        looks().map(|(_, look)| look.similarity(&face.appearance)).sum::<f32>() / looks().count().max(1) as f32
    }
}

/// Gives every face of a set to a person.
#[derive(Default)]
pub struct Associator {
    people: Vec<Person>,
    next_id: u32,
    assigned: Vec<Option<u32>>,
    result: Vec<u32>,
}

impl Associator {
    /// The person of each of `faces`, in their order. Two faces of one view are never one person.
    pub fn step(&mut self, at: Timestamp, faces: &[Candidate]) -> &[u32] {
        self.people.retain(|person| at.since(person.seen_at) < REMEMBERED);
        self.assigned.clear();
        self.assigned.resize(faces.len(), None);

        for (face, assigned) in faces.iter().zip(&mut self.assigned) {
            *assigned = self.people.iter().find(|person| person.holds(face)).map(|person| person.id);
        }
        let crowded = faces.iter().enumerate().any(|(n, face)| faces[..n].iter().any(|f| f.camera == face.camera));
        let threshold = if crowded || self.people.len() > 1 { ALIKE } else { DIFFERENT };
        while let Some(open) = self.assigned.iter().position(Option::is_none) {
            match self.best_pair(faces, threshold) {
                Some((n, id)) => self.give(at, n, &faces[n], id),
                None => {
                    self.next_id += 1;
                    let id = self.next_id;
                    self.people.push(Person { id, seen_at: at, views: [None; MAX_CAMERAS] });
                    self.give(at, open, &faces[open], id);
                }
            }
        }
        self.result.clear();
        for (n, face) in faces.iter().enumerate() {
            if let Some(id) = self.assigned[n] {
                self.give(at, n, face, id);
                self.result.push(id);
            }
        }
        &self.result
    }

    /// Forgets everybody: the next set has nothing to do with the last.
    pub fn reset(&mut self) {
        self.people.clear();
        self.next_id = 0;
    }

    /// The face without a person and the person without a face in its view that look most alike.
    fn best_pair(&self, faces: &[Candidate], threshold: f32) -> Option<(usize, u32)> {
        let mut best = None;
        let mut most = threshold;
        for (n, face) in faces.iter().enumerate().filter(|(n, _)| self.assigned[*n].is_none()) {
            for person in &self.people {
                let taken = |k: usize| faces[k].camera == face.camera && self.assigned[k] == Some(person.id);
                let similarity = person.similarity(face);
                if similarity >= most && !(0..faces.len()).any(taken) {
                    (best, most) = (Some((n, person.id)), similarity);
                }
            }
        }
        best
    }

    fn give(&mut self, at: Timestamp, n: usize, face: &Candidate, id: u32) {
        self.assigned[n] = Some(id);
        let Some(person) = self.people.iter_mut().find(|person| person.id == id) else { return };
        person.seen_at = at;
        match &mut person.views[face.camera.index()] {
            Some((track, look)) => {
                *track = face.track;
                look.blend(&face.appearance, LEARNING);
            }
            empty => *empty = Some((face.track, face.appearance)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;
    use crate::scene::Rect;

    const GREEN: [u8; 3] = [150, 220, 180];
    const GREY: [u8; 3] = [70, 80, 85];

    fn face(camera: u8, track: u32, clothes: [u8; 3]) -> Candidate {
        let (width, height) = (100, 200);
        let rgb = (0..width * height).flat_map(|n| if n / width < 70 { [180, 140, 120] } else { clothes }).collect();
        let image = Image { width, height, scale: 1.0, rgb };
        let appearance = Appearance::of(&image, Rect { x: 30.0, y: 10.0, w: 40.0, h: 50.0 });
        Candidate { camera: CameraId(camera), track, appearance }
    }

    fn at_ms(ms: i64) -> Timestamp {
        Timestamp::from_ns(ms * 1_000_000)
    }

    #[test]
    fn one_face_in_every_view_is_one_person() {
        let mut associator = Associator::default();
        let ids = associator.step(at_ms(0), &[face(0, 1, GREEN), face(1, 5, GREEN), face(2, 9, GREEN)]);
        assert_eq!(ids, [1; 3]);
    }

    #[test]
    fn two_people_are_told_apart_by_their_looks_in_any_order() {
        let mut associator = Associator::default();
        let faces = [face(0, 1, GREEN), face(0, 2, GREY), face(1, 1, GREY), face(1, 2, GREEN)];
        assert_eq!(associator.step(at_ms(0), &faces), [1, 2, 2, 1]);
    }

    #[test]
    fn a_track_stays_its_persons_whatever_it_looks_like() {
        let mut associator = Associator::default();
        associator.step(at_ms(0), &[face(0, 1, GREEN), face(0, 2, GREY)]);
        assert_eq!(associator.step(at_ms(40), &[face(0, 1, GREY), face(0, 2, GREEN)]), [1, 2]);
    }

    #[test]
    fn who_comes_back_within_seconds_keeps_the_id_and_later_is_new() {
        let mut associator = Associator::default();
        associator.step(at_ms(0), &[face(0, 1, GREEN), face(1, 1, GREEN), face(0, 2, GREY), face(1, 2, GREY)]);
        let without_grey = [face(0, 1, GREEN), face(1, 1, GREEN)];
        associator.step(at_ms(1000), &without_grey);
        let back = associator.step(at_ms(3000), &[without_grey[0], without_grey[1], face(1, 7, GREY)]).to_vec();
        assert_eq!(back, [1, 1, 2]);
        associator.step(at_ms(6000), &without_grey);
        let late = associator.step(at_ms(9000), &[without_grey[0], without_grey[1], face(1, 8, GREY)]).to_vec();
        assert_eq!(late, [1, 1, 3]);
    }
}
