//! Methods of learning from faces: each draws batches (which faces, changed how) and has a loss.
//!
//! | method | positives | negatives | labels |
//! |---|---|---|---|
//! | [`cl_mex`] | other views of the same instant | other instants, of the same people too | none (`alpha`: some) |
//! | [`ssl_fer`] | a moment before or after, or another camera; swapped | other faces, of the same person too | none; of stills, those of hard negatives |
//! | [`contrawarping`] | the same picture otherwise framed and lit | the same picture locally warped | none |
//! | [`crs_cont`] | the same coarse class | the other coarse classes | all |
//! | [`simclr`] | the same picture | other pictures | none |
//! | [`supervised`] | - | - | all |
//! | [`distillation`] | - | - | all, and teachers |
//!
//! What of each is its authors' and what a reconstruction stands with it.

pub mod cl_mex;
pub mod contrawarping;
pub mod crs_cont;
pub mod distillation;
mod neighbours;
pub mod scenes;
pub mod simclr;
pub mod ssl_fer;
pub mod supervised;

use burn::tensor::Tensor;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::batch::Batch;
use super::faces::Faces;
use crate::network::Outputs;

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

    /// A batch of the faces whose indices are in `pool`; an index that stands there several times is drawn more often
    /// where single pictures are drawn. A small pool gives a smaller batch, perhaps an empty one, which the network
    /// cannot look at.
    fn draw(&self, faces: &Faces, pool: &[usize], rng: &mut StdRng) -> Batch;

    /// The loss of the network's `outputs` for `batch`, which is not empty; it is finite whatever the batch.
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

    /// Whether it learns from labels: a first stage that does has seen those that a second one is denied.
    #[must_use]
    pub fn reads_labels(&self) -> bool {
        match self {
            Self::ClMex(settings) => settings.reads_labels(),
            // The hard negatives of stills are other expressions.
            Self::SslFer(_) | Self::CrsCont(_) | Self::Supervised(_) => true,
            Self::Contrawarping(_) | Self::Simclr(_) => false,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::losses::gradient::{random, vectors};
    use crate::train::sample;
    use rand::SeedableRng;

    const NAMES: [&str; 6] = ["cl-mex", "ssl-fer", "contrawarping", "crs-cont", "simclr", "supervised"];

    pub fn rng(seed: u64) -> StdRng {
        StdRng::seed_from_u64(seed)
    }

    fn settings(text: &str) -> Settings {
        toml::from_str(text).unwrap()
    }

    /// Outputs of which the projections are `rows`.
    pub fn outputs(rows: &[&[f32]]) -> Outputs {
        let other = |width: usize| {
            let rows = random(rows.len(), width, 5);
            vectors(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>())
        };
        Outputs { embedding: other(4), projection: vectors(rows), logits: other(7), coarse: other(4) }
    }

    /// Random ones for a batch.
    pub fn any_outputs(pictures: usize) -> Outputs {
        let rows = random(pictures, 8, 2);
        outputs(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    #[test]
    fn every_method_draws_the_batch_that_it_promises_and_has_a_finite_loss_with_a_slope() {
        let faces = sample::stills(12, 3);
        let pool = faces.all();
        for name in NAMES {
            let settings = settings(&format!("name = \"{name}\""));
            assert_eq!(settings.name(), name);
            let method = settings.method(&faces, &pool).unwrap();
            let batch = method.draw(&faces, &pool, &mut rng(1));
            assert_eq!(batch.shots.len(), method.pictures(), "{name}");
            assert_eq!((batch.group.len(), batch.label.len()), (method.pictures(), method.pictures()));
            let seeds: std::collections::BTreeSet<u64> = batch.shots.iter().map(|shot| shot.seed).collect();
            assert_eq!(seeds.len(), method.pictures(), "{name}: two pictures are changed alike");
            assert_eq!(batch, method.draw(&faces, &pool, &mut rng(1)), "{name}: the seed does not decide");
            assert_ne!(batch, method.draw(&faces, &pool, &mut rng(2)), "{name}: the seed is not used");

            let outputs = any_outputs(method.pictures());
            let loss = method.loss(&outputs, &batch);
            let total: f32 = loss.total.clone().into_scalar();
            assert!(total.is_finite() && total > 0.0, "{name}: {total}");
            assert!(loss.parts.iter().all(|(_, value)| value.is_finite()));
            let gradients = loss.total.backward();
            let read = if name == "supervised" { outputs.logits } else { outputs.projection };
            let gradient: Vec<f32> = read.grad(&gradients).unwrap().into_data().iter::<f32>().collect();
            assert!(gradient.iter().all(|g| g.is_finite()) && gradient.iter().any(|g| *g != 0.0), "{name}");
        }
    }

    #[test]
    fn only_faces_of_the_pool_are_drawn_and_a_small_or_empty_pool_is_no_failure() {
        let faces = sample::stills(4, 2);
        for name in NAMES {
            let method = settings(&format!("name = \"{name}\"")).method(&faces, &faces.all()).unwrap();
            for pool in [&[][..], &[3], &[14, 15, 16, 17, 20]] {
                let batch = method.draw(&faces, pool, &mut rng(1));
                assert!(batch.shots.iter().all(|shot| pool.contains(&shot.face)), "{name}");
                for shot in &batch.shots {
                    if let crate::train::batch::Change::SwapInto(outer) = shot.change {
                        assert!(pool.contains(&outer), "{name} swaps into a face that is kept apart");
                    }
                }
                if batch.shots.is_empty() {
                    continue;
                }
                let total: f32 = method.loss(&any_outputs(batch.shots.len()), &batch).total.into_scalar();
                assert!(total.is_finite(), "{name} of {} pictures: {total}", batch.shots.len());
            }
        }
    }

    #[test]
    fn what_the_faces_lack_is_said_with_what_to_do() {
        let mut faces = sample::stills(3, 1);
        let refusal = |text: &str, faces: &Faces| {
            let result = settings(text).method(faces, &faces.all());
            result.err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(refusal("name = \"cl-mex\"", &faces).contains("two views"));
        assert!(refusal("name = \"ssl-fer\"\npositives = \"time\"", &faces).contains("neighbour in time"));
        assert!(refusal("name = \"ssl-fer\"\npositives = \"view\"", &faces).contains("two views"));
        let mut views = sample::stills(3, 2);
        for face in faces.faces.iter_mut().chain(&mut views.faces) {
            face.expression = None;
        }
        assert!(refusal("name = \"cl-mex\"\nalpha = 1.0", &views).contains("`alpha`"));
        assert!(refusal("name = \"crs-cont\"", &faces).contains("label"));
        assert!(refusal("name = \"supervised\"", &faces).contains("label"));
        assert!(refusal("name = \"ssl-fer\"", &faces).contains("`hard_negatives`"));
        assert!(refusal("name = \"simclr\"", &Faces::default()).contains("two faces"));
    }

    #[test]
    fn a_key_or_value_that_makes_no_sense_is_named() {
        for name in NAMES {
            let error = toml::from_str::<Settings>(&format!("name = \"{name}\"\ntemprature = 1.0")).unwrap_err();
            assert!(error.to_string().contains("temprature"), "{name}: {error}");
            assert_eq!(settings(&format!("name = \"{name}\"")).fault("pretrain.method"), None);
        }
        for (text, key) in [
            ("name = \"cl-mex\"\nviews = 1", "pretrain.method.views"),
            ("name = \"ssl-fer\"\ntemperature = 0.0", "pretrain.method.temperature"),
            ("name = \"contrawarping\"\nwarp = { amplitude = 2.0 }", "pretrain.method.warp.amplitude"),
            ("name = \"crs-cont\"\nfaces = 1", "pretrain.method.faces"),
            ("name = \"simclr\"\ntemperature = nan", "pretrain.method.temperature"),
            ("name = \"supervised\"\nbalance = 1.5", "pretrain.method.balance"),
        ] {
            assert_eq!(settings(text).fault("pretrain.method").map(|(key, _)| key).as_deref(), Some(key));
        }
    }

    #[test]
    fn settings_that_are_written_out_are_read_back_as_they_were() {
        for name in NAMES {
            let settings = settings(&format!("name = \"{name}\""));
            assert_eq!(toml::from_str::<Settings>(&toml::to_string(&settings).unwrap()).unwrap(), settings);
        }
    }
}
