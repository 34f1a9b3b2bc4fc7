//! Model sessions: tensors in, tensors out. Knows nothing of faces.
//!
//! Two runtimes stand behind one trait: ONNX Runtime (feature `ort`), loaded at run time, and tract, which
//! is always in. Which one runs is chosen once, in [`Runtime::start`], and never changes silently.

pub mod manifest;
#[cfg(feature = "ort")]
mod ort;
mod tract;

#[cfg(target_os = "linux")]
use std::path::Path;
use std::path::PathBuf;

use crate::config::{DeviceChoice, RuntimeChoice};
use manifest::Model;

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
    #[error("no GPU can run the encoder: {tried}. Use `--device cpu` (or `auto`, which falls back to it)")]
    NoGpu { tried: String },
    #[error("model `{model}` cannot be loaded by {runtime}: {reason}")]
    Load { model: String, runtime: &'static str, reason: String },
    #[error("model `{model}` failed: {reason}")]
    Run { model: String, reason: String },
}

fn list(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    shown.join(", ")
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

    /// Where it runs: `cpu`, `cuda`, `webgpu`…
    fn device(&self) -> &'static str;
}

/// The runtime that this process uses.
pub enum Runtime {
    /// ONNX Runtime.
    #[cfg(feature = "ort")]
    Ort(ort::Library),
    /// tract.
    Tract,
}

impl Runtime {
    /// Finds and loads what `choice` asks for.
    ///
    /// # Errors
    /// [`InferError::NoLibrary`], [`InferError::BadLibrary`] or [`InferError::NotBuiltIn`] when ONNX Runtime
    /// was asked for by name; `Auto` logs these and takes tract.
    pub fn start(choice: RuntimeChoice) -> Result<Self, InferError> {
        match choice {
            RuntimeChoice::Tract => Ok(Self::Tract),
            RuntimeChoice::Ort => Self::start_ort(),
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
        }
    }

    /// What it is, for people: name, version, library, execution providers.
    #[must_use]
    pub fn description(&self) -> String {
        match self {
            #[cfg(feature = "ort")]
            Self::Ort(library) => library.description(),
            Self::Tract => "tract (built in, CPU)".to_owned(),
        }
    }

    /// Loads `model`, to run on `device`; on the CPU on the thread that runs it, and no other.
    ///
    /// # Errors
    /// [`InferError::Load`], or [`InferError::NoGpu`] when a GPU was asked for and none can run it.
    pub fn session(&self, model: &Model, device: DeviceChoice) -> Result<Box<dyn Session>, InferError> {
        match self {
            #[cfg(feature = "ort")]
            Self::Ort(library) => library.session(model, device),
            Self::Tract if device == DeviceChoice::Gpu => {
                Err(InferError::NoGpu { tried: "the runtime tract has none".to_owned() })
            }
            Self::Tract => tract::TractSession::new(model).map(|session| Box::new(session) as _),
        }
    }
}

/// Whether the machine has a GPU that is none in software, as far as the system tells.
#[cfg(target_os = "linux")]
#[must_use]
pub fn gpu_hardware_present() -> bool {
    let devices = std::fs::read_dir("/dev/dri").into_iter().flatten().flatten();
    devices.into_iter().any(|device| device.file_name().to_string_lossy().starts_with("renderD"))
        || Path::new("/dev/nvidia0").exists()
}

/// Whether the machine has a GPU that is none in software, as far as the system tells.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn gpu_hardware_present() -> bool {
    true
}
