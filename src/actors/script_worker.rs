//! One per script: puts each message to the script's machine and performs the effects. Decides nothing itself.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::Ports;
use super::messages::{RecorderMsg, RootMsg};
use super::recorder::RecorderSlot;
use super::timers::Timers;
use crate::domain::attempt::AttemptId;
use crate::domain::health::{Probe, ReadySpec};
use crate::domain::lifecycle::{Effect, Event, State, step};
use crate::domain::notice::{About, Notice};
use crate::domain::outcome::Exit;
use crate::domain::record::{Grade, Record};
use crate::domain::script::{Launch, OutputSpec, ScriptSpec};
use crate::domain::time::Now;
use crate::ports::{ErrandEnd, LaunchOrder, ProcessSink, Refusal, WantedSigns};

/// The actor. Its message is the machine's event, so a test injects just what the world would say.
pub struct ScriptWorker;

/// What a worker is given.
pub struct WorkerArgs {
    /// Its place in the configuration.
    pub index: usize,
    /// Which life of the worker this is; reports of an earlier one are told apart by it.
    pub incarnation: u32,
    /// Its script.
    pub spec: Arc<ScriptSpec>,
    /// The machine's state at the beginning.
    pub state: State,
    /// Whom it reports to.
    pub root: ActorRef<RootMsg>,
    /// Whom it tells what to remember.
    pub recorder: RecorderSlot,
    /// The world.
    pub ports: Ports,
}

/// The recorder answers sooner in any case; this is for one that is gone.
const RECORDER_PATIENCE: Duration = Duration::from_secs(2);

/// A program that is to tell whether a script is ready has answered by then.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);

/// A worker at work.
pub struct Worker {
    args: WorkerArgs,
    launch: Arc<Launch>,
    output: Arc<OutputSpec>,
    timers: Timers,
    /// By what the latest process was started.
    order: Option<LaunchOrder>,
}

impl Actor for ScriptWorker {
    type Msg = Event;
    type State = Worker;
    type Arguments = WorkerArgs;

    async fn pre_start(&self, _myself: ActorRef<Event>, args: WorkerArgs) -> Result<Worker, ActorProcessingErr> {
        let launch = Arc::new(args.spec.launch.clone());
        let output = Arc::new(args.spec.output.clone());
        Ok(Worker { args, launch, output, timers: Timers::default(), order: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<Event>,
        event: Event,
        worker: &mut Worker,
    ) -> Result<(), ActorProcessingErr> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            if let Event::Respecified(spec) = &event {
                worker.respecify(Arc::clone(spec));
            }
            let now = worker.args.ports.clock.now();
            let before = worker.args.state.clone();
            let (state, effects) = step(before.clone(), event, &worker.args.spec, &now);
            worker.args.state = state;
            if worker.args.state != before {
                // Before the effects: should one of them fail, the root knows of the attempt that may be left behind. What dependents make of
                // it comes to the recorder after what this step itself has to record, since that is sent before anything else runs.
                worker.report()?;
            }
            for effect in effects {
                match effect {
                    Effect::Record { grade, records } => worker.record(records, grade).await,
                    effect => events.extend(worker.perform(&myself, effect, &now)?),
                }
            }
        }
        Ok(())
    }
}

impl Worker {
    /// A live process stays as it is, but for how much memory it may have; the next one is started by this.
    fn respecify(&mut self, spec: Arc<ScriptSpec>) {
        let max_rss = spec.memory.max_rss;
        if max_rss != self.args.spec.memory.max_rss
            && let Some(attempt) = self.args.state.view(&spec).live
        {
            self.args.ports.launcher.watch_memory(&attempt, max_rss);
        }
        self.launch = Arc::new(spec.launch.clone());
        self.output = Arc::new(spec.output.clone());
        self.args.spec = spec;
    }

    fn report(&self) -> Result<(), ActorProcessingErr> {
        let WorkerArgs { index, incarnation, .. } = self.args;
        let (state, spec) = (Box::new(self.args.state.clone()), Arc::clone(&self.args.spec));
        Ok(self.args.root.cast(RootMsg::Report { index, incarnation, state, spec })?)
    }

    /// Power-safe records are waited for: until they are safe, or the recorder has given up on that for the time being.
    async fn record(&self, records: Vec<Record>, grade: Grade) {
        let Some(recorder) = self.args.recorder.get() else { return };
        match grade {
            // A recorder that failed is told everything anew when it comes back.
            Grade::CrashSafe => drop(recorder.cast(RecorderMsg::Keep { records, grade, reply: None })),
            Grade::PowerSafe => {
                let keep = |reply| RecorderMsg::Keep { records, grade, reply: Some(reply) };
                drop(recorder.call(keep, Some(RECORDER_PATIENCE)).await);
            }
        }
    }

    /// Performs one effect; a spawn answers with an event.
    fn perform(
        &mut self,
        myself: &ActorRef<Event>,
        effect: Effect,
        now: &Now,
    ) -> Result<Option<Event>, ActorProcessingErr> {
        let Ports { launcher, notifier, .. } = &self.args.ports;
        match effect {
            Effect::Spawn { attempt, context } => {
                let (launch, output) = (Arc::clone(&self.launch), Arc::clone(&self.output));
                let signs = wanted_signs(&self.args.spec);
                let order = LaunchOrder { attempt: attempt.clone(), launch, output, context, signs };
                self.order = Some(order.clone());
                return Ok(Some(match launcher.spawn(order, sink(myself)) {
                    Ok(process) => {
                        launcher.watch_memory(&attempt, self.args.spec.memory.max_rss);
                        Event::Spawned { attempt, process }
                    }
                    Err(Refusal::Failed(error)) => Event::SpawnFailed { attempt, error },
                    Err(Refusal::Busy(on)) => Event::Busy { attempt, on },
                }));
            }
            // Waited for by the caller.
            Effect::Record { .. } => {}
            Effect::Signal { attempt, signal } => launcher.signal(&attempt, signal),
            Effect::Kill { attempt } => launcher.kill(&attempt),
            Effect::SignalLeader { attempt, signal } => launcher.signal_leader(&attempt, signal),
            Effect::LookAtSigns { attempt, timer } => {
                let signs = launcher.signs(&attempt);
                return Ok(Some(Event::Signs { attempt, timer, signs }));
            }
            Effect::Probe { attempt, ready } => self.probe(myself, attempt, &ready),
            Effect::LookOutside { look, .. } => self.look_outside(myself, look),
            Effect::RunStopCommand { attempt, limit } => self.run_stop_command(myself, attempt, limit),
            Effect::ReportTail { attempt } => launcher.report_tail(&attempt),
            Effect::CarryOutput { attempt, trading_date } => launcher.carry_output(&attempt, trading_date),
            Effect::Arm { timer, after, attempt } => self.timers.arm(myself, timer, after, attempt),
            Effect::Disarm(timer) => self.timers.disarm(timer),
            Effect::SetAlarm { alarm, at } => {
                self.args.root.cast(RootMsg::SetAlarm { index: self.args.index, alarm, at })?;
            }
            Effect::Answer { ticket, answer } => {
                self.args.root.cast(RootMsg::Answered { ticket, answer })?;
            }
            Effect::Tell { trading_date, attempt, what } => {
                let about = About { script: self.args.spec.name.clone(), trading_date, attempt };
                notifier.notify(Notice { at: now.wall, about: Some(about), what });
            }
        }
        Ok(None)
    }
}

impl Worker {
    fn probe(&self, myself: &ActorRef<Event>, attempt: AttemptId, ready: &ReadySpec) {
        let worker = myself.clone();
        let answer = move |refused| drop(worker.cast(Event::Probed { attempt, refused }));
        match (&ready.probe, &self.order) {
            (Probe::Reach(endpoint), _) => {
                let reached = self.args.ports.prober.reach(endpoint);
                tokio::spawn(async move { answer(reached.await.err()) });
            }
            (Probe::Exec(tool), Some(order)) => {
                let ended = self.args.ports.launcher.run_beside(order, tool, PROBE_PATIENCE);
                tokio::spawn(async move { answer(failure(ended.await)) });
            }
            // It is not asked; or nothing has been started here.
            (Probe::Exec(_) | Probe::Line(_) | Probe::Notify | Probe::Delay(_), _) => {}
        }
    }

    /// All at once; the first of them that does not answer is what is waited for.
    fn look_outside(&self, myself: &ActorRef<Event>, look: u32) {
        let worker = myself.clone();
        let prober = &self.args.ports.prober;
        let looks: Vec<_> = self.args.spec.wait_for.iter().map(|at| (at.to_string(), prober.reach(at))).collect();
        tokio::spawn(async move {
            let tasks: Vec<_> = looks.into_iter().map(|(name, look)| (name, tokio::spawn(look))).collect();
            let mut refused = None;
            for (name, task) in tasks {
                let found = task.await.unwrap_or_else(|_| Err("it could not be asked".to_owned()));
                refused = refused.or(found.err().map(|why| format!("{name}: {why}")));
            }
            let _ = worker.cast(Event::Outside { look, refused });
        });
    }

    fn run_stop_command(&self, myself: &ActorRef<Event>, attempt: AttemptId, limit: Duration) {
        let worker = myself.clone();
        let ended = match (&self.args.spec.stop_command, &self.order) {
            (Some(tool), Some(order)) => Some(self.args.ports.launcher.run_beside(order, tool, limit)),
            _ => None,
        };
        tokio::spawn(async move {
            let failed = match ended {
                Some(ended) => failure(ended.await),
                None => None,
            };
            let _ = worker.cast(Event::StopCommandEnded { attempt, failed });
        });
    }
}

/// What went wrong with a tool, in words.
fn failure(end: ErrandEnd) -> Option<String> {
    let how = match &end {
        ErrandEnd::Exited { exit: Exit::Code(0), .. } => return None,
        ErrandEnd::Exited { exit: Exit::Code(code), .. } => format!("exit code {code}"),
        ErrandEnd::Exited { exit: Exit::Signal { signal, .. }, .. } => format!("killed by {signal}"),
        ErrandEnd::TimedOut => "it took too long and was killed".to_owned(),
        ErrandEnd::Failed(why) => why.clone(),
    };
    Some(match end {
        ErrandEnd::Exited { said, .. } if !said.is_empty() => format!("{how}: {said}"),
        _ => how,
    })
}

fn wanted_signs(spec: &ScriptSpec) -> WantedSigns {
    let line = match &spec.ready {
        Some(ReadySpec { probe: Probe::Line(pattern), .. }) => Some(pattern.clone()),
        _ => None,
    };
    WantedSigns { line, notify: spec.notifies(), heartbeat: spec.watchdog.heartbeat }
}

/// Where an attempt's events go: to this worker, while it lives. If it does not, the root has asked for them already.
fn sink(worker: &ActorRef<Event>) -> ProcessSink {
    let worker = worker.clone();
    Arc::new(move |event| {
        let _ = worker.cast(Event::Process(event));
    })
}
