//! One script, now, in the foreground, with exactly the environment, directory, user and limits that the daemon would give.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Days, Utc};

use crate::adapters::identity;
use crate::adapters::journal::unended;
use crate::adapters::lock::{ExecLock, InstanceLock, LockError, processes_of};
use crate::adapters::process::{Identity, become_program, environment, prepare, read_env_file, without};
use crate::config::Settings;
use crate::domain::attempt::{AttemptId, LaunchContext};
use crate::domain::outcome::SpawnError;
use crate::domain::script::{ScriptName, ScriptSpec};
use crate::domain::timeline::{DayPlan, Window, deadline, plan};

/// Why a script was not executed, in words that say what to do next.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// It runs, or is about to.
    #[error("{0}")]
    Running(String),
    /// It cannot be executed.
    #[error("{0}")]
    Failed(String),
}

fn failed(text: impl Into<String>) -> ExecError {
    ExecError::Failed(text.into())
}

/// A daemon that is at work commits the pid of what it started within 100 ms.
const NOT_RECORDED: Duration = Duration::from_millis(250);

/// How far the next window is looked for.
const HORIZON: Days = Days::new(400);

/// Becomes the script; returns only if that fails. `live`: it is not told that this is a rehearsal.
pub fn exec(settings: &Settings, script: &ScriptSpec, live: bool, now: DateTime<Utc>) -> Result<Infallible, ExecError> {
    let name = &script.name;
    let window = window(settings, script, now)
        .ok_or_else(|| failed(format!("{name} has no window within the calendar's data; see mho calendar")))?;
    // An identity of its own: no daemon takes this process for a leftover.
    let daemon_id = identity::random().map_err(|error| failed(format!("cannot read /dev/urandom: {error}")))?;
    let identity = Identity { daemon_id, rehearsal: !live };
    let attempt = AttemptId { script: name.clone(), trading_date: window.trading_date, number: 1 };
    let context = LaunchContext {
        session_open: window.open,
        session_close: window.close,
        early_close: window.early_close,
        stop_at: window.stop,
        deadline: deadline(now.max(window.start), script.max_duration, window.stop),
        restarted_after: None,
    };
    let launch = &script.launch;
    let from_file = launch.env_file.as_ref().map_or(Ok(Vec::new()), read_env_file);
    let from_file = from_file.map_err(|error| failed(error.to_string()))?;
    let preparation = prepare(launch).map_err(|unfit| failed(format!("{name} cannot be run: {unfit}")))?;
    let from_file = [preparation.variables(), from_file].concat();
    let inherited = without(std::env::vars_os(), &settings.alerts.variables);
    let variables = environment(inherited, from_file, launch, &attempt, &context, &identity);
    reserve(&settings.orchestrator.state_dir, name)?;
    let SpawnError(error) = become_program(launch, variables, preparation);
    Err(failed(format!("{name} cannot be run: {error}")))
}

/// From here to the end of this process, or of the program that it becomes, nobody else starts the script. The lock comes first, the look
/// second; the daemon locks, spawns and unlocks: so whoever comes second sees the other.
fn reserve(state_dir: &Path, name: &ScriptName) -> Result<(), ExecError> {
    let dir = state_dir.display();
    let unusable = |error| {
        failed(format!(
            "cannot keep the daemon from starting {name} meanwhile: state directory {dir} cannot be used: {error}; run this as the user \
             that the daemon runs as, or name another directory with --state-dir"
        ))
    };
    let lock = ExecLock::take(state_dir, name).map_err(|error| match error {
        LockError::Held(holder) => ExecError::Running(format!(
            "{name} runs in the foreground already: {holder}, holds {dir}/exec/{name}.lock; end that one first"
        )),
        LockError::Io(error) => unusable(error),
    })?;
    let running = running(state_dir, name).map_err(unusable)?;
    if !running.is_empty() {
        let pids: Vec<_> = running.iter().map(u32::to_string).collect();
        let pids = pids.join(", ");
        return Err(ExecError::Running(format!(
            "{name} runs as PID {pids}, started by the daemon of {dir}: stop that daemon first, or try again when {name} has ended"
        )));
    }
    lock.keep_until_this_process_ends().map_err(|error| {
        failed(format!(
            "cannot keep the daemon from starting {name} meanwhile: {error}; look at the limit of processes (ulimit -u)"
        ))
    })
}

/// The processes of the script that a daemon of `state_dir` started.
fn running(state_dir: &Path, name: &ScriptName) -> io::Result<Vec<u32>> {
    let look = || processes_of(state_dir, name, &unended(state_dir, name));
    let found = look()?;
    if !found.is_empty() || !matches!(InstanceLock::holder(state_dir), Ok(Some(_))) {
        return Ok(found);
    }
    std::thread::sleep(NOT_RECORDED);
    look()
}

/// The window that is open, else the next one.
fn window(settings: &Settings, script: &ScriptSpec, now: DateTime<Utc>) -> Option<Window> {
    let calendar = settings.calendars.get(&script.window.calendar)?;
    let today = now.with_timezone(&calendar.zone()).date_naive();
    let last = today.checked_add_days(HORIZON)?;
    today
        .checked_sub_days(Days::new(7))?
        .iter_days()
        .take_while(|date| *date <= last)
        .filter_map(|date| match plan(&script.window, calendar, date) {
            Ok(DayPlan::Window(window)) => Some(window),
            Ok(DayPlan::Skipped { .. } | DayPlan::NoSession { .. }) | Err(_) => None,
        })
        .find(|window| window.stop > now)
}
