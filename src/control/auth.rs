//! Who may do what.
//!
//! The unix socket is its owner's alone, who may do everything. Over TCP on a loopback address reading is open, and changing needs the token;
//! beyond loopback everything but the health check needs it. A `Host` that is neither an address nor a name of ours is refused, and so is a
//! change whose `Origin` is another site: a page in somebody's browser must not reach the daemon by a name that was made to mean it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode, Version};
use subtle::ConstantTimeEq;

/// The word by which changes are allowed over TCP. It shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// This word.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Whether `offered` is it; how far it was right cannot be told from the time that this takes.
    fn is(&self, offered: &str) -> bool {
        self.0.as_bytes().ct_eq(offered.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Where a connection comes from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// The unix socket, and the user at its other end.
    Unix { uid: u32 },
    /// TCP.
    Tcp(Door),
}

/// A TCP listener, and what it asks of those who come in.
#[derive(Clone, Debug)]
pub(super) struct Door {
    /// It may be called by these, besides addresses.
    names: Arc<[String]>,
    /// Only this machine can reach it.
    is_loopback: bool,
    token: Option<Token>,
}

/// Why somebody is not let in.
pub(super) struct Barred {
    pub(super) status: StatusCode,
    pub(super) text: &'static str,
}

impl Origin {
    /// Who is asking, in words.
    pub(super) fn who(&self) -> String {
        match self {
            Self::Unix { uid } => {
                let user = nix::unistd::User::from_uid((*uid).into()).ok().flatten();
                user.map_or_else(|| format!("uid {uid}"), |user| user.name)
            }
            Self::Tcp(_) => "http token".to_owned(),
        }
    }

    /// Whether this request is let in.
    pub(super) fn admit(&self, request: &Request) -> Result<(), Barred> {
        let Self::Tcp(door) = self else { return Ok(()) };
        if !door.is_called_by(request) {
            let text = "this Host is not known here: use the address or name that the daemon listens at";
            return Err(Barred { status: StatusCode::MISDIRECTED_REQUEST, text });
        }
        let is_reading = matches!(*request.method(), Method::GET | Method::HEAD);
        if !is_reading && !comes_from_here(request) {
            let text = "this Origin is another site: changes are made from the dashboard itself, or without an Origin";
            return Err(Barred { status: StatusCode::FORBIDDEN, text });
        }
        let is_open = match request.uri().path() {
            "/healthz" | "/health" => is_reading,
            _ => is_reading && door.is_loopback,
        };
        if is_open || door.has_token(request) {
            return Ok(());
        }
        let text = if door.token.is_some() {
            "a token is needed: Authorization: Bearer TOKEN; mho dashboard prints a link that carries it"
        } else {
            "a token is needed, and the daemon has none: its log says why; the commands of mho need none"
        };
        Err(Barred { status: StatusCode::UNAUTHORIZED, text })
    }
}

impl Door {
    /// Of a listener that was told to listen at `listen`, a host and a port, and does so at `address`.
    pub(super) fn new(listen: &str, address: SocketAddr, token: Option<Token>) -> Self {
        let is_loopback = address.ip().to_canonical().is_loopback();
        let own = listen.rsplit_once(':').map_or(listen, |(host, _)| host).to_owned();
        // By which name others on its network know this machine.
        let machine = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let machine = machine.filter(|_| !is_loopback);
        let names = ["localhost".to_owned(), own].into_iter().chain(machine).filter(|name| !name.is_empty());
        Self { names: names.collect(), is_loopback, token }
    }

    /// Every name that the request gives for us must be one of ours.
    fn is_called_by(&self, request: &Request) -> bool {
        let written = request.headers().get_all(HOST).iter().map(|host| host.to_str().ok()?.parse::<Authority>().ok());
        let in_full = request.uri().authority().map(|authority| Some(authority.clone()));
        let mut called = written.chain(in_full).peekable();
        // Before HTTP/1.1 nobody had to say; no browser leaves it out.
        let is_old = request.version() < Version::HTTP_11;
        (is_old || called.peek().is_some()) && called.all(|name| name.is_some_and(|name| self.is_ours(name.host())))
    }

    fn is_ours(&self, host: &str) -> bool {
        let is_address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        is_address || self.names.iter().any(|name| name.eq_ignore_ascii_case(host))
    }

    fn has_token(&self, request: &Request) -> bool {
        let Some(token) = &self.token else { return false };
        let written = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer =
            written.and_then(|value| value.split_once(' ')).filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
        if let Some((_, offered)) = bearer {
            return token.is(offered.trim());
        }
        // A browser that follows a link cannot say it otherwise.
        let is_page = request.uri().path() == "/" && matches!(*request.method(), Method::GET | Method::HEAD);
        let query = request.uri().query().filter(|_| is_page).unwrap_or_default();
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
        pairs.iter().any(|(key, offered)| key == "token" && token.is(offered))
    }
}

/// Whatever is no browser sends no `Origin`.
fn comes_from_here(request: &Request) -> bool {
    let headers = request.headers();
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let site = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, site)| site);
    site.is_some() && site == host
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn door(listen: &str, address: &str) -> Door {
        Door::new(listen, address.parse().unwrap(), Some(Token::new("right".to_owned())))
    }

    fn admit(door: &Door, method: &str, uri: &str, headers: &[(&str, &[u8])]) -> Option<u16> {
        let mut request = axum::http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        Origin::Tcp(door.clone()).admit(&request).err().map(|barred| barred.status.as_u16())
    }

    #[test]
    fn it_is_called_by_an_address_or_a_name_of_its_own_and_by_nothing_else() {
        let door = door("Trading.example:8930", "127.0.0.1:8930");
        let called = |host: &[u8]| admit(&door, "GET", "/", &[("host", host)]);
        for good in ["127.0.0.1", "127.0.0.1:8930", "[::1]:8930", "localhost:1", "LOCALHOST", "trading.example:8930"] {
            assert_eq!(called(good.as_bytes()), None, "{good}");
        }
        for bad in ["", "evil.example", "evil.example:8930", "localhost.evil.example", "127.0.0.1.evil.example", "a b"]
        {
            assert_eq!(called(bad.as_bytes()), Some(421), "{bad}");
        }
        assert_eq!(called(b"evil\xff.example"), Some(421), "what is no text is no name");
        assert_eq!(admit(&door, "GET", "/", &[]), Some(421), "who says HTTP/1.1 says the name, too");
        assert_eq!(admit(&door, "GET", "/", &[("host", b"localhost"), ("host", b"evil.example")]), Some(421));
        assert_eq!(admit(&door, "GET", "http://evil.example/", &[("host", b"localhost")]), Some(421));
        assert_eq!(admit(&door, "GET", "http://localhost/", &[("host", b"localhost")]), None);
    }

    #[test]
    fn the_name_of_the_machine_is_one_of_ours_beyond_loopback_alone() {
        let machine = nix::unistd::gethostname().unwrap().into_string().unwrap();
        let health = |door: &Door| admit(door, "GET", "/healthz", &[("host", machine.as_bytes())]);
        assert_eq!(health(&door("0.0.0.0:1", "0.0.0.0:1")), None);
        if !machine.eq_ignore_ascii_case("localhost") {
            assert_eq!(health(&door("127.0.0.1:1", "127.0.0.1:1")), Some(421));
        }
    }

    #[test]
    fn beyond_loopback_all_but_the_health_check_needs_the_token() {
        let host = ("host", b"192.0.2.1".as_slice());
        let bearer = |word: &'static str| ("authorization", word.as_bytes());
        for (listen, reading) in [("127.0.0.1:1", None), ("[::1]:1", None), ("0.0.0.0:1", Some(401))] {
            let door = door(listen, listen);
            assert_eq!(admit(&door, "GET", "/health", &[host]), None);
            assert_eq!(admit(&door, "HEAD", "/healthz", &[host]), None);
            assert_eq!(admit(&door, "POST", "/healthz", &[host]), Some(401));
            assert_eq!(admit(&door, "GET", "/api/v1/status", &[host]), reading, "{listen}");
            assert_eq!(admit(&door, "GET", "/api/v1/status", &[host, bearer("bearer right")]), None);
            assert_eq!(admit(&door, "POST", "/api/v1/pause", &[host]), Some(401));
            for wrong in ["Bearer wrong", "Bearer ", "Bearer rightright", "Bearer righ", "Basic right", "right"] {
                assert_eq!(admit(&door, "POST", "/api/v1/pause", &[host, bearer(wrong)]), Some(401), "{wrong}");
            }
            assert_eq!(admit(&door, "POST", "/api/v1/pause", &[host, bearer("Bearer right")]), None);
            assert_eq!(admit(&door, "GET", "/?a=b&token=right", &[host]), None);
            assert_eq!(admit(&door, "GET", "/?token=%72ight", &[host]), None);
            assert_eq!(admit(&door, "GET", "/?token=wrong", &[host]), reading);
            assert_eq!(admit(&door, "POST", "/?token=right", &[host]), Some(401));
            assert_eq!(admit(&door, "POST", "/api/v1/pause?token=right", &[host]), Some(401));
        }
        let without = Door { token: None, ..door("127.0.0.1:1", "127.0.0.1:1") };
        assert_eq!(admit(&without, "POST", "/api/v1/pause", &[host, bearer("Bearer ")]), Some(401));
    }

    #[test]
    fn no_page_of_another_site_changes_anything() {
        let door = door("127.0.0.1:8930", "127.0.0.1:8930");
        let from = |origin: &'static str| {
            let headers: [(&str, &[u8]); 3] =
                [("host", b"127.0.0.1:8930"), ("authorization", b"Bearer right"), ("origin", origin.as_bytes())];
            admit(&door, "POST", "/api/v1/pause", &headers)
        };
        assert_eq!(from("http://127.0.0.1:8930"), None);
        for other in
            ["http://evil.example", "null", "", "http://127.0.0.1:1", "127.0.0.1:8930", "http://localhost:8930"]
        {
            assert_eq!(from(other), Some(403), "{other}");
        }
    }

    #[test]
    fn a_token_shows_itself_to_nobody() {
        let door = door("127.0.0.1:1", "127.0.0.1:1");
        assert!(!format!("{door:?}").contains("right"));
    }
}
