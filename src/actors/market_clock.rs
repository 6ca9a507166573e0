//! Owns the timeline: sleeps to the next boundary, tells the root all that were crossed, sleeps on. The only one who knows wall time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;

use super::root::RootMsg;
use super::{Plan, Ports};
use crate::domain::notice::{Notice, What};
use crate::domain::script::ScriptSpec;
use crate::domain::time::{Now, stepped};
use crate::domain::timeline::{Addressed, Alarm, Timeline};

/// A machine under load wakes late. This late still is on time: a start is not missed for it.
const PUNCTUAL: Duration = Duration::from_secs(5);

/// The actor.
pub struct MarketClock;

/// What it is given.
pub struct ClockArgs {
    /// Scripts, calendars, the status interval.
    pub plan: Plan,
    /// Time.
    pub ports: Ports,
    /// Whom it tells.
    pub root: ActorRef<RootMsg>,
}

/// What the clock is told.
pub enum ClockMsg {
    /// It slept long enough, or was woken.
    Wake,
    /// A script's alarm.
    SetAlarm {
        /// Whose.
        index: usize,
        /// Which.
        alarm: Alarm,
        /// When; None = not any more.
        at: Option<DateTime<Utc>>,
    },
    /// A script's worker is new and must hear its level again.
    Repeat {
        /// Whose.
        index: usize,
    },
}

/// The clock at work.
pub struct Ticking {
    args: ClockArgs,
    timeline: Timeline,
    seen: Now,
    status_due: Option<DateTime<Utc>>,
    sleep: Option<JoinHandle<()>>,
}

impl Actor for MarketClock {
    type Msg = ClockMsg;
    type State = Ticking;
    type Arguments = ClockArgs;

    async fn pre_start(&self, myself: ActorRef<ClockMsg>, args: ClockArgs) -> Result<Ticking, ActorProcessingErr> {
        let scripts: Vec<ScriptSpec> = args.plan.scripts.iter().map(|s| ScriptSpec::clone(s)).collect();
        let mut timeline = Timeline::new(&scripts, &args.plan.calendars, &args.plan.market);
        let seen = args.ports.clock.now();
        let levels = timeline.begin(seen.wall);
        let mut ticking = Ticking { args, timeline, seen, status_due: None, sleep: None };
        ticking.status_due = ticking.next_status(seen.wall);
        ticking.tell(levels)?;
        ticking.sleep_on(&myself);
        Ok(ticking)
    }

    async fn handle(
        &self,
        myself: ActorRef<ClockMsg>,
        message: ClockMsg,
        ticking: &mut Ticking,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ClockMsg::Wake => ticking.look()?,
            ClockMsg::SetAlarm { index, alarm, at } => ticking.timeline.set_alarm(index, alarm, at),
            ClockMsg::Repeat { index } => {
                let now = ticking.args.ports.clock.now().wall;
                let event = ticking.timeline.level(index, now);
                ticking.tell(vec![Addressed { at: now, to: Some(index), event }])?;
            }
        }
        ticking.sleep_on(&myself);
        Ok(())
    }
}

impl Ticking {
    /// Tells all boundaries since the last look.
    fn look(&mut self) -> Result<(), ActorProcessingErr> {
        let now = self.args.ports.clock.now();
        let step = stepped(&self.seen, &now);
        self.seen = now;
        if let Some(by) = step {
            self.args.ports.notifier.notify(Notice { at: now.wall, about: None, what: What::ClockStepped { by } });
            // The status line keeps to whole intervals of the clock as it is now.
            self.status_due = self.next_status(now.wall);
        }
        let crossed = self.timeline.advance(now.wall, now.wall_after(PUNCTUAL) - now.wall);
        self.tell(crossed)?;
        if self.status_due.is_some_and(|due| due <= now.wall) {
            self.status_due = self.next_status(now.wall);
            self.args.root.cast(RootMsg::StatusDue)?;
        }
        Ok(())
    }

    fn tell(&self, events: Vec<Addressed>) -> Result<(), ActorProcessingErr> {
        if !events.is_empty() {
            self.args.root.cast(RootMsg::Clock(events))?;
        }
        Ok(())
    }

    fn next_status(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let every = i64::try_from(self.args.plan.status_interval?.as_millis()).ok().filter(|ms| *ms > 0)?;
        let next = (now.timestamp_millis().div_euclid(every) + 1).checked_mul(every)?;
        DateTime::from_timestamp_millis(next)
    }

    fn sleep_on(&mut self, myself: &ActorRef<ClockMsg>) {
        let until = self.timeline.next().into_iter().chain(self.status_due).min();
        let wake = self.args.ports.clock.wake_at(until);
        let myself = myself.clone();
        let task = tokio::spawn(async move {
            wake.await;
            // The clock actor is gone: nobody is left to wake.
            let _ = myself.cast(ClockMsg::Wake);
        });
        if let Some(old) = self.sleep.replace(task) {
            old.abort();
        }
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        if let Some(task) = self.sleep.take() {
            task.abort();
        }
    }
}
