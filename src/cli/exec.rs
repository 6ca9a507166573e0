//! `mho exec`: one script, now, in the foreground, with exactly the environment and directory that the daemon would give.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use chrono::{DateTime, Days, NaiveDate, Utc};

use super::{Failure, Global, load, no_such_script};
use crate::adapters::identity;
use crate::adapters::process::{Identity, environment, read_env_file};
use crate::config::{Flags, Settings};
use crate::domain::attempt::{AttemptId, LaunchContext};
use crate::domain::script::ScriptSpec;
use crate::domain::timeline::{DayPlan, Window, deadline, plan};

/// Arguments of `mho exec`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExecArgs {
    /// Which script
    name: String,
    /// For real: MHO_REHEARSAL=0
    #[arg(long)]
    live: bool,
}

/// How far the next window is looked for.
const HORIZON: Days = Days::new(400);

/// Becomes the script; returns only if that fails.
pub(super) fn run(global: &Global, args: &ExecArgs) -> Result<u8, Failure> {
    let settings = load(&global.sources(Flags::default())?)?.settings;
    let script = settings.scripts.iter().find(|s| s.name.as_str() == args.name);
    let script = script.ok_or_else(|| no_such_script(&settings, &args.name))?;
    let now = Utc::now();
    let window = window(&settings, script, now).ok_or_else(|| {
        Failure::new(super::FAILED, format!("{} has no window within the calendar's data; see mho calendar", args.name))
    })?;
    // An identity of its own: no daemon takes this process for a leftover.
    let identity = Identity { daemon_id: identity::random()?, rehearsal: !args.live };
    let attempt = AttemptId { script: script.name.clone(), trading_date: window.trading_date, number: 1 };
    let context = LaunchContext {
        session_open: window.open,
        session_close: window.close,
        early_close: window.early_close,
        stop_at: window.stop,
        deadline: deadline(now.max(window.start), script.max_duration, window.stop),
        restarted_after: None,
    };
    let from_file = script.launch.env_file.as_ref().map_or(Ok(Vec::new()), read_env_file);
    let from_file = from_file.map_err(|error| Failure::new(super::FAILED, error))?;
    let variables = environment(std::env::vars_os(), from_file, &script.launch, &attempt, &context, &identity);
    let error = Command::new(&script.launch.program)
        .args(&script.launch.args)
        .current_dir(&script.launch.working_dir)
        .env_clear()
        .envs(variables)
        .exec();
    Err(cannot(script, &error))
}

fn cannot(script: &ScriptSpec, error: &io::Error) -> Failure {
    let (program, dir) = (script.launch.program.display(), script.launch.working_dir.display());
    Failure::new(super::FAILED, format!("cannot run {program} in {dir}: {error}; mho check says more"))
}

/// The window that is open, else the next one.
fn window(settings: &Settings, script: &ScriptSpec, now: DateTime<Utc>) -> Option<Window> {
    let calendar = settings.calendars.get(&script.window.calendar)?;
    let today: NaiveDate = now.with_timezone(&calendar.zone()).date_naive();
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
