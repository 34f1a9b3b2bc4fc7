//! Where networks are trained, chosen when the program runs.

use burn::tensor::wgpu::WgpuInitError;
use burn::tensor::{Device, DeviceKind};

use crate::config::DeviceChoice;
use crate::gpu;

/// Why there is no device.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum DeviceError {
    #[error(
        "no GPU can train: {}. Install the driver that brings Vulkan, Metal or DirectX 12, or use `--device cpu` (or \
         `auto`, which falls back to it)", .tried.join("; ")
    )]
    NoGpu { tried: Vec<String> },
}

/// Real GPUs, the fastest kind first.
const HARDWARE: [DeviceKind; 3] = [DeviceKind::DiscreteGpu(0), DeviceKind::IntegratedGpu(0), DeviceKind::VirtualGpu(0)];

/// Opens a device to train on: for `auto` a real GPU if there is one, else the CPU; for `gpu` also one that is emulated.
///
/// # Errors
/// [`DeviceError::NoGpu`] for `gpu`.
pub fn open(choice: DeviceChoice) -> Result<Device, DeviceError> {
    let mut tried = Vec::new();
    let emulated = [DeviceKind::Cpu];
    let kinds: &[&[DeviceKind]] = match choice {
        DeviceChoice::Cpu => &[],
        // To look for one where there is none costs seconds, and the drivers talk.
        DeviceChoice::Auto if !gpu::is_there() => &[],
        DeviceChoice::Auto => &[&HARDWARE],
        DeviceChoice::Gpu => &[&HARDWARE, &emulated],
    };
    let gpu = kinds.iter().copied().flatten().find_map(|kind| init(kind).map_err(|error| tried.push(error)).ok());
    match (gpu, choice) {
        (Some(gpu), _) => Ok(gpu.autodiff()),
        (None, DeviceChoice::Gpu) => Err(DeviceError::NoGpu { tried }),
        (None, _) => Ok(cpu()),
    }
}

/// The name of the GPU that `device` is; `None` for the CPU.
#[must_use]
pub fn gpu_name(device: &Device) -> Option<String> {
    let name = || device.identity().map_or_else(|| format!("{device:?}"), |identity| identity.name);
    (*device != Device::flex()).then(name)
}

/// The CPU.
#[must_use]
pub fn cpu() -> Device {
    keep_memory();
    Device::flex().autodiff()
}

/// glibc gives freed memory back to the system, and every step of training asks for it anew: the system clears a fifth of
/// the time. This tells it to keep what it has, for the rest of the process; elsewhere it does nothing.
fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "a C function of two numbers, which Rust's standard library does not offer")]
    // SAFETY: mallopt(3) takes numbers alone, holds the allocator's own lock, and both settings are documented values.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
    }
}

/// Opens the first GPU of a kind; it is one that can compute.
fn init(kind: &DeviceKind) -> Result<Device, String> {
    #[cfg(feature = "train-cuda")]
    if let Some(device) = Device::enumerate(burn::tensor::DeviceType::Cuda).into_iter().next() {
        return Ok(device);
    }
    match Device::wgpu_options().device_kind(kind.clone()).init() {
        Ok(device) => Ok(device),
        // It was opened before.
        Err(WgpuInitError::Registration { .. }) => Ok(Device::wgpu(kind.clone())),
        Err(error) => Err(error.to_string()),
    }
}
