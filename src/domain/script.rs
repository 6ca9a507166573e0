//! What a script is and what is asked of it: valid by construction, made by the configuration (or by a test).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use serde::Serialize;

use super::health::{Endpoint, OnDependencyDown, Probe, ReadySpec, Tool, WarnSpec, WatchdogSpec};
use super::limits::{Limits, MemoryWatch};
use super::outcome::Signal;

/// A script's name: cheap to clone, since every message carries one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ScriptName(Arc<str>);

impl ScriptName {
    /// A valid name: `[a-z0-9_-]`, with an optional `@suffix` of the same letters.
    pub fn new(name: &str) -> Result<Self, String> {
        let part = |p: &str| !p.is_empty() && p.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        let good = match name.split_once('@') {
            Some((stem, suffix)) => part(stem) && part(suffix),
            None => part(name),
        };
        if good && name.len() <= 128 {
            Ok(Self(name.into()))
        } else {
            Err(format!("{name:?} is not a script name: use 1 to 128 of a-z 0-9 _ -, with an optional @suffix"))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScriptName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// All that is configured of one script.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptSpec {
    /// Unique.
    pub name: ScriptName,
    /// Disabled scripts are known, and never run.
    pub enabled: bool,
    /// Giving up stops everything.
    pub critical: bool,
    /// What to execute, and in what surroundings.
    pub launch: Launch,
    /// When it should run.
    pub window: WindowSpec,
    /// The longest a run may last, from its first start.
    pub max_duration: Option<Duration>,
    /// How it is stopped.
    pub stop: StopSpec,
    /// Runs first at a stop, inside the grace; then the signal is sent.
    pub stop_command: Option<Tool>,
    /// Tells it of the stop to come.
    pub warn: Option<WarnSpec>,
    /// What its exit codes mean.
    pub exits: ExitCodes,
    /// What happens after a crash.
    pub restart: RestartPolicy,
    /// What must have happened before it starts.
    pub depends_on: Vec<Dependency>,
    /// What becomes of it when one of those that are to be `ready` is so no longer.
    pub on_dependency_down: OnDependencyDown,
    /// What is not ours and must answer before each attempt.
    pub wait_for: Vec<Endpoint>,
    /// When it is ready; None = as soon as there is a process.
    pub ready: Option<ReadySpec>,
    /// When it is taken to hang.
    pub watchdog: WatchdogSpec,
    /// Where its output goes.
    pub output: OutputSpec,
    /// How much memory it may have.
    pub memory: MemoryWatch,
}

/// What to execute, and in what surroundings. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The program, resolved when the configuration was loaded; looked at again at each start.
    pub program: PathBuf,
    /// The arguments after the program's name.
    pub args: Vec<String>,
    /// The command as the operator wrote it, for the log line `Running: ...`.
    pub display: String,
    /// The directory it starts in.
    pub working_dir: PathBuf,
    /// Whether it sees the daemon's own environment.
    pub inherit_env: bool,
    /// A dotenv file, read at each start.
    pub env_file: Option<EnvFile>,
    /// Variables set for it; these win over the file's.
    pub env: BTreeMap<String, String>,
    /// What it may use, and as whom it runs.
    pub limits: Limits,
}

/// A dotenv file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvFile {
    /// Absolute.
    pub path: PathBuf,
    /// Written `-FILE`: no error if it does not exist.
    pub optional: bool,
}

/// When a script should run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WindowSpec {
    /// Key of the calendar in the set of those loaded.
    pub calendar: Arc<str>,
    /// When it starts.
    pub start: TimePoint,
    /// When it is stopped.
    pub stop: TimePoint,
    /// What a half day changes.
    pub half_days: HalfDays,
    /// Trading dates on which it does not run.
    pub skip_dates: Vec<NaiveDate>,
    /// How long after its start a daemon that comes up late still starts it; None = as long as the window lasts.
    pub start_deadline: Option<Duration>,
}

/// A point of the trading day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimePoint {
    /// Relative to the session of the trading date.
    Anchor(Anchor, TimeDelta),
    /// A time of day in the calendar's zone, on the trading date's civil day.
    At(NaiveTime),
}

/// The points of a session that others are measured from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Anchor {
    /// The start of the pre-market session (XNYS: 04:00).
    Premarket,
    /// The open of the regular session (XNYS: 09:30).
    Open,
    /// The close of the regular session (XNYS: 16:00, 13:00 on an early close).
    Close,
    /// The end of the post-market session (XNYS: 20:00, 17:00 on an early close).
    Postmarket,
}

/// What a half day (a close before the regular close of that date) changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HalfDays {
    /// Run as on any day.
    Run,
    /// Do not run.
    Skip,
    /// Run on half days only.
    Only,
}

/// How a script is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopSpec {
    /// Sent to its process group, then SIGCONT.
    pub signal: Signal,
    /// From the signal to SIGKILL.
    pub grace: Duration,
}

/// What a script's exit codes mean; a code stands in one list only, every other code is a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitCodes {
    /// Succeeded.
    pub success: Vec<i32>,
    /// Finished early: successful, and over for the date under every policy.
    pub early: Vec<i32>,
    /// Failed for good: not tried again on this date.
    pub fatal: Vec<i32>,
    /// A success code sooner than this is a crash.
    pub min_runtime: Duration,
}

/// When an attempt is followed by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// No second attempt.
    Never,
    /// After a crash.
    OnFailure,
    /// Also after a success, until the window ends.
    Always,
}

/// Backoff and budget of restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// When at all.
    pub policy: Policy,
    /// Before the first restart; doubles with each.
    pub initial_delay: Duration,
    /// The doubling ends here.
    pub max_delay: Duration,
    /// An attempt that lived this long resets delay and budget.
    pub reset_after: Duration,
    /// More automatic restarts than this within `within` = give up.
    pub max_restarts: u32,
    /// The sliding span of the budget.
    pub within: Duration,
    /// After giving up, one try each; None = wait for the re-arm.
    pub cooldown: Option<Duration>,
}

/// One condition on another script's run of the same trading date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The other script.
    pub script: ScriptName,
    /// What its run must have come to.
    pub condition: Condition,
}

/// What a predecessor's run must have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// `succeeded`, `finished_early` or `window_end`.
    Succeeded,
    /// Any end, also skipped, missed or no window.
    Finished,
    /// Gave up for the date, time limit or fatal code.
    Failed,
    /// It is ready: its probe holds, or it runs where it has none.
    Ready,
}

impl Condition {
    /// The name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Ready => "ready",
        }
    }
}

/// Where a script's output goes: `<dir>/<trading-date>.log`, rotated to `.1` (newest), `.2`...
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSpec {
    /// The script's own directory below `log_dir`, absolute.
    pub dir: PathBuf,
    /// Bytes after which the file is rotated, at a newline.
    pub max_size: u64,
    /// Rotated parts kept per trading date.
    pub max_files: u32,
    /// Files older than this are removed.
    pub max_age: Duration,
    /// All files of the script together, in bytes; the oldest go first.
    pub max_total: u64,
    /// Lines also go to the daemon's stderr.
    pub echo: bool,
}

impl ScriptSpec {
    /// It speaks to the daemon by sd_notify.
    #[must_use]
    pub fn notifies(&self) -> bool {
        self.watchdog.heartbeat.is_some() || self.ready.as_ref().is_some_and(|ready| ready.probe == Probe::Notify)
    }

    /// A script with the documented defaults, for the program at `program`; what tests and examples start from.
    ///
    /// # Panics
    /// If `name` is not a script name.
    #[must_use]
    pub fn with_defaults(name: &str, program: &str) -> Self {
        Self {
            name: ScriptName::new(name).expect("a valid script name"),
            enabled: true,
            critical: false,
            launch: Launch {
                program: PathBuf::from(program),
                args: Vec::new(),
                display: program.to_owned(),
                working_dir: PathBuf::from("/"),
                inherit_env: true,
                env_file: None,
                env: BTreeMap::new(),
                limits: Limits::default(),
            },
            window: WindowSpec {
                calendar: "XNYS".into(),
                start: TimePoint::Anchor(Anchor::Open, TimeDelta::hours(-1)),
                stop: TimePoint::Anchor(Anchor::Close, TimeDelta::zero()),
                half_days: HalfDays::Run,
                skip_dates: Vec::new(),
                start_deadline: None,
            },
            max_duration: None,
            stop: StopSpec { signal: Signal::TERM, grace: Duration::from_secs(10) },
            stop_command: None,
            warn: None,
            exits: ExitCodes { success: vec![0], early: vec![42], fatal: vec![78], min_runtime: Duration::ZERO },
            restart: RestartPolicy {
                policy: Policy::OnFailure,
                initial_delay: Duration::from_secs(1),
                max_delay: Duration::from_secs(60),
                reset_after: Duration::from_secs(60),
                max_restarts: 5,
                within: Duration::from_secs(600),
                cooldown: Some(Duration::from_secs(1200)),
            },
            depends_on: Vec::new(),
            on_dependency_down: OnDependencyDown::Keep,
            wait_for: Vec::new(),
            ready: None,
            watchdog: WatchdogSpec::default(),
            output: OutputSpec {
                dir: PathBuf::from("logs").join(name),
                max_size: 50_000_000,
                max_files: 10,
                max_age: Duration::from_secs(30 * 86_400),
                max_total: 2_000_000_000,
                echo: true,
            },
            memory: MemoryWatch::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_words_with_an_optional_suffix() {
        for good in ["a", "data_collection", "s-1", "momentum@spy"] {
            assert!(ScriptName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "a b", "../x", "a@", "@b", "a@b@c", "a/b", "a.py"] {
            assert!(ScriptName::new(bad).is_err(), "{bad}");
        }
    }
}
