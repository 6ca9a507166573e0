//! Days on which the clocks of a zone change, and local times as calendars write them.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveTime, Offset, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;

use crate::domain::calendar::Session;
use crate::domain::notice::compact;
use crate::domain::time::resolve_local;

/// A change of the clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClockChange {
    /// The local time at which it comes.
    pub(super) at: NaiveTime,
    /// Forward is positive.
    by: TimeDelta,
    /// The zone's abbreviations before and after.
    names: [String; 2],
}

/// The change of the clocks on a civil day, if there is one.
pub(super) fn clock_change(zone: Tz, date: NaiveDate) -> Option<ClockChange> {
    let second = TimeDelta::seconds(1);
    let midnight = |date: NaiveDate| resolve_local(zone, date.and_time(NaiveTime::MIN));
    let offset = |at: DateTime<Utc>| at.with_timezone(&zone).offset().fix().local_minus_utc();
    // What happens at the midnight between two days belongs to the later one.
    let (mut before, mut after) = (midnight(date) - second, midnight(date.succ_opt()?) - second);
    let by = TimeDelta::seconds((offset(after) - offset(before)).into());
    if by.is_zero() {
        return None;
    }
    let name = |at: DateTime<Utc>| at.with_timezone(&zone).format("%Z").to_string();
    let names = [name(before), name(after)];
    while after - before > second {
        let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
        if offset(middle) == offset(before) { before = middle } else { after = middle }
    }
    let at = (before.with_timezone(&zone).naive_local() + second).time();
    Some(ClockChange { at, by, names })
}

impl fmt::Display for ClockChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.by > TimeDelta::zero() { "forward" } else { "back" };
        let [from, to] = &self.names;
        write!(f, "clocks go {way} {} ({from} to {to})", compact(self.by.abs().to_std().unwrap_or_default()))
    }
}

/// The local time of an instant as people write it for that trading date: the midnight after it is 24:00, and 17:00 on the day before is
/// "17:00 -1d", as in calendar files.
pub(super) fn clock_on(zone: Tz, date: NaiveDate, at: DateTime<Utc>) -> String {
    let local = at.with_timezone(&zone).naive_local();
    let days = local.date().signed_duration_since(date).num_days();
    if days == 1 && local.time() == NaiveTime::MIN {
        return "24:00".to_owned();
    }
    let time = time_text(local.time());
    if days == 0 { time } else { format!("{time} {days:+}d") }
}

/// Seconds only where there are some.
pub(super) fn time_text(time: NaiveTime) -> String {
    time.format(if time.second() == 0 { "%H:%M" } else { "%H:%M:%S" }).to_string()
}

/// "09:30-16:00"; "17:00 -1d to 16:00" where another day is meant.
pub(super) fn hours_text(zone: Tz, session: &Session) -> String {
    let [open, close] = [session.open, session.close].map(|at| clock_on(zone, session.date, at));
    span_text(&open, &close)
}

pub(super) fn span_text(open: &str, close: &str) -> String {
    let joint = if open.contains(' ') || close.contains(' ') { " to " } else { "-" };
    format!("{open}{joint}{close}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_change_on_the_civil_day_on_which_they_do() {
        let rows = [
            (Tz::America__New_York, "2026-11-01", "02:00", "clocks go back 1h (EDT to EST)"),
            (Tz::America__New_York, "2026-03-08", "02:00", "clocks go forward 1h (EST to EDT)"),
            (Tz::Europe__London, "2026-10-25", "02:00", "clocks go back 1h (BST to GMT)"),
            (Tz::Australia__Lord_Howe, "2026-04-05", "02:00", "clocks go back 30m (+11 to +1030)"),
            // At midnight: the clocks skip the first hour of the day, or repeat the last.
            (Tz::America__Havana, "2026-03-08", "00:00", "clocks go forward 1h (CST to CDT)"),
            (Tz::America__Santiago, "2026-04-04", "00:00", "clocks go back 1h (-03 to -04)"),
        ];
        for (zone, date, at, text) in rows {
            let date: NaiveDate = date.parse().expect("a date");
            let change = clock_change(zone, date).unwrap_or_else(|| panic!("{zone} {date}"));
            assert_eq!((time_text(change.at).as_str(), change.to_string().as_str()), (at, text), "{zone} {date}");
            for other in [date.pred_opt(), date.succ_opt()].into_iter().flatten() {
                assert_eq!(clock_change(zone, other), None, "{zone} {other}");
            }
        }
        assert_eq!(clock_change(Tz::UTC, "2026-11-01".parse().expect("a date")), None);
    }
}
