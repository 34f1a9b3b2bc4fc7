//! All that happens to one set: decode, find, follow, cut (every view at once), encode in one batch, associate, fuse.

use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::config::Config;
use crate::encode::{CutFormat, Encoder};
use crate::face::align;
use crate::face::appearance::Appearance;
use crate::face::associate::{Associator, Candidate};
use crate::face::detect::Detector;
use crate::face::pose::head_pose;
use crate::face::quality::{Evidence, quality};
use crate::face::track::Tracker;
use crate::frame::{Frame, FrameSet, PixelFormat};
use crate::fuse::{Fuser, ReadFace};
use crate::image::Image;
use crate::image::decode::{DecodeError, Decoder};
use crate::image::warp::Layout;
use crate::infer::manifest::{Channels, ManifestError, Models};
use crate::infer::{InferError, Placement, Runtime};
use crate::scene::{CUT_SIDE, FaceCuts, FaceView, Scene, StageTimes};

/// Why the stages cannot be set up, or went wrong.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages are the sources'")]
pub enum VisionError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Infer(#[from] InferError),
    #[error("a model cannot be used: {0}. Is the manifest right?")]
    Unfit(#[source] InferError),
    #[error("libjpeg-turbo cannot be set up")]
    Decoder(#[from] DecodeError),
    #[error("the worker threads cannot be started")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// The chain of one view.
struct View {
    decoder: Decoder,
    tracker: Tracker,
    cut: CutFormat,
    image: Image,
    seen: Seen,
    /// The planes of a face that is cut out as a picture.
    planes: Vec<f32>,
}

/// What one view saw in the present set.
#[derive(Default)]
struct Seen {
    /// Why the view's frame could not be decoded.
    unreadable: Option<DecodeError>,
    faces: Vec<FaceView>,
    looks: Vec<Appearance>,
    /// The aligned faces, one after another.
    cuts: Vec<f32>,
    took: ViewTimes,
}

/// How long the stages of one view took.
#[derive(Clone, Copy, Default)]
struct ViewTimes {
    decode: Duration,
    find: Duration,
    cut: Duration,
}

impl View {
    /// Looks at `frame`; what it shows is then in `self.seen`.
    fn step(&mut self, frame: &Frame) -> Result<(), InferError> {
        let Self { decoder, tracker, cut, image, seen, .. } = self;
        let mut watch = Stopwatch::start();
        if let Err(error) = decoder.step(frame, image) {
            seen.unreadable = Some(error);
            return Ok(());
        }
        seen.took.decode = watch.lap();
        let tracks = tracker.step(image, frame.captured_at)?;
        seen.took.find = watch.lap();
        for track in tracks {
            let mut face = FaceView {
                camera: frame.camera,
                seq: frame.seq,
                captured_at: frame.captured_at,
                track: track.id,
                rect: track.face.rect,
                landmarks: track.face.landmarks,
                score: track.face.score,
                pose: head_pose(&track.face.landmarks),
                quality: 0.0,
            };
            let from = seen.cuts.len();
            seen.cuts.resize(from + cut.values(), 0.0);
            let pixels = &mut seen.cuts[from..];
            let frame_from_cut = align::cut(image, &face, cut.size, cut.layout, pixels);
            face.quality = quality(Evidence {
                score: face.score,
                frame_per_cut: frame_from_cut.scale(),
                yaw_deg: face.pose.yaw_deg,
                cut: pixels,
                size: cut.size,
            });
            seen.looks.push(Appearance::of(image, face.rect));
            seen.faces.push(face);
        }
        seen.took.cut = watch.lap();
        Ok(())
    }

    /// Adds the faces that it sees as pictures.
    fn cut_faces(&mut self, cuts: &mut FaceCuts) {
        // Values 0 to 255, as the pixels are.
        let layout = Layout { channels: Channels::Bgr, mean: 0.0, std: 1.0 };
        self.planes.resize(3 * CUT_SIDE * CUT_SIDE, 0.0);
        for face in &self.seen.faces {
            align::cut(&self.image, face, CUT_SIDE, layout, &mut self.planes);
            cuts.of.push((face.camera, face.track));
            let (blue, rest) = self.planes.split_at(CUT_SIDE * CUT_SIDE);
            let (green, red) = rest.split_at(CUT_SIDE * CUT_SIDE);
            let pixels = blue.iter().zip(green).zip(red);
            cuts.pixels.extend(pixels.flat_map(|((b, g), r)| [*b, *g, *r].map(|value| value.round() as u8)));
        }
    }
}

/// The stages of one set.
pub struct Vision {
    /// Whether the faces are to be in the scene as pictures.
    pub cuts_faces: bool,
    views: Vec<View>,
    workers: rayon::ThreadPool,
    encoder: Encoder,
    associator: Associator,
    fuser: Fuser,
    stills: bool,
    candidates: Vec<Candidate>,
    read: Vec<ReadFace>,
}

impl Vision {
    /// Loads the models for `cameras` views and runs each once, so that the first set is as fast as the others.
    /// With `stills` no state is carried from one set to the next.
    ///
    /// # Errors
    /// Every [`VisionError`].
    pub fn new(
        config: &Config,
        models: &Models,
        runtime: &Runtime,
        cameras: usize,
        stills: bool,
    ) -> Result<Self, VisionError> {
        let threads = config
            .inference
            .threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
        let workers = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.min(cameras.max(1)))
            .thread_name(|n| format!("vision {n}"))
            .build()?;
        let placement = Placement { device: config.inference.device, threads };
        let mut encoder = Encoder::new(runtime.session(&models.encoder, placement)?, &models.encoder)?;
        encoder.warm_up(cameras).map_err(VisionError::Unfit)?;
        let view = |n: usize| -> Result<View, VisionError> {
            let session = runtime.session(&models.detector, Placement::ONE_THREAD)?;
            let mut detector = Detector::new(session, config.detection.threshold);
            detector.warm_up(config.detection).map_err(VisionError::Unfit)?;
            Ok(View {
                decoder: Decoder::new(config.detection.decode_width)?,
                tracker: Tracker::new(detector, config.detection, n as u32),
                cut: encoder.cut(),
                image: Image::default(),
                seen: Seen::default(),
                planes: Vec::new(),
            })
        };
        let views = (0..cameras).map(view).collect::<Result<_, _>>()?;
        Ok(Self {
            cuts_faces: false,
            views,
            workers,
            encoder,
            associator: Associator::default(),
            fuser: Fuser::new(config.fusion, config.smoothing),
            stills,
            candidates: Vec::new(),
            read: Vec::new(),
        })
    }

    /// Where the encoder runs.
    #[must_use]
    pub fn device(&self) -> &'static str {
        self.encoder.device()
    }

    /// Fills `scene` with what `set` shows; its times of publication are left to the caller. Frames that cannot be
    /// decoded are left out; [`Vision::unreadable`] names them.
    ///
    /// # Errors
    /// [`InferError::Run`].
    pub fn step(&mut self, set: &FrameSet, scene: &mut Scene) -> Result<(), InferError> {
        if self.stills {
            self.forget();
        }
        let Self { views, workers, encoder, associator, fuser, candidates, read, .. } = self;
        workers.install(|| {
            views.par_iter_mut().zip(&set.views[..]).try_for_each(|(view, frame)| {
                view.seen.clear();
                frame.as_ref().map_or(Ok(()), |frame| view.step(frame))
            })
        })?;

        let mut watch = Stopwatch::start();
        candidates.clear();
        for seen in views.iter().map(|view| &view.seen) {
            encoder.push(&seen.cuts);
            candidates.extend(seen.faces.iter().zip(&seen.looks).map(|(face, look)| Candidate {
                camera: face.camera,
                track: face.track,
                appearance: *look,
            }));
        }
        let logits = encoder.step()?.logits;
        let encode = watch.lap();
        let people = associator.step(set.at, candidates);
        let faces = views.iter().flat_map(|view| &view.seen.faces);
        read.clear();
        read.extend(faces.zip(logits).zip(people).map(|((face, logits), person)| ReadFace {
            face: *face,
            logits: *logits,
            person: *person,
        }));
        fuser.step(set.at, read, &mut scene.people);
        let slowest = |stage: fn(&ViewTimes) -> Duration| {
            views.iter().map(|view| stage(&view.seen.took)).max().unwrap_or_default()
        };
        scene.stages = StageTimes {
            decode: slowest(|took| took.decode),
            find: slowest(|took| took.find),
            cut: slowest(|took| took.cut),
            encode,
            fuse: watch.lap(),
        };

        scene.cuts.clear();
        if self.cuts_faces {
            views.iter_mut().for_each(|view| view.cut_faces(&mut scene.cuts));
        }
        scene.set = set.number;
        scene.at = set.at;
        scene.skew = set.skew;
        scene.waited = set.waited;
        scene.frames.clear();
        let analysed = |(view, frame): (&View, &Option<Frame>)| {
            let frame = frame.as_ref().filter(|_| view.seen.unreadable.is_none())?;
            let mut frame = frame.clone();
            // Of JPEG only the picture itself knows its size.
            if frame.format == PixelFormat::Mjpeg {
                let (width, height) = view.image.full_size();
                (frame.width, frame.height) = (width.round() as u32, height.round() as u32);
            }
            Some(frame)
        };
        scene.frames.extend(views.iter().zip(&set.views[..]).map(analysed));
        scene.file = set.reference_frame().and_then(|frame| frame.file.clone());
        Ok(())
    }

    /// The frames of `set`, the last that was looked at, that could not be decoded, and why.
    pub fn unreadable<'a>(&'a self, set: &'a FrameSet) -> impl Iterator<Item = (&'a Frame, &'a DecodeError)> {
        let pairs = self.views.iter().zip(&set.views);
        pairs.filter_map(|(view, frame)| Some((frame.as_ref()?, view.seen.unreadable.as_ref()?)))
    }

    fn forget(&mut self) {
        self.views.iter_mut().for_each(|view| view.tracker.reset());
        self.associator.reset();
        self.fuser.reset();
    }
}

impl Seen {
    fn clear(&mut self) {
        self.unreadable = None;
        self.faces.clear();
        self.looks.clear();
        self.cuts.clear();
        self.took = ViewTimes::default();
    }
}

/// Measures one stretch after another.
struct Stopwatch(Instant);

impl Stopwatch {
    fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the last call, or since the start.
    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now - std::mem::replace(&mut self.0, now)
    }
}
