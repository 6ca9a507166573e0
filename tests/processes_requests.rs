//! Requests to end that come early, twice, or from the kernel: each is counted as what it is. And what ends with the daemon only.

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::{World, alive, eventually, send};
use nix::sys::signal::Signal;

const NOON: &str = "2026-11-30T12:00:00";

const DEAF: &str = r#"
    [[script]]
    name = "deaf"
    stop_grace = "500s"
    command = ["sh", "-c", "trap '' TERM; echo $$ >deaf; while :; do sleep 1; done"]
"#;

const SLEEPER: &str = r#"
    [[script]]
    name = "sleeper"
    command = ["sleep", "300"]
"#;

#[test]
fn a_signal_that_comes_before_the_daemon_can_take_it_waits_for_that() {
    for delay in [0, 1, 2, 4, 8] {
        let mut daemon = World::new(SLEEPER).rehearse(NOON);
        let children = format!("/proc/{0}/task/{0}/children", daemon.guard_pid());
        eventually("the daemon is made", || std::fs::read_to_string(&children).is_ok_and(|pids| !pids.is_empty()));
        std::thread::sleep(Duration::from_millis(delay));
        for signal in [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGTERM] {
            daemon.tell_guard(signal);
        }
        assert_eq!(daemon.end().code(), Some(0), "after {delay} ms: {}", daemon.stderr());
    }
}

#[test]
fn the_death_of_the_guard_during_the_shutdown_is_no_second_request() {
    let world = World::new(
        r#"
        [[script]]
        name = "slow"
        command = ["sh", "-c", """
            trap 'echo >told; while [ ! -e go ]; do sleep 0.05; done; echo >handled; exit' TERM
            echo $$ >slow; while :; do sleep 0.05; done"""]
        "#,
    );
    let mut daemon = world.rehearse(NOON);
    let (itself, script) = (daemon.daemon_pid(), daemon.number("slow"));
    daemon.tell_guard(Signal::SIGTERM);
    eventually("the script is told", || daemon.has("told"));
    // Any sooner it would be the same request in any case.
    std::thread::sleep(Duration::from_millis(700));
    daemon.tell_guard(Signal::SIGKILL);
    daemon.end();
    // The kernel's signal is there by now; time enough to act on it wrongly.
    std::thread::sleep(Duration::from_millis(300));
    assert!(alive(script), "it has its grace");
    daemon.write("go", "");
    eventually("the daemon ends", || !alive(itself));
    assert!(daemon.has("handled"));
    assert_eq!(daemon.count(&["received again"]), 0);
}

#[test]
fn a_second_request_to_the_guard_of_a_dead_daemon_kills_what_is_left() {
    let mut daemon = World::new(DEAF).rehearse(NOON);
    let script = daemon.number("deaf");
    send(daemon.daemon_pid(), Signal::SIGKILL);
    daemon.tell_guard(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(700));
    assert!(alive(script), "the first asks for what is being done already");
    daemon.tell_guard(Signal::SIGTERM);
    assert_eq!(daemon.end().code(), Some(1));
    assert!(!alive(script));
}

#[test]
fn what_can_be_told_to_be_nobodys_is_named_once_and_ends_with_the_daemon() {
    let world = World::new(
        r#"
        [[script]]
        name = "leaves"
        restart = { max_restarts = 2, initial_delay = "0.1s" }
        command = ["sh", "-c", """
            [ -e bare ] || setsid prlimit --rttime=unlimited env -i sh -c 'echo $$ >bare; exec sleep 300' >/dev/null 2>&1 </dev/null &
            while [ ! -s bare ]; do sleep 0.02; done; sleep 0.1; exit 1"""]
        "#,
    );
    let mut daemon = world.rehearse(NOON);
    let bare = daemon.number("bare");
    let _ = daemon.wait_for(&["Giving up"]);
    let named = ["WARNING: A process that some script left behind cannot be told apart", "command=sleep"];
    assert_eq!(daemon.count(&named), 1);
    assert_eq!(daemon.count(&[named[0], &format!("pid={bare}")]), 1);
    assert!(alive(bare));
    daemon.stop();
    assert!(!alive(bare));
}

#[test]
fn whoever_orders_the_end_and_waits_is_told_when_nothing_lives_any_more() {
    let world = World::new(
        r#"
        [[script]]
        name = "slow"
        command = ["sh", "-c", "trap 'sleep 0.5; exit 0' TERM; echo $$ >slow; while :; do sleep 0.05; done"]
        "#,
    );
    let mut daemon = world.rehearse(NOON);
    let script = daemon.number("slow");
    let mut socket = UnixStream::connect(daemon.path("state/mho.sock")).expect("it listens");
    let request = "POST /api/v1/shutdown?wait=60s HTTP/1.1\r\nHost: mho\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200 ") && !alive(script), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let outcome: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!((&outcome["done"], &outcome["ok"]), (&true.into(), &true.into()), "{outcome}");
    assert_eq!(daemon.end().code(), Some(0));
}
