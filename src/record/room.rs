//! How long a recording may go on, and when that is worth a word.

/// Below these many seconds left it is said, once each.
const WARN_BELOW_S: [u64; 3] = [3600, 600, 60];

/// Follows the time that is left.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// How many of the warnings are behind; `None` before anything was said.
    said: Option<usize>,
}

/// What is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// The time that is left, as soon as it is known.
    First(u64),
    /// It is short.
    Short(u64),
}

impl Room {
    /// What is to be said now that so much time is left.
    pub(crate) fn step(&mut self, left_s: Option<u64>) -> Option<Word> {
        let left_s = left_s?;
        let due = WARN_BELOW_S.iter().filter(|limit| left_s < **limit).count();
        let said = self.said.replace(due.max(self.said.unwrap_or(0)));
        match said {
            _ if due > said.unwrap_or(0) => Some(Word::Short(left_s)),
            None => Some(Word::First(left_s)),
            Some(_) => None,
        }
    }
}

/// So many seconds as people say it: two units at most.
#[must_use]
pub fn time_left(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) if h < 48 => format!("{h} h {m} min"),
        (h, ..) => format!("{} days", h / 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_said_first_and_then_only_when_it_gets_short() {
        let mut room = Room::default();
        let left = [None, Some(9000), Some(8000), Some(3500), Some(3700), Some(3400), Some(59), Some(58)];
        let said: Vec<Option<Word>> = left.into_iter().map(|left_s| room.step(left_s)).collect();
        let (first, short) = (Word::First(9000), [Word::Short(3500), Word::Short(59)]);
        assert_eq!(said, [None, Some(first), None, Some(short[0]), None, None, Some(short[1]), None]);
        assert_eq!(Room::default().step(Some(30)), Some(Word::Short(30)));
    }

    #[test]
    fn times_are_said_as_people_say_them() {
        let said = [59, 61, 3600, 7260, 200_000].map(time_left);
        assert_eq!(said, ["59 s", "1 min 1 s", "1 h 0 min", "2 h 1 min", "2 days"]);
    }
}
