//! One stage of training, whatever its method: draw a batch, look at it, step, validate, keep where it stands.
//!
//! What happens in a step depends on the seed, the step's number and the weights alone, so that a run that was killed and
//! resumed equals one that was not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use burn::module::{Module, ParamGroup};
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::optim::{AdamWConfig, GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::augment;
use super::batch::{Batch, Shot, render};
use super::checkpoint::{self, Checkpoint, CheckpointError, State};
use super::faces::Faces;
use super::journal::{Entry, Journal, Validation};
use super::methods::{Loss, Method};
use super::metrics::nll;
use super::model::answers;
use super::recipe::{Schedule, Trains};
use crate::infer::manifest::sha256;
use crate::network::{Average, Network};
use crate::scene::{Expression, Logits};

/// Why a stage ended before its end.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum TrainError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("cannot write {}; look after the room on its disk", .path.display())]
    Log { path: PathBuf, source: std::io::Error },
    #[error(
        "{what} of {stage} are no numbers any more at step {step}; {}. Lower `{stage}.schedule.learning_rate`, and begin in \
         another folder",
        .kept.map_or("there is no checkpoint yet".to_owned(), |kept| format!("the checkpoint of step {kept} is kept"))
    )]
    NotFinite { what: &'static str, stage: &'static str, step: u64, kept: Option<u64> },
    #[error("{stage} found nothing to learn from at step {step}: its method makes no pair of these pictures")]
    NothingDrawn { stage: &'static str, step: u64 },
    #[error("{stage} was broken off at step {step} of {steps}; the same command goes on from there")]
    BrokenOff { stage: &'static str, step: u64, steps: u64 },
}

/// Time between two checkpoints, unless a validation comes first.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(120);
/// Lines of the log a stage, about.
const LOG_LINES: u64 = 500;
/// Batches that a validation of the first stage draws.
const VALIDATION_BATCHES: u64 = 8;
/// Faces that are classified at once.
const CLASSIFIED_AT_ONCE: usize = 128;

/// The stages that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageName {
    /// The first: representations. It is validated by its loss.
    Pretrain,
    /// The second: classes. It is validated by how many it gets right.
    Finetune,
}

impl StageName {
    /// As in recipes, and its folder's.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pretrain => "pretrain",
            Self::Finetune => "finetune",
        }
    }
}

/// What is done in a stage.
pub struct Stage<'a> {
    /// Which it is.
    pub name: StageName,
    /// What is a positive, and the loss.
    pub method: Box<dyn Method>,
    /// What it is done with.
    pub material: Material<'a>,
    /// How long and how fast.
    pub schedule: &'a Schedule,
    /// How pictures are changed.
    pub augment: &'a augment::Settings,
    /// What of the network learns.
    pub trains: Trains,
    /// All randomness comes from it.
    pub seed: u64,
    /// By what its recipe and data are recognised.
    pub fingerprint: String,
}

/// What it is done with.
#[derive(Clone, Copy)]
pub struct Material<'a> {
    /// All faces.
    pub faces: &'a Faces,
    /// Indices of those that are learnt from; one may stand there several times.
    pub pool: &'a [usize],
    /// Indices of those that it is validated by; no person is in both.
    pub validation: &'a [usize],
}

/// How far a stage has come, for whoever watches.
pub struct Progress<'a> {
    /// Which.
    pub stage: &'static str,
    /// Steps in all.
    pub steps: u64,
    /// The newest line of the log.
    pub entry: &'a Entry,
    /// The best validation so far.
    pub best: Option<(u64, f64)>,
}

/// Watches a run, and may end it.
pub trait Watch {
    /// Called at every line of the log.
    fn update(&mut self, progress: &Progress<'_>);
    /// Whether it is to go on; asked before every step.
    fn goes_on(&self) -> bool;
}

impl Stage<'_> {
    /// Steps that the stage takes.
    #[must_use]
    pub fn steps(&self) -> u64 {
        let step = (self.method.pictures() * self.schedule.accumulate) as u64;
        self.schedule.images.div_ceil(step).max(1)
    }

    /// Trains `network` on `device` and returns the average of its weights: the last one, or with `patience` the best one.
    /// What it writes goes into `folder`; if that has a checkpoint, it goes on from there.
    ///
    /// # Errors
    /// Every [`TrainError`]; the newest checkpoint is then still there.
    pub fn run(&self, network: Network, folder: &Path, watch: &mut dyn Watch) -> Result<Network, TrainError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| TrainError::Log { path, source }
        };
        std::fs::create_dir_all(folder).map_err(io(folder))?;
        let steps = self.steps();
        let mut at = self.begin(network, folder)?;
        if at.state.is_done {
            return Ok(at.average);
        }
        let device = at.network.device();
        let log = folder.join("log.jsonl");
        let mut journal = Journal::open(&log, at.state.step).map_err(io(&log))?;
        let best_file = folder.join("best.bpk");
        let mut average = Average::resume(&at.average, self.schedule.ema);
        let (log_every, validate_every) = (steps.div_ceil(LOG_LINES), steps.div_ceil(self.schedule.validations));
        let mut since = Since::now();
        let mut saved = Saved { at: Instant::now(), step: (at.state.step > 0).then_some(at.state.step) };

        while at.state.step < steps {
            if !watch.goes_on() {
                self.check_weights(&at, saved.step)?;
                at.average = average.network();
                at.save(folder)?;
                return Err(TrainError::BrokenOff { stage: self.name.as_str(), step: at.state.step, steps });
            }
            let rate = self.schedule.learning_rate_at(at.state.step, steps);
            let (stage, step, kept) = (self.name.as_str(), at.state.step, saved.step);
            let what = "the loss's terms";
            let loss = self.step(&mut at, rate, &device).ok_or(TrainError::NotFinite { what, stage, step, kept })?;
            if loss.is_empty() {
                return Err(TrainError::NothingDrawn { stage, step });
            }
            at.state.step += 1;
            average.update(&at.network, at.state.step);
            since.add(&loss, self.method.pictures() * self.schedule.accumulate);

            let step = at.state.step;
            let is_last = step == steps;
            let validates = step.is_multiple_of(validate_every) || is_last;
            let saves = validates || saved.at.elapsed() >= CHECKPOINT_EVERY;
            if !(saves || step.is_multiple_of(log_every)) {
                continue;
            }
            if saves {
                self.check_weights(&at, kept)?;
            }
            let validation = if validates { self.validate(&average.network(), &device) } else { None };
            let entry = since.entry(step, self.method.pictures() * self.schedule.accumulate, rate, validation);
            journal.write(&entry).map_err(io(&log))?;
            if let Some(score) = validation.map(|validation| validation.score()) {
                let is_better = at.state.best_score.is_none_or(|best| score > best);
                at.state.stale = if is_better { 0 } else { at.state.stale + 1 };
                if is_better {
                    (at.state.best_score, at.state.best_step) = (Some(score), step);
                    if self.schedule.patience > 0 {
                        let failed = |error: burn::store::RecordError| std::io::Error::other(error.to_string());
                        average.network().save_file(&best_file).map_err(failed).map_err(io(&best_file))?;
                    }
                }
            }
            let best = at.state.best_score.map(|score| (at.state.best_step, score));
            watch.update(&Progress { stage: self.name.as_str(), steps, entry: &entry, best });
            let gives_up = self.schedule.patience > 0 && at.state.stale >= self.schedule.patience;
            at.state.is_done = is_last || gives_up;
            if saves {
                at.average = average.network();
                if at.state.is_done && self.schedule.patience > 0 && at.state.best_score.is_some() {
                    let bad = |error: burn::store::RecordError| CheckpointError::Read {
                        path: best_file.clone(),
                        reason: error.to_string(),
                    };
                    at.average = at.average.try_load_file(&best_file).map_err(bad)?;
                }
                at.save(folder)?;
                saved = Saved { at: Instant::now(), step: Some(step) };
            }
            if gives_up {
                break;
            }
            since = Since::now();
        }
        Ok(at.average)
    }

    /// Where the stage begins, or goes on.
    fn begin(&self, network: Network, folder: &Path) -> Result<Checkpoint, TrainError> {
        // A clone would share its running statistics with whoever keeps the network that it was.
        let network = network.valid().train();
        let network = match self.trains {
            Trains::Everything => network.unfreeze(),
            Trains::Classifier => network.with_frozen_encoder(),
        };
        let optimizer: ModuleOptimizer =
            AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(self.schedule.weight_decay).init();
        let start: Vec<u8> = network.values().into_iter().flat_map(f32::to_le_bytes).collect();
        let start = sha256(&start);
        match checkpoint::state(folder, &self.fingerprint)? {
            Some(state) if state.start != start => Err(CheckpointError::OtherStart { path: folder.to_owned() }.into()),
            Some(state) => Ok(Checkpoint::load(folder, network, optimizer, state)?),
            None => Ok(Checkpoint {
                average: network.clone(),
                network,
                optimizer,
                state: State { fingerprint: self.fingerprint.clone(), start, ..State::default() },
            }),
        }
    }

    /// Whether all weights are numbers, before they are kept: a sound loss may have a gradient that is none.
    fn check_weights(&self, at: &Checkpoint, kept: Option<u64>) -> Result<(), TrainError> {
        if at.network.values().iter().all(|value| value.is_finite()) {
            return Ok(());
        }
        Err(TrainError::NotFinite { what: "the weights", stage: self.name.as_str(), step: at.state.step, kept })
    }

    /// One step of the optimiser, and what the losses were; `None` if one was not finite: then nothing has changed.
    fn step(&self, at: &mut Checkpoint, learning_rate: f64, device: &Device) -> Option<Vec<(&'static str, f64)>> {
        let mut gradients = GradientsAccumulator::new();
        let share = 1.0 / self.schedule.accumulate as f64;
        let mut told: Vec<(&'static str, f64)> = Vec::new();
        for part in 0..self.schedule.accumulate as u64 {
            let draw = at.state.step * self.schedule.accumulate as u64 + part;
            // Of dropout.
            device.seed(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(draw));
            let batch = self.draw(draw);
            if batch.shots.is_empty() {
                continue;
            }
            let loss = self.loss(&at.network, &batch, device);
            let total: f32 = loss.total.clone().into_scalar();
            if !total.is_finite() {
                return None;
            }
            merge(&mut told, "loss", f64::from(total) * share);
            loss.parts.iter().for_each(|(name, value)| merge(&mut told, name, f64::from(*value) * share));
            let found = GradientsParams::from_grads((loss.total * share as f32).backward(), &at.network);
            gradients.accumulate(&at.network, found);
        }
        let encoders = learning_rate * self.schedule.encoder_rate;
        let rates =
            ModuleLrScheduler::new(learning_rate).with_group(ParamGroup::from_predicate("encoder"), encoders).step();
        at.network = at.optimizer.step(rates, at.network.clone(), gradients.grads());
        Some(told)
    }

    /// The batch of this number, counted from 0, that the stage learns from.
    #[must_use]
    pub fn draw(&self, number: u64) -> Batch {
        self.method.draw(self.material.faces, self.material.pool, &mut self.random(number))
    }

    /// The loss of a batch.
    fn loss(&self, network: &Network, batch: &Batch, device: &Device) -> Loss {
        let side = network.side();
        let pixels = render(self.material.faces, &batch.shots, side, self.augment);
        let pixels = Tensor::<1>::from_floats(&pixels[..], device).reshape([batch.shots.len(), 1, side, side]);
        self.method.loss(&network.forward(pixels), batch)
    }

    /// Randomness of a draw.
    fn random(&self, draw: u64) -> StdRng {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&draw.to_le_bytes());
        seed[16] = self.name as u8;
        StdRng::from_seed(seed)
    }

    /// How the averaged network does on people that it has not learnt from; `None` if there is nothing to draw or to read.
    fn validate(&self, network: &Network, device: &Device) -> Option<Validation> {
        let material = self.material;
        let network = network.valid();
        if self.name == StageName::Pretrain {
            // The same draws every time, apart from those of training.
            let device = device.clone().inner();
            let draws = (0..VALIDATION_BATCHES).filter_map(|draw| {
                let batch = self.method.draw(material.faces, material.validation, &mut self.random(u64::MAX - draw));
                let loss = (!batch.shots.is_empty()).then(|| self.loss(&network, &batch, &device));
                Some(f64::from(loss?.total.into_scalar::<f32>()))
            });
            let losses: Vec<f64> = draws.collect();
            return (!losses.is_empty()).then(|| Validation { loss: mean(&losses), accuracy: None });
        }
        let answers = answers(&network, material.faces, material.validation).answers;
        if answers.is_empty() {
            return None;
        }
        let right = answers.iter().filter(|answer| answer.is_right()).count();
        Some(Validation { loss: nll(&answers, 1.0), accuracy: Some(right as f64 / answers.len() as f64) })
    }
}

/// The newest checkpoint.
struct Saved {
    at: Instant,
    /// None before the first.
    step: Option<u64>,
}

/// What a network says of a face.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Class scores.
    pub logits: Logits,
    /// Unit vector.
    pub embedding: Vec<f32>,
}

/// What `network`, without its training parts, says of each of these faces, un-augmented, in the order of `of`.
#[must_use]
pub fn read(network: &Network, faces: &Faces, of: &[usize]) -> Vec<Reading> {
    look(network, faces, of, &augment::Settings::none())
}

/// As [`read`], of pictures that are changed as `augment` says.
#[must_use]
pub fn look(network: &Network, faces: &Faces, of: &[usize], augment: &augment::Settings) -> Vec<Reading> {
    let at_once = |some: &[usize]| {
        let shots: Vec<Shot> = some.iter().map(|&face| Shot::plain(face)).collect();
        read_pixels(network, &render(faces, &shots, network.side(), augment))
    };
    of.chunks(CLASSIFIED_AT_ONCE).flat_map(at_once).collect()
}

/// What `network`, without its training parts, says of pictures as it sees them: `side` x `side` values each.
#[must_use]
pub fn read_pixels(network: &Network, pixels: &[f32]) -> Vec<Reading> {
    let (network, side) = (network.valid(), network.side());
    let pictures = pixels.len() / (side * side);
    let pixels = Tensor::<1>::from_floats(pixels, &network.device()).reshape([pictures, 1, side, side]);
    let (logits, embeddings) = network.read(pixels);
    let width = embeddings.dims()[1];
    let embeddings: Vec<f32> = embeddings.into_data().iter::<f32>().collect();
    let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
    let reading = |(embedding, logits): (&[f32], &[f32])| Reading {
        logits: std::array::from_fn(|class| logits[class]),
        embedding: embedding.to_vec(),
    };
    embeddings.chunks_exact(width).zip(logits.chunks_exact(Expression::COUNT)).map(reading).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Adds `value` to what is known by this name.
fn merge(told: &mut Vec<(&'static str, f64)>, name: &'static str, value: f64) {
    match told.iter_mut().find(|(known, _)| *known == name) {
        Some((_, sum)) => *sum += value,
        None => told.push((name, value)),
    }
}

/// What has come since the last line of the log.
struct Since {
    began_at: Instant,
    steps: u64,
    images: usize,
    sums: Vec<(&'static str, f64)>,
}

impl Since {
    fn now() -> Self {
        Self { began_at: Instant::now(), steps: 0, images: 0, sums: Vec::new() }
    }

    fn add(&mut self, losses: &[(&'static str, f64)], images: usize) {
        self.steps += 1;
        self.images += images;
        losses.iter().for_each(|(name, value)| merge(&mut self.sums, name, *value));
    }

    /// The line of the log at `step`; a step looks at `images` pictures.
    fn entry(&self, step: u64, images: usize, learning_rate: f64, validation: Option<Validation>) -> Entry {
        let mean = |sum: f64| sum / self.steps.max(1) as f64;
        let named = |(name, sum): &(&'static str, f64)| ((*name).to_owned(), mean(*sum));
        let mut parts: BTreeMap<String, f64> = self.sums.iter().map(named).collect();
        Entry {
            step,
            images: step * images as u64,
            loss: parts.remove("loss").unwrap_or_default(),
            parts,
            learning_rate,
            images_per_s: self.images as f64 / self.began_at.elapsed().as_secs_f64().max(1e-9),
            validation,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::network::{Architecture, device};
    use crate::train::batch::Change;
    use crate::train::faces::tests::{face, faces_of};

    /// Learns nothing, and whose loss is no number from a draw on.
    struct Poisoned {
        sound: u64,
        drawn: AtomicU64,
    }

    impl Method for Poisoned {
        fn pictures(&self) -> usize {
            2
        }

        fn draw(&self, faces: &Faces, pool: &[usize], _rng: &mut StdRng) -> Batch {
            let mut batch = Batch::default();
            pool.iter().for_each(|&face| batch.push(faces, Shot { face, seed: 0, change: Change::None }, face));
            self.drawn.fetch_add(1, Ordering::Relaxed);
            batch
        }

        fn loss(&self, outputs: &crate::network::Outputs, _batch: &Batch) -> Loss {
            let is_sound = self.drawn.load(Ordering::Relaxed) <= self.sound;
            Loss::single(outputs.logits.clone().mean() * if is_sound { 1.0 } else { f32::NAN })
        }
    }

    struct Silent;

    impl Watch for Silent {
        fn update(&mut self, _progress: &Progress<'_>) {}
        fn goes_on(&self) -> bool {
            true
        }
    }

    /// Whose loss is 0, and the slope of it no number, if it draws anything at all.
    struct Steep {
        draws: bool,
    }

    impl Method for Steep {
        fn pictures(&self) -> usize {
            2
        }

        fn draw(&self, faces: &Faces, pool: &[usize], _rng: &mut StdRng) -> Batch {
            let mut batch = Batch::default();
            pool.iter().filter(|_| self.draws).for_each(|&face| batch.push(faces, Shot::plain(face), face));
            batch
        }

        fn loss(&self, outputs: &crate::network::Outputs, _batch: &Batch) -> Loss {
            Loss::single((outputs.logits.clone() * 0.0).sqrt().sum())
        }
    }

    fn error_of(method: impl Method + 'static, validations: u64, folder: &Path) -> TrainError {
        let faces = faces_of(vec![face(0), face(1)]);
        // Of ten steps; checkpoints come with validations.
        let schedule = Schedule { images: 20, validations, ..Schedule::default() };
        let stage = Stage {
            name: StageName::Finetune,
            method: Box::new(method),
            material: Material { faces: &faces, pool: &[0, 1], validation: &[] },
            schedule: &schedule,
            augment: &augment::Settings::none(),
            trains: Trains::Everything,
            seed: 1,
            fingerprint: "mine".to_owned(),
        };
        let architecture = Architecture { widths: Some([32; 4]), side: 48, ..Architecture::default() };
        let network = Network::new(&architecture, 1, &device::cpu());
        stage.run(network, folder, &mut Silent).expect_err("it cannot learn")
    }

    #[test]
    fn weights_that_are_no_numbers_are_not_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = error_of(Steep { draws: true }, 10, folder.path());
        assert!(matches!(error, TrainError::NotFinite { what: "the weights", kept: None, .. }), "{error}");
        assert!(error.to_string().contains("no checkpoint"), "{error}");
        assert_eq!(checkpoint::state(folder.path(), "mine").expect("nothing is damaged"), None);
    }

    #[test]
    fn a_stage_without_anything_to_learn_from_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = error_of(Steep { draws: false }, 10, folder.path());
        assert!(matches!(error, TrainError::NothingDrawn { step: 0, .. }), "{error}");
    }

    #[test]
    fn a_loss_that_is_no_number_ends_the_stage_and_leaves_the_last_good_checkpoint() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = error_of(Poisoned { sound: 5, drawn: AtomicU64::new(0) }, 5, folder.path());
        assert!(matches!(error, TrainError::NotFinite { step: 5, kept: Some(4), .. }), "{error}");
        assert!(error.to_string().contains("finetune.schedule.learning_rate"), "{error}");
        let kept = checkpoint::state(folder.path(), "mine").expect("whole").expect("there is one");
        assert_eq!(kept.step, 4);
    }
}
