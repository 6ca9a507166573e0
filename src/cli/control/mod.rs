//! The verbs that speak to a running daemon, as clients of its API over the control socket.

mod dashboard;
mod orders;
mod paint;
mod status;
mod table;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use super::{FAILED, Failure, Global, NO_SUCH_SCRIPT, NOT_RUNNING, USAGE};
use crate::config::{self, Flags};
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
    /// The daemon's client. A state directory that is named needs no configuration. A faulty configuration, as it may be while it is edited, keeps
    /// nobody from the daemon that was started with it: the one that is where the rest of the file has it says whose it is.
    fn client(&self) -> Result<Client, Failure> {
        if let Some(named) = &self.state_dir {
            let here = std::env::current_dir().map_err(|error| super::lost(&error))?;
            return client_of(&here.join(named));
        }
        let faulty = match self.look() {
            Ok(settings) => return client_of(&settings.orchestrator.state_dir),
            Err(faulty) => faulty,
        };
        if let Some(places) = config::places(&self.sources(Flags::default())?) {
            let client = client_of(&places.state_dir)?;
            if client.get::<Listen>("/api/v1/listen").is_ok_and(|daemon| is_same(&daemon.config, &places.file)) {
                return Ok(client);
            }
        }
        let hint = "a daemon that runs is spoken to all the same with --state-dir DIR";
        Err(Failure::new(faulty.code, format!("{}\n{hint}", faulty.text)))
    }
}

/// What a daemon says of itself.
#[derive(Deserialize)]
struct Listen {
    /// The configuration file; None for the embedded text.
    config: Option<PathBuf>,
    /// The file of the token.
    token_file: PathBuf,
    /// Where browsers are to be served.
    configured: Option<String>,
    /// Where they are.
    listening: Option<String>,
}

fn client_of(state_dir: &Path) -> Result<Client, Failure> {
    Client::of(state_dir).map_err(|error| {
        Failure::new(
            FAILED,
            format!("cannot speak to a daemon: {error}; look at the limits of this machine (ulimit -a)"),
        )
    })
}

/// The same file, also where a link leads to it.
fn is_same(one: &Option<PathBuf>, other: &Option<PathBuf>) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    match (one, other) {
        (Some(one), Some(other)) => one == other || real(one).is_some_and(|one| Some(one) == real(other)),
        (None, None) => true,
        _ => false,
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = match &error {
            ClientError::NotRunning { .. } => NOT_RUNNING,
            ClientError::Refused { status: 404, .. } => NO_SUCH_SCRIPT,
            ClientError::Refused { status: 400 | 422, .. } => USAGE,
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
