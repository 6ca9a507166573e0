//! Traps: windows that are always empty (a fault), and what is allowed but seldom meant (warnings). Looked for on the sessions of the
//! last years that the exchange has published, so that the answer does not depend on the day on which it is asked.

use std::collections::HashMap;

use chrono::Days;
use chrono_tz::Tz;

use super::fault::{Place, Report};
use super::section::Section;
use crate::domain::calendar::Calendar;
use crate::domain::notice::compact;
use crate::domain::script::{HalfDays, ScriptSpec, TimePoint, WindowSpec};
use crate::domain::time::resolve_local;
use crate::domain::timeline::{DayPlan, Window, deadline, plan};

/// Two years hold every kind of half day that comes each year.
const SAMPLE_DAYS: u64 = 731;

/// What a script's window comes to on the days of the sample.
#[derive(Default)]
struct Sample {
    sessions: usize,
    half_days: usize,
    /// The first window of a regular day.
    regular: Option<Window>,
    /// The first window of a half day.
    half: Option<Window>,
    /// The first half day with no window, though half days are wanted.
    half_without: Option<chrono::NaiveDate>,
}

/// Samples already taken: most scripts share their window.
#[derive(Default)]
pub(super) struct Samples(HashMap<WindowSpec, Sample>);

impl Samples {
    /// Looks at one script; `section` gives the places of its values.
    pub fn check(&mut self, spec: &ScriptSpec, calendar: &Calendar, section: &Section<'_>, report: &Report) {
        let sample = self.0.entry(plain(&spec.window)).or_insert_with_key(|window| sample(window, calendar));
        check(spec, sample, calendar, section, report);
    }

    /// Says so if what a script waits for begins only when its own window, which has been checked, is over.
    pub fn never_in_time(&self, spec: &ScriptSpec, other: &ScriptSpec, calendar: &Calendar) -> Option<String> {
        let sample = self.0.get(&plain(&spec.window)).filter(|_| spec.enabled && other.enabled)?;
        let own = sample.regular.as_ref().or(sample.half.as_ref())?;
        let Ok(DayPlan::Window(theirs)) = plan(&plain(&other.window), calendar, own.trading_date) else {
            return None;
        };
        let [start, stop] = [theirs.start, own.stop].map(|at| clock(at, own.zone));
        (theirs.start >= own.stop).then(|| {
            format!(
                "{} starts at {start} and this script stops at {stop}, so it would never start: let it stop later, or {} start \
                 earlier",
                other.name, other.name
            )
        })
    }
}

/// Days that the operator leaves out by date say nothing about the window.
fn plain(window: &WindowSpec) -> WindowSpec {
    WindowSpec { skip_dates: Vec::new(), ..window.clone() }
}

fn check(spec: &ScriptSpec, sample: &Sample, calendar: &Calendar, section: &Section<'_>, report: &Report) {
    let warn = |key: &str, message: String| {
        if let Some(node) = section.get(key) {
            report.warn(&node.place, &section.key(key), named(spec, &node.place, message));
        }
    };
    let Some(any) = sample.regular.as_ref().or(sample.half.as_ref()) else {
        let key = section.first_written(&["start", "stop", "half_days", "calendar"]);
        if let Some(node) = section.get(key) {
            let message = match sample.sessions {
                0 => format!("calendar {} has no sessions: this script would never run", calendar.id()),
                _ if spec.window.half_days == HalfDays::Only && sample.half_days == 0 => {
                    format!("calendar {} has no half days: this script would never run", calendar.id())
                }
                _ => "the window is empty on every day: the start must come before the stop".to_owned(),
            };
            report.fault(&node.place, &section.key(key), named(spec, &node.place, message));
        }
        return;
    };
    let zone = calendar.zone();
    if let Some(at) = deadline(any.start, spec.max_duration, any.stop) {
        let limit = spec.max_duration.unwrap_or_default();
        let (end, stop) = (clock(at, zone), clock(any.stop, zone));
        let message = format!("{} from the start ends the run at {end}, before its stop at {stop}", compact(limit));
        warn("max_duration", message);
    }
    if let Some(date) = sample.half_without {
        let key = section.first_written(&["start", "stop"]);
        let message =
            format!("the window is empty on half days such as {date}; half_days = \"skip\" says so on purpose");
        warn(key, message);
    }
    if let (TimePoint::At(time), Some(half)) = (spec.window.stop, &sample.half) {
        let fixed = resolve_local(zone, half.trading_date.and_time(time));
        if half.stop < fixed {
            let cut = clock(half.stop, zone);
            let message = format!(
                "on half days such as {} this stop is cut to the early close at {cut}; to run past it write a time after the \
                 regular close, or \"close + 2h\"",
                half.trading_date
            );
            warn("stop", message);
        }
    }
}

/// A variable or a flag stands for all scripts: say which one is concerned.
fn named(spec: &ScriptSpec, place: &Place, message: String) -> String {
    if place.is_text() { format!("script {}: {message}", spec.name) } else { message }
}

fn clock(at: chrono::DateTime<chrono::Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%H:%M").to_string()
}

fn sample(window: &WindowSpec, calendar: &Calendar) -> Sample {
    let last = calendar.published_to().min(*calendar.range().end());
    let first = last.checked_sub_days(Days::new(SAMPLE_DAYS)).unwrap_or(last).max(*calendar.range().start());
    let mut sample = Sample::default();
    for date in first.iter_days().take_while(|date| *date <= last) {
        let Ok(Some(session)) = calendar.session(date) else {
            continue;
        };
        sample.sessions += 1;
        sample.half_days += usize::from(session.is_early_close());
        match plan(window, calendar, date) {
            Ok(DayPlan::Window(window)) if window.early_close => {
                sample.half.get_or_insert(window);
            }
            Ok(DayPlan::Window(window)) => {
                sample.regular.get_or_insert(window);
            }
            _ if session.is_early_close() && window.half_days == HalfDays::Run => {
                sample.half_without.get_or_insert(date);
            }
            _ => {}
        }
        if sample.regular.is_some() && (sample.half.is_some() || sample.half_without.is_some()) {
            break;
        }
    }
    sample
}
