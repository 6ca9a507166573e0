//! The timeline of many scripts: the next boundary, and a boundary that concerns all.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use chrono::{TimeDelta, TimeZone, Utc};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use mho::domain::calendar::Calendar;
use mho::domain::script::ScriptSpec;
use mho::domain::timeline::Timeline;

fn timeline(c: &mut Criterion) {
    let calendar = Arc::new(Calendar::builtin("XNYS").expect("built in"));
    let calendars: BTreeMap<Arc<str>, _> = BTreeMap::from([("XNYS".into(), calendar)]);
    let morning = Utc.with_ymd_and_hms(2026, 11, 23, 12, 0, 0).single().expect("a valid time");
    let start = Utc.with_ymd_and_hms(2026, 11, 23, 13, 30, 0).single().expect("a valid time");
    let mut group = c.benchmark_group("timeline");
    for scripts in [1_usize, 100, 1000] {
        let specs: Vec<_> = (0..scripts).map(|i| ScriptSpec::with_defaults(&format!("s{i}"), "s.py")).collect();
        let mut timeline = Timeline::new(&specs, &calendars, "XNYS");
        timeline.begin(morning);
        group.bench_function(BenchmarkId::new("next_boundary", scripts), |b| b.iter(|| black_box(&timeline).next()));
        group.bench_function(BenchmarkId::new("all_start", scripts), |b| {
            b.iter_batched(|| timeline.clone(), |mut t| t.advance(start, TimeDelta::seconds(5)), BatchSize::LargeInput);
        });
    }
}

criterion_group!(benches, timeline);
criterion_main!(benches);
