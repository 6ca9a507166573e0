//! `mho history`: what became of past runs, with and without a daemon, and nothing is changed.

mod common;
mod journal_support;

use std::fs::{self, File};
use std::path::PathBuf;

use common::{Done, World};
use journal_support::*;
use mho::adapters::journal::SqliteJournal;
use mho::domain::attempt::AttemptEnd;
use mho::domain::outcome::{AttemptResult, Exit, RunResult, Signal};
use mho::domain::record::Record;
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

/// One script whose program does not exist.
const DEMO: &str = "[[script]]\nname = \"demo\"\ncommand = [\"./nosuch\"]\n";

/// A world with a journal that somebody still has open.
fn with_history() -> (World, SqliteJournal) {
    let world = World::new(DEMO);
    fs::create_dir(world.path("state")).expect("made");
    let journal = open(&world.path("state")).journal;
    begin(&journal, "2026-11-25T13:00:00Z", &["demo"]);
    let mut killed = run("demo", "2026-11-25", RunResult::WindowEnd);
    killed.reason = "window end".to_owned();
    killed.first_start = Some(at("2026-11-25T13:30:00Z"));
    killed.ended_at = Some(at("2026-11-25T21:00:10.250Z"));
    killed.attempts = 2;
    let exit = Some(Exit::Signal { signal: Signal::KILL, out_of_memory: false });
    killed.last_exit =
        Some(AttemptEnd { exit, result: AttemptResult::KilledAfterGrace, at: at("2026-11-25T21:00:10.250Z") });
    let mut open = run("demo", "2026-11-27", RunResult::Running);
    open.first_start = Some(at("2026-11-27T13:30:00Z"));
    open.attempts = 1;
    let mut early = run("gone", "2026-11-25", RunResult::FinishedEarly);
    early.last_exit = Some(AttemptEnd {
        exit: Some(Exit::Code(42)),
        result: AttemptResult::FinishedEarly,
        at: at("2026-11-25T15:00:00Z"),
    });
    early.zone = chrono_tz::UTC;
    write(&journal, [open, early, killed].map(|run| Record::Run(Box::new(run))).to_vec());
    (world, journal)
}

fn history(world: &World, args: &[&str]) -> Done {
    world.cli(&[&["history", "--config", "mho.toml"], args].concat())
}

fn lines(world: &World, args: &[&str]) -> Vec<Value> {
    let done = history(world, &[args, &["--json"]].concat());
    assert_eq!((done.code, &*done.err), (0, ""), "{}", done.out);
    done.out.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

#[test]
fn every_run_is_an_object_with_the_offset_of_its_calendar_and_null_for_what_is_absent() {
    let (world, journal) = with_history();
    let killed = json!({
        "script": "demo", "trading_date": "2026-11-25", "result": "window_end", "reason": "window end",
        "first_start": "2026-11-25T08:30:00-05:00", "end": "2026-11-25T16:00:10.250-05:00", "attempts": 2,
        "last_exit": {"code": null, "signal": "SIGKILL", "result": "killed_after_grace", "at": "2026-11-25T16:00:10.250-05:00"},
    });
    let early = json!({
        "script": "gone", "trading_date": "2026-11-25", "result": "finished_early", "reason": null, "first_start": null,
        "end": null, "attempts": 0,
        "last_exit": {"code": 42, "signal": null, "result": "finished_early", "at": "2026-11-25T15:00:00+00:00"},
    });
    let open = json!({
        "script": "demo", "trading_date": "2026-11-27", "result": "running",
        "reason": "no daemon is running; it goes on when one starts within its window",
        "first_start": "2026-11-27T08:30:00-05:00", "end": null, "attempts": 1, "last_exit": null,
    });
    // Its writer has it open, and in the log.
    assert_eq!(lines(&world, &[]), [killed.clone(), early.clone(), open.clone()]);
    end(&journal, "2026-11-27T14:00:00Z");
    let before = fs::read(world.path("state/mho.db")).expect("readable");
    assert_eq!(lines(&world, &[]), [killed.clone(), early.clone(), open.clone()]);
    assert_eq!(lines(&world, &["demo"]), [killed.clone(), open.clone()]);
    assert_eq!(lines(&world, &["gone"]), std::slice::from_ref(&early), "also one that is no longer configured");
    assert_eq!(lines(&world, &["--from", "2026-11-26"]), [open]);
    assert_eq!(lines(&world, &["--to", "2026-11-26"]), [killed, early]);
    assert_eq!(lines(&world, &["--from", "2026-11-26", "--to", "2026-11-26"]), Vec::<Value>::new());
    assert!(fs::read(world.path("state/mho.db")).expect("readable") == before);
    assert_eq!(names(&world.path("state"), ""), ["mho.db"], "nothing is left beside it");
}

#[test]
fn a_run_that_a_daemon_watches_has_its_own_reason() {
    let (world, _journal) = with_history();
    let lock = File::create(world.path("state/lock")).expect("made");
    let reason = || lines(&world, &["--from", "2026-11-27"])[0]["reason"].clone();
    assert!(reason().as_str().is_some_and(|reason| reason.starts_with("no daemon is running")), "nobody holds it");
    flock(&lock, FlockOperation::LockExclusive).expect("held");
    assert_eq!(reason(), Value::Null);
}

#[test]
fn people_see_a_table_in_the_time_of_the_calendar() {
    let (world, _journal) = with_history();
    let expected = "\
DATE        SCRIPT  RESULT          START         END           ATTEMPTS  LAST EXIT  REASON
2026-11-25  demo    window_end      08:30:00 EST  16:00:10 EST  2         SIGKILL    window end
2026-11-25  gone    finished_early                              0         code 42
2026-11-27  demo    running         08:30:00 EST                1                    no daemon is running; it goes on when one starts within its window
";
    let done = history(&world, &[]);
    assert_eq!((done.code, done.out.as_str()), (0, expected));
}

#[test]
fn without_a_journal_there_is_a_hint_and_nothing_is_made() {
    let world = World::new(DEMO);
    let done = history(&world, &["--json"]);
    assert_eq!((done.code, &*done.out), (0, ""));
    assert!(done.err.contains("no history in") && done.err.contains("mho run"), "{}", done.err);
    assert!(!world.has("state"));
}

#[test]
fn a_script_that_nobody_knows_and_dates_in_the_wrong_order_are_refused() {
    let (world, _journal) = with_history();
    let done = history(&world, &["nobody"]);
    assert_eq!((done.code, &*done.out), (4, ""));
    assert!(done.err.contains("no script named \"nobody\"") && done.err.contains("demo"), "{}", done.err);
    let done = history(&world, &["--from", "2026-11-27", "--to", "2026-11-25"]);
    assert_eq!((done.code, &*done.out), (2, ""));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_left_as_it_is() {
    type Damage = fn(PathBuf);
    let damages: [(&str, Damage); 3] = [
        ("written by a newer mho", |state| drop(query(&state, "PRAGMA user_version = 7"))),
        ("is damaged", |state| fs::write(state.join("mho.db"), "no database".repeat(1000)).expect("written")),
        ("of another program", |state| drop(query(&state, "PRAGMA application_id = 1"))),
    ];
    for (text, damage) in damages {
        let (world, journal) = with_history();
        end(&journal, "2026-11-27T14:00:00Z");
        damage(world.path("state"));
        let before = fs::read(world.path("state/mho.db")).expect("readable");
        let done = history(&world, &[]);
        assert_eq!((done.code, &*done.out), (1, ""), "{text}");
        assert!(done.err.contains(text) && done.err.contains("mho.db"), "{}", done.err);
        assert!(fs::read(world.path("state/mho.db")).expect("readable") == before, "{text}");
    }
}

#[test]
fn a_row_that_cannot_be_read_is_named_and_costs_no_other() {
    let (world, journal) = with_history();
    end(&journal, "2026-11-27T14:00:00Z");
    query(&world.path("state"), "UPDATE runs SET result = 'exploded' WHERE script = 'gone'");
    let done = history(&world, &["--json"]);
    assert_eq!((done.code, done.out.lines().count()), (0, 2));
    assert!(done.err.contains("\"exploded\" is not known here"), "{}", done.err);
}
