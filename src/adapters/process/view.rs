//! What one batch of work has seen of the machine.

use std::io;

use super::family::{Families, families, relatives};
use super::orphans::Look;
use super::{Shared, State};
use crate::adapters::fault_point;
use crate::adapters::procfs::{Proc, Snapshot};

/// Each look is taken at most once, and only when somebody needs it.
#[derive(Default)]
pub(super) struct View {
    snapshot: Option<Snapshot>,
    families: Option<Families>,
    pub(super) orphans: Option<Look>,
}

impl Shared {
    pub(super) fn orphans<'v>(&self, state: &mut State, view: &'v mut View) -> io::Result<&'v Look> {
        Ok(match &mut view.orphans {
            Some(taken) => taken,
            none => none.insert(self.look_at_orphans(state)?),
        })
    }

    /// All live processes of `leader`'s attempt, itself included.
    pub(super) fn family<'v>(&self, state: &mut State, view: &'v mut View, leader: u32) -> io::Result<&'v [Proc]> {
        self.look_at_families(state, view)?;
        Ok(view.families.as_ref().and_then(|all| all.get(&leader)).map_or(&[], Vec::as_slice))
    }

    /// Sorts out who belongs to whom, and remembers it.
    pub(super) fn look_at_families(&self, state: &mut State, view: &mut View) -> io::Result<()> {
        if view.families.is_none() {
            // The walk first: an orphan that it shows is still our child when the look comes, unless it is dead.
            view.snapshot()?;
            self.orphans(state, view)?;
            if let (Some(snapshot), Some(orphans)) = (&view.snapshot, &view.orphans) {
                let is_leader = |pid| state.leaders.contains_key(&pid);
                let found = families(snapshot, std::process::id(), is_leader, |pid| orphans.owner(pid));
                state.relatives = relatives(&found);
                view.families = Some(found);
            }
        }
        Ok(())
    }
}

impl View {
    pub(super) fn snapshot(&mut self) -> io::Result<&Snapshot> {
        match &mut self.snapshot {
            Some(taken) => Ok(taken),
            none => Ok(none.insert(fault_point::reach("walk").and_then(|()| Snapshot::take())?)),
        }
    }
}
