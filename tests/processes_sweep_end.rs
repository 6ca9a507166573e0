//! A daemon that is asked to end while it still ends what an earlier one left running. By the built binary, with real processes.

mod common;

use std::time::{Duration, Instant};

use common::{Daemon, World, alive};
use nix::sys::signal::Signal;

/// Ends on SIGKILL alone, this long after the request.
fn stubborn(grace: &str) -> String {
    let shell = "trap '' TERM; echo $$ >pid-$MHO_ATTEMPT; while :; do sleep 0.1; done";
    format!("[[script]]\nname = \"demo\"\nstop_grace = \"{grace}\"\ncommand = [\"sh\", \"-c\", \"{shell}\"]\n")
}

/// The second daemon, while it waits for what the first one left; and that.
fn while_it_sweeps(grace: &str) -> (Daemon, u32) {
    let mut daemon = World::new(&stubborn(grace)).rehearse("2026-11-30T10:00:00");
    let left = daemon.number("pid-1");
    daemon.die();
    daemon.again(&["--at", "2026-11-30T10:05:00"]);
    daemon.wait_for(&["WARNING: Stopping what an earlier daemon left running", "script=demo"]);
    (daemon, left)
}

#[test]
fn asked_to_end_it_ends_what_was_left_first_and_starts_nothing() {
    let (mut daemon, left) = while_it_sweeps("2s");
    // Nothing may live when it says goodbye.
    daemon.stop();
    assert!(!alive(left));
    assert_eq!(daemon.count(&["All scripts stopped. Goodbye."]), 1);
    assert!(!daemon.has("pid-2"));
}

#[test]
fn asked_again_it_waits_for_no_grace() {
    let (mut daemon, left) = while_it_sweeps("1h");
    let begin = Instant::now();
    daemon.tell_guard(Signal::SIGTERM);
    // What comes sooner is the same request.
    while begin.elapsed() < Duration::from_millis(800) {
        assert!(alive(left) && daemon.guard.try_wait().expect("ours").is_none(), "an hour is not over");
        std::thread::sleep(Duration::from_millis(20));
    }
    daemon.tell_guard(Signal::SIGTERM);
    assert_eq!(daemon.end().code(), Some(1));
    assert!(!alive(left) && daemon.processes().is_empty());
    assert_eq!(daemon.count(&["SIGTERM received again: killing what an earlier daemon left running"]), 1);
    assert!(!daemon.has("pid-2"));
}
