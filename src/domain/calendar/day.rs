//! What a calendar says: days, sessions, on what an answer rests, and what can be wrong.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use super::TimeOfDay;

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
    /// Open of the regular session; it may lie on the civil day before the trading date.
    pub open: DateTime<Utc>,
    /// Close of the regular session.
    pub close: DateTime<Utc>,
    /// End of the post-market session; the close where there is none.
    pub postmarket: DateTime<Utc>,
    /// The lunch break (or daily halt) inside the regular session: from its first instant until the session goes on.
    pub pause: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// When the regular session of this date would close without an early close.
    pub regular_close: DateTime<Utc>,
}

impl Session {
    /// A half day: it closes before the regular close of its date.
    #[must_use]
    pub fn is_early_close(&self) -> bool {
        self.close < self.regular_close
    }

    /// Where an exchange has none, its instant is the open.
    #[must_use]
    pub fn has_premarket(&self) -> bool {
        self.premarket < self.open
    }

    /// Where an exchange has none, its instant is the close.
    #[must_use]
    pub fn has_postmarket(&self) -> bool {
        self.close < self.postmarket
    }
}

/// Of which kind a civil date is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DayKind {
    /// An ordinary session.
    Regular,
    /// A session that closes early.
    EarlyClose,
    /// A session with other unusual hours: a late open, or a special session on a day that has none by the rules.
    Special,
    /// A day of the trading week without a session.
    Holiday,
    /// A weekday that is never a trading date, such as Sunday. (A session of Monday may begin on it.)
    Weekend,
}

impl DayKind {
    /// Its public name: `regular`, `early_close`, `special`, `holiday`, `weekend`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::EarlyClose => "early_close",
            Self::Special => "special",
            Self::Holiday => "holiday",
            Self::Weekend => "weekend",
        }
    }
}

/// Where an answer stands written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file, as people find it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// Where the fact is from, where the file says so.
    pub source: Option<Arc<str>>,
}

/// What a calendar says of one civil date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// The date.
    pub date: NaiveDate,
    /// Its session, if it has one.
    pub session: Option<Session>,
    /// Of which kind it is.
    pub kind: DayKind,
    /// Why: "Independence Day (observed)", "early close: day after Thanksgiving", "weekend", "override: snow"; empty for a regular session.
    pub reason: Arc<str>,
    /// On what that rests.
    pub basis: Basis,
    /// Where it stands; None where no file says so.
    pub origin: Option<Origin>,
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
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct Fault {
    /// Line in the text, from 1, where there is one.
    pub line: Option<usize>,
    /// The key or table.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
    /// Where a name is unknown: it, and those that are known.
    pub unknown: Option<(String, Vec<&'static str>)>,
}

/// All faults of one text or one list, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let line = fault.line.map(|line| format!("line {line}: ")).unwrap_or_default();
            write!(f, "{}{line}{fault}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl IntoIterator for Faults {
    type Item = Fault;
    type IntoIter = std::vec::IntoIter<Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// An operator's word on one date; it wins over everything built in.
///
/// Either `closed`, or `open` or `close` or both. What is not given stays as the date had it. A date without a session needs both. A `close`
/// of 00:00 is the midnight that ends the day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The date.
    pub date: NaiveDate,
    /// No session.
    pub closed: bool,
    /// Another open, or the open of a special session.
    pub open: Option<TimeOfDay>,
    /// Another close (early close), or the close of a special session.
    pub close: Option<TimeOfDay>,
    /// Why; shown wherever the date is explained.
    pub reason: String,
    /// Where it stands.
    pub origin: Option<Origin>,
}

impl Override {
    /// There is no session on this date.
    ///
    /// ```
    /// use mho::domain::calendar::{Calendar, Override};
    ///
    /// let mourning = Override::closed("2027-01-11".parse()?, "national day of mourning");
    /// let nyse = Calendar::builtin("XNYS").expect("a built-in calendar").with_overrides(&[mourning])?;
    /// assert_eq!(&*nyse.day("2027-01-11".parse()?)?.reason, "override: national day of mourning");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn closed(date: NaiveDate, reason: &str) -> Self {
        Self { date, closed: true, open: None, close: None, reason: reason.to_owned(), origin: None }
    }

    /// This date has other hours: a late open, an early close or, with both, a special session.
    #[must_use]
    pub fn hours(date: NaiveDate, open: Option<TimeOfDay>, close: Option<TimeOfDay>, reason: &str) -> Self {
        Self { closed: false, open, close, ..Self::closed(date, reason) }
    }

    /// Whether two of them say the same, wherever they stand.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        Self { origin: None, ..self.clone() } == Self { origin: None, ..other.clone() }
    }
}

/// Regular hours of your own, laid over a calendar's dates. A `close` of 00:00 is the midnight that ends the day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnHours {
    /// Another zone; one with another offset needs open and close too, unless the calendar's days are whole.
    pub timezone: Option<Tz>,
    /// Another regular open.
    pub open: Option<TimeOfDay>,
    /// Another regular close; an early close still applies where it is earlier.
    pub close: Option<TimeOfDay>,
    /// Only these weekdays.
    pub weekdays: Option<[bool; 7]>,
}
