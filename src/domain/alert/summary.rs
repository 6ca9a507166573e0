//! The day on one page: what became of every script, told when the last window of a trading date is over.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::Severity;
use super::book::Look;
use super::classify::is_well;
use crate::domain::outcome::RunResult;
use crate::domain::script::ScriptName;
use crate::domain::timeline::{DayPlan, plan};

/// A run that is still being stopped is waited for so long after its window.
const PATIENCE: TimeDelta = TimeDelta::minutes(10);

/// The results of the dates whose summaries are not told yet.
#[derive(Debug, Default)]
pub(super) struct Days {
    dates: BTreeMap<NaiveDate, Date>,
    /// What an earlier daemon knew of a date that is over was told by that one.
    has_looked: bool,
}

#[derive(Debug, Default)]
struct Date {
    results: BTreeMap<ScriptName, (RunResult, String)>,
    /// Something of it happened in this life of the daemon.
    is_live: bool,
}

impl Days {
    /// A result that an earlier daemon knew.
    pub fn know(&mut self, script: &ScriptName, date: NaiveDate, result: RunResult) {
        let known = (result, String::new());
        self.dates.entry(date).or_default().results.insert(script.clone(), known);
    }

    pub fn note(&mut self, script: &ScriptName, date: NaiveDate, result: RunResult, reason: &str) {
        let day = self.dates.entry(date).or_default();
        day.is_live = true;
        day.results.insert(script.clone(), (result, reason.to_owned()));
    }

    /// The dates that are over by now, with what became of them.
    pub fn over(&mut self, looks: &[Look], now: DateTime<Utc>) -> Vec<(NaiveDate, Severity, String)> {
        let is_first = !std::mem::replace(&mut self.has_looked, true);
        let dates: Vec<NaiveDate> = self.dates.keys().copied().collect();
        let over = dates.into_iter().filter(|date| self.is_over(*date, looks, now)).collect::<Vec<_>>();
        let tell = |date: NaiveDate| {
            let day = self.dates.remove(&date)?;
            (day.is_live || !is_first).then(|| (date, day.severity(), day.text(date, looks)))
        };
        over.into_iter().filter_map(tell).collect()
    }

    fn is_over(&self, date: NaiveDate, looks: &[Look], now: DateTime<Utc>) -> bool {
        let mut last = None;
        let mut all_known = true;
        for (look, stop) in looks.iter().filter_map(|look| Some((look, look.window_stop(date)?))) {
            last = last.max(Some(stop));
            all_known &= self.dates.get(&date).is_some_and(|day| day.results.contains_key(&look.facts.spec.name));
        }
        // Of a date on which nothing has a window any more, all is known.
        last.is_none_or(|stop| now >= stop && all_known || now >= stop + PATIENCE)
    }
}

impl Date {
    fn severity(&self) -> Severity {
        let of = |result: &RunResult| match result {
            RunResult::Failed | RunResult::Missed => Severity::Error,
            result if is_well(*result) => Severity::Info,
            _ => Severity::Warning,
        };
        self.results.values().map(|(result, _)| of(result)).min().unwrap_or(Severity::Info)
    }

    fn text(&self, date: NaiveDate, looks: &[Look]) -> String {
        let mut lines = vec![format!("summary of {date}")];
        let configured = looks.iter().map(|look| &look.facts.spec.name);
        let others = self.results.keys().filter(|name| !looks.iter().any(|look| look.facts.spec.name == **name));
        for name in configured.chain(others) {
            let look = looks.iter().find(|look| look.facts.spec.name == *name);
            let planned = look.and_then(|look| look.plan(date));
            let line = match (self.results.get(name), planned) {
                (Some((result, reason)), _) if reason.is_empty() => result.name().to_owned(),
                (Some((result, reason)), _) => format!("{} ({reason})", result.name()),
                (None, Some(DayPlan::Skipped { reason, .. })) => format!("skipped ({reason})"),
                (None, Some(DayPlan::Window(_))) => "no result yet".to_owned(),
                (None, Some(DayPlan::NoSession { .. }) | None) => continue,
            };
            lines.push(format!("{name}: {line}"));
        }
        lines.join("\n")
    }
}

impl Look {
    /// What the script does on a date, if it is ever run.
    pub(super) fn plan(&self, date: NaiveDate) -> Option<DayPlan> {
        let spec = &self.facts.spec;
        let calendar = self.calendar.as_ref().filter(|_| spec.enabled)?;
        plan(&spec.window, calendar, date).ok()
    }

    fn window_stop(&self, date: NaiveDate) -> Option<DateTime<Utc>> {
        match self.plan(date)? {
            DayPlan::Window(window) => Some(window.stop),
            DayPlan::Skipped { .. } | DayPlan::NoSession { .. } => None,
        }
    }
}
