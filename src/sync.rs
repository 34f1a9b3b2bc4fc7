//! Matches the frames of free-running cameras in time. Pure: no thread, no clock; time enters as stamps.
//!
//! The camera with the lowest rate is the reference; each of its frames opens a set, which takes the nearest frame
//! of every other camera within half of the reference's period. The art is in *when* to stop waiting: a camera is
//! **settled** for an instant once no frame that is still to come can be nearer, which is half of its own period
//! earlier than waiting until it has passed the instant (9 ms against 25 ms on average with four cameras at 30 fps).
//! `docs/design/sync.md` has the reasons and the figures.

use std::collections::VecDeque;
use std::time::Duration;

use crate::frame::{CameraId, Frame, FrameSet, PerCamera};
use crate::time::Timestamp;

/// A camera without a frame for this many of its periods is no longer waited for.
const DEAD_AFTER_PERIODS: i64 = 3;
/// Stamps that go back by more than this are a reset clock; by less, a late frame.
const CLOCK_RESET_NS: i64 = 1_000_000_000;
/// Step of the estimate of how long frames are on their way.
const TRANSPORT_STEP_NS: i64 = 50_000;
/// Frames that a camera may have waiting while the reference brings none.
pub const MAX_PENDING: usize = 32;

/// What the matcher must know of a camera.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Nominal time between frames.
    pub period: Duration,
    /// How much later than the truth the camera's stamps are, nanoseconds; subtracted. 0 unless calibrated.
    pub offset_ns: i64,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It waits for its set.
    Accepted,
    /// Its set had to go without it, or the camera has already delivered a later one.
    Late,
    /// Its set went with a nearer frame of the same camera.
    Unmatched,
    /// It waits for its set, and is the first after the camera's clock was set back: matching starts anew.
    ClockReset,
}

struct Lane {
    period_ns: i64,
    offset_ns: i64,
    /// Frames that may still find a set, oldest first.
    pending: VecDeque<Frame>,
    /// Corrected time of the last frame that came in order.
    last: Option<Timestamp>,
    /// The end of the last set that has a frame of this camera.
    served_until: Option<Timestamp>,
    /// Until when the camera is waited for.
    live_until: Timestamp,
    /// How long its frames are on their way: an upper estimate, learned.
    transport_ns: Option<i64>,
    unmatched: u64,
}

impl Lane {
    /// When the frame was taken, corrected by the camera's offset.
    fn time(&self, frame: &Frame) -> Timestamp {
        Timestamp::from_ns(frame.captured_at.ns() - self.offset_ns)
    }

    /// Follows about the 90th percentile of the time that frames take to arrive: up by nine steps when one takes
    /// longer, down by one when one does not, or faster from far above.
    fn learn_transport(&mut self, frame: &Frame) {
        let took = frame.received_at - self.time(frame);
        let estimate = self.transport_ns.get_or_insert(took);
        let down = TRANSPORT_STEP_NS.max((*estimate - took) / 128);
        *estimate += if took > *estimate { 9 * TRANSPORT_STEP_NS } else { -down };
    }

    fn stays_live_from(&mut self, received: Timestamp) {
        let until = Timestamp::from_ns(received.ns() + DEAD_AFTER_PERIODS * self.period_ns);
        self.live_until = self.live_until.max(until);
    }

    /// Whether a frame at `time` is less than half a period before `instant`, or after it: none that follows is nearer.
    fn settles(&self, time: Timestamp, instant: Timestamp) -> bool {
        time - instant > -self.period_ns / 2
    }

    /// Whether a frame that settles is here. One that went with the set before does not count: it can be in no other.
    fn is_settled(&self, instant: Timestamp) -> bool {
        self.pending.iter().any(|frame| self.settles(self.time(frame), instant))
    }

    /// The place in `pending` of the frame nearest to `instant` and not further than `reach_ns`. Frames behind the
    /// first one that settles are not looked at, so that the choice does not depend on how long others were waited for.
    fn nearest(&self, instant: Timestamp, reach_ns: i64) -> Option<usize> {
        let settling = self.pending.iter().position(|frame| self.settles(self.time(frame), instant));
        let candidates = settling.map_or(self.pending.len(), |n| n + 1);
        let distance = |n: &usize| (self.time(&self.pending[*n]) - instant).abs();
        (0..candidates).filter(|n| distance(n) <= reach_ns).min_by_key(distance)
    }

    /// Drops the frames up to `horizon`: their sets are gone.
    fn forget_until(&mut self, horizon: Timestamp) {
        while self.pending.front().is_some_and(|frame| self.time(frame) <= horizon) {
            self.pending.pop_front();
            self.unmatched += 1;
        }
    }
}

/// Turns single frames into sets.
pub struct Matcher {
    lanes: PerCamera<Lane>,
    allowance_ns: i64,
    /// Every frame up to here belongs to a set that is gone.
    horizon: Option<Timestamp>,
    sets: u64,
}

impl Matcher {
    /// A matcher for `cameras`, in the order of configuration, that begins at `start`. Beyond half a period of the
    /// reference, and beyond what some cameras' frames usually take longer to arrive, it waits for
    /// `transport_allowance`, by which arrival times may scatter.
    #[must_use]
    pub fn new(cameras: &[Timing], transport_allowance: Duration, start: Timestamp) -> Self {
        let lane = |camera: &Timing| {
            let period_ns = camera.period.as_nanos() as i64;
            let mut lane = Lane {
                period_ns,
                offset_ns: camera.offset_ns,
                pending: VecDeque::with_capacity(MAX_PENDING),
                last: None,
                served_until: None,
                live_until: start,
                transport_ns: None,
                unmatched: 0,
            };
            lane.stays_live_from(start);
            lane
        };
        Self {
            lanes: cameras.iter().map(lane).collect(),
            allowance_ns: transport_allowance.as_nanos() as i64,
            horizon: None,
            sets: 0,
        }
    }

    /// Takes a frame in.
    pub fn push(&mut self, frame: Frame) -> Verdict {
        let lane = &mut self.lanes[frame.camera.index()];
        lane.stays_live_from(frame.received_at);
        lane.learn_transport(&frame);
        let time = lane.time(&frame);
        let is_reset = lane.last.is_some_and(|last| last - time > CLOCK_RESET_NS);
        if is_reset {
            // What is known of the timeline no longer holds.
            self.restart();
        }
        let lane = &mut self.lanes[frame.camera.index()];
        let is_over = |limit: Option<Timestamp>| limit.is_some_and(|limit| time <= limit);
        if is_over(lane.last) {
            return Verdict::Late;
        }
        lane.last = Some(time);
        if is_over(lane.served_until) {
            lane.unmatched += 1;
            return Verdict::Unmatched;
        }
        if is_over(self.horizon) {
            return Verdict::Late;
        }
        if lane.pending.len() == MAX_PENDING {
            lane.pending.pop_front();
            lane.unmatched += 1;
        }
        lane.pending.push_back(frame);
        if is_reset { Verdict::ClockReset } else { Verdict::Accepted }
    }

    /// The next set that is complete, or due, at `now`. To be called until it returns `None`.
    pub fn poll(&mut self, now: Timestamp) -> Option<FrameSet> {
        let reference = self.reference(now)?;
        let lane = &self.lanes[reference.index()];
        let frame = lane.pending.front()?;
        let instant = lane.time(frame);
        let complete = self.unsettled(reference, instant, now).next().is_none();
        if complete || now >= self.deadline(lane, frame) { self.emit(reference, now) } else { None }
    }

    /// The next set, complete or not: for the end of a recording.
    pub fn flush(&mut self, now: Timestamp) -> Option<FrameSet> {
        let reference = self.reference(now).filter(|camera| !self.lanes[camera.index()].pending.is_empty());
        let waiting = || (0..self.lanes.len()).filter(|&n| !self.lanes[n].pending.is_empty());
        let reference = reference.or_else(|| self.slowest(waiting()))?;
        self.emit(reference, now)
    }

    /// When [`Matcher::poll`] may give a set although no further frame came; `None`: not before one comes.
    #[must_use]
    pub fn next_event(&self, now: Timestamp) -> Option<Timestamp> {
        if self.lanes.iter().all(|lane| lane.pending.is_empty()) {
            return None;
        }
        let reference = self.reference(now)?;
        let lane = &self.lanes[reference.index()];
        let Some(frame) = lane.pending.front() else { return Some(lane.live_until) };
        let deadline = self.deadline(lane, frame);
        let deaths = self.unsettled(reference, lane.time(frame), now).map(|lane| lane.live_until);
        deaths.chain([deadline]).min()
    }

    /// Frames of `camera` that came in time but had no set to go to, such as the surplus of a faster camera.
    #[must_use]
    pub fn unmatched(&self, camera: CameraId) -> u64 {
        self.lanes[camera.index()].unmatched
    }

    /// The live camera with the lowest rate, the first of equals.
    fn reference(&self, now: Timestamp) -> Option<CameraId> {
        self.slowest((0..self.lanes.len()).filter(|&n| self.lanes[n].live_until > now))
    }

    /// The camera with the lowest rate of `cameras`, the first of equals.
    fn slowest(&self, cameras: impl DoubleEndedIterator<Item = usize>) -> Option<CameraId> {
        // Of equals `max_by_key` takes the last, so the order is turned round.
        cameras.rev().max_by_key(|&n| self.lanes[n].period_ns).map(camera_id)
    }

    /// The other live cameras that may still bring a nearer frame.
    fn unsettled(&self, reference: CameraId, instant: Timestamp, now: Timestamp) -> impl Iterator<Item = &Lane> {
        let others = self.lanes.iter().enumerate().filter(move |(n, _)| *n != reference.index());
        others.map(|(_, lane)| lane).filter(move |lane| lane.live_until > now && !lane.is_settled(instant))
    }

    /// When the set that `frame` opens goes out at the latest. The furthest frame that belongs to it is taken half a
    /// period later, and is on its way longer than the reference by what its camera takes longer: that is learned,
    /// and bounded by a period, so that one camera behind a slow link does not hold the others up.
    fn deadline(&self, reference: &Lane, frame: &Frame) -> Timestamp {
        let took = frame.received_at - reference.time(frame);
        let slowest = self.lanes.iter().filter_map(|lane| lane.transport_ns).max().unwrap_or(0);
        let longer = (slowest - took).clamp(0, reference.period_ns);
        Timestamp::from_ns(frame.received_at.ns() + reference.period_ns / 2 + self.allowance_ns + longer)
    }

    /// The set of the reference's oldest frame, if it has one.
    fn emit(&mut self, reference: CameraId, now: Timestamp) -> Option<FrameSet> {
        let lane = &self.lanes[reference.index()];
        let frame = lane.pending.front()?;
        let (at, received, reach_ns) = (lane.time(frame), frame.received_at, lane.period_ns / 2);
        let horizon = Timestamp::from_ns(at.ns() + reach_ns);
        let (mut earliest, mut latest) = (at, at);
        let mut views = PerCamera::new();
        for (n, lane) in self.lanes.iter_mut().enumerate() {
            let place = if n == reference.index() { Some(0) } else { lane.nearest(at, reach_ns) };
            let frame = place.and_then(|place| lane.pending.remove(place));
            if let Some(frame) = &frame {
                earliest = earliest.min(lane.time(frame));
                latest = latest.max(lane.time(frame));
                lane.served_until = Some(horizon);
            }
            lane.forget_until(horizon);
            views.push(frame);
        }
        self.horizon = Some(horizon);
        let number = self.sets;
        self.sets += 1;
        Some(FrameSet { number, at, reference, views, skew: latest.since(earliest), waited: now.since(received) })
    }

    fn restart(&mut self) {
        self.horizon = None;
        for lane in &mut self.lanes {
            lane.last = None;
            lane.served_until = None;
            lane.unmatched += lane.pending.len() as u64;
            lane.pending.clear();
        }
    }
}

/// The sets of `frames`, which come in the order of their arrival, as a replay forms them that is as fast as possible:
/// time is what the frames say it is, from `start` on.
pub fn sets_in_turn(
    mut matcher: Matcher,
    start: Timestamp,
    frames: impl Iterator<Item = Frame>,
) -> impl Iterator<Item = FrameSet> {
    let (mut frames, mut now) = (frames.peekable(), start);
    std::iter::from_fn(move || {
        loop {
            if let Some(set) = matcher.poll(now) {
                return Some(set);
            }
            let Some(arrival) = frames.peek().map(|frame| frame.received_at) else { return matcher.flush(now) };
            match matcher.next_event(now).filter(|event| *event <= arrival) {
                Some(event) => now = event,
                None => {
                    now = now.max(arrival);
                    let _ = frames.next().map(|frame| matcher.push(frame));
                }
            }
        }
    })
}

fn camera_id(n: usize) -> CameraId {
    CameraId(n as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::PixelFormat;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;
    const ALLOWANCE: Duration = Duration::from_millis(10);
    const START: Timestamp = Timestamp::from_ns(100 * MS);

    fn frame(camera: usize, seq: u64, captured_ns: i64, received_ns: i64) -> Frame {
        Frame {
            camera: camera_id(camera),
            seq,
            captured_at: Timestamp::from_ns(captured_ns),
            received_at: Timestamp::from_ns(received_ns),
            ..Frame::of_bytes(PixelFormat::Gray, 0, 0, Vec::new())
        }
    }

    fn timing(fps: i64) -> Timing {
        Timing { period: Duration::from_nanos((1_000_000_000 / fps) as u64), offset_ns: 0 }
    }

    fn matcher(fps: &[i64]) -> Matcher {
        let cameras: Vec<Timing> = fps.iter().map(|&fps| timing(fps)).collect();
        Matcher::new(&cameras, ALLOWANCE, START)
    }

    /// Feeds frames in order of arrival as a replay does; gives the sets and the frames that were late.
    fn run(matcher: &mut Matcher, mut frames: Vec<Frame>) -> (Vec<FrameSet>, usize) {
        frames.sort_by_key(|frame| (frame.received_at, frame.camera));
        let (mut sets, mut late) = (Vec::new(), 0);
        let mut now = START;
        for frame in frames {
            let arrival = frame.received_at;
            while let Some(event) = matcher.next_event(now).filter(|event| *event <= arrival) {
                now = event;
                sets.extend(std::iter::from_fn(|| matcher.poll(event)));
            }
            now = arrival;
            late += usize::from(matcher.push(frame) == Verdict::Late);
            sets.extend(std::iter::from_fn(|| matcher.poll(arrival)));
        }
        sets.extend(std::iter::from_fn(|| matcher.flush(now)));
        (sets, late)
    }

    fn members(sets: &[FrameSet]) -> Vec<Vec<Option<u64>>> {
        sets.iter().map(|set| set.views.iter().map(|view| view.as_ref().map(|frame| frame.seq)).collect()).collect()
    }

    /// A free-running camera: its rate, its phase, and for each frame its jitter, its way to us, and whether it is lost.
    #[derive(Clone, Debug)]
    struct Running {
        fps: i64,
        phase_ns: i64,
        frames: Vec<(i64, i64, bool)>,
    }

    impl Running {
        fn frames(&self, camera: usize, delays: impl Fn(usize) -> i64) -> Vec<Frame> {
            let period = 1_000_000_000 / self.fps;
            let mut out = Vec::new();
            let mut received = 0;
            for (n, (jitter, _, lost)) in self.frames.iter().enumerate() {
                // Never two lost in a row: a camera that leaves is another test.
                if *lost && n % 2 == 1 {
                    continue;
                }
                let captured = 100 * MS + self.phase_ns + n as i64 * period + jitter;
                received = (captured + delays(n)).max(received + 1);
                out.push(frame(camera, n as u64, captured, received));
            }
            out
        }
    }

    /// Frames arrive 3 to 12 ms after the exposure, so all are here before any deadline.
    fn running() -> impl Strategy<Value = Running> {
        let frames = prop::collection::vec((-2 * MS..2 * MS, 3 * MS..12 * MS, prop::bool::weighted(0.05)), 20..40);
        (prop::sample::select(vec![10_i64, 15, 25, 30, 60]), 0.0..1.0, frames)
            .prop_map(|(fps, phase, frames)| Running { fps, phase_ns: (1e9 / fps as f64 * phase) as i64, frames })
    }

    fn rig() -> impl Strategy<Value = Vec<Running>> {
        prop::collection::vec(running(), 1..6)
    }

    /// Cameras that all run for as long as the first of them to end: a camera that leaves is another test, as what
    /// arrives last then decides which camera counts as dead, and so which is the reference.
    fn rig_that_stays() -> impl Strategy<Value = Vec<Running>> {
        rig().prop_map(|mut rig| {
            let span_ns = rig.iter().map(|camera| camera.frames.len() as i64 * 1_000_000_000 / camera.fps).min();
            for camera in &mut rig {
                let frames = span_ns.unwrap_or(0) * camera.fps / 1_000_000_000;
                camera.frames.truncate(frames as usize);
            }
            rig
        })
    }

    fn arrivals(rig: &[Running]) -> Vec<Frame> {
        rig.iter().enumerate().flat_map(|(n, camera)| camera.frames(n, |k| camera.frames[k].1)).collect()
    }

    fn matcher_for(rig: &[Running]) -> Matcher {
        matcher(&rig.iter().map(|camera| camera.fps).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn no_frame_is_in_two_sets_and_none_is_made_up(rig in rig()) {
            let frames = arrivals(&rig);
            let delivered = frames.len();
            let mut matcher = matcher_for(&rig);
            let (sets, late) = run(&mut matcher, frames);
            let mut used: Vec<(u8, u64)> = sets.iter().flat_map(FrameSet::frames).map(|f| (f.camera.0, f.seq)).collect();
            let all = used.len();
            used.sort_unstable();
            used.dedup();
            prop_assert_eq!(used.len(), all, "a frame was used twice");
            let unmatched: u64 = (0..rig.len()).map(|n| matcher.unmatched(camera_id(n))).sum();
            prop_assert_eq!(all + late + unmatched as usize, delivered, "every frame is accounted for");
        }

        #[test]
        fn no_view_is_more_than_half_a_period_from_the_reference(rig in rig()) {
            let (sets, _) = run(&mut matcher_for(&rig), arrivals(&rig));
            for set in &sets {
                let period = 1_000_000_000 / rig[set.reference.index()].fps;
                for frame in set.frames() {
                    prop_assert!((frame.captured_at - set.at).abs() <= period / 2);
                }
                let times = || set.frames().map(|frame| frame.captured_at.ns());
                let spread = times().max().unwrap_or(0) - times().min().unwrap_or(0);
                prop_assert_eq!(set.skew.as_nanos() as i64, spread);
            }
        }

        #[test]
        fn the_order_of_arrival_does_not_matter(
            rig in rig_that_stays(),
            other in prop::collection::vec(3 * MS..12 * MS, 64),
        ) {
            let (sets, late) = run(&mut matcher_for(&rig), arrivals(&rig));
            let reordered = rig.iter().enumerate().flat_map(|(n, camera)| camera.frames(n, |k| other[(k * 7 + n) % 64])).collect();
            let (again, late_again) = run(&mut matcher_for(&rig), reordered);
            prop_assert_eq!(members(&sets), members(&again));
            prop_assert_eq!(late, late_again);
        }

        #[test]
        fn no_set_waits_beyond_its_deadline(rig in rig(), burst in 0_usize..20, delay_ms in 0_i64..400) {
            let mut frames = arrivals(&rig);
            // Some frames of a camera are held up on their way and then come all at once. It is not the reference:
            // while that one is silent there is no set to wait.
            let reference = (0..rig.len()).min_by_key(|&n| rig[n].fps).map(camera_id);
            let held = (0..rig.len()).rev().map(camera_id).find(|camera| Some(*camera) != reference);
            let is_held = |frame: &Frame| Some(frame.camera) == held && frame.seq >= burst as u64;
            let mut gate = 0;
            for frame in frames.iter_mut().filter(|f| is_held(f) && f.seq < burst as u64 + 5) {
                gate = gate.max(frame.received_at.ns() + delay_ms * MS);
            }
            for frame in frames.iter_mut().filter(|f| is_held(f)) {
                frame.received_at = frame.received_at.max(Timestamp::from_ns(gate));
            }
            let (sets, _) = run(&mut matcher_for(&rig), frames);
            // When the reference's recording ends before the others', these wait until it counts as dead.
            for set in sets.iter().filter(|set| Some(set.reference) == reference) {
                let period = Duration::from_nanos((1_000_000_000 / rig[set.reference.index()].fps) as u64);
                prop_assert!(set.waited <= period / 2 + ALLOWANCE + period, "waited {:?}", set.waited);
            }
        }

        #[test]
        fn a_faster_camera_gives_its_truly_nearest_frame(phase in 0..33 * MS) {
            let slow = Running { fps: 30, phase_ns: 0, frames: vec![(0, 5 * MS, false); 20] };
            let fast = Running { fps: 60, phase_ns: phase, frames: vec![(0, 5 * MS, false); 60] };
            let rig = [fast, slow];
            let (sets, late) = run(&mut matcher_for(&rig), arrivals(&rig));
            prop_assert_eq!(sets.iter().filter(|set| set.reference == camera_id(1)).count(), 20);
            prop_assert_eq!(late, 0);
            let captured: Vec<i64> = rig[0].frames(0, |_| 0).iter().map(|f| f.captured_at.ns()).collect();
            for set in sets.iter().filter(|set| set.reference == camera_id(1)) {
                let nearest = captured.iter().map(|t| (t - set.at.ns()).abs()).min().unwrap_or(i64::MAX);
                let taken = set.views[0].as_ref().map(|frame| (frame.captured_at - set.at).abs());
                if nearest <= 16 * MS {
                    prop_assert_eq!(taken, Some(nearest));
                }
            }
        }
    }

    #[test]
    fn a_set_is_emitted_as_soon_as_all_are_settled() {
        let mut matcher = matcher(&[30, 30]);
        matcher.push(frame(1, 0, 95 * MS, 100 * MS));
        matcher.push(frame(0, 0, 105 * MS, 110 * MS));
        // Camera 1 is 10 ms before the reference, less than half a period: its next frame is further away.
        let set = matcher.poll(Timestamp::from_ns(110 * MS)).expect("nothing is left to wait for");
        assert_eq!((set.skew, set.waited), (Duration::from_millis(10), Duration::ZERO));
    }

    #[test]
    fn a_set_goes_out_at_its_deadline_without_the_camera_that_is_late() {
        let mut matcher = matcher(&[30, 30]);
        for n in 0..3 {
            let t = n as i64 * 33 * MS;
            matcher.push(frame(1, n, t, t + 5 * MS));
            matcher.push(frame(0, n, t, t + 5 * MS));
            assert!(matcher.poll(Timestamp::from_ns(t + 5 * MS)).is_some());
        }
        matcher.push(frame(0, 3, 99 * MS, 104 * MS));
        // 104 ms and half a period of 33.3 ms and the allowance of 10 ms.
        let due = Timestamp::from_ns(104 * MS + 16_666_666 + 10 * MS);
        let event = matcher.next_event(Timestamp::from_ns(104 * MS)).expect("there is a deadline");
        // What is learned of the time on the way goes in steps of half a millisecond.
        assert!((event - due).abs() < MS / 2, "{event:?}");
        assert!(matcher.poll(Timestamp::from_ns(event.ns() - 1)).is_none());
        assert!(matcher.poll(event).expect("the deadline is kept").views[1].is_none());
        assert_eq!(matcher.push(frame(1, 3, 99 * MS, 131 * MS)), Verdict::Late);
    }

    #[test]
    fn a_camera_whose_frames_always_take_longer_is_waited_for() {
        // Half a period out of step, and 16 ms longer on its way: its frames come 6 ms after the plain deadline.
        let mut matcher = matcher(&[30, 30]);
        let frames = (0..60).flat_map(|n| {
            let t = n as i64 * 33_333_333;
            [frame(0, n, t, t + 17 * MS), frame(1, n, t + 16 * MS, t + 49 * MS)]
        });
        let (sets, _) = run(&mut matcher, frames.collect());
        let with_both = sets.iter().filter(|set| set.frames().count() == 2).count();
        assert!(with_both >= 58, "{with_both} of 60");
    }

    #[test]
    fn a_dead_camera_is_not_waited_for_and_returns_with_its_next_frame() {
        let mut matcher = matcher(&[30, 30]);
        let both: Vec<Frame> = (0..30)
            .flat_map(|n| {
                [0, 1].map(|camera| frame(camera, n, n as i64 * 33 * MS + 100 * MS, n as i64 * 33 * MS + 105 * MS))
            })
            // The reference itself is gone from frame 10 to frame 20.
            .filter(|f| f.camera == camera_id(1) || !(10..20).contains(&f.seq))
            .collect();
        let (sets, _) = run(&mut matcher, both);
        let alone: Vec<&FrameSet> = sets.iter().filter(|set| set.views[0].is_none()).collect();
        assert!(alone.len() >= 6, "the other camera goes on alone: {} sets", alone.len());
        assert!(alone.iter().all(|set| set.reference == camera_id(1)));
        let after = sets.iter().filter(|set| set.views[0].as_ref().is_some_and(|frame| frame.seq >= 20));
        assert!(after.clone().all(|set| set.reference == camera_id(0) && set.views[1].is_some()));
        assert_eq!(after.count(), 10);
    }

    #[test]
    fn offsets_are_taken_off_before_matching() {
        let late_clock = Timing { offset_ns: 20 * MS, ..timing(30) };
        let mut matcher = Matcher::new(&[timing(30), late_clock], ALLOWANCE, Timestamp::from_ns(0));
        matcher.push(frame(0, 0, 100 * MS, 105 * MS));
        matcher.push(frame(1, 0, 121 * MS, 106 * MS));
        let set = matcher.poll(Timestamp::from_ns(106 * MS)).expect("both are here");
        assert_eq!(set.skew, Duration::from_millis(1));
    }

    #[test]
    fn a_clock_that_is_set_back_starts_matching_anew() {
        let mut matcher = matcher(&[30]);
        matcher.push(frame(0, 0, 9_000 * MS, 9_005 * MS));
        assert!(matcher.poll(Timestamp::from_ns(9_005 * MS)).is_some());
        assert_eq!(matcher.push(frame(0, 1, 50 * MS, 9_040 * MS)), Verdict::ClockReset);
        assert!(matcher.poll(Timestamp::from_ns(9_040 * MS)).is_some());
    }
}
