//! One daemon per state directory: the second one ends with code 5, names the first and changes nothing; nothing stale is left to clean up.

mod common;

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Daemon, Done, World, alive, done, eventually, send};
use mho::adapters::procfs;
use nix::sys::signal::Signal;

const NOON: &str = "2026-11-30T12:00:00";

/// Runs around the clock, so that a live daemon has work, too.
const ALWAYS: &str = r#"
    [[script]]
    name = "demo"
    calendar = "always"
    start = "open"
    command = ["sh", "-c", "echo $$ >>started; exec sleep 300"]
"#;

/// A daemon that runs for real, with the state and logs that its configuration names.
fn live() -> Daemon {
    let daemon = World::new(ALWAYS).run(&[]);
    daemon.number("started");
    daemon
}

/// `mho run` again, in the same world, with the configured state directory.
fn again(world: &World, flags: &[&str]) -> Done {
    let mut command = Command::new("timeout");
    world.prepare(&mut command);
    command.args(["60", env!("CARGO_BIN_EXE_mho"), "run", "--config", "mho.toml"]).args(flags);
    done(command)
}

fn names_the_holder(second: &Done, first: &Daemon) {
    assert_eq!(second.code, 5, "{second:?}");
    assert_eq!(second.err.lines().count(), 1, "{second:?}");
    assert!(second.err.starts_with("mho: already running: "), "{second:?}");
    for part in [
        format!("PID {}", first.daemon_pid()),
        format!("guard PID {}", first.guard_pid()),
        " since 20".to_owned(),
        first.path("state").display().to_string(),
    ] {
        assert!(second.err.contains(&part), "{part}: {second:?}");
    }
}

/// Every file below `dir` with what is in it.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path.clone(), std::fs::read(&path).unwrap_or_default());
        }
    }
    all
}

/// What a second daemon must not touch: all but the database of the first one, which writes there by itself.
fn untouched(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = files(&world.path("state"));
    all.retain(|path, _| !path.file_name().expect("a name").to_string_lossy().starts_with("mho.db"));
    all
}

#[test]
fn the_second_daemon_ends_with_5_names_the_first_and_changes_nothing() {
    let mut first = live();
    first.wait_for(&["Status: running"]);
    let (before, log) = (untouched(&first), first.count(&["started with PID", "mho "]));
    assert!(before.contains_key(&first.path("state/lock")));
    names_the_holder(&again(&first, &[]), &first);
    assert_eq!(untouched(&first), before);
    assert_eq!(first.count(&["started with PID", "mho "]), log, "not a line in the log of the first one");
    assert_eq!(first.read("started").lines().count(), 1);
    assert!(alive(first.daemon_pid()));
    first.stop();
}

#[test]
fn the_lock_says_who_holds_it() {
    let mut daemon = live();
    let text = daemon.read("state/lock");
    assert_eq!(text.lines().count(), 1, "{text}");
    let holder: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(holder["pid"], daemon.daemon_pid());
    let process = procfs::read(daemon.daemon_pid()).expect("/proc").expect("it lives");
    assert_eq!(holder["born"], process.start);
    assert_eq!(holder["boot"], procfs::boot_id().expect("readable"));
    assert_eq!(holder["what"], "live");
    chrono::DateTime::parse_from_rfc3339(holder["since"].as_str().expect("text")).expect("an instant");
    daemon.stop();
}

#[test]
fn it_is_the_same_instance_from_wherever_and_by_whatever_path_it_is_started() {
    let mut first = live();
    let mut elsewhere = first.mho(&["run"]);
    elsewhere.arg("--config").arg(first.path("mho.toml")).current_dir("/");
    names_the_holder(&done(elsewhere), &first);
    symlink(first.path("state"), first.path("other-name")).expect("linked");
    let linked = again(&first, &["--state-dir", "other-name"]);
    assert_eq!(linked.code, 5, "{linked:?}");
    assert!(linked.err.contains(&format!("PID {}", first.daemon_pid())), "{linked:?}");
    first.stop();
}

#[test]
fn after_sigkill_of_all_a_start_needs_no_hand() {
    let mut first = live();
    let (guard, itself) = (first.guard_pid(), first.daemon_pid());
    send(guard, Signal::SIGKILL);
    send(itself, Signal::SIGKILL);
    first.end();
    eventually("the daemon is gone", || !alive(itself));
    assert!(first.has("state/lock"), "it is left behind, and means nothing");
    let mut command = first.mho(&["run", "--config", "mho.toml"]);
    command.stderr(std::fs::File::create(first.path("second")).expect("a file"));
    let mut second = command.spawn().expect("mho starts");
    eventually("the second one holds the lock", || {
        let holder: serde_json::Value = serde_json::from_str(&first.read("state/lock")).unwrap_or_default();
        holder["guard"] == second.id()
    });
    send(second.id(), Signal::SIGTERM);
    assert_eq!(second.wait().expect("ours").code(), Some(0), "{}", first.read("second"));
}

#[test]
fn a_lock_file_that_somebody_removed_lets_no_second_one_in() {
    let mut first = live();
    std::fs::remove_file(first.path("state/lock")).expect("removed");
    let second = again(&first, &[]);
    assert_eq!(second.code, 5, "{second:?}");
    assert!(!first.has("state/lock"), "it changes nothing");
    first.stop();
}

#[test]
fn a_lock_full_of_rubbish_keeps_nobody_from_starting() {
    let world = World::new(ALWAYS);
    world.write("state/lock", &"rubbish\n".repeat(1000));
    let mut daemon = world.run(&[]);
    daemon.number("started");
    assert_eq!(daemon.read("state/lock").lines().count(), 1);
    daemon.stop();
}

#[test]
fn a_state_directory_that_cannot_be_locked_is_code_1_with_path_and_reason() {
    let world = World::new(ALWAYS);
    world.write("file", "");
    let not_made = again(&world, &["--state-dir", "file/state"]);
    assert_eq!(not_made.code, 1, "{not_made:?}");
    assert!(not_made.err.contains("file/state") && not_made.err.contains("Not a directory"), "{not_made:?}");
    std::fs::create_dir_all(world.path("held/lock")).expect("made");
    let not_locked = again(&world, &["--state-dir", "held"]);
    assert_eq!(not_locked.code, 1, "{not_locked:?}");
    assert!(not_locked.err.contains("held") && not_locked.err.contains("Is a directory"), "{not_locked:?}");
    assert!(!world.has("started") && !world.has("logs"));
}

#[test]
fn a_rehearsal_beside_a_live_daemon_wants_to_be_asked_for() {
    let mut first = live();
    for flags in [&["--at", NOON][..], &["--speed", "2"], &["--at", NOON, "--state-dir", "own", "--log-dir", "own"]] {
        let refused = again(&first, flags);
        names_the_holder(&refused, &first);
        assert!(refused.err.contains("--beside-live"), "{refused:?}");
    }
    assert!(!first.has("own"));
    let flags =
        ["run", "--config", "mho.toml", "--at", NOON, "--beside-live", "--state-dir", "own", "--log-dir", "own"];
    let mut rehearsal = first.mho(&flags).spawn().expect("mho starts");
    eventually("the rehearsal starts its script", || first.read("started").lines().count() == 2);
    let holder: serde_json::Value = serde_json::from_str(&first.read("own/lock")).expect("JSON");
    assert_eq!(holder["what"], "rehearsal");
    let third = again(&first, &flags[3..]);
    assert_eq!(third.code, 5, "a rehearsal has its own state directory for itself: {third:?}");
    send(rehearsal.id(), Signal::SIGTERM);
    assert_eq!(rehearsal.wait().expect("ours").code(), Some(0));
    assert_eq!(first.read("started").lines().count(), 2);
    first.stop();
}

#[test]
fn without_a_live_daemon_a_rehearsal_leaves_the_configured_state_alone() {
    let world = World::new(ALWAYS);
    let flags = ["run", "--config", "mho.toml", "--at", NOON, "--state-dir", "own", "--log-dir", "own"];
    let mut rehearsal = world.mho(&flags).spawn().expect("mho starts");
    world.number("started");
    assert!(!world.has("state"));
    send(rehearsal.id(), Signal::SIGTERM);
    assert_eq!(rehearsal.wait().expect("ours").code(), Some(0));
}

#[test]
fn beside_live_without_a_rehearsal_is_a_fault_of_the_command_line() {
    let world = World::new(ALWAYS);
    let refused = again(&world, &["--beside-live"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("--at or --speed"), "{refused:?}");
    assert!(!world.has("state") && !world.has("started"));
}

#[test]
fn where_nobody_can_look_a_rehearsal_says_so() {
    if nix::unistd::geteuid().is_root() {
        // Root may look everywhere. As somebody else, through su, if there is one.
        let world = World::new(ALWAYS);
        world.write("state/lock", "");
        std::fs::set_permissions(world.root(), PermissionsExt::from_mode(0o755)).expect("set");
        std::fs::set_permissions(world.path("state"), PermissionsExt::from_mode(0o700)).expect("set");
        let mho = world.path("mho");
        common::copy_program(&mho);
        let mut command = Command::new("setpriv");
        world.prepare(&mut command);
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(mho);
        command.args(["run", "--config", "mho.toml", "--at", NOON]);
        let refused = done(command);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains("cannot tell whether a daemon has"), "{refused:?}");
        assert!(refused.err.contains("--beside-live"), "{refused:?}");
    }
}

/// A copy of all regular files.
fn copy(from: &Path, to: &Path) {
    for (path, bytes) in files(from) {
        let to = to.join(path.strip_prefix(from).expect("below it"));
        std::fs::create_dir_all(to.parent().expect("below it")).expect("made");
        std::fs::write(to, bytes).expect("written");
    }
}

#[test]
fn a_daemon_with_a_copy_of_the_state_directory_leaves_the_scripts_of_the_living_one_alone() {
    const WARNING: [&str; 2] = ["WARNING: The state directory", "is a copy of the one of another daemon"];
    let mut first = live();
    let script = first.number("started");
    // Its pid is committed soon.
    eventually("the journal has the attempt", || {
        let done = first.cli(&["history", "--config", "mho.toml", "--json"]);
        done.out.contains("\"running\"")
    });
    copy(&first.path("state"), &first.path("copy"));
    let log = || first.read("logs2/orchestrator_main.log");
    for round in 0..2 {
        let started = first.read("started").lines().count();
        let mut second = first.mho(&["run", "--config", "mho.toml", "--state-dir", "copy", "--log-dir", "logs2"]);
        second.stderr(std::fs::File::create(first.path("second")).expect("a file"));
        let mut second = second.spawn().expect("mho starts");
        eventually("it has a script of its own", || first.read("started").lines().count() == started + 1);
        assert!(alive(script), "{}", log());
        let holder: serde_json::Value = serde_json::from_str(&first.read("copy/lock")).expect("JSON");
        assert_eq!(holder["guard"], second.id());
        assert!(!log().contains("earlier daemon left running"), "{}", log());
        send(second.id(), Signal::SIGTERM);
        assert_eq!(second.wait().expect("ours").code(), Some(0), "{}", first.read("second"));
        let told = log().lines().filter(|line| WARNING.iter().all(|part| line.contains(part))).count();
        assert_eq!(told, 1, "it is a directory of its own after that, round {round}: {}", log());
    }
    let warning = log().lines().find(|line| line.contains(WARNING[1])).map(str::to_owned).expect("told");
    assert!(warning.contains(&format!("PID {} (guard PID {})", first.daemon_pid(), first.guard_pid())), "{warning}");
    let id = first.read("copy/id");
    assert_ne!(id, first.read("state/id"));
    assert_eq!(id.trim_end().len(), 32, "{id}");
    let mode = std::fs::metadata(first.path("copy/id")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(alive(script));
    assert_eq!(first.count(&["Script started with PID"]), 1, "the first one noticed nothing");
    first.stop();
}

#[test]
fn a_copy_of_what_a_dead_daemon_left_is_swept_as_the_original_would_be() {
    let mut first = live();
    let script = first.number("started");
    first.die();
    assert!(alive(script));
    copy(&first.path("state"), &first.path("copy"));
    let mut second = first.mho(&["run", "--config", "mho.toml", "--state-dir", "copy", "--log-dir", "logs2"]);
    second.stderr(std::fs::File::create(first.path("second")).expect("a file"));
    let mut second = second.spawn().expect("mho starts");
    eventually("it has a script of its own", || first.read("started").lines().count() == 2);
    assert!(!alive(script));
    assert_eq!(first.read("copy/id"), first.read("state/id"));
    send(second.id(), Signal::SIGTERM);
    assert_eq!(second.wait().expect("ours").code(), Some(0), "{}", first.read("second"));
}

#[test]
fn a_rehearsal_refuses_beside_a_live_daemon_whose_lock_file_was_removed() {
    let mut first = live();
    std::fs::remove_file(first.path("state/lock")).expect("removed");
    let refused = again(&first, &["--at", NOON]);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.err.contains("a process that did not say which (lslocks shows its PID)"), "{refused:?}");
    assert!(!first.has("state/lock"), "it makes no file");
    first.stop();
}

#[test]
fn a_refused_start_ends_nobody_who_was_there_before() {
    let mut first = live();
    let mut command = Command::new("sh");
    first.prepare(&mut command);
    let strangers =
        "sh -c 'sleep 300 & echo $! >deeper; wait' & echo $! >stranger; while [ ! -s deeper ]; do sleep 0.02; done";
    command.args(["-c", &format!("{strangers}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_mho")]);
    command.args(["run", "--config", "mho.toml"]).stderr(std::fs::File::create(first.path("second")).expect("a file"));
    assert_eq!(command.status().expect("it runs").code(), Some(5), "{}", first.read("second"));
    assert_eq!(first.read("second").lines().count(), 1, "{}", first.read("second"));
    for pid in ["stranger", "deeper"].map(|name| first.number(name)) {
        assert!(alive(pid));
        send(pid, Signal::SIGKILL);
    }
    eventually("they are gone", || ["stranger", "deeper"].iter().all(|name| !alive(first.number(name))));
    first.stop();
}
