//! From a camera's bytes to RGB, no larger than the rest of the pipeline can use.
//!
//! JPEG pictures are scaled inside the inverse DCT by libjpeg-turbo, which costs less than decoding them whole. It
//! is vendored: at 1280x720 it takes 2.1 to 2.6 ms a frame whole and 1.5 to 1.9 ms at half size, zune-jpeg, which
//! cannot scale, 2.7 to 3.2 ms (`docs/design/vision.md`).

use turbojpeg::{Decompressor, ScalingFactor};

use super::Image;
use crate::frame::{Frame, PixelFormat};

/// Why a frame cannot be decoded. Such a frame is counted as corrupt.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum DecodeError {
    #[error("the picture is empty")]
    Empty,
    #[error("the JPEG picture is cut off: it has no end marker")]
    Truncated,
    #[error("this is no JPEG picture, or its header is damaged")]
    NoHeader,
    #[error("the JPEG picture cannot be decoded: {0}")]
    Jpeg(#[from] turbojpeg::Error),
    #[error("{found} bytes where {format} of {width}x{height} needs {needed}")]
    Size { format: PixelFormat, width: u32, height: u32, needed: usize, found: usize },
    #[error("{format} cannot have {width}x{height} pixels")]
    OddSize { format: PixelFormat, width: u32, height: u32 },
}

/// Decodes the frames of one camera.
#[derive(Debug)]
pub struct Decoder {
    jpeg: Decompressor,
    target_width: usize,
}

impl Decoder {
    /// A decoder that makes pictures at least `target_width` wide (as far as the frames are), and not much wider.
    ///
    /// # Errors
    /// When libjpeg-turbo cannot be set up (out of memory).
    pub fn new(target_width: usize) -> Result<Self, DecodeError> {
        Ok(Self { jpeg: Decompressor::new()?, target_width })
    }

    /// Decodes `frame` into `image`.
    ///
    /// # Errors
    /// Every [`DecodeError`]; `image` is then undefined.
    pub fn step(&mut self, frame: &Frame, image: &mut Image) -> Result<(), DecodeError> {
        let bytes = &*frame.bytes;
        let (width, height) = (frame.width as usize, frame.height as usize);
        if frame.format == PixelFormat::Mjpeg {
            return self.jpeg(bytes, image);
        }
        raw_picture(bytes, frame.format, frame.width, frame.height)?;
        // Raw frames shrink by whole steps: every `step`-th pixel of every `step`-th row.
        let step = (width / self.target_width).max(1);
        image.resize(width / step, height / step, 1.0 / step as f32);
        let rows = image.rgb.chunks_exact_mut(image.width * 3).zip((0..).step_by(step));
        for (row, y) in rows {
            let line = |bytes_per_pixel: usize| &bytes[y * width * bytes_per_pixel..][..width * bytes_per_pixel];
            let pixels = row.chunks_exact_mut(3).zip((0..).step_by(step));
            match frame.format {
                PixelFormat::Yuyv if step == 1 => {
                    for (pixels, pair) in row.chunks_exact_mut(6).zip(line(2).chunks_exact(4)) {
                        pixels[..3].copy_from_slice(&rgb_from_yuv(pair[0], pair[1], pair[3]));
                        pixels[3..].copy_from_slice(&rgb_from_yuv(pair[2], pair[1], pair[3]));
                    }
                }
                PixelFormat::Yuyv => pixels.for_each(|(rgb, x)| {
                    let pair = &line(2)[(x & !1) * 2..][..4];
                    rgb.copy_from_slice(&rgb_from_yuv(pair[(x & 1) * 2], pair[1], pair[3]));
                }),
                PixelFormat::Nv12 => {
                    let (luma, chroma) = (line(1), &bytes[width * height + y / 2 * width..][..width]);
                    pixels.for_each(|(rgb, x)| {
                        let uv = &chroma[x & !1..][..2];
                        rgb.copy_from_slice(&rgb_from_yuv(luma[x], uv[0], uv[1]));
                    });
                }
                PixelFormat::Rgb if step == 1 => row.copy_from_slice(line(3)),
                PixelFormat::Rgb => pixels.for_each(|(rgb, x)| rgb.copy_from_slice(&line(3)[x * 3..][..3])),
                PixelFormat::Bgr => pixels.for_each(|(rgb, x)| {
                    let bgr = &line(3)[x * 3..][..3];
                    rgb.copy_from_slice(&[bgr[2], bgr[1], bgr[0]]);
                }),
                PixelFormat::Gray => pixels.for_each(|(rgb, x)| rgb.fill(line(1)[x])),
                PixelFormat::Mjpeg => {}
            }
        }
        Ok(())
    }

    /// Decodes a JPEG picture into `image`.
    ///
    /// # Errors
    /// Every [`DecodeError`] but those of raw pictures; `image` is then undefined.
    pub fn jpeg(&mut self, bytes: &[u8], image: &mut Image) -> Result<(), DecodeError> {
        let bytes = jpeg_picture(bytes)?;
        let header = self.jpeg.read_header(bytes)?;
        // Eighths of the full size: the smallest that reaches the target.
        let wanted = self.target_width.saturating_mul(8).div_ceil(header.width.max(1)).clamp(1, 8);
        let eighths = if header.is_lossless { 8 } else { wanted };
        let factor = ScalingFactor::new(eighths, 8);
        self.jpeg.set_scaling_factor(factor)?;
        let (width, height) = (factor.scale(header.width), factor.scale(header.height));
        image.resize(width, height, eighths as f32 / 8.0);
        self.jpeg.decompress(
            bytes,
            turbojpeg::Image {
                pixels: &mut image.rgb[..],
                width,
                pitch: width * 3,
                height,
                format: turbojpeg::PixelFormat::RGB,
            },
        )?;
        Ok(())
    }
}

/// The raw picture in a camera's buffer, which may be longer.
///
/// # Errors
/// [`DecodeError::Empty`], [`DecodeError::Size`] and [`DecodeError::OddSize`].
pub fn raw_picture(bytes: &[u8], format: PixelFormat, width: u32, height: u32) -> Result<&[u8], DecodeError> {
    if width == 0 || height == 0 {
        return Err(DecodeError::Empty);
    }
    let needed = format.frame_bytes(width, height).ok_or(DecodeError::OddSize { format, width, height })?;
    bytes.get(..needed).ok_or(DecodeError::Size { format, width, height, needed, found: bytes.len() })
}

/// Width and height of a JPEG picture, as its header says.
///
/// # Errors
/// [`DecodeError::Jpeg`].
pub fn jpeg_size(bytes: &[u8]) -> Result<(usize, usize), DecodeError> {
    let header = turbojpeg::read_header(bytes)?;
    Ok((header.width, header.height))
}

/// The JPEG picture in a camera's buffer, which may be longer: up to and with its end marker.
///
/// # Errors
/// [`DecodeError::Empty`], [`DecodeError::NoHeader`] and [`DecodeError::Truncated`].
pub fn jpeg_picture(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    // The bytes behind the end are an earlier picture's or zeros, and a thumbnail in the header has markers of its
    // own. So: over the header, segment by segment, to the coded data; in there an end marker is the picture's end.
    let mut at = 2;
    loop {
        match *bytes.get(at..at + 4).ok_or(DecodeError::Truncated)? {
            [0xff, 0xda, ..] => break,
            [0xff, 0xff, ..] => at += 1,
            [0xff, _, high, low] => at += 2 + usize::from(u16::from_be_bytes([high, low])),
            _ => return Err(DecodeError::NoHeader),
        }
    }
    let coded = &bytes[at..];
    let end = coded.windows(2).position(|pair| pair == [0xff, 0xd9]).ok_or(DecodeError::Truncated)?;
    Ok(&bytes[..at + end + 2])
}

/// BT.601, limited range (Y 16 to 235), in 16.16 fixed point: what V4L2 says of YUYV and NV12 unless told otherwise.
fn rgb_from_yuv(y: u8, u: u8, v: u8) -> [u8; 3] {
    let y = 76_309 * (i32::from(y) - 16);
    let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
    let byte = |value: i32| ((value + 32_768) >> 16).clamp(0, 255) as u8;
    [byte(y + 104_597 * v), byte(y - 25_675 * u - 53_279 * v), byte(y + 132_201 * u)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(frame: &Frame, target_width: usize) -> Result<Image, DecodeError> {
        let mut image = Image::default();
        Decoder::new(target_width)?.step(frame, &mut image)?;
        Ok(image)
    }

    /// A picture whose left half is red and whose right half is blue.
    fn red_and_blue(width: usize, height: usize) -> Vec<u8> {
        (0..width * height).flat_map(|n| if n % width < width / 2 { [255, 0, 0] } else { [0, 0, 255] }).collect()
    }

    fn jpeg(width: usize, height: usize) -> Vec<u8> {
        let pixels = red_and_blue(width, height);
        let format = turbojpeg::PixelFormat::RGB;
        let image = turbojpeg::Image { pixels: &pixels[..], width, pitch: width * 3, height, format };
        turbojpeg::compress(image, 95, turbojpeg::Subsamp::None).expect("compresses").to_vec()
    }

    fn assert_near(pixel: &[u8], expected: [u8; 3]) {
        let off = pixel.iter().zip(expected).map(|(&a, b)| a.abs_diff(b)).max();
        assert!(off <= Some(3), "{pixel:?} is not {expected:?}");
    }

    #[test]
    fn a_large_jpeg_is_decoded_at_the_scale_that_is_needed() {
        let image = decode(&Frame::of_bytes(PixelFormat::Mjpeg, 1280, 64, jpeg(1280, 64)), 640).expect("decodes");
        assert_eq!((image.width, image.height, image.scale), (640, 32, 0.5));
        assert_near(&image.rgb[..3], [255, 0, 0]);
        assert_near(&image.rgb[639 * 3..640 * 3], [0, 0, 255]);
    }

    #[test]
    fn what_follows_the_end_of_a_jpeg_is_ignored() {
        let mut bytes = jpeg(64, 64);
        bytes.extend([0; 1000]);
        bytes.extend([0xff, 0xd9]);
        assert_eq!(decode(&Frame::of_bytes(PixelFormat::Mjpeg, 64, 64, bytes), 640).expect("decodes").width, 64);
    }

    #[test]
    fn empty_and_truncated_pictures_are_told_apart() {
        assert!(matches!(
            decode(&Frame::of_bytes(PixelFormat::Mjpeg, 64, 64, Vec::new()), 640),
            Err(DecodeError::Empty)
        ));
        let mut bytes = jpeg(64, 64);
        bytes.truncate(bytes.len() / 2);
        assert!(matches!(
            decode(&Frame::of_bytes(PixelFormat::Mjpeg, 64, 64, bytes), 640),
            Err(DecodeError::Truncated)
        ));
        let short = Frame::of_bytes(PixelFormat::Yuyv, 64, 64, vec![0; 64 * 64]);
        assert!(decode(&short, 640).expect_err("half is missing").to_string().contains("8192"));
    }

    #[test]
    fn large_raw_pictures_shrink_by_whole_steps_in_every_format() {
        // Twice as wide as wanted, and a little more: the last columns and rows are left out.
        let (width, height) = (22, 10);
        let value = |n: usize| ((n % width) * 9 + (n / width) * 3) as u8;
        let pixels = width * height;
        let gray = (0..pixels).map(value).collect();
        let rgb = (0..pixels).flat_map(|n| [value(n), 7, 9]).collect();
        let bgr = (0..pixels).flat_map(|n| [9, 7, value(n)]).collect();
        let yuyv: Vec<u8> = (0..pixels).flat_map(|n| [value(n), 128]).collect();
        let nv12 = (0..pixels).map(value).chain(std::iter::repeat_n(128, pixels / 2)).collect();
        for (format, bytes) in [
            (PixelFormat::Gray, gray),
            (PixelFormat::Rgb, rgb),
            (PixelFormat::Bgr, bgr),
            (PixelFormat::Yuyv, yuyv),
            (PixelFormat::Nv12, nv12),
        ] {
            let image = decode(&Frame::of_bytes(format, width as u32, height as u32, bytes), 10).expect("decodes");
            assert_eq!((image.width, image.height, image.scale), (11, 5, 0.5), "{format}");
            for (n, pixel) in image.rgb.chunks(3).enumerate() {
                let luma = value(n / 11 * 2 * width + n % 11 * 2);
                let expected = match format {
                    PixelFormat::Gray => [luma; 3],
                    PixelFormat::Rgb | PixelFormat::Bgr => [luma, 7, 9],
                    _ => rgb_from_yuv(luma, 128, 128),
                };
                assert_eq!(pixel, expected, "{format}, pixel {n}");
            }
        }
    }

    #[test]
    fn raw_formats_agree_on_a_picture() {
        let (width, height) = (8, 4);
        let rgb = red_and_blue(width, height);
        let (red, blue) = ([81, 90, 240], [41, 240, 110]);
        let yuv = |x: usize| if x < width / 2 { red } else { blue };
        let yuyv = (0..width * height).flat_map(|n| [yuv(n % width)[0], yuv(n % width)[1 + n % 2]]).collect();
        let luma = (0..width * height).map(|n| yuv(n % width)[0]);
        let chroma = (0..width * height / 2).map(|n| yuv(n % width)[1 + n % 2]);
        let nv12 = luma.chain(chroma).collect();
        let bgr = rgb.chunks(3).flat_map(|p| [p[2], p[1], p[0]]).collect();
        for (format, bytes) in [
            (PixelFormat::Rgb, rgb.clone()),
            (PixelFormat::Bgr, bgr),
            (PixelFormat::Yuyv, yuyv),
            (PixelFormat::Nv12, nv12),
        ] {
            let image = decode(&Frame::of_bytes(format, width as u32, height as u32, bytes), 640).expect("decodes");
            for (pixel, expected) in image.rgb.chunks(3).zip(rgb.chunks(3)) {
                assert_near(pixel, [expected[0], expected[1], expected[2]]);
            }
        }
    }
}
