//! From pictures to faces: found, measured and cut out by the live pipeline's own [`View`],
//! with room around them for augmentation; kept on disk, as that takes longer than an epoch of training.

mod cache;
mod clips;
mod stills;

use std::path::{Path, PathBuf};

use crate::capture::CaptureError;
use crate::config;
use crate::face::align::{self, CutFormat};
use crate::face::view::{View, ViewError};
use crate::image::Image;
use crate::image::warp::{Border, Layout, Similarity, warp};
use crate::infer::manifest::{Channels, ManifestError, Model};
use crate::infer::{InferError, Runtime};
use crate::scene::{FaceView, Point};
use crate::train::datasets::{Content, DatasetError, DatasetSpec, Listing};
use crate::train::faces::{About, Crop, Faces, Gather};

/// Side of an encoder's cut in a crop, pixels: twice that of the default encoder, so that turning and shrinking a crop
/// costs no sharpness.
const SPAN: usize = 128;
/// Pixels around that cut on each side: crops are half as wide again.
const ROOM: usize = 32;
/// Side of a crop.
const SIDE: usize = SPAN + 2 * ROOM;
/// Grey, 0 to 255.
const GRAY: Layout = Layout { channels: Channels::Gray, mean: 0.0, std: 1.0 };
/// The cut that crops are made around.
const CUT: CutFormat = CutFormat { size: SPAN, layout: GRAY };

/// Why a data set cannot be prepared.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum PrepareError {
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error(transparent)]
    View(#[from] ViewError),
    #[error(transparent)]
    Infer(#[from] InferError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("the worker threads cannot be started")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    #[error("{}: its pictures have no times; name a folder of stills as classes:DIR", .path.display())]
    Stills { path: PathBuf },
    #[error("no face was found in any picture of {spec}:\n{report}")]
    NoFaces { spec: DatasetSpec, report: String },
}

/// How far the preparation of a data set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Progress {
    pub done: u64,
    /// Pictures, or frames of takes; none if nobody knows.
    pub total: Option<u64>,
}

/// Told of the progress, from any thread.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Sync);

/// What pictures are prepared with.
pub struct Preparation<'a> {
    /// What runs the detector.
    pub runtime: &'a Runtime,
    /// The detector.
    pub detector: &'a Model,
    /// How faces are searched for: as live.
    pub detection: config::Detection,
    /// How many pictures are looked at side by side.
    pub threads: usize,
    /// The folder that prepared faces are kept in; it can be deleted at any time.
    pub cache: Option<&'a Path>,
}

impl Preparation<'_> {
    /// The faces of `spec`, from the cache if nothing has changed since. They do not depend on the number of threads.
    ///
    /// # Errors
    /// Every [`PrepareError`]; pictures that cannot be used are no error but in [`Faces::skipped`], unless all are so.
    pub fn faces(&self, spec: &DatasetSpec, on_progress: OnProgress<'_>) -> Result<Faces, PrepareError> {
        let listing = spec.list()?;
        let entry = self.cache.map(|folder| cache::Entry::of(folder, &listing, self.detector, self.detection));
        if let Some(faces) = entry.as_ref().and_then(|entry| entry.read(spec)) {
            return Ok(faces);
        }
        let faces = self.prepare(spec, &listing, on_progress)?;
        if faces.faces.is_empty() {
            return Err(PrepareError::NoFaces { spec: spec.clone(), report: faces.report() });
        }
        if let Some(entry) = entry {
            entry.write(&faces);
        }
        Ok(faces)
    }

    fn prepare(
        &self,
        spec: &DatasetSpec,
        listing: &Listing,
        on_progress: OnProgress<'_>,
    ) -> Result<Faces, PrepareError> {
        // What was asked for: the listing may have found the file in its folder.
        let mut gather = Gather::of(spec.clone(), listing.skipped.clone());
        let crops = || Ok(Crops::default());
        self.look(listing, crops, on_progress, |looked| match looked.found {
            Ok((crop, yaw_deg)) => gather.add(&looked.about, crop, yaw_deg, looked.time_s, looked.source),
            Err(reason) => gather.skip(looked.source, reason.to_string()),
        })?;
        Ok(gather.finish())
    }

    /// Looks at every picture of `listing`, and gives what it found to `each` in the order of the pictures. `keep` is made
    /// once a thread.
    ///
    /// # Errors
    /// Every [`PrepareError`]; pictures that cannot be used are no error.
    pub(super) fn look<K: Keep>(
        &self,
        listing: &Listing,
        keep: impl Fn() -> Result<K, PrepareError>,
        on_progress: OnProgress<'_>,
        mut each: impl FnMut(Looked<K::Kept>),
    ) -> Result<(), PrepareError> {
        match &listing.content {
            Content::Pictures(pictures) => {
                let looked = stills::look(self, &listing.spec.path, pictures, keep, on_progress)?;
                looked.into_iter().for_each(each);
                Ok(())
            }
            Content::Clips(clips) => clips::look(self, clips, listing.rate(), keep()?, on_progress, &mut each),
        }
    }
}

/// What becomes of the faces that are found: crops for training, or what an exported model says of them.
pub(super) trait Keep: Send {
    /// What is kept of a face.
    type Kept: Send;

    /// What the views' cuts look like.
    fn format(&self) -> CutFormat;

    /// Of the face with the number `n` in the frame that `view` looked at last.
    fn face(&mut self, view: &View, n: usize) -> Result<Self::Kept, InferError>;

    /// Of a picture that is a face cropped already.
    fn whole(&mut self, image: &Image) -> Result<Self::Kept, InferError>;
}

/// A picture that was looked at.
pub(super) struct Looked<T> {
    /// What is known of it.
    pub(super) about: About,
    /// When, of a clip: seconds from its beginning.
    pub(super) time_s: Option<f64>,
    /// The file that it comes from, as [`Face::source`](crate::train::faces::Face::source).
    pub(super) source: PathBuf,
    /// What is kept of its face and the turn of the head, or why it has none.
    pub(super) found: Found<T>,
}

/// What a picture gives: what is kept of its face, and the turn of the head unless it is a crop already.
pub(super) type Found<T> = Result<(T, Option<f32>), Unfound>;

/// Why a picture gives no face.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfound {
    /// The detector found none.
    #[error("no face was found")]
    NoFace,
    /// It cannot be looked at.
    #[error("{0}")]
    Unusable(String),
}

/// Keeps crops.
#[derive(Default)]
struct Crops {
    planes: Vec<f32>,
}

impl Keep for Crops {
    type Kept = Crop;

    fn format(&self) -> CutFormat {
        CUT
    }

    fn face(&mut self, view: &View, n: usize) -> Result<Crop, InferError> {
        Ok(crop_of(view.image(), &view.seen().faces[n], &mut self.planes))
    }

    fn whole(&mut self, image: &Image) -> Result<Crop, InferError> {
        Ok(crop_of_whole(image, &mut self.planes))
    }
}

/// The face as the encoder would see it, with room around it.
fn crop_of(image: &Image, face: &FaceView, planes: &mut Vec<f32>) -> Crop {
    planes.resize(SIDE * SIDE, 0.0);
    let crop_from_frame = align::cut(image, face, CUT, ROOM, planes).inverse();
    let middle = middle_of(SIDE);
    Crop {
        width: SIDE,
        height: SIDE,
        gray: rounded(planes),
        middle: (middle, middle),
        span: SPAN as f32,
        landmarks: Some(face.landmarks.map(|point| {
            let (x, y) = crop_from_frame.apply(point.x, point.y);
            Point { x, y }
        })),
    }
}

/// The whole picture as a crop, made smaller if it is larger than other crops are.
fn crop_of_whole(image: &Image, planes: &mut Vec<f32>) -> Crop {
    let scale = (image.width.max(image.height) as f32 / SIDE as f32).max(1.0);
    let shrunk = |length: usize| ((length as f32 / scale).round() as usize).max(1);
    let (width, height) = (shrunk(image.width), shrunk(image.height));
    let shift = |from: usize, to: usize| middle_of(from) - scale * middle_of(to);
    let (tx, ty) = (shift(image.width, width), shift(image.height, height));
    planes.resize(width * height, 0.0);
    warp(image, Similarity { a: scale, b: 0.0, tx, ty }, (width, height), Border::Nearest, GRAY, planes);
    Crop {
        width,
        height,
        gray: rounded(planes),
        middle: (middle_of(width), middle_of(height)),
        span: width.max(height) as f32,
        landmarks: None,
    }
}

/// The middle of `length` pixels, pixel centres at integers.
fn middle_of(length: usize) -> f32 {
    (length as f32 - 1.0) / 2.0
}

fn rounded(planes: &[f32]) -> Vec<u8> {
    planes.iter().map(|value| value.round() as u8).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::Config;
    use crate::infer::manifest::Models;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A rendered head before four cameras.
    pub(super) fn take() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/take")
    }

    /// The faces of `spec`, and how many pictures were looked at for them.
    pub(super) fn prepare(spec: &str, threads: usize, cache: Option<&Path>) -> (Result<Faces, PrepareError>, u64) {
        let models = Models::load(None).expect("built-in models");
        let detection = Config::default().detection;
        let (runtime, detector) = (&Runtime::Tract, &models.detector);
        let looked_at = AtomicU64::new(0);
        let on_progress = |progress: Progress| {
            looked_at.fetch_max(progress.done, Ordering::Relaxed);
        };
        let with = Preparation { runtime, detector, detection, threads, cache };
        let faces = with.faces(&spec.parse().expect("a data set's name"), &on_progress);
        (faces, looked_at.into_inner())
    }

    /// A folder of class folders with pictures of the take: those with these numbers of every camera.
    pub(super) fn stills(numbers: &[u64]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(root.path().join("happy")).expect("made");
        for (camera, number) in (0..4).flat_map(|camera| numbers.iter().map(move |number| (camera, number))) {
            let to = root.path().join(format!("happy/cam{camera}_{number}.jpg"));
            std::fs::copy(take().join(format!("cam{camera}/{number:06}.jpg")), to).expect("copied");
        }
        root
    }

    #[test]
    fn a_folder_with_fer2013s_table_is_the_set_that_was_asked_for() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let pixels = vec!["90"; 48 * 48].join(" ");
        std::fs::write(root.path().join("fer2013.csv"), format!("emotion,pixels,Usage\n3,{pixels},Training\n"))
            .expect("written");
        let spec = format!("fer2013:{}#train", root.path().display());
        let cache = tempfile::tempdir().expect("a temporary folder");
        for _ in 0..2 {
            let faces = prepare(&spec, 1, Some(cache.path())).0.expect("prepares");
            assert_eq!(faces.sets[0].spec, spec.parse().expect("a set"), "a recipe finds it by this name");
        }
    }

    #[test]
    fn training_sees_faces_as_the_live_pipeline_does() {
        let root = stills(&[60, 90, 105]);
        let faces = prepare(&format!("classes:{}", root.path().display()), 1, None).0.expect("prepares");
        assert!(faces.faces.len() >= 10, "{}", faces.report());

        let models = Models::load(None).expect("built-in models");
        let size = 64;
        let live_cut = CutFormat { size, layout: GRAY };
        let mut live =
            View::new(&Runtime::Tract, &models.detector, Config::default().detection, live_cut, 0).expect("a view");
        let (mut sum, mut most) = (0.0, 0.0_f32);
        for face in &faces.faces {
            let frame = crate::capture::folder::read_still(&root.path().join(&face.source)).expect("reads");
            live.reset();
            live.step(Some(&frame)).expect("runs");
            let [seen] = &live.seen().faces[..] else { panic!("one face in {}", face.source.display()) };
            assert_eq!(face.yaw_deg, Some(seen.pose.yaw_deg));
            let crop_from_frame = align::frame_from_cut(seen, SPAN).moved(-(ROOM as f32), -(ROOM as f32)).inverse();
            let expected = seen.landmarks.map(|point| crop_from_frame.apply(point.x, point.y));
            assert_eq!(face.crop.landmarks.map(|landmarks| landmarks.map(|point| (point.x, point.y))), Some(expected));

            let crop = &face.crop;
            let rgb = crop.gray.iter().flat_map(|&value| [value; 3]).collect();
            let image = Image { width: crop.width, height: crop.height, scale: 1.0, rgb };
            let mut cut = vec![0.0; size * size];
            warp(&image, crop.crop_from_cut(size), (size, size), Border::Nearest, GRAY, &mut cut);
            let differences = cut.iter().zip(&live.seen().cuts).map(|(a, b)| (a - b).abs());
            let mean = differences.sum::<f32>() / (size * size) as f32;
            (sum, most) = (sum + mean, most.max(mean));
        }
        // Measured: 0.5 and 0.9.
        let mean = sum / faces.faces.len() as f32;
        assert!(mean < 1.0 && most < 2.0, "the cuts differ by {mean} of 255 on average, by {most} in the worst face");
    }
}
