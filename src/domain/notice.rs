//! All that happens and is worth telling. One typed event gives both the log's text and its fields, and the lines of `simulate`:
//! what people grep for is written here and nowhere else.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value, json};

use super::health::Trip;
use super::operator::By;
use super::outcome::{AttemptResult, Exit, RunResult, Signal, SpawnError, StopReason};
use super::script::ScriptName;

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// When, on the market clock.
    pub at: DateTime<Utc>,
    /// To whom; None = the daemon.
    pub about: Option<About>,
    /// What.
    pub what: What,
}

/// The run that a notice is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The script.
    pub script: ScriptName,
    /// The trading date of the run.
    pub trading_date: NaiveDate,
    /// The latest attempt's number; 0 before the first.
    pub attempt: u32,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// An attempt is about to be spawned.
    Starting {
        /// As the operator wrote it.
        command: String,
    },
    /// There is a process.
    Started {
        /// The leader.
        pid: u32,
    },
    /// There is none.
    SpawnFailed {
        /// Why.
        error: SpawnError,
    },
    /// The leader ended.
    Exited {
        /// How.
        exit: Exit,
        /// What that means.
        result: AttemptResult,
    },
    /// The leader ended by itself, and others of its group or escapees live on.
    LeftBehind {
        /// Who.
        pids: Vec<u32>,
    },
    /// A stop was decided.
    Stopping {
        /// Why.
        reason: StopReason,
        /// Why, in the words of whoever wanted it; empty where the reason says it all.
        words: String,
        /// The leader.
        pid: u32,
    },
    /// The grace is over.
    Killing,
    /// SIGKILL did not help.
    Unkillable {
        /// Who lives on.
        pids: Vec<u32>,
    },
    /// A stop is complete: nothing of the attempt is left.
    Stopped {
        /// SIGKILL was needed.
        killed: bool,
    },
    /// The next attempt has a time.
    RestartScheduled {
        /// From now.
        delay: Duration,
        /// How many automatic restarts the budget has seen, this one included.
        restart: u32,
        /// How many it allows.
        of: u32,
    },
    /// After giving up: the next single try has a time.
    TryScheduled {
        /// From now.
        delay: Duration,
    },
    /// The budget is spent.
    GaveUp {
        /// In words.
        reason: String,
        /// The next try, if any is left.
        next_try: Option<DateTime<Utc>>,
    },
    /// Delay and budget are fresh again.
    Rearmed,
    /// The process is ready.
    Ready {
        /// So long after its start.
        after: Duration,
    },
    /// It was not ready in time, and is stopped for that.
    NotReady {
        /// By what it was to be known.
        probe: String,
        /// How long that took.
        timeout: Duration,
        /// What the probe met last; empty where there is nothing to say.
        refused: String,
    },
    /// It hangs, or uses too much.
    Tripped {
        /// Why that is thought.
        trip: Trip,
        /// It is stopped for that.
        restart: bool,
    },
    /// It was told of the stop to come.
    Warned {
        /// By this signal.
        signal: Signal,
        /// When that is.
        stop_at: DateTime<Utc>,
    },
    /// Its stop command did not do what it should.
    StopCommandFailed {
        /// In words.
        text: String,
    },
    /// The calendar has changed, and the script starts later.
    StartMoved {
        /// When.
        to: DateTime<Utc>,
        /// Its process, which runs on.
        pid: Option<u32>,
    },
    /// The calendar has changed, and the script stops at another time.
    StopMoved {
        /// When.
        to: DateTime<Utc>,
    },
    /// The run is over.
    Finished {
        /// With this result.
        result: RunResult,
        /// In words.
        reason: String,
    },
    /// Windows ended while no daemon ran, or several of them went by at once because the clock was set.
    Unwatched {
        /// These dates had no attempt.
        missed: Vec<NaiveDate>,
        /// This one had begun; what became of it.
        interrupted: Option<(NaiveDate, RunResult)>,
    },
    /// The journal cannot be written: all goes on from memory.
    JournalLost {
        /// Why, in words.
        error: String,
    },
    /// The journal is written again, and has caught up.
    JournalBack {
        /// Attempts that are not in it, because there were too many to keep.
        lost: usize,
    },
    /// The run is over before it began, on purpose.
    Skipped {
        /// In words.
        reason: String,
    },
    /// The start is held up.
    Waiting {
        /// For what, in words.
        reason: String,
    },
    /// The live run goes over to the next trading date, since the windows touch.
    Carried {
        /// The new date.
        to: NaiveDate,
    },
    /// Fifteen minutes are left of `max_duration`.
    LimitNear {
        /// So long.
        ran: Duration,
        /// Of so long.
        limit: Duration,
    },
    /// `max_duration` has passed.
    LimitReached {
        /// The limit.
        limit: Duration,
    },
    /// The last lines of output before a crash.
    LastLines {
        /// Oldest first.
        lines: Vec<String>,
    },
    /// The regular session of the default calendar has begun or ended.
    Session {
        /// True at the open.
        open: bool,
    },
    /// A calendar has no data for today, or will soon have none: its scripts do not start then.
    CalendarEnds {
        /// Its id.
        calendar: String,
        /// The first date that it covers.
        from: NaiveDate,
        /// The last date that it covers.
        to: NaiveDate,
        /// It is so today.
        passed: bool,
    },
    /// The wall clock and the monotonic clock moved apart: somebody set the clock, or the machine slept.
    ClockStepped {
        /// Forward is positive.
        by: TimeDelta,
    },
    /// Nobody keeps the machine's clock right.
    ClockUnsynchronised,
    /// The status line.
    Status {
        /// Live scripts.
        running: usize,
        /// Configured scripts.
        scripts: usize,
        /// Whether today has a session.
        market_day: bool,
    },
    /// The actor that watched a script failed; the script is stopped, then the actor is started again.
    WorkerFailed {
        /// The actor's error.
        error: String,
        /// Whether it will be started again.
        again: bool,
    },
    /// An operator's order was taken.
    Ordered {
        /// The verb, as on the command line.
        verb: &'static str,
        /// Who, and why.
        by: By,
    },
    /// The API cannot be served where it should be; that is tried again.
    PortTaken {
        /// Host and port, as configured.
        address: String,
        /// Why, in words.
        error: String,
        /// So often.
        retry: Duration,
    },
    /// The daemon before this one did not end in order.
    StartedAfterCrash {
        /// Its latest sign of life, or its start.
        last_sign: DateTime<Utc>,
    },
    /// The kill file appeared or went.
    KillFile {
        /// Which.
        path: String,
        /// It is there.
        exists: bool,
    },
    /// The daemon ends, in order.
    ShuttingDown {
        /// In words.
        reason: String,
    },
}

/// How loud a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Crashes, spawn failures, gave up, missed.
    Error,
    /// Stops out of plan, force kill, duration, clock steps.
    Warning,
    /// Status, start, stop, end.
    Info,
}

impl Level {
    /// Its name, as in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
            Self::Info => "INFO",
        }
    }
}

/// One line of the log, without time and script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How loud.
    pub level: Level,
    /// The message, word for word.
    pub text: String,
    /// `key=value` behind it.
    pub fields: Vec<(&'static str, String)>,
}

impl Line {
    fn new(level: Level, text: impl Into<String>) -> Self {
        Self { level, text: text.into(), fields: Vec::new() }
    }

    fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.fields.push((key, value.to_string()));
        self
    }
}

impl Notice {
    /// The lines of the log (SPEC section 9), times in `zone`.
    #[must_use]
    pub fn lines(&self, zone: Tz) -> Vec<Line> {
        use Level::{Error, Info, Warning};
        let local = self.at.with_timezone(&zone);
        match &self.what {
            What::Starting { command } => vec![
                Line::new(Info, format!("Starting trading script at {}", local.format("%Y-%m-%d %H:%M:%S %Z"))),
                Line::new(Info, format!("Running: {command}")),
            ],
            What::Started { pid } => vec![Line::new(Info, format!("Script started with PID {pid}"))],
            What::SpawnFailed { error } => vec![Line::new(Error, format!("Script could not be started: {error}"))],
            What::Exited { exit, result } => vec![exit_line(*exit, *result)],
            What::LeftBehind { pids } => {
                vec![
                    Line::new(Warning, "Script ended and left processes behind. Stopping them.")
                        .with("pids", list(pids)),
                ]
            }
            What::Stopping { reason, words, pid } => stopping_lines(*reason, words, *pid),
            What::Killing => vec![Line::new(Warning, "Script did not stop gracefully. Force killing...")],
            What::Unkillable { pids } => vec![
                Line::new(
                    Warning,
                    "Processes survived SIGKILL. Nothing of this script starts before they are gone: end them by hand.",
                )
                .with("pids", list(pids)),
            ],
            What::Stopped { killed: false } => vec![Line::new(Info, "Script stopped gracefully")],
            What::Stopped { killed: true } => vec![Line::new(Info, "Script was force killed")],
            What::RestartScheduled { delay, restart, of } => {
                vec![Line::new(
                    Info,
                    format!("Restarting script in {:.1}s (restart {restart} of {of})", delay.as_secs_f64()),
                )]
            }
            What::TryScheduled { delay } => vec![Line::new(Info, format!("Next try in {}", compact(*delay)))],
            What::GaveUp { reason, next_try } => {
                let line = Line::new(Error, format!("Giving up: {reason}"));
                vec![match next_try {
                    Some(at) => line.with("next_try", at.with_timezone(&zone).format("%H:%M:%S")),
                    None => line.with("next_try", "none"),
                }]
            }
            What::Rearmed => vec![Line::new(Info, "Restart budget is fresh")],
            What::Ready { after } => {
                vec![Line::new(Info, format!("Script is ready after {:.1}s", after.as_secs_f64()))]
            }
            What::NotReady { probe, timeout, refused } => {
                let met = if refused.is_empty() { String::new() } else { format!(": {refused}") };
                let text = format!("Script was not ready within {} ({probe}){met}", compact(*timeout));
                vec![Line::new(Error, text).with("result", AttemptResult::NotReady.name())]
            }
            What::Tripped { trip, restart } => {
                let then = if *restart { "Restarting it." } else { "It runs on (action = \"alert\")." };
                vec![Line::new(Error, format!("Watchdog: {trip}. {then}"))]
            }
            What::Warned { signal, stop_at } => {
                let at = stop_at.with_timezone(&zone).format("%H:%M:%S");
                vec![Line::new(Info, format!("Script was told by {signal} that it is stopped at {at}"))]
            }
            What::StopCommandFailed { text } => {
                vec![Line::new(
                    Warning,
                    format!("The stop command failed: {text}. The stop signal follows all the same."),
                )]
            }
            What::StartMoved { to, pid } => {
                let to = to.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z");
                let meanwhile = match pid {
                    Some(pid) => format!("PID {pid} runs on"),
                    None => "it waits".to_owned(),
                };
                vec![Line::new(Info, format!("The calendar has changed: start at {to}, {meanwhile}"))]
            }
            What::StopMoved { to } => {
                let to = to.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z");
                vec![Line::new(Info, format!("The calendar has changed: stop at {to}"))]
            }
            What::Finished { result, reason } => {
                let level = match result {
                    RunResult::Failed | RunResult::Missed => Error,
                    RunResult::TimeLimit | RunResult::Interrupted => Warning,
                    _ => Info,
                };
                vec![Line::new(level, format!("Run ended: {reason}")).with("result", result.name())]
            }
            What::Unwatched { missed, interrupted } => vec![unwatched_line(missed, *interrupted)],
            What::JournalLost { error } => vec![Line::new(
                Error,
                format!(
                    "The journal cannot be written: {error}. Supervision goes on from memory; a restart now would forget what happens."
                ),
            )],
            What::JournalBack { lost } => {
                let line = Line::new(Info, "The journal is written again, and has caught up");
                vec![if *lost > 0 { line.with("attempts_lost", lost) } else { line }]
            }
            What::Skipped { reason } => vec![Line::new(Info, format!("Skipped: {reason}"))],
            What::Waiting { reason } => vec![Line::new(Info, format!("Waiting: {reason}"))],
            What::Carried { to } => vec![Line::new(Info, format!("Run goes on as that of {to}"))],
            What::LimitNear { ran, limit } => {
                vec![Line::new(Warning, format!("Script has run for {} of max {}", compact(*ran), compact(*limit)))]
            }
            What::LimitReached { limit } => {
                vec![Line::new(Warning, format!("Script exceeded max duration ({}s). Stopping.", limit.as_secs()))]
            }
            What::LastLines { lines } => lines.iter().map(|line| Line::new(Error, format!("  | {line}"))).collect(),
            What::Session { open: true } => vec![Line::new(Info, "Market is open")],
            What::Session { open: false } => vec![Line::new(Info, "Market is closed")],
            What::CalendarEnds { calendar, from, to, passed } => {
                let (level, then) =
                    if *passed { (Error, "nothing of it starts") } else { (Warning, "nothing of it will start") };
                let text = format!(
                    "Calendar {calendar} has data from {from} to {to} only; beyond that {then}. Update mho, or add a calendar file."
                );
                vec![Line::new(level, text)]
            }
            What::ClockStepped { by } => {
                let seconds = by.as_seconds_f64();
                vec![Line::new(Warning, format!("The clock was stepped by {seconds:+.1}s"))]
            }
            What::ClockUnsynchronised => vec![Line::new(
                Warning,
                "The machine's clock is not synchronised: starts and stops are as wrong as it is. Start a time service (chrony, systemd-timesyncd).",
            )],
            What::Status { running, scripts, market_day } => vec![
                Line::new(
                    Info,
                    format!(
                        "Status: {} | Market day: {} | Time: {} {}",
                        if *running > 0 { "running" } else { "idle" },
                        if *market_day { "True" } else { "False" },
                        local.format("%H:%M:%S"),
                        zone_name(zone, self.at),
                    ),
                )
                .with("running", running)
                .with("scripts", scripts),
            ],
            What::WorkerFailed { error, again } => {
                let then = if *again {
                    "The script is stopped and watched anew."
                } else {
                    "It failed too often and stays down."
                };
                vec![Line::new(Error, format!("The script's supervisor failed: {error}. {then}"))]
            }
            What::Ordered { verb, by } => {
                let line = Line::new(Info, format!("Order: {verb}")).with("by", &by.who);
                vec![if by.reason.is_empty() { line } else { line.with("reason", &by.reason) }]
            }
            What::PortTaken { address, error, retry } => vec![Line::new(
                Error,
                format!(
                    "The API cannot be served at {address}: {error}; it is tried again every {} s. Free the port, or set [http] listen to another one. Supervision and the control socket go on.",
                    retry.as_secs().max(1)
                ),
            )],
            What::StartedAfterCrash { last_sign } => {
                let at = last_sign.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z");
                vec![Line::new(
                    Warning,
                    format!(
                        "The daemon before this one did not end in order: its last sign of life is of {at}. It crashed, was killed, or the machine went down."
                    ),
                )]
            }
            What::KillFile { path, exists: true } => vec![Line::new(
                Warning,
                format!("The kill file {path} exists: everything is stopped and nothing starts until it is removed"),
            )],
            What::KillFile { path, exists: false } => vec![Line::new(
                Warning,
                format!(
                    "The kill file {path} is gone: what it stopped stays stopped for its trading date (mho resume lifts that), the rest goes on"
                ),
            )],
            What::ShuttingDown { reason } => vec![Line::new(Info, format!("Shutting down: {reason}"))],
        }
    }

    /// The event of `simulate`, times in `zone`; None for what is not of interest there.
    #[must_use]
    pub fn event(&self, zone: Tz) -> Option<Value> {
        let about = self.about.as_ref()?;
        let mut extra = Map::new();
        let (event, reason) = match &self.what {
            What::Starting { .. } => ("start", None),
            What::Exited { exit, result } => {
                match exit {
                    Exit::Code(code) => extra.insert("code".into(), json!(code)),
                    Exit::Signal { signal, .. } => extra.insert("signal".into(), json!(signal.to_string())),
                };
                ("exit", Some(result.name().to_owned()))
            }
            What::Stopping { reason, .. } => ("stop", Some(reason.to_string())),
            What::Killing => ("kill", None),
            What::RestartScheduled { delay, restart, of } => {
                extra.insert("delay_ms".into(), json!(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)));
                ("restart_scheduled", Some(format!("restart {restart} of {of}")))
            }
            What::TryScheduled { delay } => {
                extra.insert("delay_ms".into(), json!(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)));
                ("restart_scheduled", Some("one try per cooldown".to_owned()))
            }
            What::GaveUp { reason, .. } => ("gave_up", Some(reason.clone())),
            What::Rearmed => ("rearmed", None),
            What::Finished { result, reason } => {
                extra.insert("result".into(), json!(result.name()));
                ("finished", Some(reason.clone()))
            }
            What::Skipped { reason } => ("skipped", Some(reason.clone())),
            What::Waiting { reason } => ("waiting", Some(reason.clone())),
            What::Carried { to } => ("carried", Some(format!("goes on as the run of {to}"))),
            What::Ready { .. }
            | What::NotReady { .. }
            | What::Tripped { .. }
            | What::Warned { .. }
            | What::StopCommandFailed { .. }
            | What::Started { .. }
            | What::SpawnFailed { .. }
            | What::LeftBehind { .. }
            | What::Unkillable { .. }
            | What::Stopped { .. }
            | What::StartMoved { .. }
            | What::StopMoved { .. }
            | What::LimitNear { .. }
            | What::LimitReached { .. }
            | What::LastLines { .. }
            | What::Session { .. }
            | What::CalendarEnds { .. }
            | What::ClockStepped { .. }
            | What::ClockUnsynchronised
            | What::Status { .. }
            | What::WorkerFailed { .. }
            | What::Unwatched { .. }
            | What::JournalLost { .. }
            | What::JournalBack { .. }
            | What::Ordered { .. }
            | What::KillFile { .. }
            | What::PortTaken { .. }
            | What::StartedAfterCrash { .. }
            | What::ShuttingDown { .. } => return None,
        };
        let mut line = Map::new();
        line.insert("at".into(), json!(rfc3339(self.at, zone)));
        line.insert("script".into(), json!(about.script.as_str()));
        line.insert("trading_date".into(), json!(about.trading_date));
        line.insert("event".into(), json!(event));
        line.insert("attempt".into(), json!(about.attempt));
        line.insert("reason".into(), json!(reason));
        line.append(&mut extra);
        Some(Value::Object(line))
    }
}

/// An instant as JSON shows it: RFC 3339 with the calendar's offset, without a fraction where there is none.
#[must_use]
pub fn rfc3339(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, false)
}

/// A duration as people write it in the configuration: `6h45m`.
#[must_use]
pub fn compact(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

/// `ET` for New York, whatever the season; elsewhere the abbreviation of the moment.
fn zone_name(zone: Tz, at: DateTime<Utc>) -> String {
    if zone == Tz::America__New_York { "ET".to_owned() } else { at.with_timezone(&zone).format("%Z").to_string() }
}

fn exit_line(exit: Exit, result: AttemptResult) -> Line {
    let level = match result {
        AttemptResult::Crashed
        | AttemptResult::Signaled
        | AttemptResult::SpawnFailed
        | AttemptResult::Lost
        | AttemptResult::NotReady
        | AttemptResult::Watchdog => Level::Error,
        AttemptResult::Succeeded
        | AttemptResult::FinishedEarly
        | AttemptResult::Stopped
        | AttemptResult::KilledAfterGrace => Level::Info,
    };
    let line = match exit {
        Exit::Code(code) => Line::new(level, format!("Script exited with return code: {code}")),
        Exit::Signal { signal, out_of_memory } => {
            let line = Line::new(level, format!("Script was killed by signal {} ({signal})", signal.number()));
            match (result, signal, out_of_memory) {
                (AttemptResult::Signaled, _, true) => line.with("cause", "out of memory"),
                (AttemptResult::Signaled, Signal::KILL, false) => line.with("cause", "not sent by mho"),
                _ => line,
            }
        }
    };
    line.with("result", result.name())
}

fn unwatched_line(missed: &[NaiveDate], interrupted: Option<(NaiveDate, RunResult)>) -> Line {
    let cut = interrupted.map(|(date, result)| format!("the run of {date} was {}", result.name().replace('_', " ")));
    let none = match missed {
        [] => None,
        [date] => Some(format!("{date} was missed")),
        [first, .., last] => Some(format!("{} dates were missed, {first} to {last}", missed.len())),
    };
    let told: Vec<_> = cut.into_iter().chain(none).collect();
    let level = if missed.is_empty() { Level::Warning } else { Level::Error };
    let result = interrupted.filter(|_| missed.is_empty()).map_or(RunResult::Missed, |(_, result)| result);
    Line::new(level, format!("While nobody watched: {}", told.join("; "))).with("result", result.name())
}

fn stopping_lines(reason: StopReason, words: &str, pid: u32) -> Vec<Line> {
    let (level, text) = match reason {
        StopReason::WindowEnd => (Level::Info, "Market has closed. Stopping script.".to_owned()),
        StopReason::Dependency
        | StopReason::DependencyLost
        | StopReason::Memory
        | StopReason::Watchdog
        | StopReason::NotReady
        | StopReason::TimeLimit => (Level::Warning, format!("Stopping script: {reason}")),
        StopReason::Operator | StopReason::Restart if !words.is_empty() => {
            (Level::Warning, format!("Stopping script: {words}"))
        }
        StopReason::Operator | StopReason::Restart => (Level::Warning, format!("Stopping script: {reason}")),
        StopReason::Shutdown => (Level::Info, format!("Stopping script: {reason}")),
    };
    vec![Line::new(level, text), Line::new(Level::Info, format!("Stopping trading script (PID {pid})"))]
}

fn list(pids: &[u32]) -> String {
    pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}
