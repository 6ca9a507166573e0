//! The limits that a script inherits. They are set on this process for the moment of the spawn: so they hold from the script's first
//! instruction on, and the spawn stays on the standard library's fast path.
//!
//! One of them is a mark. A limit on real-time processor time that no process will ever reach says nothing to anybody, and everything that a
//! script starts inherits it: through every fork and exec, also where environment, group, session, parents and output are left behind.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, prlimit, setrlimit};

use crate::adapters::procfs;

/// The marks start here: microseconds, more than a hundred thousand years.
const FIRST_MARK: u64 = 1 << 62;

/// So many descriptors others may open during a spawn without reaching the lower limit.
const SPARE: u64 = 64;

/// One row of marks for the whole process: each names one attempt.
static NEXT_MARK: AtomicU64 = AtomicU64::new(FIRST_MARK);

/// What scripts get instead of the daemon's own limits.
pub(super) struct Limits {
    /// The limit of open files that the daemon was given, if it has raised its own.
    open_files: Option<Rlimit>,
}

impl Limits {
    /// Raises this process's own limit of open files (each script takes three) as far as it is allowed to.
    pub(super) fn raise() -> Self {
        let before = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: before.maximum, maximum: before.maximum };
        let is_raised = before.current != before.maximum && setrlimit(Resource::Nofile, raised).is_ok();
        Self { open_files: is_raised.then_some(before) }
    }

    /// From now until the result is dropped, whatever is spawned gets a script's limits. One at a time. `free` is about the lowest descriptor
    /// that is not in use.
    pub(super) fn lend(&self, free: RawFd) -> Lent<'_> {
        let mark = NEXT_MARK.fetch_add(1, Ordering::Relaxed);
        let now = getrlimit(Resource::Rttime);
        // One that somebody else has set means something.
        let is_unlimited = now.current.is_none() && now.maximum.is_none();
        let marked = Rlimit { current: Some(mark), maximum: None };
        let mark = (is_unlimited && setrlimit(Resource::Rttime, marked).is_ok()).then_some(mark);
        Lent { limits: self, mark, open_files: self.lend_open_files(free) }
    }

    /// Returns the limit to go back to. Where so many are open that another thread might meet the lower one, it is not touched.
    fn lend_open_files(&self, free: RawFd) -> Option<Rlimit> {
        let lower = self.open_files?;
        let now = getrlimit(Resource::Nofile);
        let free = u64::try_from(free).unwrap_or(u64::MAX);
        let is_safe = lower.current.is_none_or(|limit| free.saturating_add(SPARE) <= limit);
        let is_lower = lower.current.is_some_and(|limit| now.current.is_none_or(|now| limit < now));
        let lent = Rlimit { current: lower.current, maximum: now.maximum };
        (is_safe && is_lower && setrlimit(Resource::Nofile, lent).is_ok()).then_some(now)
    }
}

/// This process has a script's limits.
pub(super) struct Lent<'a> {
    limits: &'a Limits,
    mark: Option<u64>,
    open_files: Option<Rlimit>,
}

impl Lent<'_> {
    /// The mark of what was spawned, if it could be given one. Where it could not inherit its limit of open files and has not `set` one of its
    /// own, it gets it now.
    pub(super) fn settle_for(self, child: u32, set: bool) -> Option<u64> {
        if let Some(limit) = self.limits.open_files.filter(|_| self.open_files.is_none() && !set) {
            let _ = prlimit(procfs::raw_pid(child), Resource::Nofile, limit);
        }
        self.mark
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if self.mark.is_some() {
            let _ = setrlimit(Resource::Rttime, Rlimit { current: None, maximum: None });
        }
        if let Some(own) = self.open_files {
            let _ = setrlimit(Resource::Nofile, own);
        }
    }
}
