//! The way from sources to settings: find, parse, merge, read, check.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::config::{Config, Value, ValueKind};

use super::alert::{self, Around};
use super::builtin;
use super::calendars::{self, Calendars};
use super::command;
use super::fault::{Bad, Fault, Place, Report};
use super::file::FileLayer;
use super::graph::{self, Read};
use super::layers;
use super::node::{Data, Node};
use super::overrides;
use super::replace;
use super::script::{self, Surroundings};
use super::section::Section;
use super::settings::{Http, Loaded, LogFormat, LogLevel, Orchestrator, Settings};
use super::sources::{self, Found, Purpose, Sources, absolute};
use super::traps;
use super::values;
use crate::domain::script::{ScriptName, ScriptSpec};

const ROOT_KEYS: [&str; 9] =
    ["base_dir", "market", "override", "calendar", "orchestrator", "http", "defaults", "script", "alert"];
const ORCHESTRATOR_KEYS: [&str; 9] = [
    "state_dir",
    "log_dir",
    "log_level",
    "log_format",
    "main_log_max_size",
    "status_interval",
    "clock_recheck",
    "kill_file",
    "history",
];
const HTTP_KEYS: [&str; 2] = ["listen", "token_file"];

/// What was found, faults or not.
#[derive(Clone, Debug)]
pub struct Examined {
    /// All faults, in the order of the file.
    pub faults: Vec<Fault>,
    /// All warnings.
    pub warnings: Vec<Fault>,
    /// The configuration; None if there are faults.
    pub loaded: Option<Loaded>,
    /// What could be read beside the faults, with defaults in place of what could not: good for a look at the programs, not to run.
    pub partial: Option<Loaded>,
}

/// Reads the configuration: the settings, or all its faults.
pub fn load(sources: &Sources) -> Result<Loaded, Vec<Fault>> {
    let examined = examine(sources);
    examined.loaded.ok_or(examined.faults)
}

/// Reads the configuration and tells the warnings also where there are faults.
#[must_use]
pub fn examine(sources: &Sources) -> Examined {
    let failed = |faults| Examined { faults, warnings: Vec::new(), loaded: None, partial: None };
    let found = match sources::find(sources) {
        Ok(found) => found,
        Err(fault) => return failed(vec![fault]),
    };
    let file = match FileLayer::parse(&found.shown, &found.text) {
        Ok(file) => file,
        Err((faults, rest)) => return failed(faults.into_iter().chain(outside(sources, rest, &found)).collect()),
    };
    let report = Report::default();
    warn_of_replaced(sources, &found, &file, &report);
    let root = match merge(sources, file, &report) {
        Ok(root) => root,
        Err(fault) => return failed(vec![fault]),
    };
    let settings = settings(&root, sources, &found, &report);
    let (faults, warnings, origins) = report.into_parts();
    let read = Loaded { settings, warnings: warnings.clone(), origins, file: found.path };
    let (loaded, partial) = if faults.is_empty() { (Some(read), None) } else { (None, Some(read)) };
    Examined { faults, warnings, loaded, partial }
}

/// The faults of variables and flags, where the file is no TOML: `rest` is what of it could be made out. Only what is wrong by itself:
/// whether a calendar exists or a window is empty cannot be told without the file.
fn outside(sources: &Sources, rest: FileLayer, found: &Found) -> Vec<Fault> {
    let report = Report::default();
    let Ok(root) = merge(sources, rest, &report) else {
        return Vec::new();
    };
    let section = |name: &str| Section::new(name, root.get(name), None, &report);
    let top = Section::new("", Some(&root), None, &report);
    top.only(&ROOT_KEYS);
    let base_dir = base_dir(&top, sources, found);
    let orchestrator = orchestrator(&section("orchestrator"), &base_dir);
    http(&section("http"), &base_dir, &orchestrator.state_dir);
    calendars::read_hours(&section("market"));
    let around = Surroundings { base_dir: &base_dir, log_dir: &orchestrator.log_dir, search: None, report: &report };
    if let Some(defaults) = root.get("defaults") {
        script::check_defaults(defaults, &around);
    }
    let (faults, ..) = report.into_parts();
    let is_outside = |fault: &Fault| fault.key.starts_with("--set ") || sources.env.contains_key(&fault.key);
    faults.into_iter().filter(|fault| fault.file.is_none() && is_outside(fault)).collect()
}

/// All layers as one tree. Values for a script by its name are laid over the merged list.
pub(super) fn merge(sources: &Sources, file: FileLayer, report: &Report) -> Result<Node, Fault> {
    let lines = file.lines.clone();
    let (flags, faults) = layers::flags(&sources.flags);
    faults.into_iter().for_each(|fault| report.push(fault));
    let merged = Config::builder()
        .add_source(builtin::layer())
        .add_source(file)
        .add_source(layers::environment(sources))
        .add_source(flags)
        .build();
    let mut values = match merged.map(|config| config.cache.kind) {
        Ok(ValueKind::Table(values)) => values,
        Ok(_) => Default::default(),
        Err(error) => return Err(Fault::at(&Place::BuiltIn, "", format!("the layers cannot be merged: {error}"))),
    };
    let by_name = values.remove(layers::BY_NAME);
    let mut root = Node::new("", Value::new(None, ValueKind::Table(values)), &lines);
    if let Some(by_name) = by_name {
        overlay_scripts(&mut root, &Node::new("script", by_name, &BTreeMap::new()), report);
    }
    Ok(root)
}

fn overlay_scripts(root: &mut Node, by_name: &Node, report: &Report) {
    let Data::Table(table) = &mut root.data else {
        return;
    };
    let Some(Data::List(scripts)) = table.get_mut("script").map(|node| &mut node.data) else {
        return;
    };
    let name_of = |script: &Node| script.get("name").and_then(|name| values::string(name).ok()).unwrap_or_default();
    // A variable's name cannot hold every letter of a script's: `MHO__SCRIPT__MY_BOT__...` means `my-bot`, too.
    let plain = |name: &str| name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    for (name, values) in by_name.table().into_iter().flatten() {
        let names: Vec<String> = scripts.iter().map(name_of).collect();
        let exact = names.iter().position(|known| known == name);
        match exact.or_else(|| names.iter().position(|known| plain(known) == plain(name))) {
            Some(at) => scripts[at].overlay(values),
            None => {
                let bad = Bad::near(format!("no script is named {name:?}"), name, names.iter().map(String::as_str));
                report.fault(&values.place, &values.key, bad);
            }
        }
    }
}

fn warn_of_replaced(sources: &Sources, found: &Found, file: &FileLayer, report: &Report) {
    let Some(variable) = replace::variable(sources) else {
        return;
    };
    let dropped = file.script_names();
    // The embedded example is nobody's script.
    if found.path.is_some() && !dropped.is_empty() {
        let message = format!("replaces the scripts of {}; dropped: {}", found.shown.display(), dropped.join(", "));
        report.warn(&Place::Env(variable.to_owned()), "", message);
    }
    if replace::both(sources) {
        report.warn(&Place::Env("TRADING_SCRIPT".to_owned()), "", "is ignored, since TRADING_SCRIPTS is set too");
    }
}

/// Reads every section. Where a value is faulty its default stands in, so that the rest can be looked at too.
fn settings(root: &Node, sources: &Sources, found: &Found, report: &Report) -> Settings {
    let top = Section::new("", Some(root), None, report);
    top.only(&ROOT_KEYS);
    let before = report.count();
    let base_dir = base_dir(&top, sources, found);
    let has_base = report.count() == before;
    let orchestrator = orchestrator(&Section::new("orchestrator", root.get("orchestrator"), None, report), &base_dir);
    let http = http(&Section::new("http", root.get("http"), None, report), &base_dir, &orchestrator.state_dir);
    let (overrides_file, overrides_shown) = found.overrides(&sources.cwd);
    let text = match &sources.overrides_text {
        Some(text) => text.clone(),
        None => overrides::text_of(&overrides_file, &overrides_shown, report),
    };
    let dated = overrides::read_text(&text, &overrides_shown, report);
    let mut calendars = Calendars::read(root, &dated, &base_dir, report);
    let around =
        Surroundings { base_dir: &base_dir, log_dir: &orchestrator.log_dir, search: sources.variable("PATH"), report };
    let mut left_out = Vec::new();
    let mut scripts = scripts(root, sources, found, &around, &mut calendars, &mut left_out);
    let alerts = alert::read(root, &Around { sources, base_dir: &base_dir, scripts: &scripts, report });
    scripts.retain(|_| has_base);
    let market = calendars.market();
    let parts = calendars.into_parts();
    Settings {
        base_dir,
        orchestrator,
        http,
        market,
        calendars: parts.ready,
        plain_calendars: parts.plain,
        inherited_calendars: parts.inherited,
        overrides: parts.overrides,
        overrides_digest: overrides::digest(&text),
        overrides_file,
        overrides_shown,
        scripts,
        left_out,
        alerts,
    }
}

/// The embedded text stands for config/mho.toml of the start directory, and its `base_dir` for that directory.
pub(super) fn base_dir(top: &Section<'_>, sources: &Sources, found: &Found) -> PathBuf {
    if found.path.is_none() && top.get("base_dir").is_some_and(|node| !node.place.is_text()) {
        top.list("base_dir", &format!("{:?}", sources.cwd), &Place::BuiltIn);
        return sources.cwd.clone();
    }
    let written = top.read("base_dir", values::string).unwrap_or_else(|| ".".to_owned());
    absolute(&found.dir(&sources.cwd), Path::new(&written))
}

pub(super) fn orchestrator(section: &Section<'_>, base_dir: &Path) -> Orchestrator {
    section.only(&ORCHESTRATOR_KEYS);
    let base = Orchestrator::default();
    let dir = |key: &str, default: PathBuf| {
        let filled = |node: &Node| match values::string(node)? {
            text if text.trim().is_empty() => Err(Bad::from("must not be empty")),
            text => Ok(PathBuf::from(text)),
        };
        absolute(base_dir, &section.read(key, filled).unwrap_or(default))
    };
    let interval = |key: &str, default: Duration| {
        let long_enough = |node: &Node| match values::duration(node)? {
            short if short < Duration::from_secs(1) => Err(Bad::from("must be at least 1s")),
            duration => Ok(duration),
        };
        section.read(key, long_enough).unwrap_or(default)
    };
    Orchestrator {
        state_dir: dir("state_dir", base.state_dir),
        log_dir: dir("log_dir", base.log_dir),
        log_level: section.read("log_level", |n| values::choice(n, &LogLevel::WORDS)).unwrap_or(base.log_level),
        log_format: section.read("log_format", |n| values::choice(n, &LogFormat::WORDS)).unwrap_or(base.log_format),
        main_log_max_size: section.read("main_log_max_size", values::size).unwrap_or(base.main_log_max_size),
        status_interval: interval("status_interval", base.status_interval),
        clock_recheck: interval("clock_recheck", base.clock_recheck),
        kill_file: optional_path(section, "kill_file", base_dir),
        history: section.read("history", values::span).unwrap_or(base.history),
    }
}

/// A path that is left empty is none.
fn optional_path(section: &Section<'_>, key: &str, base_dir: &Path) -> Option<PathBuf> {
    let text = section.read_set(key, values::string).filter(|text| !text.trim().is_empty())?;
    Some(absolute(base_dir, Path::new(&text)))
}

fn http(section: &Section<'_>, base_dir: &Path, state_dir: &Path) -> Http {
    section.only(&HTTP_KEYS);
    let address = |node: &Node| match values::string(node)?.trim() {
        "" => Ok(None),
        text => match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(Some(text.to_owned())),
            _ => Err(Bad::from("expected host and port, such as \"127.0.0.1:8930\", or \"\" for no TCP")),
        },
    };
    Http {
        listen: section.read("listen", address).flatten(),
        token_file: optional_path(section, "token_file", base_dir).unwrap_or_else(|| state_dir.join("token")),
    }
}

fn scripts(
    root: &Node,
    sources: &Sources,
    found: &Found,
    around: &Surroundings<'_>,
    calendars: &mut Calendars<'_>,
    left_out: &mut Vec<ScriptName>,
) -> Vec<ScriptSpec> {
    let report = around.report;
    let Some(defaults) = root.get("defaults").filter(|node| node.table().is_some()) else {
        if let Some(node) = root.get("defaults") {
            report.fault(&node.place, &node.key, format!("expected a table, found {}", node.what()));
        }
        return Vec::new();
    };
    let before = report.count();
    script::check_defaults(defaults, around);
    let defaults_are_sound = report.count() == before;
    let items = match root.get("script").map(|node| (node, &node.data)) {
        Some((_, Data::List(items))) if !items.is_empty() => items.as_slice(),
        Some((node, data)) if !matches!(data, Data::List(_)) || node.place.is_text() => {
            report.fault(&node.place, &node.key, replace::no_list(node));
            return Vec::new();
        }
        // A question about calendars needs no script.
        _ if sources.purpose == Purpose::Look => return Vec::new(),
        _ => {
            let place = Place::File { path: found.shown.clone(), line: None };
            report.fault(&place, "script", "no script is configured: write a [[script]] with a name and a command");
            return Vec::new();
        }
    };
    let mut read: Vec<Read<'_>> = Vec::new();
    let mut broken = Vec::new();
    let nodes: Vec<Node> = items.iter().enumerate().map(|(index, item)| script::keyed(item, index)).collect();
    for node in &nodes {
        let before = report.count();
        if let Some(spec) = script::read(node, defaults, around) {
            let depends_on = node.get("depends_on").or_else(|| defaults.get("depends_on"));
            let sound = defaults_are_sound && report.count() == before;
            read.push(Read { spec, node, depends_on, sound });
        } else if let Some(Ok(name)) = node.get("name").map(values::string) {
            broken.push(name);
        }
    }
    graph::check(&read, &broken, report);
    left_out.extend(graph::select(&mut read, &sources.flags.only, report));
    let mut samples = traps::Samples::default();
    for script in &mut read {
        let path = format!("script.{}", script.spec.name);
        let section = Section::new(&path, Some(script.node), Some(defaults), report).unlisted();
        if assign_calendar(script, &section, calendars, report)
            && let Some(calendar) = calendars.get(&script.spec.window.calendar)
        {
            samples.check(&script.spec, calendar, &section, report);
        }
    }
    let names = graph::index(&read);
    for (script, other) in read.iter().flat_map(|script| script.depends_on(&names).map(move |at| (script, at))) {
        let other = &read[other];
        if let Some(calendar) = calendars.get(&other.spec.window.calendar)
            && let Some(message) = samples.never_in_time(&script.spec, &other.spec, calendar)
        {
            report.warn(script.dependency_place(), &script.key("depends_on"), message);
        }
    }
    if sources.purpose == Purpose::Run && found.path.is_none() && replace::variable(sources).is_none() {
        for script in &mut read {
            script.sound &= has_example(script, found, sources, report);
        }
    }
    if read.iter().all(|script| !script.spec.enabled) && !read.is_empty() {
        let place = Place::File { path: found.shown.clone(), line: None };
        report.warn(&place, "script", "every script is disabled: nothing will run");
    }
    read.into_iter().filter(|script| script.sound).map(|script| script.spec).collect()
}

/// Finds the script's calendar; false if there is none of that name.
fn assign_calendar(
    script: &mut Read<'_>,
    section: &Section<'_>,
    calendars: &mut Calendars<'_>,
    report: &Report,
) -> bool {
    let key = match &*script.spec.window.calendar {
        "" => Ok(calendars.market()),
        name => calendars.use_named(name),
    };
    match key {
        Ok(key) => {
            script.spec.window.calendar = key;
            true
        }
        Err(bad) => {
            let place = section.get("calendar").map_or(&script.node.place, |node| &node.place);
            report.fault(place, &section.key("calendar"), bad);
            false
        }
    }
}

/// Without a file the embedded example runs, if it is there; else nothing has been set up here.
fn has_example(script: &Read<'_>, found: &Found, sources: &Sources, report: &Report) -> bool {
    let launch = &script.spec.launch;
    let argv: Vec<String> = std::iter::once(launch.program.file_name().map(|name| name.to_string_lossy().into_owned()))
        .flatten()
        .chain(launch.args.iter().cloned())
        .collect();
    let file = command::script_file(&argv).map(|file| absolute(&launch.working_dir, Path::new(file)));
    let missing = file.filter(|file| !file.exists());
    if let Some(file) = &missing {
        let message = format!(
            "no configuration file was found (neither config/mho.toml in {} nor /etc/mho/mho.toml), and the script of {}, {}, does \
             not exist: run `mho init` to write both, or name a file with --config",
            sources.cwd.display(),
            found.shown.display(),
            file.display()
        );
        report.fault(&Place::BuiltIn, "", message);
    }
    missing.is_none()
}
