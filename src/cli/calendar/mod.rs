//! `mho calendar`: the days of a calendar as a list (`list`) or as sheets of months (`month`, `year`), why one of them is as it is (`explain`),
//! and the operator's word on single days (`overrides`). Which calendar is meant and what day it is are the caller's to say.

mod clocks;
mod explain;
pub(super) mod home;
mod list;
mod month;
mod overrides;
mod sheet;
mod told;
mod year;

use std::borrow::Cow;
use std::io::{self, Write};
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use clap::{Subcommand, ValueEnum};

use super::{Failure, Global, OK, USAGE, parse_date};
use crate::config::{self, Settings};
use crate::domain::calendar::{Calendar, OutOfRange};
use home::Home;

/// Everything that `mho calendar` can be asked.
#[derive(Clone, Debug, clap::Args)]
#[command(disable_help_subcommand = true, subcommand_value_name = "QUESTION", subcommand_help_heading = "Questions")]
#[command(after_help = "\
Examples:
  mho calendar --month             this month, with what is special about it
  mho calendar XLON --year 2027    a year of another exchange
  mho calendar NYSE --format csv   table, csv, json: a line for every day
  mho calendar HKEX --format toml  its file, to begin one of your own with
  mho calendar explain 2026-11-27  open or not, why, where it is written; --json
  mho calendar override list       what you have said of single dates; --json
  mho calendar override add 2027-01-11 --closed --reason \"day of mourning\"
  mho calendar override add 2027-03-04 --open 11:00 --close 12:30 --reason fog
  mho calendar override add 2027-03-04 --closed --reason storm --replace
  mho calendar override remove 2027-01-11 --calendar XNYS

Calendars: XNYS, XLON, XTSE, XETR, XPAR, XTKS, XHKG, XASX, CMES, FX, always,
weekdays, their aliases (NYSE, NASDAQ, LSE, TSX, XETRA, JPX, HKEX, ASX, CME and
others), and your own (config/calendars/README.md).")]
pub(super) struct CalendarCommand {
    #[command(flatten)]
    days: CalendarArgs,
    #[command(subcommand)]
    question: Option<Question>,
}

/// What can be asked besides the days themselves.
#[derive(Clone, Debug, Subcommand)]
enum Question {
    /// Say of one date whether the exchange is open, from when to when, why, and where that is written
    Explain(explain::ExplainArgs),
    /// List, add or remove what you know better about single dates (calendar-overrides.toml)
    #[command(subcommand, disable_help_subcommand = true)]
    Override(overrides::OverrideVerb),
}

/// Arguments of `mho calendar` for its days.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CalendarArgs {
    /// Id or alias of a calendar [default: the one of the market section]
    pub id: Option<String>,
    /// First day shown [default: today]
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub from: Option<NaiveDate>,
    /// Last day shown [default: 30 days after the first]
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub to: Option<NaiveDate>,
    /// How to print them
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Show a month as a sheet, with what is special about its days [default: the current one]
    #[arg(long, value_name = "YYYY-MM", num_args = 0..=1, conflicts_with_all = ["from", "to", "format", "year"])]
    pub month: Option<Option<YearMonth>>,
    /// Show a year as a sheet, with a list of its special days [default: the current one]
    #[arg(long, value_name = "YYYY", num_args = 0..=1, value_parser = parse_year, conflicts_with_all = ["from", "to", "format"])]
    pub year: Option<Option<i32>>,
}

/// How days are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns, times in the calendar's zone
    #[default]
    Table,
    /// One line a day, instants in UTC
    Csv,
    /// An array of objects, instants with the calendar's offset
    Json,
    /// The file that the calendar is made from, to begin one of your own with
    Toml,
}

/// A month of a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YearMonth {
    first: NaiveDate,
}

impl YearMonth {
    fn of(date: NaiveDate) -> Self {
        Self { first: date.with_day(1).unwrap_or(date) }
    }
}

impl FromStr for YearMonth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let advice = "use YYYY-MM, such as 2026-11; a calendar comes before it: mho calendar XNYS --month";
        let (year, month) = text.split_once('-').ok_or(advice)?;
        let year = parse_year(year).map_err(|_| advice)?;
        let month = month.parse().ok().filter(|_| month.len() == 2).ok_or(advice)?;
        let first = NaiveDate::from_ymd_opt(year, month, 1).ok_or(advice)?;
        Ok(Self { first })
    }
}

fn parse_year(text: &str) -> Result<i32, String> {
    let is_year = text.len() == 4 && text.bytes().all(|digit| digit.is_ascii_digit());
    let year = text.parse().ok().filter(|_| is_year);
    year.ok_or_else(|| "use YYYY, such as 2026; a calendar comes before it: mho calendar XNYS --year".to_owned())
}

/// Why no days were printed, or not all of them.
#[derive(Debug, thiserror::Error)]
pub enum CalendarError {
    /// The last day is before the first: a usage error.
    #[error("--to {to} is before --from {from}")]
    Backwards {
        /// The first day.
        from: NaiveDate,
        /// The last day.
        to: NaiveDate,
    },
    /// The last day is past, and no first one was given: a usage error.
    #[error("--to {to} is before today ({today}), the first day where --from is not given")]
    Past {
        /// The current date of the calendar.
        today: NaiveDate,
        /// The last day.
        to: NaiveDate,
    },
    /// The calendar has no file that could be shown.
    #[error("{0}")]
    NoFile(String),
    /// The calendar does not go that far.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// Nobody takes the output.
    #[error(transparent)]
    Output(#[from] io::Error),
}

impl From<CalendarError> for Failure {
    fn from(error: CalendarError) -> Self {
        match error {
            CalendarError::Output(error) => error.into(),
            error => Self::new(USAGE, error),
        }
    }
}

/// Prints the days asked for.
///
/// # Errors
/// Dates the wrong way round or outside of the calendar's data, or an output that cannot be written.
pub fn run(
    args: &CalendarArgs,
    calendar: &Calendar,
    now: DateTime<Utc>,
    out: &mut dyn Write,
) -> Result<(), CalendarError> {
    show(args, &Shown { calendar, plain: calendar, now }, out)
}

/// What is shown, and when.
#[derive(Clone, Copy)]
struct Shown<'a> {
    calendar: &'a Calendar,
    /// What it would be without overrides.
    plain: &'a Calendar,
    now: DateTime<Utc>,
}

impl Shown<'_> {
    /// The current date of the calendar.
    fn today(&self) -> NaiveDate {
        self.now.with_timezone(&self.calendar.zone()).date_naive()
    }

    /// "New York Stock Exchange" behind its id; an id alone where there is no name.
    fn title(&self) -> String {
        title(self.calendar)
    }
}

/// Id and name of a calendar.
fn title(calendar: &Calendar) -> String {
    let name = if calendar.name().is_empty() { String::new() } else { format!(", {}", calendar.name()) };
    format!("{}{name}", calendar.id())
}

fn show(args: &CalendarArgs, shown: &Shown<'_>, out: &mut dyn Write) -> Result<(), CalendarError> {
    if args.format == Format::Toml {
        out.write_all(file_text(shown.plain)?.as_bytes())?;
    } else if let Some(month) = args.month {
        month::print(shown, month.unwrap_or_else(|| YearMonth::of(shown.today())), out)?;
    } else if let Some(year) = args.year {
        year::print(shown, year.unwrap_or_else(|| shown.today().year()), out)?;
    } else {
        list::print(args, shown, out)?;
    }
    Ok(out.flush()?)
}

/// The text of the file that a calendar, without overrides, is made from.
fn file_text(plain: &Calendar) -> Result<Cow<'static, str>, CalendarError> {
    match Home::of(plain) {
        Home::BuiltIn(text) => Ok(Cow::Borrowed(text)),
        Home::File { path, .. } => match std::fs::read_to_string(&*path) {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(error) => Err(CalendarError::NoFile(format!("cannot read {path}: {error}"))),
        },
        Home::OwnHours(of) => {
            let of = of.map(|of| format!(", laid over the days of {of}: name that calendar")).unwrap_or_default();
            let text = format!("calendar {} has no file: it is hours of your own in the configuration{of}", plain.id());
            Err(CalendarError::NoFile(text))
        }
    }
}

/// Answers whatever was asked.
pub(super) fn answer(
    global: &Global,
    command: &CalendarCommand,
    now: DateTime<Utc>,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let days = &command.days;
    if command.question.is_some() {
        let has_days = days.from.is_some() || days.to.is_some() || days.month.is_some() || days.year.is_some();
        if has_days || days.format != Format::Table {
            let text = "--from, --to, --format, --month and --year are for mho calendar alone: leave them out";
            return Err(Failure::new(USAGE, text));
        }
    }
    if days.format == Format::Toml && (days.from.is_some() || days.to.is_some()) {
        let text = "--format toml shows a whole calendar: leave --from and --to out";
        return Err(Failure::new(USAGE, text));
    }
    match &command.question {
        None => {
            let settings = global.look()?;
            let calendar = find(&settings, days.id.as_deref())?;
            let plain = settings.calendar_without_overrides(calendar.id());
            let plain = plain.as_ref().unwrap_or(&calendar);
            show(days, &Shown { calendar: &calendar, plain, now }, out)?;
            Ok(OK)
        }
        Some(Question::Explain(args)) => explain::run(global, args, days.id.as_deref(), now, out),
        Some(Question::Override(verb)) => overrides::run(global, verb, days.id.as_deref(), now, out),
    }
}

/// A calendar by id or alias; without a name the default one.
fn find(settings: &Settings, id: Option<&str>) -> Result<Arc<Calendar>, Failure> {
    let Some(id) = id else { return Ok(Arc::clone(settings.default_calendar())) };
    settings
        .calendar(id)
        .ok_or_else(|| Failure::new(USAGE, format!("no calendar named {id:?}; {}", known(settings, id))))
}

/// Which calendars there are, and which of them a name that none has may mean.
fn known(settings: &Settings, id: &str) -> String {
    let own = settings.plain_calendars.keys().map(|key| &**key);
    let mut known: Vec<&str> = own.chain(Calendar::builtin_ids()).collect();
    known.sort_unstable();
    known.dedup();
    let meant = config::nearest(id, known.iter().copied());
    let meant = meant.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default();
    format!("known are: {}{meant}", known.join(", "))
}

/// The calendar of a question may be named before or behind it.
fn one_of<'a>(before: Option<&'a str>, behind: Option<&'a str>) -> Result<Option<&'a str>, Failure> {
    match (before, behind) {
        (Some(before), Some(behind)) if !before.eq_ignore_ascii_case(behind) => {
            Err(Failure::new(USAGE, format!("two calendars are named, {before} and {behind}: name one")))
        }
        (before, behind) => Ok(behind.or(before)),
    }
}
