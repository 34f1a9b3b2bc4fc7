//! KDEF (D. Lundqvist, A. Flykt, A. Öhman, "The Karolinska Directed Emotional Faces", 1998), and whatever is named
//! as it is: `AF01ANFL.JPG` is session A, a woman, number 01, angry, full left. Five cameras took each scene at once.
//!
//! Numbers count from 1 for women and for men: F01 and M01 are two people.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::labels::expression_named;
use super::{Content, DatasetError, Listing, Picture, Place};
use crate::capture::folder::is_picture;
use crate::train::faces::{ANGLES, About, Sex};

/// What the name of a picture says.
struct Name {
    /// The name in capitals, without its ending.
    stem: String,
    /// Session, sex, number, expression: what the five pictures of a scene share.
    scene: String,
    about: About,
}

impl Name {
    fn of(file: &Path) -> Option<Self> {
        let stem = file.file_stem()?.to_str()?.to_ascii_uppercase();
        let (session, sex, number) = (stem.get(..1)?, stem.get(1..2)?, stem.get(2..4)?);
        let (expression, angle) = (expression_named(stem.get(4..6)?)?, stem.get(6..)?);
        let is_right = matches!(session, "A" | "B") && number.bytes().all(|digit| digit.is_ascii_digit());
        let angle = ANGLES.into_iter().find(|known| *known == angle).filter(|_| is_right)?;
        let sex = Sex::of(sex)?;
        let scene = stem.get(..6)?.to_owned();
        let about = About {
            subject: Some(format!("{}{number}", sex.letter())),
            sex: Some(sex),
            scene: Some(scene.clone()),
            view: Some(angle.to_owned()),
            expression: Some(expression),
        };
        Some(Self { stem, scene, about })
    }
}

/// Whether the file is named as KDEF's are.
pub(super) fn is_named_so(file: &Path) -> bool {
    Name::of(file).is_some()
}

pub(super) fn list(listing: &mut Listing) -> Result<(), DatasetError> {
    let mut pictures = Vec::new();
    let mut seen: HashMap<String, PathBuf> = HashMap::new();
    let mut scenes: BTreeMap<String, (PathBuf, Vec<String>)> = BTreeMap::new();
    for file in listing.files()?.into_iter().filter(|file| is_picture(file)) {
        let Some(Name { stem, scene, about }) = Name::of(&file) else {
            listing.skip(file, "the name is not one of KDEF's (AF01ANFL.JPG)");
            continue;
        };
        if seen.contains_key(&stem) {
            listing.skip(file, "a picture of the same name is there already");
            continue;
        }
        seen.insert(stem, file.clone());
        let (_, views) = scenes.entry(scene).or_insert_with(|| (file.clone(), Vec::new()));
        views.extend(about.view.clone());
        pictures.push(Picture { place: Place::File(file), about, is_whole: false });
    }
    for (scene, (file, views)) in scenes {
        for angle in ANGLES.into_iter().filter(|angle| !views.iter().any(|view| view == angle)) {
            listing.skip(file.with_file_name(format!("{scene}{angle}.JPG")), format!("the angle {angle} is missing"));
        }
    }
    listing.content = Content::Pictures(pictures);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{folder_of, pictures};
    use super::*;

    #[test]
    fn a_name_says_who_when_from_where_and_how() {
        let root = folder_of(&["AF01/AF01ANFL.JPG", "flat/bm35sus.jpg"]);
        let (pictures, _) = pictures(&format!("kdef:{}", root.path().display()));
        let about = |n: usize| {
            let About { subject, scene, view, expression, .. } = &pictures[n].about;
            [subject, scene, view].map(|text| text.clone().unwrap_or_default()).join(" ")
                + &expression.map(|class| format!(" {class}")).unwrap_or_default()
        };
        assert_eq!(about(0), "F01 AF01AN FL angry");
        assert_eq!(about(1), "M35 BM35SU S surprised");
    }

    #[test]
    fn a_woman_and_a_man_of_one_number_are_two_people() {
        let root = folder_of(&["AF01NES.JPG", "AM01NES.JPG"]);
        let (pictures, _) = pictures(&format!("kdef:{}", root.path().display()));
        assert_ne!(pictures[0].about.subject, pictures[1].about.subject);
        assert_ne!(pictures[0].about.scene, pictures[1].about.scene);
    }

    #[test]
    fn strange_names_missing_angles_and_duplicates_are_told_and_the_rest_is_used() {
        let scene = ["AF01ANFL.JPG", "AF01ANHL.JPG", "AF01ANHR.JPG", "AF01ANFR.JPG"];
        let others = ["copy/AF01ANFL.JPG", "notes.txt", "AF01XXS.JPG", "AF0éANS.JPG", "CF01ANS.JPG"];
        let root = folder_of(&[&scene[..], &others[..]].concat());
        let (pictures, skipped) = pictures(&format!("kdef:{}", root.path().display()));
        assert_eq!(pictures.len(), 4);
        let count = |reason: &str| skipped.iter().filter(|skipped| skipped.reason.contains(reason)).count();
        assert_eq!((count("the name"), count("same name"), count("angle S is missing")), (3, 1, 1));
        assert_eq!(skipped.len(), 5);
    }
}
