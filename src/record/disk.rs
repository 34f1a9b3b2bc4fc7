//! The files of takes, and the disk that they are on.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::RecordError;
use crate::config::Record;

pub(super) const MB: u64 = 1_000_000;

/// Bytes that the disk of `folder` can take; the folder need not be there yet. `None` where the system does not tell.
#[cfg(unix)]
pub(super) fn free_bytes(folder: &Path) -> Option<u64> {
    let folder = std::path::absolute(folder).ok()?;
    let disk = folder.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok())?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Bytes that the disk of `folder` can take: not known here.
#[cfg(not(unix))]
pub(super) fn free_bytes(_folder: &Path) -> Option<u64> {
    None
}

/// Of `free_bytes`, those that a recording may use.
pub(super) fn usable_bytes(free_bytes: u64, settings: &Record) -> u64 {
    free_bytes.saturating_sub(settings.keep_free_mb.saturating_mul(MB))
}

/// Checks that of `free_bytes` there are more than are to be kept free.
///
/// # Errors
/// [`RecordError::DiskFull`].
pub(super) fn check_room(free_bytes: u64, folder: &Path, settings: &Record) -> Result<(), RecordError> {
    if usable_bytes(free_bytes, settings) > 0 {
        return Ok(());
    }
    Err(RecordError::DiskFull {
        folder: folder.to_owned(),
        free_mb: free_bytes / MB,
        keep_free_mb: settings.keep_free_mb,
    })
}

/// Makes a file named after the present moment in UTC; one that is there is never touched.
///
/// # Errors
/// [`RecordError::Folder`].
pub(super) fn new_file(folder: &Path) -> Result<(PathBuf, File), RecordError> {
    let failed = |error: io::Error| RecordError::Folder { folder: folder.to_owned(), reason: error.to_string() };
    fs::create_dir_all(folder).map_err(failed)?;
    // Colons are no part of file names on Windows.
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string().replace(':', "-");
    let mut path = folder.join(format!("{now}.mcap"));
    let mut others = 0;
    loop {
        match own_file().open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                others += 1;
                path = folder.join(format!("{now}-{}.mcap", others + 1));
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Makes the file `path`, and its folder; one that is there is never touched.
///
/// # Errors
/// [`RecordError::Exists`] and [`RecordError::Folder`].
pub(super) fn named_file(path: &Path) -> Result<File, RecordError> {
    let folder = folder_of(path);
    let failed = |error: io::Error| RecordError::Folder { folder: folder.to_owned(), reason: error.to_string() };
    fs::create_dir_all(folder).map_err(failed)?;
    own_file().open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => RecordError::Exists { path: path.to_owned() },
        _ => failed(error),
    })
}

/// Makes the file `path`, in the place of whatever is there.
pub(super) fn own_file_anew(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => own_file().open(path),
    }
}

/// How a new file is made: pictures of people are nobody's business but the user's.
fn own_file() -> fs::OpenOptions {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The folder that `path` is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Has the folder's entry of a new file survive a power cut, as far as the system can.
pub(super) fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_may_use_all_but_what_is_to_be_kept_free() {
        let settings = Record::default();
        assert_eq!(usable_bytes(700 * MB, &settings), 200 * MB);
        assert!(check_room(500 * MB + 1, &settings.folder, &settings).is_ok());
        for free in [500 * MB, 499 * MB, 0] {
            let message = check_room(free, &settings.folder, &settings).expect_err("no room").to_string();
            let left = format!("{} MB are left, and 500 MB are to be kept free", free / MB);
            assert!(message.contains(&left) && message.contains("takes"), "{message}");
        }
    }
}
