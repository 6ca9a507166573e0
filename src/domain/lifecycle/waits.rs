//! What an attempt waits for: scripts that it needs to be ready, and what is not ours; and what it means when one of those scripts is down.

use std::time::Duration;

use super::{
    Actual, AttemptId, Effect, Machine, RestartCause, Run, RunResult, ScriptName, Standing, Step, StopReason, Timer,
    What,
};
use crate::domain::dependency::{Progress, Verdict, judge};
use crate::domain::health::OnDependencyDown;
use crate::domain::script::{Condition, Dependency};

/// Between two looks at what is outside.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What an attempt waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// Other scripts.
    Predecessors,
    /// What is not ours; the number of the look that is under way, or was the last.
    Outside {
        look: u32,
        /// An operator wants it: predecessors are not asked.
        by_hand: bool,
    },
}

impl Machine<'_> {
    /// What is not ours must answer first; `by_hand`, predecessors are not asked again then.
    pub(super) fn look_outside_first(&mut self, run: Run, cause: Option<RestartCause>, by_hand: bool) -> Actual {
        if self.spec.wait_for.is_empty() {
            return self.start_now(run, cause);
        }
        let look = self.look_outside(&run);
        let names: Vec<String> = self.spec.wait_for.iter().map(ToString::to_string).collect();
        let on = format!("{} must answer first", names.join(", "));
        Actual::Waiting { run, on, cause, waits: WaitsFor::Outside { look, by_hand } }
    }

    /// A look with a number of its own: the answers to earlier ones come too late.
    fn look_outside(&mut self, run: &Run) -> u32 {
        self.memory.looks = self.memory.looks.wrapping_add(1);
        self.effects.push(Effect::LookOutside { attempt: run.attempt(self.spec), look: self.memory.looks });
        self.memory.looks
    }

    /// The next attempt, as soon as those that are to be ready are.
    pub(super) fn start_when_met(&mut self, run: Run, cause: Option<RestartCause>) -> Actual {
        match self.judge_ready(&run) {
            Verdict::Go => self.look_outside_first(run, cause, false),
            Verdict::Wait(on) => {
                self.tell(&run, What::Waiting { reason: on.clone() });
                Actual::Waiting { run, on, cause, waits: WaitsFor::Predecessors }
            }
            Verdict::Never(reason) => self.end(run, RunResult::Skipped, reason),
        }
    }

    /// Whether those that are to be ready are. One that is over may be started again: a run that has begun waits for that as long as its
    /// window lasts, or goes on without it where it would have kept running.
    fn judge_ready(&self, run: &Run) -> Verdict {
        let to_be_ready = |dependency: &&_| is_to_be_ready(dependency);
        let ready: Vec<_> = self.spec.depends_on.iter().filter(to_be_ready).cloned().collect();
        match judge(&ready, &self.memory.standings, &self.memory.absent, &run.window) {
            Verdict::Never(_) if run.attempts > 0 && self.spec.on_dependency_down == OnDependencyDown::Keep => {
                Verdict::Go
            }
            Verdict::Never(reason) if run.attempts > 0 => Verdict::Wait(reason),
            verdict => verdict,
        }
    }

    /// An attempt that somebody else's held up is ordered again, unless it was to come by itself and what it needs went down meanwhile.
    pub(super) fn order_held(&mut self, run: Run, id: AttemptId, cause: Option<RestartCause>, on: String) -> Actual {
        let by_itself = cause.is_some_and(|cause| cause != RestartCause::Operator);
        if by_itself && self.judge_ready(&run) != Verdict::Go {
            let run = self.take_back(run, cause);
            return self.start_when_met(run, cause);
        }
        self.order(run, id, cause, Some(on))
    }

    /// Something has changed that it may wait for.
    pub(super) fn go_on_waiting(
        &mut self,
        run: Run,
        on: String,
        cause: Option<RestartCause>,
        waits: WaitsFor,
    ) -> Actual {
        match waits {
            WaitsFor::Predecessors if run.attempts == 0 => self.start_when_free(run, Some(on)),
            WaitsFor::Predecessors => match self.start_when_met(run, cause) {
                // The same wait is not told twice.
                Actual::Waiting { run, on: same, cause, waits } if same == on => {
                    self.effects.retain(|effect| !matches!(effect, Effect::Tell { what: What::Waiting { reason }, .. } if *reason == on));
                    Actual::Waiting { run, on: same, cause, waits }
                }
                other => other,
            },
            // The answer to the look that is under way, or the timer of the next one, comes in any case.
            WaitsFor::Outside { .. } => Actual::Waiting { run, on, cause, waits },
        }
    }

    pub(super) fn on_outside(&mut self, actual: Actual, number: u32, refused: Option<String>) -> Actual {
        let Actual::Waiting { run, on, cause, waits: WaitsFor::Outside { look, by_hand } } = actual else {
            return actual;
        };
        if look != number {
            return Actual::Waiting { run, on, cause, waits: WaitsFor::Outside { look, by_hand } }; // it is late
        }
        let Some(refused) = refused else {
            // A predecessor may have gone down meanwhile.
            let judged = || judge(&self.spec.depends_on, &self.memory.standings, &self.memory.absent, &run.window);
            return match run.attempts {
                _ if by_hand => self.start_now(run, cause),
                0 if judged() != Verdict::Go => self.start_when_free(run, None),
                1.. if self.judge_ready(&run) != Verdict::Go => self.start_when_met(run, cause),
                _ => self.start_now(run, cause),
            };
        };
        if refused != on {
            self.tell(&run, What::Waiting { reason: refused.clone() });
        }
        let attempt = run.attempt(self.spec);
        self.effects.push(Effect::Arm { timer: Timer::Outside, after: LOOK_AGAIN, attempt });
        Actual::Waiting { run, on: refused, cause, waits: WaitsFor::Outside { look, by_hand } }
    }

    pub(super) fn on_look_again(&mut self, actual: Actual) -> Actual {
        let Actual::Waiting { run, on, cause, waits: WaitsFor::Outside { by_hand, .. } } = actual else {
            return actual;
        };
        let look = self.look_outside(&run);
        Actual::Waiting { run, on, cause, waits: WaitsFor::Outside { look, by_hand } }
    }

    /// The window of a run ends while it waits.
    pub(super) fn end_waiting(&mut self, run: Run, on: &str) -> Actual {
        if run.attempts == 0 {
            return self.end_with_window(run, Step::Cut, RunResult::Skipped, format!("waited in vain: {on}"));
        }
        self.end_between_attempts(run, Step::Cut, &format!("its window ended while it waited: {on}"))
    }

    /// A script that this one needs to be ready was so, and is no longer: why that stops this one; None = it does not.
    pub(super) fn lost(&self, run: &Run, script: &ScriptName, standing: &Standing) -> Option<StopReason> {
        let needs = |dependency: &_| is_to_be_ready(dependency) && dependency.script == *script;
        let is_down = !matches!(standing.progress, Progress::Ready | Progress::Over(RunResult::Carried));
        let date = self.memory.standings.carried_to(script, run.window.trading_date);
        let is_same = standing.trading_date == date;
        let is_needed = self.spec.depends_on.iter().any(needs);
        if !(is_down && is_same && is_needed) {
            return None;
        }
        match self.spec.on_dependency_down {
            OnDependencyDown::Keep => None,
            OnDependencyDown::Stop => Some(StopReason::DependencyLost),
            OnDependencyDown::Restart => Some(StopReason::Dependency),
        }
    }
}

fn is_to_be_ready(dependency: &Dependency) -> bool {
    dependency.condition == Condition::Ready
}
