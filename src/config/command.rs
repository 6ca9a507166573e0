//! Commands: argv or a line split as a shell would, the interpreter a bare script needs, and the program's absolute path.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::fault::Bad;
use super::node::{Data, Node};
use super::sources::absolute;
use super::values::Parsed;

/// Programs whose first argument is the script that the operator thinks of.
const INTERPRETERS: [&str; 14] =
    ["sh", "bash", "dash", "zsh", "ksh", "node", "deno", "ruby", "perl", "php", "lua", "julia", "Rscript", "pypy3"];

/// Where programs are looked up if nobody says.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A command as it will be executed, and as its operator knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// With the interpreter.
    pub argv: Vec<String>,
    /// Without a plain interpreter.
    pub display: String,
}

/// Reads `command`: a list is argv, text is split as a shell would; no shell is run.
pub(super) fn parse(node: &Node) -> Parsed<Command> {
    let written: Vec<String> = match &node.data {
        Data::Text(text) => shell_words::split(text)
            .map_err(|_| Bad::from(format!("cannot be split into words, a quote is left open: {text:?}")))?,
        Data::List(items) => items.iter().map(word).collect::<Parsed<_>>()?,
        _ => return Err(format!("expected a list of words or text, found {}", node.what()).into()),
    };
    let Some(first) = written.first().filter(|first| !first.is_empty()) else {
        return Err("is empty: name the program, such as [\"python3\", \"scripts/strategy.py\"]".into());
    };
    if let Some(word) = written.iter().find(|word| word.contains('\0')) {
        return Err(format!("holds a NUL byte: {word:?}").into());
    }
    let shown = if script_file(&written).is_some() && is_interpreter(first) { &written[1..] } else { &written[..] };
    let display = shell_words::join(shown);
    let mut argv = written.clone();
    if let Some(interpreter) = interpreter_of(first) {
        argv.insert(0, interpreter.to_owned());
    }
    Ok(Command { argv, display })
}

fn word(node: &Node) -> Parsed<String> {
    match &node.data {
        Data::Text(text) => Ok(text.clone()),
        Data::Int(number) => Ok(number.to_string()),
        _ => Err(format!("expected words in quotes, found {}", node.what()).into()),
    }
}

/// What runs a file that is named without its interpreter.
pub(super) fn interpreter_of(program: &str) -> Option<&'static str> {
    match Path::new(program).extension()?.to_str()? {
        "py" => Some("python3"),
        "sh" => Some("sh"),
        _ => None,
    }
}

fn is_interpreter(program: &str) -> bool {
    let version = |rest: &str| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    INTERPRETERS.contains(&program) || program.strip_prefix("python").is_some_and(version)
}

/// The file of the script in a command: the argument of a plain interpreter, unless that is an option; else a bare script.
pub(crate) fn script_file(argv: &[String]) -> Option<&str> {
    let (first, rest) = argv.split_first()?;
    let second = rest.first().filter(|second| !second.starts_with('-') && !second.is_empty());
    match second {
        Some(second) if is_interpreter(first) => Some(second),
        _ => interpreter_of(first).map(|_| first.as_str()),
    }
}

/// The absolute path of a program: with a slash as seen from `working_dir`, else from `search`. One that is not there keeps the best
/// guess, since it may appear later: it is looked at again at each start.
pub(super) fn resolve(program: &str, working_dir: &Path, search: Option<&str>) -> PathBuf {
    if program.contains('/') {
        return absolute(working_dir, Path::new(program));
    }
    let is_program = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(search.unwrap_or(USUAL_PATH))
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(program))
        .find(is_program)
        .unwrap_or_else(|| PathBuf::from(program))
}

#[cfg(test)]
mod tests {
    use super::super::fault::Place;
    use super::*;

    fn command(text: &str) -> Command {
        parse(&Node { key: "command".into(), place: Place::BuiltIn, data: Data::Text(text.into()) }).expect("a command")
    }

    #[test]
    fn a_command_is_shown_without_a_plain_interpreter() {
        for (written, argv, display) in [
            ("python3 scripts/x.py", &["python3", "scripts/x.py"][..], "scripts/x.py"),
            ("python3.12 scripts/x.py --live", &["python3.12", "scripts/x.py", "--live"], "scripts/x.py --live"),
            ("python3 -u scripts/x.py", &["python3", "-u", "scripts/x.py"], "python3 -u scripts/x.py"),
            ("scripts/x.py", &["python3", "scripts/x.py"], "scripts/x.py"),
            ("scripts/run.sh a", &["sh", "scripts/run.sh", "a"], "scripts/run.sh a"),
            ("/opt/venv/bin/python x.py", &["/opt/venv/bin/python", "x.py"], "/opt/venv/bin/python x.py"),
            ("sh -c 'exec sleep 5'", &["sh", "-c", "exec sleep 5"], "sh -c 'exec sleep 5'"),
            ("sleep 1000", &["sleep", "1000"], "sleep 1000"),
        ] {
            let command = command(written);
            assert_eq!(command.argv, argv, "{written}");
            assert_eq!(command.display, display, "{written}");
        }
    }

    #[test]
    fn a_program_with_a_slash_is_seen_from_the_working_directory() {
        assert_eq!(resolve("./bin/x", Path::new("/srv/app"), None), Path::new("/srv/app/bin/x"));
        assert_eq!(resolve("../x", Path::new("/srv/app"), None), Path::new("/srv/x"));
    }

    #[test]
    fn other_programs_are_looked_up_and_keep_their_name_if_not_found() {
        assert_eq!(resolve("sh", Path::new("/"), Some("/nowhere:/bin")), Path::new("/bin/sh"));
        assert_eq!(resolve("no-such-program", Path::new("/"), Some("/bin")), Path::new("no-such-program"));
    }
}
