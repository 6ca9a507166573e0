//! The unit for systemd: accepted by systemd itself, and with what the daemon's promises need of it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

fn unit() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("packaging/mho.service")
}

/// `(section, key)` and its value. A key stands once in this file.
fn parse(text: &str) -> BTreeMap<(String, String), String> {
    let mut section = String::new();
    let mut all = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("line {}: {line}", number + 1));
        let before = all.insert((section.clone(), key.to_owned()), value.to_owned());
        assert_eq!(before, None, "line {}: {key} stands twice", number + 1);
    }
    all
}

struct Unit(BTreeMap<(String, String), String>);

impl Unit {
    fn read() -> Self {
        Self(parse(&std::fs::read_to_string(unit()).expect("readable")))
    }

    fn get(&self, section: &str, key: &str) -> &str {
        let value = self.0.get(&(section.to_owned(), key.to_owned()));
        value.unwrap_or_else(|| panic!("no {key} in [{section}]"))
    }

    fn seconds(&self, key: &str) -> u64 {
        humantime::parse_duration(self.get("Service", key)).expect("a duration").as_secs()
    }
}

#[test]
fn systemd_accepts_the_unit_without_a_word() {
    let done = match Command::new("systemd-analyze").arg("verify").arg(unit()).output() {
        Ok(done) => done,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("SKIPPED: systemd-analyze is not installed (Debian package systemd): the unit was not verified");
            return;
        }
        Err(error) => panic!("systemd-analyze cannot be run: {error}"),
    };
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert_eq!(said, "");
}

#[test]
fn the_unit_has_what_the_daemon_promises_to_its_operator() {
    let unit = Unit::read();
    for (key, value) in [
        ("Type", "notify"),
        ("NotifyAccess", "all"),
        ("ExecStart", "/usr/bin/env mho run"),
        ("ExecReload", "/bin/sh -c 'kill -HUP $MAINPID'"),
        ("User", "mho"),
        ("StateDirectory", "mho"),
        ("LogsDirectory", "mho"),
        ("KillMode", "mixed"),
        ("Restart", "on-failure"),
        ("OOMPolicy", "continue"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "full"),
        ("ReadWritePaths", "/var/lib/mho /var/log/mho"),
    ] {
        assert_eq!(unit.get("Service", key), value, "{key}");
    }
    for target in ["network-online.target", "time-sync.target"] {
        assert!(unit.get("Unit", "After").split(' ').any(|after| after == target), "{target}");
    }
    let prevented: Vec<u8> = unit
        .get("Service", "RestartPreventExitStatus")
        .split(' ')
        .map(|code| code.parse().expect("an exit code"))
        .collect();
    assert_eq!(prevented, [mho::cli::USAGE, mho::cli::ALREADY_RUNNING]);
    assert!(!prevented.contains(&mho::cli::FAILED), "the daemon died: it must come back");
    assert!(!prevented.contains(&mho::cli::CRITICAL), "the dates that follow are to be traded");
    assert_eq!(unit.get("Unit", "StartLimitIntervalSec"), "0", "systemd never gives up");
    let pause = unit.seconds("RestartSec");
    assert!((5..=60).contains(&pause), "neither a busy loop until the window ends nor a start that is missed: {pause}");
    assert!(unit.get("Service", "OOMScoreAdjust").parse::<i32>().expect("a number") < 0);
    let (soft, hard) = unit.get("Service", "LimitNOFILE").split_once(':').expect("two limits");
    assert!(soft.parse::<u64>().expect("a number") < hard.parse::<u64>().expect("a number"));
}

#[test]
fn systemd_waits_longer_than_a_stop_takes() {
    let unit = Unit::read();
    let grace = mho::domain::script::ScriptSpec::with_defaults("x", "x").stop.grace;
    // Three of the default grace in a chain, SIGKILL, and the same for what the guard finds.
    let longest = (grace * 3 + Duration::from_secs(5) + grace + Duration::from_secs(5)).as_secs();
    assert!(unit.seconds("TimeoutStopSec") > longest, "{longest}");
    assert!(unit.seconds("TimeoutAbortSec") > (grace + Duration::from_secs(5)).as_secs());
    assert!(unit.seconds("TimeoutStartSec") > (grace + Duration::from_secs(5)).as_secs());
    assert!(unit.seconds("WatchdogSec") >= 10, "a busy machine is no hung daemon");
}

#[test]
fn the_reader_of_this_test_sees_faults() {
    let read = parse("# x\n[A]\nk=v=w\n\n[B]\nk=\n");
    assert_eq!(read[&("A".to_owned(), "k".to_owned())], "v=w");
    assert_eq!(read[&("B".to_owned(), "k".to_owned())], "");
    assert!(std::panic::catch_unwind(|| parse("[A]\nk=1\nk=2\n")).is_err());
    assert!(std::panic::catch_unwind(|| parse("[A]\nk\n")).is_err());
}
