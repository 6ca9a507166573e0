//! What an operator's orders, the kill file and a changed configuration mean in each state.
//!
//! Orders on one script are served in the order in which they came. One that needs the script at rest (`start`, `restart`) waits for the end
//! of a stop in progress, and those behind it wait with it. Who outranks whom: the kill file > the end of the daemon > disabled > paused >
//! skipped > stopped > the end of the run > the window. `--force` overrules all of these but the first two.

use chrono::{DateTime, NaiveDate, Utc};

use super::{
    Actual, Alarm, Budget, Effect, Goal, Machine, RestartCause, Run, RunResult, StopReason, Wanted, What, Window,
};
use crate::domain::operator::By;
use crate::domain::record::{ActionRecord, Grade, Record};
use crate::domain::timeline::deadline;

/// More orders than this do not wait for one script: whoever sends them is a program gone wild.
const MOST_WAITING: usize = 32;

/// An order to one script.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// By which its answer is known.
    pub ticket: u64,
    /// What.
    pub demand: Demand,
    /// Who, and why.
    pub by: By,
}

/// What is asked of a script.
#[derive(Clone, Debug, PartialEq)]
pub enum Demand {
    /// An attempt, now.
    Start {
        /// Also where it would not run.
        force: bool,
        /// The window that a forced run would belong to, if none is open: the next one, whether the script would sit it out or not.
        outside: Option<Window>,
    },
    /// The end of the run, for its date.
    Stop,
    /// Another process in place of the present one.
    Restart,
    /// No run on the first of these dates that has not begun; a single one is the one that was asked for.
    Skip {
        /// Oldest first.
        dates: Vec<NaiveDate>,
    },
    /// No start and no restart.
    Pause {
        /// Until then; None = until it is lifted.
        until: Option<DateTime<Utc>>,
        /// The same in words, in the zone in which people see it: a script that has no window knows none.
        told: String,
        /// A process is stopped too.
        stop: bool,
    },
    /// The end of pauses, skips and the operator's stop.
    Resume,
}

impl Demand {
    fn verb(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Skip { .. } => "skip",
            Self::Pause { .. } => "pause",
            Self::Resume => "resume",
        }
    }
}

/// An order is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What becomes of it, in words.
    pub message: String,
    /// When it is done.
    pub goal: Goal,
}

pub(super) type Answer = Result<Taken, String>;

pub(super) fn taken(message: impl Into<String>, goal: Goal) -> Answer {
    Ok(Taken { message: message.into(), goal })
}

impl Machine<'_> {
    /// It is served at the end of this same step, if it can be.
    pub(super) fn on_order(&mut self, actual: Actual, order: Order) -> Actual {
        if self.memory.queue.len() >= MOST_WAITING {
            let answer = Err(format!("{MOST_WAITING} orders wait already: wait until they are done"));
            self.effects.push(Effect::Answer { ticket: order.ticket, answer });
        } else {
            self.memory.queue.push_back(order);
        }
        actual
    }

    /// Serves the orders that wait, up to the first that cannot be served yet.
    pub(super) fn serve_waiting(&mut self, mut actual: Actual) -> Actual {
        while let Some(order) = self.memory.queue.pop_front() {
            if !self.may_serve(&actual, &order.demand) {
                self.memory.queue.push_front(order);
                break;
            }
            actual = self.serve(actual, order);
        }
        actual
    }

    fn may_serve(&self, actual: &Actual, demand: &Demand) -> bool {
        match actual {
            // Its answer is the next event.
            Actual::Starting { .. } => false,
            Actual::Stopping { .. } | Actual::Sweeping { .. } => {
                let is_refused = self.wanted == Wanted::Ended || self.memory.killed_by.is_some();
                is_refused || !matches!(demand, Demand::Start { .. } | Demand::Restart)
            }
            _ => true,
        }
    }

    fn serve(&mut self, actual: Actual, order: Order) -> Actual {
        let Order { ticket, demand, by } = order;
        let (verb, date, begin) = (demand.verb(), self.date_of(&actual), self.effects.len());
        let (actual, answer) = match demand {
            Demand::Start { force, outside } => self.order_start(actual, force, outside),
            Demand::Stop => self.order_stop(actual, &by),
            Demand::Restart => self.order_restart(actual, &by),
            Demand::Skip { dates } => self.order_skip(actual, &dates, &by),
            Demand::Pause { until, told, stop } => self.order_pause(actual, (until, &told), stop, &by),
            Demand::Resume => self.order_resume(actual),
        };
        if answer.is_ok() {
            let (who, reason) = (by.who.clone(), by.reason.clone());
            let script = Some(self.spec.name.clone());
            let action = ActionRecord { at: self.now.wall, who, action: verb.to_owned(), script, reason };
            self.records.push(Record::Action(action));
            // Whoever reads the log finds who did it before what was done.
            let attempt = actual.run().map_or(0, |run| run.attempts);
            let what = What::Ordered { verb, by };
            self.effects.insert(begin, Effect::Tell { trading_date: date, attempt, what });
        }
        self.effects.push(Effect::Answer { ticket, answer });
        actual
    }

    fn date_of(&self, actual: &Actual) -> NaiveDate {
        match (actual, &self.wanted) {
            (Actual::Over { trading_date, .. }, _) => *trading_date,
            (_, Wanted::Up(window, _)) if actual.run().is_none() => window.trading_date,
            _ => actual.run().map_or_else(|| self.now.wall.date_naive(), |run| run.window.trading_date),
        }
    }

    /// Why nothing may be started, whatever the state.
    fn may_start(&self, force: bool) -> Result<(), String> {
        if let Some(path) = &self.memory.killed_by {
            return Err(format!("the kill file {path} exists: nothing starts before it is removed"));
        }
        if self.wanted == Wanted::Ended {
            return Err("the daemon ends: nothing starts any more".to_owned());
        }
        if !self.spec.enabled && !force {
            return Err("it is disabled in the configuration: enable it there and reload, or use --force".to_owned());
        }
        match self.memory.holds.pause(self.now.wall) {
            Some(pause) if !force => Err(format!("it is {}: resume it first, or use --force", pause)),
            _ => Ok(()),
        }
    }

    fn order_start(&mut self, actual: Actual, force: bool, outside: Option<Window>) -> (Actual, Answer) {
        if let Err(why) = self.may_start(force) {
            return (actual, Err(why));
        }
        match actual {
            Actual::Running { run, live } => {
                let message = format!("it runs already, PID {}", live.process.pid);
                (Actual::Running { run, live }, taken(message, Goal::Done))
            }
            Actual::Held { ref on, .. } => {
                let why = format!("{on}: end that first");
                (actual, Err(why))
            }
            Actual::Waiting { ref on, .. } if !force => {
                let why = format!("it waits: {on}; --force starts it all the same");
                (actual, Err(why))
            }
            Actual::Paused { run } => self.start_by_hand(run, force),
            Actual::Waiting { run, .. } | Actual::Backoff { run, .. } | Actual::GivenUp { run, .. } => {
                self.disarm_waits();
                self.start_by_hand(run, force)
            }
            Actual::Off | Actual::Over { .. } => self.start_anew(actual, force, outside),
            // Not served in these states unless it is refused, which it has been.
            Actual::Starting { .. } | Actual::Stopping { .. } | Actual::Sweeping { .. } => {
                (actual, Err("it is being started or stopped: try again".to_owned()))
            }
        }
    }

    /// Without a run in progress: the date's run goes on, or a run is forced.
    fn start_anew(&mut self, actual: Actual, force: bool, outside: Option<Window>) -> (Actual, Answer) {
        let open = match &self.wanted {
            Wanted::Up(window, _) if self.now.wall < window.stop => Some(window.clone()),
            Wanted::Up(..) | Wanted::Down | Wanted::Ended => None,
        };
        let is_outside = open.is_none();
        if is_outside && !force {
            let why = "it is outside its window (mho next shows when that opens); --force starts it now, as the run of the next session";
            return (actual, Err(why.to_owned()));
        }
        let has_closed = |window: &Window| self.memory.closed.is_some_and(|date| window.trading_date <= date);
        if is_outside && outside.as_ref().is_some_and(has_closed) {
            return (actual, Err("its window has ended while the order waited: try again".to_owned()));
        }
        let Some(window) = open.or(outside) else {
            return (actual, Err("no session is known that its run could belong to: see mho calendar".to_owned()));
        };
        if !force && let Err(why) = self.may_run_again(window.trading_date) {
            return (actual, Err(why));
        }
        let run = self.reopen(actual, window, is_outside);
        self.start_by_hand(run, force)
    }

    fn may_run_again(&self, date: NaiveDate) -> Result<(), String> {
        use RunResult::{Carried, FinishedEarly, Skipped, Succeeded, WindowEnd};
        if let Some(skip) = self.memory.holds.skip(date) {
            return Err(format!("{date} is {}: resume lifts that, --force starts it all the same", skip));
        }
        match self.memory.result(date) {
            Some(result @ (Succeeded | FinishedEarly | WindowEnd | Carried)) => {
                Err(format!("its run of {date} is over ({}): --force runs it again", result.name()))
            }
            // Without a predecessor's success, or for a reason that is gone: the operator knows.
            Some(Skipped) | Some(_) | None => Ok(()),
        }
    }

    /// The run of this window's date, as far as it is known, with more to come.
    pub(super) fn reopen(&mut self, actual: Actual, window: Window, is_outside: bool) -> Run {
        let date = window.trading_date;
        let known = match actual {
            Actual::Over { run: Some(run), .. } if run.window.trading_date == date => Some(run),
            _ => None,
        };
        let left = self.memory.unfinished.take_if(|left| left.trading_date() == date).map(super::Unfinished::into_run);
        self.memory.doubtful.take_if(|run| run.trading_date() == date);
        self.memory.forget(date);
        let run = known.or(left).unwrap_or_else(|| self.new_run(window.clone()));
        if is_outside {
            self.effects.push(Effect::SetAlarm { alarm: Alarm::ForcedEnd, at: Some(window.stop) });
        }
        let deadline = run.first_start.and_then(|at| deadline(at, self.spec.max_duration, window.stop));
        Run { window, deadline, forced: is_outside, ..run }
    }

    /// A run without an attempt of this daemon; the numbers of an earlier one's are taken.
    pub(super) fn new_run(&self, window: Window) -> Run {
        let date = window.trading_date;
        let attempts = self.memory.spent.filter(|(of, _)| *of == date).map_or(0, |(_, attempts)| attempts);
        Run { attempts, ..Run::new(window) }
    }

    /// A new attempt that no pause, no predecessor and no budget keeps back; with `force` nothing outside does, either. A limit that has passed
    /// counts anew.
    pub(super) fn start_by_hand(&mut self, run: Run, force: bool) -> (Actual, Answer) {
        let run = self.refreshed(run);
        let after = run.attempts;
        let date = run.window.trading_date;
        let message = if run.forced { format!("starting, as the forced run of {date}") } else { "starting".to_owned() };
        let cause = (after > 0).then_some(RestartCause::Operator);
        let actual = if force { self.start_now(run, cause) } else { self.look_outside_first(run, cause, true) };
        (actual, taken(message, Goal::Up { after }))
    }

    /// An operator has given it a new beginning.
    pub(super) fn refreshed(&mut self, run: Run) -> Run {
        let mut run = Run { budget: Budget::default(), ends: None, words: String::new(), ..run };
        if run.deadline.is_some_and(|at| at <= self.now.wall) {
            run.deadline = deadline(self.now.wall, self.spec.max_duration, run.window.stop);
        }
        self.set_alarms(&run);
        run
    }

    fn order_restart(&mut self, actual: Actual, by: &By) -> (Actual, Answer) {
        let Actual::Running { mut run, live } = actual else { return self.order_start(actual, false, None) };
        if let Some(pause) = self.memory.holds.pause(self.now.wall) {
            let why = format!("it is {}, and would not start again: resume it first", pause);
            return (Actual::Running { run, live }, Err(why));
        }
        run.words = format!("restarted by {by}");
        let goal = Goal::Up { after: run.attempts };
        (self.stop(run, live, StopReason::Restart), taken("restarting", goal))
    }

    fn order_stop(&mut self, actual: Actual, by: &By) -> (Actual, Answer) {
        let is_over = matches!(actual, Actual::Over { .. });
        let (actual, goal) = self.end_by_hand(actual, format!("stopped by {by}"));
        let answer = match goal {
            Some(goal) if matches!(&actual, Actual::Over { run: Some(run), .. } if run.forced) => {
                taken("stopped; its next window opens all the same: skip or pause keeps it from starting then", goal)
            }
            Some(Goal::Done) => taken("stopped; it had no process", Goal::Done),
            Some(goal) => taken("stopping", goal),
            None => {
                let what = if is_over { "its run is over already" } else { "it is outside its window" };
                let hint = "skip keeps it from running on its next date, pause until you resume it";
                taken(format!("nothing to stop: {what}; {hint}"), Goal::Done)
            }
        };
        (actual, answer)
    }

    /// Ends the run for its date, whatever it is at; None if there is none.
    pub(super) fn end_by_hand(&mut self, mut actual: Actual, words: String) -> (Actual, Option<Goal>) {
        self.grade = Grade::PowerSafe;
        if let Some(run) = actual.run_mut() {
            run.words.clone_from(&words);
        }
        match actual {
            Actual::Running { run, live } => (self.stop(run, live, StopReason::Operator), Some(Goal::Down)),
            Actual::Stopping { run, live, stop } => {
                (Actual::Stopping { run, live, stop: stop.also(StopReason::Operator) }, Some(Goal::Down))
            }
            // It ended by itself, and that counts; but no attempt follows.
            Actual::Sweeping { run, live, ended, force } => {
                let run = Run { ends: Some(StopReason::Operator), ..run };
                (Actual::Sweeping { run, live, ended, force }, Some(Goal::Down))
            }
            Actual::Waiting { run, .. }
            | Actual::Paused { run }
            | Actual::Backoff { run, .. }
            | Actual::GivenUp { run, .. } => (self.end(run, RunResult::StoppedByOperator, words), Some(Goal::Done)),
            Actual::Held { run, cause, .. } => {
                let run = self.take_back(run, cause);
                (self.end(run, RunResult::StoppedByOperator, words), Some(Goal::Done))
            }
            // Orders are not served before its answer; the kill file and a reload find it there.
            Actual::Starting { run, attempt, cause, held } => {
                let run = Run { ends: Some(StopReason::Operator), ..run };
                (Actual::Starting { run, attempt, cause, held }, Some(Goal::Down))
            }
            Actual::Off | Actual::Over { .. } => (actual, None),
        }
    }
}
