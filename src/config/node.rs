//! The merged configuration as a tree whose every value knows its key and its place: what the schema walk reads.

use std::collections::BTreeMap;
use std::fmt;

use ::config::{Value, ValueKind};

use super::fault::Place;

/// A value with its dotted key and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub key: String,
    pub place: Place,
    pub data: Data,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

impl Node {
    /// `lines` holds the places of tables, which the `config` crate forgets when it merges them.
    pub fn new(key: &str, value: Value, lines: &BTreeMap<String, Place>) -> Self {
        let mut place = Place::from_origin(value.origin());
        let inner = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
        let data = match value.kind {
            ValueKind::Nil => Data::Text(String::new()),
            ValueKind::Boolean(value) => Data::Bool(value),
            ValueKind::Float(value) => Data::Float(value),
            ValueKind::String(value) => Data::Text(value),
            ValueKind::I64(value) => Data::Int(value),
            // The layers make no other integers; one too large for any key is as wrong as a negative one.
            ValueKind::U64(value) => Data::Int(i64::try_from(value).unwrap_or(-1)),
            ValueKind::I128(_) | ValueKind::U128(_) => Data::Int(-1),
            ValueKind::Array(items) => Data::List(items.into_iter().map(|item| Self::new(key, item, lines)).collect()),
            ValueKind::Table(table) => Data::Table(
                table.into_iter().map(|(name, value)| (name.clone(), Self::new(&inner(&name), value, lines))).collect(),
            ),
        };
        if place == Place::BuiltIn
            && let Data::Table(table) = &data
        {
            let first_inside = || table.values().map(|node| &node.place).find(|place| **place != Place::BuiltIn);
            place = lines.get(key).or_else(first_inside).cloned().unwrap_or(Place::BuiltIn);
        }
        Self { key: key.to_owned(), place, data }
    }

    /// The same tree under another key: a script's values are named after it.
    pub fn rekeyed(mut self, key: &str) -> Self {
        match &mut self.data {
            Data::Table(table) => {
                for (name, node) in table {
                    let old =
                        std::mem::replace(node, Self { key: String::new(), place: Place::BuiltIn, data: Data::Int(0) });
                    *node = old.rekeyed(&format!("{key}.{name}"));
                }
            }
            Data::List(items) => {
                for item in items {
                    key.clone_into(&mut item.key);
                }
            }
            Data::Bool(_) | Data::Int(_) | Data::Float(_) | Data::Text(_) => {}
        }
        key.clone_into(&mut self.key);
        self
    }

    /// Lays the values of `above` over this tree; tables add up, everything else is replaced.
    pub fn overlay(&mut self, above: &Self) {
        match (&mut self.data, &above.data) {
            (Data::Table(table), Data::Table(others)) => {
                for (name, other) in others {
                    match table.get_mut(name) {
                        Some(node) => node.overlay(other),
                        None => {
                            table.insert(name.clone(), other.clone());
                        }
                    }
                }
            }
            _ => *self = above.clone(),
        }
    }

    pub fn table(&self) -> Option<&BTreeMap<String, Self>> {
        match &self.data {
            Data::Table(table) => Some(table),
            _ => None,
        }
    }

    pub fn get(&self, name: &str) -> Option<&Self> {
        self.table()?.get(name)
    }

    pub fn is_built_in(&self) -> bool {
        self.place == Place::BuiltIn
    }

    /// Empty text, list or table: what "not set" looks like in the documentation.
    pub fn is_empty(&self) -> bool {
        match &self.data {
            Data::Text(text) => text.is_empty(),
            Data::List(items) => items.is_empty(),
            Data::Table(table) => table.is_empty(),
            Data::Bool(_) | Data::Int(_) | Data::Float(_) => false,
        }
    }

    /// What it is, for the message that something else was expected.
    pub fn what(&self) -> String {
        match &self.data {
            Data::Bool(value) => format!("the truth value {value}"),
            Data::Int(value) => format!("the number {value}"),
            Data::Float(value) => format!("the number {value}"),
            Data::Text(text) => format!("{text:?}"),
            Data::List(_) => "a list".to_owned(),
            Data::Table(_) => "a table".to_owned(),
        }
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(|item| item.data.to_string()).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Table(table) => {
                let items: Vec<String> = table.iter().map(|(name, node)| format!("{name} = {}", node.data)).collect();
                write!(f, "{{ {} }}", items.join(", "))
            }
        }
    }
}
