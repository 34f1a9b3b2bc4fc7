//! All that happens to one set: decode, find, follow, cut (every view at once), encode in one batch, associate, fuse.

use std::sync::Arc;

use rayon::prelude::*;

use crate::config::Config;
use crate::encode::Encoder;
use crate::face::associate::{Associator, Candidate};
use crate::face::placed::Placed;
use crate::face::view::{View, ViewError, ViewTimes};
use crate::frame::{Frame, FrameSet, PixelFormat};
use crate::fuse::{Fuser, ReadFace};
use crate::image::decode::DecodeError;
use crate::infer::manifest::{ManifestError, Models};
use crate::infer::{InferError, Runtime};
use crate::rig::CalibratedCamera;
use crate::scene::{FaceView, Scene, StageTimes};
use crate::time::{Spent, Stopwatch};

/// Sessions that share the encoder's batch on the CPU: sets of more faces are rare, and each takes memory.
const MOST_SHARES: usize = 8;

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
    #[error(transparent)]
    View(#[from] ViewError),
    #[error("the worker threads cannot be started")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// The stages of one set.
pub struct Vision {
    /// Whether the faces are to be in the scene as pictures.
    pub cuts_faces: bool,
    views: Vec<View>,
    workers: Arc<rayon::ThreadPool>,
    encoder: Encoder,
    /// One a view, if the cameras are calibrated.
    calibrated: Vec<CalibratedCamera>,
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
        let threads = config.inference.threads();
        let workers = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.min(cameras.max(MOST_SHARES)))
            .thread_name(|n| format!("vision {n}"))
            .build()?;
        let session = runtime.session(&models.encoder, config.inference.device)?;
        let mut encoder = Encoder::new(session, &models.encoder)?;
        encoder.share(runtime, &models.encoder, threads.min(MOST_SHARES))?;
        workers.install(|| encoder.warm_up(cameras)).map_err(VisionError::Unfit)?;
        let view = |n: usize| View::new(runtime, &models.detector, config.detection, encoder.cut(), n as u32);
        let views = (0..cameras).map(view).collect::<Result<_, _>>()?;
        Ok(Self {
            cuts_faces: false,
            views,
            workers: Arc::new(workers),
            encoder,
            calibrated: Vec::new(),
            associator: Associator::default(),
            fuser: Fuser::new(config.fusion, config.smoothing),
            stills,
            candidates: Vec::new(),
            read: Vec::new(),
        })
    }

    /// Has people told apart across views by where they are: `cameras` has one camera a view.
    pub fn place_by(&mut self, cameras: Vec<CalibratedCamera>) {
        self.calibrated = cameras;
    }

    /// Where the encoder runs.
    #[must_use]
    pub fn device(&self) -> &'static str {
        self.encoder.device()
    }

    /// The threads that [`Vision::step`] works on. Whoever calls it on one of them saves the way there and back.
    #[must_use]
    pub fn workers(&self) -> Arc<rayon::ThreadPool> {
        self.workers.clone()
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
        self.workers().install(|| self.look(set))?;
        let Self { views, encoder, calibrated, associator, fuser, candidates, read, .. } = self;
        let logits = encoder.readings().logits;
        let mut watch = Stopwatch::start();
        candidates.clear();
        for (n, view) in views.iter().enumerate() {
            let (width, height) = view.image().full_size();
            let size = (f64::from(width), f64::from(height));
            let placed = |face: &FaceView| calibrated.get(n).map(|camera| Placed::of(face, camera, size));
            candidates.extend(view.seen().candidates(placed));
        }
        let people = associator.step(set.at, set.skew, candidates);
        let faces = views.iter().flat_map(|view| &view.seen().faces);
        read.clear();
        read.extend(faces.zip(logits).zip(people).map(|((face, logits), person)| ReadFace {
            face: *face,
            logits: *logits,
            person: *person,
        }));
        fuser.step(set.at, read, &mut scene.people);
        let together = |stage: fn(&ViewTimes) -> Spent| {
            views.iter().map(|view| stage(&view.seen().took)).fold(Spent::default(), Spent::beside)
        };
        scene.stages = StageTimes {
            decode: together(|took| took.decode),
            detect: together(|took| took.detect),
            track: together(|took| took.track),
            align: together(|took| took.align),
            encode: encoder.spent(),
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
            let frame = frame.as_ref().filter(|_| view.seen().unreadable.is_none())?;
            let mut frame = frame.clone();
            // Of JPEG only the picture itself knows its size.
            if frame.format == PixelFormat::Mjpeg {
                let (width, height) = view.image().full_size();
                (frame.width, frame.height) = (width.round() as u32, height.round() as u32);
            }
            Some(frame)
        };
        scene.frames.extend(views.iter().zip(&set.views[..]).map(analysed));
        scene.file = set.reference_frame().and_then(|frame| frame.file.clone());
        Ok(())
    }

    /// Looks at every view, then at all faces at once.
    fn look(&mut self, set: &FrameSet) -> Result<(), InferError> {
        let Self { views, encoder, .. } = self;
        views.par_iter_mut().zip(&set.views[..]).try_for_each(|(view, frame)| view.step(frame.as_ref()))?;
        for seen in views.iter().map(View::seen) {
            encoder.push(&seen.cuts);
        }
        encoder.step()?;
        Ok(())
    }

    /// The frames of `set`, the last that was looked at, that could not be decoded, and why.
    pub fn unreadable<'a>(&'a self, set: &'a FrameSet) -> impl Iterator<Item = (&'a Frame, &'a DecodeError)> {
        let pairs = self.views.iter().zip(&set.views);
        pairs.filter_map(|(view, frame)| Some((frame.as_ref()?, view.seen().unreadable.as_ref()?)))
    }

    fn forget(&mut self) {
        self.views.iter_mut().for_each(View::reset);
        self.associator.reset();
        self.fuser.reset();
    }
}
