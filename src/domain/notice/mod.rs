//! All that happens and is worth telling. One typed event gives both the log's text and its fields (`lines.rs`), and the lines of `simulate`.

mod lines;

use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value, json};

use crate::domain::health::Trip;
use crate::domain::operator::By;
use crate::domain::outcome::{AttemptResult, Exit, RunResult, Signal, SpawnError, StopReason};
use crate::domain::script::ScriptName;

pub use lines::{Level, Line};

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
    /// The journal had to begin a new file: what ran before may not be known.
    JournalRenewed {
        /// What was wrong with the old one, and where it is.
        why: String,
    },
    /// The run is over before it began.
    Skipped {
        /// In words.
        reason: String,
        /// That was to be: a day off, an operator, a predecessor that does not run either. Else something went wrong.
        planned: bool,
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

impl Notice {
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
            What::Skipped { reason, .. } => ("skipped", Some(reason.clone())),
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
            | What::JournalRenewed { .. }
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
