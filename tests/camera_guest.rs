//! The program with real V4L2 devices, which come, stall and go: in a virtual machine (tests/camera-guest/README.md).
//!
//! `cargo xtask test` prepares the machine and names it; without it these tests are skipped and say so. Time in the
//! machine is real and its arithmetic slow, so what is tested is the order of things, not speed.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "this is a test, also outside the test functions")]

mod support;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use vultus::record::{Take, TakeFile};

/// The machines are as large as the computer: one at a time.
static ONE: Mutex<()> = Mutex::new(());

/// Searching one picture for faces takes seconds in the machine, and faces are not what is tested.
const WITHOUT_FACES: &str = "[detection]
decode_width = 64
search_side = 64
region_side = 32
search_every = 1000000
threshold = 1.0
[record]
keep_free_mb = 10
";
const CONFIG: &str = "/root/config/vultus.toml";

struct Guest {
    command: Command,
    program: PathBuf,
    /// Where what is brought along lies until it has run.
    files: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Guest {
    /// A machine, or `None`, said aloud, where there can be none.
    fn new() -> Option<Self> {
        let (Some(script), Some(program)) =
            (std::env::var_os("VULTUS_CAMERA_GUEST"), std::env::var_os("VULTUS_GUEST_BINARY"))
        else {
            println!("skipped: VULTUS_CAMERA_GUEST and VULTUS_GUEST_BINARY are not set; `cargo xtask test` sets them");
            return None;
        };
        let _turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut command = Command::new(script);
        command.arg("run");
        let files = tempfile::tempdir().expect("a temporary folder");
        let mut guest = Self { command, program: program.into(), files, _turn };
        guest.bring_onnxruntime();
        guest.bring_config();
        Some(guest)
    }

    /// The machine brings along what programs and libraries are linked with, but not what they load by themselves.
    fn bring_onnxruntime(&mut self) {
        const VARIABLE: &str = "VULTUS_ONNXRUNTIME";
        let Some(library) = std::env::var_os(VARIABLE).map(PathBuf::from).filter(|path| path.is_file()) else { return };
        let inside = Path::new("/opt/libonnxruntime.so");
        self.args(&["--env", &format!("{VARIABLE}={}", inside.display()), "--copy"]).arg(pair(&library, inside));
    }

    fn bring_config(&mut self) {
        let folder = self.files.path().join("config");
        std::fs::create_dir(&folder).expect("made");
        std::fs::write(folder.join("vultus.toml"), WITHOUT_FACES).expect("written");
        self.arg("--copy").arg(pair(&folder, Path::new("/root/config")));
    }

    fn arg(&mut self, arg: impl Into<OsString>) -> &mut Self {
        self.command.arg(arg.into());
        self
    }

    fn args(&mut self, args: &[&str]) -> &mut Self {
        self.command.args(args);
        self
    }

    /// Cameras that play the take in tests/data, ten frames a second.
    fn feed(&mut self, cameras: &[&str]) -> &mut Self {
        self.args(&["--fps", "10", "--feed"]);
        for camera in cameras {
            let folder = self.files.path().join(camera);
            without_gaps(&Path::new("tests/data/take").join(camera), &folder);
            self.arg(folder);
        }
        self
    }

    /// Runs `vultus ARGS` in the machine.
    fn vultus(&mut self, args: &[&str]) -> Output {
        self.command.arg("--").arg(&self.program).args(args);
        let output = self.command.output().expect("the machine runs");
        println!("{:?}\n{}", self.command, String::from_utf8_lossy(&output.stderr));
        output
    }
}

/// What `live` is run with.
fn live<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["live", "--config", CONFIG, "--headless"], args].concat()
}

fn pair(from: &Path, to: &Path) -> OsString {
    [from.as_os_str(), ":".as_ref(), to.as_os_str()].into_iter().collect()
}

/// Copies a camera's pictures, numbered from 0, a missing one filled with that before it.
fn without_gaps(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("readable").file_name().into_string().ok();
    let number = |name: String| name.strip_suffix(".jpg")?.parse::<u32>().ok();
    let entries = std::fs::read_dir(from).expect("the take of the tests");
    let mut numbers: Vec<u32> = entries.filter_map(name).filter_map(number).collect();
    numbers.sort_unstable();
    for (&here, &next) in numbers.iter().zip(&numbers[1..]) {
        for filled in here..next {
            let to = to.join(format!("{:06}.jpg", filled - numbers[0]));
            std::fs::copy(from.join(format!("{here:06}.jpg")), to).expect("copied");
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Result records, one a frame set, without the header.
fn sets(lines: &str) -> Vec<Value> {
    let records = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is a JSON object"));
    let mut sets: Vec<Value> = records.filter(|record| record["set"].is_u64()).collect();
    sets.dedup_by_key(|record| record["set"].as_u64());
    sets
}

fn cameras_of(set: &Value) -> Vec<&str> {
    set["frames"].as_object().expect("`frames` is an object").keys().map(String::as_str).collect()
}

/// When the machine says that something happened, in nanoseconds of its clock.
fn moment(log: &str, what: &str) -> i64 {
    let line = log.lines().find(|line| line.starts_with("camera-guest:") && line.contains(what));
    let seconds = line.and_then(|line| line.rsplit_once(" at ")?.1.strip_suffix(" s")?.parse::<f64>().ok());
    (seconds.unwrap_or_else(|| panic!("the machine did not say when: {what}")) * 1e9) as i64
}

#[test]
fn attached_cameras_are_listed_with_their_modes() {
    let Some(mut guest) = Guest::new() else { return };
    let output = guest.feed(&["cam0", "cam1", "cam2"]).vultus(&["cameras", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let devices: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let devices = devices.as_array().expect("an array");
    assert_eq!(devices.len(), 3);
    for (n, device) in devices.iter().enumerate() {
        assert_eq!(device["path"], format!("/dev/video{n}"));
        assert_eq!(device["id"], device["path"], "there is no udev in the machine");
        let mode = serde_json::json!({ "format": "MJPEG", "width": 640, "height": 360, "fps": 10 });
        assert_eq!(device["modes"], serde_json::json!([mode]));
    }
}

#[test]
fn a_camera_that_is_unplugged_and_plugged_in_again_leaves_the_others_alone() {
    let Some(mut guest) = Guest::new() else { return };
    let results = tempfile::NamedTempFile::new().expect("a temporary file");
    // The models are ready about 8 s after the start, and then the 35 s begin.
    let output = guest
        .feed(&["cam0", "cam1", "cam2"])
        .args(&["--unplug", "1@20:5", "--seconds", "120", "--out"])
        .arg(pair(Path::new("/root/r.jsonl"), results.path()))
        .vultus(&live(&["--results", "/root/r.jsonl", "--seconds", "35"]));
    assert_eq!(output.status.code(), Some(0));
    let log = text(&output.stderr);
    let (gone, back) = (moment(&log, "camera 1 unplugged"), moment(&log, "camera 1 plugged in"));

    let sets = sets(&std::fs::read_to_string(results.path()).expect("results"));
    let at = |set: &Value| set["at_ns"].as_i64().expect("`at_ns` is a number");
    let second = 1_000_000_000;
    // A lost camera is looked for after 0.25, 0.75, 1.75, 3.75 and 7.75 s: that is 3 s after it is back.
    let [before, during, after] = [(0, gone - second / 2), (gone + second / 2, back), (back + 4 * second, i64::MAX)]
        .map(|(from, to)| sets.iter().filter(|set| (from..to).contains(&at(set))).collect::<Vec<_>>());
    println!("sets before {}, while it was away {}, after {}", before.len(), during.len(), after.len());
    for (when, sets) in [("before", &before), ("after", &after)] {
        let whole = sets.iter().filter(|set| cameras_of(set).len() == 3).count();
        // The first set may come before all cameras deliver, and the machine drops a frame now and then.
        assert!(whole >= 2 && whole * 10 >= sets.len() * 8, "{when}: {whole} of {} sets have three views", sets.len());
    }
    assert!(during.len() >= 2, "the others go on");
    assert!(during.iter().all(|set| !cameras_of(set).contains(&"cam1")));
    assert!(during.iter().any(|set| cameras_of(set) == ["cam0", "cam2"]));
    let last = |sets: &[&Value]| sets.iter().filter_map(|set| set["frames"]["cam1"].as_u64()).next_back();
    assert!(last(&after) > last(&before), "its frames are counted on");
}

#[test]
fn a_camera_that_stalls_is_given_up_and_brought_back_and_the_other_goes_on() {
    let Some(mut guest) = Guest::new() else { return };
    let results = tempfile::NamedTempFile::new().expect("a temporary file");
    let output = guest
        .feed(&["cam0", "cam1"])
        .args(&["--stall", "1@14:8", "--seconds", "90", "--out"])
        .arg(pair(Path::new("/root/r.jsonl"), results.path()))
        .vultus(&live(&["--results", "/root/r.jsonl", "--seconds", "32"]));
    assert_eq!(output.status.code(), Some(0));
    let log = text(&output.stderr);
    for said in ["`cam1` delivers nothing", "`cam1` is lost: nothing useful came from it", "`cam1` is back"] {
        assert!(log.contains(said), "`{said}` is not in: {log}");
    }
    let (stalled, goes_on) = (moment(&log, "camera 1 stalls"), moment(&log, "camera 1 goes on"));
    let sets = sets(&std::fs::read_to_string(results.path()).expect("results"));
    let at = |set: &&Value| set["at_ns"].as_i64().expect("`at_ns` is a number");
    let second = 1_000_000_000;
    let during: Vec<_> = sets.iter().filter(|set| (stalled + second..goes_on).contains(&at(set))).collect();
    assert!(during.len() >= 2 && during.iter().all(|set| cameras_of(set) == ["cam0"]), "{} sets", during.len());
    // Looked for again at most 5 s after it has answered.
    let after: Vec<_> = sets.iter().filter(|set| at(set) > goes_on + 6 * second).collect();
    let both = after.iter().filter(|set| cameras_of(set).len() == 2).count();
    assert!(both >= 2 && both * 10 >= after.len() * 8, "{both} of {} sets have both views", after.len());
}

#[test]
fn what_cameras_send_is_recorded_byte_for_byte_and_can_be_run_again() {
    let Some(mut guest) = Guest::new() else { return };
    let out = tempfile::tempdir().expect("a folder");
    let (take, results) = (out.path().join("take.mcap"), out.path().join("r.jsonl"));
    let output = guest
        .feed(&["cam0", "cam1"])
        .args(&["--seconds", "90", "--out"])
        .arg(pair(Path::new("/root/take.mcap"), &take))
        .arg("--out")
        .arg(pair(Path::new("/root/r.jsonl"), &results))
        .vultus(&live(&["--results", "/root/r.jsonl", "--record", "/root/take.mcap", "--seconds", "10"]));
    assert_eq!(output.status.code(), Some(0));

    let opened = Take::open(&take).expect("a take");
    assert_eq!((&*opened.metadata["source"], opened.dropped, opened.breaks_off), ("live", Some(0), None));
    let mut file = TakeFile::open(&take).expect("opens");
    for (view, camera) in opened.views.iter().zip(["cam0", "cam1"]) {
        let mut sent = std::fs::read_dir(guest.files.path().join(camera)).expect("the feed").collect::<Vec<_>>();
        sent.sort_by_key(|entry| entry.as_ref().expect("readable").file_name());
        let sent: Vec<Vec<u8>> = sent
            .iter()
            .map(|entry| std::fs::read(entry.as_ref().expect("readable").path()).expect("a picture"))
            .collect();
        let which: Vec<usize> = view
            .frames
            .iter()
            .map(|frame| {
                let picture = file.picture(frame.picture.expect("a picture")).expect("readable");
                sent.iter().position(|sent| *sent == picture).expect("a picture that the camera sent, byte for byte")
            })
            .collect();
        assert!(which.len() > 50, "{camera}: {} frames of 10 s", which.len());
        // The feed loops, and some of its pictures stand for a missing one and are there twice.
        let follows = |pair: &&[usize]| pair[1] == (pair[0] + 1) % sent.len() || sent[pair[1]] == sent[pair[0]];
        let in_order = which.windows(2).filter(follows).count();
        assert!(in_order * 10 > which.len() * 8, "{camera}: {which:?}");
    }

    // The same sets on another machine, and the same ones passed over.
    let config = guest.files.path().join("config/vultus.toml");
    let again = Command::new(env!("CARGO_BIN_EXE_vultus"))
        .args(["replay", "--as-recorded", "--as-fast-as-possible", "--headless", "--results", "-", "--config"])
        .args([&config, &take])
        .output()
        .expect("runs");
    assert!(again.status.success(), "{}", text(&again.stderr));
    let without_times = |text: &str| support::without_times(support::parse(text));
    let recorded = without_times(&std::fs::read_to_string(results).expect("results"));
    assert!(recorded.lines().count() > 3);
    assert_eq!(without_times(&text(&again.stdout)), recorded);
}

#[test]
fn a_camera_that_delivers_raw_pictures_is_read() {
    let Some(mut guest) = Guest::new() else { return };
    let output = guest.args(&["--vivid", "1", "--seconds", "60"]).vultus(&live(&["--results", "-", "--seconds", "5"]));
    assert_eq!(output.status.code(), Some(0));
    let sets = sets(&text(&output.stdout));
    assert!(!sets.is_empty());
    assert!(sets.iter().all(|set| cameras_of(set) == ["cam0"]));
}

#[test]
fn a_camera_that_is_not_there_is_named() {
    let Some(mut guest) = Guest::new() else { return };
    let output = guest.args(&["--vivid", "1"]).vultus(&live(&["--camera", "nonsense"]));
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("no camera `nonsense`"));
}
