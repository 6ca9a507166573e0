//! The files of a journal, and how one that is of no use is put out of the way: under another name, never deleted.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

/// Device and inode: which file a name means.
pub(super) type FileId = (u64, u64);

/// Where the journal is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    dir: PathBuf,
    path: PathBuf,
}

impl Place {
    pub(super) fn of(state_dir: &Path) -> Self {
        Self { dir: state_dir.to_owned(), path: state_dir.join("mho.db") }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Beside it, SQLite's own: `-wal`, `-shm`; ours: `.before-1`, `.damaged-...`
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }

    /// Which file the name means now, and its size.
    pub(super) fn found(&self) -> Option<(FileId, u64)> {
        found(&self.path)
    }

    /// Which files the write-ahead log and its index are now.
    pub(super) fn log(&self) -> [Option<FileId>; 2] {
        ["-wal", "-shm"].map(|suffix| found(&self.beside(suffix)).map(|(id, _)| id))
    }

    /// Makes the file if there is none, for this user alone. True if there is nothing in it yet.
    pub(super) fn prepare(&self) -> io::Result<bool> {
        match make_private(&self.path) {
            Ok(()) => {
                // The name itself is to survive a loss of power, too.
                File::open(&self.dir)?.sync_all()?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let found = fs::metadata(&self.path)?;
                if found.mode() & 0o077 != 0 {
                    fs::set_permissions(&self.path, fs::Permissions::from_mode(0o600))?;
                }
                Ok(found.len() == 0)
            }
            Err(error) => Err(error),
        }
    }

    /// A log without the file it belongs to, which was removed or emptied: SQLite would delete it.
    pub(super) fn has_lone_log(&self) -> bool {
        let size = |path: &Path| found(path).map_or(0, |(_, size)| size);
        size(&self.path) == 0 && size(&self.beside("-wal")) > 0
    }

    /// Gives all its files another name, `mho.db.WORD-20261127T133000Z`, which no file has yet; returns that of the first.
    ///
    /// The database goes first: a log that is left without it would be emptied by SQLite, a database that is left without its log would be
    /// taken for whole.
    pub(super) fn set_aside(&self, word: &str, now: DateTime<Utc>) -> io::Result<PathBuf> {
        self.rename(word, now, &["", "-wal", "-shm"])
    }

    /// The same of a log that belongs to another file than the one that has the name now: what stands in it would spoil that.
    pub(super) fn set_log_aside(&self, now: DateTime<Utc>) -> io::Result<PathBuf> {
        self.rename("former", now, &["-wal", "-shm"])
    }

    fn rename(&self, word: &str, now: DateTime<Utc>, suffixes: &[&str]) -> io::Result<PathBuf> {
        let stamp = now.format("%Y%m%dT%H%M%SZ");
        let mut names = (1..).map(|n| if n == 1 { String::new() } else { format!(".{n}") });
        let free = names.find_map(|number| {
            let to = format!(".{word}-{stamp}{number}");
            let is_free = |suffix| !self.beside(&format!("{to}{suffix}")).exists();
            (is_free("") && is_free("-wal")).then(|| self.beside(&to))
        });
        let to = free.ok_or_else(|| io::Error::other("no name is free"))?;
        let mut kept = None;
        for suffix in suffixes {
            let mut beside = to.clone().into_os_string();
            beside.push(suffix);
            match fs::rename(self.beside(suffix), &beside) {
                Ok(()) => kept = kept.or(Some(beside.into())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(kept.unwrap_or(to))
    }
}

/// A new, empty file for this user alone.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(|_| ())
}

fn found(path: &Path) -> Option<(FileId, u64)> {
    fs::metadata(path).ok().map(|found| ((found.dev(), found.ino()), found.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_keeps_all_its_files_and_overwrites_none() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::of(dir.path());
        let now = "2026-11-27T13:30:00Z".parse().unwrap();
        for (text, name) in [
            ("first", "mho.db.damaged-20261127T133000Z"),
            ("second", "mho.db.damaged-20261127T133000Z.2"),
            ("third", "mho.db.damaged-20261127T133000Z.3"),
        ] {
            assert!(place.prepare().unwrap(), "it is empty");
            fs::write(place.path(), text).unwrap();
            fs::write(place.beside("-wal"), format!("{text} wal")).unwrap();
            assert_eq!(place.set_aside("damaged", now).unwrap(), dir.path().join(name));
            assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), text);
            assert_eq!(fs::read_to_string(dir.path().join(format!("{name}-wal"))).unwrap(), format!("{text} wal"));
            assert!(!place.path().exists() && !place.beside("-wal").exists());
        }
    }

    #[test]
    fn the_file_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::of(dir.path());
        let mode = || fs::metadata(place.path()).unwrap().mode() & 0o777;
        assert!(place.prepare().unwrap());
        assert_eq!(mode(), 0o600);
        fs::write(place.path(), "x").unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(!place.prepare().unwrap());
        assert_eq!(mode(), 0o600);
    }
}
