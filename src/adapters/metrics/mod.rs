//! Prometheus metrics: what has happened is counted as it is told, what is so now is read off the status when somebody asks.
//!
//! They are written by `prometheus-client`, the Rust client of the Prometheus project itself. It writes both text formats; ours is the classic
//! one (version 0.0.4), since every reader knows that and `promtool check metrics` takes no other. What decided against the other crate,
//! `prometheus`: it keeps a value for each sample and gathers a tree of them all before it writes the first. For the states of 1,000 scripts
//! (12,000 samples) that took 13 MB and 33 ms where a collector that writes each sample straight into the text took 1 MB, which is the text,
//! and 2 ms. It also takes twice as long to build, and a third more of the program.
//!
//! Counting is cheap, for it is done on the thread that supervises: a lookup and an addition. A scrape holds the lock for one script at a time.
//! No label takes values without bound: they are names of scripts and calendars, which the configuration bounds, and words of ours.

mod counts;
mod scrape;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use self::counts::Counts;
use self::scrape::Scrape;
use crate::domain::notice::{Notice, What};
use crate::domain::status::Status;
use crate::ports::Notifier;

pub use self::scrape::Machine;

/// The `Content-Type` of what `Metrics::render` returns.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// The prefix of every name.
const PREFIX: &str = "mho";

/// Upper bounds in seconds. Fine where the promises are: a process is back within a millisecond, a boundary is met within fifty.
const LATENCIES: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// What crosses a boundary later than this was not there in time: it came up, or the machine woke, or the clock was set.
const ON_TIME: Duration = Duration::from_secs(60);

/// Text of a scrape without scripts, and for each of them: reserved at once, since growing would need the double for a moment.
const TEXT: usize = 8 << 10;
const TEXT_OF_A_SCRIPT: usize = 1800;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlertLabels {
    channel: String,
    result: &'static str,
}

/// All that is counted, from the start of the daemon on.
#[derive(Debug)]
pub struct Metrics {
    scripts: Mutex<HashMap<Box<str>, Counts>>,
    clock_steps: Counter,
    boundary_lag: Histogram,
    restart_latency: Histogram,
    alerts: Family<AlertLabels, Counter>,
    /// The four of the daemon.
    registry: Registry,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new() -> Self {
        let clock_steps = Counter::default();
        let boundary_lag = Histogram::new(LATENCIES);
        let restart_latency = Histogram::new(LATENCIES);
        let alerts = Family::default();
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register(
            "clock_steps",
            "Times that the wall clock was set or the machine slept, since the daemon started",
            clock_steps.clone(),
        );
        registry.register(
            "boundary_lag_seconds",
            "From the instant of an open, close, start or stop to the moment it was acted on; those met more than a minute late are left out",
            boundary_lag.clone(),
        );
        registry.register(
            "restart_latency_seconds",
            "From the moment an automatic restart was due, its delay over, to the new process",
            restart_latency.clone(),
        );
        registry.register("alerts", "Alerts by channel and by what became of them", alerts.clone());
        Self { scripts: Mutex::default(), clock_steps, boundary_lag, restart_latency, alerts, registry }
    }

    /// A boundary of `at` was acted on at `now`. One met more than a minute late is not counted: it says when the daemon came up or the
    /// machine woke, not how exact it is. Neither is one that lies ahead, because the clock was set back meanwhile.
    pub fn crossed(&self, at: DateTime<Utc>, now: DateTime<Utc>) {
        if let Some(lag) = (now - at).to_std().ok().filter(|lag| *lag <= ON_TIME) {
            self.boundary_lag.observe(lag.as_secs_f64());
        }
    }

    /// An alert met its end in a channel: the channel's name in the configuration, and a word of ours.
    pub fn alerted(&self, channel: &str, result: &'static str) {
        self.alerts.get_or_create(&AlertLabels { channel: channel.to_owned(), result }).inc();
    }

    /// All metrics, as Prometheus text. Whatever was counted of scripts that the status does not show is forgotten.
    #[must_use]
    pub fn render(&self, status: Status, machine: Machine) -> String {
        self.retain(&status);
        let counts = status.scripts.iter().map(|script| self.counts_of(&script.name)).collect();
        let mut text = String::with_capacity(TEXT + TEXT_OF_A_SCRIPT * status.scripts.len());
        let mut now = Registry::with_prefix(PREFIX);
        now.register_collector(Box::new(Scrape { status, machine, counts }));
        for registry in [&self.registry, &now] {
            prometheus_text::encode(&mut text, registry).expect("text takes all that is written to it");
        }
        text
    }

    fn hear(&self, notice: &Notice, now: Instant) {
        if matches!(notice.what, What::ClockStepped { .. }) {
            self.clock_steps.inc();
        }
        let Some(about) = &notice.about else { return };
        let name = about.script.as_str();
        let mut scripts = self.scripts();
        let latency = match scripts.get_mut(name) {
            Some(counts) => counts.hear(notice, now),
            None => scripts.entry(name.into()).or_default().hear(notice, now),
        };
        drop(scripts);
        if let Some(latency) = latency {
            self.restart_latency.observe(latency.as_secs_f64());
        }
    }

    fn retain(&self, status: &Status) {
        let shown: HashSet<&str> = status.scripts.iter().map(|script| &*script.name).collect();
        self.scripts().retain(|name, _| shown.contains(&**name));
    }

    /// A copy: the lock is held for one script at a time, never while anything is written.
    fn counts_of(&self, name: &str) -> Counts {
        self.scripts().get(name).cloned().unwrap_or_default()
    }

    fn scripts(&self) -> MutexGuard<'_, HashMap<Box<str>, Counts>> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands notices on, and counts them.
pub struct Counting<N> {
    next: N,
    metrics: Arc<Metrics>,
}

impl<N: Notifier> Counting<N> {
    /// Counts them in `metrics`.
    #[must_use]
    pub fn new(next: N, metrics: Arc<Metrics>) -> Self {
        Self { next, metrics }
    }
}

impl<N: Notifier> Notifier for Counting<N> {
    fn notify(&self, notice: Notice) {
        self.metrics.hear(&notice, Instant::now());
        self.next.notify(notice);
    }
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveDate, TimeDelta};
    use serde_json::json;

    use super::*;
    use crate::domain::notice::About;
    use crate::domain::script::ScriptName;

    struct Nobody;

    impl Notifier for Nobody {
        fn notify(&self, _notice: Notice) {}
    }

    fn notice(script: Option<&str>, what: What) -> Notice {
        let trading_date = NaiveDate::from_ymd_opt(2026, 11, 27).unwrap();
        let about = |name| About { script: ScriptName::new(name).unwrap(), trading_date, attempt: 1 };
        Notice { at: DateTime::UNIX_EPOCH, about: script.map(about), what }
    }

    fn started() -> What {
        What::Started { pid: 7 }
    }

    fn status(scripts: &[&str]) -> Status {
        let script = |name: &&str| {
            json!({
                "name": name, "state": "running", "reason": "", "pid": 7, "attempt": 1, "restarts": 0, "forced": false, "expected": true,
                "command": "secret=1 ./run", "calendar": "XNYS", "critical": false, "depends_on": [], "holds": [], "pending": [],
            })
        };
        let at = "2026-11-27T09:30:00-05:00";
        let status = json!({
            "now": at, "pid": 1, "version": "1.2.3", "rehearsal": false, "speed": 1.0, "started_at": at,
            "verdict": {"level": "ok", "text": ""}, "journal_ok": true,
            "market": {"calendar": "XNYS", "timezone": "America/New_York", "phase": "open", "reason": "", "early_close": false},
            "scripts": scripts.iter().map(script).collect::<Vec<_>>(),
        });
        serde_json::from_value(status).expect("a status")
    }

    fn value<'t>(text: &'t str, sample: &str) -> Option<&'t str> {
        text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))
    }

    #[test]
    fn what_is_told_is_counted_and_handed_on() {
        let metrics = Arc::new(Metrics::new());
        let (tell, heard) = std::sync::mpsc::channel();
        struct Next(std::sync::mpsc::Sender<Notice>);
        impl Notifier for Next {
            fn notify(&self, notice: Notice) {
                self.0.send(notice).expect("it is heard");
            }
        }
        let counting = Counting::new(Next(tell), Arc::clone(&metrics));
        let all = [notice(Some("a"), started()), notice(None, What::ClockStepped { by: TimeDelta::zero() })];
        all.clone().into_iter().for_each(|notice| counting.notify(notice));
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), all);
        let text = metrics.render(status(&["a", "b"]), Machine::default());
        assert_eq!(value(&text, "mho_clock_steps_total"), Some("1"));
        assert_eq!(value(&text, r#"mho_script_starts_total{script="a"}"#), Some("1"));
        assert_eq!(value(&text, r#"mho_script_starts_total{script="b"}"#), Some("0"), "a first one is seen as a step");
    }

    #[test]
    fn of_a_script_that_is_not_configured_any_more_nothing_is_left() {
        let metrics = Arc::new(Metrics::new());
        let counting = Counting::new(Nobody, Arc::clone(&metrics));
        for script in ["a", "b"] {
            counting.notify(notice(Some(script), started()));
        }
        assert!(!metrics.render(status(&["b"]), Machine::default()).contains(r#"script="a""#));
        assert_eq!(metrics.scripts().len(), 1);
        let text = metrics.render(status(&["a", "b"]), Machine::default());
        assert_eq!(value(&text, r#"mho_script_starts_total{script="a"}"#), Some("0"));
        assert_eq!(value(&text, r#"mho_script_starts_total{script="b"}"#), Some("1"));
    }

    #[test]
    fn only_a_boundary_that_was_met_in_time_tells_how_exact_the_daemon_is() {
        let metrics = Metrics::new();
        let at = DateTime::UNIX_EPOCH;
        for lag in [-1, 0, 30, 60_000, 60_001, 86_400_000] {
            metrics.crossed(at, at + TimeDelta::milliseconds(lag));
        }
        let text = metrics.render(status(&[]), Machine::default());
        assert_eq!(value(&text, "mho_boundary_lag_seconds_count"), Some("3"));
        assert_eq!(value(&text, r#"mho_boundary_lag_seconds_bucket{le="0.05"}"#), Some("2"));
    }

    #[test]
    fn a_restart_is_timed_from_its_notices() {
        let metrics = Metrics::new();
        let begin = Instant::now();
        let delay = Duration::from_secs(1);
        metrics.hear(&notice(Some("a"), What::RestartScheduled { delay, restart: 1, of: 5 }), begin);
        metrics.hear(&notice(Some("a"), started()), begin + delay + Duration::from_micros(700));
        let text = metrics.render(status(&["a"]), Machine::default());
        assert_eq!(value(&text, "mho_restart_latency_seconds_count"), Some("1"));
        assert_eq!(value(&text, r#"mho_restart_latency_seconds_bucket{le="0.0005"}"#), Some("0"));
        assert_eq!(value(&text, r#"mho_restart_latency_seconds_bucket{le="0.001"}"#), Some("1"));
    }

    #[test]
    fn alerts_are_shown_from_the_first_on() {
        let metrics = Metrics::new();
        assert!(!metrics.render(status(&[]), Machine::default()).contains("mho_alerts"));
        metrics.alerted("desk", "sent");
        metrics.alerted("desk", "sent");
        let text = metrics.render(status(&[]), Machine::default());
        assert_eq!(value(&text, r#"mho_alerts_total{channel="desk",result="sent"}"#), Some("2"));
    }

    #[test]
    fn what_is_not_known_is_absent() {
        let text = Metrics::new().render(status(&["a"]), Machine::default());
        for name in ["clock_synchronized", "next_boundary", "published_to", "resident_memory", "cpu_seconds", "last_"] {
            assert!(!text.contains(name), "{name} in {text}");
        }
        assert!(!text.contains("secret"), "what a script is given is nobody's business: {text}");
    }

    #[test]
    fn the_text_of_a_thousand_scripts_fits_into_what_is_reserved() {
        let names: Vec<String> = (0..1000).map(|n| format!("strategy-{n:04}")).collect();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        let text = Metrics::new().render(status(&names), Machine::default());
        assert!(text.len() <= TEXT + TEXT_OF_A_SCRIPT * names.len(), "{}", text.len());
    }
}
