//! A changed configuration, put into the running tree: what is unchanged is untouched, what is new comes to life, what is gone is stopped
//! once. A script that is not configured any more keeps its place, since everybody knows it by that, and is shown to nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use ractor::{ActorProcessingErr, ActorRef};

use super::orders::NOBODY;
use super::{Child, Tree, child, dependents};
use crate::actors::messages::{ClockMsg, Reconfiguration, RootMsg};
use crate::domain::lifecycle::{Demand, Event, Order, State, StateName};
use crate::domain::operator::By;
use crate::domain::reload::{Change, diff};
use crate::domain::script::{ScriptName, ScriptSpec};

impl Tree {
    pub(super) async fn on_reconfigure(
        &mut self,
        myself: &ActorRef<RootMsg>,
        new: Reconfiguration,
    ) -> Result<(), ActorProcessingErr> {
        let Reconfiguration { scripts, calendars, restart, reply } = new;
        if self.shutdown.is_some() {
            let _ = reply.send(None);
            return Ok(());
        }
        self.plan.calendars.extend(calendars);
        let known: Vec<_> = self.children.iter().filter(|c| !c.is_removed).map(|c| Arc::clone(&c.spec)).collect();
        let mut changes = diff(&known, &scripts);
        let mut by_name: BTreeMap<ScriptName, Arc<ScriptSpec>> =
            scripts.iter().map(|spec| (spec.name.clone(), Arc::new(spec.clone()))).collect();
        let mut fresh = Vec::new();
        for change in &changes {
            match change {
                Change::Removed(name) => self.retire(name),
                Change::Changed { name, .. } => {
                    if let Some(spec) = by_name.remove(name) {
                        self.respecify(name, spec);
                    }
                }
                Change::Added(name) => {
                    if let Some(spec) = by_name.remove(name) {
                        fresh.push(self.add(myself, spec).await?);
                    }
                }
            }
        }
        self.order = scripts.iter().filter_map(|spec| self.index_of(&spec.name)).collect();
        self.connect(&changes);
        if restart {
            self.restart_pending(&mut changes);
        }
        for index in fresh {
            self.greet(index, true);
        }
        let specs = self.children.iter().map(|c| ScriptSpec::clone(&c.spec)).collect();
        self.tell_clock(ClockMsg::Respecified { scripts: specs, calendars: self.plan.calendars.clone() });
        for index in 0..self.children.len() {
            self.show(index);
        }
        self.ports.observer.ordered(&self.order);
        // Whoever asked may have stopped waiting.
        let _ = reply.send(Some(changes));
        Ok(())
    }

    fn index_of(&self, name: &ScriptName) -> Option<usize> {
        self.children.iter().position(|child| child.spec.name == *name)
    }

    /// Not configured any more: its run ends for its date, and nothing of it starts.
    fn retire(&mut self, name: &ScriptName) {
        let Some(index) = self.index_of(name) else { return };
        let child = &mut self.children[index];
        child.is_removed = true;
        let spec = ScriptSpec { enabled: false, depends_on: Vec::new(), ..ScriptSpec::clone(&child.spec) };
        self.set_spec(index, Arc::new(spec));
        self.send(index, Event::Retired { why: "removed from the configuration".to_owned() });
    }

    fn respecify(&mut self, name: &ScriptName, spec: Arc<ScriptSpec>) {
        let Some(index) = self.index_of(name) else { return };
        let (was_enabled, is_enabled) = (self.children[index].spec.enabled, spec.enabled);
        self.set_spec(index, spec);
        if was_enabled && !is_enabled {
            self.send(index, Event::Retired { why: "disabled in the configuration".to_owned() });
        }
    }

    /// Every process that was started with other keys than those of now, also where they were changed by an earlier reload. One that is being
    /// stopped is left alone: whoever stopped it does not want it back.
    fn restart_pending(&mut self, changes: &mut Vec<Change>) {
        for index in 0..self.children.len() {
            let child = &self.children[index];
            let (name, next_start) = (child.spec.name.clone(), child.pending());
            // One that is not ready yet has a process, too.
            let is_up = child.view.pid.is_some() && child.view.state != StateName::Stopping;
            if !is_up || next_start.is_empty() || child.is_removed || !child.spec.enabled {
                continue;
            }
            let is_named = |change: &Change| matches!(change, Change::Changed { name: known, .. } if *known == name);
            if !changes.iter().any(is_named) {
                changes.push(Change::Changed { name, at_once: Vec::new(), next_start });
            }
            let by = By { who: "reload".to_owned(), reason: "its configuration has changed".to_owned() };
            self.send(index, Event::Order(Order { ticket: NOBODY, demand: Demand::Restart, by }));
        }
    }

    /// The ledger goes by it at once: its worker may have nothing to report.
    fn set_spec(&mut self, index: usize, spec: Arc<ScriptSpec>) {
        let child = &mut self.children[index];
        child.view = Arc::new(child.state.view(&spec));
        child.spec = Arc::clone(&spec);
        self.send(index, Event::Respecified(spec));
    }

    /// A script that is new, or comes back. Its place in the tree.
    async fn add(&mut self, myself: &ActorRef<RootMsg>, spec: Arc<ScriptSpec>) -> Result<usize, ActorProcessingErr> {
        if let Some(index) = self.index_of(&spec.name) {
            self.children[index].is_removed = false;
            self.set_spec(index, spec);
            return Ok(index);
        }
        let index = self.children.len();
        let now = self.ports.clock.now();
        let past = self.plan.past.scripts.get(&spec.name);
        let state = past.map_or_else(State::default, |past| State::resumed(past, &now));
        self.children.push(child(spec, Vec::new(), state, &now));
        self.spawn_worker(myself, index).await?;
        Ok(index)
    }

    /// Who depends on whom, as it is now; those who are new to a dependency hear what there is to hear.
    fn connect(&mut self, changes: &[Change]) {
        let specs: Vec<_> = self.children.iter().map(|child| Arc::clone(&child.spec)).collect();
        for (child, dependents) in self.children.iter_mut().zip(dependents(&specs)) {
            child.dependents = dependents;
        }
        for change in changes {
            let (Change::Added(name) | Change::Changed { name, .. }) = change else { continue };
            if let Some(index) = self.index_of(name) {
                self.tell_standings(index);
            }
        }
    }

    /// Shows how a script is, to whoever looks.
    pub(super) fn show(&self, index: usize) {
        let child = &self.children[index];
        if child.is_removed && child.view.live.is_none() {
            self.ports.observer.gone(index);
        } else {
            self.ports.observer.changed(index, child.facts());
        }
    }
}

impl Child {
    /// Keys that its live process was not started with.
    pub(super) fn pending(&self) -> Vec<&'static str> {
        match &self.launched {
            Some(launched) if self.view.pid.is_some() => crate::domain::reload::changed_keys(launched, &self.spec).1,
            _ => Vec::new(),
        }
    }
}
