//! From raw camera frames to JPEG, for the recording and the page.
//!
//! YUV frames go into the encoder as planes, without a detour over RGB: JPEG stores YUV itself, in full range and with
//! the colour at the same reduced size.

use turbojpeg::{Compressor, OutputBuf, Subsamp, YuvPlanesImage};

use super::Image;
use super::decode::{DecodeError, raw_picture};
use crate::frame::{Frame, FrameBytes, PixelFormat};

/// That of most webcams' own JPEG.
const USUAL_SUBSAMP: Subsamp = Subsamp::Sub2x1;

/// Why a frame cannot be made a JPEG picture.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum EncodeError {
    #[error(transparent)]
    Unreadable(#[from] DecodeError),
    #[error("the picture cannot be encoded as JPEG: {0}")]
    Jpeg(#[from] turbojpeg::Error),
}

/// A frame's picture as JPEG.
pub enum Jpeg {
    /// The camera's own bytes, shared and as they came: perhaps damaged, perhaps longer than the picture.
    OfCamera(FrameBytes),
    /// Encoded here.
    Encoded(Vec<u8>),
}

impl Jpeg {
    /// That of `frame`; `encoder` makes it if the camera has not.
    ///
    /// # Errors
    /// Every [`EncodeError`]; none if the camera sent JPEG.
    pub fn of(frame: &Frame, encoder: &mut JpegEncoder) -> Result<Self, EncodeError> {
        if frame.format == PixelFormat::Mjpeg {
            return Ok(Self::OfCamera(frame.bytes.clone()));
        }
        let mut encoded = Vec::new();
        encoder.step(frame, &mut encoded)?;
        Ok(Self::Encoded(encoded))
    }
}

impl AsRef<[u8]> for Jpeg {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::OfCamera(bytes) => bytes,
            Self::Encoded(bytes) => bytes,
        }
    }
}

/// Makes JPEG pictures of raw frames; [`Jpeg::of`] is for all.
#[derive(Debug)]
pub struct JpegEncoder {
    jpeg: Compressor,
    /// The planes of a YUV frame, one after another.
    planes: Vec<u8>,
    /// Where libjpeg-turbo writes: as large as the picture can become at worst.
    room: Vec<u8>,
}

impl JpegEncoder {
    /// An encoder of this quality, 1 to 100.
    ///
    /// # Errors
    /// When libjpeg-turbo cannot be set up (out of memory), or does not know such a quality.
    pub fn new(quality: i32) -> Result<Self, EncodeError> {
        let mut jpeg = Compressor::new()?;
        jpeg.set_quality(quality)?;
        Ok(Self { jpeg, planes: Vec::new(), room: Vec::new() })
    }

    /// A JPEG picture of `image`.
    ///
    /// # Errors
    /// [`EncodeError::Jpeg`].
    pub fn picture(&mut self, image: &Image) -> Result<Vec<u8>, EncodeError> {
        self.jpeg.set_subsamp(USUAL_SUBSAMP)?;
        Ok(self.jpeg.compress_to_vec(turbojpeg::Image {
            pixels: &image.rgb[..],
            width: image.width,
            pitch: image.width * 3,
            height: image.height,
            format: turbojpeg::PixelFormat::RGB,
        })?)
    }

    /// Makes `out` a JPEG picture of `frame`.
    ///
    /// # Errors
    /// Every [`EncodeError`], also for a frame that is JPEG already; `out` is then undefined.
    fn step(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.clear();
        let pixels = raw_picture(&frame.bytes, frame.format, frame.width, frame.height)?;
        let (width, height) = (frame.width as usize, frame.height as usize);
        let subsamp = match frame.format {
            PixelFormat::Nv12 => Subsamp::Sub2x2,
            PixelFormat::Gray => Subsamp::Gray,
            _ => USUAL_SUBSAMP,
        };
        let most = turbojpeg::compressed_buf_len(width, height, subsamp)?;
        if self.room.len() < most {
            self.room.resize(most, 0);
        }
        let mut room = OutputBuf::borrowed(&mut self.room);
        if matches!(frame.format, PixelFormat::Yuyv | PixelFormat::Nv12) {
            split_planes(pixels, frame.format, width * height, &mut self.planes);
            let (y_plane, colour) = self.planes.split_at(width * height);
            let (u_plane, v_plane) = colour.split_at(colour.len() / 2);
            let stride = width / 2;
            self.jpeg.compress_yuv_planes(
                &YuvPlanesImage {
                    y_plane,
                    u_plane,
                    v_plane,
                    width,
                    height,
                    y_stride: width,
                    u_stride: stride,
                    v_stride: stride,
                    subsamp,
                },
                &mut room,
            )?;
        } else {
            let format = match frame.format {
                PixelFormat::Gray => turbojpeg::PixelFormat::GRAY,
                PixelFormat::Bgr => turbojpeg::PixelFormat::BGR,
                _ => turbojpeg::PixelFormat::RGB,
            };
            self.jpeg.set_subsamp(subsamp)?;
            self.jpeg.compress(
                turbojpeg::Image { pixels, width, pitch: width * format.size(), height, format },
                &mut room,
            )?;
        }
        out.extend_from_slice(&room);
        Ok(())
    }
}

/// Fills `planes` with Y, U and V of a YUYV or NV12 picture, in full range.
fn split_planes(bytes: &[u8], format: PixelFormat, pixels: usize, planes: &mut Vec<u8>) {
    planes.clear();
    if format == PixelFormat::Yuyv {
        planes.extend(bytes.iter().step_by(2).map(|y| LUMA[usize::from(*y)]));
        for at in [1, 3] {
            planes.extend(bytes.iter().skip(at).step_by(4).map(|c| CHROMA[usize::from(*c)]));
        }
    } else {
        let (luma, chroma) = bytes.split_at(pixels);
        planes.extend(luma.iter().map(|y| LUMA[usize::from(*y)]));
        for at in [0, 1] {
            planes.extend(chroma.iter().skip(at).step_by(2).map(|c| CHROMA[usize::from(*c)]));
        }
    }
}

/// JPEG's full range from a camera's limited one: Y is 16 to 235 there, colour 16 to 240 around 128.
const LUMA: [u8; 256] = full_range(16, 219, 0);
const CHROMA: [u8; 256] = full_range(128, 224, 128);

/// For every byte `(byte - zero) * 255 / span + new_zero`, rounded.
const fn full_range(zero: i32, span: i32, new_zero: i32) -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        // In doubled units, so that half a unit rounds; moved up by a multiple of the span, so that nothing is negative.
        let value = ((byte - zero) * 510 + span + 1024 * span) / (2 * span) - 512 + new_zero;
        table[byte as usize] = if value < 0 {
            0
        } else if value > 255 {
            255
        } else {
            value as u8
        };
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;
    use crate::image::decode::Decoder;

    fn decode(frame: &Frame) -> Image {
        let mut image = Image::default();
        Decoder::new(640).expect("a decoder").step(frame, &mut image).expect("decodes");
        image
    }

    #[test]
    fn every_format_looks_as_it_does_without_the_detour_over_jpeg() {
        // Smooth ramps, so that the smaller size of the colour costs nothing, over the whole limited range.
        let (width, height) = (64, 48);
        let luma = |x: usize, y: usize| (16 + x * 2 + y * 2) as u8;
        let chroma = |x: usize, y: usize| [(100 + x / 2) as u8, (160 - y) as u8];
        let rows = || (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let yuyv = rows().flat_map(|(x, y)| [luma(x, y), chroma(x & !1, y)[x % 2]]).collect();
        let half = || (0..height / 2).flat_map(|y| (0..width / 2).map(move |x| (x * 2, y * 2)));
        let nv12 = rows().map(|(x, y)| luma(x, y)).chain(half().flat_map(|(x, y)| chroma(x, y))).collect();
        let rgb = rows().flat_map(|(x, y)| [x as u8 * 3, y as u8 * 4, 128]).collect();
        let bgr = rows().flat_map(|(x, y)| [x as u8, 40, y as u8 * 5]).collect();
        let gray = rows().map(|(x, y)| luma(x, y)).collect();
        let mut encoder = JpegEncoder::new(95).expect("an encoder");
        let mut jpeg = Vec::new();
        for (format, bytes) in [
            (PixelFormat::Yuyv, yuyv),
            (PixelFormat::Nv12, nv12),
            (PixelFormat::Rgb, rgb),
            (PixelFormat::Bgr, bgr),
            (PixelFormat::Gray, gray),
        ] {
            let raw = Frame::of_bytes(format, width as u32, height as u32, bytes);
            encoder.step(&raw, &mut jpeg).expect("encodes");
            let direct = decode(&raw);
            let detour = decode(&Frame::of_bytes(PixelFormat::Mjpeg, 0, 0, jpeg.clone()));
            assert_eq!((detour.width, detour.height), (width, height));
            let differences = direct.rgb.iter().zip(&detour.rgb).map(|(a, b)| u32::from(a.abs_diff(*b)));
            let (sum, most) = differences.fold((0, 0), |(sum, most), d| (sum + d, most.max(d)));
            let mean = f64::from(sum) / direct.rgb.len() as f64;
            assert!(mean < 1.5 && most < 12, "{format}: off by {mean:.2} on average, by {most} at most");
        }
    }

    #[test]
    fn a_jpeg_of_the_camera_is_shared_as_it_is() {
        let mut encoder = JpegEncoder::new(80).expect("an encoder");
        let damaged = Frame::of_bytes(PixelFormat::Mjpeg, 32, 32, vec![0xff, 0xd8, 7]);
        let jpeg = Jpeg::of(&damaged, &mut encoder).expect("nothing is encoded");
        assert!(std::ptr::eq(jpeg.as_ref(), &*damaged.bytes));
        assert!(encoder.step(&damaged, &mut Vec::new()).is_err(), "there is nothing to encode");
    }

    #[test]
    fn a_frame_without_all_its_bytes_is_refused() {
        let mut encoder = JpegEncoder::new(80).expect("an encoder");
        let short = Frame::of_bytes(PixelFormat::Nv12, 64, 64, vec![0; 64 * 64]);
        assert!(encoder.step(&short, &mut Vec::new()).is_err());
        assert!(encoder.step(&Frame::of_bytes(PixelFormat::Gray, 0, 0, Vec::new()), &mut Vec::new()).is_err());
    }
}
