//! `mho check`: everything that can be known before the first start, and nothing started. Faults and warnings of the configuration,
//! programs and rights, where values come from, and when each script runs next.

mod programs;
mod text;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use crate::config::{Fault, Loaded, Settings, Sources, examine};
use crate::domain::notice::rfc3339;
use crate::domain::script::{ScriptName, ScriptSpec};
use crate::domain::timeline::{DayPlan, Window, deadline, plan};

/// Arguments of `mho check`.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct CheckArgs {
    /// Print JSON alone
    #[arg(long)]
    pub json: bool,
}

/// So many days ahead the next window is looked for: longer than any exchange pauses.
const LOOK_AHEAD: u32 = 400;

/// What the daemon itself takes to end, beyond the graces of its scripts.
const OWN_GRACE: Duration = Duration::from_secs(5);

/// What `check` found, in the shape of `--json`.
#[derive(Debug, Serialize)]
struct Findings {
    ok: bool,
    errors: Vec<Fault>,
    warnings: Vec<Fault>,
    scripts: Vec<ScriptFinding>,
}

#[derive(Debug, Serialize)]
struct ScriptFinding {
    name: String,
    command: Vec<String>,
    working_dir: PathBuf,
    next: Option<Next>,
}

#[derive(Debug, Serialize)]
struct Next {
    trading_date: NaiveDate,
    start: String,
    stop: String,
    deadline: Option<String>,
}

/// Checks the configuration and prints what was found to `out`. Returns the exit code: 0, or 2 if anything is wrong.
pub fn run(args: &CheckArgs, sources: &Sources, now: DateTime<Utc>, out: &mut dyn Write) -> io::Result<u8> {
    let examined = examine(sources);
    let mut errors = examined.faults;
    let mut warnings = examined.warnings;
    let loaded = examined.loaded;
    let mut scripts = Vec::new();
    if let Some(loaded) = &loaded {
        for spec in loaded.settings.scripts.iter().filter(|spec| spec.enabled) {
            errors.extend(programs::check(spec, loaded));
        }
        warnings.extend(warnings_of(loaded, now));
        scripts.extend(loaded.settings.scripts.iter().map(|spec| finding(spec, &loaded.settings, now)));
    }
    let findings = Findings { ok: errors.is_empty(), errors, warnings, scripts };
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&findings)?)?;
    } else {
        text::print(&findings, loaded.as_ref(), now, out)?;
    }
    Ok(if findings.ok { 0 } else { 2 })
}

/// Warnings that only `check` gives.
fn warnings_of(loaded: &Loaded, now: DateTime<Utc>) -> Vec<Fault> {
    let warning =
        |key: &str, message: String| Fault { file: None, line: None, key: key.to_owned(), message, suggestion: None };
    let settings = &loaded.settings;
    let mut warnings = programs::check_dirs(loaded);
    warnings.push(warning("alert", "no [[alert]]: nobody will be told".to_owned()));
    for (key, calendar) in &settings.calendars {
        let today = now.with_timezone(&calendar.zone()).date_naive();
        let soon = today.checked_add_days(Days::new(90)).unwrap_or(today);
        if calendar.published_to() < soon {
            let message = format!(
                "calendar {key}: the exchange's dates are known to {}; later ones are projected from its rules",
                calendar.published_to()
            );
            warnings.push(warning("calendar", message));
        }
    }
    for spec in settings.scripts.iter().filter(|spec| spec.enabled) {
        if next_window(spec, settings, now).is_none() {
            let message = format!("no window in the next {LOOK_AHEAD} days: this script will not run");
            warnings.push(warning(&format!("script.{}", spec.name), message));
        }
    }
    warnings
}

fn finding(spec: &ScriptSpec, settings: &Settings, now: DateTime<Utc>) -> ScriptFinding {
    let program = spec.launch.program.display().to_string();
    let zone = zone_of(spec, settings);
    let next = next_window(spec, settings, now).filter(|_| spec.enabled).map(|window| Next {
        trading_date: window.trading_date,
        start: rfc3339(window.start, zone),
        stop: rfc3339(window.stop, zone),
        deadline: deadline(window.start, spec.max_duration, window.stop).map(|at| rfc3339(at, zone)),
    });
    ScriptFinding {
        name: spec.name.to_string(),
        command: std::iter::once(program).chain(spec.launch.args.iter().cloned()).collect(),
        working_dir: spec.launch.working_dir.clone(),
        next,
    }
}

fn zone_of(spec: &ScriptSpec, settings: &Settings) -> Tz {
    settings.calendars.get(&spec.window.calendar).map_or(Tz::UTC, |calendar| calendar.zone())
}

/// The window that is open, or the next one.
fn next_window(spec: &ScriptSpec, settings: &Settings, now: DateTime<Utc>) -> Option<Window> {
    let calendar = settings.calendars.get(&spec.window.calendar)?;
    let today = now.with_timezone(&calendar.zone()).date_naive();
    // The window of yesterday's session may reach into today.
    let first = today.checked_sub_days(Days::new(1))?;
    let last = today.checked_add_days(Days::new(LOOK_AHEAD.into()))?;
    first.iter_days().take_while(|date| *date <= last).find_map(|date| match plan(&spec.window, calendar, date) {
        Ok(DayPlan::Window(window)) if window.stop > now => Some(window),
        _ => None,
    })
}

/// What an orderly shutdown may take: scripts stop before those they depend on, each with its own grace.
fn longest_stop(scripts: &[ScriptSpec]) -> Duration {
    let mut paths: BTreeMap<&ScriptName, Duration> = BTreeMap::new();
    // One round settles at least one more layer; there are no circles in a loaded configuration.
    for _ in scripts {
        for spec in scripts {
            let below = spec.depends_on.iter().filter_map(|dependency| paths.get(&dependency.script)).max().copied();
            paths.insert(&spec.name, spec.stop.grace.saturating_add(below.unwrap_or_default()));
        }
    }
    paths.into_values().max().unwrap_or_default().saturating_add(OWN_GRACE)
}

#[cfg(test)]
mod tests;
