//! An episode: one kind of news of one subject, from the first of it until all is well again.

use std::time::Duration;

use chrono::NaiveDate;

use super::AlertEvent;
use super::classify::Draft;
use crate::domain::time::Mono;

/// So many episodes of one kind within a `repeat_interval` are told at once.
const FRESH: u32 = 3;

/// One kind of news of one subject.
#[derive(Debug)]
pub(super) struct Episode {
    pub date: Option<NaiveDate>,
    pub is_over: bool,
    pub told: Mono,
    /// Since when episodes are counted.
    since: Mono,
    /// So many have begun since then, and were told at once.
    fresh: u32,
    /// What was not told yet.
    pub held: u32,
    pub latest: Draft,
}

/// Whether an event can happen many times in one episode. The others are told once.
pub(super) fn repeats(event: AlertEvent) -> bool {
    match event {
        AlertEvent::Failed
        | AlertEvent::Killed
        | AlertEvent::Watchdog
        | AlertEvent::NotReady
        | AlertEvent::NotRunning
        | AlertEvent::Daemon
        | AlertEvent::Calendar
        | AlertEvent::ClockStep
        | AlertEvent::Restarted => true,
        AlertEvent::GaveUp
        | AlertEvent::TimeLimit
        | AlertEvent::Missed
        | AlertEvent::Interrupted
        | AlertEvent::EndedEarly
        | AlertEvent::Skipped
        | AlertEvent::Finished
        | AlertEvent::Summary => false,
    }
}

impl Episode {
    pub fn begin(draft: &Draft, date: Option<NaiveDate>, now: Mono) -> Self {
        Self { date, is_over: false, told: now, since: now, fresh: 1, held: 0, latest: draft.clone() }
    }

    /// The count with which it is told now; None = it is not.
    pub fn admit(
        &mut self,
        draft: &Draft,
        date: Option<NaiveDate>,
        repeats: bool,
        interval: Duration,
        now: Mono,
    ) -> Option<u32> {
        let is_new = self.is_over || self.date != date;
        if is_new && now.since(self.since) >= interval {
            *self = Self::begin(draft, date, now);
            return Some(1);
        }
        if is_new && self.fresh < FRESH {
            let (since, fresh) = (self.since, self.fresh + 1);
            *self = Self { since, fresh, ..Self::begin(draft, date, now) };
            return Some(1);
        }
        if !is_new && !repeats {
            return None;
        }
        (self.is_over, self.date, self.latest) = (false, date, draft.clone());
        self.held += 1;
        (now.since(self.told) >= interval).then(|| {
            self.told = now;
            std::mem::take(&mut self.held)
        })
    }
}
