//! Owns the timeline: sleeps to the next boundary, tells the root all that were crossed, sleeps on. The only one who knows wall time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveTime, Offset, TimeDelta, Utc};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;

use super::messages::{ClockMsg, RootMsg};
use super::{Plan, Ports};
use crate::domain::calendar::{Calendar, HORIZON_NEAR};
use crate::domain::lifecycle::Unfinished;
use crate::domain::notice::{Notice, What};
use crate::domain::script::{ScriptName, ScriptSpec};
use crate::domain::time::{Now, resolve_local, stepped};
use crate::domain::timeline::{Addressed, LONGEST_ABSENCE, Timeline};

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

/// The clock at work.
pub struct Ticking {
    args: ClockArgs,
    timeline: Timeline,
    seen: Now,
    status_due: Option<DateTime<Utc>>,
    /// The next midnight of the default calendar's zone.
    day_ends: Option<DateTime<Utc>>,
    /// Runs that end with their windows, since nobody watches them any more.
    abandoned: Vec<(ScriptName, Unfinished)>,
    sleep: Option<JoinHandle<()>>,
}

impl Actor for MarketClock {
    type Msg = ClockMsg;
    type State = Ticking;
    type Arguments = ClockArgs;

    async fn pre_start(&self, myself: ActorRef<ClockMsg>, args: ClockArgs) -> Result<Ticking, ActorProcessingErr> {
        let scripts: Vec<ScriptSpec> = args.plan.scripts.iter().map(|s| ScriptSpec::clone(s)).collect();
        let past = &args.plan.past.scripts;
        let watched_until = |name: &ScriptName| past.get(name).and_then(|past| past.watched_until);
        let mut timeline = Timeline::new(&scripts, &args.plan.calendars, &args.plan.market).knowing(watched_until);
        let seen = args.ports.clock.now();
        let levels = timeline.begin(seen.wall);
        let unwatched = unwatched(&timeline, &args.plan, seen.wall);
        let abandoned = args.plan.past.abandoned.clone();
        let mut ticking = Ticking { args, timeline, seen, status_due: None, day_ends: None, abandoned, sleep: None };
        ticking.status_due = ticking.next_status(seen.wall);
        ticking.begin_day(seen.wall);
        ticking.tell(unwatched)?;
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
            ClockMsg::Respecified { scripts, calendars } => ticking.respecify(&scripts, calendars)?,
            // Whoever asked may have stopped waiting.
            ClockMsg::Ping(reply) => {
                let _ = reply.send(());
                return Ok(());
            }
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

/// What happened to the scripts of an earlier daemon while none ran.
fn unwatched(timeline: &Timeline, plan: &Plan, now: DateTime<Utc>) -> Vec<Addressed> {
    let of = |(index, script): (usize, &Arc<ScriptSpec>)| {
        let past = plan.past.scripts.get(&script.name)?;
        // One that the last daemon did not have was watched by nobody, and nobody expected it to be; a run that was cut off ends all the same.
        let since = past.watched_until.unwrap_or(now).max(now - LONGEST_ABSENCE);
        let events = timeline.unwatched(index, since, now);
        Some(events.into_iter().map(move |event| Addressed { at: now, to: Some(index), event }))
    };
    plan.scripts.iter().enumerate().filter_map(of).flatten().collect()
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
        if step.is_some_and(|by| by < TimeDelta::zero()) {
            let levels = self.timeline.begin(now.wall);
            self.tell(levels)?;
        }
        let crossed = self.timeline.advance(now.wall, now.wall_after(PUNCTUAL) - now.wall);
        self.tell(crossed)?;
        self.give_up(now.wall)?;
        if step.is_some() || self.day_ends.is_some_and(|end| end <= now.wall) {
            self.begin_day(now.wall);
        }
        if self.status_due.is_some_and(|due| due <= now.wall) {
            self.status_due = self.next_status(now.wall);
            self.args.root.cast(RootMsg::StatusDue)?;
        }
        Ok(())
    }

    /// What happened until now went by the configuration as it was.
    fn respecify(
        &mut self,
        scripts: &[ScriptSpec],
        calendars: BTreeMap<Arc<str>, Arc<Calendar>>,
    ) -> Result<(), ActorProcessingErr> {
        self.look()?;
        self.args.plan.calendars = calendars;
        let plan = &self.args.plan;
        let news = self.timeline.respecify(scripts, &plan.calendars, &plan.market, self.seen.wall);
        self.tell(news)
    }

    fn give_up(&mut self, now: DateTime<Utc>) -> Result<(), ActorProcessingErr> {
        let mut ended = Vec::new();
        self.abandoned.retain(|(script, run)| {
            let end = run.given_up(script, now);
            let is_open = end.is_none();
            ended.extend(end);
            is_open
        });
        if !ended.is_empty() {
            self.args.root.cast(RootMsg::GivenUp(ended))?;
        }
        Ok(())
    }

    /// Looks whether the clock is kept right, and whether the calendars have data for today: a script whose calendar has none would stay down
    /// in silence.
    fn begin_day(&mut self, now: DateTime<Utc>) {
        if self.args.ports.clock.is_synchronised() == Some(false) {
            self.args.ports.notifier.notify(Notice { at: now, about: None, what: What::ClockUnsynchronised });
        }
        let calendars = &self.args.plan.calendars;
        let Some(zone) = calendars.get(&self.args.plan.market).map(|calendar| calendar.zone()) else { return };
        let today = now.with_timezone(&zone).date_naive();
        self.day_ends = today.succ_opt().map(|date| resolve_local(zone, date.and_time(NaiveTime::MIN)));
        for calendar in calendars.values() {
            let (from, to) = calendar.range().into_inner();
            let passed = !(from..=to).contains(&today);
            if passed || today.checked_add_days(HORIZON_NEAR).is_none_or(|soon| soon > to) {
                let what = What::CalendarEnds { calendar: calendar.id().to_owned(), from, to, passed };
                self.args.ports.notifier.notify(Notice { at: now, about: None, what });
            }
        }
    }

    fn tell(&self, events: Vec<Addressed>) -> Result<(), ActorProcessingErr> {
        if !events.is_empty() {
            self.args.root.cast(RootMsg::Clock(events))?;
        }
        Ok(())
    }

    fn next_status(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let every = i64::try_from(self.args.plan.status_interval?.as_millis()).ok().filter(|ms| *ms > 0)?;
        // Whole intervals as people read the clock: not every zone is whole hours from UTC.
        let zone = self.args.plan.calendars.get(&self.args.plan.market)?.zone();
        let ahead = i64::from(now.with_timezone(&zone).offset().fix().local_minus_utc()) * 1000;
        let next = ((now.timestamp_millis() + ahead).div_euclid(every) + 1).checked_mul(every)?;
        DateTime::from_timestamp_millis(next - ahead)
    }

    fn sleep_on(&mut self, myself: &ActorRef<ClockMsg>) {
        let abandoned = self.abandoned.iter().map(|(_, run)| run.window_end()).min();
        let until = [self.timeline.next(), self.status_due, self.day_ends, abandoned].into_iter().flatten().min();
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
