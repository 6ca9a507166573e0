//! Answers for people: how a date stands at a moment, and how far the exchange's own word reaches.

use chrono::{DateTime, Days, NaiveDate, Utc};

use super::{Calendar, Day, DayKind};

/// So long before the published horizon, or the end of the data, it is said.
pub const HORIZON_NEAR: Days = Days::new(60);

/// How the session of a date stands at a moment: different answers for different causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// The session is still to come.
    NotYetOpen,
    /// It is under way.
    Open,
    /// It is under way, in its lunch break or daily halt.
    Break,
    /// It is over.
    Closed,
    /// It is over, sooner than on other days.
    ClosedEarly,
    /// There is none, on a day of the trading week.
    Holiday,
    /// There is none, as always on that day of the week.
    Weekend,
}

impl Standing {
    /// Its public name: `not_yet_open`, `open`, `break`, `closed`, `closed_early`, `holiday`, `weekend`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotYetOpen => "not_yet_open",
            Self::Open => "open",
            Self::Break => "break",
            Self::Closed => "closed",
            Self::ClosedEarly => "closed_early",
            Self::Holiday => "holiday",
            Self::Weekend => "weekend",
        }
    }
}

impl Day {
    /// How it stands at a moment.
    ///
    /// ```
    /// use mho::domain::calendar::{Calendar, Standing};
    ///
    /// let nyse = Calendar::builtin("XNYS").expect("a built-in calendar");
    /// let half_day = nyse.day("2026-11-27".parse()?)?;
    /// assert_eq!(half_day.standing("2026-11-27T14:29:59Z".parse()?), Standing::NotYetOpen);
    /// assert_eq!(half_day.standing("2026-11-27T18:00:00Z".parse()?), Standing::ClosedEarly);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn standing(&self, now: DateTime<Utc>) -> Standing {
        match &self.session {
            None if self.kind == DayKind::Weekend => Standing::Weekend,
            None => Standing::Holiday,
            Some(session) if now < session.open => Standing::NotYetOpen,
            Some(session) if now < session.close => match session.pause {
                Some((from, to)) if from <= now && now < to => Standing::Break,
                Some(_) | None => Standing::Open,
            },
            Some(_) if self.kind == DayKind::EarlyClose => Standing::ClosedEarly,
            Some(_) => Standing::Closed,
        }
    }
}

/// How a day stands to the last date that the exchange has published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Horizon {
    /// It is farther away than anybody need worry.
    Far,
    /// It comes within two months.
    Near,
    /// It is past: what the calendar says is projected.
    Passed,
}

impl Calendar {
    /// How a date stands to the published horizon.
    ///
    /// ```
    /// use mho::domain::calendar::{Calendar, Horizon};
    ///
    /// let nyse = Calendar::builtin("XNYS").expect("a built-in calendar");
    /// assert_eq!(nyse.horizon("2026-11-26".parse()?), Horizon::Far);
    /// assert_eq!(nyse.horizon("2034-11-26".parse()?), Horizon::Passed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn horizon(&self, today: NaiveDate) -> Horizon {
        let last = self.published_to();
        if today > last {
            Horizon::Passed
        } else if today.checked_add_days(HORIZON_NEAR).is_none_or(|soon| soon > last) {
            Horizon::Near
        } else {
            Horizon::Far
        }
    }
}
