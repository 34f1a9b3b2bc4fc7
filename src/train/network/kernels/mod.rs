//! What the network spends its time in, written for the CPU: an extension of burn's `Flex` backend.
//!
//! Pictures are stored as (image, row, column, channel), so that a pixel's channels fill whole vector registers. burn's
//! own convolution unfolds its input and multiplies matrices of awkward shapes; these kernels train the slim network
//! several times as fast (`docs/results/training.md`). Devices other than `Flex` do not come here: [`super::layers`]
//! decides.

mod convolution;
mod normalisation;
mod pooling;

use std::borrow::Cow;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, Dispatch, DispatchDevice, ExtensionType, Flex, TensorMetadata, backend_extension,
};
use burn::tensor::{Bytes, DType, Device, Shape, Tensor};

use convolution::Convolution;
use normalisation::Statistics;
use pooling::Pooling;

/// What is added to a normalised picture.
#[derive(Clone, Debug, ExtensionType)]
enum Residual<B: Backend> {
    Nothing,
    Picture(FloatTensor<B>),
}

/// Operations that are trained through.
#[backend_extension(Flex, Autodiff)]
trait Trained: Backend {
    fn convolve(x: FloatTensor<Self>, weight: FloatTensor<Self>, stride: usize, padding: usize) -> FloatTensor<Self>;

    /// The output, and the batch's mean and variance of each channel.
    fn normalise(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        #[extension_type] residual: Residual<Self>,
        epsilon: f32,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    fn pool(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Operations that no gradient goes through.
#[backend_extension(Flex)]
trait Applied: Backend {
    fn scale(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        #[extension_type] residual: Residual<Self>,
        relu: bool,
    ) -> FloatTensor<Self>;
}

/// Whether this is the device that the operations here are for.
#[must_use]
pub fn are_for(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// Whether pictures can be convolved here from and to these numbers of channels, on this device.
#[must_use]
pub fn convolves(device: &Device, channels: usize, filters: usize) -> bool {
    // A single channel is that of the pixels, of which no gradient is asked.
    let fits = |channels: usize| channels.is_multiple_of(convolution::WIDTH);
    are_for(device) && (channels == 1 || fits(channels)) && fits(filters)
}

/// Convolves pictures (image, row, column, channel) with a weight (filter, channel, row, column).
///
/// No gradient by the pictures is had if they have one channel.
#[must_use]
pub fn convolve(x: Tensor<4>, weight: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::convolve(x.into_dispatch(), weight.into_dispatch(), stride, padding))
}

/// A normalised batch.
#[derive(Clone, Debug)]
pub struct Normalised {
    /// (image, row, column, channel).
    pub output: Tensor<4>,
    /// The batch's mean of each channel.
    pub mean: Tensor<1>,
    /// Its variance, divided by the number of pixels.
    pub variance: Tensor<1>,
}

/// Normalises each channel of pictures (image, row, column, channel) with the batch's own statistics, then scales by
/// gamma, shifts by beta, adds the residual, and with `relu` cuts off below 0.
#[must_use]
pub fn normalise(
    x: Tensor<4>,
    [gamma, beta]: [Tensor<1>; 2],
    residual: Option<Tensor<4>>,
    epsilon: f64,
    relu: bool,
) -> Normalised {
    let [x, gamma, beta] = [x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch()];
    let (output, mean, variance) = Dispatch::normalise(x, gamma, beta, residual.into(), epsilon as f32, relu);
    let [mean, variance] = [mean, variance].map(Tensor::from_dispatch);
    Normalised { output: Tensor::from_dispatch(output), mean, variance }
}

/// `x * scale + shift + residual` for each channel of pictures (image, row, column, channel), with `relu` cut off below
/// 0. Without gradients.
#[must_use]
pub fn scale(x: Tensor<4>, [scale, shift]: [Tensor<1>; 2], residual: Option<Tensor<4>>, relu: bool) -> Tensor<4> {
    let [x, scale, shift] = [x.into_dispatch(), scale.into_dispatch(), shift.into_dispatch()];
    Tensor::from_dispatch(Dispatch::scale(x, scale, shift, residual.into(), relu))
}

/// The largest of 3x3 pixels at every other one, of pictures (image, row, column, channel).
#[must_use]
pub fn pool(x: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::pool(x.into_dispatch()))
}

impl From<Option<Tensor<4>>> for Residual<Dispatch> {
    fn from(residual: Option<Tensor<4>>) -> Self {
        residual.map_or(Self::Nothing, |residual| Self::Picture(residual.into_dispatch()))
    }
}

/// A tensor's values in the order of its shape.
fn values(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    match tensor.as_slice() {
        Some(values) => Cow::Borrowed(values),
        None => Cow::Owned(tensor.to_contiguous().storage().to_vec()),
    }
}

fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape), DType::F32)
}

fn vector(values: Vec<f32>) -> FlexTensor {
    let shape = Shape::from([values.len()]);
    tensor(values, shape)
}

impl Convolution {
    fn of(x: &FlexTensor, weight: &FlexTensor, stride: usize, padding: usize) -> Self {
        let [images, rows, columns, channels] = x.shape().dims();
        let [filters, _, kernel, _] = weight.shape().dims();
        Self { images, size: [rows, columns], channels, filters, kernel, stride, padding }
    }
}

impl Trained for Flex {
    fn convolve(x: FlexTensor, weight: FlexTensor, stride: usize, padding: usize) -> FlexTensor {
        let convolution = Convolution::of(&x, &weight, stride, padding);
        let [rows, columns] = convolution.out_size();
        let shape = Shape::from([convolution.images, rows, columns, convolution.filters]);
        tensor(convolution.forward(&values(&x), &values(&weight)), shape)
    }

    fn normalise(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        residual: Residual<Self>,
        epsilon: f32,
        relu: bool,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [_, _, _, channels] = x.shape().dims();
        let Statistics { mean, variance } = normalisation::statistics(&values(&x), channels);
        let scale: Vec<f32> =
            values(&gamma).iter().zip(&variance).map(|(gamma, variance)| gamma / (variance + epsilon).sqrt()).collect();
        let shift =
            values(&beta).iter().zip(&mean).zip(&scale).map(|((beta, mean), scale)| beta - mean * scale).collect();
        let output = Self::scale(x, vector(scale), vector(shift), residual, relu);
        (output, vector(mean), vector(variance))
    }

    fn pool(x: FlexTensor) -> FlexTensor {
        pooled(&x).0
    }
}

/// The output, the pooling, and the pixels that the output comes from.
fn pooled(x: &FlexTensor) -> (FlexTensor, Pooling, Vec<u8>) {
    let [images, rows, columns, channels] = x.shape().dims();
    let pooling = Pooling { size: [rows, columns], channels };
    let [rows, columns] = pooling.out_size();
    let (y, from) = pooling.forward(&values(x));
    (tensor(y, Shape::from([images, rows, columns, channels])), pooling, from)
}

impl Applied for Flex {
    fn scale(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        residual: Residual<Self>,
        relu: bool,
    ) -> FlexTensor {
        let residual = match &residual {
            Residual::Picture(residual) => Some(values(residual)),
            Residual::Nothing => None,
        };
        tensor(normalisation::apply(&values(&x), &values(&scale), &values(&shift), residual.as_deref(), relu), x.shape())
    }
}

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
        if let Some(node) = input {
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
        let found = normalisation::gradients(&dy, &values(&x), &statistics, &values(&scale), epsilon);
        if let Some(node) = input {
            gradients.register::<Flex>(node.id, tensor(found.input, x.shape()));
        }
        if let Some(node) = gamma {
            gradients.register::<Flex>(node.id, vector(found.gamma));
        }
        if let Some(node) = beta {
            gradients.register::<Flex>(node.id, vector(found.beta));
        }
        if let Some(node) = residual {
            gradients.register::<Flex>(node.id, tensor(dy, x.shape()));
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
    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
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
