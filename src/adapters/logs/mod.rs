//! Reads what scripts printed, from their files: the last lines, and then what comes, across rotation and into later trading dates. Needs no
//! daemon, holds no more than a piece of it in memory, and never waits.

mod parts;

use std::collections::{HashSet, VecDeque};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use parts::{Place, dates, oldest, part, unreadable};

/// So much is read at once.
const PIECE: usize = 64 * 1024;

/// Why it cannot be read, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

/// Output of one script, on its way from an older part to the newest.
pub struct Reading {
    dir: PathBuf,
    /// Of this trading date alone; None = later ones too.
    only: Option<NaiveDate>,
    at: Option<Place>,
}

impl Reading {
    /// From the last `lines` on, but not from more than `most` bytes before the end. `date` None = the latest, and those that come.
    ///
    /// # Errors
    /// The directory or a file of it cannot be read.
    pub fn of_last_lines(dir: &Path, date: Option<NaiveDate>, lines: usize, most: u64) -> Result<Self, Unreadable> {
        let from = match date {
            Some(date) => Some(date),
            None => dates(dir)?.max(),
        };
        let at = from.map_or(Ok(None), |from| last_lines(dir, from, lines, most))?;
        Ok(Self { dir: dir.to_owned(), only: date, at })
    }

    /// Nothing was printed yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at.is_none()
    }

    /// The next piece; None = there is no more at the moment. Each file is read to its end before the next newer one, however many came
    /// meanwhile.
    ///
    /// # Errors
    /// The directory or a file of it cannot be read.
    pub fn more(&mut self) -> Result<Option<Vec<u8>>, Unreadable> {
        loop {
            let dir = self.dir.clone();
            let Some(place) = &mut self.at else {
                let first = self.only.map_or_else(|| Ok(dates(&dir)?.min()), |date| Ok(Some(date)))?;
                self.at = first.map_or(Ok(None), |date| oldest(&dir, date))?;
                if self.at.is_none() {
                    return Ok(None);
                }
                continue;
            };
            if let Some(piece) = read(&dir, place)? {
                return Ok(Some(piece));
            }
            // The later date first: once there is one, no part of this date comes any more that could be missed.
            let later = if self.only.is_none() { later(&dir, place.date)? } else { None };
            let Some(next) = place.newer(&dir)?.or(later) else { return Ok(None) };
            // What came before it was begun.
            if let Some(piece) = read(&dir, place)? {
                return Ok(Some(piece));
            }
            self.at = Some(next);
        }
    }
}

/// The first part of the next trading date with a log.
fn later(dir: &Path, date: NaiveDate) -> Result<Option<Place>, Unreadable> {
    let next = dates(dir)?.filter(|found| *found > date).min();
    next.map_or(Ok(None), |date| oldest(dir, date))
}

fn read(dir: &Path, place: &mut Place) -> Result<Option<Vec<u8>>, Unreadable> {
    let path = part(dir, place.date, 0);
    let failed = |error| unreadable(&path, &error);
    let file = &mut place.file;
    // Emptied by somebody: what follows stands at its beginning.
    if file.metadata().map_err(failed)?.len() < file.stream_position().map_err(failed)? {
        file.rewind().map_err(failed)?;
    }
    let mut piece = vec![0; PIECE];
    let length = file.read(&mut piece).map_err(failed)?;
    piece.truncate(length);
    Ok((length > 0).then_some(piece))
}

/// The part in which the last lines of a date begin, at their beginning: from the newest part back, as far as it takes.
fn last_lines(dir: &Path, date: NaiveDate, lines: usize, most: u64) -> Result<Option<Place>, Unreadable> {
    let mut found: VecDeque<Place> = VecDeque::new();
    let mut seen = HashSet::new();
    let (mut lines, mut most) = (lines, most);
    for number in 0.. {
        let Some(mut place) = Place::open(dir, date, number)? else {
            // In the middle of a rotation there is a gap for a moment.
            if number == 0 || part(dir, date, number + 1).exists() { continue } else { break }
        };
        // A rotation meanwhile moves what was read to the next number.
        if !seen.insert(place.id) {
            continue;
        }
        let (start, counted) =
            seek_lines(&mut place, lines, most).map_err(|e| unreadable(&part(dir, date, number), &e))?;
        let length = place.file.metadata().map_or(0, |found| found.len());
        (lines, most) = (lines.saturating_sub(counted), most.saturating_sub(length - start.min(length)));
        found.push_front(place);
        if lines == 0 || start > 0 || most == 0 {
            break;
        }
    }
    Ok(found.pop_front())
}

/// Puts a file at the beginning of its last lines, and tells where that is and how many they are.
fn seek_lines(place: &mut Place, lines: usize, most: u64) -> std::io::Result<(u64, usize)> {
    let file = &mut place.file;
    let end = file.metadata()?.len();
    let first = end.saturating_sub(most);
    let (mut at, mut counted) = (end, 0);
    let mut piece = vec![0; PIECE];
    if lines == 0 {
        file.seek(SeekFrom::Start(end))?;
        return Ok((end, 0));
    }
    while at > first {
        let begin = at.saturating_sub(PIECE as u64).max(first);
        let piece = piece.get_mut(..usize::try_from(at - begin).unwrap_or(PIECE)).unwrap_or_default();
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(piece)?;
        // The newline at the very end ends the last line, and begins none.
        let is_inside = |offset: &usize| begin + (*offset as u64) + 1 < end;
        for offset in memchr::memrchr_iter(b'\n', piece).filter(is_inside) {
            counted += 1;
            if counted == lines {
                let start = begin + offset as u64 + 1;
                file.seek(SeekFrom::Start(start))?;
                return Ok((start, counted));
            }
        }
        at = begin;
    }
    file.seek(SeekFrom::Start(first))?;
    Ok((first, counted + usize::from(end > first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date() -> NaiveDate {
        "2026-11-27".parse().unwrap()
    }

    fn read_all(reading: &mut Reading) -> String {
        let mut all = Vec::new();
        while let Some(piece) = reading.more().unwrap() {
            all.extend(piece);
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn the_last_lines_are_found_across_parts_and_then_all_that_comes() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("2026-11-27.log.1", "a\nb\nc\n");
        write("2026-11-27.log", "d\ne");
        for (lines, expected) in
            [(0, ""), (1, "e"), (2, "d\ne"), (3, "c\nd\ne"), (5, "a\nb\nc\nd\ne"), (9, "a\nb\nc\nd\ne")]
        {
            let mut reading = Reading::of_last_lines(dir.path(), Some(date()), lines, 1 << 20).unwrap();
            assert_eq!(read_all(&mut reading), expected, "{lines}");
        }
        let mut reading = Reading::of_last_lines(dir.path(), None, 1, 1 << 20).unwrap();
        assert_eq!(read_all(&mut reading), "e");
        write("2026-11-27.log", "d\ne\nf\n");
        assert_eq!(read_all(&mut reading), "\nf\n");
        write("2026-11-30.log", "g\n");
        assert_eq!(read_all(&mut reading), "g\n");
    }

    #[test]
    fn a_line_without_end_costs_no_more_than_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("2026-11-27.log"), "x".repeat(300_000)).unwrap();
        let mut reading = Reading::of_last_lines(dir.path(), None, 10, 1000).unwrap();
        assert_eq!(read_all(&mut reading).len(), 1000);
    }

    #[test]
    fn where_nothing_was_printed_there_is_nothing_until_something_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut reading = Reading::of_last_lines(&dir.path().join("demo"), None, 10, 1000).unwrap();
        assert!(reading.is_empty() && reading.more().unwrap().is_none());
        std::fs::create_dir(dir.path().join("demo")).unwrap();
        std::fs::write(dir.path().join("demo/2026-11-27.log"), "a\n").unwrap();
        assert_eq!(read_all(&mut reading), "a\n");
    }
}
