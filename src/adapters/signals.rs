//! The signals to the daemon as a stream. By handlers, not by a blocked mask and a signalfd: a script inherits the mask of the daemon,
//! while handlers are reset to the default by exec.

use std::fmt;
use std::io;

use nix::libc;
use nix::sys::signal::SigSet;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaemonSignal {
    /// SIGTERM or SIGQUIT: end, in order.
    Terminate,
    /// SIGINT: end, in order.
    Interrupt,
    /// SIGHUP: read the configuration again.
    Hangup,
}

impl fmt::Display for DaemonSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::Hangup => "SIGHUP",
        })
    }
}

/// The signals to the daemon.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    quit: Signal,
    /// Caught and not acted on: scripts for log rotation like to send the first two; the third comes where a file would grow beyond its limit
    /// (`ulimit -f`), and the write fails as on a full disk. Their default would be the end of the daemon. Ignored they would be, too, in
    /// every script.
    _harmless: [Signal; 3],
}

impl Signals {
    /// From now on these signals no longer have their default effect, and this thread blocks none: those that came while they were blocked
    /// come now, and a script that this thread starts inherits no mask.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn new() -> io::Result<Self> {
        let signals = Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            _harmless: [
                signal(SignalKind::user_defined1())?,
                signal(SignalKind::user_defined2())?,
                signal(SignalKind::from_raw(libc::SIGXFSZ))?,
            ],
        };
        SigSet::empty().thread_set_mask()?;
        Ok(signals)
    }

    /// The next one. Equal signals in quick succession may arrive as one, as everywhere with signals.
    pub async fn next(&mut self) -> DaemonSignal {
        tokio::select! {
            _ = self.terminate.recv() => DaemonSignal::Terminate,
            _ = self.quit.recv() => DaemonSignal::Terminate,
            _ = self.interrupt.recv() => DaemonSignal::Interrupt,
            _ = self.hangup.recv() => DaemonSignal::Hangup,
        }
    }
}
