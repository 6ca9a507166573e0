//! The compiled form of a calendar: a week, and the dates that differ from it. A few hundred rows stand for centuries of
//! days, so a calendar loads in well under a millisecond, copies cheaply, and finds a date by one binary search.

use std::ops::RangeInclusive;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

use super::local_clock::{LocalClock, resolve};
use super::rules::{Change, Hours, Period};
use super::{Basis, DayKind, Origin, Session, TimeOfDay};

static REGULAR: LazyLock<Arc<str>> = LazyLock::new(|| "".into());
static WEEKEND: LazyLock<Arc<str>> = LazyLock::new(|| "weekend".into());
static OFF_DAY: LazyLock<Arc<str>> = LazyLock::new(|| "not a trading weekday".into());

/// All days of a calendar.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    /// Where the exchange publishes its days.
    pub(super) source: Option<String>,
    /// The file that all this stands in, as people find it.
    pub(super) file: Option<Arc<str>>,
    pub(super) clock: Arc<LocalClock>,
    /// The clock of breaks and of the sessions before and after: they keep the exchange's under hours of one's own.
    pub(super) outer: Arc<LocalClock>,
    pub(super) range: RangeInclusive<NaiveDate>,
    pub(super) published_to: NaiveDate,
    /// The trading week, Monday first, and where it stands.
    pub(super) weekdays: [bool; 7],
    pub(super) weekdays_origin: Option<Origin>,
    /// The ordinary session, oldest first and never empty. Open and close are on `clock`.
    pub(super) periods: Vec<Period>,
    /// One bit a day of the range: whether it has a row of its own. Nearly all have none, and need no search to know it.
    marked: Vec<u64>,
    /// The dates with a row of their own, as days of the common era and in order.
    dates: Vec<i32>,
    rows: Vec<Row>,
    /// A row's session may close after its civil day.
    late_row: bool,
}

/// A date that differs from its week.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// None: there is no session.
    pub(super) hours: Option<Marks>,
    pub(super) reason: Arc<str>,
    pub(super) basis: Basis,
    pub(super) origin: Option<Origin>,
    /// A session on a day that has none by the rules.
    pub(super) is_special: bool,
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
        periods: Vec<Period>,
    ) -> Self {
        let clock = Arc::new(LocalClock::of(zone, &range));
        let days = range.end().signed_duration_since(*range.start()).num_days() + 1;
        let words = usize::try_from(days).unwrap_or(0).div_ceil(64);
        Self {
            name: String::new(),
            aliases: Vec::new(),
            source: None,
            file: None,
            published_to: *range.end(),
            range,
            weekdays,
            weekdays_origin: None,
            periods,
            outer: Arc::clone(&clock),
            clock,
            marked: vec![0; words],
            dates: Vec::new(),
            rows: Vec::new(),
            late_row: false,
        }
    }

    /// Whether the regular session is the whole civil day.
    pub(super) fn is_whole_days(&self) -> bool {
        let whole = |hours: &Hours| hours.open == TimeOfDay::MIDNIGHT && hours.close == TimeOfDay::DAY_END;
        self.periods.iter().all(|period| whole(&period.hours))
    }

    pub(super) fn period_on(&self, date: NaiveDate) -> &Period {
        match self.periods.as_slice() {
            [only] => only,
            // The newest is asked for most.
            all => all.iter().rev().find(|period| period.from <= date).unwrap_or(&all[0]),
        }
    }

    /// The ordinary hours of a date.
    pub(super) fn hours_on(&self, date: NaiveDate) -> &Hours {
        &self.period_on(date).hours
    }

    /// The first date, seen from a civil date, whose session may still be open on it.
    pub(super) fn first_near(&self, today: NaiveDate) -> NaiveDate {
        let is_late = self.late_row || self.periods.iter().any(|period| period.hours.close > TimeOfDay::DAY_END);
        let first = if is_late { today.pred_opt().unwrap_or(today) } else { today };
        first.max(*self.range.start())
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
        let is_late = |mark: Mark| mark.at > TimeOfDay::DAY_END || mark.zone != self.clock.zone();
        self.late_row |= row.hours.and_then(|marks| marks.close).is_some_and(is_late);
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
        self.late_row = false;
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

    /// An origin in this calendar's own file.
    pub(super) fn at_line(&self, line: usize, source: Option<&Arc<str>>) -> Option<Origin> {
        let file = self.file.clone()?;
        Some(Origin { file, line, source: source.cloned() })
    }

    /// Changes one date. The message of a fault completes "DATE: ".
    pub(super) fn amend(&mut self, date: NaiveDate, change: Change, row: Row) -> Result<(), String> {
        let hours = match change {
            Change::Closed => None,
            Change::Hours { open, close } => Some(self.marks(date, open, close)?),
        };
        let is_special = hours.is_some() && self.is_closed_by_rules(date);
        self.set(date, Row { hours, is_special, ..row });
        Ok(())
    }

    fn is_closed_by_rules(&self, date: NaiveDate) -> bool {
        match self.entry(date) {
            Entry::Row(row) => row.hours.is_none() || row.is_special,
            Entry::Ordinary => false,
            Entry::OffWeek => true,
        }
    }

    fn marks(&self, date: NaiveDate, open: Option<TimeOfDay>, close: Option<TimeOfDay>) -> Result<Marks, String> {
        let before = match self.entry(date) {
            Entry::Row(Row { hours: Some(marks), .. }) => *marks,
            Entry::Row(Row { hours: None, .. }) | Entry::Ordinary | Entry::OffWeek => Marks::default(),
        };
        let hours = self.hours_on(date);
        let exact = |at| Mark { at, zone: self.clock.zone(), force: Force::Exact };
        let marks = Marks {
            open: open.map(exact).or(before.open),
            close: close.map(exact).or(before.close),
            early: close.map_or(before.early, |close| close < hours.close),
        };
        if self.open_of(date, &marks) < self.close_of(date, &marks) {
            return Ok(marks);
        }
        let [opens, closes] = [(marks.open, hours.open), (marks.close, hours.close)]
            .map(|(mark, regular)| mark.map_or(regular, |mark| mark.at));
        let evening = if open.is_some() && hours.open < TimeOfDay::MIDNIGHT {
            format!("; for the evening before write \"{opens} -1d\"")
        } else {
            String::new()
        };
        Err(format!("the open, {opens}, is not before the close, {closes}{evening}"))
    }

    /// Whether the session of a date runs into one of its neighbours; the message completes "DATE: ".
    pub(super) fn collision(&self, date: NaiveDate) -> Option<String> {
        let session = |date: NaiveDate| {
            let marks = self.range.contains(&date).then(|| self.entry(date).marks()).flatten();
            marks.map(|marks| self.session(date, &marks))
        };
        let this = session(date)?;
        let overlaps = |other: &Session| other.open < this.close && this.open < other.close;
        // A session may reach from the day before its date to the day after it.
        let near = [-1, 1, -2, 2].into_iter().filter_map(|days| date.checked_add_signed(TimeDelta::days(days)));
        let other = near.filter_map(session).find(overlaps)?;
        Some(format!("its session and that of {} overlap", other.date))
    }

    fn instant(&self, date: NaiveDate, mark: Mark) -> DateTime<Utc> {
        let clocks = [&self.clock, &self.outer];
        match clocks.into_iter().find(|clock| clock.zone() == mark.zone) {
            Some(clock) => clock.at(date, mark.at),
            // Own hours over own hours, each in another zone.
            None => resolve(mark.zone, date, mark.at),
        }
    }

    /// Open of a date with these marks.
    pub(super) fn open_of(&self, date: NaiveDate, marks: &Marks) -> DateTime<Utc> {
        let regular = || self.clock.at(date, self.hours_on(date).open);
        match marks.open {
            None => regular(),
            Some(mark) if mark.force == Force::Exact => self.instant(date, mark),
            Some(mark) => self.instant(date, mark).max(regular()),
        }
    }

    /// Close of a date with these marks.
    pub(super) fn close_of(&self, date: NaiveDate, marks: &Marks) -> DateTime<Utc> {
        let regular = || self.clock.at(date, self.hours_on(date).close);
        match marks.close {
            None => regular(),
            Some(mark) if mark.force == Force::Exact => self.instant(date, mark),
            Some(mark) => self.instant(date, mark).min(regular()),
        }
    }

    /// The session of a date with these marks.
    pub(super) fn session(&self, date: NaiveDate, marks: &Marks) -> Session {
        let (open, close) = (self.open_of(date, marks), self.close_of(date, marks));
        let hours = self.hours_on(date);
        let postmarket = if marks.early { hours.early_postmarket } else { hours.postmarket };
        let pause = hours.pause.map(|(from, to)| (self.outer.at(date, from), self.outer.at(date, to)));
        Session {
            date,
            premarket: hours.premarket.map_or(open, |start| self.outer.at(date, start).min(open)),
            open,
            close,
            postmarket: postmarket.map_or(close, |end| self.outer.at(date, end).max(close)),
            // Whoever opens inside the break begins with what is left of it.
            pause: pause.map(|(from, to)| (from.max(open), to)).filter(|(from, to)| from < to && *to < close),
            regular_close: if marks.close.is_none() { close } else { self.clock.at(date, hours.close) },
        }
    }

    /// Of which kind a date with this session is.
    pub(super) fn kind(&self, entry: &Entry<'_>, session: Option<&Session>) -> DayKind {
        match (entry, session) {
            (Entry::OffWeek, _) => DayKind::Weekend,
            (_, None) => DayKind::Holiday,
            (Entry::Ordinary, Some(_)) => DayKind::Regular,
            (Entry::Row(row), Some(_)) if row.is_special => DayKind::Special,
            // Nothing but the end of the post-market session differs.
            (Entry::Row(row), Some(_)) if row.reason.is_empty() => DayKind::Regular,
            (Entry::Row(_), Some(session)) if session.is_early_close() => DayKind::EarlyClose,
            (Entry::Row(_), Some(_)) => DayKind::Special,
        }
    }

    /// Where it stands what a date is.
    pub(super) fn origin(&self, date: NaiveDate, entry: &Entry<'_>) -> Option<Origin> {
        match entry {
            Entry::Ordinary => self.period_on(date).origin.clone(),
            Entry::OffWeek => self.weekdays_origin.clone(),
            Entry::Row(row) => row.origin.clone(),
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
