//! Whether a process is ready, whether it still gives signs of life, and the politeness with which it is ended.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    Actual, AttemptId, Effect, Live, Machine, Mono, RestartCause, Run, ScriptSpec, Stop, StopReason, Timer, Wanted,
    What,
};
use crate::domain::health::{Probe, ReadySpec, Signs, Trip, TripAction, WatchdogSpec};
use crate::domain::outcome::AttemptResult;

/// What seems to hang is looked at once more after this: the daemon may have slept, and not what it watches.
const SECOND_LOOK: Duration = Duration::from_millis(100);

/// How well a process is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Care {
    pub(super) ready: Readiness,
    /// Its own words, by sd_notify.
    pub(super) said: String,
    /// The end of its time that it knows of.
    pub(super) warned: Option<DateTime<Utc>>,
    /// How it is known to be ready; a changed configuration counts from the next process on, as this one was started for it.
    pub(super) ready_by: Option<Arc<ReadySpec>>,
    /// When it is taken to hang: the heartbeat as it was told at its start, the rest as configured now.
    watchdog: WatchdogSpec,
    silence: Quiet,
    heartbeat: Quiet,
}

/// Whether it is ready.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Readiness {
    /// Since then.
    Since(Mono),
    /// Not yet; what its probe met last, and when it is over with its patience.
    Pending { refused: String, until: DateTime<Utc> },
}

/// Whether it is heard of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Quiet {
    #[default]
    Well,
    /// Not for too long; it is looked at once more.
    Suspect,
    /// Not for too long, and that was told.
    Told,
}

impl Care {
    pub(super) fn new(spec: &ScriptSpec, now: Mono) -> Self {
        Self {
            ready: Readiness::Since(now),
            said: String::new(),
            warned: None,
            ready_by: spec.ready.clone().map(Arc::new),
            watchdog: spec.watchdog,
            silence: Quiet::Well,
            heartbeat: Quiet::Well,
        }
    }
}

impl Live {
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.care.ready, Readiness::Since(_))
    }
}

impl Machine<'_> {
    /// There is a process, and it is wanted: its readiness is looked for.
    pub(super) fn attend(&mut self, run: Run, mut live: Live) -> Actual {
        // One that starts so late is told of its stop as it starts.
        live.care.warned = self.spec.warn.and_then(|warn| {
            let end = run.end();
            (self.now.wall_after(warn.lead) >= end).then_some(end)
        });
        let Some(ready) = live.care.ready_by.clone() else {
            self.arm_watchdog(&live);
            return Actual::Running { run, live };
        };
        let until = self.now.wall_after(ready.timeout);
        live.care.ready = Readiness::Pending { refused: String::new(), until };
        self.arm(Timer::ReadyTimeout, ready.timeout, &live.attempt);
        match &ready.probe {
            Probe::Reach(_) | Probe::Exec(_) => self.probe(&live),
            Probe::Delay(delay) => self.arm(Timer::Ready, *delay, &live.attempt),
            // The process says so itself.
            Probe::Line(_) | Probe::Notify => {}
        }
        Actual::Running { run, live }
    }

    fn arm(&mut self, timer: Timer, after: Duration, attempt: &AttemptId) {
        self.effects.push(Effect::Arm { timer, after, attempt: attempt.clone() });
    }

    fn probe(&mut self, live: &Live) {
        if let Some(ready) = live.care.ready_by.clone() {
            self.effects.push(Effect::Probe { attempt: live.attempt.clone(), ready });
        }
    }

    fn arm_watchdog(&mut self, live: &Live) {
        let watchdog = live.care.watchdog;
        for (timer, limit) in [(Timer::Silence, watchdog.silence), (Timer::Heartbeat, watchdog.heartbeat)] {
            if let Some(limit) = limit {
                self.arm(timer, limit, &live.attempt);
            }
        }
    }

    /// Its process is not wanted any more, or gone.
    pub(super) fn neglect(&mut self, live: &Live) {
        let watchdog = live.care.watchdog;
        let pending = !live.is_ready();
        let armed = [
            (Timer::Ready, pending),
            (Timer::ReadyTimeout, pending),
            (Timer::Silence, !pending && watchdog.silence.is_some()),
            (Timer::Heartbeat, !pending && watchdog.heartbeat.is_some()),
        ];
        self.effects.extend(armed.into_iter().filter(|(_, is)| *is).map(|(timer, _)| Effect::Disarm(timer)));
    }

    pub(super) fn on_probed(&mut self, actual: Actual, id: &AttemptId, refused: Option<String>) -> Actual {
        match (actual, refused) {
            (Actual::Running { run, live }, None) if live.attempt == *id && !live.is_ready() => {
                self.become_ready(run, live)
            }
            (Actual::Running { run, mut live }, Some(text)) if live.attempt == *id => {
                if let (Readiness::Pending { refused, .. }, Some(ready)) = (&mut live.care.ready, &live.care.ready_by) {
                    *refused = text;
                    let interval = ready.interval;
                    self.arm(Timer::Ready, interval, &live.attempt);
                }
                Actual::Running { run, live }
            }
            // Of a process that is not wanted any more, or is ready for another reason.
            (actual, _) => actual,
        }
    }

    /// It printed its line, or said that it is ready.
    pub(super) fn on_said_ready(&mut self, actual: Actual, id: &AttemptId) -> Actual {
        let counts = |live: &Live| {
            let probe = live.care.ready_by.as_ref().map(|ready| &ready.probe);
            matches!(probe, Some(Probe::Line(_) | Probe::Notify)) && !live.is_ready()
        };
        match actual {
            Actual::Running { run, live } if live.attempt == *id && counts(&live) => self.become_ready(run, live),
            other => other, // it is asked in another way, or ready already, or being ended
        }
    }

    pub(super) fn on_said(&mut self, mut actual: Actual, id: &AttemptId, text: String) -> Actual {
        if let Actual::Running { live, .. } | Actual::Stopping { live, .. } = &mut actual
            && live.attempt == *id
        {
            live.care.said = text;
        }
        actual
    }

    fn become_ready(&mut self, run: Run, mut live: Live) -> Actual {
        self.neglect(&live);
        live.care.ready = Readiness::Since(self.now.mono);
        self.tell(&run, What::Ready { after: self.now.mono.since(live.since) });
        self.arm_watchdog(&live);
        Actual::Running { run, live }
    }

    pub(super) fn on_ready_timer(&mut self, run: Run, live: Live) -> Actual {
        match live.care.ready_by.as_ref().map(|ready| &ready.probe) {
            _ if live.is_ready() => Actual::Running { run, live },
            Some(Probe::Reach(_) | Probe::Exec(_)) => {
                self.probe(&live);
                Actual::Running { run, live }
            }
            // It has lived so long.
            Some(Probe::Delay(_)) => self.become_ready(run, live),
            Some(Probe::Line(_) | Probe::Notify) | None => Actual::Running { run, live },
        }
    }

    pub(super) fn on_not_ready(&mut self, run: Run, live: Live) -> Actual {
        let (Readiness::Pending { refused, .. }, Some(ready)) = (&live.care.ready, &live.care.ready_by) else {
            return Actual::Running { run, live };
        };
        let what = What::NotReady { probe: ready.probe.to_string(), timeout: ready.timeout, refused: refused.clone() };
        self.tell(&run, what);
        self.stop(run, live, StopReason::NotReady)
    }

    /// It is time to look whether it was heard of.
    pub(super) fn look_at_signs(&mut self, timer: Timer, live: &Live) {
        self.effects.push(Effect::LookAtSigns { timer, attempt: live.attempt.clone() });
    }

    pub(super) fn on_signs(&mut self, actual: Actual, id: &AttemptId, timer: Timer, signs: Signs) -> Actual {
        let Actual::Running { run, mut live } = actual else { return actual }; // it is being ended
        let watchdog = live.care.watchdog;
        let (seen, limit) = match timer {
            Timer::Heartbeat => (signs.beat, watchdog.heartbeat),
            _ => (signs.printed, watchdog.silence),
        };
        let (Some(limit), Readiness::Since(ready), true) = (limit, &live.care.ready, live.attempt == *id) else {
            return Actual::Running { run, live }; // nobody wants to know any more
        };
        let ready = *ready;
        let since_ready = self.now.mono.since(ready);
        let quiet = seen.map_or(since_ready, |seen| seen.min(since_ready));
        let before = if timer == Timer::Heartbeat { live.care.heartbeat } else { live.care.silence };
        let (after, next) = match before {
            _ if quiet < limit => (Quiet::Well, limit.saturating_sub(quiet)),
            Quiet::Well => (Quiet::Suspect, SECOND_LOOK),
            Quiet::Told => (Quiet::Told, limit),
            Quiet::Suspect => {
                let trip = if timer == Timer::Heartbeat { Trip::Heartbeat(limit) } else { Trip::Silence(limit) };
                let restart = watchdog.action == TripAction::Restart;
                self.tell(&run, What::Tripped { trip, restart });
                if restart {
                    return self.stop(run, live, StopReason::Watchdog);
                }
                (Quiet::Told, limit)
            }
        };
        let quiet = if timer == Timer::Heartbeat { &mut live.care.heartbeat } else { &mut live.care.silence };
        *quiet = after;
        self.arm(timer, next, &live.attempt);
        Actual::Running { run, live }
    }

    /// A changed watchdog looks at once; what it had told under other terms is told anew.
    pub(super) fn watch_as_configured(&mut self, run: Run, mut live: Live) -> Actual {
        let watchdog = WatchdogSpec { heartbeat: live.care.watchdog.heartbeat, ..self.spec.watchdog };
        if watchdog != live.care.watchdog {
            live.care.watchdog = watchdog;
            (live.care.silence, live.care.heartbeat) = (Quiet::Well, Quiet::Well);
            for (timer, limit) in [(Timer::Silence, watchdog.silence), (Timer::Heartbeat, watchdog.heartbeat)] {
                match limit {
                    Some(_) if live.is_ready() => self.look_at_signs(timer, &live),
                    Some(_) => {}
                    None => self.effects.push(Effect::Disarm(timer)),
                }
            }
        }
        Actual::Running { run, live }
    }

    /// All its processes together have more memory than they may.
    pub(super) fn on_over_memory(&mut self, actual: Actual, id: &AttemptId, bytes: u64) -> Actual {
        let memory = self.spec.memory;
        match (actual, memory.max_rss) {
            (Actual::Running { run, live }, Some(limit)) if live.attempt == *id => {
                let restart = memory.action == TripAction::Restart;
                self.tell(&run, What::Tripped { trip: Trip::Memory { bytes, limit }, restart });
                if restart { self.stop(run, live, StopReason::Memory) } else { Actual::Running { run, live } }
            }
            (actual, _) => actual, // it is being ended, or the limit is gone
        }
    }

    /// It was stopped because something was wrong with it, and nothing stronger wanted that.
    pub(super) fn after_failed_stop(&mut self, run: Run, result: AttemptResult, live: &Live) -> Actual {
        // To live without being ready is no life that makes the budget fresh.
        let lived = if result == AttemptResult::NotReady { Duration::ZERO } else { self.now.mono.since(live.since) };
        // Its window may have moved meanwhile, or the next one that touches it opened.
        let run = match self.wanted.clone() {
            Wanted::Up(window, _) if window.trading_date == run.window.trading_date => self.in_window(run, window),
            Wanted::Up(window, _) if run.window.joined && window.trading_date > run.window.trading_date => {
                self.carry(run, window, 0)
            }
            Wanted::Up(..) | Wanted::Down | Wanted::Ended => run,
        };
        let latest = run.attempt(self.spec);
        // What it exited with after its stop was decided says nothing.
        self.follow(run, latest, result, None, lived)
    }

    /// Its time ends soon.
    pub(super) fn on_warn(&mut self, actual: Actual) -> Actual {
        let Some(warn) = self.spec.warn else { return actual };
        let is_near = |run: &Run| self.now.wall_after(warn.lead) >= run.end();
        match actual {
            Actual::Running { run, mut live } if live.care.warned != Some(run.end()) && is_near(&run) => {
                live.care.warned = Some(run.end());
                self.tell(&run, What::Warned { signal: warn.signal, stop_at: run.end() });
                let attempt = live.attempt.clone();
                self.effects.push(Effect::SignalLeader { attempt, signal: warn.signal });
                Actual::Running { run, live }
            }
            other => other, // it knows, or is not there to be told; or its stop has moved away meanwhile
        }
    }

    /// The stop command has done what it could: now the signal.
    pub(super) fn on_stop_command(&mut self, actual: Actual, id: &AttemptId, failed: Option<String>) -> Actual {
        match actual {
            Actual::Stopping { run, live, stop } if live.attempt == *id => match stop.force {
                super::Force::Commanded { gone, kill_at } => {
                    if let Some(text) = failed {
                        self.tell(&run, What::StopCommandFailed { text });
                    }
                    if gone {
                        return self.finish_stop(run, &live, &stop);
                    }
                    let (attempt, signal) = (live.attempt.clone(), self.spec.stop.signal);
                    self.effects.push(Effect::Signal { attempt, signal });
                    let force = super::Force::Asked { kill_at };
                    Actual::Stopping { run, live, stop: Stop { force, ..stop } }
                }
                // It was killed meanwhile.
                super::Force::Asked { .. } | super::Force::Killed | super::Force::Survived => {
                    Actual::Stopping { run, live, stop }
                }
            },
            other => other, // it is gone
        }
    }
}

impl Run {
    /// Why its next attempt comes, after one that failed.
    pub(super) fn failure_cause(&self) -> RestartCause {
        match self.last_exit.map(|end| end.result) {
            Some(AttemptResult::Watchdog) => RestartCause::Watchdog,
            _ => RestartCause::Crash,
        }
    }
}
