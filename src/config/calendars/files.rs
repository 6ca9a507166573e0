//! The calendar files of `calendar_dir`: by id, which is the file's name, and by the aliases that they give themselves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::MARKET;
use crate::config::fault::{Bad, Place, Report};
use crate::config::node::Node;
use crate::domain::calendar::{self, Calendar};

/// What was found there.
#[derive(Default)]
pub(super) struct Files {
    /// The sound ones, by id.
    pub calendars: BTreeMap<String, Calendar>,
    /// Ids of those with faults: whoever names one gets a stand-in, and no second fault.
    faulty: Vec<String>,
}

impl Files {
    /// Reads all of them.
    pub fn read(dir: &Path, node: Option<&Node>, report: &Report) -> Self {
        let mut files = Self::default();
        let place = node.map_or(Place::BuiltIn, |node| node.place.clone());
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) => {
                let message =
                    format!("cannot read the directory {}: {error}; create it, or correct the path", dir.display());
                report.fault(&place, "market.calendar_dir", message);
                return files;
            }
        };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        let mut read: Vec<(String, PathBuf)> = Vec::new();
        for path in paths.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "toml")) {
            let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| !stem.starts_with('.'))
            else {
                continue;
            };
            // Whatever the case, a file with the name of a built-in calendar is that calendar.
            let builtin = Calendar::builtin_ids().into_iter().find(|id| id.eq_ignore_ascii_case(stem));
            let id = builtin.map_or(stem, |name| Calendar::builtin_id(name).unwrap_or(stem)).to_owned();
            let other = read.iter().find(|(known, _)| known.eq_ignore_ascii_case(&id));
            let clash =
                other.map(|(_, other)| format!("is the same calendar as {}: keep one of the two", other.display()));
            let taken = id.eq_ignore_ascii_case(MARKET).then(|| {
                format!("{MARKET} means the default calendar with hours of its own: give this file another name")
            });
            if let Some(message) = clash.or(taken) {
                report.fault(&Place::File { path: path.clone(), line: None }, "", message);
                continue;
            }
            match read_one(&id, &path, report) {
                Some(calendar) => drop(files.calendars.insert(id.clone(), calendar)),
                None => files.faulty.push(id.clone()),
            }
            read.push((id, path));
        }
        files.check_aliases(&read, report);
        files
    }

    /// The calendar of this id or alias, whatever the case.
    pub fn find(&self, name: &str) -> Option<&Calendar> {
        let is_id = |id: &&String| id.eq_ignore_ascii_case(name);
        if let Some(id) = self.calendars.keys().find(is_id) {
            return self.calendars.get(id);
        }
        self.calendars.values().find(|calendar| calendar.aliases().iter().any(|alias| alias.eq_ignore_ascii_case(name)))
    }

    /// Whether a name means a file that has faults.
    pub fn is_faulty(&self, name: &str) -> bool {
        let id = Calendar::builtin_id(name).unwrap_or(name);
        self.faulty.iter().any(|faulty| faulty.eq_ignore_ascii_case(id))
    }

    /// An alias means one calendar. One that a file shares with the built-in calendar that it replaces is that calendar's.
    fn check_aliases(&self, read: &[(String, PathBuf)], report: &Report) {
        let mut known: Vec<(&str, &str)> = Vec::new();
        for (id, path) in read {
            let Some(calendar) = self.calendars.get(id) else { continue };
            for alias in calendar.aliases() {
                let place = Place::File { path: path.clone(), line: None };
                let is_own = |other: &str| other.eq_ignore_ascii_case(id);
                let other_file = read.iter().map(|(other, _)| other.as_str());
                let other_file =
                    other_file.filter(|other| !is_own(other)).find(|other| other.eq_ignore_ascii_case(alias));
                let other_alias = known.iter().find(|(known, of)| known.eq_ignore_ascii_case(alias) && !is_own(of));
                let builtin = Calendar::builtin_id(alias).filter(|builtin| !is_own(builtin));
                if let Some(other) = other_file.or(other_alias.map(|(_, of)| *of)).or(builtin) {
                    let message = format!("{alias:?} means the calendar {other} already: choose another one");
                    report.fault(&place, "aliases", message);
                }
                known.push((alias, id));
            }
        }
    }
}

fn read_one(id: &str, path: &Path, report: &Report) -> Option<Calendar> {
    let at = |line| Place::File { path: path.to_owned(), line };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("cannot be read: {error}; mend it, or move it out of calendar_dir");
            report.fault(&at(None), "", message);
            return None;
        }
    };
    match Calendar::parse_file(id, &text, &path.display().to_string()) {
        Ok(calendar) => Some(calendar),
        Err(faults) => {
            for calendar::Fault { line, key, message, unknown } in faults {
                let bad = match unknown {
                    Some((written, known)) => Bad::near(message, &written, known),
                    None => message.into(),
                };
                report.fault(&at(line), &key, bad);
            }
            None
        }
    }
}
