//! What a camera can deliver, and which of it to ask for: pure.

use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::config::Capture;
use crate::frame::PixelFormat;

/// One way in which a camera can deliver its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Mode {
    /// How a picture's bytes are to be read.
    #[serde(serialize_with = "as_text")]
    pub format: PixelFormat,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames a second.
    pub fps: u32,
}

fn as_text<S: Serializer>(format: &PixelFormat, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(format)
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, width, height, fps } = self;
        write!(f, "{format} {width}x{height}@{fps}")
    }
}

impl Mode {
    /// Nominal time between frames.
    #[must_use]
    pub fn period(&self) -> Duration {
        Duration::from_secs(1) / self.fps.max(1)
    }

    /// Bytes of one frame. Exact for raw formats; a JPEG of a webcam takes about a quarter of a byte a pixel
    /// (1280x720: 100 to 300 kB).
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        let of_jpeg = self.width as usize * self.height as usize / 4;
        self.format.frame_bytes(self.width, self.height).unwrap_or(of_jpeg)
    }

    /// Bytes a second on the cable.
    #[must_use]
    pub fn bytes_per_second(&self) -> f64 {
        self.frame_bytes() as f64 * f64::from(self.fps)
    }

    /// Raw pictures from this many bytes a second on leave no room for a second camera on a USB 2 bus, which
    /// carries 24 MB/s of them: YUYV 640x480 at 30 frames a second.
    const HEAVY: f64 = 640.0 * 480.0 * 2.0 * 30.0;

    fn is_heavy(&self) -> bool {
        self.format != PixelFormat::Mjpeg && self.bytes_per_second() >= Self::HEAVY
    }
}

/// The mode that comes nearest to what is asked: the first that [`ranked`] gives.
#[must_use]
pub fn choose(modes: &[Mode], asked: &Capture) -> Option<Mode> {
    ranked(modes, asked).first().copied()
}

/// `modes`, the nearest to what is asked first.
///
/// Modes slower than half the asked rate come last. Then the size decides, then the rate, then whether a raw stream
/// is too heavy for a shared bus; where all is equal, raw colour goes before JPEG.
#[must_use]
pub fn ranked(modes: &[Mode], asked: &Capture) -> Vec<Mode> {
    let mut modes: Vec<Mode> = modes.iter().copied().filter(|mode| mode.fps > 0).collect();
    modes.sort_by(|a, b| {
        (a.fps * 2 < asked.fps)
            .cmp(&(b.fps * 2 < asked.fps))
            .then(size_distance(a, asked).total_cmp(&size_distance(b, asked)))
            .then_with(|| by_rate(a.fps, b.fps, asked.fps))
            .then(a.is_heavy().cmp(&b.is_heavy()))
            .then(taste(a.format).cmp(&taste(b.format)))
    });
    modes
}

/// How far a mode's size is from the asked one: in octaves of width and height, twice if it is smaller, because
/// pixels that were never taken cannot be had back.
fn size_distance(mode: &Mode, asked: &Capture) -> f64 {
    let side = |is: u32, wanted: u32| {
        let octaves = (f64::from(is) / f64::from(wanted)).log2();
        if octaves < 0.0 { -2.0 * octaves } else { octaves }
    };
    side(mode.width, asked.width) + side(mode.height, asked.height)
}

/// The rate nearest to `asked` by their ratio, the faster of two that are as near.
fn by_rate(a: u32, b: u32, asked: u32) -> Ordering {
    let distance = |fps: u32| (f64::from(fps) / f64::from(asked)).log2().abs();
    distance(a).total_cmp(&distance(b)).then(b.cmp(&a))
}

fn taste(format: PixelFormat) -> u8 {
    match format {
        PixelFormat::Yuyv => 0,
        PixelFormat::Nv12 => 1,
        PixelFormat::Mjpeg => 2,
        PixelFormat::Rgb | PixelFormat::Bgr => 3,
        PixelFormat::Gray => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PixelFormat::{Gray, Mjpeg, Nv12, Yuyv};

    /// A row a size: width, height, rates.
    fn modes(format: PixelFormat, table: &[(u32, u32, &[u32])]) -> Vec<Mode> {
        let row = |&(width, height, rates): &(u32, u32, &[u32])| {
            rates.iter().map(|&fps| Mode { format, width, height, fps }).collect::<Vec<_>>()
        };
        table.iter().flat_map(row).collect()
    }

    fn chosen(modes: &[Mode], width: u32, height: u32, fps: u32) -> String {
        choose(modes, &Capture { width, height, fps }).expect("there are modes").to_string()
    }

    /// Logitech C920, as its driver lists it (whole rates only).
    fn c920() -> Vec<Mode> {
        let mut all = modes(
            Yuyv,
            &[
                (640, 480, &[30, 24, 20, 15, 10, 5]),
                (160, 90, &[30, 24, 20, 15, 10, 5]),
                (640, 360, &[30, 24, 20, 15, 10, 5]),
                (800, 600, &[24, 20, 15, 10, 5]),
                (1280, 720, &[10, 5]),
                (1920, 1080, &[5]),
                (2304, 1536, &[2]),
            ],
        );
        all.extend(modes(
            Mjpeg,
            &[
                (640, 480, &[30, 24, 20, 15, 10, 5]),
                (640, 360, &[30, 24, 20, 15, 10, 5]),
                (1280, 720, &[30, 24, 20, 15, 10, 5]),
                (1920, 1080, &[30, 24, 20, 15, 10, 5]),
            ],
        ));
        all
    }

    #[test]
    fn mjpeg_is_taken_where_raw_is_too_slow_or_too_heavy() {
        assert_eq!(chosen(&c920(), 1280, 720, 30), "MJPEG 1280x720@30");
        assert_eq!(chosen(&c920(), 1920, 1080, 30), "MJPEG 1920x1080@30");
        assert_eq!(chosen(&c920(), 640, 480, 30), "MJPEG 640x480@30", "two of them raw do not fit on a USB 2 bus");
    }

    #[test]
    fn raw_is_taken_where_it_is_light() {
        assert_eq!(chosen(&c920(), 640, 360, 30), "YUYV 640x360@30");
        assert_eq!(chosen(&c920(), 640, 480, 15), "YUYV 640x480@15");
        let two = [modes(Gray, &[(640, 360, &[30])]), modes(Nv12, &[(640, 360, &[30])])].concat();
        assert_eq!(chosen(&two, 640, 360, 30), "NV12 640x360@30");
    }

    #[test]
    fn a_mode_at_less_than_half_the_rate_is_not_worth_its_size() {
        // vivid, the kernel's test driver: raw only, its rate falls with the size (12.5 is left out).
        let vivid = modes(
            Yuyv,
            &[
                (320, 180, &[1, 2, 4, 5, 10, 15, 25, 30, 40, 50, 60]),
                (640, 360, &[1, 2, 4, 5, 10, 15, 25, 30, 40]),
                (640, 480, &[1, 2, 4, 5, 10, 15, 25]),
                (1280, 720, &[1, 2, 4, 5, 10]),
                (1920, 1080, &[1, 2, 4, 5]),
                (3840, 2160, &[1, 2]),
            ],
        );
        assert_eq!(chosen(&vivid, 1280, 720, 30), "YUYV 640x480@25");
        assert_eq!(chosen(&vivid, 640, 360, 30), "YUYV 640x360@30");
        assert_eq!(chosen(&vivid, 1280, 720, 10), "YUYV 1280x720@10");
    }

    #[test]
    fn a_raw_camera_on_usb_3_keeps_the_asked_size() {
        let camera = modes(Yuyv, &[(1280, 720, &[60, 30]), (640, 480, &[30])]);
        assert_eq!(chosen(&camera, 1280, 720, 30), "YUYV 1280x720@30");
    }

    #[test]
    fn the_only_mode_is_taken_whatever_is_asked() {
        // v4l2loopback offers what its feeder writes.
        let loopback = modes(Mjpeg, &[(640, 360, &[10])]);
        assert_eq!(chosen(&loopback, 1280, 720, 30), "MJPEG 640x360@10");
        assert_eq!(choose(&[], &Capture::default()), None);
        assert_eq!(choose(&modes(Mjpeg, &[(640, 360, &[0])]), &Capture::default()), None);
    }

    #[test]
    fn without_the_asked_size_a_larger_one_is_preferred_but_not_a_huge_one() {
        let camera = modes(Mjpeg, &[(960, 540, &[30]), (1600, 896, &[30]), (3840, 2160, &[30])]);
        assert_eq!(chosen(&camera, 1280, 720, 30), "MJPEG 1600x896@30");
        let camera = modes(Mjpeg, &[(1024, 576, &[30]), (3840, 2160, &[30])]);
        assert_eq!(chosen(&camera, 1280, 720, 30), "MJPEG 1024x576@30");
    }

    #[test]
    fn the_nearest_rate_is_taken() {
        let camera = modes(Mjpeg, &[(1280, 720, &[60, 25, 20])]);
        assert_eq!(chosen(&camera, 1280, 720, 30), "MJPEG 1280x720@25");
        assert_eq!(chosen(&camera, 1280, 720, 50), "MJPEG 1280x720@60");
        assert_eq!(chosen(&camera, 1280, 720, 15), "MJPEG 1280x720@20");
    }
}
