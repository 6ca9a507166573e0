//! `[[override]]`: the operator's word on single dates, in the configuration or in calendar-overrides.toml beside it.

use sha2::{Digest, Sha256};

use super::fault::{Bad, Fault, Place, Report};
use super::file::FileLayer;
use super::node::{Data, Node};
use super::section::Section;
use super::sources::is_absent;
use super::values;
use crate::domain::calendar::{Origin, Override};

const KEYS: [&str; 6] = ["calendar", "date", "closed", "open", "close", "reason"];

/// An override with its place.
#[derive(Clone, Debug)]
pub(super) struct Dated {
    /// The calendar as written; None = the default calendar.
    pub named: Option<String>,
    /// The id of that calendar, once it is known.
    pub calendar: String,
    pub day: Override,
    /// The table it was read from.
    pub node: Node,
}

impl Dated {
    /// Reports a fault of one of its keys.
    pub fn fault(&self, key: &str, bad: impl Into<Bad>, report: &Report) {
        let place = self.node.get(key).map_or(&self.node.place, |node| &node.place);
        report.fault(place, &format!("{}.{key}", self.node.key), bad);
    }
}

/// The text of calendar-overrides.toml; empty if there is no such file.
pub(super) fn text_of(path: &std::path::Path, shown: &std::path::Path, report: &Report) -> String {
    // A pipe would keep its reader waiting.
    let is_file = || std::fs::metadata(path).map(|found| found.is_file());
    let text = match is_file() {
        Ok(false) => Err(std::io::Error::other("it is no regular file")),
        Ok(true) | Err(_) => std::fs::read_to_string(path),
    };
    match text {
        Ok(text) => text,
        Err(error) if is_absent(&error) => String::new(),
        Err(error) => {
            let place = Place::File { path: shown.to_owned(), line: None };
            report.fault(&place, "", format!("cannot be read: {error}; mend it, or move it away"));
            String::new()
        }
    }
}

/// What tells one text of that file from another.
#[must_use]
pub fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// The lists of overrides in a text that stands, or is to stand, in that file.
pub(super) fn read_text(text: &str, shown: &std::path::Path, report: &Report) -> Vec<Node> {
    match FileLayer::parse(shown, text) {
        Ok(layer) => {
            let nodes = layer.into_nodes();
            for node in nodes.iter().filter(|node| node.key != "override") {
                report.fault(&node.place, &node.key, "unknown key: this file holds [[override]] tables only");
            }
            nodes.into_iter().filter(|node| node.key == "override").collect()
        }
        Err((faults, _)) => {
            faults.into_iter().for_each(|fault: Fault| report.push(fault));
            Vec::new()
        }
    }
}

/// The sound ones of a list; the others are reported.
pub(super) fn read(list: &Node, report: &Report) -> Vec<Dated> {
    let Data::List(items) = &list.data else {
        report.fault(&list.place, &list.key, "expected [[override]] tables");
        return Vec::new();
    };
    items.iter().filter_map(|item| read_one(item, report)).collect()
}

fn read_one(item: &Node, report: &Report) -> Option<Dated> {
    let section = Section::new(&item.key, Some(item), None, report).unlisted();
    item.table()?;
    section.only(&KEYS);
    let missing = |key: &str, message: &str| {
        if section.get(key).is_none_or(Node::is_empty) {
            report.fault(&item.place, &format!("{}.{key}", item.key), message);
        }
    };
    missing("date", "is missing: name the date, such as \"2027-01-11\"");
    missing("reason", "is missing: say why, it is shown wherever the date is explained");
    let date = section.read_set("date", values::date);
    let reason = section.read_set("reason", values::string);
    let closed = section.read("closed", values::boolean).unwrap_or(false);
    let open = section.read_set("open", values::local_time);
    let close = section.read_set("close", values::local_time);
    let has_time = ["open", "close"].iter().any(|key| section.get(key).is_some_and(|node| !node.is_empty()));
    if closed == has_time {
        report.fault(&item.place, &item.key, "needs either closed = true, or open or close or both");
        return None;
    }
    let origin = match &item.place {
        Place::File { path, line: Some(line) } => {
            Some(Origin { file: path.display().to_string().into(), line: *line, source: None })
        }
        Place::File { .. } | Place::BuiltIn | Place::Env(_) | Place::Flag(_) => None,
    };
    let day = Override { date: date?, closed, open, close, reason: reason?.trim().to_owned(), origin };
    let named = section.read_set("calendar", values::string);
    Some(Dated { named, calendar: String::new(), day, node: item.clone() })
}
