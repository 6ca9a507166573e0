//! What the actors need of the world, as traits. The adapters implement them for the real world and for the pretend one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};

use crate::domain::notice::Notice;
use crate::domain::outcome::{Exit, Signal, SpawnError};
use crate::domain::script::{Launch, OutputSpec, ScriptName};
use crate::domain::time::Now;

/// A future that a port hands out.
pub type PortFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The only source of time.
pub trait Clock: Send + Sync {
    /// This moment, with a fresh draw of jitter.
    fn now(&self) -> Now;

    /// Ends at `wall` at the latest (never: None), and earlier when somebody set the clock, the machine woke from sleep, or it is
    /// time to look again. The caller looks at `now()` in any case.
    fn wake_at(&self, wall: Option<DateTime<Utc>>) -> PortFuture;
}

/// One process of a run: the n-th of a script on a trading date. A carried attempt keeps the identity it started with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptId {
    /// Whose.
    pub script: ScriptName,
    /// The trading date of the run that started it.
    pub trading_date: NaiveDate,
    /// From 1.
    pub number: u32,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.script, self.trading_date, self.number)
    }
}

/// Why there was an attempt before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartCause {
    /// The process ended (or could not be started).
    Crash,
    /// The daemon, or the actor that watched the script, died.
    Daemon,
}

/// What a script is told of its run, as environment variables.
#[derive(Clone, Debug, PartialEq)]
pub struct LaunchContext {
    /// `MHO_SESSION_OPEN`
    pub session_open: DateTime<Utc>,
    /// `MHO_SESSION_CLOSE`
    pub session_close: DateTime<Utc>,
    /// `MHO_EARLY_CLOSE`
    pub early_close: bool,
    /// `MHO_STOP_AT`
    pub stop_at: DateTime<Utc>,
    /// `MHO_DEADLINE`
    pub deadline: Option<DateTime<Utc>>,
    /// `MHO_RESTARTED_AFTER`
    pub restarted_after: Option<RestartCause>,
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
}

/// What becomes of a process after its start. Each carries the attempt's identity, so that a late one is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    /// The leader ended. Nothing is left of it, or these members of its group and escapees are, and `Gone` follows.
    Exited {
        /// Which attempt.
        attempt: AttemptId,
        /// How.
        exit: Exit,
        /// Live processes that it left behind.
        leftovers: Vec<u32>,
    },
    /// After `Exited` with leftovers: now no non-zombie member of the group and no escapee is left.
    Gone {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// These outlived SIGKILL by five seconds (another user's, or stuck in the kernel). `Gone` still follows if they ever end.
    Unkillable {
        /// Which attempt.
        attempt: AttemptId,
        /// Their pids.
        pids: Vec<u32>,
    },
}

/// Takes the events of one attempt; called from any thread, must not block.
pub type ProcessSink = Arc<dyn Fn(ProcessEvent) + Send + Sync>;

/// Starts and ends processes.
pub trait Launcher: Send + Sync {
    /// Starts the attempt in its own process group and returns the leader's pid. Quick; the events follow through `sink`.
    fn spawn(&self, order: LaunchOrder, sink: ProcessSink) -> Result<u32, SpawnError>;

    /// Sends `signal`, then SIGCONT, to the attempt's whole group and its escapees. Nothing happens if it is gone.
    fn signal(&self, attempt: &AttemptId, signal: Signal);

    /// SIGKILL to the attempt's whole group and its escapees, until they are gone.
    fn kill(&self, attempt: &AttemptId);

    /// From now on the attempt's events go to `sink`. False if it is gone already (its last event went to the former sink).
    fn redirect(&self, attempt: &AttemptId, sink: ProcessSink) -> bool;

    /// From now on the attempt's output goes to the file of `trading_date`.
    fn carry_output(&self, attempt: &AttemptId, trading_date: NaiveDate);

    /// Reports the last lines of the attempt's output to the notifier, for a crash report.
    fn report_tail(&self, attempt: &AttemptId);
}

/// Hears of all that happens: the log, the output of `simulate`, the recorded effects of a test.
pub trait Notifier: Send + Sync {
    /// Must not block.
    fn notify(&self, notice: Notice);
}
