//! What `/proc` tells of the processes of this machine. Every answer may be out of date when it is read: whoever acts on one opens a pidfd
//! and compares the start time first (`send`).

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::libc;
use rustix::buffer::spare_capacity;
use rustix::process::{Pid, PidfdFlags, Signal};

/// An environment is read in one piece up to this size: the kernel holds on to it for the length of a call, so it cannot break off in the
/// middle because the process executes a new program.
const ONE_PIECE: usize = 256 * 1024;

/// Before they are killed, processes are stopped in at most this many rounds.
const STOP_ROUNDS: usize = 50;

/// So often the way up to the first process is looked for.
const ANCESTRY_TRIES: usize = 10;

/// In the flags of a process: it is a thread of the kernel (`PF_KTHREAD`).
const KERNEL_THREAD: u32 = 0x0020_0000;

/// A process as `/proc/PID/stat` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proc {
    /// Its id.
    pub pid: u32,
    /// Its parent.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// When it started, in ticks since boot: with the pid, its identity.
    pub start: u64,
    /// It has ended, with all its threads; only its exit status is left.
    pub zombie: bool,
    /// It belongs to the kernel: it has no program and no environment.
    pub kernel: bool,
}

impl Proc {
    /// Its identity: the pid alone may come to mean another process.
    #[must_use]
    pub fn id(&self) -> (u32, u64) {
        (self.pid, self.start)
    }
}

/// What can be seen of the environment that a process started its program with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight<const N: usize> {
    /// The values of the variables asked for.
    Values([Option<String>; N]),
    /// It has none, or it executes a new program at this moment.
    Empty,
    /// We may not look, or could not.
    Hidden,
    /// The process is gone.
    Gone,
}

/// All processes at about one moment.
#[derive(Debug, Default)]
pub struct Snapshot(HashMap<u32, Proc>);

impl Snapshot {
    /// Walks `/proc` once.
    pub fn take() -> io::Result<Self> {
        let mut all = HashMap::new();
        for entry in std::fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            if let Some(process) = read(pid)? {
                all.insert(pid, process);
            }
        }
        Ok(Self(all))
    }

    /// The process with this id.
    #[must_use]
    pub fn get(&self, pid: u32) -> Option<Proc> {
        self.0.get(&pid).copied()
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Proc> + '_ {
        self.0.values().copied()
    }

    /// The live descendants of `ancestor`, by the chain of parents.
    #[must_use]
    pub fn descendants(&self, ancestor: u32) -> Vec<Proc> {
        let mut by_parent: HashMap<u32, Vec<Proc>> = HashMap::new();
        for process in self.iter() {
            by_parent.entry(process.parent).or_default().push(process);
        }
        let mut found = Vec::new();
        let mut open = vec![ancestor];
        while let Some(parent) = open.pop() {
            for child in by_parent.remove(&parent).unwrap_or_default() {
                open.push(child.pid);
                if !child.zombie {
                    found.push(child);
                }
            }
        }
        found
    }
}

/// One process, if it is there. An error means that we could not look, never that it is gone.
pub fn read(pid: u32) -> io::Result<Option<Proc>> {
    let mut buffer = [0_u8; 1024];
    let read = File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut buffer));
    match read {
        Ok(length) => Ok(buffer.get(..length).and_then(|stat| parse(pid, stat))),
        Err(error) => match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => Err(error),
            _ => Ok(None),
        },
    }
}

/// What a process, and those of its children that it has waited for, have used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Its parent.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// Processor time, in clock ticks.
    pub ticks: u64,
    /// Resident memory, in pages.
    pub pages: u64,
}

/// What a process has used; None if it is gone, or we may not look.
#[must_use]
pub fn usage(pid: u32) -> Option<Usage> {
    let mut buffer = [0_u8; 1024];
    let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut buffer).ok()?;
    let stat = buffer.get(..length)?;
    let behind = memchr::memrchr(b')', stat)?;
    let fields = std::str::from_utf8(stat.get(behind + 1..)?).ok()?;
    // Without the sign that a few of them may have, they are all numbers but the first.
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks = (11..15).filter_map(number).sum();
    let id = |at: usize| u32::try_from(number(at)?).ok();
    Some(Usage { parent: id(1)?, group: id(2)?, ticks, pages: number(21)? })
}

/// All processes' ids.
pub fn pids() -> io::Result<impl Iterator<Item = u32>> {
    Ok(std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

/// The name is in parentheses and may itself hold anything, also parentheses: the fields start behind the last one.
fn parse(pid: u32, stat: &[u8]) -> Option<Proc> {
    let behind = memchr::memrchr(b')', stat)?;
    let mut fields = std::str::from_utf8(stat.get(behind + 1..)?).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let flags: u32 = fields.nth(3)?.parse().ok()?;
    let threads: u32 = fields.nth(10)?.parse().ok()?;
    let start = fields.nth(1)?.parse().ok()?;
    // The first thread may end before the others: it is shown as a zombie, and the process lives.
    let zombie = matches!(state, "Z" | "X" | "x") && threads <= 1;
    Some(Proc { pid, parent, group, start, zombie, kernel: flags & KERNEL_THREAD != 0 })
}

/// The children of this process's main thread, which are also all orphans that it inherits as subreaper, zombies included.
/// None where the kernel was built without this file.
#[must_use]
pub fn own_children() -> Option<Vec<u32>> {
    let pid = std::process::id();
    let text = std::fs::read_to_string(format!("/proc/self/task/{pid}/children")).ok()?;
    Some(text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// The value of each of `names` in the environment that the process started its program with.
#[must_use]
pub fn see_environment<const N: usize>(pid: u32, names: [&str; N]) -> Sight<N> {
    let environ = match read_environ(pid) {
        Ok(environ) if environ.is_empty() => return Sight::Empty,
        Ok(environ) => environ,
        Err(error) => {
            return match error.raw_os_error() {
                Some(libc::ENOENT | libc::ESRCH) => Sight::Gone,
                _ => Sight::Hidden,
            };
        }
    };
    let mut values = [const { None }; N];
    for variable in environ.split(|&byte| byte == 0) {
        let Some((name, value)) = std::str::from_utf8(variable).ok().and_then(|text| text.split_once('=')) else {
            continue;
        };
        if let Some(slot) = names.iter().position(|wanted| *wanted == name).and_then(|i| values.get_mut(i)) {
            *slot = Some(value.to_owned());
        }
    }
    Sight::Values(values)
}

fn read_environ(pid: u32) -> io::Result<Vec<u8>> {
    let file = File::open(format!("/proc/{pid}/environ"))?;
    let mut environ = Vec::with_capacity(ONE_PIECE);
    loop {
        if rustix::io::retry_on_intr(|| rustix::io::read(&file, spare_capacity(&mut environ)))? == 0 {
            return Ok(environ);
        }
        environ.reserve(1);
    }
}

/// The same; None where no environment is to be seen, for whatever reason.
#[must_use]
pub fn environment<const N: usize>(pid: u32, names: [&str; N]) -> Option<[Option<String>; N]> {
    match see_environment(pid, names) {
        Sight::Values(values) => Some(values),
        Sight::Empty | Sight::Hidden | Sight::Gone => None,
    }
}

/// The same where it makes no difference why there is none.
#[must_use]
pub fn environment_values<const N: usize>(pid: u32, names: [&str; N]) -> [Option<String>; N] {
    environment(pid, names).unwrap_or([const { None }; N])
}

/// It has arguments: those of a new program are there as soon as its environment is.
#[must_use]
pub fn has_command_line(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// The name of its program, shortened by the kernel.
#[must_use]
pub fn name(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// How many microseconds of real-time processor time the process may take at a stretch, if that is limited.
#[must_use]
pub fn realtime_limit(pid: u32) -> Option<u64> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let values = limits.lines().find_map(|line| line.strip_prefix("Max realtime timeout"))?;
    values.split_ascii_whitespace().next()?.parse().ok()
}

/// Device and inode of what the process has open as `fd`.
#[must_use]
pub fn open_file(pid: u32, fd: u32) -> Option<(u64, u64)> {
    std::fs::metadata(format!("/proc/{pid}/fd/{fd}")).ok().map(|found| (found.dev(), found.ino()))
}

/// The number of the pipe that the process has open as `fd`, for reading and writing both.
#[must_use]
pub fn pipe_both_ways(pid: u32, fd: u32) -> Option<u64> {
    let pipe = pipe_number(&std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?)?;
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    let flags = i32::from_str_radix(flags.trim(), 8).ok()?;
    (flags & libc::O_ACCMODE == libc::O_RDWR).then_some(pipe)
}

/// The numbers of all pipes that the process has open; none if we may not look.
#[must_use]
pub fn all_pipes(pid: u32) -> Vec<u64> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.filter_map(|entry| pipe_number(&std::fs::read_link(entry.path()).ok()?)).collect()
}

/// Only a pipe without a name has one.
fn pipe_number(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("pipe:[")?.strip_suffix(']')?.parse().ok()
}

/// A handle to exactly this process, never to a later one with the same id. None if it is gone.
pub fn open(process: Proc) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = raw_pid(process.pid) else { return Ok(None) };
    let handle = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(rustix::io::Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Opened first, compared second: from here on the handle cannot come to mean another process.
    Ok(read(process.pid)?.filter(|now| now.start == process.start).map(|_| handle))
}

/// The parent of this process, the parent's parent, and so on.
#[must_use]
pub fn ancestors() -> Vec<u32> {
    let mut found = Vec::new();
    // One that ends meanwhile hands us on to another: the way is looked for again from the start.
    for _ in 0..ANCESTRY_TRIES {
        found.clear();
        let mut at = std::process::id();
        while let Ok(Some(process)) = read(at) {
            // Zero: the parent is outside of what this `/proc` shows.
            at = process.parent;
            if at == 0 || found.contains(&at) {
                return found;
            }
            found.push(at);
        }
    }
    found
}

/// The number that the kernel gave to this life of the machine.
pub fn boot_id() -> io::Result<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim_end().to_owned())
}

/// The user that a process runs as, also where its files in `/proc` belong to root.
#[must_use]
pub fn user(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_ascii_whitespace().next()?.parse().ok()
}

/// Kills all that `find` finds, at once: each is stopped first, until no newcomer is found, so that nobody forks meanwhile, and nobody loses
/// the parent that shows whose it is.
pub fn kill_together(mut find: impl FnMut() -> Vec<Proc>) {
    let mut known = HashSet::new();
    let mut stopped = Vec::new();
    for _ in 0..STOP_ROUNDS {
        let before = stopped.len();
        for process in find() {
            if known.insert(process.id()) {
                send(process, &[Signal::STOP]);
                stopped.push(process);
            }
        }
        if stopped.len() == before {
            break;
        }
    }
    for process in stopped {
        send(process, &[Signal::KILL]);
    }
}

/// Sends `signals` to exactly this process, one after the other. Nothing happens if it is gone.
pub fn send(process: Proc, signals: &[Signal]) {
    let Ok(Some(handle)) = open(process) else { return };
    for &signal in signals {
        // Gone, or not ours to signal: the caller looks again in any case, and names who is left.
        let _ = rustix::process::pidfd_send_signal(&handle, signal);
    }
}

/// A pid as the system calls want it.
#[must_use]
pub fn raw_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_parentheses_does_not_shift_the_fields() {
        let stat = b"77 (a) Z 1 (b)) S 5 66 66 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4242 1000 1";
        assert_eq!(
            parse(77, stat),
            Some(Proc { pid: 77, parent: 5, group: 66, start: 4242, zombie: false, kernel: false })
        );
    }

    #[test]
    fn a_thread_of_the_kernel_is_known_by_its_flags() {
        let stat = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 3 0 0";
        assert_eq!(parse(2, stat).map(|process| process.kernel), Some(true));
    }

    #[test]
    fn the_ancestors_of_this_process_start_with_its_parent() {
        let own = read(std::process::id()).expect("readable").expect("this process");
        assert_eq!(ancestors().first(), Some(&own.parent));
    }

    #[test]
    fn a_process_whose_first_thread_ended_is_no_zombie() {
        let with = |threads: u32| format!("77 (a) Z 5 66 66 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 {threads} 0 4242 0 0");
        assert_eq!(parse(77, with(1).as_bytes()).map(|process| process.zombie), Some(true));
        assert_eq!(parse(77, with(2).as_bytes()).map(|process| process.zombie), Some(false));
    }

    #[test]
    fn this_process_is_in_the_snapshot_and_descends_from_its_parent() {
        let snapshot = Snapshot::take().expect("/proc is there");
        let own = snapshot.get(std::process::id()).expect("this process");
        assert_eq!(read(own.pid).expect("readable").map(|again| again.start), Some(own.start));
        assert!(snapshot.descendants(own.parent).iter().any(|process| process.pid == own.pid));
    }
}
