//! How scripts end before their time, through the real program, and what follows.

mod common;

use std::process::Command;

use common::{World, alive, eventually, seconds_between, send};
use nix::sys::signal::Signal;

/// In the middle of a trading day.
const NOON: &str = "2026-11-30T12:00:00";

#[test]
fn a_script_killed_by_hand_is_restarted_and_one_with_policy_never_is_not() {
    let world = World::new(
        r#"
        [[script]]
        name = "again"
        restart = { initial_delay = "100ms" }
        command = ["sh", "-c", "echo $MHO_RESTARTED_AFTER >cause$MHO_ATTEMPT; echo $$ >again$MHO_ATTEMPT; exec sleep 300"]
        [[script]]
        name = "once"
        restart = { policy = "never" }
        command = ["sh", "-c", "echo $$ >once$MHO_ATTEMPT; exec sleep 300"]
        "#,
    );
    let mut daemon = world.rehearse(NOON);
    let (again, once) = (daemon.number("again1"), daemon.number("once1"));
    send(again, Signal::SIGKILL);
    send(once, Signal::SIGKILL);
    let second = daemon.number("again2");
    assert!(alive(second) && second != again);
    assert_eq!((daemon.read("cause1").trim(), daemon.read("cause2").trim()), ("", "crash"));
    let ended = daemon.wait_for(&["Run ended", "script=once", "result=failed"]);
    assert!(ended.contains("ERROR"), "{ended}");
    for name in ["again", "once"] {
        let line = daemon.wait_for(&["Script was killed by signal 9 (SIGKILL)", &format!("script={name}")]);
        assert!(line.contains("ERROR") && line.contains("not sent by mho"), "{line}");
    }
    assert!(!daemon.has("once2"));
    daemon.stop();
    assert!(!alive(second));
}

#[test]
fn the_delay_doubles_with_each_crash_and_the_budget_ends_it() {
    let world = World::new(
        r#"
        [[script]]
        name = "crashes"
        command = ["sh", "-c", "exit 3"]
        restart = { initial_delay = "500ms", max_restarts = 2, cooldown = "none" }
        [[script]]
        name = "neighbour"
        command = "sleep 300"
        "#,
    );
    let mut daemon = world.rehearse(NOON);
    let gave_up = daemon.wait_for(&["ERROR: Giving up: more than 2 restarts within 10m", "script=crashes"]);
    let crashes = daemon.lines_with(&["ERROR: Script exited with return code: 3 script=crashes"]);
    assert_eq!(crashes.len(), 3, "{crashes:?}");
    // 0.5 s and 1 s, less the jitter and a second of truncated timestamps: never a tight loop.
    assert!((0..=60).contains(&seconds_between(&crashes[0], &gave_up)), "{crashes:?}\n{gave_up}");
    let delays: Vec<f64> = daemon
        .lines_with(&["Restarting script in "])
        .iter()
        .filter_map(|line| line.split("Restarting script in ").nth(1)?.split('s').next()?.parse().ok())
        .collect();
    assert!(delays.len() == 2 && (0.4..=0.6).contains(&delays[0]) && (0.9..=1.1).contains(&delays[1]), "{delays:?}");
    assert_eq!(daemon.count(&["Giving up"]), 1);
    daemon.stop();
    assert_eq!(daemon.count(&["Starting trading script", "script=neighbour"]), 1);
}

#[test]
fn exit_137_is_a_return_code_and_a_signal_is_a_signal() {
    let world = World::new(
        r#"
        defaults = { restart = { policy = "never" } }
        [[script]]
        name = "code"
        command = ["sh", "-c", "exit 137"]
        [[script]]
        name = "signal"
        command = ["sh", "-c", "kill -SEGV $$"]
        "#,
    );
    let mut daemon = world.rehearse(NOON);
    daemon.wait_for(&["ERROR: Script exited with return code: 137 script=code"]);
    daemon.wait_for(&["ERROR: Script was killed by signal 11 (SIGSEGV) script=signal"]);
    daemon.stop();
}

#[test]
fn a_crash_logs_the_last_twenty_lines_the_last_one_without_newline_included() {
    let world = World::new(
        r#"
        [[script]]
        name = "talks"
        restart = { policy = "never" }
        command = ["sh", "-c", "for i in $(seq 1 30); do echo line $i; done; printf 'last words'; exit 1"]
        "#,
    );
    let mut daemon = world.rehearse(NOON);
    daemon.wait_for(&["| last words"]);
    let lines = daemon.lines_with(&["ERROR:   | "]);
    let texts: Vec<_> = lines
        .iter()
        .filter_map(|line| line.split("  | ").nth(1)?.split(" script=").next())
        .map(str::to_owned)
        .collect();
    let mut expected: Vec<_> = (12..=30).map(|i| format!("line {i}")).collect();
    expected.push("last words".to_owned());
    assert_eq!(texts, expected);
    daemon.stop();
    assert!(daemon.read("logs/talks/2026-11-30.log").ends_with("line 30\nlast words"));
}

#[test]
fn exit_42_is_over_for_the_date_78_is_failed_for_good_and_0_is_a_success() {
    let world = World::new(
        r#"
        [[script]]
        name = "early"
        restart = { policy = "always", initial_delay = "0s" }
        command = ["sh", "-c", "exit 42"]
        [[script]]
        name = "fatal"
        restart = { policy = "always", initial_delay = "0s" }
        command = ["sh", "-c", "exit 78"]
        [[script]]
        name = "done"
        command = ["true"]
        [[script]]
        name = "witness"
        depends_on = { early = "finished", fatal = "failed", done = "succeeded" }
        command = ["sh", "-c", "echo $$ >witness; exec sleep 300"]
        "#,
    );
    let mut daemon = world.rehearse(NOON);
    daemon.wait_for(&["INFO: Run ended", "script=early", "result=finished_early"]);
    daemon.wait_for(&["ERROR: Run ended", "script=fatal", "result=failed"]);
    daemon.wait_for(&["INFO: Run ended", "script=done", "result=succeeded"]);
    daemon.number("witness");
    daemon.stop();
    for name in ["early", "fatal", "done"] {
        assert_eq!(daemon.count(&["Starting trading script", &format!("script={name}")]), 1);
    }
}

#[test]
fn what_cannot_be_started_says_why_and_stops_nobody_else() {
    let world = World::new(
        r#"
        defaults = { restart = { policy = "never" } }
        [[script]]
        name = "missing"
        command = ["./nosuch"]
        [[script]]
        name = "missing-py"
        command = ["nosuch.py"]
        [[script]]
        name = "not-executable"
        command = ["./plain"]
        [[script]]
        name = "bad-interpreter"
        command = ["./shebang"]
        [[script]]
        name = "bad-dir"
        working_dir = "nodir"
        command = ["sleep", "300"]
        [[script]]
        name = "no-env-file"
        env_file = "no.env"
        command = ["sleep", "300"]
        [[script]]
        name = "fine"
        command = ["sh", "-c", "echo $$ >fine; exec sleep 300"]
        "#,
    );
    world.write("plain", "text");
    world.write("shebang", "#!/no/such/interpreter\n");
    let chmod = Command::new("chmod").arg("+x").arg(world.path("shebang")).status().expect("chmod runs");
    assert!(chmod.success());
    let mut daemon = world.rehearse(NOON);
    daemon.number("fine");
    for (name, words) in [
        ("missing", vec!["ERROR: Script could not be started: ", "/nosuch"]),
        ("missing-py", vec!["ERROR: ", "nosuch.py"]),
        ("not-executable", vec!["ERROR: Script could not be started: ", "/plain", "execut"]),
        ("bad-interpreter", vec!["ERROR: Script could not be started: ", "/shebang", "/no/such/interpreter"]),
        ("bad-dir", vec!["ERROR: Script could not be started: ", "nodir"]),
        ("no-env-file", vec!["ERROR: Script could not be started: ", "no.env"]),
    ] {
        let of_script = format!("script={name} ");
        daemon.wait_for(&[words.as_slice(), &[of_script.as_str()]].concat());
        daemon.wait_for(&["ERROR: Run ended", &of_script, "result=failed"]);
    }
    daemon.stop();
    assert_eq!(daemon.count(&["ERROR", "script=fine"]), 0);
}

/// The environment that `name` wrote with `env -0`.
fn environment(world: &World, name: &str) -> std::collections::BTreeMap<String, String> {
    let text = world.read(name);
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn a_script_is_told_of_its_run_and_nothing_that_is_meant_for_the_daemon() {
    let world = World::new(
        r#"
        [[script]]
        name = "looks"
        max_duration = "2h"
        env_file = "some.env"
        env = { OURS = "env" }
        restart = { initial_delay = "0s" }
        command = ["sh", "-c", "env -0 >env$MHO_ATTEMPT.part; mv env$MHO_ATTEMPT.part env$MHO_ATTEMPT; [ $MHO_ATTEMPT = 2 ] && exec sleep 300; exit 1"]
        [[script]]
        name = "bare"
        inherit_env = false
        env = { PATH = "/usr/bin:/bin" }
        command = ["sh", "-c", "env -0 >bare.part; mv bare.part bare; exec sleep 300"]
        "#,
    );
    world.write("some.env", "OURS=file\nTHEIRS='from the file'\n");
    let mut command = world.mho(&["run"]);
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "INVOCATION_ID", "JOURNAL_STREAM"] {
        command.env(name, "private");
    }
    command.env("MHO__ORCHESTRATOR__STATUS_INTERVAL", "5s").env("THEIRS", "from outside").env("HOUSE", "green");
    let mut daemon = world.run_as(command, &["--at", "2026-11-27T12:00:00"]);
    eventually("the second attempt", || daemon.has("env2"));
    eventually("the bare one", || daemon.has("bare"));
    let (first, second, bare) =
        (environment(&daemon, "env1"), environment(&daemon, "env2"), environment(&daemon, "bare"));
    for (name, value) in [
        ("MHO_SCRIPT", "looks"),
        ("MHO_TRADING_DATE", "2026-11-27"),
        ("MHO_SESSION_OPEN", "2026-11-27T14:30:00Z"),
        ("MHO_SESSION_CLOSE", "2026-11-27T18:00:00Z"),
        ("MHO_STOP_AT", "2026-11-27T18:00:00Z"),
        ("MHO_EARLY_CLOSE", "1"),
        ("MHO_REHEARSAL", "1"),
        ("PYTHONUNBUFFERED", "1"),
        ("OURS", "env"),
        ("THEIRS", "from the file"),
        ("HOUSE", "green"),
    ] {
        assert_eq!(first.get(name).map(String::as_str), Some(value), "{name}");
        assert_eq!(second.get(name).map(String::as_str), Some(value), "{name}");
    }
    let attempts = [&first, &second].map(|env| (env["MHO_ATTEMPT"].clone(), env["MHO_RESTARTED_AFTER"].clone()));
    assert_eq!(attempts, [("1".into(), String::new()), ("2".into(), "crash".into())]);
    assert_eq!(first["MHO_DEADLINE"], "", "a limit after the window's stop is void");
    assert_eq!(first["MHO_RUN_ID"], second["MHO_RUN_ID"], "attempts of one run");
    assert_ne!(first["MHO_RUN_ID"], bare["MHO_RUN_ID"]);
    assert_eq!(first["MHO_DAEMON_ID"], daemon.read("state/id").trim());
    let private = |name: &&String| {
        ["NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM", "WATCHDOG_", "LISTEN_", "MHO__"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    assert_eq!(first.keys().find(private), None);
    assert!(!bare.contains_key("HOUSE") && !bare.contains_key("HOME"), "{bare:?}");
    assert_eq!(bare["MHO_SCRIPT"], "bare");
    daemon.stop();
}

#[test]
fn a_limit_inside_the_window_is_told_as_the_deadline_and_two_daemons_have_different_run_ids() {
    let start = || {
        let world = World::new(
            r#"
            [[script]]
            name = "looks"
            max_duration = "2h"
            command = ["sh", "-c", "env -0 >env.part; mv env.part env; exec sleep 300"]
            "#,
        );
        let daemon = world.rehearse("2026-11-30T09:00:00");
        eventually("its environment", || daemon.has("env"));
        daemon
    };
    let (mut one, mut two) = (start(), start());
    let deadline = environment(&one, "env")["MHO_DEADLINE"].clone();
    let deadline: chrono::DateTime<chrono::Utc> = deadline.parse().expect("RFC 3339");
    let earliest: chrono::DateTime<chrono::Utc> = "2026-11-30T16:00:00Z".parse().expect("an instant");
    assert!((0..=60).contains(&(deadline - earliest).num_seconds()), "{deadline}");
    assert_ne!(environment(&one, "env")["MHO_RUN_ID"], environment(&two, "env")["MHO_RUN_ID"]);
    one.stop();
    two.stop();
}

#[test]
fn a_script_starts_clean_whatever_mho_was_started_with() {
    let world = World::new(
        r#"
        [[script]]
        name = "looks"
        command = ["sh", "-c", "echo $$ >looks; exec sleep 300"]
        "#,
    );
    // As under nohup, from a caller that blocks signals and leaves a descriptor open.
    let text = "import os, signal, sys\n\
        for s in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD): signal.signal(s, signal.SIG_IGN)\n\
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD, signal.SIGALRM])\n\
        os.dup2(os.open('/dev/null', os.O_RDONLY), 77)\n\
        os.execv(sys.argv[1], sys.argv[1:])\n";
    let mut command = Command::new("python3");
    world.prepare(&mut command);
    command.args(["-c", text, env!("CARGO_BIN_EXE_mho"), "run"]);
    let mut daemon = world.run_as(command, &["--at", NOON]);
    let pid = daemon.number("looks");
    let status = || std::fs::read_to_string(format!("/proc/{pid}/status")).expect("alive");
    eventually("sleep runs", || status().starts_with("Name:\tsleep"));
    // A program that begins opens its libraries for a moment.
    eventually("it has no descriptor but these", || {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("alive");
        let mut fds: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        fds.sort();
        fds == ["0", "1", "2"]
    });
    let stdin = std::fs::read_link(format!("/proc/{pid}/fd/0")).expect("open");
    assert_eq!(stdin.to_str(), Some("/dev/null"));
    let signals = |field: &str| {
        let status = status();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
        // glibc keeps 32 and 33 for itself, and its posix_spawn always ignores them.
        u64::from_str_radix(line.trim_start_matches(':').trim(), 16).expect("a number") & !(0b11 << 31)
    };
    assert_eq!((signals("SigBlk"), signals("SigIgn")), (0, 0));
    daemon.stop();
}
