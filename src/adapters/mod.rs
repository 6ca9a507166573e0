//! The real world, one file or folder per facility, and the pretend one. Nothing here decides; it does what the actors say and tells what
//! happened.

pub mod clock;
mod fault_point;
pub mod identity;
pub mod journal;
pub mod kill_file;
pub mod lock;
pub mod logs;
pub mod metrics;
pub mod notify;
pub mod output;
pub mod overrides_file;
mod patience;
pub mod pretend;
pub mod probe;
pub mod process;
pub mod procfs;
pub mod reload;
pub mod rotating;
pub mod signals;
pub mod sys;
pub mod telemetry;
pub mod token;
pub mod usage;
