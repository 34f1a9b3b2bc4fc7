//! In which order the frames of a camera are played, whatever their times say.

use super::take::TakenFrame;
use crate::time::Timestamp;

/// A clock that goes back by more was set; one that goes back by less is a frame that overtook another.
const JUMP_NS: i64 = 1_000_000_000;

/// Where the clock of arrivals was set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jump {
    /// The first frame after it.
    pub before: usize,
    /// So much is added to arrivals from there on, so that time goes on in a replay.
    pub added_ns: i64,
}

/// Leaves out frames whose arrival is far from that of both frames around them, which are near each other: no clock
/// does that. Returns how many.
pub(super) fn drop_wild(frames: &mut Vec<TakenFrame>) -> u64 {
    let is_wild = |around: &[TakenFrame]| {
        let away = around[1].received_at - around[0].received_at;
        let back = around[2].received_at - around[1].received_at;
        (away > JUMP_NS && back < -JUMP_NS) || (away < -JUMP_NS && back > JUMP_NS)
    };
    let wild: Vec<bool> = frames.windows(3).map(is_wild).collect();
    let mut n = 0;
    frames.retain(|_| {
        n += 1;
        // The first and the last frame have none on one side.
        !(n >= 2 && wild.get(n - 2).copied().unwrap_or_default())
    });
    wild.iter().filter(|is_wild| **is_wild).count() as u64
}

/// Sorts frames by their arrival, but not across a jump: there they stay as they were recorded. `period_ns` is the usual
/// time between two.
pub(super) fn sort(frames: &mut [TakenFrame], period_ns: i64) -> Vec<Jump> {
    let is_set_back = |n: &usize| frames[*n].received_at - frames[*n - 1].received_at < -JUMP_NS;
    let starts: Vec<usize> = (1..frames.len()).filter(is_set_back).collect();
    let mut jumps: Vec<Jump> = Vec::with_capacity(starts.len());
    let mut rest = frames;
    let (mut at, mut last): (usize, Option<Timestamp>) = (0, None);
    for end in starts.iter().copied().chain([at + rest.len()]) {
        let (part, others) = rest.split_at_mut(end - at);
        part.sort_by_key(|frame| frame.received_at);
        if let (Some(last), Some(first)) = (last, part.first()) {
            let added_before = jumps.last().map_or(0, |jump| jump.added_ns);
            let added_ns = (last - first.received_at).saturating_add(added_before).saturating_add(period_ns);
            jumps.push(Jump { before: at, added_ns });
        }
        last = part.last().map(|frame| frame.received_at);
        (rest, at) = (others, end);
    }
    jumps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(arrivals_ms: &[i64]) -> Vec<TakenFrame> {
        let frame = |(seq, ms): (usize, &i64)| {
            let received_at = Timestamp::from_ns(ms * 1_000_000);
            TakenFrame { seq: seq as u64, captured_at: received_at, received_at, picture: None }
        };
        arrivals_ms.iter().enumerate().map(frame).collect()
    }

    fn order(frames: &[TakenFrame]) -> Vec<u64> {
        frames.iter().map(|frame| frame.seq).collect()
    }

    #[test]
    fn frames_that_are_far_from_both_neighbours_are_left_out() {
        let mut taken = frames(&[0, 33, 1_000_000_000_000, 99, -9_000_000, 165]);
        assert_eq!((drop_wild(&mut taken), order(&taken)), (2, vec![0, 1, 3, 5]));
        let mut stalled = frames(&[0, 33, 70_000, 70_033, 200_000]);
        assert_eq!((drop_wild(&mut stalled), stalled.len()), (0, 5));
    }

    #[test]
    fn a_clock_that_is_set_back_leaves_the_order_as_it_was() {
        let mut taken = frames(&[10_000, 10_066, 10_033, 5_000, 5_033, 1_000]);
        let jumps = sort(&mut taken, 33_000_000);
        assert_eq!(order(&taken), [0, 2, 1, 3, 4, 5]);
        let added: Vec<(usize, i64)> = jumps.iter().map(|jump| (jump.before, jump.added_ns / 1_000_000)).collect();
        assert_eq!(added, [(3, 5_099), (5, 9_165)], "frames play at 10 099, 10 132 and 10 165 ms");
    }
}
