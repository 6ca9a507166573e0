//! What each event means in each state. Every pair is written out; an ignored one says why.

use super::{
    Actual, Alarm, AttemptId, ClockEvent, Effect, Event, Exit, Force, Live, Machine, NaiveDate, ProcessEvent,
    RestartCause, Run, RunResult, ScriptName, SpawnError, Standing, Stop, StopReason, Timer, Wanted, What, Window,
};
use crate::domain::timeline::Arrival;

impl Machine<'_> {
    pub(super) fn handle(&mut self, actual: Actual, event: Event) -> Actual {
        match event {
            Event::Clock(ClockEvent::WindowOpen { window, arrival, absent }) => {
                self.memory.absent = absent;
                self.on_window_open(actual, window, arrival)
            }
            Event::Clock(ClockEvent::NoWindow) => self.on_no_window(actual),
            Event::Clock(ClockEvent::WindowClose { trading_date }) => self.on_window_close(actual, trading_date),
            Event::Clock(ClockEvent::WindowPassed { window }) => self.on_window_passed(actual, &window),
            Event::Clock(ClockEvent::WindowSkipped { trading_date, reason }) => {
                self.on_window_skipped(actual, trading_date, reason)
            }
            Event::Clock(ClockEvent::SessionOpen { .. }) => self.on_session_open(actual),
            // The close of the session is a boundary of windows, not of scripts: those that stop with it hear of their window.
            Event::Clock(ClockEvent::SessionClose { .. }) => actual,
            Event::Clock(ClockEvent::Alarm { alarm: Alarm::LimitNear }) => self.on_limit_near(actual),
            Event::Clock(ClockEvent::Alarm { alarm: Alarm::Limit }) => self.on_limit(actual),
            Event::Spawned { attempt, pid } => self.on_spawned(actual, &attempt, pid),
            Event::SpawnFailed { attempt, error } => self.on_spawn_failed(actual, &attempt, error),
            Event::Process(ProcessEvent::Exited { attempt, exit, leftovers }) => {
                self.on_exited(actual, &attempt, exit, leftovers)
            }
            Event::Process(ProcessEvent::Gone { attempt }) => self.on_gone(actual, &attempt),
            Event::Process(ProcessEvent::Unkillable { attempt, pids }) => self.on_unkillable(actual, &attempt, pids),
            Event::Timer { timer, attempt } => self.on_timer(actual, timer, &attempt),
            Event::Standing { script, standing } => self.on_standing(actual, script, standing),
            Event::Shutdown => self.on_shutdown(actual),
            Event::Kill => self.on_kill(actual),
        }
    }

    fn on_window_open(&mut self, actual: Actual, window: Window, arrival: Arrival) -> Actual {
        if self.wanted == Wanted::Ended {
            return actual; // nothing starts any more
        }
        let date = window.trading_date;
        if !matches!(&self.wanted, Wanted::Up(before, _) if before.trading_date == date) {
            self.forgo(&actual);
        }
        self.wanted = Wanted::Up(window.clone(), arrival);
        match actual {
            Actual::Over { trading_date, .. } if trading_date == date => actual,
            Actual::Off | Actual::Over { .. } => self.begin(window, arrival),
            // The same date again: the level was repeated, perhaps with another stop.
            Actual::Waiting { mut run, on } if run.window.trading_date == date => {
                run.window = window;
                self.start_when_free(run, Some(on)) // who does not run on this date may be news
            }
            Actual::Starting { mut run, attempt } if run.window.trading_date == date => {
                run.window = window;
                Actual::Starting { run, attempt }
            }
            Actual::Running { mut run, live } if run.window.trading_date == date => {
                run.window = window;
                Actual::Running { run, live }
            }
            Actual::Backoff { mut run, after, next_try, restart } if run.window.trading_date == date => {
                run.window = window;
                Actual::Backoff { run, after, next_try, restart }
            }
            Actual::GivenUp { mut run, after, next_try } if run.window.trading_date == date => {
                run.window = window;
                Actual::GivenUp { run, after, next_try }
            }
            // The next date, and nobody said that the window of this one ended: they touch.
            Actual::Running { run, live } => {
                let run = self.carry(run, window, 1);
                self.effects.push(Effect::CarryOutput { attempt: live.attempt.clone(), trading_date: date });
                Actual::Running { run, live }
            }
            Actual::Starting { run, attempt } => {
                let run = self.carry(run, window, 1);
                Actual::Starting { run, attempt }
            }
            Actual::Backoff { run, after, next_try, restart } => {
                let run = self.carry(run, window, 0);
                Actual::Backoff { run, after, next_try, restart }
            }
            Actual::Waiting { run, on } => self.end(run, RunResult::Skipped, format!("waited in vain: {on}")),
            Actual::GivenUp { run, .. } => self.end(run, RunResult::Failed, "gave up".to_owned()),
            // What is being ended is ended first; then the level says what comes next.
            Actual::Stopping { .. } | Actual::Sweeping { .. } => actual,
        }
    }

    fn on_window_close(&mut self, actual: Actual, date: NaiveDate) -> Actual {
        if matches!(&self.wanted, Wanted::Up(window, _) if window.trading_date == date) {
            self.forgo(&actual);
            self.wanted = Wanted::Down;
        }
        match actual {
            Actual::Waiting { run, on } if run.window.trading_date == date => {
                self.end(run, RunResult::Skipped, format!("waited in vain: {on}"))
            }
            Actual::Backoff { run, .. } if run.window.trading_date == date => {
                self.end_between_attempts(run, "its window ended before the next attempt")
            }
            Actual::GivenUp { run, .. } if run.window.trading_date == date => {
                self.end(run, RunResult::Failed, "gave up".to_owned())
            }
            Actual::Running { run, live } if run.window.trading_date == date => {
                self.stop(run, live, StopReason::WindowEnd)
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
            | Actual::Backoff { .. }
            | Actual::GivenUp { .. }
            | Actual::Running { .. }
            | Actual::Stopping { .. } => actual,
        }
    }

    /// A window that was wanted goes by without a run of its own, because what ran before it has not ended: it gets its result all the same.
    fn forgo(&mut self, actual: &Actual) {
        let Wanted::Up(window, _) = &self.wanted else { return };
        let date = window.trading_date;
        let has_run = actual.run().is_some_and(|run| run.window.trading_date == date);
        if has_run || self.memory.result(date).is_some() {
            return;
        }
        let result = RunResult::Missed;
        let reason = "processes of the run before it had not ended".to_owned();
        self.memory.remember(date, result);
        let what = What::Finished { result, reason };
        self.effects.push(Effect::Tell { trading_date: date, attempt: 0, what });
    }

    /// The watcher is new and finds no window: a run that was cut off has no more time.
    fn on_no_window(&mut self, actual: Actual) -> Actual {
        match self.memory.unfinished.take() {
            Some(run) => {
                let reason = "its window ended while nobody watched it".to_owned();
                let (result, reason) =
                    run.ended().map_or((RunResult::Interrupted, reason), |(why, result)| (result, why.to_string()));
                self.end(run, result, reason)
            }
            None => actual, // nothing was cut off
        }
    }

    fn on_window_passed(&mut self, actual: Actual, window: &Window) -> Actual {
        let date = window.trading_date;
        if self.wanted == Wanted::Ended || self.memory.result(date).is_some() {
            return actual;
        }
        let reason = "its whole window went by while the machine slept or the clock was set".to_owned();
        self.conclude_unseen(
            actual,
            date,
            RunResult::Missed,
            What::Finished { result: RunResult::Missed, reason: reason.clone() },
            reason,
        )
    }

    fn on_window_skipped(&mut self, actual: Actual, date: NaiveDate, reason: String) -> Actual {
        if self.wanted == Wanted::Ended || self.memory.result(date).is_some() {
            return actual;
        }
        self.conclude_unseen(actual, date, RunResult::Skipped, What::Skipped { reason: reason.clone() }, reason)
    }

    /// A date that is over without having begun. A live run of another date is not touched by it.
    fn conclude_unseen(
        &mut self,
        actual: Actual,
        date: NaiveDate,
        result: RunResult,
        what: What,
        reason: String,
    ) -> Actual {
        self.memory.remember(date, result);
        self.effects.push(Effect::Tell { trading_date: date, attempt: 0, what });
        match actual {
            Actual::Off | Actual::Over { .. } => Actual::Over { trading_date: date, result, reason, run: None },
            Actual::Waiting { .. }
            | Actual::Starting { .. }
            | Actual::Running { .. }
            | Actual::Stopping { .. }
            | Actual::Sweeping { .. }
            | Actual::Backoff { .. }
            | Actual::GivenUp { .. } => actual,
        }
    }

    fn on_session_open(&mut self, actual: Actual) -> Actual {
        match actual {
            Actual::Backoff { mut run, .. } | Actual::GivenUp { mut run, .. } if run.rearms() => {
                self.rearm(&mut run);
                self.disarm_waits();
                self.start(run, Some(RestartCause::Crash))
            }
            Actual::Starting { mut run, attempt } => {
                self.rearm(&mut run);
                Actual::Starting { run, attempt }
            }
            Actual::Running { mut run, live } => {
                self.rearm(&mut run);
                Actual::Running { run, live }
            }
            Actual::Sweeping { mut run, live, exit, force } => {
                self.rearm(&mut run);
                Actual::Sweeping { run, live, exit, force }
            }
            // Nothing was spent, or nothing will be spent any more.
            Actual::Off | Actual::Waiting { .. } | Actual::Stopping { .. } | Actual::Over { .. } => actual,
            // Carried over at this very instant: the wait travels.
            Actual::Backoff { .. } | Actual::GivenUp { .. } => actual,
        }
    }

    fn on_limit_near(&mut self, actual: Actual) -> Actual {
        if let (Actual::Running { run, .. }, Some(limit)) = (&actual, self.spec.max_duration)
            && let Some(first) = run.first_start
        {
            let ran = (self.now.wall - first).to_std().unwrap_or_default();
            let ran = std::time::Duration::from_secs(ran.as_secs());
            self.tell(run, What::LimitNear { ran, limit });
        }
        actual // without a process there is nobody to warn of
    }

    fn on_limit(&mut self, actual: Actual) -> Actual {
        let Some(limit) = self.spec.max_duration else { return actual };
        match actual {
            Actual::Running { run, live } => {
                self.tell(&run, What::LimitReached { limit });
                self.stop(run, live, StopReason::TimeLimit)
            }
            Actual::Stopping { run, live, stop } => {
                Actual::Stopping { run, live, stop: stop.also(StopReason::TimeLimit) }
            }
            Actual::Backoff { run, .. } | Actual::GivenUp { run, .. } => {
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
            Actual::Off | Actual::Waiting { .. } | Actual::Over { .. } => actual,
        }
    }

    fn on_spawned(&mut self, actual: Actual, id: &AttemptId, pid: u32) -> Actual {
        match actual {
            Actual::Starting { run, attempt } if attempt == *id => self.run_or_stop(run, attempt, pid),
            // The answer comes in the same turn as the order, so it always finds `Starting`; any other is of a state that is gone.
            other => other,
        }
    }

    fn on_spawn_failed(&mut self, actual: Actual, id: &AttemptId, error: SpawnError) -> Actual {
        match actual {
            Actual::Starting { run, attempt } if attempt == *id => {
                self.tell(&run, What::SpawnFailed { error: error.clone() });
                self.after_failed_spawn(run, attempt)
            }
            other => other, // as above
        }
    }

    fn on_exited(&mut self, actual: Actual, id: &AttemptId, exit: Exit, leftovers: Vec<u32>) -> Actual {
        match actual {
            Actual::Running { run, live } if live.attempt == *id => {
                if leftovers.is_empty() {
                    return self.conclude(run, &live, exit);
                }
                self.tell(&run, What::LeftBehind { pids: leftovers });
                let force = self.signal(&live.attempt);
                Actual::Sweeping { run, live, exit, force }
            }
            Actual::Stopping { run, live, mut stop } if live.attempt == *id => {
                stop.exit = Some(exit);
                if leftovers.is_empty() {
                    return self.finish_stop(run, &stop);
                }
                Actual::Stopping { run, live, stop }
            }
            // Of an attempt that is not the live one: it is late, and what it tells is known.
            Actual::Off
            | Actual::Waiting { .. }
            | Actual::Starting { .. }
            | Actual::Running { .. }
            | Actual::Stopping { .. }
            | Actual::Sweeping { .. }
            | Actual::Backoff { .. }
            | Actual::GivenUp { .. }
            | Actual::Over { .. } => actual,
        }
    }

    fn on_gone(&mut self, actual: Actual, id: &AttemptId) -> Actual {
        match actual {
            Actual::Stopping { run, live, stop } if live.attempt == *id => self.finish_stop(run, &stop),
            Actual::Sweeping { run, live, exit, .. } if live.attempt == *id => {
                self.effects.push(Effect::Disarm(Timer::Grace));
                self.conclude(run, &live, exit)
            }
            // Only these two wait for it.
            Actual::Off
            | Actual::Waiting { .. }
            | Actual::Starting { .. }
            | Actual::Running { .. }
            | Actual::Stopping { .. }
            | Actual::Sweeping { .. }
            | Actual::Backoff { .. }
            | Actual::GivenUp { .. }
            | Actual::Over { .. } => actual,
        }
    }

    fn on_unkillable(&mut self, actual: Actual, id: &AttemptId, pids: Vec<u32>) -> Actual {
        match actual {
            Actual::Stopping { run, live, stop } if live.attempt == *id => {
                self.tell(&run, What::Unkillable { pids });
                self.wait_for_survivors(run, live, Stop { force: Force::Survived, ..stop })
            }
            Actual::Sweeping { run, live, exit, .. } if live.attempt == *id => {
                self.tell(&run, What::Unkillable { pids });
                if self.wanted == Wanted::Ended {
                    return self.conclude(run, &live, exit);
                }
                Actual::Sweeping { run, live, exit, force: Force::Survived }
            }
            // Only what is being ended is killed by us.
            Actual::Off
            | Actual::Waiting { .. }
            | Actual::Starting { .. }
            | Actual::Running { .. }
            | Actual::Stopping { .. }
            | Actual::Sweeping { .. }
            | Actual::Backoff { .. }
            | Actual::GivenUp { .. }
            | Actual::Over { .. } => actual,
        }
    }

    /// What outlived SIGKILL keeps its script from starting until it is gone; the end of the daemon does not wait for it.
    fn wait_for_survivors(&mut self, run: Run, live: Live, stop: Stop) -> Actual {
        if self.wanted == Wanted::Ended && stop.force == Force::Survived {
            self.finish_stop(run, &stop)
        } else {
            Actual::Stopping { run, live, stop }
        }
    }

    fn on_timer(&mut self, actual: Actual, timer: Timer, id: &AttemptId) -> Actual {
        match (timer, actual) {
            (Timer::Grace, Actual::Stopping { run, live, stop })
                if live.attempt == *id && matches!(stop.force, Force::Asked { .. }) =>
            {
                let force = self.kill(&run, &live.attempt);
                Actual::Stopping { run, live, stop: Stop { force, ..stop } }
            }
            (Timer::Grace, Actual::Sweeping { run, live, exit, force: Force::Asked { .. } }) if live.attempt == *id => {
                let force = self.kill(&run, &live.attempt);
                Actual::Sweeping { run, live, exit, force }
            }
            (Timer::Backoff, Actual::Backoff { run, after, .. })
            | (Timer::Cooldown, Actual::GivenUp { run, after, .. })
                if after == *id =>
            {
                self.start(run, Some(RestartCause::Crash))
            }
            // It ran out while its message was on the way, and what it was armed for is over.
            (Timer::Grace | Timer::Backoff | Timer::Cooldown, actual) => actual,
        }
    }

    fn on_standing(&mut self, actual: Actual, script: ScriptName, standing: Standing) -> Actual {
        self.memory.standings.insert(script, standing);
        match actual {
            Actual::Waiting { run, on } => self.start_when_free(run, Some(on)),
            // Conditions are asked before the first attempt only.
            Actual::Off
            | Actual::Starting { .. }
            | Actual::Running { .. }
            | Actual::Stopping { .. }
            | Actual::Sweeping { .. }
            | Actual::Backoff { .. }
            | Actual::GivenUp { .. }
            | Actual::Over { .. } => actual,
        }
    }

    fn on_shutdown(&mut self, actual: Actual) -> Actual {
        self.wanted = Wanted::Ended;
        match actual {
            Actual::Running { run, live } => self.stop(run, live, StopReason::Shutdown),
            Actual::Stopping { run, live, stop } => self.wait_for_survivors(run, live, stop.also(StopReason::Shutdown)),
            Actual::Sweeping { run, live, exit, force: Force::Survived } => self.conclude(run, &live, exit),
            Actual::Waiting { run, .. } | Actual::Backoff { run, .. } | Actual::GivenUp { run, .. } => {
                self.leave_unfinished(run)
            }
            // Its answer, or its end, finds that nothing is wanted any more.
            Actual::Starting { .. } | Actual::Sweeping { .. } => actual,
            Actual::Off | Actual::Over { .. } => actual, // nothing is there to stop
        }
    }

    fn on_kill(&mut self, actual: Actual) -> Actual {
        match self.on_shutdown(actual) {
            Actual::Stopping { run, live, stop } if matches!(stop.force, Force::Asked { .. }) => {
                let force = self.kill(&run, &live.attempt);
                Actual::Stopping { run, live, stop: Stop { force, ..stop } }
            }
            Actual::Sweeping { run, live, exit, force: Force::Asked { .. } } => {
                let force = self.kill(&run, &live.attempt);
                Actual::Sweeping { run, live, exit, force }
            }
            // Killed already, or without a process.
            other => other,
        }
    }
}

impl Stop {
    /// A further reason for the same stop.
    fn also(self, reason: StopReason) -> Self {
        let ends = self.ends.max(reason.ends_run().map(|_| reason));
        Self { reason: self.reason.max(reason), ends, ..self }
    }
}
