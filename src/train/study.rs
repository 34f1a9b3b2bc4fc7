//! Cross-validation: recipes compared on the same folds, seeds, shares of labels and views left out.
//!
//! A study is made of cells, one a recipe, seed, fold and condition; each is kept when it is done, so that a study that was
//! broken off goes on. The first stage of a recipe is done once a seed and fold, and serves all conditions: it sees no labels (unless its
//! method does) and all views.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::faces::Faces;
use super::folds::{By, Split};
use super::metrics::{Answer, Answers};
use super::model::answers;
use super::recipe::{Recipe, Trains};
use super::report::Provenance;
use super::run::{Parts, Run, RunError};
use super::trainer::Watch;
use crate::capture::folder::files_below;
use crate::network::Network;

/// The file in a cell's folder that keeps its result.
const CELL: &str = "cell.json";

/// Why a study could not be finished.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum StudyError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(
        "`{recipe}` has teachers, who may have learnt from the people that it would be tested on: leave `finetune.teachers` out"
    )]
    Teachers { recipe: String },
    #[error("there is no fold {fold}: of {folds} folds the first is 0 and the last {}", .folds - 1)]
    NoFold { fold: usize, folds: usize },
    #[error(
        "the first stage of `{recipe}` reads labels, of everybody: with fewer labels it cannot be compared. Leave it out, or \
         `--labels`"
    )]
    LabelledFirstStage { recipe: String },
    #[error("{} was split into {found}, not into {wanted}: take another folder with `--output`", .path.display())]
    OtherFolds { path: PathBuf, found: String, wanted: String },
    #[error("cannot keep the results in {}; look after the room on its disk", .path.display())]
    Keep { path: PathBuf, source: std::io::Error },
    #[error("the results in {} cannot be read: {reason}. Delete the file: its cell is then done anew", .path.display())]
    Kept { path: PathBuf, reason: String },
}

/// Under which condition the second stage learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// Share of the people whose labels it may use.
    pub labels: f64,
    /// A view that it does not see.
    pub without_view: Option<String>,
    /// Whether the encoder is frozen (linear probe).
    pub probe: bool,
}

impl Condition {
    /// All labels, all views, everything learns.
    pub const FULL: Self = Self { labels: 1.0, without_view: None, probe: false };

    /// Its name, of a folder too.
    #[must_use]
    pub fn name(&self) -> String {
        let mut name = format!("labels-{}", self.labels * 100.0);
        if let Some(view) = &self.without_view {
            name.push_str("-without-");
            name.push_str(view);
        }
        if self.probe {
            name.push_str("-probe");
        }
        name
    }
}

/// What a study compares, and on what.
pub struct Study<'a> {
    /// The recipes.
    pub recipes: &'a [Recipe],
    /// The faces of the recipes' sets, which are split into folds.
    pub faces: &'a Faces,
    /// Test sets beside the fold that is left out; nobody learns from them.
    pub tests: &'a [(String, Faces)],
    /// What is divided…
    pub by: By,
    /// … into how many folds.
    pub folds: usize,
    /// Of these, those that are done; all if empty.
    pub only_folds: &'a [usize],
    /// The split does not depend on the recipes' seeds.
    pub split_seed: u64,
    /// Conditions, each with the recipes (by name) and the seeds that it is done for.
    pub cells: &'a [Wanted],
    /// What computes, with gradients.
    pub device: &'a Device,
    /// By what, when and on what the cells that are not done yet are made; each with its own seed.
    pub made: &'a Provenance,
    /// Where cells are kept.
    pub folder: &'a Path,
}

/// A row of cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Under which condition.
    pub condition: Condition,
    /// With which recipe, by its place among the recipes.
    pub recipe: usize,
    /// With which seed.
    pub seed: u64,
}

/// The result of one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The recipe's name.
    pub recipe: String,
    /// Its seed.
    pub seed: u64,
    /// The fold that it was tested on.
    pub fold: usize,
    /// Of how many folds, and what was divided.
    pub folds: String,
    /// Under which condition.
    pub condition: Condition,
    /// By what its second stage is recognised.
    pub fingerprint: String,
    /// How it was made, and with which seed.
    pub made: Provenance,
    /// The fold's people first, then the test sets.
    pub tests: Vec<Tested>,
}

/// How a network did on a set of faces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// `fold`, or the test set's name.
    pub set: String,
    /// By what its faces are recognised.
    pub fingerprint: String,
    /// Names of its views.
    pub views: Vec<String>,
    /// One a face, in the order of the faces.
    pub answers: Vec<Answer>,
    /// Mean average precision of finding the same person with the same expression from another angle, by the encoder
    /// after the second stage.
    pub retrieval: Option<f64>,
    /// The same by the encoder after the first stage, if there was one.
    pub retrieval_pretrained: Option<f64>,
}

impl Study<'_> {
    /// Does what is not done yet, and gives all cells: those that were asked for, then what else the folder has of other
    /// recipes, seeds and conditions.
    ///
    /// # Errors
    /// Every [`StudyError`]; cells that are done are kept.
    pub fn run(&self, watch: &mut dyn Watch) -> Result<Vec<Cell>, StudyError> {
        if let Some(recipe) = self.recipes.iter().find(|recipe| recipe.finetune.teachers.is_some()) {
            return Err(StudyError::Teachers { recipe: recipe.name.clone() });
        }
        if let Some(&fold) = self.only_folds.iter().find(|fold| **fold >= self.folds) {
            return Err(StudyError::NoFold { fold, folds: self.folds });
        }
        let recipe_of = |wanted: &Wanted| &self.recipes[wanted.recipe];
        let is_scarce = |wanted: &&Wanted| recipe_of(wanted).data.labels * wanted.condition.labels < 1.0;
        let reads_labels = |recipe: &&Recipe| recipe.pretrain.as_ref().is_some_and(|stage| stage.method.reads_labels());
        if let Some(recipe) = self.cells.iter().filter(is_scarce).map(recipe_of).find(reads_labels) {
            return Err(StudyError::LabelledFirstStage { recipe: recipe.name.clone() });
        }
        let kept = self.kept()?;
        let folds = self.by.folds(self.faces, self.folds, self.split_seed).map_err(RunError::from)?;
        let mut cells = Vec::new();
        for (fold, split) in folds.iter().enumerate() {
            if !self.only_folds.is_empty() && !self.only_folds.contains(&fold) {
                continue;
            }
            for wanted in self.cells {
                cells.push(self.cell(wanted, fold, split, watch)?);
            }
        }
        for cell in kept {
            let is_known = |other: &Cell| cell.place() == other.place();
            if !cells.iter().any(is_known) {
                cells.push(cell);
            }
        }
        Ok(cells)
    }

    /// All cells that the folder has.
    fn kept(&self) -> Result<Vec<Cell>, StudyError> {
        let failed = |source| StudyError::Keep { path: self.folder.to_owned(), source };
        let mut cells = Vec::new();
        if !self.folder.is_dir() {
            return Ok(cells);
        }
        for file in files_below(self.folder).map_err(failed)?.iter().filter(|file| file.ends_with(CELL)) {
            let path = self.folder.join(file);
            let cell = read_cell(&path)?;
            if cell.folds != self.division() {
                return Err(StudyError::OtherFolds { path, found: cell.folds, wanted: self.division() });
            }
            cells.push(cell);
        }
        Ok(cells)
    }

    /// Whether a cell was tested on the study's test sets as they are now.
    fn has_tests(&self, cell: &Cell) -> bool {
        let wanted = self.tests.iter().map(|(_, faces)| faces.fingerprint(&faces.all()));
        cell.tests.iter().skip(1).map(|tested| tested.fingerprint.clone()).eq(wanted)
    }

    /// How people are divided, in words.
    fn division(&self) -> String {
        format!("{} folds, split {}", self.folds, self.by.words(self.faces))
    }

    fn cell(&self, wanted: &Wanted, fold: usize, split: &Split, watch: &mut dyn Watch) -> Result<Cell, StudyError> {
        let base = &self.recipes[wanted.recipe];
        let begun = self.folder.join(&base.name).join(format!("seed-{}", wanted.seed)).join(format!("fold-{fold}"));
        let folder = begun.join(wanted.condition.name());
        let kept = folder.join(CELL);
        let run = |recipe, parts, folder| Run { recipe, faces: self.faces, parts, device: self.device, folder };
        let mut recipe = base.clone();
        recipe.seed = wanted.seed;
        let mut changed = recipe.clone();
        changed.data.labels *= wanted.condition.labels;
        changed.data.without_views.extend(wanted.condition.without_view.clone());
        if wanted.condition.probe {
            changed.finetune.trains = Trains::Classifier;
        }
        let changed_parts = Parts::of(&changed, self.faces, split)?;
        let finetuning = run(&changed, &changed_parts, &folder);
        let fingerprint = finetuning.second_fingerprint()?;
        // What was tested on other sets is tested again; what was trained otherwise, its checkpoint refuses.
        if let Some(cell) = kept.is_file().then(|| read_cell(&kept)).transpose()?
            && cell.fingerprint == fingerprint
            && self.has_tests(&cell)
        {
            return Ok(cell);
        }
        let parts = Parts::of(&recipe, self.faces, split)?;
        let pretraining = run(&recipe, &parts, &begun);
        let pretrained = pretraining.pretrain(pretraining.fresh(), watch)?;
        let network = finetuning.finetune(pretrained.clone(), watch)?;
        let pretrained = recipe.pretrain.is_some().then_some(&pretrained);
        let tests = std::iter::once(("fold", self.faces, split.test.clone()));
        let tests = tests.chain(self.tests.iter().map(|(name, faces)| (name.as_str(), faces, faces.all())));
        let cell = Cell {
            recipe: base.name.clone(),
            seed: wanted.seed,
            fold,
            folds: self.division(),
            condition: wanted.condition.clone(),
            fingerprint,
            made: Provenance { seed: wanted.seed, ..self.made.clone() },
            tests: tests.map(|(set, faces, of)| Tested::of(set, faces, &of, &network, pretrained)).collect(),
        };
        let keep =
            |path: &Path| serde_json::to_vec(&cell).map_err(std::io::Error::from).and_then(|t| fs::write(path, t));
        let unfinished = kept.with_extension("new");
        keep(&unfinished)
            .and_then(|()| fs::rename(&unfinished, &kept))
            .map_err(|source| StudyError::Keep { path: kept.clone(), source })?;
        Ok(cell)
    }
}

impl Cell {
    /// What there is one cell of.
    fn place(&self) -> (&str, u64, usize, String) {
        (&self.recipe, self.seed, self.fold, self.condition.name())
    }
}

impl Tested {
    /// How `network`, and the same before its second stage, do on those of `faces` that have a label.
    fn of(set: &str, faces: &Faces, of: &[usize], network: &Network, pretrained: Option<&Network>) -> Self {
        let said = answers(network, faces, of);
        let found_again = |said: &Answers| Some(said.retrieval()?.mean_average_precision);
        Self {
            set: set.to_owned(),
            fingerprint: faces.fingerprint(of),
            retrieval: found_again(&said),
            retrieval_pretrained: pretrained.and_then(|network| found_again(&answers(network, faces, of))),
            views: said.views,
            answers: said.answers,
        }
    }
}

fn read_cell(path: &Path) -> Result<Cell, StudyError> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string());
    let cell = text.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
    cell.map_err(|reason| StudyError::Kept { path: path.to_owned(), reason })
}
