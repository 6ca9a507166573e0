//! When a process was last heard of: noted by whoever hears it, read by whoever wants to know, without waiting for each other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::domain::health::Signs;

/// The latest signs of life of one attempt.
#[derive(Debug)]
pub struct SignBook {
    since: Instant,
    /// Milliseconds after `since`, plus one; 0 = never.
    printed: AtomicU64,
    beat: AtomicU64,
}

impl Default for SignBook {
    fn default() -> Self {
        Self::new()
    }
}

impl SignBook {
    /// Nothing was heard yet.
    #[must_use]
    pub fn new() -> Self {
        Self { since: Instant::now(), printed: AtomicU64::new(0), beat: AtomicU64::new(0) }
    }

    /// It printed something at `now`.
    pub fn note_output(&self, now: Instant) {
        self.printed.store(self.mark(now), Ordering::Relaxed);
    }

    /// It said that it is alive.
    pub fn note_beat(&self, now: Instant) {
        self.beat.store(self.mark(now), Ordering::Relaxed);
    }

    /// When it was last heard of, as seen at `now`.
    #[must_use]
    pub fn read(&self, now: Instant) -> Signs {
        let ago = |mark: &AtomicU64| {
            let at = mark.load(Ordering::Relaxed).checked_sub(1)?;
            Some(now.saturating_duration_since(self.since).saturating_sub(Duration::from_millis(at)))
        };
        Signs { printed: ago(&self.printed), beat: ago(&self.beat) }
    }

    fn mark(&self, now: Instant) -> u64 {
        let millis = now.saturating_duration_since(self.since).as_millis();
        u64::try_from(millis).unwrap_or(u64::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_seen_is_nothing_and_what_was_is_so_long_ago() {
        let book = SignBook::new();
        let at = |ms| book.since + Duration::from_millis(ms);
        assert_eq!(book.read(at(5)), Signs::default());
        book.note_output(at(0));
        book.note_beat(at(20));
        let ago = |ms| Some(Duration::from_millis(ms));
        assert_eq!(book.read(at(50)), Signs { printed: ago(50), beat: ago(30) });
    }
}
