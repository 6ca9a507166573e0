//! Which processes an earlier daemon left. Each has a proof: its identity stands in the ledger, our word in its environment, or it belongs
//! to the process group or to the descendants of one of those, or prints to its output pipe. A number alone proves nothing.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::pipes::Pipes;
use super::{Leftover, Unreadable};
use crate::adapters::fault_point;
use crate::adapters::procfs::{self, Proc, Sight, Snapshot};
use crate::domain::record::LedgerEntry;
use crate::domain::script::ScriptName;
use crate::ports::ProcessId;

/// While a process executes a new program, its environment reads as empty: one without any is looked at again for this long, only shortly
/// where it has a command line already.
const EXEC_PATIENCE: Duration = Duration::from_secs(1);
const CLEARED_AFTER: Duration = Duration::from_millis(20);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// What forks faster than it can be found is stopped before it is looked for on.
const WALKS: usize = 5;

/// Whose a process is, as far as its script is known.
pub(super) type Owners = HashMap<u32, Option<ScriptName>>;

/// Looks for leftovers, and remembers those that it found.
pub(super) struct Finder<'a> {
    daemon_id: &'a str,
    /// Of this life of the machine; in another one a pid means nothing.
    ledger: Vec<&'a LedgerEntry>,
    /// By identity: what was one stays one, whatever program it executes.
    known: HashMap<(u32, u64), (Proc, Leftover)>,
    /// This process and its ancestors: whoever started us may itself come from a leftover.
    spared: HashSet<u32>,
    pipes: Pipes,
    unreadable: Option<Unreadable>,
}

/// What one walk has seen of the environments.
#[derive(Default)]
struct Marks {
    /// They carry our word.
    ours: Owners,
    /// Nothing to be seen at this moment.
    empty: Vec<Proc>,
    hidden: Vec<Proc>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(daemon_id: &'a str, ledger: &'a [LedgerEntry]) -> Self {
        let boot = procfs::boot_id().ok();
        let ledger = ledger.iter().filter(|entry| boot.as_deref() == Some(entry.boot.as_str())).collect();
        Self {
            daemon_id,
            ledger,
            known: HashMap::new(),
            spared: HashSet::new(),
            pipes: Pipes::default(),
            unreadable: None,
        }
    }

    /// Walks until a walk finds nothing new: so where there is nothing at all, once.
    pub(super) async fn look(&mut self) -> io::Result<()> {
        let mut before = self.known.len();
        for _ in 0..WALKS {
            let empty = self.walk()?;
            if self.one_of_ours_executed(empty).await {
                continue;
            }
            if self.known.len() == before {
                break;
            }
            before = self.known.len();
        }
        Ok(())
    }

    /// Walks `/proc` once and adds what is new to the known ones. Returns those whose environment shows nothing at this moment.
    pub(super) fn walk(&mut self) -> io::Result<Vec<Proc>> {
        let snapshot = fault_point::reach("sweep.walk").and_then(|()| Snapshot::take())?;
        self.spared.insert(std::process::id());
        self.spared.extend(procfs::ancestors());
        let Marks { ours, mut empty, hidden } = self.read_marks(&snapshot);
        let mut found = self.judge(&snapshot, ours);
        self.add_printers(&snapshot, &mut found);
        empty.retain(|process| !found.contains_key(&process.pid));
        self.unreadable.get_or_insert_with(|| {
            Unreadable::sort(hidden.iter().map(|process| process.pid).filter(|pid| !found.contains_key(pid)))
        });
        for (pid, script) in found {
            if let Some(process) = snapshot.get(pid) {
                let leftover = Leftover { script, process: ProcessId { pid, born: process.start } };
                self.known.entry(process.id()).or_insert((process, leftover));
            }
        }
        Ok(empty)
    }

    /// The known ones that still live, and those of which that cannot be told.
    pub(super) fn alive(&self) -> Vec<(Proc, Leftover)> {
        let look = |(process, leftover): &(Proc, Leftover)| match procfs::read(process.pid) {
            Ok(now) => Some((now.filter(|now| super::is_live(leftover, *now))?, leftover.clone())),
            Err(_) => Some((*process, leftover.clone())),
        };
        self.known.values().filter_map(look).collect()
    }

    /// All that were ever found.
    pub(super) fn all(&self) -> Vec<Leftover> {
        self.known.values().map(|(_, leftover)| leftover.clone()).collect()
    }

    /// What the first walk could not look into.
    pub(super) fn unreadable(&self) -> Unreadable {
        self.unreadable.clone().unwrap_or_default()
    }

    fn may_be_one(&self, process: Proc) -> bool {
        !process.zombie && !process.kernel && !self.spared.contains(&process.pid)
    }

    fn read_marks(&self, snapshot: &Snapshot) -> Marks {
        let mut marks = Marks::default();
        let unknown = |process: &Proc| self.may_be_one(*process) && !self.known.contains_key(&process.id());
        for process in snapshot.iter().filter(unknown) {
            match self.mark(process.pid) {
                Sight::Values([Some(_), script]) => {
                    marks.ours.insert(process.pid, script.and_then(|name| ScriptName::new(&name).ok()));
                }
                Sight::Empty => marks.empty.push(process),
                Sight::Hidden => marks.hidden.push(process),
                Sight::Values(_) | Sight::Gone => {}
            }
        }
        marks
    }

    /// Our word, if it carries that and no other, and its script's name.
    fn mark(&self, pid: u32) -> Sight<2> {
        match procfs::see_environment(pid, ["MHO_DAEMON_ID", "MHO_SCRIPT"]) {
            Sight::Values([id, script]) => Sight::Values([id.filter(|id| id == self.daemon_id), script]),
            other => other,
        }
    }

    /// Waits until each of `empty` shows what it is. True if one carries our word: it is time for another walk.
    async fn one_of_ours_executed(&self, mut empty: Vec<Proc>) -> bool {
        let since = Instant::now();
        while !empty.is_empty() {
            tokio::time::sleep(LOOK_AGAIN).await;
            let age = since.elapsed();
            let mut ours = false;
            empty.retain(|process| match self.mark(process.pid) {
                Sight::Values([id, _]) => {
                    ours |= id.is_some();
                    false
                }
                Sight::Empty if procfs::has_command_line(process.pid) => age < CLEARED_AFTER,
                Sight::Empty => age < EXEC_PATIENCE && is_there(*process),
                Sight::Hidden | Sight::Gone => false,
            });
            if ours {
                return true;
            }
        }
        false
    }

    /// All leftovers of this snapshot, `ours` being those that carry our word.
    fn judge(&self, snapshot: &Snapshot, ours: Owners) -> Owners {
        let mut found = ours;
        for (_, leftover) in self.known.values() {
            let ProcessId { pid, born } = leftover.process;
            if snapshot.get(pid).is_some_and(|process| process.start == born && !process.zombie) {
                found.insert(pid, leftover.script.clone());
            }
        }
        let mut groups = Owners::new();
        for entry in &self.ledger {
            let ProcessId { pid, born } = entry.process;
            let script = Some(entry.attempt.script.clone());
            match snapshot.get(pid) {
                // Its zombie, too, keeps the number of its group from being used again.
                Some(leader) if is_its_own(leader, born) && !self.spared.contains(&pid) => {
                    groups.insert(pid, script.clone());
                    if self.may_be_one(leader) {
                        found.insert(pid, script);
                    }
                }
                Some(_) => {}
                // The number may have been a stranger's in between: one of its members has to prove that it was not.
                None if found.keys().any(|member| snapshot.get(*member).is_some_and(|member| member.group == pid)) => {
                    groups.insert(pid, script);
                }
                None => {}
            }
        }
        // A group belongs to the living process with its number.
        groups.extend(found.iter().map(|(pid, script)| (*pid, script.clone())));
        for process in snapshot.iter().filter(|process| self.may_be_one(*process)) {
            if let Some(script) = groups.get(&process.group) {
                found.entry(process.pid).or_insert_with(|| script.clone());
            }
        }
        self.add_descendants(snapshot, found)
    }

    /// Whoever prints to the output pipe of another one. What belongs to them in turn, the next walk finds.
    fn add_printers(&mut self, snapshot: &Snapshot, found: &mut Owners) {
        self.pipes.learn(found, &self.spared);
        for process in snapshot.iter().filter(|process| self.may_be_one(*process)) {
            if let Some(script) = self.pipes.owner(process.pid) {
                found.entry(process.pid).or_insert_with(|| script.clone());
            }
        }
    }

    fn add_descendants(&self, snapshot: &Snapshot, mut found: Owners) -> Owners {
        let mut children: HashMap<u32, Vec<Proc>> = HashMap::new();
        for process in snapshot.iter().filter(|process| self.may_be_one(*process)) {
            children.entry(process.parent).or_default().push(process);
        }
        let mut open: Vec<Proc> = found.keys().filter_map(|pid| snapshot.get(*pid)).collect();
        while let Some(parent) = open.pop() {
            let script = found.get(&parent.pid).cloned().flatten();
            // A snapshot is not one instant: nobody is older than his parent.
            for child in children.remove(&parent.pid).unwrap_or_default() {
                if child.start >= parent.start {
                    found.entry(child.pid).or_insert_with(|| script.clone());
                    open.push(child);
                }
            }
        }
        found
    }
}

/// The process that the ledger means. Zero stands for a start that nobody could read, not for the machine's first moment.
fn is_its_own(process: Proc, born: u64) -> bool {
    born != 0 && process.start == born
}

fn is_there(process: Proc) -> bool {
    procfs::read(process.pid).is_ok_and(|now| now.is_some_and(|now| now.start == process.start && !now.zombie))
}
