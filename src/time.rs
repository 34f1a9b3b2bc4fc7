//! The one timeline: [`Timestamp`] in nanoseconds and the [`Clock`] that reads it.
//!
//! Live runs use the system's monotonic clock (on Unix `CLOCK_MONOTONIC` itself, so that stamps compare
//! with other recorders of the same machine). A replay runs on the take's own timeline, and tests on a
//! clock that moves only when they say so.

use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_utils::sync::Parker;
use serde::Serialize;

/// A point on a monotonic timeline, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The point `ns` nanoseconds after the timeline's origin.
    #[must_use]
    pub const fn from_ns(ns: i64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since the timeline's origin.
    #[must_use]
    pub const fn ns(self) -> i64 {
        self.0
    }

    /// Milliseconds from `earlier` to `self`; negative if `self` comes first.
    #[must_use]
    pub fn ms_since(self, earlier: Self) -> f64 {
        (self - earlier) as f64 / 1e6
    }

    /// The time from `earlier` to `self`, zero if `self` comes first.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos((self - earlier).max(0) as u64)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl Sub for Timestamp {
    /// Signed nanoseconds.
    type Output = i64;

    fn sub(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }
}

/// Reads the timeline and waits on it.
#[derive(Clone, Debug)]
pub enum Clock {
    /// Runs by itself.
    Real {
        /// What this clock showed when the system's clock showed `started`.
        origin: Timestamp,
        /// The system's monotonic clock when this clock was made.
        started: Timestamp,
        /// Seconds of this timeline in one real second; 1 when live.
        speed: f64,
    },
    /// Moves only by [`Clock::wait`] and [`Clock::advance_to`]: for tests.
    Simulated(Arc<AtomicI64>),
}

impl Clock {
    /// The system's monotonic clock.
    #[must_use]
    pub fn live() -> Self {
        let now = monotonic_now();
        Self::Real { origin: now, started: now, speed: 1.0 }
    }

    /// A clock that shows `origin` now and runs at `speed` times real time.
    #[must_use]
    pub fn replay(origin: Timestamp, speed: f64) -> Self {
        Self::Real { origin, started: monotonic_now(), speed }
    }

    /// A clock that stands still at `start`.
    #[must_use]
    pub fn simulated(start: Timestamp) -> Self {
        Self::Simulated(Arc::new(AtomicI64::new(start.ns())))
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Real { origin, started, speed } => {
                let real_ns = monotonic_now() - *started;
                Timestamp(origin.0 + (real_ns as f64 * speed) as i64)
            }
            Self::Simulated(now) => Timestamp(now.load(Ordering::Acquire)),
        }
    }

    /// Real time since this clock showed `earlier`, whatever its speed.
    #[must_use]
    pub fn since(&self, earlier: Timestamp) -> Duration {
        let elapsed = self.now().since(earlier);
        match self {
            Self::Real { speed, .. } => elapsed.div_f64(*speed),
            Self::Simulated(_) => elapsed,
        }
    }

    /// Waits until `deadline` (for ever without one) or until the parker's unparker is called.
    /// A simulated clock jumps to the deadline at once.
    pub fn wait(&self, parker: &Parker, deadline: Option<Timestamp>) {
        match (self, deadline) {
            (Self::Simulated(_), Some(deadline)) => self.advance_to(deadline),
            (Self::Real { speed, .. }, Some(deadline)) => {
                let left = deadline.since(self.now()).div_f64(*speed);
                if !left.is_zero() {
                    parker.park_timeout(left);
                }
            }
            (_, None) => parker.park(),
        }
    }

    /// Moves a simulated clock forward to `to`; a real clock goes its own way.
    pub fn advance_to(&self, to: Timestamp) {
        if let Self::Simulated(now) = self {
            now.fetch_max(to.ns(), Ordering::AcqRel);
        }
    }
}

/// The system's monotonic clock.
#[cfg(unix)]
#[must_use]
pub fn monotonic_now() -> Timestamp {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Timestamp(now.tv_sec * 1_000_000_000 + now.tv_nsec)
}

/// The system's monotonic clock, counted from the first call.
#[cfg(not(unix))]
#[must_use]
pub fn monotonic_now() -> Timestamp {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    Timestamp(START.get_or_init(std::time::Instant::now).elapsed().as_nanos() as i64)
}

/// CPU time that this thread has used; zero where the system does not tell.
#[must_use]
pub fn thread_cpu() -> Duration {
    cpu(Whose::Thread)
}

/// CPU time that all threads of this process have used; zero where the system does not tell.
#[must_use]
pub fn process_cpu() -> Duration {
    cpu(Whose::Process)
}

/// Whose CPU time.
#[derive(Clone, Copy)]
enum Whose {
    Thread,
    Process,
}

#[cfg(unix)]
fn cpu(whose: Whose) -> Duration {
    let clock = match whose {
        Whose::Thread => rustix::time::ClockId::ThreadCPUTime,
        Whose::Process => rustix::time::ClockId::ProcessCPUTime,
    };
    let used = rustix::time::clock_gettime(clock);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

#[cfg(not(unix))]
fn cpu(_: Whose) -> Duration {
    Duration::ZERO
}

/// What some work took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// How long: of what is done side by side, the slowest part.
    pub wall: Duration,
    /// CPU time of its threads together; zero where the system does not tell.
    pub cpu: Duration,
}

impl Spent {
    /// What two parts took that ran one after the other.
    #[must_use]
    pub fn then(self, other: Self) -> Self {
        Self { wall: self.wall + other.wall, cpu: self.cpu + other.cpu }
    }

    /// What two parts took that ran side by side.
    #[must_use]
    pub fn beside(self, other: Self) -> Self {
        Self { wall: self.wall.max(other.wall), cpu: self.cpu + other.cpu }
    }
}

/// Measures one stretch of a thread's work after another.
pub struct Stopwatch {
    at: Instant,
    cpu: Duration,
}

impl Stopwatch {
    /// One that runs from now on.
    #[must_use]
    pub fn start() -> Self {
        Self { at: Instant::now(), cpu: thread_cpu() }
    }

    /// What was spent since the last call, or since the start.
    pub fn lap(&mut self) -> Spent {
        let before = std::mem::replace(self, Self::start());
        Spent { wall: self.at - before.at, cpu: self.cpu.saturating_sub(before.cpu) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_clock_runs_at_its_speed() {
        let clock = Clock::replay(Timestamp::from_ns(5_000), 1000.0);
        let before = monotonic_now();
        clock.wait(&Parker::new(), Some(Timestamp::from_ns(2_000_005_000)));
        let real = monotonic_now() - before;
        assert!(clock.now() >= Timestamp::from_ns(2_000_005_000));
        assert!((2_000_000..1_000_000_000).contains(&real), "2 s at 1000 times the speed took {real} ns");
    }

    #[test]
    fn a_simulated_clock_moves_only_when_told() {
        let clock = Clock::simulated(Timestamp::from_ns(7));
        assert_eq!(clock.now(), Timestamp::from_ns(7));
        clock.wait(&Parker::new(), Some(Timestamp::from_ns(9)));
        clock.advance_to(Timestamp::from_ns(8));
        assert_eq!(clock.now(), Timestamp::from_ns(9), "time never goes back");
    }
}
