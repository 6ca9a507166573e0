//! A configuration that is edited, swapped and spoiled while the real daemon runs real scripts: what is unchanged is untouched.

mod common;

use std::fs;
use std::os::unix::fs::symlink;

use common::{Daemon, Done, World, alive, eventually};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Wednesday at noon, in a session that closes at 16:00.
const NOON: &str = "2026-11-25T12:00:00";

fn script(name: &str, more: &str) -> String {
    format!("[[script]]\nname = \"{name}\"\ncommand = [\"sleep\", \"1000\"]\n{more}\n")
}

fn daemon(config: &str, names: &[&str]) -> Daemon {
    let daemon = World::new(config).rehearse(NOON);
    for name in names {
        daemon.wait_for(&["Script started with PID", &format!("script={name} ")]);
    }
    daemon
}

fn ask(daemon: &Daemon, args: &[&str]) -> Done {
    daemon.cli(&[args, &["--config", "mho.toml", "--state-dir", "state"]].concat())
}

/// Whole at once, as good editors do it.
fn replace(daemon: &Daemon, text: &str) {
    daemon.write("mho.new", text);
    fs::rename(daemon.path("mho.new"), daemon.path("mho.toml")).expect("renamed");
}

fn seen(daemon: &Daemon, name: &str) -> Option<Value> {
    let status = ask(daemon, &["status", "--json"]).json();
    status["scripts"].as_array().expect("a list").iter().find(|script| script["name"] == name).cloned()
}

fn pid(daemon: &Daemon, name: &str) -> u32 {
    let pid = seen(daemon, name).and_then(|script| script["pid"].as_u64());
    pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or_else(|| panic!("{name} runs"))
}

#[test]
fn each_script_and_each_key_is_taken_over_by_itself() {
    let names = ["same", "policy", "launch", "removed"];
    let begin: String = names.iter().map(|name| script(name, "")).collect();
    let mut daemon = daemon(&begin, &names);
    let before: Vec<u32> = names.iter().map(|name| pid(&daemon, name)).collect();
    let untouched =
        || ["same", "policy", "launch"].iter().zip(&before).all(|(name, before)| pid(&daemon, name) == *before);

    let nothing = ask(&daemon, &["reload"]);
    assert_eq!(nothing.code, 0, "{nothing:?}");
    assert!(untouched() && alive(before[3]), "nothing was changed: {nothing:?}");

    let edited = [
        script("same", ""),
        script("policy", "max_duration = \"3h59m\"\nrestart = { max_restarts = 77 }"),
        script("launch", "env = { VERSION = \"2\" }"),
        script("added", ""),
        script("late", "start = \"14:00\""),
    ];
    replace(&daemon, &edited.concat());
    let reloaded = ask(&daemon, &["reload"]);
    assert_eq!(reloaded.code, 0, "{reloaded:?}");
    daemon.wait_for(&["Script started with PID", "script=added "]);
    eventually("what was removed is stopped", || !alive(before[3]));
    assert_eq!(daemon.count(&["WARNING: Stopping script:", "script=removed "]), 1);
    assert!(seen(&daemon, "removed").is_none() && untouched(), "{reloaded:?}");
    let policy = seen(&daemon, "policy").expect("it is configured");
    assert_eq!(policy["pending"], serde_json::json!([]));
    assert!(policy["deadline"].as_str().is_some_and(|at| at.starts_with("2026-11-25T15:59:0")), "{policy}");
    assert_eq!(seen(&daemon, "launch").expect("it is configured")["pending"], serde_json::json!(["env"]));
    let status = ask(&daemon, &["status"]);
    assert!(status.out.contains("at its next start: env"), "{}", status.out);
    assert_eq!(seen(&daemon, "late").expect("it is configured")["state"], "idle");

    let restarted = ask(&daemon, &["reload", "--restart"]);
    assert_eq!(restarted.code, 0, "{restarted:?}");
    eventually("it runs with what it is configured with", || {
        seen(&daemon, "launch")
            .is_some_and(|script| script["pid"].is_u64() && script["pending"] == serde_json::json!([]))
    });
    assert!(!alive(before[2]) && pid(&daemon, "same") == before[0] && pid(&daemon, "policy") == before[1]);
    let launched = pid(&daemon, "launch");
    let env = fs::read(format!("/proc/{launched}/environ")).expect("it lives");
    assert!(env.split(|byte| *byte == 0).any(|variable| variable == b"VERSION=2"));
    daemon.stop();
}

#[test]
fn a_fault_changes_nothing_and_is_told_with_file_line_and_key() {
    let mut daemon = daemon(&script("demo", ""), &["demo"]);
    let before = pid(&daemon, "demo");
    for (text, parts) in [
        (script("demo", "max_duratoin = \"1h\""), ["mho.toml:4", "max_duratoin", "max_duration"]),
        (script("other", "start = \"25:00\""), ["mho.toml:4", "start", "25:00"]),
        ("[[script]]\nname = \"demo\n".to_owned(), ["mho.toml:2", "", ""]),
    ] {
        replace(&daemon, &text);
        let refused = ask(&daemon, &["reload"]);
        assert_ne!(refused.code, 0, "{refused:?}");
        assert!(parts.iter().all(|part| refused.err.contains(part)), "{parts:?}: {refused:?}");
        assert_eq!(pid(&daemon, "demo"), before);
    }
    daemon.tell_guard(Signal::SIGHUP);
    daemon.wait_for(&["ERROR", "mho.toml:2"]);
    assert_eq!((pid(&daemon, "demo"), daemon.count(&["Stopping script"])), (before, 0));
    daemon.stop();
}

#[test]
fn a_directory_of_links_that_is_swapped_whole_is_read() {
    // As Kubernetes mounts a ConfigMap: mho.toml -> data/mho.toml, data -> version-1.
    let world = World::empty();
    for (version, names) in [("version-1", ["kept", "old"]), ("version-2", ["kept", "new"])] {
        fs::create_dir(world.path(version)).expect("a directory");
        let text: String = names.iter().map(|name| script(name, "")).collect();
        world.write(&format!("{version}/mho.toml"), &text);
    }
    symlink("version-1", world.path("data")).expect("a link");
    symlink("data/mho.toml", world.path("mho.toml")).expect("a link");
    let mut daemon = world.rehearse(NOON);
    for name in ["kept", "old"] {
        daemon.wait_for(&["Script started with PID", &format!("script={name} ")]);
    }
    let kept = pid(&daemon, "kept");
    symlink("version-2", daemon.path("data.new")).expect("a link");
    fs::rename(daemon.path("data.new"), daemon.path("data")).expect("renamed");
    let reloaded = ask(&daemon, &["reload"]);
    assert_eq!(reloaded.code, 0, "{reloaded:?}");
    daemon.wait_for(&["Script started with PID", "script=new "]);
    assert!(seen(&daemon, "old").is_none() && pid(&daemon, "kept") == kept);
    daemon.stop();
}

#[test]
fn while_something_stops_and_while_the_daemon_ends_a_reload_does_no_harm() {
    let stubborn = |more: &str| {
        format!(
            "[[script]]\nname = \"stubborn\"\ncommand = [\"sh\", \"-c\", \"trap '' TERM; echo up >up; while :; do sleep 0.1; done\"]\n{more}\n"
        )
    };
    let mut daemon = daemon(&stubborn("stop_grace = \"3s\""), &["stubborn"]);
    eventually("it ignores SIGTERM", || daemon.has("up"));
    let first = pid(&daemon, "stubborn");
    replace(&daemon, &script("other", ""));
    assert_eq!(ask(&daemon, &["reload"]).code, 0);
    daemon.wait_for(&["Stopping trading script", "script=stubborn "]);
    assert!(alive(first), "it has its grace");
    // Back before it is gone: the old process ends as was ordered, and none starts beside it. Its run of the date is over, as after a stop.
    replace(&daemon, &stubborn("stop_grace = \"1s\""));
    assert_eq!(ask(&daemon, &["reload"]).code, 0);
    eventually("it is stopped", || seen(&daemon, "stubborn").is_some_and(|script| script["state"] == "stopped"));
    assert!(!alive(first));
    let started = ask(&daemon, &["start", "stubborn"]);
    assert_eq!(started.code, 0, "{started:?}");
    let second = pid(&daemon, "stubborn");

    daemon.tell_guard(Signal::SIGTERM);
    daemon.wait_for(&["Shutting down"]);
    replace(&daemon, &script("never", ""));
    let late = ask(&daemon, &["reload"]);
    assert_ne!(late.code, 0, "{late:?}");
    daemon.tell_guard(Signal::SIGHUP);
    assert_eq!(daemon.end().code(), Some(0));
    assert!(!alive(second) && daemon.count(&["script=never "]) == 0);
}
