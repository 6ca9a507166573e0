//! An open journal: a connection whose file was looked at and brought to the present schema.

use std::fs;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::Kind;
use super::fault::{Fault, code, reach};
use super::place::{FileId, Place};
use super::schema::{APPLICATION, Schema};
use crate::domain::record::Grade;

/// So long one statement waits for another process, which holds the file for a moment only.
const BUSY: Duration = Duration::from_millis(200);

/// A connection to the file of one [`Place`].
pub(super) struct Link {
    pub(super) connection: Connection,
    pub(super) place: Place,
    /// Which file it was when we opened it.
    pub(super) id: FileId,
    size: u64,
    log: [Option<FileId>; 2],
    synced: bool,
    /// There was nothing in it.
    pub(super) fresh: bool,
}

/// What is asked of a file before it is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    pub(super) kind: Kind,
    pub(super) schema: Schema,
    /// Every page is looked at.
    pub(super) thorough: bool,
}

impl Link {
    /// Opens the file, made if there is none. A file that is not what is demanded is left as it is.
    pub(super) fn open(place: &Place, demand: Demand) -> Result<Self, Fault> {
        reach("journal.open").map_err(|error| Fault::of(place.path(), &error))?;
        if place.has_lone_log() {
            let path = place.path().display();
            return Err(Fault::Damaged(format!("{path} is gone or empty, but not its log {path}-wal")));
        }
        let fresh = place.prepare().map_err(|error| Fault::io(place.path(), &error))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(place.path(), flags);
        let mut connection = opened.map_err(|error| Fault::of(place.path(), &error))?;
        examine(&connection, place, demand)?;
        arrange(&mut connection, place, demand).map_err(|error| Fault::of(place.path(), &error))?;
        let gone = || Fault::Unavailable(format!("{} was deleted as it was opened", place.path().display()));
        let (id, size) = place.found().ok_or_else(gone)?;
        Ok(Self { connection, place: place.clone(), id, size, log: place.log(), synced: false, fresh })
    }

    /// The name still means the file that we write to, nobody cut it short, and its log is the same: else what we write would be lost.
    pub(super) fn is_still_there(&mut self) -> bool {
        let log = self.place.log();
        let is_same_log = self.log.iter().zip(&log).all(|(known, found)| known.is_none() || known == found);
        match self.place.found() {
            Some((id, size)) if id == self.id && size >= self.size && is_same_log => {
                // The log is made by the first write.
                (self.size, self.log) = (size, log);
                true
            }
            _ => false,
        }
    }

    /// Closes it, because it is not there any more. If its log is still there, and by now another file has the name, that log is put out of the
    /// way.
    pub(super) fn give_up(self, now: DateTime<Utc>) -> std::io::Result<()> {
        let Self { connection, place, id, log, .. } = self;
        // What is in the log comes into the file, if that is still the same.
        drop(connection);
        let is_other = place.found().is_some_and(|(found, _)| found != id);
        if is_other && log[0].is_some() && place.log()[0] == log[0] {
            place.set_log_aside(now)?;
        }
        Ok(())
    }

    /// How the next commits are kept.
    pub(super) fn set_grade(&mut self, grade: Grade) -> rusqlite::Result<()> {
        let synced = grade == Grade::PowerSafe;
        if synced != self.synced {
            self.connection.pragma_update(None, "synchronous", if synced { "FULL" } else { "NORMAL" })?;
            self.synced = synced;
        }
        Ok(())
    }

    /// Brings the log into the file, as far as no reader needs it. Then a write of ours, since the first one into an emptied log is
    /// synced, and that is not to be a commit that somebody waits for.
    pub(super) fn checkpoint(&mut self) -> rusqlite::Result<()> {
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        self.set_grade(Grade::CrashSafe)?;
        touch(&self.connection)
    }
}

/// Writes what was not there before. A transaction that changes nothing is not synced, even if it repeats what no earlier one synced.
pub(super) fn touch(connection: &Connection) -> rusqlite::Result<()> {
    let touch = "INSERT INTO meta VALUES ('touched', '1')
        ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1";
    connection.prepare_cached(touch)?.execute([]).map(|_| ())
}

/// The version of the tables, 0 in an empty file; an error if the file is not ours, or of a newer version of this program.
pub(super) fn examine_version(connection: &Connection, place: &Place, schema: Schema) -> Result<i64, Fault> {
    let failed = |error: rusqlite::Error| Fault::of(place.path(), &error);
    let path = place.path().display();
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(failed);
    let (version, application, ours) = (number("user_version")?, number("application_id")?, schema.version());
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    if tables == 0 {
        return Ok(0);
    }
    if application != APPLICATION || version < 1 {
        return Err(Fault::Damaged(format!("{path} is a database of another program")));
    }
    if version > ours {
        return Err(Fault::Newer(format!(
            "{path} was written by a newer mho (schema {version}, this one knows {ours}): start that version, or name another directory with --state-dir"
        )));
    }
    Ok(version)
}

/// Reads only: whoever cannot use the file must not have changed it.
fn examine(connection: &Connection, place: &Place, demand: Demand) -> Result<(), Fault> {
    let failed = |error: rusqlite::Error| Fault::of(place.path(), &error);
    let path = place.path().display();
    connection.busy_timeout(BUSY).map_err(failed)?;
    let version = examine_version(connection, place, demand.schema)?;
    if connection.is_readonly("main").map_err(failed)? {
        return Err(Fault::Unavailable(format!(
            "{path} is read-only; give this user the right to write it, on a file system mounted rw"
        )));
    }
    if version > 0 {
        let kind = connection.query_row("SELECT value FROM meta WHERE key = 'kind'", [], |row| row.get(0)).optional();
        let kind: Option<String> = kind.map_err(|error| undecodable(place, &error))?;
        kind.map_or(Ok(()), |kind| demand.kind.accepts(&kind, place.path()).map_err(Fault::OtherKind))?;
    }
    if demand.thorough && version > 0 {
        let word: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
        if word != "ok" {
            return Err(Fault::Damaged(format!("{path} is damaged: {}", word.replace('\n', " "))));
        }
    }
    Ok(())
}

/// An error of a statement that any whole journal can answer.
pub(super) fn undecodable(place: &Place, error: &rusqlite::Error) -> Fault {
    match Fault::of(place.path(), error) {
        Fault::Unavailable(_) if code(error) == Some(rusqlite::ErrorCode::Unknown) => {
            Fault::Damaged(format!("{} is damaged: {error}", place.path().display()))
        }
        fault => fault,
    }
}

fn arrange(connection: &mut Connection, place: &Place, demand: Demand) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -256)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // A checkpoint syncs: it has its own time, not that of a commit.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", 4 << 20)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > 0 && version < demand.schema.version() {
        copy(connection, place, version)?;
    }
    demand.schema.migrate(connection)?;
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('kind', ?1)", params![demand.kind.name()])?;
    Ok(())
}

/// What an older version of this program can go on with: `mho.db.before-2` is of version 1... whole or not there.
fn copy(connection: &Connection, place: &Place, version: i64) -> rusqlite::Result<()> {
    let to = place.beside(&format!(".before-{}", version + 1));
    let half = place.beside(".copy");
    let done = || -> std::io::Result<()> {
        match fs::remove_file(&half) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        super::place::make_private(&half)
    };
    let other = |error: std::io::Error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
    done().map_err(other)?;
    connection.execute("VACUUM INTO ?1", params![half.to_string_lossy()])?;
    fs::File::open(&half).and_then(|file| file.sync_all()).and_then(|()| fs::rename(&half, &to)).map_err(other)
}

#[cfg(test)]
mod tests {
    use rusqlite_migration::M;

    use super::super::schema::{SCHEMA, V1, V2};
    use super::*;

    const LATER: &[M<'_>] =
        &[M::up(V1), M::up(V2), M::up("ALTER TABLE runs ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'")];

    fn demand(schema: Schema) -> Demand {
        Demand { kind: Kind::Live, schema, thorough: true }
    }

    fn moods(connection: &Connection) -> rusqlite::Result<String> {
        connection.query_row("SELECT group_concat(script || ' ' || mood) FROM runs", [], |row| row.get(0))
    }

    #[test]
    fn an_older_file_is_brought_to_the_present_and_kept_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::of(dir.path());
        let old = Link::open(&place, demand(SCHEMA)).unwrap();
        let run = "INSERT INTO runs (script, trading_date, result, reason, zone, attempts, restarts, recorded_at)
            VALUES ('demo', '2026-11-27', 'failed', '', 'UTC', 1, 0, '')";
        old.connection.execute(run, []).unwrap();
        drop(old);
        let copy = place.beside(".before-3");
        assert!(!copy.exists(), "a new file has no past");
        for _ in 0..2 {
            let new = Link::open(&place, demand(Schema::of(LATER))).unwrap();
            assert!(moods(&new.connection).unwrap() == "demo calm" && !new.fresh);
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&copy).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let kept = Connection::open(&copy).unwrap();
        assert_eq!(kept.query_row("SELECT script FROM runs", [], |row| row.get::<_, String>(0)).unwrap(), "demo");
        assert!(moods(&kept).is_err() && !place.beside(".copy").exists());
        assert!(matches!(Link::open(&place, demand(SCHEMA)), Err(Fault::Newer(_))), "there is no way back");
    }

    #[test]
    fn a_step_that_fails_leaves_the_file_as_it_was() {
        const BROKEN: &[M<'_>] = &[M::up(V1), M::up(V2), M::up("DROP TABLE runs; SELECT nonsense")];
        let dir = tempfile::tempdir().unwrap();
        let place = Place::of(dir.path());
        drop(Link::open(&place, demand(SCHEMA)).unwrap());
        assert!(Link::open(&place, demand(Schema::of(BROKEN))).is_err());
        let link = Link::open(&place, demand(SCHEMA)).unwrap();
        assert_eq!(link.connection.query_row("SELECT count(*) FROM runs", [], |row| row.get::<_, i64>(0)), Ok(0));
    }
}
