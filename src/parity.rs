//! Whether every runtime and device that is here says the same of the same faces, and the GPU cuts them as the CPU does.

use std::time::Instant;

use serde::Serialize;

use crate::capture::recording::Recording;
use crate::capture::{CaptureError, Event};
use crate::config::Config;
use crate::encode::Encoder;
use crate::face::view::{View, ViewError};
use crate::frame::{Frame, FramePool};
#[cfg(feature = "gpu")]
use crate::gpu::{Gpu, GpuError};
#[cfg(feature = "gpu")]
use crate::image::gpu::{Cutter, Picture};
use crate::infer::manifest::{ManifestError, Models};
use crate::infer::{Chosen, InferError, Runtime, everywhere};
use crate::scene::Logits;

/// How far two embeddings may be apart along an axis.
pub const EMBEDDING: f32 = 1e-3;
/// The least cosine of two embeddings.
pub const COSINE: f32 = 0.9999;
/// How far two class scores may be apart; of scores above 1, in units of the largest.
pub const SCORE: f32 = 1e-3;
/// How far two cuts may be apart, in steps of 255.
pub const CUT: f32 = 1.0;
/// Faces that are compared; one in `EVERY` pictures of a take is looked at.
const FACES: usize = 16;
const EVERY: usize = 5;

/// Why there is nothing to compare.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ParityError {
    #[error("no face is found in these pictures; name others, with people in them")]
    NoFaces,
    #[error("nothing here can run the encoder: {0}. `vultus models verify` says whether its files are right")]
    NoRuntime(String),
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error(transparent)]
    View(#[from] ViewError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Infer(#[from] InferError),
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The encoder.
    pub model: String,
    /// Faces that all were asked about.
    pub faces: usize,
    /// Which of `runs` the others are compared with.
    pub reference: String,
    /// All that can run it.
    pub runs: Vec<Run>,
    /// What cannot, and why.
    pub absent: Vec<Absent>,
    /// How the GPU cuts faces.
    pub cut: Option<Cut>,
}

/// What one runtime on one device says.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Which.
    pub name: String,
    /// How long a batch of all faces took, the second time.
    pub batch_ms: f64,
    /// The largest distance of two embeddings along an axis.
    pub embedding_apart: f32,
    /// The smallest cosine of two embeddings.
    pub cosine: f32,
    /// The largest distance of two class scores; of scores above 1, in units of the largest.
    pub score_apart: f32,
    /// Whether that is within [`EMBEDDING`], [`COSINE`] and [`SCORE`].
    pub agrees: bool,
}

/// A way that does not lead anywhere here.
#[derive(Clone, Debug, Serialize)]
pub struct Absent {
    /// Which.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// How the GPU cuts faces, compared with the CPU.
#[derive(Clone, Debug, Serialize)]
pub struct Cut {
    /// Which GPU.
    pub gpu: String,
    /// The largest distance of two pixels, in steps of 255.
    pub apart_of_255: f32,
    /// Whether that is within [`CUT`].
    pub agrees: bool,
}

impl Report {
    /// Whether all agree.
    #[must_use]
    pub fn all_agree(&self) -> bool {
        self.runs.iter().all(|run| run.agrees) && self.cut.as_ref().is_none_or(|cut| cut.agrees)
    }
}

/// Asks all that can run the encoder of `models` about faces of `recording`.
///
/// # Errors
/// Every [`ParityError`].
pub fn compare(recording: Recording, models: &Models, config: &Config) -> Result<Report, ParityError> {
    let runtime = Runtime::start(config.inference.runtime)?;
    let mut faces = Faces::new(&runtime, models, config)?;
    faces.collect(recording)?;
    let Faces { count, cuts, gpu, .. } = faces;
    if count == 0 {
        return Err(ParityError::NoFaces);
    }
    let (mut said, mut absent) = (Vec::new(), Vec::new());
    for (name, session) in everywhere(&models.encoder) {
        let session = session.and_then(|session| Said::of(session.into(), models, &cuts).map_err(|e| e.to_string()));
        match session {
            Ok(one) => said.push((name, one)),
            Err(reason) => absent.push(Absent { name, reason }),
        }
    }
    let Some((reference, first)) = said.first().cloned() else {
        let reasons: Vec<String> = absent.iter().map(|absent| format!("{} ({})", absent.name, absent.reason)).collect();
        return Err(ParityError::NoRuntime(reasons.join(", ")));
    };
    let runs = said.iter().map(|(name, one)| one.beside(&first, name.clone())).collect();
    let cut = gpu.finish(&mut absent);
    Ok(Report { model: models.encoder.name.clone(), faces: count, reference, runs, absent, cut })
}

/// What a session says of all faces.
#[derive(Clone)]
struct Said {
    logits: Vec<Logits>,
    embeddings: Vec<Vec<f32>>,
    batch_ms: f64,
}

impl Said {
    fn of(chosen: Chosen, models: &Models, cuts: &[f32]) -> Result<Self, ParityError> {
        let mut encoder = Encoder::new(chosen, &models.encoder)?;
        encoder.push(cuts);
        encoder.step()?;
        let began_at = Instant::now();
        encoder.push(cuts);
        let readings = encoder.step()?;
        Ok(Self {
            batch_ms: began_at.elapsed().as_secs_f64() * 1e3,
            logits: readings.logits.to_vec(),
            embeddings: readings.embeddings().map(<[f32]>::to_vec).collect(),
        })
    }

    fn beside(&self, other: &Self, name: String) -> Run {
        let pairs = || self.embeddings.iter().zip(&other.embeddings);
        let embedding_apart = apart(pairs().flat_map(|(a, b)| a.iter().zip(b)));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let cosine = |(a, b): (&Vec<f32>, &Vec<f32>)| (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()) as f32;
        let cosine = pairs().map(cosine).fold(1.0, |least: f32, one| if one.is_nan() { -1.0 } else { least.min(one) });
        let scores = self.logits.iter().zip(&other.logits).flat_map(|(a, b)| a.iter().zip(b));
        let largest = other.logits.iter().flatten().fold(1.0, |largest: f32, score| largest.max(score.abs()));
        let score_apart = apart(scores) / largest;
        let agrees = embedding_apart <= EMBEDDING && cosine >= COSINE && score_apart <= SCORE;
        Run { name, batch_ms: self.batch_ms, embedding_apart, cosine, score_apart, agrees }
    }
}

/// The largest distance of two values; what is no number is as far as can be.
fn apart<'a>(pairs: impl Iterator<Item = (&'a f32, &'a f32)>) -> f32 {
    let distances = pairs.map(|(a, b)| (a - b).abs());
    distances.fold(0.0, |most: f32, one| if one.is_nan() { f32::INFINITY } else { most.max(one) })
}

/// Faces, found and cut as in a run.
struct Faces<'a> {
    runtime: &'a Runtime,
    models: &'a Models,
    config: &'a Config,
    cut: crate::face::align::CutFormat,
    count: usize,
    cuts: Vec<f32>,
    gpu: OnGpu,
}

impl<'a> Faces<'a> {
    fn new(runtime: &'a Runtime, models: &'a Models, config: &'a Config) -> Result<Self, ParityError> {
        let cut = Encoder::new(runtime.session(&models.encoder)?, &models.encoder)?.cut();
        Ok(Self { runtime, models, config, cut, count: 0, cuts: Vec::new(), gpu: OnGpu::new(cut) })
    }

    /// Takes some of each camera of `recording`.
    fn collect(&mut self, recording: Recording) -> Result<(), ParityError> {
        let of_each = FACES.div_ceil(recording.sources.len().max(1));
        let every = if recording.stills { 1 } else { EVERY };
        for mut source in recording.sources {
            let pool = FramePool::new(1, source.stream().frame_bytes);
            let mut view = View::new(self.runtime, &self.models.detector, self.config.detection, self.cut, 0)?;
            let (mut seen, mut taken) = (0, 0);
            while taken < of_each {
                let frame = match source.next(&pool)? {
                    Event::Frame(frame) => frame,
                    Event::End => break,
                    Event::Corrupt(_) | Event::NoBuffer | Event::Stalled => continue,
                };
                seen += 1;
                if (seen - 1) % every == 0 {
                    taken += self.take(&mut view, &frame)?;
                }
            }
        }
        Ok(())
    }

    /// Takes the faces in a picture, and gives how many.
    fn take(&mut self, view: &mut View, frame: &Frame) -> Result<usize, ParityError> {
        view.reset();
        view.step(Some(frame))?;
        let seen = view.seen();
        self.cuts.extend_from_slice(&seen.cuts);
        self.count += seen.faces.len();
        if !seen.faces.is_empty() {
            self.gpu.step(view, frame);
        }
        Ok(seen.faces.len())
    }
}

/// The same faces, cut on a GPU if there is one.
struct OnGpu {
    #[cfg(feature = "gpu")]
    cutter: Result<(Gpu, Cutter), GpuError>,
    #[cfg(feature = "gpu")]
    std: f32,
    #[cfg(feature = "gpu")]
    apart: f32,
}

impl OnGpu {
    fn new(cut: crate::face::align::CutFormat) -> Self {
        let _ = &cut;
        Self {
            #[cfg(feature = "gpu")]
            cutter: Gpu::open().and_then(|gpu| Cutter::new(&gpu, cut.size, cut.layout).map(|cutter| (gpu, cutter))),
            #[cfg(feature = "gpu")]
            std: cut.layout.std,
            #[cfg(feature = "gpu")]
            apart: 0.0,
        }
    }

    #[cfg(feature = "gpu")]
    fn step(&mut self, view: &View, frame: &Frame) {
        let Ok((_, cutter)) = &mut self.cutter else { return };
        let Ok(picture) = Picture::of(frame, view.image()) else { return };
        let mut cut = || {
            let (mut details, mut cuts) = (Vec::new(), Vec::new());
            cutter.begin(view.seen().faces.len(), std::iter::once(picture))?;
            cutter.picture(picture);
            view.regions().for_each(|region| cutter.face(region));
            cutter.step(None)?;
            cutter.finish(&mut details, &mut cuts)?;
            Ok(cuts)
        };
        match cut() {
            Ok(cuts) => {
                let pairs = cuts.iter().zip(&view.seen().cuts);
                let is_whole = cuts.len() == view.seen().cuts.len();
                self.apart = self.apart.max(if is_whole { apart(pairs) * self.std } else { f32::INFINITY });
            }
            // To take down what is on a GPU that does not answer may have no end.
            Err(error) => std::mem::forget(std::mem::replace(&mut self.cutter, Err(error))),
        }
    }

    #[cfg(not(feature = "gpu"))]
    fn step(&mut self, _: &View, _: &Frame) {}

    #[cfg(feature = "gpu")]
    fn finish(self, absent: &mut Vec<Absent>) -> Option<Cut> {
        match self.cutter {
            Ok((gpu, _)) => Some(Cut { gpu: gpu.name, apart_of_255: self.apart, agrees: self.apart <= CUT }),
            Err(error) => {
                absent.push(Absent { name: "cutting on the GPU".to_owned(), reason: error.to_string() });
                None
            }
        }
    }

    #[cfg(not(feature = "gpu"))]
    fn finish(self, absent: &mut Vec<Absent>) -> Option<Cut> {
        let reason = "this program was built without the feature `gpu`".to_owned();
        absent.push(Absent { name: "cutting on the GPU".to_owned(), reason });
        None
    }
}
