//! Who belongs to which script: its process group, all that descends from its leader, and what has lost its parents but not its marks.

use std::collections::HashMap;

use crate::adapters::procfs::{Proc, Snapshot};

/// The live processes of each leader, the leader included.
pub(super) type Families = HashMap<u32, Vec<Proc>>;

/// The leader of each process, by the process's identity.
pub(super) type Relatives = HashMap<(u32, u64), u32>;

/// Everybody in `families`.
pub(super) fn relatives(families: &Families) -> Relatives {
    let of = |(leader, all): (&u32, &Vec<Proc>)| all.iter().map(|process| (process.id(), *leader)).collect::<Vec<_>>();
    families.iter().flat_map(of).collect()
}

/// Sorts all processes by leader. `owner_of_orphan` is asked for each child of this process that is no leader itself: one that a dead parent
/// left to us. Only our own descendants are asked for, so a process elsewhere that merely carries a script's environment is left alone.
pub(super) fn families(
    snapshot: &Snapshot,
    own: u32,
    is_leader: impl Fn(u32) -> bool,
    mut owner_of_orphan: impl FnMut(u32) -> Option<u32>,
) -> Families {
    let mut known: HashMap<u32, Option<u32>> = HashMap::new();
    let mut found = Families::new();
    for process in snapshot.iter() {
        let owner = owner(snapshot, process, own, &is_leader, &mut owner_of_orphan, &mut known);
        if let Some(owner) = owner.filter(|_| !process.zombie) {
            found.entry(owner).or_default().push(process);
        }
    }
    found
}

/// Climbs from `process` to the first ancestor whose owner is clear, and remembers the answer for all on the way.
fn owner(
    snapshot: &Snapshot,
    process: Proc,
    own: u32,
    is_leader: &impl Fn(u32) -> bool,
    owner_of_orphan: &mut impl FnMut(u32) -> Option<u32>,
    known: &mut HashMap<u32, Option<u32>>,
) -> Option<u32> {
    let mut path = Vec::new();
    let mut at = process;
    let owner = loop {
        if let Some(&owner) = known.get(&at.pid) {
            break owner;
        }
        path.push(at.pid);
        if is_leader(at.pid) {
            break Some(at.pid);
        }
        // An unreaped leader keeps its group's number from being used again, so the number alone is proof.
        if is_leader(at.group) {
            break Some(at.group);
        }
        if at.parent == own {
            break owner_of_orphan(at.pid);
        }
        // A snapshot is not one instant: a recycled pid could close a circle.
        match snapshot.get(at.parent).filter(|parent| at.pid != own && !path.contains(&parent.pid)) {
            Some(parent) => at = parent,
            None => break None,
        }
    };
    known.extend(path.into_iter().map(|pid| (pid, owner)));
    owner
}
