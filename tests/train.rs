//! Training through the program: from pictures to a model that the pipeline runs; killed, resumed, refused.

#![cfg(feature = "train")]
#![allow(clippy::expect_used, clippy::print_stdout, reason = "this is a test, also outside the test functions")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{faces, onnxruntime, until, vultus};
use tempfile::TempDir;

/// A network that is trained in seconds.
const RECIPE: &str = r#"
name = "tiny"
about = "A trial."
[data]
pretrain = [{ set = "kdef:faces" }]
finetune = [{ set = "kdef:faces", terms = "none" }]
validation = 0.25
[network]
side = 48
widths = [32, 32, 32, 32]
dropout = 0.1
[pretrain]
augment = { preset = "moderate" }
method = { name = "cl-mex", scenes = 8 }
[pretrain.schedule]
images = 640
validations = 4
[finetune]
augment = { preset = "none" }
method = { pictures = 32 }
[finetune.schedule]
images = 3200
validations = 10
learning_rate = 3e-3
"#;

struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().expect("a folder"));
        faces::kdef(&site.path("data/faces"));
        fs::write(site.path("tiny.toml"), RECIPE).expect("written");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn args(&self, verb: &str, output: &str) -> Vec<String> {
        let path = |name: &str| self.path(name).display().to_string();
        let output = path(output);
        let words = [
            "train",
            verb,
            &path("tiny.toml"),
            "--data",
            &path("data"),
            "--cache",
            &path("cache"),
            "--output",
            &output,
        ];
        words.iter().map(|word| (*word).to_owned()).chain(runtime()).collect()
    }

    /// Runs a verb that must succeed, and gives what it said.
    fn run(&self, verb: &str, output: &str, more: &[&str]) -> String {
        let done = vultus().args(self.args(verb, output)).args(more).assert().success();
        String::from_utf8_lossy(&done.get_output().stderr).into_owned()
    }

    /// Runs a verb that must fail, and gives what it said.
    fn refused(&self, verb: &str, output: &str, more: &[&str]) -> String {
        let done = vultus().args(self.args(verb, output)).args(more).assert().failure();
        String::from_utf8_lossy(&done.get_output().stderr).into_owned()
    }
}

/// ONNX Runtime where it is, tract elsewhere.
fn runtime() -> [String; 2] {
    ["--runtime".to_owned(), if onnxruntime().is_some() { "ort" } else { "tract" }.to_owned()]
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_recipe_becomes_a_model_that_the_pipeline_runs() {
    let site = Site::new();
    // The same pictures, elsewhere.
    faces::kdef(&site.path("others"));
    let evaluated = format!("kdef:{}", site.path("others").display());
    let told = site.run("run", "run", &["--evaluate", &evaluated]);
    assert!(told.contains("of 4 people (2 F, 2 M)"), "F01 and M01 are two people: {told}");

    // It has learnt its pictures by heart.
    let model = site.path("run/model/tiny.onnx");
    let output = vultus()
        .args(["train", "evaluate", "--json", "--data", &evaluated])
        .arg("--model")
        .arg(&model)
        .args(runtime())
        .assert()
        .success();
    let figures: Value = serde_json::from_slice(&output.get_output().stdout).expect("a JSON object");
    for key in ["accuracy", "macro_f1", "per_angle", "confusion", "ece"] {
        assert!(!figures[key].is_null(), "{key}: {figures}");
    }
    assert!(figures["accuracy"].as_f64().expect("a number") > 0.5, "{figures}");

    let config = site.path("vultus.toml");
    fs::write(&config, format!("[models]\nfolder = {:?}\n[smoothing]\nunsure_below = 0.0\n", site.path("run/model")))
        .expect("written");
    let replayed = vultus()
        .args(["replay", "--headless", "--stills", "--results", "-", "--config"])
        .arg(&config)
        .args(runtime())
        .arg(site.path("data/faces"))
        .assert()
        .success();
    let results = support::parse(&String::from_utf8_lossy(&replayed.get_output().stdout));
    assert!(results.header["models"]["tiny"].is_string(), "{}", results.header);
    let is_right = |row: &&Value| {
        let (file, expression) =
            (row["file"].as_str().unwrap_or_default(), row["expression"].as_str().unwrap_or_default());
        // AF01/AF01ANFL.JPG: the first two letters of the expression follow the person.
        let name = file.rsplit('/').next().unwrap_or_default();
        !expression.is_empty() && name.get(4..6).map(str::to_lowercase).as_deref() == expression.get(..2)
    };
    let right = results.rows.iter().filter(is_right).count();
    assert!(2 * right > results.rows.len(), "{right} of {}", results.rows.len());

    let card = fs::read_to_string(site.path("run/model/tiny.md")).expect("a model card");
    assert!(card.contains("kdef:faces, kept apart"), "{card}");
    assert!(card.contains("pre-trained by `cl-mex`") && card.contains("terms") || card.contains("none"), "{card}");
    for file in
        ["report.md", "recipe.toml", "data.txt", "finetune/loss.svg", "finetune/accuracy.svg", "pretrain/loss.svg"]
    {
        assert!(site.path("run").join(file).is_file(), "{file}");
    }
}

#[test]
fn a_run_that_was_killed_ends_with_the_weights_of_one_that_was_not() {
    let site = Site::new();
    site.run("pretrain", "whole", &[]);
    site.run("finetune", "whole", &[]);

    site.run("pretrain", "killed", &[]);
    let state = site.path("killed/finetune/checkpoint/state.json");
    let mut child = Command::new(env!("CARGO_BIN_EXE_vultus"))
        .args(site.args("finetune", "killed"))
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    until("there is a checkpoint", || state.is_file());
    child.kill().expect("killed");
    child.wait().expect("ended");
    let text = read(&state);
    let at: Value = serde_json::from_slice(&text).expect("a whole checkpoint");
    println!("killed behind step {}", at["step"]);
    assert_eq!(at["is_done"], false, "it was killed before its end");

    site.run("finetune", "killed", &[]);
    let weights = |run: &str| read(&site.path(run).join("finetune/network.safetensors"));
    assert!(weights("whole") == weights("killed"), "the weights differ");
    let steps = |run: &str| -> Vec<u64> {
        let log = fs::read_to_string(site.path(run).join("finetune/log.jsonl")).expect("a log");
        log.lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("a line")["step"].as_u64().expect("a step"))
            .collect()
    };
    assert_eq!(steps("whole"), steps("killed"));
}

#[test]
fn another_recipe_in_the_same_folder_is_refused_and_nothing_is_lost() {
    let site = Site::new();
    site.run("finetune", "run", &[]);
    let kept = || ["run/recipe.toml", "run/finetune/checkpoint/average.bpk"].map(|file| read(&site.path(file)));
    let before = kept();
    let told = site.refused("finetune", "run", &["--set", "finetune.schedule.learning_rate=0.5"]);
    assert!(told.contains("another recipe") && told.contains("--output"), "{told}");
    assert_eq!(kept(), before);
}

#[test]
fn another_second_stage_goes_on_from_the_same_first_one() {
    let site = Site::new();
    site.run("pretrain", "run", &[]);
    let weights = read(&site.path("run/pretrain/checkpoint/average.bpk"));
    // It needs no labels, nor a second stage.
    let told = site.refused("run", "alone", &["--set", "data.finetune=[]"]);
    assert!(told.contains("data.finetune") && told.contains("labels"), "{told}");
    site.run("pretrain", "alone", &["--set", "data.finetune=[]", "--set", "pretrain.schedule.images=64"]);
    let changed = ["--set", "finetune.schedule.images=320", "--set", "data.labels=0.5"];
    site.run("run", "run", &changed);
    assert_eq!(read(&site.path("run/pretrain/checkpoint/average.bpk")), weights, "it is not done again");
    let told = site.refused("run", "run", &[&changed[..], &["--set", "pretrain.schedule.images=1280"]].concat());
    assert!(told.contains("another recipe"), "{told}");
}

#[test]
fn a_network_is_taught_by_one_that_was_trained_before() {
    let site = Site::new();
    let short = ["--set", "finetune.schedule.images=320"];
    site.run("finetune", "before", &short);
    let teacher = site.path("before/finetune/network.safetensors");
    let taught = format!("finetune.teachers={{networks=[{teacher:?}], sets=[\"kdef:faces\"]}}");
    let taught = [&short[..], &["--set", &taught]].concat();
    let told = site.run("run", "run", &taught);
    assert!(told.contains("network.safetensors looks at") && !told.contains("looks at 0 pictures"), "{told}");
    let card = fs::read_to_string(site.path("run/model/tiny.md")).expect("a model card");
    assert!(card.contains("what a trained network says"), "{card}");

    let told = site.refused("cross-validate", "study", &[&taught[..], &["--folds", "2"]].concat());
    assert!(told.contains("`tiny` has teachers") && told.contains("finetune.teachers"), "{told}");
    let elsewhere = ["--set", "finetune.teachers.sets=[\"kdef:elsewhere\"]"];
    let told = site.refused("run", "other", &[&taught[..], &elsewhere].concat());
    assert!(told.contains("finetune.teachers.sets") && told.contains("data.finetune"), "{told}");

    // Another network by the same name is another teacher.
    site.run("finetune", "again", &["--set", "finetune.schedule.images=640"]);
    fs::copy(site.path("again/finetune/network.safetensors"), &teacher).expect("copied");
    let told = site.refused("run", "run", &taught);
    assert!(told.contains("another recipe"), "{told}");
    fs::remove_file(&teacher).expect("removed");
    let told = site.refused("run", "run", &taught);
    assert!(told.contains("network.safetensors") && told.contains("teacher"), "{told}");
}

#[test]
fn a_second_stage_that_began_from_other_weights_is_refused() {
    let site = Site::new();
    // Before there was a first stage: from fresh weights.
    site.run("finetune", "run", &[]);
    let told = site.refused("run", "run", &[]);
    assert!(told.contains("other weights") && told.contains("--output"), "{told}");
}

#[test]
fn the_same_names_with_other_pictures_are_other_pictures() {
    let site = Site::new();
    site.run("pretrain", "run", &[]);
    // Two angles of everybody change places.
    for person in ["AF01", "AM01", "AF02", "AM02"] {
        let [one, other] = ["HL", "HR"].map(|angle| site.path(&format!("data/faces/{person}/{person}AN{angle}.JPG")));
        let (left, right) = (read(&one), read(&other));
        fs::write(&one, right).expect("written");
        fs::write(&other, left).expect("written");
    }
    let told = site.refused("pretrain", "run", &[]);
    assert!(told.contains("other pictures"), "{told}");
}

#[test]
fn what_cannot_be_learnt_from_is_named_with_the_remedy() {
    let site = Site::new();
    let cases: [(&[&str], &[&str]); 6] = [
        (&["--set", "data.pretrain=[{set=\"fer2013:faces\"}]"], &["fer2013", "kdef:"]),
        (&["--set", "data.finetune=[{set=\"kdef:nowhere\"}]"], &["nowhere", "not there"]),
        (&["--set", "data.finetune=[{set=\"kdeff:faces\"}]"], &["kdeff"]),
        (&["--set", "finetune.schedule.learning_rate=-1"], &["finetune.schedule.learning_rate", "above 0"]),
        (&["--set", "finetune.schedule.learnin_rate=1"], &["learnin_rate"]),
        (&["--set", "data.without_views=[\"XX\"]"], &["XX", "FL"]),
    ];
    for (change, wanted) in cases {
        let told = site.refused("run", "run", change);
        assert!(wanted.iter().all(|word| told.contains(word)), "{change:?}: {told}");
        assert!(!told.contains("panicked"), "{told}");
    }
    assert!(!site.path("run/finetune").exists());
    let misspelt = ["--set", "finetune.schedule.learnin_rate=1"];
    vultus().args(site.args("run", "run")).args(misspelt).assert().code(2);
}

#[test]
fn a_class_without_a_picture_and_damaged_pictures_are_named() {
    let site = Site::new();
    let folder = site.path("data/faces");
    for person in ["AF01", "AM01", "AF02", "AM02"] {
        for angle in ["FL", "HL", "HR", "FR"] {
            fs::remove_file(folder.join(person).join(format!("{person}SU{angle}.JPG"))).expect("removed");
        }
    }
    let damaged = folder.join("AF01/AF01ANHL.JPG");
    let bytes = read(&damaged);
    fs::write(&damaged, &bytes[..bytes.len() / 3]).expect("written");
    let told = site.refused("run", "run", &[]);
    assert!(told.contains("surprised"), "{told}");
    assert!(told.contains("AF01ANHL.JPG"), "what was left out is told: {told}");
}

#[test]
fn recipes_are_compared_on_the_same_people() {
    let site = Site::new();
    let supervised = RECIPE.replace("name = \"tiny\"", "name = \"plain\"");
    let (head, tail) =
        (supervised.find("[pretrain]").expect("a table"), supervised.find("[finetune]").expect("a table"));
    let supervised = format!("{}{}", &supervised[..head], &supervised[tail..]);
    let plain = site.path("plain.toml");
    fs::write(&plain, supervised.replace("pretrain = [{ set = \"kdef:faces\" }]\n", "")).expect("written");
    let small = ["--folds", "2", "--set", "finetune.schedule.images=320", "--labels", "1,0.5", "--probe"];
    let args = [&[plain.to_str().expect("a path")][..], &small].concat();
    let output = vultus().args(site.args("cross-validate", "study")).args(&args).assert().success();
    let report = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    assert!(report.contains("| tiny") && report.contains("| plain"), "{report}");
    assert!(site.path("study/report.md").is_file());
    // Neither other folds nor folds that are not there go into the same report.
    let told = site.refused("cross-validate", "study", &["--folds", "3"]);
    assert!(told.contains("2 folds") && told.contains("--output"), "{told}");
    let told = site.refused("cross-validate", "study", &["--folds", "2", "--only-folds", "2"]);
    assert!(told.contains("no fold 2"), "{told}");
    let leaky = ["--folds", "2", "--labels", "0.5", "--set", "pretrain.method.alpha=1.0"];
    let told = site.refused("cross-validate", "labels", &leaky);
    assert!(told.contains("reads labels"), "{told}");
    let learnt = format!("kdef:{}", site.path("data/faces").display());
    let told = site.refused("cross-validate", "study", &["--folds", "2", "--test", &learnt]);
    assert!(told.contains("is learnt from"), "{told}");
    let told = site.refused("run", "evaluated", &["--evaluate", &learnt]);
    assert!(told.contains("`--evaluate") && told.contains("is learnt from"), "{told}");
    // Nothing is done again.
    let cell = site.path("study/tiny/seed-1/fold-0/labels-100/cell.json");
    let written = fs::metadata(&cell).expect("a cell").modified().expect("a time");
    vultus().args(site.args("cross-validate", "study")).args(&args).assert().success();
    assert_eq!(fs::metadata(&cell).expect("a cell").modified().expect("a time"), written);
}
