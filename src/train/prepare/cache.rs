//! Prepared faces on disk: one file a data set, named after what it was made of.
//!
//! ```text
//! "vultus faces\n"  key (32 bytes)  bytes of the table (8 bytes, little-endian)  table (JSON)  pixels  sha256
//! ```
//!
//! The key is the sha256 of the listing with each file's size and time, of the detector and its settings, and of
//! [`VERSION`]. The last hash is of all that stands before it: a file that is damaged is made anew.

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config;
use crate::infer::manifest::Model;
use crate::scene::{Expression, Point};
use crate::train::datasets::{self, Content, DatasetSpec, Listing, Place};
use crate::train::faces::{Crop, Face, Faces, Set, Sex, Skipped, Subject};

/// To be raised whenever the preparation gives other faces of the same pictures.
const VERSION: u32 = 1;
const MAGIC: &[u8] = b"vultus faces\n";
const HASH_BYTES: usize = 32;

/// A data set's place in the cache.
pub(super) struct Entry {
    file: PathBuf,
    key: [u8; HASH_BYTES],
}

impl Entry {
    pub(super) fn of(folder: &Path, listing: &Listing, detector: &Model, settings: config::Detection) -> Self {
        let mut hash = Sha256::new();
        let mut add = |text: String| hash.update((text + "\n").as_bytes());
        let spec = &listing.spec;
        add(format!("{VERSION} {} {settings:?} {} {:?}", detector.sha256.to_lowercase(), spec.kind, spec.choice));
        match &listing.content {
            Content::Pictures(pictures) => {
                let mut stamps = HashMap::new();
                for picture in pictures {
                    let file = match &picture.place {
                        Place::File(file) => datasets::at(&spec.path, file),
                        Place::Row { .. } => spec.path.clone(),
                    };
                    let stamp = stamps.entry(file).or_insert_with_key(|file| stamp(file));
                    add(format!("{picture:?} {stamp}"));
                }
            }
            Content::Clips(clips) => {
                for clip in clips {
                    add(clip.name.clone());
                    for file in &clip.files {
                        let below =
                            file.strip_prefix(&clip.path).unwrap_or(Path::new(file.file_name().unwrap_or_default()));
                        add(format!("{} {}", below.display(), stamp(file)));
                    }
                }
            }
        }
        listing.skipped.iter().for_each(|skipped| add(format!("{skipped:?}")));
        let key: [u8; HASH_BYTES] = hash.finalize().into();
        let short: String = key.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let name = spec.name().replace([':', '#', '/', '\\'], "-");
        Self { file: folder.join(format!("{name}-{short}.faces")), key }
    }

    /// The faces, if they are there and whole.
    pub(super) fn read(&self, spec: &DatasetSpec) -> Option<Faces> {
        let bytes = fs::read(&self.file).ok()?;
        let faces = self.parse(&bytes, spec);
        if faces.is_none() {
            tracing::warn!("{} is damaged: its faces are prepared anew", self.file.display());
        }
        faces
    }

    fn parse(&self, bytes: &[u8], spec: &DatasetSpec) -> Option<Faces> {
        let (content, hash) = bytes.split_last_chunk::<HASH_BYTES>()?;
        if *Sha256::digest(content) != hash[..] {
            return None;
        }
        let rest = content.strip_prefix(MAGIC)?.strip_prefix(&self.key[..])?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let (table, pixels) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        serde_json::from_slice::<Table>(table).ok()?.into_faces(pixels, spec)
    }

    /// Keeps `faces`. That it cannot be is no failure: they are prepared again next time.
    pub(super) fn write(&self, faces: &Faces) {
        if let Err(error) = self.try_write(faces) {
            tracing::warn!("the prepared faces cannot be kept in {}: {error}", self.file.display());
        }
    }

    fn try_write(&self, faces: &Faces) -> io::Result<()> {
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder)?;
        }
        // A name of its own for each process, so that two that prepare the same do not write into one file.
        let unfinished = self.file.with_extension(format!("{}.part", std::process::id()));
        let written = self.write_to(&unfinished, faces).and_then(|()| fs::rename(&unfinished, &self.file));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    fn write_to(&self, file: &Path, faces: &Faces) -> io::Result<()> {
        let mut out = Hashed { out: BufWriter::new(fs::File::create(file)?), hash: Sha256::new() };
        let table = serde_json::to_vec(&Table::of(faces))?;
        out.write_all(MAGIC)?;
        out.write_all(&self.key)?;
        out.write_all(&(table.len() as u64).to_le_bytes())?;
        out.write_all(&table)?;
        for face in &faces.faces {
            out.write_all(&face.crop.gray)?;
        }
        let hash = out.hash.finalize();
        out.out.write_all(&hash)?;
        out.out.into_inner()?.sync_all()
    }
}

/// Size and time of change of a file; nothing if it is not there.
fn stamp(file: &Path) -> String {
    let Ok(metadata) = fs::metadata(file) else { return String::new() };
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    format!("{} {}", metadata.len(), since.unwrap_or_default().as_nanos())
}

/// Writes, and hashes what it writes.
struct Hashed<W> {
    out: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// All of a data set's faces but the pixels.
#[derive(Serialize, Deserialize)]
struct Table {
    subjects: Vec<(String, Option<char>)>,
    views: Vec<String>,
    scenes: usize,
    skipped: Vec<(PathBuf, String)>,
    faces: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    subject: Option<usize>,
    scene: usize,
    view: usize,
    expression: Option<usize>,
    yaw_deg: Option<f32>,
    /// Whole nanoseconds, which JSON keeps as they are.
    time_ns: Option<i64>,
    width: usize,
    height: usize,
    middle: (f32, f32),
    span: f32,
    landmarks: Option<[(f32, f32); 5]>,
    source: PathBuf,
}

impl Table {
    fn of(faces: &Faces) -> Self {
        let row = |face: &Face| Row {
            subject: face.subject,
            scene: face.scene,
            view: face.view,
            expression: face.expression.map(|class| class as usize),
            yaw_deg: face.yaw_deg,
            time_ns: face.time_s.map(|time_s| (time_s * 1e9).round() as i64),
            width: face.crop.width,
            height: face.crop.height,
            middle: face.crop.middle,
            span: face.crop.span,
            landmarks: face.crop.landmarks.map(|landmarks| landmarks.map(|point| (point.x, point.y))),
            source: face.source.clone(),
        };
        let subject = |subject: &Subject| (subject.name.clone(), subject.sex.map(Sex::letter));
        Self {
            subjects: faces.subjects.iter().map(subject).collect(),
            views: faces.views.clone(),
            scenes: faces.scenes,
            skipped: faces.skipped.iter().map(|s| (s.source.clone(), s.reason.clone())).collect(),
            faces: faces.faces.iter().map(row).collect(),
        }
    }

    /// `None` if the pixels do not fit.
    fn into_faces(self, mut pixels: &[u8], spec: &DatasetSpec) -> Option<Faces> {
        let mut faces = Vec::with_capacity(self.faces.len());
        for row in self.faces {
            let (gray, rest) = pixels.split_at_checked(row.width.checked_mul(row.height)?)?;
            pixels = rest;
            faces.push(Face {
                set: 0,
                subject: row.subject,
                scene: row.scene,
                view: row.view,
                expression: row.expression.and_then(|class| Expression::ALL.get(class).copied()),
                yaw_deg: row.yaw_deg,
                time_s: row.time_ns.map(|ns| ns as f64 / 1e9),
                crop: Crop {
                    width: row.width,
                    height: row.height,
                    gray: gray.to_vec(),
                    middle: row.middle,
                    span: row.span,
                    landmarks: row.landmarks.map(|landmarks| landmarks.map(|(x, y)| Point { x, y })),
                },
                source: row.source,
            });
        }
        let subject = |(name, letter): (String, Option<char>)| Subject {
            name,
            sex: letter.and_then(|letter| Sex::of(letter.encode_utf8(&mut [0; 4]))),
        };
        let skipped = |(source, reason): (PathBuf, String)| Skipped { set: 0, source, reason };
        pixels.is_empty().then(|| Faces {
            faces,
            sets: vec![Set { name: spec.name(), spec: spec.clone() }],
            subjects: self.subjects.into_iter().map(subject).collect(),
            views: self.views,
            scenes: self.scenes,
            skipped: self.skipped.into_iter().map(skipped).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{prepare, stills, take};
    use std::fs;
    use std::path::{Path, PathBuf};

    fn files(cache: &Path) -> Vec<PathBuf> {
        fs::read_dir(cache).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
    }

    #[test]
    fn faces_are_prepared_once_and_read_again_as_they_were() {
        let (root, cache) = (stills(&[60]), tempfile::tempdir().expect("a temporary folder"));
        let spec = format!("classes:{}", root.path().display());
        let (first, looked_at) = prepare(&spec, 1, Some(cache.path()));
        assert_eq!(looked_at, 4);
        let (again, looked_at) = prepare(&spec, 2, Some(cache.path()));
        assert_eq!(looked_at, 0, "nothing is looked at again");
        assert_eq!(first.expect("prepares"), again.expect("reads"));

        let take = format!("take:{}#2fps", take().display());
        let first = prepare(&take, 2, Some(cache.path())).0.expect("prepares");
        assert_eq!(prepare(&take, 2, Some(cache.path())).0.expect("reads"), first, "times and landmarks too");
        assert_eq!(files(cache.path()).len(), 2, "one file a data set, nothing left behind");
    }

    #[test]
    fn a_changed_data_set_is_prepared_anew() {
        let (root, cache) = (stills(&[60]), tempfile::tempdir().expect("a temporary folder"));
        let spec = format!("classes:{}", root.path().display());
        let first = prepare(&spec, 1, Some(cache.path())).0.expect("prepares");
        fs::copy(take().join("cam0/000100.jpg"), root.path().join("happy/cam0_60.jpg")).expect("copied");
        let (second, looked_at) = prepare(&spec, 1, Some(cache.path()));
        assert_eq!(looked_at, 4);
        assert_ne!(first, second.expect("prepares"));
    }

    #[test]
    fn a_damaged_file_is_made_anew() {
        let (root, cache) = (stills(&[60]), tempfile::tempdir().expect("a temporary folder"));
        let spec = format!("classes:{}", root.path().display());
        let first = prepare(&spec, 1, Some(cache.path())).0.expect("prepares");
        let [file] = &files(cache.path())[..] else { panic!("one file") };
        let whole = fs::read(file).expect("reads");
        let mut flipped = whole.clone();
        flipped[whole.len() - 1000] ^= 1;
        for damaged in [&flipped[..], &whole[..whole.len() / 2], &whole[..5], &[]] {
            fs::write(file, damaged).expect("written");
            let (again, looked_at) = prepare(&spec, 1, Some(cache.path()));
            assert_eq!((again.expect("prepares"), looked_at), (first.clone(), 4));
            assert!(fs::read(file).expect("reads") == whole, "the file is whole again");
        }
    }

    #[test]
    fn a_cache_that_cannot_be_written_stops_nothing() {
        let root = stills(&[60]);
        let no_folder = root.path().join("happy/cam0_60.jpg");
        let faces = prepare(&format!("classes:{}", root.path().display()), 1, Some(&no_folder)).0;
        assert_eq!(faces.expect("prepares").faces.len(), 4);
    }
}
