//! What signals ask of the daemon, each request once.

use std::io;
use std::os::unix::process::parent_id;

use crate::adapters::signals::{DaemonSignal, Signals};
use crate::domain::tree::{EndRequest, EndRequests};
use crate::ports::Clock;

/// A request.
pub(super) enum Request {
    Reload,
    /// End, in order; why, in words.
    End(String),
    /// End at once: it was asked before.
    EndAtOnce(DaemonSignal),
}

pub(super) struct Requests {
    signals: Signals,
    ends: EndRequests,
    /// The guard, as long as it lives for all we know.
    guard: Option<u32>,
    asked: bool,
    /// A reload that was asked for before there was anything to reload.
    reload_later: bool,
}

impl Requests {
    pub(super) fn new() -> io::Result<Self> {
        // Before signals come in: the one that tells of its death is among them.
        let guard = Some(parent_id());
        Ok(Self { signals: Signals::new()?, ends: EndRequests::default(), guard, asked: false, reload_later: false })
    }

    /// The configuration is read, but the daemon does not watch yet: what was changed since then is to be read when it does.
    pub(super) fn reload_later(&mut self) {
        self.reload_later = true;
    }

    /// Whether a reload was put off.
    pub(super) fn take_reload(&mut self) -> bool {
        std::mem::take(&mut self.reload_later)
    }

    pub(super) async fn next(&mut self, clock: &dyn Clock) -> Request {
        loop {
            match self.signals.next().await {
                DaemonSignal::Hangup => return Request::Reload,
                // The kernel's word that the guard died asks for the same end, and is nobody's second request.
                DaemonSignal::Terminate if self.asked && self.lost_guard() => {}
                signal @ (DaemonSignal::Terminate | DaemonSignal::Interrupt) => {
                    match self.ends.take(clock.now().mono) {
                        EndRequest::InOrder => {
                            self.asked = true;
                            let why = if self.lost_guard() {
                                "the guard died".to_owned()
                            } else {
                                format!("{signal} received")
                            };
                            return Request::End(why);
                        }
                        EndRequest::Same => {}
                        EndRequest::AtOnce => return Request::EndAtOnce(signal),
                    }
                }
            }
        }
    }

    /// The guard has died, and that is news.
    fn lost_guard(&mut self) -> bool {
        self.guard.take_if(|pid| *pid != parent_id()).is_some()
    }
}
