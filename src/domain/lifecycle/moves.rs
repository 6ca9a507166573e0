//! The moves that events share: take in the end of an attempt, stop it, end the run.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::resume::Step;
use super::{
    Actual, Alarm, AttemptEnd, AttemptId, AttemptResult, Effect, Ended, Exit, Force, Live, Machine, RestartCause, Run,
    RunResult, ScriptSpec, Stop, StopReason, Timer, Unfinished, Wanted, What, Window,
};
use crate::domain::record::{AttemptRecord, Record};
use crate::domain::restart::{Budget, Success, Verdict, classify, next_try};
use crate::domain::timeline::deadline;

/// A clock that is set by less than this may go unnoticed, and then no boundary comes again.
const UNNOTICED: TimeDelta = TimeDelta::seconds(2);

/// A stop command that takes its time leaves this much of the grace to the signal, or a fifth of it.
const COMMAND_RESERVE: Duration = Duration::from_secs(2);

/// So long before the limit the operator is warned.
const LIMIT_WARNING: TimeDelta = TimeDelta::minutes(15);

impl Run {
    pub(super) fn new(window: Window) -> Self {
        Self {
            window,
            attempts: 0,
            restarts: 0,
            first_start: None,
            deadline: None,
            budget: Budget::default(),
            carried: false,
            last_exit: None,
            ends: None,
            words: String::new(),
            forced: false,
        }
    }

    /// The identity of the latest attempt.
    pub(super) fn attempt(&self, spec: &ScriptSpec) -> AttemptId {
        AttemptId { script: spec.name.clone(), trading_date: self.window.trading_date, number: self.attempts }
    }

    /// Whether the open of its session re-arms it: not if it was carried over at that very instant.
    pub(super) fn rearms(&self) -> bool {
        !self.carried || self.window.open > self.window.start
    }

    fn rearm_at(&self) -> Option<DateTime<Utc>> {
        self.rearms().then_some(self.window.open)
    }

    /// Why, and as what, a completed stop ends this run; None if it does not.
    pub(super) fn ended(&self) -> Option<(String, RunResult)> {
        let reason = self.ends?;
        let is_said = reason == StopReason::Operator && !self.words.is_empty();
        Some((if is_said { self.words.clone() } else { reason.to_string() }, reason.ends_run()?))
    }

    /// No attempt begins at or after this.
    pub(super) fn end(&self) -> DateTime<Utc> {
        let stop = if self.window.joined { DateTime::<Utc>::MAX_UTC } else { self.window.stop };
        self.deadline.map_or(stop, |at| at.min(stop))
    }
}

impl Machine<'_> {
    pub(super) fn tell(&mut self, run: &Run, what: What) {
        self.effects.push(Effect::Tell { trading_date: run.window.trading_date, attempt: run.attempts, what });
    }

    pub(super) fn tell_starting(&mut self, run: &Run) {
        self.tell(run, What::Starting { command: self.spec.launch.display.clone() });
    }

    pub(super) fn disarm_waits(&mut self) {
        self.effects.extend([Effect::Disarm(Timer::Backoff), Effect::Disarm(Timer::Cooldown)]);
        if !self.spec.wait_for.is_empty() {
            self.effects.push(Effect::Disarm(Timer::Outside));
        }
    }

    /// Asks it to end: by its stop command, if it has one, and then by the signal.
    #[must_use]
    fn ask(&mut self, attempt: &AttemptId) -> Force {
        if self.spec.stop_command.is_none() {
            return self.signal(attempt);
        }
        let grace = self.spec.stop.grace;
        // What is left of the grace is the signal's.
        let limit = grace - (grace / 5).min(COMMAND_RESERVE);
        self.effects.push(Effect::RunStopCommand { attempt: attempt.clone(), limit });
        self.effects.push(Effect::Arm { timer: Timer::Grace, after: grace, attempt: attempt.clone() });
        Force::Commanded { kill_at: self.now.wall_after(grace), gone: false }
    }

    #[must_use]
    pub(super) fn signal(&mut self, attempt: &AttemptId) -> Force {
        let stop = self.spec.stop;
        self.effects.push(Effect::Signal { attempt: attempt.clone(), signal: stop.signal });
        self.effects.push(Effect::Arm { timer: Timer::Grace, after: stop.grace, attempt: attempt.clone() });
        Force::Asked { kill_at: self.now.wall_after(stop.grace) }
    }

    #[must_use]
    pub(super) fn kill(&mut self, run: &Run, attempt: &AttemptId) -> Force {
        self.tell(run, What::Killing);
        self.effects.push(Effect::Disarm(Timer::Grace));
        self.effects.push(Effect::Kill { attempt: attempt.clone() });
        Force::Killed
    }

    /// The daemon ends, the run does not: the next daemon takes it up.
    pub(super) fn leave_unfinished(&mut self, run: Run, step: Step) -> Actual {
        self.disarm_waits();
        self.clear_alarms(&run);
        self.memory.unfinished = Some(Unfinished::new(run, step, self.now));
        Actual::Off
    }

    /// The clock was set back to before the window of this run: nothing is started until it opens (again). Windows that touch are one span,
    /// and nothing of that is early.
    pub(super) fn is_early(&self, run: &Run) -> bool {
        // No window is open: this one is to come, and its start will be told.
        if run.forced {
            return false;
        }
        let is_told = self.wanted == Wanted::Down && self.now.wall < run.window.start;
        is_told || !run.carried && !run.window.joined && !self.has_begun(&run.window)
    }

    fn has_begun(&self, window: &Window) -> bool {
        self.now.wall >= window.start - UNNOTICED
    }

    /// The run waits for its own window; if another one is open meanwhile, that is begun.
    pub(super) fn put_off(&mut self, run: Run) -> Actual {
        let off = self.leave_unfinished(run, Step::Cut);
        self.memory.unfinished = self.memory.unfinished.take().map(Unfinished::put_off);
        match &self.wanted {
            Wanted::Up(window, arrival) if self.has_begun(window) => {
                let (window, arrival) = (window.clone(), *arrival);
                self.begin(window, arrival)
            }
            Wanted::Up(..) | Wanted::Down | Wanted::Ended => off,
        }
    }

    /// The run in its window as that is now. A limit that the stop made void may count again, and the other way round.
    pub(super) fn in_window(&mut self, run: Run, window: Window) -> Run {
        if run.window == window {
            return run;
        }
        let has_moved = run.window.stop != window.stop;
        let (deadline_before, end_before) = (run.deadline, run.end());
        let deadline = run.first_start.and_then(|at| deadline(at, self.spec.max_duration, window.stop));
        let run = Run { window, deadline, ..run };
        if has_moved {
            self.tell(&run, What::StopMoved { to: run.window.stop });
        }
        if run.deadline != deadline_before {
            self.set_alarms(&run);
        } else if run.end() != end_before && run.first_start.is_some() {
            self.set_warning(&run);
        }
        run
    }

    pub(super) fn note_attempt(&mut self, id: &AttemptId, tell: impl FnOnce(&mut AttemptRecord)) {
        let mut record = AttemptRecord { id: id.clone(), start: None, process: None, end: None };
        tell(&mut record);
        self.records.push(Record::Attempt(record));
    }

    pub(super) fn clear_alarms(&mut self, run: &Run) {
        if run.deadline.is_some() {
            self.effects.push(Effect::SetAlarm { alarm: Alarm::LimitNear, at: None });
            self.effects.push(Effect::SetAlarm { alarm: Alarm::Limit, at: None });
        }
        if self.spec.warn.is_some() && run.first_start.is_some() {
            self.effects.push(Effect::SetAlarm { alarm: Alarm::Warn, at: None });
        }
        if run.forced {
            self.effects.push(Effect::SetAlarm { alarm: Alarm::ForcedEnd, at: None });
        }
    }

    pub(super) fn set_alarms(&mut self, run: &Run) {
        let near = run.deadline.map(|at| at - LIMIT_WARNING).filter(|at| *at > self.now.wall);
        self.effects.push(Effect::SetAlarm { alarm: Alarm::LimitNear, at: near });
        self.effects.push(Effect::SetAlarm { alarm: Alarm::Limit, at: run.deadline });
        self.set_warning(run);
    }

    /// Where the stop has come so near that the time to warn is past, it is now.
    pub(super) fn set_warning(&mut self, run: &Run) {
        let Some(warn) = self.spec.warn else { return };
        let end = run.end();
        let lead = TimeDelta::from_std(warn.lead).unwrap_or(TimeDelta::MAX);
        let at = Some(end).filter(|end| self.now.wall < *end && *end < DateTime::<Utc>::MAX_UTC);
        let at = at.and_then(|end| end.checked_sub_signed(lead)).map(|at| at.max(self.now.wall));
        self.effects.push(Effect::SetAlarm { alarm: Alarm::Warn, at });
    }

    pub(super) fn after_failed_spawn(&mut self, mut run: Run, attempt: AttemptId) -> Actual {
        let result = AttemptResult::SpawnFailed;
        let end = AttemptEnd { exit: None, result, at: self.now.wall };
        self.note_attempt(&attempt, |record| record.end = Some(end));
        run.last_exit = Some(end);
        self.follow(run, attempt, result, None, Duration::ZERO)
    }

    /// An attempt ended by itself, and nothing of it is left.
    pub(super) fn conclude(&mut self, mut run: Run, attempt: AttemptId, ended: Ended) -> Actual {
        let Ended { exit, lived } = ended;
        let result = classify(exit, lived, &self.spec.exits);
        let end = AttemptEnd { exit: Some(exit), result, at: self.now.wall };
        self.note_attempt(&attempt, |record| record.end = Some(end));
        run.last_exit = Some(end);
        self.tell(&run, What::Exited { exit, result });
        if matches!(result, AttemptResult::Crashed | AttemptResult::Signaled) {
            self.effects.push(Effect::ReportTail { attempt });
        }
        let latest = run.attempt(self.spec);
        self.follow(run, latest, result, Some(exit), lived)
    }

    /// What follows an attempt that ended by itself.
    pub(super) fn follow(
        &mut self,
        mut run: Run,
        attempt: AttemptId,
        result: AttemptResult,
        exit: Option<Exit>,
        lived: Duration,
    ) -> Actual {
        let verdict = run.budget.after(result, exit, lived, &self.spec.exits, &self.spec.restart, self.now);
        match verdict {
            Verdict::Done(Success::Plain) => {
                self.end(run, RunResult::Succeeded, "it exited with a success code".to_owned())
            }
            Verdict::Done(Success::Early) => self.end(run, RunResult::FinishedEarly, "it finished early".to_owned()),
            Verdict::Final(reason) => {
                self.escalate(reason);
                self.end(run, RunResult::Failed, reason.to_owned())
            }
            // Its wait is for the next daemon to begin anew.
            Verdict::Again { .. } | Verdict::GiveUp { .. } if run.ends.is_some() => self.end_or_put_off(run),
            Verdict::Again { .. } | Verdict::GiveUp { .. } if self.wanted == Wanted::Ended => {
                self.leave_unfinished(run, Step::Cut)
            }
            Verdict::Again { .. } | Verdict::GiveUp { .. } if self.is_early(&run) => self.put_off(run),
            // Its crash has been told; no attempt follows for the time being.
            Verdict::Again { .. } | Verdict::GiveUp { .. } if self.held_back().is_some() => self.pause_run(run),
            Verdict::Again { delay, restart } => self.back_off(run, attempt, delay, restart),
            Verdict::GiveUp { first } => self.give_up(run, attempt, first),
        }
    }

    fn back_off(&mut self, run: Run, attempt: AttemptId, delay: Duration, restart: u32) -> Actual {
        let end = self.end_of(&run);
        // A delay that would end at or after the stop is not served; an open before it still brings a try.
        let Some(next_try) = next_try(Some(delay), run.rearm_at(), end, self.now) else {
            let step = Step::Backoff { next_try: self.now.wall_after(delay), restart };
            return self.end_between_attempts(run, step, "no attempt fits into the rest of its time");
        };
        self.tell(&run, What::RestartScheduled { delay, restart, of: self.spec.restart.max_restarts });
        if self.now.wall_after(delay) < end {
            self.effects.push(Effect::Arm { timer: Timer::Backoff, after: delay, attempt: attempt.clone() });
        }
        Actual::Backoff { run, after: attempt, next_try, restart }
    }

    fn give_up(&mut self, run: Run, attempt: AttemptId, first: bool) -> Actual {
        let policy = &self.spec.restart;
        let end = self.end_of(&run);
        // After a critical script nothing is tried: everything stops.
        let next = next_try(policy.cooldown, run.rearm_at(), end, self.now).filter(|_| !self.spec.critical);
        let reason = format!(
            "more than {} restarts within {}",
            policy.max_restarts,
            super::super::notice::compact(policy.within)
        );
        if first {
            self.tell(&run, What::GaveUp { reason: reason.clone(), next_try: next });
            self.escalate(&reason);
        }
        let Some(next_try) = next else {
            let Some(cooldown) = policy.cooldown.filter(|_| !self.spec.critical) else {
                return self.end(run, RunResult::Failed, reason);
            };
            let step = Step::GivenUp { next_try: self.now.wall_after(cooldown) };
            return self.end_with_window(run, step, RunResult::Failed, reason);
        };
        if let Some(after) = policy.cooldown.filter(|d| self.now.wall_after(*d) < end) {
            if !first {
                self.tell(&run, What::TryScheduled { delay: after });
            }
            self.effects.push(Effect::Arm { timer: Timer::Cooldown, after, attempt: attempt.clone() });
        }
        Actual::GivenUp { run, after: attempt, next_try }
    }

    pub(super) fn escalate(&mut self, reason: &str) {
        if self.spec.critical {
            self.memory.escalated = Some(format!("critical script {} failed: {reason}", self.spec.name));
        }
    }

    /// No attempt of this run begins at or after this; a run whose window is not wanted any more has no time left.
    fn end_of(&self, run: &Run) -> DateTime<Utc> {
        match &self.wanted {
            Wanted::Up(window, _) if window.trading_date == run.window.trading_date => run.end(),
            Wanted::Down if run.forced => run.end(),
            Wanted::Up(..) | Wanted::Down | Wanted::Ended => self.now.wall,
        }
    }

    /// Delay and budget are fresh again, unless they were carried over at this very open: then what was spent travels.
    pub(super) fn rearm(&mut self, run: &mut Run) {
        if run.rearms() && !run.budget.is_fresh() {
            run.budget = Budget::default();
            self.tell(run, What::Rearmed);
        }
    }

    pub(super) fn stop(&mut self, run: Run, live: Live, reason: StopReason) -> Actual {
        self.stop_and_end(run, live, reason, reason.ends_run().map(|_| reason))
    }

    /// The process is stopped for `reason`; the run is over only if it `ends`.
    pub(super) fn stop_and_end(
        &mut self,
        run: Run,
        live: Live,
        reason: StopReason,
        ends: Option<StopReason>,
    ) -> Actual {
        let words = if matches!(reason, StopReason::Operator | StopReason::Restart) {
            run.words.clone()
        } else {
            String::new()
        };
        self.tell(&run, What::Stopping { reason, words, pid: live.process.pid });
        self.neglect(&live);
        let force = self.ask(&live.attempt);
        Actual::Stopping { run, live, stop: Stop { reason, ends, force, exit: None } }
    }

    /// Nothing of the attempt is left.
    pub(super) fn finish_stop(&mut self, mut run: Run, live: &Live, stop: &Stop) -> Actual {
        let attempt = &live.attempt;
        self.effects.push(Effect::Disarm(Timer::Grace));
        let killed = matches!(stop.force, Force::Killed | Force::Survived);
        let plain = if killed { AttemptResult::KilledAfterGrace } else { AttemptResult::Stopped };
        let result = stop.reason.failure().unwrap_or(plain);
        if let Some(exit) = stop.exit {
            self.tell(&run, What::Exited { exit, result });
        }
        self.tell(&run, What::Stopped { killed });
        let end = AttemptEnd { exit: stop.exit, result, at: self.now.wall };
        self.note_attempt(attempt, |record| record.end = Some(end));
        run.last_exit = Some(end);
        run.ends = stop.ends;
        if let Some(window) = self.more_time(&run) {
            return self.resume(Unfinished::new(run, Step::Cut, self.now).put_off(), window);
        }
        if run.ends.is_none() {
            match (stop.reason, stop.reason.failure()) {
                (_, Some(failure)) => return self.after_failed_stop(run, failure, live),
                (StopReason::Restart, None) => return self.start_after_stop(run, RestartCause::Operator),
                (StopReason::Dependency, None) => return self.start_after_stop(run, RestartCause::Dependency),
                // Only the end of the daemon is left: the next one goes on with it.
                (_, None) => {}
            }
        }
        self.end_or_put_off(run)
    }

    fn end_or_put_off(&mut self, run: Run) -> Actual {
        match run.ended() {
            Some((reason, result)) => self.end(run, result, reason),
            None => self.put_off(run),
        }
    }

    /// The next process, for which the one before had to go. The window may have moved meanwhile, or the next one that touches it opened.
    fn start_after_stop(&mut self, run: Run, cause: RestartCause) -> Actual {
        let cause = Some(cause);
        match self.wanted.clone() {
            Wanted::Up(window, _) if window.trading_date == run.window.trading_date && self.has_begun(&window) => {
                let run = self.in_window(run, window);
                self.start(run, cause)
            }
            Wanted::Up(window, _) if run.window.joined && window.trading_date > run.window.trading_date => {
                let run = self.carry(run, window, 0);
                self.start(run, cause)
            }
            Wanted::Down if self.is_forced_now(&run) => self.start(run, cause),
            Wanted::Up(..) | Wanted::Down | Wanted::Ended => self.put_off(run),
        }
    }

    /// The run goes over to the next date: windows touch. Budget and backoff travel.
    pub(super) fn carry(&mut self, run: Run, window: Window, attempts: u32) -> Run {
        self.tell(&run, What::Carried { to: window.trading_date });
        self.note_end(&run, RunResult::Carried, "goes on as the run of the next trading date");
        self.memory.remember(run.window.trading_date, RunResult::Carried);
        let first_start = (attempts > 0).then_some(self.now.wall);
        let deadline = first_start.and_then(|at| deadline(at, self.spec.max_duration, window.stop));
        let next = Run { window, attempts, restarts: 0, first_start, deadline, carried: true, ..run };
        self.set_alarms(&next);
        next
    }

    /// Nothing went wrong with a run that has not begun: its window did not go by in vain, unless an operator wanted that, and no predecessor
    /// has failed.
    fn is_skip_planned(&self, run: &Run) -> bool {
        let date = run.window.trading_date;
        let has_failed = self.spec.depends_on.iter().any(|on| self.memory.standings.has_failed(&on.script, date));
        self.held_back().is_some() || self.now.wall < run.window.stop && !has_failed
    }

    /// The run is over; the level says what comes next.
    pub(super) fn end(&mut self, mut run: Run, result: RunResult, reason: String) -> Actual {
        let trading_date = run.window.trading_date;
        if self.is_outside(&run) && self.now.wall < run.window.start {
            // This is when it ended; its window is still to come, and has time of its own.
            run.window.stop = self.now.wall;
            self.memory.doubtful = Some(Unfinished::new(run.clone(), Step::Cut, self.now).put_off());
        }
        let planned = self.is_skip_planned(&run);
        self.memory.foiled = (result == RunResult::Skipped && !planned).then_some(trading_date);
        let what = match result {
            RunResult::Skipped => What::Skipped { reason: reason.clone(), planned },
            _ => What::Finished { result, reason: reason.clone() },
        };
        if result == RunResult::WindowEnd {
            // Should the calendar give the window more time, it goes on.
            self.memory.doubtful = Some(Unfinished::new(run.clone(), Step::Cut, self.now).put_off());
        }
        self.note_end(&run, result, &reason);
        self.tell(&run, what);
        self.disarm_waits();
        self.clear_alarms(&run);
        self.memory.remember(trading_date, result);
        match &self.wanted {
            // The next window opened while this run was being ended.
            Wanted::Up(window, arrival) if window.trading_date != trading_date => {
                let (window, arrival) = (window.clone(), *arrival);
                self.begin(window, arrival)
            }
            Wanted::Up(..) | Wanted::Down | Wanted::Ended => {
                Actual::Over { trading_date, result, reason, run: Some(run) }
            }
        }
    }
}
