//! The client that the command line is: blocking, over the unix socket of a state directory.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::listen::short;

/// A daemon answers at once, or says that it goes on.
const PATIENCE: Duration = Duration::from_secs(15);

/// A stream on which nothing happens says so this often.
pub(super) const PING: Duration = Duration::from_secs(15);

/// One that says nothing for so long is dead.
const SILENCE: Duration = PING.saturating_mul(3);

/// What is shown of the time goes on once a second.
const TICK: Duration = Duration::from_secs(1);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no daemon is running: nobody listens at {} ({reason}); mho run starts one, --state-dir or --config name another", socket.display())]
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
    /// There is something, which does not answer as it should.
    #[error("the daemon at {} does not answer as it should: {text}; look at its log", socket.display())]
    Broken {
        /// Where.
        socket: PathBuf,
        /// What is wrong.
        text: String,
    },
    /// Whoever hears the events has failed.
    #[error("cannot write to stdout: {0}")]
    Deaf(io::Error),
}

/// A client of one daemon.
pub struct Client {
    socket: PathBuf,
    runtime: Runtime,
    patience: Duration,
    silence: Duration,
}

impl Client {
    /// Of the daemon that has this state directory.
    ///
    /// # Errors
    /// The machine gives no runtime.
    pub fn of(state_dir: &Path) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { socket: state_dir.join("mho.sock"), runtime, patience: PATIENCE, silence: SILENCE })
    }

    /// What the daemon says at `path`.
    ///
    /// # Errors
    /// There is no daemon, it refuses, or its answer makes no sense.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        serde_json::from_str(&self.text(path)?).map_err(|error| self.broken(error))
    }

    /// The same, as text.
    ///
    /// # Errors
    /// There is no daemon, or it refuses.
    pub fn text(&self, path: &str) -> Result<String, ClientError> {
        self.runtime.block_on(self.body(Method::GET, path, self.patience))
    }

    /// What the daemon says to an order, for which it may take as long as `wait`. Where that is longer than a moment, `slow` is told.
    ///
    /// # Errors
    /// There is no daemon, it refuses, or its answer makes no sense.
    pub fn post<T: DeserializeOwned>(&self, path: &str, wait: Duration, slow: impl FnOnce()) -> Result<T, ClientError> {
        let text = self.runtime.block_on(async {
            let mut answer = pin!(self.body(Method::POST, path, wait + self.patience));
            match timeout(TICK, &mut answer).await {
                Ok(answer) => answer,
                Err(_) => {
                    slow();
                    answer.await
                }
            }
        })?;
        serde_json::from_str(&text).map_err(|error| self.broken(error))
    }

    /// Every event of the stream at `path`, with its kind, until the stream ends or `hear` fails. None comes once a second.
    ///
    /// # Errors
    /// There is no daemon, it refuses, or says nothing any more; or `hear` fails.
    pub fn watch(
        &self,
        path: &str,
        mut hear: impl FnMut(Option<(&str, &str)>) -> io::Result<()>,
    ) -> Result<(), ClientError> {
        self.runtime.block_on(async {
            let opened = timeout(self.patience, self.send(Method::GET, path)).await;
            let (response, _connection) = opened.map_err(|_| self.silent(self.patience))??;
            let mut body = response.into_body();
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut silence = pin!(sleep(self.silence));
            let mut text = Vec::new();
            loop {
                let frame = tokio::select! {
                    frame = body.frame() => frame,
                    _ = ticks.tick() => {
                        hear(None).map_err(ClientError::Deaf)?;
                        continue;
                    }
                    () = silence.as_mut() => return Err(self.silent(self.silence)),
                };
                // Where it is cut off, the daemon has ended.
                let Some(Ok(frame)) = frame else { return Ok(()) };
                silence.as_mut().reset(Instant::now() + self.silence);
                text.extend_from_slice(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
                while let Some(end) = memchr::memmem::find(&text, b"\n\n") {
                    let event: Vec<u8> = text.drain(..end + 2).collect();
                    let event = String::from_utf8_lossy(&event);
                    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                    if let (Some(kind), Some(data)) = (field("event: "), field("data: ")) {
                        hear(Some((kind, data))).map_err(ClientError::Deaf)?;
                    }
                }
            }
        })
    }

    async fn body(&self, method: Method, path: &str, patience: Duration) -> Result<String, ClientError> {
        let all = async {
            let (response, _connection) = self.send(method, path).await?;
            let body = response.into_body().collect().await.map_err(|error| self.broken(error))?;
            Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
        };
        timeout(patience, all).await.unwrap_or_else(|_| Err(self.silent(patience)))
    }

    /// The answer, if it is no refusal, and what keeps it coming.
    async fn send(&self, method: Method, path: &str) -> Result<(Response<Incoming>, Connection), ClientError> {
        let (socket, _dir) = short(&self.socket).map_err(|error| self.unreachable(error))?;
        let stream = UnixStream::connect(socket).await.map_err(|error| self.unreachable(error))?;
        let opened = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = opened.map_err(|error| self.broken(error))?;
        let connection = Connection(tokio::spawn(async move {
            // What went wrong with it is seen where the answer is read.
            let _ = connection.await;
        }));
        let request = Request::builder().method(method).uri(path).header("host", "mho");
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| self.broken(error))?;
        let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
        if response.status().is_success() { Ok((response, connection)) } else { Err(refused(response).await) }
    }

    fn unreachable(&self, reason: io::Error) -> ClientError {
        use io::ErrorKind::{ConnectionRefused, NotADirectory, NotFound, PermissionDenied};
        match reason.kind() {
            NotFound | NotADirectory | ConnectionRefused => {
                ClientError::NotRunning { socket: self.socket.clone(), reason }
            }
            PermissionDenied => self.broken(format!("{reason}: it listens to its own user alone, and to root")),
            _ => self.broken(reason),
        }
    }

    fn silent(&self, patience: Duration) -> ClientError {
        self.broken(format!("it said nothing for {} s", patience.as_secs()))
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A daemon that takes a request, says these words, and then nothing any more.
    fn of_one_that_says(words: &'static str) -> (tempfile::TempDir, Client) {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("mho.sock")).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(words.as_bytes()).unwrap();
            // Until the client hangs up.
            let _ = stream.read(&mut [0; 1]);
        });
        let short = Duration::from_millis(100);
        let client = Client { patience: short, silence: short, ..Client::of(dir.path()).unwrap() };
        (dir, client)
    }

    #[test]
    fn a_daemon_that_hangs_is_not_waited_for_at_any_point() {
        for words in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"] {
            let (_dir, client) = of_one_that_says(words);
            let error = client.text("/healthz").unwrap_err();
            assert!(
                matches!(error, ClientError::Broken { .. }) && error.to_string().contains("nothing for"),
                "{error}"
            );
        }
        let (_dir, client) = of_one_that_says("HTTP/1.1 200 OK\r\n\r\nevent: status\ndata: 1\n\nevent: half");
        let mut heard = Vec::new();
        let error = client.watch("/api/v1/events", |event| {
            heard.extend(event.map(|(kind, data)| format!("{kind} {data}")));
            Ok(())
        });
        assert!(error.unwrap_err().to_string().contains("nothing for"));
        assert_eq!(heard, ["status 1"]);
    }

    #[test]
    fn an_answer_that_is_none_is_told_as_such() {
        for words in ["what?\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"] {
            let (_dir, client) = of_one_that_says(words);
            assert!(matches!(client.get::<u8>("/"), Err(ClientError::Broken { .. })), "{words}");
        }
        let (_dir, client) = of_one_that_says("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n");
        assert!(matches!(client.text("/"), Err(ClientError::Refused { status: 500, .. })));
    }
}
