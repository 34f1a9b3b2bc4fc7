//! Where frames come from: cameras, recorded takes, video files, still pictures.
//!
//! A [`Source`] delivers the frames of one camera. It does not know what time it is for anybody else: a recorded
//! source hands its frames out as fast as they are asked for, and the pipeline paces them.

pub mod clipped;
#[cfg(feature = "webcam")]
pub mod devices;
pub mod folder;
pub mod looped;
pub mod recording;
pub mod take;
mod times;
#[cfg(feature = "opencv")]
pub mod video;
#[cfg(feature = "webcam")]
pub mod webcam;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::frame::{CameraId, Frame, FramePool, StampKind};
use crate::record::TakeError;
use crate::time::Timestamp;

/// Why frames cannot be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum CaptureError {
    #[error(
        "no camera is attached (or none that this user may open: `vultus doctor` tells). Without one, `vultus replay` shows the bundled take"
    )]
    NoCamera,
    #[error("there is no camera `{id}`; attached: {attached}. `vultus cameras` lists them")]
    UnknownCamera { id: String, attached: String },
    #[error("camera `{id}` is named twice; name each camera once")]
    SameCamera { id: String },
    #[error("`{name}` cannot be a camera's name: it must be a word that can be a folder's name too")]
    BadName { name: String },
    #[error("two cameras are named `{name}`; results need a name of its own for each")]
    SameName { name: String },
    #[error("{count} cameras; at most {max} can be used at once: name those with `--camera`", max = crate::frame::MAX_CAMERAS)]
    TooMany { count: usize },
    #[error("camera `{camera}` cannot be opened: {reason}")]
    Open { camera: String, reason: String },
    #[error("camera `{camera}` is lost: {reason}")]
    Lost { camera: String, reason: String },
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {reason}", .path.display())]
    Invalid { path: PathBuf, reason: String },
    #[error("{} lists camera `{camera}`, but has no folder {camera}/ with a timestamps.csv; add it, or remove the camera from rig.json", .take.display())]
    NoFolder { take: PathBuf, camera: String },
    #[error("only what has times can be looped (`--loop`): a take, or videos that say how long they are")]
    NoLength,
    #[error("only what has times can be replayed in part (`--from`, `--to`): a take, or videos")]
    NoTimes,
    #[error("it is {length_s:.1} s long: nothing is left of it from {from_s} s on")]
    BeyondEnd { length_s: f64, from_s: f64 },
    #[error(transparent)]
    Take(#[from] TakeError),
    #[error("{} has no cameras: a take is a folder with a rig.json and a folder a camera; a folder of pictures, a video file, or a folder of video files can be replayed too", .path.display())]
    NoCameras { path: PathBuf },
}

/// What is known of a camera before its first frame.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its place in the order of configuration.
    pub camera: CameraId,
    /// The view's name in results.
    pub name: Arc<str>,
    /// What it is, for people: device, mode.
    pub description: String,
    /// Nominal time between frames.
    pub period: Duration,
    /// What its stamps rest on.
    pub stamp: StampKind,
    /// Bytes that a frame may take, for sizing the pool.
    pub frame_bytes: usize,
}

/// What a source has to say.
#[derive(Debug)]
pub enum Event {
    /// A frame.
    Frame(Frame),
    /// A frame came, but cannot be used: why.
    Corrupt(String),
    /// A frame came, but every buffer of the pool was in use.
    NoBuffer,
    /// Nothing came for a while; a live camera has stalled.
    Stalled,
    /// The recording is over.
    End,
}

/// Delivers the frames of one camera.
pub trait Source: Send {
    /// What is known of the camera.
    fn stream(&self) -> &Stream;

    /// The next frame, its bytes in a buffer of `pool`. A live source returns within a second.
    ///
    /// # Errors
    /// [`CaptureError::Lost`] when the device is gone; [`Source::reopen`] may bring it back.
    fn next(&mut self, pool: &FramePool) -> Result<Event, CaptureError>;

    /// Passes over the frames of a recording that were received before `at`, where that can be done without reading them.
    fn skip_until(&mut self, _at: Timestamp) {}

    /// Opens the device anew; a recording begins anew.
    ///
    /// # Errors
    /// [`CaptureError::Open`] while it is not there.
    fn reopen(&mut self) -> Result<(), CaptureError>;
}

/// Whether the file's ending is one of `endings`, which are lower-case.
fn has_ending(file: &Path, endings: &[&str]) -> bool {
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
    endings.contains(&ending.as_str())
}

/// Checks that there are cameras, not too many, and that no two share a name.
///
/// # Errors
/// [`CaptureError::TooMany`], [`CaptureError::BadName`] and [`CaptureError::SameName`].
pub fn check_names<'a>(names: impl ExactSizeIterator<Item = &'a str> + Clone) -> Result<(), CaptureError> {
    if names.len() > crate::frame::MAX_CAMERAS {
        return Err(CaptureError::TooMany { count: names.len() });
    }
    let is_bad = |name: &&str| name.is_empty() || name.contains(['/', '\\', '\0']) || [".", ".."].contains(name);
    if let Some(name) = names.clone().find(is_bad) {
        return Err(CaptureError::BadName { name: name.to_owned() });
    }
    let repeated = names.clone().enumerate().find(|(n, name)| names.clone().take(*n).any(|other| other == *name));
    match repeated {
        Some((_, name)) => Err(CaptureError::SameName { name: name.to_owned() }),
        None => Ok(()),
    }
}
