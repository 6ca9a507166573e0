//! `mho check`: everything that can be known before the first start, and nothing started. Faults and warnings of the configuration,
//! programs and rights, where values come from, and when each script runs next.

mod programs;
mod shutdown;
mod text;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::Serialize;

use crate::app::clock_is_synchronised;
use crate::cli::calendar::home::Home;
use crate::config::{
    Fault, Loaded, Place, Settings, Sources, data_end_warnings, examine, horizon_warnings, override_warnings,
};
use crate::domain::calendar::Calendar;
use crate::domain::notice::rfc3339;
use crate::domain::script::{ScriptSpec, WindowSpec};
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

/// What `check` found, in the shape of `--json`.
#[derive(Debug, Serialize)]
struct Findings {
    ok: bool,
    errors: Vec<Fault>,
    warnings: Vec<Fault>,
    scripts: Vec<ScriptFinding>,
    calendars: Vec<CalendarFinding>,
}

/// A calendar in use.
#[derive(Debug, Serialize)]
struct CalendarFinding {
    id: String,
    default: bool,
    /// `built_in`, `file` or `own_hours`.
    home: &'static str,
    file: Option<String>,
    replaces_built_in: bool,
    zone: String,
    published_to: NaiveDate,
    from: NaiveDate,
    to: NaiveDate,
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
    let windows = loaded.as_ref().map(|loaded| NextWindows::of(&loaded.settings, now));
    let mut scripts = Vec::new();
    if let Some(read) = loaded.as_ref().or(examined.partial.as_ref()) {
        let places = Places::of(read);
        for spec in read.settings.scripts.iter().filter(|spec| spec.enabled) {
            errors.extend(programs::check(spec, &places));
        }
        scripts.extend(read.settings.scripts.iter().map(|spec| finding(spec, windows.as_ref())));
    }
    if let (Some(loaded), Some(windows)) = (&loaded, &windows) {
        warnings.extend(warnings_of(loaded, windows, clock_is_synchronised()));
    }
    let calendars = loaded.as_ref().map(|loaded| calendars(&loaded.settings)).unwrap_or_default();
    let findings = Findings { ok: errors.is_empty(), errors, warnings, scripts, calendars };
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&findings)?)?;
    } else {
        text::print(&findings, loaded.as_ref().zip(windows.as_ref()), out)?;
    }
    Ok(if findings.ok { 0 } else { 2 })
}

/// Warnings that only `check` gives.
fn warnings_of<'a>(loaded: &'a Loaded, windows: &NextWindows<'a>, synchronised: Option<bool>) -> Vec<Fault> {
    let warning =
        |key: &str, message: String| Fault { file: None, line: None, key: key.to_owned(), message, suggestion: None };
    let settings = &loaded.settings;
    let mut warnings = override_warnings(loaded, windows.now);
    warnings.extend(programs::check_dirs(loaded, &Places::of(loaded)));
    if synchronised == Some(false) {
        let message = "this machine's clock is not synchronised, and boundaries are as exact as it is: turn time synchronisation on, \
                       for instance with timedatectl set-ntp true";
        warnings.push(warning("clock", message.to_owned()));
    }
    if settings.alerts.channels.is_empty() {
        warnings.push(warning("alert", "no [[alert]]: nobody will be told".to_owned()));
    }
    warnings.extend(horizon_warnings(loaded, windows.now));
    warnings.extend(data_end_warnings(loaded, windows.now));
    for spec in settings.scripts.iter().filter(|spec| spec.enabled) {
        if windows.of_script(spec).is_none() {
            let message = format!("no window in the next {LOOK_AHEAD} days: this script will not run");
            warnings.push(warning(&format!("script.{}", spec.name), message));
        }
    }
    warnings
}

/// Where a calendar in use stands.
fn home_of(settings: &Settings, calendar: &Calendar) -> Home {
    let plain = settings.calendar_without_overrides(calendar.id());
    Home::of(plain.as_deref().unwrap_or(calendar))
}

fn calendars(settings: &Settings) -> Vec<CalendarFinding> {
    let finding = |(key, calendar): (&Arc<str>, &Arc<Calendar>)| {
        let home = home_of(settings, calendar);
        let (from, to) = calendar.range().into_inner();
        CalendarFinding {
            id: key.to_string(),
            default: *key == settings.market,
            home: home.name(),
            replaces_built_in: matches!(home, Home::File { replaces: true, .. }),
            file: if let Home::File { path, .. } = home { Some(path.to_string()) } else { None },
            zone: calendar.zone().to_string(),
            published_to: calendar.published_to(),
            from,
            to,
        }
    };
    settings.calendars.iter().map(finding).collect()
}

/// What is known of a script; without `windows` nothing would be started, so there is no next one.
fn finding<'a>(spec: &'a ScriptSpec, windows: Option<&NextWindows<'a>>) -> ScriptFinding {
    let program = spec.launch.program.display().to_string();
    let window = windows.filter(|_| spec.enabled).and_then(|windows| windows.of_script(spec));
    let next = window.map(|window| (window.zone, window)).map(|(zone, window)| Next {
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

/// Where effective values were written, by key.
struct Places<'a>(HashMap<&'a str, &'a Place>);

impl<'a> Places<'a> {
    fn of(loaded: &'a Loaded) -> Self {
        // The first of a key is put in last.
        Self(loaded.origins.iter().rev().map(|origin| (origin.key.as_str(), &origin.place)).collect())
    }

    fn get(&self, key: &str) -> Place {
        self.0.get(key).map_or(Place::BuiltIn, |place| (*place).clone())
    }
}

/// The windows that are open or next; each is looked for once, since most scripts share theirs.
struct NextWindows<'a> {
    settings: &'a Settings,
    now: DateTime<Utc>,
    known: RefCell<HashMap<&'a WindowSpec, Option<Window>>>,
}

impl<'a> NextWindows<'a> {
    fn of(settings: &'a Settings, now: DateTime<Utc>) -> Self {
        Self { settings, now, known: RefCell::default() }
    }

    fn of_script(&self, spec: &'a ScriptSpec) -> Option<Window> {
        self.known.borrow_mut().entry(&spec.window).or_insert_with(|| self.find(&spec.window)).clone()
    }

    fn find(&self, spec: &WindowSpec) -> Option<Window> {
        let calendar = self.settings.calendars.get(&spec.calendar)?;
        let today = self.now.with_timezone(&calendar.zone()).date_naive();
        // The window of yesterday's session may reach into today.
        let first = today.checked_sub_days(Days::new(1))?;
        let last = today.checked_add_days(Days::new(LOOK_AHEAD.into()))?;
        first.iter_days().take_while(|date| *date <= last).find_map(|date| match plan(spec, calendar, date) {
            Ok(DayPlan::Window(window)) if window.stop > self.now => Some(window),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;
