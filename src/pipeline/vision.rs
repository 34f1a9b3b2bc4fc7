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
use crate::gpu::Traffic;
#[cfg(feature = "gpu")]
use crate::gpu::{self, Gpu, GpuError};
use crate::image::decode::DecodeError;
#[cfg(feature = "gpu")]
use crate::image::detail::Detail;
#[cfg(feature = "gpu")]
use crate::image::gpu::{Cutter, Picture};
use crate::infer::manifest::{ManifestError, Models};
use crate::infer::{InferError, Runtime};
use crate::rig::CalibratedCamera;
use crate::scene::{FaceView, Scene, StageTimes};
use crate::time::{Spent, Stopwatch};

/// Sessions that share the encoder's batch on the CPU: sets of more faces are rare, and each takes memory.
const MOST_SHARES: usize = 8;

/// Faces in each view that an encoder on a GPU is ready for from the first set on.
const FACES_A_VIEW: usize = 2;

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
    /// Cuts the faces out where the encoder is.
    #[cfg(feature = "gpu")]
    on_gpu: Option<OnGpu>,
    /// One a view, if the cameras are calibrated.
    calibrated: Vec<CalibratedCamera>,
    associator: Associator,
    fuser: Fuser,
    stills: bool,
    candidates: Vec<Candidate>,
    read: Vec<ReadFace>,
}

/// How faces come to be cut on the GPU.
#[cfg(feature = "gpu")]
struct OnGpu {
    gpu: Gpu,
    cutter: Cutter,
    details: Vec<Detail>,
    /// What it took for the last set: ours, and then the GPU's.
    took: Spent,
    /// What had gone on before the last set.
    before: Traffic,
}

#[cfg(feature = "gpu")]
impl OnGpu {
    /// On the GPU of an `encoder` that is on one: its own, or the same as another program would find it.
    fn new(encoder: &mut Encoder) -> Result<Self, InferError> {
        let gpu = match encoder.gpu()? {
            Some(gpu) => gpu,
            None => Gpu::open()?,
        };
        if gpu.is_emulated && gpu::is_there() {
            return Err(GpuError::Emulated { name: gpu.name }.into());
        }
        let cutter = Cutter::new(&gpu, encoder.cut().size, encoder.cut().layout)?;
        Ok(Self { gpu, cutter, details: Vec::new(), took: Spent::default(), before: Traffic::default() })
    }

    /// Cuts out what `views` see in the frames of `set` and has `encoder` read it.
    fn step(&mut self, views: &mut [View], set: &FrameSet, encoder: &mut Encoder) -> Result<(), InferError> {
        self.took = Spent::default();
        self.before = self.gpu.traffic();
        let faces = views.iter().map(|view| view.seen().faces.len()).sum();
        if faces == 0 {
            encoder.step()?;
            return Ok(());
        }
        let mut watch = Stopwatch::start();
        self.cutter.begin(faces, pictures(views, set).map(|(_, picture)| picture))?;
        for (view, picture) in pictures(views, set) {
            self.cutter.picture(picture);
            view.regions().for_each(|region| self.cutter.face(region));
        }
        self.took = watch.lap();
        self.took.wall += encoder.step_cut(&mut self.cutter, faces, &mut self.details)?.unwrap_or_default();
        let mut details = self.details.iter().copied();
        views.iter_mut().for_each(|view| view.judge(details.by_ref()));
        Ok(())
    }
}

/// The views that see faces, and their pictures.
#[cfg(feature = "gpu")]
fn pictures<'a>(views: &'a [View], set: &'a FrameSet) -> impl Iterator<Item = (&'a View, Picture<'a>)> {
    views.iter().zip(&set.views[..]).filter_map(|(view, frame)| {
        let has_faces = !view.seen().faces.is_empty();
        let frame = frame.as_ref().filter(|_| has_faces)?;
        // It was decoded: its size is right.
        Some((view, Picture::of(frame, view.image()).ok()?))
    })
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
        let chosen = runtime.encoder(&models.encoder, &config.inference)?;
        let mut encoder = Encoder::new(chosen, &models.encoder)?;
        encoder.share(runtime, &models.encoder, threads.min(MOST_SHARES))?;
        // A GPU takes its time for each new size of batch.
        let faces = if encoder.is_on_gpu() { FACES_A_VIEW * cameras } else { cameras };
        workers.install(|| encoder.warm_up(faces)).map_err(VisionError::Unfit)?;
        #[cfg(feature = "gpu")]
        let on_gpu = encoder
            .is_on_gpu()
            .then(|| OnGpu::new(&mut encoder))
            .and_then(|made| made.inspect_err(|error| tracing::warn!("faces are cut out on the CPU: {error}")).ok());
        let view = |n: usize| -> Result<View, ViewError> {
            let view = View::new(runtime, &models.detector, config.detection, encoder.cut(), n as u32)?;
            #[cfg(feature = "gpu")]
            let view = if on_gpu.is_some() { view.cut_elsewhere() } else { view };
            Ok(view)
        };
        let views = (0..cameras).map(view).collect::<Result<_, _>>()?;
        Ok(Self {
            cuts_faces: false,
            views,
            workers: Arc::new(workers),
            encoder,
            #[cfg(feature = "gpu")]
            on_gpu,
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

    /// What runs where.
    #[must_use]
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
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
        let (cut_on_gpu, traffic) = self.gpu_use();
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
        scene.place = encoder.place();
        scene.gpu = traffic;
        scene.stages = StageTimes {
            decode: together(|took| took.decode),
            detect: together(|took| took.detect),
            track: together(|took| took.track),
            align: together(|took| took.align).then(cut_on_gpu),
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
        let pairs = self.views.par_iter_mut().zip(&set.views[..]);
        pairs.try_for_each(|(view, frame)| view.step(frame.as_ref()))?;
        #[cfg(feature = "gpu")]
        if let Some(on_gpu) = &mut self.on_gpu {
            let Err(error) = on_gpu.step(&mut self.views, set, &mut self.encoder) else { return Ok(()) };
            self.encoder.leave_gpu(error)?;
            self.leave_gpu();
            self.views.par_iter_mut().for_each(View::cut);
        }
        let Self { views, encoder, .. } = self;
        for seen in views.iter().map(View::seen) {
            encoder.push(&seen.cuts);
        }
        encoder.step()?;
        Ok(())
    }

    /// Cuts faces out on the CPU from now on.
    #[cfg(feature = "gpu")]
    fn leave_gpu(&mut self) {
        // To take down what is on a GPU that does not answer may have no end.
        std::mem::forget(self.on_gpu.take());
        self.views.iter_mut().for_each(View::cut_here);
    }

    /// What cutting the faces of the last set on a GPU took, and what went on with it.
    fn gpu_use(&self) -> (Spent, Traffic) {
        #[cfg(feature = "gpu")]
        if let Some(OnGpu { gpu, took, before, .. }) = &self.on_gpu {
            return (*took, gpu.traffic() - *before);
        }
        Default::default()
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

#[cfg(test)]
#[cfg(feature = "train")]
mod tests {
    use super::*;
    use crate::capture::folder::read_still;
    use crate::config::RuntimeChoice;
    use crate::frame::CameraId;
    use std::path::Path;
    use std::time::{Duration, Instant};

    /// What two cameras saw at one instant.
    fn set() -> FrameSet {
        let take = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/take");
        let view = |n: u8| {
            let frame = read_still(&take.join(format!("cam{n}/000060.jpg"))).expect("it reads");
            Some(Frame { camera: CameraId(n - 1), ..frame })
        };
        FrameSet {
            number: 0,
            at: view(1).map(|frame| frame.captured_at).unwrap_or_default(),
            reference: CameraId(0),
            views: [view(1), view(2)].into_iter().collect(),
            skew: Duration::ZERO,
            waited: Duration::ZERO,
        }
    }

    fn vision(choice: RuntimeChoice) -> Vision {
        let mut config = Config::default();
        config.inference.runtime = choice;
        let runtime = Runtime::start(choice).expect("it starts");
        Vision::new(&config, &Models::load(None).expect("built in"), &runtime, 2, true).expect("the stages")
    }

    #[test]
    fn faces_that_never_leave_the_gpu_are_read_as_on_the_cpu_and_a_lost_gpu_costs_no_set() {
        crate::gpu::tests::with_lavapipe(|| {
            let (mut on_cpu, mut on_gpu) = (vision(RuntimeChoice::Tract), vision(RuntimeChoice::Wgpu));
            assert_eq!((on_cpu.encoder().place().device, on_gpu.encoder().place().device), ("cpu", "vulkan"));
            let (mut wanted, mut scene) = (Scene::default(), Scene::default());
            on_cpu.step(&set(), &mut wanted).expect("it runs");
            assert_eq!(wanted.gpu, Traffic::default());
            let views = wanted.people.iter().flat_map(|person| &person.views).count() as u64;
            assert!(views >= 2, "{views}");
            let compare = |scene: &Scene, device: &str| {
                assert_eq!((scene.place.device, scene.people.len()), (device, wanted.people.len()));
                for (a, b) in scene.people.iter().zip(&wanted.people) {
                    let apart = a.probabilities.iter().zip(&b.probabilities).map(|(a, b)| (a - b).abs());
                    assert!(apart.fold(0.0, f32::max) < 1e-3, "{a:?}, {b:?}");
                    for (a, b) in a.views.iter().zip(&b.views) {
                        assert!((a.face.quality - b.face.quality).abs() < 1e-2, "{:?}, {:?}", a.face, b.face);
                    }
                }
            };
            let gpu = on_gpu.on_gpu.as_ref().expect("it cuts there").gpu.clone();
            let made = || gpu.device.generate_allocator_report().map(|report| report.allocations.len());
            on_gpu.step(&set(), &mut scene).expect("it runs");
            let made_before = made();
            assert!(made_before.is_some_and(|count| count > 0), "{made_before:?}");
            for _ in 0..3 {
                on_gpu.step(&set(), &mut scene).expect("it runs");
                assert_eq!(made(), made_before, "no memory is made on the GPU for a set");
                compare(&scene, "vulkan");
                // Pictures, regions; details, times, and what is said of a batch of two.
                let pictures = 2 * 640 * 360 * 3;
                assert_eq!(scene.gpu.up_bytes, pictures + views * 48);
                assert_eq!(scene.gpu.down_bytes, 16 + views * 8 + views.next_power_of_two() * 4 * (7 + 256));
                assert_eq!(scene.gpu.waits, 1, "it waits once a set");
            }
            gpu.device.destroy();
            let began_at = Instant::now();
            on_gpu.step(&set(), &mut scene).expect("it goes on");
            // A few hundredths of a second; other tests run beside it.
            assert!(began_at.elapsed() < Duration::from_secs(10), "{:?}", began_at.elapsed());
            compare(&scene, "cpu");
            assert!(on_gpu.encoder().reason().contains("vulkan failed"), "{}", on_gpu.encoder().reason());
            on_gpu.step(&set(), &mut scene).expect("it goes on");
            compare(&scene, "cpu");
        });
    }
}
