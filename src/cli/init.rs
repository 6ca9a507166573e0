//! `mho init`: a commented configuration and an example script to begin with. Never overwrites anything.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::config::SHIPPED;

/// The example script, as shipped.
const EXAMPLE: &str = include_str!("../../scripts/example_strategy.py");

/// Arguments of `mho init`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct InitArgs {
    /// Where to write [default: the current directory]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Writes the files and says what to do next. Returns the exit code: 0, or 1 if anything was in the way; then nothing is written.
pub fn run(args: &InitArgs, cwd: &Path, out: &mut dyn Write) -> io::Result<u8> {
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from("."));
    let files = [("config/mho.toml", SHIPPED), ("scripts/example_strategy.py", EXAMPLE)];
    let place = |name: &str| cwd.join(&dir).join(name);
    // symlink_metadata: a dangling link is in the way, too.
    let in_the_way: Vec<_> = files.iter().filter(|(name, _)| place(name).symlink_metadata().is_ok()).collect();
    if !in_the_way.is_empty() {
        for (name, _) in in_the_way {
            writeln!(out, "{} exists already and is left as it is", dir.join(name).display())?;
        }
        writeln!(out, "Nothing was written. Move these files away, or name another directory: mho init DIR")?;
        return Ok(1);
    }
    for (name, text) in files {
        if let Err(error) = write_new(&place(name), text) {
            writeln!(out, "{} cannot be written: {error}", dir.join(name).display())?;
            return Ok(1);
        }
        writeln!(out, "wrote {}", dir.join(name).display())?;
    }
    let enter = if dir == Path::new(".") { String::new() } else { format!("cd {} && ", dir.display()) };
    writeln!(out, "\nNext:")?;
    writeln!(out, "  {enter}mho check    # what would run, when, and what is wrong")?;
    writeln!(out, "  {enter}mho run      # start the daemon in the foreground")?;
    writeln!(out, "Then put your own command into config/mho.toml.")?;
    Ok(0)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).create(parent)?;
    }
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init(dir: &Path) -> (u8, String) {
        let mut out = Vec::new();
        let code = run(&InitArgs::default(), dir, &mut out).expect("output to memory");
        (code, String::from_utf8(out).expect("text"))
    }

    #[test]
    fn writes_both_files_and_says_what_next() {
        let dir = tempfile::tempdir().expect("a directory");
        let (code, text) = init(dir.path());
        assert_eq!(code, 0, "{text}");
        assert_eq!(std::fs::read_to_string(dir.path().join("config/mho.toml")).expect("written"), SHIPPED);
        assert_eq!(std::fs::read_to_string(dir.path().join("scripts/example_strategy.py")).expect("written"), EXAMPLE);
        assert!(text.contains("mho check"), "{text}");
    }

    #[test]
    fn never_overwrites_and_then_writes_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("scripts")).expect("made");
        std::fs::write(dir.path().join("scripts/example_strategy.py"), "mine").expect("written");
        let (code, text) = init(dir.path());
        assert_eq!(code, 1);
        assert!(text.contains("scripts/example_strategy.py exists already"), "{text}");
        assert!(!dir.path().join("config").exists());
        assert_eq!(std::fs::read_to_string(dir.path().join("scripts/example_strategy.py")).expect("kept"), "mine");
    }
}
