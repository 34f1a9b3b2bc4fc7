//! Gathers the faces of one data set as they are found: names become indices.

use std::collections::HashMap;
use std::hash::Hash;
use std::path::PathBuf;

use super::{ANY_VIEW, Crop, Face, Faces, Set, Sex, Skipped, Subject};
use crate::scene::Expression;
use crate::train::datasets::DatasetSpec;

/// What a data set says of a picture, by names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Who.
    pub subject: Option<String>,
    /// Their sex.
    pub sex: Option<Sex>,
    /// Pictures with the same scene were taken at the same time; none: it was taken alone.
    pub scene: Option<String>,
    /// From where; none: nobody says.
    pub view: Option<String>,
    /// How the person looks.
    pub expression: Option<Expression>,
}

/// Faces of one data set.
pub struct Gather {
    faces: Faces,
    subjects: Ids<Subject>,
    views: Ids<String>,
    scenes: Ids<String>,
}

impl Gather {
    /// Nothing yet of `spec`, but what was left out before any picture was opened.
    pub fn of(spec: DatasetSpec, skipped: Vec<Skipped>) -> Self {
        let set = Set { name: spec.name(), spec };
        let faces = Faces { sets: vec![set], skipped, ..Faces::default() };
        Self { faces, subjects: Ids::default(), views: Ids::default(), scenes: Ids::default() }
    }

    /// Adds a face.
    pub fn add(&mut self, about: &About, crop: Crop, yaw_deg: Option<f32>, time_s: Option<f64>, source: PathBuf) {
        let named = |name: &String| format!("{}/{name}", self.faces.sets[0].name);
        let subject = about.subject.as_ref().map(|name| Subject { name: named(name), sex: about.sex });
        let scene = about.scene.as_ref().map(|scene| self.scenes.of(scene.clone(), &mut self.faces.scenes));
        let scene = scene.unwrap_or_else(|| {
            self.faces.scenes += 1;
            self.faces.scenes - 1
        });
        let view = about.view.clone().unwrap_or_else(|| ANY_VIEW.to_owned());
        self.faces.faces.push(Face {
            set: 0,
            subject: subject.map(|subject| self.subjects.push(subject, &mut self.faces.subjects)),
            scene,
            view: self.views.push(view, &mut self.faces.views),
            expression: about.expression,
            yaw_deg,
            time_s,
            crop,
            source,
        });
    }

    /// Adds a picture that cannot be used.
    pub fn skip(&mut self, source: PathBuf, reason: impl Into<String>) {
        self.faces.skipped.push(Skipped { set: 0, source, reason: reason.into() });
    }

    /// All of them.
    pub fn finish(self) -> Faces {
        self.faces
    }
}

/// Numbers for what comes again and again.
struct Ids<T>(HashMap<T, usize>);

impl<T> Default for Ids<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone + Eq + Hash> Ids<T> {
    /// The number of `what`, the next one if it is new; `count` is how many there are.
    fn of(&mut self, what: T, count: &mut usize) -> usize {
        *self.0.entry(what).or_insert_with(|| {
            *count += 1;
            *count - 1
        })
    }

    /// The place of `what` in `all`, at the end if it is new.
    fn push(&mut self, what: T, all: &mut Vec<T>) -> usize {
        *self.0.entry(what).or_insert_with_key(|what| {
            all.push(what.clone());
            all.len() - 1
        })
    }
}
