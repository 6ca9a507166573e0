//! One daemon per state directory, and no rehearsal beside a live one by mistake.

use std::fs;
use std::path::Path;

use super::StartError;
use crate::adapters::identity;
use crate::adapters::lock::{InstanceLock, LockError};

/// Makes the state directory ours, before anything in it is read or written, and returns the daemon's identity.
pub(super) fn take_state(path: &Path, is_rehearsal: bool) -> Result<(InstanceLock, String), StartError> {
    let failed = |reason| StartError::StateDir { path: path.to_owned(), reason };
    fs::create_dir_all(path).map_err(failed)?;
    let what = if is_rehearsal { "rehearsal" } else { "live" };
    let lock = InstanceLock::take(path, what).map_err(|error| match error {
        LockError::Held(holder) => StartError::AlreadyRunning { path: path.to_owned(), holder: holder.to_string() },
        LockError::Io(reason) => failed(reason),
    })?;
    Ok((lock, identity::of_state_dir(path).map_err(failed)?))
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
