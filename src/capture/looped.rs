//! A recording that begins anew whenever it ends.

use std::time::Duration;

use super::{CaptureError, Event, Source, Stream};
use crate::frame::FramePool;

/// Plays a recorded source again and again; times and numbers go on.
pub struct Looped {
    source: Box<dyn Source>,
    /// How long one round takes: the same for all cameras of a recording, so that they stay together.
    round: Duration,
    rounds: u32,
    /// The recording's first number.
    first_recorded: Option<u64>,
    /// The numbers of this round's first frame, and of the next frame.
    first_seq: u64,
    next_seq: u64,
}

impl Looped {
    /// Plays `source`, a round of which takes `round`.
    #[must_use]
    pub fn new(source: Box<dyn Source>, round: Duration) -> Self {
        Self { source, round, rounds: 0, first_recorded: None, first_seq: 0, next_seq: 0 }
    }
}

impl Source for Looped {
    fn stream(&self) -> &Stream {
        self.source.stream()
    }

    fn next(&mut self, pool: &FramePool) -> Result<Event, CaptureError> {
        match self.source.next(pool)? {
            Event::Frame(mut frame) => {
                let shift = self.round * self.rounds;
                frame.captured_at = frame.captured_at + shift;
                frame.received_at = frame.received_at + shift;
                let first = *self.first_recorded.get_or_insert_with(|| {
                    self.first_seq = frame.seq;
                    frame.seq
                });
                frame.seq = self.first_seq + frame.seq.saturating_sub(first);
                self.next_seq = frame.seq + 1;
                Ok(Event::Frame(frame))
            }
            // Nothing in it: it would begin anew for ever.
            Event::End if self.next_seq == self.first_seq => Ok(Event::End),
            Event::End => {
                self.reopen()?;
                self.next(pool)
            }
            other => Ok(other),
        }
    }

    /// Begins the next round.
    fn reopen(&mut self) -> Result<(), CaptureError> {
        self.source.reopen()?;
        self.rounds += 1;
        self.first_seq = self.next_seq;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::recording::Recording;

    #[test]
    fn a_loop_goes_on_in_time_and_number() {
        let recording = Recording::bundled().expect("the bundled take");
        let (round, frames) = (recording.duration.expect("a take's length is known"), recording.frames);
        let source = recording.sources.into_iter().next().expect("a camera");
        let pool = FramePool::new(4, 1);
        let mut looped = Looped::new(source, round);
        let mut next = || match looped.next(&pool) {
            Ok(Event::Frame(frame)) => (frame.seq, frame.received_at, frame.bytes.to_vec()),
            other => panic!("{other:?}"),
        };
        let first = next();
        let mut last = first.clone();
        for _ in 0..frames.expect("a take's frames are counted") {
            let frame = next();
            assert!(frame.0 > last.0 && frame.1 > last.1, "{} follows {}", frame.0, last.0);
            if frame.1 == first.1 + round {
                assert_eq!(frame.2, first.2, "the second round begins with the first picture");
                assert_eq!(frame.0, last.0 + 1, "no number is left out between two rounds");
                return;
            }
            last = frame;
        }
        panic!("there was no second round");
    }
}
