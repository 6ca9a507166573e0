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
    /// Hours in the configuration, laid over the calendar of this file; None: they stand alone.
    OwnHours(Option<Arc<str>>),
}

impl Home {
    /// Of a calendar without overrides, since those stand elsewhere.
    pub(in crate::cli) fn of(plain: &Calendar) -> Self {
        let Some(file) = file_of(plain) else { return Self::OwnHours(None) };
        // Hours of one's own have the file of what they are laid over, and another id.
        let builtin = Calendar::builtin(plain.id()).filter(|builtin| builtin.id().eq_ignore_ascii_case(plain.id()));
        if builtin.as_ref().and_then(file_of).as_ref() == Some(&file)
            && let Some(text) = Calendar::builtin_text(plain.id())
        {
            return Self::BuiltIn(text);
        }
        let stem = Path::new(&*file).file_stem().and_then(|stem| stem.to_str());
        if stem == Some(plain.id()) {
            Self::File { path: file, replaces: builtin.is_some() }
        } else {
            Self::OwnHours(Some(file))
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
            Self::OwnHours(Some(file)) => write!(f, "own hours over {file}"),
        }
    }
}

/// The file in which the days of a calendar stand: each names it.
fn file_of(calendar: &Calendar) -> Option<Arc<str>> {
    calendar.day(*calendar.range().start()).ok()?.origin.map(|origin| origin.file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::calendar::OwnHours;

    #[test]
    fn every_calendar_is_built_in_a_file_or_hours_of_ones_own() {
        for id in Calendar::builtin_ids() {
            let calendar = Calendar::builtin(id).expect("built in");
            let Home::BuiltIn(text) = Home::of(&calendar) else { panic!("{id}") };
            assert_eq!(Calendar::parse(calendar.id(), text).expect("sound").name(), calendar.name(), "{id}");
        }
        let nyse = Calendar::builtin("XNYS").expect("built in");
        let hours = OwnHours { open: "10:00".parse().ok(), ..OwnHours::default() };
        let own = Home::of(&nyse.with_hours("DESK", hours).expect("sound"));
        assert_eq!(own.to_string(), "own hours over config/calendars/xnys.toml (built in)");
        let text = Calendar::builtin_text("lse").expect("built in");
        let file = |id: &str, path: &str| Home::of(&Calendar::parse_file(id, text, path).expect("sound"));
        assert_eq!(file("MINE", "/cal/MINE.toml").to_string(), "from /cal/MINE.toml");
        assert_eq!(file("xlon", "/cal/xlon.toml").to_string(), "from /cal/xlon.toml, in the place of the built-in one");
        let utc = ["09:00", "10:00"].map(|at| at.parse().expect("a time"));
        let plain = Calendar::plain("X", chrono_tz::UTC, utc[0], utc[1], &[chrono::Weekday::Mon]);
        assert_eq!(Home::of(&plain), Home::OwnHours(None));
    }
}
