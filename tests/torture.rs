//! Daemons and guards that are killed at random moments, again and again, and what must hold all the same, seen from outside: never two
//! processes of one script, no run again after its recorded end, nothing left of an earlier daemon once a script starts, a result for
//! every date.
//!
//! The long version: `cargo test --release --test torture -- --ignored --nocapture`, with `MHO_TORTURE_ROUNDS=300` rounds and seeds from
//! `MHO_TORTURE_SEED=1` on. A seed gives the same scripts and the same plan; the moments are as repeatable as a machine is.

mod common;
mod torture_support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Weekday};
use common::{World, eventually};
use mho::adapters::procfs::{self, Proc, Snapshot};
use mho::domain::calendar::Calendar;
use rustix::process::Signal;
use torture_support::{CONFIG, Facts, Key, Line, SCRIPT, SCRIPTS, facts, ledger, uptime};

/// Rounds of one seed: some weeks of market time.
const ROUNDS_OF_A_SEED: u64 = 25;

/// Lives that end before anything is started.
const UNBORN: usize = 4;

/// A life goes on for so long at the most before it is ended.
const LONGEST_LIFE: Duration = Duration::from_millis(1500);

/// Market seconds per second.
const SPEEDS: [u32; 5] = [60, 600, 3000, 12_000, 40_000];

/// Times of the day at which something begins or ends.
const BOUNDARIES: [(u32, u32); 8] = [(4, 0), (8, 30), (9, 30), (13, 0), (14, 0), (16, 0), (17, 0), (20, 0)];

/// A restart that is younger than this when everything dies need not be in the journal: it was promised within 100 ms, and the machine is
/// busy. The first start of a run is always there.
const UNRECORDED: f64 = 0.3;

/// A script starts, stops or exits, a run ends: right after such a line of the log, the journal is about to be written, or just was.
const EVENTS: [&str; 6] = [
    "Starting trading script",
    "Stopping trading script",
    "Script exited",
    "Run ended",
    "Restarting script",
    " started with PID ",
];

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Death {
    Daemon,
    /// The next one does not wait until the guard has ended everything.
    DaemonInHaste,
    Guard,
    /// One a moment after the other, as long as the other could do something: true = the daemon first.
    Both(bool),
    /// In order.
    Term,
    /// Both are killed while it ends in order.
    TermThenBoth,
    TermThenDaemon,
}

/// The moment of it.
#[derive(Clone, Copy, Debug)]
enum Moment {
    After(Duration),
    /// The n-th time that the log says so, and a bit later.
    Event(&'static str, usize, Duration),
    /// The n-th time that the journal was written to.
    Written(usize, Duration),
}

#[derive(Debug, Default)]
struct Counts {
    rounds: u64,
    deaths: BTreeMap<Death, u64>,
    starts: usize,
    ends: usize,
    stops: usize,
    runs: usize,
    attempts: usize,
    lost: usize,
    results: BTreeMap<String, usize>,
    leftovers: usize,
    numbers_used_again: usize,
    unrecorded: usize,
}

struct Torture {
    seed: u64,
    rng: fastrand::Rng,
    world: World,
    market: NaiveDateTime,
    life: u32,
    /// When each life was hit, in seconds of the machine's uptime; 0 = not yet.
    hit: Vec<f64>,
    /// Runs with a result, and the life that was over when that was first seen.
    over: BTreeMap<Key, (String, u32)>,
    counts: Counts,
    violations: Vec<String>,
    late: Vec<Life>,
}

/// A daemon and its guard.
struct Life {
    guard: Child,
    spawned: Instant,
    at: NaiveDateTime,
    speed: u32,
    /// Where its part of the main log begins.
    log_from: usize,
}

impl Life {
    /// The process behind the guard, as soon as there is one.
    fn daemon(&self) -> Option<Proc> {
        let guard = self.guard.id();
        let children = std::fs::read_to_string(format!("/proc/{guard}/task/{guard}/children")).unwrap_or_default();
        let child = children.split_whitespace().next()?.parse().ok()?;
        procfs::read(child).ok().flatten().filter(|process| process.parent == guard)
    }

    /// The latest market time that this life can have seen.
    fn market(&self) -> NaiveDateTime {
        let shown = self.spawned.elapsed().as_secs_f64() * f64::from(self.speed);
        self.at + TimeDelta::milliseconds((shown * 1000.0).ceil() as i64 + 1000)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.guard.kill();
        let _ = self.guard.wait();
    }
}

impl Torture {
    fn new(seed: u64) -> Self {
        let world = World::new(CONFIG);
        world.write("script.sh", SCRIPT);
        Self {
            seed,
            rng: fastrand::Rng::with_seed(seed),
            world,
            // Thanksgiving and an early close are ahead, and soon after Christmas.
            market: date(2026, 11, 24).and_hms_opt(3, 0, 0).expect("a time") + TimeDelta::days(14 * (seed % 2) as i64),
            life: 0,
            hit: vec![0.0],
            over: BTreeMap::new(),
            counts: Counts::default(),
            violations: Vec::new(),
            late: Vec::new(),
        }
    }

    /// The whole life of a seed.
    fn run(mut self, rounds: u64) -> (Counts, Vec<String>) {
        let first = self.market.date();
        self.first_lives();
        for _ in 0..rounds {
            self.round();
        }
        let last = self.last_life();
        self.judge(first, last);
        if !self.violations.is_empty() {
            self.keep();
        }
        (self.counts, self.violations)
    }

    fn violation(&mut self, text: &str) {
        let text = format!("seed {} life {}: {text}", self.seed, self.life);
        eprintln!("VIOLATION {text}");
        self.violations.push(text);
    }

    fn start(&mut self, speed: u32) -> Life {
        self.life += 1;
        let log_from = self.world.read("logs/orchestrator_main.log").len();
        let stderr =
            std::fs::File::options().create(true).append(true).open(self.world.path("stderr")).expect("a file");
        let mut command = self.world.mho(&["run", "--config", "mho.toml", "--state-dir", "state", "--log-dir", "logs"]);
        command.args(["--at", &self.market.format("%Y-%m-%dT%H:%M:%S").to_string(), "--speed", &speed.to_string()]);
        command.env("LIFE", self.life.to_string()).env("SEED", self.seed.to_string());
        command.stdout(Stdio::null()).stderr(stderr);
        let spawned = Instant::now();
        Life { guard: command.spawn().expect("mho starts"), spawned, at: self.market, speed, log_from }
    }

    fn log_of(&self, life: &Life) -> String {
        self.world.read("logs/orchestrator_main.log").get(life.log_from..).unwrap_or_default().to_owned()
    }

    /// Deaths while the state directory, the journal and its tables are being made; then the journal gets to know the scripts.
    fn first_lives(&mut self) {
        for _ in 0..UNBORN {
            let speed = 60;
            let mut life = self.start(speed);
            let moment = Moment::After(Duration::from_micros(self.rng.u64(0..30_000)));
            self.wait_for(&mut life, moment);
            self.die(&mut life, Death::Both(true));
            self.after(life, false);
        }
        let mut life = self.start(3000);
        eventually("the first start", || self.log_of(&life).contains("Starting trading script"));
        signal(&life, Signal::TERM);
        self.hit.push(uptime());
        self.ends(&mut life, &[0]);
        self.after(life, false);
    }

    fn round(&mut self) {
        // How much was drawn before depends on the moments: each round has a plan of its own.
        self.rng.seed(self.seed << 32 | u64::from(self.life));
        let speed = *self.rng.choice(&SPEEDS).expect("some");
        let (death, moment) = (self.death(), self.moment());
        self.pass(speed);
        let left = self.of_earlier_lives();
        self.counts.leftovers += left.len();
        let mut life = self.start(speed);
        self.wait_for(&mut life, moment);
        self.reap_guards();
        self.counts.rounds += 1;
        *self.counts.deaths.entry(death).or_default() += 1;
        self.die(&mut life, death);
        self.after(life, death == Death::DaemonInHaste);
    }

    /// Time goes by without a daemon: a moment, hours, days, or just until something is about to happen.
    fn pass(&mut self, speed: u32) {
        let seconds = |seconds: i64| TimeDelta::seconds(seconds);
        self.market += match self.rng.u32(..100) {
            0..35 => seconds(self.rng.i64(0..5)),
            35..50 => seconds(self.rng.i64(0..3 * 3600)),
            50..90 => {
                let ahead = f64::from(speed) * self.rng.f64() * 0.8;
                let earliest = self.market + seconds(ahead as i64);
                let next = BOUNDARIES.iter().map(|(hour, minute)| {
                    let time = NaiveTime::from_hms_opt(*hour, *minute, 0).expect("a time");
                    let today = earliest.date().and_time(time);
                    if today >= earliest { today } else { today + TimeDelta::days(1) }
                });
                let mut next: Vec<_> = next.collect();
                next.sort_unstable();
                let boundary = next[self.rng.usize(0..3)];
                boundary - seconds(ahead as i64) - self.market
            }
            90..94 => seconds(self.rng.i64(0..86_400)),
            // Somebody set the clock back.
            94..97 => seconds(self.rng.i64(-10_000..0)),
            _ => seconds(self.rng.i64(0..4 * 86_400)),
        };
        // Nights and weekends are seldom of interest.
        if self.is_quiet() && self.rng.u32(..100) < 70 {
            while self.is_quiet() {
                self.market += seconds(600);
            }
            self.market += seconds(self.rng.i64(0..6 * 3600));
        }
    }

    /// Nothing begins within the hour, and nothing runs.
    fn is_quiet(&self) -> bool {
        let weekend = matches!(self.market.weekday(), Weekday::Sat | Weekday::Sun);
        weekend || !(3..20).contains(&self.market.hour())
    }

    fn death(&mut self) -> Death {
        match self.rng.u32(..100) {
            0..15 => Death::Daemon,
            15..25 => Death::DaemonInHaste,
            25..40 => Death::Guard,
            40..60 => Death::Both(true),
            60..80 => Death::Both(false),
            80..88 => Death::Term,
            88..95 => Death::TermThenBoth,
            _ => Death::TermThenDaemon,
        }
    }

    fn moment(&mut self) -> Moment {
        let bit = Duration::from_micros(self.rng.u64(0..3000));
        match self.rng.u32(..100) {
            0..15 => Moment::After(Duration::from_micros(self.rng.u64(0..60_000))),
            15..40 => Moment::After(LONGEST_LIFE.mul_f64(self.rng.f64())),
            40..75 => Moment::Event(self.rng.choice(EVENTS).expect("some"), self.rng.usize(1..6), bit),
            _ => Moment::Written(self.rng.usize(1..30), bit),
        }
    }

    /// Lets it live until the moment has come; the first start of a script is the end of all earlier lives.
    fn wait_for(&mut self, life: &mut Life, moment: Moment) {
        let (mut looked, mut writes, mut size) = (false, 0, None);
        loop {
            let log = self.log_of(life);
            if !looked && log.contains("Starting trading script") {
                looked = true;
                let left = self.of_earlier_lives();
                // Its own processes are not meant: they carry the present life's number.
                if !left.is_empty() {
                    self.violation(&format!("a script starts while there are leftovers: {left:?}"));
                }
            }
            let now = std::fs::metadata(self.world.path("state/mho.db-wal")).ok().and_then(|data| data.modified().ok());
            if now != size {
                (size, writes) = (now, writes + 1);
            }
            let age = life.spawned.elapsed();
            let bit = match moment {
                Moment::After(time) if age >= time => Duration::ZERO,
                Moment::Event(text, n, bit) if log.matches(text).count() >= n => bit,
                Moment::Written(n, bit) if writes > n => bit,
                _ if age >= LONGEST_LIFE => Duration::ZERO,
                _ => {
                    if let Some(status) = life.guard.try_wait().expect("ours") {
                        let log = self.log_of(life);
                        return self.violation(&format!("ended by itself with {status}:\n{log}"));
                    }
                    std::thread::sleep(Duration::from_micros(500));
                    continue;
                }
            };
            return std::thread::sleep(bit);
        }
    }

    fn die(&mut self, life: &mut Life, death: Death) {
        self.hit.push(uptime());
        let daemon = life.daemon();
        let moment = Duration::from_micros(self.rng.u64(0..4000));
        let in_order = Duration::from_millis(self.rng.u64(0..400));
        let kill_daemon = || daemon.into_iter().for_each(|daemon| procfs::send(daemon, &[Signal::KILL]));
        match death {
            Death::Daemon => {
                kill_daemon();
                if daemon.is_some() {
                    self.ends(life, &[1]);
                } else {
                    let _ = life.guard.kill();
                }
            }
            Death::DaemonInHaste if daemon.is_some() => kill_daemon(),
            Death::DaemonInHaste => drop(life.guard.kill()),
            Death::Guard => {
                signal(life, Signal::KILL);
                // It may have come into being a moment ago.
                let log = self.log_of(life);
                if let Some(daemon) = daemon {
                    eventually("the end of a daemon without guard", || !is_alive(daemon));
                    let left = self.of_life(self.life);
                    if !left.is_empty() {
                        self.violation(&format!("a daemon without guard left {left:?}"));
                    }
                    if log.contains("started with PID") && !self.log_of(life).contains("Goodbye.") {
                        let log = self.log_of(life);
                        self.violation(&format!("a daemon without guard did not end in order:\n{log}"));
                    }
                }
            }
            Death::Both(daemon_first) => {
                if daemon_first {
                    // In every other case the guard has no chance to notice.
                    if self.rng.bool() {
                        signal(life, Signal::STOP);
                    }
                    kill_daemon();
                    std::thread::sleep(moment);
                    signal(life, Signal::KILL);
                } else {
                    signal(life, Signal::KILL);
                    std::thread::sleep(moment);
                    kill_daemon();
                }
            }
            Death::Term => {
                signal(life, Signal::TERM);
                self.ends(life, &[0]);
            }
            Death::TermThenBoth => {
                signal(life, Signal::TERM);
                std::thread::sleep(in_order);
                kill_daemon();
                signal(life, Signal::KILL);
            }
            Death::TermThenDaemon => {
                signal(life, Signal::TERM);
                std::thread::sleep(in_order);
                kill_daemon();
                self.ends(life, &[0, 1]);
            }
        }
    }

    /// The guard ends by itself with one of these codes, and nothing is left.
    fn ends(&mut self, life: &mut Life, codes: &[i32]) {
        let status = end(&mut life.guard);
        // One that was hit before it was a guard.
        let too_early = status.signal() == Some(15) && self.log_of(life).is_empty();
        if !too_early && !status.code().is_some_and(|code| codes.contains(&code)) {
            let log = self.log_of(life);
            self.violation(&format!("the guard ended with {status}, not {codes:?}:\n{log}"));
        }
        let left = self.of_life(self.life);
        if !left.is_empty() {
            self.violation(&format!("the guard left {left:?}"));
        }
    }

    /// Guards that were still at work when the next daemon was started: they have long ended by themselves.
    fn reap_guards(&mut self) {
        for mut life in std::mem::take(&mut self.late) {
            let status = end(&mut life.guard);
            if !matches!(status.code(), Some(1) | None) {
                self.violation(&format!("a guard whose daemon was killed ended with {status}"));
            }
        }
    }

    /// The daemon is dead, and its guard but for one that is `late`: what does the journal say?
    fn after(&mut self, mut life: Life, late: bool) {
        if !late {
            let _ = end(&mut life.guard);
        }
        let guard = life.guard.id();
        let is_daemon = |process: &Proc| process.pid != guard && procfs::name(process.pid) == "mho";
        eventually("the end of the daemon", || !self.of_life(self.life).iter().any(is_daemon));
        // A leader that is a zombie may have threads that still die.
        std::thread::sleep(Duration::from_millis(5));
        self.market = life.market();
        if late {
            self.late.push(life);
        }
        let Some(facts) = facts(&self.world.path("state")) else { return };
        if facts.integrity != "ok" {
            self.violation(&format!("the journal is damaged: {}", facts.integrity));
        }
        let before = self.over.clone();
        for (key, (result, _)) in &before {
            let now = facts.runs.get(key).map(|run| run.result.clone());
            if now.as_ref() != Some(result) {
                self.violation(&format!("{key:?} was {result} and is {now:?}"));
            }
        }
        for (key, run) in facts.runs {
            if run.result != "running" {
                self.over.entry(key).or_insert((run.result, self.life));
            }
        }
    }

    /// To the end of the last window, and an end in order. Returns its date.
    fn last_life(&mut self) -> NaiveDate {
        let evening = |market: NaiveDateTime| market.date().and_hms_opt(20, 5, 0).expect("a time");
        let end_at = if self.market < evening(self.market) { evening(self.market) } else { self.market };
        self.market = self.market.max(end_at - TimeDelta::hours(6));
        let mut life = self.start(6000);
        // It has swept, it has told of what was missed, and nothing runs any more.
        eventually("the last window's end", || {
            let market = life.at + TimeDelta::milliseconds((life.spawned.elapsed().as_secs_f64() * 6e6) as i64);
            let log = self.log_of(&life);
            let last = log.lines().filter_map(|line| line.split_once("Status: ")).next_back();
            market > end_at + TimeDelta::hours(1) && last.is_some_and(|(_, status)| status.starts_with("idle"))
        });
        self.reap_guards();
        signal(&life, Signal::TERM);
        self.hit.push(uptime());
        self.ends(&mut life, &[0]);
        self.after(life, false);
        end_at.date()
    }

    fn judge(&mut self, first: NaiveDate, last: NaiveDate) {
        let left = self.world.processes();
        if !left.is_empty() {
            self.violation(&format!("at the end there are {left:?}"));
        }
        let facts = facts(&self.world.path("state")).expect("a journal");
        self.judge_ledger(&facts);
        self.judge_journal(&facts, first, last);
        let history = self.world.cli(&["history", "--json", "--config", "mho.toml", "--state-dir", "state"]);
        if history.code != 0 || !history.err.is_empty() || history.lines().len() != facts.runs.len() {
            self.violation(&format!("mho history: {history:?}"));
        }
    }

    fn judge_ledger(&mut self, facts: &Facts) {
        let lines = ledger(&self.world.read("ledger"));
        let mut last_start: BTreeMap<(Key, u32), Line> = BTreeMap::new();
        let mut final_in_life: BTreeSet<(Key, u32)> = BTreeSet::new();
        for line in &lines {
            match &*line.what {
                "second" => self.violation(&format!("a second copy: {line:?}")),
                "start" => {
                    self.counts.starts += 1;
                    if let Some((result, life)) = self.over.get(&line.key).cloned()
                        && life < line.life
                    {
                        self.violation(&format!("started again after {result} was recorded (life {life}): {line:?}"));
                    }
                    if final_in_life.contains(&(line.key.clone(), line.life)) {
                        self.violation(&format!("started again after its end: {line:?}"));
                    }
                    let id = (line.key.clone(), line.attempt);
                    let before = last_start.insert(id.clone(), line.clone());
                    if let Some(before) = before {
                        self.counts.numbers_used_again += 1;
                        if !self.may_be_unrecorded(&before) {
                            self.violation(&format!("the number of an attempt was used again: {before:?}, {line:?}"));
                        }
                    }
                    let known = facts.runs.get(&line.key).is_some_and(|run| run.attempts >= line.attempt);
                    if !known || !facts.attempts.contains_key(&id) {
                        self.counts.unrecorded += 1;
                        if !self.may_be_unrecorded(line) {
                            self.violation(&format!("the journal does not know of {line:?}"));
                        }
                    }
                }
                "end" => {
                    self.counts.ends += 1;
                    let is_final = matches!(&*line.detail, "42" | "78") || line.detail == "0" && line.key.0 != "again";
                    if is_final {
                        final_in_life.insert((line.key.clone(), line.life));
                    }
                }
                other => panic!("what is {other}?"),
            }
        }
        for (key, run) in &facts.runs {
            let ran = last_start.keys().any(|(started, _)| started == key);
            if ran && matches!(&*run.result, "missed" | "skipped") {
                self.violation(&format!("{key:?} is {} and had a process", run.result));
            }
        }
    }

    /// It was a restart, and a moment later everything died.
    fn may_be_unrecorded(&self, line: &Line) -> bool {
        line.attempt > 1 && self.hit[line.life as usize] - line.uptime < UNRECORDED
    }

    fn judge_journal(&mut self, facts: &Facts, first: NaiveDate, last: NaiveDate) {
        for (key, run) in &facts.runs {
            *self.counts.results.entry(run.result.clone()).or_default() += 1;
            if run.result == "running" {
                self.violation(&format!("{key:?} is still running"));
            }
            for number in 1..=run.attempts {
                if !facts.attempts.contains_key(&(key.clone(), number)) {
                    self.violation(&format!("attempt {number} of {key:?} is missing"));
                }
            }
        }
        for ((key, number), result) in &facts.attempts {
            match result.as_deref() {
                None => self.violation(&format!("attempt {number} of {key:?} has no result")),
                Some("lost") => self.counts.lost += 1,
                Some("stopped" | "killed_after_grace") => self.counts.stops += 1,
                Some(_) => {}
            }
        }
        (self.counts.runs, self.counts.attempts) = (facts.runs.len(), facts.attempts.len());
        let calendar = Calendar::builtin("XNYS").expect("built in");
        for session in calendar.sessions(first..=last) {
            for script in SCRIPTS {
                let run = facts.runs.get(&(script.to_owned(), session.date));
                let skips = script == "whole-days" && session.is_early_close();
                if run.is_none_or(|run| skips && run.result != "skipped") {
                    self.violation(&format!("{script} on {}: {run:?}", session.date));
                }
            }
        }
    }

    fn of_life(&self, number: u32) -> Vec<Proc> {
        self.marked(|life| life == number)
    }

    fn of_earlier_lives(&self) -> Vec<Proc> {
        self.marked(|life| life < self.life)
    }

    fn marked(&self, is_meant: impl Fn(u32) -> bool) -> Vec<Proc> {
        let mark = self.world.root().to_str().expect("text");
        let Ok(snapshot) = Snapshot::take() else { return Vec::new() };
        let all = snapshot.iter().filter(|process| !process.zombie && !process.kernel);
        all.filter(|process| {
            let [dir, life] = procfs::environment_values(process.pid, ["E2E_TEST_DIR", "LIFE"]);
            dir.as_deref() == Some(mark) && life.and_then(|life| life.parse().ok()).is_some_and(&is_meant)
        })
        .collect()
    }

    /// What there is to look into afterwards.
    fn keep(&self) {
        let kept = format!("{}/torture-seed-{}", env!("CARGO_TARGET_TMPDIR"), self.seed);
        let _ = std::fs::remove_dir_all(&kept);
        let _ = std::process::Command::new("cp").arg("-r").arg(self.world.root()).arg(&kept).status();
        eprintln!("kept in {kept}");
    }
}

fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).expect("a date")
}

fn is_alive(process: Proc) -> bool {
    procfs::read(process.pid).ok().flatten().is_some_and(|now| now.start == process.start && !now.zombie)
}

/// The guard is our child and was not waited for: its number is its own.
fn signal(life: &Life, signal: Signal) {
    if let Some(pid) = procfs::raw_pid(life.guard.id()) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn end(guard: &mut Child) -> ExitStatus {
    let mut status = None;
    eventually("the end of the guard", || {
        status = guard.try_wait().expect("ours");
        status.is_some()
    });
    status.expect("it ended")
}

/// Seeds from `first` on, some at a time, until there were enough rounds. Returns what is to be said of it.
fn torture(first: u64, rounds: u64, of_a_seed: u64, at_a_time: usize) -> (String, Vec<String>) {
    let seeds = rounds.div_ceil(of_a_seed);
    let next = AtomicU64::new(0);
    let work = || {
        let mut all = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= seeds {
                return all;
            }
            all.push(Torture::new(first + n).run(of_a_seed));
        }
    };
    let done: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..at_a_time).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    let sum = |of: fn(&Counts) -> usize| done.iter().map(|(counts, _)| of(counts)).sum::<usize>();
    let (mut deaths, mut results) = (BTreeMap::new(), BTreeMap::new());
    for (counts, _) in &done {
        counts.deaths.iter().for_each(|(death, n)| *deaths.entry(*death).or_insert(0) += n);
        counts.results.iter().for_each(|(result, n)| *results.entry(result.clone()).or_insert(0) += n);
    }
    let violations: Vec<String> = done.iter().flat_map(|(_, violations)| violations.clone()).collect();
    let mut text = String::new();
    let _ = write!(
        text,
        "seeds {first}..={}, rounds {}, deaths {deaths:?}\nstarts {}, ends {}, stops {}, leftovers met {}\n\
         runs {}, attempts {}, lost {}, unrecorded {}, numbers used again {}, results {results:?}\nviolations {}",
        first + seeds - 1,
        done.iter().map(|(counts, _)| counts.rounds).sum::<u64>(),
        sum(|c| c.starts),
        sum(|c| c.ends),
        sum(|c| c.stops),
        sum(|c| c.leftovers),
        sum(|c| c.runs),
        sum(|c| c.attempts),
        sum(|c| c.lost),
        sum(|c| c.unrecorded),
        sum(|c| c.numbers_used_again),
        violations.len(),
    );
    (text, violations)
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

#[test]
fn whoever_is_killed_at_whatever_moment_nothing_is_lost_and_nothing_runs_twice() {
    let (text, violations) = torture(1, 24, 8, 3);
    assert!(violations.is_empty(), "{text}\n{violations:#?}");
}

#[test]
#[ignore = "some minutes"]
fn hundreds_of_rounds() {
    let (rounds, first) = (number("MHO_TORTURE_ROUNDS", 300), number("MHO_TORTURE_SEED", 1));
    let (text, violations) = torture(first, rounds, ROUNDS_OF_A_SEED, 3);
    println!("{text}");
    assert!(violations.is_empty(), "{violations:#?}");
}
