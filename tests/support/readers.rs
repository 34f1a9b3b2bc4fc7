//! The MCAP library for Python, and what it makes of a take (`tests/readers/read_take.py`).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::recording::{Message, messages, metadata};

/// The Python that `cargo xtask test` sets up; without it a test is skipped, and this says so.
pub fn python() -> Option<OsString> {
    let python = std::env::var_os("VULTUS_READERS");
    if python.is_none() {
        println!("skipped: VULTUS_READERS is not set; `cargo xtask test` sets it");
    }
    python
}

/// What `read_take.py` tells of a take.
#[derive(Debug, Deserialize, PartialEq)]
pub struct Told {
    pub topics: BTreeMap<String, Topic>,
    pub metadata: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize, PartialEq)]
pub struct Topic {
    pub count: usize,
    pub first_ns: u64,
    pub last_ns: u64,
    pub sha256: String,
}

/// The same by our own means.
pub fn true_contents(file: &[u8]) -> Told {
    let mut messages_of: BTreeMap<String, Vec<Message>> = BTreeMap::new();
    for message in messages(file) {
        messages_of.entry(message.0.clone()).or_default().push(message);
    }
    let topic = |messages: Vec<Message>| {
        let log_times = || messages.iter().map(|message| message.2);
        let payloads: Sha256 = messages.iter().fold(Sha256::new(), |digest, message| digest.chain_update(&message.4));
        Topic {
            count: messages.len(),
            first_ns: log_times().min().expect("a message"),
            last_ns: log_times().max().expect("a message"),
            sha256: payloads.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    };
    let topics = messages_of.into_iter().map(|(name, messages)| (name, topic(messages))).collect();
    Told { topics, metadata: metadata(file) }
}

/// What the library for Python finds in a take, which must be in order.
pub fn told(python: &OsStr, file: &Path) -> Told {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/read_take.py");
    let output = Command::new(python).arg(script).arg(file).output().expect("VULTUS_READERS names a Python");
    assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}
