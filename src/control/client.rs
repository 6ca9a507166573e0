//! The client that the command line is: blocking, over the unix socket of a state directory.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use super::listen::short;

/// A daemon answers at once, or says that it goes on.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no daemon is running: {} ({reason}); mho run starts one, --state-dir or --config name another", socket.display())]
    NotRunning {
        /// Where it would.
        socket: PathBuf,
        /// Why it is known.
        reason: io::Error,
    },
    /// It was answered with a refusal.
    #[error("{text}")]
    Refused {
        /// The status of the answer.
        status: u16,
        /// Why, in words.
        text: String,
    },
    /// The daemon answers, but not as it should.
    #[error("the daemon at {} does not answer as it should: {text}; look at its log", socket.display())]
    Broken {
        /// Where.
        socket: PathBuf,
        /// What is wrong.
        text: String,
    },
}

/// A client of one daemon.
pub struct Client {
    socket: PathBuf,
    runtime: Runtime,
}

impl Client {
    /// Of the daemon that has this state directory.
    ///
    /// # Errors
    /// The machine gives no runtime.
    pub fn of(state_dir: &Path) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { socket: state_dir.join("mho.sock"), runtime })
    }

    /// What the daemon says at `path`.
    ///
    /// # Errors
    /// There is no daemon, it refuses, or its answer makes no sense.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Method::GET, path, PATIENCE)
    }

    /// The same, as text.
    ///
    /// # Errors
    /// There is no daemon, or it refuses.
    pub fn text(&self, path: &str) -> Result<String, ClientError> {
        self.runtime.block_on(async { self.body(Method::GET, path, PATIENCE).await })
    }

    /// What the daemon says to an order, for which it may take as long as `wait`.
    ///
    /// # Errors
    /// There is no daemon, it refuses, or its answer makes no sense.
    pub fn post<T: DeserializeOwned>(&self, path: &str, wait: Duration) -> Result<T, ClientError> {
        self.ask(Method::POST, path, wait + PATIENCE)
    }

    /// Every event of the stream at `path`, until it ends or `hear` has had enough. `idle` comes each time that nothing was heard for a second.
    ///
    /// # Errors
    /// There is no daemon, or it refuses.
    pub fn watch(
        &self,
        path: &str,
        mut hear: impl FnMut(Option<(&str, &str)>) -> io::Result<()>,
    ) -> Result<(), ClientError> {
        self.runtime.block_on(async {
            let (response, _connection) = self.send(Method::GET, path, PATIENCE).await?;
            let mut body = response.into_body();
            let mut text = Vec::new();
            loop {
                let frame = match tokio::time::timeout(Duration::from_secs(1), body.frame()).await {
                    Ok(Some(Ok(frame))) => frame,
                    Ok(_) => return Ok(()),
                    Err(_) => {
                        hear(None).map_err(|error| self.broken(error))?;
                        continue;
                    }
                };
                text.extend_from_slice(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
                while let Some(end) = memchr::memmem::find(&text, b"\n\n") {
                    let event: Vec<u8> = text.drain(..end + 2).collect();
                    let event = String::from_utf8_lossy(&event);
                    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                    if let (Some(kind), Some(data)) = (field("event: "), field("data: ")) {
                        hear(Some((kind, data))).map_err(|error| self.broken(error))?;
                    }
                }
            }
        })
    }

    fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, patience: Duration) -> Result<T, ClientError> {
        let text = self.runtime.block_on(self.body(method, path, patience))?;
        serde_json::from_str(&text).map_err(|error| self.broken(error))
    }

    async fn body(&self, method: Method, path: &str, patience: Duration) -> Result<String, ClientError> {
        let (response, _connection) = self.send(method, path, patience).await?;
        let body = response.into_body().collect().await.map_err(|error| self.broken(error))?;
        Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
    }

    /// The answer, if it is no refusal, and what keeps it coming.
    async fn send(
        &self,
        method: Method,
        path: &str,
        patience: Duration,
    ) -> Result<(Response<Incoming>, Connection), ClientError> {
        let not_running = |reason| ClientError::NotRunning { socket: self.socket.clone(), reason };
        let (socket, _dir) = short(&self.socket).map_err(not_running)?;
        let stream = UnixStream::connect(socket).await.map_err(not_running)?;
        let answered = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            let connection = Connection(tokio::spawn(async move {
                // What went wrong with it is seen where the answer is read.
                let _ = connection.await;
            }));
            let request = Request::builder().method(method).uri(path).header("host", "mho");
            let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
            Ok::<_, Trouble>((sender.send_request(request).await?, connection))
        };
        let answered = tokio::time::timeout(patience, answered).await;
        let (response, connection) = match answered {
            Ok(Ok(answered)) => answered,
            Ok(Err(Trouble(text))) => return Err(self.broken(text)),
            Err(_) => return Err(self.broken(format!("nothing came for {} s", patience.as_secs()))),
        };
        if response.status().is_success() {
            return Ok((response, connection));
        }
        Err(refused(response).await)
    }

    fn broken(&self, what: impl ToString) -> ClientError {
        ClientError::Broken { socket: self.socket.clone(), text: what.to_string() }
    }
}

/// A connection, as long as somebody reads from it.
struct Connection(tokio::task::JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What can go wrong between the two.
struct Trouble(String);

impl From<hyper::Error> for Trouble {
    fn from(error: hyper::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<String> for Trouble {
    fn from(text: String) -> Self {
        Self(text)
    }
}

async fn refused(response: Response<Incoming>) -> ClientError {
    let status = response.status();
    let body = response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let value: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = ["error", "status"].iter().find_map(|key| value.get(*key)?.as_str());
    let text = text.map_or_else(|| reason(status), str::to_owned);
    ClientError::Refused { status: status.as_u16(), text }
}

fn reason(status: StatusCode) -> String {
    format!("the daemon answered {status}")
}
