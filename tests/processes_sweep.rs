//! What an earlier daemon left running is stopped before anything starts; nobody else is touched.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mho::adapters::process::{Leftover, Swept, still_alive, sweep};
use mho::adapters::procfs::{self, Proc, Snapshot};
use mho::domain::record::LedgerEntry;
use mho::domain::script::ScriptName;
use mho::ports::{AttemptId, ProcessId};

const DEADLINE: Duration = Duration::from_secs(60);

/// Long enough for whatever heeds SIGTERM, however slow the machine.
const LONG: Duration = Duration::from_secs(30);

/// An earlier daemon's identity, and the certainty that nothing of the test survives it: all its processes have the directory in their
/// command line.
struct World {
    id: String,
    dir: tempfile::TempDir,
    children: Vec<Child>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("mho-sweep-").tempdir().expect("a directory");
        Self { id: format!("{:032x}", fastrand::u128(..)), dir, children: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `text` run by a shell in a group of its own, as a script that an earlier daemon started. `$0` is the directory, and everything that is
    /// to be found again has it among its arguments.
    fn script(&mut self, text: &str) -> ProcessId {
        let id = self.id.clone();
        self.start(text, |command| {
            command.env("MHO_DAEMON_ID", id).env("MHO_SCRIPT", "alpha");
        })
    }

    /// The same without any environment.
    fn bare(&mut self, text: &str) -> ProcessId {
        self.start(text, |command| {
            command.env_clear().env("PATH", "/usr/bin:/bin:/usr/local/bin");
        })
    }

    fn start(&mut self, text: &str, prepare: impl FnOnce(&mut Command)) -> ProcessId {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", text]).arg(self.dir.path()).current_dir(self.dir.path()).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        prepare(&mut command);
        let child = command.spawn().expect("started");
        let pid = child.id();
        self.children.push(child);
        let born = procfs::read(pid).expect("/proc").expect("not reaped").start;
        ProcessId { pid, born }
    }

    /// Takes the exit status of a leader that ends by itself, so that its number is free.
    fn reap(&mut self, leader: ProcessId) {
        let child = self.children.iter_mut().find(|child| child.id() == leader.pid).expect("ours");
        child.wait().expect("it ends");
    }

    /// The process that wrote its number into `name`.
    fn process(&self, name: &str) -> ProcessId {
        let read = || {
            let text = std::fs::read_to_string(self.path(name)).ok()?;
            let pid = text.strip_suffix('\n')?.trim().parse().ok()?;
            Some(ProcessId { pid, born: procfs::read(pid).expect("/proc")?.start })
        };
        eventually(name, || read().is_some());
        read().expect("it is there")
    }

    fn sweep(&self, ledger: &[LedgerEntry], grace: Duration) -> Swept {
        run(sweep(&self.id, ledger, |_| grace))
    }

    fn left(&self) -> Vec<Proc> {
        let Ok(snapshot) = Snapshot::take() else { return Vec::new() };
        let mark = self.dir.path().to_str().expect("text").to_owned();
        let is_ours = |process: &Proc| {
            let line = std::fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
            let [id] = procfs::environment_values(process.pid, ["MHO_DAEMON_ID"]);
            String::from_utf8_lossy(&line).contains(&mark) || id.as_deref() == Some(&self.id)
        };
        snapshot.iter().filter(|process| !process.zombie && is_ours(process)).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for _ in 0..200 {
            let left = self.left();
            if left.is_empty() {
                break;
            }
            for process in left {
                procfs::send(process, &[rustix::process::Signal::KILL]);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// What is said while `work` is done.
fn logged(work: impl FnOnce() -> Swept) -> String {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&lines);
    let subscriber = tracing_subscriber::fmt()
        .without_time()
        .with_ansi(false)
        .with_writer(move || Lines(Arc::clone(&writer)))
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    let lines = lines.lock().expect("unpoisoned");
    String::from_utf8_lossy(&lines).into_owned()
}

struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("unpoisoned").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn entry(process: ProcessId) -> LedgerEntry {
    let attempt = AttemptId {
        script: ScriptName::new("beta").expect("a name"),
        trading_date: chrono::NaiveDate::from_ymd_opt(2026, 11, 27).expect("a date"),
        number: 1,
    };
    LedgerEntry { attempt, process, boot: procfs::boot_id().expect("readable") }
}

fn alive(process: ProcessId) -> bool {
    still_alive(&Leftover { script: None, process })
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "{what} did not come true in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Who was stopped, and as whose.
fn stopped(swept: &Swept) -> Vec<(u32, Option<&str>)> {
    assert_eq!(swept.survivors, []);
    let mut found: Vec<_> = swept
        .stopped
        .iter()
        .map(|leftover| (leftover.process.pid, leftover.script.as_ref().map(ScriptName::as_str)))
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn nothing_left_is_nothing_done() {
    let world = World::new();
    let swept = world.sweep(&[], LONG);
    assert_eq!((&swept.stopped[..], &swept.survivors[..]), (&[][..], &[][..]));
}

#[test]
fn a_leftover_is_known_by_its_environment_alone() {
    let mut world = World::new();
    let script = world.script("echo up >up; sleep 300; : $0");
    world.process_is_up("up");
    let swept = world.sweep(&[], LONG);
    assert!(stopped(&swept).contains(&(script.pid, Some("alpha"))), "{swept:?}");
    assert_eq!(world.left(), []);
}

#[test]
fn the_log_has_one_warning_for_each_script_and_nothing_where_nothing_is_left() {
    let mut world = World::new();
    // Unless we are root, it is told how many could not be looked into.
    let log = logged(|| world.sweep(&[], LONG));
    assert!(log.lines().all(|line| line.contains("INFO mho: Processes that could not be looked into")), "{log}");
    assert!(log.is_empty() || !rustix::process::getuid().is_root(), "{log}");
    let alpha = [world.script("exec sleep 300"), world.script("exec sleep 300")].map(|process| process.pid);
    let beta = world.bare("exec sleep 300");
    let log = logged(|| world.sweep(&[entry(beta)], LONG));
    let lines: Vec<_> = log.lines().filter(|line| line.contains("WARN mho: Stopping what an earlier daemon")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[0].ends_with(&format!("left running: PIDs {}, {} script=alpha", alpha[0], alpha[1])), "{log}");
    assert!(lines[1].ends_with(&format!("left running: PIDs {} script=beta", beta.pid)), "{log}");
}

#[test]
fn a_leftover_is_known_by_the_ledger_alone() {
    let mut world = World::new();
    let script = world.bare("sleep 300; : $0");
    let swept = world.sweep(&[entry(script)], LONG);
    assert!(stopped(&swept).contains(&(script.pid, Some("beta"))), "{swept:?}");
    assert_eq!(world.left(), []);
}

#[test]
fn a_grandchild_that_left_its_group_and_its_parents_is_found_by_its_environment() {
    let mut world = World::new();
    world.script("(setsid sh -c 'echo $$ >inner; sleep 300' $0 &) ; exit 0");
    let inner = world.process("inner");
    world.sweep(&[], LONG);
    assert!(!alive(inner));
    assert_eq!(world.left(), []);
}

#[test]
fn a_descendant_without_environment_and_group_is_found_by_its_parents() {
    let mut world = World::new();
    world.script("setsid env -i /bin/sh -c 'setsid sh -c \"echo \\$\\$ >inner; sleep 300\" $0' $0 & wait");
    let inner = world.process("inner");
    let swept = world.sweep(&[], LONG);
    assert!(stopped(&swept).contains(&(inner.pid, Some("alpha"))), "{swept:?}");
    assert_eq!(world.left(), []);
}

/// What a daemon gives a script as output: a pipe open both ways. Nobody holds it here.
fn output_pipe() -> std::fs::File {
    let (_ours, theirs) = std::io::pipe().expect("a pipe");
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&theirs));
    std::fs::OpenOptions::new().read(true).write(true).open(path).expect("opened")
}

#[test]
fn one_that_shows_nothing_else_is_found_by_the_output_that_it_shares_with_a_known_one() {
    let mut world = World::new();
    let inner = "trap \"\" TERM; echo $$ >inner; while :; do sleep 300; done";
    let text = format!("(setsid env -i /bin/sh -c '{inner}' $0 &) ; sleep 300; : $0");
    let id = world.id.clone();
    let script = world.start(&text, |command| {
        command.env("MHO_DAEMON_ID", id).env("MHO_SCRIPT", "alpha").stdout(output_pipe());
    });
    let inner = world.process("inner");
    let is_orphan = || Snapshot::take().expect("/proc").descendants(script.pid).iter().all(|one| one.pid != inner.pid);
    eventually("the one in between is gone", is_orphan);
    let swept = world.sweep(&[], Duration::from_millis(200));
    assert!(stopped(&swept).contains(&(inner.pid, Some("alpha"))), "{swept:?}");
    assert_eq!(world.left(), []);
}

#[test]
fn an_ordinary_pipe_that_a_leftover_prints_to_makes_no_leftover_of_its_neighbour() {
    let mut world = World::new();
    let text = format!(
        "(MHO_DAEMON_ID={} sh -c 'echo $$ >marked; sleep 300' $0 & \
         sh -c 'echo $$ >stranger; sleep 300' $0 & wait) | sh -c cat $0",
        world.id
    );
    world.bare(&text);
    let (marked, stranger) = (world.process("marked"), world.process("stranger"));
    let swept = world.sweep(&[], LONG);
    assert!(stopped(&swept).contains(&(marked.pid, None)), "{swept:?}");
    assert!(alive(stranger));
}

#[test]
fn what_ignores_the_signal_is_killed_after_its_grace_and_not_before() {
    let mut world = World::new();
    let script = world.script("trap '' TERM; echo up >up; while :; do sleep 300; done; : $0");
    world.process_is_up("up");
    let start = Instant::now();
    world.sweep(&[], Duration::from_millis(700));
    assert!(start.elapsed() >= Duration::from_millis(700), "{:?}", start.elapsed());
    assert!(!alive(script));
    assert_eq!(world.left(), []);
}

#[test]
fn each_script_has_its_own_grace() {
    let mut world = World::new();
    let text = "trap 'sleep 1; echo done >$0/slow; exit 0' TERM; echo up >up; while :; do sleep 0.05; done";
    let slow = world.script(text);
    world.process_is_up("up");
    let quick = world.bare("trap '' TERM; echo up >quick; while :; do sleep 300; done; : $0");
    world.process_is_up("quick");
    let is_quick = |script: Option<&ScriptName>| script.is_some_and(|name| name.as_str() == "beta");
    let start = Instant::now();
    let grace_of = |script: Option<&ScriptName>| if is_quick(script) { Duration::ZERO } else { LONG };
    run(sweep(&world.id, &[entry(quick)], grace_of));
    assert!(!alive(slow) && !alive(quick));
    assert!(world.path("slow").exists(), "its handler came to its end");
    assert!(start.elapsed() < LONG, "and nothing was waited for after that");
}

#[test]
fn a_stopped_process_hears_the_signal() {
    let mut world = World::new();
    let script = world.script("trap 'echo heard >$0/heard; exit 0' TERM; echo up >up; while :; do sleep 0.05; done");
    world.process_is_up("up");
    let found = procfs::read(script.pid).expect("/proc").expect("it lives");
    procfs::send(found, &[rustix::process::Signal::STOP]);
    world.sweep(&[], LONG);
    assert!(!alive(script) && world.path("heard").exists());
}

#[test]
fn a_stranger_with_the_number_of_one_of_ours_is_not_touched() {
    let mut world = World::new();
    let stranger = world.bare("sleep 300 & wait; : $0");
    let other = entry(ProcessId { born: stranger.born + 1, ..stranger });
    let unknown = entry(ProcessId { born: 0, ..stranger });
    let other_life = LedgerEntry { boot: "another".to_owned(), ..entry(stranger) };
    let swept = world.sweep(&[other, unknown, other_life], LONG);
    assert_eq!(stopped(&swept), []);
    assert!(alive(stranger));
}

#[test]
fn another_daemons_script_is_not_touched() {
    let mut world = World::new();
    let other = world.start("sleep 300; : $0", |command| {
        command.env("MHO_DAEMON_ID", "ffffffffffffffffffffffffffffffff").env("MHO_SCRIPT", "alpha");
    });
    assert_eq!(stopped(&world.sweep(&[], LONG)), []);
    assert!(alive(other));
}

#[test]
fn a_group_whose_leader_is_a_zombie_is_its_own() {
    let mut world = World::new();
    let leader = world.bare("sh -c 'echo $$ >inner; sleep 300' $0 & exit 0");
    let inner = world.process("inner");
    eventually("the leader ended", || !alive(leader));
    let swept = world.sweep(&[entry(leader)], LONG);
    assert!(stopped(&swept).contains(&(inner.pid, Some("beta"))), "{swept:?}");
    assert_eq!(world.left(), []);
}

#[test]
fn a_group_without_a_leader_is_its_own_if_one_member_proves_it() {
    let mut world = World::new();
    let text = "env -i /bin/sh -c 'echo $$ >bare; sleep 300' $0 & sh -c 'echo $$ >marked; sleep 300' $0 & exit 0";
    let leader = world.script(text);
    let (bare, marked) = (world.process("bare"), world.process("marked"));
    world.reap(leader);
    let swept = world.sweep(&[entry(leader)], LONG);
    assert!(stopped(&swept).contains(&(bare.pid, Some("beta"))), "{swept:?}");
    assert!(!alive(bare) && !alive(marked));
}

#[test]
fn a_group_without_a_leader_and_without_proof_is_a_strangers() {
    let mut world = World::new();
    let leader = world.bare("sh -c 'echo $$ >inner; sleep 300' $0 & exit 0");
    let inner = world.process("inner");
    world.reap(leader);
    assert_eq!(stopped(&world.sweep(&[entry(leader)], LONG)), []);
    assert!(alive(inner));
}

#[test]
fn what_forks_all_the_time_does_not_escape() {
    let mut world = World::new();
    let text = "trap '' TERM; echo up >up; while :; do env -i setsid /bin/sh -c 'sleep 300; :' $0 & \
                (setsid sh -c 'trap \"\" TERM; sleep 300; :' $0 &) ; sleep 0.005; done";
    world.script(text);
    world.process_is_up("up");
    let swept = world.sweep(&[], Duration::from_millis(300));
    assert_eq!(swept.survivors, []);
    assert_eq!(world.left(), []);
}

#[test]
fn what_executes_one_program_after_the_other_is_found() {
    // One alone, and often: that it shows no environment just when it is looked at is a matter of chance.
    for _ in 0..60 {
        let mut world = World::new();
        std::fs::write(world.path("again"), "exec /bin/sh \"$0\"\n").expect("written");
        let script = world.script("exec /bin/sh \"$0/again\"");
        let swept = world.sweep(&[], LONG);
        assert_eq!(stopped(&swept), [(script.pid, Some("alpha"))]);
        assert!(!alive(script));
    }
}

#[test]
fn a_daemon_inside_a_leftover_ends_with_it_and_its_scripts() {
    let mut world = World::new();
    let config = "[[script]]\nname = \"inner\"\n\
                  command = [\"sh\", \"-c\", \"echo $$ >$DIR/inner; exec sleep 300\"]\n";
    std::fs::write(world.path("mho.toml"), config).expect("written");
    let mho = env!("CARGO_BIN_EXE_mho");
    let text = format!(
        "export DIR=$0; {mho} run --at 2026-11-30T12:00:00 --config $0/mho.toml --state-dir $0/state --log-dir $0/logs; :"
    );
    let script = world.script(&text);
    let inner = world.process("inner");
    let swept = world.sweep(&[], LONG);
    let found = stopped(&swept);
    assert!(found.contains(&(script.pid, Some("alpha"))) && found.len() >= 4, "{swept:?}");
    assert!(!alive(inner));
    assert_eq!(world.left(), []);
}

#[test]
fn what_cannot_be_killed_is_named_and_watched() {
    if !rustix::process::getuid().is_root() {
        eprintln!("SKIPPED: needs root, to sweep as a user who may not signal a process of root");
        return;
    }
    let mut world = World::new();
    let script = world.bare("exec sleep 300");
    let out = world.helper(
        "survivors",
        "",
        &[("LEDGER_PID", u64::from(script.pid)), ("LEDGER_BORN", script.born)],
        |command| {
            command.uid(65534).gid(65534);
        },
    );
    assert_eq!(out, format!("stopped [] survivors [{}] alive true hidden true", script.pid));
    assert!(alive(script));
}

#[test]
fn whoever_started_us_is_not_touched_even_if_he_is_a_leftover() {
    let mut world = World::new();
    // The shell is a leftover, by its environment and by the ledger; the one who sweeps is its child; a sleep is beside it.
    let text = "sh -c 'echo $$ >beside; sleep 300' $0 & ";
    let out = world.helper("ancestors", text, &[], |command| {
        command.process_group(0);
    });
    let beside = std::fs::read_to_string(world.path("beside")).expect("written");
    assert!(out.contains(&format!("stopped [{}", beside.trim())), "{out} {beside}");
    assert!(out.ends_with("shell alive"), "{out}");
    assert_eq!(world.left(), []);
}

#[test]
fn one_that_shares_an_output_with_whoever_started_us_is_not_touched() {
    let mut world = World::new();
    // The pipe looks like a daemon's, and a leftover prints to it. The stranger ends with the shell, whose output is read to its end.
    let text = "exec 1<>/proc/self/fd/1; trap 'echo >over' EXIT; sh -c 'echo $$ >beside; sleep 300' $0 & \
                env -i PATH=$PATH sh -c 'echo $$ >stranger; until [ -e over ]; do sleep 0.02; done; echo >lived' $0 & \
                until [ -s stranger ]; do sleep 0.02; done; ";
    let out = world.helper("ancestors", text, &[], |command| {
        command.process_group(0);
    });
    let beside = std::fs::read_to_string(world.path("beside")).expect("written");
    assert!(out.contains(&format!("stopped [{}", beside.trim())), "{out} {beside}");
    eventually("the stranger came to its own end", || world.path("lived").exists());
}

impl World {
    fn process_is_up(&self, name: &str) {
        eventually(name, || self.path(name).exists());
    }

    /// Lets another process sweep: this program again, started by a shell that carries the identity. Returns what it says.
    fn helper(
        &mut self,
        mode: &str,
        first: &str,
        numbers: &[(&str, u64)],
        prepare: impl FnOnce(&mut Command),
    ) -> String {
        let program = std::env::current_exe().expect("this program");
        let copy = self.path("sweeper");
        std::fs::copy(program, &copy).expect("copied");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(self.dir.path(), open).expect("opened");
        let mut command = Command::new("/bin/sh");
        let text = format!("{first} $0/sweeper --ignored --exact as_a_helper --nocapture --test-threads=1; echo ended");
        command.args(["-c", &text]).arg(self.dir.path()).current_dir(self.dir.path());
        command.env("SWEEP_AS", mode).env("SWEEP_ID", &self.id).stdin(Stdio::null()).stderr(Stdio::null());
        for (name, number) in numbers {
            command.env(name, number.to_string());
        }
        if mode == "ancestors" {
            command.env("MHO_DAEMON_ID", &self.id);
        }
        prepare(&mut command);
        let output = command.output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.split_once("SAYS ").map(|(_, said)| said.to_owned()));
        assert!(text.contains("ended"), "the shell lived on: {text}");
        line.unwrap_or_else(|| panic!("it says nothing: {text}"))
    }
}

#[test]
#[ignore = "no test: what another one runs as a process of its own"]
fn as_a_helper() {
    let Ok(mode) = std::env::var("SWEEP_AS") else { return };
    let id = std::env::var("SWEEP_ID").expect("given");
    let number = |name: &str| std::env::var(name).expect("given").parse::<u64>().expect("a number");
    let shell = procfs::ancestors()[0];
    let ledger = match mode.as_str() {
        "survivors" => ProcessId { pid: number("LEDGER_PID").try_into().expect("a pid"), born: number("LEDGER_BORN") },
        _ => ProcessId { pid: shell, born: procfs::read(shell).expect("/proc").expect("it lives").start },
    };
    if mode == "ancestors" {
        eventually("the one beside", || std::fs::read_to_string("beside").is_ok_and(|text| text.ends_with('\n')));
    }
    let swept = run(sweep(&id, &[entry(ledger)], |_| Duration::ZERO));
    let pids = |list: &[Leftover]| {
        let mut pids: Vec<u32> = list.iter().map(|leftover| leftover.process.pid).collect();
        pids.sort_unstable();
        pids
    };
    let (stopped, survivors) = (pids(&swept.stopped), pids(&swept.survivors));
    let shell = if alive(ledger) { "alive" } else { "dead" };
    match mode.as_str() {
        "survivors" => {
            let hidden = swept.unreadable.others > 0;
            println!("\nSAYS stopped {stopped:?} survivors {survivors:?} alive {} hidden {hidden}", alive(ledger));
        }
        _ => println!("\nSAYS stopped {stopped:?} survivors {survivors:?} shell {shell}"),
    }
}
