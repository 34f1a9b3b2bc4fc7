//! ONNX Runtime, loaded at run time, with its execution providers.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use ort::AsPointer;
use ort::environment::Environment;
use ort::ep::{self, ExecutionProvider, ExecutionProviderDispatch};
use ort::logging::LogLevel;
use ort::memory::Allocator;
use ort::session::IoBinding;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{Shape, Tensor, TensorRef};

use super::manifest::Model;
use super::{InferError, Session, Values};

/// A GPU provider: its name in records, whether the library has it, and how to ask for it.
pub(super) struct Provider {
    pub(super) name: &'static str,
    is_in_library: fn() -> bool,
    dispatch: fn() -> ExecutionProviderDispatch,
}

impl Provider {
    const fn new<P: ExecutionProvider>(name: &'static str, dispatch: fn() -> ExecutionProviderDispatch) -> Self {
        Self { name, is_in_library: || P::is_available().unwrap_or(false), dispatch }
    }
}

const GPU_PROVIDERS: [Provider; 5] = [
    Provider::new::<ep::TensorRT>("tensorrt", || ep::TensorRT::default().build()),
    Provider::new::<ep::CUDA>("cuda", || ep::CUDA::default().build()),
    Provider::new::<ep::CoreML>("coreml", || ep::CoreML::default().build()),
    Provider::new::<ep::DirectML>("directml", || ep::DirectML::default().build()),
    Provider::new::<ep::WebGPU>("webgpu", || ep::WebGPU::default().build()),
];

/// The library in use and its environment, of which there may be one a process. It lives as long as the process: to
/// release it after WebGPU has found no adapter crashes inside ONNX Runtime 1.27.
static LOADED: OnceLock<(PathBuf, Environment)> = OnceLock::new();

/// The loaded library.
pub struct Library {
    path: PathBuf,
    environment: &'static Environment,
}

impl Library {
    /// The library; whoever asks again gets the one that is loaded.
    pub(super) fn load() -> Result<Self, InferError> {
        static LOADING: Mutex<()> = Mutex::new(());
        let _alone = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((path, environment)) = LOADED.get() {
            return Ok(Self { path: path.clone(), environment });
        }
        let looked_at = match told() {
            Some(path) if path.is_file() => vec![path],
            Some(path) => return Err(InferError::BadLibrary { path, reason: "there is no such file".to_owned() }),
            None => candidates(),
        };
        let Some(path) = looked_at.iter().find(|path| path.is_file()).cloned() else {
            return Err(InferError::NoLibrary { looked_at });
        };
        let bad = |reason: String| InferError::BadLibrary { path: path.clone(), reason };
        let environment = ort::init_from(&path)
            .map_err(|error| bad(error.to_string()))?
            .with_name("vultus")
            .with_telemetry(false)
            .build()
            .map_err(|error| bad(error.to_string()))?;
        environment.set_log_level(LogLevel::Error);
        let (path, environment) = LOADED.get_or_init(|| (path, environment));
        Ok(Self { path: path.clone(), environment })
    }

    pub(super) fn description(&self) -> String {
        let providers: Vec<&str> = self.providers().map(|provider| provider.name).chain(["cpu"]).collect();
        format!("ONNX Runtime {} with {}", self.path.display(), providers.join(", "))
    }

    /// A session on the CPU.
    pub(super) fn session(&self, model: &Model) -> Result<Box<dyn Session>, InferError> {
        let load = |reason: String| InferError::Load { model: model.name.clone(), runtime: "ONNX Runtime", reason };
        Ok(Box::new(self.open(model, None).map_err(load)?))
    }

    /// A session on the GPU of one of [`Library::providers`], or why that is not to be had.
    pub(super) fn session_on(&self, provider: &Provider, model: &Model) -> Result<Box<dyn Session>, String> {
        let session = self.open(model, Some(provider)).map_err(|reason| gist(&reason).to_owned())?;
        Ok(Box::new(session))
    }

    /// The GPU providers that the library has.
    pub(super) fn providers(&self) -> impl Iterator<Item = &'static Provider> {
        GPU_PROVIDERS.iter().filter(|provider| (provider.is_in_library)())
    }

    fn open(&self, model: &Model, provider: Option<&Provider>) -> Result<OrtSession, String> {
        let text = |error: ort::Error<SessionBuilder>| error.to_string();
        let mut builder = SessionBuilder::new(self.environment).map_err(|error| error.to_string())?;
        builder = builder.with_optimization_level(GraphOptimizationLevel::All).map_err(text)?;
        builder = builder.with_intra_threads(1).map_err(text)?;
        builder = builder.with_deterministic_compute(true).map_err(text)?;
        if let Some(provider) = provider {
            let provider = (provider.dispatch)().error_on_failure();
            builder = builder.with_execution_providers([provider]).map_err(text)?;
        }
        let session = builder.commit_from_memory(model.bytes()).map_err(|error| error.to_string())?;
        Ok(OrtSession {
            name: model.name.clone(),
            outputs: model.outputs.clone(),
            device: provider.map_or("cpu", |provider| provider.name),
            session,
            shapes: Vec::with_capacity(MOST_SHAPES),
        })
    }
}

/// What an error of ONNX Runtime says behind the place in its source and the condition that failed.
fn gist(reason: &str) -> &str {
    reason.rsplit("was false. ").next().unwrap_or(reason).trim()
}

/// The library that the environment names.
fn told() -> Option<PathBuf> {
    ["VULTUS_ONNXRUNTIME", "ORT_DYLIB_PATH"].into_iter().find_map(std::env::var_os).map(PathBuf::from)
}

/// Where the library may be, best first: beside the program, where the set-up puts it, and in the system.
fn candidates() -> Vec<PathBuf> {
    let file = format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let executable = std::env::current_exe().unwrap_or_default();
    let beside = executable.parent().map(|folder| folder.join(&file));
    let fetched = executable.ancestors().skip(2).take(2).map(|folder| folder.join("onnxruntime").join(&file));
    let of_debian = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let installed =
        [&of_debian, "/usr/lib", "/usr/local/lib", "/opt/homebrew/lib"].map(|folder| Path::new(folder).join(&file));
    beside.into_iter().chain(fetched).chain(installed).collect()
}

/// Shapes of input that a session remembers. A pipeline has a handful; stills of all sizes have no end.
const MOST_SHAPES: usize = 16;

struct OrtSession {
    name: String,
    outputs: Vec<String>,
    device: &'static str,
    session: ort::session::Session,
    /// The one used last stands last.
    shapes: Vec<Known>,
}

/// A shape of input that has been run, with tensors of its own.
struct Known {
    shape: [usize; 4],
    bound: Bound,
}

impl OrtSession {
    fn try_run(&mut self, shape: [usize; 4], input: &[f32], outputs: &mut [Values]) -> ort::Result<()> {
        let mut known = match self.shapes.iter().position(|known| known.shape == shape) {
            Some(n) => self.shapes.remove(n),
            None => {
                let outputs = self.run_once(shape, input, outputs)?;
                let bound = Bound::new(&self.session, &self.outputs, shape, &outputs)?;
                if self.shapes.len() == MOST_SHAPES {
                    self.shapes.remove(0);
                }
                self.shapes.push(Known { shape, bound });
                return Ok(());
            }
        };
        let ran = known.bound.run(&mut self.session, self.device != "cpu", input, outputs);
        self.shapes.push(known);
        ran
    }

    /// Runs without tensors of its own; returns the outputs' shapes.
    fn run_once(&mut self, shape: [usize; 4], input: &[f32], outputs: &mut [Values]) -> ort::Result<Vec<Shape>> {
        let results = self.session.run(ort::inputs![TensorRef::from_array_view((shape, input))?])?;
        let mut shapes = Vec::new();
        for (name, output) in self.outputs.iter().zip(outputs) {
            let missing = || ort::Error::new(format!("the model has no output `{name}`"));
            let (shape, data) = results.get(name.as_str()).ok_or_else(missing)?.try_extract_tensor::<f32>()?;
            shapes.push(shape.clone());
            output.clear();
            output.extend_from_slice(data);
        }
        Ok(shapes)
    }
}

/// The tensors of one shape of input, bound to a session: a run with them allocates nothing. On the CPU the runtime
/// reads and writes these very tensors, not copies: what is written into the input is what the next run sees. A GPU with
/// memory of its own gets its copy when the input is bound, so there it is bound anew for each run.
struct Bound {
    binding: IoBinding,
    input: Tensor<f32>,
    outputs: Vec<Tensor<f32>>,
}

impl Bound {
    fn new(
        session: &ort::session::Session,
        names: &[String],
        shape: [usize; 4],
        outputs: &[Shape],
    ) -> ort::Result<Self> {
        let input = Tensor::from_array((shape, vec![0.0_f32; shape.iter().product()]))?;
        let outputs = outputs.iter().map(|shape| Tensor::new(&Allocator::default(), shape.clone()));
        let mut outputs = outputs.collect::<ort::Result<Vec<Tensor<f32>>>>()?;
        let mut binding = session.create_binding()?;
        binding.bind_input(session.inputs()[0].name(), &input)?;
        for (name, output) in names.iter().zip(&mut outputs) {
            binding.bind_output(name, output)?;
        }
        Ok(Self { binding, input, outputs })
    }

    fn run(
        &mut self,
        session: &mut ort::session::Session,
        is_copied: bool,
        input: &[f32],
        outputs: &mut [Values],
    ) -> ort::Result<()> {
        self.input.try_extract_tensor_mut::<f32>()?.1.copy_from_slice(input);
        if is_copied {
            self.binding.bind_input(session.inputs()[0].name(), &self.input)?;
        }
        run_bound(session, &self.binding)?;
        for (from, to) in self.outputs.iter().zip(outputs) {
            to.clear();
            to.extend_from_slice(from.try_extract_tensor::<f32>()?.1);
        }
        Ok(())
    }
}

/// Runs the session on what is bound to it. The `ort` crate's own `run_binding` allocates for every output that it
/// hands out, and the pipeline must not allocate.
#[allow(unsafe_code, reason = "the crate has no safe way that does not allocate")]
fn run_bound(session: &mut ort::session::Session, binding: &IoBinding) -> ort::Result<()> {
    // SAFETY: session and binding are alive, and the binding was made of this session; the session is borrowed for this
    // run alone; the status that comes back is handed on to whom it belongs.
    unsafe {
        ort::Error::result_from_status((ort::api().RunWithBinding)(session.ptr_mut(), std::ptr::null(), binding.ptr()))
    }
}

impl Session for OrtSession {
    fn run(&mut self, shape: [usize; 4], input: &[f32], outputs: &mut [Values]) -> Result<(), InferError> {
        let wanted: usize = shape.iter().product();
        if input.len() != wanted {
            let reason = format!("{} values were given for a shape of {wanted}", input.len());
            return Err(InferError::Run { model: self.name.clone(), reason });
        }
        self.try_run(shape, input, outputs)
            .map_err(|error| InferError::Run { model: self.name.clone(), reason: error.to_string() })
    }

    fn runtime(&self) -> &'static str {
        "ort"
    }

    fn device(&self) -> &'static str {
        self.device
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RuntimeChoice;
    use crate::infer::Runtime;
    use crate::infer::manifest::Models;

    #[test]
    fn runs_on_bound_tensors_see_each_its_own_input() {
        let Ok(runtime) = Runtime::start(RuntimeChoice::Ort) else { return };
        let encoder = Models::load(None).expect("built in").encoder;
        let session = || runtime.session(&encoder).expect("it loads");
        let (mut often, shape) = (session(), [2, 1, 64, 64]);
        for n in 0..4 {
            let faces: Vec<f32> = (0..2 * 64 * 64).map(|k| ((k * (n + 3)) % 17) as f32 / 8.0 - 1.0).collect();
            let said = |session: &mut Box<dyn Session>| {
                let mut outputs = vec![Values::new(); encoder.outputs.len()];
                session.run(shape, &faces, &mut outputs).expect("it runs");
                outputs
            };
            assert_eq!(said(&mut often), said(&mut session()), "run {n}");
        }
    }
}
