//! What each event means in each state; those of the market clock stand in `clock_events.rs`. Every pair is written out; an ignored one
//! says why.

use super::{
    Actual, Alarm, AttemptId, ClockEvent, Effect, Ended, Event, Exit, Force, Live, Machine, ProcessEvent, ProcessId,
    Run, ScriptName, SpawnError, Standing, Step, Stop, StopReason, Timer, Wanted, What,
};

impl Machine<'_> {
    pub(super) fn handle(&mut self, actual: Actual, event: Event) -> Actual {
        match event {
            Event::Clock(ClockEvent::WindowOpen { window, arrival, absent }) => {
                self.memory.absent = absent;
                if actual.is_at_work_after(window.trading_date) {
                    self.on_earlier_window_open(actual, window, arrival)
                } else {
                    self.on_window_open(actual, window, arrival)
                }
            }
            Event::Clock(ClockEvent::NoWindow { upcoming }) => self.on_no_window(actual, upcoming),
            Event::Clock(ClockEvent::WindowClose { trading_date }) => self.on_window_close(actual, trading_date),
            Event::Clock(ClockEvent::WindowMoved { window }) => self.on_window_moved(actual, window),
            Event::Clock(ClockEvent::WindowPassed { window, absence }) => {
                self.on_window_passed(actual, &window, absence)
            }
            Event::Clock(ClockEvent::WindowSkipped { trading_date, zone, reason }) => {
                self.on_window_skipped(actual, trading_date, zone, reason)
            }
            Event::Clock(ClockEvent::Unwatched { dates, absence }) => self.on_unwatched(actual, dates, absence),
            Event::Clock(ClockEvent::SessionOpen { .. }) => self.on_session_open(actual),
            // The close of the session is a boundary of windows, not of scripts: those that stop with it hear of their window.
            Event::Clock(ClockEvent::SessionClose { .. }) => actual,
            Event::Clock(ClockEvent::Alarm { alarm: Alarm::LimitNear }) => self.on_limit_near(actual),
            Event::Clock(ClockEvent::Alarm { alarm: Alarm::Limit }) => self.on_limit(actual),
            Event::Clock(ClockEvent::Alarm { alarm: Alarm::PauseEnds }) => self.on_pause_end(actual),
            Event::Clock(ClockEvent::Alarm { alarm: Alarm::ForcedEnd }) => self.on_forced_end(actual),
            Event::Clock(ClockEvent::Alarm { alarm: Alarm::Warn }) => self.on_warn(actual),
            Event::Spawned { attempt, process } => self.on_spawned(actual, &attempt, process),
            Event::Busy { attempt, on } => self.on_busy(actual, &attempt, on),
            Event::SpawnFailed { attempt, error } => self.on_spawn_failed(actual, &attempt, error),
            Event::Process(ProcessEvent::Exited { attempt, exit, leftovers }) => {
                self.on_exited(actual, &attempt, exit, leftovers)
            }
            Event::Process(ProcessEvent::Gone { attempt }) => self.on_gone(actual, &attempt),
            Event::Process(ProcessEvent::Unkillable { attempt, pids }) => self.on_unkillable(actual, &attempt, pids),
            Event::Process(ProcessEvent::Ready { attempt }) => self.on_said_ready(actual, &attempt),
            Event::Process(ProcessEvent::Said { attempt, text }) => self.on_said(actual, &attempt, text),
            Event::Process(ProcessEvent::OverMemory { attempt, bytes }) => self.on_over_memory(actual, &attempt, bytes),
            Event::Probed { attempt, refused } => self.on_probed(actual, &attempt, refused),
            Event::Signs { attempt, timer, signs } => self.on_signs(actual, &attempt, timer, signs),
            Event::Outside { look, refused } => self.on_outside(actual, look, refused),
            Event::StopCommandEnded { attempt, failed } => self.on_stop_command(actual, &attempt, failed),
            Event::Timer { timer, attempt } => self.on_timer(actual, timer, &attempt),
            Event::Standing { script, standing } => self.on_standing(actual, script, standing),
            Event::Order(order) => self.on_order(actual, order),
            Event::KillFile(path) => self.on_kill_file(actual, path),
            Event::Retired { why } => self.on_retired(actual, why),
            Event::Respecified(_) => self.on_respecified(actual),
            Event::StartNothing => self.on_start_nothing(actual),
            Event::Shutdown => self.on_shutdown(actual),
            Event::Kill => self.on_kill(actual),
        }
    }

    fn on_spawned(&mut self, actual: Actual, id: &AttemptId, process: ProcessId) -> Actual {
        match actual {
            Actual::Starting { run, attempt, cause, held } if attempt == *id => {
                if held.is_some() {
                    self.note_start(&attempt, cause);
                }
                self.run_or_stop(run, attempt, process)
            }
            // The answer comes in the same turn as the order, so it always finds `Starting`; any other is of a state that is gone.
            other => other,
        }
    }

    fn on_spawn_failed(&mut self, actual: Actual, id: &AttemptId, error: SpawnError) -> Actual {
        match actual {
            Actual::Starting { run, attempt, .. } if attempt == *id => {
                self.tell_starting(&run);
                self.tell(&run, What::SpawnFailed { error: error.clone() });
                self.after_failed_spawn(run, attempt)
            }
            other => other, // as above
        }
    }

    fn on_busy(&mut self, actual: Actual, id: &AttemptId, on: String) -> Actual {
        match actual {
            Actual::Starting { run, attempt, cause, held } if attempt == *id => {
                self.hold(run, attempt, cause, held, on)
            }
            other => other, // as above
        }
    }

    fn on_exited(&mut self, actual: Actual, id: &AttemptId, exit: Exit, leftovers: Vec<u32>) -> Actual {
        match actual {
            // Its window is over, and it was only not told yet, since others had to go first.
            Actual::Running { run, live }
                if live.attempt == *id && run.window.stop <= self.now.wall && !run.window.joined =>
            {
                let stopping = self.stop(run, live, StopReason::WindowEnd);
                self.on_exited(stopping, id, exit, leftovers)
            }
            Actual::Running { run, live } if live.attempt == *id => {
                self.neglect(&live);
                let ended = Ended { exit, lived: self.now.mono.since(live.since) };
                if leftovers.is_empty() {
                    return self.conclude(run, live.attempt, ended);
                }
                self.tell(&run, What::LeftBehind { pids: leftovers });
                let force = self.signal(&live.attempt);
                Actual::Sweeping { run, live, ended, force }
            }
            Actual::Stopping { run, live, mut stop } if live.attempt == *id => {
                stop.exit = Some(exit);
                if leftovers.is_empty() {
                    return self.gone(run, live, stop);
                }
                Actual::Stopping { run, live, stop }
            }
            // Of an attempt that is not the live one: it is late, and what it tells is known.
            Actual::Off
            | Actual::Waiting { .. }
            | Actual::Paused { .. }
            | Actual::Starting { .. }
            | Actual::Held { .. }
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
            Actual::Stopping { run, live, stop } if live.attempt == *id => self.gone(run, live, stop),
            Actual::Sweeping { run, live, ended, .. } if live.attempt == *id => {
                self.effects.push(Effect::Disarm(Timer::Grace));
                self.conclude(run, live.attempt, ended)
            }
            // Only these two wait for it.
            Actual::Off
            | Actual::Waiting { .. }
            | Actual::Paused { .. }
            | Actual::Starting { .. }
            | Actual::Held { .. }
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
            Actual::Sweeping { run, live, ended, .. } if live.attempt == *id => {
                self.tell(&run, What::Unkillable { pids });
                if self.wanted == Wanted::Ended {
                    return self.conclude(run, live.attempt, ended);
                }
                Actual::Sweeping { run, live, ended, force: Force::Survived }
            }
            // Only what is being ended is killed by us.
            Actual::Off
            | Actual::Waiting { .. }
            | Actual::Paused { .. }
            | Actual::Starting { .. }
            | Actual::Held { .. }
            | Actual::Running { .. }
            | Actual::Stopping { .. }
            | Actual::Sweeping { .. }
            | Actual::Backoff { .. }
            | Actual::GivenUp { .. }
            | Actual::Over { .. } => actual,
        }
    }

    /// Nothing of it is left; its stop is complete when its stop command is done, too.
    fn gone(&mut self, run: Run, live: Live, stop: Stop) -> Actual {
        match stop.force {
            Force::Commanded { kill_at, .. } => {
                let force = Force::Commanded { kill_at, gone: true };
                Actual::Stopping { run, live, stop: Stop { force, ..stop } }
            }
            Force::Asked { .. } | Force::Killed | Force::Survived => self.finish_stop(run, &live, &stop),
        }
    }

    /// What outlived SIGKILL keeps its script from starting until it is gone; the end of the daemon does not wait for it.
    fn wait_for_survivors(&mut self, run: Run, live: Live, stop: Stop) -> Actual {
        if self.wanted == Wanted::Ended && stop.force == Force::Survived {
            self.finish_stop(run, &live, &stop)
        } else {
            Actual::Stopping { run, live, stop }
        }
    }

    fn on_timer(&mut self, actual: Actual, timer: Timer, id: &AttemptId) -> Actual {
        match (timer, actual) {
            (Timer::Grace, Actual::Stopping { run, live, stop }) if live.attempt == *id => {
                self.kill_stopping(run, live, stop)
            }
            (Timer::Grace, Actual::Sweeping { run, live, ended, force: Force::Asked { .. } })
                if live.attempt == *id =>
            {
                let force = self.kill(&run, &live.attempt);
                Actual::Sweeping { run, live, ended, force }
            }
            (Timer::Backoff, Actual::Backoff { run, after, .. })
            | (Timer::Cooldown, Actual::GivenUp { run, after, .. })
                if after == *id =>
            {
                let cause = run.failure_cause();
                self.start(run, Some(cause))
            }
            (Timer::Ready, Actual::Running { run, live }) if live.attempt == *id => self.on_ready_timer(run, live),
            (Timer::ReadyTimeout, Actual::Running { run, live }) if live.attempt == *id => self.on_not_ready(run, live),
            (Timer::Silence | Timer::Heartbeat, Actual::Running { run, live }) if live.attempt == *id => {
                self.look_at_signs(timer, &live);
                Actual::Running { run, live }
            }
            (Timer::Outside, actual) => self.on_look_again(actual),
            (Timer::Held, Actual::Held { run, attempt, cause, on }) if attempt == *id => {
                self.order_held(run, attempt, cause, on)
            }
            // It ran out while its message was on the way, and what it was armed for is over.
            (
                Timer::Grace
                | Timer::Backoff
                | Timer::Cooldown
                | Timer::Held
                | Timer::Ready
                | Timer::ReadyTimeout
                | Timer::Silence
                | Timer::Heartbeat,
                actual,
            ) => actual,
        }
    }

    /// Its grace is over, or nobody waits for it any more.
    fn kill_stopping(&mut self, run: Run, live: Live, stop: Stop) -> Actual {
        match stop.force {
            Force::Commanded { gone: true, .. } => self.finish_stop(run, &live, &stop),
            Force::Asked { .. } | Force::Commanded { .. } => {
                let force = self.kill(&run, &live.attempt);
                Actual::Stopping { run, live, stop: Stop { force, ..stop } }
            }
            Force::Killed | Force::Survived => Actual::Stopping { run, live, stop },
        }
    }

    fn on_standing(&mut self, actual: Actual, script: ScriptName, standing: Standing) -> Actual {
        let was_ready = self.memory.standings.is_ready(&script, standing.trading_date);
        self.memory.standings.hear(script.clone(), standing.clone());
        match actual {
            Actual::Waiting { run, on, cause, waits } => self.go_on_waiting(run, on, cause, waits),
            Actual::Running { run, live } if was_ready => match self.lost(&run, &script, &standing) {
                Some(reason) => self.stop(run, live, reason),
                None => Actual::Running { run, live },
            },
            // It must not come back as if nothing had happened.
            Actual::Stopping { run, live, stop } if was_ready => {
                let lost = self.lost(&run, &script, &standing);
                Actual::Stopping { run, live, stop: lost.map_or(stop.clone(), |reason| stop.also(reason)) }
            }
            // It was skipped because of a predecessor that has come back to life.
            Actual::Over { trading_date, result, reason, run } => {
                let over = Actual::Over { trading_date, result, reason, run };
                self.begin_again(over)
            }
            // Conditions are asked before an attempt only, and what is being started finds what it needs a moment later.
            Actual::Off
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

    /// A date that is over is begun again only where it was skipped, because of a predecessor, and that has come back to life.
    pub(super) fn begin_again(&mut self, over: Actual) -> Actual {
        let Actual::Over { trading_date, result, run, .. } = &over else { return over };
        let Wanted::Up(window, arrival) = &self.wanted else { return over };
        let has_not_run = run.as_ref().is_none_or(|run| run.attempts == 0);
        let is_of_window = window.trading_date == *trading_date;
        if !(has_not_run && is_of_window && self.is_skipped_no_longer(window, *result)) {
            return over;
        }
        let (window, arrival) = (window.clone(), *arrival);
        self.begin(window, arrival)
    }

    fn on_start_nothing(&mut self, actual: Actual) -> Actual {
        self.wanted = Wanted::Ended;
        match actual {
            Actual::Waiting { run, .. } | Actual::Paused { run } => self.leave_unfinished(run, Step::Cut),
            Actual::Backoff { run, next_try, restart, .. } => {
                self.leave_unfinished(run, Step::Backoff { next_try, restart })
            }
            Actual::GivenUp { run, next_try, .. } => self.leave_unfinished(run, Step::GivenUp { next_try }),
            Actual::Held { run, cause, .. } => {
                let run = self.take_back(run, cause);
                self.leave_unfinished(run, Step::Cut)
            }
            // Its turn to stop comes; should it end before, it finds that nothing is wanted any more.
            Actual::Running { .. } | Actual::Stopping { .. } => actual,
            // Its answer, or its end, finds that nothing is wanted any more.
            Actual::Starting { .. } | Actual::Sweeping { .. } => actual,
            Actual::Off | Actual::Over { .. } => actual, // nothing would start by itself
        }
    }

    fn on_shutdown(&mut self, actual: Actual) -> Actual {
        match self.on_start_nothing(actual) {
            Actual::Running { run, live } => self.stop(run, live, StopReason::Shutdown),
            Actual::Stopping { run, live, stop } => self.wait_for_survivors(run, live, stop.also(StopReason::Shutdown)),
            Actual::Sweeping { run, live, ended, force: Force::Survived } => self.conclude(run, live.attempt, ended),
            // No process, or one that is about to find that it is not wanted.
            other => other,
        }
    }

    fn on_kill(&mut self, actual: Actual) -> Actual {
        match self.on_shutdown(actual) {
            Actual::Stopping { run, live, stop } => self.kill_stopping(run, live, stop),
            Actual::Sweeping { run, live, ended, force: Force::Asked { .. } } => {
                let force = self.kill(&run, &live.attempt);
                Actual::Sweeping { run, live, ended, force }
            }
            // Killed already, or without a process.
            other => other,
        }
    }
}

impl Stop {
    /// A further reason for the same stop.
    pub(super) fn also(self, reason: StopReason) -> Self {
        let ends = self.ends.max(reason.ends_run().map(|_| reason));
        Self { reason: self.reason.max(reason), ends, ..self }
    }
}
