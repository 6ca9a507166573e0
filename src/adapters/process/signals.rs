//! Signals to whole attempts: their groups, and what has left those.

use std::collections::HashSet;
use std::io;

use rustix::process::Signal as RawSignal;

use super::orphans::stop_child;
use super::settle::Left;
use super::view::View;
use super::{Shared, State};
use crate::adapters::fault_point;
use crate::adapters::procfs::{self, Proc};
use crate::domain::outcome::Signal;
use crate::ports::AttemptId;

/// Before they are killed, processes are stopped in at most this many rounds.
const STOP_ROUNDS: usize = 20;

impl Shared {
    /// Before anybody is signalled, one walk shows who belongs to whom: a polite leader is dead a moment later, and with it the chain of
    /// parents, which may be all that shows whose somebody is.
    pub(super) fn signal_groups(&self, state: &mut State, view: &mut View, groups: Vec<(AttemptId, Signal)>) {
        if groups.is_empty() {
            return;
        }
        // A stop does not wait for a look that fails: whoever has other marks is found later all the same.
        let _ = self.look_at_families(state, view);
        for (attempt, signal) in groups {
            if let Some(found) = state.attempts.get(&attempt) {
                signal_group(found.leader, signal);
            }
        }
    }

    pub(super) fn signal_escapees(
        &self,
        state: &mut State,
        view: &mut View,
        attempt: &AttemptId,
        signal: Signal,
    ) -> io::Result<()> {
        let Some(leader) = state.attempts.get(attempt).map(|found| found.leader) else { return Ok(()) };
        // The walk first: see `family`.
        view.snapshot()?;
        let sure = self.orphans(state, view)?.is_proof();
        if self.is_to_wait(state, attempt, &if sure { Left::Nothing } else { Left::Unsure(Vec::new()) }) {
            state.due.escapees.push((attempt.clone(), signal));
            return Ok(());
        }
        let signals: Vec<_> = with_continue(signal).collect();
        // The group has its signal already.
        for escapee in self.family(state, view, leader)?.iter().filter(|process| process.group != leader) {
            procfs::send(*escapee, &signals);
        }
        Ok(())
    }

    /// Kills what is to be killed beside its group, which had its SIGKILL as a whole. Each is stopped first, until no newcomer is found: so
    /// nobody forks meanwhile, and nobody loses the parent that shows whose he is.
    pub(super) fn stop_and_kill(
        &self,
        state: &mut State,
        view: &mut View,
        looks: &HashSet<AttemptId>,
    ) -> io::Result<()> {
        let attempts = looks.iter().filter_map(|attempt| state.attempts.get(attempt)).filter(|found| found.hunted);
        let hunted: Vec<(u32, bool)> = attempts.map(|found| (found.leader, found.ended)).collect();
        if hunted.is_empty() {
            return Ok(());
        }
        let mut stopped: Vec<Proc> = Vec::new();
        let mut done = Ok(true);
        for _ in 0..STOP_ROUNDS {
            done = self.stop_newcomers(state, view, &hunted, &mut stopped);
            match done {
                Ok(true) => *view = View::default(),
                Ok(false) | Err(_) => break,
            }
        }
        for process in stopped {
            procfs::send(process, &[RawSignal::KILL]);
        }
        done.map(drop)
    }

    fn stop_newcomers(
        &self,
        state: &mut State,
        view: &mut View,
        hunted: &[(u32, bool)],
        stopped: &mut Vec<Proc>,
    ) -> io::Result<bool> {
        let before = stopped.len();
        for (leader, ended) in hunted {
            let orphans: Vec<u32> = self.orphans(state, view)?.of(*leader).collect();
            // At once: a walk may take as long as a generation of something that forks and forks.
            orphans.iter().for_each(|pid| stop_child(*pid));
            if *ended && orphans.is_empty() {
                continue;
            }
            for process in self.family(state, view, *leader)? {
                let known = stopped.iter().any(|other| (other.pid, other.start) == (process.pid, process.start));
                if process.group != *leader && !known {
                    procfs::send(*process, &[RawSignal::STOP]);
                    stopped.push(*process);
                }
            }
        }
        Ok(stopped.len() > before)
    }
}

/// To the whole group: `signal`, then CONT, without which a stopped process would not act on it.
pub(super) fn signal_group(leader: u32, signal: Signal) {
    let Some(group) = procfs::raw_pid(leader).filter(|_| fault_point::reach("signal").is_ok()) else { return };
    for signal in with_continue(signal) {
        // Fails only where nobody of the group is left, or nobody that we may signal; the walk that follows sees who.
        let _ = rustix::process::kill_process_group(group, signal);
    }
    let _ = fault_point::reach("signalled");
}

fn with_continue(signal: Signal) -> impl Iterator<Item = rustix::process::Signal> {
    let wanted = rustix::process::Signal::from_named_raw(signal.number());
    wanted.into_iter().chain([rustix::process::Signal::CONT])
}
