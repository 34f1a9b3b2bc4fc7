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

use std::fs;

use support::readers::{python, told, true_contents};
use support::take;

#[test]
fn the_mcap_library_for_python_reads_what_was_recorded() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let rig = folder.path().join("rig.toml");
    fs::write(&rig, support::rig::of_the_take()).expect("written");
    for (content, topics) in [("video", 4 * 3 + 2), ("faces", 4 * 4 + 2), ("features", 4 * 3 + 2)] {
        let file = folder.path().join(content).with_extension("mcap");
        let take = take();
        let args = [take.as_os_str(), "--as-fast-as-possible".as_ref(), "--record-content".as_ref(), content.as_ref()];
        let record = ["--record".as_ref(), file.as_os_str(), "--rig".as_ref(), rig.as_os_str()];
        support::replay([&args[..], &record].concat());

        let told = told(&python, &file);
        assert!(told.topics["/expressions"].count > 50 && told.topics["/sets"].count > 50, "{told:#?}");
        assert_eq!(told.topics.len(), topics, "{:?}", told.topics.keys());
        assert_eq!(told, true_contents(&fs::read(&file).expect("the recording")));
    }
}
