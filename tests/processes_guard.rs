//! Whoever dies, guard or daemon: nothing that the daemon started is left.
//!
//! The tests run this file again as the program under test, which has to be alone in its process when it makes the guard. The usual harness
//! has threads by then, so this file has a small one of its own; it speaks the language of the runners (`--list`, `NAME --exact`).

mod processes_support;

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use mho::adapters::signals::{DaemonSignal, Signals};
use mho::guard::{self, DaemonSide};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use processes_support::{DEADLINE, alive, eventually, kill_marked};

const DIR: &str = "MHO_TEST_GUARD_DIR";

fn main() -> ExitCode {
    match std::env::var_os(DIR).map(PathBuf::from) {
        Some(dir) => guard::run(|side| daemon(&dir, side)).into(),
        None => harness(std::env::args().skip(1).collect()),
    }
}

fn harness(args: Vec<String>) -> ExitCode {
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let wanted: Vec<_> = args.iter().filter(|arg| !arg.starts_with("--") && *arg != "terse").collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let fits = |name: &str| {
        wanted.is_empty() || wanted.iter().any(|word| *word == name || !has("--exact") && name.contains(*word))
    };
    for (name, test) in TESTS.iter().filter(|(name, _)| fits(name) && !has("--ignored")) {
        if has("--list") {
            println!("{name}: test");
        } else {
            println!("test {name}");
            runtime.block_on(test());
        }
    }
    ExitCode::SUCCESS
}

type Test = fn() -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! tests {
    ($($name:ident)*) => { &[$((stringify!($name), || Box::pin($name()))),*] };
}

const TESTS: &[(&str, Test)] = tests! {
    when_the_daemon_is_killed_all_its_descendants_are_stopped_politely
    what_ignores_the_guard_is_killed_at_the_longest_grace
    when_the_guard_is_killed_the_daemon_is_told_to_end
    the_daemons_own_code_is_the_guards_and_what_it_left_is_stopped
    hangup_is_handed_on_and_nothing_ends
    abort_kills_a_daemon_that_hangs_and_stops_everything
    a_daemon_that_hears_nothing_is_killed_some_time_after_the_second_request
    what_the_guard_has_no_use_for_ends_nobody
    an_ignored_hangup_is_not_inherited_by_daemon_or_script
};

/// Starts `script`, says so, and ends with code 7 when told to.
#[expect(clippy::zombie_processes, reason = "that somebody else cleans up is the point")]
fn daemon(dir: &Path, side: &DaemonSide) -> u8 {
    side.set_longest_grace(Duration::from_millis(800));
    let script = std::fs::read_to_string(dir.join("script")).expect("a script");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut signals = Signals::new().expect("handlers");
        let is_deaf = dir.join("deaf").exists();
        Command::new("/bin/sh").args(["-c", &script]).current_dir(dir).process_group(0).spawn().expect("started");
        std::fs::write(dir.join("daemon"), format!("{}\n", std::process::id())).expect("written");
        loop {
            let signal = signals.next().await;
            if is_deaf {
                continue;
            }
            std::fs::write(dir.join(format!("{signal:?}")), "").expect("written");
            if signal != DaemonSignal::Hangup {
                return 7;
            }
        }
    })
}

struct Run {
    dir: tempfile::TempDir,
    guard: Child,
}

impl Run {
    async fn start(script: &str) -> Self {
        Self::start_with(script, Command::new(std::env::current_exe().expect("this file"))).await
    }

    async fn start_with(script: &str, mut command: Command) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("script"), script).expect("written");
        if script == HEARS_NOTHING {
            std::fs::write(dir.path().join("deaf"), "").expect("written");
        }
        command.env(DIR, dir.path()).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        let run = Self { dir, guard: command.spawn().expect("started") };
        run.number("daemon").await;
        run
    }

    async fn number(&self, name: &str) -> u32 {
        let path = self.dir.path().join(name);
        let read = || std::fs::read_to_string(&path).ok()?.strip_suffix('\n')?.parse().ok();
        eventually(name, || read().is_some()).await;
        read().expect("a number")
    }

    fn has(&self, name: &str) -> bool {
        self.dir.path().join(name).exists()
    }

    fn guard(&self) -> u32 {
        self.guard.id()
    }

    async fn end(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.guard.try_wait().expect("ours") {
                return status;
            }
            assert!(start.elapsed() < DEADLINE, "the guard did not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        kill_marked(DIR, self.dir.path().to_str().expect("text"));
        let _ = self.guard.wait();
    }
}

fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).expect("sent");
}

/// A polite script with a grandchild, and an escapee in a session of its own.
const FAMILY: &str = "setsid sh -c 'echo $$ >escapee; exec sleep 300' & sh -c 'echo $$ >grandchild; exec sleep 300' & \
                      trap 'echo >polite; exit' TERM; echo $$ >leader; while :; do sleep 0.01; done";

/// Of a daemon that does not act on any signal.
const HEARS_NOTHING: &str = ": of the deaf; echo $$ >leader; exec sleep 300";

/// Does not end on SIGTERM.
const DEAF: &str = "trap '' TERM; sh -c 'echo $$ >grandchild; sleep 300' & echo $$ >leader; while :; do sleep 1; done";

async fn when_the_daemon_is_killed_all_its_descendants_are_stopped_politely() {
    let mut run = Run::start(FAMILY).await;
    let mut pids = Vec::new();
    for name in ["leader", "grandchild", "escapee"] {
        pids.push(run.number(name).await);
    }
    let daemon = run.number("daemon").await;
    let before = Instant::now();
    send(daemon, Signal::SIGKILL);
    assert_eq!(run.end().await.code(), Some(1));
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    assert!(pids.into_iter().all(|pid| !alive(pid)));
    assert!(run.has("polite"), "it could clean up");
}

async fn what_ignores_the_guard_is_killed_at_the_longest_grace() {
    let mut run = Run::start(DEAF).await;
    let (leader, grandchild) = (run.number("leader").await, run.number("grandchild").await);
    let before = Instant::now();
    send(run.number("daemon").await, Signal::SIGKILL);
    run.end().await;
    assert!(before.elapsed() >= Duration::from_millis(800), "{:?}", before.elapsed());
    assert!(before.elapsed() < Duration::from_secs(3), "{:?}", before.elapsed());
    assert!(!alive(leader) && !alive(grandchild));
}

async fn when_the_guard_is_killed_the_daemon_is_told_to_end() {
    let run = Run::start("sleep 300").await;
    let daemon = run.number("daemon").await;
    send(run.guard(), Signal::SIGKILL);
    eventually("the daemon ends in order", || run.has("Terminate") && !alive(daemon)).await;
}

async fn the_daemons_own_code_is_the_guards_and_what_it_left_is_stopped() {
    for (signal, heard) in
        [(Signal::SIGTERM, "Terminate"), (Signal::SIGINT, "Interrupt"), (Signal::SIGQUIT, "Terminate")]
    {
        let mut run = Run::start(FAMILY).await;
        let escapee = run.number("escapee").await;
        run.number("leader").await;
        send(run.guard(), signal);
        assert_eq!(run.end().await.code(), Some(7), "{signal}");
        assert!(run.has(heard) && run.has("polite") && !alive(escapee), "{signal}");
    }
}

async fn hangup_is_handed_on_and_nothing_ends() {
    let run = Run::start("echo $$ >leader; exec sleep 300").await;
    let leader = run.number("leader").await;
    for signal in [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGHUP]
    {
        send(run.guard(), signal);
    }
    eventually("the daemon hears the hangup", || run.has("Hangup")).await;
    assert!(alive(leader) && alive(run.guard()));
    let status = std::fs::read_to_string(format!("/proc/{}/status", run.guard())).expect("alive");
    assert!(!status.contains("T (stopped)"), "Ctrl-Z does not suspend the guard");
}

async fn abort_kills_a_daemon_that_hangs_and_stops_everything() {
    let mut run = Run::start(FAMILY).await;
    let daemon = run.number("daemon").await;
    let leader = run.number("leader").await;
    send(daemon, Signal::SIGSTOP);
    send(run.guard(), Signal::SIGABRT);
    let status = run.end().await;
    assert_eq!((status.code(), status.signal()), (Some(1), None));
    assert!(!alive(daemon) && !alive(leader));
}

async fn a_daemon_that_hears_nothing_is_killed_some_time_after_the_second_request() {
    let mut run = Run::start(HEARS_NOTHING).await;
    let (daemon, leader) = (run.number("daemon").await, run.number("leader").await);
    send(run.guard(), Signal::SIGTERM);
    tokio::time::sleep(Duration::from_millis(600)).await;
    let before = Instant::now();
    send(run.guard(), Signal::SIGINT);
    assert_eq!(run.end().await.code(), Some(1));
    assert!(before.elapsed() >= Duration::from_millis(6500), "its own patience is 6 s: {:?}", before.elapsed());
    assert!(!alive(daemon) && !alive(leader));
}

async fn what_the_guard_has_no_use_for_ends_nobody() {
    let mut run = Run::start("echo $$ >leader; exec sleep 300").await;
    let leader = run.number("leader").await;
    // All but those that end it (1, 2, 3, 6, 15), cannot be ignored (9, 19), tell of a fault of its own, or are libc's.
    let fatal = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 15, 19, 31, 32, 33];
    for signal in (1..=64).filter(|signal| !fatal.contains(signal)) {
        // SAFETY: sends a signal, nothing else.
        assert_eq!(unsafe { nix::libc::kill(run.guard().cast_signed(), signal) }, 0, "{signal}");
    }
    send(run.guard(), Signal::SIGHUP);
    eventually("the daemon hears the hangup", || run.has("Hangup")).await;
    assert!(alive(leader) && alive(run.guard()));
    for pid in [run.number("daemon").await, leader] {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("alive");
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("the field");
        // PIPE in the daemon, as in every Rust program; 32 and 33 are libc's.
        let ignored = u64::from_str_radix(ignored.trim(), 16).expect("a number") & !(1 << 12 | 0b11 << 31);
        assert_eq!(ignored, 0, "{status}");
    }
    send(run.guard(), Signal::SIGTERM);
    assert_eq!(run.end().await.code(), Some(7));
}

async fn an_ignored_hangup_is_not_inherited_by_daemon_or_script() {
    let mut command = Command::new("/bin/sh");
    let program = std::env::current_exe().expect("this file");
    command.args(["-c", "trap '' HUP INT; exec \"$0\" \"$@\""]).arg(program);
    let run = Run::start_with("echo $$ >leader; exec sleep 300", command).await;
    for (pid, allowed) in [(run.number("daemon").await, 1 << 12), (run.number("leader").await, 0b11 << 31)] {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("alive");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the field");
            u64::from_str_radix(line.trim_start_matches(':').trim(), 16).expect("a number")
        };
        // The daemon ignores PIPE, as every Rust program; glibc's posix_spawn always leaves its own 32 and 33 ignored.
        assert_eq!((field("SigBlk"), field("SigIgn") & !(allowed | 0b11 << 31)), (0, 0), "{status}");
    }
}
