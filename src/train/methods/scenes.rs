//! The instants of a pool of faces: who was seen, from how many sides.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::scene::Expression;
use crate::train::faces::Faces;

/// One person at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// Index of the person, where it is known who it is.
    pub subject: Option<usize>,
    /// Index of the instant; two people may share it.
    pub scene: usize,
    /// The faces, one a view, in the order of the data set.
    pub faces: Vec<usize>,
    /// How the person looks, where that is known.
    pub expression: Option<Expression>,
    /// When, of a clip.
    pub time_s: Option<f64>,
}

/// All scenes of `pool`, in the order of people and instants. Of several pictures of a view, the first counts.
#[must_use]
pub fn scenes(faces: &Faces, pool: &[usize]) -> Vec<Scene> {
    let mut found: BTreeMap<(Option<usize>, usize), Scene> = BTreeMap::new();
    for &index in pool {
        let Some(face) = faces.faces.get(index) else { continue };
        let scene = found.entry((face.subject, face.scene)).or_insert_with(|| Scene {
            subject: face.subject,
            scene: face.scene,
            faces: Vec::new(),
            expression: face.expression,
            time_s: face.time_s,
        });
        if !scene.faces.iter().any(|&other| faces.faces[other].view == face.view) {
            scene.faces.push(index);
        }
    }
    found.into_values().collect()
}

/// Up to `count` of `scenes`, `per_subject` of each person if there are enough people, more if there are not, and as
/// many different expressions of a person as there are. Instants of a person less than `apart_s` seconds apart are not
/// both drawn: they look alike, and would be told apart in vain.
pub fn draw_by_subject(
    scenes: Vec<Scene>,
    count: usize,
    per_subject: usize,
    apart_s: f64,
    rng: &mut StdRng,
) -> Vec<Scene> {
    // Somebody unknown is somebody else in every scene.
    let mut people: BTreeMap<Result<usize, usize>, Vec<Scene>> = BTreeMap::new();
    scenes.into_iter().for_each(|scene| people.entry(scene.subject.ok_or(scene.scene)).or_default().push(scene));
    let mut people: Vec<Vec<Scene>> = people.into_values().map(|scenes| spread(scenes, apart_s, rng)).collect();
    people.shuffle(rng);

    let mut drawn = Vec::with_capacity(count);
    while drawn.len() < count && people.iter().any(|scenes| !scenes.is_empty()) {
        for scenes in &mut people {
            let take = per_subject.min(count - drawn.len()).min(scenes.len());
            drawn.extend(scenes.drain(..take));
        }
    }
    drawn
}

/// A person's scenes in random order, but so that the first have different expressions and none are close in time.
fn spread(mut scenes: Vec<Scene>, apart_s: f64, rng: &mut StdRng) -> Vec<Scene> {
    scenes.shuffle(rng);
    let mut kept: Vec<(usize, Scene)> = Vec::new();
    for scene in scenes {
        let is_close = |other: &Scene| match (scene.time_s, other.time_s) {
            (Some(one), Some(other)) => (one - other).abs() < apart_s,
            _ => false,
        };
        if !kept.iter().any(|(_, other)| is_close(other)) {
            let repeats = kept.iter().filter(|(_, other)| other.expression == scene.expression).count();
            kept.push((repeats, scene));
        }
    }
    kept.sort_by_key(|(repeats, _)| *repeats);
    kept.into_iter().map(|(_, scene)| scene).collect()
}
