//! Replays of real files by the real program.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, also outside the test functions"
)]

mod support;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use nalgebra::{Isometry3, Vector3};
use serde_json::Value;
use support::{replay, take, vultus, without_times};

const FAST: &str = "--as-fast-as-possible";

/// The true boxes of the take's faces by camera and frame.
fn truth() -> HashMap<(String, u64), Vec<[f64; 4]>> {
    let text = fs::read_to_string(take().join("truth.jsonl")).expect("the take has its truth");
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    rows.map(|row| {
        let people = row["persons"].as_array().expect("people").iter().filter(|person| person["visible"] == true);
        let boxes = people.map(|person| serde_json::from_value(person["box"].clone()).expect("a box"));
        ((row["camera"].as_str().expect("a camera").to_owned(), row["seq"].as_u64().expect("seq")), boxes.collect())
    })
    .collect()
}

#[test]
fn every_visible_face_of_the_take_is_found_where_it_is() {
    let results = replay([take().as_os_str(), FAST.as_ref()]);
    let truth = truth();
    let (mut faces, mut found) = (0, 0);
    for row in &results.rows {
        for (camera, seq) in row["frames"].as_object().expect("frames") {
            let boxes = &truth[&(camera.clone(), seq.as_u64().expect("seq"))];
            faces += boxes.len();
            let views = row["views"].as_array().expect("views").iter().filter(|view| view["camera"] == **camera);
            for view in views {
                let [x, y, w, h]: [f64; 4] = serde_json::from_value(view["box"].clone()).expect("a box");
                let (cx, cy) = (x + w / 2.0, y + h / 2.0);
                let inside = |b: &&[f64; 4]| b[0] < cx && cx < b[0] + b[2] && b[1] < cy && cy < b[1] + b[3];
                assert!(boxes.iter().any(|b| inside(&b)), "a face where none is: {view}");
                found += 1;
            }
        }
    }
    assert!(faces > 200 && found == faces, "{found} of {faces}");
    assert!(results.rows.iter().all(|row| row["person"] == 1), "there is one person");
}

#[test]
fn two_fast_replays_are_the_same_to_the_byte() {
    let [first, second] = [(); 2].map(|()| without_times(replay([take().as_os_str(), FAST.as_ref()])));
    assert!(!first.is_empty());
    assert_eq!(first, second);
}

#[test]
fn the_bundled_take_is_the_one_in_the_repository() {
    let on_disk = without_times(replay([take().as_os_str(), FAST.as_ref()]));
    assert_eq!(without_times(replay([FAST])), on_disk);
}

#[test]
fn the_header_says_what_ran() {
    let header = replay([take().as_os_str(), FAST.as_ref(), "--runtime".as_ref(), "tract".as_ref()]).header;
    assert_eq!(header["vultus"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&header["runtime"], &header["device"]), (&"tract".into(), &"cpu".into()));
    assert_eq!(header["cameras"], serde_json::json!(["cam0", "cam1", "cam2", "cam3"]));
    assert_eq!((&header["rig"], &header["clock"]), (&Value::Null, &"device".into()));
    assert_eq!(header["models"].as_object().map(serde_json::Map::len), Some(2));
}

#[test]
fn a_replay_at_its_own_pace_takes_as_long_as_the_take() {
    let began = std::time::Instant::now();
    let results = replay([take()]);
    // The take spans 2.55 s; a machine under load may add to that, and may skip sets, but not the pace.
    assert!(began.elapsed().as_secs_f64() > 2.4, "{:?}", began.elapsed());
    assert!(results.rows.len() > 20, "{} sets", results.rows.len());
    assert!(results.rows.iter().all(|row| row["latency_ms"].as_f64() > Some(0.0)));
}

#[test]
fn ctrl_c_ends_a_replay_in_good_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("out.jsonl");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_vultus"))
        .args(["replay", "--headless", "--results"])
        .arg(&file)
        .spawn()
        .expect("starts");
    // Results are on their way when the first set is in the file.
    while fs::read_to_string(&file).map_or(0, |text| text.lines().count()) < 3 {
        std::thread::yield_now();
    }
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("kill runs").success());
    assert!(child.wait().expect("ends").success());
    let text = fs::read_to_string(&file).expect("results");
    assert!(text.ends_with('\n'), "the last line is whole");
    support::parse(&text);
}

#[test]
fn a_rigs_offsets_shift_the_matching_and_its_name_is_in_the_header() {
    let folder = tempfile::tempdir().expect("a folder");
    let rig = folder.path().join("rig.toml");
    let camera = |n: u32, offset_ms: f64| {
        format!(
            "[cam_{n}]\nname = \"cam{n}\"\nsize = [640, 360]\nmatrix = [[600.0, 0.0, 320.0], [0.0, 600.0, 180.0], \
             [0.0, 0.0, 1.0]]\ndistortions = [0.0, 0.0, 0.0, 0.0, 0.0]\nrotation = [0.0, 0.0, 0.0]\ntranslation = \
             [0.0, 0.0, 0.0]\ntime_offset_ms = {offset_ms}\n"
        )
    };
    let text: String = (0..4).map(|n| camera(n, if n == 3 { 12.0 } else { 0.0 })).collect();
    fs::write(&rig, text).expect("written");
    let median_skew = |results: &support::Results| {
        let mut skews: Vec<f64> = results.rows.iter().filter_map(|row| row["skew_ms"].as_f64()).collect();
        skews.sort_by(f64::total_cmp);
        skews[skews.len() / 2]
    };
    let plain = replay([take().as_os_str(), FAST.as_ref()]);
    let rigged = replay([take().as_os_str(), FAST.as_ref(), "--rig".as_ref(), rig.as_os_str()]);
    assert_eq!(rigged.header["rig"].as_str(), rig.to_str());
    // cam3 runs half a period behind the others: with 12 ms taken off its stamps it is nearly in step.
    let (before, after) = (median_skew(&plain), median_skew(&rigged));
    assert!(after < before - 5.0, "{before} ms, then {after} ms");
}

#[test]
fn a_rig_tells_who_is_who_by_place_and_is_watched() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |rig: &str| {
        let file = folder.path().join("rig.toml");
        fs::write(&file, rig).expect("written");
        let args = ["replay", "--headless", "--results", "-", "--as-fast-as-possible", "--rig"];
        let output = support::vultus().args(args).arg(&file).assert().success();
        let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        (support::parse(&String::from_utf8_lossy(&output.get_output().stdout)), said)
    };
    let (plain, rig) = (replay([FAST]), support::rig::of_the_take());
    assert_eq!(plain.header["identity"], "appearance");
    let (results, said) = run(&rig);
    assert_eq!(results.header["identity"], "geometry");
    assert!(said.contains("rig      good"), "{said}");
    assert!(results.rows.iter().all(|row| row["person"].is_null() || row["person"] == 1), "there is one person");

    // A camera that was tilted by three degrees since it was calibrated.
    let mut cameras = vultus::rig::Rig::parse(&rig, Path::new("rig.toml")).expect("a rig").cameras;
    let tilted = Isometry3::rotation(Vector3::x() * 3.0_f64.to_radians()) * cameras[1].camera_from_world();
    cameras[1].rotation = tilted.rotation.scaled_axis().into();
    cameras[1].translation = tilted.translation.vector.into();
    let (_, said) = run(&vultus::rig::Rig::text_of(&cameras, &Default::default()).expect("a rig"));
    assert!(said.contains("rig      calibrate again") && said.contains("cam1"), "{said}");
}

#[test]
fn stills_are_read_each_by_itself_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let people = folder.path().join("people");
    fs::create_dir(&people).expect("made");
    let jpeg = |camera: &str| take().join(camera).join("000060.jpg");
    fs::copy(jpeg("cam1"), people.join("a.jpg")).expect("copied");
    fs::copy(jpeg("cam2"), people.join("b.JPG")).expect("copied");
    write_pgm(&people.join("c.pgm"), &fs::read(jpeg("cam2")).expect("read"));
    fs::write(people.join("notes.txt"), "no picture").expect("written");
    let results = replay([folder.path()]);
    let files: Vec<&str> = results.rows.iter().filter_map(|row| row["file"].as_str()).collect();
    assert_eq!(files, ["people/a.jpg", "people/b.JPG", "people/c.pgm"]);
    assert!(results.rows.iter().all(|row| row["person"] == 1), "each picture begins anew, so each has a person 1");
    assert!(results.rows.iter().all(|row| row["views"].as_array().map(Vec::len) == Some(1)));
}

/// Writes a quarter-size grey picture as a PGM, as small as old data sets have them.
fn write_pgm(path: &Path, jpeg: &[u8]) {
    let grey = turbojpeg::decompress(jpeg, turbojpeg::PixelFormat::GRAY).expect("decodes");
    let (width, height) = (grey.width / 4, grey.height / 4);
    let pixels = (0..width * height).map(|n| grey.pixels[(n / width * 4) * grey.pitch + n % width * 4]);
    let mut out = format!("P5\n{width} {height}\n255\n").into_bytes();
    out.extend(pixels);
    fs::write(path, out).expect("written");
}

#[test]
fn damaged_pictures_are_counted_and_named_and_the_others_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = fs::read(take().join("cam1/000060.jpg")).expect("read");
    fs::write(folder.path().join("empty.jpg"), b"").expect("written");
    fs::write(folder.path().join("good.jpg"), &good).expect("written");
    fs::write(folder.path().join("text.png"), b"this is no picture").expect("written");
    fs::write(folder.path().join("truncated.jpg"), &good[..good.len() / 2]).expect("written");
    let output = vultus().arg("replay").arg(folder.path()).args(["--results", "-"]).assert().success();
    let output = output.get_output();
    let talk = String::from_utf8_lossy(&output.stderr);
    for file in ["empty.jpg", "text.png", "truncated.jpg"] {
        assert!(talk.contains(file), "{file} is not named in: {talk}");
    }
    assert!(talk.contains("corrupt (stills 3)"), "{talk}");
    let results = support::parse(&String::from_utf8_lossy(&output.stdout));
    let with_face = results.rows.iter().filter(|row| row["person"] == 1).count();
    assert_eq!(with_face, 1);
}

#[test]
fn a_missing_picture_of_a_take_is_one_corrupt_frame() {
    let folder = tempfile::tempdir().expect("a folder");
    for camera in ["cam0", "cam1"] {
        fs::create_dir(folder.path().join(camera)).expect("made");
        for entry in fs::read_dir(take().join(camera)).expect("read") {
            let entry = entry.expect("an entry");
            fs::copy(entry.path(), folder.path().join(camera).join(entry.file_name())).expect("copied");
        }
    }
    fs::remove_file(folder.path().join("cam1/000060.jpg")).expect("removed");
    let output = vultus().arg("replay").arg(folder.path()).args([FAST, "--results", "-"]).assert().success();
    let talk = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(talk.contains("000060.jpg") && talk.contains("corrupt (cam1 1)"), "{talk}");
}

#[cfg(feature = "opencv")]
#[test]
fn videos_are_replayed_as_one_camera_each() {
    use opencv::core::{Mat, Size};
    use opencv::prelude::*;
    use opencv::videoio;

    let folder = tempfile::tempdir().expect("a folder");
    let write = |camera: &str| -> opencv::Result<()> {
        let file = folder.path().join(format!("{camera}.avi"));
        let codec = videoio::VideoWriter::fourcc('M', 'J', 'P', 'G')?;
        let mut writer = videoio::VideoWriter::new(&file, codec, 30.0, Size::new(640, 360), true)?;
        for seq in 50..70 {
            let jpeg = fs::read(take().join(camera).join(format!("{seq:06}.jpg"))).expect("read");
            let picture = turbojpeg::decompress(&jpeg, turbojpeg::PixelFormat::BGR).expect("decodes");
            writer.write(&Mat::from_slice(&picture.pixels)?.reshape(3, picture.height as i32)?)?;
        }
        writer.release()
    };
    ["cam1", "cam2"].into_iter().for_each(|camera| write(camera).expect("OpenCV writes the video"));
    let results = replay([folder.path().as_os_str(), FAST.as_ref()]);
    assert_eq!(results.header["cameras"], serde_json::json!(["cam1", "cam2"]));
    assert_eq!(results.rows.len(), 20);
    let both = results.rows.iter().filter(|row| row["views"].as_array().map(Vec::len) == Some(2)).count();
    assert!(both >= 19, "{both} of 20 sets have both faces");
}
