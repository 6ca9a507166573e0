//! Scripts that print a lot, or hardly, through the real program: nothing is lost, and nobody else notices.

mod common;

use std::path::PathBuf;
use std::time::Instant;

use common::{Daemon, World, eventually, send};
use nix::sys::signal::Signal;

const NOON: &str = "2026-11-30T12:00:00";

/// The parts of a script's log, oldest first.
fn parts(daemon: &Daemon, script: &str) -> Vec<PathBuf> {
    let live = daemon.path(&format!("logs/{script}/2026-11-30.log"));
    let rotated = (1..).map(|n| live.with_extension(format!("log.{n}"))).take_while(|path| path.exists());
    let mut parts: Vec<_> = std::iter::once(live.clone()).chain(rotated).filter(|path| path.exists()).collect();
    parts.reverse();
    parts
}

fn size(daemon: &Daemon, script: &str) -> u64 {
    parts(daemon, script).iter().filter_map(|path| std::fs::metadata(path).ok()).map(|found| found.len()).sum()
}

fn content(daemon: &Daemon, script: &str) -> Vec<u8> {
    parts(daemon, script).iter().flat_map(|path| std::fs::read(path).expect("readable")).collect()
}

/// The highest resident memory of the daemon so far, in KiB.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("alive");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the field");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_flood_of_lines_arrives_byte_for_byte_across_rotations() {
    let world = World::new(
        r#"
        [[script]]
        name = "floods"
        output = { max_size = "500KB", max_files = 100, echo = true }
        command = ["python3", "flood.py"]
        "#,
    );
    world.write(
        "flood.py",
        "import sys, time\n\
         for i in range(20000): sys.stdout.write('%08d ' % i + 'x' * 90 + '\\n')\n\
         sys.stdout.flush()\n\
         open('flooded', 'w').close()\n\
         time.sleep(300)\n",
    );
    let mut daemon = world.rehearse(NOON);
    let start = Instant::now();
    eventually("all is written", || size(&daemon, "floods") == 20_000 * 100);
    println!("2 MB of lines after {:?}", start.elapsed());
    let all = content(&daemon, "floods");
    for (index, line) in all.chunks(100).enumerate() {
        assert_eq!(line, format!("{index:08} {}\n", "x".repeat(90)).as_bytes());
    }
    assert!(parts(&daemon, "floods").len() > 3, "it was rotated");
    daemon.stop();
    let echoed = daemon.stderr().lines().filter(|line| line.contains("xxxx script=floods")).count();
    assert!(echoed < 20_000, "the echo is limited, the file is not: {echoed}");
}

#[test]
fn a_hundred_megabytes_without_a_newline_arrive_while_a_neighbour_is_restarted_and_memory_stays_flat() {
    const SIZE: u64 = 100_000_000;
    let world = World::new(
        r#"
        [[script]]
        name = "floods"
        output = { max_size = "1GB" }
        command = ["python3", "flood.py"]
        [[script]]
        name = "neighbour"
        restart = { initial_delay = "0s", max_restarts = 1000 }
        command = ["sh", "-c", "echo $$ >up$MHO_ATTEMPT; exec sleep 300"]
        "#,
    );
    world.write(
        "flood.py",
        "import os, time\n\
         while not os.path.exists('go'): time.sleep(0.02)\n\
         def put(data):\n\
         \x20   while data: data = data[os.write(1, data):]\n\
         for i in range(100): put(memoryview((b'%08d' % i) * 125000))\n\
         time.sleep(300)\n",
    );
    let mut daemon = world.rehearse(NOON);
    let mut pid = daemon.number("up1");
    let itself = daemon.daemon_pid();
    let before = peak_memory(itself);
    daemon.write("go", "");
    let start = Instant::now();
    eventually("it floods", || size(&daemon, "floods") > 0);
    let mut restarts = Vec::new();
    for attempt in 2..=6 {
        let killed = Instant::now();
        send(pid, Signal::SIGKILL);
        pid = daemon.number(&format!("up{attempt}"));
        restarts.push((killed.elapsed(), size(&daemon, "floods")));
    }
    println!("restarts during the flood: {restarts:?}");
    assert!(restarts.iter().all(|(took, _)| took.as_secs() < 10), "{restarts:?}");
    eventually("all is written", || size(&daemon, "floods") == SIZE);
    println!("100 MB after {:?}, memory {before} -> {} KiB", start.elapsed(), peak_memory(itself));
    assert!(peak_memory(itself) < 64 * 1024, "{} KiB", peak_memory(itself));
    let all = content(&daemon, "floods");
    for (index, part) in all.chunks(1_000_000).enumerate() {
        assert!(part == format!("{index:08}").repeat(125_000).as_bytes(), "megabyte {index}");
    }
    daemon.stop();
}

#[test]
fn a_last_line_without_a_newline_is_kept() {
    let world = World::new("[[script]]\nname = \"short\"\ncommand = [\"sh\", \"-c\", \"printf 'first\\\\nlast'\"]\n");
    let mut daemon = world.rehearse(NOON);
    daemon.wait_for(&["Run ended", "result=succeeded"]);
    daemon.stop();
    assert_eq!(content(&daemon, "short"), b"first\nlast");
    assert!(daemon.stderr().contains("INFO: last script=short"), "{}", daemon.stderr());
}

#[test]
fn a_plain_print_of_python_is_visible_at_once() {
    let world = World::new("[[script]]\nname = \"prints\"\ncommand = \"prints.py\"\n");
    world.write("prints.py", "import time\nprint('here')\ntime.sleep(300)\n");
    let mut daemon = world.rehearse(NOON);
    eventually("it is in the file", || content(&daemon, "prints") == b"here\n");
    eventually("it is on the console", || daemon.stderr().contains("INFO: here script=prints"));
    daemon.stop();
}

#[test]
fn what_a_handler_prints_at_the_stop_is_kept() {
    let world = World::new(
        r#"
        [[script]]
        name = "says-bye"
        command = ["sh", "-c", "trap 'sleep 0.2; echo bye; exit 0' TERM; echo $$ >up; while :; do sleep 0.1; done"]
        "#,
    );
    let mut daemon = world.rehearse(NOON);
    daemon.number("up");
    daemon.stop();
    assert!(content(&daemon, "says-bye").ends_with(b"bye\n"));
}

#[test]
fn output_goes_on_after_somebody_deleted_the_file() {
    let world = World::new(
        r#"
        [[script]]
        name = "goes-on"
        command = ["sh", "-c", "echo before; while [ ! -e deleted ]; do sleep 0.05; done; while :; do echo after; sleep 0.2; done"]
        "#,
    );
    let mut daemon = world.rehearse(NOON);
    eventually("the first line", || content(&daemon, "goes-on") == b"before\n");
    std::fs::remove_file(daemon.path("logs/goes-on/2026-11-30.log")).expect("deleted");
    daemon.write("deleted", "");
    eventually("a new file", || content(&daemon, "goes-on").starts_with(b"after\n"));
    daemon.stop();
}
