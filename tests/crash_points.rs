//! A trading day in which the daemon dies, or the kernel refuses it something, at one exact point: at the k-th commit, spawn, signal. The day
//! ends as if nothing had been, or as the contract says of a daemon that was down.
//!
//! The suite takes some of the points. All of them, in about five minutes on two cores, with a line for each:
//! `cargo test --test crash_points -- --ignored --nocapture`; with `CRASH_POINTS=spawn,reap` those alone.

mod common;

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use chrono::{NaiveDateTime, TimeDelta};
use common::{World, alive, send};
use mho::adapters::procfs::Snapshot;
use nix::sys::signal::Signal;
use rusqlite::{Connection, OpenFlags};

/// The day: market seconds are hundredths, the window of all scripts lasts 3.6 s. Scripts that end by themselves have done so in the first.
const BEGIN: &str = "2026-11-30T12:00:00";
const CLOSE: &str = "2026-11-30T12:06:30";
const SPEED: u32 = 100;
const CONFIG: &str = r#"
[defaults]
start = "12:00:30"
stop = "12:06:30"
stop_grace = "500ms"
output = { echo = false }
restart = { initial_delay = "50ms", max_delay = "100ms", max_restarts = 1000, within = "1h" }

[[script]]
name = "early"
command = ["sh", "-c", ". ./alone.sh; sleep 0.3; exit 42"]

[[script]]
name = "crashes"
command = ["sh", "-c", ". ./alone.sh; [ -e crashed ] || { : >crashed; sleep 0.2; exit 1; }; exec sleep 300"]

[[script]]
name = "stubborn"
stop_grace = "200ms"
command = ["sh", "-c", ". ./alone.sh; trap '' TERM; setsid sleep 300 & echo up; exec sleep 300"]

[[script]]
name = "first"
command = ["sh", "-c", ". ./alone.sh; sleep 0.3; echo done"]

[[script]]
name = "second"
depends_on = ["first"]
command = ["sh", "-c", ". ./alone.sh; sleep 0.2"]
"#;

/// A lock that all processes of a script inherit: as long as one of them lives, another attempt says so and gives up.
const ALONE: &str = r#"
exec 9>>"lock-$MHO_SCRIPT"
flock -n 9 || { echo "$MHO_SCRIPT $MHO_ATTEMPT" >>twice; exit 78; }
echo "$MHO_SCRIPT $MHO_ATTEMPT" >>starts
"#;

/// How a day ends that nothing disturbs.
const RESULTS: [(&str, &str); 5] = [
    ("crashes", "window_end"),
    ("early", "finished_early"),
    ("first", "succeeded"),
    ("second", "succeeded"),
    ("stubborn", "window_end"),
];

/// So many days at once: they sleep most of the time.
const AT_ONCE: usize = 6;

const DEADLINE: Duration = Duration::from_secs(40);

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    /// The daemon is killed; its guard stops the scripts.
    Kill,
    /// The guard is killed, too, before it can do anything: the next daemon sweeps.
    KillBoth,
    /// The same as before to a first daemon, in the middle of the day; a second is killed while it sweeps.
    KillSweeper,
    /// This error, so many times in a row.
    Fail(&'static str, usize),
    /// The same for a daemon that comes after one that was killed with its guard in the middle of the day.
    FailSweeper(&'static str, usize),
}

/// One day, and what happens on it for the k-th time.
#[derive(Clone, Copy, Debug)]
struct Case {
    point: &'static str,
    blow: Blow,
    k: usize,
}

impl Case {
    /// In the notation of the crate `fail`.
    fn fail_points(&self) -> String {
        let (action, count) = match self.blow {
            Blow::Fail(error, count) | Blow::FailSweeper(error, count) => (error, count),
            Blow::Kill | Blow::KillBoth | Blow::KillSweeper => ("kill", 1),
        };
        let before = if self.k > 1 { format!("{}*off->", self.k - 1) } else { String::new() };
        format!("{}={before}{count}*return({action})", self.point)
    }

    fn is_kill(&self) -> bool {
        matches!(self.blow, Blow::Kill | Blow::KillBoth | Blow::KillSweeper)
    }

    fn is_after_another(&self) -> bool {
        matches!(self.blow, Blow::KillSweeper | Blow::FailSweeper(..))
    }
}

/// What came of a case: whether its point was reached, what to say of it, and what is wrong with it.
struct Outcome {
    reached: bool,
    told: String,
    faults: Vec<String>,
}

/// One daemon and its guard.
struct Life {
    guard: Child,
    began: SystemTime,
    at: NaiveDateTime,
    stderr: String,
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.guard.kill();
        let _ = self.guard.wait();
    }
}

impl Life {
    fn begin(world: &World, at: NaiveDateTime, fail_points: Option<&str>) -> Self {
        let stderr = (1..).map(|n| format!("stderr-{n}")).find(|name| !world.has(name)).expect("a name");
        let at_text = at.format("%Y-%m-%dT%H:%M:%S").to_string();
        let mut command = world.mho(&["run", "--config", "mho.toml", "--state-dir", "state", "--log-dir", "logs"]);
        command.args(["--at", &at_text, "--speed", &SPEED.to_string()]).env_remove("FAILPOINTS");
        command.envs(fail_points.map(|points| ("FAILPOINTS", points)));
        command.stdout(Stdio::null()).stderr(std::fs::File::create(world.path(&stderr)).expect("a file"));
        let began = SystemTime::now();
        Self { guard: command.spawn().expect("mho starts"), began, at, stderr }
    }

    /// The process behind the guard, while it lives.
    fn daemon(&self) -> Option<u32> {
        let all = Snapshot::take().ok()?;
        all.iter().find(|process| process.parent == self.guard.id() && !process.zombie).map(|process| process.pid)
    }

    /// Stops the guard where it is; returns the daemon.
    fn hold_guard(&mut self) -> Result<u32, String> {
        let mut daemon = None;
        wait("a daemon", || {
            daemon = self.daemon();
            daemon.is_some() || self.is_over()
        })?;
        if !self.is_over() {
            send(self.guard.id(), Signal::SIGSTOP);
        }
        daemon.ok_or_else(|| "the guard ended before it had a daemon".to_owned())
    }

    fn is_over(&mut self) -> bool {
        self.guard.try_wait().expect("ours").is_some()
    }

    fn end(&mut self) -> Result<i32, String> {
        let mut code = None;
        wait("the end of the guard", || {
            code = self.guard.try_wait().expect("ours").map(|status| status.code().unwrap_or(-1));
            code.is_some()
        })?;
        Ok(code.unwrap_or(-1))
    }

    /// When its point was reached, in milliseconds of the epoch, each time.
    fn blows(&self, world: &World) -> Vec<u128> {
        let stderr = world.read(&self.stderr);
        let lines = stderr.lines().filter(|line| line.starts_with("fault point "));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
    }

    /// What the market clock shows at an instant, or a moment later: it started after the process.
    fn market_time(&self, millis: u128) -> NaiveDateTime {
        let passed = i64::try_from(millis.saturating_sub(epoch_millis(self.began))).expect("not long ago");
        self.at + TimeDelta::milliseconds(passed * i64::from(SPEED))
    }
}

fn wait(what: &str, mut holds: impl FnMut() -> bool) -> Result<(), String> {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > DEADLINE {
            return Err(format!("{what} did not come in time"));
        }
        std::thread::sleep(Duration::from_millis(15));
    }
    Ok(())
}

fn epoch_millis(at: SystemTime) -> u128 {
    at.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis()
}

fn instant(text: &str) -> NaiveDateTime {
    text.parse().expect("an instant")
}

/// How often each script has started.
fn starts(world: &World) -> BTreeMap<String, usize> {
    let mut starts = BTreeMap::new();
    for line in world.read("starts").lines() {
        *starts.entry(line.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    starts
}

fn pairs(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

const RUNS: &str = "SELECT script, result FROM runs ORDER BY script";

/// All runs have their results. Asked while a daemon writes.
fn is_recorded(world: &World) -> bool {
    let Ok(connection) = Connection::open_with_flags(world.path("state/mho.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)
    else {
        return false;
    };
    let runs = pairs(&connection, RUNS).unwrap_or_default();
    runs.len() == RESULTS.len() && runs.iter().all(|(_, result)| result != "running")
}

/// A copy of a journal that nobody writes: to open the file itself would mend it.
fn copy(world: &World) -> (tempfile::TempDir, Option<Connection>) {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["mho.db", "mho.db-wal"] {
        let _ = std::fs::copy(world.path("state").join(name), dir.path().join(name));
    }
    let path = dir.path().join("mho.db");
    let connection = path.exists().then(|| Connection::open(&path).expect("opened"));
    (dir, connection)
}

fn recorded(world: &World) -> BTreeMap<String, String> {
    let (_dir, connection) = copy(world);
    // A file that was only just made has no tables.
    connection.and_then(|connection| pairs(&connection, RUNS).ok()).unwrap_or_default().into_iter().collect()
}

/// Plays the day of a case.
fn play(case: Case) -> Outcome {
    let world = World::new(CONFIG);
    world.write("alone.sh", ALONE);
    let mut outcome = Outcome { reached: false, told: String::new(), faults: Vec::new() };
    if let Err(fault) = play_in(&world, case, &mut outcome) {
        outcome.faults.push(fault);
    }
    if !outcome.faults.is_empty() {
        outcome.faults.push(story(&world));
    }
    outcome
}

/// All that tells what happened.
fn story(world: &World) -> String {
    let (_dir, connection) = copy(world);
    let rows = |sql| connection.as_ref().map(|connection| pairs(connection, sql));
    format!(
        "{}\n{:?}\n{:?}\nstarts: {:?}",
        world.read("logs/orchestrator_main.log"),
        rows("SELECT script, result || ': ' || reason FROM runs"),
        rows(
            "SELECT script || number, coalesce(started_at, '') || ' ' || coalesce(pid, '') || ' ' || coalesce(result, '') FROM attempts"
        ),
        starts(world)
    )
}

fn play_in(world: &World, case: Case, outcome: &mut Outcome) -> Result<(), String> {
    let mut at = instant(BEGIN);
    if case.is_after_another() {
        at = leave_leftovers(world)?;
    }
    let mut life = Life::begin(world, at, Some(&case.fail_points()));
    let held = if case.blow == Blow::KillBoth { Some(life.hold_guard()?) } else { None };
    let is_dead = |life: &mut Life| held.map_or_else(|| life.is_over(), |daemon| !alive(daemon));
    wait("the end of the day", || is_dead(&mut life) || is_recorded(world))?;
    let told_to_end = epoch_millis(SystemTime::now());
    if !is_dead(&mut life) {
        // To the daemon itself, where the guard is stopped.
        send(held.unwrap_or(life.guard.id()), Signal::SIGTERM);
        wait("the end of the daemon", || is_dead(&mut life))?;
    }
    if held.is_some() {
        life.guard.kill().map_err(|error| error.to_string())?;
    }
    let code = life.end()?;
    let blows = life.blows(world);
    outcome.reached = !blows.is_empty();
    let Some(last) = blows.last().filter(|_| case.is_kill()) else {
        let expected = if held.is_some() { -1 } else { 0 };
        if code != expected {
            outcome.faults.push(format!("exit code {code}"));
        }
        if !case.is_after_another() {
            check_undisturbed(world, case, &blows, told_to_end, outcome);
        }
        let to_the_end = blows.last().is_some_and(|last| *last >= told_to_end);
        check_end(world, None, to_the_end, outcome);
        return Ok(());
    };
    let died = life.market_time(*last);
    drop(life);
    go_on_after(world, died, outcome)
}

/// A daemon and its guard die together in the middle of the day. When, on the market clock.
fn leave_leftovers(world: &World) -> Result<NaiveDateTime, String> {
    let mut life = Life::begin(world, instant(BEGIN), None);
    wait("scripts", || starts(world).len() >= 4)?;
    let daemon = life.hold_guard()?;
    send(daemon, Signal::SIGKILL);
    life.guard.kill().map_err(|error| error.to_string())?;
    let now = epoch_millis(SystemTime::now());
    life.end()?;
    Ok(life.market_time(now))
}

/// The next daemon, from the moment on at which the one before died.
fn go_on_after(world: &World, died: NaiveDateTime, outcome: &mut Outcome) -> Result<(), String> {
    let (before, started) = (recorded(world), starts(world));
    for script in started.keys().filter(|script| !before.contains_key(*script)) {
        outcome.faults.push(format!("{script} was started before its run was recorded"));
    }
    if started.contains_key("second") && before.get("first").is_none_or(|result| result != "succeeded") {
        outcome.faults.push("the second was started before the end of the first was recorded".to_owned());
    }
    let again = died + TimeDelta::seconds(1);
    let mut life = Life::begin(world, again, None);
    // Whoever has a status hears signals.
    let is_up = |life: &Life| world.read(&life.stderr).contains("Status: ");
    wait("the end of the day", || life.is_over() || is_up(&life) && is_recorded(world))?;
    if !life.is_over() {
        send(life.guard.id(), Signal::SIGTERM);
    }
    let code = life.end()?;
    if code != 0 {
        outcome.faults.push(format!("exit code {code} of the second daemon: {}", world.read(&life.stderr)));
    }
    let (after, now) = (recorded(world), starts(world));
    for (script, result) in before.iter().filter(|(_, result)| *result != "running") {
        if after.get(script) != Some(result) || now.get(script) != started.get(script) {
            outcome.faults.push(format!("{script} had ended as {result}, and did not stay so"));
        }
    }
    check_end(world, Some(again), false, outcome);
    Ok(())
}

/// After a day with errors only: nothing is missing from the journal, and trouble was told once.
fn check_undisturbed(world: &World, case: Case, blows: &[u128], told_to_end: u128, outcome: &mut Outcome) {
    let log = world.read("logs/orchestrator_main.log");
    let count = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    let (lost, back) = (count("ERROR: The journal cannot be written"), count("INFO: The journal is written again"));
    if case.point == "log.write" {
        // The log may be without lines of that time.
        return;
    }
    let span = blows.last().zip(blows.first()).map_or(0, |(last, first)| last - first);
    let journal_failed = case.point.starts_with("journal") && span > 1200;
    // While it ends it does not wait for better times.
    let to_the_end = blows.last().is_some_and(|last| *last >= told_to_end);
    if lost != back && !to_the_end || lost > 1 || journal_failed && lost == 0 {
        outcome.faults.push(format!("{lost} times the journal was lost, {back} times it was back; {span} ms"));
    }
    if !case.point.starts_with("journal") && lost > 0 {
        outcome.faults.push("the journal was lost for nothing".to_owned());
    }
    if case.point == "spawn" && !blows.is_empty() {
        let text = if matches!(case.blow, Blow::Fail("EAGAIN", _)) { "ulimit -u" } else { "ulimit -n" };
        if count(text) != blows.len() {
            outcome.faults.push(format!("{} failed spawns, told {} times", blows.len(), count(text)));
        }
    }
    let (_dir, connection) = copy(world);
    let sql = "SELECT script, count(*) || '' FROM attempts WHERE started_at IS NOT NULL AND ended_at IS NOT NULL AND result IS NOT NULL GROUP BY script";
    let attempts = connection.and_then(|connection| pairs(&connection, sql).ok()).unwrap_or_default();
    let attempts: BTreeMap<String, usize> =
        attempts.into_iter().map(|(script, count)| (script, count.parse().expect("a number"))).collect();
    for (script, count) in starts(world) {
        if attempts.get(&script).is_none_or(|recorded| *recorded < count) {
            outcome.faults.push(format!("{count} attempts of {script}, recorded {:?}", attempts.get(&script)));
        }
    }
}

/// What holds after every day, whatever happened on it.
fn check_end(world: &World, again: Option<NaiveDateTime>, to_the_end: bool, outcome: &mut Outcome) {
    let faults = &mut outcome.faults;
    let twice = world.read("twice");
    if !twice.is_empty() {
        faults.push(format!("two processes of one script: {twice}"));
    }
    let left = world.processes();
    if !left.is_empty() {
        faults.push(format!("left running: {left:?}"));
    }
    let runs = recorded(world);
    // A daemon that comes up so late has not the time left to go on.
    let too_late = again.is_some_and(|again| again + TimeDelta::seconds(60) >= instant(CLOSE));
    let mut cut = 0;
    for (script, expected) in RESULTS {
        match runs.get(script).map(String::as_str) {
            Some(result) if result == expected => {}
            Some("interrupted" | "missed") if too_late => cut += 1,
            other => faults.push(format!("{script} ended as {other:?}")),
        }
    }
    let (_dir, connection) = copy(world);
    let Some(connection) = connection else { return faults.push("no journal".to_owned()) };
    let of = |sql| pairs(&connection, sql).unwrap_or_else(|error| vec![(sql.to_owned(), error.to_string())]);
    let whole = of("SELECT integrity_check, '' FROM pragma_integrity_check");
    if whole.first().is_none_or(|(word, _)| word != "ok") {
        faults.push(format!("the journal is damaged: {whole:?}"));
    }
    let open = of("SELECT script || number, coalesce(pid, '') || '' FROM attempts WHERE result IS NULL");
    if !open.is_empty() {
        faults.push(format!("attempts without an end: {open:?}"));
    }
    let log = world.read("logs/orchestrator_main.log");
    let life = of("SELECT coalesce(ended_at, 'open'), '' FROM lives ORDER BY id DESC LIMIT 1");
    let is_open = life.iter().any(|(ended, _)| ended == "open");
    if life.len() != 1 || is_open && !(to_the_end && log.contains("The end of this daemon could not be recorded")) {
        faults.push(format!("the end of the daemon is not recorded: {life:?}"));
    }
    if log.contains("panicked") {
        faults.push("something panicked".to_owned());
    }
    outcome.told = match (again, cut) {
        (None, _) => "as if nothing had been".to_owned(),
        (Some(at), 0) => format!("went on at {}", at.format("%H:%M:%S")),
        (Some(at), cut) => format!("came back at {}, {cut} cut off", at.format("%H:%M:%S")),
    };
}

/// Plays days, `AT_ONCE` at a time; `next` names them, and is told what came of each.
fn play_all(next: impl Fn() -> Option<Case> + Sync, told: impl Fn(Case, Outcome) + Sync) {
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = next() {
                    told(case, play(case));
                }
            });
        }
    });
}

fn fails(case: Case, outcome: &Outcome) -> Option<String> {
    (!outcome.faults.is_empty()).then(|| format!("{case:?}: {}", outcome.faults.join("\n")))
}

/// Every place where the daemon can be killed.
const KILLS: &[(&str, &[Blow])] = &[
    ("journal.open", &[Blow::Kill, Blow::KillBoth]),
    ("journal.commit", &[Blow::Kill, Blow::KillBoth]),
    ("journal.committed", &[Blow::Kill, Blow::KillBoth]),
    ("journal.close", &[Blow::Kill, Blow::KillBoth]),
    ("spawn", &[Blow::Kill, Blow::KillBoth]),
    ("spawned", &[Blow::Kill, Blow::KillBoth]),
    ("signal", &[Blow::Kill, Blow::KillBoth]),
    ("signalled", &[Blow::Kill, Blow::KillBoth]),
    ("reap", &[Blow::Kill, Blow::KillBoth]),
    ("walk", &[Blow::Kill]),
    ("sweep.signal", &[Blow::KillSweeper]),
    ("sweep.walk", &[Blow::KillSweeper]),
];

/// Every place where something can be refused: what, once and for a while. (The journal is tried again after 0.1 s, 0.2 s, 0.4 s, 0.8 s.)
const ERRORS: &[(&str, &[Blow])] = &[
    (
        "journal.open",
        &[Blow::Fail("EIO", 1), Blow::Fail("ENOSPC", 5), Blow::Fail("EMFILE", 3), Blow::FailSweeper("ENOSPC", 5)],
    ),
    ("sweep.walk", &[Blow::FailSweeper("EMFILE", 1), Blow::FailSweeper("EMFILE", 4)]),
    ("journal.commit", &[Blow::Fail("ENOSPC", 1), Blow::Fail("EIO", 1), Blow::Fail("ENOSPC", 5), Blow::Fail("EIO", 5)]),
    ("journal.committed", &[Blow::Fail("EIO", 1), Blow::Fail("EIO", 5)]),
    ("journal.close", &[Blow::Fail("EIO", 1)]),
    ("spawn", &[Blow::Fail("EAGAIN", 1), Blow::Fail("EMFILE", 1), Blow::Fail("EAGAIN", 4), Blow::Fail("EMFILE", 4)]),
    ("spawned", &[Blow::Fail("EMFILE", 1), Blow::Fail("EMFILE", 4)]),
    ("signal", &[Blow::Fail("EAGAIN", 1), Blow::Fail("EAGAIN", 3)]),
    ("walk", &[Blow::Fail("EMFILE", 1), Blow::Fail("EMFILE", 4)]),
    ("log.write", &[Blow::Fail("ENOSPC", 1), Blow::Fail("EIO", 1), Blow::Fail("ENOSPC", 3)]),
];

/// Some points, early and late ones of each kind.
const CHOSEN: &[Case] = &[
    Case { point: "journal.open", blow: Blow::Kill, k: 1 },
    Case { point: "journal.commit", blow: Blow::Kill, k: 3 },
    Case { point: "journal.commit", blow: Blow::KillBoth, k: 6 },
    Case { point: "journal.commit", blow: Blow::Kill, k: 9 },
    Case { point: "journal.committed", blow: Blow::KillBoth, k: 4 },
    Case { point: "journal.committed", blow: Blow::Kill, k: 7 },
    Case { point: "journal.committed", blow: Blow::KillBoth, k: 10 },
    Case { point: "spawn", blow: Blow::Kill, k: 3 },
    Case { point: "spawned", blow: Blow::KillBoth, k: 3 },
    Case { point: "spawned", blow: Blow::Kill, k: 5 },
    Case { point: "spawned", blow: Blow::KillBoth, k: 6 },
    Case { point: "signal", blow: Blow::KillBoth, k: 2 },
    Case { point: "signalled", blow: Blow::Kill, k: 1 },
    Case { point: "signalled", blow: Blow::KillBoth, k: 3 },
    Case { point: "reap", blow: Blow::Kill, k: 2 },
    Case { point: "sweep.signal", blow: Blow::KillSweeper, k: 2 },
    Case { point: "journal.open", blow: Blow::FailSweeper("ENOSPC", 5), k: 1 },
    Case { point: "sweep.walk", blow: Blow::FailSweeper("EMFILE", 4), k: 1 },
    Case { point: "journal.commit", blow: Blow::Fail("EIO", 1), k: 4 },
    Case { point: "journal.commit", blow: Blow::Fail("ENOSPC", 5), k: 3 },
    Case { point: "journal.committed", blow: Blow::Fail("EIO", 5), k: 5 },
    Case { point: "spawn", blow: Blow::Fail("EAGAIN", 4), k: 2 },
    Case { point: "spawned", blow: Blow::Fail("EMFILE", 1), k: 3 },
    Case { point: "walk", blow: Blow::Fail("EMFILE", 4), k: 1 },
    Case { point: "log.write", blow: Blow::Fail("ENOSPC", 3), k: 5 },
];

#[test]
fn whatever_strikes_at_some_points_of_a_day_it_ends_as_it_should() {
    let (left, failed) = (Mutex::new(CHOSEN.iter()), Mutex::new(Vec::new()));
    let next = || left.lock().expect("whole").next().copied();
    play_all(next, |case, outcome| {
        let unreached = (!outcome.reached).then(|| format!("{case:?} was not reached"));
        failed.lock().expect("whole").extend(unreached.into_iter().chain(fails(case, &outcome)));
    });
    let failed = failed.into_inner().expect("whole");
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// The points of one kind, from the first on until one is not reached any more.
struct Lane {
    point: &'static str,
    blow: Blow,
    next: usize,
    reached: usize,
    over: bool,
}

fn play_every(table: &[(&'static str, &[Blow])]) {
    let only = std::env::var("CRASH_POINTS").unwrap_or_default();
    let lanes = table.iter().flat_map(|(point, blows)| blows.iter().map(move |blow| (*point, *blow)));
    let lanes = lanes.filter(|(point, _)| only.is_empty() || only.split(',').any(|name| name == *point));
    let lanes: Vec<_> = lanes.map(|(point, blow)| Lane { point, blow, next: 1, reached: 0, over: false }).collect();
    let (lanes, failed) = (Mutex::new(lanes), Mutex::new(Vec::new()));
    let next = || {
        let mut lanes = lanes.lock().expect("whole");
        // The one that is furthest behind.
        let lane = lanes.iter_mut().filter(|lane| !lane.over).min_by_key(|lane| lane.next)?;
        lane.next += 1;
        Some(Case { point: lane.point, blow: lane.blow, k: lane.next - 1 })
    };
    play_all(next, |case, outcome| {
        let fault = fails(case, &outcome);
        let verdict = if fault.is_some() { "WRONG" } else { "ok" };
        let reached = if outcome.reached { outcome.told.as_str() } else { "not reached" };
        println!("{:18} {:18} k={:<3} {verdict:6} {reached}", case.point, format!("{:?}", case.blow), case.k);
        failed.lock().expect("whole").extend(fault);
        let mut lanes = lanes.lock().expect("whole");
        let lane = lanes.iter_mut().find(|lane| (lane.point, lane.blow) == (case.point, case.blow)).expect("its lane");
        lane.reached += usize::from(outcome.reached);
        lane.over |= !outcome.reached;
    });
    for lane in lanes.into_inner().expect("whole") {
        println!("{:18} {:18} {} points", lane.point, format!("{:?}", lane.blow), lane.reached);
        assert!(lane.reached > 0, "{} was never reached", lane.point);
    }
    let failed = failed.into_inner().expect("whole");
    println!("{} wrong", failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
#[ignore = "minutes: every point"]
fn the_daemon_killed_at_every_point() {
    play_every(KILLS);
}

#[test]
#[ignore = "minutes: every point"]
fn an_error_at_every_point() {
    play_every(ERRORS);
}
