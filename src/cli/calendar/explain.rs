//! `mho calendar explain`: one date, from all sides. Whether the exchange is open on it, from when to when, why, on what that rests, and where
//! it is written.

use std::io::Write;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};

use super::clocks::{ClockChange, clock_change, clock_on, hours_text, span_text, time_text};
use super::{Failure, Global, Shown, USAGE, find, known, one_of};
use crate::cli::layout::{escaped, hung};
use crate::cli::{OK, parse_date};
use crate::config::Settings;
use crate::domain::calendar::{Basis, Calendar, Day, DayKind, OutOfRange, Phase, Session, Standing};
use crate::domain::notice::rfc3339;

/// Arguments of `mho calendar explain`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// The date, YYYY-MM-DD [default: that of the session under way, else today in the calendar's zone]
    #[arg(value_name = "DATE")]
    date: Option<String>,
    /// Id or alias of a calendar [default: the one of the market section]
    #[arg(value_name = "ID")]
    calendar: Option<String>,
    /// The same as ID
    #[arg(long = "calendar", value_name = "ID")]
    named: Option<String>,
    /// Print JSON alone
    #[arg(long)]
    json: bool,
}

impl ExplainArgs {
    /// Date and calendar, in either order; either may be missing.
    fn parts(&self, settings: &Settings) -> Result<(Option<NaiveDate>, Option<&str>), Failure> {
        let two = |what: &str| Failure::new(USAGE, format!("two {what}: give one date and at most one calendar"));
        let (mut date, mut name, mut unknown) = (None, None, None);
        for word in [&self.date, &self.calendar].into_iter().flatten() {
            if let Ok(parsed) = parse_date(word) {
                if date.replace(parsed).is_some() {
                    return Err(two("dates"));
                }
            } else if settings.calendar(word).is_some() {
                if name.replace(word.as_str()).is_some() {
                    return Err(two("calendars"));
                }
            } else {
                unknown = unknown.or(Some(word.as_str()));
            }
        }
        match unknown {
            None => Ok((date, name)),
            Some(word) if word.starts_with(|letter: char| letter.is_ascii_digit()) => {
                let advice = parse_date(word).err().unwrap_or_default();
                Err(Failure::new(USAGE, format!("{word:?} is no date: {advice}")))
            }
            // That there is no such calendar is told where it is looked for.
            Some(word) if date.is_some() => Ok((date, Some(word))),
            Some(word) => {
                let text = format!("{word:?} is neither a date (YYYY-MM-DD) nor a calendar; {}", known(settings, word));
                Err(Failure::new(USAGE, text))
            }
        }
    }
}

/// The date that a moment belongs to: that of the session under way, else the civil one.
fn date_of(calendar: &Calendar, now: DateTime<Utc>) -> NaiveDate {
    let under_way = calendar.phase_at(now).ok().and_then(|(_, date)| date);
    under_way.unwrap_or_else(|| now.with_timezone(&calendar.zone()).date_naive())
}

pub(super) fn run(
    global: &Global,
    args: &ExplainArgs,
    before: Option<&str>,
    now: DateTime<Utc>,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let settings = global.look()?;
    let (date, behind) = args.parts(&settings)?;
    let named = one_of(behind, args.named.as_deref())?;
    let calendar = find(&settings, one_of(before, named)?)?;
    let date = date.unwrap_or_else(|| date_of(&calendar, now));
    let plain = settings.calendar_without_override(calendar.id(), date);
    let shown = Shown { calendar: &calendar, plain: plain.as_ref().unwrap_or(&calendar), now };
    let explained = Explained::of(&shown, date).map_err(|error| Failure::new(USAGE, error))?;
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
    title: String,
    day: Day,
    /// What the calendar says without the override, where there is one.
    without: Option<Day>,
    now: DateTime<Utc>,
    today: NaiveDate,
    clocks: Option<ClockChange>,
    /// The session after a past date, where it has begun.
    followed_by: Option<Session>,
    /// The first session after the date that is still to come.
    next: Option<Session>,
    /// It is today's date, or its session is under way.
    is_current: bool,
    /// What the market does now, and for which date; only where the date is current.
    phase: Option<(Phase, Option<NaiveDate>)>,
}

impl<'a> Explained<'a> {
    fn of(shown: &Shown<'a>, date: NaiveDate) -> Result<Self, OutOfRange> {
        let (calendar, now, today) = (shown.calendar, shown.now, shown.today());
        let day = calendar.day(date)?;
        let is_under_way = day.session.as_ref().is_some_and(|s| s.premarket <= now && now < s.postmarket);
        let is_current = date == today || is_under_way;
        let after = |date: NaiveDate| date.succ_opt().into_iter().flat_map(|next| calendar.sessions(next..));
        // Those of the past are many: none before yesterday's is still to come.
        let recent = today.pred_opt().map_or(date, |yesterday| date.max(yesterday));
        Ok(Self {
            calendar,
            title: shown.title(),
            without: shown.plain.day(date).ok().filter(|_| day.basis == Basis::Override),
            now,
            today,
            clocks: clock_change(calendar.zone(), date),
            followed_by: after(date).next().filter(|next| date < today && next.open <= now),
            next: after(recent).find(|next| now < next.open),
            is_current,
            phase: is_current.then(|| calendar.phase_at(now).ok()).flatten(),
            day,
        })
    }

    fn text(&self) -> String {
        let head = format!("{}: {}", self.title, self.day.date.format("%A %Y-%m-%d"));
        let mut text = format!("{}\n{}\n", hung("", &escaped(&head), 2), hung("", &escaped(&self.answer()), 2));
        let mut paragraph = |rows: Vec<(&str, String)>| {
            if !rows.is_empty() {
                text.push('\n');
            }
            for (label, value) in rows {
                let label = format!("  {label:<12} ");
                text.push_str(&hung(&label, &escaped(&value), label.len()));
                text.push('\n');
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
        match self.standing() {
            Standing::NotYetOpen if self.is_current => {
                format!("not yet open: opens at {open}, in {}{why}", wait(session.open - self.now))
            }
            Standing::NotYetOpen => format!("will be open from {open} to {close}{why}"),
            Standing::Open => format!("open until {close}{why}"),
            Standing::Break => {
                let (start, end) = session.pause.unwrap_or((session.open, session.close));
                let what = if end - start < LUNCH { "halted" } else { "lunch break" };
                format!("{what} until {}{why}", self.when(end))
            }
            Standing::ClosedEarly if self.is_current => {
                let cause = self.day.reason.strip_prefix("early close: ").unwrap_or(&self.day.reason);
                format!("closed early at {close}: {cause}")
            }
            Standing::Closed if self.is_current => format!("closed at {close}: the session of this date is over{why}"),
            Standing::Closed | Standing::ClosedEarly | Standing::Holiday | Standing::Weekend => {
                format!("was open from {open} to {close}{why}")
            }
        }
    }

    /// A special session ends when it is to, and not early.
    fn standing(&self) -> Standing {
        match self.day.standing(self.now) {
            Standing::ClosedEarly if self.day.kind == DayKind::Special => Standing::Closed,
            standing => standing,
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
        self.when_on(self.day.date, at)
    }

    /// The same, where it is `date` that was spoken of.
    fn when_on(&self, date: NaiveDate, at: DateTime<Utc>) -> String {
        let local = at.with_timezone(&self.calendar.zone());
        let clock = clock_on(self.calendar.zone(), date, at);
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
            ("pre-market", session.has_premarket().then_some(session.premarket)),
            ("open", Some(session.open)),
            ("break", pause.map(|(start, _)| start)),
            ("break ends", pause.map(|(_, end)| end)),
            ("close", Some(session.close)),
            ("post-market", session.has_postmarket().then_some(session.postmarket)),
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

    /// What is under way instead, why the day is as it is, on what basis, where that stands, and what comes next.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        let day = &self.day;
        rows.extend(self.other_session().map(|text| ("now", text)));
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
            Basis::Projected => format!("projected: the exchange's published days end on {last}"),
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
        for (label, session) in [("followed by", &self.followed_by), ("next session", &self.next)] {
            rows.extend(session.as_ref().map(|session| {
                let hours = hours_text(self.calendar.zone(), session);
                (label, format!("{}, {hours}", session.date.format("%a %Y-%m-%d")))
            }));
        }
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
        Some(format!("{what}: the session of {date}, until {}", self.when_on(session.date, until)))
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
            "standing": self.standing().name(),
            "phase": self.phase.map(|(phase, _)| phase.name()),
            "phase_date": self.phase.and_then(|(_, date)| date),
            "answer": self.answer(),
            "premarket": at(|s| s.premarket).filter(|_| session.is_some_and(Session::has_premarket)),
            "open": at(|s| s.open),
            "close": at(|s| s.close),
            "postmarket": at(|s| s.postmarket).filter(|_| session.is_some_and(Session::has_postmarket)),
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
            "followed_by": self.followed_by.as_ref().map(|session| session_json(session, zone)),
            "next_session": self.next.as_ref().map(|session| session_json(session, zone)),
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

fn session_json(session: &Session, zone: Tz) -> Value {
    json!({
        "date": session.date,
        "open": rfc3339(session.open, zone),
        "close": rfc3339(session.close, zone),
    })
}

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
