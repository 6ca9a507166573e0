//! The end of the daemon: nothing starts any more, everything is stopped in layers, and what there is to remember is written.

use ractor::ActorRef;

use super::Tree;
use crate::actors::messages::RootMsg;
use crate::domain::lifecycle::Event;
use crate::domain::notice::What;
use crate::domain::record::{ActionRecord, Grade, Record};
use crate::domain::tree::{Outcome, Shutdown, ShutdownStep};

impl Tree {
    pub(super) fn shut_down(&mut self, outcome: Outcome, reason: String) {
        self.shut_down_for(outcome, reason, "mho".to_owned());
    }

    pub(super) fn shut_down_for(&mut self, outcome: Outcome, reason: String, who: String) {
        if self.shutdown.is_some() {
            return; // under way
        }
        let at = self.ports.clock.now().wall;
        let action = ActionRecord { at, who, action: "shutdown".to_owned(), script: None, reason: reason.clone() };
        self.keep(vec![Record::Action(action)], Grade::CrashSafe);
        self.tell(at, What::ShuttingDown { reason });
        let dependents = self.children.iter().map(|child| child.dependents.clone()).collect();
        self.shutdown = Some(Shutdown::new(outcome, dependents));
        for index in 0..self.children.len() {
            self.release(index);
            self.send(index, Event::StartNothing);
        }
    }

    pub(super) fn kill(&mut self) {
        self.shut_down(Outcome::Killed, "killed".to_owned());
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.kill();
        }
        for index in 0..self.children.len() {
            self.send(index, Event::Kill);
        }
        for index in 0..self.children.len() {
            self.kill_orphan(index);
        }
    }

    /// The next step of a shutdown, if there is one.
    pub(super) fn go_on_ending(&mut self, myself: &ActorRef<RootMsg>) {
        let Some(shutdown) = &mut self.shutdown else { return };
        let children = &self.children;
        match shutdown.next(|i| children[i].is_live()) {
            ShutdownStep::Wait => {}
            ShutdownStep::Stop(layer) => {
                for index in layer {
                    self.send(index, Event::Shutdown);
                }
            }
            ShutdownStep::Done(outcome) => {
                if self.outcome.replace(outcome).is_none() {
                    self.finish_recording(myself);
                }
            }
        }
    }

    pub(super) fn end(&mut self, myself: &ActorRef<RootMsg>) {
        if let (Some(outcome), Some(done)) = (self.outcome.clone(), self.done.take()) {
            let _ = done.send(outcome);
            myself.stop(None);
        }
    }
}
