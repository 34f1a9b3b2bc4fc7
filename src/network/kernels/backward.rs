//! The way back through the operations that are trained through.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata};
use burn::tensor::Shape;

use super::convolution::Convolution;
use super::normalisation::{self, Statistics};
use super::pooling::Pooling;
use super::{Residual, Trained, pooled, tensor, values, vector};

#[derive(Debug)]
struct ConvolveBackward;

impl Backward<Flex, 2> for ConvolveBackward {
    /// Input, weight, and the shape of the convolution.
    type State = (FlexTensor, FlexTensor, Convolution);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [input, weight] = ops.parents;
        let (x, w, convolution) = ops.state;
        let dy = gradients.consume::<Flex>(&ops.node);
        let dy = values(&dy);
        if let Some(node) = weight {
            let gradient = convolution.weight_gradient(&values(&x), &dy);
            gradients.register::<Flex>(node.id, tensor(gradient, w.shape()));
        }
        if let Some(node) = input.filter(|_| convolution.channels > 1) {
            let gradient = convolution.input_gradient(&dy, &values(&w));
            gradients.register::<Flex>(node.id, tensor(gradient, x.shape()));
        }
    }
}

#[derive(Debug)]
struct NormaliseBackward;

/// What the way back through a normalisation needs.
#[derive(Clone, Debug)]
struct NormaliseState {
    x: FlexTensor,
    /// The output, if there was a ReLU.
    y: Option<FlexTensor>,
    gamma: FlexTensor,
    statistics: Statistics,
    epsilon: f32,
}

impl Backward<Flex, 4> for NormaliseBackward {
    type State = NormaliseState;

    fn backward(self, ops: Ops<Self::State, 4>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [input, gamma, beta, residual] = ops.parents;
        let NormaliseState { x, y, gamma: scale, statistics, epsilon } = ops.state;
        let dy = gradients.consume::<Flex>(&ops.node);
        let mut dy = dy.into_data().try_into_vec::<f32>().unwrap_or_default();
        if let Some(y) = y {
            normalisation::mask(&mut dy, &values(&y));
        }
        if let Some(node) = residual {
            gradients.register::<Flex>(node.id, tensor(dy.clone(), x.shape()));
        }
        let found = normalisation::gradients(dy, &values(&x), &statistics, &values(&scale), epsilon);
        if let Some(node) = input {
            gradients.register::<Flex>(node.id, tensor(found.input, x.shape()));
        }
        if let Some(node) = gamma {
            gradients.register::<Flex>(node.id, vector(found.gamma));
        }
        if let Some(node) = beta {
            gradients.register::<Flex>(node.id, vector(found.beta));
        }
    }
}

#[derive(Debug)]
struct PoolBackward;

impl Backward<Flex, 1> for PoolBackward {
    /// The input's shape, the pooling, and the pixels that the output came from.
    type State = (Shape, Pooling, Arc<[u8]>);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let (shape, pooling, from) = ops.state;
        let dy = gradients.consume::<Flex>(&ops.node);
        if let [Some(node)] = ops.parents {
            gradients.register::<Flex>(node.id, tensor(pooling.gradient(&values(&dy), &from), shape));
        }
    }
}

impl<C: CheckpointStrategy> Trained for Autodiff<Flex, C> {
    fn convolve(x: FloatTensor<Self>, weight: FloatTensor<Self>, stride: usize, padding: usize) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node()];
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        match ConvolveBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let convolution = Convolution::of(&x, &weight, stride, padding);
                let output = Flex::convolve(x.clone(), weight.clone(), stride, padding);
                prep.finish((x, weight, convolution), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::convolve(x, weight, stride, padding)),
        }
    }

    fn normalise(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        residual: Residual<Self>,
        epsilon: f32,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (residual_node, residual) = match residual {
            Residual::Picture(residual) => (residual.node(), Residual::Picture(residual.into_primitive())),
            Residual::Nothing => (FloatTensor::<Self>::new(x.primitive().clone()).node(), Residual::Nothing),
        };
        let nodes = [x.node(), gamma.node(), beta.node(), residual_node];
        let (x, gamma, beta) = (x.into_primitive(), gamma.into_primitive(), beta.into_primitive());
        let (output, mean, variance) = Flex::normalise(x.clone(), gamma.clone(), beta, residual, epsilon, relu);
        let statistics = Statistics { mean: values(&mean).into_owned(), variance: values(&variance).into_owned() };
        let output = match NormaliseBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = relu.then(|| output.clone());
                prep.finish(NormaliseState { x, y, gamma, statistics, epsilon }, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        };
        (output, FloatTensor::<Self>::new(mean), FloatTensor::<Self>::new(variance))
    }

    fn pool(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let (output, pooling, from) = pooled(&x);
        match PoolBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x.shape(), pooling, from.into()), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }
}
