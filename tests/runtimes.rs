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

/// The driver of the GPU in software, if there is one.
fn software_vulkan() -> Option<std::ffi::OsString> {
    let driver = std::env::var_os("VULTUS_SOFTWARE_VULKAN");
    if driver.is_none() {
        println!("skipped: no lavapipe; `cargo xtask test` installs it");
    }
    driver
}

/// `vultus`, which finds the GPU of `driver` and no other.
fn vultus_with(driver: &std::ffi::OsStr) -> assert_cmd::Command {
    let mut command = vultus();
    command.env("VK_ICD_FILENAMES", driver).env("XDG_RUNTIME_DIR", std::env::temp_dir());
    command
}

#[test]
fn the_encoder_runs_on_a_gpu_in_software_with_the_cpus_numbers() {
    let Some(driver) = software_vulkan() else { return };
    // Two pictures are enough: software Vulkan takes a quarter of a second a set.
    let folder = two_pictures();
    let run = |options: &[&str]| {
        let command = &mut vultus_with(&driver);
        let output = command.args(["replay", "--results", "-"]).args(options).arg(folder.path()).assert().success();
        support::parse(&String::from_utf8_lossy(&output.get_output().stdout))
    };
    // The same finds the faces in all these runs.
    let cpu = run(&["--runtime", "auto", "--device", "cpu"]);
    assert_eq!(cpu.header["device"], "cpu");
    let mut ways = Vec::new();
    if onnxruntime().is_some() {
        ways.push((["--runtime", "ort", "--device", "gpu"], "ort", "webgpu"));
    }
    if cfg!(feature = "train") {
        ways.push((["--runtime", "wgpu", "--device", "auto"], "wgpu", "vulkan"));
    }
    for (options, runtime, device) in ways {
        let gpu = run(&options);
        assert_eq!((&gpu.header["runtime"], &gpu.header["device"]), (&runtime.into(), &device.into()));
        assert!(gpu.header["device_reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{}", gpu.header);
        let difference = largest_difference(&gpu, &cpu);
        assert!(difference < 1e-3, "{options:?}: {difference}");
    }
}

#[test]
fn all_runtimes_and_devices_agree() {
    let Some(driver) = software_vulkan().filter(|_| cfg!(feature = "train")) else { return };
    let output = vultus_with(&driver).args(["models", "parity", "--json"]).assert().success();
    let report: Value = serde_json::from_slice(&output.get_output().stdout).expect("JSON");
    let runs = report["runs"].as_array().expect("runs");
    let names: Vec<&str> = runs.iter().map(|run| run["name"].as_str().expect("a name")).collect();
    let wanted = ["ort on cpu", "ort on webgpu", "tract on cpu", "wgpu"];
    let wanted = &wanted[if onnxruntime().is_some() { 0 } else { 2 }..];
    assert_eq!(names, wanted, "{report}");
    assert!(report["faces"].as_u64() >= Some(12) && report["cut"]["agrees"] == true, "{report}");
    for run in runs {
        let number = |key: &str| run[key].as_f64().expect("a number");
        assert!(number("embedding_apart") < 1e-3 && number("cosine") > 0.9999 && run["agrees"] == true, "{run}");
    }
    // For people, it is a table.
    let output = vultus_with(&driver).args(["models", "parity"]).assert().success();
    let text = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    assert!(text.contains("what all are compared with") && text.contains("cosine at least"), "{text}");
}

#[test]
fn a_set_costs_one_wait_for_the_gpu() {
    let Some(driver) = software_vulkan().filter(|_| cfg!(feature = "train")) else { return };
    let load = ["bench", "pipeline", "--runtime", "wgpu", "--cameras", "2", "--fps", "1", "--seconds", "8", "--json"];
    let output = vultus_with(&driver).args(load).assert().success();
    let figures: Value = serde_json::from_slice(&output.get_output().stdout).expect("JSON");
    assert_eq!((&figures["runtime"], &figures["device"]), (&"wgpu".into(), &"vulkan".into()), "{figures}");
    // None where no view shows a face.
    let waits = figures["gpu_waits_per_set"].as_f64().expect("a number");
    assert!(0.5 < waits && waits <= 1.0, "{figures}");
    let pictures = 2.0 * 640.0 * 360.0 * 3.0;
    let bytes = figures["gpu_bytes_per_set"].as_f64().expect("a number");
    // A view that shows no face in a set, as a profile now and then, is not copied.
    assert!((0.5 * pictures..pictures + 5_000.0).contains(&bytes), "{figures}");
}

#[test]
fn a_gpu_that_is_asked_for_and_not_there_is_said() {
    let folder = two_pictures();
    let run = |options: &[&str]| {
        let mut command = vultus_with("/nowhere".as_ref());
        let output = command.args(["replay", "--results", "-"]).args(options).arg(folder.path()).output().expect("run");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, errors) = run(&["--runtime", "tract", "--device", "gpu"]);
    assert!(
        code == Some(3) && errors.contains("no GPU can run the encoder") && errors.contains("--device cpu"),
        "{errors}"
    );
    let (code, errors) = run(&["--runtime", "wgpu"]);
    if cfg!(feature = "train") && cfg!(target_os = "linux") {
        assert!(code == Some(3) && errors.contains("no GPU is found") && errors.contains("--runtime auto"), "{errors}");
        let (code, errors) = run(&["--runtime", "wgpu", "--device", "cpu"]);
        assert!(code == Some(2) && errors.contains("GPUs alone"), "{code:?} {errors}");
    } else if cfg!(not(feature = "train")) {
        assert!(code == Some(3) && errors.contains("feature `train`"), "{errors}");
    }
    if vultus::gpu::is_there() {
        return;
    }
    // Where nobody insists, the CPU does it.
    let (code, errors) = run(&["--runtime", "auto", "--device", "auto"]);
    assert!(code == Some(0) && errors.contains("encoder on cpu"), "{errors}");
}

#[test]
fn models_are_listed_and_a_changed_file_is_named() {
    let say = |args: &[&str], config: Option<&std::path::Path>| {
        let config = config.iter().flat_map(|path| ["--config".as_ref(), path.as_os_str()]);
        let output = vultus().args(["models"]).args(args).args(config).output().expect("it starts");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = say(&["list"], None);
    assert!(code == Some(0) && text.contains("vultus-slim-rendered") && text.contains("the one in use"), "{text}");
    let (_, json) = say(&["list", "--json"], None);
    let models: Value = serde_json::from_str(&json).expect("JSON");
    assert!(models.as_array().is_some_and(|models| models.len() >= 4), "{json}");
    let (code, text) = say(&["verify"], None);
    assert!(code == Some(0) && text.matches("checksums right").count() == models.as_array().unwrap().len(), "{text}");

    let folder = tempfile::tempdir().expect("a folder");
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/models")).expect("there").flatten() {
        if file.path().is_file() {
            std::fs::copy(file.path(), folder.path().join(file.file_name())).expect("copied");
        }
    }
    let changed = folder.path().join("vultus-slim-int8.onnx");
    let mut bytes = std::fs::read(&changed).expect("there");
    bytes[100] ^= 1;
    std::fs::write(&changed, bytes).expect("written");
    let config = folder.path().join("vultus.toml");
    std::fs::write(&config, format!("[models]\nfolder = {:?}\n", folder.path())).expect("written");
    let (code, text) = say(&["verify"], Some(&config));
    let failed: Vec<&str> = text.lines().filter(|line| line.starts_with("fail")).collect();
    assert!(
        code == Some(3) && failed.len() == 1 && failed[0].contains("vultus-slim-int8") && failed[0].contains("sha256"),
        "{text}"
    );
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
