//! What an operator tells the daemon to do: orders, who gave them, and the holds that outlive them.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::script::ScriptName;
use super::time::{is_written, resolve_local, written_date, written_local};

/// Who told the daemon to do something, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// The user at the other end of the socket, in words.
    pub who: String,
    /// As they said; may be empty.
    pub reason: String,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.who)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, ": {}", self.reason) }
    }
}

/// What is asked of one script, or of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// An attempt, now.
    Start {
        /// Also where the script would not run: it has finished, is paused, skipped or disabled, or its window is not open.
        force: bool,
    },
    /// The end of the run, for its trading date.
    Stop,
    /// A new process in place of the present one.
    Restart,
    /// No run on this trading date; None = today's if it has not begun, else the next.
    Skip {
        /// Which.
        date: Option<NaiveDate>,
    },
    /// No start and no restart.
    Pause {
        /// Until this instant; None = until somebody resumes it.
        until: Option<DateTime<Utc>>,
        /// A live process is stopped too.
        stop: bool,
    },
    /// The end of pauses, skips and the operator's stop.
    Resume,
}

/// Whom an order is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// One script, by name: it may be none of ours.
    One(String),
    /// All that are configured.
    All,
}

/// What an operator forbids until further notice. Kept by the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What.
    pub kind: HoldKind,
    /// Who said so.
    pub by: By,
    /// When it was said, on the market clock.
    pub at: DateTime<Utc>,
}

/// In words, without the time at which it ends: whoever shows it knows in which zone.
impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.kind {
            HoldKind::Pause { .. } => "paused",
            HoldKind::Skip { .. } => "skipped",
        };
        write!(f, "{verb} by {}", self.by.who)?;
        if self.by.reason.is_empty() { Ok(()) } else { write!(f, " ({})", self.by.reason) }
    }
}

/// What a hold forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldKind {
    /// Starts and restarts.
    Pause {
        /// Until then; None = until it is lifted.
        until: Option<DateTime<Utc>>,
    },
    /// The run of a trading date.
    Skip {
        /// Which.
        trading_date: NaiveDate,
    },
}

/// The holds of one script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds(Vec<Hold>);

impl Holds {
    /// A later hold takes the place of an earlier one of its kind (and date).
    pub fn put(&mut self, hold: Hold) {
        let same = |other: &Hold| match (other.kind, hold.kind) {
            (HoldKind::Pause { .. }, HoldKind::Pause { .. }) => true,
            (HoldKind::Skip { trading_date: a }, HoldKind::Skip { trading_date: b }) => a == b,
            (HoldKind::Pause { .. }, HoldKind::Skip { .. }) | (HoldKind::Skip { .. }, HoldKind::Pause { .. }) => false,
        };
        self.0.retain(|other| !same(other));
        self.0.push(hold);
    }

    /// All that hold at `now`. A skip whose date is `over` holds nothing any more.
    pub fn retain_current(&mut self, now: DateTime<Utc>, over: Option<NaiveDate>) {
        self.0.retain(|hold| match hold.kind {
            HoldKind::Pause { until } => until.is_none_or(|until| now < until),
            HoldKind::Skip { trading_date } => over.is_none_or(|over| over < trading_date),
        });
    }

    /// Lifts all; whether there were any.
    pub fn lift(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
    }

    /// The pause in force at `now`.
    #[must_use]
    pub fn pause(&self, now: DateTime<Utc>) -> Option<&Hold> {
        let is_pause = |hold: &&Hold| match hold.kind {
            HoldKind::Pause { until } => until.is_none_or(|until| now < until),
            HoldKind::Skip { .. } => false,
        };
        self.0.iter().find(is_pause)
    }

    /// The skip of this date.
    #[must_use]
    pub fn skip(&self, date: NaiveDate) -> Option<&Hold> {
        self.0.iter().find(|hold| hold.kind == HoldKind::Skip { trading_date: date })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Hold> {
        self.0.iter()
    }
}

impl FromIterator<Hold> for Holds {
    fn from_iter<I: IntoIterator<Item = Hold>>(holds: I) -> Self {
        let mut all = Self::default();
        holds.into_iter().for_each(|hold| all.put(hold));
        all
    }
}

/// Why an order was not carried out, in words that say what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such script.
    #[error("no script named {name:?}; the daemon has: {}", names(.known))]
    NoSuchScript {
        /// Asked for.
        name: String,
        /// All there are.
        known: Vec<ScriptName>,
    },
    /// Not as things stand.
    #[error("{0}")]
    NotNow(String),
    /// The configuration that was to be read again has faults.
    #[error("{0}")]
    Faulty(String),
    /// The arguments make no sense.
    #[error("{0}")]
    Invalid(String),
    /// The actors did not answer in time, or the daemon ends.
    #[error("{0}")]
    Unanswered(String),
}

fn names(names: &[ScriptName]) -> String {
    if names.is_empty() {
        return "no script".to_owned();
    }
    names.iter().map(ScriptName::as_str).collect::<Vec<_>>().join(", ")
}

/// What came of an order that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// In words.
    pub message: String,
    /// Nothing more comes of it: it has taken full effect, or failed to.
    pub done: bool,
    /// It did what was asked, as far as is known.
    pub ok: bool,
}

/// The instant that an operator means by `text`: `HH:MM[:SS]` (the next such time), `YYYY-MM-DD` (its midnight), `YYYY-MM-DDTHH:MM[:SS]`, or
/// RFC 3339 with an offset; without one, in `zone`.
///
/// # Errors
/// In words: it is none of these, or is past at `now`.
pub fn parse_until(text: &str, zone: Tz, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let time = |text: &str| ["%H:%M:%S", "%H:%M"].iter().find_map(|f| NaiveTime::parse_from_str(text, f).ok());
    let today = now.with_timezone(&zone).date_naive();
    let at = if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        Some(at.with_timezone(&Utc))
    } else if let Some(time) = time(text) {
        let on = |date: NaiveDate| resolve_local(zone, date.and_time(time));
        Some(on(today)).filter(|at| *at > now).or_else(|| today.succ_opt().map(on))
    } else if let Some(date) = written_date(text) {
        Some(resolve_local(zone, date.and_time(NaiveTime::MIN)))
    } else {
        written_local(text).filter(|at| is_written(&at.date())).map(|at| resolve_local(zone, at))
    };
    match at {
        None => Err(format!(
            "{text:?} is no time: use HH:MM, YYYY-MM-DD or YYYY-MM-DDTHH:MM, in {zone}, or RFC 3339 with an offset"
        )),
        Some(at) if at <= now => {
            Err(format!("{text:?} is past: it is {} now", now.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z")))
        }
        Some(at) => Ok(at),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use chrono_tz::America::New_York;

    use super::*;

    fn at(h: u32, m: u32) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 11, 27, h, m, 0).unwrap()
    }

    fn hold(kind: HoldKind) -> Hold {
        Hold { kind, by: By::default(), at: at(0, 0) }
    }

    #[test]
    fn a_time_means_the_next_one_in_the_calendars_zone() {
        let until = |text| parse_until(text, New_York, at(15, 0));
        assert_eq!(until("10:30"), Ok(at(15, 30)));
        assert_eq!(until("09:30"), Ok(at(14, 30) + chrono::TimeDelta::days(1)));
        assert_eq!(until("2026-11-27T12:00"), Ok(at(17, 0)));
        assert_eq!(until("2026-11-28"), Ok(at(5, 0) + chrono::TimeDelta::days(1)));
        assert_eq!(until("2026-11-27T17:00:00Z"), Ok(at(17, 0)));
        assert!(until("2026-11-27T09:00").unwrap_err().contains("is past"));
        for no_time in ["soon", "", "25:00", "+262142-12-31", "+262142-12-31T23:59:59", "\u{0}"] {
            assert!(until(no_time).unwrap_err().contains("use HH:MM"), "{no_time}");
        }
    }

    #[test]
    fn a_pause_ends_with_its_time_and_a_skip_with_its_date() {
        let trading_date = at(0, 0).date_naive();
        let mut holds: Holds =
            [hold(HoldKind::Pause { until: Some(at(15, 0)) }), hold(HoldKind::Skip { trading_date })]
                .into_iter()
                .collect();
        assert!(holds.pause(at(14, 59)).is_some() && holds.pause(at(15, 0)).is_none());
        assert!(holds.skip(trading_date).is_some());
        holds.retain_current(at(15, 0), None);
        assert_eq!(holds.iter().count(), 1);
        holds.retain_current(at(15, 0), Some(trading_date));
        assert!(!holds.lift());
    }

    #[test]
    fn a_second_pause_takes_the_place_of_the_first() {
        let mut holds = Holds::default();
        holds.put(hold(HoldKind::Pause { until: Some(at(15, 0)) }));
        holds.put(hold(HoldKind::Pause { until: None }));
        assert_eq!(holds.iter().count(), 1);
        assert!(holds.lift());
    }
}
