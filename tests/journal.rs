//! The journal on a real disk: what is found again, and what becomes of it when the file is damaged, locked, deleted, foreign.

mod common;
mod journal_support;

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex};

use common::eventually;
use journal_support::*;
use mho::adapters::journal::{Kind, Life, OpenArgs, OpenError, Renewed, Report, SqliteJournal, boot_id};
use mho::domain::alert::Message;
use mho::domain::attempt::ProcessId;
use mho::domain::outcome::{AttemptResult, RunResult};
use mho::domain::record::{
    ActionRecord, AlertEnd, AlertRecord, AttemptStart, Grade, LedgerEntry, Past, Record, RunRecord,
};
use mho::domain::script::ScriptSpec;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn a_new_journal_knows_nothing_and_belongs_to_its_user_alone() {
    let dir = directory();
    let opened = open(dir.path());
    assert_eq!(opened.past, Past::default());
    begin(&opened.journal, "2026-11-27T13:00:00Z", &["demo"]);
    for name in ["mho.db", "mho.db-wal", "mho.db-shm"] {
        let mode = fs::metadata(dir.path().join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    end(&opened.journal, "2026-11-27T13:00:01Z");
    assert_eq!(names(dir.path(), "mho.db"), ["mho.db"], "closed in order");
}

#[test]
fn a_new_daemon_finds_what_the_one_before_knew() {
    let dir = directory();
    let opened = open(dir.path());
    begin(&opened.journal, "2026-11-01T13:00:00Z", &["demo", "other"]);
    // One more than a daemon asks for; with a result each, and told of in no order.
    let days = (1..=33_u32).rev().map(|n| format!("2026-{:02}-{:02}", 9 + (n - 1) / 28, 1 + (n - 1) % 28));
    write(&opened.journal, days.map(|day| run_record("demo", &day, RunResult::WindowEnd)).collect());
    write(&opened.journal, vec![tried("demo", "2026-10-05", RunResult::Failed)]);
    let attempts =
        [started("demo", 1), alive("demo", 1, 100), ended("demo", 1), started("demo", 2), alive("demo", 2, 200)];
    write(&opened.journal, attempts.map(Record::Attempt).to_vec());
    write(&opened.journal, vec![Record::Alive { at: at("2026-11-27T14:30:00Z") }]);
    drop(opened);

    let opened = open(dir.path());
    let past = opened.past;
    let demo = &past.scripts[&name("demo")];
    assert_eq!(demo.results.len(), 32);
    assert_eq!(demo.results.first(), Some(&(date("2026-09-02"), RunResult::WindowEnd)));
    assert_eq!(demo.results.last(), Some(&(date("2026-10-05"), RunResult::Failed)));
    let sign = Some(at("2026-11-27T14:30:00Z"));
    assert_eq!((demo.watched_until, demo.unfinished.is_none()), (sign, true));
    assert_eq!(past.scripts[&name("other")].watched_until, sign);
    let left =
        LedgerEntry { attempt: alive("demo", 2, 200).id, process: ProcessId { pid: 200, born: 4711 }, boot: boot_id() };
    assert_eq!(past.ledger, [left]);

    // It is swept before the next life begins; in that one, a script is gone.
    begin(&opened.journal, "2026-11-27T15:00:00Z", &["other"]);
    end(&opened.journal, "2026-11-27T15:00:05Z");
    let lost = query(dir.path(), "SELECT number, result, ended_at IS NULL FROM attempts ORDER BY number");
    assert_eq!(lost, ["1|crashed|0", "2|lost|1"]);
    let past = open(dir.path()).past;
    assert!(past.ledger.is_empty());
    assert_eq!(past.scripts[&name("demo")].watched_until, None);
    assert_eq!(past.scripts[&name("other")].watched_until, Some(at("2026-11-27T15:00:05Z")));
    let lives = query(dir.path(), "SELECT started_at, pid, last_alive, ended_at, end_reason FROM lives ORDER BY id");
    let (mine, end) = (std::process::id(), "2026-11-27T15:00:05.000Z");
    assert_eq!(
        lives,
        [
            format!("2026-11-01T13:00:00.000Z|{mine}|2026-11-27T14:30:00.000Z|NULL|NULL"),
            format!("2026-11-27T15:00:00.000Z|{mine}|{end}|{end}|asked to")
        ]
    );
}

#[test]
fn records_written_twice_do_no_harm_and_the_parts_of_an_attempt_add_up() {
    let dir = directory();
    let opened = open(dir.path());
    let action = ActionRecord {
        at: at("2026-11-27T13:29:00Z"),
        who: "root".to_owned(),
        action: "sweep".to_owned(),
        script: None,
        reason: String::new(),
    };
    let mut over = run("demo", "2026-11-27", RunResult::Failed);
    over.reason = "gave up".to_owned();
    over.last_exit = ended("demo", 1).end;
    let records = [
        run_record("demo", "2026-11-27", RunResult::Running),
        Record::Attempt(started("demo", 1)),
        Record::Attempt(alive("demo", 1, 100)),
        Record::Attempt(ended("demo", 1)),
        Record::Action(action),
        Record::Run(Box::new(over)),
    ];
    for grade in [Grade::CrashSafe, Grade::PowerSafe, Grade::CrashSafe] {
        try_write(&opened.journal, records.to_vec(), grade).expect("written");
    }
    // What is told later, and less of it.
    write(&opened.journal, vec![Record::Attempt(alive("demo", 1, 100))]);
    let runs = query(dir.path(), "SELECT result, reason, last_exit_code, last_exit_result, unfinished FROM runs");
    assert_eq!(runs, ["failed|gave up|3|crashed|NULL"]);
    let attempts = "SELECT started_at, pid, born, pgid, boot_id, exit_code, result, ended_at FROM attempts";
    let expected = format!("2026-11-27T13:30:00.000Z|100|4711|100|{}|3|crashed|2026-11-27T14:00:00.000Z", boot_id());
    assert_eq!(query(dir.path(), attempts), [expected]);
    assert_eq!(query(dir.path(), "SELECT who, action, script FROM actions"), ["root|sweep|NULL"]);
}

#[test]
fn an_attempt_is_told_with_its_log_file_and_the_hashes_of_what_it_was_made_of() {
    let dir = directory();
    fs::write(dir.path().join("strategy.py"), "abc").expect("written");
    let mut spec = ScriptSpec::with_defaults("demo", "/bin/true");
    spec.launch.working_dir = dir.path().to_owned();
    spec.launch.args = vec!["strategy.py".to_owned()];
    spec.output.dir = "/var/log/demo".into();
    let journal =
        SqliteJournal::open(OpenArgs { scripts: facts(&[spec]), ..args(dir.path()) }).expect("opened").journal;
    write(&journal, vec![Record::Attempt(started("demo", 1)), Record::Attempt(started("stranger", 1))]);
    let first = query(dir.path(), "SELECT log_file, length(config_sha256) FROM attempts ORDER BY script");
    assert_eq!(first, ["/var/log/demo/2026-11-27.log|64", "NULL|NULL"]);
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    eventually("the hashes", || {
        query(dir.path(), "SELECT script_sha256, length(program_sha256) FROM attempts ORDER BY script")
            == [format!("{abc}|64"), "NULL|NULL".to_owned()]
    });
}

/// What is told of files that were begun anew.
fn hearing() -> (Arc<Mutex<Vec<String>>>, Renewed) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&told);
    (told, Box::new(move |text: &str| hear.lock().expect("not poisoned").push(text.to_owned())))
}

/// A journal with a history of some pages, closed.
fn filled(dir: &Path) {
    let journal = open(dir).journal;
    begin(&journal, "2026-11-27T13:00:00Z", &["demo"]);
    write(&journal, (1..2000).map(|n| Record::Attempt(started("demo", n))).collect());
    write(&journal, vec![run_record("demo", "2026-11-27", RunResult::Failed)]);
    end(&journal, "2026-11-27T21:00:00Z");
}

fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    fs::OpenOptions::new().write(true).open(path).and_then(|file| file.write_all_at(bytes, offset)).expect("spoiled");
}

#[test]
fn a_damaged_file_is_set_aside_as_it_is_and_a_new_one_begun() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("garbage", |path| fs::write(path, b"this is no database, and never was one".repeat(300)).expect("written")),
        ("cut short", |path| fs::File::options().write(true).open(path).and_then(|f| f.set_len(20_000)).expect("cut")),
        ("a spoiled page", |path| overwrite(path, 4096 * 9, &[0xff; 4096])),
        ("no tables", |path| {
            let connection = rusqlite::Connection::open(path).expect("opened");
            connection.execute_batch("DROP TABLE runs").expect("dropped");
        }),
        ("of another program", |path| {
            fs::remove_file(path).expect("removed");
            let connection = rusqlite::Connection::open(path).expect("opened");
            connection.execute_batch("CREATE TABLE other (x)").expect("made");
        }),
    ];
    for (what, damage) in damages {
        let dir = directory();
        filled(dir.path());
        let path = dir.path().join("mho.db");
        damage(&path);
        let spoiled = fs::read(&path).expect("readable");
        let (told, on_renewed) = hearing();
        let opened = SqliteJournal::open(OpenArgs { on_renewed, ..args(dir.path()) }).expect(what);
        assert_eq!(opened.unavailable, None, "{what}");
        let results = opened.past.scripts.get(&name("demo")).map_or(0, |demo| demo.results.len());
        let known = opened.past.scripts.get(&name("demo")).is_some_and(|demo| demo.watched_until.is_some());
        let known = (known, results);
        let expected = match what {
            "a spoiled page" => (true, 1),
            "no tables" => (true, 0),
            _ => (false, 0),
        };
        assert_eq!(known, expected, "{what}");
        write(&opened.journal, vec![Record::Alive { at: at("2026-11-28T13:00:00Z") }]);
        // Whoever has to write what could be read is told so; what cannot be made up for is reported.
        let mut texts = told.lock().expect("not poisoned").clone();
        assert_eq!(texts.is_empty(), opened.past == Past::default(), "{what}: {texts:?}");
        texts.extend(opened.reports.iter().map(|report| match report {
            Report::Error(text) => text.clone(),
            Report::Warning(text) => panic!("{what}: {text}"),
        }));
        let [text] = texts.as_slice() else { panic!("{what}: {texts:?}") };
        let aside: Vec<_> =
            names(dir.path(), "mho.db.damaged-").into_iter().filter(|name| name.ends_with('Z')).collect();
        assert!(aside.len() == 1 && text.contains(&aside[0]), "{what}: {aside:?} {text}");
        assert!(fs::read(dir.path().join(&aside[0])).expect("kept") == spoiled, "{what}");
        write(&opened.journal, vec![run_record("demo", "2026-11-30", RunResult::Skipped)]);
        assert_eq!(query(dir.path(), "SELECT trading_date FROM runs"), ["2026-11-30"], "{what}");
    }
}

#[test]
fn a_row_that_cannot_be_read_costs_no_other() {
    let dir = directory();
    let journal = open(dir.path()).journal;
    begin(&journal, "2026-11-27T13:00:00Z", &["demo"]);
    let both =
        vec![run_record("demo", "2026-11-26", RunResult::Failed), run_record("demo", "2026-11-27", RunResult::Running)];
    write(&journal, both);
    end(&journal, "2026-11-27T21:00:00Z");
    query(dir.path(), "UPDATE runs SET unfinished = '{}' WHERE result = 'running'");
    query(dir.path(), "UPDATE runs SET zone = 'Mars' WHERE result = 'failed'");
    let opened = SqliteJournal::open(args(dir.path())).expect("opened");
    assert_eq!(opened.past.scripts[&name("demo")].results.len(), 1);
    let [Report::Error(text)] = opened.reports.as_slice() else { panic!("{:?}", opened.reports) };
    assert!(text.contains("unfinished run of demo on 2026-11-27"), "{text}");
}

#[test]
fn alerts_are_found_again_until_they_are_sent_and_a_life_without_an_end_is_a_crash() {
    let dir = directory();
    let alert = |id: &str, end| {
        let message = Message::test(id.to_owned(), "desk".to_owned(), at("2026-11-27T13:00:00Z"), chrono_tz::Tz::UTC);
        AlertRecord { channel: "slack".to_owned(), message, end }
    };
    let opened = open(dir.path());
    assert_eq!((opened.past.alerts.len(), opened.past.crashed), (0, None));
    begin(&opened.journal, "2026-11-27T13:00:00Z", &["demo"]);
    let sent = Some((at("2026-11-27T13:00:05Z"), AlertEnd::Sent));
    let records = [alert("1", None), alert("2", None), alert("1", sent)];
    write(&opened.journal, records.map(|alert| Record::Alert(Box::new(alert))).to_vec());
    write(&opened.journal, vec![Record::Alive { at: at("2026-11-27T14:30:00Z") }]);
    drop(opened);

    let opened = open(dir.path());
    assert_eq!(opened.past.alerts, [alert("2", None)]);
    assert_eq!(opened.past.crashed, Some(at("2026-11-27T14:30:00Z")));
    begin(&opened.journal, "2026-11-27T15:00:00Z", &["demo"]);
    end(&opened.journal, "2026-11-27T16:00:00Z");
    drop(opened);
    assert_eq!(open(dir.path()).past.crashed, None, "it ended in order");
}

#[test]
fn a_file_of_a_newer_version_is_refused_and_left_as_it_is() {
    let dir = directory();
    filled(dir.path());
    query(dir.path(), "PRAGMA user_version = 7");
    let before = fs::read(dir.path().join("mho.db")).expect("readable");
    let Err(OpenError::Newer(text)) = SqliteJournal::open(args(dir.path())) else { panic!("it is refused") };
    assert!(
        text.contains("written by a newer mho (schema 7, this one knows 2)") && text.contains("--state-dir"),
        "{text}"
    );
    assert!(fs::read(dir.path().join("mho.db")).expect("readable") == before);
    assert_eq!(names(dir.path(), "mho.db"), ["mho.db"]);
}

#[test]
fn a_rehearsal_keeps_off_a_live_journal_and_a_live_daemon_starts_anew_after_a_rehearsal() {
    let dir = directory();
    filled(dir.path());
    let rehearsal = || OpenArgs { kind: Kind::Rehearsal, ..args(dir.path()) };
    let Err(OpenError::OfLiveDaemon(text)) = SqliteJournal::open(rehearsal()) else { panic!("it is refused") };
    assert!(text.contains("belongs to a live daemon") && text.contains("--state-dir"), "{text}");
    assert_eq!(open(dir.path()).past.scripts.len(), 1, "it is as before");

    fs::remove_file(dir.path().join("mho.db")).expect("removed");
    end(&SqliteJournal::open(rehearsal()).expect("a new one").journal, "2026-11-27T13:00:00Z");
    SqliteJournal::open(rehearsal()).expect("its own");
    let opened = SqliteJournal::open(args(dir.path())).expect("opened");
    let [Report::Warning(text)] = opened.reports.as_slice() else { panic!("{:?}", opened.reports) };
    assert!(text.contains("belongs to a rehearsal") && text.contains("mho.db.rehearsal-"), "{text}");
    assert_eq!(opened.past, Past::default());
}

#[test]
fn a_locked_file_is_written_as_soon_as_it_is_free() {
    let dir = directory();
    filled(dir.path());
    let other = rusqlite::Connection::open(dir.path().join("mho.db")).expect("opened");
    // For itself: nobody else may even read.
    other
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; UPDATE runs SET reason = 'x'; COMMIT")
        .expect("held");
    let opened = SqliteJournal::open(args(dir.path())).expect("the daemon starts from memory");
    let why = opened.unavailable.expect("it is locked").to_string();
    assert!(why.contains("is locked by another process") && opened.past == Past::default(), "{why}");
    let batch = || vec![run_record("demo", "2026-11-30", RunResult::Failed), Record::Attempt(alive("demo", 2001, 9))];
    assert!(wait(opened.journal.begin_life(life("2026-11-28T13:00:00Z", &["demo"]))).is_err());
    assert!(try_write(&opened.journal, batch(), Grade::PowerSafe).is_err());
    drop(other);
    try_write(&opened.journal, batch(), Grade::PowerSafe).expect("it is free");
    assert_eq!(query(dir.path(), "SELECT result FROM runs ORDER BY trading_date"), ["failed", "failed"]);
    assert_eq!(query(dir.path(), "SELECT count(*) FROM lives"), ["2"], "the life is entered with the first batch");

    // Held for writing only, between two batches of ours.
    let other = rusqlite::Connection::open(dir.path().join("mho.db")).expect("opened");
    other.execute_batch("BEGIN IMMEDIATE; UPDATE runs SET reason = 'half'").expect("held");
    let error = try_write(&opened.journal, vec![run_record("demo", "2026-12-01", RunResult::Failed)], Grade::CrashSafe);
    assert!(error.expect_err("it is held").to_string().contains("is locked"));
    other.execute_batch("ROLLBACK").expect("free");
    write(&opened.journal, vec![run_record("demo", "2026-12-01", RunResult::Failed)]);
    assert_eq!(query(dir.path(), "SELECT count(*) FROM runs"), ["3"]);
}

#[test]
fn what_stands_in_a_file_that_cannot_be_written_is_known_all_the_same() {
    type Hold = fn(&Path) -> Option<rusqlite::Connection>;
    let holds: [(&str, Hold); 2] = [
        ("is locked by another process", |dir| {
            let other = rusqlite::Connection::open(dir.join("mho.db")).expect("opened");
            other.execute_batch("BEGIN IMMEDIATE; UPDATE runs SET reason = 'half'").expect("held");
            Some(other)
        }),
        // Nothing can be written without the index of the log.
        ("give this user the right to write", |dir| {
            fs::create_dir(dir.join("mho.db-shm")).expect("made");
            None
        }),
    ];
    for (reason, hold) in holds {
        let dir = directory();
        let journal = open(dir.path()).journal;
        begin(&journal, "2026-11-27T13:00:00Z", &["demo"]);
        write(&journal, vec![Record::Attempt(alive("demo", 1, 100))]);
        write(&journal, vec![tried("demo", "2026-11-27", RunResult::FinishedEarly)]);
        end(&journal, "2026-11-27T21:00:00Z");
        let other = hold(dir.path());
        let opened = SqliteJournal::open(args(dir.path())).expect("it starts");
        let why = opened.unavailable.expect("it cannot be written").to_string();
        assert!(why.contains(reason) && opened.is_past_known, "{why}");
        let demo = &opened.past.scripts[&name("demo")];
        assert_eq!(demo.results, [(date("2026-11-27"), RunResult::FinishedEarly)], "{reason}");
        assert_eq!(demo.watched_until, Some(at("2026-11-27T21:00:00Z")), "{reason}");
        assert_eq!(opened.past.ledger.len(), 1, "{reason}");
        assert!(wait(opened.journal.begin_life(life("2026-11-28T13:00:00Z", &["demo"]))).is_err(), "{reason}");
        drop(other);
        let _ = fs::remove_dir(dir.path().join("mho.db-shm"));
        write(&opened.journal, vec![Record::Attempt(alive("demo", 2, 200))]);
        let attempts = query(dir.path(), "SELECT pid, result FROM attempts ORDER BY pid");
        assert_eq!(attempts, ["100|lost", "200|NULL"], "{reason}: what was swept is given up, once it can be");
        assert_eq!(query(dir.path(), "SELECT count(*) FROM lives"), ["2"], "{reason}");
    }
}

#[test]
fn without_a_directory_to_write_in_the_daemon_starts_and_writes_when_there_is_one() {
    let dir = directory();
    let state = dir.path().join("state");
    let (told, on_renewed) = hearing();
    let opened = SqliteJournal::open(OpenArgs { on_renewed, ..args(&state) }).expect("it starts");
    let why = opened.unavailable.expect("there is no directory").to_string();
    assert!(why.contains("mho.db") && why.contains("see that its directory is there"), "{why}");
    let batch = || vec![run_record("demo", "2026-11-27", RunResult::Failed)];
    assert!(try_write(&opened.journal, batch(), Grade::CrashSafe).is_err());
    fs::create_dir(&state).expect("made");
    try_write(&opened.journal, batch(), Grade::CrashSafe).expect("there is one");
    assert_eq!(query(&state, "SELECT result FROM runs"), ["failed"]);
    assert_eq!(told.lock().expect("not poisoned").len(), 1, "whoever knows more is asked for it");
}

#[test]
fn a_file_that_is_deleted_or_exchanged_in_use_is_followed_by_another_and_whoever_writes_hears_of_it() {
    let dir = directory();
    let (told, on_renewed) = hearing();
    let journal = SqliteJournal::open(OpenArgs { on_renewed, ..args(dir.path()) }).expect("opened").journal;
    begin(&journal, "2026-11-27T13:00:00Z", &["demo"]);
    write(&journal, vec![run_record("demo", "2026-11-26", RunResult::Failed)]);
    for name in names(dir.path(), "mho.db") {
        fs::remove_file(dir.path().join(name)).expect("removed");
    }
    write(&journal, vec![run_record("demo", "2026-11-27", RunResult::Failed)]);
    assert_eq!(query(dir.path(), "SELECT trading_date FROM runs"), ["2026-11-27"]);
    assert_eq!(query(dir.path(), "SELECT started_at FROM lives"), ["2026-11-27T13:00:00.000Z"], "this life is in it");
    assert!(told.lock().expect("not poisoned")[0].contains("was begun anew"));

    // A backup takes its place.
    let elsewhere = directory();
    filled(elsewhere.path());
    fs::rename(elsewhere.path().join("mho.db"), dir.path().join("mho.db")).expect("exchanged");
    write(&journal, vec![run_record("demo", "2026-11-30", RunResult::Failed)]);
    assert_eq!(query(dir.path(), "SELECT trading_date FROM runs ORDER BY 1"), ["2026-11-27", "2026-11-30"]);
    let told = told.lock().expect("not poisoned");
    assert!(told.len() == 2 && told[1].contains("is another file than before"), "{told:?}");
}

#[test]
fn a_live_process_stays_known_when_the_file_is_exchanged_for_a_copy_of_itself() {
    let dir = directory();
    let on_renewed = Box::new(|_: &str| ());
    let journal = SqliteJournal::open(OpenArgs { on_renewed, ..args(dir.path()) }).expect("opened").journal;
    begin(&journal, "2026-11-27T13:00:00Z", &["demo"]);
    write(&journal, vec![Record::Attempt(alive("demo", 1, 100))]);
    query(dir.path(), &format!("VACUUM INTO '{}'", dir.path().join("copy").display()));
    fs::rename(dir.path().join("copy"), dir.path().join("mho.db")).expect("exchanged");
    write(&journal, vec![Record::Attempt(alive("demo", 2, 200))]);
    drop(journal);
    let ledger = open(dir.path()).past.ledger;
    assert_eq!(ledger.iter().map(|entry| entry.process.pid).collect::<Vec<_>>(), [100, 200]);
}

#[test]
fn nothing_is_lost_with_the_log_and_a_file_that_was_emptied_in_use_is_set_aside() {
    let dir = directory();
    let (told, on_renewed) = hearing();
    let journal = SqliteJournal::open(OpenArgs { on_renewed, ..args(dir.path()) }).expect("opened").journal;
    begin(&journal, "2026-11-27T13:00:00Z", &["demo"]);
    let mut expected = Vec::new();
    for (day, gone) in [("2026-11-25", "mho.db-wal"), ("2026-11-26", "mho.db-shm")] {
        write(&journal, vec![run_record("demo", day, RunResult::Failed)]);
        fs::remove_file(dir.path().join(gone)).expect("removed");
        expected.push(day);
        write(&journal, vec![Record::Alive { at: at("2026-11-27T14:00:00Z") }]);
        assert_eq!(query(dir.path(), "SELECT trading_date FROM runs ORDER BY 1"), expected, "{gone}");
    }
    assert_eq!(*told.lock().expect("not poisoned"), Vec::<String>::new());
    fs::File::options().write(true).open(dir.path().join("mho.db")).and_then(|file| file.set_len(4096)).expect("cut");
    write(&journal, vec![run_record("demo", "2026-11-27", RunResult::Failed)]);
    assert_eq!(query(dir.path(), "SELECT trading_date FROM runs"), ["2026-11-27"]);
    assert!(told.lock().expect("not poisoned")[0].contains("is damaged"));
}

#[test]
fn another_attempt_under_the_same_number_takes_nothing_from_the_former() {
    let dir = directory();
    let journal = open(dir.path()).journal;
    write(&journal, [started("demo", 1), alive("demo", 1, 100), ended("demo", 1)].map(Record::Attempt).to_vec());
    let mut again = started("demo", 1);
    again.start = again.start.map(|start| AttemptStart { at: at("2026-11-27T15:00:00Z"), ..start });
    write(&journal, vec![Record::Attempt(again), Record::Attempt(alive("demo", 1, 200))]);
    assert_eq!(query(dir.path(), "SELECT pid, result, ended_at FROM attempts"), ["200|NULL|NULL"]);
}

#[test]
fn old_history_is_pruned_and_the_attempts_of_a_crash_loop_are_bounded() {
    let dir = directory();
    let journal = open(dir.path()).journal;
    begin(&journal, "2026-11-27T13:00:00Z", &["demo"]);
    write(&journal, (1..=1500).map(|n| Record::Attempt(ended("demo", n))).collect());
    let mut carried = alive("demo", 1, 100);
    carried.id.trading_date = date("2020-01-02");
    let mut gone = ended("demo", 2);
    gone.id.trading_date = date("2020-01-02");
    write(&journal, vec![Record::Attempt(carried), Record::Attempt(gone)]);
    let runs = ["2020-01-02", "2025-10-22", "2025-10-23", "2026-11-27"];
    write(&journal, runs.map(|day| run_record("demo", day, RunResult::Failed)).to_vec());
    // A clock that is years ahead at first: the last sign of life counts.
    write(&journal, vec![Record::Alive { at: at("2026-11-27T20:00:00Z") }]);
    write(&journal, vec![Record::Alive { at: at("2099-01-01T00:00:00Z") }]);
    // The answer comes before the housekeeping, the next answer after it.
    write(&journal, vec![Record::Alive { at: at("2026-11-27T20:02:00Z") }]);
    let days = |table| query(dir.path(), &format!("SELECT trading_date, count(*) FROM {table} GROUP BY 1 ORDER BY 1"));
    assert_eq!(days("runs"), ["2025-10-23|1", "2026-11-27|1"]);
    assert_eq!(days("attempts"), ["2020-01-02|1", "2026-11-27|1000"]);
}

#[test]
fn what_a_clock_that_was_ahead_missed_hides_no_result() {
    let dir = directory();
    let journal = open(dir.path()).journal;
    begin(&journal, "2027-02-10T13:00:00Z", &["demo"]);
    let ahead = (1..=28).flat_map(|day| [format!("2027-01-{day:02}"), format!("2027-02-{day:02}")]);
    write(&journal, ahead.map(|day| run_record("demo", &day, RunResult::Missed)).collect());
    let known = [
        run_record("demo", "2026-11-25", RunResult::Missed),
        tried("demo", "2026-11-27", RunResult::FinishedEarly),
        // In the zone of its exchange it is tomorrow.
        run_record("demo", "2026-11-28", RunResult::Skipped),
        // It ran; whatever the date was.
        tried("demo", "2027-03-01", RunResult::Failed),
    ];
    write(&journal, known.to_vec());
    drop(journal);
    let opened = SqliteJournal::open(OpenArgs { now: at("2026-11-27T18:00:00Z"), ..args(dir.path()) }).expect("opened");
    let expected = [
        ("2026-11-25", RunResult::Missed),
        ("2026-11-27", RunResult::FinishedEarly),
        ("2026-11-28", RunResult::Skipped),
        ("2027-03-01", RunResult::Failed),
    ];
    assert_eq!(opened.past.scripts[&name("demo")].results, expected.map(|(day, result)| (date(day), result)));
}

#[test]
fn a_result_that_nobody_saw_takes_nothing_from_a_run_that_was_seen() {
    let dir = directory();
    let journal = open(dir.path()).journal;
    write(&journal, vec![tried("demo", "2026-11-24", RunResult::FinishedEarly)]);
    write(&journal, vec![run_record("demo", "2026-11-25", RunResult::Missed)]);
    write(&journal, vec![tried("demo", "2026-11-26", RunResult::Running)]);
    write(&journal, vec![tried("demo", "2026-11-27", RunResult::Failed)]);
    for result in [RunResult::Missed, RunResult::FinishedEarly] {
        let days = ["2026-11-24", "2026-11-25", "2026-11-26"];
        write(&journal, days.map(|day| run_record("demo", day, result)).to_vec());
    }
    write(&journal, vec![tried("demo", "2026-11-27", RunResult::Succeeded)]);
    assert_eq!(
        query(dir.path(), "SELECT result, attempts FROM runs ORDER BY trading_date"),
        ["finished_early|1", "finished_early|0", "finished_early|0", "succeeded|1"]
    );
    write(&journal, vec![tried("demo", "2026-11-26", RunResult::Running)]);
    assert_eq!(query(dir.path(), "SELECT result FROM runs WHERE trading_date = '2026-11-26'"), ["running"]);
}

#[test]
fn a_life_with_a_wrong_clock_hides_no_time_that_nobody_watched() {
    let dir = directory();
    let live = |started_at: &str, alive_at: &str| {
        let journal = open(dir.path()).journal;
        begin(&journal, started_at, &["demo"]);
        write(&journal, vec![Record::Alive { at: at(alive_at) }]);
        end(&journal, alive_at);
    };
    let past = |now: &str| SqliteJournal::open(OpenArgs { now: at(now), ..args(dir.path()) }).expect("opened").past;
    live("2026-11-27T13:00:00Z", "2026-11-27T14:00:00Z");
    live("2020-01-01T00:00:00Z", "2020-01-01T00:01:00Z");
    live("2040-01-01T00:00:00Z", "2040-01-01T00:01:00Z");
    let found = past("2026-11-30T13:00:00Z");
    // Which of the clocks was right is not known: rather too early than too late.
    assert_eq!(found.scripts[&name("demo")].watched_until, Some(at("2026-11-27T13:00:00Z")));
    assert_eq!(past("2019-01-01T00:00:00Z").scripts[&name("demo")].watched_until, None);
}

#[test]
fn a_life_that_dies_before_it_gave_a_sign_leaves_the_time_before_it_unwatched() {
    let dir = directory();
    let journal = open(dir.path()).journal;
    begin(&journal, "2026-11-24T13:00:00Z", &["demo"]);
    end(&journal, "2026-11-24T21:00:00Z");
    let journal = open(dir.path()).journal;
    begin(&journal, "2026-11-27T18:00:00Z", &["demo"]);
    drop(journal);
    let opened = open(dir.path());
    assert_eq!(opened.past.scripts[&name("demo")].watched_until, Some(at("2026-11-24T21:00:00Z")));
    begin(&opened.journal, "2026-11-27T18:01:00Z", &["demo"]);
    write(&opened.journal, vec![Record::Alive { at: at("2026-11-27T18:02:00Z") }]);
    drop(opened);
    assert_eq!(open(dir.path()).past.scripts[&name("demo")].watched_until, Some(at("2026-11-27T18:02:00Z")));
}

#[test]
fn a_script_that_is_new_was_not_missed_before_and_one_that_was_left_out_is_not_forgotten() {
    let dir = directory();
    let watched_until = || {
        let scripts = open(dir.path()).past.scripts;
        scripts.into_iter().map(|(name, past)| (name.to_string(), past.watched_until)).collect::<Vec<_>>()
    };
    let live = |life: Life, sign: Option<&str>| {
        let journal = open(dir.path()).journal;
        wait(journal.begin_life(life)).expect("entered");
        if let Some(sign) = sign {
            end(&journal, sign);
        }
    };
    live(life("2026-11-23T13:00:00Z", &["gone", "left", "stays"]), Some("2026-11-23T21:00:00Z"));
    let left_out = vec![name("left"), name("never")];
    live(Life { left_out, ..life("2026-11-26T13:00:00Z", &["new", "stays"]) }, None);
    let before = Some(at("2026-11-23T21:00:00Z"));
    let begun = Some(at("2026-11-26T13:00:00Z"));
    let expected = |new, stays| [("left".to_owned(), before), ("new".to_owned(), new), ("stays".to_owned(), stays)];
    assert_eq!(watched_until(), expected(begun, before), "it died before it gave a sign");
    let left_out = vec![name("left")];
    live(Life { left_out, ..life("2026-11-26T13:01:00Z", &["new", "stays"]) }, Some("2026-11-26T21:00:00Z"));
    let ended = Some(at("2026-11-26T21:00:00Z"));
    assert_eq!(watched_until(), expected(ended, ended));
}

#[test]
fn every_result_is_known_since_a_script_was_watched_last() {
    let dir = directory();
    let journal = open(dir.path()).journal;
    begin(&journal, "2026-06-01T13:00:00Z", &["demo", "other"]);
    write(&journal, vec![Record::Alive { at: at("2026-08-10T13:00:00Z") }]);
    let days = || (1..=3).flat_map(|month| (1..=28).map(move |day| format!("2026-{:02}-{day:02}", month + 7)));
    for script in ["demo", "other"] {
        write(&journal, days().map(|day| run_record(script, &day, RunResult::Missed)).collect());
    }
    drop(journal);
    let past = open(dir.path()).past;
    let results = &past.scripts[&name("demo")].results;
    assert_eq!(results.first(), Some(&(date("2026-08-02"), RunResult::Missed)), "a window may reach over a week");
    assert_eq!(results.len(), 3 * 28 - 1);
    assert_eq!(results, &past.scripts[&name("other")].results);
}

#[test]
fn a_daemon_that_could_not_read_the_past_leaves_it_to_the_next_one() {
    let dir = directory();
    filled(dir.path());
    let holder = rusqlite::Connection::open(dir.path().join("mho.db")).expect("opened");
    let hold = "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; INSERT INTO meta VALUES ('held', '1')";
    holder.execute_batch(hold).expect("held");
    let opened = SqliteJournal::open(args(dir.path())).expect("opened");
    assert!(!opened.is_past_known && opened.unavailable.is_some());
    drop(holder);
    begin(&opened.journal, "2026-11-28T13:00:00Z", &["demo"]);
    write(&opened.journal, vec![Record::Alive { at: at("2026-11-28T14:00:00Z") }]);
    write(&opened.journal, vec![tried("demo", "2026-11-28", RunResult::Failed)]);
    end(&opened.journal, "2026-11-28T15:00:00Z");
    let past =
        SqliteJournal::open(OpenArgs { now: at("2026-11-30T13:00:00Z"), ..args(dir.path()) }).expect("opened").past;
    let demo = &past.scripts[&name("demo")];
    assert!(demo.watched_until < Some(at("2026-11-28T13:00:00Z")), "{:?}", demo.watched_until);
    assert_eq!(demo.results.last(), Some(&(date("2026-11-28"), RunResult::Failed)));
}

#[test]
fn a_log_without_its_file_is_set_aside_and_not_deleted() {
    type Loss = fn(&Path) -> std::io::Result<()>;
    let losses: [(&str, Loss); 2] =
        [("removed", |path| fs::remove_file(path)), ("emptied", |path| fs::File::create(path).map(drop))];
    for (what, lose) in losses {
        let dir = directory();
        let journal = open(dir.path()).journal;
        begin(&journal, "2026-11-27T13:00:00Z", &["demo"]);
        write(&journal, vec![tried("demo", "2026-11-27", RunResult::FinishedEarly)]);
        let log = fs::read(dir.path().join("mho.db-wal")).expect("readable");
        // As it is when the daemon is killed: nobody closes the file.
        std::mem::forget(journal);
        lose(&dir.path().join("mho.db")).expect(what);
        let text = mho::adapters::journal::history::read(dir.path()).expect_err(what).to_string();
        assert!(text.contains("is gone or empty"), "{text}");
        let opened = SqliteJournal::open(args(dir.path())).expect("opened");
        assert_eq!((opened.past, opened.unavailable), (Past::default(), None), "{what}");
        let [Report::Error(text)] = opened.reports.as_slice() else { panic!("{:?}", opened.reports) };
        let kept = names(dir.path(), "mho.db.damaged-").into_iter().find(|name| name.ends_with("-wal")).expect(what);
        assert!(text.contains("is gone or empty, but not its log") && text.contains(&kept[..20]), "{text}");
        assert_eq!(fs::read(dir.path().join(kept)).expect("readable"), log, "{what}");
    }
}

#[test]
fn what_was_known_at_the_start_of_a_life_and_at_its_last_quiet_moment_survives_the_loss_of_the_log() {
    let dir = directory();
    let journal = open(dir.path()).journal;
    write(&journal, vec![tried("demo", "2026-11-26", RunResult::FinishedEarly)]);
    begin(&journal, "2026-11-27T13:00:00Z", &["demo"]);
    write(&journal, vec![tried("demo", "2026-11-27", RunResult::FinishedEarly)]);
    write(&journal, vec![Record::Alive { at: at("2026-11-27T14:00:00Z") }]);
    // Answered after the housekeeping of the one before.
    write(&journal, vec![tried("other", "2026-11-27", RunResult::FinishedEarly)]);
    let alone = directory();
    fs::copy(dir.path().join("mho.db"), alone.path().join("mho.db")).expect("copied");
    let days = "SELECT script, trading_date FROM runs ORDER BY 1, 2";
    assert_eq!(query(alone.path(), days), ["demo|2026-11-26", "demo|2026-11-27"]);
}

#[test]
fn a_run_that_only_a_clock_that_was_ahead_saw_end_is_not_over() {
    let dir = directory();
    let journal = open(dir.path()).journal;
    let interrupted = |day: &str, ended_at: &str, unfinished| {
        let ended_at = Some(at(ended_at));
        Record::Run(Box::new(RunRecord {
            ended_at,
            unfinished,
            attempts: 1,
            ..run("demo", day, RunResult::Interrupted)
        }))
    };
    write(
        &journal,
        vec![
            interrupted("2026-11-25", "2026-11-26T13:00:00Z", Some(unfinished("2026-11-25"))),
            interrupted("2026-11-26", "2026-11-29T13:00:00Z", None),
            interrupted("2026-11-27", "2026-11-29T13:00:00Z", Some(unfinished("2026-11-27"))),
        ],
    );
    end(&journal, "2026-11-29T13:00:01Z");
    let past = |now: &str| SqliteJournal::open(OpenArgs { now: at(now), ..args(dir.path()) }).expect("opened").past;
    let over = |days: &[&str]| days.iter().map(|day| (date(day), RunResult::Interrupted)).collect::<Vec<_>>();
    let ahead = &past("2026-11-29T14:00:00Z").scripts[&name("demo")];
    assert_eq!((&ahead.results, &ahead.unfinished), (&over(&["2026-11-25", "2026-11-26", "2026-11-27"]), &None));
    let right = &past("2026-11-27T15:00:00Z").scripts[&name("demo")];
    assert_eq!(
        (&right.results, &right.unfinished),
        (&over(&["2026-11-25", "2026-11-26"]), &Some(unfinished("2026-11-27")))
    );
}

#[test]
fn an_attempt_whose_end_nobody_saw_is_lost() {
    let dir = directory();
    let journal = open(dir.path()).journal;
    let cut = |script: &str| {
        let unfinished = Some(unfinished("2026-11-27"));
        Record::Run(Box::new(RunRecord { attempts: 1, unfinished, ..run(script, "2026-11-27", RunResult::Running) }))
    };
    write(&journal, vec![cut("demo"), cut("other"), Record::Attempt(alive("demo", 1, 100))]);
    end(&journal, "2026-11-27T15:00:00Z");
    let mut past = open(dir.path()).past;
    let ended = past.give_up(|_| false, at("2026-11-28T13:00:00Z"));
    let last = |script: &str| ended.iter().find(|run| run.script == name(script)).expect("over").last_exit;
    assert_eq!(last("demo").map(|end| (end.exit, end.result)), Some((None, AttemptResult::Lost)));
    assert_eq!(last("other"), None, "it was between two attempts");
    assert!(past.abandoned.is_empty());
    assert_eq!(past.scripts[&name("demo")].results, [(date("2026-11-27"), RunResult::Interrupted)]);
}

#[test]
fn earlier_runs_that_are_not_over_are_known_too() {
    let dir = directory();
    let journal = open(dir.path()).journal;
    let cut = |script: &str, day: &str| {
        let mut run = run(script, day, RunResult::Running);
        run.unfinished = Some(unfinished(day));
        Record::Run(Box::new(run))
    };
    let days = ["2026-11-27", "2026-11-24", "2026-11-25"];
    write(&journal, days.map(|day| cut("demo", day)).to_vec());
    write(&journal, vec![cut("other", "2026-11-26"), tried("demo", "2026-11-26", RunResult::Failed)]);
    end(&journal, "2026-11-27T21:00:00Z");
    let past = open(dir.path()).past;
    let demo = &past.scripts[&name("demo")];
    assert_eq!(demo.unfinished, Some(unfinished("2026-11-27")));
    assert_eq!(demo.stale, ["2026-11-24", "2026-11-25"].map(unfinished));
    let other = &past.scripts[&name("other")];
    assert_eq!((&other.unfinished, &other.stale), (&Some(unfinished("2026-11-26")), &Vec::new()));

    // The latest cannot be read: that makes no earlier one the latest.
    query(dir.path(), "UPDATE runs SET unfinished = '{}' WHERE trading_date = '2026-11-27'");
    let past = SqliteJournal::open(args(dir.path())).expect("opened").past;
    let demo = &past.scripts[&name("demo")];
    assert_eq!((&demo.unfinished, demo.stale.len()), (&None, 2));
}

#[test]
fn a_process_that_nothing_could_end_stays_in_the_ledger() {
    let dir = directory();
    let opened = open(dir.path());
    write(&opened.journal, (1..=3).map(|n| Record::Attempt(alive("demo", n, 100 * n))).collect());
    query(dir.path(), "UPDATE attempts SET boot_id = 'another' WHERE number = 3");
    drop(opened);
    let journal = open(dir.path()).journal;
    let survivors = [200, 300].map(|pid| ProcessId { pid, born: 4711 }).to_vec();
    let survivors = [survivors, vec![ProcessId { pid: 100, born: 1 }]].concat();
    wait(journal.begin_life(Life { survivors, ..life("2026-11-28T13:00:00Z", &["demo"]) })).expect("entered");
    drop(journal);
    assert_eq!(query(dir.path(), "SELECT result FROM attempts ORDER BY number"), ["lost", "NULL", "lost"]);
    let ledger = open(dir.path()).past.ledger;
    assert_eq!(ledger.iter().map(|entry| entry.process.pid).collect::<Vec<_>>(), [200]);
}

#[test]
fn nothing_is_written_after_the_end_of_a_life() {
    let dir = directory();
    let journal = open(dir.path()).journal;
    end(&journal, "2026-11-27T21:00:00Z");
    let error = try_write(&journal, vec![run_record("demo", "2026-11-27", RunResult::Failed)], Grade::CrashSafe);
    assert!(error.expect_err("closed").to_string().contains("is closed"));
}
