//! Windows of scripts and the boundaries between them.
//!
//! `plan` answers what one script does on one trading date; `Timeline` merges all scripts and sessions into one ordered stream of
//! boundaries; `agenda` lists the next ones for people.

mod agenda;
#[cfg(test)]
mod change_tests;
mod event;
mod merged;
mod sessions;
#[cfg(test)]
mod tests;
mod track;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::calendar::{Calendar, OutOfRange, Session};
use super::script::{Anchor, HalfDays, TimePoint, WindowSpec};
use super::time::resolve_local;

pub use agenda::{Boundary, BoundaryKind, agenda};
pub use event::{Absence, Addressed, Alarm, Arrival, ClockEvent};
pub use merged::Timeline;
pub use track::LONGEST_ABSENCE;

/// The span [start, stop) in which a script should run on one trading date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The exchange's date of the session.
    pub trading_date: NaiveDate,
    /// When the script starts.
    pub start: DateTime<Utc>,
    /// When it is stopped.
    pub stop: DateTime<Utc>,
    /// Open of the session.
    pub open: DateTime<Utc>,
    /// Close of the session.
    pub close: DateTime<Utc>,
    /// A half day.
    pub early_close: bool,
    /// The calendar's zone: people see this one.
    pub zone: Tz,
    /// The script's next window starts at or before this stop: the two are joined, and the stop does not happen.
    pub joined: bool,
}

/// What a script does on one trading date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DayPlan {
    /// It runs.
    Window(Window),
    /// There is a session, but the script sits it out.
    Skipped {
        /// When it would have started.
        at: DateTime<Utc>,
        /// The calendar's zone: people see this one.
        zone: Tz,
        /// In words.
        reason: String,
    },
    /// There is no session.
    NoSession {
        /// In words.
        reason: String,
    },
}

/// What a script does on `date`. Whether it is enabled is not asked here.
pub fn plan(spec: &WindowSpec, calendar: &Calendar, date: NaiveDate) -> Result<DayPlan, OutOfRange> {
    let day = calendar.day(date)?;
    let Some(session) = day.session else {
        return Ok(DayPlan::NoSession { reason: day.reason.to_string() });
    };
    let start = instant(spec.start, calendar, &session);
    let stop = cut(spec.stop, instant(spec.stop, calendar, &session), &session);
    let early = session.is_early_close();
    let skipped = |reason: String| Ok(DayPlan::Skipped { at: start, zone: calendar.zone(), reason });
    if spec.skip_dates.contains(&date) {
        return skipped("listed in skip_dates".to_owned());
    }
    match spec.half_days {
        HalfDays::Skip if early => return skipped(format!("half day ({})", day.reason)),
        HalfDays::Only if !early => return skipped("not a half day".to_owned()),
        HalfDays::Run | HalfDays::Skip | HalfDays::Only => {}
    }
    if start >= stop {
        let why = if day.reason.is_empty() { String::new() } else { format!(" ({})", day.reason) };
        return skipped(format!("its window is empty on this date{why}"));
    }
    Ok(DayPlan::Window(Window {
        trading_date: date,
        start,
        stop,
        open: session.open,
        close: session.close,
        early_close: early,
        zone: calendar.zone(),
        joined: false, // one date alone cannot tell
    }))
}

/// The window that a run belongs to which somebody forces at `now`: the first of a session that is not over, whether the script would sit
/// that date out or not; None where the calendar's data ends.
#[must_use]
pub fn forced_window(spec: &WindowSpec, calendar: &Calendar, now: DateTime<Utc>) -> Option<Window> {
    let willing = WindowSpec { half_days: HalfDays::Run, skip_dates: Vec::new(), ..spec.clone() };
    windows(&willing, calendar, now).next()
}

/// The windows that end after `now`, one after the other.
pub fn windows<'a>(
    spec: &'a WindowSpec,
    calendar: &'a Calendar,
    now: DateTime<Utc>,
) -> impl Iterator<Item = Window> + 'a {
    let today = now.with_timezone(&calendar.zone()).date_naive();
    let first = today.checked_sub_days(Days::new(7)).unwrap_or(today).max(*calendar.range().start());
    let last = *calendar.range().end();
    let planned = first.iter_days().take_while(move |date| *date <= last).map(|date| plan(spec, calendar, date));
    planned.filter_map(move |found| match found {
        Ok(DayPlan::Window(window)) if now < window.stop => Some(window),
        Ok(_) | Err(_) => None,
    })
}

fn instant(point: TimePoint, calendar: &Calendar, session: &Session) -> DateTime<Utc> {
    match point {
        TimePoint::At(time) => resolve_local(calendar.zone(), session.date.and_time(time)),
        TimePoint::Anchor(anchor, offset) => {
            let base = match anchor {
                Anchor::Premarket => session.premarket,
                Anchor::Open => session.open,
                Anchor::Close => session.close,
                Anchor::Postmarket => session.postmarket,
            };
            base + offset
        }
    }
}

/// A fixed stop at or before the regular close means "with the market, at the latest then": an early close cuts it. A later one was
/// chosen to run past the close, and stays.
fn cut(point: TimePoint, stop: DateTime<Utc>, session: &Session) -> DateTime<Utc> {
    match point {
        TimePoint::At(_) if stop <= session.regular_close => stop.min(session.close),
        TimePoint::At(_) | TimePoint::Anchor(..) => stop,
    }
}

/// The deadline that `max_duration` sets for a run first started at `first_start`; None if the window ends before or with it.
#[must_use]
pub fn deadline(
    first_start: DateTime<Utc>,
    max_duration: Option<std::time::Duration>,
    stop: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let limit = TimeDelta::from_std(max_duration?).ok()?;
    first_start.checked_add_signed(limit).filter(|at| *at < stop)
}
