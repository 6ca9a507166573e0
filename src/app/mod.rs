//! The composition root: configuration and adapters make a tree, the tree runs until it is asked to end.

mod daemon;
mod simulate;

pub use daemon::{Rehearsal, StartError, run};
pub use simulate::{Pretence, simulate};
