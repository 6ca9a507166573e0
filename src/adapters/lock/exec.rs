//! The lock of a script, between the daemon's spawns and `mho exec`: who comes second sees the other.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::unistd::ForkResult;
use rustix::fs::FlockOperation;
use rustix::process::{PidfdFlags, WaitOptions};

use super::{Holder, LockError, hand_over, insist, make_dir, open, try_lock};
use crate::adapters::{identity, procfs, sys};
use crate::domain::attempt::ProcessId;
use crate::domain::record::LedgerEntry;
use crate::domain::script::ScriptName;

/// A process that has just been started shows no environment for a moment. It is looked at this often again, this long after.
const LOOKS_AT_NEWBORN: (u32, Duration) = (20, Duration::from_millis(10));

/// As long as this lives, no other process starts the script.
#[derive(Debug)]
pub struct ExecLock {
    file: File,
}

impl ExecLock {
    /// Makes the lock files of `scripts`, once: a spawn then opens what is there, which a file system does even while it takes no change.
    /// What cannot be made now is tried again with the spawn.
    pub fn prepare<'a>(state_dir: &Path, scripts: impl IntoIterator<Item = &'a ScriptName>) {
        for script in scripts {
            let _ = open_exec(state_dir, script);
        }
    }

    /// For the daemon, across a spawn: who comes second, it or `mho exec`, sees the other. Looks once. None where there can be no lock:
    /// starting is preferred to silence.
    pub fn try_take(state_dir: &Path, script: &ScriptName) -> Result<Option<Self>, Box<Holder>> {
        let Ok(file) = open_exec(state_dir, script) else { return Ok(None) };
        match try_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(true) => Ok(Some(Self { file })),
            Ok(false) => Err(Box::new(Holder::read(&file))),
            Err(_) => Ok(None),
        }
    }

    /// For `mho exec`: refused while another one has it.
    pub fn take(state_dir: &Path, script: &ScriptName) -> Result<Self, LockError> {
        make_dir(state_dir)?;
        let file = insist(|| open_exec(state_dir, script))?;
        let _ = Holder::this_process("exec", None).write(&file);
        Ok(Self { file })
    }

    /// Leaves a process behind that holds the lock until this one has ended, whatever program it becomes meanwhile. It is nobody's child
    /// but init's, so no program gets a SIGCHLD that it does not know, and has nothing open that anybody could wait for.
    ///
    /// # Errors
    /// Also where this process has more than one thread.
    pub fn keep_until_this_process_ends(self) -> io::Result<()> {
        let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
        match sys::fork_single_threaded()? {
            ForkResult::Parent { child } => {
                let child = procfs::raw_pid(child.as_raw().unsigned_abs());
                let status = rustix::io::retry_on_intr(|| rustix::process::waitpid(child, WaitOptions::empty()))?;
                match status.and_then(|(_, status)| status.exit_status()) {
                    Some(0) => Ok(()),
                    _ => Err(io::Error::other("no further process is allowed")),
                }
            }
            ForkResult::Child => match sys::fork_single_threaded() {
                Ok(ForkResult::Child) => {
                    let code = i32::from(self.keep(&own).is_err());
                    std::process::exit(code)
                }
                Ok(ForkResult::Parent { .. }) => std::process::exit(0),
                Err(_) => std::process::exit(1),
            },
        }
    }

    fn keep(&self, until: &OwnedFd) -> io::Result<()> {
        nix::unistd::setsid()?;
        sys::reset_signals_for_exec()?;
        // Whoever ends all that is called mho ends not only the keeper: while the program lives, the lock is to be held.
        SigSet::all().thread_set_mask()?;
        std::env::set_current_dir("/")?;
        let nowhere = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        nix::unistd::dup2_stdin(&nowhere)?;
        nix::unistd::dup2_stdout(&nowhere)?;
        nix::unistd::dup2_stderr(&nowhere)?;
        close_all_but(&[0, 1, 2, self.file.as_raw_fd(), until.as_raw_fd()])?;
        // So that `ps` and `top` tell it from the program. Its command line is that of `mho exec`.
        let _ = rustix::thread::set_name(c"mho-exec-lock");
        let mut ended = [PollFd::new(until.as_fd(), PollFlags::POLLIN)];
        while let Err(nix::errno::Errno::EINTR) = poll(&mut ended, PollTimeout::NONE) {}
        Ok(())
    }
}

/// Closes whatever this process was given or has opened, but those of `kept`.
fn close_all_but(kept: &[i32]) -> io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| !kept.contains(fd))
        .collect();
    for fd in open {
        // That of the listing itself is closed already.
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}

/// The live processes that a daemon of `state_dir` started as `script`, with all that these started. To be asked while the script's lock is
/// held: then none can be added. They are known by their environment and, since a program may have cleared or overwritten that, by `ledger`:
/// the script's attempts without an end.
pub fn processes_of(state_dir: &Path, script: &ScriptName, ledger: &[LedgerEntry]) -> io::Result<Vec<u32>> {
    let id = identity::existing(state_dir)?;
    let boot = procfs::boot_id().unwrap_or_default();
    let ledger: Vec<_> = ledger.iter().filter(|entry| entry.boot == boot).map(|entry| entry.process).collect();
    if id.is_none() && ledger.is_empty() {
        return Ok(Vec::new());
    }
    let (again, pause) = LOOKS_AT_NEWBORN;
    let mut looks = 0;
    loop {
        let (mut found, mut is_unsure) = (Vec::new(), false);
        let all = procfs::Snapshot::take()?;
        for process in all.iter() {
            // The kernel's own threads are in no group, and have neither environment nor command line.
            if process.zombie || process.group == 0 || process.pid == std::process::id() {
                continue;
            }
            if ledger.iter().any(|leader| is_of_group(&all, *leader, process)) {
                found.push(process.pid);
                continue;
            }
            match procfs::environment(process.pid, ["MHO_DAEMON_ID", "MHO_SCRIPT"]) {
                Some([daemon @ Some(_), Some(name)]) if daemon == id && name == script.as_str() => {
                    found.push(process.pid);
                }
                Some(_) => {}
                None => is_unsure |= !procfs::has_command_line(process.pid),
            }
        }
        looks += 1;
        if !found.is_empty() || !is_unsure || looks > again {
            found.sort_unstable();
            return Ok(found);
        }
        std::thread::sleep(pause);
    }
}

/// It is this leader or of its group, which keeps its number from being used again as long as anybody is in it.
fn is_of_group(all: &procfs::Snapshot, leader: ProcessId, process: procfs::Proc) -> bool {
    process.group == leader.pid
        && process.start >= leader.born
        && all.get(leader.pid).is_none_or(|found| found.start == leader.born)
}

fn open_exec(state_dir: &Path, script: &ScriptName) -> io::Result<File> {
    let dir = state_dir.join("exec");
    let path = dir.join(format!("{script}.lock"));
    match open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match fs::create_dir(&dir) {
                Ok(()) => hand_over(&File::open(&dir)?, &dir),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            open(&path)
        }
        other => other,
    }
}
