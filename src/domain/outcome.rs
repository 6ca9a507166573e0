//! How an attempt or a run ended: the one vocabulary of history, metrics, alerts and JSON.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The result of a run: one script on one trading date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunResult {
    /// Not over yet.
    Running,
    /// Ended by itself with a success code.
    Succeeded,
    /// Ended by itself with an early code: successful, over for the date under every policy.
    FinishedEarly,
    /// Stopped because its window ended, also where it had to be killed after the grace.
    WindowEnd,
    /// Ended by the operator.
    StoppedByOperator,
    /// Ended by `max_duration`.
    TimeLimit,
    /// Gave up for the date, or ended with a fatal code.
    Failed,
    /// Not begun on purpose: a skip date, a half day, a dependency that will not come.
    Skipped,
    /// Not begun although it should have been: nobody was there at the start, or too late.
    Missed,
    /// Begun, then cut off by the end of the daemon.
    Interrupted,
    /// Taken over live by the run of the next trading date, because the windows touch.
    Carried,
}

impl RunResult {
    /// The public name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::FinishedEarly => "finished_early",
            Self::WindowEnd => "window_end",
            Self::StoppedByOperator => "stopped_by_operator",
            Self::TimeLimit => "time_limit",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Interrupted => "interrupted",
            Self::Carried => "carried",
        }
    }
}

/// The result of an attempt: one process of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptResult {
    /// A success code.
    Succeeded,
    /// An early code.
    FinishedEarly,
    /// Any other code, or a success code sooner than `min_runtime`.
    Crashed,
    /// Killed by a signal nobody here sent.
    Signaled,
    /// There was no process.
    SpawnFailed,
    /// Ended after its stop was decided.
    Stopped,
    /// Ended by the SIGKILL at the end of the grace.
    KilledAfterGrace,
    /// The daemon died while it ran: nobody saw its end.
    Lost,
    /// It was not ready in time, and stopped for that.
    NotReady,
    /// It hung, or used too much memory, and was stopped for that.
    Watchdog,
}

impl AttemptResult {
    /// The public name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::FinishedEarly => "finished_early",
            Self::Crashed => "crashed",
            Self::Signaled => "signaled",
            Self::SpawnFailed => "spawn_failed",
            Self::Stopped => "stopped",
            Self::KilledAfterGrace => "killed_after_grace",
            Self::Lost => "lost",
            Self::NotReady => "not_ready",
            Self::Watchdog => "watchdog",
        }
    }
}

/// How a process ended, as the kernel told it. Killed by signal N is never confused with exit 128+N.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It called exit with this code.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// Which.
        signal: Signal,
        /// The kernel says that it ran out of memory at that moment.
        out_of_memory: bool,
    },
}

/// Why a live run is stopped, weakest first: a stronger reason takes over a stop in progress, a weaker one never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// Another process is to take the place of this one.
    Restart,
    /// One that it needs to be ready is so no longer: it waits for that.
    Dependency,
    /// It uses more memory than it may.
    Memory,
    /// It gives no sign of life.
    Watchdog,
    /// It was not ready in time.
    NotReady,
    /// One that it needs to be ready is so no longer, and without that it is not to run on this date.
    DependencyLost,
    /// The window of the run has ended.
    WindowEnd,
    /// `max_duration` has passed since the first start.
    TimeLimit,
    /// An operator said so, by a command, the kill file or the configuration.
    Operator,
    /// The daemon ends. This alone does not end the run.
    Shutdown,
}

impl StopReason {
    /// The result of a run that is over for this reason; None if it is not over.
    #[must_use]
    pub fn ends_run(self) -> Option<RunResult> {
        match self {
            Self::WindowEnd => Some(RunResult::WindowEnd),
            Self::TimeLimit => Some(RunResult::TimeLimit),
            Self::Operator => Some(RunResult::StoppedByOperator),
            Self::DependencyLost => Some(RunResult::Failed),
            Self::Restart | Self::Dependency | Self::Memory | Self::Watchdog | Self::NotReady | Self::Shutdown => None,
        }
    }

    /// What an attempt that was stopped for this reason failed of; None if nothing was wrong with it.
    #[must_use]
    pub fn failure(self) -> Option<AttemptResult> {
        match self {
            Self::Memory | Self::Watchdog => Some(AttemptResult::Watchdog),
            Self::NotReady => Some(AttemptResult::NotReady),
            Self::Restart
            | Self::Dependency
            | Self::DependencyLost
            | Self::WindowEnd
            | Self::TimeLimit
            | Self::Operator
            | Self::Shutdown => None,
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restart => "restart",
            Self::Dependency => "dependency",
            Self::Memory => "max_rss",
            Self::Watchdog => "watchdog",
            Self::NotReady => "not ready",
            Self::DependencyLost => "a script that it needs is down (on_dependency_down = \"stop\")",
            Self::WindowEnd => "window end",
            Self::TimeLimit => "time limit",
            Self::Operator => "operator",
            Self::Shutdown => "daemon shutdown",
        })
    }
}

/// Why a process could not be started, in the operator's words: what, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpawnError(pub String);

/// A Linux signal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Signal(i32);

/// The Linux signals by number, from 1 (signal(7), the numbers of x86 and ARM).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

impl Signal {
    /// SIGKILL.
    pub const KILL: Self = Self(9);
    /// SIGTERM.
    pub const TERM: Self = Self(15);

    /// The signal with this number; real-time signals (32 to 64) have no name of their own.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        (1..=64).contains(&number).then_some(Self(number))
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = usize::try_from(self.0 - 1).ok().and_then(|i| NAMES.get(i));
        match known {
            Some(name) => write!(f, "SIG{name}"),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl FromStr for Signal {
    type Err = String;

    /// "TERM" and "SIGTERM" are the same.
    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        let short = upper.strip_prefix("SIG").unwrap_or(&upper);
        NAMES
            .iter()
            .position(|name| *name == short)
            .and_then(|i| i32::try_from(i + 1).ok())
            .map(Self)
            .ok_or_else(|| format!("unknown signal {text:?}; use a name such as \"TERM\", \"INT\" or \"USR1\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_names_and_numbers_of_linux() {
        for (name, number) in [("HUP", 1), ("KILL", 9), ("USR1", 10), ("TERM", 15), ("CONT", 18), ("SYS", 31)] {
            let signal: Signal = name.parse().expect("a known name");
            assert_eq!(signal.number(), number);
            assert_eq!(signal.to_string(), format!("SIG{name}"));
            assert_eq!(format!("SIG{name}").parse(), Ok(signal));
        }
        assert!("TREM".parse::<Signal>().is_err());
        assert_eq!(Signal::from_number(34).map(|s| s.to_string()), Some("signal 34".to_owned()));
        assert_eq!(Signal::from_number(0), None);
    }
}
