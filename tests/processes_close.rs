//! The close, through the real program: who goes when, and every line of the log word for word.

mod common;

use common::{Daemon, World, alive, eventually, seconds_after, seconds_between};

/// Lateness that is the test machine's, not the program's.
const LATE: std::ops::RangeInclusive<i64> = 0..=20;

/// Ten seconds before an early close: scripts have time to install their handlers.
const BEFORE_CLOSE: &str = "2026-11-27T12:59:50";

fn assert_starts_before_the_close(daemon: &Daemon) {
    assert_eq!(daemon.count(&["Market has closed"]), 0, "this machine is too slow for this test");
}

#[test]
fn at_an_early_close_the_polite_end_at_once_and_the_deaf_are_killed_ten_seconds_later() {
    let world = World::new(
        r#"
        [[script]]
        name = "polite"
        command = ["sh", "-c", "trap 'echo bye; exit 0' TERM; echo $$ >polite; echo hello; while :; do sleep 0.1; done"]
        [[script]]
        name = "deaf"
        command = ["sh", "-c", "trap '' TERM; sh -c 'echo $$ >grandchild; while :; do sleep 1; done' & echo $$ >deaf; while :; do sleep 1; done"]
        [[script]]
        name = "escapes"
        command = ["sh", "-c", "setsid sh -c 'trap \"\" TERM; echo $$ >escapee; while :; do sleep 1; done' & echo $$ >escapes; exec sleep 300"]
        "#,
    );
    let mut daemon = world.rehearse(BEFORE_CLOSE);
    let pids = ["polite", "deaf", "grandchild", "escapes", "escapee"].map(|name| daemon.number(name));
    assert_starts_before_the_close(&daemon);
    for name in ["polite", "deaf", "escapes"] {
        daemon.wait_for(&["Run ended: window end", &format!("script={name}"), "result=window_end"]);
    }
    eventually("the status after the last end", || daemon.count(&["Status: idle"]) >= 2);
    assert!(pids.iter().all(|pid| !alive(*pid)));

    let line = |message: &str, script: &str| {
        let of_script = format!("script={script} ");
        let found = daemon.lines_with(&[message, &of_script]);
        assert_eq!(found.len(), 1, "{message} of {script}: {found:?}");
        found[0].clone()
    };
    for (name, pid) in [("polite", pids[0]), ("deaf", pids[1]), ("escapes", pids[3])] {
        let stop = line("INFO: Market has closed. Stopping script. script=", name);
        assert!(LATE.contains(&seconds_after("13:00:00", &stop)), "{stop}");
        line(&format!("INFO: Stopping trading script (PID {pid}) script="), name);
        line(&format!("INFO: Script started with PID {pid} script="), name);
        let start = line("INFO: Starting trading script at 2026-11-27 12:59:5", name);
        assert!(start.contains(" EST script="), "{start}");
    }
    let stopped = line("INFO: Script stopped gracefully script=", "polite");
    assert!(LATE.contains(&seconds_after("13:00:00", &stopped)), "{stopped}");
    for name in ["deaf", "escapes"] {
        let stop = line("INFO: Stopping trading script (PID ", name);
        let killed = line("WARNING: Script did not stop gracefully. Force killing... script=", name);
        let grace = seconds_between(&stop, &killed);
        assert!((10..=20).contains(&grace), "never early: {grace} s");
    }
    assert_eq!(daemon.count(&["Script stopped gracefully"]), 1);
    daemon.wait_for(&["INFO: Status: running | Market day: True | Time: ", " ET running=", "scripts=3"]);
    daemon.wait_for(&["INFO: Status: idle | Market day: True | Time: ", " ET running=0 scripts=3"]);

    daemon.stop();
    // Lines of a script carry its name and nothing else.
    let is_echo = |line: &String| line.rsplit_once(" script=").is_some_and(|(_, name)| !name.contains(' '));
    let all = daemon.stderr().lines().map(str::to_owned).collect::<Vec<_>>();
    let (echoed, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(is_echo);
    for said in ["INFO: hello script=polite", "INFO: bye script=polite"] {
        assert!(echoed.iter().any(|line| line.contains(said)), "{echoed:?}");
    }
    assert_eq!(rest, daemon.log(), "stderr and the main log say the same, but for the echo");
    let printed = daemon.read("logs/polite/2026-11-27.log");
    assert!(printed.starts_with("hello\n") && printed.ends_with("bye\n"), "{printed}");
}

#[test]
fn with_log_format_json_each_line_is_an_object_with_the_same_words() {
    let world = World::new(
        r#"
        orchestrator = { log_format = "json" }
        [[script]]
        name = "polite"
        command = ["sh", "-c", "trap 'exit 0' TERM; echo $$ >polite; while :; do sleep 0.1; done"]
        "#,
    );
    let mut daemon = world.rehearse_fast("2026-11-27T12:55:00", 30);
    let pid = daemon.number("polite");
    assert_starts_before_the_close(&daemon);
    daemon.wait_for(&["\"Run ended: window end\""]);
    daemon.stop();
    for source in [daemon.log().join("\n"), daemon.stderr()] {
        let objects: Vec<serde_json::Value> = source
            .lines()
            .filter(|line| !line.starts_with("mho: "))
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect();
        for message in [
            "Running: sh -c",
            &format!("Script started with PID {pid}"),
            "Market has closed. Stopping script.",
            &format!("Stopping trading script (PID {pid})"),
            "Script exited with return code: 0",
            "Script stopped gracefully",
        ] {
            let found = objects.iter().find(|o| o["message"].as_str().is_some_and(|text| text.starts_with(message)));
            let found = found.unwrap_or_else(|| panic!("no {message:?} in {source}"));
            assert_eq!((&found["level"], &found["script"]), (&"INFO".into(), &"polite".into()));
            let time = found["time"].as_str().expect("a time");
            assert!(time.starts_with("2026-11-27T1") && time.ends_with("-05:00"), "{time}");
        }
        assert!(
            objects.iter().any(|o| o["level"] == "WARNING" && o["message"].as_str().unwrap().contains("REHEARSAL"))
        );
    }
}

#[test]
fn the_grace_is_real_time_however_fast_the_market_clock_runs() {
    let world = World::new(
        r#"
        [[script]]
        name = "deaf"
        stop_grace = "2s"
        command = ["sh", "-c", "trap '' TERM; echo $$ >deaf; while :; do sleep 1; done"]
        "#,
    );
    let mut daemon = world.rehearse_fast("2026-11-27T12:50:00", 60);
    let pid = daemon.number("deaf");
    assert_starts_before_the_close(&daemon);
    let killed = daemon.wait_for(&["Script did not stop gracefully. Force killing..."]);
    let stop = daemon.wait_for(&["Stopping trading script"]);
    // One second of truncated timestamps.
    assert!(seconds_between(&stop, &killed) >= 2 * 60 - 1, "{stop}\n{killed}");
    daemon.wait_for(&["Run ended: window end"]);
    assert!(!alive(pid));
    daemon.stop();
}

#[test]
fn a_script_that_fails_after_it_was_told_to_stop_is_stopped_and_not_restarted() {
    let world = World::new(
        r#"
        [[script]]
        name = "grumpy"
        command = ["sh", "-c", "trap 'exit 1' TERM; echo $$ >grumpy; while :; do sleep 0.1; done"]
        "#,
    );
    let mut daemon = world.rehearse_fast("2026-11-27T12:55:00", 30);
    daemon.number("grumpy");
    assert_starts_before_the_close(&daemon);
    daemon.wait_for(&["Run ended: window end", "result=window_end"]);
    daemon.wait_for(&["INFO: Script exited with return code: 1", "result=stopped"]);
    daemon.stop();
    assert_eq!(daemon.count(&["Starting trading script"]), 1);
    assert_eq!(daemon.count(&["ERROR"]), 0);
}

#[test]
fn a_stopped_script_is_continued_so_that_it_can_end() {
    let world = World::new(
        r#"
        [[script]]
        name = "frozen"
        stop_grace = "60s"
        command = ["sh", "-c", "trap 'echo >polite; exit 0' TERM; echo $$ >frozen; while :; do sleep 0.1; done"]
        "#,
    );
    let mut daemon = world.rehearse_fast("2026-11-27T12:55:00", 30);
    let pid = daemon.number("frozen");
    common::send(pid, nix::sys::signal::Signal::SIGSTOP);
    assert_starts_before_the_close(&daemon);
    daemon.wait_for(&["Run ended: window end"]);
    assert!(daemon.has("polite"));
    assert_eq!(daemon.count(&["Force killing"]), 0);
    daemon.stop();
}

#[test]
fn a_command_of_several_lines_stays_one_line_of_the_log() {
    let world = World::new("[[script]]\nname = \"two\"\ncommand = [\"sh\", \"-c\", \"sleep 300\\necho over\"]\n");
    let mut daemon = world.rehearse("2026-11-27T12:00:00");
    daemon.wait_for(&["Script started with PID"]);
    daemon.stop();
    for line in daemon.log() {
        common::at(&line);
    }
}

#[test]
fn on_a_closed_day_nothing_starts() {
    let world = World::new("[[script]]\nname = \"idle\"\ncommand = \"sleep 300\"\n");
    let mut daemon = world.rehearse_fast("2026-11-26T08:29:00", 600);
    let status = daemon.wait_for(&["Status: idle | Market day: False | Time: 1"]);
    assert!(status.contains("running=0"), "{status}");
    daemon.stop();
    assert_eq!(daemon.count(&["Starting trading script"]), 0);
}
