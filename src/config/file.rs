//! The file layer: TOML parsed with its spans, so that every value carries `file:line` as its origin.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use ::config::{ConfigError, Map, Source, Value, ValueKind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Place};
use super::node::Node;

/// A parsed TOML file.
#[derive(Clone, Debug, Default)]
pub(super) struct FileLayer {
    values: HashMap<String, Value>,
    /// Where each table begins, by dotted key.
    pub lines: BTreeMap<String, Place>,
}

impl Source for FileLayer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.values.clone())
    }
}

impl FileLayer {
    /// Parses `text`, which stands in `path`; all syntax errors at once, and what could be made out beside them.
    pub fn parse(path: &Path, text: &str) -> Result<Self, (Vec<Fault>, Self)> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let place = |offset: usize| Place::line(path, 1 + ends.partition_point(|end| *end < offset));
        let mut layer = Self::default();
        layer.values = Reader { place: &place, lines: &mut layer.lines }.table("", table.get_ref());
        if errors.is_empty() {
            return Ok(layer);
        }
        Err((errors.iter().map(|error| syntax_fault(path, &place, text, error)).collect(), layer))
    }

    /// The names of its scripts, as far as they are text.
    pub fn script_names(&self) -> Vec<String> {
        let Some(ValueKind::Array(scripts)) = self.values.get("script").map(|value| &value.kind) else {
            return Vec::new();
        };
        let name = |script: &Value| match &script.kind {
            ValueKind::Table(table) => table.get("name").map(|name| name.kind.to_string()),
            _ => None,
        };
        scripts.iter().filter_map(name).collect()
    }

    /// The top-level values of a file that is no layer.
    pub fn into_nodes(self) -> Vec<Node> {
        let Self { values, lines } = self;
        values.into_iter().map(|(key, value)| Node::new(&key, value, &lines)).collect()
    }
}

fn syntax_fault(path: &Path, place: &dyn Fn(usize) -> Place, text: &str, error: &toml::de::Error) -> Fault {
    let place = match error.span() {
        Some(span) => place(span.start),
        None => Place::File { path: path.to_owned(), line: None },
    };
    let message = match error.span().and_then(|span| text.get(span)) {
        Some(key) if error.message() == "duplicate key" => {
            format!("not valid TOML: the key {key} stands twice in its table: keep one of the two")
        }
        _ => format!("not valid TOML: {}", error.message().replace('\n', ", ")),
    };
    Fault::at(&place, "", message)
}

/// Text that may hold a list or an inline table, from a variable or a flag; anything else stays text.
pub(super) fn text_value(text: &str, origin: &Place) -> Value {
    let structured = text.trim_start().starts_with(['[', '{']);
    match DeValue::parse(text.trim()) {
        Ok(value) if structured => {
            let place = |_| origin.clone();
            Reader { place: &place, lines: &mut BTreeMap::new() }.value("", 0, &value)
        }
        _ => Value::new(Some(&origin.to_string()), text.to_owned()),
    }
}

struct Reader<'a> {
    /// The place of an offset.
    place: &'a dyn Fn(usize) -> Place,
    /// Where each table begins.
    lines: &'a mut BTreeMap<String, Place>,
}

impl Reader<'_> {
    fn table(&mut self, path: &str, table: &DeTable<'_>) -> HashMap<String, Value> {
        let mut values = HashMap::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let inner = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            let start = key.span().start;
            if matches!(value.get_ref(), DeValue::Table(_)) {
                self.lines.insert(inner.clone(), (self.place)(start));
            }
            values.insert(name.to_owned(), self.value(&inner, start, value));
        }
        values
    }

    /// The origin of a value is the line of its key (`start`), that of an item the line of the item.
    fn value(&mut self, path: &str, start: usize, value: &Spanned<DeValue<'_>>) -> Value {
        let kind = match value.get_ref() {
            DeValue::Boolean(value) => ValueKind::Boolean(*value),
            DeValue::String(text) => ValueKind::String(text.clone().into_owned()),
            // `open = 09:30:00` and `date = 2027-01-11` may stand there without quotes.
            DeValue::Datetime(at) => ValueKind::String(at.to_string()),
            DeValue::Integer(number) => {
                let digits = number.as_str().replace('_', "");
                i64::from_str_radix(&digits, number.radix()).map_or(ValueKind::I128(i128::MAX), ValueKind::I64)
            }
            DeValue::Float(number) => ValueKind::Float(number.as_str().replace('_', "").parse().unwrap_or(f64::NAN)),
            DeValue::Array(items) => {
                ValueKind::Array(items.iter().map(|item| self.value(path, item.span().start, item)).collect())
            }
            DeValue::Table(table) => ValueKind::Table(self.table(path, table)),
        };
        Value::new(Some(&(self.place)(start).to_string()), kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(text: &str) -> HashMap<String, Value> {
        FileLayer::parse(Path::new("f.toml"), text).expect("valid TOML").values
    }

    #[test]
    fn every_value_carries_its_line() {
        let values = origins("a = 1\n\nb = [\n  \"x\",\n  \"y\",\n]\n[[script]]\nname = \"n\"\n");
        assert_eq!(values["a"].origin(), Some("f.toml:1"));
        assert_eq!(values["b"].origin(), Some("f.toml:3"));
        let items = values["b"].clone().into_array().expect("a list");
        assert_eq!(items[1].origin(), Some("f.toml:5"));
        let scripts = values["script"].clone().into_array().expect("a list");
        assert_eq!(scripts[0].origin(), Some("f.toml:7"));
        assert_eq!(scripts[0].clone().into_table().expect("a table")["name"].origin(), Some("f.toml:8"));
    }

    #[test]
    fn syntax_errors_have_a_line() {
        let (faults, _) = FileLayer::parse(Path::new("f.toml"), "a = 1\nb = = 2\n").expect_err("not TOML");
        assert_eq!(faults[0].line, Some(2), "{faults:?}");
        let (faults, _) = FileLayer::parse(Path::new("f.toml"), "[t]\nkey = 1\nkey = 2\n").expect_err("not TOML");
        assert_eq!(faults[0].line, Some(3), "{faults:?}");
        assert!(faults[0].message.contains("the key key stands twice"), "{faults:?}");
    }

    #[test]
    fn text_becomes_a_list_only_where_it_looks_like_one() {
        let place = Place::Env("X".into());
        for plain in ["09:30", "1.10", "true", "open - 1h", "[broken"] {
            assert_eq!(text_value(plain, &place).kind, ValueKind::String(plain.to_owned()));
        }
        let list = text_value("[\"a\", \"b\"]", &place);
        assert_eq!(list.origin(), Some("environment variable X"));
        assert_eq!(list.into_array().map(|items| items.len()).ok(), Some(2));
    }
}
