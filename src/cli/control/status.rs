//! `mho status`: what runs, why, and what comes next.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Instant;

use chrono::TimeDelta;
use clap::Args;
use serde_json::Value;

use super::paint::Paper;
use super::table::render;
use crate::cli::layout::escaped;
use crate::cli::{Failure, Global, NOT_RUNNING, OK};
use crate::control::client::ClientError;
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
    if args.check {
        let (word, code, text) = judged(client.get("/api/v1/status"));
        writeln!(out, "{word}: {}", escaped(&text))?;
        return Ok(code);
    }
    let status: Status = client.get("/api/v1/status")?;
    out.write_all(render(&status, status.now.0, Paper::of_stdout()).as_bytes())?;
    Ok(OK)
}

/// As monitors want it. A daemon that is there and does not answer supervises nothing, as far as anybody can tell.
fn judged(answer: Result<Status, ClientError>) -> (&'static str, u8, String) {
    match answer {
        Ok(Status { verdict: Verdict { level, text }, .. }) => match level {
            Level::Ok | Level::Closed => ("OK", OK, text),
            Level::Attention => ("WARNING", WARNING, text),
            Level::Critical => ("CRITICAL", CRITICAL, text),
        },
        Err(error @ ClientError::NotRunning { .. }) => ("UNKNOWN", NOT_RUNNING, error.to_string()),
        Err(error) => ("CRITICAL", CRITICAL, error.to_string()),
    }
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
    /// Takes in what happened; None: a second has passed.
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
            let lines = visible(&text, paper.height).replace('\n', "\x1b[K\n");
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

/// What fits a terminal of so many lines; more would scroll, and what is written over it would not meet it. The last line is the cursor's.
fn visible(text: &str, height: Option<usize>) -> Cow<'_, str> {
    let (lines, room) = (text.lines().count(), height.map_or(usize::MAX, |height| height.saturating_sub(1)));
    if lines <= room {
        return Cow::Borrowed(text);
    }
    let kept = room.saturating_sub(1);
    let mut seen: String = text.split_inclusive('\n').take(kept).collect();
    seen += &format!("... {} more lines: make the window higher\n", lines - kept);
    Cow::Owned(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monitors_hear_what_is_wrong_and_a_daemon_that_hangs_is_critical() {
        let socket = std::path::PathBuf::from("state/mho.sock");
        let gone = ClientError::NotRunning { socket: socket.clone(), reason: io::ErrorKind::NotFound.into() };
        assert_eq!(judged(Err(gone)).1, NOT_RUNNING);
        let hangs = ClientError::Broken { socket, text: "it said nothing for 15 s".to_owned() };
        let (word, code, text) = judged(Err(hangs));
        assert_eq!((word, code), ("CRITICAL", CRITICAL));
        assert!(text.contains("nothing for 15 s"));
    }

    #[test]
    fn more_than_the_window_holds_is_not_written_into_it() {
        let text = "1\n2\n3\n4\n5\n";
        assert_eq!(visible(text, None), text);
        assert_eq!(visible(text, Some(6)), text);
        assert_eq!(visible(text, Some(5)), "1\n2\n3\n... 2 more lines: make the window higher\n");
        assert_eq!(visible(text, Some(1)).lines().count(), 1);
    }
}
