//! Orders: each returns when it is done, with what came of it.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use chrono::NaiveDate;
use clap::Args;
use serde_json::Value;

use super::{OneArgs, Why, checked};
use crate::cli::{FAILED, Failure, Global, OK, parse_date};

/// An order is waited for as long as this; then it says how far it has come.
const WAIT: Duration = Duration::from_secs(600);

/// Arguments of `mho start`.
#[derive(Clone, Debug, Args)]
pub struct StartArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Also where it has finished, is paused, skipped or disabled, waits for others, or is outside its window
    #[arg(long)]
    force: bool,
}

/// Arguments of `mho skip`.
#[derive(Clone, Debug, Args)]
pub struct SkipArgs {
    #[command(flatten)]
    one: OneArgs,
    /// This trading date [default: today's if it has not begun, else the next]
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    date: Option<NaiveDate>,
}

/// Whom an order is for.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
struct OneOrAll {
    /// Which script
    name: Option<String>,
    /// All scripts, also those that are added later
    #[arg(long)]
    all: bool,
}

/// Arguments of `mho pause`.
#[derive(Clone, Debug, Args)]
pub struct PauseArgs {
    #[command(flatten)]
    whom: OneOrAll,
    /// Until this time: HH:MM, YYYY-MM-DD or YYYY-MM-DDTHH:MM in the calendar's zone [default: until mho resume]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Stop what runs, too: its run is over for the trading date
    #[arg(long)]
    stop: bool,
    #[command(flatten)]
    why: Why,
}

/// Arguments of `mho resume`.
#[derive(Clone, Debug, Args)]
pub struct ResumeArgs {
    #[command(flatten)]
    whom: OneOrAll,
    #[command(flatten)]
    why: Why,
}

/// Arguments of `mho reload`.
#[derive(Clone, Debug, Args)]
pub struct ReloadArgs {
    /// Restart running scripts whose changes need a new process
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    why: Why,
}

pub(in crate::cli) fn start(global: &Global, args: &StartArgs, out: &mut dyn Write) -> Result<u8, Failure> {
    one(global, &args.one, "start", &[("force", args.force.then(|| "1".to_owned()))], out)
}

pub(in crate::cli) fn stop(global: &Global, args: &OneArgs, out: &mut dyn Write) -> Result<u8, Failure> {
    one(global, args, "stop", &[], out)
}

pub(in crate::cli) fn restart(global: &Global, args: &OneArgs, out: &mut dyn Write) -> Result<u8, Failure> {
    one(global, args, "restart", &[], out)
}

pub(in crate::cli) fn skip(global: &Global, args: &SkipArgs, out: &mut dyn Write) -> Result<u8, Failure> {
    one(global, &args.one, "skip", &[("date", args.date.map(|date| date.to_string()))], out)
}

pub(in crate::cli) fn pause(global: &Global, args: &PauseArgs, out: &mut dyn Write) -> Result<u8, Failure> {
    let more = [("until", args.until.clone()), ("stop", args.stop.then(|| "1".to_owned()))];
    send(global, &path(args.whom.name.as_deref(), "pause")?, &more, &args.why, out)
}

pub(in crate::cli) fn resume(global: &Global, args: &ResumeArgs, out: &mut dyn Write) -> Result<u8, Failure> {
    send(global, &path(args.whom.name.as_deref(), "resume")?, &[], &args.why, out)
}

pub(in crate::cli) fn reload(global: &Global, args: &ReloadArgs, out: &mut dyn Write) -> Result<u8, Failure> {
    let more = [("restart", args.restart.then(|| "1".to_owned()))];
    send(global, "/api/v1/reload", &more, &args.why, out)
}

fn one(
    global: &Global,
    args: &OneArgs,
    verb: &str,
    more: &[(&str, Option<String>)],
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    send(global, &path(Some(&args.name), verb)?, more, &args.why, out)
}

fn path(name: Option<&str>, verb: &str) -> Result<String, Failure> {
    match name {
        Some(name) => Ok(format!("/api/v1/scripts/{}/{verb}", checked(name)?)),
        None => Ok(format!("/api/v1/{verb}")),
    }
}

fn send(
    global: &Global,
    path: &str,
    more: &[(&str, Option<String>)],
    why: &Why,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let wait = Some(format!("{}s", WAIT.as_secs()));
    let all = more.iter().cloned().chain([("reason", why.reason.clone()), ("wait", wait)]);
    let query: Vec<(&str, String)> = all.filter_map(|(key, value)| Some((key, value?))).collect();
    let query = serde_urlencoded::to_string(&query).map_err(|error| Failure::new(FAILED, error))?;
    let answer: Value = global.client()?.post(&format!("{path}?{query}"), WAIT, say_that_it_takes_time)?;
    let is = |key: &str| answer.get(key).and_then(Value::as_bool).unwrap_or(false);
    let (ok, done) = (is("ok"), is("done"));
    let message = answer.get("message").and_then(Value::as_str).unwrap_or_default();
    if why.json {
        writeln!(out, "{answer}")?;
    } else if ok {
        writeln!(out, "{message}")?;
    }
    if ok && done {
        return Ok(OK);
    }
    if why.json || ok {
        return Ok(FAILED);
    }
    Err(Failure::new(FAILED, message))
}

/// To whoever sits there: a script may be given minutes to end.
fn say_that_it_takes_time() {
    let mut people = io::stderr();
    if people.is_terminal() {
        let _ = writeln!(
            people,
            "mho: not done yet: waiting. Ctrl-C ends the waiting, not the order; mho status tells more"
        );
    }
}
