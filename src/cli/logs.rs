//! `mho logs`: what a script printed, from its files. Needs no daemon.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use chrono::NaiveDate;

use super::{FAILED, Failure, Global, OK, no_such_script};

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
    #[arg(long, value_name = "DATE")]
    date: Option<NaiveDate>,
}

/// Between two looks for more.
const GLANCE: Duration = Duration::from_millis(200);

pub(super) fn run(global: &Global, args: &LogsArgs, out: &mut dyn Write) -> Result<u8, Failure> {
    let settings = global.look()?;
    let script = settings.scripts.iter().find(|s| s.name.as_str() == args.name);
    let dir = &script.ok_or_else(|| no_such_script(&settings, &args.name))?.output.dir;
    let date = match args.date {
        Some(date) => Some(date),
        None => latest(dir)?,
    };
    let Some(date) = date.filter(|date| args.follow || !parts(dir, *date).is_empty()) else {
        let what = args.date.map_or_else(String::new, |date| format!(" for {date}"));
        return Err(Failure::new(
            FAILED,
            format!("{} has printed nothing{what}: no log in {}", args.name, dir.display()),
        ));
    };
    let (lines, shown) = tail(&parts(dir, date), args.lines)?;
    for line in lines {
        out.write_all(&line)?;
    }
    out.flush()?;
    if args.follow {
        follow(dir, date, shown, args.date.is_none(), out)?;
    }
    Ok(OK)
}

fn live(dir: &Path, date: NaiveDate) -> PathBuf {
    dir.join(format!("{date}.log"))
}

/// The latest trading date with a log.
fn latest(dir: &Path) -> io::Result<Option<NaiveDate>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    let date = |name: &str| name.split_once(".log").and_then(|(date, _)| date.parse().ok());
    Ok(entries.filter_map(|entry| date(entry.ok()?.file_name().to_str()?)).max())
}

/// The files of a date that exist, oldest first.
fn parts(dir: &Path, date: NaiveDate) -> Vec<PathBuf> {
    let rotated = (1..).map(|n| dir.join(format!("{date}.log.{n}"))).take_while(|path| path.exists());
    let mut parts: Vec<_> = std::iter::once(live(dir, date)).filter(|path| path.exists()).chain(rotated).collect();
    parts.reverse();
    parts
}

/// The last `count` lines of all parts together; the newest part first, since it mostly suffices. With them the newest part, read so far:
/// whoever follows goes on from there, so that no line is lost that comes meanwhile.
fn tail(parts: &[PathBuf], count: usize) -> io::Result<(VecDeque<Vec<u8>>, Option<File>)> {
    let mut lines: VecDeque<Vec<u8>> = VecDeque::new();
    let mut newest = None;
    for part in parts.iter().rev() {
        let mut older: VecDeque<Vec<u8>> = VecDeque::new();
        let file = File::open(part)?;
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            older.push_back(std::mem::take(&mut line));
            if older.len() + lines.len() > count {
                older.pop_front();
            }
        }
        older.append(&mut lines);
        lines = older;
        newest.get_or_insert(file);
        if lines.len() >= count {
            break;
        }
    }
    Ok((lines, newest))
}

/// Prints what comes, for ever. A rotated file is read to its end before the new one; `roams`: a later trading date takes over.
fn follow(dir: &Path, mut date: NaiveDate, mut file: Option<File>, roams: bool, out: &mut dyn Write) -> io::Result<()> {
    loop {
        if let Some(file) = &mut file {
            copy(file, out)?;
        }
        if roams && let Some(newest) = latest(dir)?.filter(|newest| *newest > date) {
            date = newest;
            if let Some(mut old) = file.take() {
                copy(&mut old, out)?;
            }
        }
        let there = fs::metadata(live(dir, date)).ok().map(|m| (m.dev(), m.ino()));
        let ours = file.as_ref().and_then(|f| f.metadata().ok()).map(|m| (m.dev(), m.ino()));
        if there.is_some() && there != ours {
            if let Some(old) = &mut file {
                copy(old, out)?;
            }
            file = File::open(live(dir, date)).ok();
            continue;
        }
        out.flush()?;
        sleep(GLANCE);
    }
}

fn copy(file: &mut File, out: &mut dyn Write) -> io::Result<()> {
    let mut chunk = [0; 64 * 1024];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(()),
            n => out.write_all(chunk.get(..n).unwrap_or_default())?,
        }
    }
}
