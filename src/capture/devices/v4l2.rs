//! What a V4L2 driver says a camera can do, asked directly.
//!
//! nokhwa would have to set a mode before it lists any, takes 25/2 frames a second for 25 in its list, and refuses
//! every mode of a camera that another program left at such a rate. So here cameras are listed, without changing
//! anything, and put into the mode that nokhwa then opens.

use std::io;

use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Device, Format, FourCC};

use super::Mode;
use crate::frame::PixelFormat;

/// What nokhwa can deliver. (Of grey it has the code wrong.)
const FORMATS: [(&[u8; 4], PixelFormat); 5] = [
    (b"MJPG", PixelFormat::Mjpeg),
    (b"YUYV", PixelFormat::Yuyv),
    (b"NV12", PixelFormat::Nv12),
    (b"RGB3", PixelFormat::Rgb),
    (b"BGR3", PixelFormat::Bgr),
];

/// Sizes and rates to offer where the driver takes any between two bounds.
const SIZES: [(u32, u32); 8] =
    [(320, 240), (640, 360), (640, 480), (800, 600), (960, 540), (1280, 720), (1280, 960), (1920, 1080)];
const RATES: [u32; 8] = [5, 10, 15, 20, 25, 30, 50, 60];

/// The modes of `/dev/videoN` that can be read, or `None` if the node is no camera (has no formats at all).
pub(super) fn modes(number: u32) -> io::Result<Option<Vec<Mode>>> {
    let device = Device::new(number as usize)?;
    let offered = device.enum_formats()?;
    if offered.is_empty() {
        return Ok(None);
    }
    let mut modes = Vec::new();
    for (code, format) in FORMATS {
        let code = FourCC::new(code);
        if !offered.iter().any(|offer| offer.fourcc == code) {
            continue;
        }
        for size in device.enum_framesizes(code)? {
            for (width, height) in sizes(&size.size) {
                let intervals = device.enum_frameintervals(code, width, height).unwrap_or_default();
                let rates = intervals.iter().flat_map(|interval| rates(&interval.interval));
                modes.extend(rates.map(|fps| Mode { format, width, height, fps }));
            }
        }
    }
    Ok(Some(modes))
}

fn sizes(size: &FrameSizeEnum) -> Vec<(u32, u32)> {
    match size {
        FrameSizeEnum::Discrete(size) => vec![(size.width, size.height)],
        FrameSizeEnum::Stepwise(range) => {
            let fits = |value: u32, min: u32, max: u32, step: u32| {
                (min..=max).contains(&value) && (value - min).is_multiple_of(step.max(1))
            };
            let offered = |&(width, height): &(u32, u32)| {
                fits(width, range.min_width, range.max_width, range.step_width)
                    && fits(height, range.min_height, range.max_height, range.step_height)
            };
            SIZES.into_iter().filter(offered).collect()
        }
    }
}

/// Whole rates of an interval in seconds; nokhwa opens no others.
fn rates(interval: &FrameIntervalEnum) -> Vec<u32> {
    match interval {
        FrameIntervalEnum::Discrete(seconds) if seconds.numerator == 1 => vec![seconds.denominator],
        FrameIntervalEnum::Discrete(_) => Vec::new(),
        FrameIntervalEnum::Stepwise(range) => {
            let seconds = |numerator: u32, denominator: u32| f64::from(numerator) / f64::from(denominator.max(1));
            let shortest = seconds(range.min.numerator, range.min.denominator);
            let longest = seconds(range.max.numerator, range.max.denominator);
            let offered = |&fps: &u32| (shortest..=longest).contains(&seconds(1, fps));
            RATES.into_iter().filter(offered).collect()
        }
    }
}

/// Puts the camera into `mode`. What fails here fails again when nokhwa opens it, and is told then.
pub(in crate::capture) fn set(number: u32, mode: &Mode) -> io::Result<()> {
    let device = Device::new(number as usize)?;
    let Some((code, _)) = FORMATS.iter().find(|(_, format)| *format == mode.format) else { return Ok(()) };
    let (now, wanted) = (device.format()?, Format::new(mode.width, mode.height, FourCC::new(code)));
    // Only what differs: a driver may refuse to set anything while another program has it open.
    if (now.width, now.height, now.fourcc) != (wanted.width, wanted.height, wanted.fourcc) {
        device.set_format(&wanted)?;
    }
    let interval = device.params()?.interval;
    if (interval.numerator, interval.denominator) != (1, mode.fps) {
        device.set_params(&Parameters::with_fps(mode.fps))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use v4l::fraction::Fraction;
    use v4l::frameinterval::Stepwise;
    use v4l::framesize;

    fn discrete(numerator: u32, denominator: u32) -> FrameIntervalEnum {
        FrameIntervalEnum::Discrete(Fraction::new(numerator, denominator))
    }

    #[test]
    fn fractional_rates_are_left_out() {
        assert_eq!(rates(&discrete(1, 30)), [30]);
        assert!(rates(&discrete(2, 15)).is_empty(), "7.5 frames a second");
        assert!(rates(&discrete(1001, 30000)).is_empty(), "29.97 frames a second");
    }

    #[test]
    fn of_a_range_the_usual_sizes_and_rates_are_offered() {
        let between = |min: Fraction, max: Fraction| {
            FrameIntervalEnum::Stepwise(Stepwise { min, max, step: Fraction::new(1, 1) })
        };
        assert_eq!(rates(&between(Fraction::new(1, 30), Fraction::new(1, 10))), [10, 15, 20, 25, 30]);
        // v4l2loopback before anybody has set a rate.
        assert_eq!(rates(&between(Fraction::new(1, 1000), Fraction::new(1, 1))), RATES);
        let any = framesize::Stepwise {
            min_width: 2,
            max_width: 1280,
            step_width: 2,
            min_height: 2,
            max_height: 720,
            step_height: 2,
        };
        let sizes = sizes(&FrameSizeEnum::Stepwise(any));
        assert_eq!(sizes, [(320, 240), (640, 360), (640, 480), (800, 600), (960, 540), (1280, 720)]);
    }
}
