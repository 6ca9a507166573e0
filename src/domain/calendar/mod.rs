//! Exchange calendars: rules and dated exceptions, compiled to a table of days, each with its reason and its basis.

use std::ops::RangeInclusive;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc, Weekday};
use chrono_tz::Tz;

/// On what an answer rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Basis {
    /// The exchange has published it.
    Published,
    /// The rules say so, beyond the exchange's published horizon.
    Projected,
    /// The operator says so.
    Override,
}

/// One session: instants in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The trading date.
    pub date: NaiveDate,
    /// Start of the pre-market session; the open where there is none.
    pub premarket: DateTime<Utc>,
    /// Open of the regular session.
    pub open: DateTime<Utc>,
    /// Close of the regular session.
    pub close: DateTime<Utc>,
    /// End of the post-market session; the close where there is none.
    pub postmarket: DateTime<Utc>,
    /// When the regular session of this date would close without an early close.
    pub regular_close: DateTime<Utc>,
}

impl Session {
    /// A half day: it closes before the regular close of its date.
    #[must_use]
    pub fn is_early_close(&self) -> bool {
        self.close < self.regular_close
    }
}

/// What a calendar says of one civil date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// The date.
    pub date: NaiveDate,
    /// Its session, if it has one.
    pub session: Option<Session>,
    /// Why: "Independence Day (observed)", "early close: day after Thanksgiving", "weekend", "override: snow"; empty for a regular session.
    pub reason: Arc<str>,
    /// On what that rests.
    pub basis: Basis,
}

/// A date that the calendar's data does not cover.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "calendar {id} has no data for {date}: it covers {from} to {to}; update mho, or add a calendar file or an [[override]]"
)]
pub struct OutOfRange {
    /// The calendar.
    pub id: String,
    /// The date asked for.
    pub date: NaiveDate,
    /// First date covered.
    pub from: NaiveDate,
    /// Last date covered.
    pub to: NaiveDate,
}

/// One fault of a calendar's data, an override or own hours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct Fault {
    /// Line in the text, from 1, where there is one.
    pub line: Option<usize>,
    /// The key or table.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// An operator's word on one date; it wins over everything built in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The date.
    pub date: NaiveDate,
    /// No session.
    pub closed: bool,
    /// Another open, or the open of a special session.
    pub open: Option<NaiveTime>,
    /// Another close (early close), or the close of a special session.
    pub close: Option<NaiveTime>,
    /// Why; shown wherever the date is explained.
    pub reason: String,
}

/// Regular hours of your own, laid over a calendar's dates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnHours {
    /// Another zone; one with another offset needs open and close too.
    pub timezone: Option<Tz>,
    /// Another regular open.
    pub open: Option<NaiveTime>,
    /// Another regular close; an early close still applies where it is earlier.
    pub close: Option<NaiveTime>,
    /// Only these weekdays.
    pub weekdays: Option<[bool; 7]>,
}

/// A calendar, ready to be asked.
#[derive(Clone, Debug)]
pub struct Calendar {
    id: Arc<str>,
    zone: Tz,
}

impl Calendar {
    /// A built-in calendar by id or alias (XNYS, NYSE, NASDAQ, XNAS, always, weekdays), whatever the case. None: no such calendar.
    #[must_use]
    pub fn builtin(_id: &str) -> Option<Self> {
        unimplemented!()
    }

    /// The ids of all built-in calendars and their aliases, for suggestions.
    pub fn builtin_ids() -> Vec<&'static str> {
        unimplemented!()
    }

    /// Compiles a calendar file.
    pub fn parse(_id: &str, _text: &str) -> Result<Self, Vec<Fault>> {
        unimplemented!()
    }

    /// A calendar with a session on each of `weekdays`, from `open` to `close` (24:00 = None) local time.
    #[must_use]
    pub fn plain(_id: &str, _zone: Tz, _open: NaiveTime, _close: Option<NaiveTime>, _weekdays: &[Weekday]) -> Self {
        unimplemented!()
    }

    /// The same calendar under another id, with hours of your own.
    pub fn with_hours(&self, _id: &str, _hours: OwnHours) -> Result<Self, Fault> {
        unimplemented!()
    }

    /// The same calendar with these overrides, which win over everything built in.
    pub fn with_overrides(&self, _overrides: &[Override]) -> Result<Self, Vec<Fault>> {
        unimplemented!()
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its zone: people see this one.
    #[must_use]
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The dates that its data covers.
    #[must_use]
    pub fn range(&self) -> RangeInclusive<NaiveDate> {
        unimplemented!()
    }

    /// The last date that the exchange has published; later ones are projected.
    #[must_use]
    pub fn published_to(&self) -> NaiveDate {
        unimplemented!()
    }

    /// What it says of a date.
    pub fn day(&self, _date: NaiveDate) -> Result<Day, OutOfRange> {
        unimplemented!()
    }

    /// Whether a date has a session; the fast path.
    pub fn is_session(&self, _date: NaiveDate) -> Result<bool, OutOfRange> {
        unimplemented!()
    }

    /// The session of a date, if it has one.
    pub fn session(&self, _date: NaiveDate) -> Result<Option<Session>, OutOfRange> {
        unimplemented!()
    }

    /// The regular close of any date's session in local time, early close or not; what fixed stops are compared with.
    #[must_use]
    pub fn regular_hours(&self, _date: NaiveDate) -> (NaiveTime, NaiveTime) {
        unimplemented!()
    }
}
