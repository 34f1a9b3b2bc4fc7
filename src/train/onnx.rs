//! Writes a network as an ONNX file that ONNX Runtime and tract both run: opset 17, IR 8, any batch size.
//!
//! The file's input is `faces` (N, channels, side, side), normalised as the manifest says; its outputs are `logits`
//! (N, classes) and `embedding` (N, D), of unit length. Each picture's standardisation is in the file, in plain
//! operators; batch normalisations are folded into their convolutions.

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::Dimension;
use tract_onnx::pb::tensor_shape_proto::dimension::Value;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

use super::graph::{Graph, GraphError, Layer, Linear};

/// Names of the output tensors, in the order of the manifest's `outputs`.
pub const OUTPUTS: [&str; 2] = ["logits", "embedding"];

const INPUT: &str = "faces";
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

/// The content of an ONNX file that computes `graph`, the class scores divided by `temperature`. `about` stands in
/// the file as key and value.
///
/// # Errors
/// Every [`GraphError`].
pub fn encode(graph: &Graph, temperature: f32, about: &[(&str, &str)]) -> Result<Vec<u8>, GraphError> {
    if !(temperature.is_finite() && temperature > 0.0) {
        return Err(GraphError::Temperature(temperature));
    }
    let graph = graph.folded()?;
    let mut writer = Writer::default();
    let features = writer.layers(&graph.encoder, INPUT.to_owned());
    writer.unit_length(&features);
    let Linear { inputs, outputs, weight, bias } = &graph.classifier;
    let tempered = |values: &[f32]| -> Vec<f32> { values.iter().map(|value| value / temperature).collect() };
    let weight = writer.tensor("classifier.weight", &[*inputs, *outputs], &tempered(weight));
    let bias = writer.tensor("classifier.bias", &[*outputs], &tempered(bias));
    writer.node_named("Gemm", &[&features, &weight, &bias], Vec::new(), OUTPUTS[0]);

    let model = ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        producer_name: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        metadata_props: about
            .iter()
            .map(|(key, value)| StringStringEntryProto { key: (*key).to_owned(), value: (*value).to_owned() })
            .collect(),
        graph: Some(GraphProto {
            name: "encoder".to_owned(),
            input: vec![value_info(INPUT, &[graph.channels, graph.side, graph.side])],
            output: vec![value_info(OUTPUTS[0], &[*outputs]), value_info(OUTPUTS[1], &[*inputs])],
            node: writer.nodes,
            initializer: writer.tensors,
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    };
    Ok(model.encode_to_vec())
}

/// A float tensor of any batch size.
fn value_info(name: &str, shape: &[usize]) -> ValueInfoProto {
    let batch = Value::DimParam("N".to_owned());
    let sizes = shape.iter().map(|size| Value::DimValue(*size as i64));
    let dim = std::iter::once(batch).chain(sizes).map(|value| Dimension { value: Some(value), ..Dimension::default() });
    let tensor =
        type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(TensorShapeProto { dim: dim.collect() }) };
    let value = Some(type_proto::Value::TensorType(tensor));
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { value, ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

/// Collects nodes and their constants; every method gives the name of the tensor that it made.
#[derive(Default)]
struct Writer {
    nodes: Vec<NodeProto>,
    tensors: Vec<TensorProto>,
}

impl Writer {
    fn layers(&mut self, layers: &[Layer], mut x: String) -> String {
        for layer in layers {
            x = self.layer(layer, x);
        }
        x
    }

    fn layer(&mut self, layer: &Layer, x: String) -> String {
        match layer {
            Layer::Standardise { epsilon } => self.standardise(&x, *epsilon),
            Layer::Conv(conv) => {
                let n = self.nodes.len();
                let shape = [conv.outputs, conv.inputs, conv.kernel, conv.kernel];
                let mut inputs = vec![x, self.tensor(&format!("conv_{n}.weight"), &shape, &conv.weight)];
                if let Some(bias) = &conv.bias {
                    inputs.push(self.tensor(&format!("conv_{n}.bias"), &[conv.outputs], bias));
                }
                let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
                self.node("Conv", &inputs, window(conv.kernel, conv.stride, conv.padding))
            }
            Layer::MaxPool { kernel, stride, padding } => {
                self.node("MaxPool", &[&x], window(*kernel, *stride, *padding))
            }
            Layer::Relu => self.node("Relu", &[&x], Vec::new()),
            Layer::Residual { body, shortcut } => {
                let body = self.layers(body, x.clone());
                let shortcut = self.layers(shortcut, x);
                self.node("Add", &[&body, &shortcut], Vec::new())
            }
            Layer::GlobalAveragePool => {
                let pooled = self.node("GlobalAveragePool", &[&x], Vec::new());
                self.node("Flatten", &[&pooled], vec![whole("axis", 1)])
            }
            // Folded into the convolution before it, or refused.
            Layer::BatchNorm(_) => x,
        }
    }

    /// `(x - mean) / sqrt(variance + epsilon)`, mean and variance each picture's own.
    fn standardise(&mut self, x: &str, epsilon: f32) -> String {
        let over_picture = || vec![wholes("axes", &[1, 2, 3]), whole("keepdims", 1)];
        let epsilon = self.tensor("standardise.epsilon", &[1], &[epsilon]);
        let mean = self.node("ReduceMean", &[x], over_picture());
        let centred = self.node("Sub", &[x, &mean], Vec::new());
        let squares = self.node("Mul", &[&centred, &centred], Vec::new());
        let variance = self.node("ReduceMean", &[&squares], over_picture());
        let padded = self.node("Add", &[&variance, &epsilon], Vec::new());
        let deviation = self.node("Sqrt", &[&padded], Vec::new());
        self.node("Div", &[&centred, &deviation], Vec::new())
    }

    /// The second output: the features over their length; all-zero features stay zero.
    fn unit_length(&mut self, features: &str) {
        let least = self.tensor("embedding.least", &[1], &[1e-12]);
        let length = self.node("ReduceL2", &[features], vec![wholes("axes", &[1]), whole("keepdims", 1)]);
        let length = self.node("Max", &[&length, &least], Vec::new());
        self.node_named("Div", &[features, &length], Vec::new(), OUTPUTS[1]);
    }

    fn node(&mut self, operator: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let name = format!("{}_{}", operator.to_lowercase(), self.nodes.len());
        self.node_named(operator, inputs, attributes, &name);
        name
    }

    fn node_named(&mut self, operator: &str, inputs: &[&str], attribute: Vec<AttributeProto>, name: &str) {
        self.nodes.push(NodeProto {
            name: name.to_owned(),
            op_type: operator.to_owned(),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.to_owned()],
            attribute,
            ..NodeProto::default()
        });
    }

    fn tensor(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        self.tensors.push(TensorProto {
            name: name.to_owned(),
            dims: shape.iter().map(|size| *size as i64).collect(),
            data_type: DataType::Float as i32,
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..TensorProto::default()
        });
        name.to_owned()
    }
}

fn window(kernel: usize, stride: usize, padding: usize) -> Vec<AttributeProto> {
    let [kernel, stride, padding] = [kernel, stride, padding].map(|value| value as i64);
    vec![wholes("kernel_shape", &[kernel; 2]), wholes("strides", &[stride; 2]), wholes("pads", &[padding; 4])]
}

fn whole(name: &str, value: i64) -> AttributeProto {
    let r#type = AttributeType::Int as i32;
    AttributeProto { name: name.to_owned(), r#type, i: value, ..AttributeProto::default() }
}

fn wholes(name: &str, values: &[i64]) -> AttributeProto {
    let r#type = AttributeType::Ints as i32;
    AttributeProto { name: name.to_owned(), r#type, ints: values.to_vec(), ..AttributeProto::default() }
}
