//! Recordings of real runs, read back.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, also outside the test functions"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use mcap::read::Options;
use support::recording::{Message, Run, messages, metadata, recorder};
use support::{take, until};
use vultus::config::Record;
use vultus::pipeline::PipelineError;
use vultus::record::{About, RecordError, Recorder, State};

/// What the take holds of a camera, as a recording should: in the order of arrival.
fn true_frames(camera: &str) -> Vec<Message> {
    let folder = take().join(camera);
    let text = fs::read_to_string(folder.join("timestamps.csv")).expect("times");
    let mut frames: Vec<Message> = text
        .lines()
        .skip(1)
        .map(|row| {
            let [seq, captured, received] = row.split(',').collect::<Vec<_>>()[..] else { panic!("three columns") };
            let bytes = fs::read(folder.join(format!("{:0>6}.jpg", seq))).expect("a picture");
            let number = |text: &str| text.parse::<u64>().expect("a number");
            (format!("/camera/{camera}/image"), number(seq) as u32, number(received), number(captured), bytes)
        })
        .collect();
    frames.sort_by_key(|frame| frame.2);
    frames
}

fn of_topic(messages: &[Message], topic: &str) -> Vec<Message> {
    messages.iter().filter(|message| message.0 == topic).cloned().collect()
}

const CAMERAS: [&str; 4] = ["cam0", "cam1", "cam2", "cam3"];

#[test]
fn a_recording_holds_every_frame_and_every_record_as_they_were() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run::of(&take(), &folder.path().join("made/when needed"));
    let recorder = run.recorder.clone();
    let file = recorder.start().expect("starts");
    let mut results = Vec::new();
    run.fast(|_, lines| results.extend_from_slice(lines)).expect("runs");
    let status = recorder.status();
    assert_eq!((status.state, status.dropped, &status.file), (State::Off, 0, &Some(file.clone())));

    let bytes = fs::read(&file).expect("the recording");
    assert_eq!(status.bytes, bytes.len() as u64);
    let messages = messages(&bytes);
    for camera in CAMERAS {
        let recorded = of_topic(&messages, &format!("/camera/{camera}/image"));
        let expected = true_frames(camera);
        assert!(!expected.is_empty() && recorded == expected, "{camera}: {} frames", recorded.len());
    }
    let recorded: Vec<u8> =
        of_topic(&messages, "/expressions").iter().flat_map(|record| [&record.4[..], b"\n"].concat()).collect();
    assert!(results.len() > 10_000);
    assert_eq!(String::from_utf8(recorded), String::from_utf8(results));
    assert!(of_topic(&messages, "/gaps").is_empty());

    let summary = mcap::Summary::read(&bytes).expect("an index").expect("a summary");
    assert_eq!(summary.stats.expect("statistics").message_count, messages.len() as u64);
    let cam0 = summary.channels.values().find(|channel| channel.topic == "/camera/cam0/image").expect("a channel");
    assert_eq!(cam0.schema.as_ref().map(|schema| &*schema.name), Some("foxglove.CompressedImage"));
    assert_eq!((&*cam0.metadata["pictures"], &*cam0.metadata["time_offset_ms"]), ("as the camera sent them", "1.5"));
    let metadata = metadata(&bytes);
    let about = &metadata["vultus"];
    assert_eq!((&*about["vultus"], &*about["models"], &*about["layout"]), ("0.1.0", "{\"a\":\"b\"}", "1"));
    assert!(about["started_utc"].ends_with('Z') && metadata["vultus.end"]["dropped"] == "0", "{metadata:?}");
}

#[test]
fn recordings_start_and_stop_while_the_run_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run::of(&take(), folder.path());
    let recorder = run.recorder.clone();
    let mut files: Vec<PathBuf> = Vec::new();
    let mut begun = 0;
    // At half its pace, and with something on the disk before a stop: so both fit in on a busy machine too.
    run.paced(0.5, |set, _| match set {
        2 | 10 => {
            files.push(recorder.start().expect("starts"));
            begun = recorder.status().bytes;
            assert!(matches!(recorder.start(), Err(RecordError::AlreadyOn)));
        }
        7 | 15 => {
            until("frames are on the disk", || recorder.status().bytes > begun);
            let status = recorder.stop().expect("stops");
            assert_eq!((status.state, status.error), (State::Off, None));
            assert!(matches!(recorder.stop(), Err(RecordError::NotOn)));
        }
        _ => {}
    })
    .expect("runs");
    assert!(matches!(recorder.start(), Err(RecordError::RunEnded)));
    let [first, second] = &files[..] else { panic!("{} files", files.len()) };
    assert_ne!(first, second);
    let times = [first, second].map(|file| {
        let bytes = fs::read(file).expect("a recording");
        assert!(mcap::Summary::read(&bytes).expect("an index").is_some());
        let all = messages(&bytes);
        assert!((1..=5).contains(&of_topic(&all, "/expressions").len()));
        for camera in CAMERAS {
            let topic = format!("/camera/{camera}/image");
            let (recorded, expected) = (of_topic(&all, &topic), true_frames(camera));
            let from = expected.iter().position(|frame| Some(frame) == recorded.first()).expect("a frame of the take");
            assert_eq!(recorded, expected[from..from + recorded.len()], "{camera}: without a gap");
        }
        let frames: Vec<u64> = all.iter().filter(|m| m.0.ends_with("/image")).map(|m| m.2).collect();
        (frames.iter().min().copied(), frames.iter().max().copied())
    });
    assert!(times[0].1 < times[1].0, "the second begins after the first: {times:?}");
}

#[test]
fn a_recording_that_cannot_be_made_is_refused_at_once_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a file");
    fs::write(&file, "").expect("written");
    let unwritable = recorder(&file.join("takes"), &[]);
    for _ in 0..2 {
        let message = unwritable.start().expect_err("a file is no folder").to_string();
        assert!(message.contains("a file/takes") && message.contains("record.folder"), "{message}");
        assert_eq!(unwritable.status().state, State::Off);
    }
    let settings = Record { folder: folder.path().to_owned(), keep_free_mb: u64::MAX, ..Record::default() };
    let message = Recorder::new(settings, About::default()).start().expect_err("no disk is as large").to_string();
    assert!(message.contains("nearly full") && message.contains("record.keep_free_mb"), "{message}");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left behind");
}

#[test]
fn a_recording_whose_writer_is_gone_keeps_its_whole_chunks() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run::of(&take(), folder.path());
    let recorder = run.recorder.clone();
    let file = recorder.start().expect("starts");
    // What is on the disk while the recording goes on is what would be left of it.
    let mut left = Vec::new();
    run.at_its_own_pace(|set, _| {
        if set % 10 == 9 {
            left.push(fs::read(&file).expect("the file is there"));
        }
    })
    .expect("runs");
    let whole = fs::read(&file).expect("the recording");
    let all = messages(&whole);
    let most = left.iter().map(|rest| messages(rest).len()).max().expect("a look at the file");
    assert!(most > all.len() / 2, "{most} of {}", all.len());
    left.extend([whole.len() / 3, whole.len() / 2, whole.len() - 10].map(|end| whole[..end].to_vec()));
    for rest in left {
        let kept = messages(&rest);
        assert_eq!(kept, all[..kept.len()], "{} bytes are left", rest.len());
    }
}

/// A disk that is full takes part of a chunk and then refuses: as does a shell's limit of the size of files, in which
/// this test runs itself again.
#[cfg(unix)]
#[test]
fn a_disk_that_becomes_full_ends_the_recording_and_leaves_whole_chunks() {
    const FOLDER: &str = "VULTUS_TEST_TAKES";
    if let Some(folder) = std::env::var_os(FOLDER) {
        let run = Run::of(&take(), Path::new(&folder));
        let recorder = run.recorder.clone();
        recorder.start().expect("starts");
        run.at_its_own_pace(|_, _| ()).expect("the run goes on to its end");
        let status = recorder.status();
        assert_eq!(status.state, State::Failed);
        assert!(status.error.as_ref().is_some_and(|error| error.contains("cannot be written")), "{status:?}");
        assert_eq!(status.bytes, fs::metadata(status.file.expect("a file")).expect("the file").len());
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let limited = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 4000; exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(std::env::current_exe().expect("this program"))
        .arg("a_disk_that_becomes_full_ends_the_recording_and_leaves_whole_chunks")
        .env(FOLDER, folder.path())
        .output()
        .expect("a shell");
    assert!(limited.status.success(), "{}", String::from_utf8_lossy(&limited.stderr));
    let file = fs::read_dir(folder.path()).expect("a folder").next().expect("a recording").expect("its name").path();
    let bytes = fs::read(file).expect("the recording");
    // Without its last magic bytes, for there is no index, the file ends with a whole record.
    let records = mcap::read::LinearReader::new_with_options(&bytes, Options::IgnoreEndMagic.into());
    let broken = records.expect("an MCAP file").find_map(Result::err);
    assert!(bytes.len() > 1000 && broken.is_none(), "{} bytes: {broken:?}", bytes.len());
}

#[test]
fn a_panic_elsewhere_leaves_a_complete_recording() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run::of(&take(), folder.path());
    let recorder = run.recorder.clone();
    let file = recorder.start().expect("starts");
    let outcome = run.at_its_own_pace(|set, _| assert!(set < 5, "the reader gave up"));
    assert!(matches!(outcome, Err(PipelineError::Panicked { .. })), "{outcome:?}");
    assert_eq!(recorder.status().state, State::Off);
    let bytes = fs::read(file).expect("the recording");
    assert!(mcap::Summary::read(&bytes).expect("an index").is_some());
    assert!(of_topic(&messages(&bytes), "/expressions").len() >= 5);
}

#[test]
fn pictures_that_are_no_jpeg_are_encoded_once_and_the_channel_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let camera = folder.path().join("take/left");
    fs::create_dir_all(&camera).expect("made");
    fs::write(camera.join("timestamps.csv"), "seq,captured_ns,received_ns\n7,1000,2000\n8,33001000,33002000\n")
        .expect("written");
    let gray = [b"P5 64 48 255\n".to_vec(), vec![90; 64 * 48]].concat();
    for name in ["000007.pgm", "000008.pgm"] {
        fs::write(camera.join(name), &gray).expect("written");
    }
    let run = Run::of(&folder.path().join("take"), folder.path());
    let file = run.recorder.start().expect("starts");
    run.fast(|_, _| ()).expect("runs");
    let bytes = fs::read(file).expect("the recording");
    let frames = of_topic(&messages(&bytes), "/camera/left/image");
    assert_eq!(
        frames.iter().map(|frame| (frame.1, frame.2, frame.3)).collect::<Vec<_>>(),
        [(7, 2000, 1000), (8, 33_002_000, 33_001_000)]
    );
    assert!(frames.iter().all(|frame| frame.4.starts_with(&[0xff, 0xd8])));
    let summary = mcap::Summary::read(&bytes).expect("an index").expect("a summary");
    let channel = summary.channels.values().find(|channel| channel.topic.ends_with("/image")).expect("a channel");
    assert_eq!(channel.metadata["format"], "GRAY");
    assert!(channel.metadata["pictures"].contains("quality 95"), "{:?}", channel.metadata);
}
