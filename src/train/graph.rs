//! A trained network as a plain list of layers with their weights: what a network hands over to be written as ONNX.

mod network;

/// Why a list of layers is no network.
#[derive(Debug, thiserror::Error, PartialEq)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum GraphError {
    #[error("{layer} has {found} values of {what}, but {wanted} are wanted")]
    Length { layer: String, what: &'static str, found: usize, wanted: usize },
    #[error("{layer} takes {wanted} channels, but {found} come in")]
    Channels { layer: String, found: usize, wanted: usize },
    #[error("{layer} follows no convolution, so it cannot be folded into one")]
    LooseNorm { layer: String },
    #[error("{layer} has a weight that is no finite number: the training went wrong, take an earlier checkpoint")]
    NotFinite { layer: String },
    #[error("the two branches of {layer} give {body} and {shortcut} channels; they must be equal to be added")]
    Branches { layer: String, body: usize, shortcut: usize },
    #[error("the encoder must end in one global average pooling, and pool nowhere before")]
    Pooling,
    #[error("the temperature is {0}, but must be a number above 0")]
    Temperature(f32),
}

/// A square convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Step, both ways.
    pub stride: usize,
    /// Zeros around the picture, on every side.
    pub padding: usize,
    /// (outputs, inputs, kernel, kernel), row-major.
    pub weight: Vec<f32>,
    /// (outputs); none is zero.
    pub bias: Option<Vec<f32>>,
}

/// A batch normalisation with its running statistics: `(x - mean) / sqrt(variance + epsilon) * scale + shift`.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the formula says it; one value a channel")]
pub struct BatchNorm {
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
    pub epsilon: f32,
}

/// A fully connected layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Values in.
    pub inputs: usize,
    /// Values out.
    pub outputs: usize,
    /// (inputs, outputs), row-major: the transpose of PyTorch's.
    pub weight: Vec<f32>,
    /// (outputs).
    pub bias: Vec<f32>,
}

/// One layer.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// Of each picture: subtract its mean, divide by `sqrt(variance + epsilon)`.
    Standardise {
        /// Keeps a flat picture flat.
        epsilon: f32,
    },
    /// A convolution.
    Conv(Conv),
    /// A batch normalisation; it must follow a convolution.
    BatchNorm(BatchNorm),
    /// `max(x, 0)`.
    Relu,
    /// The largest value of every window.
    MaxPool {
        /// Side of the window.
        kernel: usize,
        /// Step, both ways.
        stride: usize,
        /// Around the picture, on every side; it never wins.
        padding: usize,
    },
    /// The sum of what two branches make of the same input.
    Residual {
        /// One branch.
        body: Vec<Layer>,
        /// The other; the input itself if empty.
        shortcut: Vec<Layer>,
    },
    /// The mean of each channel: (N, C, H, W) becomes (N, C).
    GlobalAveragePool,
}

/// An encoder and its classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// Width and height of its pictures, pixels.
    pub side: usize,
    /// Planes of its pictures.
    pub channels: usize,
    /// From pictures to pooled features (N, D); ends in [`Layer::GlobalAveragePool`].
    pub encoder: Vec<Layer>,
    /// From the pooled features, not normalised, to class scores.
    pub classifier: Linear,
}

impl Graph {
    /// The same function without batch normalisations: each is folded into the convolution before it.
    ///
    /// # Errors
    /// Every [`GraphError`]: shapes that do not fit, weights that are not finite, and what cannot be folded.
    pub fn folded(&self) -> Result<Self, GraphError> {
        let is_pool = |layer: &Layer| *layer == Layer::GlobalAveragePool;
        if self.encoder.iter().position(is_pool) != self.encoder.len().checked_sub(1) {
            return Err(GraphError::Pooling);
        }
        let (encoder, features) = fold(&self.encoder, self.channels, "the encoder")?;
        let Linear { inputs, outputs, weight, bias } = &self.classifier;
        let layer = || "the classifier".to_owned();
        if *inputs != features {
            return Err(GraphError::Channels { layer: layer(), found: features, wanted: *inputs });
        }
        check(layer, "weight", weight, inputs * outputs)?;
        check(layer, "bias", bias, *outputs)?;
        Ok(Self { encoder, classifier: self.classifier.clone(), ..*self })
    }
}

/// `layers` with their batch normalisations folded, and how many channels they give for `channels`.
fn fold(layers: &[Layer], mut channels: usize, place: &str) -> Result<(Vec<Layer>, usize), GraphError> {
    let mut folded: Vec<Layer> = Vec::with_capacity(layers.len());
    for (n, layer) in layers.iter().enumerate() {
        let name = || format!("layer {n} of {place}");
        match layer {
            Layer::Conv(conv) => {
                if conv.inputs != channels {
                    return Err(GraphError::Channels { layer: name(), found: channels, wanted: conv.inputs });
                }
                check(name, "weight", &conv.weight, conv.outputs * conv.inputs * conv.kernel * conv.kernel)?;
                if let Some(bias) = &conv.bias {
                    check(name, "bias", bias, conv.outputs)?;
                }
                channels = conv.outputs;
                folded.push(layer.clone());
            }
            Layer::BatchNorm(norm) => {
                let Some(Layer::Conv(conv)) = folded.last_mut() else {
                    return Err(GraphError::LooseNorm { layer: name() });
                };
                let BatchNorm { scale, shift, mean, variance, .. } = norm;
                for (what, values) in [("scale", scale), ("shift", shift), ("mean", mean), ("variance", variance)] {
                    check(name, what, values, channels)?;
                }
                norm.fold_into(conv);
                check(name, "weight", &conv.weight, conv.weight.len())?;
            }
            Layer::Residual { body, shortcut } => {
                let (body, outputs) = fold(body, channels, &format!("the body of {}", name()))?;
                let (shortcut, others) = fold(shortcut, channels, &format!("the shortcut of {}", name()))?;
                if outputs != others {
                    return Err(GraphError::Branches { layer: name(), body: outputs, shortcut: others });
                }
                channels = outputs;
                folded.push(Layer::Residual { body, shortcut });
            }
            Layer::Standardise { .. } | Layer::Relu | Layer::MaxPool { .. } | Layer::GlobalAveragePool => {
                folded.push(layer.clone());
            }
        }
    }
    Ok((folded, channels))
}

fn check(layer: impl Fn() -> String, what: &'static str, values: &[f32], wanted: usize) -> Result<(), GraphError> {
    if values.len() != wanted {
        return Err(GraphError::Length { layer: layer(), what, found: values.len(), wanted });
    }
    if values.iter().any(|value| !value.is_finite()) {
        return Err(GraphError::NotFinite { layer: layer() });
    }
    Ok(())
}

impl BatchNorm {
    /// Makes `conv` do both; one value a channel of it is there.
    fn fold_into(&self, conv: &mut Conv) {
        let gains =
            self.scale.iter().zip(&self.variance).map(|(scale, variance)| scale / (variance + self.epsilon).sqrt());
        let mut bias = conv.bias.take().unwrap_or_else(|| vec![0.0; conv.outputs]);
        let kernels = conv.weight.chunks_exact_mut(conv.inputs * conv.kernel * conv.kernel);
        for ((((kernel, bias), gain), mean), shift) in
            kernels.zip(&mut bias).zip(gains).zip(&self.mean).zip(&self.shift)
        {
            kernel.iter_mut().for_each(|weight| *weight *= gain);
            *bias = (*bias - mean) * gain + shift;
        }
        conv.bias = Some(bias);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    /// Random weights, sized so that values neither vanish nor explode.
    pub(in crate::train) struct Maker(StdRng);

    impl Maker {
        pub(in crate::train) fn new(seed: u64) -> Self {
            Self(StdRng::seed_from_u64(seed))
        }

        pub(in crate::train) fn values(&mut self, count: usize, low: f32, high: f32) -> Vec<f32> {
            (0..count).map(|_| self.0.random_range(low..high)).collect()
        }

        fn conv(&mut self, inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Layer {
            let bound = (3.0 / (inputs * kernel * kernel) as f32).sqrt();
            let weight = self.values(outputs * inputs * kernel * kernel, -bound, bound);
            Layer::Conv(Conv { inputs, outputs, kernel, stride, padding: kernel / 2, weight, bias: None })
        }

        fn norm(&mut self, channels: usize) -> Layer {
            Layer::BatchNorm(BatchNorm {
                scale: self.values(channels, 0.5, 1.5),
                shift: self.values(channels, -0.5, 0.5),
                mean: self.values(channels, -0.5, 0.5),
                variance: self.values(channels, 0.2, 2.0),
                epsilon: 1e-5,
            })
        }

        fn block(&mut self, inputs: usize, outputs: usize, stride: usize) -> Layer {
            let body = vec![
                self.conv(inputs, outputs, 3, stride),
                self.norm(outputs),
                Layer::Relu,
                self.conv(outputs, outputs, 3, 1),
                self.norm(outputs),
            ];
            let projects = inputs != outputs || stride != 1;
            let shortcut =
                if projects { vec![self.conv(inputs, outputs, 1, stride), self.norm(outputs)] } else { Vec::new() };
            Layer::Residual { body, shortcut }
        }

        /// Both architectures' parts in small: a 7x7 stem with a maximum pooling or a 3x3 stem without, blocks with
        /// and without a projection.
        pub(in crate::train) fn graph(&mut self, side: usize, large_stem: bool) -> Graph {
            let kernel = if large_stem { 7 } else { 3 };
            let mut encoder = vec![Layer::Standardise { epsilon: 1e-2 }];
            encoder.extend([self.conv(1, 8, kernel, 2), self.norm(8), Layer::Relu]);
            if large_stem {
                encoder.push(Layer::MaxPool { kernel: 3, stride: 2, padding: 1 });
            }
            for (inputs, outputs, stride) in [(8, 8, 1), (8, 12, 2), (12, 16, 2)] {
                encoder.extend([self.block(inputs, outputs, stride), Layer::Relu]);
            }
            encoder.push(Layer::GlobalAveragePool);
            let classifier =
                Linear { inputs: 16, outputs: 7, weight: self.values(112, -0.5, 0.5), bias: self.values(7, -0.5, 0.5) };
            Graph { side, channels: 1, encoder, classifier }
        }
    }

    /// Channels, height, width, values of one picture.
    type Picture = (usize, usize, usize, Vec<f32>);

    fn windows(
        (channels, height, width, values): &Picture,
        (kernel, stride, padding): (usize, usize, usize),
        outputs: usize,
        value: impl Fn(usize, &dyn Fn(usize, usize, usize) -> Option<f32>) -> f32,
    ) -> Picture {
        let size = |side: usize| (side + 2 * padding - kernel) / stride + 1;
        let (rows, columns) = (size(*height), size(*width));
        let mut out = Vec::new();
        for output in 0..outputs {
            for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
                let at = |channel: usize, dy: usize, dx: usize| {
                    let (y, x) = ((y * stride + dy).checked_sub(padding)?, (x * stride + dx).checked_sub(padding)?);
                    (y < *height && x < *width && channel < *channels)
                        .then(|| values[(channel * height + y) * width + x])
                };
                out.push(value(output, &at));
            }
        }
        (outputs, rows, columns, out)
    }

    /// The plain definition of every layer, on one picture: what the exported model is measured by.
    fn run(layers: &[Layer], mut picture: Picture) -> Picture {
        for layer in layers {
            let (channels, height, width, values) = &picture;
            picture = match layer {
                Layer::Standardise { epsilon } => {
                    let mean = values.iter().sum::<f32>() / values.len() as f32;
                    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32;
                    let made = values.iter().map(|v| (v - mean) / (variance + epsilon).sqrt()).collect();
                    (*channels, *height, *width, made)
                }
                Layer::Conv(c) => windows(&picture, (c.kernel, c.stride, c.padding), c.outputs, |output, at| {
                    let taps = (0..c.inputs).flat_map(|i| (0..c.kernel * c.kernel).map(move |k| (i, k)));
                    let products = taps.map(|(i, k)| {
                        let weight = c.weight[(output * c.inputs + i) * c.kernel * c.kernel + k];
                        weight * at(i, k / c.kernel, k % c.kernel).unwrap_or(0.0)
                    });
                    products.sum::<f32>() + c.bias.as_ref().map_or(0.0, |bias| bias[output])
                }),
                Layer::BatchNorm(b) => {
                    let plane = height * width;
                    let made = values.iter().enumerate().map(|(n, v)| {
                        let c = n / plane;
                        (v - b.mean[c]) / (b.variance[c] + b.epsilon).sqrt() * b.scale[c] + b.shift[c]
                    });
                    (*channels, *height, *width, made.collect())
                }
                Layer::Relu => (*channels, *height, *width, values.iter().map(|v| v.max(0.0)).collect()),
                Layer::MaxPool { kernel, stride, padding } => {
                    windows(&picture, (*kernel, *stride, *padding), *channels, |output, at| {
                        (0..kernel * kernel).filter_map(|k| at(output, k / kernel, k % kernel)).fold(f32::MIN, f32::max)
                    })
                }
                Layer::Residual { body, shortcut } => {
                    let mut made = run(body, picture.clone());
                    let other = run(shortcut, picture.clone());
                    made.3.iter_mut().zip(&other.3).for_each(|(a, b)| *a += b);
                    made
                }
                Layer::GlobalAveragePool => {
                    let plane = height * width;
                    let made = values.chunks_exact(plane).map(|p| p.iter().sum::<f32>() / plane as f32).collect();
                    (*channels, 1, 1, made)
                }
            };
        }
        picture
    }

    /// Class scores and pooled features of one picture.
    pub(in crate::train) fn forward(graph: &Graph, picture: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let features = run(&graph.encoder, (graph.channels, graph.side, graph.side, picture.to_vec())).3;
        let Linear { outputs, weight, bias, .. } = &graph.classifier;
        let score = |class: usize| {
            bias[class] + features.iter().enumerate().map(|(n, f)| f * weight[n * outputs + class]).sum::<f32>()
        };
        ((0..*outputs).map(score).collect(), features)
    }

    #[test]
    fn a_folded_network_is_the_same_function() {
        for large_stem in [false, true] {
            let mut maker = Maker::new(1);
            let graph = maker.graph(24, large_stem);
            let folded = graph.folded().expect("it folds");
            let picture = maker.values(24 * 24, -2.0, 2.0);
            let ((a, _), (b, _)) = (forward(&graph, &picture), forward(&folded, &picture));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_batch_normalisation_folds_to_the_hand_computed_weights() {
        // 2x + 1, then ((y - 3) / sqrt(0.25) ) * 5 + 7 = 20x - 20 + 7.
        let conv = |weight, bias: Option<f32>| {
            let bias = bias.map(|bias| vec![bias]);
            Layer::Conv(Conv { inputs: 1, outputs: 1, kernel: 1, stride: 1, padding: 0, weight: vec![weight], bias })
        };
        let one = |value| vec![value];
        let norm = BatchNorm { scale: one(5.0), shift: one(7.0), mean: one(3.0), variance: one(0.25), epsilon: 0.0 };
        let (folded, _) = fold(&[conv(2.0, Some(1.0)), Layer::BatchNorm(norm)], 1, "a test").expect("it folds");
        assert_eq!(folded, [conv(20.0, Some(-13.0))]);
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place() {
        let graph = Maker::new(2).graph(24, false);
        let mut loose = graph.clone();
        loose.encoder.swap(1, 3);
        let message = loose.folded().expect_err("a norm before its convolution").to_string();
        assert!(message.contains("layer 2 of the encoder"), "{message}");

        let mut broken = graph.clone();
        broken.classifier.bias[3] = f32::NAN;
        let error = broken.folded().expect_err("a weight is not finite");
        assert_eq!(error, GraphError::NotFinite { layer: "the classifier".to_owned() });

        let mut unpooled = graph;
        unpooled.encoder.pop();
        assert_eq!(unpooled.folded(), Err(GraphError::Pooling));
    }
}
