//! The lives of daemons, and how much of the past is kept.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, params};

use super::text::{instant, read_instant};
use crate::domain::attempt::ProcessId;
use crate::domain::script::ScriptName;

/// A daemon's life, from its first order on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// On the market clock.
    pub started_at: DateTime<Utc>,
    /// Of the daemon.
    pub pid: u32,
    /// The scripts that it watches.
    pub scripts: Vec<ScriptName>,
    /// Those that it leaves alone for once: what they miss is told when they are watched again. All others are forgotten.
    pub left_out: Vec<ScriptName>,
    /// Processes of earlier lives that nothing could end: they stay in the ledger.
    pub survivors: Vec<ProcessId>,
}

/// More attempts of one run are not kept: a script that crashes for months does not fill the disk.
const ATTEMPTS_KEPT: u32 = 1000;

/// The latest sign of any life up to a moment: what a clock wrote that was ahead of its time is none.
pub(super) const LAST_SIGN: &str = "SELECT max(last_alive) FROM lives WHERE last_alive <= ?1";

/// The latest sign of any life up to `now`.
pub(super) fn last_sign(connection: &Connection, now: DateTime<Utc>) -> rusqlite::Result<Option<DateTime<Utc>>> {
    let sign: Option<String> = connection.query_row(LAST_SIGN, [instant(now)], |row| row.get(0))?;
    Ok(sign.and_then(|sign| read_instant(&sign).ok()))
}

/// Until when each script was watched, by the signs up to a moment: those of its latest life, and what the lives before had seen.
pub(super) const WATCHED: &str = "
SELECT scripts.name AS name, nullif(max(
  iif(watched_until <= ?1, watched_until, ''), coalesce(iif(last_alive <= ?1, last_alive, ''), '')), '') AS until
FROM scripts LEFT JOIN lives ON lives.id = scripts.life";

/// Enters the life. Entering it again, into this file or another, does no harm.
///
/// It has given no sign of itself yet: if it dies before it wrote what happened while nobody watched, the next one has to tell that. A script
/// that is new to the journal has missed nothing before.
pub(super) fn begin(connection: &Connection, life: &Life, boot: &str) -> rusqlite::Result<i64> {
    let started_at = instant(life.started_at);
    let seen = format!(
        "UPDATE scripts SET watched_until = until FROM ({WATCHED}) seen
        WHERE seen.name = scripts.name AND until IS NOT NULL"
    );
    connection.execute(&seen, [&started_at])?;
    let sql = "INSERT INTO lives (started_at, pid, boot_id, version) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (started_at, pid, boot_id) DO UPDATE SET version = excluded.version RETURNING id";
    let values = params![started_at, life.pid, boot, env!("CARGO_PKG_VERSION")];
    let id = connection.query_row(sql, values, |row| row.get(0))?;
    let mut belongs = connection.prepare_cached(
        "INSERT INTO scripts (name, life, watched_until) VALUES (?1, ?2, ?3)
         ON CONFLICT (name) DO UPDATE SET life = excluded.life",
    )?;
    for script in &life.scripts {
        belongs.execute(params![script.as_str(), id, started_at])?;
    }
    forget_scripts(connection, id, &life.left_out)?;
    Ok(id)
}

/// Other scripts are watched from `at` on. One that is new has missed nothing before; of one that is gone nobody expects anything.
pub(super) fn watch(connection: &Connection, id: i64, life: &Life, at: DateTime<Utc>) -> rusqlite::Result<()> {
    let mut known = connection.prepare("SELECT name FROM scripts")?;
    let known: Vec<String> = known.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut fresh = connection.prepare_cached("INSERT INTO scripts (name, life, watched_until) VALUES (?1, ?2, ?3)")?;
    for script in life.scripts.iter().filter(|script| !known.iter().any(|name| name == script.as_str())) {
        fresh.execute(params![script.as_str(), id, instant(at)])?;
    }
    let is_expected = |name: &String| life.scripts.iter().chain(&life.left_out).any(|script| script.as_str() == name);
    for name in known.iter().filter(|name| !is_expected(name)) {
        connection.execute("DELETE FROM scripts WHERE name = ?1", [name])?;
    }
    Ok(())
}

/// Nobody expects anything of the scripts that this life neither watches nor leaves out for once: they were removed or disabled.
fn forget_scripts(connection: &Connection, life: i64, left_out: &[ScriptName]) -> rusqlite::Result<()> {
    let mut others = connection.prepare("SELECT name FROM scripts WHERE life <> ?1")?;
    for name in others.query_map([life], |row| row.get::<_, String>(0))? {
        let name = name?;
        if !left_out.iter().any(|script| script.as_str() == name) {
            connection.execute("DELETE FROM scripts WHERE name = ?1", [name])?;
        }
    }
    Ok(())
}

/// Nobody will see the end of what the lives before started: it was swept. When it ended is not known, and stays empty. Only `survivors`,
/// of this life of the machine, are there still.
pub(super) fn give_up_ledger(connection: &Connection, survivors: &[ProcessId], boot: &str) -> rusqlite::Result<()> {
    let alive = "SELECT rowid FROM attempts WHERE result IS NULL AND pid = ?1 AND born = ?2 AND boot_id = ?3";
    let mut alive = connection.prepare(alive)?;
    let mut kept = Vec::new();
    for survivor in survivors {
        let values = params![survivor.pid, i64::try_from(survivor.born).unwrap_or(i64::MAX), boot];
        for row in alive.query_map(values, |row| row.get::<_, i64>(0))? {
            kept.push(row?.to_string());
        }
    }
    // Numbers only, and hardly ever one.
    let lost =
        format!("UPDATE attempts SET result = 'lost' WHERE result IS NULL AND rowid NOT IN ({})", kept.join(", "));
    connection.execute(&lost, [])?;
    Ok(())
}

pub(super) fn alive(connection: &Connection, life: i64, at: DateTime<Utc>) -> rusqlite::Result<()> {
    let mut alive = connection.prepare_cached("UPDATE lives SET last_alive = ?2 WHERE id = ?1")?;
    alive.execute(params![life, instant(at)])?;
    Ok(())
}

pub(super) fn end(connection: &Connection, life: i64, at: DateTime<Utc>, reason: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE lives SET ended_at = ?2, end_reason = ?3 WHERE id = ?1";
    connection.execute(sql, params![life, instant(at), reason])?;
    Ok(())
}

/// Forgets what is older than `history`, and all but the newest attempts of a run. What is not over stays: a process that still lives (it
/// may have been carried from date to date for months), a run that nobody closed yet, the latest life. Without `now` nothing is old.
pub(super) fn prune(connection: &Connection, now: Option<DateTime<Utc>>, history: Duration) -> rusqlite::Result<()> {
    let history = TimeDelta::from_std(history).ok();
    if let Some(oldest) = now.zip(history).and_then(|(now, history)| now.checked_sub_signed(history)) {
        let (date, at) = (oldest.date_naive().to_string(), instant(oldest));
        connection.execute("DELETE FROM runs WHERE trading_date < ?1 AND result <> 'running'", [&date])?;
        let over = "DELETE FROM attempts WHERE trading_date < ?1 AND (pid IS NULL OR result IS NOT NULL)";
        connection.execute(over, [&date])?;
        connection.execute("DELETE FROM actions WHERE at < ?1", [&at])?;
        connection.execute("DELETE FROM alerts WHERE at < ?1", [&at])?;
        let lives = "DELETE FROM lives WHERE coalesce(last_alive, started_at) < ?1 AND id < (SELECT max(id) FROM lives)
            AND NOT EXISTS (SELECT 1 FROM scripts WHERE life = lives.id)";
        connection.execute(lives, [&at])?;
    }
    let many = "DELETE FROM attempts WHERE (pid IS NULL OR result IS NOT NULL) AND number <= (
        SELECT max(number) - ?1 FROM attempts other WHERE other.script = attempts.script
        AND other.trading_date = attempts.trading_date AND other.slot = attempts.slot)";
    connection.execute(many, [ATTEMPTS_KEPT])?;
    Ok(())
}
