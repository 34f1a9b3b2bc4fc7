//! Takes that are cut off, damaged, strange or full of odd times: what is there is read, the rest is named.

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

use mcap::records::op;
use serde_json::Value;
use support::recording::messages;
use support::takes::{Dice, record};
use support::{parse, take, vultus, without_times};
use vultus::record::{Take, TakeFile, repair};
use vultus::survey::Survey;

/// Takes into which one byte is put that is wrong.
const FLIPS: usize = 300;

/// Runs `vultus ARGS`, which must end with `code`; what it said on standard output and standard error.
fn run(args: &[&str], code: i32) -> (String, String) {
    let output = vultus().args(args).assert().code(code);
    let [out, said] = [&output.get_output().stdout, &output.get_output().stderr]
        .map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(!said.contains("panicked"), "{said}");
    (out, said)
}

fn fast<'a>(take: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["replay", "--as-fast-as-possible", "--headless", "--results", "/dev/null", take], more].concat()
}

fn assert_names(said: &str, things: &[&str]) {
    for thing in things {
        assert!(said.contains(thing), "`{thing}` is not named in: {said}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is UTF-8")
}

/// All that the library can do with a take; nothing of it may panic. The frames that were read, or why none were.
fn use_all(file: &Path) -> Result<Vec<Vec<u64>>, String> {
    let take = Take::open(file).map_err(|error| error.to_string())?;
    let mut pictures = TakeFile::open(file).expect("it was opened before");
    for frame in take.views.iter().flat_map(|view| &view.frames) {
        let _ = frame.picture.map(|place| pictures.picture(place));
    }
    let _ = Survey::of_take(&take).map(|survey| serde_json::to_string(&survey).expect("JSON"));
    Ok(take.views.iter().map(|view| view.frames.iter().map(|frame| frame.seq).collect()).collect())
}

/// Where each kind of record stands in the file: the first and the last of it, inside chunks too.
fn records(bytes: &[u8]) -> BTreeMap<u8, Vec<(usize, usize)>> {
    let mut found: BTreeMap<u8, Vec<(usize, usize)>> = BTreeMap::new();
    let mut at = mcap::MAGIC.len();
    while let Some(head) = bytes.get(at..at + 9) {
        let length = u64::from_le_bytes(head[1..].try_into().expect("eight bytes")) as usize;
        let places = found.entry(head[0]).or_default();
        places.push((at, 9 + length));
        if places.len() > 2 {
            places.remove(1);
        }
        // Uncompressed, a chunk's records follow its header of 40 bytes.
        at += 9 + if head[0] == op::CHUNK { 40 } else { length };
        if head[0] == op::FOOTER {
            break;
        }
    }
    found
}

#[test]
fn a_take_is_read_as_far_as_it_is_there_wherever_it_is_cut_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = record(folder.path(), &["--to", "1"]);
    let bytes = fs::read(&whole).expect("read");
    let frames = use_all(&whole).expect("it is whole");
    let kinds = records(&bytes);
    for kind in [op::HEADER, op::SCHEMA, op::CHANNEL, op::MESSAGE, op::CHUNK, op::METADATA, op::CHUNK_INDEX, op::FOOTER]
    {
        assert!(kinds.contains_key(&kind), "there is a record of kind {kind}");
    }
    let mut ends: Vec<usize> = (0..=mcap::MAGIC.len()).collect();
    for (at, length) in kinds.into_values().flatten() {
        ends.extend([0, 1, 5, 9, 12, 20, 31, 40, length / 2, length - 1].map(|into| at + into.min(length)));
    }
    ends.extend([9, 8, 4, 1].map(|before| bytes.len() - before));
    ends.sort_unstable();
    ends.dedup();
    println!("{} places of {}", ends.len(), bytes.len());
    let (cut, repaired) = (folder.path().join("cut.mcap"), folder.path().join("repaired.mcap"));
    let mut last = 0;
    for end in ends {
        fs::write(&cut, &bytes[..end]).expect("written");
        let kept = match use_all(&cut) {
            Ok(kept) => kept,
            Err(said) => {
                assert!(last == 0 && (said.contains("no take") || said.contains("breaks off")), "{end}: {said}");
                assert!(repair(&cut, Some(&repaired), |_, _| true).is_err() && !repaired.exists());
                continue;
            }
        };
        assert!(kept.iter().zip(&frames).all(|(kept, all)| all.starts_with(kept)), "{end}: {kept:?}");
        let count = kept.iter().map(Vec::len).sum();
        assert!(count >= last, "{end}: with more of the file there are fewer frames");
        last = count;
        repair(&cut, Some(&repaired), |_, _| true).expect("repairs").expect("it is cut off");
        assert_eq!(use_all(&repaired).as_ref(), Ok(&kept), "{end}");
        let [before, after] = [&cut, &repaired].map(|file| messages(&fs::read(file).expect("read")));
        assert!(after.starts_with(&before), "{end}");
        fs::remove_file(&repaired).expect("removed");
    }
    assert_eq!(last, frames.iter().map(Vec::len).sum::<usize>());
}

#[test]
fn the_program_says_that_a_take_is_cut_off_and_how_to_mend_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = record(folder.path(), &["--to", "1"]);
    let bytes = fs::read(&file).expect("read");
    for (end, code) in [(bytes.len() * 2 / 3, 0), (bytes.len() - 8, 0), (30, 1), (4, 1)] {
        fs::write(&file, &bytes[..end]).expect("written");
        let (_, said) = run(&fast(text(&file), &[]), code);
        let (out, why) = run(&["info", text(&file)], code);
        if code == 0 {
            assert_names(&said, &["take.mcap was never closed", "--repair"]);
            assert_names(&out, &["BREAKS OFF", "take.mcap --repair"]);
        } else {
            assert_names(&said, &["take.mcap"]);
            assert_names(&why, &["take.mcap"]);
        }
    }
}

#[test]
fn no_wrong_byte_makes_it_panic() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = record(folder.path(), &["--to", "0.4"]);
    let mut bytes = fs::read(&file).expect("read");
    // Most of the file is pictures, so what is not is damaged more often than its share.
    let notes: Vec<(usize, usize)> = records(&bytes).into_values().flatten().collect();
    let mut dice = Dice::new();
    let repaired = folder.path().join("repaired.mcap");
    let mut read = 0;
    for n in 0..FLIPS {
        let at = if n % 3 == 0 {
            dice.below(bytes.len() as u64) as usize
        } else {
            let (at, length) = notes[dice.below(notes.len() as u64) as usize];
            at + dice.below(length.min(60) as u64) as usize
        };
        let was = bytes[at];
        bytes[at] ^= 1 << dice.below(8);
        fs::write(&file, &bytes).expect("written");
        bytes[at] = was;
        match use_all(&file) {
            Ok(_) => read += 1,
            Err(said) => assert_names(&said, &["take.mcap"]),
        }
        let _ = repair(&file, Some(&repaired), |_, _| true);
        let _ = fs::remove_file(&repaired);
    }
    println!("{read} of {FLIPS} could be read");
    assert!(read > FLIPS / 3, "one wrong byte seldom spoils a take: {read} of {FLIPS}");
}

/// Puts `other` in the place of `what`, which is as long, wherever it is.
fn replace(file: &Path, what: &[u8], other: &[u8]) {
    assert_eq!(what.len(), other.len());
    let mut bytes = fs::read(file).expect("read");
    let places: Vec<usize> = (0..bytes.len() - what.len()).filter(|&at| bytes[at..].starts_with(what)).collect();
    assert!(!places.is_empty(), "it is in the file");
    places.into_iter().for_each(|at| bytes[at..at + other.len()].copy_from_slice(other));
    fs::write(file, bytes).expect("written");
}

#[test]
fn what_is_no_take_of_ours_is_named_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, content: &[u8]| {
        let file = folder.path().join(name);
        fs::write(&file, content).expect("written");
        file
    };
    let mut others = mcap::Writer::new(std::io::Cursor::new(Vec::new())).expect("a writer");
    let channel = others.add_channel(0, "/odometry", "json", &BTreeMap::new()).expect("a channel");
    let header = mcap::records::MessageHeader { channel_id: channel, sequence: 0, log_time: 1, publish_time: 1 };
    others.write_to_known_channel(&header, b"{}").expect("written");
    others.finish().expect("finished");
    // A chunk of 64 bytes: times, size, checksum, then the name of its compression.
    let mut compressed = [mcap::MAGIC, &[op::CHUNK], &64_u64.to_le_bytes(), &[0; 28], &4_u32.to_le_bytes()].concat();
    compressed.extend_from_slice(b"zstd");
    compressed.extend_from_slice(&[0; 28]);
    let newer = record(folder.path(), &["--to", "0.2"]);
    replace(&newer, b"layout\x01\0\0\x001", b"layout\x01\0\0\x009");
    let cases = [
        (file("empty.mcap", b""), "does not begin as an MCAP file"),
        (file("letter.mcap", b"Dear take,\n"), "does not begin as an MCAP file"),
        (file("others.mcap", &others.into_inner().into_inner()), "no take of vultus"),
        (file("compressed.mcap", &compressed), "mcap decompress"),
        (newer, "update vultus"),
    ];
    for (file, reason) in &cases {
        for args in [&fast(text(file), &[])[..], &["info", text(file)]] {
            assert_names(&run(args, 1).1, &[text(file), reason]);
        }
        let message = repair(file, None, |_, _| true).expect_err("it is no take").to_string();
        assert_names(&message, &[text(file), reason]);
    }
    let a_folder = folder.path().join("folder.mcap");
    fs::create_dir(&a_folder).expect("made");
    assert_names(&run(&["info", text(&a_folder)], 3).1, &["folder.mcap", "rig.json"]);
    assert!(repair(&a_folder, None, |_, _| true).is_err());
}

#[test]
fn a_take_that_names_a_camera_of_which_it_says_nothing_is_read_without_it_and_that_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = record(folder.path(), &["--to", "0.5"]);
    replace(&file, br#""name":"cam3""#, br#""name":"camX""#);
    let (_, said) = run(&fast(text(&file), &[]), 0);
    assert_names(&said, &["take.mcap is damaged", "sets or gaps in it cannot be read", "camera `camX` has no frame"]);
    assert_names(&run(&["info", text(&file)], 0).0, &["sets or gaps cannot be read"]);
}

/// Where the messages of the topic that ends so stand in the file.
fn messages_of(bytes: &[u8], topic: &str) -> Vec<usize> {
    let (mut at, mut found, mut channels) = (mcap::MAGIC.len(), Vec::new(), Vec::new());
    loop {
        let (code, head) = (bytes[at], &bytes[at + 1..at + 9]);
        let length = u64::from_le_bytes(head.try_into().expect("eight bytes")) as usize;
        let body = &bytes[at + 9..at + 9 + length];
        match code {
            op::CHANNEL => {
                if let Ok(mcap::records::Record::Channel(channel)) = mcap::parse_record(code, body)
                    && channel.topic.ends_with(topic)
                {
                    channels.push(channel.id);
                }
            }
            op::MESSAGE if channels.contains(&u16::from_le_bytes([body[0], body[1]])) => found.push(at),
            op::DATA_END => return found,
            _ => {}
        }
        at += 9 + if code == op::CHUNK { 40 } else { length };
    }
}

/// Alters the bytes of a file.
fn with_bytes(file: &Path, alter: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).expect("read");
    alter(&mut bytes);
    fs::write(file, bytes).expect("written");
}

#[test]
fn damage_in_the_middle_costs_no_more_than_its_chunk() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = record(folder.path(), &[]);
    let whole = use_all(&file).expect("it is whole");
    let bytes = fs::read(&file).expect("read");
    let images = messages_of(&bytes, "/image");
    // The length of a message, in the middle and in the first chunk, in which the channels are too.
    for at in [images[images.len() / 2], images[2]] {
        with_bytes(&file, |bytes| {
            bytes[at + 3] ^= 0x55;
            bytes[at + 7] ^= 0x55;
        });
        let left = use_all(&file).expect("the rest is read");
        let count = |frames: &[Vec<u64>]| frames.iter().map(Vec::len).sum::<usize>();
        let damage = Take::open(&file).expect("a take").damage.expect("it is damaged");
        assert_eq!((damage.at_byte, damage.places), (at as u64, 1), "{damage:?}");
        assert_eq!(count(&whole) - count(&left), damage.frames as usize, "each lost frame is counted");
        assert!(damage.frames > 0 && damage.bytes < 2 << 20, "no more than a chunk: {damage:?}");
        assert!(left.iter().zip(&whole).all(|(left, all)| left.last() == all.last()), "it is read to the end");
        let (_, said) = run(&fast(text(&file), &[]), 0);
        assert_names(&said, &[&format!("damaged at byte {at} ("), "frames", "--repair"]);
        assert!(!said.contains("never closed"), "{said}");
        assert_names(&run(&["info", text(&file)], 0).0, &["DAMAGED", "--repair"]);
        let repaired = folder.path().join("repaired.mcap");
        repair(&file, Some(&repaired), |_, _| true).expect("repairs").expect("it is damaged");
        assert_eq!(use_all(&repaired), Ok(left));
        assert!(Take::open(&repaired).expect("a take").is_whole());
        fs::remove_file(&repaired).expect("removed");
        fs::write(&file, &bytes).expect("as it was");
    }
}

#[test]
fn a_wrong_checksum_of_a_chunk_costs_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = record(folder.path(), &["--to", "0.5"]);
    let whole = use_all(&file);
    let chunk = records(&fs::read(&file).expect("read"))[&op::CHUNK][1].0;
    with_bytes(&file, |bytes| bytes[chunk + 9 + 24] ^= 0xff);
    assert_eq!(use_all(&file), whole);
}

#[test]
fn frames_with_times_that_cannot_be_are_left_out_and_a_replay_does_not_wait_for_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = record(folder.path(), &["--to", "1"]);
    let bytes = fs::read(&file).expect("read");
    let images = messages_of(&bytes, "/image");
    let all: usize = use_all(&file).expect("it is whole").iter().map(Vec::len).sum();
    let second = 1_000_000_000_i64;
    for which in [0, images.len() / 2, images.len() - 1] {
        for by in [1_000_000_000 * second, -1_000_000_000 * second, i64::MAX] {
            let place = images[which] + 9 + 6..images[which] + 9 + 14;
            with_bytes(&file, |bytes| {
                let time = u64::from_le_bytes(bytes[place.clone()].try_into().expect("eight bytes"));
                bytes[place].copy_from_slice(&time.wrapping_add_signed(by).to_le_bytes());
            });
            let take = Take::open(&file).expect("a take");
            let left: usize = take.views.iter().map(|view| view.frames.len()).sum();
            assert_eq!((left, take.damage.map(|damage| damage.frames)), (all - 1, Some(1)), "{which} by {by}");
            assert!(take.duration().as_secs() < 2, "{:?}", take.duration());
            fs::write(&file, &bytes).expect("as it was");
        }
    }
}

#[test]
fn a_recording_whose_clock_is_set_back_is_played_in_the_order_in_which_it_was_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = record(folder.path(), &["--to", "1"]);
    let before = Take::open(&file).expect("a take");
    let frames = use_all(&file);
    with_bytes(&file, |bytes| {
        let images = messages_of(bytes, "/image");
        for at in &images[images.len() / 2..] {
            let place = at + 9 + 6..at + 9 + 14;
            let time = u64::from_le_bytes(bytes[place.clone()].try_into().expect("eight bytes"));
            bytes[place].copy_from_slice(&(time - FIVE_SECONDS as u64).to_le_bytes());
        }
    });
    let take = Take::open(&file).expect("a take");
    assert_eq!(use_all(&file), frames, "all frames, in the same order");
    assert!(take.views.iter().all(|view| view.clock_resets == 1 && view.wild_frames == 0));
    assert!(take.duration().abs_diff(before.duration()).as_millis() < 50, "{:?}", take.duration());
    assert_names(&run(&fast(text(&file), &[]), 0).1, &["its clock went back 1 times", "in which they were recorded"]);
}

#[test]
fn a_damaged_rig_is_refused_unless_another_one_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let rig = folder.path().join("rig.toml");
    let camera = |name: &str| {
        format!(
            "[{name}]\nname = \"{name}\"\nsize = [640, 360]\nmatrix = [[500.0, 0.0, 320.0], [0.0, 500.0, 180.0], [0.0, 0.0, 1.0]]\n\
             distortions = [0.0, 0.0, 0.0, 0.0, 0.0]\nrotation = [0.0, 0.0, 0.0]\ntranslation = [0.0, 0.0, 0.0]\n"
        )
    };
    fs::write(&rig, ["cam0", "cam1", "cam2", "cam3"].map(camera).concat()).expect("written");
    let file = record(folder.path(), &["--to", "0.3", "--rig", text(&rig)]);
    run(&fast(text(&file), &[]), 0);
    replace(&file, b"distortions = [", b"distortions = (");
    assert_names(&run(&fast(text(&file), &[]), 1).1, &["take.mcap", "distortions", "--rig FILE"]);
    assert_names(&run(&fast(text(&file), &["--rig", text(&rig)]), 0).1, &["take.mcap", "the one that you named"]);
    run(&["info", text(&file)], 0);
}

#[test]
fn two_cameras_of_the_same_name_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = record(folder.path(), &["--to", "0.3"]);
    replace(&file, br#""name":"cam3""#, br#""name":"cam2""#);
    for args in [&fast(text(&file), &[])[..], &["info", text(&file)]] {
        assert_names(&run(args, 1).1, &["take.mcap", "two of its cameras have the same name"]);
    }
}

#[test]
fn a_chunk_whose_header_is_cut_off_breaks_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = record(folder.path(), &["--to", "0.3"]);
    let bytes = fs::read(&file).expect("read");
    let (chunk, _) = records(&bytes)[&op::CHUNK][1];
    let mut cut = bytes[..chunk + 9 + 40].to_vec();
    // A compression of which the name is not there.
    cut[chunk + 9 + 28] = 12;
    for end in [chunk + 9 + 32, chunk + 9 + 40] {
        fs::write(&file, &cut[..end]).expect("written");
        assert!(Take::open(&file).expect("as far as it is there").breaks_off.is_some(), "{end}");
    }
}

#[test]
fn no_more_than_a_megabyte_is_read_of_a_note() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = record(folder.path(), &["--to", "0.3"]);
    let long = folder.path().join("long.mcap");
    let made = fs::File::create(&long).expect("made");
    let mut writer = mcap::WriteOptions::new().compression(None).create(made).expect("a writer");
    let beginning = Take::open(&file).expect("a take").metadata;
    writer
        .write_metadata(&mcap::records::Metadata { name: "vultus".to_owned(), metadata: beginning })
        .expect("written");
    let channel = writer.add_channel(0, "/expressions", "json", &BTreeMap::new()).expect("a channel");
    let header = mcap::records::MessageHeader { channel_id: channel, sequence: 0, log_time: 1, publish_time: 1 };
    writer.write_to_known_channel(&header, &vec![b' '; 2 << 20]).expect("written");
    writer.finish().expect("finished");
    let take = Take::open(&long).expect("a take");
    assert_eq!((take.damaged_notes, take.records.len()), (1, 0));
}

#[cfg(unix)]
#[test]
fn a_pipe_is_no_take() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe.mcap");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    for args in [&fast(text(&pipe), &[])[..], &["info", text(&pipe)], &["export", "--repair", text(&pipe)]] {
        assert_names(&run(args, 1).1, &["pipe.mcap is no file but a pipe or a device"]);
    }
}

/// The bundled take, of which one camera's rows (number, capture, arrival) are others.
fn altered(folder: &Path, camera: &str, alter: impl Fn([i64; 3]) -> Option<[i64; 3]>) -> PathBuf {
    let copy = folder.join("altered");
    for name in ["cam0", "cam1", "cam2", "cam3"] {
        fs::create_dir_all(copy.join(name)).expect("made");
        for entry in fs::read_dir(take().join(name)).expect("a camera") {
            let entry = entry.expect("a file");
            fs::copy(entry.path(), copy.join(name).join(entry.file_name())).expect("copied");
        }
    }
    fs::copy(take().join("rig.json"), copy.join("rig.json")).expect("copied");
    let times = copy.join(camera).join("timestamps.csv");
    let mut rows = vec!["seq,captured_ns,received_ns".to_owned()];
    for row in fs::read_to_string(&times).expect("read").lines().skip(1) {
        let numbers: Vec<i64> = row.split(',').map(|number| number.trim().parse().expect("a number")).collect();
        let row = alter(numbers.try_into().expect("three columns"));
        rows.extend(row.map(|[seq, captured, received]| format!("{seq},{captured},{received}")));
    }
    fs::write(times, rows.join("\n") + "\n").expect("written");
    copy
}

/// Records a folder, replays what was recorded, and gives what `vultus info` tells of both.
fn there_and_back(folder: &Path, altered: &Path) -> [Value; 2] {
    let file = folder.join("there.mcap");
    let results = ["a", "b"].map(|name| folder.join(name));
    let replay = |take: &Path, results: &Path, more: &[&str]| {
        let args = ["replay", "--as-fast-as-possible", "--headless", "--results", text(results), text(take)];
        run(&[&args[..], more].concat(), 0);
        without_times(parse(&fs::read_to_string(results).expect("results")))
    };
    let first = replay(altered, &results[0], &["--record", text(&file)]);
    let second = replay(&file, &results[1], &[]);
    assert!(!first.is_empty() && first == second, "the take gives the results of the folder");
    [altered, &file].map(|take| {
        assert!(run(&["info", text(take)], 0).0.lines().count() > 20);
        serde_json::from_str(&run(&["info", "--json", text(take)], 0).0).expect("JSON")
    })
}

const FIVE_SECONDS: i64 = 5_000_000_000;

#[test]
fn a_camera_whose_clock_jumps_is_recorded_replayed_and_told_of() {
    for (captured_by, received_by) in [(-FIVE_SECONDS, 0), (FIVE_SECONDS, 0), (0, -FIVE_SECONDS), (0, FIVE_SECONDS)] {
        let folder = tempfile::tempdir().expect("a folder");
        let jump = |[seq, captured, received]: [i64; 3]| {
            let by = if seq >= 85 { (captured_by, received_by) } else { (0, 0) };
            Some([seq, captured + by.0, received + by.1])
        };
        let altered = altered(folder.path(), "cam1", jump);
        let told = there_and_back(folder.path(), &altered);
        assert_eq!(told[0]["cameras"][1]["frames"], told[1]["cameras"][1]["frames"]);
        for told in told {
            let camera = &told["cameras"][1];
            let back = camera["clock_back"].as_u64().expect("a number");
            // Arrivals that are set back come first: then the older exposures are behind the younger ones.
            assert_eq!(back, u64::from(captured_by < 0 || received_by < 0), "{captured_by} {received_by}");
            let longest = camera["interval_ms"]["max"].as_f64().expect("a number");
            assert_eq!(longest > 4_000.0, captured_by > 0, "{longest} ms");
        }
    }
}

#[test]
fn a_camera_without_frames_stays_a_camera() {
    let folder = tempfile::tempdir().expect("a folder");
    let altered = altered(folder.path(), "cam2", |_| None);
    for told in there_and_back(folder.path(), &altered) {
        let silent = &told["cameras"][2];
        assert_eq!((&silent["frames"], &silent["mean_fps"]), (&0.into(), &Value::Null));
        assert!(told["sets"]["formed"].as_u64() > Some(50) && told["sets"]["by_views"][4] == 0);
    }
    let file = folder.path().join("there.mcap");
    assert_names(&run(&fast(text(&file), &[]), 0).1, &["camera `cam2` has no frame", "there.mcap"]);
}

#[test]
fn a_take_that_cannot_be_made_is_refused_with_the_reason_and_nothing_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let a_file = folder.path().join("file");
    fs::write(&a_file, "").expect("written");
    let below = a_file.join("take.mcap");
    let bundled = take();
    assert_names(&run(&fast(text(&bundled), &["--record", text(&below)]), 1).1, &[text(&a_file), "--record FILE"]);
    assert_names(&run(&fast(text(&bundled), &["--record", text(&a_file)]), 1).1, &["file is there already"]);
    if cfg!(target_os = "linux") {
        // Not even root may.
        let said = run(&fast(text(&bundled), &["--record", "/proc/take.mcap"]), 1).1;
        assert_names(&said, &["/proc", "--record FILE"]);
    }
    let config = folder.path().join("vultus.toml");
    fs::write(&config, "[record]\nkeep_free_mb = 1_000_000\n").expect("written");
    let full = folder.path().join("full.mcap");
    if free_mb(folder.path()) < 1_000_000 {
        let said = run(&fast(text(&bundled), &["--config", text(&config), "--record", text(&full)]), 1).1;
        assert_names(&said, &["nearly full", "record.keep_free_mb", "Make room"]);
    }
    assert!(!full.exists());
}

/// What the disk of `folder` can take; more than any disk where the system does not tell.
fn free_mb(folder: &Path) -> u64 {
    #[cfg(unix)]
    let free = rustix::fs::statvfs(folder).map_or(u64::MAX, |disk| disk.f_bavail * disk.f_frsize / 1_000_000);
    #[cfg(not(unix))]
    let free = u64::MAX;
    free
}

/// As a disk does that becomes full: a shell's limit of the size of files.
#[cfg(unix)]
#[test]
fn a_take_of_which_the_end_found_no_room_can_be_repaired() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("take.mcap");
    let limited = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_vultus"), "replay"])
        .args(["--headless", "--results", "/dev/null", "--record"])
        .args([&file, &take()])
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&limited.stderr);
    assert_eq!(limited.status.code(), Some(1), "{said}");
    assert_names(&said, &["the recording ended before the run did", "take.mcap cannot be written"]);
    let kept = use_all(&file).expect("what found room is there");
    assert!(kept.iter().all(|frames| frames.len() > 10), "{kept:?}");
    repair(&file, None, |_, _| true).expect("repairs").expect("it is cut off");
    assert_eq!(use_all(&file), Ok(kept));
    assert_names(&run(&["info", text(&file)], 0).0, &["whole; it was cut short once, and repaired"]);
}
