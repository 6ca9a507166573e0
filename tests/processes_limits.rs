//! `[script.limits]`: held to from the first instruction on, by the daemon and by `mho exec` alike; refused with a reason where the right to
//! set them is missing; and memory that grows beyond `max_rss` is told of.

mod common;
mod processes_support;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use mho::domain::limits::Limits;
use mho::domain::script::Launch;
use mho::ports::{Launcher, ProcessEvent};
use nix::unistd::geteuid;
use processes_support as support;

/// What a script sees of its limits, one line each.
const SHOW: &str = "ulimit -Sn; ulimit -Hn; ulimit -v; ulimit -St; ulimit -c; umask; nice";

/// In the order of SHOW; the memory in KiB.
const SHOWN: &str = "128\n128\n4194304\n90\n0\n0027\n7\n";

const LIMITS: &str = "nofile = 128\nmemory = \"4GiB\"\ncpu_time = \"90s\"\ncore = 0\nnice = 7\numask = \"027\"\n";

/// Of the user `nobody`.
const NOBODY: u32 = 65534;

/// Other users' names are for root alone.
fn is_root(test: &str) -> bool {
    let root = geteuid().is_root();
    if !root {
        eprintln!("{test}: skipped: only root can start a script as another user");
    }
    root
}

/// A configuration whose script prints to the file `seen` what `show` prints, and then sleeps.
fn config(show: &str, more: &str, limits: &str) -> String {
    format!(
        "[[script]]\nname = \"demo\"\ncalendar = \"always\"\nstart = \"open\"\n\
         command = [\"sh\", \"-c\", \"{{ {show}; }} >seen.new; mv seen.new seen; exec sleep 300\"]\n{more}\n\
         [script.limits]\n{limits}\n"
    )
}

/// What the script `demo` saw, started by the daemon, and by `mho exec`.
fn seen_by_both(config: &str) -> [String; 2] {
    let mut daemon = common::World::new(config).run(&[]);
    open_to_all(&daemon);
    common::eventually("the daemon's script has seen it", || daemon.has("seen"));
    let by_daemon = daemon.read("seen");
    daemon.stop();
    let world = common::World::new(config);
    open_to_all(&world);
    let mut child = world.mho(&["exec", "--config", "mho.toml", "demo"]).spawn().expect("mho starts");
    common::eventually("the script of exec has seen it", || world.has("seen"));
    let by_exec = world.read("seen");
    common::send(child.id(), nix::sys::signal::Signal::SIGKILL);
    child.wait().expect("ours");
    [by_daemon, by_exec]
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("set");
}

/// Another user may work in the test's directory.
fn open_to_all(world: &common::World) {
    set_mode(world.root(), 0o777);
}

#[test]
fn a_script_and_exec_are_held_to_the_same_limits() {
    let [by_daemon, by_exec] = seen_by_both(&config(SHOW, "", LIMITS));
    assert_eq!(by_daemon, SHOWN);
    assert_eq!(by_exec, SHOWN);
}

#[test]
fn a_script_runs_as_its_user_with_his_groups_and_his_home() {
    if !is_root("a_script_runs_as_its_user_with_his_groups_and_his_home") {
        return;
    }
    let nobody = nix::unistd::User::from_name("nobody").expect("read").expect("there is one");
    let (uid, gid, home) = (nobody.uid, nobody.gid, nobody.dir.display());
    // Until the test's directory is open to him, he may not enter it.
    let patience = "restart = { initial_delay = \"100ms\", max_restarts = 100 }";
    let show = "id -u; id -g; id -G; echo $HOME $USER $LOGNAME";
    for seen in seen_by_both(&config(show, patience, "user = \"nobody\"")) {
        assert_eq!(seen, format!("{uid}\n{gid}\n{gid}\n{home} nobody nobody\n"));
    }
    let more = format!("{patience}\nenv = {{ HOME = \"/else\" }}");
    for seen in seen_by_both(&config(show, &more, &format!("user = {uid}\ngroup = 4242"))) {
        assert_eq!(seen, format!("{uid}\n4242\n4242\n/else nobody nobody\n"));
    }
}

#[test]
fn another_user_can_open_his_output_by_name() {
    if !is_root("another_user_can_open_his_output_by_name") {
        return;
    }
    let text = "[[script]]\nname = \"demo\"\ncalendar = \"always\"\nstart = \"open\"\nworking_dir = \"/\"\n\
                command = [\"sh\", \"-c\", \"echo by name >/dev/stderr; exec sleep 300\"]\n[script.limits]\nuser = \"nobody\"\n";
    let mut daemon = common::World::new(text).run(&[]);
    common::eventually("it has printed", || daemon.stderr().contains("by name"));
    assert!(!daemon.stderr().contains("cannot create"), "{}", daemon.stderr());
    daemon.stop();
}

#[tokio::test]
async fn who_is_no_user_and_what_he_may_not_do_is_told_in_words() {
    let world = support::World::new();
    let with = |limits: Limits| Launch { limits, ..world.launch("/bin/true", &[]) };
    let user = |name: &str| Limits { user: Some(name.to_owned()), ..Limits::default() };
    let refused = |launch: Launch| world.start(world.order("fails", launch)).expect_err("no process").0;
    let unknown = refused(with(user("no-such-user")));
    assert_eq!(unknown, "limits.user: there is no user \"no-such-user\" on this machine: add it, or correct the name");
    let group = Limits { group: Some("no-such-group".to_owned()), ..Limits::default() };
    assert!(refused(with(group)).starts_with("limits.group: there is no group"));
    let nowhere = Launch { working_dir: world.path("nowhere"), ..with(Limits { nice: Some(5), ..Limits::default() }) };
    assert!(refused(nowhere).ends_with("does not exist: create it, or correct `working_dir`"));
    let absent = Launch { program: world.path("none"), ..with(Limits { nice: Some(5), ..Limits::default() }) };
    assert!(refused(absent).contains("does not exist: put it back, or correct `command`"));
    let many = Limits { nofile: Some(u64::from(u32::MAX)), ..Limits::default() };
    assert!(refused(with(many)).starts_with("limits.nofile: is above "));
    if is_root("who_is_no_user_and_what_he_may_not_do_is_told_in_words") {
        set_mode(world.dir.path(), 0o700);
        let error = refused(with(user("nobody")));
        assert!(error.starts_with("working_dir ") && error.contains("cannot be entered by user nobody"), "{error}");
        let program = world.path("own.sh");
        std::fs::write(&program, "#!/bin/sh\n").expect("written");
        set_mode(&program, 0o755);
        let error = refused(Launch { program, working_dir: "/".into(), ..with(user("nobody")) });
        assert!(error.starts_with("user nobody may not execute "), "{error}");
    }
}

/// `mho check --json` of a whole command.
fn check(mut command: Command) -> (i32, Vec<(String, u64, String, serde_json::Value)>) {
    command.args(["check", "--json", "--config", "mho.toml"]);
    let done = common::done(command);
    let found = done.json();
    let of = |fault: &serde_json::Value| {
        let text = |key: &str| fault[key].as_str().unwrap_or_default().to_owned();
        (text("key"), fault["line"].as_u64().unwrap_or_default(), text("message"), fault["suggestion"].clone())
    };
    (done.code, found["errors"].as_array().expect("a list").iter().map(of).collect())
}

#[test]
fn check_tells_who_is_unknown_and_who_was_meant() {
    let text = "[[script]]\nname = \"demo\"\ncommand = [\"sleep\", \"1\"]\nworking_dir = \"/\"\n[script.limits]\nnice = 5\nuser = \"nobdy\"\n";
    let world = common::World::new(text);
    let (code, faults) = check(world.mho(&[]));
    let [(key, line, message, suggestion)] = faults.as_slice() else { panic!("one fault: {faults:?}") };
    assert_eq!((code, key.as_str(), *line), (2, "script.demo.limits.user", 7));
    assert!(message.contains("there is no user \"nobdy\""), "{message}");
    assert_eq!(suggestion, "nobody");
}

#[test]
fn check_tells_each_right_that_is_missing_and_the_start_fails_alone() {
    if !is_root("check_tells_each_right_that_is_missing_and_the_start_fails_alone") {
        return;
    }
    let limits = "nofile = 100000\ncore = \"unlimited\"\nmemory = \"8GiB\"\nnice = -5\nuser = \"root\"\n";
    let script = |name: &str, limits: &str| {
        format!(
            "[[script]]\nname = \"{name}\"\ncalendar = \"always\"\nstart = \"open\"\ncommand = [\"sleep\", \"300\"]\n\
             working_dir = \"/\"\n[script.limits]\n{limits}"
        )
    };
    let text = format!("{}{}", script("greedy", limits), script("modest", "nofile = 64\nnice = 19\ncore = 0\n"));
    let world = common::World::new(&text);
    open_to_all(&world);
    // The program under test may stand where nobody can reach it.
    let program = world.path("mho");
    common::copy_program(&program);
    let as_nobody = || {
        let mut command = Command::new("sh");
        world.prepare(&mut command);
        command.uid(NOBODY).gid(NOBODY);
        command.args(["-c", "ulimit -n 4096; ulimit -c 0; ulimit -v 6000000; exec \"$@\"", "sh"]).arg(&program);
        command
    };
    let (code, faults) = check(as_nobody());
    assert_eq!(code, 2, "{faults:?}");
    let told: Vec<(&str, u64)> = faults.iter().map(|(key, line, ..)| (key.as_str(), *line)).collect();
    let key = |key: &'static str, line| (key, line);
    assert_eq!(
        told,
        [
            key("script.greedy.limits.nofile", 8),
            key("script.greedy.limits.memory", 10),
            key("script.greedy.limits.core", 9),
            key("script.greedy.limits.nice", 11),
            key("script.greedy.limits.user", 12),
        ],
        "{faults:?}"
    );
    for (fault, words) in faults.iter().zip([
        "is above the hard limit of 4096, which only root may raise: raise that (ulimit -Hn, LimitNOFILE)",
        "is above the hard limit of 6144000000 bytes",
        "is above the hard limit of 0 bytes",
        "this user may not set so low a value: ",
        "cannot become user root: EPERM: Operation not permitted: run mho as root, or remove the key",
    ]) {
        assert!(fault.2.contains(words.split(": EPERM").next().expect("a part")), "{fault:?}");
    }
    let mut command = as_nobody();
    command.arg("run");
    let mut daemon = world.run_as(command, &[]);
    daemon.wait_for(&["script=greedy", "limits.nofile: is above the hard limit of 4096"]);
    daemon.wait_for(&["script=modest", "Running: "]);
    assert!(daemon.lines_with(&["script=modest", "limits."]).is_empty());
    daemon.stop();
}

#[test]
fn check_knows_what_the_scripts_user_cannot_reach() {
    if !is_root("check_knows_what_the_scripts_user_cannot_reach") {
        return;
    }
    let text = "[[script]]\nname = \"demo\"\ncommand = [\"sh\", \"own.sh\"]\n[script.limits]\nuser = \"nobody\"\n";
    let world = common::World::new(text);
    world.write("own.sh", "sleep 1\n");
    set_mode(world.root(), 0o700);
    let (code, faults) = check(world.mho(&[]));
    assert_eq!((code, faults.len()), (2, 2), "{faults:?}");
    assert!(
        faults[0].2.contains("cannot be read by user nobody") || faults[1].2.contains("cannot be read by user nobody")
    );
    assert!(faults.iter().any(|fault| fault.2.contains("cannot be entered by user nobody")), "{faults:?}");
    open_to_all(&world);
    assert_eq!(check(world.mho(&[])), (0, Vec::new()));
}

#[tokio::test]
async fn memory_of_the_whole_script_beyond_its_limit_is_told_of() {
    let mut world = support::World::new();
    // The memory is that of a child that has left the group.
    let eater = "setsid python3 -c 'import time; b = bytearray(b\"x\") * 100_000_000; time.sleep(300)' & wait";
    let (greedy, _) = world.shell("greedy", eater);
    let (modest, _) = world.shell("modest", "exec sleep 300");
    for attempt in [&greedy, &modest] {
        world.launcher.watch_memory(attempt, Some(80_000_000));
    }
    match world.event().await {
        ProcessEvent::OverMemory { attempt, bytes } => {
            assert_eq!(attempt, greedy);
            assert!((100_000_000..1_000_000_000).contains(&bytes), "{bytes}");
        }
        other => panic!("expected OverMemory, got {other:?}"),
    }
    // A raised limit holds from then on, and one that is crossed already is told of at the next look.
    world.launcher.watch_memory(&greedy, Some(900_000_000));
    world.launcher.watch_memory(&modest, Some(1));
    match world.event().await {
        ProcessEvent::OverMemory { attempt, .. } => assert_eq!(attempt, modest),
        other => panic!("expected OverMemory, got {other:?}"),
    }
    world.launcher.watch_memory(&modest, None);
    world.launcher.kill(&modest);
    let (_, leftovers) = world.exited().await;
    assert!(leftovers.is_empty(), "{leftovers:?}");
}
