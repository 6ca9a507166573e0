//! The listeners: how connections come in, how many, and how long each may take.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream, lookup_host};
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tracing::info;

use super::auth::{Door, Origin};
use super::routes::{Alive, Api, Place, router};
use super::stream::Streams;
use super::{Pace, Served};
use crate::domain::notice::{Notice, What};

/// Connections at one time, of each listener.
const CONNECTIONS: usize = 256;

/// The head of a request may be so long; so much of an answer waits for whoever reads slowly.
const BUFFER: usize = 32 * 1024;

/// After the end was asked for, requests that are being answered have so long.
const FAREWELL: Duration = Duration::from_millis(300);

/// A listener that cannot accept, for want of descriptors, is tried again after so long.
const BREATH: Duration = Duration::from_millis(100);

/// A socket that was never open to anybody but its owner: it gets its name when it has its rights.
pub(super) fn bind_private(path: &Path) -> io::Result<StdListener> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let fresh = tempfile::Builder::new().prefix(".sock").tempdir_in(dir)?;
    let made = fresh.path().join("s");
    let (address, _dir) = short(&made)?;
    let listener = StdListener::bind(address)?;
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&made, path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The address of a socket holds a hundred bytes or so. A longer path is reached through its directory, as long as that is kept open.
pub(super) fn short(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    const LONGEST: usize = 100;
    if path.as_os_str().len() <= LONGEST {
        return Ok((path.to_owned(), None));
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Ok((path.to_owned(), None)) };
    let dir = File::open(dir)?;
    let through = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
    Ok((through, Some(dir)))
}

/// One of the listeners: what it answers by, and how much room it has. Each has its own: who floods one leaves the other to its owner.
struct Gate {
    router: Router,
    room: Arc<Semaphore>,
    pace: Pace,
    stopped: watch::Receiver<bool>,
}

impl Gate {
    /// Answers the requests of one connection, as long as there is room for it: nobody waits in line.
    fn admit(&self, stream: impl AsyncRead + AsyncWrite + Send + 'static, origin: Origin) {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else { return };
        let answered = answer(stream, origin, self.router.clone(), self.pace, self.stopped.clone());
        tokio::spawn(async move {
            answered.await;
            drop(place);
        });
    }

    /// Until no connection is left.
    async fn is_empty(&self) {
        let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
        // It is never closed.
        let _ = self.room.acquire_many(all).await.map(drop);
    }
}

/// Serves until it is told to stop.
pub(super) async fn serve(
    served: Served,
    listener: UnixListener,
    bound: Arc<OnceLock<SocketAddr>>,
    mut stopped: watch::Receiver<bool>,
) {
    let pace = served.pace;
    let alive = Alive::new(Arc::clone(&served.control));
    let place = Arc::new(Place {
        config: served.config.clone(),
        token_file: served.token_file.clone(),
        wanted: served.listen.clone(),
        bound: Arc::clone(&bound),
    });
    let gate = || Gate {
        router: router(Api {
            control: Arc::clone(&served.control),
            alive: alive.clone(),
            streams: Streams::new(pace.ping, &stopped),
            pace,
            place: Arc::clone(&place),
        }),
        room: Arc::new(Semaphore::new(CONNECTIONS)),
        pace,
        stopped: stopped.clone(),
    };
    let (unix, tcp) = (gate(), gate());
    let by_unix = accept_unix(listener, &unix);
    let by_tcp = async {
        match &served.listen {
            Some(name) => accept_tcp(name, &served, &bound, &tcp).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = by_unix => {}
        () = by_tcp => {}
        () = told(&mut stopped) => {}
    }
    // Those that are idle end at once.
    let _ = tokio::time::timeout(FAREWELL, async { tokio::join!(unix.is_empty(), tcp.is_empty()) }).await;
}

/// Until the end is asked for.
pub(super) async fn told(stopped: &mut watch::Receiver<bool>) {
    // Whoever would ask is gone: that is the same.
    let _ = stopped.wait_for(|stopped| *stopped).await.map(drop);
}

async fn accept_unix(listener: UnixListener, gate: &Gate) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Some(uid) = caller(&stream) {
                    gate.admit(stream, Origin::Unix { uid });
                }
            }
            Err(_) => tokio::time::sleep(BREATH).await,
        }
    }
}

/// The user at the other end; None for one who has no business here, whatever the rights of the file say.
fn caller(stream: &UnixStream) -> Option<u32> {
    let uid = stream.peer_cred().ok()?.uid();
    (uid == 0 || uid == nix::unistd::geteuid().as_raw()).then_some(uid)
}

async fn accept_tcp(name: &str, served: &Served, bound: &OnceLock<SocketAddr>, gate: &Gate) {
    let listener = open_tcp(name, served).await;
    let Ok(address) = listener.local_addr() else { return std::future::pending().await };
    let _ = bound.set(address);
    info!(target: "mho", "The API is at http://{address}");
    let door = Door::new(name, address, served.token.clone());
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and come at once.
                let _ = stream.set_nodelay(true);
                gate.admit(stream, Origin::Tcp(door.clone()));
            }
            Err(_) => tokio::time::sleep(BREATH).await,
        }
    }
}

/// Until it succeeds: supervision and the unix socket go on meanwhile.
async fn open_tcp(name: &str, served: &Served) -> TcpListener {
    let retry = served.pace.retry;
    let mut told = None;
    loop {
        match bind_tcp(name).await {
            Ok(listener) => return listener,
            Err(error) => {
                let text = error.to_string();
                if told.as_ref() != Some(&text) {
                    let what = What::PortTaken { address: name.to_owned(), error: text.clone(), retry };
                    let (at, _) = served.control.clock();
                    served.notifier.notify(Notice { at, about: None, what });
                    told = Some(text);
                }
                tokio::time::sleep(retry).await;
            }
        }
    }
}

async fn bind_tcp(name: &str) -> io::Result<TcpListener> {
    let addresses: Vec<SocketAddr> = lookup_host(name).await?.collect();
    TcpListener::bind(&*addresses).await
}

/// Answers the requests of one connection.
async fn answer(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    origin: Origin,
    router: Router,
    pace: Pace,
    mut stopped: watch::Receiver<bool>,
) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(pace.write));
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (origin, router) = (origin.clone(), router.clone());
        async move {
            let mut request: Request = request.map(Body::new);
            request.extensions_mut().insert(origin);
            Ok::<_, Infallible>(tower_call(router, request).await)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(pace.head)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // Whatever went wrong with it is the client's affair.
        _ = connection.as_mut() => {}
        () = told(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(FAREWELL, connection).await;
        }
    }
}

async fn tower_call(router: Router, request: Request) -> axum::response::Response {
    use tower::ServiceExt;
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
