//! The listeners: how connections come in, how many, and how long each may take.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
use tracing::{error, info};

use super::Served;
use super::auth::{Door, Origin};
use super::routes::{Api, router};
use super::stream::Streams;

/// Connections at one time, of each listener: who floods one of them leaves the other to its owner.
const CONNECTIONS: usize = 256;

/// A client that has not sent the head of its request, or the next one, by then is cut off.
const HEAD: Duration = Duration::from_secs(30);

/// One that takes nothing of its answer for so long is cut off.
const WRITE: Duration = Duration::from_secs(20);

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

/// Serves until it is told to stop.
pub(super) async fn serve(served: Served, listener: UnixListener, mut stopped: watch::Receiver<bool>) {
    let alive = super::routes::Alive::new(Arc::clone(&served.control));
    let api = |streams| router(Api::new(Arc::clone(&served.control), alive.clone(), streams));
    let (unix, tcp) = (api(Streams::default()), api(Streams::default()));
    let stop = stopped.clone();
    let (unix_room, tcp_room) = (Arc::new(Semaphore::new(CONNECTIONS)), Arc::new(Semaphore::new(CONNECTIONS)));
    let by_unix = accept_unix(listener, unix, &unix_room, stop.clone());
    let by_tcp = async {
        match &served.listen {
            Some(name) => accept_tcp(&served, name, tcp, &tcp_room, stop.clone()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = by_unix => {}
        () = by_tcp => {}
        () = told(&mut stopped) => {
            // Those that are idle end at once.
            let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
            let ended = async { drop((unix_room.acquire_many(all).await, tcp_room.acquire_many(all).await)) };
            let _ = tokio::time::timeout(FAREWELL, ended).await;
        }
    }
}

/// Until the end is asked for.
async fn told(stopped: &mut watch::Receiver<bool>) {
    // Whoever would ask is gone: that is the same.
    let _ = stopped.wait_for(|stopped| *stopped).await.map(drop);
}

async fn accept_unix(listener: UnixListener, router: Router, room: &Arc<Semaphore>, stopped: watch::Receiver<bool>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let Some(who) = caller(&stream) else { continue };
        let Ok(place) = Arc::clone(room).try_acquire_owned() else { continue };
        let (origin, router, stopped) = (Origin::Unix { who }, router.clone(), stopped.clone());
        tokio::spawn(async move {
            answer(stream, origin, router, stopped).await;
            drop(place);
        });
    }
}

/// The user at the other end; None for one who has no business here, whatever the rights of the file say.
fn caller(stream: &UnixStream) -> Option<String> {
    let uid = stream.peer_cred().ok()?.uid();
    let is_ours = uid == 0 || uid == nix::unistd::geteuid().as_raw();
    let name = || nix::unistd::User::from_uid(uid.into()).ok().flatten().map(|user| user.name);
    is_ours.then(|| name().unwrap_or_else(|| format!("uid {uid}")))
}

async fn accept_tcp(
    served: &Served,
    name: &str,
    router: Router,
    room: &Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
) {
    let listener = open_tcp(name, served.retry).await;
    let Ok(address) = listener.local_addr() else { return std::future::pending().await };
    info!(target: "mho", "The API is at http://{address}");
    let door = Door { name: name.to_owned(), address, token: served.token.clone() };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        // Answers are small and come at once.
        let _ = stream.set_nodelay(true);
        let Ok(place) = Arc::clone(room).try_acquire_owned() else { continue };
        let (origin, router, stopped) = (Origin::Tcp(door.clone()), router.clone(), stopped.clone());
        tokio::spawn(async move {
            answer(stream, origin, router, stopped).await;
            drop(place);
        });
    }
}

/// Until it succeeds: supervision and the unix socket go on meanwhile.
async fn open_tcp(name: &str, retry: Duration) -> TcpListener {
    let mut told = None;
    loop {
        match bind_tcp(name).await {
            Ok(listener) => return listener,
            Err(error) => {
                let text = error.to_string();
                if told.as_ref() != Some(&text) {
                    error!(target: "mho", "The API cannot be served at {name}: {text}; it is tried again every {} s. Free the port, or set [http] listen to another one. Supervision and the control socket go on.", retry.as_secs().max(1));
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
    mut stopped: watch::Receiver<bool>,
) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE));
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
        .header_read_timeout(HEAD)
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
