//! One daemon per state directory, and no rehearsal beside a live one by mistake.

use std::fs;
use std::io;
use std::path::Path;

use super::StartError;
use crate::adapters::identity;
use crate::adapters::lock::{Holder, InstanceLock, LockError};

/// A state directory that is ours.
pub(super) struct State {
    /// Held to the end.
    lock: InstanceLock,
    what: &'static str,
    pub(super) daemon_id: String,
    /// Why the identity could not be kept.
    pub(super) trouble: Option<io::Error>,
}

impl State {
    /// The daemon that holds the directory of which this one is a copy: what the journal has of running processes is that one's.
    pub(super) fn copied_from(&self) -> Option<&Holder> {
        self.lock.copied_from()
    }

    /// To be called when this daemon's life is entered in the journal.
    pub(super) fn is_entered(&self) {
        // Where the identity is still the other daemon's, the next one is to find that out again.
        if self.copied_from().is_some() && self.trouble.is_none() {
            self.lock.sign(self.what);
        }
    }
}

/// Makes the state directory ours, before anything in it is read or written, and returns the daemon's identity.
///
/// A copy of a directory that another daemon holds gets an identity of its own: with the same one, each would take the other's scripts for
/// leftovers.
///
/// Where the identity cannot be kept there (disk full, rights), the daemon gets one for this life alone, and says so when it can.
pub(super) fn take_state(path: &Path, is_rehearsal: bool) -> Result<State, StartError> {
    let failed = |reason| StartError::StateDir { path: path.to_owned(), reason };
    fs::create_dir_all(path).map_err(failed)?;
    let what = if is_rehearsal { "rehearsal" } else { "live" };
    let lock = InstanceLock::take(path, what).map_err(|error| match error {
        LockError::Held(holder) => StartError::AlreadyRunning { path: path.to_owned(), holder: told(&holder) },
        LockError::Io(reason) => failed(reason),
    })?;
    let id = if lock.copied_from().is_some() { identity::renew(path) } else { identity::of_state_dir(path) };
    let (daemon_id, trouble) = match id {
        Ok(id) => (id, None),
        Err(reason) => (identity::random()?, Some(reason)),
    };
    Ok(State { lock, what, daemon_id, trouble })
}

/// For a rehearsal: fails while a daemon holds `configured`, the state directory that it leaves alone. Makes no file there.
pub fn refuse_beside_live(configured: &Path) -> Result<(), StartError> {
    let path = configured.to_owned();
    match InstanceLock::holder(configured) {
        Ok(None) => Ok(()),
        Ok(Some(holder)) => Err(StartError::BesideLive { path, holder: told(&holder) }),
        Err(reason) => Err(StartError::Unknown { path, reason }),
    }
}

/// Who it is, and where to look if it is not known.
fn told(holder: &Holder) -> String {
    let look = if holder.pid.is_none() { " (lslocks shows its PID)" } else { "" };
    format!("{holder}{look}")
}
