//! The files of a script's output: for each trading date a live one, and the parts that were rotated out of it. The daemon moves them
//! while we look, so what was found is believed only if it is found again.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::NaiveDate;

use super::Unreadable;

/// Device and inode: which file it is, whatever its name.
type FileId = (u64, u64);

/// A file that is being read, which may get another name meanwhile.
pub(super) struct Place {
    pub(super) date: NaiveDate,
    pub(super) file: File,
    pub(super) id: FileId,
}

/// A file of a date; number 0 is the live one, 1 the newest of the others.
struct Part {
    number: u32,
    id: FileId,
    modified: Option<SystemTime>,
}

impl Place {
    /// The part of this number; None if there is none.
    pub(super) fn open(dir: &Path, date: NaiveDate, number: u32) -> Result<Option<Self>, Unreadable> {
        let path = part(dir, date, number);
        let opened = File::open(&path).and_then(|file| Ok((id(&file.metadata()?), file)));
        match opened {
            Ok((id, file)) => Ok(Some(Self { date, file, id })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(&path, &error)),
        }
    }

    /// The part that was begun after this one.
    pub(super) fn newer(&self, dir: &Path) -> Result<Option<Self>, Unreadable> {
        let live = fs::metadata(part(dir, self.date, 0));
        if live.is_ok_and(|live| id(&live) == self.id) {
            return Ok(None);
        }
        let modified = self.file.metadata().and_then(|found| found.modified()).ok();
        choose(dir, self.date, |parts| match parts.iter().position(|part| part.id == self.id) {
            Some(ours) => ours.checked_sub(1).and_then(|newer| parts.get(newer)),
            // Removed: by hand, then there are older parts; or because so many came after it.
            None => parts.iter().rev().find(|part| part.number == 0 || part.modified >= modified),
        })
    }
}

/// The first part of a date.
pub(super) fn oldest(dir: &Path, date: NaiveDate) -> Result<Option<Place>, Unreadable> {
    choose(dir, date, |parts| parts.last())
}

/// Opens one of the parts of a date, of which there may be none.
fn choose(dir: &Path, date: NaiveDate, choice: impl Fn(&[Part]) -> Option<&Part>) -> Result<Option<Place>, Unreadable> {
    loop {
        let parts = parts(dir, date)?;
        let Some(chosen) = choice(&parts) else { return Ok(None) };
        let place = Place::open(dir, date, chosen.number)?;
        // Else it has moved on.
        if let Some(place) = place.filter(|place| place.id == chosen.id) {
            return Ok(Some(place));
        }
    }
}

/// The parts of a date as they stood at one moment, newest first.
fn parts(dir: &Path, date: NaiveDate) -> Result<Vec<Part>, Unreadable> {
    let names = |parts: &[Part]| parts.iter().map(|part| (part.number, part.id)).collect::<Vec<_>>();
    let mut before = list(dir, date)?;
    loop {
        let now = list(dir, date)?;
        if names(&before) == names(&now) {
            return Ok(now);
        }
        before = now;
    }
}

fn list(dir: &Path, date: NaiveDate) -> Result<Vec<Part>, Unreadable> {
    let found = |number| {
        let found = fs::metadata(part(dir, date, number)).ok()?;
        Some(Part { number, id: id(&found), modified: found.modified().ok() })
    };
    let numbers = files(dir)?.filter_map(|(of, number)| (of == date).then_some(number));
    let mut parts: Vec<_> = numbers.filter_map(found).collect();
    parts.sort_by_key(|part| part.number);
    Ok(parts)
}

/// The trading dates with a log.
pub(super) fn dates(dir: &Path) -> Result<impl Iterator<Item = NaiveDate> + use<>, Unreadable> {
    Ok(files(dir)?.map(|(date, _)| date))
}

/// Date and number of each file.
fn files(dir: &Path) -> Result<impl Iterator<Item = (NaiveDate, u32)> + use<>, Unreadable> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        entries => Some(entries.map_err(|error| unreadable(dir, &error))?),
    };
    Ok(entries.into_iter().flatten().filter_map(|entry| name(entry.ok()?.file_name().to_str()?)))
}

/// What a name such as `2026-11-27.log.3` says.
fn name(name: &str) -> Option<(NaiveDate, u32)> {
    let (date, rest) = name.split_once(".log")?;
    let number = if rest.is_empty() { 0 } else { rest.strip_prefix('.')?.parse().ok()? };
    Some((date.parse().ok()?, number))
}

pub(super) fn part(dir: &Path, date: NaiveDate, number: u32) -> PathBuf {
    dir.join(if number == 0 { format!("{date}.log") } else { format!("{date}.log.{number}") })
}

fn id(found: &Metadata) -> FileId {
    (found.dev(), found.ino())
}

pub(super) fn unreadable(path: &Path, error: &io::Error) -> Unreadable {
    Unreadable(format!("cannot read {}: {error}; look at what is there, and who may read it", path.display()))
}
