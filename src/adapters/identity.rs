//! The daemon's identity: a random word, one per state directory, by which its processes are known for certain.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::lock::hand_over;

/// The identity in `state_dir/id`, made at the first start.
pub fn of_state_dir(state_dir: &Path) -> io::Result<String> {
    if let Some(id) = existing(state_dir)? {
        return Ok(id);
    }
    renew(state_dir)
}

/// A new identity in `state_dir/id`, whatever stood there: nothing that was started under that one is known any more.
pub fn renew(state_dir: &Path) -> io::Result<String> {
    let id = random()?;
    let fresh = state_dir.join("id.new");
    // What a crash left there may belong to somebody else, or be a link to elsewhere.
    let _ = fs::remove_file(&fresh);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    hand_over(&file, &fresh);
    file.write_all(format!("{id}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, state_dir.join("id"))?;
    Ok(id)
}

/// The identity in `state_dir/id`, if a daemon has made one.
pub fn existing(state_dir: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(state_dir.join("id")) {
        Ok(text) => {
            let id = text.trim();
            // Cut short by a crash, before any process could carry it.
            Ok(is_identity(id).then(|| id.to_owned()))
        }
        // The latter is no text at all.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => Ok(None),
        Err(error) => Err(error),
    }
}

/// An identity for processes that belong to no daemon.
pub fn random() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn is_identity(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_state_directory_keeps_its_identity_and_no_two_share_one() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = of_state_dir(a.path()).unwrap();
        assert_eq!(of_state_dir(a.path()).unwrap(), first);
        assert_ne!(of_state_dir(b.path()).unwrap(), first);
    }

    #[test]
    fn a_new_identity_takes_the_place_of_the_one_that_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let first = of_state_dir(dir.path()).unwrap();
        fs::write(dir.path().join("id.new"), "left by a crash").unwrap();
        let second = renew(dir.path()).unwrap();
        assert_ne!(first, second);
        assert_eq!(of_state_dir(dir.path()).unwrap(), second);
        assert_eq!(fs::read_to_string(dir.path().join("id")).unwrap(), format!("{second}\n"));
        assert_eq!(fs::metadata(dir.path().join("id")).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!dir.path().join("id.new").exists());
    }

    #[test]
    fn an_identity_that_was_cut_short_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        for rubbish in [b"12".as_slice(), b"", b"\xff\xfe\x00"] {
            fs::write(dir.path().join("id"), rubbish).unwrap();
            assert_eq!(of_state_dir(dir.path()).unwrap().len(), 32);
        }
    }
}
