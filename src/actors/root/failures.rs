//! The root's answer to the failure of a worker.
//!
//! A *process* exit is data for its worker. An *actor* failure is handled here: what the dead worker left running is stopped from the
//! ledger (the last state it reported), and only when that is gone is a new worker started, with the run as it was. Siblings notice nothing.
//! A worker that fails too often stays down until the next trading date: its run is over, and that is said.

use std::sync::Arc;

use ractor::{ActorProcessingErr, ActorRef};

use super::Tree;
use crate::actors::messages::{ClockMsg, RootMsg};
use crate::domain::attempt::{AttemptId, ProcessEvent};
use crate::domain::lifecycle::Event;
use crate::domain::notice::{About, Notice, What};
use crate::domain::outcome::{AttemptResult, Exit};
use crate::domain::record::{Grade, Record};
use crate::domain::timeline::ClockEvent;
use crate::domain::tree::Outcome;

/// What a failed worker left running.
pub(super) struct Orphan {
    attempt: AttemptId,
    killed: bool,
    /// Something outlived SIGKILL: nothing starts before it is gone, but the end of the daemon does not wait for it.
    pub(super) survived: bool,
}

impl Tree {
    /// A boundary for a script without a worker. While an orphan is being stopped, the next worker is about to come, and hears its level
    /// then; one that stays down gets another chance with the next window.
    pub(super) async fn on_clock_unheard(
        &mut self,
        myself: &ActorRef<RootMsg>,
        index: usize,
        event: ClockEvent,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            ClockEvent::WindowOpen { .. }
            | ClockEvent::WindowPassed { .. }
            | ClockEvent::Unwatched { .. }
            | ClockEvent::WindowSkipped { .. } => {
                self.children[index].unheard.push(event);
            }
            // What they would end or refresh is not there; what holds is told to the next worker.
            ClockEvent::NoWindow { .. }
            | ClockEvent::WindowClose { .. }
            | ClockEvent::WindowMoved { .. }
            | ClockEvent::SessionOpen { .. }
            | ClockEvent::SessionClose { .. }
            | ClockEvent::Alarm { .. } => return Ok(()),
        }
        if self.children[index].orphan.is_none() && self.shutdown.is_none() {
            self.respawn(myself, index).await?;
        }
        Ok(())
    }

    pub(super) async fn on_failed(
        &mut self,
        myself: &ActorRef<RootMsg>,
        index: usize,
        error: String,
    ) -> Result<(), ActorProcessingErr> {
        let now = self.ports.clock.now();
        let child = &mut self.children[index];
        child.worker = None;
        let again = child.respawns.spend(now.mono);
        self.tell_of(index, What::WorkerFailed { error, again });
        if let Some(attempt) = self.children[index].view.live.clone() {
            let root = myself.clone();
            let alive = self.ports.launcher.redirect(
                &attempt,
                Arc::new(move |event| {
                    // The root is gone: then so is the daemon, and its guard stops what is left.
                    let _ = root.cast(RootMsg::Orphan { index, event });
                }),
            );
            if alive {
                self.stop_orphan(myself, index, attempt);
                return Ok(());
            }
        }
        self.take_over(myself, index).await
    }

    /// The run that the notice is about is the one that the dead worker last told of.
    fn tell_of(&self, index: usize, what: What) {
        let child = &self.children[index];
        let now = self.ports.clock.now().wall;
        let trading_date = child.view.trading_date.unwrap_or_else(|| now.date_naive());
        let about = About { script: child.spec.name.clone(), trading_date, attempt: child.view.attempt };
        self.ports.notifier.notify(Notice { at: now, about: Some(about), what });
    }

    fn stop_orphan(&mut self, myself: &ActorRef<RootMsg>, index: usize, attempt: AttemptId) {
        let child = &mut self.children[index];
        let stop = child.spec.stop;
        child.orphan = Some(Orphan { attempt: attempt.clone(), killed: false, survived: false });
        self.ports.launcher.signal(&attempt, stop.signal);
        myself.send_after(stop.grace, move || RootMsg::OrphanGrace { index, attempt });
    }

    pub(super) fn on_orphan_grace(&mut self, index: usize, attempt: &AttemptId) {
        // The message of an orphan that is gone may come after the next one was made.
        if self.children[index].orphan.as_ref().is_some_and(|orphan| orphan.attempt == *attempt) {
            self.kill_orphan(index);
        }
    }

    pub(super) fn kill_orphan(&mut self, index: usize) {
        let Some(orphan) = self.children[index].orphan.as_mut().filter(|orphan| !orphan.killed) else { return };
        orphan.killed = true;
        let attempt = orphan.attempt.clone();
        self.tell_of(index, What::Killing);
        self.ports.launcher.kill(&attempt);
    }

    pub(super) async fn on_orphan(
        &mut self,
        myself: &ActorRef<RootMsg>,
        index: usize,
        event: ProcessEvent,
    ) -> Result<(), ActorProcessingErr> {
        let gone = match event {
            ProcessEvent::Exited { attempt, exit, leftovers } => {
                self.tell_of_orphan(index, &attempt, exit);
                // Otherwise something of it lives on, and `Gone` follows.
                leftovers.is_empty().then_some(attempt)
            }
            ProcessEvent::Gone { attempt } => Some(attempt),
            // It is being ended.
            ProcessEvent::Ready { .. } | ProcessEvent::Said { .. } => None,
            ProcessEvent::Unkillable { attempt, pids } => {
                self.tell_of(index, What::Unkillable { pids });
                if let Some(orphan) = self.children[index].orphan.as_mut().filter(|orphan| orphan.attempt == attempt) {
                    orphan.survived = true;
                }
                None
            }
            // It is being stopped already.
            ProcessEvent::OverMemory { .. } => None,
        };
        let orphan = &mut self.children[index].orphan;
        if orphan.take_if(|orphan| gone.as_ref() == Some(&orphan.attempt)).is_some() {
            self.take_over(myself, index).await?;
        }
        Ok(())
    }

    fn tell_of_orphan(&self, index: usize, attempt: &AttemptId, exit: Exit) {
        if let Some(orphan) = self.children[index].orphan.as_ref().filter(|orphan| orphan.attempt == *attempt) {
            let result = if orphan.killed { AttemptResult::KilledAfterGrace } else { AttemptResult::Stopped };
            self.tell_of(index, What::Exited { exit, result });
        }
    }

    /// Nothing of the dead worker is left: a new one goes on with the run, if it may.
    async fn take_over(&mut self, myself: &ActorRef<RootMsg>, index: usize) -> Result<(), ActorProcessingErr> {
        let again = self.children[index].respawns.allows();
        if !again {
            self.abandon(index);
            return Ok(());
        }
        let state = std::mem::take(&mut self.children[index].state).taken_over(&self.ports.clock.now());
        self.take_in(index, state);
        if self.shutdown.is_some() {
            return Ok(()); // the run is not over: the next daemon takes it up
        }
        self.respawn(myself, index).await
    }

    /// It failed too often: what it did not finish is over, for its dependents too.
    fn abandon(&mut self, index: usize) {
        let reason = "its supervisor failed too often";
        let now = self.ports.clock.now();
        let spec = Arc::clone(&self.children[index].spec);
        let (state, ended) = std::mem::take(&mut self.children[index].state).abandoned(reason, &spec, &now);
        self.take_in(index, state);
        let (script, critical) = (spec.name.clone(), spec.critical);
        if let Some((record, attempt, what)) = ended {
            let about = About { script: script.clone(), trading_date: record.trading_date, attempt };
            self.keep(vec![Record::Run(Box::new(record))], Grade::PowerSafe);
            self.ports.notifier.notify(Notice { at: now.wall, about: Some(about), what });
        }
        if critical {
            let reason = format!("critical script {script} failed: {reason}");
            self.shut_down(Outcome::Critical(reason.clone()), reason);
        }
    }

    async fn respawn(&mut self, myself: &ActorRef<RootMsg>, index: usize) -> Result<(), ActorProcessingErr> {
        self.spawn_worker(myself, index).await?;
        self.tell_standings(index);
        for event in std::mem::take(&mut self.children[index].unheard) {
            self.send(index, Event::Clock(event));
        }
        self.tell_clock(ClockMsg::Repeat { index });
        Ok(())
    }
}
