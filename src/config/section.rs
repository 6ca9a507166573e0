//! Reading a table by a schema: each key once, with its fallback, its fault and its origin noted.

use super::fault::{Bad, Place, Report};
use super::node::Node;
use super::values::Parsed;

/// A table being read, above another that answers where it is silent.
pub(super) struct Section<'a> {
    /// The dotted key under which effective values are listed.
    path: String,
    own: Option<&'a Node>,
    fallback: Option<&'a Node>,
    report: &'a Report,
    /// False where the values read are not effective ones.
    listed: bool,
}

impl<'a> Section<'a> {
    pub fn new(path: &str, own: Option<&'a Node>, fallback: Option<&'a Node>, report: &'a Report) -> Self {
        if let Some(node) = own.filter(|node| node.table().is_none()) {
            report.fault(&node.place, &node.key, format!("expected a table, found {}", node.what()));
        }
        Self { path: path.to_owned(), own, fallback, report, listed: true }
    }

    /// The same, without listing its values as effective.
    pub fn unlisted(self) -> Self {
        Self { listed: false, ..self }
    }

    /// A table inside, with the same fallback.
    pub fn sub(&self, name: &str) -> Self {
        let own = self.own.and_then(|node| node.get(name));
        let fallback = self.fallback.and_then(|node| node.get(name));
        let inner = Self::new(&format!("{}.{name}", self.path), own, fallback, self.report);
        Self { listed: self.listed, ..inner }
    }

    /// The table itself, if somebody wrote one that is not empty.
    pub fn table(&self) -> Option<&'a Node> {
        self.own.filter(|node| !node.is_empty() && node.table().is_some())
    }

    /// What the table itself says.
    pub fn own(&self, key: &str) -> Option<&'a Node> {
        self.own.and_then(|node| node.get(key))
    }

    pub fn get(&self, key: &str) -> Option<&'a Node> {
        let of = |node: Option<&'a Node>| node.and_then(|node| node.get(key));
        of(self.own).or_else(|| of(self.fallback))
    }

    /// What the fallback says and what the table itself says, for tables that add up.
    pub fn both(&self, key: &str) -> [Option<&'a Node>; 2] {
        [self.fallback, self.own].map(|node| node.and_then(|node| node.get(key)))
    }

    /// The value of `key`; None if it is absent or faulty, which is then reported.
    pub fn read<T>(&self, key: &str, parse: impl FnOnce(&Node) -> Parsed<T>) -> Option<T> {
        let node = self.get(key)?;
        self.list(key, &node.data.to_string(), &node.place);
        parse(node).map_err(|bad| self.report.fault(&node.place, &node.key, bad)).ok()
    }

    /// Lists an effective value.
    pub fn list(&self, key: &str, value: &str, place: &Place) {
        if self.listed {
            self.report.origin(self.key(key), value.to_owned(), place);
        }
    }

    /// Like `read`, but empty text means that the key is not set.
    pub fn read_set<T>(&self, key: &str, parse: impl FnOnce(&Node) -> Parsed<T>) -> Option<T> {
        self.get(key).filter(|node| !node.is_empty())?;
        self.read(key, parse)
    }

    /// The dotted key of one of its values.
    pub fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The first of `keys` that somebody wrote, else the first: where a fault of several keys together is shown.
    pub fn first_written<'k>(&self, keys: &[&'k str]) -> &'k str {
        let written = |key: &&&str| self.get(key).is_some_and(|node| !node.is_built_in());
        keys.iter().find(written).or(keys.first()).copied().unwrap_or_default()
    }

    /// Reports keys that are not in the list.
    pub fn only(&self, known: &[&str]) {
        let Some(table) = self.own.and_then(Node::table) else {
            return;
        };
        for (name, node) in table.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
            let bad = Bad::near("unknown key", name, known.iter().copied());
            let message = match bad.suggestion {
                Some(_) => bad.message,
                None => format!("unknown key; known here: {}", known.join(", ")),
            };
            self.report.fault(&node.place, &node.key, Bad { message, ..bad });
        }
    }
}
