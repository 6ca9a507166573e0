//! The text of a scrape is what Prometheus reads, with every name that is promised; and the alerts that we ship ask for names that exist.
//!
//! Python's client library or promtool read them here, whichever is installed; a test says what it could not do without them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use mho::adapters::metrics::{Counting, Machine, Metrics};
use mho::domain::notice::{About, Notice, What};
use mho::domain::outcome::{AttemptResult, Exit, RunResult};
use mho::domain::script::ScriptName;
use mho::ports::Notifier;
use regex::Regex;
use serde_json::{Value, json};

/// Every name that is promised, as it stands behind `# TYPE`, with its kind.
const PROMISED: [(&str, &str); 22] = [
    ("mho_alerts_total", "counter"),
    ("mho_boundary_lag_seconds", "histogram"),
    ("mho_build_info", "gauge"),
    ("mho_calendar_published_to_timestamp_seconds", "gauge"),
    ("mho_clock_steps_total", "counter"),
    ("mho_clock_synchronized", "gauge"),
    ("mho_journal_ok", "gauge"),
    ("mho_market_phase", "gauge"),
    ("mho_next_boundary_timestamp_seconds", "gauge"),
    ("mho_restart_latency_seconds", "histogram"),
    ("mho_script_cpu_seconds_total", "counter"),
    ("mho_script_exits_total", "counter"),
    ("mho_script_expected", "gauge"),
    ("mho_script_last_exit_code", "gauge"),
    ("mho_script_last_output_timestamp_seconds", "gauge"),
    ("mho_script_last_success_timestamp_seconds", "gauge"),
    ("mho_script_resident_memory_bytes", "gauge"),
    ("mho_script_restarts_total", "counter"),
    ("mho_script_starts_total", "counter"),
    ("mho_script_state", "gauge"),
    ("mho_script_up", "gauge"),
    ("mho_trading_day", "gauge"),
];

/// Whatever a label must survive.
const HOSTILE: &str = "a \"b\"\\n\n{c=\"d\"} 7, #\té\\";

struct Nobody;

impl Notifier for Nobody {
    fn notify(&self, _notice: Notice) {}
}

fn at() -> DateTime<Utc> {
    "2026-11-27T15:00:00Z".parse().expect("an instant")
}

fn script(name: &str, state: &str, pid: Option<u32>) -> Value {
    json!({
        "name": name, "state": state, "reason": "", "pid": pid, "attempt": 2, "restarts": 1, "forced": false, "expected": true,
        "command": "run.py --token secret", "calendar": HOSTILE, "critical": false, "depends_on": [], "holds": [], "pending": [],
        "memory_bytes": pid.map(|_| 123_456_789_u64), "cpu_seconds": pid.map(|_| 1.25),
        "last_output_at": pid.map(|_| "2026-11-27T09:59:59.250-05:00"),
    })
}

/// One moment in which every metric has a value.
fn text() -> String {
    let metrics = Arc::new(Metrics::new());
    let counting = Counting::new(Nobody, Arc::clone(&metrics));
    let about =
        About { script: ScriptName::new("pairs@eu").expect("a name"), trading_date: at().date_naive(), attempt: 1 };
    for what in [
        What::Started { pid: 7 },
        What::Exited { exit: Exit::Code(3), result: AttemptResult::Crashed },
        What::RestartScheduled { delay: std::time::Duration::ZERO, restart: 1, of: 5 },
        What::Started { pid: 8 },
        What::Finished { result: RunResult::WindowEnd, reason: String::new() },
    ] {
        counting.notify(Notice { at: at(), about: Some(about.clone()), what });
    }
    counting.notify(Notice { at: at(), about: None, what: What::ClockStepped { by: TimeDelta::seconds(2) } });
    metrics.crossed(at(), at() + TimeDelta::milliseconds(1));
    metrics.alerted(HOSTILE, "sent");
    let next = |boundary: &str, at: &str| json!({"at": at, "boundary": boundary, "trading_date": "2026-11-27"});
    let next = json!([
        next("stop", "2026-11-27T12:30:00-05:00"),
        next("close", "2026-11-27T13:00:00-05:00"),
        next("stop", "2026-11-27T13:00:00-05:00"),
    ]);
    let machine = Machine {
        trading_day: true,
        clock_synchronized: Some(false),
        published_to: [(HOSTILE.to_owned(), "2028-12-31".parse().expect("a date"))].into(),
        next: serde_json::from_value(next).expect("boundaries"),
    };
    let status = json!({
        "now": at(), "pid": 1, "version": HOSTILE, "rehearsal": false, "speed": 1.0, "started_at": at(),
        "verdict": {"level": "critical", "text": ""}, "journal_ok": true,
        "market": {"calendar": HOSTILE, "timezone": "America/New_York", "phase": "open", "reason": "", "early_close": true},
        "scripts": [script("pairs@eu", "running", Some(8)), script(HOSTILE, "failed", None)],
    });
    metrics.render(serde_json::from_value(status).expect("a status"), machine)
}

/// The first of the commands that there is, fed with `input`: what it printed. Its failure is a failure of the test.
fn run(command: &mut Command, input: &str) -> Option<String> {
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => panic!("{command:?} cannot be run: {error}"),
    };
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let done = child.wait_with_output().expect("it ends");
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{command:?}: {out}{err}");
    Some(out.into_owned())
}

/// A Python that has `module`: Debian's packages are seen by Debian's own alone, which may not be the first of the path.
fn python(module: &str) -> Option<&'static str> {
    let has = |python: &&str| {
        let done = Command::new(python).args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
        done.is_ok_and(|status| status.success())
    };
    ["python3", "/usr/bin/python3"].into_iter().find(has)
}

#[test]
fn every_promised_name_is_there_with_its_kind_and_words_about_it() {
    let text = text();
    let heads = |keyword: &str| -> BTreeMap<String, String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(keyword)?.split_once(' '));
        lines.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
    };
    let types = heads("# TYPE ");
    let found: Vec<_> = types.iter().map(|(name, kind)| (&**name, &**kind)).collect();
    assert_eq!(found, PROMISED);
    let help = heads("# HELP ");
    assert!(help.keys().eq(types.keys()), "{help:?}");
    assert!(help.values().all(|words| words.len() > 20 && words.ends_with('.') && !words.ends_with("..")), "{help:?}");
    assert!(!text.contains("secret"), "{text}");
}

/// Prints the samples of standard input: name, labels, value.
const PARSE: &str = "
import json, sys
from prometheus_client.parser import text_string_to_metric_families as parse
for family in parse(sys.stdin.buffer.read().decode()):
    assert family.type in ('counter', 'gauge', 'histogram') and family.documentation, family
    for sample in family.samples:
        print(json.dumps([sample.name, sample.labels, sample.value]))
";

#[test]
fn the_client_library_of_python_reads_what_was_meant() {
    let Some(python) = python("prometheus_client") else {
        println!(
            "SKIPPED: Python's prometheus_client is not installed (Debian package python3-prometheus-client): the text was not parsed"
        );
        return;
    };
    let printed = run(Command::new(python).args(["-c", PARSE]), &text()).expect("it was there");
    let samples: Vec<(String, BTreeMap<String, String>, f64)> =
        printed.lines().map(|line| serde_json::from_str(line).expect("a sample")).collect();
    let value = |name: &str, labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let same = samples.iter().filter(|sample| sample.0 == name && sample.1 == labels);
        let values: Vec<f64> = same.map(|sample| sample.2).collect();
        assert!(values.len() <= 1, "{name} {labels:?} stands twice");
        values.first().copied()
    };
    let pairs = ("script", "pairs@eu");
    for (name, labels, expected) in [
        ("mho_build_info", vec![("version", HOSTILE)], 1.0),
        ("mho_trading_day", vec![], 1.0),
        ("mho_journal_ok", vec![], 1.0),
        ("mho_clock_synchronized", vec![], 0.0),
        ("mho_market_phase", vec![("phase", "open")], 1.0),
        ("mho_market_phase", vec![("phase", "closed")], 0.0),
        ("mho_next_boundary_timestamp_seconds", vec![("boundary", "stop")], 1_795_800_600.0),
        ("mho_next_boundary_timestamp_seconds", vec![("boundary", "close")], 1_795_802_400.0),
        ("mho_calendar_published_to_timestamp_seconds", vec![("calendar", HOSTILE)], 1_861_833_600.0),
        ("mho_script_state", vec![pairs, ("state", "running")], 1.0),
        ("mho_script_state", vec![pairs, ("state", "failed")], 0.0),
        ("mho_script_state", vec![("script", HOSTILE), ("state", "failed")], 1.0),
        ("mho_script_up", vec![pairs], 1.0),
        ("mho_script_up", vec![("script", HOSTILE)], 0.0),
        ("mho_script_expected", vec![("script", HOSTILE)], 1.0),
        ("mho_script_resident_memory_bytes", vec![pairs], 123_456_789.0),
        ("mho_script_cpu_seconds_total", vec![pairs], 1.25),
        ("mho_script_last_output_timestamp_seconds", vec![pairs], 1_795_791_599.25),
        ("mho_script_starts_total", vec![pairs], 2.0),
        ("mho_script_restarts_total", vec![pairs], 1.0),
        ("mho_script_exits_total", vec![pairs, ("result", "crashed")], 1.0),
        ("mho_script_last_exit_code", vec![pairs], 3.0),
        ("mho_script_last_success_timestamp_seconds", vec![pairs], 1_795_791_600.0),
        ("mho_clock_steps_total", vec![], 1.0),
        ("mho_boundary_lag_seconds_count", vec![], 1.0),
        ("mho_boundary_lag_seconds_sum", vec![], 0.001),
        ("mho_boundary_lag_seconds_bucket", vec![("le", "0.001")], 1.0),
        ("mho_boundary_lag_seconds_bucket", vec![("le", "0.0005")], 0.0),
        ("mho_boundary_lag_seconds_bucket", vec![("le", "+Inf")], 1.0),
        ("mho_restart_latency_seconds_count", vec![], 1.0),
        ("mho_alerts_total", vec![("channel", HOSTILE), ("result", "sent")], 1.0),
    ] {
        assert_eq!(value(name, &labels), Some(expected), "{name} {labels:?}");
    }
    assert_eq!(value("mho_next_boundary_timestamp_seconds", &[("boundary", "open")]), None);
    assert_eq!(value("mho_script_resident_memory_bytes", &[("script", HOSTILE)]), None);
    let of = |name: &'static str| samples.iter().filter(move |sample| sample.0 == name);
    let states = of("mho_script_state").filter(|sample| sample.1["script"] == "pairs@eu");
    assert_eq!((states.clone().count(), states.map(|sample| sample.2).sum::<f64>()), (12, 1.0));
    assert_eq!((of("mho_market_phase").count(), of("mho_market_phase").map(|sample| sample.2).sum::<f64>()), (5, 1.0));
}

#[test]
fn promtool_has_nothing_to_say_about_the_text() {
    match run(Command::new("promtool").args(["check", "metrics"]), &text()) {
        Some(said) => assert_eq!(said, ""),
        None => println!("SKIPPED: promtool is not installed (Debian package prometheus): it did not check the text"),
    }
}

fn alerts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/prometheus-alerts.yml")
}

#[test]
fn alerts_ask_for_metrics_that_exist() {
    let rules = std::fs::read_to_string(alerts()).expect("readable");
    let text = text();
    let name = Regex::new(r"\bmho_[a-z_]+").expect("a pattern");
    let samples: BTreeSet<&str> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| Some(name.find(line)?.as_str())).collect();
    let asked: BTreeSet<&str> = name.find_iter(&rules).map(|found| found.as_str()).collect();
    assert!(asked.len() >= 7, "{asked:?}");
    assert!(asked.is_subset(&samples), "{:?}", asked.difference(&samples));
    // A bound that no bucket has would never alert.
    let bound = Regex::new(r#"(mho_[a-z_]+)\{(le="[^"]+")\}"#).expect("a pattern");
    let bounds: Vec<_> = bound.captures_iter(&rules).map(|c| format!("{}{{{}}} ", &c[1], &c[2])).collect();
    assert!(!bounds.is_empty());
    assert!(bounds.iter().all(|bound| text.contains(&**bound)), "{bounds:?}");
}

#[test]
fn every_alert_says_what_is_wrong_and_what_to_do_next() {
    let Some(python) = python("yaml") else {
        println!("SKIPPED: Python's yaml is not installed (Debian package python3-yaml): the alerts were not parsed");
        return;
    };
    let load = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin.buffer.read().decode())))";
    let rules = std::fs::read_to_string(alerts()).expect("readable");
    let printed = run(Command::new(python).args(["-c", load]), &rules).expect("it was there");
    let parsed: Value = serde_json::from_str(&printed).expect("JSON");
    let [group] = parsed["groups"].as_array().expect("groups").as_slice() else { panic!("{parsed}") };
    let mut names = BTreeSet::new();
    for rule in group["rules"].as_array().expect("rules") {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("a text is missing in {rule}")).to_owned();
        assert!(names.insert(text(&rule["alert"])), "{rule} stands twice");
        assert!(["critical", "warning"].contains(&&*text(&rule["labels"]["severity"])), "{rule}");
        assert!(!text(&rule["expr"]).is_empty() && text(&rule["annotations"]["summary"]).len() > 10, "{rule}");
        assert!(text(&rule["annotations"]["description"]).contains('`'), "it names no command to go on with: {rule}");
    }
    let expected = [
        "MhoBoundaryLate",
        "MhoCalendarHorizonNear",
        "MhoClockNotSynchronized",
        "MhoDown",
        "MhoJournalLost",
        "MhoScriptNotUp",
        "MhoScriptRestartsOften",
    ];
    assert!(names.iter().eq(expected), "{names:?}");
}

#[test]
fn promtool_accepts_the_alerts() {
    match run(Command::new("promtool").args(["check", "rules"]).arg(alerts()), "") {
        Some(said) => assert!(said.contains("SUCCESS"), "{said}"),
        None => println!("SKIPPED: promtool is not installed (Debian package prometheus): it did not check the alerts"),
    }
}
