//! A part of a recording.

use super::{CaptureError, Event, Source, Stream};
use crate::frame::FramePool;
use crate::time::Timestamp;

/// The frames of a recorded source that were received from one moment until another.
pub struct Clipped {
    source: Box<dyn Source>,
    from: Timestamp,
    to: Option<Timestamp>,
}

impl Clipped {
    /// Those of `source` from `from` on and before `to`.
    #[must_use]
    pub fn new(mut source: Box<dyn Source>, from: Timestamp, to: Option<Timestamp>) -> Self {
        source.skip_until(from);
        Self { source, from, to }
    }
}

impl Source for Clipped {
    fn stream(&self) -> &Stream {
        self.source.stream()
    }

    fn next(&mut self, pool: &FramePool) -> Result<Event, CaptureError> {
        loop {
            match self.source.next(pool)? {
                Event::Frame(frame) if frame.received_at < self.from => {}
                Event::Frame(frame) if self.to.is_some_and(|to| frame.received_at >= to) => return Ok(Event::End),
                other => return Ok(other),
            }
        }
    }

    fn skip_until(&mut self, at: Timestamp) {
        self.source.skip_until(at);
    }

    fn reopen(&mut self) -> Result<(), CaptureError> {
        self.source.reopen()?;
        self.source.skip_until(self.from);
        Ok(())
    }
}
