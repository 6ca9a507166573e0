//! What the processes of scripts use: memory and processor time of whole process groups and their descendants, and when they last printed something.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{Duration, SystemTime};

use chrono::NaiveDate;

use super::procfs::{self, Usage};

/// So many generations are looked at.
const DEEPEST: usize = 64;

/// What a process group uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GroupUsage {
    /// Resident memory, in bytes; what its processes share counts for each.
    pub memory: u64,
    /// Processor time, in seconds, also of children that were waited for.
    pub cpu: f64,
}

/// What each of these groups uses, with the descendants of its members that have left it, by one walk through all processes; those that are
/// gone are left out.
#[must_use]
pub fn of_groups(groups: impl IntoIterator<Item = u32>) -> BTreeMap<u32, GroupUsage> {
    let mut found: BTreeMap<u32, Option<GroupUsage>> = groups.into_iter().map(|group| (group, None)).collect();
    let (page, tick) = (rustix::param::page_size() as u64, rustix::param::clock_ticks_per_second());
    let of = |pid| Some((pid, procfs::usage(pid)?));
    let all: HashMap<u32, Usage> =
        if found.is_empty() { HashMap::new() } else { procfs::pids().into_iter().flatten().filter_map(of).collect() };
    for used in all.values() {
        if let Some(sum) = owner(&all, used, |group| found.contains_key(&group)).and_then(|group| found.get_mut(&group))
        {
            let sum = sum.get_or_insert_default();
            sum.memory += used.pages * page;
            sum.cpu += Duration::from_millis(used.ticks * 1000 / tick.max(1)).as_secs_f64();
        }
    }
    found.into_iter().filter_map(|(group, used)| Some((group, used?))).collect()
}

/// The group of the nearest ancestor, itself included, that is in one asked for.
fn owner(all: &HashMap<u32, Usage>, process: &Usage, is_asked_for: impl Fn(u32) -> bool) -> Option<u32> {
    // A walk is not one instant: a pid that was used again could close a circle.
    let chain = std::iter::successors(Some(process), |at| all.get(&at.parent)).take(DEEPEST);
    chain.map(|at| at.group).find(|group| is_asked_for(*group))
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
    fn who_left_the_group_counts_for_it_and_strangers_do_not() {
        let used = |parent, group| Usage { parent, group, ticks: 0, pages: 1 };
        let all = HashMap::from([(1, used(0, 1)), (7, used(1, 7)), (8, used(7, 8)), (9, used(8, 9)), (5, used(1, 5))]);
        let owner = |pid: u32| owner(&all, &all[&pid], |group| group == 7);
        assert_eq!([7, 8, 9, 5, 1].map(owner), [Some(7), Some(7), Some(7), None, None]);
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
