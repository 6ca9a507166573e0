//! Our children that nobody here spawned: what dead parents left to us. Whose they are, and the proof that somebody has none.
//!
//! The proof: the kernel moves the children of a dying process to us in the same step in which it becomes a zombie, and a zombie stays our
//! child until it is reaped here. So of a family whose leader is dead, always at least one living member is our child, however fast it
//! forks and dies. If all unknown children are found dead or somebody else's, and a list of our children taken *after* that names no other,
//! nothing is left.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Duration;

use rustix::process::{Signal as RawSignal, WaitIdOptions};
use tokio::time::Instant;

use super::{Shared, State, is_leader, wait};
use crate::adapters::procfs::{self, Snapshot};

/// In one look, the list of children is read at most this often.
const READS: usize = 16;

/// While a process executes a new program, its environment reads as empty for a moment, or breaks off in the middle: a process without marks
/// is looked at again for this long before it counts as nobody's; only shortly where it has a command line already.
const EXEC_PATIENCE: Duration = Duration::from_secs(1);
const CLEARED_AFTER: Duration = Duration::from_millis(20);
const ENOUGH_LOOKS: u32 = 5;

/// Whose an orphan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Leader(u32),
    Nobody,
    /// It cannot be told at this moment.
    Unclear,
}

/// What is remembered of an orphan.
#[derive(Debug)]
pub(super) struct Orphan {
    owner: Owner,
    seen: Instant,
    looks: u32,
    told: bool,
}

/// What an orphan may carry of its script, with the leader that it points to.
struct Marks {
    runs: HashMap<String, u32>,
    limits: HashMap<u64, u32>,
    pipes: HashMap<(u64, u64), u32>,
}

/// The living orphans.
#[derive(Debug)]
pub(super) struct Look {
    live: Vec<(u32, Owner)>,
    complete: bool,
}

impl Look {
    /// Of the attempt with this leader.
    pub(super) fn of(&self, leader: u32) -> impl Iterator<Item = u32> + '_ {
        self.live.iter().filter(move |(_, owner)| *owner == Owner::Leader(leader)).map(|(pid, _)| *pid)
    }

    /// No dead leader has any that this look does not name.
    pub(super) fn is_proof(&self) -> bool {
        self.complete && self.live.iter().all(|(_, owner)| *owner != Owner::Unclear)
    }

    /// The owner of an orphan in this look.
    pub(super) fn owner(&self, pid: u32) -> Option<u32> {
        self.live.iter().find_map(|(found, owner)| match owner {
            Owner::Leader(leader) if *found == pid => Some(*leader),
            _ => None,
        })
    }
}

impl Orphan {
    pub(super) fn is_of(&self, leader: u32) -> bool {
        self.owner == Owner::Leader(leader)
    }
}

impl Shared {
    pub(super) fn look_at_orphans(&self, state: &mut State) -> io::Result<Look> {
        let mut seen = HashSet::new();
        let mut look = Look { live: Vec::new(), complete: false };
        let mut marks = None;
        for _ in 0..READS {
            let mut new = children()?;
            new.retain(|pid| !is_leader(*pid) && seen.insert(*pid));
            if new.is_empty() {
                look.complete = true;
                break;
            }
            for pid in new.into_iter().filter(|&pid| is_alive(pid)) {
                look.live.push((pid, self.owner_of_orphan(state, &mut marks, pid)));
            }
        }
        Ok(look)
    }

    fn owner_of_orphan(&self, state: &mut State, marks: &mut Option<Marks>, pid: u32) -> Owner {
        if let Some(known) = state.orphans.get(&pid).filter(|known| known.owner != Owner::Unclear) {
            return known.owner;
        }
        let process = procfs::read(pid).ok().flatten();
        let seen_before = process.and_then(|process| state.relatives.get(&process.id()).copied());
        // An unreaped leader keeps its group's number from being used again, so the number alone is proof.
        let group = process.map(|process| process.group).filter(|group| state.leaders.contains_key(group));
        let owner = match seen_before.or(group) {
            Some(leader) => Owner::Leader(leader),
            None => self.owner_by_marks(pid, marks.get_or_insert_with(|| self.marks(state))),
        };
        let known = state.orphans.entry(pid).or_insert(Orphan { owner, seen: Instant::now(), looks: 0, told: false });
        let age = known.seen.elapsed();
        known.looks += 1;
        let patience = if procfs::has_command_line(pid) { CLEARED_AFTER } else { EXEC_PATIENCE };
        // What is kept is what cannot change any more.
        known.owner = if owner == Owner::Nobody && age < EXEC_PATIENCE { Owner::Unclear } else { owner };
        match owner {
            Owner::Leader(_) => owner,
            Owner::Nobody | Owner::Unclear if age < patience || known.looks < ENOUGH_LOOKS => Owner::Unclear,
            Owner::Nobody | Owner::Unclear => Owner::Nobody,
        }
    }

    fn marks(&self, state: &State) -> Marks {
        let runs = state.leaders.iter().map(|(leader, attempt)| (self.identity.run_id(attempt), *leader)).collect();
        let pipes = state.attempts.values().map(|found| (found.pipe, found.leader)).collect();
        let limits = state.attempts.values().filter_map(|found| Some((found.mark?, found.leader))).collect();
        Marks { runs, limits, pipes }
    }

    /// By its environment, and where a program has cleared that or written its title over it, by the limit that it has inherited or the pipe
    /// that it prints to.
    fn owner_by_marks(&self, pid: u32, marks: &Marks) -> Owner {
        let environment = procfs::environment(pid, ["MHO_DAEMON_ID", "MHO_RUN_ID"]);
        let [daemon, run] = environment.clone().unwrap_or_default();
        let ours = daemon.as_ref() == Some(&self.identity.daemon_id);
        let leader = run
            .filter(|_| ours)
            .and_then(|run| marks.runs.get(&run).copied())
            .or_else(|| marks.limits.get(&procfs::realtime_limit(pid)?).copied())
            .or_else(|| [1, 2].into_iter().find_map(|fd| marks.pipes.get(&procfs::open_file(pid, fd)?).copied()));
        match leader {
            Some(leader) => Owner::Leader(leader),
            // One of ours whose run is over may get its owner back with the run's next attempt.
            None if environment.is_none() || ours => Owner::Unclear,
            None => Owner::Nobody,
        }
    }

    /// Once for each: it lives on until the daemon ends, and nobody else would ever hear of it.
    pub(super) fn warn_of_nobodys(&self, state: &mut State, look: &Look) {
        for (pid, _) in look.live.iter().filter(|(_, owner)| *owner == Owner::Nobody) {
            let Some(known) = state.orphans.get_mut(pid).filter(|known| !known.told) else { continue };
            known.told = true;
            let name = procfs::name(*pid);
            tracing::warn!(
                target: "mho",
                pid,
                command = name,
                "A process that some script left behind cannot be told apart: nothing shows whose it is. It ends with the daemon"
            );
        }
    }
}

/// Looks without reaping: where this library is used beside other code, that code may still want its child's status.
fn is_alive(pid: u32) -> bool {
    matches!(wait(pid, WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT), Ok(None))
}

/// All children, zombies included.
fn children() -> io::Result<Vec<u32>> {
    if let Some(children) = procfs::own_children() {
        return Ok(children);
    }
    let own = std::process::id();
    Ok(Snapshot::take()?.iter().filter(|process| process.parent == own).map(|process| process.pid).collect())
}

/// Stops a living child that is not reaped anywhere but here: its pid means nobody else.
pub(super) fn stop_child(pid: u32) {
    let _ = procfs::raw_pid(pid).map(|pid| rustix::process::kill_process(pid, RawSignal::STOP));
}

/// Reaps the orphans that ended. Never "any child": that could be a leader, whose status is wanted elsewhere.
pub(super) fn reap_orphans(state: &mut State) {
    for pid in children().unwrap_or_default().into_iter().filter(|&pid| !is_leader(pid)) {
        if !matches!(wait(pid, WaitIdOptions::EXITED | WaitIdOptions::NOHANG), Ok(None)) {
            state.orphans.remove(&pid);
        }
    }
}
