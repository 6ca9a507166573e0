//! What the actors of the tree say to each other. A worker is told the machine's own events (`domain::lifecycle::Event`).

use chrono::{DateTime, Utc};
use ractor::RpcReplyPort;

use crate::domain::attempt::{AttemptId, ProcessEvent};
use crate::domain::lifecycle::{State, View};
use crate::domain::timeline::{Addressed, Alarm};

/// What the root is told.
pub enum RootMsg {
    /// Boundaries were crossed.
    Clock(Vec<Addressed>),
    /// It is time for the status line.
    StatusDue,
    /// A worker's state has changed.
    Report {
        /// Whose.
        index: usize,
        /// Of which life of the worker.
        incarnation: u32,
        /// The new state.
        state: Box<State>,
    },
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
    /// A script's worker is new and must hear its level again.
    Repeat {
        /// Whose.
        index: usize,
    },
}
