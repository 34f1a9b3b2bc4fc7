//! The pipeline with cameras that misbehave: threads, drops, and the way it ends.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, also outside the test functions"
)]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use vultus::capture::{CaptureError, Event, Source, Stream};
use vultus::config::Config;
use vultus::config::RuntimeChoice;
use vultus::frame::{CameraId, Frame, FramePool, PixelFormat, StampKind};
use vultus::infer::Runtime;
use vultus::infer::manifest::Models;
use vultus::pipeline::counters::Counters;
use vultus::pipeline::stop::Stop;
use vultus::pipeline::vision::Vision;
use vultus::pipeline::{self, Pacing, PipelineError, Plan};
use vultus::record::{About, Recorder};
use vultus::scene::Scene;
use vultus::time::{Clock, Timestamp};

const PERIOD: Duration = Duration::from_millis(20);

/// What a camera does when it is asked for its next frame.
#[derive(Clone, Copy)]
enum Deed {
    Deliver,
    DeliverGarbage,
    Stall,
    Vanish,
    Panic,
}

/// A camera that does as it is told, and fails to come back the first time after it vanished.
struct Actor {
    stream: Stream,
    deeds: std::vec::IntoIter<Deed>,
    seq: u64,
    is_gone: bool,
    refusals: u32,
}

impl Actor {
    fn boxed(camera: u8, deeds: Vec<Deed>) -> Box<dyn Source> {
        let stream = Stream {
            camera: CameraId(camera),
            name: format!("actor{camera}").into(),
            description: String::new(),
            period: PERIOD,
            stamp: StampKind::Device,
            frame_bytes: 64 * 64,
        };
        Box::new(Self { stream, deeds: deeds.into_iter(), seq: 0, is_gone: false, refusals: 1 })
    }

    fn frame(&mut self, pool: &FramePool, format: PixelFormat) -> Event {
        let time = Timestamp::default() + PERIOD * self.seq as u32;
        let Some(bytes) = pool.copy(&[90; 64 * 64]) else { return Event::NoBuffer };
        self.seq += 1;
        Event::Frame(Frame {
            camera: self.stream.camera,
            seq: self.seq - 1,
            captured_at: time,
            received_at: time,
            stamp: StampKind::Device,
            format,
            width: 64,
            height: 64,
            bytes,
            file: None,
        })
    }
}

impl Source for Actor {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn next(&mut self, pool: &FramePool) -> Result<Event, CaptureError> {
        assert!(!self.is_gone, "nobody reads a camera that is gone");
        match self.deeds.next() {
            None => Ok(Event::End),
            Some(Deed::Deliver) => Ok(self.frame(pool, PixelFormat::Gray)),
            Some(Deed::DeliverGarbage) => Ok(self.frame(pool, PixelFormat::Mjpeg)),
            Some(Deed::Stall) => Ok(Event::Stalled),
            Some(Deed::Vanish) => {
                self.is_gone = true;
                Err(CaptureError::Lost { camera: self.stream.name.to_string(), reason: "unplugged".to_owned() })
            }
            Some(Deed::Panic) => panic!("the actor forgot its line"),
        }
    }

    fn reopen(&mut self) -> Result<(), CaptureError> {
        if self.refusals > 0 {
            self.refusals -= 1;
            return Err(CaptureError::Open { camera: self.stream.name.to_string(), reason: "not there".to_owned() });
        }
        self.is_gone = false;
        Ok(())
    }
}

fn run(
    sources: Vec<Box<dyn Source>>,
    pacing: Pacing,
    publish: impl FnMut(&Scene) -> io::Result<()> + Send,
) -> (Result<(), PipelineError>, Counters) {
    let config = Config::default();
    let models = Models::load(None).expect("the built-in models");
    let runtime = Runtime::start(RuntimeChoice::Tract).expect("tract is always there");
    let vision = Vision::new(&config, &models, &runtime, sources.len(), false).expect("the stages");
    let counters = Counters::new(sources.len());
    let stop = Stop::default();
    let plan = Plan {
        pacing,
        transport_allowance: Duration::from_millis(10),
        offsets_ns: sources.iter().map(|_| 0).collect(),
        starts_at: Timestamp::default(),
        ends_at: None,
        stop: &stop,
        counters: &counters,
        recorder: &Recorder::new(config.record, About::default()),
        as_recorded: None,
    };
    let outcome = pipeline::run(sources, vision, &plan, publish);
    (outcome, counters)
}

fn real_time() -> Pacing {
    Pacing::RealTime(Clock::replay(Timestamp::default(), 1.0))
}

#[test]
fn a_camera_that_vanishes_is_brought_back_and_never_stops_the_other() {
    let mut deeds = vec![Deed::Deliver; 10];
    deeds.extend([Deed::Stall, Deed::Vanish]);
    deeds.extend([Deed::Deliver; 60]);
    let mut both_after = 0;
    let mut alone = 0;
    let sources = vec![Actor::boxed(0, deeds), Actor::boxed(1, vec![Deed::Deliver; 100])];
    let (outcome, counters) = run(sources, real_time(), |scene| {
        match &scene.frames[..] {
            [Some(frame), Some(_)] if frame.seq >= 10 => both_after += 1,
            [None, Some(_)] => alone += 1,
            _ => {}
        }
        Ok(())
    });
    outcome.expect("one camera's trouble is not the run's");
    let camera = &counters.cameras[0];
    assert_eq!((camera.stalls.get(), camera.losses.get(), camera.reopen_attempts.get()), (1, 1, 2));
    assert_eq!(camera.received.get(), 70);
    assert_eq!(counters.cameras[1].received.get(), 100);
    // The first attempt comes after 0.25 s and fails, the second 0.5 s later: 37 periods without the camera. What it
    // then delivers bears old stamps and is late, until it has caught up.
    assert!(alone > 10, "{alone} sets without it");
    assert!(both_after > 0 || camera.late.get() > 0);
}

#[test]
fn frames_that_cannot_be_decoded_are_counted_and_left_out_of_the_set() {
    let deeds = vec![Deed::Deliver, Deed::DeliverGarbage, Deed::Deliver];
    let mut analysed = Vec::new();
    let sources = vec![Actor::boxed(0, deeds), Actor::boxed(1, vec![Deed::Deliver; 3])];
    let (outcome, counters) = run(sources, Pacing::AsFastAsPossible, |scene| {
        analysed.push(scene.frames.iter().map(|frame| frame.as_ref().map(|frame| frame.seq)).collect::<Vec<_>>());
        Ok(())
    });
    outcome.expect("a bad frame is no failure");
    assert_eq!(counters.cameras[0].corrupt.get(), 1);
    assert_eq!(analysed, [[Some(0), Some(0)], [None, Some(1)], [Some(2), Some(2)]]);
}

#[test]
fn a_slow_reader_of_results_loses_sets_before_decoding_and_they_are_counted() {
    let deeds = vec![Deed::Deliver; 100];
    let mut published = 0_u64;
    let (outcome, counters) = run(vec![Actor::boxed(0, deeds)], real_time(), |_| {
        published += 1;
        // As slow as three frames: the reader blocks, as a full pipe does.
        std::thread::park_timeout(PERIOD * 3);
        Ok(())
    });
    outcome.expect("slowness is no failure");
    assert!(counters.stale_sets.get() > 10, "{} sets were dropped", counters.stale_sets.get());
    assert_eq!(published + counters.stale_sets.get(), counters.sets.get(), "every set is accounted for");
    assert_eq!(counters.cameras[0].stale.get(), counters.stale_sets.get());
}

#[test]
fn as_fast_as_possible_drops_nothing_however_slow_the_reader() {
    let mut published = 0;
    let (outcome, counters) = run(vec![Actor::boxed(0, vec![Deed::Deliver; 40])], Pacing::AsFastAsPossible, |_| {
        published += 1;
        std::thread::park_timeout(Duration::from_millis(3));
        Ok(())
    });
    outcome.expect("slowness is no failure");
    assert_eq!((published, counters.sets.get(), counters.stale_sets.get()), (40, 40, 0));
}

#[test]
fn a_panic_in_a_thread_ends_the_run_and_names_the_thread() {
    let sources = vec![Actor::boxed(0, vec![Deed::Deliver, Deed::Panic]), Actor::boxed(1, vec![Deed::Deliver; 5000])];
    let (outcome, _) = run(sources, real_time(), |_| Ok(()));
    let message = outcome.expect_err("a panic is a failure").to_string();
    assert!(message.contains("capture actor0") && message.contains("forgot its line"), "{message}");
}

#[test]
fn a_panic_behind_the_pipeline_ends_it_too() {
    let (outcome, _) = run(vec![Actor::boxed(0, vec![Deed::Deliver; 5000])], real_time(), |scene| {
        assert!(scene.set < 2, "the reader gave up");
        Ok(())
    });
    let message = outcome.expect_err("a panic is a failure").to_string();
    assert!(message.contains("output") && message.contains("gave up"), "{message}");
}

#[test]
fn a_recording_at_its_own_pace_always_ends() {
    // The end of a camera and its last frame come at once: many short runs, so that every order happens.
    for _ in 0..30 {
        let mut sets = 0;
        let sources = vec![Actor::boxed(0, vec![Deed::Deliver; 2]), Actor::boxed(1, vec![Deed::Deliver; 2])];
        let (outcome, counters) = run(sources, real_time(), |_| {
            sets += 1;
            Ok(())
        });
        outcome.expect("runs");
        assert_eq!(sets + counters.stale_sets.get(), counters.sets.get());
    }
}

#[test]
fn results_that_cannot_be_written_end_the_run_with_the_reason() {
    let (outcome, _) = run(vec![Actor::boxed(0, vec![Deed::Deliver; 5000])], real_time(), |scene| {
        if scene.set < 3 { Ok(()) } else { Err(io::Error::other("the disk is full")) }
    });
    let error = anyhow::Error::from(outcome.expect_err("a failed write is a failure"));
    assert!(format!("{error:#}").contains("the disk is full"), "{error:#}");
}

#[test]
fn results_come_in_order_and_once() {
    let seen: Arc<std::sync::Mutex<Vec<u64>>> = Arc::default();
    let record = seen.clone();
    let (outcome, _) = run(vec![Actor::boxed(0, vec![Deed::Deliver; 50])], Pacing::AsFastAsPossible, move |scene| {
        record.lock().expect("one writer").push(scene.set);
        Ok(())
    });
    outcome.expect("runs");
    assert_eq!(*seen.lock().expect("one reader"), (0..50).collect::<Vec<u64>>());
}
