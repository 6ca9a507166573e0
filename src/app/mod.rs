//! The composition root: configuration and adapters make a tree, the tree runs until it is asked to end.

mod control;
mod daemon;
mod exec;
mod history;
mod instance;
mod memory;
mod overrides;
mod reload;
mod requests;
mod service;
mod simulate;
mod telling;
mod watch;

pub use crate::adapters::logs::{Reading as LogReading, Unreadable as LogUnreadable};
pub use crate::adapters::process::{Unfit, read_env_file, rehearse as rehearse_limits};
pub use crate::adapters::reload::{ReloadResult, Reloaded, Told, ask as ask_to_reload};
pub use crate::adapters::sys::clock_is_synchronised;
pub use crate::adapters::token::load as token;
pub use daemon::{Rehearsal, StartError, run};
pub use exec::{ExecError, exec};
pub use history::{PastRun, Runs, Unreadable, history};
pub use instance::refuse_beside_live;
pub use overrides::{
    OverridesFileError, OverridesTextError, append_override, edit_overrides, is_same_file, remove_overrides,
    replace_override,
};
pub use simulate::{Act, Pretence, simulate};
pub use telling::test_alerts;
