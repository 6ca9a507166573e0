//! A journal in memory. It outlives the tree that writes it, so a test can let a daemon die and start another one on what is left.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, NaiveDate, Utc};

use crate::domain::attempt::AttemptId;
use crate::domain::operator::Hold;
use crate::domain::outcome::RunResult;
use crate::domain::record::{AttemptRecord, Grade, LedgerEntry, Past, Record, RunRecord, ScriptPast};
use crate::domain::script::ScriptName;
use crate::ports::{Journal, JournalError, PortFuture};

/// The kernel's boot id in the pretend world.
const BOOT: &str = "pretend";

/// Keeps everything in memory.
#[derive(Default)]
pub struct MemoryJournal {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    runs: BTreeMap<(ScriptName, NaiveDate), RunRecord>,
    attempts: BTreeMap<AttemptId, AttemptRecord>,
    holds: BTreeMap<Option<ScriptName>, Vec<Hold>>,
    batches: Vec<(Grade, usize)>,
    trouble: Option<Trouble>,
}

/// What is the matter with a pretend journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Each write fails with these words.
    Fails(String),
    /// No write ever answers.
    Hangs,
}

impl MemoryJournal {
    /// From now on this is the matter with it; None: nothing is.
    pub fn set_trouble(&self, trouble: Option<Trouble>) {
        self.lock().trouble = trouble;
    }

    /// The runs, by script and date.
    #[must_use]
    pub fn runs(&self) -> Vec<RunRecord> {
        self.lock().runs.values().cloned().collect()
    }

    /// The attempts, in order.
    #[must_use]
    pub fn attempts(&self) -> Vec<AttemptRecord> {
        self.lock().attempts.values().cloned().collect()
    }

    /// The grade and the number of records of each batch.
    #[must_use]
    pub fn batches(&self) -> Vec<(Grade, usize)> {
        self.lock().batches.clone()
    }

    /// What the next daemon finds, if this one died at `died`.
    #[must_use]
    pub fn past(&self, died: DateTime<Utc>) -> Past {
        let kept = self.lock();
        let mut scripts: BTreeMap<ScriptName, ScriptPast> = BTreeMap::new();
        for ((script, date), run) in &kept.runs {
            let past = scripts.entry(script.clone()).or_default();
            past.watched_until = Some(died);
            past.spent = Some((*date, run.attempts));
            // The latest is the last.
            past.window_ended = run.unfinished.clone().filter(|_| run.result != RunResult::Running);
            match run.result {
                RunResult::Running => past.unfinished.clone_from(&run.unfinished),
                result => past.results.push((*date, result)),
            }
        }
        for (script, holds) in &kept.holds {
            if let Some(script) = script {
                scripts.entry(script.clone()).or_default().holds.clone_from(holds);
            }
        }
        let pause_all = kept.holds.get(&None).and_then(|holds| holds.first().cloned());
        let open = kept.attempts.values().filter(|attempt| attempt.end.is_none());
        let entry = |attempt: &AttemptRecord| {
            Some(LedgerEntry { attempt: attempt.id.clone(), process: attempt.process?, boot: BOOT.to_owned() })
        };
        Past { scripts, ledger: open.filter_map(entry).collect(), pause_all, ..Past::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for MemoryJournal {
    fn write(&self, records: Arc<Vec<Record>>, grade: Grade) -> PortFuture<Result<(), JournalError>> {
        let mut kept = self.lock();
        match kept.trouble.clone() {
            Some(Trouble::Fails(why)) => return Box::pin(std::future::ready(Err(JournalError(why)))),
            Some(Trouble::Hangs) => return Box::pin(std::future::pending()),
            None => {}
        }
        kept.batches.push((grade, records.len()));
        for record in records.iter() {
            match record.clone() {
                Record::Run(run) => drop(kept.runs.insert((run.script.clone(), run.trading_date), *run)),
                Record::Attempt(attempt) => {
                    let before = kept.attempts.remove(&attempt.id).map(Record::Attempt);
                    let whole = before.map_or(record.clone(), |before| before.then(record.clone()));
                    if let Record::Attempt(whole) = whole {
                        kept.attempts.insert(whole.id.clone(), whole);
                    }
                }
                Record::Holds { script, holds } => drop(kept.holds.insert(script, holds)),
                // A test says when its daemon died; nobody asks for actions, and nobody is told anything.
                Record::Alive { .. } | Record::Action(_) | Record::Alert(_) => {}
            }
        }
        Box::pin(std::future::ready(Ok(())))
    }
}
