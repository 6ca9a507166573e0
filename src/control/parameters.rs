//! What a request asks for: the parameters of its query and, with a POST, those of its body.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::NaiveDate;
use serde_json::Value;

/// Words of a reason that are kept.
const LONGEST_REASON: usize = 500;

/// Nobody waits longer for an order.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Parameters by name.
#[derive(Debug, Default)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Those of the query count, where both have one. Any but those that are `known` are refused: a slip of the pen must not be taken for
    /// something else.
    pub(super) fn read(query: &str, body: &[u8], known: &[&str]) -> Result<Self, String> {
        let mut all = BTreeMap::new();
        if !body.iter().all(u8::is_ascii_whitespace) {
            let value: Value = serde_json::from_slice(body).map_err(|error| format!("the body is no JSON: {error}"))?;
            let Value::Object(map) = value else { return Err("the body is no JSON object".to_owned()) };
            for (key, value) in map {
                let text = match value {
                    Value::String(text) => text,
                    Value::Bool(true) => "1".to_owned(),
                    Value::Bool(false) => "0".to_owned(),
                    Value::Number(number) => number.to_string(),
                    Value::Null => continue,
                    Value::Array(_) | Value::Object(_) => return Err(format!("{key}: expected text")),
                };
                all.insert(key, text);
            }
        }
        let pairs: Vec<(String, String)> =
            serde_urlencoded::from_str(query).map_err(|error| format!("the query cannot be read: {error}"))?;
        all.extend(pairs);
        match all.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(unknown(key, known)),
            None => Ok(Self(all)),
        }
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// `?force`, `?force=1`, `?force=true`.
    pub(super) fn flag(&self, key: &str) -> Result<bool, String> {
        match self.0.get(key).map(String::as_str) {
            None | Some("0" | "false" | "no") => Ok(false),
            Some("" | "1" | "true" | "yes") => Ok(true),
            Some(other) => Err(format!("{key}={other}: expected 1 or 0")),
        }
    }

    pub(super) fn date(&self, key: &str) -> Result<Option<NaiveDate>, String> {
        self.text(key).map(|text| text.parse().map_err(|_| format!("{key}={text}: expected YYYY-MM-DD"))).transpose()
    }

    pub(super) fn number(&self, key: &str, default: usize, most: usize) -> Result<usize, String> {
        let Some(text) = self.text(key) else { return Ok(default) };
        let number: usize = text.parse().map_err(|_| format!("{key}={text}: expected a number"))?;
        Ok(number.min(most))
    }

    /// "60s", or plain seconds.
    pub(super) fn wait(&self) -> Result<Option<Duration>, String> {
        let Some(text) = self.text("wait") else { return Ok(None) };
        let plain = text.parse().map(Duration::from_secs);
        let wait = plain.or_else(|_| humantime::parse_duration(text));
        let wait = wait.map_err(|_| format!("wait={text}: expected a duration such as 60s"))?;
        Ok(Some(wait.min(LONGEST_WAIT)))
    }

    /// One line of text.
    pub(super) fn reason(&self) -> String {
        let text = self.text("reason").unwrap_or_default();
        let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        printable.take(LONGEST_REASON).collect::<String>().trim().to_owned()
    }
}

fn unknown(key: &str, known: &[&str]) -> String {
    let near = known.iter().find(|known| strsim::damerau_levenshtein(known, key) <= 2);
    let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
    let list = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("unknown parameter {key:?}{hint} Known here: {list}")
}
