//! Where a calendar stands written: inside the program, in a file of `calendar_dir`, or, as hours of one's own, in the configuration.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::domain::calendar::Calendar;

/// Where a calendar stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Home {
    /// Inside the program: its text.
    BuiltIn(&'static str),
    /// In a file of `calendar_dir`.
    File {
        /// Its path.
        path: Arc<str>,
        /// It stands in the place of a built-in one.
        replaces: bool,
    },
    /// Hours in the configuration, laid over the days of a calendar of this name; None: they stand alone.
    OwnHours(Option<String>),
}

impl Home {
    /// Of a calendar without overrides, since those stand elsewhere.
    pub(in crate::cli) fn of(plain: &Calendar) -> Self {
        let (id, file) = (plain.id(), file_of(plain));
        // Hours of one's own may not be called like a built-in calendar; a file of that name takes its place.
        let builtin = Calendar::builtin(id).filter(|builtin| builtin.id() == id);
        let own = || Self::OwnHours(Some(plain.name().to_owned()).filter(|name| !name.is_empty()));
        match (file, builtin) {
            (Some(file), Some(builtin)) if Some(&file) == file_of(&builtin).as_ref() => {
                Calendar::builtin_text(id).map_or_else(own, Self::BuiltIn)
            }
            (Some(path), Some(_)) => Self::File { path, replaces: true },
            (Some(path), None) if is_file_of(&path, id) => Self::File { path, replaces: false },
            (Some(_) | None, _) => own(),
        }
    }

    /// Its public name: `built_in`, `file`, `own_hours`.
    pub(in crate::cli) fn name(&self) -> &'static str {
        match self {
            Self::BuiltIn(_) => "built_in",
            Self::File { .. } => "file",
            Self::OwnHours(_) => "own_hours",
        }
    }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(_) => f.write_str("built in"),
            Self::File { path, replaces: false } => write!(f, "from {path}"),
            Self::File { path, replaces: true } => write!(f, "from {path}, in the place of the built-in one"),
            Self::OwnHours(None) => f.write_str("own hours"),
            Self::OwnHours(Some(name)) => write!(f, "own hours, the days of {name}"),
        }
    }
}

/// The file in which a day of the calendar stands.
fn file_of(calendar: &Calendar) -> Option<Arc<str>> {
    calendar.day(*calendar.range().start()).ok()?.origin.map(|origin| origin.file)
}

/// Whether a file is that of a calendar: it is named so, and it is no configuration that happens to be named like hours in it.
fn is_file_of(path: &str, id: &str) -> bool {
    Path::new(path).file_stem().is_some_and(|stem| stem == id)
        && std::fs::read_to_string(path).is_ok_and(|text| Calendar::parse(id, &text).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_calendar_is_at_home_in_the_program_unless_a_file_takes_its_place() {
        for id in Calendar::builtin_ids() {
            let calendar = Calendar::builtin(id).expect("built in");
            let Home::BuiltIn(text) = Home::of(&calendar) else { panic!("{id}") };
            assert_eq!(Calendar::parse(calendar.id(), text).expect("sound").name(), calendar.name(), "{id}");
            let file = Calendar::parse_file(calendar.id(), text, "/cal/x.toml").expect("sound");
            assert_eq!(Home::of(&file).to_string(), "from /cal/x.toml, in the place of the built-in one", "{id}");
        }
    }

    #[test]
    fn a_configuration_that_is_named_like_hours_in_it_is_not_their_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name).display().to_string();
        let text = Calendar::builtin_text("lse").expect("built in");
        let home = |id: &str, file: &str| Home::of(&Calendar::parse_file(id, text, &path(file)).expect("sound"));
        let own = "own hours, the days of London Stock Exchange";
        std::fs::write(path("mho.toml"), "[calendar.mho]\nextends = \"XLON\"\n").expect("written");
        std::fs::write(path("MINE.toml"), text).expect("written");
        assert_eq!([home("mho", "mho.toml"), home("DESK", "MINE.toml")].map(|home| home.to_string()), [own, own]);
        assert_eq!(home("MINE", "MINE.toml").to_string(), format!("from {}", path("MINE.toml")));
    }
}
