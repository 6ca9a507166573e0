//! `mho status`: what runs, why, and what comes next.

use std::io::{self, Write};
use std::time::Instant;

use chrono::TimeDelta;
use clap::Args;
use serde_json::Value;

use super::paint::Paper;
use super::table::render;
use crate::cli::{Failure, Global, NOT_RUNNING, OK};
use crate::domain::status::{Level, Market, Script, Status, Verdict};

/// Arguments of `mho status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// One JSON object
    #[arg(long, conflicts_with_all = ["watch", "check"])]
    json: bool,
    /// Stay, and show each change as it happens
    #[arg(long, conflicts_with = "check")]
    watch: bool,
    /// One line, for monitors: exit code 0 ok, 1 warning, 2 critical
    #[arg(long)]
    check: bool,
}

/// Exit code of `--check` where something is out of plan.
const WARNING: u8 = 1;

/// Exit code of `--check` where something that should run does not.
const CRITICAL: u8 = 2;

pub(in crate::cli) fn status(global: &Global, args: &StatusArgs, out: &mut dyn Write) -> Result<u8, Failure> {
    let client = global.client()?;
    if args.json {
        // As the daemon says it.
        out.write_all(client.text("/api/v1/status")?.as_bytes())?;
        return Ok(OK);
    }
    if args.watch {
        return watch(global, out);
    }
    let status: Status = client.get("/api/v1/status")?;
    if args.check {
        let (word, code) = match status.verdict.level {
            Level::Ok | Level::Closed => ("OK", OK),
            Level::Attention => ("WARNING", WARNING),
            Level::Critical => ("CRITICAL", CRITICAL),
        };
        writeln!(out, "{word}: {}", status.verdict.text)?;
        return Ok(code);
    }
    out.write_all(render(&status, status.now.0, Paper::of_stdout()).as_bytes())?;
    Ok(OK)
}

/// Until the daemon ends, or whoever watches.
fn watch(global: &Global, out: &mut dyn Write) -> Result<u8, Failure> {
    let mut screen = Screen { latest: None, out };
    global.client()?.watch("/api/v1/events", |event| screen.hear(event))?;
    Err(Failure::new(NOT_RUNNING, "the daemon has ended"))
}

/// What is shown, and since when it is known.
struct Screen<'a> {
    latest: Option<(Status, Instant)>,
    out: &'a mut dyn Write,
}

impl Screen<'_> {
    /// Takes in what happened; None: nothing, for a second.
    fn hear(&mut self, event: Option<(&str, &str)>) -> io::Result<()> {
        let paper = Paper::of_stdout();
        if let Some((kind, data)) = event {
            if !self.take_in(kind, data) {
                return Ok(());
            }
        } else if !paper.is_terminal {
            return Ok(()); // a file needs no ticking clock
        }
        let Some((status, since)) = &self.latest else { return Ok(()) };
        let passed = since.elapsed().mul_f64(status.speed.max(0.0));
        let now = status.now.0 + TimeDelta::from_std(passed).unwrap_or_default();
        let text = render(status, now, paper);
        if paper.is_terminal {
            // Home, each line to its end, and what is left below.
            let lines = text.replace('\n', "\x1b[K\n");
            write!(self.out, "\x1b[H{lines}\x1b[J")?;
        } else {
            writeln!(self.out, "{text}")?;
        }
        self.out.flush()
    }

    /// Whether there is something else to see than before.
    fn take_in(&mut self, kind: &str, data: &str) -> bool {
        if kind == "status" {
            let is_first = self.latest.is_none();
            self.latest = serde_json::from_str(data).ok().map(|status| (status, Instant::now()));
            if is_first && Paper::of_stdout().is_terminal {
                let _ = self.out.write_all(b"\x1b[2J");
            }
            return true;
        }
        let Some((status, _)) = &mut self.latest else { return false };
        match kind {
            "state" => {
                let Ok(script) = serde_json::from_str::<Script>(data) else { return false };
                match status.scripts.iter_mut().find(|known| known.name == script.name) {
                    Some(known) => *known = script,
                    None => status.scripts.push(script),
                }
                true
            }
            "gone" => {
                let Ok(gone) = serde_json::from_str::<Value>(data) else { return false };
                status.scripts.retain(|script| gone.get("name").and_then(Value::as_str) != Some(&script.name));
                true
            }
            "market" => match serde_json::from_str::<Market>(data) {
                Ok(market) => {
                    status.market = market;
                    true
                }
                Err(_) => false,
            },
            "verdict" => match serde_json::from_str::<Value>(data) {
                Ok(told) => {
                    let verdict = told.get("verdict").cloned().unwrap_or_default();
                    if let Ok(verdict) = serde_json::from_value::<Verdict>(verdict) {
                        status.verdict = verdict;
                    }
                    true
                }
                Err(_) => false,
            },
            _ => false,
        }
    }
}
