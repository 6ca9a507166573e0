//! `mho dashboard` and `mho healthcheck`.

use std::io::Write;
use std::net::IpAddr;

use serde_json::Value;

use super::Listen;
use crate::app;
use crate::cli::{FAILED, Failure, Global, OK};
use crate::control::client::ClientError;

/// Prints the link to the dashboard, with the token that allows changes.
pub(in crate::cli) fn dashboard(global: &Global, out: &mut dyn Write) -> Result<u8, Failure> {
    // Its flags, or a configuration that was changed since, may say otherwise than ours.
    let daemon: Listen = global.client()?.get("/api/v1/listen")?;
    let path = daemon.token_file.display().to_string();
    let listen = match daemon {
        Listen { listening: Some(listen), .. } => listen,
        Listen { configured: Some(listen), .. } => {
            return Err(Failure::new(
                FAILED,
                format!("the daemon cannot listen at {listen} and goes on trying: its log says why"),
            ));
        }
        Listen { .. } => {
            return Err(Failure::new(
                FAILED,
                "the daemon does not listen for browsers: set [http] listen to 127.0.0.1:8930 and start it again, a rehearsal with \
                 --listen 127.0.0.1:8930; the commands need none",
            ));
        }
    };
    let token = app::token(path.as_ref())
        .map_err(|error| Failure::new(FAILED, format!("the token in {path} cannot be read: {error}")))?;
    let Some(token) = token else {
        return Err(Failure::new(
            FAILED,
            format!("there is no token in {path}: a daemon with [http] listen makes one at its start"),
        ));
    };
    writeln!(out, "{}", link(&listen, &token))?;
    Ok(OK)
}

/// Behind `#` nobody but the browser sees it; beyond loopback the daemon must see it once, to hand out the page at all.
fn link(listen: &str, token: &str) -> String {
    let (host, port) = listen.rsplit_once(':').unwrap_or((listen, "8930"));
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<IpAddr> = bare.parse().ok();
    let is_loopback = bare.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback());
    if is_loopback {
        return format!("http://{host}:{port}/#token={token}");
    }
    let host = match address {
        Some(address) if address.is_unspecified() => nix::unistd::gethostname()
            .ok()
            .and_then(|name| name.into_string().ok())
            .unwrap_or_else(|| "localhost".to_owned()),
        _ => host.to_owned(),
    };
    format!("http://{host}:{port}/?token={token}")
}

/// Silent where all is well: for Docker and the like.
pub(in crate::cli) fn healthcheck(global: &Global) -> Result<u8, Failure> {
    match global.client()?.get::<Value>("/healthz") {
        Ok(_) => Ok(OK),
        Err(ClientError::Refused { text, .. }) => Err(Failure::new(FAILED, format!("not healthy: {text}"))),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_loopback_the_token_stays_in_the_browser() {
        assert_eq!(link("127.0.0.1:8930", "t"), "http://127.0.0.1:8930/#token=t");
        assert_eq!(link("localhost:1", "t"), "http://localhost:1/#token=t");
        assert_eq!(link("[::1]:2", "t"), "http://[::1]:2/#token=t");
        assert_eq!(link("192.0.2.1:3", "t"), "http://192.0.2.1:3/?token=t");
        let any = link("0.0.0.0:4", "t");
        assert!(any.ends_with(":4/?token=t") && !any.contains("0.0.0.0"), "{any}");
    }
}
