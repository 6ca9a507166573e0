//! What the views of a month and of a year share: their days, the marks, and the list of what is special.

use std::io::{self, Write};

use chrono::{Datelike, NaiveDate};

use super::Shown;
use super::clocks::{ClockChange, clock_change, hours_text, span_text};
use crate::cli::layout::{WIDEST, escaped, hung};
use crate::domain::calendar::{Basis, Calendar, Day, DayKind, OutOfRange};

/// A mark and what it means; so they stand in the legend.
const MARKS: [(char, &str); 7] = [
    ('.', "no session"),
    ('H', "closed (holiday)"),
    ('E', "early close"),
    ('S', "special hours"),
    ('!', "override"),
    ('~', "projected"),
    ('c', "clocks change"),
];

/// The days of a span of civil dates, as far as the data goes.
pub(super) struct Sheet<'a> {
    shown: Shown<'a>,
    pub(super) today: NaiveDate,
    pub(super) cells: Vec<Cell>,
    first: NaiveDate,
    last: NaiveDate,
}

/// One of them.
pub(super) struct Cell {
    pub(super) day: Day,
    clocks: Option<ClockChange>,
}

impl Cell {
    /// What is special about it, the most important first.
    pub(super) fn marks(&self) -> Vec<char> {
        let kind = match self.day.kind {
            DayKind::Regular => None,
            DayKind::EarlyClose => Some('E'),
            DayKind::Special => Some('S'),
            DayKind::Holiday => Some('H'),
            DayKind::Weekend => Some('.'),
        };
        let basis = match self.day.basis {
            Basis::Override => Some('!'),
            // That a weekend is projected tells nobody anything.
            Basis::Projected if self.day.kind != DayKind::Weekend => Some('~'),
            Basis::Projected | Basis::Published => None,
        };
        let clocks = self.clocks.as_ref().map(|_| 'c');
        kind.into_iter().chain(basis).chain(clocks).collect()
    }

    /// Hours and reason, where there is something to tell.
    fn story(&self, calendar: &Calendar) -> Option<(Option<String>, String)> {
        let clocks = self.clocks.as_ref().map(ToString::to_string);
        if matches!(self.day.kind, DayKind::Regular | DayKind::Weekend) && self.day.basis != Basis::Override {
            return clocks.map(|clocks| (None, clocks));
        }
        let what = self.day.session.as_ref().map_or_else(|| "closed".to_owned(), |s| hours_text(calendar.zone(), s));
        let projected = if self.day.basis == Basis::Projected { " (projected)" } else { "" };
        let clocks = clocks.map(|clocks| format!("; {clocks}")).unwrap_or_default();
        Some((Some(what), format!("{}{projected}{clocks}", self.day.reason)))
    }
}

impl<'a> Sheet<'a> {
    /// The days from `first` to `last`, at least one of which must be in the data's range.
    pub(super) fn of(shown: Shown<'a>, first: NaiveDate, last: NaiveDate) -> Result<Self, OutOfRange> {
        let (calendar, zone) = (shown.calendar, shown.calendar.zone());
        let dates = first.iter_days().take_while(|date| *date <= last);
        let cell = |date| Some(Cell { day: calendar.day(date).ok()?, clocks: clock_change(zone, date) });
        let cells: Vec<Cell> = dates.filter_map(cell).collect();
        if cells.is_empty() {
            calendar.day(first)?;
        }
        Ok(Self { shown, today: shown.today(), cells, first, last })
    }

    pub(super) fn cell(&self, date: NaiveDate) -> Option<&Cell> {
        let first = self.cells.first()?.day.date;
        let at = usize::try_from(date.signed_duration_since(first).num_days()).ok()?;
        self.cells.get(at)
    }

    /// The calendar, and what is shown of it. `hint` follows the number of sessions.
    pub(super) fn head(&self, title: &str, hint: &str, out: &mut dyn Write) -> io::Result<()> {
        let calendar = self.shown.calendar;
        let names = format!("{}; times in {}", self.shown.title(), calendar.zone());
        writeln!(out, "{}\n", hung("", &escaped(&names), 2))?;
        let hours = self.regular_hours();
        let sessions = self.cells.iter().filter(|cell| cell.day.session.is_some()).count();
        let s = if sessions == 1 { "" } else { "s" };
        let title = format!("{title}: {sessions} session{s}{hint}");
        if title.len() + hours.len() + 16 <= WIDEST {
            writeln!(out, "{title}; regular hours {hours}")?;
        } else {
            writeln!(out, "{title}\n{}", hung("", &format!("Regular hours {hours}"), 2))?;
        }
        let (from, to) = calendar.range().into_inner();
        if self.first < from {
            writeln!(out, "No data before {from}.")?;
        }
        if self.last > to {
            writeln!(out, "No data after {to}.")?;
        }
        writeln!(out)
    }

    /// "09:00-15:00, from 2024-11-05 09:00-15:30".
    fn regular_hours(&self) -> String {
        let mut periods: Vec<String> = Vec::new();
        let mut known = None;
        for date in self.cells.iter().map(|cell| cell.day.date) {
            let hours @ (open, close) = self.shown.calendar.regular_hours(date);
            if known.replace(hours) != Some(hours) {
                let from = if periods.is_empty() { String::new() } else { format!("from {date} ") };
                periods.push(format!("{from}{}", span_text(&open.to_string(), &close.to_string())));
            }
        }
        periods.join(", ")
    }

    /// What the marks in use mean, and the special days with hours and reasons. `label` names a day.
    pub(super) fn legend(
        &self,
        used: &[char],
        today_mark: &str,
        label: &dyn Fn(NaiveDate) -> String,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let marks = MARKS.iter().filter(|(mark, _)| used.contains(mark));
        let mut parts: Vec<String> = marks.map(|(mark, meaning)| format!("{mark} {meaning}")).collect();
        if self.cell(self.today).is_some() {
            parts.push(format!("{today_mark} today"));
        }
        for line in wrapped(&parts) {
            writeln!(out, "{line}")?;
        }
        if self.cells.iter().any(|cell| cell.day.basis == Basis::Projected) {
            let last = self.shown.calendar.published_to();
            writeln!(out, "The exchange's published days end on {last}; later ones are projected.")?;
        }
        let story = |cell: &Cell| Some((cell.day.date, cell.story(self.shown.calendar)?));
        let stories: Vec<_> = self.cells.iter().filter_map(story).collect();
        if !stories.is_empty() && !parts.is_empty() {
            writeln!(out)?;
        }
        let widest =
            stories.iter().filter_map(|(_, (what, _))| what.as_ref()).map(String::len).max().unwrap_or_default();
        for (date, (what, why)) in stories {
            let what = what.map(|what| format!("{what:<widest$}  ")).unwrap_or_default();
            let today = if date == self.today { " (today)" } else { "" };
            let head = format!("{}  {what}", label(date));
            writeln!(out, "{}", hung(&head, &format!("{}{today}", escaped(&why)), head.len()))?;
        }
        Ok(())
    }
}

/// Parts in a line as long as there is room.
fn wrapped(parts: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if line.len() + 3 + part.len() <= WIDEST => {
                line.push_str("   ");
                line.push_str(part);
            }
            _ => lines.push(part.clone()),
        }
    }
    lines
}

/// The Monday of a date's week.
pub(super) fn monday_of(date: NaiveDate) -> NaiveDate {
    let days = chrono::Days::new(date.weekday().num_days_from_monday().into());
    date.checked_sub_days(days).unwrap_or(date)
}

/// The last date of a month, whose first is given.
pub(super) fn month_end(first: NaiveDate) -> NaiveDate {
    let next = first.checked_add_months(chrono::Months::new(1));
    next.and_then(|next| next.pred_opt()).unwrap_or(first)
}
