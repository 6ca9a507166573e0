//! A file that is rotated at newlines, comes back when somebody takes it away, and whose trouble is told once: the log of a script and
//! the daemon's own are such files.
//!
//! Written here because no crate fits: `file-rotate`, the nearest, cuts either at exactly so many bytes or between two `write` calls, but a
//! chunk from a pipe begins and ends anywhere in a line; and it does not look whether its file is still there.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use memchr::memchr;
use nix::libc;

use super::fault_point;
use crate::domain::script::ScriptName;

/// A line may be this long before the file is cut in the middle of it.
const OVERSHOOT: u64 = 64 * 1024;

/// Between two looks at whether the file is still where it was. A flood is looked at this often, single lines each time.
const CHECK: Duration = Duration::from_millis(50);

/// Between two tries to write when writing fails, and to rotate when that fails.
const RETRY: Duration = Duration::from_secs(1);

/// The live file keeps its name; full ones become `.1` (newest), `.2` and so on.
#[derive(Debug)]
pub struct RotatingFile {
    /// Whose output it is; None: the daemon's own.
    script: Option<ScriptName>,
    path: PathBuf,
    max_size: u64,
    max_parts: u32,
    open: Option<OpenFile>,
    opened_anew: bool,
    checked: Option<Instant>,
    trouble: Option<Trouble>,
    /// While it cannot be rotated: when that is tried again.
    unrotated: Option<Instant>,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    id: (u64, u64),
    size: u64,
    /// The size at which it is complete.
    limit: u64,
    /// Nothing was written yet, or the last byte was a newline.
    at_line_start: bool,
}

/// Bytes that could not be written.
#[derive(Debug)]
struct Trouble {
    lost: u64,
    error: String,
    retry_at: Instant,
}

impl RotatingFile {
    /// The daemon's own file, opened with the first line. Directories are made as needed.
    #[must_use]
    pub fn new(path: PathBuf, max_size: u64, max_parts: u32) -> Self {
        let (script, open, checked, trouble, unrotated) = (None, None, None, None, None);
        Self { script, path, max_size, max_parts, open, opened_anew: false, checked, trouble, unrotated }
    }

    /// The output of `script`, of which any byte may be the last of a chunk.
    #[must_use]
    pub fn of_script(script: ScriptName, path: PathBuf, max_size: u64, max_parts: u32) -> Self {
        Self { script: Some(script), ..Self::new(path, max_size, max_parts) }
    }

    /// Where the live file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn part(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    /// From now on it is another file.
    pub fn move_to(&mut self, path: PathBuf) {
        self.close();
        self.path = path;
    }

    /// Takes over the trouble of a former file, so that it is noted here and not told again: a script that starts again and again while the
    /// disk is full is told of once.
    pub fn go_on_from(&mut self, former: &mut Self) {
        self.trouble = former.trouble.take();
        self.unrotated = former.unrotated.take();
    }

    /// Gives the descriptor back; the next write opens the file again.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// Whether a file was opened since this was asked last.
    pub fn was_opened_anew(&mut self) -> bool {
        std::mem::take(&mut self.opened_anew)
    }

    /// Writes all of it, or as much as can be written; the rest is counted and dropped.
    pub fn write(&mut self, bytes: &[u8], now: Instant) {
        if let Some(trouble) = self.trouble.as_mut().filter(|trouble| now < trouble.retry_at) {
            trouble.lost += bytes.len() as u64;
            return;
        }
        self.look_after(now);
        let mut left = bytes.len();
        match self.note_loss().and_then(|()| self.write_parts(bytes, now, &mut left)) {
            Ok(()) => self.tell_recovery(),
            Err(error) => self.lose(left as u64, &error, now),
        }
    }

    fn write_parts(&mut self, mut bytes: &[u8], now: Instant, left: &mut usize) -> io::Result<()> {
        while !bytes.is_empty() {
            self.open()?;
            self.put_off_rotation(now);
            let (length, then_rotate) = self.cut(bytes);
            let (part, rest) = bytes.split_at(length.min(bytes.len()));
            self.append(part, left)?;
            if then_rotate {
                self.rotate(now);
            }
            bytes = rest;
        }
        Ok(())
    }

    /// A file that cannot be rotated grows until it can; each try is where a line ends.
    fn put_off_rotation(&mut self, now: Instant) {
        let (Some(retry_at), Some(open)) = (self.unrotated, &mut self.open) else { return };
        if now < retry_at {
            open.limit = u64::MAX;
        } else if open.limit == u64::MAX {
            open.limit = open.size.max(self.max_size);
        }
    }

    /// How much of `bytes` belongs into the file as it is, and whether that completes it.
    fn cut(&self, bytes: &[u8]) -> (usize, bool) {
        let Some(open) = &self.open else { return (0, false) };
        let index = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
        let room = index(open.limit.saturating_sub(open.size));
        if bytes.len() <= room {
            return (bytes.len(), false);
        }
        if room == 0 && open.at_line_start && open.size > 0 {
            return (0, true);
        }
        let hard = index(open.limit.saturating_add(OVERSHOOT).saturating_sub(open.size)).min(bytes.len());
        let from = room.saturating_sub(1).min(hard);
        match memchr(b'\n', bytes.get(from..hard).unwrap_or_default()) {
            Some(newline) => (from + newline + 1, true),
            None => (hard, hard < bytes.len()),
        }
    }

    fn append(&mut self, mut part: &[u8], left: &mut usize) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        while let Some(last) = part.last() {
            match fault_point::reach("log.write").and_then(|()| open.file.write(part)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    open.size += written as u64;
                    *left = left.saturating_sub(written);
                    open.at_line_start = written == part.len() && *last == b'\n';
                    part = part.get(written..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<()> {
        if self.open.is_some() {
            return Ok(());
        }
        if let Some(dir) = self.path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let (file, found) = open_file(&self.path)?;
        let mut last = [b'\n'];
        if found.len() > 0 {
            file.read_at(&mut last, found.len() - 1)?;
        }
        let open =
            OpenFile { file, id: id(&found), size: found.len(), limit: self.max_size, at_line_start: last == *b"\n" };
        self.open = Some(open);
        self.opened_anew = true;
        Ok(())
    }

    /// Somebody may have deleted, renamed or truncated the file: what follows goes where the name says.
    fn look_after(&mut self, now: Instant) {
        let recently = self.checked.is_some_and(|checked| now.saturating_duration_since(checked) < CHECK);
        let Some(open) = self.open.as_mut().filter(|_| !recently) else { return };
        self.checked = Some(now);
        match std::fs::metadata(&self.path) {
            Ok(found) if id(&found) == open.id => {
                open.at_line_start |= found.len() == 0;
                open.size = found.len();
            }
            // It may be there all the same: no right to look, a file server that does not answer. What is open can be written.
            Err(error) if !leads_nowhere(&error) => {}
            _ => {
                self.open = None;
                self.tell_absence();
            }
        }
    }

    fn tell_absence(&self) {
        let (script, path) = (self.script(), self.path.display());
        let is_gone = |dir: &&Path| std::fs::metadata(dir).is_err_and(|error| leads_nowhere(&error));
        match self.path.parent().filter(is_gone) {
            Some(dir) => {
                let dir = dir.display();
                tracing::warn!(script, "log directory {dir} is gone, and what was in it; it is made anew");
            }
            None => tracing::info!(script, "log file {path} was taken away; a new one is begun"),
        }
    }

    fn script(&self) -> Option<&str> {
        self.script.as_ref().map(ScriptName::as_str)
    }

    /// The live file becomes part 1, part 1 becomes part 2, and so on.
    fn rotate(&mut self, now: Instant) {
        let done = self.shift_parts();
        let (script, path) = (self.script.as_ref().map(ScriptName::as_str), self.path.display());
        match done {
            Ok(()) => {
                self.open = None;
                if self.unrotated.take().is_some() {
                    tracing::info!(script, "log file {path} is rotated again");
                }
            }
            Err(error) => {
                if self.unrotated.replace(now + RETRY).is_none() {
                    tracing::warn!(
                        script,
                        "log file {path} cannot be rotated: {error}. It grows, and nothing is lost, until it can: make its directory writable."
                    );
                }
            }
        }
    }

    fn shift_parts(&self) -> io::Result<()> {
        let gone = |result: io::Result<()>| match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        if self.max_parts == 0 {
            return gone(std::fs::remove_file(&self.path));
        }
        // Only parts up to the first gap have to move.
        let mut parts = 0;
        while parts + 1 < self.max_parts && self.part(parts + 1).try_exists()? {
            parts += 1;
        }
        for number in (1..=parts).rev() {
            gone(std::fs::rename(self.part(number), self.part(number + 1)))?;
        }
        gone(std::fs::rename(&self.path, self.part(1)))
    }

    fn lose(&mut self, bytes: u64, error: &io::Error, now: Instant) {
        // Opened anew at the next try: the directory may be gone, or back.
        self.open = None;
        let retry_at = now + RETRY;
        match &mut self.trouble {
            Some(trouble) => {
                trouble.lost += bytes;
                trouble.retry_at = retry_at;
            }
            None => {
                let then =
                    if self.script.is_some() { "The script goes on, its output is" } else { "All goes on, lines are" };
                tracing::warn!(
                    script = self.script(),
                    "log file {} cannot be written: {error}. {then} dropped until it can: {}.",
                    self.path.display(),
                    remedy(error)
                );
                self.trouble = Some(Trouble { lost: bytes, error: error.to_string(), retry_at });
            }
        }
    }

    /// After trouble: says in a script's file what is missing from it. The daemon's lines have a form that programs read: there an event says it.
    fn note_loss(&mut self) -> io::Result<()> {
        let Some(trouble) = &self.trouble else { return Ok(()) };
        let (lost, error) = (trouble.lost, trouble.error.clone());
        self.open()?;
        let broken = self.open.as_ref().is_some_and(|open| !open.at_line_start);
        let newline = if broken { "\n" } else { "" };
        if self.script.is_none() {
            return self.append(newline.as_bytes(), &mut 0);
        }
        let note = format!("{newline}[mho: {lost} bytes of output were lost here: {error}]\n");
        self.append(note.as_bytes(), &mut 0)?;
        self.tell_recovery();
        Ok(())
    }

    /// Only when something was really written: a full disk lets a file be opened.
    fn tell_recovery(&mut self) {
        if let Some(Trouble { lost, .. }) = self.trouble.take() {
            let path = self.path.display();
            tracing::info!(script = self.script(), lost_bytes = lost, "log file {path} can be written again");
        }
    }
}

/// One thread writes for all scripts: what could hold it up, as a pipe that nobody reads does, is no log. A device such as `/dev/null` is
/// somebody's wish, and opened like this it never waits.
fn open_file(path: &Path) -> io::Result<(File, Metadata)> {
    let no_file = || io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let opened = OpenOptions::new().append(true).read(true).create(true).custom_flags(flags).open(path);
    // What the kernel says of a socket.
    let file = opened.map_err(|error| if error.raw_os_error() == Some(libc::ENXIO) { no_file() } else { error })?;
    let found = file.metadata()?;
    let kind = found.file_type();
    if kind.is_file() || kind.is_char_device() { Ok((file, found)) } else { Err(no_file()) }
}

/// What to do about a file that cannot be written.
fn remedy(error: &io::Error) -> &'static str {
    match (error.raw_os_error(), error.kind()) {
        (Some(libc::EMFILE), _) => "raise the limit of open files (`ulimit -n`, LimitNOFILE)",
        (Some(libc::ENFILE), _) => "raise the machine's limit of open files (`sysctl fs.file-max`)",
        (_, io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory) => "remove what is in its place",
        _ => "free space, or make the place writable",
    }
}

/// Whether there is certainly nothing under a name.
fn leads_nowhere(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn id(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Everything that is told while it lives.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<u8>>>);

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Told {
        fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
            let told = Self::default();
            let writer = told.clone();
            let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
            (told, tracing::subscriber::set_default(lines))
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }

        fn count(&self, part: &str) -> usize {
            self.text().lines().filter(|line| line.contains(part)).count()
        }
    }

    struct Place {
        dir: tempfile::TempDir,
        file: RotatingFile,
        now: Instant,
    }

    impl Place {
        /// The log `d/log` of a script, of which the first line is written.
        fn new(max_size: u64) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let script = ScriptName::new("demo").unwrap();
            let file = RotatingFile::of_script(script, dir.path().join("d/log"), max_size, 3);
            let mut place = Self { dir, file, now: Instant::now() };
            place.write("first\n");
            place
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn read(&self, name: &str) -> String {
            std::fs::read_to_string(self.path(name)).unwrap_or_default()
        }

        /// A look at the place is due.
        fn write(&mut self, text: &str) {
            self.now += CHECK;
            self.file.write(text.as_bytes(), self.now);
        }
    }

    #[test]
    fn a_file_that_cannot_be_looked_at_but_written_is_written() {
        let (told, _listening) = Told::listen();
        let mut place = Place::new(1000);
        std::fs::rename(place.path("d"), place.path("moved")).unwrap();
        // Whoever looks goes round in a circle: there is no saying what is there.
        symlink(place.path("d"), place.path("d")).unwrap();
        place.write("second\n");
        std::fs::remove_file(place.path("d")).unwrap();
        std::fs::rename(place.path("moved"), place.path("d")).unwrap();
        place.write("third\n");
        assert_eq!(place.read("d/log"), "first\nsecond\nthird\n");
        assert_eq!(told.text(), "");
    }

    #[test]
    fn a_file_is_begun_anew_when_it_or_its_directory_is_gone_or_another_is_in_its_place() {
        let (told, _listening) = Told::listen();
        let mut place = Place::new(1000);
        std::fs::remove_file(place.path("d/log")).unwrap();
        place.write("second\n");
        assert_eq!(place.read("d/log"), "second\n");
        std::fs::write(place.path("d/other"), "of somebody else\n").unwrap();
        std::fs::rename(place.path("d/other"), place.path("d/log")).unwrap();
        place.write("third\n");
        assert_eq!(place.read("d/log"), "of somebody else\nthird\n");
        assert_eq!((told.count("was taken away"), told.count("is gone")), (2, 0), "{}", told.text());
        std::fs::rename(place.path("d"), place.path("moved")).unwrap();
        place.write("fourth\n");
        assert_eq!(place.read("d/log"), "fourth\n");
        assert_eq!((told.count("was taken away"), told.count("WARN")), (2, 1), "{}", told.text());
        assert_eq!(told.count("is gone"), 1);
    }

    /// Puts something else in the place of the log, writes more than a pipe holds, and takes it away again.
    fn assert_refused(put: fn(&Path), why: &str) {
        let (told, _listening) = Told::listen();
        let mut place = Place::new(1 << 20);
        let log = place.path("d/log");
        std::fs::remove_file(&log).unwrap();
        put(&log);
        let much = "x".repeat(100_000);
        place.write(&much);
        place.write(&much);
        let what = format!(
            "cannot be written: {why}. The script goes on, its output is dropped until it can: remove what is in its place."
        );
        assert_eq!(told.count(&what), 1, "{}", told.text());
        std::fs::rename(&log, place.path("moved")).unwrap();
        place.now += RETRY;
        place.write("again\n");
        assert_eq!(place.read("d/log"), format!("[mho: 200000 bytes of output were lost here: {why}]\nagain\n"));
        assert_eq!(told.count("can be written again"), 1, "{}", told.text());
    }

    #[test]
    fn what_is_no_file_is_refused_without_waiting_until_it_is_removed() {
        let pipe = |path: &Path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let socket = |path: &Path| drop(std::os::unix::net::UnixListener::bind(path).unwrap());
        let directory = |path: &Path| std::fs::create_dir(path).unwrap();
        let thread = std::thread::spawn(move || {
            assert_refused(pipe, "it is not a regular file");
            assert_refused(socket, "it is not a regular file");
            assert_refused(directory, "Is a directory (os error 21)");
        });
        // Who waits for a reader of a pipe does so for ever.
        let start = Instant::now();
        while !thread.is_finished() {
            assert!(start.elapsed() < Duration::from_secs(20), "it waits");
            std::thread::sleep(Duration::from_millis(5));
        }
        thread.join().unwrap();
    }

    #[test]
    fn the_remedy_fits_the_error() {
        let of = |number| remedy(&io::Error::from_raw_os_error(number));
        assert!(of(libc::EMFILE).contains("LimitNOFILE") && of(libc::ENFILE).contains("fs.file-max"));
        assert!(of(libc::ENOSPC).contains("free space") && of(libc::EISDIR).contains("remove what is in its place"));
    }

    #[test]
    fn a_file_that_cannot_be_rotated_grows_is_told_of_once_and_tried_again_by_time() {
        let (told, _listening) = Told::listen();
        let mut place = Place::new(20);
        // A directory with something in it in the place of part 1.
        std::fs::create_dir_all(place.path("d/log.1/x")).unwrap();
        place.file.max_parts = 1;
        let mut expected = "first\n".to_owned();
        let start = place.now;
        while place.now < start + 3 * RETRY {
            place.write("half a ");
            place.write("line\n");
            expected.push_str("half a line\n");
        }
        assert_eq!(place.read("d/log"), expected, "nothing is lost");
        assert_eq!((told.count("WARN"), told.count("cannot be rotated")), (1, 1), "{}", told.text());
        assert_eq!((told.count("make its directory writable"), told.count("rotated again")), (1, 0));
        // The next attempt of the script has nothing new to say of it.
        let script = ScriptName::new("demo").unwrap();
        let mut next = RotatingFile::of_script(script, place.file.path().to_owned(), 20, 1);
        next.go_on_from(&mut place.file);
        place.file = next;
        std::fs::rename(place.path("d/log.1"), place.path("moved")).unwrap();
        place.write("early\n");
        assert_eq!(place.read("d/log"), expected.clone() + "early\n", "it is not yet time for another try");
        place.now += RETRY;
        place.write("late\n");
        assert_eq!((place.read("d/log.1"), place.read("d/log")), (expected + "early\n", "late\n".to_owned()));
        assert_eq!((told.count("cannot be rotated"), told.count("is rotated again")), (1, 1), "{}", told.text());
        // As if nothing had been.
        place.write("more than twenty bytes\n");
        place.write("next\n");
        assert_eq!(place.read("d/log"), "next\n");
    }
}
