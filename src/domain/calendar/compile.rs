//! From the rules of a calendar file to its table: which date of which year, what moves, what wins over what.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{Datelike, Days, NaiveDate, Weekday};

use super::rules::{Change, EarlyClose, Exception, Hours, On, Rule, Rules};
use super::table::{Entry, Force, Mark, Marks, Row, Table};
use super::{Fault, TimeOfDay};

/// Compiles the rules; a calendar is of use only where there are no faults. What can still be wrong is what shows only when rules meet: a
/// rule that never holds, an early close outside of the hours of its date, an exception that contradicts another, sessions that overlap.
pub(super) fn compile(rules: Rules, file: Option<Arc<str>>) -> (Table, Vec<Fault>) {
    let mut table = Table::of_week(rules.zone, rules.range.clone(), rules.weekdays, rules.periods);
    table.name = rules.name;
    table.aliases = rules.aliases;
    table.source = rules.source;
    table.published_to = rules.published_to;
    table.file = file;
    table.weekdays_origin = table.at_line(rules.weekdays_line, None);
    for at in 0..table.periods.len() {
        table.periods[at].origin = table.at_line(table.periods[at].place.line, None);
    }
    let mut faults = Vec::new();
    let early = rules.early_closes.iter().map(|early| &early.rule);
    faults.extend(rules.holidays.iter().chain(early).filter_map(never_holds));
    // A holiday may move over the turn of the year, so the years beside the range count too.
    let years = rules.range.start().year() - 1..=rules.range.end().year() + 1;
    for holiday in &rules.holidays {
        years.clone().for_each(|year| close(&mut table, holiday, year));
    }
    for early in &rules.early_closes {
        let bad = years.clone().filter_map(|year| close_early(&mut table, early, year).err()).next();
        faults.extend(bad.map(|message| early.place.fault(message)));
    }
    let mut seen = BTreeSet::new();
    for exception in &rules.exceptions {
        for &date in &exception.dates {
            if let Err(message) = except(&mut table, exception, date, &mut seen) {
                faults.push(exception.place.fault(format!("{date}: {message}")));
            }
        }
    }
    if faults.is_empty() {
        faults.extend(overlap(&table, &rules.exceptions));
    }
    (table, faults)
}

/// The first two sessions that are open at once.
fn overlap(table: &Table, exceptions: &[Exception]) -> Option<Fault> {
    let long = |hours: &Hours| hours.open < TimeOfDay::MIDNIGHT || hours.close > TimeOfDay::DAY_END;
    let of = |change: Change| match change {
        Change::Hours { open, close } => [open, close],
        Change::Closed => [None, None],
    };
    let is_odd = |at: TimeOfDay| !(TimeOfDay::MIDNIGHT..=TimeOfDay::DAY_END).contains(&at);
    let mut odd = exceptions.iter().flat_map(|exception| of(exception.change)).flatten().filter(|at| is_odd(*at));
    // Where every session lies on its own civil day none can meet another.
    if !table.periods.iter().any(|period| long(&period.hours)) && odd.next().is_none() {
        return None;
    }
    let dates = table.range.start().iter_days().take_while(|date| date <= table.range.end());
    let mut sessions = dates.filter_map(|date| table.entry(date).marks().map(|marks| table.session(date, &marks)));
    let mut last = sessions.next()?;
    for session in sessions {
        if session.open < last.close {
            let message = format!("the sessions of {} and {} overlap", last.date, session.date);
            let mut exceptions = exceptions.iter();
            let exception = exceptions.find(|e| e.dates.contains(&session.date) || e.dates.contains(&last.date));
            let place = exception.map_or(&table.period_on(session.date).place, |exception| &exception.place);
            return Some(place.fault(message));
        }
        last = session;
    }
    None
}

/// A rule whose conditions exclude each other.
fn never_holds(rule: &Rule) -> Option<Fault> {
    let any_year = Rule { years: i32::MIN..=i32::MAX, ..rule.clone() };
    // The calendar repeats after 400 years, Easter or not.
    let holds = (2000..2400).any(|year| date_in(&any_year, year).is_some());
    (!holds).then(|| rule.place.fault("never holds: `on` and `weekdays` exclude each other".to_owned()))
}

/// Puts one year's holiday in. A date that is closed already keeps its reason: a Sunday is a weekend first.
fn close(table: &mut Table, rule: &Rule, year: i32) {
    let Some((date, name)) = observed_in(rule, year).filter(|(date, _)| table.range.contains(date)) else { return };
    if let Entry::Ordinary = table.entry(date) {
        let (basis, origin) = (table.basis(date), table.at_line(rule.place.line, None));
        table.set(date, Row { hours: None, reason: name.into(), basis, origin, is_special: false });
    }
}

/// Puts one year's half day in, unless there is no session anyway.
fn close_early(table: &mut Table, early: &EarlyClose, year: i32) -> Result<(), String> {
    let found = observed_in(&early.rule, year).filter(|(date, _)| table.range.contains(date));
    let Some((date, name)) = found else { return Ok(()) };
    if let Entry::Ordinary = table.entry(date) {
        let (close, hours) = (early.close, table.hours_on(date));
        if close <= hours.open || close >= hours.close {
            let (open, regular) = (hours.open, hours.close);
            return Err(format!("{date}: {close} is not between the open, {open}, and the close, {regular}"));
        }
        let close = Mark { at: close, zone: table.clock.zone(), force: Force::Exact };
        let hours = Some(Marks { open: None, close: Some(close), early: true });
        let (basis, origin) = (table.basis(date), table.at_line(early.rule.place.line, None));
        let reason = format!("early close: {name}").into();
        table.set(date, Row { hours, reason, basis, origin, is_special: false });
    }
    Ok(())
}

fn except(
    table: &mut Table,
    exception: &Exception,
    date: NaiveDate,
    seen: &mut BTreeSet<NaiveDate>,
) -> Result<(), String> {
    if !table.range.contains(&date) {
        return Err(format!("is outside of {} to {}", table.range.start(), table.range.end()));
    }
    if !seen.insert(date) {
        return Err("has another exception already".to_owned());
    }
    let reason = exception_reason(table, date, exception.change, &exception.reason).into();
    let origin = table.at_line(exception.place.line, Some(&exception.source));
    let row = Row { hours: None, reason, basis: table.basis(date), origin, is_special: false };
    table.amend(date, exception.change, row)
}

/// Says what an exception does, unless it closes: then the reason alone is the plainest.
fn exception_reason(table: &Table, date: NaiveDate, change: Change, reason: &str) -> String {
    let hours = table.hours_on(date);
    let is_early = |close: TimeOfDay| close < hours.close;
    match change {
        Change::Closed => reason.to_owned(),
        Change::Hours { .. } if table.entry(date).marks().is_none() => format!("special session: {reason}"),
        Change::Hours { open: None, close: Some(close) } if is_early(close) => format!("early close: {reason}"),
        Change::Hours { open: Some(open), close: None } if open > hours.open => format!("late open: {reason}"),
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
        On::UpTo { month, weekday, day } => {
            let date = NaiveDate::from_ymd_opt(year, month, day)?;
            later(date, -days_from(weekday, date.weekday()))?
        }
        On::From { month, weekday, day } => {
            let date = NaiveDate::from_ymd_opt(year, month, day)?;
            later(date, days_from(date.weekday(), weekday))?
        }
        On::Easter { days } => later(easter(year)?, days)?,
    };
    let date = later(date, rule.plus)?;
    rule.weekdays[date.weekday().num_days_from_monday() as usize].then_some(date)
}

/// The date on which a rule is observed in a year, and the name that it has there.
fn observed_in(rule: &Rule, year: i32) -> Option<(NaiveDate, String)> {
    let falls = date_in(rule, year)?;
    let moved = rule.observed[falls.weekday().num_days_from_monday() as usize];
    let name = if moved == 0 { rule.name.clone() } else { format!("{} (observed)", rule.name) };
    Some((later(falls, moved)?, name))
}

/// Days from one weekday to the next other one: 0 to 6.
fn days_from(from: Weekday, to: Weekday) -> i32 {
    to.days_since(from).cast_signed()
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
    use super::super::rules::Place;
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
    fn the_weekday_up_to_or_from_a_date_may_be_that_date() {
        let rule = |on| Rule {
            name: "x".into(),
            on,
            plus: 0,
            weekdays: [true; 7],
            observed: [0; 7],
            years: 2000..=2100,
            place: Place::default(),
        };
        let (month, day, weekday) = (5, 24, Weekday::Mon);
        let rows = [
            (2021, "2021-05-24", "2021-05-24"),
            (2022, "2022-05-23", "2022-05-30"),
            (2020, "2020-05-18", "2020-05-25"),
        ];
        for (year, up_to, from) in rows {
            assert_eq!(date_in(&rule(On::UpTo { month, weekday, day }), year), Some(date(up_to)));
            assert_eq!(date_in(&rule(On::From { month, weekday, day }), year), Some(date(from)));
        }
    }

    #[test]
    fn a_rule_that_does_not_hold_gives_no_date() {
        let rule = |on, weekdays, years| Rule {
            name: "x".into(),
            on,
            plus: 0,
            weekdays,
            observed: [0; 7],
            years,
            place: Place::default(),
        };
        let leap = On::Fixed { month: 2, day: 29 };
        assert_eq!(date_in(&rule(leap, [true; 7], 1990..=2035), 2027), None);
        assert_eq!(date_in(&rule(leap, [true; 7], 1990..=2035), 2028), Some(date("2028-02-29")));
        assert_eq!(date_in(&rule(leap, [true; 7], 2029..=2035), 2028), None);
        assert_eq!(date_in(&rule(leap, [false; 7], 1990..=2035), 2028), None);
    }
}
