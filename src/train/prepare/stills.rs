//! Single pictures: each looked at by itself, as `vultus replay --stills` does; several side by side.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rayon::prelude::*;

use super::{Found, Keep, Looked, OnProgress, Preparation, PrepareError, Progress, Unfound};
use crate::capture::folder::read_still;
use crate::face::view::{View, ViewError};
use crate::frame::{Frame, PixelFormat};
use crate::image::Image;
use crate::image::decode::Decoder;
use crate::infer::InferError;
use crate::record::file_name;
use crate::train::datasets::{self, Picture, Place, fer2013};

/// What a picture gives, with its place among the pictures.
type Numbered<T> = (usize, Found<T>);

pub(super) fn look<K: Keep>(
    with: &Preparation<'_>,
    root: &Path,
    pictures: &[Picture],
    keep: impl Fn() -> Result<K, PrepareError>,
    on_progress: OnProgress<'_>,
) -> Result<Vec<Looked<K::Kept>>, PrepareError> {
    let threads = with.threads.clamp(1, pictures.len().max(1));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|n| format!("faces {n}")).build()?;
    let needs_search = pictures.iter().any(|picture| !picture.is_whole);
    let looker = |_| Looker::new(with, keep()?, needs_search);
    let mut lookers = (0..threads).map(looker).collect::<Result<Vec<_>, PrepareError>>()?;

    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let total = Some(pictures.len() as u64);
    let work = |looker: &mut Looker<K>| -> Result<Vec<Numbered<K::Kept>>, InferError> {
        let mut found = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(picture) = pictures.get(n) else { return Ok(found) };
            found.push((n, looker.look(root, picture)?));
            on_progress(Progress { done: done.fetch_add(1, Ordering::Relaxed) + 1, total });
        }
    };
    let parts: Vec<Vec<_>> = pool.install(|| lookers.par_iter_mut().map(work).collect::<Result<_, _>>())?;
    let mut found: Vec<_> = parts.into_iter().flatten().collect();
    found.sort_unstable_by_key(|(n, _)| *n);

    let looked = |((_, found), picture): (Numbered<K::Kept>, &Picture)| {
        let source = match &picture.place {
            Place::File(file) => file.clone(),
            Place::Row { number, .. } => PathBuf::from(format!("{}#{number}", file_name(root))),
        };
        Looked { about: picture.about.clone(), time_s: None, source, found }
    };
    Ok(found.into_iter().zip(pictures).map(looked).collect())
}

/// Looks at one picture after another.
struct Looker<K> {
    /// For pictures that a face must be searched in.
    view: Option<View>,
    /// For pictures that are crops already.
    decoder: Decoder,
    image: Image,
    keep: K,
}

impl<K: Keep> Looker<K> {
    fn new(with: &Preparation<'_>, keep: K, needs_search: bool) -> Result<Self, PrepareError> {
        let view = || View::new(with.runtime, with.detector, with.detection, keep.format(), 0);
        Ok(Self {
            view: needs_search.then(view).transpose()?,
            decoder: Decoder::new(with.detection.decode_width).map_err(ViewError::from)?,
            image: Image::default(),
            keep,
        })
    }

    fn look(&mut self, root: &Path, picture: &Picture) -> Result<Found<K::Kept>, InferError> {
        let frame = match &picture.place {
            Place::File(file) => read_still(&datasets::at(root, file)),
            Place::Row { byte, .. } => fer2013::read_row(root, *byte)
                .map(|(side, pixels)| Frame::of_bytes(PixelFormat::Gray, side as u32, side as u32, pixels)),
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(reason) => return Ok(Err(Unfound::Unusable(reason))),
        };
        let Self { view, decoder, image, keep } = self;
        match view {
            Some(view) if !picture.is_whole => {
                view.reset();
                view.step(Some(&frame))?;
                match largest_face(view) {
                    Ok(n) => Ok(Ok((keep.face(view, n)?, Some(view.seen().faces[n].pose.yaw_deg)))),
                    Err(unfound) => Ok(Err(unfound)),
                }
            }
            _ => match decoder.step(&frame, image) {
                Ok(()) => Ok(Ok((keep.whole(image)?, None))),
                Err(error) => Ok(Err(Unfound::Unusable(error.to_string()))),
            },
        }
    }
}

/// The largest face that `view` sees: the others of a still are passers-by.
fn largest_face(view: &View) -> Result<usize, Unfound> {
    let seen = view.seen();
    if let Some(error) = &seen.unreadable {
        return Err(Unfound::Unusable(error.to_string()));
    }
    let area = |n: &usize| seen.faces[*n].rect.w * seen.faces[*n].rect.h;
    (0..seen.faces.len()).max_by(|a, b| area(a).total_cmp(&area(b))).ok_or(Unfound::NoFace)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{prepare, stills, take};
    use crate::train::faces::{Crop, Skipped};
    use std::fs;
    use std::path::Path;

    fn open(file: &Path) -> image::DynamicImage {
        let mut decoder = super::Decoder::new(640).expect("a decoder");
        let mut picture = super::Image::default();
        decoder.jpeg(&fs::read(file).expect("reads"), &mut picture).expect("decodes");
        let (width, height) = (picture.width as u32, picture.height as u32);
        image::RgbImage::from_raw(width, height, picture.rgb).expect("fits").into()
    }

    #[test]
    fn the_faces_do_not_depend_on_the_number_of_threads() {
        let root = stills(&[60, 90]);
        let spec = format!("classes:{}", root.path().display());
        let of = |threads| prepare(&spec, threads, None).0.expect("prepares");
        assert_eq!(of(1), of(3));
    }

    #[test]
    fn small_grey_and_colour_pictures_of_every_format_show_the_same_face() {
        let root = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(root.path().join("sad")).expect("made");
        let picture = open(&take().join("cam1/000090.jpg"));
        // Small, as the CMU Face Images are.
        let small = picture.crop_imm(200, 30, 240, 225).resize_exact(128, 120, image::imageops::FilterType::Triangle);
        let small = small.to_rgb8();
        let gray = image::GrayImage::from_fn(128, 120, |x, y| {
            let [r, g, b] = small.get_pixel(x, y).0.map(f32::from);
            image::Luma([(0.299 * r + 0.587 * g + 0.114 * b).round() as u8])
        });
        let folder = root.path().join("sad");
        small.save(folder.join("colour.png")).expect("saved");
        small.save(folder.join("colour.ppm")).expect("saved");
        gray.save(folder.join("grey.pgm")).expect("saved");
        gray.save(folder.join("grey.png")).expect("saved");
        let faces = prepare(&format!("classes:{}", root.path().display()), 1, None).0.expect("prepares");
        let crops: Vec<_> = faces.faces.iter().map(|face| &face.crop).collect();
        let [colour_png, colour_ppm, grey_pgm, grey_png] = crops[..] else { panic!("{}", faces.report()) };
        assert_eq!(colour_png, colour_ppm);
        assert_eq!(grey_pgm, grey_png);
        // The detector draws a grey face a little differently.
        let middle = |crop: &Crop| crop.landmarks.map(|landmarks| crate::scene::middle(&landmarks)).expect("landmarks");
        let off = middle(grey_png).distance(middle(colour_png));
        assert!(off < 0.1 * grey_png.span, "off by {off} pixels");
    }

    #[test]
    fn a_whole_picture_keeps_its_own_pixels_and_a_large_one_is_made_smaller() {
        let root = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(root.path().join("fear")).expect("made");
        let value = |x: u32, y: u32| (3 * x + 2 * y) as u8;
        let picture = |width, height| image::GrayImage::from_fn(width, height, |x, y| image::Luma([value(x, y)]));
        picture(34, 48).save(root.path().join("fear/small.pgm")).expect("saved");
        picture(1, 1).save(root.path().join("fear/tiny.png")).expect("saved");
        image::GrayImage::from_pixel(800, 400, image::Luma([77]))
            .save(root.path().join("fear/large.png"))
            .expect("saved");
        let faces = prepare(&format!("fer2013:{}", root.path().display()), 2, None).0.expect("prepares");
        let [large, small, tiny] = &faces.faces[..] else { panic!("{}", faces.report()) };
        assert_eq!((small.crop.width, small.crop.height, small.crop.span), (34, 48, 48.0));
        let own: Vec<u8> = (0..48).flat_map(|y| (0..34).map(move |x| value(x, y))).collect();
        assert_eq!(small.crop.gray, own);
        assert_eq!((small.crop.middle, small.crop.landmarks, small.yaw_deg), ((16.5, 23.5), None, None));
        assert_eq!((large.crop.width, large.crop.height), (192, 96));
        assert!(large.crop.gray.iter().all(|value| *value == 77));
        assert_eq!(tiny.crop.gray, [0]);
        assert!(faces.subjects.is_empty() && faces.faces.iter().all(|face| face.subject.is_none()));
    }

    #[test]
    fn what_cannot_be_used_is_left_out_with_the_reason() {
        let root = stills(&[60]);
        let folder = root.path().join("happy");
        let whole = fs::read(folder.join("cam0_60.jpg")).expect("reads");
        fs::write(folder.join("cut_off.jpg"), &whole[..whole.len() / 2]).expect("written");
        fs::write(folder.join("empty.jpg"), "").expect("written");
        fs::write(folder.join("text.png"), "no picture").expect("written");
        image::GrayImage::from_pixel(200, 200, image::Luma([90])).save(folder.join("wall.png")).expect("saved");
        let spec = format!("classes:{}", root.path().display());
        let faces = prepare(&spec, 2, None).0.expect("prepares");
        let reason = |name: &str| {
            let of = |s: &&Skipped| s.source.ends_with(name);
            faces.skipped.iter().find(of).map(|skipped| skipped.reason.as_str()).unwrap_or_default()
        };
        assert!(reason("cut_off.jpg").contains("no end marker"), "{}", faces.report());
        assert_eq!((reason("empty.jpg"), reason("wall.png")), ("the file is empty", "no face was found"));
        assert!(!reason("text.png").is_empty(), "{}", faces.report());
        assert_eq!(faces.faces.len() + faces.skipped.len(), 8);

        for camera in 0..4 {
            fs::remove_file(folder.join(format!("cam{camera}_60.jpg"))).expect("removed");
        }
        let message = prepare(&spec, 2, None).0.expect_err("nothing is left").to_string();
        assert!(message.contains("no face was found in any picture") && message.contains("empty.jpg"), "{message}");
    }
}
