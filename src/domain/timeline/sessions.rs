//! The sessions of a calendar, on their way along the timeline.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};

use super::{Addressed, ClockEvent};
use crate::domain::calendar::{Calendar, Session};

/// The regular sessions of one calendar, for the re-arm at the open and for the default calendar's "market is open".
#[derive(Clone, Debug)]
pub(super) struct SessionTrack {
    pub(super) key: Arc<str>,
    pub(super) calendar: Arc<Calendar>,
    /// The default calendar, whose sessions are announced.
    pub(super) announced: bool,
    /// Who hears of it.
    pub(super) scripts: Vec<usize>,
    pub(super) open: Option<Session>,
    pub(super) upcoming: Option<Session>,
}

impl SessionTrack {
    fn seek(&self, mut date: NaiveDate) -> Option<Session> {
        date = date.max(*self.calendar.range().start());
        loop {
            match self.calendar.session(date) {
                Err(_) => return None,
                Ok(Some(session)) => return Some(session),
                Ok(None) => date = date.succ_opt()?,
            }
        }
    }

    /// Silent: a daemon that comes up in mid-session has no budget to re-arm.
    pub(super) fn begin(&mut self, now: DateTime<Utc>) {
        let today = now.with_timezone(&self.calendar.zone()).date_naive();
        let mut next = self.seek(today.pred_opt().unwrap_or(today));
        self.open = None;
        while let Some(session) = next.take_if(|s| s.open < now) {
            next = session.date.succ_opt().and_then(|d| self.seek(d));
            self.open = Some(session).filter(|s| s.close > now);
        }
        self.upcoming = next;
    }

    /// The calendar is another one from now on: a session that is open only now, or not any more, is news.
    pub(super) fn recalendar(&mut self, calendar: &Arc<Calendar>, now: DateTime<Utc>) -> Vec<ClockEvent> {
        self.calendar = Arc::clone(calendar);
        let before = self.open.take().map(|session| session.date);
        self.begin(now);
        // At the very instant of an open that was told.
        let is_told = |session: &Session| Some(session.date) == before && session.open == now;
        if let Some(session) = self.upcoming.take_if(|session| is_told(session)) {
            self.upcoming = session.date.succ_opt().and_then(|date| self.seek(date));
            self.open = Some(session);
        }
        let after = self.open.as_ref().map(|session| session.date);
        if before == after {
            return Vec::new();
        }
        let closed = before.map(|trading_date| ClockEvent::SessionClose { trading_date });
        let opened = after.map(|trading_date| ClockEvent::SessionOpen { trading_date });
        closed.into_iter().chain(opened).collect()
    }

    /// An event for all whom it concerns.
    pub(super) fn addressed(&self, at: DateTime<Utc>, event: ClockEvent) -> impl Iterator<Item = Addressed> + '_ {
        let everybody = self.announced.then(|| Addressed { at, to: None, event: event.clone() });
        let of = move |to: &usize| Addressed { at, to: Some(*to), event: event.clone() };
        self.scripts.iter().map(of).chain(everybody)
    }

    pub(super) fn next(&self) -> Option<DateTime<Utc>> {
        let close = self.open.as_ref().map(|s| s.close);
        let open = self.upcoming.as_ref().map(|s| s.open);
        close.into_iter().chain(open).min()
    }

    pub(super) fn advance(&mut self, now: DateTime<Utc>) -> Vec<(DateTime<Utc>, ClockEvent)> {
        let mut events = Vec::new();
        while let Some(at) = self.next().filter(|at| *at <= now) {
            if let Some(closed) = self.open.take_if(|s| s.close == at) {
                events.push((at, ClockEvent::SessionClose { trading_date: closed.date }));
            } else if let Some(opened) = self.upcoming.take() {
                self.upcoming = opened.date.succ_opt().and_then(|d| self.seek(d));
                // A session that is over by now re-arms nothing.
                if opened.close > now {
                    events.push((at, ClockEvent::SessionOpen { trading_date: opened.date }));
                    self.open = Some(opened);
                }
            }
        }
        events
    }
}
