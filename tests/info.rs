//! What `vultus info` tells, against what is known of the bundled take.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, also outside the test functions"
)]

mod support;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use serde_json::Value;
use support::takes::record;
use support::{parse, take, vultus};

fn info<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> String {
    let output = vultus().arg("info").args(args).assert().success();
    String::from_utf8_lossy(&output.get_output().stdout).into_owned()
}

fn json(take: &Path) -> Value {
    serde_json::from_str(&info([take.as_os_str(), "--json".as_ref()])).expect("JSON")
}

/// Rows of a camera's `timestamps.csv`: number, capture, arrival.
fn rows(camera: &str) -> Vec<[i64; 3]> {
    let text = fs::read_to_string(take().join(camera).join("timestamps.csv")).expect("times");
    let row = |line: &str| line.split(',').map(|number| number.parse().expect("a number")).collect::<Vec<i64>>();
    text.lines().skip(1).map(|line| row(line).try_into().expect("three columns")).collect()
}

#[test]
fn a_take_and_the_folder_that_it_was_recorded_from_are_told_of_alike_and_truly() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = record(folder.path(), &[]);
    let taken = vultus::record::Take::open(&file).expect("a take");
    let [of_take, of_folder] = [file, take()].map(|take| json(&take));
    for (n, name) in ["cam0", "cam1", "cam2", "cam3"].into_iter().enumerate() {
        let rows = rows(name);
        let (first, last) = (rows[0], rows[rows.len() - 1]);
        let mut transport: Vec<i64> = rows.iter().map(|[_, captured, received]| received - captured).collect();
        transport.sort_unstable();
        for told in [&of_take, &of_folder] {
            let camera = &told["cameras"][n];
            assert_eq!((&camera["name"], &camera["frames"]), (&name.into(), &rows.len().into()));
            assert_eq!(camera["never_came"], last[0] - first[0] + 1 - rows.len() as i64, "{name}");
            assert_eq!((&camera["not_recorded"], &camera["clock_back"]), (&0.into(), &0.into()));
            let intervals = || rows.windows(2).map(|pair| pair[1][1] - pair[0][1]);
            let period_ns = 1e9 / camera["nominal_fps"].as_f64().expect("a rate");
            let gaps = intervals().filter(|interval| *interval as f64 > 1.5 * period_ns);
            assert_eq!(camera["gaps"], gaps.clone().count(), "{name}");
            assert_eq!(camera["longest_gap_ms"].as_f64().is_some(), gaps.count() > 0);
            let longest = camera["transport_ms"]["max"].as_f64().expect("a number");
            assert!((longest - transport[transport.len() - 1] as f64 / 1e6).abs() < 0.001, "{longest} ms");
        }
    }
    let sets = &of_take["sets"];
    assert_eq!((&sets["recorded"], &of_folder["sets"]["recorded"]), (&true.into(), &false.into()));
    for key in ["formed", "by_views", "skew_ms", "skew_bins", "wait_ms"] {
        assert_eq!(sets[key], of_folder["sets"][key], "the sets that a replay forms are those: {key}");
    }
    for (n, camera) in of_take["cameras"].as_array().expect("cameras").iter().enumerate() {
        let in_sets = taken.sets.iter().filter(|set| set.seqs[n].is_some()).count() as u64;
        assert_eq!(camera["in_no_set"], camera["frames"].as_u64().expect("a number") - in_sets);
    }
    let results = parse(&fs::read_to_string(folder.path().join("results.jsonl")).expect("results"));
    let numbers: HashSet<u64> = results.rows.iter().map(|row| row["set"].as_u64().expect("a set")).collect();
    assert_eq!((&sets["formed"], &sets["stale"]), (&numbers.len().into(), &0.into()));
    let people = &of_take["people"];
    assert_eq!((&people["records"], &people["unreadable"]), (&results.rows.len().into(), &0.into()));
    let read: u64 = people["expressions"].as_array().unwrap().iter().map(|read| read["count"].as_u64().unwrap()).sum();
    let expressions = results.rows.iter().filter(|row| !row["expression"].is_null()).count();
    assert_eq!(read, expressions as u64);
    assert_eq!((&of_take["whole"], &of_take["dropped"]), (&true.into(), &0.into()));
}

/// All keys of an object and of the objects in it; of lists, those of the first entry.
fn keys(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(object) => object.iter().for_each(|(key, value)| {
            into.push(key.clone());
            keys(value, into);
        }),
        Value::Array(values) => values.iter().take(1).for_each(|value| keys(value, into)),
        _ => {}
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_no_unicode_is_no_trouble() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().expect("a folder");
    let odd = folder.path().join(OsStr::from_bytes(b"take-\xff.mcap"));
    fs::rename(record(folder.path(), &["--to", "0.3"]), &odd).expect("renamed");
    assert!(info([odd.as_os_str()]).contains("take-"));
    assert!(json(&odd)["path"].as_str().is_some_and(|path| path.contains("take-")));
}

#[test]
fn every_key_is_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut told = json(&record(folder.path(), &["--to", "1"]));
    // Its keys are the models' names.
    told["run"]["models"] = Value::Null;
    let page = include_str!("../docs/reference/info.md");
    let mut all = Vec::new();
    keys(&told, &mut all);
    for key in all {
        assert!(page.contains(&format!("`{key}`")), "`{key}` is not in docs/reference/info.md");
    }
}

#[test]
fn what_a_person_reads_is_narrow_and_names_what_differs_from_the_defaults() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("vultus.toml");
    fs::write(&config, "[sync]\ntransport_allowance_ms = 25\n[smoothing]\nunsure_below = 0.3\n").expect("written");
    let options = ["--record-content", "features", "--config", config.to_str().expect("UTF-8")];
    let text = info([record(folder.path(), &options)]);
    for what in [
        "whole; all that came is in it",
        "no pictures (features)",
        "sync.transport_allowance_ms = 25 (default 10)",
        "smoothing.unsure_below = 0.3",
        "100 GB last",
        "4 of 4",
        "person 1",
    ] {
        let is_there = text.contains(what) || text.replace("\n            ", " ").contains(what);
        assert!(is_there, "`{what}` is not in\n{text}");
    }
    let too_long = text.lines().filter(|line| line.chars().count() > 100 && !line.contains('/'));
    assert_eq!(too_long.collect::<Vec<_>>(), [""; 0]);
}
