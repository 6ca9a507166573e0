//! Whether a script may start, by what has become of its predecessors on the same trading date.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};

use super::outcome::RunResult;
use super::script::{Condition, Dependency, ScriptName};
use super::timeline::Window;

/// How far a script's run of a trading date has come, as its dependents see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The run's date.
    pub trading_date: NaiveDate,
    /// How far.
    pub progress: Progress,
}

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Waiting for its own predecessors.
    Pending,
    /// There is, or is about to be, a process.
    Live,
    /// There is a process, and it is ready.
    Ready,
    /// It crashed, and will be tried again.
    Retrying {
        /// The next try.
        next_try: Option<DateTime<Utc>>,
    },
    /// It is over.
    Over(RunResult),
    /// It is over, skipped, and that was not meant: something went wrong before it could begin.
    Foiled,
}

impl Progress {
    /// Nothing more comes of it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Over(_) | Self::Foiled)
    }
}

/// So many dates of each predecessor are remembered: windows reach a few days beyond their date at most.
const DATES: usize = 8;

/// What was heard of predecessors, by trading date: one may be at its next date while its dependents still ask for this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standings(BTreeMap<ScriptName, BTreeMap<NaiveDate, Progress>>);

impl Standings {
    /// News of a predecessor.
    pub fn hear(&mut self, script: ScriptName, standing: Standing) {
        let dates = self.0.entry(script).or_default();
        dates.insert(standing.trading_date, standing.progress);
        if dates.len() > DATES {
            dates.pop_first();
        }
    }

    /// The script was ready on this date, when it was last heard of.
    #[must_use]
    pub fn is_ready(&self, script: &ScriptName, date: NaiveDate) -> bool {
        self.of(script, date) == Some(&Progress::Ready)
    }

    /// The date as whose run the process of this date's run lives on, where windows touch; this date, if it does not.
    #[must_use]
    pub fn carried_to(&self, script: &ScriptName, date: NaiveDate) -> NaiveDate {
        let Some(dates) = self.0.get(script) else { return date };
        let is_carried = |date: NaiveDate| dates.get(&date) == Some(&Progress::Over(RunResult::Carried));
        let later = |date: NaiveDate| dates.range(date..).nth(1).map(|(later, _)| *later);
        std::iter::successors(Some(date), |date| later(*date).filter(|_| is_carried(*date))).last().unwrap_or(date)
    }

    /// The run of the script on this date is over, and not as it should be.
    #[must_use]
    pub fn has_failed(&self, script: &ScriptName, date: NaiveDate) -> bool {
        use RunResult::{Failed, Interrupted, Missed, TimeLimit};
        let progress = self.of(script, date);
        matches!(progress, Some(Progress::Over(Failed | Interrupted | Missed | TimeLimit) | Progress::Foiled))
    }

    fn of(&self, script: &ScriptName, date: NaiveDate) -> Option<&Progress> {
        self.0.get(script)?.get(&date)
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Start.
    Go,
    /// Not yet, in words.
    Wait(String),
    /// Not on this date, in words.
    Never(String),
}

/// Whether a script with these dependencies may start in `window`. `standings` is what was heard of predecessors, `absent` names
/// those which do not run on this date.
#[must_use]
pub fn judge(
    depends_on: &[Dependency],
    standings: &Standings,
    absent: &BTreeMap<ScriptName, String>,
    window: &Window,
) -> Verdict {
    let mut wait = None;
    for dependency in depends_on {
        let date = match dependency.condition {
            // The process counts, whatever date it runs for by now.
            Condition::Ready => standings.carried_to(&dependency.script, window.trading_date),
            Condition::Succeeded | Condition::Finished | Condition::Failed => window.trading_date,
        };
        let progress = standings.of(&dependency.script, date);
        match one(dependency, progress, absent.get(&dependency.script), window) {
            Verdict::Go => {}
            Verdict::Wait(reason) => wait = wait.or(Some(reason)),
            never @ Verdict::Never(_) => return never,
        }
    }
    wait.map_or(Verdict::Go, Verdict::Wait)
}

fn one(dependency: &Dependency, progress: Option<&Progress>, absent: Option<&String>, window: &Window) -> Verdict {
    let name = &dependency.script;
    let ended = |result: RunResult| match satisfies(result, dependency.condition) {
        true => Verdict::Go,
        false => {
            Verdict::Never(format!("{name} ended as {}, needed is {}", result.name(), dependency.condition.name()))
        }
    };
    match (progress, absent) {
        (Some(Progress::Over(result)), _) => ended(*result),
        (Some(Progress::Foiled), _) => ended(RunResult::Skipped),
        (Some(Progress::Retrying { next_try: Some(at) }), _) => {
            Verdict::Wait(format!("{name} failed, next try {}", at.with_timezone(&window.zone).format("%H:%M")))
        }
        (Some(Progress::Retrying { next_try: None }), _) => {
            Verdict::Wait(format!("{name} failed, will be tried again"))
        }
        // The same words for all of these: a wait is told once, not at every turn of the other script.
        (Some(Progress::Ready), _) if dependency.condition == Condition::Ready => Verdict::Go,
        (Some(Progress::Ready | Progress::Live | Progress::Pending), _) => not_yet(dependency),
        (None, Some(_)) if dependency.condition == Condition::Finished => Verdict::Go,
        (None, Some(reason)) => Verdict::Never(format!("{name} does not run today: {reason}")),
        (None, None) => not_yet(dependency),
    }
}

fn not_yet(Dependency { script, condition }: &Dependency) -> Verdict {
    let is = if *condition == Condition::Ready { "is" } else { "has" };
    Verdict::Wait(format!("{script} {is} not {} yet", condition.name()))
}

fn satisfies(result: RunResult, condition: Condition) -> bool {
    use RunResult::{Carried, Failed, FinishedEarly, Running, Succeeded, TimeLimit, WindowEnd};
    match condition {
        // A carried run did its day: its window ended, only its process goes on.
        Condition::Succeeded => matches!(result, Succeeded | FinishedEarly | WindowEnd | Carried),
        Condition::Finished => result != Running,
        Condition::Failed => matches!(result, Failed | TimeLimit),
        // Only what lives is ready; what is carried lives on as the run of another date.
        Condition::Ready => false,
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use chrono_tz::America::New_York;

    use super::*;

    fn window() -> Window {
        let at = |h| Utc.with_ymd_and_hms(2026, 11, 23, h, 30, 0).unwrap();
        Window {
            trading_date: at(13).date_naive(),
            start: at(13),
            stop: at(21),
            open: at(14),
            close: at(21),
            early_close: false,
            zone: New_York,
            joined: false,
        }
    }

    fn verdict(condition: Condition, progress: Option<Progress>, absent: Option<&str>) -> Verdict {
        let x = ScriptName::new("x").unwrap();
        let date = window().trading_date;
        let mut standings = Standings::default();
        if let Some(progress) = progress {
            standings.hear(x.clone(), Standing { trading_date: date, progress });
        }
        let absent = absent.map(|reason| (x.clone(), reason.to_owned())).into_iter().collect();
        judge(&[Dependency { script: x, condition }], &standings, &absent, &window())
    }

    #[test]
    fn each_condition_takes_the_results_it_names_and_no_other() {
        use RunResult::*;
        let all = [
            Succeeded,
            FinishedEarly,
            WindowEnd,
            StoppedByOperator,
            TimeLimit,
            Failed,
            Skipped,
            Missed,
            Interrupted,
            Carried,
        ];
        for result in all {
            for (condition, good) in [
                (Condition::Succeeded, matches!(result, Succeeded | FinishedEarly | WindowEnd | Carried)),
                (Condition::Finished, true),
                (Condition::Failed, matches!(result, Failed | TimeLimit)),
            ] {
                let found = verdict(condition, Some(Progress::Over(result)), None);
                assert_eq!(found == Verdict::Go, good, "{condition:?} {result:?}");
                assert!(good || matches!(found, Verdict::Never(_)));
            }
        }
    }

    #[test]
    fn a_failed_predecessor_that_will_be_tried_again_is_waited_for() {
        let next_try = Some(Utc.with_ymd_and_hms(2026, 11, 23, 14, 30, 0).unwrap());
        let found = verdict(Condition::Succeeded, Some(Progress::Retrying { next_try }), None);
        assert_eq!(found, Verdict::Wait("x failed, next try 09:30".to_owned()));
    }

    #[test]
    fn a_predecessor_without_a_run_today_skips_its_dependents_unless_any_end_will_do() {
        let reason = "x does not run today: weekend".to_owned();
        assert_eq!(verdict(Condition::Succeeded, None, Some("weekend")), Verdict::Never(reason));
        assert_eq!(verdict(Condition::Finished, None, Some("weekend")), Verdict::Go);
    }

    #[test]
    fn a_known_result_outranks_absence() {
        let over = Some(Progress::Over(RunResult::Succeeded));
        assert_eq!(verdict(Condition::Succeeded, over, Some("its window was over")), Verdict::Go);
    }

    #[test]
    fn a_result_of_another_date_says_nothing() {
        let x = ScriptName::new("x").unwrap();
        let old = Standing {
            trading_date: window().trading_date.pred_opt().unwrap(),
            progress: Progress::Over(RunResult::Succeeded),
        };
        let depends_on = [Dependency { script: x.clone(), condition: Condition::Succeeded }];
        let mut standings = Standings::default();
        standings.hear(x, old);
        let found = judge(&depends_on, &standings, &BTreeMap::new(), &window());
        assert_eq!(found, Verdict::Wait("x has not succeeded yet".to_owned()));
    }
}
