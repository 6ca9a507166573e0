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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use ractor::{Actor, ActorProcessingErr};

    use super::*;

    /// A root that answers or, without an error, does not.
    struct Stub {
        answers: bool,
    }

    impl Actor for Stub {
        type Msg = RootMsg;
        type State = Vec<RootMsg>;
        type Arguments = ();

        async fn pre_start(&self, _: ActorRef<RootMsg>, (): ()) -> Result<Self::State, ActorProcessingErr> {
            Ok(Vec::new())
        }

        async fn handle(
            &self,
            _: ActorRef<RootMsg>,
            message: RootMsg,
            unanswered: &mut Self::State,
        ) -> Result<(), ActorProcessingErr> {
            match message {
                RootMsg::Views(reply) if self.answers => drop(reply.send(Vec::new())),
                other => unanswered.push(other),
            }
            Ok(())
        }
    }

    async fn beats_in_ten_seconds(answers: bool) -> usize {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = UnixDatagram::bind(dir.path().join("notify")).expect("bound");
        socket.set_nonblocking(true).expect("set");
        let manager = ServiceManager::new(socket.local_addr().ok(), Some(Duration::from_secs(4)));
        let (root, ended) = Actor::spawn(None, Stub { answers }, ()).await.expect("started");
        announce(Arc::new(manager), &root);
        let (mut beats, mut buffer) = (0, [0; 64]);
        for _ in 0..100 {
            // The queue is short: it is read all the time.
            sleep(Duration::from_millis(100)).await;
            while let Ok(length) = socket.recv(&mut buffer) {
                beats += usize::from(&buffer[..length] == b"WATCHDOG=1");
            }
        }
        root.stop(None);
        ended.await.expect("it ended well");
        beats
    }

    #[tokio::test(start_paused = true)]
    async fn life_is_reported_at_half_the_time_for_as_long_as_the_root_answers() {
        assert_eq!(beats_in_ten_seconds(true).await, 5, "at 0, 2, 4, 6, 8 s");
        assert_eq!(beats_in_ten_seconds(false).await, 0);
    }
}
