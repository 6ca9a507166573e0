//! The state as people see it: its name, a sentence why, and what comes next.

use chrono::{DateTime, NaiveDate, Utc};

use super::health::{Care, Readiness};
use super::waits::WaitsFor;
use super::{Actual, Force, Live, Run, RunResult, State, Stop, Wanted};
use crate::domain::attempt::{AttemptEnd, AttemptId};
use crate::domain::dependency::{Progress, Standing};
use crate::domain::notice::compact;
use crate::domain::operator::{Hold, HoldKind};
use crate::domain::outcome::{AttemptResult, StopReason};
use crate::domain::script::ScriptSpec;

/// The public names of states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateName {
    /// Outside its window.
    Idle,
    /// For something outside.
    Waiting,
    /// Between order and process.
    Starting,
    /// There is a process.
    Running,
    /// Being ended.
    Stopping,
    /// Until the next attempt.
    Backoff,
    /// Over: succeeded, finished early or window end.
    Finished,
    /// Over: the limit.
    Stopped,
    /// Gave up.
    Failed,
    /// Not on this date.
    Skipped,
    /// Held by an operator.
    Paused,
    /// Never.
    Disabled,
}

impl StateName {
    /// The public name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Backoff => "backoff",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

/// So many results are told to dependents.
const DATES_TOLD: usize = 4;

/// What happens next, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextAction {
    /// `stop`, `limit`, `kill`, `restart`, `resume`, `skip`, `not_ready`.
    pub action: &'static str,
    /// When, on the market clock.
    pub at: DateTime<Utc>,
}

/// A script's state, for people and for the root.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Its name.
    pub state: StateName,
    /// Why, in a sentence.
    pub reason: String,
    /// The date of the run it is about.
    pub trading_date: Option<NaiveDate>,
    /// The live process.
    pub live: Option<AttemptId>,
    /// Its leader.
    pub pid: Option<u32>,
    /// Attempts of the run.
    pub attempt: u32,
    /// Automatic restarts of the run.
    pub restarts: u32,
    /// Start of the live attempt.
    pub started_at: Option<DateTime<Utc>>,
    /// End of the window.
    pub stop_at: Option<DateTime<Utc>>,
    /// Where `max_duration` ends it.
    pub deadline: Option<DateTime<Utc>>,
    /// How the latest attempt ended.
    pub last_exit: Option<AttemptEnd>,
    /// What comes next.
    pub next: Option<NextAction>,
    /// What became of the run, if it is over.
    pub result: Option<RunResult>,
    /// What its process says of itself (`STATUS=`, by sd_notify).
    pub said: Option<String>,
    /// It waits for something that is not ours, and that nobody here will mend.
    pub waits_outside: bool,
    /// What it left outlived SIGKILL.
    pub unkillable: bool,
    /// Somebody forced the run outside its window.
    pub forced: bool,
    /// What an operator forbids.
    pub holds: Vec<Hold>,
    /// What dependents see.
    pub standing: Option<Standing>,
    /// Nothing lives, and nothing starts any more: the daemon ends.
    pub ended: bool,
    /// It is critical and has failed, in words: the daemon must end.
    pub escalated: Option<String>,
}

impl State {
    /// The state as people see it.
    #[must_use]
    pub fn view(&self, spec: &ScriptSpec) -> View {
        let (state, reason) = self.name(spec);
        let run = self.actual.run();
        let live = self.live();
        let next = match &self.actual {
            Actual::Running { run, live: Live { care: Care { ready: Readiness::Pending { until, .. }, .. }, .. } }
                if *until < run.end() =>
            {
                Some(NextAction { action: "not_ready", at: *until })
            }
            Actual::Running { run, .. } | Actual::Starting { run, .. } => Some(match run.deadline {
                Some(at) => NextAction { action: "limit", at },
                None => NextAction { action: "stop", at: run.window.stop },
            }),
            Actual::Backoff { next_try, .. } | Actual::GivenUp { next_try, .. } => {
                Some(NextAction { action: "restart", at: *next_try })
            }
            Actual::Waiting { run, .. } | Actual::Held { run, .. } => {
                Some(NextAction { action: "skip", at: run.window.stop })
            }
            Actual::Paused { run } => Some(match self.pause_end().filter(|until| *until < run.window.stop) {
                Some(at) => NextAction { action: "resume", at },
                None => NextAction { action: "skip", at: run.window.stop },
            }),
            Actual::Stopping {
                stop: Stop { force: Force::Asked { kill_at } | Force::Commanded { kill_at, .. }, .. },
                ..
            }
            | Actual::Sweeping { force: Force::Asked { kill_at }, .. } => {
                Some(NextAction { action: "kill", at: *kill_at })
            }
            // After SIGKILL there is nothing but waiting; the next window is the timeline's affair.
            Actual::Off | Actual::Stopping { .. } | Actual::Sweeping { .. } | Actual::Over { .. } => None,
        };
        View {
            state,
            reason,
            trading_date: self.standing().map(|s| s.trading_date),
            live: match &self.actual {
                Actual::Starting { attempt, .. } => Some(attempt.clone()),
                _ => live.map(|l| l.attempt.clone()),
            },
            pid: live.map(|l| l.process.pid),
            attempt: run.map_or(0, |r| r.attempts),
            restarts: run.map_or(0, |r| r.restarts),
            started_at: live.map(|l| l.started_at),
            stop_at: run.map(|r| r.window.stop),
            deadline: run.and_then(|r| r.deadline),
            last_exit: run.and_then(|r| r.last_exit),
            next,
            result: match &self.actual {
                Actual::Over { result, .. } => Some(*result),
                _ => None,
            },
            said: live.map(|l| l.care.said.clone()).filter(|said| !said.is_empty()),
            waits_outside: matches!(&self.actual, Actual::Waiting { waits: WaitsFor::Outside { .. }, .. }),
            unkillable: matches!(
                &self.actual,
                Actual::Stopping { stop: Stop { force: Force::Survived, .. }, .. }
                    | Actual::Sweeping { force: Force::Survived, .. }
            ),
            forced: run.is_some_and(|run| run.forced),
            holds: self.memory.holds.iter().cloned().collect(),
            standing: self.standing(),
            ended: self.has_ended(),
            escalated: self.memory.escalated.clone(),
        }
    }

    pub(super) fn live(&self) -> Option<&super::Live> {
        match &self.actual {
            Actual::Running { live, .. } | Actual::Stopping { live, .. } | Actual::Sweeping { live, .. } => Some(live),
            Actual::Off
            | Actual::Waiting { .. }
            | Actual::Paused { .. }
            | Actual::Starting { .. }
            | Actual::Held { .. }
            | Actual::Backoff { .. }
            | Actual::GivenUp { .. }
            | Actual::Over { .. } => None,
        }
    }

    /// All that dependents may ask for: the results of the last dates, oldest first, and how far the present run has come.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        let results = self.memory.results.iter().rev().take(DATES_TOLD).rev();
        let over = results.map(|(date, result)| self.standing_of_end(*date, *result));
        let mut all: Vec<Standing> = over.collect();
        all.extend(self.standing().filter(|standing| !standing.progress.is_over()));
        // A run that waits to go on, or to be judged.
        let left = self.memory.unfinished.iter().map(|left| left.trading_date());
        all.extend(left.map(|trading_date| Standing { trading_date, progress: Progress::Pending }));
        all
    }

    fn standing(&self) -> Option<Standing> {
        let of = |run: &Run, progress| Some(Standing { trading_date: run.window.trading_date, progress });
        match &self.actual {
            Actual::Off => None,
            Actual::Waiting { run, .. } | Actual::Held { run, .. } => of(run, Progress::Pending),
            Actual::Paused { run } if run.attempts == 0 => of(run, Progress::Pending),
            Actual::Paused { run } => of(run, Progress::Retrying { next_try: self.pause_end() }),
            Actual::Running { run, live } if live.is_ready() => of(run, Progress::Ready),
            Actual::Starting { run, .. }
            | Actual::Running { run, .. }
            | Actual::Stopping { run, .. }
            | Actual::Sweeping { run, .. } => of(run, Progress::Live),
            // Between two attempts of `always` there is nothing that failed.
            Actual::Backoff { run, .. } if last_end(run) == "succeeded" => of(run, Progress::Live),
            Actual::Backoff { run, next_try, .. } | Actual::GivenUp { run, next_try, .. } => {
                of(run, Progress::Retrying { next_try: Some(*next_try) })
            }
            Actual::Over { trading_date, result, .. } => Some(self.standing_of_end(*trading_date, *result)),
        }
    }

    fn standing_of_end(&self, trading_date: NaiveDate, result: RunResult) -> Standing {
        let is_foiled = result == RunResult::Skipped && self.memory.foiled == Some(trading_date);
        let progress = if is_foiled { Progress::Foiled } else { Progress::Over(result) };
        Standing { trading_date, progress }
    }

    /// When the present pause ends by itself.
    fn pause_end(&self) -> Option<DateTime<Utc>> {
        let until = |hold: &Hold| match hold.kind {
            HoldKind::Pause { until } => until,
            HoldKind::Skip { .. } => None,
        };
        self.memory.holds.iter().find_map(until)
    }

    /// What keeps every attempt from beginning, in words: the kill file, or a pause.
    fn held_back(&self) -> Option<String> {
        let pause = |hold: &&Hold| matches!(hold.kind, HoldKind::Pause { .. });
        let killed = self.memory.killed_by.as_ref().map(|path| format!("the kill file {path} exists"));
        killed.or_else(|| self.memory.holds.iter().find(pause).map(ToString::to_string))
    }

    fn name(&self, spec: &ScriptSpec) -> (StateName, String) {
        match &self.actual {
            Actual::Off if !spec.enabled => (StateName::Disabled, "disabled in the configuration".to_owned()),
            Actual::Off if self.wanted == Wanted::Ended => (StateName::Idle, "the daemon ends".to_owned()),
            Actual::Off | Actual::Over { .. } | Actual::Paused { .. } if self.held_back().is_some() => {
                let before = match &self.actual {
                    Actual::Over { result, trading_date, .. } => {
                        format!("; its run of {trading_date} is over ({})", result.name())
                    }
                    _ => String::new(),
                };
                (StateName::Paused, self.held_back().unwrap_or_default() + &before)
            }
            Actual::Paused { .. } => (StateName::Paused, "paused".to_owned()),
            Actual::Off => (StateName::Idle, "outside its window".to_owned()),
            Actual::Waiting { on, .. } | Actual::Held { on, .. } => (StateName::Waiting, on.clone()),
            Actual::Starting { .. } => (StateName::Starting, "its process is being started".to_owned()),
            Actual::Running {
                live: Live { care: Care { ready: Readiness::Pending { refused, .. }, ready_by, .. }, .. },
                ..
            } => {
                let probe = ready_by.as_ref().map_or_else(String::new, |ready| ready.probe.to_string());
                let met = if refused.is_empty() { String::new() } else { format!(": {refused}") };
                (StateName::Starting, format!("it is not ready yet ({probe}){met}"))
            }
            Actual::Running { run, .. } => {
                let what = if run.forced { "forced; it is stopped at" } else { "its window is open until" };
                let held = self.held_back().map_or_else(String::new, |words| format!("; {words}: no restart"));
                (StateName::Running, format!("{what} {}{held}", local(run.window.stop, run)))
            }
            Actual::Stopping { stop, run, .. } => {
                let by_hand = matches!(stop.reason, StopReason::Operator | StopReason::Restart);
                let why = if by_hand && !run.words.is_empty() { run.words.clone() } else { stop.reason.to_string() };
                (StateName::Stopping, format!("{why}{}", stop.force.words()))
            }
            Actual::Sweeping { force, .. } => {
                (StateName::Stopping, format!("it ended and left processes behind{}", force.words()))
            }
            Actual::Backoff { run, next_try, restart, .. } => {
                let of = spec.restart.max_restarts;
                let next = local(*next_try, run);
                (StateName::Backoff, format!("{}; restart {restart} of {of} at {next}", last_end(run)))
            }
            Actual::GivenUp { run, next_try, .. } => {
                let (n, within) = (spec.restart.max_restarts, compact(spec.restart.within));
                let (attempts, next) = (run.attempts, local(*next_try, run));
                let reason = format!("more than {n} restarts within {within}; {attempts} attempts, next try {next}");
                (StateName::Failed, reason)
            }
            Actual::Over { result, reason, .. } => (over(*result), reason.clone()),
        }
    }
}

impl Force {
    fn words(self) -> &'static str {
        match self {
            Self::Asked { .. } => "",
            Self::Commanded { .. } => "; its stop command runs",
            Self::Killed => "; killed after the grace",
            Self::Survived => "; some of its processes survived SIGKILL",
        }
    }
}

/// People see the calendar's zone.
fn local(at: DateTime<Utc>, run: &Run) -> String {
    at.with_timezone(&run.window.zone).format("%H:%M:%S").to_string()
}

fn last_end(run: &Run) -> &'static str {
    match run.last_exit.map(|last| last.result) {
        Some(AttemptResult::Succeeded) => "succeeded",
        Some(AttemptResult::SpawnFailed) => "could not be started",
        Some(AttemptResult::NotReady) => "was not ready in time",
        Some(AttemptResult::Watchdog) => "gave no sign of life, or used too much memory",
        _ => "crashed",
    }
}

fn over(result: RunResult) -> StateName {
    match result {
        RunResult::Succeeded | RunResult::FinishedEarly | RunResult::WindowEnd | RunResult::Carried => {
            StateName::Finished
        }
        RunResult::StoppedByOperator | RunResult::TimeLimit => StateName::Stopped,
        RunResult::Failed | RunResult::Missed | RunResult::Interrupted => StateName::Failed,
        RunResult::Skipped => StateName::Skipped,
        // Only runs that are over stand here.
        RunResult::Running => StateName::Running,
    }
}

impl View {
    /// A process lives (or is being started), so the daemon cannot end yet.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live.is_some()
    }
}
