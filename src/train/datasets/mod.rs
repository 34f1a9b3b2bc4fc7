//! Data sets: which pictures there are, of whom, from where, and how they look; told by names and folders alone.
//!
//! One file a layout. A data set is named by `KIND:PATH`, where its kind needs a choice with `#CHOICE` behind it:
//!
//! | kind | path | choice |
//! |---|---|---|
//! | `kdef` | the folder of KDEF, or of pictures named as KDEF's are | |
//! | `ddcf` | the folder of DDCF | `#FILE.toml`: how its files are named |
//! | `fer2013` | class folders, parts with class folders, or the CSV file | `#train`, `#validation`, `#test`, `#all` |
//! | `cmu` | the folder of the CMU Face Images | `#sunglasses`: take pictures with sunglasses too |
//! | `classes` | a folder of class folders | `#whole`: they are crops already; `#subjects`: names begin with the person |
//! | `take` | a take, or a folder of takes | `#10fps`: so many frame sets a second (5) |

mod classes;
mod cmu;
mod ddcf;
pub(super) mod fer2013;
mod kdef;
mod labels;
mod spec;
mod take;

use std::path::{Path, PathBuf};

use crate::capture::folder::{files_below, is_picture};
use crate::scene::Expression;
use crate::train::faces::{About, Skipped};

pub use labels::expression_named;
pub use spec::{DatasetSpec, Kind};
pub use take::{Clip, PersonLabels};

/// Why a data set cannot be listed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum DatasetError {
    #[error("`{text}` names no data set: give KIND:PATH, where the kind is one of {}", kinds())]
    NoKind { text: String },
    #[error("there is no kind `{kind}` of data set; there are {}", kinds())]
    UnknownKind { kind: String },
    #[error("{} is not there. Give {}", .path.display(), .kind.usage())]
    NotThere { path: PathBuf, kind: Kind },
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} has nothing of {kind}: looked for {}{}",
        .path.display(), .kind.looked_for(), advice(.path, *.looks_like))]
    Nothing { path: PathBuf, kind: Kind, looks_like: Option<Kind> },
    #[error("{} has the parts {}: say which, as in fer2013:{}#{}, or take them together with #all",
        .path.display(), .parts.join(", "), .path.display(), .parts.first().map_or("train", |part| part))]
    SeveralParts { path: PathBuf, parts: Vec<String> },
    #[error("{} has no part `{part}`, only these: [{}]", .path.display(), .parts.join(", "))]
    NoPart { path: PathBuf, part: String, parts: Vec<String> },
    #[error("{}: {reason}", .path.display())]
    Invalid { path: PathBuf, reason: String },
    #[error("{} is not understood: {reason}. Describe the names in a mapping file: ddcf:DIR#FILE.toml", .file.display())]
    NotUnderstood { file: PathBuf, reason: String },
}

/// All kinds, as they are named.
fn kinds() -> String {
    Kind::ALL.map(Kind::usage).join(", ")
}

/// What to do about a folder that holds another data set.
fn advice(path: &Path, looks_like: Option<Kind>) -> String {
    match looks_like {
        Some(kind) => format!(". It looks like {}; use {kind}:{}", kind.looks(), path.display()),
        None => String::new(),
    }
}

impl DatasetSpec {
    /// Looks which pictures there are, without opening one.
    ///
    /// # Errors
    /// Every [`DatasetError`]; also when nothing usable is there, or another data set.
    pub fn list(&self) -> Result<Listing, DatasetError> {
        if !self.path.exists() {
            return Err(DatasetError::NotThere { path: self.path.clone(), kind: self.kind });
        }
        let mut listing = Listing { spec: self.clone(), content: Content::Pictures(Vec::new()), skipped: Vec::new() };
        match self.kind {
            Kind::Kdef => kdef::list(&mut listing)?,
            Kind::Ddcf => ddcf::list(&mut listing)?,
            Kind::Fer2013 => fer2013::list(&mut listing)?,
            Kind::Cmu => cmu::list(&mut listing)?,
            Kind::Classes => classes::list(&mut listing)?,
            Kind::Take => take::list(&mut listing)?,
        }
        let is_empty = match &listing.content {
            Content::Pictures(pictures) => pictures.is_empty(),
            Content::Clips(clips) => clips.is_empty(),
        };
        if is_empty {
            let looks_like = recognised(&self.path).filter(|kind| *kind != self.kind);
            return Err(DatasetError::Nothing { path: self.path.clone(), kind: self.kind, looks_like });
        }
        Ok(listing)
    }
}

/// What there is of a data set.
#[derive(Debug)]
pub struct Listing {
    /// What was asked for.
    pub spec: DatasetSpec,
    /// What is there.
    pub content: Content,
    /// What is left out by its name alone.
    pub skipped: Vec<Skipped>,
}

impl Listing {
    /// Of takes: frame sets a second that are wanted.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.spec.choice.as_deref().and_then(take::rate_named).unwrap_or(take::DEFAULT_RATE)
    }

    /// Leaves `source` out.
    fn skip(&mut self, source: impl Into<PathBuf>, reason: impl Into<String>) {
        self.skipped.push(Skipped { set: 0, source: source.into(), reason: reason.into() });
    }

    /// Every file below the data set's path, relative to it; of a file, itself under its name.
    fn files(&self) -> Result<Vec<PathBuf>, DatasetError> {
        files_of(&self.spec.path)
    }
}

/// Single pictures, or clips.
#[derive(Debug)]
pub enum Content {
    /// Pictures that have nothing to do with each other in time.
    Pictures(Vec<Picture>),
    /// Takes.
    Clips(Vec<Clip>),
}

/// A picture of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Where it is.
    pub place: Place,
    /// What is known of it.
    pub about: About,
    /// Whether the whole picture is the face, cropped already.
    pub is_whole: bool,
}

/// Where a picture is.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// A file, relative to the data set's path.
    File(PathBuf),
    /// A row of the data set's CSV file.
    Row {
        /// Its number, from 1; the heading has none.
        number: u64,
        /// Where it begins in the file.
        byte: u64,
    },
}

fn files_of(path: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    if path.is_file() {
        return Ok(vec![PathBuf::from(path.file_name().unwrap_or_default())]);
    }
    files_below(path).map_err(|source| DatasetError::Read { path: path.to_owned(), source })
}

/// Where a data set's `file` lies, which is relative to its `path`; of a file it is the path itself.
pub(super) fn at(path: &Path, file: &Path) -> PathBuf {
    if path.is_file() { path.to_owned() } else { path.join(file) }
}

/// Which data set `path` looks like.
fn recognised(path: &Path) -> Option<Kind> {
    if take::is_there(path) {
        return Some(Kind::Take);
    }
    let mut files = files_of(path).ok()?;
    files.retain(|file| is_picture(file));
    let enough = |is_so: fn(&Path) -> bool| 2 * files.iter().filter(|file| is_so(file)).count() > files.len();
    let has_choice = |is_so: fn(&Path) -> bool, kind| (!files.is_empty() && enough(is_so)).then_some(kind);
    has_choice(kdef::is_named_so, Kind::Kdef)
        .or_else(|| has_choice(cmu::is_named_so, Kind::Cmu))
        .or_else(|| has_choice(ddcf::is_laid_out_so, Kind::Ddcf))
        .or_else(|| fer2013::is_there(path).then_some(Kind::Fer2013))
        .or_else(|| has_choice(classes::is_laid_out_so, Kind::Classes))
}

/// The class that the folder around `file` is named after.
fn class_folder(file: &Path) -> Option<Expression> {
    expression_named(file.parent()?.file_name()?.to_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with empty files of these names.
    pub(super) fn folder_of(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary folder");
        for file in files {
            let file = root.path().join(file);
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("made");
            std::fs::write(file, "").expect("written");
        }
        root
    }

    /// What `spec` lists.
    pub(super) fn pictures(spec: &str) -> (Vec<Picture>, Vec<Skipped>) {
        let listing = spec.parse::<DatasetSpec>().expect("a data set's name").list().expect("lists");
        match listing.content {
            Content::Pictures(pictures) => (pictures, listing.skipped),
            Content::Clips(clips) => panic!("{clips:?}"),
        }
    }

    /// Why `spec` cannot be listed.
    pub(super) fn message(spec: &str) -> String {
        spec.parse::<DatasetSpec>().expect("a data set's name").list().expect_err("cannot be listed").to_string()
    }

    #[test]
    fn a_folder_of_another_data_set_is_told_by_its_name() {
        let kdef = folder_of(&["AF01/AF01ANFL.JPG", "AF01/AF01ANS.JPG"]);
        let cmu = folder_of(&["an2i/an2i_left_angry_open.pgm"]);
        let fer2013 = folder_of(&["train/angry/1.jpg", "test/happy/2.jpg"]);
        let take = folder_of(&["cam0/timestamps.csv", "cam0/000001.jpg"]);
        let ddcf = folder_of(&["40Males/Happy/c/b01_x.jpg"]);
        for (path, right) in [(&kdef, "kdef"), (&cmu, "cmu"), (&fer2013, "fer2013"), (&take, "take"), (&ddcf, "ddcf")] {
            let path = path.path().display();
            for kind in ["kdef", "cmu", "fer2013", "take", "ddcf"].into_iter().filter(|kind| *kind != right) {
                let message = message(&format!("{kind}:{path}"));
                assert!(message.contains(&format!("use {right}:{path}")), "{kind}: {message}");
            }
        }
        assert!(message("cmu:/no/such/folder").contains("/no/such/folder is not there"));
        let nothing = folder_of(&["readme.txt"]);
        let message = message(&format!("kdef:{}", nothing.path().display()));
        assert!(message.contains("looked for pictures named as AF01ANFL.JPG"), "{message}");
    }
}
