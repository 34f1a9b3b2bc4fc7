//! The network that is trained: an encoder, and the heads that the methods and the classes need.

use burn::tensor::Tensor;

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
