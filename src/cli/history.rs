//! `mho history`: what became of the runs. Needs no daemon.

use std::io::{self, Write};

use chrono::{DateTime, NaiveDate, Utc};

use super::{FAILED, Failure, Global, OK, no_such_script, parse_date};
use crate::app::{self, PastRun};
use crate::domain::attempt::AttemptEnd;
use crate::domain::outcome::Exit;

/// Arguments of `mho history`.
#[derive(Clone, Debug, clap::Args)]
pub struct HistoryArgs {
    /// Of this script alone
    name: Option<String>,
    /// From this trading date on
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    from: Option<NaiveDate>,
    /// Up to this trading date
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    to: Option<NaiveDate>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(global: &Global, args: &HistoryArgs, out: &mut dyn Write) -> Result<u8, Failure> {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && to < from
    {
        return Err(Failure::new(super::USAGE, format!("--to {to} is before --from {from}")));
    }
    let settings = global.look()?;
    let dir = &settings.orchestrator.state_dir;
    let found = app::history(dir).map_err(|error| Failure::new(FAILED, error))?;
    // To stderr: with --json, stdout is JSON alone. Nobody may read it, which is no reason to fail.
    let mut hints = io::stderr();
    if found.is_none() {
        let _ =
            writeln!(hints, "mho: no history in {} yet: no daemon has run there; mho run starts one", dir.display());
    }
    let found = found.unwrap_or_default();
    for text in &found.unread {
        let _ = writeln!(hints, "mho: a row of {} cannot be read: {text}", dir.join("mho.db").display());
    }
    if let Some(name) = &args.name {
        let is_configured = settings.scripts.iter().any(|script| script.name.as_str() == name);
        if !is_configured && !found.runs.iter().any(|run| run.script.as_str() == name) {
            return Err(no_such_script(&settings, name));
        }
    }
    let is_wanted = |run: &&PastRun| {
        args.name.as_ref().is_none_or(|name| run.script.as_str() == name)
            && args.from.is_none_or(|from| run.trading_date >= from)
            && args.to.is_none_or(|to| run.trading_date <= to)
    };
    let runs: Vec<&PastRun> = found.runs.iter().filter(is_wanted).collect();
    if args.json {
        for run in &runs {
            // These types have nothing that JSON cannot hold.
            writeln!(out, "{}", serde_json::to_string(&run.line()).unwrap_or_default())?;
        }
    } else {
        write_table(&runs, out)?;
    }
    Ok(OK)
}

fn parts(end: &AttemptEnd) -> (Option<i32>, Option<String>) {
    match end.exit {
        None => (None, None),
        Some(Exit::Code(code)) => (Some(code), None),
        Some(Exit::Signal { signal, .. }) => (None, Some(signal.to_string())),
    }
}

/// The last column is as wide as it is; the others as their widest cell.
fn write_table(runs: &[&PastRun], out: &mut dyn Write) -> io::Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    let heads = ["DATE", "SCRIPT", "RESULT", "START", "END", "ATTEMPTS", "LAST EXIT", "REASON"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(heads).chain(runs.iter().map(|run| cells(run))).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..7).map(|column| width(column).unwrap_or_default()).collect();
    for row in &rows {
        let padded = row.iter().enumerate().map(|(column, cell)| match widths.get(column) {
            Some(width) => format!("{cell:<width$}  "),
            None => cell.clone(),
        });
        writeln!(out, "{}", padded.collect::<String>().trim_end())?;
    }
    Ok(())
}

fn cells(run: &PastRun) -> [String; 8] {
    let clock = |at: DateTime<Utc>| {
        let local = at.with_timezone(&run.zone);
        let time = if local.date_naive() == run.trading_date { "%H:%M:%S %Z" } else { "%Y-%m-%d %H:%M:%S %Z" };
        local.format(time).to_string()
    };
    let last = run.last_exit.map_or_else(String::new, |end| match parts(&end) {
        (Some(code), _) => format!("code {code}"),
        (None, Some(signal)) => signal,
        (None, None) => end.result.name().to_owned(),
    });
    // A table has a line for each run.
    let reason = run.reason.split_whitespace().collect::<Vec<_>>().join(" ");
    [
        run.trading_date.to_string(),
        run.script.to_string(),
        run.result.name().to_owned(),
        run.first_start.map_or_else(String::new, clock),
        run.end.map_or_else(String::new, clock),
        run.attempts.to_string(),
        last,
        reason,
    ]
}
