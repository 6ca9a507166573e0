//! The pretend world, for `simulate` and for tests: a virtual clock (tokio's paused one), processes that are not there, and a journal in memory.
//!
//! Never with a real child: an idle runtime on a paused clock jumps ahead while the child has not moved.

mod journal;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::domain::health::{Endpoint, Signs, Tool};
use crate::domain::notice::Notice;
use crate::domain::outcome::{Exit, Signal, SpawnError};
use crate::domain::script::ScriptName;
use crate::domain::time::{Mono, Now};
use crate::ports::{
    AttemptId, Clock, ErrandEnd, LaunchOrder, Launcher, Notifier, PortFuture, Prober, ProcessEvent, ProcessId,
    ProcessSink, Refusal,
};

pub use self::journal::{MemoryJournal, Trouble};

/// A wall clock that starts at an anchor and goes with tokio's clock. A test may set it.
pub struct VirtualClock {
    anchor: Mutex<DateTime<Utc>>,
    start: Instant,
    changed: Arc<Notify>,
    synchronised: Mutex<Option<bool>>,
}

impl VirtualClock {
    /// A clock that shows `anchor` now.
    #[must_use]
    pub fn new(anchor: DateTime<Utc>) -> Self {
        Self {
            anchor: Mutex::new(anchor),
            start: Instant::now(),
            changed: Arc::new(Notify::new()),
            synchronised: Mutex::new(None),
        }
    }

    /// From now on somebody keeps it right, or nobody does.
    pub fn set_synchronised(&self, synchronised: bool) {
        *self.synchronised.lock().unwrap_or_else(PoisonError::into_inner) = Some(synchronised);
    }

    /// Sets the wall clock forward or back, as an operator or NTP would.
    pub fn step(&self, by: TimeDelta) {
        *self.anchor.lock().unwrap_or_else(PoisonError::into_inner) += by;
        self.changed.notify_waiters();
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Now {
        let elapsed = self.start.elapsed();
        let anchor = *self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let wall = anchor + TimeDelta::from_std(elapsed).unwrap_or(TimeDelta::MAX);
        Now { wall, mono: Mono::after_start(elapsed), rate: 1.0, jitter: 0.0 }
    }

    fn wake_at(&self, wall: Option<DateTime<Utc>>) -> PortFuture {
        let sleep = wall.map(|at| tokio::time::sleep((at - self.now().wall).to_std().unwrap_or(Duration::ZERO)));
        let changed = Arc::clone(&self.changed).notified_owned();
        Box::pin(async move {
            let asleep = async {
                match sleep {
                    Some(sleep) => sleep.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! { () = asleep => {}, () = changed => {} }
        })
    }

    fn is_synchronised(&self) -> Option<bool> {
        *self.synchronised.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a pretend process does by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// It exits with this code after this long.
    Exit(i32, Duration),
    /// A signal kills it after this long.
    Die(Signal, Duration),
    /// It runs until it is stopped, and then ends at once.
    RunUntilStopped,
    /// It ignores the stop signal.
    Ignore,
    /// Its leader exits with this code after this long, and leaves this many others behind, which ignore the stop signal if told so.
    Leave {
        /// The leader's code.
        code: i32,
        /// When.
        after: Duration,
        /// How many others.
        others: u32,
        /// Whether they ignore the stop signal.
        stubborn: bool,
    },
    /// It cannot be started.
    FailToSpawn(String),
    /// It ends this long after the stop signal.
    Linger(Duration),
    /// SIGKILL does not end it either, as with a process stuck in the kernel; `kill_by_hand` does.
    Survive,
    /// The watcher itself breaks while it starts it: a fault in the program.
    BreakTheWatcher,
    /// The watcher breaks the first time it sends this process a signal.
    BreakOnSignal,
    /// It exits with this code after this long, and the watcher breaks when it reports the last lines.
    BreakOnTail(i32, Duration),
}

/// What the launcher was asked to do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// A process was ordered.
    Spawn(AttemptId),
    /// A stop signal was sent.
    Signal(AttemptId, Signal),
    /// SIGKILL was sent.
    Kill(AttemptId),
    /// The output goes to another date's file.
    CarryOutput(AttemptId, NaiveDate),
    /// The last lines were asked for.
    ReportTail(AttemptId),
    /// A signal was sent to the leader alone.
    SignalLeader(AttemptId, Signal),
    /// A tool was run beside it.
    RunBeside(AttemptId, PathBuf),
}

/// Starts processes that are not there.
#[derive(Default)]
pub struct PretendLauncher {
    world: Arc<Mutex<World>>,
}

#[derive(Default)]
struct World {
    acts: BTreeMap<ScriptName, Vec<Act>>,
    begun: BTreeMap<ScriptName, usize>,
    live: HashMap<AttemptId, Process>,
    last_pid: u32,
    calls: Vec<(Instant, Call)>,
    orders: Vec<LaunchOrder>,
    overlaps: Vec<AttemptId>,
    /// Attempts whose watcher breaks when it asks for the last lines.
    brittle: Vec<AttemptId>,
    /// These say that they are ready only when they are made to.
    reticent: BTreeSet<ScriptName>,
    /// These give no sign of life any more.
    silent: BTreeSet<ScriptName>,
    /// There nobody answers.
    unreachable: BTreeSet<Endpoint>,
    /// How tools end, and after how long.
    tools: BTreeMap<PathBuf, (ErrandEnd, Duration)>,
}

struct Process {
    act: Act,
    sink: ProcessSink,
    /// Processes besides the leader.
    others: u32,
    leader: bool,
}

/// What outlives SIGKILL by this is reported.
const GIVE_UP: Duration = Duration::from_secs(5);

/// The first pid of the pretend world.
const FIRST_PID: u32 = 10_001;

impl PretendLauncher {
    /// A launcher whose scripts act as told: successive attempts take successive acts, the last one repeats. Those that are not named run
    /// until they are stopped.
    #[must_use]
    pub fn new(acts: BTreeMap<ScriptName, Vec<Act>>) -> Self {
        let world = World { acts, ..World::default() };
        Self { world: Arc::new(Mutex::new(world)) }
    }

    /// What was asked of it so far, and when.
    #[must_use]
    pub fn calls(&self) -> Vec<(Instant, Call)> {
        lock(&self.world).calls.clone()
    }

    /// The orders of all processes, in order: what each was told.
    #[must_use]
    pub fn orders(&self) -> Vec<LaunchOrder> {
        lock(&self.world).orders.clone()
    }

    /// Attempts that were started while another of the same script lived: there must be none.
    #[must_use]
    pub fn overlaps(&self) -> Vec<AttemptId> {
        lock(&self.world).overlaps.clone()
    }

    /// Live attempts.
    #[must_use]
    pub fn live(&self) -> Vec<AttemptId> {
        let mut live: Vec<_> = lock(&self.world).live.keys().cloned().collect();
        live.sort();
        live
    }

    /// Tells the live attempt's watcher once more how the attempt before it ended: a message that comes late.
    pub fn replay_exit(&self, script: &ScriptName) {
        let world = lock(&self.world);
        let Some((live, process)) = world.live.iter().find(|(a, _)| a.script == *script) else { return };
        let attempt = AttemptId { number: live.number.saturating_sub(1), ..live.clone() };
        let sink = Arc::clone(&process.sink);
        drop(world);
        sink(ProcessEvent::Exited { attempt, exit: Exit::Code(1), leftovers: Vec::new() });
    }

    /// From now on its processes say that they are ready only when they are made to.
    pub fn hold_ready(&self, script: &ScriptName) {
        lock(&self.world).reticent.insert(script.clone());
    }

    /// Its live process says that it is ready.
    pub fn say_ready(&self, script: &ScriptName) {
        let world = lock(&self.world);
        let found = world.live.iter().find(|(a, _)| a.script == *script);
        let Some((attempt, sink)) = found.map(|(a, process)| (a.clone(), Arc::clone(&process.sink))) else { return };
        drop(world);
        sink(ProcessEvent::Ready { attempt });
    }

    /// Its live process has this much memory.
    pub fn use_memory(&self, script: &ScriptName, bytes: u64) {
        let world = lock(&self.world);
        let found = world.live.iter().find(|(a, _)| a.script == *script);
        let Some((attempt, sink)) = found.map(|(a, process)| (a.clone(), Arc::clone(&process.sink))) else { return };
        drop(world);
        sink(ProcessEvent::OverMemory { attempt, bytes });
    }

    /// From now on it gives signs of life, or none.
    pub fn set_silent(&self, script: &ScriptName, silent: bool) {
        let mut world = lock(&self.world);
        if silent {
            world.silent.insert(script.clone())
        } else {
            world.silent.remove(script)
        };
    }

    /// From now on somebody answers there, or nobody.
    pub fn set_reachable(&self, endpoint: &Endpoint, reachable: bool) {
        let mut world = lock(&self.world);
        if reachable {
            world.unreachable.remove(endpoint)
        } else {
            world.unreachable.insert(endpoint.clone())
        };
    }

    /// From now on this tool ends so, after so long; others exit 0 at once.
    pub fn set_tool(&self, program: &Path, end: ErrandEnd, after: Duration) {
        lock(&self.world).tools.insert(program.to_owned(), (end, after));
    }

    /// Ends a script's live process from outside, as `kill -SIGNAL` by hand would.
    pub fn kill_by_hand(&self, script: &ScriptName, signal: Signal) {
        let found = lock(&self.world).live.keys().find(|a| a.script == *script).cloned();
        if let Some(attempt) = found {
            end_leader(&self.world, &attempt, Exit::Signal { signal, out_of_memory: false });
        }
    }
}

fn lock(world: &Mutex<World>) -> std::sync::MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The leader ends; the process is gone if it was alone.
fn end_leader(world: &Mutex<World>, attempt: &AttemptId, exit: Exit) {
    let mut world = lock(world);
    let Some(process) = world.live.get_mut(attempt).filter(|p| p.leader) else { return };
    process.leader = false;
    let leftovers: Vec<u32> = (1..=process.others).map(|n| 20_000 + n).collect();
    let sink = Arc::clone(&process.sink);
    if leftovers.is_empty() {
        world.live.remove(attempt);
    }
    drop(world);
    sink(ProcessEvent::Exited { attempt: attempt.clone(), exit, leftovers });
}

/// The others end, after their leader.
fn end_others(world: &Mutex<World>, attempt: &AttemptId) {
    let mut world = lock(world);
    let leaderless = world.live.get(attempt).is_some_and(|p| !p.leader);
    let gone = if leaderless { world.live.remove(attempt) } else { None };
    drop(world);
    if let Some(process) = gone {
        (process.sink)(ProcessEvent::Gone { attempt: attempt.clone() });
    }
}

impl Launcher for PretendLauncher {
    fn spawn(&self, order: LaunchOrder, sink: ProcessSink) -> Result<ProcessId, Refusal> {
        let mut world = lock(&self.world);
        let (attempt, wanted) = (order.attempt.clone(), order.signs.clone());
        world.orders.push(order);
        world.calls.push((Instant::now(), Call::Spawn(attempt.clone())));
        let begun = world.begun.entry(attempt.script.clone()).or_default();
        *begun += 1;
        let nth = *begun - 1;
        let acts = world.acts.get(&attempt.script);
        let act = acts.and_then(|acts| acts.get(nth).or(acts.last())).cloned().unwrap_or(Act::RunUntilStopped);
        let (exit, after, others) = match &act {
            Act::FailToSpawn(why) => return Err(Refusal::Failed(SpawnError(why.clone()))),
            Act::BreakTheWatcher => {
                drop(world);
                panic!("a pretend fault");
            }
            Act::BreakOnTail(code, after) => {
                world.brittle.push(attempt.clone());
                (Some(Exit::Code(*code)), *after, 0)
            }
            Act::Exit(code, after) => (Some(Exit::Code(*code)), *after, 0),
            Act::Die(signal, after) => (Some(Exit::Signal { signal: *signal, out_of_memory: false }), *after, 0),
            Act::Leave { code, after, others, .. } => (Some(Exit::Code(*code)), *after, *others),
            Act::RunUntilStopped | Act::Ignore | Act::Linger(_) | Act::Survive | Act::BreakOnSignal => {
                (None, Duration::ZERO, 0)
            }
        };
        if world.live.keys().any(|a| a.script == attempt.script) {
            world.overlaps.push(attempt.clone());
        }
        world.last_pid += 1;
        let pid = FIRST_PID + world.last_pid - 1;
        let speaks = wanted.line.is_some() || wanted.notify;
        let says = (speaks && !world.reticent.contains(&attempt.script)).then(|| Arc::clone(&sink));
        world.live.insert(attempt.clone(), Process { act, sink, others, leader: true });
        drop(world);
        if let Some(sink) = says {
            sink(ProcessEvent::Ready { attempt: attempt.clone() });
        }
        if let Some(exit) = exit {
            let world = Arc::clone(&self.world);
            let sleep = tokio::time::sleep(after);
            tokio::spawn(async move {
                sleep.await;
                end_leader(&world, &attempt, exit);
            });
        }
        Ok(ProcessId { pid, born: u64::from(pid) })
    }

    fn signal(&self, attempt: &AttemptId, signal: Signal) {
        let mut world = lock(&self.world);
        world.calls.push((Instant::now(), Call::Signal(attempt.clone(), signal)));
        let Some(process) = world.live.get_mut(attempt) else { return };
        let act = process.act.clone();
        if act == Act::BreakOnSignal {
            process.act = Act::RunUntilStopped;
        }
        drop(world);
        match act {
            Act::Ignore | Act::Survive | Act::Leave { stubborn: true, .. } => {}
            Act::BreakOnSignal => panic!("a pretend fault"),
            Act::Linger(after) => {
                let (world, attempt, sleep) = (Arc::clone(&self.world), attempt.clone(), tokio::time::sleep(after));
                tokio::spawn(async move {
                    sleep.await;
                    end_leader(&world, &attempt, Exit::Code(0));
                });
            }
            _ => {
                end_leader(&self.world, attempt, Exit::Signal { signal, out_of_memory: false });
                end_others(&self.world, attempt);
            }
        }
    }

    fn kill(&self, attempt: &AttemptId) {
        let mut world = lock(&self.world);
        world.calls.push((Instant::now(), Call::Kill(attempt.clone())));
        let survives = world.live.get(attempt).filter(|p| p.act == Act::Survive).map(|p| Arc::clone(&p.sink));
        drop(world);
        if let Some(sink) = survives {
            let (attempt, sleep) = (attempt.clone(), tokio::time::sleep(GIVE_UP));
            tokio::spawn(async move {
                sleep.await;
                sink(ProcessEvent::Unkillable { attempt, pids: vec![FIRST_PID] });
            });
            return;
        }
        end_leader(&self.world, attempt, Exit::Signal { signal: Signal::KILL, out_of_memory: false });
        end_others(&self.world, attempt);
    }

    fn signal_leader(&self, attempt: &AttemptId, signal: Signal) {
        lock(&self.world).calls.push((Instant::now(), Call::SignalLeader(attempt.clone(), signal)));
    }

    fn signs(&self, attempt: &AttemptId) -> Signs {
        let is_silent = lock(&self.world).silent.contains(&attempt.script);
        let ago = (!is_silent).then_some(Duration::ZERO);
        Signs { printed: ago, beat: ago }
    }

    fn run_beside(&self, order: &LaunchOrder, tool: &Tool, limit: Duration) -> PortFuture<ErrandEnd> {
        let mut world = lock(&self.world);
        world.calls.push((Instant::now(), Call::RunBeside(order.attempt.clone(), tool.program.clone())));
        let at_once = (ErrandEnd::Exited { exit: Exit::Code(0), said: String::new() }, Duration::ZERO);
        let (end, after) = world.tools.get(&tool.program).cloned().unwrap_or(at_once);
        let (end, after) = if after > limit { (ErrandEnd::TimedOut, limit) } else { (end, after) };
        let sleep = tokio::time::sleep(after);
        Box::pin(async move {
            sleep.await;
            end
        })
    }

    fn redirect(&self, attempt: &AttemptId, sink: ProcessSink) -> bool {
        match lock(&self.world).live.get_mut(attempt) {
            Some(process) => {
                process.sink = sink;
                true
            }
            None => false,
        }
    }

    fn carry_output(&self, attempt: &AttemptId, trading_date: NaiveDate) {
        lock(&self.world).calls.push((Instant::now(), Call::CarryOutput(attempt.clone(), trading_date)));
    }

    fn report_tail(&self, attempt: &AttemptId) {
        let mut world = lock(&self.world);
        world.calls.push((Instant::now(), Call::ReportTail(attempt.clone())));
        let brittle = world.brittle.contains(attempt);
        drop(world);
        assert!(!brittle, "a pretend fault");
    }
}

impl Prober for PretendLauncher {
    fn reach(&self, endpoint: &Endpoint) -> PortFuture<Result<(), String>> {
        let is_there = !lock(&self.world).unreachable.contains(endpoint);
        let answer = if is_there { Ok(()) } else { Err("connection refused".to_owned()) };
        Box::pin(std::future::ready(answer))
    }
}

/// Remembers every notice.
#[derive(Default)]
pub struct Recording {
    notices: Mutex<Vec<Notice>>,
}

impl Recording {
    /// All notices so far.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Notifier for Recording {
    fn notify(&self, notice: Notice) {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
    }
}
