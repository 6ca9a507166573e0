//! What is allowed today and was not yesterday: overrides that are past or change nothing, calendars whose published days or whose data
//! end. The answer depends on the day on which it is asked, which the caller knows.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, Utc};

use super::fault::Fault;
use super::settings::{Loaded, Settings};
use crate::domain::calendar::{Calendar, Day, DayKind, HORIZON_NEAR, Horizon, Override};

/// What is odd about an override: in a word or two, for a list, and as a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverrideNote {
    /// Such as "past".
    pub short: String,
    /// The sentence; it begins with the date.
    pub text: String,
}

/// What is odd about an override of the calendar `id`; none if all is well.
#[must_use]
pub fn override_notes(settings: &Settings, id: &str, word: &Override, now: DateTime<Utc>) -> Vec<OverrideNote> {
    let note =
        |short: &str, text: String| OverrideNote { short: short.to_owned(), text: format!("{} {text}", word.date) };
    let Some(calendar) = settings.calendar(id) else { return Vec::new() };
    let today = now.with_timezone(&calendar.zone()).date_naive();
    if word.date < today {
        let how = if settings.is_in_overrides_file(word) {
            format!("`mho calendar override remove {} --calendar {id}`", word.date)
        } else {
            "an editor".to_owned()
        };
        return vec![note("past", format!("is past: it changes nothing any more; remove it with {how}"))];
    }
    let plain = settings.calendar_without_overrides(id).and_then(|plain| plain.day(word.date).ok());
    let (Some(plain), Ok(day)) = (plain, calendar.day(word.date)) else { return Vec::new() };
    let weekday = word.date.format("%A");
    match (&plain.session, &day.session) {
        (None, None) => {
            let text = format!("is {}: there is no session anyway; was another date meant?", what_it_is(&plain));
            vec![note("no session anyway", text)]
        }
        (None, Some(_)) if plain.kind == DayKind::Weekend => {
            let text = format!("is a {weekday}: this makes a special session, scripts will run");
            vec![note(&format!("special session on a {weekday}"), text)]
        }
        (Some(before), Some(after)) if (before.open, before.close) == (after.open, after.close) => {
            let text = "has these hours already, so this changes nothing; was another date or another time meant?";
            vec![note("changes nothing", text.to_owned())]
        }
        _ => Vec::new(),
    }
}

/// "a Saturday", "a holiday (Thanksgiving)".
fn what_it_is(day: &Day) -> String {
    match day.kind {
        DayKind::Weekend => format!("a {}", day.date.format("%A")),
        _ => format!("a holiday ({})", day.reason),
    }
}

/// Overrides that are past, or most likely not meant as they stand.
#[must_use]
pub fn override_warnings(loaded: &Loaded, now: DateTime<Utc>) -> Vec<Fault> {
    let settings = &loaded.settings;
    let mut warnings = Vec::new();
    for (id, words) in &settings.overrides {
        for word in words {
            let notes = override_notes(settings, id, word, now).into_iter();
            warnings.extend(notes.map(|note| fault_of(word, note.text)));
        }
    }
    warnings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    warnings
}

fn fault_of(word: &Override, message: String) -> Fault {
    let origin = word.origin.as_ref();
    let file = origin.map(|origin| PathBuf::from(&*origin.file));
    Fault { file, line: origin.map(|origin| origin.line), key: "override.date".to_owned(), message, suggestion: None }
}

/// Calendars in use whose published days end soon, or have ended: what comes after is projected.
#[must_use]
pub fn horizon_warnings(loaded: &Loaded, now: DateTime<Utc>) -> Vec<Fault> {
    each_calendar(loaded, now, |calendar, today| {
        let last = calendar.published_to();
        let text = match calendar.horizon(today) {
            Horizon::Far => return None,
            Horizon::Near => format!("end on {last} ({})", distance(today, last)),
            Horizon::Passed => format!("ended on {last} ({})", distance(today, last)),
        };
        // Where the data ends with them there is nothing to project: that is the other warning.
        if last >= *calendar.range().end() {
            return None;
        }
        let source = calendar.source().map(|source| format!(" ({source})")).unwrap_or_default();
        Some(format!(
            "the exchange's published days {text}; what comes after is projected from rules: update mho, or add the dates{source}"
        ))
    })
}

/// Calendars in use whose data ends soon, or has ended: beyond that nothing starts. The daemon says so itself, each day.
#[must_use]
pub fn data_end_warnings(loaded: &Loaded, now: DateTime<Utc>) -> Vec<Fault> {
    each_calendar(loaded, now, |calendar, today| {
        let (first, last) = calendar.range().into_inner();
        let soon = today.checked_add_days(HORIZON_NEAR).is_none_or(|soon| soon > last);
        let text = match today {
            today if today < first => format!("its data begins on {first} only; before that nothing of it starts"),
            today if today > last => format!("its data ended on {last}; nothing of it starts"),
            _ if soon => {
                format!("its data ends on {last} ({}); after that nothing of it will start", distance(today, last))
            }
            _ => return None,
        };
        Some(format!("{text}: update mho, or add a calendar file"))
    })
}

fn each_calendar(
    loaded: &Loaded,
    now: DateTime<Utc>,
    say: impl Fn(&Calendar, NaiveDate) -> Option<String>,
) -> Vec<Fault> {
    let calendars = loaded.settings.calendars.iter();
    let warnings = calendars.filter_map(|(key, calendar)| {
        let text = say(calendar, now.with_timezone(&calendar.zone()).date_naive())?;
        let message = format!("calendar {key}: {text}");
        Some(Fault { file: None, line: None, key: "calendar".to_owned(), message, suggestion: None })
    });
    warnings.collect()
}

/// "35 days from now", "1 day ago".
fn distance(today: NaiveDate, date: NaiveDate) -> String {
    let days = date.signed_duration_since(today).num_days();
    let number = match days.abs() {
        0 => return "today".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    if days > 0 { format!("{number} from now") } else { format!("{number} ago") }
}
