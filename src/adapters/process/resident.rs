//! How much memory the scripts with `max_rss` have: all their processes together, escapees too, looked at from time to time while one of them
//! lives. What processes share counts for each.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::view::View;
use super::{Shared, State};
use crate::adapters::procfs;
use crate::ports::{AttemptId, ProcessEvent};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(5);

/// Whoever stays above his limit is told of again after this time.
const AGAIN: Duration = Duration::from_mins(1);

/// The limit of one attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Watch {
    limit: u64,
    /// When it was told of, unless it has come down since.
    told: Option<Instant>,
}

impl Watch {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, told: None }
    }

    /// Whether to tell of it. Just below the limit nothing is settled: it may come and go there.
    fn is_news(&mut self, bytes: u64, now: Instant) -> bool {
        if bytes < self.limit / 10 * 9 {
            self.told = None;
        }
        let is_due = self.told.is_none_or(|told| now.duration_since(told) >= AGAIN);
        let is_news = bytes > self.limit && is_due;
        if is_news {
            self.told = Some(now);
        }
        is_news
    }
}

impl Shared {
    pub(super) fn watch_memory(self: &Arc<Self>, attempt: &AttemptId, limit: Option<u64>) {
        let mut state = self.lock();
        let Some(found) = state.attempts.get_mut(attempt) else { return };
        found.memory = limit.map(Watch::new);
        if limit.is_some() && !std::mem::replace(&mut state.samples_memory, true) {
            let weak = Arc::downgrade(self);
            self.runtime.spawn(async move {
                loop {
                    tokio::time::sleep(PAUSE).await;
                    match weak.upgrade() {
                        Some(shared) if shared.sample_memory() => {}
                        _ => return,
                    }
                }
            });
        }
    }

    /// False: there is nobody left to look at.
    fn sample_memory(&self) -> bool {
        let mut state = self.lock();
        let watched = |state: &State| -> Vec<(AttemptId, u32)> {
            let live = state.attempts.iter().filter(|(_, found)| found.memory.is_some() && !found.ended);
            live.map(|(attempt, found)| (attempt.clone(), found.leader)).collect()
        };
        let attempts = watched(&state);
        if attempts.is_empty() {
            state.samples_memory = false;
            return false;
        }
        let mut view = View::default();
        let members = |(attempt, leader)| {
            // Who cannot be looked at now is looked at next time.
            let family = self.family(&mut state, &mut view, leader).ok()?;
            Some((attempt, family.iter().map(|process| process.pid).collect::<Vec<_>>()))
        };
        let families: Vec<(AttemptId, Vec<u32>)> = attempts.into_iter().filter_map(members).collect();
        // Nobody waits while their memory is read.
        drop(state);
        let page = rustix::param::page_size() as u64;
        let resident = |pids: Vec<u32>| pids.into_iter().filter_map(procfs::usage).map(|used| used.pages * page).sum();
        let sums: Vec<(AttemptId, u64)> =
            families.into_iter().map(|(attempt, pids)| (attempt, resident(pids))).collect();
        let now = Instant::now();
        let mut state = self.lock();
        let news = |(attempt, bytes): (AttemptId, u64)| {
            let found = state.attempts.get_mut(&attempt).filter(|found| !found.ended)?;
            let is_news = found.memory.as_mut().is_some_and(|watch| watch.is_news(bytes, now));
            is_news.then(|| (Arc::clone(&found.sink), ProcessEvent::OverMemory { attempt, bytes }))
        };
        let events: Vec<_> = sums.into_iter().filter_map(news).collect();
        drop(state);
        // Outside of the lock: a sink may call back.
        for (sink, event) in events {
            sink(event);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crossing_is_told_once_and_again_each_minute_or_after_it_came_down() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watch = Watch::new(1000);
        let told = [(0, 1000), (5, 1001), (10, 2000), (15, 950), (20, 1100), (65, 1100), (70, 800), (75, 1001)];
        let told: Vec<bool> = told.into_iter().map(|(seconds, bytes)| watch.is_news(bytes, at(seconds))).collect();
        assert_eq!(told, [false, true, false, false, false, true, false, true]);
    }
}
