//! Many scripts that end and are started again, thousands of times: what the daemon and its guard use stays what it was, and nothing is left.
//!
//! The long version: `cargo test --release --test soak -- --ignored --nocapture`, with `MHO_SOAK_RESTARTS=10000` restarts of
//! `MHO_SOAK_SCRIPTS=200` scripts.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use common::{Daemon, World};
use mho::adapters::procfs::Snapshot;

/// In the middle of a trading day.
const NOON: &str = "2026-11-30T12:00:00";

/// Between two looks.
const LOOK_EACH: Duration = Duration::from_millis(50);

/// A child that ended is waited for long before this, also where hundreds end at once and others want the processor.
const ZOMBIE_PATIENCE: Duration = Duration::from_secs(5);

/// Memory may grow by a tenth, or by this where a tenth is less: caches fill up to their limits.
const MORE_KIB: u64 = 2048;

/// How many starts are under way differs from look to look, and each has its pipes: so much is no leak. One descriptor lost per restart would be.
const MORE_FDS: u64 = 40;

/// The journal has a row for each attempt: so much each, beside what it has in any case.
const JOURNAL_BYTES: (u64, u64) = (1024, 8 << 20);

/// A process as it is at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    rss_kib: u64,
    fds: u64,
    threads: u64,
}

impl Sample {
    fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("there is such a line");
            line.split_whitespace().next().and_then(|text| text.parse().ok()).expect("a number")
        };
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").count() as u64;
        Self { rss_kib: value("VmRSS:"), fds, threads: value("Threads:") }
    }

    /// Of each value the one in the middle.
    fn median(samples: &[Self]) -> Self {
        let middle = |of: fn(&Self) -> u64| {
            let mut all: Vec<u64> = samples.iter().map(of).collect();
            all.sort_unstable();
            all[all.len() / 2]
        };
        Self { rss_kib: middle(|s| s.rss_kib), fds: middle(|s| s.fds), threads: middle(|s| s.threads) }
    }
}

/// The daemon or the guard, over time.
#[derive(Default)]
struct Watched {
    name: &'static str,
    pid: u32,
    /// With the number of starts before it.
    samples: Vec<(u64, Sample)>,
    /// Since when each child is one.
    zombies: BTreeMap<(u32, u64), Instant>,
    longest_zombie: Duration,
}

impl Watched {
    fn look(&mut self, starts: u64, snapshot: &Snapshot) {
        self.samples.push((starts, Sample::of(self.pid)));
        let children = snapshot.iter().filter(|process| process.zombie && process.parent == self.pid);
        let present: BTreeSet<_> = children.map(|process| process.id()).collect();
        self.zombies.retain(|child, _| present.contains(child));
        for child in present {
            let since = *self.zombies.entry(child).or_insert_with(Instant::now);
            self.longest_zombie = self.longest_zombie.max(since.elapsed());
        }
    }

    /// The first and the last third of what comes after the first tenth of all starts.
    fn thirds(&self) -> (Sample, Sample) {
        let last = self.samples.last().map_or(0, |(starts, _)| *starts);
        let part = |from: u64, to: u64| {
            let within = |(starts, _): &&(u64, Sample)| (last * from / 10..=last * to / 10).contains(starts);
            let samples: Vec<_> = self.samples.iter().filter(within).map(|(_, sample)| *sample).collect();
            assert!(!samples.is_empty(), "nobody looked at the {}", self.name);
            Sample::median(&samples)
        };
        (part(1, 4), part(7, 10))
    }

    fn assert_flat(&self) {
        let (early, late) = self.thirds();
        let name = self.name;
        let allowed = early.rss_kib + (early.rss_kib / 10).max(MORE_KIB);
        assert!(late.rss_kib <= allowed, "memory of the {name} grows: {early:?}, then {late:?}");
        assert!(late.fds <= early.fds + MORE_FDS, "the {name} loses descriptors: {early:?}, then {late:?}");
        assert!(late.threads <= early.threads, "the {name} has more and more threads: {early:?}, then {late:?}");
        assert!(self.longest_zombie < ZOMBIE_PATIENCE, "the {name} leaves a zombie for {:?}", self.longest_zombie);
    }
}

/// The scripts end by themselves, write a line, and are started again after a moment.
fn config(scripts: u64) -> String {
    let mut text = r#"
[orchestrator]
log_level = "warning"
[defaults]
restart = { policy = "always", initial_delay = "100ms", max_delay = "100ms", max_restarts = 1000000, within = "1s" }
"#
    .to_owned();
    for n in 0..scripts {
        let _ =
            write!(text, "[[script]]\nname = \"s{n}\"\ncommand = [\"sh\", \"-c\", \"echo line; echo x >>starts\"]\n");
    }
    text
}

fn size(daemon: &Daemon, name: &str) -> u64 {
    fs::metadata(daemon.path(name)).map_or(0, |data| data.len())
}

/// Each wrote two bytes.
fn starts(daemon: &Daemon) -> u64 {
    size(daemon, "starts") / 2
}

/// Returns what there is to say of it.
fn soak(scripts: u64, restarts: u64) -> String {
    let mut daemon = World::new(&config(scripts)).run(&["--at", NOON, "--log-level", "info"]);
    let begin = Instant::now();
    let pids = [("daemon", daemon.daemon_pid()), ("guard", daemon.guard_pid())];
    let mut watched = pids.map(|(name, pid)| Watched { name, pid, ..Watched::default() });
    let enough = scripts + restarts;
    while starts(&daemon) < enough {
        let snapshot = Snapshot::take().expect("/proc");
        for process in &mut watched {
            process.look(starts(&daemon), &snapshot);
        }
        assert!(begin.elapsed() < Duration::from_secs(60) + Duration::from_millis(50) * restarts as u32, "too slow");
        std::thread::sleep(LOOK_EACH);
    }
    let took = begin.elapsed();
    let log = size(&daemon, "state/mho.db-wal");
    daemon.stop();
    let journal = size(&daemon, "state/mho.db");
    let connection = rusqlite::Connection::open(daemon.path("state/mho.db")).expect("opened");
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("counted").cast_unsigned();
    let attempts = number("SELECT count(*) FROM attempts");
    let open = number("SELECT count(*) FROM attempts WHERE result IS NULL");
    let mut text = format!(
        "{scripts} scripts, {} starts in {took:.1?}; journal {} KiB for {attempts} attempts, its log {} KiB\n",
        starts(&daemon),
        journal >> 10,
        log >> 10
    );
    for process in &watched {
        let ((early, late), zombie) = (process.thirds(), process.longest_zombie);
        let _ = writeln!(text, "{}: {early:?}, later {late:?}; longest zombie {zombie:?}", process.name);
    }
    for process in &watched {
        process.assert_flat();
    }
    // An attempt that is stopped before it has written its line is one all the same.
    assert!(attempts >= starts(&daemon) && attempts <= starts(&daemon) + scripts, "{text}");
    assert_eq!(open, 0, "{text}");
    let (each, base) = JOURNAL_BYTES;
    assert!(journal <= base + each * attempts && log <= base + each * attempts, "{text}");
    text
}

#[test]
fn hundreds_of_restarts_leave_memory_descriptors_and_threads_as_they_were() {
    soak(20, 500);
}

#[test]
#[ignore = "half a minute, and both cores"]
fn ten_thousand_restarts_of_two_hundred_scripts() {
    let number = |name: &str, default| {
        std::env::var(name)
            .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
    };
    println!("{}", soak(number("MHO_SOAK_SCRIPTS", 200), number("MHO_SOAK_RESTARTS", 10_000)));
}
