//! Every `unsafe` of the program, each behind a safe function that says why it is sound.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{AccessFlags, ForkResult, Gid, Uid};
use rustix::process::{Resource, Rlimit};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Lets the current runtime wait until `fd` is readable.
///
/// # Panics
/// Outside of a runtime.
pub fn watch_readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is one open description and keeps its number until it is dropped, and the AsyncFd owns it.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(|error| error.into_parts().1)
}

/// Splits the process in two.
///
/// # Errors
/// If the process has more than one thread: the child would inherit the others' locks in whatever state they are.
pub fn fork_single_threaded() -> io::Result<ForkResult> {
    if std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() > 1) {
        return Err(io::Error::other("the process has more than one thread"));
    }
    // SAFETY: with one thread nobody else can hold a lock across the fork, so the child may do whatever the parent may.
    Ok(unsafe { nix::unistd::fork() }?)
}

/// Sets every signal that this process was started with ignored to its default (`nohup` leaves HUP ignored): an ignored signal is inherited by
/// every program started from here, while a handler is not. PIPE stays ignored, as the standard library wants it: it gives children the
/// default by itself.
pub fn reset_ignored_signals() {
    for signal in (1..=64).filter(|&signal| signal != libc::SIGPIPE) {
        // SAFETY: all zeros is a valid `sigaction`, which the first call only fills in; the default disposition, set by the second, runs no
        // code of ours. libc's own two signals refuse, which is harmless.
        unsafe {
            let mut found: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &raw mut found) == 0 && found.sa_sigaction == libc::SIG_IGN {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
    }
}

/// Leaves this process with what a program should start with: no signal blocked, none ignored. To be called right before it becomes another.
pub fn reset_signals_for_exec() -> io::Result<()> {
    reset_ignored_signals();
    // SAFETY: the default disposition runs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    Ok(SigSet::empty().thread_set_mask()?)
}

/// Ignores every signal in this process, real-time ones too, but those of `kept` and those that tell of a fault of its own. Whoever is
/// forked from here has to undo it.
pub fn ignore_all_signals_but(kept: &SigSet) {
    const FAULTS: [i32; 7] =
        [libc::SIGILL, libc::SIGTRAP, libc::SIGBUS, libc::SIGFPE, libc::SIGSEGV, libc::SIGSYS, libc::SIGABRT];
    let is_kept = |number: i32| Signal::try_from(number).is_ok_and(|signal| kept.contains(signal));
    for signal in (1..=64).filter(|&signal| !FAULTS.contains(&signal) && !is_kept(signal)) {
        // SAFETY: ignoring runs no code of ours. KILL, STOP and libc's own two signals refuse, which is harmless.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Marks everything that this process has open, but 0, 1 and 2, to be closed in programs that it executes. What is opened here is marked
/// anyway; this is for descriptors that whoever started us left open.
pub fn close_inherited_on_exec() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        if let Some(fd) = name.to_str().and_then(|name| name.parse().ok()).filter(|&fd: &i32| fd > 2) {
            // SAFETY: only a flag changes, which nobody here relies on being unset; the number may be stale, which fails.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// Whether the kernel's clock is kept right by somebody (NTP, PTP); None where that cannot be asked.
#[must_use]
pub fn clock_is_synchronised() -> Option<bool> {
    // SAFETY: all zeros is a valid `timex` that changes nothing, and the call only fills it in.
    let (state, found) = unsafe {
        let mut found: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut found), found)
    };
    (state >= 0).then_some(found.status & libc::STA_UNSYNC == 0)
}

/// One thing that a child does to itself before it becomes its program. Taking it allocates nothing and waits for nobody.
#[derive(Debug)]
pub enum Step {
    /// Sets a limit.
    Limit(Resource, Rlimit),
    /// Sets its priority.
    Nice(i32),
    /// Sets the rights that new files do not get.
    Umask(Mode),
    /// Sets the supplementary groups.
    Groups(Vec<Gid>),
    /// Sets the group.
    Group(Gid),
    /// Gives up the rights that would go over to the program: a daemon that is not root has them from its service manager.
    DropRights,
    /// Sets the user; the right to do so is gone with it.
    User(Uid),
    /// Enters a directory.
    Enter(CString),
    /// Fails if the file may not be used like this.
    Access(CString, AccessFlags),
}

impl Step {
    fn take(&self) -> io::Result<()> {
        match self {
            Self::Limit(resource, limit) => rustix::process::setrlimit(*resource, *limit)?,
            Self::Nice(nice) => rustix::process::setpriority_process(None, *nice)?,
            Self::Umask(mask) => drop(umask(*mask)),
            Self::Groups(groups) => nix::unistd::setgroups(groups)?,
            Self::Group(group) => nix::unistd::setgid(*group)?,
            Self::DropRights => rustix::thread::clear_ambient_capability_set()?,
            Self::User(user) => nix::unistd::setuid(*user)?,
            Self::Enter(directory) => nix::unistd::chdir(directory.as_c_str())?,
            Self::Access(path, how) => nix::unistd::access(path.as_c_str(), *how)?,
        }
        Ok(())
    }
}

/// A step that could not be taken.
#[derive(Debug)]
pub struct Stumble {
    /// Which one.
    pub at: usize,
    /// Why.
    pub error: io::Error,
}

/// A child can tell its parent no more than one number: the step, from 1, above the kernel's own.
const STEP: u32 = 16;

/// What a child says that has taken all its steps and is not to become anything.
const DONE: i32 = i32::MAX;

impl Stumble {
    fn number(&self) -> i32 {
        let step = i32::try_from(self.at + 1).unwrap_or_default() << STEP;
        step | self.error.raw_os_error().unwrap_or(libc::EINVAL)
    }

    /// The step that the error of a spawn tells of; None if it was none of them.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        let number = error.raw_os_error().filter(|number| *number != DONE)?;
        let at = usize::try_from(number >> STEP).ok()?.checked_sub(1)?;
        Some(Self { at, error: io::Error::from_raw_os_error(number & ((1 << STEP) - 1)) })
    }
}

/// As a child tells it.
impl From<Stumble> for io::Error {
    fn from(stumble: Stumble) -> Self {
        Self::from_raw_os_error(stumble.number())
    }
}

/// Takes the steps in this process.
pub fn take(steps: &[Step]) -> Result<(), Stumble> {
    steps.iter().enumerate().try_for_each(|(at, step)| step.take().map_err(|error| Stumble { at, error }))
}

/// Has whatever `command` starts take the steps, in its new process group, before it becomes the program. This makes the standard library fork.
/// See `Stumble` for the error of a spawn.
pub fn prepare_child(command: &mut Command, steps: Vec<Step>) {
    let taken = move || take(&steps).map_err(io::Error::from);
    // SAFETY: another thread may have held any lock at the fork. The steps are complete, and what takes them allocates nothing and takes no
    // lock: it makes system calls and makes errors of plain numbers. libc's `setuid` and its like speak to all threads that they know of, of
    // which a forked child has one. The child does not drop the steps: it becomes a program, or ends at once.
    unsafe { command.pre_exec(taken) };
}

/// Whether a child could take the steps: one takes them and ends. An error where there is no child.
pub fn rehearse(steps: Vec<Step>) -> io::Result<Result<(), Stumble>> {
    // It is never executed.
    let mut command = Command::new("/");
    prepare_child(&mut command, steps);
    let done = || Err(io::Error::from_raw_os_error(DONE));
    // SAFETY: it makes an error of a plain number.
    unsafe { command.pre_exec(done) };
    match command.spawn() {
        Err(error) if error.raw_os_error() == Some(DONE) => Ok(Ok(())),
        Err(error) => Stumble::of(&error).map_or(Err(error), |stumble| Ok(Err(stumble))),
        Ok(mut child) => child.wait().map(|_| Ok(())),
    }
}
