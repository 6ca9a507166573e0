//! Days without a session, for a dead-man's switch: it hears once that nothing was to run, at the time of day when else it would have.

use chrono::{DateTime, Days, NaiveDate, Utc};

use super::book::Look;
use crate::domain::time::resolve_local;
use crate::domain::timeline::{DayPlan, plan};

/// No exchange pauses longer, but in wars.
const LOOK_BACK: u64 = 14;

/// Today, and why the script does not run today, once it would have started by now.
pub(super) fn closed(look: &Look, now: DateTime<Utc>) -> Option<(NaiveDate, String)> {
    let spec = &look.facts.spec;
    let calendar = look.calendar.as_ref().filter(|_| spec.enabled)?;
    let zone = calendar.zone();
    let today = now.with_timezone(&zone).date_naive();
    let Ok(DayPlan::NoSession { reason }) = plan(&spec.window, calendar, today) else { return None };
    let before = |back: u64| match plan(&spec.window, calendar, today.checked_sub_days(Days::new(back))?) {
        Ok(DayPlan::Window(window)) => Some(window.start.with_timezone(&zone).time()),
        Ok(_) | Err(_) => None,
    };
    let start = (1..=LOOK_BACK).find_map(before)?;
    let reason = if reason.is_empty() { "no session".to_owned() } else { reason };
    (resolve_local(zone, today.and_time(start)) <= now).then_some((today, reason))
}
