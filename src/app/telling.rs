//! Those who are told: puts the desk of alerts on the daemon, and sends test messages without one.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ractor::ActorRef;
use ractor::rpc::CallResult;
use tokio::sync::mpsc;

use super::control::Board;
use crate::actors::messages::RootMsg;
use crate::adapters::process::{RealErrands, without};
use crate::alerts::{self, Desk, DeskArgs, Programs, Tap};
use crate::config::Settings;
use crate::domain::alert::{AlertSpec, Context, Fate, Look, Message};
use crate::domain::notice::Notice;
use crate::domain::record::{AlertRecord, Grade, Past, Record};
use crate::domain::script::ScriptName;
use crate::domain::tree::Outcome;
use crate::ports::{Clock, Journal, Outbox, PortFuture, Scripts};

/// The end of the daemon waits this long for the last alerts, and so long when somebody is in a hurry.
const FLUSH: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));

/// The journal has this long to keep a message before that is sent all the same.
const KEEP: Duration = Duration::from_secs(2);

/// Actors that do not answer within this time are not well.
const ANSWER: Duration = Duration::from_secs(1);

/// What must exist before the desk does: notices wait here for it. Without any [[alert]] there is nothing.
pub(super) struct Prepared {
    tap: Tap,
    notices: mpsc::Receiver<Notice>,
    past: Past,
}

impl Prepared {
    /// Takes what earlier daemons could not send out of `past`.
    pub(super) fn new(settings: &Settings, past: &mut Past) -> Option<Self> {
        if settings.alerts.channels.is_empty() {
            return None;
        }
        let (tap, notices) = Tap::new();
        let alerts = std::mem::take(&mut past.alerts);
        let past = Past { scripts: past.scripts.clone(), alerts, ..Past::default() };
        Some(Self { tap, notices, past })
    }

    pub(super) fn tap(&self) -> Tap {
        self.tap.clone()
    }

    /// To be called when the tree runs.
    pub(super) fn start(self, surroundings: Surroundings<'_>) -> Desk {
        let Surroundings { settings, daemon_id, is_rehearsal, clock, root, journal, board } = surroundings;
        let metrics = Arc::clone(&board.metrics);
        let args = DeskArgs {
            channels: settings.alerts.channels.clone(),
            context: Context {
                daemon_id: daemon_id.to_owned(),
                host: host(),
                life: random(),
                zone: settings.default_calendar().zone(),
            },
            past: self.past,
            clock: Arc::clone(clock),
            outbox: Arc::new(Kept { root: root.clone(), journal: Arc::clone(journal) }),
            scripts: Arc::new(Seen { board: Arc::clone(board), root: root.clone() }),
            programs: programs(settings),
            counted: Arc::new(move |channel, result| metrics.alerted(channel, result)),
            is_rehearsal,
        };
        Desk::start(args, self.tap, self.notices)
    }
}

/// The daemon around the desk.
pub(super) struct Surroundings<'a> {
    pub(super) settings: &'a Settings,
    pub(super) daemon_id: &'a str,
    pub(super) is_rehearsal: bool,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) root: &'a ActorRef<RootMsg>,
    pub(super) journal: &'a Arc<dyn Journal>,
    pub(super) board: &'a Arc<Board>,
}

/// Lets the desk send what is left.
pub(super) async fn finish(desk: Option<Desk>, outcome: &Outcome) {
    let Some(desk) = desk else { return };
    let (because, limit) = match outcome {
        Outcome::Stopped => (None, FLUSH.0),
        Outcome::Killed => (None, FLUSH.1),
        Outcome::Critical(reason) | Outcome::Failed(reason) => (Some(reason.clone()), FLUSH.0),
    };
    desk.finish(because, limit).await;
}

/// The journal, through the tree as long as there is one: the recorder is the only one who writes.
struct Kept {
    root: ActorRef<RootMsg>,
    journal: Arc<dyn Journal>,
}

impl Outbox for Kept {
    fn keep(&self, alerts: Vec<AlertRecord>) -> PortFuture {
        let records: Vec<Record> = alerts.into_iter().map(|alert| Record::Alert(Box::new(alert))).collect();
        let (root, journal) = (self.root.clone(), Arc::clone(&self.journal));
        Box::pin(async move {
            let ask = |reply| RootMsg::Remember { records: records.clone(), reply };
            match root.call(ask, Some(KEEP)).await {
                Ok(CallResult::Success(()) | CallResult::Timeout) => {}
                // The tree has ended, and its recorder with it.
                Ok(CallResult::SenderError) | Err(_) => {
                    // A journal that does not answer keeps nobody from being told.
                    let _ = tokio::time::timeout(KEEP, journal.write(Arc::new(records), Grade::CrashSafe)).await;
                }
            }
        })
    }
}

/// The scripts, off the board.
struct Seen {
    board: Arc<Board>,
    root: ActorRef<RootMsg>,
}

impl Scripts for Seen {
    fn look(&self, name: &ScriptName) -> Option<Look> {
        let (facts, calendar, has_dependents) = self.board.find(name)?;
        Some(Look { facts, calendar, has_dependents })
    }

    fn looks(&self) -> Vec<Look> {
        let all = self.board.facts();
        let wanted: BTreeSet<ScriptName> =
            all.iter().flat_map(|(facts, _)| facts.spec.depends_on.iter().map(|on| on.script.clone())).collect();
        let look = |(facts, calendar): (_, _)| {
            let facts: crate::domain::status::Facts = facts;
            Look { has_dependents: wanted.contains(&facts.spec.name), facts, calendar }
        };
        all.into_iter().map(look).collect()
    }

    fn are_supervised(&self) -> PortFuture<bool> {
        let root = self.root.clone();
        Box::pin(async move { matches!(root.call(RootMsg::Ping, Some(ANSWER)).await, Ok(CallResult::Success(()))) })
    }
}

fn programs(settings: &Settings) -> Programs {
    let env: Vec<(OsString, OsString)> = without(std::env::vars_os(), &settings.alerts.variables).collect();
    Programs { errands: Arc::new(RealErrands), env }
}

fn host() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "unknown".to_owned())
}

/// What makes the ids of one life differ from those of another.
fn random() -> String {
    format!("{:016x}", fastrand::u64(..))
}

/// Sends a test message through these channels, one after the other; `told` hears what came of each.
///
/// # Errors
/// If no runtime can be made, or `told` fails.
pub fn test_alerts(
    settings: &Settings,
    channels: &[Arc<AlertSpec>],
    now: DateTime<Utc>,
    mut told: impl FnMut(&AlertSpec, Result<(), String>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (programs, zone) = (programs(settings), settings.default_calendar().zone());
    for spec in channels {
        let message = Message::test(format!("{}-test", random()), host(), now, zone);
        let result = match runtime.block_on(async { alerts::send(spec, message, &programs).await }) {
            Fate::Sent => Ok(()),
            Fate::Refused(why) | Fate::Failed { why, .. } => Err(why),
        };
        told(spec, result)?;
    }
    Ok(())
}
