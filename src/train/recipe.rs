//! Recipes: a TOML file that says what is learnt from what, how, and from which seed. `docs/reference/recipes.md` explains
//! each key; `models/recipes/` holds one for each method.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::augment;
use super::datasets::DatasetSpec;
use super::export::is_model_name;
use super::fault::{self, Check};
use super::methods;
use super::teachers::Teachers;
use crate::infer::manifest::sha256;
use crate::network::Architecture;

/// Why a recipe cannot be followed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum RecipeError {
    #[error("cannot read the recipe {}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {reason}\nThe keys are listed in docs/reference/recipes.md", .path.display())]
    Parse { path: PathBuf, reason: String },
    #[error("{}: `{key}` must be {wanted}", .path.display())]
    Value { path: PathBuf, key: String, wanted: String },
}

/// What is learnt from what, and how.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Its name, and that of the model it makes.
    pub name: String,
    /// What it is for, in a sentence or two.
    #[serde(default)]
    pub about: String,
    /// All randomness comes from it.
    #[serde(default = "one")]
    pub seed: u64,
    /// What is learnt from.
    pub data: Data,
    /// What learns.
    #[serde(default)]
    pub network: Architecture,
    /// The first stage: representations; none of a recipe that is supervised alone.
    pub pretrain: Option<Pretrain>,
    /// The second stage: classes.
    #[serde(default)]
    pub finetune: Finetune,
}

fn one() -> u64 {
    1
}

/// What is learnt from.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Sets for the first stage; no labels are needed but by methods that say so.
    #[serde(default)]
    pub pretrain: Vec<Portion>,
    /// Sets for the second stage; pictures without a label are left out. None of a recipe that is a first stage alone.
    #[serde(default)]
    pub finetune: Vec<Portion>,
    /// Share of the people (of pictures, where it is not known who is who) that are kept apart to stop early by.
    #[serde(default = "tenth")]
    pub validation: f64,
    /// Share of the people whose labels the second stage may use. The first stage sees all people, and their labels only if
    /// its method reads labels.
    #[serde(default = "whole")]
    pub labels: f64,
    /// Views that the second stage does not see, by name (`FL`…).
    #[serde(default)]
    pub without_views: Vec<String>,
}

fn tenth() -> f64 {
    0.1
}

fn whole() -> f64 {
    1.0
}

/// A data set's part in a stage.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Portion {
    /// The set; its path is relative to the folder of data (`--data`).
    pub set: DatasetSpec,
    /// How many times each of its pictures stands in an epoch.
    #[serde(default = "once")]
    pub weight: usize,
    /// On what terms it may be used; it stands in the model card and in the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<String>,
}

fn once() -> usize {
    1
}

/// What both stages say of their training.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Pictures that the network sees in all, every view and augmentation counted.
    pub images: u64,
    /// Batches of which the gradients are added up before a step is taken.
    pub accumulate: usize,
    /// Largest learning rate of AdamW; it rises over the warm-up, then falls along a cosine to a hundredth.
    pub learning_rate: f64,
    /// The encoder's, as a share of it.
    pub encoder_rate: f64,
    /// Share of the steps in which the learning rate rises.
    pub warm_up: f64,
    /// Decoupled weight decay of AdamW.
    pub weight_decay: f32,
    /// Decay of the exponential moving average of the weights, which is what is validated and kept.
    pub ema: f64,
    /// Validations a stage.
    pub validations: u64,
    /// Stop after so many validations without a better one; 0 never stops early.
    pub patience: u64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            images: 500_000,
            accumulate: 1,
            learning_rate: 1e-3,
            encoder_rate: 1.0,
            warm_up: 0.05,
            weight_decay: 0.05,
            ema: 0.998,
            validations: 20,
            patience: 0,
        }
    }
}

/// The first stage.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Pretrain {
    /// What is a positive, what is a negative, and the loss.
    pub method: methods::Settings,
    /// How long and how fast.
    #[serde(default)]
    pub schedule: Schedule,
    /// How pictures are changed.
    #[serde(default = "augment::Settings::strong")]
    pub augment: augment::Settings,
}

/// The second stage.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Finetune {
    /// What of the network learns.
    #[serde(default)]
    pub trains: Trains,
    /// Pictures a batch, label smoothing, weights of classes.
    #[serde(default)]
    pub method: methods::supervised::Settings,
    /// Trained networks whose answers are learnt too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teachers: Option<Teachers>,
    /// How long and how fast.
    #[serde(default)]
    pub schedule: Schedule,
    /// How pictures are changed.
    #[serde(default = "augment::Settings::moderate")]
    pub augment: augment::Settings,
}

impl Default for Finetune {
    fn default() -> Self {
        let (trains, method, teachers, schedule) = Default::default();
        Self { trains, method, teachers, schedule, augment: augment::Settings::moderate() }
    }
}

/// What of the network learns in the second stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trains {
    /// All of it (fine-tuning).
    #[default]
    Everything,
    /// The classifier alone, on a frozen encoder (linear probe).
    Classifier,
}

impl Recipe {
    /// Reads and checks `path`, with `changes` to it: each a key, of a table perhaps, and a value as TOML has it, such as
    /// `finetune.schedule.images=1000`. A value that is no TOML is taken for a string.
    ///
    /// # Errors
    /// Every [`RecipeError`]: the file, the key and what it must be are named.
    pub fn load(path: &Path, changes: &[String]) -> Result<Self, RecipeError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| RecipeError::Read { path: path.to_owned(), source })?;
        let bad = |reason: String| RecipeError::Parse { path: path.to_owned(), reason };
        if changes.is_empty() {
            // Read at once, an error tells its line.
            return Self::checked(toml::from_str(&text).map_err(|error| bad(error.to_string()))?, path);
        }
        let mut table: toml::Table = toml::from_str(&text).map_err(|error| bad(error.to_string()))?;
        for change in changes {
            set(&mut table, change).map_err(bad)?;
        }
        Self::checked(table.try_into().map_err(|error: toml::de::Error| bad(error.to_string()))?, path)
    }

    fn checked(recipe: Self, path: &Path) -> Result<Self, RecipeError> {
        match recipe.fault() {
            Some((key, wanted)) => Err(RecipeError::Value { path: path.to_owned(), key, wanted }),
            None => Ok(recipe),
        }
    }

    /// Checks that it has something to learn classes from; `path` is where it was read.
    ///
    /// # Errors
    /// [`RecipeError::Value`].
    pub fn check_second_stage(&self, path: &Path) -> Result<(), RecipeError> {
        if !self.data.finetune.is_empty() {
            return Ok(());
        }
        let (key, wanted) = (
            "data.finetune".to_owned(),
            "at least one data set with labels: without one there is a first stage alone".to_owned(),
        );
        Err(RecipeError::Value { path: path.to_owned(), key, wanted })
    }

    /// As TOML, every key written out.
    ///
    /// # Errors
    /// When a value cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }

    /// What its first stage depends on: the same for recipes that differ in the second one alone.
    #[must_use]
    pub fn of_first_stage(&self) -> Self {
        let data = Data { finetune: Vec::new(), labels: whole(), without_views: Vec::new(), ..self.data.clone() };
        Self { data, finetune: Finetune::default(), ..self.clone() }
    }

    /// What two recipes that train alike have in common, hexadecimal: all but their names and descriptions.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let anonymous = Self { name: String::new(), about: String::new(), ..self.clone() };
        sha256(anonymous.to_toml().unwrap_or_default().as_bytes())
    }

    /// The first value that makes no sense, and what it must be.
    fn fault(&self) -> Option<(String, String)> {
        let Self { name, data, network, pretrain, finetune, .. } = self;
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let is_learnt = |set: &DatasetSpec| data.finetune.iter().any(|portion| portion.set == *set);
        let mut checks = vec![
            (is_model_name(name), "name".to_owned(), "small letters, digits, `-` and `_`, beginning with a letter"),
            (
                !data.finetune.is_empty() || pretrain.is_some(),
                "data.finetune".to_owned(),
                "at least one data set, as there is no first stage",
            ),
            ((0.0..0.9).contains(&data.validation), "data.validation".to_owned(), "from 0 to below 0.9"),
            (data.labels > 0.0 && share(data.labels), "data.labels".to_owned(), "above 0, at most 1"),
            (
                finetune.teachers.iter().flat_map(|teachers| &teachers.sets).all(is_learnt),
                "finetune.teachers.sets".to_owned(),
                "some of the sets of `data.finetune`",
            ),
            (
                pretrain.is_none() || !data.pretrain.is_empty(),
                "data.pretrain".to_owned(),
                "at least one data set, as there is a table `[pretrain]`",
            ),
        ];
        let mut portions = data.pretrain.iter().chain(&data.finetune);
        let weights = portions.all(|portion| (1..=1000).contains(&portion.weight));
        checks.push((weights, "data.*.weight".to_owned(), "between 1 and 1000"));
        let stages =
            [("pretrain", pretrain.as_ref().map(|stage| &stage.schedule)), ("finetune", Some(&finetune.schedule))];
        let found = checks.into_iter().find(|(holds, ..)| !holds).map(|(_, key, wanted)| (key, wanted.to_owned()));
        let method = || pretrain.as_ref().and_then(|stage| stage.method.fault("pretrain.method"));
        let schedule = |(stage, schedule): (&str, Option<&Schedule>)| {
            fault::first(&format!("{stage}.schedule"), &schedule?.checks())
        };
        found
            .or_else(|| stages.into_iter().find_map(schedule))
            .or_else(|| network.fault().map(|(key, wanted)| (format!("network.{key}"), wanted)))
            .or_else(method)
            .or_else(|| finetune.method.fault("finetune.method"))
            .or_else(|| finetune.teachers.as_ref().and_then(|teachers| teachers.fault("finetune.teachers")))
            .or_else(|| pretrain.as_ref().and_then(|stage| stage.augment.fault("pretrain.augment")))
            .or_else(|| finetune.augment.fault("finetune.augment"))
    }
}

/// Makes one change to a table.
fn set(table: &mut toml::Table, change: &str) -> Result<(), String> {
    let no_change = || format!("`{change}` is no change: give KEY=VALUE, such as `finetune.schedule.images=1000`");
    let (key, value) = change.split_once('=').filter(|(key, _)| !key.trim().is_empty()).ok_or_else(no_change)?;
    let mut keys = key.trim().split('.');
    let last = keys.next_back().ok_or_else(no_change)?;
    let mut inner = table;
    for key in keys {
        let entry = inner.entry(key).or_insert_with(|| toml::Table::new().into());
        inner = entry.as_table_mut().ok_or_else(|| format!("`{change}`: `{key}` is no table"))?;
    }
    let value = value.parse().unwrap_or_else(|_| toml::Value::String(value.to_owned()));
    inner.insert(last.to_owned(), value);
    Ok(())
}

impl Schedule {
    fn checks(&self) -> [Check; 8] {
        [
            (self.images > 0, "images", "above 0"),
            ((1..=1024).contains(&self.accumulate), "accumulate", "between 1 and 1024"),
            (self.learning_rate > 0.0 && self.learning_rate <= 10.0, "learning_rate", "above 0, at most 10"),
            ((0.0..=1.0).contains(&self.encoder_rate), "encoder_rate", "between 0 and 1"),
            ((0.0..1.0).contains(&self.warm_up), "warm_up", "from 0 to below 1"),
            ((0.0..=1.0).contains(&self.weight_decay), "weight_decay", "between 0 and 1"),
            ((0.0..1.0).contains(&self.ema), "ema", "from 0 to below 1"),
            ((1..=10_000).contains(&self.validations), "validations", "between 1 and 10000"),
        ]
    }

    /// The learning rate of step `step` of `steps`: a linear rise, then half a cosine down to a hundredth (I. Loshchilov,
    /// F. Hutter, "SGDR", 2017).
    #[must_use]
    pub fn learning_rate_at(&self, step: u64, steps: u64) -> f64 {
        let (step, steps) = (step as f64, steps.max(1) as f64);
        let warm_up = (self.warm_up * steps).ceil();
        if step < warm_up {
            return self.learning_rate * (step + 1.0) / warm_up;
        }
        let share = (step - warm_up) / (steps - warm_up).max(1.0);
        let floor = 0.01;
        self.learning_rate * (floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * share).cos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    fn read(text: &str) -> Recipe {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("recipe.toml");
        std::fs::write(&path, text).expect("written");
        Recipe::load(&path, &[]).expect("a recipe")
    }

    /// A first stage alone, by this method.
    fn first_stage(method: &str) -> Recipe {
        read(&format!(
            "name = \"lab\"\n[data]\npretrain = [{{ set = \"take:lab\", terms = \"ours\" }}]\n[pretrain]\n\
             method = {{ name = \"{method}\" }}\n"
        ))
    }

    #[test]
    fn every_recipe_that_is_shipped_can_be_read_and_is_its_file_s_name() {
        let mut count = 0;
        for entry in std::fs::read_dir(root().join("models/recipes")).expect("a folder") {
            let path = entry.expect("an entry").path();
            let recipe = Recipe::load(&path, &[]).expect("a recipe");
            assert_eq!(Some(recipe.name.as_str()), path.file_stem().and_then(|name| name.to_str()));
            assert!(!recipe.about.is_empty(), "{}", path.display());
            assert_eq!(read(&recipe.to_toml().expect("TOML")), recipe);
            count += 1;
        }
        assert!(count >= 7, "one for each method, at least");
    }

    #[test]
    fn a_first_stage_alone_needs_nothing_of_the_second() {
        let recipe = first_stage("cl-mex");
        assert_eq!(recipe.finetune, Finetune::default());
        let message = recipe.check_second_stage(Path::new("lab.toml")).expect_err("no second stage").to_string();
        assert!(message.contains("lab.toml") && message.contains("data.finetune"), "{message}");
    }

    #[test]
    fn the_reference_explains_every_key() {
        fn keys(value: &toml::Value, found: &mut Vec<String>) {
            match value {
                toml::Value::Table(table) => table.iter().for_each(|(key, value)| {
                    found.push(key.clone());
                    keys(value, found);
                }),
                toml::Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
                _ => {}
            }
        }
        let reference = std::fs::read_to_string(root().join("docs/reference/recipes.md")).expect("the reference");
        let mut found = Vec::new();
        for method in ["cl-mex", "ssl-fer", "contrawarping", "crs-cont", "simclr", "supervised"] {
            let mut recipe = first_stage(method);
            recipe.network.widths = Some([32; 4]);
            let teachers = "networks = [\"a.safetensors\"]";
            recipe.finetune.teachers = Some(toml::from_str(teachers).expect("teachers"));
            assert!(reference.contains(&format!("`{method}`")), "{method}");
            keys(&toml::Value::try_from(recipe).expect("TOML"), &mut found);
        }
        assert!(found.len() > 100);
        for key in found {
            let is_told = [format!("`{key}`"), format!(".{key}`"), format!("`[{key}]`"), format!("`{key}.")];
            assert!(is_told.iter().any(|told| reference.contains(told)), "{key}");
        }
    }
}
