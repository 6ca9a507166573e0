//! `[[alert]]`: the channels by which people are told. Their secrets are read here, from the file, from files of their own or from the
//! environment, and are listed nowhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::command;
use super::fault::{Bad, Report};
use super::node::{Data, Node};
use super::section::Section;
use super::sources::{Purpose, Sources, absolute};
use super::values::{self, Parsed};
use crate::domain::alert::{AlertEvent, AlertSpec, Channel, Smtp, Template, TlsMode};
use crate::domain::script::{ScriptName, ScriptSpec};
use crate::domain::secret::Secret;

/// Keys of every channel that is told of events.
const COMMON: [&str; 6] = ["type", "name", "events", "repeat_interval", "late_after", "timeout"];

/// A secret KEY may also stand in the file that KEY_file names, or in the variable that KEY_env names.
const ELSEWHERE: [&str; 2] = ["_file", "_env"];

const TELEGRAM: &str = "https://api.telegram.org";
const NTFY: &str = "https://ntfy.sh";

const TLS: [(&str, TlsMode); 3] = [("starttls", TlsMode::StartTls), ("tls", TlsMode::Tls), ("none", TlsMode::None)];

/// What a configuration says of alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alerts {
    /// In its order.
    pub channels: Vec<Arc<AlertSpec>>,
    /// Variables that hold secrets: no script sees them.
    pub variables: Vec<String>,
}

/// What surrounds them.
pub(super) struct Around<'a> {
    pub sources: &'a Sources,
    pub base_dir: &'a Path,
    pub scripts: &'a [ScriptSpec],
    pub report: &'a Report,
}

/// Reads all of them.
pub(super) fn read(root: &Node, around: &Around<'_>) -> Alerts {
    let mut alerts = Alerts::default();
    let items = match root.get("alert").map(|node| (node, &node.data)) {
        None => return alerts,
        Some((_, Data::List(items))) => items.as_slice(),
        Some((node, _)) => {
            // What stands there may be a secret.
            let message = "expected [[alert]] tables: write them in the file, or a list of them such as [{ type = \"slack\", ... }]";
            around.report.fault(&node.place, &node.key, message);
            return alerts;
        }
    };
    let mut names: Vec<String> = Vec::new();
    for item in items {
        let name = name_of(item, &names, around);
        let node = item.clone().rekeyed(&format!("alert.{name}"));
        let before = around.report.count();
        let mut reader = Reader {
            section: Section::new(&node.key, Some(&node), None, around.report),
            around,
            node: &node,
            variables: Vec::new(),
        };
        let channel = reader.channel();
        if let Some(channel) = channel.filter(|_| around.report.count() == before) {
            alerts.channels.push(Arc::new(reader.spec(name.clone(), channel)));
        }
        alerts.variables.append(&mut reader.variables);
        names.push(name);
    }
    alerts
}

/// Its own name, or its type, with a number where there are several.
fn name_of(item: &Node, taken: &[String], around: &Around<'_>) -> String {
    let text = |key: &str| item.get(key).and_then(|node| values::string(node).ok());
    if let (Some(node), Some(name)) = (item.get("name"), text("name")) {
        if taken.contains(&name) {
            around.report.fault(
                &node.place,
                "alert.name",
                format!("{name:?} is the name of another [[alert]]: give each its own"),
            );
        }
        if ScriptName::new(&name).is_err() {
            let message = format!("{name:?} is no name: use 1 to 128 of a-z 0-9 _ -");
            around.report.fault(&node.place, "alert.name", message);
        }
        return name;
    }
    let plain =
        text("type").filter(|kind| Channel::TYPES.contains(&kind.as_str())).unwrap_or_else(|| "alert".to_owned());
    let numbered = (2..).map(|number| format!("{plain}-{number}"));
    std::iter::once(plain.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(plain)
}

struct Reader<'a> {
    section: Section<'a>,
    around: &'a Around<'a>,
    node: &'a Node,
    variables: Vec<String>,
}

impl Reader<'_> {
    fn spec(&self, name: String, channel: Channel) -> AlertSpec {
        let span =
            |key: &str, default: u64| self.section.read(key, values::span).unwrap_or(Duration::from_secs(default));
        AlertSpec {
            name,
            channel,
            events: self.section.read("events", events).unwrap_or_else(AlertEvent::defaults),
            repeat_interval: span("repeat_interval", 1800),
            late_after: span("late_after", 300),
            timeout: span("timeout", 10),
        }
    }

    /// Everything but what all have; None if that is not known. Faults are reported, and all of them.
    fn channel(&mut self) -> Option<Channel> {
        let types = Channel::TYPES.map(|name| (name, name));
        let Some(node) = self.section.get("type") else {
            let message = format!("is missing: one of {}", Channel::TYPES.join(", "));
            self.around.report.fault(&self.node.place, "alert.type", message);
            return None;
        };
        let kind = self.section.read("type", |node| values::choice(node, &types));
        let kind = kind.filter(|_| matches!(node.data, Data::Text(_)))?;
        // Read for their faults; the value is read again where all is well.
        let _ = self.section.get("name").map(|_| self.section.read("name", values::string));
        match kind {
            "webhook" => {
                self.only(&["url", "body", "headers"], &["url"]);
                let (url, headers, body) = (self.url("url", None), self.headers(), self.body());
                Some(Channel::Webhook { url: url?, body, headers })
            }
            "slack" | "discord" => {
                self.only(&["url"], &["url"]);
                let url = self.url("url", None)?;
                Some(if kind == "slack" { Channel::Slack { url } } else { Channel::Discord { url } })
            }
            "telegram" => {
                self.only(&["url", "token", "chat_id"], &["url", "token"]);
                let (url, token) = (self.url("url", Some(TELEGRAM)), self.secret("token"));
                let chat_id = self.required("chat_id", values::env_value);
                self.needs("token", token.is_some());
                Some(Channel::Telegram { url: url?, token: token?, chat_id: chat_id? })
            }
            "ntfy" => {
                self.only(&["url", "topic", "token"], &["url", "topic", "token"]);
                let (url, topic, token) = (self.url("url", Some(NTFY)), self.secret("topic"), self.secret("token"));
                self.needs("topic", topic.is_some());
                Some(Channel::Ntfy { url: url?, topic: topic?, token })
            }
            "healthchecks" => {
                self.section.only(&["type", "name", "timeout", "url", "url_file", "url_env", "script", "interval"]);
                let url = self.url("url", None);
                let script = self.section.read_set("script", |node| self.script(node));
                let interval = self.section.read("interval", values::span).unwrap_or(Duration::from_secs(60));
                Some(Channel::Healthchecks { url: url?, script, interval })
            }
            "email" => self.email(),
            _ => {
                self.only(&["command"], &[]);
                let parsed = self.required("command", command::parse)?;
                let (first, args) = parsed.argv.split_first()?;
                let program = command::resolve(first, self.around.base_dir, self.around.sources.variable("PATH"));
                if !program.exists() {
                    let place = self.section.get("command").map_or(&self.node.place, |node| &node.place);
                    let message = format!(
                        "the program {} does not exist: nobody is told by it before it does",
                        program.display()
                    );
                    self.around.report.warn(place, &self.section.key("command"), message);
                }
                Some(Channel::Exec { program, args: args.to_vec(), working_dir: self.around.base_dir.to_owned() })
            }
        }
    }

    fn email(&mut self) -> Option<Channel> {
        self.only(&["host", "port", "tls", "user", "password", "from", "to"], &["password"]);
        let tls = self.section.read("tls", |node| values::choice(node, &TLS)).unwrap_or(TlsMode::StartTls);
        let usual = match tls {
            TlsMode::StartTls => 587,
            TlsMode::Tls => 465,
            TlsMode::None => 25,
        };
        let port = |node: &Node| match values::count(node).map(u16::try_from) {
            Ok(Ok(port)) if port > 0 => Ok(port),
            _ => Err(Bad::from("expected a port from 1 to 65535")),
        };
        let port = self.section.read("port", port).unwrap_or(usual);
        let (host, from) = (self.required("host", filled), self.required("from", address));
        let to = self.required("to", |node| match &node.data {
            Data::Text(_) if !node.place.is_text() => Ok(vec![address(node)?]),
            _ => values::items(node, "one address or a list of them", address),
        });
        if let (Some(node), Some([])) = (self.section.get("to"), to.as_deref()) {
            self.around.report.fault(&node.place, &node.key, "is empty: name somebody");
        }
        let user = self.section.read_set("user", values::string);
        let password = self.secret("password");
        match (&user, &password) {
            (Some(_), None) => self.needs("password", false),
            (None, Some(_)) => self.needs("user", false),
            _ => {}
        }
        Some(Channel::Email(Box::new(Smtp { host: host?, port, tls, user, password, from: from?, to: to? })))
    }

    /// No other keys than these and those of all channels; `secrets` may stand elsewhere.
    fn only(&self, keys: &[&str], secrets: &[&str]) {
        let elsewhere: Vec<String> =
            secrets.iter().flat_map(|key| ELSEWHERE.map(|suffix| format!("{key}{suffix}"))).collect();
        let known: Vec<&str> = COMMON.iter().chain(keys).copied().chain(elsewhere.iter().map(String::as_str)).collect();
        self.section.only(&known);
    }

    fn needs(&self, key: &str, is_there: bool) {
        let before = ELSEWHERE.iter().any(|suffix| self.section.get(&format!("{key}{suffix}")).is_some());
        // One that is there and faulty is reported already.
        if !is_there && !before && self.section.get(key).is_none_or(Node::is_empty) {
            let kind = self.section.get("type").and_then(|node| values::string(node).ok()).unwrap_or_default();
            let message = format!("is missing: {kind} needs it");
            self.around.report.fault(&self.node.place, &self.section.key(key), message);
        }
    }

    fn required<T>(&self, key: &str, parse: impl FnOnce(&Node) -> Parsed<T>) -> Option<T> {
        self.needs(key, false);
        self.section.read_set(key, parse)
    }

    /// A secret: KEY, or what KEY_file or KEY_env lead to. No message shows it.
    fn secret(&mut self, key: &str) -> Option<Secret> {
        let [file, variable] = ELSEWHERE.map(|suffix| format!("{key}{suffix}"));
        let own = self.section.get(key).filter(|node| !node.is_empty());
        let written: Vec<(&str, &Node)> = [key, &file, &variable]
            .into_iter()
            .filter_map(|key| Some((key, self.section.get(key).filter(|node| !node.is_empty())?)))
            .collect();
        if let [(_, _), (second, node), ..] = written.as_slice() {
            let message = format!("{key}, {file} and {variable} say the same: keep one of them");
            self.around.report.fault(&node.place, &self.section.key(second), message);
            return None;
        }
        if let Some(node) = own {
            self.section.list(key, "(not shown)", &node.place);
            return match values::env_value(node) {
                Ok(value) => Some(Secret::new(value)),
                Err(_) => {
                    self.around.report.fault(&node.place, &node.key, "expected text in quotes");
                    None
                }
            };
        }
        if let Some(path) = self.section.read_set(&file, values::string) {
            return self.secret_of_file(&file, &path);
        }
        let node = self.section.get(&variable).filter(|node| !node.is_empty())?;
        let name = match values::string(node) {
            Ok(name) if is_variable(&name) => name,
            // Whoever wrote the secret itself there does not want to see it in a log.
            _ => {
                self.around.report.fault(
                    &node.place,
                    &node.key,
                    "expected the name of a variable, such as \"ALERT_URL\"",
                );
                return None;
            }
        };
        self.section.list(&variable, &format!("{name:?}"), &node.place);
        self.variables.push(name.clone());
        match self.around.sources.variable(&name) {
            Some(value) => Some(Secret::new(value)),
            None => self.absent(&variable, format!("the variable {name} is not set: set it where mho is started")),
        }
    }

    fn secret_of_file(&self, key: &str, path: &str) -> Option<Secret> {
        use std::os::unix::fs::PermissionsExt;
        let path = absolute(self.around.base_dir, Path::new(path));
        let node = self.section.get(key)?;
        let meta = std::fs::metadata(&path);
        if meta.as_ref().is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0) {
            let message = format!("others on this machine can read {0}; chmod o-rwx {0}", path.display());
            self.around.report.warn(&node.place, &node.key, message);
        }
        let text = match meta {
            // A pipe would keep everybody waiting.
            Ok(meta) if !meta.is_file() => Err("it is not a regular file".to_owned()),
            _ => std::fs::read_to_string(&path).map_err(|error| error.to_string()),
        };
        match text {
            Ok(text) if !text.trim().is_empty() => Some(Secret::new(text.trim())),
            Ok(_) => self.absent(key, format!("{} is empty: write the value into it", path.display())),
            Err(error) => self.absent(key, format!("{} cannot be read: {error}; correct `{key}`", path.display())),
        }
    }

    /// Only whoever runs scripts, or is asked to check, needs it: a question is answered without.
    fn absent(&self, key: &str, message: String) -> Option<Secret> {
        if self.around.sources.purpose == Purpose::Look {
            return Some(Secret::new(""));
        }
        let node = self.section.get(key)?;
        self.around.report.fault(&node.place, &node.key, message);
        None
    }

    /// An address on the web; without a `default` it must be there.
    fn url(&mut self, key: &str, default: Option<&str>) -> Option<Secret> {
        let Some(url) = self.secret(key) else {
            match default {
                Some(default) if self.section.get(key).is_none() => return Some(Secret::new(default)),
                _ => self.needs(key, false),
            }
            return None;
        };
        let written = [key.to_owned()].into_iter().chain(ELSEWHERE.map(|suffix| format!("{key}{suffix}")));
        let node = written.into_iter().find_map(|key| self.section.get(&key)).unwrap_or(self.node);
        let text = url.reveal();
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let is_left_out = self.around.sources.purpose == Purpose::Look && text.is_empty();
        match host.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default()) {
            _ if is_left_out => {}
            None | Some("") => {
                self.around.report.fault(
                    &node.place,
                    &node.key,
                    "expected an address such as \"https://example.com/path\"",
                );
            }
            Some(host) if text.starts_with("http://") && !is_loopback(host) => {
                let message =
                    "is not encrypted: whoever is on the way can read it; use https:// if the service has that";
                self.around.report.warn(&node.place, &node.key, message);
            }
            Some(_) => {}
        }
        Some(url)
    }

    /// A key of the service may stand in it: it is not listed.
    fn body(&self) -> Option<Template> {
        let node = self.section.get("body").filter(|node| !node.is_empty())?;
        self.section.list("body", "(not shown)", &node.place);
        let text = match values::string(node) {
            Ok(text) => text,
            Err(bad) => {
                self.around.report.fault(&node.place, &node.key, bad);
                return None;
            }
        };
        let template = Template::parse(&text);
        template.map_err(|error| self.around.report.fault(&node.place, &node.key, near_field(error))).ok()
    }

    fn headers(&self) -> BTreeMap<String, Secret> {
        let mut headers = BTreeMap::new();
        let Some(node) = self.section.get("headers") else { return headers };
        let Some(table) = node.table() else {
            self.around.report.fault(
                &node.place,
                &node.key,
                "expected a table of headers, such as { Authorization = \"Bearer ...\" }",
            );
            return headers;
        };
        for (name, node) in table {
            let is_name =
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            match values::env_value(node) {
                _ if !is_name => {
                    self.around.report.fault(&node.place, &node.key, format!("{name:?} is no name of a header"))
                }
                Ok(value) if value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
                    self.section.list(&format!("headers.{name}"), "(not shown)", &node.place);
                    headers.insert(name.clone(), Secret::new(value));
                }
                _ => self.around.report.fault(
                    &node.place,
                    &node.key,
                    "expected text in quotes, of visible ASCII letters",
                ),
            }
        }
        headers
    }

    fn script(&self, node: &Node) -> Parsed<ScriptName> {
        let text = values::string(node)?;
        let known = || self.around.scripts.iter().map(|spec| spec.name.as_str());
        let found = self.around.scripts.iter().find(|spec| spec.name.as_str() == text);
        found
            .map(|spec| spec.name.clone())
            .ok_or_else(|| Bad::near(format!("no script is named {text:?}"), &text, known()))
    }
}

fn is_variable(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(is_letter) && !name.starts_with(|first: char| first.is_ascii_digit())
}

fn events(node: &Node) -> Parsed<Vec<AlertEvent>> {
    let words = AlertEvent::words();
    let found = values::items(node, "a list of events, such as [\"failed\", \"gave_up\"]", |item| {
        values::choice(item, &words)
    })?;
    if found.is_empty() {
        Err("is empty: then nobody is told of anything; remove the [[alert]], or name events".into())
    } else {
        Ok(found)
    }
}

fn filled(node: &Node) -> Parsed<String> {
    let text = values::string(node)?;
    if text.trim().is_empty() { Err("must not be empty".into()) } else { Ok(text.trim().to_owned()) }
}

/// Whether a mail server takes it is its affair.
fn address(node: &Node) -> Parsed<String> {
    let text = filled(node)?;
    match text.parse::<lettre::message::Mailbox>() {
        Ok(_) => Ok(text),
        Err(_) => {
            Err(format!("{text:?} is no mail address, such as \"desk@example.com\" or \"Desk <desk@example.com>\"")
                .into())
        }
    }
}

fn near_field(error: crate::domain::alert::TemplateError) -> Bad {
    Bad::near(error.to_string(), &error.0, Template::fields().iter().copied())
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let name = match name.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => name.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.starts_with("127.") || name == "::1"
}
