//! The text of a webhook for a service that wants another shape: `{field}` stands for a field of the message, `{{` and `}}` for braces.
//!
//! A template is nearly always JSON, and JSON is full of braces: a brace that does not enclose a plain word stands for itself.

use serde_json::Value;

use super::Message;

/// The fields that a template may name: those of the JSON, and the two texts that are made of them.
const FIELDS: [&str; 17] = [
    "id",
    "event",
    "severity",
    "at",
    "at_market",
    "host",
    "trading_date",
    "script",
    "run_id",
    "attempt",
    "exit",
    "reason",
    "next",
    "log_tail",
    "count",
    "title",
    "text",
];

/// A text with fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(&'static str),
}

/// No field has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no field {{{0}}}; known: {known}", known = FIELDS.join(", "))]
pub struct TemplateError(pub String);

impl Template {
    /// The names of all fields.
    #[must_use]
    pub fn fields() -> &'static [&'static str] {
        &FIELDS
    }

    /// Reads a template.
    ///
    /// # Errors
    /// A word in braces is no field.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                plain.push_str(&from[..1]);
                rest = after;
            } else if let Some((word, after)) = word(from) {
                let field =
                    FIELDS.iter().find(|field| **field == word).ok_or_else(|| TemplateError(word.to_owned()))?;
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(Part::Field(field));
                rest = after;
            } else {
                plain.push_str(&from[..1]);
                rest = &from[1..];
            }
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Self { parts })
    }

    /// The text, the values escaped as inside a JSON string. What is not known is empty; lines of a list are joined.
    #[must_use]
    pub fn fill(&self, message: &Message) -> String {
        let fields = message.fields();
        let value = |field: &str| match field {
            "title" => message.title(),
            "text" => message.text(),
            _ => plain(fields.get(field)),
        };
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Field(field) => escaped(&value(field)),
        };
        self.parts.iter().map(part).collect()
    }
}

/// `{word}` at the start, and what comes after it.
fn word(text: &str) -> Option<(&str, &str)> {
    let (word, after) = text.strip_prefix('{')?.split_once('}')?;
    let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word.then_some((word, after))
}

fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().map(|item| plain(Some(item))).collect::<Vec<_>>().join("\n"),
        Some(other) => other.to_string(),
    }
}

fn escaped(text: &str) -> String {
    let quoted = Value::String(text.to_owned()).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;

    fn message() -> Message {
        let at = "2026-11-27T13:29:50Z".parse().unwrap();
        let base = Message::test("1-1".to_owned(), "desk".to_owned(), at, Tz::America__New_York);
        let log_tail = vec!["a".to_owned(), "b".to_owned()];
        Message { reason: "it said \"no\"\nand left".to_owned(), log_tail, ..base }
    }

    #[test]
    fn fields_are_filled_in_as_json_strings_and_other_braces_stay() {
        let template =
            Template::parse(r#"{"text": "{reason}", "n": {count}, "x": {}, "who": "{script}", "tail": "{log_tail}"}"#);
        let filled = template.unwrap().fill(&message());
        let value: Value = serde_json::from_str(&filled).expect("JSON");
        assert_eq!(value["text"], "it said \"no\"\nand left");
        assert_eq!(value["n"], 1);
        assert_eq!(value["who"], "");
        assert_eq!(value["tail"], "a\nb");
    }

    #[test]
    fn doubled_braces_are_braces_and_unknown_fields_are_refused() {
        let template = Template::parse("{{event}} {event} }} { } {a b}").unwrap();
        assert_eq!(template.fill(&message()), "{event} daemon } { } {a b}");
        assert_eq!(Template::parse("{evnt}"), Err(TemplateError("evnt".to_owned())));
        assert!(Template::parse("{evnt}").unwrap_err().to_string().contains("severity"));
    }
}
