//! Opens whatever can be replayed: a take, videos, stills, or the take that is built into the program.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use include_dir::{Dir, include_dir};

use super::clipped::Clipped;
use super::folder::{self, Folder, FolderSource};
use super::looped::Looped;
use super::take;
#[cfg(feature = "opencv")]
use super::video;
use super::{CaptureError, Source};
use crate::record::Take;
use crate::time::Timestamp;

/// Two and a half seconds of a rendered head before four cameras; `tests/data/README.md` has its provenance.
static BUNDLED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/tests/data/take");

/// Something recorded, ready to be replayed.
pub struct Recording {
    /// One a camera, in the order of configuration.
    pub sources: Vec<Box<dyn Source>>,
    /// Pictures in all, where that is known beforehand.
    pub frames: Option<u64>,
    /// When the first frame was received.
    pub starts_at: Timestamp,
    /// How long it takes, where that is known beforehand.
    pub duration: Option<Duration>,
    /// Whether the pictures have nothing to do with each other.
    pub stills: bool,
    /// The take that vultus recorded, if it is one.
    pub take: Option<Arc<Take>>,
}

impl Recording {
    /// The take that is built into the program.
    ///
    /// # Errors
    /// None in a released program.
    pub fn bundled() -> Result<Self, CaptureError> {
        folder::open_take(&Folder::BuiltIn(&BUNDLED)).map(|sources| Self::of_folders(sources, false))
    }

    /// What `paths` name, as [`Recording::open`] has it, or the take that is built in if they name nothing.
    ///
    /// # Errors
    /// Every [`CaptureError`] that concerns files.
    pub fn open_or_bundled(paths: &[PathBuf]) -> Result<Self, CaptureError> {
        if paths.is_empty() { Self::bundled() } else { Self::open(paths, false) }
    }

    /// Opens a take (a file or a folder) or a folder of stills (`stills` makes a take's pictures stills too), a picture, or videos: one
    /// file or folder a camera.
    ///
    /// # Errors
    /// Every [`CaptureError`] that concerns files.
    pub fn open(paths: &[PathBuf], stills: bool) -> Result<Self, CaptureError> {
        let [path] = paths else { return Self::open_videos(paths) };
        if !path.exists() {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(CaptureError::Read { path: path.clone(), source });
        }
        if !path.is_dir() && Take::is_named_so(path) {
            return Self::of_take(Take::open(path)?);
        }
        if !path.is_dir() {
            return if folder::is_picture(path) {
                folder::open_stills(path).map(|source| Self::of_folders(vec![source], true))
            } else {
                Self::open_videos(paths)
            };
        }
        let folder = Folder::Disk(path.clone());
        if !stills && folder::is_camera(path) {
            return folder::open_camera_folder(path).map(|source| Self::of_folders(vec![source], false));
        }
        if !stills && folder::is_take(&folder) {
            return folder::open_take(&folder).map(|sources| Self::of_folders(sources, false));
        }
        let videos = if stills { Vec::new() } else { videos_in(path)? };
        if videos.is_empty() {
            folder::open_stills(path).map(|source| Self::of_folders(vec![source], true))
        } else {
            Self::open_videos(&videos)
        }
    }

    /// The same, beginning anew whenever it ends.
    ///
    /// # Errors
    /// [`CaptureError::NoLength`] of stills, and of a video that does not say how long it is.
    pub fn looped(self) -> Result<Self, CaptureError> {
        let round = self.duration.filter(|_| !self.stills).ok_or(CaptureError::NoLength)?;
        let sources = self.sources.into_iter().map(|source| Box::new(Looped::new(source, round)) as _).collect();
        Ok(Self { sources, frames: None, duration: None, ..self })
    }

    /// The part of it that was received from `from` on and before `to`, counted from its beginning.
    ///
    /// # Errors
    /// [`CaptureError::NoTimes`] of stills, and [`CaptureError::BeyondEnd`] if nothing is left.
    pub fn clipped(self, from: Duration, to: Option<Duration>) -> Result<Self, CaptureError> {
        if self.stills {
            return Err(CaptureError::NoTimes);
        }
        if let Some(length) = self.duration.filter(|length| from >= *length) {
            return Err(CaptureError::BeyondEnd { length_s: length.as_secs_f64(), from_s: from.as_secs_f64() });
        }
        let (first, end) = (self.starts_at + from, to.map(|to| self.starts_at + to));
        let clip = |source| Box::new(Clipped::new(source, first, end)) as Box<dyn Source>;
        let until = to.into_iter().chain(self.duration).min();
        Ok(Self {
            sources: self.sources.into_iter().map(clip).collect(),
            frames: None,
            starts_at: first,
            duration: until.map(|until| until.saturating_sub(from)),
            ..self
        })
    }

    fn of_take(take: Take) -> Result<Self, CaptureError> {
        let take = Arc::new(take);
        let sources = take::open(&take)?;
        Ok(Self {
            sources: sources.into_iter().map(|source| Box::new(source) as _).collect(),
            frames: Some(take.views.iter().map(|view| view.frames.len() as u64).sum()),
            starts_at: take.starts_at().unwrap_or_default(),
            duration: Some(take.duration()),
            stills: false,
            take: Some(take),
        })
    }

    fn of_folders(sources: Vec<FolderSource>, stills: bool) -> Self {
        let starts_at = sources.iter().filter_map(FolderSource::starts_at).min().unwrap_or_default();
        Self {
            frames: Some(sources.iter().map(|source| source.picture_count() as u64).sum()),
            starts_at,
            duration: sources.iter().filter_map(FolderSource::ends_at).max().map(|end| end.since(starts_at)),
            sources: sources.into_iter().map(|source| Box::new(source) as _).collect(),
            stills,
            take: None,
        }
    }

    #[cfg(feature = "opencv")]
    fn open_videos(paths: &[PathBuf]) -> Result<Self, CaptureError> {
        if let Some(path) = paths.iter().find(|path| path.exists() && !video::is_video(path)) {
            let reason = "this is no video; give one take, one folder of pictures, one picture, or videos".to_owned();
            return Err(CaptureError::Invalid { path: path.clone(), reason });
        }
        if paths.len() > crate::frame::MAX_CAMERAS {
            return Err(CaptureError::TooMany { count: paths.len() });
        }
        let times = times_of(paths)?;
        let starts_at = times.iter().flatten().map(video::Times::starts_at).min().unwrap_or_default();
        let open = |(n, (path, times)): (usize, (&PathBuf, _))| {
            video::VideoSource::open(path, crate::frame::CameraId(n as u8), times)
        };
        let sources = paths.iter().zip(times).enumerate().map(open).collect::<Result<Vec<_>, _>>()?;
        super::check_names(sources.iter().map(|source| &*source.stream().name))?;
        let ends: Option<Vec<Timestamp>> = sources.iter().map(video::VideoSource::ends_at).collect();
        let duration = ends.and_then(|ends| ends.into_iter().max()).map(|end| end.since(starts_at));
        let sources = sources.into_iter().map(|source| Box::new(source) as Box<dyn Source>).collect();
        Ok(Self { sources, frames: None, starts_at, duration, stills: false, take: None })
    }

    #[cfg(not(feature = "opencv"))]
    fn open_videos(paths: &[PathBuf]) -> Result<Self, CaptureError> {
        Err(CaptureError::Invalid {
            path: paths.first().cloned().unwrap_or_default(),
            reason: "this is no folder and no picture; video files need a program built with feature `opencv`"
                .to_owned(),
        })
    }
}

/// The tables of times beside videos; none is used unless all have one, as they do not count from the same zero then.
#[cfg(feature = "opencv")]
fn times_of(videos: &[PathBuf]) -> Result<Vec<Option<video::Times>>, CaptureError> {
    let times: Vec<_> = videos.iter().map(|video| video::times_beside(video)).collect::<Result<_, _>>()?;
    match videos.iter().zip(&times).find(|(_, times)| times.is_none()) {
        Some((without, _)) if times.iter().any(Option::is_some) => {
            tracing::warn!(
                "{0} has no {1} beside it, and other videos have theirs: none is used, and each video counts from its \
                 own first picture. Put it there, as `vultus export` wrote it",
                without.display(),
                without.with_extension("timestamps.csv").display()
            );
            Ok(videos.iter().map(|_| None).collect())
        }
        _ => Ok(times),
    }
}

#[cfg(feature = "opencv")]
fn videos_in(folder: &Path) -> Result<Vec<PathBuf>, CaptureError> {
    let read_error = |source| CaptureError::Read { path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(read_error)?;
    let files = entries.collect::<Result<Vec<_>, _>>().map_err(read_error)?;
    let mut videos: Vec<PathBuf> = files.iter().map(|e| e.path()).filter(|path| video::is_video(path)).collect();
    videos.sort();
    Ok(videos)
}

#[cfg(not(feature = "opencv"))]
fn videos_in(_folder: &Path) -> Result<Vec<PathBuf>, CaptureError> {
    Ok(Vec::new())
}
