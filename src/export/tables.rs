//! The tables of a take: its frames, the sets that were formed of them, what was read of whom, and in which view.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::ExportError;
use super::folder::OutFolder;
use super::left_out::LeftOut;
use super::pictures::step;
use super::table::{self, Column, Table, TableFormat};
use crate::record::{SetNote, Take, TakeError, TakeFile, TakenFrame, TakenView};
use crate::results::{Line, LineView, per_class};
use crate::scene::Expression;

/// How many steps [`write`] has: rows of frames and sets, and records.
pub(super) fn steps(take: &Take) -> usize {
    let frames: usize = take.views.iter().map(|view| view.frames.len()).sum();
    frames + take.sets.len() + take.records.len()
}

/// Writes all tables.
///
/// # Errors
/// When the take or a table fails, and [`ExportError::BrokenOff`].
pub(super) fn write(
    frames: &Frames<'_>,
    format: TableFormat,
    out: &mut OutFolder,
    goes_on: &(dyn Fn() -> bool + Sync),
) -> Result<(), ExportError> {
    let take = frames.take;
    let frames = table::write(out, "frames", format, frame_columns(), frames.all(), goes_on)?;
    let sets = table::write(out, "sets", format, set_columns(take), &take.sets, goes_on)?;
    out.count(frames + sets);

    let mut results = Table::begin(out, "results", format, result_columns(take))?;
    let mut views = Table::begin(out, "views", format, view_columns())?;
    let mut records = Records::open(take)?;
    while let Some(line) = records.next() {
        let line = Arc::new(line);
        for n in 0..line.views.len() {
            views.push(ViewRow { line: line.clone(), n })?;
        }
        out.count(1 + line.views.len());
        results.push(line)?;
        step(goes_on)?;
    }
    records.finish();
    results.finish(out)?;
    views.finish(out)
}

/// The result records of a take, one by one.
pub(super) struct Records<'a> {
    take: &'a Take,
    file: TakeFile,
    text: Vec<u8>,
    at: usize,
    left_out: LeftOut<'a>,
}

impl<'a> Records<'a> {
    /// # Errors
    /// [`TakeError::Read`].
    pub(super) fn open(take: &'a Take) -> Result<Self, TakeError> {
        let left_out = LeftOut::of(take, "result records".to_owned());
        Ok(Self { take, file: TakeFile::open(&take.path)?, text: Vec::new(), at: 0, left_out })
    }

    /// The next one that can be read.
    pub(super) fn next(&mut self) -> Option<Line> {
        while let Some(record) = self.take.records.get(self.at) {
            let read = self.file.text(record.text, &mut self.text).and_then(|()| {
                let what = format!("result record {}", self.at);
                let damaged = |_| TakeError::Damaged { path: self.take.path.clone(), what };
                serde_json::from_slice(&self.text).map_err(damaged)
            });
            self.at += 1;
            if let Some(line) = self.left_out.unless(read) {
                return Some(line);
            }
        }
        None
    }

    /// Says how many could not be read.
    pub(super) fn finish(self) {
        self.left_out.tell();
    }
}

/// A camera's frame.
pub(super) struct FrameRow {
    pub camera: Arc<str>,
    /// The camera's place in the order of configuration.
    pub camera_index: usize,
    /// Counts the camera's frames in the take.
    pub index: usize,
    pub frame: TakenFrame,
    /// The set that it is in.
    pub set: Option<u64>,
}

/// All frames of a take, and the sets that they are in.
pub(super) struct Frames<'a> {
    pub take: &'a Take,
    /// By camera and frame.
    sets: Vec<Vec<Option<u64>>>,
}

impl<'a> Frames<'a> {
    pub(super) fn of(take: &'a Take) -> Self {
        let of_view = |(n, view): (usize, &TakenView)| {
            let in_set = |set: &SetNote| Some(((*set.seqs.get(n)?)?, set.number));
            let set_of: HashMap<u64, u64> = take.sets.iter().filter_map(in_set).collect();
            view.frames.iter().map(|frame| set_of.get(&frame.seq).copied()).collect()
        };
        Self { take, sets: take.views.iter().enumerate().map(of_view).collect() }
    }

    fn row(&self, camera_index: usize, index: usize) -> FrameRow {
        let view = &self.take.views[camera_index];
        let set = self.sets[camera_index][index];
        FrameRow { camera: view.camera.name.clone(), camera_index, index, frame: view.frames[index], set }
    }

    /// Those of a camera.
    pub(super) fn of_camera(&self, n: usize) -> impl Iterator<Item = FrameRow> {
        (0..self.sets[n].len()).map(move |index| self.row(n, index))
    }

    /// Camera by camera.
    pub(super) fn all(&self) -> impl Iterator<Item = FrameRow> {
        (0..self.sets.len()).flat_map(|n| self.of_camera(n))
    }

    /// Set by set, those that are in one.
    pub(super) fn in_sets(&self) -> impl Iterator<Item = FrameRow> {
        let sets = self.sets.iter().enumerate();
        let places = sets.flat_map(|(n, sets)| sets.iter().enumerate().map(move |(index, set)| (*set, n, index)));
        let mut places: Vec<_> = places.filter(|(set, ..)| set.is_some()).collect();
        places.sort_unstable();
        places.into_iter().map(|(_, n, index)| self.row(n, index))
    }

    /// How many those are.
    pub(super) fn in_sets_count(&self) -> usize {
        self.sets.iter().flatten().flatten().count()
    }
}

fn frame_columns() -> Vec<Column<FrameRow>> {
    vec![
        Column::text("camera", |row: &FrameRow| Some(row.camera.to_string())),
        Column::whole("seq", |row: &FrameRow| Some(row.frame.seq as i64)),
        Column::whole("captured_ns", |row: &FrameRow| Some(row.frame.captured_at.ns())),
        Column::whole("received_ns", |row: &FrameRow| Some(row.frame.received_at.ns())),
        Column::whole("set", |row: &FrameRow| row.set.map(|set| set as i64)),
        Column::whole("bytes", |row: &FrameRow| row.frame.picture.map(|place| place.bytes as i64)),
    ]
}

fn set_columns<'a>(take: &Take) -> Vec<Column<&'a SetNote>> {
    let names: Vec<Arc<str>> = take.views.iter().map(|view| view.camera.name.clone()).collect();
    let seqs = names.clone().into_iter().enumerate().map(|(n, name)| {
        Column::whole(format!("{name}_seq"), move |set: &&SetNote| set.seqs.get(n)?.map(|seq| seq as i64))
    });
    let seqs: Vec<_> = seqs.collect();
    let mut columns = vec![
        Column::whole("set", |set: &&SetNote| Some(set.number as i64)),
        Column::whole("at_ns", |set: &&SetNote| Some(set.at.ns())),
        Column::text("reference", move |set: &&SetNote| names.get(set.reference.index()).map(ToString::to_string)),
        Column::flag("analysed", |set: &&SetNote| Some(set.analysed)),
        Column::real("skew_ms", |set: &&SetNote| Some(set.skew.as_nanos() as f64 / 1e6)),
        Column::real("wait_ms", |set: &&SetNote| Some(set.waited.as_nanos() as f64 / 1e6)),
    ];
    columns.extend(seqs);
    columns
}

fn result_columns(take: &Take) -> Vec<Column<Arc<Line>>> {
    let mut columns = vec![
        Column::whole("set", |line: &Arc<Line>| Some(line.set as i64)),
        Column::whole("at_ns", |line: &Arc<Line>| Some(line.at_ns)),
        Column::whole("person", |line: &Arc<Line>| line.person.map(i64::from)),
        Column::text("expression", |line: &Arc<Line>| line.expression.clone()),
        Column::real("confidence", |line: &Arc<Line>| line.confidence),
    ];
    columns.extend(class_columns(|line: &Arc<Line>| line.probabilities.as_ref()));
    columns.extend([
        Column::real("skew_ms", |line: &Arc<Line>| Some(line.skew_ms)),
        Column::real("wait_ms", |line: &Arc<Line>| Some(line.wait_ms)),
        Column::real("latency_ms", |line: &Arc<Line>| Some(line.latency_ms)),
        Column::real("age_ms", |line: &Arc<Line>| Some(line.age_ms)),
    ]);
    for camera in take.views.iter().map(|view| view.camera.name.clone()) {
        let name = |of: &str| format!("{camera}_{of}");
        let of_camera = camera.clone();
        let seq = move |line: &Arc<Line>| line.frames.get(&*of_camera).map(|seq| *seq as i64);
        columns.push(Column::whole(name("seq"), seq));
        for (of, value) in VIEW_VALUES {
            let camera = camera.clone();
            let cell = move |line: &Arc<Line>| line.views.iter().find(|view| *view.camera == *camera).map(value);
            columns.push(Column::real(name(of), cell));
        }
    }
    columns
}

/// A view of a record.
struct ViewRow {
    line: Arc<Line>,
    n: usize,
}

impl ViewRow {
    fn view(&self) -> &LineView {
        &self.line.views[self.n]
    }
}

/// Landmarks as columns are named.
const LANDMARKS: [&str; 5] = ["right_eye", "left_eye", "nose", "right_mouth", "left_mouth"];

/// Reads a number of a view.
type ViewValue = fn(&LineView) -> f64;

/// What a view says in numbers, but for landmarks and probabilities.
const VIEW_VALUES: [(&str, ViewValue); 7] = [
    ("x", |view| view.rect[0]),
    ("y", |view| view.rect[1]),
    ("w", |view| view.rect[2]),
    ("h", |view| view.rect[3]),
    ("yaw_deg", |view| view.yaw_deg),
    ("quality", |view| view.quality),
    ("weight", |view| view.weight),
];

fn view_columns() -> Vec<Column<ViewRow>> {
    let mut columns = vec![
        Column::whole("set", |row: &ViewRow| Some(row.line.set as i64)),
        Column::whole("at_ns", |row: &ViewRow| Some(row.line.at_ns)),
        Column::whole("person", |row: &ViewRow| row.line.person.map(i64::from)),
        Column::text("camera", |row: &ViewRow| Some(row.view().camera.clone())),
        Column::whole("seq", |row: &ViewRow| Some(row.view().seq as i64)),
        Column::whole("captured_ns", |row: &ViewRow| Some(row.view().captured_ns)),
    ];
    let values = VIEW_VALUES.map(|(name, value)| Column::real(name, move |row: &ViewRow| Some(value(row.view()))));
    columns.extend(values);
    for (n, name) in LANDMARKS.into_iter().enumerate() {
        for (axis, letter) in ["x", "y"].into_iter().enumerate() {
            let cell = move |row: &ViewRow| Some(row.view().landmarks[n][axis]);
            columns.push(Column::real(format!("{name}_{letter}"), cell));
        }
    }
    columns.extend(class_columns(|row: &ViewRow| Some(&row.view().probabilities)));
    columns
}

/// Probabilities as records have them, by class.
type Probabilities = BTreeMap<String, f64>;

/// A column a class.
fn class_columns<R>(
    probabilities: impl Fn(&R) -> Option<&Probabilities> + Copy + 'static,
) -> impl Iterator<Item = Column<R>> {
    Expression::ALL.into_iter().enumerate().map(move |(n, class)| {
        Column::real(class.name(), move |row: &R| probabilities(row).and_then(|of| per_class(of)[n]))
    })
}
