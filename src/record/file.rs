//! What stands in a take: pictures and records, read one by one.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use foxglove::Decode;
use foxglove::bytes::Bytes;
use foxglove::messages::CompressedImage;

use super::scan::Place;
use super::take::TakeError;

/// Opens a file. What is none is not touched: a pipe may never begin, and has no length.
pub(super) fn open_file(path: &Path) -> Result<File, TakeError> {
    let read_error = |source| TakeError::Read { path: path.to_owned(), source };
    let kind = std::fs::metadata(path).map_err(read_error)?.file_type();
    if !kind.is_file() {
        let what = if kind.is_dir() { "a folder" } else { "a pipe or a device" };
        return Err(TakeError::NoFile { path: path.to_owned(), what });
    }
    File::open(path).map_err(read_error)
}

/// Reads pictures and records of a take. Every thread has its own.
#[derive(Debug)]
pub struct TakeFile {
    path: PathBuf,
    file: File,
    message: Vec<u8>,
}

impl TakeFile {
    /// Opens the file.
    ///
    /// # Errors
    /// [`TakeError::Read`].
    pub fn open(path: &Path) -> Result<Self, TakeError> {
        let file = open_file(path)?;
        Ok(Self { path: path.to_owned(), file, message: Vec::new() })
    }

    /// The JPEG picture of a frame.
    ///
    /// # Errors
    /// [`TakeError::Read`], and [`TakeError::Damaged`] if there is no picture at that place.
    pub fn picture(&mut self, place: Place) -> Result<Bytes, TakeError> {
        self.image(place).map(|image| image.data)
    }

    /// The JPEG picture of an aligned face, and whose it is.
    ///
    /// # Errors
    /// As [`TakeFile::picture`].
    pub fn face(&mut self, place: Place) -> Result<(u32, Bytes), TakeError> {
        let image = self.image(place)?;
        let person = image.frame_id.strip_prefix("person/").and_then(|person| person.parse().ok());
        let person = person.ok_or_else(|| self.damaged(format!("whose face stands at byte {}", place.at)))?;
        Ok((person, image.data))
    }

    fn image(&mut self, place: Place) -> Result<CompressedImage, TakeError> {
        let mut message = std::mem::take(&mut self.message);
        let read = self.text(place, &mut message);
        let image = read.and_then(|()| {
            let damaged = |_| self.damaged(format!("the picture at byte {}", place.at));
            CompressedImage::decode(&*message).map_err(damaged)
        });
        self.message = message;
        image
    }

    /// Makes `text` what stands at a place.
    ///
    /// # Errors
    /// [`TakeError::Read`].
    pub fn text(&mut self, place: Place, text: &mut Vec<u8>) -> Result<(), TakeError> {
        text.resize(place.bytes as usize, 0);
        let read = self.file.seek(SeekFrom::Start(place.at)).and_then(|_| self.file.read_exact(text));
        read.map_err(|source| TakeError::Read { path: self.path.clone(), source })
    }

    fn damaged(&self, what: String) -> TakeError {
        TakeError::Damaged { path: self.path.clone(), what }
    }

    pub(super) fn ends_with_magic(&mut self, length: u64) -> bool {
        let magic = mcap::MAGIC.len() as u64;
        let mut end = Vec::new();
        let place = Place { at: length.saturating_sub(magic), bytes: magic };
        self.text(place, &mut end).is_ok() && end == mcap::MAGIC
    }
}
