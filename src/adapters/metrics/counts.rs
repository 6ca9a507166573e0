//! What is counted of one script, from what is told of it.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::domain::notice::{Notice, What};
use crate::domain::outcome::{AttemptResult, Exit, RunResult};

/// What is counted of one script since the daemon started. Small, and cheap to copy: a scrape takes a copy, so that it holds up nobody.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) starts: u64,
    pub(super) restarts: u64,
    /// Only of results that there were: most scripts know two or three of them.
    pub(super) exits: Vec<(AttemptResult, u64)>,
    pub(super) last_exit_code: Option<i32>,
    pub(super) last_success: Option<DateTime<Utc>>,
    next: Attempt,
}

/// What the next attempt will be.
#[derive(Clone, Copy, Debug, Default)]
enum Attempt {
    /// A first one, or one that an operator or a new daemon wants.
    #[default]
    Fresh,
    /// An automatic restart. It is due at that moment; None: that says nothing of how quick this program is.
    Restart(Option<Instant>),
}

impl Counts {
    /// Counts what happened. How late it came is the answer, where that is a process that was due at a known moment.
    pub(super) fn hear(&mut self, notice: &Notice, now: Instant) -> Option<Duration> {
        match &notice.what {
            What::Started { .. } => {
                self.starts += 1;
                let due = self.attempted()?;
                // One that comes before its time was brought forward.
                return now.checked_duration_since(due);
            }
            What::SpawnFailed { .. } => {
                self.attempted();
                self.ended(AttemptResult::SpawnFailed);
            }
            What::Exited { exit, result } => {
                self.ended(*result);
                self.last_exit_code = Some(match exit {
                    Exit::Code(code) => *code,
                    Exit::Signal { signal, .. } => -signal.number(),
                });
            }
            What::RestartScheduled { delay, .. } | What::TryScheduled { delay } => {
                self.next = Attempt::Restart(now.checked_add(*delay));
            }
            // The time of the try is the market clock's, and the open may come before it.
            What::GaveUp { next_try: Some(_), .. } => self.next = Attempt::Restart(None),
            // The open ends the wait at once.
            What::Rearmed => {
                if let Attempt::Restart(Some(due)) = &mut self.next {
                    *due = now;
                }
            }
            // For somebody else, however long that takes.
            What::Waiting { .. } => {
                if let Attempt::Restart(due) = &mut self.next {
                    *due = None;
                }
            }
            What::Finished { result, .. } => {
                self.next = Attempt::Fresh;
                if matches!(result, RunResult::Succeeded | RunResult::FinishedEarly | RunResult::WindowEnd) {
                    self.last_success = Some(notice.at);
                }
            }
            // Its window ended as planned, only its process goes on.
            What::Carried { .. } => self.last_success = Some(notice.at),
            // To skip a date does not touch a run that has begun.
            What::Ordered { verb, .. } if *verb != "skip" => self.next = Attempt::Fresh,
            What::WorkerFailed { .. } => self.next = Attempt::Fresh,
            _ => {}
        }
        None
    }

    /// There was an attempt. If it was an automatic restart, this is when it was due.
    fn attempted(&mut self) -> Option<Instant> {
        match std::mem::take(&mut self.next) {
            Attempt::Fresh => None,
            Attempt::Restart(due) => {
                self.restarts += 1;
                due
            }
        }
    }

    fn ended(&mut self, result: AttemptResult) {
        match self.exits.iter_mut().find(|(known, _)| *known == result) {
            Some((_, count)) => *count += 1,
            None => self.exits.push((result, 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveDate, TimeZone};

    use super::*;
    use crate::domain::notice::About;
    use crate::domain::operator::By;
    use crate::domain::outcome::{Signal, SpawnError};
    use crate::domain::script::ScriptName;

    const DELAY: Duration = Duration::from_secs(4);

    fn notice(what: What) -> Notice {
        let trading_date = NaiveDate::from_ymd_opt(2026, 11, 27).unwrap();
        let about = About { script: ScriptName::new("a").unwrap(), trading_date, attempt: 1 };
        Notice { at: Utc.with_ymd_and_hms(2026, 11, 27, 18, 0, 0).unwrap(), about: Some(about), what }
    }

    fn hear(counts: &mut Counts, what: What, now: Instant) -> Option<Duration> {
        counts.hear(&notice(what), now)
    }

    fn started() -> What {
        What::Started { pid: 7 }
    }

    fn scheduled() -> What {
        What::RestartScheduled { delay: DELAY, restart: 1, of: 5 }
    }

    fn ordered(verb: &'static str) -> What {
        What::Ordered { verb, by: By { who: "ann".to_owned(), reason: String::new() } }
    }

    fn finished(result: RunResult) -> What {
        What::Finished { result, reason: String::new() }
    }

    #[test]
    fn a_restart_is_counted_when_it_comes_and_timed_from_the_moment_it_was_due() {
        let (mut counts, begin) = (Counts::default(), Instant::now());
        assert_eq!(hear(&mut counts, started(), begin), None);
        hear(&mut counts, What::Exited { exit: Exit::Code(3), result: AttemptResult::Crashed }, begin);
        hear(&mut counts, scheduled(), begin);
        assert_eq!((counts.starts, counts.restarts), (1, 0));
        let late = Duration::from_millis(2);
        assert_eq!(hear(&mut counts, started(), begin + DELAY + late), Some(late));
        assert_eq!((counts.starts, counts.restarts, counts.last_exit_code), (2, 1, Some(3)));
        // The next one is nobody's restart.
        assert_eq!(hear(&mut counts, started(), begin + DELAY * 2), None);
        assert_eq!((counts.starts, counts.restarts), (3, 1));
    }

    #[test]
    fn a_restart_that_cannot_be_spawned_counts_as_one_and_says_nothing_of_speed() {
        let (mut counts, begin) = (Counts::default(), Instant::now());
        hear(&mut counts, scheduled(), begin);
        let failed = What::SpawnFailed { error: SpawnError("no such file".to_owned()) };
        assert_eq!(hear(&mut counts, failed, begin + DELAY), None);
        assert_eq!((counts.starts, counts.restarts), (0, 1));
        assert_eq!(counts.exits, [(AttemptResult::SpawnFailed, 1)]);
        assert_eq!(counts.last_exit_code, None);
    }

    #[test]
    fn what_ends_or_moves_a_wait_decides_whether_the_next_start_is_a_timed_restart() {
        let gave_up = || What::GaveUp { reason: String::new(), next_try: Some(notice(started()).at) };
        let late = Duration::from_secs(1);
        let over = || What::GaveUp { reason: String::new(), next_try: None };
        let failed = || What::WorkerFailed { error: String::new(), again: true };
        let waiting = || What::Waiting { reason: "exec, PID 9".to_owned() };
        for (told, restarts, timed) in [
            (vec![scheduled()], 1, Some(late)),
            (vec![gave_up()], 1, None),
            (vec![gave_up(), What::TryScheduled { delay: DELAY }], 1, Some(late)),
            (vec![over()], 0, None),
            (vec![scheduled(), What::Rearmed], 1, Some(DELAY + late)),
            (vec![What::Rearmed], 0, None),
            (vec![scheduled(), waiting()], 1, None),
            (vec![scheduled(), waiting(), What::Rearmed], 1, None),
            (vec![scheduled(), ordered("start")], 0, None),
            (vec![scheduled(), ordered("pause")], 0, None),
            (vec![scheduled(), ordered("skip")], 1, Some(late)),
            (vec![scheduled(), finished(RunResult::Failed)], 0, None),
            (vec![scheduled(), failed()], 0, None),
        ] {
            let (mut counts, begin) = (Counts::default(), Instant::now());
            let case = format!("{told:?}");
            for what in told {
                hear(&mut counts, what, begin);
            }
            assert_eq!(hear(&mut counts, started(), begin + DELAY + late), timed, "{case}");
            assert_eq!(counts.restarts, restarts, "{case}");
        }
    }

    #[test]
    fn a_restart_that_comes_before_it_was_due_is_not_timed() {
        let (mut counts, begin) = (Counts::default(), Instant::now());
        hear(&mut counts, scheduled(), begin);
        assert_eq!(hear(&mut counts, started(), begin), None);
        assert_eq!(counts.restarts, 1);
    }

    #[test]
    fn a_signal_is_a_negative_code_and_never_128_and_more() {
        let mut counts = Counts::default();
        let exit = Exit::Signal { signal: Signal::KILL, out_of_memory: false };
        hear(&mut counts, What::Exited { exit, result: AttemptResult::Signaled }, Instant::now());
        hear(&mut counts, What::Exited { exit, result: AttemptResult::Signaled }, Instant::now());
        hear(&mut counts, What::Exited { exit, result: AttemptResult::KilledAfterGrace }, Instant::now());
        assert_eq!(counts.last_exit_code, Some(-9));
        assert_eq!(counts.exits, [(AttemptResult::Signaled, 2), (AttemptResult::KilledAfterGrace, 1)]);
    }

    #[test]
    fn a_run_that_did_its_day_is_a_success() {
        for (result, expected) in [
            (RunResult::Succeeded, true),
            (RunResult::FinishedEarly, true),
            (RunResult::WindowEnd, true),
            (RunResult::Failed, false),
            (RunResult::TimeLimit, false),
            (RunResult::StoppedByOperator, false),
            (RunResult::Skipped, false),
        ] {
            let mut counts = Counts::default();
            hear(&mut counts, finished(result), Instant::now());
            assert_eq!(counts.last_success.is_some(), expected, "{result:?}");
        }
        let mut counts = Counts::default();
        let carried = What::Carried { to: NaiveDate::from_ymd_opt(2026, 11, 28).unwrap() };
        hear(&mut counts, carried, Instant::now());
        assert!(counts.last_success.is_some());
    }
}
