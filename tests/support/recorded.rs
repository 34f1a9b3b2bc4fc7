//! A take that the program under test recorded, and its exports.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vultus::record::Take;

use super::{replay, take, vultus, without_times};

/// A recording of a take, in a folder of its own.
pub struct Recorded {
    pub folder: tempfile::TempDir,
    /// What the run told, without times.
    pub results: String,
    /// The same, with them.
    pub rows: Vec<Value>,
}

impl Recorded {
    /// Replays `source` as fast as possible and records it.
    pub fn of(source: &Path, content: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("run.mcap");
        let args = ["--as-fast-as-possible", "--record-content", content, "--record"].map(AsRef::as_ref);
        let results = replay([source.as_os_str()].into_iter().chain(args).chain([file.as_os_str()]));
        Self { folder, rows: results.rows.clone(), results: without_times(results) }
    }

    /// Of the bundled take.
    pub fn bundled() -> Self {
        Self::of(&take(), "video")
    }

    /// The file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("run.mcap")
    }

    /// The file, opened.
    pub fn taken(&self) -> Take {
        Take::open(&self.file()).expect("a take")
    }

    /// Exports it beside itself; what was said comes back too.
    pub fn export(&self, format: &str, more: &[&str]) -> (PathBuf, String) {
        let output = vultus().arg("export").arg(self.file()).args(["--to", format]).args(more).assert().success();
        let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        let blurred = if more.contains(&"--blur") { "-blurred" } else { "" };
        (self.folder.path().join(format!("run-{format}{blurred}")), said)
    }

    /// Code and message of an export of it that must fail.
    pub fn refused(&self, args: &[&str]) -> (Option<i32>, String) {
        refused(&self.file(), args)
    }

    /// What is in the folder, by name.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// Code and message of an export that must fail.
pub fn refused(take: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = vultus().arg("export").arg(take).args(args).assert().failure();
    let output = output.get_output();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The rows of a CSV file, by column.
pub fn csv_rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_path(path).expect("a table").deserialize().collect::<Result<_, _>>().expect("rows")
}

/// A picture of a take that is a folder.
pub fn jpeg(take: &Path, camera: &str, seq: u64) -> Vec<u8> {
    fs::read(take.join(camera).join(format!("{seq:06}.jpg"))).expect("a picture")
}
