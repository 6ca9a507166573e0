//! Reads the tables of a calendar file key by key. Every fault is noted with its line and reading goes on, so that people
//! see all of them at once. What the keys mean is not known here.

use std::fmt::Write as _;
use std::ops::Range;

use chrono::{NaiveDate, Weekday};
use chrono_tz::Tz;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Fault, TimeOfDay};

/// The faults found so far in one text.
pub(super) struct Noted<'t> {
    text: &'t str,
    found: Vec<Fault>,
}

impl<'t> Noted<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Self { text, found: Vec::new() }
    }

    /// Notes a fault at a place of the text.
    pub(super) fn add(&mut self, at: Option<usize>, key: impl Into<String>, message: impl Into<String>) {
        let line = at.map(|at| self.line(at));
        self.found.push(Fault { line, key: key.into(), message: message.into(), unknown: None });
    }

    pub(super) fn note(&mut self, fault: Fault) {
        self.found.push(fault);
    }

    fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }

    pub(super) fn found(self) -> Vec<Fault> {
        self.found
    }

    /// Notes what the TOML parser did not understand.
    pub(super) fn add_syntax(&mut self, errors: &[toml::de::Error]) {
        for error in errors {
            let message = format!("{}; the rest of the file is looked at when this is mended", error.message());
            self.add(error.span().map(|span| span.start), "", message);
        }
    }
}

/// A value that one key may hold.
pub(super) trait FromToml: Sized {
    /// What is expected, for people.
    fn wanted() -> String;
    /// None: it is something else.
    fn from_toml(value: &DeValue<'_>) -> Option<Self>;
}

/// One table of the text, its keys taken one after the other.
pub(super) struct Reader<'a, 'i> {
    table: &'a DeTable<'i>,
    /// How people find it: `holiday[3].on`.
    path: String,
    start: usize,
    known: Vec<&'static str>,
}

impl<'a, 'i> Reader<'a, 'i> {
    pub(super) fn root(table: &'a Spanned<DeTable<'i>>) -> Self {
        Self { table: table.get_ref(), path: String::new(), start: 0, known: Vec::new() }
    }

    /// The full name of one of its keys; its own where the key is empty.
    pub(super) fn name_of(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", name) | (name, "") => name.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    /// Notes a fault of one of its keys, at the key's value, or at the table where the key is missing.
    pub(super) fn fault(&self, faults: &mut Noted<'_>, key: &str, message: impl Into<String>) {
        faults.add(Some(self.place_of(key)), self.name_of(key), message);
    }

    /// The line of one of its keys.
    pub(super) fn line_of(&self, faults: &Noted<'_>, key: &str) -> usize {
        faults.line(self.place_of(key))
    }

    fn place_of(&self, key: &str) -> usize {
        self.table.get(key).map_or(self.start, |value| value.span().start)
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'i>>> {
        self.known.push(key);
        self.table.get(key)
    }

    /// A key that may be left out.
    pub(super) fn optional<T: FromToml>(&mut self, faults: &mut Noted<'_>, key: &'static str) -> Option<T> {
        let value = self.value(key)?;
        let read = T::from_toml(value.get_ref());
        if read.is_none() {
            self.fault(faults, key, format!("expected {}, found {}", T::wanted(), shown(faults.text, value.span())));
        }
        read
    }

    /// A key that must be there.
    pub(super) fn required<T: FromToml>(&mut self, faults: &mut Noted<'_>, key: &'static str) -> Option<T> {
        if !self.table.contains_key(key) {
            self.fault(faults, key, format!("is missing: {}", T::wanted()));
        }
        self.optional(faults, key)
    }

    /// A table inside this one.
    pub(super) fn table(&mut self, faults: &mut Noted<'_>, key: &'static str) -> Option<Reader<'a, 'i>> {
        let value = self.value(key)?;
        let inner = self.inner(value, self.name_of(key));
        if inner.is_none() {
            self.fault(faults, key, "expected a table");
        }
        inner
    }

    /// A table, or an array of tables; none where the key is left out.
    pub(super) fn one_or_more(&mut self, faults: &mut Noted<'_>, key: &'static str) -> Vec<Reader<'a, 'i>> {
        let is_one = self.table.get(key).is_some_and(|value| value.get_ref().is_table());
        if is_one { self.table(faults, key).into_iter().collect() } else { self.tables(faults, key) }
    }

    /// The tables of an array of tables; none where the key is left out.
    pub(super) fn tables(&mut self, faults: &mut Noted<'_>, key: &'static str) -> Vec<Reader<'a, 'i>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.fault(faults, key, format!("expected [[{key}]]"));
            return Vec::new();
        };
        let mut inner = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{key}[{index}]");
            match self.inner(item, path.clone()) {
                Some(reader) => inner.push(reader),
                None => faults.add(Some(item.span().start), path, "expected a table"),
            }
        }
        inner
    }

    fn inner(&self, value: &'a Spanned<DeValue<'i>>, path: String) -> Option<Reader<'a, 'i>> {
        let table = value.get_ref().as_table()?;
        Some(Reader { table, path, start: value.span().start, known: Vec::new() })
    }

    /// Call it last: every key that nobody asked for is a fault.
    pub(super) fn finish(self, faults: &mut Noted<'_>) {
        for key in self.table.keys() {
            if !self.known.contains(&key.get_ref().as_ref()) {
                let message = format!("unknown key; known here: {}", self.known.join(", "));
                let unknown = Some((key.get_ref().to_string(), self.known.clone()));
                let (line, key) = (Some(faults.line(key.span().start)), self.name_of(key.get_ref()));
                faults.note(Fault { line, key, message, unknown });
            }
        }
    }
}

/// The text of a value, cut to what a person needs to recognise it.
fn shown(text: &str, span: Range<usize>) -> String {
    let mut shown = String::new();
    for (count, letter) in text.get(span).unwrap_or_default().chars().enumerate() {
        if count == 40 || letter == '\n' {
            let _infallible = shown.write_str("...");
            break;
        }
        shown.push(letter);
    }
    shown
}

impl FromToml for String {
    fn wanted() -> String {
        "a text that is not empty".into()
    }
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().filter(|text| !text.trim().is_empty()).map(ToOwned::to_owned)
    }
}

impl FromToml for bool {
    fn wanted() -> String {
        "true or false".into()
    }
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }
}

impl FromToml for i32 {
    fn wanted() -> String {
        "a whole number".into()
    }
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let number = value.as_integer()?;
        Self::from_str_radix(number.as_str(), number.radix()).ok()
    }
}

impl FromToml for NaiveDate {
    fn wanted() -> String {
        "a date like 2026-11-27".into()
    }
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        if let Some(text) = value.as_str() {
            return text.parse().ok();
        }
        let stamp = value.as_datetime()?;
        match (stamp.date, stamp.time) {
            (Some(date), None) => Self::from_ymd_opt(date.year.into(), date.month.into(), date.day.into()),
            (_, Some(_)) | (None, None) => None,
        }
    }
}

impl FromToml for TimeOfDay {
    fn wanted() -> String {
        "a time of day like \"09:30\", at most \"24:00\", or \"17:00 -1d\" for the day before".into()
    }
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_str()?.parse().ok()
    }
}

impl FromToml for Tz {
    fn wanted() -> String {
        "an IANA time zone like \"America/New_York\"".into()
    }
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_str()?.parse().ok()
    }
}

impl FromToml for Weekday {
    fn wanted() -> String {
        "a weekday: mon, tue, wed, thu, fri, sat or sun".into()
    }
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_str()?.parse().ok()
    }
}

impl<T: FromToml> FromToml for Vec<T> {
    fn wanted() -> String {
        format!("a list that is not empty, each item {}", T::wanted())
    }
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let items = value.as_array().filter(|items| !items.is_empty())?;
        items.iter().map(|item| T::from_toml(item.get_ref())).collect()
    }
}
