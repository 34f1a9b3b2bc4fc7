//! The network that is trained, and that `--runtime wgpu` runs on a GPU: an encoder, and the heads that the methods and
//! the classes need.

mod architecture;
mod average;
pub mod device;
mod kernels;
mod layers;
mod reader;
pub(crate) mod resnet;
pub mod weights;

use burn::module::{Module, ModuleVisitor, Param, ParamGroup};
use burn::nn::{BatchNorm, Dropout, DropoutConfig, Linear};
use burn::tensor::{Device, Tensor};
use rand::SeedableRng;
use rand::rngs::StdRng;

pub use architecture::{Architecture, Kind};
pub use average::Average;
pub use reader::Reader;
pub use resnet::Encoder;
pub use weights::{WeightsError, architecture as architecture_of};

/// Expressions that it tells apart, in the order of `Expression::ALL`.
pub const CLASSES: usize = 7;
/// Length of the projection.
pub const PROJECTION: usize = 128;
/// Coarse classes of CRS-CONT.
pub const COARSE: usize = 4;

/// What the network says of a batch of M pictures.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// (M, D): pooled features, not normalised. D is the architecture's.
    pub embedding: Tensor<2>,
    /// (M, 128): the projection head's output, not normalised.
    pub projection: Tensor<2>,
    /// (M, 7): class scores, in the order of `Expression::ALL`.
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
    pub(crate) classifier: Linear,
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
                bn1: layers::norm(width, device),
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
        Outputs {
            logits: self.classifier.forward(self.dropout.forward(embedding.clone())),
            coarse: self.coarse.forward(layers::unit_length(projection.clone())),
            embedding,
            projection,
        }
    }

    /// Class scores (M, 7) and embeddings (M, D), of unit length, of the same pictures: what is left of
    /// [`forward`](Self::forward) once it is trained.
    #[must_use]
    pub fn read(&self, pixels: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
        let embedding = self.encoder.forward(pixels);
        (self.classifier.forward(embedding.clone()), layers::unit_length(embedding))
    }

    /// All its weights and running statistics, always in the same order.
    #[must_use]
    pub fn values(&self) -> Vec<f32> {
        let mut values = Values::default();
        self.valid().visit(&mut values);
        values.0
    }

    /// The same network, whose encoder stays as it is: it uses the statistics that it has, and no gradient goes through.
    #[must_use]
    pub fn with_frozen_encoder(self) -> Self {
        self.unfreeze().freeze_group(ParamGroup::from_predicate("encoder."))
    }
}

/// The values of a network's tensors.
#[derive(Default)]
struct Values(Vec<f32>);

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.extend(param.val().into_data().iter::<f32>());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use burn::module::ModuleMapper;
    use burn::nn::loss::CrossEntropyLossConfig;
    use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
    use burn::tensor::{Int, TensorData, Tolerance};

    /// Gives every tensor other values, so that no layer is a mere way past.
    pub(crate) struct Shaken(pub(crate) f32);

    impl ModuleMapper for Shaken {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|tensor| {
                let shape = tensor.dims();
                let noise = (0..shape.iter().product()).map(|_| {
                    self.0 += 1.7;
                    0.1 + 0.1 * self.0.sin()
                });
                let noise = TensorData::new(noise.collect::<Vec<f32>>(), shape);
                tensor.clone() + Tensor::from_data(noise, &tensor.device())
            })
        }
    }

    fn small() -> Architecture {
        Architecture { widths: Some([32; 4]), side: 48, ..Architecture::default() }
    }

    /// Pictures of eight people who all look different.
    fn pictures(device: &Device) -> Tensor<4> {
        let values = (0..8 * 48 * 48).map(|i| ((i % 2304) as f32 * (0.01 + (i / 2304) as f32 * 0.003)).sin());
        Tensor::from_data(TensorData::new(values.collect::<Vec<f32>>(), [8, 1, 48, 48]), device)
    }

    /// A loss that every part of the network has a share in.
    fn loss(network: &Network, pixels: Tensor<4>) -> Tensor<1> {
        let outputs = network.forward(pixels);
        let device = outputs.logits.device();
        let classes = Tensor::<1, Int>::from_data([0, 1, 2, 3, 4, 5, 6, 0], &device);
        let coarse = Tensor::<1, Int>::from_data([0, 1, 2, 3, 0, 1, 2, 3], &device);
        let cross_entropy = CrossEntropyLossConfig::new().init(&device);
        cross_entropy.forward(outputs.logits, classes) + cross_entropy.forward(outputs.coarse, coarse)
    }

    fn optimizer() -> ModuleOptimizer {
        AdamWConfig::new().with_epsilon(1e-8).init()
    }

    /// Losses of so many steps.
    fn train(network: &mut Network, steps: usize) -> Vec<f32> {
        let (device, mut optimizer) = (network.device(), optimizer());
        let step = |_| {
            let loss = loss(network, pictures(&device));
            let gradients = GradientsParams::from_grads(loss.backward(), network);
            *network = optimizer.step(1e-3, network.clone(), gradients);
            loss.into_scalar()
        };
        (0..steps).map(step).collect()
    }

    /// Every value of the network, its running statistics among them.
    fn weights(network: &Network) -> Vec<f32> {
        struct Values(Vec<f32>);
        impl burn::module::ModuleVisitor for Values {
            fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
                self.0.extend(param.val().into_data().iter::<f32>());
            }
        }
        let mut values = Values(Vec::new());
        network.valid().visit(&mut values);
        values.0
    }

    #[test]
    fn the_same_seed_is_the_same_network() {
        let [a, b, c] = [1, 1, 2].map(|seed| weights(&Network::new(&small(), seed, &device::cpu())));
        assert_eq!(a, b);
        assert_ne!(a, c);
        let slim = Network::new(&Architecture::default(), 1, &device::cpu());
        assert!((900_000..1_400_000).contains(&slim.num_params()), "{}", slim.num_params());
    }

    #[test]
    fn it_learns_and_the_same_run_twice_gives_the_same_bits() {
        let run = || {
            let mut network = Network::new(&small(), 1, &device::cpu());
            (train(&mut network, 12), weights(&network))
        };
        let (losses, once) = run();
        assert!(losses[11] < 0.9 * losses[0], "{losses:?}");
        assert_eq!(run(), (losses, once));
    }

    #[test]
    fn every_parameter_has_a_gradient_but_those_of_a_frozen_encoder() {
        let network = Network::new(&small(), 1, &device::cpu());
        let count = |network: &Network| {
            GradientsParams::from_grads(loss(network, pictures(&device::cpu())).backward(), network).len()
        };
        // Three for each convolution with its normalisation: the stem, two a block, one past each of the last three blocks.
        let encoder = 3 * (1 + 4 * 2 + 3);
        assert_eq!(count(&network), encoder + 6 + 2 + 2);
        assert_eq!(count(&network.clone().with_frozen_encoder()), 6 + 2 + 2);
        assert_eq!(count(&network.with_frozen_encoder().unfreeze()), encoder + 6 + 2 + 2);
    }

    #[test]
    fn a_frozen_encoder_stays_as_it_is() {
        let mut network = Network::new(&small(), 1, &device::cpu());
        train(&mut network, 3);
        let mut network = network.with_frozen_encoder();
        let embedding = |network: &Network| network.forward(pictures(&device::cpu())).embedding.into_data();
        let before = (embedding(&network), weights(&network));
        train(&mut network, 3);
        assert_eq!(embedding(&network), before.0);
        assert_ne!(weights(&network), before.1);
    }

    #[test]
    fn in_validation_a_picture_is_seen_alone() {
        let mut network = Network::new(&small(), 1, &device::cpu());
        train(&mut network, 3);
        let (network, pixels) = (network.valid(), pictures(&Device::flex()));
        let together = network.forward(pixels.clone()).projection.narrow(0, 2, 1).into_data();
        let alone = network.forward(pixels.narrow(0, 2, 1)).projection.into_data();
        alone.assert_approx_eq::<f32>(&together, Tolerance::rel_abs(1e-5, 1e-6));
    }

    #[test]
    fn light_and_gain_of_the_camera_matter_little() {
        let network = Network::new(&small(), 1, &device::cpu()).valid();
        let pixels = pictures(&Device::flex());
        let plain = network.forward(pixels.clone()).embedding.into_data();
        let other = network.forward(pixels * 0.7 + 0.4).embedding.into_data();
        other.assert_approx_eq::<f32>(&plain, Tolerance::rel_abs(0.05, 0.01));
    }

    #[test]
    fn dropout_is_for_training_alone() {
        let architecture = Architecture { dropout: 0.5, ..small() };
        let network = Network::new(&architecture, 1, &device::cpu());
        let plain = Network::new(&small(), 1, &device::cpu());
        let logits = |network: &Network| network.forward(pictures(&network.device())).logits.into_data();
        assert_ne!(logits(&network), logits(&plain));
        assert_eq!(logits(&network.valid()), logits(&plain.valid()));
    }

    #[test]
    fn an_average_follows_and_is_a_network_of_its_own() {
        let mut network = Network::new(&small(), 1, &device::cpu());
        let mut average = Average::resume(&network, 0.75);
        let begin = weights(&network);
        train(&mut network, 2);
        let end = weights(&network);
        assert_eq!(weights(&average.network()), begin);
        average.update(&network, 1_000);
        assert_eq!(weights(&network), end);
        for ((average, begin), end) in weights(&average.network()).iter().zip(&begin).zip(&end) {
            assert!((average - (0.75 * begin + 0.25 * end)).abs() <= 1e-6 * begin.abs().max(1.0), "{average}");
        }
        // It can be trained on, and that changes neither the average nor what it came from.
        let mut further = average.network();
        train(&mut further, 1);
        assert_ne!(weights(&further), weights(&average.network()));
        assert_eq!(weights(&network), end);
    }

    #[test]
    fn resnet18_is_the_papers() {
        let architecture = Architecture { kind: Kind::Resnet18, side: 48, ..Architecture::default() };
        let network = Network::new(&architecture, 1, &device::cpu());
        // torchvision's has 11,689,512 parameters: 513,000 of its classifier, and 6,272 for green and blue.
        let encoder = network.encoder.num_params() - 2 * 4_800;
        assert_eq!(encoder, 11_689_512 - 513_000 - 6_272);
        assert_eq!(network.forward(pictures(&device::cpu())).embedding.dims(), [8, 512]);
    }

    #[test]
    fn a_gpu_trains_as_the_cpu_does() {
        crate::gpu::tests::with_lavapipe(|| {
            let gpu = device::open(crate::config::DeviceChoice::Gpu).expect("a GPU in software");
            assert_ne!(gpu, Device::flex());
            assert_eq!(device::open(crate::config::DeviceChoice::Auto).expect("the CPU"), Device::flex());
            let [cpu, gpu] = [device::cpu(), gpu].map(|device| {
                let mut network = Network::new(&small(), 1, &device);
                (train(&mut network, 3), network.valid().forward(pictures(&device.inner())).logits.into_data())
            });
            for (cpu, gpu) in cpu.0.iter().zip(&gpu.0) {
                assert!((cpu - gpu).abs() < 1e-4 * cpu, "{cpu} {gpu}");
            }
            gpu.1.assert_approx_eq::<f32>(&cpu.1, Tolerance::rel_abs(1e-2, 1e-3));
        });
    }
}
