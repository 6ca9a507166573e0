//! What the timeline says: boundaries in words that a script understands, and to whom.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use super::{DayPlan, Window};
use crate::domain::script::ScriptName;

/// How a boundary was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The clock ran up to it while somebody watched.
    OnTime,
    /// It was past already: the daemon came up, the machine woke or the clock was set.
    Late,
}

/// Why dates came to their end while nobody watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// No daemon ran.
    NoDaemon,
    /// The machine slept, or the clock was set.
    Jump,
    /// The calendar was changed, and nobody could know before.
    Changed,
}

impl Absence {
    /// Why the run of such a date was missed.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoDaemon => "no daemon ran in its window",
            Self::Jump => "its whole window went by while the machine slept or the clock was set",
            Self::Changed => "its whole window was past when the calendar was changed",
        }
    }
}

/// The alarms of a run, on the market clock; one slot each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// Fifteen minutes are left of `max_duration`.
    LimitNear,
    /// `max_duration` has passed.
    Limit,
    /// A pause ends by itself.
    PauseEnds,
    /// The window ends of a run that was forced outside of it: no boundary of the timeline tells of that, or not yet.
    ForcedEnd,
    /// It is told of the stop to come.
    Warn,
}

/// What the market clock tells a script.
#[derive(Clone, Debug, PartialEq)]
pub enum ClockEvent {
    /// For this date your window is open.
    WindowOpen {
        /// Until its stop.
        window: Window,
        /// On time, or late.
        arrival: Arrival,
        /// Predecessors that do not run on this date (any more), and why.
        absent: BTreeMap<ScriptName, String>,
    },
    /// No window is open: said to a script whose watcher is new, since a run that was cut off may wait for its end.
    NoWindow {
        /// The date of the next one.
        upcoming: Option<NaiveDate>,
    },
    /// The window of this date has ended.
    WindowClose {
        /// Which.
        trading_date: NaiveDate,
    },
    /// The calendar has changed, and this window that was open begins later: who is at work stays at work, nothing is started before.
    WindowMoved {
        /// As it is now.
        window: Window,
    },
    /// A whole window went by unseen. Where it is `joined`, the one that is open now goes on from it without a gap: a run that is at work in
    /// it is not to be stopped.
    WindowPassed {
        /// Which.
        window: Window,
        /// Why.
        absence: Absence,
    },
    /// These dates came to their end while nobody watched, oldest first: said to a script that an earlier daemon knew, before all else, and to
    /// every script when the clock is set far ahead.
    Unwatched {
        /// What each would have been; `joined` as above.
        dates: Vec<(NaiveDate, DayPlan)>,
        /// Why nobody did.
        absence: Absence,
    },
    /// On this date you sit it out.
    WindowSkipped {
        /// Which.
        trading_date: NaiveDate,
        /// The calendar's zone: people see this one.
        zone: Tz,
        /// In words.
        reason: String,
    },
    /// The regular session of your calendar has begun.
    SessionOpen {
        /// Which.
        trading_date: NaiveDate,
    },
    /// The regular session of your calendar has ended.
    SessionClose {
        /// Which.
        trading_date: NaiveDate,
    },
    /// An alarm that you set has come.
    Alarm {
        /// Which.
        alarm: Alarm,
    },
}

impl ClockEvent {
    /// At one instant: what ends goes before what begins, and a script's window opens before its session does (the run is there to be
    /// re-armed).
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::WindowPassed { .. } | Self::Unwatched { .. } => 0,
            Self::SessionClose { .. } => 1,
            Self::Alarm { .. } => 2,
            Self::NoWindow { .. } | Self::WindowClose { .. } | Self::WindowMoved { .. } => 3,
            Self::WindowSkipped { .. } => 4,
            Self::WindowOpen { .. } => 5,
            Self::SessionOpen { .. } => 6,
        }
    }
}

/// An event, and whom it concerns.
#[derive(Clone, Debug, PartialEq)]
pub struct Addressed {
    /// The boundary, on the market clock; it may be past.
    pub at: DateTime<Utc>,
    /// Index of the script; None = everybody who cares for the default calendar's session.
    pub to: Option<usize>,
    /// What.
    pub event: ClockEvent,
}
