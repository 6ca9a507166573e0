//! What became of the runs: read from the journal, with or without a daemon.

use std::path::Path;

pub use crate::adapters::journal::history::{PastRun, Runs, Unreadable};
use crate::adapters::journal::history::{is_held, read};
use crate::domain::outcome::RunResult;

/// All runs that the journal of a state directory has; None if there is no journal yet.
pub fn history(state_dir: &Path) -> Result<Option<Runs>, Unreadable> {
    let Some(mut found) = read(state_dir)? else { return Ok(None) };
    let mut open = found.runs.iter_mut().filter(|run| run.result == RunResult::Running).peekable();
    // Only then: a daemon that starts at this moment would find its lock taken.
    if open.peek().is_some() && is_held(state_dir) == Some(false) {
        for run in open {
            "no daemon is running; it goes on when one starts within its window".clone_into(&mut run.reason);
        }
    }
    Ok(Some(found))
}
