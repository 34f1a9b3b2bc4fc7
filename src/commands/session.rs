//! One run of the pipeline as `live` and `replay` start it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use vultus::capture::{Source, Stream};
use vultus::config::Config;
use vultus::frame::PerCamera;
use vultus::infer::Runtime;
use vultus::infer::manifest::Models;
use vultus::pipeline::counters::{CameraCounters, Counters};
use vultus::pipeline::health::Health;
use vultus::pipeline::vision::Vision;
use vultus::pipeline::{self, Pacing, Plan};
use vultus::record::{self, Recorder, Take};
use vultus::results::{self, Header, Identity};
use vultus::rig::Rig;
use vultus::rig::drift::Drift;
use vultus::rig::verdict::Verdict;
use vultus::serve::{About, Listener};
use vultus::time::{Clock, Timestamp};

use super::options::Options;
use super::page;
use super::results::Results;
use super::signal::stop_on_signal;
use super::status::{Show, Status};

/// Sets after which the rig is looked at again.
const RIG_CHECKED_EVERY: u64 = 100;

/// How time passes in a session.
#[derive(Clone, Copy, Debug)]
pub(super) enum Time {
    /// As it does.
    Live,
    /// As it did, from this moment on, or so many times faster.
    Replayed(Timestamp, f64),
    /// Not at all: as fast as possible, from this moment of the recording on.
    Ignored(Timestamp),
}

/// What is to be run.
pub(super) struct Session {
    pub sources: Vec<Box<dyn Source>>,
    pub time: Time,
    pub ends_after: Option<Duration>,
    pub stills: bool,
    /// The take that is replayed, if it is one that vultus recorded.
    pub take: Option<Arc<Take>>,
    /// Whether its sets and drops are followed.
    pub as_recorded: bool,
    pub show: Show,
    /// Where the live page is served, if it is.
    pub listen: Option<SocketAddr>,
}

impl Session {
    /// Runs until the sources end, the time is up, or Ctrl-C.
    pub(super) fn run(self, options: &Options, config: &Config) -> anyhow::Result<ExitCode> {
        let names: Vec<Arc<str>> = self.sources.iter().map(|source| source.stream().name.clone()).collect();
        for source in &self.sources {
            tracing::info!("camera `{}`: {}", source.stream().name, source.stream().description);
        }
        // Taken before the models are loaded: if it cannot be had, that is said at once.
        let listener = self.listen.map(Listener::bind).transpose()?;
        // A take brings the rig along that it was recorded with.
        let recorded_rig = || self.take.as_ref().and_then(|take| take.rig.clone());
        let rig = options.rig.as_deref().map(Rig::load).transpose()?.or_else(recorded_rig);
        let offset_ns = |name: &Arc<str>| match &rig {
            Some(rig) => rig.camera(name).map(|camera| (camera.time_offset_ms * 1e6) as i64),
            None => Ok(0),
        };
        let offsets_ns = names.iter().map(offset_ns).collect::<Result<PerCamera<i64>, _>>()?;

        let models = Models::chosen(&config.models)?;
        let runtime = Runtime::start(config.inference.runtime)?;
        let mut vision = Vision::new(config, &models, &runtime, names.len(), self.stills)?;
        let placed = rig.as_ref().map(|rig| rig.placed(&names)).transpose()?.flatten();
        let identity = match (&placed, &rig) {
            _ if names.len() < 2 => None,
            (Some(cameras), _) => {
                vision.place_by(cameras.clone());
                Some(Identity::Geometry)
            }
            (None, Some(rig)) => {
                tracing::warn!(
                    "{} tells nothing of where the cameras are (`vultus calibrate extrinsics` finds it): who is who \
                     across views is told by looks alone",
                    rig.path.display()
                );
                Some(Identity::Appearance)
            }
            (None, None) => {
                tracing::info!(
                    "without a calibrated rig (`--rig`; `vultus calibrate`) who is who across views is told by looks alone"
                );
                Some(Identity::Appearance)
            }
        };
        let (place, reason) = (vision.encoder().place(), vision.encoder().reason().to_owned());
        tracing::info!(
            "models run on {}; the encoder on {} ({}): {reason}",
            runtime.description(),
            place.device,
            place.runtime
        );

        let streams: Vec<Stream> = self.sources.iter().map(|source| source.stream().clone()).collect();
        let header = Header {
            vultus: env!("CARGO_PKG_VERSION"),
            runtime: place.runtime,
            device: place.device,
            device_reason: reason,
            models: [&models.detector, &models.encoder].map(|model| (model.name.clone(), model.sha256.clone())).into(),
            cameras: names.clone(),
            rig: rig.as_ref().map(|rig| rig.path.clone()),
            identity,
            clock: results::Clock::of(streams.iter().map(|stream| stream.stamp)),
        };
        let cameras = streams.iter().zip(&offsets_ns).map(|(stream, offset_ns)| record::Camera {
            name: stream.name.clone(),
            description: stream.description.clone(),
            stamp: stream.stamp,
            offset_ns: *offset_ns,
            period: stream.period,
        });
        let is_live = matches!(self.time, Time::Live);
        let about = record::About {
            cameras: cameras.collect(),
            run: serde_json::to_value(&header)?,
            settings: config.analysis(),
            rig: rig.clone(),
            input: match (is_live, self.stills) {
                (true, _) => record::Input::Live,
                (false, false) => record::Input::Replay,
                (false, true) => record::Input::Stills,
            },
        };
        let follows = self.take.as_ref().filter(|_| self.as_recorded);
        for difference in follows.iter().flat_map(|take| about.differences(&take.metadata)) {
            tracing::warn!("the results may differ from the recorded ones: {difference}");
        }
        let recorder = Recorder::new(config.record.clone(), about);
        // Before the file of results is begun anew: it stays as it is if nothing runs.
        if let Some(file) = &options.record {
            recorder.start_file(file)?;
        }
        let header_line = serde_json::to_string(&header)?;
        let results = refuse_take(options.results.as_deref())
            .and_then(|()| Results::open(options.results.as_deref(), &header_line));
        let mut results = results.inspect_err(|_| {
            let _ = options.record.as_ref().map(std::fs::remove_file);
        })?;

        let stop = stop_on_signal()?;
        let counters = Arc::new(Counters::new(names.len()));
        let period = streams.iter().map(|stream| stream.period).max().unwrap_or_default();
        let mut health = Health::new(period, place);
        health.watch_rig(placed.as_deref().unwrap_or_default());
        let mut has_warned = false;
        let mut status = Status::new(self.show, names.clone(), recorder.clone());
        let mut page = match listener {
            Some(listener) => {
                let about = About::new(header, streams, period, is_live, rig.as_ref().filter(|_| placed.is_some()))?;
                Some(page::open(listener, about, counters.clone(), recorder.clone(), config.serve.open)?)
            }
            None => None,
        };
        let (pacing, starts_at) = match self.time {
            Time::Live => {
                let clock = Clock::live();
                let now = clock.now();
                (Pacing::RealTime(clock), now)
            }
            Time::Replayed(from, speed) => (Pacing::RealTime(Clock::replay(from, speed)), from),
            Time::Ignored(from) => (Pacing::AsFastAsPossible, from),
        };
        let plan = Plan {
            pacing,
            transport_allowance: config.sync.transport_allowance(),
            offsets_ns,
            starts_at,
            ends_at: self.ends_after.map(|duration| starts_at + duration),
            stop: &stop,
            counters: &counters,
            recorder: &recorder,
            as_recorded: follows.map(|take| &*take.sets),
        };
        let mut lines = Vec::new();
        let outcome = pipeline::run(self.sources, vision, &plan, |scene| {
            lines.clear();
            scene.write_records(&names, &mut lines)?;
            results.write(&lines)?;
            recorder.scene(scene, &lines);
            health.add(scene);
            if !has_warned
                && health.sets.is_multiple_of(RIG_CHECKED_EVERY)
                && let Some(drift) = health.drift().filter(|drift| drift.verdict == Verdict::CalibrateAgain)
            {
                has_warned = true;
                tracing::warn!("{}", drifted(&drift, &names));
            }
            if let Some((_, publisher)) = &mut page {
                publisher.publish(scene, &lines, &health);
            }
            status.update(scene, &health, &counters);
            Ok(())
        });
        status.finish(&health, &counters);
        if let Some((server, publisher)) = page {
            drop(publisher);
            server.finish();
        }
        outcome?;
        if options.record.is_some()
            && let Some(error) = recorder.first_failure()
        {
            anyhow::bail!("the recording ended before the run did: {error}");
        }
        let count = |of: fn(&CameraCounters) -> u64| counters.cameras.iter().map(of).sum::<u64>();
        let (received, corrupt) = (count(|camera| camera.received.get()), count(|camera| camera.corrupt.get()));
        // Who breaks a run off may do so before its first picture.
        if !is_live && !stop.is_requested() && received == corrupt {
            anyhow::bail!("nothing could be read: {received} pictures, all of them missing or damaged");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// That the rig is no longer where it was.
fn drifted(drift: &Drift, names: &[Arc<str>]) -> String {
    let [a, b] = drift.cameras.map(|camera| &names[camera.index()]);
    format!(
        "cameras `{a}` and `{b}` are not where the rig says: faces are {:.1} pixels from their epipolar lines. Was one \
         moved? `vultus calibrate extrinsics` finds their places again",
        drift.epipolar_px
    )
}

/// Results are not written over a take, nor into the one that is being recorded.
fn refuse_take(results: Option<&Path>) -> anyhow::Result<()> {
    match results.filter(|path| path.is_file() && Take::is_at(path)) {
        Some(path) => {
            anyhow::bail!("{} is a take, and results are not written over it: name another file", path.display())
        }
        None => Ok(()),
    }
}
