//! What the root has to do with the journal: it owns the recorder, tells it everything where that is needed, and lets it finish.
//!
//! A recorder that fails is replaced; the scripts notice nothing. What it had not written is in the root's ledger, and told anew.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use super::Tree;
use crate::actors::messages::{RecorderMsg, RootMsg};
use crate::actors::recorder::{Recorder, RecorderArgs};
use crate::domain::lifecycle::Event;
use crate::domain::notice::{About, Notice, What};
use crate::domain::record::{Grade, Record, RunRecord};

/// The end of the daemon waits this long for the journal.
const FINISH: Duration = Duration::from_secs(2);

impl Tree {
    pub(super) async fn spawn_recorder(&mut self, myself: &ActorRef<RootMsg>) -> Result<(), ActorProcessingErr> {
        let args = RecorderArgs { ports: self.ports.clone(), alive_interval: self.plan.alive_interval };
        let (recorder, _) = Actor::spawn_linked(None, Recorder, args, myself.get_cell()).await?;
        self.recorder.set(Some(recorder));
        Ok(())
    }

    pub(super) async fn on_recorder_failed(
        &mut self,
        myself: &ActorRef<RootMsg>,
        error: &str,
    ) -> Result<(), ActorProcessingErr> {
        self.recorder.set(None);
        let now = self.ports.clock.now();
        self.tell(now.wall, What::JournalLost { error: format!("its writer failed: {error}") });
        if self.recorder_respawns.spend(now.mono) {
            self.spawn_recorder(myself).await?;
            self.tell_journal();
            self.tell(now.wall, What::JournalBack { lost: 0 });
        }
        if self.outcome.is_some() {
            self.finish_recording(myself);
        }
        Ok(())
    }

    /// All that the ledger knows; what the journal knows better, it keeps.
    pub(super) fn tell_journal(&self) {
        let now = self.ports.clock.now();
        let records = self.children.iter().flat_map(|child| child.state.records(&child.spec, &now)).collect();
        self.keep(records, Grade::PowerSafe);
    }

    /// Runs of scripts that have no worker.
    pub(super) fn on_given_up(&self, runs: Vec<RunRecord>) {
        for run in &runs {
            let about = About { script: run.script.clone(), trading_date: run.trading_date, attempt: run.attempts };
            let what = What::Finished { result: run.result, reason: run.reason.clone() };
            self.ports.notifier.notify(Notice { at: run.at, about: Some(about), what });
        }
        self.keep(runs.into_iter().map(|run| Record::Run(Box::new(run))).collect(), Grade::PowerSafe);
    }

    pub(super) fn keep(&self, records: Vec<Record>, grade: Grade) {
        if records.is_empty() {
            return;
        }
        if let Some(recorder) = self.recorder.get() {
            // One that fails at this moment is told everything anew.
            let _ = recorder.cast(RecorderMsg::Keep { records, grade, reply: None });
        }
    }

    /// What is not the tree's own. Whoever waits hears nothing if there is no recorder: that is as good as an answer.
    pub(super) fn remember(&self, records: Vec<Record>, reply: RpcReplyPort<()>) {
        if let Some(recorder) = self.recorder.get() {
            let _ = recorder.cast(RecorderMsg::Keep { records, grade: Grade::CrashSafe, reply: Some(reply) });
        }
    }

    /// Lets the recorder write what is left; the answer, or the end of patience, ends the daemon.
    pub(super) fn finish_recording(&self, myself: &ActorRef<RootMsg>) {
        let (recorder, root) = (self.recorder.get(), myself.clone());
        tokio::spawn(async move {
            if let Some(recorder) = recorder {
                let _ = recorder.call(RecorderMsg::Finish, Some(FINISH)).await;
            }
            let _ = root.cast(RootMsg::Recorded);
        });
    }

    /// All that the predecessors of a script have to tell it, for a worker that is new.
    pub(super) fn tell_standings(&self, index: usize) {
        let spec = Arc::clone(&self.children[index].spec);
        let predecessors =
            spec.depends_on.iter().filter_map(|d| self.children.iter().find(|c| c.spec.name == d.script));
        for predecessor in predecessors {
            for standing in predecessor.state.standings() {
                let script = predecessor.spec.name.clone();
                self.send(index, Event::Standing { script, standing });
            }
        }
    }
}
