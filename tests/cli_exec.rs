//! `mho exec` starts what the daemon would start, and refuses what it would refuse, in the same words. Daemon and exec never run one script
//! at the same time.

mod common;

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use common::{Daemon, Done, World, alive, done, eventually, send};
use mho::adapters::procfs::{self, Proc, Snapshot};
use nix::sys::signal::Signal;

/// Runs around the clock; each of its processes leaves a line in `started`.
const ALWAYS: &str = r#"
    [[script]]
    name = "demo"
    calendar = "always"
    start = "open"
    command = ["sh", "-c", "echo $$ >>started; exec sleep 300"]
"#;

/// A world with the script `demo`; `file` is executable if `mode` says so.
fn world(command: &str, file: &str, mode: u32, more: &str) -> World {
    let world = World::new(&format!("[[script]]\nname = \"demo\"\ncommand = [\"{command}\"]\n{more}"));
    world.write("file", file);
    std::fs::set_permissions(world.path("file"), PermissionsExt::from_mode(mode)).expect("set");
    world
}

#[test]
fn what_the_daemon_refuses_exec_refuses_in_the_same_words() {
    for (command, file, mode, more, expected) in [
        (
            "./file",
            "echo started >started\n",
            0o755,
            "",
            "file has no #! line and is no program for this machine: add one",
        ),
        ("./file", "#!/bin/sh\necho started >started\n", 0o644, "", "is not executable: `chmod +x"),
        ("./file", "#!/no/such/interpreter\n", 0o755, "", "asks for the interpreter /no/such/interpreter"),
        ("./none", "", 0o644, "", "none does not exist: put it back, or correct `command`"),
        (
            "/bin/true",
            "",
            0o644,
            "working_dir = \"nowhere\"\n",
            "nowhere does not exist: create it, or correct `working_dir`",
        ),
        ("/bin/true", "", 0o644, "env_file = \"no.env\"\n", "env_file"),
    ] {
        let world = world(command, file, mode, more);
        let done = world.cli(&["exec", "--config", "mho.toml", "demo"]);
        assert!(done.code == 1 || done.code == 2 && expected == "env_file", "{done:?}");
        assert!(done.err.contains(expected), "{expected}: {done:?}");
        assert!(!world.has("started"), "{done:?}");
    }
}

#[test]
fn exec_leaves_no_signal_ignored_and_no_descriptor_open() {
    let world = world("./file", "#!/bin/sh\ncat /proc/self/status\nls /proc/$$/fd\n", 0o755, "");
    let mut command = Command::new("sh");
    world.prepare(&mut command);
    command.args(["-c", "trap '' HUP TERM; exec 7</dev/null; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_mho")]);
    command.args(["exec", "--config", "mho.toml", "demo"]);
    let done = done(command);
    assert_eq!(done.code, 0, "{done:?}");
    for field in ["SigIgn:", "SigBlk:"] {
        let value = done.out.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
        assert_eq!(u64::from_str_radix(value.trim(), 16).expect("a number") & !(0b11 << 31), 0, "{field} {}", done.out);
    }
    assert!(!done.out.lines().any(|line| line == "7"), "{}", done.out);
}

/// One that is not refused would run for as long as the script.
fn exec(world: &World) -> Done {
    let mut command = Command::new("timeout");
    world.prepare(&mut command);
    command.args(["60", env!("CARGO_BIN_EXE_mho"), "exec", "--config", "mho.toml", "demo"]);
    done(command)
}

/// `mho exec demo`, at work.
fn executing(world: &World) -> Child {
    let child = world.mho(&["exec", "--config", "mho.toml", "demo"]).spawn().expect("mho starts");
    eventually("it has become the program", || procfs::name(child.id()) == "sleep");
    child
}

fn end(mut child: Child) {
    send(child.id(), Signal::SIGKILL);
    child.wait().expect("ours");
}

fn is_locked(world: &World) -> bool {
    let file = std::fs::File::open(world.path("state/exec/demo.lock")).expect("there");
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared).is_err()
}

/// The process that keeps the lock for an exec of this world.
fn keeper(world: &World) -> Option<Proc> {
    world.processes().into_iter().find(|process| procfs::name(process.pid) == "mho-exec-lock")
}

fn live() -> Daemon {
    let daemon = World::new(ALWAYS).run(&[]);
    daemon.number("started");
    daemon
}

#[test]
fn exec_refuses_while_the_daemon_runs_the_script() {
    let mut daemon = live();
    let pid = daemon.number("started");
    let refused = exec(&daemon);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.err.contains(&format!("demo runs as PID {pid}, started by the daemon of")), "{refused:?}");
    assert_eq!(refused.err.lines().count(), 1, "{refused:?}");
    assert_eq!(daemon.read("started").lines().count(), 1);
    assert!(!is_locked(&daemon), "a refused exec is in nobody's way");
    daemon.stop();
}

/// Whatever runs it by, it has no environment, and no group member has one; it ends with the directory.
const CLEARED: &str = r#"
    [[script]]
    name = "demo"
    calendar = "always"
    start = "open"
    command = ["env", "-i", "/bin/sh", "-c", "while [ -e mho.toml ]; do sleep 0.1; done & echo $! >member; echo $$ >>started; wait"]
"#;

#[test]
fn exec_refuses_while_a_script_runs_that_cleared_its_environment() {
    let mut daemon = World::new(CLEARED).run(&[]);
    let pid = daemon.number("started");
    // At once: its pid may not be committed yet.
    let refused = exec(&daemon);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.err.contains(&format!("{pid}")), "{refused:?}");
    let member = daemon.number("member");
    assert!(refused.err.contains(&format!("{member}")), "{refused:?}");
    // The leader is gone, and its number is still that of the group.
    daemon.die();
    send(pid, Signal::SIGKILL);
    eventually("the leader is gone", || !alive(pid));
    let refused = exec(&daemon);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.err.contains(&format!("demo runs as PID {member}")), "{refused:?}");
    assert_eq!(daemon.read("started").lines().count(), 1);
    send(member, Signal::SIGKILL);
    let is_left = |process: Proc| process.group == pid && !process.zombie;
    eventually("the group is gone, with what the member waits for", || {
        Snapshot::take().is_ok_and(|all| !all.iter().any(is_left))
    });
    let mut last = daemon.mho(&["exec", "--config", "mho.toml", "demo"]).spawn().expect("mho starts");
    eventually("it runs", || daemon.read("started").lines().count() == 2);
    eventually("its child is there", || daemon.number("member") != member);
    send(last.id(), Signal::SIGKILL);
    send(daemon.number("member"), Signal::SIGKILL);
    last.wait().expect("ours");
}

#[test]
fn a_journal_that_cannot_be_read_keeps_nobody_from_exec() {
    let world = World::new(ALWAYS);
    world.write("state/mho.db", "rubbish");
    end(executing(&world));
    assert_eq!(world.read("state/mho.db"), "rubbish");
}

#[test]
fn the_keeper_of_the_lock_outlives_whoever_ends_all_that_is_called_mho() {
    let world = World::new(ALWAYS);
    let program = executing(&world);
    eventually("somebody keeps the lock", || keeper(&world).is_some());
    let found = keeper(&world).expect("there");
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGALRM] {
        send(found.pid, signal);
    }
    // Whatever ends a process does so before it does anything else.
    send(found.pid, Signal::SIGSTOP);
    send(found.pid, Signal::SIGCONT);
    eventually("it has looked", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", found.pid)).unwrap_or_default();
        !status.contains("State:\tT")
    });
    assert!(alive(found.pid) && is_locked(&world));
    end(program);
    eventually("it ends with the program", || !is_locked(&world));
}

#[test]
fn the_daemon_waits_while_exec_runs_the_script_and_starts_it_after() {
    let world = World::new(ALWAYS);
    let foreground = executing(&world);
    let mut daemon = world.run(&[]);
    daemon.wait_for(&[&format!("Waiting: exec, PID {}", foreground.id()), "script=demo"]);
    assert_eq!(daemon.read("started").lines().count(), 1);
    let waiting = daemon.log().len();
    // It looks again each second, and does not fill the log with that.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(daemon.log()[waiting..].iter().filter(|line| !line.contains("Status: ")).count(), 0);
    assert_eq!(daemon.read("started").lines().count(), 1);
    let start = std::time::Instant::now();
    end(foreground);
    eventually("the daemon starts it", || daemon.read("started").lines().count() == 2);
    assert!(start.elapsed() < std::time::Duration::from_secs(10), "{:?}", start.elapsed());
    daemon.wait_for(&["Script started with PID"]);
    daemon.stop();
}

#[test]
fn a_second_exec_is_refused_and_names_the_first() {
    let world = World::new(ALWAYS);
    let first = executing(&world);
    let refused = exec(&world);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.err.contains(&format!("PID {}, exec since 20", first.id())), "{refused:?}");
    assert_eq!(world.read("started").lines().count(), 1);
    end(first);
    eventually("the lock is given back", || !is_locked(&world));
    end(executing(&world));
    assert_eq!(world.read("started").lines().count(), 2);
}

#[test]
fn what_keeps_the_lock_is_nobodys_child_and_ends_with_the_program() {
    let world = World::new(ALWAYS);
    let program = executing(&world);
    eventually("somebody keeps the lock", || keeper(&world).is_some());
    let found = keeper(&world).expect("there");
    assert!(is_locked(&world));
    assert_ne!(found.parent, program.id());
    assert_eq!(found.group, found.pid, "it has a session of its own");
    assert!(Snapshot::take().expect("/proc").descendants(program.id()).is_empty());
    let open = |fd: u32| std::fs::read_link(format!("/proc/{}/fd/{fd}", found.pid)).expect("open");
    eventually("it holds nothing that anybody waits for", || {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", found.pid)).map_or(0, Iterator::count);
        fds == 5 && (0..3).all(|fd| open(fd).as_os_str() == "/dev/null")
    });
    end(program);
    eventually("it ends with the program, and leaves no zombie", || {
        procfs::read(found.pid).expect("/proc").is_none_or(|process| process.start != found.start)
    });
    assert!(!is_locked(&world));
}

#[test]
fn exec_holds_up_nobody_who_reads_its_output() {
    let world = world("./file", "#!/bin/sh\necho all\nexit 7\n", 0o755, "");
    let mut command = world.mho(&["exec", "--config", "mho.toml", "demo"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("mho starts");
    let mut text = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut text).expect("read to its end");
    assert_eq!(text, "all\n");
    assert_eq!(child.wait().expect("ours").code(), Some(7));
    eventually("nothing is left", || world.processes().is_empty());
}

#[test]
fn the_program_gets_the_environment_of_the_daemon_and_no_descriptor_of_the_lock() {
    let world = World::new(
        r#"
        [[script]]
        name = "demo"
        calendar = "always"
        start = "open"
        env = { OWN = "yes" }
        command = ["sh", "-c", "env -0 | sort -z | tr '\\0' '\\n' >$OUT.env; ls -l /proc/$$/fd >$OUT.fds; echo $$ >$OUT.pid; exec sleep 300"]
        "#,
    );
    let mut command = world.mho(&["exec", "--config", "mho.toml", "--live", "demo"]);
    let program = command.env("OUT", "exec").env("NOTIFY_SOCKET", "@nobody").spawn().expect("mho starts");
    world.number("exec.pid");
    end(program);
    eventually("nothing is left", || world.processes().is_empty());
    let mut command = world.mho(&["run"]);
    command.env("OUT", "daemon").env("NOTIFY_SOCKET", "@nobody");
    let mut daemon = world.run_as(command, &[]);
    daemon.number("daemon.pid");
    let [ours, theirs] = ["exec", "daemon"].map(|who| {
        let text = daemon.read(&format!("{who}.env"));
        let told = ["OUT=", "MHO_DAEMON_ID=", "MHO_RUN_ID=", "MHO_SESSION_", "MHO_STOP_AT=", "MHO_TRADING_DATE="];
        let same: Vec<_> = text.lines().filter(|line| !told.iter().any(|name| line.starts_with(name))).collect();
        same.join("\n")
    });
    assert_eq!(ours, theirs);
    assert!(ours.contains("OWN=yes") && !ours.contains("NOTIFY_SOCKET"), "{ours}");
    let fds = daemon.read("exec.fds");
    assert!(!fds.contains("lock") && !fds.contains("pidfd") && !fds.contains("eventpoll"), "{fds}");
    daemon.stop();
}

#[test]
fn where_no_lock_can_be_exec_says_so_and_starts_nothing() {
    let world = World::new(ALWAYS);
    world.write("file", "");
    let refused = world.cli(&["exec", "--config", "mho.toml", "--state-dir", "file", "demo"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("cannot keep the daemon from starting demo meanwhile"), "{refused:?}");
    assert!(refused.err.contains("--state-dir"), "{refused:?}");
    assert!(!world.has("started"));
}

#[test]
fn a_process_of_another_daemon_or_of_another_script_is_in_nobodys_way() {
    let mut daemon = World::new(&format!("{ALWAYS}{}", ALWAYS.replace("demo", "other").replace("started", "other")))
        .run(&["--only", "other"]);
    daemon.number("other");
    let foreground = executing(&daemon);
    assert!(alive(foreground.id()));
    end(foreground);
    daemon.stop();
}

#[test]
fn whoever_comes_second_sees_the_first() {
    let mut daemon = World::new(
        r#"
        [[script]]
        name = "demo"
        calendar = "always"
        start = "open"
        restart = { policy = "always", initial_delay = "20ms", max_delay = "20ms", max_restarts = 100000 }
        command = ["sh", "-c", "mkdir only || echo $$ >>twice; echo $$ >>started; sleep 0.05; rmdir only"]
        "#,
    )
    .run(&[]);
    eventually("it runs", || daemon.has("started"));
    let (mut ran, mut refused) = (0, 0);
    eventually("each came second at times", || {
        // While exec holds the lock, the daemon looks once a second only: let it have its turn.
        if ran >= 3 {
            eventually("the daemon starts it", || daemon.has("only"));
        }
        match exec(&daemon) {
            Done { code: 0, .. } => ran += 1,
            Done { code: 5, .. } => refused += 1,
            other => panic!("{other:?}"),
        }
        assert_eq!(daemon.read("twice"), "");
        ran >= 3 && refused >= 3
    });
    daemon.stop();
}
