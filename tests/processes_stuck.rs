//! A stderr that nobody reads and a file system that hangs hold up neither the end of the daemon nor that of its scripts.

mod common;

use std::fs::File;
use std::io::{PipeReader, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use common::{DEADLINE, World, alive, eventually, send};
use nix::sys::signal::Signal;
use rustix::fs::OFlags;

const NOON: &str = "2026-11-30T12:00:00";

const POLITE: &str = r#"
    [[script]]
    name = "polite"
    output = { echo = false }
    command = ["sh", "-c", "trap 'echo >handled; exit' TERM; echo $$ >polite; while :; do sleep 0.1; done"]
"#;

/// The guard of a daemon whose stdout and stderr are one full pipe.
struct Stuck {
    world: World,
    guard: Child,
    _reader: PipeReader,
}

impl Drop for Stuck {
    fn drop(&mut self) {
        let _ = self.guard.kill();
        let _ = self.guard.wait();
    }
}

impl Stuck {
    fn start(config: &str) -> Self {
        let world = World::new(config);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        rustix::fs::fcntl_setfl(&writer, OFlags::NONBLOCK).expect("set");
        let mut full = File::from(OwnedFd::from(writer.try_clone().expect("a copy")));
        while full.write(&[b'\n'; 4096]).is_ok() {}
        while full.write(b"\n").is_ok() {}
        rustix::fs::fcntl_setfl(&writer, OFlags::empty()).expect("set");
        let mut command = world.mho(&["run", "--config", "mho.toml", "--at", NOON]);
        command.arg("--state-dir").arg(world.path("state")).arg("--log-dir").arg(world.path("logs"));
        let guard = command.stdout(writer.try_clone().expect("a copy")).stderr(writer).spawn().expect("mho starts");
        Self { world, guard, _reader: reader }
    }

    fn daemon(&self) -> u32 {
        let children = format!("/proc/{0}/task/{0}/children", self.guard.id());
        let children = std::fs::read_to_string(children).expect("the guard lives");
        children.trim().parse().expect("its only child")
    }

    fn end(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.guard.try_wait().expect("ours") {
                return status;
            }
            assert!(start.elapsed() < DEADLINE, "it did not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn the_guard_of_a_killed_daemon_stops_everything_though_nobody_reads_what_it_says() {
    let mut stuck = Stuck::start(POLITE);
    let script = stuck.world.number("polite");
    send(stuck.daemon(), Signal::SIGKILL);
    assert_eq!(stuck.end().code(), Some(1));
    assert!(stuck.world.has("handled") && !alive(script));
}

#[test]
fn a_daemon_whose_console_is_full_ends_at_the_first_request() {
    let printers: String = (0..10)
        .map(|n| {
            format!(
                "[[script]]\nname = \"p{n}\"\n\
                 command = [\"sh\", \"-c\", \"seq 190; echo $$ >p{n}; exec sleep 300\"]\n"
            )
        })
        .collect();
    let mut stuck = Stuck::start(&printers);
    for n in 0..10 {
        stuck.world.number(&format!("p{n}"));
        let log = format!("logs/p{n}/2026-11-30.log");
        eventually("all is echoed", || stuck.world.read(&log).lines().count() >= 190);
    }
    send(stuck.guard.id(), Signal::SIGTERM);
    assert_eq!(stuck.end().code(), Some(0));
    let log = stuck.world.read("logs/orchestrator_main.log");
    assert!(log.contains("All scripts stopped. Goodbye."), "the other writer is not held up: {log}");
}

#[test]
fn a_daemon_whose_log_files_hang_ends_at_the_first_request() {
    let world = World::new(
        r#"
        [[script]]
        name = "prints"
        command = ["sh", "-c", "echo $$ >prints; exec seq 100000"]
        "#,
    );
    let mut command = world.mho(&["run", "--at", NOON]);
    command.env("FAILPOINTS", "log.write=sleep(600000)");
    let mut daemon = world.run_as(command, &[]);
    let script = daemon.number("prints");
    let output = File::open(format!("/proc/{script}/fd/1")).expect("it waits");
    eventually("its pipe is full", || rustix::io::ioctl_fionread(&output).expect("asked") > 60_000);
    drop(output);
    daemon.tell_guard(Signal::SIGTERM);
    assert_eq!(daemon.end().code(), Some(0));
    assert!(!alive(script));
}
