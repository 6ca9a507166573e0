//! What operators forbid, and how that ends: skips, pauses, the kill file; and what a changed configuration means for a run.

use chrono::{DateTime, NaiveDate, Utc};

use super::orders::{Answer, taken};
use super::waits::WaitsFor;
use super::{Actual, Alarm, Effect, Goal, Machine, RestartCause, Run, RunResult, Timer, Wanted, What, Window};
use crate::domain::operator::{By, Hold, HoldKind};
use crate::domain::record::{Grade, Record};
use crate::domain::timeline::deadline;

impl Machine<'_> {
    pub(super) fn order_skip(&mut self, actual: Actual, dates: &[NaiveDate], by: &By) -> (Actual, Answer) {
        for (at, date) in dates.iter().enumerate() {
            let left = self.memory.unfinished.as_ref().map(super::Unfinished::run);
            let run = if actual.is_at_work_on(*date) { actual.run() } else { left };
            // An attempt that was refused, because somebody else runs the script, has not begun.
            let refused = u32::from(matches!(actual, Actual::Held { .. }));
            let has_begun = |run: &Run| run.window.trading_date == *date && run.attempts > refused;
            if run.is_some_and(has_begun) {
                return (actual, Err(format!("its run of {date} has begun: use stop")));
            }
            match self.memory.result(*date) {
                Some(_) if at + 1 < dates.len() => {}
                Some(result) => return (actual, Err(format!("its run of {date} is over: {}", result.name()))),
                None => return self.skip(actual, *date, by),
            }
        }
        (actual, Err("no trading date is known that it could skip: see mho calendar".to_owned()))
    }

    fn skip(&mut self, actual: Actual, trading_date: NaiveDate, by: &By) -> (Actual, Answer) {
        self.forbid(HoldKind::Skip { trading_date }, by);
        let words = format!("skipped by {by}");
        let message = format!("{trading_date} is skipped; resume lifts that");
        let actual = match actual {
            Actual::Waiting { run, .. } | Actual::Paused { run } if run.window.trading_date == trading_date => {
                self.end(run, RunResult::Skipped, words)
            }
            Actual::Held { run, cause, .. } if run.window.trading_date == trading_date => {
                let run = self.take_back(run, cause);
                self.end(run, RunResult::Skipped, words)
            }
            other => other,
        };
        (actual, taken(message, Goal::Done))
    }

    pub(super) fn order_pause(
        &mut self,
        actual: Actual,
        (until, told): (Option<DateTime<Utc>>, &str),
        stop: bool,
        by: &By,
    ) -> (Actual, Answer) {
        self.forbid(HoldKind::Pause { until }, by);
        self.effects.push(Effect::SetAlarm { alarm: Alarm::PauseEnds, at: until });
        let has_process = matches!(actual, Actual::Running { .. } | Actual::Stopping { .. } | Actual::Sweeping { .. });
        if stop && has_process {
            let (actual, goal) = self.end_by_hand(actual, format!("paused by {by}"));
            return (actual, taken(format!("paused {told}; stopping"), goal.unwrap_or(Goal::Done)));
        }
        let actual = self.pause_waits(actual);
        let live = if has_process { "; its process runs on, --stop ends it too" } else { "" };
        (actual, taken(format!("paused {told}{live}"), Goal::Done))
    }

    /// What waits for its first or next attempt waits for the end of the pause, or of the kill file.
    fn pause_waits(&mut self, actual: Actual) -> Actual {
        match actual {
            Actual::Waiting { run, .. } | Actual::Backoff { run, .. } | Actual::GivenUp { run, .. } => {
                self.pause_run(run)
            }
            Actual::Held { run, cause, .. } => {
                let run = self.take_back(run, cause);
                self.pause_run(run)
            }
            other => other,
        }
    }

    /// No attempt of this run begins for the time being.
    pub(super) fn pause_run(&mut self, run: Run) -> Actual {
        self.disarm_waits();
        let until = self.memory.holds.pause(self.now.wall).and_then(|pause| match pause.kind {
            HoldKind::Pause { until } => until,
            HoldKind::Skip { .. } => None,
        });
        if until.is_some() {
            self.effects.push(Effect::SetAlarm { alarm: Alarm::PauseEnds, at: until });
        }
        if let Some(reason) = self.held_back() {
            self.tell(&run, What::Waiting { reason });
        }
        Actual::Paused { run }
    }

    /// What keeps every attempt from beginning, in words.
    pub(super) fn held_back(&self) -> Option<String> {
        if let Some(path) = &self.memory.killed_by {
            return Some(format!("the kill file {path} exists"));
        }
        self.memory.holds.pause(self.now.wall).map(|pause| pause.to_string())
    }

    pub(super) fn order_resume(&mut self, actual: Actual) -> (Actual, Answer) {
        let was_held = self.memory.holds.lift();
        if was_held {
            self.note_holds();
            self.effects.push(Effect::SetAlarm { alarm: Alarm::PauseEnds, at: None });
        }
        let open = match &self.wanted {
            Wanted::Up(window, _) if self.now.wall < window.stop => Some(window.clone()),
            Wanted::Up(..) | Wanted::Down | Wanted::Ended => None,
        };
        let message = if was_held { "resumed" } else { "nothing is paused, skipped or stopped by an operator" };
        match (actual, open) {
            (Actual::Over { trading_date, result: RunResult::StoppedByOperator, reason, run }, Some(window))
                if window.trading_date == trading_date && self.held_back().is_none() =>
            {
                let over = Actual::Over { trading_date, result: RunResult::StoppedByOperator, reason, run };
                let run = self.reopen(over, window, false);
                let run = self.refreshed(run);
                let after = run.attempts;
                // It is as if it had never been stopped: whom it waits for it waits for again.
                let actual = match after {
                    0 => self.start_when_free(run, None),
                    _ => self.start(run, Some(RestartCause::Operator)),
                };
                (actual, taken("resumed", Goal::Up { after }))
            }
            (actual @ Actual::Over { .. }, _) => (self.begin_again(actual), taken(message, Goal::Done)),
            (actual, _) => (self.unpause(actual), taken(message, Goal::Done)),
        }
    }

    /// Nothing keeps a paused run back any more, unless something else does.
    pub(super) fn unpause(&mut self, actual: Actual) -> Actual {
        match actual {
            Actual::Paused { run } if self.held_back().is_none() && self.wanted != Wanted::Ended => {
                if run.attempts == 0 {
                    self.start_when_free(run, None)
                } else {
                    self.start(run, Some(RestartCause::Operator))
                }
            }
            other => other,
        }
    }

    pub(super) fn on_pause_end(&mut self, actual: Actual) -> Actual {
        self.memory.holds.retain_current(self.now.wall, None);
        self.unpause(actual)
    }

    /// The window of a run that was forced outside of it ends, and no boundary of its own tells of that.
    pub(super) fn on_forced_end(&mut self, actual: Actual) -> Actual {
        match actual.run().filter(|run| self.is_outside(run)) {
            Some(run) => {
                let date = run.window.trading_date;
                self.on_window_close(actual, date)
            }
            None => actual, // over, or its window has opened
        }
    }

    /// It was forced, and its window is not open (yet).
    pub(super) fn is_outside(&self, run: &Run) -> bool {
        let is_open = |window: &Window| window.trading_date == run.window.trading_date;
        run.forced && !matches!(&self.wanted, Wanted::Up(window, _) if is_open(window))
    }

    pub(super) fn on_kill_file(&mut self, actual: Actual, path: Option<String>) -> Actual {
        let Some(path) = path else {
            self.memory.killed_by = None;
            return self.unpause(actual);
        };
        let words = format!("stopped by the kill file {path}");
        self.memory.killed_by = Some(path);
        match actual {
            Actual::Running { .. } | Actual::Stopping { .. } | Actual::Sweeping { .. } | Actual::Starting { .. } => {
                self.end_by_hand(actual, words).0
            }
            other => self.pause_waits(other),
        }
    }

    pub(super) fn on_retired(&mut self, actual: Actual, why: String) -> Actual {
        if self.wanted != Wanted::Ended {
            self.wanted = Wanted::Down;
        }
        self.end_by_hand(actual, why).0
    }

    /// The rest finds the new configuration when it comes to it.
    pub(super) fn on_respecified(&mut self, mut actual: Actual) -> Actual {
        if let Some(run) = actual.run_mut().filter(|run| run.first_start.is_some()) {
            let first = run.first_start.unwrap_or(self.now.wall);
            let after = deadline(first, self.spec.max_duration, run.window.stop);
            if run.deadline != after {
                run.deadline = after;
                let run = run.clone();
                self.set_alarms(&run);
            }
        }
        match actual {
            // What it waits for may be something else now.
            Actual::Waiting { run, cause, waits: WaitsFor::Outside { by_hand, .. }, .. } => {
                self.effects.push(Effect::Disarm(Timer::Outside));
                self.look_outside_first(run, cause, by_hand)
            }
            Actual::Waiting { run, on, cause, waits } => self.go_on_waiting(run, on, cause, waits),
            Actual::Running { run, live } => {
                self.set_warning(&run);
                self.watch_as_configured(run, live)
            }
            over @ Actual::Over { .. } => self.begin_again(over),
            other => other,
        }
    }

    fn forbid(&mut self, kind: HoldKind, by: &By) {
        self.memory.holds.retain_current(self.now.wall, None);
        self.memory.holds.put(Hold { kind, by: by.clone(), at: self.now.wall });
        self.note_holds();
    }

    fn note_holds(&mut self) {
        let holds = self.memory.holds.iter().cloned().collect();
        self.records.push(Record::Holds { script: Some(self.spec.name.clone()), holds });
        self.grade = Grade::PowerSafe;
    }

    /// Why a whole date, or a window that nobody watched, was not to be begun.
    pub(super) fn held_on(&self, window: &Window) -> Option<String> {
        let skip = self.memory.holds.skip(window.trading_date);
        let is_covered = |pause: &&Hold| match pause.kind {
            HoldKind::Pause { until } => pause.at <= window.start && until.is_none_or(|until| window.stop <= until),
            HoldKind::Skip { .. } => false,
        };
        let hold = skip.or_else(|| self.memory.holds.iter().find(is_covered));
        hold.map(ToString::to_string)
    }
}
