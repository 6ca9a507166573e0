//! Notices as lines of the log (SPEC section 9): what people grep for is written here and nowhere else.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use super::{Notice, What, compact};
use crate::domain::outcome::{AttemptResult, Exit, RunResult, Signal, StopReason};

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
            What::Skipped { reason, .. } => vec![Line::new(Info, format!("Skipped: {reason}"))],
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
            What::JournalRenewed { why } => vec![Line::new(Error, why.clone())],
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
