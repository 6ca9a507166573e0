//! Every `unsafe` of the program, each behind a safe function that says why it is sound.

use std::io;
use std::os::fd::OwnedFd;

use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::ForkResult;
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
