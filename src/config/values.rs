//! Parsers of single values: durations, sizes, times, names. Text in, value out; the caller knows the place.

use std::str::FromStr;
use std::time::Duration;

use chrono::{NaiveDate, NaiveTime, TimeDelta, Timelike};
use chrono_tz::Tz;

use super::fault::Bad;
use super::node::{Data, Node};
use crate::domain::calendar::{NoTimeOfDay, TimeOfDay};
use crate::domain::outcome::Signal;
use crate::domain::script::{Anchor, TimePoint};

pub(super) type Parsed<T> = Result<T, Bad>;

/// No duration in a configuration is longer: sums with instants stay in range.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);

/// No window begins or ends farther from its session.
const FARTHEST: TimeDelta = TimeDelta::days(7);

fn expected<T>(what: &str, node: &Node) -> Parsed<T> {
    Err(format!("expected {what}, found {}", node.what()).into())
}

pub(super) fn string(node: &Node) -> Parsed<String> {
    match &node.data {
        Data::Text(text) => Ok(text.clone()),
        _ => expected("text in quotes", node),
    }
}

/// A value of a process's environment: numbers and truth values may stand without quotes.
pub(super) fn env_value(node: &Node) -> Parsed<String> {
    match &node.data {
        Data::Text(text) => Ok(text.clone()),
        Data::Bool(value) => Ok(value.to_string()),
        Data::Int(value) => Ok(value.to_string()),
        Data::Float(_) | Data::List(_) | Data::Table(_) => expected("text in quotes", node),
    }
}

pub(super) fn boolean(node: &Node) -> Parsed<bool> {
    match &node.data {
        Data::Bool(value) => Ok(*value),
        Data::Text(text) if node.place.is_text() => match text.as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => expected("true or false", node),
        },
        _ => expected("true or false", node),
    }
}

pub(super) fn count(node: &Node) -> Parsed<u32> {
    let number = match &node.data {
        Data::Int(value) => u32::try_from(*value).ok(),
        Data::Text(text) if node.place.is_text() => text.trim().parse().ok(),
        _ => None,
    };
    number.map_or_else(|| expected("a whole number from 0", node), Ok)
}

/// "90s", "7h", "1h30m"; a plain number is seconds.
pub(super) fn duration(node: &Node) -> Parsed<Duration> {
    let parsed = match &node.data {
        Data::Int(value) => u64::try_from(*value).ok().map(Duration::from_secs),
        Data::Float(value) => seconds(*value),
        Data::Text(text) => duration_text(text),
        Data::Bool(_) | Data::List(_) | Data::Table(_) => None,
    };
    match parsed {
        Some(duration) if duration <= LONGEST => Ok(duration),
        Some(_) => Err("is too long: at most 100 years".into()),
        None => expected("a duration such as \"90s\", \"7h\" or \"1h30m\" (a plain number is seconds)", node),
    }
}

fn duration_text(text: &str) -> Option<Duration> {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(value) => seconds(value),
        Err(_) => match humantime::parse_duration(text) {
            Err(humantime::DurationError::NumberOverflow) => Some(Duration::MAX),
            parsed => parsed.ok(),
        },
    }
}

/// What is too large for a duration is too long all the same.
fn seconds(value: f64) -> Option<Duration> {
    if value > LONGEST.as_secs_f64() { Some(Duration::MAX) } else { Duration::try_from_secs_f64(value).ok() }
}

/// A duration longer than zero.
pub(super) fn span(node: &Node) -> Parsed<Duration> {
    match duration(node)? {
        Duration::ZERO => Err("must be longer than 0".into()),
        duration => Ok(duration),
    }
}

/// A duration, or "none".
pub(super) fn optional(node: &Node, inner: fn(&Node) -> Parsed<Duration>) -> Parsed<Option<Duration>> {
    match &node.data {
        Data::Text(text) if text.trim() == "none" => Ok(None),
        Data::Text(text) if text.trim().is_empty() => expected("a duration or \"none\"", node),
        _ => inner(node).map(Some),
    }
}

/// "50MB", "500B"; a plain number is bytes.
pub(super) fn size(node: &Node) -> Parsed<u64> {
    let parsed = match &node.data {
        Data::Int(value) => u64::try_from(*value).ok(),
        Data::Text(text) => bytesize::ByteSize::from_str(text.trim()).ok().map(|size| size.as_u64()),
        _ => None,
    };
    match parsed {
        Some(0) => Err("must be more than 0 bytes".into()),
        Some(bytes) => Ok(bytes),
        None => expected("a size such as \"50MB\" or \"500B\" (a plain number is bytes)", node),
    }
}

/// "HH:MM" or "HH:MM:SS".
pub(super) fn time_of_day(text: &str) -> Option<NaiveTime> {
    let text = text.trim();
    let time = NaiveTime::parse_from_str(text, "%H:%M:%S").or_else(|_| NaiveTime::parse_from_str(text, "%H:%M")).ok();
    // "08:30:60" would be a leap second, which no clock that we wait for ever shows.
    time.filter(|time| time.nanosecond() == 0)
}

/// A local time of an exchange: also "24:00", the end of the day, and "17:00 -1d", the evening before.
pub(super) fn local_time(node: &Node) -> Parsed<TimeOfDay> {
    let what = "a time such as \"09:30\", or \"17:00 -1d\" for the evening before";
    match &node.data {
        Data::Text(text) => text.parse().or_else(|NoTimeOfDay| expected(what, node)),
        _ => expected(what, node),
    }
}

const ANCHORS: [(&str, Anchor); 4] = [
    ("premarket", Anchor::Premarket),
    ("open", Anchor::Open),
    ("close", Anchor::Close),
    ("postmarket", Anchor::Postmarket),
];

/// "open - 1h", "close", "08:30".
pub(super) fn time_point(node: &Node) -> Parsed<TimePoint> {
    let what = "a point of the trading day such as \"open - 1h\", \"close\" or \"08:30\"";
    let Data::Text(text) = &node.data else {
        return expected(what, node);
    };
    if let Some(time) = time_of_day(text) {
        return Ok(TimePoint::At(time));
    }
    let text = text.trim();
    let (word, rest) = text.split_at(text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let Some((_, anchor)) = ANCHORS.iter().find(|(name, _)| *name == word) else {
        let bad = Bad::near(format!("expected {what}, found {}", node.what()), word, ANCHORS.map(|(name, _)| name));
        // Whole values are suggested, so that the suggestion can be pasted.
        let suggestion = bad.suggestion.map(|name| format!("{name}{rest}"));
        return Err(Bad { suggestion, ..bad });
    };
    match offset(rest.trim()) {
        Some(offset) if offset.abs() <= FARTHEST => Ok(TimePoint::Anchor(*anchor, offset)),
        Some(_) => Err(format!("{text:?} is too far from the session: at most 7 days").into()),
        None => expected(what, node),
    }
}

fn offset(text: &str) -> Option<TimeDelta> {
    if text.is_empty() {
        return Some(TimeDelta::zero());
    }
    let (sign, amount) = match text.split_at_checked(1)? {
        ("+", amount) => (1, amount),
        ("-", amount) => (-1, amount),
        _ => return None,
    };
    let amount = duration_text(amount)?;
    Some(TimeDelta::from_std(amount.min(LONGEST)).ok()? * sign)
}

/// A point of the trading day as people write it.
pub(super) fn time_point_text(point: TimePoint) -> String {
    match point {
        TimePoint::At(time) => time.format("%H:%M:%S").to_string(),
        TimePoint::Anchor(anchor, offset) => {
            let name = ANCHORS.iter().find(|(_, known)| *known == anchor).map_or("open", |(name, _)| name);
            let amount = crate::domain::notice::compact(offset.abs().to_std().unwrap_or_default());
            match offset.cmp(&TimeDelta::zero()) {
                std::cmp::Ordering::Less => format!("{name} - {amount}"),
                std::cmp::Ordering::Equal => name.to_owned(),
                std::cmp::Ordering::Greater => format!("{name} + {amount}"),
            }
        }
    }
}

pub(super) fn date(node: &Node) -> Parsed<NaiveDate> {
    let parsed = match &node.data {
        Data::Text(text) => NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").ok(),
        _ => None,
    };
    parsed.map_or_else(|| expected("a date such as \"2027-01-11\"", node), Ok)
}

pub(super) fn signal(node: &Node) -> Parsed<Signal> {
    const USUAL: [&str; 9] = ["TERM", "INT", "HUP", "QUIT", "KILL", "USR1", "USR2", "ALRM", "WINCH"];
    let text = string(node)?;
    let signal = text.trim().parse::<Signal>();
    let signal =
        signal.map_err(|message| Bad::near(message, text.trim().trim_start_matches("SIG"), USUAL.iter().copied()))?;
    // WINCH is not among them: servers such as httpd end at it.
    const IDLE: [&str; 7] = ["SIGSTOP", "SIGCONT", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGCHLD", "SIGURG"];
    let name = signal.to_string();
    match IDLE.contains(&name.as_str()) {
        true => {
            Err(format!("{name} does not end a process: use \"TERM\", \"INT\" or another that the script ends at")
                .into())
        }
        false => Ok(signal),
    }
}

pub(super) fn zone(node: &Node) -> Parsed<Tz> {
    let text = string(node)?;
    text.trim().parse().map_err(|_| {
        let message = format!("unknown time zone {text:?}; use a name such as \"America/New_York\"");
        Bad::near(message, text.trim(), chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()))
    })
}

/// One of a few words.
pub(super) fn choice<T: Copy>(node: &Node, words: &[(&str, T)]) -> Parsed<T> {
    let text = string(node)?;
    let all = || words.iter().map(|(word, _)| *word);
    words.iter().find(|(word, _)| *word == text.trim()).map(|(_, value)| *value).ok_or_else(|| {
        let message = format!("{text:?} is not one of: {}", all().collect::<Vec<_>>().join(", "));
        Bad::near(message, text.trim(), all())
    })
}

/// The items of a list; from a variable or a flag also separated by commas.
pub(super) fn items<T>(node: &Node, what: &str, item: impl Fn(&Node) -> Parsed<T>) -> Parsed<Vec<T>> {
    match &node.data {
        Data::List(items) => items.iter().map(item).collect(),
        Data::Text(text) if node.place.is_text() => text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| item(&Node { data: Data::Text(part.to_owned()), ..node.clone() }))
            .collect(),
        _ => expected(what, node),
    }
}

/// An exit code.
pub(super) fn exit_code(node: &Node) -> Parsed<i32> {
    match count(node) {
        Ok(code) if code <= 255 => Ok(i32::try_from(code).unwrap_or_default()),
        _ => expected("an exit code from 0 to 255", node),
    }
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
