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

/// STUB
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Architecture {}
impl Architecture { pub fn fault(&self) -> Option<(String, String)> { None } }
#[derive(burn::module::Module, Debug)]
pub struct Network { pub x: burn::nn::Linear }
impl Network {
    pub fn new(_a: &Architecture, _s: u64, d: &burn::tensor::Device) -> Self { Self { x: burn::nn::LinearConfig::new(1, 1).init(d) } }
    pub fn device(&self) -> burn::tensor::Device { todo!() }
    pub fn side(&self) -> usize { 64 }
    pub fn forward(&self, _x: Tensor<4>) -> Outputs { todo!() }
    pub fn with_frozen_encoder(self) -> Self { self }
}
pub struct Average;
impl Average { pub fn resume(_n: Network, _d: f64) -> Self { Self } pub fn network(&self) -> Network { todo!() } pub fn update(&mut self, _n: &Network) {} }
