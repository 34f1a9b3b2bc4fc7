//! Pictures in a folder a class, such as `happy/0001.jpg`. Faces are searched for in them, unless the choice `whole`
//! says that they are crops already.
//!
//! Who is who is not known, unless the choice `subjects` says that file names begin with the person: then that is what
//! stands before the first `_` or `-` (`S005_001.png` is S005's). A guess would put one person into two parts.

use std::path::Path;

use super::{Content, DatasetError, Listing, Picture, Place, class_folder};
use crate::capture::folder::is_picture;
use crate::train::faces::About;

/// How the pictures are to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Choices {
    is_whole: bool,
    has_subjects: bool,
}

impl Choices {
    /// From words with commas between them.
    pub(super) fn named(words: &str) -> Option<Self> {
        let mut choices = Self::default();
        for word in words.split(',') {
            match word.trim() {
                "whole" => choices.is_whole = true,
                "subjects" => choices.has_subjects = true,
                _ => return None,
            }
        }
        Some(choices)
    }
}

/// Whether the file lies in a class folder.
pub(super) fn is_laid_out_so(file: &Path) -> bool {
    class_folder(file).is_some()
}

pub(super) fn list(listing: &mut Listing) -> Result<(), DatasetError> {
    let choices = listing.spec.choice.as_deref().and_then(Choices::named).unwrap_or_default();
    let mut pictures = Vec::new();
    for file in listing.files()?.into_iter().filter(|file| is_picture(file)) {
        let Some(expression) = class_folder(&file) else {
            listing.skip(file, "its folder is called like none of the seven classes");
            continue;
        };
        let subject = subject_of(&file).filter(|_| choices.has_subjects);
        if choices.has_subjects && subject.is_none() {
            listing.skip(file, "the name has no person before a `_` or `-`");
            continue;
        }
        let about = About { subject, expression: Some(expression), ..About::default() };
        pictures.push(Picture { place: Place::File(file), about, is_whole: choices.is_whole });
    }
    listing.content = Content::Pictures(pictures);
    Ok(())
}

fn subject_of(file: &Path) -> Option<String> {
    let (subject, _) = file.file_stem()?.to_str()?.split_once(['_', '-'])?;
    Some(subject.to_owned()).filter(|subject| !subject.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{folder_of, pictures};

    #[test]
    fn people_are_known_only_if_the_names_are_said_to_have_them() {
        let root = folder_of(&["Happiness/S005_001.png", "sad/nobody.png"]);
        let path = root.path().display();
        let (without, _) = pictures(&format!("classes:{path}"));
        assert!(without.iter().all(|picture| picture.about.subject.is_none() && !picture.is_whole));
        let (with, skipped) = pictures(&format!("classes:{path}#whole,subjects"));
        assert_eq!(with[0].about.subject.as_deref(), Some("S005"));
        assert!(with[0].is_whole);
        assert_eq!(skipped.len(), 1);
    }
}
