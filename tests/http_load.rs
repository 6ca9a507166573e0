//! Everybody watches, and asks without end, while scripts crash and start: supervision does not notice, and memory has an end.
//!
//! For figures: `MHO_LOAD_SECONDS=30 cargo test --release --test http_load -- --nocapture` prints how late boundaries and restarts were met
//! before and under the load.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::{Daemon, World, eventually};

/// As many streams as fit.
const STREAMS: usize = 200;

/// Clients that ask again as soon as they are answered.
const CLIENTS: usize = 8;

/// Scripts that crash all the time.
const CRASHING: usize = 8;

/// However long it lasts, the daemon needs no more than this for each stream, beside what the stream began with twice: the status.
const MORE_KIB_EACH: u64 = 32;

/// What is asked in the flood.
const PATHS: [&str; 6] = [
    "/api/v1/status",
    "/metrics",
    "/api/v1/timeline",
    "/api/v1/history",
    "/api/v1/next?n=100",
    "/api/v1/scripts/crash-1/log?tail=200",
];

fn seconds() -> u64 {
    std::env::var("MHO_LOAD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

/// Some crash and start again; of the others one starts each second.
fn config(begin: u32, length: u64) -> String {
    // What they print and how they end is of no interest here.
    let mut text = "[orchestrator]\nlog_level = \"error\"\n".to_owned();
    let policy = "restart = { initial_delay = \"200ms\", max_delay = \"200ms\", max_restarts = 1000000 }";
    for n in 0..CRASHING {
        let _ = writeln!(
            text,
            "[[script]]\nname = \"crash-{n}\"\ncommand = [\"sh\", \"-c\", \"echo up; exit 1\"]\n{policy}"
        );
    }
    for n in 0..u32::try_from(length).expect("few") {
        let (minute, second) = ((begin + n) / 60, (begin + n) % 60);
        let _ = writeln!(
            text,
            "[[script]]\nname = \"start-{n}\"\ncommand = [\"true\"]\nstart = \"12:{minute:02}:{second:02}\"\nrestart = {{ policy = \"never\" }}"
        );
    }
    text
}

/// A connection that stays, and what was answered.
struct Client(BufReader<UnixStream>);

impl Client {
    fn new(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        Self(BufReader::new(stream))
    }

    fn send(&mut self, path: &str) {
        write!(self.0.get_mut(), "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
    }

    /// The code, and how long the body is; none for one that has no end.
    fn head(&mut self) -> (u16, Option<usize>) {
        let (mut code, mut length) = (0, None);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("an answer");
            let line = line.trim_end().to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().ok(),
                Some(_) => {}
                None if line.is_empty() => return (code, length),
                None => code = line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a code"),
            }
        }
    }

    fn ask(&mut self, path: &str) -> (u16, String) {
        self.send(path);
        let (code, length) = self.head();
        let mut body = vec![0; length.expect("a body with an end")];
        self.0.read_exact(&mut body).expect("all of it");
        (code, String::from_utf8(body).expect("text"))
    }
}

/// Sum and count of the two histograms, and the buckets.
fn lateness(socket: &Path) -> BTreeMap<String, f64> {
    let (code, text) = Client::new(socket).ask("/metrics");
    assert_eq!(code, 200);
    let is_wanted = |line: &&str| line.starts_with("mho_boundary_lag") || line.starts_with("mho_restart_latency");
    let values = text.lines().filter(is_wanted).filter_map(|line| line.rsplit_once(' '));
    values.map(|(name, value)| (name.to_owned(), value.parse().expect("a number"))).collect()
}

/// What came between two looks: how many, and how late in the mean, in milliseconds.
fn between(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>, name: &str) -> (f64, f64) {
    let grown = |part: &str| {
        let key = format!("mho_{name}_seconds_{part}");
        after.get(&key).copied().unwrap_or(0.0) - before.get(&key).copied().unwrap_or(0.0)
    };
    (grown("count"), 1000.0 * grown("sum") / grown("count").max(1.0))
}

/// The share of what came between two looks that was met within so many seconds.
fn within(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>, name: &str) -> String {
    let total = between(before, after, name).0;
    let mut text = String::new();
    for (key, value) in after.iter().filter(|(key, _)| key.starts_with(&format!("mho_{name}_seconds_bucket"))) {
        let share = (value - before.get(key).copied().unwrap_or(0.0)) / total.max(1.0) * 100.0;
        let _ = write!(text, " {}:{share:.0}%", key.split('"').nth(1).unwrap_or_default());
    }
    text
}

fn memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid)).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Its log tells only of errors here.
fn daemon_pid(daemon: &Daemon) -> u32 {
    let pid = daemon.cli(&["status", "--json", "--config", "mho.toml", "--state-dir", "state"]).json()["pid"].as_u64();
    pid.and_then(|pid| u32::try_from(pid).ok()).expect("a pid")
}

fn report(when: &str, before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>, memory: u64) -> (f64, f64) {
    let (boundaries, lag) = between(before, after, "boundary_lag");
    let (restarts, latency) = between(before, after, "restart_latency");
    eprintln!("{when}: {boundaries} boundaries, {lag:.2} ms late;{}", within(before, after, "boundary_lag"));
    eprintln!("{when}: {restarts} restarts, {latency:.2} ms late;{}", within(before, after, "restart_latency"));
    eprintln!("{when}: the daemon has {memory} KiB at most");
    (boundaries, restarts)
}

/// Reads the events, all of them, until it is over.
fn watch(socket: &Path, is_over: &AtomicBool, (watching, events): (&AtomicUsize, &AtomicUsize)) {
    let mut client = Client::new(socket);
    client.send("/api/v1/events");
    assert_eq!(client.head().0, 200);
    watching.fetch_add(1, Ordering::Relaxed);
    let mut piece = [0; 65536];
    while !is_over.load(Ordering::Relaxed) {
        match client.0.read(&mut piece) {
            Ok(0) => panic!("the stream ended"),
            Ok(_) => events.fetch_add(1, Ordering::Relaxed),
            Err(error) => panic!("nothing for so long: {error}"),
        };
    }
}

fn flood(socket: &Path, is_over: &AtomicBool, answers: &AtomicUsize) {
    let mut client = Client::new(socket);
    for path in PATHS.iter().cycle() {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        client.send(path);
        let (code, length) = client.head();
        assert_eq!(code, 200, "{path}");
        match length {
            Some(length) => drop(client.0.read_exact(&mut vec![0; length])),
            // A log comes in pieces; the next request has a connection of its own.
            None => client = Client::new(socket),
        }
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn supervision_does_not_notice_who_watches_and_memory_has_an_end() {
    let length = seconds();
    // Some time to come up, some without and some under load.
    let daemon = World::new(&config(1, 3 * length + 30)).rehearse("2026-11-30T12:00:00");
    let socket: PathBuf = daemon.path("state/mho.sock");
    eventually("scripts crash", || daemon.count(&["Script exited with return code: 1"]) > 2 * CRASHING);
    let pid = daemon_pid(&daemon);
    let idle = memory_kib(pid);
    let status_kib = Client::new(&socket).ask("/api/v1/status").1.len() as u64 / 1024 + 1;
    let begin = lateness(&socket);
    thread::sleep(Duration::from_secs(length));
    let quiet = lateness(&socket);
    let (_, before) = report("quiet", &begin, &quiet, memory_kib(pid));

    let is_over = AtomicBool::new(false);
    let [watching, events, answers] = [const { AtomicUsize::new(0) }; 3];
    let (loaded, end, memory): (_, _, u64) = thread::scope(|scope| {
        // The clients must not take from supervision what those on other machines do not take.
        for _ in 0..STREAMS {
            scope.spawn(|| polite(|| watch(&socket, &is_over, (&watching, &events))));
        }
        for _ in 0..CLIENTS {
            scope.spawn(|| polite(|| flood(&socket, &is_over, &answers)));
        }
        eventually("all watch", || watching.load(Ordering::Relaxed) == STREAMS);
        let loaded = lateness(&socket);
        let mut memory = 0;
        for _ in 0..10 * length {
            thread::sleep(Duration::from_millis(100));
            memory = memory.max(memory_kib(pid));
        }
        let seen = (loaded, lateness(&socket), memory);
        is_over.store(true, Ordering::Relaxed);
        seen
    });
    let (boundaries, restarts) = report("loaded", &loaded, &end, memory);
    let (events, answers) = (events.load(Ordering::Relaxed), answers.load(Ordering::Relaxed));
    eprintln!("loaded: {answers} answers, {events} reads of {STREAMS} streams, in about {length} s");
    assert!(boundaries >= 1.0, "scripts start when they are due");
    assert!(restarts > before / 4.0, "{restarts} restarts in the time in which there were {before}");
    let most = idle + STREAMS as u64 * (2 * status_kib + MORE_KIB_EACH);
    assert!(memory < most, "{idle} KiB became {memory} KiB, with a status of {status_kib} KiB");
    thread::sleep(Duration::from_secs(1));
    eprintln!("after: the daemon has {} KiB; a status has {status_kib} KiB", memory_kib(pid));
}

/// Does it at the lowest priority that there is.
fn polite(act: impl FnOnce()) {
    let _ = rustix::process::setpriority_process(None, 19);
    act();
}
