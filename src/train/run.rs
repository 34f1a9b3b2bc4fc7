//! A recipe, followed: from its data sets to a network that was pre-trained and fine-tuned.

use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::checkpoint;
use super::datasets::DatasetSpec;
use super::faces::{Faces, FacesError};
use super::folds::{self, FoldsError, Split};
use super::methods::distillation::Distillation;
use super::methods::{Method, MethodError, Settings as AnyMethod};
use super::recipe::{Finetune, Portion, Pretrain, Recipe, Trains};
use super::trainer::{Material, Stage, StageName, TrainError, Watch};
use crate::infer::manifest::sha256;
use crate::network::{Network, WeightsError};
use crate::plot::{self, PlotError, Scale, Titles, log_curves};

/// Why a recipe could not be followed to its end.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum RunError {
    #[error(transparent)]
    Faces(#[from] FacesError),
    #[error(transparent)]
    Folds(#[from] FoldsError),
    #[error(transparent)]
    Method(#[from] MethodError),
    #[error(transparent)]
    Plot(#[from] PlotError),
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error("a teacher of `finetune.teachers` cannot be asked: {0}")]
    Teacher(#[from] WeightsError),
    #[error("`data.without_views` names `{view}`, and there is no such view; there are {}", .known.join(", "))]
    NoView { view: String, known: Vec<String> },
}

/// Indices of faces, by what they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The first stage learns from these; one may stand there several times.
    pub pretrain: Vec<usize>,
    /// It is validated by these.
    pub pretrain_validation: Vec<usize>,
    /// The second stage learns from these.
    pub finetune: Vec<usize>,
    /// Of those, each once, its teachers are asked about these.
    pub taught: Vec<usize>,
    /// It is validated by these.
    pub finetune_validation: Vec<usize>,
}

impl Parts {
    /// The parts that `recipe` wants of what `split` lets it learn from: people for the validation are kept apart, then as
    /// many people have labels as it says. The paths of its sets are those of `faces` ([`rooted`]).
    ///
    /// # Errors
    /// [`RunError::NoView`], [`FacesError::NoSample`], and [`FacesError::SameSet`] if a set is named in two ways.
    pub fn of(recipe: &Recipe, faces: &Faces, split: &Split) -> Result<Self, RunError> {
        let data = &recipe.data;
        faces.check_sets()?;
        if let Some(view) = data.without_views.iter().find(|view| !faces.views.contains(view)) {
            return Err(RunError::NoView { view: view.clone(), known: faces.views.clone() });
        }
        let split = match data.validation {
            0.0 => split.clone(),
            share => split.clone().with_validation(faces, share, recipe.seed),
        };
        let labelled = folds::labelled(faces, &split.train, data.labels, recipe.seed);
        let is_seen = |face: &usize| {
            let view = &faces.views[faces.faces[*face].view];
            faces.faces[*face].expression.is_some() && !data.without_views.contains(view)
        };
        let finetune: Vec<usize> = portions(faces, &data.finetune, &labelled).into_iter().filter(is_seen).collect();
        let is_taught = |face: &usize| {
            let set = &faces.sets[faces.faces[*face].set].spec;
            recipe.finetune.teachers.as_ref().is_some_and(|teachers| teachers.are_asked_of(set))
        };
        let parts = Self {
            pretrain: portions(faces, &data.pretrain, &split.train),
            pretrain_validation: once(portions(faces, &data.pretrain, &split.validation)),
            taught: once(finetune.iter().copied().filter(is_taught).collect()),
            finetune,
            finetune_validation: once(portions(faces, &data.finetune, &split.validation))
                .into_iter()
                .filter(is_seen)
                .collect(),
        };
        if !data.finetune.is_empty() {
            faces.check_classes(&parts.finetune, "what the second stage learns from")?;
        }
        let learnt = [&parts.pretrain[..], &parts.finetune].concat();
        let validated = [&parts.pretrain_validation[..], &parts.finetune_validation].concat();
        faces.check_apart(&[("training", &learnt), ("validation", &validated)])?;
        Ok(parts)
    }
}

impl Parts {
    /// In words, how many there are for what.
    #[must_use]
    pub fn describe(&self) -> String {
        let Self { pretrain, pretrain_validation, finetune, finetune_validation, .. } = self;
        format!(
            "{} pictures for the first stage ({} to validate it), {} for the second ({} to validate it)",
            pretrain.len(),
            pretrain_validation.len(),
            finetune.len(),
            finetune_validation.len()
        )
    }
}

/// The faces of `of` that belong to the sets of `portions`, as often as their weights say.
fn portions(faces: &Faces, portions: &[Portion], of: &[usize]) -> Vec<usize> {
    let weights: Vec<usize> = faces
        .sets
        .iter()
        .map(|set| portions.iter().filter(|portion| portion.set == set.spec).map(|portion| portion.weight).sum())
        .collect();
    of.iter().flat_map(|&face| std::iter::repeat_n(face, weights[faces.faces[face].set])).collect()
}

fn once(mut indices: Vec<usize>) -> Vec<usize> {
    indices.sort_unstable();
    indices.dedup();
    indices
}

/// Where and by whom a recipe is followed.
pub struct Run<'a> {
    /// What is done.
    pub recipe: &'a Recipe,
    /// The faces of its sets.
    pub faces: &'a Faces,
    /// Who of them is for what.
    pub parts: &'a Parts,
    /// What computes, with gradients.
    pub device: &'a Device,
    /// Its folder: the stages write into folders in it.
    pub folder: &'a Path,
}

impl Run<'_> {
    /// A network as nobody has trained it.
    #[must_use]
    pub fn fresh(&self) -> Network {
        Network::new(&self.recipe.network, self.recipe.seed, self.device)
    }

    /// The first stage, if the recipe has one.
    ///
    /// # Errors
    /// [`RunError::Method`] when the faces lack what the method lives on.
    pub fn pretraining(&self) -> Result<Option<Stage<'_>>, RunError> {
        let Some(Pretrain { method, schedule, augment }) = &self.recipe.pretrain else { return Ok(None) };
        let method = self.method(method, &self.parts.pretrain)?;
        let Parts { pretrain: pool, pretrain_validation: validation, .. } = self.parts;
        let material = Material { faces: self.faces, pool, validation };
        let fingerprint = self.first_fingerprint();
        let (trains, seed) = (Trains::Everything, self.recipe.seed);
        Ok(Some(Stage { name: StageName::Pretrain, method, material, schedule, augment, trains, seed, fingerprint }))
    }

    /// The second stage.
    ///
    /// # Errors
    /// As of [`Run::pretraining`], and [`RunError::Teacher`].
    pub fn finetuning(&self) -> Result<Stage<'_>, RunError> {
        let Finetune { trains, method: labels, teachers, schedule, augment } = &self.recipe.finetune;
        let Parts { finetune: pool, finetune_validation: validation, .. } = self.parts;
        let mut method = self.method(&AnyMethod::Supervised(labels.clone()), pool)?;
        if let Some(teachers) = teachers {
            let said = teachers.say(self.faces, &self.parts.taught, self.device)?;
            method = Box::new(Distillation { labels: labels.clone(), said, share: teachers.share });
        }
        let material = Material { faces: self.faces, pool, validation };
        let fingerprint = self.second_fingerprint()?;
        let (trains, seed) = (*trains, self.recipe.seed);
        Ok(Stage { name: StageName::Finetune, method, material, schedule, augment, trains, seed, fingerprint })
    }

    /// Whether what the folder has of the stages, if anything, is of this recipe and this data.
    ///
    /// # Errors
    /// [`CheckpointError`](super::checkpoint::CheckpointError), by way of [`RunError::Train`], and [`RunError::Teacher`].
    pub fn check_folder(&self) -> Result<(), RunError> {
        let first = self.recipe.pretrain.is_some().then(|| (StageName::Pretrain, self.first_fingerprint()));
        for (stage, fingerprint) in first.into_iter().chain([(StageName::Finetune, self.second_fingerprint()?)]) {
            checkpoint::state(&self.folder.join(stage.as_str()), &fingerprint).map_err(TrainError::from)?;
        }
        Ok(())
    }

    /// `network` after the first stage, if the recipe has one.
    ///
    /// # Errors
    /// As of [`Run::pretraining`], and those of the trainer.
    pub fn pretrain(&self, network: Network, watch: &mut dyn Watch) -> Result<Network, RunError> {
        match self.pretraining()? {
            Some(stage) => self.stage(&stage, network, watch),
            None => Ok(network),
        }
    }

    /// `network` after the second stage.
    ///
    /// # Errors
    /// As of [`Run::pretrain`].
    pub fn finetune(&self, network: Network, watch: &mut dyn Watch) -> Result<Network, RunError> {
        self.stage(&self.finetuning()?, network, watch)
    }

    fn method(&self, settings: &AnyMethod, pool: &[usize]) -> Result<Box<dyn Method>, RunError> {
        let method = settings.method(self.faces, pool)?;
        method.notes().iter().for_each(|note| tracing::info!("{}: {note}", settings.name()));
        Ok(method)
    }

    fn stage(&self, stage: &Stage<'_>, network: Network, watch: &mut dyn Watch) -> Result<Network, RunError> {
        let folder = self.folder.join(stage.name.as_str());
        let network = stage.run(network, &folder, watch)?;
        let log = folder.join("log.jsonl");
        let failed = |path: PathBuf| move |source| TrainError::Log { path, source };
        let text = std::fs::read_to_string(&log).map_err(failed(log))?;
        let title = format!("{} of {}", stage.name.as_str(), self.recipe.name);
        let plots = [
            ("loss.svg", "loss, nats", &["loss", "validation_loss"][..]),
            ("accuracy.svg", "right on people kept apart, share", &["validation_accuracy"]),
        ];
        for (file, y, names) in plots {
            let curves = log_curves(&text, names)?;
            if !curves.is_empty() {
                let plot = plot::curves(Titles { title: &title, x: "step", y }, Scale::Linear, &curves)?;
                let file = folder.join(file);
                std::fs::write(&file, plot).map_err(failed(file))?;
            }
        }
        Ok(network)
    }

    fn first_fingerprint(&self) -> String {
        self.fingerprint(&self.recipe.of_first_stage(), &self.parts.pretrain)
    }

    /// By what the second stage's results are recognised.
    pub(super) fn second_fingerprint(&self) -> Result<String, RunError> {
        let own = self.fingerprint(self.recipe, &self.parts.finetune);
        match &self.recipe.finetune.teachers {
            Some(teachers) => Ok(sha256((own + &teachers.fingerprint()?).as_bytes())),
            None => Ok(own),
        }
    }

    /// By what a checkpoint knows that it is of this recipe and this data.
    fn fingerprint(&self, recipe: &Recipe, pool: &[usize]) -> String {
        sha256((recipe.fingerprint() + &self.faces.fingerprint(&once(pool.to_vec()))).as_bytes())
    }
}

/// All sets that recipes name, each once, below `root`.
#[must_use]
pub fn sets<'a>(recipes: impl IntoIterator<Item = &'a Recipe>, root: &Path) -> Vec<DatasetSpec> {
    let mut sets: Vec<DatasetSpec> = Vec::new();
    let portions = |recipe: &'a Recipe| recipe.data.pretrain.iter().chain(&recipe.data.finetune);
    for portion in recipes.into_iter().flat_map(portions) {
        let set = below(&portion.set, root);
        if !sets.contains(&set) {
            sets.push(set);
        }
    }
    sets
}

/// The set with its path below `root`, unless that is absolute.
#[must_use]
pub fn below(set: &DatasetSpec, root: &Path) -> DatasetSpec {
    DatasetSpec { path: root.join(&set.path), ..set.clone() }
}

/// The recipe with all its sets below `root`.
#[must_use]
pub fn rooted(recipe: &Recipe, root: &Path) -> Recipe {
    let mut recipe = recipe.clone();
    for portion in recipe.data.pretrain.iter_mut().chain(&mut recipe.data.finetune) {
        portion.set = below(&portion.set, root);
    }
    for set in recipe.finetune.teachers.iter_mut().flat_map(|teachers| &mut teachers.sets) {
        *set = below(set, root);
    }
    recipe
}

/// The folder that a run of `recipe` goes into unless another is named.
#[must_use]
pub fn default_folder(recipe: &Recipe) -> PathBuf {
    Path::new("runs").join(&recipe.name)
}
