//! What can be wrong with the file, and in which words its owner hears of it.

use std::fmt;
use std::path::Path;

use rusqlite::{Error, ErrorCode, ffi};

use crate::adapters::fault_point;

/// SQLite's own code, if it comes from there.
pub(super) fn code(error: &Error) -> Option<ErrorCode> {
    match error {
        Error::SqliteFailure(error, _) | Error::SqlInputError { error, .. } => Some(error.code),
        _ => None,
    }
}

/// A fault point of the journal: what fails there fails in the words of SQLite.
pub(super) fn reach(point: &str) -> rusqlite::Result<()> {
    fault_point::reach(point).map_err(|error| {
        let is_full = error.kind() == std::io::ErrorKind::StorageFull;
        let code = if is_full { ffi::SQLITE_FULL } else { ffi::SQLITE_IOERR };
        Error::SqliteFailure(ffi::Error::new(code), None)
    })
}

/// Why the journal could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Somebody else holds it: later it may be free.
    Locked(String),
    /// It cannot be used as long as the machine is so: disk full, rights, a failing disk.
    Unavailable(String),
    /// What is in it is not, or no longer, a journal.
    Damaged(String),
    /// A later version of this program wrote it.
    Newer(String),
    /// It belongs to a daemon of the other kind.
    OtherKind(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Locked(text)
        | Self::Unavailable(text)
        | Self::Damaged(text)
        | Self::Newer(text)
        | Self::OtherKind(text)) = self;
        f.write_str(text)
    }
}

impl Fault {
    /// What SQLite says of the file at `path`.
    pub(super) fn of(path: &Path, error: &Error) -> Self {
        let path = path.display();
        match code(error) {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
                Self::Locked(format!(
                    "{path} is locked by another process; end whatever has it open (fuser {path} names it)"
                ))
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(format!("{path} is damaged: {error}"))
            }
            Some(ErrorCode::DiskFull) => {
                Self::Unavailable(format!("{path} cannot be written: the disk is full; make room on it (df {path})"))
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::Unavailable(format!(
                "{path} cannot be written: {error}; give this user the right to write the file and its directory, on a file system mounted rw"
            )),
            Some(ErrorCode::CannotOpen) => Self::Unavailable(format!(
                "{path} cannot be opened: {error}; see that its directory is there and that this user may write in it"
            )),
            Some(ErrorCode::SystemIoFailure) => Self::Unavailable(format!(
                "{path} cannot be read or written: {error}; look at the disk (df {path}; dmesg)"
            )),
            _ => Self::Unavailable(format!("{path} cannot be used: {error}; move it away if that does not end")),
        }
    }

    /// A file operation failed.
    pub(super) fn io(path: &Path, error: &std::io::Error) -> Self {
        let path = path.display();
        Self::Unavailable(format!(
            "{path} cannot be opened or made: {error}; see that its directory is there, that this user may write in it, and that the disk has room"
        ))
    }
}
