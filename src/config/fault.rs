//! What is wrong with a configuration, and where: every fault and every warning names the file and line, the variable or the flag.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// One fault or one warning, in the shape of `check --json`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Fault {
    /// The file, if the value stands in one.
    pub file: Option<PathBuf>,
    /// The line in it, from 1.
    pub line: Option<usize>,
    /// The key (`orchestrator.log_level`, `script.NAME.stop`); for a value from elsewhere the variable or the flag.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
    /// The name that was probably meant.
    pub suggestion: Option<String>,
}

impl Fault {
    /// A fault of `key`, whose value came from `place`.
    #[must_use]
    pub fn at(place: &Place, key: &str, bad: impl Into<Bad>) -> Self {
        let Bad { message, suggestion } = bad.into();
        let (file, line, key) = match place {
            Place::BuiltIn => (None, None, key.to_owned()),
            Place::File { path, line } => (Some(path.clone()), *line, key.to_owned()),
            Place::Env(variable) => (None, None, variable.clone()),
            Place::Flag(flag) => (None, None, flag.clone()),
        };
        Self { file, line, key, message, suggestion }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
            match self.key.rsplit_once('.') {
                Some((section, key)) => write!(f, "[{section}] {key}: ")?,
                None if self.key.is_empty() => {}
                None => write!(f, "{}: ", self.key)?,
            }
        } else if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(meant) => write!(f, "; did you mean {meant:?}?"),
            None => Ok(()),
        }
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nobody wrote it.
    BuiltIn,
    /// A file.
    File {
        /// As the operator named it.
        path: PathBuf,
        /// From 1.
        line: Option<usize>,
    },
    /// An environment variable.
    Env(String),
    /// A flag of the command line.
    Flag(String),
}

const ENV: &str = "environment variable ";
const FLAG: &str = "flag ";
const BUILT_IN: &str = "built-in default";

impl Place {
    /// A line of a file.
    #[must_use]
    pub fn line(path: &Path, line: usize) -> Self {
        Self::File { path: path.to_owned(), line: Some(line) }
    }

    /// The place again from its text: the `config` crate carries a value's origin as a string.
    pub(super) fn from_origin(origin: Option<&str>) -> Self {
        let Some(text) = origin.filter(|text| *text != BUILT_IN) else {
            return Self::BuiltIn;
        };
        if let Some(variable) = text.strip_prefix(ENV) {
            return Self::Env(variable.to_owned());
        }
        if let Some(flag) = text.strip_prefix(FLAG) {
            return Self::Flag(flag.to_owned());
        }
        match text.rsplit_once(':').map(|(path, line)| (path, line.parse())) {
            Some((path, Ok(line))) => Self::line(Path::new(path), line),
            _ => Self::File { path: text.into(), line: None },
        }
    }

    /// Values of the environment and of flags are plain text, whatever type the key wants.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Env(_) | Self::Flag(_))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str(BUILT_IN),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Env(variable) => write!(f, "{ENV}{variable}"),
            Self::Flag(flag) => write!(f, "{FLAG}{flag}"),
        }
    }
}

/// A value that cannot be taken, without its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// What is wrong and what to do.
    pub message: String,
    /// The name that was probably meant.
    pub suggestion: Option<String>,
}

impl From<String> for Bad {
    fn from(message: String) -> Self {
        Self { message, suggestion: None }
    }
}

impl From<&str> for Bad {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

impl Bad {
    /// `message`, with the nearest of `known` to what was written, if one is near.
    pub(super) fn near<'a>(
        message: impl Into<String>,
        written: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self { message: message.into(), suggestion: nearest(written, known) }
    }
}

/// The nearest of `known` to `written`, if it is near enough to be a slip of the fingers; else the one that it begins.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let lower = written.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&lower, &name.to_lowercase());
    let allowed = (written.chars().count() / 3).clamp(1, 3);
    let known: Vec<&str> = known.into_iter().collect();
    let near = known.iter().map(|name| (distance(name), *name)).filter(|(distance, _)| *distance <= allowed).min();
    let begun = || {
        let mut begun = known.iter().filter(|name| lower.len() > 2 && name.to_lowercase().starts_with(&lower));
        begun.next().filter(|_| begun.next().is_none()).copied()
    };
    near.map(|(_, name)| name).or_else(begun).map(ToOwned::to_owned)
}

/// One effective value and where it came from, for `check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The dotted key.
    pub key: String,
    /// The value as text.
    pub value: String,
    /// Where it was written.
    pub place: Place,
}

/// Collects everything that is found on the way: nothing stops at the first fault.
#[derive(Debug, Default)]
pub(super) struct Report {
    faults: RefCell<Faults>,
    warnings: RefCell<Faults>,
    origins: RefCell<Vec<Origin>>,
}

impl Report {
    /// Each fault once: one in [defaults] is met again with every script.
    pub fn fault(&self, place: &Place, key: &str, bad: impl Into<Bad>) {
        self.faults.borrow_mut().push(Fault::at(place, key, bad));
    }

    /// A fault that has its place already.
    pub fn push(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    pub fn warn(&self, place: &Place, key: &str, message: impl Into<Bad>) {
        self.warnings.borrow_mut().push(Fault::at(place, key, message));
    }

    pub fn origin(&self, key: String, value: String, place: &Place) {
        self.origins.borrow_mut().push(Origin { key, value, place: place.clone() });
    }

    pub fn count(&self) -> usize {
        self.faults.borrow().list.len()
    }

    /// Faults in the order of the file, then those without one; warnings likewise; origins as they were read.
    pub fn into_parts(self) -> (Vec<Fault>, Vec<Fault>, Vec<Origin>) {
        let sorted = |faults: Faults| {
            let mut list = faults.list;
            list.sort_by(|a, b| (a.file.is_none(), &a.file, a.line).cmp(&(b.file.is_none(), &b.file, b.line)));
            list
        };
        (sorted(self.faults.into_inner()), sorted(self.warnings.into_inner()), self.origins.into_inner())
    }
}

/// Faults in the order in which they were found, each once.
#[derive(Debug, Default)]
struct Faults {
    list: Vec<Fault>,
    seen: HashSet<Fault>,
}

impl Faults {
    fn push(&mut self, fault: Fault) {
        if self.seen.insert(fault.clone()) {
            self.list.push(fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_the_way_through_the_layers_as_text() {
        let places = [
            Place::BuiltIn,
            Place::line(Path::new("a dir/mho.toml"), 12),
            Place::Env("MARKET_TZ".into()),
            Place::Flag("--set a.b".into()),
        ];
        for place in places {
            assert_eq!(Place::from_origin(Some(&place.to_string())), place);
        }
    }

    #[test]
    fn a_fault_reads_as_place_key_message_and_suggestion() {
        let bad = Bad::near("unknown key", "log_levle", ["state_dir", "log_level"]);
        let fault = Fault::at(&Place::line(Path::new("config/mho.toml"), 12), "orchestrator.log_levle", bad.clone());
        assert_eq!(
            fault.to_string(),
            "config/mho.toml:12: [orchestrator] log_levle: unknown key; did you mean \"log_level\"?"
        );
        let fault = Fault::at(&Place::Env("MHO__X".into()), "x", bad);
        assert_eq!(fault.to_string(), "MHO__X: unknown key; did you mean \"log_level\"?");
    }

    #[test]
    fn only_near_misses_are_suggested() {
        assert_eq!(nearest("stop_gracee", ["stop", "stop_grace"]), Some("stop_grace".into()));
        assert_eq!(nearest("banana", ["stop", "stop_grace"]), None);
        assert_eq!(nearest("warn", ["error", "warning"]), Some("warning".into()));
        assert_eq!(nearest("max", ["max_size", "max_age"]), None);
    }
}
