//! What the training verbs have in common: where data lies, where prepared faces are kept, and what computes.

use std::path::{Path, PathBuf};

use anyhow::Context;
use burn::tensor::Device;
use vultus::config::{Config, RuntimeChoice};
use vultus::infer::Runtime;
use vultus::infer::manifest::Models;
use vultus::network::device;
use vultus::train::datasets::DatasetSpec;
use vultus::train::faces::Faces;
use vultus::train::folds::Split;
use vultus::train::prepare::{OnProgress, Preparation, Progress};
use vultus::train::recipe::Recipe;
use vultus::train::report::Provenance;
use vultus::train::run::{Parts, rooted, sets};

use crate::commands::status::progress_bar;
use crate::commands::today::today;

/// Where data lies.
#[derive(clap::Args)]
pub(super) struct Options {
    /// The folder that the recipe's data sets lie in
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub data: PathBuf,

    /// Keep prepared faces here [default: the user's folder for caches]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,

    /// What runs the detector and the exported model [default: auto]
    #[arg(long, value_enum)]
    runtime: Option<RuntimeChoice>,

    /// Change the recipe: a key and a TOML value, such as `seed=2` or `finetune.schedule.images=100000`; may be given again
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Options {
    /// The recipe at `path`, with what `--set` changes.
    pub(super) fn recipe(&self, path: &Path) -> anyhow::Result<Recipe> {
        Ok(Recipe::load(path, &self.set)?)
    }

    /// What runs models.
    pub(super) fn runtime(&self, config: &Config) -> RuntimeChoice {
        self.runtime.unwrap_or(config.inference.runtime)
    }

    /// The faces of a recipe's sets, and who of them is for what when all are learnt from.
    pub(super) fn parts(&self, recipe: &Recipe, config: &Config) -> anyhow::Result<(Faces, Parts)> {
        let faces = self.faces(&sets([recipe], &self.data), config)?;
        let split = Split { train: faces.all(), ..Split::default() };
        let parts = Parts::of(&rooted(recipe, &self.data), &faces, &split)?;
        Ok((faces, parts))
    }

    /// The faces of `sets`, in one; what was used and left out goes into the log.
    pub(super) fn faces(&self, sets: &[DatasetSpec], config: &Config) -> anyhow::Result<Faces> {
        let models = Models::chosen(&config.models)?;
        let runtime = Runtime::start(self.runtime(config))?;
        let cache = self.cache.clone().or_else(default_cache);
        let preparation = Preparation {
            runtime: &runtime,
            detector: &models.detector,
            detection: config.detection,
            threads: config.inference.threads(),
            cache: cache.as_deref(),
        };
        let prepared = sets.iter().map(|set| {
            let faces = follow(|on_progress| preparation.faces(set, on_progress));
            faces.with_context(|| format!("{set} cannot be used"))
        });
        let faces = Faces::join(prepared.collect::<anyhow::Result<Vec<_>>>()?);
        faces.report().lines().for_each(|line| tracing::info!("{line}"));
        Ok(faces)
    }
}

/// Whether `tests`, which the option `option` names, are none of the sets that are learnt from.
pub(super) fn check_unlearnt(option: &str, tests: &[DatasetSpec], learnt: &[DatasetSpec]) -> anyhow::Result<()> {
    let is_learnt =
        |test: &&DatasetSpec| learnt.iter().any(|set| set.choice == test.choice && set.place() == test.place());
    match tests.iter().find(is_learnt) {
        Some(test) => anyhow::bail!("`{option} {test}` is learnt from: name a set that no recipe has"),
        None => Ok(()),
    }
}

/// By what, when and where figures were made, with what `device` trains on.
pub(super) fn provenance(seed: u64, device: &Device) -> Provenance {
    let words = std::env::args().skip(1).map(|word| if word.contains(' ') { format!("'{word}'") } else { word });
    let command = std::iter::once("vultus".to_owned()).chain(words).collect::<Vec<_>>().join(" ");
    Provenance { command, seed, date: today(), machine: machine(device) }
}

/// The processor and its cores, and what else computes.
fn machine(device: &Device) -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = told.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or(std::env::consts::ARCH, |(_, model)| model.trim());
    let cores = if cores == 1 { "1 core".to_owned() } else { format!("{cores} cores") };
    let gpu = device::gpu_name(device).map_or_else(String::new, |gpu| format!(", trained on {gpu}"));
    format!("{cores} of {model}, {}{gpu}", std::env::consts::OS)
}

/// Does `work`, and shows how far it is.
pub(super) fn follow<T>(work: impl FnOnce(OnProgress<'_>) -> T) -> T {
    let bar = progress_bar(0, "pictures");
    let done = work(&|Progress { done, total }| {
        bar.set_length(total.unwrap_or(done));
        bar.set_position(done);
    });
    bar.finish_and_clear();
    done
}

/// The folder of the user's that the system has for what can be made anew.
fn default_cache() -> Option<PathBuf> {
    let named = |variable: &str| std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    let folder = if cfg!(target_os = "macos") {
        named("HOME").map(|home| home.join("Library/Caches"))
    } else if cfg!(windows) {
        named("LOCALAPPDATA")
    } else {
        named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache")))
    };
    folder.map(|folder| folder.join("vultus").join("faces"))
}
