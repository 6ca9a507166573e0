//! The state directory is on a file system that takes no change any more, as on a disk that hangs: scripts start, come back and stop as ever,
//! and the daemon can be ended.

mod common;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use common::{World, alive, eventually, seconds_after, send};
use nix::sys::signal::Signal;

/// A file system of its own in a file, mounted where it is wanted. Thawed and unmounted whatever happens: also where this test is killed,
/// which closes a pipe that somebody else listens to.
struct Disk {
    at: PathBuf,
    janitor: Child,
}

/// Waits for the end of whoever holds its stdin.
const JANITOR: &str = "cat >/dev/null; fsfreeze -u \"$0\"; umount \"$0\" || umount --lazy \"$0\"";

impl Disk {
    /// None, and a line that says why, where that cannot be done.
    fn mount(world: &World, name: &str) -> Option<Self> {
        if !rustix::process::getuid().is_root() {
            eprintln!("SKIPPED: a file system is frozen by root alone");
            return None;
        }
        let (image, at) = (world.path("disk.img"), world.path(name));
        std::fs::create_dir(&at).expect("made");
        std::fs::File::create(&image).and_then(|file| file.set_len(16 << 20)).expect("a file");
        let mounted = run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))
            .and_then(|()| run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at)));
        if let Err(why) = mounted {
            eprintln!("SKIPPED: no file system can be mounted here: {why}");
            return None;
        }
        let mut janitor = Command::new("sh");
        janitor.args(["-c", JANITOR]).arg(&at).process_group(0);
        janitor.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let disk = Self { at, janitor: janitor.spawn().expect("sh runs") };
        if let Err(why) = disk.set("-f").and_then(|()| disk.set("-u")) {
            eprintln!("SKIPPED: no file system can be frozen here: {why}");
            return None;
        }
        Some(disk)
    }

    fn set(&self, how: &str) -> Result<(), String> {
        run(Command::new("fsfreeze").arg(how).arg(&self.at))
    }

    fn freeze(&self) {
        self.set("-f").expect("frozen");
    }

    fn thaw(&self) {
        self.set("-u").expect("thawed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // First of all: nothing can end those who wait for it.
        let _ = self.set("-u");
        // Closes its stdin, too.
        let _ = self.janitor.wait();
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => Err(format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr).trim())),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

/// Each attempt leaves its pid in a file of its own.
fn script(name: &str, more: &str) -> String {
    format!(
        "[[script]]\nname = \"{name}\"\noutput = {{ echo = false }}\n{more}\n\
         restart = {{ initial_delay = \"100ms\", max_delay = \"200ms\", max_restarts = 1000 }}\n\
         command = [\"sh\", \"-c\", \"echo $$ >{name}-$MHO_ATTEMPT; exec sleep 300\"]\n"
    )
}

#[test]
fn with_a_state_directory_that_is_frozen_scripts_start_come_back_and_stop_and_the_daemon_ends() {
    let config = [script("day", ""), script("late", "start = \"15:59:53\""), script("night", "stop = \"close + 1h\"")];
    let world = World::new(&config.concat());
    let Some(disk) = Disk::mount(&world, "state") else { return };
    let mut daemon = world.rehearse("2026-11-30T15:59:45");
    // To be dropped first: its directory is removed with the daemon's.
    let disk = disk;
    let (day, night) = (daemon.number("day-1"), daemon.number("night-1"));
    daemon.wait_for(&["Script started with PID", "script=night"]);
    disk.freeze();
    assert!(!daemon.has("late-1"), "the machine was too slow to test anything");

    send(day, Signal::SIGKILL);
    let again = daemon.number("day-2");
    let late = daemon.number("late-1");
    let started = daemon.wait_for(&["Script started with PID", "script=late"]);
    assert!(seconds_after("15:59:53", &started) < 3, "{started}");
    daemon.wait_for(&["The journal cannot be written"]);
    let stopping = daemon.wait_for(&["Market has closed. Stopping script.", "script=late"]);
    assert!(seconds_after("16:00:00", &stopping) < 2, "{stopping}");
    eventually("the close is obeyed", || !alive(again) && !alive(late));
    send(night, Signal::SIGKILL);
    let night = daemon.number("night-2");

    // A thread of the daemon waits for the disk, and no signal reaches it: the guard cannot wait for that.
    daemon.tell_guard(Signal::SIGTERM);
    assert_eq!(daemon.end().code(), Some(0));
    assert!(!alive(night));
    assert_eq!(daemon.count(&["All scripts stopped. Goodbye."]), 1);
    assert!(daemon.stderr().contains("the daemon cannot leave: it hangs in the kernel"), "{}", daemon.stderr());

    disk.thaw();
    eventually("nothing is left", || daemon.processes().is_empty());
    drop(disk);
}
