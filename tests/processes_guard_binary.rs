//! Whoever is killed, guard or daemon, and however it is told to end: what becomes of the scripts of the real program.

mod common;

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use common::{Daemon, World, alive, eventually, send};
use mho::adapters::procfs;
use nix::sys::signal::Signal;

const NOON: &str = "2026-11-30T12:00:00";

/// The promise is 2 s; the rest is a busy test machine.
const SOON: Duration = Duration::from_secs(10);

/// A polite script with a grandchild of its own session; its handler takes a moment, prints, and needs a process of its own to succeed.
const POLITE: &str = r#"
    [[script]]
    name = "polite"
    command = ["sh", "-c", """
        trap 'echo going; sleep 0.3 && echo done >handled; echo gone; exit 0' TERM
        sh -c 'echo $$ >grandchild; exec sleep 300' &
        setsid sh -c 'echo $$ >escapee; exec sleep 300' &
        echo $$ >polite
        while :; do sleep 0.1; done"""]
"#;

/// Does not end on SIGTERM, nor does its child.
const DEAF: &str = r#"
    [[script]]
    name = "deaf"
    stop_grace = "3s"
    command = ["sh", "-c", """
        trap '' TERM
        sh -c 'echo $$ >deaf-child; while :; do sleep 1; done' &
        echo $$ >deaf
        while :; do sleep 1; done"""]
"#;

/// Waits until all are gone and says how long that took.
fn gone(pids: &[u32], since: Instant) -> Duration {
    eventually("all are gone", || pids.iter().all(|pid| !alive(*pid)));
    let took = since.elapsed();
    println!("gone after {took:?}");
    took
}

fn polite() -> (Daemon, Vec<u32>) {
    let daemon = World::new(POLITE).rehearse(NOON);
    let pids = ["polite", "grandchild", "escapee"].map(|name| daemon.number(name)).to_vec();
    (daemon, pids)
}

fn deaf(config: &str) -> (Daemon, Vec<u32>) {
    let daemon = World::new(&format!("{config}{DEAF}")).rehearse(NOON);
    let pids = ["deaf", "deaf-child"].map(|name| daemon.number(name)).to_vec();
    (daemon, pids)
}

#[test]
fn when_the_daemon_is_killed_its_scripts_end_politely_and_the_guard_exits_1() {
    let (mut daemon, pids) = polite();
    let start = Instant::now();
    send(daemon.daemon_pid(), Signal::SIGKILL);
    assert!(gone(&pids, start) < SOON);
    assert_eq!(daemon.end().code(), Some(1));
    assert!(daemon.has("handled"), "nobody reads its output any more, and it is not killed by that");
    assert!(daemon.processes().is_empty());
    let said = daemon.stderr();
    assert!(
        said.contains("mho: the daemon was killed by signal 9 (SIGKILL); everything it started was stopped"),
        "{said}"
    );
}

#[test]
fn when_the_guard_is_killed_the_daemon_ends_its_scripts_in_order() {
    let (mut daemon, pids) = polite();
    let itself = daemon.daemon_pid();
    let start = Instant::now();
    daemon.tell_guard(Signal::SIGKILL);
    daemon.end();
    assert!(gone(&pids, start) < SOON);
    eventually("the daemon ends", || !alive(itself));
    assert!(daemon.has("handled"));
    daemon.wait_for(&["Script stopped gracefully", "script=polite"]);
    daemon.wait_for(&["All scripts stopped. Goodbye."]);
    eventually("nothing is left", || daemon.processes().is_empty());
}

#[test]
fn when_the_daemon_is_killed_the_deaf_are_killed_at_the_longest_grace() {
    let (mut daemon, pids) = deaf("defaults = { stop_grace = \"1s\" }\n");
    let start = Instant::now();
    send(daemon.daemon_pid(), Signal::SIGKILL);
    let took = gone(&pids, start);
    assert!(took >= Duration::from_secs(3), "never early: {took:?}");
    assert!(took < Duration::from_secs(3) + SOON, "{took:?}");
    assert_eq!(daemon.end().code(), Some(1));
    assert!(daemon.processes().is_empty());
}

#[test]
fn when_the_guard_is_killed_the_deaf_are_killed_at_their_grace() {
    let (mut daemon, pids) = deaf("");
    let start = Instant::now();
    daemon.tell_guard(Signal::SIGKILL);
    daemon.end();
    let took = gone(&pids, start);
    assert!(took >= Duration::from_secs(3), "never early: {took:?}");
    daemon.wait_for(&["WARNING: Script did not stop gracefully. Force killing... script=deaf"]);
    eventually("nothing is left", || daemon.processes().is_empty());
}

#[test]
fn when_both_are_killed_at_once_no_daemon_lives_on() {
    // What is left then is for the next start to sweep; the daemon itself must not live on without its guard.
    let (mut daemon, _) = polite();
    let itself = daemon.daemon_pid();
    daemon.tell_guard(Signal::SIGKILL);
    send(itself, Signal::SIGKILL);
    daemon.end();
    eventually("the daemon is gone", || !alive(itself));
}

#[test]
fn told_once_it_stops_all_in_order_and_exits_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (mut daemon, pids) = polite();
        daemon.tell_guard(signal);
        assert_eq!(daemon.end().code(), Some(0), "{signal}");
        assert!(pids.iter().all(|pid| !alive(*pid)));
        assert!(daemon.has("handled"));
        daemon.wait_for(&[&format!("Shutting down: {signal} received")]);
        daemon.wait_for(&["Stopping script: ", "script=polite"]);
        daemon.wait_for(&["Script stopped gracefully", "script=polite"]);
        assert_eq!(daemon.count(&["Market has closed"]), 0, "that is for the close only");
        let printed = daemon.read("logs/polite/2026-11-30.log");
        assert!(printed.ends_with("going\ngone\n"), "what a handler prints is kept: {printed}");
    }
}

#[test]
fn told_again_later_it_kills_all_at_once_and_exits_1() {
    for (first, second) in [(Signal::SIGTERM, Signal::SIGTERM), (Signal::SIGINT, Signal::SIGTERM)] {
        let daemon = World::new(&DEAF.replace("3s", "500s")).rehearse(NOON);
        let pids = ["deaf", "deaf-child"].map(|name| daemon.number(name));
        let mut daemon = daemon;
        daemon.tell_guard(first);
        daemon.wait_for(&["Stopping trading script"]);
        // Any sooner it would be the same request.
        std::thread::sleep(Duration::from_millis(600));
        daemon.tell_guard(second);
        assert_eq!(daemon.end().code(), Some(1), "{first} {second}");
        assert!(pids.iter().all(|pid| !alive(*pid)));
        daemon.wait_for(&[&format!("WARNING: {second} received again: killing all scripts")]);
    }
}

/// A leader that does `on_term`, and a deaf one that got away, also from the limit it had inherited: nothing shows whose it is. It ends with the
/// directory.
fn with_an_escapee(on_term: &str) -> (Daemon, u32, u32) {
    let config = r#"
        [[script]]
        name = "escaped"
        stop_grace = "300s"
        command = ["sh", "-c", """
            (setsid env -i prlimit --rttime=unlimited /bin/sh -c "trap '' TERM; echo \\$\\$ >escapee; while [ -e mho.toml ]; do sleep 0.1; done" >/dev/null 2>&1 &)
            trap 'ON_TERM' TERM
            echo $$ >leader
            while :; do sleep 0.1; done"""]
    "#;
    let daemon = World::new(&config.replace("ON_TERM", on_term)).rehearse(NOON);
    let (leader, escapee) = (daemon.number("leader"), daemon.number("escapee"));
    let itself = daemon.daemon_pid();
    eventually("it is the daemon's", || procfs::read(escapee).expect("/proc").is_some_and(|p| p.parent == itself));
    (daemon, leader, escapee)
}

#[test]
fn told_again_later_the_guard_gives_no_grace_to_what_the_daemon_left() {
    let (mut daemon, leader, escapee) = with_an_escapee("");
    daemon.tell_guard(Signal::SIGTERM);
    daemon.wait_for(&["Shutting down: SIGTERM received"]);
    std::thread::sleep(Duration::from_millis(600));
    daemon.tell_guard(Signal::SIGTERM);
    assert_eq!(daemon.end().code(), Some(1));
    assert!(!alive(leader) && !alive(escapee));
}

#[test]
fn told_again_when_the_daemon_is_gone_the_guard_kills_what_is_left_and_exits_1() {
    let (mut daemon, leader, escapee) = with_an_escapee("exit 0");
    let itself = daemon.daemon_pid();
    daemon.tell_guard(Signal::SIGTERM);
    eventually("the daemon has ended in order", || !alive(itself));
    daemon.wait_for(&["All scripts stopped. Goodbye."]);
    std::thread::sleep(Duration::from_millis(600));
    assert!(!alive(leader) && alive(escapee));
    daemon.tell_guard(Signal::SIGINT);
    assert_eq!(daemon.end().code(), Some(1));
    assert!(!alive(escapee));
}

#[test]
fn a_daemon_that_somebody_stopped_ends_all_the_same() {
    let (mut daemon, pids) = polite();
    send(daemon.daemon_pid(), Signal::SIGSTOP);
    daemon.tell_guard(Signal::SIGTERM);
    assert_eq!(daemon.end().code(), Some(0));
    assert!(pids.iter().all(|pid| !alive(*pid)));
    assert!(daemon.has("handled"));
}

/// Clock ticks of its time on a processor.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields.get(11).and_then(|ticks| ticks.parse().ok()).unwrap_or_default()
}

#[test]
fn told_to_end_while_it_still_reads_its_command_line_it_is_not_ended_by_the_signal() {
    let world = World::new(DEAF);
    let mut command = world.mho(&["run", "--config", "mho.toml"]);
    // It takes a while to take these apart.
    for _ in 0..12 {
        command.args(["--only", &"x,".repeat(50_000)]);
    }
    command.stderr(std::fs::File::create(world.path("said")).expect("a file"));
    let mut guard = command.spawn().expect("mho starts");
    let children = || std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", guard.id())).unwrap_or_default();
    eventually("it is at it", || ticks(guard.id()) >= 10 || !children().is_empty());
    send(guard.id(), Signal::SIGTERM);
    let end = guard.wait().expect("ours");
    assert!(end.code().is_some(), "{end}");
}

#[test]
fn a_verb_that_only_looks_ends_on_a_signal_as_usual() {
    let world = World::new(DEAF);
    world.write("logs/deaf/2026-11-30.log", "a line\n");
    let mut command = world.mho(&["logs", "deaf", "-f", "--config", "mho.toml"]);
    let mut child =
        command.stdout(std::fs::File::create(world.path("out")).expect("a file")).spawn().expect("mho starts");
    eventually("it follows", || world.read("out") == "a line\n");
    // Not SIGINT: a shell without job control has what it runs in the background ignore that.
    send(child.id(), Signal::SIGTERM);
    let mut end = None;
    eventually("it ends", || {
        end = child.try_wait().expect("ours");
        end.is_some()
    });
    assert_eq!(end.and_then(|end| end.signal()), Some(Signal::SIGTERM as i32));
}

#[test]
fn told_twice_within_half_a_second_is_told_once() {
    let (mut daemon, pids) = deaf("");
    daemon.tell_guard(Signal::SIGTERM);
    daemon.tell_guard(Signal::SIGTERM);
    daemon.tell_guard(Signal::SIGINT);
    assert_eq!(daemon.end().code(), Some(0));
    assert!(pids.iter().all(|pid| !alive(*pid)));
    daemon.wait_for(&["WARNING: Script did not stop gracefully. Force killing... script=deaf"]);
    assert_eq!(daemon.count(&["received again"]), 0);
}

#[test]
fn a_hangup_is_logged_and_nothing_ends() {
    let (mut daemon, pids) = polite();
    daemon.tell_guard(Signal::SIGHUP);
    daemon.wait_for(&["SIGHUP received"]);
    for harmless in [Signal::SIGUSR1, Signal::SIGUSR2] {
        daemon.tell_guard(harmless);
    }
    daemon.tell_guard(Signal::SIGHUP);
    eventually("it heard all", || daemon.count(&["SIGHUP received"]) >= 2);
    assert!(pids.iter().all(|pid| alive(*pid)));
    daemon.stop();
}

#[test]
fn ctrl_z_does_not_suspend_supervision() {
    let world = World::new(
        r#"
        [[script]]
        name = "comes-back"
        restart = { initial_delay = "0s" }
        command = ["sh", "-c", "echo $$ >up$MHO_ATTEMPT; exec sleep 300"]
        "#,
    );
    let mut daemon = world.rehearse(NOON);
    let first = daemon.number("up1");
    daemon.tell_guard(Signal::SIGTSTP);
    daemon.tell_guard(Signal::SIGTTIN);
    daemon.tell_guard(Signal::SIGTTOU);
    send(first, Signal::SIGKILL);
    daemon.number("up2");
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.guard_pid())).expect("alive");
    assert!(!status.contains("State:\tT"), "{status}");
    daemon.stop();
}

#[test]
fn told_to_end_while_many_start_it_stops_those_and_starts_no_more() {
    let config: String = (0..60)
        .map(|n| {
            format!("[[script]]\nname = \"s{n}\"\ncommand = [\"sh\", \"-c\", \"echo $$ >s{n}; exec sleep 300\"]\n")
        })
        .collect();
    let mut daemon = World::new(&config).rehearse(NOON);
    daemon.wait_for(&["Script started with PID"]);
    daemon.tell_guard(Signal::SIGTERM);
    assert_eq!(daemon.end().code(), Some(0));
    assert!(daemon.processes().is_empty());
    assert_eq!(daemon.count(&["Shutting down: SIGTERM received"]), 1);
    assert_eq!(
        daemon.count(&["Script started with PID"]),
        daemon.count(&["Stopping trading script"]),
        "each that was started was stopped"
    );
}

#[test]
fn told_to_end_during_a_backoff_or_a_wait_it_ends_at_once() {
    let world = World::new(
        r#"
        [[script]]
        name = "crashed"
        restart = { initial_delay = "500s", max_delay = "500s" }
        command = ["sh", "-c", "exit 1"]
        [[script]]
        name = "waits"
        depends_on = ["crashed"]
        command = ["sh", "-c", "echo $$ >waits; exec sleep 300"]
        "#,
    );
    let mut daemon = world.rehearse(NOON);
    daemon.wait_for(&["Restarting script in", "script=crashed"]);
    daemon.wait_for(&["Waiting: ", "script=waits"]);
    daemon.stop();
    assert_eq!(daemon.count(&["Starting trading script"]), 1);
    assert!(!daemon.has("waits"));
}

#[test]
fn told_to_end_dependents_of_nobody_stop_side_by_side() {
    let config: String = (0..10)
        .map(|n| {
            format!(
                "[[script]]\nname = \"s{n}\"\nstop_grace = \"60s\"\n\
                 command = [\"sh\", \"-c\", \"trap 'sleep 3; exit 0' TERM; echo $$ >s{n}; while :; do sleep 0.2; done\"]\n"
            )
        })
        .collect();
    let mut daemon = World::new(&config).rehearse(NOON);
    for n in 0..10 {
        daemon.number(&format!("s{n}"));
    }
    let start = Instant::now();
    daemon.stop();
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "ten times 3 s one after the other is 30 s: {:?}",
        start.elapsed()
    );
    assert_eq!(daemon.count(&["Script stopped gracefully"]), 10);
}

#[test]
fn a_critical_script_that_gives_up_ends_everything_with_code_10() {
    let world = World::new(
        r#"
        [[script]]
        name = "vital"
        critical = true
        restart = { max_restarts = 1, initial_delay = "0s" }
        command = ["sh", "-c", "while [ ! -s other ]; do sleep 0.05; done; exit 1"]
        [[script]]
        name = "other"
        command = ["sh", "-c", "echo $$ >other; exec sleep 300"]
        "#,
    );
    let mut daemon = world.rehearse(NOON);
    let other = daemon.number("other");
    assert_eq!(daemon.end().code(), Some(10));
    assert!(!alive(other));
    daemon.wait_for(&["Giving up", "script=vital"]);
}
