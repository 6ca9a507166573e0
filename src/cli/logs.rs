//! `mho logs`: what a script printed, from its files. Needs no daemon.

use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use chrono::NaiveDate;

use super::{FAILED, Failure, Global, OK, no_such_script, parse_date};
use crate::app::{LogReading, LogUnreadable};
use crate::config::Flags;

/// Arguments of `mho logs`.
#[derive(Clone, Debug, clap::Args)]
pub struct LogsArgs {
    /// Which script
    name: String,
    /// Go on as more is printed, across rotation and into the next trading date
    #[arg(short, long)]
    follow: bool,
    /// The last N lines
    #[arg(short = 'n', value_name = "N", default_value_t = 100)]
    lines: usize,
    /// Of this trading date [default: the latest]
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    date: Option<NaiveDate>,
    /// Where logs are, for a daemon that was started with the same flag [default: orchestrator.log_dir]
    #[arg(long, value_name = "DIR")]
    log_dir: Option<String>,
}

/// Between two looks for more.
const GLANCE: Duration = Duration::from_millis(200);

pub(super) fn run(global: &Global, args: &LogsArgs, out: &mut dyn Write) -> Result<u8, Failure> {
    let settings = global.look_with(Flags { log_dir: args.log_dir.clone(), ..Flags::default() })?;
    let script = settings.scripts.iter().find(|s| s.name.as_str() == args.name);
    let dir = &script.ok_or_else(|| no_such_script(&settings, &args.name))?.output.dir;
    let mut reading = LogReading::of_last_lines(dir, args.date, args.lines, u64::MAX)?;
    if reading.is_empty() && !args.follow {
        let what = args.date.map_or_else(String::new, |date| format!(" for {date}"));
        return Err(Failure::new(
            FAILED,
            format!(
                "{} has printed nothing{what}: no log in {}; --log-dir names another directory",
                args.name,
                dir.display()
            ),
        ));
    }
    loop {
        while let Some(piece) = reading.more()? {
            out.write_all(&piece)?;
        }
        out.flush()?;
        if !args.follow {
            return Ok(OK);
        }
        sleep(GLANCE);
    }
}

impl From<LogUnreadable> for Failure {
    fn from(error: LogUnreadable) -> Self {
        Self::new(FAILED, error)
    }
}
