//! The one who writes: a thread that owns the connection and takes one order after the other. The daemon waits for answers, never for the disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::Transaction;
use tokio::sync::oneshot;

use super::facts::{Fingerprint, ScriptFacts};
use super::fault::{Fault, reach};
use super::life::{self, Life};
use super::link::{Demand, Link, touch};
use super::place::{FileId, Place};
use super::rows;
use super::{Kind, Renewed};
use crate::adapters::sys::clock_is_synchronised;
use crate::domain::attempt::AttemptId;
use crate::domain::record::{Grade, Record};
use crate::domain::script::ScriptName;
use crate::ports::JournalError;

/// Told when the order was carried out, or why not.
pub(super) type Reply = oneshot::Sender<Result<(), JournalError>>;

/// An order to the writer.
pub(super) enum Command {
    Write(Arc<Vec<Record>>, Grade, Reply),
    Begin(Life, Reply),
    Watch(Watch, DateTime<Utc>),
    End { at: DateTime<Utc>, reason: String, reply: Reply },
    Fingerprint(Fingerprint),
    Close,
}

/// What is watched from now on.
pub(super) struct Watch {
    pub(super) scripts: Vec<ScriptName>,
    pub(super) left_out: Vec<ScriptName>,
    pub(super) facts: BTreeMap<ScriptName, ScriptFacts>,
}

/// After so many records the log is brought into the file at once; else at the next quiet moment, once there is more to tell in it than
/// signs of life, or so many of these.
const CHECKPOINT: usize = 2000;
const SIGNS: usize = 200;

/// A disk that spoils one file after the other is not filled with them.
const SET_ASIDE: u32 = 3;

/// What the writer knows; the connection comes and goes.
pub(super) struct Writer {
    pub(super) place: Place,
    pub(super) demand: Demand,
    pub(super) link: Option<Link>,
    /// Which file we wrote to last.
    pub(super) known: Option<FileId>,
    pub(super) history: Duration,
    pub(super) boot: String,
    pub(super) facts: BTreeMap<ScriptName, ScriptFacts>,
    pub(super) hashing: Option<Sender<(AttemptId, ScriptFacts)>>,
    /// What the lives before left over in this file is known to whoever started this one, and it is not given up yet.
    pub(super) ledger_read: bool,
    pub(super) renewed: Renewed,
    /// Something was in the file that could not be read when the daemon started: the next one has to tell what happened since then, so this
    /// life gives no sign of itself.
    pub(super) past_unread: bool,
    /// Why the file was new when the daemon started, if anything is known that is not in it.
    pub(super) begun_anew: Option<String>,
    /// The kernel's word on it.
    pub(super) clock_is_synchronised: fn() -> Option<bool>,
    life: Option<Life>,
    /// The number of this life, if it is in the file.
    entered: Option<i64>,
    /// The latest sign of this life.
    alive: Option<DateTime<Utc>>,
    unchecked: usize,
    /// Some of the records since the last checkpoint are more than signs of life.
    has_news: bool,
    set_aside: u32,
}

/// What goes into one transaction, besides what has to be made up for.
enum Batch<'a> {
    Records(&'a [Record]),
    Fingerprint(&'a Fingerprint),
    Nothing,
    Watch { at: DateTime<Utc> },
    End { at: DateTime<Utc>, reason: &'a str },
}

impl Writer {
    pub(super) fn new(
        place: Place,
        demand: Demand,
        link: Option<Link>,
        history: Duration,
        boot: String,
        facts: BTreeMap<ScriptName, ScriptFacts>,
        renewed: Renewed,
    ) -> Self {
        let (known, ledger_read) = (link.as_ref().map(|link| link.id), link.is_some());
        let (hashing, life, entered, alive) = (None, None, None, None);
        Self {
            place,
            demand,
            link,
            known,
            history,
            boot,
            facts,
            hashing,
            ledger_read,
            renewed,
            past_unread: false,
            begun_anew: None,
            clock_is_synchronised,
            life,
            entered,
            alive,
            unchecked: 0,
            has_news: false,
            set_aside: 0,
        }
    }

    /// Until it is told to close.
    pub(super) fn run(mut self, orders: &Receiver<Command>) {
        if let Some(why) = self.begun_anew.take() {
            (self.renewed)(&why);
        }
        while let Ok(order) = orders.recv() {
            match order {
                Command::Write(records, grade, reply) => {
                    let done = self.commit(&Batch::Records(&records), grade);
                    let is_done = done.is_ok();
                    // Whoever asked may be gone.
                    let _ = reply.send(done);
                    if is_done {
                        self.after(&records);
                    }
                }
                Command::Begin(life, reply) => {
                    self.life = Some(life);
                    let done = self.commit(&Batch::Nothing, Grade::PowerSafe);
                    // What is known stands in the file itself from the start: whoever loses the log does not lose all. Before the answer, since
                    // nothing is started until then that would wait for the disk.
                    self.aside(Link::checkpoint);
                    let _ = reply.send(done);
                }
                // The next start finds what was known before; nothing else depends on it.
                Command::Watch(watch, at) => {
                    self.facts = watch.facts;
                    if let Some(life) = &mut self.life {
                        (life.scripts, life.left_out) = (watch.scripts, watch.left_out);
                    }
                    let _ = self.commit(&Batch::Watch { at }, Grade::CrashSafe);
                }
                Command::End { at, reason, reply } => {
                    let done = self.commit(&Batch::End { at, reason: &reason }, Grade::PowerSafe);
                    self.close();
                    let _ = reply.send(done);
                    return;
                }
                // Worth having, not worth an error: the next start of the script has one, too.
                Command::Fingerprint(found) => drop(self.commit(&Batch::Fingerprint(&found), Grade::CrashSafe)),
                Command::Close => return,
            }
        }
    }

    /// All of the batch or nothing of it. A damaged file is set aside and the batch goes into a new one.
    fn commit(&mut self, batch: &Batch<'_>, grade: Grade) -> Result<(), JournalError> {
        let mut done = self.attempt(batch, grade);
        if let Err(Fault::Damaged(text)) = &done
            && self.set_aside < SET_ASIDE
        {
            let text = text.clone();
            done = self.put_aside(&text).and_then(|()| self.attempt(batch, grade));
        }
        done.map_err(|fault| {
            self.link = None;
            JournalError(fault.to_string())
        })
    }

    fn put_aside(&mut self, text: &str) -> Result<(), Fault> {
        self.link = None;
        self.set_aside += 1;
        let to = self.place.set_aside("damaged", Utc::now()).map_err(|error| Fault::io(self.place.path(), &error))?;
        (self.renewed)(&format!(
            "{text}; it is kept as {}, and a new one is begun with what the daemon knows",
            to.display()
        ));
        self.known = None;
        self.entered = None;
        Ok(())
    }

    fn attempt(&mut self, batch: &Batch<'_>, grade: Grade) -> Result<(), Fault> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.reopen()?,
        };
        if !link.is_still_there() {
            link.give_up(Utc::now()).map_err(|error| Fault::io(self.place.path(), &error))?;
            self.demand.thorough = true;
            link = self.reopen()?;
        }
        let failed = |error: rusqlite::Error| Fault::of(self.place.path(), &error);
        link.set_grade(grade).map_err(failed)?;
        // Takes the lock at once: a transaction that reads first could not wait for it.
        let tx = Transaction::new(&mut link.connection, rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
        if grade == Grade::PowerSafe {
            touch(&tx).map_err(failed)?;
        }
        let entered = self.fill(&tx, batch).map_err(failed)?;
        reach("journal.commit").map_err(failed)?;
        tx.commit().map_err(failed)?;
        // A sync that fails leaves it open whether the commit holds.
        reach("journal.committed").map_err(failed)?;
        self.entered = entered;
        self.ledger_read &= entered.is_none();
        self.known = Some(link.id);
        self.link = Some(link);
        Ok(())
    }

    /// Opens the file that is there now. If it is another one than before, whoever sends records hears of it.
    fn reopen(&mut self) -> Result<Link, Fault> {
        let link = Link::open(&self.place, self.demand)?;
        self.demand.thorough = false;
        let is_other = self.known.is_some_and(|known| known != link.id);
        if is_other || link.fresh {
            self.entered = None;
            // In it are processes that live: ours.
            self.ledger_read = false;
            self.known = Some(link.id);
            let path = self.place.path().display();
            let what = if link.fresh { "was begun anew" } else { "is another file than before" };
            (self.renewed)(&format!("{path} {what}: what the daemon knows is written to it"));
        }
        Ok(link)
    }

    /// Writes the batch, after the entry of this life where it is missing; returns the number of this life.
    fn fill(&self, tx: &Transaction<'_>, batch: &Batch<'_>) -> rusqlite::Result<Option<i64>> {
        let mut entered = self.entered;
        if let (None, Some(life)) = (entered, &self.life) {
            if self.ledger_read {
                life::give_up_ledger(tx, &life.survivors, &self.boot)?;
            }
            // The clock of a machine that has just come up may be years ahead: nothing is old by it, until somebody keeps it right.
            let is_right = self.demand.kind == Kind::Live && (self.clock_is_synchronised)() == Some(true);
            let now = if is_right { life::last_sign(tx, life.started_at)? } else { None };
            life::prune(tx, now, self.history)?;
            entered = Some(life::begin(tx, life, &self.boot)?);
        }
        match batch {
            Batch::Records(records) => records.iter().try_for_each(|record| self.write(tx, entered, record))?,
            Batch::Fingerprint(found) => rows::write_fingerprint(tx, found)?,
            Batch::Nothing => {}
            Batch::Watch { at } => {
                if let (Some(id), Some(life)) = (entered, &self.life) {
                    life::watch(tx, id, life, *at)?;
                }
            }
            Batch::End { at, reason } => {
                self.give_sign(tx, entered, *at)?;
                entered.map_or(Ok(()), |id| life::end(tx, id, *at, reason))?;
            }
        }
        Ok(entered)
    }

    fn write(&self, tx: &Transaction<'_>, entered: Option<i64>, record: &Record) -> rusqlite::Result<()> {
        match record {
            Record::Run(run) => rows::write_run(tx, run),
            Record::Attempt(attempt) => {
                rows::write_attempt(tx, attempt, self.facts.get(&attempt.id.script), &self.boot)
            }
            Record::Alert(alert) => rows::write_alert(tx, alert),
            Record::Action(action) => rows::write_action(tx, action),
            Record::Holds { script, holds } => rows::write_holds(tx, script.as_ref(), holds),
            Record::Alive { at } => self.give_sign(tx, entered, *at),
        }
    }

    fn give_sign(&self, tx: &Transaction<'_>, entered: Option<i64>, at: DateTime<Utc>) -> rusqlite::Result<()> {
        entered.filter(|_| !self.past_unread).map_or(Ok(()), |id| life::alive(tx, id, at))
    }

    /// What nobody waits for. The sign of life comes in quiet moments.
    fn after(&mut self, records: &[Record]) {
        self.unchecked += records.len();
        let before = self.alive;
        for record in records {
            match record {
                Record::Alive { at } => self.alive = Some(*at),
                Record::Attempt(attempt) if attempt.start.is_some() => {
                    // Without its thread there are no fingerprints.
                    let facts = self.facts.get(&attempt.id.script);
                    let _ = self
                        .hashing
                        .as_ref()
                        .zip(facts)
                        .map(|(hashing, facts)| hashing.send((attempt.id.clone(), facts.clone())));
                }
                _ => {}
            }
        }
        // By the clock as it was before: one that is years ahead for a moment does not cost the history.
        if let (Some(before), Some(now)) = (before, self.alive)
            && before.date_naive() < now.date_naive()
        {
            let history = self.history;
            self.aside(|link| {
                link.set_grade(Grade::CrashSafe)?;
                let tx = link.connection.transaction()?;
                life::prune(&tx, Some(before), history)?;
                tx.commit()
            });
        }
        let is_quiet = matches!(records, [Record::Alive { .. }]);
        self.has_news |= !is_quiet;
        if self.unchecked >= CHECKPOINT || is_quiet && (self.has_news || self.unchecked >= SIGNS) {
            (self.unchecked, self.has_news) = (0, false);
            self.aside(Link::checkpoint);
        }
    }

    /// Housekeeping: if it fails, the next batch finds out why.
    fn aside(&mut self, work: impl FnOnce(&mut Link) -> rusqlite::Result<()>) {
        if self.link.as_mut().is_some_and(|link| work(link).is_err()) {
            self.link = None;
        }
    }

    /// In order: nothing is left in the log, and the last connection removes it.
    fn close(&mut self) {
        self.aside(|link| {
            reach("journal.close")?;
            link.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        });
        self.link = None;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Mutex;

    use super::super::schema::SCHEMA;
    use super::*;
    use crate::domain::record::ActionRecord;

    const DEMAND: Demand = Demand { kind: Kind::Live, schema: SCHEMA, thorough: false };

    fn writer(dir: &std::path::Path) -> (Writer, Arc<Mutex<Vec<String>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let hear = Arc::clone(&told);
        let renewed = Box::new(move |text: &str| hear.lock().unwrap().push(text.to_owned()));
        let place = Place::of(dir);
        let link = Link::open(&place, DEMAND).unwrap();
        let history = Duration::from_secs(86_400);
        (Writer::new(place, DEMAND, Some(link), history, "boot".to_owned(), BTreeMap::new(), renewed), told)
    }

    fn actions(count: i64) -> Vec<Record> {
        let begin: DateTime<Utc> = "2026-11-27T14:30:00Z".parse().unwrap();
        let action = |n| ActionRecord {
            at: begin + chrono::TimeDelta::seconds(n),
            who: "somebody".to_owned(),
            action: "test".to_owned(),
            script: None,
            reason: "x".repeat(100),
        };
        (0..count).map(|n| Record::Action(action(n))).collect()
    }

    fn count(writer: &Writer) -> i64 {
        let connection = &writer.link.as_ref().unwrap().connection;
        connection.query_row("SELECT count(*) FROM actions", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn on_a_full_disk_nothing_of_a_batch_is_written_and_all_of_it_when_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, told) = writer(dir.path());
        writer.commit(&Batch::Records(&actions(3)), Grade::CrashSafe).unwrap();
        let connection = &writer.link.as_ref().unwrap().connection;
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        connection.pragma_update_and_check(None, "max_page_count", pages + 1, |_| Ok(())).unwrap();
        let error = writer.commit(&Batch::Records(&actions(1000)), Grade::PowerSafe).unwrap_err().to_string();
        assert!(error.contains("the disk is full") && error.contains("make room"), "{error}");
        // The limit is that of the closed connection.
        writer.commit(&Batch::Nothing, Grade::CrashSafe).unwrap();
        assert_eq!(count(&writer), 3);
        writer.commit(&Batch::Records(&actions(1000)), Grade::PowerSafe).unwrap();
        assert_eq!((count(&writer), told.lock().unwrap().len()), (1000, 0));
    }

    #[test]
    fn a_file_that_is_spoiled_in_use_is_set_aside_and_the_batch_goes_into_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, told) = writer(dir.path());
        writer.commit(&Batch::Records(&actions(3)), Grade::CrashSafe).unwrap();
        for n in 1..=SET_ASIDE {
            // As after an error of any kind: the next batch opens the file again.
            writer.link = None;
            fs::write(writer.place.path(), "no database".repeat(1000)).unwrap();
            writer.commit(&Batch::Records(&actions(1)), Grade::CrashSafe).unwrap();
            assert_eq!(count(&writer), 1, "{n}");
        }
        let first = told.lock().unwrap()[0].clone();
        assert!(first.contains("is damaged") && first.contains("it is kept as"), "{first}");
        let aside = fs::read_dir(dir.path()).unwrap().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
            name.starts_with("mho.db.damaged-") && !name.ends_with("-shm") && !name.ends_with("-wal")
        });
        assert_eq!(aside.count(), SET_ASIDE as usize);
        // A disk that spoils every file is not filled with them.
        writer.link = None;
        fs::write(writer.place.path(), "no database".repeat(1000)).unwrap();
        let error = writer.commit(&Batch::Records(&actions(1)), Grade::CrashSafe).unwrap_err();
        assert!(error.to_string().contains("is damaged"), "{error}");
    }

    #[test]
    fn what_is_to_survive_a_loss_of_power_is_synced_even_if_it_is_in_the_file_already() {
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, _) = writer(dir.path());
        let mut log_after = |grade| {
            writer.commit(&Batch::Records(&actions(3)), grade).unwrap();
            fs::metadata(writer.place.beside("-wal")).unwrap().len()
        };
        let first = log_after(Grade::CrashSafe);
        assert_eq!(log_after(Grade::CrashSafe), first, "nothing new: SQLite writes nothing, and would sync nothing");
        assert!(log_after(Grade::PowerSafe) > first, "a frame, and with it the sync of all before it");
    }

    #[test]
    fn at_the_start_only_a_right_clock_makes_anything_old_and_no_run_that_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, _) = writer(dir.path());
        let rows =
            "INSERT INTO runs (script, trading_date, result, reason, zone, attempts, restarts, recorded_at, unfinished)
            VALUES ('demo', '2026-11-20', 'failed', '', 'UTC', 1, 0, '2026-11-20T21:00:00.000Z', NULL),
            ('demo', '2026-11-21', 'running', '', 'UTC', 1, 0, '2026-11-21T21:00:00.000Z', '{}'),
            ('demo', '2026-11-29', 'failed', '', 'UTC', 1, 0, '2026-11-29T21:00:00.000Z', NULL);
            INSERT INTO lives (started_at, pid, boot_id, version, last_alive)
            VALUES ('2026-11-29T13:00:00.000Z', 1, 'boot', '0', '2026-11-30T12:00:00.000Z')";
        writer.link.as_ref().unwrap().connection.execute_batch(rows).unwrap();
        let left = |writer: &mut Writer, year: i32, is_synchronised| {
            writer.clock_is_synchronised = is_synchronised;
            let started_at = format!("{year}-11-30T13:00:00Z").parse().unwrap();
            let life = Life { started_at, pid: 1, scripts: vec![], left_out: vec![], survivors: vec![] };
            (writer.life, writer.entered) = (Some(life), None);
            writer.commit(&Batch::Nothing, Grade::PowerSafe).unwrap();
            let connection = &writer.link.as_ref().unwrap().connection;
            let days = "SELECT group_concat(substr(trading_date, 9)) FROM runs";
            connection.query_row(days, [], |row| row.get::<_, String>(0)).unwrap()
        };
        for is_synchronised in [|| None, || Some(false)] {
            assert_eq!(left(&mut writer, 2099, is_synchronised), "20,21,29");
        }
        writer.demand.kind = Kind::Rehearsal;
        assert_eq!(left(&mut writer, 2026, || Some(true)), "20,21,29");
        writer.demand.kind = Kind::Live;
        assert_eq!(left(&mut writer, 2026, || Some(true)), "21,29");
    }

    #[test]
    fn the_log_is_brought_into_the_file_in_quiet_moments_and_does_not_grow_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, _) = writer(dir.path());
        let alive = [Record::Alive { at: "2026-11-27T14:30:00Z".parse().unwrap() }];
        let size = |writer: &Writer| fs::metadata(writer.place.path()).unwrap().len();
        let mut write = |records: &[Record]| {
            writer.commit(&Batch::Records(records), Grade::CrashSafe).unwrap();
            writer.after(records);
            size(&writer)
        };
        let small = write(&alive);
        let few = actions(200);
        assert_eq!(write(&few), small, "somebody may be about to write more");
        assert!(write(&alive) > small, "a quiet moment");
        let before = write(&few);
        assert!(write(&actions(i64::try_from(CHECKPOINT).unwrap())) > before, "too much to wait");
        let frames = |write: &mut dyn FnMut(&[Record]) -> u64| (0..SIGNS).map(|_| write(&alive)).count();
        frames(&mut write);
        let log = fs::metadata(dir.path().join("mho.db-wal")).unwrap().len();
        frames(&mut write);
        assert_eq!(
            fs::metadata(dir.path().join("mho.db-wal")).unwrap().len(),
            log,
            "signs alone do not fill it, either"
        );
    }
}
