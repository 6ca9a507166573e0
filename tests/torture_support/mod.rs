//! What the torture reads from outside: the ledger that the scripts write, and the journal as a death left it.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::NaiveDate;
use rusqlite::{Connection, OpenFlags};

/// What the scripts run.
pub const SCRIPT: &str = include_str!("script.sh");

/// Early closes, holidays and weekends come by; each kind of script has another way to make trouble.
pub const CONFIG: &str = r#"
[orchestrator]
status_interval = "1s"
[defaults]
stop_grace = "300ms"
restart = { initial_delay = "20ms", max_delay = "100ms", max_restarts = 1000, within = "1s" }
[[script]]
name = "steady"
command = ["sh", "script.sh", "steady"]
[[script]]
name = "stubborn"
command = ["sh", "script.sh", "stubborn"]
start = "04:00"
stop = "20:00"
[[script]]
name = "forker"
command = ["sh", "script.sh", "forker"]
[[script]]
name = "crasher"
command = ["sh", "script.sh", "crasher"]
start = "04:00"
restart = { max_restarts = 3, cooldown = "300ms" }
[[script]]
name = "again"
command = ["sh", "script.sh", "always"]
restart = { policy = "always" }
[[script]]
name = "data"
command = ["sh", "script.sh", "mixed"]
[[script]]
name = "report"
command = ["sh", "script.sh", "mixed"]
stop = "close + 1h"
depends_on = ["data"]
[[script]]
name = "whole-days"
command = ["sh", "script.sh", "steady"]
half_days = "skip"
"#;

/// Their names.
pub const SCRIPTS: [&str; 8] = ["steady", "stubborn", "forker", "crasher", "again", "data", "report", "whole-days"];

/// A run: the script and its trading date.
pub type Key = (String, NaiveDate);

/// A line that a script wrote.
#[derive(Clone, Debug)]
pub struct Line {
    pub what: String,
    /// Seconds of the machine's uptime.
    pub uptime: f64,
    /// Which daemon started it; they are counted from 1.
    pub life: u32,
    pub key: Key,
    pub attempt: u32,
    /// The code that it is about to exit with, or its behaviour.
    pub detail: String,
}

/// The ledger, in the order of its writing.
pub fn ledger(text: &str) -> Vec<Line> {
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let [what, uptime, life, script, date, attempt, _pid, detail] = fields[..] else {
            panic!("a torn line: {line:?}")
        };
        Line {
            what: what.to_owned(),
            uptime: uptime.parse().expect("a number"),
            life: life.parse().expect("a number"),
            key: (script.to_owned(), date.parse().expect("a date")),
            attempt: attempt.parse().expect("a number"),
            detail: detail.to_owned(),
        }
    };
    text.lines().map(parse).collect()
}

/// What the journal has of a run.
#[derive(Clone, Debug)]
pub struct Run {
    pub result: String,
    pub attempts: u32,
}

/// The journal, as it was when nobody wrote it.
#[derive(Debug)]
pub struct Facts {
    pub runs: BTreeMap<Key, Run>,
    /// Attempt by attempt; without a result, its end is not known.
    pub attempts: BTreeMap<(Key, u32), Option<String>>,
    pub integrity: String,
}

/// Reads a copy, so that the next daemon finds the journal as the last one left it. None: there is no journal yet.
pub fn facts(state: &Path) -> Option<Facts> {
    let copy = tempfile::tempdir().expect("a directory");
    for name in ["mho.db", "mho.db-wal"] {
        match std::fs::copy(state.join(name), copy.path().join(name)) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => panic!("{name}: {error}"),
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = Connection::open_with_flags(copy.path().join("mho.db"), flags).ok()?;
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name IN ('runs', 'attempts', 'lives')";
    let tables: i64 = connection.query_row(tables, [], |row| row.get(0)).expect("readable");
    if tables < 3 {
        return None;
    }
    let key = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Key> {
        Ok((row.get(0)?, row.get::<_, String>(1)?.parse().expect("a date")))
    };
    let mut runs = BTreeMap::new();
    let mut statement =
        connection.prepare("SELECT script, trading_date, result, attempts FROM runs").expect("prepared");
    let rows = statement.query_map([], |row| Ok((key(row)?, Run { result: row.get(2)?, attempts: row.get(3)? })));
    for row in rows.expect("queried") {
        let (key, run) = row.expect("a row");
        assert!(runs.insert(key.clone(), run).is_none(), "two runs of {key:?}");
    }
    let mut statement =
        connection.prepare("SELECT script, trading_date, number, result FROM attempts").expect("prepared");
    let rows = statement.query_map([], |row| Ok(((key(row)?, row.get(2)?), row.get(3)?)));
    let attempts = rows.expect("queried").map(|row| row.expect("a row")).collect();
    let integrity = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
    Some(Facts { runs, attempts, integrity })
}

/// Seconds since the machine came up, to the hundredth.
pub fn uptime() -> f64 {
    let text = std::fs::read_to_string("/proc/uptime").expect("/proc");
    text.split(' ').next().and_then(|text| text.parse().ok()).expect("a number")
}
