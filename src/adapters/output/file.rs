//! The log file of one script: a byte-exact copy of what it prints, rotated at newlines; and the removal of its old files.

use std::fs::DirEntry;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::adapters::rotating::RotatingFile;
use crate::domain::retention::WallClock;
use crate::domain::script::{OutputSpec, ScriptName};
use crate::domain::time::Now;

/// The log of one attempt: the file of its trading date, which it may share with others before and after it.
#[derive(Debug)]
pub(super) struct LogFile {
    spec: Arc<OutputSpec>,
    date: NaiveDate,
    file: RotatingFile,
}

/// A file that is not being written. The order is that in which they go when there are too many.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct OldFile {
    modified: DateTime<Utc>,
    size: u64,
    path: PathBuf,
    date: NaiveDate,
    /// By anything: the kernel's note, which nobody can set.
    changed: DateTime<Utc>,
}

impl LogFile {
    pub(super) fn new(script: ScriptName, date: NaiveDate, spec: Arc<OutputSpec>) -> Self {
        let file = RotatingFile::of_script(script, live(&spec.dir, date), spec.max_size, spec.max_files);
        Self { spec, date, file }
    }

    pub(super) fn go_on_from(&mut self, former: &mut Self) {
        self.file.go_on_from(&mut former.file);
    }

    pub(super) fn change_date(&mut self, date: NaiveDate) {
        self.date = date;
        self.file.move_to(live(&self.spec.dir, date));
    }

    pub(super) fn close(&mut self) {
        self.file.close();
    }

    /// Writes all of it, or as much as can be written; the rest is counted and dropped.
    pub(super) fn write(&mut self, bytes: &[u8], now: Instant) {
        self.file.write(bytes, now);
    }

    /// If a file was begun or taken up again: removes old files of this script, of all dates; never the live one, and no part of this date or
    /// a later one for its age.
    pub(super) fn clean_up(&mut self, wall_clock: &mut WallClock, now: impl FnOnce() -> Now) {
        if !self.file.was_opened_anew() {
            return;
        }
        let (mut others, mut total) = self.others();
        others.sort();
        let past = others.iter().filter(|other| other.date < self.date).map(|other| other.changed);
        let reference = wall_clock.reference(now(), past);
        let max_age = TimeDelta::from_std(self.spec.max_age).ok();
        let oldest = reference.zip(max_age).and_then(|(reference, age)| reference.checked_sub_signed(age));
        for OldFile { modified, size, path, date, .. } in others {
            let is_old = date < self.date && oldest.is_some_and(|oldest| modified < oldest);
            if (is_old || total > self.spec.max_total) && std::fs::remove_file(path).is_ok() {
                total -= size;
            }
        }
    }

    /// The other files of this script, and how large all are together with the live one.
    fn others(&self) -> (Vec<OldFile>, u64) {
        let (mut others, mut total) = (Vec::new(), 0);
        for entry in std::fs::read_dir(&self.spec.dir).into_iter().flatten().flatten() {
            let (Some(date), Ok(found)) = (date_of(&entry), entry.metadata()) else { continue };
            total += found.len();
            if entry.path() != self.file.path() {
                let modified = instant(found.mtime(), found.mtime_nsec());
                let changed = instant(found.ctime(), found.ctime_nsec());
                others.push(OldFile { modified, size: found.len(), path: entry.path(), date, changed });
            }
        }
        (others, total)
    }
}

/// One beyond what can be written as a date is to come.
fn instant(seconds: i64, nanoseconds: i64) -> DateTime<Utc> {
    let nanoseconds = u32::try_from(nanoseconds).unwrap_or_default();
    DateTime::from_timestamp(seconds, nanoseconds).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn live(dir: &Path, date: NaiveDate) -> PathBuf {
    dir.join(format!("{date}.log"))
}

/// Of `2026-11-27.log`, `2026-11-27.log.3`: whatever else lies in the directory is not ours to remove.
fn date_of(entry: &DirEntry) -> Option<NaiveDate> {
    let name = entry.file_name();
    let (date, part) = name.to_str()?.split_once(".log")?;
    let number = part.strip_prefix('.').map(|digits| digits.parse::<u32>().is_ok());
    date.parse().ok().filter(|_| part.is_empty() || number == Some(true))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::domain::script::ScriptSpec;
    use crate::domain::time::Mono;

    const DAY: Duration = Duration::from_secs(86_400);

    /// A directory with files of these names and ages in days, and the log of 2026-11-27 in it.
    fn log_among(files: &[(&str, u32)], change: impl FnOnce(&mut OutputSpec)) -> (tempfile::TempDir, LogFile) {
        let dir = tempfile::tempdir().unwrap();
        for (name, age) in files {
            let file = File::create(dir.path().join(name)).unwrap();
            file.set_len(100).unwrap();
            file.set_modified(SystemTime::now() - *age * DAY).unwrap();
        }
        let mut spec =
            OutputSpec { dir: dir.path().to_owned(), ..ScriptSpec::with_defaults("demo", "/bin/true").output };
        change(&mut spec);
        let log = LogFile::new(ScriptName::new("demo").unwrap(), "2026-11-27".parse().unwrap(), Arc::new(spec));
        (dir, log)
    }

    /// The log is opened while the clock is `ahead`, so long after the start of the machine; what is left is named.
    fn left(log: &mut LogFile, clock: &mut WallClock, ahead: Duration, elapsed: Duration) -> Vec<String> {
        log.close();
        log.write(b"line\n", Instant::now());
        let wall = Utc::now() + TimeDelta::from_std(ahead).unwrap();
        log.clean_up(clock, || Now { wall, mono: Mono(elapsed), rate: 1.0, jitter: 0.0 });
        let names = std::fs::read_dir(&log.spec.dir).unwrap().flatten();
        let mut names: Vec<_> = names.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    const FILES: [(&str, u32); 5] = [
        ("2026-10-20.log", 40),
        ("2026-11-10.log", 17),
        ("2026-11-26.log", 1),
        ("2026-11-26.log.1", 1),
        ("2026-11-27.log.1", 0),
    ];
    const RECENT: [&str; 5] =
        ["2026-11-10.log", "2026-11-26.log", "2026-11-26.log.1", "2026-11-27.log", "2026-11-27.log.1"];

    #[test]
    fn a_clock_that_is_ahead_makes_nothing_old_that_is_not() {
        for ahead in [Duration::ZERO, 25 * DAY, 400 * DAY, 30_000 * DAY] {
            let (_dir, mut log) = log_among(&FILES, |_| {});
            assert_eq!(left(&mut log, &mut WallClock::default(), ahead, DAY), RECENT, "{ahead:?}");
        }
        // One that was right for long, and jumps.
        let (_dir, mut log) = log_among(&FILES, |_| {});
        let mut clock = WallClock::default();
        assert_eq!(left(&mut log, &mut clock, Duration::ZERO, DAY), RECENT);
        for elapsed in [3 * DAY, 3 * DAY + Duration::from_secs(5)] {
            assert_eq!(left(&mut log, &mut clock, 400 * DAY, elapsed), RECENT);
        }
    }

    #[test]
    fn a_clock_that_goes_on_for_a_day_is_believed_but_the_date_being_written_stays() {
        let (_dir, mut log) = log_among(&FILES, |_| {});
        let mut clock = WallClock::default();
        assert_eq!(left(&mut log, &mut clock, 400 * DAY, DAY), RECENT);
        assert_eq!(left(&mut log, &mut clock, 401 * DAY, 2 * DAY), ["2026-11-27.log", "2026-11-27.log.1"]);
    }

    #[test]
    fn what_is_too_much_goes_whatever_the_clock_says_and_the_oldest_first() {
        let (_dir, mut log) = log_among(&FILES, |spec| (spec.max_total, spec.max_age) = (250, 900 * DAY));
        let names = left(&mut log, &mut WallClock::default(), Duration::ZERO, DAY);
        assert_eq!(names.last().map(String::as_str), Some("2026-11-27.log.1"));
        assert_eq!((names.len(), names.contains(&"2026-11-27.log".to_owned())), (3, true), "{names:?}");
    }
}
