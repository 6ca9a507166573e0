//! What the actors need of the world, as traits. The adapters implement them for the real world and for the pretend one.

use std::ffi::OsString;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde_json::Value;
use tokio::sync::broadcast;

use crate::domain::alert::Look;
pub use crate::domain::attempt::{AttemptId, LaunchContext, ProcessEvent, ProcessId, RestartCause};
use crate::domain::health::{Endpoint, Pattern, Signs, Tool};
use crate::domain::notice::Notice;
use crate::domain::operator::{Asked, By, Refused, Whom};
use crate::domain::outcome::{Exit, Signal, SpawnError};
use crate::domain::record::{AlertRecord, Grade, Record};
use crate::domain::script::{Launch, OutputSpec, ScriptName};
use crate::domain::status::{Day, Facts, HistoryLine, Live, NextLine, Outcome, Status};
use crate::domain::time::Now;
use crate::domain::timeline::Boundary;

/// A future that a port hands out.
pub type PortFuture<T = ()> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The only source of time.
pub trait Clock: Send + Sync {
    /// This moment, with a fresh draw of jitter.
    fn now(&self) -> Now;

    /// Ends at `wall` at the latest (never: None), and earlier when somebody set the clock, the machine woke from sleep, or it is
    /// time to look again. The caller looks at `now()` in any case.
    fn wake_at(&self, wall: Option<DateTime<Utc>>) -> PortFuture;

    /// Whether somebody keeps it right; None where that cannot be told, or makes no sense.
    fn is_synchronised(&self) -> Option<bool> {
        None
    }
}

/// An order to start one process.
#[derive(Clone, Debug)]
pub struct LaunchOrder {
    /// Which attempt this is.
    pub attempt: AttemptId,
    /// What to execute.
    pub launch: Arc<Launch>,
    /// Where its output goes.
    pub output: Arc<OutputSpec>,
    /// What it is told.
    pub context: LaunchContext,
    /// What is to be heard of it.
    pub signs: WantedSigns,
}

/// What is to be heard of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedSigns {
    /// `ProcessEvent::Ready` when it prints such a line.
    pub line: Option<Pattern>,
    /// It may speak by sd_notify.
    pub notify: bool,
    /// It is asked for a heartbeat at least this often.
    pub heartbeat: Option<Duration>,
}

/// Takes the events of one attempt; called from any thread, must not block.
pub type ProcessSink = Arc<dyn Fn(ProcessEvent) + Send + Sync>;

/// Why there is no process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It could not be started: a failed attempt.
    Failed(SpawnError),
    /// Another process of this script is in the way, and it is not ours to end: no attempt, to be tried again. In words.
    Busy(String),
}

/// Starts and ends processes.
pub trait Launcher: Send + Sync {
    /// Starts the attempt in its own process group and returns its leader. Quick; the events follow through `sink`.
    fn spawn(&self, order: LaunchOrder, sink: ProcessSink) -> Result<ProcessId, Refusal>;

    /// Sends `signal`, then SIGCONT, to the attempt's whole group and its escapees. Nothing happens if it is gone.
    fn signal(&self, attempt: &AttemptId, signal: Signal);

    /// SIGKILL to the attempt's whole group and its escapees, until they are gone.
    fn kill(&self, attempt: &AttemptId);

    /// A signal to the attempt's leader alone.
    fn signal_leader(&self, attempt: &AttemptId, signal: Signal);

    /// When the attempt was last heard of; nothing if it is gone.
    fn signs(&self, attempt: &AttemptId) -> Signs;

    /// Runs a tool in the surroundings that the attempt was started in, for so long at most.
    fn run_beside(&self, order: &LaunchOrder, tool: &Tool, limit: Duration) -> PortFuture<ErrandEnd>;

    /// From now on the attempt's events go to `sink`. False if it is gone already (its last event went to the former sink).
    fn redirect(&self, attempt: &AttemptId, sink: ProcessSink) -> bool;

    /// From now on the attempt's output goes to the file of `trading_date`.
    fn carry_output(&self, attempt: &AttemptId, trading_date: NaiveDate);

    /// From now on `OverMemory` is told when all processes of the attempt together have more than `limit` bytes resident; None: never. Nothing
    /// happens if it is gone. Whoever pretends has no memory to look at.
    fn watch_memory(&self, _attempt: &AttemptId, _limit: Option<u64>) {}

    /// Reports the last lines of the attempt's output to the notifier, for a crash report.
    fn report_tail(&self, attempt: &AttemptId);
}

/// A small program that is run beside the scripts: a probe, a stop command, the command of an alert.
#[derive(Clone, PartialEq, Eq)]
pub struct Errand {
    /// Absolute.
    pub program: PathBuf,
    /// The arguments after the program's name.
    pub args: Vec<String>,
    /// The directory it starts in.
    pub working_dir: PathBuf,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// What it reads.
    pub stdin: Vec<u8>,
    /// Then it is killed, with all that it started.
    pub limit: Duration,
}

/// How an errand ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrandEnd {
    /// Its leader ended by itself.
    Exited {
        /// How.
        exit: Exit,
        /// The last line of what it printed, cut to a bearable length; empty where there was none.
        said: String,
    },
    /// It had to be killed.
    TimedOut,
    /// It could not be started; in words.
    Failed(String),
}

/// Runs errands.
pub trait Errands: Send + Sync {
    /// Runs one to its end, on its own; whoever drops the future does not end it.
    fn run(&self, errand: Errand) -> PortFuture<ErrandEnd>;
}

/// Asks whether something answers at an address.
pub trait Prober: Send + Sync {
    /// Once, and for a few seconds at most; in words why not.
    fn reach(&self, endpoint: &Endpoint) -> PortFuture<Result<(), String>>;
}

/// Hears of all that happens: the log, the output of `simulate`, the recorded effects of a test.
pub trait Notifier: Send + Sync {
    /// Must not block.
    fn notify(&self, notice: Notice);
}

/// Why records were not written, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JournalError(pub String);

/// Keeps records beyond the daemon's life.
pub trait Journal: Send + Sync {
    /// Writes all of them, or none; `PowerSafe` syncs them, and all before them. May take its time, and blocks nobody meanwhile. One call at
    /// a time: the next one after the end of this one.
    fn write(&self, records: Arc<Vec<Record>>, grade: Grade) -> PortFuture<Result<(), JournalError>>;
}

/// Remembers what is to be told until it is told.
pub trait Outbox: Send + Sync {
    /// Answers when they survive the death of the daemon, or cannot for the time being: then nobody waits for that.
    fn keep(&self, alerts: Vec<AlertRecord>) -> PortFuture;
}

/// How the scripts are, for those who decide what to tell of them.
pub trait Scripts: Send + Sync {
    /// One of them.
    fn look(&self, name: &ScriptName) -> Option<Look>;

    /// All of them, in the configuration's order.
    fn looks(&self) -> Vec<Look>;

    /// Whether those who supervise them answer.
    fn are_supervised(&self) -> PortFuture<bool>;
}

/// Sees how every script is, at every change. Must not block, and is not waited for.
pub trait Observer: Send + Sync {
    /// A script is in another state, or configured in another way. Its place tells which one it is.
    fn changed(&self, index: usize, facts: Facts);

    /// A script is not configured any more, and nothing of it lives.
    fn gone(&self, index: usize);

    /// The configuration's order of those that it has, by their places.
    fn ordered(&self, order: &[usize]);

    /// A boundary was crossed.
    fn crossed(&self, boundary: Boundary);
}

/// Nobody looks.
pub struct Unobserved;

impl Observer for Unobserved {
    fn changed(&self, _index: usize, _facts: Facts) {}
    fn gone(&self, _index: usize) {}
    fn ordered(&self, _order: &[usize]) {}
    fn crossed(&self, _boundary: Boundary) {}
}

/// What can be asked of the daemon, by whoever may: the API. Nothing here waits for supervision but the orders, which wait to be done; what is
/// shown comes from a board that supervision keeps up to date.
pub trait Control: Send + Sync {
    /// The market clock, and the zone in which people see it.
    fn clock(&self) -> (DateTime<Utc>, Tz);

    /// Whether the actors answer within a second.
    fn is_alive(&self) -> PortFuture<bool>;

    /// All there is to see.
    fn status(&self) -> PortFuture<Status>;

    /// Something that one script, or all, are to do. With `wait` the answer comes when it is done, or after that time.
    fn order(&self, whom: Whom, asked: Asked, by: By, wait: Option<Duration>) -> PortFuture<Result<Outcome, Refused>>;

    /// The configuration is read again; scripts whose changes need a new process are restarted only if `restart` says so.
    fn reload(&self, by: By, restart: bool) -> PortFuture<Result<Outcome, Refused>>;

    /// The daemon ends, in order; with `wait` the answer comes when nothing lives any more, or after so long.
    fn shut_down(&self, by: By, wait: Option<Duration>) -> PortFuture<Result<Outcome, Refused>>;

    /// What became of the runs, of one script or of all, oldest first.
    fn history(&self, query: HistoryQuery) -> PortFuture<Result<Vec<HistoryLine>, Refused>>;

    /// The days of a calendar, as `mho calendar --format json` lists them.
    fn calendar(&self, query: CalendarQuery) -> PortFuture<Result<Vec<Value>, Refused>>;

    /// A trading date on one page; None = today.
    fn timeline(&self, date: Option<NaiveDate>) -> PortFuture<Result<Day, Refused>>;

    /// The next boundaries.
    fn next(&self, count: usize) -> PortFuture<Vec<NextLine>>;

    /// The output of a script: its last lines, and with `follow` what comes after them.
    fn log(&self, query: LogQuery) -> PortFuture<Result<Box<dyn LogLines>, Refused>>;

    /// What happens from now on. Who reads too slowly loses the oldest, and is told so.
    fn events(&self) -> broadcast::Receiver<Live>;

    /// Prometheus text.
    fn metrics(&self) -> PortFuture<String>;
}

/// Which runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Of this script alone.
    pub script: Option<String>,
    /// From this trading date on.
    pub from: Option<NaiveDate>,
    /// Up to this one.
    pub to: Option<NaiveDate>,
}

/// Which days of which calendar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CalendarQuery {
    /// None = the default one.
    pub calendar: Option<String>,
    /// None = today.
    pub from: Option<NaiveDate>,
    /// None = thirty days on.
    pub to: Option<NaiveDate>,
}

/// Which lines of which script's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogQuery {
    /// Whose.
    pub script: String,
    /// So many lines at the end.
    pub tail: usize,
    /// Of this trading date; None = the latest, and with `follow` later ones too.
    pub date: Option<NaiveDate>,
    /// Also what comes after them.
    pub follow: bool,
}

/// Output of a script, as it is read. Each piece is bounded in size.
pub trait LogLines: Send {
    /// The next piece, of whole lines but where a line is longer than a piece; None = there is no more. With `follow` it waits for more to come.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send + '_>>;
}
