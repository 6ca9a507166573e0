//! What people and programs are shown: the answers of the API, which the command line and the dashboard show in turn. Their names are
//! public. An absent value is null; instants are RFC 3339 with the calendar's offset.

mod coming;
mod timeline;
mod told;
mod verdict;

use std::fmt;

use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::attempt::AttemptEnd;
use super::outcome::Exit;

pub use coming::foreseen;
pub use timeline::{Break, Day, Lane, LaneAttempt, Span, calendar_line};
pub use told::{Facts, Gauges, Present, market, next_line, script, span};
pub use verdict::{Level, Verdict, is_expected, unready, verdict};

/// An instant with the offset of the zone in which people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Local(pub DateTime<FixedOffset>);

impl Local {
    /// As seen in `zone`.
    #[must_use]
    pub fn new(at: DateTime<Utc>, zone: Tz) -> Self {
        Self(at.with_timezone(&zone).fixed_offset())
    }

    /// The instant itself.
    #[must_use]
    pub fn utc(self) -> DateTime<Utc> {
        self.0.with_timezone(&Utc)
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, false))
    }
}

impl Serialize for Local {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Local {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        DateTime::parse_from_rfc3339(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// `GET /api/v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// On the market clock.
    pub now: Local,
    /// The daemon's.
    pub pid: u32,
    /// Of the program.
    pub version: String,
    /// The market clock is not the real one.
    pub rehearsal: bool,
    /// Market seconds per second; 1 but for a rehearsal.
    pub speed: f64,
    /// When the daemon started, on the market clock.
    pub started_at: Local,
    /// How all is, in a word and a sentence.
    pub verdict: Verdict,
    /// Whether what happens is recorded.
    pub journal_ok: bool,
    /// The kill file exists: everything is stopped, nothing starts.
    pub killed_by: Option<String>,
    /// The default calendar.
    pub market: Market,
    /// In the configuration's order.
    pub scripts: Vec<Script>,
}

/// The default calendar at this moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Market {
    /// Its id.
    pub calendar: String,
    /// Its IANA name.
    pub timezone: String,
    /// closed, pre, open, break or post.
    pub phase: String,
    /// Of the session that is under way, or of today if it has one still to come; else null.
    pub trading_date: Option<NaiveDate>,
    /// Why the phase is what it is, in words.
    pub reason: String,
    /// Of that trading date.
    pub open: Option<Local>,
    /// Of that trading date.
    pub close: Option<Local>,
    /// It is a half day.
    pub early_close: bool,
    /// The next boundary of the market or of any script.
    pub next: Option<NextBoundary>,
}

/// What comes next, of all that concerns the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NextBoundary {
    /// open, close, start, stop or deadline.
    pub boundary: String,
    /// When.
    pub at: Local,
    /// Those whom it concerns, if any.
    pub scripts: Vec<String>,
}

/// One script.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Script {
    /// Its name.
    pub name: String,
    /// idle, waiting, starting, running, stopping, backoff, finished, stopped, failed, skipped, paused or disabled.
    pub state: String,
    /// Why, in a sentence.
    pub reason: String,
    /// The leader of the live process.
    pub pid: Option<u32>,
    /// Attempts of the run.
    pub attempt: u32,
    /// Automatic restarts of the run.
    pub restarts: u32,
    /// Start of the live process.
    pub started_at: Option<Local>,
    /// End of the window of the run.
    pub stop_at: Option<Local>,
    /// Where `max_duration` ends the run.
    pub deadline: Option<Local>,
    /// How the latest process of the run ended.
    pub last_exit: Option<LastExit>,
    /// What comes next.
    pub next: Option<Next>,
    /// Of the run that this is about.
    pub trading_date: Option<NaiveDate>,
    /// Since when it is in this state, on the market clock.
    pub since: Option<Local>,
    /// What its process says of itself (`STATUS=`, by sd_notify).
    #[serde(default)]
    pub status_text: Option<String>,
    /// Somebody forced the run outside its window.
    pub forced: bool,
    /// It should be running now.
    pub expected: bool,
    /// As the operator wrote it.
    pub command: String,
    /// The calendar it follows.
    pub calendar: String,
    /// Its giving up ends the daemon.
    pub critical: bool,
    /// The scripts it waits for.
    pub depends_on: Vec<String>,
    /// What an operator forbids.
    pub holds: Vec<HoldLine>,
    /// Keys of the configuration that take effect with its next process.
    pub pending: Vec<String>,
    /// Its present or next window.
    pub window: Option<Span>,
    /// What its process uses; null without one.
    #[serde(flatten)]
    pub gauges: Gauges,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastExit {
    /// Its exit code, if it had one.
    pub code: Option<i32>,
    /// The signal that ended it, such as SIGKILL.
    pub signal: Option<String>,
    /// What that meant.
    pub result: String,
    /// When.
    pub at: Local,
}

impl LastExit {
    /// As people see it in `zone`.
    #[must_use]
    pub fn new(end: &AttemptEnd, zone: Tz) -> Self {
        let (code, signal) = match end.exit {
            None => (None, None),
            Some(Exit::Code(code)) => (Some(code), None),
            Some(Exit::Signal { signal, .. }) => (None, Some(signal.to_string())),
        };
        Self { code, signal, result: end.result.name().to_owned(), at: Local::new(end.at, zone) }
    }
}

/// What happens next, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Next {
    /// start, stop, limit, kill, restart, resume or skip.
    pub action: String,
    /// When.
    pub at: Local,
}

/// A hold, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldLine {
    /// pause or skip.
    pub kind: String,
    /// The date that is skipped.
    pub trading_date: Option<NaiveDate>,
    /// When a pause ends by itself.
    pub until: Option<Local>,
    /// Who said so.
    pub who: String,
    /// Why; may be empty.
    pub reason: String,
    /// When it was said.
    pub at: Local,
}

/// A line of `history`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryLine {
    /// Which script.
    pub script: String,
    /// Which trading date.
    pub trading_date: NaiveDate,
    /// What became of it.
    pub result: String,
    /// Why.
    pub reason: Option<String>,
    /// Start of the first attempt.
    pub first_start: Option<Local>,
    /// When it was over.
    pub end: Option<Local>,
    /// How many attempts.
    pub attempts: u32,
    /// How the latest one ended.
    pub last_exit: Option<LastExit>,
}

/// A line of `next`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NextLine {
    /// When.
    pub at: Local,
    /// start, stop, open, close or deadline.
    pub boundary: String,
    /// For whom; null = the market.
    pub script: Option<String>,
    /// Of which trading date.
    pub trading_date: NaiveDate,
}

/// What came of an order: the message, and the state of the scripts concerned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// In words.
    pub message: String,
    /// Nothing more comes of it.
    pub done: bool,
    /// It did what was asked, as far as is known.
    pub ok: bool,
    /// Those concerned, as they are now.
    pub scripts: Vec<Script>,
}

/// An event of the stream: its kind, and its data as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// state, gone, market, boundary, notice, gauges or status.
    pub kind: &'static str,
    /// One line.
    pub data: std::sync::Arc<str>,
}
