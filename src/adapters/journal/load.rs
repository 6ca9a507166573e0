//! What a new daemon reads of those before it. A row that cannot be read is left out and named: the others are as good as before.

use chrono::{DateTime, Days, NaiveDate, Utc};
use rusqlite::types::FromSql;
use rusqlite::{Connection, Params, Row, params};

use super::life::WATCHED;
use super::text::{instant, read_date, read_instant, read_word};
use crate::domain::attempt::{AttemptId, ProcessId};
use crate::domain::lifecycle::Unfinished;
use crate::domain::operator::{By, Hold, HoldKind};
use crate::domain::record::{AlertRecord, LedgerEntry, Past};
use crate::domain::script::ScriptName;

/// So many results of each script, and all since it was last watched: what has a result is not judged again.
const RESULTS: u32 = 32;

/// What did not run on a date that is not there yet, but for a clock that was ahead once, says nothing; nor that a run was interrupted by the
/// end of a window that is still to come: that one goes on.
const LAST_RESULTS: &str = "
SELECT script, trading_date, result FROM (
  SELECT *, row_number() OVER (PARTITION BY script ORDER BY trading_date DESC, slot DESC) AS age FROM runs
  WHERE result <> 'running' AND (trading_date <= ?2 OR result NOT IN ('missed', 'skipped', 'interrupted'))
  AND (result <> 'interrupted' OR unfinished IS NULL OR ended_at <= ?1)
) LEFT JOIN watched ON name = script
WHERE age <= ?3 OR trading_date >= date(until, '-8 days') ORDER BY script, trading_date, slot";

const UNFINISHED: &str = "
SELECT script, trading_date, unfinished,
  row_number() OVER (PARTITION BY script ORDER BY trading_date DESC, slot DESC) = 1
FROM runs WHERE unfinished IS NOT NULL AND (result = 'running' OR result = 'interrupted' AND ended_at > ?1)
ORDER BY script, trading_date, slot";

const WINDOW_ENDED: &str = "
SELECT script, trading_date, unfinished FROM (
  SELECT *, row_number() OVER (PARTITION BY script ORDER BY trading_date DESC, slot DESC) AS age FROM runs
) WHERE age = 1 AND unfinished IS NOT NULL AND result <> 'running' AND NOT (result = 'interrupted' AND ended_at > ?1)";

/// SQLite takes the other columns from the row of the maximum.
const SPENT: &str = "SELECT script, max(trading_date), attempts FROM runs GROUP BY script";

/// What has ended by itself holds nothing any more. East of Greenwich a date may be over sooner.
const HOLDS: &str = "
SELECT script, kind, trading_date, until, who, reason, at FROM holds
WHERE until IS NULL AND trading_date IS NULL OR until > ?1 OR trading_date >= date(?1, '-2 days')
ORDER BY at";

pub(super) const LEDGER: &str = "
SELECT script, trading_date, number, pid, born, boot_id FROM attempts WHERE pid IS NOT NULL AND result IS NULL
ORDER BY started_at";

const ALERTS: &str = "SELECT channel, body FROM alerts WHERE result IS NULL ORDER BY at, rowid";

/// A life that says when it ended came to its end in order.
const CRASHED: &str = "
SELECT coalesce(last_alive, started_at) FROM (SELECT * FROM lives ORDER BY id DESC LIMIT 1) WHERE ended_at IS NULL";

/// What is read by one query or two.
type Part = fn(&Connection, DateTime<Utc>, &mut Past, &mut Vec<String>) -> rusqlite::Result<()>;

/// In this order: the ledger says which runs lost their latest attempt.
const PARTS: [Part; 8] = [scripts, results, runs, spent, holds, ledger, alerts, crashed];

/// What there is at `now`, on the market clock, and what could not be read.
pub(super) fn load(connection: &Connection, now: DateTime<Utc>) -> rusqlite::Result<(Past, Vec<String>)> {
    let (mut past, mut unread) = (Past::default(), Vec::new());
    PARTS.iter().try_for_each(|part| part(connection, now, &mut past, &mut unread))?;
    Ok((past, unread))
}

/// The same of a damaged file: each part as far as it can be read.
pub(super) fn salvage(connection: &Connection, now: DateTime<Utc>) -> (Past, Vec<String>) {
    let (mut past, mut unread) = (Past::default(), Vec::new());
    for part in PARTS {
        if let Err(error) = part(connection, now, &mut past, &mut unread) {
            unread.push(error.to_string());
        }
    }
    (past, unread)
}

fn scripts(
    connection: &Connection,
    now: DateTime<Utc>,
    past: &mut Past,
    unread: &mut Vec<String>,
) -> rusqlite::Result<()> {
    let until = |row: &Row<'_>| get::<Option<String>>(row, 1)?.as_deref().map(read_instant).transpose();
    let watched = |row: &Row<'_>| Ok((name(row)?, until(row)?));
    for (script, until) in each(connection, WATCHED, [instant(now)], unread, watched)? {
        past.scripts.entry(script).or_default().watched_until = until;
    }
    Ok(())
}

fn results(
    connection: &Connection,
    now: DateTime<Utc>,
    past: &mut Past,
    unread: &mut Vec<String>,
) -> rusqlite::Result<()> {
    // East of Greenwich it may be tomorrow already.
    let today = now.checked_add_days(Days::new(1)).unwrap_or(now).date_naive().to_string();
    let result = |row: &Row<'_>| Ok((name(row)?, (date(row)?, read_word(&get::<String>(row, 2)?)?)));
    let results = format!("WITH watched AS ({WATCHED}) {LAST_RESULTS}");
    for (script, result) in each(connection, &results, params![instant(now), today, RESULTS], unread, result)? {
        past.scripts.entry(script).or_default().results.push(result);
    }
    Ok(())
}

fn runs(
    connection: &Connection,
    now: DateTime<Utc>,
    past: &mut Past,
    unread: &mut Vec<String>,
) -> rusqlite::Result<()> {
    let run = |row: &Row<'_>| Ok((unfinished(row)?, get::<bool>(row, 3)?));
    for ((script, run), is_latest) in each(connection, UNFINISHED, [instant(now)], unread, run)? {
        let script = past.scripts.entry(script).or_default();
        if is_latest {
            script.unfinished = Some(run);
        } else {
            script.stale.push(run);
        }
    }
    for (script, run) in each(connection, WINDOW_ENDED, [instant(now)], unread, unfinished)? {
        past.scripts.entry(script).or_default().window_ended = Some(run);
    }
    Ok(())
}

fn spent(connection: &Connection, _: DateTime<Utc>, past: &mut Past, unread: &mut Vec<String>) -> rusqlite::Result<()> {
    let run = |row: &Row<'_>| Ok((name(row)?, (date(row)?, get::<u32>(row, 2)?)));
    for (script, run) in each(connection, SPENT, [], unread, run)? {
        past.scripts.entry(script).or_default().spent = Some(run);
    }
    Ok(())
}

fn holds(
    connection: &Connection,
    now: DateTime<Utc>,
    past: &mut Past,
    unread: &mut Vec<String>,
) -> rusqlite::Result<()> {
    for (script, hold) in each(connection, HOLDS, [instant(now)], unread, hold)? {
        match script {
            Some(script) => past.scripts.entry(script).or_default().holds.push(hold),
            None => past.pause_all = Some(hold),
        }
    }
    Ok(())
}

fn hold(row: &Row<'_>) -> Result<(Option<ScriptName>, Hold), String> {
    let text = |column| get::<Option<String>>(row, column);
    let script = text(0)?.as_deref().map(ScriptName::new).transpose()?;
    let kind = match text(2)? {
        Some(date) => HoldKind::Skip { trading_date: read_date(&date)? },
        None => HoldKind::Pause { until: text(3)?.as_deref().map(read_instant).transpose()? },
    };
    let by = By { who: get(row, 4)?, reason: get(row, 5)? };
    Ok((script, Hold { kind, by, at: read_instant(&get::<String>(row, 6)?)? }))
}

fn ledger(
    connection: &Connection,
    now: DateTime<Utc>,
    past: &mut Past,
    unread: &mut Vec<String>,
) -> rusqlite::Result<()> {
    past.ledger = each(connection, LEDGER, [], unread, ledger_entry)?;
    for LedgerEntry { attempt, .. } in &past.ledger {
        if let Some(script) = past.scripts.get_mut(&attempt.script) {
            script.unfinished.iter_mut().chain(&mut script.stale).for_each(|run| run.lose_attempt(attempt, now));
        }
    }
    Ok(())
}

fn alerts(
    connection: &Connection,
    _: DateTime<Utc>,
    past: &mut Past,
    unread: &mut Vec<String>,
) -> rusqlite::Result<()> {
    let alert = |row: &Row<'_>| {
        let message = serde_json::from_str(&get::<String>(row, 1)?).map_err(|error| format!("an alert: {error}"))?;
        Ok(AlertRecord { channel: get(row, 0)?, message, end: None })
    };
    // A file that cannot be written stays as an earlier version made it.
    if connection.table_exists(None, "alerts")? {
        past.alerts = each(connection, ALERTS, [], unread, alert)?;
    }
    Ok(())
}

fn crashed(
    connection: &Connection,
    _: DateTime<Utc>,
    past: &mut Past,
    unread: &mut Vec<String>,
) -> rusqlite::Result<()> {
    let sign = |row: &Row<'_>| read_instant(&get::<String>(row, 0)?);
    past.crashed = each(connection, CRASHED, [], unread, sign)?.pop();
    Ok(())
}

fn unfinished(row: &Row<'_>) -> Result<(ScriptName, Unfinished), String> {
    let (name, date) = (name(row)?, date(row)?);
    let run = serde_json::from_str(&get::<String>(row, 2)?);
    Ok((name.clone(), run.map_err(|error| format!("the unfinished run of {name} on {date}: {error}"))?))
}

pub(super) fn ledger_entry(row: &Row<'_>) -> Result<LedgerEntry, String> {
    Ok(LedgerEntry {
        attempt: AttemptId { script: name(row)?, trading_date: date(row)?, number: get(row, 2)? },
        process: ProcessId { pid: get(row, 3)?, born: u64::try_from(get::<i64>(row, 4)?).unwrap_or_default() },
        boot: get(row, 5)?,
    })
}

fn name(row: &Row<'_>) -> Result<ScriptName, String> {
    ScriptName::new(&get::<String>(row, 0)?)
}

fn date(row: &Row<'_>) -> Result<NaiveDate, String> {
    read_date(&get::<String>(row, 1)?)
}

/// The value of a column, or in words why there is none of this type.
pub(super) fn get<T: FromSql>(row: &Row<'_>, column: usize) -> Result<T, String> {
    row.get(column).map_err(|error| error.to_string())
}

/// Every row that can be read; the others are named in `unread`.
pub(super) fn each<T>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    unread: &mut Vec<String>,
    read: impl Fn(&Row<'_>) -> Result<T, String>,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(values)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        match read(row) {
            Ok(value) => all.push(value),
            Err(text) => unread.push(text),
        }
    }
    Ok(all)
}
