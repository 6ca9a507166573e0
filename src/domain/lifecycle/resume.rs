//! Runs that outlive their watcher: what is kept of them, and how another watcher goes on. The watcher may be the actor of a script (it
//! failed, the daemon lives on) or a whole daemon (it died, or the machine did; the journal lives on).

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::{Tz, UTC};
use serde::{Deserialize, Serialize};

use super::{
    Actual, AttemptEnd, AttemptId, Effect, Ended, Machine, Memory, RestartCause, Run, RunResult, ScriptName,
    ScriptSpec, State, Timer, Wanted, What, Window,
};
use crate::domain::outcome::{AttemptResult, StopReason};
use crate::domain::record::{AttemptRecord, AttemptStart, Grade, Record, RunRecord, ScriptPast};
use crate::domain::restart::{classify, is_fatal};
use crate::domain::time::{Mono, Now};
use crate::domain::timeline::{Absence, DayPlan, deadline};

/// A run that is not over, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unfinished {
    /// When it was so, on the market clock and on the monotonic one of that daemon.
    at: DateTime<Utc>,
    mono: Mono,
    run: Run,
    step: Step,
    /// It waits by the will of this daemon: its window was moved, or the clock was set. What is read from a journal was cut off.
    #[serde(skip)]
    put_off: bool,
}

/// How far it had come.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    /// Before an attempt, or in one that its watcher will not see the end of.
    Cut,
    /// The leader ended by itself; what it left behind was being ended.
    Sweeping(Ended),
    /// Between two attempts; the restart's number in its budget.
    Backoff { next_try: DateTime<Utc>, restart: u32 },
    /// After giving up.
    GivenUp { next_try: DateTime<Utc> },
}

impl Unfinished {
    /// Of which trading date.
    #[must_use]
    pub fn trading_date(&self) -> NaiveDate {
        self.run.window.trading_date
    }

    /// When its window ends.
    #[must_use]
    pub fn window_end(&self) -> DateTime<Utc> {
        self.run.window.stop
    }

    /// Its latest attempt was alive when its daemon died, and nobody saw its end.
    pub fn lose_attempt(&mut self, attempt: &AttemptId, found: DateTime<Utc>) {
        if self.run.window.trading_date == attempt.trading_date && self.run.attempts == attempt.number {
            self.run.last_exit = Some(AttemptEnd { exit: None, result: AttemptResult::Lost, at: found });
        }
    }

    /// The end of a run that nobody watches any more, because its script is not configured (or disabled), or because no daemon that knew of it
    /// came before its next one: as soon as its window is over.
    #[must_use]
    pub fn given_up(&self, script: &ScriptName, now: DateTime<Utc>) -> Option<RunRecord> {
        let result = if self.run.attempts == 0 { RunResult::Missed } else { RunResult::Interrupted };
        let result = self.run.ended().map_or(result, |(_, result)| result);
        let reason = "no daemon that knew of it has watched it to its end".to_owned();
        (self.run.window.stop <= now).then(|| self.run.record(script, result, reason, now))
    }

    pub(super) fn new(run: Run, step: Step, now: &Now) -> Self {
        Self { at: now.wall, mono: now.mono, run, step, put_off: false }
    }

    pub(super) fn put_off(self) -> Self {
        Self { put_off: true, ..self }
    }

    pub(super) fn run(&self) -> &Run {
        &self.run
    }

    pub(super) fn into_run(self) -> Run {
        self.run
    }

    /// The same, with what was spent of its budget put on this daemon's monotonic clock.
    fn seen_from(mut self, now: &Now) -> Self {
        let passed = (now.wall - self.at).to_std().unwrap_or_default().div_f64(now.rate);
        self.run.budget.move_to(self.mono, now.mono, passed);
        self.mono = now.mono;
        self
    }
}

/// What the journal keeps of a run that is not over.
pub(super) fn record(run: Run, step: Step, spec: &ScriptSpec, now: &Now) -> RunRecord {
    let unfinished = Unfinished::new(run.clone(), step, now);
    let reason = step.words(&run, spec);
    RunRecord { unfinished: Some(unfinished), ..run.record(&spec.name, RunResult::Running, reason, now.wall) }
}

impl Step {
    fn words(self, run: &Run, spec: &ScriptSpec) -> String {
        let local = |at: DateTime<Utc>| at.with_timezone(&run.window.zone).format("%H:%M:%S");
        match self {
            Self::Cut if run.attempts == 0 => "not started yet".to_owned(),
            Self::Cut => format!("attempt {}", run.attempts),
            Self::Sweeping(_) => "it ended, and what it left behind is being ended".to_owned(),
            Self::Backoff { next_try, restart } => {
                format!("restart {restart} of {} at {}", spec.restart.max_restarts, local(next_try))
            }
            Self::GivenUp { next_try } => format!("gave up; next try {}", local(next_try)),
        }
    }
}

impl Run {
    pub(super) fn record(
        &self,
        script: &ScriptName,
        result: RunResult,
        reason: String,
        at: DateTime<Utc>,
    ) -> RunRecord {
        RunRecord {
            script: script.clone(),
            trading_date: self.window.trading_date,
            result,
            reason,
            zone: self.window.zone,
            first_start: self.first_start,
            ended_at: (result != RunResult::Running).then_some(at),
            attempts: self.attempts,
            restarts: self.restarts,
            last_exit: self.last_exit,
            at,
            unfinished: None,
        }
    }

    /// `later` has had its first start, and this is not yet the same run with it.
    pub(super) fn is_before_first_start_of(&self, later: &Self) -> bool {
        later.first_start.is_some()
            && (self.first_start.is_none() || self.window.trading_date != later.window.trading_date)
    }

    /// Why its next attempt is one: the latest one crashed, or nothing is wrong with it.
    fn restart_cause(&self) -> Option<RestartCause> {
        use AttemptResult::{Crashed, NotReady, Signaled, SpawnFailed, Watchdog};
        let failed = |end: AttemptEnd| matches!(end.result, Crashed | Signaled | SpawnFailed | NotReady | Watchdog);
        self.last_exit.is_some_and(failed).then(|| self.failure_cause())
    }

    /// Without its latest attempt, which never had a process.
    pub(super) fn without_attempt(mut self, cause: Option<RestartCause>) -> Self {
        self.attempts = self.attempts.saturating_sub(1);
        if cause.is_some_and(RestartCause::is_failure) {
            self.restarts = self.restarts.saturating_sub(1);
        }
        if self.attempts == 0 {
            (self.first_start, self.deadline) = (None, None);
        }
        self
    }
}

impl State {
    /// The state for the watcher of a new daemon that finds this past. Nothing of what an earlier one started is left.
    #[must_use]
    pub fn resumed(past: &ScriptPast, now: &Now) -> Self {
        let results = past.results.iter().copied().collect();
        let seen = |run: &Option<Unfinished>| run.clone().map(|run| run.seen_from(now));
        let (unfinished, doubtful) = (seen(&past.unfinished), seen(&past.window_ended));
        let (holds, spent) = (past.holds.iter().cloned().collect(), past.spent);
        let memory = Memory { results, unfinished, doubtful, holds, spent, ..Memory::default() };
        Self { memory, ..Self::default() }
    }

    /// The state for a watcher that takes over from a dead one, when nothing of the last attempt is left: the run goes on as a new attempt
    /// as soon as the level says so, with its budget, its waits and its deadline; what is over stays over.
    #[must_use]
    pub fn taken_over(mut self, now: &Now) -> Self {
        let cut = self.actual.progress().map(|(run, step)| Unfinished::new(run, step, now));
        self.memory.unfinished = cut.or(self.memory.unfinished);
        Self { wanted: Wanted::Down, actual: Actual::Off, memory: self.memory }
    }

    /// Nobody watches this script any more on this date: a run that was cut off is over, and this is what to remember and to tell of it.
    #[must_use]
    pub fn abandoned(self, reason: &str, spec: &ScriptSpec, now: &Now) -> (Self, Option<(RunRecord, u32, What)>) {
        let mut state = self.taken_over(now);
        let Some(Unfinished { run, .. }) = state.memory.unfinished.take() else { return (state, None) };
        let (result, reason) = match run.ended() {
            Some((why, result)) => (result, why.to_string()),
            None => (RunResult::Interrupted, reason.to_owned()),
        };
        let trading_date = run.window.trading_date;
        let record = run.record(&spec.name, result, reason.clone(), now.wall);
        let attempts = run.attempts;
        state.memory.remember(trading_date, result);
        state.actual = Actual::Over { trading_date, result, reason: reason.clone(), run: Some(run) };
        (state, Some((record, attempts, What::Finished { result, reason })))
    }

    /// The run that is not over, and how far it has come.
    pub(super) fn progress(&self) -> Option<(Run, Step)> {
        let left = || self.memory.unfinished.as_ref().map(|left| (left.run.clone(), left.step));
        self.actual.progress().or_else(left)
    }

    /// All that is known, for a journal that may have missed it: the results that are remembered, how the present or latest run stands, and
    /// its process.
    #[must_use]
    pub fn records(&self, spec: &ScriptSpec, now: &Now) -> Vec<Record> {
        let reason = "known from before the journal began anew";
        let of = |(date, result): &(NaiveDate, RunResult)| unseen(spec, *date, UTC, *result, reason.to_owned(), now);
        let present = match &self.actual {
            Actual::Over { result, reason, run: Some(run), .. } => {
                let unfinished = self.memory.doubtful.clone().filter(|doubtful| doubtful.run == *run);
                Some(RunRecord { unfinished, ..run.record(&spec.name, *result, reason.clone(), now.wall) })
            }
            _ => self.progress().map(|(run, step)| record(run, step, spec, now)),
        };
        let live = self.live().map(|live| {
            let start = Some(AttemptStart { at: live.started_at, after: None });
            Record::Attempt(AttemptRecord { id: live.attempt.clone(), start, process: Some(live.process), end: None })
        });
        let runs = self.memory.results.iter().map(of).chain(present).map(|run| Record::Run(Box::new(run)));
        let holds: Vec<_> = self.memory.holds.iter().cloned().collect();
        let holds = (!holds.is_empty()).then(|| Record::Holds { script: Some(spec.name.clone()), holds });
        runs.chain(live).chain(holds).collect()
    }
}

/// A run that nothing is known of but its result.
fn unseen(
    spec: &ScriptSpec,
    trading_date: NaiveDate,
    zone: Tz,
    result: RunResult,
    reason: String,
    now: &Now,
) -> RunRecord {
    RunRecord {
        script: spec.name.clone(),
        trading_date,
        result,
        reason,
        zone,
        first_start: None,
        ended_at: Some(now.wall),
        attempts: 0,
        restarts: 0,
        last_exit: None,
        at: now.wall,
        unfinished: None,
    }
}

impl Actual {
    fn progress(&self) -> Option<(Run, Step)> {
        match self {
            Self::Off | Self::Over { .. } => None,
            // One that was refused before is asked for each second: it counts when it has a process.
            Self::Starting { run, cause, held: Some(_), .. } | Self::Held { run, cause, .. } => {
                Some((run.clone().without_attempt(*cause), Step::Cut))
            }
            Self::Waiting { run, .. }
            | Self::Paused { run }
            | Self::Starting { run, .. }
            | Self::Running { run, .. } => Some((run.clone(), Step::Cut)),
            Self::Stopping { run, stop, .. } => Some((Run { ends: stop.ends, ..run.clone() }, Step::Cut)),
            Self::Sweeping { run, ended, .. } => Some((run.clone(), Step::Sweeping(*ended))),
            Self::Backoff { run, next_try, restart, .. } => {
                Some((run.clone(), Step::Backoff { next_try: *next_try, restart: *restart }))
            }
            Self::GivenUp { run, next_try, .. } => Some((run.clone(), Step::GivenUp { next_try: *next_try })),
        }
    }
}

impl Machine<'_> {
    /// A run that was cut off goes on in its window: as a new attempt, with its budget and its deadline, after what is left of its wait.
    pub(super) fn resume(&mut self, unfinished: Unfinished, window: Window) -> Actual {
        let Unfinished { at, run, step, put_off, .. } = unfinished;
        let cause = if put_off { run.restart_cause() } else { Some(RestartCause::Daemon) };
        let ends = run.ends.filter(|reason| *reason != StopReason::WindowEnd || !self.has_more_time(&run, &window));
        // The deadline is as it was, unless the configuration has changed meanwhile.
        let deadline = run.first_start.and_then(|at| deadline(at, self.spec.max_duration, window.stop));
        let run = self.in_window(run, window);
        let mut run = Run { deadline, ends, ..run };
        if let Some((reason, result)) = run.ended() {
            return self.end(run, result, reason.to_string());
        }
        // The open came while nobody watched.
        let rearmed = at < run.window.open && run.window.open <= self.now.wall;
        if rearmed {
            self.rearm(&mut run);
        }
        if run.attempts == 0 {
            return self.start_when_free(run, None);
        }
        self.set_alarms(&run);
        match step {
            Step::Sweeping(ended) => {
                let attempt = run.attempt(self.spec);
                self.conclude(run, attempt, ended)
            }
            Step::Backoff { next_try, restart } if !rearmed && next_try > self.now.wall => {
                let next_try = self.at_most(next_try, Some(self.spec.restart.max_delay));
                self.wait_again(run, Timer::Backoff, next_try, |run, after| Actual::Backoff {
                    run,
                    after,
                    next_try,
                    restart,
                })
            }
            Step::GivenUp { next_try } if !rearmed && next_try > self.now.wall => {
                let next_try = self.at_most(next_try, self.spec.restart.cooldown);
                self.wait_again(run, Timer::Cooldown, next_try, |run, after| Actual::GivenUp { run, after, next_try })
            }
            Step::Cut | Step::Backoff { .. } | Step::GivenUp { .. } => self.start(run, cause),
        }
    }

    /// No wait is longer than when it begins now: it may have been noted by a clock that was ahead.
    fn at_most(&self, next_try: DateTime<Utc>, wait: Option<Duration>) -> DateTime<Utc> {
        wait.map_or(next_try, |wait| next_try.min(self.now.wall_after(wait)))
    }

    fn wait_again(
        &mut self,
        run: Run,
        timer: Timer,
        until: DateTime<Utc>,
        state: impl FnOnce(Run, AttemptId) -> Actual,
    ) -> Actual {
        if until >= run.end() {
            return self.end_between_attempts(run, Step::Cut, "no attempt fits into the rest of its time");
        }
        let attempt = run.attempt(self.spec);
        let left: Duration = (until - self.now.wall).to_std().unwrap_or_default().div_f64(self.now.rate);
        self.effects.push(Effect::Arm { timer, after: left, attempt: attempt.clone() });
        state(run, attempt)
    }

    /// What became of a run whose window ended while nobody watched it.
    pub(super) fn judge_unwatched(&self, unfinished: &Unfinished) -> (RunResult, String) {
        let Unfinished { run, step, .. } = unfinished;
        if let Some((reason, result)) = run.ended() {
            return (result, reason.to_string());
        }
        if run.attempts == 0
            && let Some(reason) = self.held_on(&run.window)
        {
            return (RunResult::Skipped, reason);
        }
        if let Step::Sweeping(Ended { exit, lived }) = *step {
            match classify(exit, lived, &self.spec.exits) {
                AttemptResult::Succeeded => return (RunResult::Succeeded, "it exited with a success code".to_owned()),
                AttemptResult::FinishedEarly => return (RunResult::FinishedEarly, "it finished early".to_owned()),
                _ if is_fatal(Some(exit), &self.spec.exits) => {
                    return (RunResult::Failed, "it exited with a fatal code".to_owned());
                }
                _ => {}
            }
        }
        let reason = "its window ended while nobody watched it".to_owned();
        (if run.attempts == 0 { RunResult::Missed } else { RunResult::Interrupted }, reason)
    }

    /// Only the end of the window has ended it, or the clock that said so.
    pub(super) fn doubt(&mut self, unfinished: &Unfinished, result: RunResult) {
        if matches!(result, RunResult::Missed | RunResult::Interrupted | RunResult::WindowEnd) {
            self.memory.doubtful = Some(unfinished.clone());
        }
    }

    /// These dates ended while nobody watched: each gets its result, and one line tells of all.
    pub(super) fn on_unwatched(
        &mut self,
        actual: Actual,
        dates: Vec<(NaiveDate, DayPlan)>,
        absence: Absence,
    ) -> Actual {
        let (mut missed, mut interrupted, mut last) = (Vec::new(), None, None);
        let mut at_work = None;
        // What is remembered now may be pushed out by what is added.
        let known: BTreeSet<NaiveDate> = self.memory.results.iter().map(|(date, _)| *date).collect();
        for (date, found) in dates.into_iter().filter(|(date, _)| !known.contains(date)) {
            if actual.is_at_work_on(date) {
                // Unless another window goes on from it, which is told next.
                at_work = Some(date).filter(|_| !matches!(&found, DayPlan::Window(window) if window.joined));
                continue;
            }
            let cut = self.memory.unfinished.take_if(|unfinished| unfinished.trading_date() == date);
            let (result, reason, run) = match (found, cut) {
                (DayPlan::NoSession { .. }, None) => continue,
                (DayPlan::Skipped { reason, zone, .. }, None) => {
                    self.note_unseen(date, zone, RunResult::Skipped, reason);
                    self.memory.remember(date, RunResult::Skipped);
                    continue;
                }
                (_, Some(unfinished)) => {
                    let (result, reason) = self.judge_unwatched(&unfinished);
                    self.doubt(&unfinished, result);
                    self.note_end(&unfinished.run, result, &reason);
                    (result, reason, Some(unfinished.run))
                }
                (DayPlan::Window(window), None) if self.held_on(&window).is_some() => {
                    let reason = self.held_on(&window).unwrap_or_default();
                    self.note_unseen(date, window.zone, RunResult::Skipped, reason);
                    self.memory.remember(date, RunResult::Skipped);
                    continue;
                }
                (DayPlan::Window(window), None) => {
                    let reason = absence.reason().to_owned();
                    self.note_unseen(date, window.zone, RunResult::Missed, reason.clone());
                    (RunResult::Missed, reason, None)
                }
            };
            self.memory.remember(date, result);
            match result {
                RunResult::Missed => missed.push(date),
                _ => interrupted = Some((date, result)),
            }
            last = Some(Actual::Over { trading_date: date, result, reason, run });
        }
        if let Some(Actual::Over { trading_date, .. }) = &last {
            let what = What::Unwatched { missed, interrupted };
            self.effects.push(Effect::Tell { trading_date: *trading_date, attempt: 0, what });
        }
        match (actual, at_work) {
            (actual, Some(date)) => self.on_window_close(actual, date),
            (Actual::Off | Actual::Over { .. }, None) if last.is_some() => last.unwrap_or_default(),
            (actual, None) => actual, // of another date: that goes on
        }
    }

    /// A run is over: to be remembered, come what may. One that is only thought to be over keeps what it takes to go on with it.
    pub(super) fn note_end(&mut self, run: &Run, result: RunResult, reason: &str) {
        let mut record = run.record(&self.spec.name, result, reason.to_owned(), self.now.wall);
        let doubtful = self.memory.doubtful.as_ref().filter(|doubtful| doubtful.run == *run);
        // Whoever reads that is another daemon.
        record.unfinished = doubtful.cloned().map(|unfinished| Unfinished { put_off: false, ..unfinished });
        self.records.push(Record::Run(Box::new(record)));
        self.grade = Grade::PowerSafe;
    }

    /// A date is over without a run.
    pub(super) fn note_unseen(&mut self, date: NaiveDate, zone: Tz, result: RunResult, reason: String) {
        let record = unseen(self.spec, date, zone, result, reason, self.now);
        self.records.push(Record::Run(Box::new(record)));
        self.grade = Grade::PowerSafe;
    }
}
