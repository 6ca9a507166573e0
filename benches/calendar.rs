//! What a calendar may cost: a date <= 50 ns, the next boundary <= 200 ns, loading 46 years <= 5 ms.

use std::hint::black_box;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use mho::domain::calendar::Calendar;

/// Dates all over the range, in no order that a branch predictor could learn.
fn scattered() -> Vec<NaiveDate> {
    let first = NaiveDate::from_ymd_opt(1990, 1, 1).expect("a date");
    (0..4096_u64).map(|step| first + Days::new(step * 7919 % 16_801)).collect()
}

fn calendar(c: &mut Criterion) {
    let nyse = Calendar::builtin("XNYS").expect("a built-in calendar");
    let dates = scattered();
    let instants: Vec<DateTime<Utc>> =
        dates.iter().map(|date| date.and_time(chrono::NaiveTime::MIN).and_utc() + TimeDelta::hours(15)).collect();

    let mut at = 0;
    let mut turn = move || {
        at = (at + 1) % 4096;
        at
    };
    c.bench_function("calendar/is_session", |b| b.iter(|| nyse.is_session(black_box(dates[turn()]))));
    c.bench_function("calendar/session", |b| b.iter(|| nyse.session(black_box(dates[turn()]))));
    c.bench_function("calendar/next_open", |b| b.iter(|| nyse.next_open(black_box(instants[turn()]))));
    c.bench_function("calendar/next_close", |b| b.iter(|| nyse.next_close(black_box(instants[turn()]))));
    c.bench_function("calendar/load", |b| {
        b.iter_batched(|| "XNYS", |id| Calendar::builtin(black_box(id)), BatchSize::SmallInput);
    });
}

criterion_group!(benches, calendar);
criterion_main!(benches);
