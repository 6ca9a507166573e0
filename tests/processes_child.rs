//! What a script finds when it starts: nothing of the daemon but what it is meant to have.

mod processes_support;

use mho::ports::Launcher;
use nix::sys::signal::{SigHandler, Signal};
use processes_support::{World, eventually, read};

/// A set of signals in `/proc/PID/status`, less 32 and 33: glibc keeps these two for itself, and its posix_spawn always ignores them.
fn signals(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    u64::from_str_radix(line.trim_start_matches(':').trim(), 16).expect("a number") & !(0b11 << 31)
}

#[tokio::test]
async fn a_script_has_three_descriptors_a_clean_mask_and_a_group_of_its_own() {
    // One of the daemon's own descriptors. Test runners leave some of theirs open, too: those must not be handed on either.
    let _listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut world = World::new();
    let (id, pid) = world.shell("looks", ": >up; exec sleep 300");
    eventually("it runs", || world.path("up").exists()).await;
    let status = || std::fs::read_to_string(format!("/proc/{pid}/status")).expect("alive");
    eventually("sleep runs", || status().starts_with("Name:\tsleep")).await;

    let link = |fd: &str| std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).expect("open");
    // A program that begins opens its libraries for a moment.
    let fds = || {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("alive");
        let mut fds: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        fds.sort();
        fds
    };
    eventually("it has no descriptor but these", || fds() == ["0", "1", "2"]).await;
    assert_eq!(link("0").to_str(), Some("/dev/null"));
    assert_eq!(link("1"), link("2"));
    assert_eq!((signals(&status(), "SigBlk"), signals(&status(), "SigIgn")), (0, 0));
    let found = mho::adapters::procfs::read(pid).expect("/proc").expect("alive");
    assert_eq!(found.group, pid);
    world.launcher.kill(&id);
    world.exited().await;
}

#[test]
fn signals_that_the_daemon_was_started_with_ignored_are_not_ignored_in_a_script() {
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGCHLD] {
        // SAFETY: ignoring runs no code.
        unsafe { nix::sys::signal::signal(signal, SigHandler::SigIgn) }.expect("ignored");
    }
    mho::adapters::sys::reset_ignored_signals();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut world = World::new();
        world.shell("looks", "exec cat /proc/self/status");
        world.exited().await;
        let log = world.log("looks");
        eventually("the status is written", || read(&log).ends_with(b"\n")).await;
        let status = String::from_utf8(read(&log)).expect("text");
        assert_eq!(signals(&status, "SigIgn"), 0, "{status}");
    });
}
