//! How long an orderly shutdown may take.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::Settings;
use crate::domain::script::ScriptSpec;

/// What the daemon itself takes to end, beyond the graces of its scripts.
const OWN_GRACE: Duration = Duration::from_secs(5);

/// What an orderly shutdown may take: a script is told to stop when all that depend on it are gone, each with its own grace, so the
/// longest chain counts. There are no circles in a loaded configuration.
pub(super) fn longest_stop(scripts: &[ScriptSpec]) -> Duration {
    let index: HashMap<&str, usize> = scripts.iter().enumerate().map(|(at, spec)| (spec.name.as_str(), at)).collect();
    let below = |at: usize| scripts[at].depends_on.iter().filter_map(|d| index.get(d.script.as_str()).copied());
    let mut dependents = vec![0_usize; scripts.len()];
    (0..scripts.len()).flat_map(below).for_each(|at| dependents[at] += 1);
    // When each script begins to stop at the latest; it is settled when the last of its dependents is.
    let mut begins = vec![Duration::ZERO; scripts.len()];
    let mut settled: Vec<usize> = (0..scripts.len()).filter(|at| dependents[*at] == 0).collect();
    let mut longest = Duration::ZERO;
    while let Some(at) = settled.pop() {
        let spec = &scripts[at];
        let own = if spec.enabled { spec.stop.grace } else { Duration::ZERO };
        let ends = begins[at].saturating_add(own);
        longest = longest.max(ends);
        for dependency in below(at) {
            begins[dependency] = begins[dependency].max(ends);
            dependents[dependency] -= 1;
            if dependents[dependency] == 0 {
                settled.push(dependency);
            }
        }
    }
    longest.saturating_add(OWN_GRACE)
}

/// What the last alerts may take beyond that.
pub(super) fn last_alerts(settings: &Settings) -> Duration {
    const FLUSH: Duration = Duration::from_secs(5);
    if settings.alerts.channels.is_empty() { Duration::ZERO } else { FLUSH }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::script::{Condition, Dependency, ScriptName};

    fn script(name: &str, grace: u64, on: &[&str]) -> ScriptSpec {
        let mut spec = ScriptSpec::with_defaults(name, "x");
        spec.stop.grace = Duration::from_secs(grace);
        let name = |name: &&str| ScriptName::new(name).expect("a name");
        spec.depends_on =
            on.iter().map(|on| Dependency { script: name(on), condition: Condition::Succeeded }).collect();
        spec
    }

    #[test]
    fn the_longest_chain_counts_and_disabled_scripts_take_no_time() {
        let mut scripts = vec![
            script("a", 10, &[]),
            script("b", 30, &["a"]),
            script("c", 1, &["a", "b"]),
            script("d", 35, &["a"]),
            script("e", 2, &["c"]),
        ];
        assert_eq!(
            longest_stop(&scripts),
            Duration::from_secs(10 + 35 + 5).max(Duration::from_secs(10 + 30 + 1 + 2 + 5))
        );
        scripts[3].enabled = false;
        scripts[1].enabled = false;
        assert_eq!(longest_stop(&scripts), Duration::from_secs(2 + 1 + 10 + 5));
        assert_eq!(longest_stop(&[]), OWN_GRACE);
    }

    #[test]
    fn ten_thousand_in_one_chain_take_a_moment() {
        let names: Vec<String> = (0..10_000).map(|n| format!("s{n}")).collect();
        let spec =
            |n: usize| script(&names[n], 1, &names[n.saturating_sub(1)..n].iter().map(|s| &**s).collect::<Vec<_>>());
        let scripts: Vec<_> = (0..names.len()).map(spec).collect();
        let start = std::time::Instant::now();
        assert_eq!(longest_stop(&scripts), Duration::from_secs(10_005));
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}
