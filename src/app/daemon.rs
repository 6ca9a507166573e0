//! The daemon: puts the tree on the real world and runs it until a signal, or a critical script, ends it.

use std::cell::Cell;
use std::io;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ractor::Actor;
use tokio::sync::oneshot;
use tokio::time::{Instant, interval_at};
use tracing::{error, info, warn};
use tracing_subscriber::filter::LevelFilter;

use super::control::{Board, Desk, Watching};
use super::instance::{State, take_state};
use super::memory::{Memory, clean_up};
use super::reload::{self, Reloads};
use super::requests::{Request, Requests};
use super::service;
use super::telling::{self, Prepared, Surroundings};
use super::watch::{Watch, watch_kill_file};
use crate::actors::root::{Root, RootArgs};
use crate::actors::{Plan, Ports};
use crate::adapters::clock::{RealClock, RehearsalClock};
use crate::adapters::journal::OpenError;
use crate::adapters::metrics::Counting;
use crate::adapters::notify::{Announcing, ServiceManager};
use crate::adapters::probe::RealProber;
use crate::adapters::process::{Identity, RealLauncher, Swept, without};
use crate::adapters::rotating::RotatingFile;
use crate::adapters::telemetry::{self, LogNotifier, Style, Telemetry};
use crate::adapters::token;
use crate::alerts::Telling;
use crate::config::{Loaded, LogFormat, LogLevel, Settings, Sources};
use crate::control::{self, Pace, Served, Server, Token};
use crate::domain::notice::{Notice, What, rfc3339};
use crate::domain::record::{LedgerEntry, Past, Record};
use crate::domain::timeline::Timeline;
use crate::domain::tree::{Outcome, barred};
use crate::ports::{Clock, Journal, Notifier, Observer};

/// A rehearsal: the market clock starts at an instant and runs some times as fast; scripts are real, and told so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rehearsal {
    /// What the market clock shows at the start.
    pub at: DateTime<Utc>,
    /// Market seconds per second.
    pub speed: f64,
}

/// Why the daemon did not start. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory is of no use.
    #[error("cannot use state directory {}: {reason}; make it a directory that this user may write, or name another with --state-dir", path.display())]
    StateDir {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// Another daemon is at work there.
    #[error("already running: {holder}, has the state directory {}; stop that one first, or name another directory with --state-dir", path.display())]
    AlreadyRunning {
        /// Where.
        path: PathBuf,
        /// Who, and since when.
        holder: String,
    },
    /// A rehearsal was to start beside a live daemon.
    #[error("already running: {holder}, has the configured state directory {}, and the scripts of a rehearsal are real; stop it first, or add --beside-live if they may run side by side", path.display())]
    BesideLive {
        /// Where the live one is.
        path: PathBuf,
        /// Who, and since when.
        holder: String,
    },
    /// Whether a rehearsal would start beside a live daemon cannot be told.
    #[error("cannot tell whether a daemon has the configured state directory {}: {reason}; rehearse as the user it runs as, or add --beside-live if both may run side by side", path.display())]
    Unknown {
        /// Where it would be.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// The journal that is there is not for us.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The machine has not what a daemon needs.
    #[error("cannot start: {0}; look at the limits of processes and open files (ulimit -a)")]
    Machine(#[from] io::Error),
}

/// How often the journal notes that the daemon is alive.
const ALIVE_INTERVAL: Duration = Duration::from_secs(60);

/// While what an earlier daemon left running is stopped, the service manager hears of it this often.
const STILL_STARTING: Duration = Duration::from_secs(2);

/// Older parts of `orchestrator_main.log` that are kept.
const MAIN_LOG_PARTS: u32 = 5;

/// Runs the daemon to its end. `sources` is what `loaded` was read from, and is read again on request. `tell_grace` is told the longest grace of any script, for the case that the daemon dies.
pub fn run(
    sources: &Sources,
    loaded: &Loaded,
    rehearsal: Option<Rehearsal>,
    tell_grace: impl Fn(Duration),
) -> Result<Outcome, StartError> {
    let settings = &loaded.settings;
    let state = take_state(&settings.orchestrator.state_dir, rehearsal.is_some())?;
    tell_grace(settings.scripts.iter().map(|s| s.stop.grace).max().unwrap_or_default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let clock: Arc<dyn Clock> = match rehearsal {
            None => Arc::new(RealClock::new(settings.orchestrator.clock_recheck)),
            Some(Rehearsal { at, speed }) => Arc::new(RehearsalClock::new(at, speed)),
        };
        let telemetry = start_log(settings, &clock);
        // To the log, whose writers hold up nobody: the usual way to stderr would wait for whoever does not read it.
        std::panic::set_hook(Box::new(|panic| error!(target: "mho", "{panic}")));
        announce(loaded, rehearsal, clock.now().wall);
        if let Some(reason) = &state.trouble {
            let path = settings.orchestrator.state_dir.join("id");
            error!(target: "mho", "The daemon's identity cannot be kept in {}: {reason}. Until that is mended, a later daemon may not know what this one leaves running.", path.display());
        }
        if let Some(holder) = state.copied_from() {
            let path = settings.orchestrator.state_dir.display();
            warn!(target: "mho", "The state directory {path} is a copy of the one of another daemon, which lives: {holder}. This daemon has a new identity and leaves alone what the other one runs. A script that both have runs twice: if that is not meant, stop one of the two.");
        }
        let identity = Identity { daemon_id: state.daemon_id.clone(), rehearsal: rehearsal.is_some() };
        let reloads = Reloads::new(sources, loaded, clock.now().wall);
        let file = loaded.file.as_deref();
        let daemon = Daemon { settings, sources, file, clock, identity, state: &state, tell_grace: &tell_grace };
        let outcome = daemon.supervise(reloads).await?;
        say_goodbye(&outcome, &telemetry);
        Ok(outcome)
    })
}

fn start_log(settings: &Settings, clock: &Arc<dyn Clock>) -> Telemetry {
    let own = &settings.orchestrator;
    let style = match own.log_format {
        LogFormat::Text => Style::Text,
        LogFormat::Json => Style::Json,
    };
    let level = match own.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let zone = settings.default_calendar().zone();
    let path = own.log_dir.join("orchestrator_main.log");
    let file = RotatingFile::new(path, own.main_log_max_size, MAIN_LOG_PARTS);
    telemetry::start(style, level, zone, clock, file)
}

fn announce(loaded: &Loaded, rehearsal: Option<Rehearsal>, now: DateTime<Utc>) {
    let settings = &loaded.settings;
    let source = loaded.file.as_ref().map_or_else(|| "built-in".to_owned(), |file| file.display().to_string());
    info!(
        target: "mho",
        config = source,
        scripts = settings.scripts.len() as u64,
        state_dir = %settings.orchestrator.state_dir.display(),
        log_dir = %settings.orchestrator.log_dir.display(),
        "mho {} started with PID {}",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    );
    if let Some(Rehearsal { at, speed }) = rehearsal {
        let at = rfc3339(at, settings.default_calendar().zone());
        warn!(target: "mho", "REHEARSAL: the market clock starts at {at} and runs {speed} times as fast. Scripts are real and see MHO_REHEARSAL=1.");
    }
    for warning in reload::warnings(loaded, now) {
        warn!(target: "mho", "{warning}");
    }
}

/// What a daemon is started with.
struct Daemon<'a> {
    settings: &'a Settings,
    sources: &'a Sources,
    file: Option<&'a Path>,
    clock: Arc<dyn Clock>,
    identity: Identity,
    state: &'a State,
    tell_grace: &'a dyn Fn(Duration),
}

impl Daemon<'_> {
    async fn supervise(self, reloads: Reloads<'_>) -> Result<Outcome, StartError> {
        let Self { settings, clock, .. } = &self;
        let daemon_id = self.identity.daemon_id.clone();
        let mut requests = Requests::new()?;
        let zone = settings.default_calendar().zone();
        let manager = Arc::new(ServiceManager::of_environment(parent_id()));
        let opened = Memory::open(settings, self.identity.rehearsal, clock.now().wall);
        if let Err(StartError::Journal(OpenError::Newer(_))) = &opened {
            // Whoever is to mend that may take hours, and nobody else ends what was left running at the close.
            let sweep = clean_up_first(settings, &daemon_id, &[], &mut requests, &**clock);
            let _ = keep_waiting(&manager, sweep).await;
        }
        let mut memory = opened?;
        if self.state.copied_from().is_some() {
            memory.past.ledger.clear();
        }
        let sweep = clean_up_first(settings, &daemon_id, &memory.past.ledger, &mut requests, &**clock);
        let swept = match keep_waiting(&manager, sweep).await {
            Ok(swept) => swept,
            Err(outcome) => return Ok(outcome),
        };
        let now = clock.now().wall;
        let mut timeline = Timeline::new(&settings.scripts, &settings.calendars, &settings.market);
        timeline.begin(now);
        if let Some(reason) = barred(&settings.scripts, &timeline, &memory.past, now) {
            // No life of this daemon is entered: the next one finds what it would have found now.
            return Ok(Outcome::Critical(reason));
        }
        let records = memory.settle(settings, &swept, now);
        memory.begin_life(settings, &swept, now).await;
        self.state.is_entered();
        let calendars = settings.calendars.clone();
        let (board, seen) =
            Board::new(Arc::clone(clock), self.identity.rehearsal, calendars, Arc::clone(&settings.market));
        let heard = Announcing::new(LogNotifier::new(zone), Arc::clone(&manager), zone);
        let counted = Counting::new(heard, Arc::clone(&board.metrics));
        let told = Prepared::new(settings, &mut memory.past);
        let telling = Telling::new(counted, told.as_ref().map(Prepared::tap));
        if let Some(told) = told.as_ref().filter(|_| !memory.faults.is_empty()) {
            let why = memory.faults.join("; ");
            told.tap().put(Notice { at: now, about: None, what: What::JournalRenewed { why } });
        }
        let notifier = Arc::new(Watching::new(telling, Arc::clone(&board)));
        if let Some(last_sign) = memory.past.crashed {
            notifier.notify(Notice { at: now, about: None, what: What::StartedAfterCrash { last_sign } });
        }
        let launcher = self.launcher(Arc::clone(&notifier) as Arc<dyn Notifier>, swept)?;
        let journal = Arc::clone(&memory.journal) as Arc<dyn Journal>;
        let ports = Ports {
            clock: Arc::clone(clock),
            launcher: Arc::new(launcher),
            prober: Arc::new(RealProber),
            notifier: Arc::clone(&notifier) as Arc<dyn Notifier>,
            journal: Arc::clone(&journal),
            observer: Arc::clone(&board) as Arc<dyn Observer>,
        };
        let (killed, hear_killed) = watch_kill_file(settings.orchestrator.kill_file.as_ref());
        let plan = self.plan(std::mem::take(&mut memory.past), records, killed);
        let (tell, done) = oneshot::channel();
        let args = RootArgs { plan, ports, with_clock: true, done: tell };
        let (root, _) = Actor::spawn(None, Root, args).await.map_err(io::Error::other)?;
        let is_rehearsal = self.identity.rehearsal;
        let alerts = told.map(|told| {
            let daemon_id = &daemon_id;
            let (root, journal, board) = (&root, &journal, &board);
            told.start(Surroundings { settings, daemon_id, is_rehearsal, clock, root, journal, board })
        });
        service::announce(manager, &root);
        let (desk, orders) = Desk::new(&board, seen, &root, &settings.orchestrator.state_dir);
        let server = self.serve(desk, Arc::clone(&notifier) as Arc<dyn Notifier>);
        let Self { settings, clock, tell_grace, .. } = self;
        let state_dir = settings.orchestrator.state_dir.clone();
        let mut watch =
            Watch { root, done, requests, orders, reloads, memory, board, clock, notifier, state_dir, tell_grace };
        let (outcome, watched_until) = watch.run(hear_killed, &kill_file(settings)).await;
        telling::finish(alerts, &outcome).await;
        watch.memory.end_life(watched_until, &outcome.to_string()).await;
        drop(server);
        Ok(outcome)
    }

    fn launcher(&self, notifier: Arc<dyn Notifier>, swept: Swept) -> io::Result<RealLauncher> {
        let inherited = without(std::env::vars_os(), &self.settings.alerts.variables).collect();
        let identity = self.identity.clone();
        let launcher = RealLauncher::new(identity, inherited, Arc::clone(&self.clock), notifier)?;
        let started = self.settings.scripts.iter().filter(|spec| spec.enabled).map(|spec| &spec.name);
        let launcher = launcher.beside_exec(self.settings.orchestrator.state_dir.clone(), started);
        Ok(launcher.beside_survivors(swept.survivors))
    }

    fn plan(&self, past: Past, records: Vec<Record>, killed: bool) -> Plan {
        let settings = self.settings;
        Plan {
            scripts: settings.scripts.iter().cloned().map(Arc::new).collect(),
            calendars: settings.calendars.clone(),
            market: Arc::clone(&settings.market),
            status_interval: Some(settings.orchestrator.status_interval),
            alive_interval: Some(ALIVE_INTERVAL),
            past,
            records,
            killed_by: killed.then(|| kill_file(settings)),
        }
    }

    /// Supervision goes on without it.
    fn serve(&self, desk: Desk, notifier: Arc<dyn Notifier>) -> Option<Server> {
        let settings = self.settings;
        let socket = settings.orchestrator.state_dir.join("mho.sock");
        // A rehearsal does not take the port of the real one.
        let is_asked = !self.identity.rehearsal || self.sources.flags.listen.is_some();
        let listen = settings.http.listen.clone().filter(|_| is_asked);
        let token = listen.as_ref().and_then(|_| match token::load_or_make(&settings.http.token_file) {
            Ok(token) => Some(Token::new(token)),
            Err(error) => {
                error!(target: "mho", "The token in {} is of no use: {error}. Nothing can be changed over TCP until mho is started again with one; the control socket needs none.", settings.http.token_file.display());
                None
            }
        });
        let config = self.file.map(Path::to_owned);
        let (control, pace, token_file) = (desk.shared(), Pace::default(), settings.http.token_file.clone());
        let served = Served { control, socket: socket.clone(), notifier, config, listen, token_file, token, pace };
        match control::serve(served) {
            Ok(server) => Some(server),
            Err(error) => {
                error!(target: "mho", "The control socket {} cannot be made: {error}. Supervision goes on without commands; mend that, and start mho again.", socket.display());
                None
            }
        }
    }
}

fn kill_file(settings: &Settings) -> String {
    settings.orchestrator.kill_file.as_deref().map(|path| path.display().to_string()).unwrap_or_default()
}

/// `work`, before the daemon is ready. The service manager hears that it goes on: how long it takes is up to the grace of the scripts.
async fn keep_waiting<T>(manager: &ServiceManager, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut tick = interval_at(Instant::now() + STILL_STARTING, STILL_STARTING);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = tick.tick() => manager.extend(STILL_STARTING * 10),
        }
    }
}

/// Nothing was started yet. Whoever asks for the end gets it when nothing of an earlier daemon's is left: the guard knows nothing of that, and
/// no daemon may ever come again. Who asks once more need not wait for any grace.
async fn clean_up_first(
    settings: &Settings,
    daemon_id: &str,
    ledger: &[LedgerEntry],
    requests: &mut Requests,
    clock: &dyn Clock,
) -> Result<Swept, Outcome> {
    let at_once = Cell::new(false);
    let mut swept = pin!(clean_up(settings, daemon_id, ledger, &at_once));
    let mut asked = None;
    loop {
        tokio::select! {
            swept = &mut swept => return asked.map_or(Ok(swept), Err),
            request = requests.next(clock) => match request {
                Request::Reload => requests.reload_later(),
                Request::End(why) => {
                    info!(target: "mho", "Shutting down: {why}, as soon as what an earlier daemon left running has ended");
                    asked = Some(Outcome::Stopped);
                }
                Request::EndAtOnce(signal) => {
                    warn!(target: "mho", "{signal} received again: killing what an earlier daemon left running");
                    at_once.set(true);
                    asked = Some(Outcome::Killed);
                }
            },
        }
    }
}

fn say_goodbye(outcome: &Outcome, telemetry: &Telemetry) {
    let dropped = telemetry.dropped_lines();
    if dropped > 0 {
        warn!(target: "mho", "{dropped} log lines could not be written in time and are lost");
    }
    match outcome {
        Outcome::Stopped => info!(target: "mho", "All scripts stopped. Goodbye."),
        Outcome::Killed => warn!(target: "mho", "All scripts killed. Goodbye."),
        Outcome::Critical(reason) | Outcome::Failed(reason) => error!(target: "mho", "Ended: {reason}"),
    }
}
