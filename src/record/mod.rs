//! Takes: what the cameras saw and what was made of it, in one MCAP file a recording (`docs/reference/takes.md`).
//!
//! The program holds a [`Recorder`]: it starts and stops recordings and tells how they go. A [`TakeWriter`] is the file;
//! a [`Take`] is one that was written.
//! The thread between the cameras and the file is the pipeline's.

mod about;
mod argument;
mod arrivals;
mod channels;
mod disk;
mod file;
mod messages;
mod reader;
mod recorder;
mod repair;
mod room;
mod scan;
mod set;
mod take;
mod told;
mod writer;

use std::path::PathBuf;

use serde::Serialize;

use crate::config::RecordContent;

pub use about::{About, Camera, Input};
pub use argument::as_argument;
pub(crate) use argument::file_name;
pub use file::TakeFile;
pub use recorder::Recorder;
pub use repair::{RepairError, Repaired, repair};
pub use room::time_left;
pub(crate) use room::{Room, Word};
pub use scan::Place;
pub use set::SetNote;
pub use take::{BreaksOff, Damage, Gap, Take, TakeError, TakenFace, TakenFrame, TakenRecord, TakenView};
pub(crate) use told::Told;
pub use writer::TakeWriter;

/// Why there is no recording, or none any more.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum RecordError {
    #[error("a recording is on already; stop it first")]
    AlreadyOn,
    #[error("no recording is on")]
    NotOn,
    #[error("the run has ended, nothing can be recorded any more")]
    RunEnded,
    #[error("the folder {} cannot be made or written: {reason}. Record into another one (`--record FILE`, `record.folder`)", .folder.display())]
    Folder { folder: PathBuf, reason: String },
    #[error("{} is there already, and no take is ever overwritten: name another file", .path.display())]
    Exists { path: PathBuf },
    #[error(
        "the disk of {} is nearly full: {free_mb} MB are left, and {keep_free_mb} MB are to be kept free (`record.keep_free_mb`). Make room, or record on another disk (`--record FILE`, `record.folder`)",
        .folder.display()
    )]
    DiskFull { folder: PathBuf, free_mb: u64, keep_free_mb: u64 },
    #[error("{} cannot be written: {reason}. What was written until then can be replayed; look after the disk, or record on another one (`--record FILE`, `record.folder`)", .path.display())]
    Write { path: PathBuf, reason: String },
    #[error(
        "{} is still being closed, because its disk is slow. Nothing is added to it any more. Try again in a moment, and look after the disk if that does not help",
        .path.display()
    )]
    StillClosing { path: PathBuf },
}

/// Whether a recording is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// None is.
    #[default]
    Off,
    /// One is.
    On,
    /// One was; nothing is added any more, and its file is being closed.
    Closing,
    /// One was, and ended before it was told to.
    Failed,
}

/// How the recording goes, or how the last one went.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    /// Whether one is on.
    pub state: State,
    /// What it keeps of a frame, or what the next one will.
    pub content: RecordContent,
    /// Its file.
    pub file: Option<PathBuf>,
    /// How long it has been on, or was.
    pub seconds: f64,
    /// How much of it is safe on the disk.
    pub bytes: u64,
    /// Frames and result records that it lacks, because the disk or the encoding was too slow or because no JPEG picture
    /// could be made of a frame.
    pub dropped: u64,
    /// For how long there is room at the mean rate up to the last sync.
    pub left_s: Option<u64>,
    /// How much the disk could take when it was last measured, in a recording; nothing is measured without one.
    pub free_bytes: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
}
