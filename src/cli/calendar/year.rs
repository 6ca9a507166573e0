//! A year as a sheet: twelve small months, three across, and below them all that is special.

use std::io::Write;

use chrono::{Datelike, Months, NaiveDate};

use super::sheet::{Sheet, monday_of, month_end};
use super::{CalendarError, Shown};
use crate::domain::calendar::Basis;

const ACROSS: usize = 3;
const WEEK: usize = 7;
/// Two digits and a mark for each day of a week.
const WIDE: usize = 3 * WEEK;
const GAP: &str = "   ";

/// A small cell has room for one mark: what the operator said, then what the exchange does, then the rest.
const BY_WEIGHT: [char; 8] = ['!', 'H', 'E', 'S', 'c', '<', '~', '.'];

pub(super) fn print(shown: &Shown<'_>, year: i32, out: &mut dyn Write) -> Result<(), CalendarError> {
    let day = |month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
    let (first, last) = (day(1, 1), day(12, 31));
    let sheet = Sheet::of(*shown, first, last)?;
    sheet.head(&year.to_string(), " (in brackets those of each month)", out)?;
    // Where it is true of all days, it need not stand at each.
    let all_projected = sheet.cells.iter().all(|cell| cell.day.basis != Basis::Published);
    let mut used = Vec::new();
    let firsts: Vec<NaiveDate> = (0..12).filter_map(|month| first.checked_add_months(Months::new(month))).collect();
    for row in firsts.chunks(ACROSS) {
        let months: Vec<Vec<String>> =
            row.iter().map(|first| month(&sheet, *first, all_projected, &mut used)).collect();
        let longest = months.iter().map(Vec::len).max().unwrap_or_default();
        for at in 0..longest {
            let parts: Vec<String> =
                months.iter().map(|lines| format!("{:<WIDE$}", lines.get(at).map_or("", String::as_str))).collect();
            writeln!(out, "{}", parts.join(GAP).trim_end())?;
        }
        writeln!(out)?;
    }
    sheet.legend(&used, "<", &|date| date.format("%a %e %b").to_string(), out)?;
    Ok(())
}

/// The lines of a small month.
fn month(sheet: &Sheet<'_>, first: NaiveDate, all_projected: bool, used: &mut Vec<char>) -> Vec<String> {
    let last = month_end(first);
    let dates = first.iter_days().take_while(|date| *date <= last);
    let sessions = dates.filter_map(|date| sheet.cell(date)).filter(|cell| cell.day.session.is_some()).count();
    let mut lines = vec![format!("{} ({sessions})", first.format("%B")), "Mo Tu We Th Fr Sa Su".to_owned()];
    for monday in monday_of(first).iter_days().step_by(WEEK).take_while(|monday| *monday <= last) {
        let cell = |date: NaiveDate| match sheet.cell(date).filter(|_| date.month() == first.month()) {
            None => "   ".to_owned(),
            Some(cell) => {
                let mut marks = cell.marks();
                marks.retain(|mark| *mark != '~' || !all_projected);
                marks.extend((date == sheet.today).then_some('<'));
                let mark = BY_WEIGHT.iter().find(|mark| marks.contains(mark)).copied();
                used.extend(mark);
                format!("{}{}", date.format("%e"), mark.unwrap_or(' '))
            }
        };
        lines.push(monday.iter_days().take(WEEK).map(cell).collect());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::{CalendarArgs, run};
    use super::*;
    use crate::domain::calendar::Calendar;

    fn shown(id: &str, year: i32) -> Result<String, CalendarError> {
        let calendar = Calendar::builtin(id).expect("a built-in calendar");
        let args = CalendarArgs { year: Some(Some(year)), ..CalendarArgs::default() };
        let mut out = Vec::new();
        run(&args, &calendar, "2026-11-25T15:00:00Z".parse().expect("an instant"), &mut out)?;
        Ok(String::from_utf8(out).expect("text"))
    }

    #[test]
    fn a_year_fits_a_terminal_and_lists_its_special_days() {
        let expected = "\
XNYS, New York Stock Exchange; times in America/New_York

2026: 251 sessions (in brackets those of each month); regular hours 09:30-16:00

January (20)            February (19)           March (22)
Mo Tu We Th Fr Sa Su    Mo Tu We Th Fr Sa Su    Mo Tu We Th Fr Sa Su
          1H 2  3. 4.                      1.                      1.
 5  6  7  8  9 10.11.    2  3  4  5  6  7. 8.    2  3  4  5  6  7. 8c
12 13 14 15 16 17.18.    9 10 11 12 13 14.15.    9 10 11 12 13 14.15.
19H20 21 22 23 24.25.   16H17 18 19 20 21.22.   16 17 18 19 20 21.22.
26 27 28 29 30 31.      23 24 25 26 27 28.      23 24 25 26 27 28.29.
                                                30 31

April (21)              May (20)                June (21)
Mo Tu We Th Fr Sa Su    Mo Tu We Th Fr Sa Su    Mo Tu We Th Fr Sa Su
       1  2  3H 4. 5.                1  2. 3.    1  2  3  4  5  6. 7.
 6  7  8  9 10 11.12.    4  5  6  7  8  9.10.    8  9 10 11 12 13.14.
13 14 15 16 17 18.19.   11 12 13 14 15 16.17.   15 16 17 18 19H20.21.
20 21 22 23 24 25.26.   18 19 20 21 22 23.24.   22 23 24 25 26 27.28.
27 28 29 30             25H26 27 28 29 30.31.   29 30

July (22)               August (21)             September (21)
Mo Tu We Th Fr Sa Su    Mo Tu We Th Fr Sa Su    Mo Tu We Th Fr Sa Su
       1  2  3H 4. 5.                   1. 2.       1  2  3  4  5. 6.
 6  7  8  9 10 11.12.    3  4  5  6  7  8. 9.    7H 8  9 10 11 12.13.
13 14 15 16 17 18.19.   10 11 12 13 14 15.16.   14 15 16 17 18 19.20.
20 21 22 23 24 25.26.   17 18 19 20 21 22.23.   21 22 23 24 25 26.27.
27 28 29 30 31          24 25 26 27 28 29.30.   28 29 30
                        31

October (22)            November (20)           December (22)
Mo Tu We Th Fr Sa Su    Mo Tu We Th Fr Sa Su    Mo Tu We Th Fr Sa Su
          1  2  3. 4.                      1c       1  2  3  4  5. 6.
 5  6  7  8  9 10.11.    2  3  4  5  6  7. 8.    7  8  9 10 11 12.13.
12 13 14 15 16 17.18.    9 10 11 12 13 14.15.   14 15 16 17 18 19.20.
19 20 21 22 23 24.25.   16 17 18 19 20 21.22.   21 22 23 24E25H26.27.
26 27 28 29 30 31.      23 24 25<26H27E28.29.   28 29 30 31
                        30

. no session   H closed (holiday)   E early close   c clocks change   < today

Thu  1 Jan  closed       New Year's Day
Mon 19 Jan  closed       Martin Luther King Jr. Day
Mon 16 Feb  closed       Washington's Birthday
Sun  8 Mar  clocks go forward 1h (EST to EDT)
Fri  3 Apr  closed       Good Friday
Mon 25 May  closed       Memorial Day
Fri 19 Jun  closed       Juneteenth
Fri  3 Jul  closed       Independence Day (observed)
Mon  7 Sep  closed       Labor Day
Sun  1 Nov  clocks go back 1h (EDT to EST)
Thu 26 Nov  closed       Thanksgiving
Fri 27 Nov  09:30-13:00  early close: day after Thanksgiving
Thu 24 Dec  09:30-13:00  early close: Christmas Eve
Fri 25 Dec  closed       Christmas
";
        assert_eq!(shown("XNYS", 2026).expect("shown"), expected);
        for year in 1990..=2035 {
            let text = shown("XNYS", year).expect("shown");
            let months = text.lines().take_while(|line| !line.starts_with(". "));
            assert!(months.skip(2).all(|line| line.len() <= 80), "{text}");
        }
        assert!(shown("XNYS", 2036).expect_err("beyond").to_string().contains("no data for 2036-01-01"));
    }

    #[test]
    fn where_all_days_are_projected_it_stands_once() {
        let text = shown("XHKG", 2029).expect("shown");
        assert!(!text.contains('~') && text.contains("The exchange's published days end on 2027-12-31; "), "{text}");
        assert!(text.contains("\nMon 12 Feb  09:30-12:00  early close: Lunar New Year's Eve (projected)\n"), "{text}");
        let crypto = shown("always", 2026).expect("shown");
        assert!(
            crypto.contains("2026: 365 sessions (in brackets those of each month); regular hours 00:00-24:00\n"),
            "{crypto}"
        );
        assert!(crypto.ends_with("< today\n"), "{crypto}");
    }
}
