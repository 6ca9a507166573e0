//! A daemon is asked to read its configuration again by SIGHUP, and answers in `state/reloaded`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use chrono::{DateTime, Utc};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::lock::InstanceLock;

/// A daemon answers within milliseconds. One that is at work on its start, or stands still, is not waited for longer than this.
const PATIENCE: (u32, Duration) = (250, Duration::from_millis(20));

/// What came of reading the configuration again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// When, on the machine's clock.
    pub at: DateTime<Utc>,
    /// When, on the market clock: a rehearsal lives on another day.
    pub market_time: DateTime<Utc>,
    /// By which daemon.
    pub pid: u32,
    /// Which file of overrides it reads.
    pub overrides_file: PathBuf,
    /// Which text of it was read: an answer may be to somebody else's request.
    pub overrides_digest: String,
    /// The calendars that it uses.
    pub calendars: Vec<String>,
    /// What came of it.
    pub result: ReloadResult,
    /// The same in words.
    pub text: String,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReloadResult {
    /// Calendars are others than before, and in use.
    Changed,
    /// Nothing is other than before.
    Unchanged,
    /// There were faults: everything stayed as it was.
    Refused,
}

impl Reloaded {
    /// Puts the answer where whoever asked looks for it.
    pub fn write(&self, state_dir: &Path) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".reloaded").tempfile_in(state_dir)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.persist(file_of(state_dir))?;
        Ok(())
    }

    fn read(state_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(file_of(state_dir)).ok()?).ok()
    }
}

fn file_of(state_dir: &Path) -> PathBuf {
    state_dir.join("reloaded")
}

/// What a daemon says to the request.
#[derive(Debug)]
pub enum Told {
    /// None runs here.
    NoDaemon,
    /// It has read its configuration again.
    Answered(Reloaded),
    /// It was asked, and has not answered in time.
    Silent {
        /// Its process.
        pid: u32,
    },
    /// It could not be asked.
    NotAsked {
        /// Its process, where that is known.
        pid: Option<u32>,
        /// Why.
        reason: io::Error,
    },
}

impl Told {
    /// What the market clock of the daemon shows.
    #[must_use]
    pub fn market_time(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Answered(answer) => Some(answer.market_time),
            Self::NoDaemon | Self::Silent { .. } | Self::NotAsked { .. } => None,
        }
    }
}

/// Asks the daemon of a state directory to read its configuration again, and waits for the answer of one that has read the overrides of this
/// `digest`; where the file has changed again meanwhile, any answer is as good.
#[must_use]
pub fn ask(state_dir: &Path, digest: &str) -> Told {
    let pid = match InstanceLock::holder(state_dir) {
        Ok(None) => return Told::NoDaemon,
        Ok(Some(holder)) => holder.pid,
        Err(reason) => return Told::NotAsked { pid: None, reason },
    };
    let Some(pid) = pid else {
        return Told::NotAsked { pid: None, reason: io::Error::other("its lock does not name its process") };
    };
    let before = Reloaded::read(state_dir);
    if let Err(reason) = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGHUP) {
        return Told::NotAsked { pid: Some(pid), reason: reason.into() };
    }
    let mut last = None;
    for _ in 0..PATIENCE.0 {
        sleep(PATIENCE.1);
        let is_new = |answer: &Reloaded| answer.pid == pid && Some(answer) != before.as_ref();
        match Reloaded::read(state_dir).filter(is_new) {
            Some(answer) if answer.overrides_digest == digest => return Told::Answered(answer),
            answer => last = answer.or(last),
        }
    }
    last.map_or(Told::Silent { pid }, Told::Answered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_written_and_no_daemon_is_no_fault() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(matches!(ask(dir.path(), ""), Told::NoDaemon));
        assert_eq!(Reloaded::read(dir.path()), None);
        let answer = Reloaded {
            at: Utc::now(),
            market_time: Utc::now(),
            pid: 7,
            overrides_file: "/x/calendar-overrides.toml".into(),
            overrides_digest: "1f".into(),
            calendars: vec!["XNYS".into()],
            result: ReloadResult::Changed,
            text: "XNYS".into(),
        };
        answer.write(dir.path()).expect("written");
        assert_eq!(Reloaded::read(dir.path()), Some(answer));
    }
}
