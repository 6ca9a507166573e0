//! A journal in a directory of its own, and records for it.
#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use mho::adapters::journal::{Kind, Life, OpenArgs, Opened, ScriptFacts, SqliteJournal};
use mho::domain::attempt::{AttemptEnd, AttemptId, ProcessId};
use mho::domain::lifecycle::Unfinished;
use mho::domain::outcome::{AttemptResult, Exit, RunResult};
use mho::domain::record::{AttemptRecord, AttemptStart, Grade, Record, RunRecord};
use mho::domain::script::{ScriptName, ScriptSpec};
use mho::ports::{Journal, JournalError};
use serde_json::json;

pub const DAY: Duration = Duration::from_secs(86_400);

pub fn args(dir: &Path) -> OpenArgs {
    OpenArgs {
        state_dir: dir.to_owned(),
        kind: Kind::Live,
        now: at("2026-11-28T13:00:00Z"),
        history: 400 * DAY,
        scripts: [].into(),
        on_renewed: Box::new(|text| panic!("nothing is to be begun anew: {text}")),
    }
}

pub fn facts(specs: &[ScriptSpec]) -> std::collections::BTreeMap<ScriptName, ScriptFacts> {
    specs.iter().map(|spec| (spec.name.clone(), ScriptFacts::of(spec))).collect()
}

/// Opened, with nothing to report.
pub fn open(dir: &Path) -> Opened {
    let opened = SqliteJournal::open(args(dir)).expect("it opens");
    assert!(opened.reports.is_empty() && opened.unavailable.is_none(), "{:?} {:?}", opened.reports, opened.unavailable);
    opened
}

/// Waits for what the journal's thread answers.
pub fn wait<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(answer)
}

pub fn try_write(journal: &SqliteJournal, records: Vec<Record>, grade: Grade) -> Result<(), JournalError> {
    wait(journal.write(Arc::new(records), grade))
}

pub fn write(journal: &SqliteJournal, records: Vec<Record>) {
    try_write(journal, records, Grade::CrashSafe).expect("written");
}

pub fn begin(journal: &SqliteJournal, started_at: &str, scripts: &[&str]) {
    wait(journal.begin_life(life(started_at, scripts))).expect("entered");
}

pub fn life(started_at: &str, scripts: &[&str]) -> Life {
    let scripts = scripts.iter().map(|script| name(script)).collect();
    Life { started_at: at(started_at), pid: std::process::id(), scripts, left_out: vec![], survivors: vec![] }
}

/// Ends the life in order; only then the next one may come.
pub fn end(journal: &SqliteJournal, ended_at: &str) {
    wait(journal.end_life(at(ended_at), "asked to")).expect("closed");
}

pub fn name(script: &str) -> ScriptName {
    ScriptName::new(script).expect("a name")
}

pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

pub fn date(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

/// A run without an attempt.
pub fn run(script: &str, trading_date: &str, result: RunResult) -> RunRecord {
    RunRecord {
        script: name(script),
        trading_date: date(trading_date),
        result,
        reason: String::new(),
        zone: chrono_tz::America::New_York,
        first_start: None,
        ended_at: None,
        attempts: 0,
        restarts: 0,
        last_exit: None,
        at: at("2026-11-27T21:00:00Z"),
        unfinished: None,
    }
}

pub fn run_record(script: &str, trading_date: &str, result: RunResult) -> Record {
    Record::Run(Box::new(run(script, trading_date, result)))
}

/// A run with one attempt.
pub fn tried(script: &str, trading_date: &str, result: RunResult) -> Record {
    Record::Run(Box::new(RunRecord {
        attempts: 1,
        at: at(&format!("{trading_date}T21:00:00Z")),
        ..run(script, trading_date, result)
    }))
}

/// Cut off in its first attempt.
pub fn unfinished(trading_date: &str) -> Unfinished {
    let at = |time: &str| format!("{trading_date}T{time}Z");
    let window = json!({
        "trading_date": trading_date, "start": at("14:00:00"), "stop": at("21:00:00"), "open": at("14:30:00"),
        "close": at("21:00:00"), "early_close": false, "joined": false, "zone": "America/New_York",
    });
    let run = json!({
        "window": window, "attempts": 1, "restarts": 0, "first_start": at("14:00:00"), "deadline": null,
        "budget": { "spent": [], "streak": 0, "gave_up": false }, "carried": false, "last_exit": null, "ends": null,
    });
    let mono = json!({ "secs": 0, "nanos": 0 });
    serde_json::from_value(json!({ "at": at("14:01:00"), "mono": mono, "run": run, "step": "cut" })).expect("a run")
}

pub fn attempt(script: &str, number: u32) -> AttemptRecord {
    let id = AttemptId { script: name(script), trading_date: date("2026-11-27"), number };
    AttemptRecord { id, start: None, process: None, end: None }
}

pub fn started(script: &str, number: u32) -> AttemptRecord {
    let start = AttemptStart { at: at("2026-11-27T13:30:00Z"), after: None };
    AttemptRecord { start: Some(start), ..attempt(script, number) }
}

pub fn alive(script: &str, number: u32, pid: u32) -> AttemptRecord {
    AttemptRecord { process: Some(ProcessId { pid, born: 4711 }), ..attempt(script, number) }
}

pub fn ended(script: &str, number: u32) -> AttemptRecord {
    let end = AttemptEnd { exit: Some(Exit::Code(3)), result: AttemptResult::Crashed, at: at("2026-11-27T14:00:00Z") };
    AttemptRecord { end: Some(end), ..attempt(script, number) }
}

/// What the sqlite3 shell would show, a row a line.
pub fn query(dir: &Path, sql: &str) -> Vec<String> {
    let connection = rusqlite::Connection::open(dir.join("mho.db")).expect("opened");
    let mut statement = connection.prepare(sql).expect("it can be asked");
    let columns = statement.column_count();
    let cell = |row: &rusqlite::Row<'_>, column| match row.get_ref(column).expect("a column") {
        rusqlite::types::ValueRef::Null => "NULL".to_owned(),
        rusqlite::types::ValueRef::Integer(number) => number.to_string(),
        rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        other => format!("{other:?}"),
    };
    let line = |row: &rusqlite::Row<'_>| Ok((0..columns).map(|column| cell(row, column)).collect::<Vec<_>>().join("|"));
    let rows = statement.query_map([], line).expect("asked");
    rows.collect::<Result<_, _>>().expect("answered")
}

/// The names in a directory that begin so.
pub fn names(dir: &Path, prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("readable").map(|entry| entry.expect("readable").file_name());
    let mut names: Vec<_> =
        entries.filter_map(|name| name.into_string().ok()).filter(|n| n.starts_with(prefix)).collect();
    names.sort();
    names
}
