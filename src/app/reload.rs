//! Reads the configuration again while the daemon runs, and takes over what of it may change under running scripts: the calendars and
//! the overrides of single dates.
//!
//! Files may stand on a file system that keeps its readers waiting, and nothing of supervision may wait for that: they are read by a
//! thread of their own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::adapters::reload::{ReloadResult, Reloaded};
use crate::config::{self, Fault, Loaded, Settings, Sources};
use crate::domain::calendar::{Calendar, Day, TimeOfDay};

/// A reading takes milliseconds. After this long another one is begun beside it, if that is asked for.
const LONG: Duration = Duration::from_secs(10);

/// So many changed dates are told one by one.
const TOLD: usize = 10;

/// Calendars by key.
pub(super) type Calendars = BTreeMap<Arc<str>, Arc<Calendar>>;

/// What a thread has read.
pub(super) struct Reread {
    number: u64,
    loaded: Result<Box<Loaded>, Vec<Fault>>,
    changes: Vec<Change>,
}

/// One date that is other than before: both days, and the calendar's zone.
struct Change {
    id: String,
    zone: Tz,
    before: Day,
    after: Day,
}

/// Reads again on request, one reading at a time.
pub(super) struct Reloads<'a> {
    /// The file that was read at the start, and no other that may be found by then.
    sources: Sources,
    started_from: Option<&'a Path>,
    in_use: Calendars,
    /// As at the start: what else has changed waits for the next one.
    started_with: &'a Settings,
    warned: Vec<Fault>,
    tell: mpsc::UnboundedSender<Reread>,
    hear: mpsc::UnboundedReceiver<Reread>,
    /// Since when the latest reading goes on.
    reading: Option<Instant>,
    /// Its number: what an earlier one that was given up brings after all is not wanted any more.
    number: u64,
    once_more: bool,
}

impl<'a> Reloads<'a> {
    pub(super) fn new(sources: &'a Sources, loaded: &'a Loaded, now: DateTime<Utc>) -> Self {
        let (tell, hear) = mpsc::unbounded_channel();
        Self {
            sources: Sources { config: loaded.file.clone().or_else(|| sources.config.clone()), ..sources.clone() },
            started_from: loaded.file.as_deref(),
            in_use: loaded.settings.calendars.clone(),
            started_with: &loaded.settings,
            warned: warnings(loaded, now),
            tell,
            hear,
            reading: None,
            number: 0,
            once_more: false,
        }
    }

    /// Begins to read. A request that comes meanwhile is served by reading once more: what it is about may have been written too late.
    pub(super) fn request(&mut self) {
        info!(target: "mho", "SIGHUP received: reading calendars and overrides again");
        self.read();
    }

    fn read(&mut self) {
        match self.reading.map(|since| since.elapsed()) {
            Some(elapsed) if elapsed < LONG => {
                self.once_more = true;
                return;
            }
            Some(elapsed) => {
                let seconds = elapsed.as_secs();
                warn!(target: "mho", "The configuration has been read for {seconds} s: a file system hangs, or a file is none; trying once more beside that");
            }
            None => {}
        }
        self.number += 1;
        let number = self.number;
        let (sources, in_use, tell) = (self.sources.clone(), self.in_use.clone(), self.tell.clone());
        let read = move || {
            let loaded = config::load(&sources).map(Box::new);
            let changes = loaded.as_ref().map(|loaded| changes(&in_use, &loaded.settings.calendars));
            // The daemon has ended: nobody wants to know.
            let _ = tell.send(Reread { number, changes: changes.unwrap_or_default(), loaded });
        };
        match thread::Builder::new().name("reload".to_owned()).spawn(read) {
            Ok(_) => self.reading = Some(Instant::now()),
            Err(error) => {
                error!(target: "mho", "The configuration cannot be read again: no thread ({error}); send SIGHUP again later")
            }
        }
    }

    /// What was read, as soon as that is so.
    pub(super) async fn next(&mut self) -> Reread {
        loop {
            match self.hear.recv().await {
                Some(reread) if reread.number == self.number => return reread,
                Some(_) => {}
                // The sender lives as long as this does.
                None => std::future::pending().await,
            }
        }
    }

    /// Takes over what was read: the calendars that are others than before. Says what came of it, to the log and to whoever asked.
    pub(super) fn take(&mut self, reread: Reread, now: DateTime<Utc>) -> Calendars {
        self.reading = None;
        let mut digest = String::new();
        let (changed, result, text) = match reread.loaded {
            Ok(loaded) if loaded.file.as_deref() != self.started_from => {
                let found = loaded.file.as_deref().unwrap_or(Path::new("")).display().to_string();
                let text = format!(
                    "{found} was not there at the start: start mho again to use it; everything stays as it was"
                );
                error!(target: "mho", "Reload refused: {text}");
                (Calendars::new(), ReloadResult::Refused, text)
            }
            Err(faults) => {
                let list: Vec<String> = faults.iter().map(Fault::to_string).collect();
                let text = format!("{}; everything stays as it was", list.join("; "));
                error!(target: "mho", "Reload refused, {}: {text}", count(&faults));
                (Calendars::new(), ReloadResult::Refused, text)
            }
            Ok(loaded) => {
                digest.clone_from(&loaded.settings.overrides_digest);
                let changed = self.changed(&loaded.settings.calendars, &reread.changes);
                let text = told(&reread.changes, &changed, now);
                info!(target: "mho", "Calendars and overrides read again: {text}");
                self.warn(&loaded, now);
                let result = if changed.is_empty() { ReloadResult::Unchanged } else { ReloadResult::Changed };
                (changed, result, text)
            }
        };
        self.in_use.extend(changed.clone());
        self.answer(now, result, text, digest);
        if std::mem::take(&mut self.once_more) {
            self.read();
        }
        changed
    }

    fn changed(&self, read: &Calendars, changes: &[Change]) -> Calendars {
        let is_changed = |before: &Calendar, after: &Calendar| {
            before.range() != after.range()
                || before.published_to() != after.published_to()
                || changes.iter().any(|change| change.id == after.id())
        };
        let pairs = self.in_use.iter().filter_map(|(key, before)| Some((key, before, read.get(key)?)));
        pairs
            .filter(|(_, before, after)| is_changed(before, after))
            .map(|(key, _, after)| (Arc::clone(key), Arc::clone(after)))
            .collect()
    }

    fn warn(&mut self, loaded: &Loaded, now: DateTime<Utc>) {
        let warnings = warnings(loaded, now);
        // The file may be named in another way now.
        let same =
            |one: &Fault, other: &Fault| (one.line, &one.key, &one.message) == (other.line, &other.key, &other.message);
        let is_new = |warning: &&Fault| !self.warned.iter().any(|known| same(known, warning));
        for warning in warnings.iter().filter(is_new) {
            warn!(target: "mho", "{warning}");
        }
        self.warned = warnings;
        let (before, after) = (self.started_with, &loaded.settings);
        let gone = before.calendars.keys().filter(|key| !after.calendars.contains_key(*key));
        for key in gone {
            warn!(target: "mho", "Calendar {key} is not in the configuration any more; it stays as it was until mho is started again");
        }
        let others = (&before.scripts, &before.orchestrator, &before.market)
            != (&after.scripts, &after.orchestrator, &after.market);
        if others {
            warn!(target: "mho", "Other settings than calendars and overrides have changed: they take effect when mho is started again");
        }
    }

    /// For `mho calendar override`, which waits for it. By a thread of its own, as above.
    fn answer(&self, market_time: DateTime<Utc>, result: ReloadResult, text: String, overrides_digest: String) {
        let overrides_file = self.started_with.overrides_file.clone();
        let calendars = self.in_use.keys().map(ToString::to_string).collect();
        let (at, pid) = (Utc::now(), std::process::id());
        let answer = Reloaded { at, market_time, pid, overrides_file, overrides_digest, calendars, result, text };
        let state_dir = self.started_with.orchestrator.state_dir.clone();
        let write = move || {
            if let Err(error) = answer.write(&state_dir) {
                cannot_answer(&state_dir, &error);
            }
        };
        if let Err(error) = thread::Builder::new().name("answer".to_owned()).spawn(write) {
            cannot_answer(&self.started_with.orchestrator.state_dir, &error);
        }
    }
}

/// All that is allowed and seldom meant: of the configuration by itself, and of what it says about dates.
pub(super) fn warnings(loaded: &Loaded, now: DateTime<Utc>) -> Vec<Fault> {
    let dated = config::override_warnings(loaded, now).into_iter().chain(config::horizon_warnings(loaded, now));
    loaded.warnings.iter().cloned().chain(dated).collect()
}

fn cannot_answer(state_dir: &Path, error: &std::io::Error) {
    warn!(target: "mho", "What came of the reload cannot be told in {}: {error}", state_dir.display());
}

/// The dates that are other than before, of calendars that both have.
fn changes(before: &Calendars, after: &Calendars) -> Vec<Change> {
    let pairs = before.iter().filter_map(|(key, before)| Some((before, after.get(key)?)));
    let of = |(before, after): (&Arc<Calendar>, &Arc<Calendar>)| {
        let (id, zone) = (after.id().to_owned(), after.zone());
        before.changes(after).into_iter().map(move |(before, after)| Change { id: id.clone(), zone, before, after })
    };
    let mut found = Vec::new();
    for pair in pairs {
        found.extend(of(pair));
    }
    found
}

/// The changed dates that still matter, in words.
fn told(changes: &[Change], changed: &Calendars, now: DateTime<Utc>) -> String {
    if changed.is_empty() {
        return "nothing has changed".to_owned();
    }
    let matters = |change: &&Change| now.with_timezone(&change.zone).date_naive() <= change.after.date;
    let relevant: Vec<&Change> = changes.iter().filter(matters).collect();
    if relevant.is_empty() {
        let ids: Vec<&str> = changed.keys().map(|key| &**key).collect();
        return format!("{} has changed, but for no date from today on", ids.join(", "));
    }
    let mut list: Vec<String> = relevant.iter().take(TOLD).map(|change| change.words()).collect();
    if relevant.len() > TOLD {
        list.push(format!("and {} dates more", relevant.len() - TOLD));
    }
    list.join("; ")
}

impl Change {
    fn words(&self) -> String {
        let (id, date) = (&self.id, self.after.date);
        let [after, before] = [&self.after, &self.before].map(|day| words(day, self.zone));
        if after == before {
            return format!("{id} {date} is {after} as before, on other grounds");
        }
        format!("{id} {date} is {after}, was {before}")
    }
}

fn words(day: &Day, zone: Tz) -> String {
    let why = if day.reason.is_empty() { String::new() } else { format!(" ({})", day.reason) };
    match &day.session {
        None => format!("closed{why}"),
        Some(session) => {
            let [open, close] = [session.open, session.close].map(|at| TimeOfDay::of(at, day.date, zone));
            format!("{open} to {close}{why}")
        }
    }
}

fn count(faults: &[Fault]) -> String {
    format!("{} fault{}", faults.len(), if faults.len() == 1 { "" } else { "s" })
}
