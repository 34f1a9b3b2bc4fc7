//! What the network spends its time in, written for the CPU: an extension of burn's `Flex` backend.
//!
//! Pictures are stored as (image, row, column, channel), so that a pixel's channels fill whole vector registers. burn's
//! own convolution unfolds its input and multiplies matrices of awkward shapes; these kernels train the slim network
//! several times as fast (`docs/results/training.md`). Devices other than `Flex` do not come here: [`super::layers`]
//! decides.

mod backward;
mod convolution;
mod normalisation;
mod pooling;
mod tile;
mod winograd;

use std::borrow::Cow;

use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchDevice, ExtensionType, Flex, TensorMetadata, backend_extension};
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
    let fits = |channels: usize| channels.is_multiple_of(tile::WIDTH);
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
    fn scale(x: FlexTensor, scale: FlexTensor, shift: FlexTensor, residual: Residual<Self>, relu: bool) -> FlexTensor {
        let residual = match &residual {
            Residual::Picture(residual) => Some(values(residual)),
            Residual::Nothing => None,
        };
        tensor(
            normalisation::apply(&values(&x), &values(&scale), &values(&shift), residual.as_deref(), relu),
            x.shape(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::pool::MaxPool2dConfig;
    use burn::nn::{BatchNormConfig, PaddingConfig2d};
    use burn::tensor::TensorData;
    use burn::tensor::activation::relu;
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;
    use proptest::prelude::*;

    /// Values of -1 to 1, on the CPU, of which a gradient can be asked.
    fn random<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
        let mut state = seed;
        let values = (0..shape.iter().product()).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        });
        let data = TensorData::new(values.collect::<Vec<f32>>(), shape);
        Tensor::from_data(data, &Device::flex().autodiff()).require_grad()
    }

    fn channels_first(x: Tensor<4>) -> Tensor<4> {
        x.permute([0, 3, 1, 2])
    }

    fn channels_last(x: Tensor<4>) -> Tensor<4> {
        x.permute([0, 2, 3, 1])
    }

    /// Largest difference, as a share of the largest value.
    fn difference<const D: usize>(ours: &Tensor<D>, burns: &Tensor<D>) -> f32 {
        let (ours, burns) = (ours.clone().inner(), burns.clone().inner());
        let largest: f32 = burns.clone().abs().max().into_scalar();
        (ours - burns).abs().max().into_scalar::<f32>() / largest.max(1e-3)
    }

    /// Differences of two outputs, and of their gradients by all that they come from.
    fn differences(
        ours: &Tensor<4>,
        burns: &Tensor<4>,
        (pictures, vectors): (&[&Tensor<4>], &[&Tensor<1>]),
    ) -> Vec<f32> {
        let direction = random(ours.dims(), 77).detach();
        let gradients = [ours, burns].map(|y| (y.clone() * direction.clone()).sum().backward());
        let [by_ours, by_burns] = &gradients;
        let mut found = vec![difference(ours, burns)];
        let pairs = pictures.iter().filter_map(|x| Some((x.grad(by_ours)?, x.grad(by_burns)?)));
        found.extend(pairs.map(|(ours, burns)| difference(&ours, &burns)));
        let pairs = vectors.iter().filter_map(|x| Some((x.grad(by_ours)?, x.grad(by_burns)?)));
        found.extend(pairs.map(|(ours, burns)| difference(&ours, &burns)));
        assert_eq!(found.len(), 1 + pictures.len() + vectors.len(), "a gradient is missing");
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn convolutions_and_their_gradients_are_burns(
            images in 1_usize..12,
            (rows, columns) in (1_usize..11, 1_usize..11),
            (inputs, filters) in (1_usize..4, 1_usize..3),
            kernel in prop_oneof![Just(1_usize), Just(3)],
            stride in 1_usize..3,
            seed: u64,
        ) {
            let x = random([images, rows, columns, 32 * inputs], seed);
            let weight = random([32 * filters, 32 * inputs, kernel, kernel], !seed);
            let padding = kernel / 2;
            let ours = convolve(x.clone(), weight.clone(), stride, padding);
            let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
            let burns = channels_last(conv2d(channels_first(x.clone()), weight.clone(), None, options));
            let found = differences(&ours, &burns, (&[&x, &weight], &[]));
            prop_assert!(found.iter().all(|difference| *difference < 1e-4), "{found:?}");
        }

        #[test]
        fn stems_and_their_gradients_are_burns(
            images in 1_usize..4,
            (rows, columns) in (8_usize..20, 8_usize..20),
            kernel in prop_oneof![Just(3_usize), Just(7)],
            seed: u64,
        ) {
            let x = random([images, rows, columns, 1], seed).inner();
            let weight = random([32, 1, kernel, kernel], !seed);
            let ours = convolve(x.clone(), weight.clone(), 2, kernel / 2);
            let options = ConvOptions::new([2; 2], [kernel / 2; 2], [1; 2], 1);
            let burns = channels_last(conv2d(channels_first(x), weight.clone(), None, options));
            let found = differences(&ours, &burns, (&[&weight], &[]));
            prop_assert!(found.iter().all(|difference| *difference < 1e-4), "{found:?}");
        }

        #[test]
        fn normalisations_and_their_gradients_are_burns(
            images in 2_usize..40,
            (rows, columns) in (1_usize..12, 1_usize..12),
            channels in 1_usize..70,
            (with_residual, cut) in any::<(bool, bool)>(),
            mean in -3.0_f32..3.0,
            seed: u64,
        ) {
            let x = random([images, rows, columns, channels], seed);
            let residual = random([images, rows, columns, channels], seed ^ 1);
            let shifted = || x.clone() * 0.5 + mean;
            let layer = BatchNormConfig::new(channels).init(&x.device());
            let (gamma, beta) = (random([channels], seed ^ 2), random([channels], seed ^ 3));
            let added = with_residual.then(|| residual.clone());
            let ours = normalise(shifted(), [gamma.clone(), beta.clone()], added, layer.epsilon, cut);
            // With a gamma of 1 and a beta of 0: the rest is plain arithmetic.
            let burns = channels_last(layer.forward(channels_first(shifted())));
            let burns = burns * gamma.clone().reshape([1, 1, 1, -1]) + beta.clone().reshape([1, 1, 1, -1]);
            let burns = if with_residual { burns + residual.clone() } else { burns };
            // What lies at the cut but for rounding may fall on either side of it.
            let counts = if cut { burns.clone().detach().abs().greater_scalar(1e-4).float() } else { burns.ones_like() };
            let burns = if cut { relu(burns) } else { burns };
            let pictures: &[&Tensor<4>] = if with_residual { &[&x, &residual] } else { &[&x] };
            let found = differences(&(ours.output * counts.clone()), &(burns * counts), (pictures, &[&gamma, &beta]));
            prop_assert!(found.iter().all(|difference| *difference < 1e-3), "{found:?}");
            let momentum = layer.momentum as f32;
            let burns = [layer.running_mean.value_sync() / momentum, (layer.running_var.value_sync() - (1.0 - momentum)) / momentum];
            prop_assert!(difference(&ours.mean, &burns[0]) < 1e-3);
            prop_assert!(difference(&ours.variance, &burns[1]) < 1e-3);
        }

        #[test]
        fn poolings_and_their_gradients_are_burns(
            images in 1_usize..4,
            (rows, columns) in (1_usize..13, 1_usize..13),
            channels in 1_usize..40,
            seed: u64,
        ) {
            let x = random([images, rows, columns, channels], seed);
            let layer = MaxPool2dConfig::new([3; 2]).with_strides([2; 2]).with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1));
            let burns = channels_last(layer.init().forward(channels_first(x.clone())));
            let found = differences(&pool(x.clone()), &burns, (&[&x], &[]));
            prop_assert!(found.iter().all(|difference| *difference < 1e-6), "{found:?}");
        }
    }

    /// Outputs and gradients of a convolution and a normalisation, bit by bit, on so many threads.
    fn bits(threads: usize) -> Vec<u32> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| {
            let x = random([37, 9, 9, 64], 1);
            let weight = random([96, 64, 3, 3], 2);
            let (gamma, beta) = (random([96], 3), random([96], 4));
            let square = random([64, 64, 3, 3], 6);
            let y = convolve(convolve(x.clone(), square.clone(), 1, 1), weight.clone(), 2, 1);
            let y = normalise(y, [gamma.clone(), beta], None, 1e-5, true).output;
            let gradients = (y.clone() * random(y.dims(), 5).detach()).sum().backward();
            let tensors = [y.flatten(0, 3), x.grad(&gradients).expect("one").flatten(0, 3)];
            let weights = [&square, &weight].map(|weight| weight.grad(&gradients).expect("one").flatten(0, 3));
            let values = |tensor: Tensor<1>| tensor.into_data().iter::<f32>().map(f32::to_bits).collect::<Vec<_>>();
            tensors.into_iter().chain(weights).chain(gamma.grad(&gradients)).flat_map(values).collect()
        })
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let one = bits(1);
        assert_eq!(bits(2), one);
        assert_eq!(bits(5), one);
    }

    #[test]
    fn what_is_applied_is_what_was_trained() {
        let x = random([3, 4, 5, 32], 1).inner();
        let (factor, offset) = (random([32], 2).inner(), random([32], 3).inner());
        let residual = random([3, 4, 5, 32], 4).inner();
        let ours = scale(x.clone(), [factor.clone(), offset.clone()], Some(residual.clone()), true);
        let plain = relu(x * factor.reshape([1, 1, 1, 32]) + offset.reshape([1, 1, 1, 32]) + residual);
        assert!(difference(&ours, &plain) < 1e-6);
    }
}
