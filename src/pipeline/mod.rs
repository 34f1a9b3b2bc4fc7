//! Threads and queues: the only part of the program that knows them.
//!
//! ```text
//! camera N ── capture thread ── SPSC ring ──► sync thread ──► Latest<Work> ──► vision thread ── SPSC ring ──► output
//!                            └─ SPSC ring ──► recorder's thread
//! ```
//!
//! No mutex and no unbounded queue; a thread that waits parks and is unparked by whom it waits for. Frames are
//! dropped in one place only, [`Latest`], where a newer set displaces one that waits.

mod capture;
pub mod counters;
mod feed;
mod heads;
pub mod health;
pub mod latest;
pub mod priority;
mod recording;
mod retrace;
pub mod stop;
mod throttle;
pub mod vision;
mod work;

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use crossbeam_utils::sync::{Parker, Unparker};

use crate::capture::Source;
use crate::frame::{FramePool, FrameSet, PerCamera};
use crate::infer::InferError;
use crate::record::{Recorder, SetNote};
use crate::scene::Scene;
use crate::sync::{MAX_PENDING, Matcher, Timing};
use crate::time::{Clock, Timestamp};
use counters::Counters;
use heads::Heads;
use latest::Latest;
use priority::Rank;
use recording::Recording;
use stop::Stop;
use throttle::Throttle;
use vision::Vision;

/// Frames that a camera's ring holds: what arrives while the sync thread is held up for a quarter of a second.
const RING_FRAMES: usize = 8;
/// Scenes on their way to the output.
const SCENES: usize = 8;
/// Sets that are waited with, worked on, handed out, and held by the live page: the newest and two that are being sent.
const SETS: usize = 6;
/// A camera's frames that may be out of its ring.
const FRAMES_ELSEWHERE: usize = MAX_PENDING + SCENES + SETS;

/// How a run ends badly.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum PipelineError {
    #[error("thread `{thread}` panicked: {message}. This is a fault of vultus: please report it")]
    Panicked { thread: String, message: String },
    #[error("thread `{thread}` cannot be started")]
    Spawn { thread: String, source: io::Error },
    #[error(transparent)]
    Infer(#[from] InferError),
    #[error("the results cannot be written")]
    Output(#[source] io::Error),
}

/// How frames are paced.
#[derive(Clone, Debug)]
pub enum Pacing {
    /// As they come, or as they came: late work is dropped.
    RealTime(Clock),
    /// As fast as they can be worked on; nothing is dropped.
    AsFastAsPossible,
}

/// What a run needs to know.
pub struct Plan<'a> {
    /// How frames are paced.
    pub pacing: Pacing,
    /// How long a set waits for late frames, beyond half a period.
    pub transport_allowance: Duration,
    /// Each camera's stamp offset in nanoseconds.
    pub offsets_ns: PerCamera<i64>,
    /// When the timeline begins.
    pub starts_at: Timestamp,
    /// When to end, if not with the sources.
    pub ends_at: Option<Timestamp>,
    /// Asks for the end from outside.
    pub stop: &'a Stop,
    /// Where drops are counted.
    pub counters: &'a Counters,
    /// Starts and stops recordings.
    pub recorder: &'a Recorder,
    /// The sets of an earlier run, to be followed: which frames formed them, and which of them were dropped.
    pub as_recorded: Option<&'a [SetNote]>,
}

/// A set to be worked on.
struct Work {
    set: FrameSet,
    emitted_at: Timestamp,
}

/// What the threads share.
struct Shared<'a> {
    plan: &'a Plan<'a>,
    names: PerCamera<Arc<str>>,
    /// Stamps for latency.
    clock: Clock,
    work: Latest<Work>,
    no_more_work: AtomicBool,
    scenes: ArrayQueue<Box<Scene>>,
    free_scenes: ArrayQueue<Box<Scene>>,
    no_more_scenes: AtomicBool,
    wake_feed: Unparker,
    wake_vision: Unparker,
    wake_output: Unparker,
}

/// Runs the pipeline until the sources end or the end is asked for; every result passes through `publish`, on a
/// thread of its own and in order. There may be at most [`crate::frame::MAX_CAMERAS`] sources.
///
/// # Errors
/// Every [`PipelineError`]. All threads have ended when this returns (a device that hangs keeps its own one).
pub fn run(
    sources: Vec<Box<dyn Source>>,
    vision: Vision,
    plan: &Plan<'_>,
    publish: impl FnMut(&Scene) -> io::Result<()> + Send,
) -> Result<(), PipelineError> {
    let [feed_parker, vision_parker, output_parker] = [Parker::new(), Parker::new(), Parker::new()];
    for parker in [&feed_parker, &vision_parker, &output_parker] {
        plan.stop.wakes(parker.unparker());
    }
    let shared = Shared {
        plan,
        names: sources.iter().map(|source| source.stream().name.clone()).collect(),
        clock: match &plan.pacing {
            Pacing::RealTime(clock) => clock.clone(),
            Pacing::AsFastAsPossible => Clock::live(),
        },
        work: Latest::default(),
        no_more_work: AtomicBool::new(false),
        scenes: ArrayQueue::new(SCENES),
        free_scenes: ArrayQueue::new(SCENES),
        no_more_scenes: AtomicBool::new(false),
        wake_feed: feed_parker.unparker().clone(),
        wake_vision: vision_parker.unparker().clone(),
        wake_output: output_parker.unparker().clone(),
    };
    while shared.free_scenes.push(Box::default()).is_ok() {}

    let timings: PerCamera<Timing> = sources
        .iter()
        .zip(&plan.offsets_ns)
        .map(|(source, offset_ns)| Timing { period: source.stream().period, offset_ns: *offset_ns })
        .collect();
    let matcher = Matcher::new(&timings, plan.transport_allowance, plan.starts_at);
    let pools: PerCamera<FramePool> = sources
        .iter()
        .map(|source| {
            let stream = source.stream();
            let frames = RING_FRAMES + FRAMES_ELSEWHERE + recording::frames_held(stream.period);
            FramePool::new(frames, stream.frame_bytes)
        })
        .collect();

    let shared = &shared;
    let (recording, taps) = Recording::new(&sources, shared);
    std::thread::scope(|scope| {
        // The recorder's thread is the last to end: it writes what the others have left.
        let recorder = spawn(scope, shared, "record", Rank::Usual, move || {
            recording.run();
            Ok(())
        })?;
        let end_of_run = plan.recorder.end_of_run();
        let mut threads = Vec::new();
        let workers = vision.workers();
        threads.push(spawn(scope, shared, "vision", Rank::Usual, move || {
            workers.install(move || see(vision, shared, &vision_parker))
        })?);
        threads.push(spawn(scope, shared, "output", Rank::Usual, move || hand_out(publish, shared, &output_parker))?);
        match (&plan.pacing, plan.as_recorded) {
            (_, Some(sets)) => threads.push(spawn(scope, shared, "sync", Rank::First, move || {
                retrace::retrace(Heads::new(sources, pools, taps, shared), sets, shared, &feed_parker);
                Ok(())
            })?),
            (Pacing::AsFastAsPossible, None) => threads.push(spawn(scope, shared, "sync", Rank::First, move || {
                feed::in_turn(Heads::new(sources, pools, taps, shared), matcher, shared, &feed_parker);
                Ok(())
            })?),
            (Pacing::RealTime(_), None) => {
                let mut lanes = PerCamera::new();
                for ((source, pool), tap) in sources.into_iter().zip(pools).zip(taps) {
                    let (camera, lane) = capture::Camera::new(source, pool, tap, shared);
                    let name = camera.name();
                    threads.push(spawn(scope, shared, &name, Rank::First, move || {
                        camera.run();
                        Ok(())
                    })?);
                    lanes.push(lane);
                }
                threads.push(spawn(scope, shared, "sync", Rank::First, move || {
                    feed::as_they_come(lanes, matcher, shared, &feed_parker);
                    Ok(())
                })?);
            }
        }
        let outcome = join_all(threads);
        drop(end_of_run);
        outcome.and(join_all(vec![recorder]))
    })
}

type Outcome = Result<(), PipelineError>;
type Running<'scope> = (String, ScopedJoinHandle<'scope, Outcome>);

/// Starts a thread that takes all others with it when it fails.
fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    shared: &'scope Shared<'_>,
    name: &str,
    rank: Rank,
    body: impl FnOnce() -> Outcome + Send + 'scope,
) -> Result<Running<'scope>, PipelineError> {
    let stop = shared.plan.stop;
    let guarded = move || {
        let _guard = stop.on_panic();
        rank.take();
        body().inspect_err(|_| stop.request())
    };
    let started = Builder::new().name(name.to_owned()).spawn_scoped(scope, guarded);
    let handle = started.map_err(|source| {
        stop.request();
        PipelineError::Spawn { thread: name.to_owned(), source }
    })?;
    Ok((name.to_owned(), handle))
}

/// Waits for all threads; the first failure is the result.
fn join_all(threads: Vec<Running<'_>>) -> Outcome {
    let mut result = Ok(());
    for (thread, handle) in threads {
        let outcome =
            handle.join().unwrap_or_else(|panic| Err(PipelineError::Panicked { thread, message: message_of(&*panic) }));
        result = result.and(outcome);
    }
    result
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// The vision thread: works on the newest set until no more come.
fn see(mut vision: Vision, shared: &Shared<'_>, parker: &Parker) -> Outcome {
    let _last = LastScene(shared);
    let mut complaints = Throttle::default();
    loop {
        // Read before the slot is: what was put in before the end was announced is then surely seen.
        let is_over = shared.no_more_work.load(Ordering::Acquire) || shared.plan.stop.is_requested();
        let work = match shared.work.take() {
            Some(work) => work,
            None if is_over => return Ok(()),
            None => {
                parker.park();
                continue;
            }
        };
        shared.wake_feed.unpark();
        let Some(mut scene) = free_scene(shared, parker) else { return Ok(()) };
        vision.cuts_faces = shared.plan.recorder.wants_faces();
        vision.step(&work.set, &mut scene)?;
        shared.plan.counters.analysed_sets.add(1);
        shared.plan.recorder.set(&work.set, true);
        for (frame, error) in vision.unreadable(&work.set) {
            shared.plan.counters.of(frame.camera).corrupt.add(1);
            if complaints.may_speak() {
                let what = frame.file.as_deref().map_or_else(|| format!("frame {}", frame.seq), str::to_owned);
                tracing::warn!("camera `{}`, {what}: {error}", shared.names[frame.camera.index()]);
            }
        }
        scene.latency = shared.clock.since(work.emitted_at);
        scene.age_ms = age_ms(&work.set, scene.latency);
        let _ = shared.scenes.push(scene);
        shared.wake_output.unpark();
    }
}

/// Tells the output thread, when it is dropped, that no more scenes come: also when the vision thread panics.
struct LastScene<'a>(&'a Shared<'a>);

impl Drop for LastScene<'_> {
    fn drop(&mut self) {
        self.0.no_more_scenes.store(true, Ordering::Release);
        self.0.wake_output.unpark();
    }
}

/// From the exposure of the reference frame until publication: on its way to us, waited for others, worked on.
fn age_ms(set: &FrameSet, latency: Duration) -> f64 {
    let on_its_way = set.reference_frame().map_or(0.0, |frame| frame.received_at.ms_since(frame.captured_at));
    on_its_way + (set.waited + latency).as_secs_f64() * 1e3
}

/// A scene to fill; waits while the output has them all. `None` when the run ends.
fn free_scene(shared: &Shared<'_>, parker: &Parker) -> Option<Box<Scene>> {
    loop {
        if let Some(scene) = shared.free_scenes.pop() {
            return Some(scene);
        }
        if shared.plan.stop.is_requested() {
            return None;
        }
        parker.park();
    }
}

/// The output thread: hands every scene to `publish`.
fn hand_out(mut publish: impl FnMut(&Scene) -> io::Result<()>, shared: &Shared<'_>, parker: &Parker) -> Outcome {
    loop {
        // Read before the queue is: what was pushed before the end was announced is then surely seen.
        let is_over = shared.no_more_scenes.load(Ordering::Acquire);
        match shared.scenes.pop() {
            Some(mut scene) => {
                publish(&scene).map_err(PipelineError::Output)?;
                // Its pictures go back to the cameras' pools.
                scene.frames.clear();
                let _ = shared.free_scenes.push(scene);
                shared.wake_vision.unpark();
            }
            None if is_over => return Ok(()),
            None => parker.park(),
        }
    }
}
