//! `vultus calibrate`: boards that are drawn as known cameras see them, to rigs.

#![cfg(feature = "opencv")]
#![allow(clippy::expect_used, reason = "this is a test, also outside the test functions")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use nalgebra::{Isometry3, Point3};
use support::boards::{CHARUCO, CHECKERBOARD, Truth, film, poses, rig};
use support::vultus;
use vultus::calibrate::board::Board;
use vultus::image::Image;
use vultus::image::decode::Decoder;
use vultus::image::encode::JpegEncoder;
use vultus::rig::{CalibratedCamera, Rig};

/// A take of the rig with a board, made once, and the rig that was found from it.
struct Filmed {
    board: &'static str,
    _folder: tempfile::TempDir,
    take: PathBuf,
    rig: PathBuf,
    said: String,
}

impl Filmed {
    fn new(text: &'static str) -> Self {
        let (folder, board) = (tempfile::tempdir().expect("a folder"), text.parse::<Board>().expect("a board"));
        let (take, rig_file) = (folder.path().join("take"), folder.path().join("rig.toml"));
        film(&take, &board, &rig(), &poses(&board));
        let (code, said) = calibrate(&["rig", as_text(&take), "--board", text, "--output", as_text(&rig_file)]);
        assert_eq!(code, 0, "{said}");
        Self { board: text, _folder: folder, take, rig: rig_file, said }
    }

    fn calibrate(&self, args: &[&str]) -> (i32, String) {
        calibrate(&[&[args[0], as_text(&self.take), "--board", self.board], &args[1..]].concat())
    }
}

static WITH_CHARUCO: LazyLock<Filmed> = LazyLock::new(|| Filmed::new(CHARUCO));
static WITH_CHECKERBOARD: LazyLock<Filmed> = LazyLock::new(|| Filmed::new(CHECKERBOARD));

/// Runs `vultus calibrate ARGS`; the exit code and what was said.
fn calibrate(args: &[&str]) -> (i32, String) {
    let output = vultus().arg("calibrate").args(args).output().expect("it starts");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code().expect("it ends by itself"), said)
}

fn as_text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn assert_is_truth(found: &[CalibratedCamera], cameras: &[Truth]) {
    for (found, truth) in found.iter().zip(cameras) {
        let lens = found.lens();
        for n in [0, 1] {
            assert!((lens.focal[n] / truth.lens.focal[n] - 1.0).abs() < 0.007, "{found:#?}");
            assert!((lens.principal[n] - truth.lens.principal[n]).abs() < 3.0, "{found:#?}");
        }
        let apart = found.center_in_world() - Point3::from(truth.camera_from_world.inverse().translation.vector);
        assert!(apart.norm() < 0.006, "{} mm: {found:#?}", apart.norm() * 1e3);
        let turned = found.camera_from_world().rotation.angle_to(&truth.camera_from_world.rotation).to_degrees();
        assert!(turned < 0.3, "{turned} degrees: {found:#?}");
    }
}

#[test]
fn a_rig_is_found_from_either_board_also_between_cameras_that_never_share_a_view() {
    for filmed in [&*WITH_CHARUCO, &*WITH_CHECKERBOARD] {
        assert!(filmed.said.contains("verdict          good"), "{}", filmed.said);
        let found = Rig::load(&filmed.rig).expect("it can be read");
        assert_is_truth(&found.cameras, &rig());
        assert_eq!(found.metadata().board.as_deref(), Some(filmed.board));
    }
}

#[test]
fn places_are_found_again_with_the_lenses_of_a_rig_and_what_else_it_says_stays() {
    let filmed = &*WITH_CHARUCO;
    let folder = tempfile::tempdir().expect("a folder");
    let (lenses, again) = (folder.path().join("lenses.toml"), folder.path().join("again.toml"));
    let mut known = Rig::load(&filmed.rig).expect("it can be read");
    for camera in &mut known.cameras {
        (camera.rotation, camera.translation, camera.time_offset_ms) = ([0.0; 3], [0.0; 3], 4.5);
        camera.other.insert("serial".to_owned(), "A1".into());
    }
    std::fs::write(&lenses, Rig::text_of(&known.cameras, &known.metadata()).expect("a rig")).expect("written");

    // A rig of lenses alone tells nothing of people's places, nor can it be checked.
    let (code, said) = filmed.calibrate(&["check", "--rig", as_text(&lenses)]);
    assert!(code == 1 && said.contains("extrinsics"), "{said}");

    let (code, said) = filmed.calibrate(&["extrinsics", "--rig", as_text(&lenses), "--output", as_text(&again)]);
    assert_eq!(code, 0, "{said}");
    let found = Rig::load(&again).expect("it can be read");
    assert_is_truth(&found.cameras, &rig());
    let kept = |camera: &CalibratedCamera| (camera.time_offset_ms, camera.other["serial"].as_str() == Some("A1"));
    assert!(found.cameras.iter().all(|camera| kept(camera) == (4.5, true)), "{:#?}", found.cameras);
}

/// A take with some cameras of another.
fn part_of(take: &Path, cameras: &[&str], to: &Path) {
    for camera in cameras {
        std::fs::create_dir_all(to.join(camera)).expect("made");
        for entry in std::fs::read_dir(take.join(camera)).expect("a folder").flatten() {
            std::fs::copy(entry.path(), to.join(camera).join(entry.file_name())).expect("copied");
        }
    }
}

#[test]
fn a_camera_of_the_rig_that_is_not_looked_at_is_not_lost() {
    let filmed = &*WITH_CHARUCO;
    let folder = tempfile::tempdir().expect("a folder");
    let (take, rig_file) = (folder.path().join("take"), folder.path().join("rig.toml"));
    part_of(&filmed.take, &["cam0", "cam1"], &take);
    std::fs::copy(&filmed.rig, &rig_file).expect("copied");
    let args = ["extrinsics", as_text(&take), "--board", CHARUCO, "--rig", as_text(&rig_file)];
    let (code, said) = calibrate(&args);
    assert!(code == 1 && said.contains("`cam2`"), "{said}");
    assert_eq!(std::fs::read(&rig_file).expect("read"), std::fs::read(&filmed.rig).expect("read"));
}

#[test]
fn what_is_not_good_enough_takes_nobodys_place() {
    let (folder, board) = (tempfile::tempdir().expect("a folder"), CHARUCO.parse::<Board>().expect("a board"));
    let (take, good) = (folder.path().join("take"), folder.path().join("rig.toml"));
    std::fs::write(&good, "a good rig").expect("written");
    // The second camera sees the board a few millimetres from where the first one does, another way each time.
    let (cameras, all) = (rig(), poses(&board));
    let seen: Vec<_> = all.iter().step_by(2).copied().collect();
    let other = |(n, pose): (usize, &Isometry3<f64>)| {
        let k = n as f64;
        Isometry3::translation(0.003 * (k * 2.3).sin(), 0.003 * (k * 1.1).cos(), 0.0) * pose
    };
    film(&take, &board, &cameras[..1], &seen);
    let elsewhere = folder.path().join("elsewhere");
    film(&elsewhere, &board, &cameras[..2], &seen.iter().enumerate().map(other).collect::<Vec<_>>());
    part_of(&elsewhere, &["cam1"], &take);
    let (code, said) = calibrate(&["rig", as_text(&take), "--board", CHARUCO, "--output", as_text(&good)]);
    assert!(code == 1 && said.contains("calibrate again") && said.contains("Nothing was written"), "{said}");
    assert_eq!(std::fs::read_to_string(&good).expect("it is there"), "a good rig");
}

#[test]
fn a_rig_is_good_until_a_camera_is_moved() {
    let filmed = &*WITH_CHARUCO;
    let (code, said) = filmed.calibrate(&["check", "--rig", as_text(&filmed.rig), "--json"]);
    assert!(code == 0 && said.contains("\"verdict\": \"good\""), "{said}");
    let mut moved = Rig::load(&filmed.rig).expect("it can be read");
    moved.cameras[1].rotation[0] += 1.0_f64.to_radians();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), Rig::text_of(&moved.cameras, &moved.metadata()).expect("a rig")).expect("written");
    let (code, said) = filmed.calibrate(&["check", "--rig", as_text(file.path())]);
    assert!(code == 1 && said.contains("calibrate again"), "{said}");
}

#[test]
fn a_camera_that_mirrors_a_checkerboard_is_named() {
    let filmed = &*WITH_CHECKERBOARD;
    let folder = tempfile::tempdir().expect("a folder");
    let (take, good) = (folder.path().join("take"), folder.path().join("rig.toml"));
    std::fs::write(&good, "a good rig").expect("written");
    for camera in ["cam0", "cam1", "cam2"] {
        let (from, to) = (filmed.take.join(camera), take.join(camera));
        std::fs::create_dir_all(&to).expect("made");
        for entry in std::fs::read_dir(&from).expect("a folder").flatten() {
            let name = entry.file_name();
            let bytes = std::fs::read(entry.path()).expect("read");
            let is_mirrored = camera == "cam2" && name.to_string_lossy().ends_with(".jpg");
            let bytes = if is_mirrored { mirror(&bytes) } else { bytes };
            std::fs::write(to.join(name), bytes).expect("written");
        }
    }
    let (code, said) = calibrate(&["rig", as_text(&take), "--board", CHECKERBOARD, "--output", as_text(&good)]);
    assert!(code == 1 && said.contains("`cam2`") && said.contains("mirrored"), "{said}");
    assert_eq!(std::fs::read_to_string(&good).expect("it is there"), "a good rig");
}

fn mirror(jpeg: &[u8]) -> Vec<u8> {
    let mut image = Image::default();
    Decoder::new(usize::MAX).and_then(|mut decoder| decoder.jpeg(jpeg, &mut image)).expect("a picture");
    let rows = image.rgb.chunks_exact(3 * image.width);
    let rgb = rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect();
    JpegEncoder::new(95).expect("an encoder").picture(&Image { rgb, ..image }).expect("encoded")
}

#[test]
fn rigs_go_to_opencv_and_kalibr_and_come_back() {
    let filmed = &*WITH_CHARUCO;
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let before = Rig::load(&filmed.rig).expect("it can be read").cameras;
    let ends = |files: &[PathBuf], to: &str| {
        let files = files.iter().map(|file| as_text(file));
        let args: Vec<&str> = std::iter::once("import").chain(files).chain(["--output", to]).collect();
        let (code, said) = calibrate(&args);
        assert_eq!(code, 0, "{said}");
        let after = Rig::load(Path::new(to)).expect("it can be read").cameras;
        for (before, after) in before.iter().zip(&after) {
            assert_eq!((&before.name, before.size, before.matrix), (&after.name, after.size, after.matrix));
            let apart = before.camera_from_world().inverse() * after.camera_from_world();
            assert!(apart.translation.vector.norm() < 1e-9 && apart.rotation.angle() < 1e-7, "{after:#?}");
        }
    };
    let export = |to: &str, output: &Path| {
        let (code, said) = calibrate(&["export", as_text(&filmed.rig), "--to", to, "--output", as_text(output)]);
        (code, said)
    };
    assert_eq!(export("kalibr", &at("camchain.yaml")).0, 0);
    ends(&[at("camchain.yaml")], as_text(&at("of-kalibr.toml")));
    assert_eq!(export("opencv", &at("opencv")).0, 0);
    ends(
        &["cam0", "cam1", "cam2"].map(|name| at("opencv").join(format!("{name}.yml"))),
        as_text(&at("of-opencv.toml")),
    );
    // Files that are there stay, and what is no calibration is named.
    let (code, said) = export("kalibr", &at("camchain.yaml"));
    assert!(code == 1 && said.contains("already"), "{said}");
    std::fs::write(at("notes.yaml"), "a: 1\n").expect("written");
    let (code, said) = calibrate(&["import", as_text(&at("notes.yaml")), "--output", as_text(&at("x.toml"))]);
    assert!(code == 1 && said.contains("notes.yaml") && !at("x.toml").exists(), "{said}");
}

#[test]
fn clocks_that_are_apart_are_found_from_a_light_and_written_into_the_rig() {
    let folder = tempfile::tempdir().expect("a folder");
    let (take, rig_file) = (folder.path().join("take"), folder.path().join("rig.toml"));
    std::fs::copy(&WITH_CHARUCO.rig, &rig_file).expect("copied");
    // Bright and dark, at irregular times; the second camera's clock is 31 ms ahead.
    let changes: Vec<i64> = (0..30).map(|n| 300 + n * 290 + (n * n * 37) % 113).collect();
    let mut encoder = JpegEncoder::new(90).expect("an encoder");
    let mut shade = |level: u8| {
        let image = Image { width: 64, height: 48, scale: 1.0, rgb: vec![level; 64 * 48 * 3] };
        encoder.picture(&image).expect("encoded")
    };
    let (dark, bright) = (shade(60), shade(180));
    for (camera, phase_ms, offset_ms) in [("cam0", 0, 0), ("cam1", 13, 31), ("cam2", 22, -18)] {
        std::fs::create_dir_all(take.join(camera)).expect("made");
        let mut times = "seq,captured_ns,received_ns\n".to_owned();
        for seq in 0..280 {
            let true_ms = phase_ms + seq * 1000 / 30;
            let is_bright = changes.iter().filter(|change| **change <= true_ms).count() % 2 == 1;
            let file = take.join(camera).join(format!("{seq:06}.jpg"));
            std::fs::write(file, if is_bright { &bright } else { &dark }).expect("written");
            let at = (5_000 + true_ms + offset_ms) * 1_000_000;
            times += &format!("{seq},{at},{}\n", at + 30_000_000);
        }
        std::fs::write(take.join(camera).join("timestamps.csv"), times).expect("written");
    }
    let mut steps = "true_ns,brightness_after\n0,60\n".to_owned();
    for (n, change) in changes.iter().enumerate() {
        steps += &format!("{},{}\n", (5_000 + change) * 1_000_000, if n % 2 == 0 { 180 } else { 60 });
    }
    std::fs::write(take.join("steps.csv"), steps).expect("written");
    let (code, said) = calibrate(&["offsets", as_text(&take), "--rig", as_text(&rig_file)]);
    assert_eq!(code, 0, "{said}");
    let found = Rig::load(&rig_file).expect("it can be read");
    for (name, truth) in [("cam0", 0.0), ("cam1", 31.0), ("cam2", -18.0)] {
        let camera = found.camera(name).expect("it is there");
        let error = camera.time_offset_error_ms.expect("it is known");
        let off = (camera.time_offset_ms - truth).abs();
        assert!(off <= error.max(0.001) && off < 2.0, "{name}: {} ± {error}, truly {truth}", camera.time_offset_ms);
    }
    assert_is_truth(&found.cameras, &rig());
    assert_eq!(found.metadata().board.as_deref(), Some(CHARUCO));

    // Of two of them alone, the third one's clock stays, and theirs are told against the rig's first one all the same.
    let part = folder.path().join("part");
    part_of(&take, &["cam1", "cam2"], &part);
    std::fs::copy(take.join("steps.csv"), part.join("steps.csv")).expect("copied");
    let other = folder.path().join("other.toml");
    let args = ["offsets", as_text(&part), "--rig", as_text(&rig_file), "--output", as_text(&other)];
    let (code, said) = calibrate(&args);
    assert_eq!(code, 0, "{said}");
    for (before, after) in found.cameras.iter().zip(&Rig::load(&other).expect("it can be read").cameras) {
        assert!((before.time_offset_ms - after.time_offset_ms).abs() < 1.5, "{before:#?} {after:#?}");
    }
    // Without the times of the changes the errors are larger, and better ones stay.
    std::fs::remove_file(take.join("steps.csv")).expect("removed");
    let (code, said) = calibrate(&["offsets", as_text(&take), "--rig", as_text(&rig_file)]);
    assert!(code == 1 && said.contains("smaller errors"), "{said}");
}

#[test]
fn what_cannot_be_calibrated_is_named_and_a_good_rig_stays() {
    let (folder, board) = (tempfile::tempdir().expect("a folder"), CHARUCO.parse::<Board>().expect("a board"));
    let good = folder.path().join("rig.toml");
    std::fs::write(&good, "a good rig").expect("written");
    let refused = |name: &str, cameras: &[Truth], poses: &[Isometry3<f64>], of: &str, wanted: &[&str]| {
        let take = folder.path().join(name);
        film(&take, &board, cameras, poses);
        let (code, said) = calibrate(&["rig", as_text(&take), "--board", of, "--output", as_text(&good)]);
        assert_eq!(code, 1, "{name}: {said}");
        assert!(wanted.iter().all(|word| said.contains(word)), "{name}: {said}");
        assert_eq!(std::fs::read_to_string(&good).expect("it is there"), "a good rig", "{name}");
    };
    let (all, cameras) = (poses(&board), rig());
    let before = |n: usize| all.iter().skip(n).step_by(2).copied().collect::<Vec<_>>();
    refused("few", &cameras[..2], &all[..6], CHARUCO, &["`cam0`", "at least 8"]);
    refused("other", &cameras[..2], &before(0), "checkerboard:8x5:25mm", &["`cam0`", "never saw"]);
    // All poses are the same but for where the board is.
    let flat: Vec<_> = (0..10).map(|n| Isometry3::translation(-0.1 + 0.004 * f64::from(n), -0.08, 0.5)).collect();
    refused("flat", &cameras[..1], &flat, CHARUCO, &["`cam0`", "tilted"]);
    let away = Truth { lens: cameras[0].lens, camera_from_world: Isometry3::translation(0.0, 0.0, -20.0) };
    let blind = [rig().remove(0), away];
    refused("blind", &blind, &before(0), CHARUCO, &["`cam1`", "never saw the board"]);
}

#[test]
fn a_board_is_drawn_to_be_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["board.svg", "board.pdf"] {
        let file = folder.path().join(name);
        let (code, said) = calibrate(&["board", "--board", CHECKERBOARD, "--output", as_text(&file)]);
        assert!(code == 0 && said.contains("100 %"), "{said}");
        let drawn = std::fs::read(&file).expect("it is there");
        assert!(drawn.starts_with(b"<svg") || drawn.starts_with(b"%PDF"), "{name}");
    }
    let (code, said) = calibrate(&["board", "--output", as_text(&folder.path().join("board.png"))]);
    assert!(code == 1 && said.contains(".pdf"), "{said}");
    let (code, said) = calibrate(&["board", "--board", "checkerboard:7x5:25mm", "--output", "x.pdf"]);
    assert!(code == 2 && said.contains("turned round"), "{said}");
}
