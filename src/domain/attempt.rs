//! One process of a run: its identity, what it is told, and what becomes of it.

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::outcome::{AttemptResult, Exit};
use super::script::ScriptName;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartCause {
    /// The process ended (or could not be started).
    Crash,
    /// The daemon, or the actor that watched the script, died.
    Daemon,
    /// An operator asked for it.
    Operator,
    /// It hung, or used too much memory.
    Watchdog,
    /// A script that it needs to be ready was so no longer.
    Dependency,
}

impl RestartCause {
    /// The one before failed: the budget pays for it.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Crash | Self::Watchdog)
    }

    /// As in `MHO_RESTARTED_AFTER`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Daemon => "daemon",
            Self::Operator => "operator",
            Self::Watchdog => "watchdog",
            Self::Dependency => "dependency",
        }
    }
}

/// A process for certain: its pid alone may come to mean another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessId {
    /// The leader's pid, which is also the number of its group.
    pub pid: u32,
    /// When the kernel started it, in clock ticks since the machine came up; 0 where that could not be read.
    pub born: u64,
}

/// How and when an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptEnd {
    /// How; None where there was no process, or nobody saw its end.
    pub exit: Option<Exit>,
    /// What that meant.
    pub result: AttemptResult,
    /// When.
    pub at: DateTime<Utc>,
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
    /// It printed the line that was waited for, or said `READY=1`.
    Ready {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// It says how it is: `STATUS=`.
    Said {
        /// Which attempt.
        attempt: AttemptId,
        /// Its words, of a bearable length.
        text: String,
    },
    /// All its processes together have more memory resident than `max_rss`. Told when they come to, and again each minute while they do.
    OverMemory {
        /// Which attempt.
        attempt: AttemptId,
        /// How much they have.
        bytes: u64,
    },
}
