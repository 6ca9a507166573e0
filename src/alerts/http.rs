//! One request, and what its answer means. It blocks.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body};

use super::body::Call;
use super::trust;
use crate::domain::alert::Fate;

/// So much of an answer is read, to say what the service did not like.
const READ: u64 = 300;

/// Sends it, within `timeout` all in all.
pub(super) fn send(call: &Call, timeout: Duration) -> Fate {
    let is_private = call.url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    let config = Agent::config_builder()
        .tls_config(if is_private { trust::for_http() } else { TlsConfig::default() })
        .timeout_global(Some(timeout))
        .timeout_connect(Some(timeout))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        // Minutes or days pass until the next one.
        .max_idle_connections(0)
        .user_agent(concat!("mho/", env!("CARGO_PKG_VERSION")))
        .build();
    let agent = Agent::new_with_config(config);
    let mut request = agent.post(&call.url);
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    match request.send(&call.body) {
        Ok(mut response) => {
            let status = response.status().as_u16();
            let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
            let retry_after = retry_after.and_then(|value| pause(value, Utc::now()));
            judge(status, &said(response.body_mut()), retry_after)
        }
        Err(ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::RequireHttpsOnly(_)) => {
            Fate::Refused("the address or a header is not valid: correct `url` or `headers`".to_owned())
        }
        Err(error) => Fate::Failed { why: trust::advise(&error), retry_after: None },
    }
}

fn said(body: &mut Body) -> String {
    let text = body.with_config().limit(READ).lossy_utf8(true).read_to_string();
    // What is longer is no error message.
    text.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn judge(status: u16, said: &str, retry_after: Option<Duration>) -> Fate {
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let why = format!("HTTP {status}{said}");
    match status {
        200..=299 => Fate::Sent,
        408 | 425 | 429 | 500..=599 => Fate::Failed { why, retry_after },
        401 | 403 => Fate::Refused(format!("{why}; check the token, or who may use the address")),
        404 | 410 => Fate::Refused(format!("{why}; check the address: there is nothing")),
        300..=399 => Fate::Refused(format!("{why}; redirects are not followed: write the address it leads to")),
        _ => Fate::Refused(format!("{why}; the service does not take it: check the address and the `body`")),
    }
}

/// `Retry-After`: seconds, or a date.
fn pause(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => (DateTime::parse_from_rfc2822(value).ok()?.with_timezone(&Utc) - now).to_std().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_get_better_is_tried_again_and_the_rest_is_not() {
        for status in [200, 204] {
            assert_eq!(judge(status, "ok", None), Fate::Sent);
        }
        for status in [408, 425, 429, 500, 502, 503] {
            assert!(matches!(judge(status, "", None), Fate::Failed { .. }), "{status}");
        }
        for status in [301, 400, 401, 404, 410, 422] {
            assert!(matches!(judge(status, "no", None), Fate::Refused(why) if why.contains(": no;")), "{status}");
        }
    }

    #[test]
    fn a_service_says_when_to_come_again_in_seconds_or_by_a_date() {
        let now = "2026-11-27T13:29:50Z".parse().unwrap();
        assert_eq!(pause("120", now), Some(Duration::from_secs(120)));
        assert_eq!(pause("Fri, 27 Nov 2026 13:30:00 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(pause("Fri, 27 Nov 2026 13:00:00 GMT", now), None);
        assert_eq!(pause("soon", now), None);
    }
}
