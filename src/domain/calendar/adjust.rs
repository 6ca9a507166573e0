//! What the operator lays over a calendar: overrides of single dates, and regular hours of one's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::local_clock::{LocalClock, resolve};
use super::rules::Change;
use super::table::{Extended, Force, Marks, Table};
use super::{Basis, Calendar, Fault, Override, OwnHours, TimeOfDay};

impl Calendar {
    /// The same calendar with these overrides, which win over everything built in. Their times are in its zone, and under hours
    /// of your own they are exact.
    ///
    /// # Errors
    /// All faults; the keys are `override[INDEX].KEY`, the index counted from 0 in `overrides`.
    pub fn with_overrides(&self, overrides: &[Override]) -> Result<Self, Vec<Fault>> {
        let mut table = Table::clone(&self.table);
        let mut faults = Vec::new();
        let mut seen: BTreeMap<NaiveDate, &Override> = BTreeMap::new();
        for (index, word) in overrides.iter().enumerate() {
            let mut fault = |key: &str, message: String| {
                let message = format!("{}: {message}", word.date);
                faults.push(Fault { line: None, key: format!("override[{index}].{key}"), message });
            };
            if word.reason.trim().is_empty() {
                fault("reason", "is missing: say why, it is shown wherever the date is explained".into());
            }
            if !table.range.contains(&word.date) {
                fault("date", self.out_of_range(word.date).to_string());
                continue;
            }
            match seen.insert(word.date, word) {
                Some(earlier) if earlier == word => continue,
                Some(_) => fault("date", "another override of this date says something else; keep one of them".into()),
                None => {}
            }
            let change = Change::of(word.closed, word.open.map(TimeOfDay::open), word.close.map(TimeOfDay::close));
            let reason = format!("override: {}", word.reason);
            match change {
                Err(message) => fault("closed", message.into()),
                Ok(change) => {
                    if let Err(message) = table.amend(word.date, change, reason.into(), Basis::Override) {
                        fault(if word.open.is_some() { "open" } else { "close" }, message);
                    }
                }
            }
        }
        if faults.is_empty() { Ok(Self::of(&self.id, table)) } else { Err(faults) }
    }

    /// The same calendar under another id, with hours of your own. Its dates stay; an early close still applies where it is
    /// earlier than yours, a late open where it is later. The sessions before and after the regular one keep their instants,
    /// but never begin after your open nor end before your close. Whole days are whole in every zone: the dates are then
    /// its civil dates.
    ///
    /// # Errors
    /// A zone with another offset without open and close, an open at or after the close, no weekday left.
    pub fn with_hours(&self, id: &str, hours: OwnHours) -> Result<Self, Fault> {
        let fault = |key: &str, message: String| Fault { line: None, key: key.into(), message };
        let mut table = Table::clone(&self.table);
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
        table.open = hours.open.map_or(table.open, TimeOfDay::open);
        table.close = hours.close.map_or(table.close, TimeOfDay::close);
        if table.open >= table.close {
            let key = if hours.open.is_some() { "open" } else { "close" };
            return Err(fault(key, format!("the open, {}, is not before the close, {}", table.open, table.close)));
        }
        if whole_days {
            // Before and after a whole day there is nothing that could keep its instants.
            table.extended = Extended::none(&table.clock, table.open, table.close);
        }
        let wanted = hours.weekdays.unwrap_or([true; 7]);
        for (day, wanted) in table.weekdays.iter_mut().zip(wanted) {
            *day &= wanted;
        }
        if table.weekdays == [false; 7] {
            return Err(fault("weekdays", format!("{} has no session on any of them", self.id)));
        }
        table.retain(|table, date, row| {
            if let Some(marks) = &mut row.hours {
                bind(marks, &hours);
                if table.open_of(date, marks) >= table.close_of(date, marks) {
                    row.hours = None;
                    row.reason = format!("{} (outside of the hours of {id})", row.reason).into();
                }
            }
            wanted[chrono::Datelike::weekday(&date).num_days_from_monday() as usize]
        });
        Ok(Self::of(id, table))
    }
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
    let mut dates = table.range.start().iter_days().take_while(|date| date <= table.range.end());
    zone == table.clock.zone() || dates.all(|date| same(table.open, date) && same(table.close, date))
}
