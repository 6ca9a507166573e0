//! A channel as it is configured.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{AlertEvent, Template};
use crate::domain::script::ScriptName;
use crate::domain::secret::{Secret, redacted};

/// `[[alert]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertSpec {
    /// Unique: for the log, the metrics and the database.
    pub name: String,
    /// Where it goes.
    pub channel: Channel,
    /// What it is told of.
    pub events: Vec<AlertEvent>,
    /// While an episode goes on, it is told again at most so often.
    pub repeat_interval: Duration,
    /// Due and down this long is worth telling.
    pub late_after: Duration,
    /// One try takes so long at the most.
    pub timeout: Duration,
}

/// Where messages go, and what it takes to send them there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// JSON by POST.
    Webhook {
        /// Whereto.
        url: Secret,
        /// In place of the JSON.
        body: Option<Template>,
        /// Further headers; their values may be secret.
        headers: BTreeMap<String, Secret>,
    },
    /// A Slack webhook.
    Slack {
        /// Whereto.
        url: Secret,
    },
    /// A Discord webhook.
    Discord {
        /// Whereto.
        url: Secret,
    },
    /// A Telegram bot.
    Telegram {
        /// The server of the API.
        url: Secret,
        /// The bot's.
        token: Secret,
        /// To whom.
        chat_id: String,
    },
    /// A topic of an ntfy server.
    Ntfy {
        /// The server.
        url: Secret,
        /// The topic: whoever knows it can read.
        topic: Secret,
        /// Where the server wants one.
        token: Option<Secret>,
    },
    /// A dead-man's switch that is pinged.
    Healthchecks {
        /// Of the check.
        url: Secret,
        /// Its runs; None = that the daemon lives.
        script: Option<ScriptName>,
        /// Between two signs of life of the daemon.
        interval: Duration,
    },
    /// Mail.
    Email(Box<Smtp>),
    /// A program that reads the JSON.
    Exec {
        /// Absolute.
        program: PathBuf,
        /// The arguments after the program's name.
        args: Vec<String>,
        /// The directory it starts in.
        working_dir: PathBuf,
    },
}

/// How mail is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smtp {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is made private.
    pub tls: TlsMode,
    /// With the password.
    pub user: Option<String>,
    /// With the user.
    pub password: Option<Secret>,
    /// The sender.
    pub from: String,
    /// The receivers.
    pub to: Vec<String>,
}

/// How a connection to a mail server is made private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// By STARTTLS, or not at all.
    StartTls,
    /// From the first byte on.
    Tls,
    /// Not: for a server on this machine.
    None,
}

impl Channel {
    /// The words of the configuration.
    pub const TYPES: [&'static str; 8] =
        ["webhook", "slack", "discord", "telegram", "ntfy", "healthchecks", "email", "exec"];

    /// Its type, as in the configuration.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack { .. } => "slack",
            Self::Discord { .. } => "discord",
            Self::Telegram { .. } => "telegram",
            Self::Ntfy { .. } => "ntfy",
            Self::Healthchecks { .. } => "healthchecks",
            Self::Email(_) => "email",
            Self::Exec { .. } => "exec",
        }
    }

    /// All that must not be read by anybody else.
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        match self {
            Self::Webhook { url, headers, .. } => std::iter::once(url).chain(headers.values()).collect(),
            Self::Slack { url } | Self::Discord { url } | Self::Healthchecks { url, .. } => vec![url],
            // The server of Telegram is no secret, and its name may stand in any log.
            Self::Telegram { token, .. } => vec![token],
            Self::Ntfy { topic, token, .. } => std::iter::once(topic).chain(token).collect(),
            Self::Email(smtp) => smtp.password.iter().collect(),
            Self::Exec { .. } => Vec::new(),
        }
    }

    /// The script whose runs it is pinged for.
    #[must_use]
    pub fn pinged_script(&self) -> Option<&ScriptName> {
        match self {
            Self::Healthchecks { script, .. } => script.as_ref(),
            _ => None,
        }
    }
}

impl AlertSpec {
    /// `text` without any of the channel's secrets.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        redacted(text, self.channel.secrets())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let channel = Channel::Slack { url: Secret::new("https://hooks.example/T0/B0/xyz") };
        assert_eq!(format!("{channel:?}"), "Slack { url: (not shown) }");
    }
}
