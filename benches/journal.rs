//! What remembering may cost: a commit that survives the daemon's death <= 1 ms; one that survives a loss of power is the disk's.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{Criterion, criterion_group, criterion_main};
use mho::adapters::journal::{Kind, Life, OpenArgs, SqliteJournal};
use mho::domain::attempt::{AttemptEnd, AttemptId, ProcessId};
use mho::domain::outcome::{AttemptResult, Exit};
use mho::domain::record::{AttemptRecord, Grade, Record};
use mho::domain::script::ScriptName;
use mho::ports::Journal;

/// Attempts that ended, of as many scripts, and the next ones.
fn records(count: u32, round: i64) -> Arc<Vec<Record>> {
    let begin: DateTime<Utc> = "2026-11-27T13:30:00Z".parse().expect("an instant");
    let at = begin + TimeDelta::seconds(round);
    let attempt = |n| AttemptRecord {
        id: AttemptId {
            script: ScriptName::new(&format!("script-{n}")).expect("a name"),
            trading_date: begin.date_naive(),
            number: u32::try_from(round % 50).unwrap_or_default() + 1,
        },
        start: None,
        process: Some(ProcessId { pid: 1000 + n, born: 4711 }),
        end: Some(AttemptEnd { exit: Some(Exit::Code(1)), result: AttemptResult::Crashed, at }),
    };
    Arc::new((0..count).map(|n| Record::Attempt(attempt(n))).collect())
}

fn journal(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    let args = OpenArgs {
        now: DateTime::UNIX_EPOCH,
        state_dir: dir.path().to_owned(),
        kind: Kind::Live,
        history: std::time::Duration::from_secs(400 * 86_400),
        scripts: [].into(),
        on_renewed: Box::new(|_| ()),
    };
    let journal = SqliteJournal::open(args).expect("it opens").journal;
    let life = Life { started_at: DateTime::UNIX_EPOCH, pid: 1, scripts: vec![], left_out: vec![], survivors: vec![] };
    runtime.block_on(journal.begin_life(life)).expect("entered");
    let mut round = 0;
    for (name, count, grade) in [
        ("journal/crash_safe_1", 1, Grade::CrashSafe),
        ("journal/crash_safe_100", 100, Grade::CrashSafe),
        ("journal/power_safe_1", 1, Grade::PowerSafe),
        ("journal/power_safe_100", 100, Grade::PowerSafe),
    ] {
        c.bench_function(name, |b| {
            b.iter(|| {
                round += 1;
                runtime.block_on(journal.write(records(count, round), grade)).expect("written");
            });
        });
    }
}

criterion_group!(benches, journal);
criterion_main!(benches);
