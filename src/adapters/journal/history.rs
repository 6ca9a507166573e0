//! Reads the runs in a journal, whether a daemon writes to it or not. Changes nothing.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use rusqlite::{Connection, Row};
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
use crate::domain::status::{HistoryLine, LastExit, Local};

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

impl PastRun {
    /// As it is shown.
    #[must_use]
    pub fn line(&self) -> HistoryLine {
        let local = |at: DateTime<Utc>| Local::new(at, self.zone);
        HistoryLine {
            script: self.script.to_string(),
            trading_date: self.trading_date,
            result: self.result.name().to_owned(),
            reason: Some(self.reason.clone()).filter(|reason| !reason.is_empty()),
            first_start: self.first_start.map(local),
            end: self.end.map(local),
            attempts: self.attempts,
            last_exit: self.last_exit.as_ref().map(|end| LastExit::new(end, self.zone)),
        }
    }
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

/// One process, as the journal has it.
#[derive(Clone, Debug, PartialEq)]
pub struct PastAttempt {
    /// Of which script.
    pub script: ScriptName,
    /// Its number in the run.
    pub number: u32,
    /// When it was ordered.
    pub started_at: Option<DateTime<Utc>>,
    /// Why there was one before it.
    pub restarted_after: Option<String>,
    /// Its leader.
    pub pid: Option<u32>,
    /// How it ended; None while it lives.
    pub end: Option<AttemptEnd>,
}

const ATTEMPTS: &str = "
SELECT script, number, started_at, restarted_after, pid, exit_code, exit_signal, result, ended_at
FROM attempts WHERE trading_date = ?1 ORDER BY script, slot, number";

/// Reads the journal of a state directory; None if there is none yet.
pub fn read(state_dir: &Path) -> Result<Option<Runs>, Unreadable> {
    look(state_dir, |connection, unread| each(connection, RUNS, [], unread, past_run))
        .map(|found| found.map(|(runs, unread)| Runs { runs, unread }))
}

/// The processes of one trading date, by script and number; none if there is no journal yet.
pub fn attempts(state_dir: &Path, date: NaiveDate) -> Result<Vec<PastAttempt>, Unreadable> {
    let date = date.to_string();
    let read = look(state_dir, |connection, unread| each(connection, ATTEMPTS, [&date], unread, past_attempt));
    Ok(read?.unwrap_or_default().0)
}

/// Rows, and in words those that cannot be read.
type Found<T> = (Vec<T>, Vec<String>);

/// What `query` finds in the journal, and in words the rows that cannot be read.
fn look<T>(
    state_dir: &Path,
    query: impl Fn(&Connection, &mut Vec<String>) -> rusqlite::Result<Vec<T>>,
) -> Result<Option<Found<T>>, Unreadable> {
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
        let rows = query(connection, &mut unread).map_err(|error| undecodable(&place, &error))?;
        Ok((rows, unread))
    });
    found.map(|found| Some(found.unwrap_or_default())).map_err(|fault| match fault {
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

fn past_attempt(row: &Row<'_>) -> Result<PastAttempt, String> {
    let text = |column| get::<Option<String>>(row, column);
    let result = text(7)?;
    // Of one whose daemon died nobody knows when it ended: then it is told with its start.
    let ended_at = text(8)?.or(text(2)?).filter(|_| result.is_some());
    Ok(PastAttempt {
        script: ScriptName::new(&get::<String>(row, 0)?)?,
        number: get(row, 1)?,
        started_at: text(2)?.as_deref().map(read_instant).transpose()?,
        restarted_after: text(3)?,
        pid: get(row, 4)?,
        end: read_end(get(row, 5)?, get(row, 6)?, result.as_deref(), ended_at.as_deref())?,
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
