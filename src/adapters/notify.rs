//! What the service manager (systemd, or whoever set `NOTIFY_SOCKET`) is told: ready, the status line, stopping, still alive.
//!
//! The protocol is one datagram of text. It is sent without ever waiting, since a manager that does not read must not hold up the daemon, and
//! to the address, not over a connection: a manager that was restarted listens there again.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;

use crate::domain::notice::{Notice, What};
use crate::ports::Notifier;

/// Who started this service, if it wants to hear of it.
#[derive(Debug)]
pub struct ServiceManager {
    line: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// As the environment names it. `guard` is the process that the manager takes for the service.
    #[must_use]
    pub fn of_environment(guard: u32) -> Self {
        let text = |name| std::env::var(name).ok();
        let ours = [std::process::id(), guard];
        let watchdog = watchdog(text("WATCHDOG_USEC").as_deref(), text("WATCHDOG_PID").as_deref(), ours);
        Self::new(address(), watchdog)
    }

    /// The one that listens at `address`; None = there is none, or we cannot speak.
    pub(crate) fn new(address: Option<SocketAddr>, watchdog: Option<Duration>) -> Self {
        let socket = || {
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok().map(|()| socket)
        };
        Self { line: address.and_then(|address| Some((socket()?, address))), watchdog }
    }

    /// How often it wants to hear that we are alive, at least; None = it does not, or somebody else is meant.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.line.is_some())
    }

    /// The service does its work.
    ///
    /// # Errors
    /// It could not be told; without this it would give up waiting, so it is to be told again.
    pub fn ready(&self) -> io::Result<()> {
        self.tell("READY=1")
    }

    /// The service starts or stops for at least this long from now on, however long was agreed.
    pub fn extend(&self, time: Duration) {
        // It is told again, sooner than this runs out.
        let _ = self.tell(&format!("EXTEND_TIMEOUT_USEC={}", time.as_micros()));
    }

    /// The service is as well as `text` says.
    pub fn status(&self, text: &str) {
        // The next one tells the same, and more.
        let _ = self.tell(&format!("STATUS={}", text.replace('\n', " ")));
    }

    /// The service ends, in order.
    pub fn stopping(&self) {
        // The end itself tells the same.
        let _ = self.tell("STOPPING=1");
    }

    /// The service is alive.
    pub fn alive(&self) {
        // Twice as many are sent as are asked for.
        let _ = self.tell("WATCHDOG=1");
    }

    fn tell(&self, text: &str) -> io::Result<()> {
        let Some((socket, address)) = &self.line else { return Ok(()) };
        socket.send_to_addr(text.as_bytes(), address).map(drop)
    }
}

/// A path, or with a leading `@` an abstract name. None for any other kind: we could not speak to it.
fn address() -> Option<SocketAddr> {
    let name = std::env::var_os("NOTIFY_SOCKET")?;
    match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(&name).ok(),
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest).ok(),
        _ => None,
    }
}

fn watchdog(micros: Option<&str>, pid: Option<&str>, ours: [u32; 2]) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid.parse().is_ok_and(|pid| ours.contains(&pid)));
    micros.filter(|_| is_ours)?.parse().ok().filter(|&micros| micros > 0).map(Duration::from_micros)
}

/// Hands notices on, and tells the service manager what concerns it.
pub struct Announcing<N> {
    next: N,
    manager: Arc<ServiceManager>,
    zone: Tz,
}

impl<N: Notifier> Announcing<N> {
    /// Times are shown in `zone`.
    #[must_use]
    pub fn new(next: N, manager: Arc<ServiceManager>, zone: Tz) -> Self {
        Self { next, manager, zone }
    }
}

impl<N: Notifier> Notifier for Announcing<N> {
    fn notify(&self, notice: Notice) {
        match notice.what {
            What::Status { .. } => notice.lines(self.zone).iter().for_each(|line| self.manager.status(&line.text)),
            What::ShuttingDown { .. } => self.manager.stopping(),
            _ => {}
        }
        self.next.notify(notice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_ours_if_it_names_this_process_or_its_guard_or_nobody() {
        let second = Some(Duration::from_secs(1));
        for (micros, pid, expected) in [
            (Some("1000000"), None, second),
            (Some("1000000"), Some("7"), second),
            (Some("1000000"), Some("8"), second),
            (Some("1000000"), Some("9"), None),
            (Some("1000000"), Some("x"), None),
            (Some("0"), None, None),
            (Some("soon"), None, None),
            (None, Some("7"), None),
        ] {
            assert_eq!(watchdog(micros, pid, [7, 8]), expected, "{micros:?} {pid:?}");
        }
    }

    #[test]
    fn without_anybody_to_tell_all_is_well() {
        let nobody = ServiceManager::new(None, Some(Duration::from_secs(1)));
        assert!(nobody.ready().is_ok());
        assert_eq!(nobody.watchdog(), None);
    }
}
