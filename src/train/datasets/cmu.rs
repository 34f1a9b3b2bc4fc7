//! CMU Face Images (T. Mitchell, 1997; UCI repository): `an2i_left_angry_open.pgm` is the person, the pose, the
//! expression, and whether the eyes are open to view or behind sunglasses. The poses were taken one after another: each
//! picture is a scene of its own.
//!
//! Each picture is there at three scales (`NAME.pgm`, `NAME_2.pgm`, `NAME_4.pgm`), of which the first is used; those
//! that are damaged end in `.bad`.

use std::path::Path;

use super::labels::expression_named;
use super::{Content, DatasetError, Listing, Picture, Place};
use crate::capture::folder::is_picture;
use crate::train::faces::About;

/// The choice that keeps pictures with sunglasses.
pub(super) const SUNGLASSES: &str = "sunglasses";

const POSES: [&str; 4] = ["left", "right", "straight", "up"];
const EXPRESSIONS: [&str; 4] = ["angry", "happy", "neutral", "sad"];

struct Name {
    about: About,
    has_sunglasses: bool,
    is_reduced: bool,
}

impl Name {
    fn of(file: &Path) -> Option<Self> {
        let stem = file.file_stem()?.to_str()?.to_lowercase();
        let parts: Vec<&str> = stem.split('_').collect();
        let ([person, pose, expression, eyes], scale) = (*parts.first_chunk::<4>()?, &parts[4..]);
        let is_right = !person.is_empty()
            && POSES.contains(&pose)
            && EXPRESSIONS.contains(&expression)
            && matches!(eyes, "open" | "sunglasses")
            && matches!(scale, [] | ["2"] | ["4"]);
        let about = About {
            subject: Some(person.to_owned()),
            view: Some(pose.to_owned()),
            expression: expression_named(expression),
            ..About::default()
        };
        is_right.then_some(Self { about, has_sunglasses: eyes == "sunglasses", is_reduced: !scale.is_empty() })
    }
}

/// Whether the file is named as those of the set are.
pub(super) fn is_named_so(file: &Path) -> bool {
    Name::of(file).is_some()
}

pub(super) fn list(listing: &mut Listing) -> Result<(), DatasetError> {
    let keeps_sunglasses = listing.spec.choice.as_deref() == Some(SUNGLASSES);
    let mut pictures = Vec::new();
    for file in listing.files()? {
        let is_bad = file.extension().is_some_and(|ending| ending.to_string_lossy().starts_with("bad"));
        match Name::of(&file) {
            Some(_) if is_bad => listing.skip(file, "damaged, as its ending .bad says"),
            _ if !is_picture(&file) => {}
            None => listing.skip(file, "the name is not one of the CMU Face Images' (an2i_left_angry_open.pgm)"),
            Some(name) if name.is_reduced => listing.skip(file, "the same picture at a smaller scale"),
            Some(name) if name.has_sunglasses && !keeps_sunglasses => {
                listing.skip(file, "sunglasses hide the eyes (`#sunglasses` behind the path keeps such pictures)");
            }
            Some(Name { about, .. }) => pictures.push(Picture { place: Place::File(file), about, is_whole: false }),
        }
    }
    listing.content = Content::Pictures(pictures);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{folder_of, pictures};

    const FILES: [&str; 6] = [
        "an2i/an2i_left_angry_open.pgm",
        "an2i/an2i_left_angry_open_2.pgm",
        "an2i/an2i_left_angry_open_4.pgm",
        "an2i/an2i_up_sad_sunglasses.pgm",
        "choon/choon_left_angry_open.bad",
        "an2i/zz.png",
    ];

    #[test]
    fn the_full_size_is_used_and_all_else_is_told() {
        let root = folder_of(&FILES);
        let (pictures, skipped) = pictures(&format!("cmu:{}", root.path().display()));
        let [picture] = &pictures[..] else { panic!("{pictures:?}") };
        assert_eq!(picture.about.subject.as_deref(), Some("an2i"));
        assert_eq!(picture.about.view.as_deref(), Some("left"));
        assert_eq!(picture.about.scene, None, "the poses were not taken at once");
        let count = |reason: &str| skipped.iter().filter(|skipped| skipped.reason.contains(reason)).count();
        assert_eq!((count("smaller"), count("sunglasses"), count("damaged"), count("the name")), (2, 1, 1, 1));
    }

    #[test]
    fn sunglasses_are_kept_when_they_are_asked_for() {
        let root = folder_of(&FILES);
        let (pictures, _) = pictures(&format!("cmu:{}#sunglasses", root.path().display()));
        assert_eq!(pictures.len(), 2);
    }
}
