//! The sessions of a calendar, on their way along the timeline.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};

use super::ClockEvent;
use crate::domain::calendar::{Calendar, Session};

/// The regular sessions of one calendar, for the re-arm at the open and for the default calendar's "market is open".
#[derive(Clone, Debug)]
pub(super) struct SessionTrack {
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
        while let Some(session) = next.take_if(|s| s.open < now) {
            next = session.date.succ_opt().and_then(|d| self.seek(d));
            self.open = Some(session).filter(|s| s.close > now);
        }
        self.upcoming = next;
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
