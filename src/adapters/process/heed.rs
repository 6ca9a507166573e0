//! What scripts say of themselves, by sd_notify: one socket for each attempt that may speak. What does not come from one of its own processes
//! is not heard.
//!
//! Clients are what they are: `NOTIFY_SOCKET` is a path where that fits into an address, else an abstract name; a descriptor that comes with a
//! message (`BARRIER=1`) is closed, which is the answer that its sender waits for.

use std::ffi::OsString;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, setsockopt, sockopt};
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use super::Shared;
use super::signs::SignBook;
use crate::adapters::{procfs, sys};
use crate::domain::attempt::{AttemptId, ProcessEvent};
use crate::domain::secret::Hidden;

/// A longer message is cut.
const MESSAGE: usize = 4096;

/// A longer status is cut.
const STATUS: usize = 200;

/// An address takes no longer path.
const LONGEST_PATH: usize = 107;

/// So many messages are read at a time, and then it is the others' turn for so long: whoever says too much is heard late, and waits.
const TURN: usize = 64;
const PAUSE: Duration = Duration::from_millis(50);

/// The way up from a process to its leader is not longer.
const GENERATIONS: usize = 64;

/// Each socket has a name of its own.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The kernel lets nobody send more descriptors with a message (`SCM_MAX_FD`): with room for all, none is left open unseen.
const DESCRIPTORS: usize = 253;

/// A socket that nobody listens at yet.
pub(super) struct Socket {
    socket: UnixDatagram,
    /// The value of `NOTIFY_SOCKET`.
    pub(super) address: OsString,
    file: Option<SocketFile>,
}

/// Removed when it is dropped.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Listens until it is dropped.
pub(super) struct Listener {
    task: JoinHandle<()>,
    _file: Option<SocketFile>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is left of the sockets of earlier daemons is removed.
pub(super) fn clean_up(state_dir: &Path) {
    let _ = std::fs::remove_dir_all(dir(state_dir));
}

fn dir(state_dir: &Path) -> PathBuf {
    state_dir.join("notify")
}

impl Socket {
    /// Below `state_dir`, or with an abstract name of the daemon `id` where there is none, or its path is too long.
    pub(super) fn make(state_dir: Option<&Path>, id: &str) -> io::Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = state_dir.map(|state_dir| dir(state_dir).join(number.to_string()));
        let path = path.filter(|path| path.as_os_str().len() <= LONGEST_PATH);
        let (socket, address) = match &path {
            Some(path) => {
                std::fs::create_dir_all(path.parent().unwrap_or(path))?;
                let _ = std::fs::remove_file(path);
                (UnixDatagram::bind(path)?, path.clone().into_os_string())
            }
            None => {
                let name = format!("mho/{id}/{}/{number}", std::process::id());
                (UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?, format!("@{name}").into())
            }
        };
        socket.set_nonblocking(true)?;
        setsockopt(&socket, sockopt::PassCred, &true)?;
        Ok(Self { socket, address, file: path.map(SocketFile) })
    }
}

impl Shared {
    /// From now on it is heard what the processes of `leader` say.
    pub(super) fn heed(
        self: &Arc<Self>,
        socket: Socket,
        attempt: &AttemptId,
        leader: u32,
        signs: Arc<SignBook>,
        hidden: Hidden,
    ) -> io::Result<Listener> {
        let Socket { socket, file, .. } = socket;
        let socket = {
            let _runtime = self.runtime.enter();
            sys::watch_readable(OwnedFd::from(socket))?
        };
        let ear = Ear {
            shared: Arc::downgrade(self),
            attempt: attempt.clone(),
            leader,
            run_id: self.identity.run_id(attempt),
            daemon_id: self.identity.daemon_id.clone(),
            signs,
            hidden,
            stranger_told: false,
        };
        Ok(Listener { task: self.runtime.spawn(ear.listen(socket)), _file: file })
    }
}

struct Ear {
    shared: std::sync::Weak<Shared>,
    attempt: AttemptId,
    leader: u32,
    run_id: String,
    daemon_id: String,
    signs: Arc<SignBook>,
    hidden: Hidden,
    stranger_told: bool,
}

/// What several messages come to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    ready: bool,
    beat: bool,
    status: Option<String>,
}

impl Words {
    fn hear(&mut self, message: &[u8]) {
        for line in String::from_utf8_lossy(message).lines() {
            match line.split_once('=') {
                Some(("READY", "1")) => self.ready = true,
                Some(("WATCHDOG", "1")) => self.beat = true,
                Some(("STATUS", text)) => {
                    self.status = Some(text.chars().filter(|c| !c.is_control()).collect());
                }
                // The rest concerns a service manager, which knows other ways to act on it.
                _ => {}
            }
        }
    }
}

impl Ear {
    async fn listen(mut self, socket: AsyncFd<OwnedFd>) {
        loop {
            let Ok(mut ready) = socket.readable().await else { return };
            let (words, is_empty) = self.read(&socket);
            if is_empty {
                ready.clear_ready();
            }
            drop(ready);
            self.act_on(words);
            if !is_empty {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// What has come, and whether that is all.
    fn read(&mut self, socket: &AsyncFd<OwnedFd>) -> (Words, bool) {
        let mut words = Words::default();
        for _ in 0..TURN {
            match receive(socket.get_ref()) {
                Ok((message, sender)) if self.knows(sender) => words.hear(&message),
                Ok((_, sender)) => self.tell_of_stranger(sender),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return (words, true),
                // Of this message nothing can be made; the next one may be well.
                Err(_) => {}
            }
        }
        (words, false)
    }

    fn act_on(&self, words: Words) {
        let Words { ready, beat, status } = words;
        if beat {
            self.signs.note_beat(Instant::now());
        }
        let Some(shared) = self.shared.upgrade() else { return };
        let sink = shared.lock().attempts.get(&self.attempt).map(|found| Arc::clone(&found.sink));
        let Some(sink) = sink else { return };
        let attempt = &self.attempt;
        if let Some(text) = status {
            // Cut last: half of a secret is no longer known as one.
            let text = self.hidden.cut(text).chars().take(STATUS).collect();
            sink(ProcessEvent::Said { attempt: attempt.clone(), text });
        }
        if ready {
            sink(ProcessEvent::Ready { attempt: attempt.clone() });
        }
    }

    /// One of the attempt's own processes. One that is gone already cannot be told from a stranger.
    fn knows(&self, sender: Option<u32>) -> bool {
        let Some(mut pid) = sender else { return false };
        for _ in 0..GENERATIONS {
            if pid == self.leader {
                return true;
            }
            match procfs::read(pid).ok().flatten() {
                // The unreaped leader keeps the number of its group.
                Some(process) if process.group == self.leader => return true,
                Some(process) if process.parent > 1 && process.parent != std::process::id() => pid = process.parent,
                _ => break,
            }
        }
        // It may have left its group and lost its parents.
        let marks = sender.map(|pid| procfs::environment_values(pid, ["MHO_DAEMON_ID", "MHO_RUN_ID"]));
        matches!(marks, Some([Some(daemon), Some(run)]) if daemon == self.daemon_id && run == self.run_id)
    }

    fn tell_of_stranger(&mut self, sender: Option<u32>) {
        if !std::mem::replace(&mut self.stranger_told, true) {
            let pid = sender.unwrap_or_default();
            tracing::warn!(target: "mho", script = %self.attempt.script, pid, "A message to NOTIFY_SOCKET was not heard: it does not come from a process of this script, or from one that had ended already.");
        }
    }
}

/// One message, and who sent it.
fn receive(socket: &OwnedFd) -> io::Result<(Vec<u8>, Option<u32>)> {
    let mut buffer = vec![0_u8; MESSAGE];
    let mut space = nix::cmsg_space!(nix::sys::socket::UnixCredentials, [std::os::fd::RawFd; DESCRIPTORS]);
    let mut sender = None;
    let length = {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
        for part in message.cmsgs()? {
            match part {
                ControlMessageOwned::ScmCredentials(found) => sender = u32::try_from(found.pid()).ok(),
                ControlMessageOwned::ScmRights(descriptors) => {
                    for descriptor in descriptors {
                        let _ = nix::unistd::close(descriptor);
                    }
                }
                _ => {}
            }
        }
        message.bytes
    };
    buffer.truncate(length);
    Ok((buffer, sender.filter(|pid| *pid > 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_messages_are_heard_as_one() {
        let mut words = Words::default();
        words.hear(b"STATUS=loading\nWATCHDOG=1");
        words.hear(b"READY=1\nSTATUS=connected to \x07gateway\nMAINPID=7\nnonsense");
        let status = Some("connected to gateway".to_owned());
        assert_eq!(words, Words { ready: true, beat: true, status });
        let mut words = Words::default();
        words.hear(b"READY=0\nWATCHDOG=trigger");
        assert_eq!(words, Words::default());
    }

    #[test]
    fn however_many_descriptors_come_with_a_message_none_stays_open() {
        let socket = Socket::make(None, "test").unwrap();
        let name = socket.address.to_str().unwrap().strip_prefix('@').unwrap().to_owned();
        let client = UnixDatagram::unbound().unwrap();
        client.connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
        let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let sent = vec![theirs.as_raw_fd(); DESCRIPTORS];
        let part = [nix::sys::socket::ControlMessage::ScmRights(&sent)];
        nix::sys::socket::sendmsg::<()>(
            client.as_raw_fd(),
            &[std::io::IoSlice::new(b"READY=1")],
            &part,
            MsgFlags::empty(),
            None,
        )
        .unwrap();
        drop(theirs);
        let received = receive(&OwnedFd::from(socket.socket)).unwrap();
        assert_eq!(received, (b"READY=1".to_vec(), Some(std::process::id())));
        // The pipe has ended: nobody holds its other end any more.
        assert_eq!(rustix::io::read(&ours, &mut [0_u8; 1]), Ok(0));
    }

    #[test]
    fn a_message_comes_with_its_sender_and_its_descriptors_are_closed() {
        let dir = tempfile::tempdir().unwrap();
        for state_dir in [Some(dir.path()), None] {
            let socket = Socket::make(state_dir, "test").unwrap();
            let client = UnixDatagram::unbound().unwrap();
            match socket.address.to_str().unwrap().strip_prefix('@') {
                Some(name) => client.connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap(),
                None => client.connect(&socket.address).unwrap(),
            }
            client.send(b"READY=1").unwrap();
            let received = receive(&OwnedFd::from(socket.socket)).unwrap();
            assert_eq!(received, (b"READY=1".to_vec(), Some(std::process::id())));
        }
    }
}
