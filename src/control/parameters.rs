//! What a request asks for: the parameters of its query and, with a POST, those of its body.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::NaiveDate;
use serde_json::Value;

use crate::domain::time::written_date;

/// Characters of a reason that are kept.
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
        let Some(text) = self.text(key) else { return Ok(None) };
        written_date(text).map(Some).ok_or_else(|| format!("{key}={text}: expected YYYY-MM-DD"))
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
    let hint = near.map_or_else(String::new, |near| format!(" (did you mean {near}?)"));
    format!("unknown parameter {key:?}{hint}; known here: {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["force", "date", "n", "wait", "reason"];

    fn read(query: &str, body: &str) -> Result<Parameters, String> {
        Parameters::read(query, body.as_bytes(), KNOWN)
    }

    #[test]
    fn the_query_wins_over_the_body_and_both_may_be_missing() {
        let both = read("reason=a+b%21", r#"{"reason": "body", "force": true, "n": 7, "wait": null}"#).unwrap();
        assert_eq!((both.reason().as_str(), both.flag("force"), both.number("n", 1, 5)), ("a b!", Ok(true), Ok(5)));
        let none = read("", " \n").unwrap();
        assert_eq!((none.reason().as_str(), none.flag("force"), none.number("n", 1, 5)), ("", Ok(false), Ok(1)));
        for body in ["x", "[]", "1", r#"{"n": []}"#, r#"{"nn": 1}"#, "{", "\u{0}"] {
            assert!(read("", body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_told_and_nothing_is_taken_for_something_else() {
        let error = read("forse=1", "").unwrap_err();
        assert_eq!(
            error,
            "unknown parameter \"forse\" (did you mean force?); known here: force, date, n, wait, reason"
        );
        assert!(read("force=maybe", "").unwrap().flag("force").is_err());
        for bad in ["2026-13-01", "soon", "%2B262142-01-01", "0000-01-01"] {
            assert!(read(&format!("date={bad}"), "").unwrap().date("date").is_err(), "{bad}");
        }
        assert!(read("n=-1", "").unwrap().number("n", 1, 5).is_err());
    }

    #[test]
    fn a_wait_is_a_duration_or_seconds_and_has_a_limit() {
        let wait = |text: &str| read(&format!("wait={text}"), "").unwrap().wait();
        assert_eq!(wait("90"), Ok(Some(Duration::from_secs(90))));
        assert_eq!(wait("1m30s"), Ok(Some(Duration::from_secs(90))));
        assert_eq!(wait(""), Ok(None));
        for long in ["18446744073709551615", "1000years"] {
            assert_eq!(wait(long), Ok(Some(LONGEST_WAIT)), "{long}");
        }
        for bad in ["-1", "1e9", "99999999999999999999years", "soon"] {
            assert!(wait(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reason_is_one_line_that_has_an_end() {
        let long = read(&format!("reason=a%0a%1bb{}", "x".repeat(1000)), "").unwrap().reason();
        assert!(long.starts_with("a  bx") && long.chars().count() == LONGEST_REASON, "{long}");
    }
}
