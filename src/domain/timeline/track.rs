//! One script's windows, one after the other: which one is open, what comes next, and what became of those that went by unseen.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

use super::event::{Absence, Arrival, ClockEvent};
use super::{DayPlan, Window, plan};
use crate::domain::calendar::Calendar;
use crate::domain::script::{ScriptName, ScriptSpec, WindowSpec};

/// One script's way along the timeline.
#[derive(Clone, Debug)]
pub struct Track {
    pub(super) name: ScriptName,
    pub(super) spec: WindowSpec,
    pub(super) calendar: Arc<Calendar>,
    pub(super) enabled: bool,
    /// Until then an earlier daemon watched it: the windows that ended later get their results now.
    pub(super) watched_until: Option<DateTime<Utc>>,
    pub(super) depends_on: Vec<ScriptName>,
    pub(super) open: Option<Window>,
    /// A window that was open when a change of the calendar made it begin later: somebody may be at work in it.
    pub(super) moved: Option<Window>,
    /// The next date with a window or a skip; None = the calendar's data ends before.
    pub(super) upcoming: Option<(NaiveDate, DayPlan)>,
}

/// So many windows that went by at once are told of one by one.
const FEW: usize = 4;

/// Dates that ended longer ago are nobody's concern any more, whatever a clock or a journal says.
pub const LONGEST_ABSENCE: TimeDelta = TimeDelta::days(400);

/// How far back a window that is still open may have begun: `close + 2h` of yesterday, a Friday that lasts to Monday.
const LOOK_BACK: Days = Days::new(7);

impl Track {
    pub(super) fn new(script: &ScriptSpec, calendar: Arc<Calendar>) -> Self {
        Self {
            name: script.name.clone(),
            spec: script.window.clone(),
            calendar,
            enabled: script.enabled,
            watched_until: None,
            depends_on: script.depends_on.iter().map(|d| d.script.clone()).collect(),
            open: None,
            moved: None,
            upcoming: None,
        }
    }

    /// The first date from `date` on that has a window or a skip.
    fn seek(&self, mut date: NaiveDate) -> Option<(NaiveDate, DayPlan)> {
        date = date.max(*self.calendar.range().start());
        loop {
            match plan(&self.spec, &self.calendar, date) {
                Err(_) => return None,
                Ok(DayPlan::NoSession { .. }) => date = date.succ_opt()?,
                Ok(found) => return Some((date, found)),
            }
        }
    }

    /// What is due at the beginning: the window that is open now, or today's skip. Nothing that ended before is reported.
    pub(super) fn begin(&mut self, now: DateTime<Utc>) -> Vec<(DateTime<Utc>, ClockEvent)> {
        let today = now.with_timezone(&self.calendar.zone()).date_naive();
        let mut due = Vec::new();
        if let Some(open) = self.open.take().filter(|open| open.start > now) {
            // The clock was set back: somebody may be at work in it before its time.
            self.moved = Some(open);
        }
        let mut next = self.seek(today.checked_sub_days(LOOK_BACK).unwrap_or(today));
        while let Some((date, found)) = &next {
            match found {
                DayPlan::Window(w) if w.start > now => break,
                DayPlan::Skipped { at, .. } if *at > now => break,
                DayPlan::Window(w) if w.stop > now => self.open = Some(w.clone()),
                // A session that opens on the evening before has tomorrow's date.
                DayPlan::Skipped { at, zone, reason } if *date >= today => {
                    let (trading_date, zone, reason) = (*date, *zone, reason.clone());
                    due.push((*at, ClockEvent::WindowSkipped { trading_date, zone, reason }));
                }
                DayPlan::Window(_) | DayPlan::Skipped { .. } | DayPlan::NoSession { .. } => {}
            }
            next = date.succ_opt().and_then(|d| self.seek(d));
        }
        self.upcoming = next;
        if let Some(window) = self.open.take() {
            // A daemon that starts in the very second of the start is on time.
            let arrival = if now - window.start < TimeDelta::seconds(1) { Arrival::OnTime } else { Arrival::Late };
            due.push(self.enter(window, arrival));
        }
        due
    }

    /// From now on `window` is the open one; what comes after it is known already.
    fn enter(&mut self, window: Window, arrival: Arrival) -> (DateTime<Utc>, ClockEvent) {
        let joined = matches!(&self.upcoming, Some((_, DayPlan::Window(next))) if next.start <= window.stop);
        let window = Window { joined, ..window };
        (self.open, self.moved) = (Some(window.clone()), None);
        (window.start, ClockEvent::WindowOpen { window, arrival, absent: BTreeMap::new() })
    }

    /// The calendar is another one from now on: what of that is news. Only the level counts: a window that would have gone by under the new
    /// one is nobody's concern.
    pub(super) fn recalendar(&mut self, calendar: &Arc<Calendar>, now: DateTime<Utc>) -> Vec<ClockEvent> {
        self.calendar = Arc::clone(calendar);
        let before = self.open.take().or_else(|| self.moved.take());
        let expected = self.upcoming.take().map(|(date, _)| date);
        let mut news: Vec<_> = self.begin(now).into_iter().map(|(_, event)| event).collect();
        let Some(before) = before else {
            // A window that was to come is past now, or a run of an earlier daemon waits for one that does not come any more.
            if let Some(Ok(DayPlan::Window(window))) = expected.map(|date| plan(&self.spec, &self.calendar, date))
                && window.stop <= now
            {
                news.push(ClockEvent::WindowPassed { window, absence: Absence::Changed });
            }
            news.extend(self.open.is_none().then(|| self.no_window()));
            return news;
        };
        let date = before.trading_date;
        if let Some(after) = self.open.as_ref().filter(|after| after.trading_date == date) {
            let is_news = *after != before;
            news.retain(|event| is_news && matches!(event, ClockEvent::WindowOpen { .. }));
            return news;
        }
        // Whoever had a window on this date is told of its end, not of a skip.
        news.retain(|event| !matches!(event, ClockEvent::WindowSkipped { trading_date, .. } if *trading_date == date));
        match plan(&self.spec, &self.calendar, date) {
            Ok(DayPlan::Window(window)) if window.start > now => {
                self.moved = Some(window.clone());
                news.push(ClockEvent::WindowMoved { window });
            }
            // The one that is open now goes on from it without a gap.
            Ok(DayPlan::Window(window)) if self.open.as_ref().is_some_and(|open| open.start <= window.stop) => {}
            Ok(_) | Err(_) => news.push(ClockEvent::WindowClose { trading_date: date }),
        }
        news
    }

    /// The script is configured in another way, or its calendar is another one: what of that is news. One that is retired is told elsewhere.
    pub(super) fn respecify(
        &mut self,
        script: &ScriptSpec,
        calendar: &Arc<Calendar>,
        now: DateTime<Utc>,
    ) -> Vec<(DateTime<Utc>, ClockEvent)> {
        let is_same = self.spec == script.window && Arc::ptr_eq(&self.calendar, calendar);
        let was_enabled = std::mem::replace(&mut self.enabled, script.enabled);
        self.spec = script.window.clone();
        self.depends_on = script.depends_on.iter().map(|d| d.script.clone()).collect();
        match (was_enabled, self.enabled) {
            (true, true) if is_same => Vec::new(),
            (true, true) => self.recalendar(calendar, now).into_iter().map(|event| (now, event)).collect(),
            (_, false) => {
                self.calendar = Arc::clone(calendar);
                (self.open, self.moved, self.upcoming) = (None, None, None);
                Vec::new()
            }
            (false, true) => {
                self.calendar = Arc::clone(calendar);
                self.begin(now)
            }
        }
    }

    pub(super) fn no_window(&self) -> ClockEvent {
        ClockEvent::NoWindow { upcoming: self.upcoming.as_ref().map(|(date, _)| *date) }
    }

    /// The dates that came to their end after `since` and until `now`, oldest first.
    pub(super) fn ended(&self, since: DateTime<Utc>, now: DateTime<Utc>) -> Vec<(NaiveDate, DayPlan)> {
        let first = since.with_timezone(&self.calendar.zone()).date_naive();
        let mut found = Vec::new();
        let mut next = self.seek(first.checked_sub_days(LOOK_BACK).unwrap_or(first));
        while let Some((date, planned)) = next.filter(|(_, planned)| starts_at(planned).is_some_and(|at| at <= now)) {
            let end = match &planned {
                DayPlan::Window(window) => Some(window.stop),
                DayPlan::Skipped { at, .. } => Some(*at),
                DayPlan::NoSession { .. } => None,
            };
            next = date.succ_opt().and_then(|d| self.seek(d));
            if end.is_some_and(|end| since < end && end <= now) {
                found.push((date, planned));
            }
        }
        found
    }

    pub(super) fn next(&self) -> Option<DateTime<Utc>> {
        let close = self.open.as_ref().map(|w| w.stop);
        let open = self.upcoming.as_ref().and_then(|(_, p)| starts_at(p));
        close.into_iter().chain(open).min()
    }

    /// Leaves out what is long past: a clock that is set decades ahead must not keep anybody busy. Windows that touch here are taken to touch
    /// all the way.
    fn leave_out_long_past(&mut self, now: DateTime<Utc>) {
        let oldest = now - LONGEST_ABSENCE;
        let Some(start) = self.upcoming.as_ref().and_then(|(_, found)| starts_at(found)).filter(|at| *at < oldest)
        else {
            return;
        };
        self.upcoming = self.seek(oldest.with_timezone(&self.calendar.zone()).date_naive());
        let next = self.upcoming.as_ref().and_then(|(_, found)| starts_at(found));
        if let (Some(open), Some(next)) = (self.open.as_mut().filter(|open| start <= open.stop), next) {
            open.stop = open.stop.max(next);
        }
    }

    /// The boundaries up to and with `now`, oldest first.
    pub(super) fn advance(&mut self, now: DateTime<Utc>, punctual: TimeDelta) -> Vec<(DateTime<Utc>, ClockEvent)> {
        self.leave_out_long_past(now);
        let mut events = Vec::new();
        while let Some(at) = self.next().filter(|at| *at <= now) {
            // Where the next window starts at or before this one's stop, the two are joined: the start is heard, the stop is not.
            let starts_now = self.upcoming.as_ref().is_some_and(|(_, p)| {
                starts_at(p) == Some(at)
                    && (matches!(p, DayPlan::Window(_)) || self.open.as_ref().is_none_or(|w| w.stop > at))
            });
            if starts_now {
                self.take_upcoming(now, punctual, &mut events);
            } else if let Some(window) = self.open.take() {
                events.push((at, ClockEvent::WindowClose { trading_date: window.trading_date }));
            }
        }
        join_passed(&mut events);
        tell_together(&mut events);
        events
    }

    fn take_upcoming(
        &mut self,
        now: DateTime<Utc>,
        punctual: TimeDelta,
        events: &mut Vec<(DateTime<Utc>, ClockEvent)>,
    ) {
        let Some((date, found)) = self.upcoming.take() else { return };
        self.upcoming = date.succ_opt().and_then(|d| self.seek(d));
        match found {
            DayPlan::Window(window) if window.stop <= now => {
                // The open one reaches as far as those do that touch it: whether a gap follows, the last of them tells.
                if let Some(open) = &mut self.open {
                    open.stop = open.stop.max(window.stop);
                }
                events.push((window.start, ClockEvent::WindowPassed { window, absence: Absence::Jump }));
            }
            DayPlan::Window(window) => {
                let arrival = if now - window.start > punctual { Arrival::Late } else { Arrival::OnTime };
                events.push(self.enter(window, arrival));
            }
            DayPlan::Skipped { at, zone, reason } => {
                events.push((at, ClockEvent::WindowSkipped { trading_date: date, zone, reason }));
            }
            DayPlan::NoSession { .. } => {}
        }
    }
}

/// Marks those of the windows that passed from which no gap leads to the one that is open now.
fn join_passed(events: &mut [(DateTime<Utc>, ClockEvent)]) {
    let mut open_from = None;
    for (_, event) in events.iter_mut().rev() {
        match event {
            ClockEvent::WindowOpen { window, .. } => open_from = Some(window.start),
            ClockEvent::WindowPassed { window, .. } => {
                window.joined = open_from.is_some_and(|from| from <= window.stop);
                open_from = window.joined.then_some(window.start);
            }
            _ => {}
        }
    }
}

/// Many windows that went by at once are told of at once.
fn tell_together(events: &mut Vec<(DateTime<Utc>, ClockEvent)>) {
    let is_passed = |event: &ClockEvent| matches!(event, ClockEvent::WindowPassed { .. });
    let mut passed = events.iter().filter(|(_, event)| is_passed(event)).map(|(at, _)| *at);
    let (Some(at), FEW..) = (passed.next(), passed.count()) else { return };
    let (passed, rest): (Vec<_>, Vec<_>) = events.drain(..).partition(|(_, event)| is_passed(event));
    let date = |(_, event)| match event {
        ClockEvent::WindowPassed { window, .. } => Some((window.trading_date, DayPlan::Window(window))),
        _ => None,
    };
    let dates = passed.into_iter().filter_map(date).collect();
    events.push((at, ClockEvent::Unwatched { dates, absence: Absence::Jump }));
    events.extend(rest);
}

fn starts_at(found: &DayPlan) -> Option<DateTime<Utc>> {
    match found {
        DayPlan::Window(w) => Some(w.start),
        DayPlan::Skipped { at, .. } => Some(*at),
        DayPlan::NoSession { .. } => None,
    }
}
