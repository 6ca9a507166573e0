//! The API, once: over a unix socket that its owner alone may use, and over TCP. What it shows and does goes through [`Control`]; the command
//! line is its client.
//!
//! It is served by a thread of its own, at a lower priority than supervision: however many ask, and however slowly they read, no boundary and
//! no restart waits for them. Everything that a client can make grow is bounded: connections, streams, headers, bodies, what is buffered for
//! whoever reads slowly.

mod auth;
pub mod client;
mod listen;
mod orders;
mod page;
mod parameters;
mod routes;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::watch;

use crate::ports::{Control, Notifier};

pub use auth::Token;

/// Supervision comes first.
const NICENESS: i32 = 5;

/// Files are read aside by so many threads at most.
const READERS: usize = 2;

/// What is served, and where.
pub struct Served {
    /// The daemon.
    pub control: Arc<dyn Control>,
    /// Where the unix socket is, or will be. Whoever has the state directory has it alone: what a dead daemon left there is replaced.
    pub socket: PathBuf,
    /// Hears of a port that is taken.
    pub notifier: Arc<dyn Notifier>,
    /// The configuration file of the daemon, absolute; None for the embedded text.
    pub config: Option<PathBuf>,
    /// Host and port for TCP; None = none.
    pub listen: Option<String>,
    /// The file of the token, which `mho dashboard` reads.
    pub token_file: PathBuf,
    /// By which changes are allowed over TCP; None = none are.
    pub token: Option<Token>,
    /// How long things may take.
    pub pace: Pace,
}

/// How long things may take. The default is for a daemon; a test has less time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A client that has not sent the head of its request, or of the next one, by then is cut off.
    pub head: Duration,
    /// One that has not sent the body by then is refused.
    pub body: Duration,
    /// One that takes nothing of its answer for so long is cut off.
    pub write: Duration,
    /// What is only to be shown and has not come by then, from a disk that does not answer, is not waited for.
    pub show: Duration,
    /// A stream on which nothing happens says so this often: that is how both ends find out that the other one is gone.
    pub ping: Duration,
    /// How long after it was found taken a TCP port is tried again.
    pub retry: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            head: seconds(30),
            body: seconds(10),
            write: seconds(20),
            show: seconds(30),
            ping: client::PING,
            retry: seconds(30),
        }
    }
}

/// The API at work.
pub struct Server {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    tcp: Arc<OnceLock<SocketAddr>>,
}

/// The thread ends sooner than this, unless a disk keeps it that does not answer. Counted, not measured: a clock that is made to lie, as in
/// tests, must not stretch the wait.
const LAST_STEPS: u32 = 500;
const STEP: Duration = Duration::from_millis(1);

/// Begins to serve.
///
/// # Errors
/// The unix socket cannot be made, or the machine gives no thread.
pub fn serve(served: Served) -> io::Result<Server> {
    let listener = listen::bind_private(&served.socket)?;
    let (stop, stopped) = watch::channel(false);
    let tcp = Arc::default();
    let bound = Arc::clone(&tcp);
    let work = move || run(served, listener, bound, stopped);
    let thread = thread::Builder::new().name("mho-http".to_owned()).spawn(work)?;
    Ok(Server { stop, thread: Some(thread), tcp })
}

fn run(
    served: Served,
    listener: std::os::unix::net::UnixListener,
    bound: Arc<OnceLock<SocketAddr>>,
    stopped: watch::Receiver<bool>,
) {
    // Where that is not allowed it is served all the same.
    let _ = rustix::process::setpriority_process(None, NICENESS);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(READERS).build();
    let Ok(runtime) = runtime else {
        tracing::error!(target: "mho", "The control socket is not served: the machine gives no runtime; look at its limits (ulimit -a)");
        return;
    };
    runtime.block_on(async {
        match UnixListener::from_std(listener) {
            Ok(listener) => listen::serve(served, listener, bound, stopped).await,
            Err(error) => tracing::error!(target: "mho", "The control socket is not served: {error}"),
        }
    });
    // Whatever is still being read aside is not waited for.
    runtime.shutdown_background();
}

impl Server {
    /// Where TCP is served; None = nowhere, or not yet: the port is taken.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        self.tcp.get().copied()
    }

    /// Ends it, in half a second or so at the most: streams end, requests that are being answered get a moment. Dropping it does the same.
    /// The socket stays, and nobody listens at it: a file system that stands still must not hold up the end of the daemon.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A thread that has ended hears nothing.
        let _ = self.stop.send(true);
        let Some(thread) = self.thread.take() else { return };
        for _ in 0..LAST_STEPS {
            if thread.is_finished() {
                return;
            }
            thread::sleep(STEP);
        }
        // It ends with the process, then.
    }
}
