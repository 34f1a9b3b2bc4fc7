//! Per-frame times in the layouts of other multi-camera tools, so that their users can go on with their own.
//!
//! * caliscope reads `timestamps.csv`: `cam_id` (a number), `frame_time` (seconds). The frame of a video is known by
//!   its place among the camera's rows, so every frame has one (`docs/project_setup.md` and
//!   `recording/synchronized_timestamps.py` of mprib/caliscope, 2026). It reads the two columns by name; the one behind
//!   them is for people.
//! * Earlier versions of it wrote and read `frame_time_history.csv`: `sync_index`, `port`, `frame_index`, `frame_time`,
//!   a row a camera and set (`recording/video_recorder.py`).
//! * skellycam, which freemocap records with, writes `RECORDING.cameraID.timestamps.csv`
//!   (`recorders/videos/recording_info.py` and the columns of `FrameTimestampsCSVRow` in freemocap/skellycam, 2026). Of
//!   its columns those are written that a take can tell.

use super::ExportError;
use super::folder::OutFolder;
use super::table::{self, Column, TableFormat};
use super::tables::{FrameRow, Frames};
use super::times::{origin, utc_offset};
use crate::record::Take;

/// How many steps [`write`] has: rows.
pub(super) fn steps(take: &Take) -> usize {
    let frames: usize = take.views.iter().map(|view| view.frames.len()).sum();
    2 * frames + Frames::of(take).in_sets_count()
}

/// Writes all of them.
///
/// # Errors
/// [`ExportError::Write`] and [`ExportError::BrokenOff`].
pub(super) fn write(
    frames: &Frames<'_>,
    out: &mut OutFolder,
    goes_on: &(dyn Fn() -> bool + Sync),
) -> Result<(), ExportError> {
    let columns = vec![whole("cam_id", |row| row.camera_index), frame_time(), camera()];
    csv(out, "caliscope/timestamps", columns, frames.all(), goes_on)?;
    let columns = vec![
        Column::whole("sync_index", |row: &FrameRow| row.set.map(|set| set as i64)),
        whole("port", |row| row.camera_index),
        whole("frame_index", |row| row.index),
        frame_time(),
        camera(),
    ];
    csv(out, "caliscope/frame_time_history", columns, frames.in_sets(), goes_on)?;

    let take = frames.take;
    let recording = take.path.file_stem().unwrap_or_default().to_string_lossy();
    let (origin, utc_offset) = (origin(take).unwrap_or_default(), utc_offset(take));
    for (n, view) in take.views.iter().enumerate() {
        let columns = vec![
            whole("recording_frame_number", |row| row.index),
            whole("connection_frame_number", |row| row.frame.seq as usize),
            Column::real("timestamp.from_recording_start.sec", move |row: &FrameRow| {
                Some(seconds(row.frame.captured_at - origin))
            }),
            Column::real("timestamp.utc.seconds", move |row: &FrameRow| {
                utc_offset.map(|offset| seconds(row.frame.captured_at.ns() + offset))
            }),
            Column::whole("timestamp.perf_counter_ns.ns", |row: &FrameRow| Some(row.frame.captured_at.ns())),
        ];
        let name = format!("skellycam/{recording}.camera{}.timestamps", view.camera.name);
        csv(out, &name, columns, frames.of_camera(n), goes_on)?;
    }
    Ok(())
}

/// Where the folders of the tools are. Not at the top: a folder of which a folder has a `timestamps.csv` would be taken
/// for one of pictures when it is replayed.
const FOLDER: &str = "timestamps";

fn csv(
    out: &mut OutFolder,
    name: &str,
    columns: Vec<Column<FrameRow>>,
    rows: impl Iterator<Item = FrameRow>,
    goes_on: &(dyn Fn() -> bool + Sync),
) -> Result<(), ExportError> {
    let rows = table::write(out, &format!("{FOLDER}/{name}"), TableFormat::Csv, columns, rows, goes_on)?;
    out.count(rows);
    Ok(())
}

fn whole(name: &str, cell: impl Fn(&FrameRow) -> usize + 'static) -> Column<FrameRow> {
    Column::whole(name, move |row| Some(cell(row) as i64))
}

fn frame_time() -> Column<FrameRow> {
    Column::real("frame_time", |row: &FrameRow| Some(seconds(row.frame.captured_at.ns())))
}

fn camera() -> Column<FrameRow> {
    Column::text("camera", |row: &FrameRow| Some(row.camera.to_string()))
}

fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}
