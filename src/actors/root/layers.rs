//! The end of windows, in layers: where a script and those that need it to be ready end at the same boundary, they are told first, and it when
//! they are gone. All others are told at the boundary.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::Tree;
use crate::domain::lifecycle::{Event, StateName};
use crate::domain::script::Condition;
use crate::domain::timeline::{Addressed, ClockEvent};

/// Those whose window ends with these events, and of which date.
pub(super) fn closing(events: &[Addressed]) -> BTreeMap<usize, NaiveDate> {
    let end = |event: &Addressed| match event.event {
        ClockEvent::WindowClose { trading_date } => Some((event.to?, trading_date)),
        _ => None,
    };
    events.iter().filter_map(end).collect()
}

impl Tree {
    /// Hands on what the clock says, or keeps the end of a window back until it is its turn.
    pub(super) fn send_in_turn(&mut self, index: usize, event: ClockEvent, closing: &BTreeMap<usize, NaiveDate>) {
        if matches!(event, ClockEvent::WindowClose { .. })
            && self.shutdown.is_none()
            && self.needs_it(index).any(|dependent| self.is_about_to_end(dependent, closing.get(&dependent)))
        {
            if self.children[index].held_close.replace(event).is_none() {
                self.held_closes += 1;
            }
            return;
        }
        // What comes later must not come first.
        self.release(index);
        self.send(index, Event::Clock(event));
    }

    /// The dependents that need it to be ready, and have a process. What cannot be killed is not waited for.
    fn needs_it(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        let name = &self.children[index].spec.name;
        let needs = move |dependent: &usize| {
            let child = &self.children[*dependent];
            let is_needed = child.spec.depends_on.iter().any(|d| d.condition == Condition::Ready && d.script == *name);
            is_needed && child.is_live() && child.view.live.is_some() && !child.view.unkillable
        };
        self.children[index].dependents.iter().copied().filter(needs)
    }

    fn is_about_to_end(&self, index: usize, closes: Option<&NaiveDate>) -> bool {
        let view = &self.children[index].view;
        view.state == StateName::Stopping || closes.is_some() && view.trading_date.as_ref() == closes
    }

    /// Something has changed: those that were waited for may be gone.
    pub(super) fn release_closes(&mut self) {
        if self.held_closes == 0 {
            return;
        }
        for index in 0..self.children.len() {
            if self.children[index].held_close.is_some() && self.needs_it(index).next().is_none() {
                self.release(index);
            }
        }
    }

    pub(super) fn release(&mut self, index: usize) {
        if let Some(event) = self.children[index].held_close.take() {
            self.held_closes -= 1;
            self.send(index, Event::Clock(event));
        }
    }
}
