//! One step of a script's machine: start, spawn answer, crash, backoff.

use std::hint::black_box;
use std::time::Duration;

use chrono::{TimeDelta, TimeZone, Utc};
use chrono_tz::America::New_York;
use criterion::{Criterion, criterion_group, criterion_main};
use mho::domain::attempt::{ProcessEvent, ProcessId};
use mho::domain::lifecycle::{Effect, Event, State, step};
use mho::domain::outcome::Exit;
use mho::domain::script::ScriptSpec;
use mho::domain::time::{Mono, Now};
use mho::domain::timeline::{Arrival, ClockEvent, Window};

fn lifecycle(c: &mut Criterion) {
    let spec = ScriptSpec::with_defaults("demo", "demo.py");
    let start = Utc.with_ymd_and_hms(2026, 11, 23, 13, 30, 0).single().expect("a valid time");
    let now = Now { wall: start, mono: Mono(Duration::ZERO), rate: 1.0, jitter: 0.0 };
    let window = Window {
        trading_date: start.date_naive(),
        start,
        stop: start + TimeDelta::hours(7),
        open: start + TimeDelta::hours(1),
        close: start + TimeDelta::hours(7),
        early_close: false,
        zone: New_York,
        joined: false,
    };
    let open = Event::Clock(ClockEvent::WindowOpen { window, arrival: Arrival::OnTime, absent: [].into() });
    let (starting, effects) = step(State::default(), open.clone(), &spec, &now);
    let attempt = effects
        .iter()
        .find_map(|e| match e {
            Effect::Spawn { attempt, .. } => Some(attempt.clone()),
            _ => None,
        })
        .expect("an open window starts the script");
    let (running, _) = step(
        starting,
        Event::Spawned { attempt: attempt.clone(), process: ProcessId { pid: 4242, born: 4242 } },
        &spec,
        &now,
    );
    let crash = Event::Process(ProcessEvent::Exited { attempt, exit: Exit::Code(1), leftovers: Vec::new() });

    c.bench_function("lifecycle/window_open", |b| {
        b.iter(|| step(State::default(), black_box(open.clone()), &spec, &now));
    });
    c.bench_function("lifecycle/crash_to_backoff", |b| {
        b.iter(|| step(running.clone(), black_box(crash.clone()), &spec, &now));
    });
}

criterion_group!(benches, lifecycle);
criterion_main!(benches);
