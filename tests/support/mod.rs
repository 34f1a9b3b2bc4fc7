//! What several tests need: the program, the bundled take, and its results.
#![allow(dead_code, missing_docs, clippy::expect_used, clippy::print_stdout, reason = "every test uses a part of it")]

pub mod boards;
pub mod browser;
pub mod faces;
pub mod http;
pub mod matroska;
pub mod prometheus;
pub mod readers;
pub mod recorded;
pub mod recording;
pub mod rig;
pub mod screen;
pub mod serving;
pub mod shape;
pub mod site;
pub mod takes;
pub mod visit;
pub mod watcher;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use serde_json::Value;

/// The program under test.
pub fn vultus() -> Command {
    let mut command = Command::cargo_bin("vultus").expect("the program is built");
    command.env_remove("RUST_LOG").timeout(Duration::from_secs(300));
    command
}

/// A rendered head before four cameras, with its truth.
pub fn take() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/take")
}

/// Waits until something holds; fails if it never does.
pub fn until(what: &str, holds: impl FnMut() -> bool) {
    assert!(holds_in_time(holds), "in vain: {what}");
}

/// Whether something comes to hold within a time that is generous to a slow machine.
pub fn holds_in_time(mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a run wrote.
pub struct Results {
    /// The first line.
    pub header: Value,
    /// The others.
    pub rows: Vec<Value>,
}

/// Runs `vultus replay ARGS` headless, which must succeed.
pub fn replay<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Results {
    let output = vultus().args(["replay", "--headless", "--results", "-"]).args(args).assert().success();
    parse(&String::from_utf8_lossy(&output.get_output().stdout))
}

/// Reads JSON Lines.
pub fn parse(text: &str) -> Results {
    let mut lines = text.lines().map(|line| serde_json::from_str(line).expect("a line is a JSON object"));
    Results { header: lines.next().expect("there is a header"), rows: lines.collect() }
}

/// Leaves out what may differ from run to run.
pub fn without_times(mut results: Results) -> String {
    for row in &mut results.rows {
        let row = row.as_object_mut().expect("a row is an object");
        for key in ["wait_ms", "latency_ms", "age_ms"] {
            assert!(row.remove(key).is_some_and(|value| value.is_number()), "{key} is there");
        }
    }
    results.rows.iter().map(|row| format!("{row}\n")).collect()
}

/// The ONNX Runtime library, as the set-up fetches it.
pub fn onnxruntime() -> Option<PathBuf> {
    let told = std::env::var_os("VULTUS_ONNXRUNTIME").map(PathBuf::from);
    let fetched = Path::new(env!("CARGO_BIN_EXE_vultus"))
        .ancestors()
        .nth(2)
        .map(|target| target.join("onnxruntime").join(format!("libonnxruntime{}", std::env::consts::DLL_SUFFIX)));
    let library = told.or(fetched).filter(|path| path.exists());
    library.filter(|_| cfg!(feature = "ort"))
}
