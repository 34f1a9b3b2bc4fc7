//! On the GPU in software that the tests' set-up installs.

use super::*;
use crate::capture::folder::read_still;
use crate::image::decode::Decoder;
use crate::image::warp::{Border, warp};
use crate::infer::manifest::Channels;
use std::path::Path;

const SIZE: usize = 64;
const GREY: Layout = Layout { channels: Channels::Gray, mean: 127.5, std: 64.0 };
const COLOUR: Layout = Layout { channels: Channels::Bgr, mean: 0.0, std: 1.0 };

/// Cuts of all kinds: enlarged, as it is, reduced, much reduced, turned, and beyond the border.
fn regions() -> [Similarity; 6] {
    let at = |scale: f32, turn: f32, tx: f32, ty: f32| {
        let (sin, cos) = turn.sin_cos();
        Similarity { a: scale * cos, b: scale * sin, tx, ty }
    };
    [
        at(0.4, 0.0, 210.3, 100.7),
        at(1.0, 0.1, 200.0, 80.0),
        at(2.7, -0.3, 150.2, 90.9),
        at(5.1, 0.2, 40.0, -3.0),
        at(1.7, 3.0, 300.0, 200.0),
        at(1.2, 0.0, 590.0, 320.0),
    ]
}

/// A real picture in every format that cameras send, 640x360.
fn frames() -> Vec<Frame> {
    let take = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/take");
    let still = read_still(&take.join("cam1/000060.jpg")).expect("it reads");
    let mut image = Image::default();
    Decoder::new(usize::MAX).expect("a decoder").step(&still, &mut image).expect("it is one");
    let (width, height) = (image.width, image.height);
    let pixel = |x: usize, y: usize| &image.rgb[(y * width + x) * 3..][..3];
    let each = |of: &dyn Fn(usize, usize) -> Vec<u8>| -> Vec<u8> {
        (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| of(x, y)).collect()
    };
    let yuyv = each(&|x, y| vec![pixel(x, y)[1], pixel(x & !1, y)[if x % 2 == 0 { 2 } else { 0 }]]);
    let mut nv12 = each(&|x, y| vec![pixel(x, y)[1]]);
    let chroma = (0..height / 2).flat_map(|y| (0..width).map(move |x| (x, y)));
    nv12.extend(chroma.map(|(x, y)| pixel(x & !1, y * 2)[if x % 2 == 0 { 2 } else { 0 }]));
    let of = |format, bytes: Vec<u8>| Frame::of_bytes(format, width as u32, height as u32, bytes);
    vec![
        of(PixelFormat::Yuyv, yuyv),
        of(PixelFormat::Nv12, nv12),
        of(PixelFormat::Rgb, image.rgb.clone()),
        of(PixelFormat::Bgr, each(&|x, y| pixel(x, y).iter().rev().copied().collect())),
        of(PixelFormat::Gray, each(&|x, y| vec![pixel(x, y)[1]])),
        still,
    ]
}

#[test]
fn faces_are_cut_as_on_the_cpu_from_all_that_cameras_send() {
    crate::gpu::tests::with_lavapipe(|| {
        let gpu = Gpu::open().expect("a GPU in software");
        for layout in [GREY, COLOUR] {
            let mut cutter = Cutter::new(&gpu, SIZE, layout).expect("it compiles");
            let values = layout.planes() * SIZE * SIZE;
            for target_width in [usize::MAX, 320] {
                let mut decoder = Decoder::new(target_width).expect("a decoder");
                let (frames, mut images) = (frames(), Vec::new());
                for frame in &frames {
                    let mut image = Image::default();
                    decoder.step(frame, &mut image).expect("it is a picture");
                    images.push(image);
                }
                let pictures = || {
                    let pairs = frames.iter().zip(&images);
                    pairs.map(|(frame, image)| Picture::of(frame, image).expect("its size is right"))
                };
                let faces = frames.len() * regions().len();
                let (mut details, mut cuts) = (Vec::new(), Vec::new());
                let before = gpu.traffic();
                cutter.begin(faces, pictures()).expect("there is room");
                for picture in pictures() {
                    cutter.picture(picture);
                    regions().into_iter().for_each(|region| cutter.face(region));
                }
                cutter.step(None).expect("it is submitted");
                cutter.finish(&mut details, &mut cuts).expect("it is done");
                let traffic = gpu.traffic() - before;
                let raw: u64 = pictures().map(|picture| picture.size()).sum();
                assert_eq!(traffic.up_bytes, raw + REGION * faces as u64);
                assert_eq!(traffic.down_bytes, TIMES + (DETAIL + 4 * values as u64) * faces as u64);
                assert_eq!(traffic.waits, 1, "one wait a set");
                assert_eq!((details.len(), cuts.len()), (faces, faces * values));
                let mut wanted = vec![0.0; values];
                let mut found = cuts.chunks_exact(values).zip(&details);
                for (frame, image) in frames.iter().zip(&images) {
                    for region in regions() {
                        warp(image, region, (SIZE, SIZE), Border::Nearest, layout, &mut wanted);
                        let (cut, detail) = found.next().expect("one a face");
                        let apart = cut.iter().zip(&wanted).map(|(a, b)| (a - b).abs() * layout.std);
                        let apart = apart.fold(0.0, f32::max);
                        assert!(apart <= 1.0, "{:?} {region:?}: {apart} of 255 apart", frame.format);
                        let close = |a: f32, b: f32| (a - b).abs() <= 0.01 * b.abs() + 1e-4 * layout.std * layout.std;
                        let of_cpu = Detail::of(&wanted, SIZE);
                        let is_close =
                            close(detail.variance, of_cpu.variance) && close(detail.laplacian, of_cpu.laplacian);
                        assert!(is_close, "{:?} {region:?}: {detail:?}, {of_cpu:?}", frame.format);
                    }
                }
            }
        }
    });
}

#[test]
fn what_does_not_fit_and_a_lost_gpu_are_errors_and_no_panic() {
    crate::gpu::tests::with_lavapipe(|| {
        let gpu = Gpu::open().expect("a GPU in software");
        let error = gpu.has_room_for(u64::MAX).expect_err("nobody has that").to_string();
        assert!(error.contains(&gpu.name) && error.contains("bytes"), "{error}");
        let mut cutter = Cutter::new(&gpu, SIZE, GREY).expect("it compiles");
        let frames = frames();
        let picture = Picture { bytes: &frames[2].bytes, format: PixelFormat::Rgb, width: 640, height: 360, step: 1 };
        let mut set = || -> Result<usize, GpuError> {
            let (mut details, mut cuts) = (Vec::new(), Vec::new());
            cutter.begin(1, [picture].into_iter())?;
            cutter.picture(picture);
            cutter.face(regions()[0]);
            cutter.step(None)?;
            cutter.finish(&mut details, &mut cuts)?;
            Ok(details.len())
        };
        for _ in 0..5 {
            assert_eq!(set(), Ok(1), "the two buffers take turns");
        }
        let began_at = std::time::Instant::now();
        gpu.device.destroy();
        let error = (0..3).find_map(|_| set().err()).expect("it is lost");
        assert!(matches!(error, GpuError::Lost { .. } | GpuError::Failed { .. }), "{error:?}");
        assert!(began_at.elapsed() < Duration::from_secs(10), "{:?}", began_at.elapsed());
        assert!(set().is_err(), "and stays so");
    });
}
