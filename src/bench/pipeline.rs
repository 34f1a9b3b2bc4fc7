//! The whole pipeline under an even load: how late results are, what they cost, and what is dropped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::input::Input;
use super::{BenchError, allocations, ended_by, power};
use crate::config::Config;
use crate::frame::PerCamera;
use crate::gpu::Traffic;
use crate::infer::manifest::Models;
use crate::infer::{Place, Runtime};
use crate::pipeline::counters::Counters;
use crate::pipeline::health::{Measure, Quantiles, Whole};
use crate::pipeline::stop::Stop;
use crate::pipeline::vision::Vision;
use crate::pipeline::{self, Pacing, Plan};
use crate::record::{About, Recorder};
use crate::scene::{Scene, StageTimes};
use crate::time::{Clock, Timestamp, process_cpu};

/// What runs before anything counts: caches, clocks and the estimates of transport settle.
pub const WARM_UP: Duration = Duration::from_secs(2);

/// What is to be measured.
#[derive(Clone, Copy)]
pub struct Load<'a> {
    /// What the cameras see.
    pub input: &'a Input,
    /// How many there are.
    pub cameras: usize,
    /// Frames a second of each.
    pub fps: f64,
    /// How long it is measured, behind the warm-up.
    pub lasts: Duration,
    /// Settings, as in a live run.
    pub config: &'a Config,
    /// What looks at faces.
    pub models: &'a Models,
    /// What runs them.
    pub runtime: &'a Runtime,
    /// Breaks it off.
    pub stop: &'a Stop,
}

/// What was measured. Of what the machine does not tell there is nothing.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// This program's version.
    pub vultus: &'static str,
    /// What ran the models.
    pub runtime: &'static str,
    /// Where the encoder ran.
    pub device: &'static str,
    /// The encoder's name.
    pub encoder: String,
    /// Cameras.
    pub cameras: usize,
    /// Width and height of their pictures.
    pub size: [u32; 2],
    /// Frames a second of each.
    pub fps: f64,
    /// How long it was measured.
    pub seconds: f64,
    /// Sets that came through in that time.
    pub sets: u64,
    /// Faces in each, views counted one by one.
    pub faces_per_set: f64,
    /// Sets that a newer one displaced before they were looked at.
    pub stale_drops: u64,
    /// Frames that were dropped, by reason.
    pub drops: BTreeMap<&'static str, u64>,
    /// From the set's emission until its result was published.
    pub latency_ms: Quantiles,
    /// From the reference frame's arrival until the set was emitted.
    pub wait_ms: Quantiles,
    /// From the reference frame's capture until the result was published.
    pub age_ms: Quantiles,
    /// CPU time of the whole process.
    pub cpu_ms_per_set: Option<f64>,
    /// The same less what decoding, detecting, tracking, aligning and encoding took.
    pub overhead_ms_per_set: Option<f64>,
    /// Its share in the whole.
    pub overhead_share: Option<f64>,
    /// Allocations of the program's own code.
    pub allocations_per_set: Option<f64>,
    /// Bytes copied to the GPU and back.
    pub gpu_bytes_per_set: f64,
    /// Times that the program waits for the GPU.
    pub gpu_waits_per_set: f64,
    /// Energy of the processors, whoever used them.
    pub energy_j_per_set: Option<f64>,
    /// The stages of a set.
    pub stages: BTreeMap<&'static str, Stage>,
}

/// What one stage took.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Stage {
    /// How long, of what runs side by side the slowest part.
    pub wall_ms: Quantiles,
    /// CPU time of all its parts.
    pub cpu_ms_per_set: Option<f64>,
}

impl Figures {
    /// Of a load that was not measured: for the names of all figures.
    #[must_use]
    pub fn blank() -> Self {
        let stages = STAGES.into_iter().map(|stage| (stage.name(), Stage::default())).collect();
        Self { stages, drops: Drops::of(&Counters::new(1)).frames, ..Self::default() }
    }
}

/// Puts `load` on the pipeline and measures it. Nothing is told meanwhile: it would be in the figures.
///
/// # Errors
/// [`BenchError::NoSets`], [`BenchError::BrokenOff`], and those of the pipeline.
pub fn run(load: Load<'_>) -> Result<Figures, BenchError> {
    let Load { input, cameras, fps, lasts, config, models, runtime, stop } = load;
    let sources = input.play(cameras, fps);
    let names: PerCamera<Arc<str>> = sources.iter().map(|source| source.stream().name.clone()).collect();
    let vision = Vision::new(config, models, runtime, cameras, false)?;
    let Place { runtime: ran_by, device } = vision.encoder().place();
    let counters = Counters::new(cameras);
    let recorder = Recorder::new(config.record.clone(), About::default());
    let starts_at = Timestamp::default();
    let ends = Stop::default();
    let plan = Plan {
        pacing: Pacing::RealTime(Clock::replay(starts_at, 1.0)),
        transport_allowance: config.sync.transport_allowance(),
        offsets_ns: names.iter().map(|_| 0).collect(),
        starts_at,
        ends_at: Some(starts_at + WARM_UP + lasts),
        stop: &ends,
        counters: &counters,
        recorder: &recorder,
        as_recorded: None,
    };
    let mut tally = Tally::default();
    let mut begun: Option<(Used, Drops, Option<f64>)> = None;
    let mut used = Used::so_far();
    let mut lines = Vec::new();
    let publish = |scene: &Scene| {
        // As a live run does: records are a part of what a set costs.
        lines.clear();
        scene.write_records(&names, &mut lines)?;
        used = Used::so_far();
        if begun.is_some() {
            tally.add(scene);
        } else if scene.at >= starts_at + WARM_UP {
            let (dropped, joules) = (Drops::of(&counters), power::joules());
            begun = Some((Used::so_far(), dropped, joules));
        }
        Ok(())
    };
    ended_by(stop, &ends, || pipeline::run(sources, vision, &plan, publish))?;
    if stop.is_requested() {
        return Err(BenchError::BrokenOff);
    }
    let Some((before, dropped_before, joules_before)) = begun.filter(|_| tally.sets > 0) else {
        return Err(BenchError::NoSets { seconds: (WARM_UP + lasts).as_secs_f64(), formed: counters.sets.get() });
    };
    let per_set = |total: f64| total / tally.sets as f64;
    let cpu = used.cpu.saturating_sub(before.cpu);
    let cpu_ms = (!cpu.is_zero()).then_some(cpu.as_secs_f64() * 1e3);
    let work_ms = tally.work().as_secs_f64() * 1e3;
    let allocated = used.allocations.zip(before.allocations).map(|(now, before)| now - before);
    let joules = power::joules().zip(joules_before).map(|(now, before)| now - before);
    let dropped = Drops::of(&counters).since(&dropped_before);
    let stage = |(measure, cpu): (Measure, Duration)| {
        let cpu_ms_per_set = cpu_ms.map(|_| per_set(cpu.as_secs_f64() * 1e3));
        (measure.name(), Stage { wall_ms: tally.of(measure), cpu_ms_per_set })
    };
    Ok(Figures {
        vultus: env!("CARGO_PKG_VERSION"),
        runtime: ran_by,
        device,
        encoder: models.encoder.name.clone(),
        cameras,
        size: input.size(),
        fps,
        seconds: lasts.as_secs_f64(),
        sets: tally.sets,
        faces_per_set: per_set(tally.faces as f64),
        stale_drops: dropped.stale_sets,
        drops: dropped.frames,
        latency_ms: tally.of(Measure::Latency),
        wait_ms: tally.of(Measure::Wait),
        age_ms: tally.of(Measure::Age),
        cpu_ms_per_set: cpu_ms.map(per_set),
        overhead_ms_per_set: cpu_ms.map(|cpu_ms| per_set(cpu_ms - work_ms)),
        overhead_share: cpu_ms.map(|cpu_ms| 1.0 - work_ms / cpu_ms),
        allocations_per_set: allocated.map(|count| per_set(count as f64)),
        gpu_bytes_per_set: per_set((tally.gpu.up_bytes + tally.gpu.down_bytes) as f64),
        gpu_waits_per_set: per_set(tally.gpu.waits as f64),
        energy_j_per_set: joules.filter(|joules| *joules >= 0.0).map(per_set),
        stages: STAGES.into_iter().zip(tally.cpu).map(stage).collect(),
    })
}

/// What is measured of the stages, in the order of [`StageTimes::all`].
const STAGES: [Measure; StageTimes::COUNT] =
    [Measure::Decode, Measure::Detect, Measure::Track, Measure::Align, Measure::Encode, Measure::Fuse];
/// So many of them are what any such program must do; the others are our own machinery.
const WORK: usize = 5;

/// Takes the measured sets in.
#[derive(Default)]
struct Tally {
    sets: u64,
    faces: u64,
    times: [Whole; Measure::COUNT],
    /// Of each stage.
    cpu: [Duration; StageTimes::COUNT],
    gpu: Traffic,
}

impl Tally {
    fn add(&mut self, scene: &Scene) {
        self.sets += 1;
        self.faces += scene.people.iter().map(|person| person.views.len() as u64).sum::<u64>();
        for (measure, times) in Measure::ALL.into_iter().zip(&mut self.times) {
            times.add(measure.of(scene));
        }
        for (sum, spent) in self.cpu.iter_mut().zip(scene.stages.all()) {
            *sum += spent.cpu;
        }
        self.gpu += scene.gpu;
    }

    fn of(&self, measure: Measure) -> Quantiles {
        self.times[measure as usize].quantiles()
    }

    fn work(&self) -> Duration {
        self.cpu[..WORK].iter().sum()
    }
}

/// What the process has used so far.
#[derive(Clone, Copy)]
struct Used {
    cpu: Duration,
    allocations: Option<u64>,
}

impl Used {
    fn so_far() -> Self {
        Self { cpu: process_cpu(), allocations: allocations() }
    }
}

/// What was dropped so far.
struct Drops {
    stale_sets: u64,
    frames: BTreeMap<&'static str, u64>,
}

impl Drops {
    fn of(counters: &Counters) -> Self {
        let mut frames = BTreeMap::new();
        for (reason, count) in counters.cameras.iter().flat_map(|camera| camera.drops()) {
            *frames.entry(reason).or_default() += count;
        }
        Self { stale_sets: counters.stale_sets.get(), frames }
    }

    fn since(&self, before: &Self) -> Self {
        let frames =
            self.frames.iter().map(|(reason, count)| (*reason, count - before.frames.get(reason).unwrap_or(&0)));
        Self { stale_sets: self.stale_sets - before.stale_sets, frames: frames.collect() }
    }
}
