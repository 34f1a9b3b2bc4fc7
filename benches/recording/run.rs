//! One run, in this process, and what it costs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use vultus::capture::recording::Recording;
use vultus::config::RuntimeChoice;
use vultus::pipeline::counters::Counters;
use vultus::record::Recorder;

use crate::measure::{Process, percentile};
use crate::support::recording::Run;

/// Sets that are left out at a run's beginning.
const WARM_UP: u64 = 90;
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a run cost.
#[derive(Serialize, Deserialize)]
pub struct Cost {
    /// Percentiles of the sets' `latency_ms`.
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// CPU time of the whole process, per cent of a core.
    pub cpu_percent: f64,
    /// CPU time of the recorder's thread alone.
    pub record_percent: f64,
    /// Resident memory at its largest.
    pub memory_mb: f64,
    pub sets_per_s: f64,
    /// Of the whole run, as all that follows: sets that were dropped, and frames that came in.
    pub stale: u64,
    pub frames: u64,
    pub recording: Option<Recorded>,
}

/// What was recorded.
#[derive(Serialize, Deserialize)]
pub struct Recorded {
    pub file: PathBuf,
    /// Frames and records that it lacks, as the recorder says.
    pub dropped: u64,
    /// Mean over the recording.
    pub mb_per_s: f64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = self.recording.as_ref().map_or(0.0, |recording| recording.mb_per_s);
        write!(
            f,
            "{:8.1} {:7.1} {:7.1} {:9.2} {:10.1} {:7.1} {:6} {written:13.1} {:7}",
            self.p50_ms,
            self.p99_ms,
            self.cpu_percent,
            self.record_percent,
            self.memory_mb,
            self.sets_per_s,
            self.stale,
            self.frames
        )
    }
}

/// Runs the take, looped, and measures so long after the warm-up; records to `into` from the first frame on.
pub fn measure(take: &Path, lasts: Duration, into: Option<&Path>) -> Cost {
    let recording = Recording::open(&[take.to_owned()], false).and_then(Recording::looped).expect("a take");
    let run = Run { runtime: RuntimeChoice::Auto, ..Run::with(recording, into.unwrap_or(Path::new(""))) };
    let (recorder, counters, stop) = (run.recorder.clone(), run.counters.clone(), run.stop.clone());
    if into.is_some() {
        recorder.start().expect("starts");
    }
    let is_measured = AtomicBool::new(false);
    let mut latencies_ms = Vec::new();
    let watched = std::thread::scope(|scope| {
        let watched = scope.spawn(|| {
            let watched = watch(&counters, lasts, &is_measured);
            stop.request();
            watched
        });
        run.run(Some(1.0), |scene, _| {
            if is_measured.load(Ordering::Relaxed) {
                latencies_ms.push(scene.latency.as_secs_f64() * 1e3);
            }
        })
        .expect("runs");
        watched.join().expect("it was watched to the end")
    });
    let of_a_second = |total: f64| total / watched.seconds;
    Cost {
        p50_ms: percentile(&latencies_ms, 50),
        p99_ms: percentile(&latencies_ms, 99),
        cpu_percent: of_a_second(watched.cpu_s) * 100.0,
        record_percent: of_a_second(watched.record_s) * 100.0,
        memory_mb: watched.memory_mb,
        sets_per_s: of_a_second(latencies_ms.len() as f64),
        stale: counters.stale_sets.get(),
        frames: counters.cameras.iter().map(|camera| camera.received.get()).sum(),
        recording: into.map(|_| recorded(&recorder)),
    }
}

fn recorded(recorder: &Recorder) -> Recorded {
    let status = recorder.status();
    assert_eq!(status.error, None);
    let file = status.file.expect("a file");
    Recorded { file, dropped: status.dropped, mb_per_s: status.bytes as f64 / 1e6 / status.seconds }
}

/// What was seen of the process while it was measured.
struct Watched {
    seconds: f64,
    cpu_s: f64,
    record_s: f64,
    memory_mb: f64,
}

fn watch(counters: &Counters, lasts: Duration, is_measured: &AtomicBool) -> Watched {
    while counters.analysed_sets.get() < WARM_UP {
        std::thread::sleep(LOOK_EVERY);
    }
    let process = Process::of(std::process::id());
    let cpu_s = || (process.cpu_s(), process.thread_cpu_s("record"));
    is_measured.store(true, Ordering::Relaxed);
    let (began, before) = (Instant::now(), cpu_s());
    let mut memory_mb: f64 = 0.0;
    while began.elapsed() < lasts {
        std::thread::sleep(LOOK_EVERY);
        memory_mb = memory_mb.max(process.memory_mb());
    }
    let (seconds, after) = (began.elapsed().as_secs_f64(), cpu_s());
    is_measured.store(false, Ordering::Relaxed);
    Watched { seconds, cpu_s: after.0 - before.0, record_s: after.1 - before.1, memory_mb }
}
