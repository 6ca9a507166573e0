//! What people are told, and in which words: the events, the message, the channels. `book` decides what is told to whom, and when; how a
//! message leaves the machine is the affair of the layer `alerts`.

mod book;
#[cfg(test)]
mod book_tests;
mod classify;
mod closed;
mod episode;
mod queue;
mod spec;
mod summary;
mod template;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::notice::What;
use super::{outcome::Exit, status::Local};

pub use book::{Book, Context, Look, Outgoing};
pub use queue::{Fate, Queue, Settled};
pub use spec::{AlertSpec, Channel, Smtp, TlsMode};
pub use template::{Template, TemplateError};

/// What somebody may want to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertEvent {
    /// An attempt crashed, was killed by a signal, or could not be started.
    Failed,
    /// The budget of restarts is spent, or the script is not tried again on this date.
    GaveUp,
    /// `max_duration` has passed.
    TimeLimit,
    /// SIGKILL: after the grace, for want of memory, or by somebody else.
    Killed,
    /// It should have begun, and nobody was there.
    Missed,
    /// Begun, then cut off by the end of the daemon.
    Interrupted,
    /// It hangs.
    Watchdog,
    /// It did not become ready in time.
    NotReady,
    /// It is due, and down for longer than `late_after`.
    NotRunning,
    /// A plain success long before its window's end, by a script that nothing depends on.
    EndedEarly,
    /// The daemon itself: it came up after a crash, its journal is lost or back, a part of it failed.
    Daemon,
    /// A calendar's data ends.
    Calendar,
    /// The clock was set, or the machine slept.
    ClockStep,
    /// An automatic restart.
    Restarted,
    /// Not begun, on purpose.
    Skipped,
    /// A run is over, and all is well.
    Finished,
    /// All runs of a trading date.
    Summary,
}

impl AlertEvent {
    /// All, in the order of the documentation: name, event, how bad it is.
    const TABLE: [(&'static str, Self, Severity); 17] = [
        ("failed", Self::Failed, Severity::Error),
        ("gave_up", Self::GaveUp, Severity::Error),
        ("time_limit", Self::TimeLimit, Severity::Warning),
        ("killed", Self::Killed, Severity::Warning),
        ("missed", Self::Missed, Severity::Error),
        ("interrupted", Self::Interrupted, Severity::Warning),
        ("watchdog", Self::Watchdog, Severity::Error),
        ("not_ready", Self::NotReady, Severity::Error),
        ("not_running", Self::NotRunning, Severity::Error),
        ("ended_early", Self::EndedEarly, Severity::Warning),
        ("daemon", Self::Daemon, Severity::Error),
        ("calendar", Self::Calendar, Severity::Warning),
        ("clock_step", Self::ClockStep, Severity::Warning),
        ("restarted", Self::Restarted, Severity::Info),
        ("skipped", Self::Skipped, Severity::Info),
        ("finished", Self::Finished, Severity::Info),
        ("summary", Self::Summary, Severity::Info),
    ];

    /// So many of them are told where nothing else is configured: the first ones.
    const DEFAULTS: usize = 13;

    /// The words of the configuration.
    #[must_use]
    pub fn words() -> [(&'static str, Self); 17] {
        Self::TABLE.map(|(name, event, _)| (name, event))
    }

    /// Told where nothing else is configured.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        Self::TABLE.iter().take(Self::DEFAULTS).map(|(_, event, _)| *event).collect()
    }

    /// The public name, as in the configuration and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::TABLE[self as usize].0
    }

    /// How bad it is, where nothing more is known.
    #[must_use]
    pub fn severity(self) -> Severity {
        Self::TABLE[self as usize].2
    }
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Something that should run does not, or will not.
    Error,
    /// Out of plan.
    Warning,
    /// Good to know.
    Info,
}

impl Severity {
    /// The public name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// What a dead-man's switch is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ping {
    /// The daemon lives.
    Alive,
    /// An attempt has begun.
    Start,
    /// A run ended well, or was not to be.
    Success,
    /// A run did not end well.
    Fail,
}

/// One message to one channel. It is kept, and sent, in this shape; what is not known is null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The same at every try.
    pub id: String,
    /// What happened.
    pub event: AlertEvent,
    /// How bad it is.
    pub severity: Severity,
    /// When, in UTC.
    pub at: DateTime<Utc>,
    /// The same, as people at the market see it.
    pub at_market: Local,
    /// Which machine.
    pub host: String,
    /// Of the run.
    pub trading_date: Option<NaiveDate>,
    /// To which script; null = the daemon, or several.
    pub script: Option<String>,
    /// As the script sees it in `MHO_RUN_ID`.
    pub run_id: Option<String>,
    /// The number of the attempt.
    pub attempt: Option<u32>,
    /// How its process ended: `code 1`, `SIGKILL`.
    pub exit: Option<String>,
    /// In words.
    pub reason: String,
    /// What comes next, in words.
    pub next: Option<String>,
    /// The last lines of output, oldest first.
    pub log_tail: Vec<String>,
    /// So often it happened since it was told last.
    pub count: u32,
    /// For a dead-man's switch: which of its signals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping: Option<Ping>,
}

impl Message {
    /// A message that somebody asked for, to see whether it arrives.
    #[must_use]
    pub fn test(id: String, host: String, at: DateTime<Utc>, zone: Tz) -> Self {
        let reason = "this is a test of the alerts: nothing has happened".to_owned();
        Self {
            id,
            event: AlertEvent::Daemon,
            severity: Severity::Info,
            at,
            at_market: Local::new(at, zone),
            host,
            trading_date: None,
            script: None,
            run_id: None,
            attempt: None,
            exit: None,
            reason,
            next: None,
            log_tail: Vec::new(),
            count: 1,
            ping: None,
        }
    }

    /// The daemon lives.
    #[must_use]
    pub fn alive(at: DateTime<Utc>, host: String) -> Self {
        let reason = "the daemon is alive".to_owned();
        Self { reason, ping: Some(Ping::Alive), ..Self::test(String::new(), host, at, Tz::UTC) }
    }

    /// The fields by name, as JSON.
    #[must_use]
    pub fn fields(&self) -> Map<String, Value> {
        let mut fields = match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            // These types have nothing that JSON cannot hold.
            _ => Map::new(),
        };
        fields.remove("ping");
        // To the second, and without the shape that a fraction would give it.
        fields.insert("at".to_owned(), json!(self.at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)));
        fields
    }

    /// One line: what, and to whom.
    #[must_use]
    pub fn title(&self) -> String {
        let whom = self.script.as_deref().unwrap_or("mho");
        let often = if self.count > 1 { format!(" ({} times)", self.count) } else { String::new() };
        format!("{whom}: {}{often} on {}", self.event.name(), self.host)
    }

    /// All of it, for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.reason.clone();
        let when = self.at_market.0.format("%Y-%m-%d %H:%M:%S %:z");
        let mut line = |name: &str, value: String| text.push_str(&format!("\n{name}: {value}"));
        line("at", when.to_string());
        if let Some(date) = self.trading_date {
            line("trading date", date.to_string());
        }
        if let Some(attempt) = self.attempt.filter(|attempt| *attempt > 0) {
            line("attempt", attempt.to_string());
        }
        if let Some(exit) = &self.exit {
            line("exit", exit.clone());
        }
        if let Some(next) = &self.next {
            line("next", next.clone());
        }
        if !self.log_tail.is_empty() {
            line("last output", format!("\n{}", self.log_tail.join("\n")));
        }
        text
    }
}

/// Whether a notice can be worth telling, or is needed to decide about others.
#[must_use]
pub fn concerns(what: &What) -> bool {
    !matches!(
        what,
        What::Starting { .. }
            | What::Status { .. }
            | What::Session { .. }
            | What::Waiting { .. }
            | What::LimitNear { .. }
            | What::TryScheduled { .. }
    )
}

/// How a process ended, in a word or two.
#[must_use]
pub fn exit_words(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("code {code}"),
        Exit::Signal { signal, out_of_memory: true } => format!("{signal}, out of memory"),
        Exit::Signal { signal, out_of_memory: false } => signal.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_events_is_in_the_order_of_the_enum() {
        for (index, (name, event, _)) in AlertEvent::TABLE.iter().enumerate() {
            assert_eq!(*event as usize, index, "{name}");
            assert_eq!(serde_json::to_value(event).unwrap(), json!(name));
        }
        assert!(!AlertEvent::defaults().contains(&AlertEvent::Restarted));
        assert!(AlertEvent::defaults().contains(&AlertEvent::ClockStep));
    }

    #[test]
    fn a_message_comes_back_from_its_json_and_absent_values_are_null() {
        let at = "2026-11-27T13:29:50.120Z".parse().unwrap();
        let message = Message::test("1-1".to_owned(), "desk".to_owned(), at, Tz::America__New_York);
        let text = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), message);
        let fields = message.fields();
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        let documented = [
            "id",
            "event",
            "severity",
            "at",
            "at_market",
            "host",
            "trading_date",
            "script",
            "run_id",
            "attempt",
            "exit",
            "reason",
            "next",
            "log_tail",
            "count",
        ];
        assert_eq!(names, documented);
        assert_eq!(fields["script"], Value::Null);
        assert_eq!(fields["at_market"], json!("2026-11-27T08:29:50.120-05:00"));
    }
}
