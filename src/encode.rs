//! The encoder: one batch of aligned faces in, class scores and embeddings out.
//!
//! On a GPU the batch is one run, filled up to one of few sizes, as a GPU's driver prepares each size anew. On the CPU it is
//! divided among sessions of one thread each, which run side by side on the workers that the caller has. A GPU that fails
//! is left: those sessions, which stand by, do the very batch that it did not.

#[cfg(feature = "gpu")]
use std::time::Duration;

use rayon::prelude::*;

use crate::face::align::CutFormat;
#[cfg(feature = "gpu")]
use crate::gpu::Gpu;
#[cfg(feature = "gpu")]
use crate::image::detail::Detail;
#[cfg(feature = "gpu")]
use crate::image::gpu::Cutter;
use crate::image::warp::Layout;
use crate::infer::manifest::{self, ManifestError, Model};
use crate::infer::{Chosen, InferError, Place, Runtime, Session, Values};
use crate::scene::{Expression, Logits};
use crate::time::{Spent, Stopwatch};

/// What the encoder says of a batch, in the order in which the faces were pushed.
#[derive(Clone, Copy, Debug)]
pub struct Readings<'a> {
    /// Class scores, one row a face.
    pub logits: &'a [Logits],
    /// The faces' embeddings, one after another; empty if the model gives none.
    embeddings: &'a [f32],
}

impl<'a> Readings<'a> {
    /// Each face's embedding; none if the model gives none.
    pub fn embeddings(&self) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        let length = self.embeddings.len() / self.logits.len().max(1);
        self.embeddings.chunks_exact(length.max(1))
    }
}

/// Runs the encoder on all faces of all views of a set at once.
pub struct Encoder {
    name: String,
    lanes: Vec<Lane>,
    /// They stand by while a GPU does the work.
    spares: Vec<Lane>,
    /// Why it runs where it does.
    reason: String,
    cut: CutFormat,
    kind: manifest::Values,
    /// Where each of the program's classes stands in the model's output.
    order: [usize; Expression::COUNT],
    batch: Vec<f32>,
    logits: Vec<Logits>,
    embeddings: Vec<f32>,
    spent: Spent,
}

/// One of the sessions that share a batch.
struct Lane {
    session: Box<dyn Session>,
    outputs: Vec<Values>,
    spent: Spent,
}

impl Lane {
    fn new(session: Box<dyn Session>, outputs: usize) -> Self {
        Self { session, outputs: vec![Values::new(); outputs], spent: Spent::default() }
    }

    fn is_on_gpu(&self) -> bool {
        self.session.device() != "cpu"
    }

    /// Runs the model on `faces`, of which each has the shape `[planes, side, side]`.
    fn step(&mut self, faces: &[f32], [planes, side, _]: [usize; 3]) -> Result<(), InferError> {
        let mut watch = Stopwatch::start();
        self.outputs.iter_mut().for_each(Vec::clear);
        self.session.run([faces.len() / (planes * side * side), planes, side, side], faces, &mut self.outputs)?;
        self.spent = watch.lap();
        Ok(())
    }

    /// Forgets what was said of the last of `places`, of which `faces` were filled.
    fn cut_off(&mut self, places: usize, faces: usize) {
        for output in &mut self.outputs {
            output.truncate(output.len() / places * faces);
        }
    }
}

/// Sizes of batches on a GPU: powers of two, and then every so many.
const LARGE_STEP: usize = 16;

/// The size of batch on a GPU that `faces` go into.
fn places(faces: usize) -> usize {
    if faces <= LARGE_STEP { faces.next_power_of_two() } else { faces.next_multiple_of(LARGE_STEP) }
}

impl Encoder {
    /// An encoder that runs the session which was `chosen` for `model`.
    ///
    /// # Errors
    /// [`ManifestError::Invalid`] when the manifest gives no square size or not the seven labels.
    pub fn new(chosen: impl Into<Chosen>, model: &Model) -> Result<Self, ManifestError> {
        let Chosen { session, reason, .. } = chosen.into();
        let invalid = |reason: String| ManifestError::Invalid { model: model.name.clone(), reason };
        let size = match model.input.size {
            Some([width, height]) if width == height && width > 0 => width,
            _ => return Err(invalid("`input.size` must give equal width and height".to_owned())),
        };
        let mut order = [0; Expression::COUNT];
        for (place, class) in order.iter_mut().zip(Expression::ALL) {
            *place = model
                .labels
                .iter()
                .position(|label| label == class.name())
                .ok_or_else(|| invalid(format!("`labels` has no `{class}`")))?;
        }
        if model.labels.len() != Expression::COUNT {
            return Err(invalid(format!("`labels` must be exactly the {} classes", Expression::COUNT)));
        }
        let layout = Layout { channels: model.input.channels, mean: model.input.mean, std: model.input.std };
        Ok(Self {
            name: model.name.clone(),
            lanes: vec![Lane::new(session, model.outputs.len())],
            spares: Vec::new(),
            reason,
            cut: CutFormat { size, layout },
            kind: model.values,
            order,
            batch: Vec::new(),
            logits: Vec::new(),
            embeddings: Vec::new(),
            spent: Spent::default(),
        })
    }

    /// Has `threads` sessions of `model` on the CPU in all share each batch, or stand by for it while a GPU does it alone.
    ///
    /// # Errors
    /// [`InferError::Load`].
    pub fn share(&mut self, runtime: &Runtime, model: &Model, threads: usize) -> Result<(), InferError> {
        let sharing = if self.is_on_gpu() { &mut self.spares } else { &mut self.lanes };
        while sharing.len() < threads {
            sharing.push(Lane::new(runtime.session(model)?, model.outputs.len()));
        }
        Ok(())
    }

    /// What [`Encoder::push`] wants.
    #[must_use]
    pub fn cut(&self) -> CutFormat {
        self.cut
    }

    /// Where it runs.
    #[must_use]
    pub fn place(&self) -> Place {
        let session = &self.lanes[0].session;
        Place { runtime: session.runtime(), device: session.device() }
    }

    /// Why it runs there.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether it runs on a GPU.
    #[must_use]
    pub fn is_on_gpu(&self) -> bool {
        self.lanes[0].is_on_gpu()
    }

    /// The GPU on which its batches can be put together, if it takes them there.
    ///
    /// # Errors
    /// [`InferError::Gpu`].
    #[cfg(feature = "gpu")]
    pub fn gpu(&mut self) -> Result<Option<Gpu>, InferError> {
        Ok(self.lanes[0].session.room(1)?.map(|(gpu, _)| gpu.clone()))
    }

    /// Lets every session run every size of its part in a batch of up to `faces` once, on blank faces.
    ///
    /// # Errors
    /// [`InferError::Run`].
    pub fn warm_up(&mut self, faces: usize) -> Result<(), InferError> {
        if self.is_on_gpu() {
            let mut size = 1;
            while size <= places(faces) {
                self.push(&vec![0.0; size * self.cut.values()]);
                self.step()?;
                size *= 2;
            }
            // If they are needed, it is in the midst of a set.
            let shape = self.cut.shape();
            for size in 1..=faces.div_ceil(self.spares.len().max(1)) {
                let blank = vec![0.0; size * self.cut.values()];
                self.spares.iter_mut().try_for_each(|lane| lane.step(&blank, shape))?;
            }
            return Ok(());
        }
        for size in 1..=faces.div_ceil(self.lanes.len()) {
            self.push(&vec![0.0; size * self.lanes.len() * self.cut.values()]);
            self.step()?;
        }
        Ok(())
    }

    /// Adds aligned faces to the batch, [`CutFormat::values`] values each.
    pub fn push(&mut self, cuts: &[f32]) {
        self.batch.extend_from_slice(cuts);
    }

    /// Runs the batch and empties it. A model that gives probabilities has their logarithms read as logits.
    ///
    /// # Errors
    /// [`InferError::Run`].
    pub fn step(&mut self) -> Result<Readings<'_>, InferError> {
        self.clear();
        let faces = self.batch.len() / self.cut.values();
        if self.is_on_gpu() && faces > 0 {
            match self.step_on_gpu(faces) {
                Ok(()) => {
                    self.batch.clear();
                    self.read(0, faces)?;
                    return Ok(self.readings());
                }
                Err(error) => {
                    self.batch.truncate(faces * self.cut.values());
                    self.leave_gpu(error).inspect_err(|_| self.batch.clear())?;
                }
            }
        }
        let shape = self.cut.shape();
        let values = self.cut.values();
        let share = (self.batch.len() / values).div_ceil(self.lanes.len()) * values;
        if share > 0 {
            let ran = match &mut self.lanes[..] {
                [lane] => lane.step(&self.batch, shape),
                lanes => {
                    let parts = lanes.par_iter_mut().zip(self.batch.par_chunks(share));
                    parts.try_for_each(|(lane, part)| lane.step(part, shape))
                }
            };
            let parts = self.batch.len().div_ceil(share);
            let faces = share / values;
            let last = self.batch.len() / values - faces * (parts - 1);
            self.batch.clear();
            ran?;
            for n in 0..parts {
                self.read(n, if n + 1 == parts { last } else { faces })?;
            }
        }
        Ok(self.readings())
    }

    /// The whole batch at once, filled up with blank faces.
    fn step_on_gpu(&mut self, faces: usize) -> Result<(), InferError> {
        let places = places(faces);
        self.batch.resize(places * self.cut.values(), 0.0);
        let lane = &mut self.lanes[0];
        lane.step(&self.batch, self.cut.shape())?;
        lane.cut_off(places, faces);
        Ok(())
    }

    /// Has `cutter` cut the `faces` that it was told of, and runs the batch that this makes; puts their details into
    /// `details`. The batch stays on the GPU where the encoder takes it there, and is read back once where not. Gives how
    /// long the GPU cut, if its clock tells.
    ///
    /// # Errors
    /// Every [`InferError`]: of what the GPU does not do, nothing is done elsewhere; see [`Encoder::leave_gpu`].
    #[cfg(feature = "gpu")]
    pub fn step_cut(
        &mut self,
        cutter: &mut Cutter,
        faces: usize,
        details: &mut Vec<Detail>,
    ) -> Result<Option<Duration>, InferError> {
        self.clear();
        self.batch.clear();
        let mut watch = Stopwatch::start();
        let ran = self.run_cut(cutter, faces, details);
        self.batch.clear();
        let took = ran?;
        self.lanes[0].spent = watch.lap();
        self.read(0, faces)?;
        // What was cut is told with the aligning.
        self.spent.wall = self.spent.wall.saturating_sub(took.unwrap_or_default());
        Ok(took)
    }

    #[cfg(feature = "gpu")]
    fn run_cut(
        &mut self,
        cutter: &mut Cutter,
        faces: usize,
        details: &mut Vec<Detail>,
    ) -> Result<Option<Duration>, InferError> {
        let (places, lane) = (places(faces), &mut self.lanes[0]);
        let room = lane.session.room(places)?.map(|(_, room)| room);
        cutter.step(room.as_ref())?;
        if room.is_none() {
            let took = cutter.finish(details, &mut self.batch)?;
            self.step_on_gpu(faces)?;
            return Ok(took);
        }
        // Beyond the faces of this batch those of an earlier one are still there, and nobody looks at what is said of them.
        lane.session.run_there(places, &mut lane.outputs)?;
        lane.cut_off(places, faces);
        Ok(cutter.finish(details, &mut self.batch)?)
    }

    /// Goes on on the CPU for good, as a GPU has failed by `error`. On the CPU already, it gives that error back.
    ///
    /// # Errors
    /// `error`.
    pub fn leave_gpu(&mut self, error: InferError) -> Result<(), InferError> {
        if !self.is_on_gpu() || self.spares.is_empty() {
            return Err(error);
        }
        self.reason = format!("{} failed: {error}", self.place().device);
        // To take down what is on a GPU that does not answer may have no end.
        std::mem::forget(std::mem::replace(&mut self.lanes, std::mem::take(&mut self.spares)));
        tracing::warn!("the encoder goes on on the {}, as {}", self.place().device, self.reason);
        Ok(())
    }

    fn clear(&mut self) {
        self.logits.clear();
        self.embeddings.clear();
        self.spent = Spent::default();
    }

    /// What the last step said.
    #[must_use]
    pub fn readings(&self) -> Readings<'_> {
        Readings { logits: &self.logits, embeddings: &self.embeddings }
    }

    /// What the last step took.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// Takes over what a lane said of its `faces`.
    fn read(&mut self, lane: usize, faces: usize) -> Result<(), InferError> {
        let Lane { outputs, spent, .. } = &self.lanes[lane];
        let found = outputs[0].len();
        if found != faces * Expression::COUNT {
            return Err(self.misshapen(format!("{found} values for {faces} faces; one a class and face is wanted")));
        }
        if let Some(embeddings) = outputs.get(1) {
            if embeddings.is_empty() || embeddings.len() % faces != 0 {
                return Err(
                    self.misshapen(format!("embeddings of {} values in all for {faces} faces", embeddings.len()))
                );
            }
            self.embeddings.extend_from_slice(embeddings);
        }
        self.spent = self.spent.beside(*spent);
        for row in outputs[0].chunks_exact(Expression::COUNT) {
            let value = |class: usize| match self.kind {
                manifest::Values::Logits => row[self.order[class]],
                manifest::Values::Probabilities => row[self.order[class]].max(1e-6).ln(),
            };
            self.logits.push(std::array::from_fn(value));
        }
        Ok(())
    }

    fn misshapen(&self, gave: String) -> InferError {
        InferError::Run { model: self.name.clone(), reason: format!("it gave {gave}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::manifest::Models;

    fn chosen(session: impl Session + 'static) -> Chosen {
        Chosen::from(Box::new(session) as Box<dyn Session>)
    }

    /// A model that says the same of every face.
    struct Always(Vec<f32>);

    impl Session for Always {
        fn run(&mut self, shape: [usize; 4], _input: &[f32], outputs: &mut [Values]) -> Result<(), InferError> {
            outputs[0].extend(std::iter::repeat_n(&self.0, shape[0]).flatten());
            Ok(())
        }

        fn runtime(&self) -> &'static str {
            "test"
        }

        fn device(&self) -> &'static str {
            "none"
        }
    }

    fn said(model: &Model, output: &[f32]) -> Logits {
        let mut encoder = Encoder::new(chosen(Always(output.to_vec())), model).expect("an encoder");
        encoder.push(&vec![0.0; encoder.cut().values()]);
        encoder.step().expect("it runs").logits[0]
    }

    #[test]
    fn class_scores_stand_in_the_models_order_and_probabilities_are_read_as_logarithms() {
        let mut model = Models::load(None).expect("built in").encoder;
        (model.outputs, model.values) = (vec!["scores".to_owned()], manifest::Values::Logits);
        model.labels =
            ["neutral", "surprised", "sad", "happy", "afraid", "disgusted", "angry"].map(str::to_owned).into();
        let output = [0.4, 0.3, 0.1, 0.1, 0.05, 0.05, 0.0];
        let turned: Vec<f32> = output.iter().rev().copied().collect();
        assert_eq!(said(&model, &output)[..], turned);
        model.values = manifest::Values::Probabilities;
        let logits = said(&model, &output);
        assert_eq!(logits[Expression::Neutral as usize], 0.4_f32.ln());
        assert!(logits[Expression::Angry as usize].is_finite(), "of a probability of nothing too");
    }

    /// A model that says of a face what its first pixel holds, and gives it as embedding too.
    struct First;

    impl Session for First {
        fn run(&mut self, shape: [usize; 4], input: &[f32], outputs: &mut [Values]) -> Result<(), InferError> {
            for face in input.chunks_exact(input.len() / shape[0]) {
                outputs[0].extend([face[0]; Expression::COUNT]);
                outputs[1].extend([face[0], -face[0]]);
            }
            Ok(())
        }

        fn runtime(&self) -> &'static str {
            "test"
        }

        fn device(&self) -> &'static str {
            "cpu"
        }
    }

    #[test]
    fn sessions_that_share_a_batch_say_what_one_says_in_the_same_order() {
        let model = Models::load(None).expect("built in").encoder;
        for sessions in [1, 2, 4] {
            let mut encoder = Encoder::new(chosen(First), &model).expect("an encoder");
            encoder.lanes.resize_with(sessions, || Lane::new(Box::new(First), model.outputs.len()));
            for faces in [1, 3, 4, 5, 0, 9] {
                let values = encoder.cut().values();
                for face in 0..faces {
                    encoder.push(&vec![face as f32; values]);
                }
                let readings = encoder.step().expect("it runs");
                let logits: Vec<f32> = readings.logits.iter().map(|logits| logits[6]).collect();
                let embeddings: Vec<f32> = readings.embeddings().map(|embedding| -embedding[1]).collect();
                let wanted: Vec<f32> = (0..faces).map(|face| face as f32).collect();
                assert_eq!((logits, embeddings), (wanted.clone(), wanted), "{faces} faces, {sessions} sessions");
            }
        }
    }

    /// A GPU that is lost after so many batches.
    struct Lost(usize);

    impl Session for Lost {
        fn run(&mut self, shape: [usize; 4], input: &[f32], outputs: &mut [Values]) -> Result<(), InferError> {
            assert!(shape[0].is_power_of_two(), "few sizes of batches");
            if self.0 == 0 {
                return Err(InferError::Run { model: "it".to_owned(), reason: "the driver was reset".to_owned() });
            }
            self.0 -= 1;
            First.run(shape, input, outputs)
        }

        fn runtime(&self) -> &'static str {
            "test"
        }

        fn device(&self) -> &'static str {
            "webgpu"
        }
    }

    #[test]
    fn a_gpu_that_is_lost_is_left_in_the_midst_of_a_batch_and_no_face_is() {
        let model = Models::load(None).expect("built in").encoder;
        let mut encoder = Encoder::new(chosen(Lost(2)), &model).expect("an encoder");
        encoder.spares.resize_with(2, || Lane::new(Box::new(First), model.outputs.len()));
        for (n, device) in ["webgpu", "webgpu", "cpu", "cpu"].into_iter().enumerate() {
            for face in 0..3 + n {
                encoder.push(&vec![face as f32; encoder.cut().values()]);
            }
            let logits: Vec<f32> = encoder.step().expect("it runs").logits.iter().map(|logits| logits[6]).collect();
            assert_eq!(logits, (0..3 + n).map(|face| face as f32).collect::<Vec<f32>>());
            assert_eq!(encoder.place().device, device);
        }
        assert!(
            encoder.reason().contains("webgpu failed") && encoder.reason().contains("reset"),
            "{}",
            encoder.reason()
        );
        let mut without = Encoder::new(chosen(Lost(0)), &model).expect("an encoder");
        without.push(&vec![0.0; without.cut().values()]);
        assert!(without.step().is_err(), "nobody stands by");
    }
}
