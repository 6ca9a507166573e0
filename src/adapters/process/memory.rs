//! Whether the kernel ran out of memory: it counts its kills per control group, and does not say whom it killed.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The kernel's count of kills for want of memory, and which of them nobody has claimed yet.
#[derive(Debug)]
pub(super) struct OomCounter {
    file: Option<File>,
    seen: u64,
    unclaimed: BTreeSet<u64>,
}

/// More kills than this are not kept: some victims were no scripts, and theirs nobody claims.
const KEPT: usize = 1024;

impl OomCounter {
    /// Of the own control group and all below it; of the whole machine where there is no such group.
    pub(super) fn open() -> Self {
        let mut counter =
            Self { file: own_group().or_else(|| File::open("/proc/vmstat").ok()), seen: 0, unclaimed: BTreeSet::new() };
        counter.seen = counter.read().unwrap_or_default();
        counter
    }

    /// The kills so far: a process that starts now was none of their victims.
    pub(super) fn count(&mut self) -> u64 {
        let now = self.read().unwrap_or(self.seen);
        self.unclaimed.extend((self.seen + 1..=now).rev().take(KEPT));
        while self.unclaimed.len() > KEPT {
            self.unclaimed.pop_first();
        }
        self.seen = now.max(self.seen);
        self.seen
    }

    /// True once for each kill; only for one after the count was `before`.
    pub(super) fn take(&mut self, before: u64) -> bool {
        self.count();
        let kill = self.unclaimed.range(before + 1..).next().copied();
        kill.is_some_and(|kill| self.unclaimed.remove(&kill))
    }

    fn read(&self) -> Option<u64> {
        let mut buffer = [0_u8; 16 * 1024];
        let length = self.file.as_ref()?.read_at(&mut buffer, 0).ok()?;
        count(std::str::from_utf8(buffer.get(..length)?).ok()?)
    }
}

/// The counter of the own group: of version 2, or of the memory controller of version 1.
fn own_group() -> Option<File> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let root = Path::new("/sys/fs/cgroup");
    groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, group) = rest.split_once(":/")?;
        let file = match controllers {
            "" => root.join(group).join("memory.events"),
            "memory" => root.join("memory").join(group).join("memory.oom_control"),
            _ => return None,
        };
        File::open(file).ok()
    })
}

fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_count_is_found_in_all_formats() {
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"), Some(4));
        assert_eq!(count("low 0\nhigh 0\nmax 4\noom 2\noom_kill 7\noom_group_kill 0\n"), Some(7));
        assert_eq!(count("pgfault 12\noom_kill 3\n"), Some(3));
        assert_eq!(count("pgfault 12\n"), None);
    }

    #[test]
    fn each_kill_is_told_once() {
        let mut file = tempfile::tempfile().expect("a file");
        writeln!(file, "oom_kill 5").expect("written");
        let copy = file.try_clone().expect("a copy");
        let mut counter = OomCounter { file: Some(copy), seen: 5, unclaimed: BTreeSet::new() };
        let early = counter.count();
        assert!(!counter.take(early));
        file.write_all_at(b"oom_kill 6\n", 0).expect("written");
        // A start between the kill and the report of its victim takes nothing away, and gets nothing.
        let late = counter.count();
        assert!(!counter.take(late));
        file.write_all_at(b"oom_kill 7\n", 0).expect("written");
        assert!(counter.take(late) && !counter.take(late));
        assert!(counter.take(early) && !counter.take(early));
    }
}
