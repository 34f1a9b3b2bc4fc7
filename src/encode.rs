//! The encoder: one batch of aligned faces in, class scores and embeddings out.
//!
//! On a GPU the batch is one run. On the CPU it is divided among sessions of one thread each, which run side by side on
//! the workers that the caller has.

use rayon::prelude::*;

use crate::config::DeviceChoice;
use crate::face::align::CutFormat;
use crate::image::warp::Layout;
use crate::infer::manifest::{self, ManifestError, Model};
use crate::infer::{InferError, Runtime, Session, Values};
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

    /// Runs the model on `faces`, of which each has the shape `[planes, side, side]`.
    fn step(&mut self, faces: &[f32], [planes, side, _]: [usize; 3]) -> Result<(), InferError> {
        let mut watch = Stopwatch::start();
        self.outputs.iter_mut().for_each(Vec::clear);
        self.session.run([faces.len() / (planes * side * side), planes, side, side], faces, &mut self.outputs)?;
        self.spent = watch.lap();
        Ok(())
    }
}

impl Encoder {
    /// An encoder that runs `session`, which was loaded from `model`.
    ///
    /// # Errors
    /// [`ManifestError::Invalid`] when the manifest gives no square size or not the seven labels.
    pub fn new(session: Box<dyn Session>, model: &Model) -> Result<Self, ManifestError> {
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
            cut: CutFormat { size, layout },
            kind: model.values,
            order,
            batch: Vec::new(),
            logits: Vec::new(),
            embeddings: Vec::new(),
            spent: Spent::default(),
        })
    }

    /// On the CPU: has `threads` sessions of `model` in all share each batch.
    ///
    /// # Errors
    /// [`InferError::Load`].
    pub fn share(&mut self, runtime: &Runtime, model: &Model, threads: usize) -> Result<(), InferError> {
        while self.device() == "cpu" && self.lanes.len() < threads {
            let session = runtime.session(model, DeviceChoice::Cpu)?;
            self.lanes.push(Lane::new(session, model.outputs.len()));
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
    pub fn device(&self) -> &'static str {
        self.lanes[0].session.device()
    }

    /// Lets every session run every size of its part in a batch of up to `faces` once, on blank faces.
    ///
    /// # Errors
    /// [`InferError::Run`].
    pub fn warm_up(&mut self, faces: usize) -> Result<(), InferError> {
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
        self.logits.clear();
        self.embeddings.clear();
        self.spent = Spent::default();
        let shape = [self.cut.layout.planes(), self.cut.size, self.cut.size];
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

    /// A model that says the same of every face.
    struct Always(Vec<f32>);

    impl Session for Always {
        fn run(&mut self, shape: [usize; 4], _input: &[f32], outputs: &mut [Values]) -> Result<(), InferError> {
            outputs[0].extend(std::iter::repeat_n(&self.0, shape[0]).flatten());
            Ok(())
        }

        fn device(&self) -> &'static str {
            "none"
        }
    }

    fn said(model: &Model, output: &[f32]) -> Logits {
        let mut encoder = Encoder::new(Box::new(Always(output.to_vec())), model).expect("an encoder");
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

        fn device(&self) -> &'static str {
            "cpu"
        }
    }

    #[test]
    fn sessions_that_share_a_batch_say_what_one_says_in_the_same_order() {
        let model = Models::load(None).expect("built in").encoder;
        for sessions in [1, 2, 4] {
            let mut encoder = Encoder::new(Box::new(First), &model).expect("an encoder");
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
}
