//! How all is, in a word: for the eye, for `status --check`, for `readyz`.

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

/// States in which a script that has a window should be up, and is not, or not for certain.
const LATE: [&str; 2] = ["backoff", "failed"];

/// Whether a script should be running: its window is open, nobody holds it, its run is not over in a way that was meant, and it waits for no
/// other.
#[must_use]
pub fn is_expected(state: &str, result: Option<&str>) -> bool {
    match state {
        "starting" | "running" | "backoff" => true,
        // Over for the date, but not as it should be; one whose window has ended shows its result until the next one opens.
        "failed" => !matches!(result, Some("missed" | "interrupted")),
        _ => false,
    }
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
pub fn verdict(scripts: &[Script], journal_ok: bool, killed_by: Option<&str>) -> Verdict {
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
    if let Some(names) = named(&|script| script.state == "failed") {
        return with(Level::Critical, format!("{names} failed"));
    }
    if let Some(path) = killed_by {
        return with(Level::Attention, format!("the kill file {path} exists: everything is stopped"));
    }
    if !journal_ok {
        return with(Level::Critical, "the journal cannot be written: a restart would forget what happens".to_owned());
    }
    let troubles: [(&str, Test<'_>); 4] = [
        ("crashed and will be tried again", &|script| LATE.contains(&&*script.state)),
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
