//! The log file of one script: a byte-exact copy of what it prints, rotated at newlines.
//!
//! Written here because no crate fits: `file-rotate`, the nearest, cuts either at exactly so many bytes or between two `write` calls, but a
//! chunk from a pipe begins and ends anywhere in a line; and it does not look whether its file is still there.

use std::fs::{DirEntry, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use chrono::NaiveDate;
use memchr::memchr;

use crate::domain::script::{OutputSpec, ScriptName};

/// A line may be this long before the file is cut in the middle of it.
const OVERSHOOT: u64 = 64 * 1024;

/// Between two looks at whether the file is still where it was. A flood is looked at this often, single lines each time.
const CHECK: Duration = Duration::from_millis(50);

/// Between two tries to write when writing fails.
const RETRY: Duration = Duration::from_secs(1);

/// The log of one attempt: the file of its trading date, which it may share with others before and after it.
#[derive(Debug)]
pub(super) struct LogFile {
    script: ScriptName,
    date: NaiveDate,
    spec: Arc<OutputSpec>,
    open: Option<OpenFile>,
    checked: Option<Instant>,
    trouble: Option<Trouble>,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    id: (u64, u64),
    size: u64,
    /// The size at which it is complete.
    limit: u64,
    /// Nothing was written yet, or the last byte was a newline.
    at_line_start: bool,
}

/// Bytes that could not be written.
#[derive(Debug)]
struct Trouble {
    lost: u64,
    error: String,
    retry_at: Instant,
}

impl LogFile {
    pub(super) fn new(script: ScriptName, date: NaiveDate, spec: Arc<OutputSpec>) -> Self {
        Self { script, date, spec, open: None, checked: None, trouble: None }
    }

    fn path(&self) -> PathBuf {
        self.spec.dir.join(format!("{}.log", self.date))
    }

    fn part(&self, number: u32) -> PathBuf {
        self.spec.dir.join(format!("{}.log.{number}", self.date))
    }

    pub(super) fn change_date(&mut self, date: NaiveDate) {
        self.close();
        self.date = date;
    }

    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Writes all of it, or as much as can be written; the rest is counted and dropped.
    pub(super) fn write(&mut self, bytes: &[u8], now: Instant) {
        if let Some(trouble) = self.trouble.as_mut().filter(|trouble| now < trouble.retry_at) {
            trouble.lost += bytes.len() as u64;
            return;
        }
        self.look_after(now);
        let mut left = bytes.len();
        if let Err(error) = self.tell_loss().and_then(|()| self.write_parts(bytes, &mut left)) {
            self.lose(left as u64, &error, now);
        }
    }

    fn write_parts(&mut self, mut bytes: &[u8], left: &mut usize) -> io::Result<()> {
        while !bytes.is_empty() {
            self.open()?;
            let (length, then_rotate) = self.cut(bytes);
            let (part, rest) = bytes.split_at(length.min(bytes.len()));
            self.append(part, left)?;
            if then_rotate {
                self.rotate();
            }
            bytes = rest;
        }
        Ok(())
    }

    /// How much of `bytes` belongs into the file as it is, and whether that completes it.
    fn cut(&self, bytes: &[u8]) -> (usize, bool) {
        let Some(open) = &self.open else { return (0, false) };
        let index = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
        let room = index(open.limit.saturating_sub(open.size));
        if bytes.len() <= room {
            return (bytes.len(), false);
        }
        if room == 0 && open.at_line_start && open.size > 0 {
            return (0, true);
        }
        let hard = index(open.limit.saturating_add(OVERSHOOT).saturating_sub(open.size)).min(bytes.len());
        let from = room.saturating_sub(1).min(hard);
        match memchr(b'\n', bytes.get(from..hard).unwrap_or_default()) {
            Some(newline) => (from + newline + 1, true),
            None => (hard, hard < bytes.len()),
        }
    }

    fn append(&mut self, mut part: &[u8], left: &mut usize) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        while let Some(last) = part.last() {
            match open.file.write(part) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    open.size += written as u64;
                    *left = left.saturating_sub(written);
                    open.at_line_start = written == part.len() && *last == b'\n';
                    part = part.get(written..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<()> {
        if self.open.is_some() {
            return Ok(());
        }
        std::fs::create_dir_all(&self.spec.dir)?;
        let file = OpenOptions::new().append(true).read(true).create(true).open(self.path())?;
        let found = file.metadata()?;
        let mut last = [b'\n'];
        if found.len() > 0 {
            file.read_at(&mut last, found.len() - 1)?;
        }
        let open = OpenFile {
            file,
            id: id(&found),
            size: found.len(),
            limit: self.spec.max_size,
            at_line_start: last == *b"\n",
        };
        self.open = Some(open);
        self.prune();
        Ok(())
    }

    /// Somebody may have deleted, renamed or truncated the file: what follows goes where the name says.
    fn look_after(&mut self, now: Instant) {
        let recently = self.checked.is_some_and(|checked| now.saturating_duration_since(checked) < CHECK);
        let path = self.path();
        let Some(open) = self.open.as_mut().filter(|_| !recently) else { return };
        self.checked = Some(now);
        match std::fs::metadata(path) {
            Ok(found) if id(&found) == open.id => {
                open.at_line_start |= found.len() == 0;
                open.size = found.len();
            }
            _ => self.open = None,
        }
    }

    /// The live file becomes part 1, part 1 becomes part 2, and so on.
    fn rotate(&mut self) {
        let renamed = self.shift_parts();
        match renamed {
            Ok(()) => self.open = None,
            Err(error) => {
                tracing::warn!(script = %self.script, "log file {} cannot be rotated: {error}", self.path().display());
                // Tried again when it has grown by as much again.
                if let Some(open) = &mut self.open {
                    open.limit = open.size.saturating_add(self.spec.max_size.max(OVERSHOOT));
                }
            }
        }
    }

    fn shift_parts(&self) -> io::Result<()> {
        let gone = |result: io::Result<()>| match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        if self.spec.max_files == 0 {
            return gone(std::fs::remove_file(self.path()));
        }
        // Only parts up to the first gap have to move.
        let parts = (1..self.spec.max_files).take_while(|&number| self.part(number).exists()).last().unwrap_or(0);
        for number in (1..=parts).rev() {
            gone(std::fs::rename(self.part(number), self.part(number + 1)))?;
        }
        gone(std::fs::rename(self.path(), self.part(1)))
    }

    /// Removes old files of this script, of all dates; never the live one.
    fn prune(&self) {
        let Ok(entries) = std::fs::read_dir(&self.spec.dir) else { return };
        let live = self.path();
        let mut total = 0;
        let mut others = Vec::new();
        for entry in entries.flatten().filter(is_log) {
            let Ok(found) = entry.metadata() else { continue };
            total += found.len();
            if entry.path() != live {
                others.push((found.modified().unwrap_or(SystemTime::UNIX_EPOCH), found.len(), entry.path()));
            }
        }
        others.sort();
        let now = SystemTime::now();
        for (modified, size, path) in others {
            let old = now.duration_since(modified).is_ok_and(|age| age > self.spec.max_age);
            if (old || total > self.spec.max_total) && std::fs::remove_file(path).is_ok() {
                total -= size;
            }
        }
    }

    fn lose(&mut self, bytes: u64, error: &io::Error, now: Instant) {
        // Opened anew at the next try: the directory may be gone, or back.
        self.open = None;
        let retry_at = now + RETRY;
        match &mut self.trouble {
            Some(trouble) => {
                trouble.lost += bytes;
                trouble.retry_at = retry_at;
            }
            None => {
                let path = self.path();
                tracing::warn!(
                    script = %self.script,
                    "log file {} cannot be written: {error}. The script goes on, its output is dropped until writing works again.",
                    path.display()
                );
                self.trouble = Some(Trouble { lost: bytes, error: error.to_string(), retry_at });
            }
        }
    }

    /// After trouble: says in the file what is missing from it.
    fn tell_loss(&mut self) -> io::Result<()> {
        let Some(trouble) = &self.trouble else { return Ok(()) };
        let (lost, error) = (trouble.lost, trouble.error.clone());
        self.open()?;
        let broken = self.open.as_ref().is_some_and(|open| !open.at_line_start);
        let newline = if broken { "\n" } else { "" };
        let note = format!("{newline}[mho: {lost} bytes of output were lost here: {error}]\n");
        self.append(note.as_bytes(), &mut 0)?;
        self.trouble = None;
        tracing::info!(script = %self.script, lost_bytes = lost, "log file can be written again");
        Ok(())
    }
}

fn id(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// `2026-11-27.log`, `2026-11-27.log.3`: whatever else lies in the directory is not ours to remove.
fn is_log(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let Some((date, part)) = name.to_str().and_then(|name| name.split_once(".log")) else { return false };
    let number = part.strip_prefix('.').map(|digits| digits.parse::<u32>().is_ok());
    date.parse::<NaiveDate>().is_ok() && (part.is_empty() || number == Some(true))
}
