//! What a running daemon says to a change of the overrides, and what that means for whoever made it.

use std::io::Write;
use std::path::Path;

use crate::app::{self, ReloadResult, Told};
use crate::cli::{FAILED, Failure, OK};
use crate::config::Settings;

/// Asks the daemon to read the text of this digest. What was done is seen before it is waited for.
pub(super) fn ask(settings: &Settings, digest: &str, out: &mut dyn Write) -> Result<Told, Failure> {
    out.flush()?;
    Ok(app::ask_to_reload(&settings.orchestrator.state_dir, digest))
}

/// Says what came of it.
pub(super) fn report(settings: &Settings, id: &str, told: &Told, out: &mut dyn Write) -> Result<u8, Failure> {
    // Whoever uses it here would use it there, if the daemon had this configuration.
    let used = settings.calendars.contains_key(id).then_some(id);
    match judged(told, &settings.overrides_file, used, &settings.orchestrator.state_dir) {
        Ok(text) => {
            writeln!(out, "{text}")?;
            Ok(OK)
        }
        Err(text) => Err(Failure::new(FAILED, format!("it stands in the file, but {text}"))),
    }
}

/// What a daemon's answer means for the change.
pub(super) fn judged(told: &Told, ours: &Path, used: Option<&str>, state_dir: &Path) -> Result<String, String> {
    match told {
        Told::NoDaemon => Ok(format!("no daemon runs in {}: it takes effect when one starts", state_dir.display())),
        Told::Answered(answer) if !app::is_same_file(&answer.overrides_file, ours) => Err(format!(
            "the daemon (PID {}) reads another file, {}: run this with the same --config as the daemon",
            answer.pid,
            answer.overrides_file.display()
        )),
        Told::Answered(answer)
            if answer.result == ReloadResult::Unchanged
                && used.is_some_and(|id| !answer.calendars.iter().any(|known| known == id)) =>
        {
            Err(format!(
                "the daemon (PID {}) does not use the calendar {}, only {}: its configuration was changed since it started, or it has other flags; \
             start it again",
                answer.pid,
                used.unwrap_or_default(),
                answer.calendars.join(", ")
            ))
        }
        Told::Answered(answer) => match answer.result {
            ReloadResult::Changed => Ok(format!("in effect: the daemon (PID {}): {}", answer.pid, answer.text)),
            ReloadResult::Unchanged => {
                Ok(format!("the daemon (PID {}) has read it, and nothing changes for it: {}", answer.pid, answer.text))
            }
            ReloadResult::Refused => Err(format!(
                "the daemon (PID {}) has refused it and goes on as before: {}; mho check tells what is wrong",
                answer.pid, answer.text
            )),
        },
        Told::Silent { pid } => Err(format!(
            "the daemon (PID {pid}) was asked to read it and has not answered: if it is starting, that takes effect by itself; else ask \
             again with kill -HUP {pid}, and look into its log"
        )),
        Told::NotAsked { pid: Some(pid), reason } => {
            Err(format!("the daemon (PID {pid}) could not be asked to read it: {reason}; as its user, kill -HUP {pid}"))
        }
        Told::NotAsked { pid: None, reason } => Err(format!(
            "whether a daemon runs in {} cannot be told: {reason}; if one does, as its user, kill -HUP its PID",
            state_dir.display()
        )),
    }
}
