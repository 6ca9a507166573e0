//! `calendar-overrides.toml`, changed while others read it: whoever looks finds the old file or the new one, never half of one, and of two who
//! change it at once neither undoes what the other did.

mod text;

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use tempfile::NamedTempFile;

use super::lock::hand_over;
pub use text::{TextError, append, remove, replace};

/// Somebody else who changes the file is done within milliseconds. This often it is looked for again, this long after.
const LOOKS: (u32, Duration) = (500, Duration::from_millis(20));

/// A file that appears while ours is made is read, and the change made on that one; more often than this it is no coincidence.
const TRIES: u32 = 20;

/// Why the file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Its directory is not there.
    #[error("the directory {0} does not exist: create it (mkdir -p), or name another configuration with --config")]
    NoDirectory(String),
    /// A link to a file that is not there.
    #[error("{0} is a link to a file that does not exist: create that one, or remove the link")]
    Dangling(String),
    /// A device, a pipe, a directory.
    #[error("{0} is no regular file: put one in its place, or remove it")]
    NoFile(String),
    /// It may not be written.
    #[error("{path} cannot be changed: {reason}; run this as a user who may write it")]
    NotOurs {
        /// The file.
        path: String,
        /// What the system said.
        reason: io::Error,
    },
    /// The new one cannot stand in its place.
    #[error(
        "{path} cannot be changed: {reason}. It is replaced as a whole, by one of the same owner: its directory must be writable, and it must not be \
         a mount of its own. Run this as its owner, or mount the directory in place of the file"
    )]
    NotReplaced {
        /// The file.
        path: String,
        /// What the system said.
        reason: io::Error,
    },
    /// Somebody else has it.
    #[error("{0} is being changed by another process, for 10 seconds by now: try again when that one has ended")]
    Busy(String),
}

/// Changes the file at `path`, which need not exist. `change` is told its text and gives the new one, or None if all is to stay as it is. It
/// may be asked again where somebody else made the file meanwhile.
///
/// # Errors
/// What `change` says, or that the file could not be changed; it is as it was then.
pub fn edit<T, E: From<FileError>>(
    path: &Path,
    mut change: impl FnMut(&str) -> Result<(Option<String>, T), E>,
) -> Result<T, E> {
    let target = target_of(path)?;
    for _ in 0..TRIES {
        let held = take(&target)?;
        let mut text = String::new();
        if let Some(mut file) = held.as_ref() {
            file.read_to_string(&mut text).map_err(|reason| not_ours(&target, reason))?;
        }
        let (new, told) = change(&text)?;
        let Some(new) = new else { return Ok(told) };
        let written = match &held {
            Some(file) => replace_file(&target, file, &new).map(|()| true),
            None => make_file(&target, &new),
        };
        if written.map_err(|reason| FileError::NotReplaced { path: shown(&target), reason })? {
            return Ok(told);
        }
    }
    Err(FileError::Busy(shown(&target)).into())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn not_ours(path: &Path, reason: io::Error) -> FileError {
    FileError::NotOurs { path: shown(path), reason }
}

/// The file itself, where links lead to it.
fn target_of(path: &Path) -> Result<PathBuf, FileError> {
    let dir = directory_of(path);
    if !dir.is_dir() {
        return Err(FileError::NoDirectory(shown(dir)));
    }
    match path.canonicalize() {
        // Opening a pipe would wait for its other end, and a device is nothing to put a file in the place of.
        Ok(target) if !target.is_file() => Err(FileError::NoFile(shown(&target))),
        Ok(target) => Ok(target),
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_symlink() => {
            Err(FileError::Dangling(shown(path)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(reason) => Err(not_ours(path, reason)),
    }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The file, which nobody else changes as long as it is held; None if there is none. The lock is on the file itself: a lock file would be
/// left lying about, and the directory may be the one that a daemon holds.
fn take(path: &Path) -> Result<Option<File>, FileError> {
    let (again, pause) = LOOKS;
    for _ in 0..again {
        // For writing, though another file takes its place: one that is write-protected was meant to be.
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(reason) => return Err(not_ours(path, reason)),
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_still(&file, path) => return Ok(Some(file)),
            // Who held it has put another one in its place.
            Ok(()) => continue,
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(not_ours(path, error.into())),
        }
        std::thread::sleep(pause);
    }
    Err(FileError::Busy(shown(path)))
}

fn is_still(file: &File, path: &Path) -> bool {
    let id = |found: &fs::Metadata| (found.dev(), found.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(ours), Ok(there)) if id(&ours) == id(&there))
}

/// With the rights and the owner of the file that it replaces.
fn replace_file(path: &Path, former: &File, text: &str) -> io::Result<()> {
    let former = former.metadata()?;
    let new = new_file(path, text)?;
    let made = new.as_file().metadata()?;
    if (made.uid(), made.gid()) != (former.uid(), former.gid()) {
        let (user, group) = (former.uid(), former.gid());
        fchown(new.as_file(), Some(user), Some(group)).map_err(|error| {
            io::Error::new(error.kind(), format!("it belongs to user {user}, group {group}: {error}"))
        })?;
    }
    new.as_file().set_permissions(Permissions::from_mode(former.mode() & 0o7777))?;
    new.as_file().sync_all()?;
    new.persist(path)?;
    File::open(directory_of(path))?.sync_all()
}

/// False if somebody else has made it meanwhile.
fn make_file(path: &Path, text: &str) -> io::Result<bool> {
    let new = new_file(path, text)?;
    hand_over(new.as_file(), path);
    new.as_file().sync_all()?;
    match new.persist_noclobber(path) {
        Ok(_) => File::open(directory_of(path))?.sync_all().map(|()| true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error),
    }
}

/// A file beside it that goes away by itself if it is not put in its place; readable as the umask allows.
fn new_file(path: &Path, text: &str) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix(".calendar-overrides.").permissions(Permissions::from_mode(0o666));
    let mut file = builder.tempfile_in(directory_of(path))?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

/// Whether two paths mean one file, links followed; where one of them does not exist, whether they are the same.
#[must_use]
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a change of the file at `path` comes to; `more` is put at its end.
    fn add(path: &Path, more: &str) -> Result<(), FileError> {
        edit(path, |text| Ok((Some(format!("{text}{more}")), ())))
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("readable");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_new_file_has_the_rights_and_the_owner_of_the_old_one_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("o.toml");
        fs::write(&path, "a").expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("set");
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(65_534), Some(65_533)).expect("root may");
        }
        let before = fs::metadata(&path).expect("there");
        add(&path, "b").expect("changed");
        let after = fs::metadata(&path).expect("there");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "ab");
        assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
        assert_ne!(after.ino(), before.ino(), "it is another file");
        assert_eq!(names(dir.path()), ["o.toml"]);
    }

    #[test]
    fn a_file_that_is_not_there_is_made_and_one_that_changes_nothing_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("o.toml");
        edit(&path, |text| Ok::<_, FileError>((None, assert_eq!(text, "")))).expect("looked at");
        assert_eq!(names(dir.path()), [""; 0]);
        add(&path, "a").expect("made");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "a");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o600, 0o600);
    }

    #[test]
    fn a_link_stays_and_what_it_leads_to_is_changed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (link, target) = (dir.path().join("o.toml"), dir.path().join("real.toml"));
        std::os::unix::fs::symlink(&target, &link).expect("linked");
        assert!(matches!(add(&link, "a"), Err(FileError::Dangling(_))));
        fs::write(&target, "a").expect("written");
        add(&link, "b").expect("changed");
        assert!(link.is_symlink());
        let null = dir.path().join("null");
        std::os::unix::fs::symlink("/dev/null", &null).expect("linked");
        assert!(matches!(add(&null, "x"), Err(FileError::NoFile(_))));
        assert_eq!(fs::read_to_string(&target).expect("readable"), "ab");
        assert!(is_same_file(&link, &target) && !is_same_file(&link, dir.path()));
    }

    #[test]
    fn many_at_once_lose_no_change_not_even_of_the_file_that_the_first_one_makes() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("o.toml");
        std::thread::scope(|scope| {
            for n in 0..8 {
                let path = &path;
                scope.spawn(move || (0..5).for_each(|m| add(path, &format!("{n}.{m}\n")).expect("changed")));
            }
        });
        let text = fs::read_to_string(&path).expect("readable");
        assert_eq!(text.lines().collect::<std::collections::BTreeSet<_>>().len(), 40, "{text}");
    }

    #[test]
    fn a_change_that_is_refused_leaves_the_file_alone_and_a_missing_directory_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("o.toml");
        fs::write(&path, "a").expect("written");
        let before = fs::metadata(&path).expect("there").ino();
        let refused: Result<(), FileError> = edit(&path, |_| Err(FileError::Busy("no".into())));
        assert!(refused.is_err());
        assert_eq!(fs::metadata(&path).expect("there").ino(), before);
        let missing = add(&dir.path().join("none/o.toml"), "x").expect_err("no directory").to_string();
        assert!(missing.contains("none does not exist: create it"), "{missing}");
    }
}
