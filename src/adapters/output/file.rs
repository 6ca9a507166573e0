//! The log file of one script: a byte-exact copy of what it prints, rotated at newlines; and the removal of its old files.

use std::fs::DirEntry;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use chrono::NaiveDate;

use crate::adapters::rotating::RotatingFile;
use crate::domain::script::{OutputSpec, ScriptName};

/// The log of one attempt: the file of its trading date, which it may share with others before and after it.
#[derive(Debug)]
pub(super) struct LogFile {
    spec: Arc<OutputSpec>,
    file: RotatingFile,
}

impl LogFile {
    pub(super) fn new(script: ScriptName, date: NaiveDate, spec: Arc<OutputSpec>) -> Self {
        let file = RotatingFile::of_script(script, live(&spec.dir, date), spec.max_size, spec.max_files);
        Self { spec, file }
    }

    pub(super) fn go_on_from(&mut self, former: &mut Self) {
        self.file.go_on_from(&mut former.file);
    }

    pub(super) fn change_date(&mut self, date: NaiveDate) {
        self.file.move_to(live(&self.spec.dir, date));
    }

    pub(super) fn close(&mut self) {
        self.file.close();
    }

    /// Writes all of it, or as much as can be written; the rest is counted and dropped.
    pub(super) fn write(&mut self, bytes: &[u8], now: Instant) {
        self.file.write(bytes, now);
        if self.file.was_opened_anew() {
            self.prune();
        }
    }

    /// Removes old files of this script, of all dates; never the live one.
    fn prune(&self) {
        let Ok(entries) = std::fs::read_dir(&self.spec.dir) else { return };
        let live = self.file.path();
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
}

fn live(dir: &Path, date: NaiveDate) -> PathBuf {
    dir.join(format!("{date}.log"))
}

/// `2026-11-27.log`, `2026-11-27.log.3`: whatever else lies in the directory is not ours to remove.
fn is_log(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let Some((date, part)) = name.to_str().and_then(|name| name.split_once(".log")) else { return false };
    let number = part.strip_prefix('.').map(|digits| digits.parse::<u32>().is_ok());
    date.parse::<NaiveDate>().is_ok() && (part.is_empty() || number == Some(true))
}
