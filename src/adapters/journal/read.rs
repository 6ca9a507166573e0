//! Reading without changing anything, whoever writes meanwhile and whatever keeps us from writing.

use std::fs;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::fault::Fault;
use super::link::{examine_version, undecodable};
use super::place::Place;
use super::schema::SCHEMA;

/// How a file is read.
#[derive(Clone, Copy)]
enum How {
    /// With the index of its log, which is made where it is missing.
    Shared,
    /// With its log, whose index is kept in memory: there may be no room for it.
    OwnIndex,
    /// Nobody writes, and there is no log: nothing is needed but the file itself.
    Alone,
}

impl How {
    fn query(self) -> &'static str {
        match self {
            Self::Shared => "",
            Self::OwnIndex => "?readonly_shm=1",
            Self::Alone => "?immutable=1",
        }
    }
}

/// What `work` reads in the file; None if there is nothing in it. Somebody who holds it for himself is waited for.
pub(super) fn reading<T>(
    place: &Place,
    patience: Duration,
    work: impl Fn(&Connection) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    let read = |how| read_as(place, patience, how, &work);
    let Some(log) = fs::metadata(place.beside("-wal")).ok() else { return read(How::Alone) };
    match read(How::Shared) {
        Err(Fault::Unavailable(_)) if log.len() == 0 => read(How::Alone),
        Err(fault @ Fault::Unavailable(_)) => read(How::OwnIndex).map_err(|_| fault),
        found => found,
    }
}

fn read_as<T>(
    place: &Place,
    patience: Duration,
    how: How,
    work: impl Fn(&Connection) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    let failed = |error: rusqlite::Error| undecodable(place, &error);
    let path = place.path().to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(format!("file:{path}{}", how.query()), flags).map_err(failed)?;
    connection.busy_timeout(patience).map_err(failed)?;
    if examine_version(&connection, place, SCHEMA)? == 0 {
        return Ok(None);
    }
    work(&connection).map(Some)
}
