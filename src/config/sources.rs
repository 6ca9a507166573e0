//! Where a configuration comes from: which file, which environment, which flags. Nothing else reads them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::fault::{Fault, Place};

/// The text of the shipped `config/mho.toml`: what runs where no file is found, and what `mho init` writes.
pub const SHIPPED: &str = include_str!("../../config/mho.toml");

/// The name under which the embedded text appears in messages.
const EMBEDDED: &str = "the built-in config/mho.toml";

/// The file of overrides that is always read, beside the configuration.
const OVERRIDES: &str = "calendar-overrides.toml";

/// All that `load` may look at, besides the files that these name.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--config FILE`.
    pub config: Option<PathBuf>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The flags that set values.
    pub flags: Flags,
    /// The directory in which `mho` was started.
    pub cwd: PathBuf,
    /// What the configuration is for.
    pub purpose: Purpose,
    /// A text in the place of what calendar-overrides.toml holds: what would a change of that file come to?
    pub overrides_text: Option<String>,
}

/// What a configuration is read for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Scripts are to be run: without a file, the built-in example must be there.
    #[default]
    Run,
    /// Questions are to be answered (`mho calendar`): those that need no script can be, wherever one stands.
    Look,
}

/// The flags that set values; the strongest layer.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--state-dir`.
    pub state_dir: Option<String>,
    /// `--log-dir`.
    pub log_dir: Option<String>,
    /// `--log-level`.
    pub log_level: Option<String>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--only NAME,...`: all other scripts are disabled. Empty: no such flag.
    pub only: Vec<String>,
    /// `--set KEY=VALUE`, as often as wanted.
    pub set: Vec<String>,
}

impl Sources {
    /// The environment and start directory of this process. Variables that are not UTF-8 cannot be ours and are left out.
    pub fn of_process(config: Option<PathBuf>, flags: Flags) -> io::Result<Self> {
        let env = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Ok(Self { config, env: env.collect(), flags, cwd: std::env::current_dir()?, ..Self::default() })
    }

    /// A variable that is set and not empty: compose files hand on unset variables as empty ones.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }
}

/// The configuration file that was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// As the operator named it, for messages.
    pub shown: PathBuf,
    /// Absolute; None for the embedded text.
    pub path: Option<PathBuf>,
    pub text: String,
}

impl Found {
    /// Where relative `base_dir`s start.
    pub fn dir(&self, cwd: &Path) -> PathBuf {
        self.path.as_deref().and_then(Path::parent).unwrap_or(cwd).to_owned()
    }

    /// The file of overrides beside it; where the embedded text stands in for `config/mho.toml`, beside that.
    pub fn overrides(&self, cwd: &Path) -> (PathBuf, PathBuf) {
        let shown = match &self.path {
            Some(_) => self.shown.with_file_name(OVERRIDES),
            None => Path::new("config").join(OVERRIDES),
        };
        (absolute(cwd, &shown), shown)
    }
}

/// `--config`, else `$MHO_CONFIG`, else the usual places, else the embedded text. A file that was named must exist.
pub(super) fn find(sources: &Sources) -> Result<Found, Fault> {
    let named = match (&sources.config, sources.variable("MHO_CONFIG")) {
        (Some(path), _) => Some((path.clone(), Place::Flag("--config".to_owned()))),
        (None, Some(path)) => Some((PathBuf::from(path), Place::Env("MHO_CONFIG".to_owned()))),
        (None, None) => None,
    };
    if let Some((shown, place)) = named {
        return read(sources, &shown).map_err(|error| {
            Fault::at(&place, "", format!("cannot read the configuration file {}: {}", shown.display(), advice(&error)))
        });
    }
    for usual in ["config/mho.toml", "/etc/mho/mho.toml"] {
        let shown = Path::new(usual);
        match read(sources, shown) {
            Ok(found) => return Ok(found),
            // Only a file that is not there may be passed over: one that cannot be read was meant.
            Err(error) if is_absent(&error) => {}
            Err(error) => {
                let place = Place::File { path: shown.to_owned(), line: None };
                return Err(Fault::at(&place, "", format!("cannot read the configuration file: {}", advice(&error))));
            }
        }
    }
    Ok(Found { shown: EMBEDDED.into(), path: None, text: SHIPPED.to_owned() })
}

/// What is in the way, and what to do.
fn advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::IsADirectory => "it is a directory: name a file with --config".to_owned(),
        io::ErrorKind::InvalidData => {
            "it is not UTF-8 text: save it as UTF-8, or name another with --config".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            format!("{error}: give this user the right to read it, or name another with --config")
        }
        _ => format!("{error}: name another with --config, or write one with mho init"),
    }
}

fn read(sources: &Sources, shown: &Path) -> io::Result<Found> {
    let path = absolute(&sources.cwd, shown);
    let text = std::fs::read_to_string(&path)?;
    Ok(Found { shown: shown.to_owned(), path: Some(path), text })
}

/// True for the errors that mean "no such file".
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// `path` seen from `base`, with `.` and `..` taken out as a shell's `cd` does: a deployment reached through a symlink keeps its name.
pub(super) fn absolute(base: &Path, path: &Path) -> PathBuf {
    use std::path::Component;
    let mut clean = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::Prefix(_) | Component::Normal(_) => clean.push(part),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_seen_from_their_base() {
        let base = Path::new("/srv/app/config");
        for (path, want) in
            [("..", "/srv/app"), (".", "/srv/app/config"), ("../logs/./x", "/srv/app/logs/x"), ("/a", "/a")]
        {
            assert_eq!(absolute(base, Path::new(path)), Path::new(want), "{path}");
        }
    }
}
