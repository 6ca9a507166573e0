//! What fails on the way: unwritable outputs, vanished directories, times that no calendar knows. Clear words, a code, no panic.

mod common;

use std::fs::File;
use std::process::Stdio;

use common::{World, done, eventually, send};
use nix::sys::signal::Signal;

const SLEEPER: &str = "[[script]]\nname = \"demo\"\ncommand = [\"sh\", \"-c\", \"echo $$ >up; exec sleep 300\"]\n";

fn full() -> File {
    File::options().write(true).open("/dev/full").expect("opened")
}

/// Throw-away directories in `tmp` of the test's directory.
fn thrown_away(world: &World) -> usize {
    std::fs::read_dir(world.path("tmp")).expect("readable").count()
}

#[test]
fn a_rehearsal_runs_where_nothing_can_be_printed() {
    let world = World::new(SLEEPER);
    world.write("tmp/.keep", "");
    let mut command = world.mho(&["run", "--config", "mho.toml", "--at", "2026-11-25T12:00:00"]);
    command.env("TMPDIR", world.path("tmp")).stdout(full()).stderr(full());
    let mut guard = command.spawn().expect("it runs");
    world.number("up");
    send(guard.id(), Signal::SIGTERM);
    eventually("it ended", || guard.try_wait().expect("ours").is_some());
    assert_eq!(guard.wait().expect("ours").code(), Some(0));
    assert_eq!(thrown_away(&world), 2, "the directory is kept for reading");
}

#[test]
fn a_verb_that_cannot_print_is_code_1_and_says_so() {
    let world = World::new(SLEEPER);
    for args in [&["completions", "bash"][..], &["calendar"], &["next"], &["simulate", "--from", "2026-11-25"]] {
        let mut command = world.mho(&[args, &["--config", "mho.toml"]].concat());
        let output = command.stdout(full()).stderr(Stdio::piped()).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert_eq!(said, "mho: cannot write to stdout: No space left on device (os error 28)\n", "{args:?}");
    }
}

#[test]
fn a_rehearsal_that_does_not_start_leaves_no_directory() {
    let world = World::new("nonsense = 1\n");
    world.write("good.toml", SLEEPER);
    world.write("tmp/.keep", "");
    world.write("file", "in the way");
    for (args, code) in [
        (&["--config", "mho.toml", "--at", "2026-11-25T12:00:00"][..], 2),
        (&["--config", "good.toml", "--at", "2199-11-25T12:00:00"], 2),
        (&["--config", "good.toml", "--at", "2026-11-25T12:00:00", "--state-dir", "file/state"], 1),
    ] {
        let mut command = world.mho(&["run"]);
        command.args(args).env("TMPDIR", world.path("tmp"));
        let done = done(command);
        assert_eq!(done.code, code, "{done:?}");
        assert_eq!(thrown_away(&world), 1, "{done:?}");
    }
    assert!(!world.has("up"));
}

#[test]
fn a_time_that_no_calendar_knows_is_a_usage_error() {
    let world = World::new(SLEEPER);
    for (at, part) in [
        ("+262142-12-31T23:59:59", "the year 262142"),
        ("-262143-01-01T00:00:00", "the year -262143"),
        ("2199-01-01T00:00:00", "calendar XNYS has no data for 2199-01-01"),
    ] {
        let done = world.cli(&["run", "--config", "mho.toml", &format!("--at={at}")]);
        assert!(done.code == 2 && done.err.contains(part), "{done:?}");
    }
    assert!(!world.has("up"));
}

#[test]
fn a_directory_that_vanished_is_named_with_what_to_do() {
    let world = World::new(SLEEPER);
    let config = world.path("mho.toml");
    for verb in [&["next"][..], &["init"], &["run", "--at", "2026-11-25T12:00:00"]] {
        world.write("gone/.keep", "");
        let mut command = world.mho(&[]);
        let program = command.get_program().to_owned();
        command = std::process::Command::new("sh");
        world.prepare(&mut command);
        command.args(["-c", "cd gone && rm -r ../gone && exec \"$@\"", "sh"]).arg(program).args(verb);
        if verb != ["init"] {
            command.arg("--config").arg(&config);
        }
        let done = done(command);
        assert!(done.code == 1 && done.err.contains("cannot tell the current directory"), "{done:?}");
        assert!(done.err.contains("cd to another"), "{done:?}");
    }
}
