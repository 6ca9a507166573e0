//! A message in the shape that a service wants. Lengths are those that the services document; what is longer is cut.

use serde_json::{Value, json};

use crate::domain::alert::{Channel, Message, Ping, Severity};

/// Letters that a message may have.
const SLACK: usize = 4000;
const DISCORD: usize = 2000;
const TELEGRAM: usize = 4096;
/// Bytes.
const NTFY: usize = 4096;
const HEALTHCHECKS: usize = 10_000;

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// The request that tells a service of it; what is wrong, in words, where it cannot be told there.
pub(super) fn call(channel: &Channel, message: &Message) -> Result<Call, String> {
    let plain = |text: String| format!("{}\n{text}", message.title());
    match channel {
        Channel::Webhook { url, body, headers } => {
            let mut all = vec![header("Content-Type", "application/json"), header("Idempotency-Key", &message.id)];
            for (name, value) in headers {
                all.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
                all.push(header(name, value.reveal()));
            }
            let body = body.as_ref().map(|template| template.fill(message));
            let body = body.unwrap_or_else(|| Value::Object(message.fields()).to_string());
            Ok(Call { url: url.reveal().to_owned(), headers: all, body })
        }
        Channel::Slack { url } => {
            // What a script printed calls nobody here, either.
            let text = plain(message.text()).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            Ok(in_json(url.reveal(), &json!({"text": cut(&text, SLACK)})))
        }
        Channel::Discord { url } => {
            let content = cut(&plain(message.text()), DISCORD);
            // What a script printed calls nobody.
            Ok(in_json(url.reveal(), &json!({"content": content, "allowed_mentions": {"parse": []}})))
        }
        Channel::Telegram { url, token, chat_id } => {
            let url = format!("{}/bot{}/sendMessage", base(url.reveal()), token.reveal());
            Ok(in_json(&url, &json!({"chat_id": chat_id, "text": cut(&plain(message.text()), TELEGRAM)})))
        }
        Channel::Ntfy { url, topic, token } => {
            let (priority, tag) = match message.severity {
                Severity::Error => ("5", "rotating_light"),
                Severity::Warning => ("4", "warning"),
                Severity::Info => ("3", "information_source"),
            };
            let mut headers = vec![
                header("Title", &message.title()),
                header("Priority", priority),
                header("Tags", &format!("{tag},{}", message.event.name())),
            ];
            headers.extend(token.as_ref().map(|token| header("Authorization", &format!("Bearer {}", token.reveal()))));
            let url = format!("{}/{}", base(url.reveal()), topic.reveal());
            Ok(Call { url, headers, body: cut_bytes(&message.text(), NTFY) })
        }
        Channel::Healthchecks { url, .. } => {
            let end = match message.ping {
                Some(Ping::Start) => "/start",
                Some(Ping::Fail) => "/fail",
                Some(Ping::Success | Ping::Alive) | None => "",
            };
            let headers = vec![header("Content-Type", "text/plain; charset=utf-8")];
            let url = format!("{}{end}", base(url.reveal()));
            Ok(Call { url, headers, body: cut_bytes(&message.reason, HEALTHCHECKS) })
        }
        Channel::Email(_) | Channel::Exec { .. } => Err("this channel has no address on the web".to_owned()),
    }
}

fn in_json(url: &str, body: &Value) -> Call {
    let headers = vec![header("Content-Type", "application/json")];
    Call { url: url.to_owned(), headers, body: body.to_string() }
}

/// Without a slash at its end.
fn base(url: &str) -> &str {
    url.trim_end_matches('/')
}

/// A header holds visible letters of ASCII, and blanks.
fn header(name: &str, value: &str) -> (String, String) {
    let value = value.chars().map(|letter| if letter == ' ' || letter.is_ascii_graphic() { letter } else { '?' });
    (name.to_owned(), value.collect())
}

fn cut(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters - 1).chain(std::iter::once('…')).collect()
}

fn cut_bytes(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use chrono_tz::Tz;

    use super::*;
    use crate::domain::alert::Template;
    use crate::domain::secret::Secret;

    fn message() -> Message {
        let at = "2026-11-27T13:29:50Z".parse().unwrap();
        let test = Message::test("1-1".to_owned(), "desk".to_owned(), at, Tz::America__New_York);
        let log_tail = vec!["é".repeat(9000)];
        Message { script: Some("strategy".to_owned()), severity: Severity::Error, log_tail, ..test }
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text)
    }

    fn parsed(call: &Call) -> Value {
        serde_json::from_str(&call.body).expect("JSON")
    }

    #[test]
    fn a_webhook_is_the_json_or_the_template_with_the_headers_that_were_configured() {
        let headers = BTreeMap::from([("content-type".to_owned(), secret("text/plain"))]);
        let url = secret("http://127.0.0.1/x");
        let json = Channel::Webhook { url: url.clone(), body: None, headers: BTreeMap::new() };
        let json = call(&json, &message()).unwrap();
        assert_eq!(json.headers[1], header("Idempotency-Key", "1-1"));
        assert_eq!(parsed(&json)["script"], "strategy");
        assert_eq!(parsed(&json)["attempt"], Value::Null);
        let body = Some(Template::parse("{event} of {script}").unwrap());
        let template = call(&Channel::Webhook { url, body, headers }, &message()).unwrap();
        assert_eq!(template.body, "daemon of strategy");
        assert_eq!(template.headers, [header("Idempotency-Key", "1-1"), header("content-type", "text/plain")]);
    }

    #[test]
    fn each_service_gets_its_shape_within_its_length() {
        let slack = call(&Channel::Slack { url: secret("http://s") }, &message()).unwrap();
        assert!(parsed(&slack)["text"].as_str().unwrap().starts_with("strategy: daemon on desk\nthis is a test"));
        let shouting = Message { reason: "<!channel> & <@U1>".to_owned(), ..message() };
        let slack = call(&Channel::Slack { url: secret("http://s") }, &shouting).unwrap();
        assert!(parsed(&slack)["text"].as_str().unwrap().contains("&lt;!channel&gt; &amp; &lt;@U1&gt;"));
        let discord = call(&Channel::Discord { url: secret("http://d") }, &message()).unwrap();
        assert_eq!(parsed(&discord)["content"].as_str().unwrap().chars().count(), DISCORD);
        assert_eq!(parsed(&discord)["allowed_mentions"]["parse"], json!([]));
        let (url, token, chat_id) = (secret("http://t/"), secret("12:ab"), "-100".to_owned());
        let telegram = call(&Channel::Telegram { url, token, chat_id }, &message()).unwrap();
        assert_eq!(telegram.url, "http://t/bot12:ab/sendMessage");
        assert_eq!(parsed(&telegram)["chat_id"], "-100");
        assert_eq!(parsed(&telegram)["text"].as_str().unwrap().chars().count(), TELEGRAM);
        let (url, topic, token) = (secret("http://n"), secret("desk"), Some(secret("tk")));
        let ntfy = call(&Channel::Ntfy { url, topic, token }, &message()).unwrap();
        assert_eq!(ntfy.url, "http://n/desk");
        assert!(ntfy.body.len() <= NTFY && ntfy.headers.contains(&header("Priority", "5")));
        assert!(ntfy.headers.contains(&header("Authorization", "Bearer tk")));
    }

    #[test]
    fn a_switch_is_pinged_at_the_address_of_its_signal() {
        let interval = Duration::from_secs(60);
        let channel = Channel::Healthchecks { url: secret("http://h/uuid/"), script: None, interval };
        for (ping, url) in [
            (Some(Ping::Start), "http://h/uuid/start"),
            (Some(Ping::Fail), "http://h/uuid/fail"),
            (Some(Ping::Success), "http://h/uuid"),
            (Some(Ping::Alive), "http://h/uuid"),
            (None, "http://h/uuid"),
        ] {
            assert_eq!(call(&channel, &Message { ping, ..message() }).unwrap().url, url);
        }
    }

    #[test]
    fn no_text_breaks_out_of_a_header() {
        assert_eq!(header("Title", "a\r\nX: y é").1, "a??X: y ?");
    }
}
