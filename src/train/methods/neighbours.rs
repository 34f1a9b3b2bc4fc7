//! Whom a face can be paired with, as SSL-FER asks: a moment before or after, from another side, much later, somebody
//! else.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::train::faces::Faces;
use crate::train::swap::{are_turned_alike, can_swap};

/// Seconds between two frames of the code's clips; offsets in time are multiples of it.
pub(super) const FRAME_S: f64 = 6.0 / 25.0;
/// Frames to a positive, and how often each is drawn (of 15): the code's falling law.
const OFFSETS: [(f64, u32); 5] = [(2.0, 5), (3.0, 4), (4.0, 3), (5.0, 2), (6.0, 1)];

/// The clip of each face: pictures of one person by one camera in one go.
pub(super) fn clips(faces: &Faces) -> Vec<usize> {
    let mut known = BTreeMap::new();
    let clip = faces.faces.iter().map(|face| {
        let next = known.len();
        *known.entry((face.set, face.subject, face.view, face.source.parent())).or_insert(next)
    });
    clip.collect()
}

/// Some faces, by what belongs together.
pub(super) struct Neighbours<'a> {
    faces: &'a Faces,
    /// The clip of each face, as [`clips`] has it.
    clip: &'a [usize],
    /// Of each clip its faces and their times, in the order of time.
    clips: BTreeMap<usize, Vec<(f64, usize)>>,
    /// Of each person at each instant the faces.
    instants: BTreeMap<(Option<usize>, usize), Vec<usize>>,
    /// Of each person the faces.
    people: BTreeMap<usize, Vec<usize>>,
    /// Faces that others can be swapped into.
    outers: Vec<usize>,
}

impl<'a> Neighbours<'a> {
    /// Those of `faces` whose indices are in `pool`.
    pub(super) fn of(faces: &'a Faces, clip: &'a [usize], pool: &[usize]) -> Self {
        let indices: BTreeSet<usize> = pool.iter().copied().filter(|index| *index < faces.faces.len()).collect();
        let (clips, instants, people) = Default::default();
        let mut found = Self { faces, clip, clips, instants, people, outers: Vec::new() };
        for index in indices {
            let face = &faces.faces[index];
            found.instants.entry((face.subject, face.scene)).or_default().push(index);
            if let Some(time) = face.time_s {
                found.clips.entry(clip[index]).or_default().push((time, index));
            }
            if let Some(subject) = face.subject {
                found.people.entry(subject).or_default().push(index);
            }
            if can_swap(face) {
                found.outers.push(index);
            }
        }
        found.clips.values_mut().for_each(|clip| clip.sort_by(|(one, _), (other, _)| one.total_cmp(other)));
        found
    }

    /// Whether any has a neighbour in time.
    pub(super) fn have_time(&self) -> bool {
        self.clips.values().any(|clip| clip.len() >= 2)
    }

    /// Whether any was seen from two sides at one instant.
    pub(super) fn have_views(&self) -> bool {
        self.instants.values().any(|faces| faces.len() >= 2)
    }

    /// Whether any has a hard negative.
    pub(super) fn have_hard_negatives(&self, apart_s: f64) -> bool {
        self.instants.values().flatten().any(|face| !self.hard_negatives(*face, apart_s).is_empty())
    }

    /// Whether any can be swapped into another person's.
    pub(super) fn have_outers(&self) -> bool {
        let person = |face: &usize| self.faces.faces[*face].subject;
        let first = self.outers.first().and_then(person);
        self.outers.len() >= 2 && (first.is_none() || self.outers.iter().any(|face| person(face) != first))
    }

    /// The face a moment before or after.
    pub(super) fn moment(&self, face: usize, rng: &mut StdRng) -> Option<usize> {
        let time = self.faces.faces[face].time_s?;
        let clip = self.clips.get(&self.clip[face])?;
        let (frames, _) = OFFSETS.choose_weighted(rng, |(_, weight)| *weight).ok()?;
        let forward = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
        // The nearest face to the wanted time, if it is nearer than half a frame of the code's clips.
        let at = |wanted: f64| {
            let place = clip.partition_point(|(time, _)| *time < wanted);
            let around = clip[place.saturating_sub(1)..].iter().take(2);
            let near = around.filter(|(time, other)| (time - wanted).abs() <= FRAME_S / 2.0 && *other != face);
            near.min_by(|(one, _), (other, _)| (one - wanted).abs().total_cmp(&(other - wanted).abs()))
        };
        let offset = forward * frames * FRAME_S;
        at(time + offset).or_else(|| at(time - offset)).map(|(_, face)| *face)
    }

    /// The same instant by another camera.
    pub(super) fn other_view(&self, face: usize, rng: &mut StdRng) -> Option<usize> {
        let key = (self.faces.faces[face].subject, self.faces.faces[face].scene);
        let others: Vec<usize> = self.instants.get(&key)?.iter().copied().filter(|other| *other != face).collect();
        others.choose(rng).copied()
    }

    /// The same person long before or after in the clip, either as likely if both are there; of a still, with another
    /// expression, from the same side if there is such a picture: the angle is not to tell it apart.
    pub(super) fn hard_negative(&self, face: usize, apart_s: f64, rng: &mut StdRng) -> Option<usize> {
        self.hard_negatives(face, apart_s).choose(rng)?.choose(rng).copied()
    }

    /// Those that may be one, in groups of which each is as likely and none is empty.
    fn hard_negatives(&self, face: usize, apart_s: f64) -> Vec<Vec<usize>> {
        let mut groups = self.groups_apart(face, apart_s);
        groups.retain(|group| !group.is_empty());
        groups
    }

    fn groups_apart(&self, face: usize, apart_s: f64) -> Vec<Vec<usize>> {
        let own = &self.faces.faces[face];
        if let Some(time) = own.time_s {
            let clip = self.clips.get(&self.clip[face]).map_or(&[][..], Vec::as_slice);
            let those = |is_far: &dyn Fn(f64) -> bool| {
                clip.iter().filter(|(other, _)| is_far(*other)).map(|(_, face)| *face).collect()
            };
            return vec![those(&|other| other <= time - apart_s), those(&|other| other >= time + apart_s)];
        }
        let (Some(subject), Some(expression)) = (own.subject, own.expression) else { return Vec::new() };
        let others = self.people.get(&subject).map_or(&[][..], Vec::as_slice);
        let differs = |other: &usize| self.faces.faces[*other].expression.is_some_and(|other| other != expression);
        let (same_view, other_view): (Vec<usize>, Vec<usize>) =
            others.iter().copied().filter(differs).partition(|other| self.faces.faces[*other].view == own.view);
        vec![if same_view.is_empty() { other_view } else { same_view }]
    }

    /// A face of somebody else who looks in about the same direction, for `inner` to be swapped into.
    pub(super) fn outer(&self, inner: usize, rng: &mut StdRng) -> Option<usize> {
        let inner = &self.faces.faces[inner];
        let fits = |outer: &usize| {
            let outer = &self.faces.faces[*outer];
            (outer.subject.is_none() || outer.subject != inner.subject) && are_turned_alike(inner, outer)
        };
        let outers: Vec<usize> = self.outers.iter().copied().filter(fits).collect();
        outers.choose(rng).copied()
    }
}
