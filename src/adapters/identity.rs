//! The daemon's identity: a random word, one per state directory, by which its processes are known for certain.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// The identity in `state_dir/id`, made at the first start.
pub fn of_state_dir(state_dir: &Path) -> io::Result<String> {
    let path = state_dir.join("id");
    match fs::read_to_string(&path) {
        Ok(text) if is_identity(text.trim()) => return Ok(text.trim().to_owned()),
        Ok(_) => {} // cut short by a crash, before any process could carry it
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let id = random()?;
    let fresh = state_dir.join("id.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&fresh)?;
    file.write_all(format!("{id}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, &path)?;
    Ok(id)
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
    use super::*;

    #[test]
    fn a_state_directory_keeps_its_identity_and_no_two_share_one() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = of_state_dir(a.path()).unwrap();
        assert_eq!(of_state_dir(a.path()).unwrap(), first);
        assert_ne!(of_state_dir(b.path()).unwrap(), first);
    }

    #[test]
    fn an_identity_that_was_cut_short_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("id"), "12").unwrap();
        assert_eq!(of_state_dir(dir.path()).unwrap().len(), 32);
    }
}
