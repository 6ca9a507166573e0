//! From what is known to what is shown.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::coming::next_start;
use super::verdict::is_expected;
use super::{HoldLine, LastExit, Local, Market, Next, NextBoundary, NextLine, Script, Span};
use crate::domain::calendar::{Calendar, Phase};
use crate::domain::lifecycle::{StateName, View};
use crate::domain::operator::{Hold, HoldKind};
use crate::domain::script::ScriptSpec;
use crate::domain::timeline::{Boundary, Window, windows};

/// A script as the root knows it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// As it is configured.
    pub spec: Arc<ScriptSpec>,
    /// As it is.
    pub view: Arc<View>,
    /// Since when it is in this state.
    pub since: DateTime<Utc>,
    /// Keys that take effect with its next process.
    pub pending: Vec<&'static str>,
}

/// What a script's process uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gauges {
    /// Resident memory of its whole process group and of descendants that have left it, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processor time of the same, in seconds.
    pub cpu_seconds: Option<f64>,
    /// When it last printed something, on the market clock.
    pub last_output_at: Option<Local>,
}

/// The moment and the zone in which it is seen.
#[derive(Clone, Copy, Debug)]
pub struct Present {
    /// On the market clock.
    pub now: DateTime<Utc>,
    /// Of the default calendar.
    pub zone: Tz,
}

/// One script, as it is shown. `calendar` is its own.
#[must_use]
pub fn script(facts: &Facts, calendar: Option<&Calendar>, gauges: Gauges, present: Present) -> Script {
    let Facts { spec, view, since, pending } = facts;
    let zone = calendar.map_or(present.zone, Calendar::zone);
    let local = |at: DateTime<Utc>| Local::new(at, zone);
    let window = calendar.and_then(|calendar| window(spec, calendar, present.now));
    let is_open = window.as_ref().is_some_and(|window| window.start <= present.now);
    // A pause that is over by now, and of which nobody has heard yet, is none.
    let holds: Vec<&Hold> = view.holds.iter().filter(|hold| is_current(hold, present.now)).collect();
    let coming = || {
        let at = next_start(spec, calendar?, view, present.now)?;
        Some(Next { action: "start".to_owned(), at: local(at) })
    };
    let next = view.next.map(|next| Next { action: next.action.to_owned(), at: local(next.at) });
    Script {
        name: spec.name.to_string(),
        state: view.state.name().to_owned(),
        reason: view.reason.clone() + &pause_words(view, zone),
        pid: view.pid,
        attempt: view.attempt,
        restarts: view.restarts,
        started_at: view.started_at.map(local),
        stop_at: view.stop_at.map(local),
        deadline: view.deadline.map(local),
        last_exit: view.last_exit.as_ref().map(|end| LastExit::new(end, zone)),
        next: next.or_else(coming),
        trading_date: view.trading_date,
        since: Some(local(*since)),
        status_text: view.said.clone(),
        forced: view.forced,
        expected: view.waits_outside
            || is_expected(view.state.name(), view.result.map(|result| result.name()), is_open),
        command: spec.launch.display.clone(),
        calendar: calendar.map_or_else(|| spec.window.calendar.to_string(), |calendar| calendar.id().to_owned()),
        critical: spec.critical,
        depends_on: spec.depends_on.iter().map(|dependency| dependency.script.to_string()).collect(),
        holds: holds.into_iter().map(|hold| hold_line(hold, zone)).collect(),
        pending: pending.iter().map(|key| (*key).to_owned()).collect(),
        window: window.map(|window| span(&window)),
        gauges,
    }
}

fn is_current(hold: &Hold, now: DateTime<Utc>) -> bool {
    !matches!(hold.kind, HoldKind::Pause { until: Some(until) } if until <= now)
}

/// When the pause ends that the reason speaks of.
fn pause_words(view: &View, zone: Tz) -> String {
    let until = |hold: &Hold| match hold.kind {
        HoldKind::Pause { until } => until,
        HoldKind::Skip { .. } => None,
    };
    let until = view.holds.iter().find_map(until).filter(|_| view.state == StateName::Paused);
    until.map_or_else(String::new, |at| format!(", until {}", at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z")))
}

fn hold_line(hold: &Hold, zone: Tz) -> HoldLine {
    let (kind, trading_date, until) = match hold.kind {
        HoldKind::Pause { until } => ("pause", None, until),
        HoldKind::Skip { trading_date } => ("skip", Some(trading_date), None),
    };
    HoldLine {
        kind: kind.to_owned(),
        trading_date,
        until: until.map(|until| Local::new(until, zone)),
        who: hold.by.who.clone(),
        reason: hold.by.reason.clone(),
        at: Local::new(hold.at, zone),
    }
}

/// A window, as it is shown.
#[must_use]
pub fn span(window: &Window) -> Span {
    Span {
        trading_date: window.trading_date,
        start: Local::new(window.start, window.zone),
        stop: Local::new(window.stop, window.zone),
        early_close: window.early_close,
    }
}

/// The window that is open, or else the next one.
fn window(spec: &ScriptSpec, calendar: &Calendar, now: DateTime<Utc>) -> Option<Window> {
    windows(&spec.window, calendar, now).next()
}

/// The default calendar at this moment; `coming` are the next boundaries, soonest first.
#[must_use]
pub fn market(calendar: &Calendar, now: DateTime<Utc>, coming: &[Boundary]) -> Market {
    let zone = calendar.zone();
    let today = now.with_timezone(&zone).date_naive();
    let (phase, date) = calendar.phase_at(now).unwrap_or((Phase::Closed, None));
    let ahead = |date: &NaiveDate| calendar.session(*date).ok().flatten().filter(|session| now < session.premarket);
    let trading_date = date.or_else(|| ahead(&today).map(|session| session.date));
    let day = calendar.day(trading_date.unwrap_or(today));
    let session = day.as_ref().ok().and_then(|day| day.session.clone());
    let reason = match (&day, phase) {
        (Err(error), _) => error.to_string(),
        (Ok(day), _) if !day.reason.is_empty() => day.reason.to_string(),
        (Ok(_), Phase::Closed) if session.as_ref().is_some_and(|session| now < session.premarket) => {
            "before the session".to_owned()
        }
        (Ok(_), Phase::Closed) => "after the session".to_owned(),
        (Ok(_), Phase::Pre) => "pre-market session".to_owned(),
        (Ok(_), Phase::Open) => "regular session".to_owned(),
        (Ok(_), Phase::Break) => "break of the regular session".to_owned(),
        (Ok(_), Phase::Post) => "post-market session".to_owned(),
    };
    let session = session.filter(|_| trading_date.is_some());
    Market {
        calendar: calendar.id().to_owned(),
        timezone: zone.name().to_owned(),
        phase: phase.name().to_owned(),
        trading_date,
        reason,
        open: session.as_ref().map(|session| Local::new(session.open, zone)),
        close: session.as_ref().map(|session| Local::new(session.close, zone)),
        early_close: session.as_ref().is_some_and(|session| session.is_early_close()),
        next: coming.first().map(|first| next_boundary(first, coming, zone)),
    }
}

/// The first boundary, with all the scripts for which the same happens at that instant.
fn next_boundary(first: &Boundary, coming: &[Boundary], zone: Tz) -> NextBoundary {
    let same = coming.iter().take_while(|other| other.at == first.at).filter(|other| other.kind == first.kind);
    NextBoundary {
        boundary: first.kind.name().to_owned(),
        at: Local::new(first.at, zone),
        scripts: same.filter_map(|other| other.script.as_ref()).map(ToString::to_string).collect(),
    }
}

/// A boundary, as it is shown.
#[must_use]
pub fn next_line(boundary: &Boundary, zone: Tz) -> NextLine {
    NextLine {
        at: Local::new(boundary.at, zone),
        boundary: boundary.kind.name().to_owned(),
        script: boundary.script.as_ref().map(ToString::to_string),
        trading_date: boundary.trading_date,
    }
}
