//! What the program says when something is wrong: the thing, the remedy, the right exit code, and never a panic.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, also outside the test functions"
)]

mod support;

use std::fs;
use std::path::Path;

use support::{take, vultus};

/// Runs `vultus ARGS`, which must end with `code`; what it said.
fn fails(args: &[&str], code: i32) -> String {
    let output = vultus().args(args).assert().code(code);
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn assert_names(said: &str, things: &[&str]) {
    for thing in things {
        assert!(said.contains(thing), "`{thing}` is not named in: {said}");
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a temporary path is UTF-8")
}

#[test]
fn a_take_that_is_not_there_is_named() {
    assert_names(&fails(&["replay", "no/such/take"], 1), &["no/such/take"]);
}

#[test]
fn a_folder_without_pictures_says_what_a_take_is() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_names(&fails(&["replay", path(folder.path())], 3), &[path(folder.path()), "rig.json"]);
}

#[test]
fn a_rig_without_cameras_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("rig.json"), r#"{"cameras": []}"#).expect("written");
    assert_names(&fails(&["replay", path(folder.path())], 3), &["no cameras"]);
}

#[test]
fn a_rigs_camera_without_a_folder_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let rig = fs::read_to_string(take().join("rig.json")).expect("read").replace("cam0", "ceiling");
    fs::write(folder.path().join("rig.json"), rig).expect("written");
    assert_names(&fails(&["replay", path(folder.path())], 1), &["ceiling", "timestamps.csv", "remove the camera"]);
}

#[test]
fn two_cameras_of_one_name_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let rig = fs::read_to_string(take().join("rig.json")).expect("read").replace("cam1", "cam0");
    fs::write(folder.path().join("rig.json"), rig).expect("written");
    assert_names(&fails(&["replay", path(folder.path())], 2), &["cam0", "name of its own"]);
}

#[test]
fn broken_time_stamps_are_named_with_their_line() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("cam0")).expect("made");
    fs::write(folder.path().join("cam0/timestamps.csv"), "seq,captured_ns,received_ns\n0,1,2\n1,x,3\n")
        .expect("written");
    assert_names(&fails(&["replay", path(folder.path())], 1), &["timestamps.csv", "line: 3", "captured_ns"]);
}

#[test]
fn an_unknown_configuration_key_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("vultus.toml");
    fs::write(&config, "[detection]\nthreshhold = 0.5\n").expect("written");
    let said = fails(&["replay", "--config", path(&config)], 2);
    assert_names(&said, &["threshhold", "line 2", "docs/reference/config.md"]);
}

#[test]
fn a_model_whose_hash_differs_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    for name in ["manifest.toml", "yunet_2023mar.onnx", "vultus-slim.onnx"] {
        fs::copy(models.join(name), folder.path().join(name)).expect("copied");
    }
    let config = folder.path().join("vultus.toml");
    fs::write(&config, format!("[models]\nfolder = '{}'\n", folder.path().display())).expect("written");
    vultus().args(["replay", "--as-fast-as-possible", "--config", path(&config)]).assert().success();

    let file = folder.path().join("vultus-slim.onnx");
    let mut bytes = fs::read(&file).expect("read");
    bytes[5000] ^= 1;
    fs::write(&file, bytes).expect("written");
    let said = fails(&["replay", "--config", path(&config)], 3);
    assert_names(&said, &["vultus-slim.onnx", "sha256", "3d2c1cbd"]);
}

#[test]
fn a_rig_that_lacks_a_camera_is_named() {
    let rig = Path::new(env!("CARGO_MANIFEST_DIR")).join("calibration/example-rig.toml");
    assert_names(&fails(&["replay", "--rig", path(&rig)], 1), &["cam0", "left, right"]);
}

#[test]
fn results_that_cannot_be_written_are_refused_at_the_start() {
    assert_names(&fails(&["replay", "--results", "/no/such/folder/out.jsonl"], 1), &["/no/such/folder/out.jsonl"]);
}

#[test]
fn without_a_camera_live_offers_the_bundled_take() {
    if Path::new("/dev/video0").exists() {
        return;
    }
    assert_names(&fails(&[], 3), &["no camera", "vultus replay"]);
    assert_names(&fails(&["--seconds", "1", "--headless"], 3), &["no camera"]);
}

#[cfg(feature = "webcam")]
#[test]
fn a_camera_that_is_not_there_is_named() {
    assert_names(&fails(&["live", "--camera", "nonsense"], 3), &["nonsense", "vultus cameras"]);
}

#[test]
fn misuse_of_the_command_line_is_exit_code_2() {
    fails(&["raplay"], 2);
    fails(&["replay", "--device", "abacus"], 2);
}

#[cfg(feature = "ort")]
#[test]
fn a_library_that_is_none_is_named_with_the_way_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let library = folder.path().join("libonnxruntime.so");
    fs::write(&library, b"not a library").expect("written");
    let output = vultus()
        .args(["replay", "--runtime", "ort", "--headless"])
        .env("VULTUS_ONNXRUNTIME", &library)
        .assert()
        .code(3);
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert_names(&said, &[path(&library), "--runtime tract"]);
}

#[test]
fn a_gpu_that_is_asked_for_and_not_there_is_an_error() {
    let said = fails(&["replay", "--runtime", "tract", "--device", "gpu", "--headless"], 3);
    assert_names(&said, &["no GPU", "--device cpu"]);
}

/// A take of one camera with one picture, and a rig.json of that text.
fn take_with_rig(rig: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("cam0")).expect("made");
    fs::copy(take().join("cam0/000060.jpg"), folder.path().join("cam0/000060.jpg")).expect("copied");
    fs::write(folder.path().join("cam0/timestamps.csv"), "seq,captured_ns,received_ns\n60,1,2\n").expect("written");
    fs::write(folder.path().join("rig.json"), rig).expect("written");
    folder
}

#[test]
fn a_rate_that_no_camera_has_is_refused() {
    for fps in ["0", "-30", "1e-30", "1e300"] {
        let rig = format!(r#"{{"cameras": [{{"name": "cam0", "width": 640, "height": 360, "fps": {fps}}}]}}"#);
        assert_names(&fails(&["replay", path(take_with_rig(&rig).path())], 1), &["cam0", "fps"]);
    }
}

#[test]
fn a_camera_name_that_leads_elsewhere_is_refused() {
    for name in ["../cam0", ""] {
        let rig = format!(r#"{{"cameras": [{{"name": "{name}", "width": 640, "height": 360, "fps": 30}}]}}"#);
        assert_names(&fails(&["replay", path(take_with_rig(&rig).path())], 2), &["cannot be a camera's name"]);
    }
}

#[test]
fn more_cameras_than_can_be_used_are_refused() {
    let camera = |n: usize| format!(r#"{{"name": "c{n}", "width": 640, "height": 360, "fps": 30}}"#);
    let cameras: Vec<String> = (0..17).map(camera).collect();
    let folder = take_with_rig(&format!(r#"{{"cameras": [{}]}}"#, cameras.join(",")));
    assert_names(&fails(&["replay", path(folder.path())], 2), &["17", "16"]);
}

#[test]
fn a_take_in_which_nothing_can_be_read_is_a_failure() {
    let folder = take_with_rig(r#"{"cameras": [{"name": "cam0", "width": 640, "height": 360, "fps": 30}]}"#);
    fs::write(folder.path().join("cam0/000060.jpg"), b"").expect("written");
    assert_names(&fails(&["replay", path(folder.path())], 1), &["000060.jpg", "nothing could be read"]);
}

#[test]
fn a_manifest_that_does_not_fit_its_models_is_refused() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let manifest = fs::read_to_string(models.join("manifest.toml")).expect("read");
    for (from, to, thing) in [
        (r#"outputs = ["logits", "embedding"]"#, "outputs = []", "outputs"),
        (r#"outputs = ["logits", "embedding"]"#, r#"outputs = ["logtis"]"#, "logtis"),
        (r#""cls_8", "cls_16""#, r#""cls_16", "cls_8""#, "YuNet"),
        ("std = 64.0", "std = 0.0", "std"),
        ("size = [64, 64]", "size = [48, 64]", "size"),
        (r#""neutral"]"#, r#""calm"]"#, "neutral"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["yunet_2023mar.onnx", "vultus-slim.onnx"] {
            fs::copy(models.join(name), folder.path().join(name)).expect("copied");
        }
        assert!(manifest.contains(from), "{from}");
        fs::write(folder.path().join("manifest.toml"), manifest.replace(from, to)).expect("written");
        let config = folder.path().join("vultus.toml");
        fs::write(&config, format!("[models]\nfolder = '{}'\n", folder.path().display())).expect("written");
        assert_names(&fails(&["replay", "--headless", "--config", path(&config)], 3), &[thing]);
    }
}

#[test]
fn a_run_time_that_is_none_is_refused() {
    for seconds in ["-1", "0", "nan", "1e300", "soon"] {
        assert_names(&fails(&["live", "--seconds", seconds], 2), &["--seconds"]);
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let command = format!("{} replay --headless --results - | head -n 1", env!("CARGO_BIN_EXE_vultus"));
    let output =
        std::process::Command::new("bash").args(["-o", "pipefail", "-c", &command]).output().expect("bash runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("ERROR"));
}
