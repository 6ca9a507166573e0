//! What must outlive the daemon, and what a new daemon finds of it.
//!
//! Each record is a whole fact under a key (a run, an attempt), so writing one twice does no harm, a later one replaces an earlier one, and
//! of several that wait to be written only the last counts.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use super::alert::Message;
use super::attempt::{AttemptEnd, AttemptId, ProcessId, RestartCause};
use super::lifecycle::Unfinished;
use super::operator::Hold;
use super::outcome::RunResult;
use super::script::ScriptName;

/// How well a record is kept before what it tells of takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Survives the death of the daemon: committed soon, not synced.
    CrashSafe,
    /// Survives the loss of power: synced before the effect.
    PowerSafe,
}

/// A fact to be remembered.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A run, as far as it has come.
    Run(Box<RunRecord>),
    /// An attempt, as far as it has come.
    Attempt(AttemptRecord),
    /// Somebody told the daemon what to do.
    Action(ActionRecord),
    /// All that an operator forbids of one script; of None: of those that are yet to come.
    Holds {
        /// Which script.
        script: Option<ScriptName>,
        /// All of them: none = nothing is forbidden any more.
        holds: Vec<Hold>,
    },
    /// A message to somebody, as far as it has come.
    Alert(Box<AlertRecord>),
    /// The daemon is alive.
    Alive {
        /// On the market clock.
        at: DateTime<Utc>,
    },
}

/// One script on one trading date.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRecord {
    /// Which script.
    pub script: ScriptName,
    /// Which trading date.
    pub trading_date: NaiveDate,
    /// `Running` while it is not over.
    pub result: RunResult,
    /// Why, in words.
    pub reason: String,
    /// The zone of its calendar: people see this one.
    pub zone: Tz,
    /// When the first attempt started.
    pub first_start: Option<DateTime<Utc>>,
    /// When the run was over.
    pub ended_at: Option<DateTime<Utc>>,
    /// Attempts so far.
    pub attempts: u32,
    /// Automatic restarts so far.
    pub restarts: u32,
    /// How the latest attempt ended.
    pub last_exit: Option<AttemptEnd>,
    /// When this was recorded.
    pub at: DateTime<Utc>,
    /// What another watcher needs to go on with it; None when it is over beyond doubt. (Only its clock tells a daemon that a window ended
    /// while nobody watched; and a calendar that changes may give a window more time.)
    pub unfinished: Option<Unfinished>,
}

/// One process of a run. What is not known yet, or was told before, is None: the parts of one attempt's records add up.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRecord {
    /// Which.
    pub id: AttemptId,
    /// Its order.
    pub start: Option<AttemptStart>,
    /// Its process.
    pub process: Option<ProcessId>,
    /// Its end.
    pub end: Option<AttemptEnd>,
}

/// The order to start an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptStart {
    /// When.
    pub at: DateTime<Utc>,
    /// Why there was one before it.
    pub after: Option<RestartCause>,
}

/// Somebody told the daemon what to do, or it did what nobody would expect of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionRecord {
    /// When.
    pub at: DateTime<Utc>,
    /// Who, in words: a user, a signal.
    pub who: String,
    /// What: `shutdown`, `sweep`.
    pub action: String,
    /// To which script; None = all.
    pub script: Option<ScriptName>,
    /// Why, in words; may be empty.
    pub reason: String,
}

/// A message to one channel. It is kept before it is sent, and until its history is pruned.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRecord {
    /// The channel's name in the configuration.
    pub channel: String,
    /// What it is told.
    pub message: Message,
    /// What became of it, and when; None: it is to be sent.
    pub end: Option<(DateTime<Utc>, AlertEnd)>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertEnd {
    /// It has arrived.
    Sent,
    /// The service did not want it.
    Failed,
    /// There were too many before it was its turn, or nobody is there any more to send it to.
    Dropped,
}

impl AlertEnd {
    /// The word in the database and in the metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// Under this key a record replaces an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// Of a run.
    Run(ScriptName, NaiveDate),
    /// Of an attempt.
    Attempt(AttemptId),
    /// Of an action: each stands for itself.
    Action(DateTime<Utc>, String, Option<ScriptName>),
    /// Of what is forbidden.
    Holds(Option<ScriptName>),
    /// Of a message: its id.
    Alert(String),
    /// Of the daemon's life.
    Alive,
}

impl Record {
    /// What it is about.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Run(run) => Key::Run(run.script.clone(), run.trading_date),
            Self::Attempt(attempt) => Key::Attempt(attempt.id.clone()),
            Self::Action(action) => Key::Action(action.at, action.action.clone(), action.script.clone()),
            Self::Holds { script, .. } => Key::Holds(script.clone()),
            Self::Alert(alert) => Key::Alert(alert.message.id.clone()),
            Self::Alive { .. } => Key::Alive,
        }
    }

    /// The two of one key as one, `later` being the later one.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        match (self, later) {
            (Self::Attempt(before), Self::Attempt(later)) => Self::Attempt(AttemptRecord {
                id: later.id,
                start: later.start.or(before.start),
                process: later.process.or(before.process),
                end: later.end.or(before.end),
            }),
            (_, later) => later,
        }
    }
}

/// What a daemon finds of those before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// The scripts that it knew.
    pub scripts: BTreeMap<ScriptName, ScriptPast>,
    /// Processes that it started and of whose end nobody knows.
    pub ledger: Vec<LedgerEntry>,
    /// What an operator forbids of all scripts, also of those that are yet to come.
    pub pause_all: Option<Hold>,
    /// Runs that nobody watches any more and whose windows are still open: they are over with these.
    pub abandoned: Vec<(ScriptName, Unfinished)>,
    /// Messages that were not sent yet, oldest first.
    pub alerts: Vec<AlertRecord>,
    /// The latest sign of the daemon before this one, if that one did not end in order.
    pub crashed: Option<DateTime<Utc>>,
}

impl Past {
    /// The ends, at `now`, of runs that nobody watches any more: their scripts are not `watched`, or later runs have taken their place. Those
    /// whose windows are still open are abandoned.
    #[must_use]
    pub fn give_up(&mut self, watched: impl Fn(&ScriptName) -> bool, now: DateTime<Utc>) -> Vec<RunRecord> {
        let mut ended = Vec::new();
        for (name, past) in &mut self.scripts {
            let latest = past.unfinished.take_if(|_| !watched(name));
            for run in past.stale.drain(..).chain(latest) {
                match run.given_up(name, now) {
                    Some(end) => {
                        past.results.push((end.trading_date, end.result));
                        ended.push(end);
                    }
                    None => self.abandoned.push((name.clone(), run)),
                }
            }
            past.results.sort_by_key(|(date, _)| *date);
        }
        ended
    }
}

/// What is known of one script.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScriptPast {
    /// The results of its last runs, oldest first.
    pub results: Vec<(NaiveDate, RunResult)>,
    /// The latest run that is not over.
    pub unfinished: Option<Unfinished>,
    /// The latest run, where only its window ended it: it goes on if the window is longer now.
    pub window_ended: Option<Unfinished>,
    /// Earlier ones that are not, because no daemon that could have known came in between.
    pub stale: Vec<Unfinished>,
    /// What an operator forbids.
    pub holds: Vec<Hold>,
    /// The latest date that it ran on, and its attempts.
    pub spent: Option<(NaiveDate, u32)>,
    /// Until when daemons watched it: what it should have done since then, nobody saw. None = none that is known did.
    pub watched_until: Option<DateTime<Utc>>,
}

/// A process that an earlier daemon started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// As which attempt.
    pub attempt: AttemptId,
    /// Which.
    pub process: ProcessId,
    /// In which life of the machine (the kernel's boot id): in another one the pid means nothing.
    pub boot: String,
}
