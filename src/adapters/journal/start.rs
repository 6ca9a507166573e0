//! The start: the file is opened and read; what keeps it from being written keeps nobody from what stands in it.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::fault::Fault;
use super::link::{self, Demand, Link};
use super::load;
use super::place::{FileId, Place};
use super::read::reading;
use super::{Kind, OpenError, Report};
use crate::domain::record::Past;
use crate::ports::JournalError;

/// So long a file that somebody else holds is tried at the start.
const PATIENCE: Duration = Duration::from_secs(1);

/// So long, after that, somebody who keeps others even from reading it is waited for.
const MORE_PATIENCE: Duration = Duration::from_millis(200);

/// What there is at the start.
#[derive(Default)]
pub(super) struct Start {
    /// To write to.
    pub(super) link: Option<Link>,
    /// The file that is written to, or whose past this is.
    pub(super) known: Option<FileId>,
    /// None: nothing could be read.
    pub(super) past: Option<Past>,
    pub(super) reports: Vec<Report>,
    pub(super) unavailable: Option<JournalError>,
    /// A new file was begun for this reason, and what is known is not in it yet.
    pub(super) renewed: Option<String>,
}

/// What could be read of a file that cannot be written.
struct Rescued {
    file: Option<FileId>,
    past: Past,
    unread: Vec<String>,
}

/// Opens the file and reads it; one that is of no use is set aside, and a new one begun.
pub(super) fn start(place: &Place, demand: Demand, now: DateTime<Utc>) -> Result<Start, OpenError> {
    match patiently(place, demand, now) {
        Ok((link, past, unread)) => {
            let reports = unread_rows(place, unread);
            Ok(Start { known: Some(link.id), link: Some(link), past: Some(past), reports, ..Start::default() })
        }
        Err(Fault::Newer(text)) => Err(OpenError::Newer(text)),
        Err(Fault::OtherKind(text)) if demand.kind == Kind::Rehearsal => Err(OpenError::OfLiveDaemon(text)),
        Err(Fault::OtherKind(text)) => Ok(begin_anew(place, demand, now, "rehearsal", &text, None)),
        Err(Fault::Damaged(text)) => {
            let rescued = rescue(place, demand.kind, now)?.filter(|rescued| rescued.past != Past::default());
            Ok(begin_anew(place, demand, now, "damaged", &text, rescued))
        }
        Err(fault) => Ok(unwritable(place, &fault, rescue(place, demand.kind, now)?)),
    }
}

fn patiently(place: &Place, demand: Demand, now: DateTime<Utc>) -> Result<(Link, Past, Vec<String>), Fault> {
    let begin = Instant::now();
    loop {
        let found = Link::open(place, demand).and_then(|link| {
            let loaded = load::load(&link.connection, now).map_err(|error| link::undecodable(place, &error));
            loaded.map(|(past, unread)| (link, past, unread))
        });
        match found {
            Err(Fault::Locked(_)) if begin.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(50)),
            found => return found,
        }
    }
}

/// Reads what can be read, in a file that is not to be touched. None if that is nothing, or not for us.
fn rescue(place: &Place, kind: Kind, now: DateTime<Utc>) -> Result<Option<Rescued>, OpenError> {
    if place.has_lone_log() {
        return Ok(None); // reading would delete it
    }
    let file = place.found().map(|(file, _)| file);
    let found = reading(place, MORE_PATIENCE, |connection| {
        let sql = "SELECT value FROM meta WHERE key = 'kind'";
        // A table that is spoiled says nothing against the others.
        let found = connection.query_row(sql, [], |row| row.get::<_, String>(0)).ok();
        found.map_or(Ok(()), |found| kind.accepts(&found, place.path()).map_err(Fault::OtherKind))?;
        Ok(load::salvage(connection, now))
    });
    match found {
        Ok(found) => Ok(found.map(|(past, unread)| Rescued { file, past, unread })),
        Err(Fault::Newer(text)) => Err(OpenError::Newer(text)),
        Err(Fault::OtherKind(text)) if kind == Kind::Rehearsal => Err(OpenError::OfLiveDaemon(text)),
        Err(_) => Ok(None),
    }
}

/// It cannot be written now, which every write tries again.
fn unwritable(place: &Place, fault: &Fault, rescued: Option<Rescued>) -> Start {
    let unavailable = Some(JournalError(fault.to_string()));
    let Some(Rescued { file, past, unread }) = rescued else { return Start { unavailable, ..Start::default() } };
    Start { known: file, past: Some(past), reports: unread_rows(place, unread), unavailable, ..Start::default() }
}

/// The file is of no use: it is kept under another name. What was rescued of it is to be written to the new one by whoever hears of it.
fn begin_anew(
    place: &Place,
    demand: Demand,
    now: DateTime<Utc>,
    word: &str,
    text: &str,
    rescued: Option<Rescued>,
) -> Start {
    let to = match place.set_aside(word, Utc::now()) {
        Ok(to) => to,
        Err(error) => return unwritable(place, &Fault::io(place.path(), &error), rescued),
    };
    let text = format!("{text}; it is kept as {}, and a new one is begun", to.display());
    let mut start = Start::default();
    match rescued {
        Some(rescued) => {
            start.past = Some(rescued.past);
            start.renewed = Some(format!("{text} with what could still be read in it"));
        }
        None if word == "rehearsal" => start.reports.push(Report::Warning(text)),
        None => start.reports.push(Report::Error(format!("{text}: what ran before is not known"))),
    }
    match patiently(place, demand, now) {
        Ok((link, _, _)) => (start.known, start.link) = (Some(link.id), Some(link)),
        Err(fault) => start.unavailable = Some(JournalError(fault.to_string())),
    }
    start
}

fn unread_rows(place: &Place, unread: Vec<String>) -> Vec<Report> {
    let path = place.path().display();
    let report = |text| {
        Report::Error(format!("a row of {path} cannot be read and is left out: {text}; look at it with sqlite3"))
    };
    unread.into_iter().map(report).collect()
}
