//! Looks each second whether the kill file exists. By a thread of its own: the file may be on a file system that keeps its readers waiting.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Between two looks.
const GLANCE: Duration = Duration::from_secs(1);

/// Whether it exists, also as a link that leads nowhere; None = that cannot be told now.
#[must_use]
pub fn exists(path: &Path) -> Option<bool> {
    match path.symlink_metadata() {
        Ok(_) => Some(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Some(false),
        Err(_) => None,
    }
}

/// Tells each change, as long as somebody listens: `tell` returns false when nobody does.
///
/// # Errors
/// The machine gives no thread.
pub fn watch(path: PathBuf, was: bool, tell: impl Fn(bool) -> bool + Send + 'static) -> io::Result<()> {
    let look = move || {
        let mut was = was;
        loop {
            thread::sleep(GLANCE);
            // What cannot be told is as it was.
            let is = exists(&path).unwrap_or(was);
            if is != was && !tell(is) {
                return;
            }
            was = is;
        }
    };
    thread::Builder::new().name("kill-file".to_owned()).spawn(look).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_leads_nowhere_is_a_kill_file_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kill");
        assert_eq!(exists(&path), Some(false));
        assert_eq!(exists(&path.join("below")), Some(false));
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert_eq!(exists(&path), Some(true));
    }
}
