//! The real world: one file or folder per facility. Nothing here decides; it does what the actors say and tells what happened.

pub mod output;
pub mod process;
pub mod procfs;
pub mod signals;
pub mod sys;
