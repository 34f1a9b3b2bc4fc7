//! Watching a run through `/ws`, as the page does: acknowledging, falling behind, seeing heads in space.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, also outside the test functions"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;
use support::serving::Serving;
use support::shape::{assert_like, of_state};
use support::watcher::{Update, Watcher};
use support::{take, until};

#[test]
fn whoever_does_not_acknowledge_gets_two_messages() {
    let serving = Serving::start();
    let mut watcher = Watcher::of(&serving);
    assert_eq!((watcher.next().head["n"].as_u64(), watcher.next().head["n"].as_u64()), (Some(1), Some(2)));
    serving.wait_for_sets(30);
    assert!(watcher.is_quiet());
    // What was never sent cannot be acknowledged.
    watcher.say(&json!({"ack": 1000, "pictures": true}));
    watcher.say(&json!({"ack": 2, "pictures": true}));
    assert_eq!(watcher.next().head["n"], 3);
}

#[test]
fn whoever_acknowledges_gets_set_after_set_with_the_cameras_own_pictures() {
    let serving = Serving::start();
    let mut watcher = Watcher::of(&serving);
    let (mut pictures, mut told, mut states) = (Vec::new(), BTreeSet::new(), 0);
    while pictures.len() < 20 {
        let update = watcher.next();
        if !update.head["state"].is_null() {
            assert_like(&update.head["state"], &of_state(), "state");
            states += 1;
        }
        assert!(update.records().len() <= 128 && update.head["missed"].is_u64());
        told.extend(update.records().iter().map(|record| record["set"].as_u64().expect("`set` is a number")));
        if let Some(set) = update.set() {
            assert!(told.contains(&set), "the records of set {set} come with its pictures or before");
            assert!(pictures.last() < Some(&set), "pictures go on");
            pictures.push(set);
            assert_pictures_are_the_takes(&update);
        }
        watcher.acknowledge(&update);
    }
    assert!(states >= 1);
    let all = told.last().expect("sets") - told.first().expect("sets") + 1;
    // Nobody can tell of sets that were dropped before they were looked at; the state counts them a moment later.
    let stale = || serving.state()["sets"]["stale"].as_u64().expect("`stale` is a number");
    let untold = all - told.len() as u64;
    until(&format!("{untold} of {all} sets are not told of, and as many were dropped"), || untold <= stale());
}

fn assert_pictures_are_the_takes(update: &Update) {
    for (view, jpeg) in update.views().iter().zip(&update.jpegs) {
        assert_eq!((&view["width"], &view["height"]), (&json!(640), &json!(360)));
        assert!(jpeg.starts_with(&[0xff, 0xd8]) && jpeg.ends_with(&[0xff, 0xd9]));
        let camera = take().join(view["camera"].as_str().expect("a camera has a name"));
        let files = fs::read_dir(camera).expect("the take has the camera");
        let is_one = files.flatten().any(|file| fs::read(file.path()).is_ok_and(|bytes| bytes == *jpeg));
        assert!(is_one, "the picture is not one of the take: {view}");
    }
}

#[test]
fn whoever_was_slow_goes_on_with_the_newest_set() {
    let serving = Serving::start();
    let mut watcher = Watcher::of(&serving);
    let update = watcher.next();
    watcher.acknowledge(&update);
    serving.wait_for_sets(90);
    let newest = serving.analysed();
    // Two messages were under way when it stopped reading.
    for _ in 0..3 {
        let update = watcher.next();
        watcher.acknowledge(&update);
    }
    let set = loop {
        let update = watcher.next();
        watcher.acknowledge(&update);
        if let Some(set) = update.set() {
            break set;
        }
    };
    // A busy machine has pictures twice a second.
    assert!(set + 30 >= newest, "set {set} is old: {newest} were analysed");
}

#[test]
fn whoever_wants_no_pictures_gets_none_but_one_when_stepping() {
    let serving = Serving::start();
    let mut watcher = Watcher::of(&serving);
    let (first, second) = (watcher.next(), watcher.next());
    for update in [&first, &second] {
        watcher.say(&json!({"ack": update.head["n"], "pictures": false}));
    }
    let mut next = || {
        let update = watcher.next();
        watcher.say(&json!({"ack": update.head["n"], "pictures": false}));
        update
    };
    assert!((0..10).all(|_| next().set().is_none()));
    let newest = serving.analysed();
    watcher.say(&json!({"step": true}));
    let with_pictures = (0..10).filter_map(|_| {
        let update = watcher.next();
        watcher.say(&json!({"ack": update.head["n"], "pictures": false}));
        update.set()
    });
    let sets: Vec<u64> = with_pictures.collect();
    assert!(matches!(sets[..], [set] if set >= newest), "{sets:?}, when {newest} were analysed");
}

#[test]
fn the_pictures_of_raw_cameras_are_encoded_whole() {
    // A width that no step of the decoder divides.
    let (width, height) = (1283, 720);
    let folder = tempfile::tempdir().expect("a folder");
    let camera = folder.path().join("raw");
    fs::create_dir(&camera).expect("made");
    let rig = json!({"cameras": [{"name": "raw", "width": width, "height": height, "fps": 10}]});
    fs::write(folder.path().join("rig.json"), rig.to_string()).expect("written");
    let mut times = "seq,captured_ns,received_ns\n".to_owned();
    // White on the left, black on the right.
    let picture = image::RgbImage::from_fn(width, height, |x, _| image::Rgb([if x < width / 2 { 255 } else { 0 }; 3]));
    for seq in 0..10_u64 {
        picture.save(camera.join(format!("{seq:06}.png"))).expect("saved");
        times += &format!("{seq},{0},{0}\n", 1_000_000_000 + seq * 100_000_000);
    }
    fs::write(camera.join("timestamps.csv"), times).expect("written");

    let serving = Serving::replay(folder.path(), "127.0.0.1:0", &[]);
    let mut watcher = Watcher::of(&serving);
    let update = loop {
        let update = watcher.next();
        watcher.acknowledge(&update);
        if update.set().is_some() {
            break update;
        }
    };
    assert_eq!((&update.views()[0]["width"], &update.views()[0]["height"]), (&json!(width), &json!(height)));
    let seen = turbojpeg::decompress(&update.jpegs[0], turbojpeg::PixelFormat::GRAY).expect("a JPEG picture");
    assert_eq!((seen.width, seen.height), (width as usize, height as usize));
    for row in seen.pixels.chunks(seen.pitch) {
        assert!(row[600] > 200 && row[680] < 50, "the picture is sheared");
    }
}

#[test]
fn nonsense_from_a_watcher_ends_only_its_own_watching() {
    let serving = Serving::start();
    let mut other = Watcher::of(&serving);
    for nonsense in
        [json!("what?"), json!({"ack": -1}), json!({"ack": "1"}), json!(17), json!({"step": 17, "unknown": {}})]
    {
        let mut watcher = Watcher::of(&serving);
        watcher.say(&nonsense);
        assert_eq!(watcher.closed().0, 1008, "{nonsense}");
    }
    for _ in 0..5 {
        let update = other.next();
        other.acknowledge(&update);
    }
}

#[test]
fn the_end_of_a_run_is_said_also_to_whoever_has_not_drawn_what_it_has() {
    let serving = Serving::start();
    let mut watcher = Watcher::of(&serving);
    watcher.next();
    watcher.next();
    let stop = std::thread::spawn(move || serving.stop());
    assert_eq!(watcher.closed(), (1001, "the run has ended".to_owned()));
    assert!(stop.join().expect("stopped").success());
}

#[test]
fn heads_are_where_they_are() {
    let serving = Serving::with_rig();
    let mut watcher = Watcher::of(&serving);
    let mut heads = Vec::new();
    while heads.len() < 10 {
        let update = watcher.next();
        heads.extend(update.head["heads"].as_array().into_iter().flatten().cloned());
        watcher.acknowledge(&update);
    }
    for head in heads {
        assert!(head["set"].is_u64() && head["person"].is_u64(), "{head}");
        let length = |key: &str| {
            let vector: [f64; 3] = serde_json::from_value(head[key].clone()).expect("a vector");
            vector.iter().map(|x| x * x).sum::<f64>().sqrt()
        };
        // The take's head turns about the origin.
        assert!(length("position_m") < 0.2, "{head}");
        assert!((length("forward") - 1.0).abs() < 0.01, "{head}");
    }
}

#[test]
fn a_run_that_is_ended_before_its_first_picture_has_not_failed() {
    assert!(Serving::start().stop().success());
}
