//! The GPU that is computed on: opened once, shared by whoever computes there, and given up when it fails.

#[cfg(feature = "gpu")]
use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(feature = "gpu")]
use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(feature = "gpu")]
use std::sync::{Arc, Mutex, PoisonError};
#[cfg(feature = "gpu")]
use std::time::Duration;

#[cfg(feature = "gpu")]
use wgpu::{DeviceType, PollType};

/// A GPU that does not answer for so long is given up; one in software, which shares the processor, is waited for longer.
#[cfg(feature = "gpu")]
const PATIENCE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// Whether the machine has a GPU that is none in software, as far as the system tells.
#[cfg(target_os = "linux")]
#[must_use]
pub fn is_there() -> bool {
    let devices = std::fs::read_dir("/dev/dri").into_iter().flatten().flatten();
    devices.into_iter().any(|device| device.file_name().to_string_lossy().starts_with("renderD"))
        || std::path::Path::new("/dev/nvidia0").exists()
}

/// Whether the machine has a GPU that is none in software, as far as the system tells.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn is_there() -> bool {
    true
}

/// What goes on between this program and a GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that are copied to it.
    pub up_bytes: u64,
    /// Bytes that are copied back.
    pub down_bytes: u64,
    /// Times that the program waits for it.
    pub waits: u64,
}

impl std::ops::Sub for Traffic {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            up_bytes: self.up_bytes - before.up_bytes,
            down_bytes: self.down_bytes - before.down_bytes,
            waits: self.waits - before.waits,
        }
    }
}

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.up_bytes += other.up_bytes;
        self.down_bytes += other.down_bytes;
        self.waits += other.waits;
    }
}

/// Why a GPU cannot be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum GpuError {
    #[error(
        "no GPU is found through Vulkan, Metal or DirectX 12. Is its driver installed (`vulkaninfo` lists what there is)?"
    )]
    NoAdapter,
    #[error("{name} cannot be opened: {reason}. A newer driver may do")]
    Open { name: String, reason: String },
    #[error(
        "no GPU is found but {name}, which is one in software and slower than the CPU. Is the GPU's driver for Vulkan installed?"
    )]
    Emulated { name: String },
    #[error("{name} takes buffers of {found} bytes, and {needed} are needed: use fewer or smaller cameras, or the CPU")]
    Limit { name: String, needed: u64, found: u64 },
    #[error("{name} has no memory left: close what else uses it, or use the CPU")]
    OutOfMemory { name: String },
    #[error("{name} is lost: {reason}")]
    Lost { name: String, reason: String },
    #[error("{name} has not answered for {seconds} s")]
    NoAnswer { name: String, seconds: u64 },
    #[error("{name} failed: {reason}")]
    Failed { name: String, reason: String },
}

/// A stretch of a buffer on a GPU.
#[cfg(feature = "gpu")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Where it lies.
    pub buffer: wgpu::Buffer,
    /// From which byte of it on.
    pub offset: u64,
    /// How many bytes.
    pub size: u64,
}

/// An opened GPU. Clones are the same one.
#[cfg(feature = "gpu")]
#[derive(Clone, Debug)]
pub struct Gpu {
    /// What it calls itself.
    pub name: String,
    /// By what it is reached: `vulkan`, `metal` or `dx12`.
    pub api: &'static str,
    /// Whether it is one in software.
    pub is_emulated: bool,
    /// What it was found by.
    pub instance: wgpu::Instance,
    /// Which one it is.
    pub adapter: wgpu::Adapter,
    /// What makes buffers and pipelines.
    pub device: wgpu::Device,
    /// What takes work.
    pub queue: wgpu::Queue,
    /// The first thing that went wrong.
    failure: Arc<Mutex<Option<GpuError>>>,
    traffic: Arc<Counted>,
}

/// What went on between this program and a GPU so far.
#[cfg(feature = "gpu")]
#[derive(Debug, Default)]
struct Counted {
    up: AtomicU64,
    down: AtomicU64,
    waits: AtomicU64,
}

#[cfg(feature = "gpu")]
impl Gpu {
    /// Opens the GPU that is likely to be the fastest: one with memory of its own before one of the processor's, and one in
    /// software last.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`] and [`GpuError::Open`].
    pub fn open() -> Result<Self, GpuError> {
        let failed = |error: std::io::Error| GpuError::Open { name: "a GPU".to_owned(), reason: error.to_string() };
        let waiter = tokio::runtime::Builder::new_current_thread().build().map_err(failed)?;
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        // OpenGL, which wgpu reaches too, has no compute shaders worth the name.
        descriptor.backends = wgpu::Backends::PRIMARY;
        let instance = wgpu::Instance::new(descriptor);
        let found = waiter.block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
        let rank = |adapter: &wgpu::Adapter| match adapter.get_info().device_type {
            DeviceType::DiscreteGpu => 0,
            DeviceType::IntegratedGpu => 1,
            DeviceType::VirtualGpu => 2,
            DeviceType::Other => 3,
            DeviceType::Cpu => 4,
        };
        let adapter = found.into_iter().min_by_key(rank).ok_or(GpuError::NoAdapter)?;
        let info = adapter.get_info();
        let name = info.name.clone();
        let refused = |error: wgpu::RequestDeviceError| GpuError::Open { name, reason: error.to_string() };
        let asked = wgpu::DeviceDescriptor {
            label: Some("vultus"),
            // All it has: burn's kernels choose among them.
            required_features: adapter
                .features()
                .difference(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS.union(wgpu::Features::all_experimental_mask())),
            required_limits: adapter.limits(),
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = waiter.block_on(adapter.request_device(&asked)).map_err(refused)?;
        let (failure, traffic) = Default::default();
        let api = info.backend.to_str();
        let is_emulated = info.device_type == DeviceType::Cpu;
        let gpu = Self { name: info.name, api, is_emulated, instance, adapter, device, queue, failure, traffic };
        gpu.watch();
        Ok(gpu)
    }

    /// Keeps the first thing that goes wrong; wgpu would end the process.
    pub(crate) fn watch(&self) {
        let keep = |failure: &Mutex<Option<GpuError>>, error: GpuError| {
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        };
        let (failure, name) = (self.failure.clone(), self.name.clone());
        self.device.set_device_lost_callback(move |why, reason| {
            let reason = if reason.is_empty() { format!("{why:?}") } else { reason };
            keep(&failure, GpuError::Lost { name: name.clone(), reason });
        });
        let (failure, name) = (self.failure.clone(), self.name.clone());
        self.device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let name = name.clone();
            let error = match error {
                wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory { name },
                other => GpuError::Failed { name, reason: other.to_string() },
            };
            keep(&failure, error);
        }));
    }

    /// Whether all is well up to now.
    ///
    /// # Errors
    /// What went wrong first.
    pub fn check(&self) -> Result<(), GpuError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }

    /// Waits until all that was submitted is done and its buffers are mapped.
    ///
    /// # Errors
    /// [`GpuError::NoAnswer`] after a second (of a GPU in software, a minute), and what went wrong meanwhile.
    pub fn wait(&self) -> Result<(), GpuError> {
        self.traffic.waits.fetch_add(1, Ordering::Relaxed);
        let patience = PATIENCE[usize::from(self.is_emulated)];
        let polled = self.poll(PollType::Wait { submission_index: None, timeout: Some(patience) });
        self.check()?;
        polled?.map(|_| ()).map_err(|error| match error {
            wgpu::PollError::Timeout => GpuError::NoAnswer { name: self.name.clone(), seconds: patience.as_secs() },
            other => self.failed(other.to_string()),
        })
    }

    /// wgpu panics where a driver says in the midst of a wait that its device is lost.
    fn poll(&self, how: PollType) -> Result<Result<wgpu::PollStatus, wgpu::PollError>, GpuError> {
        guarded(|| self.device.poll(how)).map_err(|reason| GpuError::Lost { name: self.name.clone(), reason })
    }

    /// What went wrong, as `reason` came of it: what the GPU says of itself explains more.
    #[must_use]
    pub fn failed(&self, reason: String) -> GpuError {
        self.check().err().unwrap_or_else(|| GpuError::Failed { name: self.name.clone(), reason })
    }

    /// Counts bytes that are copied to it (`up`) and from it (`down`).
    pub fn copies(&self, up: u64, down: u64) {
        self.traffic.up.fetch_add(up, Ordering::Relaxed);
        self.traffic.down.fetch_add(down, Ordering::Relaxed);
    }

    /// What went on so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let Counted { up, down, waits } = &*self.traffic;
        let [up_bytes, down_bytes, waits] = [up, down, waits].map(|count| count.load(Ordering::Relaxed));
        Traffic { up_bytes, down_bytes, waits }
    }

    /// Has buffers that can be mapped be mapped, without waiting.
    pub fn look(&self) {
        // What goes wrong here is seen by whoever waits.
        let _ = self.poll(PollType::Poll);
    }

    /// That it has room for `bytes` in one buffer that shaders see.
    ///
    /// # Errors
    /// [`GpuError::Limit`].
    pub fn has_room_for(&self, bytes: u64) -> Result<(), GpuError> {
        let limits = self.device.limits();
        let found = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        if bytes > found {
            return Err(GpuError::Limit { name: self.name.clone(), needed: bytes, found });
        }
        Ok(())
    }
}

/// What `work` gives, or what it said when it panicked: wgpu and burn do so where a GPU fails.
#[cfg(feature = "gpu")]
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

#[cfg(test)]
#[cfg(feature = "gpu")]
pub(crate) mod tests {
    use std::process::Command;

    /// Does `work` where Vulkan finds the GPU in software and no other; nothing where there is none. The loader of Vulkan
    /// reads its variable once, so it is done in a process of its own.
    pub(crate) fn with_lavapipe(work: impl FnOnce()) {
        const LOADER: &str = "VK_ICD_FILENAMES";
        let Some(driver) = std::env::var_os("VULTUS_SOFTWARE_VULKAN") else {
            eprintln!("skipped: no lavapipe; `cargo xtask test` installs it");
            return;
        };
        if std::env::var_os(LOADER).as_ref() == Some(&driver) {
            return work();
        }
        let name = std::thread::current().name().expect("a test's name").to_owned();
        let mut again = Command::new(std::env::current_exe().expect("this program"));
        passes(again.args(["--exact", &name, "--nocapture"]).env(LOADER, driver));
    }

    /// One test must run, and pass.
    fn passes(command: &mut Command) {
        let output = command.output().expect("it starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (said, errors) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success() && said.contains("1 passed"), "{said}{errors}");
    }

    #[test]
    fn without_a_driver_there_is_no_gpu() {
        const LOADER: &str = "VK_ICD_FILENAMES";
        if std::env::var_os(LOADER).is_some_and(|path| path == "/nowhere") {
            assert_eq!(super::Gpu::open().expect_err("there is none"), super::GpuError::NoAdapter);
            return;
        }
        if !cfg!(target_os = "linux") {
            return;
        }
        let name = std::thread::current().name().expect("a test's name").to_owned();
        let mut again = Command::new(std::env::current_exe().expect("this program"));
        passes(again.args(["--exact", &name]).env(LOADER, "/nowhere"));
    }
}
