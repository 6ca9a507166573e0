//! The daemon as its API sees it: what is shown comes from the board, what is ordered goes to the root, what is past is read from files.

mod board;
mod live;
mod past;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use ractor::ActorRef;
use ractor::rpc::CallResult;
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::actors::messages::RootMsg;
use crate::domain::operator::{Asked, By, Refused, Whom};
use crate::domain::status::{Day, HistoryLine, Live, NextLine, Outcome, Script, Status};
use crate::ports::{CalendarQuery, Control, HistoryQuery, LogLines, LogQuery, PortFuture};

pub(super) use board::{Board, Watching};
use live::Stream;

/// Actors that do not answer within this time are not well.
const ALIVE: Duration = Duration::from_secs(1);

/// Longer than it takes to hand an order on and to hear that it is taken.
const TAKEN: Duration = Duration::from_secs(5);

/// More requests than this do not wait for the daemon itself.
const MOST_WAITING: usize = 16;

/// Between two looks whether all has ended.
const GLANCE: Duration = Duration::from_millis(20);

/// What the daemon itself is asked, beside its actors.
pub(super) enum Request {
    /// Read the configuration again.
    Reload { by: By, restart: bool, reply: oneshot::Sender<Result<String, Refused>> },
    /// End, in order.
    ShutDown { by: By },
}

/// The daemon's side of the API.
pub(super) struct Desk {
    board: Arc<Board>,
    stream: Stream,
    root: ActorRef<RootMsg>,
    requests: mpsc::Sender<Request>,
    state_dir: PathBuf,
}

impl Desk {
    /// With it the other end of what the daemon itself is asked.
    pub(super) fn new(
        board: &Arc<Board>,
        seen: mpsc::Receiver<board::Seen>,
        root: &ActorRef<RootMsg>,
        state_dir: &Path,
    ) -> (Self, mpsc::Receiver<Request>) {
        let (requests, orders) = mpsc::channel(MOST_WAITING);
        let stream = Stream::new(Arc::clone(board), seen);
        let (board, root, state_dir) = (Arc::clone(board), root.clone(), state_dir.to_owned());
        (Self { board, stream, root, requests, state_dir }, orders)
    }

    pub(super) fn shared(self) -> Arc<dyn Control> {
        Arc::new(Shared(Arc::new(self)))
    }

    /// Those that an order was for, as they are now.
    fn outcome(&self, message: String, (done, ok): (bool, bool), of: impl Fn(&Script) -> bool) -> Outcome {
        let scripts = self.board.scripts().into_iter().filter(|script| of(script)).collect();
        Outcome { message, done, ok, scripts }
    }
}

fn unanswered() -> Refused {
    Refused::Unanswered("the daemon does not answer: it ends, or is overloaded; look at its log".to_owned())
}

/// The API is served as long as the daemon lives; what it does here may outlast a request.
struct Shared(Arc<Desk>);

impl Control for Shared {
    fn clock(&self) -> (DateTime<Utc>, Tz) {
        let present = self.0.board.present();
        (present.now, present.zone)
    }

    fn is_alive(&self) -> PortFuture<bool> {
        let root = self.0.root.clone();
        Box::pin(async move { matches!(root.call(RootMsg::Ping, Some(ALIVE)).await, Ok(CallResult::Success(()))) })
    }

    fn status(&self) -> PortFuture<Status> {
        let desk = Arc::clone(&self.0);
        Box::pin(async move { desk.board.status() })
    }

    fn order(&self, whom: Whom, asked: Asked, by: By, wait: Option<Duration>) -> PortFuture<Result<Outcome, Refused>> {
        let desk = Arc::clone(&self.0);
        Box::pin(async move {
            let order = |reply| RootMsg::Order { whom, asked, by, wait, reply };
            let patience = wait.unwrap_or_default() + TAKEN;
            let answered = match desk.root.call(order, Some(patience)).await {
                Ok(CallResult::Success(answered)) => answered?,
                _ => return Err(unanswered()),
            };
            let (done, ok) = (answered.iter().all(|(_, a)| a.done), answered.iter().all(|(_, a)| a.ok));
            let lines: Vec<_> = answered.iter().map(|(name, answer)| format!("{name}: {}", answer.message)).collect();
            let is_concerned = |script: &Script| answered.iter().any(|(name, _)| name.as_str() == script.name);
            Ok(desk.outcome(lines.join("\n"), (done, ok), is_concerned))
        })
    }

    fn reload(&self, by: By, restart: bool) -> PortFuture<Result<Outcome, Refused>> {
        let desk = Arc::clone(&self.0);
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let request = Request::Reload { by, restart, reply };
            desk.requests.send(request).await.map_err(|_| unanswered())?;
            let message = answer.await.map_err(|_| unanswered())??;
            Ok(desk.outcome(message, (true, true), |_| true))
        })
    }

    fn shut_down(&self, by: By, wait: Option<Duration>) -> PortFuture<Result<Outcome, Refused>> {
        let desk = Arc::clone(&self.0);
        Box::pin(async move {
            desk.requests.send(Request::ShutDown { by }).await.map_err(|_| unanswered())?;
            let ended = async {
                while !desk.board.has_ended() {
                    tokio::time::sleep(GLANCE).await;
                }
            };
            let done = tokio::time::timeout(wait.unwrap_or_default(), ended).await.is_ok();
            let message = if done { "every script is stopped; the daemon ends" } else { "shutting down" };
            Ok(desk.outcome(message.to_owned(), (done, true), |_| true))
        })
    }

    fn history(&self, query: HistoryQuery) -> PortFuture<Result<Vec<HistoryLine>, Refused>> {
        let desk = Arc::clone(&self.0);
        Box::pin(async move { past::aside(move || past::history(&desk, &query)).await })
    }

    fn calendar(&self, query: CalendarQuery) -> PortFuture<Result<Vec<Value>, Refused>> {
        let desk = Arc::clone(&self.0);
        Box::pin(async move { past::aside(move || past::calendar(&desk, &query)).await })
    }

    fn timeline(&self, date: Option<NaiveDate>) -> PortFuture<Result<Day, Refused>> {
        let desk = Arc::clone(&self.0);
        Box::pin(async move { past::aside(move || past::timeline(&desk, date)).await })
    }

    fn next(&self, count: usize) -> PortFuture<Vec<NextLine>> {
        let desk = Arc::clone(&self.0);
        Box::pin(async move { desk.board.next(count) })
    }

    fn log(&self, query: LogQuery) -> PortFuture<Result<Box<dyn LogLines>, Refused>> {
        let desk = Arc::clone(&self.0);
        Box::pin(async move { past::log(&desk, query).await })
    }

    fn events(&self) -> broadcast::Receiver<Live> {
        self.0.stream.subscribe()
    }

    fn metrics(&self) -> PortFuture<String> {
        let desk = Arc::clone(&self.0);
        Box::pin(async move { desk.board.metrics_text() })
    }
}
