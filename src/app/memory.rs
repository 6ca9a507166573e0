//! What the daemon remembers of those before it: opens the journal, ends what they left running, and enters its own life. All of it before
//! anything is started.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tracing::{error, warn};

use super::StartError;
use crate::adapters::journal::{Kind, Life, OpenArgs, Opened, Report, ScriptFacts, SqliteJournal};
use crate::adapters::process::{Leftover, Swept, sweep};
use crate::config::Settings;
use crate::domain::record::{ActionRecord, LedgerEntry, Past, Record};
use crate::domain::script::ScriptName;

/// The start of the daemon waits this long for the journal to note it.
const ENTER: Duration = Duration::from_secs(2);

/// The end of the daemon waits this long for the journal to be closed.
const CLOSE: Duration = Duration::from_secs(1);

/// The journal, and what was found in it.
pub(super) struct Memory {
    pub(super) journal: Arc<SqliteJournal>,
    pub(super) past: Past,
    /// What was wrong with it when it was opened; that is in the log already.
    pub(super) faults: Vec<String>,
    /// The journal had to begin a new file, and why: it must be told everything.
    pub(super) began_anew: UnboundedReceiver<String>,
}

impl Memory {
    pub(super) fn open(settings: &Settings, is_rehearsal: bool, now: DateTime<Utc>) -> Result<Self, StartError> {
        let (tell, began_anew) = unbounded_channel();
        let facts = settings.scripts.iter().map(|spec| (spec.name.clone(), ScriptFacts::of(spec)));
        let args = OpenArgs {
            state_dir: settings.orchestrator.state_dir.clone(),
            kind: if is_rehearsal { Kind::Rehearsal } else { Kind::Live },
            now,
            history: settings.orchestrator.history,
            scripts: facts.collect(),
            on_renewed: Box::new(move |why| {
                if let Err(unheard) = tell.send(why.to_owned()) {
                    // The daemon ends: there is nothing left to do but to say so.
                    error!(target: "mho", "{}", unheard.0);
                }
            }),
        };
        let Opened { journal, past, is_past_known, reports, unavailable } = SqliteJournal::open(args)?;
        let mut faults = Vec::new();
        for report in reports {
            match report {
                Report::Error(text) => {
                    error!(target: "mho", "{text}");
                    faults.push(text);
                }
                Report::Warning(text) => warn!(target: "mho", "{text}"),
            }
        }
        if let Some(reason) = unavailable {
            let known = if is_past_known { "known" } else { "not known" };
            warn!(target: "mho", "Starting with a journal that cannot be written: {reason}. What was recorded before is {known}; every record is tried again.");
        }
        Ok(Self { journal: Arc::new(journal), past, faults, began_anew })
    }

    /// What came of the past so far: what was cleaned up, and the ends of runs that nobody watches any more.
    pub(super) fn settle(&mut self, settings: &Settings, swept: &Swept, at: DateTime<Utc>) -> Vec<Record> {
        let watched = |name: &ScriptName| settings.scripts.iter().any(|spec| spec.enabled && spec.name == *name);
        let ended = self.past.give_up(watched, at);
        for run in &ended {
            warn!(target: "mho", script = %run.script, trading_date = %run.trading_date, result = run.result.name(), "Run ended: {}", run.reason);
        }
        let ended = ended.into_iter().map(|run| Record::Run(Box::new(run)));
        actions(&swept.stopped, at).into_iter().chain(ended).collect()
    }

    /// Enters the daemon's life. If the journal fails now, its next write makes up for that.
    pub(super) async fn begin_life(&self, settings: &Settings, swept: &Swept, at: DateTime<Utc>) {
        // Of a disabled one nobody expects anything: it misses no date, neither now nor when it is enabled again.
        let watched = settings.scripts.iter().filter(|spec| spec.enabled);
        let life = Life {
            started_at: at,
            pid: std::process::id(),
            scripts: watched.map(|spec| spec.name.clone()).collect(),
            left_out: settings.left_out.clone(),
            survivors: swept.survivors.iter().map(|left| left.process).collect(),
        };
        // A disk that does not answer keeps nobody from starting.
        if tokio::time::timeout(ENTER, self.journal.begin_life(life)).await.is_err() {
            warn!(target: "mho", "The journal does not answer; starting all the same. Look at the disk.");
        }
    }

    /// Other scripts are watched from now on. If the journal fails now, the next start finds what it knew.
    pub(super) fn watch(&self, settings: &Settings, at: DateTime<Utc>) {
        let watched = settings.scripts.iter().filter(|spec| spec.enabled).map(|spec| spec.name.clone()).collect();
        let facts = settings.scripts.iter().map(|spec| (spec.name.clone(), ScriptFacts::of(spec))).collect();
        self.journal.watch(watched, settings.left_out.clone(), facts, at);
    }

    pub(super) async fn end_life(&self, at: DateTime<Utc>, reason: &str) {
        if let Ok(Err(reason)) = tokio::time::timeout(CLOSE, self.journal.end_life(at, reason)).await {
            warn!(target: "mho", "The end of this daemon could not be recorded: {reason}");
        }
    }
}

/// Stops what earlier daemons left running: each after the grace of its script, `at_once` without any.
pub(super) async fn clean_up(
    settings: &Settings,
    daemon_id: &str,
    ledger: &[LedgerEntry],
    at_once: &Cell<bool>,
) -> Swept {
    let graces: BTreeMap<&ScriptName, Duration> = settings.scripts.iter().map(|s| (&s.name, s.stop.grace)).collect();
    let longest = graces.values().max().copied().unwrap_or_default();
    let of = |script: Option<&ScriptName>| script.and_then(|name| graces.get(name)).copied().unwrap_or(longest);
    let grace_of = |script: Option<&ScriptName>| if at_once.get() { Duration::ZERO } else { of(script) };
    sweep(daemon_id, ledger, grace_of).await
}

fn actions(swept: &[Leftover], at: DateTime<Utc>) -> Vec<Record> {
    let mut pids: BTreeMap<Option<ScriptName>, Vec<String>> = BTreeMap::new();
    for leftover in swept {
        pids.entry(leftover.script.clone()).or_default().push(leftover.process.pid.to_string());
    }
    let action = |(script, pids): (Option<ScriptName>, Vec<String>)| {
        let reason = format!("left running by an earlier daemon: PIDs {}", pids.join(", "));
        Record::Action(ActionRecord { at, who: "mho".to_owned(), action: "sweep".to_owned(), script, reason })
    };
    pids.into_iter().map(action).collect()
}
