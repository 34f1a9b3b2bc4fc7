//! The trained network as it runs on a GPU: each batch normalisation is folded into the convolution before it, and the
//! temperature into the classifier, so that a GPU is asked for fewer steps.

use burn::module::Param;
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, Linear};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use super::Network;
use super::layers::{pool_channels_first, standardise, unit_length};

/// Encoder and classifier, on pictures (image, channel, row, column).
#[derive(Debug)]
pub struct Reader {
    conv1: Conv2d,
    pools: bool,
    blocks: Vec<Block>,
    classifier: Linear,
}

#[derive(Debug)]
struct Block {
    conv1: Conv2d,
    conv2: Conv2d,
    downsample: Option<Conv2d>,
}

impl Reader {
    /// What `network` has learnt; its class scores are divided by `temperature`.
    #[must_use]
    pub fn new(network: &Network, temperature: f32) -> Self {
        let encoder = &network.encoder;
        let blocks = [&encoder.layer1, &encoder.layer2, &encoder.layer3, &encoder.layer4].into_iter().flatten();
        let Linear { weight, bias } = &network.classifier;
        let tempered = |bias: &Param<Tensor<1>>| Param::from_tensor(bias.val() / temperature);
        Self {
            conv1: folded(&encoder.conv1, &encoder.bn1),
            pools: encoder.pools,
            blocks: blocks
                .map(|block| Block {
                    conv1: folded(&block.conv1, &block.bn1),
                    conv2: folded(&block.conv2, &block.bn2),
                    downsample: block.downsample.as_ref().map(|(past, norm)| folded(past, norm)),
                })
                .collect(),
            classifier: Linear {
                weight: Param::from_tensor(weight.val() / temperature),
                bias: bias.as_ref().map(tempered),
            },
        }
    }

    /// Class scores and embeddings of unit length, one beside the other: (M, 7 + D), of pictures (M, 1, row, column) as in
    /// [`Network::read`].
    #[must_use]
    pub fn read(&self, pixels: Tensor<4>) -> Tensor<2> {
        let shape = pixels.dims();
        let x = relu(self.conv1.forward(standardise(pixels).reshape(shape)));
        let x = if self.pools { pool_channels_first(x) } else { x };
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x));
        let [images, channels, rows, columns] = x.dims();
        let embedding = x.reshape([images, channels, rows * columns]).mean_dim(2).reshape([images, channels]);
        Tensor::cat(vec![self.classifier.forward(embedding.clone()), unit_length(embedding)], 1)
    }
}

impl Block {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.conv2.forward(relu(self.conv1.forward(x.clone())));
        let past = match &self.downsample {
            Some(conv) => conv.forward(x),
            None => x,
        };
        relu(y + past)
    }
}

/// `conv` and then `norm` with its running statistics, as one convolution.
fn folded(conv: &Conv2d, norm: &BatchNorm) -> Conv2d {
    let scale = norm.gamma.val() / (norm.running_var.value_sync() + norm.epsilon).sqrt();
    let bias = norm.beta.val() - norm.running_mean.value_sync() * scale.clone();
    let filters = scale.dims()[0];
    let weight = conv.weight.val() * scale.reshape([filters, 1, 1, 1]);
    Conv2d { weight: Param::from_tensor(weight), bias: Some(Param::from_tensor(bias)), ..conv.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::{Architecture, CLASSES, Kind, device};
    use super::*;
    use crate::network::tests::Shaken;
    use burn::module::Module;
    use burn::tensor::{Device, TensorData, Tolerance};

    #[test]
    fn it_says_what_the_network_says() {
        for (kind, side) in [(Kind::Slim, 48), (Kind::Resnet18, 64)] {
            let architecture = Architecture { kind, side, ..Architecture::default() };
            let network = Network::new(&architecture, 1, &device::cpu()).map(&mut Shaken(0.0)).valid();
            let values = (0..3 * side * side).map(|n| ((n * n) as f32 * 0.37).sin()).collect::<Vec<f32>>();
            let pixels = Tensor::<4>::from_data(TensorData::new(values, [3, 1, side, side]), &Device::flex());
            let (logits, embeddings) = network.read(pixels.clone());
            let said = Reader::new(&network, 0.5).read(pixels);
            let tolerance = Tolerance::rel_abs(1e-3, 1e-4);
            let width = said.dims()[1];
            let scores = said.clone().narrow(1, 0, CLASSES).into_data();
            scores.assert_approx_eq::<f32>(&(logits / 0.5).into_data(), tolerance);
            said.narrow(1, CLASSES, width - CLASSES)
                .into_data()
                .assert_approx_eq::<f32>(&embeddings.into_data(), tolerance);
        }
    }
}
