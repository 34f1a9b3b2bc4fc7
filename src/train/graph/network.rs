//! The network as a list of layers with its weights, to be exported: encoder and classifier, without the other heads.

use burn::nn::BatchNorm;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;

use super::{self as graph, Graph, Layer, Linear};
use crate::network::Network;
use crate::network::resnet::{Block, Encoder};

/// As in `network::layers::standardise`.
const STANDARDISE: Layer = Layer::Standardise { epsilon: 1e-2 };
/// As in `network::layers::pool`.
const POOL: Layer = Layer::MaxPool { kernel: 3, stride: 2, padding: 1 };

impl Network {
    /// What it computes of a picture once it is trained: running statistics, no dropout.
    #[must_use]
    pub fn graph(&self) -> Graph {
        let [inputs, outputs] = self.classifier.weight.dims();
        let bias = self.classifier.bias.as_ref().map_or_else(|| vec![0.0; outputs], |bias| values(bias.val()));
        let classifier = Linear { inputs, outputs, weight: values(self.classifier.weight.val()), bias };
        Graph { side: self.side(), channels: 1, encoder: self.encoder.layers(), classifier }
    }
}

impl Encoder {
    fn layers(&self) -> Vec<Layer> {
        let mut layers = vec![STANDARDISE, conv(&self.conv1), norm(&self.bn1), Layer::Relu];
        layers.extend(self.pools.then_some(POOL));
        let blocks = [&self.layer1, &self.layer2, &self.layer3, &self.layer4].into_iter().flatten();
        layers.extend(blocks.flat_map(|block| [block.layer(), Layer::Relu]));
        layers.push(Layer::GlobalAveragePool);
        layers
    }
}

impl Block {
    fn layer(&self) -> Layer {
        let body = vec![conv(&self.conv1), norm(&self.bn1), Layer::Relu, conv(&self.conv2), norm(&self.bn2)];
        let shortcut = self.downsample.iter().flat_map(|(past, normalised)| [conv(past), norm(normalised)]).collect();
        Layer::Residual { body, shortcut }
    }
}

fn conv(layer: &Conv2d) -> Layer {
    let [outputs, inputs, kernel, _] = layer.weight.dims();
    let (weight, bias) = (values(layer.weight.val()), layer.bias.as_ref().map(|bias| values(bias.val())));
    Layer::Conv(graph::Conv { inputs, outputs, kernel, stride: layer.stride[0], padding: kernel / 2, weight, bias })
}

fn norm(layer: &BatchNorm) -> Layer {
    Layer::BatchNorm(graph::BatchNorm {
        scale: values(layer.gamma.val()),
        shift: values(layer.beta.val()),
        mean: values(layer.running_mean.value_sync()),
        variance: values(layer.running_var.value_sync()),
        epsilon: layer.epsilon as f32,
    })
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::folder::read_still;
    use crate::config::{Config, RuntimeChoice};
    use crate::face::align::CutFormat;
    use crate::face::view::View;
    use crate::image::warp::Layout;
    use crate::infer::Runtime;
    use crate::infer::manifest::{Input, Models};
    use crate::network::tests::Shaken;
    use crate::network::{Architecture, Kind, device};
    use crate::train::export::{Check, Export};
    use crate::train::faces::Faces;
    use crate::train::report::card::Card;
    use crate::train::trainer::read_pixels;
    use burn::module::Module;
    use std::path::Path;

    /// The faces of four cameras, as the pipeline cuts them for the encoder of `models`.
    fn faces_cut_live(models: &Models, side: usize) -> Vec<f32> {
        let Input { channels, mean, std, .. } = models.encoder.input;
        let cut = CutFormat { size: side, layout: Layout { channels, mean, std } };
        let detection = Config::default().detection;
        let mut view = View::new(&Runtime::Tract, &models.detector, detection, cut, 0).expect("a view");
        let mut cuts = Vec::new();
        for camera in 0..4 {
            let take = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/take");
            let frame = read_still(&take.join(format!("cam{camera}/000060.jpg"))).expect("reads");
            view.reset();
            view.step(Some(&frame)).expect("runs");
            cuts.extend_from_slice(&view.seen().cuts);
        }
        cuts
    }

    #[test]
    fn the_exported_file_computes_what_the_trained_network_does() {
        for (kind, side) in [(Kind::Slim, 48), (Kind::Resnet18, 64)] {
            let widths = (kind == Kind::Slim).then_some([32, 32, 64, 64]);
            let architecture = Architecture { kind, side, widths, ..Architecture::default() };
            let network = Network::new(&architecture, 1, &device::cpu());
            let network = network.map(&mut Shaken(0.0)).valid();
            let graph = network.graph();
            let folder = tempfile::tempdir().expect("a temporary folder");
            let card = Card { name: "trained".to_owned(), temperature: 1.0, ..Card::default() };
            let saved = folder.path().join("saved");
            network.save(&saved).expect("written");
            let weights = std::fs::read(saved).expect("there");
            let write = |check: Check<'_>| {
                let export = Export { graph: &graph, weights: Some(&weights), card: &card, check: &check };
                export.write(folder.path()).unwrap_or_else(|error| panic!("{kind:?}: {error}"))
            };
            let models = write(Check::of(&network, &Runtime::Tract, &Faces::default(), &[]));
            let cuts = faces_cut_live(&models, side);
            assert!(cuts.len() / (side * side) > 2, "those of the take");
            let listed = models.encoder.weights.expect("they stand beside it");
            assert_eq!(
                (listed.temperature, std::fs::read(folder.path().join(&listed.file)).expect("there")),
                (1.0, weights.clone())
            );
            for choice in [RuntimeChoice::Tract, RuntimeChoice::Ort] {
                let runtime = match Runtime::start(choice) {
                    Ok(runtime) => runtime,
                    Err(error) => {
                        eprintln!("not tested with ONNX Runtime: {error}");
                        continue;
                    }
                };
                write(Check { runtime: &runtime, pixels: cuts.clone(), readings: read_pixels(&network, &cuts) });
            }
        }
    }
}
