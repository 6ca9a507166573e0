//! The root's decisions: the order of stops, what to do about a failed actor, when the daemon is done.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::outcome::RunResult;
use super::record::Past;
use super::script::ScriptSpec;
use super::time::Mono;
use super::timeline::{ClockEvent, Timeline};

/// How the daemon ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In order, on request.
    Stopped,
    /// On a second request: everything was killed.
    Killed,
    /// A critical script gave up; in words.
    Critical(String),
    /// The program itself failed; in words.
    Failed(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Killed => f.write_str("killed"),
            Self::Critical(reason) | Self::Failed(reason) => f.write_str(reason),
        }
    }
}

/// A shutdown in progress: each script is stopped as soon as nothing that depends on it lives any more, those without live dependents at
/// once. So the stops go in layers, and no script waits for one that has nothing to do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// What it will end as.
    outcome: Outcome,
    /// Who was told to stop.
    told: Vec<bool>,
    /// By script: those that depend on it directly.
    dependents: Vec<Vec<usize>>,
    /// All scripts, each after all that depend on it.
    order: Vec<usize>,
}

/// What a shutdown does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShutdownStep {
    /// These are told to stop now.
    Stop(Vec<usize>),
    /// Nothing lives any more.
    Done(Outcome),
    /// Those that were told are not gone yet.
    Wait,
}

impl Shutdown {
    /// Begins a shutdown; `dependents` tells for each script those that depend on it directly, without a circle.
    #[must_use]
    pub fn new(outcome: Outcome, dependents: Vec<Vec<usize>>) -> Self {
        let order = dependents_first(&dependents);
        Self { outcome, told: vec![false; dependents.len()], dependents, order }
    }

    /// A second request: nobody waits for anybody.
    pub fn kill(&mut self) {
        self.outcome = Outcome::Killed;
        self.told.fill(true);
    }

    /// The next step, given which scripts live.
    pub fn next(&mut self, is_live: impl Fn(usize) -> bool) -> ShutdownStep {
        let mut blocked = vec![false; self.told.len()];
        let mut stop = Vec::new();
        let mut any_live = false;
        for &script in &self.order {
            let live = is_live(script);
            any_live |= live;
            // Also by those that depend on it through others which do not live.
            blocked[script] = self.dependents[script].iter().any(|d| blocked[*d] || is_live(*d));
            if live && !blocked[script] && !self.told[script] {
                self.told[script] = true;
                stop.push(script);
            }
        }
        match (stop.is_empty(), any_live) {
            (false, _) => ShutdownStep::Stop(stop),
            (true, true) => ShutdownStep::Wait,
            (true, false) => ShutdownStep::Done(self.outcome.clone()),
        }
    }
}

fn dependents_first(dependents: &[Vec<usize>]) -> Vec<usize> {
    let mut waits_for: Vec<usize> = dependents.iter().map(Vec::len).collect();
    let mut predecessors = vec![Vec::new(); dependents.len()];
    for (script, direct) in dependents.iter().enumerate() {
        direct.iter().for_each(|d| predecessors[*d].push(script));
    }
    let mut order: Vec<usize> = (0..dependents.len()).filter(|i| waits_for[*i] == 0).collect();
    let mut next = 0;
    while let Some(&script) = order.get(next) {
        next += 1;
        for &predecessor in &predecessors[script] {
            waits_for[predecessor] -= 1;
            if waits_for[predecessor] == 0 {
                order.push(predecessor);
            }
        }
    }
    order
}

/// Why nothing must be started now: a critical script failed on a date whose window is open, before this daemon came up. What must not run
/// without it must not run now, either, whoever started the daemon again.
#[must_use]
pub fn barred(scripts: &[ScriptSpec], timeline: &Timeline, past: &Past, now: DateTime<Utc>) -> Option<String> {
    let failed = |(index, script): (usize, &ScriptSpec)| {
        let ClockEvent::WindowOpen { window, .. } = timeline.level(index, now) else { return None };
        let past = past.scripts.get(&script.name)?;
        // One that only ran out of time goes on where its window is longer now, and else its window is not open.
        let has_more_time = past.window_ended.as_ref().is_some_and(|run| run.trading_date() == window.trading_date);
        let failed = past.results.contains(&(window.trading_date, RunResult::Failed)) && !has_more_time;
        (failed && script.critical).then(|| {
            let (name, date) = (&script.name, window.trading_date);
            format!(
                "critical script {name} has failed on {date}, and nothing runs without it on that date; to run the others all the same, set critical = false for it, or name them with --only"
            )
        })
    };
    scripts.iter().enumerate().find_map(failed)
}

/// More failures of one script's actor than this within `RESPAWN_WITHIN`, and it stays down: the fault is in the program, and a loop would
/// start and stop the script for ever.
const RESPAWNS: usize = 3;
/// The sliding span of that budget.
const RESPAWN_WITHIN: Duration = Duration::from_secs(60);

/// The small budget of each worker, apart from its script's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RespawnBudget(VecDeque<Mono>);

impl RespawnBudget {
    /// The actor failed at `now`: whether it is started again.
    pub fn spend(&mut self, now: Mono) -> bool {
        while self.0.front().is_some_and(|at| now.since(*at) >= RESPAWN_WITHIN) {
            self.0.pop_front();
        }
        self.0.push_back(now);
        self.allows()
    }

    /// Whether the last failure was within the budget.
    #[must_use]
    pub fn allows(&self) -> bool {
        self.0.len() <= RESPAWNS
    }
}

/// Signals this close to the first are the same request, sent twice: by a terminal and a shell, or to a whole group.
const SAME_REQUEST: Duration = Duration::from_millis(500);

/// The requests to end, as signals bring them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndRequests {
    first: Option<Mono>,
}

/// What a request to end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndRequest {
    /// Stop all, in order.
    InOrder,
    /// The same request again.
    Same,
    /// Kill all.
    AtOnce,
}

impl EndRequests {
    /// A request comes in.
    pub fn take(&mut self, now: Mono) -> EndRequest {
        match self.first {
            None => {
                self.first = Some(now);
                EndRequest::InOrder
            }
            Some(first) if now.since(first) <= SAME_REQUEST => EndRequest::Same,
            Some(_) => EndRequest::AtOnce,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// data <- trade <- report, and one alone.
    fn pipeline() -> Shutdown {
        Shutdown::new(Outcome::Stopped, vec![vec![1], vec![2], vec![], vec![]])
    }

    #[test]
    fn dependents_stop_before_what_they_depend_on_and_the_others_at_once() {
        let mut shutdown = pipeline();
        assert_eq!(shutdown.next(|_| true), ShutdownStep::Stop(vec![2, 3]));
        assert_eq!(shutdown.next(|_| true), ShutdownStep::Wait);
        assert_eq!(shutdown.next(|i| i != 2), ShutdownStep::Stop(vec![1]), "the one alone is not waited for");
        assert_eq!(shutdown.next(|i| i == 0 || i == 3), ShutdownStep::Stop(vec![0]));
        assert_eq!(shutdown.next(|i| i == 3), ShutdownStep::Wait);
        assert_eq!(shutdown.next(|_| false), ShutdownStep::Done(Outcome::Stopped));
    }

    #[test]
    fn a_script_waits_also_for_those_that_depend_on_it_through_others() {
        let mut shutdown = pipeline();
        assert_eq!(shutdown.next(|i| i == 0 || i == 2), ShutdownStep::Stop(vec![2]));
        assert_eq!(shutdown.next(|i| i == 0), ShutdownStep::Stop(vec![0]));
    }

    #[test]
    fn a_second_request_waits_for_nobody() {
        let mut shutdown = pipeline();
        shutdown.kill();
        assert_eq!(shutdown.next(|_| true), ShutdownStep::Wait);
        assert_eq!(shutdown.next(|_| false), ShutdownStep::Done(Outcome::Killed));
    }

    #[test]
    fn an_actor_that_fails_too_often_stays_down() {
        let mut budget = RespawnBudget::default();
        let at = |s| Mono(Duration::from_secs(s));
        assert!(budget.spend(at(1)) && budget.spend(at(2)) && budget.spend(at(3)));
        assert!(!budget.spend(at(4)));
        assert!(budget.spend(at(70)), "the budget slides");
    }

    #[test]
    fn a_second_request_to_end_kills_unless_it_is_the_same_one() {
        let mut requests = EndRequests::default();
        let at = |ms| Mono(Duration::from_millis(ms));
        assert_eq!(requests.take(at(0)), EndRequest::InOrder);
        assert_eq!(requests.take(at(499)), EndRequest::Same);
        assert_eq!(requests.take(at(501)), EndRequest::AtOnce);
    }
}
