//! A take as it is known when it is open: all that is in it but pictures and records, which a
//! [`TakeFile`](super::TakeFile) reads one by one when they are wanted.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::about::{Camera, Input, LAYOUT};
use super::argument::as_argument;
use super::arrivals::Jump;
use super::scan::Place;
use super::set::SetNote;
use crate::config::RecordContent;
use crate::rig::Rig;
use crate::time::Timestamp;

/// Why a take cannot be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum TakeError {
    #[error("cannot read {}; look whether it is there, whether you may read it, and after its disk", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} is no file but {what}: copy what it holds into a file, and name that", .path.display())]
    NoFile { path: PathBuf, what: &'static str },
    #[error("{} is no take: it does not begin as an MCAP file does", .path.display())]
    NoMcap { path: PathBuf },
    #[error("{} is an MCAP file, but no take of vultus: {reason}", .path.display())]
    NoTake { path: PathBuf, reason: String },
    #[error("{} breaks off before anything was recorded: there is nothing to save. Delete it, or name another take", .path.display())]
    Nothing { path: PathBuf },
    #[error("{} was made by a newer vultus (layout {layout}; this one knows {LAYOUT}): update vultus", .path.display())]
    Newer { path: PathBuf, layout: String },
    #[error("{} was compressed ({compression}) by another program, and vultus reads takes as it writes them: `mcap decompress` undoes it", .path.display())]
    Compressed { path: PathBuf, compression: String },
    #[error("{} has no pictures to {wanted}: it was recorded with `--record-content {}`. `vultus info` and `vultus export --to csv|parquet` read it", .path.display(), .content.name())]
    NoPictures { path: PathBuf, content: RecordContent, wanted: &'static str },
    #[error("the rig in {} cannot be used: {reason}. Name one with `--rig FILE`", .path.display())]
    Rig { path: PathBuf, reason: String },
    #[error("{} is damaged: {what} cannot be read. `vultus info {}` tells what is there; if there is a copy of the file, take that", .path.display(), as_argument(.path))]
    Damaged { path: PathBuf, what: String },
}

/// A frame in a take.
#[derive(Clone, Copy, Debug)]
pub struct TakenFrame {
    /// Its number.
    pub seq: u64,
    /// When it was taken, as the device said.
    pub captured_at: Timestamp,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Where its picture is: [`TakeFile::picture`](super::TakeFile::picture). `None` if only its times were recorded.
    pub picture: Option<Place>,
}

/// An aligned face in a take that has no whole pictures.
#[derive(Clone, Copy, Debug)]
pub struct TakenFace {
    /// The frame's number.
    pub seq: u64,
    /// When the frame was taken.
    pub captured_at: Timestamp,
    /// Where its picture is: [`TakeFile::face`](super::TakeFile::face).
    pub picture: Place,
}

/// Frames that a take lacks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Gap {
    /// The view's name.
    pub camera: String,
    /// How many.
    pub frames: u64,
    /// The number of the next one that is there; none if it is the end.
    pub before_seq: Option<u64>,
}

/// One camera's part of a take.
#[derive(Clone, Debug)]
pub struct TakenView {
    /// What is known of the camera.
    pub camera: Camera,
    /// Its frames, in the order of arrival; across a clock that was set back, as they were recorded.
    pub frames: Vec<TakenFrame>,
    /// Its faces, where the take has no whole pictures.
    pub faces: Vec<TakenFace>,
    /// How its frames came, such as MJPEG; `None` without frames.
    pub format: Option<String>,
    /// What is missing.
    pub gaps: Vec<Gap>,
    /// Times that the clock of arrivals went back.
    pub clock_resets: u64,
    /// Where it was set back.
    pub(super) jumps: Vec<Jump>,
    /// Frames with an arrival that cannot be, which are left out.
    pub wild_frames: u64,
}

impl TakenView {
    /// One without frames.
    #[must_use]
    pub fn empty(camera: Camera) -> Self {
        Self {
            camera,
            frames: Vec::new(),
            faces: Vec::new(),
            format: None,
            gaps: Vec::new(),
            clock_resets: 0,
            jumps: Vec::new(),
            wild_frames: 0,
        }
    }

    /// When a replay has the `n`th frame arrive: when it did, unless the clock was set back before it. Never before the
    /// frame before it.
    #[must_use]
    pub fn plays_at(&self, n: usize) -> Option<Timestamp> {
        let passed = self.jumps.partition_point(|jump| jump.before <= n);
        let added_ns = passed.checked_sub(1).map_or(0, |last| self.jumps[last].added_ns);
        self.frames.get(n).map(|frame| Timestamp::from_ns(frame.received_at.ns().saturating_add(added_ns)))
    }
}

/// The result records of a take, of which one or more belong to a set.
#[derive(Clone, Copy, Debug)]
pub struct TakenRecord {
    /// The set's instant.
    pub at: Timestamp,
    /// Where its text is: [`TakeFile::text`](super::TakeFile::text).
    pub text: Place,
}

/// Where a take breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreaksOff {
    /// Bytes at the end that cannot be read; none if only the index is missing.
    pub unreadable_bytes: u64,
}

/// What cannot be read before the end of a take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The first byte of it.
    pub at_byte: u64,
    /// How far into the take that is.
    pub at_ns: u64,
    /// In how many places something is damaged.
    pub places: u64,
    /// How many bytes cannot be read.
    pub bytes: u64,
    /// How many frames cannot, as far as it is known.
    pub frames: u64,
    /// How many sets, results and other messages cannot, as far as it is known.
    pub others: u64,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = if self.places > 1 { format!("in {} places, first ", self.places) } else { String::new() };
        write!(f, "damaged {first}at byte {} ({:.1} s): ", self.at_byte, self.at_ns as f64 / 1e9)?;
        write!(f, "{} frames and {} other messages could not be read", self.frames, self.others)
    }
}

/// A take.
#[derive(Clone, Debug)]
pub struct Take {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// What is recorded of each frame.
    pub content: RecordContent,
    /// What it says of its run (`docs/reference/takes.md`).
    pub metadata: BTreeMap<String, String>,
    /// The calibrated rig that was in use.
    pub rig: Option<Rig>,
    /// Why that rig cannot be used, if it cannot.
    pub(super) rig_fault: Option<String>,
    /// One a camera, in the order of configuration.
    pub views: Vec<TakenView>,
    /// The sets that were formed, by number.
    pub sets: Vec<SetNote>,
    /// The results, in the order of the file.
    pub records: Vec<TakenRecord>,
    /// What was missing in all when it was closed; `None` if it never was.
    pub dropped: Option<u64>,
    /// If it has no index or no end.
    pub breaks_off: Option<BreaksOff>,
    /// If something before its end cannot be read; all that can be is there.
    pub damage: Option<Damage>,
    /// Whether it is being recorded at this moment, as far as the system tells.
    pub is_growing: bool,
    /// Sets and gaps that are there and damaged; they are left out.
    pub damaged_notes: u64,
}

impl Take {
    /// The first frame's arrival.
    #[must_use]
    pub fn starts_at(&self) -> Option<Timestamp> {
        self.views.iter().filter_map(|view| view.frames.first()).map(|frame| frame.received_at).min()
    }

    /// When the last frame's time is over.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        let end = |view: &TakenView| Some(view.plays_at(view.frames.len().checked_sub(1)?)? + view.camera.period);
        self.views.iter().filter_map(end).max()
    }

    /// From the first frame to the end of the last.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.starts_at().zip(self.ends_at()).map_or(Duration::ZERO, |(start, end)| end.since(start))
    }

    /// Whether it was made of pictures that were each taken by itself.
    #[must_use]
    pub fn is_of_stills(&self) -> bool {
        self.metadata.get("source").is_some_and(|source| source == Input::Stills.name())
    }

    /// Checks that the rig that was in use can be.
    ///
    /// # Errors
    /// [`TakeError::Rig`].
    pub fn check_rig(&self) -> Result<(), TakeError> {
        match &self.rig_fault {
            Some(reason) => Err(TakeError::Rig { path: self.path.clone(), reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Whether all of it can be read, and its index is there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.breaks_off.is_none() && self.damage.is_none()
    }

    /// How much of it cannot be read.
    #[must_use]
    pub fn unreadable_bytes(&self) -> u64 {
        self.breaks_off.map_or(0, |end| end.unreadable_bytes) + self.damage.map_or(0, |damage| damage.bytes)
    }

    /// Checks that there are whole pictures to do something with.
    ///
    /// # Errors
    /// [`TakeError::NoPictures`].
    pub fn check_pictures(&self, wanted: &'static str) -> Result<(), TakeError> {
        match self.content {
            RecordContent::Video => Ok(()),
            content => Err(TakeError::NoPictures { path: self.path.clone(), content, wanted }),
        }
    }
}
