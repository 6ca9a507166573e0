//! Mail. It blocks.

use std::time::{Duration, SystemTime};

use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{SmtpTransport, Transport};

use super::trust;
use crate::domain::alert::{Fate, Message, Smtp, TlsMode};

/// Hands it to the mail server, which has `timeout` for each answer.
pub(super) fn send(smtp: &Smtp, timeout: Duration, message: &Message) -> Fate {
    let (mail, transport) = match (mail(smtp, message), transport(smtp, timeout)) {
        (Ok(mail), Ok(transport)) => (mail, transport),
        (Err(why), _) | (_, Err(why)) => return Fate::Refused(why),
    };
    match transport.send(&mail) {
        Ok(_) => Fate::Sent,
        Err(error) if error.is_permanent() => {
            Fate::Refused(format!("the mail server refused it: {error}; check user, password, `from` and `to`"))
        }
        Err(error) => {
            let why = format!("no mail could be sent by {}: {}", smtp.host, trust::advise(&error));
            Fate::Failed { why, retry_after: None }
        }
    }
}

fn mail(smtp: &Smtp, message: &Message) -> Result<lettre::Message, String> {
    let address = |text: &String| {
        text.parse::<Mailbox>().map_err(|error| format!("{text:?} is no mail address: {error}; correct `from` or `to`"))
    };
    let mut builder: MessageBuilder = lettre::Message::builder()
        .from(address(&smtp.from)?)
        .subject(format!("[mho] {}", message.title()))
        .date(SystemTime::from(message.at))
        // The same at every try: whoever gets it twice sees it once.
        .message_id(Some(format!("<{}.mho@{}>", message.id, message.host)));
    for to in &smtp.to {
        builder = builder.to(address(to)?);
    }
    builder.body(message.text()).map_err(|error| format!("the mail cannot be written: {error}"))
}

fn transport(smtp: &Smtp, timeout: Duration) -> Result<SmtpTransport, String> {
    let private = || {
        let parameters = TlsParameters::builder(smtp.host.clone()).certificate_store(trust::for_mail());
        parameters.build().map_err(|error| format!("no TLS with {}: {error}", smtp.host))
    };
    let tls = match smtp.tls {
        TlsMode::None => Tls::None,
        TlsMode::StartTls => Tls::Required(private()?),
        TlsMode::Tls => Tls::Wrapper(private()?),
    };
    let builder = SmtpTransport::builder_dangerous(&smtp.host).port(smtp.port).tls(tls).timeout(Some(timeout));
    Ok(match (&smtp.user, &smtp.password) {
        (Some(user), Some(password)) => {
            builder.credentials(Credentials::new(user.clone(), password.reveal().to_owned())).build()
        }
        _ => builder.build(),
    })
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;

    #[test]
    fn a_mail_has_its_subject_and_the_same_identity_at_every_try() {
        let (from, to) = ("mho@example.com".to_owned(), vec!["Desk <desk@example.com>".to_owned()]);
        let smtp =
            Smtp { host: "localhost".to_owned(), port: 25, tls: TlsMode::None, user: None, password: None, from, to };
        let at = "2026-11-27T13:29:50Z".parse().unwrap();
        let message = Message::test("1-1".to_owned(), "desk".to_owned(), at, Tz::UTC);
        let text = String::from_utf8(mail(&smtp, &message).expect("a mail").formatted()).expect("text");
        for part in ["Message-ID: <1-1.mho@desk>", "Subject: [mho] mho: daemon on desk", "Fri, 27 Nov 2026 13:29:50"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(mail(&Smtp { from: "nobody".to_owned(), ..smtp }, &message).is_err());
    }
}
