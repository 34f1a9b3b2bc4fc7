//! The runtimes and devices give the same numbers.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, also outside the test functions"
)]

mod support;

use serde_json::Value;
use support::{Results, onnxruntime, replay, vultus};

/// The largest difference of any number in two runs' records, apart from times.
fn largest_difference(a: &Results, b: &Results) -> f64 {
    fn between(a: &Value, b: &Value) -> f64 {
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => (a.as_f64().unwrap() - b.as_f64().unwrap()).abs(),
            (Value::Array(a), Value::Array(b)) => {
                assert_eq!(a.len(), b.len());
                a.iter().zip(b).map(|(a, b)| between(a, b)).fold(0.0, f64::max)
            }
            (Value::Object(a), Value::Object(b)) => {
                let kept = a.iter().filter(|(key, _)| !key.ends_with("_ms") && *key != "expression");
                kept.map(|(key, a)| between(a, &b[key])).fold(0.0, f64::max)
            }
            (a, b) => {
                assert_eq!(a, b);
                0.0
            }
        }
    }
    assert_eq!(a.rows.len(), b.rows.len());
    a.rows.iter().zip(&b.rows).map(|(a, b)| between(a, b)).fold(0.0, f64::max)
}

/// A folder with a picture of each of two cameras.
fn two_pictures() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for camera in ["cam1", "cam2"] {
        let picture = support::take().join(camera).join("000060.jpg");
        std::fs::copy(picture, folder.path().join(format!("{camera}.jpg"))).expect("copied");
    }
    folder
}

#[test]
fn ort_and_tract_agree_over_the_whole_pipeline() {
    if onnxruntime().is_none() {
        println!("skipped: no ONNX Runtime library; `cargo xtask test` fetches it");
        return;
    }
    let [ort, tract] =
        ["ort", "tract"].map(|runtime| replay(["--as-fast-as-possible", "--device", "cpu", "--runtime", runtime]));
    assert_eq!((&ort.header["runtime"], &tract.header["runtime"]), (&"ort".into(), &"tract".into()));
    // Records are rounded: yaw to 0.1 degrees, pixels to 0.01, probabilities to 0.0001.
    let difference = largest_difference(&ort, &tract);
    assert!(difference < 0.11, "{difference}");
}

#[test]
fn the_encoder_runs_on_a_gpu_in_software_with_the_cpus_numbers() {
    let (Some(_), Some(driver)) = (onnxruntime(), std::env::var_os("VULTUS_SOFTWARE_VULKAN")) else {
        println!("skipped: no ONNX Runtime library, or no lavapipe; `cargo xtask test` installs both");
        return;
    };
    // Two pictures are enough: software Vulkan takes a quarter of a second a set.
    let folder = two_pictures();
    let run = |device: &str| {
        let output = vultus()
            .args(["replay", "--runtime", "ort", "--device", device, "--results", "-"])
            .arg(folder.path())
            .env("VK_ICD_FILENAMES", &driver)
            .env("XDG_RUNTIME_DIR", folder.path())
            .assert()
            .success();
        support::parse(&String::from_utf8_lossy(&output.get_output().stdout))
    };
    let (gpu, cpu) = (run("gpu"), run("cpu"));
    assert_eq!((&gpu.header["device"], &cpu.header["device"]), (&"webgpu".into(), &"cpu".into()));
    assert!(largest_difference(&gpu, &cpu) < 1e-3);
}

#[test]
fn eight_bits_read_what_the_whole_encoder_reads_on_every_runtime() {
    let folder = two_pictures();
    let config = folder.path().join("int8.toml");
    std::fs::write(&config, "[models]\nencoder = \"vultus-slim-int8\"\n").expect("written");
    let run = |runtime: &str, options: &[&std::ffi::OsStr]| {
        let output = vultus()
            .args(options)
            .args(["replay", "--runtime", runtime, "--device", "cpu", "--results", "-"])
            .arg(folder.path())
            .assert()
            .success();
        support::parse(&String::from_utf8_lossy(&output.get_output().stdout))
    };
    let whole = run("tract", &[]);
    let runtimes = ["tract", "ort"].into_iter().filter(|runtime| *runtime == "tract" || onnxruntime().is_some());
    for runtime in runtimes {
        let small = run(runtime, &["--config".as_ref(), config.as_ref()]);
        assert!(small.header["models"].to_string().contains("vultus-slim-int8"), "{:?}", small.header);
        let difference = largest_difference(&small, &whole);
        assert!(0.0 < difference && difference < 0.15, "{runtime}: {difference}");
    }
}

#[test]
fn without_a_library_auto_says_so_and_runs_on_tract() {
    let folder = tempfile::tempdir().expect("a folder");
    // A copy elsewhere finds no library beside itself.
    let program = folder.path().join("vultus");
    std::fs::copy(env!("CARGO_BIN_EXE_vultus"), &program).expect("copied");
    let output = assert_cmd::Command::new(&program)
        .args(["replay", "--as-fast-as-possible", "--results", "-"])
        .env_remove("VULTUS_ONNXRUNTIME")
        .env_remove("ORT_DYLIB_PATH")
        .assert()
        .success();
    let talk = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(talk.contains("tract"), "{talk}");
    let results = support::parse(&String::from_utf8_lossy(&output.get_output().stdout));
    assert_eq!(results.header["runtime"], "tract");
}
