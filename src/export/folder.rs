//! The folder that an export is written into. Until it is complete it has another name, so what was broken off never
//! looks whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{ExportError, Written};

/// A folder that is being filled. If it is not [finished](OutFolder::finish), nothing is left of it.
pub(super) struct OutFolder {
    target: PathBuf,
    /// Where it is until then.
    part: PathBuf,
    written: Written,
}

impl OutFolder {
    /// Begins `target`, which must not be there or be empty.
    ///
    /// # Errors
    /// [`ExportError::Exists`], [`ExportError::Unfinished`] and [`ExportError::Folder`].
    pub(super) fn begin(target: &Path) -> Result<Self, ExportError> {
        let failed = |error: io::Error| ExportError::Folder { folder: target.to_owned(), reason: error.to_string() };
        // Also of `.` and `DIR/`, the name is needed, to put one beside it.
        let whole = std::path::absolute(target).map_err(failed)?;
        let Some(name) = whole.file_name() else { return Err(ExportError::Exists { folder: target.to_owned() }) };
        match fs::read_dir(&whole).map(Iterator::count) {
            Ok(entries) if entries > 0 => return Err(ExportError::Exists { folder: target.to_owned() }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let mut part_name = name.to_owned();
        part_name.push(".part");
        let part = whole.with_file_name(part_name);
        if let Some(above) = whole.parent() {
            fs::create_dir_all(above).map_err(failed)?;
        }
        match fs::create_dir(&part) {
            Ok(()) => Ok(Self { target: whole, part, written: Written::default() }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(ExportError::Unfinished { folder: part }),
            Err(error) => Err(failed(error)),
        }
    }

    /// A new file at `name` in it.
    ///
    /// # Errors
    /// [`ExportError::Write`], also if there is one already.
    pub(super) fn create(&self, name: impl AsRef<Path>) -> Result<OutFile, ExportError> {
        let shown = self.shown(&name);
        let path = self.part.join(name);
        let create = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            File::create_new(&path)
        };
        match create() {
            Ok(file) => Ok(OutFile { file: BufWriter::new(file), shown }),
            Err(error) => Err(ExportError::Write { path: shown, reason: error.to_string() }),
        }
    }

    /// Writes a whole file.
    ///
    /// # Errors
    /// As [`OutFolder::create`].
    pub(super) fn put(&mut self, name: impl AsRef<Path>, content: &[u8]) -> Result<(), ExportError> {
        let mut file = self.create(name)?;
        file.write_all(content).map_err(|error| file.failure(error))?;
        self.close(file)
    }

    /// Closes a file of it.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub(super) fn close(&mut self, mut file: OutFile) -> Result<(), ExportError> {
        let length = file.flush().and_then(|()| file.file.get_ref().metadata()).map(|about| about.len());
        self.written.bytes += length.map_err(|error| file.failure(error))?;
        self.written.files += 1;
        Ok(())
    }

    /// Where the file at `name` will be.
    pub(super) fn shown(&self, name: impl AsRef<Path>) -> PathBuf {
        self.target.join(name)
    }

    /// Counts pictures or rows.
    pub(super) fn count(&mut self, entries: usize) {
        self.written.entries += entries as u64;
    }

    /// It is complete: it gets its name.
    ///
    /// # Errors
    /// [`ExportError::Folder`].
    pub(super) fn finish(self) -> Result<Written, ExportError> {
        // Not every system puts a folder in the place of an empty one.
        let is_empty_there = self.target.is_dir();
        let remove = if is_empty_there { fs::remove_dir(&self.target) } else { Ok(()) };
        remove
            .and_then(|()| fs::rename(&self.part, &self.target))
            .map_err(|error| ExportError::Folder { folder: self.target.clone(), reason: error.to_string() })?;
        Ok(self.written)
    }
}

impl Drop for OutFolder {
    fn drop(&mut self) {
        // Gone already if it was finished.
        match fs::remove_dir_all(&self.part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("{} is left and cannot be removed: {error}", self.part.display());
            }
            _ => {}
        }
    }
}

/// A file of such a folder.
pub(super) struct OutFile {
    file: BufWriter<File>,
    /// Where it will be.
    shown: PathBuf,
}

impl OutFile {
    /// What an error says of it.
    pub(super) fn failure(&self, error: impl ToString) -> ExportError {
        failure(&self.shown, error)
    }

    /// Where it will be.
    pub(super) fn shown(&self) -> &Path {
        &self.shown
    }
}

/// What an error says of the file at `path`.
pub(super) fn failure(path: &Path, error: impl ToString) -> ExportError {
    ExportError::Write { path: path.to_owned(), reason: error.to_string() }
}

impl Write for OutFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for OutFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_appears_when_it_is_complete_and_not_before() {
        let above = tempfile::tempdir().expect("a folder");
        let target = above.path().join("new/out");
        let mut out = OutFolder::begin(&target).expect("begins");
        out.put("cam/a.txt", b"abc").expect("written");
        out.count(2);
        assert!(!target.exists());
        assert!(matches!(OutFolder::begin(&target), Err(ExportError::Unfinished { .. })));
        assert_eq!(out.finish().expect("finishes"), Written { files: 1, bytes: 3, entries: 2 });
        assert_eq!(fs::read(target.join("cam/a.txt")).expect("a file"), b"abc");
        assert!(matches!(OutFolder::begin(&target), Err(ExportError::Exists { .. })));
        assert_eq!(fs::read_dir(above.path().join("new")).expect("a folder").count(), 1);
    }

    #[test]
    fn nothing_is_left_of_what_is_broken_off() {
        let above = tempfile::tempdir().expect("a folder");
        let mut out = OutFolder::begin(&above.path().join("out")).expect("begins");
        out.put("a.txt", b"abc").expect("written");
        assert!(out.put("a.txt", b"abc").is_err(), "no file is written twice");
        drop(out);
        assert_eq!(fs::read_dir(above.path()).expect("a folder").count(), 0);
    }
}
