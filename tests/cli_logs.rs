//! `mho logs`: the last lines, and those that come, however the files are moved about.

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::World;

/// One script whose program does not exist.
const DEMO: &str = "[[script]]\nname = \"demo\"\ncommand = [\"./nosuch\"]\n";

fn with_logs() -> World {
    let world = World::new(DEMO);
    let lines = |from, to| (from..=to).map(|n| format!("line {n}\n")).collect::<String>();
    world.write("logs/demo/2026-11-25.log", "older\n");
    world.write("logs/demo/2026-11-27.log.2", &lines(1, 3));
    world.write("logs/demo/2026-11-27.log.1", &lines(4, 6));
    world.write("logs/demo/2026-11-27.log", &lines(7, 9));
    world
}

#[test]
fn logs_shows_the_last_lines_across_rotated_parts_of_the_latest_or_a_given_date() {
    let world = with_logs();
    let logs = |args: &[&str]| world.cli(&[&["logs", "--config", "mho.toml", "demo"], args].concat());
    assert_eq!(logs(&["-n", "4"]).out, "line 6\nline 7\nline 8\nline 9\n");
    assert_eq!(logs(&[]).out.lines().count(), 9);
    assert_eq!(logs(&["-n", "0"]).out, "");
    assert_eq!(logs(&["--date", "2026-11-25"]).out, "older\n");
    let none = logs(&["--date", "2026-11-26"]);
    assert!(none.code == 1 && none.out.is_empty() && none.err.contains("2026-11-26"), "{none:?}");
    std::fs::rename(world.path("logs"), world.path("elsewhere")).expect("moved");
    let none = logs(&[]);
    assert!(none.code == 1 && none.err.contains("--log-dir"), "{none:?}");
    assert_eq!(logs(&["--log-dir", "elsewhere", "--date", "2026-11-25"]).out, "older\n");
}

/// `mho logs demo -f` at work.
struct Follower {
    child: Child,
    lines: Receiver<String>,
    live: PathBuf,
}

impl Follower {
    fn start(world: &World, args: &[&str]) -> Self {
        let mut command = world.mho(&[&["logs", "--config", "mho.toml", "demo", "-f"], args].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
        let reader = BufReader::new(child.stdout.take().expect("piped"));
        let (send, lines) = channel();
        std::thread::spawn(move || reader.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, lines, live: world.path("logs/demo/2026-11-27.log") }
    }

    fn next(&self) -> String {
        self.lines.recv_timeout(common::DEADLINE).expect("a line in time")
    }

    fn expect(&self, lines: &[&str]) {
        let got: Vec<_> = lines.iter().map(|_| self.next()).collect();
        assert_eq!(got, lines);
    }

    fn append(&self, text: &str) {
        let mut file = File::options().append(true).create(true).open(&self.live).expect("opened");
        file.write_all(text.as_bytes()).expect("written");
    }

    fn part(&self, number: u32) -> PathBuf {
        self.live.with_extension(format!("log.{number}"))
    }

    /// As the daemon does: the oldest part moves first.
    fn rotate(&self) {
        let parts = (1..).take_while(|number| self.part(*number).exists()).last().unwrap_or(0);
        for number in (1..=parts).rev() {
            fs::rename(self.part(number), self.part(number + 1)).expect("renamed");
        }
        fs::rename(&self.live, self.part(1)).expect("renamed");
    }

    /// Between two of its glances: nothing is seen of what happens in `act` until that is over.
    fn while_it_sleeps(&self, act: impl FnOnce()) {
        let tell = |signal| common::send(self.child.id(), signal);
        tell(nix::sys::signal::Signal::SIGSTOP);
        act();
        tell(nix::sys::signal::Signal::SIGCONT);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn logs_follows_across_rotation_and_into_the_next_date() {
    let world = with_logs();
    let follower = Follower::start(&world, &["-n", "1"]);
    follower.expect(&["line 9"]);
    follower.append("line 10\n");
    follower.expect(&["line 10"]);
    follower.append("line 11\n");
    follower.rotate();
    follower.append("line 12\n");
    follower.expect(&["line 11", "line 12"]);
    world.write("logs/demo/2026-11-30.log", "next day\n");
    follower.expect(&["next day"]);
}

#[test]
fn logs_loses_no_line_to_several_rotations_between_two_glances() {
    let world = with_logs();
    let follower = Follower::start(&world, &["-n", "1"]);
    follower.expect(&["line 9"]);
    follower.while_it_sleeps(|| {
        for number in 10..14 {
            follower.append(&format!("line {number}\n"));
            follower.rotate();
        }
        follower.append("line 14\n");
        world.write("logs/demo/2026-11-30.log.1", "next day\n");
        world.write("logs/demo/2026-11-30.log", "its second part\n");
        world.write("logs/demo/2026-12-01.log", "the day after\n");
    });
    let expected = ["line 10", "line 11", "line 12", "line 13", "line 14", "next day", "its second part"];
    follower.expect(&expected);
    follower.expect(&["the day after"]);
}

#[test]
fn logs_loses_no_line_while_parts_and_dates_come_and_move_all_the_time() {
    const DATES: [&str; 5] = ["2026-11-27", "2026-11-30", "2026-12-01", "2026-12-02", "2026-12-03"];
    const PARTS: u32 = 60;
    let world = with_logs();
    let mut follower = Follower::start(&world, &["-n", "1"]);
    follower.expect(&["line 9"]);
    for date in DATES {
        follower.live = world.path(&format!("logs/demo/{date}.log"));
        for number in 1..=PARTS {
            follower.append(&format!("{date} {number}\n"));
            if number < PARTS {
                follower.rotate();
            }
        }
    }
    let next = || -> Vec<String> { (1..=PARTS).map(|_| follower.next()).collect() };
    for date in DATES {
        assert_eq!(next(), (1..=PARTS).map(|number| format!("{date} {number}")).collect::<Vec<_>>());
    }
}

#[test]
fn logs_repeats_nothing_when_the_file_is_removed_or_emptied() {
    let world = with_logs();
    for number in [1, 2] {
        let part = File::options().append(true).open(world.path(&format!("logs/demo/2026-11-27.log.{number}")));
        let past = std::time::SystemTime::now() - Duration::from_secs(60);
        part.and_then(|file| file.set_modified(past)).expect("set");
    }
    let follower = Follower::start(&world, &["-n", "1"]);
    follower.expect(&["line 9"]);
    follower.while_it_sleeps(|| {
        fs::remove_file(&follower.live).expect("removed");
        follower.append("line 10\n");
    });
    follower.expect(&["line 10"]);
    follower.while_it_sleeps(|| {
        File::create(&follower.live).expect("emptied");
        follower.append("l 11\n");
    });
    follower.expect(&["l 11"]);
}

#[test]
fn logs_waits_for_the_first_line() {
    for args in [&[][..], &["--date", "2026-11-27"]] {
        let world = World::new(DEMO);
        let mut follower = Follower::start(&world, args);
        std::thread::sleep(Duration::from_millis(300));
        assert!(follower.child.try_wait().expect("ours").is_none(), "it waits");
        world.write("logs/demo/2026-11-27.log.1", "first\n");
        world.write("logs/demo/2026-11-27.log", "second\n");
        follower.expect(&["first", "second"]);
    }
}

#[test]
fn logs_names_what_it_cannot_read() {
    let world = World::new(DEMO);
    world.write("logs/demo/2026-11-27.log/in-the-way", "");
    let done = world.cli(&["logs", "--config", "mho.toml", "demo"]);
    let path = world.path("logs/demo/2026-11-27.log");
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains(&format!("cannot read {}: Is a directory", path.display())), "{done:?}");
}
