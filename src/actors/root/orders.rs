//! Orders from outside: finds whom they are for, hands them to the workers, and answers when they are done. What an order means is decided by
//! each script's machine; here is only who waits for what.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use ractor::{ActorRef, RpcReplyPort};

use super::{Child, Tree};
use crate::actors::messages::{OrderReply, RootMsg};
use crate::domain::calendar::Calendar;
use crate::domain::lifecycle::{Demand, Event, Goal, Order, Progress, Taken};
use crate::domain::notice::What;
use crate::domain::operator::{Answer, Asked, By, Hold, HoldKind, Refused, Whom};
use crate::domain::record::{Grade, Record};
use crate::domain::script::ScriptName;
use crate::domain::timeline::{DayPlan, forced_window, plan, windows};

/// A process that lives so long after its start is said to be started; one that ends sooner, to have failed.
const SETTLED: Duration = Duration::from_secs(1);

/// How many dates ahead a skip without a date is looked for: today's, and the next.
const CANDIDATES: usize = 2;

/// Nobody waits for the answer.
pub(super) const NOBODY: u64 = 0;

/// Orders that are not answered yet.
#[derive(Default)]
pub(super) struct Desk {
    last_ticket: u64,
    parts: BTreeMap<u64, Part>,
    requests: BTreeMap<u64, Request>,
}

/// One script's part of a request.
struct Part {
    request: u64,
    index: usize,
    /// As soon as its order is taken.
    goal: Option<Goal>,
    /// When its process was first seen alive, somebody was sent to look again.
    seen_alive: bool,
}

/// What somebody asked for, of one script or many.
struct Request {
    reply: RpcReplyPort<OrderReply>,
    /// Answer when all is done, not as soon as it is taken.
    waits: bool,
    open: usize,
    answers: Vec<(ScriptName, Result<Answer, String>)>,
    is_single: bool,
}

impl Desk {
    fn ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }
}

impl Tree {
    pub(super) fn on_order(
        &mut self,
        myself: &ActorRef<RootMsg>,
        (whom, asked, by): (Whom, Asked, By),
        wait: Option<Duration>,
        reply: RpcReplyPort<OrderReply>,
    ) {
        let found = self.find(&whom, &asked).and_then(|found| {
            let demands = found.into_iter().map(|index| Ok((index, self.demand(index, &asked)?)));
            demands.collect::<Result<Vec<_>, Refused>>()
        });
        let orders = match found {
            Ok(orders) => orders,
            Err(refused) => return drop(reply.send(Err(refused))),
        };
        if whom == Whom::All {
            self.hold_all(&asked, &by);
        }
        let request = self.desk.ticket();
        let is_single = whom != Whom::All;
        let entry = Request { reply, waits: wait.is_some(), open: orders.len(), answers: Vec::new(), is_single };
        self.desk.requests.insert(request, entry);
        if let Some(wait) = wait {
            myself.send_after(wait, move || RootMsg::OrderOverdue { request });
        }
        for (index, demand) in orders {
            let ticket = self.desk.ticket();
            self.desk.parts.insert(ticket, Part { request, index, goal: None, seen_alive: false });
            if self.children[index].worker.is_none() {
                let why = "its supervisor has failed and is being replaced: try again in a moment, or look at the log";
                self.on_answer(myself, ticket, Err(why.to_owned()));
            }
            self.send(index, Event::Order(Order { ticket, demand, by: by.clone() }));
        }
        self.answer_if_settled(request);
    }

    fn find(&self, whom: &Whom, asked: &Asked) -> Result<Vec<usize>, Refused> {
        let known = || self.children.iter().enumerate().filter(|(_, child)| !child.is_removed);
        match whom {
            Whom::All if matches!(asked, Asked::Pause { .. } | Asked::Resume) => {
                Ok(known().map(|(index, _)| index).collect())
            }
            Whom::All => Err(Refused::Invalid("this order is for one script: name it".to_owned())),
            Whom::One(name) => {
                let found = known().find(|(_, child)| child.spec.name.as_str() == name);
                found.map(|(index, _)| vec![index]).ok_or_else(|| Refused::NoSuchScript {
                    name: name.clone(),
                    known: known().map(|(_, child)| child.spec.name.clone()).collect(),
                })
            }
        }
    }

    /// What is asked, with what the script's machine cannot know of the calendar.
    fn demand(&self, index: usize, asked: &Asked) -> Result<Demand, Refused> {
        let child = &self.children[index];
        let now = self.ports.clock.now().wall;
        let calendar = self.plan.calendars.get(&child.spec.window.calendar);
        Ok(match asked {
            Asked::Start { force } => Demand::Start {
                force: *force,
                outside: calendar.and_then(|calendar| forced_window(&child.spec.window, calendar, now)),
            },
            Asked::Stop => Demand::Stop,
            Asked::Restart => Demand::Restart,
            Asked::Skip { date } => {
                let dates =
                    calendar.map_or_else(|| Ok(Vec::new()), |calendar| dates_to_skip(child, calendar, *date, now));
                Demand::Skip { dates: dates? }
            }
            Asked::Pause { until, stop } => {
                let zone = calendar.map_or(chrono_tz::UTC, |calendar| calendar.zone());
                let local =
                    |at: DateTime<Utc>| format!("until {}", at.with_timezone(&zone).format("%a %Y-%m-%d %H:%M:%S %Z"));
                let told = until.map_or_else(|| "until it is resumed".to_owned(), local);
                Demand::Pause { until: *until, told, stop: *stop }
            }
            Asked::Resume => Demand::Resume,
        })
    }

    /// What is paused as a whole stays so for scripts that are yet to come.
    fn hold_all(&mut self, asked: &Asked, by: &By) {
        let at = self.ports.clock.now().wall;
        self.pause_all = match asked {
            Asked::Pause { until, .. } => Some(Hold { kind: HoldKind::Pause { until: *until }, by: by.clone(), at }),
            _ => None,
        };
        let record = Record::Holds { script: None, holds: self.pause_all.iter().cloned().collect() };
        self.keep(vec![record], Grade::PowerSafe);
    }

    /// A script that nobody has heard of before is paused with all others, and stopped by the kill file.
    pub(super) fn greet(&self, index: usize, is_new: bool) {
        if let Some(path) = &self.killed_by {
            self.send(index, Event::KillFile(Some(path.clone())));
        }
        let now = self.ports.clock.now().wall;
        let pause = self.pause_all.as_ref().filter(|_| is_new).and_then(|pause| match pause.kind {
            HoldKind::Pause { until } if until.is_none_or(|until| now < until) => Some((until, pause.by.clone())),
            HoldKind::Pause { .. } | HoldKind::Skip { .. } => None,
        });
        if let Some((until, by)) = pause {
            let demand = Demand::Pause { until, told: String::new(), stop: false };
            self.send(index, Event::Order(Order { ticket: NOBODY, demand, by }));
        }
    }

    pub(super) fn on_kill_file(&mut self, path: Option<String>) {
        let told = path.clone().or_else(|| self.killed_by.clone());
        if self.killed_by == path {
            return; // it is as it was
        }
        if let Some(told) = told {
            self.tell(self.ports.clock.now().wall, What::KillFile { path: told, exists: path.is_some() });
        }
        self.killed_by.clone_from(&path);
        for index in 0..self.children.len() {
            self.send(index, Event::KillFile(path.clone()));
        }
    }

    pub(super) fn on_answer(&mut self, myself: &ActorRef<RootMsg>, ticket: u64, answer: Result<Taken, String>) {
        let Some(part) = self.desk.parts.get_mut(&ticket) else { return }; // nobody waits any more
        let (request, waits) =
            (part.request, self.desk.requests.get(&part.request).is_some_and(|request| request.waits));
        match answer {
            Ok(Taken { goal, .. }) if waits && goal != Goal::Done => {
                part.goal = Some(goal);
                self.look_after(myself, ticket);
            }
            Ok(Taken { message, goal }) => {
                let done = goal == Goal::Done;
                self.settle(ticket, Ok(Answer { message, done, ok: true }));
            }
            Err(why) => self.settle(ticket, Err(why)),
        }
        self.answer_if_settled(request);
    }

    /// The state of a script has changed: orders that wait for that may be done.
    pub(super) fn look_after_orders(&mut self, myself: &ActorRef<RootMsg>, index: usize) {
        let of_script = |(ticket, part): (&u64, &Part)| (part.index == index && part.goal.is_some()).then_some(*ticket);
        let tickets: Vec<u64> = self.desk.parts.iter().filter_map(of_script).collect();
        for ticket in tickets {
            self.look_after(myself, ticket);
        }
    }

    fn look_after(&mut self, myself: &ActorRef<RootMsg>, ticket: u64) {
        let Some(part) = self.desk.parts.get_mut(&ticket) else { return };
        let (Some(goal), request) = (part.goal, part.request) else { return };
        match goal.progress(&self.children[part.index].view) {
            Progress::Pending => {}
            Progress::Lives { .. } if part.seen_alive => {}
            Progress::Lives { .. } => {
                part.seen_alive = true;
                myself.send_after(SETTLED, move || RootMsg::OrderSettled { ticket });
            }
            Progress::Done { ok, message } => self.settle(ticket, Ok(Answer { message, done: true, ok })),
        }
        self.answer_if_settled(request);
    }

    /// Its process has had the time to fail.
    pub(super) fn on_order_settled(&mut self, ticket: u64) {
        let Some(part) = self.desk.parts.get_mut(&ticket) else { return };
        let (goal, request) = (part.goal, part.request);
        if let Some(Progress::Lives { message }) = goal.map(|goal| goal.progress(&self.children[part.index].view)) {
            self.settle(ticket, Ok(Answer { message, done: true, ok: true }));
        } else {
            part.seen_alive = false; // it is at another attempt
        }
        self.answer_if_settled(request);
    }

    /// Whoever asked has waited as long as they wanted.
    pub(super) fn on_order_overdue(&mut self, request: u64) {
        let of_request = |(ticket, part): (&u64, &Part)| (part.request == request).then_some(*ticket);
        let tickets: Vec<u64> = self.desk.parts.iter().filter_map(of_request).collect();
        for ticket in tickets {
            let Some(part) = self.desk.parts.get(&ticket) else { continue };
            let view = &self.children[part.index].view;
            let message = format!("not done yet: it is {} ({})", view.state.name(), view.reason);
            self.settle(ticket, Ok(Answer { message, done: false, ok: true }));
        }
        self.answer_if_settled(request);
    }

    fn settle(&mut self, ticket: u64, answer: Result<Answer, String>) {
        let Some(part) = self.desk.parts.remove(&ticket) else { return };
        let Some(request) = self.desk.requests.get_mut(&part.request) else { return };
        request.open -= 1;
        request.answers.push((self.children[part.index].spec.name.clone(), answer));
    }

    fn answer_if_settled(&mut self, request: u64) {
        let is_settled = |request: &Request| request.open == 0;
        if !self.desk.requests.get(&request).is_some_and(is_settled) {
            return;
        }
        let Some(Request { reply, mut answers, is_single, .. }) = self.desk.requests.remove(&request) else { return };
        let answer = match answers.pop() {
            Some((name, Err(why))) if is_single => Err(Refused::NotNow(format!("{name}: {why}"))),
            last => {
                answers.extend(last);
                Ok(answers.into_iter().map(|(name, answer)| (name, answer.unwrap_or_else(refused))).collect())
            }
        };
        // Whoever asked may have stopped waiting.
        let _ = reply.send(answer);
    }
}

fn refused(why: String) -> Answer {
    Answer { message: why, done: true, ok: false }
}

/// The dates that a skip may mean, oldest first; a single one is the one that was asked for.
fn dates_to_skip(
    child: &Child,
    calendar: &Calendar,
    asked: Option<NaiveDate>,
    now: DateTime<Utc>,
) -> Result<Vec<NaiveDate>, Refused> {
    let spec = &child.spec.window;
    let Some(date) = asked else {
        return Ok(windows(spec, calendar, now).take(CANDIDATES).map(|window| window.trading_date).collect());
    };
    let name = &child.spec.name;
    match plan(spec, calendar, date) {
        Ok(DayPlan::Window(window)) if window.stop <= now => {
            Err(Refused::NotNow(format!("{name}: its window of {date} is over")))
        }
        Ok(DayPlan::Window(_)) => Ok(vec![date]),
        Ok(DayPlan::Skipped { reason, .. }) => {
            Err(Refused::NotNow(format!("{name}: it does not run on {date} in any case: {reason}")))
        }
        Ok(DayPlan::NoSession { reason }) => {
            Err(Refused::NotNow(format!("{name}: {date} is no trading date: {reason}")))
        }
        Err(error) => Err(Refused::Invalid(error.to_string())),
    }
}
