//! The log of a stage: one JSON object a line, for plots and for whoever wants to look.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Steps taken.
    pub step: u64,
    /// Pictures that the network has seen.
    pub images: u64,
    /// Mean loss since the last line.
    pub loss: f64,
    /// Its parts, by name, where a method has several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, f64>,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Pictures a second since the last line.
    pub images_per_s: f64,
    /// What a validation said, at steps that had one.
    #[serde(flatten)]
    pub validation: Option<Validation>,
}

/// What a validation said.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// The method's loss on people that are kept apart (nats).
    #[serde(rename = "validation_loss")]
    pub loss: f64,
    /// Share of them that is read rightly, in the second stage.
    #[serde(default, rename = "validation_accuracy", skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
}

impl Validation {
    /// Higher is better.
    #[must_use]
    pub fn score(&self) -> f64 {
        self.accuracy.unwrap_or(-self.loss)
    }
}

/// Writes the log.
pub struct Journal {
    file: File,
}

impl Journal {
    /// Goes on with the log at `path`, or begins it: of a run that was killed, lines behind `step` were written for nothing.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: &Path, step: u64) -> std::io::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        let is_kept = |line: &&str| serde_json::from_str::<Entry>(line).is_ok_and(|entry| entry.step <= step);
        let mut file = File::create(path)?;
        text.lines().filter(is_kept).try_for_each(|line| writeln!(file, "{line}"))?;
        Ok(Self { file })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&mut self, entry: &Entry) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(step: u64) -> Entry {
        Entry {
            step,
            images: 64 * step,
            loss: 1.0,
            parts: BTreeMap::new(),
            learning_rate: 1e-3,
            images_per_s: 100.0,
            validation: None,
        }
    }

    #[test]
    fn a_line_reads_as_it_was_written() {
        let validation = Some(Validation { loss: 0.5, accuracy: Some(0.75) });
        for entry in [entry(1), Entry { validation, parts: [("views".to_owned(), 2.0)].into(), ..entry(2) }] {
            let line = serde_json::to_string(&entry).expect("written");
            assert_eq!(serde_json::from_str::<Entry>(&line).expect("read"), entry, "{line}");
        }
    }

    #[test]
    fn a_resumed_log_has_each_step_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log.jsonl");
        let mut journal = Journal::open(&path, 0).expect("opens");
        (1..=5).for_each(|step| journal.write(&entry(step)).expect("written"));
        let mut resumed = Journal::open(&path, 3).expect("opens");
        resumed.write(&entry(4)).expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
        let step = |line| serde_json::from_str::<Entry>(line).expect("a line").step;
        let steps: Vec<u64> = text.lines().map(step).collect();
        assert_eq!(steps, [1, 2, 3, 4]);
    }
}
