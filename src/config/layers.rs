//! The layers above the file, as sources of the `config` crate: built-in defaults below it, environment and flags above it.

use std::collections::HashMap;

use ::config::{ConfigError, Map, Source, Value, ValueKind};

use super::fault::{Fault, Place};
use super::file::text_value;
use super::replace;
use super::sources::{Flags, Sources};

/// Values for one script by its name (`MHO__SCRIPT__NAME__KEY`, `--set script.NAME.key`) travel beside the list `script`, which they
/// must not replace. The blanks keep the `config` crate from reading this as a path.
pub(super) const BY_NAME: &str = "script by name";

/// The original's names, and the keys they stand for.
const ORIGINAL: [(&str, [&str; 2]); 5] = [
    ("MARKET_TZ", ["market", "timezone"]),
    ("MARKET_OPEN_TIME", ["market", "open"]),
    ("MARKET_CLOSE_TIME", ["market", "close"]),
    ("PRE_MARKET_START", ["defaults", "start"]),
    ("MAX_SCRIPT_DURATION", ["defaults", "max_duration"]),
];

/// Any key by variable starts so; `MHO_CONFIG` and other names with one underscore are no keys.
const PREFIX: &str = "MHO__";

/// One layer: a tree of values that know where they came from.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer(HashMap<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

impl Layer {
    /// Puts a value at the end of a path of keys.
    pub fn set(&mut self, path: &[&str], value: Value) {
        set(&mut self.0, path, value);
    }
}

fn set(table: &mut HashMap<String, Value>, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        table.insert((*first).to_owned(), value);
        return;
    }
    let inner = table.entry((*first).to_owned()).or_insert_with(|| Value::new(None, HashMap::<String, Value>::new()));
    if !matches!(inner.kind, ValueKind::Table(_)) {
        *inner = Value::new(None, HashMap::<String, Value>::new());
    }
    if let ValueKind::Table(inner) = &mut inner.kind {
        set(inner, rest, value);
    }
}

/// The environment: the original's names, then any key by `MHO__SECTION__KEY`, which is the more exact word and wins.
pub(super) fn environment(sources: &Sources) -> Layer {
    let mut layer = Layer::default();
    for (name, path) in ORIGINAL {
        if let Some(value) = sources.variable(name) {
            layer.set(&path, text_value(value, &Place::Env(name.to_owned())));
        }
    }
    if let Some(scripts) = replace::scripts(sources) {
        layer.set(&["script"], scripts);
    }
    for (name, value) in &sources.env {
        if let Some(rest) = name.strip_prefix(PREFIX) {
            let path = variable_path(rest);
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            layer.set(&path, text_value(value, &Place::Env(name.clone())));
        }
    }
    layer
}

/// `DEFAULTS__RESTART__WITHIN` as a path of keys. Names of calendars and of a script's variables keep their case.
fn variable_path(rest: &str) -> Vec<String> {
    let mut path: Vec<String> = Vec::new();
    for part in rest.split("__") {
        let keeps_case = path.last().is_some_and(|last| last == "env") || path == ["calendar"];
        path.push(if keeps_case { part.to_owned() } else { part.to_lowercase() });
    }
    by_name(&mut path);
    path
}

fn by_name(path: &mut [String]) {
    if path.len() > 2 && path[0] == "script" {
        BY_NAME.clone_into(&mut path[0]);
    }
}

/// The flags, and the faults of those `--set` that are not KEY=VALUE.
pub(super) fn flags(flags: &Flags) -> (Layer, Vec<Fault>) {
    let mut layer = Layer::default();
    let mut faults = Vec::new();
    for setting in &flags.set {
        match setting.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                let key = key.trim();
                let mut path: Vec<String> = key.split('.').map(|part| part.trim().to_owned()).collect();
                by_name(&mut path);
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                layer.set(&path, text_value(value.trim(), &Place::Flag(format!("--set {key}"))));
            }
            _ => faults.push(Fault::at(
                &Place::Flag(format!("--set {setting}")),
                "",
                "expected KEY=VALUE, such as orchestrator.log_level=debug",
            )),
        }
    }
    let named = [
        ("--state-dir", ["orchestrator", "state_dir"], &flags.state_dir),
        ("--log-dir", ["orchestrator", "log_dir"], &flags.log_dir),
        ("--log-level", ["orchestrator", "log_level"], &flags.log_level),
        ("--listen", ["http", "listen"], &flags.listen),
    ];
    for (flag, path, value) in named {
        if let Some(value) = value {
            layer.set(&path, Value::new(Some(&Place::Flag(flag.to_owned()).to_string()), value.clone()));
        }
    }
    (layer, faults)
}
