//! `mho calendar`: the days of a calendar, for people (table), spreadsheets (csv) and programs (json). Which calendar is meant
//! and what day it is are the caller's to say.

use std::io::{self, Write};

use chrono::{DateTime, Days, NaiveDate, NaiveTime, SecondsFormat, Utc};
use clap::ValueEnum;
use serde_json::json;

use crate::domain::calendar::{Calendar, Day, OutOfRange};
use crate::domain::notice::rfc3339;

/// Days shown after the first when nobody says how many.
const DEFAULT_SPAN: Days = Days::new(30);

/// Arguments of `mho calendar`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CalendarArgs {
    /// Id or alias of a calendar [default: the one of the market section]
    pub id: Option<String>,
    /// First day shown [default: today]
    #[arg(long, value_name = "DATE")]
    pub from: Option<NaiveDate>,
    /// Last day shown [default: 30 days after the first]
    #[arg(long, value_name = "DATE")]
    pub to: Option<NaiveDate>,
    /// How to print them
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
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
    /// The calendar does not go that far.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// Nobody takes the output.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Prints the days asked for, or none of them: what is wrong with the dates is found before the first line.
///
/// # Errors
/// Dates the wrong way round or outside of the calendar's data, or an output that cannot be written.
pub fn run(
    args: &CalendarArgs,
    calendar: &Calendar,
    now: DateTime<Utc>,
    out: &mut dyn Write,
) -> Result<(), CalendarError> {
    let from = args.from.unwrap_or_else(|| now.with_timezone(&calendar.zone()).date_naive());
    let last = *calendar.range().end();
    let to = args.to.unwrap_or_else(|| from.checked_add_days(DEFAULT_SPAN).map_or(last, |to| to.min(last)).max(from));
    if to < from {
        return Err(CalendarError::Backwards { from, to });
    }
    calendar.is_session(from)?;
    calendar.is_session(to)?;
    let days = from.iter_days().take_while(|date| *date <= to);
    let days = days.map(|date| calendar.day(date)).collect::<Result<Vec<_>, _>>()?;
    match args.format {
        Format::Table => write_table(calendar, &days, out),
        Format::Csv => write_csv(&days, out),
        Format::Json => write_json(calendar, &days, out),
    }?;
    Ok(out.flush()?)
}

fn write_table(calendar: &Calendar, days: &[Day], out: &mut dyn Write) -> io::Result<()> {
    let title = if calendar.name().is_empty() { String::new() } else { format!(", {}", calendar.name()) };
    writeln!(out, "{}{title}; times in {}\n", calendar.id(), calendar.zone())?;
    writeln!(out, "DATE        DAY  OPEN   CLOSE  BASIS      REASON")?;
    for day in days {
        let [open, close] = match &day.session {
            Some(session) => [session.open, session.close].map(|at| clock_on(calendar, day.date, at)),
            None => ["closed".to_owned(), String::new()],
        };
        let basis = day.basis.name();
        let line = format!("{}  {}  {open:<6} {close:<6} {basis:<10} {}", day.date, day.date.format("%a"), day.reason);
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// The local time of an instant as people write it for that trading date: the midnight after it is 24:00.
fn clock_on(calendar: &Calendar, date: NaiveDate, at: DateTime<Utc>) -> String {
    let local = at.with_timezone(&calendar.zone()).naive_local();
    let is_day_end = local.time() == NaiveTime::MIN && Some(local.date()) == date.succ_opt();
    if is_day_end { "24:00".to_owned() } else { local.format("%H:%M").to_string() }
}

fn write_csv(days: &[Day], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "date,is_session,open_utc,close_utc,is_early_close,reason")?;
    for day in days {
        let session = day.session.as_ref();
        let [open, close] = match session {
            Some(session) => [session.open, session.close].map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => [String::new(), String::new()],
        };
        let early = session.is_some_and(|session| session.is_early_close());
        let reason = quoted(&day.reason);
        writeln!(out, "{},{},{open},{close},{},{reason}", day.date, u8::from(session.is_some()), u8::from(early))?;
    }
    Ok(())
}

/// A csv field, in quotes where it has to be (RFC 4180).
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

fn write_json(calendar: &Calendar, days: &[Day], out: &mut dyn Write) -> io::Result<()> {
    let instant = |at| rfc3339(at, calendar.zone());
    for (index, day) in days.iter().enumerate() {
        let session = day.session.as_ref();
        let row = json!({
            "date": day.date,
            "is_session": session.is_some(),
            "open": session.map(|session| instant(session.open)),
            "close": session.map(|session| instant(session.close)),
            "early_close": session.is_some_and(|session| session.is_early_close()),
            "reason": (!day.reason.is_empty()).then_some(&*day.reason),
            "basis": day.basis.name(),
        });
        write!(out, "{}{row}", if index == 0 { "[\n" } else { ",\n" })?;
    }
    writeln!(out, "\n]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::calendar::Override;

    fn date(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    fn printed(id: &str, from: Option<&str>, to: Option<&str>, format: Format) -> Result<String, CalendarError> {
        let calendar = Calendar::builtin(id).expect("a built-in calendar");
        let args = CalendarArgs { id: None, from: from.map(date), to: to.map(date), format };
        let mut out = Vec::new();
        run(
            &args,
            &calendar,
            date("2026-11-25").and_time(NaiveTime::MIN).and_utc() + chrono::TimeDelta::hours(12),
            &mut out,
        )?;
        Ok(String::from_utf8(out).expect("text"))
    }

    #[test]
    fn csv_has_a_line_for_every_civil_day() {
        let text = printed("XNYS", Some("2026-11-25"), Some("2026-11-28"), Format::Csv).expect("printed");
        let expected = "date,is_session,open_utc,close_utc,is_early_close,reason\n\
            2026-11-25,1,2026-11-25T14:30:00Z,2026-11-25T21:00:00Z,0,\n\
            2026-11-26,0,,,0,Thanksgiving\n\
            2026-11-27,1,2026-11-27T14:30:00Z,2026-11-27T18:00:00Z,1,early close: day after Thanksgiving\n\
            2026-11-28,0,,,0,weekend\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_reason_with_a_comma_or_a_quote_is_quoted() {
        let reason = r#"snow, "real" snow"#.to_owned();
        let words =
            [Override { date: date("2026-11-25"), closed: true, open: None, close: None, reason, origin: None }];
        let calendar = Calendar::builtin("XNYS").and_then(|nyse| nyse.with_overrides(&words).ok()).expect("a calendar");
        let mut out = Vec::new();
        write_csv(&[calendar.day(date("2026-11-25")).expect("in range")], &mut out).expect("written");
        assert!(out.ends_with(b"2026-11-25,0,,,0,\"override: snow, \"\"real\"\" snow\"\n"));
    }

    #[test]
    fn table_is_readable_and_shows_the_end_of_the_day_as_24_00() {
        let text = printed("XNYS", Some("2028-12-29"), Some("2029-01-02"), Format::Table).expect("printed");
        let expected = "XNYS, New York Stock Exchange; times in America/New_York\n\n\
            DATE        DAY  OPEN   CLOSE  BASIS      REASON\n\
            2028-12-29  Fri  09:30  16:00  published\n\
            2028-12-30  Sat  closed        published  weekend\n\
            2028-12-31  Sun  closed        published  weekend\n\
            2029-01-01  Mon  closed        projected  New Year's Day\n\
            2029-01-02  Tue  09:30  16:00  projected\n";
        assert_eq!(text, expected);
        let text = printed("always", Some("2026-11-28"), Some("2026-11-28"), Format::Table).expect("printed");
        assert!(text.ends_with("2026-11-28  Sat  00:00  24:00  published\n"), "{text}");
    }

    #[test]
    fn json_is_an_array_with_the_offset_of_the_calendar_and_null_for_what_is_absent() {
        let text = printed("XNYS", Some("2026-11-26"), Some("2026-11-27"), Format::Json).expect("printed");
        let rows: serde_json::Value = serde_json::from_str(&text).expect("json");
        let expected = json!([
            {"date": "2026-11-26", "is_session": false, "open": null, "close": null, "early_close": false,
             "reason": "Thanksgiving", "basis": "published"},
            {"date": "2026-11-27", "is_session": true, "open": "2026-11-27T09:30:00-05:00", "close": "2026-11-27T13:00:00-05:00",
             "early_close": true, "reason": "early close: day after Thanksgiving", "basis": "published"},
        ]);
        assert_eq!(rows, expected);
    }

    #[test]
    fn without_dates_it_shows_today_and_the_30_days_after_as_far_as_the_data_goes() {
        let count = |from| printed("XNYS", from, None, Format::Csv).expect("printed").lines().count() - 1;
        assert_eq!(count(None), 31);
        assert_eq!(count(Some("2035-12-30")), 2);
    }

    #[test]
    fn dates_that_cannot_be_shown_print_nothing() {
        let backwards = printed("XNYS", Some("2026-11-27"), Some("2026-11-26"), Format::Csv).expect_err("backwards");
        assert_eq!(backwards.to_string(), "--to 2026-11-26 is before --from 2026-11-27");
        let beyond = printed("XNYS", Some("2035-12-31"), Some("2036-01-01"), Format::Csv).expect_err("beyond");
        assert!(beyond.to_string().contains("no data for 2036-01-01: it covers 1990-01-01 to 2035-12-31"), "{beyond}");
        assert!(beyond.to_string().ends_with("calendar_dir") && !beyond.to_string().contains("override"), "{beyond}");
    }
}
