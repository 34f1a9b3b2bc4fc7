//! Where the encoder runs: every way that is open is tried and timed, and the fastest taken.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::manifest::Model;
use super::{InferError, Runtime, Session, Values};
use crate::config::{DeviceChoice, Inference, RuntimeChoice};
use crate::gpu;

/// Items in the batch that is timed: two faces in each of four views.
const ITEMS: usize = 8;
/// Runs that are timed, at most; the fastest counts.
const RUNS: usize = 5;
/// Time after which no further run is begun.
const LASTS: Duration = Duration::from_millis(300);

/// An encoder's session, and how it was come by.
pub struct Chosen {
    /// The session.
    pub session: Box<dyn Session>,
    /// Why it is this one.
    pub reason: String,
    /// What each took that was tried, if more than one was.
    pub measured: Option<String>,
}

impl From<Box<dyn Session>> for Chosen {
    fn from(session: Box<dyn Session>) -> Self {
        Self { session, reason: "nothing else was asked for".to_owned(), measured: None }
    }
}

/// A session, or why there is none.
pub type Opened = Result<Box<dyn Session>, String>;

/// A way to run a model, by its name.
struct Way<'a> {
    name: &'static str,
    open: Box<dyn Fn(&Model) -> Opened + 'a>,
}

/// A session that was opened, how long its batch takes if that was measured.
struct Tried {
    name: &'static str,
    session: Box<dyn Session>,
    took: Duration,
}

impl Runtime {
    /// Loads the encoder `model` to run where `settings` say: on the CPU, on a GPU (of several ways the fastest), or wherever
    /// it is the fastest.
    ///
    /// # Errors
    /// [`InferError::Load`]; [`InferError::NoGpu`] and [`InferError::NoGpuForWgpu`] when a GPU is asked for and none can run it;
    /// [`InferError::WgpuOnCpu`].
    pub fn encoder(&self, model: &Model, settings: &Inference) -> Result<Chosen, InferError> {
        let by_name = matches!(self, Self::Wgpu(_));
        let on_cpu = |reason: String| Ok(Chosen { session: self.session(model)?, reason, measured: None });
        match settings.device {
            DeviceChoice::Cpu if by_name => return Err(InferError::WgpuOnCpu),
            DeviceChoice::Cpu => return on_cpu("as `--device cpu` asks".to_owned()),
            // To look for one where there is none costs seconds, and the drivers talk.
            DeviceChoice::Auto if !by_name && !gpu::is_there() => {
                return on_cpu("no GPU is found in this machine".to_owned());
            }
            DeviceChoice::Auto | DeviceChoice::Gpu => {}
        }
        let ways = self.ways(model, settings.runtime);
        let may_be_cpu = settings.device == DeviceChoice::Auto && !by_name;
        if ways.is_empty() && may_be_cpu {
            return on_cpu(format!("{} reaches no GPU", self.name()));
        }
        let (mut tried, mut failed) = (Vec::new(), Vec::new());
        for way in ways {
            match way.run(model) {
                Ok(one) => tried.push(one),
                Err(reason) => {
                    tracing::warn!("{} cannot run `{}`: {reason}", way.name, model.name);
                    failed.push(format!("{} ({reason})", way.name));
                }
            }
        }
        if may_be_cpu {
            let mut session = self.session(model)?;
            // There, as many sessions as threads share a batch.
            let items = ITEMS.div_ceil(settings.threads());
            let took = time(session.as_mut(), model, items).map_err(|reason| InferError::Load {
                model: model.name.clone(),
                runtime: session.runtime(),
                reason,
            })?;
            tried.push(Tried { name: "cpu", session, took });
        } else if tried.is_empty() {
            if failed.is_empty() {
                failed.push(format!("{} has no GPU provider", self.description()));
            }
            let tried = failed.join(", ");
            return Err(if by_name { InferError::NoGpuForWgpu { tried } } else { InferError::NoGpu { tried } });
        }
        Ok(pick(tried, &failed, &model.name))
    }

    /// The ways to a GPU that `model` may go.
    fn ways(&self, model: &Model, choice: RuntimeChoice) -> Vec<Way<'_>> {
        #[allow(unused_mut, reason = "a build without GPUs has none")]
        let mut ways: Vec<Way<'_>> = Vec::new();
        #[cfg(feature = "ort")]
        if let Self::Ort(library) = self {
            ways.extend(library.providers().map(|provider| Way {
                name: provider.name,
                open: Box::new(move |model| library.session_on(provider, model)),
            }));
        }
        #[cfg(feature = "train")]
        if matches!(self, Self::Wgpu(_)) || (choice == RuntimeChoice::Auto && model.weights.is_some()) {
            let open = |model: &Model| match super::wgpu::WgpuSession::new(model) {
                Ok(session) => Ok(Box::new(session) as Box<dyn Session>),
                Err(error) => Err(error.to_string()),
            };
            ways.push(Way { name: "wgpu", open: Box::new(open) });
        }
        let _ = (model, choice);
        ways
    }
}

/// A session of every runtime on every device that is here, or why there is none, by name.
#[must_use]
pub fn everywhere(model: &Model) -> Vec<(String, Opened)> {
    let text = |error: InferError| error.to_string();
    let mut all = Vec::new();
    for (name, choice) in [("ort", RuntimeChoice::Ort), ("tract", RuntimeChoice::Tract)] {
        let runtime = match Runtime::start(choice) {
            Ok(runtime) => runtime,
            Err(error) => {
                all.push((format!("{name} on cpu"), Err(text(error))));
                continue;
            }
        };
        all.push((format!("{name} on cpu"), runtime.session(model).map_err(text)));
        let ways = runtime.ways(model, choice).into_iter();
        all.extend(ways.map(|way| (format!("{name} on {}", way.name), (way.open)(model))));
    }
    match Runtime::start(RuntimeChoice::Wgpu) {
        Ok(runtime) => {
            let ways = runtime.ways(model, RuntimeChoice::Wgpu).into_iter();
            all.extend(ways.map(|way| (way.name.to_owned(), (way.open)(model))));
        }
        Err(error) => all.push(("wgpu".to_owned(), Err(text(error)))),
    }
    all
}

impl Way<'_> {
    fn run(&self, model: &Model) -> Result<Tried, String> {
        let mut session = (self.open)(model)?;
        let took = time(session.as_mut(), model, ITEMS)?;
        Ok(Tried { name: self.name, session, took })
    }
}

/// The fastest of those that were `tried`, of which there is one at least; `failed` could not be.
fn pick(mut tried: Vec<Tried>, failed: &[String], model: &str) -> Chosen {
    tried.sort_by_key(|one| one.took);
    let list = |of: fn(&Tried) -> String| tried.iter().map(of).collect::<Vec<String>>().join(", ");
    let times = list(|one| format!("{} {:.1} ms", one.name, one.took.as_secs_f64() * 1e3));
    // Without the times, which are others in each run: results of two runs shall be the same.
    let mut reason = match &tried[..] {
        [only] => format!("{} alone can run it", only.name),
        _ => format!("the fastest of {}", list(|one| one.name.to_owned())),
    };
    if !failed.is_empty() {
        let _ = write!(reason, "; not {}", failed.join(", "));
    }
    let measured = (tried.len() > 1).then(|| format!("{times} for {ITEMS} faces"));
    if let Some(measured) = &measured {
        tracing::info!("`{model}` takes on {measured}");
    }
    Chosen { session: tried.swap_remove(0).session, reason, measured }
}

/// How long a batch of `items` takes once all is compiled and in memory.
fn time(session: &mut dyn Session, model: &Model, items: usize) -> Result<Duration, String> {
    let [width, height] = model.input.size.unwrap_or([64; 2]);
    let shape = [items, model.input.channels.planes(), height, width];
    let blank = vec![0.0; shape.iter().product()];
    let mut outputs = vec![Values::new(); model.outputs.len()];
    let mut run = || {
        let began_at = Instant::now();
        session.run(shape, &blank, &mut outputs).map_err(|error| error.to_string())?;
        Ok::<_, String>(began_at.elapsed())
    };
    run()?;
    let until = Instant::now() + LASTS;
    let mut fastest = run()?;
    for _ in 1..RUNS {
        if Instant::now() >= until {
            break;
        }
        fastest = fastest.min(run()?);
    }
    Ok(fastest)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "train")]
    use crate::infer::manifest::Models;

    /// Says where it would be.
    struct Somewhere(&'static str);

    impl Session for Somewhere {
        fn run(&mut self, _: [usize; 4], _: &[f32], _: &mut [Values]) -> Result<(), InferError> {
            Ok(())
        }

        fn runtime(&self) -> &'static str {
            "test"
        }

        fn device(&self) -> &'static str {
            self.0
        }
    }

    fn tried(name: &'static str, ms: u64) -> Tried {
        Tried { name, session: Box::new(Somewhere(name)), took: Duration::from_millis(ms) }
    }

    #[test]
    fn the_fastest_is_taken_whatever_it_is_and_the_others_are_told() {
        let failed = ["directml (no such library)".to_owned()];
        let all = || vec![tried("cuda", 3), tried("webgpu", 2), tried("cpu", 5)];
        let chosen = pick(all(), &failed, "it");
        assert_eq!(chosen.session.device(), "webgpu");
        assert_eq!(chosen.reason, "the fastest of webgpu, cuda, cpu; not directml (no such library)");
        assert_eq!(chosen.measured.as_deref(), Some("webgpu 2.0 ms, cuda 3.0 ms, cpu 5.0 ms for 8 faces"));
        let chosen = pick(vec![tried("webgpu", 9), tried("cpu", 4)], &[], "it");
        assert_eq!((chosen.session.device(), &*chosen.reason), ("cpu", "the fastest of cpu, webgpu"));
        let chosen = pick(vec![tried("wgpu", 9)], &failed, "it");
        assert_eq!((&*chosen.reason, chosen.measured), ("wgpu alone can run it; not directml (no such library)", None));
    }

    #[cfg(feature = "train")]
    #[test]
    fn every_way_to_a_gpu_is_tried_and_timed() {
        crate::gpu::tests::with_lavapipe(|| {
            let runtime = Runtime::start(RuntimeChoice::Auto).expect("it starts");
            let model = Models::load(None).expect("built in").encoder;
            let choose =
                |device| runtime.encoder(&model, &Inference { device, ..Inference::default() }).expect("it runs");
            let on_gpu = choose(DeviceChoice::Gpu);
            match runtime.name() {
                "ort" => {
                    let measured = on_gpu.measured.expect("two ways");
                    assert!(measured.contains("webgpu") && measured.contains("wgpu "), "{measured}");
                }
                _ => assert_eq!((on_gpu.session.device(), on_gpu.measured), ("vulkan", None)),
            }
            assert_eq!(choose(DeviceChoice::Cpu).session.device(), "cpu");
        });
    }
}
