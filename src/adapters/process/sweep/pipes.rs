//! The output pipes of leftovers: who has left its group and its parents and cleared its environment may still print where the others do.
//!
//! A daemon opens a script's end of the pipe for reading and writing, which nobody else does: so the pipes of a shell or of whatever else
//! happens to have a leftover in it prove nothing.

use std::collections::{HashMap, HashSet};

use super::find::Owners;
use crate::adapters::procfs;
use crate::domain::script::ScriptName;

/// Whose an output pipe is, as far as the script is known. They are remembered: the last that was known to print there may be gone.
#[derive(Default)]
pub(super) struct Pipes(HashMap<u64, Option<ScriptName>>);

impl Pipes {
    /// Adds the pipes of `leftovers`, except for those that one of `spared` has open, whatever for: those are its own affair.
    pub(super) fn learn(&mut self, leftovers: &Owners, spared: &HashSet<u32>) {
        let new: Vec<_> = leftovers
            .iter()
            .flat_map(|(pid, script)| outputs(*pid).map(move |pipe| (pipe, script)))
            .filter(|(pipe, _)| !self.0.contains_key(pipe))
            .collect();
        if new.is_empty() {
            return;
        }
        let not_ours: HashSet<u64> = spared.iter().flat_map(|pid| procfs::all_pipes(*pid)).collect();
        self.0.extend(
            new.into_iter().filter(|(pipe, _)| !not_ours.contains(pipe)).map(|(pipe, script)| (pipe, script.clone())),
        );
    }

    /// The script of a process that prints to one of them.
    pub(super) fn owner(&self, pid: u32) -> Option<&Option<ScriptName>> {
        if self.0.is_empty() {
            return None;
        }
        outputs(pid).find_map(|pipe| self.0.get(&pipe))
    }
}

fn outputs(pid: u32) -> impl Iterator<Item = u64> {
    [1, 2].into_iter().filter_map(move |fd| procfs::pipe_both_ways(pid, fd))
}
