//! The daemon at work: hands on what comes from outside (signals, orders to the daemon itself, the kill file, a changed configuration), until
//! the tree has ended.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ractor::ActorRef;
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use super::control::{Board, Request as Order};
use super::memory::Memory;
use super::reload::{Asker, News, Reloads};
use super::requests::{Request, Requests};
use crate::actors::messages::{Reconfiguration, RootMsg};
use crate::adapters::kill_file;
use crate::adapters::lock::ExecLock;
use crate::domain::notice::{Notice, What};
use crate::domain::operator::Refused;
use crate::domain::reload::Change;
use crate::domain::tree::Outcome;
use crate::ports::{Clock, Notifier};

/// After a second request to end, the daemon waits this long for the kernel to end what was killed. What is left then is named by the guard.
const KILL_PATIENCE: Duration = Duration::from_secs(6);

/// All that the daemon hears from outside.
pub(super) struct Watch<'a> {
    pub(super) root: ActorRef<RootMsg>,
    pub(super) done: oneshot::Receiver<Outcome>,
    pub(super) requests: Requests,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) reloads: Reloads<'a>,
    pub(super) memory: Memory,
    pub(super) board: Arc<Board>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) notifier: Arc<dyn Notifier>,
    pub(super) state_dir: PathBuf,
    /// Told the longest grace of any script, for the case that the daemon dies.
    pub(super) tell_grace: &'a dyn Fn(Duration),
}

impl Watch<'_> {
    /// Until the tree has ended; and tells until when it was not asked to: what should have begun after that, nobody has watched.
    pub(super) async fn run(
        &mut self,
        mut killed: mpsc::UnboundedReceiver<bool>,
        path: &str,
    ) -> (Outcome, DateTime<Utc>) {
        let mut asked = None;
        if self.requests.take_reload() {
            self.reloads.request();
        }
        loop {
            tokio::select! {
                outcome = &mut self.done => {
                    let outcome = outcome.unwrap_or_else(|_| Outcome::Failed("the root of the tree failed".to_owned()));
                    return (outcome, asked.unwrap_or_else(|| self.clock.now().wall));
                }
                reread = self.reloads.next() => {
                    if let Some(news) = self.reloads.take(reread, self.clock.now().wall) {
                        self.take_over(news);
                    }
                }
                Some(why) = self.memory.began_anew.recv() => {
                    let what = What::JournalRenewed { why };
                    self.notifier.notify(Notice { at: self.clock.now().wall, about: None, what });
                    self.ask(RootMsg::JournalBeganAnew);
                }
                Some(exists) = killed.recv() => self.ask(RootMsg::KillFile(exists.then(|| path.to_owned()))),
                Some(order) = self.orders.recv() => match order {
                    Order::Reload { by, restart, reply } => {
                        self.reloads.ask(Asker { who: by.to_string(), restart, reply: Some(reply) });
                    }
                    Order::ShutDown { by } => {
                        asked.get_or_insert_with(|| self.clock.now().wall);
                        self.ask(RootMsg::Shutdown { reason: format!("asked by {by}"), who: by.who });
                    }
                },
                request = self.requests.next(&*self.clock) => match request {
                    Request::Reload => self.reloads.request(),
                    Request::End(reason) => {
                        asked.get_or_insert_with(|| self.clock.now().wall);
                        let who = if reason.ends_with("received") { "operator" } else { "mho" }.to_owned();
                        self.ask(RootMsg::Shutdown { reason, who });
                    }
                    Request::EndAtOnce(signal) => {
                        warn!(target: "mho", "{signal} received again: killing all scripts");
                        self.ask(RootMsg::Kill);
                        // Whatever is left is the guard's.
                        let _ = tokio::time::timeout(KILL_PATIENCE, &mut self.done).await;
                        return (Outcome::Killed, asked.unwrap_or_else(|| self.clock.now().wall));
                    }
                },
            }
        }
    }

    /// A root that is gone has told its outcome already.
    fn ask(&self, message: RootMsg) {
        let _ = self.root.cast(message);
    }

    /// Puts a changed configuration into the tree, and says what came of it when that is done; nothing waits for it meanwhile.
    fn take_over(&self, news: News) {
        let News { settings, calendars, text, askers } = news;
        (self.tell_grace)(settings.scripts.iter().map(|script| script.stop.grace).max().unwrap_or_default());
        ExecLock::prepare(&self.state_dir, settings.scripts.iter().filter(|s| s.enabled).map(|s| &s.name));
        self.board.set_calendars(calendars.clone());
        self.memory.watch(&settings, self.clock.now().wall);
        let restart = askers.iter().any(|asker| asker.restart);
        let (reply, done) = oneshot::channel();
        let new = Reconfiguration { scripts: settings.scripts, calendars, restart, reply: reply.into() };
        self.ask(RootMsg::Reconfigure(Box::new(new)));
        tokio::spawn(async move {
            let answer = match done.await {
                Ok(Some(changes)) => Ok(tell(&changes, &text, restart)),
                Ok(None) | Err(_) => Err("the daemon ends: nothing was taken over".to_owned()),
            };
            for reply in askers.into_iter().filter_map(|asker| asker.reply) {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(answer.clone().map_err(Refused::NotNow));
            }
        });
    }
}

/// The kill file, from the start on: whether it is there, and what becomes of it.
pub(super) fn watch_kill_file(path: Option<&PathBuf>) -> (bool, mpsc::UnboundedReceiver<bool>) {
    let (tell, hear) = mpsc::unbounded_channel();
    let Some(path) = path else { return (false, hear) };
    let exists = kill_file::exists(path).unwrap_or_else(|| {
        warn!(target: "mho", "It cannot be told whether the kill file {} exists: it is taken not to, and looked for each second", path.display());
        false
    });
    if let Err(error) = kill_file::watch(path.clone(), exists, move |exists| tell.send(exists).is_ok()) {
        tracing::error!(target: "mho", "The kill file is not watched: no thread ({error}); look at the limits of processes (ulimit -u)");
    }
    (exists, hear)
}

/// What changed, to the log and in words.
fn tell(changes: &[Change], text: &str, restart: bool) -> String {
    let mut lines: Vec<String> = changes.iter().map(|change| words(change, restart)).collect();
    for (change, line) in changes.iter().zip(&lines) {
        match change {
            Change::Removed(name) => warn!(target: "mho", script = %name, "Configuration read again: {line}"),
            Change::Added(name) | Change::Changed { name, .. } => {
                info!(target: "mho", script = %name, "Configuration read again: {line}");
            }
        }
    }
    lines.extend(text.lines().map(str::to_owned));
    if lines.is_empty() { "nothing has changed".to_owned() } else { lines.join("\n") }
}

fn words(change: &Change, restart: bool) -> String {
    match change {
        Change::Added(name) => format!("{name}: added"),
        Change::Removed(name) => format!("{name}: removed; what runs of it is stopped"),
        Change::Changed { name, at_once, next_start } => {
            let now = (!at_once.is_empty()).then(|| format!("{} in effect now", at_once.join(", ")));
            let when = if restart { "restarted for it where it runs" } else { "in effect at its next start" };
            let later = (!next_start.is_empty()).then(|| format!("{} {when}", next_start.join(", ")));
            let all: Vec<_> = now.into_iter().chain(later).collect();
            format!("{name}: {}", all.join("; "))
        }
    }
}
