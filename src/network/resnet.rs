//! The encoder: a residual network of basic blocks (K. He et al., 2016). Its parts are named as torchvision names them.

use burn::module::Module;
use burn::nn::BatchNorm;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use rand::rngs::StdRng;

use super::architecture::{Architecture, Kind};
use super::layers::{conv, convolve, mean, norm, normalise, pool, standardise};

/// Turns pictures into embeddings.
#[derive(Module, Debug)]
pub struct Encoder {
    pub(crate) conv1: Conv2d,
    pub(crate) bn1: BatchNorm,
    pub(crate) layer1: Vec<Block>,
    pub(crate) layer2: Vec<Block>,
    pub(crate) layer3: Vec<Block>,
    pub(crate) layer4: Vec<Block>,
    #[module(skip)]
    pub(crate) pools: bool,
}

/// Two convolutions of 3x3, and a way past them.
#[derive(Module, Debug)]
pub struct Block {
    pub(crate) conv1: Conv2d,
    pub(crate) bn1: BatchNorm,
    pub(crate) conv2: Conv2d,
    pub(crate) bn2: BatchNorm,
    /// The way past where the size or the number of channels changes.
    pub(crate) downsample: Option<(Conv2d, BatchNorm)>,
}

impl Encoder {
    /// A network of this architecture with random weights.
    pub(crate) fn new(architecture: &Architecture, random: &mut StdRng, device: &Device) -> Self {
        let [first, ..] = architecture.widths();
        let (kernel, pools) = match architecture.kind {
            Kind::Slim => (3, false),
            Kind::Resnet18 => (7, true),
        };
        let conv1 = conv(random, 1, first, kernel, 2, device);
        let mut channels = first;
        let mut stage = |width: usize, stride: usize| -> Vec<Block> {
            let mut blocks = Vec::with_capacity(architecture.blocks());
            for block in 0..architecture.blocks() {
                let stride = if block == 0 { stride } else { 1 };
                blocks.push(Block::new(random, channels, width, stride, device));
                channels = width;
            }
            blocks
        };
        let [one, two, three, four] = architecture.widths();
        let (layer1, layer2) = (stage(one, 1), stage(two, 2));
        let (layer3, layer4) = (stage(three, 2), stage(four, 2));
        Self { conv1, bn1: norm(first, device), layer1, layer2, layer3, layer4, pools }
    }

    /// Embeddings (image, value) of pictures (image, 1, row, column).
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<2> {
        let x = normalise(&self.bn1, convolve(&self.conv1, standardise(pixels)), None, true);
        let x = if self.pools { pool(x) } else { x };
        let blocks = [&self.layer1, &self.layer2, &self.layer3, &self.layer4].into_iter().flatten();
        mean(blocks.fold(x, |x, block| block.forward(x)))
    }

    /// Whether it uses and updates the statistics of batches.
    pub(crate) fn is_trained(&self) -> bool {
        self.bn1.training.is_enabled()
    }
}

impl Block {
    fn new(random: &mut StdRng, channels: usize, width: usize, stride: usize, device: &Device) -> Self {
        let conv1 = conv(random, channels, width, 3, stride, device);
        let conv2 = conv(random, width, width, 3, 1, device);
        let changes = stride != 1 || channels != width;
        let downsample = changes.then(|| (conv(random, channels, width, 1, stride, device), norm(width, device)));
        Self { conv1, bn1: norm(width, device), conv2, bn2: norm(width, device), downsample }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = normalise(&self.bn1, convolve(&self.conv1, x.clone()), None, true);
        let past = match &self.downsample {
            Some((conv, norm)) => normalise(norm, convolve(conv, x), None, false),
            None => x,
        };
        normalise(&self.bn2, convolve(&self.conv2, y), Some(past), true)
    }
}
