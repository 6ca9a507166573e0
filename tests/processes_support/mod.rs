//! Real children for the tests of processes: a launcher, its events, and the certainty that nothing survives the test.
#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, Utc};
use mho::adapters::process::{Identity, RealLauncher};
use mho::adapters::procfs::{self, Proc, Snapshot};
use mho::domain::notice::Notice;
use mho::domain::outcome::{Exit, Signal, SpawnError};
use mho::domain::script::{Launch, OutputSpec, ScriptName, ScriptSpec};
use mho::domain::time::{Mono, Now};
use mho::ports::{AttemptId, Clock, LaunchContext, LaunchOrder, Launcher, Notifier, PortFuture, ProcessEvent, Refusal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Whatever is waited for in these tests comes within this time, or never.
pub const DEADLINE: Duration = Duration::from_secs(20);

struct TestClock;

impl Clock for TestClock {
    fn now(&self) -> Now {
        Now { wall: Utc::now(), mono: Mono::default(), rate: 1.0, jitter: 0.0 }
    }

    fn wake_at(&self, _: Option<DateTime<Utc>>) -> PortFuture {
        Box::pin(std::future::pending())
    }
}

#[derive(Default)]
pub struct Heard(pub Mutex<Vec<Notice>>);

impl Notifier for Heard {
    fn notify(&self, notice: Notice) {
        self.0.lock().expect("unpoisoned").push(notice);
    }
}

pub struct World {
    pub dir: tempfile::TempDir,
    pub launcher: Arc<RealLauncher>,
    pub events: UnboundedReceiver<ProcessEvent>,
    pub heard: Arc<Heard>,
    pub daemon_id: String,
    sink: mho::ports::ProcessSink,
}

impl World {
    pub fn new() -> Self {
        let daemon_id = format!("test{:016x}", fastrand::u64(..));
        let heard = Arc::new(Heard::default());
        let identity = Identity { daemon_id: daemon_id.clone(), rehearsal: false };
        let inherited = std::env::vars_os().collect();
        let launcher = RealLauncher::new(identity, inherited, Arc::new(TestClock), heard.clone()).expect("a launcher");
        let (send, events) = unbounded_channel();
        let sink: mho::ports::ProcessSink = Arc::new(move |event| drop(send.send(event)));
        let dir = tempfile::tempdir().expect("a directory");
        Self { dir, launcher: Arc::new(launcher), events, heard, daemon_id, sink }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn order(&self, name: &str, launch: Launch) -> LaunchOrder {
        let at = Utc::now();
        let context = LaunchContext {
            session_open: at,
            session_close: at,
            early_close: false,
            stop_at: at,
            deadline: None,
            restarted_after: None,
        };
        let output = OutputSpec {
            dir: self.path("logs").join(name),
            echo: false,
            ..ScriptSpec::with_defaults(name, "/bin/sh").output
        };
        let signs = mho::ports::WantedSigns::default();
        LaunchOrder { attempt: attempt(name), launch: Arc::new(launch), output: Arc::new(output), context, signs }
    }

    pub fn launch(&self, program: &str, args: &[&str]) -> Launch {
        Launch {
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            working_dir: self.dir.path().to_owned(),
            ..ScriptSpec::with_defaults("x", program).launch
        }
    }

    pub fn start(&self, order: LaunchOrder) -> Result<u32, SpawnError> {
        self.launcher.spawn(order, self.sink.clone()).map(|process| process.pid).map_err(|refusal| match refusal {
            Refusal::Failed(error) => error,
            Refusal::Busy(on) => panic!("nobody else runs it: {on}"),
        })
    }

    /// Starts `text` with a shell, in the test's directory.
    pub fn shell(&self, name: &str, text: &str) -> (AttemptId, u32) {
        let order = self.order(name, self.launch("/bin/sh", &["-c", text]));
        let id = order.attempt.clone();
        (id, self.start(order).expect("started"))
    }

    pub async fn event(&mut self) -> ProcessEvent {
        tokio::time::timeout(DEADLINE, self.events.recv()).await.expect("an event in time").expect("an open channel")
    }

    pub async fn exited(&mut self) -> (Exit, Vec<u32>) {
        match self.event().await {
            ProcessEvent::Exited { exit, leftovers, .. } => (exit, leftovers),
            other => panic!("expected an exit, got {other:?}"),
        }
    }

    pub async fn gone(&mut self) {
        let event = self.event().await;
        assert!(matches!(event, ProcessEvent::Gone { .. }), "expected Gone, got {event:?}");
    }

    /// The number that a script wrote into `name`, as soon as it is complete.
    pub async fn number(&self, name: &str) -> u32 {
        let path = self.path(name);
        let read = || {
            let text = std::fs::read_to_string(&path).ok()?;
            text.strip_suffix('\n')?.trim().parse().ok()
        };
        eventually(name, || read().is_some()).await;
        read().expect("a number")
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.path("logs").join(name).join(format!("{}.log", date()))
    }
}

impl Drop for World {
    /// Also after a panic: whatever carries this test's mark is killed.
    fn drop(&mut self) {
        kill_marked("MHO_DAEMON_ID", &self.daemon_id);
    }
}

pub fn marked(name: &str, value: &str) -> Vec<Proc> {
    let Ok(snapshot) = Snapshot::take() else { return Vec::new() };
    let carries = |process: &Proc| procfs::environment_values(process.pid, [name])[0].as_deref() == Some(value);
    snapshot.iter().filter(|process| !process.zombie && process.pid != std::process::id() && carries(process)).collect()
}

pub fn kill_marked(name: &str, value: &str) {
    for _ in 0..50 {
        let left = marked(name, value);
        if left.is_empty() {
            return;
        }
        for process in left {
            procfs::send(process, &[rustix::process::Signal::KILL]);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn date() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 27).expect("a date")
}

pub fn attempt(name: &str) -> AttemptId {
    AttemptId { script: ScriptName::new(name).expect("a name"), trading_date: date(), number: 1 }
}

pub fn alive(pid: u32) -> bool {
    procfs::read(pid).expect("/proc").is_some_and(|process| !process.zombie)
}

pub fn signal(name: &str) -> Signal {
    name.parse().expect("a signal")
}

pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "{what} did not come true in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}
