//! What is past or far ahead, read from the journal, the calendars and the scripts' own logs. Files may keep their readers waiting: they are
//! read aside.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use chrono::{Days, NaiveDate};
use serde_json::Value;

use super::Desk;
use crate::adapters::journal::history::{PastAttempt, PastRun, attempts, read};
use crate::adapters::logs::{Reading, Unreadable};
use crate::domain::operator::Refused;
use crate::domain::status::{Break, Day, HistoryLine, Lane, LaneAttempt, LastExit, Local, calendar_line, span};
use crate::domain::timeline::{DayPlan, plan};
use crate::ports::{CalendarQuery, HistoryQuery, LogLines, LogQuery};

/// Days of a calendar after the first, when nobody says how many.
const SPAN: Days = Days::new(30);

/// No more days of a calendar are listed at once.
const MOST_DAYS: usize = 5000;

/// A log is read from not more than so many bytes before its end.
const MOST_BYTES: u64 = 8 << 20;

/// Between two looks for more.
const GLANCE: Duration = Duration::from_millis(200);

/// Does what may take its time, where it keeps nobody else waiting.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let failed = |_| Refused::Unanswered("it could not be read: the daemon ends".to_owned());
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

pub(super) fn history(desk: &Desk, query: &HistoryQuery) -> Result<Vec<HistoryLine>, Refused> {
    if let (Some(from), Some(to)) = (query.from, query.to)
        && to < from
    {
        return Err(Refused::Invalid(format!("to {to} is before from {from}")));
    }
    let runs = runs(desk)?;
    if let Some(name) = &query.script {
        let is_known = desk.board.spec(name).is_some() || runs.iter().any(|run| run.script.as_str() == name);
        if !is_known {
            let known = desk.board.facts().into_iter().map(|(facts, _)| facts.spec.name.clone()).collect();
            return Err(Refused::NoSuchScript { name: name.clone(), known });
        }
    }
    let is_wanted = |run: &&PastRun| {
        query.script.as_ref().is_none_or(|name| run.script.as_str() == name)
            && query.from.is_none_or(|from| run.trading_date >= from)
            && query.to.is_none_or(|to| run.trading_date <= to)
    };
    Ok(runs.iter().filter(is_wanted).map(PastRun::line).collect())
}

fn runs(desk: &Desk) -> Result<Vec<PastRun>, Refused> {
    let found = read(&desk.state_dir).map_err(|error| Refused::Unanswered(error.to_string()))?;
    Ok(found.unwrap_or_default().runs)
}

pub(super) fn calendar(desk: &Desk, query: &CalendarQuery) -> Result<Vec<Value>, Refused> {
    let name = query.calendar.as_deref();
    let unknown =
        || Refused::Invalid(format!("the daemon uses no calendar {:?}: see mho calendar list", name.unwrap_or("")));
    let calendar = desk.board.calendar(name).ok_or_else(unknown)?;
    let today = desk.board.present().now.with_timezone(&calendar.zone()).date_naive();
    let from = query.from.unwrap_or(today);
    let last = *calendar.range().end();
    let to = query.to.unwrap_or_else(|| from.checked_add_days(SPAN).unwrap_or(last).min(last));
    if to < from {
        return Err(Refused::Invalid(format!("to {to} is before from {from}")));
    }
    let days = from.iter_days().take_while(|date| *date <= to).take(MOST_DAYS + 1);
    let days: Vec<_> = days
        .map(|date| calendar.day(date).map(|day| calendar_line(&calendar, &day)))
        .collect::<Result<_, _>>()
        .map_err(|error| Refused::Invalid(error.to_string()))?;
    if days.len() > MOST_DAYS {
        return Err(Refused::Invalid(format!("more than {MOST_DAYS} days at once: ask for fewer")));
    }
    Ok(days)
}

pub(super) fn timeline(desk: &Desk, date: Option<NaiveDate>) -> Result<Day, Refused> {
    let present = desk.board.present();
    let calendar = desk.board.calendar(None).ok_or_else(|| Refused::Invalid("no calendar is loaded".to_owned()))?;
    let zone = calendar.zone();
    let date = date.unwrap_or_else(|| present.now.with_timezone(&zone).date_naive());
    let day = calendar.day(date).map_err(|error| Refused::Invalid(error.to_string()))?;
    let session = day.session.as_ref();
    let local = |at| Local::new(at, zone);
    Ok(Day {
        now: local(present.now),
        date,
        calendar: calendar.id().to_owned(),
        timezone: zone.name().to_owned(),
        kind: day.kind.name().to_owned(),
        reason: day.reason.to_string(),
        premarket: session.map(|session| local(session.premarket)),
        open: session.map(|session| local(session.open)),
        close: session.map(|session| local(session.close)),
        postmarket: session.map(|session| local(session.postmarket)),
        pause: session.and_then(|session| session.pause).map(|(from, to)| Break { from: local(from), to: local(to) }),
        lanes: lanes(desk, date)?,
    })
}

fn lanes(desk: &Desk, date: NaiveDate) -> Result<Vec<Lane>, Refused> {
    let runs: BTreeMap<String, PastRun> = runs(desk)?
        .into_iter()
        .filter(|run| run.trading_date == date)
        .map(|run| (run.script.to_string(), run))
        .collect();
    let mut processes: BTreeMap<String, Vec<PastAttempt>> = BTreeMap::new();
    for attempt in attempts(&desk.state_dir, date).map_err(|error| Refused::Unanswered(error.to_string()))? {
        processes.entry(attempt.script.to_string()).or_default().push(attempt);
    }
    let facts = desk.board.facts();
    let configured: BTreeSet<String> = facts.iter().map(|(facts, _)| facts.spec.name.to_string()).collect();
    let mut lanes = Vec::new();
    for (facts, calendar) in &facts {
        let name = facts.spec.name.to_string();
        let found = calendar.as_ref().map(|calendar| plan(&facts.spec.window, calendar, date));
        let (window, no_window) = match found {
            _ if !facts.spec.enabled => (None, Some("disabled in the configuration".to_owned())),
            Some(Ok(DayPlan::Window(window))) => (Some(span(&window)), None),
            Some(Ok(DayPlan::Skipped { reason, .. } | DayPlan::NoSession { reason })) => (None, Some(reason)),
            Some(Err(error)) => (None, Some(error.to_string())),
            None => (None, None),
        };
        lanes.push(Lane { window, no_window, ..lane(name, &runs, &mut processes, desk) });
    }
    for name in runs.keys().filter(|name| !configured.contains(*name)) {
        let no_window = Some("not configured any more".to_owned());
        lanes.push(Lane { no_window, ..lane(name.clone(), &runs, &mut processes, desk) });
    }
    Ok(lanes)
}

fn lane(
    script: String,
    runs: &BTreeMap<String, PastRun>,
    processes: &mut BTreeMap<String, Vec<PastAttempt>>,
    desk: &Desk,
) -> Lane {
    let run = runs.get(&script);
    let zone = run.map_or_else(|| desk.board.present().zone, |run| run.zone);
    let show = |attempt: PastAttempt| LaneAttempt {
        attempt: attempt.number,
        started_at: attempt.started_at.map(|at| Local::new(at, zone)),
        restarted_after: attempt.restarted_after,
        pid: attempt.pid,
        end: attempt.end.map(|end| LastExit::new(&end, zone)),
    };
    Lane {
        window: None,
        no_window: None,
        result: run.map(|run| run.result.name().to_owned()),
        reason: run.map(|run| run.reason.clone()).filter(|reason| !reason.is_empty()),
        attempts: processes.remove(&script).unwrap_or_default().into_iter().map(show).collect(),
        script,
    }
}

pub(super) async fn log(desk: &Desk, query: LogQuery) -> Result<Box<dyn LogLines>, Refused> {
    let Some(spec) = desk.board.spec(&query.script) else {
        let known = desk.board.facts().into_iter().map(|(facts, _)| facts.spec.name.clone()).collect();
        return Err(Refused::NoSuchScript { name: query.script, known });
    };
    let (dir, date, tail) = (spec.output.dir.clone(), query.date, query.tail);
    let reading = aside(move || Reading::of_last_lines(&dir, date, tail, MOST_BYTES).map_err(unreadable)).await?;
    Ok(Box::new(Lines { reading: Some(reading), follow: query.follow }))
}

fn unreadable(error: Unreadable) -> Refused {
    Refused::Unanswered(error.to_string())
}

/// A script's output, read aside piece by piece.
struct Lines {
    /// None while it is being read from, and after an error.
    reading: Option<Reading>,
    follow: bool,
}

impl LogLines for Lines {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send + '_>> {
        Box::pin(async move {
            loop {
                let mut reading = self.reading.take()?;
                let read = move || {
                    let piece = reading.more().map_err(unreadable)?;
                    Ok((reading, piece))
                };
                let (reading, piece) = aside(read).await.ok()?;
                self.reading = Some(reading);
                if piece.is_some() || !self.follow {
                    return piece;
                }
                tokio::time::sleep(GLANCE).await;
            }
        })
    }
}
