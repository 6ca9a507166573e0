//! When an order is done, and what came of it.

use super::View;
use super::view::StateName;
use crate::domain::outcome::{AttemptResult, Exit};

/// When an order is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// It is.
    Done,
    /// When no process is left.
    Down,
    /// When an attempt after this one lives.
    Up {
        /// Its number.
        after: u32,
    },
}

/// How far an order has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not there yet.
    Pending,
    /// There is a process; whether it lives on is seen in a moment.
    Lives {
        /// In words.
        message: String,
    },
    /// Nothing more comes of it.
    Done {
        /// It did what was asked.
        ok: bool,
        /// In words; empty where there is nothing to add.
        message: String,
    },
}

impl Goal {
    /// How far the order has come, by the state of its script.
    #[must_use]
    pub fn progress(self, view: &View) -> Progress {
        let done = |ok, message: String| Progress::Done { ok, message };
        let is_new = |after: u32| view.attempt > after;
        match (self, view.state) {
            (Self::Done, _) => done(true, String::new()),
            (Self::Down | Self::Up { .. }, StateName::Stopping | StateName::Starting) => Progress::Pending,
            (Self::Down, _) if view.live.is_some() => Progress::Pending,
            (Self::Down, _) => {
                done(true, ended_words(view).map_or_else(|| "stopped".to_owned(), |how| format!("stopped: {how}")))
            }
            (Self::Up { after }, StateName::Running) if is_new(after) => {
                let pid = view.pid.map_or_else(String::new, |pid| format!(", PID {pid}"));
                Progress::Lives { message: format!("started{pid}") }
            }
            (Self::Up { .. }, StateName::Running) => Progress::Pending,
            (Self::Up { .. }, StateName::Waiting) => done(true, format!("waiting: {}", view.reason)),
            (Self::Up { after }, _) if is_new(after) => {
                let ok = view
                    .last_exit
                    .is_some_and(|end| matches!(end.result, AttemptResult::Succeeded | AttemptResult::FinishedEarly));
                let how = ended_words(view).unwrap_or_else(|| view.reason.clone());
                done(
                    ok,
                    if ok {
                        format!("it ran and ended: {how}")
                    } else {
                        format!("it failed: {how}; see mho logs, and mho status for what comes next")
                    },
                )
            }
            (Self::Up { .. }, _) => done(false, format!("it did not start: {}", view.reason)),
        }
    }
}

fn ended_words(view: &View) -> Option<String> {
    let end = view.last_exit?;
    let how = match end.exit {
        Some(Exit::Code(code)) => format!("exit code {code}"),
        Some(Exit::Signal { signal, .. }) => format!("{signal}"),
        None => return Some(view.reason.clone()).filter(|reason| !reason.is_empty()),
    };
    Some(match end.result {
        AttemptResult::KilledAfterGrace => format!("killed after its grace ({how})"),
        _ => how,
    })
}
