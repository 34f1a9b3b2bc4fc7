//! Every stage alone, on real frames.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nalgebra::{Point3, Unit};
use ringbuf::HeapRb;
use ringbuf::traits::{Consumer, Producer, Split};
use serde::Serialize;

use super::input::Input;
use super::{BenchError, allocations};
use crate::config::Config;
use crate::encode::Encoder;
use crate::face::align::{self, CutFormat};
use crate::face::associate::{Associator, Candidate};
use crate::face::detect::Detector;
use crate::face::placed::Placed;
use crate::face::track::Tracker;
use crate::face::view::View;
use crate::frame::{CameraId, Frame, FramePool, PixelFormat};
use crate::fuse::temporal::Smoother;
use crate::fuse::{Fuser, ReadFace};
use crate::image::Image;
use crate::image::decode::Decoder;
use crate::infer::manifest::Models;
use crate::infer::{InferError, Place, Runtime};
use crate::pipeline::latest::Latest;
use crate::pipeline::vision::VisionError;
use crate::rig::geometry::Ray;
use crate::scene::{Expression, FaceView, Rect};
use crate::sync::{Matcher, Timing};
use crate::time::Timestamp;

/// Batches of faces that the encoder is measured with.
const BATCHES: [usize; 4] = [1, 2, 4, 8];
/// Frames of the film that trackers follow.
const FILM: usize = 60;
/// Cameras of what works on sets.
const CAMERAS: usize = 4;
/// People whom all of them see.
const PEOPLE: usize = 4;
/// Of the sets that are associated.
const SKEW: Duration = Duration::from_millis(8);

/// A piece of work that can be done again and again.
pub struct Workload {
    /// The stage.
    pub stage: &'static str,
    /// Which of its kinds.
    pub kind: String,
    work: Box<dyn FnMut() -> Result<(), BenchError> + Send>,
    /// Where it runs, if it is work for several threads.
    workers: Option<Arc<rayon::ThreadPool>>,
}

impl Workload {
    fn new(
        stage: &'static str,
        kind: impl Into<String>,
        work: impl FnMut() -> Result<(), BenchError> + Send + 'static,
    ) -> Self {
        Self { stage, kind: kind.into(), work: Box::new(work), workers: None }
    }

    /// Does it once.
    fn step(&mut self) -> Result<(), BenchError> {
        (self.work)()
    }

    /// Does it so many times; how long that took.
    ///
    /// # Errors
    /// What the stage says.
    pub fn repeat(&mut self, times: u64) -> Result<Duration, BenchError> {
        self.in_its_place(|work| {
            let began = Instant::now();
            (0..times).try_for_each(|_| work.step())?;
            Ok(began.elapsed())
        })
    }

    /// Does it for `lasts`, and at least ten times, after a tenth of that which does not count.
    ///
    /// # Errors
    /// What the stage says.
    pub fn measure(&mut self, lasts: Duration) -> Result<Cost, BenchError> {
        self.in_its_place(|work| work.measure_here(lasts))
    }

    fn in_its_place<T: Send>(&mut self, does: impl FnOnce(&mut Self) -> T + Send) -> T {
        match self.workers.clone() {
            Some(workers) => workers.install(|| does(self)),
            None => does(self),
        }
    }

    fn measure_here(&mut self, lasts: Duration) -> Result<Cost, BenchError> {
        let warm_up = Instant::now();
        while warm_up.elapsed() < lasts / 10 {
            self.step()?;
        }
        let mut times = Vec::with_capacity(1 << 20);
        let (began, allocated) = (Instant::now(), allocations());
        while times.len() < 10 || (began.elapsed() < lasts && times.len() < times.capacity()) {
            let at = Instant::now();
            self.step()?;
            times.push(at.elapsed());
        }
        let per_step = |count: u64| count as f64 / times.len() as f64;
        let allocated = allocations().zip(allocated).map(|(now, before)| per_step(now - before));
        times.sort_unstable();
        let us = |quantile: f64| times[(quantile * (times.len() - 1) as f64).round() as usize].as_nanos() as f64 / 1e3;
        Ok(Cost {
            stage: self.stage,
            kind: self.kind.clone(),
            steps: times.len(),
            p50_us: us(0.5),
            p95_us: us(0.95),
            p99_us: us(0.99),
            allocations: allocated,
        })
    }
}

/// Faces that look like `face`, of people in a row before cameras in a row.
fn crowd(face: &Candidate) -> Vec<Candidate> {
    let seen = |(camera, person): (usize, usize)| {
        let origin = Point3::new(-0.9 + 0.6 * camera as f64, 0.0, -1.5);
        let way = Point3::new(-0.9 + 0.6 * person as f64, 0.0, 0.1 * person as f64) - origin;
        let ray = Ray { origin, direction: Unit::new_normalize(way) };
        let placed = Some(Placed { ray, distance_m: way.norm() });
        Candidate { camera: CameraId(camera as u8), track: person as u32, placed, ..*face }
    };
    (0..CAMERAS).flat_map(|camera| (0..PEOPLE).map(move |person| (camera, person))).map(seen).collect()
}

/// What a stage takes when nothing else runs.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// The stage.
    pub stage: &'static str,
    /// Which of its kinds.
    pub kind: String,
    /// How often it was done.
    pub steps: usize,
    /// Microseconds; half take no longer.
    pub p50_us: f64,
    /// So many microseconds 95 of 100 do not exceed.
    pub p95_us: f64,
    /// So many microseconds 99 of 100 do not exceed.
    pub p99_us: f64,
    /// Allocations of this program's own code in a step.
    pub allocations: Option<f64>,
}

/// Every stage, in the order of the pipeline. `input` must show faces.
///
/// # Errors
/// When models cannot be loaded.
pub fn all(input: &Input, config: &Config, models: &Models, runtime: &Runtime) -> Result<Vec<Workload>, BenchError> {
    let film = input.film(FILM);
    let cut = Encoder::new(runtime.session(&models.encoder)?, &models.encoder)?.cut();
    let mut workloads = decoding(&film, config)?;
    workloads.extend(finding(&film, cut, config, models, runtime)?);
    workloads.extend(encoding(models, runtime, config)?);
    workloads.extend(judging(input, cut, config, models, runtime)?);
    workloads.extend(queues(&film));
    Ok(workloads)
}

fn decoding(film: &[Frame], config: &Config) -> Result<Vec<Workload>, BenchError> {
    let Some(first) = film.first().cloned() else { return Ok(Vec::new()) };
    let mut workloads = Vec::new();
    let (width, height) = (first.width as usize, first.height as usize);
    if first.format == PixelFormat::Mjpeg {
        for eighths in [8, 4, 2] {
            let mut decoder = Decoder::new((width * eighths).div_ceil(8))?;
            let (frame, mut image) = (first.clone(), Image::default());
            let kind = format!("MJPEG {width}x{height}, {eighths}/8");
            workloads.push(Workload::new("decode", kind, move || Ok(decoder.step(&frame, &mut image)?)));
        }
    }
    for format in [PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::Rgb, PixelFormat::Bgr, PixelFormat::Gray] {
        let (width, height) = (first.width & !1, first.height & !1);
        let Some(bytes) = format.frame_bytes(width, height) else { continue };
        let frame = Frame::of_bytes(format, width, height, (0..bytes).map(|n| n as u8).collect());
        let (mut decoder, mut image) = (Decoder::new(config.detection.decode_width)?, Image::default());
        workloads.push(Workload::new("decode", format!("{format} {width}x{height}"), move || {
            Ok(decoder.step(&frame, &mut image)?)
        }));
    }
    Ok(workloads)
}

fn finding(
    film: &[Frame],
    cut: CutFormat,
    config: &Config,
    models: &Models,
    runtime: &Runtime,
) -> Result<Vec<Workload>, BenchError> {
    let settings = config.detection;
    let detector = || -> Result<Detector, InferError> {
        Ok(Detector::new(runtime.session(&models.detector)?, settings.threshold))
    };
    let mut decoder = Decoder::new(settings.decode_width)?;
    let mut images = Vec::new();
    for frame in film {
        let mut image = Image::default();
        decoder.step(frame, &mut image)?;
        images.push(image);
    }
    let Some(picture) = images.first().cloned() else { return Ok(Vec::new()) };
    let (w, h) = picture.full_size();
    let whole = Rect { x: -0.5, y: -0.5, w, h };

    let mut searching = detector()?;
    let searched = picture.clone();
    let detect = move || searching.step(&searched, whole, settings.search_side).map(|_| ()).map_err(BenchError::from);
    let mut tracker = Tracker::new(detector()?, settings, 0);
    tracker.search(&picture, Timestamp::default())?;
    let face = tracker.tracks().first().map(|track| track.face);
    let (mut n, count, period) = (0, images.len(), Duration::from_millis(33));
    let follow = move || {
        // There and back, so that the face does not jump.
        let at = if n / count % 2 == 0 { n % count } else { count - 1 - n % count };
        n += 1;
        let taken = Timestamp::default() + period * n as u32;
        if tracker.follow(&images[at], taken)? && tracker.tracks().is_empty() {
            tracker.search(&images[at], taken)?;
        }
        Ok(())
    };
    let mut workloads = vec![
        Workload::new("detect", format!("whole picture at {} pixels", settings.search_side), detect),
        Workload::new("track", format!("a face, in a region of {} pixels", settings.region_side), follow),
    ];
    if let Some(face) = face {
        let view = face_view(0, face.rect, face.landmarks);
        let mut pixels = vec![0.0; cut.values()];
        let align = move || {
            align::cut(&picture, &view, cut, 0, &mut pixels);
            Ok(())
        };
        workloads.push(Workload::new("align", format!("a face, {0}x{0}", cut.size), align));
    }
    Ok(workloads)
}

fn encoding(models: &Models, runtime: &Runtime, config: &Config) -> Result<Vec<Workload>, BenchError> {
    let mut workloads = Vec::new();
    let mut counts = vec![1, config.inference.threads()];
    counts.dedup();
    for threads in counts {
        let workers = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(VisionError::from)?;
        let workers = Arc::new(workers);
        // Chosen once for all sizes: where there is a GPU, each choice times all ways to it.
        let chosen = runtime.encoder(&models.encoder, &config.inference)?;
        let mut encoder = Encoder::new(chosen, &models.encoder)?;
        encoder.share(runtime, &models.encoder, threads)?;
        let (cut, Place { runtime: by, device }) = (encoder.cut(), encoder.place());
        let encoder = Arc::new(Mutex::new(encoder));
        for faces in BATCHES {
            let values = faces * cut.values();
            let pixels: Vec<f32> = (0..values).map(|n| (n % 251) as f32 / 125.0 - 1.0).collect();
            let encoder = encoder.clone();
            let threads = if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") };
            let faces = if faces == 1 { "1 face".to_owned() } else { format!("{faces} faces") };
            let kind = format!("{faces}, {threads}, {by} on {device}");
            let mut workload = Workload::new("encode", kind, move || {
                let mut encoder = encoder.lock().unwrap_or_else(PoisonError::into_inner);
                encoder.push(&pixels);
                encoder.step()?;
                Ok(())
            });
            workload.workers = Some(workers.clone());
            workloads.push(workload);
        }
    }
    Ok(workloads)
}

fn face_view(camera: u8, rect: Rect, landmarks: crate::scene::Landmarks) -> FaceView {
    FaceView {
        camera: CameraId(camera),
        seq: 0,
        captured_at: Timestamp::default(),
        track: 1,
        rect,
        landmarks,
        score: 0.9,
        pose: crate::face::pose::head_pose(&landmarks),
        quality: 0.5,
    }
}

fn judging(
    input: &Input,
    cut: CutFormat,
    config: &Config,
    models: &Models,
    runtime: &Runtime,
) -> Result<Vec<Workload>, BenchError> {
    let (mut faces, mut candidates): (Vec<FaceView>, Vec<Candidate>) = (Vec::new(), Vec::new());
    for (n, frame) in input.pictures().iter().enumerate() {
        let mut view = View::new(runtime, &models.detector, config.detection, cut, 0)?;
        let frame = Frame { camera: CameraId(n as u8), ..frame.clone() };
        view.step(Some(&frame))?;
        faces.extend(&view.seen().faces);
        candidates.extend(view.seen().candidates(|_| None));
    }
    let logits = std::array::from_fn(|class| class as f32 / Expression::COUNT as f32);
    let read: Vec<ReadFace> = faces.iter().map(|face| ReadFace { face: *face, logits, person: 1 }).collect();
    let (views, smoothing) = (read.len(), config.smoothing);
    let (mut associator, mut fuser) = (Associator::default(), Fuser::new(config.fusion, smoothing));
    let crowd = candidates.first().map(crowd).unwrap_or_default();
    let (mut by_place, mut since) = (Associator::default(), Timestamp::default());
    let mut people = Vec::new();
    let (mut at, mut then) = (Timestamp::default(), Timestamp::default());
    let period = Duration::from_millis(33);
    let probabilities = [1.0 / Expression::COUNT as f32; Expression::COUNT];
    let mut smoother = Smoother::new(&probabilities, Timestamp::default());
    let mut now = Timestamp::default();
    Ok(vec![
        Workload::new("associate", format!("{views} views, by looks"), move || {
            at = at + period;
            associator.step(at, SKEW, &candidates);
            Ok(())
        }),
        Workload::new("associate", format!("{CAMERAS} views of {PEOPLE} people, by place"), move || {
            since = since + period;
            by_place.step(since, SKEW, &crowd);
            Ok(())
        }),
        Workload::new("fuse", format!("{views} views"), move || {
            then = then + period;
            fuser.step(then, &read, &mut people);
            Ok(())
        }),
        Workload::new("smooth", "a person", move || {
            now = now + period;
            smoother.step(&probabilities, now, &smoothing);
            Ok(())
        }),
    ])
}

fn queues(film: &[Frame]) -> Vec<Workload> {
    let Some(first) = film.first() else { return Vec::new() };
    let bytes = first.bytes.to_vec();
    let pool = FramePool::new(64, bytes.len());
    let taken_from = pool.clone();
    let copied = bytes.clone();
    let period = Duration::from_millis(33);
    let timing = Timing { period, offset_ns: 0 };
    let mut matcher = Matcher::new(&[timing; CAMERAS], Duration::from_millis(10), Timestamp::default());
    let mut seq = 0_u64;
    let frame = Frame::of_bytes(PixelFormat::Mjpeg, first.width, first.height, Vec::new());
    let (mut into, mut out_of) = HeapRb::<Frame>::new(8).split();
    let ringed = frame.clone();
    let latest = Latest::default();
    vec![
        Workload::new("pool", format!("copy a frame of {} KB", bytes.len() / 1000), move || {
            drop(taken_from.copy(&copied));
            Ok(())
        }),
        Workload::new("ring", "a frame in and out", move || {
            let _ = into.try_push(ringed.clone());
            drop(out_of.try_pop());
            Ok(())
        }),
        Workload::new("match", format!("a set of {CAMERAS}"), move || {
            let at = Timestamp::default() + period * seq as u32;
            for n in 0..CAMERAS {
                let bytes = frame.bytes.clone();
                let frame =
                    Frame { camera: CameraId(n as u8), seq, captured_at: at, received_at: at, bytes, ..frame.clone() };
                matcher.push(frame);
            }
            seq += 1;
            while let Some(set) = matcher.poll(at + period) {
                drop(set);
            }
            Ok(())
        }),
        Workload::new("newest set", "put in and taken out", move || {
            latest.put(seq);
            std::hint::black_box(latest.take());
            Ok(())
        }),
    ]
}
