//! What supervision costs on top of the system calls: the restart of a killed script, and its output on the way to the log file.
//! Each is measured beside the bare thing.

use std::hint::black_box;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, Utc};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mho::adapters::process::{Identity, RealLauncher};
use mho::domain::notice::Notice;
use mho::domain::script::{Launch, OutputSpec, ScriptName, ScriptSpec};
use mho::domain::time::{Mono, Now};
use mho::ports::{
    AttemptId, Clock, LaunchContext, LaunchOrder, Launcher, Notifier, PortFuture, ProcessEvent, ProcessSink,
    WantedSigns,
};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

struct World;

impl Clock for World {
    fn now(&self) -> Now {
        Now { wall: Utc::now(), mono: Mono::default(), rate: 1.0, jitter: 0.0 }
    }

    fn wake_at(&self, _: Option<DateTime<Utc>>) -> PortFuture {
        Box::pin(std::future::pending())
    }
}

impl Notifier for World {
    fn notify(&self, notice: Notice) {
        black_box(notice);
    }
}

struct Setup {
    launcher: RealLauncher,
    sink: ProcessSink,
    events: UnboundedReceiver<ProcessEvent>,
    dir: tempfile::TempDir,
    number: u32,
}

impl Setup {
    /// In a runtime.
    fn new() -> Self {
        let identity = Identity { daemon_id: format!("bench{:016x}", fastrand::u64(..)), rehearsal: false };
        let inherited = std::env::vars_os().collect();
        let launcher = RealLauncher::new(identity, inherited, Arc::new(World), Arc::new(World)).expect("a launcher");
        let (send, events) = unbounded_channel();
        let sink: ProcessSink = Arc::new(move |event| drop(send.send(event)));
        Self { launcher, sink, events, dir: tempfile::tempdir().expect("a directory"), number: 0 }
    }

    fn start(&mut self, program: &str, args: &[&str]) -> u32 {
        self.number += 1;
        let spec = ScriptSpec::with_defaults("bench", program);
        let launch = Launch {
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            working_dir: self.dir.path().to_owned(),
            ..spec.launch
        };
        let attempt = AttemptId {
            script: ScriptName::new("bench").expect("a name"),
            trading_date: NaiveDate::from_ymd_opt(2026, 11, 27).expect("a date"),
            number: self.number,
        };
        let at = Utc::now();
        let context = LaunchContext {
            session_open: at,
            session_close: at,
            early_close: false,
            stop_at: at,
            deadline: None,
            restarted_after: None,
        };
        let output = OutputSpec { dir: self.dir.path().join("logs"), echo: false, ..spec.output };
        let order = LaunchOrder {
            attempt,
            launch: Arc::new(launch),
            output: Arc::new(output),
            context,
            signs: WantedSigns::default(),
        };
        self.launcher.spawn(order, Arc::clone(&self.sink)).expect("started").pid
    }
}

fn terminate(pid: u32) {
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).expect("killed");
}

/// From SIGKILL to the return of the spawn of the replacement.
fn restart(c: &mut Criterion) {
    let mut group = c.benchmark_group("restart");
    group.bench_function("bare posix_spawn and waitpid", |bencher| {
        let spawn = || {
            Command::new("/bin/sleep").arg("300").stdin(Stdio::null()).process_group(0).spawn().expect("started").id()
        };
        bencher.iter_custom(|times| {
            let mut pid = spawn();
            let start = Instant::now();
            for _ in 0..times {
                terminate(pid);
                waitpid(Pid::from_raw(pid.cast_signed()), None).expect("ours");
                pid = spawn();
            }
            let took = start.elapsed();
            terminate(pid);
            waitpid(Pid::from_raw(pid.cast_signed()), None).expect("ours");
            took
        });
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    group.bench_function("launcher", |bencher| {
        bencher.iter_custom(|times| {
            runtime.block_on(async {
                let mut setup = Setup::new();
                let mut pid = setup.start("/bin/sleep", &["300"]);
                let start = Instant::now();
                for _ in 0..times {
                    terminate(pid);
                    setup.events.recv().await.expect("an exit");
                    pid = setup.start("/bin/sleep", &["300"]);
                }
                let took = start.elapsed();
                terminate(pid);
                setup.events.recv().await.expect("an exit");
                took
            })
        });
    });
    group.finish();
}

const SIZE: u64 = 1 << 30;

/// A gigabyte of lines through a pipe into a file; `cat` is the bare thing.
fn output(c: &mut Criterion) {
    let mut group = c.benchmark_group("output");
    group.throughput(Throughput::Bytes(SIZE)).sample_size(10).measurement_time(Duration::from_secs(20));
    let line = format!("yes {} | head -c {SIZE}", "x".repeat(99));
    group.bench_function(BenchmarkId::from_parameter("cat"), |bencher| {
        let dir = tempfile::tempdir().expect("a directory");
        let text = format!("{line} | cat > {}", dir.path().join("out").display());
        bencher.iter(|| assert!(Command::new("/bin/sh").args(["-c", &text]).status().expect("a shell").success()));
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    group.bench_function(BenchmarkId::from_parameter("launcher, rotation on"), |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let mut setup = Setup::new();
                setup.start("/bin/sh", &["-c", &line]);
                setup.events.recv().await.expect("an exit");
                drop(setup.launcher);
            });
        });
    });
    group.finish();
}

criterion_group!(benches, restart, output);
criterion_main!(benches);
