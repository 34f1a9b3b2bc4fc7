//! What one view sees of one frame: decoded, its faces found, followed, measured and cut out.
//!
//! The live pipeline has one such chain a camera; training prepares its pictures with the very same.

use super::align::{self, CutFormat};
use super::appearance::Appearance;
use super::associate::Candidate;
use super::detect::Detector;
use super::placed::Placed;
use super::pose::head_pose;
use super::quality::{Evidence, quality};
use super::track::Tracker;
use crate::config;
use crate::frame::Frame;
use crate::image::Image;
use crate::image::decode::{DecodeError, Decoder};
use crate::image::detail::Detail;
use crate::image::warp::{Layout, Similarity};
use crate::infer::manifest::{Channels, Model};
use crate::infer::{InferError, Runtime};
use crate::scene::{CUT_SIDE, FaceCuts, FaceView};
use crate::time::{Spent, Stopwatch};

/// Why a view cannot be set up.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages are the sources'")]
pub enum ViewError {
    #[error(transparent)]
    Load(InferError),
    #[error("a model cannot be used: {0}. Is the manifest right?")]
    Unfit(#[source] InferError),
    #[error("libjpeg-turbo cannot be set up")]
    Decoder(#[from] DecodeError),
}

/// The chain of one view.
pub struct View {
    is_cut_elsewhere: bool,
    decoder: Decoder,
    tracker: Tracker,
    cut: CutFormat,
    image: Image,
    seen: Seen,
    /// The planes of a face that is cut out as a picture.
    planes: Vec<f32>,
}

/// What one view saw in the present frame.
#[derive(Default)]
pub struct Seen {
    /// Why the frame could not be decoded.
    pub unreadable: Option<DecodeError>,
    /// The faces.
    pub faces: Vec<FaceView>,
    /// What each of them looks like.
    pub looks: Vec<Appearance>,
    /// The aligned faces, one after another: [`CutFormat::values`] values each.
    pub cuts: Vec<f32>,
    /// How long it took.
    pub took: ViewTimes,
}

/// What the stages of one view took.
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "as in `StageTimes`")]
pub struct ViewTimes {
    pub decode: Spent,
    pub detect: Spent,
    pub track: Spent,
    pub align: Spent,
}

impl View {
    /// A view with a `detector` of its own, run once so that the first frame is as fast as the others. Its searches
    /// fall on every k-th frame, shifted by `phase` frames.
    ///
    /// # Errors
    /// Every [`ViewError`].
    pub fn new(
        runtime: &Runtime,
        detector: &Model,
        settings: config::Detection,
        cut: CutFormat,
        phase: u32,
    ) -> Result<Self, ViewError> {
        let session = runtime.session(detector).map_err(ViewError::Load)?;
        let mut detector = Detector::new(session, settings.threshold);
        detector.warm_up(settings).map_err(ViewError::Unfit)?;
        Ok(Self {
            is_cut_elsewhere: false,
            decoder: Decoder::new(settings.decode_width)?,
            tracker: Tracker::new(detector, settings, phase),
            cut,
            image: Image::default(),
            seen: Seen::default(),
            planes: Vec::new(),
        })
    }

    /// The same, but its faces are cut out elsewhere, from [`View::regions`]: [`View::judge`] must be told what was found.
    #[must_use]
    pub fn cut_elsewhere(self) -> Self {
        Self { is_cut_elsewhere: true, ..self }
    }

    /// Cuts them out itself from now on.
    pub fn cut_here(&mut self) {
        self.is_cut_elsewhere = false;
    }

    /// Looks at `frame`; what it shows is then in [`View::seen`]. Without a frame nothing is seen.
    ///
    /// # Errors
    /// [`InferError::Run`].
    pub fn step(&mut self, frame: Option<&Frame>) -> Result<(), InferError> {
        let Self { decoder, tracker, image, seen, .. } = self;
        seen.clear();
        let Some(frame) = frame else { return Ok(()) };
        let mut watch = Stopwatch::start();
        if let Err(error) = decoder.step(frame, image) {
            seen.unreadable = Some(error);
            return Ok(());
        }
        seen.took.decode = watch.lap();
        let is_search_due = tracker.follow(image, frame.captured_at)?;
        seen.took.track = watch.lap();
        if is_search_due {
            tracker.search(image, frame.captured_at)?;
            seen.took.detect = watch.lap();
        }
        for track in tracker.tracks() {
            let face = FaceView {
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
            seen.looks.push(Appearance::of(image, face.rect));
            seen.faces.push(face);
        }
        if !self.is_cut_elsewhere {
            self.cut();
        }
        self.seen.took.align = watch.lap();
        Ok(())
    }

    /// Cuts out what it sees in the present frame.
    pub fn cut(&mut self) {
        let Self { cut, image, seen, .. } = self;
        seen.cuts.resize(seen.faces.len() * cut.values(), 0.0);
        for (face, pixels) in seen.faces.iter_mut().zip(seen.cuts.chunks_exact_mut(cut.values())) {
            let frame_from_cut = align::cut(image, face, *cut, 0, pixels);
            judge(face, frame_from_cut, Detail::of(pixels, cut.size));
        }
    }

    /// Where the faces that it sees lie in [`View::image`]: maps from the pixels of a cut to it.
    pub fn regions(&self) -> impl Iterator<Item = Similarity> {
        let of = |face| align::picture_from_cut(&self.image, align::frame_from_cut(face, self.cut.size));
        self.seen.faces.iter().map(of)
    }

    /// Takes over the `details` of faces that were cut out elsewhere, one a face.
    pub fn judge(&mut self, details: impl Iterator<Item = Detail>) {
        for (face, detail) in self.seen.faces.iter_mut().zip(details) {
            judge(face, align::frame_from_cut(face, self.cut.size), detail);
        }
    }

    /// What it saw in the present frame.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The present frame, decoded; undefined if that could not be.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Forgets every face: the next frame has nothing to do with the last.
    pub fn reset(&mut self) {
        self.tracker.reset();
    }

    /// Adds the faces that it sees as pictures.
    pub fn cut_faces(&mut self, cuts: &mut FaceCuts) {
        // Values 0 to 255, as the pixels are.
        let layout = Layout { channels: Channels::Bgr, mean: 0.0, std: 1.0 };
        let format = CutFormat { size: CUT_SIDE, layout };
        self.planes.resize(format.values(), 0.0);
        for face in &self.seen.faces {
            align::cut(&self.image, face, format, 0, &mut self.planes);
            cuts.of.push((face.camera, face.track));
            let (blue, rest) = self.planes.split_at(CUT_SIDE * CUT_SIDE);
            let (green, red) = rest.split_at(CUT_SIDE * CUT_SIDE);
            let pixels = blue.iter().zip(green).zip(red);
            cuts.pixels.extend(pixels.flat_map(|((b, g), r)| [*b, *g, *r].map(|value| value.round() as u8)));
        }
    }
}

/// Says of a face how much it can tell.
fn judge(face: &mut FaceView, frame_from_cut: Similarity, detail: Detail) {
    let (score, yaw_deg) = (face.score, face.pose.yaw_deg);
    face.quality = quality(Evidence { score, frame_per_cut: frame_from_cut.scale(), yaw_deg, detail });
}

impl Seen {
    /// Its faces, for [`Associator::step`](super::associate::Associator::step).
    /// `placed` says where each must be, if that is known.
    pub fn candidates(&self, placed: impl Fn(&FaceView) -> Option<Placed>) -> impl Iterator<Item = Candidate> {
        let faces = self.faces.iter().zip(&self.looks);
        faces.map(move |(face, look)| Candidate {
            camera: face.camera,
            track: face.track,
            appearance: *look,
            placed: placed(face),
        })
    }

    fn clear(&mut self) {
        self.unreadable = None;
        self.faces.clear();
        self.looks.clear();
        self.cuts.clear();
        self.took = ViewTimes::default();
    }
}
