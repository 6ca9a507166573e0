//! What the actors of the tree say to each other. A worker is told the machine's own events (`domain::lifecycle::Event`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ractor::RpcReplyPort;

use crate::domain::attempt::{AttemptId, ProcessEvent};
use crate::domain::calendar::Calendar;
use crate::domain::lifecycle::{State, Taken, View};
use crate::domain::operator::{Answer, Asked, By, Refused, Whom};
use crate::domain::record::{Grade, Record, RunRecord};
use crate::domain::reload::Change;
use crate::domain::script::{ScriptName, ScriptSpec};
use crate::domain::timeline::{Addressed, Alarm};
use crate::ports::JournalError;

/// What came of an order, for each script concerned.
pub type OrderReply = Result<Vec<(ScriptName, Answer)>, Refused>;

/// A configuration that takes the place of the one in use.
pub struct Reconfiguration {
    /// All scripts, in the configuration's order.
    pub scripts: Vec<ScriptSpec>,
    /// The calendars that are new, or others than before.
    pub calendars: BTreeMap<Arc<str>, Arc<Calendar>>,
    /// Scripts whose live processes were started with other values get new ones.
    pub restart: bool,
    /// What changed; None: the daemon ends, and nothing was taken over.
    pub reply: RpcReplyPort<Option<Vec<Change>>>,
}

/// What the root is told.
pub enum RootMsg {
    /// Boundaries were crossed.
    Clock(Vec<Addressed>),
    /// It is time for the status line.
    StatusDue,
    /// Runs that nobody watches are over with their windows.
    GivenUp(Vec<RunRecord>),
    /// A worker's state has changed.
    Report {
        /// Whose.
        index: usize,
        /// Of which life of the worker.
        incarnation: u32,
        /// The new state.
        state: Box<State>,
        /// The configuration by which it came to it.
        spec: Arc<ScriptSpec>,
    },
    /// Somebody gives an order.
    Order {
        /// To whom.
        whom: Whom,
        /// What.
        asked: Asked,
        /// Who, and why.
        by: By,
        /// Answer when it is done, or after this time; None = as soon as it is taken.
        wait: Option<Duration>,
        /// What came of it.
        reply: RpcReplyPort<OrderReply>,
    },
    /// A worker says what becomes of an order.
    Answered {
        /// Which.
        ticket: u64,
        /// It is taken, or why not.
        answer: Result<Taken, String>,
    },
    /// A process that was ordered has had the time to fail.
    OrderSettled {
        /// By which order.
        ticket: u64,
    },
    /// Whoever asked wants no longer to wait.
    OrderOverdue {
        /// For what.
        request: u64,
    },
    /// The kill file appeared (its path) or went.
    KillFile(Option<String>),
    /// The configuration is another one.
    Reconfigure(Box<Reconfiguration>),
    /// A worker sets an alarm on the market clock.
    SetAlarm {
        /// Whose.
        index: usize,
        /// Which.
        alarm: Alarm,
        /// When; None = not any more.
        at: Option<DateTime<Utc>>,
    },
    /// Stop everything, in layers.
    Shutdown {
        /// In words.
        reason: String,
        /// Who asked for it.
        who: String,
    },
    /// Kill everything.
    Kill,
    /// A worker failed, and all that it reported before has been taken in.
    Failed {
        /// Whose.
        index: usize,
        /// The actor's error.
        error: String,
    },
    /// News of a process whose worker failed.
    Orphan {
        /// Whose.
        index: usize,
        /// What became of it.
        event: ProcessEvent,
    },
    /// An orphan has had its grace.
    OrphanGrace {
        /// Whose.
        index: usize,
        /// Which.
        attempt: AttemptId,
    },
    /// Somebody else wants something remembered.
    Remember {
        /// What.
        records: Vec<Record>,
        /// Answered when it survives the death of the daemon, or cannot for the time being.
        reply: RpcReplyPort<()>,
    },
    /// The journal lost its file and began anew: it must be told everything.
    JournalBeganAnew,
    /// All is written that can be: the end of the daemon need not wait for it any longer.
    Recorded,
    /// Whether the actors answer: the root, and through it the clock.
    Ping(RpcReplyPort<()>),
    /// How the scripts are.
    Views(RpcReplyPort<Vec<View>>),
}

/// What the clock is told.
pub enum ClockMsg {
    /// It slept long enough, or was woken.
    Wake,
    /// A script's alarm.
    SetAlarm {
        /// Whose.
        index: usize,
        /// Which.
        alarm: Alarm,
        /// When; None = not any more.
        at: Option<DateTime<Utc>>,
    },
    /// Scripts are configured in another way, and these are all of them; so are all calendars.
    Respecified {
        /// By their places; those that are gone are disabled.
        scripts: Vec<ScriptSpec>,
        /// Those that did not change are the same ones as before.
        calendars: BTreeMap<Arc<str>, Arc<Calendar>>,
    },
    /// Whether it answers.
    Ping(RpcReplyPort<()>),
    /// A script's worker is new and must hear its level again.
    Repeat {
        /// Whose.
        index: usize,
    },
}

/// What the recorder is told.
pub enum RecorderMsg {
    /// Remember these.
    Keep {
        /// What.
        records: Vec<Record>,
        /// How well.
        grade: Grade,
        /// Answered when that is so, or cannot be for the time being.
        reply: Option<RpcReplyPort<()>>,
    },
    /// It is time to note that the daemon is alive.
    NoteAlive,
    /// It is time to write.
    Write {
        /// The number of that time.
        time: u64,
    },
    /// The journal has answered.
    Written(Result<(), JournalError>),
    /// This batch, or those after it, should be written by now.
    Overdue {
        /// The number of the batch.
        flight: u64,
    },
    /// The daemon ends: write all there is; answered when that is done or cannot be.
    Finish(RpcReplyPort<()>),
}
