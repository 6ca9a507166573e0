//! Asks whether something answers at an address: a port that takes connections, or a URL that answers with a status from 200 to 299.

use std::io;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::domain::health::Endpoint;
use crate::ports::{PortFuture, Prober};

/// Whoever answers later than this does not answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the real world.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealProber;

impl Prober for RealProber {
    fn reach(&self, endpoint: &Endpoint) -> PortFuture<Result<(), String>> {
        let endpoint = endpoint.clone();
        Box::pin(async move {
            let asked = async {
                match endpoint {
                    Endpoint::Tcp(address) => connect(&address).await.map(drop),
                    Endpoint::Http(url) => ask(&url).await,
                }
            };
            let late = |_| Err(format!("no answer within {} s", PATIENCE.as_secs()));
            tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(late)
        })
    }
}

async fn connect(address: &str) -> Result<TcpStream, String> {
    TcpStream::connect(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    })
}

async fn ask(url: &str) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|error| format!("it is no address: {error}"))?;
    let authority = uri.authority().ok_or("it names no host")?.as_str();
    let address = if uri.port().is_some() { authority.to_owned() } else { format!("{authority}:80") };
    let stream = connect(&address).await?;
    let broken = |error: hyper::Error| format!("it does not speak HTTP: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header("host", authority)
        .header("user-agent", "mho")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    // It ends when the answer has been dropped.
    let carried = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(broken);
    carried.abort();
    match answer?.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("it answers {status}")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    fn reach(endpoint: Endpoint) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(RealProber.reach(&endpoint))
    }

    /// A server that gives one answer.
    fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            assert!(request[..length].starts_with(b"GET /ok?a=1 HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        format!("http://{address}/ok?a=1")
    }

    #[test]
    fn a_port_that_listens_is_reached_and_one_that_does_not_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint::Tcp(listener.local_addr().unwrap().to_string());
        assert_eq!(reach(endpoint.clone()), Ok(()));
        drop(listener);
        assert_eq!(reach(endpoint), Err("connection refused".to_owned()));
    }

    #[test]
    fn only_a_status_of_success_counts() {
        assert_eq!(reach(Endpoint::Http(server("HTTP/1.1 204 No Content\r\n\r\n"))), Ok(()));
        let refused = reach(Endpoint::Http(server("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")));
        assert_eq!(refused, Err("it answers 503 Service Unavailable".to_owned()));
        let refused = reach(Endpoint::Http(server("SSH-2.0-none\r\n"))).unwrap_err();
        assert!(refused.starts_with("it does not speak HTTP"), "{refused}");
    }
}
