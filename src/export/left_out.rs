//! What of a take cannot be read: an export goes on without it, and says at the end how much that was.

use std::error::Error as _;

use crate::record::{Take, TakeError};

/// Counts what is left out.
pub(super) struct LeftOut<'a> {
    take: &'a Take,
    /// What is counted, in the plural.
    what: String,
    count: u64,
    /// Why the first one was.
    first: Option<String>,
}

impl<'a> LeftOut<'a> {
    /// Nothing yet of `what`.
    pub(super) fn of(take: &'a Take, what: String) -> Self {
        Self { take, what, count: 0, first: None }
    }

    /// What was read; if it was not, it is counted.
    pub(super) fn unless<T>(&mut self, read: Result<T, TakeError>) -> Option<T> {
        let error = match read {
            Ok(read) => return Some(read),
            Err(error) => error,
        };
        self.count += 1;
        let because = || error.source().map_or(error.to_string(), |source| format!("{error}: {source}"));
        self.first.get_or_insert_with(because);
        None
    }

    /// Says it, if there is something to say.
    pub(super) fn tell(self) {
        if let Some(first) = self.first {
            let (take, count, what) = (self.take.path.display(), self.count, self.what);
            tracing::warn!("{take}: {count} {what} cannot be read and are left out. The first: {first}");
        }
    }
}
