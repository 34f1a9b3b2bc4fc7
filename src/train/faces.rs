//! Faces as training sees them: cut out as the live pipeline cuts them, with who, when, from where and how they look.

mod gather;
mod report;

use std::collections::HashMap;
use std::path::PathBuf;

use rayon::prelude::*;

use crate::image::warp::Similarity;
use crate::infer::manifest::sha256;
use crate::scene::{Expression, Landmarks};
use crate::train::datasets::DatasetSpec;

pub(super) use gather::{About, Gather};

/// The view of a picture of which nobody says from where it was taken.
pub const ANY_VIEW: &str = "any";

/// Faces that cannot be used together as they were to be.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum FacesError {
    #[error("{what} has no face that is {}: add pictures of it, or take another share of the data", list(.missing))]
    NoSample { what: String, missing: Vec<Expression> },
    #[error("{one} and {other} are the same people, named in two ways: name them once")]
    SameSet { one: String, other: String },
    #[error("{subject} is in {one} and in {other}, where what is learnt of a person would help: split by subject")]
    SubjectInTwoParts { subject: String, one: String, other: String },
    #[error("{source_file} is in {one} and in {other}: no picture may be in two parts", source_file = .file.display())]
    PictureInTwoParts { file: PathBuf, one: String, other: String },
}

fn list(classes: &[Expression]) -> String {
    classes.iter().map(|class| class.name()).collect::<Vec<_>>().join(" or ")
}

/// A cut-out picture of a face, grey, with room around it: augmentation may turn, shift and shrink without reaching
/// beyond it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Crop {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `width * height` values of luminance (BT.601).
    pub gray: Vec<u8>,
    /// Where the middle of the encoder's cut lies, pixels (pixel centres at integers).
    pub middle: (f32, f32),
    /// Side of the encoder's cut, pixels of this crop; the cut is upright in it.
    pub span: f32,
    /// The five landmarks in pixels of the crop, where a detector found them; none if the picture is a crop already.
    pub landmarks: Option<Landmarks>,
}

impl Crop {
    /// Maps pixels of an upright cut of `size` x `size` to this crop: what the live pipeline would cut.
    #[must_use]
    pub fn crop_from_cut(&self, size: usize) -> Similarity {
        let scale = self.span / size as f32;
        let half = (size as f32 - 1.0) / 2.0;
        Similarity { a: scale, b: 0.0, tx: self.middle.0 - scale * half, ty: self.middle.1 - scale * half }
    }
}

/// One picture of one face.
#[derive(Clone, Debug, PartialEq)]
pub struct Face {
    /// Of which data set: an index into [`Faces::sets`].
    pub set: usize,
    /// Who: an index into [`Faces::subjects`]; none where the data set does not say who is who.
    pub subject: Option<usize>,
    /// The instant: pictures of one scene were taken at the same time by several cameras. An index below
    /// [`Faces::scenes`]; a picture that was taken alone has a scene of its own.
    pub scene: usize,
    /// From where: an index into [`Faces::views`].
    pub view: usize,
    /// How the person looks, where that is known.
    pub expression: Option<Expression>,
    /// Turn of the head, degrees, as the pipeline measures it; none if the picture is a crop already.
    pub yaw_deg: Option<f32>,
    /// When, of a clip; stills have no time. Seconds from the clip's beginning.
    pub time_s: Option<f64>,
    /// The picture.
    pub crop: Crop,
    /// The file that it comes from, relative to the data set's path (of a take: `TAKE#camera/seq`; of a CSV file:
    /// `FILE#row`).
    pub source: PathBuf,
}

/// A picture that could not be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Of which data set: an index into [`Faces::sets`].
    pub set: usize,
    /// The file, as [`Face::source`].
    pub source: PathBuf,
    /// Why; the same words for the same reason.
    pub reason: String,
}

/// A data set that faces come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    /// Its name: no two are called alike.
    pub name: String,
    /// What was asked for.
    pub spec: DatasetSpec,
}

/// KDEF's and DDCF's views: full left, half left, straight, half right, full right.
pub const ANGLES: [&str; 5] = ["FL", "HL", "S", "HR", "FR"];

/// Beyond this turn of the head an eye and a corner of the mouth are hidden, degrees.
pub const FRONTAL_YAW_DEG: f32 = 45.0;

/// A person's sex, where a data set says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Sex {
    Female,
    Male,
}

impl Sex {
    /// Its letter in KDEF's and our names.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Female => 'F',
            Self::Male => 'M',
        }
    }

    /// What the letter, or a word that begins with it, stands for: female or girl, male or boy.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        match text.chars().next()?.to_ascii_uppercase() {
            'F' | 'G' => Some(Self::Female),
            'M' | 'B' => Some(Self::Male),
            _ => None,
        }
    }
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The name, `set/person`: people of two data sets are never one.
    pub name: String,
    /// The sex, where the data set says it.
    pub sex: Option<Sex>,
}

/// The faces of one or more data sets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faces {
    /// All of them, in the order of the data sets' files.
    pub faces: Vec<Face>,
    /// Where they come from.
    pub sets: Vec<Set>,
    /// The people. A data set that does not say who is who adds none.
    pub subjects: Vec<Subject>,
    /// Names of the views (`FL`, `HL`, `S`…; `left`…; a camera's name; [`ANY_VIEW`]). One name is one view in all data
    /// sets.
    pub views: Vec<String>,
    /// How many scenes there are.
    pub scenes: usize,
    /// What was left out.
    pub skipped: Vec<Skipped>,
}

impl Faces {
    /// The faces of all of `parts`, in their order. A set whose name is taken already gets a number behind it.
    #[must_use]
    pub fn join(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for part in parts {
            all.append(part);
        }
        all
    }

    fn append(&mut self, part: Self) {
        let (set_offset, subject_offset, scene_offset) = (self.sets.len(), self.subjects.len(), self.scenes);
        let mut new_names = Vec::with_capacity(part.sets.len());
        for set in part.sets {
            let is_taken = |name: &str| self.sets.iter().any(|other| other.name == name);
            let numbered = (2..).map(|n| format!("{}~{n}", set.name));
            let name = std::iter::once(set.name.clone()).chain(numbered).find(|name| !is_taken(name));
            let name = name.unwrap_or_default();
            new_names.push((set.name, name.clone()));
            self.sets.push(Set { name, ..set });
        }
        self.subjects.extend(part.subjects.into_iter().map(|mut subject| {
            let of_set = |old: &str| subject.name.strip_prefix(old)?.strip_prefix('/').map(str::to_owned);
            let renamed = new_names.iter().find_map(|(old, new)| Some(format!("{new}/{}", of_set(old)?)));
            subject.name = renamed.unwrap_or(subject.name);
            subject
        }));
        let mut views: Vec<usize> = Vec::with_capacity(part.views.len());
        for view in part.views {
            let known = self.views.iter().position(|other| *other == view);
            views.push(known.unwrap_or(self.views.len()));
            if known.is_none() {
                self.views.push(view);
            }
        }
        self.faces.extend(part.faces.into_iter().map(|face| Face {
            set: face.set + set_offset,
            subject: face.subject.map(|subject| subject + subject_offset),
            scene: face.scene + scene_offset,
            view: views[face.view],
            ..face
        }));
        self.scenes += part.scenes;
        self.skipped.extend(part.skipped.into_iter().map(|s| Skipped { set: s.set + set_offset, ..s }));
    }

    /// Indices of all faces.
    #[must_use]
    pub fn all(&self) -> Vec<usize> {
        (0..self.faces.len()).collect()
    }

    /// How many faces of `indices` there are of each class, in the order of [`Expression::ALL`].
    #[must_use]
    pub fn class_counts(&self, indices: &[usize]) -> [usize; Expression::COUNT] {
        let mut counts = [0; Expression::COUNT];
        for class in indices.iter().filter_map(|&n| self.faces[n].expression) {
            counts[class as usize] += 1;
        }
        counts
    }

    /// How many faces of `indices` there are of each view, in the order of [`Faces::views`].
    #[must_use]
    pub fn view_counts(&self, indices: &[usize]) -> Vec<usize> {
        let mut counts = vec![0; self.views.len()];
        indices.iter().for_each(|&n| counts[self.faces[n].view] += 1);
        counts
    }

    /// How many faces of `indices` there are of each subject, in the order of [`Faces::subjects`]; those of nobody
    /// known are left out.
    #[must_use]
    pub fn subject_counts(&self, indices: &[usize]) -> Vec<usize> {
        let mut counts = vec![0; self.subjects.len()];
        indices.iter().filter_map(|&n| self.faces[n].subject).for_each(|subject| counts[subject] += 1);
        counts
    }

    /// By what those of `indices` are recognised, hexadecimal: their pictures, and what is known of them.
    #[must_use]
    pub fn fingerprint(&self, indices: &[usize]) -> String {
        let one = |&n: &usize| {
            let Face { subject, scene, view, expression, time_s, crop, source, .. } = &self.faces[n];
            let subject = subject.map(|subject| &self.subjects[subject]);
            let shape = (crop.width, crop.middle, crop.span, crop.landmarks);
            let about =
                format!("{source:?} {subject:?} {scene} {} {expression:?} {time_s:?} {shape:?}", self.views[*view]);
            sha256(&[about.as_bytes(), &crop.gray].concat())
        };
        let all: Vec<String> = indices.par_iter().map(one).collect();
        sha256(all.concat().as_bytes())
    }

    /// Checks that no set of people is there twice under two names: what is learnt of a person would help on the same
    /// person.
    ///
    /// # Errors
    /// [`FacesError::SameSet`].
    pub fn check_sets(&self) -> Result<(), FacesError> {
        let mut with_people = vec![false; self.sets.len()];
        self.faces.iter().for_each(|face| with_people[face.set] |= face.subject.is_some());
        let sets: Vec<(&Set, PathBuf)> =
            self.sets.iter().zip(with_people).filter(|(_, has)| *has).map(|(set, _)| (set, set.spec.place())).collect();
        for (n, (set, path)) in sets.iter().enumerate() {
            if let Some((other, _)) = sets[..n].iter().find(|(_, other)| other == path) {
                let (one, other) = (other.spec.to_string(), set.spec.to_string());
                return Err(FacesError::SameSet { one, other });
            }
        }
        Ok(())
    }

    /// Checks that `indices` have a face of every class; `what` names them in the message.
    ///
    /// # Errors
    /// [`FacesError::NoSample`].
    pub fn check_classes(&self, indices: &[usize], what: &str) -> Result<(), FacesError> {
        let counts = self.class_counts(indices);
        let missing: Vec<_> = Expression::ALL.into_iter().filter(|class| counts[*class as usize] == 0).collect();
        if missing.is_empty() { Ok(()) } else { Err(FacesError::NoSample { what: what.to_owned(), missing }) }
    }

    /// Checks that no subject, and no picture, is in two of `parts` (each with its name).
    ///
    /// # Errors
    /// [`FacesError::SubjectInTwoParts`] and [`FacesError::PictureInTwoParts`].
    pub fn check_apart(&self, parts: &[(&str, &[usize])]) -> Result<(), FacesError> {
        let mut subjects: HashMap<usize, &str> = HashMap::new();
        let mut pictures: HashMap<usize, &str> = HashMap::new();
        for &(part, indices) in parts {
            for &n in indices {
                let face = &self.faces[n];
                let one = *pictures.entry(n).or_insert(part);
                if one != part {
                    let (one, other) = (one.to_owned(), part.to_owned());
                    return Err(FacesError::PictureInTwoParts { file: face.source.clone(), one, other });
                }
                let Some(subject) = face.subject else { continue };
                let one = *subjects.entry(subject).or_insert(part);
                if one != part {
                    let (one, other) = (one.to_owned(), part.to_owned());
                    let subject = self.subjects[subject].name.clone();
                    return Err(FacesError::SubjectInTwoParts { subject, one, other });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A face of nobody, with a number that its pixels and its file have.
    pub(in crate::train) fn face(n: usize) -> Face {
        let crop = Crop {
            width: 2,
            height: 1,
            gray: vec![n as u8, (n / 256) as u8],
            middle: (0.5, 0.0),
            span: 2.0,
            landmarks: None,
        };
        Face {
            set: 0,
            subject: None,
            scene: n,
            view: 0,
            expression: None,
            yaw_deg: None,
            time_s: None,
            crop,
            source: PathBuf::from(format!("{n}.jpg")),
        }
    }

    /// A set of these faces, seen from `any` side, without people.
    pub(in crate::train) fn faces_of(faces: Vec<Face>) -> Faces {
        let spec: DatasetSpec = "classes:pictures".parse().expect("a data set's name");
        let scenes = faces.len();
        let set = Set { name: "set".to_owned(), spec };
        Faces { faces, sets: vec![set], views: vec![ANY_VIEW.to_owned()], scenes, ..Faces::default() }
    }

    #[test]
    fn another_picture_or_label_is_another_fingerprint() {
        let faces = faces_of(vec![face(0), face(1)]);
        let all = |faces: &Faces| faces.fingerprint(&faces.all());
        let (mut pixel, mut label) = (faces.clone(), faces.clone());
        pixel.faces[1].crop.gray[0] = 9;
        label.faces[1].expression = Some(Expression::Sad);
        assert_ne!(all(&pixel), all(&faces));
        assert_ne!(all(&label), all(&faces));
        assert_ne!(faces.fingerprint(&[0]), all(&faces));
        assert_eq!(all(&faces.clone()), all(&faces));
    }

    #[test]
    fn people_that_are_named_in_two_ways_are_refused() {
        let of = |spec: &str| {
            let mut faces = of_one("anna", "left");
            faces.sets[0].spec = spec.parse().expect("a set");
            faces
        };
        let check = |specs: [&str; 2]| Faces::join(specs.map(of)).check_sets();
        // This crate's own folder, so that both paths are there.
        let message = check(["cmu:src", "cmu:./src#sunglasses"]).expect_err("they are the same").to_string();
        assert!(message.contains("cmu:src") && message.contains("#sunglasses"), "{message}");
        assert!(check(["cmu:src", "cmu:tests"]).is_ok());
    }

    fn of_one(name: &str, view: &str) -> Faces {
        let subject = Subject { name: format!("set/{name}"), sex: Some(Sex::Female) };
        let face = Face { subject: Some(0), expression: Some(Expression::Happy), ..face(0) };
        Faces { subjects: vec![subject], views: vec![view.to_owned()], ..faces_of(vec![face]) }
    }

    #[test]
    fn people_and_scenes_of_two_sets_are_never_one() {
        let joined = Faces::join([of_one("F01", "S"), of_one("F01", "S"), of_one("F01", "HL")]);
        let names: Vec<&str> = joined.subjects.iter().map(|subject| subject.name.as_str()).collect();
        assert_eq!(names, ["set/F01", "set~2/F01", "set~3/F01"]);
        let of = |key: fn(&Face) -> usize| joined.faces.iter().map(key).collect::<Vec<_>>();
        assert_eq!(of(|face| face.subject.unwrap_or(9)), [0, 1, 2]);
        assert_eq!((of(|face| face.scene), joined.scenes), (vec![0, 1, 2], 3));
        assert_eq!((of(|face| face.view), of(|face| face.set)), (vec![0, 0, 1], vec![0, 1, 2]));
    }

    #[test]
    fn a_class_without_a_sample_is_named() {
        let all = Expression::ALL.into_iter().filter(|class| *class != Expression::Afraid);
        let faces = faces_of(all.enumerate().map(|(n, class)| Face { expression: Some(class), ..face(n) }).collect());
        let message =
            faces.check_classes(&faces.all(), "the training part").expect_err("afraid is missing").to_string();
        assert!(message.contains("the training part") && message.contains("afraid") && !message.contains("happy"));
    }

    #[test]
    fn a_subject_in_two_parts_is_named() {
        let mut faces = of_one("F01", "S");
        faces.faces.push(Face { subject: Some(0), ..face(1) });
        let message = faces.check_apart(&[("training", &[0]), ("test", &[1])]).expect_err("in both").to_string();
        assert!(message.contains("set/F01 is in training and in test"), "{message}");
        assert!(faces.check_apart(&[("training", &[0, 1]), ("test", &[])]).is_ok());
        assert!(faces.check_apart(&[("training", &[0]), ("test", &[0])]).is_err());
    }

    #[test]
    fn a_report_groups_what_was_left_out() {
        let mut faces = of_one("F01", "S");
        faces.skipped =
            (0..500).map(|n| Skipped { set: 0, source: format!("{n}.jpg").into(), reason: "dark".into() }).collect();
        let report = faces.report();
        assert!(report.contains("left out 500: dark (0.jpg, 1.jpg, 2.jpg, …)"), "{report}");
        assert!(report.contains("1 person") && report.contains("S 1") && report.contains("happy 1"), "{report}");
        assert_eq!(report.lines().count(), 4);
    }
}
