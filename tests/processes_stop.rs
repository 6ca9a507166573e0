//! A stop reaches everything that an attempt started.

mod processes_support;

use std::time::{Duration, Instant};

use mho::domain::outcome::{Exit, Signal};
use mho::ports::Launcher;
use processes_support::{World, alive, eventually, read, signal};

const KILLED: Exit = Exit::Signal { signal: Signal::KILL, out_of_memory: false };

#[tokio::test]
async fn a_polite_script_ends_at_once_and_its_last_words_are_logged() {
    let mut world = World::new();
    let text = "trap 'echo bye; exit 3' TERM; echo ready; : >up; while :; do sleep 0.01; done";
    let (id, pid) = world.shell("polite", text);
    eventually("the trap is set", || world.path("up").exists()).await;
    let before = Instant::now();
    world.launcher.signal(&id, Signal::TERM);
    assert_eq!(world.exited().await.0, Exit::Code(3));
    assert!(before.elapsed() < Duration::from_secs(2));
    assert!(!alive(pid));
    let log = world.log("polite");
    // In between the shell may report the end of its `sleep`.
    eventually("the log is complete", || read(&log).starts_with(b"ready\n") && read(&log).ends_with(b"bye\n")).await;
}

#[tokio::test]
async fn kill_ends_a_leader_and_a_grandchild_that_ignore_the_signal() {
    let mut world = World::new();
    let text = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ >inner; sleep 300' & echo $$ >outer; wait; sleep 300";
    let (id, pid) = world.shell("deaf", text);
    let inner = world.number("inner").await;
    world.number("outer").await;
    world.launcher.signal(&id, Signal::TERM);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(alive(pid) && alive(inner), "TERM is ignored");
    world.launcher.kill(&id);
    let (exit, leftovers) = world.exited().await;
    assert_eq!(exit, KILLED);
    if !leftovers.is_empty() {
        world.gone().await;
    }
    assert!(!alive(pid) && !alive(inner));
}

#[tokio::test]
async fn a_stopped_process_acts_on_the_signal_because_cont_follows() {
    let mut world = World::new();
    let (id, pid) = world.shell("frozen", "kill -STOP $$; sleep 300");
    let stopped = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") T "));
    eventually("it is stopped", stopped).await;
    world.launcher.signal(&id, Signal::TERM);
    assert_eq!(world.exited().await.0, Exit::Signal { signal: Signal::TERM, out_of_memory: false });
}

#[tokio::test]
async fn the_program_behind_a_shell_wrapper_hears_the_signal_too() {
    let mut world = World::new();
    let (id, _) = world.shell("wrapper", "sh -c 'echo $$ >inner; exec sleep 300'; echo never");
    let inner = world.number("inner").await;
    world.launcher.signal(&id, signal("INT"));
    world.exited().await;
    eventually("the inner program is gone", || !alive(inner)).await;
}

#[tokio::test]
async fn a_hundred_scripts_are_signalled_within_ten_milliseconds() {
    let mut world = World::new();
    let ids: Vec<_> = (0..100).map(|i| world.shell(&format!("s{i}"), "exec sleep 300").0).collect();
    let before = Instant::now();
    ids.iter().for_each(|id| world.launcher.signal(id, Signal::TERM));
    // All are signalled in one go: no end is heard of before that is done.
    world.exited().await;
    let took = before.elapsed();
    for _ in 1..100 {
        world.exited().await;
    }
    // The bar is ten milliseconds on an idle machine; this one runs other tests meanwhile. A walk for each script would take seconds then.
    assert!(took < Duration::from_millis(500), "{took:?}");
}
