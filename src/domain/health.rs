//! How it is known that a script is well: what makes it ready, what it waits for outside, and when it is taken to hang.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::outcome::Signal;

/// Something that answers at an address, ours or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// `HOST:PORT` takes a connection.
    Tcp(String),
    /// This URL answers with a status from 200 to 299.
    Http(String),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Http(url) => f.write_str(url),
        }
    }
}

/// A program that is run for a script, in its surroundings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Resolved when the configuration was loaded.
    pub program: PathBuf,
    /// The arguments after the program's name.
    pub args: Vec<String>,
}

/// What a line of output is compared with.
#[derive(Clone, Debug)]
pub struct Pattern(regex::bytes::Regex);

impl Pattern {
    /// A regular expression, looked for anywhere in a line.
    ///
    /// # Errors
    /// It is none; in words, on one line.
    pub fn new(text: &str) -> Result<Self, String> {
        regex::bytes::Regex::new(text).map(Self).map_err(|error| {
            let text = error.to_string();
            text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        })
    }

    /// Whether it occurs in `line`.
    #[must_use]
    pub fn is_in(&self, line: &[u8]) -> bool {
        self.0.is_match(line)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

/// By what a script is known to be ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It answers there.
    Reach(Endpoint),
    /// It has printed such a line.
    Line(Pattern),
    /// This program exits 0.
    Exec(Tool),
    /// It says so itself: `READY=1`, by sd_notify.
    Notify,
    /// It has lived so long.
    Delay(Duration),
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reach(endpoint) => write!(f, "{endpoint}"),
            Self::Line(pattern) => write!(f, "a line with {:?}", pattern.0.as_str()),
            Self::Exec(tool) => write!(f, "{}", tool.program.display()),
            Self::Notify => f.write_str("READY=1"),
            Self::Delay(delay) => write!(f, "{}", super::notice::compact(*delay)),
        }
    }
}

/// When a script is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadySpec {
    /// By this.
    pub probe: Probe,
    /// Between two tries.
    pub interval: Duration,
    /// An attempt that is not ready after so long has failed.
    pub timeout: Duration,
}

/// What becomes of a script when one that it needs to be ready is so no longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDependencyDown {
    /// It goes on.
    #[default]
    Keep,
    /// It is stopped, and its run is over.
    Stop,
    /// It is stopped, and started again when the other one is ready again.
    Restart,
}

/// What is done about a script that seems to hang, or uses too much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TripAction {
    /// It is stopped and started again, which counts as a crash.
    #[default]
    Restart,
    /// Somebody is told.
    Alert,
}

/// When a script is taken to hang.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchdogSpec {
    /// It has printed nothing for so long.
    pub silence: Option<Duration>,
    /// It has not said `WATCHDOG=1`, by sd_notify, for so long.
    pub heartbeat: Option<Duration>,
    /// Then this.
    pub action: TripAction,
}

/// A signal that tells of the stop to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarnSpec {
    /// To the leader alone.
    pub signal: Signal,
    /// So long before the stop.
    pub lead: Duration,
}

/// Why a script is taken to hang, or to use too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trip {
    /// No output for so long.
    Silence(Duration),
    /// No heartbeat for so long.
    Heartbeat(Duration),
    /// Its group uses more memory than it may.
    Memory {
        /// Bytes in use.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
}

impl fmt::Display for Trip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence(time) => write!(f, "no output for {}", super::notice::compact(*time)),
            Self::Heartbeat(time) => write!(f, "no heartbeat (WATCHDOG=1) for {}", super::notice::compact(*time)),
            Self::Memory { bytes, limit } => {
                write!(
                    f,
                    "it uses {} MB of memory, more than its max_rss of {} MB",
                    bytes / 1_000_000,
                    limit / 1_000_000
                )
            }
        }
    }
}

/// When a process last gave a sign of life, as times before now; None = not yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// It printed something.
    pub printed: Option<Duration>,
    /// It said `WATCHDOG=1`.
    pub beat: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_looked_for_anywhere_in_a_line_that_need_not_be_text() {
        let pattern = Pattern::new("listening on .*4002$").unwrap();
        assert!(pattern.is_in(b"12:00 listening on port 4002"));
        assert!(pattern.is_in(b"\xff\xfe listening on 4002"));
        assert!(!pattern.is_in(b"listening on 4001"));
        assert!(Pattern::new("(").unwrap_err().contains("unclosed group"));
    }
}
