//! Takes that the program recorded, exported, and read back by what is not this program.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, also outside the test functions"
)]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;
use support::matroska::{self, Film};
use support::recorded::{Recorded, csv_rows, jpeg};
use support::{take, vultus, without_times};

const CAMERAS: [&str; 4] = ["cam0", "cam1", "cam2", "cam3"];

fn header(path: &Path) -> String {
    fs::read_to_string(path).expect("a table").lines().next().expect("a header").to_owned()
}

#[test]
fn a_video_has_every_picture_as_it_was_and_when_it_was() {
    let recorded = Recorded::bundled();
    let (folder, said) = recorded.export("mkv", &[]);
    let taken = recorded.taken();
    let all = || taken.views.iter().flat_map(|view| &view.frames);
    let origin = all().map(|frame| frame.captured_at).min().expect("frames");
    assert!(said.contains(&format!("8 files, {} pictures", all().count())), "{said}");
    for view in &taken.views {
        let name = &*view.camera.name;
        let path = folder.join(format!("{name}.mkv"));
        let film = Film::read(&fs::read(&path).expect("a video"));
        assert_eq!((film.width, film.height, &*film.codec, &*film.name), (640, 360, "V_MJPEG", name));
        let times: Vec<u64> = view.frames.iter().map(|frame| (frame.captured_at - origin) as u64).collect();
        let expected: Vec<Vec<u8>> = view.frames.iter().map(|frame| jpeg(&take(), name, frame.seq)).collect();
        assert_eq!(film.pictures.iter().map(|picture| picture.time_ns).collect::<Vec<_>>(), times);
        assert!(film.pictures.iter().map(|picture| &picture.jpeg).eq(&expected), "{name}: not the camera's bytes");
        let period = view.camera.period.as_nanos() as u64;
        assert_eq!((film.duration_ns, film.interval_ns), (times[times.len() - 1] - times[0] + period, period));
        // A player that wants to go somewhere asks the index.
        assert!(film.cues.len() >= 3 && film.cues.iter().all(|cue| film.clusters.contains(cue)), "{:?}", film.cues);
        let exact = csv_rows(&folder.join(format!("{name}.timestamps.csv")));
        assert_eq!(exact.len(), times.len());
        for ((row, time), frame) in exact.iter().zip(&times).zip(&view.frames) {
            assert_eq!((&row["time_ns"], &row["seq"]), (&time.to_string(), &frame.seq.to_string()));
            assert_eq!(row["captured_ns"], frame.captured_at.ns().to_string());
        }
        let Some(ffprobe) = std::env::var_os("VULTUS_FFPROBE") else {
            println!("left out: ffprobe on {name}.mkv (VULTUS_FFPROBE)");
            continue;
        };
        let output = Command::new(ffprobe)
            .args(["-v", "error", "-of", "json", "-count_frames", "-show_entries"])
            .args(["stream=codec_name,width,height,time_base,nb_read_frames:packet=pts,pts_time:format=duration"])
            .arg(&path)
            .output()
            .expect("ffprobe runs");
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let stream = &told["streams"][0];
        assert_eq!((&stream["codec_name"], &stream["time_base"]), (&"mjpeg".into(), &"1/1000000000".into()));
        assert_eq!(stream["nb_read_frames"], times.len().to_string());
        let packets = told["packets"].as_array().expect("packets");
        assert_eq!(packets.iter().filter_map(|packet| packet["pts"].as_u64()).collect::<Vec<_>>(), times);
        for (packet, time) in packets.iter().zip(&times) {
            let seconds: f64 = packet["pts_time"].as_str().expect("a time").parse().expect("a number");
            assert!((seconds - *time as f64 / 1e9).abs() < 1e-6, "{packet}: {time}");
        }
    }
}

/// Which frames were matched, when, and how well.
#[cfg(feature = "opencv")]
fn sets(rows: &[Value]) -> Vec<[String; 4]> {
    rows.iter().map(|row| ["set", "at_ns", "frames", "skew_ms"].map(|key| row[key].to_string())).collect()
}

#[cfg(feature = "opencv")]
#[test]
fn exported_videos_replay_to_the_same_sets_at_the_same_times() {
    let recorded = Recorded::bundled();
    let (folder, _) = recorded.export("mkv", &[]);
    let videos = CAMERAS.map(|camera| folder.join(format!("{camera}.mkv")));
    let mut expected = sets(&recorded.rows);
    expected.dedup();
    for what in [&videos[..], std::slice::from_ref(&folder)] {
        let output =
            vultus().arg("replay").args(what).args(["--as-fast-as-possible", "--results", "-"]).assert().success();
        let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(!said.contains("corrupt"), "{said}");
        let mut found = sets(&support::parse(&String::from_utf8_lossy(&output.get_output().stdout)).rows);
        found.dedup();
        assert_eq!(found, expected);
    }
    fs::remove_file(folder.join("cam2.timestamps.csv")).expect("removed");
    let output = vultus().args(["replay", "--results", "-", "--as-fast-as-possible"]).args(&videos).assert().success();
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(said.contains("cam2.timestamps.csv") && said.contains("none is used"), "{said}");
}

#[test]
fn exported_pictures_replay_to_the_same_results() {
    let recorded = Recorded::bundled();
    let (folder, _) = recorded.export("frames", &[]);
    let again = support::replay([folder.as_os_str(), "--as-fast-as-possible".as_ref()]);
    assert!(without_times(again) == recorded.results, "the results differ");
    for camera in CAMERAS {
        for entry in fs::read_dir(take().join(camera)).expect("a folder") {
            let file = entry.expect("an entry").path();
            let name = file.file_name().expect("a name");
            if name == "timestamps.csv" {
                assert_eq!(csv_rows(&folder.join(camera).join(name)), csv_rows(&file));
            } else {
                assert!(fs::read(folder.join(camera).join(name)).ok() == fs::read(&file).ok(), "{}", file.display());
            }
        }
    }
}

#[test]
fn numbers_of_more_than_six_digits_go_there_and_back() {
    let source = tempfile::tempdir().expect("a folder");
    for camera in ["cam1", "cam2"] {
        let folder = source.path().join(camera);
        fs::create_dir(&folder).expect("made");
        let rows = csv_rows(&take().join(camera).join("timestamps.csv"));
        let mut text = "seq,captured_ns,received_ns\n".to_owned();
        for row in rows.iter().take(8) {
            let seq: u64 = row["seq"].parse().expect("a number");
            let far = seq + 999_996;
            fs::write(folder.join(format!("{far:06}.jpg")), jpeg(&take(), camera, seq)).expect("written");
            text += &format!("{far},{},{}\n", row["captured_ns"], row["received_ns"]);
        }
        fs::write(folder.join("timestamps.csv"), text).expect("written");
    }
    let recorded = Recorded::of(source.path(), "video");
    assert!(recorded.results.contains(":1000"), "{}", recorded.results);
    let (folder, _) = recorded.export("frames", &[]);
    let again = support::replay([folder.as_os_str(), "--as-fast-as-possible".as_ref()]);
    assert!(without_times(again) == recorded.results, "the results differ");
}

#[test]
fn a_take_brings_its_rig_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let (rig, file, out) = (folder.path().join("rig.toml"), folder.path().join("run.mcap"), folder.path().join("out"));
    fs::write(&rig, support::rig::of_the_take()).expect("written");
    let args = ["--as-fast-as-possible".as_ref(), "--rig".as_ref(), rig.as_os_str()];
    let first = support::replay([take().as_os_str(), "--record".as_ref(), file.as_os_str()].into_iter().chain(args));
    vultus().arg("export").arg(&file).args(["--to", "frames", "--output"]).arg(&out).assert().success();
    assert_eq!(fs::read(out.join("rig.toml")).expect("a rig"), fs::read(&rig).expect("a rig"));
    let rig = out.join("rig.toml");
    let again = support::replay([out.as_os_str(), "--as-fast-as-possible".as_ref(), "--rig".as_ref(), rig.as_os_str()]);
    assert!(without_times(again) == without_times(first), "the results differ");
}

#[test]
fn a_take_of_faces_becomes_a_folder_a_person() {
    let recorded = Recorded::of(&take(), "faces");
    let (folder, _) = recorded.export("frames", &[]);
    for view in recorded.taken().views {
        let camera = folder.join(&*view.camera.name);
        let rows = csv_rows(&camera.join("faces.csv"));
        assert!(!rows.is_empty() && rows.len() == view.faces.len());
        for row in rows {
            let seq: u64 = row["seq"].parse().expect("a number");
            let picture = fs::read(camera.join(format!("person-{}/{seq:06}.jpg", row["person"]))).expect("a picture");
            assert_eq!(vultus::image::decode::jpeg_size(&picture).expect("a JPEG"), (112, 112));
        }
    }
    let (code, said) = recorded.refused(&["--to", "frames", "--blur", "--output", "x"]);
    assert!(code == Some(1) && said.contains("nothing but faces"), "{said}");
}

/// Name, cells as text, for every row.
type Rows = Vec<BTreeMap<String, String>>;

/// A table as Parquet, as its text would be.
fn parquet_rows(path: &Path) -> Rows {
    let reader = SerializedFileReader::new(File::open(path).expect("a file")).expect("a Parquet file");
    let text = |field: &Field| match field {
        Field::Null => String::new(),
        Field::Str(text) => text.clone(),
        Field::Long(value) => value.to_string(),
        Field::Double(value) => value.to_string(),
        Field::Bool(value) => value.to_string(),
        other => panic!("{other:?}"),
    };
    let rows = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row"));
    rows.map(|row| row.get_column_iter().map(|(name, field)| (name.clone(), text(field))).collect()).collect()
}

#[test]
fn tables_say_what_the_records_say() {
    let recorded = Recorded::bundled();
    let (folder, said) = recorded.export("csv", &[]);
    let taken = recorded.taken();
    let table = |name: &str| csv_rows(&folder.join(format!("{name}.csv")));
    let real = |row: &BTreeMap<String, String>, column: &str| row[column].parse::<f64>().ok();

    let frames = table("frames");
    let all = taken.views.iter().flat_map(|view| view.frames.iter().map(move |frame| (view, frame)));
    assert_eq!(frames.len(), all.clone().count());
    for (row, (view, frame)) in frames.iter().zip(all) {
        assert_eq!((&*row["camera"], &row["seq"]), (&*view.camera.name, &frame.seq.to_string()));
        assert_eq!(row["received_ns"], frame.received_at.ns().to_string());
        let bytes = jpeg(&take(), &view.camera.name, frame.seq).len();
        assert!(row["bytes"].parse::<usize>().expect("bytes") >= bytes);
    }

    let results = table("results");
    assert_eq!(results.len(), recorded.rows.len());
    let mut seen = 0;
    let views = table("views");
    for (row, record) in results.iter().zip(&recorded.rows) {
        let whole = |column: &str| row[column].parse::<u64>().ok();
        assert_eq!((whole("set"), whole("person")), (record["set"].as_u64(), record["person"].as_u64()));
        assert_eq!(Some(&*row["expression"]), record["expression"].as_str());
        for column in ["confidence", "skew_ms", "wait_ms", "latency_ms", "age_ms"] {
            assert_eq!(real(row, column), record[column].as_f64(), "{column}");
        }
        assert_eq!(real(row, "sad"), record["probabilities"]["sad"].as_f64());
        for camera in CAMERAS {
            assert_eq!(whole(&format!("{camera}_seq")), record["frames"][camera].as_u64());
            let views = record["views"].as_array().expect("views");
            let view = views.iter().find(|view| view["camera"] == camera).unwrap_or(&Value::Null);
            assert_eq!(real(row, &format!("{camera}_h")), view["box"][3].as_f64());
            assert_eq!(real(row, &format!("{camera}_weight")), view["weight"].as_f64());
        }
        for view in record["views"].as_array().expect("views") {
            let row = &views[seen];
            assert_eq!(Some(&*row["camera"]), view["camera"].as_str());
            assert_eq!(real(row, "left_mouth_y"), view["landmarks"][4][1].as_f64());
            assert_eq!(real(row, "neutral"), view["probabilities"]["neutral"].as_f64());
            assert_eq!(real(row, "yaw_deg"), view["yaw_deg"].as_f64());
            seen += 1;
        }
    }
    assert!(seen > 200 && seen == views.len());

    let sets = table("sets");
    assert_eq!(sets.len(), taken.sets.len());
    for (row, set) in sets.iter().zip(&taken.sets) {
        assert_eq!((&*row["set"], &*row["analysed"]), (&*set.number.to_string(), "true"));
        assert_eq!(row["cam2_seq"], set.seqs[2].map_or(String::new(), |seq| seq.to_string()));
        let of_set = frames.iter().filter(|frame| frame["set"] == row["set"]);
        assert_eq!(of_set.count(), set.seqs.iter().flatten().count());
    }
    // Beside the tables a folder for other tools.
    let files = fs::read_dir(&folder).expect("a folder").count() - 1 + 2 + CAMERAS.len();
    assert!(said.contains(&format!("{files} files")), "{said}");

    let (columns, _) = recorded.export("parquet", &[]);
    for name in ["frames", "sets", "results", "views"] {
        let path = columns.join(format!("{name}.parquet"));
        assert!(parquet_rows(&path) == table(name), "{name} differs");
        let Some(python) = std::env::var_os("VULTUS_READERS") else {
            println!("left out: pyarrow on {name}.parquet (VULTUS_READERS)");
            continue;
        };
        let script =
            "import sys, pyarrow.parquet as p; t = p.read_table(sys.argv[1]); print(t.num_rows, *t.column_names)";
        let output = Command::new(python).args(["-c", script]).arg(&path).output().expect("Python runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let expected =
            format!("{} {}", table(name).len(), header(&folder.join(format!("{name}.csv"))).replace(',', " "));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected);
    }
}

#[test]
fn other_tools_find_the_times_in_their_own_layouts() {
    let recorded = Recorded::bundled();
    let (folder, _) = recorded.export("csv", &[]);
    let taken = recorded.taken();
    let frames: usize = taken.views.iter().map(|view| view.frames.len()).sum();
    let seconds = |row: &BTreeMap<String, String>, column: &str| row[column].parse::<f64>().expect("seconds");

    let of_caliscope = folder.join("timestamps/caliscope");
    let times = csv_rows(&of_caliscope.join("timestamps.csv"));
    assert!(header(&of_caliscope.join("timestamps.csv")).starts_with("cam_id,frame_time,"));
    assert_eq!(times.len(), frames, "caliscope counts the frames of a video by the rows");
    let of_cam2: Vec<f64> =
        times.iter().filter(|row| row["cam_id"] == "2").map(|row| seconds(row, "frame_time")).collect();
    for (frame, seconds) in taken.views[2].frames.iter().zip(&of_cam2) {
        assert!((frame.captured_at.ns() as f64 / 1e9 - seconds).abs() < 1e-9);
    }

    let history = of_caliscope.join("frame_time_history.csv");
    assert!(header(&history).starts_with("sync_index,port,frame_index,frame_time,"));
    let in_sets: usize = taken.sets.iter().map(|set| set.seqs.iter().flatten().count()).sum();
    let history = csv_rows(&history);
    assert_eq!(history.len(), in_sets);
    for row in &history {
        let port: usize = row["port"].parse().expect("a port");
        let frame = taken.views[port].frames[row["frame_index"].parse::<usize>().expect("a frame")];
        let set = &taken.sets[row["sync_index"].parse::<usize>().expect("a set")];
        assert_eq!(set.seqs[port], Some(frame.seq));
    }

    let own = csv_rows(&folder.join("timestamps/skellycam/run.cameracam1.timestamps.csv"));
    assert_eq!(own.len(), taken.views[1].frames.len());
    assert_eq!(own[3]["timestamp.perf_counter_ns.ns"], taken.views[1].frames[3].captured_at.ns().to_string());
    assert!((0.1..0.2).contains(&seconds(&own[4], "timestamp.from_recording_start.sec")));

    let refused = vultus().args(["replay", "--headless"]).arg(&folder).assert().code(3);
    let said = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    assert!(said.contains("has no cameras"), "tables are no pictures: {said}");
}

#[test]
fn the_reader_of_videos_in_these_tests_reads_the_lengths_that_it_should() {
    // An element of a three-byte length, as other muxers write them.
    assert_eq!(matroska::element(&[0xEC, 0x20, 0, 2, 7, 8, 9]), (0xEC, &[7, 8][..], &[9][..]));
}
