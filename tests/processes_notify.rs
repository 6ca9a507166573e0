//! What a service manager hears of the daemon, on a real socket; and what becomes of a daemon that it does not hear of any more.

mod common;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Daemon, World, alive, eventually, send};
use nix::sys::signal::Signal;

const NOON: &str = "2026-11-30T12:00:00";

const SCRIPT: &str = r#"
    [[script]]
    name = "demo"
    command = ["sh", "-c", "env >env; echo $$ >pid; exec sleep 300"]
"#;

/// The manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<(Instant, String)>,
}

impl Manager {
    fn new(socket: UnixDatagram) -> Self {
        socket.set_nonblocking(true).expect("set");
        Self { socket, heard: Vec::new() }
    }

    /// All that it has heard so far.
    fn listen(&mut self) -> impl Iterator<Item = &str> {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            self.heard.push((Instant::now(), String::from_utf8_lossy(&buffer[..length]).into_owned()));
        }
        self.heard.iter().map(|(_, text)| text.as_str())
    }

    fn wait_for(&mut self, begin: &str) {
        eventually(begin, || self.listen().any(|text| text.starts_with(begin)));
    }

    fn count(&mut self, text: &str) -> usize {
        self.listen().filter(|heard| *heard == text).count()
    }
}

/// A daemon with these variables. Its manager listens at `notify` in its directory.
fn started(variables: &[(&str, &str)]) -> (Daemon, Manager) {
    let world = World::new(SCRIPT);
    let manager = Manager::new(UnixDatagram::bind(world.path("notify")).expect("bound"));
    let mut command = world.mho(&["run"]);
    command.env("NOTIFY_SOCKET", world.path("notify"));
    command.env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID").envs(variables.iter().copied());
    (world.run_as(command, &["--at", NOON]), manager)
}

#[test]
fn the_manager_hears_ready_status_stopping_once_and_in_this_order() {
    let (mut daemon, mut manager) = started(&[]);
    manager.wait_for("READY=1");
    manager.wait_for("STATUS=Status: running | Market day: True | Time: 12:00:");
    assert_eq!(manager.count("STOPPING=1"), 0);
    daemon.stop();
    manager.wait_for("STATUS=Status: idle | Market day: True");
    let heard: Vec<_> = manager.listen().map(str::to_owned).collect();
    let place = |text: &str| heard.iter().position(|heard| heard == text).expect(text);
    assert!(place("READY=1") < place("STOPPING=1"), "{heard:?}");
    assert_eq!((manager.count("READY=1"), manager.count("STOPPING=1"), manager.count("WATCHDOG=1")), (1, 1, 0));
    for line in daemon.lines_with(&["Status: "]) {
        let (_, text) = line.split_once("INFO: ").expect("a level");
        let (text, _) = text.split_once(" running=").expect("fields");
        assert!(heard.contains(&format!("STATUS={text}")), "{text}: {heard:?}");
    }
}

#[test]
fn an_abstract_socket_is_a_socket() {
    let name = format!("mho-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let mut manager = Manager::new(UnixDatagram::bind_addr(&address).expect("bound"));
    let (mut daemon, mut unused) = started(&[("NOTIFY_SOCKET", &format!("@{name}"))]);
    manager.wait_for("READY=1");
    assert_eq!(unused.listen().count(), 0);
    daemon.stop();
    manager.wait_for("STOPPING=1");
}

#[test]
fn the_watchdog_is_fed_while_the_daemon_runs_and_not_while_it_is_stopped() {
    let (mut daemon, mut manager) = started(&[("WATCHDOG_USEC", "400000")]);
    let start = Instant::now();
    eventually("it is fed", || manager.count("WATCHDOG=1") >= 10);
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(1500), "each 200 ms, no sooner: {took:?}");
    let itself = daemon.daemon_pid();
    send(itself, Signal::SIGSTOP);
    let is_stopped = || {
        let status = std::fs::read_to_string(format!("/proc/{itself}/status")).expect("alive");
        status.contains("State:\tT")
    };
    eventually("the daemon is stopped", is_stopped);
    let before = manager.count("WATCHDOG=1");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(manager.count("WATCHDOG=1"), before);
    send(itself, Signal::SIGCONT);
    eventually("it is fed again", || manager.count("WATCHDOG=1") > before + 2);
    daemon.stop();
}

#[test]
fn a_watchdog_for_the_guard_is_ours_and_one_for_somebody_else_is_not() {
    // The shell becomes the guard and keeps its pid.
    let run = |pid: &str| {
        let world = World::new(SCRIPT);
        let manager = Manager::new(UnixDatagram::bind(world.path("notify")).expect("bound"));
        let mut command = Command::new("sh");
        world.prepare(&mut command);
        command.env("NOTIFY_SOCKET", world.path("notify")).env("WATCHDOG_USEC", "200000");
        command.args([
            "-c",
            &format!("export WATCHDOG_PID={pid}; exec \"$@\""),
            "sh",
            env!("CARGO_BIN_EXE_mho"),
            "run",
        ]);
        (world.run_as(command, &["--at", NOON]), manager)
    };
    let (mut daemon, mut manager) = run("$$");
    eventually("it is fed", || manager.count("WATCHDOG=1") >= 3);
    daemon.stop();
    let (mut daemon, mut manager) = run("1");
    manager.wait_for("STATUS=Status: running");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(manager.count("WATCHDOG=1"), 0);
    daemon.stop();
}

#[test]
fn scripts_do_not_speak_to_the_manager() {
    let (mut daemon, mut manager) = started(&[("WATCHDOG_USEC", "400000")]);
    daemon.number("pid");
    let environment = daemon.read("env");
    assert!(environment.contains("MHO_SCRIPT=demo"), "{environment}");
    assert!(!environment.contains("NOTIFY_SOCKET") && !environment.contains("WATCHDOG_"), "{environment}");
    manager.wait_for("READY=1");
    daemon.stop();
}

#[test]
fn a_manager_that_does_not_read_or_is_gone_disturbs_nobody() {
    for is_gone in [false, true] {
        let (mut daemon, manager) = started(&[("WATCHDOG_USEC", "2000")]);
        daemon.number("pid");
        if is_gone {
            drop(manager);
        } else {
            // A thousand times a second, into a queue of ten or a few hundred: it is full soon.
            std::mem::forget(manager);
        }
        let status = daemon.count(&["Status: "]);
        std::thread::sleep(Duration::from_secs(1));
        send(daemon.number("pid"), Signal::SIGKILL);
        daemon.wait_for(&["Restarting script in"]);
        eventually("the status goes on", || daemon.count(&["Status: "]) > status);
        daemon.stop();
    }
}

#[test]
fn a_manager_that_comes_late_hears_ready() {
    let world = World::new(SCRIPT);
    let mut command = world.mho(&["run"]);
    command.env("NOTIFY_SOCKET", world.path("notify"));
    let mut daemon = world.run_as(command, &["--at", NOON]);
    daemon.number("pid");
    let mut manager = Manager::new(UnixDatagram::bind(daemon.path("notify")).expect("bound"));
    manager.wait_for("READY=1");
    daemon.stop();
}

#[test]
fn a_daemon_that_hangs_is_killed_on_sigabrt_with_all_that_it_started() {
    let (mut daemon, _manager) = started(&[("WATCHDOG_USEC", "400000")]);
    let (itself, script) = (daemon.daemon_pid(), daemon.number("pid"));
    send(itself, Signal::SIGSTOP);
    daemon.tell_guard(Signal::SIGABRT);
    assert_eq!(daemon.end().code(), Some(1));
    assert!(!alive(itself) && !alive(script));
    assert!(daemon.processes().is_empty());
    let said = daemon.stderr();
    assert!(said.contains("mho: SIGABRT: killing the daemon"), "{said}");
}

#[test]
fn the_manager_hears_that_what_an_earlier_daemon_left_is_still_being_stopped() {
    let world = World::new(
        r#"
        [[script]]
        name = "deaf"
        stop_grace = "5s"
        command = ["sh", "-c", "trap '' TERM; echo $$ >>pids; while :; do sleep 0.2; done"]
        "#,
    );
    let mut daemon = world.rehearse(NOON);
    daemon.number("pids");
    daemon.die();
    let mut manager = Manager::new(UnixDatagram::bind(daemon.path("notify")).expect("bound"));
    let mut command = daemon.mho(&["run", "--config", "mho.toml", "--at", NOON]);
    command.arg("--state-dir").arg(daemon.path("state")).arg("--log-dir").arg(daemon.path("logs"));
    command.env("NOTIFY_SOCKET", daemon.path("notify"));
    command.stderr(std::fs::File::create(daemon.path("second")).expect("a file"));
    let mut second = command.spawn().expect("mho starts");
    manager.wait_for("READY=1");
    let heard: Vec<_> = manager.listen().map(str::to_owned).collect();
    let ready = heard.iter().position(|text| text == "READY=1").expect("heard");
    let more = heard[..ready].iter().filter(|text| *text == "EXTEND_TIMEOUT_USEC=20000000").count();
    assert!((1..=3).contains(&more), "{heard:?}");
    send(second.id(), Signal::SIGKILL);
    second.wait().expect("ours");
}
