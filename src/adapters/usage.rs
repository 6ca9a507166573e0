//! What the processes of scripts use: memory and processor time of whole process groups, and when they last printed something.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use chrono::NaiveDate;

use super::procfs;

/// What a process group uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GroupUsage {
    /// Resident memory, in bytes; what its processes share counts for each.
    pub memory: u64,
    /// Processor time, in seconds, also of children that were waited for.
    pub cpu: f64,
}

/// What each of these groups uses, by one walk through all processes; those that are gone are left out.
#[must_use]
pub fn of_groups(groups: impl IntoIterator<Item = u32>) -> BTreeMap<u32, GroupUsage> {
    let mut found: BTreeMap<u32, Option<GroupUsage>> = groups.into_iter().map(|group| (group, None)).collect();
    let (page, tick) = (rustix::param::page_size() as u64, rustix::param::clock_ticks_per_second());
    for used in procfs::pids().into_iter().flatten().filter_map(procfs::usage) {
        if let Some(sum) = found.get_mut(&used.group) {
            let sum = sum.get_or_insert_default();
            sum.memory += used.pages * page;
            sum.cpu += Duration::from_millis(used.ticks * 1000 / tick.max(1)).as_secs_f64();
        }
    }
    found.into_iter().filter_map(|(group, used)| Some((group, used?))).collect()
}

/// How long ago a script last printed something into its log of this date; None if it has not.
#[must_use]
pub fn silence(log_dir: &Path, date: NaiveDate) -> Option<Duration> {
    let found = std::fs::metadata(log_dir.join(format!("{date}.log"))).ok()?;
    // A new part is empty until something is printed into it.
    let printed = found.modified().ok().filter(|_| found.len() > 0)?;
    Some(SystemTime::now().duration_since(printed).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_a_group_that_is_gone_uses_nothing() {
        let own = procfs::read(std::process::id()).unwrap().unwrap().group;
        let found = of_groups([own, u32::MAX]);
        assert!(found[&own].memory > 1 << 20 && found[&own].cpu >= 0.0);
        assert!(!found.contains_key(&u32::MAX));
    }

    #[test]
    fn what_was_printed_just_now_is_no_silence() {
        let dir = tempfile::tempdir().unwrap();
        let date = "2026-11-27".parse().unwrap();
        assert_eq!(silence(dir.path(), date), None);
        std::fs::write(dir.path().join("2026-11-27.log"), "a\n").unwrap();
        assert!(silence(dir.path(), date).unwrap() < Duration::from_secs(60));
    }
}
