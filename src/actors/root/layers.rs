//! The end of windows, in layers: where a script and those that need it to be ready end at the same boundary, they are told first, and it when
//! they are gone. All others are told at the boundary.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::Tree;
use crate::domain::attempt::AttemptId;
use crate::domain::lifecycle::{Event, StateName};
use crate::domain::script::Condition;
use crate::domain::timeline::{Addressed, ClockEvent};

/// The end of a window that waits.
pub(super) struct HeldClose {
    event: ClockEvent,
    /// For the ends of these; what comes after them has a window of its own.
    waits_for: Vec<(usize, AttemptId)>,
}

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
        let is_close = matches!(event, ClockEvent::WindowClose { .. });
        if is_close && self.shutdown.is_none() {
            let its_turn = |dependent: &usize| self.is_about_to_end(*dependent, closing.get(dependent));
            let first: Vec<usize> = self.needs_it(index).filter(its_turn).collect();
            let attempt = |at: usize| Some((at, self.children[at].view.live.clone()?));
            let waits_for: Vec<(usize, AttemptId)> = first.into_iter().filter_map(attempt).collect();
            if !waits_for.is_empty() {
                if self.children[index].held_close.replace(HeldClose { event, waits_for }).is_none() {
                    self.held_closes += 1;
                }
                return;
            }
        }
        self.give_back(index, &event);
        // What comes later must not come first.
        self.release(index);
        self.send(index, Event::Clock(event));
    }

    /// A window that has got more time does not end.
    fn give_back(&mut self, index: usize, event: &ClockEvent) {
        let ClockEvent::WindowOpen { window, .. } = event else { return };
        let ends = ClockEvent::WindowClose { trading_date: window.trading_date };
        let is_again = |held: &mut HeldClose| held.event == ends && self.ports.clock.now().wall < window.stop;
        if self.children[index].held_close.take_if(is_again).is_some() {
            self.held_closes -= 1;
        }
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
            let Some(held) = &self.children[index].held_close else { continue };
            let lives = |(at, attempt): &(usize, AttemptId)| {
                self.needs_it(index).any(|dependent| dependent == *at)
                    && self.children[*at].view.live.as_ref() == Some(attempt)
            };
            if !held.waits_for.iter().any(lives) {
                self.release(index);
            }
        }
    }

    pub(super) fn release(&mut self, index: usize) {
        if let Some(HeldClose { event, .. }) = self.children[index].held_close.take() {
            self.held_closes -= 1;
            self.send(index, Event::Clock(event));
        }
    }
}
