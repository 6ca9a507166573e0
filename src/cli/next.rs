//! `mho next`: the next boundaries.

use std::io::Write;

use chrono::Utc;

use super::{Failure, Global, OK};
use crate::domain::status::next_line;
use crate::domain::timeline::agenda;

/// Arguments of `mho next`.
#[derive(Clone, Debug, clap::Args)]
pub struct NextArgs {
    /// How many
    #[arg(short = 'n', value_name = "N", default_value_t = 10)]
    count: usize,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(global: &Global, args: &NextArgs, out: &mut dyn Write) -> Result<u8, Failure> {
    let settings = global.look()?;
    let zone = settings.default_calendar().zone();
    let found = agenda(&settings.scripts, &settings.calendars, &settings.market, Utc::now(), args.count);
    if found.len() < args.count {
        let last = settings.calendars.values().map(|calendar| *calendar.range().end()).max();
        let last = last.map_or_else(String::new, |date| format!(" on {date}"));
        // To stderr: with --json, stdout is JSON alone. Nobody may read it, which is no reason to fail.
        let _ = writeln!(std::io::stderr(), "mho: no more boundaries: the data of the calendars ends{last}");
    }
    for b in found {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&next_line(&b, zone)).unwrap_or_default())?;
        } else {
            let script = b.script.as_ref().map(|name| name.as_str());
            let at = b.at.with_timezone(&zone).format("%a %Y-%m-%d %H:%M:%S %Z");
            writeln!(out, "{at}  {:<8}  {}", b.kind.name(), script.unwrap_or("market"))?;
        }
    }
    Ok(OK)
}
