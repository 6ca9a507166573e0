//! A trading date on one page: its session, and what each script was planned to do and did.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{LastExit, Local};
use crate::domain::calendar::{self, Calendar, Session};
use crate::domain::notice::rfc3339;

/// `GET /api/v1/timeline?date=`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Day {
    /// On the market clock.
    pub now: Local,
    /// The trading date.
    pub date: NaiveDate,
    /// Of the default calendar.
    pub calendar: String,
    /// Its IANA name.
    pub timezone: String,
    /// regular, early_close, special, holiday or weekend.
    pub kind: String,
    /// Why, in words; empty for a regular session.
    pub reason: String,
    /// Start of the pre-market session; null where there is no session.
    pub premarket: Option<Local>,
    /// Open of the regular session.
    pub open: Option<Local>,
    /// Close of the regular session.
    pub close: Option<Local>,
    /// End of the post-market session.
    pub postmarket: Option<Local>,
    /// The lunch break.
    pub pause: Option<Break>,
    /// Every script that is configured, and every other that ran on that date.
    pub lanes: Vec<Lane>,
}

/// A break inside the regular session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Break {
    /// Its first instant.
    pub from: Local,
    /// When the session goes on.
    pub to: Local,
}

/// What one script was planned to do on the date, and did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lane {
    /// Which script.
    pub script: String,
    /// Its window by the calendar as it is now; null where it has none.
    pub window: Option<Span>,
    /// Why it has none.
    pub no_window: Option<String>,
    /// What became of its run; null where nothing is recorded.
    pub result: Option<String>,
    /// Why, in words.
    pub reason: Option<String>,
    /// Its processes, in order.
    pub attempts: Vec<LaneAttempt>,
}

/// The window of a trading date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Which date.
    pub trading_date: NaiveDate,
    /// When the script starts.
    pub start: Local,
    /// When it is stopped.
    pub stop: Local,
    /// A half day.
    pub early_close: bool,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaneAttempt {
    /// Its number in the run, from 1.
    pub attempt: u32,
    /// When it was ordered.
    pub started_at: Option<Local>,
    /// Why there was one before it: crash, daemon, operator; null for a first one.
    pub restarted_after: Option<String>,
    /// Its leader.
    pub pid: Option<u32>,
    /// How it ended; null while it lives.
    pub end: Option<LastExit>,
}

/// A line of a calendar, as `mho calendar --format json` lists them.
#[must_use]
pub fn calendar_line(calendar: &Calendar, day: &calendar::Day) -> Value {
    let session = day.session.as_ref();
    let at = |instant: fn(&Session) -> DateTime<Utc>| session.map(|s| rfc3339(instant(s), calendar.zone()));
    let pause = session.and_then(|session| session.pause);
    json!({
        "date": day.date,
        "is_session": session.is_some(),
        "open": at(|session| session.open),
        "close": at(|session| session.close),
        "early_close": session.is_some_and(Session::is_early_close),
        "reason": (!day.reason.is_empty()).then_some(&*day.reason),
        "basis": day.basis.name(),
        "kind": day.kind.name(),
        "premarket": at(|session| session.premarket).filter(|_| session.is_some_and(Session::has_premarket)),
        "postmarket": at(|session| session.postmarket).filter(|_| session.is_some_and(Session::has_postmarket)),
        "break_start": pause.map(|(start, _)| rfc3339(start, calendar.zone())),
        "break_end": pause.map(|(_, end)| rfc3339(end, calendar.zone())),
    })
}
