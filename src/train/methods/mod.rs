//! Methods of learning from faces: each draws batches (which faces, changed how) and has a loss.
//!
//! | method | positives | negatives | labels |
//! |---|---|---|---|
//! | [`cl_mex`] | other views of the same instant | other instants, of the same people too | none (ViewFX's term: some) |
//! | [`ssl_fer`] | a moment earlier or later, or another camera; swapped faces | other faces, of the same person too | none |
//! | [`contrawarping`] | the same picture otherwise framed and lit | the same picture locally warped | none |
//! | [`crs_cont`] | the same coarse class | the other coarse classes | all |
//! | [`simclr`] | the same picture | other pictures | none |
//! | [`supervised`] | - | - | all |
//!
//! What of each is its authors' and what a reconstruction stands with it.

pub mod cl_mex;
pub mod contrawarping;
pub mod crs_cont;
pub mod scenes;
pub mod simclr;
pub mod ssl_fer;
pub mod supervised;

use burn::tensor::Tensor;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::batch::Batch;
use super::faces::Faces;
use super::network::Outputs;

/// Why a method cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum MethodError {
    #[error("`{method}` cannot learn from these faces: {reason}")]
    Data { method: &'static str, reason: String },
}

/// Draws batches, and says how good the network's answers are.
pub trait Method: Send + Sync {
    /// Pictures of a batch, if there are enough to draw from.
    fn pictures(&self) -> usize;

    /// A batch of the faces whose indices are in `pool`; an index that stands there several times is drawn more often where
    /// single pictures are drawn. A small pool gives a smaller batch, perhaps an empty one.
    fn draw(&self, faces: &Faces, pool: &[usize], rng: &mut StdRng) -> Batch;

    /// The loss of the network's `outputs` for `batch`; it is finite whatever the batch.
    fn loss(&self, outputs: &Outputs, batch: &Batch) -> Loss;

    /// What of the method these faces do not allow, for the log.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What is to be made small.
#[derive(Clone, Debug)]
pub struct Loss {
    /// (1): the sum that is differentiated.
    pub total: Tensor<1>,
    /// Its terms before they are weighted, for the log; none if there is but one.
    pub parts: Vec<(&'static str, f32)>,
}

impl Loss {
    /// A loss of one term.
    #[must_use]
    pub fn single(total: Tensor<1>) -> Self {
        Self { total, parts: Vec::new() }
    }

    /// A weighted sum of named terms.
    #[must_use]
    pub fn sum(terms: Vec<(&'static str, f32, Tensor<1>)>) -> Self {
        let parts = terms.iter().map(|(name, _, value)| (*name, value.clone().into_scalar())).collect();
        let weighted = terms.into_iter().map(|(_, weight, value)| value * weight);
        let total = weighted.reduce(|sum, term| sum + term);
        Self { total: total.unwrap_or_else(|| Tensor::zeros([1], &burn::tensor::Device::flex())), parts }
    }
}

/// A method as a recipe names it: `method = { name = "cl-mex", views = 2 }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the modules say it")]
pub enum Settings {
    ClMex(cl_mex::Settings),
    SslFer(ssl_fer::Settings),
    Contrawarping(contrawarping::Settings),
    CrsCont(crs_cont::Settings),
    Simclr(simclr::Settings),
    Supervised(supervised::Settings),
}

impl Settings {
    /// The method's name in recipes and tables.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ClMex(_) => "cl-mex",
            Self::SslFer(_) => "ssl-fer",
            Self::Contrawarping(_) => "contrawarping",
            Self::CrsCont(_) => "crs-cont",
            Self::Simclr(_) => "simclr",
            Self::Supervised(_) => "supervised",
        }
    }

    /// The first value that makes no sense, as `table.key`, and what it must be.
    #[must_use]
    pub fn fault(&self, table: &str) -> Option<(String, String)> {
        match self {
            Self::ClMex(settings) => settings.fault(table),
            Self::SslFer(settings) => settings.fault(table),
            Self::Contrawarping(settings) => settings.fault(table),
            Self::CrsCont(settings) => settings.fault(table),
            Self::Simclr(settings) => settings.fault(table),
            Self::Supervised(settings) => settings.fault(table),
        }
    }

    /// The method, ready to learn from those of `faces` whose indices are in `pool`.
    ///
    /// # Errors
    /// [`MethodError::Data`] if they lack what the method lives on.
    pub fn method(&self, faces: &Faces, pool: &[usize]) -> Result<Box<dyn Method>, MethodError> {
        let checked: Result<Box<dyn Method>, String> = match self.clone() {
            Self::ClMex(settings) => settings.prepare(faces, pool).map(|method| Box::new(method) as _),
            Self::SslFer(settings) => settings.prepare(faces, pool).map(|method| Box::new(method) as _),
            Self::Contrawarping(settings) => settings.prepare(faces, pool).map(|method| Box::new(method) as _),
            Self::CrsCont(settings) => settings.check(faces, pool).map(|()| Box::new(settings) as _),
            Self::Simclr(settings) => settings.check(pool).map(|()| Box::new(settings) as _),
            Self::Supervised(settings) => settings.check(faces, pool).map(|()| Box::new(settings) as _),
        };
        checked.map_err(|reason| MethodError::Data { method: self.name(), reason })
    }
}
