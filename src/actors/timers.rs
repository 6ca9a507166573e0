//! A worker's timers: one slot each. A timer that ran out while it was being disarmed is recognised by the attempt it carries.

use std::collections::BTreeMap;
use std::time::Duration;

use ractor::ActorRef;
use tokio::task::JoinHandle;

use crate::domain::attempt::AttemptId;
use crate::domain::lifecycle::{Event, Timer};

/// The armed timers.
#[derive(Default)]
pub(super) struct Timers {
    armed: BTreeMap<Timer, JoinHandle<()>>,
}

impl Timers {
    pub(super) fn arm(&mut self, worker: &ActorRef<Event>, timer: Timer, after: Duration, attempt: AttemptId) {
        self.disarm(timer);
        let worker = worker.clone();
        // Made here, so that it counts from now. Tokio's timers never fire early and at most a millisecond or two late.
        let sleep = tokio::time::sleep(after);
        let task = tokio::spawn(async move {
            sleep.await;
            // The worker is gone: so is what the timer was for.
            let _ = worker.cast(Event::Timer { timer, attempt });
        });
        self.armed.insert(timer, task);
    }

    pub(super) fn disarm(&mut self, timer: Timer) {
        if let Some(task) = self.armed.remove(&timer) {
            task.abort();
        }
    }
}

impl Drop for Timers {
    /// Dropping a handle does not end its task.
    fn drop(&mut self) {
        self.armed.values().for_each(JoinHandle::abort);
    }
}
