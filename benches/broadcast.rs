//! A boundary reaches 1,000 workers: from the root's message to the last order to start a (pretend) process.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{Criterion, criterion_group, criterion_main};
use mho::actors::messages::RootMsg;
use mho::actors::root::{Root, RootArgs};
use mho::actors::{Plan, Ports};
use mho::adapters::pretend::{MemoryJournal, PretendLauncher, Recording, VirtualClock};
use mho::domain::calendar::Calendar;
use mho::domain::record::Past;
use mho::domain::script::ScriptSpec;
use mho::domain::timeline::{Addressed, Arrival, ClockEvent, Window};
use ractor::Actor;
use tokio::sync::oneshot;
use tokio::time::Instant;

const WORKERS: usize = 1000;

fn window_open(at: DateTime<Utc>) -> ClockEvent {
    let window = Window {
        trading_date: at.date_naive(),
        start: at,
        stop: at + TimeDelta::hours(7),
        open: at,
        close: at + TimeDelta::hours(7),
        early_close: false,
        zone: chrono_tz::America::New_York,
        joined: false,
    };
    ClockEvent::WindowOpen { window, arrival: Arrival::OnTime, absent: BTreeMap::new() }
}

/// One tree, one broadcast: the time until every worker has ordered its process.
async fn broadcast() -> std::time::Duration {
    let at = Utc::now();
    let calendar = Arc::new(Calendar::builtin("XNYS").expect("built in"));
    let scripts = (0..WORKERS).map(|i| Arc::new(ScriptSpec::with_defaults(&format!("s{i}"), "s.py"))).collect();
    let plan = Plan {
        scripts,
        calendars: BTreeMap::from([("XNYS".into(), calendar)]),
        market: "XNYS".into(),
        status_interval: None,
        alive_interval: None,
        past: Past::default(),
        killed_by: None,
        records: Vec::new(),
    };
    let launcher = Arc::new(PretendLauncher::default());
    let ports = Ports {
        clock: Arc::new(VirtualClock::new(at)),
        launcher: launcher.clone(),
        prober: launcher.clone(),
        notifier: Arc::new(Recording::default()),
        journal: Arc::new(MemoryJournal::default()),
        observer: Arc::new(mho::ports::Unobserved),
    };
    let (done, _ended) = oneshot::channel();
    let args = RootArgs { plan, ports, with_clock: false, done };
    let (root, handle) = Actor::spawn(None, Root, args).await.expect("the tree starts");
    let events = (0..WORKERS).map(|to| Addressed { at, to: Some(to), event: window_open(at) }).collect();
    let start = Instant::now();
    root.cast(RootMsg::Clock(events)).expect("the root lives");
    while launcher.live().len() < WORKERS {
        tokio::task::yield_now().await;
    }
    let took = start.elapsed();
    root.stop(None);
    let _ = handle.await;
    took
}

fn bench(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    c.bench_function("broadcast/1000_workers_ordered", |b| {
        b.iter_custom(|rounds| (0..rounds).map(|_| runtime.block_on(broadcast())).sum());
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = bench
}
criterion_main!(benches);
