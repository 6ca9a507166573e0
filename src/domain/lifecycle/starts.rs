//! The moves of a beginning: begin a run, order an attempt, be refused, have a process, run out of time before the next attempt.

use std::time::Duration;

use chrono::TimeDelta;

use super::resume::Step;
use super::{
    Actual, AttemptId, AttemptResult, Care, Effect, LaunchContext, Live, Machine, ProcessId, RestartCause, Run,
    RunResult, StopReason, Timer, Unfinished, WaitsFor, Wanted, What, Window,
};
use crate::domain::dependency::{Verdict as Dependencies, judge};
use crate::domain::record::AttemptStart;
use crate::domain::timeline::{Arrival, deadline};

/// Between two looks whether somebody else still runs the script.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Machine<'_> {
    /// A window is open and nothing of it has begun here.
    pub(super) fn begin(&mut self, window: Window, arrival: Arrival) -> Actual {
        let date = window.trading_date;
        let known = self.memory.result(date);
        // What was there in time, or waited for its turn, does not come too late.
        let is_new = match known {
            None => true,
            Some(RunResult::Missed) => !self.is_doubtful(date),
            Some(_) => false,
        };
        let too_late = self.is_too_late(&window, arrival).filter(|_| is_new);
        if let Some(result) = known {
            let may_go_on = self.is_extended(&window)
                || too_late.is_none() && self.was_judged_too_soon(&window, result)
                || self.is_skipped_no_longer(&window, result);
            if !may_go_on {
                let reason = "it has run on this date".to_owned();
                return Actual::Over { trading_date: date, result, reason, run: None };
            }
            self.memory.forget(date);
            let known = self.memory.doubtful.take_if(|run| run.trading_date() == date);
            if let Some(run) = known.as_ref().map(Unfinished::run).filter(|run| run.forced) {
                // It was forced, and is over; this is its window, and begins anew. The numbers of its attempts are taken.
                let run = Run { attempts: run.attempts, last_exit: run.last_exit, ..Run::new(window) };
                return self.start_when_free(run, None);
            }
            self.memory.unfinished = known.or(self.memory.unfinished.take());
        }
        // One of a later date waits for it: the clock is behind.
        if let Some(unfinished) = self.memory.unfinished.take_if(|unfinished| unfinished.trading_date() <= date) {
            if unfinished.trading_date() == date {
                return self.resume(unfinished, window);
            }
            // Ending it finds that this window is wanted, and begins it.
            return self.end_unwatched(unfinished);
        }
        if let Some(reason) = self.memory.holds.skip(date).map(ToString::to_string) {
            return self.end(Run::new(window), RunResult::Skipped, reason);
        }
        if self.now.wall >= window.stop {
            // One of several windows that touch, and that the clock jumped over.
            let reason = "its whole window went by while the machine slept or the clock was set".to_owned();
            return self.end(Run::new(window), RunResult::Missed, reason);
        }
        let run = Run::new(window);
        if let Some(late) = too_late {
            let reason = format!("came up {} after the start, past start_deadline", humantime::format_duration(late));
            return self.end(run, RunResult::Missed, reason);
        }
        self.start_when_free(run, None)
    }

    /// A date has a result only because its window seemed to have ended without anybody watching; but it has not, so the clock was wrong.
    fn was_judged_too_soon(&self, window: &Window, result: RunResult) -> bool {
        let is_doubtful = || self.memory.doubtful.as_ref().is_some_and(|run| run.trading_date() == window.trading_date);
        let unseen = result == RunResult::Missed || result == RunResult::Interrupted && is_doubtful();
        unseen && self.now.wall < window.stop
    }

    /// A run is over only because its window ended, and the calendar has given the window more time since. A clock that is set back does
    /// not: the window then ends when it did.
    pub(super) fn is_extended(&self, window: &Window) -> bool {
        let by_window = |run: &Run| run.forced || run.ends.is_none_or(|reason| reason == StopReason::WindowEnd);
        let ended = self.memory.doubtful.as_ref().map(Unfinished::run);
        ended.is_some_and(|run| by_window(run) && self.has_more_time(run, window))
    }

    pub(super) fn has_more_time(&self, run: &Run, window: &Window) -> bool {
        let is_longer = run.window.trading_date == window.trading_date && run.window.stop < window.stop;
        is_longer && self.now.wall < window.stop
    }

    fn is_doubtful(&self, date: chrono::NaiveDate) -> bool {
        self.memory.doubtful.as_ref().is_some_and(|run| run.trading_date() == date)
    }

    /// The window as it is now, if it got more time while this run was being ended for its sake alone.
    pub(super) fn more_time(&self, run: &Run) -> Option<Window> {
        let Wanted::Up(window, _) = &self.wanted else { return None };
        let goes_on = run.ends == Some(StopReason::WindowEnd) && self.has_more_time(run, window);
        goes_on.then(|| window.clone())
    }

    /// Nothing of a date has run, and what kept it from running does so no longer.
    pub(super) fn is_skipped_no_longer(&self, window: &Window, result: RunResult) -> bool {
        let judged = || judge(&self.spec.depends_on, &self.memory.standings, &self.memory.absent, window);
        // One that waited until its window ended needs more of it, and is asked about elsewhere.
        let is_open = self.now.wall < window.stop && !self.is_doubtful(window.trading_date);
        let is_held = self.memory.holds.skip(window.trading_date).is_some();
        result == RunResult::Skipped && is_open && !is_held && !matches!(judged(), Dependencies::Never(_))
    }

    /// How late a start would be, if that is later than the script may start.
    fn is_too_late(&self, window: &Window, arrival: Arrival) -> Option<Duration> {
        let limit = TimeDelta::from_std(self.spec.window.start_deadline?).ok()?;
        let late = self.now.wall - window.start;
        (arrival == Arrival::Late && late > limit).then(|| Duration::from_secs(late.num_seconds().unsigned_abs()))
    }

    /// The window of a run that was cut off has ended.
    pub(super) fn end_unwatched(&mut self, unfinished: Unfinished) -> Actual {
        let (result, reason) = self.judge_unwatched(&unfinished);
        self.doubt(&unfinished, result);
        self.end(unfinished.into_run(), result, reason)
    }

    /// Starts the first attempt, or waits for predecessors. `told` is the wait that people know of already.
    pub(super) fn start_when_free(&mut self, run: Run, told: Option<String>) -> Actual {
        if self.held_back().is_some() {
            return self.pause_run(run);
        }
        match judge(&self.spec.depends_on, &self.memory.standings, &self.memory.absent, &run.window) {
            Dependencies::Go => self.look_outside_first(run, None, false),
            Dependencies::Wait(on) => {
                if told.as_ref() != Some(&on) {
                    self.tell(&run, What::Waiting { reason: on.clone() });
                }
                Actual::Waiting { run, on, cause: None, waits: WaitsFor::Predecessors }
            }
            Dependencies::Never(reason) => self.end(run, RunResult::Skipped, reason),
        }
    }

    /// The next attempt, unless an operator forbids it.
    pub(super) fn start(&mut self, run: Run, cause: Option<RestartCause>) -> Actual {
        if self.held_back().is_some() { self.pause_run(run) } else { self.start_when_met(run, cause) }
    }

    pub(super) fn start_now(&mut self, mut run: Run, cause: Option<RestartCause>) -> Actual {
        run.words.clear();
        if self.now.wall >= run.end() {
            return self.end_out_of_time(run, cause);
        }
        run.attempts += 1;
        if cause.is_some_and(RestartCause::is_failure) {
            run.restarts += 1;
        }
        let attempt = run.attempt(self.spec);
        self.order(run, attempt, cause, None)
    }

    /// Orders the process of an attempt; again, where that was refused because of `held`.
    pub(super) fn order(
        &mut self,
        mut run: Run,
        attempt: AttemptId,
        cause: Option<RestartCause>,
        held: Option<String>,
    ) -> Actual {
        if self.is_early(&run) {
            let run = self.take_back(run, cause);
            return self.put_off(run);
        }
        if self.now.wall >= run.end() {
            return self.end_held(run, cause, &held.unwrap_or_default());
        }
        if run.first_start.is_none() {
            run.first_start = Some(self.now.wall);
            run.deadline = deadline(self.now.wall, self.spec.max_duration, run.window.stop);
            self.set_alarms(&run);
        }
        if held.is_none() {
            self.note_start(&attempt, cause);
        }
        let context = LaunchContext {
            session_open: run.window.open,
            session_close: run.window.close,
            early_close: run.window.early_close,
            stop_at: run.window.stop,
            deadline: run.deadline,
            restarted_after: cause,
        };
        self.effects.push(Effect::Spawn { attempt: attempt.clone(), context });
        Actual::Starting { run, attempt, cause, held }
    }

    pub(super) fn note_start(&mut self, attempt: &AttemptId, cause: Option<RestartCause>) {
        let start = AttemptStart { at: self.now.wall, after: cause };
        self.note_attempt(attempt, |record| record.start = Some(start));
    }

    /// Somebody else runs this script at the moment. The attempt has not begun, and is ordered again until it can.
    pub(super) fn hold(
        &mut self,
        run: Run,
        attempt: AttemptId,
        cause: Option<RestartCause>,
        told: Option<String>,
        on: String,
    ) -> Actual {
        if told.as_ref() != Some(&on) {
            self.tell(&run, What::Waiting { reason: on.clone() });
        }
        self.effects.push(Effect::Arm { timer: Timer::Held, after: LOOK_AGAIN, attempt: attempt.clone() });
        Actual::Held { run, attempt, cause, on }
    }

    /// An attempt that never had a process does not count.
    pub(super) fn take_back(&mut self, run: Run, cause: Option<RestartCause>) -> Run {
        self.effects.push(Effect::Disarm(Timer::Held));
        let back = run.clone().without_attempt(cause);
        if back.attempts == 0 {
            self.clear_alarms(&run);
        }
        back
    }

    /// The window of a run ends while somebody else runs its script.
    pub(super) fn end_held(&mut self, run: Run, cause: Option<RestartCause>, on: &str) -> Actual {
        let run = self.take_back(run, cause);
        if run.attempts == 0 {
            return self.end_with_window(run, Step::Cut, RunResult::Skipped, format!("waited in vain: {on}"));
        }
        self.end_between_attempts(run, Step::Cut, &format!("its window ended while it waited: {on}"))
    }

    /// An attempt is due, and its time is over: the clock jumped, and this outran the boundary's own message.
    fn end_out_of_time(&mut self, run: Run, cause: Option<RestartCause>) -> Actual {
        if run.deadline.is_some_and(|at| at <= self.now.wall) {
            return self.end(run, RunResult::TimeLimit, "max_duration passed before its next attempt".to_owned());
        }
        match cause {
            None if run.attempts == 0 => {
                let reason = "waited until its window ended".to_owned();
                self.end_with_window(run, Step::Cut, RunResult::Skipped, reason)
            }
            None | Some(RestartCause::Crash | RestartCause::Watchdog | RestartCause::Dependency) => {
                self.end_between_attempts(run, Step::Cut, "its window ended before the next attempt")
            }
            Some(RestartCause::Daemon | RestartCause::Operator) => {
                self.end(run, RunResult::Interrupted, "its window ended while nobody watched it".to_owned())
            }
        }
    }

    /// The window of a run ends while an operator holds it.
    pub(super) fn end_paused(&mut self, run: Run) -> Actual {
        if run.attempts == 0 {
            let why = self.held_back().unwrap_or_else(|| "paused".to_owned());
            return self.end_with_window(run, Step::Cut, RunResult::Skipped, format!("{why}, until its window ended"));
        }
        self.end_between_attempts(run, Step::Cut, "it was paused until its window ended")
    }

    /// It runs outside its window, and may.
    pub(super) fn is_forced_now(&self, run: &Run) -> bool {
        self.is_outside(run) && self.now.wall < run.window.stop
    }

    /// No further attempt fits: the last one decides. Under `always` it may have been a success. `step` is where it would go on.
    pub(super) fn end_between_attempts(&mut self, run: Run, step: Step, why: &str) -> Actual {
        match run.last_exit.map(|last| last.result) {
            Some(AttemptResult::Succeeded) => {
                let reason = format!("it exited with a success code, and {why}");
                self.end_with_window(run, step, RunResult::Succeeded, reason)
            }
            // Nothing was wrong with it.
            Some(AttemptResult::Stopped | AttemptResult::KilledAfterGrace) => {
                self.end_with_window(run, step, RunResult::WindowEnd, format!("it was stopped, and {why}"))
            }
            _ => self.end_with_window(run, step, RunResult::Failed, format!("its last attempt failed, and {why}")),
        }
    }

    /// The run is over, but only because its window is: with more time it would go on.
    pub(super) fn end_with_window(&mut self, run: Run, step: Step, result: RunResult, reason: String) -> Actual {
        // Where a limit comes before the window's end, that is what ended it.
        if run.deadline.is_none_or(|at| at >= run.window.stop) {
            self.memory.doubtful = Some(Unfinished::new(run.clone(), step, self.now).put_off());
        }
        self.end(run, result, reason)
    }

    /// There is a process: it runs on if it is still wanted.
    pub(super) fn run_or_stop(&mut self, run: Run, attempt: AttemptId, process: ProcessId) -> Actual {
        self.note_attempt(&attempt, |record| record.process = Some(process));
        self.tell_starting(&run);
        self.tell(&run, What::Started { pid: process.pid });
        let care = Care::new(self.spec, self.now.mono);
        let live = Live { attempt, process, since: self.now.mono, started_at: self.now.wall, care };
        if let Some(reason) = run.ends {
            return self.stop(run, live, reason); // somebody wanted that while it was being started
        }
        match &self.wanted {
            Wanted::Up(..) if run.deadline.is_some_and(|at| at <= self.now.wall) => {
                self.stop(run, live, StopReason::TimeLimit)
            }
            Wanted::Up(..) => self.attend(run, live),
            Wanted::Down if run.deadline.is_some_and(|at| at <= self.now.wall) => {
                self.stop(run, live, StopReason::TimeLimit)
            }
            // Its window was moved to later while it was being started; or it is to run outside of it.
            Wanted::Down if self.is_early(&run) || self.is_forced_now(&run) => self.attend(run, live),
            Wanted::Down => self.stop(run, live, StopReason::WindowEnd),
            Wanted::Ended => self.stop(run, live, StopReason::Shutdown),
        }
    }
}
