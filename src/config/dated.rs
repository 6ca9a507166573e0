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
    let plain = settings.calendar_without_override(id, word.date).and_then(|plain| plain.day(word.date).ok());
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

#[cfg(test)]
mod tests {
    use super::super::{Sources, load};
    use super::*;

    const SCRIPT: &str = "[[script]]\nname = \"s\"\ncommand = \"s.sh\"\n";

    fn loaded(text: &str) -> Loaded {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("mho.toml"), format!("{text}{SCRIPT}")).expect("written");
        let sources = Sources { config: Some("mho.toml".into()), cwd: dir.path().to_owned(), ..Sources::default() };
        load(&sources).unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    fn word(date: &str, what: &str) -> String {
        format!("[[override]]\ndate = \"{date}\"\n{what}\nreason = \"x\"\n")
    }

    fn at(date: &str) -> DateTime<Utc> {
        format!("{date}T15:00:00Z").parse().expect("an instant")
    }

    fn shown(warnings: &[Fault]) -> Vec<String> {
        warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_override_that_is_seldom_meant_is_a_warning_with_its_place() {
        let text = [
            word("2026-11-24", "closed = true"),
            word("2027-01-09", "closed = true"),
            word("2027-01-01", "closed = true"),
            word("2027-01-16", "open = \"10:00\"\nclose = \"12:00\""),
            word("2027-01-20", "close = \"16:00\""),
            word("2026-11-25", "closed = true"),
            word("2027-01-21", "close = \"15:00\""),
        ];
        let warnings = shown(&override_warnings(&loaded(&text.concat()), at("2026-11-25")));
        let expected = [
            "mho.toml:1: [override] date: 2026-11-24 is past: it changes nothing any more; remove it with an editor",
            "mho.toml:5: [override] date: 2027-01-09 is a Saturday: there is no session anyway; was another date meant?",
            "mho.toml:9: [override] date: 2027-01-01 is a holiday (New Year's Day): there is no session anyway; was another date meant?",
            "mho.toml:13: [override] date: 2027-01-16 is a Saturday: this makes a special session, scripts will run",
            "mho.toml:18: [override] date: 2027-01-20 has these hours already, so this changes nothing; was another date or another time \
             meant?",
        ];
        assert_eq!(warnings, expected);
        assert_eq!(loaded(&text.concat()).warnings, [], "what depends on the day is no warning of the load");
    }

    #[test]
    fn an_override_is_judged_on_the_civil_date_of_its_calendar() {
        let loaded = loaded(&word("2026-11-25", "closed = true").replace("date", "calendar = \"XTKS\"\ndate"));
        let warned = |now: &str| override_warnings(&loaded, now.parse().expect("an instant")).len();
        // Midnight in Tokyo.
        assert_eq!([warned("2026-11-25T14:59:59Z"), warned("2026-11-25T15:00:00Z")], [0, 1]);
    }

    #[test]
    fn the_published_horizon_is_told_when_it_is_near_and_when_it_is_passed() {
        let loaded = loaded("[market]\ncalendar = \"XNYS\"\n");
        let told = |date| shown(&horizon_warnings(&loaded, at(date)));
        assert_eq!(told("2028-11-01"), [""; 0]);
        let near = "calendar: calendar XNYS: the exchange's published days end on 2028-12-31 (30 days from now); what comes after is projected \
                    from rules: update mho, or add the dates (https://www.nyse.com/markets/hours-calendars)";
        assert_eq!(told("2028-12-01"), [near]);
        assert!(told("2028-12-31")[0].contains("end on 2028-12-31 (today)"));
        assert!(told("2029-01-01")[0].contains("ended on 2028-12-31 (1 day ago); what comes after"));
    }

    #[test]
    fn the_end_of_the_data_is_told_once_and_not_as_a_horizon() {
        let nyse = loaded("");
        let told = |date| shown(&data_end_warnings(&nyse, at(date)));
        assert_eq!(told("2035-10-31"), [""; 0]);
        let near = "calendar: calendar XNYS: its data ends on 2035-12-31 (30 days from now); after that nothing of it will start: update mho, or \
                    add a calendar file";
        assert_eq!(told("2035-12-01"), [near]);
        assert!(told("2036-01-01")[0].contains("its data ended on 2035-12-31; nothing of it starts"));
        assert!(told("1989-12-31")[0].contains("its data begins on 1990-01-01 only"));
        // A calendar without a horizon of its own has nothing to project.
        let always = loaded("[market]\ncalendar = \"FX\"\n");
        assert_eq!(shown(&horizon_warnings(&always, at("2044-12-01"))), [""; 0]);
        assert_eq!(data_end_warnings(&always, at("2044-12-01")).len(), 1);
    }

    #[test]
    fn every_calendar_can_be_asked_without_its_overrides() {
        let text = "[market]\nclose = \"15:00\"\n[calendar.DESK]\nextends = \"XNYS\"\nopen = \"10:00\"\n";
        let settings = loaded(&format!("{text}{}", word("2027-01-20", "closed = true"))).settings;
        let date = "2027-01-20".parse().expect("a date");
        for name in ["market", "desk", "nyse", "XLON"] {
            let plain = settings.calendar_without_overrides(name).expect(name);
            assert_eq!(plain.is_session(date), Ok(true), "{name}");
        }
        assert_eq!(settings.default_calendar().is_session(date), Ok(false));
        assert!(settings.calendar_is_nameless("market") && !settings.calendar_is_nameless("DESK"));
        assert!(settings.calendar_without_overrides("nobody").is_none());
    }
}
