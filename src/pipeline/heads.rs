//! The cameras of a recording, one frame at a time, without a thread of their own: for runs in which nothing is dropped.

use crossbeam_utils::sync::Parker;

use super::Shared;
use super::recording::Tap;
use crate::capture::{Event, Source};
use crate::frame::{CameraId, Frame, FramePool, PerCamera};
use crate::time::Timestamp;

/// The next frame of each source.
pub(super) struct Heads<'a> {
    cameras: PerCamera<Camera<'a>>,
    shared: &'a Shared<'a>,
}

struct Camera<'a> {
    source: Box<dyn Source>,
    pool: FramePool,
    tap: Tap<'a>,
    next: Option<Frame>,
}

impl<'a> Heads<'a> {
    pub(super) fn new(
        sources: Vec<Box<dyn Source>>,
        pools: PerCamera<FramePool>,
        taps: PerCamera<Tap<'a>>,
        shared: &'a Shared<'a>,
    ) -> Self {
        let cameras = sources.into_iter().zip(pools).zip(taps).map(|((mut source, pool), tap)| {
            let next = next_of(&mut *source, &pool, shared);
            Camera { source, pool, tap, next }
        });
        Self { cameras: cameras.collect(), shared }
    }

    /// Which camera's frame was received first, and when; `None` when all are over.
    pub(super) fn first(&self) -> Option<(Timestamp, CameraId)> {
        let arrivals = self.cameras.iter().enumerate();
        arrivals.filter_map(|(n, camera)| Some((camera.next.as_ref()?.received_at, CameraId(n as u8)))).min()
    }

    /// The next frame of `camera`; it is recorded too, for which it may have to wait.
    pub(super) fn take(&mut self, camera: CameraId, parker: &Parker) -> Option<Frame> {
        let camera = &mut self.cameras[camera.index()];
        let frame = camera.next.take()?;
        while camera.tap.is_full() && !self.shared.plan.stop.is_requested() {
            parker.park();
        }
        camera.tap.offer(&frame);
        camera.next = next_of(&mut *camera.source, &camera.pool, self.shared);
        Some(frame)
    }

    /// The frame of `camera` with the number `seq`; those before it are passed over. `None` if there is none.
    pub(super) fn take_up_to(&mut self, camera: CameraId, seq: u64, parker: &Parker) -> Option<Frame> {
        while self.cameras[camera.index()].next.as_ref()?.seq <= seq {
            let frame = self.take(camera, parker).filter(|frame| frame.seq == seq);
            if frame.is_some() {
                return frame;
            }
        }
        None
    }
}

/// The next frame of a recording; what cannot be read is counted and passed over.
fn next_of(source: &mut dyn Source, pool: &FramePool, shared: &Shared<'_>) -> Option<Frame> {
    let (camera, name) = (source.stream().camera, source.stream().name.clone());
    let counters = shared.plan.counters.of(camera);
    loop {
        match source.next(pool).inspect(|event| counters.count(event)) {
            Ok(Event::Frame(frame)) => return Some(frame),
            Ok(Event::Corrupt(reason)) => tracing::warn!("camera `{name}`: {reason}"),
            Ok(Event::NoBuffer | Event::Stalled) => {}
            Ok(Event::End) => return None,
            Err(error) => {
                tracing::warn!("{error}");
                return None;
            }
        }
    }
}
