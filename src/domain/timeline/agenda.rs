//! The next boundaries, as `mho next` lists them.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, Utc};

use super::{DayPlan, Window, deadline, plan};
use crate::domain::calendar::Calendar;
use crate::domain::script::{ScriptName, ScriptSpec};

/// What happens at a boundary. At one instant they stand in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BoundaryKind {
    /// The session closes.
    Close,
    /// A run reaches its `max_duration`, if it starts on time.
    Deadline,
    /// A script is stopped.
    Stop,
    /// The session opens.
    Open,
    /// A script is started.
    Start,
}

impl BoundaryKind {
    /// The public name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Deadline => "deadline",
            Self::Stop => "stop",
            Self::Open => "open",
            Self::Start => "start",
        }
    }
}

/// An instant at which something changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Boundary {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub kind: BoundaryKind,
    /// For whom; None = the default calendar's session.
    pub script: Option<ScriptName>,
    /// The trading date that it belongs to.
    pub trading_date: NaiveDate,
}

/// Windows may reach this far beyond their trading date's civil day, so that many days more are looked at before the list is cut.
const OVERHANG: usize = 8;

/// The next `count` boundaries after `now`, soonest first; fewer where the calendars' data ends.
///
/// # Panics
/// If a calendar is missing: the configuration names only those it has loaded.
#[must_use]
pub fn agenda<S: Borrow<ScriptSpec>>(
    scripts: &[S],
    calendars: &BTreeMap<Arc<str>, Arc<Calendar>>,
    market: &str,
    now: DateTime<Utc>,
    count: usize,
) -> Vec<Boundary> {
    let calendar = |key: &str| calendars.get(key).expect("every calendar in use is loaded");
    let zone = calendar(market).zone();
    let first = now.with_timezone(&zone).date_naive() - Days::new(7);
    let last = calendars.values().map(|c| *c.range().end()).max().unwrap_or(first);
    let mut found = Vec::new();
    let mut previous: BTreeMap<&ScriptName, Window> = BTreeMap::new();
    let mut extra = 0;
    for date in first.iter_days().take_while(|d| *d <= last) {
        session_boundaries(calendar(market), date, &mut found);
        for script in scripts.iter().map(Borrow::borrow).filter(|script| script.enabled) {
            if let Ok(DayPlan::Window(window)) = plan(&script.window, calendar(&script.window.calendar), date) {
                script_boundaries(script, &window, previous.get(&script.name), &mut found);
                previous.insert(&script.name, window);
            }
        }
        found.retain(|b: &Boundary| b.at > now);
        if found.len() >= count {
            extra += 1;
        }
        if extra > OVERHANG {
            break;
        }
    }
    found.sort();
    found.truncate(count);
    found
}

fn session_boundaries(calendar: &Calendar, date: NaiveDate, found: &mut Vec<Boundary>) {
    if let Ok(Some(session)) = calendar.session(date) {
        for (at, kind) in [(session.open, BoundaryKind::Open), (session.close, BoundaryKind::Close)] {
            found.push(Boundary { at, kind, script: None, trading_date: date });
        }
    }
}

/// Windows that touch are joined: neither the stop of the one nor the start of the other happens.
fn script_boundaries(script: &ScriptSpec, window: &Window, before: Option<&Window>, found: &mut Vec<Boundary>) {
    let mut push = |at, kind| {
        found.push(Boundary { at, kind, script: Some(script.name.clone()), trading_date: window.trading_date });
    };
    push(window.stop, BoundaryKind::Stop);
    if let Some(at) = deadline(window.start, script.max_duration, window.stop) {
        push(at, BoundaryKind::Deadline);
    }
    match before.filter(|b| window.start <= b.stop) {
        None => push(window.start, BoundaryKind::Start),
        Some(joined) => found.retain(|b| {
            (b.kind, b.script.as_ref(), b.trading_date) != (BoundaryKind::Stop, Some(&script.name), joined.trading_date)
        }),
    }
}
