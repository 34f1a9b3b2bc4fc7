//! Measures this program on the machine that it runs on: single stages, and the whole pipeline under an even load, also
//! by the number of cameras.
//!
//! The load is an open loop: frames come when they are due, whether or not the one before has been worked on, and what
//! is late counts as late. So percentiles are those of a live run, and never the period of a loop.

pub mod end_to_end;
pub mod flash;
pub mod input;
pub mod limits;
pub mod pipeline;
mod power;
pub mod scale;
pub mod stages;

use crossbeam_utils::sync::Parker;
use stats_alloc::INSTRUMENTED_SYSTEM;

use crate::capture::CaptureError;
use crate::face::view::ViewError;
use crate::image::decode::DecodeError;
use crate::image::encode::EncodeError;
use crate::infer::InferError;
use crate::infer::manifest::ManifestError;
use crate::pipeline::PipelineError;
use crate::pipeline::stop::Stop;
use crate::pipeline::vision::VisionError;

/// Why something cannot be measured.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum BenchError {
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error("stills have no times, and so no rate: measure with a take, or with videos")]
    Stills,
    #[error("camera `{camera}` of the take has no frame that can be read, or none while the others have some")]
    NoFrames { camera: String },
    #[error("camera `{camera}` of the take has no rate: measure with another one")]
    NoRate { camera: String },
    #[error(
        "of {formed} sets in {seconds:.0} s none could be measured: measure longer (`--seconds`), or with less (`--cameras`, `--fps`, `--size`)"
    )]
    NoSets { seconds: f64, formed: u64 },
    #[error("the measurement was broken off")]
    BrokenOff,
    #[error(transparent)]
    Vision(#[from] VisionError),
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    View(#[from] ViewError),
    #[error(transparent)]
    Infer(#[from] InferError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Does `run`, which `ends` ends; `stop`, which is from outside, requests that too.
fn ended_by<T>(stop: &Stop, ends: &Stop, run: impl FnOnce() -> T) -> T {
    let outside = Parker::new();
    stop.wakes(outside.unparker());
    let done = outside.unparker().clone();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            outside.park();
            ends.request();
        });
        let outcome = run();
        done.unpark();
        outcome
    })
}

/// Allocations of this process's Rust code so far, if the program counts them (its global allocator must be
/// `stats_alloc`'s). What a runtime's library allocates is not among them.
#[must_use]
pub fn allocations() -> Option<u64> {
    let stats = INSTRUMENTED_SYSTEM.stats();
    let count = (stats.allocations + stats.reallocations) as u64;
    (count > 0).then_some(count)
}
