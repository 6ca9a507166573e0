//! The timeline: every script's windows, the sessions they hang on and the alarms of runs, merged into one ordered stream.
//!
//! What comes out are *levels* ("for date D your window is open until T"), so that hearing one twice does no harm and hearing only the
//! latest is enough. The clock may jump either way: forward over boundaries gives each script's latest level once and names the windows
//! that passed whole; backward tells the levels of that time again: who is at work stays at work until the stop of its window, a date that
//! has a result does not run again, and what was not run before its time came again starts then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

use super::event::{Absence, Addressed, Alarm, Arrival, ClockEvent};
use super::sessions::SessionTrack;
use super::{DayPlan, Window, plan};
use crate::domain::calendar::Calendar;
use crate::domain::script::{ScriptName, ScriptSpec, WindowSpec};

/// One script's way along the timeline.
#[derive(Clone, Debug)]
pub struct Track {
    name: ScriptName,
    spec: WindowSpec,
    calendar: Arc<Calendar>,
    enabled: bool,
    /// Until then an earlier daemon watched it: the windows that ended later get their results now.
    watched_until: Option<DateTime<Utc>>,
    depends_on: Vec<ScriptName>,
    open: Option<Window>,
    /// The next date with a window or a skip; None = the calendar's data ends before.
    upcoming: Option<(NaiveDate, DayPlan)>,
}

/// So many windows that went by at once are told of one by one.
const FEW: usize = 4;

/// Dates that ended longer ago are nobody's concern any more, whatever a clock or a journal says.
pub const LONGEST_ABSENCE: TimeDelta = TimeDelta::days(400);

/// How far back a window that is still open may have begun: `close + 2h` of yesterday, a Friday that lasts to Monday.
const LOOK_BACK: Days = Days::new(7);

impl Track {
    fn new(script: &ScriptSpec, calendar: Arc<Calendar>) -> Self {
        Self {
            name: script.name.clone(),
            spec: script.window.clone(),
            calendar,
            enabled: script.enabled,
            watched_until: None,
            depends_on: script.depends_on.iter().map(|d| d.script.clone()).collect(),
            open: None,
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
    fn begin(&mut self, now: DateTime<Utc>) -> Vec<(DateTime<Utc>, ClockEvent)> {
        let today = now.with_timezone(&self.calendar.zone()).date_naive();
        let mut due = Vec::new();
        self.open = None;
        let mut next = self.seek(today.checked_sub_days(LOOK_BACK).unwrap_or(today));
        while let Some((date, found)) = &next {
            match found {
                DayPlan::Window(w) if w.start > now => break,
                DayPlan::Skipped { at, .. } if *at > now => break,
                DayPlan::Window(w) if w.stop > now => self.open = Some(w.clone()),
                DayPlan::Skipped { at, zone, reason } if *date == today => {
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
        self.open = Some(window.clone());
        (window.start, ClockEvent::WindowOpen { window, arrival, absent: BTreeMap::new() })
    }

    fn no_window(&self) -> ClockEvent {
        ClockEvent::NoWindow { upcoming: self.upcoming.as_ref().map(|(date, _)| *date) }
    }

    /// The dates that came to their end after `since` and until `now`, oldest first.
    fn ended(&self, since: DateTime<Utc>, now: DateTime<Utc>) -> Vec<(NaiveDate, DayPlan)> {
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

    fn next(&self) -> Option<DateTime<Utc>> {
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
    fn advance(&mut self, now: DateTime<Utc>, punctual: TimeDelta) -> Vec<(DateTime<Utc>, ClockEvent)> {
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
                events.push((window.start, ClockEvent::WindowPassed { window }));
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
            ClockEvent::WindowPassed { window } => {
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
        ClockEvent::WindowPassed { window } => Some((window.trading_date, DayPlan::Window(window))),
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

/// All boundaries of all scripts. Knows no clock: `now` comes in, events come out.
#[derive(Clone, Debug)]
pub struct Timeline {
    tracks: Vec<Track>,
    by_name: BTreeMap<ScriptName, usize>,
    sessions: Vec<SessionTrack>,
    alarms: BTreeSet<(DateTime<Utc>, usize, Alarm)>,
}

impl Timeline {
    /// The timeline of these scripts; each one's calendar must be among `calendars`, and so must `market`, the default.
    ///
    /// # Panics
    /// If a calendar is missing: the configuration names only those it has loaded.
    #[must_use]
    pub fn new(scripts: &[ScriptSpec], calendars: &BTreeMap<Arc<str>, Arc<Calendar>>, market: &str) -> Self {
        let calendar = |key: &str| Arc::clone(calendars.get(key).expect("every calendar in use is loaded"));
        let tracks: Vec<_> = scripts.iter().map(|s| Track::new(s, calendar(&s.window.calendar))).collect();
        let mut followers: BTreeMap<&str, Vec<usize>> = BTreeMap::from([(market, Vec::new())]);
        for (index, script) in scripts.iter().enumerate().filter(|(_, s)| s.enabled) {
            followers.entry(&script.window.calendar).or_default().push(index);
        }
        let sessions = followers
            .into_iter()
            .map(|(key, scripts)| SessionTrack {
                calendar: calendar(key),
                announced: key == market,
                scripts,
                open: None,
                upcoming: None,
            })
            .collect();
        let by_name = tracks.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
        Self { tracks, by_name, sessions, alarms: BTreeSet::new() }
    }

    /// Until when earlier daemons watched each script: what ended after that is told to it, and by it to its dependents.
    #[must_use]
    pub fn knowing(mut self, watched_until: impl Fn(&ScriptName) -> Option<DateTime<Utc>>) -> Self {
        for track in &mut self.tracks {
            track.watched_until = watched_until(&track.name);
        }
        self
    }

    /// The levels at the beginning, and again after the clock was set back.
    pub fn begin(&mut self, now: DateTime<Utc>) -> Vec<Addressed> {
        for session in &mut self.sessions {
            session.begin(now);
        }
        let found: Vec<_> = self.tracks.iter_mut().map(|t| if t.enabled { t.begin(now) } else { Vec::new() }).collect();
        self.address(found, Vec::new(), now)
    }

    /// What a script that was watched until `since` is told first: the dates that ended since then, and that no window is open, if so.
    #[must_use]
    pub fn unwatched(&self, script: usize, since: DateTime<Utc>, now: DateTime<Utc>) -> Vec<ClockEvent> {
        let Some(track) = self.tracks.get(script).filter(|track| track.enabled) else { return Vec::new() };
        let dates = track.ended(since, now);
        let absence = Absence::NoDaemon;
        let ended = (!dates.is_empty()).then_some(ClockEvent::Unwatched { dates, absence });
        ended.into_iter().chain(track.open.is_none().then(|| track.no_window())).collect()
    }

    /// All boundaries up to and with `now` that were not reported yet, in order. A window that began longer than `punctual` ago is heard of
    /// late: the machine slept or stood still, or the clock was set.
    pub fn advance(&mut self, now: DateTime<Utc>, punctual: TimeDelta) -> Vec<Addressed> {
        let found: Vec<_> =
            self.tracks.iter_mut().map(|t| if t.enabled { t.advance(now, punctual) } else { Vec::new() }).collect();
        let mut others = Vec::new();
        for session in &mut self.sessions {
            for (at, event) in session.advance(now) {
                others.extend(session.scripts.iter().map(|to| Addressed { at, to: Some(*to), event: event.clone() }));
                if session.announced {
                    others.push(Addressed { at, to: None, event });
                }
            }
        }
        while let Some(&(at, to, alarm)) = self.alarms.first().filter(|(at, ..)| *at <= now) {
            self.alarms.remove(&(at, to, alarm));
            others.push(Addressed { at, to: Some(to), event: ClockEvent::Alarm { alarm } });
        }
        self.address(found, others, now)
    }

    /// The next boundary or alarm.
    #[must_use]
    pub fn next(&self) -> Option<DateTime<Utc>> {
        let windows = self.tracks.iter().filter_map(Track::next);
        let sessions = self.sessions.iter().filter_map(SessionTrack::next);
        let alarms = self.alarms.first().map(|(at, ..)| *at);
        windows.chain(sessions).chain(alarms).min()
    }

    /// Sets (or with None clears) one alarm of a script.
    pub fn set_alarm(&mut self, script: usize, alarm: Alarm, at: Option<DateTime<Utc>>) {
        self.alarms.retain(|(_, s, a)| (*s, *a) != (script, alarm));
        self.alarms.extend(at.map(|at| (at, script, alarm)));
    }

    /// The event that tells a script the level it is at, for one that has to be told again.
    #[must_use]
    pub fn level(&self, script: usize, now: DateTime<Utc>) -> ClockEvent {
        let Some(track) = self.tracks.get(script) else { return ClockEvent::NoWindow { upcoming: None } };
        match track.open.clone() {
            None => track.no_window(),
            Some(window) => {
                let absent = self.absent(script, &window, now);
                ClockEvent::WindowOpen { window, arrival: Arrival::Late, absent }
            }
        }
    }

    fn address(
        &self,
        found: Vec<Vec<(DateTime<Utc>, ClockEvent)>>,
        mut all: Vec<Addressed>,
        now: DateTime<Utc>,
    ) -> Vec<Addressed> {
        for (to, events) in found.into_iter().enumerate() {
            for (at, mut event) in events {
                if let ClockEvent::WindowOpen { window, absent, .. } = &mut event {
                    *absent = self.absent(to, window, now);
                }
                all.push(Addressed { at, to: Some(to), event });
            }
        }
        all.sort_by_key(|a| (a.at, a.event.rank()));
        all
    }

    /// Which predecessors will have no run on the date of `window`. One whose window was over before anybody watched counts too, or its
    /// dependents would wait for it in vain; a result that is known all the same outranks this. One that is about to get its result, because
    /// its window ended while no daemon ran, is waited for.
    fn absent(&self, script: usize, window: &Window, now: DateTime<Utc>) -> BTreeMap<ScriptName, String> {
        let Some(track) = self.tracks.get(script) else { return BTreeMap::new() };
        let reason = |name: &ScriptName| {
            let other = self.by_name.get(name).and_then(|i| self.tracks.get(*i))?;
            if !other.enabled {
                return Some("it is disabled".to_owned());
            }
            match plan(&other.spec, &other.calendar, window.trading_date) {
                Ok(DayPlan::Window(w)) if w.stop <= now && other.watched_until.is_none_or(|until| w.stop <= until) => {
                    Some("its window was over before it could be started".to_owned())
                }
                Ok(DayPlan::Window(_)) => None,
                Ok(DayPlan::Skipped { reason, .. } | DayPlan::NoSession { reason }) => Some(reason),
                Err(error) => Some(error.to_string()),
            }
        };
        track.depends_on.iter().filter_map(|name| Some((name.clone(), reason(name)?))).collect()
    }
}
