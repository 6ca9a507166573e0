//! Settles in one go all that is due: escapees that must hear of a signal, leaders that ended, attempts to look at again.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use rustix::process::{Signal as RawSignal, WaitIdOptions};

use super::family::{Families, families};
use super::{RETRY, Shared, State, forget, is_leader, wait, with_continue};
use crate::adapters::procfs::{self, Proc, Snapshot};
use crate::adapters::sys;
use crate::domain::outcome::{Exit, Signal};
use crate::ports::{AttemptId, ProcessEvent, ProcessSink};

/// What one batch has seen of the machine: each look is taken at most once, and only when somebody needs it.
#[derive(Default)]
struct View {
    snapshot: Option<Snapshot>,
    families: Option<Families>,
    orphans: Option<Vec<u32>>,
}

/// What an orphan may carry of its script, with the leader that it points to.
struct Marks {
    runs: HashMap<String, u32>,
    pipes: HashMap<(u64, u64), u32>,
}

type Events = Vec<(ProcessSink, ProcessEvent)>;

impl Shared {
    /// Does what is due. What cannot be done now, because `/proc` cannot be read, stays due.
    pub(super) fn settle(self: &Arc<Self>) {
        let mut events = Events::new();
        let mut state = self.lock();
        let due = std::mem::take(&mut state.due);
        let mut view = View::default();
        let mut blind = false;
        for (attempt, signal) in due.signals {
            if self.signal_escapees(&mut state, &mut view, &attempt, signal).is_err() {
                state.due.signals.push((attempt, signal));
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
        drop(state);
        if blind {
            self.settle_later();
        }
        // Outside of the lock: a sink may call back.
        for (sink, event) in events {
            sink(event);
        }
    }

    fn settle_later(&self) {
        let wake = Arc::clone(&self.wake);
        self.runtime.spawn(async move {
            tokio::time::sleep(RETRY).await;
            wake.notify_one();
        });
    }

    fn signal_escapees(
        &self,
        state: &mut State,
        view: &mut View,
        attempt: &AttemptId,
        signal: Signal,
    ) -> io::Result<()> {
        let Some(leader) = state.attempts.get(attempt).map(|found| found.leader) else { return Ok(()) };
        let signals: Vec<_> = with_continue(signal).collect();
        // The group has its signal already.
        for escapee in self.family(state, view, leader)?.iter().filter(|process| process.group != leader) {
            procfs::send(*escapee, &signals);
        }
        Ok(())
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
        let exit = match exit {
            Exit::Signal { signal: Signal::KILL, .. } => {
                Exit::Signal { signal: Signal::KILL, out_of_memory: state.oom.take() }
            }
            other => other,
        };
        let Some(found) = state.attempts.get_mut(attempt) else { return Ok(()) };
        found.ended = true;
        let leftovers = left.iter().map(|process| process.pid).collect();
        events.push((Arc::clone(&found.sink), ProcessEvent::Exited { attempt: attempt.clone(), exit, leftovers }));
        if left.is_empty() {
            self.finish(state, attempt);
        } else {
            self.pursue(state, attempt, &left);
        }
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
        if !left.is_empty() {
            self.pursue(state, attempt, &left);
        } else if let Some(sink) = self.finish(state, attempt) {
            events.push((sink, ProcessEvent::Gone { attempt: attempt.clone() }));
        }
        Ok(())
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
        // It is a zombie, so this does not wait.
        let _ = wait(found.leader, WaitIdOptions::EXITED);
        state.leaders.remove(&found.leader);
        forget(found.leader);
        self.output.close(attempt.clone());
        Some(found.sink)
    }

    /// What is alive of the dead `leader`'s attempt.
    fn left_of(&self, state: &mut State, view: &mut View, leader: u32) -> io::Result<Vec<Proc>> {
        // Whatever is left has, up its chain of parents, a child of ours: orphans come to us before the leader is seen to be dead.
        let possible = match view.orphans() {
            Some(orphans) => orphans.iter().any(|orphan| match state.orphans.get(orphan) {
                Some(owner) => *owner == Some(leader),
                None => true,
            }),
            None => true,
        };
        if !possible {
            return Ok(Vec::new());
        }
        let family = self.family(state, view, leader)?;
        Ok(family.iter().filter(|process| process.pid != leader).copied().collect())
    }

    /// All live processes of `leader`'s attempt, itself included.
    fn family<'v>(&self, state: &mut State, view: &'v mut View, leader: u32) -> io::Result<&'v [Proc]> {
        if view.families.is_none() {
            let snapshot = view.snapshot()?;
            let own = std::process::id();
            let marks = self.marks(state);
            let State { leaders, orphans, .. } = state;
            let found = families(
                snapshot,
                own,
                |pid| leaders.contains_key(&pid),
                |pid| *orphans.entry(pid).or_insert_with(|| self.owner_by_marks(pid, &marks)),
            );
            view.families = Some(found);
        }
        Ok(view.families.as_ref().and_then(|all| all.get(&leader)).map_or(&[], Vec::as_slice))
    }

    fn marks(&self, state: &State) -> Marks {
        let runs = state.leaders.iter().map(|(leader, attempt)| (self.identity.run_id(attempt), *leader)).collect();
        let pipes = state.attempts.values().map(|found| (found.pipe, found.leader)).collect();
        Marks { runs, pipes }
    }

    /// By its environment, and where a program has cleared that or written its title over it, by the pipe that it prints to.
    fn owner_by_marks(&self, pid: u32, marks: &Marks) -> Option<u32> {
        let [daemon, run] = procfs::environment_values(pid, ["MHO_DAEMON_ID", "MHO_RUN_ID"]);
        let run = run.filter(|_| daemon.as_ref() == Some(&self.identity.daemon_id));
        run.and_then(|run| marks.runs.get(&run).copied())
            .or_else(|| [1, 2].into_iter().find_map(|fd| marks.pipes.get(&procfs::open_file(pid, fd)?).copied()))
    }
}

impl View {
    fn snapshot(&mut self) -> io::Result<&Snapshot> {
        match &mut self.snapshot {
            Some(taken) => Ok(taken),
            none => Ok(none.insert(Snapshot::take()?)),
        }
    }

    /// Our live children that nobody here spawned; None where only a walk could tell.
    fn orphans(&mut self) -> Option<&[u32]> {
        if self.orphans.is_none() {
            let mut children = procfs::own_children()?;
            children.retain(|&pid| !is_leader(pid) && is_alive(pid));
            self.orphans = Some(children);
        }
        self.orphans.as_deref()
    }
}

/// Looks without reaping: where this library is used beside other code, that code may still want its child's status.
fn is_alive(pid: u32) -> bool {
    matches!(wait(pid, WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT), Ok(None))
}

/// Reaps the orphans that ended. Never "any child": that could be a leader, whose status is wanted elsewhere.
fn reap_orphans(state: &mut State) {
    let children = procfs::own_children().or_else(|| {
        let own = std::process::id();
        let snapshot = Snapshot::take().ok()?;
        Some(snapshot.iter().filter(|process| process.parent == own).map(|process| process.pid).collect())
    });
    for pid in children.unwrap_or_default().into_iter().filter(|&pid| !is_leader(pid)) {
        if !matches!(wait(pid, WaitIdOptions::EXITED | WaitIdOptions::NOHANG), Ok(None)) {
            state.orphans.remove(&pid);
        }
    }
}
