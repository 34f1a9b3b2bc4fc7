//! The folder that an export is written into. Until it is complete it has another name, so what was broken off never
//! looks whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{ExportError, Written};

/// What is added to the name of a folder that is not complete, and the name of one inside an empty folder.
const PART: &str = ".part";

/// A folder that is being filled. If it is not [finished](OutFolder::finish), nothing is left of it.
pub(super) struct OutFolder {
    target: PathBuf,
    /// Where all is until then: beside the target, or in it if it is there already. That may be a link, another disk,
    /// or where a shell is, so it stays itself.
    part: PathBuf,
    written: Written,
}

impl OutFolder {
    /// Begins `target`, which must not be there or be empty.
    ///
    /// # Errors
    /// [`ExportError::Exists`], [`ExportError::IsFile`], [`ExportError::Unfinished`] and [`ExportError::Folder`].
    pub(super) fn begin(target: &Path) -> Result<Self, ExportError> {
        let failed = |error: io::Error| ExportError::Folder { folder: target.to_owned(), reason: error.to_string() };
        // Also of `DIR/` the name is needed, to put one beside it.
        let whole = std::path::absolute(target).map_err(failed)?;
        let part = match fs::read_dir(&whole).map(Iterator::count) {
            Ok(0) => whole.join(PART),
            Ok(1) if whole.join(PART).is_dir() => return Err(ExportError::Unfinished { folder: whole.join(PART) }),
            Ok(_) => return Err(ExportError::Exists { folder: target.to_owned() }),
            Err(_) if whole.is_file() => return Err(ExportError::IsFile { path: target.to_owned() }),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Err(_) if whole.is_symlink() => return Err(failed(io::Error::other("it is a link to what is not there"))),
            Err(_) => {
                let mut name = whole.file_name().unwrap_or_default().to_owned();
                name.push(PART);
                whole.with_file_name(name)
            }
        };
        if let Some(above) = part.parent() {
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
        self.rename()
            .map_err(|error| ExportError::Folder { folder: self.target.clone(), reason: error.to_string() })?;
        Ok(self.written)
    }

    fn rename(&self) -> io::Result<()> {
        if self.part.parent() != Some(&self.target) {
            return fs::rename(&self.part, &self.target);
        }
        for entry in fs::read_dir(&self.part)? {
            let entry = entry?;
            fs::rename(entry.path(), self.target.join(entry.file_name()))?;
        }
        fs::remove_dir(&self.part)
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
    fn an_empty_folder_is_filled_and_stays_itself() {
        let above = tempfile::tempdir().expect("a folder");
        let there = above.path().join("there");
        fs::create_dir(&there).expect("made");
        #[cfg(unix)]
        let there = {
            let link = above.path().join("link");
            std::os::unix::fs::symlink(&there, &link).expect("linked");
            link
        };
        drop(OutFolder::begin(&there).expect("begins"));
        assert_eq!(fs::read_dir(&there).expect("a folder").count(), 0, "broken off");
        let mut out = OutFolder::begin(&there).expect("begins");
        out.put("cam/a.txt", b"abc").expect("written");
        assert!(matches!(OutFolder::begin(&there), Err(ExportError::Unfinished { .. })));
        out.finish().expect("finishes");
        assert_eq!(fs::read(above.path().join("there/cam/a.txt")).expect("a file"), b"abc");
        assert_eq!(there.is_symlink(), cfg!(unix));
        assert_eq!(fs::read_dir(&there).expect("a folder").count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn what_cannot_become_a_folder_is_named() {
        let above = tempfile::tempdir().expect("a folder");
        let [file, link] = ["file", "link"].map(|name| above.path().join(name));
        fs::write(&file, "").expect("written");
        std::os::unix::fs::symlink(above.path().join("none"), &link).expect("linked");
        let message = |path: &Path| OutFolder::begin(path).err().expect("is refused").to_string();
        assert!(message(&file).contains("is a file"), "{}", message(&file));
        assert!(message(&link).contains("a link to what is not there"), "{}", message(&link));
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
