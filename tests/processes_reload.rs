//! Overrides that are added, changed and spoiled while the real daemon runs real scripts.

mod common;

use common::{Daemon, Done, World, alive, eventually, seconds_after};
use nix::sys::signal::Signal;

/// Lateness that is the test machine's, not the program's.
const LATE: std::ops::RangeInclusive<i64> = 0..=20;

const DEMO: &str = r#"
[[script]]
name = "demo"
command = ["sh", "-c", "trap 'exit 0' TERM; echo $$ >up.new; mv up.new up; while :; do sleep 0.1; done"]
"#;

/// Wednesday at noon, in a session that closes at 16:00.
const NOON: &str = "2026-11-25T12:00:00";

fn at_noon() -> Daemon {
    let daemon = World::new(DEMO).rehearse(NOON);
    daemon.number("up");
    daemon
}

fn overrides(daemon: &Daemon, args: &[&str]) -> Done {
    let state = daemon.path("state");
    let place = ["--config", "mho.toml", "--state-dir", state.to_str().expect("text")];
    daemon.cli(&[&["calendar", "override"], args, &place].concat())
}

/// `HH:MM:SS`, so many seconds later than the market clock shows in the last line of the log that has a time.
fn in_seconds(daemon: &Daemon, seconds: i64) -> String {
    let started = daemon.wait_for(&["INFO: Script started with PID"]);
    // The log stands still between status lines; the file's own clock does not.
    let passed =
        daemon.path("up").metadata().and_then(|meta| meta.modified()).expect("a time").elapsed().expect("past");
    let passed = i64::try_from(passed.as_secs()).expect("a short test");
    (common::at(&started) + chrono::TimeDelta::seconds(passed + seconds)).format("%H:%M:%S").to_string()
}

#[test]
fn an_override_that_is_added_while_a_script_runs_stops_it_early_and_one_that_is_removed_lets_it_go_on() {
    let mut daemon = at_noon();
    let pid = daemon.number("up");
    let close = in_seconds(&daemon, 9);
    let added = overrides(&daemon, &["add", "2026-11-25", "--close", &close, "--reason", "burst pipe"]);
    assert_eq!(added.code, 0, "{added:?}");
    assert!(added.out.contains("in effect: the daemon (PID "), "{added:?}");
    assert_eq!(added.err, "", "on the daemon's clock that day is not past");
    assert!(
        added.out.contains(&format!("XNYS 2026-11-25 is 09:30 to {close} (override: burst pipe), was 09:30 to 16:00")),
        "{added:?}"
    );
    daemon.wait_for(&[&format!("INFO: The calendar has changed: stop at 2026-11-25 {close} EST script=demo")]);
    let stop = daemon.wait_for(&["INFO: Market has closed. Stopping script. script=demo"]);
    assert!(LATE.contains(&seconds_after(&close, &stop)), "{stop}");
    daemon.wait_for(&["Run ended: window end", "result=window_end"]);
    assert!(!alive(pid));

    std::fs::remove_file(daemon.path("up")).expect("removed");
    let removed = overrides(&daemon, &["remove", "2026-11-25"]);
    assert_eq!(removed.code, 0, "{removed:?}");
    daemon.wait_for(&["INFO: Script started with PID", "script=demo", "attempt=2"]);
    daemon.number("up");
    daemon.stop();
    let history = daemon.cli(&[
        "history",
        "--json",
        "--config",
        "mho.toml",
        "--state-dir",
        daemon.path("state").to_str().expect("text"),
    ]);
    let lines = history.lines();
    assert_eq!(
        (lines.len(), &lines[0]["attempts"]),
        (1, &serde_json::json!(2)),
        "one run of two attempts: {history:?}"
    );
}

#[test]
fn a_day_that_is_closed_now_stops_its_scripts_now() {
    let mut daemon = at_noon();
    let pid = daemon.number("up");
    let added = overrides(&daemon, &["add", "2026-11-25", "--closed", "--reason", "snow"]);
    assert_eq!(added.code, 0, "{added:?}");
    daemon.wait_for(&["INFO: Market has closed. Stopping script. script=demo"]);
    eventually("it is gone", || !alive(pid));
    daemon.stop();
}

#[test]
fn a_broken_file_changes_nothing_and_says_why_and_a_mended_one_counts() {
    let mut daemon = at_noon();
    let pid = daemon.number("up");
    daemon.write("calendar-overrides.toml", "[[override]]\ndate = \"2026-11-25\"\nclosed = true\n");
    daemon.tell_guard(Signal::SIGHUP);
    let refused =
        daemon.wait_for(&["ERROR: Reload refused, 1 fault: ", "/calendar-overrides.toml:1: ", "reason: is missing"]);
    assert!(refused.contains("everything stays as it was"), "{refused}");
    assert!(alive(pid) && daemon.count(&["Stopping script"]) == 0);
    daemon.write(
        "calendar-overrides.toml",
        "[[override]]\ndate = \"2026-11-25\"\nclose = \"15:00\"\nreason = \"early\"\n",
    );
    daemon.tell_guard(Signal::SIGHUP);
    daemon.wait_for(&["INFO: Calendars and overrides read again: XNYS 2026-11-25 is 09:30 to 15:00 (override: early)"]);
    daemon.wait_for(&["INFO: The calendar has changed: stop at 2026-11-25 15:00:00 EST script=demo"]);
    daemon.tell_guard(Signal::SIGHUP);
    daemon.wait_for(&["INFO: Calendars and overrides read again: nothing has changed"]);
    assert!(alive(pid), "it runs on");
    daemon.stop();
}

#[test]
fn a_calendar_file_that_changes_counts_and_other_settings_wait_for_the_next_start() {
    let file = |close: &str| {
        format!(
            "name = \"Desk\"\ntimezone = \"America/New_York\"\nfrom = 2026-01-01\nto = 2027-12-31\n\
             weekdays = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\"]\nhours = {{ open = \"09:00\", close = \"{close}\" }}\n"
        )
    };
    let world = World::new(&format!("[market]\ncalendar = \"DESK\"\ncalendar_dir = \"cal\"\n{DEMO}"));
    world.write("cal/DESK.toml", &file("17:00"));
    let mut daemon = world.rehearse(NOON);
    let pid = daemon.number("up");
    daemon.write("cal/DESK.toml", &file("18:00"));
    daemon.write(
        "mho.toml",
        &format!("[market]\ncalendar = \"DESK\"\ncalendar_dir = \"cal\"\n{DEMO}stop_grace = \"3s\"\n"),
    );
    daemon.tell_guard(Signal::SIGHUP);
    daemon.wait_for(&[
        "Calendars and overrides read again: DESK 2026-11-25 is 09:00 to 18:00, was 09:00 to 17:00; ",
        " dates more",
    ]);
    daemon.wait_for(&["INFO: The calendar has changed: stop at 2026-11-25 18:00:00 EST script=demo"]);
    daemon.wait_for(&["INFO: Configuration read again: demo: stop_grace in effect now"]);
    assert!(alive(pid), "it runs on");
    daemon.stop();
}

#[test]
fn a_configuration_that_is_gone_changes_nothing_whatever_else_may_be_found() {
    let world = World::empty();
    world.write(
        "config/mho.toml",
        &format!("base_dir = \"..\"\n{DEMO}\n[[override]]\ndate = \"2026-11-25\"\nclose = \"15:00\"\nreason = \"x\"\n"),
    );
    // The built-in example would be there to be run, if that were what is wanted.
    world.write("scripts/example_strategy.py", "import time\ntime.sleep(300)\n");
    let mut command = world.mho(&["run"]);
    command.args(["--at", NOON]);
    let mut daemon = world.run_plain(command);
    let pid = daemon.number("up");
    std::fs::rename(daemon.path("config/mho.toml"), daemon.path("config/aside")).expect("moved");
    daemon.tell_guard(Signal::SIGHUP);
    daemon.wait_for(&["ERROR: Reload refused, 1 fault: ", "config/mho.toml", "everything stays as it was"]);
    std::fs::rename(daemon.path("config/aside"), daemon.path("config/mho.toml")).expect("moved");
    daemon.tell_guard(Signal::SIGHUP);
    daemon.wait_for(&["INFO: Calendars and overrides read again: nothing has changed"]);
    assert!(alive(pid));
    daemon.stop();
}

#[test]
fn what_stands_there_already_is_told_to_the_daemon_all_the_same() {
    let mut daemon = at_noon();
    daemon.write(
        "calendar-overrides.toml",
        "[[override]]\ndate = \"2026-11-25\"\nclose = \"15:00\"\nreason = \"early\"\n",
    );
    let added = overrides(&daemon, &["add", "2026-11-25", "--close", "15:00", "--reason", "early"]);
    assert_eq!(added.code, 0, "{added:?}");
    assert!(
        added.out.starts_with("already there: calendar-overrides.toml:1\nin effect: the daemon (PID "),
        "{added:?}"
    );
    daemon.wait_for(&["INFO: The calendar has changed: stop at 2026-11-25 15:00:00 EST script=demo"]);
    // One whose calendar is new to the daemon, because the file was changed since it started.
    daemon.write("mho.toml", &format!("[market]\nopen = \"09:45\"\n{DEMO}"));
    let added = overrides(&daemon, &["add", "2026-11-27", "--close", "12:00", "--reason", "early"]);
    assert_eq!(added.code, 0, "{added:?}");
    assert!(added.out.contains("in effect: the daemon") && added.out.contains("new: market"), "{added:?}");
    daemon.stop();
}

#[test]
fn a_file_that_keeps_its_reader_waiting_holds_up_neither_scripts_nor_the_end_nor_a_later_reload() {
    let mut daemon = at_noon();
    let pid = daemon.number("up");
    let (file, aside) = (daemon.path("mho.toml"), daemon.path("aside"));
    std::fs::rename(&file, &aside).expect("moved");
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    daemon.tell_guard(Signal::SIGHUP);
    daemon.wait_for(&["SIGHUP received"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    std::fs::rename(&aside, &file).expect("moved");
    daemon.write(
        "calendar-overrides.toml",
        "[[override]]\ndate = \"2026-11-25\"\nclose = \"15:00\"\nreason = \"early\"\n",
    );
    // It is read as soon as somebody asks after a while.
    eventually("it is read", || {
        daemon.tell_guard(Signal::SIGHUP);
        std::thread::sleep(std::time::Duration::from_millis(500));
        daemon.count(&["The calendar has changed: stop at 2026-11-25 15:00:00 EST"]) > 0
    });
    daemon.wait_for(&["WARNING: The configuration has been read for 1"]);
    assert!(alive(pid));
    daemon.stop();
}
