//! What of the plan will come true, by all that is known now.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::Facts;
use crate::domain::calendar::Calendar;
use crate::domain::lifecycle::{StateName, View};
use crate::domain::operator::{Hold, HoldKind};
use crate::domain::script::{ScriptName, ScriptSpec};
use crate::domain::timeline::{Boundary, BoundaryKind, windows};

/// The planned boundaries, less those that do not concern anything any more: a stop of what is over, a start that is paused or skipped. A run
/// that is under way reaches its limit when it does, not when it was planned to.
#[must_use]
pub fn foreseen<'a>(
    planned: &[Boundary],
    facts: impl IntoIterator<Item = &'a Facts>,
    now: DateTime<Utc>,
) -> Vec<Boundary> {
    let views: BTreeMap<&ScriptName, &View> = facts.into_iter().map(|facts| (&facts.spec.name, &*facts.view)).collect();
    let of = |boundary: &Boundary| views.get(boundary.script.as_ref()?);
    let holds = |boundary: &&Boundary| of(boundary).is_none_or(|view| comes_true(boundary, view));
    let limit = |(name, view): (&&ScriptName, &&View)| {
        let (at, trading_date) = (view.deadline.filter(|at| now < *at)?, view.trading_date?);
        let script = Some((*name).clone());
        is_under_way(view).then_some(Boundary { at, kind: BoundaryKind::Deadline, script, trading_date })
    };
    let mut coming: Vec<Boundary> = planned.iter().filter(holds).cloned().collect();
    coming.extend(views.iter().filter_map(limit));
    coming.sort();
    coming
}

fn comes_true(boundary: &Boundary, view: &View) -> bool {
    let is_of_this_run = view.trading_date == Some(boundary.trading_date);
    match boundary.kind {
        BoundaryKind::Open | BoundaryKind::Close => true,
        BoundaryKind::Deadline if is_of_this_run => false,
        BoundaryKind::Stop if is_of_this_run => is_under_way(view),
        BoundaryKind::Start | BoundaryKind::Stop | BoundaryKind::Deadline => {
            !is_killed(view)
                && !view.holds.iter().any(|hold| match hold.kind {
                    HoldKind::Pause { until } => until.is_none_or(|until| boundary.at < until),
                    HoldKind::Skip { trading_date } => trading_date == boundary.trading_date,
                })
        }
    }
}

/// When a script starts next of which nothing is under way; None = nobody knows: it is disabled, paused until it is resumed, or kept by the
/// kill file.
pub(super) fn next_start(
    spec: &ScriptSpec,
    calendar: &Calendar,
    view: &View,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    if !spec.enabled || is_killed(view) {
        return None;
    }
    let mut free = now;
    let mut skipped = Vec::new();
    for hold in &view.holds {
        match hold.kind {
            HoldKind::Pause { until: None } => return None,
            HoldKind::Pause { until: Some(until) } => free = free.max(until),
            HoldKind::Skip { trading_date } => skipped.push(trading_date),
        }
    }
    let coming = windows(&spec.window, calendar, now).take(LOOKED_AT);
    // In one that is open its run is over, or it would be under way.
    let mut coming = coming.filter(|window| now < window.start && !skipped.contains(&window.trading_date));
    coming.find_map(|window| Some(window.start.max(free)).filter(|at| *at < window.stop))
}

/// A pause may reach over many windows; two years of them are enough.
const LOOKED_AT: usize = 500;

/// What is held by nobody's pause is held by the kill file.
fn is_killed(view: &View) -> bool {
    let is_pause = |hold: &Hold| matches!(hold.kind, HoldKind::Pause { .. });
    view.state == StateName::Paused && !view.holds.iter().any(is_pause)
}

/// There is a process, or there will be one again.
fn is_under_way(view: &View) -> bool {
    let tries_again = view.state == StateName::Failed && view.next.is_some();
    view.is_live() || tries_again || matches!(view.state, StateName::Waiting | StateName::Backoff)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::attempt::AttemptId;
    use crate::domain::lifecycle::State;
    use crate::domain::operator::By;

    fn at(hour: u32) -> DateTime<Utc> {
        format!("2026-11-25T{hour:02}:00:00Z").parse().unwrap()
    }

    fn planned(kind: BoundaryKind, hour: u32, script: &str) -> Boundary {
        Boundary { at: at(hour), kind, script: ScriptName::new(script).ok(), trading_date: at(hour).date_naive() }
    }

    /// A script that was not looked at yet.
    fn facts(change: impl FnOnce(&mut View)) -> Facts {
        let spec = ScriptSpec::with_defaults("demo", "/bin/true");
        let mut view = State::default().view(&spec);
        change(&mut view);
        Facts { spec: Arc::new(spec), view: Arc::new(view), since: at(0), pending: vec![] }
    }

    fn seen(planned: &[Boundary], facts: &Facts) -> Vec<(BoundaryKind, DateTime<Utc>)> {
        foreseen(planned, [facts], at(12)).into_iter().map(|boundary| (boundary.kind, boundary.at)).collect()
    }

    fn hold(kind: HoldKind) -> Facts {
        let by = By { who: "me".to_owned(), reason: String::new() };
        facts(|view| view.holds = vec![Hold { kind, by, at: at(0) }])
    }

    #[test]
    fn what_is_over_is_not_stopped_and_what_runs_late_has_its_own_limit() {
        let plan = [planned(BoundaryKind::Deadline, 15, "demo"), planned(BoundaryKind::Stop, 21, "demo")];
        let over = facts(|view| (view.state, view.trading_date) = (StateName::Finished, Some(at(0).date_naive())));
        assert!(seen(&plan, &over).is_empty());
        let running = facts(|view| {
            let (script, trading_date) = (ScriptName::new("demo").unwrap(), at(0).date_naive());
            view.state = StateName::Running;
            view.live = Some(AttemptId { script, trading_date, number: 1 });
            (view.trading_date, view.deadline) = (Some(trading_date), Some(at(17)));
        });
        assert_eq!(seen(&plan, &running), [(BoundaryKind::Deadline, at(17)), (BoundaryKind::Stop, at(21))]);
    }

    #[test]
    fn what_is_held_does_not_start_and_everything_else_does() {
        let plan = [
            planned(BoundaryKind::Start, 13, "demo"),
            planned(BoundaryKind::Open, 14, ""),
            planned(BoundaryKind::Start, 15, "else"),
        ];
        let others = [(BoundaryKind::Open, at(14)), (BoundaryKind::Start, at(15))];
        assert_eq!(seen(&plan, &hold(HoldKind::Pause { until: None })), others);
        assert_eq!(seen(&plan, &hold(HoldKind::Pause { until: Some(at(14)) })), others);
        assert_eq!(seen(&plan, &hold(HoldKind::Skip { trading_date: at(0).date_naive() })), others);
        for free in [
            HoldKind::Pause { until: Some(at(13)) },
            HoldKind::Skip { trading_date: at(0).date_naive().succ_opt().unwrap() },
        ] {
            assert_eq!(seen(&plan, &hold(free)).len(), 3);
        }
        assert_eq!(seen(&plan, &facts(|_| {})).len(), 3);
    }

    /// Its windows are those of the default: 08:30 to 16:00 in New York.
    fn starts(view: &View, now: &str) -> Option<String> {
        let spec = ScriptSpec::with_defaults("demo", "/bin/true");
        let calendar = Calendar::builtin("XNYS").unwrap();
        let at = next_start(&spec, &calendar, view, now.parse().unwrap())?;
        Some(at.format("%m-%d %H:%M").to_string())
    }

    #[test]
    fn what_is_over_says_when_it_starts_again_and_what_is_held_when_it_may() {
        let next = |facts: Facts, now| starts(&facts.view, now);
        const NIGHT: &str = "2026-11-25T03:00:00Z";
        const NOON: &str = "2026-11-25T17:00:00Z";
        assert_eq!(next(facts(|_| {}), NIGHT).as_deref(), Some("11-25 13:30"));
        let over = || facts(|view| view.state = StateName::Finished);
        assert_eq!(next(over(), NOON).as_deref(), Some("11-27 13:30"), "over the holiday");
        let skip = |date: &str| hold(HoldKind::Skip { trading_date: date.parse().unwrap() });
        assert_eq!(next(skip("2026-11-25"), NIGHT).as_deref(), Some("11-27 13:30"));
        let pause = |until: &str| hold(HoldKind::Pause { until: until.parse().ok() });
        assert_eq!(next(pause("2026-11-25T15:00:00Z"), NIGHT).as_deref(), Some("11-25 15:00"), "within the window");
        assert_eq!(next(pause("2026-11-25T22:00:00Z"), NIGHT).as_deref(), Some("11-27 13:30"), "after it");
        assert_eq!(next(pause("resumed"), NIGHT), None);
        assert_eq!(next(facts(|view| view.state = StateName::Paused), NIGHT), None, "the kill file");
    }
}
