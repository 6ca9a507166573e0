//! What a calendar says of an instant: the phase of the market, the next open and close, the sessions of a span.

use chrono::{DateTime, Days, NaiveDate, Utc};

use super::table::{Marks, Table};
use super::{Calendar, OutOfRange, Session};

/// Where in a trading day an instant lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// No session.
    Closed,
    /// The session before the regular one.
    Pre,
    /// The regular session.
    Open,
    /// The session after the regular one.
    Post,
}

impl Phase {
    /// Its public name: `closed`, `pre`, `open`, `post`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Pre => "pre",
            Self::Open => "open",
            Self::Post => "post",
        }
    }
}

impl Calendar {
    /// The phase at an instant, and the trading date whose session it belongs to; none while closed.
    ///
    /// ```
    /// use mho::domain::calendar::{Calendar, Phase};
    ///
    /// let nyse = Calendar::builtin("XNYS").expect("a built-in calendar");
    /// let (phase, date) = nyse.phase_at("2026-11-27T18:00:00Z".parse()?)?; // the early close: 13:00 in New York
    /// assert_eq!((phase, date), (Phase::Post, Some("2026-11-27".parse()?)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The instant's date is outside of the data's range.
    pub fn phase_at(&self, at: DateTime<Utc>) -> Result<(Phase, Option<NaiveDate>), OutOfRange> {
        let today = self.table.clock.date_of(at);
        self.check(today)?;
        // Under hours of one's own the exchange's other sessions may lie on the civil day before or after, and overlap the
        // regular one of another date: then the regular one counts.
        let near: Vec<Session> = self.sessions(before(today), after(today)).collect();
        let within = |from: fn(&Session) -> DateTime<Utc>, to: fn(&Session) -> DateTime<Utc>| {
            near.iter().find(|session| from(session) <= at && at < to(session)).map(|session| session.date)
        };
        let phases = [
            (Phase::Open, within(|session| session.open, |session| session.close)),
            (Phase::Pre, within(|session| session.premarket, |session| session.open)),
            (Phase::Post, within(|session| session.close, |session| session.postmarket)),
        ];
        Ok(phases.into_iter().find(|(_, date)| date.is_some()).unwrap_or((Phase::Closed, None)))
    }

    /// The first session that opens after an instant.
    ///
    /// ```
    /// let nyse = mho::domain::calendar::Calendar::builtin("XNYS").expect("a built-in calendar");
    /// let next = nyse.next_open("2026-11-25T21:00:00Z".parse()?)?; // the evening before Thanksgiving
    /// assert_eq!(next.date.to_string(), "2026-11-27");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// There is none in the data's range.
    pub fn next_open(&self, at: DateTime<Utc>) -> Result<Session, OutOfRange> {
        self.next(at, Table::open_of)
    }

    /// The first session that closes after an instant.
    ///
    /// ```
    /// let nyse = mho::domain::calendar::Calendar::builtin("XNYS").expect("a built-in calendar");
    /// let next = nyse.next_close("2026-11-27T17:59:59Z".parse()?)?;
    /// assert_eq!(next.close.to_rfc3339(), "2026-11-27T18:00:00+00:00");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// There is none in the data's range.
    pub fn next_close(&self, at: DateTime<Utc>) -> Result<Session, OutOfRange> {
        self.next(at, Table::close_of)
    }

    /// The sessions from one date to another, both included, as far as the data goes.
    ///
    /// ```
    /// let nyse = mho::domain::calendar::Calendar::builtin("XNYS").expect("a built-in calendar");
    /// assert_eq!(nyse.sessions("2026-01-01".parse()?, "2026-12-31".parse()?).count(), 251);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sessions(&self, from: NaiveDate, to: NaiveDate) -> impl Iterator<Item = Session> + '_ {
        let (first, last) = (from.max(*self.table.range.start()), to.min(*self.table.range.end()));
        let dates = first.iter_days().take_while(move |date| *date <= last);
        dates.filter_map(|date| self.table.entry(date).marks().map(|marks| self.table.session(date, &marks)))
    }

    /// Only the boundary asked for is computed until the session is found.
    fn next(
        &self,
        at: DateTime<Utc>,
        boundary: fn(&Table, NaiveDate, &Marks) -> DateTime<Utc>,
    ) -> Result<Session, OutOfRange> {
        let today = self.table.clock.date_of(at);
        self.check(today)?;
        let (table, last) = (&*self.table, *self.table.range.end());
        // Open and close lie on the civil day of their trading date, so an earlier date cannot be meant.
        for date in today.iter_days().take_while(|date| *date <= last) {
            if let Some(marks) = table.entry(date).marks()
                && boundary(table, date, &marks) > at
            {
                return Ok(table.session(date, &marks));
            }
        }
        Err(self.out_of_range(after(last)))
    }
}

fn before(date: NaiveDate) -> NaiveDate {
    date.checked_sub_days(Days::new(1)).unwrap_or(date)
}

fn after(date: NaiveDate) -> NaiveDate {
    date.checked_add_days(Days::new(1)).unwrap_or(date)
}
