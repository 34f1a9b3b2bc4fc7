//! The encoder: one batch of aligned faces in, class scores and embeddings out.

use crate::face::align::CutFormat;
use crate::image::warp::Layout;
use crate::infer::manifest::{self, ManifestError, Model};
use crate::infer::{InferError, Session, Values};
use crate::scene::{Expression, Logits};

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
    session: Box<dyn Session>,
    cut: CutFormat,
    kind: manifest::Values,
    /// Where each of the program's classes stands in the model's output.
    order: [usize; Expression::COUNT],
    batch: Vec<f32>,
    outputs: Vec<Values>,
    logits: Vec<Logits>,
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
            session,
            cut: CutFormat { size, layout },
            kind: model.values,
            order,
            batch: Vec::new(),
            outputs: vec![Values::new(); model.outputs.len()],
            logits: Vec::new(),
        })
    }

    /// What [`Encoder::push`] wants.
    #[must_use]
    pub fn cut(&self) -> CutFormat {
        self.cut
    }

    /// Where it runs.
    #[must_use]
    pub fn device(&self) -> &'static str {
        self.session.device()
    }

    /// Runs every batch size up to `faces` once, on blank faces.
    ///
    /// # Errors
    /// [`InferError::Run`].
    pub fn warm_up(&mut self, faces: usize) -> Result<(), InferError> {
        for size in 1..=faces {
            self.push(&vec![0.0; size * self.cut.values()]);
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
        self.outputs.iter_mut().for_each(Vec::clear);
        let faces = self.batch.len() / self.cut.values();
        if faces > 0 {
            let shape = [faces, self.cut.layout.planes(), self.cut.size, self.cut.size];
            let ran = self.session.run(shape, &self.batch, &mut self.outputs);
            self.batch.clear();
            ran?;
            let found = self.outputs[0].len();
            if found != faces * Expression::COUNT {
                return Err(self.misshapen(format!("{found} values for {faces} faces; one a class and face is wanted")));
            }
            if let Some(embeddings) = self.outputs.get(1).map(Vec::len)
                && (embeddings == 0 || embeddings % faces != 0)
            {
                return Err(self.misshapen(format!("embeddings of {embeddings} values in all for {faces} faces")));
            }
            for row in self.outputs[0].chunks_exact(Expression::COUNT) {
                let value = |class: usize| match self.kind {
                    manifest::Values::Logits => row[self.order[class]],
                    manifest::Values::Probabilities => row[self.order[class]].max(1e-6).ln(),
                };
                self.logits.push(std::array::from_fn(value));
            }
        }
        Ok(Readings { logits: &self.logits, embeddings: self.outputs.get(1).map_or(&[], Vec::as_slice) })
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
}
