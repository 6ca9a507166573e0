//! A real process: from the order to its reported end, beside the standard library's bare spawn and wait.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use criterion::{Criterion, criterion_group, criterion_main};
use mho::adapters::clock::RealClock;
use mho::adapters::pretend::Recording;
use mho::adapters::process::{Identity, RealLauncher};
use mho::domain::script::{OutputSpec, ScriptSpec};
use mho::ports::{AttemptId, LaunchContext, LaunchOrder, Launcher};
use tokio::sync::mpsc;

fn order(script: &ScriptSpec, number: u32, logs: PathBuf) -> LaunchOrder {
    let now = Utc::now();
    LaunchOrder {
        attempt: AttemptId { script: script.name.clone(), trading_date: now.date_naive(), number },
        launch: Arc::new(script.launch.clone()),
        output: Arc::new(OutputSpec { dir: logs, echo: false, ..script.output.clone() }),
        context: LaunchContext {
            session_open: now,
            session_close: now,
            early_close: false,
            stop_at: now,
            deadline: None,
            restarted_after: None,
        },
    }
}

fn bench(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let logs = tempfile::tempdir().expect("a directory");
    let script = ScriptSpec::with_defaults("true", "/bin/true");
    let identity = Identity { daemon_id: "0".repeat(32), rehearsal: true };
    let launcher = runtime.block_on(async {
        let clock = Arc::new(RealClock::new(Duration::from_secs(30)));
        RealLauncher::new(identity, Vec::new(), clock, Arc::new(Recording::default())).expect("a launcher")
    });
    let mut number = 0;
    c.bench_function("spawn/mho_spawn_to_reported_end", |b| {
        b.iter(|| {
            number += 1;
            runtime.block_on(async {
                let (tell, mut ended) = mpsc::unbounded_channel();
                let sink = Arc::new(move |event| drop(tell.send(event)));
                launcher.spawn(order(&script, number, logs.path().to_owned()), sink).expect("a process");
                ended.recv().await.expect("its end")
            })
        });
    });
    c.bench_function("spawn/std_spawn_and_wait", |b| {
        b.iter(|| {
            let quiet = Stdio::null;
            let child = Command::new("/bin/true").stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn();
            child.and_then(|mut child| child.wait()).expect("a process")
        });
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
