//! What an export must not do: show faces that it was to hide, overwrite anything, or leave halves behind.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, also outside the test functions"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::matroska::Film;
use support::recorded::{Recorded, csv_rows, jpeg, refused};
use support::take;
use vultus::export::{Export, ExportError, Format};
use vultus::face::detect::Detector;
use vultus::image::Image;
use vultus::image::decode::Decoder;
use vultus::infer::Runtime;
use vultus::infer::manifest::Models;
use vultus::scene::Rect;

const CAMERAS: [&str; 4] = ["cam0", "cam1", "cam2", "cam3"];

/// All that may be a face in a picture, with the detector as wary as it can be.
struct Suspicion {
    decoder: Decoder,
    detector: Detector,
    image: Image,
}

impl Suspicion {
    fn new() -> Self {
        let runtime = Runtime::start(vultus::config::RuntimeChoice::Auto).expect("a runtime");
        let models = Models::load(None).expect("the built-in models");
        let session = runtime.session(&models.detector).expect("loads");
        let decoder = Decoder::new(usize::MAX).expect("libjpeg-turbo");
        Self { decoder, detector: Detector::new(session, 0.3), image: Image::default() }
    }

    fn of(&mut self, jpeg: &[u8]) -> usize {
        self.decoder.jpeg(jpeg, &mut self.image).expect("a picture");
        let whole = Rect { x: 0.0, y: 0.0, w: self.image.width as f32, h: self.image.height as f32 };
        self.detector.step(&self.image, whole, 640).expect("runs").len()
    }

    /// Width and pixels of the last picture.
    fn pixels(&self) -> (usize, Vec<u8>) {
        (self.image.width, self.image.rgb.clone())
    }
}

/// Where the take's truth has faces of a camera at any time, a little larger than what may be hidden.
fn near_faces(camera: &str) -> Vec<[f64; 4]> {
    let text = fs::read_to_string(take().join("truth.jsonl")).expect("the truth");
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let people = rows.filter(|row| row["camera"] == camera).flat_map(|row| row["persons"].as_array().cloned().unwrap());
    people
        .filter_map(|person| serde_json::from_value::<[f64; 4]>(person["box"].clone()).ok())
        .map(|[x, y, w, h]| [x - w, y - h, x + 2.0 * w, y + 2.0 * h])
        .collect()
}

#[test]
fn no_face_is_left_in_blurred_pictures_and_the_rest_is_as_it_was() {
    let recorded = Recorded::bundled();
    let (folder, said) = recorded.export("frames", &["--blur"]);
    assert!(said.contains("look through"), "{said}");
    let mut suspicion = Suspicion::new();
    let mut before = 0;
    for camera in CAMERAS {
        let hidden = near_faces(camera);
        for row in csv_rows(&folder.join(camera).join("timestamps.csv")).iter().step_by(7) {
            let seq: u64 = row["seq"].parse().expect("a number");
            before += suspicion.of(&jpeg(&take(), camera, seq));
            let (width, original) = suspicion.pixels();
            assert_eq!(suspicion.of(&jpeg(&folder, camera, seq)), 0, "{camera} {seq}");
            let (_, blurred) = suspicion.pixels();
            let is_far = |n: usize| {
                let (x, y) = ((n / 3 % width) as f64, (n / 3 / width) as f64);
                hidden.iter().all(|[left, top, right, bottom]| x < *left || x > *right || y < *top || y > *bottom)
            };
            let far: Vec<u8> =
                (0..original.len()).filter(|n| is_far(*n)).map(|n| original[n].abs_diff(blurred[n])).collect();
            let mean = far.iter().map(|off| f64::from(*off)).sum::<f64>() / far.len() as f64;
            assert!(far.len() > original.len() / 5 && mean < 1.5, "{camera} {seq}: {mean} over {}", far.len());
        }
    }
    assert!(before > 30, "{before} faces were there to be hidden");
}

/// How much neighbouring pixels of a box differ, in the mean.
fn detail(image: &Image, [x, y, w, h]: [f64; 4]) -> f64 {
    let inside = |from: f64, length: f64, most: usize| {
        (from.max(0.0) as usize)..((from + length).max(0.0) as usize).min(most.saturating_sub(1))
    };
    let (columns, rows) = (inside(x, w, image.width), inside(y, h, image.height));
    let at = |x: usize, y: usize| f64::from(image.rgb[(y * image.width + x) * 3 + 1]);
    let pixels = rows.flat_map(|y| columns.clone().map(move |x| (x, y)));
    let steps: Vec<f64> =
        pixels.map(|(x, y)| (at(x, y) - at(x + 1, y)).abs() + (at(x, y) - at(x, y + 1)).abs()).collect();
    steps.iter().sum::<f64>() / steps.len().max(1) as f64
}

#[test]
fn every_face_that_the_truth_knows_is_hidden_in_every_frame() {
    let recorded = Recorded::bundled();
    let (folder, _) = recorded.export("frames", &["--blur"]);
    let truth = fs::read_to_string(take().join("truth.jsonl")).expect("the truth");
    let mut seen = Suspicion::new();
    let mut faces = 0;
    for row in truth.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")) {
        let (camera, seq) = (row["camera"].as_str().expect("a name"), row["seq"].as_u64().expect("a number"));
        for person in row["persons"].as_array().expect("people") {
            let Ok(face) = serde_json::from_value::<[f64; 4]>(person["box"].clone()) else { continue };
            let [shown, hidden] = [&take(), &folder].map(|take| {
                seen.decoder.jpeg(&jpeg(take, camera, seq), &mut seen.image).expect("a picture");
                detail(&seen.image, face)
            });
            // Measured: from 6.3 on, and of that a sixth at the most.
            assert!(hidden < shown / 4.0, "{camera} {seq}: {hidden} of {shown}");
            faces += 1;
        }
    }
    let frames: usize = recorded.taken().views.iter().map(|view| view.frames.len()).sum();
    assert!(faces > frames * 9 / 10, "{faces} faces in {frames} frames");
}

#[test]
fn a_take_that_breaks_off_is_exported_as_far_as_it_goes() {
    let recorded = Recorded::bundled();
    let whole = recorded.taken().views[0].frames.len();
    let bytes = fs::read(recorded.file()).expect("the take");
    fs::write(recorded.file(), &bytes[..bytes.len() / 2]).expect("written");
    let (folder, said) = recorded.export("mkv", &[]);
    assert!(said.contains("was never closed"), "{said}");
    let left = Film::read(&fs::read(folder.join("cam0.mkv")).expect("a video")).pictures.len();
    assert!((1..whole).contains(&left), "{left} of {whole}");
}

#[test]
fn what_cannot_be_exported_is_refused_with_the_reason_and_nothing_is_left() {
    let recorded = Recorded::bundled();
    let there = recorded.folder.path().join("there");
    fs::create_dir(&there).expect("made");
    fs::write(there.join("mine.txt"), "mine").expect("written");
    let before = recorded.names();
    let there = there.to_str().expect("UTF-8");
    let beneath_file = format!("{}/below", recorded.file().display());
    for (args, code, part) in [
        (&["--to", "mkv", "--output", there][..], 1, "is there and not empty"),
        (&["--to", "csv", "--output", &beneath_file], 1, "cannot be made"),
        (&["--to", "csv", "--blur"], 2, "there is nothing to blur"),
        (&["--to", "avi"], 2, "possible values: mkv, csv, frames, parquet"),
        (&["--to", "csv", "--repair"], 2, "cannot be used with"),
        (&[], 2, "--to <FORMAT>"),
    ] {
        let (found, said) = recorded.refused(args);
        assert!(found == Some(code) && said.contains(part), "{args:?}: {found:?} {said}");
    }
    assert_eq!(recorded.names(), before);
    for (path, part) in [
        (recorded.folder.path().join("none.mcap"), "none.mcap"),
        (PathBuf::from(there).join("mine.txt"), "is no take"),
        (take(), "is a folder"),
    ] {
        let (found, said) = refused(&path, &["--to", "csv"]);
        assert!(found == Some(1) && said.contains(part), "{said}");
    }
    // An empty folder is as good as none.
    let empty = recorded.folder.path().join("empty");
    fs::create_dir(&empty).expect("made");
    recorded.export("frames", &["--output", empty.to_str().expect("UTF-8")]);
    assert!(empty.join("rig.json").is_file());
}

#[test]
fn a_take_without_pictures_becomes_tables_only() {
    let recorded = Recorded::of(&take(), "features");
    for format in ["mkv", "frames"] {
        let (code, said) = recorded.refused(&["--to", format]);
        assert!(code == Some(1) && said.contains("--record-content features"), "{said}");
    }
    let (folder, _) = recorded.export("csv", &[]);
    assert!(csv_rows(&folder.join("frames.csv")).iter().all(|row| row["bytes"].is_empty()));
    assert_eq!(csv_rows(&folder.join("results.csv")).len(), recorded.rows.len());
}

#[test]
fn an_export_that_is_broken_off_leaves_nothing() {
    let recorded = Recorded::bundled();
    let taken = recorded.taken();
    for format in [Format::Mkv, Format::Csv, Format::Frames, Format::Parquet] {
        let steps = std::sync::atomic::AtomicU64::new(0);
        let goes_on = || steps.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 10;
        let export = Export { take: &taken, format, blur: None, goes_on: &goes_on };
        let outcome = export.run(&recorded.folder.path().join("out"));
        assert!(matches!(outcome, Err(ExportError::BrokenOff)), "{outcome:?}");
        assert_eq!(recorded.names(), ["run.mcap"]);
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_an_export_and_removes_what_it_wrote() {
    let recorded = Recorded::bundled();
    let mut child = Command::new(env!("CARGO_BIN_EXE_vultus"))
        .args(["export", "--to", "mkv", "--blur"])
        .arg(recorded.file())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    support::until("the export has begun", || recorded.names().iter().any(|name| name == "run-mkv-blurred.part"));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("kill runs").success());
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    assert_eq!(recorded.names(), ["run.mcap"]);
}

/// A camera's rows: number, capture, arrival.
type Rows = Vec<[i64; 3]>;

/// A take of one camera of the bundled one, with other rows and other pictures.
fn altered(alter_rows: impl Fn(&mut Rows), alter_pictures: impl Fn(&Path)) -> Recorded {
    let source = tempfile::tempdir().expect("a folder");
    let camera = source.path().join("cam1");
    fs::create_dir(&camera).expect("made");
    for entry in fs::read_dir(take().join("cam1")).expect("a folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), camera.join(entry.file_name())).expect("copied");
    }
    let times = camera.join("timestamps.csv");
    let number = |row: &BTreeMap<String, String>, column: &str| row[column].parse::<i64>().expect("a number");
    let row = |row: &BTreeMap<String, String>| ["seq", "captured_ns", "received_ns"].map(|column| number(row, column));
    let mut rows: Rows = csv_rows(&times).iter().map(row).collect();
    alter_rows(&mut rows);
    let rows: Vec<String> = rows.iter().map(|[seq, taken, came]| format!("{seq},{taken},{came}\n")).collect();
    fs::write(times, format!("seq,captured_ns,received_ns\n{}", rows.concat())).expect("written");
    alter_pictures(&camera);
    Recorded::of(source.path(), "video")
}

#[test]
fn a_time_that_cannot_be_and_a_number_that_was_there_spoil_no_export() {
    let odd = |rows: &mut Rows| {
        rows[10][1] += 1_000_000_000_000_000_000;
        rows[20][0] = rows[19][0];
    };
    let recorded = altered(odd, |_| ());
    let frames = &recorded.taken().views[0].frames;
    let (folder, said) = recorded.export("mkv", &[]);
    assert!(said.contains("1 pictures have a time that cannot be"), "{said}");
    let film = Film::read(&fs::read(folder.join("cam1.mkv")).expect("a video"));
    assert_eq!(film.pictures.len(), frames.len() - 1);
    assert!(film.duration_ns < 10_000_000_000, "{} ns", film.duration_ns);
    let (folder, said) = recorded.export("frames", &[]);
    let first_free = frames.iter().map(|frame| frame.seq).max().expect("frames") + 1;
    assert!(said.contains("1 pictures have a number that an earlier one has"), "{said}");
    assert_eq!(csv_rows(&folder.join("cam1/timestamps.csv"))[20]["seq"], first_free.to_string());
    assert_eq!(jpeg(&folder, "cam1", first_free), jpeg(&take(), "cam1", frames[20].seq));
}

#[test]
fn what_is_damaged_is_left_out_and_counted_and_the_rest_is_exported() {
    let recorded = Recorded::bundled();
    let all = recorded.taken().views[1].frames.len();
    let mut bytes = fs::read(recorded.file()).expect("the take");
    let picture = jpeg(&take(), "cam1", 60);
    let at = bytes.windows(picture.len()).position(|part| part == picture).expect("a picture");
    // There it says what follows, and how long it is.
    bytes[at - 4..at].fill(0xff);
    // The schema, which says this too, is before and behind the messages.
    let latency = b"\"latency_ms\":";
    let further = bytes[at..].windows(latency.len()).position(|part| part == latency).expect("a record");
    bytes[at + further] = b'?';
    fs::write(recorded.file(), bytes).expect("written");
    for more in [&[][..], &["--blur"]] {
        let (folder, said) = recorded.export("frames", more);
        assert!(
            said.contains("1 pictures of camera `cam1` cannot be read") && said.contains("picture at byte"),
            "{said}"
        );
        assert_eq!(csv_rows(&folder.join("cam1/timestamps.csv")).len(), all - 1);
        assert!(!folder.join("cam1/000060.jpg").exists() && folder.join("cam1/000061.jpg").exists());
    }
    let (folder, said) = recorded.export("csv", &[]);
    assert!(said.contains("1 result records cannot be read"), "{said}");
    assert_eq!(csv_rows(&folder.join("results.csv")).len(), recorded.rows.len() - 1);
}

/// A disk that is full refuses, as does a shell's limit of the size of files.
#[cfg(unix)]
#[test]
fn a_disk_that_becomes_full_is_named_with_the_file() {
    let recorded = Recorded::bundled();
    for (format, file) in [("mkv", "cam0.mkv"), ("csv", "frames.csv"), ("parquet", "frames.parquet")] {
        let output = Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" export \"$1\" --to \"$2\""])
            .arg(env!("CARGO_BIN_EXE_vultus"))
            .arg(recorded.file())
            .arg(format)
            .output()
            .expect("a shell");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(file) && said.contains("cannot be written"), "{said}");
        assert_eq!(recorded.names(), ["run.mcap"]);
    }
}

#[test]
fn a_damaged_picture_stays_as_it_is_and_is_grey_where_faces_are_to_be_hidden() {
    let picture = jpeg(&take(), "cam1", 60);
    let damaged = &picture[..picture.len() / 2];
    let first: u64 = csv_rows(&take().join("cam1/timestamps.csv"))[0]["seq"].parse().expect("a number");
    let recorded = altered(
        |_| (),
        |camera| {
            fs::write(camera.join("000060.jpg"), damaged).expect("written");
            fs::write(camera.join(format!("{first:06}.jpg")), [0xff, 0xd8]).expect("written");
        },
    );
    let frames = recorded.taken().views[0].frames.len();
    let (plain, _) = recorded.export("frames", &[]);
    assert!(fs::read_to_string(plain.join("rig.json")).expect("a rig").contains("\"width\":640"));
    assert_eq!(jpeg(&plain, "cam1", 60), damaged);
    let (hidden, said) = recorded.export("mkv", &["--blur"]);
    assert!(said.contains("2 pictures cannot be decoded"), "{said}");
    let (plain, _) = recorded.export("mkv", &[]);
    let [hidden, plain] = [hidden, plain].map(|folder| fs::read(folder.join("cam1.mkv")).expect("a video"));
    let says = |film: &[u8]| film.windows(11).any(|part| part == b"DESCRIPTION");
    assert!(says(&plain) && !says(&hidden), "what a camera is called may tell of people");
    let [hidden, plain] = [hidden, plain].map(|film| Film::read(&film));
    assert_eq!((plain.width, plain.height, plain.pictures.len()), (640, 360, frames));
    let times = |film: &Film| film.pictures.iter().map(|picture| picture.time_ns).collect::<Vec<_>>();
    assert_eq!(times(&hidden), times(&plain), "a picture keeps its place");
    let mut seen = Suspicion::new();
    seen.of(&hidden.pictures[0].jpeg);
    let (width, pixels) = seen.pixels();
    assert!(width == 640 && pixels.iter().all(|value| value.abs_diff(128) < 3), "grey");
}
