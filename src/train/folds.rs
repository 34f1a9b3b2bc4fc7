//! Who trains, who is held back, who tests: splits by subject, so that nothing that is learnt of a person helps in the
//! test.
//!
//! What is never divided is a `Unit`: all faces of a subject; where a data set does not say who is who (FER2013), a
//! single picture, and then a person may well be in two parts ([`division`] says so). All choices rest on a rank, the
//! sha256 of seed, purpose and name: they depend neither on the order of files nor on who else is there.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::faces::{Faces, Sex};

/// Why a split cannot be made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum FoldsError {
    #[error("{folds} folds cannot be made: at least 2 are needed")]
    TooFew { folds: usize },
    #[error("{folds} folds cannot be made of {units} {what}: take fewer folds, or more data")]
    TooMany { folds: usize, units: usize, what: &'static str },
}

/// What a split keeps together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// All pictures of a person, where the data says who is who.
    #[default]
    Subject,
    /// Nothing: people are on both sides.
    Picture,
}

impl By {
    /// `folds` splits.
    ///
    /// # Errors
    /// [`FoldsError::TooFew`] and [`FoldsError::TooMany`].
    pub fn folds(self, faces: &Faces, folds: usize, seed: u64) -> Result<Vec<Split>, FoldsError> {
        match self {
            Self::Subject => by_subject(faces, folds, seed),
            Self::Picture => by_image(faces, folds, seed),
        }
    }

    /// In words, what it divides `faces` by.
    #[must_use]
    pub fn words(self, faces: &Faces) -> &'static str {
        match self {
            Self::Subject => division(faces),
            Self::Picture => "by picture: people are in two parts, and the figures say little of strangers",
        }
    }
}

/// Indices of faces, in ascending order.
pub type Indices = Vec<usize>;

/// A division of faces into parts that have no face in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// What is trained on.
    pub train: Indices,
    /// What a model is chosen by: taken out of what could be trained on, never out of the test.
    pub validation: Indices,
    /// What a model is judged by.
    pub test: Indices,
}

impl Split {
    /// The same with a share of the training subjects held back for validation: at least one, unless there is only one.
    #[must_use]
    pub fn with_validation(self, faces: &Faces, share: f64, seed: u64) -> Self {
        let (validation, train) = first_units(faces, &self.train, share, seed, "validation");
        if train.is_empty() { self } else { Self { train, validation, test: self.test } }
    }
}

/// `folds` splits by subject, each subject in the test of exactly one, with equally many of each sex and data set as
/// far as that goes. Validation is empty: [`Split::with_validation`].
///
/// # Errors
/// [`FoldsError::TooFew`] and [`FoldsError::TooMany`].
pub fn by_subject(faces: &Faces, folds: usize, seed: u64) -> Result<Vec<Split>, FoldsError> {
    let mut strata = strata(units(faces, &faces.all()), seed, "fold");
    // Subjects first: if there are pictures of nobody known too, each fold still has its share of both.
    strata.sort_by_key(|stratum| stratum.first().map(|unit| unit.is_picture));
    deal(faces, strata.into_iter().flatten().collect(), folds)
}

/// `folds` splits by picture, as much of the literature on KDEF has it: subjects and scenes are on both sides, and what
/// is reported of it is too good. Only to show how much.
///
/// # Errors
/// [`FoldsError::TooFew`] and [`FoldsError::TooMany`].
pub fn by_image(faces: &Faces, folds: usize, seed: u64) -> Result<Vec<Split>, FoldsError> {
    let pictures = faces.all().into_iter().map(|n| picture(faces, n)).collect();
    deal(faces, strata(pictures, seed, "image").into_iter().flatten().collect(), folds)
}

/// Those faces of `train` whose subjects keep their labels, if a share of the subjects do: at least one. The subjects
/// of a smaller share are among those of a larger one.
#[must_use]
pub fn labelled(faces: &Faces, train: &[usize], share: f64, seed: u64) -> Indices {
    if share >= 1.0 { train.to_vec() } else { first_units(faces, train, share, seed, "labels").0 }
}

/// In words, what a split of `faces` divides by.
#[must_use]
pub fn division(faces: &Faces) -> &'static str {
    let anonymous = faces.faces.iter().filter(|face| face.subject.is_none()).count();
    match anonymous {
        0 => "by subject",
        n if n == faces.faces.len() => "by picture: the data does not say who is who, and people may be in two parts",
        _ => "by subject, and by picture where the data does not say who is who: those people may be in two parts",
    }
}

/// What stays together.
struct Unit {
    /// Its name, the same whatever else there is.
    name: String,
    faces: Indices,
    set: usize,
    sex: Option<Sex>,
    /// Of a single picture: its class.
    class: Option<usize>,
    is_picture: bool,
}

fn picture(faces: &Faces, n: usize) -> Unit {
    let face = &faces.faces[n];
    Unit {
        // A picture of a take may show several people.
        name: format!("{}/{} {:?}", faces.sets[face.set].name, face.source.display(), face.subject),
        faces: vec![n],
        set: face.set,
        sex: None,
        class: face.expression.map(|class| class as usize),
        is_picture: true,
    }
}

/// The subjects of the faces `of`, and the pictures of nobody known.
fn units(faces: &Faces, of: &[usize]) -> Vec<Unit> {
    let mut subjects: BTreeMap<usize, Unit> = BTreeMap::new();
    let mut pictures = Vec::new();
    for &n in of {
        let face = &faces.faces[n];
        let Some(subject) = face.subject else {
            pictures.push(picture(faces, n));
            continue;
        };
        let unit = subjects.entry(subject).or_insert_with(|| {
            let subject = &faces.subjects[subject];
            let name = subject.name.clone();
            Unit { name, faces: Vec::new(), set: face.set, sex: subject.sex, class: None, is_picture: false }
        });
        unit.faces.push(n);
    }
    subjects.into_values().chain(pictures).collect()
}

/// The units of each set, sex and class, by rank.
fn strata(units: Vec<Unit>, seed: u64, purpose: &str) -> Vec<Vec<Unit>> {
    let mut strata: BTreeMap<_, Vec<Unit>> = BTreeMap::new();
    for unit in units {
        strata.entry((unit.set, unit.is_picture, unit.sex, unit.class)).or_default().push(unit);
    }
    let mut strata: Vec<Vec<Unit>> = strata.into_values().collect();
    for stratum in &mut strata {
        stratum.sort_by_cached_key(|unit| {
            let mut hash = Sha256::new();
            hash.update(seed.to_le_bytes());
            hash.update(purpose.as_bytes());
            hash.update([0]);
            hash.update(unit.name.as_bytes());
            <[u8; 32]>::from(hash.finalize())
        });
    }
    strata
}

/// Deals the units out to the tests of `folds` splits, one after another: neighbours come into different folds.
fn deal(faces: &Faces, units: Vec<Unit>, folds: usize) -> Result<Vec<Split>, FoldsError> {
    if folds < 2 {
        return Err(FoldsError::TooFew { folds });
    }
    if folds > units.len() {
        let what = if units.iter().all(|unit| unit.is_picture) { "pictures" } else { "subjects" };
        return Err(FoldsError::TooMany { folds, units: units.len(), what });
    }
    let mut fold_of = vec![0; faces.faces.len()];
    for (n, unit) in units.iter().enumerate() {
        unit.faces.iter().for_each(|&face| fold_of[face] = n % folds);
    }
    let split = |fold: usize| {
        let (test, train) = faces.all().into_iter().partition(|&n| fold_of[n] == fold);
        Split { train, validation: Indices::new(), test }
    };
    Ok((0..folds).map(split).collect())
}

/// Divides the faces `of` by their units: those of the first `share`, at least one unit, and the others, at least one
/// too if there is a second. Every beginning of the order has each stratum in its proportion.
fn first_units(faces: &Faces, of: &[usize], share: f64, seed: u64, purpose: &str) -> (Indices, Indices) {
    let mut order: Vec<(f64, usize, Unit)> = Vec::new();
    for (k, stratum) in strata(units(faces, of), seed, purpose).into_iter().enumerate() {
        let count = stratum.len() as f64;
        order.extend(stratum.into_iter().enumerate().map(|(n, unit)| ((n as f64 + 0.5) / count, k, unit)));
    }
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let wanted = (share * order.len() as f64).round() as usize;
    let first = wanted.min(order.len().saturating_sub(1)).max(1).min(order.len());
    let faces_of = |units: &[(f64, usize, Unit)]| {
        let mut indices: Indices = units.iter().flat_map(|(.., unit)| unit.faces.iter().copied()).collect();
        indices.sort_unstable();
        indices
    };
    (faces_of(&order[..first]), faces_of(&order[first..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Expression;
    use crate::train::faces::tests::{face, faces_of};
    use crate::train::faces::{Face, Subject};
    use proptest::prelude::*;

    /// `people` subjects with `pictures` each of alternating views, every third a man, and `anonymous` pictures.
    fn crowd(people: usize, pictures: usize, anonymous: usize) -> Faces {
        let of_subject = (0..people * pictures).map(|n| Face {
            subject: Some(n / pictures),
            view: n % 2,
            expression: Some(Expression::ALL[n % 7]),
            ..face(n)
        });
        let of_nobody =
            (0..anonymous).map(|n| Face { expression: Some(Expression::ALL[n % 7]), ..face(people * pictures + n) });
        let sex = |n: usize| Some(if n.is_multiple_of(3) { Sex::Male } else { Sex::Female });
        Faces {
            subjects: (0..people).map(|n| Subject { name: format!("set/{n}"), sex: sex(n) }).collect(),
            views: vec!["left".to_owned(), "right".to_owned()],
            ..faces_of(of_subject.chain(of_nobody).collect())
        }
    }

    fn sizes(splits: &[Split], of: impl Fn(&Split) -> usize) -> (usize, usize) {
        let sizes = || splits.iter().map(&of);
        (sizes().min().unwrap_or(0), sizes().max().unwrap_or(0))
    }

    fn people_in(faces: &Faces, of: &[usize], is_wanted: impl Fn(&Subject) -> bool) -> usize {
        let counts = faces.subject_counts(of);
        faces.subjects.iter().zip(counts).filter(|(subject, count)| *count > 0 && is_wanted(subject)).count()
    }

    proptest! {
        #[test]
        fn no_subject_is_in_two_parts_and_every_face_in_one_test(
            people in 4..40_usize, pictures in 1..6_usize, anonymous in 0..30_usize, folds in 2..4_usize, seed: u64,
        ) {
            let faces = crowd(people, pictures, anonymous);
            let splits = by_subject(&faces, folds, seed).expect("there are enough");
            let mut tested: Vec<usize> = splits.iter().flat_map(|split| split.test.clone()).collect();
            tested.sort_unstable();
            prop_assert_eq!(tested, faces.all());
            for split in &splits {
                let split = split.clone().with_validation(&faces, 0.2, seed);
                let parts = [("training", &split.train[..]), ("validation", &split.validation), ("test", &split.test)];
                faces.check_apart(&parts).expect("apart");
                prop_assert_eq!(parts.iter().map(|(_, part)| part.len()).sum::<usize>(), faces.faces.len());
                prop_assert!(parts.iter().all(|(_, part)| !part.is_empty()));
            }
            for sex in [None, Some(Sex::Female), Some(Sex::Male)] {
                let is_wanted = |subject: &Subject| sex.is_none() || subject.sex == sex;
                let (least, most) = sizes(&splits, |split| people_in(&faces, &split.test, is_wanted));
                prop_assert!(most - least <= 1, "{:?}: {} to {}", sex, least, most);
            }
        }

        #[test]
        fn folds_do_not_depend_on_the_order_of_the_faces(people in 4..20_usize, seed: u64) {
            let faces = crowd(people, 2, 5);
            let mut turned = faces.clone();
            turned.faces.reverse();
            let last = faces.faces.len() - 1;
            let splits = by_subject(&faces, 3, seed).expect("there are enough");
            for (one, other) in splits.iter().zip(by_subject(&turned, 3, seed).expect("there are enough")) {
                let mut there: Vec<usize> = other.test.iter().map(|n| last - n).collect();
                there.sort_unstable();
                prop_assert_eq!(&one.test, &there);
            }
        }

        #[test]
        fn fewer_labels_are_among_more_labels(people in 2..40_usize, seed: u64) {
            const LABEL_SHARES: [f64; 6] = [1.0, 0.5, 0.25, 0.1, 0.05, 0.01];
            let faces = crowd(people, 3, 0);
            let shares = LABEL_SHARES.map(|share| labelled(&faces, &faces.all(), share, seed));
            for (share, (more, fewer)) in LABEL_SHARES[1..].iter().zip(shares.iter().zip(&shares[1..])) {
                prop_assert!(fewer.iter().all(|n| more.contains(n)));
                let wanted = ((share * people as f64).round() as usize).max(1);
                prop_assert_eq!(people_in(&faces, fewer, |_| true), wanted);
                prop_assert_eq!(fewer.len(), wanted * 3, "with all their pictures");
            }
        }
    }

    #[test]
    fn another_seed_gives_other_folds_and_the_same_seed_the_same() {
        let faces = crowd(20, 2, 0);
        let of = |seed| by_subject(&faces, 5, seed).expect("there are enough");
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn a_split_by_image_has_subjects_on_both_sides() {
        let faces = crowd(6, 10, 0);
        let splits = by_image(&faces, 5, 1).expect("there are enough");
        assert!(sizes(&splits, |split| split.test.len()) == (12, 12));
        assert!(faces.check_apart(&[("training", &splits[0].train), ("test", &splits[0].test)]).is_err());
    }

    #[test]
    fn more_folds_than_subjects_are_refused() {
        let message = by_subject(&crowd(3, 5, 0), 10, 0).expect_err("too many").to_string();
        assert!(message.contains("10 folds") && message.contains("3 subjects"), "{message}");
        assert!(by_subject(&crowd(3, 5, 0), 1, 0).is_err());
    }

    #[test]
    fn it_is_said_if_people_are_not_known() {
        assert_eq!(division(&crowd(2, 2, 0)), "by subject");
        assert!(division(&crowd(0, 0, 4)).contains("by picture"));
        assert!(division(&crowd(2, 2, 4)).contains("by subject, and by picture"));
    }
}
