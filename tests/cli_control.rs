//! The verbs that speak to a running daemon, and to one that is not there.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{Daemon, Done, World, alive, eventually};
use serde_json::Value;

/// In its window at noon of a Monday.
const NOON: &str = "2026-11-30T12:00:00";

const TWO: &str = "\
[[script]]\nname = \"strategy\"\ncommand = [\"sleep\", \"1000\"]\n\
[[script]]\nname = \"late@1\"\ncommand = [\"sleep\", \"1000\"]\nstart = \"14:00\"\n";

fn ask(world: &World, args: &[&str]) -> Done {
    world.cli(&[args, &["--config", "mho.toml", "--state-dir", "state"]].concat())
}

/// What `status --json` says of one script.
fn seen(world: &World, name: &str) -> Value {
    let done = ask(world, &["status", "--json"]);
    assert_eq!((done.code, &*done.err), (0, ""));
    let status = done.json();
    let scripts = status["scripts"].as_array().expect("a list");
    scripts.iter().find(|script| script["name"] == name).cloned().expect("it is configured")
}

#[test]
fn without_a_daemon_every_verb_names_the_socket_and_says_what_to_do() {
    let world = World::new(TWO);
    let verbs: [&[&str]; 14] = [
        &["status"],
        &["status", "--json"],
        &["status", "--watch"],
        &["start", "strategy"],
        &["stop", "strategy"],
        &["restart", "strategy"],
        &["skip", "strategy"],
        &["pause", "strategy"],
        &["pause", "--all"],
        &["resume", "--all"],
        &["reload"],
        &["dashboard"],
        &["healthcheck"],
        &["stop", "nobody"],
    ];
    for verb in verbs {
        let done = ask(&world, verb);
        assert_eq!((done.code, &*done.out), (3, ""), "{verb:?}");
        assert!(done.err.contains("state/mho.sock") && done.err.contains("mho run"), "{verb:?}: {}", done.err);
    }
    let check = ask(&world, &["status", "--check"]);
    assert_eq!((check.code, check.out.lines().count()), (3, 1));
    assert!(check.out.starts_with("UNKNOWN: ") && check.out.contains("state/mho.sock"), "{}", check.out);
    assert!(!world.has("state"), "nothing is made by asking");
}

#[test]
fn what_makes_no_sense_is_a_usage_error_before_anybody_is_asked() {
    let world = World::new(TWO);
    for verb in
        [&["pause"][..], &["resume"], &["pause", "strategy", "--all"], &["start"], &["skip", "x", "--date", "soon"]]
    {
        assert_eq!(ask(&world, verb).code, 2, "{verb:?}");
    }
    for name in ["../etc", "a b", "STRATEGY", ""] {
        let done = ask(&world, &["stop", name]);
        assert_eq!(done.code, 4, "{name}");
        assert!(done.err.contains("no script named"), "{}", done.err);
    }
    world.write("mho.toml", "[[script]]\nnmae = 1\n");
    assert_eq!(world.cli(&["status", "--config", "mho.toml"]).code, 2);
}

#[test]
fn orders_return_when_they_are_done_with_what_came_of_them() {
    let daemon = World::new(TWO).rehearse(NOON);
    eventually("it runs", || ask(&daemon, &["healthcheck"]).code == 0 && seen(&daemon, "strategy")["pid"].is_u64());
    let pid = |name: &str| seen(&daemon, name)["pid"].as_u64().map(|pid| u32::try_from(pid).expect("a pid"));
    let first = pid("strategy").expect("it runs");

    let stopped = ask(&daemon, &["stop", "strategy", "--reason", "a look at it"]);
    assert_eq!((stopped.code, &*stopped.err), (0, ""), "{stopped:?}");
    assert!(stopped.out.starts_with("strategy: ") && !alive(first), "{}", stopped.out);
    let strategy = seen(&daemon, "strategy");
    assert_eq!(strategy["state"], "stopped");
    assert!(strategy["reason"].as_str().is_some_and(|reason| reason.contains("a look at it")), "{strategy}");

    let order = daemon.wait_for(&["Order: stop script=strategy"]);
    assert!(order.contains(" by=") && order.ends_with("reason=\"a look at it\""), "who did it, and why: {order}");

    assert_eq!(ask(&daemon, &["start", "strategy"]).code, 0);
    let second = pid("strategy").expect("it runs again");
    let restarted = ask(&daemon, &["restart", "strategy", "--json"]);
    assert_eq!(
        (restarted.code, &restarted.json()["done"], &restarted.json()["state"]),
        (0, &true.into(), &"running".into())
    );
    assert!(!alive(second));

    let paused = ask(&daemon, &["pause", "strategy", "--until", "15:00", "--stop", "--reason", "fire drill"]);
    assert_eq!(paused.code, 0, "{paused:?}");
    let hold = &seen(&daemon, "strategy")["holds"][0];
    assert_eq!((&hold["until"], &hold["reason"]), (&"2026-11-30T15:00:00-05:00".into(), &"fire drill".into()));
    let refused = ask(&daemon, &["start", "strategy"]);
    assert_eq!((refused.code, &*refused.out), (1, ""), "{refused:?}");
    assert!(refused.err.contains("--force"), "{}", refused.err);
    assert_eq!(ask(&daemon, &["resume", "--all"]).code, 0);

    let skipped = ask(&daemon, &["skip", "late@1"]);
    assert_eq!((skipped.code, &*skipped.err), (0, ""), "{skipped:?}");
    assert_eq!(seen(&daemon, "late@1")["holds"][0]["trading_date"], "2026-11-30");

    let unknown = ask(&daemon, &["stop", "stratgy"]);
    assert_eq!((unknown.code, &*unknown.out), (4, ""));
    assert!(unknown.err.contains("did you mean strategy?"), "{}", unknown.err);
    let no_time = ask(&daemon, &["pause", "strategy", "--until", "soon"]);
    assert_eq!(no_time.code, 2);
    assert!(no_time.err.contains("use HH:MM"), "{}", no_time.err);
}

#[test]
fn the_status_is_for_people_for_programs_and_for_monitors() {
    let daemon = World::new(TWO).rehearse(NOON);
    eventually("it runs", || ask(&daemon, &["status", "--check"]).out == "OK: 1 script runs\n");
    let text = ask(&daemon, &["status"]);
    assert_eq!((text.code, &*text.err), (0, ""));
    assert!(text.out.lines().all(|line| line.chars().count() <= 80) && !text.out.contains('\x1b'), "{}", text.out);
    for part in [
        "XNYS  Mon 2026-11-30 12:0",
        "EST  open",
        "REHEARSAL",
        "next: start at 14:00:00, in 1h 59m: late@1",
        "strategy running",
    ] {
        assert!(text.out.contains(part), "{part}: {}", text.out);
    }
    let json = ask(&daemon, &["status", "--json"]).json();
    assert_eq!((&json["market"]["phase"], &json["rehearsal"]), (&"open".into(), &true.into()));

    // The state directory alone is enough where the configuration cannot be read.
    daemon.write("mho.toml", "[[script]]\nnmae = 1\n");
    assert_eq!(ask(&daemon, &["status", "--json"]).json()["pid"], json["pid"]);
    let reload = ask(&daemon, &["reload"]);
    assert_eq!((reload.code, &*reload.out), (2, ""));
    assert!(reload.err.contains("nmae"), "{}", reload.err);
    assert_eq!(ask(&daemon, &["stop", "strategy"]).code, 0);
    let check = ask(&daemon, &["status", "--check"]);
    assert_eq!((check.code, &*check.out), (1, "WARNING: strategy was stopped\n"));
}

#[test]
fn whoever_watches_sees_each_change_and_the_end() {
    let mut daemon = World::new(TWO).rehearse(NOON);
    eventually("it runs", || ask(&daemon, &["status", "--check"]).out == "OK: 1 script runs\n");
    let seen = fs::File::create(daemon.path("seen")).expect("a file");
    let mut watch = daemon.mho(&["status", "--watch", "--state-dir", "state"]);
    let mut watch = watch.stdout(seen).spawn().expect("it starts");
    eventually("it is seen running", || daemon.read("seen").contains("strategy running"));
    assert_eq!(ask(&daemon, &["stop", "strategy"]).code, 0);
    eventually("it is seen stopped", || daemon.read("seen").contains("strategy stopped"));
    daemon.stop();
    eventually("the end is seen", || watch.try_wait().expect("ours").is_some());
    assert_eq!(watch.wait().expect("ours").code(), Some(3));
    assert!(!daemon.read("seen").contains('\x1b'));
}

/// A daemon that serves browsers, and its address. Its configuration does not say where the token is.
fn with_token() -> (Daemon, String) {
    let world = World::new(TWO);
    world.write("own-token", "my-own-token\n");
    fs::set_permissions(world.path("own-token"), fs::Permissions::from_mode(0o600)).expect("set");
    let set = "http.token_file=own-token";
    let daemon = world.run(&["--at", NOON, "--listen", "127.0.0.1:0", "--set", set]);
    let line = daemon.wait_for(&["The API is at http://"]);
    let (_, url) = line.split_once("The API is at ").expect("it says so");
    let url = url.to_owned();
    (daemon, url)
}

#[test]
fn the_link_to_the_dashboard_carries_the_token() {
    let (daemon, url) = with_token();
    let link = ask(&daemon, &["dashboard"]);
    assert_eq!(
        (link.code, link.out),
        (0, format!("{url}/#token=my-own-token\n")),
        "where it is, not where it is configured"
    );
}

#[test]
fn without_a_port_there_is_no_link_but_what_to_do() {
    let daemon = World::new(TWO).rehearse(NOON);
    eventually("it answers", || ask(&daemon, &["healthcheck"]).code == 0);
    let none = ask(&daemon, &["dashboard"]);
    assert_eq!((none.code, &*none.out), (1, ""));
    assert!(none.err.contains("[http] listen"), "{}", none.err);
    drop(daemon);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let daemon = World::new(TWO).run(&["--at", NOON, "--listen", &address]);
    daemon.wait_for(&["ERROR: The API cannot be served at"]);
    let none = ask(&daemon, &["dashboard"]);
    assert_eq!((none.code, &*none.out), (1, ""));
    assert!(none.err.contains(&address), "{}", none.err);
}

#[test]
fn a_file_that_is_being_edited_keeps_nobody_from_the_daemon() {
    let (daemon, url) = with_token();
    let ask = |args: &[&str]| daemon.cli(&[args, &["--config", "mho.toml"]].concat());
    for (fault, words) in [("[[script]]\nnmae = 1\n", "nmae"), ("half a li", "mho.toml:1: not valid TOML")] {
        daemon.write("mho.toml", fault);
        for verb in [&["status"][..], &["healthcheck"], &["stop", "strategy"], &["start", "strategy"]] {
            let done = ask(verb);
            assert_eq!((done.code, &*done.err), (0, ""), "{fault:?} {verb:?}");
        }
        assert_eq!(ask(&["dashboard"]).out, format!("{url}/#token=my-own-token\n"));
        let reload = ask(&["reload"]);
        assert_eq!(reload.code, 2, "{reload:?}");
        assert!(reload.err.contains(words) && reload.err.contains("everything stays as it was"), "{reload:?}");
    }
}

#[test]
fn a_guess_does_not_lead_to_the_daemon_of_another_file() {
    let daemon = World::new(TWO).rehearse(NOON);
    eventually("it answers", || ask(&daemon, &["healthcheck"]).code == 0);
    daemon.write("other.toml", "[orchestrator]\nstate_dir = \n");
    let done = daemon.cli(&["stop", "strategy", "--config", "other.toml"]);
    assert_eq!((done.code, &*done.out), (2, ""));
    assert!(done.err.contains("other.toml:2: ") && done.err.contains("--state-dir DIR"), "{}", done.err);
    assert_eq!(seen(&daemon, "strategy")["state"], "running");
}
