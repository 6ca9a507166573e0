//! Reads the configuration again while the daemon runs, and says what of it the tree is to take over: the scripts, the calendars and the
//! overrides of single dates. The daemon's own settings stay as they were until it is started again.
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
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use crate::adapters::reload::{ReloadResult, Reloaded};
use crate::config::{self, Fault, Loaded, Settings, Sources};
use crate::domain::calendar::{Calendar, Day, TimeOfDay};
use crate::domain::operator::Refused;

/// A reading takes milliseconds. After this long another one is begun beside it, if that is asked for.
const LONG: Duration = Duration::from_secs(10);

/// More requests than this do not wait for one reading.
const MOST_WAITING: usize = 32;

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

/// Whoever asked for a reload.
pub(super) struct Asker {
    /// Who, in words.
    pub(super) who: String,
    /// Scripts whose live processes were started with other values are to get new ones.
    pub(super) restart: bool,
    /// Hears what came of it.
    pub(super) reply: Option<oneshot::Sender<Result<String, Refused>>>,
}

/// What is to be taken over, and who asked for it.
pub(super) struct News {
    /// All scripts.
    pub(super) settings: Settings,
    /// Calendars that are new, or others than before.
    pub(super) calendars: Calendars,
    /// The same in words, but for the scripts.
    pub(super) text: String,
    /// Who asked.
    pub(super) askers: Vec<Asker>,
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
    /// For whom is read at the moment, and for whom once more after that: what they are about may have been written too late.
    askers: Vec<Asker>,
    waiting: Vec<Asker>,
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
            askers: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// The same, by a signal.
    pub(super) fn request(&mut self) {
        info!(target: "mho", "SIGHUP received: reading the configuration again");
        self.read(Asker { who: "SIGHUP".to_owned(), restart: false, reply: None });
    }

    /// Begins to read. A request that comes meanwhile is served by reading once more.
    pub(super) fn ask(&mut self, asker: Asker) {
        info!(target: "mho", "Reload asked for by {}: reading the configuration again", asker.who);
        self.read(asker);
    }

    fn read(&mut self, asker: Asker) {
        if self.waiting.len() >= MOST_WAITING {
            return refuse(asker, "too many reloads wait already: wait until they are done");
        }
        self.waiting.push(asker);
        match self.reading.map(|since| since.elapsed()) {
            Some(elapsed) if elapsed < LONG => return,
            Some(elapsed) => {
                let seconds = elapsed.as_secs();
                warn!(target: "mho", "The configuration has been read for {seconds} s: a file system hangs, or a file is none; trying once more beside that");
            }
            None => {}
        }
        self.begin();
    }

    fn begin(&mut self) {
        // Those of a reading that hangs are served by this one.
        self.askers.append(&mut self.waiting);
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
                error!(target: "mho", "The configuration cannot be read again: no thread ({error}); ask again later");
                self.askers.drain(..).for_each(|asker| refuse(asker, "no thread to read it: ask again later"));
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

    /// What of it is to be taken over; None if nothing is. Says what came of it, to the log and to whoever asked.
    pub(super) fn take(&mut self, reread: Reread, now: DateTime<Utc>) -> Option<News> {
        self.reading = None;
        let askers = std::mem::take(&mut self.askers);
        let news = self.judge(reread, askers, now);
        if !self.waiting.is_empty() {
            self.begin();
        }
        news
    }

    fn judge(&mut self, reread: Reread, askers: Vec<Asker>, now: DateTime<Utc>) -> Option<News> {
        let (loaded, changed, text) = match reread.loaded {
            Ok(loaded) if loaded.file.as_deref() != self.started_from => {
                let found = loaded.file.as_deref().unwrap_or(Path::new("")).display().to_string();
                let text = format!(
                    "{found} was not there at the start: start mho again to use it; everything stays as it was"
                );
                error!(target: "mho", "Reload refused: {text}");
                return self.refuse(askers, now, text);
            }
            Err(faults) => {
                let list: Vec<String> = faults.iter().map(Fault::to_string).collect();
                let text = format!("{}; everything stays as it was", list.join("; "));
                error!(target: "mho", "Reload refused, {}: {text}", count(&faults));
                return self.refuse(askers, now, text);
            }
            Ok(loaded) => {
                let changed = self.changed(&loaded.settings.calendars, &reread.changes);
                let text = told(&reread.changes, &changed, now);
                info!(target: "mho", "Calendars and overrides read again: {text}");
                self.warn(&loaded, now);
                (loaded, changed, text)
            }
        };
        let fresh = loaded.settings.calendars.iter().filter(|(key, _)| !self.in_use.contains_key(*key));
        let keys: Vec<&str> = fresh.clone().map(|(key, _)| &**key).collect();
        let (result, text) = match (changed.is_empty(), keys.is_empty()) {
            (true, true) => (ReloadResult::Unchanged, text),
            (true, false) => (ReloadResult::Changed, format!("new: {}", keys.join(", "))),
            (false, true) => (ReloadResult::Changed, text),
            (false, false) => (ReloadResult::Changed, format!("{text}; new: {}", keys.join(", "))),
        };
        let calendars: Calendars =
            changed.into_iter().chain(fresh.map(|(k, c)| (Arc::clone(k), Arc::clone(c)))).collect();
        self.in_use.extend(calendars.clone());
        self.answer(now, result, text.clone(), loaded.settings.overrides_digest.clone());
        let text = if result == ReloadResult::Changed { format!("calendars: {text}") } else { String::new() };
        let text = [text, self.later(&loaded.settings)].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        Some(News { settings: loaded.settings, calendars, text: text.join("\n"), askers })
    }

    fn refuse(&self, askers: Vec<Asker>, now: DateTime<Utc>, text: String) -> Option<News> {
        askers.into_iter().for_each(|asker| refuse(asker, &text));
        self.answer(now, ReloadResult::Refused, text, String::new());
        None
    }

    /// Keys of the daemon's own that are others than at its start.
    fn later(&self, after: &Settings) -> String {
        let keys = self.started_with.keys_that_need_a_start(after);
        if keys.is_empty() {
            return String::new();
        }
        let text = format!("{}: in effect when mho is started again", keys.join(", "));
        warn!(target: "mho", "{text}");
        text
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
        let (before, after) = (&self.in_use, &loaded.settings.calendars);
        let gone = before.keys().filter(|key| !after.contains_key(*key));
        for key in gone {
            warn!(target: "mho", "Calendar {key} is not in the configuration any more; it stays as it was until mho is started again");
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

/// Hears that, and everything stays as it was.
fn refuse(asker: Asker, why: &str) {
    if let Some(reply) = asker.reply {
        // Whoever asked may have stopped waiting.
        let _ = reply.send(Err(Refused::Faulty(why.to_owned())));
    }
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
