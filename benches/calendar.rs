//! What a calendar may cost: a date <= 50 ns, the next boundary <= 200 ns, loading decades <= 5 ms, memory <= 1 MB.

use std::hint::black_box;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use mho::domain::calendar::Calendar;

/// Dates all over the range, in no order that a branch predictor could learn. The last ones are left out: something must come after.
fn scattered(first: NaiveDate, last: NaiveDate) -> Vec<NaiveDate> {
    let days = (last - first).num_days().unsigned_abs() - 10;
    (0..4096_u64).map(|step| first + Days::new(step * 7919 % days)).collect()
}

/// One exchange with few dated rows, one with hundreds and a break, one whose session opens on the evening before.
const IDS: [&str; 3] = ["XNYS", "XHKG", "CMES"];

fn calendar(c: &mut Criterion) {
    // First of all, and kept: what was freed would be used again and cost nothing.
    let kept = IDS.map(|id| (id, memory(id)));
    for (id, (size, _)) in &kept {
        println!("calendar/memory/{id}: {size} KiB");
    }
    for id in IDS {
        let calendar = Calendar::builtin(id).expect("a built-in calendar");
        let (first, last) = calendar.range().into_inner();
        let dates = scattered(first, last);
        let noon = |date: &NaiveDate| date.and_time(chrono::NaiveTime::MIN).and_utc() + TimeDelta::hours(15);
        let instants: Vec<DateTime<Utc>> = dates.iter().map(noon).collect();
        let mut at = 0;
        let mut turn = move || {
            at = (at + 1) % 4096;
            at
        };
        let name = |what: &str| format!("calendar/{what}/{id}");
        c.bench_function(&name("is_session"), |b| b.iter(|| calendar.is_session(black_box(dates[turn()]))));
        c.bench_function(&name("session"), |b| b.iter(|| calendar.session(black_box(dates[turn()]))));
        c.bench_function(&name("next_open"), |b| b.iter(|| calendar.next_open(black_box(instants[turn()]))));
        c.bench_function(&name("next_close"), |b| b.iter(|| calendar.next_close(black_box(instants[turn()]))));
        c.bench_function(&name("phase_at"), |b| b.iter(|| calendar.phase_at(black_box(instants[turn()]))));
        c.bench_function(&name("load"), |b| {
            b.iter_batched(|| id, |id| Calendar::builtin(black_box(id)), BatchSize::SmallInput);
        });
    }
}

/// What one more calendar adds to this process, in KiB: the mean of many, and those.
fn memory(id: &str) -> (u64, Vec<Option<Calendar>>) {
    const MANY: u64 = 64;
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
        pages.unwrap_or_default() * 4
    };
    let before = resident();
    let kept: Vec<_> = (0..MANY).map(|_| Calendar::builtin(id)).collect();
    (resident().saturating_sub(before) / MANY, kept)
}

criterion_group!(benches, calendar);
criterion_main!(benches);
