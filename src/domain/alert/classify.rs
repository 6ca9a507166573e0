//! What a notice means to those who are told: which event, in which words, and which signal of a dead-man's switch.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::book::Look;
use super::{AlertEvent, Ping, Severity};
use crate::domain::notice::{About, Notice, What};
use crate::domain::outcome::{AttemptResult, Exit, RunResult, Signal};
use crate::domain::script::ScriptName;
use crate::domain::timeline::{DayPlan, plan};

/// A plain success sooner than this before the window's end is early.
const EARLY: TimeDelta = TimeDelta::minutes(10);

/// What follows a stop of our own accord.
const ANEW: &str = "stopped, then started again as after a crash";

/// Whom an episode is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Script(ScriptName),
    Calendar(String),
    /// A part of the daemon.
    Daemon(&'static str),
}

/// Something that may be worth telling.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// The first of these that a channel wants: `killed` also is a failure to those who want failures alone.
    pub events: Vec<AlertEvent>,
    pub severity: Option<Severity>,
    pub subject: Subject,
    pub at: DateTime<Utc>,
    pub about: Option<About>,
    pub exit: Option<Exit>,
    pub reason: String,
    pub next: Option<String>,
    pub log_tail: Vec<String>,
}

impl Draft {
    pub fn of_daemon(event: AlertEvent, part: &'static str, at: DateTime<Utc>, reason: String) -> Self {
        Self {
            events: vec![event],
            severity: None,
            subject: Subject::Daemon(part),
            at,
            about: None,
            exit: None,
            reason,
            next: None,
            log_tail: Vec::new(),
        }
    }
}

/// What `notice` is worth telling of; None = nothing.
pub(super) fn draft(notice: &Notice, look: Option<&Look>, zone: Tz) -> Option<Draft> {
    let words = words(notice, zone);
    let of_daemon = |event, part| Draft::of_daemon(event, part, notice.at, words.clone());
    match &notice.what {
        What::JournalLost { .. } => Some(of_daemon(AlertEvent::Daemon, "journal")),
        What::JournalBack { .. } => {
            Some(Draft { severity: Some(Severity::Info), ..of_daemon(AlertEvent::Daemon, "journal back") })
        }
        What::JournalRenewed { .. } => Some(of_daemon(AlertEvent::Daemon, "journal file")),
        What::PortTaken { .. } => Some(of_daemon(AlertEvent::Daemon, "port")),
        What::StartedAfterCrash { .. } => Some(of_daemon(AlertEvent::Daemon, "crash")),
        What::ClockStepped { .. } => Some(of_daemon(AlertEvent::ClockStep, "clock")),
        What::CalendarEnds { calendar, passed, .. } => {
            let severity = passed.then_some(Severity::Error);
            let subject = Subject::Calendar(calendar.clone());
            Some(Draft { severity, subject, ..of_daemon(AlertEvent::Calendar, "calendar") })
        }
        _ => {
            let about = notice.about.clone()?;
            let (events, exit, next) = of_script(notice, look, zone)?;
            let subject = Subject::Script(about.script.clone());
            let base = of_daemon(AlertEvent::Failed, "script");
            Some(Draft { events, subject, about: Some(about), exit, next, ..base })
        }
    }
}

type OfScript = (Vec<AlertEvent>, Option<Exit>, Option<String>);

fn of_script(notice: &Notice, look: Option<&Look>, zone: Tz) -> Option<OfScript> {
    let plain = |event| Some((vec![event], None, None));
    match &notice.what {
        What::Exited { exit, result } => exited(*exit, *result).map(|events| (events, Some(*exit), None)),
        What::SpawnFailed { .. } => plain(AlertEvent::Failed),
        What::Stopped { killed: true } | What::Unkillable { .. } => plain(AlertEvent::Killed),
        What::GaveUp { next_try, .. } => {
            let next = match next_try {
                Some(at) => format!("one try at {}", at.with_timezone(&zone).format("%H:%M:%S")),
                None => "none on this trading date".to_owned(),
            };
            Some((vec![AlertEvent::GaveUp], None, Some(next)))
        }
        What::LimitReached { .. } => plain(AlertEvent::TimeLimit),
        What::NotReady { .. } => Some((vec![AlertEvent::NotReady], None, Some(ANEW.to_owned()))),
        What::Tripped { restart, .. } => Some((vec![AlertEvent::Watchdog], None, restart.then(|| ANEW.to_owned()))),
        What::RestartScheduled { delay, .. } => {
            let next = format!("restart in {:.1}s", delay.as_secs_f64());
            Some((vec![AlertEvent::Restarted], None, Some(next)))
        }
        What::Skipped { .. } => plain(AlertEvent::Skipped),
        What::Carried { .. } => plain(AlertEvent::Finished),
        What::WorkerFailed { .. } => plain(AlertEvent::Daemon),
        What::Finished { result, .. } => match result {
            RunResult::Failed => plain(AlertEvent::GaveUp),
            RunResult::TimeLimit => plain(AlertEvent::TimeLimit),
            RunResult::Succeeded if is_early(notice, look) => {
                Some((vec![AlertEvent::EndedEarly, AlertEvent::Finished], None, None))
            }
            RunResult::Succeeded
            | RunResult::FinishedEarly
            | RunResult::WindowEnd
            | RunResult::StoppedByOperator
            | RunResult::Carried => plain(AlertEvent::Finished),
            RunResult::Skipped => plain(AlertEvent::Skipped),
            // All of these after an absence are one message: `absence`.
            RunResult::Missed | RunResult::Interrupted => None,
            RunResult::Running => None,
        },
        _ => None,
    }
}

/// What the end of an attempt is worth telling as.
fn exited(exit: Exit, result: AttemptResult) -> Option<Vec<AlertEvent>> {
    let by_kill = matches!(exit, Exit::Signal { signal: Signal::KILL, .. } | Exit::Signal { out_of_memory: true, .. });
    match result {
        AttemptResult::Signaled if by_kill => Some(vec![AlertEvent::Killed, AlertEvent::Failed]),
        AttemptResult::Crashed | AttemptResult::Signaled | AttemptResult::SpawnFailed => Some(vec![AlertEvent::Failed]),
        // How it ended is told with the start after the crash of the daemon.
        AttemptResult::Lost => None,
        // That is told when nothing of it is left.
        AttemptResult::KilledAfterGrace => None,
        // That was told when its stop was decided.
        AttemptResult::NotReady | AttemptResult::Watchdog => None,
        AttemptResult::Succeeded | AttemptResult::FinishedEarly | AttemptResult::Stopped => None,
    }
}

/// Whether a run that has just succeeded had much of its window left, and nobody waited for that.
fn is_early(notice: &Notice, look: Option<&Look>) -> bool {
    let (Some(look), Some(about)) = (look, &notice.about) else { return false };
    let Some(calendar) = &look.calendar else { return false };
    match plan(&look.facts.spec.window, calendar, about.trading_date) {
        Ok(DayPlan::Window(window)) => {
            !look.has_dependents && window.start <= notice.at && notice.at + EARLY < window.stop
        }
        Ok(_) | Err(_) => false,
    }
}

/// A script, for the one message after an absence: what was missed (true) or interrupted, in words.
pub(super) fn absence(notice: &Notice, zone: Tz) -> Option<(bool, String)> {
    let about = notice.about.as_ref()?;
    let is_missed = match &notice.what {
        // Nobody saw it end, but it ended well.
        What::Unwatched { missed, interrupted: Some((_, result)) } if missed.is_empty() && is_well(*result) => {
            return None;
        }
        What::Unwatched { missed, .. } => !missed.is_empty(),
        What::Finished { result: RunResult::Missed, .. } => true,
        What::Finished { result: RunResult::Interrupted, .. } => false,
        _ => return None,
    };
    let told = match &notice.what {
        What::Finished { reason, .. } => format!("{}, {reason}", about.trading_date),
        _ => words(notice, zone),
    };
    Some((is_missed, format!("{}: {told}", about.script)))
}

/// The signal of a dead-man's switch that watches the runs of this script.
pub(super) fn ping(notice: &Notice) -> Option<Ping> {
    match &notice.what {
        What::Started { .. } => Some(Ping::Start),
        What::Skipped { planned, .. } => Some(if *planned { Ping::Success } else { Ping::Fail }),
        // Its window ended as planned, only its process goes on.
        What::Carried { .. } => Some(Ping::Success),
        What::GaveUp { .. } => Some(Ping::Fail),
        What::Unwatched { missed, interrupted } => {
            let is_bad = !missed.is_empty() || interrupted.is_some_and(|(_, result)| !is_well(result));
            Some(if is_bad { Ping::Fail } else { Ping::Success })
        }
        What::Finished { result: RunResult::Running, .. } => None,
        What::Finished { result, .. } => Some(if is_well(*result) { Ping::Success } else { Ping::Fail }),
        _ => None,
    }
}

/// Whether a run ended as it should, or as somebody wanted.
pub(super) fn is_well(result: RunResult) -> bool {
    match result {
        RunResult::Succeeded
        | RunResult::FinishedEarly
        | RunResult::WindowEnd
        | RunResult::StoppedByOperator
        | RunResult::Skipped
        | RunResult::Carried => true,
        RunResult::Running | RunResult::TimeLimit | RunResult::Failed | RunResult::Missed | RunResult::Interrupted => {
            false
        }
    }
}

/// As the log says it, on one line.
pub(super) fn words(notice: &Notice, zone: Tz) -> String {
    let line = |line: crate::domain::notice::Line| {
        let cause = line.fields.iter().find(|(key, _)| *key == "cause").map(|(_, cause)| format!(" ({cause})"));
        line.text + &cause.unwrap_or_default()
    };
    notice.lines(zone).into_iter().map(line).collect::<Vec<_>>().join("; ")
}
