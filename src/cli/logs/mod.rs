//! `mho logs`: what a script printed, from its files. Needs no daemon.

mod parts;

use std::collections::{HashSet, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use chrono::NaiveDate;
use parts::{Place, dates, oldest, part, unreadable};

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
        None => dates(dir)?.max(),
    };
    let (lines, newest) = date.map_or_else(|| Ok(Default::default()), |date| tail(dir, date, args.lines))?;
    if newest.is_none() && !args.follow {
        let what = args.date.map_or_else(String::new, |date| format!(" for {date}"));
        return Err(Failure::new(
            FAILED,
            format!("{} has printed nothing{what}: no log in {}", args.name, dir.display()),
        ));
    }
    for line in lines {
        out.write_all(&line)?;
    }
    out.flush()?;
    if args.follow {
        follow(dir, newest, args.date, out)?;
    }
    Ok(OK)
}

/// The last `count` lines of all parts together; the newest part first, since it mostly suffices. With them the newest part, read so far:
/// whoever follows goes on from there, so that no line is lost that comes meanwhile.
fn tail(dir: &Path, date: NaiveDate, count: usize) -> Result<(VecDeque<Vec<u8>>, Option<Place>), Failure> {
    let mut lines: VecDeque<Vec<u8>> = VecDeque::new();
    let mut newest = None;
    let mut read = HashSet::new();
    for number in 0.. {
        let Some(place) = Place::open(dir, date, number)? else {
            // In the middle of a rotation there is a gap for a moment.
            if number == 0 || part(dir, date, number + 1).exists() { continue } else { break }
        };
        // A rotation meanwhile moves what was read to the next number.
        if !read.insert(place.id) {
            continue;
        }
        let mut older: VecDeque<Vec<u8>> = VecDeque::new();
        let mut reader = BufReader::new(&place.file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).map_err(|error| unreadable(&part(dir, date, number), &error))? > 0 {
            older.push_back(std::mem::take(&mut line));
            if older.len() + lines.len() > count {
                older.pop_front();
            }
        }
        older.append(&mut lines);
        lines = older;
        newest.get_or_insert(place);
        if lines.len() >= count {
            break;
        }
    }
    Ok((lines, newest))
}

/// Prints what comes, for ever. Each file is read to its end before the next newer one, however many came meanwhile; without a date of its
/// own it goes on with later trading dates.
fn follow(dir: &Path, mut at: Option<Place>, only: Option<NaiveDate>, out: &mut dyn Write) -> Result<(), Failure> {
    loop {
        let next = match &mut at {
            None => match only.map_or_else(|| dates(dir).map(Iterator::min), |date| Ok(Some(date)))? {
                Some(date) => oldest(dir, date)?,
                None => None,
            },
            Some(place) => {
                copy(dir, place, out)?;
                // The later date first: once there is one, no part of this date comes any more that could be missed.
                let later = if only.is_none() { later(dir, place.date)? } else { None };
                let next = place.newer(dir)?.or(later);
                if next.is_some() {
                    copy(dir, place, out)?;
                }
                next
            }
        };
        if next.is_some() {
            at = next;
        } else {
            out.flush()?;
            sleep(GLANCE);
        }
    }
}

/// The first part of the next trading date with a log.
fn later(dir: &Path, date: NaiveDate) -> Result<Option<Place>, Failure> {
    let next = dates(dir)?.filter(|found| *found > date).min();
    next.map_or(Ok(None), |date| oldest(dir, date))
}

fn copy(dir: &Path, place: &mut Place, out: &mut dyn Write) -> Result<(), Failure> {
    let failed = |error: &io::Error| unreadable(&part(dir, place.date, 0), error);
    let file = &mut place.file;
    // Emptied by somebody: what follows stands at its beginning.
    if file.metadata().map_err(|e| failed(&e))?.len() < file.stream_position().map_err(|e| failed(&e))? {
        file.rewind().map_err(|e| failed(&e))?;
    }
    let mut chunk = [0; 64 * 1024];
    loop {
        match file.read(&mut chunk).map_err(|e| failed(&e))? {
            0 => return Ok(()),
            n => out.write_all(chunk.get(..n).unwrap_or_default())?,
        }
    }
}
