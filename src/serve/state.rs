//! How the run is, in one record: what `/api/state`, `/metrics` and the page's head line say.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::About;
use crate::frame::CameraId;
use crate::pipeline::counters::{CameraCounters, Counters};
use crate::pipeline::health::{Measure, Quantiles, Report};
use crate::record;
use crate::rig::CalibratedCamera;
use crate::rig::drift::Drift;

/// Rates are means over this many steps.
const WINDOW: usize = 5;

/// The record. `docs/reference/api.md` explains every key.
#[derive(Clone, Debug, Serialize)]
pub(super) struct State {
    vultus: &'static str,
    run: Arc<str>,
    source: &'static str,
    pub uptime_s: f64,
    runtime: &'static str,
    device: &'static str,
    device_reason: String,
    lost_device: Option<&'static str>,
    models: BTreeMap<String, String>,
    clock: crate::results::Clock,
    identity: Option<crate::results::Identity>,
    rig: Option<Arc<RigState>>,
    drift: Option<DriftState>,
    pub cameras: Vec<CameraState>,
    pub sets: Sets,
    pub times_ms: Times,
    pub page: PageState,
    pub recording: record::Status,
}

/// How far faces are off where the rig says they must be.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DriftState {
    /// The two that agree least.
    cameras: [Arc<str>; 2],
    #[serde(flatten)]
    pub drift: Drift,
}

/// The calibrated rig, as far as a picture of it needs.
#[derive(Debug, Serialize)]
pub(super) struct RigState {
    path: PathBuf,
    cameras: Vec<RigCamera>,
}

#[derive(Debug, Serialize)]
struct RigCamera {
    name: String,
    size: [u32; 2],
    matrix: [[f64; 3]; 3],
    /// Of `camera_from_world`, by rows.
    rotation: [[f64; 3]; 3],
    translation: [f64; 3],
}

impl RigState {
    pub(super) fn new(path: PathBuf, cameras: &[CalibratedCamera]) -> Self {
        let camera = |camera: &CalibratedCamera| {
            let rotation = camera.rotation_from_world();
            RigCamera {
                name: camera.name.clone(),
                size: camera.size,
                matrix: camera.matrix,
                rotation: std::array::from_fn(|row| std::array::from_fn(|column| rotation[(row, column)])),
                translation: camera.translation,
            }
        };
        Self { path, cameras: cameras.iter().map(camera).collect() }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct CameraState {
    pub name: Arc<str>,
    description: Arc<str>,
    state: Presence,
    pub fps: f64,
    pub received: u64,
    /// By reason.
    pub dropped: Drops,
    pub without_set: u64,
    pub stalls: u64,
    pub losses: u64,
    pub reopen_attempts: u64,
}

/// Whether a camera delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Presence {
    On,
    /// It is there, but nothing comes.
    Silent,
    Lost,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Sets {
    pub formed: u64,
    pub analysed: u64,
    pub stale: u64,
    per_s: f64,
    period_ms: f64,
}

/// Drops by reason.
#[derive(Clone, Debug)]
pub(super) struct Drops(pub Vec<(&'static str, u64)>);

impl Serialize for Drops {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// Percentiles by measure.
#[derive(Clone, Debug)]
pub(super) struct Times(pub [Quantiles; Measure::COUNT]);

impl Serialize for Times {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Measure::ALL.iter().map(|measure| measure.name()).zip(&self.0))
    }
}

/// What the page itself takes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct PageState {
    pub watchers: usize,
    /// Sets of pictures sent, to the page that takes the most.
    pub pictures_per_s: f64,
    /// Sets of pictures that may be sent, so that results do not suffer.
    pub at_most_per_s: f64,
    /// Of one core, taken by the server; unknown on some systems.
    pub cpu_percent: Option<f64>,
}

/// What rates are made from.
struct Sample {
    at: Instant,
    received: Vec<u64>,
    analysed: u64,
    pictures: u64,
    cpu: Option<Duration>,
}

/// Makes a [`State`] now and then.
pub(super) struct Observer {
    about: Arc<About>,
    counters: Arc<Counters>,
    began_at: Instant,
    samples: VecDeque<Sample>,
}

/// What the server knows of itself.
pub(super) struct Served {
    pub watchers: usize,
    /// Sets whose pictures were sent so far, to one page or to many.
    pub pictures: u64,
    pub at_most_per_s: f64,
    /// CPU time of the server's thread so far.
    pub cpu: Option<Duration>,
}

impl Observer {
    pub(super) fn new(about: Arc<About>, counters: Arc<Counters>) -> Self {
        Self { about, counters, began_at: Instant::now(), samples: VecDeque::with_capacity(WINDOW + 1) }
    }

    pub(super) fn step(&mut self, report: &Report, served: &Served, recording: record::Status) -> State {
        let cameras = &self.counters.cameras;
        let now = Sample {
            at: Instant::now(),
            received: cameras.iter().map(|camera| camera.received.get()).collect(),
            analysed: self.counters.analysed_sets.get(),
            pictures: served.pictures,
            cpu: served.cpu,
        };
        let before = self.samples.front().unwrap_or(&now);
        let seconds = (now.at - before.at).as_secs_f64().max(1e-3);
        let per_s = |of: fn(&Sample) -> u64| of(&now).saturating_sub(of(before)) as f64 / seconds;
        let fps = |n: usize| now.received[n].saturating_sub(before.received[n]) as f64 / seconds;
        let cpu_percent = now.cpu.zip(before.cpu).map(|(now, before)| (now - before).as_secs_f64() / seconds * 100.0);
        let about = &self.about;
        let state = State {
            vultus: about.header.vultus,
            run: about.run.clone(),
            source: about.source,
            uptime_s: rounded((now.at - self.began_at).as_secs_f64()),
            runtime: report.place.runtime,
            device: report.place.device,
            device_reason: match report.lost_device {
                Some(lost) => format!("{lost} failed: see the log"),
                None => about.header.device_reason.clone(),
            },
            lost_device: report.lost_device,
            models: about.header.models.clone(),
            clock: about.header.clock,
            identity: about.header.identity,
            rig: about.rig.clone(),
            drift: report.drift.map(|drift| {
                let name = |camera: CameraId| about.streams[camera.index()].name.clone();
                DriftState { cameras: drift.cameras.map(name), drift }
            }),
            cameras: cameras.iter().enumerate().map(|(n, camera)| self.camera(n, camera, fps(n))).collect(),
            sets: Sets {
                formed: self.counters.sets.get(),
                analysed: now.analysed,
                stale: self.counters.stale_sets.get(),
                per_s: rounded(per_s(|sample| sample.analysed)),
                period_ms: about.period.as_secs_f64() * 1e3,
            },
            times_ms: Times(report.recent),
            page: PageState {
                watchers: served.watchers,
                pictures_per_s: rounded(per_s(|sample| sample.pictures)),
                at_most_per_s: rounded(served.at_most_per_s),
                cpu_percent: cpu_percent.map(rounded),
            },
            recording,
        };
        self.samples.push_back(now);
        if self.samples.len() > WINDOW {
            self.samples.pop_front();
        }
        state
    }

    fn camera(&self, n: usize, counters: &CameraCounters, fps: f64) -> CameraState {
        let stream = &self.about.streams[n];
        CameraState {
            name: stream.name.clone(),
            description: stream.description.as_str().into(),
            state: match (counters.is_lost(), fps > 0.0) {
                (true, _) => Presence::Lost,
                (false, true) => Presence::On,
                (false, false) => Presence::Silent,
            },
            fps: rounded(fps),
            received: counters.received.get(),
            dropped: Drops(counters.drops().to_vec()),
            without_set: counters.unmatched.get(),
            stalls: counters.stalls.get(),
            losses: counters.losses.get(),
            reopen_attempts: counters.reopen_attempts.get(),
        }
    }
}

/// To one digit behind the point.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
