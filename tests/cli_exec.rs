//! `mho exec` starts what the daemon would start, and refuses what it would refuse, in the same words.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use common::{World, done};

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
