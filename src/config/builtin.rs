//! The lowest layer: the documented defaults, written out from the values that the code itself uses, so that the two cannot differ.

use ::config::{Value, ValueKind};

use super::fault::Place;
use super::health::ON_DEPENDENCY_DOWN;
use super::layers::Layer;
use super::settings::{LogFormat, LogLevel, Orchestrator};
use super::values::time_point_text;
use crate::domain::notice::compact;
use crate::domain::script::{HalfDays, Policy, ScriptSpec};

/// The default of `[http] listen`.
pub(super) const LISTEN: &str = "127.0.0.1:8930";
/// The default of `[market] calendar`.
pub(super) const CALENDAR: &str = "XNYS";

/// The words of `half_days`.
pub(super) const HALF_DAYS: [(&str, HalfDays); 3] =
    [("run", HalfDays::Run), ("skip", HalfDays::Skip), ("only", HalfDays::Only)];
/// The words of `policy`.
pub(super) const POLICIES: [(&str, Policy); 3] =
    [("never", Policy::Never), ("on-failure", Policy::OnFailure), ("always", Policy::Always)];

/// A script with the documented defaults; name and program are placeholders.
pub(super) fn script() -> ScriptSpec {
    ScriptSpec::with_defaults("defaults", "program")
}

/// The built-in layer.
pub(super) fn layer() -> Layer {
    let mut layer = Layer::default();
    put(&mut layer, &["base_dir"], ".");
    put(&mut layer, &["market", "calendar"], CALENDAR);
    put(&mut layer, &["http", "listen"], LISTEN);
    orchestrator(&mut layer);
    defaults(&mut layer, &script());
    layer
}

fn put(layer: &mut Layer, path: &[&str], kind: impl Into<ValueKind>) {
    layer.set(path, Value::new(Some(&Place::BuiltIn.to_string()), kind));
}

fn orchestrator(layer: &mut Layer) {
    let base = Orchestrator::default();
    let level = LogLevel::WORDS.iter().find(|(_, level)| *level == base.log_level);
    let format = LogFormat::WORDS.iter().find(|(_, format)| *format == base.log_format);
    for (key, text) in [
        ("state_dir", base.state_dir.display().to_string()),
        ("log_dir", base.log_dir.display().to_string()),
        ("log_level", word(level)),
        ("log_format", word(format)),
        ("main_log_max_size", size(base.main_log_max_size)),
        ("status_interval", compact(base.status_interval)),
        ("clock_recheck", compact(base.clock_recheck)),
        ("history", days(base.history)),
    ] {
        put(layer, &["orchestrator", key], text);
    }
}

fn defaults(layer: &mut Layer, base: &ScriptSpec) {
    let optional = |duration: Option<_>| duration.map_or_else(|| "none".to_owned(), compact);
    let signal = base.stop.signal.to_string();
    for (key, text) in [
        ("working_dir", ".".to_owned()),
        ("start", time_point_text(base.window.start)),
        ("stop", time_point_text(base.window.stop)),
        ("half_days", word(HALF_DAYS.iter().find(|(_, half)| *half == base.window.half_days))),
        ("start_deadline", optional(base.window.start_deadline)),
        ("max_duration", optional(base.max_duration)),
        ("stop_signal", signal.trim_start_matches("SIG").to_owned()),
        ("stop_grace", compact(base.stop.grace)),
        ("min_runtime", compact(base.exits.min_runtime)),
        ("on_dependency_down", word(ON_DEPENDENCY_DOWN.iter().find(|(_, policy)| *policy == base.on_dependency_down))),
    ] {
        put(layer, &["defaults", key], text);
    }
    let codes = [
        ("success_codes", &base.exits.success),
        ("early_codes", &base.exits.early),
        ("fatal_codes", &base.exits.fatal),
    ];
    for (key, list) in codes {
        let list: Vec<Value> = list.iter().map(|code| Value::new(Some(&Place::BuiltIn.to_string()), *code)).collect();
        put(layer, &["defaults", key], list);
    }
    for (key, value) in
        [("inherit_env", base.launch.inherit_env), ("critical", base.critical), ("enabled", base.enabled)]
    {
        put(layer, &["defaults", key], value);
    }
    let restart = &base.restart;
    for (key, text) in [
        ("policy", word(POLICIES.iter().find(|(_, policy)| *policy == restart.policy))),
        ("initial_delay", compact(restart.initial_delay)),
        ("max_delay", compact(restart.max_delay)),
        ("reset_after", compact(restart.reset_after)),
        ("within", compact(restart.within)),
        ("cooldown", optional(restart.cooldown)),
    ] {
        put(layer, &["defaults", "restart", key], text);
    }
    put(layer, &["defaults", "restart", "max_restarts"], i64::from(restart.max_restarts));
    let output = &base.output;
    for (key, text) in
        [("max_size", size(output.max_size)), ("max_age", days(output.max_age)), ("max_total", size(output.max_total))]
    {
        put(layer, &["defaults", "output", key], text);
    }
    put(layer, &["defaults", "output", "max_files"], i64::from(output.max_files));
    put(layer, &["defaults", "output", "echo"], output.echo);
}

fn word<T>(found: Option<&(&str, T)>) -> String {
    found.map_or_else(String::new, |(word, _)| (*word).to_owned())
}

fn size(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1_000_000_000) => format!("{}GB", bytes / 1_000_000_000),
        _ if bytes.is_multiple_of(1_000_000) => format!("{}MB", bytes / 1_000_000),
        _ => format!("{bytes}B"),
    }
}

/// Spans of many days are written in days: humantime would make months of them.
fn days(duration: std::time::Duration) -> String {
    match duration.as_secs() {
        seconds if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ => compact(duration),
    }
}
