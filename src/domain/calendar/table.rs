//! The compiled form of a calendar: a week, and the dates that differ from it. A few hundred rows stand for centuries of
//! days, so a calendar loads in well under a millisecond, copies cheaply, and finds a date by one binary search.

use std::ops::RangeInclusive;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;

use super::local_clock::{LocalClock, resolve};
use super::rules::Change;
use super::{Basis, Session, TimeOfDay};

static REGULAR: LazyLock<Arc<str>> = LazyLock::new(|| "".into());
static WEEKEND: LazyLock<Arc<str>> = LazyLock::new(|| "weekend".into());
static OFF_DAY: LazyLock<Arc<str>> = LazyLock::new(|| "not a trading weekday".into());

/// All days of a calendar.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) clock: Arc<LocalClock>,
    pub(super) range: RangeInclusive<NaiveDate>,
    pub(super) published_to: NaiveDate,
    /// The trading week, Monday first.
    pub(super) weekdays: [bool; 7],
    /// The regular session, on `clock`.
    pub(super) open: TimeOfDay,
    pub(super) close: TimeOfDay,
    pub(super) extended: Extended,
    /// One bit a day of the range: whether it has a row of its own. Nearly all have none, and need no search to know it.
    marked: Vec<u64>,
    /// The dates with a row of their own, as days of the common era and in order.
    dates: Vec<i32>,
    rows: Vec<Row>,
}

/// The sessions before and after the regular one. They keep the exchange's clock under hours of one's own.
#[derive(Clone, Debug)]
pub(super) struct Extended {
    pub(super) clock: Arc<LocalClock>,
    pub(super) premarket: TimeOfDay,
    pub(super) postmarket: TimeOfDay,
    pub(super) early_postmarket: TimeOfDay,
}

impl Extended {
    /// There is nothing before and after the regular session.
    pub(super) fn none(clock: &Arc<LocalClock>, open: TimeOfDay, close: TimeOfDay) -> Self {
        Self { clock: Arc::clone(clock), premarket: open, postmarket: close, early_postmarket: close }
    }
}

/// A date that differs from its week.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// None: there is no session.
    pub(super) hours: Option<Marks>,
    pub(super) reason: Arc<str>,
    pub(super) basis: Basis,
}

/// Hours of one date; what is None is regular.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    pub(super) open: Option<Mark>,
    pub(super) close: Option<Mark>,
    /// The exchange closes early, so its post-market session ends early too.
    pub(super) early: bool,
}

/// One local time of one date.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) at: TimeOfDay,
    pub(super) zone: Tz,
    pub(super) force: Force,
}

/// How a mark stands to the regular hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Force {
    /// It replaces them.
    Exact,
    /// It only makes them shorter: the exchange's word under hours of one's own.
    Bound,
}

/// What a table says of a date.
pub(super) enum Entry<'t> {
    Ordinary,
    OffWeek,
    Row(&'t Row),
}

impl Table {
    /// A week without exceptions.
    pub(super) fn of_week(
        zone: Tz,
        range: RangeInclusive<NaiveDate>,
        weekdays: [bool; 7],
        (open, close): (TimeOfDay, TimeOfDay),
    ) -> Self {
        let clock = Arc::new(LocalClock::of(zone, &range));
        let days = range.end().signed_duration_since(*range.start()).num_days() + 1;
        let words = usize::try_from(days).unwrap_or(0).div_ceil(64);
        Self {
            name: String::new(),
            aliases: Vec::new(),
            published_to: *range.end(),
            range,
            weekdays,
            open,
            close,
            extended: Extended::none(&clock, open, close),
            clock,
            marked: vec![0; words],
            dates: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Whether the regular session is the whole civil day.
    pub(super) fn is_whole_days(&self) -> bool {
        self.open.seconds() == 0 && self.close == TimeOfDay::MIDNIGHT
    }

    /// Looks a date up, which must be in the range.
    pub(super) fn entry(&self, date: NaiveDate) -> Entry<'_> {
        let (word, bit) = self.bit(date);
        if self.marked[word] & bit != 0
            && let Ok(at) = self.dates.binary_search(&date.num_days_from_ce())
        {
            return Entry::Row(&self.rows[at]);
        }
        if self.weekdays[date.weekday().num_days_from_monday() as usize] { Entry::Ordinary } else { Entry::OffWeek }
    }

    /// Puts a row in, or replaces the one of that date, which must be in the range.
    pub(super) fn set(&mut self, date: NaiveDate, row: Row) {
        let (word, bit) = self.bit(date);
        self.marked[word] |= bit;
        let day = date.num_days_from_ce();
        match self.dates.binary_search(&day) {
            Ok(at) => self.rows[at] = row,
            Err(at) => {
                self.dates.insert(at, day);
                self.rows.insert(at, row);
            }
        }
    }

    fn bit(&self, date: NaiveDate) -> (usize, u64) {
        let day = (date.num_days_from_ce() - self.range.start().num_days_from_ce()).unsigned_abs();
        ((day / 64) as usize, 1 << (day % 64))
    }

    /// Every row, each kept only if `keep` says so; it may change the row.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Self, NaiveDate, &mut Row) -> bool) {
        let (dates, rows) = (std::mem::take(&mut self.dates), std::mem::take(&mut self.rows));
        self.marked.fill(0);
        for (day, mut row) in dates.into_iter().zip(rows) {
            if let Some(date) = NaiveDate::from_num_days_from_ce_opt(day)
                && keep(self, date, &mut row)
            {
                self.set(date, row);
            }
        }
    }

    /// Whether the rules alone are projected for this date.
    pub(super) fn basis(&self, date: NaiveDate) -> Basis {
        if date > self.published_to { Basis::Projected } else { Basis::Published }
    }

    /// Changes the hours of one date. The message of a fault completes "DATE: ".
    pub(super) fn amend(
        &mut self,
        date: NaiveDate,
        change: Change,
        reason: Arc<str>,
        basis: Basis,
    ) -> Result<(), String> {
        let hours = match change {
            Change::Closed => None,
            Change::Hours { open, close } => Some(self.marks(date, open, close)?),
        };
        self.set(date, Row { hours, reason, basis });
        Ok(())
    }

    fn marks(&self, date: NaiveDate, open: Option<TimeOfDay>, close: Option<TimeOfDay>) -> Result<Marks, String> {
        let before = match self.entry(date) {
            Entry::Row(Row { hours: Some(marks), .. }) => *marks,
            Entry::Row(Row { hours: None, .. }) | Entry::Ordinary | Entry::OffWeek => Marks::default(),
        };
        let exact = |at| Mark { at, zone: self.clock.zone(), force: Force::Exact };
        let marks = Marks {
            open: open.map(exact).or(before.open),
            close: close.map(exact).or(before.close),
            early: close.map_or(before.early, |close| close < self.close),
        };
        if self.open_of(date, &marks) < self.close_of(date, &marks) {
            return Ok(marks);
        }
        let [opens, closes] =
            [marks.open.map_or(self.open, |mark| mark.at), marks.close.map_or(self.close, |mark| mark.at)];
        Err(format!("the open, {opens}, is not before the close, {closes}"))
    }

    fn instant(&self, date: NaiveDate, mark: Mark) -> DateTime<Utc> {
        let clocks = [&self.clock, &self.extended.clock];
        match clocks.into_iter().find(|clock| clock.zone() == mark.zone) {
            Some(clock) => clock.at(date, mark.at),
            // Own hours over own hours, each in another zone.
            None => resolve(mark.zone, date, mark.at),
        }
    }

    /// Open of a date with these marks.
    pub(super) fn open_of(&self, date: NaiveDate, marks: &Marks) -> DateTime<Utc> {
        match marks.open {
            None => self.clock.at(date, self.open),
            Some(mark) if mark.force == Force::Exact => self.instant(date, mark),
            Some(mark) => self.instant(date, mark).max(self.clock.at(date, self.open)),
        }
    }

    /// Close of a date with these marks.
    pub(super) fn close_of(&self, date: NaiveDate, marks: &Marks) -> DateTime<Utc> {
        match marks.close {
            None => self.clock.at(date, self.close),
            Some(mark) if mark.force == Force::Exact => self.instant(date, mark),
            Some(mark) => self.instant(date, mark).min(self.clock.at(date, self.close)),
        }
    }

    /// The session of a date with these marks.
    pub(super) fn session(&self, date: NaiveDate, marks: &Marks) -> Session {
        let (open, close) = (self.open_of(date, marks), self.close_of(date, marks));
        let extended = &self.extended;
        let postmarket = if marks.early { extended.early_postmarket } else { extended.postmarket };
        Session {
            date,
            premarket: extended.clock.at(date, extended.premarket).min(open),
            open,
            close,
            postmarket: extended.clock.at(date, postmarket).max(close),
            regular_close: if marks.close.is_none() { close } else { self.clock.at(date, self.close) },
        }
    }
}

impl Entry<'_> {
    /// The hours, if there is a session.
    pub(super) fn marks(&self) -> Option<Marks> {
        match self {
            Self::Ordinary => Some(Marks::default()),
            Self::OffWeek => None,
            Self::Row(row) => row.hours,
        }
    }

    /// Why the date is as it is.
    pub(super) fn reason(&self, date: NaiveDate) -> Arc<str> {
        match self {
            Self::Ordinary => REGULAR.clone(),
            Self::OffWeek if date.weekday().num_days_from_monday() >= 5 => WEEKEND.clone(),
            Self::OffWeek => OFF_DAY.clone(),
            Self::Row(row) => row.reason.clone(),
        }
    }
}
