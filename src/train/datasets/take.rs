//! Takes: several cameras at once, over time. What was recorded is the pictures; who is on them and how they look is
//! known where something says so:
//!
//! * `truth.jsonl` in a take's folder (rendered takes): persons with their boxes and the weights of their expressions;
//! * `TAKE.labels.csv` beside the take: `from_s,to_s,expression`, with `person` where there are several; seconds from
//!   the take's beginning, people as the pipeline numbers them (`1`, `2`…) or as the truth names them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::labels::expression_named;
use super::{Content, DatasetError, Listing};
use crate::capture::folder::{self, Folder};
use crate::record::{Take, file_name};
use crate::scene::{Expression, Rect};

/// Frame sets a second that are used, unless the choice says otherwise.
pub(super) const DEFAULT_RATE: f64 = 5.0;
/// From this weight on the largest of an expression's weights is its label.
const CLEAR: f32 = 0.5;
/// A face is the person's whose true box it overlaps by more than this: YuNet's boxes of profiles reach further back.
const SAME_PERSON_IOU: f32 = 0.3;

/// The rate in a choice such as `10fps`.
pub(super) fn rate_named(choice: &str) -> Option<f64> {
    let rate: f64 = choice.strip_suffix("fps")?.trim().parse().ok()?;
    (0.01..=1000.0).contains(&rate).then_some(rate)
}

/// A take.
#[derive(Debug)]
pub struct Clip {
    /// Its name, which is its people's first.
    pub name: String,
    /// Its file or folder.
    pub path: PathBuf,
    /// What it consists of: a change in one of these files is a change of the clip.
    pub files: Vec<PathBuf>,
    /// How its people look.
    pub labels: PersonLabels,
}

/// Whether there is a take, or a folder of takes.
pub(super) fn is_there(path: &Path) -> bool {
    is_take(path) || !takes_in(path).is_empty()
}

fn is_take(path: &Path) -> bool {
    if path.is_dir() { folder::is_take(&Folder::Disk(path.to_owned())) } else { Take::is_named_so(path) }
}

/// The takes that lie in a folder, as files and as folders.
fn takes_in(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut takes: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_take(path)).collect();
    takes.sort();
    takes
}

pub(super) fn list(listing: &mut Listing) -> Result<(), DatasetError> {
    let root = listing.spec.path.clone();
    let takes = if is_take(&root) { vec![root.clone()] } else { takes_in(&root) };
    let clips = takes.into_iter().map(clip).collect::<Result<_, _>>()?;
    listing.content = Content::Clips(clips);
    Ok(())
}

fn clip(path: PathBuf) -> Result<Clip, DatasetError> {
    let whole = path.canonicalize().unwrap_or_else(|_| path.clone());
    let table = labels_beside(&whole);
    let mut files: Vec<PathBuf> = super::files_of(&path)?.iter().map(|file| super::at(&path, file)).collect();
    files.extend(Some(table.clone()).filter(|table| table.is_file()));
    let labels = PersonLabels::read(&path.join("truth.jsonl"), &table)?;
    let stem = if whole.is_dir() { None } else { whole.file_stem() };
    let name = stem.map_or_else(|| file_name(&whole), |stem| stem.to_string_lossy().into_owned());
    Ok(Clip { name, path, files, labels })
}

/// `TAKE.labels.csv`; of `take.mcap` it is `take.labels.csv`.
fn labels_beside(take: &Path) -> PathBuf {
    let stem = if take.is_dir() { take.file_name() } else { take.file_stem() };
    let mut name: OsString = stem.unwrap_or_default().to_owned();
    name.push(".labels.csv");
    take.with_file_name(name)
}

/// The people in each frame, by camera and frame number.
type Truth = HashMap<(String, u64), Vec<TruePerson>>;

/// Who is to be seen where, and how they look, as far as it is known.
#[derive(Debug, Default)]
pub struct PersonLabels {
    /// None where there is no truth.
    truth: Option<Truth>,
    stretches: Vec<Stretch>,
}

/// A line of `truth.jsonl`; those of other takes have no persons.
#[derive(Deserialize)]
struct Line {
    camera: String,
    seq: u64,
    persons: Option<Vec<TruePerson>>,
}

#[derive(Debug, Deserialize)]
struct TruePerson {
    person: String,
    weights: HashMap<String, f32>,
    #[serde(rename = "box")]
    rect: [f32; 4],
}

#[derive(Debug, Deserialize)]
struct Stretch {
    from_s: f64,
    to_s: f64,
    expression: String,
    #[serde(default)]
    person: Option<String>,
}

impl PersonLabels {
    fn read(truth: &Path, table: &Path) -> Result<Self, DatasetError> {
        Ok(Self { truth: read_truth(truth)?, stretches: read_table(table)? })
    }

    /// The person whose face at `rect` is in frame `seq` of `camera`: the truth's name of them where there is a truth,
    /// and none if it knows of nobody there; else `number`.
    #[must_use]
    pub fn person(&self, camera: &str, seq: u64, rect: Rect, number: u32) -> Option<String> {
        match self.truth {
            None => Some(number.to_string()),
            Some(_) => self.true_person(camera, seq, rect).map(|person| person.person.clone()),
        }
    }

    /// How `person` looks at `time_s`, if that is clear: the table beside the take first, else the truth.
    #[must_use]
    pub fn expression(&self, camera: &str, seq: u64, rect: Rect, person: &str, time_s: f64) -> Option<Expression> {
        let is_meant = |stretch: &&Stretch| {
            let is_of = stretch.person.as_deref().is_none_or(|named| named.trim() == person);
            is_of && (stretch.from_s..stretch.to_s).contains(&time_s)
        };
        if let Some(stretch) = self.stretches.iter().find(is_meant) {
            return expression_named(&stretch.expression);
        }
        let weights = &self.true_person(camera, seq, rect)?.weights;
        let (name, _) = weights.iter().find(|(_, weight)| **weight >= CLEAR)?;
        expression_named(name)
    }

    fn true_person(&self, camera: &str, seq: u64, rect: Rect) -> Option<&TruePerson> {
        let people = self.truth.as_ref()?.get(&(camera.to_owned(), seq))?;
        let overlap = |person: &TruePerson| {
            let [x, y, w, h] = person.rect;
            rect.iou(&Rect { x, y, w, h })
        };
        let best = people.iter().max_by(|a, b| overlap(a).total_cmp(&overlap(b)))?;
        Some(best).filter(|person| overlap(person) > SAME_PERSON_IOU)
    }
}

fn read_truth(file: &Path) -> Result<Option<Truth>, DatasetError> {
    if !file.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(file).map_err(|source| DatasetError::Read { path: file.to_owned(), source })?;
    let mut people = HashMap::new();
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line: Line = serde_json::from_str(line).map_err(|error| DatasetError::Invalid {
            path: file.to_owned(),
            reason: format!("line {}: {error}", n + 1),
        })?;
        // A take of a board has a truth too, but nobody in it.
        people.insert((line.camera, line.seq), line.persons.unwrap_or_default());
    }
    Ok(Some(people))
}

fn read_table(file: &Path) -> Result<Vec<Stretch>, DatasetError> {
    if !file.is_file() {
        return Ok(Vec::new());
    }
    let invalid = |reason: String| DatasetError::Invalid { path: file.to_owned(), reason };
    let reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(file);
    let mut stretches = Vec::new();
    for row in reader.map_err(|error| invalid(error.to_string()))?.into_deserialize() {
        let mut stretch: Stretch = row.map_err(|error| {
            invalid(format!("{error}; the columns are from_s,to_s,expression and, if need be, person"))
        })?;
        if expression_named(&stretch.expression).is_none() {
            return Err(invalid(format!("`{}` is none of the seven classes", stretch.expression)));
        }
        stretch.person = stretch.person.filter(|person| !person.is_empty());
        stretches.push(stretch);
    }
    Ok(stretches)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECT: Rect = Rect { x: 10.0, y: 10.0, w: 20.0, h: 30.0 };

    fn labels(truth: &str, table: &str) -> Result<PersonLabels, DatasetError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (truth_file, table_file) = (folder.path().join("truth.jsonl"), folder.path().join("take.labels.csv"));
        for (file, text) in [(&truth_file, truth), (&table_file, table)].into_iter().filter(|(_, t)| !t.is_empty()) {
            std::fs::write(file, text).expect("written");
        }
        PersonLabels::read(&truth_file, &table_file)
    }

    #[test]
    fn the_truth_names_the_person_at_a_face_and_only_clear_expressions() {
        let line = |seq: u64, happy: f32| {
            format!(
                r#"{{"camera": "cam0", "seq": {seq}, "true_ns": 1, "persons": [
                {{"person": "p7", "weights": {{"happy": {happy}, "neutral": {}}}, "box": [11, 9, 20, 30]}},
                {{"person": "p8", "weights": {{"sad": 1.0}}, "box": [60, 9, 20, 30]}}]}}"#,
                0.45
            )
            .replace('\n', " ")
        };
        let labels = labels(&(line(1, 0.55) + "\n" + &line(2, 0.40)), "").expect("reads");
        assert_eq!(labels.person("cam0", 1, RECT, 3).as_deref(), Some("p7"));
        assert_eq!(labels.person("cam0", 1, RECT.shifted(100.0, 0.0), 3), None, "nobody is there");
        let class = |seq| labels.expression("cam0", seq, RECT, "p7", 0.0);
        assert_eq!(class(1), Some(Expression::Happy));
        assert_eq!(class(2), None, "half way between two");
    }

    #[test]
    fn a_table_beside_a_take_labels_stretches_of_time() {
        let table = "from_s,to_s,expression,person\n0,2,happy,\n2,4,anger,2\n";
        let labels = labels("", table).expect("reads");
        assert_eq!(labels.person("cam0", 1, RECT, 3).as_deref(), Some("3"));
        let class = |person, time_s| labels.expression("cam0", 1, RECT, person, time_s);
        assert_eq!(class("1", 1.0), Some(Expression::Happy));
        assert_eq!((class("2", 3.0), class("1", 3.0)), (Some(Expression::Angry), None));
        assert_eq!(class("1", 9.0), None);
    }

    #[test]
    fn a_table_that_cannot_be_read_is_named() {
        let message = labels("", "from_s,to_s,expression\n0,2,cheeky\n").expect_err("no class").to_string();
        assert!(message.contains("take.labels.csv") && message.contains("cheeky"), "{message}");
    }
}
