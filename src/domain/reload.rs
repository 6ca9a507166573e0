//! What a changed configuration changes, script by script and key by key.

use std::sync::Arc;

use super::script::{ScriptName, ScriptSpec};

/// What became of one script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added(ScriptName),
    /// It is not configured any more.
    Removed(ScriptName),
    /// These keys are others than before.
    Changed {
        /// Which script.
        name: ScriptName,
        /// Those that take effect at once.
        at_once: Vec<&'static str>,
        /// Those that a live process keeps as they were: they take effect with the next one.
        next_start: Vec<&'static str>,
    },
}

/// Which keys differ. What a process was started with cannot be changed in it.
#[must_use]
pub fn changed_keys(before: &ScriptSpec, after: &ScriptSpec) -> (Vec<&'static str>, Vec<&'static str>) {
    let (b, a) = (before, after);
    let (bw, aw) = (&b.window, &a.window);
    let at_once = [
        ("calendar", bw.calendar != aw.calendar),
        ("start", bw.start != aw.start),
        ("stop", bw.stop != aw.stop),
        ("half_days", bw.half_days != aw.half_days),
        ("skip_dates", bw.skip_dates != aw.skip_dates),
        ("start_deadline", bw.start_deadline != aw.start_deadline),
        ("max_duration", b.max_duration != a.max_duration),
        ("stop_signal", b.stop.signal != a.stop.signal),
        ("stop_grace", b.stop.grace != a.stop.grace),
        ("stop_command", b.stop_command != a.stop_command),
        ("warn_signal", b.warn != a.warn),
        ("success_codes", b.exits.success != a.exits.success),
        ("early_codes", b.exits.early != a.exits.early),
        ("fatal_codes", b.exits.fatal != a.exits.fatal),
        ("min_runtime", b.exits.min_runtime != a.exits.min_runtime),
        ("depends_on", b.depends_on != a.depends_on),
        ("on_dependency_down", b.on_dependency_down != a.on_dependency_down),
        ("wait_for", b.wait_for != a.wait_for),
        ("watchdog.silence", b.watchdog.silence != a.watchdog.silence),
        ("watchdog.action", b.watchdog.action != a.watchdog.action),
        ("critical", b.critical != a.critical),
        ("enabled", b.enabled != a.enabled),
        ("restart.policy", b.restart.policy != a.restart.policy),
        ("restart.initial_delay", b.restart.initial_delay != a.restart.initial_delay),
        ("restart.max_delay", b.restart.max_delay != a.restart.max_delay),
        ("restart.reset_after", b.restart.reset_after != a.restart.reset_after),
        ("restart.max_restarts", b.restart.max_restarts != a.restart.max_restarts),
        ("restart.within", b.restart.within != a.restart.within),
        ("restart.cooldown", b.restart.cooldown != a.restart.cooldown),
        ("limits.max_rss", b.memory.max_rss != a.memory.max_rss),
        ("limits.max_rss_action", b.memory.action != a.memory.action),
    ];
    let (bl, al) = (&b.launch, &a.launch);
    let (blim, alim) = (&bl.limits, &al.limits);
    let has_command = (&bl.program, &bl.args) != (&al.program, &al.args) || bl.display != al.display;
    let next_start = [
        ("command", has_command),
        ("working_dir", bl.working_dir != al.working_dir),
        ("env", bl.env != al.env),
        ("env_file", bl.env_file != al.env_file),
        ("inherit_env", bl.inherit_env != al.inherit_env),
        ("output", b.output != a.output),
        ("ready", b.ready != a.ready),
        ("watchdog.heartbeat", b.watchdog.heartbeat != a.watchdog.heartbeat),
        ("limits.nofile", blim.nofile != alim.nofile),
        ("limits.memory", blim.memory != alim.memory),
        ("limits.cpu_time", blim.cpu_time != alim.cpu_time),
        ("limits.core", blim.core != alim.core),
        ("limits.nice", blim.nice != alim.nice),
        ("limits.umask", blim.umask != alim.umask),
        ("limits.user", blim.user != alim.user),
        ("limits.group", blim.group != alim.group),
    ];
    let differ = |keys: &[(&'static str, bool)]| keys.iter().filter(|(_, is)| *is).map(|(key, _)| *key).collect();
    (differ(&at_once), differ(&next_start))
}

/// What the scripts of `after` have in other ways than those of `before`; those without a change are not named.
#[must_use]
pub fn diff(before: &[Arc<ScriptSpec>], after: &[ScriptSpec]) -> Vec<Change> {
    let of = |script: &ScriptSpec| match before.iter().find(|known| known.name == script.name) {
        None => Some(Change::Added(script.name.clone())),
        Some(known) if **known == *script => None,
        Some(known) => {
            let (at_once, next_start) = changed_keys(known, script);
            Some(Change::Changed { name: script.name.clone(), at_once, next_start })
        }
    };
    let is_gone = |known: &&Arc<ScriptSpec>| !after.iter().any(|script| script.name == known.name);
    let gone = before.iter().filter(is_gone).map(|known| Change::Removed(known.name.clone()));
    gone.chain(after.iter().filter_map(of)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::health::{Endpoint, OnDependencyDown, Probe, ReadySpec, Tool, TripAction, WarnSpec};
    use crate::domain::limits::CoreSize;
    use crate::domain::script::{Condition, Dependency, HalfDays, Policy, TimePoint};

    type Edit = (&'static str, fn(&mut ScriptSpec));

    const EDITS: [Edit; 46] = [
        ("calendar", |s| s.window.calendar = "XTKS".into()),
        ("start", |s| s.window.start = TimePoint::At(chrono::NaiveTime::MIN)),
        ("stop", |s| s.window.stop = TimePoint::At(chrono::NaiveTime::MIN)),
        ("half_days", |s| s.window.half_days = HalfDays::Skip),
        ("skip_dates", |s| s.window.skip_dates = vec![chrono::NaiveDate::MIN]),
        ("start_deadline", |s| s.window.start_deadline = Some(Duration::ZERO)),
        ("max_duration", |s| s.max_duration = Some(Duration::from_secs(1))),
        ("stop_signal", |s| s.stop.signal = "INT".parse().unwrap()),
        ("stop_grace", |s| s.stop.grace = Duration::ZERO),
        ("success_codes", |s| s.exits.success = vec![3]),
        ("early_codes", |s| s.exits.early = vec![]),
        ("fatal_codes", |s| s.exits.fatal = vec![]),
        ("min_runtime", |s| s.exits.min_runtime = Duration::from_secs(1)),
        ("stop_command", |s| s.stop_command = Some(Tool { program: "/bin/true".into(), args: Vec::new() })),
        ("warn_signal", |s| s.warn = Some(WarnSpec { signal: s.stop.signal, lead: Duration::from_secs(1) })),
        ("on_dependency_down", |s| s.on_dependency_down = OnDependencyDown::Stop),
        ("wait_for", |s| s.wait_for = vec![Endpoint::Tcp("127.0.0.1:1".to_owned())]),
        ("watchdog.silence", |s| s.watchdog.silence = Some(Duration::from_secs(1))),
        ("watchdog.action", |s| s.watchdog.action = TripAction::Alert),
        ("ready", |s| {
            let (interval, timeout) = (Duration::from_secs(1), Duration::from_secs(2));
            s.ready = Some(ReadySpec { probe: Probe::Notify, interval, timeout });
        }),
        ("watchdog.heartbeat", |s| s.watchdog.heartbeat = Some(Duration::from_secs(1))),
        ("depends_on", |s| {
            s.depends_on = vec![Dependency { script: ScriptName::new("x").unwrap(), condition: Condition::Finished }];
        }),
        ("critical", |s| s.critical = true),
        ("enabled", |s| s.enabled = false),
        ("restart.policy", |s| s.restart.policy = Policy::Always),
        ("restart.initial_delay", |s| s.restart.initial_delay = Duration::ZERO),
        ("restart.max_delay", |s| s.restart.max_delay = Duration::ZERO),
        ("restart.reset_after", |s| s.restart.reset_after = Duration::ZERO),
        ("restart.max_restarts", |s| s.restart.max_restarts = 9),
        ("restart.within", |s| s.restart.within = Duration::ZERO),
        ("restart.cooldown", |s| s.restart.cooldown = None),
        ("command", |s| s.launch.args = vec!["-v".into()]),
        ("working_dir", |s| s.launch.working_dir = "/tmp".into()),
        ("env", |s| drop(s.launch.env.insert("A".into(), "1".into()))),
        ("inherit_env", |s| s.launch.inherit_env = false),
        ("output", |s| s.output.max_files = 1),
        ("limits.nofile", |s| s.launch.limits.nofile = Some(64)),
        ("limits.memory", |s| s.launch.limits.memory = Some(1 << 30)),
        ("limits.cpu_time", |s| s.launch.limits.cpu_time = Some(Duration::from_secs(1))),
        ("limits.core", |s| s.launch.limits.core = Some(CoreSize::Unlimited)),
        ("limits.nice", |s| s.launch.limits.nice = Some(5)),
        ("limits.umask", |s| s.launch.limits.umask = Some(0o27)),
        ("limits.user", |s| s.launch.limits.user = Some("bob".into())),
        ("limits.group", |s| s.launch.limits.group = Some("staff".into())),
        ("limits.max_rss", |s| s.memory.max_rss = Some(1 << 30)),
        ("limits.max_rss_action", |s| s.memory.action = TripAction::Alert),
    ];

    #[test]
    fn every_edit_is_named_by_its_key_alone() {
        let before = ScriptSpec::with_defaults("demo", "/bin/true");
        for (key, edit) in EDITS {
            let mut after = before.clone();
            edit(&mut after);
            let (at_once, next_start) = changed_keys(&before, &after);
            assert_eq!([at_once, next_start].concat(), [key]);
        }
    }

    #[test]
    fn scripts_that_come_and_go_are_named_and_those_that_stay_are_not() {
        let named = |name| ScriptSpec::with_defaults(name, "/bin/true");
        let before = [Arc::new(named("a")), Arc::new(named("b"))];
        let mut other = named("b");
        other.launch.args = vec!["-v".into()];
        let found = diff(&before, &[other, named("c")]);
        let name = |name| ScriptName::new(name).unwrap();
        let changed = Change::Changed { name: name("b"), at_once: vec![], next_start: vec!["command"] };
        assert_eq!(found, [Change::Removed(name("a")), changed, Change::Added(name("c"))]);
        assert_eq!(diff(&before, &[named("b"), named("a")]), []);
    }
}
