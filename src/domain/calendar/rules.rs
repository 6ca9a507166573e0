//! The form of a calendar file (described in `config/calendars/README.md`) and the rules it stands for, valid by construction. No date is computed here: that is `compile`.

use std::ops::RangeInclusive;
use std::sync::Arc;

use chrono::{NaiveDate, Weekday};
use chrono_tz::Tz;
use toml::de::DeTable;

use super::read::{Noted, Reader};
use super::{Fault, Origin, TimeOfDay};

/// One calendar file.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) zone: Tz,
    pub(super) range: RangeInclusive<NaiveDate>,
    pub(super) published_to: NaiveDate,
    pub(super) source: Option<String>,
    pub(super) weekdays: [bool; 7],
    pub(super) weekdays_line: usize,
    /// Oldest first, and never empty.
    pub(super) periods: Vec<Period>,
    pub(super) holidays: Vec<Rule>,
    pub(super) early_closes: Vec<EarlyClose>,
    pub(super) exceptions: Vec<Exception>,
}

/// From when on an ordinary session has which hours.
#[derive(Clone, Debug)]
pub(super) struct Period {
    /// The first trading date.
    pub(super) from: NaiveDate,
    pub(super) hours: Hours,
    pub(super) place: Place,
    /// Where people find it.
    pub(super) origin: Option<Origin>,
}

/// The hours of an ordinary session: `premarket <= open < close <= postmarket`. None: there is no such session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hours {
    pub(super) open: TimeOfDay,
    pub(super) close: TimeOfDay,
    /// The lunch break or daily halt.
    pub(super) pause: Option<(TimeOfDay, TimeOfDay)>,
    pub(super) premarket: Option<TimeOfDay>,
    pub(super) postmarket: Option<TimeOfDay>,
    pub(super) early_postmarket: Option<TimeOfDay>,
}

impl Hours {
    /// There is nothing before, after and inside.
    pub(super) fn plain(open: TimeOfDay, close: TimeOfDay) -> Self {
        Self { open, close, pause: None, premarket: None, postmarket: None, early_postmarket: None }
    }
}

/// A date of each year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    /// The same day of the same month.
    Fixed { month: u32, day: u32 },
    /// The nth such weekday of a month, the last where `nth` is -1.
    Nth { month: u32, weekday: Weekday, nth: i32 },
    /// The last such weekday on or before a date of each year.
    UpTo { month: u32, weekday: Weekday, day: u32 },
    /// The first such weekday on or after a date of each year.
    From { month: u32, weekday: Weekday, day: u32 },
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
    /// By how many days it moves, by the weekday on which it falls.
    pub(super) observed: [i32; 7],
    pub(super) years: RangeInclusive<i32>,
    pub(super) place: Place,
}

/// A rule for half days.
#[derive(Clone, Debug)]
pub(super) struct EarlyClose {
    pub(super) rule: Rule,
    pub(super) close: TimeOfDay,
    /// Of the close.
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
    pub(super) source: Arc<str>,
    pub(super) place: Place,
}

/// Where something stands in the file: for faults that show only when rules meet, and for whoever asks why.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    key: String,
    pub(super) line: usize,
}

impl Place {
    fn of(table: &Reader<'_, '_>, faults: &Noted<'_>, key: &str) -> Self {
        Self { key: table.name_of(key), line: table.line_of(faults, key) }
    }

    /// A fault at this place.
    pub(super) fn fault(&self, message: String) -> Fault {
        Fault { line: Some(self.line), key: self.key.clone(), message, unknown: None }
    }
}

impl Rules {
    /// Reads a calendar file: the rules, as far as they could be understood, and all faults.
    pub(super) fn parse(text: &str) -> (Option<Self>, Vec<Fault>) {
        let mut faults = Noted::of(text);
        let (root, errors) = DeTable::parse_recoverable(text);
        faults.add_syntax(&errors);
        // What the parser made up to go on would only add faults that are not there.
        let rules = if errors.is_empty() { read_file(Reader::root(&root), &mut faults) } else { None };
        (rules, faults.found())
    }
}

fn read_file(mut file: Reader<'_, '_>, faults: &mut Noted<'_>) -> Option<Rules> {
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
    } else if let (Some(from), Some(to), Some(last)) = (from, to, published_to)
        && !(from..=to).contains(&last)
    {
        file.fault(faults, "published_to", format!("{last} is not in `from` to `to`, {from} to {to}"));
    }
    let source = file.optional(faults, "source");
    let weekdays = file.required::<Vec<Weekday>>(faults, "weekdays");
    let weekdays_line = file.line_of(faults, "weekdays");
    let periods = read_periods(&mut file, faults);
    if let (Some(from), Some(first)) = (from, periods.as_ref().and_then(|periods| periods.first()))
        && first.from > from
    {
        let message = format!("the data begins on {from}, and these are the first hours: leave `from` out here");
        faults.note(first.place.fault(message));
    }
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
        source,
        weekdays: set_of(&weekdays?),
        weekdays_line,
        periods: periods?,
        holidays,
        early_closes,
        exceptions,
    })
}

fn read_each<'a, 'i, T>(
    tables: Vec<Reader<'a, 'i>>,
    faults: &mut Noted<'_>,
    read: fn(Reader<'a, 'i>, &mut Noted<'_>) -> Option<T>,
) -> Vec<T> {
    tables.into_iter().filter_map(|table| read(table, faults)).collect()
}

/// `[hours]`, or `[[hours]]` where they have changed.
fn read_periods(file: &mut Reader<'_, '_>, faults: &mut Noted<'_>) -> Option<Vec<Period>> {
    let tables = file.one_or_more(faults, "hours");
    if tables.is_empty() {
        file.fault(faults, "hours", "is missing: a table with `open` and `close`");
    }
    let mut periods: Vec<Period> = Vec::new();
    let mut is_sound = !tables.is_empty();
    for (index, mut table) in tables.into_iter().enumerate() {
        let from = match index {
            0 => table.optional(faults, "from").or(Some(NaiveDate::MIN)),
            _ => table.required(faults, "from"),
        };
        if let (Some(from), Some(before)) = (from, periods.last().filter(|before| Some(before.from) >= from)) {
            table.fault(faults, "from", format!("{from} is not after the `from` before it, {}", before.from));
        }
        let place = Place::of(&table, faults, "open");
        match (from, read_hours(table, faults)) {
            (Some(from), Some(hours)) => periods.push(Period { from, hours, place, origin: None }),
            _ => is_sound = false,
        }
    }
    is_sound.then_some(periods)
}

fn read_hours(mut table: Reader<'_, '_>, faults: &mut Noted<'_>) -> Option<Hours> {
    let open = table.required::<TimeOfDay>(faults, "open");
    let close = table.required::<TimeOfDay>(faults, "close").map(TimeOfDay::closing);
    let pause = table.optional::<Vec<TimeOfDay>>(faults, "break");
    let premarket = table.optional(faults, "premarket");
    let postmarket = table.optional(faults, "postmarket");
    let early_postmarket = table.optional(faults, "early_postmarket").or(postmarket);
    let pair = pause.as_deref().map(|times| <[TimeOfDay; 2]>::try_from(times).ok().filter(|[from, to]| from < to));
    let pause: Option<(TimeOfDay, TimeOfDay)> = pair.flatten().map(Into::into);
    let mut check = |is_wrong: bool, key: &str, message: String| {
        if is_wrong {
            table.fault(faults, key, message);
        }
    };
    check(pair == Some(None), "break", "expected two times, the earlier one first".to_owned());
    if let (Some(open), Some(close)) = (open, close) {
        let evening = "; for the evening before write \"HH:MM -1d\"";
        check(open >= close, "close", format!("{close} is not after the open, {open}{evening}"));
        let is_outside = pause.is_some_and(|(from, to)| open < close && (from <= open || close <= to));
        check(is_outside, "break", format!("is not between the open, {open}, and the close, {close}"));
    }
    if let (Some(open), Some(start)) = (open, premarket) {
        check(start > open, "premarket", format!("{start} is after the open, {open}"));
    }
    if let (Some(close), Some(end)) = (close, postmarket) {
        check(end < close, "postmarket", format!("{end} is before the close, {close}"));
    }
    if let (Some(open), Some(end)) = (open, early_postmarket) {
        let is_first = close.is_some_and(|close| open < close) && end <= open;
        check(is_first, "early_postmarket", format!("{end} is not after the open, {open}"));
    }
    table.finish(faults);
    Some(Hours { open: open?, close: close?, pause, premarket, postmarket, early_postmarket })
}

fn read_holiday(mut table: Reader<'_, '_>, faults: &mut Noted<'_>) -> Option<Rule> {
    let rule = read_rule(&mut table, faults);
    table.finish(faults);
    rule
}

fn read_observed(mut table: Reader<'_, '_>, faults: &mut Noted<'_>) -> [i32; 7] {
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let moves = days.map(|day| in_range(&mut table, faults, day, -7..=7).unwrap_or(0));
    table.finish(faults);
    moves
}

fn read_early_close(mut table: Reader<'_, '_>, faults: &mut Noted<'_>) -> Option<EarlyClose> {
    let rule = read_rule(&mut table, faults);
    let close = table.required::<TimeOfDay>(faults, "close").map(TimeOfDay::closing);
    let place = Place::of(&table, faults, "close");
    table.finish(faults);
    Some(EarlyClose { rule: rule?, close: close?, place })
}

fn read_rule(table: &mut Reader<'_, '_>, faults: &mut Noted<'_>) -> Option<Rule> {
    let name = table.required(faults, "name");
    let on = match table.table(faults, "on") {
        Some(on) => read_on(on, faults),
        None => {
            table.fault(faults, "on", format!("is missing: {FORMS}"));
            None
        }
    };
    let observed = match table.table(faults, "observed") {
        Some(moves) => read_observed(moves, faults),
        None => [0; 7],
    };
    let place = Place::of(table, faults, "name");
    let weekdays = table.optional::<Vec<Weekday>>(faults, "weekdays").map_or([true; 7], |days| set_of(&days));
    let from = table.optional(faults, "from").unwrap_or(i32::MIN);
    let to = table.optional(faults, "to").unwrap_or(i32::MAX);
    if from > to {
        table.fault(faults, "to", format!("{to} is before `from`, {from}"));
    }
    let (on, plus) = on?;
    Some(Rule { name: name?, on, plus, weekdays, observed, years: from..=to, place })
}

/// What `on` may be.
const FORMS: &str = "{ month, day }, { month, weekday, nth }, { month, weekday, on_or_before }, { month, weekday, on_or_after } or { easter }";

fn read_on(mut table: Reader<'_, '_>, faults: &mut Noted<'_>) -> Option<(On, i32)> {
    let month = in_range(&mut table, faults, "month", 1..=12).map(i32::cast_unsigned);
    let day = in_range(&mut table, faults, "day", 1..=31).map(i32::cast_unsigned);
    let weekday = table.optional::<Weekday>(faults, "weekday");
    let nth = in_range(&mut table, faults, "nth", -1..=5);
    let up_to = in_range(&mut table, faults, "on_or_before", 1..=31).map(i32::cast_unsigned);
    let from = in_range(&mut table, faults, "on_or_after", 1..=31).map(i32::cast_unsigned);
    let easter = in_range(&mut table, faults, "easter", -100..=100);
    let plus = in_range(&mut table, faults, "plus", -31..=31).unwrap_or(0);
    let on = match (month, day, weekday, nth, up_to, from, easter) {
        (Some(month), Some(day), None, None, None, None, None) => {
            // A leap year has every day that there is.
            if NaiveDate::from_ymd_opt(2000, month, day).is_none() {
                table.fault(faults, "day", format!("month {month} has no day {day} in any year"));
            }
            Some(On::Fixed { month, day })
        }
        (Some(month), None, Some(weekday), Some(nth), None, None, None) if nth != 0 => {
            Some(On::Nth { month, weekday, nth })
        }
        (Some(month), None, Some(weekday), None, Some(day), None, None) => Some(On::UpTo { month, weekday, day }),
        (Some(month), None, Some(weekday), None, None, Some(day), None) => Some(On::From { month, weekday, day }),
        (None, None, None, None, None, None, Some(days)) => Some(On::Easter { days }),
        _ => {
            table.fault(faults, "", format!("expected {FORMS}, and `plus` if need be"));
            None
        }
    };
    table.finish(faults);
    Some((on?, plus))
}

fn in_range(
    table: &mut Reader<'_, '_>,
    faults: &mut Noted<'_>,
    key: &'static str,
    range: RangeInclusive<i32>,
) -> Option<i32> {
    let value = table.optional(faults, key)?;
    if !range.contains(&value) {
        table.fault(faults, key, format!("{value} is not in {} to {}", range.start(), range.end()));
    }
    Some(value)
}

fn read_exception(mut table: Reader<'_, '_>, faults: &mut Noted<'_>) -> Option<Exception> {
    let dates = table.required(faults, "dates");
    let closed = table.optional(faults, "closed").unwrap_or(false);
    let open = table.optional(faults, "open");
    let close = table.optional::<TimeOfDay>(faults, "close").map(TimeOfDay::closing);
    let reason = table.required(faults, "reason");
    // A fact without a source is a rumour.
    let source = table.required::<String>(faults, "source");
    let change = Change::of(closed, open, close).map_err(|message| table.fault(faults, "closed", message)).ok();
    let place = Place::of(&table, faults, "dates");
    table.finish(faults);
    Some(Exception { dates: dates?, change: change?, reason: reason?, source: source?.into(), place })
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
