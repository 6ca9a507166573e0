//! The API, once: over a unix socket that its owner alone may use, and over TCP. What it shows and does goes through [`Control`]; the command
//! line is its client.
//!
//! It is served by a thread of its own, at a lower priority than supervision: however many ask, and however slowly they read, no boundary and
//! no restart waits for them. Everything that a client can make grow is bounded: connections, streams, headers, bodies, what is buffered for
//! whoever reads slowly.

mod auth;
pub mod client;
mod listen;
mod parameters;
mod routes;
mod stream;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::watch;

use crate::ports::Control;

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
    /// Host and port for TCP; None = none.
    pub listen: Option<String>,
    /// By which changes are allowed over TCP; None = none are.
    pub token: Option<Token>,
    /// How long after it was found taken a TCP port is tried again.
    pub retry: Duration,
}

/// The API at work.
pub struct Server {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// Begins to serve.
///
/// # Errors
/// The unix socket cannot be made, or the machine gives no thread.
pub fn serve(served: Served) -> io::Result<Server> {
    let listener = listen::bind_private(&served.socket)?;
    let (stop, stopped) = watch::channel(false);
    let thread = thread::Builder::new().name("mho-http".to_owned()).spawn(move || run(served, listener, stopped))?;
    Ok(Server { stop, thread: Some(thread) })
}

fn run(served: Served, listener: std::os::unix::net::UnixListener, stopped: watch::Receiver<bool>) {
    // Where that is not allowed it is served all the same.
    let _ = rustix::process::setpriority_process(None, NICENESS);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(READERS).build();
    let Ok(runtime) = runtime else {
        tracing::error!(target: "mho", "The control socket is not served: the machine gives no runtime; look at its limits (ulimit -a)");
        return;
    };
    runtime.block_on(async {
        match UnixListener::from_std(listener) {
            Ok(listener) => listen::serve(served, listener, stopped).await,
            Err(error) => tracing::error!(target: "mho", "The control socket is not served: {error}"),
        }
    });
    // Whatever is still being read aside is not waited for.
    runtime.shutdown_background();
}

impl Server {
    /// Ends it: streams are cut off, requests that are being answered get a moment. The socket stays, and nobody listens at it: a file system
    /// that stands still must not hold up the end of the daemon.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended, too.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
