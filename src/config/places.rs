//! Where the daemon of a configuration is, as far as a faulty one tells.

use std::path::PathBuf;

use super::fault::Report;
use super::file::FileLayer;
use super::load::{base_dir, merge, orchestrator};
use super::section::Section;
use super::sources::{self, Sources};

/// Where things are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The configuration file, absolute; None for the embedded text.
    pub file: Option<PathBuf>,
    /// The state directory.
    pub state_dir: PathBuf,
}

/// The places by what can be made out beside all faults, with defaults for the rest: a guess, which whoever relies on it verifies. None
/// where there is not even a text to read.
#[must_use]
pub fn places(sources: &Sources) -> Option<Places> {
    let found = sources::find(sources).ok()?;
    let file = FileLayer::parse(&found.shown, &found.text).unwrap_or_else(|(_, rest)| rest);
    let unheard = Report::default();
    let root = merge(sources, file, &unheard).ok()?;
    let base_dir = base_dir(&Section::new("", Some(&root), None, &unheard), sources, &found);
    let section = Section::new("orchestrator", root.get("orchestrator"), None, &unheard);
    Some(Places { file: found.path, state_dir: orchestrator(&section, &base_dir).state_dir })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn places_of(text: &str) -> (PathBuf, Places) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mho.toml");
        fs::write(&file, text).unwrap();
        let sources = Sources { config: Some(file), cwd: dir.path().to_owned(), ..Sources::default() };
        (dir.path().to_owned(), places(&sources).unwrap())
    }

    #[test]
    fn faults_elsewhere_keep_no_place_from_being_found() {
        for fault in ["nonsense", "[market]\ncalendar = \"NOPE\"", "[[script]]\nname = 1", "[http]\nlisten = 5\nlisten"]
        {
            let (dir, found) = places_of(&format!("[orchestrator]\nstate_dir = \"here\"\n{fault}\n"));
            assert_eq!(found, Places { file: Some(dir.join("mho.toml")), state_dir: dir.join("here") }, "{fault}");
        }
    }

    #[test]
    fn what_cannot_be_made_out_is_guessed_to_be_the_default_and_no_file_is_no_guess() {
        let (dir, found) = places_of("[orchestrator]\nstate_dir = \n");
        assert_eq!(found.state_dir, dir.join("state"));
        let sources = Sources { config: Some(dir.join("nosuch.toml")), cwd: dir, ..Sources::default() };
        assert_eq!(places(&sources), None);
    }
}
