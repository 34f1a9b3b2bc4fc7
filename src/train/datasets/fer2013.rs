//! FER2013 (I. J. Goodfellow et al., "Challenges in Representation Learning", 2013): 48x48 crops of faces from the web,
//! as class folders (those of one part, or `train`, `validation` and `test` with class folders each) or as the original
//! CSV file (`emotion,pixels,Usage`). Nobody knows who is who.

use std::collections::BTreeSet;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::labels::{expression_named, expression_numbered};
use super::{Content, DatasetError, Listing, Picture, Place};
use crate::capture::folder::{files_below, is_picture};
use crate::record::file_name;
use crate::train::faces::About;

/// Names of each part: ours, folders' and the CSV file's.
const PARTS: [&[&str]; 3] = [&["train", "training"], &["validation", "val", "publictest"], &["test", "privatetest"]];

/// Which part is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// A place in [`PARTS`].
    Part(usize),
    All,
}

impl Choice {
    pub(super) fn named(name: &str) -> Option<Self> {
        let part = PARTS.iter().position(|names| names.iter().any(|known| known.eq_ignore_ascii_case(name)));
        part.map(Self::Part).or_else(|| name.eq_ignore_ascii_case("all").then_some(Self::All))
    }

    /// The part that a folder, or a row of the CSV file, says it is of.
    fn part_of(name: &str) -> Option<usize> {
        match Self::named(name)? {
            Self::Part(part) => Some(part),
            Self::All => None,
        }
    }
}

/// Whether `path` is laid out as FER2013 is.
pub(super) fn is_there(path: &Path) -> bool {
    is_csv(path) || csv_in(path).is_some() || !class_folders(path).is_empty() || !part_folders(path).is_empty()
}

pub(super) fn list(listing: &mut Listing) -> Result<(), DatasetError> {
    let path = listing.spec.path.clone();
    let pictures = if is_csv(&path) {
        rows(listing, &path)?
    } else if let Some(csv) = csv_in(&path) {
        // From here on the file is the data set: its rows are places in it.
        listing.spec.path.clone_from(&csv);
        rows(listing, &csv)?
    } else {
        folders(listing, &path)?
    };
    listing.content = Content::Pictures(pictures);
    Ok(())
}

/// Checks the wanted part against those that there are; `None`: all are.
fn wanted(listing: &Listing, there: &BTreeSet<usize>) -> Result<Option<usize>, DatasetError> {
    let choice = listing.spec.choice.as_deref();
    let parts = || there.iter().map(|part| PARTS[*part][0].to_owned()).collect();
    let path = || listing.spec.path.clone();
    match choice.and_then(Choice::named) {
        Some(Choice::Part(part)) if there.contains(&part) => Ok(Some(part)),
        Some(Choice::Part(part)) => {
            Err(DatasetError::NoPart { path: path(), part: PARTS[part][0].to_owned(), parts: parts() })
        }
        None if there.len() > 1 => Err(DatasetError::SeveralParts { path: path(), parts: parts() }),
        None | Some(Choice::All) => Ok(None),
    }
}

fn subfolders(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn class_folders(path: &Path) -> Vec<PathBuf> {
    let mut folders = subfolders(path);
    folders.retain(|folder| expression_named(&file_name(folder)).is_some());
    folders
}

/// Folders of parts that have class folders.
fn part_folders(path: &Path) -> Vec<(usize, PathBuf)> {
    let folders = subfolders(path).into_iter().filter(|folder| !class_folders(folder).is_empty());
    folders.filter_map(|folder| Some((Choice::part_of(&file_name(&folder))?, folder))).collect()
}

fn folders(listing: &mut Listing, root: &Path) -> Result<Vec<Picture>, DatasetError> {
    let parts = part_folders(root);
    let bases: Vec<PathBuf> = if parts.is_empty() {
        let whole = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        wanted(listing, &Choice::part_of(&file_name(&whole)).into_iter().collect())?;
        vec![root.to_owned()]
    } else {
        let part = wanted(listing, &parts.iter().map(|(part, _)| *part).collect())?;
        parts.into_iter().filter(|(n, _)| part.is_none_or(|part| part == *n)).map(|(_, folder)| folder).collect()
    };
    let mut pictures = Vec::new();
    for folder in bases.iter().flat_map(|base| subfolders(base)) {
        let below = folder.strip_prefix(root).unwrap_or(&folder);
        let Some(expression) = expression_named(&file_name(&folder)) else {
            listing.skip(below, "a folder that is called like none of the seven classes");
            continue;
        };
        let files = files_below(&folder).map_err(|source| DatasetError::Read { path: folder.clone(), source })?;
        pictures.extend(files.into_iter().filter(|file| is_picture(file)).map(|file| Picture {
            place: Place::File(below.join(file)),
            about: About { expression: Some(expression), ..About::default() },
            is_whole: true,
        }));
    }
    Ok(pictures)
}

fn is_csv(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"))
}

/// The CSV file in a folder as the challenge's archive has it.
fn csv_in(path: &Path) -> Option<PathBuf> {
    Some(path.join("fer2013.csv")).filter(|file| file.is_file())
}

#[derive(Deserialize)]
struct Row<'a> {
    emotion: &'a str,
    #[serde(rename = "Usage")]
    usage: &'a str,
}

fn rows(listing: &mut Listing, path: &Path) -> Result<Vec<Picture>, DatasetError> {
    let invalid = |error: csv::Error| DatasetError::Invalid {
        path: path.to_owned(),
        reason: format!("{error}; FER2013's columns are emotion,pixels,Usage"),
    };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(invalid)?;
    let headers = reader.headers().map_err(invalid)?.clone();
    let mut record = csv::StringRecord::new();
    let mut rows: Vec<(usize, Picture)> = Vec::new();
    let mut number = 0;
    while reader.read_record(&mut record).map_err(invalid)? {
        number += 1;
        let row: Row<'_> = record.deserialize(Some(&headers)).map_err(invalid)?;
        let source = PathBuf::from(format!("{}#{number}", file_name(path)));
        let byte = record.position().map(csv::Position::byte);
        match (expression_numbered(row.emotion), Choice::part_of(row.usage), byte) {
            (Some(expression), Some(part), Some(byte)) => rows.push((
                part,
                Picture {
                    place: Place::Row { number, byte },
                    about: About { expression: Some(expression), ..About::default() },
                    is_whole: true,
                },
            )),
            (None, ..) => listing.skip(source, "its `emotion` is no number from 0 to 6"),
            _ => listing.skip(source, "its `Usage` is none of Training, PublicTest, PrivateTest"),
        }
    }
    let part = wanted(listing, &rows.iter().map(|(part, _)| *part).collect())?;
    Ok(rows.into_iter().filter(|(n, _)| part.is_none_or(|part| part == *n)).map(|(_, picture)| picture).collect())
}

/// The pixels of the row that begins at `byte` of the CSV file: side and values of a square grey picture.
///
/// # Errors
/// Why they cannot be read.
pub(crate) fn read_row(path: &Path, byte: u64) -> Result<(usize, Vec<u8>), String> {
    let mut file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.seek(SeekFrom::Start(byte)).map_err(|error| error.to_string())?;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(BufReader::new(file));
    let mut record = csv::StringRecord::new();
    reader.read_record(&mut record).map_err(|error| error.to_string())?;
    // The only column with spaces, wherever it stands.
    let pixels = record.iter().find(|cell| cell.trim().contains(' ')).unwrap_or_default();
    let values: Result<Vec<u8>, _> = pixels.split_ascii_whitespace().map(str::parse).collect();
    let values = values.map_err(|_| "its `pixels` are no numbers from 0 to 255".to_owned())?;
    let side = values.len().isqrt();
    if side == 0 || side * side != values.len() {
        return Err("its `pixels` are no square picture".to_owned());
    }
    Ok((side, values))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{folder_of, message, pictures};
    use super::*;
    use crate::scene::Expression;

    #[test]
    fn one_part_needs_no_choice_and_several_do() {
        let root = folder_of(&["train/angry/a.jpg", "train/fear/b.jpg", "test/happy/c.jpg"]);
        let path = root.path().display();
        let message = message(&format!("fer2013:{path}"));
        assert!(message.contains("train, test") && message.contains("#train"), "{message}");
        for (spec, count) in [("#train", 2), ("#test", 1), ("#all", 3), ("/train", 2), ("/train#train", 2)] {
            assert_eq!(pictures(&format!("fer2013:{path}{spec}")).0.len(), count, "{spec}");
        }
        let message = super::super::tests::message(&format!("fer2013:{path}#validation"));
        assert!(message.contains("no part `validation`, only these: [train, test]"), "{message}");
    }

    #[test]
    fn pictures_are_whole_faces_of_nobody_known() {
        let root = folder_of(&["angry/a.jpg", "contempt/b.jpg"]);
        let (pictures, skipped) = pictures(&format!("fer2013:{}", root.path().display()));
        let [Picture { about, is_whole, .. }] = &pictures[..] else { panic!("{pictures:?}") };
        assert_eq!((about.expression, &about.subject, *is_whole), (Some(Expression::Angry), &None, true));
        assert!(skipped[0].reason.contains("none of the seven"));
    }

    #[test]
    fn the_csv_file_is_read_by_parts() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let csv = root.path().join("fer2013.csv");
        let text = "emotion,pixels,Usage\n3,1 2 3 4,Training\n0,\"5 6 7 8\",PublicTest\n9,1 2 3 4,Training\n";
        std::fs::write(&csv, text).expect("written");
        let (pictures, skipped) = pictures(&format!("fer2013:{}#validation", csv.display()));
        let [Picture { place: Place::Row { number: 2, byte }, about, .. }] = &pictures[..] else {
            panic!("{pictures:?}")
        };
        assert_eq!(about.expression, Some(Expression::Angry));
        assert_eq!(read_row(&csv, *byte), Ok((2, vec![5, 6, 7, 8])));
        assert_eq!(skipped.len(), 1);
        let by_folder = super::super::tests::pictures(&format!("fer2013:{}#train", root.path().display())).0;
        assert_eq!(by_folder.len(), 1);
    }
}
