//! Small programs that run beside the scripts: each in a group of its own, with all that it prints read away, killed at the end of its time
//! together with what it started.

use std::io;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::PoisonError;
use std::time::Duration;

use rustix::fs::{MemfdFlags, OFlags, SeekFrom};
use rustix::pipe::PipeFlags;
use rustix::process::WaitIdOptions;
use tokio::io::unix::AsyncFd;

use super::{LEADERS, Preparation, forget, signal_group, spawn, wait, watch};
use crate::adapters::sys;
use crate::domain::limits::Limits;
use crate::domain::outcome::{Exit, Signal};
use crate::domain::script::Launch;
use crate::domain::secret::Hidden;
use crate::ports::{Errand, ErrandEnd, Errands, PortFuture};

/// So much of what it prints is kept, from the end.
const KEPT: usize = 4096;

/// So long may the line be that is shown of it.
const SHOWN: usize = 300;

/// So long is waited for one that was killed.
const BURIAL: Duration = Duration::from_secs(1);

/// Pause between two looks whether it is dead.
const GLANCE: Duration = Duration::from_millis(5);

/// Runs errands on the runtime of whoever asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealErrands;

impl Errands for RealErrands {
    fn run(&self, errand: Errand) -> PortFuture<ErrandEnd> {
        send_out(errand, Preparation::default(), Hidden::default())
    }
}

/// With what a script's own limits ask for, and without what nobody is shown.
pub(super) fn send_out(errand: Errand, preparation: Preparation, hidden: Hidden) -> PortFuture<ErrandEnd> {
    let task = tokio::spawn(run(errand, preparation, hidden));
    Box::pin(async move { task.await.unwrap_or_else(|error| ErrandEnd::Failed(error.to_string())) })
}

async fn run(errand: Errand, preparation: Preparation, hidden: Hidden) -> ErrandEnd {
    let limit = errand.limit;
    let (leader, pipe) = match start(&errand, preparation) {
        Ok(started) => started,
        Err(error) => return ErrandEnd::Failed(explain(&error, &errand)),
    };
    let watched = watch(leader).and_then(|handle| Ok((handle, sys::watch_readable(pipe)?)));
    let (exit, said) = match watched {
        Ok((handle, pipe)) => {
            let mut tail = Vec::new();
            let ended = tokio::time::timeout(limit, follow(&handle, &pipe, &mut tail)).await;
            (ended.is_ok().then(|| wait(leader, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)), tail)
        }
        Err(error) => (Some(Err(error)), Vec::new()),
    };
    // Also what it left behind; its zombie keeps the number of the group from being used again.
    signal_group(leader, Signal::KILL);
    // One that a dead disk holds in the kernel outlives the signal: nobody waits for it, and its zombie is taken whenever it comes.
    let _ = tokio::time::timeout(BURIAL, tokio::spawn(bury(leader))).await;
    match exit {
        None => ErrandEnd::TimedOut,
        Some(Ok(exit)) => ErrandEnd::Exited { exit: exit.unwrap_or(Exit::Code(255)), said: last_line(&said, &hidden) },
        Some(Err(error)) => ErrandEnd::Failed(format!("it could not be watched: {error}")),
    }
}

/// Takes the zombie of one that was killed as soon as there is one.
pub(super) async fn bury(leader: u32) {
    while matches!(wait(leader, WaitIdOptions::EXITED | WaitIdOptions::NOHANG), Ok(None)) {
        tokio::time::sleep(GLANCE).await;
    }
    forget(leader);
}

fn start(errand: &Errand, preparation: Preparation) -> io::Result<(u32, OwnedFd)> {
    let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&ours, OFlags::NONBLOCK)?;
    preparation.hand_over(&theirs);
    let stdin = if errand.stdin.is_empty() { Stdio::null() } else { Stdio::from(content(&errand.stdin)?) };
    let mut command = Command::new(&errand.program);
    command
        .args(&errand.args)
        .env_clear()
        .envs(errand.env.iter().map(|(name, value)| (name, value)))
        .stdin(stdin)
        .stdout(Stdio::from(theirs.try_clone()?))
        .stderr(Stdio::from(theirs))
        .process_group(0);
    if preparation.is_empty() {
        command.current_dir(&errand.working_dir);
    } else {
        sys::prepare_child(&mut command, preparation.into_steps().0);
    }
    // Held across the spawn: nobody may take the new child for an orphan.
    let mut leaders = LEADERS.lock().unwrap_or_else(PoisonError::into_inner);
    let leader = command.spawn()?.id();
    leaders.insert(leader);
    Ok((leader, ours))
}

/// A file in memory that holds this: nobody has to wait until it is read.
fn content(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = std::fs::File::from(rustix::fs::memfd_create("errand", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    rustix::fs::seek(&file, SeekFrom::Start(0))?;
    Ok(file.into())
}

/// Reads what is printed, until the leader ends.
async fn follow(handle: &AsyncFd<OwnedFd>, pipe: &AsyncFd<OwnedFd>, tail: &mut Vec<u8>) {
    let mut is_open = true;
    loop {
        tokio::select! {
            _ = handle.readable() => {
                read(pipe, tail);
                return;
            }
            Ok(mut ready) = pipe.readable(), if is_open => {
                is_open = read(pipe, tail);
                ready.clear_ready();
            }
        }
    }
}

/// What is there now; false when no more can come.
fn read(pipe: &AsyncFd<OwnedFd>, tail: &mut Vec<u8>) -> bool {
    let mut buffer = [0; KEPT];
    // Whoever prints without end must not keep everybody here.
    for _ in 0..64 {
        match rustix::io::read(pipe.get_ref(), &mut buffer) {
            Ok(0) => return false,
            Ok(length) => {
                tail.extend_from_slice(buffer.get(..length).unwrap_or_default());
                tail.drain(..tail.len().saturating_sub(KEPT));
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return true,
            Err(_) => return false,
        }
    }
    true
}

fn last_line(said: &[u8], hidden: &Hidden) -> String {
    let text = String::from_utf8_lossy(said);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    let line = line.chars().filter(|c| !c.is_control()).collect();
    // Cut last: half of a secret is no longer known as one.
    hidden.cut(line).chars().take(SHOWN).collect()
}

/// The words of a script that cannot be started.
fn explain(error: &io::Error, errand: &Errand) -> String {
    let launch = Launch {
        program: errand.program.clone(),
        args: Vec::new(),
        display: String::new(),
        working_dir: errand.working_dir.clone(),
        inherit_env: false,
        env_file: None,
        env: std::collections::BTreeMap::new(),
        limits: Limits::default(),
    };
    spawn::explain(error, &launch).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_half_of_a_secret_is_shown() {
        let said = format!("first\n{}s3cret-key\n\n", "x".repeat(SHOWN - 3));
        let line = last_line(said.as_bytes(), &Hidden::of(["s3cret-key"]));
        assert_eq!(line, format!("{}[re", "x".repeat(SHOWN - 3)));
    }
}
