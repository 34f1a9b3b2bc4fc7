//! From glass to result: a screen turns bright and dark, cameras see it, and the results' pictures tell when. Pure;
//! time enters as stamps.

use std::time::Duration;

use serde::Serialize;

use crate::frame::{CameraId, PerCamera, StampKind};
use crate::pipeline::health::{Quantiles, Whole};
use crate::serve::screen::Flash;
use crate::time::Timestamp;

/// By how many of 255 levels a camera's picture must differ between bright and dark, so that the change can be told
/// from noise.
const CONTRAST: f32 = 6.0;
/// Changes that show what bright and dark look like before others are timed.
pub const LEARNT_FROM: u64 = 2;

/// A picture that a result was made of.
#[derive(Clone, Copy, Debug)]
pub struct Glimpse {
    /// Who saw it.
    pub camera: CameraId,
    /// When, as the camera says.
    pub captured_at: Timestamp,
    /// When the result was there.
    pub result_at: Timestamp,
    /// Mean of the picture, 0 to 255.
    pub brightness: f32,
}

/// Times the changes of a screen in what cameras see.
pub struct Flashes {
    eyes: PerCamera<Eye>,
    now: Option<Flash>,
    count: u64,
}

/// What one camera sees.
struct Eye {
    period: Duration,
    stamp: StampKind,
    dark: Option<f32>,
    bright: Option<f32>,
    last: Option<f32>,
    /// Half way from what was seen before the present change to what is expected of it; none while that is not known,
    /// and once it was seen.
    threshold: Option<f32>,
    to_capture: Whole,
    to_result: Whole,
    seen: u64,
}

/// What one camera's changes took.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Seen {
    /// Changes that were seen.
    pub changes: u64,
    /// By how much bright and dark differ, levels of 255; nothing if either was not seen.
    pub contrast: Option<f32>,
    /// What the camera's stamps rest on: of `arrival` the way to this program is in the time to the exposure.
    pub stamp: StampKind,
    /// From the screen's change to the stamp of the picture that first shows it; 0 for one whose stamp is earlier than
    /// what the screen's program says.
    pub to_capture_ms: Option<Quantiles>,
    /// From the screen's change to the result.
    pub to_result_ms: Option<Quantiles>,
}

impl Flashes {
    /// For cameras with so much time between two pictures, and such stamps.
    #[must_use]
    pub fn new(cameras: impl IntoIterator<Item = (Duration, StampKind)>) -> Self {
        let eye = |(period, stamp)| Eye {
            period,
            stamp,
            dark: None,
            bright: None,
            last: None,
            threshold: None,
            to_capture: Whole::new(),
            to_result: Whole::new(),
            seen: 0,
        };
        Self { eyes: cameras.into_iter().map(eye).collect(), now: None, count: 0 }
    }

    /// The screen has changed. The first changes show what bright and dark look like, and are not timed.
    pub fn flash(&mut self, flash: Flash) {
        for eye in &mut self.eyes {
            eye.begin(self.now, flash.is_bright);
        }
        self.now = Some(flash);
        self.count += 1;
    }

    /// A result is there.
    pub fn see(&mut self, glimpse: Glimpse) {
        let eye = &mut self.eyes[glimpse.camera.index()];
        eye.last = Some(glimpse.brightness);
        let Some((flash, threshold)) = self.now.zip(eye.threshold) else { return };
        let is_across = (glimpse.brightness > threshold) == flash.is_bright;
        // An exposure lasts up to a period, and the screen may show the change a little before its program says so.
        if is_across && glimpse.captured_at + eye.period >= flash.shown_at {
            eye.threshold = None;
            eye.seen += 1;
            eye.to_capture.add(glimpse.captured_at.since(flash.shown_at));
            eye.to_result.add(glimpse.result_at.since(flash.shown_at));
        }
    }

    /// How often the screen has changed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What each camera saw.
    #[must_use]
    pub fn seen(&self) -> PerCamera<Seen> {
        let seen = |eye: &Eye| {
            let of = |times: &Whole| (eye.seen > 0).then(|| times.quantiles());
            Seen {
                changes: eye.seen,
                contrast: eye.contrast(),
                stamp: eye.stamp,
                to_capture_ms: of(&eye.to_capture),
                to_result_ms: of(&eye.to_result),
            }
        };
        self.eyes.iter().map(seen).collect()
    }
}

impl Eye {
    fn contrast(&self) -> Option<f32> {
        self.bright.zip(self.dark).map(|(bright, dark)| bright - dark)
    }

    /// The screen, which was as `before` says, becomes bright or dark.
    fn begin(&mut self, before: Option<Flash>, is_bright: bool) {
        match before {
            Some(Flash { is_bright: true, .. }) => self.bright = self.last,
            Some(Flash { is_bright: false, .. }) => self.dark = self.last,
            None => {}
        }
        let expected = if is_bright { self.bright } else { self.dark };
        let is_visible = self.contrast().is_some_and(|contrast| contrast >= CONTRAST);
        self.threshold = self.last.zip(expected).filter(|_| is_visible).map(|(last, expected)| (last + expected) / 2.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    /// A camera of 30 frames a second whose results come 40 ms after exposure, before a screen that changes every 500
    /// ms; its light arrives `delay_ms` later than its program says.
    fn watched(delay_ms: i64, dark: f32, bright: f32) -> Seen {
        let mut flashes = Flashes::new([(Duration::from_millis(33), StampKind::Device)]);
        let changes: Vec<i64> = (1..40).map(|n| n * 500 + n % 7).collect();
        let mut next = 0;
        for frame in 0..600 {
            let captured_ms = frame * 33;
            let result_ms = captured_ms + 40;
            while next < changes.len() && changes[next] <= result_ms {
                flashes.flash(Flash { is_bright: next % 2 == 0, shown_at: Timestamp::from_ns(changes[next] * MS) });
                next += 1;
            }
            let lit = changes.iter().take_while(|change| **change + delay_ms <= captured_ms).count();
            let noise = (frame % 3) as f32;
            flashes.see(Glimpse {
                camera: CameraId(0),
                captured_at: Timestamp::from_ns(captured_ms * MS),
                result_at: Timestamp::from_ns(result_ms * MS),
                brightness: if lit % 2 == 1 { bright } else { dark } + noise,
            });
        }
        flashes.seen()[0]
    }

    #[test]
    fn the_delay_of_the_light_and_of_the_result_are_told_apart() {
        let seen = watched(25, 60.0, 90.0);
        assert!(seen.changes > 30, "{seen:?}");
        let (to_capture, to_result) = (seen.to_capture_ms.expect("seen"), seen.to_result_ms.expect("seen"));
        // The next exposure is up to a period later than the light.
        assert!((25.0..60.0).contains(&to_capture.p50), "{seen:?}");
        assert!((39.0..41.0).contains(&(to_result.p50 - to_capture.p50)), "{seen:?}");
        assert!((28.0..32.0).contains(&seen.contrast.expect("seen")), "{seen:?}");
    }

    #[test]
    fn a_picture_that_shows_the_change_before_the_screen_tells_of_it_counts() {
        let seen = watched(-15, 60.0, 90.0);
        // Exposed from 15 ms before to 18 ms after what the screen says.
        assert!(seen.changes > 30 && seen.to_capture_ms.expect("seen").max < 19.0, "{seen:?}");
    }

    #[test]
    fn a_camera_that_does_not_see_the_screen_times_nothing() {
        let seen = watched(25, 60.0, 63.0);
        assert!(seen.changes == 0 && seen.to_result_ms.is_none(), "{seen:?}");
    }
}
