//! Only one at a time: one daemon per state directory, and no script that runs by `mho exec` and by the daemon at once.
//!
//! Both are `flock`s, which the kernel gives back when the last holder is gone: however a process ended, nothing stale is left to clean up.
//! What stands in the files is for people, and for the text of whoever comes second.

mod exec;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, fchown};
use std::os::unix::process::parent_id;
use std::path::Path;
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use nix::libc;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::procfs;
pub use exec::{ExecLock, processes_of};

/// A lock is also taken for a moment: by a rehearsal that looks whether there is a daemon, and by a daemon while it starts a script. Whoever
/// finds one held looks this often again, this long after, before believing it.
const LOOKS: (u32, Duration) = (10, Duration::from_millis(30));

/// A daemon that ends gives its lock back a moment before it is gone. It is looked for this often again, this long after.
const LAST_MOMENTS: (u32, Duration) = (100, Duration::from_millis(30));

/// A lock file is some hundred bytes; whatever else stands there is not read to its end.
const LONGEST: u64 = 1024;

/// Who holds a lock, as far as it said so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: Option<u32>,
    /// The outer process of a daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<u32>,
    /// When its process started, in ticks since boot: the pid alone may come to mean another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born: Option<u64>,
    /// In which life of the machine (the kernel's boot id).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// Since when, on the machine's clock.
    pub since: Option<String>,
    /// What it is: live, rehearsal, exec.
    pub what: Option<String>,
}

impl Holder {
    fn this_process(what: &str, guard: Option<u32>) -> Self {
        let pid = std::process::id();
        Self {
            pid: Some(pid),
            guard,
            born: procfs::read(pid).ok().flatten().map(|process| process.start),
            boot: procfs::boot_id().ok(),
            since: Some(Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true)),
            what: Some(what.to_owned()),
        }
    }

    /// It is there: this very process, no later one with its number, and not this one.
    fn is_another_alive(&self) -> bool {
        let (Some(pid), Some(born), Some(boot)) = (self.pid, self.born, &self.boot) else { return false };
        let is_it = |process: procfs::Proc| process.start == born && !process.zombie;
        pid != std::process::id()
            && procfs::boot_id().is_ok_and(|now| now == *boot)
            && procfs::read(pid).ok().flatten().is_some_and(is_it)
    }

    /// It stays there.
    fn lives_on(&self) -> bool {
        let (again, pause) = LAST_MOMENTS;
        let mut looks = 0;
        while self.is_another_alive() {
            looks += 1;
            if looks > again {
                return true;
            }
            std::thread::sleep(pause);
        }
        false
    }

    fn read(file: &File) -> Self {
        let mut text = String::new();
        let _ = file.take(LONGEST).read_to_string(&mut text);
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// A disk that is full keeps nobody from the lock itself: callers go on.
    fn write(&self, file: &File) -> io::Result<()> {
        let line = serde_json::to_string(self)? + "\n";
        file.set_len(0)?;
        file.write_all_at(line.as_bytes(), 0)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, self.guard) {
            (Some(pid), Some(guard)) => write!(f, "PID {pid} (guard PID {guard})")?,
            (Some(pid), None) => write!(f, "PID {pid}")?,
            (None, _) => f.write_str("a process that did not say which")?,
        }
        let what = self.what.as_deref().unwrap_or_default();
        let since = self.since.as_ref().map(|since| format!("since {since}"));
        let more: Vec<&str> =
            [what, since.as_deref().unwrap_or_default()].into_iter().filter(|s| !s.is_empty()).collect();
        if more.is_empty() { Ok(()) } else { write!(f, ", {}", more.join(" ")) }
    }
}

/// Why a lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// Somebody else has it.
    Held(Box<Holder>),
    /// There can be none.
    Io(io::Error),
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A state directory is ours as long as this lives.
#[derive(Debug)]
pub struct InstanceLock {
    file: File,
    /// The directory itself: somebody may remove the file. None where directories cannot be locked.
    _directory: Option<File>,
    copied_from: Option<Holder>,
}

impl InstanceLock {
    /// Takes `state_dir`, which must exist. If it is held, nothing in it is changed.
    pub fn take(state_dir: &Path, what: &str) -> Result<Self, LockError> {
        let path = state_dir.join("lock");
        let directory = take_directory(state_dir, &path)?;
        let file = take_file(&path)?;
        let former = Holder::read(&file);
        let copied_from = former.lives_on().then_some(former);
        let lock = Self { file, _directory: directory, copied_from };
        if lock.copied_from.is_none() {
            lock.sign(what);
        }
        Ok(lock)
    }

    /// The daemon that is named in the lock, and lives without holding it: the directory is a copy of the one that it holds.
    #[must_use]
    pub fn copied_from(&self) -> Option<&Holder> {
        self.copied_from.as_ref()
    }

    /// Names this daemon as the one that is at work here. In a copy that is left to the caller, when nothing in it leads to the processes of
    /// that other daemon any more: until then, whoever comes after a crash must find out what this one found out.
    pub fn sign(&self, what: &str) {
        let _ = Holder::this_process(what, Some(parent_id())).write(&self.file);
    }

    /// Who holds `state_dir` now. Makes no file.
    pub fn holder(state_dir: &Path) -> io::Result<Option<Holder>> {
        let file = open_existing(&state_dir.join("lock"))?;
        // A shared lock is enough to see an exclusive one, and two who look do not see each other.
        let is_held = |file: &File| try_lock(file, FlockOperation::NonBlockingLockShared).map(|is_free| !is_free);
        if let Some(file) = &file
            && is_held(file)?
        {
            return Ok(Some(Holder::read(file)));
        }
        // Somebody may have removed the file, or put another one there. Where directories cannot be locked, nobody holds one.
        let is_directory_held = open_existing(state_dir)?.is_some_and(|dir| is_held(&dir).unwrap_or_default());
        Ok(is_directory_held.then(|| file.map(|file| Holder::read(&file)).unwrap_or_default()))
    }
}

/// None where there is none.
fn open_existing(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a directory, and those above it that are missing: each its parent's owner's.
fn make_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_dir(parent)?;
    }
    match fs::create_dir(path) {
        // `state` is below `.`, which has no name here.
        Ok(()) => hand_over(&File::open(path)?, &path.canonicalize()?),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Opens a lock file, or makes it. For its owner alone: who can open it could lock it.
///
/// Looks first: asking to make it waits for a file system that is frozen, even where the file is there.
fn open(path: &Path) -> io::Result<File> {
    let options = || OpenOptions::new().read(true).write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).clone();
    match options().open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    match options().create_new(true).open(path) {
        Ok(file) => {
            hand_over(&file, path);
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options().open(path),
        Err(error) => Err(error),
    }
}

/// What root made here belongs to the owner of the directory that it is in: the daemon of that user has to be able to open it.
pub(super) fn hand_over(made: &File, path: &Path) {
    if let Some(owner) =
        path.parent().and_then(|dir| fs::metadata(dir).ok()).filter(|_| nix::unistd::geteuid().is_root())
    {
        let _ = fchown(made, Some(owner.uid()), Some(owner.gid()));
    }
}

fn try_lock(file: &File, how: FlockOperation) -> io::Result<bool> {
    match rustix::fs::flock(file, how) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The lock of `state_dir` itself, whose lock file is at `path`.
fn take_directory(state_dir: &Path, path: &Path) -> Result<Option<File>, LockError> {
    let directory = File::open(state_dir)?;
    let (again, pause) = LOOKS;
    let mut looks = 0;
    loop {
        match try_lock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(true) => return Ok(Some(directory)),
            Ok(false) if looks < again => looks += 1,
            Ok(false) => {
                let holder = File::open(path).map(|file| Holder::read(&file)).unwrap_or_default();
                return Err(LockError::Held(Box::new(holder)));
            }
            Err(_) => return Ok(None),
        }
        std::thread::sleep(pause);
    }
}

/// The lock of the file at `path`, which is made if need be.
fn take_file(path: &Path) -> Result<File, LockError> {
    insist(|| open(path)).and_then(|file| {
        // Somebody removed the file while we came: the next one would lock another.
        let (ours, there) = (file.metadata()?, fs::metadata(path)?);
        if (ours.dev(), ours.ino()) == (there.dev(), there.ino()) {
            Ok(file)
        } else {
            Err(io::Error::other("its lock file was replaced at this moment").into())
        }
    })
}

fn insist(open: impl Fn() -> io::Result<File>) -> Result<File, LockError> {
    let (again, pause) = LOOKS;
    let mut looks = 0;
    loop {
        let file = open()?;
        if try_lock(&file, FlockOperation::NonBlockingLockExclusive)? {
            return Ok(file);
        }
        looks += 1;
        if looks > again {
            return Err(LockError::Held(Box::new(Holder::read(&file))));
        }
        std::thread::sleep(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::script::ScriptName;

    fn script() -> ScriptName {
        ScriptName::new("demo").expect("a name")
    }

    /// Another test that spawns at this moment holds a copy of every descriptor until its child executes a program.
    fn soon<T>(mut look: impl FnMut() -> Option<T>) -> T {
        let looks = std::iter::repeat_with(|| {
            std::thread::sleep(Duration::from_millis(10));
            look()
        });
        looks.take(1000).flatten().next().expect("it came true in time")
    }

    #[test]
    fn a_state_directory_is_free_again_when_its_lock_is_dropped() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(InstanceLock::holder(dir.path()).expect("readable"), None);
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 0, "looking makes no file");
        let lock = InstanceLock::take(dir.path(), "live").expect("free");
        let holder = InstanceLock::holder(dir.path()).expect("readable").expect("held");
        assert_eq!((holder.pid, holder.what.as_deref()), (Some(std::process::id()), Some("live")));
        let refused = InstanceLock::take(dir.path(), "live").expect_err("held");
        assert!(matches!(refused, LockError::Held(found) if *found == holder));
        drop(lock);
        soon(|| InstanceLock::holder(dir.path()).expect("readable").is_none().then_some(()));
        InstanceLock::take(dir.path(), "rehearsal").expect("free");
    }

    #[test]
    fn exec_and_the_daemon_see_each_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let exec = ExecLock::take(dir.path(), &script()).expect("free");
        let holder = ExecLock::try_take(dir.path(), &script()).expect_err("held");
        assert_eq!((holder.pid, holder.what.as_deref()), (Some(std::process::id()), Some("exec")));
        let other = ScriptName::new("other@eu").expect("a name");
        assert!(ExecLock::try_take(dir.path(), &other).expect("free").is_some());
        drop(exec);
        let daemon = soon(|| ExecLock::try_take(dir.path(), &script()).ok()).expect("there is a lock");
        assert!(matches!(ExecLock::take(dir.path(), &script()), Err(LockError::Held(_))));
        drop(daemon);
    }

    #[test]
    fn exec_waits_for_the_moment_that_the_daemon_takes_to_spawn() {
        let dir = tempfile::tempdir().expect("a directory");
        let daemon = ExecLock::try_take(dir.path(), &script()).expect("free");
        let spawn = std::thread::spawn(move || {
            std::thread::sleep(LOOKS.1 * 3);
            drop(daemon);
        });
        ExecLock::take(dir.path(), &script()).expect("free in time");
        spawn.join().expect("joined");
    }

    #[test]
    fn the_daemon_makes_the_lock_files_at_its_start_and_anew_where_somebody_removed_them() {
        let dir = tempfile::tempdir().expect("a directory");
        let (demo, other) = (script(), ScriptName::new("other@eu").expect("a name"));
        let made = |name: &str| dir.path().join("exec").join(name).exists();
        ExecLock::prepare(dir.path(), [&demo, &other]);
        assert!(made("demo.lock") && made("other@eu.lock"));
        fs::remove_dir_all(dir.path().join("exec")).expect("removed");
        let _held = ExecLock::try_take(dir.path(), &demo).expect("free").expect("there is a lock");
        assert!(made("demo.lock") && !made("other@eu.lock"));
        assert!(ExecLock::try_take(dir.path(), &demo).is_err(), "it is the one that others meet");
    }

    #[test]
    fn where_there_can_be_no_lock_the_daemon_starts_without() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("exec"), "").expect("written");
        ExecLock::prepare(dir.path(), [&script()]);
        assert!(ExecLock::try_take(dir.path(), &script()).expect("nobody holds it").is_none());
        assert!(matches!(ExecLock::take(dir.path(), &script()), Err(LockError::Io(_))));
        assert!(ExecLock::try_take(&dir.path().join("none"), &script()).expect("nobody holds it").is_none());
    }

    #[test]
    fn a_lock_that_is_a_link_to_elsewhere_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("exec")).expect("made");
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, "precious").expect("written");
        std::os::unix::fs::symlink(&elsewhere, dir.path().join("exec/demo.lock")).expect("linked");
        assert!(matches!(ExecLock::take(dir.path(), &script()), Err(LockError::Io(_))));
        assert_eq!(fs::read_to_string(&elsewhere).expect("readable"), "precious");
    }

    #[test]
    fn what_root_makes_belongs_to_the_owner_of_the_state_directory() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::chown(dir.path(), Some(65_534), Some(65_534)).expect("root may");
        drop(ExecLock::take(dir.path(), &script()));
        drop(InstanceLock::take(dir.path(), "live"));
        for made in ["exec", "exec/demo.lock", "lock"] {
            let found = fs::metadata(dir.path().join(made)).expect("made");
            assert_eq!((found.uid(), found.gid()), (65_534, 65_534), "{made}");
        }
    }

    #[test]
    fn a_state_directory_that_root_has_to_make_belongs_to_whom_it_is_made_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = dir.path().join("above/state");
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(dir.path(), Some(65_534), Some(65_534)).expect("root may");
        }
        let owner = fs::metadata(dir.path()).expect("there").uid();
        drop(ExecLock::take(&state, &script()).expect("free"));
        for made in ["above", "above/state", "above/state/exec", "above/state/exec/demo.lock"] {
            assert_eq!(fs::metadata(dir.path().join(made)).expect("made").uid(), owner, "{made}");
        }
        fs::write(dir.path().join("file"), "").expect("written");
        assert!(matches!(ExecLock::take(&dir.path().join("file"), &script()), Err(LockError::Io(_))));
    }

    #[test]
    fn a_holder_is_told_as_far_as_it_is_known() {
        let known = Holder {
            pid: Some(12),
            guard: Some(11),
            since: Some("2026-11-27T13:30:00Z".to_owned()),
            what: Some("live".to_owned()),
            ..Holder::default()
        };
        assert_eq!(known.to_string(), "PID 12 (guard PID 11), live since 2026-11-27T13:30:00Z");
        assert_eq!(Holder { guard: None, since: None, ..known }.to_string(), "PID 12, live");
        assert_eq!(Holder::default().to_string(), "a process that did not say which");
    }
}
