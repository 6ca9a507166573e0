//! Looks for one line in what a script prints, until it is found.

use memchr::memchr;

use super::drain::LINE;
use crate::domain::health::Pattern;

/// What is looked for, and who is told.
pub struct LineWatch {
    pattern: Pattern,
    /// The line that has no newline yet, as far as it is kept.
    open: Vec<u8>,
    then: Option<Box<dyn FnOnce() + Send>>,
}

impl LineWatch {
    /// `then` is called once, on the thread that reads.
    pub fn new(pattern: Pattern, then: impl FnOnce() + Send + 'static) -> Self {
        Self { pattern, open: Vec::new(), then: Some(Box::new(then)) }
    }

    /// True as soon as it was found. A line counts also before its newline comes: a prompt may never get one.
    pub(super) fn push(&mut self, chunk: &[u8]) -> bool {
        let mut rest = chunk;
        loop {
            let end = memchr(b'\n', rest);
            let piece = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            let kept = piece.len().min(LINE.saturating_sub(self.open.len()));
            self.open.extend_from_slice(piece.get(..kept).unwrap_or_default());
            if kept > 0 && self.pattern.is_in(&self.open) {
                if let Some(then) = self.then.take() {
                    then();
                }
                return true;
            }
            let Some(end) = end else { return false };
            self.open.clear();
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_line_is_found_however_it_was_cut_and_told_once() {
        let told = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&told);
        let found = move || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        let mut watch = LineWatch::new(Pattern::new("^ready on [0-9]+$").unwrap(), found);
        assert!(!watch.push(b"not ready on 4\nrea"));
        assert!(!watch.push(b"dy on "));
        assert!(watch.push(b"4002\nmore\n"));
        assert_eq!(told.load(Ordering::Relaxed), 1);
    }
}
