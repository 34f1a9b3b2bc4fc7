//! From the light of a screen to the result, with real cameras.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::flash::{Flashes, Glimpse, Seen};
use super::{BenchError, ended_by};
use crate::capture::Source;
use crate::config::Config;
use crate::frame::PerCamera;
use crate::image::Image;
use crate::image::decode::Decoder;
use crate::infer::Runtime;
use crate::infer::manifest::Models;
use crate::pipeline::counters::Counters;
use crate::pipeline::health::{Health, Quantiles};
use crate::pipeline::stop::Stop;
use crate::pipeline::vision::Vision;
use crate::pipeline::{self, Pacing, Plan};
use crate::record::{About, Recorder};
use crate::scene::Scene;
use crate::serve::screen::{Gaps, Screen};
use crate::time::Clock;

/// How long the screen stays as it is: long enough for a result of each change.
pub const GAPS: Gaps = Gaps { least: Duration::from_millis(600), most: Duration::from_millis(800) };
/// Pictures are decoded no wider than they must be to tell bright from dark.
const GLIMPSE_WIDTH: usize = 80;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct GlassToResult {
    /// Changes of the screen.
    pub changes: u64,
    /// Time between two pictures of the screen, as its browser tells. How long the screen then takes to light up is not
    /// known, and is in all other figures.
    pub screen_ms: f64,
    /// From the set's emission until its result was published.
    pub latency_ms: Quantiles,
    /// By camera.
    pub cameras: BTreeMap<Arc<str>, Seen>,
}

/// Runs the pipeline on `sources`, who look at `screen`, for so long.
///
/// # Errors
/// Those of the pipeline.
pub fn run(
    sources: Vec<Box<dyn Source>>,
    (config, models, runtime): (&Config, &Models, &Runtime),
    screen: &Screen,
    lasts: Duration,
    stop: &Stop,
    mut on_progress: impl FnMut(u64, Duration) + Send,
) -> Result<GlassToResult, BenchError> {
    let names: PerCamera<Arc<str>> = sources.iter().map(|source| source.stream().name.clone()).collect();
    let eyes: PerCamera<_> = sources.iter().map(|source| (source.stream().period, source.stream().stamp)).collect();
    let period = eyes.iter().map(|(period, _)| *period).max().unwrap_or_default();
    let vision = Vision::new(config, models, runtime, names.len(), false)?;
    let counters = Counters::new(names.len());
    let recorder = Recorder::new(config.record.clone(), About::default());
    let clock = Clock::live();
    let starts_at = clock.now();
    let ends = Stop::default();
    let plan = Plan {
        pacing: Pacing::RealTime(clock.clone()),
        transport_allowance: config.sync.transport_allowance(),
        offsets_ns: names.iter().map(|_| 0).collect(),
        starts_at,
        ends_at: Some(starts_at + lasts),
        stop: &ends,
        counters: &counters,
        recorder: &recorder,
        as_recorded: None,
    };
    let (mut flashes, mut health, mut screen_ms) =
        (Flashes::new(eyes), Health::new(period, vision.encoder().place()), 0.0);
    let (mut decoder, mut image) = (Decoder::new(GLIMPSE_WIDTH)?, Image::default());
    let mut is_first = true;
    let publish = |scene: &Scene| {
        let result_at = clock.now();
        if std::mem::take(&mut is_first) {
            // What changed before there was a result nobody could see.
            while screen.flash().is_some() {}
        }
        while let Some((flash, frame_ms)) = screen.flash() {
            flashes.flash(flash);
            screen_ms = f64::from(frame_ms);
        }
        health.add(scene);
        for frame in scene.frames.iter().flatten() {
            if decoder.step(frame, &mut image).is_ok() && !image.rgb.is_empty() {
                let sum: u64 = image.rgb.iter().map(|value| u64::from(*value)).sum();
                let brightness = sum as f32 / image.rgb.len() as f32;
                flashes.see(Glimpse { camera: frame.camera, captured_at: frame.captured_at, result_at, brightness });
            }
        }
        on_progress(flashes.count(), result_at.since(starts_at));
        Ok(())
    };
    ended_by(stop, &ends, || pipeline::run(sources, vision, &plan, publish))?;
    let cameras = names.iter().cloned().zip(flashes.seen()).collect();
    Ok(GlassToResult { changes: flashes.count(), screen_ms, latency_ms: health.latency(), cameras })
}
