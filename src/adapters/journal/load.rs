//! What a new daemon reads of those before it. A row that cannot be read is left out and named: the others are as good as before.

use chrono::NaiveDate;
use rusqlite::types::FromSql;
use rusqlite::{Connection, Params, Row};

use super::text::{read_date, read_instant, read_word};
use crate::domain::attempt::{AttemptId, ProcessId};
use crate::domain::lifecycle::Unfinished;
use crate::domain::record::{LedgerEntry, Past};
use crate::domain::script::ScriptName;

/// So many results of each script.
const RESULTS: u32 = 32;

const LAST_RESULTS: &str = "
SELECT script, trading_date, result FROM (
  SELECT *, row_number() OVER (PARTITION BY script ORDER BY trading_date DESC, slot DESC) AS age FROM runs
  WHERE result <> 'running'
) WHERE age <= ?1 ORDER BY script, trading_date, slot";

const UNFINISHED: &str = "
SELECT script, max(trading_date), unfinished FROM runs WHERE unfinished IS NOT NULL AND result = 'running' GROUP BY script";

const LEDGER: &str = "
SELECT script, trading_date, number, pid, born, boot_id FROM attempts WHERE pid IS NOT NULL AND result IS NULL
ORDER BY started_at";

/// What there is, and what could not be read.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<(Past, Vec<String>)> {
    let mut unread = Vec::new();
    let last_alive =
        each(connection, "SELECT last_alive FROM lives ORDER BY id DESC LIMIT 1", [], &mut unread, |row| {
            read_instant(&get::<String>(row, 0)?)
        })?;
    let mut past = Past { last_alive: last_alive.first().copied(), ..Past::default() };
    let known = "SELECT name, life = (SELECT max(id) FROM lives) FROM scripts";
    let known = each(connection, known, [], &mut unread, |row| Ok((name(row)?, get::<bool>(row, 1)?)))?;
    for (script, by_latest) in known {
        past.scripts.entry(script).or_default().watched_until = past.last_alive.filter(|_| by_latest);
    }
    let results = each(connection, LAST_RESULTS, [RESULTS], &mut unread, |row| {
        Ok((name(row)?, (date(row)?, read_word(&get::<String>(row, 2)?)?)))
    })?;
    for (script, result) in results {
        past.scripts.entry(script).or_default().results.push(result);
    }
    for (script, run) in each(connection, UNFINISHED, [], &mut unread, unfinished)? {
        past.scripts.entry(script).or_default().unfinished = Some(run);
    }
    past.ledger = each(connection, LEDGER, [], &mut unread, ledger_entry)?;
    Ok((past, unread))
}

fn unfinished(row: &Row<'_>) -> Result<(ScriptName, Unfinished), String> {
    let (name, date) = (name(row)?, date(row)?);
    let run = serde_json::from_str(&get::<String>(row, 2)?);
    Ok((name.clone(), run.map_err(|error| format!("the unfinished run of {name} on {date}: {error}"))?))
}

fn ledger_entry(row: &Row<'_>) -> Result<LedgerEntry, String> {
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
