//! Takes that the program recorded, replayed by it.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, also outside the test functions"
)]

mod support;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::assert::Assert;
use serde_json::Value;
use support::{Results, parse, replay, take, vultus, without_times};
use vultus::record::{Take, TakeFile};

const FAST: &str = "--as-fast-as-possible";

/// `vultus replay ARGS`, headless, with results on standard output.
fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Assert {
    vultus().args(["replay", "--headless", "--results", "-"]).args(args).assert()
}

fn said(run: &Assert) -> String {
    String::from_utf8_lossy(&run.get_output().stderr).into_owned()
}

/// Replays the bundled take with `args` and records that.
fn record(file: &Path, args: &[&str]) -> Results {
    let mut all: Vec<OsString> = vec![take().into(), "--record".into(), file.into()];
    all.extend(args.iter().map(OsString::from));
    replay(all)
}

fn file_in(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

#[test]
fn a_take_gives_the_results_of_what_it_was_recorded_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file_in(&folder, "take.mcap");
    let recorded = without_times(record(&file, &[FAST]));
    assert_eq!(without_times(replay([file.as_os_str(), FAST.as_ref()])), recorded, "matched anew");
    let followed = replay([file.as_os_str(), FAST.as_ref(), "--as-recorded".as_ref()]);
    assert_eq!(without_times(followed), recorded, "as recorded");
    let again = file_in(&folder, "again.mcap");
    let args: [&OsStr; 5] =
        [file.as_os_str(), FAST.as_ref(), "--as-recorded".as_ref(), "--record".as_ref(), again.as_ref()];
    assert_eq!(without_times(replay(args)), recorded, "and recorded once more");
    let [first, second] = [&file, &again].map(|file| Take::open(file).expect("a take"));
    assert_eq!(first.sets, second.sets);
}

#[test]
fn a_run_that_dropped_sets_is_followed_to_the_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file_in(&folder, "take.mcap");
    // Far too fast for this runtime.
    let tract = ["--runtime", "tract"];
    let recorded = record(&file, &[&["--speed", "20"], &tract[..]].concat());
    let take = Take::open(&file).expect("a take");
    let analysed = take.sets.iter().filter(|set| set.analysed).count();
    assert!(analysed > 3 && analysed < take.sets.len(), "{analysed} of {} sets", take.sets.len());
    let numbers = |results: &Results| results.rows.iter().map(|row| row["set"].as_u64().unwrap()).collect::<Vec<_>>();
    assert!(numbers(&recorded).windows(2).any(|pair| pair[1] > pair[0] + 1), "sets are missing");
    let recorded = without_times(recorded);
    for pace in [FAST, "--speed=4"] {
        let args = [file.as_os_str(), "--as-recorded".as_ref(), pace.as_ref(), tract[0].as_ref(), tract[1].as_ref()];
        let followed = run(args).success();
        assert!(!said(&followed).contains("differ"), "{}", said(&followed));
        assert_eq!(without_times(parse(&String::from_utf8_lossy(&followed.get_output().stdout))), recorded, "{pace}");
    }
    assert_ne!(
        without_times(replay([file.as_os_str(), FAST.as_ref(), tract[0].as_ref(), tract[1].as_ref()])),
        recorded
    );
}

#[test]
fn what_differs_from_the_recorded_run_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file_in(&folder, "take.mcap");
    record(&file, &[FAST, "--runtime", "tract"]);
    let config = file_in(&folder, "vultus.toml");
    fs::write(&config, "[fusion]\nrule = \"mean\"\n").expect("written");
    let args: [&OsStr; 7] = [
        file.as_ref(),
        FAST.as_ref(),
        "--as-recorded".as_ref(),
        "--runtime".as_ref(),
        "tract".as_ref(),
        "--config".as_ref(),
        config.as_ref(),
    ];
    let said = said(&run(args).success());
    assert!(said.contains("may differ") && said.contains("settings was") && said.contains("mean"), "{said}");
    assert!(!said.contains("runtime was"), "{said}");
}

#[test]
fn a_take_of_stills_cannot_be_run_as_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file_in(&folder, "take.mcap");
    run([take().join("cam0").as_os_str(), "--stills".as_ref(), "--record".as_ref(), file.as_ref()]).success();
    let said = said(&run([file.as_os_str(), "--as-recorded".as_ref()]).code(1));
    assert!(said.contains("was recorded of stills"), "{said}");
}

/// Where JPEG pictures begin.
fn pictures(bytes: &[u8]) -> usize {
    bytes.windows(3).filter(|window| window == b"\xff\xd8\xff").count()
}

#[test]
fn a_take_of_features_has_not_one_pixel() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file_in(&folder, "take.mcap");
    let results = record(&file, &[FAST, "--record-content", "features"]);
    let bytes = fs::read(&file).expect("the take");
    assert_eq!(pictures(&bytes), 0);
    assert!(!bytes.windows(15).any(|window| window == b"CompressedImage"), "not even a schema for pictures");
    let opened = Take::open(&file).expect("a take");
    assert_eq!(opened.records.len(), results.rows.len());
    let whole = file_in(&folder, "whole.mcap");
    record(&whole, &[FAST]);
    let whole = Take::open(&whole).expect("a take");
    for (without, with) in opened.views.iter().zip(&whole.views) {
        let times = |frames: &[vultus::record::TakenFrame]| {
            frames.iter().map(|frame| (frame.seq, frame.captured_at, frame.received_at)).collect::<Vec<_>>()
        };
        assert_eq!(times(&without.frames), times(&with.frames), "all times are there");
        assert!(without.frames.iter().all(|frame| frame.picture.is_none()) && without.faces.is_empty());
    }
    let refused = run([&file]).failure();
    assert!(
        said(&refused).contains("no pictures to replay") && said(&refused).contains("vultus info"),
        "{}",
        said(&refused)
    );
}

#[test]
fn a_take_of_faces_has_the_aligned_faces_and_nothing_around_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file_in(&folder, "take.mcap");
    let results = record(&file, &[FAST, "--record-content", "faces"]);
    let take = Take::open(&file).expect("a take");
    let seen: usize = results.rows.iter().map(|row| row["views"].as_array().map_or(0, Vec::len)).sum();
    let faces: Vec<_> = take.views.iter().flat_map(|view| &view.faces).collect();
    assert!(seen > 200 && faces.len() == seen, "{} of {seen} faces", faces.len());
    assert_eq!(pictures(&fs::read(&file).expect("the take")), seen, "no other picture");
    assert!(take.views.iter().flat_map(|view| &view.frames).all(|frame| frame.picture.is_none()));
    let mut reader = TakeFile::open(&file).expect("opens");
    for face in faces.iter().step_by(37) {
        let (person, jpeg) = reader.face(face.picture).expect("a picture");
        let header = turbojpeg::read_header(&jpeg).expect("a JPEG picture");
        assert_eq!((person, header.width, header.height), (1, 112, 112));
    }
}

#[test]
fn a_part_of_a_take_is_what_was_received_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file_in(&folder, "take.mcap");
    let all = record(&file, &[FAST]);
    let starts_at = Take::open(&file).expect("a take").starts_at().expect("a first frame").ns();
    for input in [file.clone(), take()] {
        let part = replay([input.as_os_str(), FAST.as_ref(), "--from=0.5".as_ref(), "--to=1.5".as_ref()]);
        let frames = |results: &Results| {
            results
                .rows
                .iter()
                .map(|row| (row["frames"]["cam0"].as_u64(), row["at_ns"].as_i64().unwrap()))
                .collect::<Vec<_>>()
        };
        let seconds = |(_, at_ns): &(Option<u64>, i64)| (at_ns - starts_at) as f64 / 1e9;
        // Frames are received some milliseconds after their instant.
        let expected: Vec<_> = frames(&all).into_iter().filter(|set| (0.53..1.42).contains(&seconds(set))).collect();
        let got = frames(&part);
        assert!(expected.len() > 20 && expected.iter().all(|set| got.contains(set)), "{got:?}");
        assert!(got.iter().all(|set| (0.4..1.5).contains(&seconds(set))), "{got:?}");
    }
    let beyond = run([file.as_os_str(), "--from=100".as_ref()]).failure();
    assert!(said(&beyond).contains("s long: nothing is left of it from 100 s on"), "{}", said(&beyond));
    let backwards = run([file.as_os_str(), "--from=2".as_ref(), "--to=1".as_ref()]).code(2);
    assert!(said(&backwards).contains("must be later"), "{}", said(&backwards));
    let wrong = run([file.as_os_str(), "--speed=0".as_ref()]).code(2);
    assert!(said(&wrong).contains("between 0.01 and 100"), "{}", said(&wrong));
}

#[test]
fn a_part_can_be_looped_at_another_speed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file_in(&folder, "take.mcap");
    let length_s = 0.5;
    record(&file, &[FAST]);
    let looped = file_in(&folder, "looped.mcap");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_vultus"))
        .args(["replay", "--headless", "--loop", "--from=0.5", "--to=1", "--speed=2", "--results"])
        .args([&file_in(&folder, "out.jsonl"), Path::new("--record"), &looped, &file])
        .spawn()
        .expect("starts");
    let rounds = || Take::open(&looped).map_or(0.0, |take| take.duration().as_secs_f64() / length_s);
    support::until("three rounds are on the disk", || rounds() > 3.0);
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("kill runs").success() && child.wait().expect("ends").success());
    let frames = &Take::open(&looped).expect("a take").views[0].frames;
    let first = frames.first().expect("a frame");
    let starts_at = Take::open(&file).expect("a take").starts_at().expect("a first frame");
    assert!((500_000_000..600_000_000).contains(&(first.received_at - starts_at)));
    assert!(frames.windows(2).all(|pair| pair[1].seq > pair[0].seq && pair[1].received_at > pair[0].received_at));
}

#[test]
fn a_take_brings_its_rig_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, rig) = (file_in(&folder, "take.mcap"), file_in(&folder, "rig.toml"));
    let camera = |n: usize| {
        format!(
            "[cam_{n}]\nname = \"cam{n}\"\nsize = [640, 360]\nmatrix = [[500.0, 0.0, 320.0], [0.0, 500.0, 180.0], [0.0, 0.0, 1.0]]\n\
             distortions = [0.0, 0.0, 0.0, 0.0, 0.0]\nrotation = [0.0, 0.0, 0.0]\ntranslation = [0.0, 0.0, 0.0]\ntime_offset_ms = {}\n",
            n * 7
        )
    };
    fs::write(&rig, (0..4).map(camera).collect::<String>()).expect("written");
    let recorded = without_times(record(&file, &[FAST, "--rig", rig.to_str().expect("a plain path")]));
    fs::remove_file(&rig).expect("the rig's file is no longer needed");
    assert_eq!(without_times(replay([file.as_os_str(), FAST.as_ref()])), recorded);
    assert_ne!(without_times(replay([take().as_os_str(), FAST.as_ref()])), recorded, "the offsets matter");
    let opened = Take::open(&file).expect("a take");
    assert_eq!(opened.views[2].camera.offset_ns, 14_000_000);
    assert_eq!(opened.metadata["rig"], "rig.toml");
    let bytes = fs::read(&file).expect("the take");
    let folders = [folder.path(), &take()].map(|path| path.to_str().expect("a plain path").to_owned());
    let found = folders.iter().find(|folder| bytes.windows(folder.len()).any(|part| part == folder.as_bytes()));
    assert_eq!(found, None, "a take is passed on, and says nothing of where things lie");
    let summary = mcap::Summary::read(&bytes).expect("an index").expect("a summary");
    let calibrations = summary.channels.values().filter(|channel| channel.topic.ends_with("/calibration"));
    let schemas: Vec<_> =
        calibrations.map(|channel| channel.schema.as_ref().map(|schema| schema.name.clone())).collect();
    assert_eq!(schemas, vec![Some("foxglove.CameraCalibration".to_owned()); 4]);
}

#[test]
fn what_cannot_be_recorded_is_said_before_anything_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file_in(&folder, "there.mcap");
    fs::write(&file, "precious").expect("written");
    let cases = [(file.clone(), "ever overwritten"), (file.join("take.mcap"), "cannot be made or written")];
    for (path, reason) in cases {
        let refused = run([take().as_os_str(), "--record".as_ref(), path.as_ref()]).code(1);
        assert!(said(&refused).contains(reason) && said(&refused).contains("there.mcap"), "{}", said(&refused));
        assert!(refused.get_output().stdout.is_empty());
    }
    assert_eq!(fs::read(&file).expect("still there"), b"precious");
}

#[test]
fn results_are_not_written_over_a_take() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, new) = (file_in(&folder, "take.mcap"), file_in(&folder, "new.mcap"));
    record(&file, &[FAST]);
    let before = fs::read(&file).expect("the take");
    let replay = |input: &Path, more: &[&OsStr]| {
        let run = vultus().args(["replay", "--headless", FAST]).arg(input).args(more).assert().code(1);
        assert!(said(&run).contains("is a take, and results are not written over it"), "{}", said(&run));
    };
    replay(&file, &["--results".as_ref(), file.as_ref()]);
    replay(&take(), &["--results".as_ref(), new.as_ref(), "--record".as_ref(), new.as_ref()]);
    assert!(!new.exists() && fs::read(&file).expect("the take") == before);
}

#[test]
fn a_recording_that_ends_early_does_not_end_the_run_and_is_not_hushed_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file_in(&folder, "take.mcap");
    let limited = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_vultus")])
        .args(["replay", "--headless", "--results", "-"])
        .args([take().as_os_str(), "--record".as_ref(), file.as_ref()])
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&limited.stderr);
    assert_eq!(limited.status.code(), Some(1), "{said}");
    assert!(said.contains("the recording ended before the run did") && said.contains("take.mcap"), "{said}");
    let rows = parse(&String::from_utf8_lossy(&limited.stdout)).rows;
    let sets = |rows: &[Value]| rows.iter().filter_map(|row| row["set"].as_u64()).max();
    let all = replay([take().as_os_str(), FAST.as_ref()]).rows;
    assert!(
        sets(&rows) >= sets(&all).map(|last| last - 3),
        "results go on to the end: {:?} of {:?}",
        sets(&rows),
        sets(&all)
    );
    let cut = Take::open(&file).expect("what was written is there");
    assert!(cut.breaks_off.is_some() && cut.duration().as_secs_f64() > 0.2, "{:?}", cut.duration());
    run([file.as_os_str(), FAST.as_ref()]).success();
}
