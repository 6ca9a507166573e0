//! Exchange calendars: rules and dated exceptions, compiled to a table of days, each with its reason and its basis.
//!
//! A file (`config/calendars/*.toml`) is read by `read`, understood by `rules`, and compiled by `compile` to a `table`: a week
//! and the dates that differ from it. `adjust` lays the operator's overrides and own hours over it, `ask` answers what
//! depends on an instant. No exchange is known here by name: all that is special about one is in its file.

mod adjust;
mod ask;
mod builtin;
mod compile;
mod local_clock;
mod read;
mod rules;
mod table;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveTime, Timelike, Utc, Weekday};
use chrono_tz::Tz;

pub use ask::Phase;
use rules::{Rules, set_of};
use table::Table;

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

impl Basis {
    /// Its public name: `published`, `projected`, `override`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Projected => "projected",
            Self::Override => "override",
        }
    }
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
    "calendar {id} has no data for {date}: it covers {from} to {to}; update mho, or put a calendar file that goes further into calendar_dir"
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
///
/// Either `closed`, or `open` or `close` or both. What is not given stays as the date had it, and is regular on a date without
/// a session. A `close` of 00:00 is the midnight that ends the day.
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

/// Regular hours of your own, laid over a calendar's dates. A `close` of 00:00 is the midnight that ends the day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnHours {
    /// Another zone; one with another offset needs open and close too, unless the calendar's days are whole.
    pub timezone: Option<Tz>,
    /// Another regular open.
    pub open: Option<NaiveTime>,
    /// Another regular close; an early close still applies where it is earlier.
    pub close: Option<NaiveTime>,
    /// Only these weekdays.
    pub weekdays: Option<[bool; 7]>,
}

/// A calendar, ready to be asked. Cheap to clone.
///
/// ```
/// use mho::domain::calendar::{Basis, Calendar};
///
/// let nyse = Calendar::builtin("nyse").expect("a built-in calendar");
/// let day = nyse.day("2026-11-27".parse()?)?;
/// let session = day.session.expect("a session");
/// assert_eq!(session.close.to_rfc3339(), "2026-11-27T18:00:00+00:00");
/// assert!(session.is_early_close());
/// assert_eq!(&*day.reason, "early close: day after Thanksgiving");
/// assert_eq!(day.basis, Basis::Published);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Calendar {
    id: Arc<str>,
    table: Arc<Table>,
}

impl Calendar {
    /// A built-in calendar by id or alias (XNYS, NYSE, NASDAQ, XNAS, always, weekdays), whatever the case. None: no such calendar.
    #[must_use]
    pub fn builtin(id: &str) -> Option<Self> {
        let (id, text) = builtin::find(id)?;
        let calendar = Self::parse(id, text);
        Some(calendar.expect("a test compiles every embedded calendar"))
    }

    /// The ids of all built-in calendars and their aliases, for suggestions.
    #[must_use]
    pub fn builtin_ids() -> Vec<&'static str> {
        builtin::ids()
    }

    /// Compiles a calendar file. The format is described at the head of `config/calendars/xnys.toml`.
    ///
    /// # Errors
    /// All faults of the text, each with its line.
    pub fn parse(id: &str, text: &str) -> Result<Self, Vec<Fault>> {
        Ok(Self::of(id, compile::compile(Rules::parse(text)?)?))
    }

    /// A calendar with a session on each of `weekdays`, from `open` to `close` (24:00 = None) local time.
    #[must_use]
    pub fn plain(id: &str, zone: Tz, open: NaiveTime, close: Option<NaiveTime>, weekdays: &[Weekday]) -> Self {
        let hours = (TimeOfDay::open(open), close.map_or(TimeOfDay::MIDNIGHT, TimeOfDay::close));
        Self::of(id, Table::of_week(zone, builtin::wide_range(), set_of(weekdays), hours))
    }

    fn of(id: &str, table: Table) -> Self {
        Self { id: id.into(), table: Arc::new(table) }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What people call it; empty where nobody named it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.table.name
    }

    /// The other ids it answers to.
    #[must_use]
    pub fn aliases(&self) -> &[String] {
        &self.table.aliases
    }

    /// Its zone: people see this one.
    #[must_use]
    pub fn zone(&self) -> Tz {
        self.table.clock.zone()
    }

    /// The dates that its data covers.
    #[must_use]
    pub fn range(&self) -> RangeInclusive<NaiveDate> {
        self.table.range.clone()
    }

    /// The last date that the exchange has published; later ones are projected.
    #[must_use]
    pub fn published_to(&self) -> NaiveDate {
        self.table.published_to
    }

    /// What it says of a date.
    ///
    /// # Errors
    /// The date is outside of the data's range.
    pub fn day(&self, date: NaiveDate) -> Result<Day, OutOfRange> {
        self.check(date)?;
        let entry = self.table.entry(date);
        let basis = if let table::Entry::Row(row) = &entry { row.basis } else { self.table.basis(date) };
        let session = entry.marks().map(|marks| self.table.session(date, &marks));
        Ok(Day { date, session, reason: entry.reason(date), basis })
    }

    /// Whether a date has a session; the fast path.
    ///
    /// # Errors
    /// The date is outside of the data's range.
    pub fn is_session(&self, date: NaiveDate) -> Result<bool, OutOfRange> {
        self.check(date)?;
        Ok(self.table.entry(date).marks().is_some())
    }

    /// The session of a date, if it has one.
    ///
    /// # Errors
    /// The date is outside of the data's range.
    pub fn session(&self, date: NaiveDate) -> Result<Option<Session>, OutOfRange> {
        self.check(date)?;
        Ok(self.table.entry(date).marks().map(|marks| self.table.session(date, &marks)))
    }

    /// The regular open and close of a date's session in local time, early close or not; what fixed stops are compared with.
    /// A close of 00:00 is the midnight that ends the day.
    #[must_use]
    pub fn regular_hours(&self, _date: NaiveDate) -> (NaiveTime, NaiveTime) {
        (self.table.open.wrapped(), self.table.close.wrapped())
    }

    fn check(&self, date: NaiveDate) -> Result<(), OutOfRange> {
        if self.table.range.contains(&date) { Ok(()) } else { Err(self.out_of_range(date)) }
    }

    #[cold]
    fn out_of_range(&self, date: NaiveDate) -> OutOfRange {
        let (from, to) = (*self.table.range.start(), *self.table.range.end());
        OutOfRange { id: self.id.to_string(), date, from, to }
    }
}

/// A local time of day, in seconds from midnight; as a close it may be 24:00, which `NaiveTime` cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct TimeOfDay(u32);

impl TimeOfDay {
    const MIDNIGHT: Self = Self(24 * 3600);

    fn open(at: NaiveTime) -> Self {
        Self(at.num_seconds_from_midnight())
    }

    /// No session closes as its day begins, so 00:00 is the end of the day.
    fn close(at: NaiveTime) -> Self {
        if at == NaiveTime::MIN { Self::MIDNIGHT } else { Self::open(at) }
    }

    fn parse(text: &str) -> Option<Self> {
        if matches!(text, "24:00" | "24:00:00") {
            return Some(Self::MIDNIGHT);
        }
        ["%H:%M", "%H:%M:%S"].iter().find_map(|form| NaiveTime::parse_from_str(text, form).ok()).map(Self::open)
    }

    fn seconds(self) -> u32 {
        self.0
    }

    /// 24:00 as 00:00.
    fn wrapped(self) -> NaiveTime {
        NaiveTime::from_num_seconds_from_midnight_opt(self.0 % Self::MIDNIGHT.0, 0).unwrap_or(NaiveTime::MIN)
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (minutes, seconds) = (self.0 / 60, self.0 % 60);
        write!(f, "{:02}:{:02}", minutes / 60, minutes % 60)?;
        if seconds == 0 { Ok(()) } else { write!(f, ":{seconds:02}") }
    }
}

#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod tests;
