//! The form of a calendar file (described at the head of `config/calendars/xnys.toml`) and the rules it stands for, valid by
//! construction. No date is computed here: that is `compile`.

use std::ops::RangeInclusive;

use chrono::{NaiveDate, Weekday};
use chrono_tz::Tz;
use toml::de::DeTable;

use super::read::{Faults, Reader};
use super::{Fault, TimeOfDay};

/// One calendar file.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) zone: Tz,
    pub(super) range: RangeInclusive<NaiveDate>,
    pub(super) published_to: NaiveDate,
    pub(super) weekdays: [bool; 7],
    pub(super) hours: Hours,
    pub(super) holidays: Vec<Holiday>,
    pub(super) early_closes: Vec<EarlyClose>,
    pub(super) exceptions: Vec<Exception>,
}

/// The hours of an ordinary session: `premarket <= open < close <= postmarket`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hours {
    pub(super) open: TimeOfDay,
    pub(super) close: TimeOfDay,
    pub(super) premarket: TimeOfDay,
    pub(super) postmarket: TimeOfDay,
    pub(super) early_postmarket: TimeOfDay,
}

/// A date of each year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    /// The same day of the same month.
    Fixed { month: u32, day: u32 },
    /// The nth such weekday of a month, the last where `nth` is -1.
    Nth { month: u32, weekday: Weekday, nth: i32 },
    /// So many days from Easter Sunday.
    Easter { days: i32 },
}

/// When something happens, year by year.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) on: On,
    /// So many days later.
    pub(super) plus: i32,
    /// It holds only when it falls on one of these.
    pub(super) weekdays: [bool; 7],
    pub(super) years: RangeInclusive<i32>,
}

/// A rule for days without a session.
#[derive(Clone, Debug)]
pub(super) struct Holiday {
    pub(super) rule: Rule,
    /// By how many days it moves, by the weekday on which it falls.
    pub(super) observed: [i32; 7],
}

/// A rule for half days.
#[derive(Clone, Debug)]
pub(super) struct EarlyClose {
    pub(super) rule: Rule,
    pub(super) close: TimeOfDay,
    pub(super) place: Place,
}

/// What one dated exception changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// There is no session.
    Closed,
    /// There is one; what is not given stays as it was, or is regular on a day that had none.
    Hours { open: Option<TimeOfDay>, close: Option<TimeOfDay> },
}

/// Facts that no rule gives.
#[derive(Clone, Debug)]
pub(super) struct Exception {
    pub(super) dates: Vec<NaiveDate>,
    pub(super) change: Change,
    pub(super) reason: String,
    pub(super) place: Place,
}

/// Where something stands in the file, for faults that show only when rules meet.
#[derive(Clone, Debug)]
pub(super) struct Place {
    key: String,
    line: usize,
}

impl Place {
    fn of(table: &Reader<'_, '_>, faults: &Faults<'_>, key: &str) -> Self {
        Self { key: table.name_of(key), line: table.line_of(faults, key) }
    }

    /// A fault at this place.
    pub(super) fn fault(&self, message: String) -> Fault {
        Fault { line: Some(self.line), key: self.key.clone(), message }
    }
}

impl Rules {
    /// Reads a calendar file; all its faults, or the rules.
    pub(super) fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::of(text);
        let (root, errors) = DeTable::parse_recoverable(text);
        faults.add_syntax(&errors);
        if !errors.is_empty() {
            // What the parser made up to go on would only add faults that are not there.
            return faults.or(None);
        }
        let rules = read_file(Reader::root(&root), &mut faults);
        faults.or(rules)
    }
}

fn read_file(mut file: Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<Rules> {
    let name = file.required(faults, "name");
    let aliases = file.optional(faults, "aliases").unwrap_or_default();
    let zone = file.required(faults, "timezone");
    let from = file.required::<NaiveDate>(faults, "from");
    let to = file.required::<NaiveDate>(faults, "to");
    let published_to = file.optional(faults, "published_to").or(to);
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        file.fault(faults, "to", format!("{to} is before `from`, {from}"));
    }
    let weekdays = file.required::<Vec<Weekday>>(faults, "weekdays");
    let hours = match file.table(faults, "hours") {
        Some(hours) => read_hours(hours, faults),
        None => {
            file.fault(faults, "hours", "is missing: a table with `open` and `close`");
            None
        }
    };
    let holidays = read_each(file.tables(faults, "holiday"), faults, read_holiday);
    let early_closes = read_each(file.tables(faults, "early_close"), faults, read_early_close);
    let exceptions = read_each(file.tables(faults, "exception"), faults, read_exception);
    file.finish(faults);
    Some(Rules {
        name: name?,
        aliases,
        zone: zone?,
        range: from?..=to?,
        published_to: published_to?,
        weekdays: set_of(&weekdays?),
        hours: hours?,
        holidays,
        early_closes,
        exceptions,
    })
}

fn read_each<'a, 'i, T>(
    tables: Vec<Reader<'a, 'i>>,
    faults: &mut Faults<'_>,
    read: fn(Reader<'a, 'i>, &mut Faults<'_>) -> Option<T>,
) -> Vec<T> {
    tables.into_iter().filter_map(|table| read(table, faults)).collect()
}

fn read_hours(mut table: Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<Hours> {
    let open = table.required(faults, "open");
    let close = table.required(faults, "close");
    let premarket = table.optional(faults, "premarket").or(open);
    let postmarket = table.optional(faults, "postmarket").or(close);
    let early_postmarket = table.optional(faults, "early_postmarket").or(postmarket);
    let hours = Hours {
        open: open?,
        close: close?,
        premarket: premarket?,
        postmarket: postmarket?,
        early_postmarket: early_postmarket?,
    };
    if hours.open >= hours.close {
        table.fault(faults, "close", format!("{} is not after the open, {}", hours.close, hours.open));
    }
    if hours.premarket > hours.open {
        table.fault(faults, "premarket", format!("{} is after the open, {}", hours.premarket, hours.open));
    }
    if hours.postmarket < hours.close {
        table.fault(faults, "postmarket", format!("{} is before the close, {}", hours.postmarket, hours.close));
    }
    table.finish(faults);
    Some(hours)
}

fn read_holiday(mut table: Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<Holiday> {
    let rule = read_rule(&mut table, faults);
    let observed = match table.table(faults, "observed") {
        Some(moves) => read_observed(moves, faults),
        None => [0; 7],
    };
    table.finish(faults);
    Some(Holiday { rule: rule?, observed })
}

fn read_observed(mut table: Reader<'_, '_>, faults: &mut Faults<'_>) -> [i32; 7] {
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let moves = days.map(|day| in_range(&mut table, faults, day, -7..=7).unwrap_or(0));
    table.finish(faults);
    moves
}

fn read_early_close(mut table: Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<EarlyClose> {
    let rule = read_rule(&mut table, faults);
    let close = table.required(faults, "close");
    let place = Place::of(&table, faults, "close");
    table.finish(faults);
    Some(EarlyClose { rule: rule?, close: close?, place })
}

fn read_rule(table: &mut Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<Rule> {
    let name = table.required(faults, "name");
    let on = match table.table(faults, "on") {
        Some(on) => read_on(on, faults),
        None => {
            table.fault(faults, "on", "is missing: { month, day }, { month, weekday, nth } or { easter }");
            None
        }
    };
    let weekdays = table.optional::<Vec<Weekday>>(faults, "weekdays").map_or([true; 7], |days| set_of(&days));
    let from = table.optional(faults, "from").unwrap_or(i32::MIN);
    let to = table.optional(faults, "to").unwrap_or(i32::MAX);
    if from > to {
        table.fault(faults, "to", format!("{to} is before `from`, {from}"));
    }
    let (on, plus) = on?;
    Some(Rule { name: name?, on, plus, weekdays, years: from..=to })
}

fn read_on(mut table: Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<(On, i32)> {
    let month = in_range(&mut table, faults, "month", 1..=12);
    let day = in_range(&mut table, faults, "day", 1..=31);
    let weekday = table.optional::<Weekday>(faults, "weekday");
    let nth = in_range(&mut table, faults, "nth", -1..=5);
    let easter = in_range(&mut table, faults, "easter", -100..=100);
    let plus = in_range(&mut table, faults, "plus", -31..=31).unwrap_or(0);
    let on = match (month, day, weekday, nth, easter) {
        (Some(month), Some(day), None, None, None) => {
            Some(On::Fixed { month: month.cast_unsigned(), day: day.cast_unsigned() })
        }
        (Some(month), None, Some(weekday), Some(nth), None) if nth != 0 => {
            Some(On::Nth { month: month.cast_unsigned(), weekday, nth })
        }
        (None, None, None, None, Some(days)) => Some(On::Easter { days }),
        _ => {
            table.fault(
                faults,
                "",
                "expected { month, day }, { month, weekday, nth } or { easter }, and `plus` if need be",
            );
            None
        }
    };
    table.finish(faults);
    Some((on?, plus))
}

fn in_range(
    table: &mut Reader<'_, '_>,
    faults: &mut Faults<'_>,
    key: &'static str,
    range: RangeInclusive<i32>,
) -> Option<i32> {
    let value = table.optional(faults, key)?;
    if !range.contains(&value) {
        table.fault(faults, key, format!("{value} is not in {} to {}", range.start(), range.end()));
    }
    Some(value)
}

fn read_exception(mut table: Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<Exception> {
    let dates = table.required(faults, "dates");
    let closed = table.optional(faults, "closed").unwrap_or(false);
    let open = table.optional(faults, "open");
    let close = table.optional(faults, "close");
    let reason = table.required(faults, "reason");
    // Kept in the file for those who check it: a fact without a source is a rumour.
    let source = table.required::<String>(faults, "source");
    let change = Change::of(closed, open, close).map_err(|message| table.fault(faults, "closed", message)).ok();
    let place = Place::of(&table, faults, "dates");
    table.finish(faults);
    source?;
    Some(Exception { dates: dates?, change: change?, reason: reason?, place })
}

impl Change {
    /// What is asked for, if it makes sense.
    pub(super) fn of(closed: bool, open: Option<TimeOfDay>, close: Option<TimeOfDay>) -> Result<Self, &'static str> {
        match (closed, open, close) {
            (true, None, None) => Ok(Self::Closed),
            (true, _, _) => {
                Err("`closed` together with `open` or `close`: a closed day has no hours; keep one of them")
            }
            (false, None, None) => Err("changes nothing: give `closed = true`, or `open` or `close`"),
            (false, open, close) => Ok(Self::Hours { open, close }),
        }
    }
}

/// Days of the week as a set, Monday first.
pub(super) fn set_of(days: &[Weekday]) -> [bool; 7] {
    let mut set = [false; 7];
    for day in days {
        set[day.num_days_from_monday() as usize] = true;
    }
    set
}
