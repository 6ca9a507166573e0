//! Domain values as the tables hold them, and back.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::domain::attempt::AttemptEnd;
use crate::domain::outcome::{Exit, Signal};

pub(super) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

pub(super) fn read_instant(text: &str) -> Result<DateTime<Utc>, String> {
    let at = DateTime::parse_from_rfc3339(text).map_err(|error| format!("{text:?} is no instant: {error}"))?;
    Ok(at.with_timezone(&Utc))
}

pub(super) fn read_date(text: &str) -> Result<NaiveDate, String> {
    text.parse().map_err(|error| format!("{text:?} is no date: {error}"))
}

/// A word of one of the vocabularies.
pub(super) fn read_word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Value::from(text)).map_err(|_| format!("{text:?} is not known here"))
}

/// The columns of an exit: code, signal, out of memory.
pub(super) fn exit_columns(exit: Option<Exit>) -> (Option<i32>, Option<i32>, Option<bool>) {
    match exit {
        None => (None, None, None),
        Some(Exit::Code(code)) => (Some(code), None, None),
        Some(Exit::Signal { signal, out_of_memory }) => (None, Some(signal.number()), Some(out_of_memory)),
    }
}

/// An end that is told of by its columns; None where there is none.
pub(super) fn read_end(
    code: Option<i32>,
    signal: Option<i32>,
    result: Option<&str>,
    at: Option<&str>,
) -> Result<Option<AttemptEnd>, String> {
    let (Some(result), Some(at)) = (result, at) else { return Ok(None) };
    let signal = signal.map(|n| Signal::from_number(n).ok_or_else(|| format!("{n} is no signal"))).transpose()?;
    let exit = match (code, signal) {
        (Some(code), _) => Some(Exit::Code(code)),
        (None, Some(signal)) => Some(Exit::Signal { signal, out_of_memory: false }),
        (None, None) => None,
    };
    Ok(Some(AttemptEnd { exit, result: read_word(result)?, at: read_instant(at)? }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::{AttemptResult, RunResult};

    #[test]
    fn instants_have_one_length_and_come_back_to_the_millisecond() {
        let at = "2026-11-27T13:29:50.120987Z".parse().unwrap();
        assert_eq!(instant(at), "2026-11-27T13:29:50.120Z");
        assert_eq!(read_instant(&instant(at)).unwrap(), "2026-11-27T13:29:50.120Z".parse::<DateTime<Utc>>().unwrap());
        assert_eq!(instant("2026-11-27T13:29:50Z".parse().unwrap()).len(), instant(at).len());
        assert!(read_instant("yesterday").unwrap_err().contains("yesterday"));
    }

    #[test]
    fn words_are_the_public_ones() {
        for result in [RunResult::Running, RunResult::FinishedEarly, RunResult::StoppedByOperator, RunResult::Carried] {
            assert_eq!(read_word(result.name()), Ok(result));
        }
        assert_eq!(read_word(AttemptResult::KilledAfterGrace.name()), Ok(AttemptResult::KilledAfterGrace));
        assert!(read_word::<RunResult>("exploded").is_err());
    }

    #[test]
    fn an_end_comes_back_from_its_columns() {
        let at = "2026-11-27T13:29:50Z".parse().unwrap();
        let exit = Exit::Signal { signal: Signal::KILL, out_of_memory: false };
        for exit in [None, Some(Exit::Code(0)), Some(exit)] {
            let end = AttemptEnd { exit, result: AttemptResult::Lost, at };
            let (code, signal, _) = exit_columns(exit);
            assert_eq!(read_end(code, signal, Some("lost"), Some(&instant(at))), Ok(Some(end)));
        }
        assert_eq!(read_end(None, None, None, None), Ok(None));
        assert!(read_end(None, Some(99), Some("lost"), Some(&instant(at))).is_err());
    }
}
