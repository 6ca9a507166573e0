//! The verbs that speak to a running daemon, as clients of its API over the control socket.

mod dashboard;
mod orders;
mod paint;
mod status;
mod table;

use std::path::PathBuf;

use clap::Args;

use super::{FAILED, Failure, Global, NO_SUCH_SCRIPT, NOT_RUNNING, USAGE};
use crate::control::client::{Client, ClientError};
use crate::domain::script::ScriptName;

pub(super) use dashboard::{dashboard, healthcheck};
pub(super) use orders::{
    PauseArgs, ReloadArgs, ResumeArgs, SkipArgs, StartArgs, pause, reload, restart, resume, skip, start, stop,
};
pub(super) use status::{StatusArgs, status};

/// An order to one script.
#[derive(Clone, Debug, Args)]
pub struct OneArgs {
    /// Which script
    name: String,
    #[command(flatten)]
    why: Why,
}

/// What is recorded of an order, and how it is answered.
#[derive(Clone, Debug, Default, Args)]
pub struct Why {
    /// Recorded, and shown by status and history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The whole answer as JSON
    #[arg(long)]
    json: bool,
}

impl Global {
    /// Where the daemon is. A state directory that is named needs no configuration, which may be broken.
    fn daemon_dir(&self) -> Result<PathBuf, Failure> {
        let Some(named) = &self.state_dir else { return Ok(self.look()?.orchestrator.state_dir) };
        let here = std::env::current_dir().map_err(|error| super::lost(&error))?;
        Ok(here.join(named))
    }

    fn client(&self) -> Result<Client, Failure> {
        let dir = self.daemon_dir()?;
        Client::of(&dir).map_err(|error| {
            Failure::new(
                FAILED,
                format!("cannot speak to a daemon: {error}; look at the limits of this machine (ulimit -a)"),
            )
        })
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = match &error {
            ClientError::NotRunning { .. } => NOT_RUNNING,
            ClientError::Refused { status: 404, .. } => NO_SUCH_SCRIPT,
            ClientError::Refused { status: 400, .. } => USAGE,
            ClientError::Refused { .. } | ClientError::Broken { .. } | ClientError::Deaf(_) => FAILED,
        };
        Self::new(code, error)
    }
}

/// A name becomes part of a path.
fn checked(name: &str) -> Result<String, Failure> {
    let name = ScriptName::new(name)
        .map_err(|why| Failure::new(NO_SUCH_SCRIPT, format!("no script named {name:?}: {why}")))?;
    // Of the characters of a name, only this one means something in a path.
    Ok(name.as_str().replace('@', "%40"))
}
