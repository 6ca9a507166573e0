//! The daemon's console: a terminal that is gone, or one that nobody reads, holds up nobody.

mod common;

use std::io::PipeReader;
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};

use common::{World, eventually, send};
use nix::sys::signal::Signal;

const CONFIG: &str = r#"
    [[script]]
    name = "talks"
    restart = { initial_delay = "0s" }
    command = ["sh", "-c", "echo $$ >up$MHO_ATTEMPT; while :; do echo and on; sleep 0.05; done"]
"#;

/// A pipe as stderr, full to the brim.
fn full_pipe() -> (PipeReader, OwnedFd) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let writer = OwnedFd::from(writer);
    rustix::io::ioctl_fionbio(&writer, true).expect("set");
    while rustix::io::write(&writer, &[b'.'; 4096]).is_ok() {}
    while rustix::io::write(&writer, b".").is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).expect("set");
    (reader, writer)
}

fn start(world: &World, stderr: OwnedFd) -> Child {
    let mut command = world.mho(&["run", "--config", "mho.toml", "--state-dir", "state", "--log-dir", "logs"]);
    command.args(["--at", "2026-11-30T12:00:00"]).stdout(Stdio::null()).stderr(stderr);
    command.spawn().expect("mho starts")
}

/// It restarts a script, writes its logs, and ends in order.
fn assert_works(world: &World, daemon: &mut Child) {
    send(world.number("up1"), Signal::SIGKILL);
    world.number("up2");
    let log = || world.read("logs/orchestrator_main.log");
    eventually("the main log says so", || log().contains("Script was killed by signal 9 (SIGKILL)"));
    eventually("its own log goes on", || world.read("logs/talks/2026-11-30.log").lines().count() > 20);
    send(daemon.id(), Signal::SIGTERM);
    eventually("it ends", || daemon.try_wait().expect("ours").is_some());
    assert_eq!(daemon.wait().expect("ours").code(), Some(0));
    assert!(log().contains("All scripts stopped. Goodbye."));
    assert!(world.processes().is_empty());
}

#[test]
fn a_console_that_nobody_reads_holds_up_nobody() {
    let world = World::new(CONFIG);
    let (reader, writer) = full_pipe();
    let mut daemon = start(&world, writer);
    assert_works(&world, &mut daemon);
    drop(reader);
}

#[test]
fn a_console_that_is_gone_ends_nobody() {
    let world = World::new(CONFIG);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut daemon = start(&world, writer.into());
    world.number("up1");
    drop(reader);
    assert_works(&world, &mut daemon);
}
