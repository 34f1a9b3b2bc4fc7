//! What the training verbs have in common: where data lies, where prepared faces are kept, and what computes.

use std::path::{Path, PathBuf};

use anyhow::Context;
use vultus::config::{Config, RuntimeChoice};
use vultus::infer::Runtime;
use vultus::infer::manifest::Models;
use vultus::train::datasets::DatasetSpec;
use vultus::train::faces::Faces;
use vultus::train::prepare::{Preparation, Progress};
use vultus::train::recipe::Recipe;

use crate::commands::status::progress_bar;

/// Where data lies.
#[derive(clap::Args)]
pub(super) struct Options {
    /// The folder that the recipe's data sets lie in
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub data: PathBuf,

    /// Keep prepared faces here [default: the user's folder for caches]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,

    /// What runs the detector [default: auto]
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

    /// The faces of `sets`, in one; what was used and left out goes into the log.
    pub(super) fn faces(&self, sets: &[DatasetSpec], config: &Config) -> anyhow::Result<Faces> {
        let models = Models::chosen(&config.models)?;
        let runtime = Runtime::start(self.runtime.unwrap_or(config.inference.runtime))?;
        let cache = self.cache.clone().or_else(default_cache);
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let preparation = Preparation {
            runtime: &runtime,
            detector: &models.detector,
            detection: config.detection,
            threads: config.inference.threads.unwrap_or(threads),
            cache: cache.as_deref(),
        };
        let prepared = sets.iter().map(|set| {
            let bar = progress_bar(0, "pictures");
            let faces = preparation.faces(set, &|Progress { done, total }| {
                bar.set_length(total.unwrap_or(done));
                bar.set_position(done);
            });
            bar.finish_and_clear();
            faces.with_context(|| format!("{set} cannot be used"))
        });
        let faces = Faces::join(prepared.collect::<anyhow::Result<Vec<_>>>()?);
        faces.report().lines().for_each(|line| tracing::info!("{line}"));
        Ok(faces)
    }
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
