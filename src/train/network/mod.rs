//! The network that is trained: an encoder, and the heads that the methods and the classes need.

mod architecture;
mod average;
pub mod device;
mod graph;
mod kernels;
mod layers;
mod resnet;
mod weights;

use burn::module::{Module, ParamGroup};
use burn::nn::{BatchNorm, Dropout, DropoutConfig, Linear};
use burn::tensor::{Device, Tensor};
use rand::SeedableRng;
use rand::rngs::StdRng;

pub use architecture::{Architecture, Kind};
pub use average::Average;
pub use resnet::Encoder;
pub use weights::{WeightsError, architecture as architecture_of};

/// Length of the projection.
pub const PROJECTION: usize = 128;
/// Coarse classes of CRS-CONT.
pub const COARSE: usize = 4;
const CLASSES: usize = 7;

/// What the network says of a batch of M pictures.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// (M, D): pooled features, not normalised. D is the architecture's.
    pub embedding: Tensor<2>,
    /// (M, 128): the projection head's output, not normalised.
    pub projection: Tensor<2>,
    /// (M, 7): class scores, in the order of [`Expression::ALL`](crate::scene::Expression::ALL).
    pub logits: Tensor<2>,
    /// (M, 4): scores of the coarse classes (CRS-CONT).
    pub coarse: Tensor<2>,
}

/// An encoder with its heads.
#[derive(Module, Debug)]
pub struct Network {
    /// Turns pictures into embeddings.
    pub encoder: Encoder,
    projection: Projection,
    classifier: Linear,
    coarse: Linear,
    dropout: Dropout,
    #[module(skip)]
    architecture: Architecture,
}

/// Linear, normalised, cut off below 0, linear.
#[derive(Module, Debug)]
struct Projection {
    linear1: Linear,
    bn1: BatchNorm,
    linear2: Linear,
}

impl Network {
    /// A network with random weights: the same from the same seed, on every device. It can be trained on an autodiff
    /// device.
    #[must_use]
    pub fn new(architecture: &Architecture, seed: u64, device: &Device) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let width = architecture.embedding();
        Self {
            encoder: Encoder::new(architecture, &mut random, device),
            projection: Projection {
                linear1: layers::linear(&mut random, width, width, device),
                bn1: layers::norm(width, 1.0, device),
                linear2: layers::linear(&mut random, width, PROJECTION, device),
            },
            classifier: layers::linear(&mut random, width, CLASSES, device),
            coarse: layers::linear(&mut random, PROJECTION, COARSE, device),
            dropout: DropoutConfig::new(architecture.dropout).init(),
            architecture: architecture.clone(),
        }
    }

    /// Its architecture.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Side of the pictures that it reads, pixels.
    #[must_use]
    pub fn side(&self) -> usize {
        self.architecture.side
    }

    /// Where it is.
    #[must_use]
    pub fn device(&self) -> Device {
        self.classifier.weight.device()
    }

    /// What it says of pictures (image, 1, row, column), (v - 127.5) / 64 of grey values v.
    ///
    /// Dropout draws from the device's own generator: [`Device::seed`] before a step makes it repeatable.
    #[must_use]
    pub fn forward(&self, pixels: Tensor<4>) -> Outputs {
        let embedding = if self.encoder.is_trained() {
            self.encoder.forward(pixels)
        } else {
            self.encoder.valid().forward(pixels.inner())
        };
        let head = &self.projection;
        let hidden = layers::normalise_vectors(&head.bn1, head.linear1.forward(embedding.clone()), true);
        let projection = head.linear2.forward(hidden);
        let length = projection.clone().square().sum_dim(1).sqrt().clamp_min(1e-12);
        Outputs {
            logits: self.classifier.forward(self.dropout.forward(embedding.clone())),
            coarse: self.coarse.forward(projection.clone() / length),
            embedding,
            projection,
        }
    }

    /// The same network, whose encoder stays as it is: it uses the statistics that it has, and no gradient goes through.
    #[must_use]
    pub fn with_frozen_encoder(self) -> Self {
        self.unfreeze().freeze_group(ParamGroup::from_predicate("encoder."))
    }
}
