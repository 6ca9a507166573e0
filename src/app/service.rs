//! The daemon as a service: tells its manager when it is ready, and that it is alive for as long as its actors answer.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;
use ractor::rpc::CallResult;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::actors::messages::RootMsg;
use crate::adapters::notify::ServiceManager;

/// An actor that does not answer within this time is not well.
const ANSWER: Duration = Duration::from_secs(1);

/// A manager that could not be told that we are ready is told again so often, this long after: by then it gave up, or is no manager.
const READY_TRIES: (u32, Duration) = (120, Duration::from_secs(1));

/// To be called when the tree runs.
pub(super) fn announce(manager: Arc<ServiceManager>, root: &ActorRef<RootMsg>) {
    if let Some(within) = manager.watchdog() {
        tokio::spawn(report_life(Arc::clone(&manager), root.clone(), within / 2));
    }
    tokio::spawn(report_ready(manager));
}

async fn report_ready(manager: Arc<ServiceManager>) {
    let (tries, pause) = READY_TRIES;
    for _ in 0..tries {
        if manager.ready().is_ok() {
            return;
        }
        sleep(pause).await;
    }
}

/// Silence makes the manager end us, scripts included: better than scripts that nobody stops at the close.
async fn report_life(manager: Arc<ServiceManager>, root: ActorRef<RootMsg>, every: Duration) {
    let mut beat = interval(every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        beat.tick().await;
        if matches!(root.call(RootMsg::Views, Some(ANSWER)).await, Ok(CallResult::Success(_))) {
            manager.alive();
        }
    }
}
