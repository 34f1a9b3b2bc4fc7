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
use super::tables::{FrameRow, frame_rows};
use super::times::{origin, utc_offset};
use crate::record::Take;

/// Writes all of them.
///
/// # Errors
/// [`ExportError::Write`].
pub(super) fn write(take: &Take, out: &mut OutFolder) -> Result<(), ExportError> {
    let mut csv = |name: &str, columns, rows: Vec<FrameRow>| {
        let rows = table::write(out, name, TableFormat::Csv, columns, rows)?;
        out.count(rows);
        Ok::<(), ExportError>(())
    };

    let columns = vec![whole("cam_id", |row| row.camera_index), frame_time(), camera()];
    csv("timestamps", columns, frame_rows(take).collect())?;

    let columns = vec![
        Column::whole("sync_index", |row: &FrameRow| row.set.map(|set| set as i64)),
        whole("port", |row| row.camera_index),
        whole("frame_index", |row| row.index),
        frame_time(),
        camera(),
    ];
    let mut in_sets: Vec<FrameRow> = frame_rows(take).filter(|row| row.set.is_some()).collect();
    in_sets.sort_by_key(|row| (row.set, row.camera_index));
    csv("frame_time_history", columns, in_sets)?;

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
        let name = format!("timestamps/{recording}.camera{}.timestamps", view.camera.name);
        csv(&name, columns, frame_rows(take).filter(|row| row.camera_index == n).collect())?;
    }
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
