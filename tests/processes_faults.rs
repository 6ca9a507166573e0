//! Want of descriptors, processes and space, and scripts that do odd things with their output: the others go on, it is said once, and all
//! recovers without a restart of the daemon.

mod common;

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Daemon, World, alive, eventually, send};
use mho::adapters::procfs;
use nix::sys::signal::Signal;
use rustix::process::{Resource, Rlimit};

const NOON: &str = "2026-11-30T12:00:00";

/// Keeps trying, at once and for ever.
const EAGER: &str =
    "restart = { initial_delay = \"300ms\", max_delay = \"600ms\", max_restarts = 100000, within = \"1h\" }";

fn many(count: usize) -> String {
    let one = |n| {
        format!(
            "[[script]]\nname = \"s{n}\"\noutput = {{ echo = false }}\n{EAGER}\n\
             command = [\"sh\", \"-c\", \"echo $$ >up-s{n}-$$; exec sleep 300\"]\n"
        )
    };
    (0..count).map(one).collect()
}

/// The pids of `script` that ever ran, and live.
fn living(daemon: &Daemon, script: &str) -> Vec<u32> {
    let prefix = format!("up-{script}-");
    let names =
        std::fs::read_dir(daemon.root()).expect("readable").flatten().filter_map(|e| e.file_name().into_string().ok());
    names.filter_map(|name| name.strip_prefix(&prefix)?.parse().ok()).filter(|pid| alive(*pid)).collect()
}

fn running(daemon: &Daemon, count: usize) -> usize {
    (0..count).filter(|n| !living(daemon, &format!("s{n}")).is_empty()).count()
}

/// Processes of the test that are neither guard nor daemon.
fn children(daemon: &Daemon) -> usize {
    let (guard, own) = (daemon.guard_pid(), daemon.daemon_pid());
    daemon.processes().iter().filter(|process| process.pid != guard && process.pid != own).count()
}

/// None above those that the scripts' handles have; below, what was closed again since the start leaves a number or two.
fn leave_hardly_a_descriptor(daemon: &Daemon) {
    let pid = daemon.daemon_pid();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").flatten();
    let is_handle = |entry: &std::fs::DirEntry| {
        std::fs::read_link(entry.path()).is_ok_and(|link| link.to_string_lossy().contains("pidfd"))
    };
    let handles = open.filter(is_handle).filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok());
    let limit = handles.max().expect("one for each script") + 1;
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let value = Rlimit { current: Some(limit), maximum };
    rustix::process::prlimit(procfs::raw_pid(pid), Resource::Nofile, value).expect("set");
}

/// Leaves the daemon room for so many more descriptors; None: as much as it may have. How far the limit may be raised stays as it is, so
/// that no privilege is needed to undo it.
fn leave_descriptors(daemon: &Daemon, room: Option<usize>) {
    let pid = daemon.daemon_pid();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").flatten();
    let open: BTreeSet<u64> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // The limit is the first number that is not given any more, and some above it may be in use.
    let free = |room: usize| (0..).filter(|number| !open.contains(number)).nth(room);
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let value = Rlimit { current: room.map_or(maximum, free), maximum };
    rustix::process::prlimit(procfs::raw_pid(pid), Resource::Nofile, value).expect("set");
}

/// Processor time of a process so far.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

/// It does not spin: asserts that it sleeps at least half of the time.
fn assert_calm(daemon: &Daemon) {
    let pid = daemon.daemon_pid();
    let (start, before) = (Instant::now(), cpu(pid));
    std::thread::sleep(Duration::from_secs(2));
    let (used, took) = (cpu(pid).saturating_sub(before), start.elapsed());
    assert!(used < took / 2, "{used:?} of {took:?}");
}

fn as_root() -> bool {
    let root = rustix::process::getuid().is_root();
    if !root {
        eprintln!("SKIPPED: this fault needs root to be made");
    }
    root
}

/// `mho run` by this user.
fn as_user(world: &World, user: u32) -> Command {
    let binary = world.path("mho");
    common::copy_program(&binary);
    std::fs::set_permissions(world.root(), PermissionsExt::from_mode(0o777)).expect("opened");
    let mut command = Command::new(binary);
    world.prepare(&mut command);
    command.args(["run", "--at", NOON]).uid(user).gid(user);
    command
}

fn said(daemon: &Daemon, parts: &[&str]) -> usize {
    daemon.stderr().lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
}

#[test]
fn a_script_never_has_the_limit_of_open_files_that_the_daemon_has_raised_for_itself() {
    let world =
        World::new("[[script]]\nname = \"looks\"\ncommand = [\"sh\", \"-c\", \"ulimit -Sn >soft; exec sleep 300\"]\n");
    let mut shell = Command::new("/bin/sh");
    world.prepare(&mut shell);
    shell.args(["-c", "ulimit -Sn 300; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_mho"), "run"]);
    // The script looks long before the daemon comes back to it.
    shell.env("FAILPOINTS", "spawned=sleep(1000)");
    let mut daemon = world.run_as(shell, &["--at", NOON]);
    assert_eq!(daemon.number("soft"), 300);
    daemon.stop();
}

#[test]
fn where_descriptors_end_the_others_run_and_the_rest_follows_when_there_are_more() {
    const SCRIPTS: usize = 30;
    let world = World::new(&format!("defaults = {{ start = \"12:00:12\" }}\n{}", many(SCRIPTS)));
    let mut daemon = world.rehearse(NOON);
    // By now it has raised its limit as far as it may.
    daemon.wait_for(&["Status: idle"]);
    leave_descriptors(&daemon, Some(20));
    daemon.wait_for(&["ERROR", "too many open files: raise the limit (`ulimit -n`, LimitNOFILE)"]);
    eventually("as many run as there is room for", || running(&daemon, SCRIPTS) > 3);
    assert_calm(&daemon);
    let some = running(&daemon, SCRIPTS);
    assert!(some < SCRIPTS, "the limit was too high to test anything");
    eventually("nothing runs that is not watched", || children(&daemon) == running(&daemon, SCRIPTS));

    // One that ends makes room for itself at least.
    let victim = (0..SCRIPTS).flat_map(|n| living(&daemon, &format!("s{n}"))).next().expect("one runs");
    send(victim, Signal::SIGKILL);
    eventually("its end is seen", || daemon.count(&["Script was killed by signal 9"]) > 0);
    daemon.tell_guard(Signal::SIGHUP);
    daemon.wait_for(&["SIGHUP received"]);

    leave_descriptors(&daemon, None);
    eventually("all run", || running(&daemon, SCRIPTS) == SCRIPTS);
    let each_once = |n: usize| living(&daemon, &format!("s{n}")).len() == 1;
    assert!((0..SCRIPTS).all(each_once));
    assert_eq!(children(&daemon), SCRIPTS, "and nothing else");
    daemon.stop();
}

#[test]
fn a_daemon_with_hardly_a_free_descriptor_ends_its_scripts_in_order() {
    let config = format!(
        "{}[[script]]\nname = \"escapes\"\n\
         command = [\"sh\", \"-c\", \"(setsid sh -c 'echo $$ >inner; exec sleep 300' &) ; exec sleep 300\"]\n",
        many(3)
    );
    let mut daemon = World::new(&config).rehearse(NOON);
    eventually("all run", || running(&daemon, 3) == 3);
    let inner = daemon.number("inner");
    daemon.wait_for(&["Script started with PID", "script=escapes"]);
    leave_hardly_a_descriptor(&daemon);
    send(living(&daemon, "s0")[0], Signal::SIGKILL);
    daemon.wait_for(&["Script was killed by signal 9", "script=s0"]);
    let start = Instant::now();
    daemon.stop();
    assert!(!alive(inner));
    assert!(start.elapsed() < Duration::from_secs(8), "nobody had to be killed: {:?}", start.elapsed());
}

#[test]
fn where_no_further_process_is_allowed_a_script_comes_back_when_one_is() {
    if !as_root() {
        return;
    }
    let world = World::new(&many(2));
    // A user of its own: the limit counts all processes of a user.
    let user = 100_000 + std::process::id();
    let command = as_user(&world, user);
    let mut daemon = world.run_as(command, &[]);
    eventually("both run", || running(&daemon, 2) == 2);
    // By that user himself: root may be without the right to set other users' limits.
    let limit = |value: &str| {
        let mut command = Command::new("prlimit");
        command.args(["--pid", &daemon.daemon_pid().to_string(), &format!("--nproc={value}:")]).uid(user).gid(user);
        assert!(command.status().expect("prlimit runs").success());
    };
    limit("1");
    send(living(&daemon, "s0")[0], Signal::SIGKILL);
    let line = daemon.wait_for(&["no further process is allowed: raise the limit (`ulimit -u`", "script=s0"]);
    assert!(line.contains("ERROR"), "{line}");
    eventually("it is tried again", || daemon.count(&["no further process is allowed"]) > 1);
    assert_eq!(living(&daemon, "s1").len(), 1, "the other goes on");
    assert_calm(&daemon);
    limit("10000");
    eventually("it is back", || living(&daemon, "s0").len() == 1);
    assert_eq!(children(&daemon), 2);
    daemon.stop();
}

#[test]
fn on_a_disk_that_is_full_scripts_go_on_and_logs_resume_when_there_is_room() {
    if !as_root() {
        return;
    }
    let world = World::new(&format!(
        "[[script]]\nname = \"talks\"\noutput = {{ echo = false }}\n{EAGER}\n\
         command = [\"sh\", \"-c\", \"echo $$ >up-talks-$$; i=0; while :; do i=$((i+1)); echo line $i; echo $i >count; sleep 0.01; done\"]\n"
    ));
    std::fs::create_dir(world.path("logs")).expect("made");
    let mut command = Command::new("unshare");
    let mount = "mount -t tmpfs -o size=64k tmpfs logs && head -c 40000 /dev/zero >logs/filler && exec \"$0\" \"$@\"";
    command.args(["--mount", "sh", "-c", mount, env!("CARGO_BIN_EXE_mho"), "run", "--at", NOON]);
    world.prepare(&mut command);
    let mut daemon = world.run_as(command, &[]);
    eventually("it runs", || daemon.stderr().contains("Script started with PID") || daemon.guard_is_gone());
    if daemon.guard_is_gone() && !daemon.stderr().contains("INFO: mho ") {
        eprintln!("SKIPPED: no file system can be mounted here: {}", daemon.stderr());
        return;
    }
    let logs = PathBuf::from(format!("/proc/{}/root{}", daemon.guard_pid(), daemon.path("logs").display()));
    // The rest of the space is taken by somebody else; now and then a page becomes free, and is taken, too.
    let fill = || {
        let mut file = File::options().append(true).create(true).open(logs.join("filler")).expect("opened");
        while std::io::Write::write(&mut file, &[0; 512]).is_ok() {}
    };
    fill();
    let cannot =
        |daemon: &Daemon, log: &str| said(daemon, &["WARNING: log file", log, "cannot be written", "No space left"]);
    let (main, own) = ("orchestrator_main.log", "2026-11-30.log");
    eventually("both say so", || {
        daemon.tell_guard(Signal::SIGHUP);
        std::thread::sleep(Duration::from_millis(50));
        fill();
        cannot(&daemon, main) > 0 && cannot(&daemon, own) > 0
    });
    let count = || daemon.read("count").trim().parse::<u64>().unwrap_or_default();
    let before = count();
    eventually("the script goes on", || count() > before + 20);
    // A script that comes back has nothing new to say of the disk.
    let first: BTreeSet<u32> = living(&daemon, "talks").into_iter().collect();
    for pid in &first {
        send(*pid, Signal::SIGKILL);
    }
    eventually("it came back", || living(&daemon, "talks").iter().any(|pid| !first.contains(pid)));
    let before = count();
    eventually("and prints", || count() > 20 && count() != before);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!((cannot(&daemon, main), cannot(&daemon, own)), (1, 1), "{}", daemon.stderr());

    std::fs::remove_file(logs.join("filler")).expect("removed");
    eventually("both are written again", || {
        daemon.tell_guard(Signal::SIGHUP);
        std::thread::sleep(Duration::from_millis(50));
        let back = |log: &str| said(&daemon, &["INFO: log file", log, "can be written again"]) > 0;
        back(main) && back(own)
    });
    let written = || std::fs::read_to_string(logs.join("talks").join(own)).unwrap_or_default();
    eventually("the script's log goes on", || {
        let text = written();
        text.contains("bytes of output were lost here: No space left") && text.ends_with('\n')
    });
    let main_text = std::fs::read_to_string(logs.join(main)).expect("readable");
    assert!(main_text.contains("orchestrator_main.log can be written again"), "{main_text}");
    assert_eq!((cannot(&daemon, main), cannot(&daemon, own)), (1, 1), "{}", daemon.stderr());
    daemon.stop();
}

#[test]
fn where_files_may_not_grow_any_more_scripts_go_on_and_all_is_written_when_they_may() {
    let world = World::new(&format!(
        "[[script]]\nname = \"talks\"\noutput = {{ echo = false }}\n{EAGER}\n\
         command = [\"sh\", \"-c\", \"echo $$ >up-talks-$$; while :; do echo a line; sleep 0.05; done\"]\n"
    ));
    // By way of a pipe: the file that takes its stderr may grow.
    let mut command = Command::new("sh");
    command.args(["-c", "mkfifo pipe && { cat <pipe >&2 & } && exec \"$@\" 2>pipe", "sh", env!("CARGO_BIN_EXE_mho")]);
    command.args(["run", "--at", NOON]);
    world.prepare(&mut command);
    let mut daemon = world.run_as(command, &[]);
    let itself = daemon.daemon_pid();
    eventually("it runs", || !living(&daemon, "talks").is_empty());
    let first = living(&daemon, "talks");
    let cannot = |log: &str| said(&daemon, &["WARNING: log file", log, "cannot be written", "File too large"]);
    let (main, own) = ("orchestrator_main.log", "2026-11-30.log");
    let hang_up = || {
        daemon.tell_guard(Signal::SIGHUP);
        std::thread::sleep(Duration::from_millis(50));
    };
    common::limit_file_size(itself, Some(16));
    eventually("both logs say so", || {
        hang_up();
        cannot(main) > 0 && cannot(own) > 0
    });
    send(first[0], Signal::SIGKILL);
    eventually("the script comes back", || living(&daemon, "talks").iter().any(|pid| !first.contains(pid)));
    eventually("the journal says so", || said(&daemon, &["ERROR: The journal cannot be written", "mho.db"]) > 0);
    let second = living(&daemon, "talks")[0];
    let status = std::fs::read_to_string(format!("/proc/{second}/status")).expect("it lives");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("the field");
    let ignored = u64::from_str_radix(ignored.trim(), 16).expect("a number");
    assert_eq!(ignored & 1 << (Signal::SIGXFSZ as i32 - 1), 0, "for a script the signal means what it always does");

    common::limit_file_size(itself, None);
    eventually("both logs are written again", || {
        hang_up();
        let back = |log: &str| said(&daemon, &["INFO: log file", log, "can be written again"]) > 0;
        back(main) && back(own)
    });
    eventually("the journal has caught up", || {
        let done = daemon.cli(&["history", "--config", "mho.toml", "--state-dir", "state", "--json"]);
        done.json()["attempts"] == 2
    });
    assert_eq!((cannot(main), cannot(own)), (1, 1), "{}", daemon.stderr());
    assert!(alive(second));
    daemon.tell_guard(Signal::SIGTERM);
    assert_eq!(daemon.end().code(), Some(0));
    eventually("nothing is left", || daemon.processes().is_empty());
}

#[test]
fn a_log_directory_that_is_read_only_is_told_of_once_and_logs_begin_when_it_is_not() {
    if !as_root() {
        return;
    }
    let world = World::new(&format!(
        "[[script]]\nname = \"talks\"\noutput = {{ echo = false }}\n{EAGER}\n\
         command = [\"sh\", \"-c\", \"echo $$ >up-talks-$$; while :; do echo on; sleep 0.05; done\"]\n"
    ));
    // Root may write everywhere.
    let command = as_user(&world, 65_534);
    std::fs::create_dir(world.path("logs")).expect("made");
    let logs = world.path("logs");
    std::fs::set_permissions(&logs, PermissionsExt::from_mode(0o555)).expect("set");
    let mut daemon = world.run_as(command, &[]);
    eventually("it runs", || living(&daemon, "talks").len() == 1);
    let cannot = |log: &str| said(&daemon, &["WARNING: log file", log, "cannot be written: Permission denied"]);
    let (main, own) = ("orchestrator_main.log", "2026-11-30.log");
    eventually("both say so", || cannot(main) > 0 && cannot(own) > 0);
    // More than one retry.
    let start = Instant::now();
    eventually("time goes by", || {
        daemon.tell_guard(Signal::SIGHUP);
        std::thread::sleep(Duration::from_millis(100));
        start.elapsed() > Duration::from_millis(2500)
    });
    assert_eq!((cannot(main), cannot(own)), (1, 1), "{}", daemon.stderr());
    std::fs::set_permissions(&logs, PermissionsExt::from_mode(0o777)).expect("set");
    eventually("both are written", || {
        daemon.tell_guard(Signal::SIGHUP);
        std::thread::sleep(Duration::from_millis(50));
        daemon.count(&["orchestrator_main.log can be written again"]) == 1
            && daemon.read("logs/talks/2026-11-30.log").lines().count() > 5
    });
    assert_eq!((cannot(main), cannot(own)), (1, 1), "{}", daemon.stderr());
    daemon.tell_guard(Signal::SIGTERM);
    assert_eq!(daemon.end().code(), Some(0));
}

#[test]
fn a_pipe_in_the_place_of_a_log_holds_up_nobody_and_the_log_begins_when_it_is_removed() {
    let one = |name| {
        format!(
            "[[script]]\nname = \"{name}\"\noutput = {{ echo = false }}\n{EAGER}\n\
             command = [\"sh\", \"-c\", \"echo $$ >up-{name}-$$; while :; do head -c 5000 /dev/zero; echo on; sleep 0.02; done\"]\n"
        )
    };
    let world = World::new(&format!("{}{}", one("piped"), one("neighbour")));
    let pipe = world.path("logs/piped/2026-11-30.log");
    std::fs::create_dir_all(pipe.parent().expect("a directory")).expect("made");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("made");
    let mut daemon = world.rehearse(NOON);
    let size = |name: &str| {
        let path = daemon.path(&format!("logs/{name}/2026-11-30.log"));
        std::fs::metadata(path).map(|found| found.len()).unwrap_or_default()
    };
    let told = ["WARNING: log file", "cannot be written: it is not a regular file", "script=piped"];
    eventually("it says so", || said(&daemon, &told) > 0);
    // Much more than the pipes of both can hold.
    let before = size("neighbour");
    eventually("the neighbour's log goes on", || size("neighbour") > before + 400_000);
    std::fs::remove_file(&pipe).expect("removed");
    eventually("its log begins", || size("piped") > 0);
    assert!(daemon.read("logs/piped/2026-11-30.log").starts_with("[mho: "));
    assert_eq!(said(&daemon, &told), 1, "{}", daemon.stderr());
    daemon.stop();
}

#[test]
fn a_script_whose_output_the_kernel_does_not_watch_can_print_and_is_watched_when_it_may_be() {
    // More than its pipe holds, however large it is made.
    let world = World::new(&format!(
        "[[script]]\nname = \"talks\"\noutput = {{ echo = false }}\n{EAGER}\n\
         command = [\"sh\", \"-c\", \"head -c 600000 /dev/zero; echo >done; exec sleep 300\"]\n"
    ));
    let mut command = world.mho(&["run", "--at", NOON]);
    command.env("FAILPOINTS", "output.watch=12*return(ENOSPC)->off");
    let mut daemon = world.run_as(command, &[]);
    eventually("it could print it all", || daemon.has("done"));
    let log = daemon.path("logs/talks/2026-11-30.log");
    eventually("all is written", || std::fs::metadata(&log).is_ok_and(|found| found.len() == 600_000));
    daemon.wait_for(&["INFO: output of scripts can be watched again"]);
    assert_eq!(daemon.count(&["WARNING: output of scripts cannot be watched: No space left"]), 1, "{:?}", daemon.log());
    assert_calm(&daemon);
    daemon.stop();
}

#[test]
fn a_script_that_closes_its_output_early_is_left_alone() {
    let world = World::new(&format!(
        "[[script]]\nname = \"quiet\"\n{EAGER}\n\
         command = [\"sh\", \"-c\", \"echo first; exec >&- 2>&-; echo $$ >up-quiet-$$; trap 'echo >handled; exit 0' TERM; while :; do sleep 0.1; done\"]\n"
    ));
    let mut daemon = world.rehearse(NOON);
    eventually("it runs", || living(&daemon, "quiet").len() == 1);
    let pid = living(&daemon, "quiet")[0];
    eventually("its line is there", || daemon.read("logs/quiet/2026-11-30.log") == "first\n");
    assert_calm(&daemon);
    assert_eq!(living(&daemon, "quiet"), [pid]);
    assert_eq!(daemon.count(&["Script exited"]) + daemon.count(&["WARNING", "script=quiet"]), 0, "{:?}", daemon.log());
    // Its next attempt has a pipe again.
    send(pid, Signal::SIGKILL);
    eventually("its next attempt prints", || daemon.read("logs/quiet/2026-11-30.log") == "first\nfirst\n");
    daemon.stop();
    assert!(daemon.has("handled"));
}

#[test]
fn a_descendant_that_keeps_the_pipe_open_is_stopped_and_the_next_attempt_has_its_own() {
    let world = World::new(&format!(
        "[[script]]\nname = \"leaves\"\n{EAGER}\n\
         command = [\"sh\", \"-c\", \"(setsid env -i /bin/sh -c 'echo $$ >inner; while :; do /bin/sleep 0.05; echo and on; done' &) ; \
         while [ ! -e inner ]; do sleep 0.01; done; [ $MHO_ATTEMPT = 1 ] && exit 3; echo $$ >up-leaves-$$; exec sleep 300\"]\n"
    ));
    let mut daemon = world.rehearse(NOON);
    daemon.wait_for(&["ERROR: Script exited with return code: 3", "script=leaves"]);
    let warning = daemon.wait_for(&["WARNING", "script=leaves"]);
    assert!(warning.contains("pid") || warning.contains("PID"), "{warning}");
    eventually("it is back", || living(&daemon, "leaves").len() == 1);
    assert_eq!(daemon.count(&["WARNING", "script=leaves"]), 1, "{:?}", daemon.log());
    daemon.stop();
}

#[test]
fn a_stranger_that_keeps_the_pipe_open_holds_up_neither_the_end_nor_the_next_attempt() {
    let world = World::new(&format!(
        "[[script]]\nname = \"ends\"\n{EAGER}\n\
         command = [\"sh\", \"-c\", \"echo attempt $MHO_ATTEMPT; echo $$ >up-ends-$$; exec sleep 300\"]\n"
    ));
    let mut daemon = world.rehearse(NOON);
    eventually("it runs", || living(&daemon, "ends").len() == 1);
    let pid = living(&daemon, "ends")[0];
    let mut held = File::options().write(true).open(format!("/proc/{pid}/fd/1")).expect("opened");
    send(pid, Signal::SIGKILL);
    eventually("its next attempt runs", || living(&daemon, "ends").iter().any(|found| *found != pid));
    eventually("and prints", || daemon.read("logs/ends/2026-11-30.log") == "attempt 1\nattempt 2\n");
    // Nobody reads any more, and nobody waits.
    let _ = std::io::Write::write(&mut held, b"late\n");
    assert_calm(&daemon);
    daemon.stop();
    assert_eq!(daemon.read("logs/ends/2026-11-30.log"), "attempt 1\nattempt 2\n");
}

trait GuardIsGone {
    fn guard_is_gone(&self) -> bool;
}

impl GuardIsGone for Daemon {
    fn guard_is_gone(&self) -> bool {
        !alive(self.guard_pid())
    }
}
