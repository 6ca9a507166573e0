//! The root's decisions: the order of stops, what to do about a failed actor, when the daemon is done.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::script::ScriptSpec;
use super::time::Mono;

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

/// Layers of stops: dependents before those they depend on. Indices into `scripts`; each appears once.
#[must_use]
pub fn stop_layers(scripts: &[impl AsRef<ScriptSpec>]) -> Vec<Vec<usize>> {
    let index: BTreeMap<_, _> = scripts.iter().enumerate().map(|(i, s)| (&s.as_ref().name, i)).collect();
    let mut dependents = vec![0_usize; scripts.len()];
    let predecessors: Vec<Vec<usize>> = scripts
        .iter()
        .map(|s| s.as_ref().depends_on.iter().filter_map(|d| index.get(&d.script).copied()).collect())
        .collect();
    for predecessor in predecessors.iter().flatten() {
        dependents[*predecessor] += 1;
    }
    let mut layer: Vec<usize> = (0..scripts.len()).filter(|i| dependents[*i] == 0).collect();
    let mut layers = Vec::new();
    while !layer.is_empty() {
        let mut next = Vec::new();
        for predecessor in layer.iter().flat_map(|i| &predecessors[*i]) {
            dependents[*predecessor] -= 1;
            if dependents[*predecessor] == 0 {
                next.push(*predecessor);
            }
        }
        layers.push(std::mem::replace(&mut layer, next));
    }
    layers
}

/// A shutdown in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// What it will end as.
    outcome: Outcome,
    /// Layers that were not told to stop yet, first to stop first.
    remaining: VecDeque<Vec<usize>>,
}

/// What a shutdown does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShutdownStep {
    /// These are told to stop now.
    Stop(Vec<usize>),
    /// Nothing lives any more.
    Done(Outcome),
    /// The layer that was told is not gone yet.
    Wait,
}

impl Shutdown {
    /// Begins a shutdown that stops `layers` in order.
    #[must_use]
    pub fn new(outcome: Outcome, layers: Vec<Vec<usize>>) -> Self {
        Self { outcome, remaining: layers.into() }
    }

    /// A second request: no layers any more.
    pub fn kill(&mut self) {
        self.outcome = Outcome::Killed;
        self.remaining.clear();
    }

    /// Whether the scripts of this layer were told to stop.
    #[must_use]
    pub fn has_told(&self, script: usize) -> bool {
        !self.remaining.iter().flatten().any(|i| *i == script)
    }

    /// The next step, given which scripts live or have not answered that they start nothing any more.
    pub fn next(&mut self, is_live: impl Fn(usize) -> bool, scripts: usize) -> ShutdownStep {
        if (0..scripts).any(|i| is_live(i) && self.has_told(i)) {
            return ShutdownStep::Wait;
        }
        while let Some(layer) = self.remaining.pop_front() {
            let live: Vec<_> = layer.into_iter().filter(|i| is_live(*i)).collect();
            if !live.is_empty() {
                return ShutdownStep::Stop(live);
            }
        }
        ShutdownStep::Done(self.outcome.clone())
    }
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
    use std::sync::Arc;

    use super::*;
    use crate::domain::script::{Condition, Dependency, ScriptName};

    fn scripts(edges: &[(&str, &[&str])]) -> Vec<Arc<ScriptSpec>> {
        edges
            .iter()
            .map(|(name, on)| {
                let depends_on = on
                    .iter()
                    .map(|x| Dependency { script: ScriptName::new(x).unwrap(), condition: Condition::Succeeded })
                    .collect();
                Arc::new(ScriptSpec { depends_on, ..ScriptSpec::with_defaults(name, "/bin/true") })
            })
            .collect()
    }

    #[test]
    fn dependents_stop_before_what_they_depend_on() {
        let s = scripts(&[("data", &[]), ("trade", &["data"]), ("report", &["trade", "data"]), ("alone", &[])]);
        assert_eq!(stop_layers(&s), [vec![2, 3], vec![1], vec![0]]);
    }

    #[test]
    fn a_layer_is_told_when_the_one_before_is_gone() {
        let mut shutdown = Shutdown::new(Outcome::Stopped, vec![vec![1], vec![0]]);
        assert_eq!(shutdown.next(|_| true, 2), ShutdownStep::Stop(vec![1]));
        assert_eq!(shutdown.next(|_| true, 2), ShutdownStep::Wait);
        assert_eq!(shutdown.next(|i| i == 0, 2), ShutdownStep::Stop(vec![0]));
        assert_eq!(shutdown.next(|_| false, 2), ShutdownStep::Done(Outcome::Stopped));
    }

    #[test]
    fn a_layer_without_life_is_passed_over() {
        let mut shutdown = Shutdown::new(Outcome::Stopped, vec![vec![2], vec![1], vec![0]]);
        assert_eq!(shutdown.next(|i| i == 0, 3), ShutdownStep::Stop(vec![0]));
    }

    #[test]
    fn a_second_request_waits_for_no_layer() {
        let mut shutdown = Shutdown::new(Outcome::Stopped, vec![vec![1], vec![0]]);
        shutdown.kill();
        assert_eq!(shutdown.next(|_| true, 2), ShutdownStep::Wait);
        assert_eq!(shutdown.next(|_| false, 2), ShutdownStep::Done(Outcome::Killed));
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
