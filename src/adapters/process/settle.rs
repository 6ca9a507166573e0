//! Settles in one go all that is due: groups and escapees that must hear of a signal, leaders that ended, attempts to look at again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Signal as RawSignal, WaitIdOptions};
use tokio::time::Instant;

use super::orphans::reap_orphans;
use super::view::View;
use super::{RETRY, Shared, State, forget, wait};
use crate::adapters::procfs::{self, Proc};
use crate::adapters::{fault_point, sys};
use crate::domain::outcome::{Exit, Signal};
use crate::ports::{AttemptId, ProcessEvent, ProcessSink};

/// Whether anything of a dead leader is left.
pub(super) enum Left {
    Nothing,
    These(Vec<Proc>),
    /// These were there at least, and are gone, maybe with successors; or somebody is there, and it cannot be told whose it is.
    Unsure(Vec<u32>),
}

/// Where nobody can tell, somebody looks again after this time.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// For this long at most; then what was seen counts.
const UNSURE_PATIENCE: Duration = Duration::from_secs(1);

type Events = Vec<(ProcessSink, ProcessEvent)>;

impl Shared {
    /// Does what is due. What cannot be done now, because `/proc` cannot be read, stays due.
    pub(super) fn settle(self: &Arc<Self>) {
        let mut events = Events::new();
        let mut state = self.lock();
        let due = std::mem::take(&mut state.due);
        let mut view = View::default();
        self.signal_groups(&mut state, &mut view, due.groups);
        let mut blind = self.stop_and_kill(&mut state, &mut view, &due.looks).is_err();
        for (attempt, signal) in due.escapees {
            if self.signal_escapees(&mut state, &mut view, &attempt, signal).is_err() {
                state.due.escapees.push((attempt, signal));
                blind = true;
            }
        }
        for (attempt, exit) in due.ended {
            if self.leader_ended(&mut state, &mut view, &attempt, exit, &mut events).is_err() {
                state.due.ended.push((attempt, exit));
                blind = true;
            }
        }
        for attempt in due.looks {
            if self.look(&mut state, &mut view, &attempt, &mut events).is_err() {
                state.due.looks.insert(attempt);
                blind = true;
            }
        }
        for attempt in due.overdue {
            if self.report_survivors(&mut state, &mut view, &attempt, &mut events).is_err() {
                state.due.overdue.insert(attempt);
                blind = true;
            }
        }
        if due.reap_orphans {
            reap_orphans(&mut state);
        }
        let unsure = state.due.unsure;
        drop(state);
        if blind {
            self.settle_later(RETRY);
        } else if unsure {
            self.settle_later(LOOK_AGAIN);
        }
        // Outside of the lock: a sink may call back.
        for (sink, event) in events {
            sink(event);
        }
    }

    fn settle_later(&self, pause: Duration) {
        let wake = Arc::clone(&self.wake);
        self.runtime.spawn(async move {
            tokio::time::sleep(pause).await;
            wake.notify_one();
        });
    }

    fn leader_ended(
        self: &Arc<Self>,
        state: &mut State,
        view: &mut View,
        attempt: &AttemptId,
        exit: Exit,
        events: &mut Events,
    ) -> io::Result<()> {
        let Some(leader) = state.attempts.get(attempt).map(|found| found.leader) else { return Ok(()) };
        let left = self.left_of(state, view, leader)?;
        if self.is_to_wait(state, attempt, &left) {
            state.due.ended.push((attempt.clone(), exit));
            return Ok(());
        }
        let Some(found) = state.attempts.get_mut(attempt) else { return Ok(()) };
        let exit = match exit {
            Exit::Signal { signal: Signal::KILL, .. } => {
                Exit::Signal { signal: Signal::KILL, out_of_memory: state.oom.take(found.oom_before) }
            }
            other => other,
        };
        found.ended = true;
        let leftovers = match &left {
            Left::Nothing => Vec::new(),
            Left::These(processes) => processes.iter().map(|process| process.pid).collect(),
            Left::Unsure(pids) => pids.clone(),
        };
        events.push((Arc::clone(&found.sink), ProcessEvent::Exited { attempt: attempt.clone(), exit, leftovers }));
        self.go_on(state, view, attempt, left);
        Ok(())
    }

    /// Looks at an attempt again: one of its left-over processes ended, or it is to be killed.
    fn look(
        self: &Arc<Self>,
        state: &mut State,
        view: &mut View,
        attempt: &AttemptId,
        events: &mut Events,
    ) -> io::Result<()> {
        let Some(found) = state.attempts.get(attempt) else { return Ok(()) };
        let (leader, ended) = (found.leader, found.ended);
        if !ended {
            let alive = self.family(state, view, leader)?.to_vec();
            self.pursue(state, attempt, &alive);
            return Ok(());
        }
        let left = self.left_of(state, view, leader)?;
        if self.is_to_wait(state, attempt, &left) {
            state.due.looks.insert(attempt.clone());
        } else if let Some(sink) = self.go_on(state, view, attempt, left) {
            events.push((sink, ProcessEvent::Gone { attempt: attempt.clone() }));
        }
        Ok(())
    }

    /// It cannot be told yet what is left, and to look again soon may help.
    pub(super) fn is_to_wait(&self, state: &mut State, attempt: &AttemptId, left: &Left) -> bool {
        let Some(found) = state.attempts.get_mut(attempt) else { return false };
        let wait = match left {
            Left::Unsure(_) => found.unsure.get_or_insert_with(Instant::now).elapsed() < UNSURE_PATIENCE,
            Left::Nothing | Left::These(_) => {
                found.unsure = None;
                false
            }
        };
        state.due.unsure |= wait;
        wait
    }

    /// With an attempt whose leader is dead: to its left-over processes, or to its end.
    fn go_on(self: &Arc<Self>, state: &mut State, view: &View, attempt: &AttemptId, left: Left) -> Option<ProcessSink> {
        match left {
            Left::These(processes) => self.pursue(state, attempt, &processes),
            Left::Unsure(pids) if !pids.is_empty() => {
                state.due.looks.insert(attempt.clone());
                self.settle_later(RETRY);
            }
            // Whoever could not be told apart for so long is nobody's.
            Left::Nothing | Left::Unsure(_) => {
                if let Some(look) = &view.orphans {
                    self.warn_of_nobodys(state, look);
                }
                return self.finish(state, attempt);
            }
        }
        None
    }

    fn report_survivors(
        &self,
        state: &mut State,
        view: &mut View,
        attempt: &AttemptId,
        events: &mut Events,
    ) -> io::Result<()> {
        let Some(found) = state.attempts.get(attempt) else { return Ok(()) };
        let (leader, sink) = (found.leader, Arc::clone(&found.sink));
        let pids: Vec<u32> = self.family(state, view, leader)?.iter().map(|process| process.pid).collect();
        if !pids.is_empty() {
            events.push((sink, ProcessEvent::Unkillable { attempt: attempt.clone(), pids }));
        }
        Ok(())
    }

    /// Kills what is to be killed, and has the end of everything that outlived its leader watched.
    fn pursue(self: &Arc<Self>, state: &mut State, attempt: &AttemptId, alive: &[Proc]) {
        let Some(found) = state.attempts.get_mut(attempt) else { return };
        for process in alive {
            if found.hunted {
                procfs::send(*process, &[RawSignal::KILL]);
            }
            if found.ended && found.watched.insert(process.pid) {
                self.runtime.spawn(Arc::clone(self).look_when_ended(attempt.clone(), *process));
            }
        }
    }

    async fn look_when_ended(self: Arc<Self>, attempt: AttemptId, process: Proc) {
        match procfs::open(process).and_then(|handle| handle.map(sys::watch_readable).transpose()) {
            Ok(Some(handle)) => drop(handle.readable().await),
            Ok(None) => {}
            // No descriptor to be had: look from time to time instead.
            Err(_) => tokio::time::sleep(RETRY).await,
        }
        let mut state = self.lock();
        if let Some(found) = state.attempts.get_mut(&attempt) {
            found.watched.remove(&process.pid);
            state.due.looks.insert(attempt);
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Nothing is left: the leader may be reaped.
    fn finish(&self, state: &mut State, attempt: &AttemptId) -> Option<ProcessSink> {
        let found = state.attempts.remove(attempt)?;
        let _ = fault_point::reach("reap");
        // It is a zombie, so this does not wait.
        let _ = wait(found.leader, WaitIdOptions::EXITED);
        state.leaders.remove(&found.leader);
        state.relatives.retain(|_, leader| *leader != found.leader);
        forget(found.leader);
        state.orphans.retain(|_, orphan| !orphan.is_of(found.leader));
        self.output.close(attempt.clone());
        Some(found.sink)
    }

    /// What is alive of the dead `leader`'s attempt.
    fn left_of(&self, state: &mut State, view: &mut View, leader: u32) -> io::Result<Left> {
        // Whatever is left has, up its chain of parents, a child of ours: orphans come to us before the leader is seen to be dead.
        let orphans = self.orphans(state, view)?;
        let its: Vec<u32> = orphans.of(leader).collect();
        if its.is_empty() {
            return Ok(if orphans.is_proof() { Left::Nothing } else { Left::Unsure(its) });
        }
        let family = self.family(state, view, leader)?;
        let left: Vec<Proc> = family.iter().filter(|process| process.pid != leader).copied().collect();
        Ok(if left.is_empty() { Left::Unsure(its) } else { Left::These(left) })
    }
}
