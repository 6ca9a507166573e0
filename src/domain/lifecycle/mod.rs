//! THE machine of a script: `step(state, event, spec, now) -> (state, effects)`.
//!
//! Two values, never mixed. *Wanted* is the level that the market clock and the root last gave: up for a window, down, or ended. *Actual* is
//! what is: off, waiting, starting, running, stopping, sweeping, in backoff, given up, over.
//!
//! ```text
//!                      ┌────────────── rearm, cooldown ───────────────┐
//!  off ─ window ─> waiting ─ ready ─> starting ─ pid ─> running ─ crash ─> backoff / given up
//!   ^                 |                   ^                |    └ leader gone, others left ─> sweeping ─> (as its exit says)
//!   |                 | never             └── delay over ──┼──────────────────────────────────────────────┘
//!   └── next date ─ over <─────────────── stopping <────── stop decided
//! ```
//!
//! Who outranks whom: the end of the daemon > the end of the run > the window. A stop in progress is taken over by a stronger reason and by
//! no weaker one; if any reason given ends the run, the run is over whatever took over later. An exit after the stop was decided is
//! `stopped`; one before it is an ordinary exit. A date that has a result never runs again, whatever the clock does.
//!
//! `events.rs` and `clock_events.rs` write out what each event means in each state, `orders.rs` and `holds.rs` what an operator's word does; `starts.rs` and `moves.rs` hold the moves that they share; `resume.rs` is
//! about runs that outlive their watcher; `view.rs` tells the state to people. What must not live here: clocks, processes, mailboxes.
//!
//! What must be remembered is an effect, and the first one of its step: a shell that performs effects in order never starts a process that
//! the journal does not know of, and a run that is over is recorded before anybody hears of it.

mod clock_events;
mod events;
mod goal;
mod health;
mod holds;
mod moves;
mod orders;
mod resume;
mod starts;
#[cfg(test)]
mod tests;
mod view;
mod waits;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::attempt::{AttemptEnd, AttemptId, LaunchContext, ProcessEvent, ProcessId, RestartCause};
use super::dependency::{Standing, Standings};
use super::health::{ReadySpec, Signs};
use super::notice::What;
use super::operator::Holds;
use super::outcome::{AttemptResult, Exit, RunResult, Signal, SpawnError, StopReason};
use super::record::{Grade, Record};
use super::restart::Budget;
use super::script::{ScriptName, ScriptSpec};
use super::time::{Mono, Now};
use super::timeline::{Alarm, Arrival, ClockEvent, Window};
use health::Care;
use resume::Step;
use waits::WaitsFor;

pub use goal::{Goal, Progress};
pub use orders::{Demand, Order, Taken};
pub use resume::Unfinished;
pub use view::{NextAction, StateName, View};

/// How many dates' results are remembered; the journal knows the rest.
const MEMORY: usize = 32;

/// What a script's machine knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    wanted: Wanted,
    actual: Actual,
    memory: Memory,
}

/// The level that was last given.
#[derive(Clone, Debug, Default, PartialEq)]
enum Wanted {
    /// No window is open.
    #[default]
    Down,
    /// This window is open, and it was heard of on time or late.
    Up(Window, Arrival),
    /// The daemon ends: nothing starts any more.
    Ended,
}

/// What is.
#[derive(Clone, Debug, Default, PartialEq)]
enum Actual {
    /// Nothing to do, and nothing to tell of a date.
    #[default]
    Off,
    /// The window is open; something outside must come first.
    Waiting { run: Run, on: String, cause: Option<RestartCause>, waits: WaitsFor },
    /// The window is open, or was forced; an operator forbids the next attempt.
    Paused { run: Run },
    /// A spawn was ordered; its answer is the next event. `held`: it was refused before, and why.
    Starting { run: Run, attempt: AttemptId, cause: Option<RestartCause>, held: Option<String> },
    /// A spawn was refused, because a process of this script that is not ours is in the way; it is ordered again each second.
    Held { run: Run, attempt: AttemptId, cause: Option<RestartCause>, on: String },
    /// There is a process, and it is wanted.
    Running { run: Run, live: Live },
    /// There is a process, or what it left, and it is not wanted any more.
    Stopping { run: Run, live: Live, stop: Stop },
    /// The leader ended by itself; others of its group or escapees are being ended before that counts.
    Sweeping { run: Run, live: Live, ended: Ended, force: Force },
    /// The next attempt comes after a delay, or at the re-arm.
    Backoff { run: Run, after: AttemptId, next_try: DateTime<Utc>, restart: u32 },
    /// The budget is spent; single tries remain.
    GivenUp { run: Run, after: AttemptId, next_try: DateTime<Utc> },
    /// The run of this date is over.
    Over { trading_date: NaiveDate, result: RunResult, reason: String, run: Option<Run> },
}

/// One script on one trading date, while it is not over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its window.
    window: Window,
    /// Attempts so far.
    attempts: u32,
    /// Automatic restarts so far.
    restarts: u32,
    /// When the first attempt started.
    first_start: Option<DateTime<Utc>>,
    /// When `max_duration` ends it; None = before that its window does.
    deadline: Option<DateTime<Utc>>,
    /// Backoff and budget.
    budget: Budget,
    /// It took over a live run or its backoff from the date before.
    carried: bool,
    /// How the latest attempt ended.
    last_exit: Option<AttemptEnd>,
    /// A stop that ends the run was decided, and its watcher died before the stop was complete.
    ends: Option<StopReason>,
    /// Why an operator ends or ended it, in words.
    #[serde(default)]
    words: String,
    /// An operator began it outside its window. What ends it there does not count when its window opens.
    #[serde(default)]
    forced: bool,
}

/// A process.
#[derive(Clone, Debug, PartialEq)]
struct Live {
    attempt: AttemptId,
    process: ProcessId,
    since: Mono,
    started_at: DateTime<Utc>,
    care: Care,
}

/// How and when a leader ended by itself. What it left behind may take its time: that is no life of the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Ended {
    exit: Exit,
    lived: Duration,
}

/// A stop in progress.
#[derive(Clone, Debug, PartialEq)]
struct Stop {
    /// The strongest reason so far.
    reason: StopReason,
    /// The strongest so far that ends the run for its date.
    ends: Option<StopReason>,
    /// How far it has gone.
    force: Force,
    /// The leader's exit, while others of its group live on.
    exit: Option<Exit>,
}

/// How far the end of a process has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Force {
    /// It was asked; SIGKILL follows then, on the market clock as it goes now.
    Asked { kill_at: DateTime<Utc> },
    /// The stop command runs; the signal follows it, and SIGKILL in any case then. `gone`: nothing is left that could be signalled.
    Commanded { kill_at: DateTime<Utc>, gone: bool },
    /// SIGKILL was sent.
    Killed,
    /// Something outlived SIGKILL.
    Survived,
}

/// What outlives a run.
#[derive(Clone, Debug, Default, PartialEq)]
struct Memory {
    /// Results by date, newest last: a date that stands here never runs again.
    results: VecDeque<(NaiveDate, RunResult)>,
    /// The latest run, if it was skipped and nobody had planned that.
    foiled: Option<NaiveDate>,
    /// Looks at what is outside, so far.
    looks: u32,
    /// A run that was cut off by the end of its watcher, and goes on when its window is (still) open.
    unfinished: Option<Unfinished>,
    /// The latest run that is over only because its window ended, or seemed to: it goes on if the calendar gives the window more time, or if
    /// the clock that said so was wrong.
    doubtful: Option<Unfinished>,
    /// What was heard of predecessors.
    standings: Standings,
    /// A critical script has failed, in words: the daemon must end.
    escalated: Option<String>,
    /// Of the window that is open: predecessors without a run, and why.
    absent: BTreeMap<ScriptName, String>,
    /// What an operator forbids.
    holds: Holds,
    /// The kill file that exists: it outranks everything but the end of the daemon.
    killed_by: Option<String>,
    /// Orders that wait for the end of a stop in progress, or for those before them.
    queue: VecDeque<Order>,
    /// The latest window of which this watcher heard that it has ended: an order that waited may be about it.
    closed: Option<NaiveDate>,
    /// How many attempts the latest run had that an earlier daemon saw the end of: their numbers are taken.
    spent: Option<(NaiveDate, u32)>,
}

/// What can happen to a script.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The market clock's word.
    Clock(ClockEvent),
    /// The answer to `Effect::Spawn`: the leader.
    Spawned {
        /// Which attempt.
        attempt: AttemptId,
        /// The leader.
        process: ProcessId,
    },
    /// The answer to `Effect::Spawn`: no process.
    SpawnFailed {
        /// Which attempt.
        attempt: AttemptId,
        /// Why.
        error: SpawnError,
    },
    /// The answer to `Effect::Spawn`: another process of this script is in the way.
    Busy {
        /// Which attempt.
        attempt: AttemptId,
        /// Who, in words.
        on: String,
    },
    /// What became of a process.
    Process(ProcessEvent),
    /// A timer that was armed has run out.
    Timer {
        /// Which.
        timer: Timer,
        /// For which attempt it was armed.
        attempt: AttemptId,
    },
    /// The answer to `Effect::Probe`: it is ready, or in words why it is not.
    Probed {
        /// Which attempt.
        attempt: AttemptId,
        /// What the probe met; None = it holds.
        refused: Option<String>,
    },
    /// The answer to `Effect::LookAtSigns`.
    Signs {
        /// Which attempt.
        attempt: AttemptId,
        /// Which timer wanted to know.
        timer: Timer,
        /// What was seen.
        signs: Signs,
    },
    /// The answer to `Effect::LookOutside`.
    Outside {
        /// Which look.
        look: u32,
        /// The first that does not answer, and why; None = all do.
        refused: Option<String>,
    },
    /// The answer to `Effect::RunStopCommand`.
    StopCommandEnded {
        /// For which attempt.
        attempt: AttemptId,
        /// What went wrong with it, in words.
        failed: Option<String>,
    },
    /// News of a predecessor.
    Standing {
        /// Which.
        script: ScriptName,
        /// How far its run has come.
        standing: Standing,
    },
    /// An operator's word.
    Order(Order),
    /// The kill file appeared (its path) or went.
    KillFile(Option<String>),
    /// The script is not configured any more, or disabled: its run ends, for this reason in words, and nothing of it starts.
    Retired {
        /// Why.
        why: String,
    },
    /// The configuration has changed: from this step on, this one is passed as `spec`.
    Respecified(Arc<ScriptSpec>),
    /// The daemon ends: start nothing any more. What runs goes on until its turn to stop comes.
    StartNothing,
    /// The daemon ends: stop, and start nothing any more.
    Shutdown,
    /// The daemon ends at once: SIGKILL.
    Kill,
}

/// The timers of a script, on the monotonic clock; one slot each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timer {
    /// From the stop signal to SIGKILL.
    Grace,
    /// From a crash to the next attempt.
    Backoff,
    /// From giving up, or a failed try, to the next try.
    Cooldown,
    /// From a refused spawn to the next look.
    Held,
    /// From one look at what is outside to the next.
    Outside,
    /// From one probe to the next.
    Ready,
    /// From the start to the end of the patience with one that is not ready.
    ReadyTimeout,
    /// To the next look at when it printed something.
    Silence,
    /// To the next look at its heartbeat.
    Heartbeat,
}

/// What is to be done. The shell performs effects in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Remember, before anything else of this step is done: the first effect, if there is anything to remember.
    Record {
        /// How well.
        grade: Grade,
        /// What.
        records: Vec<Record>,
    },
    /// Start a process; the answer is the next event.
    Spawn {
        /// Which attempt.
        attempt: AttemptId,
        /// What it is told.
        context: LaunchContext,
    },
    /// Signal, then SIGCONT, to group and escapees.
    Signal {
        /// Which attempt.
        attempt: AttemptId,
        /// The stop signal.
        signal: Signal,
    },
    /// SIGKILL to group and escapees.
    Kill {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// A signal to the leader alone, of an attempt that runs on.
    SignalLeader {
        /// Which attempt.
        attempt: AttemptId,
        /// Which signal.
        signal: Signal,
    },
    /// Run the stop command, for so long at most; the answer follows.
    RunStopCommand {
        /// For which attempt.
        attempt: AttemptId,
        /// Then it is killed.
        limit: Duration,
    },
    /// Ask once whether the attempt is ready; the answer follows.
    Probe {
        /// Which attempt.
        attempt: AttemptId,
        /// How to ask.
        ready: Arc<ReadySpec>,
    },
    /// Ask once whether all that is outside answers; the answer follows.
    LookOutside {
        /// The latest attempt, before the one that waits.
        attempt: AttemptId,
        /// The number of the look.
        look: u32,
    },
    /// Look when the attempt was last heard of; the answer is the next event.
    LookAtSigns {
        /// Which attempt.
        attempt: AttemptId,
        /// Which timer wants to know.
        timer: Timer,
    },
    /// Report the last lines of output.
    ReportTail {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// Output goes to another date's file.
    CarryOutput {
        /// Which attempt.
        attempt: AttemptId,
        /// The date.
        trading_date: NaiveDate,
    },
    /// Arm a timer (an armed one of the same kind is replaced).
    Arm {
        /// Which.
        timer: Timer,
        /// From now.
        after: Duration,
        /// For which attempt.
        attempt: AttemptId,
    },
    /// Disarm a timer.
    Disarm(Timer),
    /// Set an alarm on the market clock, or clear it.
    SetAlarm {
        /// Which.
        alarm: Alarm,
        /// When.
        at: Option<DateTime<Utc>>,
    },
    /// What becomes of an order.
    Answer {
        /// Whose.
        ticket: u64,
        /// It is taken, or why not.
        answer: Result<Taken, String>,
    },
    /// Tell the world.
    Tell {
        /// The run's date.
        trading_date: NaiveDate,
        /// The latest attempt.
        attempt: u32,
        /// What.
        what: What,
    },
}

impl State {
    /// Nothing lives, and nothing starts any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.wanted == Wanted::Ended && matches!(self.actual, Actual::Off | Actual::Over { .. })
    }
}

impl Actual {
    /// A run of a later date than this is not over.
    fn is_at_work_after(&self, date: NaiveDate) -> bool {
        !matches!(self, Self::Over { .. }) && self.run().is_some_and(|run| run.window.trading_date > date)
    }

    /// A run of this date is not over.
    fn is_at_work_on(&self, date: NaiveDate) -> bool {
        !matches!(self, Self::Over { .. }) && self.run().is_some_and(|run| run.window.trading_date == date)
    }

    fn run_mut(&mut self) -> Option<&mut Run> {
        match self {
            Self::Off | Self::Over { .. } => None,
            Self::Waiting { run, .. }
            | Self::Paused { run }
            | Self::Starting { run, .. }
            | Self::Held { run, .. }
            | Self::Running { run, .. }
            | Self::Stopping { run, .. }
            | Self::Sweeping { run, .. }
            | Self::Backoff { run, .. }
            | Self::GivenUp { run, .. } => Some(run),
        }
    }

    fn run(&self) -> Option<&Run> {
        match self {
            Self::Off => None,
            Self::Waiting { run, .. }
            | Self::Paused { run }
            | Self::Starting { run, .. }
            | Self::Held { run, .. }
            | Self::Running { run, .. }
            | Self::Stopping { run, .. }
            | Self::Sweeping { run, .. }
            | Self::Backoff { run, .. }
            | Self::GivenUp { run, .. } => Some(run),
            Self::Over { run, .. } => run.as_ref(),
        }
    }
}

impl Memory {
    fn result(&self, date: NaiveDate) -> Option<RunResult> {
        self.results.iter().rev().find(|(d, _)| *d == date).map(|(_, result)| *result)
    }

    fn forget(&mut self, date: NaiveDate) {
        self.results.retain(|(known, _)| *known != date);
    }

    fn remember(&mut self, date: NaiveDate, result: RunResult) {
        self.results.push_back((date, result));
        if self.results.len() > MEMORY {
            // A clock that was far ahead for a moment brings many dates that never ran: they do not push out those that did.
            let never_ran = self.results.iter().position(|(_, result)| *result == RunResult::Missed);
            self.results.remove(never_ran.unwrap_or_default());
        }
    }
}

/// One step of the machine.
#[must_use]
pub fn step(state: State, event: Event, spec: &ScriptSpec, now: &Now) -> (State, Vec<Effect>) {
    let before = state.progress();
    let State { wanted, actual, memory } = state;
    let mut machine =
        Machine { wanted, memory, spec, now, effects: Vec::new(), records: Vec::new(), grade: Grade::CrashSafe };
    let actual = machine.handle(actual, event);
    let actual = machine.serve_waiting(actual);
    let Machine { wanted, memory, mut effects, mut records, mut grade, .. } = machine;
    let state = State { wanted, actual, memory };
    let after = state.progress();
    // A run that was over for a moment of this step, and goes on, is told anew.
    let was_told = records.iter().any(|record| matches!(record, Record::Run(_)));
    if (after != before || was_told)
        && let Some((run, step)) = after
    {
        if before.is_none_or(|(before, _)| before.is_before_first_start_of(&run)) {
            grade = Grade::PowerSafe;
        }
        records.push(Record::Run(Box::new(resume::record(run, step, spec, now))));
    }
    if !records.is_empty() {
        effects.insert(0, Effect::Record { grade, records });
    }
    (state, effects)
}

/// The state but for `Actual`, which travels through the moves by value, and what a step collects.
struct Machine<'a> {
    wanted: Wanted,
    memory: Memory,
    spec: &'a ScriptSpec,
    now: &'a Now,
    effects: Vec<Effect>,
    records: Vec<Record>,
    grade: Grade,
}
