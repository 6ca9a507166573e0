//! Whether a script's files are there and may be executed. Only looked at here and at each start: a program that vanished must not stop
//! the others.

use std::fs::Metadata;
use std::io::Read;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::Places;
use crate::app::{Unfit, read_env_file, rehearse_limits};
use crate::config::{Bad, Fault, Loaded, nearest, script_file};
use crate::domain::health::{Probe, ReadySpec, Tool};
use crate::domain::script::{Launch, ScriptSpec};

/// What would keep the script from starting.
pub(super) fn check(spec: &ScriptSpec, places: &Places<'_>) -> Vec<Fault> {
    let launch = &spec.launch;
    let mut faults = Vec::new();
    let mut fault = |key: &str, message: String| faults.push(fault_of(spec, places, key, message));
    match std::fs::metadata(&launch.working_dir) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => fault("working_dir", format!("{} is not a directory", launch.working_dir.display())),
        Err(error) => fault("working_dir", format!("cannot enter {}: {error}", launch.working_dir.display())),
    }
    if let Err(message) = program(launch) {
        fault("command", message);
    }
    if let Some(file) = script_of(launch)
        && let Err(message) = readable(&file)
    {
        fault("command", message);
    }
    for (key, tool) in tools(spec) {
        let tool = Launch { program: tool.program.clone(), args: tool.args.clone(), ..launch.clone() };
        let file = script_of(&tool);
        if let Err(message) = program(&tool).and_then(|()| file.map_or(Ok(()), |file| readable(&file))) {
            fault(key, message);
        }
    }
    if let Some(env_file) = &launch.env_file
        && let Err(error) = read_env_file(env_file)
    {
        fault("env_file", error.to_string());
    }
    // What nobody can enter or execute has been told of; here it is what this script's user cannot.
    let has = |key: &str| faults.iter().any(|fault| fault.key == format!("script.{}.{key}", spec.name));
    let unfit = rehearse_limits(launch, script_of(launch).as_deref());
    let others: Vec<Unfit> = unfit.into_iter().filter(|unfit| unfit.is_limit() || !has(unfit.key)).collect();
    faults.extend(others.into_iter().map(|unfit| {
        let key = if unfit.is_limit() { format!("limits.{}", unfit.key) } else { unfit.key.to_owned() };
        fault_of(spec, places, &key, misnamed(unfit, &spec.launch))
    }));
    faults
}

/// Programs that are run for it besides its own.
fn tools(spec: &ScriptSpec) -> Vec<(&'static str, &Tool)> {
    let probe = match &spec.ready {
        Some(ReadySpec { probe: Probe::Exec(tool), .. }) => Some(("ready.exec", tool)),
        _ => None,
    };
    spec.stop_command.as_ref().map(|tool| ("stop_command", tool)).into_iter().chain(probe).collect()
}

fn fault_of(spec: &ScriptSpec, places: &Places<'_>, key: &str, bad: impl Into<Bad>) -> Fault {
    let key = format!("script.{}.{key}", spec.name);
    Fault::at(&places.get(&key), &key, bad)
}

/// With the name that was probably meant, where one is unknown.
fn misnamed(unfit: Unfit, launch: &Launch) -> Bad {
    let limits = &launch.limits;
    let name = if unfit.key == "group" { limits.group.as_deref() } else { limits.user.as_deref() };
    let suggestion = nearest(name.unwrap_or_default(), unfit.known.iter().map(String::as_str));
    Bad { message: unfit.message, suggestion }
}

/// Directories that the daemon makes or writes to; only a warning, since the daemon may run as somebody else.
pub(super) fn check_dirs(loaded: &Loaded, places: &Places<'_>) -> Vec<Fault> {
    let orchestrator = &loaded.settings.orchestrator;
    let dirs = [("orchestrator.state_dir", &orchestrator.state_dir), ("orchestrator.log_dir", &orchestrator.log_dir)];
    let unwritable = |dir: &PathBuf| {
        let there = dir.ancestors().find(|dir| dir.exists())?;
        let usable = there.is_dir() && access(there, AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
        (!usable)
            .then(|| format!("{} cannot be written by this user: {} is in the way", dir.display(), there.display()))
    };
    let fault = |(key, dir): (&str, &PathBuf)| unwritable(dir).map(|message| Fault::at(&places.get(key), key, message));
    dirs.into_iter().filter_map(fault).collect()
}

fn program(launch: &Launch) -> Result<(), String> {
    let program = &launch.program;
    if !program.is_absolute() {
        return Err(format!("program {} was not found in PATH", program.display()));
    }
    let meta = existing(program)?;
    if !meta.is_file() {
        return Err(format!("program {} is not a file", program.display()));
    }
    if access(program, AccessFlags::X_OK).is_err() {
        return Err(format!("program {0} is not executable; chmod +x {0}", program.display()));
    }
    match head_of(program) {
        Some(head) => interpreted(program, &head),
        None => Ok(()),
    }
}

/// The beginning of a file; None if it cannot be read, which need not keep it from being executed.
fn head_of(program: &Path) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    std::fs::File::open(program).ok()?.take(256).read_to_end(&mut head).ok()?;
    Some(head)
}

/// What the kernel asks of a file that is no program itself: a `#!` line that names an interpreter.
fn interpreted(program: &Path, head: &[u8]) -> Result<(), String> {
    let shown = program.display();
    let Some(line) = head.strip_prefix(b"#!").and_then(|rest| rest.split(|byte| *byte == b'\n').next()) else {
        // Text is no program in any format.
        return match head.contains(&0) {
            true => Ok(()),
            false => Err(format!(
                "{shown} is text without a first line such as #!/bin/sh, which the system cannot execute: add that line, or put the \
                 interpreter first in `command`"
            )),
        };
    };
    if line.ends_with(b"\r") {
        return Err(format!(
            "the first line of {shown} ends with a carriage return, which the system takes for a part of the interpreter's name: give \
             the file Unix line ends, for instance with sed -i 's/\\r$//' {shown}"
        ));
    }
    let words = String::from_utf8_lossy(line);
    match words.split_whitespace().next().map(Path::new).filter(|interpreter| interpreter.is_absolute()) {
        Some(interpreter) if !interpreter.exists() => Err(format!(
            "the first line of {shown} names the interpreter {}, which does not exist: install it, or correct that line",
            interpreter.display()
        )),
        _ => Ok(()),
    }
}

fn existing(path: &Path) -> Result<Metadata, String> {
    std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("not found: {}", path.display()),
        _ => format!("cannot look at {}: {error}", path.display()),
    })
}

fn readable(path: &Path) -> Result<(), String> {
    existing(path)?;
    std::fs::File::open(path).map(drop).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// The script that an interpreter is to run.
fn script_of(launch: &Launch) -> Option<PathBuf> {
    let name = launch.program.file_name()?.to_str()?.to_owned();
    let argv: Vec<String> = std::iter::once(name).chain(launch.args.iter().cloned()).collect();
    let file = script_file(&argv)?;
    // The program itself has been looked at already.
    (argv.first().map(String::as_str) != Some(file)).then(|| launch.working_dir.join(file))
}
