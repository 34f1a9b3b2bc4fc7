//! Which faces of the views belong to one person.
//!
//! Two faces in one view are two people, and a track stays its person's. With a calibrated rig the rest is geometry:
//! faces of one person lie on rays that meet, about as far away as they look large, near where the person was; looks
//! decide between people who stand together, and know again who comes back. Without a rig people are told apart by their
//! looks alone ([`Appearance`]).

use std::time::Duration;

use nalgebra::{Point3, Vector3};

use crate::face::appearance::Appearance;
use crate::face::placed::Placed;
use crate::frame::{CameraId, MAX_CAMERAS};
use crate::rig::geometry::{Ray, meeting_point};
use crate::time::Timestamp;

/// Faces less alike than this are two people, even if they are the only face of their views.
const DIFFERENT: f32 = 0.45;
/// Where a view shows several people, a face must look at least this much like the person it is given to.
const ALIKE: f32 = 0.7;
/// How long somebody who is gone keeps the id.
const REMEMBERED: Duration = Duration::from_secs(5);
/// Share of the newest look in what is remembered.
const LEARNING: f32 = 0.05;
/// How far a ray through a face may pass its person: landmarks of a profile and of a front have their middles some
/// centimetres apart, and so do a rig and the truth.
const REACH_M: f64 = 0.1;
/// How fast a head moves of which nothing is known yet, metres a second: frames of one set are taken up to its skew apart.
const SPEED: f64 = 0.7;
/// How far off a place may be that one view alone gives, as a share of the distance.
const SIZE_SPREAD: f64 = 0.2;
/// A face may look larger or smaller than it should by this factor (natural logarithm).
const SIZE_RATIO: f64 = 0.5;
/// How fast somebody may have gone elsewhere while nobody saw it, metres a second.
const UNSEEN_SPEED: f64 = 1.0;
/// Somebody who was not seen for so long must also look alike.
const UNSEEN: Duration = Duration::from_millis(300);

/// A face to be given to a person.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Which view.
    pub camera: CameraId,
    /// Its track there.
    pub track: u32,
    /// What it looks like there.
    pub appearance: Appearance,
    /// Where it must be, if the camera is calibrated.
    pub placed: Option<Placed>,
}

/// Where somebody is.
#[derive(Clone, Copy, Debug)]
struct Whereabouts {
    position: Point3<f64>,
    /// Metres a second.
    velocity: Vector3<f64>,
    at: Timestamp,
    /// How far off that may be, metres.
    spread_m: f64,
}

impl Whereabouts {
    /// Where somebody should be at `at`, and how far off that may be in frames that are `skew` apart.
    fn expected(&self, at: Timestamp, skew: Duration) -> (Point3<f64>, f64) {
        let seconds = at.since(self.at).as_secs_f64();
        let meanwhile = self.velocity.norm().max(SPEED) * skew.as_secs_f64();
        (self.position + self.velocity * seconds.min(0.2), self.spread_m + UNSEEN_SPEED * seconds + meanwhile)
    }
}

struct Person {
    id: u32,
    seen_at: Timestamp,
    whereabouts: Option<Whereabouts>,
    /// The look in each view, kept while remembered, and the track, while it is this person's.
    views: [Option<(Option<u32>, Appearance)>; MAX_CAMERAS],
}

impl Person {
    fn holds(&self, face: &Candidate) -> bool {
        self.views[face.camera.index()].is_some_and(|(track, _)| track == Some(face.track))
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

impl Placed {
    /// How badly a face fits somebody at `position`, who may be `spread_m` further off: 0 is well, above 1 it is
    /// somebody else's.
    fn misfit(&self, position: &Point3<f64>, spread_m: f64) -> f64 {
        let aside = self.ray.distance(position) / (REACH_M + spread_m);
        let along = self.ray.direction.dot(&(position - self.ray.origin));
        if along <= 0.0 {
            return f64::INFINITY;
        }
        // What may be further off may also be nearer or farther.
        let ratio = (along / self.distance_m).ln().abs() / (SIZE_RATIO + spread_m / along);
        aside.max(ratio)
    }
}

/// Gives every face of a set to a person.
#[derive(Default)]
pub struct Associator {
    people: Vec<Person>,
    next_id: u32,
    /// Of the set.
    skew: Duration,
    assigned: Vec<Option<u32>>,
    rays: Vec<Ray>,
    result: Vec<u32>,
}

impl Associator {
    /// The person of each of `faces`, in their order, of a set whose frames were taken up to `skew` apart. Two faces of
    /// one view are never one person.
    pub fn step(&mut self, at: Timestamp, skew: Duration, faces: &[Candidate]) -> &[u32] {
        self.skew = skew;
        self.people.retain(|person| at.since(person.seen_at) < REMEMBERED);
        self.assigned.clear();
        self.assigned.resize(faces.len(), None);

        for (face, assigned) in faces.iter().zip(&mut self.assigned) {
            *assigned = self.people.iter().find(|person| person.holds(face)).map(|person| person.id);
        }
        if !faces.is_empty() && faces.iter().all(|face| face.placed.is_some()) {
            self.assign_by_place(at, faces);
        } else {
            self.assign_by_looks(at, faces);
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

    /// Without a rig: faces that no track gives to anybody go to whom they look most like.
    fn assign_by_looks(&mut self, at: Timestamp, faces: &[Candidate]) {
        let crowded = faces.iter().enumerate().any(|(n, face)| faces[..n].iter().any(|f| f.camera == face.camera));
        let threshold = if crowded || self.people.len() > 1 { ALIKE } else { DIFFERENT };
        while let Some(open) = self.assigned.iter().position(Option::is_none) {
            match self.best_pair(faces, threshold) {
                Some((n, id)) => self.give(at, n, &faces[n], id),
                None => {
                    let id = self.welcome(at, None);
                    self.give(at, open, &faces[open], id);
                }
            }
        }
    }

    /// With a rig.
    fn assign_by_place(&mut self, at: Timestamp, faces: &[Candidate]) {
        // A track that went over to somebody else, as when people cross, is not theirs any more.
        for (n, face) in faces.iter().enumerate() {
            let person = self.assigned[n].and_then(|id| self.people.iter().find(|person| person.id == id));
            if person.and_then(|person| self.misfit(face, person, at)).is_some_and(|misfit| misfit > 1.0) {
                self.assigned[n] = None;
            }
        }
        loop {
            while let Some((n, id)) = self.nearest_pair(at, faces) {
                self.assigned[n] = Some(id);
            }
            let Some(open) = self.assigned.iter().position(Option::is_none) else { break };
            // Somebody new: where the rays of the most faces meet, or else where one face is by its size.
            let alone = || {
                let placed = faces[open].placed?;
                let position = placed.ray.origin + *placed.ray.direction * placed.distance_m;
                Some((open, position, SIZE_SPREAD * placed.distance_m))
            };
            let Some((n, position, spread_m)) = self.meeting_of_most(faces).or_else(alone) else { break };
            let place = Whereabouts { position, velocity: Vector3::zeros(), at, spread_m };
            self.assigned[n] = Some(self.welcome(at, Some(place)));
        }
        self.locate(at, faces);
    }

    /// The face without a person and the person without a face in its view that fit best.
    fn nearest_pair(&self, at: Timestamp, faces: &[Candidate]) -> Option<(usize, u32)> {
        let mut best = None;
        let mut least = f64::INFINITY;
        for (n, face) in faces.iter().enumerate().filter(|(n, _)| self.assigned[*n].is_none()) {
            for person in &self.people {
                let Some(misfit) = self.misfit(face, person, at).filter(|misfit| *misfit <= 1.0) else { continue };
                let similarity = person.similarity(face);
                let was_away = at.since(person.seen_at) > UNSEEN;
                let taken = |k: usize| faces[k].camera == face.camera && self.assigned[k] == Some(person.id);
                if (was_away && similarity < ALIKE) || (0..faces.len()).any(taken) {
                    continue;
                }
                let cost = misfit + f64::from(1.0 - similarity);
                if cost < least {
                    (best, least) = (Some((n, person.id)), cost);
                }
            }
        }
        best
    }

    /// How badly `face` fits where `person` should be; `None` if nothing is known of that.
    fn misfit(&self, face: &Candidate, person: &Person, at: Timestamp) -> Option<f64> {
        let (position, spread_m) = person.whereabouts?.expected(at, self.skew);
        Some(face.placed?.misfit(&position, spread_m))
    }

    /// Where the rays of the most faces without a person meet, each of another view: one of those faces, the place, and
    /// how far off it may be. Two rays of different people may meet as well: then the size of the faces tells, and the
    /// third view.
    fn meeting_of_most(&self, faces: &[Candidate]) -> Option<(usize, Point3<f64>, f64)> {
        let open = |n: &usize| self.assigned[*n].is_none();
        let spread_m = SPEED * self.skew.as_secs_f64();
        let mut best: Option<(usize, f64, usize, Point3<f64>)> = None;
        for a in (0..faces.len()).filter(open) {
            for b in (a + 1..faces.len()).filter(open).filter(|b| faces[*b].camera != faces[a].camera) {
                let (Some(one), Some(other)) = (&faces[a].placed, &faces[b].placed) else { continue };
                let Some((_, point)) = one.ray.meets(&other.ray) else { continue };
                let fits = |n: &usize| faces[*n].placed.is_some_and(|placed| placed.misfit(&point, spread_m) <= 1.0);
                if !fits(&a) || !fits(&b) {
                    continue;
                }
                let others = (0..faces.len())
                    .filter(open)
                    .filter(|n| faces[*n].camera != faces[a].camera && faces[*n].camera != faces[b].camera && fits(n));
                let support = others.count();
                let misfit = one.misfit(&point, spread_m) + other.misfit(&point, spread_m);
                let cost = misfit + 2.0 * f64::from(1.0 - faces[a].appearance.similarity(&faces[b].appearance));
                if best.is_none_or(|(most, least, ..)| support > most || (support == most && cost < least)) {
                    best = Some((support, cost, a, point));
                }
            }
        }
        best.map(|(_, _, n, point)| (n, point, 0.0))
    }

    /// Where everybody is now, by all rays of their faces.
    fn locate(&mut self, at: Timestamp, faces: &[Candidate]) {
        for person in &mut self.people {
            self.rays.clear();
            let of_person = faces.iter().zip(&self.assigned).filter(|(_, id)| **id == Some(person.id));
            self.rays.extend(of_person.filter_map(|(face, _)| face.placed).map(|placed| placed.ray));
            let before = person.whereabouts;
            let (position, spread_m) = match (&self.rays[..], before) {
                ([], _) => continue,
                (rays, before) => match (meeting_point(rays), before) {
                    (Some(point), _) => (point, 0.0),
                    // One view, or views from nearly one place, tell the direction; the distance stays.
                    (None, Some(before)) => {
                        let (ray, (expected, _)) = (&rays[0], before.expected(at, Duration::ZERO));
                        let along = ray.direction.dot(&(expected - ray.origin)).max(0.1);
                        (ray.origin + *ray.direction * along, before.spread_m)
                    }
                    (None, None) => continue,
                },
            };
            let moved = before.map(|before| (position - before.position, at.since(before.at).as_secs_f64(), before));
            let velocity = match moved {
                Some((way, seconds, before)) if seconds > 0.0 && seconds < 0.2 => {
                    0.7 * before.velocity + 0.3 * way / seconds
                }
                _ => Vector3::zeros(),
            };
            person.whereabouts = Some(Whereabouts { position, velocity, at, spread_m });
        }
    }

    /// Somebody new.
    fn welcome(&mut self, at: Timestamp, whereabouts: Option<Whereabouts>) -> u32 {
        self.next_id += 1;
        let id = self.next_id;
        self.people.push(Person { id, seen_at: at, whereabouts, views: [None; MAX_CAMERAS] });
        id
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
        // A track that went over to somebody else is not theirs any more.
        for other in self.people.iter_mut().filter(|other| other.id != id && other.holds(face)) {
            if let Some((track, _)) = &mut other.views[face.camera.index()] {
                *track = None;
            }
        }
        let Some(person) = self.people.iter_mut().find(|person| person.id == id) else { return };
        person.seen_at = at;
        match &mut person.views[face.camera.index()] {
            Some((track, look)) => {
                *track = Some(face.track);
                look.blend(&face.appearance, LEARNING);
            }
            empty => *empty = Some((Some(face.track), face.appearance)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;
    use crate::scene::Rect;

    const SKEW: Duration = Duration::from_millis(10);
    const GREEN: [u8; 3] = [150, 220, 180];
    const GREY: [u8; 3] = [70, 80, 85];

    fn face(camera: u8, track: u32, clothes: [u8; 3]) -> Candidate {
        let (width, height) = (100, 200);
        let rgb = (0..width * height).flat_map(|n| if n / width < 70 { [180, 140, 120] } else { clothes }).collect();
        let image = Image { width, height, scale: 1.0, rgb };
        let appearance = Appearance::of(&image, Rect { x: 30.0, y: 10.0, w: 40.0, h: 50.0 });
        Candidate { camera: CameraId(camera), track, appearance, placed: None }
    }

    fn at_ms(ms: i64) -> Timestamp {
        Timestamp::from_ns(ms * 1_000_000)
    }

    #[test]
    fn one_face_in_every_view_is_one_person() {
        let mut associator = Associator::default();
        let ids = associator.step(at_ms(0), SKEW, &[face(0, 1, GREEN), face(1, 5, GREEN), face(2, 9, GREEN)]);
        assert_eq!(ids, [1; 3]);
    }

    #[test]
    fn two_people_are_told_apart_by_their_looks_in_any_order() {
        let mut associator = Associator::default();
        let faces = [face(0, 1, GREEN), face(0, 2, GREY), face(1, 1, GREY), face(1, 2, GREEN)];
        assert_eq!(associator.step(at_ms(0), SKEW, &faces), [1, 2, 2, 1]);
    }

    #[test]
    fn a_track_stays_its_persons_whatever_it_looks_like() {
        let mut associator = Associator::default();
        associator.step(at_ms(0), SKEW, &[face(0, 1, GREEN), face(0, 2, GREY)]);
        assert_eq!(associator.step(at_ms(40), SKEW, &[face(0, 1, GREY), face(0, 2, GREEN)]), [1, 2]);
    }

    #[test]
    fn who_comes_back_within_seconds_keeps_the_id_and_later_is_new() {
        let mut associator = Associator::default();
        associator.step(at_ms(0), SKEW, &[face(0, 1, GREEN), face(1, 1, GREEN), face(0, 2, GREY), face(1, 2, GREY)]);
        let without_grey = [face(0, 1, GREEN), face(1, 1, GREEN)];
        associator.step(at_ms(1000), SKEW, &without_grey);
        let back = associator.step(at_ms(3000), SKEW, &[without_grey[0], without_grey[1], face(1, 7, GREY)]).to_vec();
        assert_eq!(back, [1, 1, 2]);
        associator.step(at_ms(6000), SKEW, &without_grey);
        let late = associator.step(at_ms(9000), SKEW, &[without_grey[0], without_grey[1], face(1, 8, GREY)]).to_vec();
        assert_eq!(late, [1, 1, 3]);
    }

    /// Four cameras in a row, 1.2 m from people, as one of them sees somebody's face.
    fn placed(camera: u8, track: u32, position: [f64; 3], clothes: [u8; 3]) -> Candidate {
        let origin = Point3::new(-0.9 + 0.6 * f64::from(camera), 0.0, -1.2);
        let way = Point3::from(position) - origin;
        let ray = Ray { origin, direction: nalgebra::Unit::new_normalize(way) };
        Candidate { placed: Some(Placed { ray, distance_m: way.norm() * 1.1 }), ..face(camera, track, clothes) }
    }

    const LEFT: [f64; 3] = [-0.3, 0.0, 0.0];
    const RIGHT: [f64; 3] = [0.3, 0.02, 0.2];

    /// What all four see of people, whose tracks have the numbers of their places here.
    fn all_see(people: &[[f64; 3]]) -> Vec<Candidate> {
        let one = |camera| people.iter().zip(1..).map(move |(at, track)| placed(camera, track, *at, GREEN));
        (0..4).flat_map(one).collect()
    }

    #[test]
    fn people_who_look_alike_are_told_apart_by_where_they_are() {
        let mut associator = Associator::default();
        let ids = associator.step(at_ms(0), SKEW, &all_see(&[LEFT, RIGHT])).to_vec();
        assert_eq!(ids, [1, 2, 1, 2, 1, 2, 1, 2].map(|id| if ids[0] == 1 { id } else { 3 - id }));
        // In any order of the faces, and also if their heads are equally high, where all rays meet.
        let mut turned = all_see(&[[-0.3, 0.0, 0.0], [0.3, 0.0, 0.2], [0.0, 0.0, 0.6]]);
        turned.reverse();
        let ids = Associator::default().step(at_ms(0), SKEW, &turned).to_vec();
        for (one, other) in (0..12).flat_map(|one| (0..12).map(move |other| (one, other))) {
            assert_eq!(ids[one] == ids[other], turned[one].track == turned[other].track, "{ids:?}");
        }
    }

    #[test]
    fn a_track_that_goes_over_to_somebody_else_when_people_cross_is_taken_back() {
        let mut associator = Associator::default();
        let before = associator.step(at_ms(0), SKEW, &all_see(&[LEFT, RIGHT])).to_vec();
        let mut faces = all_see(&[LEFT, RIGHT]);
        // In the first view the tracks have changed places.
        (faces[0].track, faces[1].track) = (2, 1);
        assert_eq!(associator.step(at_ms(33), SKEW, &faces), before);
    }

    #[test]
    fn who_walks_past_another_and_is_lost_by_a_view_keeps_the_id() {
        let mut associator = Associator::default();
        let mut ids = Vec::new();
        for n in 0..60 {
            // Two people change places, 0.4 m apart in depth, in two seconds.
            let along = -0.4 + 0.8 * f64::from(n) / 59.0;
            let mut faces = all_see(&[[along, 0.0, 0.0], [-along, 0.0, 0.4]]);
            if (20..40).contains(&n) {
                // The second is behind the first in one view.
                faces.remove(3);
            }
            let now = associator.step(at_ms(i64::from(n) * 33), SKEW, &faces);
            ids.push((now[0], now[1], faces.iter().zip(now).all(|(face, id)| *id == now[face.track as usize - 1])));
        }
        assert!(ids.iter().all(|seen| *seen == (ids[0].0, ids[0].1, true)), "{ids:?}");
    }

    #[test]
    fn who_leaves_after_a_track_went_over_to_somebody_else_does_not_take_that_face() {
        let mut associator = Associator::default();
        let before = associator.step(at_ms(0), SKEW, &all_see(&[LEFT, RIGHT])).to_vec();
        // In the first view the left one's track slips to the right one, who hides them there; then they leave.
        let others = |n: usize| all_see(&[LEFT, RIGHT])[n];
        let slipped = placed(0, 1, RIGHT, GREEN);
        let here = [slipped, others(2), others(3), others(4), others(5)];
        assert_eq!(associator.step(at_ms(33), SKEW, &here)[0], before[1]);
        for n in 2..120 {
            let left_alone = [slipped, others(3), others(5)];
            let ids = associator.step(at_ms(33 * n), SKEW, &left_alone);
            assert!(ids.iter().all(|id| *id == before[1]), "{ids:?}");
        }
    }

    #[test]
    fn people_before_cameras_that_stand_close_together_are_not_mixed_up_in_time() {
        // Rays of such cameras tell no distance: it is known by the size of the faces.
        let pair = |track: u32, x: f64, camera: u8| {
            let origin = Point3::new(0.06 * f64::from(camera), 0.0, -3.0);
            let way = Point3::new(x, 0.0, 0.0) - origin;
            let ray = Ray { origin, direction: nalgebra::Unit::new_normalize(way) };
            Candidate { placed: Some(Placed { ray, distance_m: way.norm() }), ..face(camera, track, GREEN) }
        };
        let mut associator = Associator::default();
        let ids: Vec<Vec<u32>> = (0..300)
            .map(|n| {
                let x = |side: f64| side * (0.8 + 0.1 * (f64::from(n) * 0.05).sin());
                let faces = [pair(1, x(-1.0), 0), pair(1, x(-1.0), 1), pair(2, x(1.0), 0), pair(2, x(1.0), 1)];
                associator.step(at_ms(33 * i64::from(n)), SKEW, &faces).to_vec()
            })
            .collect();
        assert!(ids.iter().all(|now| *now == ids[0] && now[0] != now[2]), "{:?} {:?}", ids[0], ids[299]);
    }

    #[test]
    fn who_moves_between_the_frames_of_a_set_is_one_person() {
        // Up by 0.25 m before the last camera took its picture.
        let above = [LEFT[0], LEFT[1] - 0.25, LEFT[2]];
        let faces = [placed(0, 1, LEFT, GREEN), placed(1, 1, LEFT, GREEN), placed(2, 1, above, GREEN)];
        let ids = |skew_ms| Associator::default().step(at_ms(0), Duration::from_millis(skew_ms), &faces).to_vec();
        assert_eq!(ids(0), [1, 1, 2]);
        assert_eq!(ids(120), [1; 3]);
    }

    #[test]
    fn who_comes_back_elsewhere_is_known_by_looks() {
        let mut associator = Associator::default();
        let first = associator.step(at_ms(0), SKEW, &[placed(0, 1, LEFT, GREEN), placed(1, 1, LEFT, GREEN)])[0];
        let other = [placed(0, 2, RIGHT, GREY), placed(1, 2, RIGHT, GREY)];
        let second = associator.step(at_ms(500), SKEW, &other)[0];
        assert_ne!(first, second);
        let back = [placed(0, 3, [0.0, 0.0, 0.3], GREEN), placed(1, 3, [0.0, 0.0, 0.3], GREEN)];
        assert_eq!(associator.step(at_ms(2000), SKEW, &back), [first, first]);
    }
}
