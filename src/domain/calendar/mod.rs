//! Exchange calendars: rules and dated exceptions, compiled to a table of days, each with its reason and its basis.
//!
//! A file (`config/calendars/*.toml`) is read by `read`, understood by `rules`, and compiled by `compile` to a `table`: a week
//! and the dates that differ from it. `adjust` lays the operator's overrides and own hours over it, `ask` answers what
//! depends on an instant. No exchange is known here by name: all that is special about one is in its file.

mod adjust;
mod ask;
mod builtin;
mod compile;
mod day;
mod explain;
mod local_clock;
mod read;
mod rules;
mod table;
mod time_of_day;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use chrono::{NaiveDate, Weekday};
use chrono_tz::Tz;

pub use ask::Phase;
pub use day::{Basis, Day, DayKind, Fault, Faults, Origin, OutOfRange, Override, OwnHours, Session};
pub use explain::{HORIZON_NEAR, Horizon, Standing};
pub use time_of_day::{NoTimeOfDay, TimeOfDay};

use rules::{Hours, Period, Place, Rules, set_of};
use table::Table;

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
#[derive(Clone)]
pub struct Calendar {
    id: Arc<str>,
    table: Arc<Table>,
}

impl fmt::Debug for Calendar {
    /// Not the thousands of dates.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calendar").field("id", &self.id).field("range", &self.table.range).finish_non_exhaustive()
    }
}

impl Calendar {
    /// A built-in calendar by id or alias (`XNYS`, `NYSE`, `XHKG`, `always`, ...), whatever the case. None: no such calendar.
    #[must_use]
    pub fn builtin(id: &str) -> Option<Self> {
        let (id, file, text) = builtin::find(id)?;
        let calendar = Self::parse_file(id, text, file);
        Some(calendar.expect("a test compiles every embedded calendar"))
    }

    /// The id of the built-in calendar that a name means, whatever the case.
    #[must_use]
    pub fn builtin_id(name: &str) -> Option<&'static str> {
        builtin::find(name).map(|(id, ..)| id)
    }

    /// The ids of all built-in calendars and their aliases, for suggestions.
    #[must_use]
    pub fn builtin_ids() -> Vec<&'static str> {
        builtin::ids()
    }

    /// The text of the file of a built-in calendar, by id or alias: a file of one's own may begin as its copy.
    #[must_use]
    pub fn builtin_text(id: &str) -> Option<&'static str> {
        builtin::find(id).map(|(.., text)| text)
    }

    /// Compiles the text of a calendar file. The format is described in `config/calendars/README.md`.
    ///
    /// ```
    /// use mho::domain::calendar::Calendar;
    ///
    /// let text = r#"
    ///     name = "Night desk"
    ///     timezone = "Europe/London"
    ///     from = 2026-01-01
    ///     to = 2027-12-31
    ///     weekdays = ["mon", "tue", "wed", "thu", "fri"]
    ///     hours = { open = "22:00 -1d", close = "06:00" }
    /// "#;
    /// let night = Calendar::parse("NIGHT", text)?;
    /// let monday = night.session("2026-11-23".parse()?)?.expect("a session");
    /// assert_eq!(monday.open.to_rfc3339(), "2026-11-22T22:00:00+00:00");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// All faults of the text, each with its line.
    pub fn parse(id: &str, text: &str) -> Result<Self, Faults> {
        Self::compile(id, text, None)
    }

    /// The same, where people can find the text in a file: each answer then names its line.
    ///
    /// # Errors
    /// All faults of the text, each with its line.
    pub fn parse_file(id: &str, text: &str, file: &str) -> Result<Self, Faults> {
        Self::compile(id, text, Some(file.into()))
    }

    fn compile(id: &str, text: &str, file: Option<Arc<str>>) -> Result<Self, Faults> {
        let (rules, mut faults) = Rules::parse(text);
        let table = rules.map(|rules| {
            let (table, more) = compile::compile(rules, file);
            faults.extend(more);
            table
        });
        faults.sort_by_key(|fault| fault.line);
        match table {
            Some(table) if faults.is_empty() => Ok(Self::of(id, table)),
            Some(_) | None => Err(Faults(faults)),
        }
    }

    /// A calendar with a session on each of `weekdays`, from `open` to `close` local time, for as long as anybody will look.
    ///
    /// ```
    /// use chrono::Weekday::{Fri, Mon};
    /// use mho::domain::calendar::Calendar;
    ///
    /// let desk = Calendar::plain("DESK", chrono_tz::UTC, "09:00".parse()?, "24:00".parse()?, &[Mon, Fri])?;
    /// assert!(desk.is_session("2026-11-27".parse()?)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// It does not open before it closes, or is open for more than 24 hours.
    pub fn plain(id: &str, zone: Tz, open: TimeOfDay, close: TimeOfDay, weekdays: &[Weekday]) -> Result<Self, Fault> {
        let mut hours = Hours::plain(open, close.closing());
        adjust::own(&mut hours, &OwnHours { open: Some(open), ..OwnHours::default() })
            .map_err(|(key, message)| Fault { key: key.to_owned(), message, ..Fault::default() })?;
        let periods = vec![Period { from: NaiveDate::MIN, hours, place: Place::default(), origin: None }];
        Ok(Self::of(id, Table::of_week(zone, builtin::wide_range(), set_of(weekdays), periods)))
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

    /// Where the exchange publishes its days, where the file says so.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.table.source.as_deref()
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
        let kind = self.table.kind(&entry, session.as_ref());
        let (reason, origin) = (entry.reason(date), self.table.origin(date, &entry));
        Ok(Day { date, session, kind, reason, basis, origin })
    }

    /// Whether a date has a session; the fast path.
    ///
    /// ```
    /// let nyse = mho::domain::calendar::Calendar::builtin("XNYS").expect("a built-in calendar");
    /// assert!(!nyse.is_session("2026-11-26".parse()?)?); // Thanksgiving
    /// assert!(nyse.is_session("2026-11-27".parse()?)?);
    /// assert!(nyse.is_session("1850-01-02".parse()?).is_err()); // nothing is guessed beyond the data
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The date is outside of the data's range.
    pub fn is_session(&self, date: NaiveDate) -> Result<bool, OutOfRange> {
        self.check(date)?;
        Ok(self.table.entry(date).marks().is_some())
    }

    /// The session of a date, if it has one.
    ///
    /// ```
    /// let globex = mho::domain::calendar::Calendar::builtin("CMES").expect("a built-in calendar");
    /// let monday = globex.session("2026-11-23".parse()?)?.expect("a session");
    /// assert_eq!(monday.open.to_rfc3339(), "2026-11-22T23:00:00+00:00"); // Sunday, 17:00 in Chicago
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The date is outside of the data's range.
    pub fn session(&self, date: NaiveDate) -> Result<Option<Session>, OutOfRange> {
        self.check(date)?;
        Ok(self.table.entry(date).marks().map(|marks| self.table.session(date, &marks)))
    }

    /// The regular open and close of a date's session in local time, early close or not; what fixed stops are compared with.
    #[must_use]
    pub fn regular_hours(&self, date: NaiveDate) -> (TimeOfDay, TimeOfDay) {
        let hours = self.table.hours_on(date);
        (hours.open, hours.close)
    }

    /// The days of the trading week, Monday first.
    #[must_use]
    pub fn weekdays(&self) -> [bool; 7] {
        self.table.weekdays
    }

    /// The dates on which another state of the same calendar says something else: what this one says, and what that one does.
    #[must_use]
    pub fn changes(&self, newer: &Self) -> Vec<(Day, Day)> {
        let (first, last) =
            (self.range().start().max(newer.range().start()).to_owned(), *self.range().end().min(newer.range().end()));
        let days = first.iter_days().take_while(|date| *date <= last);
        let both = days.filter_map(|date| Some((self.day(date).ok()?, newer.day(date).ok()?)));
        // Where it stands written is of no account.
        both.filter(|(one, other)| {
            (&one.session, &one.reason, one.basis) != (&other.session, &other.reason, other.basis)
        })
        .collect()
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

#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod tests;
