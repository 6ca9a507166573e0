//! What an attempt was made of: the hashes of its program, its script file and its configuration, so that later nobody has to guess what ran.

use std::collections::HashMap;
use std::fmt::Debug;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

use sha2::{Digest, Sha256};

use super::writer::Command;
use crate::domain::attempt::AttemptId;
use crate::domain::script::ScriptSpec;

/// What is told of the attempts of one script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptFacts {
    program: PathBuf,
    /// Where the file may be that its operator thinks of.
    arguments: Vec<PathBuf>,
    log_dir: PathBuf,
    config_sha256: String,
}

impl ScriptFacts {
    /// Those of a script as it is configured.
    #[must_use]
    pub fn of(spec: &ScriptSpec) -> Self {
        let launch = &spec.launch;
        Self {
            program: launch.working_dir.join(&launch.program),
            arguments: launch.args.iter().map(|argument| launch.working_dir.join(argument)).collect(),
            log_dir: spec.output.dir.clone(),
            config_sha256: hash_of(spec),
        }
    }

    pub(super) fn config_sha256(&self) -> &str {
        &self.config_sha256
    }

    pub(super) fn log_file(&self, attempt: &AttemptId) -> String {
        self.log_dir.join(format!("{}.log", attempt.trading_date)).to_string_lossy().into_owned()
    }

    /// The first argument that names a file.
    fn script(&self) -> Option<&Path> {
        self.arguments.iter().map(PathBuf::as_path).find(|path| path.is_file())
    }
}

/// A hash of a whole value: equal values have equal ones. What is in the value cannot be read from it.
#[must_use]
pub fn hash_of(value: &impl Debug) -> String {
    hex(Sha256::digest(format!("{value:?}")).as_slice())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hashes of an attempt's files, as far as they could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    pub(super) attempt: AttemptId,
    pub(super) program: Option<String>,
    pub(super) script: Option<String>,
}

/// A file as it is now: if none of this changed, its content did not.
type State = (u64, u64, u64, [i64; 4]);

fn state(found: &Metadata) -> State {
    let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
    (found.dev(), found.ino(), found.size(), times)
}

/// Hashes of files, each read again only if it changed.
#[derive(Debug, Default)]
struct Hashes(HashMap<PathBuf, (State, String)>);

impl Hashes {
    fn of(&mut self, path: &Path) -> Option<String> {
        // A device or a pipe may have no end.
        let now = std::fs::metadata(path).ok().filter(Metadata::is_file).as_ref().map(state)?;
        match self.0.get(path) {
            Some((known, hash)) if *known == now => Some(hash.clone()),
            _ => {
                let hash = hash_file(path).ok()?;
                self.0.insert(path.to_owned(), (now, hash.clone()));
                Some(hash)
            }
        }
    }
}

fn hash_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0_u8; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(hash.finalize().as_slice())),
            length => hash.update(buffer.get(..length).unwrap_or_default()),
        }
    }
}

/// Hashes what is asked for and sends it to the writer, on a thread of its own: programs are large, and a start waits for the writer.
pub(super) fn start_hashing(writer: Sender<Command>) -> io::Result<Sender<(AttemptId, ScriptFacts)>> {
    let (ask, asked) = channel();
    std::thread::Builder::new().name("mho-fingerprint".to_owned()).spawn(move || hash_all(&asked, &writer))?;
    Ok(ask)
}

fn hash_all(asked: &Receiver<(AttemptId, ScriptFacts)>, writer: &Sender<Command>) {
    let mut hashes = Hashes::default();
    while let Ok((attempt, facts)) = asked.recv() {
        let program = hashes.of(&facts.program);
        let script = facts.script().and_then(|path| hashes.of(path));
        if writer.send(Command::Fingerprint(Fingerprint { attempt, program, script })).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_file_is_hashed_again_when_it_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("script");
        let mut hashes = Hashes::default();
        assert_eq!(hashes.of(&path), None);
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(hashes.of(&path).as_deref(), Some(ABC));
        assert_eq!(hashes.of(&path).as_deref(), Some(ABC), "from memory");
        std::fs::write(&path, "abcd").unwrap();
        assert_ne!(hashes.of(&path).as_deref(), Some(ABC));
        assert_eq!(hashes.of(Path::new("/dev/zero")), None, "that would never end");
    }

    #[test]
    fn the_script_file_is_the_first_argument_that_is_one_below_the_working_directory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("strategy.py"), "abc").unwrap();
        let mut spec = ScriptSpec::with_defaults("demo", "/usr/bin/python3");
        spec.launch.working_dir = dir.path().to_owned();
        assert_eq!(ScriptFacts::of(&spec).script(), None);
        spec.launch.args = ["-u", "strategy.py", "strategy.py.bak"].map(str::to_owned).to_vec();
        assert_eq!(ScriptFacts::of(&spec).script(), Some(dir.path().join("strategy.py").as_path()));
    }

    #[test]
    fn a_changed_configuration_has_another_hash_which_shows_no_value() {
        let mut spec = ScriptSpec::with_defaults("demo", "/bin/true");
        let before = ScriptFacts::of(&spec).config_sha256().to_owned();
        assert_eq!(ScriptFacts::of(&spec).config_sha256(), before);
        spec.launch.env.insert("KEY".to_owned(), "secret".to_owned());
        let after = ScriptFacts::of(&spec);
        assert!(after.config_sha256() != before && after.config_sha256().len() == 64);
        assert!(!format!("{after:?}").contains("secret"));
    }
}
