//! Starts scripts, and ends them with everything they started. Responsible for each child process from its spawn to the reaping of its last
//! descendant; it decides nothing: when to signal, when to kill and whether to start again comes from outside.
//!
//! This process is a child subreaper: what outlives its parent becomes our child. So the moment a leader is dead, one look at our own
//! children says whether anything of it is left. Usually nothing is, and a restart costs hardly more than a spawn; only an unknown child makes
//! us walk `/proc`.
//!
//! A dead leader is reaped only when nothing of its attempt is left. Its zombie keeps pid and group number from being used again, so a signal
//! to the group can never hit a stranger.
//!
//! All that happens to attempts is settled by one task, in batches: any number of stops in one turn of the runtime share one walk.

mod account;
mod environment;
mod errand;
mod family;
mod heed;
mod limits;
mod memory;
mod orphans;
mod prepare;
mod resident;
mod settle;
mod signals;
mod signs;
mod spawn;
mod sweep;
mod view;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::NaiveDate;
use rustix::process::{PidfdFlags, WaitId, WaitIdOptions};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::Instant;

pub use self::environment::{Identity, environment, read_env_file, without};
pub use self::errand::RealErrands;
use self::errand::{bury, send_out};
use self::family::Relatives;
use self::heed::Listener;
use self::limits::Limits;
use self::memory::OomCounter;
use self::orphans::Orphan;
pub use self::prepare::{Preparation, Unfit, prepare, rehearse};
use self::resident::Watch;
use self::signals::signal_group;
pub use self::signs::SignBook;
use self::spawn::Spawned;
pub use self::spawn::become_program;
pub use self::sweep::{Leftover, Swept, Unreadable, still_alive, sweep};
use super::lock::ExecLock;
use super::output::{LineWatch, OutputThread, Source};
use super::{fault_point, procfs, sys};
use crate::domain::health::{Signs, Tool};
use crate::domain::notice::{About, Notice, What};
use crate::domain::outcome::{Exit, Signal, SpawnError};
use crate::domain::script::ScriptName;
use crate::domain::secret::Hidden;
use crate::ports::{
    AttemptId, Clock, Errand, ErrandEnd, LaunchOrder, Launcher, Notifier, PortFuture, ProcessEvent, ProcessId,
    ProcessSink, Refusal,
};

/// SIGKILL may take this long before the survivors are reported.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at what is to be killed, at first and later: what forks and forks is to be met before its next generation.
const HUNT_AGAIN: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));

/// How long to wait before looking again where looking itself failed.
const RETRY: Duration = Duration::from_millis(100);

/// An orphan is reaped this long after SIGCHLD told of it, together with all others: soon enough for zombies not to pile up, seldom enough
/// not to be felt.
const ORPHAN_DELAY: Duration = Duration::from_secs(1);

/// The children that were spawned here and are not reaped yet. One set for the whole process, because there is one set of children:
/// everything else that is our child is an orphan.
static LEADERS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Starts and ends real processes.
pub struct RealLauncher {
    shared: Arc<Shared>,
    /// Where `mho exec` says what it runs.
    state_dir: Option<PathBuf>,
    /// What an earlier daemon started and SIGKILL did not end.
    survivors: Vec<Leftover>,
}

struct Shared {
    identity: Identity,
    inherited: Vec<(OsString, OsString)>,
    clock: Arc<dyn Clock>,
    notifier: Arc<dyn Notifier>,
    output: OutputThread,
    runtime: Handle,
    limits: Limits,
    state: Mutex<State>,
    wake: Arc<Notify>,
}

struct State {
    attempts: HashMap<AttemptId, Attempt>,
    /// The unreaped leaders of `attempts`.
    leaders: HashMap<u32, AttemptId>,
    /// The leader of each process that the last walk knew for one of a script: whoever loses parents and marks stays what he was.
    relatives: Relatives,
    /// Children that dead parents left to us, with what is known of them.
    orphans: HashMap<u32, Orphan>,
    oom: OomCounter,
    /// Somebody looks at their memory from time to time.
    samples_memory: bool,
    due: Due,
}

struct Attempt {
    leader: u32,
    /// Device and inode of its output pipe: whoever prints there belongs to it.
    pipe: (u64, u64),
    /// The limit that everything it starts inherits.
    mark: Option<u64>,
    sink: ProcessSink,
    /// The leader is a zombie, and `Exited` was reported.
    ended: bool,
    /// SIGKILL was asked for: whatever of it appears is killed.
    hunted: bool,
    /// Left-over processes with a task that waits for their end.
    watched: HashSet<u32>,
    /// Since when nobody can tell whether anything is left.
    unsure: Option<Instant>,
    /// The kernel's count of kills for want of memory when it started.
    oom_before: u64,
    signs: Arc<SignBook>,
    /// Hears what it says, if it may speak.
    _listener: Option<Listener>,
    /// How much memory it may have.
    memory: Option<Watch>,
}

/// What the settling task has to do.
#[derive(Default)]
struct Due {
    ended: Vec<(AttemptId, Exit)>,
    /// For the group.
    groups: Vec<(AttemptId, Signal)>,
    /// For what has left its group.
    escapees: Vec<(AttemptId, Signal)>,
    looks: HashSet<AttemptId>,
    overdue: HashSet<AttemptId>,
    reap_orphans: bool,
    /// What is due again could not be told this time.
    unsure: bool,
}

impl RealLauncher {
    /// A launcher on the current runtime. `inherited` is the environment that this process was started with. Makes this process a child
    /// subreaper and raises its limit of open files (scripts keep the former one).
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn new(
        identity: Identity,
        inherited: Vec<(OsString, OsString)>,
        clock: Arc<dyn Clock>,
        notifier: Arc<dyn Notifier>,
    ) -> io::Result<Self> {
        sys::close_inherited_on_exec()?;
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let state = State {
            attempts: HashMap::new(),
            leaders: HashMap::new(),
            relatives: Relatives::new(),
            orphans: HashMap::new(),
            oom: OomCounter::open(),
            samples_memory: false,
            due: Due::default(),
        };
        let shared = Arc::new(Shared {
            identity,
            inherited,
            clock,
            notifier,
            output: OutputThread::start()?,
            runtime: Handle::current(),
            limits: Limits::raise(),
            state: Mutex::new(state),
            wake: Arc::new(Notify::new()),
        });
        shared.watch_for_orphans()?;
        shared.settle_when_woken();
        Ok(Self { shared, state_dir: None, survivors: Vec::new() })
    }

    /// From now on no script is started while `mho exec` runs it: that one holds a lock in `state_dir`. Those of `scripts` are made here.
    #[must_use]
    pub fn beside_exec<'a>(self, state_dir: PathBuf, scripts: impl IntoIterator<Item = &'a ScriptName>) -> Self {
        ExecLock::prepare(&state_dir, scripts);
        heed::clean_up(&state_dir);
        Self { state_dir: Some(state_dir), ..self }
    }

    /// From now on no script is started while one of its `survivors` of an earlier daemon lives.
    #[must_use]
    pub fn beside_survivors(self, survivors: Vec<Leftover>) -> Self {
        Self { survivors, ..self }
    }

    /// Where the attempt may speak, it is told where.
    fn notify_socket(
        &self,
        order: &LaunchOrder,
        environment: &mut Vec<(OsString, OsString)>,
    ) -> Result<Option<heed::Socket>, SpawnError> {
        if !order.signs.notify {
            return Ok(None);
        }
        // Somebody else may not be able to reach a path of ours.
        let limits = &order.launch.limits;
        let is_own = limits.user.is_none() && limits.group.is_none();
        let dir = self.state_dir.as_deref().filter(|_| is_own);
        let socket = heed::Socket::make(dir, &self.shared.identity.daemon_id).map_err(|error| {
            SpawnError(format!("the socket for sd_notify cannot be made in the state directory: {error}; mend that, or leave out notify and heartbeat"))
        })?;
        environment.push(("NOTIFY_SOCKET".into(), socket.address.clone()));
        if let Some(heartbeat) = order.signs.heartbeat {
            environment.push(("WATCHDOG_USEC".into(), heartbeat.as_micros().to_string().into()));
        }
        Ok(Some(socket))
    }

    /// To be held across the spawn: `mho exec` takes it first and looks for the process second.
    fn reserve(&self, script: &ScriptName) -> Result<Option<ExecLock>, Refusal> {
        let survivor = |left: &&Leftover| left.script.as_ref() == Some(script) && still_alive(left);
        if let Some(left) = self.survivors.iter().find(survivor) {
            return Err(Refusal::Busy(format!("PID {} of an earlier daemon survived SIGKILL", left.process.pid)));
        }
        let Some(state_dir) = &self.state_dir else { return Ok(None) };
        ExecLock::try_take(state_dir, script).map_err(|holder| {
            let pid = holder.pid.map(|pid| format!(", PID {pid}")).unwrap_or_default();
            Refusal::Busy(format!("exec{pid}"))
        })
    }
}

impl Launcher for RealLauncher {
    fn spawn(&self, order: LaunchOrder, sink: ProcessSink) -> Result<ProcessId, Refusal> {
        let shared = &self.shared;
        let _reserved = self.reserve(&order.attempt.script)?;
        let preparation = prepare(&order.launch).map_err(|unfit| Refusal::Failed(unfit.into()))?;
        let (mut environment, hidden) = shared.environment(&order, &preparation).map_err(Refusal::Failed)?;
        let socket = self.notify_socket(&order, &mut environment).map_err(Refusal::Failed)?;
        let LaunchOrder { attempt, launch, output, signs: wanted, .. } = order;
        let Spawned { leader, pipe, mark } = {
            // Held across the spawn: nobody may take the new child for an orphan.
            let mut leaders = LEADERS.lock().unwrap_or_else(PoisonError::into_inner);
            let spawned = spawn::spawn(&launch, environment, preparation, &shared.limits).map_err(Refusal::Failed)?;
            leaders.insert(spawned.leader);
            spawned
        };
        let handle = fault_point::reach("spawned").and_then(|()| shared.watch(leader)).map_err(|error| {
            // A process that cannot be watched must not run. Nobody waits for its zombie: the disk may hold it in the kernel.
            signal_group(leader, Signal::KILL);
            shared.runtime.spawn(bury(leader));
            Refusal::Failed(spawn::explain(&error, &launch))
        })?;
        let identity = rustix::fs::fstat(&pipe).map(|found| (found.st_dev, found.st_ino)).unwrap_or_default();
        let signs = Arc::new(SignBook::new());
        let listener =
            socket.map(|socket| shared.heed(socket, &attempt, leader, Arc::clone(&signs), hidden.clone())).transpose();
        let listener = listener.unwrap_or_else(|error| {
            tracing::error!(target: "mho", script = %attempt.script, "What the script says by sd_notify cannot be heard: {error}; look at the limit of open files (ulimit -n)");
            None
        });
        let line = wanted.line.map(|pattern| {
            let (sink, attempt) = (Arc::clone(&sink), attempt.clone());
            LineWatch::new(pattern, move || sink(ProcessEvent::Ready { attempt }))
        });
        shared.output.open(Source {
            attempt: attempt.clone(),
            pipe,
            spec: output,
            signs: Arc::clone(&signs),
            line,
            hidden,
        });
        let mut state = shared.lock();
        let oom_before = state.oom.count();
        state.leaders.insert(leader, attempt.clone());
        let found = Attempt {
            leader,
            pipe: identity,
            mark,
            sink,
            ended: false,
            hunted: false,
            watched: HashSet::new(),
            unsure: None,
            oom_before,
            signs,
            _listener: listener,
            memory: None,
        };
        state.attempts.insert(attempt.clone(), found);
        drop(state);
        shared.runtime.spawn(Arc::clone(shared).report_end(attempt, leader, handle));
        // It is not reaped before its end is settled here, so this is its own start, and none of a later process with its number.
        let born = procfs::read(leader).ok().flatten().map_or(0, |process| process.start);
        Ok(ProcessId { pid: leader, born })
    }

    fn signal(&self, attempt: &AttemptId, signal: Signal) {
        let mut state = self.shared.lock();
        if !state.attempts.contains_key(attempt) {
            return;
        }
        state.due.groups.push((attempt.clone(), signal));
        state.due.escapees.push((attempt.clone(), signal));
        drop(state);
        self.shared.wake.notify_one();
    }

    fn kill(&self, attempt: &AttemptId) {
        let mut state = self.shared.lock();
        let Some(found) = state.attempts.get_mut(attempt) else { return };
        if !std::mem::replace(&mut found.hunted, true) {
            self.shared.runtime.spawn(Arc::clone(&self.shared).hunt(attempt.clone()));
        }
        state.due.groups.push((attempt.clone(), Signal::KILL));
        state.due.looks.insert(attempt.clone());
        drop(state);
        self.shared.wake.notify_one();
    }

    fn signal_leader(&self, attempt: &AttemptId, signal: Signal) {
        let state = self.shared.lock();
        // While it stands here it is not reaped, so its number is its own.
        let found = state.attempts.get(attempt).filter(|found| !found.ended).map(|found| found.leader);
        let Some(leader) = found.and_then(procfs::raw_pid) else { return };
        if let Some(signal) = rustix::process::Signal::from_named_raw(signal.number()) {
            let _ = rustix::process::kill_process(leader, signal);
        }
    }

    fn signs(&self, attempt: &AttemptId) -> Signs {
        let signs = self.shared.lock().attempts.get(attempt).map(|found| Arc::clone(&found.signs));
        signs.map(|signs| signs.read(std::time::Instant::now())).unwrap_or_default()
    }

    fn run_beside(&self, order: &LaunchOrder, tool: &Tool, limit: Duration) -> PortFuture<ErrandEnd> {
        let prepared = prepare(&order.launch).map_err(SpawnError::from).and_then(|preparation| {
            let env = self.shared.environment(order, &preparation)?;
            Ok((preparation, env))
        });
        let (preparation, (env, hidden)) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Box::pin(std::future::ready(ErrandEnd::Failed(error.to_string()))),
        };
        let (program, args) = (tool.program.clone(), tool.args.clone());
        let working_dir = order.launch.working_dir.clone();
        let _runtime = self.shared.runtime.enter();
        send_out(Errand { program, args, working_dir, env, stdin: Vec::new(), limit }, preparation, hidden)
    }

    fn redirect(&self, attempt: &AttemptId, sink: ProcessSink) -> bool {
        self.shared.lock().attempts.get_mut(attempt).map(|found| found.sink = sink).is_some()
    }

    fn carry_output(&self, attempt: &AttemptId, trading_date: NaiveDate) {
        self.shared.output.carry(attempt.clone(), trading_date);
    }

    fn watch_memory(&self, attempt: &AttemptId, limit: Option<u64>) {
        self.shared.watch_memory(attempt, limit);
    }

    fn report_tail(&self, attempt: &AttemptId) {
        let (clock, notifier) = (Arc::clone(&self.shared.clock), Arc::clone(&self.shared.notifier));
        let about =
            About { script: attempt.script.clone(), trading_date: attempt.trading_date, attempt: attempt.number };
        self.shared.output.tail(attempt.clone(), move |lines| {
            if !lines.is_empty() {
                notifier.notify(Notice { at: clock.now().wall, about: Some(about), what: What::LastLines { lines } });
            }
        });
    }
}

impl Shared {
    /// The whole environment of an attempt, as it would be started now, and the values in it that nobody else is shown.
    fn environment(
        &self,
        order: &LaunchOrder,
        preparation: &Preparation,
    ) -> Result<(Vec<(OsString, OsString)>, Hidden), SpawnError> {
        let LaunchOrder { attempt, launch, context, .. } = order;
        let from_file = launch.env_file.as_ref().map_or_else(|| Ok(Vec::new()), read_env_file)?;
        let hidden =
            Hidden::of(from_file.iter().map(|(_, value)| value).chain(launch.env.values()).map(String::as_str));
        let from_file = [preparation.variables(), from_file].concat();
        let inherited = self.inherited.iter().cloned();
        Ok((environment(inherited, from_file, launch, attempt, context, &self.identity), hidden))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves at worst one batch half done; the next look settles it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, pid: u32) -> io::Result<AsyncFd<std::os::fd::OwnedFd>> {
        let _runtime = self.runtime.enter();
        watch(pid)
    }

    fn settle_when_woken(self: &Arc<Self>) {
        let (wake, weak) = (Arc::clone(&self.wake), Arc::downgrade(self));
        self.runtime.spawn(async move {
            loop {
                wake.notified().await;
                let Some(shared) = weak.upgrade() else { return };
                shared.settle();
            }
        });
    }

    fn watch_for_orphans(self: &Arc<Self>) -> io::Result<()> {
        let mut child_ended = signal(SignalKind::child())?;
        let weak = Arc::downgrade(self);
        self.runtime.spawn(async move {
            while child_ended.recv().await.is_some() {
                tokio::time::sleep(ORPHAN_DELAY).await;
                let Some(shared) = weak.upgrade() else { return };
                shared.lock().due.reap_orphans = true;
                shared.wake.notify_one();
            }
        });
        Ok(())
    }

    /// Waits for the leader's end, which leaves it a zombie.
    async fn report_end(self: Arc<Self>, attempt: AttemptId, leader: u32, handle: AsyncFd<std::os::fd::OwnedFd>) {
        let exit = loop {
            match handle.readable().await {
                Ok(mut guard) => {
                    match wait(leader, WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT) {
                        Ok(Some(exit)) => break exit,
                        Ok(None) => guard.clear_ready(),
                        Err(error) => {
                            tracing::error!(script = %attempt.script, pid = leader, "the exit status was taken by somebody else: {error}");
                            break Exit::Code(255);
                        }
                    }
                }
                // The runtime ends, and with it everybody who would want to know.
                Err(_) => return,
            }
        };
        self.lock().due.ended.push((attempt, exit));
        self.wake.notify_one();
    }

    /// Looks again and again, ever more seldom, until nothing of a killed attempt is left: a fork may have escaped, and a process that is
    /// stuck in the kernel ends when it likes.
    async fn hunt(self: Arc<Self>, attempt: AttemptId) {
        let since = Instant::now();
        let mut pause = HUNT_AGAIN.0;
        let mut reported = false;
        loop {
            tokio::time::sleep(pause).await;
            let mut state = self.lock();
            if !state.attempts.contains_key(&attempt) {
                return;
            }
            if !reported && since.elapsed() >= KILL_PATIENCE {
                reported = true;
                state.due.overdue.insert(attempt.clone());
            }
            state.due.looks.insert(attempt.clone());
            drop(state);
            self.wake.notify_one();
            pause = if reported { KILL_PATIENCE } else { (pause * 2).min(HUNT_AGAIN.1) };
        }
    }
}

/// Lets the current runtime wait for the end of a child that is not reaped yet.
fn watch(pid: u32) -> io::Result<AsyncFd<std::os::fd::OwnedFd>> {
    let pid = procfs::raw_pid(pid).ok_or(io::ErrorKind::InvalidInput)?;
    sys::watch_readable(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// How the child `pid` ended; None if it lives.
fn wait(pid: u32, options: WaitIdOptions) -> io::Result<Option<Exit>> {
    let pid = procfs::raw_pid(pid).ok_or(io::ErrorKind::InvalidInput)?;
    let Some(status) = rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::Pid(pid), options))? else {
        return Ok(None);
    };
    let signal = status.terminating_signal().and_then(Signal::from_number);
    Ok(Some(match signal {
        Some(signal) => Exit::Signal { signal, out_of_memory: false },
        None => Exit::Code(status.exit_status().unwrap_or(255)),
    }))
}

/// A leader was reaped: its pid may mean another process from now on.
fn forget(leader: u32) {
    LEADERS.lock().unwrap_or_else(PoisonError::into_inner).remove(&leader);
}

fn is_leader(pid: u32) -> bool {
    LEADERS.lock().unwrap_or_else(PoisonError::into_inner).contains(&pid)
}
