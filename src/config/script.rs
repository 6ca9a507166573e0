//! `[[script]]` and `[defaults]`: from tables to `ScriptSpec`s.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::builtin::{self, HALF_DAYS, POLICIES};
use super::command;
use super::fault::{Bad, Report};
use super::health;
use super::limits;
use super::node::{Data, Node};
use super::section::Section;
use super::sources::absolute;
use super::values::{self, Parsed};
use crate::domain::script::{
    Condition, Dependency, EnvFile, ExitCodes, Launch, OutputSpec, RestartPolicy, ScriptName, ScriptSpec, StopSpec,
    WindowSpec,
};

const KEYS: [&str; 31] = [
    "name",
    "command",
    "working_dir",
    "env",
    "env_file",
    "inherit_env",
    "calendar",
    "start",
    "stop",
    "half_days",
    "skip_dates",
    "start_deadline",
    "max_duration",
    "stop_signal",
    "stop_grace",
    "success_codes",
    "early_codes",
    "fatal_codes",
    "min_runtime",
    "depends_on",
    "critical",
    "enabled",
    "restart",
    "output",
    "ready",
    "on_dependency_down",
    "wait_for",
    "watchdog",
    "stop_command",
    "warn_signal",
    "limits",
];
const RESTART_KEYS: [&str; 7] =
    ["policy", "initial_delay", "max_delay", "reset_after", "max_restarts", "within", "cooldown"];
const OUTPUT_KEYS: [&str; 5] = ["max_size", "max_files", "max_age", "max_total", "echo"];

const CONDITIONS: [(&str, Condition); 4] = [
    ("succeeded", Condition::Succeeded),
    ("finished", Condition::Finished),
    ("failed", Condition::Failed),
    ("ready", Condition::Ready),
];

/// What scripts need to know of the rest of the configuration.
pub(super) struct Surroundings<'a> {
    pub base_dir: &'a Path,
    pub log_dir: &'a Path,
    /// The daemon's PATH.
    pub search: Option<&'a str>,
    pub report: &'a Report,
}

/// Checks `[defaults]` by itself: also a value that every script overrides must be sound.
pub(super) fn check_defaults(defaults: &Node, around: &Surroundings<'_>) {
    let section = Section::new("defaults", Some(defaults), None, around.report).unlisted();
    section.only(&KEYS);
    for key in ["name", "command"] {
        if let Some(node) = section.get(key) {
            around.report.fault(&node.place, &node.key, "belongs to a [[script]]: no two scripts share it");
        }
    }
    let name = builtin::script().name;
    let _ = spec(&section, name, builtin::script().launch, around);
}

/// A `[[script]]` with its values keyed by its name, or by its number where it has none.
pub(super) fn keyed(item: &Node, index: usize) -> Node {
    let name = item.get("name").and_then(|node| values::string(node).ok());
    item.clone().rekeyed(&format!("script.{}", name.unwrap_or_else(|| format!("#{}", index + 1))))
}

/// One `[[script]]` above `[defaults]`. None: it has no usable name or command, which is reported.
pub(super) fn read(node: &Node, defaults: &Node, around: &Surroundings<'_>) -> Option<ScriptSpec> {
    let report = around.report;
    let section = Section::new(&node.key, Some(node), Some(defaults), report);
    section.only(&KEYS);
    let own = |key: &str| {
        let found = node.get(key);
        if found.is_none() && node.table().is_some() {
            report.fault(&node.place, &format!("{}.{key}", node.key), "is missing: every script needs one");
        }
        found
    };
    let name = own("name").and_then(|found| {
        let parsed = values::string(found).and_then(|text| ScriptName::new(&text).map_err(Bad::from));
        parsed.map_err(|bad| report.fault(&found.place, &found.key, bad)).ok()
    });
    let command = own("command").and_then(|_| section.read("command", command::parse));
    let launch = launch(&section, command.as_ref(), around);
    let spec = spec(&section, name.clone().unwrap_or_else(|| builtin::script().name), launch, around);
    health::warn_of_idle(&section, &spec, report);
    name.and(command).map(|_| spec)
}

fn launch(section: &Section<'_>, command: Option<&command::Command>, around: &Surroundings<'_>) -> Launch {
    let base = builtin::script().launch;
    let working_dir = section.read("working_dir", values::string).unwrap_or_else(|| ".".to_owned());
    let working_dir = absolute(around.base_dir, Path::new(&working_dir));
    let env = environment(section, around.report);
    let argv = command.map(|command| command.argv.as_slice()).unwrap_or_default();
    let search = env.get("PATH").map(String::as_str).or(around.search);
    let program = argv.first().map(|first| command::resolve(first, &working_dir, search));
    Launch {
        program: program.unwrap_or(base.program),
        args: argv.iter().skip(1).cloned().collect(),
        display: command.map_or(base.display, |command| command.display.clone()),
        working_dir,
        inherit_env: section.read("inherit_env", values::boolean).unwrap_or(base.inherit_env),
        env_file: section.read_set("env_file", |node| env_file(node, around)),
        env,
        // Read with the keys that defaults have in any case.
        limits: base.limits,
    }
}

/// `env` of the defaults and of the script, key by key. Values may be secrets: they are listed nowhere.
fn environment(section: &Section<'_>, report: &Report) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for node in section.both("env").into_iter().flatten() {
        let Some(table) = node.table() else {
            if !node.is_empty() {
                report.fault(&node.place, &node.key, "expected a table of variables, such as { NAME = \"value\" }");
            }
            continue;
        };
        for (name, node) in table {
            match values::env_value(node) {
                _ if name.is_empty() || name.contains(['=', '\0']) => {
                    report.fault(&node.place, &node.key, format!("{name:?} is not a name of a variable"));
                }
                Ok(value) if !value.contains('\0') => {
                    section.list(&format!("env.{name}"), "(not shown)", &node.place);
                    env.insert(name.clone(), value);
                }
                Ok(_) => report.fault(&node.place, &node.key, "holds a NUL byte"),
                // The message must not show what stands there.
                Err(_) => report.fault(&node.place, &node.key, "expected text in quotes"),
            }
        }
    }
    env
}

/// A dotenv file, looked at now only for rights that are too wide: it is read at each start.
fn env_file(node: &Node, around: &Surroundings<'_>) -> Parsed<EnvFile> {
    use std::os::unix::fs::PermissionsExt;
    let text = values::string(node)?;
    let (path, optional) = match text.strip_prefix('-') {
        Some(path) => (path, true),
        None => (text.as_str(), false),
    };
    let path = absolute(around.base_dir, Path::new(path));
    if let Ok(meta) = std::fs::metadata(&path)
        && meta.permissions().mode() & 0o004 != 0
    {
        let message = format!("others on this machine can read {0}; chmod o-rwx {0}", path.display());
        around.report.warn(&node.place, &node.key, message);
    }
    Ok(EnvFile { path, optional })
}

/// Everything but name and launch.
fn spec(section: &Section<'_>, name: ScriptName, launch: Launch, around: &Surroundings<'_>) -> ScriptSpec {
    let base = builtin::script();
    let optional_span = |node: &Node| values::optional(node, values::span);
    let window = WindowSpec {
        // Which calendar that is, is found out when all scripts are known.
        calendar: section.read_set("calendar", values::string).map_or_else(|| Arc::from(""), Arc::from),
        start: section.read("start", values::time_point).unwrap_or(base.window.start),
        stop: section.read("stop", values::time_point).unwrap_or(base.window.stop),
        half_days: section.read("half_days", |n| values::choice(n, &HALF_DAYS)).unwrap_or(base.window.half_days),
        skip_dates: section
            .read_set("skip_dates", |node| values::items(node, "a list of dates", values::date))
            .unwrap_or_default(),
        start_deadline: section
            .read("start_deadline", |node| values::optional(node, values::duration))
            .unwrap_or(base.window.start_deadline),
    };
    let max_duration = section.read("max_duration", optional_span).unwrap_or(base.max_duration);
    let stop = StopSpec {
        signal: section.read("stop_signal", values::signal).unwrap_or(base.stop.signal),
        grace: section.read("stop_grace", values::duration).unwrap_or(base.stop.grace),
    };
    let exits = exit_codes(section, base.exits, around.report);
    let depends_on = section.read_set("depends_on", dependencies).unwrap_or_default();
    let search = launch.env.get("PATH").map(String::as_str).or(around.search);
    let place = health::Place { working_dir: &launch.working_dir, search };
    let ready = health::ready(&section.sub("ready"), &place, around.report);
    let stop_command = section.read_set("stop_command", |node| health::tool(node, &place));
    let output_dir = around.log_dir.join(name.as_str());
    let (limits, memory) = limits::read(section);
    ScriptSpec {
        enabled: section.read("enabled", values::boolean).unwrap_or(base.enabled),
        critical: section.read("critical", values::boolean).unwrap_or(base.critical),
        window,
        max_duration,
        stop,
        stop_command,
        warn: section.read_set("warn_signal", health::warn_signal),
        exits,
        restart: restart(&section.sub("restart"), base.restart, around.report),
        depends_on,
        on_dependency_down: section
            .read("on_dependency_down", |node| values::choice(node, &health::ON_DEPENDENCY_DOWN))
            .unwrap_or(base.on_dependency_down),
        wait_for: section.read_set("wait_for", health::wait_for).unwrap_or_default(),
        ready,
        watchdog: health::watchdog(&section.sub("watchdog")),
        output: output(&section.sub("output"), base.output, output_dir),
        launch: Launch { limits, ..launch },
        memory,
        name,
    }
}

/// A code in two lists would have two meanings. The fault stands where the operator wrote: a list of the defaults yields no place.
fn exit_codes(section: &Section<'_>, base: ExitCodes, report: &Report) -> ExitCodes {
    let read = |key: &str, base: Vec<i32>| {
        let list = section.read(key, |node| values::items(node, "a list of exit codes", values::exit_code));
        (key.to_owned(), list.unwrap_or(base))
    };
    let lists = [read("success_codes", base.success), read("early_codes", base.early), read("fatal_codes", base.fatal)];
    for (i, (key, list)) in lists.iter().enumerate() {
        for (other, others) in &lists[i + 1..] {
            for code in list.iter().filter(|code| others.contains(code)) {
                let written = [other, key].into_iter().filter_map(|key| section.get(key));
                let node = written.clone().find(|node| !node.is_built_in()).or_else(|| written.clone().next());
                if let Some(node) = node {
                    let message = format!("exit code {code} stands in both {key} and {other}: leave it in one of them");
                    report.fault(&node.place, &node.key, message);
                }
            }
        }
    }
    let [(_, success), (_, early), (_, fatal)] = lists;
    let min_runtime = section.read("min_runtime", values::duration).unwrap_or(base.min_runtime);
    ExitCodes { success, early, fatal, min_runtime }
}

fn restart(section: &Section<'_>, base: RestartPolicy, report: &Report) -> RestartPolicy {
    section.only(&RESTART_KEYS);
    let duration = |key: &str, base: Duration| section.read(key, values::duration).unwrap_or(base);
    let restart = RestartPolicy {
        policy: section.read("policy", |node| values::choice(node, &POLICIES)).unwrap_or(base.policy),
        initial_delay: duration("initial_delay", base.initial_delay),
        max_delay: duration("max_delay", base.max_delay),
        reset_after: duration("reset_after", base.reset_after),
        max_restarts: section.read("max_restarts", values::count).unwrap_or(base.max_restarts),
        within: section.read("within", values::span).unwrap_or(base.within),
        cooldown: section.read("cooldown", |node| values::optional(node, values::span)).unwrap_or(base.cooldown),
    };
    if restart.initial_delay > restart.max_delay
        && let Some(node) = section.get("initial_delay")
    {
        report.warn(&node.place, &node.key, "is longer than max_delay, which alone decides: raise max_delay too");
    }
    restart
}

fn output(section: &Section<'_>, base: OutputSpec, dir: PathBuf) -> OutputSpec {
    section.only(&OUTPUT_KEYS);
    OutputSpec {
        dir,
        max_size: section.read("max_size", values::size).unwrap_or(base.max_size),
        max_files: section.read("max_files", values::count).unwrap_or(base.max_files),
        max_age: section.read("max_age", values::span).unwrap_or(base.max_age),
        max_total: section.read("max_total", values::size).unwrap_or(base.max_total),
        echo: section.read("echo", values::boolean).unwrap_or(base.echo),
    }
}

/// `["data"]` or `{ data = "finished" }`.
fn dependencies(node: &Node) -> Parsed<Vec<Dependency>> {
    let dependency = |name: &str, condition| {
        ScriptName::new(name.trim()).map(|script| Dependency { script, condition }).map_err(Bad::from)
    };
    let Data::Table(table) = &node.data else {
        let what = "a list of names or a table such as { data = \"succeeded\" }";
        return values::items(node, what, |item| dependency(&values::string(item)?, Condition::Succeeded));
    };
    table.iter().map(|(name, condition)| dependency(name, values::choice(condition, &CONDITIONS)?)).collect()
}
