//! Who may do what.
//!
//! The unix socket is its owner's alone, who may do everything. Over TCP on a loopback address reading is open, and changing needs the token;
//! beyond loopback everything but the health check needs it. A `Host` that is neither an address nor a name of ours is refused, and so is a
//! change whose `Origin` is another site: a page in somebody's browser must not reach the daemon by a name that was made to mean it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode};
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
    Unix { who: String },
    /// TCP.
    Tcp(Door),
}

/// A TCP listener, and what it asks of those who come in.
#[derive(Clone, Debug)]
pub(super) struct Door {
    /// The name that it was told to listen at: it may be called by that.
    pub(super) name: String,
    /// Where it listens.
    pub(super) address: SocketAddr,
    pub(super) token: Option<Token>,
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
            Self::Unix { who } => who.clone(),
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
            _ => is_reading && door.address.ip().is_loopback(),
        };
        if is_open || door.has_token(request) {
            return Ok(());
        }
        let text = "a token is needed: Authorization: Bearer TOKEN; mho dashboard prints a link that carries it, state/token holds it";
        Err(Barred { status: StatusCode::UNAUTHORIZED, text })
    }
}

impl Door {
    fn is_called_by(&self, request: &Request) -> bool {
        let written = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let host = match (written, request.uri().host()) {
            (Some(written), _) => match Authority::from_str(written) {
                Ok(authority) => authority.host().to_owned(),
                Err(_) => return false,
            },
            (None, Some(host)) => host.to_owned(),
            // Before HTTP/1.1 nobody had to say; no browser leaves it out.
            (None, None) => return true,
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let own = self.name.rsplit_once(':').map_or(&*self.name, |(host, _)| host);
        host.eq_ignore_ascii_case("localhost") || host.eq_ignore_ascii_case(own) || host.parse::<IpAddr>().is_ok()
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
        let is_page = request.uri().path() == "/";
        let query = request.uri().query().filter(|_| is_page).unwrap_or_default();
        query.split('&').filter_map(|pair| pair.strip_prefix("token=")).any(|offered| token.is(offered))
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
