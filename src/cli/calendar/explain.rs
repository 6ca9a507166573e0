//! `mho calendar explain`: one date, from all sides. Whether the exchange is open on it, from when to when, why, on what that rests, and where
//! it is written.

use std::io::Write;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::{Value, json};

use super::clocks::{ClockChange, clock_change, clock_on, hours_text, span_text, time_text};
use super::list::{has_postmarket, has_premarket};
use super::{Failure, Global, USAGE, find, one_of, parse_date};
use crate::cli::OK;
use crate::domain::calendar::{Basis, Calendar, Day, DayKind, OutOfRange, Phase, Session, Standing};
use crate::domain::notice::rfc3339;

/// Arguments of `mho calendar explain`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// The date, YYYY-MM-DD [default: today in the calendar's zone]
    #[arg(value_name = "DATE")]
    date: Option<String>,
    /// Id or alias of a calendar [default: the one of the market section]
    #[arg(value_name = "ID")]
    calendar: Option<String>,
    /// Print JSON alone
    #[arg(long)]
    json: bool,
}

impl ExplainArgs {
    /// Date and calendar. A calendar alone means today.
    fn parts(&self) -> Result<(Option<NaiveDate>, Option<&str>), Failure> {
        let is_name = |text: &str| text.starts_with(|letter: char| letter.is_ascii_alphabetic());
        match (self.date.as_deref(), self.calendar.as_deref()) {
            (Some(name), None) if is_name(name) => Ok((None, Some(name))),
            (first, second) => {
                // Either order: which of the two is a date is plain to see.
                let (date, name) = if first.is_some_and(is_name) { (second, first) } else { (first, second) };
                let parsed = date.map(parse_date).transpose();
                let parsed = parsed.map_err(|advice| {
                    Failure::new(USAGE, format!("{:?} is no date: {advice}", date.unwrap_or_default()))
                });
                Ok((parsed?, name))
            }
        }
    }
}

pub(super) fn run(
    global: &Global,
    args: &ExplainArgs,
    before: Option<&str>,
    now: DateTime<Utc>,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let (date, behind) = args.parts()?;
    let settings = global.look()?;
    let calendar = find(&settings, one_of(before, behind)?)?;
    let date = date.unwrap_or_else(|| now.with_timezone(&calendar.zone()).date_naive());
    let plain = settings.calendar_without_overrides(calendar.id());
    let explained =
        Explained::of(&calendar, plain.as_deref(), date, now).map_err(|error| Failure::new(USAGE, error))?;
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&explained.json()).map_err(std::io::Error::from)?)?;
    } else {
        write!(out, "{}", explained.text())?;
    }
    Ok(OK)
}

/// All that there is to say of a date.
struct Explained<'a> {
    calendar: &'a Calendar,
    day: Day,
    /// What the calendar says without the override, where there is one.
    without: Option<Day>,
    now: DateTime<Utc>,
    today: NaiveDate,
    clocks: Option<ClockChange>,
    /// The first session after the date.
    next: Option<Session>,
    /// What the market does now, and for which date; only where that is asked.
    phase: Option<(Phase, Option<NaiveDate>)>,
}

impl<'a> Explained<'a> {
    fn of(
        calendar: &'a Calendar,
        plain: Option<&Calendar>,
        date: NaiveDate,
        now: DateTime<Utc>,
    ) -> Result<Self, OutOfRange> {
        let day = calendar.day(date)?;
        let today = now.with_timezone(&calendar.zone()).date_naive();
        let plain = plain.filter(|_| day.basis == Basis::Override);
        Ok(Self {
            calendar,
            without: plain.and_then(|plain| plain.day(date).ok()),
            now,
            today,
            clocks: clock_change(calendar.zone(), date),
            next: date.succ_opt().and_then(|next| calendar.sessions(next..).next()),
            phase: (date == today).then(|| calendar.phase_at(now)).transpose()?,
            day,
        })
    }

    fn text(&self) -> String {
        let (calendar, date) = (self.calendar, self.day.date);
        let name = if calendar.name().is_empty() { String::new() } else { format!(", {}", calendar.name()) };
        let mut text = format!("{}{name}: {}\n{}\n", calendar.id(), date.format("%A %Y-%m-%d"), self.answer());
        let mut paragraph = |rows: Vec<(&str, String)>| {
            if !rows.is_empty() {
                text.push('\n');
            }
            for (label, value) in rows {
                text.push_str(&format!("  {label:<12} {value}\n"));
            }
        };
        paragraph(self.times());
        paragraph(self.facts());
        text
    }

    /// The answer in one line, in the tense that is right for the date.
    fn answer(&self) -> String {
        let Some(session) = &self.day.session else { return self.no_session() };
        let why = if self.day.reason.is_empty() { String::new() } else { format!("; {}", self.day.reason) };
        let (open, close) = (self.when(session.open), self.when(session.close));
        let is_today = self.day.date == self.today;
        match self.day.standing(self.now) {
            Standing::NotYetOpen if is_today || session.premarket <= self.now => {
                format!("not yet open: opens at {open}, in {}{why}", wait(session.open - self.now))
            }
            Standing::NotYetOpen => format!("will be open from {open} to {close}{why}"),
            Standing::Open => format!("open until {close}{why}"),
            Standing::Break => {
                let (start, end) = session.pause.unwrap_or((session.open, session.close));
                let what = if end - start < LUNCH { "halted" } else { "lunch break" };
                format!("{what} until {}{why}", self.when(end))
            }
            Standing::ClosedEarly if is_today => {
                let cause = self.day.reason.strip_prefix("early close: ").unwrap_or(&self.day.reason);
                format!("closed early at {close}: {cause}")
            }
            Standing::Closed if is_today => format!("closed at {close}: the session of this date is over{why}"),
            Standing::Closed | Standing::ClosedEarly | Standing::Holiday | Standing::Weekend => {
                format!("was open from {open} to {close}{why}")
            }
        }
    }

    fn no_session(&self) -> String {
        let reason = &self.day.reason;
        let tense = |past: &str, present: &str, future: &str| match self.day.date {
            date if date < self.today => past.to_owned(),
            date if date == self.today => present.to_owned(),
            _ => future.to_owned(),
        };
        // A dated fact need not be a holiday: an attack, a storm, a funeral.
        let is_dated = self.day.origin.as_ref().is_some_and(|origin| origin.source.is_some());
        match self.day.kind {
            DayKind::Weekend if **reason == *"weekend" => tense("was a weekend", "weekend", "will be a weekend"),
            DayKind::Weekend => {
                tense("was not a trading weekday", "not a trading weekday", "will not be a trading weekday")
            }
            _ if is_dated || self.day.basis == Basis::Override => {
                format!("{}: {reason}", tense("was closed", "closed", "will be closed"))
            }
            _ => format!("{}: {reason}", tense("was a holiday", "holiday", "will be a holiday")),
        }
    }

    /// An instant on the calendar's clock, with its date where that is another one.
    fn when(&self, at: DateTime<Utc>) -> String {
        let local = at.with_timezone(&self.calendar.zone());
        let clock = clock_on(self.calendar.zone(), self.day.date, at);
        match clock.split_once(' ') {
            Some((time, _)) => format!("{time} {}", local.format("%Z on %a %Y-%m-%d")),
            None => format!("{clock} {}", local.format("%Z")),
        }
    }

    /// The instants of the session.
    fn times(&self) -> Vec<(&'static str, String)> {
        let Some(session) = &self.day.session else { return Vec::new() };
        let pause = session.pause;
        let instants = [
            ("pre-market", has_premarket(session).then_some(session.premarket)),
            ("open", Some(session.open)),
            ("break", pause.map(|(start, _)| start)),
            ("break ends", pause.map(|(_, end)| end)),
            ("close", Some(session.close)),
            ("post-market", has_postmarket(session).then_some(session.postmarket)),
        ];
        let instants = instants.into_iter().filter_map(|(label, at)| Some((label, at?)));
        let rows: Vec<_> = instants.map(|(label, at)| (label, self.when(at), at)).collect();
        let widest = rows.iter().map(|(_, local, _)| local.len()).max().unwrap_or_default();
        let row = |(label, local, at): (_, String, DateTime<Utc>)| {
            let label = if label == "post-market" { "post until" } else { label };
            (label, format!("{local:<widest$}   {}", at.format("%Y-%m-%d %H:%M UTC")))
        };
        let mut rows: Vec<_> = rows.into_iter().map(row).collect();
        let (open, close) = self.calendar.regular_hours(self.day.date);
        let regular = span_text(&open.to_string(), &close.to_string());
        if regular != hours_text(self.calendar.zone(), session) {
            rows.push(("regular", format!("{regular} on other days")));
        }
        rows
    }

    /// Why, on what basis, where it stands, and what comes next.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        let day = &self.day;
        if !day.reason.is_empty() {
            rows.push(("reason", day.reason.to_string()));
        }
        let last = self.calendar.published_to();
        let basis = match day.basis {
            // Rules without an exchange behind them hold as far as the data goes.
            Basis::Published if last >= *self.calendar.range().end() => {
                format!("published: a rule that holds up to {last}")
            }
            Basis::Published => format!("published: the exchange's days are known up to {last}"),
            Basis::Projected => format!("projected from rules: after the exchange's published horizon, {last}"),
            Basis::Override => "override: you have said so; it wins over everything built in".to_owned(),
        };
        rows.push(("basis", basis));
        if let Some(origin) = &day.origin {
            rows.push(("stands in", format!("{}, line {}", origin.file, origin.line)));
            rows.extend(origin.source.as_ref().map(|source| ("source", source.to_string())));
        }
        rows.extend(self.without.as_ref().map(|plain| ("without it", self.told(plain))));
        rows.extend(self.clocks.as_ref().map(|change| {
            let text = change.to_string();
            ("clocks", format!("{} at {}", text.trim_start_matches("clocks "), time_text(change.at)))
        }));
        rows.extend(self.other_session().map(|text| ("now", text)));
        rows.extend(self.next.as_ref().map(|next| {
            let hours = hours_text(self.calendar.zone(), next);
            ("next session", format!("{}, {hours}", next.date.format("%a %Y-%m-%d")))
        }));
        rows
    }

    /// What the calendar itself says, in short.
    fn told(&self, plain: &Day) -> String {
        let reason = &plain.reason;
        let what = match &plain.session {
            None => format!("closed: {reason}"),
            Some(session) if reason.is_empty() => {
                format!("{}, a regular day", hours_text(self.calendar.zone(), session))
            }
            Some(session) => format!("{}, {reason}", hours_text(self.calendar.zone(), session)),
        };
        let place = plain.origin.as_ref().map(|origin| format!(", {}, line {}", origin.file, origin.line));
        format!("{what} ({}{})", plain.basis.name(), place.unwrap_or_default())
    }

    /// Today's civil date may have no session, or a session that is over, while that of the next date has begun.
    fn other_session(&self) -> Option<String> {
        let (phase, date) = self.phase?;
        let session = self.calendar.session(date.filter(|date| *date != self.day.date)?).ok()??;
        let (what, until) = match phase {
            Phase::Closed => return None,
            Phase::Pre => ("pre-market", session.open),
            Phase::Open => ("open", session.close),
            Phase::Break => ("break", session.pause.map_or(session.close, |(_, end)| end)),
            Phase::Post => ("post-market", session.postmarket),
        };
        let date = session.date.format("%a %Y-%m-%d");
        Some(format!("{what}: the session of {date}, until {}", self.when(until)))
    }

    fn json(&self) -> Value {
        let (calendar, day) = (self.calendar, &self.day);
        let zone = calendar.zone();
        let session = day.session.as_ref();
        let at = |instant: fn(&Session) -> DateTime<Utc>| session.map(|session| rfc3339(instant(session), zone));
        let pause = session.and_then(|session| session.pause);
        let origin = day.origin.as_ref();
        json!({
            "date": day.date,
            "calendar": calendar.id(),
            "name": filled(calendar.name()),
            "is_session": session.is_some(),
            "kind": day.kind.name(),
            "standing": day.standing(self.now).name(),
            "phase": self.phase.map(|(phase, _)| phase.name()),
            "phase_date": self.phase.and_then(|(_, date)| date),
            "answer": self.answer(),
            "premarket": at(|s| s.premarket).filter(|_| session.is_some_and(has_premarket)),
            "open": at(|s| s.open),
            "close": at(|s| s.close),
            "postmarket": at(|s| s.postmarket).filter(|_| session.is_some_and(has_postmarket)),
            "break_start": pause.map(|(start, _)| rfc3339(start, zone)),
            "break_end": pause.map(|(_, end)| rfc3339(end, zone)),
            "regular_close": at(|s| s.regular_close),
            "early_close": session.is_some_and(Session::is_early_close),
            "reason": filled(&day.reason),
            "basis": day.basis.name(),
            "published_to": calendar.published_to(),
            "file": origin.map(|origin| &*origin.file),
            "line": origin.map(|origin| origin.line),
            "source": origin.and_then(|origin| origin.source.as_deref()),
            "clock_change": self.clocks.as_ref().map(ToString::to_string),
            "without_override": self.without.as_ref().map(|plain| self.plain_json(plain)),
            "next_session": self.next.as_ref().map(|next| json!({
                "date": next.date,
                "open": rfc3339(next.open, zone),
                "close": rfc3339(next.close, zone),
            })),
        })
    }

    fn plain_json(&self, plain: &Day) -> Value {
        let zone = self.calendar.zone();
        let origin = plain.origin.as_ref();
        json!({
            "is_session": plain.session.is_some(),
            "kind": plain.kind.name(),
            "open": plain.session.as_ref().map(|session| rfc3339(session.open, zone)),
            "close": plain.session.as_ref().map(|session| rfc3339(session.close, zone)),
            "early_close": plain.session.as_ref().is_some_and(Session::is_early_close),
            "reason": filled(&plain.reason),
            "basis": plain.basis.name(),
            "file": origin.map(|origin| &*origin.file),
            "line": origin.map(|origin| origin.line),
            "source": origin.and_then(|origin| origin.source.as_deref()),
        })
    }
}

/// A shorter break is a halt.
const LUNCH: TimeDelta = TimeDelta::minutes(45);

fn filled(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// "2h 13m", "3d 4h", "45s".
fn wait(time: TimeDelta) -> String {
    let (days, hours, minutes) = (time.num_days(), time.num_hours() % 24, time.num_minutes() % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{}s", time.num_seconds()),
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod explain_tests;
