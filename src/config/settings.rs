//! What a configuration comes to: the settings that the rest of the program works with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::alert::Alerts;
use super::fault::{Fault, Origin};
use crate::domain::calendar::{Calendar, Override};
use crate::domain::script::{ScriptName, ScriptSpec};

/// A configuration without faults.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Traps and oddities: worth a WARNING at `check` and at start.
    pub warnings: Vec<Fault>,
    /// Every effective value and where it was written, in the order of the documentation.
    pub origins: Vec<Origin>,
    /// The configuration file, absolute; None: the built-in text.
    pub file: Option<PathBuf>,
}

/// All settings. Paths are absolute.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where relative paths start.
    pub base_dir: PathBuf,
    /// The daemon's own.
    pub orchestrator: Orchestrator,
    /// How it is reached.
    pub http: Http,
    /// Key of the default calendar in `calendars`.
    pub market: Arc<str>,
    /// The default calendar, all that scripts use and all that the operator defined, by key, with overrides applied.
    pub calendars: BTreeMap<Arc<str>, Arc<Calendar>>,
    /// These, and the files of `calendar_dir` that nobody uses, without any override.
    pub plain_calendars: BTreeMap<Arc<str>, Arc<Calendar>>,
    /// Those with hours of their own without their own overrides, but with those of the calendars that they are derived from.
    pub inherited_calendars: BTreeMap<Arc<str>, Arc<Calendar>>,
    /// The operator's words on single dates, by id of the calendar they name.
    pub overrides: BTreeMap<Arc<str>, Vec<Override>>,
    /// `calendar-overrides.toml` beside the configuration file; it need not exist.
    pub overrides_file: PathBuf,
    /// Which text of it was read.
    pub overrides_digest: String,
    /// The same file as messages and origins name it.
    pub overrides_shown: PathBuf,
    /// In the order of the configuration.
    pub scripts: Vec<ScriptSpec>,
    /// Those of them that are disabled for once, by `--only`.
    pub left_out: Vec<ScriptName>,
    /// Who is told.
    pub alerts: Alerts,
}

impl Settings {
    /// The default calendar.
    ///
    /// # Panics
    /// Never for settings made by `load`, which puts it into the map.
    #[must_use]
    pub fn default_calendar(&self) -> &Arc<Calendar> {
        &self.calendars[&self.market]
    }

    /// Keys of the daemon's own that are others in `after`, and that it reads at its start alone.
    #[must_use]
    pub fn keys_that_need_a_start(&self, after: &Self) -> Vec<&'static str> {
        let (b, a) = (&self.orchestrator, &after.orchestrator);
        let keys = [
            ("base_dir", self.base_dir != after.base_dir),
            ("market.calendar", self.market != after.market),
            ("orchestrator.state_dir", b.state_dir != a.state_dir),
            ("orchestrator.log_dir", b.log_dir != a.log_dir),
            ("orchestrator.log_level", b.log_level != a.log_level),
            ("orchestrator.log_format", b.log_format != a.log_format),
            ("orchestrator.main_log_max_size", b.main_log_max_size != a.main_log_max_size),
            ("orchestrator.status_interval", b.status_interval != a.status_interval),
            ("orchestrator.clock_recheck", b.clock_recheck != a.clock_recheck),
            ("orchestrator.kill_file", b.kill_file != a.kill_file),
            ("orchestrator.history", b.history != a.history),
            ("http.listen", self.http.listen != after.http.listen),
            ("http.token_file", self.http.token_file != after.http.token_file),
            ("alert", self.alerts != after.alerts),
        ];
        keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }

    /// A calendar by name, whatever the case: one in use, one that the operator defined, or a built-in one with its overrides.
    #[must_use]
    pub fn calendar(&self, name: &str) -> Option<Arc<Calendar>> {
        let known = self.calendars.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        if let Some((_, calendar)) = known {
            return Some(Arc::clone(calendar));
        }
        let plain = self.calendar_without_overrides(name)?;
        match self.calendars.get(plain.id()) {
            Some(calendar) => Some(Arc::clone(calendar)),
            None => {
                let overrides = self.overrides.get(plain.id()).map(Vec::as_slice).unwrap_or_default();
                plain.with_overrides(overrides).ok().map(Arc::new)
            }
        }
    }

    /// What a calendar would say if the operator had said nothing of single dates.
    #[must_use]
    pub fn calendar_without_overrides(&self, name: &str) -> Option<Arc<Calendar>> {
        let known = self.plain_calendars.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        if let Some((_, calendar)) = known {
            return Some(Arc::clone(calendar));
        }
        let answers =
            |calendar: &&Arc<Calendar>| calendar.aliases().iter().any(|alias| alias.eq_ignore_ascii_case(name));
        if let Some(calendar) = self.plain_calendars.values().find(answers) {
            return Some(Arc::clone(calendar));
        }
        let builtin = Calendar::builtin(name)?;
        // An alias may stand for a calendar that a newer file replaces.
        Some(self.plain_calendars.get(builtin.id()).cloned().unwrap_or_else(|| Arc::new(builtin)))
    }

    /// What a calendar would say of a date if the override that counts there did not stand: where that is one of a calendar that this one is
    /// derived from, without any; where it is its own, with those.
    #[must_use]
    pub fn calendar_without_override(&self, id: &str, date: chrono::NaiveDate) -> Option<Arc<Calendar>> {
        let is_own = self.overrides.get(id).is_some_and(|words| words.iter().any(|word| word.date == date));
        let inherited = is_own.then(|| self.inherited_calendars.get(id).cloned()).flatten();
        inherited.or_else(|| self.calendar_without_overrides(id))
    }

    /// Whether no configuration can name a calendar: the default one with hours of its own. What names none means it.
    #[must_use]
    pub fn calendar_is_nameless(&self, id: &str) -> bool {
        id == super::calendars::MARKET && *self.market == *id
    }

    /// Whether an override stands in `overrides_file`; the others stand in the configuration itself.
    #[must_use]
    pub fn is_in_overrides_file(&self, word: &Override) -> bool {
        let shown = self.overrides_shown.display().to_string();
        word.origin.as_ref().is_some_and(|origin| *origin.file == *shown)
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Crashes, spawn failures, gave up, missed.
    Error,
    /// And stops out of plan.
    Warning,
    /// And status, start, stop, end.
    Info,
    /// And decisions.
    Debug,
    /// And everything else.
    Trace,
}

impl LogLevel {
    /// The words of the configuration.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("error", Self::Error),
        ("warning", Self::Warning),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `YYYY-MM-DD HH:MM:SS LEVEL: message key=value...`
    Text,
    /// One object a line.
    Json,
}

impl LogFormat {
    /// The words of the configuration.
    pub const WORDS: [(&'static str, Self); 2] = [("text", Self::Text), ("json", Self::Json)];
}

/// The daemon's own settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orchestrator {
    /// Lock, database, control socket.
    pub state_dir: PathBuf,
    /// Logs.
    pub log_dir: PathBuf,
    /// How much is logged.
    pub log_level: LogLevel,
    /// How.
    pub log_format: LogFormat,
    /// Bytes after which `orchestrator_main.log` is rotated.
    pub main_log_max_size: u64,
    /// Between two status lines.
    pub status_interval: Duration,
    /// Between two looks at the wall clock, besides those at boundaries.
    pub clock_recheck: Duration,
    /// While this file exists, everything is stopped and nothing starts.
    pub kill_file: Option<PathBuf>,
    /// Older runs are pruned.
    pub history: Duration,
}

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Host and port of the TCP listener; None = the unix socket alone.
    pub listen: Option<String>,
    /// Where the token is kept by which changes are allowed over TCP.
    pub token_file: PathBuf,
}

impl Default for Orchestrator {
    fn default() -> Self {
        Self {
            state_dir: "state".into(),
            log_dir: "logs".into(),
            log_level: LogLevel::Info,
            log_format: LogFormat::Text,
            main_log_max_size: 20_000_000,
            status_interval: Duration::from_secs(60),
            clock_recheck: Duration::from_secs(30),
            kill_file: None,
            history: Duration::from_secs(400 * 86_400),
        }
    }
}
