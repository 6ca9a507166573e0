//! How all is, in a word: for the eye, for `status --check`, for `readyz`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Script, Status};

/// How all is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing is due, and nothing is wrong.
    Closed,
    /// What is due runs.
    Ok,
    /// Something is out of plan, and may mend itself or is meant.
    Attention,
    /// Something that should run does not, and will not without help.
    Critical,
}

/// How all is, and the main reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// In a word.
    pub level: Level,
    /// In a sentence.
    pub text: String,
}

/// Whether a script should be running: its window is open, nobody holds it, its run is not over in a way that was meant, and it waits for no
/// other.
#[must_use]
pub fn is_expected(state: &str, result: Option<&str>, is_open: bool) -> bool {
    match state {
        "starting" | "running" | "backoff" => true,
        // Over for the date, but not as it should be; it says so until the next window opens.
        "failed" => is_open && !matches!(result, Some("missed" | "interrupted")),
        _ => false,
    }
}

/// Whether the window that a script shows has begun.
fn is_open(script: &Script, now: DateTime<Utc>) -> bool {
    script.window.is_some_and(|window| window.start.utc() <= now)
}

/// Those that should be running and are not.
#[must_use]
pub fn unready(status: &Status) -> Vec<&Script> {
    status.scripts.iter().filter(|script| script.expected && script.pid.is_none()).collect()
}

/// Whether something is so of a script.
type Test<'a> = &'a dyn Fn(&&Script) -> bool;

/// The verdict on what is known.
#[must_use]
pub fn verdict(scripts: &[Script], now: DateTime<Utc>, journal_ok: bool, killed_by: Option<&str>) -> Verdict {
    let named = |state: &dyn Fn(&&Script) -> bool| {
        let names: Vec<&str> = scripts.iter().filter(state).map(|script| &*script.name).collect();
        match names.as_slice() {
            [] => None,
            [one] => Some((*one).to_owned()),
            [one, two] => Some(format!("{one} and {two}")),
            [one, ..] => Some(format!("{one} and {} others", names.len() - 1)),
        }
    };
    let with = |level, text: String| Verdict { level, text };
    if let Some(names) = named(&|script| script.state == "failed" && is_open(script, now)) {
        return with(Level::Critical, format!("{names} failed"));
    }
    if let Some(path) = killed_by {
        return with(Level::Attention, format!("the kill file {path} exists: everything is stopped"));
    }
    if !journal_ok {
        return with(Level::Critical, "the journal cannot be written: a restart would forget what happens".to_owned());
    }
    let troubles: [(&str, Test<'_>); 5] = [
        ("crashed and will be tried again", &|script| script.state == "backoff"),
        // Nothing can be done until the next window opens, and it should not be forgotten until then.
        ("failed in the last window", &|script| script.state == "failed"),
        ("was stopped", &|script| script.state == "stopped"),
        ("is paused", &|script| script.state == "paused"),
        ("has a change of its configuration pending", &|script| !script.pending.is_empty()),
    ];
    for (what, is_so) in troubles {
        if let Some(names) = named(&is_so) {
            return with(Level::Attention, format!("{names} {what}"));
        }
    }
    let live = scripts.iter().filter(|script| script.pid.is_some()).count();
    match live {
        0 if scripts.iter().any(|script| matches!(&*script.state, "waiting" | "starting")) => {
            with(Level::Ok, "waiting to start".to_owned())
        }
        0 => with(Level::Closed, "nothing is due".to_owned()),
        1 => with(Level::Ok, "1 script runs".to_owned()),
        n => with(Level::Ok, format!("{n} scripts run")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// Its window is that of 2026-11-25, 08:30 to 16:00 in New York.
    fn script(name: &str, state: &str, pid: Option<u32>) -> Script {
        let window = json!({
            "trading_date": "2026-11-25", "start": "2026-11-25T08:30:00-05:00", "stop": "2026-11-25T16:00:00-05:00", "early_close": false,
        });
        let script = json!({
            "name": name, "state": state, "reason": "", "pid": pid, "attempt": 1, "restarts": 0, "forced": false, "expected": false,
            "command": "", "calendar": "XNYS", "critical": false, "depends_on": [], "holds": [], "pending": [], "window": window,
        });
        serde_json::from_value(script).unwrap()
    }

    fn level(state: &str, pid: Option<u32>, now: &str) -> Level {
        verdict(&[script("demo", state, pid)], at(now), true, None).level
    }

    const DAY: &str = "2026-11-25T15:00:00Z";
    /// The window that is shown is the coming one.
    const NIGHT: &str = "2026-11-25T03:00:00Z";

    #[test]
    fn a_failure_is_critical_while_something_can_be_done_about_it_and_remembered_until_the_next_window() {
        assert_eq!((level("failed", None, DAY), level("failed", None, NIGHT)), (Level::Critical, Level::Attention));
        assert!(is_expected("failed", Some("failed"), true) && !is_expected("failed", Some("failed"), false));
        assert!(!is_expected("failed", Some("missed"), true) && is_expected("backoff", None, false));
    }

    #[test]
    fn a_quiet_night_is_closed_and_a_quiet_day_is_ok() {
        for state in ["idle", "finished", "skipped", "disabled"] {
            assert_eq!(level(state, None, NIGHT), Level::Closed, "{state}");
        }
        assert_eq!((level("running", Some(1), DAY), level("waiting", None, DAY)), (Level::Ok, Level::Ok));
        for state in ["backoff", "stopped", "paused"] {
            assert_eq!(level(state, None, DAY), Level::Attention, "{state}");
        }
    }

    #[test]
    fn the_worst_is_told_first_and_names_are_counted() {
        let all = ["a", "b", "c"].map(|name| script(name, "failed", None));
        let told =
            |scripts: &[Script], journal_ok, killed: Option<&str>| verdict(scripts, at(DAY), journal_ok, killed).text;
        assert_eq!(told(&all[..1], true, None), "a failed");
        assert_eq!(told(&all[..2], true, None), "a and b failed");
        assert_eq!(told(&all, false, Some("/k")), "a and 2 others failed");
        let running = [script("a", "running", Some(1))];
        assert!(told(&running, false, Some("/k")).contains("kill file /k"));
        assert!(told(&running, false, None).contains("journal"));
        assert_eq!(told(&running, true, None), "1 script runs");
    }
}
