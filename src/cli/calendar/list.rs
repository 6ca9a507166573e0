//! The days of a calendar, a line each: for people (table), spreadsheets (csv) and programs (json).

use std::io::{self, Write};

use chrono::{Days, NaiveDate, SecondsFormat};

use super::clocks::clock_on;
use super::{CalendarArgs, CalendarError, Format, Shown};
use crate::cli::layout::{WIDEST, escaped, hung};
use crate::domain::calendar::{Calendar, Day};
use crate::domain::status::calendar_line;

/// Days shown after the first when nobody says how many.
const DEFAULT_SPAN: Days = Days::new(30);

/// Prints the days asked for, or none of them: what is wrong with the dates is found before the first line.
pub(super) fn print(args: &CalendarArgs, shown: &Shown<'_>, out: &mut dyn Write) -> Result<(), CalendarError> {
    let calendar = shown.calendar;
    let from = args.from.unwrap_or_else(|| shown.today());
    let last = *calendar.range().end();
    let wanted = from.checked_add_days(DEFAULT_SPAN).unwrap_or(NaiveDate::MAX);
    let to = args.to.unwrap_or_else(|| wanted.min(last).max(from));
    if to < from {
        return Err(match args.from {
            Some(from) => CalendarError::Backwards { from, to },
            None => CalendarError::Past { today: from, to },
        });
    }
    calendar.is_session(from)?;
    calendar.is_session(to)?;
    let days = from.iter_days().take_while(|date| *date <= to);
    let days = days.map(|date| calendar.day(date)).collect::<Result<Vec<_>, _>>()?;
    // Who says how far it shall go gets that, or an error.
    let is_cut = args.to.is_none() && last < wanted;
    match args.format {
        Format::Table => {
            write_table(shown, &days, out)?;
            if is_cut {
                writeln!(out, "\nNo data after {last}.")?;
            }
        }
        Format::Csv | Format::Json => {
            if args.format == Format::Csv { write_csv(&days, out) } else { write_json(shown, &days, out) }?;
            if is_cut {
                // Programs read the rest.
                let _ = writeln!(io::stderr(), "mho: no data after {last}");
            }
        }
        // No list of days: it is shown elsewhere.
        Format::Toml => {}
    }
    Ok(())
}

fn write_table(shown: &Shown<'_>, days: &[Day], out: &mut dyn Write) -> io::Result<()> {
    let calendar = shown.calendar;
    let times: Vec<[String; 2]> = days.iter().map(|day| times_of(calendar, day)).collect();
    let other_day = |text: &&String| text.ends_with('d') && text.contains(' ');
    let hint = match times.iter().flatten().find(other_day).and_then(|text| text.split_once(' ')) {
        Some((_, "-1d")) => "-1d is the civil day before the date",
        Some(_) => "+1d is the civil day after the date",
        None => "",
    };
    let title = format!("{}; times in {}", shown.title(), calendar.zone());
    let title = escaped(&title);
    match hint {
        "" => writeln!(out, "{}\n", hung("", &title, 2))?,
        hint if title.chars().count() + 2 + hint.len() <= WIDEST => writeln!(out, "{title}; {hint}\n")?,
        hint => writeln!(out, "{}\n{hint}\n", hung("", &title, 2))?,
    }
    let width = |at: usize| times.iter().map(|times| times[at].len()).max().unwrap_or_default().max(6);
    let (wide, high) = (width(0), width(1));
    writeln!(out, "DATE        DAY  {:<wide$} {:<high$} BASIS      REASON", "OPEN", "CLOSE")?;
    for (day, [open, close]) in days.iter().zip(&times) {
        let (date, basis) = (day.date, day.basis.name());
        let reason = escaped(&day.reason);
        let line = format!("{date}  {}  {open:<wide$} {close:<high$} {basis:<10} {reason}", date.format("%a"));
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn times_of(calendar: &Calendar, day: &Day) -> [String; 2] {
    match &day.session {
        Some(session) => [session.open, session.close].map(|at| clock_on(calendar.zone(), day.date, at)),
        None => ["closed".to_owned(), String::new()],
    }
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

fn write_json(shown: &Shown<'_>, days: &[Day], out: &mut dyn Write) -> io::Result<()> {
    for (index, day) in days.iter().enumerate() {
        let row = calendar_line(shown.calendar, day);
        write!(out, "{}{row}", if index == 0 { "[\n" } else { ",\n" })?;
    }
    writeln!(out, "\n]")
}

/// A day as JSON: null for what it has not, instants with the calendar's offset.
#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveTime};
    use serde_json::json;

    use super::super::run;
    use super::*;
    use crate::domain::calendar::Override;

    fn date(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    fn printed(id: &str, from: Option<&str>, to: Option<&str>, format: Format) -> Result<String, CalendarError> {
        let calendar = Calendar::builtin(id).expect("a built-in calendar");
        let args = CalendarArgs { from: from.map(date), to: to.map(date), format, ..CalendarArgs::default() };
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
    fn a_session_that_opens_on_the_evening_before_says_so_and_the_columns_stay_in_line() {
        let text = printed("CMES", Some("2026-11-25"), Some("2026-11-28"), Format::Table).expect("printed");
        let expected = "CMES, CME Globex, equity index futures; times in America/Chicago\n\
            -1d is the civil day before the date\n\n\
            DATE        DAY  OPEN      CLOSE  BASIS      REASON\n\
            2026-11-25  Wed  17:00 -1d 16:00  published\n\
            2026-11-26  Thu  17:00 -1d 12:00  published  early close: Thanksgiving\n\
            2026-11-27  Fri  17:00 -1d 12:15  published  early close: day after Thanksgiving\n\
            2026-11-28  Sat  closed           published  weekend\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn json_is_an_array_with_the_offset_of_the_calendar_and_null_for_what_is_absent() {
        let text = printed("XNYS", Some("2026-11-26"), Some("2026-11-27"), Format::Json).expect("printed");
        let rows: serde_json::Value = serde_json::from_str(&text).expect("json");
        let expected = json!([
            {"date": "2026-11-26", "is_session": false, "open": null, "close": null, "early_close": false,
             "reason": "Thanksgiving", "basis": "published", "kind": "holiday", "premarket": null, "postmarket": null,
             "break_start": null, "break_end": null},
            {"date": "2026-11-27", "is_session": true, "open": "2026-11-27T09:30:00-05:00", "close": "2026-11-27T13:00:00-05:00",
             "early_close": true, "reason": "early close: day after Thanksgiving", "basis": "published", "kind": "early_close",
             "premarket": "2026-11-27T04:00:00-05:00", "postmarket": "2026-11-27T17:00:00-05:00",
             "break_start": null, "break_end": null},
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
    fn where_the_data_ends_before_what_was_asked_for_the_table_says_so() {
        let told = |from, to| printed("XNYS", Some(from), to, Format::Table).expect("printed");
        let cut = told("2035-12-30", None);
        assert!(cut.ends_with("\n2035-12-31  Mon  09:30  16:00  projected\n\nNo data after 2035-12-31.\n"), "{cut}");
        assert!(!told("2035-12-01", None).contains("No data"), "the 31st of December is the 30th day after the first");
        assert!(!told("2035-12-30", Some("2035-12-31")).contains("No data"));
        let csv = printed("XNYS", Some("2035-12-30"), None, Format::Csv).expect("printed");
        assert!(csv.ends_with("2035-12-31,1,2035-12-31T14:30:00Z,2035-12-31T21:00:00Z,0,\n"), "{csv}");
    }

    #[test]
    fn control_characters_are_written_out_in_the_table_and_kept_for_programs() {
        let reason = "a\u{1b}[31m\nb".to_owned();
        let words =
            [Override { date: date("2026-11-25"), closed: true, open: None, close: None, reason, origin: None }];
        let calendar = Calendar::builtin("XNYS").and_then(|nyse| nyse.with_overrides(&words).ok()).expect("a calendar");
        let shown = |format| {
            let day = Some(date("2026-11-25"));
            let args = CalendarArgs { from: day, to: day, format, ..CalendarArgs::default() };
            let mut out = Vec::new();
            run(&args, &calendar, DateTime::UNIX_EPOCH, &mut out).expect("printed");
            String::from_utf8(out).expect("text")
        };
        assert!(
            shown(Format::Table).ends_with("  override   override: a\\u{1b}[31m\\nb\n"),
            "{}",
            shown(Format::Table)
        );
        assert!(shown(Format::Csv).ends_with(",\"override: a\u{1b}[31m\nb\"\n"));
        assert!(shown(Format::Json).contains(r"override: a\u001b[31m\nb"));
    }

    #[test]
    fn dates_that_cannot_be_shown_print_nothing() {
        let past = printed("XNYS", None, Some("2026-01-01"), Format::Csv).expect_err("past");
        assert_eq!(
            past.to_string(),
            "--to 2026-01-01 is before today (2026-11-25), the first day where --from is not given"
        );
        let backwards = printed("XNYS", Some("2026-11-27"), Some("2026-11-26"), Format::Csv).expect_err("backwards");
        assert_eq!(backwards.to_string(), "--to 2026-11-26 is before --from 2026-11-27");
        let beyond = printed("XNYS", Some("2035-12-31"), Some("2036-01-01"), Format::Csv).expect_err("beyond");
        assert!(beyond.to_string().contains("no data for 2036-01-01: it covers 1990-01-01 to 2035-12-31"), "{beyond}");
        assert!(beyond.to_string().ends_with("calendar_dir") && !beyond.to_string().contains("override"), "{beyond}");
    }
}
