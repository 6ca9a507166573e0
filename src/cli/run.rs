//! `mho run`: the daemon, for real or as a rehearsal.

use std::io::{self, Write};

use chrono::{NaiveDateTime, Utc};

use tempfile::TempDir;

use super::{ALREADY_RUNNING, CRITICAL, FAILED, Failure, Global, OK, USAGE, finish, load, parse_local};
use crate::app::{self, Rehearsal, StartError};
use crate::config::{Flags, Loaded};
use crate::domain::time::resolve_local;
use crate::domain::tree::Outcome;
use crate::guard;

/// Arguments of `mho run`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RunArgs {
    /// Rehearse: the market clock starts at this time of the calendar's zone, such as 2026-11-27T08:29:50
    #[arg(long, value_name = "TIME", value_parser = parse_local)]
    at: Option<NaiveDateTime>,
    /// Rehearse: the market clock runs this many times as fast
    #[arg(long, value_name = "N", value_parser = parse_speed)]
    speed: Option<f64>,
    /// Rehearse even while a live daemon runs: both would run the same scripts
    #[arg(long)]
    beside_live: bool,
    /// Where logs go [default: orchestrator.log_dir]
    #[arg(long, value_name = "DIR")]
    log_dir: Option<String>,
    /// error, warning, info, debug or trace [default: orchestrator.log_level]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Address of the HTTP API [default: http.listen]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Run only these scripts
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Set a key of the configuration: --set orchestrator.status_interval=10s
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

fn parse_speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if (0.001..=100_000.0).contains(&speed) => Ok(speed),
        _ => Err("use a number from 0.001 to 100000".to_owned()),
    }
}

/// Runs the daemon behind its guard.
pub(super) fn run(global: &Global, args: RunArgs) -> u8 {
    guard::run(|daemon| finish(serve(global, args, daemon)))
}

fn serve(global: &Global, args: RunArgs, daemon: &guard::DaemonSide) -> Result<u8, Failure> {
    let rehearses = args.at.is_some() || args.speed.is_some();
    if args.beside_live && !rehearses {
        return Err(Failure::new(USAGE, "--beside-live is for a rehearsal: give --at or --speed, too"));
    }
    let mut global = global.clone();
    let mut flags = Flags {
        state_dir: None,
        log_dir: args.log_dir,
        log_level: args.log_level,
        listen: args.listen,
        only: args.only,
        set: args.set,
    };
    if rehearses && !args.beside_live {
        refuse_beside_live(&global, &flags)?;
    }
    // Removed again if nothing is started: there is nothing in it that anybody would want to read.
    let dir = if rehearses { throw_away(&mut global, &mut flags)? } else { None };
    // Where each value came from is for `check`; a daemon that runs for months need not keep it.
    let sources = global.sources(flags)?;
    let loaded = Loaded { origins: Vec::new(), ..load(&sources)? };
    let rehearsal = rehearses.then(|| rehearsal(&loaded, args.at, args.speed)).transpose()?;
    let dir = dir.map(TempDir::keep);
    if let Some(dir) = &dir {
        // To stderr, if there still is one.
        let _ = writeln!(io::stderr(), "mho: state and logs of this rehearsal are in {}", dir.display());
    }
    match app::run(&sources, &loaded, rehearsal, |grace| daemon.set_longest_grace(grace)) {
        Ok(Outcome::Stopped) => Ok(OK),
        Ok(Outcome::Critical(_)) => Ok(CRITICAL),
        Ok(Outcome::Killed | Outcome::Failed(_)) => Ok(FAILED),
        Err(error) => {
            let _ = dir.map(std::fs::remove_dir_all);
            Err(error.into())
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let code = match error {
            StartError::AlreadyRunning { .. } | StartError::BesideLive { .. } => ALREADY_RUNNING,
            StartError::StateDir { .. }
            | StartError::Journal(_)
            | StartError::Unknown { .. }
            | StartError::Machine(_) => FAILED,
        };
        Self::new(code, error)
    }
}

/// A live daemon is looked for where file and environment put its state, wherever the rehearsal has its own.
fn refuse_beside_live(global: &Global, flags: &Flags) -> Result<(), Failure> {
    let live = Global { state_dir: None, ..global.clone() };
    let configured = load(&live.sources(flags.clone())?)?.settings.orchestrator.state_dir;
    Ok(app::refuse_beside_live(&configured)?)
}

fn rehearsal(loaded: &Loaded, at: Option<NaiveDateTime>, speed: Option<f64>) -> Result<Rehearsal, Failure> {
    let calendar = loaded.settings.default_calendar();
    if let Some(at) = at {
        calendar.day(at.date()).map_err(|error| Failure::new(USAGE, format!("--at: {error}")))?;
    }
    let at = at.map_or_else(Utc::now, |at| resolve_local(calendar.zone(), at));
    Ok(Rehearsal { at, speed: speed.unwrap_or(1.0) })
}

/// A rehearsal leaves the real state and the real logs alone, unless it is told where to put its own.
fn throw_away(global: &mut Global, flags: &mut Flags) -> Result<Option<TempDir>, Failure> {
    if global.state_dir.is_some() && flags.log_dir.is_some() {
        return Ok(None);
    }
    let dir = tempfile::Builder::new().prefix("mho-rehearsal-").tempdir().map_err(|error| {
        Failure::new(
            FAILED,
            format!(
                "cannot make a directory for this rehearsal below {}: {error}; set TMPDIR, or give --state-dir and --log-dir",
                std::env::temp_dir().display()
            ),
        )
    })?;
    let below = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    global.state_dir.get_or_insert_with(|| below("state"));
    flags.log_dir.get_or_insert_with(|| below("logs"));
    Ok(Some(dir))
}
