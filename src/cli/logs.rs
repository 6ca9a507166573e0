//! `mho logs`: what a script printed, from its files. Needs no daemon.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

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

/// A file that is being read, which may get another name meanwhile.
struct Place {
    date: NaiveDate,
    file: File,
    id: (u64, u64),
}

impl Place {
    /// The part of this number, 0 is the live one; None if there is none.
    fn open(dir: &Path, date: NaiveDate, number: usize) -> Result<Option<Self>, Failure> {
        let path = part(dir, date, number);
        let opened = File::open(&path).and_then(|file| Ok((id(&file.metadata()?), file)));
        match opened {
            Ok((id, file)) => Ok(Some(Self { date, file, id })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(&path, &error)),
        }
    }

    fn modified(&self) -> Option<SystemTime> {
        self.file.metadata().and_then(|found| found.modified()).ok()
    }
}

fn part(dir: &Path, date: NaiveDate, number: usize) -> PathBuf {
    dir.join(if number == 0 { format!("{date}.log") } else { format!("{date}.log.{number}") })
}

fn id(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

fn id_of(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().as_ref().map(id)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    Failure::new(FAILED, format!("cannot read {path}: {error}; look at what is there, and who may read it"))
}

/// The trading dates with a log.
fn dates(dir: &Path) -> Result<impl Iterator<Item = NaiveDate> + use<>, Failure> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        entries => Some(entries.map_err(|error| unreadable(dir, &error))?),
    };
    let date = |name: &str| name.split_once(".log").and_then(|(date, _)| date.parse().ok());
    Ok(entries.into_iter().flatten().filter_map(move |entry| date(entry.ok()?.file_name().to_str()?)))
}

/// How many rotated parts there are: up to the first gap.
fn rotated(dir: &Path, date: NaiveDate) -> usize {
    (1..).take_while(|number| part(dir, date, *number).exists()).last().unwrap_or(0)
}

/// The last `count` lines of all parts together; the newest part first, since it mostly suffices. With them the newest part, read so far:
/// whoever follows goes on from there, so that no line is lost that comes meanwhile.
fn tail(dir: &Path, date: NaiveDate, count: usize) -> Result<(VecDeque<Vec<u8>>, Option<Place>), Failure> {
    let mut lines: VecDeque<Vec<u8>> = VecDeque::new();
    let mut newest = None;
    let mut read = HashSet::new();
    for number in 0.. {
        let Some(place) = Place::open(dir, date, number)? else {
            // Between two files there is no live one for a moment.
            if number == 0 { continue } else { break }
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
                let next = match newer(dir, place)? {
                    None if only.is_none() => later(dir, place.date)?,
                    next => next,
                };
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

/// The part that was begun after this one.
fn newer(dir: &Path, place: &Place) -> Result<Option<Place>, Failure> {
    loop {
        let count = rotated(dir, place.date);
        match (0..=count).find(|number| id_of(&part(dir, place.date, *number)) == Some(place.id)) {
            Some(0) => return Ok(None),
            Some(number) => {
                let next = Place::open(dir, place.date, number - 1)?;
                // Else the parts moved while we looked; a rotation begins with the oldest.
                if id_of(&part(dir, place.date, number)) == Some(place.id) {
                    return Ok(next);
                }
            }
            // Removed: by hand, then there are older parts; or because so many came after it.
            None => {
                for number in (0..=count).rev() {
                    let next = Place::open(dir, place.date, number)?;
                    if let Some(next) = next.filter(|next| number == 0 || next.modified() >= place.modified()) {
                        return Ok(Some(next));
                    }
                }
                return Ok(None);
            }
        }
    }
}

/// The first part of the next trading date with a log.
fn later(dir: &Path, date: NaiveDate) -> Result<Option<Place>, Failure> {
    let next = dates(dir)?.filter(|found| *found > date).min();
    next.map_or(Ok(None), |date| oldest(dir, date))
}

fn oldest(dir: &Path, date: NaiveDate) -> Result<Option<Place>, Failure> {
    Place::open(dir, date, rotated(dir, date))
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
