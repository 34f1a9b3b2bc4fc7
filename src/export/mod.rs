//! Takes in formats that other programs read: videos, pictures, and tables (`docs/reference/takes.md`).
//!
//! [`Export`] is what is asked for. What it writes gets its name only when it is complete.

pub mod blur;
mod folder;
mod images;
mod left_out;
mod mkv;
mod mosaic;
mod parquet;
mod pictures;
mod table;
mod tables;
mod times;
mod tools;
mod video;

use std::path::{Path, PathBuf};

use crate::capture::{CaptureError, check_names};
use crate::config::RecordContent;
use crate::image::decode::DecodeError;
use crate::image::encode::EncodeError;
use crate::infer::InferError;
use crate::record::{Take, TakeError, TakenView};
use blur::Blur;
use folder::OutFolder;
use pictures::Pictures;
use table::TableFormat;
use tables::Frames;

/// What a take can be made into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A video a camera, with the JPEG pictures as they are and exact times
    Mkv,
    /// Tables as text, also in the layouts of caliscope and skellycam (freemocap)
    Csv,
    /// Pictures in a folder a camera, which `replay` reads
    Frames,
    /// The same tables as columns, for data frames
    Parquet,
}

impl Format {
    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mkv => "mkv",
            Self::Csv => "csv",
            Self::Frames => "frames",
            Self::Parquet => "parquet",
        }
    }

    /// Whether it holds pictures; else it holds tables.
    #[must_use]
    pub const fn has_pictures(self) -> bool {
        matches!(self, Self::Mkv | Self::Frames)
    }
}

/// Why a take could not be exported.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ExportError {
    #[error(transparent)]
    Take(#[from] TakeError),
    #[error(transparent)]
    Cameras(#[from] CaptureError),
    #[error(
        "{} is there and not empty, and nothing is overwritten: name another folder (`--output DIR`)",
        .folder.display()
    )]
    Exists { folder: PathBuf },
    #[error(
        "{} is left of an export that was broken off, or one is still at it: remove it, or name another folder \
         (`--output DIR`)",
        .folder.display()
    )]
    Unfinished { folder: PathBuf },
    #[error("{} is a file, and an export is a folder: name another one (`--output DIR`)", .path.display())]
    IsFile { path: PathBuf },
    #[error("the folder {} cannot be made: {reason}. Name another one (`--output DIR`)", .folder.display())]
    Folder { folder: PathBuf, reason: String },
    #[error("{} cannot be written: {reason}. Nothing is left of the export", .path.display())]
    Write { path: PathBuf, reason: String },
    #[error(
        "{} holds nothing but faces: `--blur` is for takes with whole pictures, of which something is left",
        .take.display()
    )]
    OnlyFaces { take: PathBuf },
    #[error("there is not one frame in {}", .take.display())]
    NoFrames { take: PathBuf },
    #[error("faces cannot be looked for")]
    Detector(#[from] InferError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("broken off; nothing is left of the export")]
    BrokenOff,
}

/// What an export wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Pictures in all videos or folders, or rows in all tables.
    pub entries: u64,
}

/// A take, and what is to be made of it.
pub struct Export<'a> {
    /// The take.
    pub take: &'a Take,
    /// Into what.
    pub format: Format,
    /// Hides faces in pictures.
    pub blur: Option<Blur<'a>>,
    /// Called after every step, from several threads; `false` breaks the export off.
    pub goes_on: &'a (dyn Fn() -> bool + Sync),
}

impl Export<'_> {
    /// How many steps there are.
    #[must_use]
    pub fn steps(&self) -> u64 {
        let of_view = |view: &TakenView| match self.take.content {
            RecordContent::Faces => view.faces.len(),
            _ => view.frames.len(),
        };
        let frames = self.take.views.iter().map(of_view).sum::<usize>() as u64;
        match (self.format.has_pictures(), &self.blur) {
            (true, None) => frames,
            // All results are read, and every frame is searched before any is written.
            (true, Some(_)) => 2 * frames + self.take.records.len() as u64,
            (false, _) if self.format == Format::Csv => (tables::steps(self.take) + tools::steps(self.take)) as u64,
            (false, _) => tables::steps(self.take) as u64,
        }
    }

    /// Writes all of it into `folder`, which must not be there or be empty.
    ///
    /// # Errors
    /// Every [`ExportError`]; nothing is left then.
    pub fn run(&self, folder: &Path) -> Result<Written, ExportError> {
        let take = self.take;
        check_names(take.views.iter().map(|view| &*view.camera.name))?;
        if self.format.has_pictures() {
            self.check_pictures()?;
        }
        let mut out = OutFolder::begin(folder)?;
        match self.format {
            Format::Mkv => video::write(take, &self.pictures()?, &mut out)?,
            Format::Frames => images::write(take, &self.pictures()?, &mut out)?,
            Format::Csv => {
                let frames = Frames::of(take);
                tables::write(&frames, TableFormat::Csv, &mut out, self.goes_on)?;
                tools::write(&frames, &mut out, self.goes_on)?;
            }
            Format::Parquet => tables::write(&Frames::of(take), TableFormat::Parquet, &mut out, self.goes_on)?,
        }
        out.finish()
    }

    fn pictures(&self) -> Result<Pictures<'_>, ExportError> {
        Pictures::of(self.take, self.blur.as_ref(), self.goes_on)
    }

    fn check_pictures(&self) -> Result<(), ExportError> {
        let take = self.take;
        let holds_faces = take.content == RecordContent::Faces;
        if holds_faces && self.blur.is_some() {
            return Err(ExportError::OnlyFaces { take: take.path.clone() });
        }
        if !(holds_faces && self.format == Format::Frames) {
            take.check_pictures("make videos or folders of")?;
        }
        if take.views.iter().all(|view| view.frames.is_empty()) {
            return Err(ExportError::NoFrames { take: take.path.clone() });
        }
        Ok(())
    }
}
