//! The root of the tree: hands the clock's events to the workers, news of one script to its dependents, and stops everything in order.
//! What it does when an actor fails stands in `failures.rs`, what the journal hears from it in `journal.rs`, how it hands on the orders of
//! operators in `orders.rs`, what it makes of a changed configuration in `reload.rs`, and how it ends in `ending.rs`.

mod ending;
mod failures;
mod journal;
mod layers;
mod orders;
mod reload;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::oneshot;

use self::failures::Orphan;
use self::layers::{HeldClose, closing};
use self::orders::Desk;
use super::market_clock::{ClockArgs, MarketClock};
use super::messages::{ClockMsg, RootMsg};
use super::recorder::RecorderSlot;
use super::script_worker::{ScriptWorker, WorkerArgs};
use super::{Plan, Ports};
use crate::domain::dependency::{Progress, Standing};
use crate::domain::lifecycle::{Event, State, View, step};
use crate::domain::notice::{Notice, What};
use crate::domain::operator::Hold;
use crate::domain::record::Grade;
use crate::domain::script::ScriptSpec;
use crate::domain::status::Facts;
use crate::domain::time::Now;
use crate::domain::timeline::{Addressed, Boundary, BoundaryKind, ClockEvent};
use crate::domain::tree::{Outcome, RespawnBudget, Shutdown};

/// The actor.
pub struct Root;

/// What the root is given.
pub struct RootArgs {
    /// What the tree is made of.
    pub plan: Plan,
    /// The world.
    pub ports: Ports,
    /// Whether a market clock drives the tree; without one, a test injects its messages.
    pub with_clock: bool,
    /// Hears how the daemon ended.
    pub done: oneshot::Sender<Outcome>,
}

/// One script, as the root keeps it.
struct Child {
    spec: Arc<ScriptSpec>,
    /// It is not configured any more.
    is_removed: bool,
    worker: Option<ActorRef<Event>>,
    incarnation: u32,
    /// The ledger: the last state that was reported.
    state: State,
    view: Arc<View>,
    /// Since when it has this name.
    since: DateTime<Utc>,
    /// The configuration that its live process was started by.
    launched: Option<Arc<ScriptSpec>>,
    dependents: Vec<usize>,
    /// The end of its window, which waits until those that need it to be ready are gone.
    held_close: Option<HeldClose>,
    respawns: RespawnBudget,
    /// What a failed worker left running, until it is gone.
    orphan: Option<Orphan>,
    /// Dates that went by while no worker was there to hear of it: told to the next one.
    unheard: Vec<ClockEvent>,
}

impl Child {
    /// Whether the daemon's end must wait for it: a worker that has not yet answered that it starts nothing any more may be starting
    /// something at this moment.
    fn is_live(&self) -> bool {
        self.orphan.as_ref().is_some_and(|orphan| !orphan.survived) || (self.worker.is_some() && !self.view.ended)
    }

    fn facts(&self) -> Facts {
        Facts { spec: Arc::clone(&self.spec), view: Arc::clone(&self.view), since: self.since, pending: self.pending() }
    }
}

/// The root at work.
pub struct Tree {
    plan: Plan,
    ports: Ports,
    clock: Option<ActorRef<ClockMsg>>,
    children: Vec<Child>,
    recorder: RecorderSlot,
    recorder_respawns: RespawnBudget,
    shutdown: Option<Shutdown>,
    /// How the daemon ended, as soon as what there is to remember is written.
    outcome: Option<Outcome>,
    running: usize,
    /// So many windows' ends are held back.
    held_closes: usize,
    /// Orders that are not answered yet.
    desk: Desk,
    /// What an operator forbids of all scripts, also of those that are yet to come.
    pause_all: Option<Hold>,
    /// The kill file that exists.
    killed_by: Option<String>,
    /// The configuration's order of those that it has.
    order: Vec<usize>,
    done: Option<oneshot::Sender<Outcome>>,
}

impl Actor for Root {
    type Msg = RootMsg;
    type State = Tree;
    type Arguments = RootArgs;

    async fn pre_start(&self, myself: ActorRef<RootMsg>, args: RootArgs) -> Result<Tree, ActorProcessingErr> {
        let RootArgs { plan, ports, with_clock, done } = args;
        let children = children(&plan, &ports.clock.now());
        let (pause_all, order) = (plan.past.pause_all.clone(), (0..children.len()).collect());
        let mut tree = Tree {
            plan,
            ports,
            clock: None,
            children,
            recorder: RecorderSlot::default(),
            recorder_respawns: RespawnBudget::default(),
            shutdown: None,
            outcome: None,
            running: 0,
            held_closes: 0,
            desk: Desk::default(),
            pause_all,
            killed_by: None,
            order,
            done: Some(done),
        };
        tree.spawn_recorder(&myself).await?;
        let found = std::mem::take(&mut tree.plan.records);
        tree.keep(found, Grade::PowerSafe);
        for index in 0..tree.children.len() {
            tree.spawn_worker(&myself, index).await?;
        }
        let killed_by = tree.plan.killed_by.take();
        tree.on_kill_file(killed_by);
        for index in 0..tree.children.len() {
            tree.tell_standings(index);
            let is_new = !tree.plan.past.scripts.contains_key(&tree.children[index].spec.name);
            tree.greet(index, is_new);
            tree.show(index);
        }
        tree.ports.observer.ordered(&tree.order);
        if with_clock {
            let args = ClockArgs { plan: tree.plan.clone(), ports: tree.ports.clone(), root: myself.clone() };
            tree.clock = Some(Actor::spawn_linked(None, MarketClock, args, myself.get_cell()).await?.0);
        }
        tree.tell_status();
        Ok(tree)
    }

    async fn handle(
        &self,
        myself: ActorRef<RootMsg>,
        message: RootMsg,
        tree: &mut Tree,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RootMsg::Clock(events) => tree.on_clock(&myself, events).await?,
            RootMsg::StatusDue => tree.tell_status(),
            RootMsg::GivenUp(runs) => tree.on_given_up(runs),
            RootMsg::Report { index, incarnation, state, spec } => {
                tree.on_report(index, incarnation, *state, spec);
                tree.look_after_orders(&myself, index);
            }
            RootMsg::Order { whom, asked, by, wait, reply } => tree.on_order(&myself, (whom, asked, by), wait, reply),
            RootMsg::Answered { ticket, answer } => tree.on_answer(&myself, ticket, answer),
            RootMsg::OrderSettled { ticket } => tree.on_order_settled(ticket),
            RootMsg::OrderOverdue { request } => tree.on_order_overdue(request),
            RootMsg::KillFile(path) => tree.on_kill_file(path),
            RootMsg::Reconfigure(new) => tree.on_reconfigure(&myself, *new).await?,
            RootMsg::SetAlarm { index, alarm, at } => tree.tell_clock(ClockMsg::SetAlarm { index, alarm, at }),
            RootMsg::Shutdown { reason, who } => tree.shut_down_for(Outcome::Stopped, reason, who),
            RootMsg::Kill => tree.kill(),
            RootMsg::Failed { index, error } => tree.on_failed(&myself, index, error).await?,
            RootMsg::Orphan { index, event } => tree.on_orphan(&myself, index, event).await?,
            RootMsg::OrphanGrace { index, attempt } => tree.on_orphan_grace(index, &attempt),
            RootMsg::Remember { records, reply } => tree.remember(records, reply),
            RootMsg::JournalBeganAnew => tree.tell_journal(),
            RootMsg::Recorded => tree.end(&myself),
            RootMsg::Ping(reply) => match &tree.clock {
                Some(clock) => drop(clock.cast(ClockMsg::Ping(reply))),
                None => drop(reply.send(())),
            },
            RootMsg::Views(reply) => {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(tree.children.iter().map(|c| View::clone(&c.view)).collect());
            }
        }
        tree.release_closes();
        tree.go_on_ending(&myself);
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<RootMsg>,
        event: SupervisionEvent,
        tree: &mut Tree,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, error) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell, error.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                (cell, reason.unwrap_or_else(|| "it ended".to_owned()))
            }
            // Nothing is wrong; groups are not used.
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let failed = tree.children.iter().position(|c| c.worker.as_ref().is_some_and(|w| w.get_id() == cell.get_id()));
        match failed {
            // Supervision overtakes messages: the last reports of the dead worker stand in the mailbox before this one.
            Some(index) => myself.cast(RootMsg::Failed { index, error })?,
            None if tree.recorder.get().is_some_and(|recorder| recorder.get_id() == cell.get_id()) => {
                tree.on_recorder_failed(&myself, &error).await?;
            }
            // Without the clock nothing would ever start or stop: end in order, and let the outside start anew.
            None => {
                let reason = format!("the market clock failed: {error}");
                tree.shut_down(Outcome::Failed(reason.clone()), reason);
            }
        }
        tree.go_on_ending(&myself);
        Ok(())
    }
}

fn children(plan: &Plan, now: &Now) -> Vec<Child> {
    let of = |(spec, dependents): (&Arc<ScriptSpec>, Vec<usize>)| {
        let past = plan.past.scripts.get(&spec.name);
        let state = past.map_or_else(State::default, |past| State::resumed(past, now));
        child(Arc::clone(spec), dependents, state, now)
    };
    plan.scripts.iter().zip(dependents(&plan.scripts)).map(of).collect()
}

fn child(spec: Arc<ScriptSpec>, dependents: Vec<usize>, state: State, now: &Now) -> Child {
    Child {
        view: Arc::new(state.view(&spec)),
        spec,
        is_removed: false,
        worker: None,
        incarnation: 0,
        state,
        since: now.wall,
        launched: None,
        dependents,
        held_close: None,
        respawns: RespawnBudget::default(),
        orphan: None,
        unheard: Vec::new(),
    }
}

/// For each script those that depend on it directly.
fn dependents(scripts: &[Arc<ScriptSpec>]) -> Vec<Vec<usize>> {
    let index: BTreeMap<_, _> = scripts.iter().enumerate().map(|(i, s)| (&s.name, i)).collect();
    let mut dependents = vec![Vec::new(); scripts.len()];
    for (i, script) in scripts.iter().enumerate() {
        for predecessor in script.depends_on.iter().filter_map(|d| index.get(&d.script)) {
            dependents[*predecessor].push(i);
        }
    }
    dependents
}

impl Tree {
    async fn spawn_worker(&mut self, myself: &ActorRef<RootMsg>, index: usize) -> Result<(), ActorProcessingErr> {
        let child = &mut self.children[index];
        child.incarnation += 1;
        let args = WorkerArgs {
            index,
            incarnation: child.incarnation,
            spec: Arc::clone(&child.spec),
            state: child.state.clone(),
            root: myself.clone(),
            recorder: self.recorder.clone(),
            ports: self.ports.clone(),
        };
        child.worker = Some(Actor::spawn_linked(None, ScriptWorker, args, myself.get_cell()).await?.0);
        Ok(())
    }

    async fn on_clock(&mut self, myself: &ActorRef<RootMsg>, events: Vec<Addressed>) -> Result<(), ActorProcessingErr> {
        self.revoke(&events);
        let closing = closing(&events);
        for Addressed { at, to, event } in events {
            self.show_boundary(at, to, &event);
            match (to, event) {
                (Some(index), event) if self.children[index].worker.is_none() => {
                    self.on_clock_unheard(myself, index, event).await?;
                }
                (Some(index), event) => self.send_in_turn(index, event, &closing),
                (None, ClockEvent::SessionOpen { .. }) => self.tell(at, What::Session { open: true }),
                (None, ClockEvent::SessionClose { .. }) => self.tell(at, What::Session { open: false }),
                // Only sessions are addressed to everybody.
                (None, _) => {}
            }
        }
        Ok(())
    }

    fn show_boundary(&self, at: DateTime<Utc>, to: Option<usize>, event: &ClockEvent) {
        let (kind, trading_date) = match event {
            ClockEvent::WindowOpen { window, .. } => (BoundaryKind::Start, window.trading_date),
            ClockEvent::WindowClose { trading_date } => (BoundaryKind::Stop, *trading_date),
            ClockEvent::SessionOpen { trading_date } if to.is_none() => (BoundaryKind::Open, *trading_date),
            ClockEvent::SessionClose { trading_date } if to.is_none() => (BoundaryKind::Close, *trading_date),
            _ => return,
        };
        let script = to.and_then(|index| self.children.get(index)).map(|child| child.spec.name.clone());
        self.ports.observer.crossed(Boundary { at, kind, script, trading_date });
    }

    /// A window that is given back, or gets more time, brings a run back to life that was over. Its dependents hear of that before they hear of
    /// their own windows: they would take the old result for the last word.
    fn revoke(&self, events: &[Addressed]) {
        let now = self.ports.clock.now();
        for Addressed { to, event, .. } in events {
            let (Some(index), ClockEvent::WindowOpen { window, .. }) = (*to, event) else { continue };
            let child = &self.children[index];
            let date = window.trading_date;
            let is_over = |state: &State| {
                let of_date = state.standings().into_iter().rfind(|standing| standing.trading_date == date);
                of_date.map(|standing| standing.progress.is_over())
            };
            if child.dependents.is_empty() || is_over(&child.state) != Some(true) {
                continue;
            }
            // What its worker is about to decide is a pure function of what is known here.
            let (after, _) = step(child.state.clone(), Event::Clock(event.clone()), &child.spec, &now);
            if is_over(&after) != Some(true) {
                let standing = Standing { trading_date: date, progress: Progress::Pending };
                for dependent in &child.dependents {
                    let script = child.spec.name.clone();
                    self.send(*dependent, Event::Standing { script, standing: standing.clone() });
                }
            }
        }
    }

    /// A worker that is down hears nothing: it is told its level when it comes back.
    fn send(&self, index: usize, event: Event) {
        if let Some(worker) = self.children.get(index).and_then(|c| c.worker.as_ref()) {
            let _ = worker.cast(event);
        }
    }

    fn tell(&self, at: DateTime<Utc>, what: What) {
        self.ports.notifier.notify(Notice { at, about: None, what });
    }

    fn tell_clock(&self, message: ClockMsg) {
        if let Some(clock) = &self.clock {
            let _ = clock.cast(message);
        }
    }

    fn on_report(&mut self, index: usize, incarnation: u32, state: State, spec: Arc<ScriptSpec>) {
        let child = &mut self.children[index];
        if child.incarnation != incarnation {
            return; // of a life that is over
        }
        let before = child.view.live.clone();
        if state.view(&spec).live.is_some_and(|attempt| before != Some(attempt)) {
            child.launched = Some(spec);
        }
        self.take_in(index, state);
    }

    /// The ledger's entry; dependents hear what is news to them.
    fn take_in(&mut self, index: usize, state: State) {
        let child = &mut self.children[index];
        let view = state.view(&child.spec);
        let known = child.state.standings();
        let news = state.standings().into_iter().filter(|standing| !known.contains(standing));
        let news: Vec<_> = news.collect();
        if view.state != child.view.state {
            child.since = self.ports.clock.now().wall;
        }
        child.state = state;
        child.view = Arc::new(view);
        self.show(index);
        // Before the news: a dependent that waited for this failure must not start while everything ends.
        if let Some(reason) = self.children[index].view.escalated.clone() {
            self.shut_down(Outcome::Critical(reason.clone()), reason);
        }
        let child = &self.children[index];
        for standing in news {
            for dependent in &child.dependents {
                let script = child.spec.name.clone();
                self.send(*dependent, Event::Standing { script, standing: standing.clone() });
            }
        }
        let running = self.children.iter().filter(|c| c.view.pid.is_some()).count();
        if (running > 0) != (self.running > 0) {
            self.running = running;
            self.tell_status();
        }
        self.running = running;
    }

    fn tell_status(&self) {
        if self.plan.status_interval.is_none() {
            return;
        }
        let now = self.ports.clock.now().wall;
        let market_day = self.plan.calendars.get(&self.plan.market).is_some_and(|calendar| {
            let today = now.with_timezone(&calendar.zone()).date_naive();
            let has_session = calendar.is_session(today).unwrap_or(false);
            // On a Sunday evening the session of Monday may be under way.
            has_session || calendar.phase_at(now).is_ok_and(|(_, date)| date.is_some())
        });
        let scripts = self.order.len();
        self.tell(now, What::Status { running: self.running, scripts, market_day });
    }
}
