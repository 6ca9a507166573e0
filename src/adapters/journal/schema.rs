//! The tables. Instants are text in UTC to the millisecond (`2026-11-27T13:29:50.120Z`): of one length, so that they sort as they read, and
//! people who look with the sqlite3 shell see what they mean. Dates are `2026-11-27`, signals are numbers.

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

/// In the header of the file: it is ours (`mho1`).
pub(super) const APPLICATION: i64 = 0x6d68_6f31;

/// `lives.last_alive`: its latest sign, NULL before the first one. `scripts`: what daemons watch, until when the lives before `life` did.
/// `slot`: the number of a run among those of one date; always 0 as long as a script runs once a date.
/// `holds`: what an operator forbids; nothing writes it yet, the commands that pause and skip will.
pub(super) const V1: &str = "
PRAGMA application_id = 0x6d686f31;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE lives (
  id INTEGER PRIMARY KEY,
  started_at TEXT NOT NULL, pid INTEGER NOT NULL, boot_id TEXT NOT NULL, version TEXT NOT NULL,
  last_alive TEXT, ended_at TEXT, end_reason TEXT,
  UNIQUE (started_at, pid, boot_id)
) STRICT;
CREATE TABLE scripts (name TEXT PRIMARY KEY, life INTEGER NOT NULL, watched_until TEXT NOT NULL) STRICT;
CREATE TABLE runs (
  script TEXT NOT NULL, trading_date TEXT NOT NULL, slot INTEGER NOT NULL DEFAULT 0,
  result TEXT NOT NULL, reason TEXT NOT NULL, zone TEXT NOT NULL,
  first_start TEXT, ended_at TEXT, attempts INTEGER NOT NULL, restarts INTEGER NOT NULL,
  last_exit_code INTEGER, last_exit_signal INTEGER, last_exit_result TEXT, last_exit_at TEXT,
  recorded_at TEXT NOT NULL, unfinished TEXT,
  PRIMARY KEY (script, trading_date, slot)
) STRICT;
CREATE INDEX runs_by_date ON runs (trading_date);
CREATE TABLE attempts (
  script TEXT NOT NULL, trading_date TEXT NOT NULL, slot INTEGER NOT NULL DEFAULT 0, number INTEGER NOT NULL,
  started_at TEXT, restarted_after TEXT,
  pid INTEGER, born INTEGER, boot_id TEXT, pgid INTEGER,
  log_file TEXT, program_sha256 TEXT, script_sha256 TEXT, config_sha256 TEXT,
  ended_at TEXT, exit_code INTEGER, exit_signal INTEGER, out_of_memory INTEGER, result TEXT,
  PRIMARY KEY (script, trading_date, slot, number)
) STRICT;
CREATE INDEX attempts_alive ON attempts (pid) WHERE result IS NULL;
CREATE TABLE actions (
  at TEXT NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, script TEXT, reason TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX actions_once ON actions (at, action, coalesce(script, ''));
CREATE TABLE holds (
  kind TEXT NOT NULL CHECK (kind IN ('pause', 'skip')), script TEXT, trading_date TEXT, until TEXT,
  who TEXT NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX holds_once ON holds (kind, coalesce(script, ''), coalesce(trading_date, ''));
";

/// Messages to people: `result` is NULL while one is to be sent, `body` what is sent.
pub(super) const V2: &str = "
CREATE TABLE alerts (
  id TEXT PRIMARY KEY, channel TEXT NOT NULL, at TEXT NOT NULL, event TEXT NOT NULL, script TEXT, body TEXT NOT NULL,
  ended_at TEXT, result TEXT
) STRICT;
CREATE INDEX alerts_waiting ON alerts (at) WHERE result IS NULL;
";

const STEPS: &[M<'_>] = &[M::up(V1), M::up(V2)];

/// How the tables came to be what they are: step N makes version N of version N - 1. The file holds its version as `user_version`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schema {
    steps: &'static [M<'static>],
}

/// What this program works with.
pub(super) const SCHEMA: Schema = Schema { steps: STEPS };

impl Schema {
    #[cfg(test)]
    pub(super) fn of(steps: &'static [M<'static>]) -> Self {
        Self { steps }
    }

    pub(super) fn version(&self) -> i64 {
        i64::try_from(self.steps.len()).unwrap_or(i64::MAX)
    }

    /// All steps that are missing, in one transaction.
    pub(super) fn migrate(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        Migrations::from_slice(self.steps).to_latest(connection).map_err(|error| match error {
            rusqlite_migration::Error::RusqliteError { err, .. } => err,
            other => rusqlite::Error::ToSqlConversionFailure(Box::new(other)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_work_on_an_empty_file_and_mark_it_as_ours() {
        let mut connection = Connection::open_in_memory().unwrap();
        SCHEMA.migrate(&mut connection).unwrap();
        let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(number("user_version"), SCHEMA.version());
        assert_eq!(number("application_id"), APPLICATION);
    }
}
