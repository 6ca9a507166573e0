//! `mho exec`: one script, now, in the foreground.

use chrono::Utc;

use super::{ALREADY_RUNNING, FAILED, Failure, Global, load, no_such_script};
use crate::app::{self, ExecError};
use crate::config::Flags;

/// Arguments of `mho exec`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExecArgs {
    /// Which script
    name: String,
    /// For real: MHO_REHEARSAL=0
    #[arg(long)]
    live: bool,
}

/// Becomes the script; returns only if that fails.
pub(super) fn run(global: &Global, args: &ExecArgs) -> Result<u8, Failure> {
    let settings = load(&global.sources(Flags::default())?)?.settings;
    let script = settings.scripts.iter().find(|s| s.name.as_str() == args.name);
    let script = script.ok_or_else(|| no_such_script(&settings, &args.name))?;
    match app::exec(&settings, script, args.live, Utc::now()) {
        Ok(never) => match never {},
        Err(error @ ExecError::Running(_)) => Err(Failure::new(ALREADY_RUNNING, error)),
        Err(error @ ExecError::Failed(_)) => Err(Failure::new(FAILED, error)),
    }
}
