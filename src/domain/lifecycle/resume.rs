//! A run without a watcher: what is kept of it, and how another one goes on with it.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::{Ended, Run};
use crate::domain::time::Mono;

/// A run that is not over, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unfinished {
    /// When it was so, on the market clock and on the monotonic one of that daemon.
    at: DateTime<Utc>,
    mono: Mono,
    run: Run,
    step: Step,
}

/// How far it had come.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    /// Before an attempt, or in one that its watcher will not see the end of.
    Cut,
    /// The leader ended by itself; what it left behind was being ended.
    Sweeping(Ended),
    /// Between two attempts; the restart's number in its budget.
    Backoff { next_try: DateTime<Utc>, restart: u32 },
    /// After giving up.
    GivenUp { next_try: DateTime<Utc> },
}

impl Unfinished {
    /// Of which trading date.
    #[must_use]
    pub fn trading_date(&self) -> NaiveDate {
        self.run.window.trading_date
    }
}
