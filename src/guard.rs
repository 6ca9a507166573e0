//! The outer process of `mho run`. It makes the daemon, waits for it, and sees to it that nothing of the daemon's outlives it, even if it dies by
//! SIGKILL. It owns no logic, no thread and no list of processes: whatever the daemon leaves behind becomes its child, because it is a
//! child subreaper.
//!
//! The other way round the kernel tells the daemon: if the guard dies, the daemon gets SIGTERM and shuts down in order.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{ForkResult, Pid};
use rustix::pipe::PipeFlags;
use rustix::process::{Signal as RawSignal, WaitId, WaitIdOptions, WaitOptions, WaitStatus};

use crate::adapters::procfs::{self, Proc, Snapshot};
use crate::adapters::sys;

/// Handed on to the daemon, each once.
const FORWARDED: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

/// The grace until the daemon tells another.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// SIGKILL may take this long, and so may the daemon, once it has said that it ends. What takes longer hangs in the kernel, where nothing can
/// end it; one such thread is enough for its process never to be reaped.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks for descendants that were forked meanwhile; the end of a child is noticed at once.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The same once the grace is over: what forks faster than it can be killed must be met often.
const KILL_AGAIN: Duration = Duration::from_millis(5);

/// A daemon that was asked twice gives its scripts 6 s to die by SIGKILL. It is not waited for much longer.
const DAEMON_PATIENCE: Duration = Duration::from_secs(7);

/// What comes this soon after a request to end is the same one, as for the daemon.
const SAME_REQUEST: Duration = Duration::from_millis(500);

/// With its end, no more than a pipe takes in one piece everywhere (`_POSIX_PIPE_BUF`).
const MAX_LINE: usize = 511;

/// What the daemon says is eight bytes: with this bit the code it ends with, without it a grace in milliseconds.
const ENDS: u64 = 1 << 63;

/// What the daemon can tell its guard.
#[derive(Debug)]
pub struct DaemonSide {
    pipe: OwnedFd,
}

impl DaemonSide {
    /// If the daemon dies, its scripts get this long between SIGTERM and SIGKILL: the longest `stop_grace` of all.
    pub fn set_longest_grace(&self, grace: Duration) {
        let millis = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.tell(millis.min(ENDS - 1));
    }

    fn tell(&self, word: u64) {
        // Without a guard nobody needs to know; the pipe's other end is read all the time otherwise.
        let _ = rustix::io::write(&self.pipe, &word.to_ne_bytes());
    }
}

/// Until `run` sees to them, signals wait. Returns what was blocked before.
#[must_use]
pub fn hold_signals() -> SigSet {
    SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).unwrap_or_else(|_| SigSet::empty())
}

/// For a process that does not `run`: signals have their usual effect again, also those that came meanwhile.
pub fn release_signals(before: SigSet) {
    let _ = before.thread_set_mask();
}

/// Runs `daemon` in a process of its own and returns, in both processes, the code to exit with. To be called before any thread exists.
pub fn run(daemon: impl FnOnce(&DaemonSide) -> u8) -> u8 {
    match split() {
        Ok(Side::Daemon(side)) => {
            let code = daemon(&side);
            side.tell(ENDS | u64::from(code));
            code
        }
        Ok(Side::OrphanedDaemon) => 1,
        Ok(Side::Guard(guard)) => guard.watch(),
        Err(error) => {
            say(&format!("the daemon could not be started: {error}"));
            1
        }
    }
}

enum Side {
    Daemon(DaemonSide),
    /// The guard died before we could ask to be told of it.
    OrphanedDaemon,
    Guard(Guard),
}

struct Guard {
    daemon: Pid,
    signals: SignalFd,
    pipe: Option<OwnedFd>,
    grace: Duration,
    /// Since when the daemon is about to be gone, and the code that it ends with.
    ending: Option<(Instant, u8)>,
    /// When the first request to end came.
    asked: Option<Instant>,
    /// When a later one came, which asks for SIGKILL.
    insisted: Option<Instant>,
    /// The daemon had its time and was killed.
    gave_up: bool,
    strangers: Strangers,
}

/// The children that this process had before it became `mho`, by pid and start time: whoever started them may still want them. With them go
/// their descendants, as long as these have them for parents.
struct Strangers(HashSet<(u32, u64)>);

fn split() -> io::Result<Side> {
    sys::close_inherited_on_exec()?;
    sys::reset_ignored_signals();
    // Blocked before the fork, so that none is lost, and none stops or ends a guard that does not ignore it yet. A blocked signal also reaches
    // PID 1, whose unhandled ones the kernel drops.
    SigSet::all().thread_set_mask()?;
    let mut watched: SigSet = FORWARDED.into_iter().collect();
    watched.add(Signal::SIGCHLD);
    watched.add(Signal::SIGABRT);
    let strangers = Strangers::find();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let guard = nix::unistd::getpid();
    match sys::fork_single_threaded()? {
        ForkResult::Child => {
            drop(reader);
            become_daemon(guard, writer)
        }
        ForkResult::Parent { child } => {
            drop(writer);
            // Ctrl-Z never suspends supervision, and no alarm that somebody left running or sends ends it.
            sys::ignore_all_signals_but(&watched);
            watched.thread_set_mask()?;
            let signals = SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
            Ok(Side::Guard(Guard {
                daemon: child,
                signals,
                pipe: Some(reader),
                grace: DEFAULT_GRACE,
                ending: None,
                asked: None,
                insisted: None,
                gave_up: false,
                strangers,
            }))
        }
    }
}

fn become_daemon(guard: Pid, pipe: OwnedFd) -> io::Result<Side> {
    // A session of its own is a process group of its own, and no terminal: neither Ctrl-C nor Ctrl-Z nor `stty tostop` reaches it.
    nix::unistd::setsid()?;
    rustix::process::set_parent_process_death_signal(Some(RawSignal::TERM))?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    // These stay blocked until their handlers exist (`Signals::new`): one that comes sooner waits, and ends or disturbs nothing.
    let mut held: SigSet = FORWARDED.into_iter().collect();
    held.add(Signal::SIGXFSZ);
    held.thread_set_mask()?;
    // Compared after asking: a guard that died in between sent nothing. (In a container the guard is 1, and so is any reaper elsewhere.)
    Ok(if nix::unistd::getppid() == guard { Side::Daemon(DaemonSide { pipe }) } else { Side::OrphanedDaemon })
}

impl Guard {
    fn watch(mut self) -> u8 {
        let end = loop {
            let end = self.reap();
            if end.is_some() || self.daemon_hangs() {
                break end;
            }
            self.wait([self.patience(), self.time_to_leave()].into_iter().flatten().min());
            while let Some(signal) = self.next_signal() {
                self.hand_on(signal);
            }
            if self.patience().is_some_and(|left| left.is_zero()) {
                self.gave_up = true;
                self.kill_daemon("the daemon does not end: killing it");
            }
        };
        self.read_pipe();
        self.stop_descendants(end.is_none());
        // Only now: whatever stderr is, it may hold us up.
        let code = match end {
            Some(end) => told_end(end),
            None => {
                if self.has_children() {
                    say(
                        "the daemon cannot leave: it hangs in the kernel, perhaps on a file system that does not answer",
                    );
                }
                self.ending.map_or(1, |(_, code)| code)
            }
        };
        if self.insisted.is_some() { 1 } else { code }
    }

    fn kill_daemon(&mut self, text: &str) {
        let _ = kill(self.daemon, Signal::SIGKILL);
        self.ending.get_or_insert((Instant::now(), 1));
        say(text);
    }

    /// A daemon that is about to be gone has this long; None = it is not.
    fn time_to_leave(&self) -> Option<Duration> {
        self.ending.map(|(since, _)| KILL_PATIENCE.saturating_sub(since.elapsed()))
    }

    /// It should be gone by now.
    fn daemon_hangs(&self) -> bool {
        self.time_to_leave().is_some_and(|left| left.is_zero())
    }

    /// To the daemon.
    fn hand_on(&mut self, signal: Signal) {
        if signal == Signal::SIGCHLD {
            return;
        }
        if signal == Signal::SIGABRT {
            // The service manager's watchdog: the daemon hangs, and would not hear anything else.
            self.kill_daemon("SIGABRT: killing the daemon");
            return;
        }
        let _ = kill(self.daemon, signal);
        if self.note_request(signal) {
            // Somebody may have stopped it: it would not hear anything, and its scripts would miss the close.
            let _ = kill(self.daemon, Signal::SIGCONT);
        }
    }

    /// Takes note of a request to end. False: it is none.
    fn note_request(&mut self, signal: Signal) -> bool {
        let is_request = matches!(signal, Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT);
        if is_request && self.asked.get_or_insert_with(Instant::now).elapsed() > SAME_REQUEST {
            self.insisted.get_or_insert_with(Instant::now);
        }
        is_request
    }

    /// A daemon that was asked twice has this long to end; None = for ever.
    fn patience(&self) -> Option<Duration> {
        let since = self.insisted.filter(|_| !self.gave_up)?;
        Some(DAEMON_PATIENCE.saturating_sub(since.elapsed()))
    }

    /// Takes the exit status of every child that ended. Returns the daemon's, once.
    fn reap(&self) -> Option<WaitStatus> {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid.as_raw_pid() == self.daemon.as_raw() => return Some(status),
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                // None ended, or there is none at all: after the daemon's end, all is done.
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Others than strangers.
    fn has_children(&self) -> bool {
        let flags = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let has_any = !matches!(rustix::process::waitid(WaitId::All, flags), Err(rustix::io::Errno::CHILD));
        has_any && (self.strangers.0.is_empty() || self.children().next().is_some() || !self.descendants().is_empty())
    }

    /// Read in no time, but not everywhere.
    fn children(&self) -> impl Iterator<Item = u32> {
        procfs::own_children().unwrap_or_default().into_iter().filter(|&child| !self.strangers.has(child))
    }

    fn descendants(&self) -> Vec<Proc> {
        self.look_for_descendants().unwrap_or_default()
    }

    fn look_for_descendants(&self) -> Option<Vec<Proc>> {
        let all = Snapshot::take().ok()?;
        let mut found = all.descendants(std::process::id());
        self.strangers.leave_out(&all, &mut found);
        Some(found)
    }

    fn is_alone_with_daemon(&self) -> bool {
        let daemon = self.daemon.as_raw().unsigned_abs();
        // Of what the daemon started, it is still the parent.
        self.look_for_descendants().is_some_and(|left| left.iter().all(|process| process.pid == daemon))
    }

    /// Sleeps until there is a signal or a word of the daemon.
    fn wait(&mut self, timeout: Option<Duration>) {
        let timeout = timeout.map_or(PollTimeout::NONE, |time| PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX));
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.pipe.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        let _ = poll(&mut fds, timeout);
        self.read_pipe();
    }

    fn next_signal(&self) -> Option<Signal> {
        let info = self.signals.read_signal().ok()??;
        i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok())
    }

    fn read_pipe(&mut self) {
        let mut word = [0_u8; 8];
        while let Some(pipe) = &self.pipe {
            match rustix::io::read(pipe, &mut word) {
                Ok(8) => match u64::from_ne_bytes(word) {
                    word @ ENDS.. => self.ending = Some((Instant::now(), u8::try_from(word - ENDS).unwrap_or(1))),
                    millis => self.grace = Duration::from_millis(millis),
                },
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                // The daemon is gone; polling a closed pipe would never sleep again.
                Ok(_) | Err(_) => self.pipe = None,
            }
        }
    }

    /// SIGTERM to all that is left, SIGKILL after the grace; returns when no child is left, or none but a daemon that hangs, or some cannot be
    /// killed.
    fn stop_descendants(&mut self, daemon_hangs: bool) {
        let start = Instant::now();
        let mut told = HashSet::new();
        if self.insisted.is_some() {
            self.grace = Duration::ZERO;
        }
        loop {
            self.reap();
            if !self.has_children() || daemon_hangs && self.is_alone_with_daemon() {
                return;
            }
            let past_grace = start.elapsed().checked_sub(self.grace);
            match past_grace {
                Some(past) if past >= KILL_PATIENCE => return name_survivors(&self.descendants()),
                Some(_) => self.kill_descendants(),
                None => {
                    let left = self.descendants();
                    // Later on, a newcomer with a living parent is what that one's handler needs to clean up; an orphan is left behind.
                    let first = told.is_empty();
                    let heeds = |process: &&Proc| first || process.parent == std::process::id();
                    for process in left.iter().filter(heeds) {
                        if told.insert(process.id()) {
                            procfs::send(*process, &[RawSignal::TERM, RawSignal::CONT]);
                        }
                    }
                }
            }
            let until_kill = self.grace.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
            self.wait(Some(if past_grace.is_some() { KILL_AGAIN } else { LOOK_AGAIN.min(until_kill) }));
            // Nobody is left to hand them on to; but who asks again need not wait for the grace.
            while let Some(signal) = self.next_signal() {
                self.note_request(signal);
                if self.insisted.is_some() {
                    self.grace = self.grace.min(start.elapsed());
                }
            }
        }
    }

    fn kill_descendants(&self) {
        procfs::kill_together(|| {
            // A walk may take as long as a generation of something that forks and forks. They are ours and not reaped here, so these pids
            // mean nobody else.
            for child in self.children() {
                let _ = procfs::raw_pid(child).map(|pid| rustix::process::kill_process(pid, RawSignal::STOP));
            }
            self.descendants()
        });
    }
}

impl Strangers {
    /// The first process of a container is responsible for all in it: to that one, nobody is a stranger.
    fn find() -> Self {
        if std::process::id() == 1 {
            return Self(HashSet::new());
        }
        let id = |child| procfs::read(child).ok().flatten().map(|process| process.id());
        Self(procfs::own_children().unwrap_or_default().into_iter().filter_map(id).collect())
    }

    fn has(&self, pid: u32) -> bool {
        !self.0.is_empty() && procfs::read(pid).ok().flatten().is_some_and(|process| self.0.contains(&process.id()))
    }

    fn leave_out(&self, all: &Snapshot, found: &mut Vec<Proc>) {
        for stranger in self.0.iter().filter_map(|&(pid, start)| all.get(pid).filter(|now| now.start == start)) {
            let theirs = all.descendants(stranger.pid);
            found.retain(|process| process.pid != stranger.pid && !theirs.contains(process));
        }
    }
}

/// The code that goes with the daemon's end, of which it is said if it was no exit.
fn told_end(end: WaitStatus) -> u8 {
    if let Some(signal) = end.terminating_signal() {
        let name = Signal::try_from(signal).map_or_else(|_| String::new(), |signal| format!(" ({signal})"));
        say(&format!("the daemon was killed by signal {signal}{name}; everything it started was stopped"));
    }
    end.exit_status().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn name_survivors(left: &[Proc]) {
    for process in left {
        say(&format!("process {} ({}) survived SIGKILL", process.pid, procfs::name(process.pid)));
    }
}

/// To stderr, if it takes the line at once: a full pipe that nobody reads must not hold up the end of the scripts. It may be shared with
/// others, so it is not made non-blocking; a pipe that is ready takes a line of this length as a whole.
fn say(text: &str) {
    let stderr = io::stderr();
    let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if matches!(poll(&mut ready, PollTimeout::ZERO), Ok(1..)) {
        let line: Vec<u8> = format!("mho: {text}").bytes().take(MAX_LINE).chain([b'\n']).collect();
        let _ = rustix::io::write(&stderr, &line);
    }
}
