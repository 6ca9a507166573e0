//! Reads the runs in a journal, whether a daemon writes to it or not. Changes nothing.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use rusqlite::Row;
use rustix::fs::{FlockOperation, flock};

use super::fault::Fault;
use super::link::undecodable;
use super::load::{each, get};
use super::place::Place;
use super::read::reading;
use super::text::{read_date, read_end, read_instant, read_word};
use crate::domain::attempt::AttemptEnd;
use crate::domain::outcome::RunResult;
use crate::domain::script::ScriptName;

/// A run as the journal has it.
#[derive(Clone, Debug, PartialEq)]
pub struct PastRun {
    /// Which script.
    pub script: ScriptName,
    /// Which trading date.
    pub trading_date: NaiveDate,
    /// `Running` while it is not over.
    pub result: RunResult,
    /// Why, in words.
    pub reason: String,
    /// The zone of its calendar.
    pub zone: Tz,
    /// When the first attempt started.
    pub first_start: Option<DateTime<Utc>>,
    /// When it was over.
    pub end: Option<DateTime<Utc>>,
    /// How many attempts.
    pub attempts: u32,
    /// How the latest one ended.
    pub last_exit: Option<AttemptEnd>,
}

/// All runs, by date and script; and in words the rows that cannot be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runs {
    /// Those that can be read.
    pub runs: Vec<PastRun>,
    /// Why the others cannot.
    pub unread: Vec<String>,
}

/// Why the journal cannot be read, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

const RUNS: &str = "
SELECT script, trading_date, result, reason, zone, first_start, ended_at, attempts,
  last_exit_code, last_exit_signal, last_exit_result, last_exit_at
FROM runs ORDER BY trading_date, script, slot";

/// So long somebody who holds the file for himself is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads the journal of a state directory; None if there is none yet.
pub fn read(state_dir: &Path) -> Result<Option<Runs>, Unreadable> {
    let place = Place::of(state_dir);
    if place.has_lone_log() {
        let path = place.path().display();
        let next = "the next daemon keeps that under another name, and begins anew";
        return Err(Unreadable(format!("{path} is gone or empty, but not its log {path}-wal: {next}")));
    }
    match fs::metadata(place.path()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let path = place.path().display();
            return Err(Unreadable(format!("{path} cannot be read: {error}; see who may read it")));
        }
        // A daemon is about to write the first word.
        Ok(found) if found.len() == 0 => return Ok(None),
        Ok(_) => {}
    }
    let found = reading(&place, PATIENCE, |connection| {
        let mut unread = Vec::new();
        let runs = each(connection, RUNS, [], &mut unread, past_run).map_err(|error| undecodable(&place, &error))?;
        Ok(Runs { runs, unread })
    });
    found.map(|runs| Some(runs.unwrap_or_default())).map_err(|fault| match fault {
        Fault::Unavailable(text) => Unreadable(format!("{text}; or ask as the user that the daemon runs as")),
        fault => Unreadable(fault.to_string()),
    })
}

fn past_run(row: &Row<'_>) -> Result<PastRun, String> {
    let text = |column| get::<Option<String>>(row, column);
    let instant = |column| text(column)?.as_deref().map(read_instant).transpose();
    let zone: String = get(row, 4)?;
    Ok(PastRun {
        script: ScriptName::new(&get::<String>(row, 0)?)?,
        trading_date: read_date(&get::<String>(row, 1)?)?,
        result: read_word(&get::<String>(row, 2)?)?,
        reason: get(row, 3)?,
        zone: zone.parse().map_err(|_| format!("{zone:?} is no zone"))?,
        first_start: instant(5)?,
        end: instant(6)?,
        attempts: get(row, 7)?,
        last_exit: read_end(get(row, 8)?, get(row, 9)?, text(10)?.as_deref(), text(11)?.as_deref())?,
    })
}

/// Whether a daemon holds the state directory; None if we may not look.
#[must_use]
pub fn is_held(state_dir: &Path) -> Option<bool> {
    let lock = match File::open(state_dir.join("lock")) {
        Ok(lock) => lock,
        Err(error) => return (error.kind() == io::ErrorKind::NotFound).then_some(false),
    };
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Some(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Some(true),
        Err(_) => None,
    }
}
