//! An exported model on a data set, through the live pipeline's own detection, alignment and normalisation.

use serde::{Deserialize, Serialize};

use super::metrics::{Answer, Metrics, Pictured, Retrieval, fused, retrieval};
use super::report::{percent, table};
use crate::scene::Expression;

/// How good the views of a scene are together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fused {
    /// Scenes, each an instant of one person.
    pub scenes: u64,
    /// How many views a scene has, on average.
    pub views: f64,
    /// Share of right scenes; one in which no view found the face is wrong.
    pub accuracy: f64,
    /// Mean F1 over the classes with a scene.
    pub macro_f1: f64,
    /// Mean negative log-likelihood.
    pub nll: f64,
    /// Expected calibration error.
    pub ece: f64,
}

impl Fused {
    /// That of `answers`; `None` if no scene has two views.
    #[must_use]
    pub fn of(answers: &[Answer]) -> Option<Self> {
        let together = fused(answers);
        if together.len() == answers.len() {
            return None;
        }
        let Metrics { faces, accuracy, macro_f1, nll, ece, .. } = Metrics::of(&together, &[])?;
        Some(Self { scenes: faces, views: answers.len() as f64 / faces as f64, accuracy, macro_f1, nll, ece })
    }
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The model's name in its manifest.
    pub model: String,
    /// Its file's hash.
    pub sha256: String,
    /// The data set, as it was asked for.
    pub data: String,
    /// Pictures that could not be used, as they are damaged or nobody says how the face looks; they count nowhere.
    pub left_out: u64,
    /// The order of rows and columns of the confusion.
    pub classes: Vec<String>,
    /// The figures of single pictures.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Those of the views of a scene together, where there are scenes with several views.
    pub fused: Option<Fused>,
    /// Cross-view retrieval, where there are people in several views and the model gives embeddings.
    pub retrieval: Option<Retrieval>,
}
