//! What other people's programs make of a recording (`tests/readers/`).
//!
//! `cargo xtask test` installs them and names them; without them these tests are skipped and say so.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, also outside the test functions"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use support::recording::{Message, messages, metadata};
use support::take;

/// What `read_take.py` tells of a take.
#[derive(Debug, Deserialize, PartialEq)]
struct Told {
    topics: BTreeMap<String, Topic>,
    metadata: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Topic {
    count: usize,
    first_ns: u64,
    last_ns: u64,
    sha256: String,
}

/// The same by our own means.
fn true_contents(file: &[u8]) -> Told {
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

#[test]
fn the_mcap_library_for_python_reads_what_was_recorded() {
    let Some(python) = std::env::var_os("VULTUS_READERS") else {
        println!("skipped: VULTUS_READERS is not set; `cargo xtask test` sets it");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let rig = folder.path().join("rig.toml");
    fs::write(&rig, support::rig::of_the_take()).expect("written");
    for (content, topics) in [("video", 4 * 3 + 2), ("faces", 4 * 4 + 2), ("features", 4 * 3 + 2)] {
        let file = folder.path().join(content).with_extension("mcap");
        let take = take();
        let args = [take.as_os_str(), "--as-fast-as-possible".as_ref(), "--record-content".as_ref(), content.as_ref()];
        let record = ["--record".as_ref(), file.as_os_str(), "--rig".as_ref(), rig.as_os_str()];
        support::replay([&args[..], &record].concat());

        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/read_take.py");
        let output = Command::new(&python).args([&script, &file]).output().expect("VULTUS_READERS names a Python");
        assert!(output.status.success(), "{content}: {}", String::from_utf8_lossy(&output.stderr));
        let told: Told = serde_json::from_slice(&output.stdout).expect("one JSON object");
        assert!(told.topics["/expressions"].count > 50 && told.topics["/sets"].count > 50, "{told:#?}");
        assert_eq!(told.topics.len(), topics, "{:?}", told.topics.keys());
        assert_eq!(told, true_contents(&fs::read(&file).expect("the recording")));
    }
}
