//! The signals of a dead-man's switch: how the runs of a script begin and end, and the days on which it has none.

use chrono::{DateTime, NaiveDate, Utc};

use super::super::classify::{Draft, Subject, ping, words};
use super::super::closed::closed;
use super::super::{AlertEvent, Ping, Severity};
use super::{Book, Look, Outgoing};
use crate::domain::notice::{About, Notice, What};
use crate::domain::script::ScriptName;
use crate::domain::time::Now;

impl Book {
    pub(super) fn ping(&mut self, notice: &Notice, about: &About, out: &mut Vec<Outgoing>) {
        let Some(ping) = ping(notice) else { return };
        let text = match &notice.what {
            What::Skipped { reason, .. } => format!("skipped: {reason}"),
            What::Finished { result, reason } => format!("{}: {reason}", result.name()),
            _ => words(notice, self.context.zone),
        };
        self.ping_of(&about.script, about.trading_date, ping, &text, notice.at, out);
    }

    pub(super) fn ping_closed(&mut self, look: &Look, now: &Now, out: &mut Vec<Outgoing>) {
        let name = &look.facts.spec.name;
        let is_watched = self.channels.iter().any(|(spec, _)| spec.channel.pinged_script() == Some(name));
        if let Some((date, reason)) = closed(look, now.wall).filter(|_| is_watched) {
            let known = self.scripts.entry(name.clone()).or_default();
            let is_told = known.closed_told.replace(date) == Some(date);
            // One that was forced on this day speaks for itself.
            let is_forced = known.pinged.is_some_and(|(of, _)| of >= date);
            if is_told || is_forced || look.facts.view.pid.is_some() {
                return;
            }
            self.ping_of(name, date, Ping::Success, &format!("skipped: {reason}"), now.wall, out);
        }
    }

    /// Each signal once in a row: a script that crashes a thousand times begins once.
    fn ping_of(
        &mut self,
        script: &ScriptName,
        date: NaiveDate,
        ping: Ping,
        text: &str,
        at: DateTime<Utc>,
        out: &mut Vec<Outgoing>,
    ) {
        let known = self.scripts.entry(script.clone()).or_default();
        if known.pinged.replace((date, ping)) == Some((date, ping)) {
            return;
        }
        for channel in 0..self.channels.len() {
            if self.channels[channel].0.channel.pinged_script() != Some(script) {
                continue;
            }
            let (event, severity) = match ping {
                Ping::Start | Ping::Alive => (AlertEvent::Restarted, Severity::Info),
                Ping::Success => (AlertEvent::Finished, Severity::Info),
                Ping::Fail => (AlertEvent::Failed, Severity::Error),
            };
            let about = About { script: script.clone(), trading_date: date, attempt: 0 };
            let draft = Draft {
                subject: Subject::Script(script.clone()),
                about: Some(about),
                severity: Some(severity),
                ..Draft::of_daemon(event, "ping", at, text.to_owned())
            };
            self.send(channel, event, &draft, Some(date), 1, out);
            if let Some(sent) = out.last_mut() {
                (sent.message.ping, sent.message.attempt) = (Some(ping), None);
            }
        }
    }
}
