//! How many pictures a second pages may have. A browser on the same machine needs the cores that find the faces:
//! before results suffer, the page gets fewer pictures.

use std::time::{Duration, Instant};

/// Pictures a second that are sent in any case.
const FEWEST_PER_S: f64 = 2.0;
/// A step down, when results are about to suffer; a step up after a calm while.
const DOWN: f64 = 0.6;
const UP: f64 = 1.4;
/// Slow sets that are nobody's fault: so many, and this share.
const SLOW_SETS: u64 = 2;
const SLOW_SHARE: f64 = 0.05;
/// Sets without trouble before a step up.
const CALM_SETS: u64 = 30;

/// How the pipeline fared for a while.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    /// Sets analysed.
    pub sets: u64,
    /// Of them, those that took more than half of the time there is for one.
    pub slow: u64,
    /// Sets dropped because a newer one was there.
    pub stale: u64,
}

/// Lowers the rate at once and raises it slowly, as congestion control does.
pub(super) struct Pace {
    nominal_per_s: f64,
    at_most_per_s: f64,
    /// Since the last step.
    load: Load,
    next_at: Option<Instant>,
}

impl Pace {
    /// For sets that come every `period`.
    pub(super) fn new(period: Duration) -> Self {
        let nominal_per_s = 1.0 / period.as_secs_f64().max(1e-3);
        Self { nominal_per_s, at_most_per_s: nominal_per_s, load: Load::default(), next_at: None }
    }

    /// Pictures a second that are allowed now.
    pub(super) fn at_most_per_s(&self) -> f64 {
        self.at_most_per_s
    }

    /// Takes in how it went while pictures were sent.
    pub(super) fn step(&mut self, load: Load) {
        self.load.sets += load.sets;
        self.load.slow += load.slow;
        self.load.stale += load.stale;
        let Load { sets, slow, stale } = self.load;
        let suffers = stale > 0 || slow > SLOW_SETS.max((sets as f64 * SLOW_SHARE) as u64);
        if !suffers && sets < CALM_SETS {
            return;
        }
        let factor = if suffers { DOWN } else { UP };
        let fewest = FEWEST_PER_S.min(self.nominal_per_s);
        self.at_most_per_s = (self.at_most_per_s * factor).clamp(fewest, self.nominal_per_s);
        self.load = Load::default();
    }

    /// No pictures were sent: whatever happened was not for them.
    pub(super) fn rest(&mut self) {
        self.at_most_per_s = self.nominal_per_s;
        self.load = Load::default();
    }

    /// Whether pictures may be sent now; if so, they count as sent.
    pub(super) fn may_send(&mut self, now: Instant) -> bool {
        if self.at_most_per_s >= self.nominal_per_s {
            self.next_at = None;
            return true;
        }
        let interval = Duration::from_secs_f64(1.0 / self.at_most_per_s);
        let due = self.next_at.unwrap_or(now);
        if now < due {
            return false;
        }
        // From when it was due, so that the mean rate is met although sets come at their own times.
        self.next_at = Some((due + interval).max(now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(33);
    const CALM: Load = Load { sets: 15, slow: 0, stale: 0 };
    /// As every machine has them now and then.
    const USUAL: Load = Load { slow: 1, ..CALM };

    fn sent_in_ten_seconds(pace: &mut Pace) -> usize {
        let start = Instant::now();
        (0..300).filter(|n| pace.may_send(start + PERIOD * *n)).count()
    }

    #[test]
    fn every_set_is_sent_while_results_are_well() {
        let mut pace = Pace::new(PERIOD);
        for load in [CALM, USUAL, USUAL, CALM, USUAL, CALM] {
            pace.step(load);
        }
        assert_eq!(sent_in_ten_seconds(&mut pace), 300);
    }

    #[test]
    fn pictures_become_fewer_before_results_suffer_and_come_back() {
        let mut pace = Pace::new(PERIOD);
        pace.step(Load { slow: 3, ..CALM });
        let rate = pace.at_most_per_s();
        assert!((18.0..19.0).contains(&rate), "{rate}");
        let sent = sent_in_ten_seconds(&mut pace) as f64;
        assert!((sent - rate * 9.9).abs() < 5.0, "{sent} of {rate} a second");
        (0..20).for_each(|_| pace.step(Load { stale: 1, ..CALM }));
        assert!((pace.at_most_per_s() - FEWEST_PER_S).abs() < 1e-9, "a few pictures are always sent");
        (0..20).for_each(|_| pace.step(CALM));
        assert_eq!(sent_in_ten_seconds(&mut pace), 300);
    }

    #[test]
    fn a_page_is_not_punished_for_what_happened_before_it_came() {
        let mut pace = Pace::new(PERIOD);
        (0..20).for_each(|_| pace.step(Load { stale: 1, ..CALM }));
        pace.rest();
        assert_eq!(sent_in_ten_seconds(&mut pace), 300);
    }
}
