//! Logs that are taken away while the daemon runs: it goes on, says so once, and they come back.

mod common;

use common::{Daemon, World, eventually};
use nix::sys::signal::Signal;

const TALKS: &str = r#"
    [[script]]
    name = "talks"
    output = { echo = false }
    command = ["sh", "-c", "echo $$ >up; while :; do echo and on; sleep 0.05; done"]
"#;

fn start() -> Daemon {
    let daemon = World::new(TALKS).rehearse("2026-11-30T12:00:00");
    daemon.number("up");
    daemon.wait_for(&["Script started with PID"]);
    eventually("the first line of its log", || daemon.read("logs/talks/2026-11-30.log").lines().count() > 3);
    daemon
}

/// How often stderr says all of `parts` in one line.
fn said(daemon: &Daemon, parts: &[&str]) -> usize {
    daemon.stderr().lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
}

/// Makes lines of the main log until `holds`.
fn with_hangups(daemon: &Daemon, what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, || {
        daemon.tell_guard(Signal::SIGHUP);
        std::thread::sleep(std::time::Duration::from_millis(60));
        holds()
    });
}

#[test]
fn a_main_log_that_is_removed_or_moved_comes_back() {
    let mut daemon = start();
    let main = daemon.path("logs/orchestrator_main.log");
    std::fs::remove_file(&main).expect("removed");
    with_hangups(&daemon, "it is back", || daemon.count(&["SIGHUP received"]) > 0);
    std::fs::rename(&main, daemon.path("moved")).expect("moved");
    with_hangups(&daemon, "it is back again", || daemon.count(&["SIGHUP received"]) > 0);
    assert!(daemon.count(&["INFO: log file", "was taken away"]) > 0, "{:?}", daemon.log());
    daemon.stop();
    daemon.wait_for(&["Goodbye"]);
}

#[test]
fn a_log_directory_that_is_removed_comes_back_with_one_warning_per_log() {
    let mut daemon = start();
    std::fs::rename(daemon.path("logs"), daemon.path("moved")).expect("moved");
    let own = || daemon.read("logs/talks/2026-11-30.log").lines().count();
    eventually("its log goes on", || own() > 10);
    with_hangups(&daemon, "the main log goes on", || daemon.count(&["SIGHUP received"]) > 1);
    assert_eq!(said(&daemon, &["WARNING: log directory", "is gone", "script=talks"]), 1, "{}", daemon.stderr());
    daemon.stop();
}

#[test]
fn logs_that_cannot_be_written_are_told_of_once_and_resume() {
    let mut daemon = start();
    std::fs::rename(daemon.path("logs"), daemon.path("moved")).expect("moved");
    // Not a moment for it to come back in: whatever was faster is moved away again.
    let mut number = 0;
    eventually("a file is in the way", || {
        number += 1;
        let _ = std::fs::rename(daemon.path("logs"), daemon.path(&format!("moved{number}")));
        std::fs::File::create_new(daemon.path("logs")).is_ok()
    });
    let cannot = ["WARNING: log file", "orchestrator_main.log cannot be written"];
    with_hangups(&daemon, "it says so", || said(&daemon, &cannot) > 0);
    for _ in 0..10 {
        daemon.tell_guard(Signal::SIGHUP);
        std::thread::sleep(std::time::Duration::from_millis(120));
    }
    assert_eq!(said(&daemon, &cannot), 1, "{}", daemon.stderr());
    assert_eq!(said(&daemon, &["2026-11-30.log cannot be written", "script=talks"]), 1, "{}", daemon.stderr());
    std::fs::remove_file(daemon.path("logs")).expect("removed");
    with_hangups(&daemon, "it is back", || daemon.count(&["orchestrator_main.log can be written again"]) > 0);
    daemon.wait_for(&["2026-11-30.log can be written again", "script=talks", "lost_bytes="]);
    assert_eq!(said(&daemon, &cannot), 1, "{}", daemon.stderr());
    daemon.stop();
}

#[test]
fn a_full_disk_is_told_of_once_and_the_main_log_resumes() {
    let mut daemon = start();
    let main = daemon.path("logs/orchestrator_main.log");
    std::os::unix::fs::symlink("/dev/full", daemon.path("full")).expect("linked");
    std::fs::rename(daemon.path("full"), &main).expect("put in its place");
    let cannot = ["WARNING: log file", "orchestrator_main.log cannot be written", "No space left"];
    with_hangups(&daemon, "it says so", || said(&daemon, &cannot) > 0);
    let start = std::time::Instant::now();
    with_hangups(&daemon, "more than one retry", || start.elapsed().as_secs() >= 3);
    assert_eq!(said(&daemon, &cannot), 1, "{}", daemon.stderr());
    std::fs::remove_file(&main).expect("removed");
    with_hangups(&daemon, "it is back", || daemon.count(&["orchestrator_main.log can be written again"]) > 0);
    assert_eq!((said(&daemon, &cannot), said(&daemon, &["main.log can be written again"])), (1, 1));
    daemon.stop();
}

#[test]
fn a_main_log_that_is_full_is_rotated_and_five_older_parts_are_kept() {
    let world = World::new(&format!("orchestrator = {{ main_log_max_size = \"300B\" }}\n{TALKS}"));
    let mut daemon = world.rehearse("2026-11-30T12:00:00");
    daemon.number("up");
    with_hangups(&daemon, "the fifth part", || daemon.has("logs/orchestrator_main.log.5"));
    for _ in 0..10 {
        daemon.tell_guard(Signal::SIGHUP);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    daemon.stop();
    assert!(!daemon.has("logs/orchestrator_main.log.6"));
    for part in 1..=5 {
        let text = daemon.read(&format!("logs/orchestrator_main.log.{part}"));
        assert!(text.starts_with("2026-11-30 ") && text.ends_with('\n'), "{text}");
        assert!((300..1000).contains(&text.len()), "{text}");
    }
}

#[test]
fn control_characters_of_a_script_reach_neither_console_nor_main_log_and_json_has_numbers() {
    for format in ["text", "json"] {
        let config = format!(
            "orchestrator = {{ log_format = \"{format}\" }}\n[[script]]\nname = \"loud\"\nrestart = {{ initial_delay = \"500s\", max_delay = \"500s\" }}\n\
             command = [\"sh\", \"-c\", \"printf 'a\\\\033[31mb\\\\rc\\\\000d\\\\n'\\n: second line\\nexit 3\"]\n"
        );
        let mut daemon = World::new(&config).rehearse("2026-11-30T12:00:00");
        daemon.wait_for(&["Restarting script in"]);
        eventually("the echo", || daemon.stderr().contains("[31mb"));
        eventually("the crash report", || daemon.count(&["  | a"]) > 0);
        daemon.stop();
        for text in [daemon.stderr(), daemon.log().join("\n")] {
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
            for line in text.lines() {
                if format == "text" {
                    assert!(line.starts_with("2026-11-30 "), "{line}");
                } else {
                    assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
                }
            }
        }
        if format == "text" {
            assert!(daemon.count(&["  | a\\x1b[31mb\\rc\\x00d"]) == 1, "{:?}", daemon.log());
        } else {
            let lines: Vec<serde_json::Value> =
                daemon.log().iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            for key in ["attempt", "running", "scripts"] {
                let values: Vec<_> = lines.iter().map(|line| &line[key]).filter(|value| !value.is_null()).collect();
                assert!(!values.is_empty() && values.iter().all(|value| value.is_u64()), "{key}: {values:?}");
            }
        }
    }
}
