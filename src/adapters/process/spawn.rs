//! One child process: its pipe, its command, and the text for every way in which its start can fail.
//!
//! The command uses nothing that would take the standard library off its `posix_spawn` path (no `pre_exec`, no uid, no gid): a fork of the
//! daemon costs many times as much. Only a script with `limits` is forked: see `prepare`.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::libc;
use rustix::fs::OFlags;
use rustix::pipe::PipeFlags;

use super::limits::Limits;
use super::prepare::{self, Preparation};
use crate::adapters::fault_point;
use crate::adapters::sys::{self, Step};
use crate::domain::outcome::SpawnError;
use crate::domain::script::Launch;

/// A child that runs.
pub(super) struct Spawned {
    pub(super) leader: u32,
    /// Our end of its output.
    pub(super) pipe: OwnedFd,
    /// The limit that it hands on to everything it starts.
    pub(super) mark: Option<u64>,
}

/// Starts the program in its own process group. Not to be called twice at a time: see `limits`.
pub(super) fn spawn(
    launch: &Launch,
    environment: Vec<(OsString, OsString)>,
    preparation: Preparation,
    limits: &Limits,
) -> Result<Spawned, SpawnError> {
    let failed = |error| explain(&error, launch);
    let (ours, theirs) = output_pipe().map_err(failed)?;
    preparation.hand_over(&theirs);
    let stderr = theirs.try_clone().map_err(failed)?;
    fault_point::reach("spawn").map_err(failed)?;
    let lent = limits.lend(stderr.as_raw_fd());
    let mut command = Command::new(&launch.program);
    command
        .args(&launch.args)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::from(theirs))
        .stderr(Stdio::from(stderr))
        .process_group(0);
    let sets_open_files = preparation.sets_open_files();
    let keys = if preparation.is_empty() {
        command.current_dir(&launch.working_dir);
        Vec::new()
    } else {
        let (steps, keys) = preparation.into_steps();
        sys::prepare_child(&mut command, steps);
        keys
    };
    let child = command.spawn().map_err(|error| explain_prepared(&error, &keys, launch))?;
    // The standard library's handle is dropped without waiting: this module waits by itself.
    let leader = child.id();
    Ok(Spawned { leader, pipe: ours, mark: lent.settle_for(leader, sets_open_files) })
}

/// Becomes the program, in the foreground: with our 0, 1 and 2, and else as `spawn` would start it. Returns only if that fails, with the same
/// text. Not by the standard library, which hands what the kernel refuses to `/bin/sh`.
pub fn become_program(launch: &Launch, environment: Vec<(OsString, OsString)>, preparation: Preparation) -> SpawnError {
    let (steps, keys) = preparation.into_steps();
    match try_to_become(launch, environment, &steps) {
        Ok(never) => match never {},
        Err(error) => explain_prepared(&error, &keys, launch),
    }
}

fn try_to_become(launch: &Launch, environment: Vec<(OsString, OsString)>, steps: &[Step]) -> io::Result<Infallible> {
    let program = CString::new(launch.program.as_os_str().as_bytes())?;
    let args = launch.args.iter().map(|arg| CString::new(arg.as_bytes()));
    let args = std::iter::once(Ok(program.clone())).chain(args).collect::<Result<Vec<_>, _>>()?;
    let variable =
        |(name, value): (OsString, OsString)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat());
    let environment = environment.into_iter().map(variable).collect::<Result<Vec<_>, _>>()?;
    if steps.is_empty() {
        std::env::set_current_dir(&launch.working_dir)?;
    }
    sys::close_inherited_on_exec()?;
    sys::reset_signals_for_exec()?;
    // Last: with the limits that they set, and as somebody else, this process may not be able to do much more.
    sys::take(steps)?;
    Ok(nix::unistd::execve(&program, &args, &environment)?)
}

/// A pipe whose far end is open for reading, too: a script that prints after the daemon died gets no SIGPIPE. Our end still sees the end of
/// the file once the script has closed its own.
fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&ours, OFlags::NONBLOCK)?;
    let both_ways = OpenOptions::new().read(true).write(true).open(format!("/proc/self/fd/{}", theirs.as_raw_fd()));
    // Without /proc the script merely loses that protection.
    Ok((ours, both_ways.map_or(theirs, OwnedFd::from)))
}

/// What went wrong, and what to do next, of a script that was to take the steps of these `keys` first.
fn explain_prepared(error: &io::Error, keys: &[&'static str], launch: &Launch) -> SpawnError {
    let Some(unfit) = prepare::stumbled(error, keys, launch) else { return explain(error, launch) };
    // A directory that nobody could enter has a text of its own.
    let directory = if unfit.is_limit() { None } else { directory_fault(&launch.working_dir) };
    directory.map_or_else(|| unfit.into(), SpawnError)
}

/// What went wrong, and what to do next.
pub(super) fn explain(error: &io::Error, launch: &Launch) -> SpawnError {
    let program = launch.program.display();
    let text = match error.raw_os_error().unwrap_or_default() {
        libc::EAGAIN => {
            "no further process is allowed: raise the limit (`ulimit -u`, the container's pids limit) or run fewer"
                .to_owned()
        }
        libc::EMFILE | libc::ENFILE => "too many open files: raise the limit (`ulimit -n`, LimitNOFILE)".to_owned(),
        libc::ENOMEM => "out of memory: free some, or raise the container's memory limit".to_owned(),
        libc::E2BIG => {
            "its arguments and environment are too long together: shorten `command`, `env` or `env_file`".to_owned()
        }
        libc::ETXTBSY => format!("{program} is being written at this moment: wait until the copy is complete"),
        libc::ENOEXEC => format!(
            "{program} has no #! line and is no program for this machine: add one, or put the interpreter first in `command`"
        ),
        code => directory_fault(&launch.working_dir)
            .or_else(|| user_fault(launch).filter(|_| code == libc::EACCES))
            .or_else(|| program_fault(&launch.program))
            .unwrap_or_else(|| format!("{program} could not be started: {error}")),
    };
    SpawnError(text)
}

fn directory_fault(directory: &Path) -> Option<String> {
    let shown = directory.display();
    match std::fs::metadata(directory) {
        Ok(found) if found.is_dir() => {
            let denied = rustix::fs::access(directory, rustix::fs::Access::EXEC_OK).is_err();
            denied.then(|| format!("working_dir {shown} may not be entered: change its rights or `working_dir`"))
        }
        Ok(_) => Some(format!("working_dir {shown} is not a directory: correct `working_dir`")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Some(format!("working_dir {shown} does not exist: create it, or correct `working_dir`"))
        }
        Err(error) => Some(format!("working_dir {shown} cannot be used: {error}")),
    }
}

/// The program may be executed, but not by everybody.
fn user_fault(launch: &Launch) -> Option<String> {
    let (user, program) = (launch.limits.user.as_ref()?, &launch.program);
    let found = std::fs::metadata(program).ok().filter(std::fs::Metadata::is_file)?;
    (found.permissions().mode() & 0o111 != 0).then(|| {
        let shown = program.display();
        format!("user {user} may not execute {shown}: change its rights and those of its directories, or `limits.user`")
    })
}

fn program_fault(program: &Path) -> Option<String> {
    let shown = program.display();
    let found = match std::fs::metadata(program) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Some(format!("{shown} does not exist: put it back, or correct `command`"));
        }
        Err(error) => return Some(format!("{shown} cannot be reached: {error}")),
    };
    if !found.is_file() {
        return Some(format!("{shown} is not a file: correct `command`"));
    }
    if found.permissions().mode() & 0o111 == 0 {
        return Some(format!(
            "{shown} is not executable: `chmod +x {shown}`, or put the interpreter first in `command`"
        ));
    }
    let interpreter = interpreter(program)?;
    if Path::new(interpreter.trim_end()).exists() && !interpreter.ends_with('\r') {
        return Some(format!(
            "{shown} may not be executed: look at the rights of its directory and the mount (noexec)"
        ));
    }
    let ending = if interpreter.ends_with('\r') { " (the file has Windows line endings)" } else { "" };
    let interpreter = interpreter.trim_end();
    Some(format!("{shown} asks for the interpreter {interpreter}, which does not exist{ending}: correct its #! line"))
}

/// The interpreter that the first line asks for, with a carriage return if there is one.
fn interpreter(program: &Path) -> Option<String> {
    let mut head = [0_u8; 256];
    let length = std::fs::File::open(program).ok()?.read(&mut head).ok()?;
    let line = head.get(..length)?.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let text = String::from_utf8_lossy(line);
    let text = text.trim_start_matches([' ', '\t']);
    text.split([' ', '\t']).next().map(str::to_owned)
}
