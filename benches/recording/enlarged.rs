//! A take made anew with pictures of another size.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use image::RgbImage;
use image::imageops::{FilterType, resize};
use rayon::prelude::*;
use serde_json::{Value, json};
use turbojpeg::Subsamp;
use vultus::capture::recording::Recording;
use vultus::capture::{Event, Source};
use vultus::frame::FramePool;
use vultus::image::Image;
use vultus::image::decode::Decoder;

/// High, because what is enlarged is smooth: so pictures are as large as those of webcams, which have noise.
const QUALITY: i32 = 98;

/// What was made.
pub struct Sizes {
    pub cameras: usize,
    pub mean_bytes: f64,
}

/// Makes `into` the take `take` with pictures of `size`, at the same times.
pub fn make(take: &Path, size: (u32, u32), into: &Path) -> Sizes {
    let recording = Recording::open(&[take.to_owned()], false).expect("a take");
    let cameras: Vec<(Value, Vec<usize>)> =
        recording.sources.into_par_iter().map(|source| camera(source, size, into)).collect();
    let (rig, bytes): (Vec<Value>, Vec<Vec<usize>>) = cameras.into_iter().unzip();
    fs::write(into.join("rig.json"), json!({"cameras": rig}).to_string()).expect("written");
    let bytes = bytes.concat();
    Sizes { cameras: rig.len(), mean_bytes: bytes.iter().sum::<usize>() as f64 / bytes.len() as f64 }
}

/// One camera's folder; returns its entry in `rig.json` and the sizes of its pictures.
fn camera(mut source: Box<dyn Source>, (width, height): (u32, u32), into: &Path) -> (Value, Vec<usize>) {
    let stream = source.stream().clone();
    let folder = into.join(&*stream.name);
    fs::create_dir_all(&folder).expect("made");
    let pool = FramePool::new(1, stream.frame_bytes);
    let mut decoder = Decoder::new(usize::MAX).expect("a decoder");
    let (mut picture, mut times, mut bytes) =
        (Image::default(), String::from("seq,captured_ns,received_ns\n"), Vec::new());
    loop {
        let frame = match source.next(&pool).expect("a take can be read") {
            Event::Frame(frame) => frame,
            Event::End => break,
            other => panic!("{other:?}"),
        };
        decoder.step(&frame, &mut picture).expect("a picture");
        let whole = RgbImage::from_raw(picture.width as u32, picture.height as u32, picture.rgb.clone());
        let resized = resize(&whole.expect("all pixels"), width, height, FilterType::Triangle);
        let image = turbojpeg::Image {
            pixels: resized.as_raw().as_slice(),
            width: width as usize,
            pitch: width as usize * 3,
            height: height as usize,
            format: turbojpeg::PixelFormat::RGB,
        };
        let jpeg = turbojpeg::compress(image, QUALITY, Subsamp::Sub2x1).expect("encoded");
        fs::write(folder.join(format!("{:06}.jpg", frame.seq)), &jpeg).expect("written");
        writeln!(times, "{},{},{}", frame.seq, frame.captured_at.ns(), frame.received_at.ns()).expect("written");
        bytes.push(jpeg.len());
    }
    fs::write(folder.join("timestamps.csv"), times).expect("written");
    let fps = 1.0 / stream.period.as_secs_f64();
    (json!({"name": &*stream.name, "width": width, "height": height, "fps": fps}), bytes)
}
