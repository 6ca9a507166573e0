//! The token by which changes are allowed over TCP: made at the first start, readable by its owner alone.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::identity;
use super::lock::hand_over;

/// The token in this file, made now if there is none.
///
/// # Errors
/// It cannot be read or made; or it is no word, or others may read it.
pub fn load_or_make(path: &Path) -> io::Result<String> {
    if let Some(token) = load(path)? {
        return Ok(token);
    }
    let token = identity::random()? + &identity::random()?;
    let dir = path.parent().unwrap_or(Path::new("."));
    // Its rights are right from the beginning.
    let mut file = tempfile::Builder::new().prefix(".token").tempfile_in(dir)?;
    hand_over(file.as_file(), path);
    writeln!(file, "{token}")?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(token),
        // Somebody else made one meanwhile.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => load(path)?.ok_or(error.error),
        Err(error) => Err(error.error),
    }
}

/// The token in this file; None if there is no file.
///
/// # Errors
/// It cannot be read; or it is no word, or others may read it.
pub fn load(path: &Path) -> io::Result<Option<String>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::other("others may read it: chmod 600 it, and better make a new one by removing it"));
    }
    let token = text.trim();
    if token.is_empty() {
        return Err(io::Error::other("it is empty: remove it, and the next start makes a new one"));
    }
    // It becomes part of a link, and of a header.
    if !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
        return Err(io::Error::other(
            "it is no word of letters, digits and -._~: remove it, and the next start makes one",
        ));
    }
    Ok(Some(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_for_its_owner_alone_and_no_two_are_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        assert_eq!(load(&path).unwrap(), None);
        let token = load_or_make(&path).unwrap();
        assert_eq!(token.len(), 64);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load_or_make(&path).unwrap(), token);
        assert_ne!(load_or_make(&dir.path().join("other")).unwrap(), token);
    }

    #[test]
    fn one_that_others_may_read_or_that_is_no_word_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "secret\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(load_or_make(&path).unwrap_err().to_string().contains("chmod 600"));
        fs::write(&path, "\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(load_or_make(&path).unwrap_err().to_string().contains("empty"));
        for bad in ["two words", "a&b", "a#b", "é", "a\0b"] {
            fs::write(&path, bad).unwrap();
            assert!(load(&path).unwrap_err().to_string().contains("no word"), "{bad}");
        }
        fs::write(&path, b"\xff").unwrap();
        assert!(load(&path).is_err());
        fs::write(&path, " my.own-word_1~ \n").unwrap();
        assert_eq!(load(&path).unwrap().as_deref(), Some("my.own-word_1~"));
    }
}
