//! The journal in SQLite: `mho.db` in the state directory, what a daemon leaves to the next one.
//!
//! One thread writes, a transaction for each batch. A commit survives the death of the daemon; one that is to survive a loss of power is
//! synced first. Whatever is wrong with the file, the daemon goes on: it tries again with the next batch, and a file that is of no use is
//! set aside under another name, never deleted. The only exception is a file of a newer version of this program, which knows better.

mod facts;
mod fault;
pub mod history;
mod life;
mod link;
mod load;
mod place;
mod read;
mod rows;
mod schema;
mod start;
mod text;
mod unended;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

pub use facts::{ScriptFacts, hash_of};
pub use life::Life;
pub use unended::unended;

use crate::domain::record::{Grade, Past, Record};
use crate::domain::script::ScriptName;
use crate::ports::{Journal, JournalError, PortFuture};
use link::Demand;
use place::Place;
use schema::SCHEMA;
use writer::{Command, Reply, Watch, Writer};

/// Told, in words, that another file than before is written to, so that all that is known must be written again: at the start, too. Called
/// on the writer's thread, must not block.
pub type Renewed = Box<dyn Fn(&str) + Send>;

/// Whose dates are in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A daemon that trades.
    Live,
    /// A rehearsal: its dates are not those of the calendar on the wall.
    Rehearsal,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Rehearsal => "rehearsal",
        }
    }

    /// An error, in words, if a journal of the kind `found` is not for us.
    fn accepts(self, found: &str, path: &Path) -> Result<(), String> {
        let path = path.display();
        match self {
            _ if found == self.name() => Ok(()),
            Self::Live => Err(format!("{path} belongs to a rehearsal")),
            Self::Rehearsal => Err(format!(
                "{path} belongs to a live daemon; a rehearsal would write its dates there: leave out --state-dir, or name another directory"
            )),
        }
    }
}

/// What the journal is opened with.
pub struct OpenArgs {
    /// Where `mho.db` is, or will be.
    pub state_dir: PathBuf,
    /// Whose.
    pub kind: Kind,
    /// On the market clock: what is recorded of later moments is not believed.
    pub now: DateTime<Utc>,
    /// Older history is pruned.
    pub history: Duration,
    /// What is told of the attempts of each script.
    pub scripts: BTreeMap<ScriptName, ScriptFacts>,
    /// When a new file was begun that lacks what is known.
    pub on_renewed: Renewed,
}

/// The journal, and what is in it.
pub struct Opened {
    /// To write to.
    pub journal: SqliteJournal,
    /// Empty where nothing could be read. What can be read counts even if it cannot be written.
    pub past: Past,
    /// There was something to read, and it could be read; or there is a new file.
    pub is_past_known: bool,
    /// What had to be done to open it, and what could not be read: worth an ERROR or a WARNING.
    pub reports: Vec<Report>,
    /// Why it cannot be written now: the daemon starts with what is known, and every write tries again.
    pub unavailable: Option<JournalError>,
}

/// Something that whoever looks after the daemon should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Something was lost, or is out of reach.
    Error(String),
    /// Nothing was lost.
    Warning(String),
}

/// Why the daemon must not start with this state directory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A newer version of this program wrote it.
    #[error("{0}")]
    Newer(String),
    /// A rehearsal was pointed at the state of a live daemon.
    #[error("{0}")]
    OfLiveDaemon(String),
    /// The machine gives no thread.
    #[error("cannot start the journal's thread: {0}; look at the limit of processes (ulimit -u)")]
    Thread(String),
}

/// The journal of one state directory.
pub struct SqliteJournal {
    writer: Sender<Command>,
}

impl SqliteJournal {
    /// Opens the journal of a state directory, which is locked already, and reads what is in it. Blocks.
    pub fn open(args: OpenArgs) -> Result<Opened, OpenError> {
        let place = Place::of(&args.state_dir);
        let demand = Demand { kind: args.kind, schema: SCHEMA, thorough: true };
        let found = start::start(&place, demand, args.now)?;
        let demand = Demand { thorough: found.link.is_none(), ..demand };
        let mut writer = Writer::new(place, demand, found.link, args.history, boot_id(), args.scripts, args.on_renewed);
        (writer.known, writer.ledger_read) = (found.known, found.known.is_some());
        writer.begun_anew = found.renewed;
        writer.past_unread = found.past.is_none() && found.unavailable.is_some();
        let writer = run(writer).map_err(|error| OpenError::Thread(error.to_string()))?;
        let (reports, unavailable) = (found.reports, found.unavailable);
        let (is_past_known, past) = (found.past.is_some(), found.past.unwrap_or_default());
        Ok(Opened { journal: Self { writer }, past, is_past_known, reports, unavailable })
    }

    /// Enters this life: after what was left over of earlier ones was ended, before anything starts. If it fails, the next write makes up for
    /// it.
    #[must_use]
    pub fn begin_life(&self, life: Life) -> PortFuture<Result<(), JournalError>> {
        self.order(|reply| Command::Begin(life, reply))
    }

    /// These scripts are watched from `at` on, and no others but those that are left out for once; and this is told of their attempts.
    pub fn watch(
        &self,
        scripts: Vec<ScriptName>,
        left_out: Vec<ScriptName>,
        facts: BTreeMap<ScriptName, ScriptFacts>,
        at: DateTime<Utc>,
    ) {
        // After the end of a life there is nobody to hear it.
        let _ = self.writer.send(Command::Watch(Watch { scripts, left_out, facts }, at));
    }

    /// The daemon ends in order: the file is closed, and nothing is written after that.
    #[must_use]
    pub fn end_life(&self, at: DateTime<Utc>, reason: &str) -> PortFuture<Result<(), JournalError>> {
        let reason = reason.to_owned();
        self.order(|reply| Command::End { at, reason, reply })
    }

    fn order(&self, order: impl FnOnce(Reply) -> Command) -> PortFuture<Result<(), JournalError>> {
        let (reply, done) = oneshot::channel();
        let sent = self.writer.send(order(reply));
        Box::pin(async move {
            let closed = || JournalError("the journal is closed; nothing is written to it any more".to_owned());
            sent.map_err(|_| closed())?;
            done.await.unwrap_or_else(|_| Err(closed()))
        })
    }
}

impl Journal for SqliteJournal {
    fn write(&self, records: Arc<Vec<Record>>, grade: Grade) -> PortFuture<Result<(), JournalError>> {
        self.order(|reply| Command::Write(records, grade, reply))
    }
}

impl Drop for SqliteJournal {
    fn drop(&mut self) {
        // After the end of a life there is nobody to hear it.
        let _ = self.writer.send(Command::Close);
    }
}

/// This life of the machine: in another one a pid means nothing.
#[must_use]
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

fn run(mut writer: Writer) -> io::Result<Sender<Command>> {
    let (orders, taken) = channel();
    writer.hashing = Some(facts::start_hashing(orders.clone())?);
    std::thread::Builder::new().name("mho-journal".to_owned()).spawn(move || writer.run(&taken))?;
    Ok(orders)
}
