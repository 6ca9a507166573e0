//! The daemon is killed and started again: what is over stays over, what lives is ended first, what was in progress goes on. By the built
//! binary, with real processes.

mod common;

use std::time::Duration;

use common::{World, alive, eventually};
use rusqlite::Connection;

const TEN: &str = "2026-11-30T10:00:00";
const LATER: &str = "2026-11-30T10:05:00";

fn script(name: &str, shell: &str, more: &str) -> String {
    format!("[[script]]\nname = \"{name}\"\ncommand = [\"sh\", \"-c\", \"\"\"{shell}\"\"\"]\n{more}\n")
}

fn results(world: &World) -> Vec<(String, String)> {
    let rows = world.cli(&["history", "--json", "--config", "mho.toml", "--state-dir", "state"]).lines();
    let text = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    rows.iter().map(|row| (text(row, "script"), text(row, "result"))).collect()
}

#[test]
fn after_exit_42_and_the_death_of_guard_and_daemon_it_is_not_started_again() {
    let early = script("early", "echo x >>runs; exit 42", "");
    let mut daemon = World::new(&early).rehearse(TEN);
    daemon.wait_for(&["Run ended", "result=finished_early"]);
    daemon.die();
    daemon.again(&["--at", LATER]);
    eventually("the second one is at work", || daemon.count(&["Status: idle | Market day: True | Time: 10:05:00"]) > 0);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(daemon.read("runs"), "x\n");
    daemon.stop();
    assert_eq!(results(&daemon), [("early".to_owned(), "finished_early".to_owned())]);
}

#[test]
fn what_an_earlier_daemon_left_running_is_ended_before_the_run_goes_on() {
    let stubborn = "trap '' TERM; echo $$ >pid-$MHO_ATTEMPT; echo after=$MHO_RESTARTED_AFTER >after-$MHO_ATTEMPT; \
        setsid sh -c 'echo $$ >escapee-$MHO_ATTEMPT; sleep 300' & while :; do sleep 0.1; done";
    let config = script("demo", stubborn, "stop_grace = \"1s\"");
    let mut daemon = World::new(&config).rehearse(TEN);
    let (leader, escapee) = (daemon.number("pid-1"), daemon.number("escapee-1"));
    daemon.die();
    assert!(alive(leader) && alive(escapee), "nobody was left to end them");
    daemon.again(&["--at", LATER]);
    daemon.number("pid-2");
    assert!(!alive(leader) && !alive(escapee), "they were gone before the next attempt");
    eventually("the second attempt is told why", || daemon.read("after-2") == "after=daemon\n");
    assert_eq!(daemon.count(&["WARNING: Stopping what an earlier daemon left running", "script=demo"]), 1);
    daemon.stop();
    assert_eq!(results(&daemon), [("demo".to_owned(), "running".to_owned())], "a shutdown alone does not end a run");
}

#[test]
fn a_window_that_ended_without_a_daemon_is_interrupted_and_the_next_ones_are_missed() {
    let mut daemon = World::new(&script("demo", "sleep 300", "")).rehearse(TEN);
    daemon.wait_for(&["Script started with PID"]);
    daemon.die();
    daemon.again(&["--at", "2026-12-01T17:00:00"]);
    let told = daemon.wait_for(&["ERROR: While nobody watched:", "script=demo"]);
    assert!(told.contains("the run of 2026-11-30 was interrupted; 2026-12-01 was missed"), "{told}");
    daemon.stop();
    let of = |result: &str| ("demo".to_owned(), result.to_owned());
    assert_eq!(results(&daemon), [of("interrupted"), of("missed")]);
}

#[test]
fn a_window_that_came_and_went_while_the_daemon_ended_is_missed() {
    let slow = script("slow", "trap '' TERM; echo $$ >pid; while :; do sleep 0.1; done", "stop_grace = \"6s\"");
    let brief = script("brief", "sleep 300", "start = \"10:00:03\"\nstop = \"10:00:05\"");
    let mut daemon = World::new(&[slow, brief].concat()).rehearse(TEN);
    daemon.number("pid");
    daemon.tell_guard(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(daemon.end().code(), Some(0));
    assert!(common::seconds_after("10:00:05", &daemon.wait_for(&["Goodbye"])) >= 0, "its window is over by now");
    daemon.again(&["--at", LATER]);
    daemon.wait_for(&["ERROR: While nobody watched: 2026-11-30 was missed", "script=brief"]);
    daemon.stop();
    assert!(results(&daemon).contains(&("brief".to_owned(), "missed".to_owned())));
}

#[test]
fn a_run_whose_script_is_not_configured_any_more_gets_its_result_after_its_window() {
    let mut daemon = World::new(&script("gone", "sleep 300", "")).rehearse(TEN);
    daemon.wait_for(&["Script started with PID"]);
    daemon.die();
    daemon.write("mho.toml", &script("other", "sleep 300", ""));
    daemon.again(&["--at", LATER]);
    daemon.wait_for(&["Script started with PID", "script=other"]);
    daemon.stop();
    assert!(results(&daemon).contains(&("gone".to_owned(), "running".to_owned())), "its window is open");
    daemon.again(&["--at", "2026-11-30T20:00:00"]);
    daemon.wait_for(&["WARNING: Run ended: no daemon that knew of it", "script=gone", "result=interrupted"]);
    daemon.stop();
    assert!(results(&daemon).contains(&("gone".to_owned(), "interrupted".to_owned())));
}

#[test]
fn while_somebody_holds_the_journal_scripts_start_all_the_same_and_it_catches_up() {
    let config = script("demo", "echo x >>runs; sleep 300", "start = \"10:00:05\"");
    let mut daemon = World::new(&config).rehearse(TEN);
    daemon.wait_for(&["Status: idle"]);
    let holder = Connection::open(daemon.path("state/mho.db")).expect("opened");
    holder.execute_batch("BEGIN IMMEDIATE").expect("held");
    daemon.wait_for(&["Script started with PID"]);
    let lost = daemon.wait_for(&["ERROR: The journal cannot be written"]);
    assert!(lost.contains("Supervision goes on from memory"), "{lost}");
    holder.execute_batch("COMMIT").expect("free");
    daemon.wait_for(&["INFO: The journal is written again"]);
    assert_eq!(daemon.count(&["The journal cannot be written"]), 1);
    assert_eq!(daemon.read("runs"), "x\n");
    daemon.stop();
    let (runs, attempts): (u32, u32) = holder
        .query_row("SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM attempts)", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .expect("readable");
    assert_eq!((runs, attempts), (1, 1));
}

#[test]
fn a_damaged_journal_is_set_aside_and_reported_and_the_daemon_starts() {
    let world = World::new(&script("demo", "sleep 300", ""));
    world.write("state/mho.db", &"this is no journal\n".repeat(500));
    let mut daemon = world.rehearse(TEN);
    let told = daemon.wait_for(&["ERROR", "mho.db.damaged-"]);
    daemon.wait_for(&["Script started with PID"]);
    daemon.stop();
    let aside = std::fs::read_dir(daemon.path("state")).expect("there").flatten();
    let aside = aside.filter(|entry| entry.file_name().to_string_lossy().starts_with("mho.db.damaged-")).count();
    assert_eq!(aside, 1, "{told}");
}

#[test]
fn a_journal_of_a_newer_version_is_refused() {
    let mut daemon = World::new(&script("demo", "sleep 300", "")).rehearse(TEN);
    daemon.wait_for(&["Script started with PID"]);
    daemon.stop();
    let newer = Connection::open(daemon.path("state/mho.db")).expect("opened");
    newer.execute_batch("PRAGMA user_version = 99").expect("written");
    drop(newer);
    let before = std::fs::read(daemon.path("state/mho.db")).expect("there");
    daemon.again(&["--at", LATER]);
    assert_eq!(daemon.end().code(), Some(1));
    assert!(daemon.stderr().contains("written by a newer mho"), "{}", daemon.stderr());
    assert_eq!(std::fs::read(daemon.path("state/mho.db")).expect("there"), before);
}

#[test]
fn what_the_daemon_of_a_newer_version_left_running_is_ended_before_its_journal_is_refused() {
    let mut daemon = World::new(&script("demo", "echo $$ >pid; sleep 300", "")).rehearse(TEN);
    let leader = daemon.number("pid");
    daemon.die();
    let newer = Connection::open(daemon.path("state/mho.db")).expect("opened");
    newer.execute_batch("PRAGMA user_version = 99").expect("written");
    drop(newer);
    daemon.again(&["--at", LATER]);
    assert_eq!(daemon.end().code(), Some(1));
    assert!(!alive(leader), "nobody would stop it at the close");
    assert_eq!(daemon.count(&["WARNING: Stopping what an earlier daemon left running", "script=demo"]), 1);
}

#[test]
fn what_is_found_at_the_start_is_recorded_as_soon_as_the_journal_can_be_written() {
    let both = [script("gone", "sleep 300", "stop = \"10:30\""), script("other", "sleep 300", "")].concat();
    let mut daemon = World::new(&both).rehearse(TEN);
    daemon.wait_for(&["Script started with PID", "script=gone"]);
    daemon.wait_for(&["Script started with PID", "script=other"]);
    daemon.die();
    daemon.write("mho.toml", &script("other", "sleep 300", ""));
    let holder = Connection::open(daemon.path("state/mho.db")).expect("opened");
    holder.execute_batch("BEGIN IMMEDIATE").expect("held");
    daemon.again(&["--at", "2026-11-30T11:00:00"]);
    daemon.wait_for(&["ERROR: The journal cannot be written"]);
    holder.execute_batch("COMMIT").expect("free");
    daemon.wait_for(&["INFO: The journal is written again"]);
    assert!(results(&daemon).contains(&("gone".to_owned(), "interrupted".to_owned())), "{:?}", results(&daemon));
    let sweeps = "SELECT count(*) FROM actions WHERE action = 'sweep'";
    assert_eq!(holder.query_row(sweeps, [], |row| row.get::<_, u32>(0)).expect("readable"), 2);
    daemon.stop();
}

#[test]
fn where_a_critical_script_has_failed_a_daemon_that_is_started_again_starts_nothing() {
    let critical = script("core", "exit 78", "critical = true");
    let other = script("other", "echo x >>runs; sleep 300", "");
    let mut daemon = World::new(&format!("{critical}{other}")).rehearse(TEN);
    assert_eq!(daemon.end().code(), Some(10));
    let runs = daemon.read("runs");
    daemon.again(&["--at", LATER]);
    assert_eq!(daemon.end().code(), Some(10));
    assert_eq!(daemon.read("runs"), runs);
    let told = daemon.wait_for(&["critical script core has failed on 2026-11-30", "critical = false"]);
    assert!(told.contains("ERROR"), "{told}");
    // On the next date it may try again.
    daemon.again(&["--at", "2026-12-01T08:00:00"]);
    eventually("the third one is at work", || daemon.count(&["Status: idle | Market day: True | Time: 08:00:00"]) > 0);
    daemon.stop();
}
