//! Stops what an earlier daemon left running, before anything starts: two processes of one script are worse than a late one.
//!
//! Usually the guard has done it already, and there is nothing to be found: that costs one walk through `/proc`. Only where both died at once
//! (or the ledger is all that is left of them) is there something to stop here.

mod find;
mod pipes;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use self::find::Finder;
use crate::adapters::procfs::{self, Proc};
use crate::adapters::{fault_point, sys};
use crate::domain::record::LedgerEntry;
use crate::domain::script::ScriptName;
use crate::ports::ProcessId;

/// SIGKILL may take this long before the survivors are reported.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks for what was forked meanwhile; the end of the last one is noticed at once.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The same once a grace is over: what forks faster than it can be killed must be met often.
const KILL_AGAIN: Duration = Duration::from_millis(5);

/// A walk that takes long is repeated less often: never more than a fifth of the time goes into looking.
const REST_PER_WALK: u32 = 4;

/// Looking fails where descriptors or memory are short, which may pass.
const TRIES: usize = 5;

/// A process of an earlier daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Whose it is; None where nothing tells.
    pub script: Option<ScriptName>,
    /// Which.
    pub process: ProcessId,
}

/// Processes whose environment could not be read: whether they are leftovers, only the ledger could tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unreadable {
    /// So many belong to other users, whom we may not look into unless we are root.
    pub others: usize,
    /// These belong to our own user (an ssh-agent, for one, hides from its own).
    pub own: Vec<u32>,
}

impl Unreadable {
    fn sort(pids: impl Iterator<Item = u32>) -> Self {
        let own_user = rustix::process::getuid().as_raw();
        let mut sorted = Self::default();
        for pid in pids {
            match procfs::user(pid) {
                Some(user) if user == own_user => sorted.own.push(pid),
                Some(_) => sorted.others += 1,
                None => {}
            }
        }
        sorted.own.sort_unstable();
        sorted
    }
}

/// What a sweep came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// They are gone.
    pub stopped: Vec<Leftover>,
    /// They outlived SIGKILL: their scripts must not be started while `still_alive`.
    pub survivors: Vec<Leftover>,
    /// What could not be looked into.
    pub unreadable: Unreadable,
}

/// Stops every process that an earlier daemon with this identity left running: those of the `ledger`, those with `daemon_id` in their
/// environment, their groups and descendants. SIGTERM and SIGCONT first, SIGKILL after the grace of each script. Returns when all are gone,
/// or some cannot be killed. Never touches this process, its ancestors, or a stranger that has got the number of one of ours.
///
/// To be called before anything is started. So no start times need be compared with ours: whoever carries the identity now is a leftover,
/// or was started by one a moment ago.
pub async fn sweep(
    daemon_id: &str,
    ledger: &[LedgerEntry],
    grace_of: impl Fn(Option<&ScriptName>) -> Duration,
) -> Swept {
    let mut sweeper =
        Sweeper { finder: Finder::new(daemon_id, ledger), grace_of, told: HashSet::new(), named: HashSet::new() };
    if let Err(error) = sweeper.look_at_first().await {
        tracing::warn!(
            target: "mho",
            "Whether an earlier daemon left something running cannot be told: /proc cannot be read ({error}). \
             Mount it, and look with `ps` for scripts that run twice"
        );
        return Swept::default();
    }
    let unreadable = sweeper.finder.unreadable();
    tell_unreadable(&unreadable);
    let survivors = sweeper.stop_all().await;
    if !survivors.is_empty() {
        let pids = list(survivors.iter().map(|leftover| leftover.process.pid));
        tracing::warn!(
            target: "mho",
            "Processes that an earlier daemon left running survived SIGKILL: PIDs {pids}. \
             Their scripts start when they are gone: end them, or restart the machine"
        );
    }
    let mut stopped = sweeper.finder.all();
    stopped.retain(|leftover| !survivors.contains(leftover));
    stopped.sort_unstable_by_key(|leftover| leftover.process.pid);
    Swept { stopped, survivors, unreadable }
}

/// Whether it is still there; also where that cannot be looked up.
#[must_use]
pub fn still_alive(leftover: &Leftover) -> bool {
    match procfs::read(leftover.process.pid) {
        Ok(found) => found.is_some_and(|now| is_live(leftover, now)),
        Err(_) => true,
    }
}

fn is_live(leftover: &Leftover, now: Proc) -> bool {
    now.start == leftover.process.born && !now.zombie
}

struct Sweeper<'a, G> {
    finder: Finder<'a>,
    grace_of: G,
    /// They have had their SIGTERM.
    told: HashSet<(u32, u64)>,
    /// Of these the log has spoken.
    named: HashSet<Option<ScriptName>>,
}

impl<G: Fn(Option<&ScriptName>) -> Duration> Sweeper<'_, G> {
    async fn look_at_first(&mut self) -> io::Result<()> {
        let mut done = self.finder.look().await;
        for _ in 1..TRIES {
            if done.is_ok() {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            done = self.finder.look().await;
        }
        done
    }

    /// Returns those that cannot be killed.
    async fn stop_all(&mut self) -> Vec<Leftover> {
        let start = Instant::now();
        if self.finder.all().is_empty() {
            return Vec::new();
        }
        loop {
            let mut alive = self.finder.alive();
            if alive.is_empty() {
                // The last to go may have left somebody behind.
                let _ = self.finder.look().await;
                alive = self.finder.alive();
                if alive.is_empty() {
                    return Vec::new();
                }
            }
            let age = start.elapsed();
            if alive.iter().all(|(_, leftover)| age >= self.grace(leftover) + KILL_PATIENCE) {
                return alive.into_iter().map(|(_, leftover)| leftover).collect();
            }
            self.name(&alive);
            self.tell(&alive);
            let killing = alive.iter().any(|(_, leftover)| age >= self.grace(leftover));
            if killing {
                self.kill(age);
                alive = self.finder.alive();
            }
            let walk = Instant::now();
            let _ = self.finder.walk();
            let until_kill = alive.iter().filter_map(|(_, leftover)| self.grace(leftover).checked_sub(start.elapsed()));
            let until_kill = until_kill.min().unwrap_or(LOOK_AGAIN);
            let rest = (walk.elapsed() * REST_PER_WALK).max(if killing { KILL_AGAIN } else { LOOK_AGAIN });
            let processes = alive.into_iter().map(|(process, _)| process);
            let _ = tokio::time::timeout(rest.min(until_kill), all_gone(processes)).await;
        }
    }

    fn grace(&self, leftover: &Leftover) -> Duration {
        (self.grace_of)(leftover.script.as_ref())
    }

    /// One warning for each script.
    fn name(&mut self, alive: &[(Proc, Leftover)]) {
        let mut by_script: BTreeMap<Option<&ScriptName>, Vec<u32>> = BTreeMap::new();
        for (process, leftover) in alive {
            by_script.entry(leftover.script.as_ref()).or_default().push(process.pid);
        }
        for (script, pids) in by_script {
            if self.named.insert(script.cloned()) {
                let pids = list(pids.into_iter());
                let script = script.map(tracing::field::display);
                tracing::warn!(target: "mho", script, "Stopping what an earlier daemon left running: PIDs {pids}");
            }
        }
    }

    /// To all that are there at first. Later on, a newcomer with a living parent is what that one's handler needs to clean up; an orphan is
    /// left behind.
    fn tell(&mut self, alive: &[(Proc, Leftover)]) {
        let first = self.told.is_empty();
        let living: HashSet<u32> = alive.iter().map(|(process, _)| process.pid).collect();
        for (process, _) in alive {
            if (first || !living.contains(&process.parent)) && self.told.insert(process.id()) {
                let _ = fault_point::reach("sweep.signal");
                procfs::send(*process, &[Signal::TERM, Signal::CONT]);
            }
        }
    }

    /// Those whose grace is over.
    fn kill(&mut self, age: Duration) {
        let _ = fault_point::reach("sweep.signal");
        procfs::kill_together(|| {
            let _ = self.finder.walk();
            let alive = self.finder.alive();
            alive.into_iter().filter(|(_, leftover)| age >= self.grace(leftover)).map(|(process, _)| process).collect()
        });
    }
}

/// Waits for the end of all of them. One that cannot be waited for keeps us here: the caller looks again after a while.
async fn all_gone(processes: impl Iterator<Item = Proc>) {
    for process in processes {
        match procfs::open(process).and_then(|handle| handle.map(sys::watch_readable).transpose()) {
            Ok(Some(handle)) => drop(handle.readable().await),
            Ok(None) => {}
            Err(_) => std::future::pending().await,
        }
    }
}

fn tell_unreadable(unreadable: &Unreadable) {
    let Unreadable { others, own } = unreadable;
    let mut parts = Vec::new();
    if !own.is_empty() {
        parts.push(format!("PIDs {}", list(own.iter().copied())));
    }
    if *others > 0 {
        parts.push(format!("{others} of other users"));
    }
    if !parts.is_empty() {
        let parts = parts.join(" and ");
        tracing::info!(target: "mho", "Processes that could not be looked into for leftovers of an earlier daemon: {parts}");
    }
}

fn list(pids: impl Iterator<Item = u32>) -> String {
    let mut pids: Vec<u32> = pids.collect();
    pids.sort_unstable();
    pids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}
