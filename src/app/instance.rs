//! One daemon per state directory, and no rehearsal beside a live one by mistake.

use std::fs;
use std::io;
use std::path::Path;

use super::StartError;
use crate::adapters::identity;
use crate::adapters::lock::{InstanceLock, LockError};

/// A state directory that is ours.
pub(super) struct State {
    /// Held to the end.
    _lock: InstanceLock,
    pub(super) daemon_id: String,
    /// Why the identity could not be kept.
    pub(super) trouble: Option<io::Error>,
}

/// Makes the state directory ours, before anything in it is read or written, and returns the daemon's identity.
///
/// Where the identity cannot be kept there (disk full, rights), the daemon gets one for this life alone, and says so when it can.
pub(super) fn take_state(path: &Path, is_rehearsal: bool) -> Result<State, StartError> {
    let failed = |reason| StartError::StateDir { path: path.to_owned(), reason };
    fs::create_dir_all(path).map_err(failed)?;
    let what = if is_rehearsal { "rehearsal" } else { "live" };
    let lock = InstanceLock::take(path, what).map_err(|error| match error {
        LockError::Held(holder) => StartError::AlreadyRunning { path: path.to_owned(), holder: holder.to_string() },
        LockError::Io(reason) => failed(reason),
    })?;
    let (daemon_id, trouble) = match identity::of_state_dir(path) {
        Ok(id) => (id, None),
        Err(reason) => (identity::random()?, Some(reason)),
    };
    Ok(State { _lock: lock, daemon_id, trouble })
}

/// For a rehearsal: fails while a daemon holds `configured`, the state directory that it leaves alone. Makes no file there.
pub fn refuse_beside_live(configured: &Path) -> Result<(), StartError> {
    let path = configured.to_owned();
    match InstanceLock::holder(configured) {
        Ok(None) => Ok(()),
        Ok(Some(holder)) => Err(StartError::BesideLive { path, holder: holder.to_string() }),
        Err(reason) => Err(StartError::Unknown { path, reason }),
    }
}
