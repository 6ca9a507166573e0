//! The plain daemon, no rehearsal, on a machine whose clock is faked by libfaketime: it crosses closes, a week-end, a change of the clock,
//! and survives somebody setting the clock. Without libfaketime these tests say so and pass.

mod common;

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use common::{Daemon, World, alive, at, eventually, seconds_after};

/// The library, in its usual places.
fn library() -> Option<PathBuf> {
    let below = |dir: &Path| {
        let inner = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        inner.chain([dir.to_owned()]).map(|dir| dir.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists())
    };
    let found = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib"].iter().find_map(|dir| below(Path::new(dir)));
    if found.is_none() {
        println!("skipped: libfaketime is not installed");
        eprintln!("skipped: libfaketime is not installed");
    }
    found
}

/// The daemon with a faked clock; its children see the real one.
fn fake(library: &Path, world: World, variables: &[(&str, &str)]) -> Daemon {
    let mut command = world.mho(&["run"]);
    command.env("LD_PRELOAD", library).env("TZ", "UTC").env("FAKETIME_ONLY_CMDS", "mho");
    command.envs(variables.iter().copied());
    world.run_as(command, &["--listen", ""])
}

const DAILY: &str = r#"
    orchestrator = { status_interval = "1h" }
    [[script]]
    name = "daily"
    stop_grace = "30s"
    restart = { policy = "never" }
    command = ["sh", "-c", "echo $MHO_SESSION_OPEN $MHO_STOP_AT $MHO_REHEARSAL >told-$MHO_TRADING_DATE; exec sleep 300"]
"#;

#[test]
fn the_plain_daemon_stops_its_script_at_an_early_close_and_never_before() {
    let Some(library) = library() else { return };
    let daemon = fake(&library, World::new(DAILY), &[("FAKETIME", "@2026-11-27 17:55:00 x60")]);
    let start = daemon.wait_for(&["Starting trading script at 2026-11-27 12:5"]);
    eventually("it was told", || daemon.read("told-2026-11-27").ends_with('\n'));
    assert!(start.contains(" EST "), "{start}");
    let stop = daemon.wait_for(&["INFO: Market has closed. Stopping script. script=daily"]);
    // A second of the machine is a minute of the clock.
    assert!((0..30 * 60).contains(&seconds_after("13:00:00", &stop)), "{stop}");
    daemon.wait_for(&["Run ended: window end", "result=window_end"]);
    let told = daemon.read("told-2026-11-27");
    assert_eq!(told, "2026-11-27T14:30:00Z 2026-11-27T18:00:00Z 0\n", "no rehearsal");
    assert_eq!(daemon.count(&["WARNING: REHEARSAL"]), 0);
    assert_eq!(daemon.count(&["clock was stepped"]), 0, "a fast clock is not a step");
}

/// Runs from `from` until the script of `date` has started, and says what it was told.
fn until_the_start_of(library: &Path, from: &str, date: &str, zone: &str) -> String {
    let daemon = fake(library, World::new(DAILY), &[("FAKETIME", from)]);
    let start = daemon.wait_for(&[&format!("Starting trading script at {date} "), "script=daily"]);
    assert!(start.contains(&format!(" {zone} script=")), "{start}");
    // Some seconds of the machine are hours of the clock.
    assert!((0..7 * 3600).contains(&seconds_after("08:30:00", &start)), "{start}");
    let told = format!("told-{date}");
    eventually("it was told", || daemon.read(&told).ends_with('\n'));
    let days: std::collections::BTreeSet<_> =
        daemon.lines_with(&["Starting trading script"]).iter().map(|line| at(line).date().to_string()).collect();
    let last_of_the_week = from.get(1..11).expect("a date");
    assert!(days.iter().all(|day| day == date || day == last_of_the_week), "nothing starts in between: {days:?}");
    daemon.read(&told)
}

#[test]
fn over_a_weekend_nothing_starts_before_monday_morning() {
    let Some(library) = library() else { return };
    let told = until_the_start_of(&library, "@2026-11-27 20:59:00 x10000", "2026-11-30", "EST");
    assert_eq!(told, "2026-11-30T14:30:00Z 2026-11-30T21:00:00Z 0\n");
}

#[test]
fn after_the_change_to_summer_time_the_start_is_an_hour_earlier_in_utc() {
    let Some(library) = library() else { return };
    let told = until_the_start_of(&library, "@2026-03-06 20:59:00 x10000", "2026-03-09", "EDT");
    assert_eq!(told, "2026-03-09T13:30:00Z 2026-03-09T20:00:00Z 0\n");
}

#[test]
fn after_the_change_to_winter_time_the_start_is_an_hour_later_in_utc() {
    let Some(library) = library() else { return };
    let told = until_the_start_of(&library, "@2026-10-30 20:00:00 x10000", "2026-11-02", "EST");
    assert_eq!(told, "2026-11-02T14:30:00Z 2026-11-02T21:00:00Z 0\n");
}

/// A clock that somebody sets: what it shows is the real one and an offset.
struct Clock {
    file: PathBuf,
    offset: i64,
}

impl Clock {
    fn showing(world: &World, instant: &str) -> Self {
        let instant: DateTime<Utc> = instant.parse().expect("an instant");
        let mut clock = Self { file: world.path("offset"), offset: 0 };
        clock.step((instant - Utc::now()).num_seconds());
        clock
    }

    /// Replaced in one go: the daemon reads it at every look at the clock.
    fn step(&mut self, by: i64) {
        self.offset += by;
        let fresh = self.file.with_extension("new");
        std::fs::write(&fresh, format!("{:+}\n", self.offset)).expect("written");
        std::fs::rename(&fresh, &self.file).expect("renamed");
    }

    fn fake(&self, library: &Path, world: World) -> Daemon {
        let file = self.file.to_str().expect("text");
        let variables =
            [("FAKETIME_TIMESTAMP_FILE", file), ("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
        fake(library, world, &variables)
    }
}

const STEPPED: &str = r#"
    orchestrator = { clock_recheck = "1s" }
    [[script]]
    name = "stays"
    command = ["sh", "-c", "echo $$ >stays; exec sleep 300"]
    [[script]]
    name = "ends"
    command = ["sh", "-c", "echo $$ >ends; exit 0"]
"#;

#[test]
fn a_step_over_the_close_stops_scripts_at_once_and_a_step_back_starts_none_twice() {
    let Some(library) = library() else { return };
    let world = World::new(STEPPED);
    let mut clock = Clock::showing(&world, "2026-11-27T17:00:00Z");
    let mut daemon = clock.fake(&library, world);
    let pid = daemon.number("stays");
    daemon.wait_for(&["Run ended", "script=ends", "result=succeeded"]);

    clock.step(2 * 3600);
    let stop = daemon.wait_for(&["Market has closed. Stopping script. script=stays"]);
    assert!((0..120).contains(&seconds_after("14:00:00", &stop)), "{stop}");
    let stepped = daemon.wait_for(&["WARNING: The clock was stepped by +7"]);
    assert!(at(&stepped) <= at(&stop));
    daemon.wait_for(&["Run ended", "script=stays", "result=window_end"]);
    assert!(!alive(pid));

    clock.step(-2 * 3600);
    daemon.wait_for(&["WARNING: The clock was stepped by -7"]);
    daemon.stop();
    assert_eq!(daemon.count(&["Starting trading script"]), 2, "each of the two once");
}

#[test]
fn a_step_back_neither_ends_a_running_script_nor_starts_one_that_is_done() {
    let Some(library) = library() else { return };
    let world = World::new(STEPPED);
    let mut clock = Clock::showing(&world, "2026-11-27T17:00:00Z");
    let mut daemon = clock.fake(&library, world);
    let pid = daemon.number("stays");
    daemon.wait_for(&["Run ended", "script=ends", "result=succeeded"]);
    // Before the window of the day.
    clock.step(-5 * 3600);
    daemon.wait_for(&["WARNING: The clock was stepped by -1"]);
    // And into it again.
    clock.step(2 * 3600);
    daemon.wait_for(&["WARNING: The clock was stepped by +7"]);
    assert!(alive(pid));
    assert_eq!(daemon.count(&["Stopping script"]), 0);
    daemon.stop();
    assert_eq!(daemon.count(&["Starting trading script"]), 2, "each of the two once");
}

#[test]
fn a_clock_that_is_ahead_costs_no_log_that_is_not_old() {
    let Some(library) = library() else { return };
    let world = World::new(
        r#"
        orchestrator = { clock_recheck = "1s" }
        [[script]]
        name = "talks"
        calendar = "always"
        restart = { policy = "always", initial_delay = "300ms", max_delay = "300ms", max_restarts = 100000 }
        command = ["sh", "-c", "echo one more; sleep 0.5"]
        "#,
    );
    let day = std::time::Duration::from_secs(86_400);
    let old = ["2022-11-01.log", "2022-11-02.log"];
    let recent = ["2022-12-15.log", "2022-12-29.log", "2022-12-30.log.1"];
    for (name, age) in old.iter().map(|name| (name, 60)).chain(recent.iter().map(|name| (name, 20))) {
        world.write(&format!("logs/talks/{name}"), "what was\n");
        let file =
            std::fs::File::options().append(true).open(world.path(&format!("logs/talks/{name}"))).expect("opened");
        file.set_modified(std::time::SystemTime::now() - age * day).expect("set");
    }
    let has = |daemon: &Daemon, name: &str| daemon.has(&format!("logs/talks/{name}"));
    let mut clock = Clock { file: world.path("offset"), offset: 0 };
    clock.step(0);
    let mut daemon = clock.fake(&library, world);
    eventually("old logs are removed", || old.iter().all(|name| !has(&daemon, name)));
    clock.step(400 * 86_400);
    daemon.wait_for(&["WARNING: The clock was stepped by +"]);
    // A window begins an hour before its date: in the evening it is that of the day after.
    let stepped = (Utc::now() + chrono::TimeDelta::days(400)).date_naive();
    let is_later = |entry: std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.get(..10).and_then(|date| date.parse().ok()).is_some_and(|date: chrono::NaiveDate| date >= stepped)
    };
    eventually("a log of that date", || {
        std::fs::read_dir(daemon.path("logs/talks")).expect("readable").flatten().any(is_later)
    });
    let attempts = daemon.count(&["Script started with PID"]);
    eventually("more of its attempts", || daemon.count(&["Script started with PID"]) > attempts + 2);
    clock.step(-400 * 86_400);
    daemon.stop();
    assert!(recent.iter().all(|name| has(&daemon, name)));
}
