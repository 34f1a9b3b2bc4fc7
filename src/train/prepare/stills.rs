//! Single pictures: each looked at by itself, as `vultus replay --stills` does; several side by side.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rayon::prelude::*;

use super::{GRAY, OnProgress, Preparation, PrepareError, Progress, SIDE, crop_of, rounded};
use crate::capture::folder::read_still;
use crate::face::view::{View, ViewError};
use crate::frame::{Frame, PixelFormat};
use crate::image::Image;
use crate::image::decode::Decoder;
use crate::image::warp::{Border, Similarity, warp};
use crate::infer::InferError;
use crate::record::file_name;
use crate::scene::FaceView;
use crate::train::datasets::{self, DatasetSpec, Picture, Place, fer2013};
use crate::train::faces::{Crop, Faces, Gather, Skipped};

/// What a picture gives: a crop and the turn of the head in it, or the reason why it gives none.
type Found = Result<(Crop, Option<f32>), String>;

pub(super) fn prepare(
    with: &Preparation<'_>,
    spec: DatasetSpec,
    pictures: Vec<Picture>,
    skipped: Vec<Skipped>,
    on_progress: OnProgress<'_>,
) -> Result<Faces, PrepareError> {
    let threads = with.threads.clamp(1, pictures.len().max(1));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|n| format!("faces {n}")).build()?;
    let needs_search = pictures.iter().any(|picture| !picture.is_whole);
    let mut lookers = (0..threads).map(|_| Looker::new(with, needs_search)).collect::<Result<Vec<_>, _>>()?;

    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let total = Some(pictures.len() as u64);
    let work = |looker: &mut Looker| -> Result<Vec<(usize, Found)>, InferError> {
        let mut found = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(picture) = pictures.get(n) else { return Ok(found) };
            found.push((n, looker.look(&spec.path, picture)?));
            on_progress(Progress { done: done.fetch_add(1, Ordering::Relaxed) + 1, total });
        }
    };
    let parts: Vec<Vec<(usize, Found)>> =
        pool.install(|| lookers.par_iter_mut().map(work).collect::<Result<_, _>>())?;
    let mut found: Vec<(usize, Found)> = parts.into_iter().flatten().collect();
    found.sort_unstable_by_key(|(n, _)| *n);

    let path = spec.path.clone();
    let mut gather = Gather::of(spec, skipped);
    for ((_, found), picture) in found.into_iter().zip(pictures) {
        let source = match picture.place {
            Place::File(file) => file,
            Place::Row { number, .. } => PathBuf::from(format!("{}#{number}", file_name(&path))),
        };
        match found {
            Ok((crop, yaw_deg)) => gather.add(&picture.about, crop, yaw_deg, None, source),
            Err(reason) => gather.skip(source, reason),
        }
    }
    Ok(gather.finish())
}

/// Looks at one picture after another.
struct Looker {
    /// For pictures that a face must be searched in.
    view: Option<View>,
    /// For pictures that are crops already.
    decoder: Decoder,
    image: Image,
    planes: Vec<f32>,
}

impl Looker {
    fn new(with: &Preparation<'_>, needs_search: bool) -> Result<Self, ViewError> {
        let view = || View::new(with.runtime, with.detector, with.detection, super::CUT, 0);
        Ok(Self {
            view: needs_search.then(view).transpose()?,
            decoder: Decoder::new(with.detection.decode_width)?,
            image: Image::default(),
            planes: Vec::new(),
        })
    }

    fn look(&mut self, root: &Path, picture: &Picture) -> Result<Found, InferError> {
        let frame = match &picture.place {
            Place::File(file) => read_still(&datasets::at(root, file)),
            Place::Row { byte, .. } => fer2013::read_row(root, *byte)
                .map(|(side, pixels)| Frame::of_bytes(PixelFormat::Gray, side as u32, side as u32, pixels)),
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(reason) => return Ok(Err(reason)),
        };
        match &mut self.view {
            Some(view) if !picture.is_whole => {
                view.reset();
                view.step(Some(&frame))?;
                Ok(largest_face(view, &mut self.planes))
            }
            _ => Ok(self.whole(&frame)),
        }
    }

    /// The whole picture as a crop, made smaller if it is larger than other crops are.
    fn whole(&mut self, frame: &Frame) -> Found {
        let Self { decoder, image, planes, .. } = self;
        decoder.step(frame, image).map_err(|error| error.to_string())?;
        let scale = (image.width.max(image.height) as f32 / SIDE as f32).max(1.0);
        let shrunk = |length: usize| ((length as f32 / scale).round() as usize).max(1);
        let (width, height) = (shrunk(image.width), shrunk(image.height));
        let middle_of = |length: usize| (length as f32 - 1.0) / 2.0;
        let shift = |from: usize, to: usize| middle_of(from) - scale * middle_of(to);
        let (tx, ty) = (shift(image.width, width), shift(image.height, height));
        planes.resize(width * height, 0.0);
        warp(image, Similarity { a: scale, b: 0.0, tx, ty }, (width, height), Border::Nearest, GRAY, planes);
        let crop = Crop {
            width,
            height,
            gray: rounded(planes),
            middle: (middle_of(width), middle_of(height)),
            span: width.max(height) as f32,
            landmarks: None,
        };
        Ok((crop, None))
    }
}

/// The largest face that `view` sees: the others of a still are passers-by.
fn largest_face(view: &View, planes: &mut Vec<f32>) -> Found {
    let seen = view.seen();
    if let Some(error) = &seen.unreadable {
        return Err(error.to_string());
    }
    let area = |face: &&FaceView| face.rect.w * face.rect.h;
    let largest = seen.faces.iter().max_by(|a, b| area(a).total_cmp(&area(b)));
    let face = largest.ok_or_else(|| "no face was found".to_owned())?;
    Ok((crop_of(view.image(), face, planes), Some(face.pose.yaw_deg)))
}
