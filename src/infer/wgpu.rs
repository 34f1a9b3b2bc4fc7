//! Our own network on any GPU, in pure Rust: burn's wgpu backend, from the weights that were exported with the ONNX file.
//!
//! Its device is the one that [`Gpu`] opened, so that faces which are cut out there never leave it: each size of batch has
//! one tensor that stays where it is, and whoever has its [`Room`] writes into it. The steps of the network on it are
//! recorded once and then done again and again, so that burn prepares nothing for a batch.

use std::sync::{Mutex, PoisonError};

use burn::backend::DispatchTensorKind;
use burn::backend::wgpu::{AutoCompiler, CubeTensor, WgpuSetup};
use burn::tensor::{Device, StreamId, Tensor};
use cubecl::client::{Client, Graph};
use cubecl::server::ServerError;
use cubecl::wgpu::WgpuServer;
use wgpu::{BufferDescriptor, BufferUsages, CommandEncoderDescriptor, MapMode};

use super::manifest::Model;
use super::{InferError, Session, Values};
use crate::gpu::{Gpu, GpuError, Room, guarded};
use crate::network::{CLASSES, Network, Reader, WeightsError};

/// The GPU in use and burn's name for it. burn keeps what was registered once as long as the process lives.
static OPENED: Mutex<Option<(Gpu, Device)>> = Mutex::new(None);

/// The GPU, opened if it is not yet, or anew if it was lost.
fn opened() -> Result<(Gpu, Device), GpuError> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((gpu, device)) = opened.as_ref().filter(|(gpu, _)| gpu.check().is_ok()) {
        return Ok((gpu.clone(), device.clone()));
    }
    let gpu = Gpu::open()?;
    let Gpu { instance, adapter, device, queue, .. } = gpu.clone();
    let backend = adapter.get_info().backend;
    let registered = Device::wgpu_options().setup(WgpuSetup { instance, adapter, device, queue, backend }).init();
    let device = registered.map_err(|error| GpuError::Open { name: gpu.name.clone(), reason: error.to_string() })?;
    // cubecl has put its own watch in the place of ours, which ends in panics.
    gpu.watch();
    *opened = Some((gpu.clone(), device.clone()));
    Ok((gpu, device))
}

/// The network on the GPU.
pub(super) struct WgpuSession {
    model: String,
    gpu: Gpu,
    device: Device,
    /// Whatever thread it is run on, its work follows one on the other.
    stream: StreamId,
    network: Reader,
    /// Side of its pictures, pixels, and length of its embeddings.
    side: usize,
    embedding: usize,
    /// Sizes of batches that came up.
    batches: Vec<Batch>,
}

/// The network on a batch of one size: its steps are recorded once, and done again for each batch, in the same memory.
struct Batch {
    items: usize,
    client: Client,
    steps: Graph,
    pixels: Room,
    said: Room,
    /// Where what is said can be read.
    answers: wgpu::Buffer,
    /// They hold the memory that the steps read and write.
    _held: (Tensor<4>, Tensor<2>),
}

impl WgpuSession {
    pub(super) fn new(model: &Model) -> Result<Self, InferError> {
        let load = |reason: String| InferError::Load { model: model.name.clone(), runtime: "wgpu", reason };
        let weights = model.weights.as_ref().ok_or_else(|| {
            load("the manifest names no `weights` of it, which this runtime runs; `--runtime ort` and `tract` do without".to_owned())
        })?;
        let bytes = weights.read().map_err(|error| load(error.to_string()))?;
        let (gpu, device) = opened()?;
        let stream = StreamId::allocate();
        let read = || -> Result<(Reader, usize, usize), WeightsError> {
            let network = Network::of_bytes(&bytes, &weights.file, &device)?;
            let (side, embedding) = (network.side(), network.architecture().embedding());
            Ok((Reader::new(&network, weights.temperature), side, embedding))
        };
        let read = guarded(|| stream.executes(read)).map_err(load)?;
        let (network, side, embedding) = read.map_err(|error| load(error.to_string()))?;
        let wanted = [side; 2];
        if model.input.size != Some(wanted) || model.outputs.len() != 2 {
            return Err(load(format!("its weights are of a network that reads {wanted:?} and gives an embedding")));
        }
        Ok(Self { model: model.name.clone(), gpu, device, stream, network, side, embedding, batches: Vec::new() })
    }

    fn failed(&self, reason: String) -> InferError {
        // What the GPU says of itself explains more than what came of it.
        self.gpu.check().err().map_or_else(|| InferError::Run { model: self.model.clone(), reason }, InferError::Gpu)
    }

    /// The batch of this size.
    fn batch(&mut self, items: usize) -> Result<&Batch, InferError> {
        if let Some(n) = self.batches.iter().position(|batch| batch.items == items) {
            return Ok(&self.batches[n]);
        }
        let made = guarded(|| self.stream.executes(|| self.record(items)));
        let batch = made.and_then(|made| made).map_err(|reason| self.failed(reason))?;
        self.gpu.check()?;
        let n = self.batches.len();
        self.batches.push(batch);
        Ok(&self.batches[n])
    }

    /// Records what the network does with a batch of this size.
    fn record(&self, items: usize) -> Result<Batch, String> {
        let text = |error: ServerError| error.to_string();
        let pixels = Tensor::<4>::zeros([items, 1, self.side, self.side], &self.device);
        let client = primitive(&pixels)?.client;
        client.graph_prepare().map_err(text)?;
        // Compiled, and all memory that it takes is there: recording must ask for none.
        drop(self.network.read(pixels.clone()));
        client.start_capture().map_err(text)?;
        let said = self.network.read(pixels.clone());
        let steps = client.stop_capture().map_err(text)?;
        replay(&steps).map_err(text)?;
        let width = CLASSES + self.embedding;
        let answers = self.gpu.device.create_buffer(&BufferDescriptor {
            label: Some("answers"),
            size: (items * width * size_of::<f32>()) as u64,
            usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let (place, said_in) = (room(&pixels)?, room(&said)?);
        client.flush().map_err(text)?;
        Ok(Batch { items, client, steps, pixels: place, said: said_in, answers, _held: (pixels, said) })
    }

    /// Has the batch of this size computed, and what is said copied to where it can be read.
    fn compute(&mut self, items: usize) -> Result<wgpu::Buffer, InferError> {
        let stream = self.stream;
        let Batch { client, steps, said, answers, .. } = self.batch(items)?;
        let (from, answers) = (said.clone(), answers.clone());
        let done = guarded(|| stream.executes(|| replay(steps).and_then(|()| client.flush())));
        let done = done.and_then(|done| done.map_err(|error| error.to_string()));
        done.map_err(|reason| self.failed(reason))?;
        let mut encoder = self.gpu.device.create_command_encoder(&CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&from.buffer, from.offset, &answers, 0, answers.size());
        self.gpu.queue.submit([encoder.finish()]);
        self.gpu.copies(0, answers.size());
        Ok(answers)
    }
}

/// Does the recorded steps again.
#[allow(unsafe_code, reason = "there is no safe way to do recorded steps again")]
fn replay(steps: &Graph) -> Result<(), ServerError> {
    // SAFETY: the memory that the steps read and write is held as long as they are (`Batch::_held`, and the pages that the
    // recording guards); it is touched by this session alone, which is borrowed for the run, and by whoever fills its room
    // before, on the same queue of the same GPU; all work of the session is on one stream.
    unsafe { steps.replay() }
}

impl Session for WgpuSession {
    fn run(&mut self, shape: [usize; 4], input: &[f32], outputs: &mut [Values]) -> Result<(), InferError> {
        let side = self.side;
        if shape[1..] != [1, side, side] || input.len() != shape.iter().product::<usize>() {
            let reason = format!("{} values of shape {shape:?} were given to a network of side {side}", input.len());
            return Err(InferError::Run { model: self.model.clone(), reason });
        }
        let room = self.batch(shape[0])?.pixels.clone();
        self.gpu.queue.write_buffer(&room.buffer, room.offset, bytemuck::cast_slice(input));
        self.gpu.copies(size_of_val(input) as u64, 0);
        self.run_there(shape[0], outputs)
    }

    fn runtime(&self) -> &'static str {
        "wgpu"
    }

    fn device(&self) -> &'static str {
        self.gpu.api
    }

    fn room(&mut self, items: usize) -> Result<Option<(&Gpu, Room)>, InferError> {
        let room = self.batch(items)?.pixels.clone();
        Ok(Some((&self.gpu, room)))
    }

    fn run_there(&mut self, items: usize, outputs: &mut [Values]) -> Result<(), InferError> {
        self.gpu.check()?;
        let answers = self.compute(items)?;
        answers.map_async(MapMode::Read, .., |_| {});
        self.gpu.wait()?;
        let mapped = answers.get_mapped_range(..).map_err(|error| self.failed(error.to_string()))?;
        let [logits, embeddings] = outputs else {
            return Err(self.failed("it has two outputs".to_owned()));
        };
        logits.clear();
        embeddings.clear();
        let values: &[f32] = bytemuck::cast_slice(&mapped);
        for row in values.chunks_exact(values.len() / items) {
            logits.extend_from_slice(&row[..CLASSES]);
            embeddings.extend_from_slice(&row[CLASSES..]);
        }
        drop(mapped);
        answers.unmap();
        Ok(())
    }
}

/// A tensor as cubecl knows it.
fn primitive<const D: usize>(tensor: &Tensor<D>) -> Result<CubeTensor, String> {
    match tensor.clone().into_dispatch().kind {
        DispatchTensorKind::Cube(tensor) => Ok(tensor.float()),
        _ => Err("burn has put a tensor elsewhere than on the GPU".to_owned()),
    }
}

/// Where a tensor lies.
fn room<const D: usize>(tensor: &Tensor<D>) -> Result<Room, String> {
    let CubeTensor { client, handle, .. } = primitive(tensor)?;
    let resource = client.get_resource::<WgpuServer<AutoCompiler>>(handle).map_err(|error| error.to_string())?;
    let resource = resource.resource();
    Ok(Room { buffer: resource.buffer.clone(), offset: resource.offset, size: resource.size })
}
