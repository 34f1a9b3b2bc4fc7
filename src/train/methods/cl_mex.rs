//! CL-MEx-style learning: pictures that several cameras took of one instant are to look alike to the network, whatever
//! the angle, and other instants not.
//!
//! S. Roy, A. Etemad, "Self-supervised Contrastive Learning of Multi-view Facial Expressions" (CL-MEx), ICMI 2021, and
//! "Contrastive Learning of View-invariant Representations for Facial Expressions Recognition" (ViewFX), ACM TOMM 2023.
//! That simultaneous views are the positives, and that ViewFX adds a supervised contrastive and a Barlow Twins term, is
//! read in their abstracts \[R\]. Their losses were not at hand: the forms here are a reconstruction \[I\], the figures
//! \[O\].

use burn::tensor::{Int, Tensor};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::scenes::{Scene, draw_by_subject, scenes};
use super::{Loss, Method};
use crate::network::Outputs;
use crate::train::batch::{Batch, Change, Shot};
use crate::train::faces::Faces;
use crate::train::fault;
use crate::train::losses::barlow::{LAMBDA, barlow};
use crate::train::losses::contrast::Relation::{Ignored, Negative, Positive};
use crate::train::losses::contrast::{contrast, contrast_groups};

/// Which pictures are to look alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Positives {
    /// Those of one instant (CL-MEx): no label is needed.
    #[default]
    Instant,
    /// Those of a person with an expression, whenever they were taken (ViewFX); without a label, those of one instant.
    SubjectExpression,
}

/// How CL-MEx-style learning is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Instants a batch.
    pub scenes: usize,
    /// Instants of each person in it, of different expressions where there are: with one alone, who it is would do to
    /// tell the instants apart.
    pub scenes_per_subject: usize,
    /// Views of each instant.
    pub views: usize,
    /// Augmentations of each view.
    pub augmentations: usize,
    /// Which pictures are to look alike.
    pub positives: Positives,
    /// Temperature of the contrastive terms.
    pub temperature: f32,
    /// Weight of the supervised contrastive term (ViewFX): pictures of one expression are to look alike. 0 is CL-MEx
    /// alone.
    pub alpha: f32,
    /// Weight of the Barlow Twins term (ViewFX) between two views of an instant. 0 is CL-MEx alone.
    pub beta: f32,
    /// Seconds between two instants of a clip that are to be told apart.
    pub apart_s: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            scenes: 32,
            scenes_per_subject: 4,
            views: 2,
            augmentations: 2,
            positives: Positives::Instant,
            temperature: 0.1,
            alpha: 0.0,
            beta: 0.0,
            apart_s: 1.0,
        }
    }
}

impl Settings {
    pub(super) fn fault(&self, table: &str) -> Option<(String, String)> {
        fault::first(
            table,
            &[
                ((2..=4096).contains(&self.scenes), "scenes", "between 2 and 4096"),
                ((1..=self.scenes).contains(&self.scenes_per_subject), "scenes_per_subject", "between 1 and `scenes`"),
                ((2..=64).contains(&self.views), "views", "between 2 and 64"),
                ((1..=64).contains(&self.augmentations), "augmentations", "between 1 and 64"),
                ((0.01..=10.0).contains(&self.temperature), "temperature", "between 0.01 and 10"),
                ((0.0..=100.0).contains(&self.alpha), "alpha", "between 0 and 100"),
                ((0.0..=100.0).contains(&self.beta), "beta", "between 0 and 100"),
                ((0.0..=3600.0).contains(&self.apart_s), "apart_s", "between 0 and 3600"),
            ],
        )
    }

    pub(super) fn prepare(self, faces: &Faces, pool: &[usize]) -> Result<ClMex, String> {
        let scenes = self.scenes(faces, pool);
        if scenes.len() < 2 {
            return Err(
                "at most one of their scenes has two views, and it learns from pictures that several cameras took at \
                        the same time. Name such a set in `data.pretrain` (kdef, a take, ddcf with a mapping file), \
                        or take `simclr`"
                    .to_owned(),
            );
        }
        if self.alpha > 0.0 && scenes.iter().all(|scene| scene.expression.is_none()) {
            return Err(
                "none of them has a label, and the supervised contrastive term needs some. Set `alpha` to 0".to_owned()
            );
        }
        let mut notes = Vec::new();
        let found = draw_by_subject(
            scenes,
            self.scenes,
            self.scenes_per_subject,
            self.apart_s,
            &mut StdRng::from_seed([0; 32]),
        );
        if found.len() < self.scenes {
            let Self { scenes, apart_s, .. } = self;
            notes.push(format!(
                "a batch has about {} scenes, not {scenes}: no more with several views are {apart_s} s apart",
                found.len()
            ));
        }
        Ok(ClMex { settings: self, notes })
    }

    /// Whether it learns from labels.
    pub(super) fn reads_labels(&self) -> bool {
        self.positives == Positives::SubjectExpression || self.alpha > 0.0
    }

    /// Those with two views. How somebody looks is not known unless the method may read it: without labels no batch is
    /// composed by them either.
    fn scenes(&self, faces: &Faces, pool: &[usize]) -> Vec<Scene> {
        let mut scenes = scenes(faces, pool);
        scenes.retain(|scene| scene.faces.len() >= 2);
        if !self.reads_labels() {
            scenes.iter_mut().for_each(|scene| scene.expression = None);
        }
        scenes
    }

    /// Rows of the first and of the second view of every scene.
    fn paired_rows(&self, pictures: usize) -> [Vec<usize>; 2] {
        let per_scene = self.views * self.augmentations;
        [0, 1].map(|view| {
            let of_view = |row: &usize| row % per_scene / self.augmentations == view;
            (0..pictures).filter(of_view).collect()
        })
    }
}

/// CL-MEx-style learning of some faces.
pub(super) struct ClMex {
    settings: Settings,
    notes: Vec<String>,
}

impl Method for ClMex {
    fn pictures(&self) -> usize {
        let Settings { scenes, views, augmentations, .. } = self.settings;
        scenes * views * augmentations
    }

    /// Scene by scene, in it view by view: the rows of a scene stand together. A scene with too few views gives some
    /// twice.
    fn draw(&self, faces: &Faces, pool: &[usize], rng: &mut StdRng) -> Batch {
        let Settings { scenes: count, scenes_per_subject, views: per_scene, augmentations, positives, apart_s, .. } =
            self.settings;
        let scenes = draw_by_subject(self.settings.scenes(faces, pool), count, scenes_per_subject, apart_s, rng);
        let mut batch = Batch::default();
        for (number, scene) in scenes.iter().enumerate() {
            let is_same = |other: &Scene| (other.subject, other.expression) == (scene.subject, scene.expression);
            let is_known = scene.subject.is_some() && scene.expression.is_some();
            let group = match positives {
                Positives::SubjectExpression if is_known => scenes.iter().position(is_same).unwrap_or(number),
                _ => number,
            };
            let mut views: Vec<usize> = scene.faces.sample(rng, per_scene).copied().collect();
            for view in 0..per_scene - views.len() {
                views.push(views[view]);
            }
            for face in views {
                for _ in 0..augmentations {
                    batch.push(faces, Shot { face, seed: rng.next_u64(), change: Change::None }, group);
                }
            }
        }
        batch
    }

    fn loss(&self, outputs: &Outputs, batch: &Batch) -> Loss {
        let Settings { temperature, alpha, beta, .. } = self.settings;
        let views = contrast_groups(outputs.projection.clone(), temperature, &batch.group);
        let mut terms = vec![("views", 1.0, views)];
        if alpha > 0.0 {
            let label = &batch.label;
            let relation = |i: usize, j: usize| match (label[i], label[j]) {
                (Some(one), Some(other)) if one == other => Positive,
                (Some(_), Some(_)) => Negative,
                _ => Ignored,
            };
            let expressions = contrast(outputs.projection.clone(), temperature, |_| 1.0, relation);
            terms.push(("expressions", alpha, expressions));
        }
        if beta > 0.0 {
            let [first, second] = self.settings.paired_rows(batch.shots.len()).map(|rows| {
                let rows: Vec<i64> = rows.into_iter().map(|row| row as i64).collect();
                let rows = Tensor::<1, Int>::from_ints(&rows[..], &outputs.projection.device());
                outputs.projection.clone().select(0, rows)
            });
            terms.push(("redundancy", beta, barlow(first, second, LAMBDA)));
        }
        Loss::sum(terms)
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::tests::{outputs, rng};
    use super::*;
    use crate::scene::Expression;
    use crate::train::faces::Face;
    use crate::train::sample;

    fn drawn(settings: Settings, faces: &Faces) -> (ClMex, Batch) {
        let method = settings.prepare(faces, &faces.all()).unwrap();
        let batch = method.draw(faces, &faces.all(), &mut rng(4));
        (method, batch)
    }

    /// KDEF's two sessions: everybody shows every expression at two instants.
    fn two_sessions(subjects: usize, views: usize) -> Faces {
        let mut faces = sample::stills(subjects, views);
        let scenes = subjects * Expression::COUNT;
        let again = faces.faces.clone().into_iter().map(|face| Face { scene: face.scene + scenes, ..face });
        faces.faces.extend(again);
        faces.scenes = 2 * scenes;
        faces
    }

    #[test]
    fn without_labels_no_batch_is_composed_by_them() {
        let faces = two_sessions(12, 5);
        let mut unlabelled = faces.clone();
        unlabelled.faces.iter_mut().for_each(|face| face.expression = None);
        let shots = |settings: &Settings, faces: &Faces| drawn(settings.clone(), faces).1.shots;
        let instant = Settings::default();
        assert_eq!(shots(&instant, &faces), shots(&instant, &unlabelled));
        let supervised = Settings { alpha: 0.5, ..instant };
        assert!(supervised.reads_labels() && shots(&supervised, &faces) != shots(&Settings::default(), &faces));
    }

    #[test]
    fn a_group_is_one_instant_from_different_sides_and_with_labels_people_come_with_several_expressions() {
        let faces = two_sessions(12, 5);
        let (_, batch) = drawn(Settings { alpha: 0.5, ..Settings::default() }, &faces);
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        batch
            .shots
            .iter()
            .zip(&batch.group)
            .for_each(|(shot, group)| groups.entry(*group).or_default().push(shot.face));
        assert_eq!(groups.len(), 32);
        let mut expressions: BTreeMap<Option<usize>, BTreeSet<usize>> = BTreeMap::new();
        for members in groups.values() {
            let scenes: BTreeSet<usize> = members.iter().map(|face| faces.faces[*face].scene).collect();
            let views: BTreeSet<usize> = members.iter().map(|face| faces.faces[*face].view).collect();
            assert_eq!((members.len(), scenes.len(), views.len()), (4, 1, 2));
            let face = &faces.faces[members[0]];
            assert!(expressions.entry(face.subject).or_default().insert(face.expression.unwrap() as usize));
        }
        assert!(expressions.values().all(|of_person| of_person.len() == 4), "{expressions:?}");
    }

    #[test]
    fn who_it_is_does_not_do_to_solve_it() {
        let faces = sample::stills(12, 2);
        let (method, batch) = drawn(Settings::default(), &faces);
        let loss = |number: &dyn Fn(usize) -> usize| -> f32 {
            let rows: Vec<Vec<f32>> = (0..batch.shots.len())
                .map(|row| (0..100).map(|n| f32::from(u8::from(n == number(row)))).collect())
                .collect();
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            method.loss(&outputs(&rows), &batch).total.into_scalar()
        };
        let by_person = loss(&|row| faces.faces[batch.shots[row].face].subject.unwrap());
        let by_scene = loss(&|row| faces.faces[batch.shots[row].face].scene);
        // Three positives share what a picture has: ln 3 is the least; by person fifteen look alike.
        assert!((by_scene - 3.0_f32.ln()).abs() < 0.01 && by_person > 15.0_f32.ln() - 0.01, "{by_scene} {by_person}");
    }

    #[test]
    fn subject_expression_joins_both_sessions_of_a_person_and_no_two_people() {
        let faces = two_sessions(4, 2);
        let settings = Settings { positives: Positives::SubjectExpression, scenes: 56, ..Settings::default() };
        let (_, batch) = drawn(settings, &faces);
        let mut groups: BTreeMap<usize, BTreeSet<(usize, usize, usize)>> = BTreeMap::new();
        for (shot, group) in batch.shots.iter().zip(&batch.group) {
            let face = &faces.faces[shot.face];
            let key = (face.subject.unwrap(), face.expression.unwrap() as usize, face.scene);
            groups.entry(*group).or_default().insert(key);
        }
        assert_eq!(groups.len(), 28);
        for group in groups.values() {
            assert_eq!(group.len(), 2, "both sessions");
            let people: BTreeSet<(usize, usize)> = group.iter().map(|(subject, class, _)| (*subject, *class)).collect();
            assert_eq!(people.len(), 1);
        }
    }

    #[test]
    fn two_people_at_one_instant_are_no_positives_and_instants_close_in_time_are_not_both_drawn() {
        let mut faces = sample::clips(2, 6, 10);
        let others = faces.faces.clone().into_iter().map(|face| Face { subject: Some(1), ..face });
        faces.faces.extend(others);
        let (method, batch) = drawn(Settings::default(), &faces);
        let mut times: BTreeMap<(Option<usize>, usize), f64> = BTreeMap::new();
        for (shot, group) in batch.shots.iter().zip(&batch.group) {
            let face = &faces.faces[shot.face];
            let time = times.entry((face.subject, *group)).or_insert(face.time_s.unwrap());
            assert_eq!(Some(*time), face.time_s);
        }
        let groups: BTreeSet<usize> = batch.group.iter().copied().collect();
        assert_eq!(times.len(), groups.len(), "one person a group");
        let people: BTreeSet<Option<usize>> = times.keys().map(|(person, _)| *person).collect();
        assert_eq!(people.len(), 2, "both are drawn");
        for ((person, group), time) in &times {
            let others = times.iter().filter(|((other, number), _)| other == person && number != group);
            others.for_each(|(_, other)| assert!((time - other).abs() >= 1.0, "{time} {other}"));
        }
        assert!(method.notes().iter().any(|note| note.contains("not 32")), "{:?}", method.notes());
    }

    #[test]
    fn the_terms_of_viewfx_are_added_by_their_weights() {
        let faces = sample::stills(12, 3);
        let plain = Settings { scenes: 8, ..Settings::default() };
        let (method, batch) = drawn(Settings { alpha: 2.0, beta: 0.1, ..plain.clone() }, &faces);
        let rows = crate::train::losses::gradient::random(batch.shots.len(), 6, 3);
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let loss = method.loss(&outputs(&rows), &batch);
        let part = |name: &str| loss.parts.iter().find(|(known, _)| *known == name).unwrap().1;
        let total: f32 = loss.total.clone().into_scalar();
        assert!((total - part("views") - 2.0 * part("expressions") - 0.1 * part("redundancy")).abs() < 1e-4);
        let expressions: Vec<usize> = batch.label.iter().map(|label| label.unwrap() as usize).collect();
        let expected: f32 = contrast_groups(outputs(&rows).projection, 0.1, &expressions).into_scalar();
        assert!((part("expressions") - expected).abs() < 1e-5);
        // Barlow's pairs are two views of one instant, never two augmentations of one.
        let [first, second] = method.settings.paired_rows(batch.shots.len());
        for (one, other) in first.into_iter().zip(second) {
            let [one_face, other_face] = [one, other].map(|row| &faces.faces[batch.shots[row].face]);
            assert_eq!(one_face.scene, other_face.scene);
            assert_ne!(one_face.view, other_face.view);
        }
    }
}
