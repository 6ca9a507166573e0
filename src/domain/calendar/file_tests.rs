//! Calendar files of one's own: what they can say, and how their faults are reported.

use chrono::{DateTime, Utc};

use super::*;

const HEAD: &str = r#"name = "Desk"
timezone = "Europe/London"
from = 2026-01-01
to = 2026-12-31
weekdays = ["mon", "tue", "wed", "thu", "fri"]
hours = { open = "08:00", close = "16:30" }
"#;

fn said(calendar: &Calendar, day: &str) -> String {
    let day = calendar.day(day.parse().expect("a date")).expect("in range");
    let clock = |at: DateTime<Utc>| at.with_timezone(&calendar.zone()).format("%H:%M").to_string();
    let hours =
        day.session.map_or("closed".into(), |session| format!("{}-{}", clock(session.open), clock(session.close)));
    format!("{hours} {}", day.reason).trim_end().to_owned()
}

fn faults(text: &str) -> Vec<String> {
    let faults = Calendar::parse("DESK", text).expect_err("faults");
    faults
        .into_iter()
        .map(|fault| format!("{}: {fault}", fault.line.map_or("-".into(), |line| line.to_string())))
        .collect()
}

#[test]
fn a_file_says_rules_late_opens_and_special_sessions() {
    let text = HEAD.to_owned()
        + r#"
        [[holiday]]
        name = "Boxing Day"
        on = { month = 12, day = 26 }
        observed = { sat = 2, sun = 2 }
        [[exception]]
        dates = ["2026-12-26"]
        open = "10:00"
        close = "12:00"
        reason = "test of the new system"
        source = "notice 7"
        [[exception]]
        dates = [2026-03-02, 2026-03-03]
        open = "09:15:30"
        reason = "slow start"
        source = "notice 8"
        [[exception]]
        dates = [2026-03-04]
        open = "07:00"
        close = "18:00"
        reason = "expiry"
        source = "notice 9"
    "#;
    let desk = Calendar::parse("DESK", &text).expect("valid");
    let rows = [
        ("2026-12-28", "closed Boxing Day (observed)"),
        ("2026-12-26", "10:00-12:00 special session: test of the new system"),
        ("2026-03-03", "09:15-16:30 late open: slow start"),
        ("2026-03-04", "07:00-18:00 special hours: expiry"),
        ("2026-07-01", "08:00-16:30"),
    ];
    for (day, expected) in rows {
        assert_eq!(said(&desk, day), expected, "{day}");
    }
    assert_eq!((desk.id(), desk.name()), ("DESK", "Desk"));
}

#[test]
fn a_holiday_that_moves_over_the_turn_of_the_year_is_kept() {
    let holiday = "[[holiday]]\nname = \"New Year\"\non = { month = 1, day = 1 }\nobserved = { fri = -1 }\n";
    // 1 January 2027 is a Friday; the data ends the day before, the day to which it moves.
    let desk = Calendar::parse("DESK", &format!("{HEAD}{holiday}")).expect("valid");
    assert_eq!(said(&desk, "2026-12-31"), "closed New Year (observed)");
}

#[test]
fn all_faults_of_a_file_are_reported_at_once_each_with_its_line() {
    let text = r#"name = ""
timezone = "Europe/Lodnon"
from = 2026-01-01
to = 2025-12-31
weekdays = ["mon", "sonday"]
colour = "red"
[hours]
open = "16:30"
close = "08:00"
[[holiday]]
name = "May Day"
on = { month = 13, weekday = "mon", nth = 1 }
[[holiday]]
on = { month = 5 }
[[early_close]]
name = "Eve"
on = { month = 12, day = 24 }
close = "25:00"
[[exception]]
dates = [2026-02-30]
closed = true
reason = "x"
"#;
    // A date that does not exist is refused by the TOML parser itself, before anything is understood.
    assert_eq!(faults(text).len(), 1);
    assert!(faults(text)[0].starts_with("20: "), "{:?}", faults(text));
    let found = faults(&text.replace("2026-02-30", "\"2026-02-30\""));
    let expected = [
        "1: name: expected a text that is not empty, found \"\"",
        "2: timezone: expected an IANA time zone like \"America/New_York\", found \"Europe/Lodnon\"",
        "4: to: 2025-12-31 is before `from`, 2026-01-01",
        "5: weekdays: expected a list that is not empty, each item a weekday: mon, tue, wed, thu, fri, sat or sun, found [\"mon\", \"sonday\"]",
        "6: colour: unknown key; known here: name, aliases, timezone, from, to, published_to, source, weekdays, hours, holiday, early_close, exception",
        "9: hours.close: 08:00 is not after the open, 16:30; for the evening before write \"HH:MM -1d\"",
        "12: holiday[0].on.month: 13 is not in 1 to 12",
        "13: holiday[1].name: is missing: a text that is not empty",
        "14: holiday[1].on: expected { month, day }, { month, weekday, nth }, { month, weekday, on_or_before }, { month, weekday, on_or_after } or { easter }, and `plus` if need be",
        "18: early_close[0].close: expected a time of day like \"09:30\", at most \"24:00\", or \"17:00 -1d\" for the day before, found \"25:00\"",
        "19: exception[0].source: is missing: a text that is not empty",
        "20: exception[0].dates: expected a list that is not empty, each item a date like 2026-11-27, found [\"2026-02-30\"]",
    ];
    assert_eq!(found, expected, "{found:#?}");
}

#[test]
fn faults_that_show_when_rules_meet_have_their_line_too() {
    let text = HEAD.to_owned()
        + r#"[[early_close]]
name = "Eve"
on = { month = 12, day = 24 }
close = "16:30"
[[exception]]
dates = [2027-01-04, 2026-03-02]
closed = true
reason = "x"
source = "y"
[[exception]]
dates = [2026-03-02, 2026-03-03]
open = "17:00"
reason = "x"
source = "y"
[[exception]]
dates = [2026-03-05]
reason = "x"
source = "y"
"#;
    let found = faults(&text);
    let expected = [
        "10: early_close[0].close: 2026-12-24: 16:30 is not between the open, 08:00, and the close, 16:30",
        "12: exception[0].dates: 2027-01-04: is outside of 2026-01-01 to 2026-12-31",
        "17: exception[1].dates: 2026-03-02: has another exception already",
        "17: exception[1].dates: 2026-03-03: the open, 17:00, is not before the close, 16:30",
        "21: exception[2].closed: changes nothing: give `closed = true`, or `open` or `close`",
    ];
    assert_eq!(found, expected, "{found:#?}");
}

#[test]
fn what_is_not_toml_is_reported_with_its_line() {
    let found = faults("name = \"Desk\"\ntimezone = \n");
    assert!(found[0].starts_with("2: "), "{found:?}");
}
