//! What a script prints is in its file, byte for byte.

mod processes_support;

use std::path::PathBuf;
use std::sync::Arc;

use mho::adapters::output::{OutputThread, Source};
use mho::domain::notice::What;
use mho::domain::script::{OutputSpec, ScriptSpec};
use mho::domain::secret::Hidden;
use mho::ports::{AttemptId, Launcher};
use processes_support::{World, attempt, date, eventually, read};

/// Starts a shell script with another output section.
fn shell(world: &World, name: &str, text: &str, change: impl FnOnce(&mut OutputSpec)) -> AttemptId {
    let mut order = world.order(name, world.launch("/bin/sh", &["-c", text]));
    change(Arc::get_mut(&mut order.output).expect("not shared"));
    world.start(order).expect("started");
    attempt(name)
}

fn parts(world: &World, name: &str) -> Vec<PathBuf> {
    let dir = world.path("logs").join(name);
    let mut found: Vec<_> = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

#[tokio::test]
async fn twenty_thousand_lines_and_a_last_one_without_a_newline_arrive_unchanged() {
    let mut world = World::new();
    let text = r#"awk 'BEGIN { for (i = 0; i < 20000; i++) printf "%099d\n", i }'; printf 'the end'"#;
    shell(&world, "lines", text, |_| {});
    world.exited().await;
    let mut expected: Vec<u8> = (0..20_000).flat_map(|i| format!("{i:099}\n").into_bytes()).collect();
    expected.extend(b"the end");
    let log = world.log("lines");
    eventually("the file is complete", || read(&log).len() >= expected.len()).await;
    assert!(read(&log) == expected);
}

#[tokio::test]
async fn a_hundred_megabytes_without_a_newline_arrive_unchanged() {
    let mut world = World::new();
    shell(&world, "blob", "head -c 100000000 /dev/zero | tr '\\0' x", |spec| spec.max_size = 1 << 40);
    world.exited().await;
    let log = world.log("blob");
    eventually("the file is complete", || std::fs::metadata(&log).is_ok_and(|found| found.len() >= 100_000_000)).await;
    let written = read(&log);
    assert!(written.len() == 100_000_000 && written.iter().all(|byte| *byte == b'x'));
}

#[tokio::test]
async fn a_full_file_is_rotated_at_a_newline_and_the_newest_part_is_number_one() {
    let mut world = World::new();
    let text = r#"awk 'BEGIN { for (i = 0; i < 1000; i++) printf "%099d\n", i }'"#;
    shell(&world, "turns", text, |spec| (spec.max_size, spec.max_files) = (10_050, 3));
    world.exited().await;
    // 101 lines are the first whole number beyond the limit.
    let lines = |from: usize, to: usize| (from..to).flat_map(|i| format!("{i:099}\n").into_bytes()).collect::<Vec<_>>();
    let log = world.log("turns");
    eventually("the file is complete", || read(&log).ends_with(&lines(999, 1000))).await;
    let part = |number: usize| read(&log.with_extension(format!("log.{number}")));
    assert!(read(&log) == lines(909, 1000));
    assert!(part(1) == lines(808, 909) && part(2) == lines(707, 808) && part(3) == lines(606, 707));
    assert_eq!(parts(&world, "turns").len(), 4, "no more than three parts");
}

#[tokio::test]
async fn a_line_that_never_ends_is_cut_64_kib_past_the_limit() {
    let mut world = World::new();
    shell(&world, "endless", "head -c 200000 /dev/zero | tr '\\0' x", |spec| spec.max_size = 100_000);
    world.exited().await;
    let log = world.log("endless");
    let sizes = || parts(&world, "endless").iter().map(|path| read(path).len()).collect::<Vec<_>>();
    eventually("the file is complete", || sizes().iter().sum::<usize>() == 200_000).await;
    assert_eq!((read(&log).len(), read(&log.with_extension("log.1")).len()), (200_000 - 165_536, 165_536));
}

#[tokio::test]
async fn the_old_parts_go_when_all_files_together_are_too_large() {
    let mut world = World::new();
    let text = r#"awk 'BEGIN { for (i = 0; i < 1000; i++) printf "%099d\n", i }'"#;
    shell(&world, "sum", text, |spec| (spec.max_size, spec.max_total) = (10_000, 35_000));
    world.exited().await;
    let log = world.log("sum");
    eventually("the file is complete", || read(&log).ends_with(b"999\n")).await;
    let total: usize = parts(&world, "sum").iter().map(|path| read(path).len()).sum();
    assert!(total <= 45_000, "{total}");
}

#[tokio::test]
async fn old_files_of_other_dates_are_removed_and_nothing_else() {
    let mut world = World::new();
    let dir = world.log("ages").with_file_name("");
    std::fs::create_dir_all(&dir).expect("made");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(31 * 86_400);
    for (name, age) in [("2026-10-01.log", old), ("2026-10-01.log.2", old), ("notes.log", old)] {
        let file = std::fs::File::create(dir.join(name)).expect("made");
        file.set_modified(age).expect("set");
    }
    std::fs::write(dir.join("2026-11-25.log"), "recent\n").expect("written");
    shell(&world, "ages", "echo today", |_| {});
    world.exited().await;
    let left =
        || parts(&world, "ages").iter().map(|path| path.file_name().expect("a name").to_owned()).collect::<Vec<_>>();
    eventually("the old files are gone", || left() == ["2026-11-25.log", "2026-11-27.log", "notes.log"]).await;
}

#[tokio::test]
async fn a_deleted_file_and_a_deleted_directory_come_back() {
    let mut world = World::new();
    let text = "echo one; while [ ! -e go ]; do sleep 0.01; done; echo two; while [ ! -e on ]; do sleep 0.01; done; echo three";
    shell(&world, "deleted", text, |_| {});
    let log = world.log("deleted");
    eventually("the first line", || read(&log) == b"one\n").await;
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    std::fs::remove_file(&log).expect("removed");
    std::fs::write(world.path("go"), "").expect("written");
    eventually("the second line", || read(&log) == b"two\n").await;
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    std::fs::remove_dir_all(world.path("logs")).expect("removed");
    std::fs::write(world.path("on"), "").expect("written");
    world.exited().await;
    eventually("the third line", || read(&log) == b"three\n").await;
}

#[tokio::test]
async fn a_full_disk_stops_the_file_and_not_the_script() {
    let mut world = World::new();
    let log = world.log("full");
    std::fs::create_dir_all(log.parent().expect("a directory")).expect("made");
    std::os::unix::fs::symlink("/dev/full", &log).expect("linked");
    // Far more than a pipe holds: the script could not go on if nobody read.
    let text =
        "head -c 5000000 /dev/zero; : >half; while [ ! -e go ]; do sleep 0.01; done; sleep 1.1; echo again; sleep 300";
    let id = shell(&world, "full", text, |_| {});
    eventually("the script went on", || world.path("half").exists()).await;
    std::fs::remove_file(&log).expect("removed");
    std::fs::write(world.path("go"), "").expect("written");
    eventually("the file is written again", || read(&log).ends_with(b"again\n")).await;
    let text = String::from_utf8(read(&log)).expect("text");
    assert!(text.starts_with("[mho: 5000000 bytes of output were lost here: No space left"), "{text}");
    world.launcher.kill(&id);
    world.exited().await;
}

#[tokio::test]
async fn a_new_attempt_goes_on_in_the_same_file_and_a_carried_one_in_the_next_dates() {
    let mut world = World::new();
    shell(&world, "again", "echo first", |_| {});
    world.exited().await;
    let mut order = world.order(
        "again",
        world.launch("/bin/sh", &["-c", "echo second; while [ ! -e go ]; do sleep 0.01; done; echo third"]),
    );
    order.attempt.number = 2;
    let id = order.attempt.clone();
    world.start(order).expect("started");
    let log = world.log("again");
    eventually("both attempts", || read(&log) == b"first\nsecond\n").await;
    world.launcher.carry_output(&id, date().succ_opt().expect("a date"));
    std::fs::write(world.path("go"), "").expect("written");
    world.exited().await;
    let next = log.with_file_name("2026-11-28.log");
    eventually("the next date's file", || read(&next) == b"third\n").await;
    assert_eq!(read(&log), b"first\nsecond\n");
}

#[tokio::test]
async fn the_last_twenty_lines_can_be_had_after_the_end() {
    let mut world = World::new();
    let id = shell(&world, "crash", "i=0; while [ $i -lt 50 ]; do echo line $i; i=$((i+1)); done; exit 1", |_| {});
    world.exited().await;
    world.launcher.report_tail(&id);
    eventually("the report", || !world.heard.0.lock().expect("unpoisoned").is_empty()).await;
    let expected: Vec<_> = (30..50).map(|i| format!("line {i}")).collect();
    let heard = world.heard.0.lock().expect("unpoisoned");
    assert_eq!(heard[0].what, What::LastLines { lines: expected });
    assert_eq!(heard[0].about.as_ref().map(|about| about.script.as_str()), Some("crash"));
}

#[test]
fn what_is_still_in_a_pipe_is_written_before_the_thread_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let spec = OutputSpec { dir: dir.path().to_owned(), ..ScriptSpec::with_defaults("late", "/bin/true").output };
    let (ours, theirs) = rustix::pipe::pipe().expect("a pipe");
    rustix::fs::fcntl_setfl(&ours, rustix::fs::OFlags::NONBLOCK).expect("set");
    let thread = OutputThread::start().expect("a thread");
    rustix::io::write(&theirs, b"last words").expect("written");
    let signs = Arc::new(mho::adapters::process::SignBook::new());
    thread.open(Source {
        attempt: attempt("late"),
        pipe: ours,
        spec: Arc::new(spec),
        signs,
        line: None,
        hidden: Hidden::default(),
    });
    // The far end is still open: somebody else holds it.
    drop(thread);
    assert_eq!(read(&dir.path().join("2026-11-27.log")), b"last words");
}
