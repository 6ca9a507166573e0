//! The timeline: every script's windows, the sessions they hang on and the alarms of runs, merged into one ordered stream.
//!
//! What comes out are *levels* ("for date D your window is open until T"), so that hearing one twice does no harm and hearing only the
//! latest is enough. The clock may jump either way: forward over boundaries gives each script's latest level once and names the windows
//! that passed whole; backward tells the levels of that time again: who is at work stays at work until the stop of its window, a date that
//! has a result does not run again, and what was not run before its time came again starts then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::event::{Absence, Addressed, Alarm, Arrival, ClockEvent};
use super::sessions::SessionTrack;
use super::track::Track;
use super::{DayPlan, Window, plan};
use crate::domain::calendar::Calendar;
use crate::domain::script::{ScriptName, ScriptSpec};

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
        let sessions = followers(scripts, market)
            .into_iter()
            .map(|(key, scripts)| SessionTrack {
                key: key.into(),
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
                others.extend(session.addressed(at, event));
            }
        }
        while let Some(&(at, to, alarm)) = self.alarms.first().filter(|(at, ..)| *at <= now) {
            self.alarms.remove(&(at, to, alarm));
            others.push(Addressed { at, to: Some(to), event: ClockEvent::Alarm { alarm } });
        }
        self.address(found, others, now)
    }

    /// Scripts are configured in another way, or calendars have changed: what that makes of windows and sessions that are open, or that should
    /// be. Scripts that were there stay at their places, new ones come after them, and one that is gone is disabled. Calendars that did not
    /// change are the same ones as before.
    pub fn respecify(
        &mut self,
        scripts: &[ScriptSpec],
        calendars: &BTreeMap<Arc<str>, Arc<Calendar>>,
        market: &str,
        now: DateTime<Utc>,
    ) -> Vec<Addressed> {
        let mut found = Vec::new();
        for (index, script) in scripts.iter().enumerate() {
            let Some(calendar) = calendars.get(&script.window.calendar) else { continue };
            let events = match self.tracks.get_mut(index) {
                Some(track) => track.respecify(script, calendar, now),
                None => {
                    let mut track = Track::new(script, Arc::clone(calendar));
                    let events = if track.enabled { track.begin(now) } else { Vec::new() };
                    self.tracks.push(track);
                    events
                }
            };
            found.push(events);
        }
        self.by_name = self.tracks.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
        for (key, followers) in followers(scripts, market) {
            if let Some(session) = self.sessions.iter_mut().find(|session| *session.key == *key) {
                session.scripts = followers;
            } else if let Some(calendar) = calendars.get(key) {
                let calendar = Arc::clone(calendar);
                let announced = key == market;
                let mut session = SessionTrack {
                    key: key.into(),
                    calendar,
                    announced,
                    scripts: followers,
                    open: None,
                    upcoming: None,
                };
                session.begin(now);
                self.sessions.push(session);
            }
        }
        let others = self.recalendar_sessions(calendars, now);
        self.tell_absent_again(&mut found, now);
        self.address(found, others, now)
    }

    fn recalendar_sessions(
        &mut self,
        calendars: &BTreeMap<Arc<str>, Arc<Calendar>>,
        now: DateTime<Utc>,
    ) -> Vec<Addressed> {
        let mut others = Vec::new();
        for session in &mut self.sessions {
            let Some(calendar) = calendars.get(&session.key).filter(|found| !Arc::ptr_eq(found, &session.calendar))
            else {
                continue;
            };
            for event in session.recalendar(calendar, now) {
                others.extend(session.addressed(now, event));
            }
        }
        others
    }

    /// Who waits for others hears again which of them do not run on this date: that may have changed, whatever calendar is its own.
    fn tell_absent_again(&self, found: &mut [Vec<(DateTime<Utc>, ClockEvent)>], now: DateTime<Utc>) {
        for (track, events) in self.tracks.iter().zip(found) {
            let is_told = events.iter().any(|(_, event)| matches!(event, ClockEvent::WindowOpen { .. }));
            let is_concerned = track.enabled && !track.depends_on.is_empty() && !is_told;
            if let Some(window) = track.open.clone().filter(|_| is_concerned) {
                let (arrival, absent) = (Arrival::Late, BTreeMap::new());
                events.push((now, ClockEvent::WindowOpen { window, arrival, absent }));
            }
        }
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

/// Whom the sessions of each calendar concern; those of the default one are told in any case.
fn followers<'a>(scripts: &'a [ScriptSpec], market: &'a str) -> BTreeMap<&'a str, Vec<usize>> {
    let mut followers: BTreeMap<&str, Vec<usize>> = BTreeMap::from([(market, Vec::new())]);
    for (index, script) in scripts.iter().enumerate().filter(|(_, s)| s.enabled) {
        followers.entry(&script.window.calendar).or_default().push(index);
    }
    followers
}
