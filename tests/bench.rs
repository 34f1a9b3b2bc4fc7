//! `vultus bench`: what it measures, and how it judges.

#![allow(clippy::expect_used, reason = "this is a test, also outside the test functions")]

mod support;

use serde_json::Value;
use support::{onnxruntime, vultus};

/// Runs `vultus bench ARGS`; standard output, standard error and the exit code.
fn bench(args: &[&str]) -> (String, String, i32) {
    let mut command = vultus();
    command.arg("bench").args(args).envs(onnxruntime().map(|library| ("VULTUS_ONNXRUNTIME", library)));
    let output = command.output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code().expect("it ends by itself"))
}

#[test]
fn every_figure_of_a_run_is_told_and_nothing_is_allocated_for_a_set() {
    let (json, errors, code) = bench(&["pipeline", "--cameras", "3", "--seconds", "2", "--json"]);
    assert_eq!(code, 0, "{errors}");
    let figures: Value = serde_json::from_str(&json).expect("JSON");
    let number =
        |pointer: &str| figures.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}: {json}"));
    assert!(number("/sets") > 10.0 && number("/cameras") == 3.0, "{json}");
    for figure in ["latency_ms", "wait_ms", "age_ms"] {
        let [p50, p95, p99, max] =
            ["p50", "p95", "p99", "max"].map(|quantile| number(&format!("/{figure}/{quantile}")));
        assert!(0.0 < p50 && p50 <= p95 && p95 <= p99 && p99 <= max, "{figure}: {json}");
    }
    number("/stale_drops");
    if cfg!(unix) {
        let stages: f64 = ["decode", "detect", "track", "align", "encode"]
            .map(|stage| number(&format!("/stages/{stage}/cpu_ms_per_set")))
            .iter()
            .sum();
        let (all, overhead) = (number("/cpu_ms_per_set"), number("/overhead_ms_per_set"));
        assert!((all - stages - overhead).abs() < 0.01, "{json}");
    }
    if onnxruntime().is_some() {
        // A machine that is busy with other tests may need a buffer more than before, a few times in a run.
        assert!(number("/allocations_per_set") < 0.1, "{json}");
    }
}

#[test]
fn a_budget_that_is_missed_is_said_and_ends_with_4() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    };
    let run = ["pipeline", "--seconds", "1", "--runtime", "tract", "--json"];
    let with = |option: &str, file: &str| bench(&[&run[..], &[option, file]].concat());

    let (json, errors, code) = with("--budget", &file("tight.toml", "latency_ms = { p50 = 0.001 }"));
    assert_eq!(code, 4, "{errors}");
    assert!(errors.contains("latency_ms.p50") && errors.contains("may be 0.001"), "{errors}");

    let (_, errors, code) =
        with("--budget", &file("wide.toml", "latency_ms = { p50 = 60000 }\ndrops = { late = 60000 }"));
    assert_eq!(code, 0, "{errors}");

    let (_, errors, code) = with("--compare", &file("before.json", &json));
    assert!(code == 0 && errors.contains("latency_ms.p99") && errors.contains("ratio"), "{errors}");

    let (_, errors, code) = with("--budget", &file("wrong.toml", "latency = 3"));
    assert!(code == 1 && errors.contains("`latency`") && errors.contains("wrong.toml"), "{errors}");
}

#[test]
fn a_run_of_pictures_without_times_is_refused() {
    let (_, errors, code) = bench(&["pipeline", "tests/data/take/cam0/000047.jpg"]);
    assert!(code == 1 && errors.contains("stills have no times"), "{errors}");
    let (_, errors, code) = bench(&["pipeline", "--size", "0x4"]);
    assert!(code == 2 && errors.contains("1280x720"), "{errors}");
}

#[test]
fn more_cameras_are_measured_one_after_another_and_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let plots = folder.path().join("plots");
    let series = ["scale", "--cameras", "3", "--seconds", "1", "--json", "--plots"];
    let (json, errors, code) = bench(&[&series[..], &[&plots.to_string_lossy()]].concat());
    assert_eq!(code, 0, "{errors}");
    let report: Value = serde_json::from_str(&json).expect("JSON");
    let points = report["points"].as_array().expect("points");
    assert_eq!(points.iter().map(|point| point["cameras"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
    assert!(points.iter().all(|point| point["sets"].as_u64() > Some(0)), "{json}");
    assert!(report["keeps_up_with"].as_u64() <= Some(3), "{json}");
    for name in ["latency.svg", "cost.svg"] {
        let plot = std::fs::read_to_string(plots.join(name)).expect("it is drawn");
        assert!(plot.contains("<svg") && plot.contains("cameras"), "{name}");
    }
}

#[test]
fn every_stage_is_measured_alone() {
    let (lines, errors, code) = bench(&["stages", "--seconds", "0.05", "--json"]);
    assert_eq!(code, 0, "{errors}");
    let costs: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for stage in ["decode", "detect", "track", "align", "encode", "associate", "fuse", "smooth", "match", "ring"] {
        let of_stage = costs.iter().filter(|cost| cost["stage"] == stage);
        assert!(of_stage.clone().count() > 0, "{stage}: {lines}");
        assert!(of_stage.clone().all(|cost| cost["p99_us"].as_f64() >= cost["p50_us"].as_f64()), "{stage}: {lines}");
    }
}
