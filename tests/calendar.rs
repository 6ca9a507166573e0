//! XNYS against facts from elsewhere, on every civil day.

use chrono::NaiveDate;
use mho::cli::calendar::{CalendarArgs, Format, run};
use mho::domain::calendar::Calendar;

/// A comment line with the source, then `date,is_session,open_utc,close_utc,is_early_close`.
const FACTS: &str = include_str!("data/xnys-sessions.csv");

/// Announced weeks ahead, and the one thing that the source does not know.
const LATE_OPEN: [&str; 2] = [
    "2002-09-11,1,2002-09-11T13:30:00Z,2002-09-11T20:00:00Z,0",
    "2002-09-11,1,2002-09-11T16:00:00Z,2002-09-11T20:00:00Z,0",
];

fn date(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

fn csv(from: &str, to: &str) -> Vec<String> {
    let args = CalendarArgs { id: None, from: Some(date(from)), to: Some(date(to)), format: Format::Csv };
    let mut out = Vec::new();
    run(&args, &Calendar::builtin("XNYS").expect("a built-in calendar"), date(from), &mut out).expect("printed");
    String::from_utf8(out).expect("text").lines().map(ToOwned::to_owned).collect()
}

#[test]
fn every_day_from_2000_to_2026_is_as_the_facts_say() {
    let facts: Vec<&str> = FACTS.lines().skip(2).collect();
    assert_eq!(facts.len(), 9862);
    let said = csv("2000-01-01", "2026-12-31");
    let mut corrected = 0;
    for (fact, said) in facts.iter().zip(&said[1..]) {
        let (said, reason) = said.rsplit_once(',').expect("a reason column");
        let expected = if *fact == LATE_OPEN[0] { LATE_OPEN[1] } else { fact };
        corrected += usize::from(expected != *fact);
        assert_eq!(said, expected, "{reason}");
    }
    assert_eq!((said.len() - 1, corrected), (facts.len(), 1));
}

#[test]
fn every_closed_day_and_every_half_day_has_a_reason_and_no_regular_day_has_one() {
    let said = csv("1990-01-01", "2035-12-31");
    assert_eq!(said.len() - 1, 16_801);
    for line in &said[1..] {
        let fields: Vec<&str> = line.splitn(6, ',').collect();
        let is_regular = fields[1] == "1" && fields[4] == "0" && fields[0] != "2002-09-11";
        assert_eq!(fields[5].is_empty(), is_regular, "{line}");
    }
}
