//! Where notices come in: handed on first, then copied for the desk. Nobody waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::domain::alert::concerns;
use crate::domain::notice::Notice;
use crate::ports::Notifier;

/// More notices do not wait for the desk.
const MOST: usize = 4096;

/// The way to the desk.
#[derive(Clone)]
pub struct Tap {
    notices: mpsc::Sender<Notice>,
    lost: Arc<AtomicU64>,
}

impl Tap {
    /// With it the desk's end.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Notice>) {
        let (notices, heard) = mpsc::channel(MOST);
        (Self { notices, lost: Arc::default() }, heard)
    }

    /// Notices that were lost since it was asked last.
    pub(super) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }

    /// Straight to the desk, past everybody else: for what the log knows already.
    pub fn put(&self, notice: Notice) {
        if self.notices.try_send(notice).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Hands notices on, and copies to the desk what may be worth telling.
pub struct Telling<N> {
    next: N,
    tap: Option<Tap>,
}

impl<N: Notifier> Telling<N> {
    /// Without a tap nobody is told.
    #[must_use]
    pub fn new(next: N, tap: Option<Tap>) -> Self {
        Self { next, tap }
    }
}

impl<N: Notifier> Notifier for Telling<N> {
    fn notify(&self, notice: Notice) {
        let copy = self.tap.as_ref().filter(|_| concerns(&notice.what)).map(|tap| (tap, notice.clone()));
        self.next.notify(notice);
        if let Some((tap, notice)) = copy {
            tap.put(notice);
        }
    }
}
