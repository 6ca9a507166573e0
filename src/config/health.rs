//! What is asked of a script while it lives: `ready`, `wait_for`, `watchdog`, `stop_command`, `warn_signal`.

use std::path::Path;
use std::time::Duration;

use super::command;
use super::fault::{Bad, Report};
use super::node::Node;
use super::section::Section;
use super::values::{self, Parsed};
use crate::domain::health::{
    Endpoint, OnDependencyDown, Pattern, Probe, ReadySpec, Tool, TripAction, WarnSpec, WatchdogSpec,
};
use crate::domain::outcome::Signal;
use crate::domain::script::{Condition, ScriptSpec};

/// The words of `on_dependency_down`.
pub(super) const ON_DEPENDENCY_DOWN: [(&str, OnDependencyDown); 3] =
    [("keep", OnDependencyDown::Keep), ("stop", OnDependencyDown::Stop), ("restart", OnDependencyDown::Restart)];
/// The words of `action`.
pub(super) const ACTIONS: [(&str, TripAction); 2] = [("restart", TripAction::Restart), ("alert", TripAction::Alert)];

const PROBES: [&str; 6] = ["tcp", "http", "log", "exec", "notify", "delay"];
const READY_KEYS: [&str; 8] = ["tcp", "http", "log", "exec", "notify", "delay", "interval", "timeout"];
const WATCHDOG_KEYS: [&str; 3] = ["silence", "heartbeat", "action"];

/// The defaults of `interval` and `timeout`.
const INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(300);

/// Where tools are found.
pub(super) struct Place<'a> {
    pub working_dir: &'a Path,
    pub search: Option<&'a str>,
}

/// `[script.ready]`: one probe. Where the script names one itself, that of the defaults does not count.
pub(super) fn ready(section: &Section<'_>, place: &Place<'_>, report: &Report) -> Option<ReadySpec> {
    section.only(&READY_KEYS);
    let is_set = |node: &&Node| !node.is_empty() && node.data.to_string() != "false";
    let written = |own: bool| {
        let get = move |key: &&&str| if own { section.own(key) } else { section.get(key) };
        PROBES.iter().filter(move |key| get(key).filter(is_set).is_some()).copied().collect::<Vec<_>>()
    };
    let own = written(true);
    let probes = if own.is_empty() { written(false) } else { own };
    if let [first, second, ..] = probes.as_slice()
        && let Some(node) = section.get(second)
    {
        report.fault(
            &node.place,
            &node.key,
            format!("{first} is set too: a script is ready by one of them, leave one"),
        );
    }
    // Those of the defaults may only say how often a probe of a script is made; an unknown key has been told of.
    let is_sound = |table: &&Node| {
        let keys = table.table().into_iter().flatten().all(|(key, _)| READY_KEYS.contains(&key.as_str()));
        keys && !table.key.starts_with("defaults.")
    };
    if let (true, Some(table)) = (probes.is_empty(), section.table().filter(is_sound)) {
        let message = "names no probe: write one of tcp, http, log, exec, notify = true, delay";
        report.fault(&table.place, &table.key, message);
    }
    let interval = section.read("interval", values::span).unwrap_or(INTERVAL);
    let timeout = section.read("timeout", values::span).unwrap_or(TIMEOUT);
    let probe = match *probes.first()? {
        "tcp" => section.read("tcp", tcp).map(Probe::Reach),
        "http" => section.read("http", http).map(Probe::Reach),
        "log" => section.read("log", pattern).map(Probe::Line),
        "exec" => section.read("exec", |node| tool(node, place)).map(Probe::Exec),
        "notify" => section.read("notify", values::boolean).map(|_| Probe::Notify),
        _ => section.read("delay", values::span).map(Probe::Delay),
    }?;
    if let (Probe::Delay(delay), Some(node)) = (&probe, section.get("delay"))
        && *delay >= timeout
    {
        report.fault(&node.place, &node.key, "is not shorter than `timeout`: it would never be ready in time");
    }
    Some(ReadySpec { probe, interval, timeout })
}

/// `[script.watchdog]`.
pub(super) fn watchdog(section: &Section<'_>) -> WatchdogSpec {
    section.only(&WATCHDOG_KEYS);
    let limit = |key: &str| section.read_set(key, |node| values::optional(node, values::span)).flatten();
    WatchdogSpec {
        silence: limit("silence"),
        heartbeat: limit("heartbeat"),
        action: section.read("action", |node| values::choice(node, &ACTIONS)).unwrap_or_default(),
    }
}

/// `wait_for`.
pub(super) fn wait_for(node: &Node) -> Parsed<Vec<Endpoint>> {
    values::items(node, "a list such as [\"tcp://127.0.0.1:4002\"]", |item| {
        let text = values::string(item)?;
        match text.split_once("://") {
            Some(("tcp", _)) => tcp(item),
            Some(("http", _)) => http(item),
            _ => Err(format!(
                "expected \"tcp://HOST:PORT\" or \"http://HOST:PORT/PATH\", found {text:?} (for anything else, use a script with \
                 ready.exec and depend on that)"
            )
            .into()),
        }
    })
}

/// A program and its arguments; without any there is none.
pub(super) fn tool(node: &Node, place: &Place<'_>) -> Parsed<Tool> {
    let command = command::parse(node)?;
    let (first, rest) = command.argv.split_first().ok_or_else(|| Bad::from("is empty: name a program"))?;
    Ok(Tool { program: command::resolve(first, place.working_dir, place.search), args: rest.to_vec() })
}

/// "USR1@5m".
pub(super) fn warn_signal(node: &Node) -> Parsed<WarnSpec> {
    let text = values::string(node)?;
    let what = || Bad::from(format!("expected a signal and a time, such as \"USR1@5m\", found {text:?}"));
    let (name, lead) = text.split_once('@').ok_or_else(what)?;
    let signal: Signal = name.trim().parse().map_err(|why: String| {
        Bad::near(why, name.trim().trim_start_matches("SIG"), ["USR1", "USR2", "HUP", "INT", "WINCH"])
    })?;
    if matches!(signal.to_string().as_str(), "SIGKILL" | "SIGSTOP") {
        return Err(format!("{signal} cannot be heard by a script: use \"USR1\" or another that it handles").into());
    }
    let lead = humantime::parse_duration(lead.trim()).ok().filter(|lead| !lead.is_zero()).ok_or_else(what)?;
    Ok(WarnSpec { signal, lead })
}

/// Keys that change nothing as the others stand.
pub(super) fn warn_of_idle(section: &Section<'_>, spec: &ScriptSpec, report: &Report) {
    let needs_ready = spec.depends_on.iter().any(|dependency| dependency.condition == Condition::Ready);
    if let (true, Some(node)) =
        (!needs_ready && spec.on_dependency_down != OnDependencyDown::Keep, section.own("on_dependency_down"))
    {
        let message = "changes nothing: nothing that this script depends on is to be `ready`; write depends_on = { NAME = \"ready\" }";
        report.warn(&node.place, &node.key, message);
    }
    let watchdog = spec.watchdog;
    if let (true, Some(node)) =
        (watchdog.silence.is_none() && watchdog.heartbeat.is_none(), section.sub("watchdog").own("action"))
    {
        report.warn(&node.place, &node.key, "changes nothing without `silence` or `heartbeat`: set one of them");
    }
}

fn pattern(node: &Node) -> Parsed<Pattern> {
    let text = values::string(node)?;
    Pattern::new(&text).map_err(|why| format!("{text:?} is not a regular expression: {why}").into())
}

/// `HOST:PORT`, with or without `tcp://`.
fn tcp(node: &Node) -> Parsed<Endpoint> {
    let text = values::string(node)?;
    let address = text.trim().strip_prefix("tcp://").unwrap_or(text.trim());
    if is_address(address) {
        return Ok(Endpoint::Tcp(address.to_owned()));
    }
    Err(format!("expected host and port, such as \"127.0.0.1:4002\", found {text:?}").into())
}

fn http(node: &Node) -> Parsed<Endpoint> {
    let text = values::string(node)?;
    let url = text.trim();
    if url.starts_with("https://") {
        return Err("https is not asked for: name an http address of the service, or use exec with curl".into());
    }
    let authority = url.strip_prefix("http://").and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let is_host = !authority.is_empty() && !authority.contains(['@', ' ']) && url.is_ascii() && !url.contains(' ');
    if is_host && (!has_port || is_address(authority)) {
        return Ok(Endpoint::Http(url.to_owned()));
    }
    Err(format!("expected an address such as \"http://127.0.0.1:8080/ok\", found {text:?}").into())
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains([' ', '/']) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}
