//! What a script finds in its environment (SPEC section 5). The daemon and `mho exec` use the same function.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chrono::{DateTime, SecondsFormat, Utc};
use nix::libc;

use crate::domain::outcome::SpawnError;
use crate::domain::script::{EnvFile, Launch};
use crate::ports::{AttemptId, LaunchContext, RestartCause};

/// Who starts the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Random, one per state directory.
    pub daemon_id: String,
    /// The market clock is not the real one.
    pub rehearsal: bool,
}

impl Identity {
    /// The value of `MHO_RUN_ID`: unique among all daemons.
    #[must_use]
    pub fn run_id(&self, attempt: &AttemptId) -> String {
        format!("{}.{}.{}", self.daemon_id, attempt.script, attempt.trading_date)
    }
}

/// The whole environment of one attempt; `from_file` are the variables of its `env_file`.
pub fn environment(
    inherited: impl IntoIterator<Item = (OsString, OsString)>,
    from_file: Vec<(String, String)>,
    launch: &Launch,
    attempt: &AttemptId,
    context: &LaunchContext,
    identity: &Identity,
) -> Vec<(OsString, OsString)> {
    let mut all: BTreeMap<OsString, OsString> = BTreeMap::new();
    if launch.inherit_env {
        all.extend(inherited.into_iter().filter(|(name, _)| !is_private(name)));
    }
    let own = launch.env.iter().map(|(name, value)| (name.clone(), value.clone()));
    all.extend(from_file.into_iter().chain(own).map(|(name, value)| (name.into(), value.into())));
    all.entry("PYTHONUNBUFFERED".into()).or_insert_with(|| "1".into());
    all.extend(told(attempt, context, identity).map(|(name, value)| (name.into(), value.into())));
    all.into_iter().collect()
}

/// `inherited` without variables that hold what no script should know.
pub fn without(
    inherited: impl IntoIterator<Item = (OsString, OsString)>,
    hidden: &[String],
) -> impl Iterator<Item = (OsString, OsString)> {
    inherited.into_iter().filter(|(name, _)| !is_private(name) && !hidden.iter().any(|hidden| name == hidden.as_str()))
}

/// Variables that speak to the daemon, not to a script.
fn is_private(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    matches!(name, b"NOTIFY_SOCKET" | b"INVOCATION_ID" | b"JOURNAL_STREAM")
        || [&b"WATCHDOG_"[..], b"LISTEN_", b"MHO_"].iter().any(|prefix| name.starts_with(prefix))
}

fn told(
    attempt: &AttemptId,
    context: &LaunchContext,
    identity: &Identity,
) -> impl Iterator<Item = (&'static str, String)> {
    let flag = |set: bool| if set { "1" } else { "0" }.to_owned();
    let cause = context.restarted_after.map_or("", RestartCause::name);
    [
        ("MHO_SCRIPT", attempt.script.to_string()),
        ("MHO_RUN_ID", identity.run_id(attempt)),
        ("MHO_ATTEMPT", attempt.number.to_string()),
        ("MHO_TRADING_DATE", attempt.trading_date.to_string()),
        ("MHO_SESSION_OPEN", instant(context.session_open)),
        ("MHO_SESSION_CLOSE", instant(context.session_close)),
        ("MHO_STOP_AT", instant(context.stop_at)),
        ("MHO_DEADLINE", context.deadline.map(instant).unwrap_or_default()),
        ("MHO_EARLY_CLOSE", flag(context.early_close)),
        ("MHO_REHEARSAL", flag(identity.rehearsal)),
        ("MHO_RESTARTED_AFTER", cause.to_owned()),
        ("MHO_DAEMON_ID", identity.daemon_id.clone()),
    ]
    .into_iter()
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A pipe or a device would keep the whole daemon waiting.
fn read_regular(path: &Path) -> io::Result<String> {
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// The variables of a dotenv file, in its order. The texts of the errors hold no value of the file.
pub fn read_env_file(file: &EnvFile) -> Result<Vec<(String, String)>, SpawnError> {
    let path = file.path.display();
    let text = match read_regular(&file.path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.optional => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(SpawnError(format!(
                "env_file {path} does not exist: create it, correct `env_file`, or write \"-{path}\" if it is optional"
            )));
        }
        Err(error) => return Err(SpawnError(format!("env_file {path} cannot be read: {error}"))),
    };
    dotenvy::from_read_iter(text.as_bytes()).collect::<Result<_, _>>().map_err(|error| {
        let place = match error {
            dotenvy::Error::LineParse(line, _) => text.lines().position(|found| found.contains(line.trim())),
            _ => None,
        };
        let place = place.map(|index| format!(" line {}", index + 1)).unwrap_or_default();
        SpawnError(format!("env_file {path}{place} is not of the form NAME=VALUE: quote values that hold spaces"))
    })
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;
    use crate::domain::script::{ScriptName, ScriptSpec};

    fn built(
        change: impl FnOnce(&mut Launch),
        inherited: &[(&str, &str)],
        from_file: &[(&str, &str)],
    ) -> BTreeMap<String, String> {
        let mut launch = ScriptSpec::with_defaults("demo", "/bin/true").launch;
        change(&mut launch);
        let date = NaiveDate::from_ymd_opt(2026, 11, 27).expect("a date");
        let at = |hour| date.and_hms_opt(hour, 0, 0).expect("a time").and_utc();
        let attempt = AttemptId { script: ScriptName::new("demo").expect("a name"), trading_date: date, number: 3 };
        let context = LaunchContext {
            session_open: at(14),
            session_close: at(18),
            early_close: true,
            stop_at: at(18),
            deadline: None,
            restarted_after: Some(RestartCause::Crash),
        };
        let identity = Identity { daemon_id: "d1".to_owned(), rehearsal: false };
        let inherited = inherited.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let from_file = from_file.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        environment(inherited, from_file, &launch, &attempt, &context, &identity)
            .into_iter()
            .map(|(name, value)| (name.into_string().expect("text"), value.into_string().expect("text")))
            .collect()
    }

    #[test]
    fn a_script_is_told_of_its_run() {
        let all = built(|_| {}, &[], &[]);
        for (name, value) in [
            ("MHO_SCRIPT", "demo"),
            ("MHO_RUN_ID", "d1.demo.2026-11-27"),
            ("MHO_ATTEMPT", "3"),
            ("MHO_TRADING_DATE", "2026-11-27"),
            ("MHO_SESSION_OPEN", "2026-11-27T14:00:00Z"),
            ("MHO_SESSION_CLOSE", "2026-11-27T18:00:00Z"),
            ("MHO_STOP_AT", "2026-11-27T18:00:00Z"),
            ("MHO_DEADLINE", ""),
            ("MHO_EARLY_CLOSE", "1"),
            ("MHO_REHEARSAL", "0"),
            ("MHO_RESTARTED_AFTER", "crash"),
            ("MHO_DAEMON_ID", "d1"),
            ("PYTHONUNBUFFERED", "1"),
        ] {
            assert_eq!(all.get(name).map(String::as_str), Some(value), "{name}");
        }
    }

    #[test]
    fn what_speaks_to_the_daemon_is_not_handed_on() {
        let private = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "INVOCATION_ID", "JOURNAL_STREAM", "MHO_CONFIG"];
        let mut inherited: Vec<_> = private.iter().map(|name| (*name, "x")).collect();
        inherited.push(("HOME", "/home/t"));
        let all = built(|_| {}, &inherited, &[]);
        assert!(private.iter().all(|name| !all.contains_key(*name)), "{all:?}");
        assert_eq!(all.get("HOME").map(String::as_str), Some("/home/t"));
        assert!(!built(|launch| launch.inherit_env = false, &inherited, &[]).contains_key("HOME"));
    }

    #[test]
    fn the_configured_value_wins_over_the_file_and_the_file_over_the_daemon() {
        let set = |launch: &mut Launch| drop(launch.env.insert("A".to_owned(), "env".to_owned()));
        let all =
            built(set, &[("A", "daemon"), ("B", "daemon"), ("PYTHONUNBUFFERED", "")], &[("A", "file"), ("B", "file")]);
        assert_eq!((all["A"].as_str(), all["B"].as_str(), all["PYTHONUNBUFFERED"].as_str()), ("env", "file", ""));
    }

    #[test]
    fn the_error_of_a_bad_env_file_names_the_line_and_no_value() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("bad.env");
        std::fs::write(&path, "GOOD=1\nTOKEN=top secret\n").expect("written");
        let error = read_env_file(&EnvFile { path: path.clone(), optional: false }).expect_err("a fault").0;
        assert!(error.contains("line 2") && !error.contains("secret"), "{error}");
        let missing = EnvFile { path: dir.path().join("none.env"), optional: true };
        assert_eq!(read_env_file(&missing), Ok(Vec::new()));
        let error = read_env_file(&EnvFile { optional: false, ..missing }).expect_err("missing").0;
        assert!(error.contains("does not exist"), "{error}");
    }

    #[test]
    fn variables_that_hold_secrets_of_alerts_are_left_out() {
        let inherited = [("SLACK_URL", "x"), ("HOME", "/root"), ("MHO_CONFIG", "y")].map(|(k, v)| (k.into(), v.into()));
        let left: Vec<_> = without(inherited, &["SLACK_URL".to_owned()]).collect();
        assert_eq!(left, [("HOME".into(), "/root".into())]);
    }

    #[test]
    fn a_pipe_is_no_env_file_and_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pipe.env");
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
        assert!(made.success());
        let error = read_env_file(&EnvFile { path, optional: false }).expect_err("refused").0;
        assert!(error.contains("cannot be read: it is not a regular file"), "{error}");
    }
}
