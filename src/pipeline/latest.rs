//! The newest-wins slot: the one place where the pipeline drops.

use crossbeam_queue::ArrayQueue;

/// Holds one value; a newer one displaces it. Lock-free, for any number of threads.
pub struct Latest<T> {
    slot: ArrayQueue<T>,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self { slot: ArrayQueue::new(1) }
    }
}

impl<T> Latest<T> {
    /// Puts `value` in and gives back the one that it displaced.
    pub fn put(&self, value: T) -> Option<T> {
        self.slot.force_push(value)
    }

    /// Puts `value` in if there is room, else gives it back.
    ///
    /// # Errors
    /// `value`, when the slot is full.
    pub fn try_put(&self, value: T) -> Result<(), T> {
        self.slot.push(value)
    }

    /// Takes the value out.
    #[must_use]
    pub fn take(&self) -> Option<T> {
        self.slot.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_wins_and_the_displaced_is_given_back() {
        let latest = Latest::default();
        assert_eq!(latest.put(1), None);
        assert_eq!(latest.put(2), Some(1));
        assert_eq!(latest.try_put(3), Err(3));
        assert_eq!(latest.take(), Some(2));
        assert_eq!(latest.take(), None);
    }
}
