//! `mho simulate`: what would happen, on virtual time, with processes that are not there.

use std::io::Write;
use std::time::Duration;

use chrono::{Days, NaiveDate, NaiveTime};
use serde_json::Value;

use super::{FAILED, Failure, Global, OK, USAGE, no_such_script, parse_date};
use crate::app::{Act, Pretence, simulate};
use crate::config::Settings;
use crate::domain::script::ScriptName;
use crate::domain::time::resolve_local;

/// Arguments of `mho simulate`.
#[derive(Clone, Debug, clap::Args)]
pub struct SimulateArgs {
    /// First day
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    from: NaiveDate,
    /// Last day [default: the first]
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    to: Option<NaiveDate>,
    /// An attempt of NAME exits with CODE after DURATION; given again: successive attempts, the last repeats
    #[arg(long, value_name = "NAME=CODE@DURATION", value_parser = parse_exit)]
    exit: Vec<(String, Act)>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

fn parse_exit(text: &str) -> Result<(String, Act), String> {
    let usage = || "use NAME=CODE@DURATION, such as demo=42@90m".to_owned();
    let (name, rest) = text.split_once('=').ok_or_else(usage)?;
    let (code, after) = rest.split_once('@').ok_or_else(usage)?;
    let code = code.parse::<u8>().map_err(|_| format!("{code:?} is not an exit code from 0 to 255"))?;
    let after = match after.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => humantime::parse_duration(after).map_err(|error| format!("{after:?} is not a duration: {error}"))?,
    };
    Ok((name.to_owned(), Act::Exit(code.into(), after)))
}

pub(super) fn run(global: &Global, args: &SimulateArgs, out: &mut dyn Write) -> Result<u8, Failure> {
    let settings = global.look()?;
    let calendar = settings.default_calendar();
    let (from, to) = (args.from, args.to.unwrap_or(args.from));
    if to < from {
        return Err(Failure::new(USAGE, format!("--to {to} is before --from {from}")));
    }
    for date in [from, to] {
        calendar.is_session(date).map_err(|error| Failure::new(USAGE, error))?;
    }
    in_range(&settings, [from, to])?;
    let pretence = pretence(&settings, &args.exit)?;
    let midnight = |date: NaiveDate| resolve_local(calendar.zone(), date.and_time(NaiveTime::MIN));
    let end = midnight(to.checked_add_days(Days::new(1)).unwrap_or(to));
    let events = simulate(&settings, &pretence, midnight(from), end).map_err(|error| {
        Failure::new(FAILED, format!("cannot simulate: {error}; look at the limits of open files (ulimit -a)"))
    })?;
    for event in events {
        if args.json {
            writeln!(out, "{event}")?;
        } else {
            writeln!(out, "{}", sentence(&event))?;
        }
    }
    Ok(OK)
}

/// Whether the calendars of all scripts that would run know these dates.
fn in_range(settings: &Settings, dates: [NaiveDate; 2]) -> Result<(), Failure> {
    for spec in settings.scripts.iter().filter(|spec| spec.enabled) {
        let Some(calendar) = settings.calendars.get(&spec.window.calendar) else { continue };
        for date in dates {
            calendar.is_session(date).map_err(|error| Failure::new(USAGE, format!("script {}: {error}", spec.name)))?;
        }
    }
    Ok(())
}

fn pretence(settings: &Settings, exits: &[(String, Act)]) -> Result<Pretence, Failure> {
    let mut pretence = Pretence::new();
    for (name, act) in exits {
        let known = ScriptName::new(name).ok().filter(|name| settings.scripts.iter().any(|s| s.name == *name));
        let name = known.ok_or_else(|| no_such_script(settings, name))?;
        pretence.entry(name).or_default().push(act.clone());
    }
    Ok(pretence)
}

/// `Fri 2026-11-27 13:00:00 -05:00  demo  stop  window end`
fn sentence(event: &Value) -> String {
    let text = |key: &str| event[key].as_str().unwrap_or_default();
    let details: Vec<String> = ["code", "signal", "delay_ms", "result", "reason"]
        .iter()
        .filter(|key| !event[**key].is_null())
        .map(|key| match &event[*key] {
            Value::String(value) if *key == "reason" => value.clone(),
            Value::String(value) => format!("{key}={value}"),
            value => format!("{key}={value}"),
        })
        .collect();
    let at = text("at").replacen('T', " ", 1);
    format!("{at}  {:<12} {:<17} {}", text("script"), text("event"), details.join(", ")).trim_end().to_owned()
}
