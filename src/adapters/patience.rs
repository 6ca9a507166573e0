//! The end of threads that write for others: waited for, but not for ever.

use std::thread::JoinHandle;
use std::time::Duration;

/// A thread may take about 2 s for what is left to write. A stuck file system or a pipe that nobody reads must not keep the daemon from
/// ending: its guard, and everything that the guard still has to stop, waits for it. Counted in steps, not measured: a clock that is made to
/// lie, as in tests, must not stretch the wait.
const STEPS: u32 = 2000;
const STEP: Duration = Duration::from_millis(1);

/// Waits until the thread has ended, or gives it up: it ends with the process, then.
pub(super) fn join(thread: JoinHandle<()>) {
    join_all(vec![thread]);
}

/// The same for several, in the time of one.
pub(super) fn join_all(mut threads: Vec<JoinHandle<()>>) {
    for _ in 0..STEPS {
        threads.retain(|thread| !thread.is_finished());
        if threads.is_empty() {
            return;
        }
        std::thread::sleep(STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_stuck_is_given_up_and_one_that_ends_is_waited_for() {
        let (tell, hear) = std::sync::mpsc::channel::<()>();
        let stuck = std::thread::spawn(move || hear.recv().is_ok());
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let sets = std::sync::Arc::clone(&done);
        let ends = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            sets.store(true, std::sync::atomic::Ordering::Release);
        });
        join_all(vec![std::thread::spawn(move || drop(stuck.join())), ends]);
        assert!(done.load(std::sync::atomic::Ordering::Acquire));
        drop(tell);
    }
}
