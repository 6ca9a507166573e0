//! What a calendar says of an instant: the phase of the market, the next open and close, the sessions of a span.

use std::ops::{Bound, RangeBounds};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

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
    /// The lunch break or daily halt inside the regular session.
    Break,
    /// The session after the regular one.
    Post,
}

impl Phase {
    /// Its public name: `closed`, `pre`, `open`, `break`, `post`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Pre => "pre",
            Self::Open => "open",
            Self::Break => "break",
            Self::Post => "post",
        }
    }
}

impl Session {
    /// The phase of this session at an instant; None outside of it.
    fn phase_at(&self, at: DateTime<Utc>) -> Option<Phase> {
        if at < self.premarket || at >= self.postmarket {
            None
        } else if at < self.open {
            Some(Phase::Pre)
        } else if at >= self.close {
            Some(Phase::Post)
        } else if self.pause.is_some_and(|(from, to)| from <= at && at < to) {
            Some(Phase::Break)
        } else {
            Some(Phase::Open)
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
    ///
    /// let tokyo = Calendar::builtin("XTKS").expect("a built-in calendar");
    /// assert_eq!(tokyo.phase_at("2026-11-27T03:00:00Z".parse()?)?.0, Phase::Break); // noon in Tokyo
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The instant's date is outside of the data's range.
    pub fn phase_at(&self, at: DateTime<Utc>) -> Result<(Phase, Option<NaiveDate>), OutOfRange> {
        let today = self.table.clock.date_of(at);
        // A session may open on the evening before, or close on the day after. Under hours of one's own the exchange's other sessions may
        // lie a day farther off, and overlap the regular one of another date: then the regular one counts.
        let is_far = self.table.clock.zone() != self.table.outer.zone();
        let days: &[i64] = if is_far { &[0, 1, -1, 2, -2] } else { &[0, 1, -1] };
        let mut best = None;
        for date in days.iter().filter_map(|days| today.checked_add_signed(TimeDelta::days(*days))) {
            let Some(marks) = self.check(date).ok().and_then(|()| self.table.entry(date).marks()) else { continue };
            match self.table.session(date, &marks).phase_at(at) {
                Some(phase @ (Phase::Open | Phase::Break)) => return Ok((phase, Some(date))),
                Some(Phase::Pre) => best = Some((Phase::Pre, Some(date))),
                Some(phase) if best.is_none() => best = Some((phase, Some(date))),
                Some(_) | None => {}
            }
        }
        // Beside the range a session that reaches over its end is known, and nothing else.
        match best {
            Some(found) => Ok(found),
            None => self.check(today).map(|()| (Phase::Closed, None)),
        }
    }

    /// The trading date that an instant belongs to: that of the session it lies in, the sessions before and after the regular one
    /// included; while closed, that of the next session.
    ///
    /// ```
    /// let globex = mho::domain::calendar::Calendar::builtin("CMES").expect("a built-in calendar");
    /// let sunday_evening = "2026-11-22T23:30:00Z".parse()?;
    /// assert_eq!(globex.trading_date(sunday_evening)?, "2026-11-23".parse()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The instant's date is outside of the data's range, or no session follows in it.
    pub fn trading_date(&self, at: DateTime<Utc>) -> Result<NaiveDate, OutOfRange> {
        match self.phase_at(at)? {
            (_, Some(date)) => Ok(date),
            (_, None) => Ok(self.next_open(at)?.date),
        }
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
    /// The instant's date is outside of the data's range, or no session follows in it.
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
    /// The instant's date is outside of the data's range, or no session follows in it.
    pub fn next_close(&self, at: DateTime<Utc>) -> Result<Session, OutOfRange> {
        self.next(at, Table::close_of)
    }

    /// The sessions of a range of trading dates, as far as the data goes.
    ///
    /// ```
    /// use chrono::NaiveDate;
    ///
    /// let nyse = mho::domain::calendar::Calendar::builtin("XNYS").expect("a built-in calendar");
    /// let (first, last): (NaiveDate, NaiveDate) = ("2026-01-01".parse()?, "2026-12-31".parse()?);
    /// assert_eq!(nyse.sessions(first..=last).count(), 251);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sessions(&self, dates: impl RangeBounds<NaiveDate>) -> impl Iterator<Item = Session> + '_ {
        let (start, end) = (*self.table.range.start(), *self.table.range.end());
        let first = match dates.start_bound() {
            Bound::Included(date) => *date,
            Bound::Excluded(date) => date.succ_opt().unwrap_or(*date),
            Bound::Unbounded => start,
        };
        let last = match dates.end_bound() {
            Bound::Included(date) => Some(*date),
            Bound::Excluded(date) => date.pred_opt(),
            Bound::Unbounded => Some(end),
        };
        let dates =
            first.max(start).iter_days().take_while(move |date| last.is_some_and(|last| *date <= last.min(end)));
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
        for date in table.first_near(today).iter_days().take_while(|date| *date <= last) {
            if let Some(marks) = table.entry(date).marks()
                && boundary(table, date, &marks) > at
            {
                return Ok(table.session(date, &marks));
            }
        }
        Err(self.out_of_range(last.succ_opt().unwrap_or(last)))
    }
}
