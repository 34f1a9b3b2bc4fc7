//! How a run is doing: the times of its sets as percentiles, for the terminal, the page and whoever asks.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::infer::Place;
use crate::rig::CalibratedCamera;
use crate::rig::drift::{Drift, DriftWatch};
use crate::scene::Scene;

/// Sets that the recent percentiles look back at: ten seconds of a usual camera.
const RECENT: usize = 300;

/// What is measured of every set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields of the scene of these names say it")]
pub enum Measure {
    Decode,
    Detect,
    Track,
    Align,
    Encode,
    Fuse,
    Latency,
    Wait,
    Age,
    Skew,
}

impl Measure {
    /// How many there are.
    pub const COUNT: usize = 10;

    /// All of them: the stages in order, then what concerns the set as a whole.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Decode,
        Self::Detect,
        Self::Track,
        Self::Align,
        Self::Encode,
        Self::Fuse,
        Self::Latency,
        Self::Wait,
        Self::Age,
        Self::Skew,
    ];

    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Detect => "detect",
            Self::Track => "track",
            Self::Align => "align",
            Self::Encode => "encode",
            Self::Fuse => "fuse",
            Self::Latency => "latency",
            Self::Wait => "wait",
            Self::Age => "age",
            Self::Skew => "skew",
        }
    }

    /// That of a set.
    #[must_use]
    pub fn of(self, scene: &Scene) -> Duration {
        match self {
            Self::Decode => scene.stages.decode.wall,
            Self::Detect => scene.stages.detect.wall,
            Self::Track => scene.stages.track.wall,
            Self::Align => scene.stages.align.wall,
            Self::Encode => scene.stages.encode.wall,
            Self::Fuse => scene.stages.fuse.wall,
            Self::Latency => scene.latency,
            Self::Wait => scene.waited,
            Self::Age => Duration::from_secs_f64(scene.age_ms.max(0.0) / 1e3),
            Self::Skew => scene.skew,
        }
    }
}

/// Percentiles, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Quantiles {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

/// The times of the last sets, in no order.
struct Recent(Vec<Duration>);

impl Recent {
    fn add(&mut self, set: u64, time: Duration) {
        if self.0.len() < RECENT {
            self.0.push(time);
        } else {
            self.0[set as usize % RECENT] = time;
        }
    }

    fn quantiles(&self) -> Quantiles {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let Some(last) = sorted.len().checked_sub(1) else { return Quantiles::default() };
        // The nearest rank, in microseconds: finer says nothing.
        let ms = |quantile: f64| sorted[(quantile * last as f64).round() as usize].as_micros() as f64 / 1e3;
        Quantiles { p50: ms(0.5), p95: ms(0.95), p99: ms(0.99), max: ms(1.0) }
    }
}

/// The times of a whole run, in microseconds to three digits.
pub struct Whole(Histogram<u32>);

impl Default for Whole {
    fn default() -> Self {
        Self::new()
    }
}

impl Whole {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        // One microsecond to a minute at three digits; a histogram with these bounds can always be made.
        Self(Histogram::new_with_bounds(1, 60_000_000, 3).unwrap_or_else(|_| unreachable!("the bounds are valid")))
    }

    /// Takes one in.
    pub fn add(&mut self, time: Duration) {
        self.0.saturating_record((time.as_micros() as u64).max(1));
    }

    /// Their percentiles.
    #[must_use]
    pub fn quantiles(&self) -> Quantiles {
        let ms = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        Quantiles { p50: ms(0.5), p95: ms(0.95), p99: ms(0.99), max: self.0.max() as f64 / 1e3 }
    }
}

/// Takes every result in.
pub struct Health {
    /// Sets analysed.
    pub sets: u64,
    /// Faces in them, views counted one by one.
    pub faces: u64,
    /// Sets that took more than half of the time there is for one.
    pub slow: u64,
    /// Half of the time there is for a set.
    slow_from: Duration,
    recent: [Recent; Measure::COUNT],
    sums: [Duration; Measure::COUNT],
    latency: Whole,
    skew: Whole,
    /// Where the encoder began, and where it is.
    places: [Place; 2],
    rig: Option<DriftWatch>,
}

/// A report of [`Health`] at one moment.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Sets analysed.
    pub sets: u64,
    /// Sets that took more than half of the time there is for one.
    pub slow: u64,
    /// Percentiles over the last sets, in the order of [`Measure::ALL`].
    pub recent: [Quantiles; Measure::COUNT],
    /// Sums over the whole run, in the same order.
    pub sums: [Duration; Measure::COUNT],
    /// How far the faces are off where the rig says they must be.
    pub drift: Option<Drift>,
    /// Where the encoder runs.
    pub place: Place,
    /// The GPU that it has left.
    pub lost_device: Option<&'static str>,
}

impl Health {
    /// Nothing yet; a set comes every `period`, and the encoder is at `place`.
    #[must_use]
    pub fn new(period: Duration, place: Place) -> Self {
        Self {
            sets: 0,
            faces: 0,
            slow: 0,
            slow_from: period / 2,
            recent: std::array::from_fn(|_| Recent(Vec::with_capacity(RECENT))),
            sums: [Duration::ZERO; Measure::COUNT],
            latency: Whole::new(),
            skew: Whole::new(),
            places: [place; 2],
            rig: None,
        }
    }

    /// Has the rig watched too: `cameras` are those of the run, in its order.
    pub fn watch_rig(&mut self, cameras: &[CalibratedCamera]) {
        self.rig = (cameras.len() > 1).then(|| DriftWatch::new(cameras));
    }

    /// Takes one set's result in.
    pub fn add(&mut self, scene: &Scene) {
        for (measure, (recent, sum)) in Measure::ALL.into_iter().zip(self.recent.iter_mut().zip(&mut self.sums)) {
            let time = measure.of(scene);
            recent.add(self.sets, time);
            *sum += time;
        }
        self.latency.add(scene.latency);
        self.skew.add(scene.skew);
        self.places[1] = scene.place;
        self.sets += 1;
        self.faces += scene.people.iter().map(|person| person.views.len() as u64).sum::<u64>();
        self.slow += u64::from(scene.latency > self.slow_from);
        if let Some(rig) = &mut self.rig {
            rig.step(scene);
        }
    }

    /// How far the faces of the last while are off where the rig says they must be.
    #[must_use]
    pub fn drift(&self) -> Option<Drift> {
        self.rig.as_ref().and_then(DriftWatch::drift)
    }

    /// The GPU that failed, so that the encoder runs elsewhere now.
    #[must_use]
    pub fn lost_device(&self) -> Option<&'static str> {
        let [began, now] = self.places;
        (began.device != now.device).then_some(began.device)
    }

    /// Percentiles of the latency over the whole run.
    #[must_use]
    pub fn latency(&self) -> Quantiles {
        self.latency.quantiles()
    }

    /// Percentiles of the skew over the whole run.
    #[must_use]
    pub fn skew(&self) -> Quantiles {
        self.skew.quantiles()
    }

    /// How it is now.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            sets: self.sets,
            slow: self.slow,
            recent: self.recent.each_ref().map(Recent::quantiles),
            sums: self.sums,
            drift: self.drift(),
            place: self.places[1],
            lost_device: self.lost_device(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_percentiles_forget_and_those_of_the_run_do_not() {
        let mut health = Health::new(Duration::from_millis(33), Place::default());
        let mut scene = Scene { latency: Duration::from_millis(40), ..Scene::default() };
        (0..RECENT).for_each(|_| health.add(&scene));
        scene.latency = Duration::from_millis(8);
        (0..RECENT).for_each(|_| health.add(&scene));
        let recent = health.report().recent[Measure::Latency as usize];
        assert_eq!(recent, Quantiles { p50: 8.0, p95: 8.0, p99: 8.0, max: 8.0 });
        let whole = health.latency();
        assert!((whole.p99 - 40.0).abs() < 0.1, "{whole:?}");
        assert_eq!((health.sets, health.slow), (2 * RECENT as u64, RECENT as u64));
    }

    #[test]
    fn a_gpu_that_is_left_is_told() {
        let [gpu, cpu] = ["webgpu", "cpu"].map(|device| Place { runtime: "ort", device });
        let mut health = Health::new(Duration::from_millis(33), gpu);
        assert_eq!((health.report().place, health.report().lost_device), (gpu, None));
        health.add(&Scene { place: gpu, ..Scene::default() });
        assert_eq!(health.report().lost_device, None);
        health.add(&Scene { place: cpu, ..Scene::default() });
        assert_eq!((health.report().place, health.report().lost_device), (cpu, Some("webgpu")));
        // On the very first set, too.
        let mut health = Health::new(Duration::from_millis(33), gpu);
        health.add(&Scene { place: cpu, ..Scene::default() });
        assert_eq!(health.report().lost_device, Some("webgpu"));
    }

    #[test]
    fn measures_stand_in_the_order_of_their_numbers() {
        for (n, measure) in Measure::ALL.into_iter().enumerate() {
            assert_eq!(measure as usize, n);
        }
    }
}
