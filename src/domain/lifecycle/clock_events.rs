//! What the market clock's words mean in each state. Every pair is written out; an ignored one says why.

use super::resume::{Step, Unfinished};
use super::{Actual, Alarm, Effect, Machine, NaiveDate, RunResult, Stop, StopReason, Wanted, What, Window};
use crate::domain::outcome::AttemptResult;
use crate::domain::timeline::{Absence, Arrival};
use chrono_tz::Tz;

/// Why a window went by without a run of its own.
const IN_THE_WAY: &str = "processes of the run before it had not ended";
const CLOCK_WENT_BACK: &str = "the run of a later date was at work, and the clock was set back";

impl Machine<'_> {
    pub(super) fn on_window_open(&mut self, actual: Actual, window: Window, arrival: Arrival) -> Actual {
        if self.wanted == Wanted::Ended {
            return actual; // nothing starts any more
        }
        let date = window.trading_date;
        if !matches!(&self.wanted, Wanted::Up(before, _) if before.trading_date == date) {
            self.forgo(&actual);
        }
        self.wanted = Wanted::Up(window.clone(), arrival);
        match actual {
            Actual::Over { trading_date, result, .. }
                if trading_date == date
                    && !matches!(result, RunResult::Missed | RunResult::Interrupted)
                    && !self.is_skipped_no_longer(&window, result)
                    && !self.is_extended(&window) =>
            {
                actual
            }
            Actual::Off | Actual::Over { .. } => self.begin(window, arrival),
            // The same date again: the level was repeated, perhaps with another stop.
            Actual::Waiting { run, on, cause, waits } if run.window.trading_date == date => {
                let run = self.in_window(run, window);
                self.go_on_waiting(run, on, cause, waits) // who does not run on this date may be news
            }
            Actual::Starting { run, attempt, cause, held } if run.window.trading_date == date => {
                let run = self.in_window(run, window);
                Actual::Starting { run, attempt, cause, held }
            }
            Actual::Held { run, attempt, cause, on } if run.window.trading_date == date => {
                let run = self.in_window(run, window);
                Actual::Held { run, attempt, cause, on }
            }
            Actual::Running { run, live } if run.window.trading_date == date => {
                let run = self.in_window(run, window);
                Actual::Running { run, live }
            }
            Actual::Backoff { run, after, next_try, restart } if run.window.trading_date == date => {
                let run = self.in_window(run, window);
                Actual::Backoff { run, after, next_try, restart }
            }
            Actual::GivenUp { run, after, next_try } if run.window.trading_date == date => {
                let run = self.in_window(run, window);
                Actual::GivenUp { run, after, next_try }
            }
            Actual::Sweeping { run, live, ended, force } if run.window.trading_date == date => {
                let run = self.in_window(run, window);
                Actual::Sweeping { run, live, ended, force }
            }
            Actual::Paused { run } if run.window.trading_date == date => {
                let run = self.in_window(run, window);
                Actual::Paused { run }
            }
            // The next date, and nobody said that the window of this one ended: they touch.
            Actual::Running { run, live } => {
                let run = self.carry(run, window, 1);
                self.effects.push(Effect::CarryOutput { attempt: live.attempt.clone(), trading_date: date });
                Actual::Running { run, live }
            }
            Actual::Starting { run, attempt, cause, held } => {
                let run = self.carry(run, window, 1);
                Actual::Starting { run, attempt, cause, held }
            }
            Actual::Backoff { run, after, next_try, restart } => {
                let run = self.carry(run, window, 0);
                Actual::Backoff { run, after, next_try, restart }
            }
            Actual::Waiting { run, on, .. } if run.attempts == 0 => {
                self.end(run, RunResult::Skipped, format!("waited in vain: {on}"))
            }
            Actual::Waiting { run, on, cause, waits } => {
                let run = self.carry(run, window, 0);
                self.go_on_waiting(run, on, cause, waits)
            }
            Actual::Paused { run } => self.end_paused(run),
            Actual::Held { run, cause, on, .. } => self.end_held(run, cause, &on),
            Actual::GivenUp { run, .. } => self.end(run, RunResult::Failed, "gave up".to_owned()),
            // What is being ended is ended first; then the level says what comes next.
            Actual::Stopping { .. } | Actual::Sweeping { .. } => actual,
        }
    }

    /// The clock was set back into an earlier date while a later one is at work. Nothing is ended early: a process goes on until the window
    /// that is open now ends. Without a process the later date waits for its own time.
    pub(super) fn on_earlier_window_open(&mut self, actual: Actual, window: Window, arrival: Arrival) -> Actual {
        // Nothing starts any more; or this window and those after it are one span, in which the live run goes on.
        if self.wanted == Wanted::Ended || window.joined {
            return actual;
        }
        self.wanted = Wanted::Up(window, arrival);
        match actual {
            Actual::Waiting { run, .. }
            | Actual::Paused { run }
            | Actual::Backoff { run, .. }
            | Actual::GivenUp { run, .. } => self.put_off(run),
            Actual::Held { run, cause, .. } => {
                let run = self.take_back(run, cause);
                self.put_off(run)
            }
            Actual::Starting { .. } | Actual::Running { .. } | Actual::Stopping { .. } | Actual::Sweeping { .. } => {
                actual
            }
            Actual::Off | Actual::Over { .. } => actual, // not at work
        }
    }

    pub(super) fn on_window_close(&mut self, actual: Actual, date: NaiveDate) -> Actual {
        if matches!(&self.wanted, Wanted::Up(window, _) if window.trading_date == date) {
            self.forgo(&actual);
            self.wanted = Wanted::Down;
            self.memory.closed = Some(date);
        }
        let mut actual = actual;
        if let Some(run) = actual.run_mut().filter(|run| run.window.trading_date == date) {
            // Where a change of the calendar ends it before its time, this is when it ended: another change may give it that time again.
            run.window.stop = run.window.stop.min(self.now.wall);
        }
        match actual {
            Actual::Waiting { run, on, .. } if run.window.trading_date == date => self.end_waiting(run, &on),
            Actual::Paused { run } if run.window.trading_date == date => self.end_paused(run),
            Actual::Held { run, cause, on, .. } if run.window.trading_date == date => self.end_held(run, cause, &on),
            Actual::Backoff { run, next_try, restart, .. } if run.window.trading_date == date => {
                let step = Step::Backoff { next_try, restart };
                self.end_between_attempts(run, step, "its window ended before the next attempt")
            }
            Actual::GivenUp { run, next_try, .. } if run.window.trading_date == date => {
                self.end_with_window(run, Step::GivenUp { next_try }, RunResult::Failed, "gave up".to_owned())
            }
            // It was put off, and now its window will not come.
            Actual::Off | Actual::Over { .. }
                if self.memory.unfinished.as_ref().is_some_and(|left| left.trading_date() == date) =>
            {
                self.end_put_off(actual)
            }
            Actual::Running { run, live } if run.window.trading_date == date => {
                self.stop(run, live, StopReason::WindowEnd)
            }
            // Its own window is to come (again): it goes on then.
            Actual::Running { run, live } if run.window.trading_date > date && self.is_early(&run) => {
                self.stop_and_end(run, live, StopReason::WindowEnd, None)
            }
            Actual::Stopping { run, live, stop } if run.window.trading_date == date => {
                Actual::Stopping { run, live, stop: stop.also(StopReason::WindowEnd) }
            }
            // The answer to the spawn comes next and finds nothing wanted.
            Actual::Starting { .. } => actual,
            // It ended by itself before its window did: an ordinary exit, judged when the rest is gone.
            Actual::Sweeping { .. } => actual,
            // Over already, or of a date that is not the live one's: nothing to end.
            Actual::Off
            | Actual::Over { .. }
            | Actual::Waiting { .. }
            | Actual::Paused { .. }
            | Actual::Held { .. }
            | Actual::Backoff { .. }
            | Actual::GivenUp { .. }
            | Actual::Running { .. }
            | Actual::Stopping { .. } => actual,
        }
    }

    fn end_put_off(&mut self, actual: Actual) -> Actual {
        let Some(unfinished) = self.memory.unfinished.take() else { return actual };
        let mut run = unfinished.into_run();
        run.window.stop = run.window.stop.min(self.now.wall);
        if run.attempts == 0 {
            let reason = "its window was put off, and then did not come".to_owned();
            return self.end_with_window(run, Step::Cut, RunResult::Skipped, reason);
        }
        let why = "its window was put off, and then did not come";
        match run.last_exit.map(|last| last.result) {
            // Nothing was wrong with it: it was stopped with a daemon.
            Some(AttemptResult::Stopped | AttemptResult::KilledAfterGrace | AttemptResult::Lost) => {
                self.end_with_window(run, Step::Cut, RunResult::WindowEnd, why.to_owned())
            }
            _ => self.end_between_attempts(run, Step::Cut, why),
        }
    }

    /// The calendar has changed, and the window begins later than now: a process goes on, everything else waits for the window.
    pub(super) fn on_window_moved(&mut self, actual: Actual, window: Window) -> Actual {
        let date = window.trading_date;
        if matches!(&self.wanted, Wanted::Up(before, _) if before.trading_date == date) {
            self.wanted = Wanted::Down;
        }
        if self.wanted == Wanted::Ended || !actual.is_at_work_on(date) {
            return actual; // nothing starts any more, or nothing had begun
        }
        let mut actual = actual;
        if let Some(run) = actual.run_mut() {
            // It may have come here from the date before; now it has a beginning of its own.
            run.carried = false;
            let pid = match &actual {
                Actual::Running { live, .. } => Some(live.process.pid),
                _ => None,
            };
            self.effects.push(Effect::Tell {
                trading_date: date,
                attempt: 0,
                what: What::StartMoved { to: window.start, pid },
            });
        }
        match actual {
            Actual::Waiting { run, .. }
            | Actual::Paused { run }
            | Actual::Backoff { run, .. }
            | Actual::GivenUp { run, .. } => {
                let run = self.in_window(run, window);
                self.put_off(run)
            }
            Actual::Held { run, cause, .. } => {
                let run = self.take_back(run, cause);
                let run = self.in_window(run, window);
                self.put_off(run)
            }
            Actual::Starting { run, attempt, cause, held } => {
                let run = self.in_window(run, window);
                Actual::Starting { run, attempt, cause, held }
            }
            Actual::Running { run, live } => {
                let run = self.in_window(run, window);
                Actual::Running { run, live }
            }
            // It is being ended because its window was to be over; that is to come again.
            Actual::Stopping { run, live, stop } => {
                let run = self.in_window(run, window);
                let ends = stop.ends.filter(|reason| *reason != StopReason::WindowEnd);
                Actual::Stopping { run, live, stop: Stop { ends, ..stop } }
            }
            Actual::Sweeping { run, live, ended, force } => {
                let run = self.in_window(run, window);
                Actual::Sweeping { run, live, ended, force }
            }
            Actual::Off | Actual::Over { .. } => actual, // not at work
        }
    }

    /// A window that was wanted goes by without a run of its own, because another one has not ended: it gets its result all the same.
    fn forgo(&mut self, actual: &Actual) {
        let Wanted::Up(window, _) = &self.wanted else { return };
        let date = window.trading_date;
        let has_run = actual.run().is_some_and(|run| run.window.trading_date == date);
        // One that was cut off gets its result when it is judged.
        let is_cut = self.memory.unfinished.as_ref().is_some_and(|left| left.trading_date() == date);
        if has_run || is_cut || self.memory.result(date).is_some() {
            return;
        }
        let zone = window.zone;
        let result = RunResult::Missed;
        let reason = if actual.is_at_work_after(date) { CLOCK_WENT_BACK } else { IN_THE_WAY }.to_owned();
        self.memory.remember(date, result);
        self.note_unseen(date, zone, result, reason.clone());
        let what = What::Finished { result, reason };
        self.effects.push(Effect::Tell { trading_date: date, attempt: 0, what });
    }

    /// The watcher is new and finds no window: a run that was cut off has no more time, unless its window is (again) to come, because the clock
    /// was set back or the window was moved.
    pub(super) fn on_no_window(&mut self, actual: Actual, upcoming: Option<NaiveDate>) -> Actual {
        let is_forced = |left: &mut Unfinished| {
            let run = left.run();
            run.forced && run.ended().is_none() && self.wanted == Wanted::Down && self.now.wall < run.window.stop
        };
        if let Some(unfinished) = self.memory.unfinished.take_if(is_forced) {
            // It went on outside its window when its watcher died, and still does.
            let window = unfinished.run().window.clone();
            self.effects.push(Effect::SetAlarm { alarm: Alarm::ForcedEnd, at: Some(window.stop) });
            return self.resume(unfinished, window);
        }
        let is_over = |unfinished: &Unfinished| upcoming.is_none_or(|next| unfinished.trading_date() < next);
        let Some(unfinished) = self.memory.unfinished.as_ref().filter(|unfinished| is_over(unfinished)) else {
            return actual; // nothing was cut off
        };
        if unfinished.window_end() > self.now.wall {
            return self.end_put_off(actual); // its window was taken away
        }
        match self.memory.unfinished.take() {
            Some(unfinished) => self.end_unwatched(unfinished),
            None => actual,
        }
    }

    pub(super) fn on_window_passed(&mut self, actual: Actual, window: &Window, absence: Absence) -> Actual {
        let date = window.trading_date;
        if actual.is_at_work_on(date) {
            // It was at work since before the clock was set back, and now its window is over, unless another one goes on from it.
            return if window.joined { actual } else { self.on_window_close(actual, date) };
        }
        if self.wanted == Wanted::Ended || self.memory.result(date).is_some() {
            return actual;
        }
        let is_free = matches!(actual, Actual::Off | Actual::Over { .. });
        if let Some(unfinished) = self.memory.unfinished.take_if(|left| is_free && left.trading_date() == date) {
            return self.end_unwatched(unfinished);
        }
        if self.memory.unfinished.as_ref().is_some_and(|left| left.trading_date() == date) {
            return actual; // of another date; when that is over, this one gets its result
        }
        if let Some(reason) = self.held_on(window) {
            let what = What::Skipped { reason: reason.clone(), planned: true };
            return self.conclude_unseen(actual, (date, window.zone), RunResult::Skipped, what, reason);
        }
        let reason = absence.reason().to_owned();
        let what = What::Finished { result: RunResult::Missed, reason: reason.clone() };
        self.conclude_unseen(actual, (date, window.zone), RunResult::Missed, what, reason)
    }

    pub(super) fn on_window_skipped(&mut self, actual: Actual, date: NaiveDate, zone: Tz, reason: String) -> Actual {
        let is_known = self.memory.result(date).is_some() || actual.is_at_work_on(date);
        if self.wanted == Wanted::Ended || is_known {
            return actual; // somebody may have forced it all the same
        }
        if self.memory.unfinished.as_ref().is_some_and(|left| left.trading_date() == date) {
            return self.end_put_off(actual); // it had begun, and now it sits the rest out
        }
        let what = What::Skipped { reason: reason.clone(), planned: true };
        self.conclude_unseen(actual, (date, zone), RunResult::Skipped, what, reason)
    }

    /// A date that is over without having begun. A live run of another date is not touched by it.
    fn conclude_unseen(
        &mut self,
        actual: Actual,
        (date, zone): (NaiveDate, Tz),
        result: RunResult,
        what: What,
        reason: String,
    ) -> Actual {
        self.memory.remember(date, result);
        self.note_unseen(date, zone, result, reason.clone());
        self.effects.push(Effect::Tell { trading_date: date, attempt: 0, what });
        match actual {
            Actual::Off | Actual::Over { .. } => Actual::Over { trading_date: date, result, reason, run: None },
            Actual::Waiting { .. }
            | Actual::Paused { .. }
            | Actual::Starting { .. }
            | Actual::Held { .. }
            | Actual::Running { .. }
            | Actual::Stopping { .. }
            | Actual::Sweeping { .. }
            | Actual::Backoff { .. }
            | Actual::GivenUp { .. } => actual,
        }
    }

    pub(super) fn on_session_open(&mut self, actual: Actual) -> Actual {
        match actual {
            Actual::Backoff { mut run, .. } | Actual::GivenUp { mut run, .. } if run.rearms() => {
                self.rearm(&mut run);
                self.disarm_waits();
                let cause = run.failure_cause();
                self.start(run, Some(cause))
            }
            Actual::Waiting { mut run, on, cause, waits } => {
                self.rearm(&mut run);
                Actual::Waiting { run, on, cause, waits }
            }
            Actual::Starting { mut run, attempt, cause, held } => {
                self.rearm(&mut run);
                Actual::Starting { run, attempt, cause, held }
            }
            Actual::Held { mut run, attempt, cause, on } => {
                self.rearm(&mut run);
                Actual::Held { run, attempt, cause, on }
            }
            Actual::Running { mut run, live } => {
                self.rearm(&mut run);
                Actual::Running { run, live }
            }
            Actual::Sweeping { mut run, live, ended, force } => {
                self.rearm(&mut run);
                Actual::Sweeping { run, live, ended, force }
            }
            Actual::Paused { mut run } => {
                self.rearm(&mut run);
                Actual::Paused { run }
            }
            // Nothing was spent, or nothing will be spent any more.
            Actual::Off | Actual::Stopping { .. } | Actual::Over { .. } => actual,
            // Carried over at this very instant: the wait travels.
            Actual::Backoff { .. } | Actual::GivenUp { .. } => actual,
        }
    }

    pub(super) fn on_limit_near(&mut self, actual: Actual) -> Actual {
        // Where the clock jumped over both, the limit itself is told in this same turn.
        if let (Actual::Running { run, .. }, Some(limit)) = (&actual, self.spec.max_duration)
            && run.deadline.is_none_or(|at| self.now.wall < at)
            && let Some(first) = run.first_start
        {
            let ran = (self.now.wall - first).to_std().unwrap_or_default();
            let ran = std::time::Duration::from_secs(ran.as_secs());
            self.tell(run, What::LimitNear { ran, limit });
        }
        actual // without a process there is nobody to warn of
    }

    pub(super) fn on_limit(&mut self, actual: Actual) -> Actual {
        let Some(limit) = self.spec.max_duration else { return actual };
        match actual {
            Actual::Running { run, live } => {
                self.tell(&run, What::LimitReached { limit });
                self.stop(run, live, StopReason::TimeLimit)
            }
            Actual::Stopping { run, live, stop } => {
                Actual::Stopping { run, live, stop: stop.also(StopReason::TimeLimit) }
            }
            // Its first attempt has not begun, and with it the limit.
            Actual::Held { run, attempt, cause, on } if run.attempts == 1 => Actual::Held { run, attempt, cause, on },
            Actual::Held { run, cause, .. } => {
                let run = self.take_back(run, cause);
                self.tell(&run, What::LimitReached { limit });
                self.end(run, RunResult::TimeLimit, "max_duration passed while its next attempt was held up".to_owned())
            }
            Actual::Paused { run } if run.attempts == 0 => Actual::Paused { run },
            Actual::Waiting { run, on, cause, waits } if run.attempts == 0 => Actual::Waiting { run, on, cause, waits },
            Actual::Waiting { run, .. }
            | Actual::Paused { run }
            | Actual::Backoff { run, .. }
            | Actual::GivenUp { run, .. } => {
                self.tell(&run, What::LimitReached { limit });
                self.end(
                    run,
                    RunResult::TimeLimit,
                    "max_duration passed while it waited for its next attempt".to_owned(),
                )
            }
            // Judged by its own exit, which came first; no attempt follows, since none would begin before the deadline.
            Actual::Sweeping { .. } => actual,
            // The answer to the spawn comes next, and finds the deadline passed.
            Actual::Starting { .. } => actual,
            // No run, or none that has started: a limit counts from the first start.
            Actual::Off | Actual::Over { .. } => actual,
        }
    }
}
