//! Recordings whose program is killed: all but the last second is there, in good order, and can be made whole.

#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, also outside the test functions"
)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};
use support::readers::{python, told, true_contents};
use support::recording::messages;
use support::takes::Dice;
use support::{onnxruntime, take, vultus};
use vultus::capture::Event;
use vultus::capture::recording::Recording;
use vultus::frame::FramePool;
use vultus::record::{Take, TakeFile, repair};

/// Children that are killed, and how many live at a time.
const DEATHS: usize = 20;
const AT_A_TIME: usize = 2;
/// When a child is killed, after its first result.
const EARLIEST_MS: u64 = 1_000;
const LATEST_MS: u64 = 4_000;
/// What a crash may cost.
const LAST_SECOND_NS: i64 = 1_000_000_000;
/// The Python reader starts slowly: it looks at every so many takes.
const READ_EVERY: usize = 5;

#[test]
fn a_recording_whose_program_is_killed_loses_no_more_than_its_last_second() {
    let folder = tempfile::tempdir().expect("a folder");
    let dice = Mutex::new(Dice::new());
    let next = AtomicUsize::new(0);
    let worker = || {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= DEATHS {
                break;
            }
            let after = Duration::from_millis(EARLIEST_MS + dice.lock().unwrap().below(LATEST_MS - EARLIEST_MS));
            let file = folder.path().join(format!("{n}.mcap"));
            let last_ns = record_and_kill(&file, after);
            println!("{n}: killed {after:?} after its first result");
            check(&file, last_ns, n.is_multiple_of(READ_EVERY));
            fs::remove_file(&file).expect("removed");
        }
    };
    thread::scope(|scope| {
        (0..AT_A_TIME).for_each(|_| drop(scope.spawn(worker)));
    });
}

/// Killed also if the test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Records into `file` until the program is killed; the instant of the last set of which it gave a result.
fn record_and_kill(file: &Path, after: Duration) -> i64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vultus"));
    command.args(["replay", "--loop", "--headless", "--results", "-", "--quiet"]).arg(take()).arg("--record").arg(file);
    if let Some(library) = onnxruntime() {
        command.env("VULTUS_ONNXRUNTIME", library);
    }
    let mut child = Killed(command.env_remove("RUST_LOG").stdout(Stdio::piped()).spawn().expect("starts"));
    let mut lines = BufReader::new(child.0.stdout.take().expect("piped")).lines().map_while(Result::ok);
    assert!(lines.next().is_some(), "there is a header");
    let mut last = lines.next().expect("there are results");
    let killed_at = Instant::now() + after;
    let killer = thread::spawn(move || {
        thread::sleep(killed_at.saturating_duration_since(Instant::now()));
        drop(child);
    });
    for line in lines {
        // The last line may break off.
        if line.ends_with('}') {
            last = line;
        }
    }
    killer.join().expect("killed");
    let record: Value = serde_json::from_str(&last).expect("a record");
    record["at_ns"].as_i64().expect("an instant")
}

fn check(file: &Path, last_ns: i64, with_others: bool) {
    let before = Take::open(file).expect("a take that breaks off is a take");
    assert!(before.breaks_off.is_some() && before.dropped.is_none());
    let reached = before.views.iter().filter_map(|view| view.frames.last()).map(|frame| frame.received_at.ns()).max();
    let lost_ns = last_ns - reached.expect("there are frames");
    println!("{}: {} ms after the last frame there was a result", file.display(), lost_ns / 1_000_000);
    assert!(lost_ns < LAST_SECOND_NS, "{} ms are lost", lost_ns / 1_000_000);
    for (n, view) in before.views.iter().enumerate() {
        let expected = played(n, view.frames.len());
        let there: Vec<(u64, i64)> = view.frames.iter().map(|frame| (frame.seq, frame.received_at.ns())).collect();
        assert!(there == expected, "camera {n} has a hole that nothing tells of: {:?}", view.gaps);
    }

    let replay = vultus().args(["replay", "--as-fast-as-possible", "--headless", "--results", "-"]).arg(file).assert();
    let said = String::from_utf8_lossy(&replay.success().get_output().stderr).into_owned();
    assert!(said.contains("was never closed") && said.contains("--repair"), "{said}");

    let whole_chunks = messages(&fs::read(file).expect("read"));
    let held = contents(&before);
    repair(file, None, |_, _| true).expect("it is repaired").expect("it was broken");
    let after = Take::open(file).expect("a take");
    assert!(after.breaks_off.is_none());
    assert!(contents(&after) == held, "the repaired take holds what the broken one held");
    let bytes = fs::read(file).expect("read");
    let all = messages(&bytes);
    assert!(all.starts_with(&whole_chunks));
    let summary = mcap::Summary::read(&bytes).expect("an index").expect("a summary");
    assert_eq!(summary.stats.expect("statistics").message_count, all.len() as u64);
    if with_others && let Some(python) = python() {
        assert_eq!(told(&python, file), true_contents(&bytes));
    }
}

/// Numbers and arrivals of the first `count` frames that a camera of the looped take delivers.
fn played(camera: usize, count: usize) -> Vec<(u64, i64)> {
    let looped = Recording::open(&[take()], false).and_then(Recording::looped).expect("the take");
    let mut source = looped.sources.into_iter().nth(camera).expect("a camera");
    let pool = FramePool::new(4, 1);
    let mut next = || match source.next(&pool) {
        Ok(Event::Frame(frame)) => (frame.seq, frame.received_at.ns()),
        other => panic!("{other:?}"),
    };
    (0..count).map(|_| next()).collect()
}

/// All that a take holds: pictures with their times, sets, records.
fn contents(take: &Take) -> Vec<String> {
    let mut file = TakeFile::open(&take.path).expect("opens");
    let mut held = vec![format!("{:?} {:?}", take.metadata, take.sets)];
    for view in &take.views {
        held.push(format!("{:?} {:?} {:?}", view.camera, view.format, view.gaps));
        for frame in &view.frames {
            let picture = file.picture(frame.picture.expect("a picture")).expect("it is read");
            let times = (frame.seq, frame.captured_at, frame.received_at);
            held.push(format!("{times:?} {:x?}", Sha256::digest(&picture)));
        }
    }
    let mut text = Vec::new();
    for record in &take.records {
        file.text(record.text, &mut text).expect("it is read");
        held.push(format!("{:?} {}", record.at, String::from_utf8_lossy(&text)));
    }
    held
}
