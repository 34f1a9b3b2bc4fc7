//! Model sessions: tensors in, tensors out. Knows nothing of faces.
//!
//! Three runtimes stand behind one trait: ONNX Runtime (feature `ort`), loaded at run time; tract, which is always in; and
//! our own network on burn's wgpu backend (feature `train`). Which one runs is chosen once, in [`Runtime::start`], where the
//! encoder runs in [`Runtime::encoder`]; neither changes silently.

pub mod manifest;
#[cfg(feature = "ort")]
mod ort;
mod probe;
mod tract;
#[cfg(feature = "train")]
mod wgpu;

use std::path::PathBuf;

use crate::config::RuntimeChoice;
use crate::gpu::GpuError;
#[cfg(feature = "gpu")]
use crate::gpu::{Gpu, Room};
use manifest::Model;

pub use probe::{Chosen, Opened, everywhere};

/// Why a model cannot run.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum InferError {
    #[error(
        "no ONNX Runtime library found; looked at {}. Run `cargo xtask demo` once to fetch it, or set \
         VULTUS_ONNXRUNTIME to its path, or use `--runtime tract`",
        list(.looked_at)
    )]
    NoLibrary { looked_at: Vec<PathBuf> },
    #[error("the ONNX Runtime library {} cannot be used: {reason}. Version 1.22 or newer is needed; or use `--runtime tract`", .path.display())]
    BadLibrary { path: PathBuf, reason: String },
    #[error("this program was built without ONNX Runtime; build with feature `ort`, or use `--runtime tract`")]
    NotBuiltIn,
    #[error("this program was built without the runtime wgpu; build with feature `train`, or use `--runtime auto`")]
    NoWgpu,
    #[error("the runtime wgpu computes on GPUs alone: leave `--device cpu` out, or use `--runtime auto`")]
    WgpuOnCpu,
    #[error("no GPU can run the encoder: {tried}. Use `--device cpu` (or `auto`, which falls back to it)")]
    NoGpu { tried: String },
    #[error("no GPU can run the encoder by wgpu: {tried}. Use `--runtime auto`, which falls back to the CPU")]
    NoGpuForWgpu { tried: String },
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error("model `{model}` cannot be loaded by {runtime}: {reason}")]
    Load { model: String, runtime: &'static str, reason: String },
    #[error("model `{model}` failed: {reason}")]
    Run { model: String, reason: String },
}

fn list(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    shown.join(", ")
}

/// Where a model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// What runs it: `ort`, `tract` or `wgpu`.
    pub runtime: &'static str,
    /// Where: `cpu`, `cuda`, `webgpu`, `vulkan`…
    pub device: &'static str,
}

/// The values of an output tensor, row-major; its memory is used again from run to run.
pub type Values = Vec<f32>;

/// A loaded model.
pub trait Session: Send {
    /// Runs the model on `input`, an NCHW batch of `shape`, and leaves the outputs, which come empty or with what was in
    /// them before, in the order in which the manifest names them.
    ///
    /// # Errors
    /// [`InferError::Run`].
    fn run(&mut self, shape: [usize; 4], input: &[f32], outputs: &mut [Values]) -> Result<(), InferError>;

    /// What runs it: `ort`, `tract` or `wgpu`.
    fn runtime(&self) -> &'static str;

    /// Where it runs: `cpu`, `cuda`, `webgpu`, `vulkan`…
    fn device(&self) -> &'static str;

    /// The GPU that it computes on and the memory there in which it expects a batch of `items`, if others may fill it. Then
    /// [`Session::run_there`] runs the model on what is in it.
    ///
    /// # Errors
    /// [`InferError::Gpu`].
    #[cfg(feature = "gpu")]
    fn room(&mut self, items: usize) -> Result<Option<(&Gpu, Room)>, InferError> {
        let _ = items;
        Ok(None)
    }

    /// As [`Session::run`], on the batch of `items` that lies in the [`Session::room`] for as many.
    ///
    /// # Errors
    /// [`InferError::Gpu`] and [`InferError::Run`].
    #[cfg(feature = "gpu")]
    fn run_there(&mut self, items: usize, outputs: &mut [Values]) -> Result<(), InferError> {
        let _ = (items, outputs);
        Err(InferError::Run { model: String::new(), reason: "it takes no batch on a GPU".to_owned() })
    }
}

/// The runtime that this process uses.
pub enum Runtime {
    /// ONNX Runtime.
    #[cfg(feature = "ort")]
    Ort(ort::Library),
    /// tract.
    Tract,
    /// Our own network on a GPU; this one runs what is not the encoder.
    Wgpu(Box<Runtime>),
}

impl Runtime {
    /// Finds and loads what `choice` asks for.
    ///
    /// # Errors
    /// [`InferError::NoLibrary`], [`InferError::BadLibrary`] or [`InferError::NotBuiltIn`] when ONNX Runtime
    /// was asked for by name; `Auto` logs these and takes tract. [`InferError::NoWgpu`].
    pub fn start(choice: RuntimeChoice) -> Result<Self, InferError> {
        match choice {
            RuntimeChoice::Tract => Ok(Self::Tract),
            RuntimeChoice::Ort => Self::start_ort(),
            RuntimeChoice::Wgpu if cfg!(not(feature = "train")) => Err(InferError::NoWgpu),
            RuntimeChoice::Wgpu => Self::start(RuntimeChoice::Auto).map(|others| Self::Wgpu(Box::new(others))),
            RuntimeChoice::Auto => Self::start_ort().or_else(|error| {
                tracing::warn!("running on tract, which is slower: {error}");
                Ok(Self::Tract)
            }),
        }
    }

    #[cfg(feature = "ort")]
    fn start_ort() -> Result<Self, InferError> {
        ort::Library::load().map(Self::Ort)
    }

    #[cfg(not(feature = "ort"))]
    fn start_ort() -> Result<Self, InferError> {
        Err(InferError::NotBuiltIn)
    }

    /// The name in records.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            #[cfg(feature = "ort")]
            Self::Ort(_) => "ort",
            Self::Tract => "tract",
            Self::Wgpu(_) => "wgpu",
        }
    }

    /// What it is, for people: name, version, library, execution providers.
    #[must_use]
    pub fn description(&self) -> String {
        match self {
            #[cfg(feature = "ort")]
            Self::Ort(library) => library.description(),
            Self::Tract => "tract (built in, CPU)".to_owned(),
            Self::Wgpu(others) => format!("wgpu for the encoder, for all else {}", others.description()),
        }
    }

    /// Loads `model`, to run on the CPU, on the thread that runs it and no other.
    ///
    /// # Errors
    /// [`InferError::Load`].
    pub fn session(&self, model: &Model) -> Result<Box<dyn Session>, InferError> {
        match self {
            #[cfg(feature = "ort")]
            Self::Ort(library) => library.session(model),
            Self::Tract => tract::TractSession::new(model).map(|session| Box::new(session) as _),
            Self::Wgpu(others) => others.session(model),
        }
    }
}
