//! From the rules of a calendar file to its table: which date of which year, what moves, what wins over what.

use chrono::{Datelike, Days, NaiveDate, Weekday};

use super::rules::{Change, EarlyClose, Holiday, On, Rule, Rules};
use super::table::{Entry, Extended, Force, Mark, Marks, Row, Table};
use super::{Basis, Fault};

/// Compiles the rules. What can still be wrong is an exception that contradicts another, or leaves no time between open and close.
pub(super) fn compile(rules: Rules) -> Result<Table, Vec<Fault>> {
    let hours = rules.hours;
    let mut table = Table::of_week(rules.zone, rules.range.clone(), rules.weekdays, (hours.open, hours.close));
    table.name = rules.name;
    table.aliases = rules.aliases;
    table.published_to = rules.published_to;
    table.extended = Extended {
        clock: table.clock.clone(),
        premarket: hours.premarket,
        postmarket: hours.postmarket,
        early_postmarket: hours.early_postmarket,
    };
    // A holiday may move over the turn of the year, so the years beside the range count too.
    let years = rules.range.start().year() - 1..=rules.range.end().year() + 1;
    for holiday in &rules.holidays {
        years.clone().for_each(|year| close(&mut table, holiday, year));
    }
    let mut faults = Vec::new();
    for early in &rules.early_closes {
        if early.close <= hours.open || early.close >= hours.close {
            let message =
                format!("{} is not between the open, {}, and the close, {}", early.close, hours.open, hours.close);
            faults.push(early.place.fault(message));
        }
        years.clone().for_each(|year| close_early(&mut table, early, year));
    }
    let mut seen = std::collections::BTreeSet::new();
    for exception in &rules.exceptions {
        for &date in &exception.dates {
            let done = if !table.range.contains(&date) {
                Err(format!("is outside of {} to {}", table.range.start(), table.range.end()))
            } else if !seen.insert(date) {
                Err("has another exception already".to_owned())
            } else {
                let reason = exception_reason(&table, date, exception.change, &exception.reason);
                table.amend(date, exception.change, reason.into(), Basis::Published)
            };
            if let Err(message) = done {
                faults.push(exception.place.fault(format!("{date}: {message}")));
            }
        }
    }
    if faults.is_empty() { Ok(table) } else { Err(faults) }
}

/// Puts one year's holiday in. A date that is closed already keeps its reason: a Sunday is a weekend first.
fn close(table: &mut Table, holiday: &Holiday, year: i32) {
    let Some(falls) = date_in(&holiday.rule, year) else { return };
    let moved = holiday.observed[falls.weekday().num_days_from_monday() as usize];
    let Some(date) = later(falls, moved).filter(|date| table.range.contains(date)) else { return };
    if let Entry::Ordinary = table.entry(date) {
        let name = &holiday.rule.name;
        let reason = if moved == 0 { name.clone() } else { format!("{name} (observed)") };
        let basis = table.basis(date);
        table.set(date, Row { hours: None, reason: reason.into(), basis });
    }
}

/// Puts one year's half day in, unless there is no session anyway.
fn close_early(table: &mut Table, early: &EarlyClose, year: i32) {
    let Some(date) = date_in(&early.rule, year).filter(|date| table.range.contains(date)) else { return };
    if let Entry::Ordinary = table.entry(date) {
        let close = Mark { at: early.close, zone: table.clock.zone(), force: Force::Exact };
        let hours = Some(Marks { open: None, close: Some(close), early: true });
        let reason = format!("early close: {}", early.rule.name).into();
        let basis = table.basis(date);
        table.set(date, Row { hours, reason, basis });
    }
}

/// Says what an exception does, unless it closes: then the reason alone is the plainest.
fn exception_reason(table: &Table, date: NaiveDate, change: Change, reason: &str) -> String {
    match change {
        Change::Closed => reason.to_owned(),
        Change::Hours { .. } if table.entry(date).marks().is_none() => format!("special session: {reason}"),
        Change::Hours { open: None, close: Some(close) } if close < table.close => format!("early close: {reason}"),
        Change::Hours { open: Some(open), close: None } if open > table.open => format!("late open: {reason}"),
        Change::Hours { .. } => format!("special hours: {reason}"),
    }
}

/// The date of a rule in a year, before it moves; None where the rule does not hold or the date does not exist.
fn date_in(rule: &Rule, year: i32) -> Option<NaiveDate> {
    if !rule.years.contains(&year) {
        return None;
    }
    let date = match rule.on {
        On::Fixed { month, day } => NaiveDate::from_ymd_opt(year, month, day)?,
        On::Nth { month, weekday, nth } => nth_weekday(year, month, weekday, nth)?,
        On::Easter { days } => later(easter(year)?, days)?,
    };
    let date = later(date, rule.plus)?;
    rule.weekdays[date.weekday().num_days_from_monday() as usize].then_some(date)
}

fn nth_weekday(year: i32, month: u32, weekday: Weekday, nth: i32) -> Option<NaiveDate> {
    match u8::try_from(nth) {
        Ok(nth) => NaiveDate::from_weekday_of_month_opt(year, month, weekday, nth),
        // The last one: the fifth, or the fourth in months that have no fifth.
        Err(_) => [5, 4].into_iter().find_map(|nth| NaiveDate::from_weekday_of_month_opt(year, month, weekday, nth)),
    }
}

fn later(date: NaiveDate, days: i32) -> Option<NaiveDate> {
    let by = Days::new(days.unsigned_abs().into());
    if days < 0 { date.checked_sub_days(by) } else { date.checked_add_days(by) }
}

/// Easter Sunday of the Gregorian calendar (the algorithm of Meeus, Jones and Butcher).
fn easter(year: i32) -> Option<NaiveDate> {
    let golden = year % 19;
    let (century, rest) = (year / 100, year % 100);
    let correction = (century - (century + 8) / 25 + 1) / 3;
    let epact = (19 * golden + century - century / 4 - correction + 15) % 30;
    let sunday = (32 + 2 * (century % 4) + 2 * (rest / 4) - epact - rest % 4) % 7;
    let late = (golden + 11 * epact + 22 * sunday) / 451;
    let days = epact + sunday - 7 * late + 114;
    NaiveDate::from_ymd_opt(year, (days / 31).cast_unsigned(), (days % 31 + 1).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    #[test]
    fn easter_falls_on_its_known_dates() {
        let known = ["1990-04-15", "1991-03-31", "2000-04-23", "2008-03-23", "2011-04-24", "2024-03-31", "2026-04-05"];
        for sunday in known.into_iter().chain(["2027-03-28", "2035-03-25", "2038-04-25"]).map(date) {
            assert_eq!(easter(sunday.year()), Some(sunday));
        }
    }

    #[test]
    fn the_nth_weekday_counts_from_the_start_and_minus_one_is_the_last() {
        let rows = [
            (2026, 1, Weekday::Mon, 3, "2026-01-19"),
            (2026, 11, Weekday::Thu, 4, "2026-11-26"),
            (2026, 5, Weekday::Mon, -1, "2026-05-25"),
            (2027, 5, Weekday::Mon, -1, "2027-05-31"),
            (2026, 2, Weekday::Sat, -1, "2026-02-28"),
        ];
        for (year, month, weekday, nth, expected) in rows {
            assert_eq!(nth_weekday(year, month, weekday, nth), Some(date(expected)));
        }
        assert_eq!(nth_weekday(2026, 2, Weekday::Mon, 5), None);
    }

    #[test]
    fn a_rule_that_does_not_hold_gives_no_date() {
        let rule = |on, weekdays, years| Rule { name: "x".into(), on, plus: 0, weekdays, years };
        let leap = On::Fixed { month: 2, day: 29 };
        assert_eq!(date_in(&rule(leap, [true; 7], 1990..=2035), 2027), None);
        assert_eq!(date_in(&rule(leap, [true; 7], 1990..=2035), 2028), Some(date("2028-02-29")));
        assert_eq!(date_in(&rule(leap, [true; 7], 2029..=2035), 2028), None);
        assert_eq!(date_in(&rule(leap, [false; 7], 1990..=2035), 2028), None);
    }
}
