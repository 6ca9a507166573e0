//! The journal's single writer: gathers what the workers want remembered, and hands it on in batches. Knows no file.
//!
//! What is waiting under one key (a run, an attempt) is kept once, the later word over the earlier, so a journal that cannot be written for a
//! day costs the memory of that day's attempts and no more. Whoever needs a record to be safe before it goes on waits for the answer: at most
//! for as long as a journal may fail unnoticed. From then on supervision goes on from memory, nobody waits, and all that was kept is
//! written when the journal is back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use super::Ports;
use super::messages::RecorderMsg;
use crate::domain::notice::{Notice, What};
use crate::domain::record::{Grade, Key, Record};
use crate::domain::time::Mono;
use crate::ports::JournalError;

/// Crash-safe records wait this long for company.
const GATHER: Duration = Duration::from_millis(25);

/// The journal may fail, or take its time, for so long before supervision goes on without it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two tries to write, at first and at the most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// More attempts than these are not kept in memory while the journal cannot be written.
const MOST_ATTEMPTS: usize = 10_000;

/// The actor.
pub struct Recorder;

/// Where the recorder of the moment is found: it may be replaced, its place is not.
#[derive(Clone, Default)]
pub struct RecorderSlot(Arc<Mutex<Option<ActorRef<RecorderMsg>>>>);

impl RecorderSlot {
    /// The recorder, if there is one.
    #[must_use]
    pub fn get(&self) -> Option<ActorRef<RecorderMsg>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on it is this one.
    pub fn set(&self, recorder: Option<ActorRef<RecorderMsg>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = recorder;
    }
}

/// What it is given.
pub struct RecorderArgs {
    /// The world.
    pub ports: Ports,
    /// How often it notes that the daemon is alive; None = never.
    pub alive_interval: Option<Duration>,
}

/// The recorder at work.
pub struct Recording {
    args: RecorderArgs,
    pending: BTreeMap<Key, Record>,
    grade: Grade,
    /// Who waits for what is pending.
    waiting: Vec<RpcReplyPort<()>>,
    /// What is being written.
    flight: Option<Flight>,
    flights: u64,
    /// The number of the time to write that was set last, while it is to come; an earlier one means nothing any more.
    due: Option<u64>,
    times: u64,
    retry: Duration,
    error: Option<JournalError>,
    /// Nobody waits for the journal any more.
    degraded: bool,
    attempts_lost: usize,
    /// Whoever wants to know when all is written, or cannot be.
    finish: Option<RpcReplyPort<()>>,
}

struct Flight {
    since: Mono,
    records: Arc<Vec<Record>>,
    waiting: Vec<RpcReplyPort<()>>,
}

impl Actor for Recorder {
    type Msg = RecorderMsg;
    type State = Recording;
    type Arguments = RecorderArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<RecorderMsg>,
        args: RecorderArgs,
    ) -> Result<Recording, ActorProcessingErr> {
        if let Some(interval) = args.alive_interval {
            myself.send_interval(interval, || RecorderMsg::NoteAlive);
        }
        Ok(Recording {
            args,
            pending: BTreeMap::new(),
            grade: Grade::CrashSafe,
            waiting: Vec::new(),
            flight: None,
            flights: 0,
            due: None,
            times: 0,
            retry: RETRY.0,
            error: None,
            degraded: false,
            attempts_lost: 0,
            finish: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<RecorderMsg>,
        message: RecorderMsg,
        recording: &mut Recording,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RecorderMsg::Keep { records, grade, reply } => recording.keep(&myself, records, grade, reply),
            RecorderMsg::NoteAlive => {
                let alive = Record::Alive { at: recording.args.ports.clock.now().wall };
                recording.keep(&myself, vec![alive], Grade::CrashSafe, None);
            }
            RecorderMsg::Write { time } => {
                if recording.due.take_if(|due| *due == time).is_some() {
                    recording.write(&myself);
                }
            }
            RecorderMsg::Written(outcome) => recording.on_written(&myself, outcome),
            RecorderMsg::Overdue { flight } => {
                if recording.flights == flight && (recording.flight.is_some() || recording.error.is_some()) {
                    recording.go_on_without();
                }
            }
            RecorderMsg::Finish(reply) => {
                recording.finish = Some(reply);
                recording.write(&myself);
            }
        }
        recording.finish_if_done();
        Ok(())
    }
}

impl Recording {
    fn keep(
        &mut self,
        myself: &ActorRef<RecorderMsg>,
        records: Vec<Record>,
        grade: Grade,
        reply: Option<RpcReplyPort<()>>,
    ) {
        for record in records {
            self.put(record);
        }
        self.forget_some();
        self.grade = self.grade.max(grade);
        self.waiting.extend(reply);
        if self.degraded {
            self.answer_all();
        }
        match grade {
            Grade::PowerSafe if self.error.is_none() => self.write(myself),
            Grade::PowerSafe | Grade::CrashSafe => self.write_in(myself, GATHER),
        }
    }

    fn put(&mut self, record: Record) {
        let key = record.key();
        let record = match self.pending.remove(&key) {
            Some(before) => before.then(record),
            None => record,
        };
        self.pending.insert(key, record);
    }

    /// Of what cannot be written for long, attempts that have ended go first; runs and their results stay.
    fn forget_some(&mut self) {
        while self.pending.len() > MOST_ATTEMPTS {
            let attempts = || self.pending.iter().filter(|(key, _)| matches!(key, Key::Attempt(_)));
            // One that lives is known by its pid alone.
            let ended =
                attempts().find(|(_, record)| matches!(record, Record::Attempt(attempt) if attempt.end.is_some()));
            let Some((key, _)) = ended.or_else(|| attempts().next()) else { return };
            let key = key.clone();
            self.pending.remove(&key);
            self.attempts_lost += 1;
        }
    }

    fn write_in(&mut self, myself: &ActorRef<RecorderMsg>, delay: Duration) {
        // After a failure the time of the next try is set already.
        if self.due.is_none() {
            self.times += 1;
            let time = self.times;
            self.due = Some(time);
            myself.send_after(delay, move || RecorderMsg::Write { time });
        }
    }

    /// Hands all that is pending to the journal, unless it is still busy: then its answer brings the next batch.
    fn write(&mut self, myself: &ActorRef<RecorderMsg>) {
        if self.flight.is_some() || self.pending.is_empty() {
            return;
        }
        let records: Arc<Vec<Record>> = Arc::new(std::mem::take(&mut self.pending).into_values().collect());
        let grade = std::mem::replace(&mut self.grade, Grade::CrashSafe);
        let since = self.args.ports.clock.now().mono;
        let waiting = std::mem::take(&mut self.waiting);
        self.flight = Some(Flight { since, records: Arc::clone(&records), waiting });
        if self.error.is_none() {
            self.flights += 1;
            let flight = self.flights;
            myself.send_after(PATIENCE, move || RecorderMsg::Overdue { flight });
        }
        let written = self.args.ports.journal.write(records, grade);
        let myself = myself.clone();
        tokio::spawn(async move {
            let outcome = written.await;
            // The recorder is gone: its successor is told everything anew.
            let _ = myself.cast(RecorderMsg::Written(outcome));
        });
    }

    fn on_written(&mut self, myself: &ActorRef<RecorderMsg>, outcome: Result<(), JournalError>) {
        let Some(flight) = self.flight.take() else { return };
        match outcome {
            Ok(()) => {
                answer(flight.waiting);
                self.error = None;
                self.retry = RETRY.0;
                // A disk that takes longer than that for each batch is not back.
                if self.args.ports.clock.now().mono.since(flight.since) < PATIENCE {
                    self.recover();
                }
                match self.grade {
                    Grade::PowerSafe => self.write(myself),
                    Grade::CrashSafe if self.pending.is_empty() => {}
                    Grade::CrashSafe => self.write_in(myself, GATHER),
                }
            }
            Err(error) => {
                self.take_back(flight);
                self.error = Some(error);
                self.due = None;
                self.write_in(myself, self.retry);
                self.retry = (self.retry * 2).min(RETRY.1);
            }
        }
    }

    /// What was not written is pending again, under what came meanwhile.
    fn take_back(&mut self, flight: Flight) {
        let newer = std::mem::take(&mut self.pending);
        for record in flight.records.iter().cloned().chain(newer.into_values()) {
            self.put(record);
        }
        self.waiting.extend(flight.waiting);
        // Whatever was asked of it before, what stands in memory only is to be safe as soon as that is possible.
        self.grade = Grade::PowerSafe;
        if self.degraded {
            self.answer_all();
        }
    }

    fn recover(&mut self) {
        if std::mem::take(&mut self.degraded) {
            let lost = std::mem::take(&mut self.attempts_lost);
            self.tell(What::JournalBack { lost });
        }
    }

    fn go_on_without(&mut self) {
        if !std::mem::replace(&mut self.degraded, true) {
            let waited = || format!("it has not answered for {} s; look at the disk", PATIENCE.as_secs());
            let error = self.error.as_ref().map_or_else(waited, ToString::to_string);
            self.tell(What::JournalLost { error });
        }
        self.answer_all();
    }

    fn answer_all(&mut self) {
        answer(std::mem::take(&mut self.waiting));
        if let Some(flight) = &mut self.flight {
            answer(std::mem::take(&mut flight.waiting));
        }
    }

    fn finish_if_done(&mut self) {
        // What is on its way may still arrive, and the rest after it. How long that is waited for, whoever asked decides.
        let done = self.flight.is_none() && (self.pending.is_empty() || self.degraded);
        if done && let Some(reply) = self.finish.take() {
            answer(vec![reply]);
        }
    }

    fn tell(&self, what: What) {
        let ports = &self.args.ports;
        ports.notifier.notify(Notice { at: ports.clock.now().wall, about: None, what });
    }
}

fn answer(waiting: Vec<RpcReplyPort<()>>) {
    for reply in waiting {
        // Whoever asked may have stopped waiting.
        let _ = reply.send(());
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::adapters::pretend::{PretendLauncher, Recording as Heard, VirtualClock};
    use crate::domain::record::ActionRecord;
    use crate::ports::{Journal, PortFuture};

    /// Answers when the test does.
    #[derive(Default)]
    struct Slow {
        asked: Mutex<Vec<(usize, oneshot::Sender<()>)>>,
    }

    impl Slow {
        fn take(&self) -> Option<(usize, oneshot::Sender<()>)> {
            self.asked.lock().unwrap().pop()
        }
    }

    impl Journal for Slow {
        fn write(&self, records: Arc<Vec<Record>>, _: Grade) -> PortFuture<Result<(), JournalError>> {
            let (answer, answered) = oneshot::channel();
            self.asked.lock().unwrap().push((records.len(), answer));
            Box::pin(async move { answered.await.map_err(|_| JournalError("no answer".to_owned())) })
        }
    }

    fn ports(journal: &Arc<Slow>) -> Ports {
        Ports {
            clock: Arc::new(VirtualClock::new("2026-11-27T14:30:00Z".parse().unwrap())),
            launcher: Arc::new(PretendLauncher::default()),
            prober: Arc::new(PretendLauncher::default()),
            notifier: Arc::new(Heard::default()),
            journal: Arc::clone(journal) as Arc<dyn Journal>,
            observer: Arc::new(crate::ports::Unobserved),
        }
    }

    fn note(recorder: &ActorRef<RecorderMsg>, action: &str) {
        let record = Record::Action(ActionRecord {
            at: "2026-11-27T14:30:00Z".parse().unwrap(),
            who: "somebody".to_owned(),
            action: action.to_owned(),
            script: None,
            reason: String::new(),
        });
        recorder.cast(RecorderMsg::Keep { records: vec![record], grade: Grade::PowerSafe, reply: None }).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn each_minute_it_notes_that_the_daemon_is_alive() {
        let journal = Arc::new(Slow::default());
        let alive_interval = Some(Duration::from_secs(60));
        let args = RecorderArgs { ports: ports(&journal), alive_interval };
        let (recorder, _) = Actor::spawn(None, Recorder, args).await.unwrap();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(60) - GATHER * 4).await;
            assert!(journal.take().is_none());
            tokio::time::sleep(GATHER * 6).await;
            let (count, answer) = journal.take().expect("a sign of life");
            assert_eq!(count, 1);
            answer.send(()).unwrap();
        }
        recorder.stop(None);
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_what_came_while_the_journal_hung_is_written_if_it_goes_on_in_time() {
        let journal = Arc::new(Slow::default());
        let (recorder, _) =
            Actor::spawn(None, Recorder, RecorderArgs { ports: ports(&journal), alive_interval: None }).await.unwrap();
        note(&recorder, "first");
        tokio::time::sleep(PATIENCE * 2).await;
        let (count, answer) = journal.take().unwrap();
        assert_eq!(count, 1);
        // Nobody waits for the journal any more when these come.
        note(&recorder, "second");
        let finish = tokio::spawn({
            let recorder = recorder.clone();
            async move { recorder.call(RecorderMsg::Finish, Some(Duration::from_secs(2))).await.unwrap() }
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!finish.is_finished(), "one is on its way, one waits");
        answer.send(()).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (count, answer) = journal.take().expect("the rest is written at once");
        assert_eq!(count, 1);
        answer.send(()).unwrap();
        assert!(finish.await.unwrap().is_success());
        recorder.stop(None);
    }
}
