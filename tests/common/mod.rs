//! The built binary under test: a directory with a configuration, the daemon in it, and the certainty that nothing survives the test.
#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use chrono::NaiveDateTime;
use mho::adapters::procfs::{self, Proc, Snapshot};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Whatever is waited for in these tests comes within this time, or never: generous, for a slow machine with much else to do.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Every process of a test carries this variable with the test's directory.
const MARK: &str = "E2E_TEST_DIR";

/// Daemons of tests run side by side, and there is one default port.
const NO_TCP: (&str, &str) = ("MHO__HTTP__LISTEN", "");

/// Variables of whoever runs the tests that would change what is tested.
const FOREIGN: [&str; 4] = ["TRADING_", "MARKET_", "MHO_", "FAKETIME"];

/// A directory of its own, with a configuration.
pub struct World {
    dir: tempfile::TempDir,
}

impl World {
    /// Without any file.
    pub fn empty() -> Self {
        Self { dir: tempfile::Builder::new().prefix("mho-e2e-").tempdir().expect("a directory") }
    }

    /// With `config` as mho.toml.
    pub fn new(config: &str) -> Self {
        let world = Self::empty();
        world.write("mho.toml", config);
        world
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("below the directory")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    pub fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// What was written with `echo N > name`, as soon as it is complete.
    pub fn number(&self, name: &str) -> u32 {
        let read = || self.read(name).strip_suffix('\n').and_then(|text| text.trim().parse().ok());
        eventually(&format!("a number in {name}"), || read().is_some());
        read().expect("a number")
    }

    /// `mho` in this directory, in a clean environment.
    pub fn mho(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mho"));
        self.prepare(&mut command);
        if args.first() != Some(&"run") {
            command.env_remove(NO_TCP.0);
        }
        command.args(args);
        command
    }

    /// Makes `command` one of this test: its directory, its mark, nothing of the environment that would change what is tested.
    pub fn prepare(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            if FOREIGN.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes())) {
                command.env_remove(name);
            }
        }
        command.env(MARK, self.root()).env(NO_TCP.0, NO_TCP.1).current_dir(self.root()).stdin(Stdio::null());
    }

    /// Runs a verb to its end.
    pub fn cli(&self, args: &[&str]) -> Done {
        done(self.mho(args))
    }

    /// A rehearsal of mho.toml that starts at `at`.
    pub fn rehearse(self, at: &str) -> Daemon {
        self.run(&["--at", at])
    }

    /// The same with a market clock that runs `speed` times as fast.
    pub fn rehearse_fast(self, at: &str, speed: u32) -> Daemon {
        self.run(&["--at", at, "--speed", &speed.to_string()])
    }

    /// The daemon, with these flags of `run`.
    pub fn run(self, flags: &[&str]) -> Daemon {
        let command = self.mho(&["run"]);
        self.run_as(command, flags)
    }

    /// A rehearsal of what `mho init` wrote.
    pub fn run_as_initialised(self) -> Daemon {
        let mut command = self.mho(&["run", "--at", "2026-11-30T12:00:00"]);
        command.args(["--config", "config/mho.toml"]);
        self.spawn(command)
    }

    /// The daemon, started by a whole `command`.
    pub fn run_plain(self, command: Command) -> Daemon {
        self.spawn(command)
    }

    /// The daemon, started by `command`, which ends in `mho run`.
    pub fn run_as(self, mut command: Command, flags: &[&str]) -> Daemon {
        command.args(["--config", "mho.toml"]).args(flags);
        self.spawn(command)
    }

    fn spawn(self, command: Command) -> Daemon {
        Daemon { guard: self.start(command), world: self }
    }

    fn start(&self, mut command: Command) -> Child {
        let stderr = std::fs::File::options().create(true).append(true).open(self.path("stderr")).expect("a file");
        command.arg("--state-dir").arg(self.path("state")).arg("--log-dir").arg(self.path("logs"));
        command.stdout(Stdio::null()).stderr(stderr).spawn().expect("mho starts")
    }

    /// All living processes of this test.
    pub fn processes(&self) -> Vec<Proc> {
        let Ok(snapshot) = Snapshot::take() else { return Vec::new() };
        let (mark, id) = (self.root().to_str().expect("text"), self.read("state/id"));
        let ours = |process: &Proc| {
            let [by_mark, by_id] = procfs::environment_values(process.pid, [MARK, "MHO_DAEMON_ID"]);
            by_mark.as_deref() == Some(mark) || !id.is_empty() && by_id.as_deref() == Some(id.trim())
        };
        snapshot
            .iter()
            .filter(|process| !process.zombie && process.pid != std::process::id() && ours(process))
            .collect()
    }
}

impl Drop for World {
    /// Also after a panic: whatever carries this test's mark is killed.
    fn drop(&mut self) {
        for _ in 0..200 {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            for process in left {
                procfs::send(process, &[rustix::process::Signal::KILL]);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// How a verb ended.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Done {
    /// Stdout as one JSON value.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("not JSON alone: {error}: {self:?}"))
    }

    /// Stdout as one JSON object a line.
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON: {error}: {line}"));
        self.out.lines().map(parse).collect()
    }
}

/// By another process: a test beside this one that forks while this one writes the copy would keep it from being run ("text file busy").
pub fn copy_program(to: &Path) {
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_mho")).arg(to).status().expect("cp runs");
    assert!(copied.success());
}

pub fn done(mut command: Command) -> Done {
    let output = command.output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Done { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

/// A daemon at work, behind its guard.
pub struct Daemon {
    pub guard: Child,
    world: World,
}

impl Deref for Daemon {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- stderr of the daemon ---\n{}", self.stderr());
        }
        let _ = self.guard.kill();
        let _ = self.guard.wait();
    }
}

impl Daemon {
    pub fn stderr(&self) -> String {
        self.world.read("stderr")
    }

    /// The lines of orchestrator_main.log, whole ones only.
    pub fn log(&self) -> Vec<String> {
        whole_lines(&self.world.read("logs/orchestrator_main.log"))
    }

    /// Waits for a line of the main log with all these `parts` in it.
    pub fn wait_for(&self, parts: &[&str]) -> String {
        let find = || self.log().into_iter().find(|line| parts.iter().all(|part| line.contains(part)));
        eventually(&format!("a line of the log with {parts:?}"), || find().is_some());
        find().expect("it was there")
    }

    /// Lines of the main log with all these `parts`.
    pub fn lines_with(&self, parts: &[&str]) -> Vec<String> {
        self.log().into_iter().filter(|line| parts.iter().all(|part| line.contains(part))).collect()
    }

    pub fn count(&self, parts: &[&str]) -> usize {
        self.lines_with(parts).len()
    }

    pub fn guard_pid(&self) -> u32 {
        self.guard.id()
    }

    /// The process behind the guard.
    pub fn daemon_pid(&self) -> u32 {
        self.wait_for(&["INFO: mho ", " started with PID "]);
        let line = self.lines_with(&["INFO: mho ", " started with PID "]).pop().expect("it was there");
        let (_, rest) = line.split_once(" with PID ").expect("it says so");
        rest.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a pid")
    }

    pub fn tell_guard(&self, signal: Signal) {
        send(self.guard_pid(), signal);
    }

    /// Waits for the guard's end.
    pub fn end(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.guard.try_wait().expect("ours") {
                return status;
            }
            assert!(start.elapsed() < DEADLINE, "the daemon did not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL to the guard and to the daemon behind it: nobody is left to stop the scripts.
    pub fn die(&mut self) {
        let daemon = self.daemon_pid();
        // A stopped guard cannot notice that the daemon is gone before it is gone itself.
        send(self.guard_pid(), Signal::SIGSTOP);
        send(daemon, Signal::SIGKILL);
        send(self.guard_pid(), Signal::SIGKILL);
        self.end();
        eventually("the daemon is gone", || !alive(daemon));
    }

    /// Another daemon in the place of one that has ended, with these flags of `run`.
    pub fn again(&mut self, flags: &[&str]) {
        let mut command = self.world.mho(&["run", "--config", "mho.toml"]);
        command.args(flags);
        self.guard = self.world.start(command);
    }

    /// Ends it in order.
    pub fn stop(&mut self) {
        self.tell_guard(Signal::SIGTERM);
        assert_eq!(self.end().code(), Some(0));
        assert!(self.processes().is_empty(), "{:?}", self.processes());
    }
}

fn whole_lines(text: &str) -> Vec<String> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(str::to_owned).collect()
}

/// When a line of the log was written, on the market clock.
pub fn at(line: &str) -> NaiveDateTime {
    let stamp = line.get(..19).unwrap_or_default();
    NaiveDateTime::parse_from_str(stamp, "%Y-%m-%d %H:%M:%S").unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Whole seconds from one line to a later one.
pub fn seconds_between(earlier: &str, later: &str) -> i64 {
    (at(later) - at(earlier)).num_seconds()
}

/// Seconds by which the line is later than the time `HH:MM:SS` of its day.
pub fn seconds_after(time: &str, line: &str) -> i64 {
    let time = time.parse().expect("a time");
    (at(line) - at(line).date().and_time(time)).num_seconds()
}

pub fn alive(pid: u32) -> bool {
    procfs::read(pid).expect("/proc").is_some_and(|process| !process.zombie)
}

pub fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).expect("sent");
}

/// As `ulimit -f` or LimitFSIZE= would; None: files may grow as before.
pub fn limit_file_size(daemon: u32, bytes: Option<u64>) {
    let before = rustix::process::getrlimit(rustix::process::Resource::Fsize);
    let value = rustix::process::Rlimit { current: bytes.or(before.current), maximum: before.maximum };
    rustix::process::prlimit(procfs::raw_pid(daemon), rustix::process::Resource::Fsize, value).expect("set");
}

/// Polls until `holds`.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "{what} did not come true in time");
        std::thread::sleep(Duration::from_millis(10));
    }
}
