//! A month as a sheet: a row a week, a cell a day, and below it what is special.

use std::io::Write;

use chrono::NaiveDate;

use super::sheet::{Sheet, monday_of, month_end};
use super::{CalendarError, Shown, YearMonth};

const WEEK: usize = 7;

pub(super) fn print(shown: &Shown<'_>, month: YearMonth, out: &mut dyn Write) -> Result<(), CalendarError> {
    let (first, last) = (month.first, month_end(month.first));
    let sheet = Sheet::of(*shown, first, last)?;
    sheet.head(&first.format("%B %Y").to_string(), "", out)?;
    writeln!(out, " Mon     Tue     Wed     Thu     Fri     Sat     Sun")?;
    let mut used = Vec::new();
    let weeks = monday_of(first).iter_days().step_by(WEEK).take_while(|monday| *monday <= last);
    for monday in weeks {
        let mut line = String::new();
        for date in monday.iter_days().take(WEEK) {
            line.push_str(&cell(&sheet, date, &mut used));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(out)?;
    sheet.legend(&used, "[ ]", &|date| date.format("%e %a").to_string(), out)?;
    Ok(())
}

/// " 27 E    ": the day, in brackets if it is today, and its marks.
fn cell(sheet: &Sheet<'_>, date: NaiveDate, used: &mut Vec<char>) -> String {
    let Some(cell) = sheet.cell(date) else { return " ".repeat(8) };
    let marks = cell.marks();
    used.extend(&marks);
    let [left, right] = if date == sheet.today { ['[', ']'] } else { [' ', ' '] };
    let marks: String = marks.into_iter().collect();
    format!("{left}{}{right}{marks:<4}", date.format("%e"))
}

#[cfg(test)]
mod tests {
    use super::super::{CalendarArgs, run};
    use super::*;
    use crate::domain::calendar::{Calendar, Override};

    fn shown(calendar: &Calendar, month: &str, now: &str) -> Result<String, CalendarError> {
        let month = Some(Some(month.parse().expect("a month")));
        let mut out = Vec::new();
        run(&CalendarArgs { month, ..CalendarArgs::default() }, calendar, now.parse().expect("an instant"), &mut out)?;
        Ok(String::from_utf8(out).expect("text"))
    }

    fn builtin(id: &str) -> Calendar {
        Calendar::builtin(id).expect("a built-in calendar")
    }

    const NOW: &str = "2026-11-26T15:00:00Z";

    #[test]
    fn a_month_marks_what_is_special_and_tells_it_below() {
        let closed = Override {
            date: "2026-11-10".parse().expect("a date"),
            closed: true,
            open: None,
            close: None,
            reason: "snow".into(),
            origin: None,
        };
        let late = Override {
            date: "2026-11-14".parse().expect("a date"),
            closed: false,
            open: "11:00".parse().ok(),
            close: "12:30".parse().ok(),
            reason: "test day".into(),
            origin: None,
        };
        let calendar = builtin("XNYS").with_overrides(&[closed, late]).expect("sound");
        let expected = "\
XNYS, New York Stock Exchange; times in America/New_York

November 2026: 20 sessions; regular hours 09:30-16:00

 Mon     Tue     Wed     Thu     Fri     Sat     Sun
                                                  1 .c
  2       3       4       5       6       7 .     8 .
  9      10 H!   11      12      13      14 S!   15 .
 16      17      18      19      20      21 .    22 .
 23      24      25     [26]H    27 E    28 .    29 .
 30

. no session   H closed (holiday)   E early close   S special hours   ! override
c clocks change   [ ] today

 1 Sun  clocks go back 1h (EDT to EST)
10 Tue  closed       override: snow
14 Sat  11:00-12:30  override: test day
26 Thu  closed       Thanksgiving (today)
27 Fri  09:30-13:00  early close: day after Thanksgiving
";
        assert_eq!(shown(&calendar, "2026-11", NOW).expect("shown"), expected);
    }

    #[test]
    fn evening_opens_projected_days_and_new_hours_are_seen() {
        let globex = shown(&builtin("CMES"), "2026-11", "2026-12-01T15:00:00Z").expect("shown");
        assert!(globex.contains("regular hours 17:00 -1d to 16:00\n"), "{globex}");
        assert!(globex.contains("\n26 Thu  17:00 -1d to 12:00  early close: Thanksgiving\n"), "{globex}");
        assert!(!globex.contains("today"), "{globex}");
        let later = shown(&builtin("XHKG"), "2029-02", NOW).expect("shown");
        assert!(later.contains(" 12 E~   13 H~   14 H~   15 H~   16 ~    17 .    18 .\n"), "{later}");
        assert!(
            later.contains("\nThe exchange's published days end on 2027-12-31; later ones are projected.\n"),
            "{later}"
        );
        let tokyo = shown(&builtin("XTKS"), "2024-11", NOW).expect("shown");
        assert!(
            tokyo.contains("November 2024: 20 sessions\nRegular hours 09:00-15:00, from 2024-11-05 09:00-15:30\n"),
            "{tokyo}"
        );
    }

    #[test]
    fn a_session_on_a_day_that_would_have_none_is_special_even_if_it_ends_early() {
        let word = |date: &str, open: Option<&str>, close: &str| Override {
            date: date.parse().expect("a date"),
            closed: false,
            open: open.map(|open| open.parse().expect("a time")),
            close: close.parse().ok(),
            reason: "x".into(),
            origin: None,
        };
        let globex = shown(&builtin("CMES"), "2026-04", NOW).expect("shown");
        assert!(globex.contains("  3 S  ") && globex.contains("\n. no session   S special hours\n"), "{globex}");
        // Thanksgiving, the half day after it, and an ordinary day.
        let plain = builtin("XNYS");
        let words = [
            word("2026-11-26", Some("10:00"), "12:00"),
            word("2026-11-27", None, "12:00"),
            word("2026-11-30", None, "12:00"),
        ];
        let calendar = plain.with_overrides(&words).expect("sound");
        let what = Shown { calendar: &calendar, plain: &plain, now: NOW.parse().expect("an instant") };
        let mut out = Vec::new();
        print(&what, "2026-11".parse().expect("a month"), &mut out).expect("shown");
        let text = String::from_utf8(out).expect("text");
        assert!(text.contains("[26]S!   27 E!") && text.contains("\n 30 E!\n"), "{text}");
    }

    #[test]
    fn long_and_strange_reasons_are_wrapped_below_themselves_and_escaped() {
        let reason = format!("a\u{1b}[2Jb\n{}", ["word"; 30].join(" "));
        let word = Override {
            date: "2026-11-25".parse().expect("a date"),
            closed: true,
            open: None,
            close: None,
            reason,
            origin: None,
        };
        let calendar = builtin("XNYS").with_overrides(&[word]).expect("sound");
        let text = shown(&calendar, "2026-11", NOW).expect("shown");
        assert!(text.contains("\n25 Wed  closed       override: a\\u{1b}[2Jb\\nword word "), "{text}");
        assert!(text.contains("word\n                     word word "), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }

    #[test]
    fn a_month_that_the_data_covers_in_part_is_blank_beyond_it_and_one_beyond_it_is_an_error() {
        let text = "name = \"X Exchange\"\ntimezone = \"UTC\"\nfrom = 2026-11-10\nto = 2026-11-20\nweekdays = [\"mon\"]\n[hours]\nopen = \"09:00\"\nclose = \"10:00\"\n";
        let calendar = Calendar::parse("X", text).expect("sound");
        let month = shown(&calendar, "2026-11", "2026-12-01T00:00:00Z").expect("shown");
        let expected = "\
X, X Exchange; times in UTC

November 2026: 1 session; regular hours 09:00-10:00
No data before 2026-11-10.
No data after 2026-11-20.

 Mon     Tue     Wed     Thu     Fri     Sat     Sun


         10 .    11 .    12 .    13 .    14 .    15 .
 16      17 .    18 .    19 .    20 .



. no session
";
        assert_eq!(month, expected);
        let beyond = shown(&calendar, "2026-12", NOW).expect_err("beyond").to_string();
        assert!(beyond.contains("no data for 2026-12-01: it covers 2026-11-10 to 2026-11-20"), "{beyond}");
        assert!("2026-13".parse::<YearMonth>().is_err() && "2026-1".parse::<YearMonth>().is_err());
    }
}
