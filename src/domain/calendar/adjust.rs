//! What the operator lays over a calendar: overrides of single dates, and regular hours of one's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::local_clock::{LocalClock, resolve};
use super::rules::{Change, Hours};
use super::table::{Force, Mark, Marks, Row, Table};
use super::{Basis, Calendar, Fault, Faults, Origin, Override, OwnHours, TimeOfDay};

impl Calendar {
    /// The same calendar with these overrides, which win over everything built in. Their times are in its zone, and under hours
    /// of your own they are exact.
    ///
    /// # Errors
    /// All faults; the keys are `override[INDEX].KEY`, the index counted from 0 in `overrides`.
    pub fn with_overrides(&self, overrides: &[Override]) -> Result<Self, Faults> {
        let mut table = Table::clone(&self.table);
        let mut faults = Vec::new();
        let mut seen: BTreeMap<NaiveDate, &Override> = BTreeMap::new();
        for (index, word) in overrides.iter().enumerate() {
            let mut fault = |key: &str, message: String| {
                let message = format!("{}: {message}", word.date);
                faults.push(Fault { line: None, key: format!("override[{index}].{key}"), message, unknown: None });
            };
            if word.reason.trim().is_empty() {
                fault("reason", "is missing: say why, it is shown wherever the date is explained".into());
            }
            if !table.range.contains(&word.date) {
                fault("date", self.out_of_range(word.date).to_string());
                continue;
            }
            match seen.insert(word.date, word) {
                Some(earlier) if earlier.agrees_with(word) => continue,
                Some(earlier) => {
                    let place = earlier.origin.as_ref().map(|origin| format!(" ({}:{})", origin.file, origin.line));
                    let place = place.unwrap_or_default();
                    fault(
                        "date",
                        format!("another override of this date{place} says something else; keep one of them"),
                    );
                    continue;
                }
                None => {}
            }
            if let Err((key, message)) = lay_over(&mut table, word) {
                fault(key, message);
            }
        }
        if faults.is_empty() {
            let collide = |(index, word): (usize, &Override)| {
                let message = format!("{}: {}", word.date, table.collision(word.date)?);
                Some(Fault { line: None, key: format!("override[{index}].date"), message, unknown: None })
            };
            faults.extend(overrides.iter().enumerate().filter_map(collide));
        }
        if faults.is_empty() { Ok(Self::of(&self.id, table)) } else { Err(Faults(faults)) }
    }

    /// The same calendar under another id, with hours of your own. Its dates stay; an early close still applies where it is
    /// earlier than yours, a late open where it is later. The sessions before and after the regular one, and breaks, keep their
    /// instants, but never begin after your open nor end before your close. Whole days are whole in every zone: the dates are then
    /// its civil dates. `origin` says where your hours stand written.
    ///
    /// ```
    /// use mho::domain::calendar::{Calendar, OwnHours};
    ///
    /// let nyse = Calendar::builtin("XNYS").expect("a built-in calendar");
    /// let own = OwnHours { close: Some("15:00".parse()?), ..OwnHours::default() };
    /// let desk = nyse.with_hours("DESK", own, None)?;
    /// let close = |date: &str| desk.session(date.parse().unwrap()).unwrap().unwrap().close.to_rfc3339();
    /// assert_eq!(close("2026-11-25"), "2026-11-25T20:00:00+00:00");
    /// assert_eq!(close("2026-11-27"), "2026-11-27T18:00:00+00:00"); // the exchange closes earlier
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A zone with another offset without open and close, an open at or after the close, more than 24 hours, no weekday left.
    pub fn with_hours(&self, id: &str, hours: OwnHours, origin: Option<Origin>) -> Result<Self, Fault> {
        let fault = |key: &str, message: String| Fault { key: key.into(), message, ..Fault::default() };
        let mut table = Table::clone(&self.table);
        // The names of the exchange go on meaning the exchange.
        table.aliases = Vec::new();
        let whole_days = table.is_whole_days();
        if let Some(zone) = hours.timezone {
            let both = hours.open.is_some() && hours.close.is_some();
            if !both && !whole_days && !same_instants(&self.table, zone) {
                let was = table.clock.zone();
                let message = format!("{zone} and {was} have different offsets: give `open` and `close` in {zone} too");
                return Err(fault("timezone", message));
            }
            table.clock = Arc::new(LocalClock::of(zone, &table.range));
        }
        for period in &mut table.periods {
            own(&mut period.hours, &hours).map_err(|(key, message)| fault(key, message))?;
            if whole_days {
                // Around a whole day there is nothing that could keep its instants.
                period.hours = Hours::plain(period.hours.open, period.hours.close);
            }
            if hours.open.is_some() || hours.close.is_some() {
                period.origin.clone_from(&origin);
            }
        }
        if whole_days {
            table.outer = Arc::clone(&table.clock);
        }
        if let Some(wanted) = hours.weekdays {
            table.weekdays_origin = origin;
            table.weekdays.iter_mut().zip(wanted).for_each(|(day, wanted)| *day &= wanted);
        }
        if table.weekdays == [false; 7] {
            return Err(fault("weekdays", format!("{} has no session on any of them", self.id)));
        }
        let wanted = hours.weekdays.unwrap_or([true; 7]);
        table.retain(|table, date, row| {
            bind_row(table, date, row, &hours, id);
            let is_ordinary = row.reason.is_empty() && row.hours.is_some_and(|marks| !marks.early);
            !is_ordinary && wanted[chrono::Datelike::weekday(&date).num_days_from_monday() as usize]
        });
        Ok(Self::of(id, table))
    }
}

/// What the exchange's word on a date comes to under hours of one's own: less time, no time, or nothing that is to be seen.
fn bind_row(table: &Table, date: NaiveDate, row: &mut Row, hours: &OwnHours, id: &str) {
    let Some(marks) = &mut row.hours else { return };
    bind(marks, hours);
    if table.open_of(date, marks) >= table.close_of(date, marks) {
        row.hours = None;
        row.reason = format!("no time is left in the hours of {id} ({})", row.reason).into();
        return;
    }
    let regular = Marks::default();
    let is_void = |mark: Option<Mark>| mark.is_some_and(|mark| mark.force == Force::Bound);
    if is_void(marks.open) && table.open_of(date, marks) == table.open_of(date, &regular) {
        marks.open = None;
    }
    if is_void(marks.close) && table.close_of(date, marks) == table.close_of(date, &regular) {
        marks.close = None;
    }
    if marks.open.is_none() && marks.close.is_none() && !row.is_special {
        row.reason = "".into();
    }
}

/// What an override changes; the key that is at fault, and the message.
fn lay_over(table: &mut Table, word: &Override) -> Result<(), (&'static str, String)> {
    let close = word.close.map(TimeOfDay::closing);
    let change = Change::of(word.closed, word.open, close).map_err(|message| ("closed", message.to_owned()))?;
    let entry = table.entry(word.date);
    if let Change::Hours { open, close } = change
        && entry.marks().is_none()
        && (open.is_none() || close.is_none())
    {
        let (day, why) = (word.date.format("%A"), entry.reason(word.date));
        let message = format!(
            "there is no session on this {day} ({why}): correct the date, or give both `open` and `close` for a special session"
        );
        return Err(("date", message));
    }
    let reason = format!("override: {}", word.reason.trim()).into();
    let row = Row { hours: None, reason, basis: Basis::Override, origin: word.origin.clone(), is_special: false };
    let key = if word.open.is_some() { "open" } else { "close" };
    table.amend(word.date, change, row).map_err(|message| (key, message))
}

/// Own hours in the place of regular ones; the key that is at fault, and the message.
pub(super) fn own(regular: &mut Hours, own: &OwnHours) -> Result<(), (&'static str, String)> {
    regular.open = own.open.unwrap_or(regular.open);
    regular.close = own.close.map_or(regular.close, TimeOfDay::closing);
    let (open, close) = (regular.open, regular.close);
    if open >= close {
        let key = if own.open.is_some() { "open" } else { "close" };
        let evening = "; for the evening before write \"HH:MM -1d\"";
        return Err((key, format!("the open, {open}, is not before the close, {close}{evening}")));
    }
    if close.seconds() - open.seconds() > TimeOfDay::DAY_END.seconds() {
        let key = if own.open.is_some() { "open" } else { "close" };
        return Err((
            key,
            format!("from {open} to {close} are more than 24 hours: the sessions of two dates would overlap"),
        ));
    }
    Ok(())
}

/// Where somebody has hours of their own, the exchange's word on a date can only shorten them; elsewhere it stays exact.
fn bind(marks: &mut Marks, own: &OwnHours) {
    for (mark, is_own) in [(&mut marks.open, own.open.is_some()), (&mut marks.close, own.close.is_some())] {
        if let Some(mark) = mark
            && is_own
        {
            mark.force = Force::Bound;
        }
    }
}

/// Whether open and close mean the same instants in another zone, on every date.
fn same_instants(table: &Table, zone: Tz) -> bool {
    let same = |at: TimeOfDay, date| resolve(zone, date, at) == table.clock.at(date, at);
    let same_day = |date| {
        let hours = table.hours_on(date);
        same(hours.open, date) && same(hours.close, date)
    };
    zone == table.clock.zone()
        || table.range.start().iter_days().take_while(|date| date <= table.range.end()).all(same_day)
}
