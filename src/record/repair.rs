//! Makes a whole file of a take that was cut short: by a crash, a power cut, or a full disk.
//!
//! Such a take lacks its index, and perhaps the end of its last chunk. What can be read is copied message by message
//! into a new file, which gets an index; that file is read again and compared before it takes the place of the first.

mod copy;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{RecordError, disk};
use super::{Take, TakeError};

/// A crash leaves no more than this unreadable: a chunk, and what the disk had not taken in yet. If there is more, the
/// file is damaged, and is not written over.
const MOST_UNREADABLE: u64 = 64 << 20;
/// Room for the index and for the metadata of the repair, besides a part of the file's size.
const ROOM_FOR_INDEX: u64 = 1 << 20;

/// Why a take is not repaired. It is then as it was.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum RepairError {
    #[error(transparent)]
    Take(#[from] TakeError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("{} is being recorded or repaired at this moment: repair it when that has ended", .path.display())]
    InUse { path: PathBuf },
    #[error(
        "{} is damaged: {unreadable_mb} MB of it cannot be read, which is more than a crash leaves. Name a file for what can be read (`--output FILE`); this one then stays as it is",
        .path.display()
    )]
    TooMuchLost { path: PathBuf, unreadable_mb: u64 },
    #[error(
        "the disk of {} has {free_mb} MB left, and the repaired take needs {needed_mb} MB. Make room, or name a file on another disk (`--output FILE`)",
        .folder.display()
    )]
    NoRoom { folder: PathBuf, needed_mb: u64, free_mb: u64 },
    #[error("{} cannot be written: {reason}. Look after its disk, or name a file on another one (`--output FILE`)", .path.display())]
    Write { path: PathBuf, reason: String },
    #[error("broken off; {} is as it was, and nothing is left of the repair", .path.display())]
    BrokenOff { path: PathBuf },
    #[error("{} reads otherwise than {}, of which it is a copy: one of the disks fails. The original is untouched", .copy.display(), .path.display())]
    Differs { path: PathBuf, copy: PathBuf },
}

/// A take that was repaired.
#[derive(Clone, Debug)]
pub struct Repaired {
    /// As it is now.
    pub take: Take,
    /// Its messages: all that were in it.
    pub messages: u64,
    /// What could not be read, and is not in it any more.
    pub unreadable_bytes: u64,
}

/// Makes a whole file of the take at `path`: in its place, or as `output`, a file that must not be there yet. Goes on for as
/// long as `goes_on` says so, which is told how many bytes are done, of how many. `None` if the take is whole: then nothing
/// is changed or written.
///
/// # Errors
/// Every [`RepairError`].
pub fn repair(
    path: &Path,
    output: Option<&Path>,
    mut goes_on: impl FnMut(u64, u64) -> bool,
) -> Result<Option<Repaired>, RepairError> {
    // The file itself, not a link that would be replaced.
    let path = &path.canonicalize().map_err(|source| TakeError::Read { path: path.to_owned(), source })?;
    // A recording holds a lock while it grows, and a repair holds one too.
    let _lock = Lock::of(path)?;
    let broken = Take::open(path)?;
    if broken.is_whole() {
        return Ok(None);
    }
    let unreadable_bytes = broken.unreadable_bytes();
    if output.is_none() && unreadable_bytes > MOST_UNREADABLE {
        return Err(RepairError::TooMuchLost { path: path.clone(), unreadable_mb: unreadable_bytes / disk::MB });
    }
    let mut written = Written::begin(path, output)?;
    let length = length(path)?;
    check_room(disk::folder_of(&written.path), length)?;

    let mut step = |done| match goes_on(done, 2 * length) {
        true => Ok(()),
        false => Err(RepairError::BrokenOff { path: path.clone() }),
    };
    let copied = copy::copy(path, &written, unreadable_bytes, &mut step)?;
    let read = copy::read(&written.path, |done| step(length + done.min(length)))?;
    let mut take = Take::open(&written.path)?;
    if copied != read || !take.is_whole() {
        return Err(RepairError::Differs { path: path.clone(), copy: written.path.clone() });
    }
    if length != self::length(path)? {
        return Err(RepairError::InUse { path: path.clone() });
    }
    step(2 * length)?;
    take.path = written.keep(path)?;
    Ok(Some(Repaired { take, messages: copied.0, unreadable_bytes }))
}

fn length(path: &Path) -> Result<u64, TakeError> {
    let metadata = fs::metadata(path).map_err(|source| TakeError::Read { path: path.to_owned(), source })?;
    Ok(metadata.len())
}

/// Has the file to itself for as long as it lives. On Windows, where a lock would keep out our own readers too, nothing
/// is locked.
struct Lock(File);

impl Lock {
    fn of(path: &Path) -> Result<Self, RepairError> {
        let file = super::file::open_file(path)?;
        match if cfg!(unix) { file.try_lock() } else { Ok(()) } {
            Err(fs::TryLockError::WouldBlock) => Err(RepairError::InUse { path: path.to_owned() }),
            // Some network disks have no locks.
            Ok(()) | Err(fs::TryLockError::Error(_)) => Ok(Self(file)),
        }
    }
}

impl Drop for Lock {
    /// Said, since closing the file is not enough while a program that is being started still has a copy of it.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

fn check_room(folder: &Path, length: u64) -> Result<(), RepairError> {
    let needed = length + length / 50 + ROOM_FOR_INDEX;
    match disk::free_bytes(folder) {
        Some(free) if free < needed => Err(RepairError::NoRoom {
            folder: folder.to_owned(),
            needed_mb: needed.div_ceil(disk::MB),
            free_mb: free / disk::MB,
        }),
        _ => Ok(()),
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> RepairError {
    RepairError::Write { path: path.to_owned(), reason: error.to_string() }
}

/// The new file. It has another name until it is complete, and is removed again unless it is kept.
struct Written {
    path: PathBuf,
    file: File,
    /// What it will be called.
    target: PathBuf,
    is_kept: bool,
}

impl Written {
    fn begin(original: &Path, output: Option<&Path>) -> Result<Self, RepairError> {
        let target = output.unwrap_or(original).to_owned();
        if output.is_some() {
            check_free(&target)?;
            let folder = disk::folder_of(&target);
            fs::create_dir_all(folder).map_err(|error| cannot_write(&target, &error))?;
        }
        let mut name = target.as_os_str().to_owned();
        name.push(".repair");
        let path = PathBuf::from(name);
        // Whatever is there is what a repair left that was killed: nobody else holds the lock.
        let file = disk::own_file_anew(&path).map_err(|error| cannot_write(&target, &error))?;
        Ok(Self { path, file, target, is_kept: false })
    }

    /// Lets the file stay, under its name. Says which that is.
    fn keep(&mut self, original: &Path) -> Result<PathBuf, RepairError> {
        let failed = |error: io::Error| cannot_write(&self.target, &error);
        if self.target == original {
            let permissions = fs::metadata(original).map_err(failed)?.permissions();
            fs::set_permissions(&self.path, permissions).map_err(failed)?;
        } else {
            check_free(&self.target)?;
        }
        fs::rename(&self.path, &self.target).map_err(failed)?;
        disk::sync_folder(disk::folder_of(&self.target));
        self.is_kept = true;
        Ok(self.target.clone())
    }
}

/// Checks that there is nothing at `path`, not even a link.
fn check_free(path: &Path) -> Result<(), RepairError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(RecordError::Exists { path: path.to_owned() }.into()),
        Err(_) => Ok(()),
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Record as Settings;
    use crate::frame::{CameraId, Frame, PixelFormat, StampKind};
    use crate::record::{About, Camera, TakeWriter};
    use crate::time::Timestamp;

    const FRAMES: u64 = 40;

    /// A take of some small pictures, in chunks of ten frames, cut off after so many of a thousand parts.
    fn cut_take(folder: &Path, thousandths: usize) -> PathBuf {
        let path = folder.join("take.mcap");
        let camera = Camera {
            name: "left".into(),
            description: "a test".to_owned(),
            stamp: StampKind::Device,
            offset_ns: 0,
            period: std::time::Duration::from_millis(33),
        };
        let about = About { cameras: vec![camera], ..About::default() };
        let mut writer = TakeWriter::create(Some(&path), &Settings::default(), &about).expect("made");
        for seq in 0..FRAMES {
            let pixels = (0..64 * 64).map(|n| (n * (seq + 1)) as u8).collect();
            let at = Timestamp::from_ns(1_000_000_000 + seq as i64 * 33_000_000);
            let picture = Frame::of_bytes(PixelFormat::Gray, 64, 64, pixels);
            let frame = Frame { camera: CameraId(0), seq, captured_at: at, received_at: at, ..picture };
            assert!(writer.frame(&frame).expect("written"));
            if seq % 10 == 9 {
                writer.sync().expect("synced");
            }
        }
        let whole = writer.finish(0).expect("finished");
        let file = File::options().write(true).open(&path).expect("there");
        file.set_len(whole * thousandths as u64 / 1000).expect("cut");
        path
    }

    fn frames(take: &Take) -> Vec<u64> {
        take.views[0].frames.iter().map(|frame| frame.seq).collect()
    }

    #[test]
    fn a_take_that_breaks_off_becomes_whole_with_all_that_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        for thousandths in [300, 500, 700, 900, 999] {
            let path = cut_take(folder.path(), thousandths);
            let before = Take::open(&path).expect("a take");
            let mut last = (0, 0);
            let repaired = repair(&path, None, |done, of| {
                last = (done, of);
                true
            })
            .expect("repairs")
            .expect("was broken");
            assert_eq!(last.0, last.1, "progress ends at the end");
            let after = Take::open(&path).expect("a take");
            assert!(after.breaks_off.is_none() && !frames(&after).is_empty());
            assert_eq!((frames(&after), &after.metadata), (frames(&before), &before.metadata));
            assert_eq!(Some(repaired.unreadable_bytes), before.breaks_off.map(|broken| broken.unreadable_bytes));
            let summary = mcap::Summary::read(&fs::read(&path).expect("read")).expect("an index").expect("a summary");
            assert_eq!(summary.stats.map(|stats| stats.message_count), Some(repaired.messages));
            assert!(summary.metadata_indexes.iter().any(|metadata| metadata.name == copy::REPAIR));
            assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left behind");
            assert!(repair(&path, None, |_, _| true).expect("is whole").is_none());
            fs::remove_file(&path).expect("removed");
        }
    }

    #[test]
    fn the_original_stays_when_an_output_is_named_and_when_something_is_in_the_way() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = cut_take(folder.path(), 500);
        let was = fs::read(&path).expect("read");
        let output = folder.path().join("repaired.mcap");
        let repaired = repair(&path, Some(&output), |_, _| true).expect("repairs").expect("was broken");
        assert!(repaired.take.path == output && Take::open(&output).expect("a take").breaks_off.is_none());
        let message = repair(&path, Some(&output), |_, _| true).expect_err("it is there").to_string();
        assert!(message.contains("repaired.mcap is there already"), "{message}");
        let below = output.join("below/a.mcap");
        let message = repair(&path, Some(&below), |_, _| true).expect_err("a file is no folder").to_string();
        assert!(message.contains("a.mcap cannot be written") && message.contains("--output"), "{message}");

        if cfg!(unix) {
            let recording = File::open(&path).expect("there");
            recording.lock().expect("locked");
            let message = repair(&path, None, |_, _| true).expect_err("in use").to_string();
            assert!(message.contains("being recorded or repaired"), "{message}");
        }
        assert_eq!(fs::read(&path).expect("read"), was);
    }

    #[test]
    fn a_repair_that_is_broken_off_leaves_nothing_and_until_it_is_complete_it_has_another_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = cut_take(folder.path(), 700);
        let was = fs::read(&path).expect("read");
        let output = folder.path().join("whole.mcap");
        for target in [None, Some(&*output)] {
            let (mut steps, part) = (0, target.unwrap_or(&path).with_extension("mcap.repair"));
            // What an earlier one left that was killed is no trouble.
            fs::write(&part, "half").expect("written");
            let goes_on = |done: u64, of: u64| {
                assert!(part.exists() && !output.exists());
                steps += 1;
                done < of * 3 / 4
            };
            let broken = repair(&path, target, goes_on).expect_err("is broken off").to_string();
            assert!(steps > 10 && broken.contains("take.mcap is as it was"), "{broken}");
            assert_eq!(fs::read(&path).expect("read"), was);
            assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left behind");
        }
    }

    #[test]
    fn a_file_of_which_much_is_damaged_is_not_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = cut_take(folder.path(), 500);
        // What is never written takes no room on the disk.
        File::options().write(true).open(&path).expect("there").set_len(100 << 20).expect("grown");
        let message = repair(&path, None, |_, _| true).expect_err("too much is lost").to_string();
        assert!(message.contains("104 MB") && message.contains("--output"), "{message}");
        let output = folder.path().join("rest.mcap");
        let rest = repair(&path, Some(&output), |_, _| true).expect("repairs").expect("was broken");
        assert!(!frames(&rest.take).is_empty());
    }
}
